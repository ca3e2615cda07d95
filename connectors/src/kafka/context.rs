//! What librdkafka tells besides messages: errors, statistics, how commits went.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::ConsumerContext;
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::statistics::Statistics;
use rdkafka::TopicPartitionList;
use rdkafka::types::RDKafkaErrorCode;

use crate::source::{SourceStatus, lock};

/// Listens to one client.
pub(crate) struct Watch {
    status: Arc<SourceStatus>,
    source: String,
    /// The offset after the last message of each partition.
    ends: Mutex<BTreeMap<(String, i32), i64>>,
}

impl Watch {
    pub(super) fn new(status: Arc<SourceStatus>, source: String) -> Self {
        Self { status, source, ends: Mutex::default() }
    }

    /// The offset after the last message of a partition, as far as it is known.
    pub(super) fn end(&self, topic: &str, partition: i32) -> Option<i64> {
        let ends = lock(&self.ends);
        ends.iter().find(|((name, number), _)| name == topic && *number == partition).map(|(_, end)| *end)
    }
}

impl ClientContext for Watch {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        let source = &self.source;
        match level {
            RDKafkaLogLevel::Emerg
            | RDKafkaLogLevel::Alert
            | RDKafkaLogLevel::Critical
            | RDKafkaLogLevel::Error
            | RDKafkaLogLevel::Warning => tracing::warn!(source, facility, message),
            _ => tracing::debug!(source, facility, message),
        }
    }

    fn stats(&self, statistics: Statistics) {
        let mut ends = lock(&self.ends);
        for (name, topic) in statistics.topics {
            let known = topic.partitions.into_iter().filter(|(_, partition)| partition.hi_offset >= 0);
            ends.extend(known.map(|(number, partition)| ((name.clone(), number), partition.hi_offset)));
        }
    }

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!(source = self.source, %error, reason, "kafka");
        if error.rdkafka_error_code() == Some(RDKafkaErrorCode::AllBrokersDown) {
            self.status.down(format!("no broker answers: {reason}"));
        }
    }
}

impl ConsumerContext for Watch {
    fn commit_callback(&self, result: KafkaResult<()>, _offsets: &TopicPartitionList) {
        match result {
            // `NoOffset` says that there was nothing new to commit.
            Ok(()) | Err(KafkaError::ConsumerCommit(RDKafkaErrorCode::NoOffset)) => {}
            Err(error) => {
                tracing::warn!(source = self.source, %error, "offsets are not committed yet");
            }
        }
    }
}
