//! The ingest owns time: what comes is journaled at once under the tick that is open, and sealed in time.
//!
//! 1. Take a batch, and what else has come by then. The first one opens a tick: the clock's instant, or one
//!    millisecond after the last if the clock has not moved. *So ticks strictly increase, also when the
//!    machine's clock steps back.*
//!    Nothing is taken while what came before its meter's name was known is taken in again ([`super::door`]).
//! 2. Commit it to the journal as a part of that tick, then acknowledge it. *So a source waits for a disk,
//!    and neither for the seal nor for the dataflow.*
//! 3. When the seal interval has passed, or enough has come, hand the seal over. *All of it is in the
//!    journal: nothing visible happens before.*
//!
//! A journal whose disk is full is tried again, and nothing is taken meanwhile: the brokers hold what comes.
//! Any other error of it ends the process.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use plumeline_connectors::{Position, SourceConfig};
use plumeline_sinks::delta::Positions;

use super::clock::{Clock, monotonic};
use super::desk::Desk;
use super::handover::{Handover, Sealed};
use super::intake::{Intake, OpenPart};
use super::patience::{MayPass, Patience, Target};
use super::telemetry::Telemetry;
use crate::config::Pipeline;
use crate::journal::{Journal, JournalError, Part};

/// Time between seals: a reading shows in the open window after about this, on average half of it.
const SEAL_EVERY: Duration = Duration::from_millis(250);
/// Records that make a seal before its time; bounds what a worker holds of one seal to some tens of MB.
pub(super) const SEAL_RECORDS_MAX: usize = 200_000;
/// Records of a part, about: what one commit of the journal holds.
const PART_RECORDS_MAX: usize = 20_000;
/// Longest wait for a batch before looking at everything else.
const PAUSE_MAX: Duration = Duration::from_millis(20);
/// Time between looks at the files of tables.
const FILES_EVERY: Duration = Duration::from_secs(1);

/// See the module's documentation.
#[derive(Debug)]
pub(super) struct Ingest {
    clock: Arc<dyn Clock>,
    intake: Intake,
    journal: Arc<Journal>,
    handover: Arc<Handover>,
    telemetry: Arc<Telemetry>,
    stop: Arc<AtomicBool>,
    /// Every source can wait as long as it takes: a file need not be copied into the journal in advance.
    is_patient: bool,
    /// Whether to go on, once all sources have ended, until nothing is left to restate.
    until_restated: Option<Arc<Desk>>,
    last_ms: i64,
    open: Option<Sealed>,
    /// Where sources are read on after the last part.
    positions: Arc<Positions>,
}

/// The ingest cannot go on.
struct Over;

impl Ingest {
    /// An ingest whose ticks are all greater than `last_ms`.
    pub(super) fn new(
        pipeline: &Pipeline,
        (clock, last_ms): (Arc<dyn Clock>, i64),
        intake: Intake,
        (journal, handover, positions): (Arc<Journal>, Arc<Handover>, Arc<Positions>),
        (telemetry, stop): (Arc<Telemetry>, Arc<AtomicBool>),
    ) -> Self {
        let is_file = |config: &SourceConfig| matches!(config, SourceConfig::File(_));
        let is_patient = pipeline.sources.iter().all(|source| is_file(&source.config));
        Self {
            clock,
            intake,
            journal,
            handover,
            telemetry,
            stop,
            is_patient,
            until_restated: None,
            last_ms,
            open: None,
            positions,
        }
    }

    /// Goes on, once all sources have ended, until nothing is left to restate.
    pub(super) fn until_restated(mut self, desk: Option<Arc<Desk>>) -> Self {
        self.until_restated = desk;
        self
    }

    /// Whether there is nothing left to do.
    fn has_ended(&self) -> bool {
        if !self.intake.has_ended(self.until_restated.is_some()) {
            return false;
        }
        let Some(desk) = &self.until_restated else { return true };
        // What is pending is known once it was fed and committed.
        desk.note_end(self.last_ms);
        desk.has_all(self.telemetry.committed_ms()) && desk.is_idle()
    }

    /// Runs until every source has ended, or it is asked to stop, or the feeder has ended.
    ///
    /// # Errors
    /// An error of the journal that cannot pass.
    pub(super) async fn run(mut self) -> Result<(), JournalError> {
        let mut next_files = monotonic();
        let outcome = loop {
            let mut gathered = self.gather().await;
            if gathered.is_ok() && monotonic() >= next_files {
                gathered = self.intake.poll_files();
                next_files = monotonic() + FILES_EVERY;
            }
            self.intake.start_imports();
            match gathered.and(self.commit().await) {
                Ok(()) => {}
                Err(error) => break Err(error),
            }
            let has_ended = self.stop.load(Ordering::Acquire) || self.has_ended();
            if self.seal().is_err() || has_ended {
                break Ok(());
            }
        };
        self.intake.stop().await;
        if outcome.is_ok() {
            self.handover.end();
        } else {
            self.handover.fail();
        }
        outcome
    }

    /// Takes and commits batches until it is time to seal.
    async fn gather(&mut self) -> Result<(), JournalError> {
        let deadline = monotonic() + SEAL_EVERY;
        loop {
            let now = monotonic();
            let is_full =
                self.open.as_ref().is_some_and(|open| open.records.len() >= SEAL_RECORDS_MAX);
            if now >= deadline || is_full || self.stop.load(Ordering::Acquire) {
                return Ok(());
            }
            let pause = (deadline - now).min(PAUSE_MAX);
            if self.intake.is_taking_again() {
                fail::fail_point!("again");
                self.intake.take_again(self.clock.now_ms().max(self.last_ms))?;
                fail::fail_point!("again-read");
                self.commit().await?;
                continue;
            }
            let may_wait = self.is_patient && !self.handover.has_room();
            if may_wait || self.intake.awaits_tables() {
                tokio::time::sleep(pause).await;
                continue;
            }
            let may_import = self.handover.has_room() && !self.telemetry.rows_wait();
            match tokio::time::timeout(pause, self.intake.receive(may_import)).await {
                Ok(Some(batch)) => {
                    let now_ms = self.clock.now_ms();
                    self.intake.take(batch, now_ms);
                    while self.intake.open_weight() < PART_RECORDS_MAX {
                        let Some(batch) = self.intake.receive_now() else { break };
                        self.intake.take(batch, now_ms);
                    }
                    self.commit().await?;
                }
                // All sources have let go; they only do so at their end.
                Ok(None) => {
                    tokio::time::sleep(pause).await;
                    return Ok(());
                }
                Err(_) => {}
            }
        }
    }

    /// Commits what was taken in as a part of the open tick, and acknowledges it.
    async fn commit(&mut self) -> Result<(), JournalError> {
        let Some(part) = self.intake.take_part() else { return Ok(()) };
        let OpenPart { records, facts, rejects, receipts, aliases } = part;
        let (clock, last_ms) = (&self.clock, self.last_ms);
        let open = self.open.get_or_insert_with(|| Sealed {
            ms: clock.now_ms().max(last_ms + 1),
            ..Sealed::default()
        });
        self.last_ms = open.ms;
        let positions = receipts.iter().flat_map(|(source, receipt)| {
            receipt.positions().into_iter().map(|position| (*source, position))
        });
        let positions: Vec<_> = positions.collect();
        let part = Part {
            ms: open.ms,
            records: &records,
            rejects: &rejects,
            facts: &facts,
            positions: &positions,
            aliases: aliases.as_ref(),
        };
        let patience = Patience::new(Target::Journal, &self.telemetry, &self.stop);
        if insist(&self.journal, &part, patience).await?.is_err() {
            return Ok(());
        }
        read_on(&mut self.positions, &positions, &self.journal.sources().all());
        open.records.extend(records);
        open.facts.extend(facts);
        open.rejects.extend(rejects);
        fail::fail_point!("before-ack");
        self.intake.acknowledge(receipts);
        fail::fail_point!("after-ack");
        Ok(())
    }

    /// Hands over the open tick, or an empty one: time passes.
    fn seal(&mut self) -> Result<(), Over> {
        let (clock, last_ms) = (&self.clock, self.last_ms);
        let mut sealed = self
            .open
            .take()
            .unwrap_or_else(|| Sealed { ms: clock.now_ms().max(last_ms + 1), ..Sealed::default() });
        self.last_ms = sealed.ms;
        // All parts up to here are of this tick, or of an earlier one.
        sealed.positions = Some(Arc::clone(&self.positions));
        self.intake.note_imports(sealed.ms);
        self.telemetry.note_seal(sealed.ms);
        fail::fail_point!("seal");
        let has_feeder = self.handover.push(sealed);
        fail::fail_point!("sealed");
        if has_feeder { Ok(()) } else { Err(Over) }
    }
}

/// Notes where sources are read on.
fn read_on(all: &mut Arc<Positions>, new: &[(u16, Position)], sources: &[Arc<str>]) {
    if new.is_empty() {
        return;
    }
    let all = Arc::make_mut(all);
    for (source, Position { stream, at }) in new {
        let of_source = all.entry(sources[usize::from(*source)].to_string()).or_default();
        of_source.insert(stream.clone(), at.clone());
    }
}

/// Appends until the disk takes it, or the pipeline is asked to stop: then nothing of it was acknowledged.
async fn insist(
    journal: &Journal,
    part: &Part<'_>,
    mut patience: Patience<'_>,
) -> Result<Result<(), Over>, JournalError> {
    loop {
        match journal.append(part) {
            Ok(()) => {
                patience.end();
                return Ok(Ok(()));
            }
            Err(error) => match patience.wait_after(error) {
                Ok(pause) => tokio::time::sleep(pause).await,
                Err(error) if error.may_pass() => {
                    tracing::warn!(
                        "the journal's disk is full: what came last is not acknowledged"
                    );
                    return Ok(Err(Over));
                }
                Err(error) => return Err(error),
            },
        }
    }
}
