//! What contracts, certificates, loads and outputs are known, and what is allotted of them.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use differential_dataflow::consolidation::consolidate;

use super::allot::{Loads, allot};
use super::known::{Contracts, Outputs};
use super::pieces::{self, hand_out, key, measure};
use super::windows::{self, Covered};
use super::{Allotted, Claim, Flow, Part, Stash, hour_of, settles_ms};
use crate::model::{
    ActivityKey, Cause, Id, Measure, Period, Policy, Reason, Subject, Tick, ToDate, Unit,
};
use crate::stages::roll_up::Tree;

/// What is known of an hour of load under one factor.
#[derive(Debug, Default)]
pub(super) struct Hour {
    loads: Loads,
    /// What plants put out, 1e-9 kWh.
    pub(super) outputs: Outputs,
    /// What contracts that match by the hour are given of it, 1e-9 kWh.
    allotted: BTreeMap<Allotted, i128>,
    /// It is looked at when it has settled.
    waits: bool,
}

impl Hour {
    /// What they leave of each load.
    pub(super) fn left(&self) -> impl Iterator<Item = ((Period, Id), i128)> {
        let left = self.allotted.iter().filter(|((part, _), _)| *part == Part::Left);
        left.map(|((_, key), amount)| ((key.period, key.node), *amount))
    }
}

/// An hour of load under a factor that settles later.
pub(super) type Due = (Tick, (Id, i64));

/// What a tick changes of the allotments.
pub(super) type Changes = Vec<((Part, ActivityKey, Reason), Measure)>;

/// All hours of one worker.
#[derive(Debug)]
pub(super) struct Desk {
    policy: Arc<Policy>,
    unit: Unit,
    contracts: Contracts,
    tree: Tree,
    hours: BTreeMap<Id, BTreeMap<i64, Hour>>,
    /// That of [`crate::engine::EngineOptions`].
    known_ms: i64,
    /// Windows that end up to here are over. In a live dataflow none is.
    over: Period,
    /// What is allotted of their years, by the year's first instant.
    years: BTreeMap<(Id, i64), Covered>,
}

/// The unit in which energy is matched.
///
/// # Panics
/// Never: the table has it.
#[must_use]
pub fn matched_unit() -> Unit {
    Unit::parse("kWh").expect("the table has kWh")
}

/// Hours to look at again, each with why; `None` of all, for several reasons.
type Touched = BTreeMap<(Id, i64), Option<Reason>>;

fn touch(touched: &mut Touched, hour: (Id, i64), reason: Reason) {
    let why = touched.entry(hour).or_insert(Some(reason));
    if *why != Some(reason) {
        *why = None;
    }
}

impl Desk {
    pub(super) fn new(policy: Arc<Policy>, known_ms: i64) -> Self {
        let over = policy.horizon(Tick::new(known_ms, Cause::Cut));
        let over = if known_ms == 0 { Period::default() } else { over };
        Self {
            known_ms,
            over,
            years: BTreeMap::new(),
            policy,
            unit: matched_unit(),
            contracts: Contracts::default(),
            tree: Tree::default(),
            hours: BTreeMap::new(),
        }
    }

    /// Takes in what changes at a tick: what that changes of allotments, and which hours it has yet to close.
    pub(super) fn close(&mut self, tick: Tick, stash: Stash) -> (Changes, Vec<Due>) {
        let Stash { mut flows, mut contracts, mut certificates, mut nodes, due } = stash;
        // What came and went within the tick was never there.
        consolidate(&mut flows);
        consolidate(&mut contracts);
        consolidate(&mut certificates);
        consolidate(&mut nodes);
        let mut touched = Touched::new();
        for hour in due {
            touch(&mut touched, hour, Reason::GapClosed);
        }
        let mut covered: BTreeSet<Id> = BTreeSet::new();
        for (row, diff) in contracts {
            covered.extend(self.contracts.update(&row, diff));
        }
        for covered in covered {
            for hour_ms in self.hours.get(&covered).into_iter().flat_map(BTreeMap::keys) {
                touch(&mut touched, (covered, *hour_ms), Reason::ContractChange);
            }
        }
        for (row, diff) in certificates {
            for (contract, hour_ms) in self.contracts.update_certificate(&row, diff) {
                for covered in self.contracts.covered_by(contract) {
                    touch(&mut touched, (covered, hour_ms), Reason::ContractChange);
                }
            }
        }
        for (row, diff) in &nodes {
            self.tree.update(row, *diff);
        }
        if !nodes.is_empty() {
            for (covered, hours) in &self.hours {
                for hour_ms in hours.keys() {
                    touch(&mut touched, (*covered, *hour_ms), Reason::Structural);
                }
            }
        }
        for ((covered, period, flow, reason), measure) in flows {
            let hour_ms = hour_of(&self.policy, period);
            let hour = self.hours.entry(covered).or_default().entry(hour_ms).or_default();
            let amount = measure.amount.get();
            match flow {
                Flow::Load(node) => sum(&mut hour.loads, (period, node), amount),
                Flow::Output(factor) => sum(&mut hour.outputs, factor, amount),
            }
            touch(&mut touched, (covered, hour_ms), reason);
        }
        let (mut changes, mut later) = (Changes::new(), Vec::new());
        touched.retain(|hour, _| self.has_settled(*hour, tick, &mut later));
        for ((covered, hour_ms), why) in &touched {
            self.match_hour((*covered, *hour_ms), why.unwrap_or(Reason::Restated), &mut changes);
        }
        // What the horizon takes back at its move has been told.
        if self.policy.horizon(tick) < self.over {
            self.match_years(&touched, &mut changes);
        }
        (changes, later)
    }

    /// Whether an hour is to be matched at `tick`; else it waits, and is put down once in `later`.
    fn has_settled(&mut self, hour: (Id, i64), tick: Tick, later: &mut Vec<Due>) -> bool {
        let settles_ms = settles_ms(&self.policy, self.policy.period_of(hour.1));
        let settles = Tick::new(settles_ms, Cause::Time);
        let Some(known) = self.hours.get_mut(&hour.0).and_then(|of| of.get_mut(&hour.1)) else {
            return true;
        };
        let has_settled = settles <= tick || settles_ms <= self.known_ms;
        if !has_settled && !known.waits {
            later.push((settles, hour));
        }
        known.waits = !has_settled;
        has_settled
    }

    /// Allots what is over of the years of these hours anew, and hands out the difference.
    fn match_years(&mut self, touched: &Touched, changes: &mut Changes) {
        let Self { policy, contracts, tree, hours, over, years, .. } = self;
        let year = |hour_ms: i64| policy.calendar.around(ToDate::Year, hour_ms);
        let stale = touched.keys().filter_map(|(covered, ms)| Some((*covered, year(*ms)?)));
        for (covered, year) in stale.collect::<BTreeSet<_>>() {
            let Some(hours) = hours.get(&covered) else { continue };
            let new = windows::match_year((covered, year), hours, contracts, (policy, tree, *over));
            let old = years.insert((covered, year.0), new.clone()).unwrap_or_default();
            hand_out((&old, &new), |sum| *sum, Reason::ContractChange, changes);
        }
    }

    /// Allots an hour anew, and hands out the difference.
    fn match_hour(&mut self, (covered, hour_ms): (Id, i64), why: Reason, changes: &mut Changes) {
        let Self { policy, unit, contracts, tree, hours, .. } = self;
        let Some(of_factor) = hours.get_mut(&covered) else { return };
        let Some(hour) = of_factor.get_mut(&hour_ms) else { return };
        let mut loads = hour.loads.clone();
        loads.retain(|_, load| *load > 0);
        let offers = contracts.offers(covered, hour_ms, &hour.outputs);
        let reaches = |index: usize, period: Period, node: Id| {
            let path = tree.path(node, period.start_ms(policy.period_ms));
            path.iter().any(|(above, _)| *above == offers[index].node)
        };
        let (given, left) = allot(&loads, &offers, reaches);
        let mut new: BTreeMap<Allotted, i128> = BTreeMap::new();
        let place = (covered, *unit);
        for (offer, loads) in offers.iter().zip(&given) {
            new.extend(pieces::given((offer, Claim::Hour), place, loads));
        }
        let left = left.into_iter().filter(|(_, amount)| *amount > 0);
        new.extend(left.map(|(load, amount)| {
            ((Part::Left, key(load, Subject::Uncovered(covered), place)), amount)
        }));
        hand_out((&hour.allotted, &new), |amount| measure(*amount), why, changes);
        hour.allotted = new;
        if hour.loads.is_empty() && hour.outputs.is_empty() {
            of_factor.remove(&hour_ms);
            if of_factor.is_empty() {
                hours.remove(&covered);
            }
        }
    }
}

fn sum<K: Ord>(sums: &mut BTreeMap<K, i128>, key: K, amount: i128) {
    match sums.entry(key) {
        Entry::Vacant(vacant) if amount != 0 => {
            vacant.insert(amount);
        }
        Entry::Occupied(mut occupied) => {
            let sum = occupied.get().checked_add(amount);
            match sum.expect("bounds checked at the border keep every balance inside its integer") {
                0 => drop(occupied.remove()),
                sum => *occupied.get_mut() = sum,
            }
        }
        Entry::Vacant(_) => {}
    }
}
