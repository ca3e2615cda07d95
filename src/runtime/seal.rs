//! What the workers are given: the ticks, each worker its share.

use plumeline_pipelines::hindsight::Recall;
use plumeline_pipelines::model::{Fact, Record, Tick};

use super::opening::Opening;
use super::restore::Slice;

/// What a tick is to whoever sees it.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// State from before the committed cut: nothing of it is written or told.
    Restoring,
    /// Journaled by an earlier run: written, but not counted again, nor shown yet.
    Replaying,
    /// New, but the dataflow has not caught up since the start: counted, not shown.
    CatchingUp,
    /// New.
    Live,
}

/// A worker's share of a seal.
#[derive(Debug)]
pub(super) struct Seal {
    /// The instant, ms.
    pub ms: i64,
    /// Facts learned (1) and taken back (-1), sub-tick by sub-tick.
    pub facts: Vec<(Fact, i64)>,
    /// Records.
    pub records: Vec<Record>,
    /// What was kept from before the horizon, at a restart.
    pub kept: Vec<Record>,
    /// What is to be kept in its place.
    pub recalls: Vec<Recall>,
    /// What a restatement adds to the opening balance.
    pub opening: Opening,
    /// The seal ends a commit.
    pub cut: Option<Tick>,
    /// What it is to whoever sees it.
    pub phase: Phase,
}

impl Seal {
    /// A share for each of `workers`: what is not a record goes to the first.
    pub(super) fn shares(
        slice: Slice,
        workers: usize,
        (cut, phase): (Option<Tick>, Phase),
    ) -> impl Iterator<Item = Self> {
        let Slice { ms, facts, mut records, kept, recalls, opening } = slice;
        let mut once = Some((facts, kept, recalls, opening));
        (1..=workers).rev().map(move |workers_left| {
            let share = records.len().div_ceil(workers_left);
            let records = records.split_off(records.len() - share);
            let (facts, kept, recalls, opening) = once.take().unwrap_or_default();
            Self { ms, facts, records, kept, recalls, opening, cut, phase }
        })
    }
}
