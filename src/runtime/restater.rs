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
//!    as long as it computed. *Late readings that never stop must not cost more than a tenth of a core.*

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use plumeline_pipelines::hindsight::Recall;
use plumeline_pipelines::model::{
    Arrival, Cause, Names, PendingEntry, Policy, Record, Subject, Tick,
};
use plumeline_sinks::delta::{LakeConfig, LakeError, LakeReader, Rows, TableName};

use super::clock::monotonic;
use super::patience::{Patience, Target, insist};
use super::telemetry::Telemetry;
use crate::journal::{Journal, JournalError, Reader, Restating};
use crate::restate::{Found, Request, RestateError, SHARE_ROWS, restate};

/// How often to look whether there is something to do.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// How long it rests, in times of how long it worked.
const REST: u32 = 9;
/// How long it rests after tables that could not be read.
const REST_AFTER_ERROR: Duration = Duration::from_secs(30);
/// The live input is behind, ms: it goes first.
const BEHIND_MS: i64 = 2_000;
/// Instants at which something became pending that are told apart.
const PENDING_MAX: usize = 4_096;

/// What feeder, workers and restater know of each other. See the module's documentation.
#[derive(Debug)]
pub(super) struct Desk {
    policy: Policy,
    telemetry: Arc<Telemetry>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Periods that may change, by the instant at which that was learned, ms.
    pending: BTreeMap<i64, u64>,
    /// All of them.
    periods: u64,
    /// The earliest instant that anything below the horizon was ever about, ms.
    earliest_ms: Option<i64>,
    /// What is read is no older than this, ms, while something is computed or proposed.
    known_ms: Option<i64>,
    stage: Stage,
}

/// What has become of a restatement.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
enum Stage {
    /// There is none.
    #[default]
    None,
    /// It waits for a cut.
    Proposed(Restating),
    /// The horizon has moved meanwhile.
    Stale,
    /// The cut at this instant, ms, takes it along.
    Taken(i64),
}

impl Desk {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What the tables of `lake`, if it can be restated, say is left from earlier runs.
    ///
    /// # Errors
    /// If they cannot be read.
    pub(super) fn open(
        lake: Option<&LakeConfig>,
        names: &Arc<Names>,
        policy: &Policy,
        telemetry: Arc<Telemetry>,
    ) -> Result<Self, LakeError> {
        let desk = Self { policy: policy.clone(), telemetry, state: Mutex::default() };
        let Some(lake) = lake else { return Ok(desk) };
        let is_read = |table| matches!(table, TableName::Pending | TableName::Restatements);
        let mut reader = LakeReader::of(lake.clone(), Arc::clone(names), is_read)?;
        while let Some((_, rows)) = reader.next_cut()? {
            rows.pending.iter().for_each(|entry| desk.note(entry));
            if let Some(known_ms) = rows.restated.iter().map(|row| row.known_ms).max() {
                desk.is_booked(known_ms);
            }
        }
        Ok(desk)
    }

    /// Notes what may change.
    pub(super) fn note(&self, entry: &PendingEntry) {
        let mut state = self.state();
        let earliest_ms = state.earliest_ms.map_or(entry.from_ms, |ms| ms.min(entry.from_ms));
        state.earliest_ms = Some(earliest_ms);
        let periods = entry.periods(&self.policy);
        state.periods += periods;
        self.telemetry.set_pending(state.periods);
        let pending = &mut state.pending;
        *pending.entry(entry.learned_ms).or_default() += periods;
        if pending.len() > PENDING_MAX
            && let Some((_, oldest)) = pending.pop_first()
            && let Some(mut next) = pending.first_entry()
        {
            *next.get_mut() += oldest;
        }
    }

    /// What was learned up to `known_ms` is in the ledger, or will be with a cut that is put down.
    pub(super) fn is_booked(&self, known_ms: i64) {
        self.forget_until(&mut self.state(), known_ms);
    }

    /// What was learned up to `known_ms` is not pending any more.
    fn forget_until(&self, state: &mut State, known_ms: i64) {
        state.pending = state.pending.split_off(&(known_ms + 1));
        state.periods = state.pending.values().sum();
        self.telemetry.set_pending(state.periods);
    }

    /// Whether nothing is pending nor under way.
    pub(super) fn is_idle(&self) -> bool {
        let state = self.state();
        state.pending.is_empty() && state.stage == Stage::None && state.known_ms.is_none()
    }

    /// The earliest instant that anything below the horizon was ever about, ms.
    pub(super) fn earliest_ms(&self) -> Option<i64> {
        self.state().earliest_ms
    }

    /// What was learned after this instant, ms, may not be in a restatement that is under way; `None` if there is
    /// none.
    pub(super) fn known_ms(&self) -> Option<i64> {
        self.state().known_ms
    }

    /// Whether what was proposed is done with: not wanted any more, or in the ledger, whose newest cut is that of
    /// `committed_ms`. Then what was learned up to `known_ms` is not pending any more.
    fn settle(&self, known_ms: i64, committed_ms: Option<i64>) -> bool {
        let mut state = self.state();
        match state.stage {
            Stage::Proposed(_) => return false,
            Stage::Taken(ms) if committed_ms < Some(ms) => return false,
            Stage::Taken(_) => self.forget_until(&mut state, known_ms),
            Stage::None | Stage::Stale => {}
        }
        (state.known_ms, state.stage) = (None, Stage::None);
        true
    }

    /// What the cut at `ms` takes along, if the horizon then, `horizon_ms`, is the one it was computed for.
    pub(super) fn take(&self, ms: i64, horizon_ms: i64) -> Option<Restating> {
        let mut state = self.state();
        let Stage::Proposed(restating) = &state.stage else { return None };
        if restating.entry.to_ms == horizon_ms {
            let restating = restating.clone();
            state.stage = Stage::Taken(ms);
            Some(restating)
        } else {
            state.stage = Stage::Stale;
            None
        }
    }
}

/// What the restater works with.
#[derive(Debug)]
pub(super) struct Parts {
    /// Whether to restate without being asked.
    pub is_auto: bool,
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
            let began = monotonic();
            let outcome = self.compute();
            let rest = began.elapsed() * REST;
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
                    self.parts.desk.state().known_ms = None;
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
        {
            let mut state = desk.state();
            let first_ms = state.pending.keys().next().copied();
            let is_due = first_ms.is_some_and(|first_ms| first_ms <= committed_ms);
            if !is_due && (!self.is_asked || first_ms.is_some()) {
                return Ok(None);
            }
            self.is_asked = false;
            // Before the tables are read: what is read is as of this cut, or a later one.
            state.known_ms = Some(committed_ms);
            state.stage = Stage::None;
        }
        let patience = || Patience::new(Target::Journal, telemetry, stop);
        let id = insist(patience(), || journal.propose())?;
        let (mut part, mut failed) = (0, None);
        let mut give = |rows: Rows| {
            let written = insist(patience(), || journal.propose_part(id, part, &rows));
            part += 1;
            written.map_err(|error| {
                failed = Some(error);
                RestateError::Ended
            })
        };
        let may_go_on = || {
            while telemetry.tick_lag_ms() > BEHIND_MS && !stop.load(Ordering::Acquire) {
                std::thread::sleep(LOOK_EVERY);
            }
            !stop.load(Ordering::Acquire)
        };
        let request = Request {
            lake: lake.clone(),
            policy,
            names: Arc::clone(names),
            scratch: folder,
            share_rows: SHARE_ROWS,
            may_go_on: &may_go_on,
        };
        let found = restate(request, &mut give);
        if let Some(error) = failed {
            return Err(error.into());
        }
        let Some(found) = found? else { return Ok(None) };
        let entry = found.entry;
        let recalls = self.recalls(found)?;
        tracing::info!(
            activity = entry.activity,
            emissions = entry.emissions,
            footprints = entry.footprints,
            recalls = recalls.len(),
            "computed what is missing below the horizon"
        );
        fail::fail_point!("proposed");
        desk.state().stage = Stage::Proposed(Restating { id, entry, recalls });
        Ok(Some(entry.known_ms))
    }

    /// What is to be kept where something else is, or may be: what was said of activities since the horizon moved
    /// is not among what was kept then.
    fn recalls(&self, found: Found) -> Result<Vec<Recall>, JournalError> {
        let Found { entry, kept: wanted, recent } = found;
        let known_ms = entry.known_ms;
        let moved_ms = self.parts.policy.horizon_moved_ms(Tick::new(known_ms, Cause::Cut));
        let mut kept: BTreeMap<Subject, Vec<Record>> = BTreeMap::new();
        for record in self.parts.reader.kept(moved_ms, known_ms)?.unwrap_or_default().records {
            kept.entry(record.subject()).or_default().push(plain(record));
        }
        let recall = |(subject, records): (Subject, Vec<Record>)| {
            let records: Vec<Record> = records.into_iter().map(plain).collect();
            let is_kept = kept.remove(&subject).unwrap_or_default() == records;
            (!is_kept || recent.contains(&subject)).then_some(Recall { subject, records })
        };
        Ok(wanted.into_iter().filter_map(recall).collect())
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

/// A record without what says where it came from.
fn plain(mut record: Record) -> Record {
    *record.arrival_mut() = Arrival::default();
    record
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
