//! How a journal comes to its place: a new one, and one that was made anew from the tables.
//!
//! ```text
//! journal.db.part ──► flushed ──► renamed ──► journal.db ──► its folder flushed
//! ```
//!
//! 1. It is made under another name, without a log and without flushes. *What a process that ended leaves is no
//!    journal: the next attempt begins anew.*
//! 2. It says itself that `SQLite` keeps a log for it. *Else the first who opens it would have to say so, and one who
//!    is killed meanwhile leaves a file that nobody can look at before another has mended it.*
//! 3. It is flushed, then renamed, then its folder is flushed. *So there is no journal, or a whole one, also after a
//!    power cut.*

use std::fs::File;
use std::path::{Path, PathBuf};

use super::db::Db;
use super::lock::at;
use super::{FILE, JournalError};

/// What is not whole yet.
const PART_FILE: &str = "journal.db.part";
/// What `SQLite` may leave beside a file.
const LOGS: [&str; 3] = ["-wal", "-shm", "-journal"];

/// Where the journal of `folder` is made.
pub(super) fn part(folder: &Path) -> PathBuf {
    folder.join(PART_FILE)
}

/// Begins a journal, in place of any that was not finished.
pub(super) fn begin(folder: &Path) -> Result<Db, JournalError> {
    remove(folder, PART_FILE)?;
    Db::create_part(&part(folder))
}

/// Puts what was begun, and is closed, in its place; says where that is.
pub(super) fn put(folder: &Path) -> Result<PathBuf, JournalError> {
    let (part, path) = (part(folder), folder.join(FILE));
    Db::keep_log(&part)?;
    File::open(&part).and_then(|file| file.sync_all()).map_err(at(&part))?;
    // The log of an empty one must not be taken for that of this one.
    remove(folder, FILE)?;
    fail::fail_point!("journal-place");
    std::fs::rename(&part, &path).map_err(at(&path))?;
    fail::fail_point!("journal-placed");
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(at(folder))?;
    Ok(path)
}

/// Removes a file, with what belongs to it.
fn remove(folder: &Path, name: &str) -> Result<(), JournalError> {
    for end in [""].iter().chain(&LOGS) {
        let path = folder.join(format!("{name}{end}"));
        match std::fs::remove_file(&path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(at(&path)(error));
            }
            Ok(()) | Err(_) => {}
        }
    }
    Ok(())
}
