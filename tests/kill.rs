//! SIGKILL at any moment loses nothing and duplicates nothing: the real binary, real servers, a seeded die.
//!
//! ```text
//!   Traffic ──► Stream ──► Mosquitto ─┐                       ┌─► chain of commits
//!                     └──► Kafka ─────┼─► plumeline run ─► lake ─► readings, each accepted one once
//!                     └──► a file ────┘     ▲ kill -9         └─► balances ══ batch reference
//!                                           └ Killer, round by round
//! ```
//!
//! 1. Readings flow all the time, late, twice, corrected and withdrawn ([`rig::traffic`]), and whoever takes
//!    them (a broker, a file) acknowledges each to the publisher.
//! 2. Meanwhile the pipeline is started and killed, while it starts, recovers, runs, commits and drains,
//!    with one worker and two in turn, and factors are revised ([`rig::kill`]).
//! 3. Then the publisher ends, the pipeline receives what is left and is stopped in good order, and its
//!    ledger is judged ([`rig::verdict`]).
//!
//! `PLUMELINE_KILLS` raises the number of kills (over MQTT; half of it for a file, a quarter over Kafka),
//! `PLUMELINE_SEED` repeats a run's choices. `tests/soak/run` does both for hours.

#![allow(clippy::unwrap_used, reason = "a test ends where something is wrong")]

mod rig;
mod support;

use plumeline_fixtures::random::SplitMix64;
use rig::kill::{Killer, kills, seed};
use rig::stream::{Stream, ToFile, ToKafka, ToMqtt};
use rig::traffic::{Facts, Traffic};
use rig::verdict::judge;
use rig::{FILE_SOURCE, LIMIT, Running};
use support::process::wait_until;
use support::{Kafka, Mosquitto};

/// Kills of an ordinary `cargo test`, which shall not take long.
const KILLS_MQTT: u64 = 12;
const KILLS_FILE: u64 = 8;
const KILLS_KAFKA: u64 = 6;

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

#[test]
fn readings_over_mqtt_are_in_the_ledger_once_however_often_it_is_killed() {
    let Some(broker) = Mosquitto::start() else {
        return;
    };
    let [sent, ends] = dice(1);
    let facts = Facts::new();
    let rig = facts.rig(&format!(
        "[[source]]\nname = \"plant\"\ntype = \"mqtt\"\nurl = \"{}\"\ntopics = [\"meters/{{meter}}\"]\n\
         receive_maximum = 200\n",
        broker.url()
    ));
    // A broker keeps nothing for a session that it does not know.
    let running = rig.run();
    wait_until_connected(&running, "plant");
    running.kill();
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
fn readings_over_kafka_are_in_the_ledger_once_while_partitions_are_added() {
    let Some(kafka) = Kafka::start() else { return };
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
        killer.round_with(|| {
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
