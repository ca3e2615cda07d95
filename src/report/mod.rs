//! `plumeline report lock|show|diff|list`: what a company has reported of a year, kept, and what has changed since.
//!
//! ```text
//!  footprints, recorded ≤ as-of ──▶ lock ──▶ reports/<company>/<year>-<n>.json      put if absent
//!                                    │
//!  footprints, all ──────────────────┼──▶ show: locked | now | change | threshold
//!  emissions, recorded > as-of ──────┴──▶ diff: what changed, when, why; error or estimate; running sum
//! ```
//!
//! A ledger restates for ever; a report is issued once. A **lock** says which state of the ledger was reported: of a
//! company (any node of the tree) and a civil year (or any days), *as of* an instant, *signed off* at another one, with the
//! totals by scope, category, method and gas, to the last digit. Nothing is frozen but this: the ledger goes on.
//!
//! 1. **The as-of is a cut that is committed, or an instant before it**: `SUM(...) WHERE recorded_at <= as_of` is the same
//!    for ever. Without it, the next commit would change what was locked.
//! 2. **The year has to be over and booked at the as-of**, and nothing may wait to be restated, or `--unfinished` says so.
//!    Without it, the first entries after a lock would be the rest of the year, and no restatements.
//! 3. **A lock is a document beside the tables, put only if absent** ([`document`]; `reports.rs` of the lake): no table of its
//!    own, since it is not of the dataflow, no cut writes it and a restart need not know it. The same company and year
//!    again is an amended report with the next number; the older one stays.
//! 4. **What is shown is checked.** The totals as of the as-of are summed anew and compared with the lock, and the list of
//!    changes with what the footprints changed by. A difference is a broken invariant, and told as one: somebody changed
//!    the tables or the lock, or the program is wrong.
//! 5. **Each change says whether it is an error or an estimate** ([`class`]), from when it was known and when the report
//!    was signed off: what came between as-of and sign-off was known, and is not in the report.
//! 6. **A threshold decides what is significant**, on the sum of all changes since the lock: of each scope, and of both
//!    totals. Many small ones count together.
//! 7. **One lock a company is its base year** at a time: a later one with `--base-year` names the one it supersedes, so the
//!    documents form a chain, and the end of it holds. A later year is shown beside it, and whether it is itself due for
//!    recalculation.
//!
//! Anybody who may read the lake may look; a running pipeline need not be stopped. [`ledger`] and [`changes`] say how much
//! is read and held.

pub mod changes;
pub mod class;
pub mod diff;
pub mod document;
mod error;
pub mod figures;
pub mod ledger;
pub mod lines;
pub mod locking;
pub mod locks;
pub mod show;
pub mod span;
#[cfg(test)]
mod tests;
mod tree;

pub use document::{Lock, instant};
pub use error::{Differing, ReportError};
pub use ledger::Ledger;
pub use locking::{Locked, Order};
pub use locks::Locks;
pub use span::Span;

use changes::{Change, Gathered};
use figures::{Key, Sum, Totals, kilograms};
use plumeline_pipelines::model::GwpSet;

/// A lock beside what the ledger says now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Review {
    /// What was locked.
    pub lock: Lock,
    /// The ledger's newest cut, ms: now.
    pub committed_ms: i64,
    /// The set its CO2e is in now.
    pub gwp: GwpSet,
    /// What it says now.
    pub now: Totals,
    /// What has changed since, in order.
    pub changes: Vec<Change>,
}

impl Review {
    /// Reads what became of `lock`.
    ///
    /// # Errors
    /// If the ledger cannot be read, or an invariant is broken.
    pub fn of(ledger: &Ledger, lock: Lock) -> Result<Self, ReportError> {
        let about = (lock.company.as_str(), &lock.span);
        let company = ledger.names.intern(&lock.company);
        let mut gathered = Gathered::new(company, lock.as_of_ms, ledger.forest()?);
        ledger.footprints(about, ledger.committed.ms(), |row| gathered.footprint(&row))?;
        ledger.emissions_after(&lock.span, lock.as_of_ms, |row| gathered.emission(&row))?;
        unchanged(&lock, &gathered.then)?;
        let (changes, listed) = gathered.list(&ledger.names, &lock);
        let now = gathered.now();
        balanced(&lock, &listed, &now.minus(&lock.totals))?;
        let committed_ms = ledger.committed.ms();
        let gwp = ledger.newest_gwp(committed_ms)?.map_or(lock.gwp, |(_, set)| set);
        Ok(Self { lock, committed_ms, gwp, now, changes })
    }

    /// The changes of which `is_wanted` says so, together.
    pub fn sum_of(&self, is_wanted: impl Fn(&Change) -> bool) -> Totals {
        let mut sum = Totals::default();
        for change in self.changes.iter().filter(|change| is_wanted(change)) {
            change.totals().for_each(|(key, of)| sum.add(key, of));
        }
        sum
    }
}

/// The ledger as it was at the as-of is the ledger that was locked.
fn unchanged(lock: &Lock, found: &Totals) -> Result<(), ReportError> {
    let differing = differing(lock, &lock.totals, found);
    differing.map_or(Ok(()), |differing| Err(ReportError::Rewritten(Box::new(differing))))
}

/// The list is the change, exactly.
fn balanced(lock: &Lock, listed: &Totals, change: &Totals) -> Result<(), ReportError> {
    let differing = differing(lock, listed, change);
    differing.map_or(Ok(()), |differing| Err(ReportError::Unbalanced(Box::new(differing))))
}

fn differing(lock: &Lock, one: &Totals, other: &Totals) -> Option<Differing> {
    let (key, _) = one.minus(other).first()?;
    let (label, as_of, of) = (lock.label(), instant(lock.as_of_ms), told_key(key));
    let [one, other] = [one, other].map(|totals| told_sum(totals.of(key)));
    Some(Differing { label, as_of, of, one, other })
}

fn told_key(key: Key) -> String {
    let Key { scope, category, method, gas } = key;
    format!("scope {scope}, category {category}, {}, {}", method.name(), gas.name())
}

fn told_sum(sum: Sum) -> String {
    format!("{} kg, {} kg CO2e", kilograms(sum.mass), kilograms(sum.co2e))
}
