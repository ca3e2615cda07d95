//! What a worker has derived for the cut that is open, consolidated by key.
//!
//! Bounded: consolidated whenever it has doubled; above [`STASH_ROWS_MAX`] a cut is asked for; and once the
//! cut is known, rows stream out in chunks instead of gathering (a revised grid factor is millions of rows).

use std::collections::BTreeMap;

use plumeline_pipelines::digest::Digester;
use plumeline_pipelines::engine::{Changes, IntoEntry, Outbox, Semigroup, consolidate};
use plumeline_pipelines::model::{
    ActivityKey, Emission, EmissionEntry, EmissionKey, FootprintKey, Measure, Reason,
};
use plumeline_sinks::delta::Rows;

/// Rows of one table that a worker gathers before it asks for a cut.
pub(super) const STASH_ROWS_MAX: usize = 2_000_000;
/// Rows of one table handed to the committer at once.
pub(super) const CHUNK_ROWS: usize = 262_144;

/// Differences of one table.
#[derive(Debug)]
struct Table<K, R> {
    changes: Vec<(K, R)>,
    consolidated: usize,
}

impl<K, R> Default for Table<K, R> {
    fn default() -> Self {
        Self { changes: Vec::new(), consolidated: 0 }
    }
}

impl<K: Ord, R: Semigroup> Table<K, R> {
    fn take(&mut self, changes: Changes<K, R>) {
        self.changes.extend(changes.into_iter().map(|(key, _tick, change)| (key, change)));
        if self.changes.len() > 2 * self.consolidated + CHUNK_ROWS {
            consolidate(&mut self.changes);
            self.consolidated = self.changes.len();
        }
    }

    /// Hands out entries; while `is_open`, whole chunks alone.
    fn drain(&mut self, is_open: bool) -> Vec<Vec<K::Entry>>
    where
        K: IntoEntry<R>,
    {
        if is_open && self.changes.len() < CHUNK_ROWS {
            return Vec::new();
        }
        consolidate(&mut self.changes);
        self.consolidated = 0;
        let changes = std::mem::take(&mut self.changes);
        let mut entries = changes.into_iter().map(|(key, change)| key.entry(change));
        let mut chunks = Vec::new();
        loop {
            let chunk: Vec<_> = entries.by_ref().take(CHUNK_ROWS).collect();
            if chunk.is_empty() {
                return chunks;
            }
            chunks.push(chunk);
        }
    }
}

/// The ledger's differences of one worker.
#[derive(Debug, Default)]
pub(super) struct Stash {
    activity: Table<(ActivityKey, Reason), Measure>,
    emissions: Table<(EmissionKey, Reason), Emission>,
    footprints: Table<FootprintKey, Emission>,
    restated: Restated,
}

/// What restatements that were handed out did, by reason.
pub(super) type Restated = BTreeMap<Reason, Sums>;

/// What restatements did to CO2e.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub struct Sums {
    /// Entries of `emissions`.
    pub entries: u64,
    /// CO2e they added, 1e-21 kg.
    pub up: i128,
    /// CO2e they took off, 1e-21 kg, not negative.
    pub down: i128,
}

impl Stash {
    /// Takes in what was derived; the windows and notices stay with the caller.
    pub(super) fn take(&mut self, outbox: &mut Outbox) {
        self.activity.take(std::mem::take(&mut outbox.activity));
        self.emissions.take(std::mem::take(&mut outbox.emissions));
        self.footprints.take(std::mem::take(&mut outbox.footprints));
    }

    /// Whether it holds more than it should.
    #[must_use]
    pub(super) fn is_full(&self) -> bool {
        self.activity.changes.len().max(self.emissions.changes.len()) > STASH_ROWS_MAX
    }

    /// Hands out rows of the cut, and adds them to the digests; while the cut's dataflow is under way
    /// (`is_open`), whole chunks alone.
    pub(super) fn drain(&mut self, is_open: bool, digester: &mut Digester) -> Vec<Rows> {
        let mut rows: Vec<Rows> = Vec::new();
        let activity = self.activity.drain(is_open);
        for entry in activity.iter().flatten() {
            digester.activity(&entry.key, &entry.change);
        }
        rows.extend(activity.into_iter().map(Rows::Activity));
        let emissions = self.emissions.drain(is_open);
        for entry in emissions.iter().flatten() {
            count(&mut self.restated, entry);
            digester.emission(&entry.key, &entry.change);
        }
        rows.extend(emissions.into_iter().map(Rows::Emissions));
        let footprints = self.footprints.drain(is_open);
        for entry in footprints.iter().flatten() {
            digester.footprint(&entry.key, &entry.change);
        }
        rows.extend(footprints.into_iter().map(Rows::Footprints));
        rows
    }

    /// What restatements did since the last call.
    pub(super) fn restated(&mut self) -> Restated {
        std::mem::take(&mut self.restated)
    }
}

/// Counts an entry, if it is of a restatement.
pub(super) fn count(restated: &mut Restated, entry: &EmissionEntry) {
    if entry.reason.is_restatement() {
        let sums = restated.entry(entry.reason).or_default();
        sums.entries += 1;
        let co2e = entry.change.co2e.get();
        if co2e < 0 { sums.down -= co2e } else { sums.up += co2e }
    }
}
