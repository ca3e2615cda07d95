//! All kinds of sources there are: one variant of [`SourceConfig`], one arm of each match.

use std::sync::Arc;

use crate::config::SourceConfig;
use crate::position::Position;
use crate::source::{Context, Running, SourceError, SourceHandle, SourceStatus};
use crate::{file, kafka, mqtt};

/// Starts a source on the tokio runtime of the caller.
///
/// A broker that does not answer is no error: the source keeps trying, and its status says so.
///
/// # Errors
/// If what is configured can never work: a file that is not there, a property nobody knows.
///
/// # Panics
/// If called outside of a tokio runtime.
pub fn start(config: SourceConfig, context: Context) -> Result<SourceHandle, SourceError> {
    let status = Arc::new(SourceStatus::default());
    let name = context.name.clone();
    let running = match config {
        SourceConfig::Mqtt(config) => {
            Running::Mqtt(mqtt::start(config, context, Arc::clone(&status))?)
        }
        SourceConfig::Kafka(config) => {
            Running::Kafka(kafka::start(&config, context, Arc::clone(&status))?)
        }
        SourceConfig::File(config) => {
            Running::File(file::start(config, context, Arc::clone(&status))?)
        }
    };
    Ok(SourceHandle { name, status, running })
}

/// Whether a source of this configuration goes on from `position` if it is told to: it reads that topic, or that very
/// file.
#[must_use]
pub fn goes_on_from(config: &SourceConfig, position: &Position) -> bool {
    match config {
        SourceConfig::Mqtt(_) => false,
        SourceConfig::Kafka(config) => {
            let topic = position.stream.split_once(' ').map(|(_, topic)| topic);
            config.topics.iter().any(|read| Some(read.as_str()) == topic)
        }
        SourceConfig::File(config) => file::is_of(&config.path, position),
    }
}

/// Tries exactly the operations a source needs, and leaves no trace: the broker answers, its topics exist
/// and may be read, the file can be opened.
///
/// # Errors
/// The first operation that fails.
pub async fn probe(config: &SourceConfig) -> Result<(), SourceError> {
    match config {
        SourceConfig::Mqtt(config) => mqtt::probe(config).await,
        SourceConfig::Kafka(config) => kafka::probe(config).await,
        SourceConfig::File(config) => file::probe(config),
    }
}
