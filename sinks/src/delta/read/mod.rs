//! The tables read back, cut by cut: for those who compute the ledger again.
//!
//! 1. The newest commit of `activity` says up to which cut everything is there; later rows are left alone.
//! 2. Live files are listed from the logs and read in the order of their first cut, one at a time. *Memory
//!    holds what is between the cut at hand and the last row of a file; where nobody has merged files, that is
//!    one cut.*
//! 3. Rows become the values that were written, names interned anew. A value that is none is an error that
//!    names file and column: somebody has changed it.

mod columns;
mod decode;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use arrow::array::RecordBatch;
use object_store::ObjectStoreExt;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use plumeline_pipelines::model::{
    ActivityDataEntry, ActivityKey, Cause, Emission, EmissionKey, FootprintKey, Measure, Names,
    PendingEntry, ReadingEntry, RestatedEntry, Tick,
};

use super::engine::Engine;
use super::error::LakeError;
use super::lake::LakeConfig;
use super::log::TableLog;
use super::place::{DataFileName, Place, folder_day_ms};
use super::proof::Proof;
use super::rows::FactEntry;
use super::table::TableName;
use columns::Columns;
use decode::Decoder;

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
    /// Of `footprints`.
    pub footprints: Vec<(FootprintKey, Emission)>,
    /// Of `pending_restatements`.
    pub pending: Vec<PendingEntry>,
    /// Of `restatements`.
    pub restated: Vec<RestatedEntry>,
}

/// A live file, in the order in which they are read.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct LiveFile {
    /// No row of it is of an earlier cut.
    first: Tick,
    table: TableName,
    /// As the log has it, below the table's root.
    path: String,
}

/// See the module's documentation.
#[derive(Debug)]
pub struct LakeReader {
    engine: Engine,
    config: LakeConfig,
    names: Arc<Names>,
    committed: Option<Tick>,
    proof: Option<Proof>,
    files: VecDeque<LiveFile>,
    total: usize,
    rows: u64,
    pending: BTreeMap<Tick, CutRows>,
}

impl LakeReader {
    /// Opens the tables of `config` to read them, as of now.
    ///
    /// # Errors
    /// If they cannot be read, or are another pipeline's.
    pub fn open(config: LakeConfig, names: Arc<Names>) -> Result<Self, LakeError> {
        Self::of(config, names, |_| true)
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
        let engine = Engine::new(Place::open(&config.url)?)?;
        let owner = config.owner();
        // First, since it commits last: every table read after it has all rows up to its cut.
        let activity = TableLog::find(&engine, TableName::Activity, &owner)?;
        let committed = activity.as_ref().and_then(TableLog::committed);
        let proof = activity.as_ref().map(|log| log.proof(&engine)).transpose()?.flatten();
        let (mut files, mut rows) = (Vec::new(), 0);
        for table in TableName::ALL {
            // Nothing of the ledger rests on what was refused.
            if table == TableName::Rejects || !is_read(table) {
                continue;
            }
            let Some(log) = TableLog::find(&engine, table, &owner)? else { continue };
            rows += log.live_rows(&engine)?;
            files.extend(log.live_files(&engine, |_| true)?.into_iter().map(|path| {
                let first = DataFileName::parse(table, &path).map(|name| name.cut).or_else(|| {
                    // Somebody merged files: all of them were of this day.
                    folder_day_ms(&path).map(|ms| Tick::new(ms, Cause::Time))
                });
                LiveFile { first: first.unwrap_or(Tick::ZERO), table, path }
            }));
        }
        files.retain(|file| Some(file.first) <= committed);
        files.sort_unstable();
        let total = files.len();
        let (files, pending) = (files.into(), BTreeMap::new());
        Ok(Self { engine, config, names, committed, proof, files, total, rows, pending })
    }

    /// The newest cut that all tables have.
    #[must_use]
    pub fn committed(&self) -> Option<Tick> {
        self.committed
    }

    /// What its commit says.
    #[must_use]
    pub fn proof(&self) -> Option<&Proof> {
        self.proof.as_ref()
    }

    /// Files that were read, and all.
    #[must_use]
    pub fn progress(&self) -> (usize, usize) {
        (self.total - self.files.len(), self.total)
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
            let next = self.pending.keys().next().copied();
            let is_due = |file: &mut LiveFile| next.is_none_or(|cut| file.first <= cut);
            let Some(file) = self.files.pop_front_if(is_due) else {
                return Ok(self.pending.pop_first());
            };
            self.read(&file)?;
        }
    }

    fn read(&mut self, file: &LiveFile) -> Result<(), LakeError> {
        let LiveFile { table, path, .. } = file;
        let url = self.engine.place.table(*table).join(path).map_err(|error| {
            LakeError::Location { url: path.clone(), reason: error.to_string() }
        })?;
        let location = object_store::path::Path::from_url_path(url.path()).map_err(|error| {
            LakeError::Location { url: url.to_string(), reason: error.to_string() }
        })?;
        let store = &self.engine.place.store;
        let bytes = self.engine.block_on(async { store.get(&location).await?.bytes().await });
        let bytes = bytes.map_err(|error| LakeError::store(format!("read `{location}`"), error))?;
        let unreadable =
            |what: String| LakeError::Unreadable { table: *table, file: path.clone(), what };
        let batches = ParquetRecordBatchReaderBuilder::try_new(bytes)
            .and_then(ParquetRecordBatchReaderBuilder::build)
            .map_err(|error| unreadable(error.to_string()))?;
        for batch in batches {
            let batch = batch.map_err(|error| unreadable(error.to_string()))?;
            self.take(*table, &batch).map_err(unreadable)?;
        }
        Ok(())
    }

    fn take(&mut self, table: TableName, batch: &RecordBatch) -> Result<(), String> {
        let decoder = Decoder { names: &self.names, period_ms: self.config.policy.period_ms };
        let columns = &Columns(batch);
        let recorded = columns.times("recorded_at")?;
        let cuts = (0..batch.num_rows()).map(|row| Ok(Tick::new(recorded.at(row)?, Cause::Cut)));
        let cuts = cuts.collect::<Result<Vec<_>, String>>()?;
        let mut put = Put { committed: self.committed, cuts, pending: &mut self.pending };
        match table {
            TableName::Activity => put.all(decoder.activity(columns)?, |to| &mut to.activity),
            TableName::Emissions => put.all(decoder.emissions(columns)?, |to| &mut to.emissions),
            TableName::Footprints => put.all(decoder.footprints(columns)?, |to| &mut to.footprints),
            TableName::Readings => put.all(decoder.readings(columns)?, |to| &mut to.readings),
            TableName::ActivityData => {
                put.all(decoder.activity_data(columns)?, |to| &mut to.activity_data);
            }
            TableName::Meters => put.all(decoder.meters(columns)?, |to| &mut to.facts),
            TableName::Factors => put.all(decoder.factors(columns)?, |to| &mut to.facts),
            TableName::Nodes => put.all(decoder.nodes(columns)?, |to| &mut to.facts),
            TableName::Pending => put.all(decoder.pending(columns)?, |to| &mut to.pending),
            TableName::Restatements => put.all(Decoder::restated(columns)?, |to| &mut to.restated),
            TableName::Rejects => {}
        }
        Ok(())
    }
}

/// Where the rows of a batch go.
struct Put<'p> {
    committed: Option<Tick>,
    cuts: Vec<Tick>,
    pending: &'p mut BTreeMap<Tick, CutRows>,
}

impl Put<'_> {
    /// Tables may be ahead of `activity`: what no commit of it covers is not there yet.
    fn all<R>(&mut self, rows: Vec<R>, list: fn(&mut CutRows) -> &mut Vec<R>) {
        for (cut, row) in self.cuts.iter().zip(rows) {
            if Some(*cut) <= self.committed {
                list(self.pending.entry(*cut).or_default()).push(row);
            }
        }
    }
}
