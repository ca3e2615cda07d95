//! The reason of each entry that is booked below the horizon: the first of these that is known.
//!
//! 1. Of what contracts cover: that contracts alone changed ([`super::covered`]).
//! 2. `backfill`, where nothing was booked of it before.
//! 3. Of a meter or activity whose amount changed: what was heard of it ([`super::heard`]).
//! 4. Of one whose amount did not: what its factor says ([`super::reasons`]).
//! 5. What the whole restatement is for: `restated`, or, where it books everything, that alone.

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
    /// What the whole restatement is for.
    purpose: Reason,
    before: Before,
    /// Of what amounts change.
    moved: BTreeSet<(Subject, Period)>,
    causes: Option<Causes<'h>>,
}

/// What is known of why.
#[derive(Debug)]
struct Causes<'h> {
    place: (&'h Policy, &'h History),
    heard: &'h Heard,
    coverings: Coverings<'h>,
    /// By factors.
    told: BTreeMap<Group, Reason>,
}

impl<'h> Why<'h> {
    /// Of what was booked `before` and amounts that change: nothing is known but the `purpose` of the restatement.
    pub(super) fn new(
        purpose: Reason,
        (before, activity): (Before, &BTreeMap<ActivityKey, Measure>),
    ) -> Self {
        let moved = activity.keys().map(|key| (key.subject, key.period)).collect();
        Self { purpose, before, moved, causes: None }
    }

    /// The same, by all that is known of `facts` and was `heard`, and what factors have `told`.
    pub(super) fn by<'f>(
        self,
        place: (&'h Policy, &'h History),
        (facts, heard): (impl Iterator<Item = &'f Fact>, &'h Heard),
        told: BTreeMap<Group, Reason>,
    ) -> Self {
        let coverings = Coverings::new(place, (facts, heard), self.moved.iter().copied());
        Self { causes: Some(Causes { place, heard, coverings, told }), ..self }
    }

    /// Why an entry of `activity` is booked; or, by `rates`, one of `emissions`.
    pub(super) fn reason(&self, key: &ActivityKey, rates: bool) -> Reason {
        let about = (key.subject, key.period);
        let causes = self.causes.as_ref();
        if causes.is_some_and(|causes| causes.coverings.is_by_contracts(about, rates)) {
            return Reason::ContractChange;
        }
        if !self.before.holds(about) {
            return Reason::Backfill;
        }
        let found = causes.and_then(|Causes { place, heard, told, .. }| {
            if self.moved.contains(&about) {
                heard.reason(about, *place, rates)
            } else {
                told.get(&group(key)).copied()
            }
        });
        found.unwrap_or(self.purpose)
    }
}
