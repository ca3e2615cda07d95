//! The servers inside the process: an MQTT 5 broker and a Kafka cluster, on free ports of the loopback.
//!
//! Both live in memory, know no restart and end with the process: right for a demo, wrong for tests of
//! durability, which run against Mosquitto and Apache Kafka.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::thread;
use std::time::Duration;

use rdkafka::mocking::MockCluster;
use rdkafka::producer::DefaultProducerContext;
use rumqttd::{Broker, Config, ConnectionSettings, RouterConfig, ServerSettings};

use super::error::DemoError;

/// Topics and their partitions.
const TOPICS: [(&str, i32); 2] = [("activities", 2), ("factors", 1)];
/// Largest MQTT payload, bytes: a gateway's backlog after hours of silence is one message.
const PAYLOAD_BYTES_MAX: usize = 1 << 20;
/// Publishes under way to one client.
const INFLIGHT_MAX: usize = 1000;
/// The broker keeps what subscribers have not read yet: so many segments of so many bytes a topic filter.
const SEGMENT_BYTES: usize = 8 << 20;
const SEGMENTS: usize = 8;
/// Clients: the pipeline, the gateways, and a curious user's.
const CONNECTIONS_MAX: usize = 64;
/// How often, and how far apart, the broker's port is tried until it answers.
const TRIES: u32 = 200;
const TRY_EVERY: Duration = Duration::from_millis(25);

/// The servers.
pub(super) struct Servers {
    mqtt: SocketAddr,
    kafka: MockCluster<'static, DefaultProducerContext>,
}

impl Servers {
    /// Starts both and waits until they answer.
    pub(super) fn start() -> Result<Self, DemoError> {
        let kafka = MockCluster::new(1)?;
        for (topic, partitions) in TOPICS {
            kafka.create_topic(topic, partitions, 1)?;
        }
        Ok(Self { mqtt: start_broker()?, kafka })
    }

    /// Address of the MQTT broker.
    pub(super) fn mqtt(&self) -> SocketAddr {
        self.mqtt
    }

    /// Address of the Kafka cluster.
    pub(super) fn kafka(&self) -> String {
        self.kafka.bootstrap_servers()
    }
}

fn start_broker() -> Result<SocketAddr, DemoError> {
    let address = free_address()?;
    let mut broker = Broker::new(broker_config(address));
    // The broker has no way to be stopped: its thread ends with the process.
    thread::Builder::new().name("demo-mqtt".to_owned()).spawn(move || {
        if let Err(error) = broker.start() {
            tracing::error!(%error, "the embedded MQTT broker ended");
        }
    })?;
    for _ in 0..TRIES {
        if TcpStream::connect(address).is_ok() {
            return Ok(address);
        }
        thread::sleep(TRY_EVERY);
    }
    Err(DemoError::Broker { address: address.to_string() })
}

fn broker_config(address: SocketAddr) -> Config {
    let connections = ConnectionSettings {
        connection_timeout_ms: 10_000,
        max_payload_size: PAYLOAD_BYTES_MAX,
        max_inflight_count: INFLIGHT_MAX,
        auth: None,
        external_auth: None,
        dynamic_filters: false,
    };
    let listener = ServerSettings {
        name: "demo".to_owned(),
        listen: address,
        tls: None,
        next_connection_delay_ms: 1,
        connections,
    };
    Config {
        router: RouterConfig {
            max_connections: CONNECTIONS_MAX,
            max_outgoing_packet_count: 200,
            max_segment_size: SEGMENT_BYTES,
            max_segment_count: SEGMENTS,
            ..RouterConfig::default()
        },
        v5: Some([(listener.name.clone(), listener)].into_iter().collect()),
        ..Config::default()
    }
}

/// An address of the loopback nobody listens on.
pub(super) fn free_address() -> io::Result<SocketAddr> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()
}
