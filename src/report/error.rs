//! Why a report cannot be locked or looked at.

use jiff::civil::Date;
use plumeline_sinks::delta::LakeError;
use thiserror::Error;

/// See the module's documentation.
#[derive(Debug, Error)]
pub enum ReportError {
    /// There is no ledger.
    #[error("the pipeline has no sink of type \"delta\"")]
    NoLake,
    /// There is nothing in it.
    #[error("nothing is committed at the sink's url")]
    Nothing,
    /// It cannot be read or written.
    #[error("the ledger or its locks cannot be used")]
    Lake(#[from] LakeError),
    /// A year that no ledger is of.
    #[error("{0} is no year of a ledger: write one from 2000 to 2099")]
    Year(i32),
    /// Days in the wrong order.
    #[error(
        "from {from} to {to} is no stretch of days: `--to` is the first day after it, as in \
         `--from 2025-04-01 --to 2026-04-01`"
    )]
    Backwards {
        /// The first day.
        from: Date,
        /// The first day after.
        to: Date,
    },
    /// A node that nobody has heard of.
    #[error(
        "no node is called `{0}`: write one of the table `nodes`, as it was known at the as-of, such as a company's root"
    )]
    UnknownNode(String),
    /// The period goes on.
    #[error(
        "{period} is not over at {as_of}: its last entries are booked at {settled}. Lock it then, or write \
         --unfinished to lock what there is"
    )]
    NotOver {
        /// The period.
        period: String,
        /// As of.
        as_of: String,
        /// When it has settled.
        settled: String,
    },
    /// Contracts have not covered all of it yet.
    #[error(
        "{period} is not matched at {as_of}: contracts that match by the month or the year cover what they cover of it at \
         {matched}. Lock it then, or write --unfinished to lock what there is"
    )]
    NotMatched {
        /// The period.
        period: String,
        /// As of.
        as_of: String,
        /// When the last month or year lies below the horizon.
        matched: String,
    },
    /// Nobody can tell whether its end was booked.
    #[error(
        "at {as_of} it is not known that the end of {period} was booked: nothing was recorded from {settled}, when it \
         settled, until then. Write a later --as-of, or --unfinished to lock what there was"
    )]
    NotBooked {
        /// The period.
        period: String,
        /// As of.
        as_of: String,
        /// When it has settled.
        settled: String,
    },
    /// Something waits below the horizon.
    #[error(
        "{period} is not settled at {as_of}: {rows} rows of `pending_restatements` reach into it. Run `plumeline \
         restate` first, or write --unfinished to lock what there is"
    )]
    Pending {
        /// The period.
        period: String,
        /// As of.
        as_of: String,
        /// How many.
        rows: usize,
    },
    /// Later than anything that is known.
    #[error(
        "--as-of {as_of} is later than the newest commit, {committed}: what will be recorded until then nobody knows"
    )]
    AfterCommit {
        /// As of.
        as_of: String,
        /// The ledger's committed cut.
        committed: String,
    },
    /// Signed before it was known.
    #[error(
        "--as-of {as_of} is after --signed-off {signed_off}: a report cannot hold what was recorded after it was \
         authorised"
    )]
    AfterSignOff {
        /// As of.
        as_of: String,
        /// When it was authorised.
        signed_off: String,
    },
    /// It says nothing new.
    #[error("lock {0} says just that already: nothing was locked")]
    Same(String),
    /// Somebody was faster.
    #[error("somebody else has just locked {0}: look at it with `plumeline report show`")]
    Taken(String),
    /// Nothing is locked.
    #[error(
        "{period} of `{company}` is not locked: `plumeline report lock` does it, `plumeline report list` tells what is"
    )]
    NotLocked {
        /// The company.
        company: String,
        /// The period.
        period: String,
    },
    /// A lock of another ledger.
    #[error("lock `{file}` is of pipeline `{pipeline}`, and not of this one")]
    OtherPipeline {
        /// Below the lake's root.
        file: String,
        /// Its pipeline.
        pipeline: String,
    },
    /// A document that cannot be read.
    #[error("lock `{file}` is damaged: {what}")]
    Damaged {
        /// Below the lake's root.
        file: String,
        /// What is wrong with it.
        what: String,
    },
    /// The ledger is not what it was.
    #[error(
        "a broken invariant: as of {} lock {} says {} for {}, and the ledger says {}. Entries are never taken back, so \
         somebody has changed the tables or the lock; `plumeline verify` looks at the tables",
        .0.as_of, .0.label, .0.one, .0.of, .0.other
    )]
    Rewritten(Box<Differing>),
    /// The list does not add up.
    #[error(
        "a broken invariant: the restatement list of lock {} adds up to {} for {} since {}, and the ledger has changed \
         by {}. This is a mistake of the program: report it",
        .0.label, .0.one, .0.of, .0.as_of, .0.other
    )]
    Unbalanced(Box<Differing>),
}

/// What must be the same, and is not.
#[derive(Clone, Debug)]
pub struct Differing {
    /// The lock.
    pub label: String,
    /// As of when.
    pub as_of: String,
    /// Of what.
    pub of: String,
    /// What the lock or its list says.
    pub one: String,
    /// What the ledger says.
    pub other: String,
}
