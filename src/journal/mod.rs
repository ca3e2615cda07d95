//! The journal: everything that was acknowledged, on this machine's disk, before it was.
//!
//! ```text
//!  batches ─► append ─► journal.db (SQLite: WAL, synchronous=FULL) ─► read back ─► the dataflow
//!               │            │ frames  positions  facts  cuts  kept
//!               └─► ack      └─ forgotten once the horizon has passed it and a cut has covered it
//! ```
//!
//! 1. **A part is committed, then acknowledged.** It carries the tick it will be sealed under, so that
//!    sources wait for a disk and not for a seal. *Otherwise a crash between the two would lose it.*
//! 2. **Positions** of a source are in the same transaction as what they brought. *Otherwise a restart would
//!    read it twice, or not at all.*
//! 3. **Cuts** are put down before anything of them leaves the process. *So a restart writes the same
//!    commits: `recorded_at` is the cut.*
//! 4. **What is kept** from before the horizon is put down before the first cut after its move is committed;
//!    frames that only matter below the horizon are deleted after. *So the journal is bounded by `retain`,
//!    and every restart finds a whole basis.*
//! 5. **A restart** feeds facts, what was kept, and the frames up to the ledger's committed cut in a few
//!    large ticks; later frames at their own. What the tables hold already they drop.
//!
//! One process at a time: `lock` in the same folder is locked while it runs, by the system, so that no stale
//! lock is left behind by a crash.
//!
//! Errors: a full disk passes ([`JournalError::is_transient`]); whatever else `SQLite` says about its file
//! is the end of the process, since nobody knows what a failed flush has left on the disk.

mod aliases;
mod codec;
mod copier;
mod db;
mod error;
mod fact;
mod frame;
mod inspect;
mod lock;
mod place;
mod reader;
mod rebuild;
mod restated;
mod settings;
mod timezone;

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use plumeline_connectors::{FactChange, Position};
use plumeline_pipelines::hindsight::Recall;
use plumeline_pipelines::model::{Id, Names, Policy, Record, RejectEntry, RestatedEntry, Sources};
use plumeline_sinks::delta::{Positions, Rows};

use copier::guarded;
use db::Db;
use lock::lock;
use settings::{FOOTPRINTS, GWP, RETAIN, SEMANTICS, WHOLE_HOURS, settings};

pub use aliases::{Again, Aliases};
pub use codec::Torn;
pub use copier::Copier;
pub use error::JournalError;
pub use frame::{Frame, Naming};
pub use inspect::{export, info, verify};
pub use reader::Reader;
pub use rebuild::{Rebuild, Rebuilt, Whole};
pub use settings::{Method, SEMANTICS_VERSION, as_committed, go_on_under, rules};
pub(crate) use timezone::TIMEZONE;
pub use timezone::TimezoneBefore;

/// The journal's file in the state folder.
pub const FILE: &str = "journal.db";

/// Something that is committed at once.
#[derive(Copy, Clone, Debug, Default)]
pub struct Part<'p> {
    /// The instant it will be sealed under, ms.
    pub ms: i64,
    /// Readings and activities, numbered.
    pub records: &'p [Record],
    /// Refused payloads.
    pub rejects: &'p [RejectEntry],
    /// Facts.
    pub facts: &'p [Learned],
    /// Where sources are read on.
    pub positions: &'p [(u16, Position)],
    /// Other names of meters, if something about them has changed.
    pub aliases: Option<&'p Aliases>,
}

/// A fact, and who said it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Learned {
    /// The source; `None` for the table's file.
    pub source: Option<u16>,
    /// What it said.
    pub change: FactChange,
}

/// A fact, and when it was learned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FactLine {
    /// The instant, ms.
    pub ms: i64,
    /// The fact.
    pub learned: Learned,
}

/// Everything of one tick.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stored {
    /// The tick, ms.
    pub ms: i64,
    /// Records and rejects.
    pub frame: Frame,
    /// Facts.
    pub facts: Vec<Learned>,
    /// Whether a commit ends with it.
    pub is_cut: bool,
}

/// What counts from before the horizon: what was kept at its last move, and what was recalled since.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Kept {
    /// In the order in which it has to be said again.
    pub records: Vec<Record>,
    /// Activities that were recalled, and when, ms: what was said of them up to then is among the records.
    pub recalled: BTreeMap<Id, i64>,
}

/// A restatement that a cut takes along.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Restating {
    /// The number of its entries in the journal.
    pub id: i64,
    /// Its row in `restatements`.
    pub entry: RestatedEntry,
    /// What is to be kept from before the horizon from now on, where it is something else.
    pub recalls: Vec<Recall>,
}

/// How a journal was found.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// The newest tick in it, ms; `None` if it is new.
    pub newest_ms: Option<i64>,
    /// The number of its newest record.
    pub last_index: u64,
    /// The newest cut that was noted to be in the ledger, ms.
    pub committed_ms: Option<i64>,
    /// The newest cut that was put down, ms.
    pub newest_cut_ms: Option<i64>,
    /// The cut since which all CO2e is in another GWP set, or what the program books means something else, ms.
    pub method_ms: Option<i64>,
}

/// The journal of the one process that writes it.
#[derive(Debug)]
pub struct Journal {
    db: Mutex<Db>,
    path: PathBuf,
    names: Arc<Names>,
    sources: Sources,
    /// An error that does not pass has come: nothing is written, nor acknowledged, after it.
    has_failed: Arc<AtomicBool>,
    /// Holds the lock until the process ends.
    _lock: File,
}

impl Journal {
    /// Opens the journal of the pipeline `name` in `folder`, or begins one. `policy` goes on from that of the journal:
    /// a longer `retain` counts from what is journaled on.
    ///
    /// # Errors
    /// If another process runs on it, or it is another pipeline's or program's.
    pub fn open(
        folder: &Path,
        name: &str,
        policy: &mut Policy,
        sources: &[Arc<str>],
        names: Arc<Names>,
    ) -> Result<(Self, Found), JournalError> {
        Self::open_under(folder, (name, policy), |_| true, sources, names)
    }

    /// [`Self::open`], whatever the method it was written under.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn open_to_change(
        folder: &Path,
        name: &str,
        policy: &mut Policy,
        names: Arc<Names>,
    ) -> Result<(Self, Found), JournalError> {
        let is_asked = |key: &str| ![SEMANTICS, GWP].contains(&key);
        Self::open_under(folder, (name, policy), is_asked, &[], names)
    }

    fn open_under(
        folder: &Path,
        (name, policy): (&str, &mut Policy),
        is_asked: impl Fn(&str) -> bool,
        sources: &[Arc<str>],
        names: Arc<Names>,
    ) -> Result<(Self, Found), JournalError> {
        let lock = lock(folder)?;
        let path = folder.join(FILE);
        fail::fail_point!("journal-open");
        if !path.exists() {
            drop(place::begin(folder)?);
            fail::fail_point!("journal-created");
            place::put(folder)?;
        }
        let db = Db::open(&path)?;
        let retains = settings::go_on(&db, policy)?;
        let mut new = Vec::new();
        for (key, is) in settings(name, policy).into_iter().filter(|(key, _)| is_asked(key)) {
            match db.meta(key)? {
                Some(was) if key == RETAIN && retains && was != is => new.push((key, is)),
                // A journal that does not say it has whole hours.
                None if is == WHOLE_HOURS => {}
                None if key == FOOTPRINTS && db.newest_ms()?.is_some() => {
                    let was = WHOLE_HOURS.to_owned();
                    return Err(JournalError::Setting { key, was, is });
                }
                None => new.push((key, is)),
                Some(was) if was == is => {}
                Some(was) => return Err(JournalError::Setting { key, was, is }),
            }
        }
        // Only now: whoever is refused has changed nothing.
        new.iter().try_for_each(|(key, is)| db.set_meta(key, is))?;
        fail::fail_point!("journal-settings");
        let mut all = sources.to_vec();
        let retired = db.sources(sources)?.into_iter().filter(|known| !sources.contains(known));
        all.extend(retired.collect::<Vec<_>>());
        let committed_ms = db.meta("committed_ms")?.and_then(|ms| ms.parse().ok());
        let found = Found {
            newest_ms: db.newest_ms()?,
            last_index: db.last_index()?,
            committed_ms,
            newest_cut_ms: db.newest_cut_ms()?,
            method_ms: db.meta(db::METHOD_CUT)?.and_then(|ms| ms.parse().ok()),
        };
        let (db, has_failed) = (Mutex::new(db), Arc::new(AtomicBool::new(false)));
        let journal = Self { db, path, names, sources: Sources::new(all), has_failed, _lock: lock };
        Ok((journal, found))
    }

    /// The names of all sources: those of the pipeline file, those it no longer has, then those added since.
    #[must_use]
    pub fn sources(&self) -> &Sources {
        &self.sources
    }

    /// The number of the source called `name`, which is put down where it is new.
    ///
    /// # Errors
    /// If it cannot be.
    pub fn add_source(&self, name: &str) -> Result<u16, JournalError> {
        // First, so that whatever carries the number is read with its name.
        self.write(|db| db.sources(&[Arc::from(name)]))?;
        Ok(self.sources.number(name))
    }

    fn db(&self) -> MutexGuard<'_, Db> {
        // A panic ends the process; in a test, SQLite has rolled back.
        self.db.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes, unless a write has failed for good.
    fn write<T>(
        &self,
        write: impl FnOnce(&mut Db) -> Result<T, JournalError>,
    ) -> Result<T, JournalError> {
        guarded(&self.has_failed, || write(&mut self.db()))
    }

    /// Where the source called `name` is read on.
    ///
    /// # Errors
    /// If the journal cannot be read.
    pub fn positions(&self, name: &str) -> Result<Vec<Position>, JournalError> {
        self.db().positions(name)
    }

    /// Where all sources are read on, also those that the pipeline no longer has.
    ///
    /// # Errors
    /// If the journal cannot be read.
    pub fn all_positions(&self) -> Result<Positions, JournalError> {
        self.db().all_positions()
    }

    /// Commits a part: when this returns, it is on the disk.
    ///
    /// # Errors
    /// Transient where the disk is full: nothing of the part is there then.
    pub fn append(&self, part: &Part<'_>) -> Result<(), JournalError> {
        fail::fail_point!("journal-append");
        fail::fail_point!("journal-full", |_| Err(JournalError::full()));
        let sources = self.sources.all();
        let naming = Naming { names: &self.names, sources: &sources };
        self.write(|db| db.append(part, naming))?;
        fail::fail_point!("journal-appended");
        Ok(())
    }

    /// Puts down that a commit ends with the tick `ms`.
    ///
    /// # Errors
    /// Transient where the disk is full.
    pub fn cut(&self, ms: i64) -> Result<(), JournalError> {
        fail::fail_point!("journal-cut");
        fail::fail_point!("journal-full", |_| Err(JournalError::full()));
        self.write(|db| db.cut(ms))?;
        fail::fail_point!("journal-cut-done");
        Ok(())
    }

    /// Begins to propose a restatement, in place of any that no cut took along; says its number.
    ///
    /// # Errors
    /// Transient where the disk is full.
    pub fn propose(&self) -> Result<i64, JournalError> {
        self.write(Db::propose)
    }

    /// Puts down the `part`-th part of what is proposed under the number `id`.
    ///
    /// # Errors
    /// Transient where the disk is full.
    pub fn propose_part(&self, id: i64, part: i64, rows: &Rows) -> Result<(), JournalError> {
        let body = restated::encode(rows, &self.names);
        fail::fail_point!("journal-propose");
        fail::fail_point!("journal-full", |_| Err(JournalError::full()));
        self.write(|db| db.propose_part(id, part, &body))
    }

    /// [`Self::cut`], which takes a restatement along.
    ///
    /// # Errors
    /// Transient where the disk is full.
    pub fn cut_restating(&self, ms: i64, restating: &Restating) -> Result<(), JournalError> {
        let Restating { id, entry, recalls } = restating;
        let entry = restated::encode_entry(entry);
        let recalls = restated::encode_recalls(recalls, &self.names);
        fail::fail_point!("journal-restate");
        fail::fail_point!("journal-full", |_| Err(JournalError::full()));
        self.write(|db| db.cut_restating(ms, *id, (&entry, &recalls)))?;
        fail::fail_point!("journal-restate-done");
        Ok(())
    }

    /// From the cut at `ms` on, which takes a restatement of everything along, `method` is the one that counts.
    /// Where nothing was ever booked, there is nothing to take along, and no cut.
    ///
    /// # Errors
    /// If it cannot be written: then nothing of it is.
    pub fn change_method(
        &self,
        method: &Method,
        restated: Option<(i64, &Restating)>,
    ) -> Result<(), JournalError> {
        let Method { semantics, gwp } = method;
        let settings = [(SEMANTICS, &**semantics), (GWP, &**gwp)];
        let restated = restated.map(|(ms, Restating { id, entry, recalls })| {
            let recalls = restated::encode_recalls(recalls, &self.names);
            (ms, *id, restated::encode_entry(entry), recalls)
        });
        fail::fail_point!("journal-method");
        self.write(|db| db.change_method(&settings, restated.as_ref()))?;
        fail::fail_point!("journal-method-done");
        Ok(())
    }

    /// Puts down what each part of the dataflow keeps at the move of the horizon at `moved_ms`.
    ///
    /// # Errors
    /// Transient where the disk is full.
    pub fn keep(&self, moved_ms: i64, parts: &[Vec<Record>]) -> Result<(), JournalError> {
        let sources = self.sources.all();
        let naming = Naming { names: &self.names, sources: &sources };
        let encoded = |records: &Vec<Record>| Frame::encode(records, &[], naming);
        let parts: Vec<_> = parts.iter().map(encoded).collect();
        fail::fail_point!("journal-keep");
        fail::fail_point!("journal-full", |_| Err(JournalError::full()));
        self.write(|db| db.keep(moved_ms, &parts))?;
        fail::fail_point!("journal-kept");
        Ok(())
    }

    /// Notes that the cut at `ms` is in the ledger.
    ///
    /// # Errors
    /// Transient where the disk is full.
    pub fn committed(&self, ms: i64) -> Result<(), JournalError> {
        fail::fail_point!("journal-committed");
        fail::fail_point!("journal-full", |_| Err(JournalError::full()));
        self.write(|db| db.committed(ms))?;
        fail::fail_point!("journal-committed-done");
        Ok(())
    }

    /// Deletes some of what no restart needs once a cut after the horizon's move at `moved_ms`, to
    /// `horizon_ms`, is in the ledger. Says whether there may be more.
    ///
    /// # Errors
    /// Transient where the disk is full.
    pub fn forget(&self, moved_ms: i64, horizon_ms: i64) -> Result<bool, JournalError> {
        fail::fail_point!("journal-forget");
        fail::fail_point!("journal-full", |_| Err(JournalError::full()));
        let may_be_more = self.write(|db| db.forget(moved_ms, horizon_ms))?;
        fail::fail_point!("journal-forgotten");
        Ok(may_be_more)
    }

    /// Whether a commit ended with the tick `ms`.
    ///
    /// # Errors
    /// If the journal cannot be read.
    pub fn is_cut(&self, ms: i64) -> Result<bool, JournalError> {
        self.db().is_cut(ms)
    }

    /// Another connection to move its log with, while this one writes.
    ///
    /// # Errors
    /// If it cannot be opened.
    pub fn copier(&self) -> Result<Copier, JournalError> {
        Ok(Copier::new(Db::open_to_copy(&self.path)?, Arc::clone(&self.has_failed)))
    }

    /// Another connection to read it with, while this one writes.
    ///
    /// # Errors
    /// If it cannot be opened.
    pub fn reader(&self) -> Result<Reader, JournalError> {
        let (names, sources) = (Arc::clone(&self.names), self.sources.clone());
        Ok(Reader { db: Db::open_to_read(&self.path)?, names, sources })
    }
}

#[cfg(test)]
mod golden_tests;
#[cfg(test)]
#[path = "tests.rs"]
mod tests;
