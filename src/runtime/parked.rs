//! How many readings wait for their meter to be registered, and the limit on them.

use std::collections::{BTreeMap, BTreeSet};

use plumeline_pipelines::model::Id;

/// Readings of meters that no fact has named yet.
#[derive(Debug)]
pub(super) struct Parked {
    limit: u64,
    registered: BTreeSet<Id>,
    /// The same, indexed by id: a look-up for every reading.
    known: Vec<bool>,
    waiting: BTreeMap<Id, u64>,
    total: u64,
}

impl Parked {
    /// None, and at most `limit`.
    #[must_use]
    pub(super) fn new(limit: u64) -> Self {
        Self {
            limit,
            registered: BTreeSet::new(),
            known: Vec::new(),
            waiting: BTreeMap::new(),
            total: 0,
        }
    }

    /// A row of the meter is known: its readings wait no longer.
    pub(super) fn register(&mut self, meter: Id) {
        if !self.registered.insert(meter) {
            return;
        }
        let index = usize::try_from(meter.0).expect("an id fits a usize");
        if self.known.len() <= index {
            self.known.resize(index + 1, false);
        }
        self.known[index] = true;
        self.total -= self.waiting.remove(&meter).unwrap_or(0);
    }

    /// The name is one of another meter: no reading waits under it any more.
    pub(super) fn release(&mut self, alias: Id) {
        self.total -= self.waiting.remove(&alias).unwrap_or(0);
    }

    /// Takes in a reading of `meter`; says no where too many wait already.
    pub(super) fn admit(&mut self, meter: Id) -> bool {
        let index = usize::try_from(meter.0).expect("an id fits a usize");
        if self.known.get(index).copied().unwrap_or(false) {
            return true;
        }
        if self.total >= self.limit {
            return false;
        }
        *self.waiting.entry(meter).or_default() += 1;
        self.total += 1;
        true
    }

    /// How many wait.
    #[must_use]
    pub(super) fn total(&self) -> u64 {
        self.total
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn registering_a_meter_makes_room() {
        let mut parked = Parked::new(2);
        assert!(parked.admit(Id(1)) && parked.admit(Id(2)));
        assert!(!parked.admit(Id(1)) && parked.total() == 2);
        parked.register(Id(1));
        assert!(parked.admit(Id(1)) && parked.total() == 1);
        assert!(parked.admit(Id(3)) && !parked.admit(Id(3)));
    }

    #[test]
    fn a_name_of_another_meter_makes_room_and_is_no_meter() {
        let mut parked = Parked::new(2);
        assert!(parked.admit(Id(1)) && parked.admit(Id(1)));
        parked.release(Id(1));
        parked.release(Id(2));
        assert_eq!(parked.total(), 0);
        // It is another's no more: what comes under it waits again.
        assert!(parked.admit(Id(1)) && parked.admit(Id(1)) && !parked.admit(Id(1)));
    }
}
