//! The demo around a pipeline that only counts: servers, sockets, folder, clock, summary.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;

use plumeline_fixtures::fleet::What;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::{ClientConfig, Message as _, Offset, TopicPartitionList};
use rumqttc::mqttbytes::QoS;
use rumqttc::{Client, Event, Incoming, MqttOptions};

use super::clock::{Pace, wall};
use super::live::{grouped, tonnes};
use super::*;

/// A pipeline that subscribes to everything, and only counts.
struct Counter {
    readings: Arc<AtomicU64>,
    facts: Arc<AtomicU64>,
    ended: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl Counter {
    fn start(pipeline: &Path, readings: Arc<AtomicU64>) -> Self {
        let text = std::fs::read_to_string(pipeline).unwrap();
        let after = |start: &str| text.split(start).nth(1).unwrap().split('"').next().unwrap();
        let port = after("mqtt://127.0.0.1:").parse::<u16>().unwrap();
        let (facts, ended) = (Arc::default(), Arc::default());
        let gateways = count_readings(port, Arc::clone(&readings), Arc::clone(&ended));
        let counts = [Arc::clone(&facts), Arc::clone(&readings)];
        let desk = count_kafka(after("brokers = [\""), counts, Arc::clone(&ended));
        Self { readings, facts, ended, threads: vec![gateways, desk] }
    }
}

/// Subscribes; returns when the broker has granted it.
fn count_readings(port: u16, count: Arc<AtomicU64>, ended: Arc<AtomicBool>) -> JoinHandle<()> {
    let mut options = MqttOptions::new("counter", ("127.0.0.1", port));
    options.set_keep_alive(1).set_receive_maximum(Some(1000)).set_max_packet_size(Some(1 << 20));
    let (client, mut connection) = Client::builder(options).capacity(100).build();
    client.subscribe("meters/+", QoS::AtLeastOnce).unwrap();
    let (ready, subscribed) = std::sync::mpsc::channel();
    let thread = std::thread::spawn(move || {
        let _client = client;
        for event in connection.iter() {
            match event.unwrap() {
                Event::Incoming(Incoming::SubAck(_)) => ready.send(()).unwrap(),
                Event::Incoming(Incoming::Publish(publish)) => {
                    let stamps = publish.payload.windows(12).filter(|w| w == b"\"observed_at");
                    let stamps = u64::try_from(stamps.count()).unwrap();
                    count.fetch_add(stamps.max(1), Ordering::Relaxed);
                }
                _ => {}
            }
            if ended.load(Ordering::Relaxed) {
                return;
            }
        }
    });
    subscribed.recv().unwrap();
    thread
}

/// Reads both topics; activities are elements as readings are.
fn count_kafka(
    brokers: &str,
    [facts, elements]: [Arc<AtomicU64>; 2],
    ended: Arc<AtomicBool>,
) -> JoinHandle<()> {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", brokers).set("group.id", "counter");
    let consumer: BaseConsumer = config.create().unwrap();
    let mut assignment = TopicPartitionList::new();
    for (topic, partition) in [("factors", 0), ("activities", 0), ("activities", 1)] {
        assignment.add_partition_offset(topic, partition, Offset::Beginning).unwrap();
    }
    consumer.assign(&assignment).unwrap();
    std::thread::spawn(move || {
        while !ended.load(Ordering::Relaxed) {
            if let Some(Ok(message)) = consumer.poll(Duration::from_millis(50)) {
                let count = if message.topic() == "factors" { &facts } else { &elements };
                count.fetch_add(1, Ordering::Relaxed);
            }
        }
    })
}

impl Engine for Counter {
    fn progress(&self) -> Snapshot {
        let facts = self.facts.load(Ordering::Relaxed);
        let footprints = ["alder", "beech", "cedar"].map(|node| Footprint {
            node: node.to_owned(),
            scope: 2,
            window: "30d".to_owned(),
            grams: i128::from(facts) * 1_000_000,
        });
        Snapshot {
            outcomes: [("booked", self.readings.load(Ordering::Relaxed))].into(),
            footprints: footprints.to_vec(),
            ..Snapshot::default()
        }
    }

    fn stop(&self) {
        self.ended.store(true, Ordering::Relaxed);
    }

    fn join(mut self: Box<Self>) -> Result<Snapshot, String> {
        self.threads.drain(..).for_each(|thread| thread.join().unwrap());
        Ok(self.progress())
    }
}

#[test]
fn everything_arrives_over_real_sockets_and_nothing_lies_outside_the_folder() {
    let outside = tempfile::tempdir().unwrap();
    let dir = outside.path().join("demo");
    let args = DemoArgs {
        story: Story::Plant,
        length: Some(Duration::from_secs(10)),
        dir: Some(dir.clone()),
        program: "plumeline".to_owned(),
    };
    let received = Arc::new(AtomicU64::new(0));
    let mut out = Vec::new();
    let launch = Box::new(|pipeline: &Path, _clock: Arc<ReplayClock>| {
        let counter = Counter::start(pipeline, Arc::clone(&received));
        Ok(Box::new(counter) as Box<dyn Engine>)
    });
    run(&args, launch, &mut out).unwrap();
    let text = String::from_utf8(out).unwrap();
    let fleet = Fleet::new(plan(Duration::from_secs(10)));
    let sent: u64 = fleet.messages().map(|message| u64::from(message.elements)).sum();
    assert_eq!(received.load(Ordering::Relaxed), sent, "{text}");
    for words in ["WHAT CAME IN", "WHAT BECAME OF IT", "FOOTPRINT", "RESTATED", "LOOK FURTHER"] {
        assert!(text.contains(words), "{text}");
    }
    let names = |path: &Path| {
        let mut names: Vec<String> = std::fs::read_dir(path)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    };
    assert_eq!(names(outside.path()), ["demo"]);
    assert_eq!(names(&dir), [".plumeline-demo", "meters.csv", "nodes.csv", "pipeline.toml"]);
    let factors = fleet.messages().filter(|m| m.what == What::Revision).count();
    let changed = format!("a change of {factors}.000");
    assert!(text.contains(&changed), "the revision alone made the difference: {text}");
    let meters = std::fs::read_to_string(dir.join("meters.csv")).unwrap();
    assert_eq!(meters.lines().count(), 1 + fleet.meters.len(), "the newcomer was added");
}

#[test]
fn a_folder_with_other_things_in_it_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("thesis.txt"), "precious").unwrap();
    let servers = Servers::start().unwrap();
    let fleet = Fleet::new(Plan::demo());
    let refused = Folder::create(folder.path(), &fleet, &servers);
    assert!(matches!(refused, Err(DemoError::ForeignFolder(_))));
    assert!(folder.path().join("thesis.txt").exists());
    let fresh = folder.path().join("fresh");
    for _ in 0..2 {
        Folder::create(&fresh, &fleet, &servers).unwrap();
        std::fs::create_dir_all(fresh.join("lake/activity")).unwrap();
    }
    Folder::create(&fresh, &fleet, &servers).unwrap();
    assert!(!fresh.join("lake").exists(), "cleared for the next demo");
}

#[test]
fn a_demo_that_is_too_short_is_refused() {
    let args = DemoArgs { length: Some(Duration::from_secs(1)), ..DemoArgs::default() };
    let refused = run(&args, Box::new(|_, _| unreachable!("refused before")), &mut Vec::new());
    assert!(matches!(refused, Err(DemoError::TooShort { .. })));
}

#[test]
fn the_pace_keeps_time_and_creeps_while_held() {
    let start = wall();
    let mut pace = Pace::new(0, 86_400_000, 60_000, start);
    let after = |ms| start + Duration::from_millis(ms);
    assert_eq!(pace.at(after(10), false), 14_400);
    assert_eq!(pace.at(after(20), true), 14_410);
    assert_eq!(pace.at(after(20), false), 14_410);
    let slept = pace.at(after(3_600_000), false);
    assert_eq!(slept, 14_410 + 144_000, "a sleep counts as a tenth of a second");
}

#[test]
fn numbers_are_written_for_people() {
    assert_eq!(grouped(1_234_567), "1,234,567");
    assert_eq!(grouped(-12), "-12");
    assert_eq!(tonnes(12_345_678, 3), "12.345");
    assert_eq!(tonnes(1_999_999_999, 2), "1,999.99");
}
