//! The restatement list: what was recorded after a lock's as-of, by when and why.
//!
//! ```text
//!  footprints of the company ─ by cut ──────────────┐
//!                                                   ├─ the rest ─▶ moved in the tree ─┐
//!  emissions of all nodes ─ within the company,     │                                 ├─▶ list, by cut
//!   as the tree was known at their cut ─ by cut ────┴──── by reason ──────────────────┘
//! ```
//!
//! 1. `emissions` say why, and nothing of the tree; `footprints` hold the tree, and not why. So entries of `emissions` are
//!    rolled up the tree as it was known when they were recorded, by reason.
//! 2. A move in the tree changes footprints without an entry of `emissions`. What is left of a cut's footprints once its
//!    emissions are taken off was moved: that is `structural`. *So the list adds up to the change of the footprints
//!    exactly, whatever happened in between.*
//! 3. A move below the horizon is booked by the restatement after it: there it is in the list. What else that
//!    restatement found is told apart by the tree of its own cut; if that moved again since the cut it knew, what differs
//!    is `structural` now, and the other way round in the next one.
//!
//! Memory: a sum a (cut, reason, scope, category, method, gas) of what changed, and one a subject and node of them, of
//! [`TRACKED_MAX`] at most: of lines beyond that it is told how much, and not whose.

use std::collections::BTreeMap;

use plumeline_pipelines::model::{Gas, Id, Method, Names, Tick};
use plumeline_sinks::delta::Booked;

use super::class::{Class, STRUCTURAL};
use super::document::Lock;
use super::figures::{Key, Sum, Totals};
use super::ledger::{key, sum};
use super::lines::View;
use super::tree::Forest;

/// Sums by subject and by node that are held at most: some 100 MB.
const TRACKED_MAX: usize = 1_000_000;
/// Names of subjects and nodes that are told of a line.
const TOP: usize = 10;

/// A line of the list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// When it was recorded, ms.
    pub recorded_ms: i64,
    /// Why, as the entries say; [`STRUCTURAL`] for what moved.
    pub reason: String,
    /// What that makes of it.
    pub class: Class,
    /// 1, 2, 3, or 0 for outside of scopes.
    pub scope: u8,
    /// Scope 3 category; 0 for none.
    pub category: u8,
    /// How scope 2 is told.
    pub method: Method,
    /// By gas.
    pub gases: BTreeMap<Gas, Sum>,
    /// Entries of `emissions`; 0 for what moved.
    pub entries: u64,
    /// Where, or what moved.
    pub nodes: Affected,
    /// Of what.
    pub subjects: Affected,
    /// All changes of the total up to here, location-based, 1e-21 kg CO2e.
    pub cumulative_location: i128,
    /// The same, market-based.
    pub cumulative_market: i128,
}

impl Change {
    /// What it changes.
    #[must_use]
    pub fn sum(&self) -> Sum {
        let mut sum = Sum::default();
        self.gases.values().for_each(|of| sum.add(*of));
        sum
    }

    /// By what it is of.
    pub fn totals(&self) -> impl Iterator<Item = (Key, Sum)> {
        let Self { scope, category, method, .. } = *self;
        self.gases.iter().map(move |(&gas, &sum)| (Key { scope, category, method, gas }, sum))
    }
}

/// Those that something happened to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Affected {
    /// How many; `None` if too many to count them.
    pub count: Option<usize>,
    /// Those with the largest change, and it, 1e-21 kg CO2e; without it where it is not known.
    pub most: Vec<(String, Option<i128>)>,
}

/// What a line is of, but for its gases.
type Under = (Tick, Id, (u8, u8, Method));

/// What entries of one line add up to.
#[derive(Debug, Default)]
struct Group {
    gases: BTreeMap<Gas, Sum>,
    entries: u64,
    nodes: BTreeMap<Id, i128>,
    subjects: BTreeMap<Id, i128>,
    /// More of them than can be held.
    is_beyond: bool,
}

/// See the module's documentation.
#[derive(Debug)]
pub(super) struct Gathered {
    company: Id,
    as_of_ms: i64,
    forest: Forest,
    /// As known at the as-of.
    pub(super) then: Totals,
    /// What footprints changed by since, by cut.
    footprints: BTreeMap<Tick, Totals>,
    groups: BTreeMap<Under, Group>,
    tracked: usize,
    pub(super) tracked_max: usize,
}

impl Gathered {
    pub(super) fn new(company: Id, as_of_ms: i64, forest: Forest) -> Self {
        Self {
            company,
            as_of_ms,
            forest,
            then: Totals::default(),
            footprints: BTreeMap::new(),
            groups: BTreeMap::new(),
            tracked: 0,
            tracked_max: TRACKED_MAX,
        }
    }

    /// Takes in an entry of `footprints` of the company.
    pub(super) fn footprint(&mut self, row: &Booked) {
        let totals = if row.cut.ms() <= self.as_of_ms {
            &mut self.then
        } else {
            self.footprints.entry(row.cut).or_default()
        };
        totals.add(key(row), sum(row));
    }

    /// Takes in an entry of `emissions` of any node, recorded after the as-of.
    pub(super) fn emission(&mut self, row: &Booked) {
        if !self.forest.is_within(row.node, self.company, (row.start_ms, row.cut)) {
            return;
        }
        let under = (row.cut, row.reason, (row.scope, row.category, row.method));
        let group = self.groups.entry(under).or_default();
        group.gases.entry(row.gas).or_default().add(sum(row));
        group.entries += 1;
        let Group { nodes, subjects, is_beyond, .. } = group;
        for (sums, id) in [(nodes, row.node), (subjects, row.subject)] {
            let held = sums.len();
            match sums.get_mut(&id) {
                Some(sum) => *sum = sum.saturating_add(row.change.co2e.get()),
                None if self.tracked < self.tracked_max => {
                    sums.insert(id, row.change.co2e.get());
                }
                None => *is_beyond = true,
            }
            self.tracked += sums.len() - held;
        }
    }

    /// The list, in order, of a report that was signed off at an instant; and how much all of it is.
    pub(super) fn list(&self, names: &Names, lock: &Lock) -> (Vec<Change>, Totals) {
        let mut lines: BTreeMap<(i64, String, u8, u8, Method), Change> = BTreeMap::new();
        let mut moved = self.footprints.clone();
        let mut line = |recorded_ms: i64, reason: String, of: (u8, u8, Method), group: &Group| {
            let (scope, category, method) = of;
            let name = |id: Id| names.name(id).to_string();
            let change = Change {
                recorded_ms,
                class: Class::of(&reason, recorded_ms, lock.signed_off_ms),
                reason: reason.clone(),
                scope,
                category,
                method,
                gases: group.gases.clone(),
                entries: group.entries,
                nodes: most(&group.nodes, group.is_beyond, name),
                subjects: most(&group.subjects, group.is_beyond, name),
                cumulative_location: 0,
                cumulative_market: 0,
            };
            let at = (recorded_ms, reason, scope, category, method);
            match lines.get_mut(&at) {
                Some(known) => known.take_in(change),
                None => drop(lines.insert(at, change)),
            }
        };
        for (&(cut, reason, of), group) in &self.groups {
            let (scope, category, method) = of;
            let totals = moved.entry(cut).or_default();
            for (&gas, sum) in &group.gases {
                totals.add(Key { scope, category, method, gas }, sum.negated());
            }
            line(cut.ms(), names.name(reason).to_string(), of, group);
        }
        for (cut, totals) in &moved {
            let mut groups: BTreeMap<(u8, u8, Method), Group> = BTreeMap::new();
            for (key, sum) in totals.0.iter().filter(|(_, sum)| !sum.is_zero()) {
                let of = (key.scope, key.category, key.method);
                groups.entry(of).or_default().gases.insert(key.gas, *sum);
            }
            for (of, mut group) in groups {
                group.nodes = self.forest.changed(*cut).map(|node| (node, 0)).collect();
                line(cut.ms(), STRUCTURAL.to_owned(), of, &group);
            }
        }
        let mut list: Vec<Change> = lines.into_values().collect();
        let sum = accumulate(&mut list);
        (list, sum)
    }

    /// What footprints say now.
    pub(super) fn now(&self) -> Totals {
        let mut now = self.then.clone();
        self.footprints.values().for_each(|totals| now.add_all(totals));
        now
    }
}

impl Change {
    /// Adds what is of the same line.
    fn take_in(&mut self, other: Self) {
        for (gas, sum) in other.gases {
            self.gases.entry(gas).or_default().add(sum);
        }
        self.entries += other.entries;
        self.nodes.most.extend(other.nodes.most);
        self.nodes.count = self.nodes.count.zip(other.nodes.count).map(|(a, b)| a + b);
    }
}

/// Fills in the running sums; returns the sum of all.
fn accumulate(list: &mut [Change]) -> Totals {
    let (mut location, mut market, mut all) = (0_i128, 0_i128, Totals::default());
    for change in list {
        let co2e = if change.scope == 0 { 0 } else { change.sum().co2e };
        if View::Location.holds(change.method) {
            location = location.saturating_add(co2e);
        }
        if View::Market.holds(change.method) {
            market = market.saturating_add(co2e);
        }
        (change.cumulative_location, change.cumulative_market) = (location, market);
        change.totals().for_each(|(key, sum)| all.add(key, sum));
    }
    all
}

fn most(sums: &BTreeMap<Id, i128>, is_beyond: bool, name: impl Fn(Id) -> String) -> Affected {
    let mut named: Vec<(String, i128)> = sums.iter().map(|(id, sum)| (name(*id), *sum)).collect();
    named.sort_by(|a, b| b.1.unsigned_abs().cmp(&a.1.unsigned_abs()).then_with(|| a.0.cmp(&b.0)));
    named.truncate(TOP);
    let is_known = named.iter().any(|(_, sum)| *sum != 0);
    let told = |(name, sum): (String, i128)| (name, is_known.then_some(sum));
    Affected {
        count: (!is_beyond).then_some(sums.len()),
        most: named.into_iter().map(told).collect(),
    }
}
