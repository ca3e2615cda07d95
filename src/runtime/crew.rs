//! The threads of a pipeline.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use super::RunError;

/// The threads of a pipeline, and the first error that ended one.
#[derive(Debug, Default)]
pub(super) struct Crew {
    /// By name, in the order they were started.
    pub threads: Vec<(&'static str, JoinHandle<()>)>,
    /// The first error.
    pub failure: Failure,
    /// Set when somebody asks the pipeline to end, or a thread has failed.
    pub stop: Arc<AtomicBool>,
}

impl Crew {
    /// Starts a thread that nobody waits for; one that fails ends the others.
    pub(super) fn let_go(
        &self,
        name: &'static str,
        body: impl FnOnce() -> Result<(), RunError> + Send + 'static,
    ) -> Result<(), RunError> {
        self.start(name, body).map(drop)
    }

    /// Starts a thread; one that fails ends the others.
    pub(super) fn take_on(
        &mut self,
        name: &'static str,
        body: impl FnOnce() -> Result<(), RunError> + Send + 'static,
    ) -> Result<(), RunError> {
        let thread = self.start(name, body)?;
        self.threads.push((name, thread));
        Ok(())
    }

    fn start(
        &self,
        name: &'static str,
        body: impl FnOnce() -> Result<(), RunError> + Send + 'static,
    ) -> Result<JoinHandle<()>, RunError> {
        let (failure, stop) = (self.failure.clone(), Arc::clone(&self.stop));
        let body = move || {
            let outcome = body();
            // Whoever waits for a disk or a store stops waiting.
            stop.fetch_or(outcome.is_err(), Ordering::AcqRel);
            failure.note(outcome);
        };
        spawn(name, body)
    }
}

/// The first error that ended a part.
#[derive(Clone, Debug, Default)]
pub(super) struct Failure(Arc<Mutex<Option<RunError>>>);

impl Failure {
    fn note(&self, outcome: Result<(), RunError>) {
        if let Err(error) = outcome {
            tracing::error!(error = %crate::chain(&error), "the pipeline ends");
            self.0.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
        }
    }

    /// It, once.
    pub(super) fn take(&self) -> Option<RunError> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

fn spawn(name: &str, body: impl FnOnce() + Send + 'static) -> Result<JoinHandle<()>, RunError> {
    std::thread::Builder::new().name(name.to_owned()).spawn(body).map_err(RunError::Thread)
}
