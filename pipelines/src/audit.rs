//! What the entries of a ledger must be, cut by cut: the batch reference, for ledgers that are too long to be
//! computed anew at every cut.
//!
//! ```text
//! facts, records of a cut ──▶ what is known ──▶ balances of the subjects it touches ──▶ differences = entries
//!                                                   └▶ node tree ──▶ differences of footprints
//! ```
//!
//! It goes through a history in the order of its ticks, and computes a subject's balances from plain loops, as
//! [`reference`](crate::reference) does and with the same rules, whenever something about it was learned or
//! falls due. What it keeps is what is known above the horizon; it has no dataflow, no differences of inputs, no
//! holding and no windows. That it agrees with the reference at every cut of random histories is a test.
//!
//! What was restated from below the horizon needs everything that was ever said: an auditor that is to follow it
//! ([`Auditor::with_history`]) keeps it all, and gives it to the reference when the time comes.
//!
//! A period's balance freezes when the horizon passes it, which may happen between two cuts: a cut is gone
//! through in steps, each up to the last tick before the horizon moves.

mod covered;
mod entries;

use std::collections::{BTreeMap, BTreeSet};

use crate::model::entry::Line;
use crate::model::{
    ActivityKey, ActivityRecord, Cause, Decimal, Emission, EmissionKey, Fact, Gas, GwpSet, Id,
    Measure, Method, NodeKey, Period, Policy, Reading, Record, Subject, Tick,
};
use crate::reference::{
    Allotments, Covering, Factors, History, Restated, Told, ToldValues, add, forget_values,
};
use crate::stages::activities::Said;
use crate::stages::metering::{Rows, Scan, Value, book_span};
use crate::stages::roll_up::Tree;

use covered::Stale;
pub use entries::Entries;

/// What was learned up to a cut, since the one before.
#[derive(Clone, Debug, Default)]
pub struct Learned {
    /// Facts (1) and their withdrawals (-1).
    pub facts: Vec<(Tick, Fact, i64)>,
    /// Readings and activities.
    pub records: Vec<(Tick, Record)>,
    /// The cut took a restatement along, of what was known up to this tick.
    pub restated: Option<Tick>,
    /// All CO2e is that of this GWP set from now on, also of what was known up to `restated`, or the last cut.
    pub gwp: Option<GwpSet>,
}

/// What is known of one meter or activity, and what is booked of it.
#[derive(Debug, Default)]
struct Account {
    /// Of a meter: what was said of each instant.
    values: BTreeMap<i64, Told<Value>>,
    /// Of an activity.
    said: Told<Said>,
    activity: BTreeMap<ActivityKey, Measure>,
    emissions: BTreeMap<EmissionKey, Emission>,
}

/// Where emissions come from, before the tree: period, node, scope, category, method, gas.
type Leaf = (Period, Id, (u8, u8, Method, Gas));

/// See the module's documentation.
#[derive(Debug)]
pub struct Auditor {
    policy: Policy,
    /// The horizon at the last learned tick.
    first: Period,
    /// The last step's tick.
    last: Tick,
    facts: BTreeMap<Fact, i64>,
    rows: BTreeMap<Id, Rows>,
    factors: Factors,
    tree: Tree,
    accounts: BTreeMap<Subject, Account>,
    /// Who uses a factor, or did.
    users: BTreeMap<Id, BTreeSet<Subject>>,
    /// When something of a subject is booked by the passing of time, ms.
    due: BTreeMap<i64, BTreeSet<Subject>>,
    leaves: BTreeMap<Leaf, Emission>,
    covering: Covering,
    /// What contracts cover, in hours that have settled.
    allotments: Allotments,
    /// Hours to be matched anew.
    stale: Stale,
    touched: BTreeSet<Subject>,
    /// The tree has changed since the last step: as it was then.
    old_tree: Option<Tree>,
    /// Everything that was ever said, and booked, where restatements are to be followed.
    whole: Option<(History, Entries)>,
}

impl Auditor {
    /// Nothing is known yet.
    #[must_use]
    pub fn new(policy: Policy) -> Self {
        Self {
            policy,
            first: Period::default(),
            last: Tick::ZERO,
            facts: BTreeMap::new(),
            rows: BTreeMap::new(),
            factors: Factors::default(),
            tree: Tree::default(),
            accounts: BTreeMap::new(),
            users: BTreeMap::new(),
            due: BTreeMap::new(),
            leaves: BTreeMap::new(),
            covering: Covering::default(),
            allotments: Allotments::new(),
            stale: Stale::default(),
            touched: BTreeSet::new(),
            old_tree: None,
            whole: None,
        }
    }

    /// Nothing is known yet, and nothing will be forgotten.
    #[must_use]
    pub fn with_history(policy: Policy) -> Self {
        let (facts, records) = (Vec::new(), Vec::new());
        let (restated, gwps) = (Vec::new(), Vec::new());
        let history = History { policy: policy.clone(), facts, records, restated, gwps };
        Self { whole: Some((history, Entries::default())), ..Self::new(policy) }
    }

    /// The GWP set that all CO2e is in.
    #[must_use]
    pub fn gwp(&self) -> GwpSet {
        self.policy.gwp
    }

    /// The entries of the cut, which follows on the last one.
    ///
    /// # Panics
    /// If it took a restatement along and the auditor has no history.
    pub fn cut(&mut self, cut: Tick, learned: Learned) -> Entries {
        let mut entries = Entries::default();
        if let Some(gwp) = learned.gwp {
            self.change_gwp(gwp, learned.restated, &mut entries);
        }
        if let Some((history, _)) = &mut self.whole {
            history.facts.extend_from_slice(&learned.facts);
            history.records.extend_from_slice(&learned.records);
        }
        let known = learned.restated.filter(|_| learned.gwp.is_none());
        let restated = known.map(|known| Restated { tick: cut, known });
        let mut ticks: BTreeMap<Tick, Learned> = BTreeMap::new();
        for (tick, fact, diff) in learned.facts {
            ticks.entry(tick).or_default().facts.push((tick, fact, diff));
        }
        for (tick, record) in learned.records {
            ticks.entry(tick).or_default().records.push((tick, record));
        }
        if let (Tick::ZERO, Some(first)) = (self.last, ticks.keys().next()) {
            self.last = *first;
        }
        for end in self.steps(cut) {
            let later = ticks.split_off(&end.next());
            for (tick, learned) in std::mem::replace(&mut ticks, later) {
                self.learn(tick, learned);
            }
            self.book(end, &mut entries);
            self.last = end;
        }
        if let Some(restated) = restated {
            let missing = self.missing(restated.known, &entries);
            self.recall(restated);
            self.book(cut, &mut entries);
            entries.merge(&missing, |_| true, &self.policy, 1);
        }
        if let Some((_, booked)) = &mut self.whole {
            booked.merge(&entries, |_| true, &self.policy, 1);
        }
        entries
    }

    /// All CO2e is that of `gwp` from now on: books the differences of what was booked up to `known`.
    fn change_gwp(&mut self, gwp: GwpSet, known: Option<Tick>, entries: &mut Entries) {
        let known = known.unwrap_or(self.last);
        // What fell due before was booked under the old set.
        for end in self.steps(known) {
            self.book(end, entries);
            self.last = end;
        }
        self.policy.gwp = gwp;
        self.touched.extend(self.accounts.keys().copied());
        self.book(known, entries);
        if self.whole.is_some() {
            let missing = self.missing(known, entries);
            entries.merge(&missing, |_| true, &self.policy, 1);
        }
    }

    /// What is not booked below the horizon of `known`, although everything that was known then leads to it.
    fn missing(&self, known: Tick, entries: &Entries) -> Entries {
        let (history, booked) =
            self.whole.as_ref().expect("an auditor that follows restatements has a history");
        let horizon_ms = self.policy.horizon(known).start_ms(self.policy.period_ms);
        let is_below = |start_ms: i64| start_ms < horizon_ms;
        let (mut wanted, mut missing) = (Entries::default(), Entries::default());
        wanted.add_balances(&history.in_hindsight(known, self.policy.gwp));
        missing.merge(&wanted, is_below, &self.policy, 1);
        missing.merge(booked, is_below, &self.policy, -1);
        missing.merge(entries, is_below, &self.policy, -1);
        missing
    }

    /// Takes over what is to be kept from before the horizon.
    fn recall(&mut self, restated: Restated) {
        let (history, _) =
            self.whole.as_ref().expect("an auditor that follows restatements has a history");
        let (mut values, mut said) = (ToldValues::new(), BTreeMap::new());
        for (subject, account) in &mut self.accounts {
            match *subject {
                Subject::Meter(id) => {
                    values.insert(id, std::mem::take(&mut account.values));
                }
                Subject::Activity(id) => {
                    said.insert(id, std::mem::take(&mut account.said));
                }
                Subject::Contract(_) | Subject::Uncovered(_) => {}
            }
        }
        history.recall(&mut values, restated.known);
        history.recall_activities(&mut said, restated);
        for (id, values) in values {
            self.accounts.entry(Subject::Meter(id)).or_default().values = values;
        }
        for (id, said) in said {
            self.accounts.entry(Subject::Activity(id)).or_default().said = said;
        }
        self.touched.extend(self.accounts.keys().copied());
    }

    /// The ends of the steps up to `cut`: each last tick before the horizon moves, then the cut.
    fn steps(&self, cut: Tick) -> Vec<Tick> {
        if self.last == Tick::ZERO {
            return vec![cut];
        }
        let next = |last: Tick| Tick::new(self.policy.horizon_moves_ms(last), Cause::Time);
        let moves = std::iter::successors(Some(next(self.last)), |last| Some(next(*last)));
        let ends = moves.map(|tick| Tick::new(tick.ms() - 1, Cause::Cut));
        ends.take_while(|end| *end < cut).chain([cut]).collect()
    }

    fn learn(&mut self, tick: Tick, learned: Learned) {
        let horizon = self.policy.horizon(tick);
        if horizon > self.first {
            self.first = horizon;
            self.forget(horizon);
        }
        let mut changes: BTreeMap<Fact, i64> = BTreeMap::new();
        for (_, fact, diff) in learned.facts {
            *changes.entry(fact).or_default() += diff;
        }
        for (fact, diff) in changes {
            self.learn_fact(fact, diff);
        }
        let mut records: Vec<Record> = learned.records.into_iter().map(|(_, r)| r).collect();
        records.sort_by_key(|record| *record.arrival());
        for record in records {
            match record {
                Record::Reading(reading) => self.learn_reading(&reading, horizon),
                Record::Activity(activity) => self.learn_activity(&activity, horizon),
            }
        }
    }

    fn learn_fact(&mut self, fact: Fact, diff: i64) {
        let count = self.facts.entry(fact.clone()).or_default();
        let held = *count > 0;
        *count += diff;
        let holds = *count > 0;
        if *count == 0 {
            self.facts.remove(&fact);
        }
        if held == holds {
            return;
        }
        let diff = if holds { 1 } else { -1 };
        if self.factors.learn(&fact, holds) {
            self.touch_users(&fact);
        }
        if self.covering.learn(&fact, holds) {
            self.stale.all = true;
        }
        match fact {
            Fact::Meter(row) => {
                self.rows.entry(row.meter).or_default().update(&row, diff);
                self.touched.insert(Subject::Meter(row.meter));
            }
            Fact::Factor(_)
            | Fact::Series(_)
            | Fact::Contract(_)
            | Fact::Certificate(_)
            | Fact::Price(_) => {}
            Fact::Node(row) => {
                self.stale.all = true;
                self.old_tree.get_or_insert_with(|| self.tree.clone());
                self.tree.update(&row, diff);
            }
        }
    }

    /// Whoever uses a factor, or one that this may stand in for, has to be looked at again.
    fn touch_users(&mut self, fact: &Fact) {
        match fact {
            Fact::Factor(row) => {
                for factor in self.factors.before(row.factor) {
                    self.touched.extend(self.users.get(&factor).into_iter().flatten());
                }
            }
            _ => self.touched.extend(self.users.values().flatten()),
        }
    }

    fn learn_reading(&mut self, reading: &Reading, horizon: Period) {
        let Reading { meter, at_ms, unit, from_ms, version, .. } = *reading;
        if self.policy.period_of(at_ms - 1) < horizon {
            return;
        }
        let subject = Subject::Meter(meter);
        let value = reading.value.map(|number| Value { number, unit, from_ms });
        let account = self.accounts.entry(subject).or_default();
        account.values.entry(at_ms).or_default().take(version, value);
        self.touched.insert(subject);
    }

    fn learn_activity(&mut self, record: &ActivityRecord, horizon: Period) {
        let policy = &self.policy;
        let is_below = |to_ms: i64| policy.period_of(to_ms - 1) < horizon;
        let fits = record.value.is_none_or(|v| record.unit.amount(v, Decimal::ONE).is_ok());
        if record.value.is_some() && (is_below(record.to_ms) || !fits) {
            return;
        }
        let subject = Subject::Activity(record.activity);
        let account = self.accounts.entry(subject).or_default();
        if account.said.holds().is_some_and(|said| is_below(said.to_ms)) {
            account.said = Told::default();
        }
        account.said.take(record.version, Said::of(record));
        self.touched.insert(subject);
    }

    /// Lets go of what lies below the horizon, but for what later values need.
    fn forget(&mut self, horizon: Period) {
        let none = Rows::default();
        for (subject, account) in &mut self.accounts {
            if let Subject::Meter(meter) = subject {
                let rows = self.rows.get(meter).unwrap_or(&none);
                forget_values(&self.policy, rows, &mut account.values, horizon);
            }
            account.activity.retain(|key, _| key.period >= horizon);
            account.emissions.retain(|key, _| key.activity.period >= horizon);
        }
        self.leaves.retain(|(period, ..), _| *period >= horizon);
        self.allotments.retain(|(_, key), _| key.period >= horizon);
    }

    /// Computes anew what was touched or has fallen due, and adds the differences to `entries`.
    fn book(&mut self, end: Tick, entries: &mut Entries) {
        let later = self.due.split_off(&(end.ms() + 1));
        let due = std::mem::replace(&mut self.due, later);
        self.touched.extend(due.into_values().flatten());
        let mut leaves: BTreeMap<Leaf, Emission> = BTreeMap::new();
        for subject in std::mem::take(&mut self.touched) {
            self.book_subject(subject, end, (entries, &mut leaves));
        }
        // What they cover follows from what is booked of all others.
        self.match_hours(end);
        for subject in std::mem::take(&mut self.touched) {
            self.book_subject(subject, end, (entries, &mut leaves));
        }
        let tree = self.old_tree.take();
        for (leaf, change) in leaves {
            roll(&self.policy, tree.as_ref().unwrap_or(&self.tree), leaf, &change, entries);
            add(&mut self.leaves, leaf, &change);
        }
        if let Some(old) = tree {
            let horizon = self.policy.horizon(end);
            for (leaf, balance) in self.leaves.iter().filter(|(leaf, _)| leaf.0 >= horizon) {
                roll(&self.policy, &old, *leaf, &balance.negated(), entries);
                roll(&self.policy, &self.tree, *leaf, balance, entries);
            }
        }
    }

    /// Computes a subject anew, and adds the differences to `entries` and `leaves`.
    fn book_subject(
        &mut self,
        subject: Subject,
        end: Tick,
        (entries, leaves): (&mut Entries, &mut BTreeMap<Leaf, Emission>),
    ) {
        let (activity, emissions) = if subject.has_records() {
            self.balances(subject, end)
        } else {
            self.covered(subject, end)
        };
        let horizon = self.policy.horizon(end);
        let account = self.accounts.entry(subject).or_default();
        let old = std::mem::replace(&mut account.activity, activity);
        let old: BTreeMap<_, _> =
            old.into_iter().filter(|(key, _)| key.period >= horizon).collect();
        if subject.has_records() {
            self.stale.look(&self.covering, &self.policy, (&old, &account.activity));
        }
        for (key, measure) in &old {
            entries.add_activity(*key, &measure.negated());
        }
        account.activity.iter().for_each(|(key, measure)| entries.add_activity(*key, measure));
        let old = std::mem::replace(&mut account.emissions, emissions);
        let old = old.into_iter().filter(|(key, _)| key.activity.period >= horizon);
        let old = old.map(|(key, emission)| (key, emission.negated()));
        for (key, change) in old.chain(account.emissions.iter().map(|(key, e)| (*key, *e))) {
            entries.add_emission(key, &change);
            let Line { scope, category, method, gas, .. } = key.line;
            let leaf = (key.activity.period, key.activity.node, (scope, category, method, gas));
            add(leaves, leaf, &change);
        }
    }

    /// The balances of a subject at `end`, above its horizon; notes what falls due later.
    fn balances(
        &mut self,
        subject: Subject,
        end: Tick,
    ) -> (BTreeMap<ActivityKey, Measure>, BTreeMap<EmissionKey, Emission>) {
        let mut pieces = BTreeMap::new();
        let mut give = |(key, measure): ((ActivityKey, i64), Measure)| {
            add(&mut pieces, key, &measure);
        };
        let none = Account::default();
        let account = self.accounts.get(&subject).unwrap_or(&none);
        let place = (&self.policy, self.policy.horizon(end));
        match subject {
            Subject::Meter(meter) => {
                let none = Rows::default();
                let rows = self.rows.get(&meter).unwrap_or(&none);
                let mut scan = Scan::new(rows);
                for (at_ms, value) in &account.values {
                    let Some(value) = value.holds() else { continue };
                    scan.step(*at_ms, &value, &mut |span| {
                        book_span((meter, rows), &span, place, &mut give);
                    });
                }
                scan.finish(&mut |span| book_span((meter, rows), &span, place, &mut give));
            }
            Subject::Activity(id) => {
                if let Some(said) = account.said.holds() {
                    said.pieces(id, place, &mut give);
                }
            }
            Subject::Contract(_) | Subject::Uncovered(_) => {}
        }
        let (mut activity, mut emissions) = (BTreeMap::new(), BTreeMap::new());
        for ((key, held_until_ms), measure) in pieces {
            let due_ms = self.policy.settles_ms(key.period).max(held_until_ms);
            if Tick::new(due_ms, Cause::Time) > end {
                self.due.entry(due_ms).or_default().insert(subject);
            } else {
                add(&mut activity, key, &measure);
            }
        }
        for (key, measure) in activity.iter().filter(|(key, _)| !key.factor.is_none()) {
            self.emit(*key, measure, &mut emissions);
        }
        (activity, emissions)
    }
}

/// Adds the footprints of a leaf: of its node and all above it.
fn roll(policy: &Policy, tree: &Tree, leaf: Leaf, change: &Emission, entries: &mut Entries) {
    let (period, node, (scope, category, method, gas)) = leaf;
    for (node, depth) in tree.path(node, period.start_ms(policy.period_ms)) {
        let key = NodeKey { period, node, depth, scope, category, method, gas };
        entries.add_footprint(key.by_the_hour(policy), change);
    }
}
