//! The threads that talk to the store, and the kernel's engine on top of them.
//!
//! The lake's interface blocks: its one user is a committer thread with nothing else to do. What the store
//! does in the meantime runs on two threads of its own, so that a lake works inside any program, also one
//! whose own runtime is busy or gone. (One is not enough: a checkpoint reads and writes at once.)

use std::fmt;
use std::sync::Arc;

use delta_kernel_default_engine::DefaultEngineBuilder;
use delta_kernel_default_engine::executor::tokio::TokioMultiThreadExecutor;
use tokio::runtime::{Builder, Runtime};

use super::error::LakeError;
use super::place::Place;

const STORE_THREADS: usize = 2;

/// A place, and what reads and writes it.
pub(super) struct Engine {
    pub(super) place: Place,
    pub(super) kernel: Box<dyn delta_kernel::Engine>,
    /// There until it is dropped.
    runtime: Option<Runtime>,
}

/// A lake may be let go of anywhere, also where waiting for its threads would be refused: in a task.
impl Drop for Engine {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

impl fmt::Debug for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Engine").field("place", &self.place).finish_non_exhaustive()
    }
}

impl Engine {
    pub(super) fn new(place: Place) -> Result<Self, LakeError> {
        let runtime = Builder::new_multi_thread()
            .worker_threads(STORE_THREADS)
            .thread_name("lake-store")
            .enable_all()
            .build()
            .map_err(LakeError::Threads)?;
        let executor = TokioMultiThreadExecutor::new(runtime.handle().clone());
        let kernel = DefaultEngineBuilder::new(Arc::clone(&place.store))
            .with_task_executor(Arc::new(executor))
            .build();
        Ok(Self { place, kernel: Box::new(kernel), runtime: Some(runtime) })
    }

    /// Runs `work`, which may wait for the store, beside whatever the caller does next.
    pub(super) fn run_beside(&self, work: impl FnOnce() + Send + 'static) {
        let runtime = self.runtime.as_ref().expect("there until it is dropped");
        drop(runtime.spawn_blocking(work));
    }

    /// Waits for the store.
    pub(super) fn block_on<F: Future>(&self, future: F) -> F::Output {
        let runtime = self.runtime.as_ref().expect("there until it is dropped");
        runtime.block_on(future)
    }
}
