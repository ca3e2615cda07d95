//! What counts from before the horizon, told anew.

use serde::{Deserialize, Serialize};

use crate::model::{ActivityRecord, Decimal, Period, Policy, Record, Subject};

/// What is to be kept of one meter or activity from before the horizon, in place of what was.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recall {
    /// The meter or activity.
    pub subject: Subject,
    /// In the order in which it has to be said again; nothing, if nothing of it counts any more.
    pub records: Vec<Record>,
}

impl Recall {
    /// Adds what was said of an activity since, in the order it came, as a live dataflow takes it in whose horizon
    /// is `horizon`. *What is recalled is as of K; without this it would take back what was said later.*
    pub fn hear<'r>(
        &mut self,
        policy: &Policy,
        horizon: Period,
        later: impl IntoIterator<Item = &'r ActivityRecord>,
    ) {
        let is_taken = |record: &ActivityRecord| {
            record.value.is_none_or(|value| {
                let is_below = policy.period_of(record.to_ms - 1) < horizon;
                !is_below && record.unit.amount(value, Decimal::ONE).is_ok()
            })
        };
        let later = later.into_iter().filter(|record| is_taken(record)).cloned();
        self.records.extend(later.map(Record::Activity));
    }
}
