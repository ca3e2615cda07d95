//! What feeder, workers and restater know of each other: what is pending below the horizon, and what has become of
//! the restatement that is under way.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use plumeline_pipelines::model::{Names, PendingEntry, Policy};
use plumeline_sinks::delta::{LakeConfig, LakeError, LakeReader, TableName};

use super::telemetry::Telemetry;
use crate::journal::Restating;

/// Instants at which something became pending that are told apart.
const PENDING_MAX: usize = 4_096;

/// See the module's documentation.
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
    /// All sources have ended, and this was the last tick before, ms.
    ended_ms: Option<i64>,
}

/// What has become of a restatement.
#[derive(Debug, Default, PartialEq, Eq)]
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

    /// All sources have ended: nothing comes after the tick at `ms`.
    pub(super) fn note_end(&self, ms: i64) {
        self.state().ended_ms.get_or_insert(ms);
    }

    /// Whether all sources have ended, and all that they brought is in the ledger, whose newest cut is that of
    /// `committed_ms`.
    pub(super) fn has_all(&self, committed_ms: Option<i64>) -> bool {
        self.state().ended_ms.is_some_and(|ended_ms| committed_ms >= Some(ended_ms))
    }

    /// A restatement begins that knows all up to `committed_ms`, if something is due that is in the ledger by then,
    /// or somebody asked and nothing is pending that is not.
    pub(super) fn begin(&self, committed_ms: i64, is_asked: bool) -> bool {
        let mut state = self.state();
        let first_ms = state.pending.keys().next().copied();
        let is_due = first_ms.map_or(is_asked, |first_ms| first_ms <= committed_ms);
        if is_due {
            // Before the tables are read: what is read is as of this cut, or a later one.
            (state.known_ms, state.stage) = (Some(committed_ms), Stage::None);
        }
        is_due
    }

    /// What was begun has come to nothing.
    pub(super) fn give_up(&self) {
        self.state().known_ms = None;
    }

    /// What was begun waits for a cut.
    pub(super) fn propose(&self, restating: Restating) {
        self.state().stage = Stage::Proposed(restating);
    }

    /// Whether what was proposed is done with: not wanted any more, or in the ledger, whose newest cut is that of
    /// `committed_ms`. Then what was learned up to `known_ms` is not pending any more.
    pub(super) fn settle(&self, known_ms: i64, committed_ms: Option<i64>) -> bool {
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
        let stage = &mut self.state().stage;
        match std::mem::replace(stage, Stage::Stale) {
            Stage::Proposed(restating) if restating.entry.to_ms == horizon_ms => {
                *stage = Stage::Taken(ms);
                Some(restating)
            }
            Stage::Proposed(_) => None,
            other => {
                *stage = other;
                None
            }
        }
    }
}
