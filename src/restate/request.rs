//! What is asked for, and why it cannot be had.

use std::io;
use std::path::Path;
use std::sync::Arc;

use plumeline_pipelines::model::{Fact, Names, Policy, Reason};
use plumeline_sinks::delta::{LakeConfig, LakeError};
use thiserror::Error;

/// Why nothing can be restated.
#[derive(Debug, Error)]
pub enum RestateError {
    /// The tables cannot be read.
    #[error("the tables cannot be read")]
    Lake(#[from] LakeError),
    /// Not all readings are in them.
    #[error(
        "some of the ledger was written with `readings = \"none\"`: what its readings were is not known, and nothing \
         can be computed from the others"
    )]
    Incomplete,
    /// The files that hold shares.
    #[error("the scratch files in the state folder cannot be used")]
    Scratch(#[from] io::Error),
    /// Whoever takes what is found has ended.
    #[error("it was asked to end")]
    Ended,
}

/// Which periods are restated.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Periods {
    /// Those below the horizon: the live dataflow restates the others by itself.
    Cold,
    /// All that have settled, for this reason: the policy is another than that which the ledger was booked under.
    All(Reason),
}

/// What is taken off what is computed.
#[derive(Copy, Clone, Debug)]
pub enum Base<'r> {
    /// What the ledger has booked: what is left is to be booked, too.
    Ledger,
    /// What the facts lead to as they are; computed is what they would with these learned (1) and taken back (-1).
    WithoutEdit(&'r [(Fact, i64)]),
}

/// What is restated, and where.
#[derive(Clone)]
#[expect(missing_debug_implementations, reason = "a closure has none")]
pub struct Request<'r> {
    /// The tables.
    pub lake: LakeConfig,
    /// What decides results.
    pub policy: &'r Policy,
    /// Which periods.
    pub periods: Periods,
    /// What is taken off.
    pub base: Base<'r>,
    /// Names of this process.
    pub names: Arc<Names>,
    /// A folder for files without names.
    pub scratch: &'r Path,
    /// Rows of a share, about.
    pub share_rows: u64,
    /// Told again and again how far it has come, in thousandths, and asked whether to go on; it may take its time.
    pub may_go_on: &'r dyn Fn(usize) -> bool,
}
