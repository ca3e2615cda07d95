//! What may change on a live ledger: a test for each line of the table in the README.
//!
//! Each runs a pipeline, changes one thing, and runs it again: it goes on and the ledger is what its readings and
//! facts lead to, or it is refused with what to do about it.

#![allow(clippy::unwrap_used, reason = "a test ends where something is wrong")]

mod rig;
mod support;

use std::ops::Range;

use rig::verdict::assert_chain;
use rig::{FILE_SOURCE, LIMIT, Rig, energy, ledger, reading};
use support::process::wait_until;

fn lines(numbers: Range<i64>) -> String {
    numbers.map(|number| reading(number) + "\n").collect()
}

/// A pipeline that has run over twenty readings.
fn written() -> Rig {
    let rig = Rig::plain(FILE_SOURCE, "1s");
    rig.write("readings.jsonl", lines(0..20));
    rig.run_to_end();
    rig
}

/// It goes on with the next twenty, and nothing is lost or twice.
#[track_caller]
fn goes_on(rig: &Rig) {
    rig.write("readings.jsonl", lines(0..40));
    rig.run_to_end();
    rig.verify();
    assert_chain(rig);
    let Some(python) = ledger::reader() else {
        return;
    };
    let sums = "SELECT CAST(sum(amount) AS INTEGER), (SELECT count(*) FROM readings) FROM activity";
    let found = ledger::query(rig, &python, sums).remove(0);
    assert_eq!(found, [energy(40).to_string(), "40".to_owned()]);
}

/// The change is refused, with these words; without it all goes on.
#[track_caller]
fn is_refused(rig: &Rig, (from, to): (&str, &str), words: &[&str]) {
    rig.edit("pipeline.toml", from, to);
    let output = rig.plumeline(&["run"]);
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(!output.status.success(), "{said}");
    for word in words {
        assert!(said.contains(word), "`{word}` is not in: {said}");
    }
    rig.edit("pipeline.toml", to, from);
    goes_on(rig);
}

/// What the journal was written under.
fn journaled(rig: &Rig, key: &str) -> String {
    let journal = rusqlite::Connection::open(rig.path("state/journal.db")).unwrap();
    let sql = "SELECT value FROM meta WHERE key = ?1";
    journal.query_row(sql, [key], |row| row.get(0)).unwrap()
}

#[test]
fn workers_are_free() {
    let rig = written();
    rig.edit("pipeline.toml", "name = \"acme\"", "name = \"acme\"\nworkers = 3");
    goes_on(&rig);
}

#[test]
fn windows_are_free() {
    let follow = FILE_SOURCE.to_owned() + "follow = true\n";
    let rig = Rig::plain(&follow, "1s");
    rig.write("readings.jsonl", lines(0..20));
    let running = rig.run();
    running.wait_for("history", "booked", 20);
    running.stop();
    rig.edit("pipeline.toml", "windows = [\"7d\"]", "windows = [\"30d\"]");
    let running = rig.run();
    let labels = [("org_node", "acme"), ("window", "30d"), ("scope", "2")];
    let grams = (energy(20) * 500).to_string();
    wait_until("the new window", LIMIT, || {
        running.metric("ghg_emissions_co2e_grams", &labels).as_ref() == Some(&grams)
    });
    running.stop();
    rig.edit("pipeline.toml", "follow = true\n", "");
    goes_on(&rig);
}

#[test]
fn where_it_listens_is_free() {
    let rig = written();
    rig.edit("pipeline.toml", "127.0.0.1:0", "127.0.0.2:0");
    goes_on(&rig);
}

#[test]
fn the_pace_of_commits_is_free() {
    let rig = written();
    rig.edit("pipeline.toml", "commit_every = \"1s\"", "commit_every = \"7s\"");
    goes_on(&rig);
}

#[test]
fn rows_of_tables_restate() {
    let rig = written();
    let revised = "a test,\ngrid,2,2,0,any,co2,1.0,kWh,2020-01-01,,a revision,";
    rig.edit("factors.csv", "a test,", revised);
    goes_on(&rig);
    let Some(python) = ledger::reader() else {
        return;
    };
    let co2e = "SELECT CAST(sum(co2e_kg) AS INTEGER) FROM emissions";
    assert_eq!(ledger::one(&rig, &python, co2e), energy(40).to_string());
}

#[test]
fn aliases_of_a_meter_restate() {
    // That all of it is booked, and once, is `tests/aliases.rs`.
    let follow = FILE_SOURCE.to_owned() + "follow = true\n";
    let rig = Rig::plain(&follow, "1s");
    rig.write("readings.jsonl", lines(0..20).replace("m-3", "renamed"));
    let running = rig.run();
    running.wait_for("history", "booked", 15);
    running.wait_for("history", "parked", 5);
    let meters = std::fs::read_to_string(rig.path("meters.csv")).unwrap();
    let aliased = meters.replace("withdrawn\n", "withdrawn,aliases\n").replace("1,\n", "1,,\n");
    rig.write(
        "meters.csv",
        aliased.replace(
            "m-3,plant,interval,kWh,1m,grid,2020-01-01,,1,,",
            "m-3,plant,interval,kWh,1m,grid,2020-01-01,,1,,renamed",
        ),
    );
    let labels = [("org_node", "acme"), ("window", "7d"), ("scope", "2")];
    let grams = (energy(20) * 500).to_string();
    wait_until("what waited to be booked", LIMIT, || {
        running.metric("ghg_emissions_co2e_grams", &labels).as_ref() == Some(&grams)
    });
    running.stop();
    rig.verify();
    assert_chain(&rig);
}

#[test]
fn another_timezone_moves_the_dates_of_tables_and_restates_what_differs() {
    assert_timezone_restates(|_| {});
    // Also where the state folder was lost meanwhile.
    assert_timezone_restates(|rig| {
        std::fs::remove_dir_all(rig.path("state")).unwrap();
        assert!(rig.plumeline(&["restore"]).status.success());
    });
}

fn assert_timezone_restates(meanwhile: impl Fn(&Rig)) {
    let rig = Rig::plain(FILE_SOURCE, "1s");
    rig.edit("pipeline.toml", "period = \"1d\"", "period = \"1h\"");
    // From the day of the readings on a kWh emits twice as much; they are of its first minutes.
    let day = jiff::Timestamp::from_millisecond(rig::day_before_yesterday()).unwrap();
    let day = day.to_string().split('T').next().unwrap().to_owned();
    let revised = format!("a test,\ngrid,2,2,0,any,co2,1.0,kWh,{day},,a revision,");
    rig.edit("factors.csv", "a test,", &revised);
    rig.write("readings.jsonl", lines(0..20));
    rig.run_to_end();
    let co2e = || {
        let python = ledger::reader()?;
        let sum = "SELECT CAST(sum(co2e_kg) * 2 AS INTEGER) FROM emissions";
        Some(ledger::one(&rig, &python, sum))
    };
    assert!(co2e().is_none_or(|sum| sum == (2 * energy(20)).to_string()));
    // West of Greenwich the day begins later.
    let zoned = "name = \"acme\"\ntimezone = \"America/New_York\"";
    rig.edit("pipeline.toml", "name = \"acme\"", zoned);
    meanwhile(&rig);
    goes_on(&rig);
    assert!(co2e().is_none_or(|sum| sum == energy(40).to_string()));
    // A row that is changed in place is refused as ever.
    rig.edit("factors.csv", "co2,1.0,", "co2,3.0,");
    let said = rig.run_to_end();
    assert!(said.contains("was changed in place"), "{said}");
}

#[test]
fn a_source_that_was_renamed_needs_its_id() {
    let rig = written();
    let (from, to) = ("name = \"history\"", "name = \"past\"");
    is_refused(&rig, (from, to), &["`past`", "`history`", "id = \"history\"", "id = \"past\""]);
    rig.edit("pipeline.toml", from, "name = \"past\"\nid = \"history\"");
    let said = rig.run_to_end();
    assert!(said.contains("drained, committed and ended"), "{said}");
    rig.verify();
    let Some(python) = ledger::reader() else {
        return;
    };
    let sources = "SELECT count(*), count(DISTINCT source), min(source) FROM readings";
    assert_eq!(ledger::query(&rig, &python, sources), [["40", "1", "history"]]);
    // Another one, which is to read it anew: all of it is known.
    let anew = "name = \"past\"\nid = \"past\"";
    rig.edit("pipeline.toml", "name = \"past\"\nid = \"history\"", anew);
    rig.run_to_end();
    rig.verify();
    assert_eq!(ledger::one(&rig, &python, "SELECT count(*) FROM readings"), "40");
}

#[test]
fn another_name_is_refused() {
    let change = ("name = \"acme\"", "name = \"other\"");
    is_refused(&written(), change, &["name = acme, and now it is other", "put the old name back"]);
}

#[test]
fn another_period_is_refused() {
    let change = ("period = \"1d\"", "period = \"12h\"");
    is_refused(&written(), change, &["period = 86400000 ms", "put the old value back"]);
}

#[test]
fn another_grace_is_refused() {
    let change = ("grace = \"0s\"", "grace = \"5m\"");
    is_refused(&written(), change, &["grace = 0 ms", "put the old value back"]);
}

#[test]
fn a_longer_retain_is_free() {
    let rig = Rig::plain(FILE_SOURCE, "1s");
    // The readings are of the day before yesterday: two days back is the earliest that is live.
    let line = |days: u32| format!("name = \"acme\"\nretain = \"{days}d\"\nsamples = \"1d\"");
    let plain = "name = \"acme\"";
    rig.edit("pipeline.toml", "windows = [\"7d\"]", "windows = [\"1d\"]");
    rig.edit("pipeline.toml", plain, &line(2));
    rig.write("readings.jsonl", lines(0..20));
    rig.run_to_end();
    rig.edit("pipeline.toml", &line(2), &line(30));
    rig.run_to_end();
    // Its tables say since when: also for whoever has nothing else.
    rig.verify();
    std::fs::remove_dir_all(rig.path("state")).unwrap();
    assert!(rig.plumeline(&["restore"]).status.success());
    rig.edit("pipeline.toml", &line(30), &line(40));
    goes_on(&rig);
    let retain = journaled(&rig, "retain");
    let words: Vec<&str> = retain.split(' ').collect();
    let ["172800000", "ms;", "after", _, "2592000000", "ms;", "after", _, "3456000000", "ms"] =
        words[..]
    else {
        panic!("{retain}")
    };
}

#[test]
fn a_window_that_begins_before_the_horizon_is_shown_once_it_is_whole() {
    let follow = FILE_SOURCE.to_owned() + "follow = true\n";
    let rig = Rig::plain(&follow, "1s");
    let line = |days: u32| format!("name = \"acme\"\nretain = \"{days}d\"\nsamples = \"1d\"");
    let windows = |last: &str| format!("windows = [\"3d\", \"{last}\"]");
    rig.edit("pipeline.toml", "windows = [\"7d\"]", "windows = [\"3d\"]");
    rig.edit("pipeline.toml", "name = \"acme\"", &line(7));
    rig.write("readings.jsonl", lines(0..20));
    let running = rig.run();
    running.wait_for("history", "booked", 20);
    running.stop();
    rig.edit("pipeline.toml", &line(7), &line(30));
    rig.edit("pipeline.toml", "windows = [\"3d\"]", &windows("30d"));
    let running = rig.run();
    let shown = |window| {
        let labels = [("org_node", "acme"), ("window", window), ("scope", "2")];
        running.metric("ghg_emissions_co2e_grams", &labels)
    };
    let grams = Some((energy(20) * 500).to_string());
    wait_until("the window that memory covers", LIMIT, || shown("3d") == grams);
    assert_eq!(shown("30d"), None);
    running.stop();
}

#[test]
fn a_shorter_retain_is_refused() {
    let change = ("name = \"acme\"", "name = \"acme\"\nretain = \"30d\"");
    is_refused(&written(), change, &["and now it is 2592000000 ms", "put the old value back"]);
}

#[test]
fn other_potentials_restate() {
    // That they do, and only once, is `tests/upgrade.rs`.
    let rig = written();
    rig.edit("pipeline.toml", "name = \"acme\"", "name = \"acme\"\ngwp = \"ar5\"");
    goes_on(&rig);
}

#[test]
fn other_sets_beside_the_first_are_free() {
    let rig = written();
    rig.edit("pipeline.toml", "name = \"acme\"", "name = \"acme\"\ngwp = [\"ar6\", \"ar5\"]");
    // No start lies between: the view shows both, and the ledger is as it was.
    let script = String::from_utf8(rig.plumeline(&["views"]).stdout).unwrap();
    assert!(script.contains("gwp_set IN ('ar6', 'ar5')"), "{script}");
    goes_on(&rig);
    assert_eq!(journaled(&rig, "gwp"), "ar6");
    let Some(python) = ledger::reader() else {
        return;
    };
    let entries =
        "SELECT count(*) FILTER (reason = 'gwp_change'), min(gwp), max(gwp) FROM emissions";
    assert_eq!(ledger::query(&rig, &python, entries), [["0", "ar6", "ar6"]]);
    let sets = "SELECT gwp_set, CAST(sum(co2e_kg) * 2 AS INTEGER) FROM footprints_by_gwp \
                WHERE node = 'acme' GROUP BY 1 ORDER BY 1";
    let sum = energy(40).to_string();
    assert_eq!(ledger::query(&rig, &python, sets), [["ar5", &sum], ["ar6", &sum]]);
}

#[test]
fn another_meaning_of_the_program_restates() {
    let rig = written();
    let journal = rusqlite::Connection::open(rig.path("state/journal.db")).unwrap();
    let older = "UPDATE meta SET value = '0' WHERE key = 'semantics_version'";
    assert_eq!(journal.execute(older, []).unwrap(), 1);
    drop(journal);
    goes_on(&rig);
}

#[test]
fn another_url_is_refused() {
    let change = ("url = \"lake\"", "url = \"elsewhere\"");
    is_refused(&written(), change, &["tables that are not there", "another state_dir"]);
}
