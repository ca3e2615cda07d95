//! Why what contracts cover is booked anew below the horizon: because of contracts and certificates, or because a month or
//! year is over, where nothing else has changed of the time in which it was matched.
//!
//! | what else could have changed it | it is in |
//! |---|---|
//! | load, or what a plant put out | differences of meters and activities in the same hour, or year |
//! | the factor they are under, the node, the tree | rows of `meters` and `nodes`, and activities, that came since |
//! | rates | rows of `factors`, `series` and `prices` that came since |
//!
//! What nothing of that touches has reason `contract_change`. *Where several causes meet, a single entry has them all, and
//! says `restated`.*

use std::collections::BTreeSet;

use plumeline_pipelines::model::time::HOUR_MS;
use plumeline_pipelines::model::{Fact, Matching, Period, Policy, Subject, ToDate};
use plumeline_pipelines::stages::matching::hour_of;

use super::heard::Heard;
use super::reasons::History;

/// See the module's documentation.
#[derive(Debug)]
pub(super) struct Coverings<'h> {
    policy: &'h Policy,
    history: &'h History,
    /// Some contract matches by more than the hour.
    has_windows: bool,
    /// Where load or output has changed, or may have come under another factor: the first instants of hours or years, ms.
    moved: BTreeSet<i64>,
}

impl<'h> Coverings<'h> {
    /// Of what is known at once of `facts` and `heard`, where these have changed.
    pub(super) fn new<'f>(
        (policy, history): (&'h Policy, &'h History),
        (facts, heard): (impl Iterator<Item = &'f Fact>, &Heard),
        changed: impl Iterator<Item = (Subject, Period)>,
    ) -> Self {
        let contracts = facts.filter_map(|fact| match fact {
            Fact::Contract(row) => Some(row.matching),
            _ => None,
        });
        let contracts: BTreeSet<Matching> = contracts.collect();
        let has_windows = contracts.iter().any(|matching| matching.window().is_some());
        let mut coverings = Self { policy, history, has_windows, moved: BTreeSet::new() };
        if contracts.is_empty() {
            return coverings;
        }
        let records = changed.filter(|(subject, _)| subject.has_records());
        let mut moved: BTreeSet<i64> =
            records.map(|(_, period)| coverings.window(period).0).collect();
        for (received_ms, (from_ms, to_ms)) in heard.activities() {
            let mut period = policy.period_of(from_ms);
            while period.start_ms(policy.period_ms) < to_ms {
                let window = coverings.window(period);
                if received_ms > history.first_booked_by_ms(policy, window) {
                    moved.insert(window.0);
                }
                period = policy.period_of(window.1.max(period.end_ms(policy.period_ms)));
            }
        }
        coverings.moved = moved;
        coverings
    }

    /// The time in which a period is matched, or may be, ms.
    fn window(&self, period: Period) -> (i64, i64) {
        let hour_ms = hour_of(self.policy, period);
        let year = self.policy.calendar.around(ToDate::Year, hour_ms).filter(|_| self.has_windows);
        year.unwrap_or_else(|| (hour_ms, hour_ms + HOUR_MS.max(self.policy.period_ms)))
    }

    /// Whether what is covered of `period` can have changed by contracts alone; of emissions, also by no `rates`.
    pub(super) fn is_by_contracts(
        &self,
        (subject, period): (Subject, Period),
        rates: bool,
    ) -> bool {
        if subject.has_records() {
            return false;
        }
        let window = self.window(period);
        let by_others = self.moved.contains(&window.0)
            || self.history.has_learned_of_places(self.policy, window)
            || (rates && self.history.has_learned_of_rates(self.policy, period));
        !by_others
    }
}
