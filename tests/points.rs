//! The real program, ended at each of its fail points, goes on as if nothing had happened.
//!
//! 1. A pipeline reads a followed file; its process ends (a panic, which aborts) where the point is reached for
//!    the n-th time. `FAILPOINTS` says where; without the feature of tests, points are nothing.
//! 2. It is started again, without points, and given the rest. Now and then it ends at the point again first.
//! 3. The ledger sums up to what was sent, and each reading is in `readings` once.
//!
//! Points stand before and after everything that reaches a disk, a store or a source.

#![allow(clippy::unwrap_used, reason = "a test ends where something is wrong")]

mod rig;
mod support;

use std::process::{Command, Stdio};

use rig::{FILE_SOURCE, LIMIT, Rig, energy, ledger, reading};

/// Every point, and after how many passes it ends the process.
const POINTS: [(&str, &[u32]); 13] = [
    ("journal-append", &[0, 1, 2]),
    ("journal-appended", &[0, 1, 2]),
    ("before-ack", &[0, 1]),
    ("after-ack", &[0, 1]),
    ("journal-cut", &[0, 1]),
    ("journal-keep", &[0]),
    ("before-commit", &[0, 1]),
    ("lake-put", &[0, 1, 3]),
    ("lake-put-done", &[0, 2]),
    ("lake-commit", &[0, 1, 2, 3, 4]),
    ("lake-commit-done", &[0, 1, 2, 3, 4]),
    ("after-commit", &[0, 1]),
    ("journal-committed", &[0, 1]),
];
/// Runs at a time.
const AT_A_TIME: usize = 6;
/// Readings before the process ends, and after.
const HALF: i64 = 40;

fn lines(numbers: std::ops::Range<i64>) -> String {
    numbers.map(|number| reading(number) + "\n").collect()
}

/// Runs until the process ends by itself; says whether it ended at a point.
fn run_into(rig: &Rig, points: &str) -> bool {
    let output = Command::new("timeout")
        .args(["-k", "1", &LIMIT.as_secs().to_string(), env!("CARGO_BIN_EXE_plumeline"), "run"])
        .arg(rig.path("pipeline.toml"))
        .env("FAILPOINTS", points)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    !output.status.success()
}

fn goes_on_after(point: &str, passes: u32, twice: bool) {
    let rig = Rig::plain(FILE_SOURCE, "1s");
    rig.write("readings.jsonl", lines(0..HALF));
    let points = format!("{point}={passes}*off->panic");
    // A run that is over before it comes to the point has drained: that is as good a state as any.
    run_into(&rig, &points);
    if twice {
        run_into(&rig, &format!("{point}=panic"));
    }
    rig.write("readings.jsonl", lines(0..2 * HALF));
    rig.run_to_end();
    let Some(python) = ledger::reader() else {
        return;
    };
    let what = format!("{point}, {passes} passes");
    let sum = "SELECT CAST(sum(amount) AS INTEGER) FROM activity";
    assert_eq!(ledger::one(&rig, &python, sum), energy(2 * HALF).to_string(), "{what}");
    let mass = "SELECT CAST(sum(co2e_kg) * 2 AS INTEGER) FROM emissions";
    assert_eq!(ledger::one(&rig, &python, mass), energy(2 * HALF).to_string(), "{what}");
    let booked = "SELECT count(*), count(DISTINCT (meter, observed_at)) FROM readings";
    let count = (2 * HALF).to_string();
    assert_eq!(ledger::query(&rig, &python, booked), [[count.clone(), count]], "{what}");
    let facts = "SELECT (SELECT count(*) FROM meters), (SELECT count(*) FROM factors)";
    assert_eq!(ledger::query(&rig, &python, facts), [["4", "1"]], "{what}");
}

#[test]
fn the_points_are_where_they_should_be() {
    let rig = Rig::plain(FILE_SOURCE, "1s");
    rig.write("readings.jsonl", lines(0..HALF));
    for (point, _) in POINTS {
        // The first run of a journal also moves the horizon, and so comes by all of them.
        assert!(run_into(&rig, &format!("{point}=panic")), "{point} is never reached");
        std::fs::remove_dir_all(rig.path("state")).unwrap();
        if rig.path("lake").exists() {
            std::fs::remove_dir_all(rig.path("lake")).unwrap();
        }
    }
}

#[test]
fn whatever_was_under_way_is_there_once() {
    // Most of the time a run waits for its tables to settle: some at a time.
    let all: Vec<_> = POINTS.iter().flat_map(|(point, n)| n.iter().map(|n| (*point, *n))).collect();
    std::thread::scope(|scope| {
        for share in all.chunks(all.len().div_ceil(AT_A_TIME)) {
            scope.spawn(move || {
                for &(point, passes) in share {
                    goes_on_after(point, passes, passes == 1);
                }
            });
        }
    });
}
