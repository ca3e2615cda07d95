//! What comes in between two commits of the journal: records, facts and rejects, with the receipts to give
//! back. Readings come under the name of their meter, or another one of it: see [`super::door`].

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use plumeline_connectors::{Batch, FactChange, Receipt, SourceHandle};
use plumeline_pipelines::model::{
    Fact, Id, Names, Outcome, Reading, Record, RejectEntry, RejectEvent,
};
use tokio::sync::mpsc::{Receiver, Sender, channel};

use super::about;
use super::door::Door;
use super::handover::weight;
use super::imports::history;
use super::parked::Parked;
use super::starter::Starter;
use super::tables::Facts;
use super::telemetry::Telemetry;
use crate::config::Pipeline;
use crate::journal::{Aliases, JournalError, Learned};

/// Other names of meters that a line of the log tells at most.
const NAMES_TOLD_MAX: usize = 10;

/// Batches of files of history that may wait: they are in no hurry.
const IMPORTED_BATCHES_MAX: usize = 4;

/// What is committed to the journal together.
#[derive(Debug, Default)]
pub(super) struct OpenPart {
    /// Records, numbered in the order they were taken in.
    pub records: Vec<Record>,
    /// Facts.
    pub facts: Vec<Learned>,
    /// Refused payloads.
    pub rejects: Vec<RejectEntry>,
    /// What to give back once all of it is committed.
    pub receipts: Vec<(u16, Receipt)>,
    /// Other names of meters, if something about them has changed.
    pub aliases: Option<Aliases>,
}

impl OpenPart {
    fn is_empty(&self) -> bool {
        self.records.is_empty()
            && self.facts.is_empty()
            && self.rejects.is_empty()
            && self.receipts.is_empty()
            && self.aliases.is_none()
    }
}

/// Takes batches in.
#[derive(Debug)]
pub(super) struct Intake {
    facts: Facts,
    door: Door,
    inbox: Receiver<Batch>,
    sources: BTreeMap<u16, SourceHandle>,
    starter: Starter,
    /// Batches of files of history, and where those send them.
    imports: (Sender<Batch>, Receiver<Batch>),
    /// The numbers of those files.
    imported: BTreeSet<u16>,
    parked: Parked,
    last_index: u64,
    open: OpenPart,
    telemetry: Arc<Telemetry>,
}

impl Intake {
    /// Takes in what `sources` send to `inbox`, and those that `starter` adds; the newest record so far has number
    /// `last_index`.
    ///
    /// # Errors
    /// If the journal cannot be read.
    pub(super) fn new(
        pipeline: &Pipeline,
        (mut facts, door, last_index): (Facts, Door, u64),
        (inbox, sources, starter): (Receiver<Batch>, BTreeMap<u16, SourceHandle>, Starter),
        telemetry: Arc<Telemetry>,
    ) -> Result<Self, JournalError> {
        facts.tell(&telemetry);
        let first = facts.take_first();
        let mut parked = Parked::new(pipeline.max_parked);
        facts.store().meters().for_each(|meter| parked.register(meter));
        let open = OpenPart::default();
        let imports = channel(IMPORTED_BATCHES_MAX);
        let mut intake = Self {
            facts,
            door,
            inbox,
            sources,
            starter,
            imports,
            imported: BTreeSet::new(),
            parked,
            last_index,
            open,
            telemetry,
        };
        intake.learn(None, first);
        intake.learn_aliases()?;
        Ok(intake)
    }

    /// The next batch: a live one if there is one; `None` when all sources have let go.
    ///
    /// # Cancel safety
    /// Nothing is lost if it is dropped.
    pub(super) async fn receive(&mut self, may_import: bool) -> Option<Batch> {
        tokio::select! {
            biased;
            Some(batch) = self.inbox.recv() => Some(batch),
            Some(batch) = self.imports.1.recv(), if may_import => Some(batch),
            else => None,
        }
    }

    /// What has come already.
    pub(super) fn receive_now(&mut self) -> Option<Batch> {
        self.inbox.try_recv().ok()
    }

    /// Takes in a batch; `now_ms` is the clock's.
    pub(super) fn take(&mut self, batch: Batch, now_ms: i64) {
        let source = batch.source;
        let telemetry = Arc::clone(&self.telemetry);
        telemetry.count(source, Outcome::Ignored, batch.ignored);
        telemetry.count(source, Outcome::Rejected, count(batch.rejects.len()));
        telemetry.note_lag(batch.records.last(), now_ms);
        self.open.rejects.extend(batch.rejects);
        for told in batch.facts {
            self.learn_from(source, &told);
        }
        self.open.records.reserve(batch.records.len());
        for mut record in batch.records {
            if let Record::Reading(reading) = &mut record {
                reading.meter = self.door.meter_of(reading.meter);
                if !self.parked.admit(reading.meter) {
                    telemetry.count(source, Outcome::Rejected, 1);
                    self.open.rejects.push(too_many_parked(&record));
                    continue;
                }
            }
            self.last_index += 1;
            record.arrival_mut().index = self.last_index;
            self.open.records.push(record);
        }
        self.open.receipts.push((source, batch.receipt));
    }

    /// Starts with files of history that were asked for. *A disk of the journal that is full refuses one, too: it may
    /// be asked for again.*
    pub(super) fn start_imports(&mut self) {
        let imports = self.telemetry.imports();
        for path in imports.take_asked() {
            // Anything else may wait for ever to be opened, and all that is live with it.
            if !std::fs::metadata(&path).is_ok_and(|data| data.is_file()) {
                imports.started(path, Err("it is no file, or cannot be read".to_owned()));
                continue;
            }
            let source = history(&path);
            let started = self.starter.add(&source, &self.imports.0).map(|(number, handle)| {
                tracing::info!(source = source.name, "a file of history is taken in");
                self.telemetry.name_source(number, &source.name);
                let status = Arc::clone(&handle.status);
                self.imported.insert(number);
                // One that was read before has nothing more to acknowledge.
                drop(self.sources.insert(number, handle));
                status
            });
            imports.started(path, started.map_err(|error| crate::chain(&error)));
        }
    }

    /// Notes where no file of history is being read, and all of those that were is taken in by the tick at `ms`.
    pub(super) fn note_imports(&self, ms: i64) {
        let imports = self.telemetry.imports();
        // The last batch of a file is sent before it says so: looked at in this order, none is missed.
        if imports.have_ended() && self.imports.1.is_empty() {
            imports.note_end(ms);
        }
    }

    /// Looks whether files of tables have changed; they wait while something is taken in again.
    ///
    /// # Errors
    /// If the journal cannot be read.
    pub(super) fn poll_files(&mut self) -> Result<(), JournalError> {
        if self.is_taking_again() {
            return Ok(());
        }
        let changes = self.facts.poll(&self.telemetry);
        self.learn(None, changes);
        self.learn_aliases()
    }

    /// Whether batches have to wait for the tables that they come under.
    #[must_use]
    pub(super) fn awaits_tables(&self) -> bool {
        self.facts.are_awaited()
    }

    /// Whether something is left that came before its name was known: batches wait for it.
    #[must_use]
    pub(super) fn is_taking_again(&self) -> bool {
        self.door.is_taking_again()
    }

    /// Takes in again some of what came before its name was known; `now_ms` is the clock's.
    ///
    /// # Errors
    /// If the journal cannot be read.
    pub(super) fn take_again(&mut self, now_ms: i64) -> Result<(), JournalError> {
        let names = self.facts.store().names();
        let readings = self.door.next(now_ms)?;
        if readings.is_empty() && self.is_taking_again() {
            // How far that was need not be known: it is looked at once more.
            return Ok(());
        }
        for mut reading in readings {
            let meter = self.door.meter_of(reading.meter);
            self.open.rejects.push(no_longer_parked(&reading, meter, &names));
            self.last_index += 1;
            (reading.meter, reading.arrival.index) = (meter, self.last_index);
            self.open.records.push(Record::Reading(reading));
        }
        self.open.aliases = Some(self.door.aliases().clone());
        Ok(())
    }

    fn learn_aliases(&mut self) -> Result<(), JournalError> {
        let Some(meters) = self.facts.take_aliases() else { return Ok(()) };
        let (count, names) = (meters.len(), self.facts.store().names());
        for alias in meters.keys() {
            self.parked.release(*alias);
        }
        let new = self.door.learn(meters)?;
        self.open.aliases = Some(self.door.aliases().clone());
        tracing::info!(names = count, new, "other names of meters have changed");
        if let Some(again) = &self.door.aliases().again {
            let told = again.names.iter().take(NAMES_TOLD_MAX).map(|id| names.name(*id));
            let told = told.collect::<Vec<_>>().join(", ");
            tracing::info!("what the journal holds under new ones is taken in again: {told}");
        }
        fail::fail_point!("aliases-known");
        Ok(())
    }

    fn learn_from(&mut self, source: u16, told: &[FactChange]) {
        let outcome = match self.facts.learn(source, told) {
            Ok(changes) if changes.is_empty() => Outcome::Duplicate,
            Ok(changes) => {
                self.learn(Some(source), changes);
                Outcome::Booked
            }
            Err(problem) => {
                self.open.rejects.push(RejectEntry {
                    source,
                    position: 0,
                    element: 0,
                    event: RejectEvent::Rejected,
                    reason: problem.to_string(),
                    raw: Vec::new(),
                });
                Outcome::Rejected
            }
        };
        self.telemetry.count(source, outcome, 1);
    }

    fn learn(&mut self, source: Option<u16>, changes: Vec<FactChange>) {
        for change in changes {
            if let Fact::Meter(row) = &change.fact
                && !change.withdrawn
            {
                self.parked.register(row.meter);
            }
            self.open.facts.push(Learned { source, change });
        }
    }

    /// What waits to be committed, in records.
    #[must_use]
    pub(super) fn open_weight(&self) -> usize {
        self.open.records.len() + weight(&self.open.rejects)
    }

    /// What was taken in since the last time; `None` if that is nothing.
    pub(super) fn take_part(&mut self) -> Option<OpenPart> {
        self.telemetry.metrics.parked_readings().set(signed(self.parked.total()));
        (!self.open.is_empty()).then(|| std::mem::take(&mut self.open))
    }

    /// Gives receipts back.
    pub(super) fn acknowledge(&mut self, receipts: Vec<(u16, Receipt)>) {
        for (source, receipt) in receipts {
            if let Some(source) = self.sources.get(&source) {
                source.ack(receipt);
            }
        }
    }

    /// Whether every source has ended by itself, and all it sent was taken; a file of history that cannot be read on has
    /// ended, too, and so has any where `is_alone`: there is nothing to wait for.
    #[must_use]
    pub(super) fn has_ended(&self, is_alone: bool) -> bool {
        // The last batch of a source is sent before it says so: looked at in this order, none is missed.
        let has_ended = |(number, source): (&u16, &SourceHandle)| {
            let may_fail = is_alone || self.imported.contains(number);
            source.status.ended.load(Ordering::Acquire)
                || (may_fail && source.status.problem().is_some())
        };
        self.sources.iter().all(has_ended)
            && self.facts.have_settled()
            && !self.awaits_tables()
            && !self.is_taking_again()
            && self.inbox.is_empty()
            && self.imports.1.is_empty()
    }

    /// Stops all sources, at the same time; acknowledgements given before still go out.
    pub(super) async fn stop(&mut self) {
        let mut stopping = tokio::task::JoinSet::new();
        for source in std::mem::take(&mut self.sources).into_values() {
            stopping.spawn(source.stop());
        }
        while let Some(stopped) = stopping.join_next().await {
            if stopped.is_err() {
                tracing::error!("a source panicked while it stopped");
            }
        }
    }
}

fn too_many_parked(record: &Record) -> RejectEntry {
    let arrival = *record.arrival();
    RejectEntry {
        source: arrival.source,
        position: arrival.position,
        element: arrival.element,
        event: RejectEvent::Rejected,
        reason: "meter not registered, and max_parked readings wait already".to_owned(),
        raw: Vec::new(),
    }
}

/// Ends what was said of a reading that waited under another name of its meter.
fn no_longer_parked(reading: &Reading, meter: Id, names: &Names) -> RejectEntry {
    let Reading { at_ms, arrival, .. } = *reading;
    let about = about(&names.name(reading.meter), at_ms);
    RejectEntry {
        source: arrival.source,
        position: arrival.position,
        element: arrival.element,
        event: RejectEvent::Resolved,
        reason: format!("{about}taken in as a reading of `{}`", names.name(meter)),
        raw: Vec::new(),
    }
}

fn count(length: usize) -> u64 {
    u64::try_from(length).expect("a length fits 64 bits")
}

fn signed(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
