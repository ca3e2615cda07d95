//! The committer: the one thread that touches the lake.
//!
//! 1. Append rows to the open cut as they come. Rows of the next cut may come before the last hand has
//!    ended this one: each part's messages are in order, so they wait until it has.
//! 2. When every part has said that a cut is at its end, commit it, and say so to the feeder. The commit tells where
//!    sources are read on after it, too. *So who has lost the journal can go on from there ([`crate::restore`]).*
//!    Beside it, as long as it runs, small files are merged (`compactor.rs`), and what no version of the last week
//!    needs is deleted.
//! 3. An error that may pass is tried again, later and later; meanwhile the channel fills and everybody
//!    waits. Any other error ends the pipeline: the next start reads from the lake how far it came.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::mpsc::{Receiver, Sender};

use plumeline_pipelines::digest::Digests;
use plumeline_pipelines::model::{Record, Tick};
use plumeline_sinks::delta::{CutWriter, Lake, LakeError, Positions, Resume, Rows};
use thiserror::Error;

use super::compactor;
use super::digests::Books;
use super::patience::{MayPass, Patience, Target, insist};
use super::telemetry::Telemetry;
use crate::config::Pipeline;
use crate::journal::{Journal, JournalError, TIMEZONE, rules};

/// What the committer is told.
#[derive(Debug)]
pub(super) enum ToCommitter {
    /// Rows of a cut.
    Rows {
        /// The cut.
        cut: Tick,
        /// Who says so: a worker's index, or their number for the feeder.
        part: usize,
        /// The rows.
        rows: Rows,
    },
    /// What a part keeps, since the horizon has moved.
    Kept {
        /// The cut.
        cut: Tick,
        /// Who says so.
        part: usize,
        /// When the horizon moved, ms.
        moved_ms: i64,
        /// In the order in which it has to be said again.
        records: Vec<Record>,
    },
    /// Where sources are read on after a cut.
    Positions {
        /// The cut.
        cut: Tick,
        /// By source and stream.
        positions: Arc<Positions>,
    },
    /// One part has handed over all its rows of the cut.
    End {
        /// The cut.
        cut: Tick,
        /// Of these rows.
        digests: Digests,
    },
    /// One worker has restored the state of the newest committed cut.
    Restored {
        /// Of the balances it has derived.
        digests: Digests,
    },
}

/// See the module's documentation.
#[derive(Debug)]
pub(super) struct Committer {
    lake: Option<Lake>,
    parts: usize,
    /// When files are merged, ms after; `None`: never.
    compact_after_ms: Option<i64>,
    books: Books,
    /// What decides results, in the journal's words.
    rules: BTreeMap<String, String>,
    /// The newest committed cut.
    last_cut: Option<Tick>,
    journal: Arc<Journal>,
    committed: Sender<Tick>,
    telemetry: Arc<Telemetry>,
    stop: Arc<AtomicBool>,
    open: Option<Open>,
    /// What belongs to later cuts.
    later: VecDeque<ToCommitter>,
}

/// The cut that is being gathered.
#[derive(Debug)]
struct Open {
    cut: Tick,
    writer: Option<CutWriter>,
    /// Parts that have handed over everything.
    ended: usize,
    /// What is kept since the horizon has moved: when, ms, and what by part.
    kept: Option<(i64, BTreeMap<usize, Vec<Record>>)>,
    /// Where sources are read on after it.
    positions: Arc<Positions>,
    /// Of its entries.
    digests: Digests,
}

impl Committer {
    /// A committer for cuts of the workers and the feeder of `pipeline`; without a lake, cuts are settled as they come.
    ///
    /// # Errors
    /// If the lake cannot say what its newest commit is.
    pub(super) fn new(
        lake: Option<Lake>,
        (pipeline, unbooked): (&Pipeline, Digests),
        (journal, committed): (Arc<Journal>, Sender<Tick>),
        (telemetry, stop): (Arc<Telemetry>, Arc<AtomicBool>),
    ) -> Result<Self, LakeError> {
        let proof = lake.as_ref().map(Lake::proof).transpose()?.flatten();
        let last_cut = proof.as_ref().map(|proof| proof.upper);
        let Pipeline { name, policy, workers, timezone, .. } = pipeline;
        let mut rules = rules(name, policy);
        let timezone = timezone.iana_name().unwrap_or("UTC");
        rules.insert(TIMEZONE.to_owned(), timezone.to_owned());
        Ok(Self {
            lake,
            parts: workers + 1,
            compact_after_ms: pipeline.delta.as_ref().and_then(|delta| delta.compact_after_ms),
            books: Books::new(policy.clone(), proof, unbooked, *workers),
            rules,
            last_cut,
            journal,
            committed,
            telemetry,
            stop,
            open: None,
            later: VecDeque::new(),
        })
    }

    /// Runs until all parts have let go.
    ///
    /// # Errors
    /// An error of the lake or the journal that cannot pass.
    pub(super) fn run(mut self, inbox: &Receiver<ToCommitter>) -> Result<(), CommitError> {
        let compacted = self.lake.as_ref().zip(self.compact_after_ms);
        let _compacting = compacted
            .map(|(lake, after)| compactor::start(lake, after, &self.telemetry, &self.stop));
        while let Ok(message) = inbox.recv() {
            self.take(message)?;
        }
        Ok(())
    }

    fn take(&mut self, message: ToCommitter) -> Result<(), CommitError> {
        let cut = match &message {
            ToCommitter::Rows { cut, .. }
            | ToCommitter::Kept { cut, .. }
            | ToCommitter::Positions { cut, .. }
            | ToCommitter::End { cut, .. } => *cut,
            ToCommitter::Restored { digests } => return Ok(self.books.restored(digests)?),
        };
        let lake = &mut self.lake;
        let open = self.open.get_or_insert_with(|| Open {
            cut,
            writer: lake.as_mut().map(|lake| lake.begin(cut)),
            ended: 0,
            kept: None,
            positions: Arc::default(),
            digests: Digests::default(),
        });
        if open.cut != cut {
            self.later.push_back(message);
            return Ok(());
        }
        match message {
            ToCommitter::Rows { part, rows, .. } => self.append(part, rows),
            ToCommitter::Kept { part, moved_ms, records, .. } => {
                let kept = open.kept.get_or_insert_with(|| (moved_ms, BTreeMap::new()));
                kept.1.insert(part, records);
                Ok(())
            }
            ToCommitter::Positions { positions, .. } => {
                open.positions = positions;
                Ok(())
            }
            ToCommitter::End { digests, .. } => {
                open.digests.merge(&digests);
                open.ended += 1;
                if open.ended < self.parts { Ok(()) } else { self.end() }
            }
            ToCommitter::Restored { .. } => Ok(()),
        }
    }

    fn append(&mut self, part: usize, rows: Rows) -> Result<(), CommitError> {
        let Some(mut writer) = self.open.as_mut().and_then(|open| open.writer.take()) else {
            return Ok(());
        };
        // Rows are taken even when the store does not answer: then they wait for it.
        let mut appended = writer.append(part, rows);
        self.insist(Target::Store, || {
            std::mem::replace(&mut appended, Ok(())).and_then(|()| writer.flush())
        })?;
        if let Some(open) = &mut self.open {
            open.writer = Some(writer);
        }
        Ok(())
    }

    /// Every part has ended the cut: commit it, and go on with what has come for the next.
    fn end(&mut self) -> Result<(), CommitError> {
        let Some(open) = self.open.take() else { return Ok(()) };
        if let Some((moved_ms, parts)) = open.kept {
            // Before the commit: a restart at this cut needs it.
            let parts: Vec<_> = parts.into_values().collect();
            self.insist(Target::Journal, || self.journal.keep(moved_ms, &parts))?;
        }
        fail::fail_point!("before-commit");
        if let Some(mut writer) = open.writer {
            writer.prove(self.last_cut, self.books.at(open.cut, &open.digests))?;
            let positions = Positions::clone(&open.positions);
            writer.resume(Resume { positions, rules: self.rules.clone() });
            let stats = self.insist(Target::Store, || writer.commit())?;
            self.telemetry.committed(&stats);
        }
        fail::fail_point!("after-commit");
        self.last_cut = Some(open.cut);
        if let Some(lake) = &self.lake {
            lake.clean_up();
        }
        self.telemetry.set_committed(open.cut);
        if self.committed.send(open.cut).is_err() {
            tracing::debug!("the feeder has ended");
        }
        for message in std::mem::take(&mut self.later) {
            self.take(message)?;
        }
        Ok(())
    }

    /// Tries until it succeeds, or fails for good.
    fn insist<T, E: MayPass + Into<CommitError>>(
        &self,
        target: Target,
        attempt: impl FnMut() -> Result<T, E>,
    ) -> Result<T, CommitError> {
        insist(Patience::new(target, &self.telemetry, &self.stop), attempt).map_err(Into::into)
    }
}

/// Why the committer has ended.
#[derive(Debug, Error)]
pub(super) enum CommitError {
    /// The lake.
    #[error(transparent)]
    Lake(#[from] LakeError),
    /// The journal.
    #[error(transparent)]
    Journal(#[from] JournalError),
}

impl From<CommitError> for super::RunError {
    fn from(error: CommitError) -> Self {
        match error {
            CommitError::Lake(error) => Self::Lake(error),
            CommitError::Journal(error) => Self::Journal(error),
        }
    }
}
