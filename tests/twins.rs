//! Two processes on one lake: the first goes on unharmed, the second is told what to do.
//!
//! ```text
//!   first (state)  ──commits──► lake ◄──╳── second (another state folder, or a copy of the first one's)
//!                                           refused when it starts, or at its first commit
//! ```
//!
//! 1. A second one with a journal of its own is refused when it starts, for the lake holds commits that its
//!    journal does not know; also after the first was killed.
//! 2. One that started before the first had committed anything, or with a copy of the first one's journal, is
//!    refused at its first commit, before it has written to any table.
//! 3. The first one's ledger sums up to what the first one was sent.
//!
//! The second one commits only when it is stopped, so which one is first is not left to chance.

#![allow(clippy::unwrap_used, reason = "a test ends where something is wrong")]

mod rig;
mod support;

use std::fs;

use rig::{FILE_SOURCE, LIMIT, Rig, Running, energy, ledger, reading};
use support::process::wait_until;

fn lines(numbers: std::ops::Range<i64>) -> String {
    numbers.map(|number| reading(number) + "\n").collect()
}

fn followed() -> String {
    format!("{FILE_SOURCE}follow = true\n")
}

/// A pipeline that commits every second.
fn first() -> Rig {
    Rig::plain(&followed(), "1s")
}

/// One of the same name that writes the lake of `first`, and commits when it is stopped.
fn second(first: &Rig) -> Rig {
    let rig = Rig::plain(&followed(), "1h");
    let lake = format!("url = \"{}\"", first.path("lake").display());
    rig.edit("pipeline.toml", "url = \"lake\"", &lake);
    // A payload that nobody can read: a row of a table that the first one has none for.
    rig.write("readings.jsonl", "neither JSON nor a reading\n".to_owned() + &lines(100..110));
    rig
}

/// Leaves the tables of a pipeline without rows: new facts would be committed at once.
fn take_facts(rig: &Rig) {
    for table in ["meters.csv", "factors.csv", "nodes.csv"] {
        let text = fs::read_to_string(rig.path(table)).unwrap();
        rig.write(table, text.lines().next().unwrap().to_owned() + "\n");
    }
}

/// Versions of a table's log, as the folder shows them.
fn versions(rig: &Rig, table: &str) -> usize {
    fs::read_dir(rig.path("lake").join(table).join("_delta_log")).map_or(0, Iterator::count)
}

fn wait_for_a_commit(rig: &Rig) {
    let before = versions(rig, "activity");
    wait_until("a commit", LIMIT, || versions(rig, "activity") > before);
}

/// What a start that was refused says.
#[track_caller]
fn refused_start(rig: &Rig) -> String {
    let output = rig.plumeline(&["run"]);
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(!said.contains("panicked"), "{said}");
    said
}

/// Asks the process to end, and returns what it says when its last commit is refused.
#[track_caller]
fn refused_commit(mut running: Running) -> String {
    let status = running.process().stop();
    let said = running.said();
    assert_eq!(status.code(), Some(1), "{said}");
    assert!(!said.contains("panicked"), "{said}");
    said
}

#[track_caller]
fn assert_told(said: &str) {
    for words in [
        "was committed by another process of this pipeline",
        "Two processes write the same tables",
        "a name, a state_dir and a url of its own",
        "What was acknowledged is in the journal",
    ] {
        assert!(said.contains(words), "`{words}` in:\n{said}");
    }
}

/// The first one, which has read 20, is given 20 more, and its ledger is that of the readings `0..40`.
/// `has_restarted` since: then it counts the new ones alone.
#[track_caller]
fn goes_on_unharmed(rig: &Rig, running: Running, has_restarted: bool) {
    rig.write("readings.jsonl", lines(0..40));
    running.wait_for("history", "booked", if has_restarted { 20 } else { 40 });
    let said = running.stop();
    assert!(said.contains("drained, committed and ended") && !said.contains("ERROR"), "{said}");
    assert_ledger(rig, 40);
}

#[track_caller]
fn assert_ledger(rig: &Rig, count: i64) {
    let Some(python) = ledger::reader() else {
        return;
    };
    let sum = "SELECT CAST(sum(amount) AS INTEGER) FROM activity";
    assert_eq!(ledger::one(rig, &python, sum), energy(count).to_string());
    let mass = "SELECT CAST(sum(co2e_kg) * 2 AS INTEGER) FROM emissions";
    assert_eq!(ledger::one(rig, &python, mass), energy(count).to_string());
    let readings = "SELECT count(*), count(DISTINCT (meter, observed_at)) FROM readings";
    let count = count.to_string();
    assert_eq!(ledger::query(rig, &python, readings), [[count.clone(), count]]);
    assert_eq!(ledger::one(rig, &python, "SELECT count(*) FROM rejects"), "0");
    assert_eq!(ledger::one(rig, &python, "SELECT count(*) FROM meters"), "4");
}

#[test]
fn a_process_with_another_journal_is_refused_also_after_the_first_was_killed() {
    let one = first();
    one.write("readings.jsonl", lines(0..20));
    let running = one.run();
    running.wait_for("history", "booked", 20);
    wait_for_a_commit(&one);
    let other = second(&one);
    let said = refused_start(&other);
    assert!(said.contains("plumeline restore") && said.contains("another url"), "{said}");
    running.kill();
    let said = refused_start(&other);
    assert!(said.contains("plumeline restore") && said.contains("another url"), "{said}");
    goes_on_unharmed(&one, one.run(), true);
}

#[test]
fn a_process_that_was_let_in_before_the_first_commit_is_refused_at_its_own() {
    let one = first();
    one.write("readings.jsonl", lines(0..20));
    let other = second(&one);
    take_facts(&other);
    let second = other.run();
    second.wait_for("history", "rejected", 1);
    second.wait_for("history", "parked", 10);
    let first = one.run();
    first.wait_for("history", "booked", 20);
    wait_for_a_commit(&one);
    assert_told(&refused_commit(second));
    assert_eq!(versions(&one, "rejects"), 1, "it was refused before it wrote to any table");
    // From now on its journal is one that does not belong to the tables.
    let said = refused_start(&other);
    assert!(said.contains("that the journal does not know"), "{said}");
    goes_on_unharmed(&one, first, false);
}

#[test]
fn a_process_with_a_copy_of_the_journal_is_refused_at_its_first_commit() {
    let one = first();
    one.write("readings.jsonl", lines(0..20));
    let running = one.run();
    running.wait_for("history", "booked", 20);
    running.stop();
    let other = second(&one);
    fs::create_dir_all(other.path("state")).unwrap();
    for entry in fs::read_dir(one.path("state")).unwrap().flatten() {
        fs::copy(entry.path(), other.path("state").join(entry.file_name())).unwrap();
    }
    // It has read its copy's twenty already, and reads on from there.
    other.write("readings.jsonl", lines(0..20) + "neither JSON nor a reading\n" + &lines(100..110));
    let copy = other.run();
    copy.wait_for("history", "booked", 10);
    let running = one.run();
    wait_for_a_commit(&one);
    assert_told(&refused_commit(copy));
    assert!(refused_start(&other).contains("that the journal does not know"));
    goes_on_unharmed(&one, running, true);
}
