//! A journal made anew from what the tables hold: written beside its place, and put there whole.
//!
//! ```text
//! begin ─► journal.db.part ◄─ frames, facts, what is kept, positions, cuts
//!              │ finish: flushed
//!              │ reader: proven by whoever made it
//!              └─ put_in_place: renamed ─► journal.db
//! ```
//!
//! 1. The state folder is locked, and a journal that holds anything is left alone. *What it knows and the tables do
//!    not would be lost.*
//! 2. All is written beside its place ([`place`]), and proven by whoever made it before it is put there.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use plumeline_pipelines::model::{Names, Record, Sources};
use plumeline_sinks::delta::Rows;

use super::db::Db;
use super::lock::lock;
use super::{FILE, Frame, JournalError, Naming, Part, Reader, Restating, place, restated};

/// What all of a journal is under.
#[derive(Clone, Debug)]
pub struct Whole {
    /// What decided results: the journal's settings.
    pub rules: BTreeMap<String, String>,
    /// The newest cut in the tables, ms.
    pub committed_ms: Option<i64>,
    /// The number of the newest record.
    pub last_index: u64,
}

/// A journal that is being made. See the module's documentation.
#[derive(Debug)]
pub struct Rebuild {
    db: Db,
    folder: PathBuf,
    names: Arc<Names>,
    lock: File,
}

impl Rebuild {
    /// Begins one in `folder`, in place of any that was not finished.
    ///
    /// # Errors
    /// If another process runs on it, or a journal is there that holds something.
    pub fn begin(folder: &Path, names: Arc<Names>) -> Result<Self, JournalError> {
        let lock = lock(folder)?;
        let path = folder.join(FILE);
        if path.exists() && !is_empty(&path) {
            return Err(JournalError::Exists(path));
        }
        let db = place::begin(folder)?;
        fail::fail_point!("rebuild-begun");
        Ok(Self { db, folder: folder.to_owned(), names, lock })
    }

    /// The names that its records use.
    #[must_use]
    pub fn names(&self) -> &Names {
        &self.names
    }

    /// Adds what came in at an instant. Facts have to come in the order in which they were learned.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn append(&mut self, part: &Part<'_>, sources: &[Arc<str>]) -> Result<(), JournalError> {
        self.db.append(part, Naming { names: &self.names, sources })?;
        fail::fail_point!("rebuild-append");
        Ok(())
    }

    /// Adds what was kept when the horizon moved at `moved_ms`.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn keep(
        &mut self,
        moved_ms: i64,
        parts: &[Vec<Record>],
        sources: &[Arc<str>],
    ) -> Result<(), JournalError> {
        let naming = Naming { names: &self.names, sources };
        let parts: Vec<_> = parts.iter().map(|part| Frame::encode(part, &[], naming)).collect();
        self.db.keep(moved_ms, &parts)
    }

    /// Adds a cut.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn cut(&mut self, ms: i64) -> Result<(), JournalError> {
        self.db.cut(ms)
    }

    /// Adds the `part`-th part of what a restatement found, under the number `id`.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn propose_part(&mut self, id: i64, part: i64, rows: &Rows) -> Result<(), JournalError> {
        self.db.propose_part(id, part, &restated::encode(rows, &self.names))
    }

    /// Adds a cut that took a restatement along.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn cut_restating(&mut self, ms: i64, restating: &Restating) -> Result<(), JournalError> {
        let Restating { id, entry, recalls } = restating;
        let entry = restated::encode_entry(entry);
        let recalls = restated::encode_recalls(recalls, &self.names);
        self.db.cut_restating(ms, *id, (&entry, &recalls))
    }

    /// All is said.
    ///
    /// # Errors
    /// If it cannot be.
    pub fn finish(mut self, whole: &Whole, sources: &[Arc<str>]) -> Result<Rebuilt, JournalError> {
        for (key, value) in &whole.rules {
            self.db.set_meta(key, value)?;
        }
        self.db.sources(sources)?;
        self.db.set_last_index(whole.last_index)?;
        if let Some(ms) = whole.committed_ms {
            self.db.committed(ms)?;
        }
        let Self { db, folder, names, lock } = self;
        drop(db);
        fail::fail_point!("rebuild-finished");
        Ok(Rebuilt { folder, names, sources: Sources::new(sources.iter().cloned()), _lock: lock })
    }
}

/// A journal that is whole, and not in its place yet.
#[derive(Debug)]
pub struct Rebuilt {
    folder: PathBuf,
    names: Arc<Names>,
    sources: Sources,
    /// Holds the lock until it is in its place.
    _lock: File,
}

impl Rebuilt {
    /// Reads it.
    ///
    /// # Errors
    /// If it cannot be opened.
    pub fn reader(&self) -> Result<Reader, JournalError> {
        let db = Db::open_to_read(&place::part(&self.folder))?;
        Ok(Reader { db, names: Arc::clone(&self.names), sources: self.sources.clone() })
    }

    /// Puts it in its place; says where that is.
    ///
    /// # Errors
    /// If it cannot be: it may be tried again from the beginning.
    pub fn put_in_place(self) -> Result<PathBuf, JournalError> {
        place::put(&self.folder)
    }
}

/// Whether a journal holds nothing: a pipeline has begun it and was refused. One that cannot be read may hold anything.
fn is_empty(path: &Path) -> bool {
    let newest = Db::open_to_read(path).and_then(|db| db.newest_ms());
    matches!(newest, Ok(None))
}

#[cfg(test)]
#[path = "rebuild_tests.rs"]
mod tests;
