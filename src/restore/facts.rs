//! Facts as they were learned, and where they are at home.
//!
//! The tables say when each row was learned or taken back, and not by whom. A key is at home in one place, its file or
//! one source: where that is now tells who said its rows.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use plumeline_connectors::FactChange;
use plumeline_pipelines::model::{Fact, Id, Names};
use plumeline_sinks::delta::FactEntry;

use super::RestoreError;
use crate::config::Pipeline;
use crate::facts::{TABLES, Terms, key_of, read_file, table_name, table_of, table_path};
use crate::journal::Learned;

/// What was learned at an instant, ms, in an order in which it can be said again.
pub(super) type Told = (i64, Vec<FactChange>);

/// Facts by the instant at which they were learned. Of one row that came and went within an instant, it comes first
/// where it did not hold before, and goes first where it did.
pub(super) fn in_order(entries: Vec<FactEntry>) -> Vec<Told> {
    let mut ticks: BTreeMap<i64, BTreeMap<Fact, [usize; 2]>> = BTreeMap::new();
    for FactEntry { fact, withdrawn, learned_ms } in entries {
        let counts = ticks.entry(learned_ms).or_default().entry(fact).or_default();
        counts[usize::from(withdrawn)] += 1;
    }
    let mut holding: BTreeSet<Fact> = BTreeSet::new();
    let mut told = Vec::new();
    for (ms, facts) in ticks {
        // What goes makes room for what comes.
        let (mut gone, mut come) = (Vec::new(), Vec::new());
        for (fact, [comes, goes]) in facts {
            let mut holds = holding.contains(&fact);
            let changes = if holds { &mut gone } else { &mut come };
            let (mut comes_left, mut goes_left) = (comes, goes);
            loop {
                let left = if holds { &mut goes_left } else { &mut comes_left };
                let Some(fewer) = left.checked_sub(1) else { break };
                *left = fewer;
                changes.push(FactChange { fact: fact.clone(), withdrawn: holds });
                holds = !holds;
            }
            if holds {
                holding.insert(fact);
            } else {
                holding.remove(&fact);
            }
        }
        gone.append(&mut come);
        told.push((ms, gone));
    }
    told
}

/// Where the keys of each table are at home.
#[derive(Debug)]
pub(super) struct Homes(BTreeMap<&'static str, Home>);

#[derive(Debug)]
struct Home {
    /// Keys of the file, where sources carry rows of the table, too; all keys where they do not.
    file: Option<Keys>,
    /// Sources that carry rows of the table.
    carriers: Vec<u16>,
}

#[derive(Debug)]
enum Keys {
    All,
    These(BTreeSet<Id>),
}

impl Homes {
    /// Finds them in the pipeline file and, where a table has two homes, in its file.
    pub(super) fn find(pipeline: &Pipeline, names: &Arc<Names>) -> Result<Self, RestoreError> {
        let period_ms = pipeline.policy.period_ms;
        let terms = Terms { names, timezone: &pipeline.timezone, period_ms };
        let mut homes = BTreeMap::new();
        for table in TABLES {
            let sources = (0..).zip(&pipeline.sources);
            let carriers: Vec<u16> = sources
                .filter(|(_, source)| source.config.carries().table() == Some(table))
                .map(|(index, _)| index)
                .collect();
            let file = match table_path(&pipeline.tables, table) {
                None => None,
                Some(_) if carriers.is_empty() => Some(Keys::All),
                Some(path) => {
                    let file = read_file(table, path, terms).map_err(RestoreError::Facts)?;
                    let keys = file.rows.iter().map(|row| key_of(&row.change.fact));
                    Some(Keys::These(keys.collect()))
                }
            };
            homes.insert(table_name(table), Home { file, carriers });
        }
        Ok(Self(homes))
    }

    /// Rows with who said them. What cannot be told is a warning.
    pub(super) fn learned(
        &self,
        changes: &[FactChange],
        warnings: &mut BTreeSet<String>,
    ) -> Vec<Learned> {
        let learned = |change: &FactChange| {
            let table = table_name(table_of(&change.fact));
            let Home { file, carriers } = &self.0[table];
            let is_in_file = match file {
                None => false,
                Some(Keys::All) => true,
                Some(Keys::These(keys)) => keys.contains(&key_of(&change.fact)),
            };
            let source = if is_in_file { None } else { carriers.first().copied() };
            if !is_in_file && carriers.len() > 1 {
                warnings.insert(format!(
                    "several sources carry rows of table `{table}`, and its rows do not say which said them: they are \
                     taken for those of the first, and another one that goes on with such a key is refused"
                ));
            }
            Learned { source, change: change.clone() }
        };
        changes.iter().map(learned).collect()
    }
}

#[cfg(test)]
mod tests {
    use plumeline_pipelines::model::{NodeRow, Validity};

    use super::*;

    fn row(node: u32, revision: i64) -> Fact {
        let (node, validity) = (Id(node), Validity::ALWAYS);
        Fact::Node(NodeRow { node, parent: Id::NONE, name: Id::NONE, validity, revision })
    }

    fn entry(learned_ms: i64, fact: Fact, withdrawn: bool) -> FactEntry {
        FactEntry { fact, withdrawn, learned_ms }
    }

    #[test]
    fn what_came_and_went_at_one_instant_ends_as_it_did() {
        let one = || row(1, 1);
        let told = in_order(vec![
            entry(9, one(), true),
            entry(9, one(), false),
            entry(9, one(), true),
            entry(5, one(), true),
            entry(5, row(2, 1), false),
            entry(5, one(), false),
            entry(5, one(), false),
            entry(9, row(1, 2), false),
        ]);
        let brief = |(ms, changes): &Told| {
            let changes = changes.iter().map(|c| (key_of(&c.fact).0, c.withdrawn));
            (*ms, changes.collect::<Vec<_>>())
        };
        let brief: Vec<_> = told.iter().map(brief).collect();
        let came = vec![(1, false), (1, true), (1, false), (2, false)];
        // It held before the second instant.
        let went = vec![(1, true), (1, false), (1, true), (1, false)];
        assert_eq!(brief, [(5, came), (9, went)]);
    }
}
