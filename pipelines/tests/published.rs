//! Published worked examples, exactly: factors and products that somebody else has printed.
//!
//! Sources: UK Government GHG Conversion Factors 2024 v1.1 and 2025 v1; EPA GHG Emission Factors Hub 2021,
//! tables 1, 6 and 12 (blends); IPCC AR4, AR5 and AR6 potentials over 100 years. Where a folder of shared
//! data stands beside the repository, its collections of such examples are worked through as well.

mod support;

use std::path::Path;

use plumeline_pipelines::engine::{Outbox, Semigroup};
use plumeline_pipelines::model::{
    ActivityRecord, Arrival, Cause, Decimal, Emission, Fact, FactorRow, Gas, GwpSet, Measure,
    Quality, Rate, Record, Tick,
};
use plumeline_pipelines::stages::metering::{Rows, Scan, Value};
use serde_json::Value as Json;
use support::derive::{assert_agrees, derive};
use support::{
    HOUR, PERIOD, START_MS, Scenario, Step, factor_id, factor_row, n, node_id, node_row, policy,
    register, unit,
};

/// A line of a recipe: scope, category, gas, kg, per unit.
type Line = (u8, u8, Gas, &'static str, &'static str);

/// What `value` of `symbol`, spread over an hour, emits under a recipe: by (scope, category).
fn emitted(value: &str, symbol: &str, gwp: GwpSet, lines: &[Line]) -> Vec<(u8, u8, String)> {
    let row = |&(scope, category, gas, kg, per): &Line| {
        let plain = factor_row(0, gas, kg);
        Fact::Factor(FactorRow { scope, category, unit: unit(per), ..plain })
    };
    let mut known =
        Step { facts: lines.iter().map(|line| (row(line), 1)).collect(), ..Step::default() };
    known.facts.push((Fact::Node(node_row(0, None)), 1));
    let activity = Record::Activity(ActivityRecord {
        activity: plumeline_pipelines::model::Id(300),
        node: node_id(0),
        factor: factor_id(0),
        from_ms: START_MS,
        to_ms: START_MS + HOUR,
        value: Some(n(value)),
        unit: unit(symbol),
        version: 0,
        quality: Quality::Measured,
        arrival: Arrival::default(),
    });
    let scenario = Scenario {
        policy: plumeline_pipelines::model::Policy { gwp, ..policy(2) },
        steps: vec![
            known,
            Step { after_ms: HOUR, records: vec![activity], ..Step::default() },
            Step { after_ms: 2 * PERIOD, ..Step::default() },
        ],
    };
    let derived = derive(&scenario, 2, 1);
    assert_agrees(&derived, &scenario);
    let Outbox { footprints, .. } = &derived.out;
    let mut sums: std::collections::BTreeMap<(u8, u8), Emission> =
        std::collections::BTreeMap::new();
    for (key, tick, change) in footprints {
        assert!(*tick <= Tick::new(START_MS + 2 * HOUR, Cause::Cut));
        sums.entry((key.scope, key.category)).or_default().plus_equals(change);
    }
    let told = |((scope, category), e): ((u8, u8), Emission)| {
        (scope, category, Decimal::new(e.co2e.get(), 21).to_string())
    };
    sums.into_iter().map(told).collect()
}

#[test]
fn uk_electricity_books_scope_2_and_its_losses_in_scope_3() {
    let recipe =
        |generated, losses| [(2, 0, Gas::Co2e, generated, "kWh"), (3, 3, Gas::Co2e, losses, "kWh")];
    assert_eq!(
        emitted("100000", "kWh", GwpSet::Ar5, &recipe("0.177", "0.01853")),
        [(2, 0, "17700".to_owned()), (3, 3, "1853".to_owned())]
    );
    assert_eq!(
        emitted("100000", "kWh", GwpSet::Ar5, &recipe("0.20705", "0.0183")),
        [(2, 0, "20705".to_owned()), (3, 3, "1830".to_owned())]
    );
    let in_mwh = emitted("100", "MWh", GwpSet::Ar5, &recipe("0.177", "0.01853"));
    assert_eq!(in_mwh, [(2, 0, "17700".to_owned()), (3, 3, "1853".to_owned())]);
}

/// A blend's name, its parts by mass, and its potential in AR4, AR5 and AR6.
type Blend = (&'static str, &'static [(Gas, &'static str)], [&'static str; 3]);

/// Refrigerant blends, with the potentials that their publishers print (rounded) or imply.
const BLENDS: [Blend; 3] = [
    ("R-410A", &[(Gas::Hfc32, "0.5"), (Gas::Hfc125, "0.5")], ["2087.5", "1923.5", "2255.5"]),
    (
        "R-404A",
        &[(Gas::Hfc125, "0.44"), (Gas::Hfc143a, "0.52"), (Gas::Hfc134a, "0.04")],
        ["3921.6", "3942.8", "4728"],
    ),
    (
        "R-407C",
        &[(Gas::Hfc32, "0.23"), (Gas::Hfc125, "0.25"), (Gas::Hfc134a, "0.52")],
        ["1773.85", "1624.21", "1907.93"],
    ),
];

#[test]
fn refrigerant_blends_have_the_potential_of_their_parts() {
    for (blend, parts, expected) in BLENDS {
        let recipe: Vec<Line> = parts.iter().map(|(gas, kg)| (1, 0, *gas, *kg, "kg")).collect();
        for (gwp, expected) in [GwpSet::Ar4, GwpSet::Ar5, GwpSet::Ar6].into_iter().zip(expected) {
            let found = emitted("1", "kg", gwp, &recipe);
            assert_eq!(found, [(1, 0, expected.to_owned())], "{blend} {}", gwp.name());
        }
    }
}

#[test]
fn natural_gas_by_the_million_btu() {
    let recipe = [
        (1, 0, Gas::Co2, "53.06", "MMBtu gross"),
        (1, 0, Gas::Ch4, "0.001", "MMBtu gross"),
        (1, 0, Gas::N2o, "0.0001", "MMBtu gross"),
    ];
    let thousand = |gwp| emitted("1000", "MMBtu gross", gwp, &recipe);
    assert_eq!(thousand(GwpSet::Ar4), [(1, 0, "53114.8".to_owned())]);
    assert_eq!(thousand(GwpSet::Ar5), [(1, 0, "53114.5".to_owned())]);
}

#[test]
fn a_subregion_of_a_grid_told_in_pounds_by_the_megawatt_hour() {
    // 453.2 lb CO2, 0.033 lb CH4 and 0.004 lb N2O a MWh at 0.45359237 kg/lb; printed: 206.4830 kg CO2e.
    let recipe = [
        (2, 0, Gas::Co2, "205.568062084", "MWh"),
        (2, 0, Gas::Ch4, "0.01496854821", "MWh"),
        (2, 0, Gas::N2o, "0.00181436948", "MWh"),
    ];
    let found = emitted("1", "MWh", GwpSet::Ar4, &recipe);
    // Each rate is rounded once, to 1e-12 kg a kWh.
    assert_eq!(found, [(2, 0, "206.482957894".to_owned())]);
}

#[test]
fn a_product_of_exact_numbers_is_exact() {
    let measure = Measure { amount: 100_000_000_000_000.into(), covered_ms: 0, presence: 1 };
    let rate = Rate { mass: 0.into(), co2e: 177_000_000_000.into(), present: 1 };
    let emission = differential_dataflow::difference::Multiply::multiply(measure, &rate);
    assert_eq!(Decimal::new(emission.co2e.get(), 21).to_string(), "17700");
}

/// A collection of the shared data, if it is there.
fn shared(name: &str) -> Vec<Json> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data");
    let Ok(text) = std::fs::read_to_string(folder.join(name)) else {
        return Vec::new();
    };
    serde_json::from_str(&text).expect("a collection is a JSON array")
}

/// A number as written, quoted or not, less the zeros at its end.
fn number(json: &Json) -> Decimal {
    n(json.as_str().map_or_else(|| json.to_string(), str::to_owned).as_str())
}

#[test]
fn the_shared_examples_of_factors_hold() {
    for example in shared("golden-vectors/golden.json") {
        let id = example["id"].as_str().expect("an id").to_owned();
        let (inputs, expected) = (&example["inputs"], &example["expected"]);
        let text = |json: &Json| number(json).to_string();
        if id.starts_with("desnz-elec-") {
            let kg = [&inputs["ef_scope2_kgco2e_per_kwh"], &inputs["ef_td_scope3_kgco2e_per_kwh"]];
            let [generated, losses] = kg.map(|kg| kg.as_str().expect("a text").to_owned());
            let rate =
                |kg: &str| unit("kWh").rate(n(kg), unit("kWh"), (1, 1)).expect("a rate") * 100_000;
            let told = |kg: &str| Decimal::new(rate(kg), 12).to_string();
            assert_eq!(told(&generated), text(&expected["scope2_kgco2e"]), "{id}");
            assert_eq!(told(&losses), text(&expected["scope3_cat3_td_kgco2e"]), "{id}");
        } else if let Some(parts) = inputs["composition"].as_object() {
            let gwp = match id.rsplit_once('-').expect("a set").1 {
                "AR4" => GwpSet::Ar4,
                "AR5" => GwpSet::Ar5,
                _ => GwpSet::Ar6,
            };
            let co2e = |(gas, kg): (&String, &Json)| {
                let name = gas.to_lowercase().replace("hfc", "hfc-");
                let gas = Gas::parse(&name).expect("a known gas");
                unit("kg").rate(number(kg), unit("kg"), (gas.gwp_tenths(gwp), 10)).expect("a rate")
            };
            let sum: i128 = parts.iter().map(co2e).sum();
            assert_eq!(Decimal::new(sum, 12), number(&expected["gwp100"]), "{id}");
        }
    }
}

#[test]
fn the_shared_incident_of_a_register_comes_to_what_it_should() {
    let mut rows = Rows::default();
    rows.update(&register(), 1);
    for incident in shared("meter-incidents/incidents.json") {
        let (Some(readings), Some(correct)) =
            (incident["readings_local"].as_array(), incident.get("correct_kwh"))
        else {
            continue;
        };
        let (mut total, mut scan) = (0, Scan::new(&rows));
        // The stamps are wall-clock times of one night: their order is all that matters here.
        for (minute, reading) in (0..).zip(readings) {
            if reading[1].is_null() {
                continue;
            }
            let value = Value { number: number(&reading[1]), unit: None, from_ms: None };
            scan.step(START_MS + minute * 60_000, &value, &mut |span| {
                total += span.amount;
            });
        }
        assert_eq!(Decimal::new(total, 9), number(correct), "{}", incident["id"]);
    }
}
