//! The command line: what each of its words does.

mod cli;

use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::Parser;
use cli::{Cli, Command, Look};
use plumeline::bar::Bar;
use plumeline::journal::JournalError;
use plumeline::restate::Effect;
use plumeline::runtime::{Progress, RunError, Running, Telemetry, Until, WallClock};
use plumeline::{chain, check, config, demo, http, journal, restate, runtime, verify};
use plumeline_connectors::SourceConfig;
use plumeline_connectors::config::{Carries, FileSource};
use plumeline_pipelines::model::Names;
use plumeline_sinks::delta::LakeError;
use tracing_subscriber::EnvFilter;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Longest that draining may take after the first signal.
const DRAIN_MAX: Duration = Duration::from_secs(25);
/// Time between commits of an import, at most, ms: it ends with one.
const IMPORT_COMMITS_MS: i64 = 5_000;

fn main() -> ExitCode {
    abort_on_panic();
    // Nothing without the feature that tests turn on: ends the process at points of their choice.
    let _points = fail::FailScenario::setup();
    let cli = Cli::parse();
    let done = match cli.command {
        Command::Demo { length, dir } => run_demo(length, dir),
        Command::Run { pipeline } => run(&pipeline),
        Command::Check { pipeline, connect } => run_check(&pipeline, connect),
        Command::Views { pipeline, as_of } => views(&pipeline, as_of),
        Command::Verify { pipeline } => verify_ledger(&pipeline),
        Command::Backfill { pipeline, files } => backfill(&pipeline, &files),
        Command::Restate { pipeline, dry_run } => restate_ledger(&pipeline, dry_run),
        Command::Journal { look } => look_into(&look),
    };
    done.unwrap_or_else(|message| {
        say(&mut std::io::stderr(), &format!("plumeline: {message}"));
        ExitCode::FAILURE
    })
}

/// A panic anywhere is a broken invariant: no thread may go on beside it.
fn abort_on_panic() {
    let tell = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        tell(panic);
        say(
            &mut std::io::stderr(),
            "plumeline: an invariant is broken and the process ends, so that nothing wrong is \
             written. Start it again: what was not acknowledged comes again. If it ends the same way, \
             report the lines above.",
        );
        std::process::abort();
    }));
}

/// Prints a line; a reader that has gone (`| head`) is no reason to fail.
fn say(out: &mut dyn Write, line: &str) {
    writeln!(out, "{line}").unwrap_or_default();
}

fn log_to_stderr(default: &str) {
    let filter =
        EnvFilter::try_from_env("PLUMELINE_LOG").unwrap_or_else(|_| EnvFilter::new(default));
    let is_terminal = std::io::stderr().is_terminal();
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    builder.with_ansi(is_terminal).with_target(false).init();
}

fn load(path: &Path) -> Result<config::Pipeline, String> {
    config::load(path, &|name| std::env::var(name).ok())
        .map_err(|problems| format!("{} cannot be used:\n{problems}", path.display()))
}

fn tokio_runtime() -> Result<tokio::runtime::Runtime, String> {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    builder.worker_threads(2).enable_all().build().map_err(|error| error.to_string())
}

fn run(path: &Path) -> Result<ExitCode, String> {
    drive(load(path)?, Until::Ended)
}

/// Runs a pipeline to its end.
fn drive(pipeline: config::Pipeline, until: Until) -> Result<ExitCode, String> {
    // Libraries tell every snapshot, and again what we tell in an operator's words.
    log_to_stderr("info,delta_kernel=off,delta_kernel_default_engine=off,rumqttc=error");
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
        tracing::info!("asked to end before it ran");
        // A store that does not answer may still be waited for by a thread.
        std::process::exit(0);
    };
    let running = started.map_err(|error| failed(&error, http))?;
    let metrics = format!("http://{}/metrics", running.http_address());
    tracing::info!(pipeline = name, %metrics, "running");
    runtime.block_on(until_ended(&running, &mut signals, import));
    let outcome = running.join();
    runtime.shutdown_timeout(Duration::from_secs(1));
    match outcome {
        Ok(progress) => {
            tracing::info!(outcomes = ?progress.outcomes, "drained, committed and ended");
            Ok(ExitCode::SUCCESS)
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
    fn of(pipeline: &config::Pipeline, until: Until) -> Option<Self> {
        let bytes = pipeline.sources.iter().map(|source| match &source.config {
            SourceConfig::File(file) => std::fs::metadata(&file.path).map_or(0, |data| data.len()),
            SourceConfig::Mqtt(_) | SourceConfig::Kafka(_) => 0,
        });
        let (total_bytes, began) = (bytes.sum(), runtime::monotonic());
        (until == Until::Restated).then_some(Self { total_bytes, began })
    }

    /// Shows how far it has come: by bytes that were read, and the rate and time left that follow.
    fn show(&self, telemetry: &Telemetry, bar: &mut Bar) {
        let (done, total) = (telemetry.read_bytes(), self.total_bytes);
        let taken = self.began.elapsed();
        if done < total && total > 0 {
            let records = telemetry.progress().outcomes.values().sum::<u64>();
            let per_second = u128::from(records) * 1000 / taken.as_millis().max(1);
            let left = u128::from(total - done) * taken.as_millis() / u128::from(done.max(1));
            let detail = format!("{per_second} readings/s, {} s left", left / 1000);
            bar.tell("reading", permille(done, total), &detail);
        } else {
            let pending = telemetry.pending();
            bar.tell("booking", 0, &format!("{pending} periods may change below the horizon"));
        }
    }
}

fn permille(done: u64, total: u64) -> usize {
    usize::try_from(u128::from(done) * 1000 / u128::from(total.max(1))).unwrap_or(1000)
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
fn failed(error: &RunError, http: std::net::SocketAddr) -> String {
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
        RunError::Journal(error) => {
            let remedy = match error {
                JournalError::Locked(_) => "Stop the other one first, or write another state_dir",
                JournalError::Setting { .. } => {
                    "What was booked under the old value would be corrected from a wrong base: put the old \
                     value back, or begin anew under another name, state_dir and url"
                }
                JournalError::Format { .. } => "Use the program that wrote it, or a newer one",
                JournalError::Folder { .. } => "Make it writable, or write another state_dir",
                JournalError::Torn(_) | JournalError::Sqlite(_) => {
                    "`plumeline journal verify` says what is wrong with it; a copy of it can be put back only \
                     together with its tables"
                }
                JournalError::Ledger(_) | JournalError::Failed => "",
            };
            if remedy.is_empty() { String::new() } else { format!(". {remedy}") }
        }
        RunError::Facts(_) | RunError::Thread(_) | RunError::Ended(_) => String::new(),
    };
    chain(error) + &remedy
}

/// SIGINT and SIGTERM, which mean the same.
struct Signals {
    interrupt: tokio::signal::unix::Signal,
    terminate: tokio::signal::unix::Signal,
}

impl Signals {
    /// Listens from now on; inside a tokio runtime.
    fn new() -> std::io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        let (interrupt, terminate) = (SignalKind::interrupt(), SignalKind::terminate());
        Ok(Self { interrupt: signal(interrupt)?, terminate: signal(terminate)? })
    }

    /// The next one.
    async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}

/// Waits until the pipeline has ended, by itself or because a signal asked it to. A second signal ends the
/// process at once, and so does a drain that takes too long.
async fn until_ended(running: &Running, signals: &mut Signals, import: Option<Import>) {
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
                    return;
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

fn run_check(path: &Path, connect: bool) -> Result<ExitCode, String> {
    let env = |name: &str| std::env::var(name).ok();
    let report = tokio_runtime()?.block_on(check::check(path, connect, &env));
    say(&mut std::io::stdout(), report.to_string().trim_end());
    Ok(ExitCode::from(report.exit_code()))
}

fn views(path: &Path, as_of: Option<jiff::Timestamp>) -> Result<ExitCode, String> {
    let pipeline = load(path)?;
    let lake = pipeline.lake(false).ok_or("the pipeline has no sink of type \"delta\"")?;
    let as_of_ms = as_of.map(jiff::Timestamp::as_millisecond);
    let script = plumeline_sinks::delta::views_script(&lake, as_of_ms);
    say(&mut std::io::stdout(), script.map_err(|error| chain(&error))?.trim_end());
    Ok(ExitCode::SUCCESS)
}

fn verify_ledger(path: &Path) -> Result<ExitCode, String> {
    let pipeline = load(path)?;
    let mut bar = Bar::new("verifying");
    let verdict = verify::verify(&pipeline, |done, total| bar.show(done, total));
    bar.end();
    let verdict = verdict.map_err(|error| chain(&error))?;
    say(&mut std::io::stdout(), &verdict.to_string());
    let is_proven = verdict.until.is_some() && verdict.difference.is_none();
    Ok(if is_proven { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn restate_ledger(path: &Path, dry_run: bool) -> Result<ExitCode, String> {
    let pipeline = load(path)?;
    let out = &mut std::io::stdout();
    if dry_run {
        let lake = pipeline.lake(false).ok_or("the pipeline has no sink of type \"delta\"")?;
        if !lake.readings {
            return Err(
                "its sink says `readings = \"none\"`: there is nothing to compute it from".into()
            );
        }
        let names = Arc::new(Names::new());
        // Where there is room: a folder for temporary files is often memory.
        let state = &pipeline.state_dir;
        let scratch = if state.is_dir() { state.clone() } else { std::env::temp_dir() };
        let mut effect = Effect::new(Arc::clone(&names), pipeline.timezone.clone());
        let request = restate::Request {
            lake,
            policy: &pipeline.policy,
            names,
            scratch: &scratch,
            share_rows: restate::SHARE_ROWS,
            may_go_on: &|| true,
        };
        let mut give = |rows| {
            effect.add(&rows);
            Ok(())
        };
        let found = restate::restate(request, &mut give).map_err(|error| chain(&error))?;
        let entry = found.unwrap_or_default().entry;
        let entries = entry.activity + entry.emissions + entry.footprints;
        if entries == 0 {
            say(out, "nothing is missing below the horizon");
        } else {
            say(out, effect.table().trim_end());
            say(out, &format!("{entries} entries; nothing was changed"));
        }
        return Ok(ExitCode::SUCCESS);
    }
    match http::ask(pipeline.http, "/restate") {
        Ok(answer) => {
            say(out, answer.trim_end());
            Ok(ExitCode::SUCCESS)
        }
        // Nobody is there: then it is done here. If somebody is, the state folder is locked.
        Err(_) => import(pipeline, Vec::new()),
    }
}

fn backfill(path: &Path, files: &[PathBuf]) -> Result<ExitCode, String> {
    let pipeline = load(path)?;
    let mut sources = Vec::new();
    for file in files {
        let failed = |error| format!("{} cannot be read: {error}", file.display());
        // Its name in tables, and where a second attempt goes on.
        let path = file.canonicalize().map_err(failed)?;
        let name = format!("backfill {}", path.display());
        let carries = Carries::Readings;
        let config = SourceConfig::File(FileSource { path, follow: false, carries });
        sources.push(config::SourceEntry { name, line: 0, config });
    }
    import(pipeline, sources)
}

/// Runs the pipeline with these sources alone, until nothing is left to restate.
fn import(
    mut pipeline: config::Pipeline,
    sources: Vec<config::SourceEntry>,
) -> Result<ExitCode, String> {
    let delta = pipeline.delta.as_mut().ok_or("the pipeline has no sink of type \"delta\"")?;
    if !delta.readings {
        return Err(
            "its sink says `readings = \"none\"`: nothing can be booked below retain".into()
        );
    }
    delta.commit_every_ms = delta.commit_every_ms.min(IMPORT_COMMITS_MS);
    pipeline.restates_by_itself = true;
    pipeline.sources = sources;
    drive(pipeline, Until::Restated)
}

fn look_into(look: &Look) -> Result<ExitCode, String> {
    let (Look::Info { path } | Look::Verify { path } | Look::Export { path }) = look;
    let failed =
        |error: JournalError| format!("{} cannot be read: {}", path.display(), chain(&error));
    let out = &mut std::io::stdout().lock();
    match look {
        Look::Info { .. } => {
            say(out, journal::info(path).map_err(failed)?.trim_end());
            Ok(ExitCode::SUCCESS)
        }
        Look::Verify { .. } => {
            let problems = journal::verify(path).map_err(failed)?;
            if problems.is_empty() {
                say(out, "all of it can be read");
                return Ok(ExitCode::SUCCESS);
            }
            for problem in &problems {
                say(out, problem);
            }
            Ok(ExitCode::FAILURE)
        }
        Look::Export { .. } => {
            journal::export(path, out).map_err(failed)?;
            Ok(ExitCode::SUCCESS)
        }
    }
}

fn run_demo(length: Option<Duration>, dir: Option<PathBuf>) -> Result<ExitCode, String> {
    log_to_stderr("warn,delta_kernel=off,delta_kernel_default_engine=off,rumqttd=off");
    let program = std::env::args().next().unwrap_or_else(|| "plumeline".to_owned());
    let runtime = tokio_runtime()?;
    let launch = |file: &Path, clock: Arc<demo::ReplayClock>| {
        let pipeline = load(file)?;
        let started = runtime.block_on(runtime::start(pipeline, clock));
        let running = started.map_err(|error| chain(&error))?;
        Ok(Box::new(Demonstrated(running)) as Box<dyn demo::Engine>)
    };
    let args = demo::DemoArgs { length, dir, program };
    demo::run(&args, Box::new(launch), &mut std::io::stdout()).map_err(|error| chain(&error))?;
    runtime.shutdown_timeout(Duration::from_secs(1));
    Ok(ExitCode::SUCCESS)
}

/// The pipeline as the demo sees it.
struct Demonstrated(Running);

impl demo::Engine for Demonstrated {
    fn progress(&self) -> demo::Snapshot {
        snapshot(self.0.progress())
    }

    fn stop(&self) {
        self.0.stop();
    }

    fn join(self: Box<Self>) -> Result<demo::Snapshot, String> {
        self.0.join().map(snapshot).map_err(|error: RunError| chain(&error))
    }
}

fn snapshot(progress: Progress) -> demo::Snapshot {
    // Location-based: what the grid emitted, certificates aside.
    let location = progress.footprints.into_iter().filter(|f| f.method != "market");
    let footprints = location.map(|f| demo::Footprint {
        node: f.node,
        scope: f.scope,
        window: f.window,
        grams: f.grams,
    });
    demo::Snapshot {
        outcomes: progress.outcomes,
        tick_lag_ms: progress.tick_lag_ms,
        footprints: footprints.collect(),
        restatements: progress.restatements,
        restated_up_grams: progress.restated_up_grams,
        restated_down_grams: progress.restated_down_grams,
        committed_ms: progress.committed_ms,
    }
}
