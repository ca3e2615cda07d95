//! What reaches below the horizon is restated in the background, and booked once, whatever happens meanwhile.
//!
//! ```text
//!   horizon ─── a day ago
//!   readings of the day before yesterday ──► below it ──► pending ──► restated ──► `plumeline verify` agrees
//! ```
//!
//! That what is computed is right is proven on random histories by `pipelines/tests/hindsight.rs`; here, that the
//! program computes it, books it with a cut, and goes on from there.

#![allow(clippy::unwrap_used, reason = "a test ends where something is wrong")]

mod rig;
mod support;

use std::fmt::Write;
use std::path::Path;

use rig::points::{RESTATING, run_into};
use rig::verdict::assert_chain;
use rig::{DAY_MS, FILE_SOURCE, LIMIT, Rig, Running, energy, ledger, now_ms, reading};
use support::process::wait_until;

/// Readings of the day before yesterday.
const OLD: i64 = 40;
/// Makes a source that does not end.
const FOLLOW: &str = "follow = true\n";

fn lines(numbers: std::ops::Range<i64>) -> String {
    numbers.map(|number| reading(number) + "\n").collect()
}

/// A pipeline whose horizon lies a day back, in periods of an hour.
fn rig(mode: &str) -> Rig {
    let rig = Rig::plain(&format!("{FILE_SOURCE}{FOLLOW}"), "1s");
    let shorter =
        format!("period = \"1h\"\nretain = \"1d\"\nsamples = \"1d\"\nrestate = \"{mode}\"");
    rig.edit("pipeline.toml", "period = \"1d\"", &shorter);
    rig.edit("pipeline.toml", "windows = [\"7d\"]", "windows = [\"24h\"]");
    rig
}

fn pending(running: &Running) -> Option<u64> {
    running.metric("plumeline_pending_restatement_periods", &[])?.parse().ok()
}

/// Entries that were restated without a finer reason: what is booked for the first time is not among them.
fn restated(running: &Running) -> u64 {
    restated_for(running, "restated")
}

fn restated_for(running: &Running, reason: &str) -> u64 {
    let entries = running.metric("ghg_restatements_total", &[("reason", reason)]);
    entries.and_then(|entries| entries.parse().ok()).unwrap_or(0)
}

/// When `restatements` had its last commit.
fn booked(running: &Running) -> Option<String> {
    running.metric("plumeline_commit_timestamp_seconds", &[("table", "restatements")])
}

/// Waits until there was another restatement than the one at `last`, and nothing is left to do; says when.
#[track_caller]
fn wait_until_restated(running: &Running, last: Option<&str>) -> Option<String> {
    wait_until("everything below the horizon to be restated", LIMIT, || {
        pending(running) == Some(0) && booked(running).is_some_and(|at| Some(&*at) != last)
    });
    booked(running)
}

/// The ledger's energy, kWh, and emissions, kg times two.
fn sums(rig: &Rig, python: &Path) -> [String; 2] {
    let sums = "SELECT CAST(sum(amount) AS INTEGER), \
                CAST((SELECT sum(co2e_kg) * 2 FROM footprints WHERE depth = 0) AS INTEGER) FROM activity";
    ledger::query(rig, python, sums).remove(0).try_into().unwrap()
}

#[test]
fn late_readings_are_booked_below_the_horizon() {
    let rig = rig("auto");
    rig.write("readings.jsonl", lines(0..OLD));
    let running = rig.run();
    let first = wait_until_restated(&running, None);
    assert_eq!(restated(&running), 0, "they were never booked before");
    // A correction of one that is in the ledger by now.
    let corrected = reading(0).replace("\"value\":1,", "\"value\":101,");
    rig.write("readings.jsonl", lines(0..OLD) + &corrected + "\n");
    running.wait_for("history", "parked", u64::try_from(OLD + 1).unwrap());
    wait_until_restated(&running, first.as_deref());
    assert_eq!((restated_for(&running, "reading_corrected"), restated(&running)), (1, 0));
    running.stop();
    rig.verify();
    assert_chain(&rig);
    let dry = rig.plumeline(&["restate", "--dry-run"]);
    let said = String::from_utf8(dry.stdout).unwrap();
    assert_eq!(said, "nothing is missing below the horizon\n");
    let Some(python) = ledger::reader() else {
        return;
    };
    let sum = (energy(OLD) + 100).to_string();
    assert_eq!(sums(&rig, &python), [sum.clone(), sum]);
}

#[test]
fn a_revised_factor_restates_what_is_below_the_horizon() {
    let rig = rig("auto");
    rig.write("readings.jsonl", lines(0..OLD));
    let running = rig.run();
    let first = wait_until_restated(&running, None);
    let revised = "a test,\ngrid,2,2,0,any,co2,1.0,kWh,2020-01-01,,a revision,";
    rig.edit("factors.csv", "a test,", revised);
    wait_until_restated(&running, first.as_deref());
    // Each of the four emissions is taken back and booked again.
    assert_eq!((restated_for(&running, "factor_revised"), restated(&running)), (8, 0));
    running.stop();
    rig.verify();
    let Some(python) = ledger::reader() else {
        return;
    };
    let sum = energy(OLD);
    assert_eq!(sums(&rig, &python), [sum.to_string(), (2 * sum).to_string()]);
}

#[test]
fn a_factor_says_why_what_is_below_the_horizon_changed() {
    let rig = rig("auto");
    let header = "factor,revision,scope,gas,kg_per_unit,unit,valid_from,source,change\n";
    let row = |revision: i64, kg: &str, from: &str, change: &str| {
        format!("grid,{revision},2,co2,{kg},kWh,{from},a test,{change}\n")
    };
    let mut table = header.to_owned() + &row(1, "0.5", "2020-01-01", "");
    rig.write("factors.csv", &table);
    rig.write("readings.jsonl", lines(0..OLD));
    let running = rig.run();
    let mut last = wait_until_restated(&running, None);
    for (revised, reason) in [
        (row(2, "0.6", "2020-01-01", "error"), "factor_error"),
        (row(3, "0.7", "2021-01-01", ""), "factor_new_vintage"),
        (row(4, "1.0", "2021-01-01", ""), "factor_revised"),
    ] {
        table += &revised;
        rig.write("factors.csv", &table);
        last = wait_until_restated(&running, last.as_deref());
        assert_eq!((restated_for(&running, reason), restated(&running)), (8, 0), "{reason}");
    }
    // A factor and an amount at once: two causes, and one entry each.
    table += &row(5, "0.5", "2021-01-01", "");
    running.stop();
    let corrected = reading(0).replace("\"value\":1,", "\"value\":101,");
    rig.write("factors.csv", &table);
    rig.write("readings.jsonl", lines(0..OLD) + &corrected + "\n");
    rig.edit("pipeline.toml", FOLLOW, "");
    rig.edit("pipeline.toml", "restate = \"auto\"", "restate = \"manual\"");
    rig.run_to_end();
    let done = rig.plumeline(&["restate"]);
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    rig.verify();
    assert_chain(&rig);
    let Some(python) = ledger::reader() else {
        return;
    };
    let sum = (energy(OLD) + 100).to_string();
    assert_eq!(sums(&rig, &python), [sum.clone(), sum]);
    let reasons = "SELECT subject, reason, count(*) FROM emissions WHERE factor_revision = 5 GROUP BY ALL ORDER BY ALL";
    let of = |meter: &str, reason: &str| [meter.to_owned(), reason.to_owned(), "1".to_owned()];
    let expected = [
        of("m-0", "restated"),
        of("m-1", "factor_revised"),
        of("m-2", "factor_revised"),
        of("m-3", "factor_revised"),
    ];
    assert_eq!(ledger::query(&rig, &python, reasons), expected);
}

#[test]
fn a_late_position_of_a_register_moves_energy_from_above_the_horizon_to_below() {
    let rig = rig("auto");
    rig.edit("meters.csv", "m-0,plant,interval,kWh,1m,", "m-0,plant,register,kWh,,");
    let day_ms = now_ms() / DAY_MS * DAY_MS;
    let position = |at_ms: i64, value: i64| {
        format!(
            "{{\"meter\":\"m-0\",\"observed_at_ms\":{at_ms},\"value\":{value},\"unit\":\"kWh\"}}\n"
        )
    };
    // One four days back, one of yesterday's noon: what lies between is spread evenly.
    let above = position(day_ms - 4 * DAY_MS, 1000) + &position(day_ms - DAY_MS / 2, 1700);
    rig.write("readings.jsonl", &above);
    let running = rig.run();
    let first = wait_until_restated(&running, None);
    // Nearly all of it was used in the first day, as is heard now.
    let late = position(day_ms - 3 * DAY_MS, 1650);
    rig.write("readings.jsonl", above + &late);
    running.wait_for("history", "parked", 2);
    wait_until_restated(&running, first.as_deref());
    running.stop();
    rig.verify();
    let Some(python) = ledger::reader() else {
        return;
    };
    assert_eq!(sums(&rig, &python), ["700", "700"]);
    let by_day = "SELECT CAST(sum(amount) AS DECIMAL(9,3)) FROM activity \
                  GROUP BY date_trunc('day', period_start) ORDER BY date_trunc('day', period_start)";
    let expected = ["650.000", "20.000", "20.000", "10.000"].map(|sum| [sum.to_owned()]);
    assert_eq!(ledger::query(&rig, &python, by_day), expected);
    let reasons = format!(
        "SELECT DISTINCT reason FROM emissions WHERE co2e_kg < 0 AND period_start < to_timestamp({})",
        (day_ms - DAY_MS) / 1000
    );
    assert_eq!(ledger::query(&rig, &python, &reasons), [["reading_late"]]);
}

#[test]
fn it_waits_to_be_asked_where_it_was_told_to() {
    let rig = rig("manual");
    rig.write("readings.jsonl", lines(0..OLD));
    let running = rig.run();
    wait_until("something to be pending", LIMIT, || pending(&running) > Some(0));
    running.wait_for("history", "parked", u64::try_from(OLD).unwrap());
    running.stop();
    // The next run knows of it, too.
    let running = rig.run();
    wait_until("it to be pending still", LIMIT, || pending(&running) > Some(0));
    let dry = rig.plumeline(&["restate", "--dry-run"]);
    let said = String::from_utf8(dry.stdout).unwrap();
    let kg = format!("+{}.000", energy(OLD) / 2);
    assert!(said.contains("acme") && said.contains(&kg), "{said}");
    let asked = rig.plumeline(&["restate"]);
    assert!(!asked.status.success(), "nobody listens at port 0, and the state folder is locked");
    let listen = format!("127.0.0.1:{}", running.port());
    rig.edit("pipeline.toml", "127.0.0.1:0", &listen);
    let asked = rig.plumeline(&["restate"]);
    assert!(asked.status.success(), "{}", String::from_utf8_lossy(&asked.stderr));
    wait_until_restated(&running, None);
    running.stop();
    rig.verify();
}

#[test]
fn it_is_done_by_itself_where_no_pipeline_runs() {
    let rig = rig("manual");
    rig.edit("pipeline.toml", FOLLOW, "");
    rig.write("readings.jsonl", lines(0..OLD));
    rig.run_to_end();
    let done = rig.plumeline(&["restate"]);
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    rig.verify();
    let Some(python) = ledger::reader() else {
        return;
    };
    let sum = energy(OLD).to_string();
    assert_eq!(sums(&rig, &python), [sum.clone(), sum]);
    let reasons = "SELECT DISTINCT reason FROM activity";
    assert_eq!(ledger::one(&rig, &python, reasons), "backfill");
}

#[test]
fn a_ledger_without_all_its_readings_is_left_alone() {
    let rig = rig("auto");
    rig.edit("pipeline.toml", FOLLOW, "");
    rig.edit("pipeline.toml", "url = \"lake\"", "url = \"lake\"\nreadings = \"none\"");
    rig.write("readings.jsonl", lines(0..OLD));
    rig.run_to_end();
    rig.edit("pipeline.toml", "readings = \"none\"", "");
    for words in [&["restate", "--dry-run"][..], &["verify"]] {
        let output = rig.plumeline(words);
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(!output.status.success() && said.contains("some of the ledger"), "{said}");
    }
    rig.write("readings.jsonl", lines(0..2 * OLD));
    rig.run_to_end();
    let output = rig.plumeline(&["restate", "--dry-run"]);
    assert!(!output.status.success(), "what was lost stays lost");
}

#[test]
fn an_activity_from_below_the_horizon_can_be_taken_back() {
    let rig = rig("auto");
    let day_ms = rig::day_before_yesterday();
    let said = |id: &str, from_ms: i64, rest: &str| {
        let to_ms = from_ms + 3_600_000;
        format!(
            "{{\"activity\":\"{id}\",\"node\":\"plant\",\"factor\":\"grid\",\"from_ms\":{from_ms},\
             \"to_ms\":{to_ms},\"unit\":\"kWh\",{rest}}}\n"
        )
    };
    let mut text = said("a", day_ms, "\"value\":10") + &said("b", day_ms, "\"value\":5");
    rig.write("readings.jsonl", &text);
    let running = rig.run();
    let first = wait_until_restated(&running, None);
    // One is withdrawn, the other was of yesterday.
    text += &said("a", day_ms, "\"withdraw\":true");
    text += &said("b", day_ms + DAY_MS, "\"value\":6,\"version\":2");
    rig.write("readings.jsonl", &text);
    wait_until_restated(&running, first.as_deref());
    running.stop();
    rig.verify();
    let Some(python) = ledger::reader() else {
        return;
    };
    assert_eq!(sums(&rig, &python), ["6", "6"]);
}

#[test]
fn files_are_taken_in_once_however_often_they_are_given() {
    let rig = rig("manual");
    rig.write("readings.jsonl", "");
    let mut csv = String::from("meter,observed_at_ms,value,unit\n");
    for number in 0..OLD {
        let (meter, at_ms) = (number % 4, rig::day_before_yesterday() + 60_000 * (1 + number / 4));
        writeln!(csv, "m-{meter},{at_ms},{},kWh", number + 1).unwrap();
    }
    csv += "m-1,yesterday,3,kWh\n";
    rig.write("history.csv", csv);
    rig.write("more.jsonl", lines(OLD..2 * OLD));
    let backfill = || {
        let output = std::process::Command::new(env!("CARGO_BIN_EXE_plumeline"))
            .arg("backfill")
            .arg(rig.path("pipeline.toml"))
            .args([rig.path("history.csv"), rig.path("more.jsonl")])
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    };
    backfill();
    backfill();
    rig.verify();
    assert_chain(&rig);
    let Some(python) = ledger::reader() else {
        return;
    };
    let sum = energy(2 * OLD).to_string();
    assert_eq!(sums(&rig, &python), [sum.clone(), sum]);
    assert_eq!(ledger::one(&rig, &python, "SELECT count(*) FROM readings"), (2 * OLD).to_string());
    let refused =
        "SELECT position FROM rejects WHERE event = 'rejected' AND source LIKE '%history.csv'";
    assert_eq!(ledger::one(&rig, &python, refused), (OLD + 2).to_string());
}

#[test]
fn rows_of_a_parquet_file_are_taken_in_once_however_often_they_are_given() {
    let Some(python) = ledger::reader() else {
        return;
    };
    let rig = rig("manual");
    rig.edit("pipeline.toml", FOLLOW, "");
    rig.write("readings.jsonl", "");
    rig.run_to_end();
    let (file, day_s) = (rig.path("history.parquet"), rig::day_before_yesterday() / 1000);
    let copy = format!(
        "COPY (SELECT 'm-' || (n % 4) AS meter, to_timestamp({day_s} + 60 * (1 + n // 4)) AS observed_at, \
         CAST(n + 1 AS DECIMAL(9, 3)) AS value, 'kWh' AS unit FROM range({OLD}) AS numbers(n) \
         UNION ALL SELECT 'm-1', NULL, 3, 'kWh') TO '{}' (FORMAT parquet)",
        file.display()
    );
    ledger::query(&rig, &python, &copy);
    for _ in 0..2 {
        let output = std::process::Command::new(env!("CARGO_BIN_EXE_plumeline"))
            .args(["backfill".as_ref(), rig.path("pipeline.toml").as_os_str(), file.as_os_str()])
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
    rig.verify();
    let sum = energy(OLD).to_string();
    assert_eq!(sums(&rig, &python), [sum.clone(), sum]);
    assert_eq!(ledger::one(&rig, &python, "SELECT count(*) FROM readings"), OLD.to_string());
    let refused = "SELECT position FROM rejects WHERE event = 'rejected'";
    assert_eq!(ledger::one(&rig, &python, refused), (OLD + 1).to_string());
}

#[test]
fn an_end_at_any_moment_of_it_books_it_once() {
    std::thread::scope(|scope| {
        for point in RESTATING {
            scope.spawn(move || {
                let rig = rig("auto");
                rig.write("readings.jsonl", lines(0..OLD));
                assert!(run_into(&rig, (point, 0), LIMIT), "{point} is never reached");
                // Once more, on the way back.
                assert!(run_into(&rig, ("restore-done", 0), LIMIT), "{point}");
                let running = rig.run();
                wait_until("everything below the horizon to be restated", LIMIT, || {
                    pending(&running) == Some(0)
                });
                running.stop();
                rig.verify();
                assert_chain(&rig);
                let Some(python) = ledger::reader() else {
                    return;
                };
                let sum = energy(OLD).to_string();
                assert_eq!(sums(&rig, &python), [sum.clone(), sum], "{point}");
            });
        }
    });
}
