//! Running a pipeline for somebody at a terminal: signals, progress, and what to do about what went wrong.

use std::sync::Arc;
use std::time::{Duration, Instant};

use plumeline::bar::Bar;
use plumeline::chain;
use plumeline::config::{self, Pipeline};
use plumeline::journal::JournalError;
use plumeline::runtime::{self, ImportProgress, RunError, Running, Telemetry, Until, WallClock};
use plumeline_connectors::SourceConfig;
use plumeline_sinks::delta::LakeError;

use super::importing;
use crate::tokio_runtime;

/// Longest that draining may take after the first signal.
const DRAIN_MAX: Duration = Duration::from_secs(25);

/// How a pipeline has ended.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(super) enum Ended {
    /// Somebody asked before it ran.
    BeforeItRan,
    /// Somebody asked.
    Asked,
    /// There was nothing left to do.
    Done,
}

/// Runs a pipeline until it has ended, or a signal asks it to; says so, or what it `prepares`.
pub(super) fn run_to_end(
    pipeline: Pipeline,
    until: Until,
    prepares: Option<&str>,
) -> Result<Ended, String> {
    let (name, http) = (pipeline.name.clone(), pipeline.http);
    let import = Import::of(&pipeline, until);
    let runtime = tokio_runtime()?;
    // Before anything starts: a signal that comes while it does is obeyed, too.
    let signals = runtime.block_on(async { Signals::new() });
    let mut signals = signals.map_err(|error| format!("cannot listen for signals: {error}"))?;
    let started = runtime.block_on(async {
        tokio::select! {
            started = runtime::start_until(pipeline, Arc::new(WallClock), until) => Some(started),
            () = signals.next() => None,
        }
    });
    let Some(started) = started else {
        runtime.shutdown_background();
        return Ok(Ended::BeforeItRan);
    };
    let running = started.map_err(|error| failed(&error, http))?;
    let metrics = format!("http://{}/metrics", running.http_address());
    match prepares {
        None => tracing::info!(pipeline = name, %metrics, "running"),
        Some(what) => tracing::info!(pipeline = name, "{what}"),
    }
    let is_import = import.is_some();
    let ended = runtime.block_on(until_ended(&running, &mut signals, import));
    let problems = running.telemetry().problems();
    let outcome = running.join();
    runtime.shutdown_timeout(Duration::from_secs(1));
    match outcome {
        Ok(_) if is_import && !problems.is_empty() => {
            Err(format!("{}. What was read before is in the ledger", problems.join("\n")))
        }
        Ok(progress) => {
            tracing::info!(outcomes = ?progress.outcomes, "drained, committed and ended");
            Ok(ended)
        }
        Err(error) => Err(format!(
            "{}{}. What was acknowledged is in the journal",
            chain(&error),
            way_out(&error).map(|way| format!(". {way}")).unwrap_or_default()
        )),
    }
}

/// Files on their way into a ledger.
#[derive(Debug)]
struct Import {
    total_bytes: u64,
    began: Instant,
}

impl Import {
    /// The files of `pipeline`, if they are to be imported and nothing else.
    fn of(pipeline: &Pipeline, until: Until) -> Option<Self> {
        let bytes = pipeline.sources.iter().map(|source| match &source.config {
            SourceConfig::File(file) => std::fs::metadata(&file.path).map_or(0, |data| data.len()),
            SourceConfig::Mqtt(_) | SourceConfig::Kafka(_) => 0,
        });
        let (total_bytes, began) = (bytes.sum(), runtime::monotonic());
        (until == Until::Restated).then_some(Self { total_bytes, began })
    }

    fn show(&self, telemetry: &Telemetry, bar: &mut Bar) {
        let read = telemetry.read_bytes();
        let progress =
            ImportProgress { read, bytes: self.total_bytes, ..telemetry.import_progress() };
        importing::show(&progress, self.began, bar);
    }
}

/// What helps against an error that may come while the pipeline runs.
fn way_out(error: &RunError) -> Option<&'static str> {
    match error {
        RunError::Lake(LakeError::OtherWriter { .. }) => Some(
            "Two processes write the same tables, and the other one was first. Let it run and keep this one \
             stopped; or stop it and start this one with its state folder. To run both, give this one a \
             name, a state_dir and a url of its own",
        ),
        RunError::Lake(LakeError::ForeignCommit { .. }) => Some(
            "Only this program may change the data of its tables: balances cannot be vouched for any more. \
             Restore the table to the version before, or give the pipeline another state_dir and url to begin \
             anew",
        ),
        RunError::Lake(LakeError::Vanished { .. }) => Some(
            "Put the tables back as they were, or give the pipeline another state_dir and url to begin anew",
        ),
        _ => None,
    }
}

/// What a start that failed needs to be told, with what to do about it.
pub(super) fn failed(error: &RunError, http: std::net::SocketAddr) -> String {
    let remedy = match error {
        RunError::Http { .. } => format!(
            ". If another plumeline runs, stop it; or write another port than {} under [http], or 0 for \
             any",
            http.port()
        ),
        RunError::Lake(LakeError::OtherPipeline { .. } | LakeError::OtherClock { .. }) => {
            ". Write another url under [[sink]]: each pipeline has tables of its own".to_owned()
        }
        RunError::Lake(_) | RunError::Source { .. } => match way_out(error) {
            Some(way) => format!(". {way}"),
            None => ". `plumeline check --connect` tries every source and the store".to_owned(),
        },
        RunError::Journal(JournalError::Setting { key, .. }) => match config::change(key) {
            config::Change::Refused(remedy) => format!(
                ". What was booked under the old value would be corrected from a wrong base: {remedy}"
            ),
            config::Change::Free | config::Change::Restates => String::new(),
        },
        RunError::Journal(error) => {
            let remedy = match error {
                JournalError::Locked(_) => "Stop the other one first, or write another state_dir",
                JournalError::Format { .. } => "Use the program that wrote it, or a newer one",
                JournalError::Folder { .. } => "Make it writable, or write another state_dir",
                JournalError::Torn(_) | JournalError::Sqlite(_) => {
                    "`plumeline journal verify` says what is wrong with it; a copy of it can be put back only \
                     together with its tables"
                }
                JournalError::Ledger(_)
                | JournalError::Failed
                | JournalError::Exists(_)
                | JournalError::Renamed { .. }
                | JournalError::Setting { .. } => "",
            };
            if remedy.is_empty() { String::new() } else { format!(". {remedy}") }
        }
        RunError::Facts(_) | RunError::Restate(_) | RunError::Thread(_) | RunError::Ended(_) => {
            String::new()
        }
    };
    chain(error) + &remedy
}

/// SIGINT and SIGTERM, which mean the same.
pub(super) struct Signals {
    interrupt: tokio::signal::unix::Signal,
    terminate: tokio::signal::unix::Signal,
}

impl Signals {
    /// Listens from now on; inside a tokio runtime.
    pub(super) fn new() -> std::io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        let (interrupt, terminate) = (SignalKind::interrupt(), SignalKind::terminate());
        Ok(Self { interrupt: signal(interrupt)?, terminate: signal(terminate)? })
    }

    /// The next one.
    pub(super) async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}

/// Waits until the pipeline has ended, by itself or because a signal asked it to. A second signal ends the
/// process at once, and so does a drain that takes too long.
async fn until_ended(running: &Running, signals: &mut Signals, import: Option<Import>) -> Ended {
    let mut look = tokio::time::interval(Duration::from_millis(50));
    let mut looks_left: Option<u128> = None;
    let (telemetry, mut bar) = (running.telemetry(), Bar::new("restoring the state"));
    loop {
        tokio::select! {
            _ = look.tick() => {
                match (telemetry.restored(), &import) {
                    (Some((done, total)), _) => bar.show(done, total),
                    (None, Some(import)) => import.show(&telemetry, &mut bar),
                    (None, None) => bar.end(),
                }
                if running.is_finished() {
                    return if looks_left.is_some() { Ended::Asked } else { Ended::Done };
                }
                looks_left = looks_left.map(|left| left.saturating_sub(1));
                if looks_left == Some(0) {
                    tracing::error!(
                        "not drained within {DRAIN_MAX:?}; what is not committed is in the journal"
                    );
                    std::process::exit(1);
                }
                continue;
            }
            () = signals.next() => {}
        }
        if looks_left.is_some() {
            tracing::warn!("asked twice: ending at once; what is not committed is in the journal");
            std::process::exit(130);
        }
        tracing::info!("draining; a second signal ends the process at once");
        looks_left = Some(DRAIN_MAX.as_millis() / look.period().as_millis());
        running.stop();
    }
}
