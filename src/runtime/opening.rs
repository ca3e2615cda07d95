//! The opening balance of windows to date: what the ledger holds below the horizon.
//!
//! ```text
//!  footprints ≤ S, below the horizon ──by month──▶ first worker, with the last tick of a restart, S
//!  a restatement in the journal ───────by month──▶ first worker, with the tick of its cut
//! ```
//!
//! 1. A restart reads `footprints` as of the committed cut S, on a thread of its own, while frames are restored: from
//!    the start of the year (quarter, month) that is under way at S. Later cuts are left out. *They are replayed, and
//!    what they restate is added as they are.*
//! 2. It is fed with S itself, which waits for it. *So the first tick that is shown has it.*
//! 3. What a restatement books is added at the tick of its cut. *So a window shows what the ledger will say.*
//!
//! Of rows by the hour only sums by civil month are kept: no hour is of two months (`pipelines`, `calendar`). Nothing is
//! read where no window goes by the calendar.
//!
//! Memory: the sums, and one file of the table. Time: all rows that were recorded since the window began.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, sync_channel};

use plumeline_pipelines::model::{
    Cause, Emission, FootprintEntry, FootprintKey, Names, Policy, Tick,
};
use plumeline_pipelines::reference::add;
use plumeline_pipelines::stages::to_date::{OpeningKey, booked};
use plumeline_sinks::delta::{LakeConfig, LakeError, LakeReader, TableName};

use super::crew::Crew;
use super::patience::{Patience, Target, insist};
use super::{Joint, RunError};

/// An opening balance, or how it changes.
pub(super) type Opening = BTreeMap<OpeningKey, Emission>;

/// Adds what a restatement, which knew all up to `known_ms`, has found.
pub(super) fn of_restatement(
    opening: &mut Opening,
    policy: &Policy,
    known_ms: i64,
    found: &[FootprintEntry],
) {
    if policy.calendar.windows().is_empty() {
        return;
    }
    // Another method restates everything; what lies above is restored under it.
    let known = Tick::new(known_ms, Cause::Cut);
    let horizon_ms = policy.horizon(known).start_ms(policy.period_ms);
    for row in found.iter().filter(|row| row.key.start_ms < horizon_ms) {
        put(opening, policy, &row.key, &row.change);
    }
}

fn put(opening: &mut Opening, policy: &Policy, key: &FootprintKey, change: &Emission) {
    if let Some(key) = OpeningKey::of(key, &policy.calendar) {
        add(opening, key, &booked(change));
    }
}

impl Joint<'_> {
    /// Starts to read what the ledger holds as of `restored`; `None` if nothing is asked for, or committed.
    pub(super) fn start_opening(
        &self,
        crew: &Crew,
        restored: Tick,
        is_replay: bool,
    ) -> Result<Option<Receiver<Opening>>, RunError> {
        let Self { pipeline, names, telemetry, stop, .. } = self;
        let Some((lake, longest)) =
            pipeline.lake(is_replay).zip(pipeline.policy.calendar.longest())
        else {
            return Ok(None);
        };
        let Some((from_ms, _)) = pipeline.policy.calendar.around(longest, restored.ms()) else {
            return Ok(None);
        };
        let (opening, inbox) = sync_channel(1);
        let (names, telemetry) = (Arc::clone(names), Arc::clone(telemetry));
        let (stop, policy) = (Arc::clone(stop), pipeline.policy.clone());
        crew.let_go("opening balance", move || {
            let patience = Patience::new(Target::Store, &telemetry, &stop);
            let read = || read(&lake, &names, (&policy, restored, from_ms), &stop);
            match insist(patience, read) {
                // Whoever waits for it may have ended meanwhile.
                Ok(Some(read)) => drop(opening.send(read)),
                Ok(None) => {}
                Err(_) if stop.load(Ordering::Acquire) => {}
                Err(error) => return Err(error.into()),
            }
            Ok(())
        })?;
        Ok(Some(inbox))
    }
}

/// The balance at `restored` of what begins at or after `from_ms` and lies below the horizon; `None` if it was asked to
/// stop.
fn read(
    lake: &LakeConfig,
    names: &Arc<Names>,
    (policy, restored, from_ms): (&Policy, Tick, i64),
    stop: &AtomicBool,
) -> Result<Option<Opening>, LakeError> {
    let horizon_ms = policy.horizon(restored).start_ms(policy.period_ms);
    let mut opening = Opening::new();
    if from_ms >= horizon_ms {
        return Ok(Some(opening));
    }
    let is_read = |table| table == TableName::Footprints;
    let mut reader = LakeReader::of(lake.clone(), Arc::clone(names), is_read)?;
    // What begins later is recorded later.
    reader.skip_days_before(from_ms);
    let mut rows = 0_u64;
    reader.each_batch(|cut, batch| {
        for (key, change) in &batch.footprints {
            if cut <= restored && (from_ms..horizon_ms).contains(&key.start_ms) {
                put(&mut opening, policy, key, change);
                rows += 1;
            }
        }
        !stop.load(Ordering::Acquire)
    })?;
    if stop.load(Ordering::Acquire) {
        return Ok(None);
    }
    tracing::info!(rows, balances = opening.len(), "the opening balance is read");
    Ok(Some(opening))
}
