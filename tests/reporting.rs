//! `ghg_reporting_ratio` of the real program: a site that falls silent, a meter that never reported, and restarts.
//!
//! ```text
//!   acme ─┬─ north: m-0, m-1        report until they stop
//!         └─ south: m-2, m-3, m-4   report once; m-3 is due once an hour; m-4 is registered later, and never does
//! ```
//!
//! That shares are right at every tick is proven on random histories in `pipelines/tests`; here, that the program
//! shows them, and shows the same after it has ended.

#![allow(clippy::unwrap_used, reason = "a test ends where something is wrong")]

mod rig;
mod support;

use std::fs::File;
use std::io::Write;

use rig::{FILE_SOURCE, LIMIT, Rig, Running, now_ms, sample};
use support::process::wait_until;

const RATIO: &str = "ghg_reporting_ratio";
const AS_OF: &str = "plumeline_as_of_timestamp_seconds";
const NODES: [&str; 3] = ["acme", "north", "south"];
/// A window that a test can wait for, and one that it does not see the end of.
const WINDOWS: [&str; 2] = ["10s", "1h"];

fn meter(number: i64, node: &str, expected_every: &str) -> String {
    format!("m-{number},{node},interval,kWh,1m,{expected_every},grid,2020-01-01,,1,\n")
}

fn rig() -> Rig {
    let rig = Rig::plain(&format!("{FILE_SOURCE}follow = true\n"), "1s");
    rig.edit("pipeline.toml", "period = \"1d\"", "period = \"1s\"\nworkers = 2");
    rig.edit("pipeline.toml", "[\"7d\"]", &format!("{WINDOWS:?}"));
    let head = "meter,node,kind,unit,interval,expected_every,factor,valid_from,valid_to,revision,\
                withdrawn\n";
    let of = |number, node| meter(number, node, if number == 3 { "1h" } else { "" });
    let meters = [of(0, "north"), of(1, "north"), of(2, "south"), of(3, "south")].concat();
    rig.write("meters.csv", head.to_owned() + &meters);
    rig.write(
        "nodes.csv",
        "node,parent,name,valid_from,valid_to,revision,withdrawn\nacme,,Acme,2020-01-01,,1,\n\
         north,acme,North,2020-01-01,,1,\nsouth,acme,South,2020-01-01,,1,\n",
    );
    rig.write("readings.jsonl", "");
    rig
}

/// Meters report, now.
fn report(rig: &Rig, meters: std::ops::Range<i64>) {
    let at_ms = now_ms();
    let mut lines = Vec::new();
    for n in meters {
        let value = format!("\"observed_at_ms\":{at_ms},\"value\":1,\"unit\":\"kWh\"");
        writeln!(lines, "{{\"meter\":\"m-{n}\",{value}}}").unwrap();
    }
    let mut file = File::options().append(true).open(rig.path("readings.jsonl")).unwrap();
    file.write_all(&lines).unwrap();
}

/// Of the company, the north and the south.
fn ratios(page: &str, window: &str) -> [Option<String>; 3] {
    NODES.map(|node| sample(page, RATIO, &[("org_node", node), ("window", window)]))
}

/// Waits until a window shows this, while some meters go on to report; then so does the page that is returned.
#[track_caller]
fn wait_until_shown(
    (rig, running): (&Rig, &Running),
    reporting: std::ops::Range<i64>,
    (window, shown): (&str, [&str; 3]),
) -> String {
    let mut last = String::new();
    wait_until(&format!("{shown:?} in {window}"), LIMIT, || {
        report(rig, reporting.clone());
        last = running.page("/metrics").map(|(_, page)| page).unwrap_or_default();
        ratios(&last, window) == shown.map(|text| Some(text.to_owned()))
    });
    last
}

/// All there is of the metric.
fn lines(page: &str) -> Vec<&str> {
    page.lines().filter(|line| line.starts_with(RATIO)).collect()
}

/// Runs it again: the first that is shown at all shows these lines.
#[track_caller]
fn run_again(rig: &Rig, expected: &[&str]) -> Running {
    let running = rig.run();
    let mut first = String::new();
    wait_until("business series to be shown", LIMIT, || {
        first = running.page("/metrics").map(|(_, page)| page).unwrap_or_default();
        sample(&first, AS_OF, &[]).is_some()
    });
    assert_eq!(lines(&first), expected);
    running
}

#[test]
fn a_site_that_falls_silent_shows_and_so_it_does_after_any_end() {
    let rig = rig();
    let running = rig.run();
    let [short, long] = WINDOWS;
    let none = wait_until_shown((&rig, &running), 0..0, (long, ["0", "0", "0"]));
    assert_eq!(lines(&none).len(), NODES.len() * WINDOWS.len(), "none of `open`:\n{none}");
    wait_until_shown((&rig, &running), 0..4, (short, ["1", "1", "1"]));
    let silent = wait_until_shown((&rig, &running), 0..2, (short, ["0.75", "1", "0.5"]));
    assert_eq!(ratios(&silent, long), ["1", "1", "1"].map(|text| Some(text.to_owned())));
    let new = ["0.8", "1", "0.666666666"];
    rig.edit("meters.csv", "m-3,", &(meter(4, "south", "") + "m-3,"));
    wait_until_shown((&rig, &running), 0..2, (long, new));
    // Now nobody reports.
    let last = wait_until_shown((&rig, &running), 0..0, (short, ["0.2", "0", "0.333333333"]));
    assert_eq!(ratios(&last, long), new.map(|text| Some(text.to_owned())));
    let expected = lines(&last);
    running.stop();
    let running = run_again(&rig, &expected);
    running.kill();
    rig.edit("pipeline.toml", "workers = 2", "workers = 1");
    run_again(&rig, &expected).stop();
    rig.edit("pipeline.toml", "workers = 1", "workers = 3");
    let running = run_again(&rig, &expected);
    wait_until_shown((&rig, &running), 0..5, (short, ["1", "1", "1"]));
    running.stop();
    rig.verify();
}
