//! The ledger as of any instant: a real stream of carbon intensities, each captured again and again, against a plain
//! recomputation from what had been captured by then.
//!
//! ```text
//! captures ──┬─▶ versions of half-hours ──▶ the dataflow: entries up to the capture, accumulated ─┐
//!            └─▶ the last row of each half-hour, in g ──────────── 1 kWh each, summed as decimals ─┴─ equal
//! ```
//!
//! Source: NESO, Carbon Intensity API (CC BY 4.0), as captured in March 2023: 60 g CO2e a kWh was forecast for a
//! half-hour, 64 g came out. Where no shared data stands beside the repository, the few captures below are all.

mod support;

use std::collections::{BTreeMap, BTreeSet};

use plumeline_pipelines::model::time::HOUR_MS;
use plumeline_pipelines::model::{
    Cause, Decimal, Fact, FactorRow, FactorStatus, Gas, Id, MeterKind, MeterRow, Policy, SeriesRow,
    Tick, Validity,
};
use support::dated::{Dated, Ledger, kg, series_row, shared};
use support::dates::date;
use support::{factor_id, factor_row, meter_row, node_id, node_row, policy, reading};

const HALF_HOUR: i64 = HOUR_MS / 2;

/// How long after its end a half-hour settles.
const GRACE: i64 = 20_000;

/// An instant before a capture at which all is settled that is settled at the capture.
const BEFORE: i64 = 30_000;

/// What a year's factor says of any half-hour: DESNZ 2023, UK electricity, kg CO2e a kWh.
const OF_THE_YEAR: &str = "0.20707";

/// A row of a capture: g CO2e a kWh.
#[derive(Clone, Debug)]
struct Row {
    start_ms: i64,
    forecast: i128,
    actual: Option<i128>,
}

impl Row {
    /// What is known: the actual, and the forecast as long as there is none.
    fn grams(&self) -> i128 {
        self.actual.unwrap_or(self.forecast)
    }

    fn version(&self, revision: i64, is_settled: bool) -> Fact {
        let validity = Validity { from_ms: self.start_ms, to_ms: self.start_ms + HALF_HOUR };
        let status = match self.actual {
            None => FactorStatus::Forecast,
            Some(_) if is_settled => FactorStatus::Final,
            Some(_) => FactorStatus::Estimated,
        };
        let kg_per_unit = Decimal::new(self.grams(), 3);
        let plain = factor_row(0, Gas::Co2e, "0");
        Fact::Factor(FactorRow { kg_per_unit, revision, validity, status, ..plain })
    }
}

/// Captures by their instants, ms.
type Captures = BTreeMap<i64, Vec<Row>>;

/// `2023-03-14T03:01Z`, ms.
fn instant(text: &str) -> i64 {
    let part = |range| text.get(range).and_then(|part: &str| part.parse::<i64>().ok());
    let parts = [part(0..4), part(5..7), part(8..10), part(11..13), part(14..16)];
    let [year, month, day, hour, minute] = parts.map(|part| part.expect(text));
    let month = usize::try_from(month).expect("a month");
    date(year, month, day) + hour * HOUR_MS + minute * 60_000
}

fn captures(table: &str) -> Captures {
    let mut captures = Captures::new();
    for line in table.lines().filter(|line| line.starts_with("20")) {
        let [recorded_at, _, start, forecast, actual] =
            line.split(',').collect::<Vec<_>>().try_into().expect("five columns");
        let row = Row {
            start_ms: instant(start),
            forecast: forecast.parse().expect(line),
            actual: (!actual.is_empty()).then(|| actual.parse().expect(line)),
        };
        captures.entry(instant(recorded_at)).or_default().push(row);
    }
    captures
}

/// Two half-hours, as they were forecast, came out, and were corrected.
const A_FEW: &str = "\
2023-03-13T00:05Z,fw48h,2023-03-13T00:00Z,60,
2023-03-13T01:02Z,pt24h,2023-03-13T00:00Z,60,64
2023-03-13T01:02Z,fw48h,2023-03-13T00:30Z,72,
2023-03-13T03:01Z,pt24h,2023-03-13T00:00Z,60,64
2023-03-13T03:01Z,pt24h,2023-03-13T00:30Z,72,71
2023-03-13T05:31Z,pt24h,2023-03-13T00:00Z,60,66
2023-03-13T05:31Z,pt24h,2023-03-13T00:30Z,72,71";

/// The first and the last half-hour of the load, ms.
fn load() -> (i64, i64) {
    (date(2023, 3, 13), date(2023, 3, 15) - HALF_HOUR)
}

/// A meter that counts 1 kWh a half-hour, from the first to the last, and its rolling factor.
fn told(captures: &Captures) -> Ledger {
    let policy = Policy { period_ms: HALF_HOUR, grace_ms: GRACE, ..policy(7) };
    let meter = MeterRow {
        node: node_id(0),
        interval_ms: Some(HALF_HOUR),
        ..meter_row(0, MeterKind::Interval)
    };
    let begins_ms = load().0 - HOUR_MS;
    let mut history = Dated::under(policy).learns(
        begins_ms,
        [
            Fact::Node(node_row(0, None)),
            Fact::Meter(meter),
            Fact::Series(SeriesRow { fallback: factor_id(1), ..series_row(0) }),
            Fact::Factor(factor_row(1, Gas::Co2e, OF_THE_YEAR)),
        ],
    );
    for start_ms in half_hours() {
        let end_ms = start_ms + HALF_HOUR;
        history = history.hears(end_ms, [reading(0, end_ms, Some("1"))]);
    }
    let last_ms = *captures.keys().last().expect("some captures");
    for ((ms, rows), revision) in captures.iter().zip(1..) {
        let version = |row: &Row| row.version(revision, *ms == last_ms);
        history = history.learns(*ms, rows.iter().map(version));
    }
    history.told()
}

fn half_hours() -> impl Iterator<Item = i64> {
    let (first_ms, last_ms) = load();
    (0..).map(move |slot| first_ms + slot * HALF_HOUR).take_while(move |ms| *ms <= last_ms)
}

/// What each half-hour that has settled by `ms` emits, 1e-21 kg, by the rows captured by then alone.
fn recomputed(captures: &Captures, ms: i64) -> BTreeMap<i64, i128> {
    let mut grams: BTreeMap<i64, i128> = BTreeMap::new();
    for row in captures.range(..=ms).flat_map(|(_, rows)| rows) {
        grams.insert(row.start_ms, row.grams());
    }
    let of_the_year = 207_070_000_000_000_000_000; // 0.20707 kg
    let emitted = |start_ms: i64| match grams.get(&start_ms) {
        Some(grams) => grams * 1_000_000_000_000_000_000,
        None => of_the_year,
    };
    let settled = half_hours().filter(|start_ms| start_ms + HALF_HOUR + GRACE <= ms);
    settled.map(|start_ms| (start_ms, emitted(start_ms))).collect()
}

/// The ledger as of each capture, and the instant before, is what was known then.
fn assert_as_of(ledger: &Ledger, captures: &Captures) {
    assert!(!captures.is_empty());
    for &ms in captures.keys() {
        for as_of_ms in [ms - BEFORE, ms] {
            let (found, expected) =
                (ledger.co2e_by_period(as_of_ms), recomputed(captures, as_of_ms));
            assert_eq!(found, expected, "as of {as_of_ms}");
            assert_eq!(ledger.co2e(as_of_ms), kg(expected.values().sum()), "as of {as_of_ms}");
        }
    }
}

/// Every capture restates for one reason alone, and by what it says more than the one before.
fn assert_reasons(ledger: &Ledger, captures: &Captures) -> usize {
    let mut restated = 0;
    for &ms in captures.keys() {
        let sum = |ms| recomputed(captures, ms).values().sum::<i128>();
        let written = ledger.written(ms);
        restated += written.len();
        if let [(reason, change)] = written.as_slice() {
            assert_eq!(*reason, "factor_revised", "at {ms}");
            assert_eq!(*change, kg(sum(ms) - sum(ms - BEFORE)), "at {ms}");
        } else {
            assert!(written.is_empty(), "at {ms}: {written:?}");
            assert_eq!(sum(ms), sum(ms - BEFORE), "at {ms}");
        }
    }
    restated
}

/// The factors that are booked as of `ms`, by half-hour.
fn factors(ledger: &Ledger, ms: i64) -> BTreeMap<i64, Id> {
    let lines = ledger.lines(ms).into_iter();
    lines.map(|key| (key.activity.period.start_ms(HALF_HOUR), key.activity.factor)).collect()
}

/// A half-hour that no capture shows is booked under the year's factor, and says so.
fn assert_stand_ins(ledger: &Ledger, captures: &Captures) {
    for &ms in captures.keys() {
        let rows = captures.range(..=ms).flat_map(|(_, rows)| rows);
        let shown: BTreeSet<i64> = rows.map(|row| row.start_ms).collect();
        for (start_ms, factor) in factors(ledger, ms) {
            let expected = if shown.contains(&start_ms) { factor_id(0) } else { factor_id(1) };
            assert_eq!(factor, expected, "{start_ms} as of {ms}");
        }
    }
}

#[test]
fn a_half_hour_is_what_it_was_forecast_then_what_came_out_and_then_what_is_corrected() {
    let captures = captures(A_FEW);
    let ledger = told(&captures);
    assert_as_of(&ledger, &captures);
    assert_stand_ins(&ledger, &captures);
    let first_ms = load().0;
    let of_first = |as_of| ledger.co2e_by_period(instant(as_of)).get(&first_ms).copied().map(kg);
    assert_eq!(of_first("2023-03-13T00:30Z"), None, "it has not settled");
    assert_eq!(of_first("2023-03-13T00:31Z"), Some("0.06".to_owned()));
    assert_eq!(of_first("2023-03-13T01:02Z"), Some("0.064".to_owned()));
    assert_eq!(of_first("2023-03-13T05:30Z"), Some("0.064".to_owned()));
    assert_eq!(of_first("2023-03-13T05:31Z"), Some("0.066".to_owned()));
    let written = |at| ledger.written(instant(at));
    assert_eq!(written("2023-03-13T00:05Z"), [], "nothing has settled");
    // The second half-hour took the year's factor at one o'clock, and two minutes later its own: 0.072 - 0.20707.
    let second = ("factor_revised", "-0.13107".to_owned());
    assert_eq!(written("2023-03-13T01:02Z"), [second], "with 0.004 of the first");
    assert_eq!(written("2023-03-13T03:01Z"), [("factor_revised", "-0.001".to_owned())]);
    assert_eq!(written("2023-03-13T05:31Z"), [("factor_revised", "0.002".to_owned())]);
}

#[test]
fn what_is_not_there_yet_keeps_the_forecast() {
    let captures = captures(A_FEW);
    let ledger = told(&captures);
    let second_ms = load().0 + HALF_HOUR;
    let as_of = ledger.co2e_by_period(instant("2023-03-13T02:00Z"));
    assert_eq!(as_of.get(&second_ms).copied().map(kg), Some("0.072".to_owned()));
}

#[test]
fn the_ledger_as_of_any_capture_is_what_was_known_then() {
    let folder = "neso-carbon-intensity-snapshots/";
    let Some(table) =
        shared(&format!("{folder}neso_national_intensity_snapshots_2023-03-13_14.csv"))
    else {
        return;
    };
    let captures = captures(&table);
    let ledger = told(&captures);
    assert_as_of(&ledger, &captures);
    assert_stand_ins(&ledger, &captures);
    assert!(assert_reasons(&ledger, &captures) > 2, "captures do restate");
    let end = Tick::new(*captures.keys().last().expect("captures"), Cause::Cut);
    let of_the_year = factors(&ledger, end.ms()).into_values().filter(|id| *id == factor_id(1));
    assert_eq!(of_the_year.count(), 6, "the first three hours were never captured");
}
