//! What a tick has to tell of readings, beside the activity they come to.

use std::collections::BTreeMap;
use std::ops::Range;

use super::newest::Newest;
use super::{Options, Said};
use crate::model::{Id, Outcome, PendingCause, PendingEntry, Policy, Reading, ReadingEntry};
use crate::stages::notice::{Notice, Tally};

/// What a tick has to tell.
#[derive(Default)]
pub(super) struct Told {
    /// Its instant, ms.
    ms: i64,
    tally: Tally,
    pub(super) notices: Vec<Notice>,
    /// What reaches below the horizon, by meter.
    pending: BTreeMap<Id, PendingEntry>,
    /// A period in which a meter was heard of, ms: most are in the same one, which spares two divisions a meter.
    heard_in: Range<i64>,
}

impl Told {
    /// Nothing yet, at the instant `ms`.
    pub(super) fn at(ms: i64) -> Self {
        Self { ms, ..Self::default() }
    }

    /// Notes what became of a reading; one that says something new is handed out where readings are kept. *Also
    /// one that does not fit: a later row may cure it, and then the ledger rests on it.*
    pub(super) fn take(&mut self, reading: &Reading, (outcome, row): Said, keep: bool) {
        let Reading { meter, at_ms, arrival, .. } = *reading;
        if let Some((event, why)) = row {
            let why = Some(why);
            self.notices.push(Notice::Waiting { event, meter, at_ms, arrival, why });
        }
        self.tally.count(arrival.source, outcome);
        if outcome != Outcome::Duplicate && keep {
            let (record, received_ms) = (reading.clone(), self.ms);
            self.notices.push(Notice::Reading(ReadingEntry { record, received_ms, outcome }));
        }
    }

    /// Notes readings that reach below the horizon: what they say of there is not booked.
    pub(super) fn reach(&mut self, readings: &[Reading], policy: &Policy, horizon_ms: i64) {
        for reading in readings {
            let Reading { meter, at_ms, from_ms, .. } = *reading;
            let from_ms = from_ms.unwrap_or(at_ms - 1);
            if from_ms >= horizon_ms {
                continue;
            }
            let about = (PendingCause::Readings, meter);
            if let Some(entry) = PendingEntry::of(policy, about, (from_ms, at_ms), self.ms) {
                self.pending.entry(meter).and_modify(|sum| sum.merge(&entry)).or_insert(entry);
            }
        }
    }

    /// Notes that readings tell what happened since `since_ms`: what of it lies below the horizon is not booked.
    pub(super) fn reach_back(
        &mut self,
        meter: Id,
        since_ms: i64,
        policy: &Policy,
        horizon_ms: i64,
    ) {
        if since_ms < horizon_ms {
            let about = (PendingCause::Readings, meter);
            if let Some(entry) = PendingEntry::of(policy, about, (since_ms, horizon_ms), self.ms) {
                self.pending.entry(meter).and_modify(|sum| sum.merge(&entry)).or_insert(entry);
            }
        }
    }

    /// Notes when a meter was last heard of, before and now.
    pub(super) fn hear(&mut self, meter: Id, (before, now): (Newest, Newest), options: &Options) {
        let is_same = before.is_in(&self.heard_in) && now.is_in(&self.heard_in);
        if is_same || before == now || !options.tells_heard {
            return;
        }
        let (policy, newest) = (&options.policy, now.period(&options.policy));
        if let Some(period) = newest {
            self.heard_in = period.start_ms(policy.period_ms)..period.end_ms(policy.period_ms);
        }
        if newest != before.period(policy) {
            self.notices.push(Notice::Heard { meter, newest });
        }
    }

    pub(super) fn into_notices(mut self) -> Vec<Notice> {
        self.notices.extend(self.pending.into_values().map(Notice::Pending));
        if !self.tally.is_empty() {
            self.notices.push(Notice::Tally(self.tally));
        }
        self.notices
    }
}
