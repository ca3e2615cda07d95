//! Small files of closed hours are merged to large sorted ones, while commits go on.
//!
//! ```text
//!  committer          cut ──► cut ──► cut ──► cut ───────────► cut ──► cut
//!  (its thread)                         │              put if absent ▲   (its turn: one put)
//!  compactor          log, as it is ◄───┘                     │
//!  (its own thread)   plan ─► read, sort or merge ─► files ───┘
//!                                                      │ week later
//!  vacuum             the files that were merged ──────┴──► deleted
//! ```
//!
//! 1. **What is due is decided from the log** ([`mod@plan`]): small files of a slot or day whose cuts are all older than
//!    `compact_after`, the committed cut being "now". *No clock: a replay merges the same.*
//! 2. **Files are read, sorted or merged, and put** beside the committer, a row group at a time ([`mod@read`], [`mod@merge`]). No
//!    reader sees them: no version names them. *So a crash leaves orphans, and nothing else.*
//! 3. **The rows are counted**: those that were read must be those that were written, and those that footers promise.
//! 4. **One version takes the old files out and the new ones in**, without changing data (`log/optimize.rs`). It has no
//!    `txn`, so the committed cut is what it was; the committer's next version is built upon it.
//! 5. What was taken out stays where it is for a week, for whoever reads an older version; then the vacuum deletes it
//!    (`vacuum.rs`).
//!
//! **What breaks without**: 1 would merge an hour's files again each minute; 2 would hold up commits for as long as a
//! day is merged; 3 would let a mistake of ours take rows out of the ledger without a trace; with two versions in
//! place of the one of 4 readers would see rows twice, or not at all.
//!
//! **A restart** sees either version, and plans anew from it: what was under way is not remembered. **A row keeps its
//! `recorded_at`**, so readers tell cuts apart by it and by nothing else; a merged file's name says between which cuts
//! its rows are. **Memory** is bounded as [`mod@merge`] tells; the caller says at each chunk whether to go on, and may
//! have it wait.
//!
//! Rejected: the committer merging between two cuts, in steps. A step that is small enough not to be noticed is too
//! small for a file that is put in one piece; and whatever it holds it would hold across commits. Rejected: a txn of
//! its own for compactions. They are idempotent: what is merged twice is merged once, since files that are no longer
//! live are not merged.

#[cfg(test)]
mod faults_tests;
mod layout;
mod merge;
mod plan;
mod read;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow::record_batch::RecordBatch;
use object_store::{Error as StoreError, PutMode, PutOptions};
use plumeline_pipelines::model::Tick;

use super::engine::Engine;
use super::error::LakeError;
use super::file::OpenFile;
use super::lake::{Lake, Shared};
use super::log::{MergedFile, Optimized, Replacement, TableLog};
use super::place::{FileName, MergedFileName, folder_day_ms, recorded_date};
use super::table::TableName;
use merge::{Chunks, HELD_BYTES_MAX, merge, sort};
use plan::{Candidate, Ripeness, Small, Work, plan};
use read::Source;

/// A merged file that has grown so large is sealed, bytes.
const FILE_BYTES_MAX: usize = 128 * 1024 * 1024;
const _: () = assert!(FILE_BYTES_MAX as u64 >= 2 * plan::SMALL_BYTES);
/// How often a version may be prepared anew because a commit was faster.
const TRIES_MAX: usize = 10;

/// What one step of a compaction did.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct Compacted {
    /// The table.
    pub table: TableName,
    /// The ledger's committed cut when it began.
    pub ledger: Tick,
    /// Rows that were moved.
    pub rows: usize,
    /// Files that were merged.
    pub files_in: usize,
    /// Bytes of these.
    pub bytes_in: u64,
    /// Files that took their place.
    pub files_out: usize,
    /// Bytes of these.
    pub bytes_out: u64,
}

/// Merges files of a lake that is open, beside its writer. One a lake; see the module's documentation.
///
/// Calls block, for as long as a merge takes: its place is a thread of its own.
#[derive(Debug)]
pub struct Compactor {
    shared: Arc<Shared>,
    after_ms: i64,
    /// Slots that were over when there was nothing left to do, by table.
    done: BTreeMap<TableName, i64>,
    /// Days that hold what cannot be read: whoever looks at them tells.
    given_up: BTreeSet<(TableName, i64)>,
}

impl Lake {
    /// What merges files all of whose cuts are older than `after_ms`, in milliseconds, at least one.
    #[must_use]
    pub fn compactor(&self, after_ms: i64) -> Compactor {
        let shared = Arc::clone(self.shared());
        Compactor {
            shared,
            after_ms: after_ms.max(1),
            done: BTreeMap::new(),
            given_up: BTreeSet::new(),
        }
    }
}

impl Compactor {
    /// Does the next thing that is due, in one version of one table; `None` if nothing is, or it was to end.
    ///
    /// `go_on` is asked every few thousand rows; it may wait, and `false` ends the step without a trace in the log.
    ///
    /// # Errors
    /// If the store fails, or a file cannot be read; the tables are as they were, or compacted. The call may be made
    /// again after any error: what can never be read is left alone from then on.
    pub fn step(&mut self, go_on: &dyn Fn() -> bool) -> Result<Option<Compacted>, LakeError> {
        let activity = self.log(TableName::Activity);
        let Some(ledger) = activity.committed() else { return Ok(None) };
        let ripeness = Ripeness { after_ms: self.after_ms, now_ms: ledger.ms() };
        for table in TableName::ALL {
            if self.done.get(&table).is_some_and(|slots| *slots >= ripeness.slots()) {
                continue;
            }
            let log = self.log(table);
            if log.is_doubted() {
                continue;
            }
            if let Some((day_ms, work)) = self.next_work(&log, ripeness)? {
                let outcome = self.perform(&log, &work, ledger, go_on);
                if outcome.as_ref().is_err_and(|error| !error.transient()) {
                    self.given_up.insert((table, day_ms));
                }
                return outcome;
            }
            self.done.insert(table, ripeness.slots());
            if !go_on() {
                return Ok(None);
            }
        }
        Ok(None)
    }

    fn log(&self, table: TableName) -> TableLog {
        self.shared.state().logs[&table].clone()
    }

    /// What is due in a table, and the start of its day, ms: the newest day first, for most queries ask for it.
    fn next_work(
        &self,
        log: &TableLog,
        ripeness: Ripeness,
    ) -> Result<Option<(i64, Work)>, LakeError> {
        let (engine, table) = (&self.shared.engine, log.table);
        let mut days: BTreeMap<i64, Small> = BTreeMap::new();
        log.each_file(engine, |file| {
            if let Some((day_ms, name)) = ours(table, &file.path) {
                days.entry(day_ms).or_default().add(name, file.bytes);
            }
        })?;
        for (day_ms, small) in days.into_iter().rev() {
            let is_over = ripeness.is_day_over(day_ms);
            if !small.is_worth_it(is_over) || self.given_up.contains(&(table, day_ms)) {
                continue;
            }
            let mut files = Vec::new();
            log.each_file(engine, |file| {
                if let Some((_, name)) = ours(table, &file.path).filter(|(day, _)| *day == day_ms) {
                    files.push(Candidate { name, path: file.path, bytes: file.bytes });
                }
            })?;
            if let Some(work) = plan(day_ms, files, ripeness) {
                return Ok(Some((day_ms, work)));
            }
        }
        Ok(None)
    }

    fn perform(
        &self,
        log: &TableLog,
        work: &Work,
        ledger: Tick,
        go_on: &dyn Fn() -> bool,
    ) -> Result<Option<Compacted>, LakeError> {
        fail::fail_point!("compact-begin");
        let (engine, table) = (&self.shared.engine, log.table);
        let mut files = work.files();
        let mut output = Output::new(&self.shared, table, files);
        let rows = match work {
            Work::Sort(_) => sort(engine, table, files, go_on, &mut output)?,
            Work::Merge(_) => {
                let sources = open(engine, table, files)?;
                files = &files[..sources.len()];
                output.of(files);
                merge(engine, table, &sources, go_on, &mut output)?
            }
        };
        let Some(rows) = rows else { return Ok(None) };
        let added = output.stored;
        let written: usize = added.iter().map(|file| file.rows).sum();
        if written != rows {
            let file = files.first().map_or_else(String::new, |file| file.path.clone());
            let what = format!("{rows} rows were read of it and others, and {written} written");
            return Err(LakeError::Unreadable { table, file, what });
        }
        let compacted = Compacted {
            table,
            ledger,
            rows,
            files_in: files.len(),
            bytes_in: files.iter().map(|file| file.bytes).sum(),
            files_out: added.len(),
            bytes_out: added.iter().map(|file| file.bytes).sum(),
        };
        let removed = files.iter().map(|file| file.path.clone()).collect();
        let replacement = Replacement { removed, added, written: ledger };
        let outcome = self.commit(table, &replacement)?;
        Ok((outcome == Optimized::Done).then_some(compacted))
    }

    /// Puts the version, in the committer's turn.
    fn commit(&self, table: TableName, replacement: &Replacement) -> Result<Optimized, LakeError> {
        let engine = &self.shared.engine;
        for _ in 0..TRIES_MAX {
            let log = self.log(table);
            let Some(transaction) = log.prepare(engine, replacement)? else {
                // An earlier try may have reached the log, whatever it was answered.
                let is_there = log.has_merged(engine, &replacement.added)?;
                return Ok(if is_there { Optimized::Done } else { Optimized::Overtaken });
            };
            fail::fail_point!("compact-commit");
            let mut state = self.shared.state();
            let current = state.logs.get_mut(&table).expect("every table is open");
            let outcome = current.replace(engine, log.version(), transaction)?;
            drop(state);
            fail::fail_point!("compact-commit-done");
            if outcome != Optimized::Again {
                return Ok(outcome);
            }
        }
        Err(LakeError::Contended { table })
    }
}

/// The name of a live file of ours, and the start of the day in whose folder it is, ms; `None` for those of others.
fn ours(table: TableName, path: &str) -> Option<(i64, FileName)> {
    let (day_ms, name) = (folder_day_ms(path)?, FileName::parse(table, path)?);
    // One in another day's folder is a copy that somebody else has made.
    let is_at_home = path == name.relative().strip_prefix(table.name())?.strip_prefix('/')?;
    is_at_home.then_some((day_ms, name))
}

/// Opens sorted files, as many of the first as may be merged at once.
fn open(engine: &Engine, table: TableName, files: &[Candidate]) -> Result<Vec<Source>, LakeError> {
    let (mut sources, mut held) = (Vec::new(), 0);
    for file in files {
        let source = Source::open(engine, table, file)?;
        held += source.group_bytes_max();
        // Two make progress, whatever they hold.
        if sources.len() >= 2 && held > HELD_BYTES_MAX {
            break;
        }
        sources.push(source);
    }
    Ok(sources)
}

/// Merged files on their way to the store.
struct Output<'s> {
    shared: &'s Shared,
    table: TableName,
    /// No row is of an earlier or a later cut.
    cuts: (Tick, Tick),
    sequence: usize,
    open: Option<OpenFile>,
    stored: Vec<MergedFile>,
}

impl<'s> Output<'s> {
    fn new(shared: &'s Shared, table: TableName, files: &[Candidate]) -> Self {
        let cuts = (Tick::ZERO, Tick::ZERO);
        let mut output = Self { shared, table, cuts, sequence: 0, open: None, stored: Vec::new() };
        output.of(files);
        output
    }

    /// Its rows come from these files.
    fn of(&mut self, files: &[Candidate]) {
        let first = files.iter().map(|file| file.name.first()).min().unwrap_or(Tick::ZERO);
        let last = files.iter().map(|file| file.name.last()).max().unwrap_or(first);
        debug_assert_eq!(recorded_date(first), recorded_date(last));
        self.cuts = (first, last);
    }

    /// Puts a file under the first name that is free.
    fn put(&mut self, file: OpenFile) -> Result<(), LakeError> {
        let sealed = file.seal()?;
        let bytes = u64::try_from(sealed.payload.content_length());
        let bytes = bytes.expect("a file's bytes fit 64 bits");
        let (engine, table, (first, last)) = (&self.shared.engine, self.table, self.cuts);
        loop {
            let name = MergedFileName { table, first, last, sequence: self.sequence };
            self.sequence += 1;
            let path = engine.place.path(&name.relative())?;
            let options = PutOptions::from(PutMode::Create);
            fail::fail_point!("compact-put");
            let put = engine.place.store.put_opts(&path, sealed.payload.clone(), options);
            match engine.block_on(put) {
                Ok(_) => {
                    fail::fail_point!("compact-put-done");
                    let (rows, statistics) = (sealed.rows, sealed.statistics);
                    self.stored.push(MergedFile { name, rows, bytes, statistics });
                    return Ok(());
                }
                Err(StoreError::AlreadyExists { .. }) => {}
                Err(error) => return Err(LakeError::store(format!("write `{path}`"), error)),
            }
        }
    }
}

impl Chunks for Output<'_> {
    fn chunk(&mut self, rows: &RecordBatch) -> Result<(), LakeError> {
        let mut file = if let Some(file) = self.open.take() {
            file
        } else {
            let options = &self.shared.options;
            OpenFile::with(self.table, layout::properties(self.table, self.cuts, options))?
        };
        file.push(rows)?;
        if file.bytes() >= FILE_BYTES_MAX {
            return self.put(file);
        }
        self.open = Some(file);
        Ok(())
    }

    fn end(&mut self) -> Result<(), LakeError> {
        self.open.take().map_or(Ok(()), |file| self.put(file))
    }
}
