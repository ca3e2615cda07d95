//! SIGKILL at any moment loses nothing and duplicates nothing: the real binary, real servers, a seeded die.
//!
//! ```text
//!   Traffic ──► Stream ──► Mosquitto ─┐                       ┌─► chain of commits
//!                     └──► Kafka ─────┼─► plumeline run ─► lake ─► readings, each accepted one once
//!                     └──► a file ────┘     ▲ kill -9    (or S3) └─► balances ══ batch reference
//!                          ▲ restarted      └ Killer, round by round
//! ```
//!
//! 1. Readings flow all the time, late, twice, corrected and withdrawn ([`rig::traffic`]), and whoever takes
//!    them (a broker, a file) acknowledges each to the publisher.
//! 2. Meanwhile the pipeline is started and killed, while it starts, recovers, runs, commits and drains,
//!    with one worker and two in turn, and factors are revised ([`rig::kill`]).
//! 3. Brokers are restarted, too, while the pipeline runs and while it does not. Publishers connect anew and
//!    send what was not acknowledged to them. Kafka is killed: what it has acknowledged is in files, which
//!    survive a process. Mosquitto is asked to end: it holds sessions and queues in memory and saves them at
//!    its end (and every `autosave_interval`), so that a killed one keeps less than it has acknowledged.
//! 4. Half of it lies below the horizon in one test, and the GWP set is changed twice: both restate, and are killed
//!    meanwhile. An import of files is killed in another.
//! 5. Then the publisher ends, the pipeline receives what is left and is stopped in good order, and its
//!    ledger is judged ([`rig::verdict`]).
//!
//! `PLUMELINE_KILLS` raises the number of kills (over MQTT; half of it for a file, a quarter over Kafka, a sixth
//! with a broker that is restarted, an eighth with a ledger on S3, a sixth while
//! restating, and of an import), `PLUMELINE_SEED` repeats a run's choices.
//! `tests/soak/run` does both for hours.

#![allow(clippy::unwrap_used, reason = "a test ends where something is wrong")]

mod rig;
mod support;

use std::process::{Command, Stdio};
use std::time::Duration;

use plumeline_fixtures::random::SplitMix64;
use rig::kill::{Killer, kills, seed};
use rig::stream::{Stream, ToFile, ToKafka};
use rig::to_mqtt::ToMqtt;
use rig::traffic::{Facts, Traffic};
use rig::verdict::{assert_chain, judge, judge_restated};
use rig::{FILE_SOURCE, LIMIT, Rig, Running, energy, ledger, reading};
use support::process::wait_until;
use support::s3::S3;
use support::{Kafka, Mosquitto};

/// Kills of an ordinary `cargo test`, which shall not take long.
const KILLS_MQTT: u64 = 12;
const KILLS_FILE: u64 = 8;
const KILLS_KAFKA: u64 = 6;
const KILLS_RESTARTED: u64 = 4;
const KILLS_S3: u64 = 4;
const KILLS_RESTATING: u64 = 8;
const KILLS_IMPORT: u64 = 6;
/// Readings of an import: all of them are of the day before yesterday.
const HISTORY: i64 = 5_000;

const TOPIC: &str = "readings";

/// The dice of a test: one for its traffic, one for its kills.
fn dice(test: u64) -> [SplitMix64; 2] {
    let seed = seed();
    [0, 1].map(|part| SplitMix64::part(seed, 2 * test + part))
}

fn wait_until_connected(running: &Running, source: &str) {
    wait_until("the source to be connected", LIMIT, || {
        running.metric("plumeline_source_connected", &[("source", source)]).as_deref() == Some("1")
    });
}

/// A source at `broker`.
fn plant(broker: &Mosquitto) -> String {
    format!(
        "[[source]]\nname = \"plant\"\ntype = \"mqtt\"\nurl = \"{}\"\ntopics = [\"meters/{{meter}}\"]\n\
         receive_maximum = 200\n",
        broker.url()
    )
}

/// A broker keeps nothing for a session that it does not know.
fn begin_session(rig: &Rig) {
    let running = rig.run();
    wait_until_connected(&running, "plant");
    running.kill();
}

#[test]
fn readings_over_mqtt_are_in_the_ledger_once_however_often_it_is_killed() {
    let Some(broker) = Mosquitto::start() else {
        return;
    };
    let [sent, ends] = dice(1);
    let facts = Facts::new();
    let rig = facts.rig(&plant(&broker));
    begin_session(&rig);
    let stream = Stream::start(Traffic::new(sent), 1, ToMqtt::new(&broker));
    let mut killer = Killer::new(&rig, facts, ends);
    for _ in 0..kills(KILLS_MQTT, 1) {
        killer.round();
    }
    let traffic = stream.finish();
    let facts = killer.finish();
    judge(&rig, rig.run(), (&traffic, 1), &facts);
}

#[test]
fn readings_of_a_followed_file_are_in_the_ledger_once_however_often_it_is_killed() {
    let [sent, ends] = dice(2);
    let facts = Facts::new();
    let rig = facts.rig(&format!("{FILE_SOURCE}follow = true\n"));
    let stream = Stream::start(Traffic::new(sent), 1, ToFile::new(&rig, "readings.jsonl"));
    let mut killer = Killer::new(&rig, facts, ends);
    for _ in 0..kills(KILLS_FILE, 2) {
        killer.round();
    }
    let traffic = stream.finish();
    let facts = killer.finish();
    judge(&rig, rig.run(), (&traffic, 1), &facts);
}

#[test]
fn what_is_restated_below_the_horizon_and_for_another_gwp_set_is_booked_once_however_often_it_is_killed()
 {
    let [sent, ends] = dice(6);
    let facts = Facts::new();
    let rig = facts.rig(&format!("{FILE_SOURCE}follow = true\n"));
    // Half of what is said is of the day before yesterday: too late.
    let shorter = "windows = [\"24h\"]\nretain = \"1d\"\nsamples = \"1d\"\ngwp = \"ar6\"";
    rig.edit("pipeline.toml", "windows = [\"7d\"]", shorter);
    let stream = Stream::start(Traffic::new(sent), 1, ToFile::new(&rig, "readings.jsonl"));
    let mut killer = Killer::new(&rig, facts, ends);
    let kills = kills(KILLS_RESTATING, 6);
    for round in 0..kills {
        if round == kills / 3 {
            rig.edit("pipeline.toml", "gwp = \"ar6\"", "gwp = \"ar4\"");
        } else if round == kills * 2 / 3 {
            rig.edit("pipeline.toml", "gwp = \"ar4\"", "gwp = \"ar5\"");
        }
        killer.round();
    }
    let traffic = stream.finish();
    killer.finish();
    rig.edit("pipeline.toml", "follow = true\n", "");
    rig.run_to_end();
    let restated = rig.plumeline(&["restate"]);
    assert!(restated.status.success(), "{}", String::from_utf8_lossy(&restated.stderr));
    judge_restated(&rig, &traffic);
}

#[test]
fn files_of_history_are_in_the_ledger_once_however_often_their_import_is_killed() {
    let [_, mut ends] = dice(7);
    let rig = Rig::plain(FILE_SOURCE, "1s");
    let shorter = "period = \"15m\"\nretain = \"1d\"\nsamples = \"1d\"";
    rig.edit("pipeline.toml", "period = \"1d\"", shorter);
    rig.edit("pipeline.toml", "windows = [\"7d\"]", "windows = [\"24h\"]");
    rig.write("readings.jsonl", "");
    let lines = (0..HISTORY).map(|number| reading(number) + "\n");
    rig.write("history.jsonl", lines.collect::<String>());
    let import = || {
        let mut command = Command::new(env!("CARGO_BIN_EXE_plumeline"));
        let words = [rig.path("pipeline.toml"), rig.path("history.jsonl")];
        command.arg("backfill").args(words).stderr(Stdio::null()).stdin(Stdio::null());
        command.spawn().expect("the program was built")
    };
    for _ in 0..kills(KILLS_IMPORT, 6) {
        let mut child = import();
        let after = ends.between(0, 2_500).unsigned_abs();
        std::thread::sleep(Duration::from_millis(after));
        child.kill().expect("it is a child of ours");
        child.wait().expect("it can be waited for");
        assert_chain(&rig);
    }
    assert!(import().wait().expect("it can be waited for").success());
    rig.verify();
    assert_chain(&rig);
    let Some(python) = ledger::reader() else {
        return;
    };
    let sums = "SELECT CAST(sum(amount) AS INTEGER), (SELECT count(*) FROM readings) FROM activity";
    let expected = [[energy(HISTORY).to_string(), HISTORY.to_string()]];
    assert_eq!(ledger::query(&rig, &python, sums), expected);
}

#[test]
fn readings_over_kafka_are_in_the_ledger_once_while_partitions_are_added_and_it_is_killed_itself() {
    let Some(mut kafka) = Kafka::start() else { return };
    kafka.create_topic(TOPIC, 2);
    let [sent, ends] = dice(3);
    let facts = Facts::new();
    let rig = facts.rig(&format!(
        "[[source]]\nname = \"erp\"\ntype = \"kafka\"\nbrokers = [\"{}\"]\ntopics = [\"{TOPIC}\"]\n",
        kafka.bootstrap()
    ));
    let stream = Stream::start(Traffic::new(sent), 2, ToKafka::new(&kafka, TOPIC));
    let mut killer = Killer::new(&rig, facts, ends);
    let kills = kills(KILLS_KAFKA, 4);
    let mut lanes = 2;
    for round in 0..kills {
        // With the pipeline running, a third and two thirds of the way.
        let grows = round == kills / 3 || round == kills * 2 / 3;
        let ends = round == kills / 2;
        killer.round_with(|| {
            if ends {
                kafka.process().kill();
                kafka.start_again();
            }
            if grows && lanes < rig::traffic::LANES_MAX {
                lanes += 1;
                kafka.grow_topic(TOPIC, lanes);
                stream.widen(lanes);
            }
        });
    }
    let traffic = stream.finish();
    let facts = killer.finish();
    judge(&rig, rig.run(), (&traffic, lanes), &facts);
}

#[test]
fn readings_over_mqtt_are_in_the_ledger_once_while_the_broker_is_restarted() {
    let Some(mut broker) = Mosquitto::start() else {
        return;
    };
    let [sent, ends] = dice(4);
    let facts = Facts::new();
    let rig = facts.rig(&plant(&broker));
    begin_session(&rig);
    let stream = Stream::start(Traffic::new(sent), 1, ToMqtt::new(&broker));
    let mut killer = Killer::new(&rig, facts, ends);
    for round in 0..kills(KILLS_RESTARTED, 6) {
        let mut restart = || {
            broker.stop();
            broker.start_again();
        };
        // In turn: while the pipeline runs, and while it does not.
        if round % 2 == 0 {
            killer.round_with(restart);
        } else {
            restart();
            killer.round();
        }
    }
    let traffic = stream.finish();
    let facts = killer.finish();
    judge(&rig, rig.run(), (&traffic, 1), &facts);
}

#[test]
fn readings_over_mqtt_are_in_a_ledger_on_s3_once_however_often_it_is_killed() {
    let (Some(broker), Some(s3)) = (Mosquitto::start(), S3::start()) else {
        return;
    };
    let [sent, ends] = dice(5);
    let facts = Facts::new();
    let mut rig = facts.rig(&plant(&broker));
    rig.put_lake_in(s3.bucket());
    begin_session(&rig);
    let stream = Stream::start(Traffic::new(sent), 1, ToMqtt::new(&broker));
    let mut killer = Killer::new(&rig, facts, ends);
    for _ in 0..kills(KILLS_S3, 8) {
        killer.round();
    }
    let traffic = stream.finish();
    let facts = killer.finish();
    judge(&rig, rig.run(), (&traffic, 1), &facts);
}
