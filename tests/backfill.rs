//! Files of history are taken in by a pipeline while it runs, behind its live readings and once, however often they
//! are given and whenever it is killed. That an import of its own does so, too, is in `tests/restate.rs`.

#![allow(clippy::unwrap_used, reason = "a test ends where something is wrong")]

mod rig;
mod support;

use std::ops::Range;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use rig::verdict::assert_chain;
use rig::{FILE_SOURCE, LIMIT, Rig, Running, energy, ledger, reading};
use support::process::wait_until;

/// Readings of a file that takes a while.
const MANY: i64 = 8_000;

fn lines(numbers: Range<i64>) -> String {
    numbers.map(|number| reading(number) + "\n").collect()
}

/// A pipeline that follows a file, whose horizon lies a day back, in periods of an hour.
fn rig(mode: &str) -> Rig {
    let rig = Rig::plain(&format!("{FILE_SOURCE}follow = true\n"), "1s");
    let shorter =
        format!("period = \"1h\"\nretain = \"1d\"\nsamples = \"1d\"\nrestate = \"{mode}\"");
    rig.edit("pipeline.toml", "period = \"1d\"", &shorter);
    rig.edit("pipeline.toml", "windows = [\"7d\"]", "windows = [\"24h\"]");
    rig
}

/// The command, to the pipeline that runs.
fn command(rig: &Rig, running: &Running, files: &[&str]) -> Command {
    let text = std::fs::read_to_string(rig.path("pipeline.toml")).unwrap();
    let there = text.replace("127.0.0.1:0", &format!("127.0.0.1:{}", running.port()));
    rig.write("there.toml", there);
    let mut command = Command::new(env!("CARGO_BIN_EXE_plumeline"));
    command.arg("backfill").arg(rig.path("there.toml")).stdin(Stdio::null());
    command.args(files.iter().map(|file| rig.path(file)));
    command
}

fn backfill(rig: &Rig, running: &Running, files: &[&str]) -> Output {
    command(rig, running, files).output().unwrap()
}

#[track_caller]
fn succeeds(output: &Output) -> String {
    let said = |bytes| String::from_utf8_lossy(bytes).into_owned();
    assert!(output.status.success(), "{}", said(&output.stderr));
    said(&output.stdout)
}

/// The ledger holds the first `count` readings, each once.
#[track_caller]
fn assert_holds(rig: &Rig, count: i64) {
    rig.verify();
    assert_chain(rig);
    let Some(python) = ledger::reader() else {
        return;
    };
    let sums = "SELECT CAST(sum(amount) AS INTEGER), (SELECT count(*) FROM readings) FROM activity";
    let expected = [[energy(count).to_string(), count.to_string()]];
    assert_eq!(ledger::query(rig, &python, sums), expected);
}

#[test]
fn files_are_taken_in_between_live_readings_and_booked() {
    let rig = rig("auto");
    rig.write("readings.jsonl", lines(0..20));
    rig.write("old.jsonl", lines(20..60));
    rig.write("older.jsonl", lines(60..90));
    let running = rig.run();
    let first = succeeds(&backfill(&rig, &running, &["old.jsonl", "older.jsonl"]));
    assert!(first.contains("behind the live input"), "{first}");
    assert!(first.contains("all that they say is booked"), "{first}");
    // Given again, it has nothing to do; live readings go on.
    rig.write("readings.jsonl", lines(0..20) + &lines(90..100));
    succeeds(&backfill(&rig, &running, &["older.jsonl"]));
    let source = format!("backfill {}", rig.path("old.jsonl").display());
    wait_until("the live readings", LIMIT, || {
        running.outcome("history", "parked") + running.outcome("history", "booked") == 30
    });
    assert_eq!(running.outcome(&source, "parked"), 40);
    running.stop();
    assert_holds(&rig, 100);
    let Some(python) = ledger::reader() else {
        return;
    };
    let of_file = "SELECT count(*) FROM readings WHERE source LIKE 'backfill %older.jsonl'";
    assert_eq!(ledger::one(&rig, &python, of_file), "30");
}

#[test]
fn what_lies_below_the_horizon_waits_where_somebody_has_to_say_so() {
    let rig = rig("manual");
    rig.write("readings.jsonl", "");
    rig.write("old.jsonl", lines(0..40));
    let running = rig.run();
    let said = succeeds(&backfill(&rig, &running, &["old.jsonl"]));
    assert!(said.contains("wait for `plumeline restate`"), "{said}");
    running.stop();
    rig.edit("pipeline.toml", "follow = true\n", "");
    let restated = rig.plumeline(&["restate"]);
    assert!(restated.status.success(), "{}", String::from_utf8_lossy(&restated.stderr));
    assert_holds(&rig, 40);
}

#[test]
fn a_file_that_cannot_be_taken_in_is_told() {
    let rig = rig("auto");
    rig.write("readings.jsonl", "");
    rig.write("no.parquet", "this is no Parquet");
    let running = rig.run();
    let refused = |files: &[&str], word: &str| {
        let output = backfill(&rig, &running, files);
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(!output.status.success() && said.contains(word), "{said}");
    };
    refused(&["missing.jsonl"], "missing.jsonl cannot be read");
    refused(&["no.parquet"], "no.parquet");
    assert!(Command::new("mkfifo").arg(rig.path("pipe.jsonl")).status().unwrap().success());
    refused(&["pipe.jsonl"], "is no file");
    // What was told of one is not told of the next.
    rig.write("good.jsonl", lines(0..4));
    succeeds(&backfill(&rig, &running, &["good.jsonl"]));
    rig.edit("pipeline.toml", "name = \"acme\"", "name = \"other\"");
    refused(&["readings.jsonl"], "the pipeline \"acme\" runs there");
    // Nor does it take any other order that is meant for another.
    for words in [&["restate"][..], &["facts", "apply"]] {
        let mut order = Command::new(env!("CARGO_BIN_EXE_plumeline"));
        let output = order.args(words).arg(rig.path("there.toml")).output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(!output.status.success() && said.contains("\"acme\" runs there"), "{said}");
    }
    running.stop();
}

#[test]
fn nothing_is_promised_where_readings_are_not_kept() {
    let rig = rig("auto");
    rig.edit("pipeline.toml", "url = \"lake\"", "url = \"lake\"\nreadings = \"none\"");
    rig.write("readings.jsonl", "");
    rig.write("old.jsonl", lines(0..4));
    let running = rig.run();
    let taken = backfill(&rig, &running, &["old.jsonl"]);
    let mut restate = Command::new(env!("CARGO_BIN_EXE_plumeline"));
    let restated = restate.arg("restate").arg(rig.path("there.toml")).output().unwrap();
    for output in [taken, restated] {
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(!output.status.success() && said.contains("no tables of readings"), "{said}");
    }
    running.stop();
}

#[test]
fn a_pipeline_that_is_killed_meanwhile_takes_it_in_once() {
    let rig = rig("auto");
    rig.write("readings.jsonl", "");
    rig.write("old.jsonl", lines(0..MANY));
    // Later and later, so that it is met at all of its stages.
    for round in 0..6_u64 {
        let running = rig.run();
        let mut asking = command(&rig, &running, &["old.jsonl"])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        std::thread::sleep(Duration::from_millis(60 + 250 * round));
        running.kill();
        asking.wait().unwrap();
        assert_chain(&rig);
    }
    let running = rig.run();
    succeeds(&backfill(&rig, &running, &["old.jsonl"]));
    running.stop();
    assert_holds(&rig, MANY);
}
