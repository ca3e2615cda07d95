//! The feeder gives ticks to the workers, in order, and says where commits end.
//!
//! 1. At a start, the state at the ledger's committed cut is restored: see [`super::restore`].
//! 2. Ticks after it are read from the journal, with the cuts that were put down; then what the ingest hands
//!    over, as it comes.
//! 3. Of a tick that is new, decide whether a commit ends with it ([`super::cuts`]), and put that down in
//!    the journal first. *So a restart makes the same commits.*
//! 4. Give each worker its share. *A worker that is busy makes us wait here; the ingest goes on.* While the
//!    store is behind by two commits and workers hold more than they should, nothing is fed.
//! 5. A cut may take along what a restatement has found ([`super::restater`]): its entries go straight to the
//!    committer, what it recalls and adds to opening balances to the workers. *Only where no other cut is under way, so that it does not pile up
//!    in memory.*
//! 6. With each cut the committer is told where sources are read on: no further than what the cut holds.
//! 7. When a cut is committed, note it, and let the journal forget what no restart needs.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender};
use std::time::Duration;

use plumeline_connectors::FactChange;
use plumeline_pipelines::model::{Cause, Fact, Names, PendingEntry, Policy, RejectEntry, Tick};
use plumeline_sinks::delta::{FactEntry, Positions, Rows};

use super::closing::Closing;
use super::cold::Cold;
use super::committer::ToCommitter;
use super::cuts::{CUTS_UNDER_WAY_MAX, Seen, is_cut};
use super::desk::Desk;
use super::handover::{Handover, Next, Sealed};
use super::opening::{Opening, of_restatement};
use super::patience::{MayPass, Patience, Target, insist};
use super::restore::Slice;
use super::seal::{Phase, Seal};
use super::stash::{Restated, count};
use super::telemetry::Telemetry;
use crate::journal::{Frame, Journal, JournalError, Learned, Reader, Restating, Stored};

/// How long to wait for a seal before looking at everything else.
const PATIENCE: Duration = Duration::from_millis(20);
/// Refused payloads gathered before a commit: at 64 KiB each, what memory may hold.
const REJECTS_MAX: usize = 2_000;

/// What the feeder works with.
#[derive(Debug)]
pub(super) struct Parts {
    /// Reads the journal.
    pub reader: Reader,
    /// Writes cuts to it.
    pub journal: Arc<Journal>,
    /// From the ingest.
    pub handover: Arc<Handover>,
    /// The newest cut in the ledger, ms.
    pub committed_ms: Option<i64>,
    /// Where sources are read on, as of that cut.
    pub positions: Arc<Positions>,
    /// The newest tick of an earlier run, ms.
    pub replay_ms: Option<i64>,
    /// The cut since which another method counts, ms.
    pub method_ms: Option<i64>,
    /// Time between commits, ms.
    pub commit_every_ms: i64,
    /// Where the horizon lies.
    pub policy: Policy,
    /// The newest cut of an earlier run, ms: up to it, its cuts are the only ones.
    pub replay_cut_ms: Option<i64>,
    /// To the workers.
    pub feeds: Vec<SyncSender<Seal>>,
    /// To the committer.
    pub rows: SyncSender<ToCommitter>,
    /// From the committer.
    pub committed: Receiver<Tick>,
    /// With the restater.
    pub desk: Arc<Desk>,
    /// Names of this process.
    pub names: Arc<Names>,
    /// For metrics and health.
    pub telemetry: Arc<Telemetry>,
    /// Set when somebody asks us to end.
    pub stop: Arc<AtomicBool>,
}

/// See the module's documentation.
#[derive(Debug)]
pub(super) struct Feeder {
    parts: Parts,
    last_ms: i64,
    last_cut_ms: Option<i64>,
    under_way: VecDeque<Tick>,
    fact_rows: Vec<FactEntry>,
    rejects: Vec<RejectEntry>,
    pending: Vec<PendingEntry>,
    cold: Cold,
    closing: Closing,
    /// The journal may forget: the horizon has moved at, ms, and to, ms.
    forgetting: Option<(i64, i64)>,
    /// Whether the dataflow has caught up since the start.
    is_live: bool,
}

/// Why the feeder stops.
#[derive(Debug)]
enum Stop {
    /// The last cut was made, or none is to be made; or another part has ended and has said why.
    Done,
    /// The journal.
    Journal(JournalError),
}

impl From<JournalError> for Stop {
    fn from(error: JournalError) -> Self {
        Self::Journal(error)
    }
}

impl Feeder {
    /// Goes on after the newest committed cut.
    pub(super) fn new(parts: Parts) -> Self {
        Self {
            last_ms: parts.committed_ms.unwrap_or(0),
            last_cut_ms: parts.committed_ms,
            cold: Cold::new(Arc::clone(&parts.names), &parts.policy),
            closing: Closing::new(parts.committed_ms),
            parts,
            under_way: VecDeque::new(),
            fact_rows: Vec::new(),
            rejects: Vec::new(),
            pending: Vec::new(),
            forgetting: None,
            is_live: false,
        }
    }

    /// Runs until the ingest has ended and all of it is committed, or a part it needs has ended.
    ///
    /// # Errors
    /// An error of the journal that cannot pass.
    pub(super) fn run(mut self) -> Result<(), JournalError> {
        let outcome = self.feed_all();
        self.parts.handover.close();
        match outcome {
            Err(Stop::Journal(error)) => Err(error),
            Ok(()) | Err(Stop::Done) => {
                self.wait_for_commits();
                fail::fail_point!("all-committed");
                Ok(())
            }
        }
    }

    fn feed_all(&mut self) -> Result<(), Stop> {
        self.restore()?;
        loop {
            self.settle_committed()?;
            match self.parts.handover.next(PATIENCE) {
                Next::Wait => {}
                Next::Seal(sealed) => self.feed(sealed, false, false)?,
                Next::Journal(until_ms, positions) => self.read_journal(until_ms, positions)?,
                Next::Ended => {
                    let sealed = Sealed { ms: self.last_ms + 1, ..Sealed::default() };
                    fail::fail_point!("last-cut");
                    return self.feed(sealed, false, true);
                }
                Next::Failed => return Err(Stop::Done),
            }
            self.forget()?;
        }
    }

    /// Brings the dataflow to the state of the committed cut.
    fn restore(&mut self) -> Result<(), Stop> {
        let Some(ms) = self.parts.committed_ms else { return Ok(()) };
        let telemetry = Arc::clone(&self.parts.telemetry);
        telemetry.set_recovery(Some("restoring the state of the ledger's newest cut".to_owned()));
        let policy = self.parts.policy.clone();
        fail::fail_point!("restore-begin");
        let plan = super::restore::plan(&self.parts.reader, &policy, ms)?;
        let (total, mut done) = (plan.records, 0);
        let mut slices = plan.slices;
        while let Some(slice) = slices.next(&self.parts.reader)? {
            if self.parts.stop.load(Ordering::Acquire) {
                return Err(Stop::Done);
            }
            done += slice.records.len();
            self.closing.learn(&slice.facts);
            self.send(slice, None, Phase::Restoring)?;
            fail::fail_point!("restore-slice");
            telemetry.set_recovery(Some(format!("restored {done} of {total} readings")));
            telemetry.set_restored(Some((done, usize::try_from(total).unwrap_or(0))));
        }
        telemetry.set_restored(None);
        fail::fail_point!("restore-done");
        tracing::info!(records = done, "the state of the ledger's newest cut is restored");
        Ok(())
    }

    /// Feeds the journal's ticks up to and with `until_ms`, after which sources are read on at `positions`.
    fn read_journal(&mut self, until_ms: i64, positions: Arc<Positions>) -> Result<(), Stop> {
        while let Some(ms) = self.parts.reader.next_ms(self.last_ms, until_ms)? {
            let Stored { frame, facts, is_cut, .. } = self.parts.reader.tick(ms)?;
            // Where sources stood at a tick in between is not known: at a cut there, what was known before is told.
            let Frame { records, rejects } = frame;
            let sealed = Sealed { ms, records, facts, rejects, positions: None };
            // Asked to end while far behind: what is not fed stays in the journal.
            let is_last = self.parts.stop.load(Ordering::Acquire);
            if is_last && self.is_of_an_earlier_cut(ms) {
                return Err(Stop::Done);
            }
            if !self.is_live {
                let behind = (until_ms - ms) / 1000;
                let told = format!("replaying the journal: {behind} s behind");
                self.parts.telemetry.set_recovery(Some(told));
            }
            self.feed(sealed, is_cut, is_last)?;
            fail::fail_point!("replay-tick");
            if is_last {
                return Err(Stop::Done);
            }
        }
        if until_ms > self.last_ms {
            // Seals without anything in them are not journaled: time has passed all the same.
            self.feed(Sealed { ms: until_ms, ..Sealed::default() }, false, false)?;
        }
        self.parts.positions = positions;
        if self.parts.handover.caught_up(until_ms) && !self.is_live {
            fail::fail_point!("caught-up");
            self.is_live = true;
            self.parts.telemetry.set_recovery(None);
        }
        Ok(())
    }

    fn feed(&mut self, sealed: Sealed, is_journaled_cut: bool, is_last: bool) -> Result<(), Stop> {
        self.wait_for_the_store()?;
        let Sealed { ms, records, facts, rejects, positions } = sealed;
        if let Some(positions) = positions {
            self.parts.positions = positions;
        }
        self.cold.hear(ms, &records);
        if self.last_cut_ms.is_none() {
            self.last_cut_ms = Some(ms);
        }
        let seen = Seen {
            now_ms: ms,
            last_ms: self.last_ms,
            since_cut_ms: ms - self.last_cut_ms.unwrap_or(ms),
            facts_changed: !facts.is_empty(),
            rows_wait: self.parts.telemetry.rows_wait() || self.rejects.len() > REJECTS_MAX,
            under_way: self.under_way.len(),
            is_last,
        };
        let cut = Tick::new(ms, Cause::Cut);
        let mut restating = None;
        let ends = if self.is_of_an_earlier_cut(ms) {
            if is_journaled_cut {
                restating = self.parts.reader.restating(ms)?;
            }
            is_journaled_cut
        } else if is_cut(seen, self.parts.commit_every_ms) {
            // Alone, so that it does not pile up behind another; nor when there is little time.
            if self.under_way.is_empty() && !is_last {
                restating = self.cold.proposal(ms, &self.parts.policy, &self.parts.desk);
            }
            self.put_down(ms, restating.as_ref())?;
            true
        } else {
            false
        };
        self.last_ms = ms;
        self.rejects.extend(rejects);
        let facts = facts.into_iter().map(|Learned { change, .. }| {
            let FactChange { fact, withdrawn } = change.clone();
            self.fact_rows.push(FactEntry { fact, withdrawn, learned_ms: ms });
            change.diff()
        });
        let facts: Vec<(Fact, i64)> = facts.collect();
        let phase = match self.parts.replay_ms {
            Some(replay_ms) if ms <= replay_ms => Phase::Replaying,
            _ if self.is_live || self.parts.replay_ms.is_none() => Phase::Live,
            _ => Phase::CatchingUp,
        };
        self.note_pending(&facts, ms)?;
        let recalls = restating.as_mut().map(|r| std::mem::take(&mut r.recalls));
        let recalls = recalls.unwrap_or_default();
        let opening = restating.map(|restating| self.book(cut, &restating, phase)).transpose()?;
        let opening = opening.unwrap_or_default();
        let slice = Slice { ms, facts, records, kept: Vec::new(), recalls, opening };
        self.send(slice, ends.then_some(cut), phase)?;
        if ends {
            self.last_cut_ms = Some(ms);
            self.under_way.push_back(cut);
            self.end(cut)?;
        }
        Ok(())
    }

    /// Notes rows of facts that may change periods below the horizon, and what the horizon has passed that contracts
    /// match as a whole: nobody books them now.
    fn note_pending(&mut self, facts: &[(Fact, i64)], ms: i64) -> Result<(), Stop> {
        let Parts { reader, policy, desk, .. } = &self.parts;
        let has_moved = self.closing.has_moved(policy, ms);
        if facts.is_empty() && !has_moved {
            return Ok(());
        }
        // Files of facts are learned at the first start: that is when the ledger began.
        let began_ms = reader.first_fact_ms()?.unwrap_or(ms);
        let began_ms = policy.horizon(Tick::new(began_ms, Cause::Cut)).start_ms(policy.period_ms);
        let earliest_ms = desk.earliest_ms().map_or(began_ms, |ms| ms.min(began_ms));
        // By the rows as they were: a replay may come here with the facts that followed.
        let over = if has_moved { self.closing.pass(policy, ms, earliest_ms) } else { Vec::new() };
        self.closing.learn(facts);
        let of_facts = facts.iter().filter_map(|(fact, _)| {
            let of_window = self.closing.of_certificate(policy, fact, (earliest_ms, ms));
            of_window.or_else(|| PendingEntry::of_fact(policy, fact, earliest_ms, ms))
        });
        let mut entries: BTreeMap<_, PendingEntry> = BTreeMap::new();
        for entry in of_facts.chain(over) {
            let sum = entries.entry((entry.cause, entry.subject, entry.learned_ms));
            sum.and_modify(|sum| sum.merge(&entry)).or_insert(entry);
        }
        for entry in entries.values() {
            desk.note(entry);
        }
        self.pending.extend(entries.into_values());
        Ok(())
    }

    /// Whether an earlier run has put a cut down at or after this tick: then its cuts are the only ones, or
    /// tables that hold them would drop what belongs to another.
    fn is_of_an_earlier_cut(&self, ms: i64) -> bool {
        self.parts.replay_cut_ms.is_some_and(|cut_ms| ms <= cut_ms)
    }

    /// Books what a restatement has found; gives what it adds to the opening balance.
    fn book(&mut self, cut: Tick, restating: &Restating, phase: Phase) -> Result<Opening, Stop> {
        let Restating { id, entry, .. } = restating;
        let part = self.parts.feeds.len();
        let mut opening = Opening::default();
        let (mut restated, mut counts) = (Restated::default(), (0, 0, 0));
        for number in 0.. {
            let Some(found) = self.parts.reader.restated(*id, number)? else { break };
            for rows in found {
                self.cold.digest(&rows);
                match &rows {
                    Rows::Activity(rows) => counts.0 += rows.len() as u64,
                    Rows::Emissions(rows) => {
                        counts.1 += rows.len() as u64;
                        for row in rows {
                            count(&mut restated, row);
                        }
                    }
                    Rows::Footprints(rows) => {
                        counts.2 += rows.len() as u64;
                        of_restatement(&mut opening, &self.parts.policy, entry.known_ms, rows);
                    }
                    _ => {}
                }
                self.tell(ToCommitter::Rows { cut, part, rows })?;
            }
        }
        if counts != (entry.activity, entry.emissions, entry.footprints) {
            let text = "the journal lacks entries of a restatement that the tables do not have either: they were set \
                        back. Put back newer copies of them";
            return Err(JournalError::Ledger(text.to_owned()).into());
        }
        if phase == Phase::Replaying {
            self.parts.desk.is_booked(entry.known_ms);
        }
        // Another method is put down before the start that books it.
        if phase != Phase::Replaying || self.parts.method_ms == Some(cut.ms()) {
            self.parts.telemetry.count_restated(&restated);
        }
        self.tell(ToCommitter::Rows { cut, part, rows: Rows::Restated(vec![*entry]) })?;
        Ok(opening)
    }

    /// Puts a cut down in the journal, waiting for room on its disk.
    fn put_down(&self, ms: i64, restating: Option<&Restating>) -> Result<(), Stop> {
        let Parts { journal, telemetry, stop, .. } = &self.parts;
        let patience = Patience::new(Target::Journal, telemetry, stop);
        let put_down = || match restating {
            None => journal.cut(ms),
            Some(restating) => journal.cut_restating(ms, restating),
        };
        insist(patience, put_down).map_err(|error| {
            // Asked to end meanwhile: what follows the last cut is in the journal.
            if error.may_pass() { Stop::Done } else { error.into() }
        })
    }

    /// While the store is behind and more is held than should be, yet more would only fill memory.
    fn wait_for_the_store(&mut self) -> Result<(), Stop> {
        while self.under_way.len() >= CUTS_UNDER_WAY_MAX
            && (self.parts.telemetry.rows_wait() || self.rejects.len() > REJECTS_MAX)
        {
            match self.parts.committed.recv_timeout(PATIENCE) {
                Ok(cut) => self.settle(cut)?,
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return Err(Stop::Done),
            }
        }
        Ok(())
    }

    /// Hands over the rows that do not go through the dataflow, and ends the cut.
    fn end(&mut self, cut: Tick) -> Result<(), Stop> {
        let part = self.parts.feeds.len();
        let facts = Rows::Facts(std::mem::take(&mut self.fact_rows));
        let rejects = Rows::Rejects(std::mem::take(&mut self.rejects));
        let pending = Rows::Pending(std::mem::take(&mut self.pending));
        for rows in [facts, rejects, pending] {
            self.tell(ToCommitter::Rows { cut, part, rows })?;
        }
        let positions = Arc::clone(&self.parts.positions);
        self.tell(ToCommitter::Positions { cut, positions })?;
        let digests = self.cold.digests();
        self.tell(ToCommitter::End { cut, digests })
    }

    fn tell(&self, message: ToCommitter) -> Result<(), Stop> {
        self.parts.rows.send(message).map_err(|_| Stop::Done)
    }

    /// Gives each worker its share.
    fn send(&self, slice: Slice, cut: Option<Tick>, phase: Phase) -> Result<(), Stop> {
        let feeds = &self.parts.feeds;
        for (feed, seal) in feeds.iter().zip(Seal::shares(slice, feeds.len(), (cut, phase))) {
            feed.send(seal).map_err(|_| Stop::Done)?;
        }
        Ok(())
    }

    /// Notes the cuts that have been committed.
    fn settle_committed(&mut self) -> Result<(), Stop> {
        while let Ok(cut) = self.parts.committed.try_recv() {
            self.settle(cut)?;
        }
        Ok(())
    }

    fn settle(&mut self, committed: Tick) -> Result<(), Stop> {
        while self.under_way.pop_front_if(|cut| *cut <= committed).is_some() {}
        // A restatement that begins later reads this commit.
        let known_ms = self.parts.desk.known_ms().unwrap_or(i64::MAX).min(committed.ms());
        self.cold.forget_until(known_ms);
        let policy = &self.parts.policy;
        let horizon_ms = policy.horizon(committed).start_ms(policy.period_ms);
        self.forgetting = Some((policy.horizon_moved_ms(committed), horizon_ms));
        // A note: the next cut makes it anew.
        passing(self.parts.journal.committed(committed.ms())).map(drop)
    }

    /// Lets the journal forget some of what no restart needs.
    fn forget(&mut self) -> Result<(), Stop> {
        let Some((moved_ms, horizon_ms)) = self.forgetting else { return Ok(()) };
        if !passing(self.parts.journal.forget(moved_ms, horizon_ms))?.unwrap_or(false) {
            self.forgetting = None;
        }
        Ok(())
    }

    fn wait_for_commits(&mut self) {
        while !self.under_way.is_empty() {
            // Without an answer the committer has failed and has said why.
            let Ok(cut) = self.parts.committed.recv() else { return };
            if let Err(Stop::Journal(error)) = self.settle(cut) {
                tracing::warn!(error = %crate::chain(&error), "the last cut is not noted in the journal");
            }
        }
    }
}

/// What came of something that may be left for later; `None` where the disk is full.
fn passing<T>(outcome: Result<T, JournalError>) -> Result<Option<T>, Stop> {
    match outcome {
        Ok(done) => Ok(Some(done)),
        Err(error) if error.is_transient() => Ok(None),
        Err(error) => Err(error.into()),
    }
}
