//! What comes in between two seals: records, facts and rejects, with the receipts to give back.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use plumeline_connectors::{Batch, FactChange, Receipt, SourceConfig, SourceHandle};
use plumeline_pipelines::model::{Fact, Names, Outcome, Record, RejectEntry, RejectEvent};
use plumeline_sinks::delta::FactEntry;
use tokio::sync::mpsc::Receiver;

use super::ack_window::AckWindow;
use super::parked::Parked;
use super::telemetry::Telemetry;
use crate::config::{Pipeline, Problems, Tables};
use crate::facts::{FactStore, TABLES, Terms, Watcher, read_file, table_name, table_path};

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
    /// Reads the tables.
    ///
    /// # Errors
    /// All that is wrong with them.
    pub(super) fn load(pipeline: &Pipeline, names: &Arc<Names>) -> Result<Self, Problems> {
        let watcher = Watcher::new(&pipeline.tables);
        let mut facts = Self {
            store: FactStore::new(pipeline, Arc::clone(names)),
            tables: pipeline.tables.clone(),
            timezone: pipeline.timezone.clone(),
            period_ms: pipeline.policy.period_ms,
            watcher,
            first: Vec::new(),
        };
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
        let applied = facts.store.apply_files(&files)?;
        facts.first = applied.changes;
        Ok(facts)
    }

    fn terms<'a>(&'a self, names: &'a Names) -> Terms<'a> {
        Terms { names, timezone: &self.timezone, period_ms: self.period_ms }
    }

    /// Changes of files that have changed. A file with a mistake is not applied: the last good one stays.
    fn changed_files(&mut self, telemetry: &Telemetry) -> Vec<FactChange> {
        let mut changes = Vec::new();
        for changed in self.watcher.poll() {
            let table = table_name(changed.table);
            let names = self.store.names();
            let read = read_file(changed.table, &changed.path, self.terms(&names));
            match read.and_then(|file| self.store.apply_file(&file)) {
                Ok(applied) => {
                    telemetry.metrics.facts_reload_success(table).set(1);
                    let rows = applied.changes.len();
                    tracing::info!(table, rows, "the table changed and was applied");
                    changes.extend(applied.changes);
                }
                Err(problems) => {
                    telemetry.metrics.facts_reload_success(table).set(0);
                    tracing::error!(
                        table,
                        "the table is not applied, the last good one stays\n{problems}"
                    );
                }
            }
        }
        changes
    }
}

/// What is sealed together.
#[derive(Debug, Default)]
pub(super) struct Sealed {
    /// Records, numbered in the order they were taken in.
    pub records: Vec<Record>,
    /// Facts learned (1) and taken back (-1).
    pub facts: Vec<(Fact, i64)>,
    /// The same, for their tables.
    pub fact_rows: Vec<FactEntry>,
    /// Refused payloads.
    pub rejects: Vec<RejectEntry>,
    /// What to give back once all of it is committed.
    pub receipts: Vec<(u16, Receipt)>,
}

/// Takes batches in.
#[derive(Debug)]
pub(super) struct Intake {
    facts: Facts,
    inbox: Receiver<Batch>,
    sources: Vec<SourceHandle>,
    windows: Vec<AckWindow>,
    parked: Parked,
    next_index: u64,
    open: Sealed,
    telemetry: Arc<Telemetry>,
}

impl Intake {
    /// Takes in what `sources` send to `inbox`.
    #[must_use]
    pub(super) fn new(
        pipeline: &Pipeline,
        mut facts: Facts,
        inbox: Receiver<Batch>,
        sources: Vec<SourceHandle>,
        telemetry: Arc<Telemetry>,
    ) -> Self {
        let window = |config: &SourceConfig| match config {
            SourceConfig::Mqtt(mqtt) => u64::from(mqtt.receive_maximum),
            SourceConfig::Kafka(_) | SourceConfig::File(_) => 0,
        };
        let windows = pipeline.sources.iter().map(|s| AckWindow::new(window(&s.config))).collect();
        for table in TABLES.into_iter().filter(|t| table_path(&facts.tables, *t).is_some()) {
            telemetry.metrics.facts_reload_success(table_name(table)).set(1);
        }
        let first = std::mem::take(&mut facts.first);
        let mut intake = Self {
            facts,
            inbox,
            sources,
            windows,
            parked: Parked::new(pipeline.max_parked),
            next_index: 0,
            open: Sealed::default(),
            telemetry,
        };
        intake.learn(first);
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

    /// Takes in a batch; `now_ms` is the clock's, `wall_ms` the wall's since any beginning.
    pub(super) fn take(&mut self, batch: Batch, now_ms: i64, wall_ms: i64) {
        let source = batch.source;
        let telemetry = Arc::clone(&self.telemetry);
        telemetry.count(source, Outcome::Ignored, batch.ignored);
        telemetry.count(source, Outcome::Rejected, count(batch.rejects.len()));
        telemetry.note_lag(batch.records.last(), now_ms);
        self.windows[usize::from(source)].take(count(batch.receipt.owes()), wall_ms);
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
            self.next_index += 1;
            match &mut record {
                Record::Reading(reading) => reading.arrival.index = self.next_index,
                Record::Activity(activity) => activity.arrival.index = self.next_index,
            }
            self.open.records.push(record);
        }
        self.open.receipts.push((source, batch.receipt));
    }

    /// Looks whether files of tables have changed.
    pub(super) fn poll_files(&mut self) {
        let changes = self.facts.changed_files(&self.telemetry);
        self.learn(changes);
    }

    fn learn_from(&mut self, source: u16, change: &FactChange) {
        let outcome = match self.facts.store.apply_change(source, change) {
            Ok(changes) if changes.is_empty() => Outcome::Duplicate,
            Ok(changes) => {
                self.learn(changes);
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

    fn learn(&mut self, changes: Vec<FactChange>) {
        for FactChange { fact, withdrawn } in changes {
            if let Fact::Meter(row) = &fact
                && !withdrawn
            {
                self.parked.register(row.meter);
            }
            self.open.fact_rows.push(FactEntry { fact: fact.clone(), withdrawn });
            self.open.facts.push((fact, if withdrawn { -1 } else { 1 }));
        }
        self.telemetry.metrics.parked_readings().set(signed(self.parked.total()));
    }

    /// How many records wait to be sealed.
    #[must_use]
    pub(super) fn open_records(&self) -> usize {
        self.open.records.len()
    }

    /// Whether facts wait to be sealed.
    #[must_use]
    pub(super) fn has_facts(&self) -> bool {
        !self.open.facts.is_empty()
    }

    /// Whether a source may be waiting to be acknowledged.
    #[must_use]
    pub(super) fn source_waits(&self, wall_ms: i64) -> bool {
        self.windows.iter().any(|window| window.wants_cut(wall_ms))
    }

    /// Closes what is open.
    pub(super) fn seal(&mut self, is_cut: bool, wall_ms: i64) -> Sealed {
        if is_cut {
            self.windows.iter_mut().for_each(|window| window.cut(wall_ms));
        }
        self.telemetry.metrics.parked_readings().set(signed(self.parked.total()));
        std::mem::take(&mut self.open)
    }

    /// Gives receipts back: those of everything that was cut so far.
    pub(super) fn acknowledge(&mut self, receipts: Vec<(u16, Receipt)>, wall_ms: i64) {
        self.windows.iter_mut().for_each(|window| window.acknowledged(wall_ms));
        for (source, receipt) in receipts {
            if let Some(source) = self.sources.get(usize::from(source)) {
                source.ack(receipt);
            }
        }
    }

    /// Whether every source has ended by itself, and all it sent was taken.
    #[must_use]
    pub(super) fn has_ended(&self) -> bool {
        self.inbox.is_empty()
            && self.sources.iter().all(|source| source.status.ended.load(Ordering::Acquire))
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
    let arrival = match record {
        Record::Reading(reading) => reading.arrival,
        Record::Activity(activity) => activity.arrival,
    };
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
