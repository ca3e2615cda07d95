//! What versions have taken out of a table lately: the `remove` entries of its log.
//!
//! A checkpoint keeps them for as long as files that were removed are kept (a week), so the newest one and the entries
//! since know all of that time: some hundred requests, however long the log is. Where one of them is not there, or was
//! written by somebody in another form, nobody can tell, and that is an error.

use std::collections::BTreeMap;

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::Int64Type;
use object_store::{Error as StoreError, ObjectStoreExt};
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use serde_json::Value;

use super::engine::Engine;
use super::error::LakeError;
use super::judge::file_name;
use super::log::TableLog;
use super::place::{checkpoint, last_checkpoint};

/// Files by name, and when they were taken out, ms.
type Removed = BTreeMap<String, i64>;

impl TableLog {
    /// Files that were taken out at or after `since_ms`, by name; those of others, too.
    pub(super) fn removed_since(
        &self,
        engine: &Engine,
        since_ms: i64,
    ) -> Result<Removed, LakeError> {
        let mut removed = Removed::new();
        let checkpoint = self.newest_checkpoint(engine)?;
        if let Some(version) = checkpoint {
            self.read_checkpoint(engine, version, &mut removed)?;
        }
        for version in checkpoint.map_or(0, |version| version + 1)..=self.version() {
            read_entry(&self.read_entry(engine, version)??, &mut removed);
        }
        removed.retain(|_, removed_ms| *removed_ms >= since_ms);
        Ok(removed)
    }

    /// The version of the newest checkpoint, as the log's own hint says; `None` if there is none.
    pub(super) fn newest_checkpoint(&self, engine: &Engine) -> Result<Option<u64>, LakeError> {
        let path = engine.place.path(&last_checkpoint(self.table))?;
        let read = engine.block_on(async { engine.place.store.get(&path).await?.bytes().await });
        let bytes = match read {
            Ok(bytes) => bytes,
            Err(StoreError::NotFound { .. }) => return Ok(None),
            Err(error) => return Err(LakeError::store(format!("read `{path}`"), error)),
        };
        let hint: Value = serde_json::from_slice(&bytes).unwrap_or_default();
        let is_whole = hint["parts"].is_null();
        let version = hint["version"].as_u64().filter(|_| is_whole);
        let unknown = || self.strange(path.as_ref(), "it names no checkpoint in one piece");
        version.map(Some).ok_or_else(unknown)
    }

    fn read_checkpoint(
        &self,
        engine: &Engine,
        version: u64,
        removed: &mut Removed,
    ) -> Result<(), LakeError> {
        let path = engine.place.path(&checkpoint(self.table, version))?;
        let bytes = engine
            .block_on(async { engine.place.store.get(&path).await?.bytes().await })
            .map_err(|error| LakeError::store(format!("read `{path}`"), error))?;
        let strange = |what: String| self.strange(path.as_ref(), &what);
        let builder = ParquetRecordBatchReaderBuilder::try_new(bytes);
        let builder = builder.map_err(|error| strange(error.to_string()))?;
        let columns = ["remove.path", "remove.deletionTimestamp"];
        let columns = ProjectionMask::columns(builder.parquet_schema(), columns);
        let batches = builder.with_projection(columns).build();
        for batch in batches.map_err(|error| strange(error.to_string()))? {
            let batch = batch.map_err(|error| strange(error.to_string()))?;
            let known = read_batch(&batch, removed);
            known.ok_or_else(|| strange("it does not tell what was removed".to_owned()))?;
        }
        Ok(())
    }

    fn strange(&self, file: &str, what: &str) -> LakeError {
        LakeError::Unreadable { table: self.table, file: file.to_owned(), what: what.to_owned() }
    }
}

/// Takes in what an entry removes. What it puts back was never one of ours: names are not used twice.
fn read_entry(entry: &[u8], removed: &mut Removed) {
    let lines = entry.split(|&byte| byte == b'\n').filter(|line| !line.is_empty());
    for action in lines.filter_map(|line| serde_json::from_slice::<Value>(line).ok()) {
        if let Some(path) = action["remove"]["path"].as_str() {
            // One that does not say when is as good as one of just now.
            let removed_ms = action["remove"]["deletionTimestamp"].as_i64().unwrap_or(i64::MAX);
            removed.insert(file_name(path), removed_ms);
        }
    }
}

/// Takes in what a batch of a checkpoint says was removed; `None` if it has other columns.
fn read_batch(batch: &RecordBatch, removed: &mut Removed) -> Option<()> {
    let actions = batch.column_by_name("remove")?.as_struct_opt()?;
    let paths = actions.column_by_name("path")?.as_string_opt::<i32>()?;
    let times = actions.column_by_name("deletionTimestamp")?.as_primitive_opt::<Int64Type>()?;
    for row in (0..batch.num_rows()).filter(|&row| actions.is_valid(row) && paths.is_valid(row)) {
        let removed_ms = if times.is_null(row) { i64::MAX } else { times.value(row) };
        removed.insert(file_name(paths.value(row)), removed_ms);
    }
    Some(())
}
