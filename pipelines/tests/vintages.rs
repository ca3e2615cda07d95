//! Which version of a factor counts, and what it comes to: years of factors over a reporting year that begins in
//! April, factors that stand in for finer ones, totals as printed, and published examples from end to end.
//!
//! Sources: DESNZ conversion factors of 2019 (0.2556 kg CO2e a kWh of UK electricity), 2020 (0.23314) and 2025; EPA GHG
//! Emission Factors Hub 2021; eGRID 2019. Where shared data stands beside the repository, its examples run as well.

mod support;

use std::collections::BTreeMap;

use plumeline_pipelines::model::time::{DAY_MS, HOUR_MS};
use plumeline_pipelines::model::{
    Decimal, Fact, FactorChange, FactorRow, Gas, GwpSet, Policy, SeriesRow, Total, Validity,
    Vintage,
};
use serde_json::Value as Json;
use support::dated::{Dated, Ledger, activity, kg, series_row, shared};
use support::dates::{calendar, date};
use support::{factor_id, factor_row, n, node_row, policy, unit};

/// Shorthand: numbers are told as texts.
fn s(number: &str) -> String {
    number.to_owned()
}

/// Periods of a day, all of which are in reach.
fn daily(gwp: GwpSet) -> Policy {
    let policy = policy(1000);
    let windows_ms = vec![DAY_MS];
    Policy { period_ms: DAY_MS, windows_ms, calendar: calendar(2017, 2022), gwp, ..policy }
}

fn of_year(year: i64, text: &str) -> Fact {
    let validity = Validity { from_ms: date(year, 1, 1), to_ms: date(year + 1, 1, 1) };
    Fact::Factor(FactorRow { validity, ..factor_row(0, Gas::Co2e, text) })
}

fn year_of_2019() -> Fact {
    of_year(2019, "0.2556")
}

fn year_of_2020() -> Fact {
    of_year(2020, "0.23314")
}

fn by(vintage: Vintage, year_begins: u8) -> Fact {
    Fact::Series(SeriesRow { vintage, year_begins, ..series_row(0) })
}

/// 1000 kWh on each of two days of one reporting year, in June 2019 and in February 2020, known in time.
fn two_days(facts: impl IntoIterator<Item = Fact>) -> Dated {
    let day = |ms| (ms, ms + DAY_MS);
    let (june, february) = (day(date(2019, 6, 10)), day(date(2020, 2, 10)));
    let nodes = [Fact::Node(node_row(0, None))];
    Dated::under(daily(GwpSet::Ar5))
        .learns(date(2019, 6, 1), nodes.into_iter().chain(facts))
        .hears(june.1, [activity(0, "1000", unit("kWh"), june)])
        .hears(february.1, [activity(1, "1000", unit("kWh"), february)])
}

/// When all is told.
fn end() -> i64 {
    date(2020, 3, 1)
}

/// What June and February emit in the end, kg CO2e.
fn both_days(ledger: &Ledger) -> [String; 2] {
    let sums = ledger.co2e_by_period(end());
    [date(2019, 6, 10), date(2020, 2, 10)]
        .map(|ms| kg(sums.get(&ms).copied().expect("the day is booked")))
}

fn counted(vintage: Vintage, year_begins: u8) -> [String; 2] {
    let facts = [year_of_2019(), year_of_2020(), by(vintage, year_begins)];
    both_days(&two_days(facts).learns(end(), []).told())
}

/// 1000 kWh under both years' factors, weighted by days, at the precision of rates.
fn blend(days: i128, more_days: i128) -> String {
    // 1e-12 kg a kWh; all are positive, and none lies half-way.
    let sum = 255_600_000_000 * days + 233_140_000_000 * more_days;
    let all = days + more_days;
    let rate = (2 * sum + all) / (2 * all);
    Decimal::new(rate * 1000, 12).to_string()
}

#[test]
fn by_calendar_a_period_takes_the_factor_of_its_own_year() {
    assert_eq!(counted(Vintage::Calendar, 4), [s("255.6"), s("233.14")]);
}

#[test]
fn by_majority_a_reporting_year_takes_the_factor_of_most_of_its_days() {
    // From April: 275 days of 2019, 91 of 2020.
    assert_eq!(counted(Vintage::Majority, 4), [s("255.6"), s("255.6")]);
    // From October: June 2019 is of the year that began in 2018, 92 days, and has 273 of 2019; February 2020 is of the
    // one with 92 days of 2019 and 274 of 2020.
    assert_eq!(counted(Vintage::Majority, 10), [s("255.6"), s("233.14")]);
    // From January: a reporting year is a calendar year.
    assert_eq!(counted(Vintage::Majority, 1), [s("255.6"), s("233.14")]);
}

#[test]
fn blended_a_reporting_year_takes_both_by_their_days() {
    assert_eq!(blend(220, 145), "246.677534247", "as DESNZ blends them");
    let of_april = blend(275, 91);
    assert_eq!(of_april, "250.01568306");
    assert_eq!(counted(Vintage::Blended, 4), [of_april.clone(), of_april]);
    // Nothing is known of 2018: June has 2019 alone. February has 92 days of 2019 and 274 of 2020.
    assert_eq!(counted(Vintage::Blended, 10), [s("255.6"), blend(92, 274)]);
    assert_eq!(counted(Vintage::Blended, 1), [s("255.6"), s("233.14")]);
}

#[test]
fn until_the_next_set_is_there_this_years_stands_alone_and_is_then_restated() {
    let comes_ms = date(2020, 2, 20);
    let told = |vintage| {
        let facts = [year_of_2019(), by(vintage, 4)];
        two_days(facts).learns(comes_ms, [year_of_2020()]).told()
    };
    let blended = told(Vintage::Blended);
    assert_eq!(blended.co2e(comes_ms - 1), "511.2", "both days under 2019 alone");
    // Twice 250.01568306.
    assert_eq!(blended.written(comes_ms), [("factor_new_vintage", s("-11.16863388"))]);
    assert_eq!(blended.co2e(comes_ms), "500.03136612");

    let majority = told(Vintage::Majority);
    assert_eq!(majority.co2e(comes_ms - 1), "511.2");
    assert_eq!(majority.written(comes_ms), [], "most of the year is 2019");

    let calendar = told(Vintage::Calendar);
    assert_eq!(calendar.co2e(comes_ms - 1), "255.6", "nothing holds in February yet");
    assert_eq!(calendar.written(comes_ms), [("factor_new_vintage", s("233.14"))]);
}

#[test]
fn by_majority_the_set_of_the_later_year_takes_over_when_it_comes() {
    let comes_ms = date(2020, 2, 20);
    // From October: 92 days of 2019 and 274 of 2020.
    let facts = [year_of_2019(), by(Vintage::Majority, 10)];
    let ledger = two_days(facts).learns(comes_ms, [year_of_2020()]).told();
    assert_eq!(ledger.co2e(comes_ms - 1), "511.2");
    assert_eq!(ledger.written(comes_ms), [("factor_new_vintage", s("-22.46"))]);
}

#[test]
fn of_two_years_that_blend_the_one_that_changes_says_why() {
    let revised = |year, text, change, revision| {
        let Fact::Factor(row) = of_year(year, text) else { unreachable!() };
        Fact::Factor(FactorRow { change, revision, ..row })
    };
    let (erratum_ms, news_ms) = (date(2020, 2, 20), date(2020, 2, 22));
    let facts = [year_of_2019(), year_of_2020(), by(Vintage::Blended, 4)];
    let ledger = two_days(facts)
        .learns(erratum_ms, [revised(2019, "0.2557", FactorChange::Error, 1)])
        .learns(news_ms, [revised(2020, "0.23315", FactorChange::Revised, 1)])
        .told();
    let reason = |ms| ledger.written(ms).into_iter().map(|(reason, _)| reason).collect::<Vec<_>>();
    assert_eq!(reason(erratum_ms), ["factor_error"]);
    assert_eq!(reason(news_ms), ["factor_revised"], "the erratum of the other year is known");
}

/// DESNZ 2025, natural gas, kWh (gross CV), told as CO2e of each gas in AR5, with its total.
const NATURAL_GAS: [&str; 4] = ["0.18259", "0.00028", "0.00009", "0.18296"];

/// DESNZ 2025, butane, kWh (net CV): printed 0.00001 above what its gases add up to.
const BUTANE: [&str; 4] = ["0.24074", "0.0002", "0.00012", "0.24107"];

fn of_gases(published: &[&str; 4], revision: i64, validity: Validity) -> Vec<Fact> {
    let gases = [Gas::Co2, Gas::Ch4, Gas::N2o, Gas::Co2e];
    let row = |(gas, text): (Gas, &&str)| {
        let published_gwp = (gas != Gas::Co2).then_some(GwpSet::Ar5);
        let plain = factor_row(0, gas, text);
        Fact::Factor(FactorRow { scope: 1, published_gwp, revision, validity, ..plain })
    };
    gases.into_iter().zip(published).map(row).collect()
}

/// What 1000 kWh under a factor with gases come to: all in all, and by gas.
fn burnt(published: &[&str; 4], total: Total, gwp: GwpSet) -> (String, BTreeMap<Gas, [String; 2]>) {
    let day = (date(2020, 2, 10), date(2020, 2, 11));
    let rule = Fact::Series(SeriesRow { total, ..series_row(0) });
    let ledger = Dated::under(daily(gwp))
        .learns(day.0, [Fact::Node(node_row(0, None)), rule])
        .learns(day.0, of_gases(published, 0, Validity::ALWAYS))
        .hears(day.1, [activity(0, "1000", unit("kWh"), day)])
        .learns(end(), [])
        .told();
    (ledger.co2e(end()), ledger.by_gas(end()))
}

#[test]
fn a_total_is_as_printed_where_it_counts_and_else_the_sum_of_its_gases() {
    let co2e = |published, total| burnt(published, total, GwpSet::Ar5).0;
    assert_eq!(co2e(&NATURAL_GAS, Total::Split), "182.96");
    assert_eq!(co2e(&NATURAL_GAS, Total::Printed), "182.96", "they agree");
    assert_eq!(co2e(&BUTANE, Total::Split), "241.06");
    assert_eq!(co2e(&BUTANE, Total::Printed), "241.07");
    let (_, split) = burnt(&BUTANE, Total::Split, GwpSet::Ar5);
    let (_, mut printed) = burnt(&BUTANE, Total::Printed, GwpSet::Ar5);
    assert_eq!(printed.remove(&Gas::Co2e), Some([s("0"), s("0.01")]), "the rest has no mass");
    assert_eq!(printed, split, "the gases are the same");
}

#[test]
fn another_gwp_set_is_a_linear_map_of_masses() {
    for published in [&NATURAL_GAS, &BUTANE] {
        let of = |gwp| burnt(published, Total::Split, gwp).1;
        let masses = |gwp| -> BTreeMap<Gas, String> {
            of(gwp).into_iter().map(|(gas, [mass, _])| (gas, mass)).collect()
        };
        assert_eq!(masses(GwpSet::Ar4), masses(GwpSet::Ar5));
        assert_eq!(masses(GwpSet::Ar6), masses(GwpSet::Ar5));
        for gwp in GwpSet::ALL {
            for (gas, [mass, co2e]) in of(gwp) {
                let (mass, co2e) = (scaled(&mass), scaled(&co2e));
                let mapped = mass * i128::from(gas.gwp_tenths(gwp)) / 10;
                // Mass and CO2e are rates rounded to 1e-12 kg, times 1000; the mass of N2O counts up to 298 times.
                let bound = 1_000_000_000_000 * 298;
                assert!((co2e - mapped).abs() <= bound, "{gas:?} {}: {co2e}", gwp.name());
            }
        }
        let rest = |gwp| burnt(published, Total::Printed, gwp).1.remove(&Gas::Co2e);
        assert_eq!(rest(GwpSet::Ar4), rest(GwpSet::Ar6), "a constant beside it");
    }
}

/// A number of kg in 1e-21 kg.
fn scaled(text: &str) -> i128 {
    let (whole, part) = text.split_once('.').unwrap_or((text, ""));
    format!("{whole}{part:0<21}").parse().expect("digits")
}

#[test]
fn a_validity_split_in_two_with_equal_values_changes_no_balance() {
    let day = (date(2020, 2, 10), date(2020, 2, 14));
    let (split_ms, all) = (date(2020, 2, 12), (date(2020, 1, 1), date(2021, 1, 1)));
    let whole = Validity { from_ms: all.0, to_ms: all.1 };
    let halves = [Validity { to_ms: split_ms, ..whole }, Validity { from_ms: split_ms, ..whole }];
    let learns_ms = date(2020, 2, 20);
    let ledger = Dated::under(daily(GwpSet::Ar6))
        .learns(day.0, [Fact::Node(node_row(0, None))])
        .learns(day.0, of_gases(&BUTANE, 0, whole))
        .hears(day.1, [activity(0, "1000", unit("kWh"), day)])
        .unlearns(learns_ms, of_gases(&BUTANE, 0, whole))
        .learns(learns_ms, halves.into_iter().flat_map(|half| of_gases(&BUTANE, 1, half)))
        .learns(end(), [])
        .told();
    assert_eq!(ledger.by_gas(learns_ms - 1), ledger.by_gas(end()));
    assert_eq!(ledger.co2e_by_period(learns_ms - 1), ledger.co2e_by_period(end()));
    assert!(ledger.lines(learns_ms - 1).iter().all(|key| key.line.revision == 0));
    assert!(ledger.lines(end()).iter().all(|key| key.line.revision == 1));
    let changes = ledger.written(learns_ms).into_iter().map(|(_, change)| change);
    assert!(changes.into_iter().all(|change| change == "0"));
}

#[test]
fn the_first_behind_a_factor_that_has_a_version_stands_in_for_it() {
    // 0 is a zone by the hour, 1 by the month, 2 its country by the year.
    let behind = |factor: u32| {
        Fact::Series(SeriesRow { fallback: factor_id(factor + 1), ..series_row(factor) })
    };
    let version = |factor, text, (from_ms, to_ms)| {
        let validity = Validity { from_ms, to_ms };
        Fact::Factor(FactorRow { validity, ..factor_row(factor, Gas::Co2e, text) })
    };
    let february = (date(2020, 2, 1), date(2020, 3, 1));
    let (year, month) = ((date(2020, 1, 1), date(2021, 1, 1)), february);
    let day = |day: i64| (date(2020, 2, 1) + day * DAY_MS, date(2020, 2, 2) + day * DAY_MS);
    let at = |day: i64| date(2020, 2, day);
    let ledger = Dated::under(daily(GwpSet::Ar5))
        .learns(at(1), [Fact::Node(node_row(0, None)), behind(0), behind(1)])
        .hears(
            at(3),
            [activity(0, "10", unit("kWh"), day(0)), activity(1, "10", unit("kWh"), day(1))],
        )
        .learns(at(5), [version(2, "0.4", year)])
        .learns(at(6), [version(1, "0.3", month)])
        .learns(at(7), [version(0, "0.2", day(1))])
        .unlearns(at(8), [version(1, "0.3", month)])
        .told();
    let booked = |ms| -> Vec<(u32, String)> {
        let sums = ledger.co2e_by_period(ms);
        let lines = ledger.lines(ms).into_iter().map(|key| key.activity.factor.0 - factor_id(0).0);
        lines.zip(sums.into_values().map(kg)).collect()
    };
    assert_eq!(booked(at(4)), [], "none of them has a version");
    assert_eq!(booked(at(5)), [(2, s("4")), (2, s("4"))]);
    assert_eq!(booked(at(6)), [(1, s("3")), (1, s("3"))]);
    assert_eq!(booked(at(7)), [(1, s("3")), (0, s("2"))]);
    assert_eq!(booked(at(8)), [(2, s("4")), (0, s("2"))]);
    assert_eq!(ledger.written(at(6)), [("factor_revised", s("-2"))]);
    assert_eq!(ledger.written(at(7)), [("factor_revised", s("-1"))]);
    assert_eq!(ledger.written(at(8)), [("factor_revised", s("1"))]);
}

#[test]
fn a_circle_of_stand_ins_ends_with_nothing_and_heals() {
    let behind = |factor: u32, fallback: u32| {
        Fact::Series(SeriesRow { fallback: factor_id(fallback), ..series_row(factor) })
    };
    let day = (date(2020, 2, 1), date(2020, 2, 2));
    let nodes = Fact::Node(node_row(0, None));
    let ledger = Dated::under(daily(GwpSet::Ar5))
        .learns(day.0, [nodes, behind(0, 1), behind(1, 2), behind(2, 0)])
        .hears(day.1, [activity(0, "10", unit("kWh"), day)])
        .learns(date(2020, 2, 10), [Fact::Factor(factor_row(2, Gas::Co2e, "0.4"))])
        .told();
    assert_eq!(ledger.lines(date(2020, 2, 9)), []);
    assert_eq!(ledger.co2e(date(2020, 2, 10)), "4");
}

/// What an hour's activity emits under a recipe.
fn emitted(value: &str, symbol: &str, gwp: GwpSet, recipe: Vec<FactorRow>) -> Ledger {
    let hour = (date(2020, 2, 10), date(2020, 2, 10) + HOUR_MS);
    Dated::under(Policy { gwp, ..policy(7) })
        .learns(hour.0, [Fact::Node(node_row(0, None))])
        .learns(hour.0, recipe.into_iter().map(Fact::Factor))
        .hears(hour.1, [activity(0, value, unit(symbol), hour)])
        .learns(hour.1 + HOUR_MS, [])
        .told()
}

fn after() -> i64 {
    date(2020, 2, 10) + 2 * HOUR_MS
}

/// A number as written, quoted or not.
fn text(json: &Json) -> String {
    json.as_str().map_or_else(|| json.to_string(), str::to_owned)
}

/// The same without zeros at its end.
fn number(json: &Json) -> String {
    n(&text(json)).to_string()
}

fn set_of(id: &str) -> GwpSet {
    let name = id.rsplit('-').next().unwrap_or_default().to_lowercase();
    GwpSet::parse(&name).unwrap_or(GwpSet::Ar5)
}

/// `value` by so many hundred-millionths.
fn times(value: &str, (scaled, scale): (i128, u8)) -> Decimal {
    let (whole, part) = value.split_once('.').unwrap_or((value, ""));
    let digits: i128 = format!("{whole}{part}").parse().expect("digits");
    Decimal::new(digits * scaled, scale + u8::try_from(part.len()).expect("short"))
}

fn assert_electricity(id: &str, inputs: &Json, expected: &Json) {
    let row = |scope, category, kg: &Json| FactorRow {
        scope,
        category,
        ..factor_row(0, Gas::Co2e, &text(kg))
    };
    let recipe = vec![
        row(2, 0, &inputs["ef_scope2_kgco2e_per_kwh"]),
        row(3, 3, &inputs["ef_td_scope3_kgco2e_per_kwh"]),
    ];
    let ledger = emitted(&text(&inputs["kwh"]), "kWh", GwpSet::Ar5, recipe);
    let (scope_2, losses) = (&expected["scope2_kgco2e"], &expected["scope3_cat3_td_kgco2e"]);
    let expected = BTreeMap::from([((2, 0), number(scope_2)), ((3, 3), number(losses))]);
    assert_eq!(ledger.by_scope(after()), expected, "{id}");
}

/// A line of a gas told per `per` in a mass of so many kg: `(kg, scale)`.
fn line(gas: Gas, value: &Json, mass: (i128, u8), per: &str) -> FactorRow {
    let kg_per_unit = times(&text(value), mass);
    FactorRow { kg_per_unit, unit: unit(per), ..factor_row(0, gas, "0") }
}

fn assert_natural_gas(id: &str, inputs: &Json, expected: &Json) {
    let (per, kilogram, gram) = ("MMBtu gross", (1, 0), (1, 3));
    let recipe = vec![
        line(Gas::Co2, &inputs["co2_kg_per_mmbtu"], kilogram, per),
        line(Gas::Ch4, &inputs["ch4_g_per_mmbtu"], gram, per),
        line(Gas::N2o, &inputs["n2o_g_per_mmbtu"], gram, per),
    ];
    let ledger = emitted(&text(&inputs["mmbtu"]), per, set_of(id), recipe);
    assert_eq!(ledger.co2e(after()), number(&expected["co2e_kg"]), "{id}");
    let by_gas = ledger.by_gas(after());
    for (gas, kg) in [(Gas::Co2, "co2_kg"), (Gas::Ch4, "ch4_kg"), (Gas::N2o, "n2o_kg")] {
        assert_eq!(by_gas[&gas][0], number(&expected[kg]), "{id}: {gas:?}");
    }
}

fn assert_grid(id: &str, inputs: &Json, expected: &Json) {
    let pound = (45_359_237, 8);
    let recipe = vec![
        line(Gas::Co2, &inputs["co2_lb"], pound, "MWh"),
        line(Gas::Ch4, &inputs["ch4_lb"], pound, "MWh"),
        line(Gas::N2o, &inputs["n2o_lb"], pound, "MWh"),
    ];
    let ledger = emitted(&text(&inputs["mwh"]), "MWh", set_of(id), recipe);
    // Printed to four places.
    let printed = scaled(&text(&expected["co2e_kg_per_mwh"]));
    let half = 50_000_000_000_000_000;
    assert!((scaled(&ledger.co2e(after())) - printed).abs() <= half, "{id}");
}

#[test]
fn published_examples_come_out_of_the_whole_dataflow_as_printed() {
    let Some(examples) = shared("golden-vectors/golden.json") else { return };
    let examples: Vec<Json> = serde_json::from_str(&examples).expect("a JSON array");
    let mut checked = 0;
    for example in &examples {
        let (id, inputs, expected) =
            (text(&example["id"]), &example["inputs"], &example["expected"]);
        if id.starts_with("desnz-elec-") {
            assert_electricity(&id, inputs, expected);
        } else if id.starts_with("epa-ng-") {
            assert_natural_gas(&id, inputs, expected);
        } else if id.starts_with("egrid2019-") {
            assert_grid(&id, inputs, expected);
        } else {
            continue;
        }
        checked += 1;
    }
    assert!(checked >= 5, "{checked} examples");
}

/// The lines of a factor in the published table: kg CO2e, of CO2, of CH4 and of N2O.
fn published(table: &str, level: &str, per: &str) -> Option<[String; 4]> {
    let of_factor = |line: &&str| line.contains(&format!(",{level},,,{per},"));
    let value = |of: &str| {
        let mut lines = table.lines().filter(of_factor);
        let line = lines.find(|line| line.contains(&format!(",{of},")))?;
        line.rsplit(',').next().map(str::to_owned)
    };
    Some([
        value("kg CO2e of CO2 per unit")?,
        value("kg CO2e of CH4 per unit")?,
        value("kg CO2e of N2O per unit")?,
        value("kg CO2e")?,
    ])
}

#[test]
fn the_printed_total_of_published_gas_is_met_to_the_bit() {
    let Some(table) = shared("desnz-ghg-conversion-factors/desnz_2025_flat.csv") else { return };
    for level in ["Natural gas", "Butane", "CNG", "LPG"] {
        for per in ["kWh (Net CV)", "kWh (Gross CV)"] {
            let published = published(&table, level, per).expect(level);
            let texts = published.each_ref().map(|text| n(text).to_string());
            let texts = texts.each_ref().map(String::as_str);
            let (co2e, _) = burnt(&texts, Total::Printed, GwpSet::Ar5);
            assert_eq!(scaled(&co2e), scaled(texts[3]) * 1000, "{level}, {per}");
            let (co2e, _) = burnt(&texts, Total::Split, GwpSet::Ar5);
            let gases: i128 = texts[..3].iter().map(|text| scaled(text)).sum();
            assert_eq!(scaled(&co2e), gases * 1000, "{level}, {per}");
        }
    }
}
