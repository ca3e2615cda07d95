//! A state folder that is lost is made anew from the tables, and the ledger goes on as if it had never been lost.
//!
//! ```text
//!   run ──► lake ─┐                     ┌─► run ──► lake ──► `plumeline verify`, readers
//!     └─► state ──┼─ lost   restore ────┤
//!                 └────────────▲        └─ ends at any moment: once more
//! ```
//!
//! That what was kept is found again is proven on random histories by `pipelines/tests/kept.rs`; random programs that
//! lose their state are run by `tests/model.rs`.

#![allow(clippy::unwrap_used, reason = "a test ends where something is wrong")]

mod rig;
mod support;

use std::fs;
use std::ops::Range;

use rig::points::{REBUILDING, run_into};
use rig::publish::{kafka as produce, mqtt as publish};
use rig::verdict::assert_chain;
use rig::{DAY_MS, FILE_SOURCE, LIMIT, Rig, Running, energy, ledger, now_ms, reading};
use support::process::wait_until;
use support::{Kafka, Mosquitto};

/// Makes a source that does not end.
const FOLLOW: &str = "follow = true\n";

fn lines(numbers: Range<i64>) -> String {
    numbers.map(|number| reading(number) + "\n").collect()
}

/// A pipeline that reads a file to its end.
fn rig() -> Rig {
    Rig::plain(FILE_SOURCE, "1s")
}

/// The same, whose horizon lies a day back, in periods of an hour.
fn short_rig(mode: &str) -> Rig {
    let rig = Rig::plain(&format!("{FILE_SOURCE}{FOLLOW}"), "1s");
    let shorter =
        format!("period = \"1h\"\nretain = \"1d\"\nsamples = \"1d\"\nrestate = \"{mode}\"");
    rig.edit("pipeline.toml", "period = \"1d\"", &shorter);
    rig.edit("pipeline.toml", "windows = [\"7d\"]", "windows = [\"24h\"]");
    rig
}

fn lose(rig: &Rig) {
    fs::remove_dir_all(rig.path("state")).unwrap();
}

/// Restores, and says what it says.
#[track_caller]
fn restore(rig: &Rig) -> String {
    let output = rig.plumeline(&["restore"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// What `plumeline` says that refuses.
#[track_caller]
fn refused(rig: &Rig, word: &str) -> String {
    let output = rig.plumeline(&[word]);
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(!output.status.success(), "{word}: {said}");
    said
}

/// The ledger's energy, kWh, emissions, kg times two, and rows of `readings`.
#[track_caller]
fn assert_sums(rig: &Rig, kwh: i64, readings: i64) {
    rig.verify();
    assert_chain(rig);
    let Some(python) = ledger::reader() else {
        return;
    };
    let sums = "SELECT CAST(sum(amount) AS INTEGER), \
                CAST((SELECT sum(co2e_kg) * 2 FROM footprints WHERE depth = 0) AS INTEGER), \
                (SELECT count(*) FROM readings) FROM activity";
    let found = ledger::query(rig, &python, sums).remove(0);
    assert_eq!(found, [kwh.to_string(), kwh.to_string(), readings.to_string()]);
}

fn pending(running: &Running) -> Option<u64> {
    running.metric("plumeline_pending_restatement_periods", &[])?.parse().ok()
}

/// Waits until there was a restatement, and nothing is left to do.
#[track_caller]
fn wait_until_restated(running: &Running) {
    let at = || running.metric("plumeline_commit_timestamp_seconds", &[("table", "restatements")]);
    wait_until("everything below the horizon to be restated", LIMIT, || {
        pending(running) == Some(0) && at().is_some()
    });
}

#[test]
fn a_lost_state_folder_is_refused_restored_and_gone_on_with() {
    let rig = rig();
    rig.write("readings.jsonl", lines(0..20));
    rig.run_to_end();
    lose(&rig);
    let said = refused(&rig, "run");
    assert!(said.contains("`plumeline restore PIPELINE.toml`"), "{said}");
    let said = restore(&rig);
    assert!(said.contains("up to their commit of") && said.contains("proven"), "{said}");
    assert!(said.contains("readings and activities   20"), "{said}");
    assert!(said.contains("source history") && said.contains("nothing is lost"), "{said}");
    let looked = std::process::Command::new(env!("CARGO_BIN_EXE_plumeline"))
        .args(["journal", "verify"])
        .arg(rig.path("state/journal.db"))
        .output()
        .unwrap();
    assert!(looked.status.success(), "{}", String::from_utf8_lossy(&looked.stdout));
    // New ones; all the old ones again; a correction, a withdrawal, and a factor that is revised.
    let corrected = reading(3).replace("\"value\":4,", "\"value\":104,\"version\":1,");
    let withdrawn = reading(5).replace("\"value\":6,", "\"withdraw\":true,");
    let again = lines(0..20) + &lines(20..40) + &lines(0..20);
    rig.write("readings.jsonl", again + &corrected + "\n" + &withdrawn + "\n");
    let revised = "a test,\ngrid,2,2,0,any,co2,0.5,kWh,2020-01-01,,a revision,";
    rig.edit("factors.csv", "a test,", revised);
    rig.run_to_end();
    assert_sums(&rig, energy(40) + 100 - 6, 42);
    // And once more: what was restored is as good a base as any.
    lose(&rig);
    restore(&rig);
    rig.run_to_end();
    assert_sums(&rig, energy(40) + 100 - 6, 42);
}

#[test]
fn what_is_there_or_cannot_be_proven_is_refused() {
    let rig = rig();
    rig.write("readings.jsonl", lines(0..8));
    let said = refused(&rig, "restore");
    assert!(said.contains("nothing is committed"), "{said}");
    rig.run_to_end();
    let said = refused(&rig, "restore");
    assert!(said.contains("is a journal already"), "{said}");
    lose(&rig);
    for (line, changed, told) in [
        ("period = \"1d\"", "period = \"12h\"", "period = 86400000 ms, and now it is 43200000 ms"),
        ("grace = \"0s\"", "grace = \"5m\"", "grace = 0 ms, and now it is 300000 ms"),
        ("url = \"lake\"", "url = \"lake\"\nreadings = \"none\"", "readings = \"none\""),
    ] {
        rig.edit("pipeline.toml", line, changed);
        let said = refused(&rig, "restore");
        assert!(said.contains(told), "{said}");
        rig.edit("pipeline.toml", changed, line);
        assert!(!rig.path("state/journal.db").exists());
    }
    // A reading that somebody took out of its table.
    let readings = rig.path("lake/readings");
    let days = fs::read_dir(&readings).unwrap().flatten();
    let day =
        days.map(|entry| entry.path()).find(|path| path.to_string_lossy().contains("recorded"));
    let file = fs::read_dir(day.unwrap()).unwrap().flatten().next().unwrap().path();
    let moved = rig.path("moved.parquet");
    fs::rename(&file, &moved).unwrap();
    let said = refused(&rig, "restore");
    assert!(said.contains("cannot be read"), "{said}");
    fs::rename(moved, file).unwrap();
    // A commit that says of its balances what they are not.
    let log = rig.path("lake/activity/_delta_log");
    let versions = fs::read_dir(log).unwrap().flatten().map(|entry| entry.path());
    let newest = versions.filter(|path| path.extension().is_some_and(|kind| kind == "json")).max();
    let newest = newest.unwrap();
    let told = fs::read_to_string(&newest).unwrap();
    let live = r#"\"live\":\""#;
    let digit = told.find(live).expect("a digest") + live.len();
    let other = if told[digit..].starts_with('0') { "1" } else { "0" };
    let mut changed = told.clone();
    changed.replace_range(digit..=digit, other);
    fs::write(&newest, changed).unwrap();
    let said = refused(&rig, "restore");
    assert!(said.contains("nothing was restored") && said.contains("digest"), "{said}");
    assert!(!rig.path("state/journal.db").exists());
    fs::write(&newest, told).unwrap();
    restore(&rig);
    let said = refused(&rig, "restore");
    assert!(said.contains("is a journal already"), "{said}");
    rig.run_to_end();
    assert_sums(&rig, energy(8), 8);
}

#[test]
fn an_end_on_its_way_leaves_no_journal_or_a_whole_one() {
    std::thread::scope(|scope| {
        for point in REBUILDING {
            scope.spawn(move || {
                let rig = rig();
                rig.write("readings.jsonl", lines(0..20));
                rig.run_to_end();
                lose(&rig);
                let point_ends = [("FAILPOINTS", format!("{point}=panic"))];
                let ended = rig.plumeline_in(&["restore"], &point_ends);
                let said = String::from_utf8_lossy(&ended.stderr).into_owned();
                assert!(!ended.status.success() && said.contains(point), "{point}: {said}");
                if point == "journal-placed" {
                    let said = refused(&rig, "restore");
                    assert!(said.contains("is a journal already"), "{said}");
                } else {
                    let said = refused(&rig, "run");
                    assert!(said.contains("plumeline restore"), "{point}: {said}");
                    restore(&rig);
                }
                rig.write("readings.jsonl", lines(0..40));
                rig.run_to_end();
                assert_sums(&rig, energy(40), 40);
            });
        }
    });
}

#[test]
fn a_commit_that_did_not_come_to_its_end_is_made_to_its_end() {
    std::thread::scope(|scope| {
        // In the first commit of all, and in a later one.
        for (committed, passes) in [0, 1].into_iter().flat_map(|c| (0..8).map(move |p| (c, p))) {
            scope.spawn(move || {
                let rig = rig();
                rig.write("readings.jsonl", lines(0..20));
                if committed > 0 {
                    rig.run_to_end();
                    let revised = "a test,\ngrid,2,2,0,any,co2,0.5,kWh,2020-01-01,,a revision,";
                    rig.edit("factors.csv", "a test,", revised);
                    rig.write("readings.jsonl", lines(0..40));
                }
                let is_reached = run_into(&rig, ("lake-commit-done", passes), LIMIT);
                lose(&rig);
                if is_reached || committed > 0 {
                    restore(&rig);
                }
                rig.write("readings.jsonl", lines(0..60));
                rig.run_to_end();
                assert_sums(&rig, energy(60), 60);
            });
        }
    });
}

#[test]
fn what_was_restated_below_the_horizon_and_what_waits_to_be_come_back() {
    let rig = short_rig("auto");
    rig.edit("meters.csv", "m-0,plant,interval,kWh,1m,", "m-0,plant,register,kWh,,");
    let day_ms = now_ms() / DAY_MS * DAY_MS;
    let position = |at_ms: i64, value: i64| {
        format!(
            "{{\"meter\":\"m-0\",\"observed_at_ms\":{at_ms},\"value\":{value},\"unit\":\"kWh\"}}\n"
        )
    };
    // The first lies below the horizon: what the second books above it rests on it.
    let mut text = position(day_ms - 4 * DAY_MS, 1000) + &position(day_ms - DAY_MS / 2, 1700);
    rig.write("readings.jsonl", &text);
    let running = rig.run();
    wait_until_restated(&running);
    running.kill();
    lose(&rig);
    restore(&rig);
    // A late baseline, which waits to be restated when the state is lost again.
    rig.edit("pipeline.toml", "restate = \"auto\"", "restate = \"manual\"");
    text += &position(day_ms - 3 * DAY_MS, 1650);
    rig.write("readings.jsonl", &text);
    let running = rig.run();
    wait_until("it to be pending", LIMIT, || pending(&running) > Some(0));
    running.stop();
    lose(&rig);
    restore(&rig);
    rig.edit("pipeline.toml", "restate = \"manual\"", "restate = \"auto\"");
    let running = rig.run();
    wait_until_restated(&running);
    running.kill();
    lose(&rig);
    restore(&rig);
    text += &position(day_ms - DAY_MS / 4, 1710);
    rig.write("readings.jsonl", &text);
    let running = rig.run();
    running.wait_for("history", "booked", 1);
    running.stop();
    rig.verify();
    assert_chain(&rig);
    let Some(python) = ledger::reader() else {
        return;
    };
    let by_day = "SELECT CAST(sum(amount) AS DECIMAL(9,3)) FROM activity \
                  GROUP BY date_trunc('day', period_start) ORDER BY date_trunc('day', period_start)";
    let expected = ["650.000", "20.000", "20.000", "20.000"].map(|sum| [sum.to_owned()]);
    assert_eq!(ledger::query(&rig, &python, by_day), expected);
}

#[test]
fn a_restatement_whose_commit_did_not_come_to_its_end_is_booked_once() {
    let restated = std::thread::scope(|scope| {
        let run = |passes| {
            let rig = short_rig("auto");
            let activity = format!(
                "{{\"activity\":\"a\",\"node\":\"plant\",\"factor\":\"grid\",\"from_ms\":{},\"to_ms\":{},\
                 \"unit\":\"kWh\",\"value\":10}}\n",
                rig::day_before_yesterday(),
                rig::day_before_yesterday() + DAY_MS
            );
            rig.write("readings.jsonl", lines(0..20) + &activity);
            run_into(&rig, ("lake-commit-done", passes), LIMIT);
            lose(&rig);
            let said = restore(&rig);
            rig.write("readings.jsonl", lines(0..20) + &activity + &lines(20..40));
            let running = rig.run();
            running.wait_for("history", "parked", 20);
            wait_until_restated(&running);
            running.stop();
            rig.verify();
            assert_chain(&rig);
            let dry = rig.plumeline(&["restate", "--dry-run"]);
            let dry = String::from_utf8(dry.stdout).unwrap();
            assert_eq!(dry, "nothing is missing below the horizon\n", "{passes} passes");
            if let Some(python) = ledger::reader() {
                let sum = "SELECT CAST(sum(amount) AS INTEGER) FROM activity";
                assert_eq!(ledger::one(&rig, &python, sum), (energy(40) + 10).to_string());
            }
            said.contains("and its restatement")
        };
        let runs: Vec<_> = (4..16).map(|passes| scope.spawn(move || run(passes))).collect();
        runs.into_iter().map(|run| usize::from(run.join().unwrap())).sum::<usize>()
    });
    assert!(restated > 0, "no commit was ended that took a restatement along");
}

#[test]
fn mqtt_goes_on_with_what_its_broker_holds_and_what_was_committed_is_there() {
    let Some(broker) = Mosquitto::start() else { return };
    let source = format!(
        "[[source]]\nname = \"plant\"\ntype = \"mqtt\"\nurl = \"{}\"\ntopics = [\"meters/{{meter}}\"]\n",
        broker.url()
    );
    let rig = Rig::plain(&source, "1s");
    let send = |numbers: Range<i64>| {
        let message = |number| (format!("meters/m-{}", number % 4), reading(number).into_bytes());
        publish(&broker, &numbers.map(message).collect::<Vec<_>>());
    };
    let running = rig.run();
    let connected = || running.metric("plumeline_source_connected", &[("source", "plant")]);
    wait_until("the source to be connected", LIMIT, || connected().as_deref() == Some("1"));
    send(0..20);
    running.wait_for("plant", "booked", 20);
    let known_ms = now_ms();
    wait_until("all of that to be committed", LIMIT, || {
        let labels = [("table", "activity")];
        let at = running.metric("plumeline_commit_timestamp_seconds", &labels);
        at.is_some_and(|at| at.split('.').next().unwrap().parse::<i64>().unwrap() > known_ms / 1000)
    });
    running.kill();
    lose(&rig);
    // The broker holds these meanwhile.
    send(20..40);
    let said = restore(&rig);
    assert!(said.contains("what it had acknowledged to its broker after that commit"), "{said}");
    let running = rig.run();
    running.wait_for("plant", "booked", 20);
    // A gateway that sends again what it sent before the loss, and what it corrects.
    send(0..20);
    running.wait_for("plant", "duplicate", 20);
    let corrected = reading(3).replace("\"value\":4,", "\"value\":104,\"version\":1,");
    publish(&broker, &[("meters/m-3".to_owned(), corrected.into_bytes())]);
    running.wait_for("plant", "booked", 21);
    running.stop();
    assert_sums(&rig, energy(40) + 100, 41);
}

#[test]
fn a_reading_that_waits_for_its_meter_waits_on() {
    let rig = rig();
    let odd = "{\"meter\":\"m-0\",\"observed_at_ms\":\"never\",\"value\":1}";
    // Three elements of one payload, the second of which waits.
    let waiting = reading(4).replace("m-0", "m-late");
    rig.write("readings.jsonl", format!("[{odd},{waiting},{}]\n", reading(1)));
    rig.run_to_end();
    lose(&rig);
    restore(&rig);
    let late = "valid_to,revision,withdrawn\nm-late,plant,interval,kWh,1m,grid,2020-01-01,,1,\n";
    rig.edit("meters.csv", "valid_to,revision,withdrawn\n", late);
    rig.run_to_end();
    assert_sums(&rig, 5 + 2, 2);
    let Some(python) = ledger::reader() else {
        return;
    };
    let told = "SELECT event, element FROM rejects WHERE event <> 'rejected' ORDER BY event";
    let expected = [["parked", "1"], ["resolved", "1"]];
    assert_eq!(ledger::query(&rig, &python, told), expected);
    let ids = "SELECT count(DISTINCT reject_id) FROM rejects WHERE event <> 'rejected'";
    assert_eq!(ledger::one(&rig, &python, ids), "1");
}

#[test]
fn kafka_is_read_on_where_the_newest_commit_left_it_and_nothing_is_lost() {
    let Some(kafka) = Kafka::start() else { return };
    kafka.create_topic("readings", 2);
    kafka.create_topic("factors", 1);
    let broker = kafka.bootstrap();
    let source = |name: &str| {
        format!(
            "[[source]]\nname = \"{name}\"\ntype = \"kafka\"\nbrokers = [\"{broker}\"]\n\
             topics = [\"{name}\"]\ncarries = \"{name}\"\n"
        )
    };
    let rig = Rig::plain(&[source("readings"), source("factors")].concat(), "1s");
    rig.edit("pipeline.toml", "factors = \"factors.csv\"", "");
    let grid = |revision: i64, rate: &str| {
        format!(
            r#"{{"factor":"grid","revision":{revision},"scope":2,"gas":"co2","kg_per_unit":{rate},"unit":"kWh","valid_from":"2020-01-01","source":"a test"}}"#
        )
    };
    let readings = |numbers: Range<i64>| numbers.map(reading).collect::<Vec<_>>();
    produce(&kafka, "factors", 0, &[grid(1, "0.4")]);
    produce(&kafka, "readings", 0, &readings(0..20));
    produce(&kafka, "readings", 1, &readings(20..40));
    let running = rig.run();
    running.wait_for("readings", "booked", 40);
    wait_until("a commit", LIMIT, || {
        running.metric("plumeline_commit_timestamp_seconds", &[("table", "emissions")]).is_some()
    });
    // Acknowledged, and perhaps not committed.
    produce(&kafka, "readings", 1, &readings(40..60));
    running.wait_for("readings", "booked", 60);
    running.kill();
    lose(&rig);
    let said = restore(&rig);
    assert!(said.contains("goes on where that commit left its 2 streams"), "{said}");
    produce(&kafka, "factors", 0, &[grid(2, "0.5")]);
    produce(&kafka, "readings", 0, &readings(60..80));
    let running = rig.run();
    running.wait_for("readings", "booked", 20);
    running.wait_for("factors", "booked", 1);
    wait_until("everything to be booked", LIMIT, || {
        let booked = "SELECT count(*) FROM readings";
        let python = ledger::reader();
        python.is_none_or(|python| ledger::one(&rig, &python, booked) == "80")
    });
    running.stop();
    assert_sums(&rig, energy(80), 80);
}
