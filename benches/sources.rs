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

#[path = "../tests/support/mod.rs"]
mod support;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use plumeline::runtime::{Clock, Running, WallClock};
use plumeline_fixtures::load::Load;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::{Offset, TopicPartitionList};
use rumqttc::mqttbytes::QoS;
use rumqttc::{Client, Connection, Event, Incoming, MqttOptions, PublishOptions};
use support::{Kafka, Mosquitto};
use tempfile::TempDir;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const METERS: usize = 10_000;
const PARTITIONS: i32 = 4;
const TOPIC: &str = "readings";
/// Readings a second while latency is measured.
const RATE: u64 = 10_000;
/// Readings whose way is timed.
const PROBES: usize = 200;
/// The longest pause between two of them; the pauses differ, so that they do not keep step with the seals.
const PROBE_PAUSE_MAX_MS: u64 = 500;
/// Between two looks at a count.
const LOOK_EVERY: Duration = Duration::from_millis(1);
const LIMIT: Duration = Duration::from_mins(5);
/// Publishes of ours that the broker has not acknowledged.
const INFLIGHT_MAX: u16 = 1_000;

#[expect(clippy::disallowed_methods, reason = "a bench measures")]
fn now() -> Instant {
    Instant::now()
}

fn say(line: &str) {
    writeln!(std::io::stdout(), "{line}").expect("standard output is open");
}

fn messages() -> usize {
    std::env::var("MESSAGES").ok().and_then(|value| value.parse().ok()).unwrap_or(200_000)
}

/// The load, and its readings as payloads.
fn load(count: usize) -> (Load, Vec<String>) {
    let start_ms = WallClock.now_ms() / 60_000 * 60_000 - 86_400_000;
    let load =
        Load { seed: 3, start_ms, meters: METERS, sites: 250, factors: 100, every_ms: 60_000 };
    let mut lines = Vec::new();
    load.write_readings(count, &mut lines).expect("memory takes any text");
    let text = String::from_utf8(lines).expect("JSON is text");
    (load, text.lines().map(str::to_owned).collect())
}

/// A pipeline on the load's tables with one source.
struct Pipeline {
    folder: TempDir,
    tokio: tokio::runtime::Runtime,
}

impl Pipeline {
    fn new(load: &Load, source: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder for the bench");
        let write = |name: &str, text: String| {
            std::fs::write(folder.path().join(name), text).expect("the folder can be written");
        };
        write("meters.csv", load.meters_csv() + "probe,probe,interval,kWh,1s,f0,2020-01-01,,1,\n");
        write("factors.csv", load.factors_csv(None));
        write("nodes.csv", load.nodes_csv() + "probe,,,2020-01-01,,1,\n");
        write(
            "pipeline.toml",
            format!(
                "name = \"bench\"\nperiod = \"1d\"\nwindows = [\"7d\"]\nmax_ahead = \"1h\"\n\
                 [http]\nlisten = \"127.0.0.1:0\"\n\
                 [tables]\nmeters = \"meters.csv\"\nfactors = \"factors.csv\"\nnodes = \"nodes.csv\"\n\
                 [[source]]\nname = \"source\"\n{source}\n\
                 [[sink]]\ntype = \"delta\"\nurl = \"lake\"\n[[sink]]\ntype = \"prometheus\"\n"
            ),
        );
        let tokio = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .expect("threads");
        Self { folder, tokio }
    }

    fn start(&self) -> Running {
        start(&self.tokio, &self.folder.path().join("pipeline.toml"))
    }
}

fn start(tokio: &tokio::runtime::Runtime, file: &Path) -> Running {
    let pipeline = plumeline::config::load(file, &|_| None).unwrap_or_else(|p| panic!("{p}"));
    tokio
        .block_on(plumeline::runtime::start(pipeline, Arc::new(WallClock)))
        .expect("the pipeline starts")
}

fn received(running: &Running) -> u64 {
    running.progress().outcomes.values().sum()
}

/// Counts until `count` have come; readings a second from the first to the last.
fn rate_of(count: u64, received: impl Fn() -> u64) -> f64 {
    let begun = now();
    while received() == 0 {
        assert!(begun.elapsed() < LIMIT, "nothing comes");
        thread::sleep(LOOK_EVERY);
    }
    let (first, since) = (received(), now());
    while received() < count {
        assert!(begun.elapsed() < LIMIT, "{} of {count}", received());
        thread::sleep(LOOK_EVERY);
    }
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

fn options(id: &str, broker: &Mosquitto) -> MqttOptions {
    let mut options = MqttOptions::new(id, ("127.0.0.1", broker.port()));
    options.set_max_packet_size(Some(1 << 20)).set_outgoing_inflight_upper_limit(INFLIGHT_MAX);
    options
}

fn publish(broker: &Mosquitto, payloads: &[String]) {
    let (client, mut connection) =
        Client::builder(options("publisher", broker)).capacity(payloads.len() + 10).build();
    for (number, payload) in payloads.iter().enumerate() {
        let topic = format!("meters/m{}", number % METERS);
        let once = PublishOptions::new(QoS::AtLeastOnce);
        client.publish(topic, payload.clone(), once).expect("there is room");
    }
    let mut acked = 0;
    for event in connection.iter() {
        let event = event.expect("the broker stays");
        acked += usize::from(matches!(event, Event::Incoming(Incoming::PubAck(_))));
        if acked == payloads.len() {
            return;
        }
    }
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
    let Some(broker) = Mosquitto::start() else { return };
    let url = broker.url();
    let pipeline = Pipeline::new(
        &load,
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
    publish(&broker, &payloads);
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
    let is_up = || session.telemetry().readiness().0;
    let begun = now();
    while !is_up() {
        assert!(begun.elapsed() < LIMIT, "it connects");
        thread::sleep(LOOK_EVERY);
    }
    session.stop();
    session.join().expect("it ends well");
    publish(&broker, &payloads);
    let running = pipeline.start();
    let ours = rate_of(count, || received(&running));
    running.stop();
    running.join().expect("it ends well");
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
    let pipeline = Pipeline::new(&load, &source);
    let running = pipeline.start();
    let ours = rate_of(count, || received(&running));
    running.stop();
    running.join().expect("it ends well");
    compare("kafka", bare, ours);
}

/// Publishes [`RATE`] readings a second until told to end.
fn keep_publishing(broker: &Mosquitto, ended: &Arc<AtomicBool>) -> thread::JoinHandle<u64> {
    let (client, mut connection) =
        Client::builder(options("fleet", broker)).capacity(100_000).build();
    thread::spawn(move || connection.iter().take_while(Result::is_ok).for_each(drop));
    let ended = Arc::clone(ended);
    thread::spawn(move || {
        let (begun, mut sent) = (now(), 0_u64);
        while !ended.load(Ordering::Relaxed) {
            let due = RATE * u64::try_from(begun.elapsed().as_millis()).expect("short") / 1000;
            while sent < due {
                let meter = sent % u64::try_from(METERS).expect("a count");
                let at_ms = WallClock.now_ms();
                let text = format!(
                    r#"{{"observed_at_ms":{at_ms},"value":1.25,"unit":"kWh","quality":"measured"}}"#
                );
                let once = PublishOptions::new(QoS::AtLeastOnce);
                client.publish(format!("meters/m{meter}"), text, once).expect("there is room");
                sent += 1;
            }
            thread::sleep(LOOK_EVERY);
        }
        sent
    })
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
    let (load, _) = load(0);
    let Some(broker) = Mosquitto::start() else { return };
    let url = broker.url();
    let pipeline = Pipeline::new(
        &load,
        &format!("type = \"mqtt\"\nurl = \"{url}\"\ntopics = [\"meters/{{meter}}\"]"),
    );
    let running = pipeline.start();
    let address = running.http_address();
    let ended = Arc::new(AtomicBool::new(false));
    let fleet = keep_publishing(&broker, &ended);
    let (client, mut connection) =
        Client::builder(options("probe", &broker)).capacity(1_000).build();
    thread::spawn(move || connection.iter().take_while(Result::is_ok).for_each(drop));
    thread::sleep(Duration::from_secs(3));
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
    ended.store(true, Ordering::Relaxed);
    let sent = fleet.join().expect("it ends");
    took.sort();
    let at = |percent: usize| took[(took.len() * percent / 100).min(took.len() - 1)].as_millis();
    say(&format!(
        "latency: p50 {} ms, p90 {} ms, p99 {} ms of {PROBES} at {RATE} readings/s; {} of {sent} received, \
         worst of the newest seals {} ms",
        at(50),
        at(90),
        at(99),
        received(&running),
        running.progress().tick_lag_ms,
    ));
    running.stop();
    running.join().expect("it ends well");
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
