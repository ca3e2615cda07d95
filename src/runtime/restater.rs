//! Works off what is pending below the horizon, behind the live input.
//!
//! ```text
//!  feeder, workers ──what is pending──▶ Desk ──▶ restater ── lake ─▶ differences ─▶ journal
//!  feeder ◀──────────what is proposed── Desk ◀──────┘
//! ```
//!
//! 1. What reaches below the horizon is noted at the desk, with the instant at which it was learned. Before anything
//!    else happens, the tables say what is left from earlier runs. *A fact that changed while the program was down
//!    is the first thing it learns, and how far back it reaches depends on how far back anything was said.*
//! 2. Once that is in the ledger, the restater computes what is missing ([`crate::restate`]), part by part into
//!    the journal, and proposes it. *It reads what is committed, so there is nothing it could miss.*
//! 3. The feeder takes it along with its next cut, if the horizon has not moved since; else it is computed again.
//! 4. When that cut is in the ledger, all that was learned up to the restatement's K is done. It rests nine times
//!    as long as it computed. *Late readings that never stop must not cost more than a tenth of a core.* An import
//!    is computed once, when all of it is in the ledger, and nothing rests.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use plumeline_pipelines::model::{Names, Policy};
use plumeline_sinks::delta::{LakeConfig, Rows};

use super::clock::monotonic;
use super::desk::Desk;
use super::patience::{Patience, Target, insist};
use super::telemetry::Telemetry;
use crate::journal::{Journal, JournalError, Reader, Restating};
use crate::restate::{
    Base, Periods, Request, RestateError, SHARE_ROWS, proposing, recalls, restate,
};

/// How often to look whether there is something to do.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// How long it rests, in times of how long it worked.
const REST: u32 = 9;
/// How long it rests after tables that could not be read.
const REST_AFTER_ERROR: Duration = Duration::from_secs(30);
/// The live input is behind, ms: it goes first.
const BEHIND_MS: i64 = 2_000;

/// What the restater works with.
#[derive(Debug)]
pub(super) struct Parts {
    /// Whether to restate without being asked.
    pub is_auto: bool,
    /// Whether there is nothing else to do: then it begins once all input is in the ledger, and never rests.
    pub is_alone: bool,
    /// The tables.
    pub lake: LakeConfig,
    /// What decides results.
    pub policy: Policy,
    /// Names of this process.
    pub names: Arc<Names>,
    /// The state folder.
    pub folder: PathBuf,
    /// Takes proposals.
    pub journal: Arc<Journal>,
    /// Knows what is kept.
    pub reader: Reader,
    /// With the feeder and the workers.
    pub desk: Arc<Desk>,
    /// For metrics and health.
    pub telemetry: Arc<Telemetry>,
    /// Set when somebody asks us to end.
    pub stop: Arc<AtomicBool>,
    /// Ends with the feeder.
    pub feeding: Receiver<()>,
}

/// See the module's documentation.
#[derive(Debug)]
pub(super) struct Restater {
    parts: Parts,
    /// Somebody has asked, and there may be something left to do.
    is_asked: bool,
    not_before: Instant,
}

impl Restater {
    pub(super) fn new(parts: Parts) -> Self {
        Self { parts, is_asked: false, not_before: monotonic() }
    }

    /// Runs until the feeder ends.
    ///
    /// # Errors
    /// An error of the journal that cannot pass.
    pub(super) fn run(mut self) -> Result<(), JournalError> {
        while self.parts.feeding.recv_timeout(LOOK_EVERY) == Err(RecvTimeoutError::Timeout) {
            if monotonic() < self.not_before || self.parts.telemetry.recovery().is_some() {
                continue;
            }
            self.is_asked |= self.parts.telemetry.take_restatement_asked();
            if !self.parts.is_auto && !self.is_asked {
                continue;
            }
            let Parts { desk, telemetry, is_alone, .. } = &self.parts;
            if *is_alone && !desk.has_all(telemetry.committed_ms()) {
                continue;
            }
            let rest = if *is_alone { 0 } else { REST };
            let began = monotonic();
            let outcome = self.compute();
            let rest = began.elapsed() * rest;
            let outcome = match outcome {
                Ok(Some(known_ms)) => self.wait_until_booked(known_ms),
                Ok(None) => continue,
                Err(problem) => Err(problem),
            };
            match outcome {
                Ok(()) => self.not_before = monotonic() + rest,
                Err(Problem::Journal(error)) if !error.is_transient() => return Err(error),
                Err(Problem::Restate(RestateError::Ended)) => return Ok(()),
                Err(problem) => {
                    let error: &dyn std::error::Error = match &problem {
                        Problem::Journal(error) => error,
                        Problem::Restate(error) => error,
                    };
                    tracing::warn!(error = %crate::chain(error), "nothing can be restated now");
                    self.parts.desk.give_up();
                    self.not_before = monotonic() + rest.max(REST_AFTER_ERROR);
                }
            }
        }
        Ok(())
    }

    /// Computes and proposes what is missing, if anything is pending that is in the ledger, or somebody asked; says
    /// up to which instant everything was known, ms.
    fn compute(&mut self) -> Result<Option<i64>, Problem> {
        let Parts { lake, policy, names, folder, journal, desk, telemetry, stop, .. } = &self.parts;
        let Some(committed_ms) = telemetry.committed_ms() else { return Ok(None) };
        if !desk.begin(committed_ms, self.is_asked) {
            return Ok(None);
        }
        self.is_asked = false;
        let patience = || Patience::new(Target::Journal, telemetry, stop);
        let id = insist(patience(), || journal.propose())?;
        let write = |part, rows: &Rows| -> Result<(), Problem> {
            Ok(insist(patience(), || journal.propose_part(id, part, rows))?)
        };
        let may_go_on = |permille| {
            telemetry.set_restating(Some(permille));
            while telemetry.tick_lag_ms() > BEHIND_MS && !stop.load(Ordering::Acquire) {
                std::thread::sleep(LOOK_EVERY);
            }
            !stop.load(Ordering::Acquire)
        };
        let request = Request {
            lake: lake.clone(),
            policy,
            periods: Periods::Cold,
            base: Base::Ledger,
            names: Arc::clone(names),
            scratch: folder,
            share_rows: SHARE_ROWS,
            may_go_on: &may_go_on,
        };
        let found = proposing(write, |give| restate(&request, give));
        telemetry.set_restating(None);
        let Some(found) = found? else {
            desk.give_up();
            return Ok(None);
        };
        let entry = found.entry;
        let recalls = recalls(found, &self.parts.reader, policy)?;
        tracing::info!(
            activity = entry.activity,
            emissions = entry.emissions,
            footprints = entry.footprints,
            recalls = recalls.len(),
            "computed what is missing below the horizon"
        );
        fail::fail_point!("proposed");
        desk.propose(Restating { id, entry, recalls });
        Ok(Some(entry.known_ms))
    }

    fn wait_until_booked(&self, known_ms: i64) -> Result<(), Problem> {
        let Parts { desk, telemetry, feeding, .. } = &self.parts;
        loop {
            if desk.settle(known_ms, telemetry.committed_ms()) {
                return Ok(());
            }
            if feeding.recv_timeout(LOOK_EVERY) != Err(RecvTimeoutError::Timeout) {
                return Err(Problem::Restate(RestateError::Ended));
            }
        }
    }
}

/// Why nothing is restated now.
#[derive(Debug)]
enum Problem {
    Journal(JournalError),
    Restate(RestateError),
}

impl From<JournalError> for Problem {
    fn from(error: JournalError) -> Self {
        Self::Journal(error)
    }
}

impl From<RestateError> for Problem {
    fn from(error: RestateError) -> Self {
        Self::Restate(error)
    }
}
