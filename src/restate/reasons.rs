//! Why what lies below the horizon is booked anew, where that can be told for certain.
//!
//! ```text
//! facts, as learned ──▶ as of when it was booked ──▶ the choice then ──┐ leads to what is booked? ──▶ the reason of
//!                  └──▶ as of K ───────────────────▶ the choice now ───┘   else `restated`            then beside now
//! ```
//!
//! 1. Only an emission whose activity did not change is told: of the same meter or activity and the same period, whatever
//!    the node and unit. *Where both changed, a single entry has two causes.*
//! 2. When it was booked follows from the tables: by the newest restatement that covered its period, as of what that
//!    knew; or when the horizon passed it, if that was later.
//! 3. The factor's version is chosen from what was known then and from what is known now, by the dataflow's own library,
//!    and the reason is what the live dataflow would have said of that change ([`reason`]): `factor_revised`,
//!    `factor_error`, `factor_new_vintage`, or `method_change` where a series chooses by another rule or the meter is under
//!    another factor.
//! 4. The choice then is held against the lines that are booked. *Where it does not lead to them (an earlier program booked
//!    it, by other rules) nothing is known for certain, and it stays `restated`.*
//!
//! Not told: emissions of an activity of a business system that was said under two factors. Of an activity that changed
//! `heard.rs` tells, of what contracts cover `covered.rs`.
//!
//! Memory: all revisions of factors and series, and the booked lines of the subjects that are compared at once.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

use plumeline_pipelines::model::{
    ActivityKey, EmissionKey, Fact, Id, Line, MeterRow, Period, Policy, Reason, Record,
    RestatedEntry, SeriesRow, Subject, Unit, Validity, Vintage,
};
use plumeline_pipelines::stages::rates::library::{Choice, Library};
use plumeline_pipelines::stages::rates::reason;
use plumeline_sinks::delta::FactEntry;

/// Emissions of one activity's balance, by all lines.
pub(super) type Group = (Subject, Period, Id, Unit);

/// The lines that are booked, each of the factor that was chosen.
pub(super) type Booked = BTreeSet<(Id, Line)>;

/// That of a balance.
pub(super) fn group(key: &ActivityKey) -> Group {
    (key.subject, key.period, key.node, key.unit)
}

/// What is booked of `groups`: of all `lines`, theirs; none where nothing was emitted.
pub(super) fn booked(
    groups: impl Iterator<Item = Group>,
    lines: &[EmissionKey],
) -> BTreeMap<Group, Booked> {
    let mut booked: BTreeMap<Group, Booked> = groups.map(|of| (of, Booked::new())).collect();
    for EmissionKey { activity, line } in lines {
        if let Some(lines) = booked.get_mut(&group(activity)) {
            lines.insert((activity.factor, *line));
        }
    }
    booked
}

/// The factor of each activity of `records` that was never told with another.
pub(super) fn factors_of(records: &[Record]) -> BTreeMap<Id, Id> {
    let mut factors: BTreeMap<Id, BTreeSet<Id>> = BTreeMap::new();
    for record in records {
        if let Record::Activity(row) = record
            && row.value.is_some()
        {
            factors.entry(row.activity).or_default().insert(row.factor);
        }
    }
    let only = |(activity, factors): (Id, BTreeSet<Id>)| {
        let mut factors = factors.into_iter();
        factors.next().filter(|_| factors.next().is_none()).map(|factor| (activity, factor))
    };
    factors.into_iter().filter_map(only).collect()
}

/// What was known of factors, and until when it was booked by.
#[derive(Debug, Default)]
pub(super) struct History {
    /// When rows of factors, series and prices were learned (1) or taken back (-1), ms.
    learned: Vec<(i64, i64, Fact)>,
    /// The same of rows of nodes.
    nodes: Vec<(i64, Validity)>,
    /// The same of rows of meters, by meter.
    meters: BTreeMap<Id, Vec<(i64, i64, MeterRow)>>,
    /// Restatements: what they knew, and the first instant after the last period they covered, ms.
    restated: Vec<(i64, i64)>,
    /// Some series takes a version of another instant than a period's start.
    looks_elsewhere: bool,
    /// Answers, once all is read: many entries ask for one period.
    booked_by: RefCell<BTreeMap<Period, i64>>,
    first_booked_by: RefCell<BTreeMap<(i64, i64), i64>>,
    of_rates: RefCell<BTreeMap<Period, bool>>,
    of_places: RefCell<BTreeMap<(i64, i64), bool>>,
}

impl History {
    /// Takes in a row that was learned or taken back.
    pub(super) fn learn(&mut self, entry: &FactEntry) {
        let (at_ms, diff) = (entry.learned_ms, if entry.withdrawn { -1 } else { 1 });
        if let Fact::Meter(row) = &entry.fact {
            self.meters.entry(row.meter).or_default().push((at_ms, diff, row.clone()));
        } else if matches!(entry.fact, Fact::Factor(_) | Fact::Series(_) | Fact::Price(_)) {
            let vintage = |row: &SeriesRow| row.vintage != Vintage::Calendar;
            self.looks_elsewhere |= matches!(&entry.fact, Fact::Series(row) if vintage(row));
            self.learned.push((at_ms, diff, entry.fact.clone()));
        } else if let Fact::Node(row) = &entry.fact {
            self.nodes.push((at_ms, row.validity));
        }
    }

    /// Whether rows of the tree or of meters that hold some time in a window were learned, or taken back, since any of it
    /// was booked.
    pub(super) fn has_learned_of_places(
        &self,
        policy: &Policy,
        (from_ms, to_ms): (i64, i64),
    ) -> bool {
        let then_ms = self.first_booked_by_ms(policy, (from_ms, to_ms));
        let mut found = self.of_places.borrow_mut();
        *found.entry((from_ms, to_ms)).or_insert_with(|| {
            let is_news = |at_ms: i64, holds: Validity| {
                then_ms < at_ms && holds.from_ms < to_ms && from_ms < holds.to_ms
            };
            let mut meters = self.meters.values().flatten();
            self.nodes.iter().any(|(at_ms, validity)| is_news(*at_ms, *validity))
                || meters.any(|(at_ms, _, row)| is_news(*at_ms, row.validity))
        })
    }

    /// Whether a row that may decide on rates in `period` was learned, or taken back, since that was booked.
    pub(super) fn has_learned_of_rates(&self, policy: &Policy, period: Period) -> bool {
        let then_ms = self.booked_by_ms(policy, period);
        let mut found = self.of_rates.borrow_mut();
        *found.entry(period).or_insert_with(|| {
            let start_ms = period.start_ms(policy.period_ms);
            let holds = |fact: &Fact| match fact {
                Fact::Factor(row) => self.looks_elsewhere || row.validity.holds(start_ms),
                Fact::Price(row) => row.validity.holds(start_ms),
                _ => true,
            };
            self.learned.iter().any(|(at_ms, _, fact)| then_ms < *at_ms && holds(fact))
        })
    }

    /// The same of a meter, of whatever time: what a value means decides on all between it and the next.
    pub(super) fn has_learned_of_meter(&self, meter: Id, policy: &Policy, period: Period) -> bool {
        let then_ms = self.booked_by_ms(policy, period);
        self.meters.get(&meter).into_iter().flatten().any(|(at_ms, ..)| then_ms < *at_ms)
    }

    /// Takes in a restatement that was booked.
    pub(super) fn restated(&mut self, entry: &RestatedEntry) {
        self.restated.push((entry.known_ms, entry.to_ms));
    }

    /// Until when it was known what `period` is booked by, ms: by a restatement, or as the horizon passed it, whichever came
    /// last. *One that books all under another set of potentials covers what is above the horizon, too.*
    pub(super) fn booked_by_ms(&self, policy: &Policy, period: Period) -> i64 {
        *self.booked_by.borrow_mut().entry(period).or_insert_with(|| {
            let start_ms = period.start_ms(policy.period_ms);
            let covering = self.restated.iter().filter(|(_, to_ms)| *to_ms > start_ms);
            // At the instant itself the horizon has moved.
            let passed_ms = policy.passed_ms(period) - 1;
            covering.map(|(known_ms, _)| *known_ms).fold(passed_ms, i64::max)
        })
    }

    /// The same of the period of a window of which that was known first, ms.
    pub(super) fn first_booked_by_ms(&self, policy: &Policy, (from_ms, to_ms): (i64, i64)) -> i64 {
        *self.first_booked_by.borrow_mut().entry((from_ms, to_ms)).or_insert_with(|| {
            // Of what no restatement parts, the first period was booked first.
            let parts = self.restated.iter().map(|(_, to_ms)| *to_ms);
            let parts = parts.filter(|ms| from_ms < *ms && *ms < to_ms).chain([from_ms]);
            let then = parts.map(|ms| self.booked_by_ms(policy, policy.period_of(ms)));
            then.min().unwrap_or_default()
        })
    }

    /// The factor that `meter` was under at `start_ms`, by what was known at `known_ms`.
    fn meter_factor(&self, meter: Id, start_ms: i64, known_ms: i64) -> Option<Id> {
        let mut counts: BTreeMap<&MeterRow, i64> = BTreeMap::new();
        for (at_ms, diff, row) in self.meters.get(&meter)? {
            if *at_ms <= known_ms && row.validity.holds(start_ms) {
                *counts.entry(row).or_default() += diff;
            }
        }
        let holding = counts.into_iter().filter(|(_, count)| *count > 0);
        holding.max_by_key(|(row, _)| row.revision).map(|(row, _)| row.factor)
    }

    /// Why the lines of `groups` change: those that can be told. `activities` are under these factors.
    pub(super) fn reasons(
        &self,
        policy: &Policy,
        groups: BTreeMap<Group, Booked>,
        activities: &BTreeMap<Id, Id>,
    ) -> BTreeMap<Group, Reason> {
        let mut by_then: BTreeMap<i64, Vec<(Group, Booked)>> = BTreeMap::new();
        for (group, booked) in groups {
            let then_ms = self.booked_by_ms(policy, group.1);
            by_then.entry(then_ms).or_default().push((group, booked));
        }
        if by_then.is_empty() {
            return BTreeMap::new();
        }
        // What came at the same instant at which it went comes first: so that there is something that goes.
        let mut learned: Vec<&(i64, i64, Fact)> = self.learned.iter().collect();
        learned.sort_by_key(|(at_ms, diff, _)| (*at_ms, -diff));
        let mut learned = learned.into_iter().peekable();
        let choose = |library: &Library, (subject, period, _, unit): Group, known_ms| {
            let start_ms = period.start_ms(policy.period_ms);
            let factor = match subject {
                Subject::Meter(meter) => self.meter_factor(meter, start_ms, known_ms)?,
                Subject::Activity(activity) => *activities.get(&activity)?,
                Subject::Contract(_) | Subject::Uncovered(_) => return None,
            };
            Some((factor, library.choose((factor, unit, period), (policy, policy.gwp))))
        };
        let (mut library, mut before) = (Library::default(), Vec::new());
        for (then_ms, groups) in by_then {
            while let Some((_, diff, fact)) = learned.next_if(|(at_ms, ..)| *at_ms <= then_ms) {
                library.update(fact, *diff);
            }
            for (group, booked) in groups {
                let then = choose(&library, group, then_ms);
                before.extend(then.filter(|(_, then)| leads_to(then, &booked)).map(|t| (group, t)));
            }
        }
        for (_, diff, fact) in learned {
            library.update(fact, *diff);
        }
        let told = before.into_iter().filter_map(|(group, (asked, then))| {
            let (asks, now) = choose(&library, group, i64::MAX)?;
            // Another factor of its own, and not another version: what the dataflow says of a meter's row.
            let is_other = asks != asked;
            Some((group, if is_other { Reason::MethodChange } else { reason(&then, &now) }))
        });
        told.collect()
    }
}

/// Whether `choice` is what these lines were booked by: all of them that emit.
fn leads_to(choice: &Choice, booked: &Booked) -> bool {
    let emits =
        choice.lines.iter().filter(|(_, rate)| rate.mass.get() != 0 || rate.co2e.get() != 0);
    emits.map(|(line, _)| (choice.factor, *line)).collect::<BTreeSet<_>>() == *booked
}

#[cfg(test)]
#[path = "reasons_tests.rs"]
pub(super) mod tests;
