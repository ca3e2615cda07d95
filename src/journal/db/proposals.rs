//! What restatements propose, and the cuts that take it along.

use rusqlite::{OptionalExtension, params};

use super::super::JournalError;
use super::{Db, METHOD_CUT};

/// The number of a restatement, its row and its recalls as they are stored.
type Restatement = (i64, Vec<u8>, Vec<u8>);

impl Db {
    /// Begins a proposal in place of any other that no cut took along; says its number.
    pub(in crate::journal) fn propose(&mut self) -> Result<i64, JournalError> {
        self.0.execute("DELETE FROM restated WHERE id NOT IN (SELECT id FROM restatements)", [])?;
        let sql = "SELECT 1 + coalesce(max(id), 0) FROM restatements";
        Ok(self.0.query_row(sql, [], |row| row.get(0))?)
    }

    /// Puts a part of a proposal down.
    pub(in crate::journal) fn propose_part(
        &self,
        id: i64,
        part: i64,
        body: &[u8],
    ) -> Result<(), JournalError> {
        self.0.execute("INSERT INTO restated VALUES (?1, ?2, ?3)", params![id, part, body])?;
        Ok(())
    }

    /// A cut that takes a proposal along.
    pub(in crate::journal) fn cut_restating(
        &mut self,
        ms: i64,
        id: i64,
        (entry, recalls): (&[u8], &[u8]),
    ) -> Result<(), JournalError> {
        let transaction = self.0.transaction()?;
        transaction.execute("INSERT INTO cuts VALUES (?1)", [ms])?;
        let sql = "INSERT INTO restatements VALUES (?1, ?2, ?3, ?4)";
        transaction.execute(sql, params![ms, id, entry, recalls])?;
        fail::fail_point!("journal-restate-open");
        transaction.commit()?;
        Ok(())
    }

    /// Other settings, and the cut that takes along what they restate: when, ms, its number, row and recalls.
    pub(in crate::journal) fn change_method(
        &mut self,
        settings: &[(&str, &str)],
        restated: Option<&(i64, i64, Vec<u8>, Vec<u8>)>,
    ) -> Result<(), JournalError> {
        let transaction = self.0.transaction()?;
        let set = "INSERT OR REPLACE INTO meta VALUES (?1, ?2)";
        for setting in settings {
            transaction.execute(set, params![setting.0, setting.1])?;
        }
        if let Some((ms, id, entry, recalls)) = restated {
            transaction.execute(set, params![METHOD_CUT, ms.to_string()])?;
            transaction.execute("INSERT INTO cuts VALUES (?1)", [ms])?;
            let sql = "INSERT INTO restatements VALUES (?1, ?2, ?3, ?4)";
            transaction.execute(sql, params![ms, id, entry, recalls])?;
        }
        fail::fail_point!("journal-method-open");
        transaction.commit()?;
        Ok(())
    }

    /// What the cut at `ms` takes along: its number, row and recalls.
    pub(in crate::journal) fn restatement(
        &self,
        ms: i64,
    ) -> Result<Option<Restatement>, JournalError> {
        let sql = "SELECT id, entry, recalls FROM restatements WHERE cut_ms = ?1";
        let row = self.0.query_row(sql, [ms], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)));
        Ok(row.optional()?)
    }

    /// A part of a restatement; `None` after the last.
    pub(in crate::journal) fn restated(
        &self,
        id: i64,
        part: i64,
    ) -> Result<Option<Vec<u8>>, JournalError> {
        let sql = "SELECT body FROM restated WHERE id = ?1 AND part = ?2";
        Ok(self.0.query_row(sql, [id, part], |row| row.get(0)).optional()?)
    }

    /// What cuts from `from_ms` to `until_ms` recalled, in order.
    pub(in crate::journal) fn recalls(
        &self,
        from_ms: i64,
        until_ms: i64,
    ) -> Result<Vec<(i64, Vec<u8>)>, JournalError> {
        let mut statement = self.0.prepare(
            "SELECT cut_ms, recalls FROM restatements
             WHERE cut_ms >= ?1 AND cut_ms <= ?2 ORDER BY cut_ms",
        )?;
        let rows =
            statement.query_map([from_ms, until_ms], |row| Ok((row.get(0)?, row.get(1)?)))?;
        Ok(rows.collect::<Result<_, _>>()?)
    }
}
