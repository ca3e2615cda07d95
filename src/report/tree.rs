//! The node tree as it was known at any cut, from the rows of the table `nodes`.
//!
//! Entries of many years come in no order, so a tree that is brought up to date cut by cut will not do. Each row is kept
//! with when it was learned and taken back; a walk up takes, at each node, the row that was known. Memory: the table.

use std::collections::{BTreeMap, BTreeSet};

use plumeline_pipelines::model::{Fact, Id, NodeRow, Tick};
use plumeline_pipelines::stages::roll_up::DEPTH_MAX;
use plumeline_sinks::delta::FactEntry;

/// See the module's documentation.
#[derive(Debug, Default)]
pub(super) struct Forest {
    /// By node, then row: when it was learned (1) and taken back (-1), by cut.
    nodes: BTreeMap<Id, BTreeMap<NodeRow, Vec<(Tick, i64)>>>,
    /// Nodes whose rows changed, by cut.
    changed: BTreeMap<Tick, BTreeSet<Id>>,
}

impl Forest {
    /// Takes in a row that is recorded at `cut`.
    pub(super) fn add(&mut self, cut: Tick, entry: FactEntry) {
        let Fact::Node(row) = entry.fact else { return };
        let diff = if entry.withdrawn { -1 } else { 1 };
        self.changed.entry(cut).or_default().insert(row.node);
        self.nodes.entry(row.node).or_default().entry(row).or_default().push((cut, diff));
    }

    /// Whether a node had a row at some time, as known at `cut`.
    pub(super) fn knows(&self, node: Id, cut: Tick) -> bool {
        let mut rows = self.nodes.get(&node).into_iter().flatten();
        rows.any(|(_, told)| is_known(told, cut))
    }

    /// Nodes whose rows changed with `cut`.
    pub(super) fn changed(&self, cut: Tick) -> impl Iterator<Item = Id> {
        self.changed.get(&cut).into_iter().flatten().copied()
    }

    /// The row of a node that holds at `ms`, as known at `cut`: as [`plumeline_pipelines::stages::roll_up::Tree`] picks it.
    fn row(&self, node: Id, ms: i64, cut: Tick) -> Option<&NodeRow> {
        let rows = self.nodes.get(&node)?.iter();
        let rows = rows.filter(|(row, told)| row.validity.holds(ms) && is_known(told, cut));
        rows.map(|(row, _)| row).max_by_key(|row| row.revision)
    }

    /// Whether `node` is `company`, or lies below it at `ms`, as known at `cut`.
    pub(super) fn is_within(&self, node: Id, company: Id, (ms, cut): (i64, Tick)) -> bool {
        let (mut at, mut is_met) = (node, node == company);
        for _ in 0..DEPTH_MAX {
            let above = self.row(at, ms, cut).map_or(Id::NONE, |row| row.parent);
            if above.is_none() {
                return is_met;
            }
            at = above;
            is_met |= at == company;
        }
        // Deeper than anything may lie, or a cycle: the node stands for itself.
        node == company
    }
}

fn is_known(told: &[(Tick, i64)], cut: Tick) -> bool {
    told.iter().filter(|(at, _)| *at <= cut).map(|(_, diff)| diff).sum::<i64>() > 0
}

#[cfg(test)]
mod tests {
    use plumeline_pipelines::model::{Cause, Names, Validity};
    use plumeline_pipelines::stages::roll_up::Tree;

    use super::*;

    fn cut(ms: i64) -> Tick {
        Tick::new(ms, Cause::Cut)
    }

    /// Rows at random: what the dataflow's tree says at each cut is what this one says, in whatever order it was told.
    #[test]
    fn it_is_the_tree_of_the_dataflow_at_every_cut() {
        let names = Names::new();
        let ids: Vec<Id> = (0..24).map(|index| names.intern(&format!("n-{index}"))).collect();
        let mut seed = 7_u64;
        let mut random = |below: usize| {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963);
            usize::try_from(seed >> 33).unwrap() % below
        };
        let mut told: Vec<(i64, FactEntry)> = Vec::new();
        for ms in 1..200_i64 {
            let withdrawn = random(3) == 0 && !told.is_empty();
            let fact = if withdrawn {
                told[random(told.len())].1.fact.clone()
            } else {
                let parent = if random(4) == 0 { Id::NONE } else { ids[random(ids.len())] };
                let (from_ms, node) = (i64::try_from(random(3)).unwrap(), ids[random(ids.len())]);
                let validity = Validity { from_ms, to_ms: from_ms + 2 };
                Fact::Node(NodeRow { node, parent, name: node, validity, revision: ms })
            };
            told.push((ms, FactEntry { fact, withdrawn, learned_ms: ms }));
        }
        let mut forest = Forest::default();
        for (ms, entry) in told.iter().rev() {
            forest.add(cut(*ms), entry.clone());
        }
        let (mut tree, mut counts) = (Tree::default(), BTreeMap::<NodeRow, i64>::new());
        let mut within = 0;
        for (ms, entry) in &told {
            let Fact::Node(row) = &entry.fact else { unreachable!("all are nodes") };
            let count = counts.entry(row.clone()).or_default();
            let was = *count > 0;
            *count += if entry.withdrawn { -1 } else { 1 };
            match (was, *count > 0) {
                (false, true) => tree.update(row, 1),
                (true, false) => tree.update(row, -1),
                _ => {}
            }
            for at_ms in 0..4 {
                for &node in &ids {
                    let path = tree.path(node, at_ms);
                    for &company in &ids {
                        let is_within = path.iter().any(|(above, _)| *above == company);
                        let found = forest.is_within(node, company, (at_ms, cut(*ms)));
                        assert_eq!(found, is_within, "{path:?}");
                        within += usize::from(is_within && node != company);
                    }
                }
            }
        }
        assert!(within > 1000, "there was a tree: {within}");
    }
}
