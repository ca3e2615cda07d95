//! A tap on the connection between a broker and its subscriber: how long each message waits for its PUBACK.
//!
//! ```text
//!   Mosquitto ──PUBLISH n──► Tap ──────► pipeline
//!             ◄────────────      ◄─PUBACK n─
//!                            │        │
//!                            └─ time ─┘
//! ```
//!
//! 1. Bytes pass as they are, at once. Both ways are cut into packets on the side, as MQTT 5 has them.
//! 2. A PUBLISH with `QoS` 1 is noted by its packet id before it is passed on, its PUBACK when it has been read:
//!    so the time holds the system's way of both on the loopback, and nothing of the broker.
//! 3. A packet id is free again after its PUBACK, so that one is never under way twice.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use super::now;

/// Types of packets, in the upper half of their first byte.
const PUBLISH: u8 = 3;
const PUBACK: u8 = 4;
/// Bytes read at a time.
const CHUNK_BYTES: usize = 64 * 1024;
/// Why a lock is never poisoned.
const NO_PANIC: &str = "nobody panics while holding it";

/// A tap; it lasts as long as the process.
#[derive(Debug)]
pub(crate) struct Tap {
    port: u16,
    seen: Arc<Mutex<Seen>>,
}

#[derive(Debug, Default)]
struct Seen {
    /// By packet id: when it came.
    under_way: Vec<Option<Instant>>,
    took: Vec<Duration>,
}

impl Tap {
    /// A tap in front of a broker on a port of the loopback.
    pub(crate) fn to(server_port: u16) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("there are free ports");
        let port = listener.local_addr().expect("it is bound").port();
        let seen = Arc::new(Mutex::new(Seen::default()));
        let shared = Arc::clone(&seen);
        thread::spawn(move || {
            for client in listener.incoming() {
                let client = client.expect("the loopback works");
                let server = TcpStream::connect((Ipv4Addr::LOCALHOST, server_port));
                link(&client, &server.expect("the broker is up"), &shared);
            }
        });
        Self { port, seen }
    }

    /// Where the subscriber connects to.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// How long each message has waited since the last time.
    pub(crate) fn take(&self) -> Vec<Duration> {
        std::mem::take(&mut self.seen.lock().expect(NO_PANIC).took)
    }
}

/// Carries bytes between the two until either ends.
fn link(client: &TcpStream, server: &TcpStream, seen: &Arc<Mutex<Seen>>) {
    seen.lock().expect(NO_PANIC).under_way = vec![None; 1 << 16];
    for socket in [client, server] {
        socket.set_nodelay(true).expect("it is connected");
    }
    let both = |stream: &TcpStream| stream.try_clone().expect("a second handle");
    for (from, to) in [(both(client), both(server)), (both(server), both(client))] {
        let seen = Arc::clone(seen);
        thread::spawn(move || {
            pump(&from, &to, &seen);
            // The other way ends with this one; an end that is closed already is as closed as can be.
            drop(from.shutdown(std::net::Shutdown::Both));
            drop(to.shutdown(std::net::Shutdown::Both));
        });
    }
}

fn pump(mut from: &TcpStream, mut to: &TcpStream, seen: &Mutex<Seen>) {
    let (mut chunk, mut packets) = (vec![0; CHUNK_BYTES], Packets::default());
    while let Ok(count) = from.read(&mut chunk) {
        let read_at = now();
        packets.0.extend_from_slice(&chunk[..count]);
        let mut seen = seen.lock().expect(NO_PANIC);
        while let Some((kind, id)) = packets.next() {
            let place = &mut seen.under_way[usize::from(id)];
            if kind == PUBLISH {
                *place = Some(read_at);
            } else if let Some(since) = place.take() {
                seen.took.push(read_at - since);
            }
        }
        drop(seen);
        if count == 0 || to.write_all(&chunk[..count]).is_err() {
            return;
        }
    }
}

/// Bytes that have come and are no whole packet yet.
#[derive(Default)]
struct Packets(Vec<u8>);

impl Packets {
    /// Type and id of the next PUBLISH with `QoS` 1 or PUBACK; others are passed over.
    fn next(&mut self) -> Option<(u8, u16)> {
        loop {
            let (head, body) = self.bounds()?;
            let (first, rest) = (self.0[0], &self.0[head..body]);
            let at = |index: usize| u16::from_be_bytes([rest[index], rest[index + 1]]);
            let found = match (first >> 4, first >> 1 & 3) {
                // The topic, with its length before it, then the packet id.
                (PUBLISH, 1) => Some((PUBLISH, at(2 + usize::from(at(0))))),
                (PUBACK, _) => Some((PUBACK, at(0))),
                _ => None,
            };
            self.0.drain(..body);
            if found.is_some() {
                return found;
            }
        }
    }

    /// Where what follows the first packet's length begins, and where it ends; `None` while it is not whole.
    fn bounds(&self) -> Option<(usize, usize)> {
        let mut length = 0;
        for (index, byte) in self.0.iter().enumerate().skip(1).take(4) {
            length |= usize::from(byte & 0x7f) << (7 * (index - 1));
            if byte & 0x80 == 0 {
                let (head, end) = (index + 1, index + 1 + length);
                return (end <= self.0.len()).then_some((head, end));
            }
        }
        None
    }
}
