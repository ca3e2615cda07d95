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

fn restated(running: &Running) -> Option<u64> {
    running.metric("ghg_restatements_total", &[("reason", "restated")])?.parse().ok()
}

/// Waits until something was restated and nothing is left to do.
#[track_caller]
fn wait_until_restated(running: &Running, entries: u64) {
    wait_until("everything below the horizon to be restated", LIMIT, || {
        restated(running) >= Some(entries) && pending(running) == Some(0)
    });
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
    wait_until_restated(&running, 4);
    // A correction of one that is in the ledger by now.
    let corrected = reading(0).replace("\"value\":1,", "\"value\":101,");
    rig.write("readings.jsonl", lines(0..OLD) + &corrected + "\n");
    running.wait_for("history", "parked", u64::try_from(OLD + 1).unwrap());
    wait_until_restated(&running, 5);
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
    wait_until_restated(&running, 4);
    let revised = "a test,\ngrid,2,2,0,any,co2,1.0,kWh,2020-01-01,,a revision,";
    rig.edit("factors.csv", "a test,", revised);
    // Each of the four emissions is taken back and booked again.
    wait_until_restated(&running, 12);
    running.stop();
    rig.verify();
    let Some(python) = ledger::reader() else {
        return;
    };
    let sum = energy(OLD);
    assert_eq!(sums(&rig, &python), [sum.to_string(), (2 * sum).to_string()]);
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
    wait_until_restated(&running, 1);
    // Nearly all of it was used in the first day, as is heard now.
    let late = position(day_ms - 3 * DAY_MS, 1650);
    rig.write("readings.jsonl", above + &late);
    running.wait_for("history", "parked", 2);
    wait_until_restated(&running, 30);
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
    assert!(!asked.status.success(), "nobody listens at port 0");
    let listen = format!("127.0.0.1:{}", running.port());
    rig.edit("pipeline.toml", "127.0.0.1:0", &listen);
    let asked = rig.plumeline(&["restate"]);
    assert!(asked.status.success(), "{}", String::from_utf8_lossy(&asked.stderr));
    wait_until_restated(&running, 4);
    running.stop();
    rig.verify();
}

#[test]
fn an_end_at_any_moment_of_it_books_it_once() {
    std::thread::scope(|scope| {
        for point in RESTATING {
            scope.spawn(move || {
                let rig = rig("auto");
                rig.write("readings.jsonl", lines(0..OLD));
                assert!(run_into(&rig, (point, 0), LIMIT), "{point} is never reached");
                // Once more, if it comes by again.
                run_into(&rig, (point, 0), std::time::Duration::from_secs(10));
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
