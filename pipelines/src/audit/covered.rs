//! What contracts cover, for the auditor: which hours have to be matched anew, and what is booked of them.

use std::collections::{BTreeMap, BTreeSet};

use differential_dataflow::difference::Multiply;

use super::Auditor;
use crate::model::{
    ActivityKey, Cause, Emission, EmissionKey, Measure, Method, Period, Policy, Subject, Tick,
};
use crate::reference::{Allotments, Covering, add};
use crate::stages::matching::{Part, hour_of, last_of_hour, matched_unit, settles_ms};
use crate::stages::rates::Chosen;

/// Hours to be matched anew, by their start, ms.
#[derive(Debug, Default)]
pub(super) struct Stale {
    hours: BTreeSet<i64>,
    /// Every hour.
    pub(super) all: bool,
    /// Hours that settle by the passing of time, by when they do, ms.
    due: BTreeMap<i64, BTreeSet<i64>>,
}

impl Stale {
    /// Notes the hours in which activity differs, where contracts have to do with it.
    pub(super) fn look(
        &mut self,
        covering: &Covering,
        policy: &Policy,
        (old, new): (&BTreeMap<ActivityKey, Measure>, &BTreeMap<ActivityKey, Measure>),
    ) {
        let differs = |key: &ActivityKey| old.get(key) != new.get(key);
        for key in old.keys().chain(new.keys()).filter(|key| differs(key)) {
            if covering.names(key.factor) {
                let hour_ms = hour_of(policy, key.period);
                self.hours.insert(hour_ms);
                self.due.entry(settles_ms(policy, key.period)).or_default().insert(hour_ms);
            }
        }
    }

    /// The hours to look at now.
    fn take(&mut self, end: Tick) -> (BTreeSet<i64>, bool) {
        let later = self.due.split_off(&(end.ms() + 1));
        let due = std::mem::replace(&mut self.due, later);
        let mut hours = std::mem::take(&mut self.hours);
        hours.extend(due.into_values().flatten());
        (hours, std::mem::take(&mut self.all))
    }
}

impl Auditor {
    /// Matches the hours that are stale, and touches the contracts that this is about.
    pub(super) fn match_hours(&mut self, end: Tick) {
        let (hours, all) = self.stale.take(end);
        if hours.is_empty() && !all {
            return;
        }
        let (policy, horizon) = (&self.policy, self.policy.horizon(end));
        let is_stale =
            |period: Period| period >= horizon && (all || hours.contains(&hour_of(policy, period)));
        let settled = |last: Period| Tick::new(policy.settles_ms(last), Cause::Time) <= end;
        let mut energy: BTreeMap<ActivityKey, Measure> = BTreeMap::new();
        let records = self.accounts.iter().filter(|(subject, _)| subject.has_records());
        for (key, measure) in records.flat_map(|(_, account)| &account.activity) {
            if key.unit == matched_unit() && is_stale(key.period) {
                energy.insert(*key, *measure);
                if all && !settled(last_of_hour(policy, key.period)) {
                    let due = self.stale.due.entry(settles_ms(policy, key.period));
                    due.or_default().insert(hour_of(policy, key.period));
                }
            }
        }
        // Months and years that are over are restated, and of those the reference knows.
        let place = (policy, &self.tree, Period::default());
        let new = self.covering.allotted(energy.iter(), place, settled);
        let old: Allotments =
            self.allotments.extract_if(.., |(_, key), _| is_stale(key.period)).collect();
        let subjects = old.keys().chain(new.keys()).map(|(_, key)| key.subject);
        self.touched.extend(subjects);
        self.allotments.extend(new);
    }

    /// What is booked of a contract, or of load that none covers, at `end`.
    pub(super) fn covered(
        &mut self,
        subject: Subject,
        end: Tick,
    ) -> (BTreeMap<ActivityKey, Measure>, BTreeMap<EmissionKey, Emission>) {
        let horizon = self.policy.horizon(end);
        let here = self
            .allotments
            .iter()
            .filter(|((_, key), _)| key.subject == subject && key.period >= horizon);
        let here: Allotments = here.map(|(allotted, measure)| (*allotted, *measure)).collect();
        let (mut activity, mut emissions) = (BTreeMap::new(), BTreeMap::new());
        for ((part, key), measure) in here {
            if !matches!(part, Part::Taken(_)) {
                activity.insert(key, measure);
            }
            if part.claim().is_some() {
                self.emit(key, &measure, &mut emissions);
            }
        }
        (activity, emissions)
    }

    /// What `measure` of `key` emits: of what contracts cover, what is market-based.
    pub(super) fn emit(
        &mut self,
        key: ActivityKey,
        measure: &Measure,
        emissions: &mut BTreeMap<EmissionKey, Emission>,
    ) {
        self.users.entry(key.factor).or_default().insert(key.subject);
        let start_ms = key.period.start_ms(self.policy.period_ms);
        let asked = (key.factor, key.unit);
        let rules = (&self.policy, self.policy.gwp);
        for (Chosen { factor, line }, rate) in self.factors.holding(asked, start_ms, rules) {
            if key.subject.has_records() || line.method == Method::Market {
                let key = EmissionKey { activity: ActivityKey { factor, ..key }, line };
                add(emissions, key, &measure.multiply(&rate));
            }
        }
    }
}
