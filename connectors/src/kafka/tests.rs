//! Tests of the Kafka source, on a cluster inside the process.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;

use rdkafka::mocking::MockCluster;
use rdkafka::producer::{BaseProducer, BaseRecord, DefaultProducerContext, Producer};

use super::*;
use crate::batch::Batch;
use crate::config::{Carries, SourceConfig, Start};
use crate::position::Position;
use crate::registry;
use crate::source::STOP_MAX;
use crate::source::SourceHandle;
use crate::testing::{LONG, connected, context, reading, receive, values};

struct Cluster {
    mock: MockCluster<'static, DefaultProducerContext>,
    producer: BaseProducer,
}

impl Cluster {
    fn new(partitions: i32) -> Self {
        let mock = MockCluster::new(1).unwrap();
        mock.create_topic("readings", partitions, 1).unwrap();
        let producer = ClientConfig::new()
            .set("bootstrap.servers", mock.bootstrap_servers())
            .set("linger.ms", "0")
            .create()
            .unwrap();
        Self { mock, producer }
    }

    fn send(&self, partition: i32, payload: &str) {
        let record = BaseRecord::<(), str>::to("readings").partition(partition).payload(payload);
        self.producer.send(record).unwrap();
        self.producer.flush(LONG).unwrap();
    }

    fn config(&self, carries: Carries, start: Start) -> SourceConfig {
        SourceConfig::Kafka(KafkaSource {
            brokers: vec![self.mock.bootstrap_servers()],
            topics: vec!["readings".into()],
            carries,
            start,
            properties: BTreeMap::new(),
        })
    }
}

fn all_values(batches: &[Batch]) -> Vec<i128> {
    batches.iter().flat_map(values).collect()
}

fn begin(config: &SourceConfig) -> (SourceHandle, tokio::sync::mpsc::Receiver<Batch>) {
    resume(config, Vec::new())
}

fn resume(
    config: &SourceConfig,
    resume: Vec<Position>,
) -> (SourceHandle, tokio::sync::mpsc::Receiver<Batch>) {
    let (mut context, batches) = context("erp", 4);
    context.resume = resume;
    (registry::start(config.clone(), context).unwrap(), batches)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_goes_on_where_it_was_acknowledged() {
    let cluster = Cluster::new(1);
    let config = cluster.config(Carries::Readings, Start::Earliest);
    for number in 0..3 {
        cluster.send(0, &reading(number));
    }
    let (handle, mut batches) = begin(&config);
    let first = receive(&mut batches, 3).await;
    assert_eq!(all_values(&first), [0, 1, 2]);
    let mut positions = Vec::new();
    for batch in first {
        positions = batch.receipt.positions();
        handle.ack(batch.receipt);
    }
    cluster.send(0, &reading(3));
    let unacknowledged = receive(&mut batches, 1).await;
    assert_eq!(all_values(&unacknowledged), [3]);
    let begun = tokio::time::Instant::now();
    handle.stop().await;
    assert!(begun.elapsed() < STOP_MAX);

    cluster.send(0, &reading(4));
    let (handle, mut batches) = resume(&config, positions);
    assert_eq!(all_values(&receive(&mut batches, 2).await), [3, 4]);
    assert_eq!(handle.status.problem(), None);
    handle.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn latest_begins_with_what_comes_after_the_connection() {
    let cluster = Cluster::new(2);
    cluster.send(0, &reading(1));
    let (handle, mut batches) = begin(&cluster.config(Carries::Readings, Start::Latest));
    connected(&handle.status).await;
    cluster.send(1, &reading(2));
    let all = receive(&mut batches, 1).await;
    assert_eq!(all_values(&all), [2]);
    handle.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_messages_are_rejects_and_the_others_go_on() {
    let cluster = Cluster::new(1);
    cluster.send(0, "broken {");
    cluster.send(0, "null");
    cluster.send(0, &format!("[{},{}]", reading(1), reading(2)));
    let (handle, mut batches) = begin(&cluster.config(Carries::Readings, Start::Earliest));
    let all = receive(&mut batches, 4).await;
    assert_eq!(all_values(&all), [1, 2]);
    let rejects: Vec<_> = all.iter().flat_map(|batch| &batch.rejects).collect();
    assert_eq!(
        (rejects.len(), rejects[0].position, rejects[0].raw.as_slice()),
        (1, 0, &b"broken {"[..])
    );
    assert_eq!(all.iter().map(|batch| batch.ignored).sum::<u64>(), 1);
    handle.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn topics_may_carry_facts() {
    let cluster = Cluster::new(1);
    cluster.send(0, r#"{"node":"york","parent":"acme","revision":1}"#);
    let (handle, mut batches) = begin(&cluster.config(Carries::Nodes, Start::Earliest));
    let all = receive(&mut batches, 1).await;
    assert_eq!(all.iter().map(|batch| batch.facts.len()).sum::<usize>(), 1);
    handle.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_comes_back_is_read_on() {
    let cluster = Cluster::new(1);
    cluster.send(0, &reading(1));
    let (handle, mut batches) = begin(&cluster.config(Carries::Readings, Start::Earliest));
    assert_eq!(all_values(&receive(&mut batches, 1).await), [1]);
    cluster.mock.broker_down(1).unwrap();
    let down = async {
        while handle.status.connected.load(Ordering::Relaxed) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(LONG, down).await.expect("it is told that the broker is down");
    assert!(handle.status.problem().is_some());
    cluster.mock.broker_up(1).unwrap();
    cluster.send(0, &reading(2));
    assert_eq!(all_values(&receive(&mut batches, 1).await), [2]);
    connected(&handle.status).await;
    handle.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stored_position_that_is_gone_is_an_error_that_stays() {
    let cluster = Cluster::new(1);
    cluster.send(0, &reading(1));
    let stored = Position { stream: "0 readings".to_owned(), at: "1000".to_owned() };
    let config = cluster.config(Carries::Readings, Start::Earliest);
    let (handle, mut batches) = resume(&config, vec![stored]);
    let positions = batches.recv().await.unwrap();
    assert_eq!(positions.received, 0);
    let told = async {
        while !handle
            .status
            .problem()
            .is_some_and(|problem| problem.contains("is not at the broker"))
        {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(LONG, told).await.expect("it is told");
    cluster.send(0, &reading(2));
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    assert!(batches.try_recv().is_err(), "it does not jump");
    assert!(!handle.status.connected.load(Ordering::Relaxed));
    handle.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn lag_is_told_for_each_partition() {
    let cluster = Cluster::new(1);
    for number in 0..3 {
        cluster.send(0, &reading(number));
    }
    let (handle, mut batches) = begin(&cluster.config(Carries::Readings, Start::Earliest));
    receive(&mut batches, 3).await;
    let told = async {
        while handle.status.lag() != BTreeMap::from([(0, 0)]) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(LONG, told).await.expect("it is told");
    handle.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_channel_holds_the_thread_back_and_stopping_is_quick() {
    let cluster = Cluster::new(1);
    let (context, mut batches) = context("erp", 1);
    let config = cluster.config(Carries::Readings, Start::Earliest);
    let handle = registry::start(config, context).unwrap();
    for number in 0..6 {
        cluster.send(0, &reading(number));
        tokio::time::sleep(Duration::from_millis(60)).await;
    }
    let begun = tokio::time::Instant::now();
    handle.stop().await;
    assert!(begun.elapsed() < STOP_MAX);
    assert!(batches.recv().await.is_some());
    assert!(batches.recv().await.is_none(), "one batch is all the channel holds");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_probe_tells_whether_topics_can_be_read() {
    let cluster = Cluster::new(1);
    let config = cluster.config(Carries::Readings, Start::Earliest);
    registry::probe(&config).await.unwrap();
    let SourceConfig::Kafka(mut kafka) = config else { panic!("kafka") };
    kafka.properties.insert("no.such.property".into(), crate::config::Secret::new("canary"));
    let error = registry::probe(&SourceConfig::Kafka(kafka)).await.unwrap_err();
    assert_eq!(error.to_string(), "librdkafka refuses the property `no.such.property`");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_broker_it_starts_says_so_and_stops() {
    let (context, _batches) = context("erp", 1);
    let config = SourceConfig::Kafka(KafkaSource {
        brokers: vec!["127.0.0.1:9".into()],
        topics: vec!["readings".into()],
        carries: Carries::Readings,
        start: Start::Earliest,
        properties: BTreeMap::new(),
    });
    let handle = registry::start(config, context).unwrap();
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert!(handle.status.problem().is_some());
    let begun = tokio::time::Instant::now();
    handle.stop().await;
    assert!(begun.elapsed() <= STOP_MAX);
}
