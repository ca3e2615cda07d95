//! The running pipeline: who owns time, who owns what, and who waits for whom.
//!
//! ```text
//! sources ══▶ sequencer ──seal──▶ worker 0..n ──rows of a cut──▶ committer ══▶ Delta tables
//!    ▲            │ ▲                  │ windows                     │
//!    │            │ │                  └────────▶ publisher ──▶ /metrics
//!    └────ack─────┘ └──────────────committed────────────────────────┘
//! ```
//!
//! 1. Sources decode and hand over batches on one bounded channel. *A full channel is the back-pressure.*
//! 2. The **sequencer** owns time: every quarter of a second it seals what has come under one instant, says
//!    where a commit ends (a *cut*), and feeds the workers. *So what follows is a function of seals and cuts.*
//! 3. The **workers** are timely threads, in step with each other: each takes a seal, steps until the
//!    dataflow has passed it, and hands on what was derived. *No I/O happens inside an operator.*
//! 4. The **committer** writes the rows of a cut and commits them; nothing else touches the lake. Errors that
//!    may pass are tried again; all others end the process.
//! 5. Only when a cut is committed are the batches it covers acknowledged to their sources. *So a reading
//!    that was acknowledged is in the table `readings`.*
//! 6. The **publisher** merges the workers' window changes of one seal and publishes them as one tick.
//!
//! Every channel is bounded, so a slow store stops the committer, then the workers, the sequencer, the
//! sources, and at last the brokers hold the backlog. A thread that ends takes its channels along, and so
//! ends the others in turn: nothing hangs.
//!
//! Shutdown: sources stop, what they handed over is sealed, a last cut is committed and acknowledged, then
//! the inputs close. What lies ahead of time is discarded.

mod ack_window;
mod clock;
mod committer;
mod cuts;
mod intake;
mod parked;
mod progress;
mod publisher;
mod sequencer;
mod stash;
mod telemetry;
mod worker;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::sync_channel;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use plumeline_connectors::{Context, SourceError, SourceHandle};
use plumeline_pipelines::engine::EngineOptions;
use plumeline_pipelines::model::{Names, Tick};
use plumeline_sinks::delta::{Lake, LakeError};
use thiserror::Error;
use tokio::runtime::Handle;

pub use clock::{Clock, WallClock};
pub use progress::{Footprint, Progress};
pub use telemetry::Telemetry;

use crate::config::{Pipeline, Problems};
use committer::Committer;
use intake::Intake;
use publisher::Publisher;
use sequencer::Sequencer;

/// Batches that may wait for the sequencer: a few thousand readings each, so some MB.
const BATCHES_MAX: usize = 32;
/// Seals that may wait for a worker, besides the one it works on.
const SEALS_MAX: usize = 1;
/// Chunks of rows that may wait for the committer.
const CHUNKS_MAX: usize = 8;
/// Window changes that may wait for the publisher, in seals.
const PUBLICATIONS_MAX: usize = 16;

/// Why a pipeline cannot run, or ended.
#[derive(Debug, Error)]
pub enum RunError {
    /// Its tables are not in order.
    #[error("the tables are not in order\n{0}")]
    Facts(Problems),
    /// A source cannot start.
    #[error("source \"{name}\" cannot start")]
    Source {
        /// The source.
        name: String,
        /// Why.
        #[source]
        cause: SourceError,
    },
    /// The lake cannot be opened, or refused a commit for good.
    #[error("the ledger cannot be written")]
    Lake(#[from] LakeError),
    /// The health and metrics listener.
    #[error("cannot listen on {address}")]
    Http {
        /// As configured.
        address: std::net::SocketAddr,
        /// What the system says.
        #[source]
        cause: std::io::Error,
    },
    /// The system gives us no thread.
    #[error("cannot start a thread")]
    Thread(#[source] std::io::Error),
    /// A part ended that should not have.
    #[error("{0} ended unexpectedly; its message is above")]
    Ended(&'static str),
}

/// A pipeline while it runs.
#[derive(Debug)]
pub struct Running {
    telemetry: Arc<Telemetry>,
    stop: Arc<AtomicBool>,
    threads: Vec<(&'static str, JoinHandle<()>)>,
    failure: Arc<Mutex<Option<RunError>>>,
    http: tokio::task::JoinHandle<()>,
    http_address: std::net::SocketAddr,
}

/// Starts a pipeline. Must be called inside a tokio runtime with several threads.
///
/// # Errors
/// If its tables are not in order, the lake cannot be opened, or a source can never work.
pub async fn start(pipeline: Pipeline, clock: Arc<dyn Clock>) -> Result<Running, RunError> {
    let names = Arc::new(Names::new());
    let facts = intake::Facts::load(&pipeline, &names).map_err(RunError::Facts)?;
    let telemetry = Arc::new(Telemetry::new(&pipeline));
    let (http_address, http) = crate::http::serve(pipeline.http, Arc::clone(&telemetry)).await?;
    let lake = open_lake(&pipeline, &names, clock.is_replay()).await?;
    let newest_cut = lake.as_ref().and_then(Lake::committed);
    let (batches, inbox) = tokio::sync::mpsc::channel(BATCHES_MAX);
    let sources = start_sources(&pipeline, &names, &clock, &batches)?;
    drop(batches);
    telemetry.watch(&sources);

    let stop = Arc::new(AtomicBool::new(false));
    let failure = Arc::new(Mutex::new(None));
    let mut threads = Vec::new();
    let (rows, rows_inbox) = sync_channel(CHUNKS_MAX);
    let (cuts_committed, committed_inbox) = tokio::sync::mpsc::unbounded_channel();
    let committer = Committer::new(
        lake,
        pipeline.workers + 1,
        cuts_committed,
        Arc::clone(&telemetry),
        Arc::clone(&stop),
    );
    threads.push((
        "committer",
        spawn("committer", {
            let failure = Arc::clone(&failure);
            move || {
                if let Err(error) = committer.run(&rows_inbox) {
                    tracing::error!(error = %crate::chain(&error), "the ledger cannot be written");
                    *failure.lock().unwrap_or_else(PoisonError::into_inner) = Some(error.into());
                }
            }
        })?,
    ));
    let (changes, changes_inbox) = sync_channel(PUBLICATIONS_MAX);
    let publisher = Publisher::new(&pipeline, Arc::clone(&names), Arc::clone(&telemetry));
    threads.push(("publisher", spawn("publisher", move || publisher.run(&changes_inbox))?));

    let mut feeds = Vec::new();
    let mut inboxes = Vec::new();
    for _ in 0..pipeline.workers {
        let (feed, inbox) = sync_channel(SEALS_MAX);
        feeds.push(feed);
        inboxes.push(inbox);
    }
    let wiring = worker::Wiring {
        options: engine_options(&pipeline),
        inboxes,
        rows: rows.clone(),
        windows: changes,
        names: Arc::clone(&names),
        telemetry: Arc::clone(&telemetry),
    };
    threads.push(("dataflow", spawn("dataflow", move || worker::run(wiring))?));

    let intake = Intake::new(&pipeline, facts, inbox, sources, Arc::clone(&telemetry));
    let sequencer = Sequencer::new(sequencer::Parts {
        clock,
        committed: newest_cut,
        commit_every_ms: pipeline.delta.as_ref().map_or(60_000, |delta| delta.commit_every_ms),
        intake,
        feeds,
        rows,
        committed_inbox,
        telemetry: Arc::clone(&telemetry),
        stop: Arc::clone(&stop),
    });
    let handle = Handle::current();
    threads.push(("sequencer", spawn("sequencer", move || handle.block_on(sequencer.run()))?));
    Ok(Running { telemetry, stop, threads, failure, http, http_address })
}

fn engine_options(pipeline: &Pipeline) -> EngineOptions {
    EngineOptions {
        policy: pipeline.policy.clone(),
        keep_readings: pipeline.delta.as_ref().is_some_and(|delta| delta.readings),
        window_gases: pipeline.prometheus.is_some_and(|prometheus| prometheus.gases),
        restored: Tick::ZERO,
    }
}

/// Opens the lake off the async threads: it brings its own.
async fn open_lake(
    pipeline: &Pipeline,
    names: &Arc<Names>,
    is_replay: bool,
) -> Result<Option<Lake>, RunError> {
    let Some(config) = pipeline.lake(is_replay) else { return Ok(None) };
    let names = Arc::clone(names);
    let opened = tokio::task::spawn_blocking(move || Lake::open(config, names)).await;
    Ok(Some(opened.map_err(|_| RunError::Ended("opening the ledger"))??))
}

fn start_sources(
    pipeline: &Pipeline,
    names: &Arc<Names>,
    clock: &Arc<dyn Clock>,
    batches: &tokio::sync::mpsc::Sender<plumeline_connectors::Batch>,
) -> Result<Vec<SourceHandle>, RunError> {
    let mut handles = Vec::new();
    for (index, source) in (0..).zip(&pipeline.sources) {
        let clock = Arc::clone(clock);
        let context = Context {
            pipeline: pipeline.name.clone(),
            name: source.name.clone(),
            names: Arc::clone(names),
            index,
            out: batches.clone(),
            clock: Arc::new(move || clock.now_ms()),
            max_ahead_ms: pipeline.max_ahead_ms,
            timezone: pipeline.timezone.clone(),
            period_ms: pipeline.policy.period_ms,
        };
        let started = plumeline_connectors::start(source.config.clone(), context);
        let cause = |cause| RunError::Source { name: source.name.clone(), cause };
        handles.push(started.map_err(cause)?);
    }
    Ok(handles)
}

fn spawn(name: &str, body: impl FnOnce() + Send + 'static) -> Result<JoinHandle<()>, RunError> {
    std::thread::Builder::new().name(name.to_owned()).spawn(body).map_err(RunError::Thread)
}

impl Running {
    /// How it does.
    #[must_use]
    pub fn progress(&self) -> Progress {
        self.telemetry.progress()
    }

    /// What it shows to scrapers and probes.
    #[must_use]
    pub fn telemetry(&self) -> Arc<Telemetry> {
        Arc::clone(&self.telemetry)
    }

    /// Where it listens for scrapers and probes.
    #[must_use]
    pub fn http_address(&self) -> std::net::SocketAddr {
        self.http_address
    }

    /// Asks it to drain, commit and end.
    pub fn stop(&self) {
        self.stop.store(true, Ordering::Release);
    }

    /// Whether it has ended, by itself or because it was asked to.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        self.threads.iter().all(|(_, thread)| thread.is_finished())
    }

    /// Waits until it has ended. Blocks.
    ///
    /// # Errors
    /// Why it ended, if nobody asked it to.
    pub fn join(self) -> Result<Progress, RunError> {
        let mut ended = None;
        // The sequencer is last: all others end when it lets go of their channels.
        for (name, thread) in self.threads.into_iter().rev() {
            if thread.join().is_err() {
                ended.get_or_insert(RunError::Ended(name));
            }
        }
        self.http.abort();
        let failure = self.failure.lock().unwrap_or_else(PoisonError::into_inner).take();
        match failure.or(ended) {
            Some(error) => Err(error),
            None => Ok(self.telemetry.progress()),
        }
    }
}
