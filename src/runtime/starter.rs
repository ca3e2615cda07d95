//! Starts sources, each where it is to be read on.

use std::sync::Arc;

use jiff::tz::TimeZone;
use plumeline_connectors::{Batch, Context, SourceHandle};
use plumeline_pipelines::model::Names;
use tokio::sync::mpsc::Sender;

use super::clock::Clock;
use super::error::RunError;
use crate::config::{Pipeline, SourceEntry};
use crate::journal::Journal;

/// What all sources of a pipeline have in common.
#[derive(Debug)]
pub(super) struct Starter {
    pipeline: String,
    max_ahead_ms: i64,
    timezone: TimeZone,
    period_ms: i64,
    journal: Arc<Journal>,
    names: Arc<Names>,
    clock: Arc<dyn Clock>,
}

impl Starter {
    /// For the sources of `pipeline`.
    pub(super) fn new(
        pipeline: &Pipeline,
        journal: &Arc<Journal>,
        names: &Arc<Names>,
        clock: &Arc<dyn Clock>,
    ) -> Self {
        Self {
            pipeline: pipeline.name.clone(),
            max_ahead_ms: pipeline.max_ahead_ms,
            timezone: pipeline.timezone.clone(),
            period_ms: pipeline.policy.period_ms,
            journal: Arc::clone(journal),
            names: Arc::clone(names),
            clock: Arc::clone(clock),
        }
    }

    /// Starts the source of number `index`, which sends to `out`.
    ///
    /// # Errors
    /// If it can never work, or the journal cannot be read.
    pub(super) fn start(
        &self,
        source: &SourceEntry,
        index: u16,
        out: &Sender<Batch>,
    ) -> Result<SourceHandle, RunError> {
        let clock = Arc::clone(&self.clock);
        let context = Context {
            pipeline: self.pipeline.clone(),
            name: source.name.clone(),
            names: Arc::clone(&self.names),
            index,
            out: out.clone(),
            clock: Arc::new(move || clock.now_ms()),
            max_ahead_ms: self.max_ahead_ms,
            timezone: self.timezone.clone(),
            period_ms: self.period_ms,
            resume: self.journal.positions(source.key())?,
        };
        let started = plumeline_connectors::start(source.config.clone(), context);
        started.map_err(|cause| RunError::Source { name: source.name.clone(), cause })
    }

    /// Starts a source that the pipeline file does not have, and numbers it.
    ///
    /// # Errors
    /// As [`Self::start`], or if the journal cannot be written.
    pub(super) fn add(
        &self,
        source: &SourceEntry,
        out: &Sender<Batch>,
    ) -> Result<(u16, SourceHandle), RunError> {
        let number = self.journal.add_source(source.key())?;
        Ok((number, self.start(source, number, out)?))
    }
}
