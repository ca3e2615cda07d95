//! What the workers are given: the ticks, each worker its share.

use plumeline_pipelines::model::Tick;

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
    /// What it is given.
    pub slice: Slice,
    /// The seal ends a commit.
    pub cut: Option<Tick>,
    /// What it is to whoever sees it.
    pub phase: Phase,
}

impl Seal {
    /// A share for each of `workers`: what is not a record goes to the first.
    pub(super) fn shares(
        mut slice: Slice,
        workers: usize,
        (cut, phase): (Option<Tick>, Phase),
    ) -> impl Iterator<Item = Self> {
        let (ms, mut records) = (slice.ms, std::mem::take(&mut slice.records));
        let mut first = Some(slice);
        (1..=workers).rev().map(move |workers_left| {
            let share = records.len().div_ceil(workers_left);
            let records = records.split_off(records.len() - share);
            let others = first.take().unwrap_or_default();
            Self { slice: Slice { ms, records, ..others }, cut, phase }
        })
    }
}
