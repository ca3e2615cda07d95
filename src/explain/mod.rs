//! `plumeline explain`: a number's derivation, and the number computed once more, from the lake alone.
//!
//! ```text
//!  lake as of T ─┬─ nodes, meters, activity_data ─▶ who can be below the node ─┐ known
//!                ├─ footprints, emissions, activity ─▶ what is booked ─────────┼─▶ tree ─▶ show, json
//!                └─ readings, activity_data, facts ─▶ what was said ───────────┤
//!                                                   └─▶ the batch reference ───┴─▶ again: equal, or where not
//! ```
//!
//! 1. The selection is read from words (`select`): a node, periods on the grid of `footprints`, scope, category, method,
//!    gas, and T. *A number of half an hour of footprints is in no table.*
//! 2. The lake is read twice, as of T (`known`, `booked`): first what says which meters and activities can be below the
//!    node, under any tree that was ever known; then all tables, of which only what concerns those is kept. *So memory
//!    holds the subjects below the node, and not the lake.*
//! 3. The tree is grown from what is booked (`tree`): the balance of `footprints`; its share by scope, category and
//!    method, by leaf, by subject, by factor version; then lines. How a line's rate came about is said in `rate`, how an
//!    amount did in `amount`. What cannot be told so is a child of its own. *Children add up to their parent
//!    exactly, always: what is left out, or unexplained, is a line with its sum.*
//! 4. The selection is computed again (`again`), cut by cut, by the reference that `plumeline verify` uses, from readings,
//!    activities and facts alone, restricted to these subjects. Of `emissions` only the set that CO2e is in is taken.
//! 5. It is printed for people (`show`) or machines (`json`).
//!
//! The tree of nodes, factors and meters that steps 2 and 3 show is that known at T. Where something known at T waits for a
//! restatement below the horizon, what is booked is still what was known before: then the tree has lines that say
//! so, and step 4, which follows horizon and restatements, agrees with the ledger all the same.

mod again;
mod amount;
mod booked;
mod covered;
mod json;
mod known;
mod priced;
mod rate;
mod select;
mod show;
mod sum;
#[cfg(test)]
mod tests;
mod tree;
mod weighed;

use std::sync::Arc;

use plumeline_pipelines::model::Names;
use plumeline_sinks::delta::LakeError;
use thiserror::Error;

use crate::config::Pipeline;
use booked::Booked;
use known::Known;
use select::{Selection, Times};
use tree::Branch;

pub use again::Again;
pub use select::{Ask, Wanted};
pub use show::show;

/// Children that are shown of one parent, where not all are asked for.
pub const DEFAULT_CHILDREN: usize = 10;

/// Why a number cannot be explained.
#[derive(Debug, Error)]
pub enum ExplainError {
    /// There is no ledger.
    #[error("the pipeline has no sink of type \"delta\"")]
    NoLake,
    /// It holds nothing.
    #[error("there is nothing to explain: nothing is committed at the sink's url")]
    Nothing,
    /// A word of the command line is not what it should be.
    #[error("{option} {text}: {what}")]
    Word {
        /// The option.
        option: &'static str,
        /// What it was given.
        text: String,
        /// What is wrong, and what to write instead.
        what: String,
    },
    /// Nothing is booked of the selection.
    #[error("nothing is booked of {what}, as known at {as_of}")]
    Empty {
        /// The selection.
        what: String,
        /// T.
        as_of: String,
    },
    /// The tables cannot be read.
    #[error("the tables cannot be read")]
    Lake(#[from] LakeError),
}

/// A number, from what it comes, and whether it comes from that.
#[derive(Debug)]
pub struct Explanation {
    pub(crate) selection: Selection,
    pub(crate) names: Arc<Names>,
    pub(crate) facts: tree::Frame,
    pub(crate) tree: Branch,
    /// How computing it again went.
    pub again: Again,
    /// What is not as it should be, besides.
    pub notes: Vec<String>,
}

impl Explanation {
    /// The tree as one JSON document.
    #[must_use]
    pub fn json(&self) -> String {
        json::document(self)
    }
}

/// Explains the number that `ask` names. `told` hears how many files of how many were read.
///
/// # Errors
/// If the words name nothing, nothing is booked, or the tables cannot be read.
pub fn explain(
    pipeline: &Pipeline,
    ask: &Ask,
    mut told: impl FnMut(usize, usize),
) -> Result<Explanation, ExplainError> {
    // Whether a clock followed the data does not matter to a reader.
    let lake = pipeline.lake(false).ok_or(ExplainError::NoLake)?;
    let times = Times::of(ask, pipeline)?;
    let names = Arc::new(Names::new());
    let known = Known::read(lake.clone(), Arc::clone(&names), times.as_of_ms, &pipeline.policy)?;
    let selection = Selection::of(ask, &times, &known, &names)?;
    let booked = Booked::read(lake, &names, &selection, &known, &mut told)?;
    let again = again::compare(&booked, &selection, &known, &names);
    let is_empty = booked.footprints.is_empty() && booked.emissions.is_empty();
    if is_empty && !again.is_different() {
        let what = selection.told(&names);
        return Err(ExplainError::Empty { what, as_of: crate::verify::shown(known.until.ms()) });
    }
    let children = if ask.all { usize::MAX } else { ask.children };
    let grower = tree::Grower::new(&booked, &selection, &known, &names);
    let (tree, notes) = grower.grow(children);
    let facts = tree::Frame::of(&booked, &selection, &known, &names);
    tree.assert_adds_up();
    Ok(Explanation { selection, names, facts, tree, again, notes })
}
