//! What a source connects to, resolved: typed, defaulted, checked. Files are read and secrets replaced by
//! whoever builds these; nothing here knows how they were written down.
//!
//! A field's documentation is its manual.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use crate::decode::fact::Table;

/// Default of [`MqttSource::qos`].
pub const DEFAULT_QOS: u8 = 1;
/// Default of [`MqttSource::session_expiry_s`]: a week.
pub const DEFAULT_SESSION_EXPIRY_S: u32 = 7 * 24 * 3_600;
/// Default of [`MqttSource::receive_maximum`].
pub const DEFAULT_RECEIVE_MAXIMUM: u16 = 1_000;
/// Default of [`MqttSource::max_packet_bytes`], and the largest Kafka message or line of a file.
pub const DEFAULT_MAX_PACKET_BYTES: u32 = 1 << 20;
/// Default of [`KafkaSource::start`].
pub const DEFAULT_START: Start = Start::Earliest;
/// Default of `carries`.
pub const DEFAULT_CARRIES: Carries = Carries::Readings;
/// Default of [`FileSource::follow`].
pub const DEFAULT_FOLLOW: bool = false;

/// A value that no log, error, `Debug` output or file of ours may contain.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Hides `value`.
    #[must_use]
    pub fn new(value: impl Into<String>) -> Self {
        Self(value.into())
    }

    /// The value itself, for the one who connects with it.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// What a source connects to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SourceConfig {
    /// An MQTT broker.
    Mqtt(MqttSource),
    /// A Kafka cluster.
    Kafka(KafkaSource),
    /// A file.
    File(FileSource),
}

impl SourceConfig {
    /// What its messages are.
    #[must_use]
    pub fn carries(&self) -> Carries {
        match self {
            Self::Mqtt(_) => Carries::Readings,
            Self::Kafka(kafka) => kafka.carries,
            Self::File(file) => file.carries,
        }
    }
}

/// An MQTT 5 broker and what to subscribe to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MqttSource {
    /// As written, without user name and password; for messages.
    pub url: String,
    /// Host name or address.
    pub host: String,
    /// Port.
    pub port: u16,
    /// Whether the connection is encrypted.
    pub tls: bool,
    /// Topics, each with at most one `{meter}` (one level) or, at its end, `{meter...}` (all levels that
    /// are left). `+` and a last `#` match levels that say nothing.
    pub topics: Vec<String>,
    /// 0 or 1. With 0 the broker keeps nothing for us while we are away.
    pub qos: u8,
    /// Names the session at the broker. Two clients with one id throw each other out for ever.
    pub client_id: String,
    /// How long the broker keeps the session, and with it what was published, while we are away, seconds.
    pub session_expiry_s: u32,
    /// Messages the broker may have under way to us before we acknowledge, 1 to 65535. It bounds the
    /// memory this source takes, and its rate: at most this many messages a commit.
    pub receive_maximum: u16,
    /// Largest message accepted, bytes. A larger one becomes a reject; one more than sixteen times as
    /// large is not even sent by a broker that keeps to MQTT 5.
    pub max_packet_bytes: u32,
    /// User name.
    pub username: Option<Secret>,
    /// Password.
    pub password: Option<Secret>,
    /// PEM file of the authority to trust; the system's when left out.
    pub ca: Option<PathBuf>,
    /// PEM files of our certificate and its key; they need `ca`.
    pub client_certificate: Option<(PathBuf, PathBuf)>,
}

/// A Kafka cluster and what to read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KafkaSource {
    /// `host:port` each.
    pub brokers: Vec<String>,
    /// Topics by full name.
    pub topics: Vec<String>,
    /// What the messages are.
    pub carries: Carries,
    /// Where a partition without a stored position begins. A partition that appears later begins at its
    /// first message either way: all of it was written while we were reading.
    pub start: Start,
    /// Settings for librdkafka, applied over ours.
    pub properties: BTreeMap<String, Secret>,
}

/// A file of JSON lines, or of CSV where its name ends so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileSource {
    /// Where it is.
    pub path: PathBuf,
    /// Whether to keep reading as it grows. Without, the source ends with the file.
    pub follow: bool,
    /// What the lines are.
    pub carries: Carries,
}

/// What a source's messages are.
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Carries {
    /// Readings and activities.
    Readings,
    /// Rows of the meter table.
    Meters,
    /// Rows of the factor table.
    Factors,
    /// Rows of the node table.
    Nodes,
    /// Rows of `series`.
    Series,
    /// Rows of `contracts`.
    Contracts,
    /// Rows of `certificates`.
    Certificates,
    /// Rows of `prices`.
    Prices,
}

impl Carries {
    /// As it is written.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Readings => "readings",
            Self::Meters => "meters",
            Self::Factors => "factors",
            Self::Nodes => "nodes",
            Self::Series => "series",
            Self::Contracts => "contracts",
            Self::Certificates => "certificates",
            Self::Prices => "prices",
        }
    }

    /// What `name` says.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        let facts = [Self::Meters, Self::Factors, Self::Series, Self::Prices, Self::Nodes];
        let contracts = [Self::Contracts, Self::Certificates];
        let mut all = [Self::Readings].into_iter().chain(facts).chain(contracts);
        all.find(|carries| carries.name() == name)
    }

    /// The table its rows belong to; `None` for readings.
    #[must_use]
    pub fn table(self) -> Option<Table> {
        match self {
            Self::Readings => None,
            Self::Meters => Some(Table::Meters),
            Self::Factors => Some(Table::Factors),
            Self::Nodes => Some(Table::Nodes),
            Self::Series => Some(Table::Series),
            Self::Contracts => Some(Table::Contracts),
            Self::Certificates => Some(Table::Certificates),
            Self::Prices => Some(Table::Prices),
        }
    }
}

/// Where a partition without a stored position begins.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Start {
    /// At its first message.
    Earliest,
    /// At the next one.
    Latest,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_not_shown() {
        let properties = [("sasl.password".to_owned(), Secret::new("canary"))].into();
        let kafka = KafkaSource {
            brokers: vec!["127.0.0.1:9092".into()],
            topics: vec!["activities".into()],
            carries: DEFAULT_CARRIES,
            start: DEFAULT_START,
            properties,
        };
        let shown = format!("{:?}", SourceConfig::Kafka(kafka));
        assert!(shown.contains("sasl.password") && !shown.contains("canary"), "{shown}");
    }
}
