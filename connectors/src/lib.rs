//! Sources: from a broker or a file to batches of records, facts and rejects.
//!
//! ```text
//!  MQTT  ──┐ receive    ┌─► Decoder ─► records ─┐                    ┌─► ingest
//!  Kafka ──┼──────────► ┤   (pure)    facts     ├─► Batch ─► channel ┤   (other crate)
//!  file  ──┘            └─            rejects  ─┘   Receipt  bounded └─► SourceHandle::ack(Receipt)
//!     ▲                                                                          │
//!     └────────────── acknowledged to the broker ◄───────────────────────────────┘
//! ```
//!
//! # The contract
//!
//! What every source owes, and what breaks without it:
//!
//! 1. **Ordering.** Batches of one source come in the order in which it received; elements of a payload
//!    keep their order. The order of values decides which of two without versions wins.
//! 2. **Nothing dropped.** Every element is a record, a fact, a reject or counted as ignored, and
//!    [`Batch::received`] is their sum. A definite error is a row with its reason, never a log line alone.
//! 3. **Back-pressure.** A source sends into one bounded channel and waits where it is full; what it holds
//!    meanwhile is bounded. It neither drops nor buffers without end.
//! 4. **Ack after durable.** Nothing is acknowledged to a broker before its [`Receipt`] came back through
//!    [`SourceHandle::ack`], in the order of batches. What was not acknowledged comes again: a source
//!    delivers at least once, and duplicates are recognised downstream.
//! 5. **Progress.** An idle source stalls nothing: no batch is needed to let time pass. A broker that is
//!    away is a state ([`SourceStatus`]), not an end; the source comes back by itself, with pauses that
//!    grow.
//! 6. **End of input.** Only a file that is not followed ends: `ended` is set after its last batch was
//!    sent.
//! 7. **Errors.** What can never work is a [`SourceError`] at the start; what may pass is a status; what
//!    is wrong with one element is a reject.
//! 8. **Shutdown.** [`SourceHandle::stop`] returns within [`STOP_MAX`], whatever the broker does. Acks
//!    given before it go out; batches nobody takes any more are dropped, unacknowledged.
//!
//! # Adding a connector
//!
//! 1. a directory with a `mod.rs` that states its protocol in numbered steps;
//! 2. its fields in [`config`], each documented as in a manual, with `pub const DEFAULT_...`;
//! 3. a variant of [`SourceConfig`] and an arm in [`registry`];
//! 4. its errors in [`SourceError`], definite or to be retried;
//! 5. its figures in [`SourceStatus`], under the names of the shared metrics table;
//! 6. the conformance tests: order, ack only after the receipt, redelivery, reconnect, idle progress, a
//!    bad datum becomes a reject, shutdown within the limit;
//! 7. fixtures, good and bad;
//! 8. a scenario in which the broker is lost;
//! 9. the configuration manual, generated anew;
//! 10. a `probe` that tries exactly the operations it needs, before start.

pub mod batch;
pub mod config;
pub mod decode;
mod file;
mod kafka;
mod mqtt;
mod near;
mod position;
pub mod registry;
pub mod source;
mod task;
#[cfg(test)]
mod testing;

pub use batch::{Batch, FactChange, Receipt};
pub use config::SourceConfig;
pub use mqtt::topic::{TopicError, TopicPattern};
pub use position::Position;
pub use registry::{goes_on_from, probe, start};
pub use source::{Clock, Context, Retry, STOP_MAX, SourceError, SourceHandle, SourceStatus};
