//! The task that makes batches: it waits a moment for more, decodes, and waits for room in the channel.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc::Receiver;
use tokio::time::{Instant, timeout_at};

use super::topic::{TopicPattern, meter_of};
use crate::batch::{Batch, Mark, Receipt, Sheaf};
use crate::config::{Carries, MqttSource};
use crate::decode::{Decoded, Decoder, Limits, Payload};
use crate::source::{Context, SourceStatus};
use crate::task::Stop;

/// Publishes in a batch at most: enough that what a batch costs does not count.
const BATCH_MAX: usize = 512;
/// How long a batch waits for more publishes.
const GATHER: Duration = Duration::from_millis(5);

/// A publish on its way.
#[derive(Debug)]
pub(super) struct Received {
    /// Counts connections.
    pub(super) generation: u64,
    /// Its packet id; 0 for `QoS` 0, which is not acknowledged.
    pub(super) packet: u16,
    pub(super) topic: bytes::Bytes,
    pub(super) payload: bytes::Bytes,
    /// Bytes of the payload before it was cut.
    pub(super) size: usize,
}

/// The task.
pub(super) struct Gatherer {
    context: Context,
    status: Arc<SourceStatus>,
    patterns: Arc<[TopicPattern]>,
    stop: Stop,
    decoder: Decoder,
    /// Counts publishes: their position.
    count: u64,
}

impl Gatherer {
    pub(super) fn new(
        config: &MqttSource,
        patterns: &Arc<[TopicPattern]>,
        context: Context,
        status: Arc<SourceStatus>,
        stop: Stop,
    ) -> Self {
        let limits = Limits {
            payload_bytes_max: usize::try_from(config.max_packet_bytes).unwrap_or(usize::MAX),
            max_ahead_ms: context.max_ahead_ms,
            timezone: context.timezone.clone(),
            period_ms: context.period_ms,
        };
        let names = Arc::clone(&context.names);
        let decoder = Decoder::new(Carries::Readings, context.index, names, limits);
        // Positions of a run begin at its start, in ms times 2^20: they never repeat those of another.
        let count = u64::try_from((context.clock)()).unwrap_or(0) << 20;
        Self { context, status, patterns: Arc::clone(patterns), stop, decoder, count }
    }

    pub(super) async fn run(mut self, mut queued: Receiver<Received>) {
        let mut received = Vec::with_capacity(BATCH_MAX);
        while queued.recv_many(&mut received, BATCH_MAX).await > 0 {
            let deadline = Instant::now() + GATHER;
            while received.len() < BATCH_MAX {
                let room = BATCH_MAX - received.len();
                let more = timeout_at(deadline, queued.recv_many(&mut received, room)).await;
                if !more.is_ok_and(|count| count > 0) {
                    break;
                }
            }
            let batch = self.batch(&mut received);
            tokio::select! {
                biased;
                sent = self.context.out.send(batch) => if sent.is_err() { return },
                () = self.stop.given() => return,
            }
        }
    }

    fn batch(&mut self, received: &mut Vec<Received>) -> Batch {
        let now_ms = (self.context.clock)();
        self.status.heard(now_ms);
        let (mut decoded, mut sheaves) = (Decoded::default(), Vec::<Sheaf>::new());
        for publish in received.drain(..) {
            // A topic that is no text fits no pattern; its payload may still name the meter.
            let topic = std::str::from_utf8(&publish.topic).unwrap_or_default();
            let payload = Payload {
                bytes: &publish.payload,
                size: publish.size,
                topic_meter: meter_of(&self.patterns, topic),
                position: self.count,
            };
            self.decoder.decode(payload, now_ms, &mut decoded);
            self.count += 1;
            if publish.packet == 0 {
                continue;
            }
            match sheaves.last_mut().filter(|sheaf| sheaf.generation == publish.generation) {
                Some(sheaf) => sheaf.packets.push(publish.packet),
                None => sheaves
                    .push(Sheaf { generation: publish.generation, packets: vec![publish.packet] }),
            }
        }
        decoded.into_batch(self.context.index, Receipt(Mark::Mqtt(sheaves)))
    }
}
