//! Why a demo cannot be had.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use thiserror::Error;

use super::LENGTH_MIN;

/// Why a demo cannot be had.
#[derive(Debug, Error)]
pub enum DemoError {
    /// `--for` is too short for the story.
    #[error("--for {} s is too short: a demo takes at least {} s", .asked.as_secs(), LENGTH_MIN.as_secs())]
    TooShort {
        /// What was asked for.
        asked: Duration,
    },
    /// `--for` was given with a story that takes as long as it takes.
    #[error("--for belongs to --story plant: the story `group` takes some seconds; leave it out")]
    NoLength,
    /// The folder holds something that is not a demo's.
    #[error("{} is not empty and not of a demo; choose another with --dir", .0.display())]
    ForeignFolder(PathBuf),
    /// A file could not be written or read.
    #[error("cannot write {}", .path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The terminal, a port or a thread could not be had.
    #[error("the system refused")]
    System(#[from] io::Error),
    /// The MQTT broker in the process did not come up.
    #[error("the embedded MQTT broker does not answer on {address}")]
    Broker {
        /// Where it should.
        address: String,
    },
    /// The MQTT client of the simulated gateways is gone.
    #[error("the simulated gateways lost their connection for good")]
    Gateways(#[source] Box<rumqttc::ClientError>),
    /// The Kafka cluster in the process, or its client.
    #[error("the embedded Kafka cluster failed")]
    Kafka(#[from] rdkafka::error::KafkaError),
    /// Published factors that are not in the program's sets.
    #[error("{0}")]
    Factors(String),
    /// The report could not be locked or read.
    #[error("the report cannot be had")]
    Report(#[from] crate::report::ReportError),
    /// A number could not be explained.
    #[error("the number cannot be explained")]
    Explain(#[from] crate::explain::ExplainError),
    /// The ledger cannot be read.
    #[error("the ledger cannot be read")]
    Lake(#[from] plumeline_sinks::delta::LakeError),
    /// The pipeline did not start or did not end well.
    #[error("the pipeline failed: {0}")]
    Pipeline(String),
    /// The ledger is not what the batch reference computes.
    #[error("the ledger is not what its readings lead to: {0}")]
    Unproven(String),
}
