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
//! 5. The **committer** writes the rows of a cut and commits them; beside it the **compactor** merges files, without
//!    changing data. Errors that may pass are tried again; all others of a commit end the process.
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

mod belong;
mod clock;
mod closing;
mod cold;
mod committer;
mod compactor;
mod crew;
mod cuts;
mod desk;
mod digests;
mod door;
mod error;
mod feeder;
mod handover;
mod imports;
mod ingest;
mod intake;
mod opening;
mod parked;
mod patience;
mod progress;
mod proving;
mod publisher;
mod restater;
mod restore;
mod seal;
mod starter;
mod stash;
mod tables;
mod telemetry;
mod whole;
mod worker;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, SyncSender, channel, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

use plumeline_connectors::SourceHandle;
use plumeline_pipelines::model::{Cause, Names, Tick};
use plumeline_sinks::delta::{Lake, LakeConfig};
use tokio::runtime::Handle;

pub use clock::{Clock, WallClock, monotonic};
pub use error::RunError;
pub use imports::{Imports, Progress as ImportProgress, history};
pub use progress::{Footprint, Progress};
pub use proving::{Proven, prove};
pub use telemetry::Telemetry;
pub(crate) use worker::about;

use crate::config::Pipeline;
use crate::journal::{Copier, Found, Journal, Reader};
use crate::restate::RestateError;
use cold::Cold;
use committer::Committer;
use crew::{Crew, Failure};
use desk::Desk;
use door::Door;
use feeder::Feeder;
use handover::Handover;
use ingest::Ingest;
use intake::Intake;
use publisher::{Changed, Publisher};
use restater::Restater;
use starter::Starter;
use tables::Facts;

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

/// Starts a pipeline, which runs until all its sources have ended, or it is asked to end. Must be called inside a
/// tokio runtime with several threads.
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
    mut pipeline: Pipeline,
    clock: Arc<dyn Clock>,
    until: Until,
) -> Result<Running, RunError> {
    let names = Arc::new(Names::new());
    let configured: Vec<Arc<str>> = pipeline.sources.iter().map(|s| s.key().into()).collect();
    let (journal, found) = Journal::open(
        &pipeline.state_dir,
        &pipeline.name,
        &mut pipeline.policy,
        &configured,
        Arc::clone(&names),
    )?;
    let journal = Arc::new(journal);
    belong::renamed(&pipeline, &journal)?;
    let before = journal.change_timezone(pipeline.timezone.iana_name().unwrap_or("UTC"))?;
    let journaled = journal.reader()?.facts_until(i64::MAX)?;
    let aliases = journal.aliases()?.meters;
    let facts = Facts::load(&pipeline, &names, (&journaled, before), &aliases)?;
    let telemetry = Arc::new(Telemetry::new(&pipeline));
    let is_replay = clock.is_replay();
    // Until the tables are looked at, the pipeline file says so.
    telemetry.set_history(pipeline.lake(is_replay).is_some_and(|lake| lake.readings));
    if until == Until::Restated {
        telemetry.imports().close();
    }
    let (http_address, http) = crate::http::serve(pipeline.http, Arc::clone(&telemetry)).await?;
    let lake = open_lake(&pipeline, &journal, &names, is_replay).await?;
    let committed_ms = belong::committed(lake.as_ref(), &journal, found)?;
    let has_readings = lake.as_ref().is_some_and(|lake| !lake.lacks_readings());
    let restated = pipeline.lake(is_replay).filter(|_| has_readings);
    if until == Until::Restated && lake.is_some() && restated.is_none() {
        return Err(RestateError::Incomplete.into());
    }
    let desk = open_desk(&pipeline, restated.clone(), &names, &telemetry).await?;
    let (batches, inbox) = tokio::sync::mpsc::channel(BATCHES_MAX);
    let starter = Starter::new(&pipeline, &journal, &names, &clock);
    let sources = start_sources(&pipeline, &starter, &batches, &telemetry)?;
    drop(batches);
    telemetry.set_history(restated.is_some());

    let sources = (inbox, sources, starter);
    let door = Door::open(journal.reader()?, &pipeline.policy)?;
    let facts = (facts, door, found.last_index);
    let intake = Intake::new(&pipeline, facts, sources, Arc::clone(&telemetry))?;
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
        let Self { pipeline, journal, names, telemetry, stop, desk, found, .. } = self;
        let shared = || (Arc::clone(telemetry), Arc::clone(stop));
        // Before any thread starts: what cannot be opened ends the start alone.
        let (reader, copier) = (journal.reader()?, journal.copier()?);
        let (rows, rows_inbox) = sync_channel(CHUNKS_MAX);
        let committed_positions = belong::positions(lake.as_ref())?;
        let (cuts_made, cuts) = channel();
        let committer = self.committer(lake, cuts_made, &reader)?;
        crew.take_on("committer", move || Ok(committer.run(&rows_inbox)?))?;

        let windows = self.start_publisher(crew, clock.is_replay())?;

        let (feeds, inboxes) = (0..pipeline.workers).map(|_| sync_channel(SEALS_MAX)).unzip();
        let restored = self.committed_ms.map_or(Tick::ZERO, |ms| Tick::new(ms, Cause::Cut));
        let wiring = worker::Wiring {
            options: worker::engine_options(pipeline, restored),
            inboxes,
            rows: rows.clone(),
            windows,
            restored,
            opening: self.start_opening(crew, restored, clock.is_replay())?,
            names: Arc::clone(names),
            desk: Arc::clone(desk),
            telemetry: Arc::clone(telemetry),
        };
        crew.take_on("dataflow", move || {
            worker::run(wiring);
            Ok(())
        })?;

        let positions = Arc::new(journal.all_positions()?);
        let handover = Arc::new(Handover::new(found.newest_ms, Arc::clone(&positions)));
        if found.newest_ms.is_some() {
            telemetry.set_recovery(Some("starting".to_owned()));
        }
        let feeder = Feeder::new(feeder::Parts {
            reader,
            journal: Arc::clone(journal),
            handover: Arc::clone(&handover),
            committed_ms: self.committed_ms,
            positions: committed_positions,
            replay_ms: found.newest_ms,
            method_ms: found.method_ms,
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
        let journaled = (Arc::clone(journal), handover, positions);
        let lasting = (self.until == Until::Restated).then(|| Arc::clone(desk));
        let ingest = Ingest::new(pipeline, clock, intake, journaled, shared());
        let ingest = ingest.until_restated(lasting);
        let handle = Handle::current();
        crew.take_on("ingest", move || {
            let _ingesting = ingesting;
            Ok(handle.block_on(ingest.run())?)
        })
    }

    fn committer(
        &self,
        lake: Option<Lake>,
        made: Sender<Tick>,
        reader: &Reader,
    ) -> Result<Committer, RunError> {
        let Self { pipeline, names, telemetry, stop, found, committed_ms, .. } = self;
        let cuts_ms = (*committed_ms, found.method_ms);
        let unbooked = Cold::unbooked(reader, Arc::clone(names), &pipeline.policy, cuts_ms)?;
        let shared = (Arc::clone(telemetry), Arc::clone(stop));
        let made = (Arc::clone(&self.journal), made);
        Ok(Committer::new(lake, (pipeline, unbooked), made, shared)?)
    }

    fn start_publisher(
        &self,
        crew: &mut Crew,
        is_replay: bool,
    ) -> Result<SyncSender<Changed>, RunError> {
        let (changes, inbox) = sync_channel(PUBLICATIONS_MAX);
        let Self { pipeline, names, telemetry, .. } = self;
        let (names, telemetry) = (Arc::clone(names), Arc::clone(telemetry));
        let has_ledger = pipeline.lake(is_replay).is_some();
        let publisher = Publisher::new(pipeline, has_ledger, names, telemetry);
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
            is_alone: self.until == Until::Restated,
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

/// Opens the lake off the async threads: it brings its own.
async fn open_lake(
    pipeline: &Pipeline,
    journal: &Journal,
    names: &Arc<Names>,
    is_replay: bool,
) -> Result<Option<Lake>, RunError> {
    let Some(mut config) = pipeline.lake(is_replay) else { return Ok(None) };
    config.sources = journal.sources().clone();
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
    starter: &Starter,
    batches: &tokio::sync::mpsc::Sender<plumeline_connectors::Batch>,
    telemetry: &Telemetry,
) -> Result<BTreeMap<u16, SourceHandle>, RunError> {
    let mut handles = BTreeMap::new();
    for (index, source) in (0..).zip(&pipeline.sources) {
        let handle = starter.start(source, index, batches)?;
        telemetry.watch(index, &handle);
        handles.insert(index, handle);
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
