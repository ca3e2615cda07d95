//! Live windows that reach further back than memory does are not shown: a sum that lacks its beginning is none.
//!
//! ```text
//! changes ─┬─ of windows that memory covers ─────────────────────▶ shown
//!          └─ of others ─▶ added up, until memory covers them ───▶ shown
//! ```
//!
//! After `retain` has become longer the horizon stands still until the longer one has caught up with it
//! ([`plumeline_pipelines::model::Retain`]); a window of the new length is whole once it begins at the horizon, or
//! later.
//!
//! Memory: one balance a (window, node, scope, method, gas) of those that wait.

use std::collections::BTreeMap;

use plumeline_pipelines::model::{Cause, Emission, Policy, Tick, WindowEntry, WindowKey};
use plumeline_pipelines::reference::add;

/// What waits. See the module's documentation.
#[derive(Debug)]
pub(super) struct Whole {
    policy: Policy,
    /// Whether totals to date begin with what the ledger holds.
    has_ledger: bool,
    waiting: BTreeMap<WindowKey, Emission>,
}

impl Whole {
    /// Nothing waits yet.
    #[must_use]
    pub(super) fn new(policy: Policy, has_ledger: bool) -> Self {
        Self { policy, has_ledger, waiting: BTreeMap::new() }
    }

    /// What is shown of `changes` at the instant `ms`, and what need no longer wait.
    pub(super) fn of(&mut self, ms: i64, changes: Vec<WindowEntry>) -> Vec<WindowEntry> {
        if !self.policy.retain.has_grown() {
            return changes;
        }
        let (policy, has_ledger) = (&self.policy, self.has_ledger);
        let is_whole = |key: &WindowKey| covers(policy, has_ledger, key.window, ms);
        let tick = Tick::new(ms, Cause::Cut);
        let come = self.waiting.extract_if(.., |key, _| is_whole(key));
        let mut shown: Vec<WindowEntry> =
            come.map(|(key, change)| WindowEntry { key, tick, change }).collect();
        for entry in changes {
            if is_whole(&entry.key) {
                shown.push(entry);
            } else {
                add(&mut self.waiting, entry.key, &entry.change);
            }
        }
        shown
    }
}

/// Whether memory holds all of a window at the instant `ms`.
fn covers(policy: &Policy, has_ledger: bool, window: u8, ms: i64) -> bool {
    let Some(index) = usize::from(window).checked_sub(1) else { return true };
    let begins_ms = match policy.windows_ms.get(index) {
        Some(span_ms) => policy.period_of(ms).start_ms(policy.period_ms) - span_ms,
        None if has_ledger => return true,
        None => {
            let to_date = policy.calendar.windows().get(index - policy.windows_ms.len());
            let around = to_date.and_then(|to_date| policy.calendar.around(*to_date, ms));
            around.map_or(ms, |(begins_ms, _)| begins_ms)
        }
    };
    begins_ms >= policy.horizon(Tick::new(ms, Cause::Cut)).start_ms(policy.period_ms)
}

#[cfg(test)]
mod tests {
    use plumeline_pipelines::model::time::DAY_MS;
    use plumeline_pipelines::model::{Calendar, Gas, GwpSet, Id, Method, Retain, ToDate, Wide};

    use super::*;

    /// A day, thirty days, and the month to date; `retain` was seven days until the hundredth.
    fn policy() -> Policy {
        let months_ms = vec![0, 60 * DAY_MS, 120 * DAY_MS, 180 * DAY_MS];
        let retain = Retain::of(7 * DAY_MS).grown(100 * DAY_MS, 35 * DAY_MS);
        Policy {
            period_ms: DAY_MS,
            grace_ms: 0,
            retain: retain.expect("it is longer"),
            samples_ms: DAY_MS,
            windows_ms: vec![DAY_MS, 30 * DAY_MS],
            calendar: Calendar::new("UTC", months_ms, vec![ToDate::Month]),
            gwp: GwpSet::Ar6,
        }
    }

    fn entry(window: u8, kg: i128) -> WindowEntry {
        let key = WindowKey {
            window,
            node: Id(1),
            depth: 0,
            scope: 1,
            method: Method::Any,
            gas: Gas::Co2e,
        };
        let change = Emission { co2e: Wide::new(kg), ..Emission::default() };
        WindowEntry { key, tick: Tick::ZERO, change }
    }

    #[test]
    fn a_window_is_shown_once_memory_covers_it() {
        let mut whole = Whole::new(policy(), true);
        let windows = |entries: Vec<WindowEntry>| -> Vec<(u8, i128)> {
            entries.iter().map(|entry| (entry.key.window, entry.change.co2e.get())).collect()
        };
        let changes = vec![entry(0, 1), entry(1, 1), entry(2, 1), entry(3, 1)];
        assert_eq!(windows(whole.of(101 * DAY_MS, changes)), [(0, 1), (1, 1), (3, 1)]);
        // The horizon stands at day 93: thirty days after it, all is there.
        assert_eq!(windows(whole.of(122 * DAY_MS, vec![entry(2, 5)])), []);
        assert_eq!(windows(whole.of(123 * DAY_MS, vec![entry(2, 7)])), [(2, 6), (2, 7)]);
        assert_eq!(windows(whole.of(124 * DAY_MS, vec![entry(2, 9)])), [(2, 9)]);
    }

    #[test]
    fn totals_to_date_wait_where_no_ledger_has_their_beginning() {
        // The month began on day 60, and the horizon stands at day 93.
        assert!(covers(&policy(), true, 3, 101 * DAY_MS));
        assert!(!covers(&policy(), false, 3, 101 * DAY_MS));
        assert!(covers(&policy(), false, 3, 121 * DAY_MS));
    }
}
