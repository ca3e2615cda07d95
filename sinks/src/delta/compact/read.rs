//! Files that are merged, read a row group at a time.
//!
//! The footer is read first; then one range for each row group, however many columns it has: a request a page would
//! be thousands on a store. Rows keep the dictionaries they were written with.

use std::ops::Range;
use std::sync::Arc;

use arrow::array::{RecordBatch, new_null_array};
use arrow::datatypes::{FieldRef, Schema, SchemaRef};
use arrow::error::ArrowError;
use bytes::buf::Reader;
use bytes::{Buf, Bytes};
use object_store::path::Path;
use object_store::{Error as StoreError, ObjectStoreExt};
use parquet::arrow::arrow_reader::{
    ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReader,
    ParquetRecordBatchReaderBuilder,
};
use parquet::errors::ParquetError;
use parquet::file::metadata::{PageIndexPolicy, ParquetMetaData, ParquetMetaDataReader};
use parquet::file::reader::{ChunkReader, Length};

use super::plan::Candidate;
use crate::delta::engine::Engine;
use crate::delta::error::LakeError;
use crate::delta::table::TableName;

/// Read from the end of a file at first: footers of most files are shorter.
const FOOTER_BYTES: u64 = 64 * 1024;
/// Rows that are decoded at a time.
pub(super) const BATCH_ROWS: usize = 8_192;

/// A file whose footer was read.
#[derive(Debug)]
pub(super) struct Source {
    table: TableName,
    path: String,
    location: Path,
    bytes: u64,
    metadata: ArrowReaderMetadata,
}

impl Source {
    /// Reads a file's footer.
    pub(super) fn open(
        engine: &Engine,
        table: TableName,
        file: &Candidate,
    ) -> Result<Self, LakeError> {
        let location = location(engine, table, &file.path)?;
        let footer = footer(engine, &location, file.bytes)?;
        let metadata = footer.and_then(|footer| {
            let options = ArrowReaderOptions::new().with_schema(schema_of(table, &footer));
            ArrowReaderMetadata::try_new(Arc::new(footer), options)
        });
        let unreadable = |error: ParquetError| unreadable(table, &file.path, &error.to_string());
        let metadata = metadata.map_err(unreadable)?;
        Ok(Self { table, path: file.path.clone(), location, bytes: file.bytes, metadata })
    }

    /// Rows, as its footer says.
    pub(super) fn rows(&self) -> Result<usize, LakeError> {
        let rows = usize::try_from(self.metadata.metadata().file_metadata().num_rows());
        rows.map_err(|_| self.unreadable("its footer counts no rows"))
    }

    /// How many row groups it has.
    pub(super) fn groups(&self) -> usize {
        self.metadata.metadata().num_row_groups()
    }

    /// Bytes of its largest row group, as it is stored.
    pub(super) fn group_bytes_max(&self) -> u64 {
        let groups = 0..self.groups();
        groups.map(|group| self.range(group)).map(|(start, end)| end - start).max().unwrap_or(0)
    }

    /// The rows of a row group, decoded as they are asked for.
    pub(super) fn batches(&self, engine: &Engine, group: usize) -> Result<Batches, LakeError> {
        let (start, end) = self.range(group);
        let bytes = range(engine, &self.location, start..end)?;
        let window = Window { start, bytes, length: self.bytes };
        ParquetRecordBatchReaderBuilder::new_with_metadata(window, self.metadata.clone())
            .with_row_groups(vec![group])
            .with_batch_size(BATCH_ROWS)
            .build()
            .map(|reader| Batches { reader, schema: self.table.arrow_schema() })
            .map_err(|error| self.unreadable(&error.to_string()))
    }

    /// Where the columns of a row group are.
    fn range(&self, group: usize) -> (u64, u64) {
        let ranges = || {
            let columns = self.metadata.metadata().row_group(group).columns();
            columns.iter().map(parquet::file::metadata::ColumnChunkMetaData::byte_range)
        };
        let start = ranges().map(|(start, _)| start).min().unwrap_or(0);
        let end = ranges().map(|(start, length)| start.saturating_add(length)).max().unwrap_or(0);
        (start, end.max(start))
    }

    /// That as many rows were read, of the file and those before it, as footers promise.
    pub(super) fn counts(&self, promised: usize, read: usize) -> Result<(), LakeError> {
        if promised == read {
            return Ok(());
        }
        Err(self.unreadable(&format!("{read} of {promised} rows were read")))
    }

    /// An error that says what is wrong with the file.
    pub(super) fn unreadable(&self, what: &str) -> LakeError {
        unreadable(self.table, &self.path, what)
    }
}

/// The columns that a file of the table has: one of an earlier program lacks those that came later.
fn schema_of(table: TableName, footer: &ParquetMetaData) -> SchemaRef {
    let columns = footer.file_metadata().schema_descr();
    let has = |name: &str| columns.columns().iter().any(|column| column.name() == name);
    let late = table.columns().iter().filter(|column| column.came_later && !has(column.name));
    let late: Vec<&str> = late.map(|column| column.name).collect();
    let schema = table.arrow_schema();
    let fields = schema.fields().iter().filter(|field| !late.contains(&field.name().as_str()));
    Arc::new(Schema::new(fields.cloned().collect::<Vec<_>>()))
}

/// The rows of a row group, with all columns of the table.
pub(super) struct Batches {
    reader: ParquetRecordBatchReader,
    schema: SchemaRef,
}

impl Iterator for Batches {
    type Item = Result<RecordBatch, ArrowError>;

    fn next(&mut self) -> Option<Self::Item> {
        let batch = self.reader.next()?;
        Some(batch.and_then(|batch| {
            if batch.num_columns() == self.schema.fields().len() {
                return Ok(batch);
            }
            let column = |field: &FieldRef| {
                let known = batch.column_by_name(field.name()).cloned();
                known.unwrap_or_else(|| new_null_array(field.data_type(), batch.num_rows()))
            };
            let columns = self.schema.fields().iter().map(column).collect();
            RecordBatch::try_new(Arc::clone(&self.schema), columns)
        }))
    }
}

fn unreadable(table: TableName, path: &str, what: &str) -> LakeError {
    LakeError::Unreadable { table, file: path.to_owned(), what: what.to_owned() }
}

/// Where the store has the file that the log of `table` calls `path`.
fn location(engine: &Engine, table: TableName, path: &str) -> Result<Path, LakeError> {
    let wrong = |reason: String| LakeError::Location { url: path.to_owned(), reason };
    let url = engine.place.table(table).join(path).map_err(|error| wrong(error.to_string()))?;
    Path::from_url_path(url.path()).map_err(|error| wrong(error.to_string()))
}

/// A stretch of a file, whole.
fn range(engine: &Engine, location: &Path, range: Range<u64>) -> Result<Bytes, LakeError> {
    let length = range.end - range.start;
    let read = engine.block_on(async {
        let bytes = engine.place.store.get_range(location, range).await?;
        if u64::try_from(bytes.len()).ok() == Some(length) {
            return Ok(bytes);
        }
        Err(StoreError::Generic { store: "lake", source: "it was cut short".into() })
    });
    read.map_err(|error| LakeError::store(format!("read `{location}`"), error))
}

/// What a file says of itself; the outer error is the store's.
fn footer(
    engine: &Engine,
    location: &Path,
    bytes: u64,
) -> Result<Result<ParquetMetaData, ParquetError>, LakeError> {
    let mut tail = FOOTER_BYTES;
    loop {
        let start = bytes.saturating_sub(tail);
        let read = range(engine, location, start..bytes)?;
        let mut reader = ParquetMetaDataReader::new().with_page_index_policy(PageIndexPolicy::Skip);
        match reader.try_parse_sized(&read, bytes) {
            Ok(()) => return Ok(reader.finish()),
            Err(ParquetError::NeedMoreData(needed)) if start > 0 => {
                // Always more than before: so it comes to an end.
                tail = u64::try_from(needed).unwrap_or(bytes).max(tail * 2);
            }
            Err(error) => return Ok(Err(error)),
        }
    }
}

/// A stretch of a file that knows where it was.
#[derive(Debug)]
struct Window {
    start: u64,
    bytes: Bytes,
    /// Of the whole file.
    length: u64,
}

impl Window {
    fn from(&self, start: u64) -> Result<Bytes, ParquetError> {
        let offset = start.checked_sub(self.start).and_then(|offset| usize::try_from(offset).ok());
        let offset = offset.filter(|offset| *offset <= self.bytes.len());
        let offset = offset.ok_or_else(|| outside(start))?;
        Ok(self.bytes.slice(offset..))
    }
}

fn outside(start: u64) -> ParquetError {
    ParquetError::General(format!("byte {start} belongs to another row group"))
}

impl Length for Window {
    fn len(&self) -> u64 {
        self.length
    }
}

impl ChunkReader for Window {
    type T = Reader<Bytes>;

    fn get_read(&self, start: u64) -> parquet::errors::Result<Self::T> {
        Ok(self.from(start)?.reader())
    }

    fn get_bytes(&self, start: u64, length: usize) -> parquet::errors::Result<Bytes> {
        let bytes = self.from(start)?;
        if bytes.len() < length {
            return Err(outside(start));
        }
        Ok(bytes.slice(..length))
    }
}
