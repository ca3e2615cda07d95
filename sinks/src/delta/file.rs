//! From batches to Parquet files in memory, each with the statistics its log entry carries.
//!
//! ```text
//! rows ──► buffer (64 Ki .. 256 Ki) ──sort──► row group ──► file ──64 MiB──► sealed ──► store
//! ```
//!
//! 1. Rows wait until they make a row group worth its header; a larger batch is sorted as a whole.
//! 2. A file that has grown to [`FILE_BYTES_MAX`] is sealed and the next one begins: so memory is bounded,
//!    and every object is written by one atomic put that can be repeated. (Rejected: one multipart
//!    upload per commit. A part that failed cannot be sent again through `object_store`'s interface, so a
//!    single 503 would lose rows that were already taken.)
//! 3. A sealed file lives in memory until the store has it.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, Date32Array, Int32Array, Int64Array, StringArray, StructArray,
    TimestampMicrosecondArray,
};
use arrow::compute::{max, min};
use arrow::datatypes::{
    Date32Type, Field, Fields, Int32Type, Int64Type, Schema, TimestampMicrosecondType,
};
use arrow::record_batch::RecordBatch;
use object_store::PutPayload;
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_writer::ArrowWriterOptions;
use parquet::basic::{Compression as Codec, ZstdLevel};
use parquet::file::metadata::{KeyValue, SortingColumn};
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::schema::types::ColumnPath;
use plumeline_pipelines::model::Tick;
use serde::{Deserialize, Serialize};

use super::encoder::Encoder;
use super::error::LakeError;
use super::rows::{Row, count};
use super::table::{Column, Kind, PARTITION, TableName};

/// Fewer rows wait for more: a row group has an index and dictionaries of its own.
const ROW_GROUP_ROWS_MIN: usize = 64 * 1024;
/// More rows make another row group: readers skip by row group, and one is encoded in memory.
const ROW_GROUP_ROWS_MAX: usize = 256 * 1024;
/// A file that has grown so large is sealed, bytes.
const FILE_BYTES_MAX: usize = 64 * 1024 * 1024;
const _: () = assert!(ROW_GROUP_ROWS_MIN <= ROW_GROUP_ROWS_MAX);

/// How Parquet pages are compressed.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Compression {
    /// Smallest; the default.
    #[default]
    Zstd,
    /// Read by everything there is.
    Snappy,
    /// Fastest to read.
    Lz4Raw,
    /// Not at all.
    None,
}

impl Compression {
    pub(super) fn codec(self) -> Codec {
        match self {
            Self::Zstd => Codec::ZSTD(ZstdLevel::default()),
            Self::Snappy => Codec::SNAPPY,
            Self::Lz4Raw => Codec::LZ4_RAW,
            Self::None => Codec::UNCOMPRESSED,
        }
    }
}

/// What all files of a cut have in common.
#[derive(Clone, Debug)]
pub(super) struct FileOptions {
    pub(super) compression: Compression,
    pub(super) pipeline: String,
}

/// A finished file that waits for the store.
#[derive(Debug)]
pub(super) struct SealedFile {
    pub(super) payload: PutPayload,
    pub(super) rows: usize,
    /// As the log entry carries them.
    pub(super) statistics: StructArray,
}

/// One table's rows of one part of a cut, on their way into files.
#[derive(Debug)]
pub(super) struct Part<R> {
    rows: Vec<R>,
    open: Option<OpenFile>,
}

impl<R> Default for Part<R> {
    fn default() -> Self {
        Self { rows: Vec::new(), open: None }
    }
}

impl<R: Row> Part<R> {
    /// Takes rows in; what makes a row group is encoded. Returns files that are full.
    pub(super) fn append(
        &mut self,
        rows: Vec<R>,
        encoder: &mut Encoder,
        options: &FileOptions,
    ) -> Result<Vec<SealedFile>, LakeError> {
        if self.rows.is_empty() {
            self.rows = rows;
        } else {
            self.rows.extend(rows);
        }
        if self.rows.len() < ROW_GROUP_ROWS_MIN {
            return Ok(Vec::new());
        }
        self.encode(encoder, options)
    }

    /// Encodes what waits and closes the file.
    pub(super) fn finish(
        &mut self,
        encoder: &mut Encoder,
        options: &FileOptions,
    ) -> Result<Vec<SealedFile>, LakeError> {
        let mut sealed = self.encode(encoder, options)?;
        if let Some(file) = self.open.take() {
            sealed.push(file.seal()?);
        }
        Ok(sealed)
    }

    fn encode(
        &mut self,
        encoder: &mut Encoder,
        options: &FileOptions,
    ) -> Result<Vec<SealedFile>, LakeError> {
        let mut rows = std::mem::take(&mut self.rows);
        rows.sort_unstable_by(|a, b| a.compare(b, &encoder.ranks));
        let mut sealed = Vec::new();
        for group in rows.chunks(ROW_GROUP_ROWS_MAX) {
            let columns = R::columns(group, encoder)?;
            let mut file = match self.open.take() {
                Some(file) => file,
                None => OpenFile::new(R::TABLE, encoder.cut, options)?,
            };
            file.write(columns)?;
            if file.bytes() >= FILE_BYTES_MAX {
                sealed.push(file.seal()?);
            } else {
                self.open = Some(file);
            }
        }
        Ok(sealed)
    }
}

/// A file that is being encoded, in memory.
#[derive(Debug)]
pub(super) struct OpenFile {
    table: TableName,
    schema: Arc<Schema>,
    writer: ArrowWriter<Vec<u8>>,
    rows: usize,
    bounds: Vec<Bounds>,
}

impl OpenFile {
    fn new(table: TableName, cut: Tick, options: &FileOptions) -> Result<Self, LakeError> {
        Self::with(table, properties(table, cut, options))
    }

    /// An empty file of `table`.
    pub(super) fn with(table: TableName, properties: WriterProperties) -> Result<Self, LakeError> {
        let schema = table.arrow_schema();
        // The embedded Arrow schema would tell readers of our dictionaries; Parquet's own says it all.
        let options =
            ArrowWriterOptions::new().with_properties(properties).with_skip_arrow_metadata(true);
        let writer = ArrowWriter::try_new_with_options(Vec::new(), Arc::clone(&schema), options)
            .map_err(|source| LakeError::Encode { table, source })?;
        let bounds = data_columns(table).enumerate().filter(|(_, c)| c.has_statistics);
        let bounds = bounds.map(|(index, column)| Bounds { index, column, range: None }).collect();
        Ok(Self { table, schema, writer, rows: 0, bounds })
    }

    /// What it has, and what the row group at hand will take, about.
    pub(super) fn bytes(&self) -> usize {
        self.writer.bytes_written() + self.writer.in_progress_size()
    }

    /// Writes a row group.
    fn write(&mut self, columns: Vec<ArrayRef>) -> Result<(), LakeError> {
        let batch = RecordBatch::try_new(Arc::clone(&self.schema), columns)
            .expect("rows encode the columns of their table");
        self.push(&batch)?;
        let flushed = self.writer.flush();
        flushed.map_err(|source| LakeError::Encode { table: self.table, source })
    }

    /// Takes rows in; the properties say where row groups end.
    pub(super) fn push(&mut self, batch: &RecordBatch) -> Result<(), LakeError> {
        for bounds in &mut self.bounds {
            bounds.merge(batch.column(bounds.index));
        }
        self.rows += batch.num_rows();
        let encoded = self.writer.write(batch);
        encoded.map_err(|source| LakeError::Encode { table: self.table, source })
    }

    /// Ends the file.
    pub(super) fn seal(self) -> Result<SealedFile, LakeError> {
        let table = self.table;
        let statistics = statistics(self.rows, &self.bounds);
        let bytes =
            self.writer.into_inner().map_err(|source| LakeError::Encode { table, source })?;
        Ok(SealedFile { payload: PutPayload::from(bytes), rows: self.rows, statistics })
    }
}

/// The columns that are in a table's files.
pub(super) fn data_columns(table: TableName) -> impl Iterator<Item = &'static Column> {
    table.columns().iter().filter(|column| column.name != PARTITION)
}

/// An entry of a file's own metadata.
pub(super) fn entry(key: &str, value: String) -> KeyValue {
    KeyValue::new(format!("plumeline.{key}"), value)
}

fn properties(table: TableName, cut: Tick, options: &FileOptions) -> WriterProperties {
    let sorted_by = ["node", "subject", "meter", "period_start"];
    let sorting = sorted_by.iter().filter_map(|name| {
        let index = data_columns(table).position(|column| column.name == *name)?;
        let column_idx = i32::try_from(index).expect("columns are few");
        Some(SortingColumn { column_idx, descending: false, nulls_first: false })
    });
    let mut builder = WriterProperties::builder()
        .set_compression(options.compression.codec())
        .set_statistics_enabled(EnabledStatistics::Page)
        .set_max_row_group_row_count(Some(ROW_GROUP_ROWS_MAX))
        .set_created_by(format!("plumeline {}", env!("CARGO_PKG_VERSION")))
        .set_key_value_metadata(Some(vec![
            entry("pipeline", options.pipeline.clone()),
            entry("tick", cut.0.to_string()),
            entry("digest", String::new()),
        ]));
    if table.is_ledger() {
        builder = builder.set_sorting_columns(Some(sorting.collect()));
    }
    for column in data_columns(table) {
        let path = || ColumnPath::from(column.name);
        let is_decimal = matches!(column.kind, Kind::Decimal(..));
        if is_decimal && column.name != "rate_kg_per_unit" {
            // Amounts hardly repeat: a dictionary would be built, overflow and be thrown away.
            builder = builder.set_column_dictionary_enabled(path(), false);
        }
        if column.kind == Kind::Name && !sorted_by.contains(&column.name) {
            // Every page has every label: comparing them a row costs more than it lets a reader skip.
            builder = builder.set_column_statistics_enabled(path(), EnabledStatistics::None);
        }
    }
    builder.build()
}

/// Smallest and largest value of a column in a file.
#[derive(Debug)]
struct Bounds {
    index: usize,
    column: &'static Column,
    range: Option<(Bound, Bound)>,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Bound {
    Int(i32),
    Long(i64),
    Text(String),
}

impl Bounds {
    fn merge(&mut self, array: &ArrayRef) {
        let range = match self.column.kind {
            Kind::Time => {
                let array = array.as_primitive::<TimestampMicrosecondType>();
                min(array).zip(max(array)).map(|(a, b)| (Bound::Long(a), Bound::Long(b)))
            }
            Kind::Long => {
                let array = array.as_primitive::<Int64Type>();
                min(array).zip(max(array)).map(|(a, b)| (Bound::Long(a), Bound::Long(b)))
            }
            Kind::Date => {
                let array = array.as_primitive::<Date32Type>();
                min(array).zip(max(array)).map(|(a, b)| (Bound::Int(a), Bound::Int(b)))
            }
            Kind::Int => {
                let array = array.as_primitive::<Int32Type>();
                min(array).zip(max(array)).map(|(a, b)| (Bound::Int(a), Bound::Int(b)))
            }
            Kind::Name => {
                let dictionary = array.as_dictionary::<Int32Type>();
                let values = dictionary.values().as_string::<i32>();
                // Rows that were taken from a larger batch share its dictionary.
                let mut is_used = vec![false; values.len()];
                dictionary.keys_iter().flatten().for_each(|key| is_used[key] = true);
                let used = || values.iter().zip(&is_used).filter(|(_, is_used)| **is_used);
                let texts = || used().filter_map(|(text, _)| text);
                let bound = |text: &str| Bound::Text(text.to_owned());
                texts().min().map(bound).zip(texts().max().map(bound))
            }
            kind => unreachable!("{kind:?} has no statistics"),
        };
        let Some((low, high)) = range else { return };
        self.range = Some(match self.range.take() {
            Some((a, b)) => (a.min(low), b.max(high)),
            None => (low, high),
        });
    }
}

/// `{numRecords, minValues, maxValues, nullCount}`; columns with statistics are never null.
fn statistics(rows: usize, bounds: &[Bounds]) -> StructArray {
    let present = || bounds.iter().filter_map(|b| Some((b.column, b.range.as_ref()?)));
    let lows = present().map(|(column, (low, _))| (column, value(column.kind, low, false)));
    let highs = present().map(|(column, (_, high))| (column, value(column.kind, high, true)));
    let nulls = bounds.iter().map(|b| (b.column, count(0)));
    structure([
        ("numRecords", count(rows)),
        ("minValues", named(lows)),
        ("maxValues", named(highs)),
        ("nullCount", named(nulls)),
    ])
}

fn named<'a>(columns: impl Iterator<Item = (&'a Column, ArrayRef)>) -> ArrayRef {
    Arc::new(structure(columns.map(|(column, array)| (column.name, array))))
}

fn structure<'a>(columns: impl IntoIterator<Item = (&'a str, ArrayRef)>) -> StructArray {
    let (fields, arrays): (Vec<_>, Vec<_>) = columns
        .into_iter()
        .map(|(name, array)| (Field::new(name, array.data_type().clone(), true), array))
        .unzip();
    StructArray::new(Fields::from(fields), arrays, None)
}

fn value(kind: Kind, bound: &Bound, is_upper: bool) -> ArrayRef {
    match (kind, bound) {
        (Kind::Time, &Bound::Long(micros)) => {
            Arc::new(TimestampMicrosecondArray::from(vec![micros]).with_timezone("UTC"))
        }
        (Kind::Date, &Bound::Int(days)) => Arc::new(Date32Array::from(vec![days])),
        (_, &Bound::Int(value)) => Arc::new(Int32Array::from(vec![value])),
        (_, &Bound::Long(value)) => Arc::new(Int64Array::from(vec![value])),
        (_, Bound::Text(text)) => Arc::new(StringArray::from(vec![shortened(text, is_upper)])),
    }
}

/// Characters of a text that the log keeps, as other writers of Delta tables do.
const STATISTICS_CHARS: usize = 32;

/// The text, or its beginning; as an upper bound with a character behind it that sorts last.
fn shortened(text: &str, is_upper: bool) -> String {
    let mut short: String = text.chars().take(STATISTICS_CHARS).collect();
    if is_upper && short.len() < text.len() {
        short.push(char::MAX);
    }
    short
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_texts_stay_between_their_bounds() {
        let long = "ä".repeat(40);
        let (low, high) = (shortened(&long, false), shortened(&long, true));
        assert!(low.as_str() <= long.as_str() && long.as_str() <= high.as_str());
        assert_eq!(shortened("short", true), "short");
    }
}
