//! Why the journal cannot be used.

use std::path::PathBuf;

use thiserror::Error;

use super::codec::Torn;
use super::db;

/// Why the journal cannot be used.
#[derive(Debug, Error)]
pub enum JournalError {
    /// The folder.
    #[error("`{}` cannot be used", path.display())]
    Folder {
        /// The file or folder.
        path: PathBuf,
        /// What the system says.
        #[source]
        cause: std::io::Error,
    },
    /// Another process runs on it.
    #[error("another plumeline runs on the state folder `{}`", .0.display())]
    Locked(PathBuf),
    /// Written by another version of the program.
    #[error("`{}` has format {format:?}, and this program knows {}", path.display(), db::FORMAT)]
    Format {
        /// The file.
        path: PathBuf,
        /// What it says.
        format: String,
    },
    /// Written under settings that decide results.
    #[error("the journal was written with {key} = {was}, and now it is {is}")]
    Setting {
        /// The setting.
        key: &'static str,
        /// As it was.
        was: String,
        /// As it is.
        is: String,
    },
    /// It has failed before in this process: nobody knows what is on the disk.
    #[error("the journal has failed, and is not written any more")]
    Failed,
    /// A source reads what another has read.
    #[error(
        "source `{name}` would read again what source `{was}` has read, which is no longer there. If it was renamed, \
         write id = \"{was}\" under it, and it goes on where it was; if it is another one, write id = \"{name}\""
    )]
    Renamed {
        /// Its name.
        name: String,
        /// What the other one was known by.
        was: String,
    },
    /// A journal is there already.
    #[error("`{}` is a journal already, or cannot be read", .0.display())]
    Exists(PathBuf),
    /// The ledger and the journal do not belong together.
    #[error("{0}")]
    Ledger(String),
    /// `SQLite`.
    #[error("the journal")]
    Sqlite(#[from] rusqlite::Error),
    /// What it gave is not what was written.
    #[error("the journal")]
    Torn(#[from] Torn),
}

impl JournalError {
    /// Whether trying again can help: the disk is full.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        let Self::Sqlite(rusqlite::Error::SqliteFailure(error, _)) = self else { return false };
        error.code == rusqlite::ErrorCode::DiskFull
    }

    /// What `SQLite` says when the disk is full: tests say it in its place.
    #[must_use]
    pub fn full() -> Self {
        let full = rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_FULL);
        Self::Sqlite(rusqlite::Error::SqliteFailure(full, None))
    }
}
