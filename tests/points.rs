//! The real program, ended at each of its fail points, goes on as if nothing had happened.
//!
//! 1. A pipeline reads a file; its process ends (a panic, which aborts) where the point is reached for the n-th
//!    time. `FAILPOINTS` says where; without the feature of tests, points are nothing.
//! 2. It is started again, and ends again: at the same point, or at one on the way of a recovery.
//! 3. It is started without points, and given the rest. The ledger sums up to what was sent, each reading is in
//!    `readings` once, and the chain of commits is whole.
//!
//! Points stand before and after everything that reaches a disk, a store or a source, and on the way of a recovery.
//! The tables name all of them; `journal-full` (`tests/full.rs`) and `lake-checkpoint-at-once` end nothing.

#![allow(clippy::unwrap_used, reason = "a test ends where something is wrong")]

mod rig;
mod support;

use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};

use rig::verdict::assert_chain;
use rig::{FILE_SOURCE, LIMIT, Rig, energy, ledger, reading};

/// Every point that a first run comes by, in about the order in which it does, and after how many passes it
/// ends the process.
const FIRST: [(&str, &[u32]); 34] = [
    ("journal-open", &[0]),
    ("journal-created", &[0]),
    ("journal-settings", &[0]),
    ("facts-read", &[0]),
    ("lake-open", &[0]),
    ("lake-create", &[0, 3]),
    ("lake-created", &[0, 7]),
    ("lake-opened", &[0]),
    ("journal-append", &[0]),
    ("journal-append-open", &[0]),
    ("journal-appended", &[0]),
    ("before-ack", &[0]),
    ("after-ack", &[0]),
    ("seal", &[0]),
    ("sealed", &[0]),
    ("last-cut", &[0]),
    ("journal-cut", &[0, 1]),
    ("journal-cut-done", &[0]),
    ("journal-keep", &[0]),
    ("journal-keep-open", &[0]),
    ("journal-kept", &[0]),
    ("before-commit", &[0, 1]),
    ("lake-put", &[0, 3]),
    ("lake-put-done", &[0, 2]),
    ("lake-commit", &[0, 1, 2, 3, 4]),
    ("lake-commit-done", &[0, 1, 2, 3, 4]),
    ("lake-checkpoint", &[0]),
    ("lake-checkpoint-done", &[1]),
    ("lake-latest", &[0]),
    ("lake-latest-done", &[1]),
    ("after-commit", &[0, 1]),
    ("journal-committed", &[0, 1]),
    ("journal-committed-done", &[0]),
    ("all-committed", &[0]),
];
/// Points that only a run comes by that lasts: after a commit it forgets, and goes on.
const LASTING: [&str; 3] = ["journal-forget", "journal-forget-open", "journal-forgotten"];
/// Points that end the second run, after the first has ended at another. The first six are on the way of a
/// recovery alone.
const SECOND: [(End, End); 20] = [
    (("after-commit", 0), ("restore-begin", 0)),
    (("after-commit", 0), ("restore-slice", 0)),
    (("journal-committed-done", 0), ("restore-slice", 1)),
    (("journal-committed", 0), ("restore-done", 0)),
    (("journal-appended", 0), ("replay-tick", 0)),
    (("before-commit", 0), ("caught-up", 0)),
    (("after-ack", 0), ("facts-changed", 0)),
    // The tables hold a cut that `activity` does not.
    (("lake-commit-done", 2), ("replay-tick", 0)),
    (("lake-commit-done", 2), ("lake-commit", 0)),
    (("lake-commit-done", 1), ("lake-commit-done", 2)),
    // A cut is put down, and nothing of it was written.
    (("journal-cut-done", 0), ("lake-put-done", 1)),
    (("before-commit", 1), ("restore-done", 0)),
    (("journal-cut-done", 1), ("before-commit", 0)),
    // What is kept was put down, and the cut it belongs to is not committed.
    (("journal-kept", 0), ("journal-keep", 0)),
    (("journal-kept", 0), ("journal-keep-open", 0)),
    // Files were put, and no log names them.
    (("lake-put-done", 2), ("lake-put-done", 0)),
    (("lake-put-done", 0), ("lake-opened", 0)),
    (("journal-appended", 0), ("journal-cut", 0)),
    (("lake-latest", 0), ("journal-committed", 0)),
    (("lake-created", 3), ("lake-created", 2)),
];
/// Makes a source that does not end.
const FOLLOW: &str = "follow = true\n";
/// Makes a checkpoint of a table's log due at once: else it would take a hundred commits.
const CHECKPOINTS: &str = "lake-checkpoint-at-once=return";
/// Cases at a time: most of the time a run waits for its tables to settle.
const AT_A_TIME: usize = 8;
/// Readings before the process ends, and after.
const HALF: i64 = 40;

/// Where a run ends: a point, after it was passed so many times.
type End = (&'static str, u32);

fn lines(numbers: std::ops::Range<i64>) -> String {
    numbers.map(|number| reading(number) + "\n").collect()
}

/// Runs until the process ends by itself; says whether it ended at the point.
#[track_caller]
fn run_into(rig: &Rig, (point, passes): End) -> bool {
    let output = Command::new("timeout")
        .args(["-k", "1", &LIMIT.as_secs().to_string(), env!("CARGO_BIN_EXE_plumeline"), "run"])
        .arg(rig.path("pipeline.toml"))
        .env("FAILPOINTS", format!("{CHECKPOINTS};{point}={passes}*off->panic"))
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    let has_ended_there = said.contains(&format!("failpoint {point} panic"));
    // A run that is over before it comes to the point has drained: that is as good a state as any.
    assert_ne!(has_ended_there, output.status.success(), "{point}, {passes} passes: {said}");
    has_ended_there
}

/// Gives the pipeline the rest, without points, and looks at the ledger.
#[track_caller]
fn goes_on(rig: &Rig, what: &str) {
    rig.write("readings.jsonl", lines(0..2 * HALF));
    rig.run_to_end();
    assert_chain(rig);
    let Some(python) = ledger::reader() else {
        return;
    };
    let all = "SELECT (SELECT CAST(sum(amount) AS INTEGER) FROM activity), \
         (SELECT CAST(sum(co2e_kg) * 2 AS INTEGER) FROM emissions), \
         (SELECT count(*) FROM readings), \
         (SELECT count(DISTINCT (meter, observed_at)) FROM readings), \
         (SELECT count(*) FROM meters), (SELECT count(*) FROM factors)";
    let (sum, count) = (energy(2 * HALF).to_string(), (2 * HALF).to_string());
    let expected = [[sum.clone(), sum, count.clone(), count, "4".to_owned(), "1".to_owned()]];
    assert_eq!(ledger::query(rig, &python, all), expected, "{what}");
}

/// Ends runs at these points, one after the other; whether each of them must be reached.
#[track_caller]
fn goes_on_after(ends: &[(End, bool)]) {
    let rig = Rig::plain(FILE_SOURCE, "1s");
    rig.write("readings.jsonl", lines(0..HALF));
    for (end, is_sure) in ends {
        let is_reached = run_into(&rig, *end);
        assert!(is_reached || !is_sure, "{end:?} is never reached, of {ends:?}");
    }
    goes_on(&rig, &format!("{ends:?}"));
}

/// Calls `check` with each case, some at a time.
fn each<C: Sync>(cases: &[C], check: impl Fn(&C) + Sync) {
    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..AT_A_TIME {
            scope.spawn(|| {
                while let Some(case) = cases.get(next.fetch_add(1, Ordering::Relaxed)) {
                    check(case);
                }
            });
        }
    });
}

#[test]
fn whatever_was_under_way_is_there_once() {
    let cases: Vec<_> =
        FIRST.iter().flat_map(|(point, n)| n.iter().map(|n| (*point, *n))).collect();
    each(&cases, |&(point, passes)| {
        // The first run of a journal also moves the horizon, and so comes by all of them.
        let first = ((point, passes), true);
        // Now and then it ends at the point again, if it comes by.
        let again = ((point, 0), false);
        let ends = [first, again];
        goes_on_after(if passes == 1 { &ends } else { &ends[..1] });
    });
}

#[test]
fn what_is_forgotten_is_not_needed() {
    each(&LASTING, |point| {
        let rig = Rig::plain(&format!("{FILE_SOURCE}{FOLLOW}"), "1s");
        rig.write("readings.jsonl", lines(0..HALF));
        assert!(run_into(&rig, (point, 0)), "{point} is never reached");
        rig.edit("pipeline.toml", FOLLOW, "");
        goes_on(&rig, point);
    });
}

#[test]
fn an_end_on_the_way_of_a_recovery_is_one_like_others() {
    each(&SECOND, |&(first, second)| goes_on_after(&[(first, true), (second, true)]));
}
