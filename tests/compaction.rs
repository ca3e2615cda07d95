//! Files of the ledger are merged while the program runs, and it may end at any moment of it.
//!
//! ```text
//!   a file that grows ──► commits, some a second ──► merged after two seconds ──► ended at a point
//!                                                     started again, the rest, a clean end ──► `plumeline verify`
//! ```
//!
//! That what is merged holds the rows it was merged from, whatever a store does, is proven in `sinks`
//! (`sinks/src/delta/compact/tests.rs`); here, that the program merges behind its commits, tells, and goes on from any
//! end. The kills of `tests/kill.rs` come by as well.

#![allow(clippy::unwrap_used, reason = "a test ends where something is wrong")]

mod rig;
mod support;

use std::fs::OpenOptions;
use std::io::Write;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rig::points::{COMPACTING, run_into};
use rig::verdict::assert_chain;
use rig::{FILE_SOURCE, LIMIT, Rig, Running, energy, ledger, reading};
use support::process::wait_until;

/// Readings in the end.
const ALL: i64 = 160;
/// Between two readings: so that commits follow each other.
const EVERY: Duration = Duration::from_millis(100);
/// Makes a source that does not end.
const FOLLOW: &str = "follow = true\n";
/// The tables that every commit here has rows for.
const LEDGER: [&str; 4] = ["activity", "emissions", "footprints", "readings"];

fn rig(compact_after: &str) -> Rig {
    let rig = Rig::plain(&format!("{FILE_SOURCE}{FOLLOW}"), "1s");
    let commit = "commit_every = \"1s\"\n";
    rig.edit("pipeline.toml", commit, &format!("{commit}compact_after = \"{compact_after}\"\n"));
    rig.write("readings.jsonl", "");
    rig
}

/// Writes readings on, one at a time, until there are all or `done`.
fn write_on(rig: &Rig, from: i64, done: &AtomicBool) -> i64 {
    let mut file = OpenOptions::new().append(true).open(rig.path("readings.jsonl")).unwrap();
    let mut number = from;
    while number < ALL && !done.load(Ordering::Acquire) {
        writeln!(file, "{}", reading(number)).unwrap();
        number += 1;
        std::thread::sleep(EVERY);
    }
    number
}

/// Runs to a clean end, with whatever was not written yet, and looks at the ledger.
#[track_caller]
fn goes_on(rig: &Rig, written: i64, what: &str) {
    let mut file = OpenOptions::new().append(true).open(rig.path("readings.jsonl")).unwrap();
    (written..ALL).for_each(|number| writeln!(file, "{}", reading(number)).unwrap());
    rig.edit("pipeline.toml", FOLLOW, "");
    rig.run_to_end();
    assert_chain(rig);
    rig.verify();
    let Some(python) = ledger::reader() else {
        return;
    };
    let all = "SELECT (SELECT CAST(sum(amount) AS INTEGER) FROM activity), \
         (SELECT CAST(sum(co2e_kg) * 2 AS INTEGER) FROM emissions), \
         (SELECT count(*) FROM readings), \
         (SELECT count(DISTINCT (meter, observed_at)) FROM readings)";
    let (sum, count) = (energy(ALL).to_string(), ALL.to_string());
    let expected = [[sum.clone(), sum, count.clone(), count]];
    assert_eq!(ledger::query(rig, &python, all), expected, "{what}");
}

fn merged(running: &Running, table: &str) -> u64 {
    let files = running.metric("plumeline_compacted_files_total", &[("table", table)]);
    files.and_then(|files| files.parse().ok()).unwrap_or(0)
}

/// Files that the views name, by table; those that the folders hold are more until they are vacuumed.
fn live(rig: &Rig, table: &str) -> usize {
    let views = rig.plumeline(&["views"]);
    assert!(views.status.success());
    String::from_utf8(views.stdout).unwrap().matches(&format!("/{table}-0")).count()
}

/// Data files in a table's folders, live or not.
fn stored(rig: &Rig, table: &str) -> usize {
    let days = std::fs::read_dir(rig.path("lake").join(table)).unwrap();
    let days = days.map(|day| day.unwrap().path()).filter(|day| !day.ends_with("_delta_log"));
    days.map(|day| std::fs::read_dir(day).unwrap().count()).sum()
}

#[test]
fn files_are_merged_behind_the_commits_and_the_ledger_stays_what_it_is() {
    let rig = rig("2s");
    let running = rig.run();
    let done = AtomicBool::new(false);
    let written = std::thread::scope(|scope| {
        let writing = scope.spawn(|| write_on(&rig, 0, &done));
        for table in LEDGER {
            wait_until("files to be merged", LIMIT, || merged(&running, table) > 2);
        }
        done.store(true, Ordering::Release);
        writing.join().unwrap()
    });
    let (_, page) = running.page("/metrics").unwrap();
    assert!(page.contains("plumeline_compaction_failures_total 0\n"), "{page}");
    let bytes = |direction| {
        let labels = [("table", "activity"), ("direction", direction)];
        running.metric("plumeline_compacted_bytes_total", &labels).unwrap().parse::<u64>().unwrap()
    };
    assert!(bytes("out") > 0 && bytes("out") < bytes("in"));
    running.stop();
    // What was merged is not live any more, and still there.
    for table in LEDGER {
        assert!(live(&rig, table) + 2 < stored(&rig, table), "{table}");
    }
    goes_on(&rig, written, "merged");
}

#[test]
fn an_end_at_any_point_of_a_merge_loses_nothing() {
    std::thread::scope(|scope| {
        for point in COMPACTING {
            scope.spawn(move || {
                for passes in [0, 4] {
                    let rig = rig("2s");
                    let done = AtomicBool::new(false);
                    let written = std::thread::scope(|scope| {
                        let writing = scope.spawn(|| write_on(&rig, 0, &done));
                        assert!(run_into(&rig, (point, passes), LIMIT), "{point} is never reached");
                        done.store(true, Ordering::Release);
                        writing.join().unwrap()
                    });
                    assert_chain(&rig);
                    goes_on(&rig, written, point);
                }
            });
        }
    });
}

#[test]
fn nothing_is_merged_where_compaction_is_left_to_others() {
    let rig = rig("never");
    let running = rig.run();
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let writing = scope.spawn(|| write_on(&rig, 0, &done));
        running.wait_for("history", "booked", 40);
        done.store(true, Ordering::Release);
        writing.join().unwrap();
    });
    assert_eq!(merged(&running, "activity"), 0);
    running.stop();
    for table in LEDGER {
        let log = std::fs::read_dir(rig.path("lake").join(table).join("_delta_log")).unwrap();
        for entry in log.map(|entry| entry.unwrap().path()) {
            let text = String::from_utf8_lossy(&std::fs::read(&entry).unwrap()).into_owned();
            assert!(!text.contains("OPTIMIZE"), "{}", entry.display());
        }
    }
}
