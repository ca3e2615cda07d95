//! Traffic on its way to a source, as long as a test wants it: over Kafka, into a file, over MQTT ([`super::to_mqtt`]).
//!
//! ```text
//!   Traffic ──► Stream (a thread, at its own pace) ──► Outlet ──► broker or file
//!                                                        └─ finish: all that was sent is there
//! ```
//!
//! 1. Nothing waits for the pipeline: it may be dead.
//! 2. Whoever takes the messages acknowledges each: [`Stream::finish`] returns when all of them are safe
//!    with a broker or in a file, so whatever is missing in the ledger then was lost by the pipeline.

use std::fs::File;
use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};

use super::traffic::{LANES_MAX, Message, Traffic};
use super::{LIMIT, Rig};
use crate::support::Kafka;

/// Messages sent in one go, and the pause after them: 2,000 a second.
const BURST: usize = 40;
const BURST_EVERY: Duration = Duration::from_millis(20);
/// Between two tries to hand a message to a client that cannot take it yet.
const FULL_WAIT: Duration = Duration::from_millis(20);
/// Every so many-th line of a file is written in two halves, the rest of it with the next line.
const TORN_EVERY: u64 = 50;

/// Takes messages to where a source reads them.
pub(crate) trait Outlet: Send + 'static {
    /// Sends a message; may wait.
    fn send(&mut self, message: &Message);

    /// Waits until all of the `count` messages that were sent are safe.
    fn finish(self, count: u64);
}

/// Traffic that flows until it is finished.
#[derive(Debug)]
pub(crate) struct Stream {
    stopped: Arc<AtomicBool>,
    lanes: Arc<AtomicI32>,
    thread: JoinHandle<Traffic>,
}

impl Stream {
    /// Begins to send `traffic` over so many lanes.
    pub(crate) fn start(mut traffic: Traffic, lanes: i32, mut outlet: impl Outlet) -> Self {
        let stopped = Arc::new(AtomicBool::new(false));
        let lanes = Arc::new(AtomicI32::new(lanes));
        let thread = thread::spawn({
            let (stopped, lanes) = (Arc::clone(&stopped), Arc::clone(&lanes));
            move || {
                while !stopped.load(Ordering::Acquire) {
                    for _ in 0..BURST {
                        outlet.send(&traffic.next(lanes.load(Ordering::Acquire)));
                    }
                    // The pace of gateways, which nobody sets.
                    thread::sleep(BURST_EVERY);
                }
                for message in traffic.rest(lanes.load(Ordering::Acquire)) {
                    outlet.send(&message);
                }
                outlet.finish(traffic.said());
                traffic
            }
        });
        Self { stopped, lanes, thread }
    }

    /// New slots use so many lanes from now on.
    pub(crate) fn widen(&self, lanes: i32) {
        assert!(lanes <= LANES_MAX, "each lane has a meter of its own at its end");
        self.lanes.store(lanes, Ordering::Release);
    }

    /// Ends it, and waits until all that was sent is safe.
    ///
    /// # Panics
    /// If the outlet did.
    pub(crate) fn finish(self) -> Traffic {
        self.stopped.store(true, Ordering::Release);
        self.thread.join().expect("its message is above")
    }
}

/// Produces to a topic of a broker, which may be restarted; each lane is a partition.
pub(crate) struct ToKafka {
    config: ClientConfig,
    topic: String,
    producer: BaseProducer,
}

impl ToKafka {
    /// Connects to a broker.
    pub(crate) fn new(kafka: &Kafka, topic: &str) -> Self {
        let config = kafka.client();
        let producer = config
            .clone()
            // Else a retry of the library's own could repeat a message, or swap two. It lasts as long as a restart
            // of the broker.
            .set("enable.idempotence", "true")
            .set("linger.ms", "5")
            // A partition that was added just now is known soon.
            .set("topic.metadata.refresh.interval.ms", "500")
            .create()
            .expect("a valid configuration");
        Self { config, topic: topic.to_owned(), producer }
    }

    /// How many messages the topic holds, all partitions together.
    fn messages(&self) -> i64 {
        let consumer: BaseConsumer = self.config.create().expect("a valid configuration");
        let metadata = consumer.fetch_metadata(Some(&self.topic), LIMIT).expect("it answers");
        let partitions = metadata.topics()[0].partitions();
        let high = |partition| {
            let marks = consumer.fetch_watermarks(&self.topic, partition, LIMIT);
            marks.expect("it answers").1
        };
        partitions.iter().map(|partition| high(partition.id())).sum()
    }
}

impl Outlet for ToKafka {
    fn send(&mut self, message: &Message) {
        let mut record = BaseRecord::to(&self.topic)
            .key(&message.meter)
            .payload(&message.line)
            .partition(message.lane);
        let can_wait = |code: &RDKafkaErrorCode| {
            matches!(code, RDKafkaErrorCode::QueueFull | RDKafkaErrorCode::UnknownPartition)
        };
        while let Err((error, unsent)) = self.producer.send(record) {
            let code = error.rdkafka_error_code();
            assert!(code.as_ref().is_some_and(can_wait), "{error}");
            record = unsent;
            self.producer.poll(FULL_WAIT);
        }
        self.producer.poll(Duration::ZERO);
    }

    fn finish(self, count: u64) {
        let flushed: Result<(), KafkaError> = self.producer.flush(LIMIT);
        flushed.expect("the broker takes them");
        assert_eq!(i64::try_from(count), Ok(self.messages()), "the broker has each once");
    }
}

/// Appends lines to the file of a followed source.
#[derive(Debug)]
pub(crate) struct ToFile {
    file: File,
    /// The second half of a line.
    torn: String,
    lines: u64,
}

impl ToFile {
    /// Creates the file of a rig.
    pub(crate) fn new(rig: &Rig, name: &str) -> Self {
        let file = File::create_new(rig.path(name)).expect("the folder is ours");
        Self { file, torn: String::new(), lines: 0 }
    }
}

impl Outlet for ToFile {
    fn send(&mut self, message: &Message) {
        let mut text = std::mem::take(&mut self.torn) + &message.line + "\n";
        self.lines += 1;
        if self.lines.is_multiple_of(TORN_EVERY) {
            self.torn = text.split_off(text.len() / 2);
        }
        self.file.write_all(text.as_bytes()).expect("there is room");
    }

    fn finish(mut self, _: u64) {
        self.file.write_all(self.torn.as_bytes()).expect("there is room");
    }
}
