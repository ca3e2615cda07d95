//! The journal's file: what is in it, and the only statements that touch it.

mod again;
mod proposals;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use plumeline_connectors::{FactChange, Position};
use plumeline_pipelines::model::Record;
use plumeline_sinks::delta::Positions;
use rusqlite::{Connection, OptionalExtension, params};

use super::aliases::ALIASES;
use super::fact;
use super::frame::{Frame, Naming};
use super::{FactLine, JournalError, Learned, Part};

/// Version of the format below. A newer one is refused; an older one has to stay readable.
pub(super) const FORMAT: &str = "3";
/// The first format: without restatements.
const FORMAT_1: &str = "1";
/// The format before this one, the same but for facts: a program of then would not see what factors say of themselves
/// since, and compute something else.
const FORMAT_2: &str = "2";
/// Frames that are deleted at a time: a few ms.
const FORGET_FRAMES: i64 = 32;
/// Parts of a restatement that are deleted at a time: some MB.
const FORGET_PARTS: i64 = 4;
/// Bytes of a page.
const PAGE_BYTES: u32 = 8192;
/// Pages in `SQLite`'s log, 64 MB of them, that make the writer copy them to the file itself.
const LOG_PAGES_MAX: u32 = 8192;
/// The number of the newest record of a frame that may be forgotten, in `meta`.
const LAST_INDEX: &str = "last_index";
/// The newest cut that is noted to be in the ledger, ms, in `meta`.
const COMMITTED: &str = "committed_ms";
/// The cut since which another method counts, ms, in `meta`.
pub(super) const METHOD_CUT: &str = "method_cut_ms";
/// How long a statement waits for the other connection of this process.
const BUSY_MAX: Duration = Duration::from_secs(10);

const SCHEMA: &str = "
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE sources (number INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE);
CREATE TABLE frames (
    seq INTEGER PRIMARY KEY, tick_ms INTEGER NOT NULL, records INTEGER NOT NULL,
    last_index INTEGER NOT NULL, latest_ms INTEGER NOT NULL, body BLOB NOT NULL
);
CREATE INDEX frames_by_tick ON frames (tick_ms);
CREATE TABLE positions (
    source TEXT NOT NULL, stream TEXT NOT NULL, at TEXT NOT NULL, PRIMARY KEY (source, stream)
) WITHOUT ROWID;
CREATE TABLE facts (
    seq INTEGER PRIMARY KEY, tick_ms INTEGER NOT NULL, source TEXT, withdrawn INTEGER NOT NULL,
    row TEXT NOT NULL
);
CREATE INDEX facts_by_tick ON facts (tick_ms);
CREATE TABLE cuts (tick_ms INTEGER PRIMARY KEY);
CREATE TABLE kept (
    moved_ms INTEGER NOT NULL, part INTEGER NOT NULL, body BLOB NOT NULL, PRIMARY KEY (moved_ms, part)
);
";

/// What format 2 adds: which frames hold nothing above the horizon, entries that a restatement proposes, and the cuts that took one along.
const RESTATING: &str = "
CREATE INDEX frames_by_latest ON frames (latest_ms, tick_ms);
CREATE TABLE restated (
    id INTEGER NOT NULL, part INTEGER NOT NULL, body BLOB NOT NULL, PRIMARY KEY (id, part)
);
CREATE TABLE restatements (
    cut_ms INTEGER PRIMARY KEY, id INTEGER NOT NULL, entry BLOB NOT NULL, recalls BLOB NOT NULL
);
";

/// A connection to the journal.
#[derive(Debug)]
pub(super) struct Db(Connection);

impl Db {
    /// Opens the file of a pipeline that goes on.
    pub(super) fn open(path: &Path) -> Result<Self, JournalError> {
        let db = Connection::open(path)?;
        db.busy_timeout(BUSY_MAX)?;
        // It is so already ([`super::place`]), unless someone has put it back from a dump.
        db.pragma_update(None, "journal_mode", "WAL")?;
        db.pragma_update(None, "wal_autocheckpoint", LOG_PAGES_MAX)?;
        // A commit is on the disk before it returns: what was acknowledged survives a power cut.
        db.pragma_update(None, "synchronous", "FULL")?;
        let db = Self(db);
        let format = db.meta("format")?.unwrap_or_default();
        if format == FORMAT_1 {
            let sql = format!(
                "BEGIN; {RESTATING} UPDATE meta SET value = '{FORMAT}' WHERE key = 'format'; COMMIT;"
            );
            db.0.execute_batch(&sql)?;
        } else if format == FORMAT_2 {
            db.0.execute("UPDATE meta SET value = ?1 WHERE key = 'format'", [FORMAT])?;
        } else if format != FORMAT {
            return Err(JournalError::Format { path: path.to_owned(), format });
        }
        // What was proposed and not taken along is computed again.
        db.0.execute("DELETE FROM restated WHERE id NOT IN (SELECT id FROM restatements)", [])?;
        Ok(db)
    }

    /// Creates a file that nobody relies on before it is whole: without a log, and without flushes.
    pub(super) fn create_part(path: &Path) -> Result<Self, JournalError> {
        let db = Connection::open(path)?;
        // A small part touches five pages, a large one is many: this serves both.
        db.pragma_update(None, "page_size", PAGE_BYTES)?;
        db.pragma_update(None, "journal_mode", "OFF")?;
        db.pragma_update(None, "synchronous", "OFF")?;
        let sql = format!(
            "BEGIN; {SCHEMA} {RESTATING} INSERT INTO meta VALUES ('format', '{FORMAT}'); COMMIT;"
        );
        db.execute_batch(&sql)?;
        Ok(Self(db))
    }

    /// Makes a file that nobody uses one that `SQLite` keeps a log for.
    pub(super) fn keep_log(path: &Path) -> Result<(), JournalError> {
        let db = Connection::open(path)?;
        db.pragma_update(None, "journal_mode", "OFF")?;
        db.pragma_update(None, "journal_mode", "WAL")?;
        Ok(())
    }

    /// Opens a file to look at it; `None` if it is not there.
    pub(super) fn open_if_there(path: &Path) -> Result<Option<Self>, JournalError> {
        path.exists().then(|| Self::open_to_read(path)).transpose()
    }

    /// Opens an existing file to look at it.
    pub(super) fn open_to_read(path: &Path) -> Result<Self, JournalError> {
        let db = Connection::open_with_flags(
            path,
            rusqlite::OpenFlags::SQLITE_OPEN_READ_ONLY | rusqlite::OpenFlags::SQLITE_OPEN_NO_MUTEX,
        )?;
        db.busy_timeout(BUSY_MAX)?;
        let db = Self(db);
        let format = db.meta("format")?.unwrap_or_default();
        // What format 2 adds is asked for by a pipeline alone, which has raised the format before.
        if ![FORMAT_1, FORMAT_2, FORMAT].contains(&&*format) {
            return Err(JournalError::Format { path: path.to_owned(), format });
        }
        Ok(db)
    }

    /// Opens the file for [`Self::copy`].
    pub(super) fn open_to_copy(path: &Path) -> Result<Self, JournalError> {
        let db = Connection::open(path)?;
        db.busy_timeout(BUSY_MAX)?;
        Ok(Self(db))
    }

    /// Copies what is in `SQLite`'s log to its file, beside the writer.
    pub(super) fn copy(&self) -> Result<(), JournalError> {
        Ok(self.0.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(()))?)
    }

    /// Whether `SQLite` finds its file in order; else what is wrong.
    pub(super) fn integrity(&self) -> Result<Vec<String>, JournalError> {
        let mut statement = self.0.prepare("PRAGMA integrity_check")?;
        let lines = statement.query_map([], |row| row.get::<_, String>(0))?;
        let lines: Vec<String> = lines.collect::<Result<_, _>>()?;
        Ok(if lines == ["ok"] { Vec::new() } else { lines })
    }

    pub(super) fn meta(&self, key: &str) -> Result<Option<String>, JournalError> {
        let sql = "SELECT value FROM meta WHERE key = ?1";
        Ok(self.0.query_row(sql, [key], |row| row.get(0)).optional()?)
    }

    pub(super) fn set_meta(&self, key: &str, value: &str) -> Result<(), JournalError> {
        self.0.execute("INSERT OR REPLACE INTO meta VALUES (?1, ?2)", [key, value])?;
        Ok(())
    }

    /// All sources there ever were; `names` are added where they are new.
    pub(super) fn sources(&self, names: &[Arc<str>]) -> Result<Vec<Arc<str>>, JournalError> {
        for name in names {
            self.0.execute("INSERT OR IGNORE INTO sources (name) VALUES (?1)", [&**name])?;
        }
        let mut statement = self.0.prepare("SELECT name FROM sources ORDER BY number")?;
        let known = statement.query_map([], |row| row.get::<_, String>(0))?;
        known.map(|name| Ok(Arc::from(name?))).collect()
    }

    /// Commits a part: all of it, or nothing.
    pub(super) fn append(
        &mut self,
        part: &Part<'_>,
        naming: Naming<'_>,
    ) -> Result<(), JournalError> {
        let Part { ms, records, rejects, facts, positions, aliases } = *part;
        let body = (!records.is_empty() || !rejects.is_empty())
            .then(|| Frame::encode(records, rejects, naming));
        let transaction = self.0.transaction()?;
        if let Some(body) = body {
            let last_index = records.last().map_or(0, |record| record.arrival().index);
            // Activities are among what is kept, wherever they reach, once the horizon has moved.
            let latest_ms = records.iter().map(|record| match record {
                Record::Reading(reading) => reading.at_ms,
                Record::Activity(_) => ms,
            });
            let latest_ms = latest_ms.max().unwrap_or(0);
            transaction
                .prepare(
                    "INSERT INTO frames (tick_ms, records, last_index, latest_ms, body)
                     VALUES (?1, ?2, ?3, ?4, ?5)",
                )?
                .execute(params![
                    ms,
                    signed(records.len()),
                    last_index.cast_signed(),
                    latest_ms,
                    body
                ])?;
        }
        for Learned { source, change } in facts {
            let source = source.map(|source| &*naming.sources[usize::from(source)]);
            let row = fact::write(&change.fact, naming.names);
            transaction
                .prepare(
                    "INSERT INTO facts (tick_ms, source, withdrawn, row) VALUES (?1, ?2, ?3, ?4)",
                )?
                .execute(params![ms, source, change.withdrawn, row])?;
        }
        for (source, Position { stream, at }) in positions {
            let source = &*naming.sources[usize::from(*source)];
            transaction
                .prepare("INSERT OR REPLACE INTO positions VALUES (?1, ?2, ?3)")?
                .execute(params![source, stream, at])?;
        }
        if let Some(aliases) = aliases {
            let sql = "INSERT OR REPLACE INTO meta VALUES (?1, ?2)";
            transaction.execute(sql, [ALIASES, &aliases.write(naming.names)])?;
        }
        fail::fail_point!("journal-append-open");
        transaction.commit()?;
        Ok(())
    }

    pub(super) fn positions(&self, source: &str) -> Result<Vec<Position>, JournalError> {
        let sql = "SELECT stream, at FROM positions WHERE source = ?1";
        let mut statement = self.0.prepare(sql)?;
        let positions = statement
            .query_map([source], |row| Ok(Position { stream: row.get(0)?, at: row.get(1)? }))?;
        Ok(positions.collect::<Result<_, _>>()?)
    }

    pub(super) fn all_positions(&self) -> Result<Positions, JournalError> {
        let mut statement = self.0.prepare("SELECT source, stream, at FROM positions")?;
        let mut rows = statement.query([])?;
        let mut positions = Positions::new();
        while let Some(row) = rows.next()? {
            let of_source = positions.entry(row.get(0)?).or_default();
            of_source.insert(row.get(1)?, row.get(2)?);
        }
        Ok(positions)
    }

    pub(super) fn cut(&self, ms: i64) -> Result<(), JournalError> {
        self.0.execute("INSERT INTO cuts VALUES (?1)", [ms])?;
        Ok(())
    }

    pub(super) fn is_cut(&self, ms: i64) -> Result<bool, JournalError> {
        let sql = "SELECT 1 FROM cuts WHERE tick_ms = ?1";
        Ok(self.0.query_row(sql, [ms], |_| Ok(())).optional()?.is_some())
    }

    /// The newest tick of anything; `None` in a new journal.
    pub(super) fn newest_ms(&self) -> Result<Option<i64>, JournalError> {
        let sql = "SELECT max(ms) FROM (SELECT max(tick_ms) AS ms FROM frames
            UNION ALL SELECT max(tick_ms) FROM facts UNION ALL SELECT max(tick_ms) FROM cuts)";
        Ok(self.0.query_row(sql, [], |row| row.get(0))?)
    }

    pub(super) fn last_index(&self) -> Result<u64, JournalError> {
        // Numbers ascend with the frames; those of forgotten ones are in `meta`.
        let sql = "SELECT last_index FROM frames WHERE records > 0 ORDER BY seq DESC LIMIT 1";
        let newest: Option<i64> = self.0.query_row(sql, [], |row| row.get(0)).optional()?;
        let forgotten = self.meta(LAST_INDEX)?.and_then(|index| index.parse().ok());
        Ok(newest.map(i64::cast_unsigned).max(forgotten).unwrap_or(0))
    }

    /// No record has a greater number, whatever the frames say.
    pub(super) fn set_last_index(&self, last_index: u64) -> Result<(), JournalError> {
        self.set_meta(LAST_INDEX, &last_index.to_string())
    }

    /// How many frames, and records in them, at ticks up to `ms`.
    pub(super) fn count_until(&self, ms: i64) -> Result<(i64, i64), JournalError> {
        let sql = "SELECT count(*), coalesce(sum(records), 0) FROM frames WHERE tick_ms <= ?1";
        Ok(self.0.query_row(sql, [ms], |row| Ok((row.get(0)?, row.get(1)?)))?)
    }

    /// The next tick of anything after `after_ms`, up to `until_ms`.
    pub(super) fn next_ms(
        &self,
        after_ms: i64,
        until_ms: i64,
    ) -> Result<Option<i64>, JournalError> {
        let mut statement = self.0.prepare(
            "SELECT min(ms) FROM (
                SELECT min(tick_ms) AS ms FROM frames WHERE tick_ms > ?1 AND tick_ms <= ?2
                UNION ALL SELECT min(tick_ms) FROM facts WHERE tick_ms > ?1 AND tick_ms <= ?2
                UNION ALL SELECT min(tick_ms) FROM cuts WHERE tick_ms > ?1 AND tick_ms <= ?2)",
        )?;
        Ok(statement.query_row([after_ms, until_ms], |row| row.get(0))?)
    }

    /// The frames of a tick, in order.
    pub(super) fn frames(&self, ms: i64) -> Result<Vec<Vec<u8>>, JournalError> {
        let sql = "SELECT body FROM frames WHERE tick_ms = ?1 ORDER BY seq";
        let mut statement = self.0.prepare(sql)?;
        let bodies = statement.query_map([ms], |row| row.get(0))?;
        Ok(bodies.collect::<Result<_, _>>()?)
    }

    /// When the first fact was learned.
    pub(super) fn first_fact_ms(&self) -> Result<Option<i64>, JournalError> {
        Ok(self.0.query_row("SELECT min(tick_ms) FROM facts", [], |row| row.get(0))?)
    }

    /// The facts learned after `after_ms`, up to `until_ms`, in the order they were.
    pub(super) fn facts(
        &self,
        after_ms: i64,
        until_ms: i64,
        naming: Naming<'_>,
    ) -> Result<Vec<FactLine>, JournalError> {
        let mut statement = self.0.prepare(
            "SELECT tick_ms, source, withdrawn, row FROM facts
             WHERE tick_ms > ?1 AND tick_ms <= ?2 ORDER BY seq",
        )?;
        let mut rows = statement.query([after_ms, until_ms])?;
        let mut lines = Vec::new();
        while let Some(row) = rows.next()? {
            let (source, text): (Option<String>, String) = (row.get(1)?, row.get(3)?);
            let number = |name: String| naming.sources.iter().position(|known| **known == *name);
            let source = source.and_then(number).and_then(|index| u16::try_from(index).ok());
            let fact = fact::read(&text, naming.names)?;
            let change = FactChange { fact, withdrawn: row.get(2)? };
            lines.push(FactLine { ms: row.get(0)?, learned: Learned { source, change } });
        }
        Ok(lines)
    }

    /// What was kept at the move of the horizon at `moved_ms`; `None` if nothing was told.
    pub(super) fn kept(&self, moved_ms: i64) -> Result<Option<Vec<Vec<u8>>>, JournalError> {
        let sql = "SELECT body FROM kept WHERE moved_ms = ?1 ORDER BY part";
        let mut statement = self.0.prepare(sql)?;
        let bodies = statement.query_map([moved_ms], |row| row.get(0))?;
        let bodies: Vec<_> = bodies.collect::<Result<_, _>>()?;
        Ok((!bodies.is_empty()).then_some(bodies))
    }

    /// Puts down what is kept at a move of the horizon, whole, in place of what was put down for it before.
    pub(super) fn keep(&mut self, moved_ms: i64, parts: &[Vec<u8>]) -> Result<(), JournalError> {
        let transaction = self.0.transaction()?;
        transaction.execute("DELETE FROM kept WHERE moved_ms = ?1", [moved_ms])?;
        for (part, body) in parts.iter().enumerate() {
            let sql = "INSERT INTO kept VALUES (?1, ?2, ?3)";
            transaction.execute(sql, params![moved_ms, signed(part), body])?;
        }
        fail::fail_point!("journal-keep-open");
        transaction.commit()?;
        Ok(())
    }

    /// Notes that a cut is in the ledger.
    pub(super) fn committed(&mut self, ms: i64) -> Result<(), JournalError> {
        self.set_meta(COMMITTED, &ms.to_string())?;
        Ok(())
    }

    /// Deletes some of what no restart needs: what was kept before `moved_ms`; cuts and frames from before
    /// `horizon_ms` that hold no reading after it; and frames up to the newest committed cut that hold nothing but
    /// readings from before it. Says whether there may be more.
    pub(super) fn forget(&mut self, moved_ms: i64, horizon_ms: i64) -> Result<bool, JournalError> {
        let committed_ms = self.meta(COMMITTED)?.and_then(|ms| ms.parse().ok()).unwrap_or(0_i64);
        // A number is used once, also where all frames are forgotten.
        let last_index = self.last_index()?;
        let transaction = self.0.transaction()?;
        transaction.execute("DELETE FROM kept WHERE moved_ms < ?1", [moved_ms])?;
        // Their parts go with the horizon at the latest.
        transaction.execute(
            "DELETE FROM restatements WHERE cut_ms < ?1 AND id NOT IN (SELECT id FROM restated)",
            [moved_ms],
        )?;
        transaction.execute("DELETE FROM cuts WHERE tick_ms < ?1", [horizon_ms])?;
        let sql = "INSERT OR REPLACE INTO meta VALUES (?1, ?2)";
        transaction.execute(sql, params![LAST_INDEX, last_index.to_string()])?;
        let deleted = transaction.execute(
            "DELETE FROM frames WHERE seq IN
             (SELECT seq FROM frames WHERE tick_ms < ?1 AND latest_ms <= ?1 ORDER BY tick_ms LIMIT ?2)",
            [horizon_ms, FORGET_FRAMES],
        )?;
        let late = transaction.execute(
            "DELETE FROM frames WHERE seq IN
             (SELECT seq FROM frames WHERE latest_ms > 0 AND latest_ms <= ?1 AND tick_ms <= ?2 LIMIT ?3)",
            [horizon_ms, committed_ms, FORGET_FRAMES],
        )?;
        // What they booked is in the ledger.
        let booked = transaction.execute(
            "DELETE FROM restated WHERE rowid IN (SELECT restated.rowid FROM restated JOIN restatements USING (id)
             WHERE cut_ms <= ?1 LIMIT ?2)",
            [committed_ms, FORGET_PARTS],
        )?;
        fail::fail_point!("journal-forget-open");
        transaction.commit()?;
        Ok(deleted + late + booked > 0)
    }

    /// The newest cut.
    pub(super) fn newest_cut_ms(&self) -> Result<Option<i64>, JournalError> {
        Ok(self.0.query_row("SELECT max(tick_ms) FROM cuts", [], |row| row.get(0))?)
    }
}

fn signed(count: usize) -> i64 {
    i64::try_from(count).expect("a count fits 63 bits")
}
