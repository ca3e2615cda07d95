//! Kafka: partitions assigned by hand, positions committed when what they brought is safe.
//!
//! ```text
//!            ┌─────────────────── one thread ───────────────────┐
//!  broker ──►│ positions ─► assign ─► poll ─► decode ─► Batch   │─► out (waits where it is full)
//!     ▲      │     ▲ every 30 s: new partitions                 │
//!     │      └─────┼────────────────────────────────────────────┘
//!     └────────────┴── group offsets ◄── commit, asynchronous ◄── SourceHandle::ack
//! ```
//!
//! 1. **Positions** are resolved to numbers before anything is read: our own, else `start`; and handed over
//!    at once, to be remembered. Left to the library, "latest" would be resolved anew at each retry and
//!    could skip messages.
//! 2. **Assign by hand.** A group that rebalances would hand a partition to another instance in the middle
//!    of a commit. The group `plumeline-<pipeline>-<source>` only names offsets for dashboards of lag.
//! 3. **New partitions** are looked for every [`REFRESH`] and begin at their first message, whatever
//!    `start` says: all of it was written while we were reading.
//! 4. **Back-pressure**: the thread waits for room in the channel; librdkafka stops fetching where its own
//!    queue (64 MiB) is full.
//! 5. **Ack** commits the next offsets of a receipt to the group, asynchronously; the last ones once more,
//!    synchronously, at the end. They inform; a restart goes on at the positions it is given.
//! 6. **A stored position that the broker has dropped** is an error that stays until somebody decides
//!    (`auto.offset.reset=error`): jumping would lose a stretch without anybody knowing.
//!
//! Offsets have gaps (compaction, transactions), so they are only ever compared. Errors that may pass are
//! retried by librdkafka for ever; they show in the status and nowhere else.

mod context;
mod positions;
mod probe;
mod reader;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::{ClientConfig, Offset, TopicPartitionList};
use tokio::sync::{oneshot, watch};

use self::context::Watch;
use self::reader::Reader;
use crate::batch::{Mark, NextOffset, Receipt};
use crate::config::KafkaSource;
use crate::source::{Context, SourceError, SourceStatus, TASK_STOP_MAX, lock};
use crate::task::stop_sign;

pub(crate) use probe::probe;

/// How often new partitions are looked for.
pub(crate) const REFRESH: Duration = Duration::from_secs(30);
/// How often librdkafka tells how far partitions reach, ms.
const STATISTICS_MS: &str = "1000";

/// The client, as all parts of the source use it.
type Client = BaseConsumer<Watch>;

/// The last acknowledged offset of each partition.
type Acked = BTreeMap<(Arc<str>, i32), i64>;

/// A running Kafka source.
#[derive(Debug)]
pub(crate) struct Running {
    client: Arc<Shared>,
    stop: watch::Sender<bool>,
    ended: oneshot::Receiver<()>,
}

/// What the thread and the handle share.
pub(crate) struct Shared {
    client: Client,
    acked: Mutex<Acked>,
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared").field("acked", &self.acked).finish_non_exhaustive()
    }
}

/// Starts the thread.
pub(crate) fn start(
    config: &KafkaSource,
    context: Context,
    status: Arc<SourceStatus>,
) -> Result<Running, SourceError> {
    let group = format!("plumeline-{}-{}", context.pipeline, context.name);
    let watch = Watch::new(Arc::clone(&status), context.name.clone());
    let client: Client = created(settings(config, &group).create_with_context(watch))?;
    let client = Arc::new(Shared { client, acked: Mutex::default() });
    let (stop, stopped) = stop_sign();
    let (end, ended) = oneshot::channel::<()>();
    status.down("not connected yet");
    let name = format!("kafka {}", context.name);
    let reader = Reader::new(config, context, Arc::clone(&client), (status, stopped));
    let work = move || {
        reader.run();
        // Whoever waits is told, or is gone.
        drop(end);
    };
    std::thread::Builder::new().name(name).spawn(work).map_err(SourceError::Thread)?;
    Ok(Running { client, stop, ended })
}

impl Running {
    pub(crate) fn ack(&self, receipt: Receipt) {
        let Mark::Kafka(offsets) = receipt.0 else {
            return;
        };
        self.client.commit(offsets);
    }

    pub(crate) async fn stop(self) {
        let Self { client, stop, ended } = self;
        // The thread is the last to hold the client: letting go of it may wait for the broker.
        drop(client);
        stop.send_replace(true);
        if tokio::time::timeout(TASK_STOP_MAX, ended).await.is_err() {
            tracing::warn!("Kafka does not answer: its thread is left to end by itself");
        }
    }
}

impl Shared {
    /// Commits `offsets` without waiting; how that went is told to [`Watch`].
    fn commit(&self, offsets: Vec<NextOffset>) {
        let list = list(offsets.iter().map(|next| (&*next.topic, next.partition, next.offset)));
        let mut acked = lock(&self.acked);
        for NextOffset { topic, partition, offset } in offsets {
            acked.insert((topic, partition), offset);
        }
        drop(acked);
        if list.count() > 0
            && let Err(error) = self.client.commit(&list, CommitMode::Async)
        {
            tracing::warn!(%error, "cannot commit offsets: they are committed with the next ones");
        }
    }

    /// Commits all acknowledged offsets once more, and waits for the answer.
    fn commit_at_last(&self) {
        let acked = lock(&self.acked).clone();
        let list =
            list(acked.iter().map(|((topic, partition), offset)| (&**topic, *partition, *offset)));
        if list.count() > 0
            && let Err(error) = self.client.commit(&list, CommitMode::Sync)
        {
            tracing::warn!(%error, "cannot commit the last offsets: messages will come again");
        }
    }
}

/// Partitions with their offsets.
fn list<'o>(offsets: impl Iterator<Item = (&'o str, i32, i64)>) -> TopicPartitionList {
    let mut list = TopicPartitionList::new();
    for (topic, partition, offset) in offsets {
        let added = list.add_partition_offset(topic, partition, Offset::Offset(offset));
        added.expect("an offset that was read is a valid offset");
    }
    list
}

/// The settings of a client: ours, with those of the pipeline file over them.
fn settings(config: &KafkaSource, group: &str) -> ClientConfig {
    let mut settings = ClientConfig::new();
    settings
        .set("bootstrap.servers", config.brokers.join(","))
        .set("group.id", group)
        .set("client.id", "plumeline")
        .set("enable.auto.commit", "false")
        .set("enable.auto.offset.store", "false")
        .set("auto.offset.reset", "error")
        .set("allow.auto.create.topics", "false")
        .set("check.crcs", "true")
        .set("statistics.interval.ms", STATISTICS_MS);
    for (key, value) in &config.properties {
        settings.set(key, value.expose());
    }
    settings
}

/// The client, or the name of the property at fault: its value may be a secret.
fn created<C>(client: Result<C, KafkaError>) -> Result<C, SourceError> {
    client.map_err(|error| match error {
        KafkaError::ClientConfig(_, _, key, _) => SourceError::Property(key),
        other => SourceError::Settings(format!("librdkafka refuses its settings: {other}")),
    })
}

#[cfg(test)]
mod tests;
