//! Connects, subscribes and leaves, under a client id of its own.

use std::time::Duration;

use rumqttc::{AsyncClient, ConnectionError, Event, Packet, StateError, SubscribeReasonCode};

use super::{options, patterns, poll};
use crate::config::MqttSource;
use crate::source::SourceError;

/// How long all of it may take.
const PROBE_MAX: Duration = Duration::from_secs(10);

/// See [`crate::registry::probe`].
pub(crate) async fn probe(config: &MqttSource) -> Result<(), SourceError> {
    let unreachable =
        |reason: String| SourceError::Unreachable { address: config.url.clone(), reason };
    let patterns = patterns(&config.topics)?;
    let built = AsyncClient::builder(options::probe(config)?).unbounded().try_build();
    let (client, mut events) = built.map_err(|error| SourceError::Settings(error.to_string()))?;
    let filters = options::filters(&patterns, config.qos);
    let tried = async {
        loop {
            match events.poll().await.map_err(|error| refusal(config, &error))? {
                Event::Incoming(Packet::ConnAck(_)) => {
                    let sent = client.try_subscribe_many(filters.clone());
                    sent.map_err(|error| unreachable(error.to_string()))?;
                }
                Event::Incoming(Packet::SubAck(suback)) => {
                    drop(client.try_disconnect_now());
                    // One more look, so that the farewell goes out; how it is answered does not matter.
                    drop(tokio::time::timeout(Duration::from_secs(1), events.poll()).await);
                    return granted(config, &suback.return_codes);
                }
                _ => {}
            }
        }
    };
    let late = |_| unreachable(format!("no answer within {} s", PROBE_MAX.as_secs()));
    tokio::time::timeout(PROBE_MAX, tried).await.map_err(late)?
}

fn granted(config: &MqttSource, codes: &[SubscribeReasonCode]) -> Result<(), SourceError> {
    for (code, topic) in codes.iter().zip(&config.topics) {
        if !matches!(code, SubscribeReasonCode::Success(_)) {
            let what = format!("the topic \"{topic}\" at {}", config.url);
            return Err(SourceError::Refused { what, reason: format!("{code:?}") });
        }
    }
    Ok(())
}

fn refusal(config: &MqttSource, error: &ConnectionError) -> SourceError {
    let is_refusal = matches!(
        error,
        ConnectionError::ConnectionRefused(_)
            | ConnectionError::MqttState(StateError::ConnFail { .. })
    );
    let (address, reason) = (config.url.clone(), poll::told(error));
    if is_refusal {
        SourceError::Refused { what: format!("the connection to {address}"), reason }
    } else {
        SourceError::Unreachable { address, reason }
    }
}
