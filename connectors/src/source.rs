//! A running source, as the runtime sees it: a handle to acknowledge and stop, a status to look at.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::tz::TimeZone;
use plumeline_pipelines::model::Names;
use thiserror::Error;
use tokio::sync::mpsc::Sender;

use crate::batch::{Batch, Receipt};
use crate::mqtt::topic::TopicError;
use crate::position::Position;
use crate::{file, kafka, mqtt};

/// Longest a source takes to stop.
pub const STOP_MAX: Duration = Duration::from_secs(5);
/// Longest wait for a source's own task: the rest of [`STOP_MAX`] is for letting go of it.
pub(crate) const TASK_STOP_MAX: Duration = Duration::from_millis(4_500);

/// A clock: ms since the Unix epoch, UTC.
pub type Clock = Arc<dyn Fn() -> i64 + Send + Sync>;

/// What a source needs of the pipeline it runs in.
#[derive(Clone)]
pub struct Context {
    /// The pipeline's name.
    pub pipeline: String,
    /// The source's name.
    pub name: String,
    /// All names in use.
    pub names: Arc<Names>,
    /// The source's index in the pipeline file.
    pub index: u16,
    /// Where batches go. A full channel is the back-pressure.
    pub out: Sender<Batch>,
    /// Against it stamps are judged.
    pub clock: Clock,
    /// How far after the clock a stamp may lie, ms.
    pub max_ahead_ms: i64,
    /// What dates in facts mean.
    pub timezone: TimeZone,
    /// The grid of validity in facts, ms.
    pub period_ms: i64,
    /// Where the source is read on, as its receipts told ([`Receipt::positions`]); empty at its first start.
    pub resume: Vec<Position>,
}

impl fmt::Debug for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Context")
            .field("pipeline", &self.pipeline)
            .field("name", &self.name)
            .field("index", &self.index)
            .finish_non_exhaustive()
    }
}

/// How a source is doing: written by it, read by metrics and readiness.
#[derive(Debug, Default)]
pub struct SourceStatus {
    /// Whether it receives, or could: the broker answers, the file is open.
    pub connected: AtomicBool,
    /// When it last received a message, ms since the Unix epoch; 0 for never.
    pub last_message_ms: AtomicI64,
    /// Records that wait in each Kafka partition; partitions of equal number are added up.
    pub lag: Mutex<BTreeMap<i32, i64>>,
    /// Whether it has ended by itself: its last batch was sent, nothing will follow.
    pub ended: AtomicBool,
    /// Bytes of a file that were read.
    pub read_bytes: AtomicU64,
    /// How often the broker had forgotten the session, and with it what was published meanwhile.
    pub sessions_lost: AtomicU64,
    problem: Mutex<Option<String>>,
}

impl SourceStatus {
    /// What keeps it from receiving, in a sentence fragment; `None` while all is well.
    #[must_use]
    pub fn problem(&self) -> Option<String> {
        lock(&self.problem).clone()
    }

    /// The records that wait in each Kafka partition.
    #[must_use]
    pub fn lag(&self) -> BTreeMap<i32, i64> {
        lock(&self.lag).clone()
    }

    pub(crate) fn up(&self) {
        self.connected.store(true, Ordering::Relaxed);
        *lock(&self.problem) = None;
    }

    pub(crate) fn down(&self, problem: impl Into<String>) {
        self.connected.store(false, Ordering::Relaxed);
        *lock(&self.problem) = Some(problem.into());
    }

    pub(crate) fn heard(&self, now_ms: i64) {
        self.last_message_ms.store(now_ms, Ordering::Relaxed);
    }
}

/// A lock whose holder never leaves a half-made change behind: one that panicked changes nothing.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A running source.
#[derive(Debug)]
pub struct SourceHandle {
    /// Its name.
    pub name: String,
    /// How it is doing.
    pub status: Arc<SourceStatus>,
    pub(crate) running: Running,
}

/// What runs behind a handle.
#[derive(Debug)]
pub(crate) enum Running {
    Mqtt(mqtt::Running),
    Kafka(kafka::Running),
    File(file::Running),
}

impl SourceHandle {
    /// Says that everything in the receipt's batch is safe. Never blocks.
    ///
    /// # Constraints
    /// Receipts come back in the order of their batches: acknowledging one acknowledges, for Kafka, all
    /// before it, and MQTT asks for acks in the order of receipt.
    pub fn ack(&self, receipt: Receipt) {
        match &self.running {
            Running::Mqtt(running) => running.ack(receipt),
            Running::Kafka(running) => running.ack(receipt),
            Running::File(running) => running.ack(&receipt),
        }
    }

    /// Stops receiving and lets go of the broker, within [`STOP_MAX`]. Acks given before still go out;
    /// batches that nobody takes any more are dropped, unacknowledged, and come again at the next start.
    ///
    /// # Cancel safety
    /// Dropped half-way, the source still stops, but nobody waits for its acks.
    pub async fn stop(self) {
        match self.running {
            Running::Mqtt(running) => running.stop().await,
            Running::Kafka(running) => running.stop().await,
            Running::File(running) => running.stop().await,
        }
    }
}

/// Whether trying again can help.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Retry {
    /// It may: the other side may come back.
    Backoff,
    /// It cannot: the configuration has to change.
    Never,
}

/// Why a source cannot start, or would not receive.
#[derive(Debug, Error)]
pub enum SourceError {
    /// A file that it needs.
    #[error("cannot read `{}`", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system says.
        #[source]
        cause: std::io::Error,
    },
    /// A topic pattern.
    #[error("the topic \"{topic}\" cannot be subscribed to")]
    Topic {
        /// As written.
        topic: String,
        /// Why.
        #[source]
        cause: TopicError,
    },
    /// Settings that contradict each other.
    #[error("{0}")]
    Settings(String),
    /// A setting that librdkafka does not take. Its value may be a secret and is not shown.
    #[error("librdkafka refuses the property `{0}`")]
    Property(String),
    /// The broker does not answer, or not as it should.
    #[error("cannot reach {address}: {reason}")]
    Unreachable {
        /// Its address.
        address: String,
        /// What happened.
        reason: String,
    },
    /// The broker answers, and says no.
    #[error("{what} is refused: {reason}")]
    Refused {
        /// What was asked for.
        what: String,
        /// What it says.
        reason: String,
    },
    /// The system gives us no thread.
    #[error("cannot start a thread")]
    Thread(#[source] std::io::Error),
}

impl SourceError {
    /// Whether trying again can help.
    #[must_use]
    pub fn retry(&self) -> Retry {
        match self {
            Self::Unreachable { .. } | Self::Thread(_) => Retry::Backoff,
            Self::Unreadable { .. }
            | Self::Topic { .. }
            | Self::Settings(_)
            | Self::Property(_)
            | Self::Refused { .. } => Retry::Never,
        }
    }
}
