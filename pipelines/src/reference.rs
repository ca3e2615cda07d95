//! The batch reference: the ledger's balances at any tick, from plain loops over everything ever learned.
//!
//! It is the oracle of every test and of `verify`: the dataflow's entries, accumulated up to a tick, must
//! equal it bit for bit. It keeps nothing between calls and knows no order but that of ticks and arrivals.
//!
//! ```text
//! facts, records with tick <= e ──▶ values that hold ──▶ activity ──▶ x rates ──▶ emissions ──▶ node tree
//! ```
//!
//! It shares with the dataflow only rules that are functions of their arguments: how one meter's values, in
//! order, become spans ([`Scan`]), how a span is split over periods, and the tree's paths. What makes the
//! dataflow hard (ticks, differences, versions in use, holding, windows, forgetting) it does not share.
//!
//! A period freezes when the horizon passes it: its balance is that of the last tick before, `e`. Until it is
//! restated from below ([`Restated`]): then its balance is what everything that was ever said leads to, without
//! anything being late or forgotten.

mod choice;
mod covering;
mod days;
mod heard;
mod told;
mod windows;

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use differential_dataflow::difference::{IsZero, Multiply, Semigroup};

use crate::model::entry::Line;
use crate::model::time::day_start;
use crate::model::{
    ActivityKey, ActivityRecord, Cause, Decimal, Emission, EmissionKey, Fact, FootprintKey, GwpSet,
    Id, Measure, Method, NodeKey, NodeRow, Period, Policy, Rate, Reading, Record, Tick, Unit,
    WindowKey,
};
use crate::stages::activities::Said;
use crate::stages::matching::Part;
use crate::stages::metering::{Rows, Scan, Value, book_span};
use crate::stages::rates::Chosen;
use crate::stages::roll_up::Tree;

pub(crate) use choice::Factors;
pub(crate) use covering::{Allotments, Covering};
pub use told::Told;
use told::tell;
pub(crate) use told::{ToldValues, forget_values};
use windows::Stay;

/// Everything ever learned, in the order it was.
#[derive(Clone, Debug)]
pub struct History {
    /// What decides results.
    pub policy: Policy,
    /// Facts (1) and their withdrawals (-1).
    pub facts: Vec<(Tick, Fact, i64)>,
    /// Readings and activities.
    pub records: Vec<(Tick, Record)>,
    /// Restatements from below the horizon, in order.
    pub restated: Vec<Restated>,
    /// From when on all CO2e, also of what was booked before, is that of another GWP set than the policy's; in order.
    pub gwps: Vec<(Tick, GwpSet)>,
}

/// Periods below the horizon were restated: as known at `known`, at `tick`, which has the same horizon.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct Restated {
    /// When it was booked; what was learned up to here and not known then waits for the next.
    pub tick: Tick,
    /// Up to which tick things were known.
    pub known: Tick,
}

/// Whose knowledge a snapshot shows.
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum View {
    /// That of a live pipeline, which parks what is late and forgets.
    Live,
    /// That of somebody who has everything.
    Whole,
}

/// Balances at a tick, without those that are zero.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Balances {
    /// Of `activity`, under no factor.
    pub activity: BTreeMap<ActivityKey, Measure>,
    /// Of `emissions`.
    pub emissions: BTreeMap<EmissionKey, Emission>,
    /// Of `footprints`.
    pub footprints: BTreeMap<FootprintKey, Emission>,
    /// Of the live windows.
    pub windows: BTreeMap<WindowKey, Emission>,
}

/// What holds at a tick, period by period, whether settled or not.
#[derive(Debug, Default)]
struct Snapshot {
    activity: BTreeMap<ActivityKey, Measure>,
    emissions: BTreeMap<EmissionKey, Emission>,
    nodes: BTreeMap<NodeKey, Emission>,
}

/// Adds `diff` to the balance of `key`; a balance of zero is no balance.
pub fn add<K: Ord, R: Semigroup + IsZero + Default>(
    balances: &mut BTreeMap<K, R>,
    key: K,
    diff: &R,
) {
    match balances.entry(key) {
        Entry::Vacant(vacant) => {
            let mut balance = R::default();
            balance.plus_equals(diff);
            if !balance.is_zero() {
                vacant.insert(balance);
            }
        }
        Entry::Occupied(mut occupied) => {
            occupied.get_mut().plus_equals(diff);
            if occupied.get().is_zero() {
                occupied.remove();
            }
        }
    }
}

/// Whether a piece of an allotment is shown as activity: what is taken off is the same as what is given.
fn is_shown(part: Part) -> bool {
    !matches!(part, Part::Taken(_))
}

impl History {
    /// The balances at `tick`. `by_gas` tells windows by gas; else all stand under gas `co2e`.
    #[must_use]
    pub fn balances(&self, tick: Tick, by_gas: bool) -> Balances {
        let policy = &self.policy;
        let settled = |period: Period| Tick::new(policy.settles_ms(period), Cause::Time) <= tick;
        let mut balances = Balances::default();
        for ((frozen, view), days) in self.days_by_freezing(tick) {
            let snapshot = self.snapshot(frozen, view, self.gwp(tick));
            let here =
                |period: Period| days.contains(&day_start(period.start_ms(policy.period_ms)));
            for (key, measure) in &snapshot.activity {
                if here(key.period) && settled(key.period) {
                    add(&mut balances.activity, ActivityKey { factor: Id::NONE, ..*key }, measure);
                }
            }
            for (key, emission) in &snapshot.emissions {
                if here(key.activity.period) && settled(key.activity.period) {
                    add(&mut balances.emissions, *key, emission);
                }
            }
            for (key, emission) in snapshot.nodes.iter().filter(|(key, _)| here(key.period)) {
                if settled(key.period) {
                    add(&mut balances.footprints, key.by_the_hour(policy), emission);
                }
                let is_retained = (frozen, view) == (tick, View::Live);
                let stay = Stay { tick, by_gas, is_retained };
                self.count_to_date(key, emission, stay, &mut balances.windows);
            }
        }
        self.count_rolling(tick, by_gas, &mut balances.windows);
        balances
    }

    /// The balances of all settled periods at `tick`, had everything known then been known from the beginning.
    #[must_use]
    pub(crate) fn in_hindsight(&self, tick: Tick, gwp: GwpSet) -> Balances {
        let snapshot = self.snapshot(tick, View::Whole, gwp);
        let Snapshot { mut activity, mut emissions, nodes } = snapshot;
        let policy = &self.policy;
        let settled = |period: Period| Tick::new(policy.settles_ms(period), Cause::Time) <= tick;
        activity.retain(|key, _| settled(key.period));
        emissions.retain(|key, _| settled(key.activity.period));
        let mut footprints = BTreeMap::new();
        for (key, emission) in nodes.iter().filter(|(key, _)| settled(key.period)) {
            add(&mut footprints, key.by_the_hour(policy), emission);
        }
        Balances { activity, emissions, footprints, windows: BTreeMap::new() }
    }

    /// The GWP set that all CO2e is in at `tick`.
    fn gwp(&self, tick: Tick) -> GwpSet {
        let newest = self.gwps.iter().rfind(|(since, _)| *since <= tick);
        newest.map_or(self.policy.gwp, |(_, gwp)| *gwp)
    }

    fn snapshot(&self, tick: Tick, view: View, gwp: GwpSet) -> Snapshot {
        let mut activity = BTreeMap::new();
        let mut give = |((key, held_until_ms), measure): ((ActivityKey, i64), Measure)| {
            if Tick::new(held_until_ms, Cause::Time) <= tick {
                add(&mut activity, key, &measure);
            }
        };
        let rows = self.meter_rows(tick);
        for (meter, values) in self.values(tick, view) {
            let none = Rows::default();
            let rows = rows.get(&meter).unwrap_or(&none);
            let place = (&self.policy, Period::default());
            let mut scan = Scan::new(rows);
            for (at_ms, value) in &values {
                scan.step(*at_ms, value, &mut |span| {
                    book_span((meter, rows), &span, place, &mut give);
                });
            }
            scan.finish(&mut |span| book_span((meter, rows), &span, place, &mut give));
        }
        for (id, said) in self.activities(tick, view) {
            said.pieces(id, (&self.policy, Period::default()), &mut give);
        }
        // Whoever has everything also matches the months and years that are over.
        let over = match view {
            View::Live => Period::default(),
            View::Whole => self.policy.horizon(tick),
        };
        self.emit(activity, (tick, over), gwp)
    }

    /// Multiplies activity with the rates that hold, and rolls it up the tree.
    fn emit(
        &self,
        activity: BTreeMap<ActivityKey, Measure>,
        (tick, over): (Tick, Period),
        gwp: GwpSet,
    ) -> Snapshot {
        let mut snapshot = Snapshot { activity, ..Snapshot::default() };
        let mut rates: BTreeMap<(Id, Unit, Period), Vec<(Chosen, Rate)>> = BTreeMap::new();
        let (factors, tree) = (self.factors(tick), self.tree(tick));
        let settled = |last: Period| Tick::new(self.policy.settles_ms(last), Cause::Time) <= tick;
        let covering = self.covering(tick);
        let place = (&self.policy, &tree, over);
        let allotted = covering.allotted(snapshot.activity.iter(), place, settled);
        let emitted = allotted
            .iter()
            .filter_map(|((part, key), measure)| Some((key, measure, Some(part.claim()?))));
        let records = snapshot.activity.iter().map(|(key, measure)| (key, measure, None));
        for (key, measure, claim) in records.chain(emitted) {
            if key.factor.is_none() {
                continue;
            }
            let start_ms = key.period.start_ms(self.policy.period_ms);
            let lines = rates.entry((key.factor, key.unit, key.period)).or_insert_with(|| {
                factors.holding((key.factor, key.unit), start_ms, (&self.policy, gwp))
            });
            // Contracts move what is market-based, and nothing else.
            let moves = |line: &Line| {
                claim.is_none_or(|claim| line.method == Method::Market && claim.moves(line.gas))
            };
            for (Chosen { factor, line }, rate) in lines.iter().filter(|(c, _)| moves(&c.line)) {
                let emission = measure.multiply(rate);
                let activity = ActivityKey { factor: *factor, ..*key };
                let key = EmissionKey { activity, line: *line };
                add(&mut snapshot.emissions, key, &emission);
                for (node, depth) in tree.path(key.activity.node, start_ms) {
                    let Line { scope, category, method, gas, .. } = *line;
                    let period = key.activity.period;
                    let key = NodeKey { period, node, depth, scope, category, method, gas };
                    add(&mut snapshot.nodes, key, &emission);
                }
            }
        }
        for ((_, key), measure) in allotted.iter().filter(|((part, _), _)| is_shown(*part)) {
            add(&mut snapshot.activity, *key, measure);
        }
        snapshot
    }

    /// Facts that hold at `tick`: learned and not withdrawn.
    fn facts(&self, tick: Tick) -> impl Iterator<Item = &Fact> {
        let mut counts: BTreeMap<&Fact, i64> = BTreeMap::new();
        for (_, fact, diff) in self.facts.iter().filter(|(learned, ..)| *learned <= tick) {
            *counts.entry(fact).or_default() += diff;
        }
        counts.into_iter().filter(|(_, count)| *count > 0).map(|(fact, _)| fact)
    }

    fn meter_rows(&self, tick: Tick) -> BTreeMap<Id, Rows> {
        let mut rows: BTreeMap<Id, Rows> = BTreeMap::new();
        for fact in self.facts(tick) {
            if let Fact::Meter(row) = fact {
                rows.entry(row.meter).or_default().update(row, 1);
            }
        }
        rows
    }

    fn factors(&self, tick: Tick) -> Factors {
        let mut factors = Factors::default();
        for fact in self.facts(tick) {
            factors.learn(fact, true);
        }
        factors
    }

    fn covering(&self, tick: Tick) -> Covering {
        let mut covering = Covering::default();
        for fact in self.facts(tick) {
            covering.learn(fact, true);
        }
        covering
    }

    fn tree(&self, tick: Tick) -> Tree {
        let mut tree = Tree::default();
        let nodes = self.facts(tick).filter_map(|fact| match fact {
            Fact::Node(row) => Some(row),
            _ => None,
        });
        for row in nodes.collect::<Vec<&NodeRow>>() {
            tree.update(row, 1);
        }
        tree
    }

    /// The values of each meter that hold at `tick`, by instant; of a live view less those that came too late
    /// or are forgotten by then.
    fn values(&self, tick: Tick, view: View) -> BTreeMap<Id, BTreeMap<i64, Value>> {
        let told = match view {
            View::Live => self.live_values(tick),
            View::Whole => self.all_values(tick),
        };
        let values = |told: BTreeMap<i64, Told<Value>>| {
            told.into_iter().filter_map(|(at_ms, told)| Some((at_ms, told.holds()?))).collect()
        };
        told.into_iter().map(|(meter, told)| (meter, values(told))).collect()
    }

    fn live_values(&self, tick: Tick) -> ToldValues {
        let mut told = ToldValues::new();
        let mut readings: BTreeMap<Tick, Vec<&Reading>> = BTreeMap::new();
        for (learned, record) in self.records.iter().filter(|(learned, _)| *learned <= tick) {
            if let Record::Reading(reading) = record {
                readings.entry(*learned).or_default().push(reading);
            }
        }
        let facts = self.facts.iter().map(|(learned, ..)| *learned);
        let recalls = self.restated.iter().map(Restated::recalled);
        for learned in facts.chain(recalls).filter(|learned| *learned <= tick) {
            readings.entry(learned).or_default();
        }
        let mut first = Period::default();
        for (learned, mut readings) in readings {
            let horizon = self.policy.horizon(learned);
            if horizon > first {
                first = horizon;
                self.forget(&mut told, Tick(learned.0 - 1), horizon);
            }
            readings.sort_by_key(|reading| reading.arrival);
            for reading in readings {
                if self.policy.period_of(reading.at_ms - 1) >= horizon {
                    tell(&mut told, reading);
                }
            }
            for restated in self.restated.iter().filter(|r| r.recalled() == learned) {
                self.recall(&mut told, restated.known);
            }
        }
        told
    }

    /// What was known from before the horizon gives way to what is kept of everything.
    pub(crate) fn recall(&self, told: &mut ToldValues, known: Tick) {
        let horizon = self.policy.horizon(known);
        let end_ms = horizon.start_ms(self.policy.period_ms);
        for values in told.values_mut() {
            *values = values.split_off(&(end_ms + 1));
        }
        let mut all = self.all_values(known);
        self.forget(&mut all, known, horizon);
        for (meter, mut values) in all {
            values.split_off(&(end_ms + 1));
            told.entry(meter).or_default().append(&mut values);
        }
    }

    fn all_values(&self, tick: Tick) -> ToldValues {
        let mut told = ToldValues::new();
        let mut readings: Vec<(Tick, &Reading)> = Vec::new();
        for (learned, record) in self.records.iter().filter(|(learned, _)| *learned <= tick) {
            if let Record::Reading(reading) = record {
                readings.push((*learned, reading));
            }
        }
        readings.sort_by_key(|(learned, reading)| (*learned, reading.arrival));
        for (_, reading) in readings {
            tell(&mut told, reading);
        }
        told
    }

    /// What lies below the horizon is forgotten, but for the last value that a walk can resume from (and, for a
    /// register with a limit on power, since when it had that position). `known` is the tick of the rows that decide it.
    fn forget(&self, told: &mut ToldValues, known: Tick, horizon: Period) {
        let rows = self.meter_rows(known);
        let none = Rows::default();
        for (meter, told) in told {
            forget_values(&self.policy, rows.get(meter).unwrap_or(&none), told, horizon);
        }
    }

    /// The activities that hold at `tick`.
    fn activities(&self, tick: Tick, view: View) -> BTreeMap<Id, Said> {
        let told = match view {
            View::Live => self.live_activities(tick),
            View::Whole => self.all_activities(tick),
        };
        told.into_iter().filter_map(|(id, told)| Some((id, told.holds()?))).collect()
    }

    fn live_activities(&self, tick: Tick) -> BTreeMap<Id, Told<Said>> {
        let mut told: BTreeMap<Id, Told<Said>> = BTreeMap::new();
        let mut records: Vec<_> = self.records.iter().filter(|(t, _)| *t <= tick).collect();
        records.sort_by_key(|(learned, record)| (*learned, *record.arrival()));
        let mut recalls = self.restated.iter().filter(|r| r.recalled() <= tick).peekable();
        for (learned, record) in records {
            let Record::Activity(record) = record else { continue };
            while let Some(restated) = recalls.next_if(|r| r.recalled() < *learned) {
                self.recall_activities(&mut told, *restated);
            }
            self.hear(&mut told, *learned, record);
        }
        for restated in recalls {
            self.recall_activities(&mut told, *restated);
        }
        told
    }

    /// Activities give way to what is kept of everything, and what was said meanwhile is said again.
    pub(crate) fn recall_activities(
        &self,
        told: &mut BTreeMap<Id, Told<Said>>,
        restated: Restated,
    ) {
        let horizon = self.policy.horizon(restated.known);
        let is_below = |said: Said| self.policy.period_of(said.to_ms - 1) < horizon;
        *told = self.all_activities(restated.known);
        told.retain(|_, told| !told.holds().is_some_and(is_below));
        let meanwhile = restated.known.next()..=restated.tick;
        let later = self.records.iter().filter(|(learned, _)| meanwhile.contains(learned));
        let mut later: Vec<_> = later.collect();
        later.sort_by_key(|(learned, record)| (*learned, *record.arrival()));
        for (learned, record) in later {
            if let Record::Activity(record) = record {
                self.hear(told, *learned, record);
            }
        }
    }

    /// An activity as a live view takes it in.
    fn hear(&self, told: &mut BTreeMap<Id, Told<Said>>, learned: Tick, record: &ActivityRecord) {
        let horizon = self.policy.horizon(learned);
        let is_below = |to_ms: i64| self.policy.period_of(to_ms - 1) < horizon;
        let fits = record.value.is_none_or(|v| record.unit.amount(v, Decimal::ONE).is_ok());
        if record.value.is_some() && (is_below(record.to_ms) || !fits) {
            return;
        }
        // What lies below the horizon altogether is forgotten.
        if told.get(&record.activity).and_then(Told::holds).is_some_and(|s| is_below(s.to_ms)) {
            told.remove(&record.activity);
        }
        told.entry(record.activity).or_default().take(record.version, Said::of(record));
    }

    fn all_activities(&self, tick: Tick) -> BTreeMap<Id, Told<Said>> {
        let mut told: BTreeMap<Id, Told<Said>> = BTreeMap::new();
        let mut records: Vec<_> = self.records.iter().filter(|(t, _)| *t <= tick).collect();
        records.sort_by_key(|(learned, record)| (*learned, *record.arrival()));
        for (_, record) in records {
            let Record::Activity(record) = record else { continue };
            if record.value.is_none_or(|v| record.unit.amount(v, Decimal::ONE).is_ok()) {
                told.entry(record.activity).or_default().take(record.version, Said::of(record));
            }
        }
        told
    }
}

impl Restated {
    /// When live dataflows are told what is kept from before the horizon.
    fn recalled(&self) -> Tick {
        Tick::new(self.tick.ms(), Cause::Kept)
    }
}
