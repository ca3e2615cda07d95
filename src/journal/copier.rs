//! Moving `SQLite`'s log into its file, beside the writer.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::JournalError;
use super::db::Db;

/// Copies what was committed from `SQLite`'s log to its file, so that the writer need not. *Otherwise every few
/// seconds a commit, and whoever waits for it, would also wait for some ten MB.*
#[derive(Debug)]
pub struct Copier {
    db: Db,
    has_failed: Arc<AtomicBool>,
}

impl Copier {
    pub(super) fn new(db: Db, has_failed: Arc<AtomicBool>) -> Self {
        Self { db, has_failed }
    }

    /// Copies what is in the log now.
    ///
    /// # Errors
    /// Transient where the disk is full: what is in the log is committed all the same.
    pub fn copy(&self) -> Result<(), JournalError> {
        guarded(&self.has_failed, || self.db.copy())
    }
}

/// Does `work` unless something has failed for good, and notes if it does. *A flush that failed once may succeed
/// when it is tried again, although what it should have flushed is gone.*
pub(super) fn guarded<T>(
    has_failed: &AtomicBool,
    work: impl FnOnce() -> Result<T, JournalError>,
) -> Result<T, JournalError> {
    if has_failed.load(Ordering::Acquire) {
        return Err(JournalError::Failed);
    }
    work().inspect_err(|error| {
        has_failed.fetch_or(!error.is_transient(), Ordering::AcqRel);
    })
}
