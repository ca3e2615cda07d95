//! The command line: what each of its words does.

mod cli;

use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::Parser;
use cli::{Cli, Command, FactsEdit, Look, backfill, drive, factors, facts, restate_ledger};
use plumeline::bar::Bar;
use plumeline::journal::JournalError;
use plumeline::runtime::{Progress, RunError, Running, Until};
use plumeline::{chain, check, config, demo, journal, runtime, verify};
use tracing_subscriber::EnvFilter;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    abort_on_panic();
    // Nothing without the feature that tests turn on: ends the process at points of their choice.
    let _points = fail::FailScenario::setup();
    let cli = Cli::parse();
    let done = match cli.command {
        Command::Demo { story, length, dir } => run_demo(story, length, dir),
        Command::Run { pipeline } => run(&pipeline),
        Command::Check { pipeline, connect } => run_check(&pipeline, connect),
        Command::Views { pipeline, as_of } => views(&pipeline, as_of),
        Command::Verify { pipeline } => verify_ledger(&pipeline),
        Command::Explain(words) => cli::explain::explain_number(words),
        Command::Backfill { pipeline, files } => backfill(&pipeline, &files),
        Command::Restate { pipeline, dry_run } => restate_ledger(&pipeline, dry_run),
        Command::Factors { look } => factors::look(&look),
        Command::Facts { edit: FactsEdit::Diff { pipeline } } => facts::diff(&pipeline),
        Command::Facts { edit: FactsEdit::Apply { pipeline } } => facts::apply(&pipeline),
        Command::Report { act } => cli::reporting::report(&act),
        Command::Restore { pipeline } => restore_journal(&pipeline),
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

fn restore_journal(path: &Path) -> Result<ExitCode, String> {
    let restored = cli::restoring::restore_journal(&load(path)?)?;
    say(&mut std::io::stdout(), &restored);
    Ok(ExitCode::SUCCESS)
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

fn run_demo(
    story: demo::Story,
    length: Option<Duration>,
    dir: Option<PathBuf>,
) -> Result<ExitCode, String> {
    log_to_stderr("warn,delta_kernel=off,delta_kernel_default_engine=off,rumqttd=off");
    let program = std::env::args().next().unwrap_or_else(|| "plumeline".to_owned());
    let runtime = tokio_runtime()?;
    let launch = |file: &Path, clock: Arc<demo::ReplayClock>| {
        let pipeline = load(file)?;
        let started = runtime.block_on(runtime::start(pipeline, clock));
        let running = started.map_err(|error| chain(&error))?;
        Ok(Box::new(Demonstrated(running)) as Box<dyn demo::Engine>)
    };
    let args = demo::DemoArgs { story, length, dir, program };
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
