//! Months and years that contracts match as a whole, as the horizon passes them: then they wait for a restatement, as
//! whatever reaches below it.
//!
//! ```text
//!  December 31st ─────── retain ──────▶ February 4th: what annual contracts cover of the year is due
//! ```

use std::collections::BTreeMap;

use plumeline_pipelines::model::{
    Cause, ContractRow, Fact, PendingCause, PendingEntry, Policy, Tick,
};
use plumeline_pipelines::stages::matching::closes_ms;

/// See the module's documentation.
#[derive(Debug)]
pub(super) struct Closing {
    /// Rows that match by the month or the year, and how often each is known.
    rows: BTreeMap<ContractRow, i64>,
    /// Up to here it was told what is over, ms.
    last_ms: Option<i64>,
}

impl Closing {
    /// Goes on from the newest cut, if there is one.
    pub(super) fn new(committed_ms: Option<i64>) -> Self {
        Self { rows: BTreeMap::new(), last_ms: committed_ms }
    }

    /// Rows that come (1) and go (-1).
    pub(super) fn learn(&mut self, facts: &[(Fact, i64)]) {
        for (fact, diff) in facts {
            if let Fact::Contract(row) = fact
                && row.matching.window().is_some()
            {
                *self.rows.entry(row.clone()).or_default() += diff;
            }
        }
        self.rows.retain(|_, count| *count != 0);
    }

    /// What a certificate reaches that came at `ms`: all of the window in which it is matched, if that is over. *Its own
    /// time may be before anything was used.*
    pub(super) fn of_certificate(
        &self,
        policy: &Policy,
        fact: &Fact,
        (began_ms, ms): (i64, i64),
    ) -> Option<PendingEntry> {
        let Fact::Certificate(given) = fact else { return None };
        let rows = self.rows.keys().filter(|row| row.contract == given.contract);
        let windows = rows.filter_map(|row| {
            let window = row.matching.window()?;
            policy.calendar.around(window, given.validity.from_ms)
        });
        let over = windows.filter(|window| closes_ms(policy, *window) <= ms);
        let (from_ms, to_ms) = over.max_by_key(|(from_ms, to_ms)| to_ms - from_ms)?;
        let about = (PendingCause::Certificates, given.certificate);
        PendingEntry::of(policy, about, (from_ms.max(began_ms), to_ms), ms)
    }

    /// Whether the horizon has moved since [`Self::pass`].
    pub(super) fn has_moved(&self, policy: &Policy, ms: i64) -> bool {
        let moved_ms = policy.horizon_moved_ms(Tick::new(ms, Cause::Cut));
        self.last_ms.is_none_or(|last_ms| last_ms < moved_ms)
    }

    /// What is over since the last call, now that it is `ms`, in a ledger that began at `began_ms`: by the rows as they were
    /// known before `ms`.
    ///
    /// *It is learned when the horizon came there, not when somebody looked: so a restart says the same.*
    pub(super) fn pass(&mut self, policy: &Policy, ms: i64, began_ms: i64) -> Vec<PendingEntry> {
        let last_ms = self.last_ms.replace(ms).unwrap_or(ms);
        let mut over = Vec::new();
        for row in self.rows.keys().filter(|row| row.counts()) {
            let window = row.matching.window().expect("no other is among them");
            let around = |at_ms: i64| policy.calendar.around(window, at_ms);
            let first_ms = row.validity.from_ms.max(began_ms);
            let windows = std::iter::successors(around(first_ms), |(_, end_ms)| around(*end_ms));
            let holding = windows.take_while(|(from_ms, _)| *from_ms < row.validity.to_ms.min(ms));
            let closes = holding.map(|window| (window, closes_ms(policy, window)));
            let passed = closes.filter(|(_, closes_ms)| last_ms < *closes_ms && *closes_ms <= ms);
            over.extend(passed.filter_map(|((from_ms, to_ms), closes_ms)| {
                let about = (PendingCause::Contracts, row.contract);
                let span = (from_ms.max(first_ms), to_ms.min(row.validity.to_ms));
                PendingEntry::of(policy, about, span, closes_ms)
            }));
        }
        over
    }
}

#[cfg(test)]
#[path = "closing_tests.rs"]
mod tests;
