//! The MQTT source against a real Mosquitto: acks, redelivery, retained messages, a broker that dies.
//!
//! Each test starts a broker of its own on a free loopback port. Where Mosquitto is not installed they are
//! skipped with a line that says so; with `PLUMELINE_REQUIRE_SERVERS=1` that is a failure.

use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use jiff::tz::TimeZone;
use plumeline_connectors::config::{MqttSource, SourceConfig};
use plumeline_connectors::{Batch, Context, STOP_MAX, SourceHandle, probe, start};
use plumeline_pipelines::model::{Names, Record};
use rumqttc::{AsyncClient, Event, MqttOptions, Packet, QoS};
use tokio::sync::mpsc::{Receiver, channel};
use tokio::time::{Instant, sleep, timeout};

const LONG: Duration = Duration::from_secs(30);
/// Long enough for anything that must not come to have come.
const QUIET: Duration = Duration::from_millis(400);
/// How long two clients of one id are watched, and how often one of them may come or go meanwhile.
const RIVALRY: Duration = Duration::from_secs(4);
const RIVALRY_CHANGES_MAX: usize = 20;
const PLACES: [&str; 3] =
    ["/usr/sbin/mosquitto", "/usr/local/sbin/mosquitto", "/opt/homebrew/sbin/mosquitto"];

/// A broker, its port and its directory.
struct Mosquitto {
    child: Child,
    port: u16,
    directory: PathBuf,
}

fn installed() -> Option<&'static Path> {
    let found = PLACES.iter().map(Path::new).find(|place| place.exists());
    if found.is_none() {
        assert!(
            std::env::var_os("PLUMELINE_REQUIRE_SERVERS").is_none_or(|value| value != "1"),
            "mosquitto is required and not installed"
        );
        eprintln!("SKIPPED: mosquitto is not installed (Debian: apt-get install mosquitto)");
    }
    found
}

impl Mosquitto {
    /// A broker that keeps sessions on disk, with `more` lines of configuration.
    fn start(more: &str) -> Option<Self> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let program = installed()?;
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let unique = format!("plumeline-mosquitto-{}-{count}", std::process::id());
        let directory = std::env::temp_dir().join(unique);
        std::fs::create_dir_all(&directory).expect("the set-up of a test works");
        let port = TcpListener::bind("127.0.0.1:0")
            .expect("the set-up of a test works")
            .local_addr()
            .expect("the set-up of a test works")
            .port();
        let settings = format!(
            "listener {port} 127.0.0.1\nallow_anonymous true\npersistence true\n\
             persistence_location {}/\nmax_queued_messages 100000\nmax_inflight_messages 0\n\
             user {}\n{more}\n",
            directory.display(),
            // Started by root it would leave for a user who may not write here.
            std::env::var("USER").unwrap_or_else(|_| "root".into()),
        );
        std::fs::write(directory.join("mosquitto.conf"), settings)
            .expect("the set-up of a test works");
        let child = Self::spawn(program, &directory, port);
        Some(Self { child, port, directory })
    }

    #[expect(
        clippy::zombie_processes,
        reason = "waited for where it is stopped, at the latest on drop"
    )]
    fn spawn(program: &Path, directory: &Path, port: u16) -> Child {
        let log = std::fs::File::create(directory.join("log")).expect("the set-up of a test works");
        let child = Command::new(program)
            .arg("-c")
            .arg(directory.join("mosquitto.conf"))
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("the set-up of a test works");
        for _ in 0..300 {
            if TcpStream::connect(("127.0.0.1", port)).is_ok() {
                return child;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        let log = std::fs::read_to_string(directory.join("log")).unwrap_or_default();
        panic!("mosquitto does not listen: {log}");
    }

    /// Ends it as an administrator does: it writes its sessions to disk.
    fn terminate(&mut self) {
        let id = self.child.id().to_string();
        assert!(
            Command::new("kill")
                .args(["-TERM", &id])
                .status()
                .expect("the set-up of a test works")
                .success()
        );
        self.child.wait().expect("the set-up of a test works");
    }

    fn restart(&mut self) {
        let program = installed().expect("it was there before");
        self.child = Self::spawn(program, &self.directory, self.port);
    }

    fn config(&self, topics: &[&str]) -> MqttSource {
        MqttSource {
            url: format!("mqtt://127.0.0.1:{}", self.port),
            host: "127.0.0.1".into(),
            port: self.port,
            tls: false,
            topics: topics.iter().map(|topic| (*topic).to_owned()).collect(),
            qos: 1,
            client_id: "plumeline-test".into(),
            session_expiry_s: 3_600,
            receive_maximum: 100,
            max_packet_bytes: 4_096,
            username: None,
            password: None,
            ca: None,
            client_certificate: None,
        }
    }

    /// Publishes at least once each and waits until the broker has acknowledged all.
    async fn publish(&self, messages: &[(&str, String)], retain: bool) {
        let mut options = MqttOptions::new("publisher", ("127.0.0.1", self.port));
        options.set_max_packet_size(Some(1 << 20));
        let (client, mut events) = AsyncClient::builder(options).unbounded().build();
        for (topic, payload) in messages {
            let publish = rumqttc::PublishOptions::new(QoS::AtLeastOnce).retain(retain);
            client
                .try_publish(*topic, payload.clone(), publish)
                .expect("the set-up of a test works");
        }
        let mut waiting = messages.len();
        while waiting > 0 {
            let event = timeout(LONG, events.poll()).await.expect("in time").expect("connected");
            waiting -= usize::from(matches!(event, Event::Incoming(Packet::PubAck(_))));
        }
    }
}

impl Drop for Mosquitto {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
        drop(std::fs::remove_dir_all(&self.directory));
    }
}

fn begin(config: &MqttSource, capacity: usize) -> (SourceHandle, Receiver<Batch>) {
    let (out, batches) = channel(capacity);
    let context = Context {
        pipeline: "test".into(),
        name: "plant".into(),
        names: Arc::new(Names::new()),
        index: 0,
        out,
        clock: Arc::new(|| 1_767_268_800_000),
        max_ahead_ms: 300_000,
        timezone: TimeZone::UTC,
        period_ms: 900_000,
        resume: Vec::new(),
    };
    (
        start(SourceConfig::Mqtt(config.clone()), context).expect("the set-up of a test works"),
        batches,
    )
}

fn reading(value: usize) -> String {
    format!(r#"{{"observed_at":"2026-01-01T00:00:00Z","value":{value}}}"#)
}

fn readings(range: std::ops::Range<usize>) -> Vec<(&'static str, String)> {
    range.map(|value| ("meters/m-1", reading(value))).collect()
}

fn values(batches: &[Batch]) -> Vec<i128> {
    let records = batches.iter().flat_map(|batch| &batch.records);
    records
        .map(|record| match record {
            Record::Reading(reading) => {
                reading.value.expect("the set-up of a test works").mantissa()
            }
            Record::Activity(_) => panic!("no activities here"),
        })
        .collect()
}

async fn receive(batches: &mut Receiver<Batch>, count: u64) -> Vec<Batch> {
    let (mut all, mut received) = (Vec::new(), 0);
    while received < count {
        let batch = timeout(LONG, batches.recv()).await.expect("in time").expect("it runs");
        received += batch.received;
        all.push(batch);
    }
    all
}

async fn until(what: &str, is_so: impl Fn() -> bool) {
    let begun = Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < LONG, "{what}");
        sleep(Duration::from_millis(10)).await;
    }
}

async fn connected(handle: &SourceHandle) {
    until("connected", || handle.status.connected.load(Ordering::Relaxed)).await;
}

fn ack(handle: &SourceHandle, batches: Vec<Batch>) {
    for batch in batches {
        handle.ack(batch.receipt);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_not_acknowledged_comes_again_and_what_was_does_not() {
    let Some(broker) = Mosquitto::start("") else {
        return;
    };
    let config = broker.config(&["meters/{meter}"]);
    let (handle, mut batches) = begin(&config, 16);
    connected(&handle).await;
    broker.publish(&readings(0..10), false).await;
    let first = receive(&mut batches, 10).await;
    assert_eq!(values(&first), (0..10).collect::<Vec<i128>>());
    ack(&handle, first);
    broker.publish(&readings(10..15), false).await;
    let second = receive(&mut batches, 5).await;
    assert_eq!(values(&second), (10..15).collect::<Vec<i128>>());
    handle.stop().await;

    broker.publish(&readings(15..20), false).await;
    let (handle, mut batches) = begin(&config, 16);
    let again = receive(&mut batches, 10).await;
    assert_eq!(values(&again), (10..20).collect::<Vec<i128>>());
    ack(&handle, again);
    handle.stop().await;

    let (handle, mut batches) = begin(&config, 16);
    connected(&handle).await;
    assert!(timeout(QUIET, batches.recv()).await.is_err(), "all of it was acknowledged");
    assert_eq!(handle.status.sessions_lost.load(Ordering::Relaxed), 0);
    handle.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_restarts_loses_nothing_and_old_acks_acknowledge_nothing() {
    let Some(mut broker) = Mosquitto::start("") else {
        return;
    };
    let (handle, mut batches) = begin(&broker.config(&["meters/{meter}"]), 16);
    connected(&handle).await;
    broker.publish(&readings(0..5), false).await;
    let old = receive(&mut batches, 5).await;
    broker.terminate();
    until("disconnected", || !handle.status.connected.load(Ordering::Relaxed)).await;
    assert!(handle.status.problem().is_some());
    broker.restart();
    connected(&handle).await;
    let again = receive(&mut batches, 5).await;
    assert_eq!(values(&again), (0..5).collect::<Vec<i128>>());
    // Late acks of the first connection name packet ids that are in use on the second.
    ack(&handle, old);
    broker.publish(&readings(5..8), false).await;
    let more = receive(&mut batches, 3).await;
    assert_eq!(values(&more), (5..8).collect::<Vec<i128>>());
    ack(&handle, again);
    handle.stop().await;

    let (handle, mut batches) = begin(&broker.config(&["meters/{meter}"]), 16);
    let last = receive(&mut batches, 3).await;
    assert_eq!(values(&last), (5..8).collect::<Vec<i128>>());
    handle.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn retained_messages_are_old_news() {
    let Some(broker) = Mosquitto::start("") else {
        return;
    };
    broker.publish(&readings(1..2), true).await;
    let (handle, mut batches) = begin(&broker.config(&["meters/{meter}"]), 16);
    connected(&handle).await;
    assert!(timeout(QUIET, batches.recv()).await.is_err(), "a retained message was delivered");
    broker.publish(&readings(2..3), true).await;
    let live = receive(&mut batches, 1).await;
    assert_eq!(values(&live), [2]);
    handle.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn topics_name_meters_and_bad_payloads_are_rejects() {
    let Some(broker) = Mosquitto::start("") else {
        return;
    };
    let (handle, mut batches) = begin(&broker.config(&["a/{meter}", "z/{meter...}"]), 16);
    connected(&handle).await;
    let large = format!("{{\"x\":\"{}\"}}", "x".repeat(10_000));
    let messages = [
        ("a/m-1", reading(1)),
        ("z/floor 1/m-2", reading(2)),
        ("a/m-3", "broken {".to_owned()),
        ("a/m-3", "Online".to_owned()),
        ("a/m-3", String::new()),
        ("a/m-3", large),
        ("a/m-4", reading(4)),
    ];
    broker.publish(&messages, false).await;
    let all = receive(&mut batches, 7).await;
    assert_eq!(values(&all), [1, 2, 4]);
    assert_eq!(all.iter().map(|batch| batch.ignored).sum::<u64>(), 2);
    let reasons: Vec<&str> =
        all.iter().flat_map(|batch| &batch.rejects).map(|reject| reject.reason.as_str()).collect();
    assert!(reasons[0].starts_with("not JSON"), "{reasons:?}");
    assert!(reasons[1].starts_with("too large: 10008 bytes"), "{reasons:?}");
    handle.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_channel_holds_the_broker_back_and_nothing_is_lost() {
    let Some(broker) = Mosquitto::start("") else {
        return;
    };
    let (handle, mut batches) = begin(&broker.config(&["meters/{meter}"]), 1);
    connected(&handle).await;
    broker.publish(&readings(0..1_000), false).await;
    sleep(QUIET).await;
    // Without acks no more than the Receive Maximum is under way.
    let mut all = Vec::new();
    let mut held = 0;
    while let Ok(Some(batch)) = timeout(QUIET, batches.recv()).await {
        held += batch.received;
        all.push(batch);
    }
    assert_eq!(held, 100);
    assert!(handle.status.connected.load(Ordering::Relaxed));
    let mut seen = values(&all);
    ack(&handle, all);
    while seen.len() < 1_000 {
        let more = receive(&mut batches, 1).await;
        seen.extend(values(&more));
        ack(&handle, more);
    }
    assert_eq!(seen, (0..1_000).collect::<Vec<i128>>());
    handle.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_probe_tells_what_is_wrong_and_throws_nobody_out() {
    let Some(broker) = Mosquitto::start("") else {
        return;
    };
    let config = broker.config(&["meters/{meter}"]);
    let (handle, mut batches) = begin(&config, 16);
    connected(&handle).await;
    probe(&SourceConfig::Mqtt(config.clone())).await.expect("the set-up of a test works");
    broker.publish(&readings(7..8), false).await;
    assert_eq!(values(&receive(&mut batches, 1).await), [7]);
    handle.stop().await;
    let free = TcpListener::bind("127.0.0.1:0")
        .expect("the set-up of a test works")
        .local_addr()
        .expect("the set-up of a test works")
        .port();
    let nobody = SourceConfig::Mqtt(MqttSource { port: free, ..config });
    assert!(probe(&nobody).await.is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_client_with_our_id_is_told_and_not_fought() {
    let Some(broker) = Mosquitto::start("") else {
        return;
    };
    let config = broker.config(&["meters/{meter}"]);
    let (first, _batches) = begin(&config, 16);
    connected(&first).await;
    let (second, _more) = begin(&config, 16);
    connected(&second).await;
    until("it is told", || {
        first.status.problem().is_some_and(|problem| problem.contains("another client"))
    })
    .await;
    let begun = Instant::now();
    let (mut changes, mut was) = (0, true);
    while begun.elapsed() < RIVALRY {
        let is = second.status.connected.load(Ordering::Relaxed);
        changes += usize::from(is != was);
        was = is;
        sleep(Duration::from_millis(1)).await;
    }
    // Without growing pauses the two take turns every 50 to 100 ms.
    assert!(changes <= RIVALRY_CHANGES_MAX, "{changes} changes: the two throw each other out");
    second.stop().await;
    first.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_broker_it_starts_says_so_and_stops() {
    let port = TcpListener::bind("127.0.0.1:0")
        .expect("the set-up of a test works")
        .local_addr()
        .expect("the set-up of a test works")
        .port();
    let Some(broker) = Mosquitto::start("") else {
        return;
    };
    let config = MqttSource { port, ..broker.config(&["meters/{meter}"]) };
    let (handle, _batches) = begin(&config, 1);
    until("a problem", || handle.status.problem().is_some()).await;
    let begun = Instant::now();
    handle.stop().await;
    assert!(begun.elapsed() < STOP_MAX);
}
