//! What the way from a broker costs, against a client that only takes messages and acknowledges them; and
//! how long a reading takes until it shows.
//!
//! `cargo bench --bench sources -- [mqtt|kafka|latency|all]`; MESSAGES from the environment. Needs Mosquitto
//! and Apache Kafka (`.ci/setup`). Broker, publisher and pipeline share the machine.
//!
//! 1. `mqtt`: a subscriber stops taking, or leaves; the broker queues all messages; then the time from the
//!    first to the last is taken, for a bare rumqttc that acknowledges, and for the pipeline.
//! 2. `kafka`: the same with a topic of four partitions and a bare consumer.
//! 3. `latency`: 10,000 readings/s; of some of them, the time from publishing to the first `/metrics` page
//!    whose window `open` holds them.

mod broker;
#[expect(dead_code, reason = "the bench fills several partitions in turn")]
#[path = "../tests/rig/publish.rs"]
mod publish;
#[path = "../tests/support/mod.rs"]
mod support;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use broker::{
    Fleet, LIMIT, LOOK_EVERY, METERS, Pipeline, end, now, options, percentile, received, say,
    wait_until,
};
use plumeline::runtime::{Clock, WallClock};
use plumeline_fixtures::load::Load;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::{Offset, TopicPartitionList};
use rumqttc::mqttbytes::QoS;
use rumqttc::{Client, Connection, Event, Incoming, PublishOptions};
use support::{Kafka, Mosquitto};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// One period, so that no bench settles any.
const PERIOD: &str = "period = \"1d\"";
const PARTITIONS: i32 = 4;
const TOPIC: &str = "readings";
/// Readings a second while latency is measured.
const RATE: u64 = 10_000;
/// Readings whose way is timed.
const PROBES: usize = 200;
/// The longest pause between two of them; the pauses differ, so that they do not keep step with the seals.
const PROBE_PAUSE_MAX_MS: u64 = 500;

fn messages() -> usize {
    std::env::var("MESSAGES").ok().and_then(|value| value.parse().ok()).unwrap_or(200_000)
}

/// The load, and its readings as payloads.
fn load(count: usize) -> (Load, Vec<String>) {
    let load = broker::load();
    let mut lines = Vec::new();
    load.write_readings(count, &mut lines).expect("memory takes any text");
    let text = String::from_utf8(lines).expect("JSON is text");
    (load, text.lines().map(str::to_owned).collect())
}

/// Counts until `count` have come; readings a second from the first to the last.
fn rate_of(count: u64, received: impl Fn() -> u64) -> f64 {
    wait_until("the first to come", || received() > 0);
    let (first, since) = (received(), now());
    wait_until("the last to come", || received() >= count);
    per_second(count - first, since)
}

#[expect(clippy::cast_precision_loss, reason = "a figure for people")]
fn per_second(count: u64, since: Instant) -> f64 {
    count as f64 / since.elapsed().as_secs_f64()
}

fn compare(name: &str, bare: f64, ours: f64) {
    say(&format!(
        "{name}: bare client {bare:.0}/s, pipeline {ours:.0}/s, {:.0} %",
        ours * 100.0 / bare
    ));
}

/// A client that only acknowledges.
fn bare_mqtt(broker: &Mosquitto, receive_maximum: u16) -> (Client, Connection) {
    let mut options = options("bare", broker);
    let mut properties = rumqttc::mqttbytes::v5::ConnectProperties::new();
    properties.receive_maximum = Some(receive_maximum);
    options.set_connect_properties(properties);
    Client::builder(options).capacity(10).build()
}

fn mqtt(receive_maximum: u16) {
    let count = u64::try_from(messages()).expect("a count");
    let (load, payloads) = load(messages());
    let messages: Vec<_> = (0..)
        .zip(payloads)
        .map(|(number, payload)| (format!("meters/m{}", number % METERS), payload.into_bytes()))
        .collect();
    let Some(broker) = Mosquitto::start() else { return };
    let url = broker.url();
    let pipeline = Pipeline::new(
        &load,
        PERIOD,
        &format!(
            "type = \"mqtt\"\nurl = \"{url}\"\ntopics = [\"meters/{{meter}}\"]\n\
             receive_maximum = {receive_maximum}"
        ),
    );
    let (client, mut connection) = bare_mqtt(&broker, receive_maximum);
    client.subscribe("meters/+", QoS::AtLeastOnce).expect("there is room");
    for event in connection.iter() {
        if matches!(event.expect("the broker is up"), Event::Incoming(Incoming::SubAck(_))) {
            break;
        }
    }
    // The broker queues what it may not send before we poll again.
    publish::mqtt(&broker, &messages);
    let (mut taken, mut since) = (0, now());
    for event in connection.iter() {
        if matches!(event.expect("the broker is up"), Event::Incoming(Incoming::Publish(_))) {
            if taken == 0 {
                since = now();
            }
            taken += 1;
            if taken == count {
                break;
            }
        }
    }
    let bare = per_second(count, since);
    // Its subscription ends with it: the broker should not queue for two.
    drop((client, connection));

    let session = pipeline.start();
    wait_until("it to be connected", || session.telemetry().readiness().0);
    end(session);
    publish::mqtt(&broker, &messages);
    let running = pipeline.start();
    let ours = rate_of(count, || received(&running));
    end(running);
    compare(&format!("mqtt, receive_maximum {receive_maximum}"), bare, ours);
}

fn kafka() {
    let count = messages() * 5;
    let (load, payloads) = load(count);
    let Some(broker) = Kafka::start() else { return };
    broker.create_topic(TOPIC, PARTITIONS);
    let producer: BaseProducer = broker
        .client()
        .set("compression.codec", "lz4")
        .set("linger.ms", "20")
        .set("queue.buffering.max.messages", "2000000")
        .create()
        .expect("a valid configuration");
    for (payload, partition) in payloads.iter().zip((0..PARTITIONS).cycle()) {
        let record = BaseRecord::<(), str>::to(TOPIC).payload(payload).partition(partition);
        producer.send(record).map_err(|(error, _)| error).expect("there is room");
        producer.poll(Duration::ZERO);
    }
    producer.flush(LIMIT).expect("the broker takes them");

    let count = u64::try_from(count).expect("a count");
    let consumer: BaseConsumer = broker
        .client()
        .set("group.id", "bare")
        .set("enable.auto.commit", "false")
        .create()
        .expect("a valid configuration");
    let mut partitions = TopicPartitionList::new();
    for partition in 0..PARTITIONS {
        partitions
            .add_partition_offset(TOPIC, partition, Offset::Beginning)
            .expect("a new partition");
    }
    consumer.assign(&partitions).expect("they exist");
    let (mut taken, mut since) = (0, now());
    while taken < count {
        if let Some(message) = consumer.poll(Duration::from_millis(100)) {
            message.expect("the broker is up");
            if taken == 0 {
                since = now();
            }
            taken += 1;
        }
    }
    let bare = per_second(count, since);

    let brokers = broker.bootstrap();
    let source = format!("type = \"kafka\"\nbrokers = [\"{brokers}\"]\ntopics = [\"{TOPIC}\"]");
    let pipeline = Pipeline::new(&load, PERIOD, &source);
    let running = pipeline.start();
    let ours = rate_of(count, || received(&running));
    end(running);
    compare("kafka", bare, ours);
}

/// Grams of the node `probe` in the window `open`.
fn probe_grams(address: SocketAddr) -> Option<f64> {
    let mut stream = TcpStream::connect(address).ok()?;
    write!(stream, "GET /metrics HTTP/1.1\r\nHost: bench\r\nConnection: close\r\n\r\n").ok()?;
    let mut page = String::new();
    stream.read_to_string(&mut page).ok()?;
    let is_ours = |line: &&str| {
        line.starts_with("ghg_emissions_co2e_grams{")
            && line.contains("org_node=\"probe\"")
            && line.contains("window=\"open\"")
    };
    page.lines().find(is_ours)?.rsplit(' ').next()?.parse().ok()
}

fn latency() {
    let Some(broker) = Mosquitto::start() else { return };
    let url = broker.url();
    let pipeline = Pipeline::new(
        &broker::load(),
        PERIOD,
        &format!("type = \"mqtt\"\nurl = \"{url}\"\ntopics = [\"meters/{{meter}}\"]"),
    );
    let running = pipeline.start();
    let address = running.http_address();
    wait_until("it to be connected", || running.telemetry().readiness().0);
    let fleet = Fleet::start(&broker, RATE);
    let (client, mut connection) =
        Client::builder(options("probe", &broker)).capacity(1_000).build();
    thread::spawn(move || connection.iter().take_while(Result::is_ok).for_each(drop));
    let each_once = u64::try_from(METERS).expect("a count");
    wait_until("each meter to have sent", || received(&running) >= each_once);
    let mut took = Vec::new();
    for probe in (0_u64..).take(PROBES) {
        // A stride that shares no factor with the number of pauses comes by all of them, evenly.
        thread::sleep(Duration::from_millis(probe * 309 % PROBE_PAUSE_MAX_MS));
        let before = probe_grams(address).unwrap_or(0.0);
        let since = now();
        let at_ms = WallClock.now_ms();
        let text = format!(r#"{{"observed_at_ms":{at_ms},"value":1000}}"#);
        let once = PublishOptions::new(QoS::AtLeastOnce);
        client.publish("meters/probe", text, once).expect("there is room");
        while probe_grams(address).unwrap_or(0.0) <= before {
            assert!(since.elapsed() < LIMIT, "it shows");
            thread::sleep(LOOK_EVERY);
        }
        took.push(since.elapsed());
    }
    let sent = fleet.end();
    took.sort();
    let at = |percent| percentile(&took, percent);
    say(&format!(
        "latency: p50 {:.0} ms, p90 {:.0} ms, p99 {:.0} ms of {PROBES} at {RATE} readings/s; {} of {sent} received, \
         worst of the newest seals {} ms",
        at(50.0),
        at(90.0),
        at(99.0),
        received(&running),
        running.progress().tick_lag_ms,
    ));
    end(running);
}

fn main() {
    let names = ["mqtt", "kafka", "latency", "all"];
    let which = std::env::args().find(|arg| names.contains(&arg.as_str()));
    let which = which.unwrap_or_else(|| "all".to_owned());
    let is_wanted = |name: &str| which == name || which == "all";
    if is_wanted("mqtt") {
        [1_000, u16::MAX].into_iter().for_each(mqtt);
    }
    if is_wanted("kafka") {
        kafka();
    }
    if is_wanted("latency") {
        latency();
    }
}
