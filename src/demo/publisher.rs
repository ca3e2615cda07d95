//! Sends messages the way gateways, business systems and people do: MQTT, Kafka, an edited file.

use std::fs::File;
use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use plumeline_fixtures::fleet::{Channel, Message};
use rdkafka::ClientConfig;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::{BaseRecord, DefaultProducerContext, Producer, ThreadedProducer};
use rumqttc::mqttbytes::QoS;
use rumqttc::{Client, Connection, MqttOptions, PublishOptions};

use super::error::DemoError;
use super::folder::Folder;
use super::servers::Servers;

/// Publishes handed to the client that it has not sent yet; then [`Publisher::send`] waits.
const REQUESTS_MAX: usize = 1_000;
/// Publishes the broker has not acknowledged yet.
const INFLIGHT_MAX: u16 = 1_000;
/// After a lost connection.
const RECONNECT_AFTER: Duration = Duration::from_millis(200);
/// How long what was handed over may take to be sent at the end.
const FLUSH_LIMIT: Duration = Duration::from_secs(5);
/// Waiting for room in the Kafka client's queue.
const FULL_WAIT: Duration = Duration::from_millis(5);

/// Sends messages.
pub(super) struct Publisher {
    gateways: Client,
    systems: ThreadedProducer<DefaultProducerContext, rdkafka::producer::NoCustomPartitioner>,
    folder: PathBuf,
    ended: Arc<AtomicBool>,
}

impl Publisher {
    /// Connects to the servers of a demo.
    pub(super) fn connect(servers: &Servers, folder: &Folder) -> Result<Self, DemoError> {
        let address = servers.mqtt();
        let mut options =
            MqttOptions::new("demo-gateways", (address.ip().to_string(), address.port()));
        options.set_outgoing_inflight_upper_limit(INFLIGHT_MAX);
        let (gateways, connection) = Client::builder(options).capacity(REQUESTS_MAX).build();
        let ended = Arc::new(AtomicBool::new(false));
        let ended_too = Arc::clone(&ended);
        thread::Builder::new()
            .name("demo-gateways".to_owned())
            .spawn(move || keep_connected(connection, &ended_too))?;
        let systems = ClientConfig::new()
            .set("bootstrap.servers", servers.kafka())
            .set("compression.codec", "zstd")
            .set("linger.ms", "5")
            .create()?;
        Ok(Self { gateways, systems, folder: folder.path().to_owned(), ended })
    }

    /// Sends one message; waits while queues are full.
    pub(super) fn send(&self, message: &Message) -> Result<(), DemoError> {
        match &message.channel {
            Channel::Mqtt { topic } => self
                .gateways
                .publish(
                    topic.as_str(),
                    message.payload.clone(),
                    PublishOptions::new(QoS::AtLeastOnce),
                )
                .map_err(|error| DemoError::Gateways(Box::new(error))),
            Channel::Kafka { topic, key, partition } => {
                self.produce(topic, key, *partition, &message.payload)
            }
            Channel::Table { file } => {
                let path = self.folder.join(file);
                File::options()
                    .append(true)
                    .open(&path)
                    .and_then(|mut table| table.write_all(&message.payload))
                    .map_err(|source| DemoError::File { path, source })
            }
        }
    }

    fn produce(
        &self,
        topic: &str,
        key: &str,
        partition: i32,
        payload: &[u8],
    ) -> Result<(), DemoError> {
        let mut record = BaseRecord::to(topic).key(key).payload(payload).partition(partition);
        loop {
            match self.systems.send(record) {
                Ok(()) => return Ok(()),
                Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), unsent)) => {
                    record = unsent;
                    thread::sleep(FULL_WAIT);
                }
                Err((error, _)) => return Err(error.into()),
            }
        }
    }
}

impl Drop for Publisher {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Release);
        if self.gateways.disconnect().is_err() || self.systems.flush(FLUSH_LIMIT).is_err() {
            tracing::debug!("the demo ended before everything was sent");
        }
    }
}

/// Drives the client's connection until the publisher is gone.
fn keep_connected(mut connection: Connection, ended: &AtomicBool) {
    for event in connection.iter() {
        if let Err(error) = event {
            if ended.load(Ordering::Acquire) {
                return;
            }
            tracing::debug!(%error, "the simulated gateways reconnect");
            thread::sleep(RECONNECT_AFTER);
        }
    }
}
