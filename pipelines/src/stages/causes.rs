//! Why what is settled changes: the reasons of a tick's entries, from where they arise to where they are booked.
//!
//! ```text
//! metering, activities ── (tick, activity key) ──┐
//!                                                ├─▶ causes ──▶ entries: the reason of (tick, key, use)
//! rates ───────────────── (tick, use) ───────────┘
//! ```
//!
//! 1. An entry's tick tells what kind of thing moved: its sub-tick. Within readings and meters, and within factors,
//!    whoever hands out a difference notes why, before it hands it out. *So the note is there when the entry is.*
//! 2. Only what changes a settled period is noted. *Else every reading would be.*
//! 3. Entries ask by their tick, and by the activity's key or its use, as what moved tells: a product changes by one of
//!    its sides at a time, for both have sub-ticks of their own.
//! 4. What lies behind the frontier of those who ask is forgotten.
//!
//! Metering and whoever books its entries are on the same worker, and rates go to all: the notes are the worker's own.
//!
//! Rejected: the reason as a part of the keys. It would be kept in every arrangement, and a period that was restated
//! would never be empty again: what was booked for one reason is taken back for another.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use super::rates::Use;
use crate::model::{ActivityKey, Cause, Reason, Tick};

/// See the module's documentation. Clones share their notes.
#[derive(Clone, Debug, Default)]
pub(crate) struct Causes(Rc<RefCell<Notes>>);

#[derive(Debug, Default)]
struct Notes {
    activity: BTreeMap<Tick, BTreeMap<ActivityKey, Reason>>,
    rates: BTreeMap<Tick, BTreeMap<Use, Reason>>,
}

impl Causes {
    /// Notes why the balance of `key` changes at `tick`, where it was booked before, at `settles_ms`.
    pub(crate) fn note(&self, tick: Tick, settles_ms: i64, key: ActivityKey, reason: Reason) {
        if tick > Tick::new(settles_ms, Cause::Time) {
            let mut notes = self.0.borrow_mut();
            notes.activity.entry(tick).or_default().insert(key, reason);
        }
    }

    /// Notes why the rates of `used` change at `tick`.
    pub(crate) fn note_rates(&self, tick: Tick, used: Use, reason: Reason) {
        self.0.borrow_mut().rates.entry(tick).or_default().insert(used, reason);
    }

    /// Why an entry about `key` is booked at `tick`, after its period has settled. `key` names the factor that was
    /// asked for, where the entry is an emission.
    pub(crate) fn reason(&self, tick: Tick, key: &ActivityKey) -> Reason {
        let notes = self.0.borrow();
        let found = if tick.is(Cause::Time) {
            // Nothing else waits for time after its period has settled.
            Some(&Reason::GapClosed)
        } else if tick.is(Cause::Factors) {
            let used = (key.factor, key.unit, key.period);
            notes.rates.get(&tick).and_then(|of_tick| of_tick.get(&used))
        } else if tick.is(Cause::Contracts) {
            Some(&Reason::ContractChange)
        } else {
            notes.activity.get(&tick).and_then(|of_tick| of_tick.get(key))
        };
        found.copied().unwrap_or(Reason::Restated)
    }

    /// Forgets the notes of ticks before `tick`; of all, where nobody asks any more.
    pub(crate) fn forget_before(&self, tick: Option<Tick>) {
        let mut notes = self.0.borrow_mut();
        match tick {
            Some(tick) => {
                notes.activity = notes.activity.split_off(&tick);
                notes.rates = notes.rates.split_off(&tick);
            }
            None => *notes = Notes::default(),
        }
    }
}
