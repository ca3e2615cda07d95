//! Where each partition is read on, in numbers, before anything is read.

use std::sync::Arc;
use std::time::Duration;

use rdkafka::consumer::Consumer;
use rdkafka::error::KafkaError;

use super::Client;
use crate::batch::NextOffset;
use crate::config::Start;
use crate::position::Position;

/// How long a broker may take for one answer.
const ANSWER_MAX: Duration = Duration::from_secs(5);

/// Why the positions are not known.
#[derive(Debug, thiserror::Error)]
pub(super) enum PositionError {
    #[error("cannot ask for {what}: {error}")]
    Unanswered { what: String, error: KafkaError },
    #[error("the topic `{topic}` cannot be read: {reason}")]
    Topic { topic: String, reason: String },
}

/// The partitions of `topic`.
pub(super) fn partitions(client: &Client, topic: &str) -> Result<Vec<i32>, PositionError> {
    let unanswered =
        |error| PositionError::Unanswered { what: format!("the topic `{topic}`"), error };
    let metadata = client.fetch_metadata(Some(topic), ANSWER_MAX).map_err(unanswered)?;
    let refused = |reason: String| PositionError::Topic { topic: topic.to_owned(), reason };
    let found = metadata.topics().iter().find(|found| found.name() == topic);
    let found = found.ok_or_else(|| refused("the broker does not know it".to_owned()))?;
    if let Some(error) = found.error() {
        return Err(refused(format!("{:?}", rdkafka::types::RDKafkaErrorCode::from(error))));
    }
    let mut partitions: Vec<i32> =
        found.partitions().iter().map(rdkafka::metadata::MetadataPartition::id).collect();
    if partitions.is_empty() {
        return Err(refused("it has no partition".to_owned()));
    }
    partitions.sort_unstable();
    Ok(partitions)
}

/// Where `partitions` are read on: where our own positions say, else at `start`.
pub(super) fn resolve(
    client: &Client,
    partitions: &[(Arc<str>, i32)],
    resume: &[Position],
    start: Start,
) -> Result<Vec<NextOffset>, PositionError> {
    partitions
        .iter()
        .map(|(topic, partition)| {
            let offset = match NextOffset::among(resume, topic, *partition) {
                Some(offset) => offset,
                None => first(client, topic, *partition, start)?,
            };
            Ok(NextOffset { topic: Arc::clone(topic), partition: *partition, offset })
        })
        .collect()
}

/// The offset of a partition's first message, or of its next one.
fn first(client: &Client, topic: &str, partition: i32, start: Start) -> Result<i64, PositionError> {
    let what = || format!("the ends of partition {partition} of `{topic}`");
    let unanswered = |error| PositionError::Unanswered { what: what(), error };
    let (low, high) = client.fetch_watermarks(topic, partition, ANSWER_MAX).map_err(unanswered)?;
    Ok(match start {
        Start::Earliest => low,
        Start::Latest => high,
    })
}
