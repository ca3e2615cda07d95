//! Activity of leaves, rolled up the node tree as it stood at the start of each period.
//!
//! In SQL: `SELECT ancestor, depth, factor, unit, period, sum(amount) FROM activity JOIN ancestors USING
//! (node, period) GROUP BY 1, 2, 3, 4, 5`, a node being its own ancestor.
//!
//! ```text
//! activity ──by node──┐
//!                     ├─▶ roll_up ──▶ ((node, depth, factor, unit, period), tick, measure)
//! nodes ──to all──────┘
//! ```
//!
//! 1. Stash by tick; close ticks in order, tree before activity. *As in metering.*
//! 2. A change of activity goes to every ancestor of its node.
//! 3. A change of the tree: for each node with balances, the periods whose ancestors changed are taken back
//!    from the old ones and booked to the new ones.
//! 4. A node that the tree does not know, a cycle, or a path deeper than [`DEPTH_MAX`]: the node stands for
//!    itself, as a root. *So nothing is lost, and nothing loops; `check` and a notice tell.*
//!
//! State: one balance a (leaf node, factor, unit, period) inside `retain`; the tree, on every worker.
//!
//! Rejected: an unrolled walk of 16 joins. Each level would hold every (node, period) in two arrangements;
//! the tree itself is small enough for every worker to hold.

use std::collections::BTreeMap;
use std::sync::Arc;

use differential_dataflow::consolidation::consolidate;
use differential_dataflow::difference::{IsZero, Semigroup};
use differential_dataflow::{AsCollection, VecCollection};
use timely::dataflow::channels::pact::{Exchange, Pipeline};
use timely::dataflow::operators::Capability;
use timely::dataflow::operators::generic::Operator;
use timely::dataflow::operators::vec::Broadcast;

use crate::model::{Id, Measure, NodeRow, Period, Policy, Tick, Unit};

/// The deepest a node may lie below its root.
pub const DEPTH_MAX: usize = 16;

/// What a leaf's balance is kept under.
pub type Leaf = (Id, (Id, Unit, Period));

/// Activity of a node at any level: node, depth, and what it is an amount of.
pub type Rolled = ((Id, u8), (Id, Unit, Period));

/// A node and its ancestors, from the node up, each with its depth.
pub(super) type Path = Vec<(Id, u8)>;

/// The tree as known at a tick.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tree(BTreeMap<Id, Vec<NodeRow>>);

impl Tree {
    /// Adds (`diff > 0`) or takes back a row.
    pub fn update(&mut self, row: &NodeRow, diff: i64) {
        let rows = self.0.entry(row.node).or_default();
        if diff > 0 {
            rows.push(row.clone());
            rows.sort();
        } else if let Some(index) = rows.iter().position(|known| known == row) {
            rows.remove(index);
        }
        if rows.is_empty() {
            self.0.remove(&row.node);
        }
    }

    fn row(&self, node: Id, ms: i64) -> Option<&NodeRow> {
        let rows = self.0.get(&node)?;
        rows.iter().filter(|row| row.validity.holds(ms)).max_by_key(|row| row.revision)
    }

    /// The node and its ancestors at `ms`, from the node up, each with its depth below the root. A node
    /// without a row is a root; so is one whose path has no end.
    ///
    /// # Panics
    /// Never: a path has at most [`DEPTH_MAX`] levels.
    #[must_use]
    pub fn path(&self, node: Id, ms: i64) -> Path {
        let mut path = vec![node];
        let mut at = node;
        while let Some(row) = self.row(at, ms).filter(|row| !row.parent.is_none()) {
            at = row.parent;
            path.push(at);
            if path.len() > DEPTH_MAX {
                path.truncate(1);
                break;
            }
        }
        let depth = |index: usize| u8::try_from(index).expect("at most DEPTH_MAX levels");
        let length = path.len();
        path.iter().enumerate().map(|(i, &node)| (node, depth(length - 1 - i))).collect()
    }
}

/// Rolls activity up the tree. See the module's documentation.
#[must_use]
pub fn roll_up<'scope>(
    activity: VecCollection<'scope, Tick, Leaf, Measure>,
    nodes: VecCollection<'scope, Tick, NodeRow, i64>,
    policy: Arc<Policy>,
) -> VecCollection<'scope, Tick, Rolled, Measure> {
    let by_node = Exchange::new(|((node, _), _, _): &(Leaf, Tick, Measure)| u64::from(node.0));
    let nodes = nodes.inner.broadcast();
    activity
        .inner
        .binary_frontier(nodes, by_node, Pipeline, "RollUp", |initial, _info| {
            drop(initial);
            let mut forest = Forest::new(policy);
            let mut stash: BTreeMap<Tick, Stash> = BTreeMap::new();
            move |(activity, activity_frontier), (nodes, nodes_frontier), output| {
                activity.for_each(|capability, batch| {
                    for (leaf, tick, measure) in batch.drain(..) {
                        let stash = stash
                            .entry(tick)
                            .or_insert_with(|| Stash::new(capability.delayed(&tick, 0)));
                        stash.changes.push((leaf, measure));
                    }
                });
                nodes.for_each(|capability, batch| {
                    for (row, tick, diff) in batch.drain(..) {
                        let stash = stash
                            .entry(tick)
                            .or_insert_with(|| Stash::new(capability.delayed(&tick, 0)));
                        stash.rows.push((row, diff));
                    }
                });
                while let Some(entry) = stash.first_entry().filter(|entry| {
                    !activity_frontier.less_equal(entry.key())
                        && !nodes_frontier.less_equal(entry.key())
                }) {
                    let (tick, stash) = entry.remove_entry();
                    let changes = forest.close(stash.rows, stash.changes);
                    let mut session = output.session(&stash.capability);
                    session.give_iterator(changes.into_iter().map(|(d, r)| (d, tick, r)));
                }
            }
        })
        .as_collection()
}

struct Stash {
    capability: Capability<Tick>,
    rows: Vec<(NodeRow, i64)>,
    changes: Vec<(Leaf, Measure)>,
}

impl Stash {
    fn new(capability: Capability<Tick>) -> Self {
        Self { capability, rows: Vec::new(), changes: Vec::new() }
    }
}

/// The tree, and the balances of the leaves of one worker.
#[derive(Debug)]
struct Forest {
    policy: Arc<Policy>,
    tree: Tree,
    balances: BTreeMap<Id, BTreeMap<(Period, Id, Unit), Measure>>,
}

impl Forest {
    fn new(policy: Arc<Policy>) -> Self {
        Self { policy, tree: Tree::default(), balances: BTreeMap::new() }
    }

    fn close(
        &mut self,
        mut rows: Vec<(NodeRow, i64)>,
        mut changes: Vec<(Leaf, Measure)>,
    ) -> Vec<(Rolled, Measure)> {
        let mut rolled = Vec::new();
        if !rows.is_empty() {
            consolidate(&mut rows);
            self.replant(&rows, &mut rolled);
        }
        consolidate(&mut changes);
        let mut path: (Option<(Id, Period)>, Path) = (None, Vec::new());
        for ((node, (factor, unit, period)), measure) in changes {
            if path.0 != Some((node, period)) {
                let start_ms = period.start_ms(self.policy.period_ms);
                path = (Some((node, period)), self.tree.path(node, start_ms));
            }
            rolled.extend(path.1.iter().map(|&above| ((above, (factor, unit, period)), measure)));
            let leaf = self.balances.entry(node).or_default();
            let balance = leaf.entry((period, factor, unit)).or_default();
            balance.plus_equals(&measure);
            if balance.is_zero() {
                leaf.remove(&(period, factor, unit));
                if leaf.is_empty() {
                    self.balances.remove(&node);
                }
            }
        }
        consolidate(&mut rolled);
        rolled
    }

    /// Changes the tree and moves the balances whose ancestors change.
    fn replant(&mut self, rows: &[(NodeRow, i64)], rolled: &mut Vec<(Rolled, Measure)>) {
        let old = self.tree.clone();
        for (row, diff) in rows {
            self.tree.update(row, *diff);
        }
        for (&node, balances) in &self.balances {
            let mut paths: (Option<Period>, Path, Path) = (None, Vec::new(), Vec::new());
            for (&(period, factor, unit), measure) in balances {
                if paths.0 != Some(period) {
                    let start_ms = period.start_ms(self.policy.period_ms);
                    paths =
                        (Some(period), old.path(node, start_ms), self.tree.path(node, start_ms));
                }
                if paths.1 != paths.2 {
                    let key = (factor, unit, period);
                    rolled.extend(paths.1.iter().map(|&above| ((above, key), measure.negated())));
                    rolled.extend(paths.2.iter().map(|&above| ((above, key), *measure)));
                }
            }
        }
    }
}
