//! The tables read back, cut by cut: for those who compute the ledger again.
//!
//! 1. The newest commit of `activity` says up to which cut everything is there; later rows are left alone.
//! 2. Live files are listed from the logs and read in the order of their first cut, one at a time. A file of one
//!    cut is read when that cut is due. *Memory holds that cut.*
//! 3. A merged file holds rows of many cuts, in the order of their keys: rows are told apart by `recorded_at`. It is read
//!    in **windows** of cuts, with the others of its day: each pass takes in the rows of the next cuts, as many as
//!    [`ROWS_HELD_MAX`] allows, and lets go of later ones as soon as there are more. *So memory holds a bounded number of
//!    rows, or one cut, however large a day is; its price is that a day of n such windows is read n times, though only
//!    times are decoded of what is not taken, and row groups that hold none of the window are skipped.*
//! 4. Rows become the values that were written, names interned anew, and sources numbered: those of the pipeline file
//!    as they are there, then others as they are met. A value that is none is an error that
//!    names file and column: somebody has changed it.

mod booked;
#[cfg(test)]
mod booked_tests;
mod columns;
mod contracts;
mod decode;
mod live_file;
mod put;
#[cfg(test)]
mod sums_tests;
#[cfg(test)]
mod tests;
mod window;

use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use arrow::array::RecordBatch;
use bytes::Bytes;
use object_store::ObjectStoreExt;
use plumeline_pipelines::model::time::DAY_MS;
use plumeline_pipelines::model::{
    ActivityDataEntry, ActivityKey, Cause, Emission, EmissionKey, FootprintKey, GwpSet, Id,
    Measure, Names, PendingEntry, ReadingEntry, RejectEntry, RestatedEntry, Tick,
};

use super::engine::Engine;
use super::error::LakeError;
use super::lake::LakeConfig;
use super::log::TableLog;
use super::place::{Place, folder_day_ms};
use super::proof::Proof;
use super::rows::FactEntry;
use super::table::TableName;
pub use booked::{Asked, Booked};
use columns::Columns;
use decode::Decoder;
use live_file::LiveFile;
use put::Put;
use window::{Window, rows_in};

/// Rows of merged files that are held at most, but for those of one cut: some 150 MB.
const ROWS_HELD_MAX: usize = 1024 * 1024;

/// What the tables hold of one cut, in no order.
#[derive(Clone, Debug, Default)]
pub struct CutRows {
    /// Of `meters`, `factors`, `nodes`.
    pub facts: Vec<FactEntry>,
    /// Of `readings`.
    pub readings: Vec<ReadingEntry>,
    /// Of `activity_data`.
    pub activity_data: Vec<ActivityDataEntry>,
    /// Of `activity`.
    pub activity: Vec<(ActivityKey, Measure)>,
    /// Of `emissions`.
    pub emissions: Vec<(EmissionKey, Emission)>,
    /// Why each of `emissions` was written, in their order: a name, since later programs have more.
    pub reasons: Vec<Id>,
    /// Of `footprints`.
    pub footprints: Vec<(FootprintKey, Emission)>,
    /// The GWP set that the CO2e of `emissions` is in; `None` where it has no rows.
    pub gwp: Option<GwpSet>,
    /// Of `pending_restatements`.
    pub pending: Vec<PendingEntry>,
    /// Of `restatements`.
    pub restated: Vec<RestatedEntry>,
    /// Of `rejects`, without the payloads; only where they are asked for.
    pub rejects: Vec<RejectEntry>,
}

impl CutRows {
    /// How many rows there are.
    fn count(&self) -> usize {
        self.facts.len()
            + self.readings.len()
            + self.activity_data.len()
            + self.activity.len()
            + self.emissions.len()
            + self.footprints.len()
            + self.pending.len()
            + self.restated.len()
            + self.rejects.len()
    }
}

/// See the module's documentation.
#[derive(Debug)]
pub struct LakeReader {
    engine: Engine,
    config: LakeConfig,
    names: Arc<Names>,
    committed: Option<Tick>,
    /// Up to which cut rows are given.
    until: Option<Tick>,
    /// The newest cut of each table.
    tables: BTreeMap<TableName, Option<Tick>>,
    proof: Option<Proof>,
    /// Names of sources by their number.
    sources: RefCell<Vec<String>>,
    /// Of one cut each.
    files: VecDeque<LiveFile>,
    /// Of several; ascending.
    merged: Vec<LiveFile>,
    /// Rows of merged files of all cuts before this one were taken in.
    loaded: Tick,
    total: usize,
    rows: u64,
    pending: BTreeMap<Tick, CutRows>,
    rows_held_max: usize,
}

impl LakeReader {
    /// Opens the tables of `config` to read them, as of now.
    ///
    /// # Errors
    /// If they cannot be read, or are another pipeline's.
    pub fn open(config: LakeConfig, names: Arc<Names>) -> Result<Self, LakeError> {
        // Nothing of the ledger rests on what was refused.
        Self::of(config, names, |table| table != TableName::Rejects)
    }

    /// Opens these tables alone.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn of(
        config: LakeConfig,
        names: Arc<Names>,
        is_read: impl Fn(TableName) -> bool,
    ) -> Result<Self, LakeError> {
        Self::on(Engine::new(Place::open(&config.url)?)?, config, names, is_read)
    }

    fn on(
        engine: Engine,
        config: LakeConfig,
        names: Arc<Names>,
        is_read: impl Fn(TableName) -> bool,
    ) -> Result<Self, LakeError> {
        let owner = config.owner();
        // First, since it commits last: every table read after it has all rows up to its cut.
        let activity = TableLog::find(&engine, TableName::Activity, &owner)?;
        let committed = activity.as_ref().and_then(TableLog::committed);
        let proof = activity.as_ref().map(|log| log.proof(&engine)).transpose()?.flatten();
        let (mut files, mut rows) = (Vec::new(), 0);
        let mut tables = BTreeMap::new();
        for table in TableName::ALL.into_iter().filter(|table| is_read(*table)) {
            let Some(log) = TableLog::find(&engine, table, &owner)? else { continue };
            tables.insert(table, log.committed());
            log.each_file(&engine, |file| {
                // Where the log does not say, a file counts as none.
                rows += file.rows.unwrap_or_default();
                files.push(LiveFile::new(table, file.path));
            })?;
        }
        files.sort_unstable();
        let total = files.len();
        let (files, merged): (Vec<_>, Vec<_>) =
            files.into_iter().partition(LiveFile::is_of_one_cut);
        let sources = RefCell::new(config.sources.all().iter().map(ToString::to_string).collect());
        Ok(Self {
            engine,
            config,
            names,
            committed,
            until: committed,
            tables,
            proof,
            sources,
            files: files.into(),
            merged,
            loaded: Tick::ZERO,
            total,
            rows,
            pending: BTreeMap::new(),
            rows_held_max: ROWS_HELD_MAX,
        })
    }

    /// Gives rows up to this cut, and not only up to the newest that all tables have. To be said before any is read.
    #[must_use]
    pub fn until(mut self, until: Option<Tick>) -> Self {
        self.until = until;
        self
    }

    /// The newest cut that all tables have.
    #[must_use]
    pub fn committed(&self) -> Option<Tick> {
        self.committed
    }

    /// The newest cut of each table that is read. One after [`Self::committed`] was reached by a commit that did not
    /// come to its end.
    #[must_use]
    pub fn tables(&self) -> &BTreeMap<TableName, Option<Tick>> {
        &self.tables
    }

    /// Names of sources by their number in what was read: those of the pipeline file first.
    #[must_use]
    pub fn sources(&self) -> Vec<String> {
        self.sources.borrow().clone()
    }

    /// What its commit says.
    #[must_use]
    pub fn proof(&self) -> Option<&Proof> {
        self.proof.as_ref()
    }

    /// Files that were read, and all.
    #[must_use]
    pub fn progress(&self) -> (usize, usize) {
        (self.total - self.files.len() - self.merged.len(), self.total)
    }

    /// How many rows there are to read, about.
    #[must_use]
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// The rows of the next cut that has any; `None` after the last.
    ///
    /// # Errors
    /// If a file cannot be read, or holds a value that was not written so.
    pub fn next_cut(&mut self) -> Result<Option<(Tick, CutRows)>, LakeError> {
        loop {
            let held = self.pending.keys().next().copied();
            let one = self.files.front().map(|file| file.first);
            let merged = self.merged.iter().map(|file| file.first.max(self.loaded)).min();
            let comes_first = |tick: Tick, other: Option<Tick>| other.is_none_or(|o| tick <= o);
            if let Some(tick) =
                merged.filter(|&tick| comes_first(tick, one) && comes_first(tick, held))
            {
                self.load(tick)?;
            } else if one.is_some_and(|tick| comes_first(tick, held)) {
                let Some(file) = self.files.pop_front() else { continue };
                if Some(file.first) <= self.until {
                    self.read(&file, Window::ALL, |_| true)?;
                }
            } else {
                return Ok(self.pending.pop_first());
            }
        }
    }

    /// Takes in the rows of the next cuts of merged files, the earliest of which may be of `from`. Nothing is pending:
    /// whatever was comes before it.
    fn load(&mut self, from: Tick) -> Result<(), LakeError> {
        debug_assert!(self.pending.is_empty());
        // Those of one day overlap; no other day's do.
        let mut last = from;
        for file in &self.merged {
            if file.first <= last {
                last = last.max(file.last);
            }
        }
        let mut window = Window { from, end: Tick(last.0.saturating_add(1)) };
        let files: Vec<LiveFile> =
            self.merged.iter().filter(|file| file.first < window.end).cloned().collect();
        for file in files {
            // Rows beyond it may have been let go of, to be read again.
            if file.first < window.end {
                window.end = self.read(&file, window, |_| true)?;
            }
        }
        self.loaded = window.end;
        self.merged.retain(|file| file.last >= window.end);
        Ok(())
    }

    /// Leaves out the files of days, UTC, that were over at `ms`: nothing recorded since is in them.
    pub fn skip_days_before(&mut self, ms: i64) {
        let is_over = |path: &str| folder_day_ms(path).is_some_and(|day_ms| day_ms + DAY_MS <= ms);
        self.files.retain(|file| !is_over(&file.path));
        self.merged.retain(|file| !is_over(&file.path));
        self.total = self.files.len() + self.merged.len();
    }

    /// Hands over all rows that are left, a batch after the other until `take` says no; cuts come in any order. For
    /// sums, which have none: memory holds one file, however many rows a cut has.
    ///
    /// # Errors
    /// As [`Self::next_cut`].
    pub fn each_batch(
        &mut self,
        mut take: impl FnMut(Tick, CutRows) -> bool,
    ) -> Result<(), LakeError> {
        let mut goes_on = true;
        while goes_on && let Some(file) = self.files.pop_front().or_else(|| self.merged.pop()) {
            self.read(&file, Window::ALL, |cuts| {
                while goes_on && let Some((cut, rows)) = cuts.pop_first() {
                    goes_on = take(cut, rows);
                }
                goes_on
            })?;
        }
        Ok(())
    }

    /// Takes in the rows of a window's cuts, until `goes_on`, which is asked after each batch, says no; returns where the
    /// window ends, now that no more are held than may be.
    fn read(
        &mut self,
        file: &LiveFile,
        mut window: Window,
        mut goes_on: impl FnMut(&mut BTreeMap<Tick, CutRows>) -> bool,
    ) -> Result<Tick, LakeError> {
        let LiveFile { table, path, .. } = file;
        let bytes = self.fetch(file)?;
        let unreadable =
            |what: String| LakeError::Unreadable { table: *table, file: path.clone(), what };
        let batches = rows_in(bytes, window).map_err(|error| unreadable(error.to_string()))?;
        for batch in batches {
            let batch = batch.map_err(|error| unreadable(error.to_string()))?;
            self.take(*table, &batch, window).map_err(unreadable)?;
            if window != Window::ALL {
                window.end = self.let_go(window.end);
            }
            if !goes_on(&mut self.pending) {
                break;
            }
        }
        Ok(window.end)
    }

    /// A file as it is in the store.
    fn fetch(&self, file: &LiveFile) -> Result<Bytes, LakeError> {
        let LiveFile { table, path, .. } = file;
        let url = self.engine.place.table(*table).join(path).map_err(|error| {
            LakeError::Location { url: path.clone(), reason: error.to_string() }
        })?;
        let location = object_store::path::Path::from_url_path(url.path()).map_err(|error| {
            LakeError::Location { url: url.to_string(), reason: error.to_string() }
        })?;
        let store = &self.engine.place.store;
        let bytes = self.engine.block_on(async { store.get(&location).await?.bytes().await });
        bytes.map_err(|error| LakeError::store(format!("read `{location}`"), error))
    }

    /// Lets go of the latest cuts while too many rows are held; returns the first cut that is not held.
    fn let_go(&mut self, mut end: Tick) -> Tick {
        let mut held: usize = self.pending.values().map(CutRows::count).sum();
        while held > self.rows_held_max && self.pending.len() > 1 {
            if let Some((cut, rows)) = self.pending.pop_last() {
                held -= rows.count();
                end = cut;
            }
        }
        end
    }

    fn take(
        &mut self,
        table: TableName,
        batch: &RecordBatch,
        window: Window,
    ) -> Result<(), String> {
        let (names, sources) = (&*self.names, &self.sources);
        let decoder = Decoder { names, sources, period_ms: self.config.policy.period_ms };
        let columns = &Columns(batch);
        let recorded = columns.times("recorded_at")?;
        let cuts = (0..batch.num_rows()).map(|row| Ok(Tick::new(recorded.at(row)?, Cause::Cut)));
        let cuts = cuts.collect::<Result<Vec<_>, String>>()?;
        let mut put = Put { until: self.until, window, cuts, pending: &mut self.pending };
        match table {
            TableName::Activity => put.all(decoder.activity(columns)?, |to| &mut to.activity),
            TableName::Emissions => {
                put.gwp(&columns.texts("gwp")?)?;
                put.all(decoder.emissions(columns)?, |to| &mut to.emissions);
                put.all(decoder.reasons(columns)?, |to| &mut to.reasons);
            }
            TableName::Footprints => put.all(decoder.footprints(columns)?, |to| &mut to.footprints),
            TableName::Readings => put.all(decoder.readings(columns)?, |to| &mut to.readings),
            TableName::ActivityData => {
                put.all(decoder.activity_data(columns)?, |to| &mut to.activity_data);
            }
            TableName::Meters => put.all(decoder.meters(columns)?, |to| &mut to.facts),
            TableName::Factors => put.all(decoder.factors(columns)?, |to| &mut to.facts),
            TableName::Series => put.all(decoder.series(columns)?, |to| &mut to.facts),
            TableName::Nodes => put.all(decoder.nodes(columns)?, |to| &mut to.facts),
            TableName::Contracts => put.all(decoder.contracts(columns)?, |to| &mut to.facts),
            TableName::Certificates => put.all(decoder.certificates(columns)?, |to| &mut to.facts),
            TableName::Prices => put.all(decoder.prices(columns)?, |to| &mut to.facts),
            TableName::Pending => put.all(decoder.pending(columns)?, |to| &mut to.pending),
            TableName::Restatements => put.all(Decoder::restated(columns)?, |to| &mut to.restated),
            TableName::Rejects => put.all(decoder.rejects(columns)?, |to| &mut to.rejects),
        }
        Ok(())
    }
}
