//! Does what a source does, in small: metadata, stored offsets, and a fetch from each topic.

use std::sync::Arc;
use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::types::RDKafkaErrorCode;
use rdkafka::{Offset, TopicPartitionList};

use super::context::Watch;
use super::positions::{PositionError, partitions, resolve};
use super::{Client, created, settings};
use crate::config::{KafkaSource, Start};
use crate::source::{SourceError, SourceStatus};
use crate::task::monotonic;

/// How long the fetches may take.
const FETCH_MAX: Duration = Duration::from_secs(10);
/// A group of its own: its offsets are asked for, never stored.
const GROUP: &str = "plumeline-check";

/// See [`crate::registry::probe`].
pub(crate) async fn probe(config: &KafkaSource) -> Result<(), SourceError> {
    let config = config.clone();
    let asked = tokio::task::spawn_blocking(move || probe_blocking(&config)).await;
    asked.unwrap_or_else(|error| Err(SourceError::Settings(format!("the check failed: {error}"))))
}

fn probe_blocking(config: &KafkaSource) -> Result<(), SourceError> {
    let watch = Watch::new(Arc::new(SourceStatus::default()), "check".to_owned());
    let mut settings = settings(config, GROUP);
    settings.set("enable.partition.eof", "true");
    let client: Client = created(settings.create_with_context(watch))?;
    let address = || config.brokers.join(",");
    let refusal = |error: PositionError| match error {
        PositionError::Unanswered { .. } => {
            SourceError::Unreachable { address: address(), reason: error.to_string() }
        }
        PositionError::Topic { topic, reason } => refused(&topic, reason),
    };
    let mut assigned = TopicPartitionList::new();
    for topic in &config.topics {
        let partitions = partitions(&client, topic).map_err(refusal)?;
        let first = (Arc::from(topic.as_str()), partitions[0]);
        resolve(&client, &[first], &[], Start::Latest).map_err(refusal)?;
        let added = assigned.add_partition_offset(topic, partitions[0], Offset::End);
        added.map_err(|error| refused(topic, error.to_string()))?;
    }
    let unreachable = |error: KafkaError| SourceError::Unreachable {
        address: address(),
        reason: error.to_string(),
    };
    client.assign(&assigned).map_err(unreachable)?;
    fetch(&client, config)
}

/// Reads to the end of one partition of each topic, which is where it begins.
fn fetch(client: &BaseConsumer<Watch>, config: &KafkaSource) -> Result<(), SourceError> {
    let begin = monotonic();
    let mut ends = 0;
    while ends < config.topics.len() {
        match client.poll(Duration::from_millis(100)) {
            None | Some(Ok(_)) => {}
            Some(Err(KafkaError::PartitionEOF(_))) => ends += 1,
            Some(Err(error)) => {
                let code = error.rdkafka_error_code();
                let denied = Some(RDKafkaErrorCode::TopicAuthorizationFailed);
                if code == denied || matches!(error, KafkaError::MessageConsumptionFatal(_)) {
                    return Err(refused(&config.topics.join("`, `"), error.to_string()));
                }
            }
        }
        if begin.elapsed() > FETCH_MAX {
            let reason = format!("no end of a topic within {} s", FETCH_MAX.as_secs());
            return Err(SourceError::Unreachable { address: config.brokers.join(","), reason });
        }
    }
    Ok(())
}

fn refused(topic: &str, reason: String) -> SourceError {
    SourceError::Refused { what: format!("reading the topic `{topic}`"), reason }
}
