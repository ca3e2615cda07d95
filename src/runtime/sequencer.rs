//! The sequencer owns time: it seals what has come under one instant and says where commits end.
//!
//! 1. Take batches until the seal interval has passed, or enough has come.
//! 2. Seal: the instant is the clock's, or one millisecond after the last if the clock has not moved. *So
//!    ticks strictly increase, also when the machine's clock steps back.*
//! 3. Decide whether the seal is a cut (`cuts`), and give each worker its share. *A worker that is busy
//!    makes us wait here, and so the sources.*
//! 4. Receipts wait with their cut; when the committer has committed it, give them back.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::SyncSender;
use std::time::Duration;

use plumeline_connectors::Receipt;
use plumeline_pipelines::model::{Cause, Fact, Record, RejectEntry, Tick};
use plumeline_sinks::delta::{FactEntry, Rows};
use tokio::sync::mpsc::UnboundedReceiver;

use super::clock::{Clock, monotonic};
use super::committer::ToCommitter;
use super::cuts::{Seen, is_cut};
use super::intake::{Intake, Sealed};
use super::telemetry::Telemetry;

/// Time between seals: a reading shows in the open window after about this, on average half of it.
pub(super) const SEAL_EVERY: Duration = Duration::from_millis(250);
/// Records that make a seal before its time; bounds what a worker holds of one seal to some tens of MB.
pub(super) const SEAL_RECORDS_MAX: usize = 200_000;
/// Longest wait for a batch before looking at everything else.
const PAUSE_MAX: Duration = Duration::from_millis(20);
/// Time between looks at the files of tables.
const FILES_EVERY: Duration = Duration::from_secs(1);

/// Refused payloads gathered before a commit: at 64 KiB each, what memory may hold.
const REJECTS_MAX: usize = 2_000;

/// A worker's share of a seal.
#[derive(Debug)]
pub(super) struct Seal {
    /// The instant, ms.
    pub ms: i64,
    /// Facts learned (1) and taken back (-1), sub-tick by sub-tick.
    pub facts: Vec<(Fact, i64)>,
    /// Records.
    pub records: Vec<Record>,
    /// The seal ends a commit.
    pub cut: Option<Tick>,
}

/// What the sequencer works with.
#[derive(Debug)]
pub(super) struct Parts {
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// The newest cut in the ledger.
    pub committed: Option<Tick>,
    /// Time between commits, ms.
    pub commit_every_ms: i64,
    /// What comes in.
    pub intake: Intake,
    /// To the workers.
    pub feeds: Vec<SyncSender<Seal>>,
    /// To the committer.
    pub rows: SyncSender<ToCommitter>,
    /// From the committer.
    pub committed_inbox: UnboundedReceiver<Tick>,
    /// For metrics and health.
    pub telemetry: Arc<Telemetry>,
    /// Set when somebody asks us to end.
    pub stop: Arc<AtomicBool>,
}

/// See the module's documentation.
#[derive(Debug)]
pub(super) struct Sequencer {
    parts: Parts,
    last_ms: i64,
    began: std::time::Instant,
    under_way: VecDeque<(Tick, Vec<(u16, Receipt)>)>,
    receipts: Vec<(u16, Receipt)>,
    fact_rows: Vec<FactEntry>,
    rejects: Vec<RejectEntry>,
    last_cut_ms: Option<i64>,
}

impl Sequencer {
    /// A sequencer whose ticks are all greater than the newest committed cut.
    #[must_use]
    pub(super) fn new(parts: Parts) -> Self {
        let last_ms = parts.committed.map_or(0, Tick::ms);
        Self {
            parts,
            last_ms,
            began: monotonic(),
            under_way: VecDeque::new(),
            receipts: Vec::new(),
            fact_rows: Vec::new(),
            rejects: Vec::new(),
            last_cut_ms: None,
        }
    }

    /// Runs until every source has ended, or it is asked to stop, or a part it needs has ended.
    pub(super) async fn run(mut self) {
        let mut next_files = monotonic() + FILES_EVERY;
        loop {
            let is_last = self.gather().await;
            if monotonic() >= next_files {
                self.parts.intake.poll_files();
                next_files = monotonic() + FILES_EVERY;
            }
            self.settle_committed();
            if self.seal(is_last).is_err() {
                tracing::debug!("a part of the pipeline has ended, and so does the sequencer");
                break;
            }
            if is_last {
                self.wait_for_commits().await;
                break;
            }
        }
        self.parts.intake.stop().await;
    }

    /// Takes batches until it is time to seal; says whether the seal is the last one.
    async fn gather(&mut self) -> bool {
        let deadline = monotonic() + SEAL_EVERY;
        loop {
            if self.parts.stop.load(Ordering::Acquire) {
                return true;
            }
            let now = monotonic();
            let is_full = self.parts.intake.open_records() >= SEAL_RECORDS_MAX;
            if now >= deadline || is_full || self.is_waited_for() {
                return self.parts.intake.has_ended();
            }
            self.settle_committed();
            let pause = (deadline - now).min(PAUSE_MAX);
            match tokio::time::timeout(pause, self.parts.intake.receive()).await {
                Ok(Some(batch)) => self.take(batch),
                // All sources have let go; they only do so at their end.
                Ok(None) => return true,
                Err(_) => {}
            }
        }
    }

    /// A source may be waiting for a commit, and none is under way: there is no point in waiting, too.
    fn is_waited_for(&self) -> bool {
        self.under_way.is_empty() && self.parts.intake.source_waits(self.wall_ms())
    }

    /// The wall's time since we began, for pauses.
    fn wall_ms(&self) -> i64 {
        i64::try_from(self.began.elapsed().as_millis()).unwrap_or(i64::MAX)
    }

    fn take(&mut self, batch: plumeline_connectors::Batch) {
        let (now_ms, wall_ms) = (self.parts.clock.now_ms(), self.wall_ms());
        self.parts.intake.take(batch, now_ms, wall_ms);
        while self.parts.intake.open_records() < SEAL_RECORDS_MAX {
            let Some(batch) = self.parts.intake.receive_now() else { break };
            self.parts.intake.take(batch, now_ms, wall_ms);
        }
    }

    fn seal(&mut self, is_last: bool) -> Result<(), PartEnded> {
        let ms = self.parts.clock.now_ms().max(self.last_ms + 1);
        let last_cut_ms = *self.last_cut_ms.get_or_insert(ms);
        let seen = Seen {
            now_ms: ms,
            last_ms: self.last_ms,
            since_cut_ms: ms - last_cut_ms,
            facts_changed: self.parts.intake.has_facts(),
            source_waits: self.parts.intake.source_waits(self.wall_ms()),
            rows_wait: self.parts.telemetry.rows_wait() || self.rejects.len() > REJECTS_MAX,
            under_way: self.under_way.len(),
            is_last,
        };
        let cut = is_cut(seen, self.parts.commit_every_ms).then(|| Tick::new(ms, Cause::Cut));
        self.last_ms = ms;
        let Sealed { records, facts, fact_rows, rejects, receipts } =
            self.parts.intake.seal(cut.is_some(), self.wall_ms());
        self.receipts.extend(receipts);
        if let Some(cut) = cut {
            self.last_cut_ms = Some(ms);
            self.under_way.push_back((cut, std::mem::take(&mut self.receipts)));
        }
        self.fact_rows.extend(fact_rows);
        self.rejects.extend(rejects);
        self.parts.telemetry.note_seal(ms);
        self.feed(ms, cut, facts, records)?;
        match cut {
            Some(cut) => self.end(cut),
            None => Ok(()),
        }
    }

    /// Hands over the rows that do not go through the dataflow, and ends the cut.
    fn end(&mut self, cut: Tick) -> Result<(), PartEnded> {
        let part = self.parts.feeds.len();
        let facts = Rows::Facts(std::mem::take(&mut self.fact_rows));
        let rejects = Rows::Rejects(std::mem::take(&mut self.rejects));
        for rows in [facts, rejects] {
            self.tell(ToCommitter::Rows { cut, part, rows })?;
        }
        self.tell(ToCommitter::End { cut })
    }

    fn tell(&self, message: ToCommitter) -> Result<(), PartEnded> {
        self.parts.rows.send(message).map_err(|_| PartEnded)
    }

    fn feed(
        &self,
        ms: i64,
        cut: Option<Tick>,
        facts: Vec<(Fact, i64)>,
        mut records: Vec<Record>,
    ) -> Result<(), PartEnded> {
        let mut facts = Some(facts);
        let mut workers_left = self.parts.feeds.len();
        for feed in &self.parts.feeds {
            let share = records.len().div_ceil(workers_left);
            let rest = records.split_off(records.len() - share);
            workers_left -= 1;
            let facts = facts.take().unwrap_or_default();
            feed.send(Seal { ms, facts, records: rest, cut }).map_err(|_| PartEnded)?;
        }
        Ok(())
    }

    /// Gives back the receipts of cuts that have been committed.
    fn settle_committed(&mut self) {
        while let Ok(committed) = self.parts.committed_inbox.try_recv() {
            self.settle(committed);
        }
    }

    fn settle(&mut self, committed: Tick) {
        while let Some((_, receipts)) = self.under_way.pop_front_if(|(cut, _)| *cut <= committed) {
            self.parts.intake.acknowledge(receipts, self.wall_ms());
        }
    }

    async fn wait_for_commits(&mut self) {
        while !self.under_way.is_empty() {
            match self.parts.committed_inbox.recv().await {
                Some(committed) => self.settle(committed),
                // The committer has failed and has said why.
                None => return,
            }
        }
    }
}

/// A channel's other end is gone: its thread has ended, and has said why.
#[derive(Debug)]
struct PartEnded;
