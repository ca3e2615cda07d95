//! From the ingest to the feeder: seals, in memory where the feeder keeps up, through the journal where not.
//!
//! ```text
//! ingest ──push──▶ seals in memory ──▶ feeder
//!    └─▶ journal ─ ─ what did not fit ─ ─▲
//! ```
//!
//! 1. A seal is pushed after all of it is in the journal.
//! 2. While there is room it waits in memory. Once one finds no room, it and all that follow are left in the
//!    journal, and only how far they reach is noted.
//! 3. When the feeder has taken what is in memory, it reads the journal up to there. When it has caught up,
//!    seals wait in memory again.
//!
//! So acknowledgements never wait for the dataflow: not for a revised grid factor, a slow store, nor a
//! restart, which begins with everything in the journal. Pushing never blocks; memory is bounded.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use plumeline_pipelines::model::{Record, RejectEntry};
use plumeline_sinks::delta::Positions;

use crate::journal::Learned;

/// Records that wait in memory: some 40 MB.
const RECORDS_MAX: usize = 400_000;
/// Seals that wait in memory, however small.
const SEALS_MAX: usize = 64;

/// What was sealed under one instant.
#[derive(Debug, Default)]
pub(super) struct Sealed {
    /// The instant, ms.
    pub ms: i64,
    /// Records, numbered in the order they were taken in.
    pub records: Vec<Record>,
    /// Facts.
    pub facts: Vec<Learned>,
    /// Refused payloads.
    pub rejects: Vec<RejectEntry>,
    /// Where sources are read on after it; `None` where nobody knows any more.
    pub positions: Option<Arc<Positions>>,
}

impl Sealed {
    /// What it takes of memory, in records.
    fn weight(&self) -> usize {
        self.records.len() + weight(&self.rejects)
    }
}

/// What refused payloads take of memory, in records of about 100 bytes.
pub(super) fn weight(rejects: &[RejectEntry]) -> usize {
    rejects.iter().map(|reject| 1 + reject.raw.len() / 100).sum()
}

/// What the feeder does next.
#[derive(Debug)]
pub(super) enum Next {
    /// Feed this.
    Seal(Sealed),
    /// Read the journal up to and with this tick, ms, and say so ([`Handover::caught_up`]); sources are read on there
    /// after it.
    Journal(i64, Arc<Positions>),
    /// Nothing yet.
    Wait,
    /// Nothing any more.
    Ended,
    /// Nothing any more, and the open tick was not sealed: no commit may end after it.
    Failed,
}

/// See the module's documentation.
#[derive(Debug)]
pub(super) struct Handover {
    inner: Mutex<Inner>,
    bell: Condvar,
}

#[derive(Debug)]
struct Inner {
    seals: VecDeque<Sealed>,
    records: usize,
    /// What follows `seals` is in the journal, up to this tick.
    spilled_ms: Option<i64>,
    /// Where sources are read on after it.
    positions: Arc<Positions>,
    /// The ingest has ended.
    ended: bool,
    /// It ended with an error.
    failed: bool,
    /// The feeder has ended.
    closed: bool,
}

impl Handover {
    /// Begins with what the journal holds up to `journal_ms`, after which sources are read on at `positions`.
    pub(super) fn new(journal_ms: Option<i64>, positions: Arc<Positions>) -> Self {
        let inner = Inner {
            seals: VecDeque::new(),
            records: 0,
            spilled_ms: journal_ms,
            positions,
            ended: false,
            failed: false,
            closed: false,
        };
        Self { inner: Mutex::new(inner), bell: Condvar::new() }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Hands over a seal; says whether there is a feeder still.
    pub(super) fn push(&self, sealed: Sealed) -> bool {
        let mut inner = self.lock();
        let records = inner.records + sealed.weight();
        let is_full =
            !inner.seals.is_empty() && (records > RECORDS_MAX || inner.seals.len() >= SEALS_MAX);
        if inner.spilled_ms.is_some() || is_full {
            inner.spilled_ms = Some(sealed.ms);
            inner.positions = sealed.positions.unwrap_or_default();
        } else {
            inner.records = records;
            inner.seals.push_back(sealed);
        }
        self.bell.notify_one();
        !inner.closed
    }

    /// Whether a seal would wait in memory.
    pub(super) fn has_room(&self) -> bool {
        let inner = self.lock();
        let is_full = inner.records >= RECORDS_MAX / 2 || inner.seals.len() >= SEALS_MAX / 2;
        inner.closed || (inner.spilled_ms.is_none() && !is_full)
    }

    /// What comes next; waits for it for a while.
    pub(super) fn next(&self, patience: Duration) -> Next {
        let is_idle = |inner: &mut Inner| {
            inner.seals.is_empty() && inner.spilled_ms.is_none() && !inner.ended
        };
        let waited = self.bell.wait_timeout_while(self.lock(), patience, is_idle);
        let (mut inner, _) = waited.unwrap_or_else(PoisonError::into_inner);
        if inner.failed {
            return Next::Failed;
        }
        if let Some(sealed) = inner.seals.pop_front() {
            inner.records -= sealed.weight();
            return Next::Seal(sealed);
        }
        match inner.spilled_ms {
            Some(ms) => Next::Journal(ms, Arc::clone(&inner.positions)),
            None if inner.ended => Next::Ended,
            None => Next::Wait,
        }
    }

    /// The journal was read up to and with `ms`; says whether nothing more is in it alone.
    pub(super) fn caught_up(&self, ms: i64) -> bool {
        let mut inner = self.lock();
        if inner.spilled_ms.is_some_and(|spilled_ms| spilled_ms <= ms) {
            inner.spilled_ms = None;
        }
        inner.spilled_ms.is_none()
    }

    /// The ingest has ended: nothing follows.
    pub(super) fn end(&self) {
        self.lock().ended = true;
        self.bell.notify_one();
    }

    /// The ingest has ended with an error, perhaps in the middle of a tick.
    pub(super) fn fail(&self) {
        let mut inner = self.lock();
        (inner.ended, inner.failed) = (true, true);
        self.bell.notify_one();
    }

    /// The feeder has ended: nobody takes anything any more.
    pub(super) fn close(&self) {
        self.lock().closed = true;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn positions(ms: i64) -> Arc<Positions> {
        let at = ("file".to_owned(), ms.to_string());
        Arc::new([("plant".to_owned(), [at].into())].into())
    }

    fn seal(ms: i64) -> Sealed {
        Sealed { ms, positions: Some(positions(ms)), ..Sealed::default() }
    }

    fn is_journal(next: &Next, until_ms: i64) -> bool {
        matches!(next, Next::Journal(ms, at) if *ms == until_ms && *at == positions(until_ms))
    }

    fn next(handover: &Handover) -> Next {
        handover.next(Duration::ZERO)
    }

    #[test]
    fn what_does_not_fit_is_read_from_the_journal_in_order() {
        let handover = Handover::new(None, Arc::default());
        assert!(matches!(next(&handover), Next::Wait) && handover.has_room());
        let many = i64::try_from(SEALS_MAX).unwrap() + 5;
        (0..many).for_each(|ms| assert!(handover.push(seal(ms))));
        assert!(!handover.has_room());
        for ms in 0..i64::try_from(SEALS_MAX).unwrap() {
            assert!(matches!(next(&handover), Next::Seal(sealed) if sealed.ms == ms));
        }
        assert!(is_journal(&next(&handover), many - 1));
        // While it is read, more comes; it is in the journal, too.
        assert!(handover.push(seal(many)));
        assert!(!handover.caught_up(many - 1));
        assert!(is_journal(&next(&handover), many));
        assert!(handover.caught_up(many));
        assert!(handover.push(seal(many + 1)));
        assert!(matches!(next(&handover), Next::Seal(sealed) if sealed.ms == many + 1));
        handover.end();
        assert!(matches!(next(&handover), Next::Ended));
        handover.close();
        assert!(!handover.push(seal(many + 2)));
    }

    #[test]
    fn a_restart_begins_with_the_journal() {
        let handover = Handover::new(Some(7), positions(7));
        assert!(is_journal(&next(&handover), 7));
        assert!(handover.caught_up(7));
        assert!(matches!(next(&handover), Next::Wait));
    }
}
