//! Merges small files of the lake, behind the live input.
//!
//! ```text
//!  committer ──starts──▶ compactor ── Compactor::step ──▶ merged files, one version of one table
//!      └───────────────────▲ ends with it          ╲──▶ metrics
//! ```
//!
//! 1. It looks every second for something to do, once the dataflow has caught up, and does one step at a time
//!    ([`plumeline_sinks::delta::Compactor`]). *What a step is, and why it can be ended anywhere, is told there.*
//! 2. While the live input is more than two seconds behind, it waits, also in the middle of a step. *Merging can wait for
//!    days; a reading cannot.*
//! 3. It rests three times as long as it worked. *So it takes a quarter of a core at most, also in a ledger of
//!    years that was never compacted.*
//! 4. An error is told, counted, and tried again after a while. *Without compaction everything goes on, only slower
//!    to read.*
//! 5. Nobody waits for its end: it stops at the next few thousand rows, or is cut off. *What it has put until then no
//!    version names, and the vacuum takes it.*

use std::cell::RefCell;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, TryRecvError, channel};
use std::time::Duration;

use plumeline_sinks::delta::{Compactor, Lake};

use super::clock::monotonic;
use super::telemetry::Telemetry;

/// How often to look whether there is something to do.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How often to look whether the live input has caught up.
const WAIT: Duration = Duration::from_millis(100);
/// How long it rests, in times of how long it worked.
const REST: u32 = 3;
/// How long it rests after a step that failed.
const REST_AFTER_ERROR: Duration = Duration::from_secs(30);
/// The live input is behind, ms: it goes first.
const BEHIND_MS: i64 = 2_000;

/// Has files of `lake` merged that are older than `after_ms`, until what is returned is dropped.
pub(super) fn start(
    lake: &Lake,
    after_ms: i64,
    telemetry: &Arc<Telemetry>,
    stop: &Arc<AtomicBool>,
) -> Sender<()> {
    let (committing, committer_ended) = channel();
    let work = Work {
        compactor: RefCell::new(lake.compactor(after_ms)),
        telemetry: Arc::clone(telemetry),
        stop: Arc::clone(stop),
        committing: committer_ended,
    };
    let name = "compactor".to_owned();
    if let Err(error) = std::thread::Builder::new().name(name).spawn(move || work.run()) {
        tracing::warn!(%error, "no thread can be started: files are not merged");
    }
    committing
}

/// See the module's documentation.
#[derive(Debug)]
struct Work {
    compactor: RefCell<Compactor>,
    telemetry: Arc<Telemetry>,
    stop: Arc<AtomicBool>,
    /// Ends with the committer.
    committing: Receiver<()>,
}

impl Work {
    fn run(self) {
        let mut rest = LOOK_EVERY;
        while self.committing.recv_timeout(rest) == Err(RecvTimeoutError::Timeout) {
            rest = LOOK_EVERY;
            if self.telemetry.recovery().is_some() || !self.go_on() {
                continue;
            }
            let began = monotonic();
            match self.compactor.borrow_mut().step(&|| self.go_on()) {
                Ok(Some(compacted)) => {
                    self.telemetry.compacted(&compacted);
                    rest = began.elapsed() * REST;
                }
                Ok(None) => rest = rest.max(began.elapsed() * REST),
                Err(error) => {
                    self.telemetry.metrics.compaction_failures_total().inc();
                    tracing::warn!(error = %crate::chain(&error), "files cannot be merged now");
                    rest = REST_AFTER_ERROR;
                }
            }
        }
    }

    /// Waits for the live input; `false` if it is to end.
    fn go_on(&self) -> bool {
        let is_wanted = || {
            let is_committing = self.committing.try_recv() == Err(TryRecvError::Empty);
            is_committing && !self.stop.load(Ordering::Acquire)
        };
        while is_wanted() && self.telemetry.tick_lag_ms() > BEHIND_MS {
            std::thread::sleep(WAIT);
        }
        is_wanted()
    }
}
