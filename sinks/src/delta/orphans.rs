//! Files that crashed commits left: found by their names, and deleted when nobody can want them any more.
//!
//! ```text
//! a day that ended before the grace ──► its files ──► named like ours, and not live
//!                                                       │ beside a live file of the same cut
//!                                                       ▼
//!                                      the entry of that cut names it? ──yes──► not ours to delete
//!                                                       └─no─► old enough ──► deleted
//! ```
//!
//! A commit that crashes between its first file and its entry leaves files that no version names. The next
//! process writes the same cut again, counts past their names, and commits. From then on **no process can
//! commit them**, however slow it is:
//!
//! 1. A file is committed only by the version that carries its own cut as `txn`, and `activity`, `txn` of
//!    the whole ledger, has committed a cut that is newer by the grace.
//! 2. A slow twin whose snapshot has that cut refuses to commit it again. One whose snapshot is older wants
//!    a version that is taken: its entry is created only if absent, and entries are never deleted by us.
//!    (Others clean them up behind a checkpoint, where no reader looks at what is put in their place.) So it
//!    reads our marker with files that are not its own, and ends. *A file that could still be committed
//!    would be missing from the table.*
//! 3. All the same, nothing is touched before [`GRACE_MS`] has passed since the cut **and** since the store
//!    last saw the file written: a week is what Delta's own vacuum waits. *So a mistake in 2., or a store
//!    that forgets what it has promised, costs a table nothing that somebody is still at.*
//!
//! "Now" is the committed cut, an instant of the journal: a clock that is wrong today deletes nothing.
//!
//! **What a version has ever named is not ours to delete**, also when a compaction has taken it out: old
//! versions are read with it, and whoever compacts also vacuums. A file that is not live is therefore looked
//! up in the entry of its cut. One whose cut has no live file at all (it was compacted), or whose entry is
//! cleaned up, stays: in doubt a file costs its bytes, and a vacuum takes it.
//!
//! It costs little: a step reads the live files of one table and lists at most [`DAYS_MAX`] of its days,
//! newest first, on a thread of its own, so no commit waits for it. What was listed is not listed again
//! until the process ends; then one day a table is due each day. A failure is a warning, and the day is left
//! to the next process. A step that dies half way has deleted some orphans: the others are still found.
//!
//! Rejected: to delete them as soon as the cut is committed again (2. alone would carry it, but then a
//! mistake in it costs the ledger); to remember them in the journal (a lost state folder is just when they
//! are many).

use std::collections::{BTreeMap, BTreeSet};

use jiff::civil::Date;
use object_store::ObjectStoreExt;
use plumeline_pipelines::model::time::DAY_MS;
use plumeline_pipelines::model::{Cause, Tick};

use super::engine::Engine;
use super::error::LakeError;
use super::judge::file_name;
use super::log::TableLog;
use super::place::{DataFileName, date_of_partition, partition, recorded_date};
use super::table::TableName;

/// How long an orphan is left alone: as long as Delta's vacuum leaves removed files alone.
pub(super) const GRACE_MS: i64 = 7 * DAY_MS;
/// Days of one table that a step lists: on S3 some 50 ms each.
const DAYS_MAX: usize = 32;

/// What is still to be looked at.
#[derive(Debug, Default)]
pub(super) struct Orphans {
    tables: BTreeMap<TableName, Days>,
}

/// The days of a table.
#[derive(Debug)]
struct Days {
    /// The newest one that was due so far.
    until: Date,
    /// To be listed, ascending: the newest is next, for a crash was more likely yesterday than last year.
    due: Vec<Date>,
}

/// A data file as the store lists it.
#[derive(Copy, Clone, Debug)]
struct Listed {
    name: DataFileName,
    modified_ms: i64,
}

impl Orphans {
    /// A table with days that nobody has looked at since they became due, `activity` being committed up to
    /// `ledger`.
    pub(super) fn due(&self, ledger: Tick) -> Option<TableName> {
        let until = due_until(ledger)?;
        let is_due = |table: &TableName| {
            let days = self.tables.get(table);
            days.is_none_or(|days| days.until < until || !days.due.is_empty())
        };
        TableName::ALL.into_iter().find(is_due)
    }

    /// Looks at the next days of the table of `log`; returns how many files were deleted.
    pub(super) fn step(
        &mut self,
        engine: &Engine,
        log: &TableLog,
        ledger: Tick,
    ) -> Result<usize, LakeError> {
        let Some(until) = due_until(ledger) else { return Ok(0) };
        let due = self.take(engine, log.table, until)?;
        let before_ms = ledger.ms() - GRACE_MS;
        let mut listed = Vec::new();
        for &date in &due {
            listed.extend(list(engine, log.table, date)?);
        }
        // Only those of cuts that nobody can commit any more, and that the store has had for long.
        let committed = log.committed();
        listed.retain(|file| Some(file.name.cut) <= committed && file.modified_ms < before_ms);
        let folders: BTreeSet<String> = due.into_iter().map(partition).collect();
        let is_in = |path: &str| path.split('/').next().is_some_and(|day| folders.contains(day));
        let live = log.live_files(engine, is_in)?;
        let live: BTreeSet<String> = live.iter().map(|path| file_name(path)).collect();
        let mut deleted = 0;
        for (cut, files) in suspects(&listed, &live) {
            // Without the cut's entry nobody can tell what it named.
            let Some(committed) = log.files_of(engine, cut)? else { continue };
            for name in files.into_iter().filter(|name| !committed.contains(&name.file())) {
                delete(engine, name)?;
                deleted += 1;
            }
        }
        Ok(deleted)
    }

    /// The days to list next. They count as listed, whatever comes of it.
    fn take(
        &mut self,
        engine: &Engine,
        table: TableName,
        until: Date,
    ) -> Result<Vec<Date>, LakeError> {
        let days = match self.tables.remove(&table) {
            Some(days) if days.until >= until => days,
            known => {
                let after = known.as_ref().map(|days| days.until);
                let mut due = known.map_or_else(Vec::new, |days| days.due);
                due.extend(days_of(engine, table, after, until)?);
                Days { until, due }
            }
        };
        let days = self.tables.entry(table).or_insert(days);
        let first = days.due.len().saturating_sub(DAYS_MAX);
        Ok(days.due.split_off(first))
    }
}

/// The newest day that is over for longer than the grace.
fn due_until(ledger: Tick) -> Option<Date> {
    let ms = ledger.ms().checked_sub(GRACE_MS + DAY_MS).filter(|ms| *ms >= 0)?;
    Some(recorded_date(Tick::new(ms, Cause::Cut)))
}

/// Files that are not live beside live ones of the same cut, by cut.
fn suspects(listed: &[Listed], live: &BTreeSet<String>) -> BTreeMap<Tick, Vec<DataFileName>> {
    let mut dead: BTreeMap<Tick, Vec<DataFileName>> = BTreeMap::new();
    let mut alive = BTreeSet::new();
    for Listed { name, .. } in listed {
        if live.contains(&name.file()) {
            alive.insert(name.cut);
        } else {
            dead.entry(name.cut).or_default().push(*name);
        }
    }
    dead.retain(|cut, _| alive.contains(cut));
    dead
}

/// The days of a table, ascending, after one and until another.
fn days_of(
    engine: &Engine,
    table: TableName,
    after: Option<Date>,
    until: Date,
) -> Result<Vec<Date>, LakeError> {
    let path = engine.place.path(table.name())?;
    let folders = engine
        .block_on(engine.place.store.list_with_delimiter(Some(&path)))
        .map_err(|error| LakeError::store(format!("list `{path}`"), error))?
        .common_prefixes;
    let dates = folders.iter().filter_map(|folder| date_of_partition(folder.filename()?));
    let dates: BTreeSet<Date> = dates.collect();
    let is_due = |date: &Date| after.is_none_or(|after| *date > after) && *date <= until;
    Ok(dates.into_iter().filter(is_due).collect())
}

/// Our files of a day.
fn list(engine: &Engine, table: TableName, date: Date) -> Result<Vec<Listed>, LakeError> {
    let path = engine.place.path(&format!("{table}/{}", partition(date)))?;
    let objects = engine
        .block_on(engine.place.store.list_with_delimiter(Some(&path)))
        .map_err(|error| LakeError::store(format!("list `{path}`"), error))?
        .objects;
    let listed = objects.iter().filter_map(|object| {
        let name = DataFileName::parse(table, object.location.filename()?)?;
        let modified_ms = object.last_modified.timestamp_millis();
        // One in another day's folder is a copy that somebody else has made.
        (recorded_date(name.cut) == date).then_some(Listed { name, modified_ms })
    });
    Ok(listed.collect())
}

fn delete(engine: &Engine, name: DataFileName) -> Result<(), LakeError> {
    let path = engine.place.path(&name.relative())?;
    match engine.block_on(engine.place.store.delete(&path)) {
        Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
        Err(error) => Err(LakeError::store(format!("delete `{path}`"), error)),
    }
}
