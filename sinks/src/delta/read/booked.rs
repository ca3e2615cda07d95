//! Entries of `emissions` and `footprints`, row by row: for sums over years, which need few columns of few rows.
//!
//! ```text
//! live files ─ of cuts that are asked for ─▶ row groups ─ by their statistics ─▶ rows ─ by three columns ─▶ the others
//! ```
//!
//! 1. A file whose cuts are all of another time is not opened.
//! 2. A row group is skipped where its statistics of `recorded_at`, `period_start` or `node` say that nothing that is
//!    asked for is in it. Rows are sorted by node, so of a merged file one node is a small part.
//! 3. Of the rest these three columns are decoded first, and what else is asked for only of the rows they leave.
//!
//! Memory holds one file, as it is in the store, and some thousand rows of it. Rows come in no order: what is made of
//! them are sums.

use arrow::array::{AsArray, BooleanArray, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{DataType, TimeUnit, TimestampMicrosecondType};
use arrow::error::ArrowError;
use bytes::Bytes;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{
    ArrowPredicateFn, ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder, RowFilter,
};
use parquet::file::metadata::RowGroupMetaData;
use parquet::file::statistics::Statistics;
use parquet::schema::types::SchemaDescriptor;
use plumeline_pipelines::model::{Cause, Emission, Gas, GwpSet, Id, Method, Names, Tick};

use super::LakeReader;
use super::columns::Columns;
use super::decode::{LineKey, Lines, changes};
use super::live_file::LiveFile;
use crate::delta::error::LakeError;
use crate::delta::table::TableName;

/// Rows that are decoded at a time.
const BATCH_ROWS: usize = 8_192;
const RECORDED_AT: &str = "recorded_at";
const PERIOD_START: &str = "period_start";
const NODE: &str = "node";
const GWP: &str = "gwp";
/// What is decoded of the rows that are asked for.
const READ: [&str; 12] = [
    RECORDED_AT,
    PERIOD_START,
    NODE,
    "subject",
    "scope",
    "category",
    "method",
    "gas",
    "mass_kg",
    "co2e_kg",
    GWP,
    "reason",
];

/// Which entries are asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    /// Those of periods (in `footprints`: hours) that begin at or after it, ms.
    pub from_ms: i64,
    /// And before it, ms.
    pub to_ms: i64,
    /// Recorded after it, ms.
    pub after_ms: i64,
    /// And not later than it, ms.
    pub until_ms: i64,
    /// Of this node alone.
    pub node: Option<String>,
}

impl Asked {
    /// Every entry recorded until then.
    fn until(until_ms: i64) -> Self {
        Self { from_ms: 0, to_ms: i64::MAX, after_ms: -1, until_ms, node: None }
    }

    /// Whether a file may hold any.
    fn may_be_in(&self, file: &LiveFile) -> bool {
        file.first.ms() <= self.until_ms && file.last.ms() > self.after_ms
    }

    /// Whether a row group may hold any.
    fn may_be_in_group(&self, group: &RowGroupMetaData, schema: &SchemaDescriptor) -> bool {
        let statistics = |name: &str| {
            let place = schema.columns().iter().position(|column| column.name() == name)?;
            group.column(place).statistics()
        };
        let may_be_between = |name: &str, from_ms: i64, to_ms: i64| {
            let Some(Statistics::Int64(bounds)) = statistics(name) else { return true };
            bounds.max_opt().is_none_or(|max| *max >= from_ms.saturating_mul(1000))
                && bounds.min_opt().is_none_or(|min| *min <= to_ms.saturating_mul(1000))
        };
        let may_be_of = |node: &str| {
            let Some(Statistics::ByteArray(bounds)) = statistics(NODE) else { return true };
            // Cut-off bounds are still bounds.
            bounds.max_opt().is_none_or(|max| max.data() >= node.as_bytes())
                && bounds.min_opt().is_none_or(|min| min.data() <= node.as_bytes())
        };
        may_be_between(RECORDED_AT, self.after_ms, self.until_ms)
            && may_be_between(PERIOD_START, self.from_ms, self.to_ms)
            && self.node.as_deref().is_none_or(may_be_of)
    }

    /// Which rows are asked for.
    fn rows(&self, batch: &RecordBatch) -> Result<BooleanArray, ArrowError> {
        let kind = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
        let column = |name: &str, kind: &DataType| {
            let index = batch.schema_ref().index_of(name)?;
            cast(batch.column(index), kind)
        };
        let (recorded, starts) = (column(RECORDED_AT, &kind)?, column(PERIOD_START, &kind)?);
        let recorded = recorded.as_primitive::<TimestampMicrosecondType>();
        let starts = starts.as_primitive::<TimestampMicrosecondType>();
        let nodes = column(NODE, &DataType::Utf8)?;
        let nodes = nodes.as_string::<i32>();
        let is_asked = |row: usize| {
            let (recorded_ms, start_ms) = (recorded.value(row) / 1000, starts.value(row) / 1000);
            self.after_ms < recorded_ms
                && recorded_ms <= self.until_ms
                && (self.from_ms..self.to_ms).contains(&start_ms)
                && self.node.as_deref().is_none_or(|node| nodes.value(row) == node)
        };
        Ok((0..batch.num_rows()).map(|row| Some(is_asked(row))).collect())
    }

    /// A file's rows that are asked for, with these columns.
    fn of(
        self,
        file: Bytes,
        columns: &[&str],
    ) -> parquet::errors::Result<ParquetRecordBatchReader> {
        let builder = ParquetRecordBatchReaderBuilder::try_new(file)?.with_batch_size(BATCH_ROWS);
        let schema = builder.parquet_schema();
        let groups = builder.metadata().row_groups().iter().enumerate();
        let groups = groups.filter(|(_, group)| self.may_be_in_group(group, schema));
        let groups: Vec<usize> = groups.map(|(index, _)| index).collect();
        let deciding = ProjectionMask::columns(schema, [RECORDED_AT, PERIOD_START, NODE]);
        let read = ProjectionMask::columns(schema, columns.iter().copied());
        let is_asked = ArrowPredicateFn::new(deciding, move |batch| self.rows(&batch));
        let filter = RowFilter::new(vec![Box::new(is_asked)]);
        builder.with_row_groups(groups).with_projection(read).with_row_filter(filter).build()
    }
}

/// An entry of `emissions` or `footprints`.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct Booked {
    /// Which of the two.
    pub table: TableName,
    /// When it was recorded.
    pub cut: Tick,
    /// Start of its period (in `footprints`: hour), ms.
    pub start_ms: i64,
    /// Its node: in `emissions` the one it was booked to, in `footprints` that one and all above it.
    pub node: Id,
    /// The meter or activity; `Id::NONE` in `footprints`.
    pub subject: Id,
    /// 1, 2, 3, or 0 for outside of scopes.
    pub scope: u8,
    /// Scope 3 category; 0 for none.
    pub category: u8,
    /// Scope 2's method.
    pub method: Method,
    /// The gas.
    pub gas: Gas,
    /// The set its CO2e is in; only `emissions` says.
    pub gwp: Option<GwpSet>,
    /// Why it was written, as the table says; `Id::NONE` in `footprints`.
    pub reason: Id,
    /// How the balance changes.
    pub change: Emission,
}

impl LakeReader {
    /// Hands over every entry that is asked for, of the tables that are read, in no order. To be called once.
    ///
    /// # Errors
    /// As [`Self::next_cut`].
    pub fn each_booked(
        &mut self,
        asked: &Asked,
        mut take: impl FnMut(Booked),
    ) -> Result<(), LakeError> {
        let files = std::mem::take(&mut self.files).into_iter();
        let files = files.chain(std::mem::take(&mut self.merged));
        for file in files.filter(|file| asked.may_be_in(file)) {
            self.each_batch_of(&file, asked.clone(), &READ, |batch, names| {
                booked(file.table, batch, names)?.into_iter().for_each(&mut take);
                Ok(())
            })?;
        }
        Ok(())
    }

    /// The newest cut until an instant (ms) that has an entry of `emissions`, and the GWP set it is in.
    ///
    /// # Errors
    /// As [`Self::next_cut`].
    pub fn newest_gwp(&self, until_ms: i64) -> Result<Option<(Tick, GwpSet)>, LakeError> {
        let asked = Asked::until(until_ms);
        let files = self.files.iter().chain(&self.merged);
        let is_read =
            |file: &&LiveFile| file.table == TableName::Emissions && asked.may_be_in(file);
        let mut files: Vec<&LiveFile> = files.filter(is_read).collect();
        files.sort_unstable_by_key(|file| std::cmp::Reverse(file.last));
        let mut newest: Option<(Tick, GwpSet)> = None;
        for file in files {
            if newest.is_some_and(|(cut, _)| cut >= file.last) {
                break;
            }
            self.each_batch_of(file, asked.clone(), &[RECORDED_AT, GWP], |batch, _| {
                let columns = &Columns(batch);
                let (recorded, sets) = (columns.times(RECORDED_AT)?, columns.texts(GWP)?);
                for row in 0..batch.num_rows() {
                    let cut = Tick::new(recorded.at(row)?, Cause::Cut);
                    if newest.is_none_or(|(newest, _)| newest < cut) {
                        newest = Some((cut, sets.parsed(row, GwpSet::parse)?));
                    }
                }
                Ok(())
            })?;
        }
        Ok(newest)
    }

    fn each_batch_of(
        &self,
        file: &LiveFile,
        asked: Asked,
        columns: &[&str],
        mut take: impl FnMut(&RecordBatch, &Names) -> Result<(), String>,
    ) -> Result<(), LakeError> {
        let LiveFile { table, path, .. } = file;
        let unreadable =
            |what: String| LakeError::Unreadable { table: *table, file: path.clone(), what };
        let batches = asked.of(self.fetch(file)?, columns);
        for batch in batches.map_err(|error| unreadable(error.to_string()))? {
            let batch = batch.map_err(|error| unreadable(error.to_string()))?;
            take(&batch, &self.names).map_err(unreadable)?;
        }
        Ok(())
    }
}

fn booked(table: TableName, batch: &RecordBatch, names: &Names) -> Result<Vec<Booked>, String> {
    let columns = &Columns(batch);
    let (recorded, starts) = (columns.times(RECORDED_AT)?, columns.times(PERIOD_START)?);
    let (nodes, lines, changes) = (columns.texts(NODE)?, Lines::of(columns)?, changes(columns)?);
    let why = (table == TableName::Emissions).then(|| {
        Ok::<_, String>((columns.texts("subject")?, columns.texts("reason")?, columns.texts(GWP)?))
    });
    let why = why.transpose()?;
    let row = |row: usize| {
        let LineKey { scope, category, method, gas } = lines.at(row)?;
        let (mut subject, mut reason, mut gwp) = (Id::NONE, Id::NONE, None);
        if let Some((subjects, reasons, sets)) = &why {
            subject = names.intern(subjects.at(row)?);
            reason = names.intern(reasons.at(row)?);
            gwp = Some(sets.parsed(row, GwpSet::parse)?);
        }
        Ok(Booked {
            table,
            cut: Tick::new(recorded.at(row)?, Cause::Cut),
            start_ms: starts.at(row)?,
            node: names.intern(nodes.at(row)?),
            subject,
            scope,
            category,
            method,
            gas,
            gwp,
            reason,
            change: changes[row],
        })
    };
    (0..batch.num_rows()).map(row).collect()
}
