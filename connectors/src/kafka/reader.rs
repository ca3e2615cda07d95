//! The thread that reads: positions, assignment, and then batch after batch.

use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka::Message;
use rdkafka::consumer::Consumer;
use rdkafka::error::KafkaError;
use rdkafka::types::RDKafkaErrorCode;
use tokio::runtime::Handle;

use super::positions::{PositionError, partitions, resolve};
use super::{REFRESH, Shared, list};
use crate::batch::{Batch, Mark, NextOffset, Receipt};
use crate::config::{DEFAULT_MAX_PACKET_BYTES, KafkaSource, Start};
use crate::decode::{Decoded, Decoder, Limits, Payload};
use crate::source::{Context, SourceStatus, lock};
use crate::task::{Backoff, Stop, monotonic};

/// Messages in a batch at most.
const BATCH_MAX: usize = 10_000;
/// A message's position is its offset, with the partition from this bit on (2^44 offsets are centuries of
/// messages), and the topic's place in the pipeline file after [`PARTITION_BITS`] more.
const LANE_BITS: u32 = 44;
/// Partitions of a topic that are told apart: 4,096.
const PARTITION_BITS: u32 = 12;
/// How long a batch waits for more messages.
const GATHER: Duration = Duration::from_millis(20);
/// How long a poll waits for the first message of a batch: the pace at which the sign to stop is seen.
const IDLE: Duration = Duration::from_millis(100);

/// The thread.
pub(super) struct Reader {
    topics: Vec<Arc<str>>,
    start: Start,
    context: Context,
    shared: Arc<Shared>,
    status: Arc<SourceStatus>,
    stop: Stop,
    runtime: Handle,
    decoder: Decoder,
    /// Where each partition is read on.
    nexts: Vec<NextOffset>,
}

impl Reader {
    pub(super) fn new(
        config: &KafkaSource,
        context: Context,
        shared: Arc<Shared>,
        (status, stop): (Arc<SourceStatus>, Stop),
    ) -> Self {
        let limits = Limits {
            payload_bytes_max: usize::try_from(DEFAULT_MAX_PACKET_BYTES).unwrap_or(usize::MAX),
            max_ahead_ms: context.max_ahead_ms,
            timezone: context.timezone.clone(),
            period_ms: context.period_ms,
        };
        let names = Arc::clone(&context.names);
        let decoder = Decoder::new(config.carries, context.index, names, limits);
        Self {
            topics: config.topics.iter().map(|topic| Arc::from(topic.as_str())).collect(),
            start: config.start,
            context,
            shared,
            status,
            stop,
            runtime: Handle::current(),
            decoder,
            nexts: Vec::new(),
        }
    }

    pub(super) fn run(mut self) {
        if self.assign_at_first() {
            self.read();
        }
        self.shared.commit_at_last();
    }

    /// Finds all partitions and where to begin; says whether it was not stopped meanwhile.
    fn assign_at_first(&mut self) -> bool {
        let mut backoff = Backoff::default();
        while !self.stop.is_given() {
            match self.find_new(self.start).and_then(|new| self.assign(new)) {
                Ok(()) => {
                    tracing::info!(
                        source = self.context.name,
                        partitions = self.nexts.len(),
                        "connected"
                    );
                    self.status.up();
                    // Where it begins is remembered before anything is read: "latest" means this one.
                    let nexts = self.nexts.clone();
                    return self.send(self.positions(nexts));
                }
                Err(error) => {
                    let problem = error.to_string();
                    tracing::warn!(source = self.context.name, problem, "not connected");
                    self.status.down(problem);
                    self.stop.pause(backoff.next());
                }
            }
        }
        false
    }

    /// Partitions that are not read yet, and where to begin.
    fn find_new(&self, start: Start) -> Result<Vec<NextOffset>, PositionError> {
        let mut new = Vec::new();
        for topic in &self.topics {
            for partition in partitions(&self.shared.client, topic)? {
                let is_read =
                    |next: &NextOffset| next.topic == *topic && next.partition == partition;
                if !self.nexts.iter().any(is_read) {
                    new.push((Arc::clone(topic), partition));
                }
            }
        }
        if new.is_empty() {
            return Ok(Vec::new());
        }
        resolve(&self.shared.client, &new, &self.context.resume, start)
    }

    /// Reads `new` partitions besides those it reads already.
    fn assign(&mut self, new: Vec<NextOffset>) -> Result<(), PositionError> {
        let all = self.nexts.iter().chain(&new);
        let list = list(all.map(|next| (&*next.topic, next.partition, next.offset)));
        let unanswered =
            |error| PositionError::Unanswered { what: "the assignment".to_owned(), error };
        self.shared.client.assign(&list).map_err(unanswered)?;
        self.nexts.extend(new);
        Ok(())
    }

    fn read(&mut self) {
        let mut refreshed = monotonic();
        while !self.stop.is_given() {
            if let Some(batch) = self.batch()
                && !self.send(batch)
            {
                return;
            }
            self.tell_lag();
            if refreshed.elapsed() >= REFRESH {
                refreshed = monotonic();
                self.refresh();
            }
        }
    }

    fn refresh(&mut self) {
        let found = self.find_new(Start::Earliest);
        match found {
            Ok(new) if new.is_empty() => {}
            Ok(new) => {
                tracing::info!(
                    source = self.context.name,
                    partitions = new.len(),
                    "new partitions"
                );
                let nexts = new.clone();
                if let Err(error) = self.assign(new) {
                    tracing::warn!(source = self.context.name, %error, "not assigned yet");
                } else {
                    self.send(self.positions(nexts));
                }
            }
            // The partitions at hand are read on; the next refresh asks again.
            Err(error) => {
                tracing::warn!(source = self.context.name, %error, "cannot look for partitions");
            }
        }
    }

    /// A batch of nothing but positions.
    fn positions(&self, nexts: Vec<NextOffset>) -> Batch {
        Decoded::default().into_batch(self.context.index, Receipt(Mark::Kafka(nexts)))
    }

    /// The messages of the next moment; `None` if there were none.
    fn batch(&mut self) -> Option<Batch> {
        let shared = Arc::clone(&self.shared);
        let (mut decoded, mut read) = (Decoded::default(), Vec::<NextOffset>::new());
        let mut deadline: Option<Instant> = None;
        let mut now_ms = 0;
        for _ in 0..BATCH_MAX {
            let wait =
                deadline.map_or(IDLE, |deadline| deadline.saturating_duration_since(monotonic()));
            match shared.client.poll(wait) {
                None if deadline.is_none_or(|deadline| monotonic() >= deadline) => break,
                None => {}
                Some(Err(error)) => self.failed(&error),
                Some(Ok(message)) => {
                    if deadline.is_none() {
                        deadline = Some(monotonic() + GATHER);
                        now_ms = (self.context.clock)();
                    }
                    let bytes = message.payload().unwrap_or_default();
                    let position =
                        self.place(message.topic(), message.partition(), message.offset());
                    let payload = Payload { bytes, size: bytes.len(), topic_meter: None, position };
                    self.decoder.decode(payload, now_ms, &mut decoded);
                    self.advance(message.topic(), message.partition(), message.offset(), &mut read);
                }
            }
        }
        deadline?;
        self.status.heard(now_ms);
        shared.client.context().brokers_up();
        let receipt = Receipt(Mark::Kafka(read));
        Some(decoded.into_batch(self.context.index, receipt))
    }

    /// A number for the message that no other one of the source has: see [`LANE_BITS`].
    fn place(&self, topic: &str, partition: i32, offset: i64) -> u64 {
        let topic = self.topics.iter().position(|known| **known == *topic).unwrap_or(0);
        let topic = u64::try_from(topic).unwrap_or(0);
        let lane = topic << PARTITION_BITS | u64::try_from(partition).unwrap_or(0);
        lane << LANE_BITS | u64::try_from(offset).unwrap_or(0)
    }

    /// Notes that the message at `offset` was read.
    fn advance(&mut self, topic: &str, partition: i32, offset: i64, read: &mut Vec<NextOffset>) {
        let is_it = |next: &NextOffset| next.partition == partition && *next.topic == *topic;
        let Some(next) = self.nexts.iter_mut().find(|next| is_it(next)) else {
            return;
        };
        next.offset = offset + 1;
        match read.iter_mut().find(|read| is_it(read)) {
            Some(read) => read.offset = offset + 1,
            None => read.push(next.clone()),
        }
    }

    /// Hands over, waiting for room; says whether to go on.
    fn send(&mut self, batch: Batch) -> bool {
        let (out, stop) = (&self.context.out, &mut self.stop);
        self.runtime.block_on(async {
            tokio::select! {
                biased;
                sent = out.send(batch) => sent.is_ok(),
                () = stop.given() => false,
            }
        })
    }

    fn failed(&self, error: &KafkaError) {
        let watch = self.shared.client.context();
        match error.rdkafka_error_code() {
            Some(RDKafkaErrorCode::AutoOffsetReset | RDKafkaErrorCode::OffsetOutOfRange) => {
                watch.stuck(format!(
                    "the journal's position in a topic of source \"{}\" is not at the broker: its messages \
                     are gone, or the topic is a new one; give the source another name to read what is \
                     there from `start` on, and restart",
                    self.context.name
                ));
            }
            _ if matches!(error, KafkaError::MessageConsumptionFatal(_)) => {
                watch.stuck(format!("cannot read: {error}"));
            }
            Some(RDKafkaErrorCode::AllBrokersDown) => watch.brokers_down(&error.to_string()),
            _ => tracing::debug!(source = self.context.name, %error, "retried by the library"),
        }
    }

    /// Publishes how many records wait in each partition.
    fn tell_lag(&self) {
        let watch = self.shared.client.context();
        let mut lag = lock(&self.status.lag);
        lag.clear();
        for next in &self.nexts {
            if let Some(end) = watch.end(&next.topic, next.partition) {
                *lag.entry(next.partition).or_default() += (end - next.offset).max(0);
            }
        }
    }
}
