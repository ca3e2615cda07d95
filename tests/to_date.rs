//! Windows to date hold what lies below the horizon, through restarts and restatements, in the real program.
//!
//! ```text
//!   horizon ─── a day ago
//!   readings of the day before yesterday ──► restated ──► footprints ──► opening balance of `mtd` and `ytd`
//! ```
//!
//! That windows to date are right at every tick is proven on random histories in `pipelines/tests`; here, that the
//! program reads the ledger back, before it shows anything, and adds what is restated meanwhile.

#![allow(clippy::unwrap_used, reason = "a test ends where something is wrong")]

mod rig;
mod support;

use jiff::tz::TimeZone;
use jiff::{Timestamp, Zoned};
use rig::points::{RESTATING, run_into};
use rig::{FILE_SOURCE, LIMIT, Rig, Running, energy, ledger, now_ms, reading, sample};
use support::process::wait_until;

/// Readings of the day before yesterday.
const OLD: i64 = 40;
/// Where months begin half an hour off.
const ZONE: &str = "Asia/Kolkata";
const CO2E: &str = "ghg_emissions_co2e_grams";
const AS_OF: &str = "plumeline_as_of_timestamp_seconds";

fn lines(numbers: std::ops::Range<i64>) -> String {
    numbers.map(|number| reading(number) + "\n").collect()
}

/// A pipeline whose horizon lies a day back, and whose source does not end.
fn rig() -> Rig {
    let rig = Rig::plain(&format!("{FILE_SOURCE}follow = true\n"), "1s");
    let shorter = format!(
        "timezone = \"{ZONE}\"\nperiod = \"15m\"\nretain = \"1d\"\nsamples = \"1d\"\nrestate = \"auto\""
    );
    rig.edit("pipeline.toml", "period = \"1d\"", &shorter);
    rig.edit("pipeline.toml", "windows = [\"7d\"]", "windows = [\"24h\", \"mtd\", \"ytd\"]");
    rig
}

/// The civil time of an instant.
fn civil(ms: i64) -> Zoned {
    Timestamp::from_millisecond(ms).unwrap().to_zoned(TimeZone::get(ZONE).unwrap())
}

/// What the series of a window shows of so many kWh of the day before yesterday, in grams: on the first days of a
/// month or year nothing, since that day was of the one before.
fn grams(window: &str, kwh: i64) -> Option<i64> {
    let (then, now) = (civil(rig::day_before_yesterday()), civil(now_ms()));
    let is_same = match window {
        "mtd" => (then.year(), then.month()) == (now.year(), now.month()),
        _ => then.year() == now.year(),
    };
    // 0.5 kg a kWh.
    is_same.then_some(kwh * 500)
}

fn shown(page: &str, window: &str) -> Option<i64> {
    let labels = [("org_node", "acme"), ("scope", "2"), ("window", window)];
    Some(sample(page, CO2E, &labels)?.parse().expect("whole grams"))
}

/// Waits until the windows show so many kWh.
#[track_caller]
fn wait_until_shown(running: &Running, kwh: i64) {
    wait_until("windows to date to show it", LIMIT, || {
        let Some((_, page)) = running.page("/metrics") else { return false };
        ["mtd", "ytd"].iter().all(|window| shown(&page, window) == grams(window, kwh))
    });
}

/// Runs it again: the first that is shown at all holds so many kWh.
#[track_caller]
fn run_again(rig: &Rig, kwh: i64) -> Running {
    let running = rig.run();
    let mut first = String::new();
    wait_until("business series to be shown", LIMIT, || {
        first = running.page("/metrics").map(|(_, page)| page).unwrap_or_default();
        sample(&first, AS_OF, &[]).is_some()
    });
    for window in ["mtd", "ytd"] {
        assert_eq!(shown(&first, window), grams(window, kwh), "{window}:\n{first}");
    }
    let (_, page) = running.page("/metrics").unwrap();
    assert_eq!(shown(&page, "24h"), None, "nothing was metered lately");
    let end = |window| sample(&page, "ghg_window_end_timestamp_seconds", &[("window", window)]);
    assert!(end("ytd").is_some() && end("ytd") == end("24h"), "{page}");
    running
}

/// The ledger says the same.
fn assert_booked(rig: &Rig) {
    let Some(python) = ledger::reader() else {
        return;
    };
    let (year, running) = (civil(now_ms()).year(), rig.run());
    let sum = format!(
        "SELECT coalesce(CAST(sum(co2e_kg) * 1000 AS BIGINT), 0) FROM footprints \
         WHERE node = 'acme' AND year(period_date) = {year}"
    );
    let booked: i64 = ledger::one(rig, &python, &sum).parse().unwrap();
    wait_until("the window to show what is booked", LIMIT, || {
        let page = running.page("/metrics").map(|(_, page)| page).unwrap_or_default();
        sample(&page, AS_OF, &[]).is_some() && shown(&page, "ytd").unwrap_or(0) == booked
    });
    running.stop();
}

#[test]
fn windows_to_date_hold_what_the_ledger_holds_after_any_end() {
    let rig = rig();
    rig.write("readings.jsonl", lines(0..OLD));
    let running = rig.run();
    wait_until_shown(&running, energy(OLD));
    running.stop();
    let running = run_again(&rig, energy(OLD));
    // Corrected below the horizon, which is restated in the background.
    let corrected = reading(0).replace("\"value\":1,", "\"value\":101,");
    rig.write("readings.jsonl", lines(0..OLD) + &corrected + "\n");
    wait_until_shown(&running, energy(OLD) + 100);
    running.stop();
    let running = run_again(&rig, energy(OLD) + 100);
    // A factor that holds since long ago.
    let revised = "a test,\ngrid,2,2,0,any,co2,1.0,kWh,2020-01-01,,a revision,";
    rig.edit("factors.csv", "a test,", revised);
    wait_until_shown(&running, 2 * (energy(OLD) + 100));
    running.kill();
    run_again(&rig, 2 * (energy(OLD) + 100)).stop();
    assert_booked(&rig);
    rig.verify();
}

#[test]
fn a_restatement_that_is_ended_at_any_moment_is_in_windows_to_date_once() {
    std::thread::scope(|scope| {
        for point in RESTATING {
            scope.spawn(move || {
                let rig = rig();
                rig.write("readings.jsonl", lines(0..OLD));
                assert!(run_into(&rig, (point, 0), LIMIT), "{point} is never reached");
                let running = rig.run();
                wait_until_shown(&running, energy(OLD));
                running.stop();
                run_again(&rig, energy(OLD)).stop();
                rig.verify();
            });
        }
    });
}
