//! Looking through frames in the order in which they came.

use rusqlite::params;

use super::super::JournalError;
use super::Db;

/// Takes a frame's number and its bytes; says whether to go on.
type Give<'g> = dyn FnMut(i64, &[u8]) -> Result<bool, JournalError> + 'g;

impl Db {
    /// The number of the newest frame.
    pub(in crate::journal) fn newest_frame(&self) -> Result<Option<i64>, JournalError> {
        Ok(self.0.query_row("SELECT max(seq) FROM frames", [], |row| row.get(0))?)
    }

    /// Gives frames after the number `after`, up to `until`, with anything of an instant after `latest_ms`, each with its
    /// number; as long as `give` says so. Says whether that was all of them.
    pub(in crate::journal) fn each_frame(
        &self,
        (after, until): (i64, i64),
        latest_ms: i64,
        give: &mut Give<'_>,
    ) -> Result<bool, JournalError> {
        let mut statement = self.0.prepare(
            "SELECT seq, body FROM frames WHERE seq > ?1 AND seq <= ?2 AND latest_ms > ?3 ORDER BY seq",
        )?;
        let mut rows = statement.query(params![after, until, latest_ms])?;
        while let Some(row) = rows.next()? {
            let body: Vec<u8> = row.get(1)?;
            if !give(row.get(0)?, &body)? {
                return Ok(false);
            }
        }
        Ok(true)
    }
}
