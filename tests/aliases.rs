//! A meter that was renamed in the field goes on in the ledger under the name it was first booked under.
//!
//! ```text
//!   register m-0 ── 0..RENAMED ──▶ booked
//!   its device, as m-100 ─ ..KNOWN ▶ parked ── m-0 has `aliases` m-100 ──▶ taken in again, booked as m-0's
//!   its device, as m-100 ─ KNOWN.. ─────────────────────────────────────▶ booked as m-0's
//! ```
//!
//! Whatever the order, and wherever a run ends: the balances are those of a meter that was never renamed, to the last
//! digit, and `plumeline verify` agrees. That each reading is found once, in its order, is tested in `src/journal` and
//! `src/runtime/door.rs`.

#![allow(clippy::unwrap_used, reason = "a test ends where something is wrong")]

mod rig;
mod support;

use std::collections::BTreeMap;
use std::fmt::Write;
use std::ops::Range;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use plumeline::config;
use plumeline_pipelines::model::{
    ActivityKey, Emission, EmissionKey, FootprintKey, Measure, Names, RejectEvent,
};
use plumeline_pipelines::reference::add;
use plumeline_sinks::delta::LakeReader;
use rig::points::{ALIASING, run_into};
use rig::verdict::assert_chain;
use rig::{FILE_SOURCE, LIMIT, Rig, Running, day_before_yesterday};
use support::process::wait_until;

/// Positions that come under the old name.
const RENAMED: i64 = 30;
/// Positions after which the new name is known.
const KNOWN: i64 = 60;
/// All of them.
const ALL: i64 = 90;
/// Positions of which a run takes several parts in again: a part is some 20,000.
const MANY: i64 = 45_000;
/// Makes a source that does not end.
const FOLLOW: &str = "follow = true\n";

/// Positions of a register: one a second, each of another advance.
fn lines(meter: &str, numbers: Range<i64>) -> String {
    let mut text = String::new();
    for number in numbers {
        let at_ms = day_before_yesterday() + 1_000 * (1 + number);
        let thousandths = 1_000_000 + 137 * number + number * number % 100;
        let (whole, rest) = (thousandths / 1000, thousandths % 1000);
        writeln!(
            text,
            r#"{{"meter":"{meter}","observed_at_ms":{at_ms},"value":{whole}.{rest:03},"unit":"kWh"}}"#
        )
        .unwrap();
    }
    text
}

/// A pipeline with the register `m-0`.
fn rig(rest: &str) -> Rig {
    let rig = Rig::plain(&format!("{FILE_SOURCE}{rest}"), "1s");
    rig.edit("pipeline.toml", "period = \"1d\"", "period = \"15m\"");
    rig.write("meters.csv", meters(""));
    rig
}

fn meters(aliases: &str) -> String {
    let mut text = String::from("meter,node,kind,unit,factor,revision,aliases\n");
    writeln!(text, "m-0,plant,register,kWh,grid,1,{aliases}").unwrap();
    text + "m-1,plant,register,kWh,grid,1,\n"
}

/// All balances of a ledger.
#[derive(Debug, Default, PartialEq)]
struct Books {
    activity: BTreeMap<ActivityKey, Measure>,
    emissions: BTreeMap<EmissionKey, Emission>,
    footprints: BTreeMap<FootprintKey, Emission>,
}

/// What is in the ledger of `rig`; and how many rows of `rejects` say that something waits, and waits no longer.
fn books(rig: &Rig, names: &Arc<Names>) -> (Books, [usize; 2]) {
    let pipeline = config::load(&rig.path("pipeline.toml"), &|_| None).unwrap();
    let lake = pipeline.lake(false).unwrap();
    let mut reader = LakeReader::of(lake, Arc::clone(names), |_| true).unwrap();
    let (mut books, mut rejects) = (Books::default(), Vec::new());
    while let Some((_, rows)) = reader.next_cut().unwrap() {
        rows.activity.iter().for_each(|(key, row)| add(&mut books.activity, *key, row));
        rows.emissions.iter().for_each(|(key, row)| add(&mut books.emissions, *key, row));
        rows.footprints.iter().for_each(|(key, row)| add(&mut books.footprints, *key, row));
        rejects.extend(rows.rejects.into_iter().map(|reject| reject.event));
    }
    let events = [RejectEvent::Parked, RejectEvent::Resolved];
    (books, events.map(|event| rejects.iter().filter(|found| **found == event).count()))
}

/// The books of `rig` are those of a meter that was never renamed, of so many positions; and so many rows say that
/// something waits, and waits no longer.
#[track_caller]
fn is_as_if_never_renamed(rig: &Rig, count: i64, waiting: [i64; 2]) {
    let twin = self::rig("");
    twin.write("readings.jsonl", lines("m-0", 0..count));
    twin.run_to_end();
    is_like(rig, &twin, Some(waiting));
}

#[track_caller]
fn is_like(rig: &Rig, twin: &Rig, waiting: Option<[i64; 2]>) {
    rig.verify();
    assert_chain(rig);
    let names = Arc::new(Names::new());
    let ((books, told), (expected, _)) = (self::books(rig, &names), self::books(twin, &names));
    assert!(!expected.activity.is_empty() && !expected.footprints.is_empty());
    assert_eq!(books, expected);
    let waiting = waiting.map(|counts| counts.map(|count| usize::try_from(count).unwrap()));
    assert!(waiting.is_none_or(|waiting| waiting == told), "{told:?}");
}

/// Waits until the names in the table are known to the pipeline.
fn names_change(running: &Running, rig: &Rig, aliases: &str) {
    let told = |running: &Running| running.said().matches("other names of meters").count();
    let before = told(running);
    rig.write("meters.csv", meters(aliases));
    wait_until("the names to be known", LIMIT, || told(running) > before);
}

fn said(rig: &Rig, words: &[&str]) -> String {
    let output = rig.plumeline(words);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn parked(running: &Running) -> Option<String> {
    running.metric("plumeline_parked_readings", &[])
}

#[test]
fn a_name_that_becomes_known_while_it_runs_brings_what_came_under_it() {
    let rig = rig(FOLLOW);
    let old = lines("m-0", 0..RENAMED);
    rig.write("readings.jsonl", old.clone() + &lines("m-100", RENAMED..KNOWN));
    let running = rig.run();
    running.wait_for("history", "booked", 30);
    running.wait_for("history", "parked", 30);
    wait_until("them to be counted", LIMIT, || parked(&running).as_deref() == Some("30"));
    names_change(&running, &rig, "m-100");
    running.wait_for("history", "booked", 60);
    assert_eq!(parked(&running).as_deref(), Some("0"));
    rig.write("readings.jsonl", old + &lines("m-100", RENAMED..ALL));
    running.wait_for("history", "booked", 90);
    assert_eq!(running.outcome("history", "parked"), 30, "none waits any more");
    running.stop();
    is_as_if_never_renamed(&rig, ALL, [30, 30]);

    // A name that is one no more is nobody's, also after a restart.
    let running = rig.run();
    names_change(&running, &rig, "");
    let old = lines("m-0", 0..RENAMED) + &lines("m-100", RENAMED..ALL);
    rig.write("readings.jsonl", old.clone() + &lines("m-100", ALL..ALL + 5));
    running.wait_for("history", "parked", 5);
    running.stop();
    let running = rig.run();
    rig.write("readings.jsonl", old + &lines("m-100", ALL..ALL + 9));
    running.wait_for("history", "parked", 4);
    running.stop();
    is_as_if_never_renamed(&rig, ALL, [39, 30]);
}

#[test]
fn a_name_that_is_written_while_nothing_runs_is_told_and_brings_it_too() {
    let rig = rig("");
    let first = lines("m-0", 0..RENAMED) + &lines("m-100", RENAMED..KNOWN);
    rig.write("readings.jsonl", &first);
    rig.run_to_end();
    rig.write("meters.csv", meters("m-99;m-100"));
    let told = said(&rig, &["facts", "diff"]);
    assert!(told.contains("meters: 1 of 2 keys touched, 0 new; 0 rows added"), "{told}");
    assert!(told.contains("`m-100` is a name of meter `m-0`: what came under it"), "{told}");
    rig.write("readings.jsonl", first + &lines("m-100", KNOWN..ALL));
    rig.run_to_end();
    assert_eq!(said(&rig, &["facts", "diff"]), "the tables say what is applied\n");
    is_as_if_never_renamed(&rig, ALL, [30, 30]);
    // Once more, nothing comes of it; nor where all that is known of names is lost.
    rig.run_to_end();
    std::fs::remove_dir_all(rig.path("state")).unwrap();
    said(&rig, &["restore"]);
    rig.run_to_end();
    is_like(&rig, &rig, None);
    let twin = self::rig("");
    twin.write("readings.jsonl", lines("m-0", 0..ALL));
    twin.run_to_end();
    is_like(&rig, &twin, None);
}

#[test]
fn names_of_many_meters_wait_until_they_are_let_through() {
    let rig = rig("");
    let meters = |are_named: bool| {
        let mut text = String::from("meter,node,kind,unit,factor,revision,aliases\n");
        for meter in 0..12 {
            let alias = if are_named { format!("m-10{meter}") } else { String::new() };
            writeln!(text, "m-{meter},plant,register,kWh,grid,1,{alias}").unwrap();
        }
        text
    };
    rig.write("meters.csv", meters(false));
    let all = lines("m-0", 0..RENAMED) + &lines("m-100", RENAMED..KNOWN);
    rig.write("readings.jsonl", &all);
    rig.run_to_end();
    rig.write("meters.csv", meters(true));
    let told = rig.run_to_end();
    assert!(told.contains("12 of 12 keys touched") && told.contains("it waits"), "{told}");
    let twin = self::rig("");
    twin.write("readings.jsonl", lines("m-0", 0..RENAMED));
    twin.run_to_end();
    is_like(&rig, &twin, Some([30, 0]));
    // Nobody runs: whoever lets it through takes in again, too.
    said(&rig, &["facts", "apply"]);
    is_as_if_never_renamed(&rig, KNOWN, [30, 30]);
}

#[test]
fn an_end_at_any_moment_of_it_loses_nothing() {
    let twin = rig("");
    twin.write("readings.jsonl", lines("m-0", 0..MANY));
    twin.run_to_end();
    std::thread::scope(|scope| {
        for (point, passes) in ALIASING {
            let twin = &twin;
            scope.spawn(move || {
                let rig = rig("");
                let all = lines("m-0", 0..RENAMED) + &lines("m-100", RENAMED..MANY);
                rig.write("readings.jsonl", all);
                rig.run_to_end();
                rig.write("meters.csv", meters("m-100"));
                let end = (point, passes);
                assert!(run_into(&rig, end, LIMIT), "{end:?} is never reached");
                // Once more, on the way back.
                run_into(&rig, (point, 0), LIMIT);
                rig.run_to_end();
                is_like(&rig, twin, None);
            });
        }
    });
}

#[test]
fn a_file_of_history_under_another_name_is_the_meters() {
    let backfill = |rig: &Rig, file: &Path| {
        let output = Command::new(env!("CARGO_BIN_EXE_plumeline"))
            .args(["backfill".as_ref(), rig.path("pipeline.toml").as_os_str(), file.as_os_str()])
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    };
    // All of it lies below the horizon: what was parked there would stay so.
    let short = "period = \"15m\"\nretain = \"1d\"\nsamples = \"1d\"";
    let [rig, twin] = ["m-100", "m-0"].map(|name| {
        let rig = rig("");
        rig.edit("pipeline.toml", "period = \"15m\"", short);
        rig.edit("pipeline.toml", "windows = [\"7d\"]", "windows = [\"24h\"]");
        rig.write("readings.jsonl", lines("m-0", 0..RENAMED));
        rig.run_to_end();
        rig.write("history.jsonl", lines(name, RENAMED..KNOWN));
        rig
    });
    // Written while nothing runs: the import waits until the table is applied.
    rig.write("meters.csv", meters("m-100"));
    for rig in [&rig, &twin] {
        backfill(rig, &rig.path("history.jsonl"));
    }
    is_like(&rig, &twin, None);
}
