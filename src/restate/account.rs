//! What a restatement knows of one meter or activity.

use std::collections::BTreeMap;

use plumeline_pipelines::model::{ActivityKey, Emission, EmissionKey, Measure, Record, Subject};

use super::heard::Received;

/// What is known and booked of one subject.
#[derive(Default)]
pub(super) struct Account {
    pub(super) records: Vec<Received>,
    pub(super) activity: BTreeMap<ActivityKey, Measure>,
    pub(super) emissions: BTreeMap<EmissionKey, Emission>,
}

/// What is known and booked of some of them.
pub(super) type Accounts = BTreeMap<Subject, Account>;

impl Account {
    /// Pieces it is split into, about.
    pub(super) fn pieces(&self, period_ms: i64) -> i64 {
        let mut pieces = 0_i64;
        let (mut first_ms, mut last_ms) = (i64::MAX, i64::MIN);
        for (_, record) in &self.records {
            match record {
                Record::Reading(reading) => {
                    first_ms = first_ms.min(reading.from_ms.unwrap_or(reading.at_ms));
                    last_ms = last_ms.max(reading.at_ms);
                }
                Record::Activity(activity) => {
                    pieces = pieces.saturating_add((activity.to_ms - activity.from_ms) / period_ms);
                }
            }
        }
        pieces.saturating_add(last_ms.saturating_sub(first_ms).max(0) / period_ms)
    }
}
