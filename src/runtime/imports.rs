//! Files of history that are taken in while the pipeline runs: `plumeline backfill`.
//!
//! ```text
//!                    POST /backfill ─▶ asked ─▶ numbered, started ─┐
//!  live sources ─▶ ─────────────────────────────────────┐          ▼
//!                                                       ├─▶ ingest ◀─ (while nothing live waits) ─ batches of files
//! ```
//!
//! 1. The file becomes a source of its own, called `backfill PATH`, whose name is in the journal before anything of it
//!    is read. *Else a frame would carry a number that nobody knows.*
//! 2. It is read on where its positions say. *So the same order again, also after a crash, takes nothing in twice.*
//! 3. Its batches come through a channel of their own, which is looked at while no live batch waits and the dataflow
//!    keeps up. *So live readings are not behind years of history.*
//! 4. What it says of periods below the horizon is pending, and restated as ever.
//!
//! Whoever asked looks on ([`Imports`]); it goes on without them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use plumeline_connectors::config::{Carries, FileSource};
use plumeline_connectors::{SourceConfig, SourceStatus};
use serde::{Deserialize, Serialize};

use crate::config::SourceEntry;

/// What files are asked for, and how far each has come.
#[derive(Debug, Default)]
pub struct Imports(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    /// None are taken in: the process itself does nothing else.
    is_closed: bool,
    asked: Vec<PathBuf>,
    /// Since none was being read.
    files: BTreeMap<PathBuf, File>,
    /// All that was read was taken in with the tick at this instant, ms, or before.
    ended_ms: Option<i64>,
}

#[derive(Debug)]
enum File {
    /// Nobody has begun with it yet.
    Asked,
    /// It is a source, of so many bytes.
    Started(Arc<SourceStatus>, u64),
    /// It cannot be one.
    Refused(String),
}

/// How far all files have come.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// Which: a process that was started anew knows of none.
    pub files: Vec<PathBuf>,
    /// Bytes that were read.
    pub read: u64,
    /// Bytes of the files.
    pub bytes: u64,
    /// All were read to their ends, or cannot be, and what they brought is in the ledger.
    pub is_in_ledger: bool,
    /// Periods that are pending below the horizon.
    pub pending: i64,
    /// How far a restatement has come, in thousandths.
    pub permille: Option<usize>,
    /// Elements of all sources since the start.
    pub records: u64,
    /// Why files could not be read, or not to their ends.
    pub problems: Vec<String>,
}

/// The source that reads `path`, which is absolute, as history.
#[must_use]
pub fn history(path: &Path) -> SourceEntry {
    // Its name in tables, and where a second attempt goes on.
    let name = format!("backfill {}", path.display());
    let path = path.to_owned();
    let config = SourceConfig::File(FileSource { path, follow: false, carries: Carries::Readings });
    SourceEntry { id: Some(name.clone()), name, line: 0, config }
}

impl Imports {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// None are taken in.
    pub(super) fn close(&self) {
        self.state().is_closed = true;
    }

    /// Somebody asks for these; those that are being read are read on. Says whether any are taken in.
    pub fn ask(&self, paths: impl IntoIterator<Item = PathBuf>) -> bool {
        let mut state = self.state();
        if state.is_closed {
            return false;
        }
        if !state.files.values().any(File::is_under_way) {
            state.files.clear();
        }
        for path in paths {
            if !state.files.get(&path).is_some_and(File::is_under_way) {
                state.files.insert(path.clone(), File::Asked);
                state.asked.push(path);
                state.ended_ms = None;
            }
        }
        true
    }

    /// What was asked for since the last time.
    pub(super) fn take_asked(&self) -> Vec<PathBuf> {
        std::mem::take(&mut self.state().asked)
    }

    /// The file at `path` is a source now, or cannot be one.
    pub(super) fn started(&self, path: PathBuf, status: Result<Arc<SourceStatus>, String>) {
        let file = match status {
            Ok(status) => {
                let bytes = std::fs::metadata(&path).map_or(0, |data| data.len());
                File::Started(status, bytes)
            }
            Err(why) => File::Refused(why),
        };
        self.state().files.insert(path, file);
    }

    /// Whether all files were read to their ends, and nobody has noted it.
    pub(super) fn have_ended(&self) -> bool {
        let state = self.state();
        state.ended_ms.is_none() && !state.files.values().any(File::is_under_way)
    }

    /// All that was read was taken in with the tick at `ms`, or before.
    pub(super) fn note_end(&self, ms: i64) {
        let mut state = self.state();
        if state.asked.is_empty() {
            state.ended_ms = Some(ms);
        }
    }

    /// How far they have come, where the newest cut in the ledger is that of `committed_ms`.
    pub(super) fn progress(&self, committed_ms: Option<i64>) -> Progress {
        let state = self.state();
        let files = state.files.keys().cloned().collect();
        let mut progress = Progress { files, ..Progress::default() };
        for (path, file) in &state.files {
            let problem = match file {
                File::Asked => None,
                File::Refused(why) => Some(why.clone()),
                File::Started(status, bytes) => {
                    progress.bytes += bytes;
                    let has_ended = status.ended.load(Ordering::Acquire);
                    let read = status.read_bytes.load(Ordering::Relaxed);
                    progress.read += if has_ended { *bytes } else { read.min(*bytes) };
                    status.problem()
                }
            };
            progress.problems.extend(problem.map(|why| format!("{}: {why}", path.display())));
        }
        progress.is_in_ledger = state.ended_ms.is_some_and(|ms| committed_ms >= Some(ms));
        progress
    }
}

impl File {
    /// Whether something of it is still to come.
    fn is_under_way(&self) -> bool {
        match self {
            Self::Asked => true,
            Self::Started(status, _) => {
                !status.ended.load(Ordering::Acquire) && status.problem().is_none()
            }
            Self::Refused(_) => false,
        }
    }
}
