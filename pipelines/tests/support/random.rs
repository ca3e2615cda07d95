//! Random histories, small enough to shrink well and mean enough to find what is wrong.

use plumeline_pipelines::model::{
    ActivityRecord, Arrival, Calendar, CertificateRow, ContractRow, Decimal, Fact, FactorChange,
    FactorRow, Gas, GwpSet, Id, MeterKind, MeterRow, Method, NodeRow, Policy, PriceRow, Quality,
    Reading, Record, SeriesKind, SeriesRow, StampSide, ToDate, Total, Validity, Vintage,
};
use proptest::prelude::*;

use super::contracts::{certificate_rows, contract_rows};
use super::dated::price_row;
use super::{
    FACTORS, HOUR, METERS, MINUTE, NODES, PERIOD, START_MS, Scenario, Step, factor_id, factor_row,
    meter_row, n, node_id, node_row, policy, reading, unit,
};

/// How many cases a property test has, and where it keeps the seeds of those that failed.
pub(crate) fn cases() -> ProptestConfig {
    let seeds = proptest::test_runner::FileFailurePersistence::WithSource("seeds");
    ProptestConfig {
        cases: std::env::var("PLUMELINE_CASES").ok().and_then(|n| n.parse().ok()).unwrap_or(96),
        failure_persistence: Some(Box::new(seeds)),
        ..ProptestConfig::default()
    }
}

/// A validity on the period grid, within a few days around the start.
pub(crate) fn validities() -> impl Strategy<Value = Validity> {
    let slots = (-20_i64..300, 1_i64..300);
    let some = slots.prop_map(|(from, length)| Validity {
        from_ms: START_MS + from * PERIOD,
        to_ms: START_MS + (from + length) * PERIOD,
    });
    let open = (-20_i64..200)
        .prop_map(|from| Validity { from_ms: START_MS + from * PERIOD, ..Validity::ALWAYS });
    prop_oneof![3 => Just(Validity::ALWAYS), 2 => open, 2 => some]
}

fn meter_rows() -> impl Strategy<Value = MeterRow> {
    let kind =
        prop_oneof![Just(MeterKind::Interval), Just(MeterKind::Register), Just(MeterKind::Power)];
    let shape = (kind, 0..METERS, 0..NODES, 0..=FACTORS, validities());
    let more = (0_u8..4, 0_u8..3, 0_u8..3, 0_u8..4, any::<bool>());
    (shape, more).prop_map(|((kind, meter, node, factor, validity), more)| {
        let (units, intervals, moduli, powers, start) = more;
        let is_power = kind == MeterKind::Power;
        let symbol = match (is_power, units) {
            (true, 0) => Some("W"),
            (true, _) => Some("kW"),
            (false, 0) => Some("Wh"),
            (false, 1) => Some("m3"),
            (false, 2) => None,
            (false, _) => Some("kWh"),
        };
        let interval_ms = match intervals {
            0 => None,
            1 => Some(PERIOD),
            _ => Some(HOUR),
        };
        let side = if start && interval_ms.is_some() { StampSide::Start } else { StampSide::End };
        MeterRow {
            node: node_id(node),
            unit: symbol.map(unit),
            multiplier: if units == 3 { n("2.5") } else { Decimal::ONE },
            stamp: side,
            interval_ms: interval_ms.filter(|_| kind == MeterKind::Interval),
            max_hold_ms: if powers == 0 { HOUR } else { 15 * MINUTE },
            modulus: (moduli == 0).then(|| n("1000")),
            max_power: (powers == 1).then(|| n("40")),
            expected_every_ms: [None, Some(36 * HOUR), Some(50 * MINUTE)][usize::from(moduli)],
            factor: if factor == FACTORS { Id::NONE } else { factor_id(factor) },
            validity,
            ..meter_row(meter, kind)
        }
    })
}

/// A version of a factor: some lines under one revision and validity; gases told as mass or as CO2e of a set, with a
/// printed total or without.
fn factor_versions() -> impl Strategy<Value = Vec<FactorRow>> {
    let kg = prop_oneof![Just("0"), Just("0.5"), Just("0.000000000001"), Just("0.177"), Just("3")];
    let recipe = prop_oneof![
        Just(vec![Gas::Co2e]),
        Just(vec![Gas::Co2, Gas::Ch4, Gas::N2o]),
        Just(vec![Gas::Co2, Gas::Ch4, Gas::Co2e]),
        Just(vec![Gas::Co2, Gas::Co2Biogenic]),
        Just(vec![Gas::Co2e, Gas::CfeKwh]),
    ];
    let symbol = prop_oneof![
        8 => Just("kWh"), 2 => Just("MMBtu"), 2 => Just("m3"), 2 => Just("MWh"),
        1 => Just("GBP"), 2 => Just("GBP@2021"),
    ];
    let published = prop::option::of(prop::sample::select(GwpSet::ALL.to_vec()));
    let said = (published, prop::sample::select(FactorChange::ALL.to_vec()));
    (0..FACTORS, recipe, kg, symbol, validities(), 0_u8..3, said).prop_map(
        |(factor, gases, kg, symbol, validity, method, (published, change))| {
            let row = |gas: Gas| FactorRow {
                scope: if gas == Gas::Co2Biogenic { 0 } else { 2 },
                method: Method::ALL[usize::from(method)],
                unit: unit(symbol),
                published_gwp: published.filter(|_| !gas.is_energy() && gas != Gas::Co2Biogenic),
                change,
                validity,
                ..factor_row(factor, gas, kg)
            };
            gases.into_iter().map(row).collect()
        },
    )
}

/// How a factor's versions are chosen; factors stand in for one another, now and then in a circle.
fn series_rows() -> impl Strategy<Value = SeriesRow> {
    let rule = (prop::sample::select(Vintage::ALL.to_vec()), 1_u8..=12);
    let total = prop::sample::select(Total::ALL.to_vec());
    (0..FACTORS, 0..=FACTORS, rule, total, validities()).prop_map(
        |(factor, fallback, (vintage, year_begins), total, validity)| SeriesRow {
            factor: factor_id(factor),
            kind: SeriesKind::Rolling,
            vintage,
            year_begins,
            total,
            fallback: if fallback == FACTORS { Id::NONE } else { factor_id(fallback) },
            validity,
            revision: 0,
        },
    )
}

/// What money is worth: straight from one to the other, or a step between them.
fn price_rows() -> impl Strategy<Value = PriceRow> {
    let step = prop::sample::select(vec![
        ("EUR", "GBP"),
        ("GBP", "GBP@2021"),
        ("EUR", "GBP@2021"),
        ("EUR@2023", "GBP@2023"),
        ("GBP@2023", "GBP@2021"),
    ]);
    let number = || prop_oneof![1_i128..200, 100_000_000_i128..999_999_999];
    let scales = (0_u8..=9, 0_u8..=9);
    (step, number(), number(), scales, validities()).prop_map(
        |((from, to), rate, per, (rate_scale, per_scale), validity)| PriceRow {
            rate: Decimal::new(rate, rate_scale),
            per: Decimal::new(per, per_scale),
            validity,
            ..price_row(unit(from), unit(to), "1")
        },
    )
}

fn node_rows() -> impl Strategy<Value = NodeRow> {
    (0..NODES, prop::option::of(0..NODES), validities())
        .prop_map(|(node, parent, validity)| NodeRow { validity, ..node_row(node, parent) })
}

/// Instants: mostly on a coarse grid, so that keys are met again.
fn instants() -> impl Strategy<Value = i64> {
    prop_oneof![
        6 => (-40_i64..200).prop_map(|slot| START_MS + slot * 5 * MINUTE),
        2 => (-10_i64..80).prop_map(|slot| START_MS + slot * HOUR),
        1 => (-100_000_i64..HOUR * 30).prop_map(|ms| START_MS + ms),
    ]
}

fn readings() -> impl Strategy<Value = Record> {
    let value = prop_oneof![
        6 => (0_i128..1200).prop_map(|v| Some(Decimal::new(v, 0))),
        2 => (-50_000_i128..50_000).prop_map(|v| Some(Decimal::new(v, 3))),
        1 => Just(Some(n("0.12345678901234567890"))),
        1 => Just(Some(Decimal::ZERO)),
        1 => Just(None),
    ];
    let symbol = prop_oneof![
        6 => Just(None), 2 => Just(Some("kWh")), 1 => Just(Some("Wh")), 1 => Just(Some("kW")),
        1 => Just(Some("m3")),
    ];
    let version = prop_oneof![4 => Just(0_u32), 1 => 1_u32..4];
    let from = prop_oneof![6 => Just(None), 1 => (1_i64..30).prop_map(Some)];
    (0..METERS, instants(), value, symbol, version, from).prop_map(
        |(meter, at_ms, value, symbol, version, from)| {
            let Record::Reading(plain) = reading(meter, at_ms, None) else { unreachable!() };
            Record::Reading(Reading {
                value,
                unit: symbol.map(unit),
                version,
                from_ms: from.map(|slots| at_ms - slots * 7 * MINUTE),
                ..plain
            })
        },
    )
}

fn activity_records() -> impl Strategy<Value = Record> {
    let value =
        prop_oneof![5 => (0_i128..100_000).prop_map(|v| Some(Decimal::new(v, 2))), 1 => Just(None)];
    let symbol = prop_oneof![
        3 => Just("kWh"), 1 => Just("EUR"), 1 => Just("GBP"), 1 => Just("EUR@2023"),
    ];
    let said = (value, symbol, 0_u32..3);
    (0_u32..3, 0..NODES, 0..=FACTORS, instants(), 1_i64..60, said).prop_map(
        |(activity, node, factor, from_ms, length, (value, symbol, version))| {
            Record::Activity(ActivityRecord {
                activity: Id(300 + activity),
                node: node_id(node),
                factor: if factor == FACTORS { Id::NONE } else { factor_id(factor) },
                from_ms,
                to_ms: from_ms + length * 11 * MINUTE,
                value,
                unit: unit(symbol),
                version,
                quality: Quality::Measured,
                arrival: Arrival::default(),
            })
        },
    )
}

/// What a step may do. Facts get their revisions when steps are put together.
#[derive(Clone, Debug)]
enum Deed {
    Meter(MeterRow),
    Factor(Vec<FactorRow>),
    Node(NodeRow),
    Series(SeriesRow),
    Contract(ContractRow),
    Certificate(CertificateRow),
    Price(PriceRow),
    /// Takes back the n-th fact (or version) learned so far.
    Withdraw(prop::sample::Index),
    Record(Record),
}

fn deeds() -> impl Strategy<Value = Deed> {
    prop_oneof![
        3 => meter_rows().prop_map(Deed::Meter),
        2 => factor_versions().prop_map(Deed::Factor),
        2 => node_rows().prop_map(Deed::Node),
        1 => series_rows().prop_map(Deed::Series),
        1 => contract_rows().prop_map(Deed::Contract),
        1 => certificate_rows().prop_map(Deed::Certificate),
        1 => price_rows().prop_map(Deed::Price),
        1 => any::<prop::sample::Index>().prop_map(Deed::Withdraw),
        16 => readings().prop_map(Deed::Record),
        2 => activity_records().prop_map(Deed::Record),
    ]
}

/// Months of an hour to two days, so that a dozen ticks see many of them, quarters and years. They begin where no period
/// does, too, and do not always reach as far as the history.
fn calendars() -> impl Strategy<Value = Calendar> {
    let months = prop::collection::vec(12_i64..600, 12..48);
    let windows = prop::sample::subsequence(ToDate::ALL.to_vec(), 0..=3);
    (months, windows).prop_map(|(months, windows)| {
        let mut at_ms = START_MS - 10 * 24 * HOUR;
        let begin = |month: i64| {
            at_ms += month * 5 * MINUTE;
            at_ms
        };
        Calendar::new("Test/Random", months.into_iter().map(begin).collect(), windows)
    })
}

/// `retain`, days; and after which steps it becomes longer, by how many.
fn retains() -> impl Strategy<Value = (i64, Vec<(prop::sample::Index, i64)>)> {
    (1_i64..4, prop::collection::vec((any::<prop::sample::Index>(), 1_i64..3), 0..3))
}

/// Random histories of up to a dozen ticks, over hours or days.
pub(crate) fn scenarios() -> impl Strategy<Value = Scenario> {
    histories(prop_oneof![
        3 => 1_i64..30 * MINUTE, 3 => HOUR..10 * HOUR, 1 => 20 * HOUR..60 * HOUR, 1 => Just(0),
    ])
}

/// The same over days or weeks, so that the horizon passes much of what was booked.
pub(crate) fn long_scenarios() -> impl Strategy<Value = Scenario> {
    histories(prop_oneof![
        1 => 1_i64..30 * MINUTE, 3 => 5 * HOUR..15 * HOUR, 3 => 20 * HOUR..60 * HOUR,
    ])
}

fn histories(pause: impl Strategy<Value = i64>) -> impl Strategy<Value = Scenario> {
    let step = (pause, prop::collection::vec(deeds(), 0..14));
    let begin = (any::<bool>(), retains(), calendars());
    (begin, prop::collection::vec(step, 1..12)).prop_map(|((seeded, retains, calendar), steps)| {
        let mut scenario = if seeded {
            Scenario::small()
        } else {
            Scenario { policy: policy(1), steps: Vec::new() }
        };
        let (days, longer) = retains;
        scenario.policy = Policy { calendar, ..policy(days) };
        let mut known: Vec<Vec<Fact>> = Vec::new();
        let mut revision = 0;
        for (after_ms, deeds) in steps {
            let step = assemble(after_ms.max(1), deeds, &mut known, &mut revision);
            scenario.steps.push(step);
        }
        for (at, more_days) in longer {
            let at_ms = *at.get(&scenario.instants());
            let retain = &scenario.policy.retain;
            let grown = retain.grown(at_ms, retain.ms() + more_days * 24 * HOUR);
            scenario.policy.retain = grown.unwrap_or_else(|| retain.clone());
        }
        scenario.numbered()
    })
}

fn assemble(
    after_ms: i64,
    deeds: Vec<Deed>,
    known: &mut Vec<Vec<Fact>>,
    revision: &mut i64,
) -> Step {
    let mut step = Step { after_ms, ..Step::default() };
    for deed in deeds {
        *revision += 1;
        let learned: Vec<Fact> = match deed {
            Deed::Meter(row) => vec![Fact::Meter(MeterRow { revision: *revision, ..row })],
            Deed::Node(row) => vec![Fact::Node(NodeRow { revision: *revision, ..row })],
            Deed::Series(row) => vec![Fact::Series(SeriesRow { revision: *revision, ..row })],
            Deed::Contract(row) => vec![Fact::Contract(ContractRow { revision: *revision, ..row })],
            Deed::Certificate(row) => {
                vec![Fact::Certificate(CertificateRow { revision: *revision, ..row })]
            }
            Deed::Price(row) => vec![Fact::Price(PriceRow { revision: *revision, ..row })],
            Deed::Factor(rows) => {
                let row = |row| Fact::Factor(FactorRow { revision: *revision, ..row });
                rows.into_iter().map(row).collect()
            }
            Deed::Withdraw(index) if !known.is_empty() => {
                let taken = known.remove(index.index(known.len()));
                step.facts.extend(taken.into_iter().map(|fact| (fact, -1)));
                continue;
            }
            Deed::Withdraw(_) => continue,
            Deed::Record(record) => {
                step.records.push(record);
                continue;
            }
        };
        step.facts.extend(learned.iter().map(|fact| (fact.clone(), 1)));
        known.push(learned);
    }
    step
}
