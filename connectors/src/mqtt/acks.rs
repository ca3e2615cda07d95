//! Acks, each on the connection its message came over, or not at all.
//!
//! A packet id means nothing on another connection: the broker may have given it to a newer message, and
//! an ack that is late by one reconnect would acknowledge what nobody has seen yet. So connections are
//! counted, a receipt carries the count, and acks of an older one are dropped: whatever was not
//! acknowledged comes again on the new connection, as a duplicate. That holds whether or not the broker
//! resumed the session; keeping the old acks where it did would save duplicates and cost a proof.
//!
//! ```text
//! poll fails ─► [1] count goes up ─► [2] the client's queue is emptied ─► reconnect
//!                    ▲ one lock
//! ack(receipt) ──────┴─ same count? ─► queued, and goes out on this connection
//! ```
//!
//! Without 2, an ack queued between the failure and 1 would go out on the next connection.

use std::sync::Mutex;

use rumqttc::{AsyncClient, ManualAck, PubAck};

use crate::batch::Sheaf;
use crate::source::lock;

/// Where acks go.
pub(crate) trait PubAcks: Send {
    /// Queues the ack of `packet`; says whether there is a queue still. Never blocks.
    fn puback(&self, packet: u16) -> bool;
}

impl PubAcks for AsyncClient {
    fn puback(&self, packet: u16) -> bool {
        self.try_manual_ack(ManualAck::PubAck(PubAck::new(packet, None))).is_ok()
    }
}

/// The acks of a source.
#[derive(Debug)]
pub(crate) struct Acks<C>(Mutex<Inner<C>>);

#[derive(Debug)]
struct Inner<C> {
    generation: u64,
    client: C,
}

impl<C: PubAcks> Acks<C> {
    pub(crate) fn new(client: C) -> Self {
        Self(Mutex::new(Inner { generation: 0, client }))
    }

    /// Begins the next connection; from now on, acks of the last are dropped. Returns its number.
    pub(crate) fn next_generation(&self) -> u64 {
        let mut inner = lock(&self.0);
        inner.generation += 1;
        inner.generation
    }

    /// Queues the acks that belong to the running connection, in order; says how many do not.
    pub(crate) fn ack(&self, sheaves: &[Sheaf]) -> usize {
        let inner = lock(&self.0);
        let mut dropped = 0;
        for sheaf in sheaves {
            let is_current = sheaf.generation == inner.generation;
            for packet in &sheaf.packets {
                if !(is_current && inner.client.puback(*packet)) {
                    dropped += 1;
                }
            }
        }
        dropped
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Default)]
    struct Queue(Mutex<Vec<u16>>);
    impl PubAcks for Queue {
        fn puback(&self, packet: u16) -> bool {
            lock(&self.0).push(packet);
            true
        }
    }

    #[test]
    fn acks_of_an_older_connection_are_dropped() {
        let acks = Acks::new(Queue::default());
        let sheaf = |generation, packets: &[u16]| Sheaf { generation, packets: packets.into() };
        assert_eq!(acks.ack(&[sheaf(0, &[1, 2])]), 0);
        assert_eq!(acks.next_generation(), 1);
        assert_eq!(acks.ack(&[sheaf(0, &[3, 4]), sheaf(1, &[3])]), 2);
        let sent = lock(&lock(&acks.0).client.0).clone();
        assert_eq!(sent, [1, 2, 3]);
    }
}
