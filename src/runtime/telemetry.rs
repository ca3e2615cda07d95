//! What a running pipeline shows: metrics, readiness, the published tick. Written by all its threads.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use plumeline_connectors::{SourceHandle, SourceStatus};
use plumeline_pipelines::model::{Outcome, Record, Tick};
use plumeline_sinks::delta::{CommitStats, Compacted};
use plumeline_sinks::prometheus::{Metrics, Published, render};

use super::clock::monotonic;
use super::imports::{Imports, Progress as ImportProgress};
use super::progress::{Footprint, Progress};
use super::stash::{Restated, Sums};
use crate::config::Pipeline;

/// One gram in 1e-21 kg.
const GRAM: i128 = 1_000_000_000_000_000_000;

/// Seals whose moment is noted until they are published: those of a quarter of an hour.
const SEALS_NOTED_MAX: usize = 4096;

/// See the module's documentation.
#[derive(Debug)]
pub struct Telemetry {
    /// The program's metrics.
    pub metrics: Metrics,
    pipeline: String,
    source_names: Mutex<BTreeMap<u16, String>>,
    sources: Mutex<BTreeMap<u16, Arc<SourceStatus>>>,
    /// Whether what lies below the horizon can be computed.
    has_history: AtomicBool,
    /// Files of history.
    imports: Imports,
    published: Mutex<Option<Arc<Published>>>,
    progress: Mutex<Progress>,
    restated: Mutex<Sums>,
    store_problem: Mutex<Option<String>>,
    journal_problem: Mutex<Option<String>>,
    recovery: Mutex<Option<String>>,
    restored: Mutex<Option<(usize, usize)>>,
    rows_wait: Vec<AtomicBool>,
    restatement_asked: AtomicBool,
    restating: Mutex<Option<usize>>,
    facts_asked: AtomicBool,
    facts_held: Mutex<Option<String>>,
    sealed: Mutex<BTreeMap<i64, std::time::Instant>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Telemetry {
    /// Nothing has happened yet.
    #[must_use]
    pub fn new(pipeline: &Pipeline) -> Self {
        let metrics = Metrics::new(env!("CARGO_PKG_VERSION"));
        for source in &pipeline.sources {
            for outcome in Outcome::ALL {
                metrics.readings_total(&source.name, outcome).inc_by(0);
            }
        }
        let names = (0..).zip(pipeline.sources.iter().map(|source| source.name.clone()));
        Self {
            metrics,
            pipeline: pipeline.name.clone(),
            source_names: Mutex::new(names.collect()),
            sources: Mutex::new(BTreeMap::new()),
            has_history: AtomicBool::new(false),
            imports: Imports::default(),
            published: Mutex::new(None),
            progress: Mutex::new(Progress::default()),
            restated: Mutex::new(Sums::default()),
            store_problem: Mutex::new(None),
            journal_problem: Mutex::new(None),
            recovery: Mutex::new(None),
            restored: Mutex::new(None),
            restatement_asked: AtomicBool::new(false),
            restating: Mutex::new(None),
            facts_asked: AtomicBool::new(false),
            facts_held: Mutex::new(None),
            rows_wait: (0..pipeline.workers).map(|_| AtomicBool::new(false)).collect(),
            sealed: Mutex::new(BTreeMap::new()),
        }
    }

    /// The pipeline's name.
    #[must_use]
    pub fn pipeline(&self) -> &str {
        &self.pipeline
    }

    /// Shows how a source does from now on.
    pub fn watch(&self, number: u16, source: &SourceHandle) {
        lock(&self.sources).insert(number, Arc::clone(&source.status));
    }

    /// What is counted of a source is shown under this name.
    pub fn name_source(&self, number: u16, name: &str) {
        lock(&self.source_names).insert(number, name.to_owned());
    }

    /// Whether there are tables of readings, so that what lies below the horizon can be computed.
    pub fn set_history(&self, has_history: bool) {
        self.has_history.store(has_history, Ordering::Release);
    }

    /// Files of history.
    pub fn imports(&self) -> &Imports {
        &self.imports
    }

    /// Whether what lies below the horizon can be computed.
    #[must_use]
    pub fn has_history(&self) -> bool {
        self.has_history.load(Ordering::Acquire)
    }

    /// How far files of history have come.
    #[must_use]
    pub fn import_progress(&self) -> ImportProgress {
        // First: what has become pending by what is in the ledger is known by then.
        let imports = self.imports.progress(self.committed_ms());
        ImportProgress {
            pending: self.pending(),
            permille: self.restating(),
            records: self.progress().outcomes.values().sum(),
            ..imports
        }
    }

    /// Bytes that sources have read of their files.
    #[must_use]
    pub fn read_bytes(&self) -> u64 {
        let sources = lock(&self.sources);
        sources.values().map(|source| source.read_bytes.load(Ordering::Relaxed)).sum()
    }

    /// Counts elements of a source.
    pub fn count(&self, source: u16, outcome: Outcome, count: u64) {
        if count == 0 {
            return;
        }
        if let Some(name) = lock(&self.source_names).get(&source) {
            self.metrics.readings_total(name, outcome).inc_by(count);
        }
        *lock(&self.progress).outcomes.entry(outcome.name()).or_default() += count;
    }

    /// Notes how far behind its stamp a record arrives: one of each batch, so that it costs nothing.
    pub fn note_lag(&self, record: Option<&Record>, now_ms: i64) {
        let at_ms = match record {
            Some(Record::Reading(reading)) => reading.at_ms,
            Some(Record::Activity(activity)) => activity.to_ms,
            None => return,
        };
        self.metrics.event_lag().observe(seconds(now_ms - at_ms).max(0.0));
    }

    /// Somebody asks for what is pending below the horizon to be restated now.
    pub fn ask_for_restatement(&self) {
        self.restatement_asked.store(true, Ordering::Release);
    }

    /// Whether somebody has asked since the last time.
    pub fn take_restatement_asked(&self) -> bool {
        self.restatement_asked.swap(false, Ordering::AcqRel)
    }

    /// Somebody asks for an edit of the tables that waits to be applied; whether one does.
    pub fn ask_for_facts(&self) -> bool {
        let does = lock(&self.facts_held).is_some();
        self.facts_asked.fetch_or(does, Ordering::AcqRel);
        does
    }

    /// Whether somebody has asked since the last time.
    pub fn take_facts_asked(&self) -> bool {
        self.facts_asked.swap(false, Ordering::AcqRel)
    }

    /// What an edit of the tables touches that waits; `None` if none does.
    pub fn set_facts_held(&self, held: Option<String>) {
        *lock(&self.facts_held) = held;
    }

    /// How far a restatement from below the horizon has come, in thousandths; `None` where none is under way.
    pub fn set_restating(&self, permille: Option<usize>) {
        *lock(&self.restating) = permille;
    }

    /// See [`Self::set_restating`].
    #[must_use]
    pub fn restating(&self) -> Option<usize> {
        *lock(&self.restating)
    }

    /// How many periods may change by what reaches below the horizon.
    #[must_use]
    pub fn pending(&self) -> i64 {
        self.metrics.pending_restatement_periods().get()
    }

    /// See [`Self::pending`].
    pub fn set_pending(&self, periods: u64) {
        let periods = i64::try_from(periods).unwrap_or(i64::MAX);
        self.metrics.pending_restatement_periods().set(periods);
    }

    /// Notes what restatements did.
    pub fn count_restated(&self, restated: &Restated) {
        for (reason, sums) in restated {
            self.metrics.restatements_total(reason.name()).inc_by(sums.entries);
            self.metrics.add_restated_co2e(reason.name(), sums.up);
            self.metrics.add_restated_co2e(reason.name(), -sums.down);
            let mut total = lock(&self.restated);
            total.up = total.up.saturating_add(sums.up);
            total.down = total.down.saturating_add(sums.down);
            let mut progress = lock(&self.progress);
            progress.restatements += sums.entries;
            progress.restated_up_grams = total.up / GRAM;
            progress.restated_down_grams = total.down / GRAM;
        }
    }

    /// A seal went to the workers.
    pub fn note_seal(&self, ms: i64) {
        let mut sealed = lock(&self.sealed);
        if sealed.len() < SEALS_NOTED_MAX {
            sealed.insert(ms, monotonic());
        }
    }

    /// A seal is published: everything up to its instant shows.
    pub fn publish(
        &self,
        ms: i64,
        published: Option<Arc<Published>>,
        footprints: Option<Vec<Footprint>>,
    ) {
        let mut sealed = lock(&self.sealed);
        // The latest one noted: where not all were, the lag is told a little too long.
        let noted = sealed.range(..=ms).next_back();
        let since = noted.map(|(_, since)| monotonic().duration_since(*since));
        sealed.retain(|other, _| *other > ms);
        drop(sealed);
        let lag_ms = since.map_or(0, |lag| i64::try_from(lag.as_millis()).unwrap_or(i64::MAX));
        self.metrics.tick_lag().set(seconds(lag_ms));
        if published.is_some() {
            *lock(&self.published) = published;
        }
        let mut progress = lock(&self.progress);
        progress.tick_lag_ms = lag_ms;
        if let Some(footprints) = footprints {
            progress.footprints = footprints;
        }
    }

    /// A cut is in the ledger.
    pub fn committed(&self, stats: &CommitStats) {
        self.metrics.commit_duration().observe(stats.duration.as_secs_f64());
        for table in stats.tables.keys() {
            self.metrics.commit_timestamp(table.name()).set(seconds(stats.cut.ms()));
        }
        let rows: usize = stats.tables.values().map(|table| table.rows).sum();
        tracing::debug!(cut = ?stats.cut, rows, duration = ?stats.duration, "committed");
    }

    /// Files of a table were merged.
    pub fn compacted(&self, compacted: &Compacted) {
        let Compacted { table, ledger, rows, files_in, bytes_in, files_out, bytes_out } =
            *compacted;
        let name = table.name();
        let files = u64::try_from(files_in).unwrap_or(u64::MAX);
        self.metrics.compacted_files_total(name).inc_by(files);
        self.metrics.compacted_bytes_total(name, "in").inc_by(bytes_in);
        self.metrics.compacted_bytes_total(name, "out").inc_by(bytes_out);
        self.metrics.compaction_timestamp(name).set(seconds(ledger.ms()));
        tracing::debug!(%table, rows, files_in, bytes_in, files_out, bytes_out, "merged files");
    }

    /// A cut is done.
    pub fn set_committed(&self, cut: Tick) {
        lock(&self.progress).committed_ms = Some(cut.ms());
    }

    /// The newest cut that is done, ms.
    #[must_use]
    pub fn committed_ms(&self) -> Option<i64> {
        lock(&self.progress).committed_ms
    }

    /// How long the newest tick that shows has taken, ms.
    #[must_use]
    pub fn tick_lag_ms(&self) -> i64 {
        lock(&self.progress).tick_lag_ms
    }

    /// What keeps the journal from taking anything.
    pub fn set_journal_problem(&self, problem: Option<String>) {
        *lock(&self.journal_problem) = problem;
    }

    /// How far the state is restored; `None` once the dataflow has caught up.
    pub fn set_recovery(&self, progress: Option<String>) {
        *lock(&self.recovery) = progress;
    }

    /// So many of so many records are restored; `None` where nothing is.
    pub fn set_restored(&self, restored: Option<(usize, usize)>) {
        *lock(&self.restored) = restored;
    }

    /// How many of how many records are restored, while they are.
    #[must_use]
    pub fn restored(&self) -> Option<(usize, usize)> {
        *lock(&self.restored)
    }

    /// How far the state is restored; `None` once the dataflow has caught up.
    #[must_use]
    pub fn recovery(&self) -> Option<String> {
        lock(&self.recovery).clone()
    }

    /// What keeps the store from taking a commit.
    pub fn set_store_problem(&self, problem: Option<String>) {
        *lock(&self.store_problem) = problem;
    }

    /// A worker holds more rows than it should, or no longer does.
    pub fn set_rows_wait(&self, worker: usize, waits: bool) {
        if let Some(flag) = self.rows_wait.get(worker) {
            flag.store(waits, Ordering::Relaxed);
        }
    }

    /// Whether any worker holds more rows than it should.
    #[must_use]
    pub fn rows_wait(&self) -> bool {
        self.rows_wait.iter().any(|flag| flag.load(Ordering::Relaxed))
    }

    /// How the pipeline does.
    #[must_use]
    pub fn progress(&self) -> Progress {
        lock(&self.progress).clone()
    }

    fn named_sources(&self) -> Vec<(String, Arc<SourceStatus>)> {
        let (names, sources) = (lock(&self.source_names), lock(&self.sources));
        let pair = |(number, status): (&u16, &Arc<SourceStatus>)| {
            Some((names.get(number)?.clone(), Arc::clone(status)))
        };
        sources.iter().filter_map(pair).collect()
    }

    /// Why sources do not read.
    #[must_use]
    pub fn problems(&self) -> Vec<String> {
        let sources = self.named_sources().into_iter();
        sources
            .filter_map(|(name, status)| Some(format!("{name}: {}", status.problem()?)))
            .collect()
    }

    /// The page of `/metrics`.
    #[must_use]
    pub fn metrics_page(&self) -> String {
        for (name, status) in self.named_sources() {
            let connected = status.connected.load(Ordering::Relaxed);
            self.metrics.source_connected(&name).set(i64::from(connected));
            let last_ms = status.last_message_ms.load(Ordering::Relaxed);
            if last_ms > 0 {
                self.metrics.source_last_message_timestamp(&name).set(seconds(last_ms));
            }
            for (partition, records) in status.lag() {
                self.metrics.kafka_lag(&name, &partition.to_string()).set(records);
            }
        }
        let published = lock(&self.published).clone();
        render(&self.metrics, published.as_deref())
    }

    /// Whether readings are taken in, and what is degraded.
    #[must_use]
    pub fn readiness(&self) -> (bool, String) {
        let mut body = String::new();
        let mut is_ready = true;
        for (name, status) in self.named_sources() {
            let ended = status.ended.load(Ordering::Acquire);
            if let Some(problem) = status.problem() {
                is_ready = false;
                // Writing to a `String` cannot fail.
                writeln!(body, "source \"{name}\": {problem}").unwrap_or_default();
            } else if !status.connected.load(Ordering::Relaxed) && !ended {
                is_ready = false;
                writeln!(body, "source \"{name}\": not connected yet").unwrap_or_default();
            }
        }
        if let Some(problem) = &*lock(&self.store_problem) {
            is_ready = false;
            writeln!(body, "ledger: {problem}").unwrap_or_default();
        }
        if let Some(problem) = &*lock(&self.journal_problem) {
            is_ready = false;
            writeln!(body, "journal: {problem}").unwrap_or_default();
        }
        if let Some(progress) = self.recovery() {
            is_ready = false;
            writeln!(body, "footprints are withheld: {progress}").unwrap_or_default();
        }
        if is_ready {
            body.push_str("ready\n");
        }
        // All else goes on as it was.
        if let Some(held) = &*lock(&self.facts_held) {
            writeln!(body, "an edit of the tables waits for `plumeline facts apply`: {held}")
                .unwrap_or_default();
        }
        (is_ready, body)
    }
}

/// Whole milliseconds as the seconds that metrics are told in.
#[expect(clippy::cast_precision_loss, reason = "metrics are floats; nothing is summed from them")]
fn seconds(ms: i64) -> f64 {
    ms as f64 / 1000.0
}
