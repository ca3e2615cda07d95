//! What the stages have to say besides balances: what became of records, and rows for side tables.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::model::{
    ActivityDataEntry, Arrival, Id, Outcome, PendingEntry, Period, ReadingEntry, Record,
    RejectEvent,
};

/// A notice of a tick.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Notice {
    /// How many records of each source had which outcome.
    Tally(Tally),
    /// A row of `readings`.
    Reading(ReadingEntry),
    /// A row of `activity_data`.
    ActivityData(ActivityDataEntry),
    /// A row of `pending_restatements`: what came reaches below the horizon.
    Pending(PendingEntry),
    /// The horizon has moved, and this still counts although it lies before it (a register's baseline), or
    /// may have come at any time (an activity). In the order in which it has to be said again.
    Kept(Record),
    /// A meter was heard of in another period than before ([`super::metering::newest`]).
    Heard {
        /// The meter.
        meter: Id,
        /// The period that holds the newest instant of which a usable value is known; `None` where none is any more.
        newest: Option<Period>,
    },
    /// A reading that cannot be booked under the facts known now, or no longer is such.
    Waiting {
        /// `Parked` or `Rejected`, later perhaps `Resolved`.
        event: RejectEvent,
        /// The meter (or the activity).
        meter: Id,
        /// Its instant, ms.
        at_ms: i64,
        /// Where it came from.
        arrival: Arrival,
        /// Why; `None` for `Resolved`.
        why: Option<String>,
    },
}

/// Counts of a tick.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Tally {
    /// Records by (source, outcome).
    pub outcomes: BTreeMap<(u16, Outcome), u64>,
}

impl Tally {
    /// Counts one record.
    pub fn count(&mut self, source: u16, outcome: Outcome) {
        *self.outcomes.entry((source, outcome)).or_default() += 1;
    }

    /// Whether there is nothing to tell.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.outcomes.is_empty()
    }
}
