//! What a source hands over, and what it gets back once that is safe.

use std::sync::Arc;

use plumeline_pipelines::model::{Record, RejectEntry};

use crate::position::Position;

pub use crate::decode::fact::FactChange;

/// Elements of one source, in the order they arrived.
#[derive(Debug)]
pub struct Batch {
    /// The source: its index in the pipeline file.
    pub source: u16,
    /// Elements received in it: records, facts, rejects and ignored ones.
    pub received: u64,
    /// Elements that carried nothing: null, "nan", "Online", an empty payload.
    pub ignored: u64,
    /// Readings and activities; `arrival.index` is left 0 for the ingest.
    pub records: Vec<Record>,
    /// Rows of fact tables, in the order they were said; those of one message are one fact.
    pub facts: Vec<Vec<FactChange>>,
    /// Elements that can never be taken in, each with its reason.
    pub rejects: Vec<RejectEntry>,
    /// To be given back to the source once everything above is safe.
    pub receipt: Receipt,
}

/// How far a source has been read with a batch. It goes back to the source that made it, whole.
#[derive(Debug)]
pub struct Receipt(pub(crate) Mark);

impl Receipt {
    /// A receipt of no source, for tests of what carries batches about; acknowledging it does nothing.
    #[must_use]
    pub fn none() -> Self {
        Self(Mark::None)
    }

    /// Where the source is read on once the batch is safe, a stream each. Nothing where the broker remembers.
    #[must_use]
    pub fn positions(&self) -> Vec<Position> {
        match &self.0 {
            Mark::None | Mark::Mqtt(_) => Vec::new(),
            Mark::Kafka(nexts) => nexts.iter().map(NextOffset::position).collect(),
            Mark::File(mark) => vec![mark.position()],
        }
    }
}

/// A position, as its kind of source tells it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Mark {
    /// Nothing to acknowledge.
    None,
    /// Publishes in the order of their receipt, by connection.
    Mqtt(Vec<Sheaf>),
    /// The next offset of each partition.
    Kafka(Vec<NextOffset>),
    /// The end of the last line that is in the batch.
    File(FileMark),
}

/// A place in a file.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) struct FileMark {
    /// Which file: its device and inode.
    pub(crate) file: (u64, u64),
    /// Lines before it.
    pub(crate) line: u64,
    /// Bytes before it.
    pub(crate) byte: u64,
    /// What the last of these bytes are, as a hash.
    pub(crate) tail: u64,
}

impl FileMark {
    /// What a file calls its only stream.
    pub(crate) const STREAM: &str = "file";

    fn position(self) -> Position {
        let Self { file: (device, inode), line, byte, tail } = self;
        let at = format!("{device} {inode} {line} {byte} {tail}");
        Position { stream: Self::STREAM.to_owned(), at }
    }

    /// The place that `positions` tell, if they do.
    pub(crate) fn among(positions: &[Position]) -> Option<Self> {
        let mut numbers = positions.first()?.at.split(' ').map(str::parse);
        let mut next = || numbers.next()?.ok();
        Some(Self { file: (next()?, next()?), line: next()?, byte: next()?, tail: next()? })
    }
}

/// Publishes of one connection.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Sheaf {
    /// Counts connections: packet ids mean nothing on another one.
    pub(crate) generation: u64,
    /// Packet ids, in the order of receipt.
    pub(crate) packets: Vec<u16>,
}

/// Where a partition is read on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct NextOffset {
    /// The topic.
    pub(crate) topic: Arc<str>,
    /// Its partition.
    pub(crate) partition: i32,
    /// The offset after the last one read.
    pub(crate) offset: i64,
}

impl NextOffset {
    fn stream(topic: &str, partition: i32) -> String {
        format!("{partition} {topic}")
    }

    fn position(&self) -> Position {
        let Self { topic, partition, offset } = self;
        Position { stream: Self::stream(topic, *partition), at: offset.to_string() }
    }

    /// The offset that `positions` tell of a partition, if they do.
    pub(crate) fn among(positions: &[Position], topic: &str, partition: i32) -> Option<i64> {
        let stream = Self::stream(topic, partition);
        positions.iter().find(|position| position.stream == stream)?.at.parse().ok()
    }
}
