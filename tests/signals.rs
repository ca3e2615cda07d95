//! How the program ends, and what it says when it cannot begin: read as a tired operator reads it.

#![allow(clippy::unwrap_used, reason = "a test ends where something is wrong")]

mod rig;
mod support;

use std::net::TcpListener;
use std::process::Output;

use rig::{FILE_SOURCE, LIMIT, Rig, energy, ledger, reading};
use support::process::{Process, wait_until};
use support::s3::S3;

const FOLLOW: &str = "follow = true\n";

fn followed() -> String {
    format!("{FILE_SOURCE}{FOLLOW}")
}

fn lines(numbers: std::ops::Range<i64>) -> String {
    numbers.map(|number| reading(number) + "\n").collect::<Vec<String>>().concat()
}

/// What it said, having failed.
#[track_caller]
fn refusal(output: &Output) -> String {
    let said = String::from_utf8([output.stdout.as_slice(), &output.stderr].concat()).unwrap();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(!said.contains("panicked") && !said.contains("RUST_BACKTRACE"), "{said}");
    said
}

/// Ends with this code within the limit, after `signals`.
#[track_caller]
fn ends_with(process: &mut Process, signals: &[&str], code: i32) {
    for signal in signals {
        process.signal(signal);
    }
    assert_eq!(process.wait().code(), Some(code), "{}", process.last_lines());
}

#[test]
fn either_signal_drains_commits_and_ends_well() {
    for signal in ["TERM", "INT"] {
        let rig = Rig::plain(&followed(), "1h");
        rig.write("readings.jsonl", lines(0..100));
        let mut running = rig.run();
        running.wait_for("history", "booked", 100);
        ends_with(running.process(), &[signal], 0);
        let said = running.said();
        assert!(said.contains("draining; a second signal ends the process at once"), "{said}");
        assert!(said.contains("drained, committed and ended"), "{said}");
        assert!(!said.contains("WARN") && !said.contains("ERROR"), "{said}");
        let Some(python) = ledger::reader() else {
            continue;
        };
        let sum = "SELECT CAST(sum(amount) AS INTEGER) FROM activity";
        assert_eq!(ledger::one(&rig, &python, sum), energy(100).to_string());
    }
}

#[test]
fn a_second_signal_ends_it_at_once() {
    let Some(mut s3) = S3::start() else { return };
    let rig = Rig::plain(&followed(), "1h");
    let root = format!("url = \"s3://{}/lake\"", S3::BUCKET);
    rig.edit("pipeline.toml", "url = \"lake\"", &root);
    rig.write("readings.jsonl", lines(0..100));
    let mut running = rig.run_in(&s3.environment());
    running.wait_for("history", "booked", 100);
    // The drain waits for the store.
    s3.process().signal("STOP");
    running.process().signal("TERM");
    wait_until("the drain to begin", LIMIT, || running.said().contains("draining"));
    ends_with(running.process(), &["TERM"], 130);
    let said = running.said();
    assert!(said.contains("asked twice: ending at once"), "{said}");
    assert!(said.contains("what is not committed is in the journal"), "{said}");
}

#[test]
fn a_signal_while_it_starts_ends_it() {
    // A store that takes connections and says nothing.
    let silent = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let rig = Rig::plain(&followed(), "1h");
    rig.edit("pipeline.toml", "url = \"lake\"", "url = \"s3://bucket/lake\"");
    let log = rig.path("run.log");
    let command = [
        "env",
        &format!("AWS_ENDPOINT=http://{}", silent.local_addr().unwrap()),
        "AWS_ALLOW_HTTP=true",
        "AWS_REGION=eu-west-2",
        "AWS_ACCESS_KEY_ID=test",
        "AWS_SECRET_ACCESS_KEY=test",
        env!("CARGO_BIN_EXE_plumeline"),
        "run",
        &rig.path("pipeline.toml").display().to_string(),
    ];
    let asked = silent.try_clone().unwrap();
    asked.set_nonblocking(true).unwrap();
    // Kept open, or the store would have hung up.
    let held = std::cell::RefCell::new(Vec::new());
    let is_asked = || {
        held.borrow_mut().extend(asked.accept().ok());
        !held.borrow().is_empty()
    };
    let mut process = Process::start(&command.map(str::to_owned), &log, is_asked);
    ends_with(&mut process, &["TERM"], 0);
}

#[test]
fn check_tells_every_problem_and_what_to_do() {
    let rig = Rig::plain(&followed(), "1h");
    rig.edit("pipeline.toml", "grace = \"0s\"", "graze = \"0s\"");
    rig.edit("pipeline.toml", "period = \"1d\"", "period = \"7h\"");
    let said = refusal(&rig.plumeline(&["check"]));
    assert!(said.contains("pipeline.toml:2") && said.contains("pipeline.toml:3"), "{said}");
    assert!(said.contains("grace"), "the nearest known key: {said}");
    let run = refusal(&rig.plumeline(&["run"]));
    assert!(run.contains("pipeline.toml:2") && run.contains("pipeline.toml:3"), "{run}");

    let rig = Rig::plain(&followed(), "1h");
    rig.edit("meters.csv", "m-0,plant,interval,kWh", "m-0,plant,interval,kilowatts");
    rig.edit("nodes.csv", "plant,acme", "plant,nowhere");
    let said = refusal(&rig.plumeline(&["check"]));
    assert!(said.contains("meters.csv:2") && said.contains("kilowatts"), "{said}");
    rig.edit("meters.csv", "kilowatts", "kWh");
    let said = refusal(&rig.plumeline(&["run"]));
    assert!(said.contains("nodes.csv:3") && said.contains("nowhere"), "{said}");
}

#[test]
fn a_pipeline_that_is_not_there() {
    let rig = Rig::new();
    for command in ["run", "check", "views"] {
        let said = refusal(&rig.plumeline(&[command]));
        assert!(said.contains("pipeline.toml"), "{command}: {said}");
        assert!(said.lines().count() <= 6, "{command}: {said}");
    }
}

#[test]
fn a_source_file_that_is_not_there() {
    let rig = Rig::plain(FILE_SOURCE, "1h");
    let said = refusal(&rig.plumeline(&["run"]));
    assert!(said.contains("source \"history\"") && said.contains("readings.jsonl"), "{said}");
    assert!(said.contains("No such file"), "{said}");
}

#[test]
fn a_port_in_use_names_the_port_and_the_way_out() {
    let rig = Rig::plain(&followed(), "1h");
    let taken = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let address = taken.local_addr().unwrap().to_string();
    rig.edit("pipeline.toml", "127.0.0.1:0", &address);
    let said = refusal(&rig.plumeline(&["run"]));
    assert!(said.contains(&format!("cannot listen on {address}")), "{said}");
    assert!(said.contains("[http]"), "{said}");
    assert!(!rig.path("lake").exists(), "nothing was written before that was known");
}

#[test]
fn a_lake_that_cannot_be_written() {
    let rig = Rig::plain(&followed(), "1h");
    rig.write("lake", "a file is in its place");
    let said = refusal(&rig.plumeline(&["run"]));
    assert!(said.contains("the ledger cannot be written"), "{said}");
    assert!(said.contains(&rig.path("lake").display().to_string()), "{said}");
    let said = refusal(&rig.plumeline(&["check", "--connect"]));
    assert!(said.contains("sink \"delta\".url"), "{said}");
}

#[test]
fn secrets_are_shown_by_nobody() {
    let sources = "[[source]]\nname = \"plant\"\ntype = \"mqtt\"\nurl = \"mqtt://127.0.0.1:1\"\n\
                   topics = [\"m/{meter}\"]\nusername = \"u\"\npassword = \"${env:MQTT_PASSWORD}\"\n";
    let rig = Rig::plain(sources, "1h");
    let env = [("MQTT_PASSWORD", "canary".to_owned()), ("PLUMELINE_LOG", "trace".to_owned())];
    let said = refusal(&rig.plumeline_in(&["check", "--connect"], &env));
    assert!(said.contains("plant") && !said.contains("canary"), "{said}");
    let mut running = rig.run_in(&env);
    wait_until("an attempt to connect", LIMIT, || {
        running
            .page("/readyz")
            .is_some_and(|(status, body)| status == 503 && body.contains("plant"))
    });
    let (_, body) = running.page("/readyz").unwrap();
    ends_with(running.process(), &["TERM"], 0);
    let said = running.said();
    assert!(!said.contains("canary") && !body.contains("canary"), "{said}");
}

#[test]
fn another_pipelines_ledger_is_left_alone() {
    let rig = Rig::plain(FILE_SOURCE, "1h");
    rig.write("readings.jsonl", lines(0..4));
    rig.run_to_end();
    rig.edit("pipeline.toml", "name = \"acme\"", "name = \"other\"");
    let said = refusal(&rig.plumeline(&["run"]));
    assert!(said.contains("was written with name = acme, and now it is other"), "{said}");
    rig.edit("pipeline.toml", "name = \"other\"", "name = \"other\"\nstate_dir = \"new\"");
    let said = refusal(&rig.plumeline(&["run"]));
    assert!(said.contains("belongs to pipeline `acme`, not to `other`"), "{said}");
    assert!(said.contains("another url"), "{said}");
}

#[test]
fn a_journal_that_is_not_the_ledgers_is_refused() {
    let rig = Rig::plain(FILE_SOURCE, "1h");
    rig.write("readings.jsonl", lines(0..4));
    rig.run_to_end();
    let copy = |from: &str, to: &str| {
        std::fs::create_dir_all(rig.path(to)).unwrap();
        for entry in std::fs::read_dir(rig.path(from)).unwrap().flatten() {
            std::fs::copy(entry.path(), rig.path(to).join(entry.file_name())).unwrap();
        }
    };
    copy("state", "older");
    rig.write("readings.jsonl", lines(4..8));
    rig.run_to_end();
    // One that is new, one that was set back, and the right one without its tables.
    for (state, said) in [("new", "plumeline restore"), ("older", "the journal does not know")] {
        let line = format!("name = \"acme\"\nstate_dir = \"{state}\"");
        rig.edit("pipeline.toml", "name = \"acme\"", &line);
        let refused = refusal(&rig.plumeline(&["run"]));
        assert!(refused.contains(said) && refused.contains("state folder"), "{refused}");
        rig.edit("pipeline.toml", &line, "name = \"acme\"");
    }
    rig.edit("pipeline.toml", "url = \"lake\"", "url = \"elsewhere\"");
    let refused = refusal(&rig.plumeline(&["run"]));
    assert!(refused.contains("tables that are not there"), "{refused}");
    rig.edit("pipeline.toml", "url = \"elsewhere\"", "url = \"lake\"");
    rig.edit("pipeline.toml", "grace = \"0s\"", "grace = \"5m\"");
    let refused = refusal(&rig.plumeline(&["run"]));
    assert!(refused.contains("grace = 0 ms, and now it is 300000 ms"), "{refused}");
    assert!(refused.contains("wrong base"), "{refused}");
    rig.edit("pipeline.toml", "grace = \"5m\"", "grace = \"0s\"");
    rig.run_to_end();
}

#[test]
fn a_second_process_on_the_same_state_is_refused_and_a_crash_leaves_no_lock() {
    let follow = FILE_SOURCE.to_owned() + "follow = true\n";
    let rig = Rig::plain(&follow, "1h");
    rig.write("readings.jsonl", lines(0..4));
    let running = rig.run();
    let said = refusal(&rig.plumeline(&["run"]));
    assert!(said.contains("another plumeline runs on the state folder"), "{said}");
    running.kill();
    rig.run().stop();
}

#[test]
fn tables_that_changed_while_it_was_down_restate_once() {
    let rig = Rig::plain(FILE_SOURCE, "1h");
    rig.write("readings.jsonl", lines(0..4));
    rig.run_to_end();
    let versions = || std::fs::read_dir(rig.path("lake/factors/_delta_log")).unwrap().count();
    let before = versions();
    rig.run_to_end();
    assert_eq!(versions(), before, "nothing changed");
    rig.edit("factors.csv", "grid,1,", "grid,1,2,0,any,co2,0.5,kWh,2020-01-01,,a test,\ngrid,2,");
    let said = rig.run_to_end();
    assert!(said.contains("tables changed and were applied"), "{said}");
    rig.run_to_end();
    assert_eq!(versions(), before + 1, "once");
    // One with a mistake is not applied; the last good one stays, and the pipeline runs.
    rig.write("factors.csv", "nonsense");
    let said = rig.run_to_end();
    assert!(said.contains("the last good one stays"), "{said}");
    assert_eq!(versions(), before + 1);
}

#[test]
fn normal_operation_is_quiet() {
    let rig = Rig::plain(FILE_SOURCE, "1h");
    rig.write("readings.jsonl", lines(0..4));
    let said = rig.run_to_end();
    assert!(said.contains("drained, committed and ended"), "{said}");
    assert!(said.lines().count() <= 5, "{said}");
}
