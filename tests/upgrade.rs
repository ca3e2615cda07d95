//! Another GWP set, or a program that means something else, restates all that was ever booked, once, and goes on.
//!
//! ```text
//!   readings of the day before yesterday ─ horizon ─ of yesterday      a kWh emits 0.5 kg CO2 and 1 kg CH4:
//!   both booked under AR6 ──▶ the pipeline file says AR5 ──▶ both restated    27.5 kg, 28.5 kg CO2e
//! ```
//!
//! That what is booked is right is proven on random histories by `pipelines/tests/hindsight.rs`; here, that the
//! program books it, tells it first, and survives an end at any moment of it.

#![allow(clippy::unwrap_used, reason = "a test ends where something is wrong")]

mod rig;
mod support;

use std::path::Path;

use rig::points::{UPGRADING, run_into};
use rig::verdict::assert_chain;
use rig::{DAY_MS, FILE_SOURCE, LIMIT, Rig, energy, ledger, reading};
use support::process::wait_until;

/// Readings of the day before yesterday.
const OLD: i64 = 40;
/// Readings of yesterday, each of 10 kWh.
const NEW: i64 = 8;

/// What `count` readings of yesterday say, a minute each, from the one number `from` on.
fn yesterday(from: i64, count: i64) -> String {
    let line = |number: i64| {
        let (meter, day_ms) = (number % 4, rig::day_before_yesterday() + DAY_MS);
        let at_ms = day_ms + 60_000 * (1 + number / 4);
        format!(
            "{{\"meter\":\"m-{meter}\",\"observed_at_ms\":{at_ms},\"value\":10,\"unit\":\"kWh\"}}\n"
        )
    };
    (from..from + count).map(line).collect()
}

/// A ledger on both sides of a horizon that lies a day back, under AR6. Its pipeline ends with its file.
fn booked() -> Rig {
    let rig = Rig::plain(FILE_SOURCE, "1s");
    let shorter = "period = \"1h\"\nretain = \"1d\"\nsamples = \"1d\"\ngwp = \"ar6\"";
    rig.edit("pipeline.toml", "period = \"1d\"", shorter);
    rig.edit("pipeline.toml", "windows = [\"7d\"]", "windows = [\"24h\", \"ytd\"]");
    let methane = "a test,\ngrid,1,2,0,any,ch4,1.0,kWh,2020-01-01,,a test,\n";
    rig.edit("factors.csv", "a test,\n", methane);
    let old: String = (0..OLD).map(|number| reading(number) + "\n").collect();
    rig.write("readings.jsonl", old + &yesterday(0, NEW));
    rig.run_to_end();
    let done = rig.plumeline(&["restate"]);
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    rig
}

fn kwh() -> i64 {
    energy(OLD) + 10 * NEW
}

fn change(rig: &Rig) {
    rig.edit("pipeline.toml", "gwp = \"ar6\"", "gwp = \"ar5\"");
}

/// The ledger in a folder of `fixtures/ledger`, as a program of that `semantics_version` left it: the same readings as
/// [`booked`]'s, in a journal (as SQL) and tables. *It is never written anew, so that all later programs are tried on
/// it.*
fn left_in(folder: &Path) -> Rig {
    let rig = Rig::new();
    copy(folder, &rig.path(""));
    std::fs::create_dir(rig.path("state")).unwrap();
    let sql = std::fs::read_to_string(rig.path("journal.sql")).unwrap();
    let journal = rusqlite::Connection::open(rig.path("state/journal.db")).unwrap();
    journal.execute_batch(&sql).unwrap();
    // What it has read is elsewhere.
    rig.write("readings.jsonl", "");
    rig
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let (from, name) = entry.map(|entry| (entry.path(), entry.file_name())).unwrap();
        if from.is_dir() {
            copy(&from, &to.join(name));
        } else {
            std::fs::copy(&from, to.join(name)).unwrap();
        }
    }
}

/// The ledger's emissions, kg times two, as its footprints say and as its emissions do.
fn assert_emissions(rig: &Rig, python: &Path, kg_twice: i64) {
    let sums = "SELECT CAST(sum(co2e_kg) * 2 AS INTEGER), \
                CAST((SELECT sum(co2e_kg) * 2 FROM emissions) AS INTEGER) FROM footprints WHERE depth = 0";
    let sum = kg_twice.to_string();
    assert_eq!(ledger::query(rig, python, sums), [[sum.clone(), sum]]);
}

#[test]
fn another_gwp_set_restates_everything_that_was_booked() {
    let rig = booked();
    // However rare commits are: it does not wait for the next one.
    rig.edit("pipeline.toml", "commit_every = \"1s\"", "commit_every = \"1h\"");
    change(&rig);
    let dry = rig.plumeline(&["restate", "--dry-run"]);
    let said = String::from_utf8(dry.stdout).unwrap();
    assert!(said.contains("gwp = \"ar5\", and it was \"ar6\""), "{said}");
    assert!(said.contains(&format!("+{}.000", kwh())), "{said}");
    let told = rig.run_to_end();
    assert!(told.contains("what was booked is restated"), "{told}");
    rig.verify();
    assert_chain(&rig);
    // Once, and what comes later is booked under it.
    let all = std::fs::read_to_string(rig.path("readings.jsonl")).unwrap();
    rig.write("readings.jsonl", all + &yesterday(NEW, NEW));
    let told = rig.run_to_end();
    assert!(!told.contains("what was booked is restated"), "{told}");
    rig.verify();
    let dry = rig.plumeline(&["restate", "--dry-run"]);
    assert_eq!(String::from_utf8(dry.stdout).unwrap(), "nothing is missing below the horizon\n");
    let Some(python) = ledger::reader() else {
        return;
    };
    assert_emissions(&rig, &python, 57 * (kwh() + 10 * NEW));
    let amounts = "SELECT count(*) FROM activity WHERE reason = 'gwp_change'";
    assert_eq!(ledger::one(&rig, &python, amounts), "0", "amounts know no gas");
    let restated = "SELECT DISTINCT gas, gwp FROM emissions WHERE reason = 'gwp_change'";
    assert_eq!(ledger::query(&rig, &python, restated), [["ch4", "ar5"]]);
}

#[test]
fn it_can_be_taken_back_and_leaves_no_trace_in_the_sum() {
    let rig = booked();
    change(&rig);
    rig.run_to_end();
    rig.edit("pipeline.toml", "gwp = \"ar5\"", "gwp = \"ar4\"");
    rig.run_to_end();
    rig.edit("pipeline.toml", "gwp = \"ar4\"", "gwp = \"ar6\"");
    rig.run_to_end();
    rig.verify();
    assert_chain(&rig);
    let Some(python) = ledger::reader() else {
        return;
    };
    assert_emissions(&rig, &python, 55 * kwh());
}

#[test]
fn it_waits_to_be_asked_where_it_was_told_to() {
    let rig = booked();
    change(&rig);
    rig.edit("pipeline.toml", "retain = \"1d\"", "retain = \"1d\"\nrestate = \"manual\"");
    let refused = rig.plumeline(&["run"]);
    let said = String::from_utf8(refused.stderr).unwrap();
    assert!(!refused.status.success(), "{said}");
    assert!(said.contains("gwp = \"ar5\"") && said.contains("`plumeline restate`"), "{said}");
    let done = rig.plumeline(&["restate"]);
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    rig.run_to_end();
    rig.verify();
    let Some(python) = ledger::reader() else {
        return;
    };
    assert_emissions(&rig, &python, 57 * kwh());
}

#[test]
fn the_metrics_tell_it() {
    let rig = booked();
    change(&rig);
    rig.edit(
        "pipeline.toml",
        "path = \"readings.jsonl\"",
        "path = \"readings.jsonl\"\nfollow = true",
    );
    let running = rig.run();
    let reason = [("reason", "gwp_change")];
    wait_until("it to be counted", LIMIT, || {
        running.metric("ghg_restatements_total", &reason).is_some_and(|count| count != "0")
    });
    let labels = [("reason", "gwp_change"), ("direction", "up")];
    let grams = running.metric("ghg_restated_co2e_grams_total", &labels).unwrap();
    assert_eq!(grams, (1000 * kwh()).to_string());
    let year = [("org_node", "acme"), ("window", "ytd")];
    let shown = || running.metric("ghg_emissions_co2e_grams", &year);
    wait_until("the year to date to show", LIMIT, || shown().is_some());
    let shown = shown().unwrap();
    running.stop();
    rig.verify();
    let Some(python) = ledger::reader() else {
        return;
    };
    let this_year = "SELECT CAST(sum(co2e_kg) * 1000 AS BIGINT) FROM footprints WHERE depth = 0 \
                     AND period_start >= date_trunc('year', get_current_timestamp())";
    assert_eq!(ledger::one(&rig, &python, this_year), shown, "below the horizon and above it");
}

#[test]
fn a_program_that_means_something_else_goes_on_once_everything_is_compared() {
    let rig = booked();
    let journal = rusqlite::Connection::open(rig.path("state/journal.db")).unwrap();
    let older = "UPDATE meta SET value = '0' WHERE key = 'semantics_version'";
    assert_eq!(journal.execute(older, []).unwrap(), 1);
    drop(journal);
    let told = rig.run_to_end();
    assert!(told.contains("semantics_version 1 of the program, and it was 0"), "{told}");
    rig.verify();
    assert_chain(&rig);
    let Some(python) = ledger::reader() else {
        return;
    };
    assert_emissions(&rig, &python, 55 * kwh());
    // Nothing was another amount: a restatement of nothing says so.
    let rows = "SELECT activity + emissions + footprints FROM restatements \
                ORDER BY recorded_at DESC LIMIT 1";
    assert_eq!(ledger::one(&rig, &python, rows), "0");
}

#[test]
fn a_ledger_that_an_earlier_program_left_is_verified_goes_on_and_changes_its_method() {
    let all = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/ledger");
    for folder in std::fs::read_dir(all).unwrap() {
        let rig = left_in(&folder.unwrap().path());
        rig.verify();
        // Everything in it lies below the horizon by now, or soon will.
        change(&rig);
        let told = rig.run_to_end();
        assert!(told.contains("what was booked is restated"), "{told}");
        rig.write("readings.jsonl", yesterday(NEW, NEW));
        rig.run_to_end();
        rig.verify();
        assert_chain(&rig);
        if let Some(python) = ledger::reader() {
            assert_emissions(&rig, &python, 57 * (kwh() + 10 * NEW));
        }
    }
}

#[test]
fn an_end_at_any_moment_of_it_books_it_once() {
    std::thread::scope(|scope| {
        for point in UPGRADING {
            scope.spawn(move || {
                let rig = booked();
                change(&rig);
                assert!(run_into(&rig, (point, 0), LIMIT), "{point} is never reached");
                // Once more, on the way back: under which method depends on where it was.
                assert!(run_into(&rig, ("restore-done", 0), LIMIT), "{point}");
                assert!(run_into(&rig, ("before-commit", 0), LIMIT), "{point}");
                rig.run_to_end();
                rig.verify();
                assert_chain(&rig);
                let Some(python) = ledger::reader() else {
                    return;
                };
                assert_emissions(&rig, &python, 57 * kwh());
            });
        }
    });
}
