//! What a restart feeds to bring the dataflow to the state at the ledger's committed cut S.
//!
//! ```text
//! journal:  facts ≤ S   kept   frames ≤ S                      S
//!              │          │       │  in large slices           │
//! ticks:     S-n ───────────── S-n+1 ── S-n+2 ── ... ── S-1 ── S ──▶ later frames, at their own
//! ```
//!
//! 1. Node and factor rows first, and what was kept from before the horizon. *When they were learned does not
//!    matter: whatever is derived up to S is in the tables already.*
//! 2. Frames in their order, and meter rows between them where they were learned. *Which readings wait for a
//!    row, and have told so, depends on it.* An activity from before the horizon's last move, or from before it
//!    was recalled, is among what was kept, and passed over.
//! 3. All at instants just before S, so that nothing derived lies after it. The engine is told S: its horizon
//!    is that of S from the beginning.
//!
//! Proven on random histories by `pipelines/tests/restart.rs`.

use std::collections::BTreeMap;

use plumeline_pipelines::hindsight::Recall;
use plumeline_pipelines::model::{Cause, Fact, Id, Policy, Record, Tick};

use super::ingest::SEAL_RECORDS_MAX;
use super::opening::Opening;
use crate::journal::{FactLine, JournalError, Kept, Reader};

/// A tick of a restart.
#[derive(Debug, Default)]
pub(super) struct Slice {
    /// The instant, ms.
    pub ms: i64,
    /// Facts learned (1) and taken back (-1).
    pub facts: Vec<(Fact, i64)>,
    /// Records.
    pub records: Vec<Record>,
    /// What was kept from before the horizon.
    pub kept: Vec<Record>,
    /// What is to be kept in its place.
    pub recalls: Vec<Recall>,
    /// What a restatement adds to the opening balance.
    pub opening: Opening,
}

/// A restart.
#[derive(Debug)]
pub(super) struct Plan {
    /// Records in the journal up to S.
    pub records: i64,
    /// What is fed.
    pub slices: Slices,
}

/// The slices of a restart, one after the other: memory holds one.
#[derive(Debug)]
pub(super) struct Slices {
    /// The committed cut, ms.
    cut_ms: i64,
    /// When the horizon moved last, if something was kept then, ms.
    moved_ms: Option<i64>,
    /// Activities that were recalled, and when, ms.
    recalled: BTreeMap<Id, i64>,
    first: Option<Slice>,
    /// Rows of meters still to come, in order.
    meters: std::iter::Peekable<std::vec::IntoIter<FactLine>>,
    /// The next slice's instant, ms.
    next_ms: i64,
    /// The last tick of the journal that is in a slice, ms.
    read_ms: i64,
    /// The last slice was given.
    is_done: bool,
}

/// What is fed to restore the state at the cut of `cut_ms`.
///
/// # Errors
/// If the journal cannot be read, or lacks what was kept at the horizon's last move.
pub(super) fn plan(reader: &Reader, policy: &Policy, cut_ms: i64) -> Result<Plan, JournalError> {
    let (frames, records) = reader.count_until(cut_ms)?;
    let moved_ms = policy.horizon_moved_ms(Tick::new(cut_ms, Cause::Cut));
    let kept = reader.kept(moved_ms, cut_ms)?;
    if kept.is_none() && reader.next_ms(i64::MIN, moved_ms - 1)?.is_some() {
        return Err(JournalError::Ledger(
            "the journal lacks what was kept when the horizon last moved: it was edited, or is another one"
                .to_owned(),
        ));
    }
    let lines = reader.facts_until(cut_ms)?;
    let (meters, others): (Vec<_>, Vec<_>) =
        lines.into_iter().partition(|line| matches!(line.learned.change.fact, Fact::Meter(_)));
    let slices = frames + i64::try_from(meters.len()).unwrap_or(i64::MAX) + 3;
    let moved_ms = kept.is_some().then_some(moved_ms);
    let Kept { records: kept, recalled } = kept.unwrap_or_default();
    let first_ms = cut_ms - slices;
    let first = Slice {
        ms: first_ms,
        facts: others.into_iter().map(change).collect(),
        kept,
        ..Slice::default()
    };
    let slices = Slices {
        cut_ms,
        moved_ms,
        recalled,
        first: Some(first),
        meters: meters.into_iter().peekable(),
        next_ms: first_ms + 1,
        read_ms: i64::MIN,
        is_done: false,
    };
    Ok(Plan { records, slices })
}

impl Slices {
    /// The next slice; `None` after the last, which is the cut's own instant.
    ///
    /// # Errors
    /// If the journal cannot be read.
    pub(super) fn next(&mut self, reader: &Reader) -> Result<Option<Slice>, JournalError> {
        if let Some(first) = self.first.take() {
            return Ok(Some(first));
        }
        if self.is_done {
            return Ok(None);
        }
        let mut slice = Slice { ms: self.next_ms, ..Slice::default() };
        self.next_ms += 1;
        while slice.records.len() < SEAL_RECORDS_MAX {
            let tick = reader.next_ms(self.read_ms, self.cut_ms)?;
            let meters_ms = self.meters.peek().map(|line| line.ms);
            let Some(ms) = tick.into_iter().chain(meters_ms).min() else {
                self.is_done = true;
                slice.ms = self.cut_ms;
                break;
            };
            // Rows come before the records of their tick, and after those of earlier ones.
            if meters_ms == Some(ms) && !slice.records.is_empty() {
                break;
            }
            while let Some(line) = self.meters.next_if(|line| line.ms == ms) {
                slice.facts.push(change(line));
            }
            if tick == Some(ms) {
                let is_new = self.moved_ms.is_none_or(|moved_ms| ms >= moved_ms);
                let mut records = reader.tick(ms)?.frame.records;
                records.retain(|record| match record {
                    Record::Reading(_) => true,
                    Record::Activity(activity) => {
                        let recalled_ms = self.recalled.get(&activity.activity);
                        is_new && recalled_ms.is_none_or(|recalled_ms| ms > *recalled_ms)
                    }
                });
                slice.records.append(&mut records);
                self.read_ms = ms;
            }
        }
        Ok(Some(slice))
    }
}

fn change(line: FactLine) -> (Fact, i64) {
    line.learned.change.diff()
}
