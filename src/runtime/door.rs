//! Whose reading it is: the door through which readings come, under whatever name.
//!
//! ```text
//!  reading of m-100 ──▶ door ──▶ reading of m-1 ──▶ journal ──▶ dataflow, tables: they know m-1 alone
//!                         ▲                            │
//!                         └───── again: those of m-100 ┘  that came before anybody knew
//! ```
//!
//! 1. A reading whose meter is another name of one becomes one of that meter before it is journaled. *So a restart, a
//!    restore, a restatement and whoever computes the ledger again need not know of names.*
//! 2. A name that becomes known is put down in the journal, with how far its frames go by then. *A kill before that
//!    leaves it new; one after it finds what is left to do.*
//! 3. Before anything else is taken in, what those frames hold under the name above the horizon is taken in again, as
//!    if its gateway had sent it once more: a part at a time, in the order in which it came, and with how far that was.
//!    *So it stays before what comes later, which may correct it; a restart goes on behind it; memory holds a part.*
//! 4. A name that is one no more changes nothing that was taken in: later readings under it wait for a meter.
//!
//! What lies below the horizon is not in the journal for sure: it is passed over, and stays parked under the name.
//! Whoever has it as a file gives a copy of that to `plumeline backfill`: the file itself was read.
//!
//! Taking in again, brokers and files wait. It takes the time of reading the journal once, a small part of a restart's:
//! some 7 million readings a second where each frame names the meter, 40 million where none does, since those are passed
//! over by their dictionary; and that of journaling what is found. Nothing can be twice in the ledger by it: who finds a
//! name new that was known before (a state folder was restored) takes in what is there as duplicates. In
//! `plumeline_readings_total` it counts once more, and in `rejects` it is `resolved` under the name it came under.
//!
//! Rejected: names in the dataflow, as rows that hold for a time. A late reading under the old name is one of the same
//! device, and every stage, table and reader would have to know.

use std::collections::{BTreeMap, BTreeSet};

use plumeline_pipelines::model::{Cause, Id, Policy, Reading, Tick};

use crate::journal::{Again, Aliases, JournalError, Reader};

/// Readings that are taken in again at a time, about: what one commit of the journal holds.
const PART_READINGS: usize = 20_000;

/// See the module's documentation.
#[derive(Debug)]
pub(super) struct Door {
    reader: Reader,
    policy: Policy,
    /// As the journal has it, or will with the next part.
    aliases: Aliases,
    /// By the id of a name, the id of its meter: a look-up for every reading. Empty where no meter has other names.
    meters: Vec<Id>,
}

impl Door {
    /// Goes on from what the journal remembers.
    ///
    /// # Errors
    /// If it cannot be read.
    pub(super) fn open(reader: Reader, policy: &Policy) -> Result<Self, JournalError> {
        let aliases = reader.aliases()?;
        let meters = by_id(&aliases.meters);
        Ok(Self { reader, policy: policy.clone(), aliases, meters })
    }

    /// Whose readings come under the name `meter`.
    pub(super) fn meter_of(&self, meter: Id) -> Id {
        let index = usize::try_from(meter.0).expect("an id fits a usize");
        self.meters.get(index).copied().filter(|known| !known.is_none()).unwrap_or(meter)
    }

    /// What the journal should have.
    pub(super) fn aliases(&self) -> &Aliases {
        &self.aliases
    }

    /// From now on these are the other names of meters; says how many are new. What the journal holds under those is
    /// to be taken in again.
    ///
    /// # Errors
    /// If the journal cannot be read.
    pub(super) fn learn(&mut self, meters: BTreeMap<Id, Id>) -> Result<usize, JournalError> {
        let known = &self.aliases.meters;
        let is_new = |(alias, meter): &(&Id, &Id)| known.get(*alias) != Some(*meter);
        let mut names: BTreeSet<Id> =
            meters.iter().filter(is_new).map(|(alias, _)| *alias).collect();
        let count = names.len();
        // What is under way begins anew: what it has found already are duplicates.
        names.extend(self.aliases.again.iter().flat_map(|again| &again.names));
        names.retain(|name| meters.contains_key(name));
        let newest = self.reader.newest_frame()?.filter(|_| !names.is_empty());
        self.meters = by_id(&meters);
        let again = newest.map(|until| Again { names, after: i64::MIN, until });
        self.aliases = Aliases { meters, again };
        Ok(count)
    }

    /// Whether something is left that is to be taken in again.
    pub(super) fn is_taking_again(&self) -> bool {
        self.aliases.again.is_some()
    }

    /// The next readings that are to be taken in again, under the names they came under.
    ///
    /// # Errors
    /// If the journal cannot be read.
    pub(super) fn next(&mut self, now_ms: i64) -> Result<Vec<Reading>, JournalError> {
        let Self { reader, policy, aliases, .. } = self;
        let Some(again) = &mut aliases.again else { return Ok(Vec::new()) };
        let now = Tick::new(now_ms, Cause::Cut);
        let horizon_ms = policy.horizon(now).start_ms(policy.period_ms);
        let (readings, is_last) = reader.again(again, horizon_ms, PART_READINGS)?;
        if is_last {
            aliases.again = None;
        }
        Ok(readings)
    }
}

fn by_id(meters: &BTreeMap<Id, Id>) -> Vec<Id> {
    let index = |id: &Id| usize::try_from(id.0).expect("an id fits a usize");
    let mut by_id = vec![Id::NONE; meters.keys().map(index).max().map_or(0, |max| max + 1)];
    for (alias, meter) in meters {
        by_id[index(alias)] = *meter;
    }
    by_id
}

#[cfg(test)]
#[path = "door_tests.rs"]
mod tests;
