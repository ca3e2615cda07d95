//! The configuration as the client library takes it.

use std::path::Path;
use std::pin::Pin;

use rumqttc::{
    AckMode, BrokerSessionResumePolicy, ConnectProperties, MqttOptions, PersistedAckMode,
    PersistedSession, QoS, RetainForwardRule, SessionStore, SessionStoreError, SessionStoreKey,
    SubscribeFilter, TlsConfiguration, Transport,
};

use super::HEADROOM;
use super::topic::TopicPattern;
use crate::config::MqttSource;
use crate::source::SourceError;

/// Seconds without traffic after which the broker is asked for a sign of life.
const KEEP_ALIVE_S: u16 = 30;
/// Publishes of ours under way: the smallest number that the library takes.
const OUTGOING_INFLIGHT_MAX: u16 = 1;
/// Added to the client id of a probe, so that it does not throw out a running source.
const PROBE_SUFFIX: &str = "-check";

/// For a source: its session is kept while it is away.
pub(super) fn session(config: &MqttSource) -> Result<MqttOptions, SourceError> {
    let mut options = common(config, &config.client_id)?;
    options
        .set_connect_properties(properties(config, config.session_expiry_s))
        .set_clean_start(false)
        .set_session_store(NothingUnderWay)
        .set_broker_session_resume_policy(BrokerSessionResumePolicy::AllowBrokerOnly);
    Ok(options)
}

/// Our side of a session that an earlier process left at the broker: we publish nothing, so nothing of ours
/// is under way, and acks are all we ever owe. Without it the library takes us for a stranger to the session
/// and refuses to subscribe. Needed until the first connection only; then [`MqttOptions`] forgets it, or
/// each batch would be followed by saving nothing.
#[derive(Debug)]
struct NothingUnderWay;

type Answer<'a, T> = Pin<Box<dyn Future<Output = Result<T, SessionStoreError>> + Send + 'a>>;

impl SessionStore for NothingUnderWay {
    fn load<'a>(&'a self, key: &'a SessionStoreKey) -> Answer<'a, Option<PersistedSession>> {
        let session = PersistedSession {
            format_version: 1,
            client_id: key.client_id().to_owned(),
            clean_start: false,
            session_expiry_interval: None,
            outgoing_inflight_upper_limit: Some(OUTGOING_INFLIGHT_MAX),
            ack_mode: PersistedAckMode::Manual,
            last_pkid: 0,
            last_puback: 0,
            replay: Vec::new(),
            incoming_qos2: Vec::new(),
        };
        Box::pin(async { Ok(Some(session)) })
    }

    fn save<'a>(&'a self, _: &'a SessionStoreKey, _: &'a PersistedSession) -> Answer<'a, ()> {
        Box::pin(async { Ok(()) })
    }

    fn clear<'a>(&'a self, _: &'a SessionStoreKey) -> Answer<'a, ()> {
        Box::pin(async { Ok(()) })
    }
}

/// For a probe: nothing is kept.
pub(super) fn probe(config: &MqttSource) -> Result<MqttOptions, SourceError> {
    let mut options = common(config, &format!("{}{PROBE_SUFFIX}", config.client_id))?;
    options.set_connect_properties(properties(config, 0)).set_clean_start(true);
    Ok(options)
}

/// What to subscribe to.
pub(super) fn filters(patterns: &[TopicPattern], qos: u8) -> Vec<SubscribeFilter> {
    patterns
        .iter()
        .map(|pattern| {
            let mut filter = SubscribeFilter::new(pattern.filter(), quality(qos));
            filter.retain_forward_rule = RetainForwardRule::Never;
            filter
        })
        .collect()
}

fn quality(qos: u8) -> QoS {
    if qos == 0 { QoS::AtMostOnce } else { QoS::AtLeastOnce }
}

fn common(config: &MqttSource, client_id: &str) -> Result<MqttOptions, SourceError> {
    let mut options = MqttOptions::new(client_id, (config.host.clone(), config.port));
    options.set_keep_alive(KEEP_ALIVE_S).set_ack_mode(AckMode::Manual);
    // We publish nothing. With a place for each of 65,535 publishes the library looks at all of them at each
    // flush: half of the time, measured.
    options.set_outgoing_inflight_upper_limit(OUTGOING_INFLIGHT_MAX);
    match (&config.username, &config.password) {
        (Some(username), Some(password)) => {
            let password = password.expose().as_bytes().to_vec();
            options.set_credentials(username.expose(), password);
        }
        (Some(username), None) => {
            options.set_username(username.expose());
        }
        (None, Some(password)) => {
            options.set_password(password.expose().as_bytes().to_vec());
        }
        (None, None) => {}
    }
    if config.tls {
        options.set_transport(transport(config)?);
    }
    Ok(options)
}

fn properties(config: &MqttSource, session_expiry_s: u32) -> ConnectProperties {
    let mut properties = ConnectProperties::new();
    properties.session_expiry_interval = Some(session_expiry_s);
    properties.receive_maximum = Some(config.receive_maximum.max(1));
    properties.max_packet_size = Some(config.max_packet_bytes.saturating_mul(HEADROOM));
    properties
}

fn transport(config: &MqttSource) -> Result<Transport, SourceError> {
    let Some(ca) = &config.ca else {
        if config.client_certificate.is_some() {
            let message =
                "a client certificate needs `ca`, the authority of the broker's certificate";
            return Err(SourceError::Settings(message.to_owned()));
        }
        let system = TlsConfiguration::try_default_rustls();
        let refused = |error| SourceError::Settings(format!("no system certificates: {error}"));
        return system.map(Transport::Tls).map_err(refused);
    };
    let client_auth = match &config.client_certificate {
        Some((certificate, key)) => Some((read(certificate)?, read(key)?)),
        None => None,
    };
    Ok(Transport::Tls(TlsConfiguration::Simple { ca: read(ca)?, alpn: None, client_auth }))
}

fn read(path: &Path) -> Result<Vec<u8>, SourceError> {
    std::fs::read(path).map_err(|cause| SourceError::Unreadable { path: path.into(), cause })
}
