//! Rows of several files in one order: sorted in memory, or merged from files that are sorted.
//!
//! ```text
//! Sort:   files of cuts ──row groups──► up to 512 Ki rows ──sort──► a sorted file, and so on
//! Merge:  sorted files ──a row group each──► the least row of all ──► chunks of 8 Ki rows ──► files of 128 MiB
//! ```
//!
//! 1. Rows are compared by their keys alone, as bytes (`arrow::row`); the rows themselves stay columns. A chunk is put
//!    together by taking its rows out of the batches at hand.
//! 2. **Memory**: sorting holds [`SORTED_ROWS_MAX`] rows, some 100 MB, whatever a cut had. Merging holds a row group of
//!    each file as it is stored, [`HELD_BYTES_MAX`] together, and a batch of each, decoded. Writing holds one file.
//! 3. A file that says it is sorted and is not is an error: what was made of it would say so, too.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::Arc;

use arrow::array::{ArrayRef, UInt32Array};
use arrow::compute::{concat_batches, interleave_record_batch, take_record_batch};
use arrow::error::ArrowError;
use arrow::record_batch::RecordBatch;
use arrow::row::{OwnedRow, RowConverter, Rows, SortField};

use super::layout::{ASCENDING, order_columns};
use super::plan::Candidate;
use super::read::{BATCH_ROWS, Batches, Source};
use crate::delta::engine::Engine;
use crate::delta::error::LakeError;
use crate::delta::table::TableName;

/// Rows that are sorted at once.
pub(super) const SORTED_ROWS_MAX: usize = 512 * 1024;
/// Row groups of the files that are merged, as they are stored: so many bytes together.
pub(super) const HELD_BYTES_MAX: u64 = 128 * 1024 * 1024;

/// What comes of sorting or merging: chunks of rows in order, and where a sorted stretch ends.
pub(super) trait Chunks {
    /// Takes the next rows.
    fn chunk(&mut self, rows: &RecordBatch) -> Result<(), LakeError>;

    /// What comes next is not sorted with what came.
    fn end(&mut self) -> Result<(), LakeError>;
}

/// What rows of a table are compared by.
#[derive(Debug)]
struct Keys {
    table: TableName,
    columns: Vec<usize>,
    converter: RowConverter,
}

impl Keys {
    fn new(table: TableName) -> Result<Self, LakeError> {
        let (schema, columns) = (table.arrow_schema(), order_columns(table));
        let field = |&index: &usize| {
            SortField::new_with_options(schema.field(index).data_type().clone(), ASCENDING)
        };
        let converter = RowConverter::new(columns.iter().map(field).collect());
        let converter = converter.map_err(|error| failed(table, error))?;
        Ok(Self { table, columns, converter })
    }

    fn of(&self, batch: &RecordBatch) -> Result<Rows, LakeError> {
        let columns: Vec<ArrayRef> =
            self.columns.iter().map(|&index| Arc::clone(batch.column(index))).collect();
        self.converter.convert_columns(&columns).map_err(|error| failed(self.table, error))
    }
}

fn failed(table: TableName, error: ArrowError) -> LakeError {
    LakeError::Encode { table, source: error.into() }
}

/// Sorts the rows of `files`, so many at a time; returns how many there were. `None` if it was to end.
pub(super) fn sort(
    engine: &Engine,
    table: TableName,
    files: &[Candidate],
    go_on: &dyn Fn() -> bool,
    into: &mut impl Chunks,
) -> Result<Option<usize>, LakeError> {
    let keys = Keys::new(table)?;
    let (mut held, mut held_rows, mut rows) = (Vec::new(), 0, 0);
    let mut promised = 0;
    for file in files {
        let source = Source::open(engine, table, file)?;
        promised += source.rows()?;
        for group in 0..source.groups() {
            for batch in source.batches(engine, group)? {
                let batch = batch.map_err(|error| source.unreadable(&error.to_string()))?;
                rows += batch.num_rows();
                held_rows += batch.num_rows();
                held.push(batch);
                if held_rows >= SORTED_ROWS_MAX {
                    sort_held(&keys, &std::mem::take(&mut held), into)?;
                    held_rows = 0;
                }
            }
            if !go_on() {
                return Ok(None);
            }
        }
        source.counts(promised, rows)?;
    }
    sort_held(&keys, &held, into)?;
    Ok(Some(rows))
}

fn sort_held(keys: &Keys, held: &[RecordBatch], into: &mut impl Chunks) -> Result<(), LakeError> {
    if held.is_empty() {
        return Ok(());
    }
    let failed = |error| failed(keys.table, error);
    let batch = concat_batches(&keys.table.arrow_schema(), held).map_err(failed)?;
    let rows = keys.of(&batch)?;
    let count = u32::try_from(batch.num_rows()).expect("fewer than 2^32 rows are held");
    let mut order: Vec<u32> = (0..count).collect();
    let place = |index: u32| usize::try_from(index).expect("a row's place fits a usize");
    order.sort_unstable_by(|&a, &b| rows.row(place(a)).cmp(&rows.row(place(b))).then(a.cmp(&b)));
    drop(rows);
    for chunk in order.chunks(BATCH_ROWS) {
        let indices = UInt32Array::from(chunk.to_vec());
        into.chunk(&take_record_batch(&batch, &indices).map_err(failed)?)?;
    }
    into.end()
}

/// Merges `sources`, each of which is sorted; returns how many rows there were. `None` if it was to end.
pub(super) fn merge(
    engine: &Engine,
    table: TableName,
    sources: &[Source],
    go_on: &dyn Fn() -> bool,
    into: &mut impl Chunks,
) -> Result<Option<usize>, LakeError> {
    let mut merge = Merge::new(engine, table, sources)?;
    let mut rows = 0;
    while let Some(chunk) = merge.next_chunk()? {
        rows += chunk.num_rows();
        into.chunk(&chunk)?;
        if !go_on() {
            return Ok(None);
        }
    }
    into.end()?;
    let promised = sources.iter().map(Source::rows).sum::<Result<usize, LakeError>>()?;
    if let Some(source) = sources.last() {
        source.counts(promised, rows)?;
    }
    Ok(Some(rows))
}

struct Merge<'s> {
    engine: &'s Engine,
    keys: Keys,
    cursors: Vec<Cursor<'s>>,
    /// The next row of each cursor that has one.
    least: BinaryHeap<Reverse<(OwnedRow, usize)>>,
}

/// Where a sorted file is read.
struct Cursor<'s> {
    source: &'s Source,
    next_group: usize,
    batches: Option<Batches>,
    /// The rows at hand, and their keys.
    batch: Option<(RecordBatch, Rows)>,
    row: usize,
}

/// Rows taken out of batches, by the place of the batch among `batches` and theirs in it.
#[derive(Default)]
struct Taken {
    batches: Vec<RecordBatch>,
    rows: Vec<(usize, usize)>,
}

impl<'s> Merge<'s> {
    fn new(engine: &'s Engine, table: TableName, sources: &'s [Source]) -> Result<Self, LakeError> {
        let cursors = sources.iter().map(|source| Cursor {
            source,
            next_group: 0,
            batches: None,
            batch: None,
            row: 0,
        });
        let mut merge = Self {
            engine,
            keys: Keys::new(table)?,
            cursors: cursors.collect(),
            least: BinaryHeap::new(),
        };
        for index in 0..merge.cursors.len() {
            if merge.cursors[index].load(engine, &merge.keys)? {
                merge.offer(index);
            }
        }
        Ok(merge)
    }

    /// The cursor has rows: its next one takes part.
    fn offer(&mut self, index: usize) {
        let cursor = &self.cursors[index];
        if let Some((_, keys)) = &cursor.batch {
            self.least.push(Reverse((keys.row(cursor.row).owned(), index)));
        }
    }

    /// The next rows of all.
    fn next_chunk(&mut self) -> Result<Option<RecordBatch>, LakeError> {
        let mut taken = Taken::default();
        // Where the batch at hand of each cursor is in `taken`.
        let mut places: Vec<Option<usize>> = vec![None; self.cursors.len()];
        while taken.rows.len() < BATCH_ROWS {
            let Some(Reverse((key, index))) = self.least.pop() else { break };
            let cursor = &mut self.cursors[index];
            let Some((batch, keys)) = &cursor.batch else { continue };
            let place = *places[index].get_or_insert_with(|| {
                taken.batches.push(batch.clone());
                taken.batches.len() - 1
            });
            taken.rows.push((place, cursor.row));
            cursor.row += 1;
            let is_behind = |row| keys.row(row) < key.row();
            let is_loaded = cursor.row < keys.num_rows();
            if is_loaded && is_behind(cursor.row) {
                return Err(cursor.unsorted());
            }
            if !is_loaded {
                places[index] = None;
                if !cursor.load(self.engine, &self.keys)? {
                    continue;
                }
                if cursor.batch.as_ref().is_some_and(|(_, keys)| keys.row(0) < key.row()) {
                    return Err(cursor.unsorted());
                }
            }
            self.offer(index);
        }
        if taken.rows.is_empty() {
            return Ok(None);
        }
        let batches: Vec<&RecordBatch> = taken.batches.iter().collect();
        let chunk = interleave_record_batch(&batches, &taken.rows);
        chunk.map(Some).map_err(|error| failed(self.keys.table, error))
    }
}

impl Cursor<'_> {
    /// Loads the next rows; `false` if there are none.
    fn load(&mut self, engine: &Engine, keys: &Keys) -> Result<bool, LakeError> {
        (self.row, self.batch) = (0, None);
        loop {
            if let Some(batch) = self.batches.as_mut().and_then(Iterator::next) {
                let batch = batch.map_err(|error| self.source.unreadable(&error.to_string()))?;
                if batch.num_rows() == 0 {
                    continue;
                }
                let rows = keys.of(&batch)?;
                self.batch = Some((batch, rows));
                return Ok(true);
            }
            if self.next_group == self.source.groups() {
                return Ok(false);
            }
            self.batches = None;
            self.batches = Some(self.source.batches(engine, self.next_group)?);
            self.next_group += 1;
        }
    }

    fn unsorted(&self) -> LakeError {
        self.source.unreadable("its name says that it is sorted, and it is not")
    }
}
