//! The task that polls: it keeps the connection alive and hands publishes on, and does nothing else.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use rumqttc::{
    AsyncClient, ConnAck, ConnectionError, DisconnectReasonCode, Event, EventLoop, Packet, Publish,
    StateError, SubAck, SubscribeReasonCode,
};
use tokio::sync::mpsc::Sender;
use tokio::sync::mpsc::error::TrySendError;
use tokio::time::Instant;

use super::acks::Acks;
use super::gather::Received;
use super::options;
use super::topic::TopicPattern;
use crate::config::MqttSource;
use crate::decode::RAW_BYTES_MAX;
use crate::source::SourceStatus;
use crate::task::{Backoff, Stop};

/// A connection that lasts this long works: the pauses start over, and its end is no sign of a rival.
const STEADY_MIN: Duration = Duration::from_secs(30);

/// What the task works with.
pub(super) struct Parts {
    pub(super) client: AsyncClient,
    pub(super) events: EventLoop,
    pub(super) acks: Arc<Acks<AsyncClient>>,
    pub(super) queue: Sender<Received>,
}

/// The task.
pub(super) struct Poller {
    parts: Parts,
    config: MqttSource,
    patterns: Arc<[TopicPattern]>,
    name: String,
    status: Arc<SourceStatus>,
    stop: Stop,
    backoff: Backoff,
    /// Counts connections.
    generation: u64,
    connected_at: Option<Instant>,
    /// Whether a session of ours should be at the broker.
    has_session: bool,
    /// Whether the broker has refused a subscription on this connection.
    is_refused: bool,
}

impl Poller {
    pub(super) fn new(
        parts: Parts,
        config: MqttSource,
        patterns: &Arc<[TopicPattern]>,
        (name, status, stop): (String, Arc<SourceStatus>, Stop),
    ) -> Self {
        Self {
            parts,
            config,
            patterns: Arc::clone(patterns),
            name,
            status,
            stop,
            backoff: Backoff::default(),
            generation: 0,
            connected_at: None,
            has_session: false,
            is_refused: false,
        }
    }

    pub(super) async fn run(mut self) {
        loop {
            // A poll is given up only where no connection is that it could leave half-way.
            let event = if self.connected_at.is_some() {
                self.parts.events.poll().await
            } else {
                tokio::select! {
                    biased;
                    () = self.stop.given() => return,
                    event = self.parts.events.poll() => event,
                }
            };
            match event {
                Ok(Event::Incoming(Packet::Publish(publish))) => self.hand_on(publish).await,
                Ok(Event::Incoming(Packet::ConnAck(connack))) => self.connected(&connack),
                Ok(Event::Incoming(Packet::SubAck(suback))) => self.subscribed(&suback),
                // A refused subscription is tried again with every sign of life: rights may be granted.
                Ok(Event::Incoming(Packet::PingResp)) if self.is_refused => self.subscribe(),
                Ok(_) => {}
                Err(_) if self.stop.is_given() => return,
                Err(error) => self.lost(&error).await,
            }
        }
    }

    fn connected(&mut self, connack: &ConnAck) {
        if self.has_session && !connack.session_present {
            self.status.sessions_lost.fetch_add(1, Ordering::Relaxed);
            tracing::warn!(
                source = self.name,
                "the broker has forgotten the session: what was published meanwhile is lost"
            );
        }
        tracing::info!(
            source = self.name,
            broker = self.config.url,
            resumed = connack.session_present,
            "connected"
        );
        self.connected_at = Some(Instant::now());
        self.has_session = true;
        self.parts.events.options.clear_session_store();
        self.subscribe();
    }

    fn subscribe(&mut self) {
        let filters = options::filters(&self.patterns, self.config.qos);
        if let Err(error) = self.parts.client.try_subscribe_many(filters) {
            self.status.down(format!("cannot subscribe: {error}"));
        }
    }

    fn subscribed(&mut self, suback: &SubAck) {
        let granted = |code: &SubscribeReasonCode| matches!(code, SubscribeReasonCode::Success(_));
        let answers = suback.return_codes.iter().zip(&self.config.topics);
        let refused = answers.into_iter().find(|(code, _)| !granted(code));
        let was_refused = std::mem::replace(&mut self.is_refused, refused.is_some());
        match refused {
            None => {
                self.status.up();
            }
            Some((code, topic)) => {
                let problem = format!("the broker refuses the topic \"{topic}\": {code:?}");
                if !was_refused {
                    tracing::error!(source = self.name, problem);
                }
                self.status.down(problem);
            }
        }
    }

    async fn hand_on(&mut self, publish: Publish) {
        let received = self.received(publish);
        let Err(TrySendError::Full(received)) = self.parts.queue.try_send(received) else {
            return;
        };
        // QoS 0 outruns us: not polling is all that holds the broker back.
        tokio::select! {
            biased;
            () = self.stop.given() => {}
            sent = self.parts.queue.send(received) => drop(sent),
        }
    }

    fn received(&self, publish: Publish) -> Received {
        let Publish { topic, payload, pkid, .. } = publish;
        let size = payload.len();
        let is_too_large =
            u32::try_from(size).is_ok_and(|size| size > self.config.max_packet_bytes);
        // A copy of the part that is kept lets the rest go at once.
        let payload =
            if is_too_large { payload[..size.min(RAW_BYTES_MAX)].to_vec().into() } else { payload };
        Received { generation: self.generation, packet: pkid, topic, payload, size }
    }

    /// Begins the next connection: without the acks of the last one, after a pause.
    async fn lost(&mut self, error: &ConnectionError) {
        let lasted = self.connected_at.take().map(|at| at.elapsed());
        if lasted.is_some_and(|lasted| lasted >= STEADY_MIN) {
            self.backoff.reset();
        }
        self.is_refused = false;
        self.generation = self.parts.acks.next_generation();
        self.parts.events.clean();
        let (pause, told) = match reason(error) {
            Some(DisconnectReasonCode::SessionTakenOver) => {
                (self.backoff.longest(), taken_over(&self.config.client_id))
            }
            Some(DisconnectReasonCode::QuotaExceeded) => (self.backoff.longest(), told(error)),
            None if is_closed(error) && lasted.is_some_and(|lasted| lasted < STEADY_MIN) => {
                (self.backoff.next(), closed_soon(&self.config.client_id))
            }
            _ => (self.backoff.next(), told(error)),
        };
        if is_too_large(error) {
            tracing::warn!(
                source = self.name,
                "the broker sends more than the maximum packet size it was told; the limit is lifted"
            );
            self.parts.events.options.set_unlimited_incoming_packet_size();
        }
        let problem = format!("cannot reach {}: {told}", self.config.url);
        tracing::warn!(source = self.name, problem, pause_ms = pause.as_millis(), "not connected");
        self.status.down(problem);
        tokio::select! {
            () = self.stop.given() => {}
            () = tokio::time::sleep(pause) => {}
        }
    }
}

fn taken_over(client_id: &str) -> String {
    format!("another client has taken over the session: two instances run as `{client_id}`")
}

/// Mosquitto 2.0.11, for one, throws a client out for another without giving the reason.
fn closed_soon(client_id: &str) -> String {
    format!(
        "the broker closes the connection soon after it is made and gives no reason: \
         does another client run as `{client_id}`?"
    )
}

fn is_closed(error: &ConnectionError) -> bool {
    matches!(error, ConnectionError::MqttState(StateError::ConnectionAborted))
}

/// Why the broker closed the connection, if it said so.
fn reason(error: &ConnectionError) -> Option<DisconnectReasonCode> {
    match error {
        ConnectionError::MqttState(StateError::ServerDisconnect { reason_code, .. }) => {
            Some(*reason_code)
        }
        _ => None,
    }
}

fn is_too_large(error: &ConnectionError) -> bool {
    match error {
        ConnectionError::MqttState(StateError::IncomingPacketTooLarge { .. }) => true,
        ConnectionError::MqttState(StateError::Deserialization(cause)) => {
            matches!(cause, rumqttc::Error::PayloadSizeLimitExceeded { .. })
                || matches!(
                    cause,
                    rumqttc::Error::ProtocolViolation(DisconnectReasonCode::PacketTooLarge)
                )
        }
        _ => false,
    }
}

/// The error in words; a refused connection by its code alone.
pub(super) fn told(error: &ConnectionError) -> String {
    match error {
        ConnectionError::ConnectionRefused(code) => format!("refused: {code:?}"),
        ConnectionError::MqttState(StateError::ServerDisconnect { reason_code, .. }) => {
            format!("closed by the broker: {reason_code:?}")
        }
        other => other.to_string(),
    }
}
