//! Running a pipeline to its end, and what comes before where it goes on under another method.

use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::channel;
use std::time::Duration;

use plumeline::bar::Bar;
use plumeline::chain;
use plumeline::config::Pipeline;
use plumeline::restate::RestateError;
use plumeline::runtime::{RunError, Until, WallClock};
use plumeline::upgrade::{Change, UpgradeError};

use super::drive::{Ended, Signals, failed, run_to_end};
use crate::{log_to_stderr, tokio_runtime};

/// What a pipeline does that takes nothing in.
const PREPARING: &str = "bringing to an end what was booked under the old method";
/// Between two looks at how far it has come.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// Runs a pipeline to its end; under another method than before, once what was booked is restated.
pub(crate) fn drive(pipeline: Pipeline, until: Until) -> Result<ExitCode, String> {
    // Libraries tell every snapshot, and again what we tell in an operator's words.
    log_to_stderr("info,delta_kernel=off,delta_kernel_default_engine=off,rumqttc=error");
    let may_run = upgraded(&pipeline)?;
    if !may_run || run_to_end(pipeline, until, None)? == Ended::BeforeItRan {
        tracing::info!("asked to end before it ran");
        // A store that does not answer may still be waited for by a thread.
        std::process::exit(0);
    }
    Ok(ExitCode::SUCCESS)
}

/// Whether the journal of `pipeline` is one of its method: where it is not, everything that was booked is restated
/// first. `false` if somebody asked to end meanwhile.
fn upgraded(pipeline: &Pipeline) -> Result<bool, String> {
    let change = Change::of(pipeline);
    let change = change.map_err(|error| failed(&RunError::Journal(error), pipeline.http))?;
    let Some(change) = change else { return Ok(true) };
    let told = change.told();
    if !pipeline.restates_by_itself {
        return Err(format!(
            "{}: the pipeline file says {told}. `plumeline restate --dry-run` tells what that restates, and \
             `plumeline restate` books it",
            pipeline.name
        ));
    }
    tracing::info!("{told}: what was booked is restated before anything is taken in");
    // Without a ledger there is nothing to restate.
    let until = if pipeline.delta.is_some() { Until::Restated } else { Until::Ended };
    if let Some(before) = change.before(pipeline)
        && run_to_end(before, until, Some(PREPARING))? != Ended::Done
    {
        return Ok(false);
    }
    match put_down(pipeline.clone(), change) {
        Ok(entries) => {
            tracing::info!(
                entries,
                "computed what another method restates: it is booked with the next commit"
            );
            Ok(true)
        }
        Err(UpgradeError::Restate(RestateError::Ended)) => Ok(false),
        Err(UpgradeError::Journal(error)) => Err(failed(&RunError::Journal(error), pipeline.http)),
        Err(error) => Err(chain(&error)),
    }
}

/// [`Change::put_down`], which a signal ends.
fn put_down(pipeline: Pipeline, change: Change) -> Result<u64, UpgradeError> {
    let stop = Arc::new(AtomicBool::new(false));
    let (is_asked, (tell, told)) = (Arc::clone(&stop), channel());
    let computing = std::thread::spawn(move || {
        let may_go_on = |permille: usize| {
            // Nobody looks any more: then nobody waits, either.
            tell.send(permille).is_ok() && !is_asked.load(Ordering::Acquire)
        };
        change.put_down(&pipeline, &WallClock, &may_go_on)
    });
    let watched = tokio_runtime().map(|runtime| {
        runtime.block_on(async {
            let Ok(mut signals) = Signals::new() else { return };
            let (mut look, mut bar) = (tokio::time::interval(LOOK_EVERY), Bar::new("restating"));
            while !computing.is_finished() {
                tokio::select! {
                    _ = look.tick() => told.try_iter().for_each(|permille| bar.show(permille, 1000)),
                    () = signals.next() => stop.store(true, Ordering::Release),
                }
            }
        });
    });
    if let Err(error) = watched {
        tracing::warn!(error, "nobody looks for signals");
    }
    computing.join().unwrap_or(Err(UpgradeError::Restate(RestateError::Ended)))
}
