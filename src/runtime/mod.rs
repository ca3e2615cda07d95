//! The running pipeline: who owns time, who owns what, and who waits for whom.
//!
//! ```text
//! sources ══▶ ingest ──seal──▶ feeder ──▶ worker 0..n ──rows of a cut──▶ committer ══▶ Delta tables
//!    ▲         │   ╲            ▲  ▲         │ windows                      │
//!    └───ack───┤    ▼           │  │         └────────▶ publisher ──▶ /metrics
//!              └─▶ journal ─────┘  └──────────────committed────────────────┘
//! ```
//!
//! 1. Sources decode and hand over batches on one bounded channel. *A full channel is the back-pressure.*
//! 2. The **ingest** owns time: what comes is committed to the **journal** under the tick that is open, then
//!    acknowledged; every quarter of a second the tick is sealed. *So what was acknowledged survives.*
//! 3. The **feeder** gives ticks to the workers, in order, and says where a commit ends (a *cut*). Ticks that
//!    the workers are too busy for wait in the journal. *So what follows is a function of frames and cuts.*
//! 4. The **workers** are timely threads, in step with each other: each takes a seal, steps until the
//!    dataflow has passed it, and hands on what was derived. *No I/O happens inside an operator.*
//! 5. The **committer** writes the rows of a cut and commits them; nothing else touches the lake. Errors that
//!    may pass are tried again; all others end the process.
//! 6. The **publisher** merges the workers' window changes of one seal and publishes them as one tick.
//!
//! A restart: the state at the ledger's committed cut is **restored** (`restore`), later ticks are replayed,
//! tables drop what they hold. Meanwhile the ingest takes in what comes.
//!
//! Every channel is bounded, so a slow store stops the committer, then the workers and the feeder; the
//! journal goes on, as far as its disk. A thread that ends takes its channels along, and so ends the others
//! in turn: nothing hangs.
//!
//! Shutdown: sources stop, what they handed over is journaled and sealed, a last cut is committed, then the
//! inputs close. What lies ahead of time is discarded: it is in the journal.

mod clock;
mod cold;
mod committer;
mod crew;
mod cuts;
mod digests;
mod feeder;
mod handover;
mod ingest;
mod intake;
mod parked;
mod patience;
mod progress;
mod publisher;
mod restater;
mod restore;
mod stash;
mod telemetry;
mod worker;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, channel, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

use plumeline_connectors::{Context, SourceError, SourceHandle};
use plumeline_pipelines::engine::EngineOptions;
use plumeline_pipelines::model::{Cause, Names, Tick};
use plumeline_sinks::delta::{Lake, LakeConfig, LakeError};
use thiserror::Error;
use tokio::runtime::Handle;

pub use clock::{Clock, WallClock, monotonic};
pub use progress::{Footprint, Progress};
pub use telemetry::Telemetry;

use crate::config::{Pipeline, Problems};
use crate::journal::{Copier, Found, Journal, JournalError};
use committer::Committer;
use crew::{Crew, Failure};
use feeder::Feeder;
use handover::Handover;
use ingest::Ingest;
use intake::Intake;
use publisher::{Changed, Publisher};
use restater::{Desk, Restater};

/// Batches that may wait for the ingest: a few thousand readings each, so some MB.
const BATCHES_MAX: usize = 32;
/// Seals that may wait for a worker, besides the one it works on.
const SEALS_MAX: usize = 1;
/// Chunks of rows that may wait for the committer.
const CHUNKS_MAX: usize = 8;
/// Window changes that may wait for the publisher, in seals.
const PUBLICATIONS_MAX: usize = 16;

/// Time between moves of the journal's log into its file.
const COPY_EVERY: Duration = Duration::from_secs(1);

/// Why a pipeline cannot run, or ended.
#[derive(Debug, Error)]
pub enum RunError {
    /// Its tables are not in order.
    #[error("the tables are not in order\n{0}")]
    Facts(#[from] Problems),
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
    /// The journal.
    #[error("the journal cannot be used")]
    Journal(#[from] JournalError),
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
    failure: Failure,
    http: tokio::task::JoinHandle<()>,
    http_address: std::net::SocketAddr,
}

/// Until when a pipeline runs.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Until {
    /// All its sources have ended.
    Ended,
    /// And nothing is left to restate below the horizon.
    Restated,
}

/// Starts a pipeline, which runs until all its sources have ended, or it is asked to end. Must be called inside a tokio runtime with several threads.
///
/// # Errors
/// If its tables are not in order, the lake cannot be opened, or a source can never work.
pub async fn start(pipeline: Pipeline, clock: Arc<dyn Clock>) -> Result<Running, RunError> {
    start_until(pipeline, clock, Until::Ended).await
}

/// [`start`], with something else to wait for.
///
/// # Errors
/// As [`start`].
pub async fn start_until(
    pipeline: Pipeline,
    clock: Arc<dyn Clock>,
    until: Until,
) -> Result<Running, RunError> {
    let names = Arc::new(Names::new());
    let configured: Vec<Arc<str>> =
        pipeline.sources.iter().map(|s| s.name.as_str().into()).collect();
    let (journal, found) = Journal::open(
        &pipeline.state_dir,
        &pipeline.name,
        &pipeline.policy,
        &configured,
        Arc::clone(&names),
    )?;
    let journal = Arc::new(journal);
    let facts = intake::Facts::load(&pipeline, &names, &journal.reader()?.facts_until(i64::MAX)?)?;
    let telemetry = Arc::new(Telemetry::new(&pipeline));
    let (http_address, http) = crate::http::serve(pipeline.http, Arc::clone(&telemetry)).await?;
    let is_replay = clock.is_replay();
    let lake = open_lake(&pipeline, &journal, &names, is_replay).await?;
    let committed_ms = committed(lake.as_ref(), &journal, found)?;
    let has_readings = lake.as_ref().is_some_and(|lake| !lake.lacks_readings());
    let restated = pipeline.lake(is_replay).filter(|_| has_readings);
    let desk = open_desk(&pipeline, restated.clone(), &names, &telemetry).await?;
    let (batches, inbox) = tokio::sync::mpsc::channel(BATCHES_MAX);
    let sources = start_sources(&pipeline, &journal, &names, &clock, &batches)?;
    drop(batches);
    telemetry.watch(&sources);

    let intake =
        Intake::new(&pipeline, (facts, found.last_index), inbox, sources, Arc::clone(&telemetry));
    let mut crew = Crew::default();
    let stop = Arc::clone(&crew.stop);
    let pipeline = &pipeline;
    let joint =
        Joint { pipeline, journal, names, telemetry, stop, desk, found, committed_ms, until };
    joint.connect(&mut crew, (lake, restated), intake, clock)?;
    let Joint { telemetry, stop, .. } = joint;
    let Crew { threads, failure, .. } = crew;
    Ok(Running { telemetry, stop, threads, failure, http, http_address })
}

/// What all parts of a pipeline have in common.
struct Joint<'p> {
    pipeline: &'p Pipeline,
    journal: Arc<Journal>,
    names: Arc<Names>,
    telemetry: Arc<Telemetry>,
    stop: Arc<AtomicBool>,
    desk: Arc<Desk>,
    found: Found,
    committed_ms: Option<i64>,
    until: Until,
}

impl Joint<'_> {
    /// Starts the parts, each with its ends of the channels, from the last one on.
    fn connect(
        &self,
        crew: &mut Crew,
        (lake, restated): (Option<Lake>, Option<LakeConfig>),
        intake: Intake,
        clock: Arc<dyn Clock>,
    ) -> Result<(), RunError> {
        let Self { pipeline, journal, names, telemetry, stop, desk, found, committed_ms, .. } =
            self;
        let shared = || (Arc::clone(telemetry), Arc::clone(stop));
        // Before any thread starts: what cannot be opened ends the start alone.
        let (reader, copier) = (journal.reader()?, journal.copier()?);
        let (rows, rows_inbox) = sync_channel(CHUNKS_MAX);
        let (cuts_made, cuts) = channel();
        let made = (Arc::clone(journal), cuts_made);
        let committer = Committer::new(lake, (&pipeline.policy, pipeline.workers), made, shared())?;
        crew.take_on("committer", move || Ok(committer.run(&rows_inbox)?))?;

        let windows = self.start_publisher(crew)?;

        let (feeds, inboxes) = (0..pipeline.workers).map(|_| sync_channel(SEALS_MAX)).unzip();
        let restored = committed_ms.map_or(Tick::ZERO, |ms| Tick::new(ms, Cause::Cut));
        let wiring = worker::Wiring {
            options: engine_options(pipeline, restored),
            inboxes,
            rows: rows.clone(),
            windows,
            restored,
            names: Arc::clone(names),
            desk: Arc::clone(desk),
            telemetry: Arc::clone(telemetry),
        };
        crew.take_on("dataflow", move || {
            worker::run(wiring);
            Ok(())
        })?;

        let handover = Arc::new(Handover::new(found.newest_ms));
        if found.newest_ms.is_some() {
            telemetry.set_recovery(Some("starting".to_owned()));
        }
        let feeder = Feeder::new(feeder::Parts {
            reader,
            journal: Arc::clone(journal),
            handover: Arc::clone(&handover),
            committed_ms: *committed_ms,
            replay_ms: found.newest_ms,
            commit_every_ms: pipeline.delta.as_ref().map_or(60_000, |delta| delta.commit_every_ms),
            policy: pipeline.policy.clone(),
            replay_cut_ms: found.newest_cut_ms,
            feeds,
            rows,
            committed: cuts,
            desk: Arc::clone(desk),
            names: Arc::clone(names),
            telemetry: Arc::clone(telemetry),
            stop: Arc::clone(stop),
        });
        let (feeding, feeder_ended) = channel::<()>();
        crew.take_on("feeder", move || {
            let _feeding = feeding;
            Ok(feeder.run()?)
        })?;
        if let Some(config) = restated {
            self.start_restater(crew, config, feeder_ended)?;
        }

        let (ingesting, ingest_ended) = channel::<()>();
        Self::start_copier(crew, copier, ingest_ended)?;

        let clock = (clock, found.newest_ms.unwrap_or(0));
        let journaled = (Arc::clone(journal), handover);
        let lasting = (self.until == Until::Restated).then(|| Arc::clone(desk));
        let ingest = Ingest::new(pipeline, clock, intake, journaled, shared());
        let ingest = ingest.until_restated(lasting);
        let handle = Handle::current();
        crew.take_on("ingest", move || {
            let _ingesting = ingesting;
            Ok(handle.block_on(ingest.run())?)
        })
    }

    fn start_publisher(&self, crew: &mut Crew) -> Result<SyncSender<Changed>, RunError> {
        let (changes, inbox) = sync_channel(PUBLICATIONS_MAX);
        let Self { pipeline, names, telemetry, .. } = self;
        let publisher = Publisher::new(pipeline, Arc::clone(names), Arc::clone(telemetry));
        crew.take_on("publisher", move || {
            publisher.run(&inbox);
            Ok(())
        })?;
        Ok(changes)
    }

    fn start_restater(
        &self,
        crew: &mut Crew,
        lake: LakeConfig,
        feeding: Receiver<()>,
    ) -> Result<(), RunError> {
        let Self { pipeline, journal, names, telemetry, stop, desk, .. } = self;
        let restater = Restater::new(restater::Parts {
            is_auto: pipeline.restates_by_itself,
            lake,
            policy: pipeline.policy.clone(),
            names: Arc::clone(names),
            folder: pipeline.state_dir.clone(),
            journal: Arc::clone(journal),
            reader: journal.reader()?,
            desk: Arc::clone(desk),
            telemetry: Arc::clone(telemetry),
            stop: Arc::clone(stop),
            feeding,
        });
        // It may be ended at any moment: nothing it has not proposed counts.
        crew.let_go("restater", move || Ok(restater.run()?))
    }

    fn start_copier(crew: &mut Crew, copier: Copier, ingest: Receiver<()>) -> Result<(), RunError> {
        crew.take_on("journal", move || {
            while ingest.recv_timeout(COPY_EVERY) == Err(RecvTimeoutError::Timeout) {
                match copier.copy() {
                    Err(error) if !error.is_transient() => return Err(error.into()),
                    // Who writes finds the disk full, too, and tells.
                    Ok(()) | Err(_) => {}
                }
            }
            Ok(())
        })
    }
}

/// The newest cut in the ledger, ms. Ledger and journal have to know the same cuts: else one of them is
/// another one, or was set back, and what is booked from here would be differences from a wrong base.
fn committed(
    lake: Option<&Lake>,
    journal: &Journal,
    found: Found,
) -> Result<Option<i64>, JournalError> {
    let Some(lake) = lake else { return Ok(found.committed_ms) };
    let refused = |text: String| Err(JournalError::Ledger(text));
    match lake.committed().map(Tick::ms) {
        Some(ms) if found.newest_ms.is_none() => refused(format!(
            "the tables hold commits up to {}, and the journal is empty: it is not the one they were written \
             with. Put the state folder back, or give the sink another url",
            shown(ms)
        )),
        Some(ms) if !journal.is_cut(ms)? => refused(format!(
            "the tables hold a commit of {} that the journal does not know: the state folder was set back, \
             or another process writes the same tables. Put the newest state folder back, or give the sink \
             another url",
            shown(ms)
        )),
        None if found.committed_ms.is_some() => refused(
            "the journal has committed to tables that are not there: the sink's url is another one, or they \
             were deleted. Put them back, or give the pipeline another state_dir to begin anew"
                .to_owned(),
        ),
        committed => Ok(committed),
    }
}

fn shown(ms: i64) -> String {
    jiff::Timestamp::from_millisecond(ms).map_or_else(|_| ms.to_string(), |at| at.to_string())
}

fn engine_options(pipeline: &Pipeline, restored: Tick) -> EngineOptions {
    EngineOptions {
        policy: pipeline.policy.clone(),
        keep_readings: pipeline.delta.as_ref().is_some_and(|delta| delta.readings),
        window_gases: pipeline.prometheus.is_some_and(|prometheus| prometheus.gases),
        restored,
        known_ms: 0,
    }
}

/// Opens the lake off the async threads: it brings its own.
async fn open_lake(
    pipeline: &Pipeline,
    journal: &Journal,
    names: &Arc<Names>,
    is_replay: bool,
) -> Result<Option<Lake>, RunError> {
    let Some(mut config) = pipeline.lake(is_replay) else { return Ok(None) };
    config.source_names = journal.sources().iter().map(ToString::to_string).collect();
    let names = Arc::clone(names);
    let opened = tokio::task::spawn_blocking(move || Lake::open(config, names)).await;
    Ok(Some(opened.map_err(|_| RunError::Ended("opening the ledger"))??))
}

/// Reads what is left to restate off the async threads, too.
async fn open_desk(
    pipeline: &Pipeline,
    lake: Option<LakeConfig>,
    names: &Arc<Names>,
    telemetry: &Arc<Telemetry>,
) -> Result<Arc<Desk>, RunError> {
    let (names, policy) = (Arc::clone(names), pipeline.policy.clone());
    let telemetry = Arc::clone(telemetry);
    let open = move || Desk::open(lake.as_ref(), &names, &policy, telemetry);
    let opened = tokio::task::spawn_blocking(open).await;
    Ok(Arc::new(opened.map_err(|_| RunError::Ended("opening the ledger"))??))
}

fn start_sources(
    pipeline: &Pipeline,
    journal: &Journal,
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
            resume: journal.positions(&source.name)?,
        };
        let started = plumeline_connectors::start(source.config.clone(), context);
        let cause = |cause| RunError::Source { name: source.name.clone(), cause };
        handles.push(started.map_err(cause)?);
    }
    Ok(handles)
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
        // The ingest is last: all others end when it has.
        for (name, thread) in self.threads.into_iter().rev() {
            if thread.join().is_err() {
                ended.get_or_insert(RunError::Ended(name));
            }
        }
        self.http.abort();
        match self.failure.take().or(ended) {
            Some(error) => Err(error),
            None => Ok(self.telemetry.progress()),
        }
    }
}
