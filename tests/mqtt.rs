//! Readings over MQTT, through a real Mosquitto: seen at once, acknowledged when committed, lost never.
//!
//! ```text
//!   publisher ──► Mosquitto ──► plumeline run ──► lake
//!                    │ restart      │ kill -9       │ stops answering
//!                    └──────────────┴───────────────┴──► the sum in the ledger is that of what was sent
//! ```

#![allow(clippy::unwrap_used, reason = "a test ends where something is wrong")]

mod rig;
mod support;

use rig::ledger;
use rig::publish::mqtt as publish;
use rig::{LIMIT, Rig, Running, day_before_yesterday, energy, now_ms, reading};
use support::Mosquitto;
use support::process::wait_until;
use support::s3::S3;

const SUM: &str = "SELECT CAST(sum(amount) AS INTEGER) FROM activity";

fn source(broker: &Mosquitto, more: &str) -> String {
    let url = broker.url();
    format!(
        "[[source]]\nname = \"plant\"\ntype = \"mqtt\"\nurl = \"{url}\"\ntopics = [\"meters/{{meter}}\"]\n{more}\n"
    )
}

/// The readings `numbers` of [`reading`], each on its meter's topic.
fn messages(numbers: std::ops::Range<i64>) -> Vec<(String, Vec<u8>)> {
    let message = |number| (format!("meters/m-{}", number % 4), reading(number).into_bytes());
    numbers.map(message).collect()
}

fn wait_until_connected(running: &Running) {
    let labels = [("source", "plant")];
    wait_until("the source to be connected", LIMIT, || {
        running.metric("plumeline_source_connected", &labels).as_deref() == Some("1")
    });
}

/// The facts of the start are committed, so that nothing published from now on goes with them.
fn wait_until_facts_are_committed(running: &Running) {
    let labels = [("table", "activity")];
    wait_until("the first commit", LIMIT, || {
        running.metric("plumeline_commit_timestamp_seconds", &labels).is_some()
    });
}

#[test]
fn a_reading_shows_at_once_and_is_in_the_ledger_after_the_end() {
    let Some(broker) = Mosquitto::start() else {
        return;
    };
    let rig = Rig::plain(&source(&broker, ""), "1h");
    let running = rig.run();
    wait_until_connected(&running);
    assert_eq!(running.page("/healthz").unwrap().0, 200);
    assert_eq!(running.page("/readyz").unwrap(), (200, "ready\n".to_owned()));
    let live = format!(r#"{{"observed_at_ms":{},"value":2}}"#, now_ms());
    publish(&broker, &[("meters/m-3".to_owned(), live.into_bytes())]);
    publish(&broker, &messages(0..100));
    let shown = |node: &str, window: &str| {
        let labels = [("org_node", node), ("window", window), ("scope", "2")];
        running.metric("ghg_emissions_co2e_grams", &labels)
    };
    // A kWh emits 0.5 kg, and a minute at midnight may belong to two days.
    wait_until("the open window", LIMIT, || {
        shown("acme", "open")
            .is_some_and(|grams| (0.0..=1000.0).contains(&grams.parse::<f64>().unwrap()))
    });
    running.wait_for("plant", "booked", 101);
    let closed = (energy(100) * 500).to_string();
    wait_until("the window of days", LIMIT, || shown("plant", "7d").as_ref() == Some(&closed));
    if let Some(promtool) = support::promtool() {
        let (_, page) = running.page("/metrics").unwrap();
        let complaints = complaints_of(&promtool, &page);
        assert!(complaints.is_empty(), "{complaints}");
    }
    running.stop();
    let Some(python) = ledger::reader() else {
        return;
    };
    assert_eq!(ledger::one(&rig, &python, SUM), energy(100).to_string());
    let read = "SELECT count(*) FROM readings WHERE source = 'plant' AND outcome = 'booked'";
    assert_eq!(ledger::one(&rig, &python, read), "101");
}

/// What `promtool check metrics` says of a page.
fn complaints_of(promtool: &std::path::Path, page: &str) -> String {
    use std::process::{Command, Stdio};
    let mut child = Command::new(promtool)
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    std::io::Write::write_all(&mut child.stdin.take().unwrap(), page.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    String::from_utf8([output.stdout, output.stderr].concat()).unwrap()
}

#[test]
fn what_was_acknowledged_survives_a_crash() {
    let Some(broker) = Mosquitto::start() else {
        return;
    };
    let rig = Rig::plain(&source(&broker, ""), "1h");
    let running = rig.run();
    wait_until_connected(&running);
    wait_until_facts_are_committed(&running);
    publish(&broker, &messages(0..100));
    running.wait_for("plant", "booked", 100);
    running.kill();
    // Nothing of it was committed to the tables. What is in the journal is not sent again, but for the last
    // acknowledgements on their way: duplicates.
    let running = rig.run();
    wait_until_connected(&running);
    publish(&broker, &messages(100..101));
    running.wait_for("plant", "booked", 1);
    assert_eq!(running.outcome("plant", "booked"), 1);
    running.stop();
    let Some(python) = ledger::reader() else {
        return;
    };
    assert_eq!(ledger::one(&rig, &python, SUM), energy(101).to_string());
    let read = "SELECT count(*) FROM readings";
    assert_eq!(ledger::one(&rig, &python, read), "101");
}

#[test]
fn a_restart_of_the_broker_loses_nothing() {
    let Some(mut broker) = Mosquitto::start() else {
        return;
    };
    let rig = Rig::plain(&source(&broker, "receive_maximum = 20"), "1s");
    let running = rig.run();
    wait_until_connected(&running);
    publish(&broker, &messages(0..300));
    running.wait_for("plant", "booked", 1);
    broker.stop();
    wait_until("the trouble to show", LIMIT, || {
        running
            .page("/readyz")
            .is_some_and(|(status, body)| status == 503 && body.contains("plant"))
    });
    broker.start_again();
    wait_until_connected(&running);
    publish(&broker, &messages(300..600));
    running.wait_for("plant", "booked", 600);
    wait_until("all to be well", LIMIT, || running.page("/readyz").unwrap().0 == 200);
    running.stop();
    let Some(python) = ledger::reader() else {
        return;
    };
    assert_eq!(ledger::one(&rig, &python, SUM), energy(600).to_string());
}

#[test]
fn a_store_that_does_not_answer_holds_up_no_source() {
    let (Some(broker), Some(mut s3)) = (Mosquitto::start(), S3::start()) else {
        return;
    };
    let rig = Rig::plain(&source(&broker, "receive_maximum = 40"), "1h");
    let root = format!("s3://{}/lake", S3::BUCKET);
    rig.edit("pipeline.toml", "url = \"lake\"", &format!("url = \"{root}\""));
    let running = rig.run_in(&s3.environment());
    wait_until_connected(&running);
    s3.process().signal("STOP");
    publish(&broker, &messages(0..400));
    // A revised factor makes a cut, which waits for the store; the journal takes what comes.
    rig.edit("factors.csv", "grid,1,", "grid,1,2,0,any,co2,0.5,kWh,2020-01-01,,a test,\ngrid,2,");
    running.wait_for("plant", "booked", 400);
    assert_eq!(running.page("/healthz").unwrap().0, 200);
    s3.process().signal("CONT");
    running.stop();
    let Some(python) = ledger::reader() else {
        return;
    };
    let rows = ledger::query_delta(&python, &root, &["activity"], SUM, &s3.environment());
    assert_eq!(rows, [[energy(400).to_string()]]);
}

#[test]
fn bad_messages_are_refused_one_by_one_and_acknowledged() {
    let Some(broker) = Mosquitto::start() else {
        return;
    };
    let rig = Rig::plain(&source(&broker, "max_packet = \"4KiB\""), "1s");
    let running = rig.run();
    wait_until_connected(&running);
    let at_ms = day_before_yesterday();
    let bad: [(&str, Vec<u8>); 4] = [
        ("meters/m-1", format!(r#"{{"meter":"m-2","observed_at_ms":{at_ms},"value":1}}"#).into()),
        ("meters/m-1", b"\xff\xfe".to_vec()),
        ("meters/m-1", b"{".to_vec()),
        ("meters/m-1", vec![b' '; 10_000]),
    ];
    let nothing: [(&str, Vec<u8>); 2] =
        [("meters/m-1", Vec::new()), ("meters/m-1", b"Online".to_vec())];
    let mut sent: Vec<(String, Vec<u8>)> = Vec::new();
    for (number, (topic, payload)) in (0..).zip(bad.into_iter().chain(nothing)) {
        sent.push((topic.to_owned(), payload));
        sent.extend(messages(number..number + 1));
    }
    // An array whose second element is wrong.
    let array = format!("[{},7,{}]", reading(8), reading(12));
    sent.push(("meters/m-0".to_owned(), array.into_bytes()));
    publish(&broker, &sent);
    running.wait_for("plant", "booked", 8);
    running.wait_for("plant", "rejected", 5);
    running.wait_for("plant", "ignored", 2);
    running.stop();
    let running = rig.run();
    wait_until_connected(&running);
    publish(&broker, &messages(20..21));
    running.wait_for("plant", "booked", 1);
    assert_eq!(running.outcome("plant", "rejected"), 0, "none of them comes again");
    running.stop();
    let Some(python) = ledger::reader() else {
        return;
    };
    let rows = ledger::query(
        &rig,
        &python,
        "SELECT element, reason FROM rejects ORDER BY position, element",
    );
    assert_eq!(rows.len(), 5, "{rows:?}");
    let expected = energy(6) + 9 + 13 + 21;
    assert_eq!(ledger::one(&rig, &python, SUM), expected.to_string());
}
