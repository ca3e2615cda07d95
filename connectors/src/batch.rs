//! What a source hands over, and what it gets back once that is safe.

use std::sync::Arc;

use plumeline_pipelines::model::{Record, RejectEntry};

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
    /// Readings and activities; `arrival.index` is left 0 for the sequencer.
    pub records: Vec<Record>,
    /// Rows of fact tables, in the order they were said.
    pub facts: Vec<FactChange>,
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

    /// Messages that a broker counts until they are acknowledged, and may wait for.
    #[must_use]
    pub fn owes(&self) -> usize {
        match &self.0 {
            Mark::Mqtt(sheaves) => sheaves.iter().map(|sheaf| sheaf.packets.len()).sum(),
            Mark::None | Mark::Kafka(_) | Mark::File { .. } => 0,
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
    /// The last line that is in the batch.
    File {
        /// Lines from the start of the file.
        line: u64,
        /// Bytes from the start of the file.
        byte: u64,
    },
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
