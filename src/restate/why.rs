//! The reason of each entry that is booked below the horizon: the first of these that is known.
//!
//! 1. Of what contracts cover: that contracts alone changed ([`super::covered`]).
//! 2. `backfill`, where nothing was booked of it before.
//! 3. Of a meter or activity whose amount changed: what was heard of it ([`super::heard`]).
//! 4. Of one whose amount did not: what its factor says ([`super::reasons`]).
//! 5. `restated`, or whatever the whole restatement is for.

use std::collections::{BTreeMap, BTreeSet};

use plumeline_pipelines::model::{ActivityKey, Fact, Measure, Period, Policy, Reason, Subject};

use super::covered::Coverings;
use super::heard::Heard;
use super::reasons::{Group, History, group};

/// Of what something was booked before.
#[derive(Debug, Default)]
pub(super) struct Before {
    subjects: BTreeSet<(Subject, Period)>,
    /// Of contracts, or of load that none covers. *What one is given is taken off the others: they are booked together.*
    matched: BTreeSet<Period>,
}

impl Before {
    pub(super) fn of(booked: &BTreeMap<ActivityKey, Measure>) -> Self {
        let about = |key: &ActivityKey| (key.subject, key.period);
        let matched = booked.keys().filter(|key| !key.subject.has_records());
        Self {
            subjects: booked.keys().map(about).collect(),
            matched: matched.map(|key| key.period).collect(),
        }
    }

    fn holds(&self, (subject, period): (Subject, Period)) -> bool {
        self.subjects.contains(&(subject, period))
            || (!subject.has_records() && self.matched.contains(&period))
    }
}

/// See the module's documentation.
#[derive(Debug)]
pub(super) struct Why<'h> {
    place: (&'h Policy, &'h History),
    heard: &'h Heard,
    before: Before,
    /// Of what amounts change.
    moved: BTreeSet<(Subject, Period)>,
    coverings: Coverings<'h>,
    told: BTreeMap<Group, Reason>,
}

impl<'h> Why<'h> {
    /// By all that is known of `facts` and `heard`, with amounts that change, and what factors have `told`.
    pub(super) fn new<'f>(
        place: (&'h Policy, &'h History),
        (facts, heard): (impl Iterator<Item = &'f Fact>, &'h Heard),
        (before, activity): (Before, &BTreeMap<ActivityKey, Measure>),
        told: BTreeMap<Group, Reason>,
    ) -> Self {
        let moved: BTreeSet<_> = activity.keys().map(|key| (key.subject, key.period)).collect();
        let coverings = Coverings::new(place, (facts, heard), moved.iter().copied());
        Self { place, heard, before, moved, coverings, told }
    }

    /// Why an entry of `activity` is booked, or, by `rates`, one of `emissions`, in a restatement for `purpose`.
    pub(super) fn reason(&self, key: &ActivityKey, rates: bool, purpose: Reason) -> Reason {
        let about = (key.subject, key.period);
        let is_cold = purpose == Reason::Restated;
        if is_cold && self.coverings.is_by_contracts(about, rates) {
            Reason::ContractChange
        } else if !self.before.holds(about) {
            Reason::Backfill
        } else if is_cold && self.moved.contains(&about) {
            self.heard.reason(about, self.place, rates).unwrap_or(purpose)
        } else {
            self.told.get(&group(key)).copied().unwrap_or(purpose)
        }
    }
}
