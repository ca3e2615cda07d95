//! Waiting for a disk or a store that does not take something now: the same for all who write.
//!
//! 1. An error that may pass is told once in the log, and by `/readyz` until it has passed. *A line a second
//!    for hours would hide everything else.*
//! 2. The same is tried again, after a pause that doubles up to a limit. *Nobody gains from a store that is
//!    asked more often; nobody may wait long after it is back.*
//! 3. Any other error is handed on at once, and so is one that lasts while the pipeline is to end: what is not
//!    written then was not acknowledged, or is in the journal.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use plumeline_sinks::delta::LakeError;

use super::telemetry::Telemetry;
use crate::journal::JournalError;

/// An error that may pass.
pub(super) trait MayPass: std::error::Error + 'static {
    /// Whether trying again can help.
    fn may_pass(&self) -> bool;
}

impl MayPass for LakeError {
    fn may_pass(&self) -> bool {
        self.transient()
    }
}

impl MayPass for JournalError {
    fn may_pass(&self) -> bool {
        self.is_transient()
    }
}

/// What is waited for.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(super) enum Target {
    /// The disk of the journal. Only one that is full is waited for.
    Journal,
    /// The store of the lake.
    Store,
}

impl Target {
    /// The first pause, the longest, and tries before a pipeline that is to end gives up.
    fn pauses(self) -> (Duration, Duration, u32) {
        match self {
            Self::Journal => (Duration::from_millis(100), Duration::from_secs(1), 0),
            Self::Store => (Duration::from_millis(200), Duration::from_secs(15), 5),
        }
    }

    fn show(self, telemetry: &Telemetry, problem: Option<String>) {
        match self {
            Self::Journal => telemetry.set_journal_problem(problem),
            Self::Store => telemetry.set_store_problem(problem),
        }
    }
}

/// What came between the tries of one thing.
#[derive(Debug)]
pub(super) struct Patience<'p> {
    target: Target,
    telemetry: &'p Telemetry,
    stop: &'p AtomicBool,
    tries: u32,
    pause: Duration,
}

impl<'p> Patience<'p> {
    /// Nothing has failed yet.
    pub(super) fn new(target: Target, telemetry: &'p Telemetry, stop: &'p AtomicBool) -> Self {
        Self { target, telemetry, stop, tries: 0, pause: target.pauses().0 }
    }

    /// It has failed: how long to wait before the next try.
    ///
    /// # Errors
    /// The error, where there is to be no other try.
    pub(super) fn wait_after<E: MayPass>(&mut self, error: E) -> Result<Duration, E> {
        let (_, longest, tries_while_stopping) = self.target.pauses();
        let gives_up = self.stop.load(Ordering::Acquire) && self.tries >= tries_while_stopping;
        if gives_up || !error.may_pass() {
            return Err(error);
        }
        let problem = crate::chain(&error);
        if self.tries == 0 {
            match self.target {
                Target::Journal => tracing::error!(
                    %problem,
                    "the journal's disk is full: nothing is taken in until there is room"
                ),
                Target::Store => tracing::warn!(
                    %problem,
                    "the store does not take a commit: it is tried again until it does"
                ),
            }
        }
        self.target.show(self.telemetry, Some(problem));
        self.tries += 1;
        let pause = self.pause;
        self.pause = (pause * 2).min(longest);
        Ok(pause)
    }

    /// It has succeeded.
    pub(super) fn end(self) {
        let Self { target, telemetry, tries, .. } = self;
        if tries > 0 {
            match target {
                Target::Journal => tracing::info!(tries, "the journal's disk has room again"),
                Target::Store => tracing::info!(tries, "the store takes commits again"),
            }
            target.show(telemetry, None);
        }
    }
}

/// Tries until it succeeds, or fails for good. Blocks.
///
/// # Errors
/// One that does not pass; or one that may, while the pipeline is to end.
pub(super) fn insist<T, E: MayPass>(
    mut patience: Patience<'_>,
    mut attempt: impl FnMut() -> Result<T, E>,
) -> Result<T, E> {
    loop {
        match attempt() {
            Ok(done) => {
                patience.end();
                return Ok(done);
            }
            Err(error) => std::thread::sleep(patience.wait_after(error)?),
        }
    }
}
