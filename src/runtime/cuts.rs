//! Where a commit ends: a pure decision over what the feeder sees.

use plumeline_pipelines::model::time::day_start;

/// Cuts that may be under way at once: one being committed, one being gathered.
pub(super) const CUTS_UNDER_WAY_MAX: usize = 2;

/// What the decision rests on.
#[derive(Copy, Clone, Debug, Default)]
pub(super) struct Seen {
    /// The instant about to be sealed, ms.
    pub now_ms: i64,
    /// The instant sealed before it, ms.
    pub last_ms: i64,
    /// Since the last cut, ms.
    pub since_cut_ms: i64,
    /// Facts changed: what they restate streams into this cut.
    pub facts_changed: bool,
    /// Workers hold more rows than they should.
    pub rows_wait: bool,
    /// Cuts that are not committed yet.
    pub under_way: usize,
    /// The last seal.
    pub is_last: bool,
}

/// Whether the seal ends a commit.
#[must_use]
pub(super) fn is_cut(seen: Seen, commit_every_ms: i64) -> bool {
    if seen.is_last {
        return true;
    }
    if seen.under_way >= CUTS_UNDER_WAY_MAX {
        return false;
    }
    let crosses_midnight = day_start(seen.now_ms) != day_start(seen.last_ms) && seen.last_ms > 0;
    seen.since_cut_ms >= commit_every_ms || crosses_midnight || seen.facts_changed || seen.rows_wait
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOON: i64 = 1_767_268_800_000;

    fn quiet() -> Seen {
        Seen { now_ms: NOON, last_ms: NOON - 250, since_cut_ms: 250, ..Seen::default() }
    }

    #[test]
    fn a_commit_ends_when_it_is_time() {
        assert!(!is_cut(quiet(), 60_000));
        assert!(is_cut(Seen { since_cut_ms: 60_000, ..quiet() }, 60_000));
        assert!(is_cut(Seen { now_ms: NOON + 12 * 3_600_000, ..quiet() }, 60_000));
        assert!(is_cut(Seen { facts_changed: true, ..quiet() }, 60_000));
    }

    #[test]
    fn a_slow_store_is_not_asked_for_more() {
        let waits = Seen { facts_changed: true, under_way: CUTS_UNDER_WAY_MAX, ..quiet() };
        assert!(!is_cut(waits, 60_000));
        assert!(is_cut(Seen { is_last: true, ..waits }, 60_000));
    }
}
