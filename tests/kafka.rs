//! Readings and facts over a real Apache Kafka: read from where they were committed, by every partition
//! there is.
//!
//! ```text
//!   producer ──► readings (partitions 0, 1, later 2) ─┐
//!            └─► factors ─────────────────────────────┴─► plumeline run ──► lake ──► DuckDB
//! ```

#![allow(clippy::unwrap_used, reason = "a test ends where something is wrong")]

mod rig;
mod support;

use rig::ledger;
use rig::publish::kafka as produce;
use rig::{LIMIT, Rig, Running, day_before_yesterday, energy, now_ms, reading};
use support::Kafka;
use support::process::wait_until;

const SUM: &str = "SELECT CAST(sum(amount) AS INTEGER) FROM activity";

fn source(kafka: &Kafka, name: &str, carries: &str) -> String {
    let broker = kafka.bootstrap();
    format!(
        "[[source]]\nname = \"{name}\"\ntype = \"kafka\"\nbrokers = [\"{broker}\"]\n\
         topics = [\"{name}\"]\ncarries = \"{carries}\"\n"
    )
}

fn readings(numbers: std::ops::Range<i64>) -> Vec<String> {
    numbers.map(reading).collect()
}

fn wait_until_connected(running: &Running, source: &str) {
    wait_until("the source to be connected", LIMIT, || {
        running.metric("plumeline_source_connected", &[("source", source)]).as_deref() == Some("1")
    });
}

/// Whole seconds of a metric.
fn seconds(text: &str) -> i64 {
    text.split('.').next().unwrap().parse().unwrap()
}

/// A line of factor `grid`: a kWh emits `rate` kg.
fn grid(revision: i64, rate: &str) -> String {
    format!(
        r#"{{"factor":"grid","revision":{revision},"scope":2,"gas":"co2","kg_per_unit":{rate},"unit":"kWh","valid_from":"2020-01-01","source":"a test"}}"#
    )
}

#[test]
fn a_revised_factor_restates_what_was_booked() {
    let Some(kafka) = Kafka::start() else { return };
    kafka.create_topic("activities", 2);
    kafka.create_topic("factors", 1);
    let sources =
        [source(&kafka, "activities", "readings"), source(&kafka, "factors", "factors")].concat();
    let rig = Rig::plain(&sources, "1s");
    rig.edit("pipeline.toml", "factors = \"factors.csv\"", "");
    produce(&kafka, "factors", 0, &[grid(1, "0.5")]);
    produce(&kafka, "activities", 0, &readings(0..50));
    let (from, to) = (day_before_yesterday(), day_before_yesterday() + 3_600_000);
    let activity = format!(
        r#"{{"activity":"a-1","node":"plant","factor":"grid","from_ms":{from},"to_ms":{to},"value":5,"unit":"kWh"}}"#
    );
    produce(&kafka, "activities", 1, &[activity]);
    let running = rig.run();
    running.wait_for("activities", "booked", 51);
    running.wait_for("factors", "booked", 1);
    let grams = |rate_grams: i64| {
        let labels = [("org_node", "acme"), ("window", "7d"), ("scope", "2")];
        let expected = ((energy(50) + 5) * rate_grams).to_string();
        wait_until("the window", LIMIT, || {
            running.metric("ghg_emissions_co2e_grams", &labels).as_ref() == Some(&expected)
        });
    };
    grams(500);
    let (known_ms, labels) = (now_ms(), [("table", "activity")]);
    wait_until("all of that to be committed", LIMIT, || {
        let at = running.metric("plumeline_commit_timestamp_seconds", &labels);
        at.is_some_and(|at| seconds(&at) > known_ms / 1000)
    });
    produce(&kafka, "factors", 0, &[grid(2, "0.2"), grid(2, "0.2")]);
    grams(200);
    running.wait_for("factors", "booked", 2);
    running.wait_for("factors", "duplicate", 1);
    let restated =
        running.metric("ghg_restatements_total", &[("reason", "factor_revised")]).unwrap();
    assert_ne!(restated, "0");
    running.stop();
    let Some(python) = ledger::reader() else {
        return;
    };
    let co2e = "SELECT CAST(sum(co2e_kg) AS VARCHAR) FROM emissions";
    assert_eq!(ledger::one(&rig, &python, co2e), "256.000000000000000000000");
    let revisions = "SELECT factor_revision, CAST(sum(co2e_kg) AS INTEGER), \
        CAST(sum(co2e_kg) FILTER (co2e_kg > 0) AS INTEGER) FROM emissions GROUP BY 1 ORDER BY 1";
    assert_eq!(ledger::query(&rig, &python, revisions), [["1", "0", "640"], ["2", "256", "256"]]);
    let facts = "SELECT count(*) FROM factors";
    assert_eq!(ledger::one(&rig, &python, facts), "2");
}

#[test]
fn a_restart_goes_on_where_it_was_journaled() {
    let Some(mut kafka) = Kafka::start() else {
        return;
    };
    kafka.create_topic("activities", 2);
    let rig = Rig::plain(&source(&kafka, "activities", "readings"), "1h");
    let running = rig.run();
    wait_until_connected(&running, "activities");
    for partition in [0, 1] {
        let first = i64::from(partition) * 50;
        produce(&kafka, "activities", partition, &readings(first..first + 50));
    }
    running.wait_for("activities", "booked", 100);
    running.kill();
    // Nothing was committed to the tables, all of it is in the journal: nothing comes again. The broker may
    // die meanwhile.
    let running = rig.run();
    wait_until_connected(&running, "activities");
    kafka.process().kill();
    wait_until("the trouble to show", LIMIT, || running.page("/readyz").unwrap().0 == 503);
    kafka.start_again();
    produce(&kafka, "activities", 0, &readings(100..150));
    running.wait_for("activities", "booked", 50);
    running.stop();
    let running = rig.run();
    wait_until_connected(&running, "activities");
    produce(&kafka, "activities", 1, &readings(150..160));
    running.wait_for("activities", "booked", 10);
    running.stop();
    let Some(python) = ledger::reader() else {
        return;
    };
    assert_eq!(ledger::one(&rig, &python, SUM), energy(160).to_string());
    assert_eq!(ledger::one(&rig, &python, "SELECT count(*) FROM readings"), "160");
}

#[test]
fn a_new_partition_is_noticed_and_read_from_its_start() {
    let Some(kafka) = Kafka::start() else { return };
    kafka.create_topic("activities", 1);
    let source = source(&kafka, "activities", "readings") + "start = \"latest\"\n";
    let rig = Rig::plain(&source, "1s");
    produce(&kafka, "activities", 0, &readings(500..510));
    let running = rig.run();
    wait_until_connected(&running, "activities");
    produce(&kafka, "activities", 0, &readings(0..10));
    running.wait_for("activities", "booked", 10);
    kafka.grow_topic("activities", 2);
    produce(&kafka, "activities", 1, &readings(10..20));
    running.wait_for("activities", "booked", 20);
    let lag = |partition| {
        running.metric(
            "plumeline_kafka_lag_records",
            &[("source", "activities"), ("partition", partition)],
        )
    };
    wait_until("the lag to be told", LIMIT, || {
        ["0", "1"].iter().all(|p| lag(p).as_deref() == Some("0"))
    });
    running.stop();
    let Some(python) = ledger::reader() else {
        return;
    };
    assert_eq!(ledger::one(&rig, &python, SUM), energy(20).to_string());
}
