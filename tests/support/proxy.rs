//! A network that fails: a TCP proxy on the loopback that a test switches from one fault to another.
//!
//! ```text
//!   client ──► Proxy ──► server        a link: two sockets, and a pump for each direction
//!          ◄──       ◄──
//! ```
//!
//! 1. Every connection becomes a link to the server's port, which need not answer yet.
//! 2. A pump asks for the fault after each read, so a switch takes effect on what comes next.
//! 3. A link that has swallowed bytes one way is closed when they would pass again: TCP would have sent them once
//!    more, a proxy cannot, and a stream with a hole is a fault no network has.
//! 4. Closing shuts both sockets down, so a pump that waits for a slow reader ends, too.

use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use plumeline_fixtures::random::SplitMix64;

/// Longest wait of a pump before it looks whether its link is to be closed.
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// Bytes read at a time.
const CHUNK_BYTES: usize = 8 * 1024;
/// Longest slice of [`Fault::Slices`].
const SLICE_BYTES_MAX: i64 = 7;
/// Why a lock is never poisoned.
const NO_PANIC: &str = "nobody panics while holding it";

/// A direction of a link.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// From the client to the server.
    ToServer,
    /// From the server to the client.
    ToClient,
}

/// What the network does.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Nothing wrong.
    Pass,
    /// Whatever is read at once arrives so much later.
    Latency(Duration),
    /// All links are closed, new ones at once.
    Reset,
    /// Links are open, and nothing arrives.
    BlackHole,
    /// Nothing arrives in one direction.
    HalfOpen(Way),
    /// Everything arrives, a few bytes at a time.
    Slices,
}

/// A proxy; it ends with the value.
#[derive(Debug)]
pub(crate) struct Proxy {
    port: u16,
    shared: Arc<Shared>,
    acceptor: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    server_port: u16,
    fault: Mutex<Fault>,
    links: Mutex<Vec<Arc<Link>>>,
    is_over: AtomicBool,
}

#[derive(Debug)]
struct Link {
    client: TcpStream,
    server: TcpStream,
    is_closed: AtomicBool,
}

impl Proxy {
    /// A proxy to a port of the loopback that passes everything.
    pub(crate) fn to(server_port: u16) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("there are free ports");
        let port = listener.local_addr().expect("it is bound").port();
        let shared = Arc::new(Shared {
            server_port,
            fault: Mutex::new(Fault::Pass),
            links: Mutex::new(Vec::new()),
            is_over: AtomicBool::new(false),
        });
        let acceptor = thread::spawn({
            let shared = Arc::clone(&shared);
            move || accept(&listener, &shared)
        });
        Self { port, shared, acceptor: Some(acceptor) }
    }

    /// Where clients connect to.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// Where the server is.
    pub(crate) fn server_port(&self) -> u16 {
        self.shared.server_port
    }

    /// Switches to another fault.
    pub(crate) fn set(&self, fault: Fault) {
        *self.shared.fault.lock().expect(NO_PANIC) = fault;
        if fault == Fault::Reset {
            self.shared.close_all();
        }
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.shared.is_over.store(true, Ordering::Release);
        // Wakes the acceptor.
        drop(TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)));
        if let Some(acceptor) = self.acceptor.take() {
            drop(acceptor.join());
        }
        self.shared.close_all();
    }
}

impl Shared {
    fn fault(&self) -> Fault {
        *self.fault.lock().expect(NO_PANIC)
    }

    fn close_all(&self) {
        self.links.lock().expect(NO_PANIC).drain(..).for_each(|link| link.close());
    }
}

impl Link {
    fn close(&self) {
        self.is_closed.store(true, Ordering::Release);
        // One that is closed already is as closed as can be.
        drop(self.client.shutdown(Shutdown::Both));
        drop(self.server.shutdown(Shutdown::Both));
    }
}

fn accept(listener: &TcpListener, shared: &Arc<Shared>) {
    for client in listener.incoming() {
        if shared.is_over.load(Ordering::Acquire) {
            return;
        }
        let Ok(client) = client else { continue };
        if shared.fault() == Fault::Reset {
            continue;
        }
        // A server that is away refuses: the client's connection ends with the value.
        let Ok(server) = TcpStream::connect((Ipv4Addr::LOCALHOST, shared.server_port)) else {
            continue;
        };
        for socket in [&client, &server] {
            socket.set_nodelay(true).expect("it is connected");
            socket.set_read_timeout(Some(LOOK_EVERY)).expect("not zero");
        }
        let link = Arc::new(Link { client, server, is_closed: AtomicBool::new(false) });
        for way in [Way::ToServer, Way::ToClient] {
            let (link, shared) = (Arc::clone(&link), Arc::clone(shared));
            thread::spawn(move || {
                pump(&link, way, &shared);
                link.close();
            });
        }
        let mut links = shared.links.lock().expect(NO_PANIC);
        links.retain(|link| !link.is_closed.load(Ordering::Acquire));
        links.push(link);
    }
}

/// Carries bytes one way until the link ends.
fn pump(link: &Link, way: Way, shared: &Shared) {
    let (mut from, mut to) = match way {
        Way::ToServer => (&link.client, &link.server),
        Way::ToClient => (&link.server, &link.client),
    };
    let swallows = |fault| fault == Fault::BlackHole || fault == Fault::HalfOpen(way);
    let mut dice = SplitMix64::new(shared.server_port.into());
    let mut chunk = [0; CHUNK_BYTES];
    let mut has_hole = false;
    while !link.is_closed.load(Ordering::Acquire) {
        let read = from.read(&mut chunk);
        let fault = shared.fault();
        if fault == Fault::Reset || (has_hole && !swallows(fault)) {
            return;
        }
        let bytes = match read {
            Ok(0) => return,
            Ok(count) => &chunk[..count],
            Err(error) => match error.kind() {
                ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted => continue,
                _ => return,
            },
        };
        if swallows(fault) {
            has_hole = true;
            continue;
        }
        let written = match fault {
            Fault::Latency(delay) => {
                thread::sleep(delay);
                to.write_all(bytes)
            }
            Fault::Slices => slices(bytes, &mut dice).try_for_each(|slice| to.write_all(slice)),
            _ => to.write_all(bytes),
        };
        if written.is_err() {
            return;
        }
    }
}

/// `bytes`, a few at a time.
fn slices<'a>(bytes: &'a [u8], dice: &mut SplitMix64) -> impl Iterator<Item = &'a [u8]> {
    let mut rest = bytes;
    std::iter::from_fn(move || {
        let length = usize::try_from(dice.between(1, SLICE_BYTES_MAX + 1)).expect("it is positive");
        let (slice, after) = rest.split_at(length.min(rest.len()));
        rest = after;
        (!slice.is_empty()).then_some(slice)
    })
}
