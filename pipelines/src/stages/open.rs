//! Emissions of the periods that are still running, as they fill: what the window `open` shows.
//!
//! A running period changes with every reading, and only the live gauge asks for it before it is over. So
//! it is kept here, apart from the arrangements, which see a period once: when it has closed.
//!
//! ```text
//! activity ──stays on its worker──┐
//! nodes ──────to all──────────────┼─▶ open ──▶ (live key, tick, emission)
//! rates ──────to all──────────────┘
//! ```
//!
//! 1. Stash by tick; close ticks in order: tree, rates, activity. *As in the roll-up.*
//! 2. Forget the periods that have ended. *They leave the window by themselves, and their activity goes the
//!    way of closed periods; so the state is that of the running ones.*
//! 3. A change of the tree or of rates: balances go out under what was known and come in under what is.
//! 4. A change of activity is multiplied where it arose and summed by node, then goes to every ancestor.
//!    *In this order the work per reading does not grow with gases and levels.*
//!
//! State: one balance a (leaf node, factor, unit, running period) and worker; their rates and paths.
//!
//! Rejected: the arrangements that closed periods go through. At ten readings a second and meter each of them
//! would take in every meter four times a second; this operator holds ten times the rate.

use std::collections::BTreeMap;
use std::sync::Arc;

use differential_dataflow::consolidation::consolidate;
use differential_dataflow::difference::{IsZero, Multiply, Semigroup};
use differential_dataflow::{AsCollection, VecCollection};
use timely::dataflow::channels::pact::Pipeline;
use timely::dataflow::operators::Capability;
use timely::dataflow::operators::generic::OutputBuilder;
use timely::dataflow::operators::generic::builder_rc::OperatorBuilder;
use timely::dataflow::operators::vec::Broadcast;

use super::rates::Use;
use super::roll_up::{Path, Tree};
use crate::model::entry::Line;
use crate::model::{
    ActivityKey, Emission, Gas, Id, Measure, Method, NodeRow, Period, Policy, Rate, Tick, Unit,
};

/// A node's emissions in a period, under the dimensions of a live gauge.
#[derive(
    Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize,
)]
pub struct LiveKey {
    /// The accounting period.
    pub period: Period,
    /// The node, at any level.
    pub node: Id,
    /// Its level: 0 for a root.
    pub depth: u8,
    /// What is told apart.
    pub kind: Kind,
}

/// The dimensions of a line that a live gauge tells apart.
#[derive(
    Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize,
)]
pub struct Kind {
    /// See [`Line::scope`].
    pub scope: u8,
    /// See [`Line::method`].
    pub method: Method,
    /// See [`Line::gas`]; `co2e` for all where gases are not told apart.
    pub gas: Gas,
}

impl Kind {
    /// The kind of a line.
    #[must_use]
    pub fn of(line: &Line, by_gas: bool) -> Self {
        let Line { scope, method, gas, .. } = *line;
        Self { scope, method, gas: gas.shown(by_gas) }
    }
}

/// Emissions of running periods by node. See the module's documentation.
#[must_use]
pub fn open<'scope>(
    activity: VecCollection<'scope, Tick, ActivityKey, Measure>,
    nodes: VecCollection<'scope, Tick, NodeRow, i64>,
    rates: VecCollection<'scope, Tick, (Use, Kind), Rate>,
    policy: Arc<Policy>,
) -> VecCollection<'scope, Tick, LiveKey, Emission> {
    let mut builder = OperatorBuilder::new("Open".to_owned(), activity.scope());
    let mut activity = builder.new_input(activity.inner, Pipeline);
    let mut nodes = builder.new_input(nodes.inner.broadcast(), Pipeline);
    let period_ms = policy.period_ms;
    let running = rates.inner;
    let running = timely::dataflow::operators::vec::Filter::filter(running, move |change| {
        let (((_, _, period), _), tick, _) = change;
        period.end_ms(period_ms) > tick.ms()
    });
    let mut rates = builder.new_input(running.broadcast(), Pipeline);
    let (output, live) = builder.new_output::<Vec<(LiveKey, Tick, Emission)>>();
    let mut output = OutputBuilder::from(output);

    builder.build(move |initial| {
        drop(initial);
        let mut running = Running::new(policy);
        let mut stash: BTreeMap<Tick, Stash> = BTreeMap::new();
        move |frontiers| {
            activity.for_each(|capability, batch| {
                for (key, tick, measure) in batch.drain(..) {
                    if key.period.end_ms(period_ms) > tick.ms() {
                        let stash = stash.entry(tick);
                        let stash =
                            stash.or_insert_with(|| Stash::new(capability.delayed(&tick, 0)));
                        stash.activity.push((key, measure));
                    }
                }
            });
            nodes.for_each(|capability, batch| {
                for (row, tick, diff) in batch.drain(..) {
                    let stash = stash.entry(tick);
                    let stash = stash.or_insert_with(|| Stash::new(capability.delayed(&tick, 0)));
                    stash.rows.push((row, diff));
                }
            });
            rates.for_each(|capability, batch| {
                for (rate_of, tick, rate) in batch.drain(..) {
                    let stash = stash.entry(tick);
                    let stash = stash.or_insert_with(|| Stash::new(capability.delayed(&tick, 0)));
                    stash.rates.push((rate_of, rate));
                }
            });
            let mut output = output.activate();
            let closed = |tick: &Tick| frontiers.iter().all(|frontier| !frontier.less_equal(tick));
            while let Some(entry) = stash.first_entry().filter(|entry| closed(entry.key())) {
                let (tick, stash) = entry.remove_entry();
                let capability = stash.capability.clone();
                let changes = running.close(tick, stash);
                let mut session = output.session(&capability);
                session.give_iterator(changes.into_iter().map(|(key, r)| (key, tick, r)));
            }
        }
    });
    live.as_collection()
}

/// What has arrived at a tick that has not closed yet.
struct Stash {
    capability: Capability<Tick>,
    rows: Vec<(NodeRow, i64)>,
    rates: Vec<((Use, Kind), Rate)>,
    activity: Vec<(ActivityKey, Measure)>,
}

impl Stash {
    fn new(capability: Capability<Tick>) -> Self {
        Self { capability, rows: Vec::new(), rates: Vec::new(), activity: Vec::new() }
    }
}

/// A leaf's share of a period.
type Leaf = (Id, Id, Unit);

/// The running periods of one worker.
#[derive(Debug)]
struct Running {
    policy: Arc<Policy>,
    tree: Tree,
    periods: BTreeMap<Period, Share>,
}

/// What one worker holds of one period.
#[derive(Debug, Default)]
#[expect(
    clippy::disallowed_types,
    reason = "looked up by key for every change; what is walked over is summed, and sums have no order"
)]
struct Share {
    balances: std::collections::HashMap<Leaf, Measure>,
    /// By (factor, unit).
    rates: BTreeMap<(Id, Unit), Vec<(Kind, Rate)>>,
    paths: std::collections::HashMap<Id, Path>,
}

/// Changes by node, before they go up the tree.
type ByNode = BTreeMap<(Id, Kind), Emission>;

impl Running {
    fn new(policy: Arc<Policy>) -> Self {
        Self { policy, tree: Tree::default(), periods: BTreeMap::new() }
    }

    fn close(&mut self, tick: Tick, stash: Stash) -> Vec<(LiveKey, Emission)> {
        let Stash { mut rows, rates, activity, .. } = stash;
        // A row that came and went within the tick was never there, in whichever order workers say so.
        consolidate(&mut rows);
        let first = self.policy.period_of(tick.ms());
        self.periods = self.periods.split_off(&first);
        let mut live = BTreeMap::new();
        if !rows.is_empty() {
            self.replant(&rows, &mut live);
        }
        let mut rates = rates;
        rates.sort_by_key(|(((_, _, period), _), _)| *period);
        for changes in rates.chunk_by(|a, b| (a.0).0.2 == (b.0).0.2) {
            let period = (changes[0].0).0.2;
            let by_node = self.periods.entry(period).or_default().change_rates(changes);
            self.lift(period, &by_node, &mut live);
        }
        let mut activity = activity;
        activity.sort_by_key(|(key, _)| key.period);
        for changes in activity.chunk_by(|a, b| a.0.period == b.0.period) {
            let period = changes[0].0.period;
            let by_node = self.periods.entry(period).or_default().change_activity(changes);
            self.lift(period, &by_node, &mut live);
        }
        live.into_iter().filter(|(_, emission)| !emission.is_zero()).collect()
    }

    /// Changes the tree: what changes its ancestors leaves the old ones and comes to the new ones.
    fn replant(&mut self, rows: &[(NodeRow, i64)], live: &mut BTreeMap<LiveKey, Emission>) {
        let totals: Vec<(Period, ByNode)> =
            self.periods.iter().map(|(&period, share)| (period, share.total())).collect();
        for (period, total) in &totals {
            let out = total.iter().map(|(&key, emission)| (key, emission.negated())).collect();
            self.lift(*period, &out, live);
        }
        for (row, diff) in rows {
            self.tree.update(row, *diff);
        }
        for share in self.periods.values_mut() {
            share.paths.clear();
        }
        for (period, total) in &totals {
            self.lift(*period, total, live);
        }
    }

    /// Gives changes by node to the node and all above it.
    fn lift(&mut self, period: Period, by_node: &ByNode, live: &mut BTreeMap<LiveKey, Emission>) {
        let Self { policy, tree, periods } = self;
        let paths = &mut periods.entry(period).or_default().paths;
        for (&(leaf, kind), emission) in by_node {
            let path = paths
                .entry(leaf)
                .or_insert_with(|| tree.path(leaf, period.start_ms(policy.period_ms)));
            for &(node, depth) in path.iter() {
                let key = LiveKey { period, node, depth, kind };
                live.entry(key).or_default().plus_equals(emission);
            }
        }
    }
}

impl Share {
    fn change_rates(&mut self, changes: &[((Use, Kind), Rate)]) -> ByNode {
        let mut by_use: BTreeMap<(Id, Unit), Vec<(Kind, Rate)>> = BTreeMap::new();
        for &(((factor, unit, _), kind), rate) in changes {
            add(by_use.entry((factor, unit)).or_default(), kind, &rate);
            let rates = self.rates.entry((factor, unit)).or_default();
            add(rates, kind, &rate);
            rates.retain(|(_, rate)| !rate.is_zero());
        }
        let mut by_node = ByNode::new();
        for (&(node, factor, unit), measure) in &self.balances {
            for (kind, rate) in by_use.get(&(factor, unit)).into_iter().flatten() {
                by_node.entry((node, *kind)).or_default().plus_equals(&measure.multiply(rate));
            }
        }
        by_node
    }

    fn change_activity(&mut self, changes: &[(ActivityKey, Measure)]) -> ByNode {
        let mut by_node = ByNode::new();
        for (ActivityKey { node, factor, unit, .. }, change) in changes {
            self.balances.entry((*node, *factor, *unit)).or_default().plus_equals(change);
            for (kind, rate) in self.rates.get(&(*factor, *unit)).into_iter().flatten() {
                by_node.entry((*node, *kind)).or_default().plus_equals(&change.multiply(rate));
            }
        }
        by_node
    }

    fn total(&self) -> ByNode {
        let mut by_node = ByNode::new();
        for (&(node, factor, unit), measure) in &self.balances {
            for (kind, rate) in self.rates.get(&(factor, unit)).into_iter().flatten() {
                by_node.entry((node, *kind)).or_default().plus_equals(&measure.multiply(rate));
            }
        }
        by_node
    }
}

/// Adds to the rate of `kind`: a use has a handful of them.
fn add(rates: &mut Vec<(Kind, Rate)>, kind: Kind, rate: &Rate) {
    match rates.iter_mut().find(|(known, _)| *known == kind) {
        Some((_, known)) => known.plus_equals(rate),
        None => rates.push((kind, *rate)),
    }
}
