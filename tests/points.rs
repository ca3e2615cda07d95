//! The real program, ended at each of its fail points, goes on as if nothing had happened.
//!
//! 1. A pipeline reads a file; its process ends (a panic, which aborts) where the point is reached for the n-th
//!    time. `FAILPOINTS` says where; without the feature of tests, points are nothing.
//! 2. It is started again, and ends again: at the same point, or at one on the way of a recovery.
//! 3. It is started without points, and given the rest. The ledger sums up to what was sent, each reading is in
//!    `readings` once, and the chain of commits is whole.
//!
//! The points are those of [`rig::points`].

#![allow(clippy::unwrap_used, reason = "a test ends where something is wrong")]

mod rig;
mod support;

use std::sync::atomic::{AtomicUsize, Ordering};

use rig::points::{End, FIRST, LASTING, run_into};
use rig::verdict::assert_chain;
use rig::{FILE_SOURCE, LIMIT, Rig, energy, ledger, reading};

/// Points that end the second run, after the first has ended at another. The first seven are on the way of a
/// recovery alone ([`rig::points::RECOVERY`]).
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
/// Cases at a time: most of the time a run waits for its tables to settle.
const AT_A_TIME: usize = 8;
/// Readings before the process ends, and after.
const HALF: i64 = 40;

fn lines(numbers: std::ops::Range<i64>) -> String {
    numbers.map(|number| reading(number) + "\n").collect()
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
        let is_reached = run_into(&rig, *end, LIMIT);
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
        assert!(run_into(&rig, (point, 0), LIMIT), "{point} is never reached");
        rig.edit("pipeline.toml", FOLLOW, "");
        goes_on(&rig, point);
    });
}

#[test]
fn an_end_on_the_way_of_a_recovery_is_one_like_others() {
    each(&SECOND, |&(first, second)| goes_on_after(&[(first, true), (second, true)]));
}
