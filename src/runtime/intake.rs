//! What comes in between two commits of the journal: records, facts and rejects, with the receipts to give
//! back.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use plumeline_connectors::{Batch, FactChange, Receipt, SourceHandle};
use plumeline_pipelines::model::{Fact, Outcome, Record, RejectEntry, RejectEvent};
use tokio::sync::mpsc::{Receiver, Sender, channel};

use super::handover::weight;
use super::imports::history;
use super::parked::Parked;
use super::starter::Starter;
use super::tables::Facts;
use super::telemetry::Telemetry;
use crate::config::Pipeline;
use crate::journal::Learned;

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
}

impl OpenPart {
    fn is_empty(&self) -> bool {
        self.records.is_empty()
            && self.facts.is_empty()
            && self.rejects.is_empty()
            && self.receipts.is_empty()
    }
}

/// Takes batches in.
#[derive(Debug)]
pub(super) struct Intake {
    facts: Facts,
    inbox: Receiver<Batch>,
    sources: BTreeMap<u16, SourceHandle>,
    starter: Starter,
    /// Batches of files of history, and where those send them.
    imports: (Sender<Batch>, Receiver<Batch>),
    parked: Parked,
    last_index: u64,
    open: OpenPart,
    telemetry: Arc<Telemetry>,
}

impl Intake {
    /// Takes in what `sources` send to `inbox`, and those that `starter` adds; the newest record so far has number
    /// `last_index`.
    #[must_use]
    pub(super) fn new(
        pipeline: &Pipeline,
        (mut facts, last_index): (Facts, u64),
        (inbox, sources, starter): (Receiver<Batch>, BTreeMap<u16, SourceHandle>, Starter),
        telemetry: Arc<Telemetry>,
    ) -> Self {
        facts.tell(&telemetry);
        let first = facts.take_first();
        let mut parked = Parked::new(pipeline.max_parked);
        facts.store().meters().for_each(|meter| parked.register(meter));
        let open = OpenPart::default();
        let imports = channel(IMPORTED_BATCHES_MAX);
        let mut intake =
            Self { facts, inbox, sources, starter, imports, parked, last_index, open, telemetry };
        intake.learn(None, first);
        intake
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
        for change in batch.facts {
            self.learn_from(source, &change);
        }
        self.open.records.reserve(batch.records.len());
        for mut record in batch.records {
            if let Record::Reading(reading) = &record
                && !self.parked.admit(reading.meter)
            {
                telemetry.count(source, Outcome::Rejected, 1);
                self.open.rejects.push(too_many_parked(&record));
                continue;
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
            let source = history(&path);
            let started = self.starter.add(&source, &self.imports.0).map(|(number, handle)| {
                tracing::info!(source = source.name, "a file of history is taken in");
                self.telemetry.name_source(number, &source.name);
                let status = Arc::clone(&handle.status);
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
        if imports.are_read() && self.imports.1.is_empty() {
            imports.note_end(ms);
        }
    }

    /// Looks whether files of tables have changed.
    pub(super) fn poll_files(&mut self) {
        let changes = self.facts.poll(&self.telemetry);
        self.learn(None, changes);
    }

    fn learn_from(&mut self, source: u16, change: &FactChange) {
        let outcome = match self.facts.learn(source, change) {
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

    /// Whether every source has ended by itself, and all it sent was taken.
    #[must_use]
    pub(super) fn has_ended(&self) -> bool {
        // The last batch of a source is sent before it says so: looked at in this order, none is missed.
        self.sources.values().all(|source| source.status.ended.load(Ordering::Acquire))
            && self.facts.have_settled()
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

fn count(length: usize) -> u64 {
    u64::try_from(length).expect("a length fits 64 bits")
}

fn signed(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
