//! MQTT 5: at least once, acknowledged when safe, through a session that outlives the connection.
//!
//! ```text
//!            ┌──────────── poll task ────────────┐          ┌──── gather task ────┐
//!  broker ──►│ event loop ─► publish, generation │─ queue ─►│ decode ─► Batch     │─► out
//!     ▲      └───────────────────────────────────┘ bounded  └─────────────────────┘
//!     └── PUBACK ◄── client's queue ◄── Acks (same generation only) ◄── SourceHandle::ack
//! ```
//!
//! 1. **Connect** with Clean Start 0 and a Session Expiry: without, the broker forgets us and what is
//!    published while we are away.
//! 2. **Subscribe on every connection**, with Retain Handling 2: a session that was lost has no
//!    subscriptions; retained messages are old values that would come again each time.
//! 3. **Poll without pause.** The event loop answers pings; a task that stops polling loses the
//!    connection. So batches are made and sent by another task.
//! 4. **Back-pressure is the Receive Maximum**: the broker has that many messages under way before acks,
//!    and the queue holds that many. Only `QoS` 0, which knows no acks, can fill the queue; then polling
//!    stops until there is room, and TCP holds the broker back.
//! 5. **Ack in the order of receipt** (MQTT-4.6.0-2), from the receipts, on the connection the message came
//!    over: see [`acks`].
//! 6. **Reconnect** with growing pauses, which start over when a connection has lasted. A session taken
//!    over means that a second client uses our id: come back after the longest pause, or the two would
//!    throw each other out for ever. A broker that does not say so is met with growing pauses all the same.
//!
//! `QoS` 2 is not used: its handshake costs four packets and cannot make a commit elsewhere exactly-once;
//! duplicates are recognised by meter and instant instead.
//!
//! **Large messages.** The broker is told a Maximum Packet Size of [`HEADROOM`] times `max_packet`: what
//! lies between the two is received and becomes a reject; what is larger still is not sent by a broker
//! that keeps to MQTT 5. One that sends it nevertheless would be cut off at each reconnect, for ever, by
//! its redelivery; after the first time the limit is lifted, the message becomes a reject, and the source
//! goes on. A payload over the limit is cut before it is queued, so memory stays bounded.

pub(crate) mod acks;
mod gather;
mod options;
mod poll;
mod probe;
pub(crate) mod topic;

use std::sync::Arc;
use std::time::Duration;

use rumqttc::AsyncClient;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

use self::acks::Acks;
use self::gather::Gatherer;
use self::poll::Poller;
use self::topic::TopicPattern;
use crate::batch::{Mark, Receipt};
use crate::config::MqttSource;
use crate::source::{Context, SourceError, SourceStatus, TASK_STOP_MAX};
use crate::task::{spawn, stop_sign};

pub(crate) use probe::probe;

/// How many times `max_packet` the broker may send, so that what is too large is seen and rejected.
pub(crate) const HEADROOM: u32 = 16;
/// How long the last acks may take to go out.
const DRAIN_MAX: Duration = Duration::from_secs(2);
/// Slots of the queue above the Receive Maximum: for `QoS` 0 traffic.
const QUEUE_SPARE: usize = 1_024;

const _: () =
    assert!(DRAIN_MAX.as_millis() < TASK_STOP_MAX.as_millis(), "stopping includes draining");

/// A running MQTT source.
#[derive(Debug)]
pub(crate) struct Running {
    acks: Arc<Acks<AsyncClient>>,
    client: AsyncClient,
    stop: watch::Sender<bool>,
    tasks: [JoinHandle<()>; 2],
}

/// Starts the two tasks.
pub(crate) fn start(
    config: MqttSource,
    context: Context,
    status: Arc<SourceStatus>,
) -> Result<Running, SourceError> {
    let patterns = patterns(&config.topics)?;
    let options = options::session(&config)?;
    // Acks are bounded by the Receive Maximum already; a bounded queue could refuse one.
    let built = AsyncClient::builder(options).unbounded().try_build();
    let (client, events) = built.map_err(|error| SourceError::Settings(error.to_string()))?;
    let acks = Arc::new(Acks::new(client.clone()));
    let (stop, stopped) = stop_sign();
    status.down("not connected yet");
    let capacity = usize::from(config.receive_maximum) + QUEUE_SPARE;
    let (queue, queued) = mpsc::channel(capacity);
    let gatherer =
        Gatherer::new(&config, &patterns, context.clone(), Arc::clone(&status), stopped.clone());
    let gather = spawn(gatherer.run(queued));
    let poller = Poller::new(
        poll::Parts { client: client.clone(), events, acks: Arc::clone(&acks), queue },
        config,
        &patterns,
        (context.name, status, stopped),
    );
    let poll = spawn(poller.run());
    Ok(Running { acks, client, stop, tasks: [poll, gather] })
}

impl Running {
    pub(crate) fn ack(&self, receipt: Receipt) {
        let Mark::Mqtt(sheaves) = receipt.0 else {
            return;
        };
        let dropped = self.acks.ack(&sheaves);
        if dropped > 0 {
            tracing::debug!(dropped, "acks of an older connection: these messages come again");
        }
    }

    pub(crate) async fn stop(self) {
        self.stop.send_replace(true);
        // Queued behind the acks that were given so far; where no connection is, there is nothing to end.
        drop(self.client.try_disconnect_with_timeout(DRAIN_MAX));
        let handles = self.tasks.each_ref().map(JoinHandle::abort_handle);
        let ended = async {
            for task in self.tasks {
                drop(task.await);
            }
        };
        if tokio::time::timeout(TASK_STOP_MAX, ended).await.is_err() {
            handles.iter().for_each(tokio::task::AbortHandle::abort);
        }
    }
}

/// The topics as patterns.
fn patterns(topics: &[String]) -> Result<Arc<[TopicPattern]>, SourceError> {
    topics
        .iter()
        .map(|topic| {
            let refused = |cause| SourceError::Topic { topic: topic.clone(), cause };
            TopicPattern::parse(topic).map_err(refused)
        })
        .collect()
}
