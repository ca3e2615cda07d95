//! What librdkafka tells besides messages: errors, statistics, how commits went.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use rdkafka::TopicPartitionList;
use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::ConsumerContext;
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::statistics::Statistics;
use rdkafka::types::RDKafkaErrorCode;

use crate::source::{SourceStatus, lock};

/// Listens to one client.
pub(crate) struct Watch {
    status: Arc<SourceStatus>,
    source: String,
    /// Whether the status says that no broker answers.
    is_down: AtomicBool,
    /// Whether a partition cannot be read until somebody decides: that stays in the status.
    is_stuck: AtomicBool,
    /// The offset after the last message of each partition.
    ends: Mutex<BTreeMap<(String, i32), i64>>,
}

impl Watch {
    pub(super) fn new(status: Arc<SourceStatus>, source: String) -> Self {
        Self {
            status,
            source,
            is_down: AtomicBool::new(false),
            is_stuck: AtomicBool::new(false),
            ends: Mutex::default(),
        }
    }

    /// No broker answers, for now: librdkafka goes on trying.
    pub(super) fn brokers_down(&self, reason: &str) {
        if !self.is_stuck.load(Ordering::Relaxed) {
            self.is_down.store(true, Ordering::Relaxed);
            self.status.down(format!("no broker answers: {reason}"));
        }
    }

    /// A broker answers.
    pub(super) fn brokers_up(&self) {
        if self.is_down.swap(false, Ordering::Relaxed) {
            self.status.up();
        }
    }

    /// Something that trying again cannot mend.
    pub(super) fn stuck(&self, problem: String) {
        if !self.is_stuck.swap(true, Ordering::Relaxed) {
            tracing::error!(source = self.source, problem);
        }
        self.is_down.store(false, Ordering::Relaxed);
        self.status.down(problem);
    }

    /// The offset after the last message of a partition, as far as it is known.
    pub(super) fn end(&self, topic: &str, partition: i32) -> Option<i64> {
        let ends = lock(&self.ends);
        ends.iter()
            .find(|((name, number), _)| name == topic && *number == partition)
            .map(|(_, end)| *end)
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
        if statistics.brokers.values().any(|broker| broker.nodeid >= 0 && broker.state == "UP") {
            self.brokers_up();
        }
        let mut ends = lock(&self.ends);
        for (name, topic) in statistics.topics {
            let known =
                topic.partitions.into_iter().filter(|(_, partition)| partition.hi_offset >= 0);
            ends.extend(
                known.map(|(number, partition)| ((name.clone(), number), partition.hi_offset)),
            );
        }
    }

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!(source = self.source, %error, reason, "kafka");
        if error.rdkafka_error_code() == Some(RDKafkaErrorCode::AllBrokersDown) {
            self.brokers_down(reason);
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
