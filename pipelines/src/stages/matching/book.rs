//! What contracts, certificates, loads and outputs are known, and what is allotted of them.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use differential_dataflow::consolidation::consolidate;

use super::allot::{Loads, Offer, allot, part};
use super::{Flow, Part, Stash, hour_of};
use crate::model::contract::Supply;
use crate::model::time::HOUR_MS;
use crate::model::{
    ActivityKey, CertificateRow, ContractRow, Decimal, Id, Measure, Period, Policy, Reason,
    Subject, Unit,
};
use crate::stages::roll_up::Tree;

/// What is metered in an hour, 1e-9 kWh, by the factor its meters name.
type Outputs = BTreeMap<Id, i128>;

/// All contracts and certificates.
#[derive(Debug, Default)]
struct Contracts {
    rows: BTreeMap<Id, Vec<ContractRow>>,
    certificates: BTreeMap<Id, Vec<CertificateRow>>,
    /// The certificates that count, by contract and hour of their beginning.
    by_hour: BTreeMap<(Id, i64), BTreeMap<Id, CertificateRow>>,
}

fn update<R: Ord + Clone>(rows: &mut Vec<R>, row: &R, diff: i64) {
    if diff > 0 {
        rows.push(row.clone());
        rows.sort();
    } else if let Some(index) = rows.iter().position(|known| known == row) {
        rows.remove(index);
    }
}

impl Contracts {
    /// Adds (`diff > 0`) or takes back a contract's row; says which factors' load it may change.
    fn update(&mut self, row: &ContractRow, diff: i64) -> BTreeSet<Id> {
        let rows = self.rows.entry(row.contract).or_default();
        let mut covered: BTreeSet<Id> = rows.iter().map(|known| known.covers).collect();
        covered.insert(row.covers);
        update(rows, row, diff);
        if rows.is_empty() {
            self.rows.remove(&row.contract);
        }
        covered
    }

    /// The same of a certificate; says which contracts and hours it may change.
    fn update_certificate(&mut self, row: &CertificateRow, diff: i64) -> Vec<(Id, i64)> {
        let rows = self.certificates.entry(row.certificate).or_default();
        let place = |row: &CertificateRow| {
            (row.contract, row.validity.from_ms.div_euclid(HOUR_MS) * HOUR_MS)
        };
        let newest =
            |rows: &[CertificateRow]| rows.iter().max_by_key(|row| (row.revision, *row)).cloned();
        let old = newest(rows);
        update(rows, row, diff);
        let new = newest(rows);
        if rows.is_empty() {
            self.certificates.remove(&row.certificate);
        }
        if old == new {
            return Vec::new();
        }
        let mut touched = Vec::new();
        if let Some(old) = old {
            let here = self.by_hour.entry(place(&old)).or_default();
            here.remove(&old.certificate);
            if here.is_empty() {
                self.by_hour.remove(&place(&old));
            }
            touched.push(place(&old));
        }
        if let Some(new) = new {
            touched.push(place(&new));
            self.by_hour.entry(place(&new)).or_default().insert(new.certificate, new);
        }
        touched
    }

    /// The factors whose load a contract covers, by any of its rows.
    fn covered_by(&self, contract: Id) -> impl Iterator<Item = Id> {
        self.rows.get(&contract).into_iter().flatten().map(|row| row.covers)
    }

    /// What contracts have to give to load under `covered` in an hour, in their order.
    fn offers(&self, covered: Id, hour_ms: i64, outputs: &Outputs) -> Vec<Offer> {
        let newest = self.rows.values().filter_map(|rows| {
            let holding = rows.iter().filter(|row| row.validity.holds(hour_ms));
            holding.max_by_key(|row| (row.revision, *row))
        });
        let mut rows: Vec<&ContractRow> =
            newest.filter(|row| row.covers == covered && row.counts()).collect();
        rows.sort_by(|a, b| (a.priority, &a.name).cmp(&(b.priority, &b.name)));
        let offer = |row: &&ContractRow| Offer {
            contract: row.contract,
            factor: row.factor,
            node: row.node,
            has: self.has(row, hour_ms, outputs),
        };
        rows.iter().map(offer).collect()
    }

    fn has(&self, row: &ContractRow, hour_ms: i64, outputs: &Outputs) -> Option<i128> {
        match row.supply {
            Supply::Any => None,
            Supply::Certificates => {
                let certificates = self.by_hour.get(&(row.contract, hour_ms));
                let certificates = certificates.into_iter().flat_map(BTreeMap::values);
                Some(certificates.map(|given| given.gives(row.zone, hour_ms)).sum())
            }
            Supply::Metered { factor, share } => {
                Some(share_of(outputs.get(&factor).copied().unwrap_or_default(), share))
            }
        }
    }
}

/// The floor of a share of what is put out; nothing of what is drawn.
#[must_use]
pub fn share_of(output: i128, share: Decimal) -> i128 {
    let whole = 10_i128.pow(u32::from(share.scale()));
    part(output.max(0), share.mantissa().clamp(0, whole), whole)
}

/// What is known of an hour of load under one factor.
#[derive(Debug, Default)]
struct Hour {
    loads: Loads,
    outputs: Outputs,
    allotted: BTreeMap<(Part, ActivityKey), i128>,
}

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
    pub(super) fn new(policy: Arc<Policy>) -> Self {
        Self {
            policy,
            unit: matched_unit(),
            contracts: Contracts::default(),
            tree: Tree::default(),
            hours: BTreeMap::new(),
        }
    }

    pub(super) fn close(&mut self, stash: Stash) -> Changes {
        let Stash { mut flows, mut contracts, mut certificates, mut nodes } = stash;
        // What came and went within the tick was never there.
        consolidate(&mut flows);
        consolidate(&mut contracts);
        consolidate(&mut certificates);
        consolidate(&mut nodes);
        let mut touched = Touched::new();
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
        let mut changes = Changes::new();
        for ((covered, hour_ms), why) in touched {
            self.match_hour((covered, hour_ms), why.unwrap_or(Reason::Restated), &mut changes);
        }
        changes
    }

    /// Allots an hour anew, and hands out the difference.
    fn match_hour(&mut self, (covered, hour_ms): (Id, i64), why: Reason, changes: &mut Changes) {
        let Self { policy, unit, contracts, tree, hours } = self;
        let Some(of_factor) = hours.get_mut(&covered) else { return };
        let Some(hour) = of_factor.get_mut(&hour_ms) else { return };
        let mut loads = hour.loads.clone();
        loads.retain(|_, load| *load > 0);
        let offers = contracts.offers(covered, hour_ms, &hour.outputs);
        let reaches = |offer: &Offer, period: Period, node: Id| {
            let path = tree.path(node, period.start_ms(policy.period_ms));
            path.iter().any(|(above, _)| *above == offer.node)
        };
        let (given, left) = allot(&loads, &offers, reaches);
        let mut new: BTreeMap<(Part, ActivityKey), i128> = BTreeMap::new();
        let key = |(period, node): (Period, Id), subject, factor| ActivityKey {
            period,
            node,
            subject,
            unit: *unit,
            factor,
        };
        for (Offer { contract, factor, .. }, of_offer) in offers.iter().zip(given) {
            for (load, amount) in of_offer {
                let subject = Subject::Contract(*contract);
                new.insert((Part::Taken, key(load, subject, covered)), -amount);
                new.insert((Part::Given, key(load, subject, *factor)), amount);
            }
        }
        for (load, amount) in left.into_iter().filter(|(_, amount)| *amount > 0) {
            new.insert((Part::Left, key(load, Subject::Uncovered(covered), covered)), amount);
        }
        for ((part, key), amount) in &hour.allotted {
            if new.get(&(*part, *key)) != Some(amount) {
                changes.push(((*part, *key, why), measure(*amount).negated()));
            }
        }
        for ((part, key), amount) in &new {
            if hour.allotted.get(&(*part, *key)) != Some(amount) {
                changes.push(((*part, *key, why), measure(*amount)));
            }
        }
        hour.allotted = new;
        if hour.loads.is_empty() && hour.outputs.is_empty() {
            of_factor.remove(&hour_ms);
            if of_factor.is_empty() {
                hours.remove(&covered);
            }
        }
    }
}

/// What is allotted as an amount: it rests on one allotment.
fn measure(amount: i128) -> Measure {
    Measure { amount: amount.into(), covered_ms: 0, presence: 1 }
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
