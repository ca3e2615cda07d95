//! `[[source]]`: what a source connects to, and what would make it fail later.

use std::collections::BTreeMap;

use plumeline_connectors::config::{Carries, FileSource, KafkaSource, MqttSource, Secret, Start};
use plumeline_connectors::{SourceConfig, TopicError, TopicPattern};
use url::Url;

use super::problem::Severity;
use super::raw::{Raw, Section};
use super::resolve::Resolver;
use super::resolved::SourceEntry;
use super::value::Item;

/// Properties of librdkafka that are ours, and the reason or the key to use.
const OURS: [(&str, &str); 8] = [
    ("bootstrap.servers", "use the key `brokers`"),
    ("metadata.broker.list", "use the key `brokers`"),
    (
        "auto.offset.reset",
        "use the key `start`; a position that the broker has dropped is an error, never a jump",
    ),
    ("enable.auto.commit", "positions are acknowledged when what they brought is committed"),
    ("enable.auto.offset.store", "positions are acknowledged when what they brought is committed"),
    ("enable.partition.eof", "it is set to know when a topic has been read to its end"),
    ("isolation.level", "aborted transactions are never read"),
    ("partition.assignment.strategy", "partitions are assigned by hand, without a consumer group"),
];

/// Longest name of a Kafka topic.
const TOPIC_LENGTH_MAX: usize = 249;

impl Resolver<'_> {
    /// All sources, in the order of the file.
    pub(super) fn sources(&mut self, raw: &Raw, pipeline: Option<&str>) -> Vec<SourceEntry> {
        if raw.sources_written == 0 {
            let remedy = "add one: [[source]], name = \"plant\", type = \"mqtt\", ...".to_owned();
            let message = "there is none".to_owned();
            self.report(Severity::Error, "[[source]]".into(), 1, (message, remedy));
        }
        let mut first_lines: BTreeMap<String, usize> = BTreeMap::new();
        let mut sources: Vec<SourceEntry> = Vec::new();
        for section in &raw.sources {
            let name = section.text("name");
            if let Some(name) = &name {
                let line = section.line_of("name");
                if let Some(first) = first_lines.get(name) {
                    let message =
                        format!("`{name}` is also the name of the source in line {first}");
                    self.error(section, "name", message, "give each source a name of its own");
                } else {
                    first_lines.insert(name.clone(), line);
                }
            }
            let id = section.text("id");
            let key = id.as_deref().or(name.as_deref());
            if let Some(key) = key
                && let Some(other) = sources.iter().find(|other| other.key() == key)
                && Some(&other.name) != name.as_ref()
            {
                let message = format!("`{key}` is also what source \"{}\" is known by", other.name);
                self.error(section, "id", message, "give each source an id of its own");
            }
            let config = self.source(section, pipeline.unwrap_or_default(), key);
            if let (Some(name), Some(config)) = (name, config) {
                self.same_session(section, &config, &sources);
                sources.push(SourceEntry { name, id, line: section.line, config });
            }
        }
        sources
    }

    /// Two clients with one id throw each other out, for ever.
    fn same_session(&mut self, section: &Section, config: &SourceConfig, others: &[SourceEntry]) {
        let SourceConfig::Mqtt(mqtt) = config else {
            return;
        };
        let session = |mqtt: &MqttSource| (mqtt.host.clone(), mqtt.port, mqtt.client_id.clone());
        let is_same = |other: &&SourceEntry| match &other.config {
            SourceConfig::Mqtt(other) => session(other) == session(mqtt),
            _ => false,
        };
        if let Some(other) = others.iter().find(is_same) {
            let message = format!("is also that of source \"{}\" at the same broker", other.name);
            self.error(section, "client_id", message, "give each source a client id of its own");
        }
    }

    fn source(
        &mut self,
        section: &Section,
        pipeline: &str,
        key: Option<&str>,
    ) -> Option<SourceConfig> {
        match section.keys.kind {
            Some("mqtt") => {
                let client_id = format!("plumeline-{pipeline}-{}", key.unwrap_or_default());
                self.mqtt(section, client_id).map(SourceConfig::Mqtt)
            }
            Some("kafka") => self.kafka(section).map(SourceConfig::Kafka),
            _ => Some(SourceConfig::File(FileSource {
                path: self.path(section, "path")?,
                follow: section.flag("follow")?,
                carries: carries(section)?,
            })),
        }
    }

    fn mqtt(&mut self, section: &Section, client_id: String) -> Option<MqttSource> {
        let broker = self.broker(section);
        let topics = section.texts("topics").map(|topics| self.mqtt_topics(section, topics));
        let username = self.own_secret(section, "username", false);
        let password = self.own_secret(section, "password", true);
        let [ca, cert, key] = ["ca", "cert", "key"].map(|file| self.path(section, file));
        if let Some(broker) = &broker {
            let is_exposed = !broker.tls && !is_loopback(&broker.host);
            if is_exposed && password.is_some() && section.flag("allow_insecure") == Some(false) {
                let message = "would cross the network in the clear";
                let remedy =
                    "use mqtts://, or write allow_insecure = true if the network is private";
                self.error(section, "password", message, remedy);
            }
            for file in ["ca", "cert", "key"] {
                if !broker.tls && section.has(file) {
                    let message = "has no effect without TLS";
                    self.error(section, file, message, "write mqtts:// in url, or remove it");
                }
            }
        }
        for (one, other) in [("cert", "key"), ("key", "cert")] {
            if section.has(one) && !section.has(other) {
                let message = format!("stands without `{other}`");
                self.error(section, one, message, format!("add `{other}`: they go together"));
            }
        }
        if section.has("cert") && !section.has("ca") {
            let message = "stands without `ca`";
            self.error(section, "cert", message, "add `ca`: the authority to trust with it");
        }
        if section.whole("qos") == Some(2) {
            let message = "2 is refused: its state is lost when a connection breaks";
            self.error(section, "qos", message, "write 1: duplicates are recognised anyway");
        }
        let session_expiry_ms = section.millis("session_expiry");
        if let Some(ms) = session_expiry_ms.filter(|ms| ms % 1_000 != 0) {
            let message = format!("{ms}ms is not a whole number of seconds");
            self.error(section, "session_expiry", message, "write whole seconds");
        }
        let broker = broker?;
        Some(MqttSource {
            url: broker.url,
            host: broker.host,
            port: broker.port,
            tls: broker.tls,
            topics: topics?,
            qos: u8::try_from(section.whole("qos")?).ok()?,
            client_id: section.text("client_id").unwrap_or(client_id),
            session_expiry_s: u32::try_from(session_expiry_ms? / 1_000).ok()?,
            receive_maximum: u16::try_from(section.whole("receive_maximum")?).ok()?,
            max_packet_bytes: u32::try_from(section.whole("max_packet")?).ok()?,
            username,
            password,
            ca,
            client_certificate: cert.zip(key),
        })
    }

    fn own_secret(
        &mut self,
        section: &Section,
        key: &'static str,
        is_sensitive: bool,
    ) -> Option<Secret> {
        let text = section.text(key)?;
        self.secret(section, key, (&text, section.line_of(key)), is_sensitive)
    }

    fn broker(&mut self, section: &Section) -> Option<Broker> {
        let text = section.text("url")?;
        let example = "write mqtt://host:1883, or mqtts://host:8883 for TLS";
        let url = match Url::parse(&text) {
            Ok(url) if !url.username().is_empty() || url.password().is_some() => {
                let remedy = "move them to the keys `username` and `password`";
                self.error(section, "url", "holds a user name or password", remedy);
                return None;
            }
            Ok(url) => url,
            Err(_) => {
                self.error(section, "url", format!("`{}` is no URL", without_user(&text)), example);
                return None;
            }
        };
        let tls = match url.scheme() {
            "mqtt" => false,
            "mqtts" => true,
            other => {
                self.error(section, "url", format!("`{other}://` is not spoken"), example);
                return None;
            }
        };
        if !matches!(url.path(), "" | "/") || url.query().is_some() || url.fragment().is_some() {
            let message = format!("`{text}` has more than a host and a port");
            self.error(section, "url", message, example);
            return None;
        }
        let Some(host) = url.host_str().filter(|host| !host.is_empty()) else {
            self.error(section, "url", format!("`{text}` has no host"), example);
            return None;
        };
        let host = host.trim_matches(['[', ']']).to_owned();
        let port = url.port().unwrap_or(if tls { 8883 } else { 1883 });
        Some(Broker { url: text, host, port, tls })
    }

    fn mqtt_topics(&mut self, section: &Section, topics: Vec<Item>) -> Vec<String> {
        if topics.is_empty() {
            self.error(section, "topics", "is empty", "write topics = [\"meters/{meter}\"]");
        }
        for (topic, line) in &topics {
            if let Err(error) = TopicPattern::parse(topic) {
                let problem = (format!("\"{topic}\": {error}"), topic_remedy(error).to_owned());
                self.report(Severity::Error, section.place("topics"), *line, problem);
            }
        }
        self.no_doubles(section, "topics", &topics);
        topics.into_iter().map(|(topic, _)| topic).collect()
    }

    fn no_doubles(&mut self, section: &Section, key: &str, items: &[Item]) {
        for (index, (item, line)) in items.iter().enumerate() {
            if items[..index].iter().any(|(other, _)| other == item) {
                let problem = (format!("\"{item}\" is there twice"), "keep it once".to_owned());
                self.report(Severity::Error, section.place(key), *line, problem);
            }
        }
    }

    fn kafka(&mut self, section: &Section) -> Option<KafkaSource> {
        let brokers = section.texts("brokers").map(|brokers| self.kafka_brokers(section, brokers));
        let topics = section.texts("topics").map(|topics| self.kafka_topics(section, topics));
        let properties = self.kafka_properties(section, brokers.as_deref().unwrap_or_default());
        let carries = carries(section);
        let start = match section.text("start")?.as_str() {
            "latest" => Start::Latest,
            _ => Start::Earliest,
        };
        if let Some(facts) = carries.filter(|carries| *carries != Carries::Readings)
            && start == Start::Latest
        {
            let message = format!("\"latest\" would miss the {} already published", facts.name());
            self.error(section, "start", message, "write \"earliest\", or remove the key");
        }
        let (brokers, topics, carries) = (brokers?, topics?, carries?);
        Some(KafkaSource { brokers, topics, carries, start, properties: properties? })
    }

    fn kafka_brokers(&mut self, section: &Section, brokers: Vec<Item>) -> Vec<String> {
        if brokers.is_empty() {
            self.error(section, "brokers", "is empty", "write brokers = [\"127.0.0.1:9092\"]");
        }
        for (broker, line) in &brokers {
            let is_good = broker.rsplit_once(':').is_some_and(|(host, port)| {
                !host.is_empty() && !host.contains('/') && port.parse::<u16>().is_ok_and(|p| p > 0)
            });
            if !is_good {
                let remedy = format!("write \"{}:9092\"", host_of(broker));
                let problem = (format!("\"{broker}\" is not host:port"), remedy);
                self.report(Severity::Error, section.place("brokers"), *line, problem);
            }
        }
        brokers.into_iter().map(|(broker, _)| broker).collect()
    }

    fn kafka_topics(&mut self, section: &Section, topics: Vec<Item>) -> Vec<String> {
        if topics.is_empty() {
            self.error(section, "topics", "is empty", "write topics = [\"activities\"]");
        }
        for (topic, line) in &topics {
            let is_good = |c: char| c.is_ascii_alphanumeric() || ".-_".contains(c);
            if !topic.chars().all(is_good) || topic.len() > TOPIC_LENGTH_MAX {
                let remedy = "write the full name of each topic: letters, digits, `.`, `-` and `_`";
                let problem = (format!("\"{topic}\" is no name of a topic"), remedy.to_owned());
                self.report(Severity::Error, section.place("topics"), *line, problem);
            }
        }
        self.no_doubles(section, "topics", &topics);
        topics.into_iter().map(|(topic, _)| topic).collect()
    }

    fn kafka_properties(
        &mut self,
        section: &Section,
        brokers: &[String],
    ) -> Option<BTreeMap<String, Secret>> {
        let mut properties = BTreeMap::new();
        for (name, (text, line)) in section.properties("properties")? {
            let key = format!("properties.\"{name}\"");
            if let Some((_, remedy)) = OURS.iter().find(|(ours, _)| *ours == name) {
                let problem = ("is set by Plumeline".to_owned(), (*remedy).to_owned());
                self.report(Severity::Error, section.place(&key), line, problem);
                continue;
            }
            let line = if line == 0 { section.line } else { line };
            if let Some(secret) = self.secret(section, &key, (&text, line), is_sensitive(&name)) {
                properties.insert(name, secret);
            }
        }
        let protocol = properties.get("security.protocol").map(|p| p.expose().to_lowercase());
        let is_local = brokers.iter().all(|broker| is_loopback(host_of(broker)));
        let is_allowed = section.flag("allow_insecure") != Some(false);
        match protocol.as_deref() {
            Some("sasl_plaintext") if !is_local && !is_allowed => {
                let message =
                    "SASL_PLAINTEXT would send credentials across the network in the clear";
                let remedy =
                    "write \"SASL_SSL\", or allow_insecure = true if the network is private";
                self.error(section, "properties", message, remedy);
            }
            None | Some("plaintext" | "ssl")
                if properties.keys().any(|name| name.starts_with("sasl.")) =>
            {
                let message = "has sasl.* settings, and no security.protocol that uses them";
                let remedy = "add \"security.protocol\" = \"SASL_SSL\"";
                self.warn(section, "properties", message, remedy);
            }
            _ => {}
        }
        Some(properties)
    }
}

struct Broker {
    url: String,
    host: String,
    port: u16,
    tls: bool,
}

fn carries(section: &Section) -> Option<Carries> {
    section.text("carries").and_then(|name| Carries::parse(&name))
}

fn is_sensitive(property: &str) -> bool {
    ["password", "secret", "key.pem", "oauthbearer.config"]
        .iter()
        .any(|part| property.contains(part))
}

fn is_loopback(host: &str) -> bool {
    let host = host.trim_matches(['[', ']']);
    host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

/// The host of `kafka://host:9092/`, `host:9092`, `host`.
fn host_of(broker: &str) -> &str {
    let broker = broker.split_once("://").map_or(broker, |(_, rest)| rest);
    let broker = broker.trim_end_matches('/');
    broker.rsplit_once(':').map_or(broker, |(host, _)| host)
}

/// A URL without what stands before its last `@`: that may be a password.
fn without_user(url: &str) -> &str {
    url.rsplit_once('@').map_or(url, |(_, rest)| rest)
}

/// What to write instead of a topic that cannot be subscribed to.
fn topic_remedy(error: TopicError) -> &'static str {
    match error {
        TopicError::Empty => "write topics = [\"meters/{meter}\"]",
        TopicError::Shared => "subscribe to the topic itself",
        TopicError::Wildcard => "such as meters/{meter} or site/{meter...}",
        TopicError::TwoMeters => "keep one {meter} or {meter...}",
        TopicError::AfterRest => "put {meter...} last",
        TopicError::Placeholder => "write it alone between slashes: meters/{meter}",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_found() {
        for (broker, host) in
            [("a:9092", "a"), ("kafka://a:9092/", "a"), ("a", "a"), ("[::1]:1", "[::1]")]
        {
            assert_eq!(host_of(broker), host);
        }
        assert!(is_loopback("[::1]") && is_loopback("127.0.0.1") && !is_loopback("10.0.0.1"));
    }
}
