//! A real stream of carbon intensities through the whole program: the ledger as of each capture, asked of the Parquet
//! files, is what had been captured by then.
//!
//! ```text
//! load up to a capture ──▶ run, commit: an instant before ─┐
//! the capture's rows ────▶ run, commit: an instant after ──┴─▶ DuckDB: WHERE recorded_at <= either ─┐
//! captures ──▶ the last row of each half-hour, in g ──▶ 1 kWh each, summed as integers ─────────────┴─ equal
//! ```
//!
//! 1. `recorded_at` is the pipeline's own: what an entry was recorded at cannot be told it. So each capture is fed when
//!    the one before is committed, and the newest `recorded_at` after each is kept.
//! 2. Rows come as a publisher sends them: without a revision. The series is `rolling`, so each follows on the last.
//! 3. The dates are moved by whole days, to where the pipeline restates by itself, and once left as they are, years below
//!    `retain`, where `plumeline restate` books.
//!
//! Source: NESO, Carbon Intensity API (CC BY 4.0), as captured in March 2023. Where no shared data stands beside the
//! repository, the few captures below are all. `pipelines/tests/bitemporal.rs` proves the same of the dataflow alone.

#![allow(clippy::unwrap_used, reason = "a test ends where something is wrong")]

mod rig;
mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::fs;
use std::path::Path;

use jiff::Timestamp;
use plumeline::report::figures::parse_kilograms;
use rig::{DAY_MS, FILE_SOURCE, Rig, day_before_yesterday, ledger};
use serde_json::Value;

const HALF_HOUR_MS: i64 = 1_800_000;
/// The first day of the load, and how many half-hours it has.
const FIRST_DAY: &str = "2023-03-13T00:00Z";
const HALF_HOURS: i64 = 96;
/// 1e-21 kg in a gram.
const GRAM: i128 = 1_000_000_000_000_000_000;
/// What stands in for half-hours that nobody captured: DESNZ 2023, UK electricity, 0.20707 kg CO2e a kWh.
const OF_THE_YEAR: i128 = 207_070 * GRAM / 1_000;

/// Two half-hours, as they were forecast, came out, and were corrected.
const A_FEW: &str = "\
2023-03-13T00:05Z,fw48h,2023-03-13T00:00Z,60,
2023-03-13T01:02Z,pt24h,2023-03-13T00:00Z,60,64
2023-03-13T01:02Z,fw48h,2023-03-13T00:30Z,72,
2023-03-13T03:01Z,pt24h,2023-03-13T00:00Z,60,64
2023-03-13T03:01Z,pt24h,2023-03-13T00:30Z,72,71
2023-03-13T05:31Z,pt24h,2023-03-13T00:00Z,60,66
2023-03-13T05:31Z,pt24h,2023-03-13T00:30Z,72,71";

/// A row of a capture: g CO2e a kWh, which came out or are forecast.
#[derive(Copy, Clone, Debug)]
struct Row {
    start_ms: i64,
    grams: i128,
    is_forecast: bool,
}

/// Captures by their instants.
type Captures = BTreeMap<i64, Vec<Row>>;
/// 1e-21 kg by half-hour.
type Kilograms = BTreeMap<i64, i128>;

/// `2023-03-14T03:01Z`, ms.
fn instant(text: &str) -> i64 {
    text.replace('Z', ":00Z").parse::<Timestamp>().unwrap().as_millisecond()
}

fn utc(ms: i64) -> String {
    Timestamp::from_millisecond(ms).unwrap().to_string()
}

fn captures(table: &str) -> Captures {
    let mut captures = Captures::new();
    for line in table.lines().filter(|line| line.starts_with("20")) {
        let [recorded_at, _, start, forecast, actual] =
            line.split(',').collect::<Vec<_>>().try_into().unwrap();
        let known = if actual.is_empty() { forecast } else { actual };
        captures.entry(instant(recorded_at)).or_default().push(Row {
            start_ms: instant(start),
            grams: known.parse().unwrap(),
            is_forecast: actual.is_empty(),
        });
    }
    captures
}

/// The real ones, from beside the repository.
fn shared() -> Option<Captures> {
    let name =
        "neso-carbon-intensity-snapshots/neso_national_intensity_snapshots_2023-03-13_14.csv";
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data").join(name);
    fs::read_to_string(path).ok().map(|table| captures(&table))
}

/// The half-hours of the load that are over at an instant.
fn over_at(ms: i64) -> impl Iterator<Item = i64> {
    let starts = (0..HALF_HOURS).map(|slot| instant(FIRST_DAY) + slot * HALF_HOUR_MS);
    starts.filter(move |start_ms| start_ms + HALF_HOUR_MS <= ms)
}

/// What a load of 1 kWh in each of these half-hours emits, by the captures up to one of them.
fn recomputed(load: impl Iterator<Item = i64>, known: &[(&i64, &Vec<Row>)]) -> Kilograms {
    let rows = known.iter().flat_map(|(_, rows)| rows.iter());
    let grams: BTreeMap<i64, i128> = rows.map(|row| (row.start_ms, row.grams)).collect();
    let emitted = |start_ms: i64| grams.get(&start_ms).map_or(OF_THE_YEAR, |grams| grams * GRAM);
    load.map(|start_ms| (start_ms, emitted(start_ms))).collect()
}

/// Which dates the pipeline is told.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
enum Dates {
    /// Moved by so many ms, whole days, to where it restates by itself.
    Moved(i64),
    /// As they are.
    Real,
}

impl Dates {
    fn recent() -> Self {
        let moved_ms = day_before_yesterday() - instant(FIRST_DAY);
        assert_eq!(moved_ms % DAY_MS, 0);
        Self::Moved(moved_ms)
    }

    fn moved_ms(self) -> i64 {
        match self {
            Self::Moved(ms) => ms,
            Self::Real => 0,
        }
    }
}

/// The ledger, and what it has to say as of some instants.
struct Told {
    rig: Rig,
    dates: Dates,
    /// `recorded_at`, what is known then, and the reason of entries since the one before.
    known: Vec<(String, Kilograms, &'static str)>,
}

impl Told {
    /// A pipeline that has not heard anything.
    fn new(dates: Dates) -> Self {
        let desk = "[[source]]\nname = \"desk\"\ntype = \"file\"\npath = \"captures.jsonl\"\ncarries = \"factors\"\n";
        let rig = Rig::plain(&format!("{FILE_SOURCE}{desk}"), "1s");
        rig.edit("pipeline.toml", "period = \"1d\"", "period = \"30m\"");
        rig.edit("pipeline.toml", "[tables]\n", "[tables]\nseries = \"series.csv\"\n");
        rig.write("series.csv", "factor,series,fallback\nneso,rolling,of-the-year\n");
        rig.write(
            "factors.csv",
            "factor,revision,scope,method,gas,kg_per_unit,unit,valid_from,source\n\
             of-the-year,2023,2,location,co2e,0.20707,kWh,2020-01-01,DESNZ 2023: UK electricity\n",
        );
        let meter =
            "meter,node,kind,unit,stamp,interval,factor\nload,plant,interval,kWh,start,30m,neso\n";
        rig.write("meters.csv", meter);
        rig.write("readings.jsonl", "");
        rig.write("captures.jsonl", "");
        Self { rig, dates, known: Vec::new() }
    }

    /// Everything, in the order in which it happened.
    fn all(dates: Dates, captures: &Captures, python: &Path) -> Self {
        let mut told = Self::new(dates);
        let all: Vec<_> = captures.iter().collect();
        let mut heard_ms = i64::MIN;
        for (index, (capture_ms, rows)) in all.iter().enumerate() {
            let news = over_at(**capture_ms).filter(|start_ms| start_ms + HALF_HOUR_MS > heard_ms);
            let readings: String = news.map(|start_ms| told.reading(start_ms)).collect();
            heard_ms = **capture_ms;
            told.append("readings.jsonl", &readings);
            told.book(recomputed(over_at(heard_ms), &all[..index]), "reading_late", python);
            told.append("captures.jsonl", &told.versions(rows));
            told.book(recomputed(over_at(heard_ms), &all[..=index]), "factor_revised", python);
        }
        told
    }

    fn reading(&self, start_ms: i64) -> String {
        let at = utc(start_ms + self.dates.moved_ms());
        format!("{{\"meter\":\"load\",\"observed_at\":\"{at}\",\"value\":1,\"unit\":\"kWh\"}}\n")
    }

    /// A capture as its publisher sends it: every half-hour it shows, known or not.
    fn versions(&self, rows: &[Row]) -> String {
        let mut lines = String::new();
        for row in rows {
            let from_ms = row.start_ms + self.dates.moved_ms();
            let span = format!(
                "\"valid_from\":\"{}\",\"valid_to\":\"{}\"",
                utc(from_ms),
                utc(from_ms + HALF_HOUR_MS)
            );
            let status = if row.is_forecast { "forecast" } else { "estimated" };
            let rate = format!("\"kg_per_unit\":0.{:03},\"unit\":\"kWh\"", row.grams);
            let about = "\"factor\":\"neso\",\"scope\":2,\"method\":\"location\",\"gas\":\"co2e\"";
            writeln!(lines, "{{{about},{rate},{span},\"status\":\"{status}\"}}").unwrap();
        }
        lines
    }

    fn append(&self, file: &str, lines: &str) {
        let said = fs::read_to_string(self.rig.path(file)).unwrap();
        self.rig.write(file, said + lines);
    }

    /// Runs and commits, and keeps the newest instant at which anything was recorded.
    fn book(&mut self, known: Kilograms, reason: &'static str, python: &Path) {
        self.rig.run_to_end();
        if self.dates == Dates::Real {
            let restated = self.rig.plumeline(&["restate"]);
            assert!(restated.status.success(), "{}", String::from_utf8_lossy(&restated.stderr));
        }
        let newest =
            "SELECT CAST(coalesce(max(recorded_at), to_timestamp(0)) AS VARCHAR) FROM emissions";
        self.known.push((ledger::one(&self.rig, python, newest), known, reason));
    }

    /// Every answer of the ledger is what was known then.
    fn assert_as_of(&self, python: &Path) {
        let mut asked = BTreeSet::new();
        for (recorded_at, expected, _) in &self.known {
            let sums = format!(
                "SELECT epoch_ms(period_start) - {}, sum(co2e_kg) FROM emissions \
                 WHERE recorded_at <= TIMESTAMPTZ '{recorded_at}' GROUP BY 1",
                self.dates.moved_ms()
            );
            let found = kilograms(ledger::query(&self.rig, python, &sums));
            assert_eq!(found, *expected, "as of {recorded_at}");
            let total = format!(
                "SELECT coalesce(sum(co2e_kg), 0) FROM footprints WHERE node = 'acme' \
                 AND recorded_at <= TIMESTAMPTZ '{recorded_at}'"
            );
            let total = parse_kilograms(&ledger::one(&self.rig, python, &total)).unwrap();
            assert_eq!(total, expected.values().sum::<i128>(), "as of {recorded_at}");
            asked.insert(recorded_at);
        }
        assert!(asked.len() * 3 > self.known.len() * 2, "most of it changes something: {asked:?}");
    }

    /// A load is booked when it is told, and what a capture says otherwise than what was known is a revision by just
    /// that.
    fn assert_reasons(&self, python: &Path) {
        let changes = "SELECT CAST(recorded_at AS VARCHAR), reason, sum(co2e_kg) FROM emissions GROUP BY ALL \
                       HAVING sum(co2e_kg) <> 0 ORDER BY 1, 2";
        let found: Vec<_> = ledger::query(&self.rig, python, changes)
            .into_iter()
            .map(|row| (row[0].clone(), row[1].clone(), parse_kilograms(&row[2]).unwrap()))
            .collect();
        let mut before = 0;
        let mut expected = Vec::new();
        for (recorded_at, known, reason) in &self.known {
            let sum = known.values().sum::<i128>();
            if sum != before {
                expected.push((recorded_at.clone(), (*reason).to_owned(), sum - before));
            }
            before = sum;
        }
        assert_eq!(found, expected);
    }

    /// Half-hours that nobody has captured are booked under the year's factor, and say so.
    fn assert_stand_ins(&self, captures: &Captures, python: &Path) {
        let shown: BTreeSet<i64> = captures.values().flatten().map(|row| row.start_ms).collect();
        let (end_ms, _) = captures.last_key_value().unwrap();
        let missing = over_at(*end_ms).filter(|start_ms| !shown.contains(start_ms)).count();
        let stood_in = "SELECT count(*) FROM (SELECT period_start FROM emissions \
                        WHERE factor = 'of-the-year' GROUP BY 1 HAVING sum(co2e_kg) > 0)";
        assert_eq!(ledger::one(&self.rig, python, stood_in), missing.to_string());
    }

    /// A report as of a capture says what was known then, whatever came afterwards.
    fn assert_reported(&self) {
        let day = |days: i64| {
            utc(instant(FIRST_DAY) + self.dates.moved_ms() + days * DAY_MS)[..10].to_owned()
        };
        let (from, to) = (day(0), day(2));
        let about = ["--company", "acme", "--from", &from, "--to", &to];
        let report = |words: &[&str]| {
            let output = self.rig.plumeline(&[&["report"], words, &about[..]].concat());
            let said = [output.stdout, output.stderr].concat();
            let said = String::from_utf8(said).unwrap();
            assert!(output.status.success(), "{said}");
            said
        };
        let mut locked = BTreeSet::new();
        for (recorded_at, known, _) in &self.known {
            if known.is_empty() || !locked.insert(recorded_at) {
                continue;
            }
            let as_of = recorded_at.replace(' ', "T").replace("+00", "Z");
            report(&["lock", "--as-of", &as_of, "--by", "a test"]);
            let shown: Value = serde_json::from_str(&report(&["show", "--json"])).unwrap();
            let lines = shown["lines"].as_array().unwrap();
            let total = lines.iter().find(|line| line["line"] == "Total, location-based").unwrap();
            let kg = |field: &str| parse_kilograms(total[field].as_str().unwrap()).unwrap();
            let (then, now) = (known.values().sum::<i128>(), self.now());
            assert_eq!((kg("locked_kg"), kg("now_kg")), (then, now), "{shown:#}");
        }
    }

    /// All of it, as known in the end.
    fn now(&self) -> i128 {
        self.known.last().unwrap().1.values().sum()
    }
}

fn kilograms(rows: ledger::Rows) -> Kilograms {
    let sum = |row: Vec<String>| (row[0].parse().unwrap(), parse_kilograms(&row[1]).unwrap());
    rows.into_iter().map(sum).collect()
}

#[test]
fn a_few_captures_are_told_apart_for_ever() {
    let Some(python) = ledger::reader() else {
        return;
    };
    let captures = captures(A_FEW);
    let told = Told::all(Dates::recent(), &captures, &python);
    told.assert_as_of(&python);
    told.assert_reasons(&python);
    told.assert_stand_ins(&captures, &python);
    told.rig.verify();
}

#[test]
fn the_ledger_as_of_any_capture_is_what_was_known_then() {
    let (Some(captures), Some(python)) = (shared(), ledger::reader()) else {
        return;
    };
    let told = Told::all(Dates::recent(), &captures, &python);
    told.assert_as_of(&python);
    told.assert_reasons(&python);
    told.assert_stand_ins(&captures, &python);
    told.assert_reported();
    told.rig.verify();
}

#[test]
fn so_it_is_years_below_the_horizon() {
    let Some(python) = ledger::reader() else {
        return;
    };
    let captures = captures(A_FEW);
    let told = Told::all(Dates::Real, &captures, &python);
    told.assert_as_of(&python);
    told.assert_stand_ins(&captures, &python);
    told.assert_reported();
    told.rig.verify();
}
