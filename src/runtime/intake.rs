//! What comes in between two commits of the journal: records, facts and rejects, with the receipts to give
//! back.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use plumeline_connectors::{Batch, FactChange, Receipt, SourceHandle};
use plumeline_pipelines::model::{Fact, Names, Outcome, Record, RejectEntry, RejectEvent};
use tokio::sync::mpsc::Receiver;

use super::handover::weight;
use super::parked::Parked;
use super::telemetry::Telemetry;
use crate::config::{Pipeline, Problems, Tables};
use crate::facts::{FactStore, TABLES, Table, Terms, Watcher, read_file, table_name, table_path};
use crate::journal::{FactLine, Learned};

/// The facts that hold, and the files they come from.
#[derive(Debug)]
pub(super) struct Facts {
    store: FactStore,
    tables: Tables,
    timezone: jiff::tz::TimeZone,
    period_ms: i64,
    watcher: Watcher,
    first: Vec<FactChange>,
}

impl Facts {
    /// Reads the tables; after a restart, goes on from what was `journaled`, and reads those files again that
    /// have settled, as if they had just changed.
    ///
    /// # Errors
    /// At the first start, all that is wrong with them.
    pub(super) fn load(
        pipeline: &Pipeline,
        names: &Arc<Names>,
        journaled: &[FactLine],
    ) -> Result<Self, Problems> {
        let is_first = journaled.is_empty();
        let mut facts = Self {
            store: FactStore::new(pipeline, Arc::clone(names)),
            tables: pipeline.tables.clone(),
            timezone: pipeline.timezone.clone(),
            period_ms: pipeline.policy.period_ms,
            watcher: Watcher::new(&pipeline.tables, is_first),
            first: Vec::new(),
        };
        for FactLine { learned: Learned { source, change }, .. } in journaled {
            facts.store.recall(*source, change);
        }
        if !is_first {
            return Ok(facts);
        }
        let mut problems = Problems::new();
        let mut files = Vec::new();
        for table in TABLES {
            if let Some(path) = table_path(&facts.tables, table) {
                match read_file(table, path, facts.terms(names)) {
                    Ok(file) => files.push(file),
                    Err(wrong) => problems.extend(wrong),
                }
            }
        }
        if problems.errors() > 0 {
            return Err(problems);
        }
        fail::fail_point!("facts-read");
        let applied = facts.store.apply_files(&files)?;
        facts.first = applied.changes;
        Ok(facts)
    }

    fn terms<'a>(&'a self, names: &'a Names) -> Terms<'a> {
        Terms { names, timezone: &self.timezone, period_ms: self.period_ms }
    }

    /// Changes of files that have changed. Those that changed together are applied together; a file with a
    /// mistake is not applied: the last good one stays.
    fn changed_files(&mut self, telemetry: &Telemetry) -> Vec<FactChange> {
        let names = self.store.names();
        let mut files = Vec::new();
        for changed in self.watcher.poll() {
            match read_file(changed.table, &changed.path, self.terms(&names)) {
                Ok(file) => files.push(file),
                Err(problems) => not_applied(changed.table, &problems, telemetry),
            }
        }
        if !files.is_empty() {
            fail::fail_point!("facts-changed");
        }
        if let Ok(applied) = self.store.apply_files(&files) {
            for file in &files {
                telemetry.metrics.facts_reload_success(table_name(file.table)).set(1);
            }
            if !applied.changes.is_empty() {
                let tables: Vec<_> = files.iter().map(|file| table_name(file.table)).collect();
                let rows = applied.changes.len();
                tracing::info!(tables = tables.join(", "), rows, "tables changed and were applied");
            }
            return applied.changes;
        }
        // One of them is at fault: the others are applied all the same, where they can do without it.
        let mut changes = Vec::new();
        for file in &files {
            let table = table_name(file.table);
            match self.store.apply_file(file) {
                Ok(applied) => {
                    telemetry.metrics.facts_reload_success(table).set(1);
                    let rows = applied.changes.len();
                    tracing::info!(table, rows, "the table changed and was applied");
                    changes.extend(applied.changes);
                }
                Err(problems) => not_applied(file.table, &problems, telemetry),
            }
        }
        changes
    }
}

fn not_applied(table: Table, problems: &Problems, telemetry: &Telemetry) {
    let table = table_name(table);
    telemetry.metrics.facts_reload_success(table).set(0);
    tracing::error!(table, "the table is not applied, the last good one stays\n{problems}");
}

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
    sources: Vec<SourceHandle>,
    parked: Parked,
    last_index: u64,
    open: OpenPart,
    telemetry: Arc<Telemetry>,
}

impl Intake {
    /// Takes in what `sources` send to `inbox`; the newest record so far has number `last_index`.
    #[must_use]
    pub(super) fn new(
        pipeline: &Pipeline,
        (mut facts, last_index): (Facts, u64),
        inbox: Receiver<Batch>,
        sources: Vec<SourceHandle>,
        telemetry: Arc<Telemetry>,
    ) -> Self {
        for table in TABLES.into_iter().filter(|t| table_path(&facts.tables, *t).is_some()) {
            telemetry.metrics.facts_reload_success(table_name(table)).set(1);
        }
        let first = std::mem::take(&mut facts.first);
        let mut parked = Parked::new(pipeline.max_parked);
        facts.store.meters().for_each(|meter| parked.register(meter));
        let open = OpenPart::default();
        let mut intake = Self { facts, inbox, sources, parked, last_index, open, telemetry };
        intake.learn(None, first);
        intake
    }

    /// The next batch; `None` when all sources have let go.
    ///
    /// # Cancel safety
    /// Nothing is lost if it is dropped.
    pub(super) async fn receive(&mut self) -> Option<Batch> {
        self.inbox.recv().await
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

    /// Looks whether files of tables have changed.
    pub(super) fn poll_files(&mut self) {
        let changes = self.facts.changed_files(&self.telemetry);
        self.learn(None, changes);
    }

    fn learn_from(&mut self, source: u16, change: &FactChange) {
        let outcome = match self.facts.store.apply_change(source, change) {
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
            if let Some(source) = self.sources.get(usize::from(source)) {
                source.ack(receipt);
            }
        }
    }

    /// Whether every source has ended by itself, and all it sent was taken.
    #[must_use]
    pub(super) fn has_ended(&self) -> bool {
        // The last batch of a source is sent before it says so: looked at in this order, none is missed.
        self.sources.iter().all(|source| source.status.ended.load(Ordering::Acquire))
            && self.facts.watcher.has_settled()
            && self.inbox.is_empty()
    }

    /// Stops all sources, at the same time; acknowledgements given before still go out.
    pub(super) async fn stop(&mut self) {
        let mut stopping = tokio::task::JoinSet::new();
        for source in self.sources.drain(..) {
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
