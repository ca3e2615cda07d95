//! Readings of a file become a ledger that others read, and its sums are those of the batch reference, to
//! the last digit.
//!
//! ```text
//!   fixtures ──► readings.jsonl ──┬─► plumeline run ──► lake ──┬─ plumeline views ─► DuckDB ─┐
//!                                 │                            └─ deltalake ─────────────────┤
//!                                 └─► batch reference ───────────────────────────── equals ──┘
//! ```

#![allow(clippy::unwrap_used, reason = "a test ends where something is wrong")]

mod rig;
mod support;

use std::fmt::Write;
use std::path::Path;

use plumeline_fixtures::fleet::{Fleet, Plan};
use plumeline_fixtures::load::Load;
use plumeline_fixtures::random::SplitMix64;
use rig::expected::Expected;
use rig::ledger::{self, ACTIVITY, EMISSIONS, FOOTPRINTS, assert_same, balances};
use rig::{DAY_MS, FILE_SOURCE, Rig, day_before_yesterday, now_ms};

const HOUR_MS: i64 = 3_600_000;

/// The ledger's sums, as `DuckDB` and as `deltalake` read them, equal the reference's.
fn assert_exact(rig: &Rig, python: &Path, expected: &Expected) {
    rig.verify();
    let root = rig.path("lake").display().to_string();
    let wanted = expected.balances(now_ms());
    let tables = [("activity", ACTIVITY), ("emissions", EMISSIONS), ("footprints", FOOTPRINTS)];
    for ((table, (query, keys)), wanted) in tables.into_iter().zip(&wanted) {
        assert!(!wanted.is_empty(), "{table}: the input says something");
        let by_views = balances(ledger::query(rig, python, query), keys);
        assert_same(&format!("{table} by DuckDB"), &by_views, wanted);
        let rows = ledger::query_delta(python, &root, &[table], query, &[]);
        assert_same(&format!("{table} by deltalake"), &balances(rows, keys), wanted);
    }
}

#[test]
fn a_fleets_day_is_in_the_ledger_to_the_last_digit() {
    let Some(python) = ledger::reader() else {
        return;
    };
    let start_ms = day_before_yesterday();
    let plan =
        Plan { start_ms, length_ms: 24 * HOUR_MS, sites: 3, meters_per_site: 18, ..Plan::demo() };
    let fleet = Fleet::new(plan);
    let sent = rig::fleet::sent(&fleet);
    let readings = sent.gateways + &sent.activities;
    assert!(readings.lines().count() > 5_000);
    let rig = Rig::new();
    rig.write("readings.jsonl", &readings);
    rig.write("factors.jsonl", sent.factors);
    rig.write("meters.csv", sent.meters);
    rig.write("nodes.csv", fleet.nodes_csv());
    rig.write(
        "pipeline.toml",
        format!(
            "name = \"fleet\"\ntimezone = \"Europe/London\"\ngwp = \"ar5\"\nworkers = 3\n\
             [http]\nlisten = \"127.0.0.1:0\"\n\
             [tables]\nmeters = \"meters.csv\"\nnodes = \"nodes.csv\"\n\
             {FILE_SOURCE}\
             [[source]]\nname = \"desk\"\ntype = \"file\"\npath = \"factors.jsonl\"\ncarries = \"factors\"\n\
             [[sink]]\ntype = \"delta\"\nurl = \"lake\"\ncommit_every = \"1s\"\n"
        ),
    );
    let mut expected = Expected::new(&rig, now_ms());
    expected.read_sources(&rig, &["readings.jsonl", "factors.jsonl"]);
    rig.run_to_end();
    assert_exact(&rig, &python, &expected);
    let rejected =
        ledger::one(&rig, &python, "SELECT count(*) FROM rejects WHERE event = 'rejected'");
    assert!(expected.rejects > 0);
    // A reading of which no meter row can make an amount is refused later, by the dataflow.
    assert!(rejected.parse::<usize>().unwrap() >= expected.rejects, "{rejected}");
}

/// Readings, some of them twice, corrected with and without a version, withdrawn, late by hours, of a meter
/// nobody knows, and payloads nobody can read.
fn troubled(load: &Load, count: usize) -> String {
    let mut lines = Vec::new();
    load.write_readings(count, &mut lines).unwrap();
    let lines = String::from_utf8(lines).unwrap();
    let mut dice = SplitMix64::new(7);
    let mut late: Vec<String> = Vec::new();
    let mut out = String::new();
    for line in lines.lines() {
        let extra = |extra: &str| format!("{},{extra}}}", line.strip_suffix('}').unwrap());
        match dice.between(0, 99) {
            0..5 => late.push(line.to_owned()),
            5..10 => writeln!(out, "{line}\n{line}").unwrap(),
            10..15 => {
                let better = line.replace("\"value\":", "\"value\":1");
                writeln!(out, "{line}\n{better}").unwrap();
                // An old message that comes again undoes nothing.
                late.push(line.to_owned());
            }
            15..20 => {
                let better =
                    line.replace("\"value\":", "\"value\":2").replacen('}', ",\"version\":3}", 1);
                writeln!(out, "{better}").unwrap();
                late.push(extra("\"version\":2"));
            }
            20..23 => {
                writeln!(out, "{line}").unwrap();
                late.push(extra("\"withdraw\":true"));
            }
            23..25 => {
                writeln!(out, "{}", line.replace("\"meter\":\"m", "\"meter\":\"nobody-")).unwrap();
            }
            25 => writeln!(out, "{}", line.replace("kWh", "L")).unwrap(),
            26 => writeln!(out, "{}", &line[..line.len() / 2]).unwrap(),
            27 => writeln!(out, "Online").unwrap(),
            _ => writeln!(out, "{line}").unwrap(),
        }
        if late.len() > 50 {
            late.drain(..).for_each(|line| writeln!(out, "{line}").unwrap());
        }
    }
    out + &late.join("\n")
}

#[test]
fn duplicates_corrections_and_late_readings_come_to_the_same_sums() {
    let Some(python) = ledger::reader() else {
        return;
    };
    let load = Load {
        seed: 3,
        start_ms: now_ms() / DAY_MS * DAY_MS - 5 * DAY_MS,
        meters: 40,
        sites: 4,
        factors: 3,
        every_ms: 900_000,
    };
    let rig = Rig::new();
    rig.write("readings.jsonl", troubled(&load, 6_000));
    rig.write("meters.csv", load.meters_csv());
    rig.write("nodes.csv", load.nodes_csv());
    rig.write("factors.csv", load.factors_csv(Some(1)));
    rig.write(
        "pipeline.toml",
        format!(
            "name = \"load\"\nperiod = \"1h\"\nwindows = [\"24h\"]\n\
             [http]\nlisten = \"127.0.0.1:0\"\n\
             [tables]\nmeters = \"meters.csv\"\nnodes = \"nodes.csv\"\nfactors = \"factors.csv\"\n\
             {FILE_SOURCE}\
             [[sink]]\ntype = \"delta\"\nurl = \"lake\"\ncompression = \"snappy\"\n"
        ),
    );
    let mut expected = Expected::new(&rig, now_ms());
    expected.read_sources(&rig, &["readings.jsonl"]);
    rig.run_to_end();
    assert_exact(&rig, &python, &expected);
    let known = "SELECT count(DISTINCT subject) FROM activity";
    assert_eq!(ledger::one(&rig, &python, known), "40", "nobody's meters are in nobody's balance");
    let parked = "SELECT count(*) FROM rejects WHERE event = 'parked' AND reason LIKE '%nobody-%'";
    assert_ne!(ledger::one(&rig, &python, parked), "0");
    let readings = "SELECT count(*) > 5000 FROM readings WHERE outcome = 'booked'";
    assert_eq!(ledger::one(&rig, &python, readings), "True");
}

#[test]
fn a_ledger_without_anything_in_it_can_be_asked() {
    let Some(python) = ledger::reader() else {
        return;
    };
    let rig = Rig::plain(FILE_SOURCE, "1s");
    rig.write("readings.jsonl", "");
    rig.run_to_end();
    assert_eq!(ledger::one(&rig, &python, "SELECT count(*) FROM footprint_location"), "0");
    assert_eq!(ledger::one(&rig, &python, "SELECT count(*) FROM meters"), "4");
}

#[test]
fn what_was_known_yesterday_can_be_asked_today() {
    let Some(python) = ledger::reader() else {
        return;
    };
    let rig = Rig::plain(FILE_SOURCE, "1s");
    rig.write("readings.jsonl", format!("{}\n", rig::reading(0)));
    rig.run_to_end();
    let first = "SELECT CAST(max(recorded_at) AS VARCHAR) FROM activity";
    let recorded = ledger::one(&rig, &python, first);
    // A second run goes on from the first; the file was written anew.
    rig.write("readings.jsonl", format!("{}\n", rig::reading(1)));
    rig.run_to_end();
    let sum = "SELECT CAST(sum(amount) AS INTEGER) FROM activity";
    assert_eq!(ledger::one(&rig, &python, sum), "3");
    let before = format!("{sum} WHERE recorded_at <= TIMESTAMPTZ '{recorded}'");
    assert_eq!(ledger::one(&rig, &python, &before), "1");
    let as_known = format!(
        "SELECT CAST(sum(co2e_kg) AS VARCHAR) FROM as_known_at(TIMESTAMPTZ '{recorded}') WHERE node = 'acme'"
    );
    assert_eq!(ledger::one(&rig, &python, &as_known), "0.500000000000000000000");
    let views = rig.plumeline(&["views", "--as-of", "2020-01-01T00:00:00Z"]);
    assert!(views.status.success());
    let script = String::from_utf8(views.stdout).unwrap();
    assert!(script.contains("As of: 2020-01-01 00:00:00.000+00"), "{script}");
}

#[test]
fn what_reaches_below_the_horizon_is_pending_and_named() {
    let Some(python) = ledger::reader() else {
        return;
    };
    // The readings are of the day before yesterday: a day too old.
    let rig = Rig::plain(FILE_SOURCE, "1s");
    let shorter = "period = \"1h\"\nretain = \"1d\"\nsamples = \"1d\"\nrestate = \"manual\"";
    rig.edit("pipeline.toml", "period = \"1d\"", shorter);
    rig.edit("pipeline.toml", "windows = [\"7d\"]", "windows = [\"24h\"]");
    let lines: Vec<String> = (0..5).map(rig::reading).collect();
    rig.write("readings.jsonl", lines.join("\n"));
    rig.run_to_end();
    let pending = "SELECT cause, subject, epoch_ms(period_from), epoch_ms(period_to), count \
                   FROM pending_restatements ORDER BY subject";
    let day_ms = day_before_yesterday();
    let row = |meter: &str, count: &str| {
        let hour = [day_ms, day_ms + HOUR_MS].map(|ms| ms.to_string());
        [
            "readings".to_owned(),
            meter.to_owned(),
            hour[0].clone(),
            hour[1].clone(),
            count.to_owned(),
        ]
    };
    let expected = [row("m-0", "2"), row("m-1", "1"), row("m-2", "1"), row("m-3", "1")];
    assert_eq!(ledger::query(&rig, &python, pending), expected);
    assert_eq!(ledger::one(&rig, &python, "SELECT count(*) FROM activity"), "0");
    rig.verify();
}
