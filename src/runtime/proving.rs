//! A restart that stops where the new would begin: whether a journal leads to what the newest commit says.
//!
//! The same plan, workers and digests as those of a restart ([`super::restore`], [`super::digests`]); nothing is
//! written.

use std::sync::Arc;
use std::sync::mpsc::sync_channel;

use plumeline_pipelines::digest::Digests;
use plumeline_pipelines::model::Names;
use plumeline_sinks::delta::Proof;

use super::committer::ToCommitter;
use super::desk::Desk;
use super::digests::Books;
use super::seal::{Phase, Seal};
use super::telemetry::Telemetry;
use super::{PUBLICATIONS_MAX, RunError, SEALS_MAX, worker};
use crate::config::Pipeline;
use crate::journal::Reader;

/// What was proven.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub struct Proven {
    /// Records that the state was derived from.
    pub records: usize,
}

/// Derives the state at the cut of `proof` from what `reader` reads, and compares it. `told` hears how many records
/// of how many were fed.
///
/// # Errors
/// If the journal cannot be read, or leads to something else.
pub fn prove(
    pipeline: &Pipeline,
    (reader, names): (&Reader, &Arc<Names>),
    proof: &Proof,
    told: &mut dyn FnMut(usize, usize),
) -> Result<Proven, RunError> {
    let (restored, workers) = (proof.upper, pipeline.workers);
    let plan = super::restore::plan(reader, &pipeline.policy, restored.ms())?;
    let (mut slices, total) = (plan.slices, usize::try_from(plan.records).unwrap_or(0));
    let telemetry = Arc::new(Telemetry::new(pipeline));
    let desk = Arc::new(Desk::open(None, names, &pipeline.policy, Arc::clone(&telemetry))?);
    let (feeds, inboxes): (Vec<_>, _) = (0..workers).map(|_| sync_channel(SEALS_MAX)).unzip();
    // Each worker says one thing.
    let (rows, told_by_workers) = sync_channel(workers);
    let (windows, unseen) = sync_channel(PUBLICATIONS_MAX);
    let wiring = worker::Wiring {
        options: worker::engine_options(pipeline, restored),
        inboxes,
        rows,
        windows,
        restored,
        opening: None,
        names: Arc::clone(names),
        desk,
        telemetry,
    };
    let mut records = 0;
    std::thread::scope(|scope| {
        scope.spawn(move || worker::run(wiring));
        scope.spawn(move || unseen.iter().for_each(drop));
        // Dropped at the end of this: the workers end with their feeds.
        let feeds = feeds;
        while let Some(slice) = slices.next(reader)? {
            records += slice.records.len();
            for (feed, seal) in
                feeds.iter().zip(Seal::shares(slice, workers, (None, Phase::Restoring)))
            {
                feed.send(seal).map_err(|_| RunError::Ended("the dataflow"))?;
            }
            told(records, total);
        }
        Ok::<(), RunError>(())
    })?;
    let (policy, unbooked) = (pipeline.policy.clone(), Digests::default());
    let mut books = Books::new(policy, Some(proof.clone()), unbooked, workers);
    for message in told_by_workers {
        if let ToCommitter::Restored { digests } = message {
            books.restored(&digests)?;
        }
    }
    Ok(Proven { records })
}
