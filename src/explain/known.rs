//! What is known at T, and who can be below the node.
//!
//! 1. `meters`, `factors` and `nodes` are read with their lives: when a row was learned, and taken back.
//! 2. Below a node is whoever was ever booked, or may have been, at a node from which some row that was ever known
//!    leads up to it. *What is frozen below the horizon was booked under an earlier tree: a tree of today would miss
//!    it.* More than that does no harm: what they do not add to the node, they add nowhere else.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use plumeline_pipelines::model::{
    Cause, Fact, FactorRow, Id, MeterRow, Names, Policy, PriceRow, SeriesRow, Subject, Tick,
};
use plumeline_pipelines::stages::metering::Rows;
use plumeline_pipelines::stages::roll_up::Tree;
use plumeline_sinks::delta::{FactEntry, LakeConfig, LakeReader, TableName};

use super::ExplainError;
use super::select::word;
use crate::journal::as_committed;
use crate::verify::shown;

/// When a row was learned, and taken back, ms.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Life {
    pub(crate) learned_ms: i64,
    /// `None` while it holds.
    pub(crate) withdrawn_ms: Option<i64>,
}

/// See the module's documentation.
#[derive(Debug)]
pub(crate) struct Known {
    /// T: as of this cut, or instant.
    pub(crate) until: Tick,
    /// T is the newest commit.
    pub(crate) is_newest: bool,
    pub(crate) policy: Policy,
    pub(crate) facts: BTreeMap<Fact, Life>,
    /// Every node that some row or activity names.
    pub(crate) nodes: BTreeSet<Id>,
    /// Activities, and a node each was ever booked to.
    activities: BTreeSet<(Id, Id)>,
    /// The node tree known at T.
    pub(crate) tree: Tree,
    /// Something was restated from below the horizon.
    pub(crate) is_restated: bool,
    /// Why nothing can be computed again.
    pub(crate) lacks_readings: Option<&'static str>,
}

impl Known {
    pub(crate) fn read(
        lake: LakeConfig,
        names: Arc<Names>,
        as_of_ms: Option<i64>,
        policy: &Policy,
    ) -> Result<Self, ExplainError> {
        let keeps_readings = lake.readings;
        let is_read = |table: TableName| {
            let others = [TableName::ActivityData, TableName::Restatements];
            table.is_of_facts() || others.contains(&table)
        };
        let reader = LakeReader::of(lake, names, is_read)?;
        let committed = reader.committed().ok_or(ExplainError::Nothing)?;
        let until = as_of_ms.map_or(committed, |ms| Tick::new(ms, Cause::Cut));
        if until > committed {
            let what = format!(
                "the newest commit is of {}: what is known later, is not known yet; leave it out for the newest",
                shown(committed.ms())
            );
            return Err(word("--as-of", &shown(until.ms()), what));
        }
        let policy = as_committed(policy, reader.proof());
        let lacks = reader.proof().is_some_and(|proof| proof.lacks_readings);
        let lacks_readings = match (keeps_readings, lacks) {
            (false, _) => Some("its sink says `readings = \"none\"`"),
            (true, true) => Some("some of the ledger was written with `readings = \"none\"`"),
            (true, false) => None,
        };
        let mut entries: Vec<FactEntry> = Vec::new();
        let (mut activities, mut is_restated) = (BTreeSet::new(), false);
        let mut reader = reader.until(Some(until));
        reader.each_batch(|_, rows| {
            entries.extend(rows.facts);
            let of = |record: &plumeline_pipelines::model::ActivityRecord| {
                (record.activity, record.node)
            };
            activities.extend(rows.activity_data.iter().map(|row| of(&row.record)));
            is_restated |= !rows.restated.is_empty();
            true
        })?;
        let facts = lives(entries);
        let mut tree = Tree::default();
        let mut nodes: BTreeSet<Id> = activities.iter().map(|(_, node)| *node).collect();
        for (fact, life) in &facts {
            match fact {
                Fact::Node(row) => {
                    nodes.extend([row.node, row.parent]);
                    if life.withdrawn_ms.is_none() {
                        tree.update(row, 1);
                    }
                }
                Fact::Meter(row) => {
                    nodes.insert(row.node);
                }
                Fact::Factor(_)
                | Fact::Series(_)
                | Fact::Contract(_)
                | Fact::Certificate(_)
                | Fact::Price(_) => {}
            }
        }
        nodes.remove(&Id::NONE);
        let is_newest = until == committed;
        Ok(Self {
            until,
            is_newest,
            policy,
            facts,
            nodes,
            activities,
            tree,
            is_restated,
            lacks_readings,
        })
    }

    /// Nodes below `node`, itself included, under any rows that were ever known.
    pub(crate) fn ever_below(&self, node: Id) -> BTreeSet<Id> {
        let mut children: BTreeMap<Id, Vec<Id>> = BTreeMap::new();
        for fact in self.facts.keys() {
            if let Fact::Node(row) = fact {
                children.entry(row.parent).or_default().push(row.node);
            }
        }
        let (mut below, mut open) = (BTreeSet::new(), vec![node]);
        while let Some(node) = open.pop() {
            if below.insert(node) {
                open.extend(children.get(&node).into_iter().flatten());
            }
        }
        below
    }

    /// Meters and activities that have to be known for what is booked to `nodes`: `own`, those that some row ever booked
    /// to them; and where there are contracts, all. *What is covered of an hour hangs on all who used energy in it.*
    pub(crate) fn behind(&self, own: &BTreeSet<Subject>) -> BTreeSet<Subject> {
        if !self.facts.keys().any(|fact| matches!(fact, Fact::Contract(_))) {
            return own.clone();
        }
        let meters = self.facts.keys().filter_map(|fact| match fact {
            Fact::Meter(row) => Some(Subject::Meter(row.meter)),
            _ => None,
        });
        meters.chain(self.activities.iter().map(|(id, _)| Subject::Activity(*id))).collect()
    }

    /// Meters and activities that some row ever booked to one of `nodes`.
    pub(crate) fn subjects(&self, nodes: &BTreeSet<Id>) -> BTreeSet<Subject> {
        let meters = self.facts.keys().filter_map(|fact| match fact {
            Fact::Meter(row) if nodes.contains(&row.node) => Some(Subject::Meter(row.meter)),
            _ => None,
        });
        let activities = self.activities.iter().filter(|(_, node)| nodes.contains(node));
        meters.chain(activities.map(|(id, _)| Subject::Activity(*id))).collect()
    }

    /// The rows of a meter that hold at T.
    pub(crate) fn meter_rows(&self, meter: Id) -> Rows {
        let mut rows = Rows::default();
        for (fact, life) in &self.facts {
            if let Fact::Meter(row) = fact
                && row.meter == meter
                && life.withdrawn_ms.is_none()
            {
                rows.update(row, 1);
            }
        }
        rows
    }

    /// The life of a meter's row.
    pub(crate) fn life(&self, row: &MeterRow) -> Life {
        self.facts.get(&Fact::Meter(row.clone())).copied().unwrap_or_default()
    }

    /// All rows of a factor that were ever known.
    pub(crate) fn factor_rows(&self, factor: Id) -> impl Iterator<Item = (&FactorRow, Life)> {
        self.facts.iter().filter_map(move |(fact, life)| match fact {
            Fact::Factor(row) if row.factor == factor => Some((row, *life)),
            _ => None,
        })
    }

    /// The life of a factor's row.
    pub(crate) fn life_of_factor(&self, row: &FactorRow) -> Life {
        self.facts.get(&Fact::Factor(row.clone())).copied().unwrap_or_default()
    }

    /// All rows of prices that were ever known.
    pub(crate) fn price_rows(&self) -> impl Iterator<Item = (&PriceRow, Life)> {
        self.facts.iter().filter_map(|(fact, life)| match fact {
            Fact::Price(row) => Some((row, *life)),
            _ => None,
        })
    }

    /// All rows of a factor's series that were ever known.
    pub(crate) fn series_rows(&self, factor: Id) -> impl Iterator<Item = &SeriesRow> {
        self.facts.keys().filter_map(move |fact| match fact {
            Fact::Series(row) if row.factor == factor => Some(row),
            _ => None,
        })
    }
}

/// The lives of rows, from entries in any order.
fn lives(mut entries: Vec<FactEntry>) -> BTreeMap<Fact, Life> {
    entries.sort_by_key(|entry| (entry.learned_ms, entry.withdrawn));
    let mut counts: BTreeMap<Fact, (i64, Life)> = BTreeMap::new();
    for FactEntry { fact, withdrawn, learned_ms } in entries {
        let (count, life) = counts.entry(fact).or_default();
        *count += if withdrawn { -1 } else { 1 };
        if withdrawn {
            life.withdrawn_ms = Some(learned_ms).filter(|_| *count <= 0);
        } else {
            *life = Life { learned_ms, withdrawn_ms: None };
        }
    }
    counts.into_iter().map(|(fact, (_, life))| (fact, life)).collect()
}
