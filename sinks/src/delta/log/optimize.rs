//! One version that puts merged files in the place of those they were merged from.
//!
//! ```text
//!   beside the committer                                in its turn
//!   clone of the log ──► transaction {remove, add,  ──► the log is still at the clone's version?
//!        ▲                dataChange = false}             │ yes: put if absent ──► done
//!        └────────────────── no, or a conflict ───────────┘
//! ```
//!
//! 1. The version removes files and adds others **without changing data**: `dataChange` is false on all of them, it
//!    carries neither `txn` nor domain metadata, so the committed cut and the chain of digests stay what they are.
//!    *With a `txn`, the next cut would be refused as known; with new domain metadata the chain would have a gap.*
//! 2. It is prepared on a clone, for that reads the whole log, and put while the log is locked. *So a commit waits for
//!    one put, and the next cut is built upon this version: our own is not met as a stranger's.*
//! 3. Every file that is removed must be live in the very version it is built upon. *Somebody else's compaction may
//!    have been there first, and what it removed would be there twice.*
//! 4. After an unknown outcome the log is read again, as for a commit. Version by version it is judged like anybody's:
//!    an OPTIMIZE is harmless, whoever wrote it. Whether ours is there is seen by its files.
//! 5. A log that a failed commit has left in doubt is not touched: only whoever tried it can tell its version from
//!    another writer's.

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::array::{Array, AsArray, StructArray};
use delta_kernel::committer::FileSystemCommitter;
use delta_kernel::engine::arrow_data::ArrowEngineData;
use delta_kernel::engine_data::FilteredEngineData;
use delta_kernel::transaction::{CommitResult, Transaction, UpdateTableOperation};
use delta_kernel::{KernelError, KernelResult};
use plumeline_pipelines::model::Tick;

use super::{Added, Attempt, ENGINE_INFO, TableLog, checkpoint_versions};
use crate::delta::engine::Engine;
use crate::delta::error::LakeError;
use crate::delta::place::MergedFileName;

/// A merged file that the store has.
#[derive(Clone, Debug)]
pub(in crate::delta) struct MergedFile {
    pub(in crate::delta) name: MergedFileName,
    pub(in crate::delta) rows: usize,
    pub(in crate::delta) bytes: u64,
    /// As [`crate::delta::file::SealedFile::statistics`].
    pub(in crate::delta) statistics: StructArray,
}

/// What takes the place of what.
#[derive(Clone, Debug)]
pub(in crate::delta) struct Replacement {
    /// Paths of live files, as the log has them.
    pub(in crate::delta) removed: BTreeSet<String>,
    pub(in crate::delta) added: Vec<MergedFile>,
    /// The ledger's cut when they were written.
    pub(in crate::delta) written: Tick,
}

/// What became of a replacement.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(in crate::delta) enum Optimized {
    /// It is in the log.
    Done,
    /// What was to be removed is no longer live, or not all of it: nothing was done.
    Overtaken,
    /// A commit is in doubt: nothing was done.
    Busy,
    /// The log has moved on, or may have: look again.
    Again,
}

impl TableLog {
    /// A transaction on this log as it is; `None` if what is to be removed is not live.
    pub(in crate::delta) fn prepare(
        &self,
        engine: &Engine,
        replacement: &Replacement,
    ) -> Result<Option<Transaction>, LakeError> {
        self.prepared(engine, replacement)
            .map_err(LakeError::log(self.table, "prepare a compaction"))
    }

    fn prepared(
        &self,
        engine: &Engine,
        replacement: &Replacement,
    ) -> KernelResult<Option<Transaction>> {
        let Some(first) = replacement.added.first() else { return Ok(None) };
        let mut transaction = Arc::clone(&self.snapshot)
            .update_table(UpdateTableOperation::Optimize, ENGINE_INFO, false)
            .build(&*engine.kernel, Box::new(FileSystemCommitter::new()))?;
        let mut found = 0;
        let scan = self.snapshot().scan_builder().build()?;
        for files in scan.scan_metadata(&*engine.kernel)? {
            let (data, selected) = files?.scan_files.into_parts();
            let data = ArrowEngineData::try_from_engine_data(data)?;
            let selected = removed(&data, selected, &replacement.removed)?;
            let count = selected.iter().filter(|is_selected| **is_selected).count();
            if count > 0 {
                found += count;
                transaction.remove_files(FilteredEngineData::try_new(data, selected)?);
            }
        }
        if found != replacement.removed.len() {
            return Ok(None);
        }
        let added = replacement.added.iter().map(|file| Added {
            path: file.name.below_table(),
            written_ms: replacement.written.ms(),
            bytes: file.bytes,
            statistics: &file.statistics,
        });
        self.add(&mut transaction, first.name.first, added)?;
        Ok(Some(transaction))
    }

    /// Puts what was prepared when the log was at `version`.
    ///
    /// # Errors
    /// If the store fails: whether the version is there shows at the next look.
    pub(in crate::delta) fn replace(
        &mut self,
        engine: &Engine,
        version: u64,
        transaction: Transaction,
    ) -> Result<Optimized, LakeError> {
        if self.is_doubted {
            return Ok(Optimized::Busy);
        }
        if self.version() != version {
            return Ok(Optimized::Again);
        }
        // No cut is being committed while the log is locked: a version under our `txn` is another process's.
        let nothing = Attempt { cut: Tick::ZERO, files: BTreeSet::new() };
        let failure = match transaction.commit(&*engine.kernel) {
            Ok(CommitResult::Committed(committed)) => {
                let since = committed.post_commit_stats().commits_since_checkpoint;
                match committed.post_commit_snapshot() {
                    Some(snapshot) => self.snapshot = Arc::clone(snapshot),
                    None => self.reload(engine, &nothing)?,
                }
                if since >= checkpoint_versions() {
                    self.checkpoint(engine);
                }
                return Ok(Optimized::Done);
            }
            Ok(CommitResult::Conflicted(_)) => None,
            Ok(CommitResult::Retryable(retryable)) => Some(retryable.error),
            Err(error) => Some(error),
        };
        self.is_doubted = failure.is_some();
        self.reload(engine, &nothing)?;
        match failure {
            // Ours may be among what was found: then what it removed is no longer live.
            Some(error) if self.version() == version => {
                Err(LakeError::log(self.table, "commit a compaction")(error))
            }
            _ => Ok(Optimized::Again),
        }
    }

    /// Whether all of these files are live.
    pub(in crate::delta) fn has_merged(
        &self,
        engine: &Engine,
        merged: &[MergedFile],
    ) -> Result<bool, LakeError> {
        let merged: BTreeSet<_> = merged.iter().map(|file| file.name.below_table()).collect();
        let live = self.live_files(engine, |path| merged.contains(path))?;
        Ok(live.len() == merged.len())
    }
}

/// Which of the files of `data` that are `selected` are to be removed. What a selection does not reach is selected.
fn removed(
    data: &ArrowEngineData,
    mut selected: Vec<bool>,
    paths: &BTreeSet<String>,
) -> KernelResult<Vec<bool>> {
    let batch = data.record_batch();
    selected.resize(batch.num_rows(), true);
    let column = batch.column_by_name("path").and_then(|column| column.as_string_opt::<i32>());
    let column = column.ok_or_else(|| KernelError::generic("files of a log without paths"))?;
    for (row, is_selected) in selected.iter_mut().enumerate() {
        *is_selected &= !column.is_null(row) && paths.contains(column.value(row));
    }
    Ok(selected)
}
