//! Files that nobody can need any more, and deleted: left by crashed commits, or taken out by a compaction.
//!
//! ```text
//! a day that ended before the grace ──► its files ──► named like ours, old, and not live
//!                                                       │ taken out within the grace?
//!                                                       ├─yes──► looked at again when that is over
//!                                                       └─no───► deleted
//! ```
//!
//! **What a compaction took out** is read by old versions: by somebody whose query has begun, or who asks for
//! yesterday's version. It stays for [`GRACE_MS`] after the version that took it out, as `remove` entries tell: those of
//! the newest checkpoint and of the versions since (`removed.rs`), which is how Delta's own vacuum knows. A file that is
//! not live and was not taken out within the grace was in no version of that time, or in none at all.
//!
//! **What a crashed commit left** no version names. The next process writes the same cut again, counts past its names,
//! and commits. From then on **no process can commit them**, however slow it is:
//!
//! 1. A file is committed only by the version that carries its own cut as `txn`, and `activity`, `txn` of
//!    the whole ledger, has committed a cut that is newer by the grace.
//! 2. A slow twin whose snapshot has that cut refuses to commit it again. One whose snapshot is older wants
//!    a version that is taken: its entry is created only if absent, and entries are deleted only behind a checkpoint
//!    (`log/expire.rs`), where no reader looks at what is put in their place. So it reads our marker with files that
//!    are not its own, and ends. *A file that could still be committed would be missing from the table.*
//! 3. All the same, nothing is touched before the grace has passed since the cut **and** since the store
//!    last saw the file written: a week is what Delta's own vacuum waits. *So a mistake in 2., or a store
//!    that forgets what it has promised, costs a table nothing that somebody is still at.*
//!
//! **What a crashed compaction left** is the same but for 1.: a merged file has no cut of its own. Here the week is the
//! argument: between the first file of a compaction and its version minutes pass, and what is put is named by the
//! version right after.
//!
//! "Now" is the committed cut, an instant of the journal: a clock that is wrong today deletes nothing. In doubt (a
//! checkpoint that somebody else wrote in pieces, an entry that is gone) nothing is deleted: a file costs its bytes.
//!
//! It costs little: a step reads the live files of one table and lists at most [`DAYS_MAX`] of its days,
//! newest first, on a thread of its own, so no commit waits for it. What was listed is not listed again
//! until the process ends, unless something in it was spared; then one day a table is due each day. Once a day, too,
//! a table's log is rid of what has expired. A failure is a warning, and the day is left to the next process. A step
//! that dies half way has deleted some files: the others are still found.
//!
//! Rejected: to delete orphans as soon as the cut is committed again (2. alone would carry it, but then a
//! mistake in it costs the ledger); to remember either in the journal (a lost state folder is just when they
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
use super::place::{FileName, date_of_partition, partition, recorded_date};
use super::table::TableName;

/// How long a file that no version holds is left alone: as long as Delta's vacuum leaves removed files alone.
pub(super) const GRACE_MS: i64 = 7 * DAY_MS;
/// Days of one table that a step lists: on S3 some 50 ms each.
const DAYS_MAX: usize = 32;

/// What is still to be looked at.
#[derive(Debug, Default)]
pub(super) struct Vacuum {
    tables: BTreeMap<TableName, Days>,
}

/// The days of a table.
#[derive(Debug)]
struct Days {
    /// The newest one that was due so far.
    until: Date,
    /// To be listed, ascending: the newest is next, for a crash was more likely yesterday than last year.
    due: Vec<Date>,
    /// To be listed again, once the ledger is past an instant, ms.
    spared: BTreeMap<Date, i64>,
}

/// A data file as the store lists it.
#[derive(Copy, Clone, Debug)]
struct Listed {
    name: FileName,
    modified_ms: i64,
}

impl Vacuum {
    /// A table with days that nobody has looked at since they became due, `activity` being committed up to
    /// `ledger`.
    pub(super) fn due(&self, ledger: Tick) -> Option<TableName> {
        let until = due_until(ledger)?;
        let is_due = |table: &TableName| {
            let days = self.tables.get(table);
            days.is_none_or(|days| {
                let is_spared_no_more = |ms: &i64| *ms < ledger.ms();
                days.until < until
                    || !days.due.is_empty()
                    || days.spared.values().any(is_spared_no_more)
            })
        };
        TableName::ALL.into_iter().find(is_due)
    }

    /// Whether the log of `table` was not looked at today.
    pub(super) fn is_log_due(&self, table: TableName, ledger: Tick) -> bool {
        let until = due_until(ledger);
        until.is_some() && self.tables.get(&table).map(|days| days.until) < until
    }

    /// Looks at the next days of the table of `log`; returns how many files were deleted.
    pub(super) fn step(
        &mut self,
        engine: &Engine,
        log: &TableLog,
        ledger: Tick,
    ) -> Result<usize, LakeError> {
        let Some(until) = due_until(ledger) else { return Ok(0) };
        let due = self.take(engine, log.table, (until, ledger.ms()))?;
        let before_ms = ledger.ms() - GRACE_MS;
        let mut dead = Vec::new();
        for &date in &due {
            dead.extend(list(engine, log.table, date)?);
        }
        // Only those of cuts that nobody can commit any more, and that the store has had for long.
        let committed = log.committed();
        dead.retain(|file| Some(file.name.last()) <= committed && file.modified_ms < before_ms);
        let folders: BTreeSet<String> = due.into_iter().map(partition).collect();
        let is_in = |path: &str| path.split('/').next().is_some_and(|day| folders.contains(day));
        let live = log.live_files(engine, is_in)?;
        let live: BTreeSet<String> = live.iter().map(|path| file_name(path)).collect();
        dead.retain(|file| !live.contains(&file.name.file()));
        if dead.is_empty() {
            return Ok(0);
        }
        let removed = log.removed_since(engine, before_ms)?;
        let days = self.tables.get_mut(&log.table);
        let mut spared = days.map(|days| &mut days.spared);
        let mut deleted = 0;
        for Listed { name, .. } in dead {
            if let Some(removed_ms) = removed.get(&name.file()) {
                let until_ms = removed_ms.saturating_add(GRACE_MS);
                if let Some(spared) = &mut spared {
                    let known_ms = spared.entry(recorded_date(name.first())).or_insert(until_ms);
                    *known_ms = until_ms.max(*known_ms);
                }
                continue;
            }
            fail::fail_point!("vacuum-delete");
            delete(engine, name)?;
            deleted += 1;
        }
        Ok(deleted)
    }

    /// The days to list next. They count as listed, whatever comes of it.
    fn take(
        &mut self,
        engine: &Engine,
        table: TableName,
        (until, now_ms): (Date, i64),
    ) -> Result<Vec<Date>, LakeError> {
        let mut days = match self.tables.remove(&table) {
            Some(days) if days.until >= until => days,
            known => {
                let after = known.as_ref().map(|days| days.until);
                let (mut due, spared) =
                    known.map_or_else(Default::default, |days| (days.due, days.spared));
                due.extend(days_of(engine, table, after, until)?);
                Days { until, due, spared }
            }
        };
        let again: Vec<Date> =
            days.spared.iter().filter(|(_, ms)| **ms < now_ms).map(|(date, _)| *date).collect();
        days.spared.retain(|date, _| !again.contains(date));
        days.due.extend(again);
        days.due.sort_unstable();
        days.due.dedup();
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
        let name = FileName::parse(table, object.location.filename()?)?;
        let modified_ms = object.last_modified.timestamp_millis();
        // One in another day's folder is a copy that somebody else has made.
        (recorded_date(name.first()) == date).then_some(Listed { name, modified_ms })
    });
    Ok(listed.collect())
}

fn delete(engine: &Engine, name: FileName) -> Result<(), LakeError> {
    let path = engine.place.path(&name.relative())?;
    match engine.block_on(engine.place.store.delete(&path)) {
        Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
        Err(error) => Err(LakeError::store(format!("delete `{path}`"), error)),
    }
}
