//! Looking on while a running pipeline takes in files of history.

use std::path::PathBuf;
use std::process::ExitCode;
use std::thread::sleep;
use std::time::{Duration, Instant};

use plumeline::bar::Bar;
use plumeline::config::Pipeline;
use plumeline::http;
use plumeline::runtime::{ImportProgress, monotonic};

use super::drive::permille;
use crate::say;

/// Time between looks.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// What is asked of the pipeline called `name`: to take in these files.
pub(super) fn order(name: &str, files: &[PathBuf]) -> Result<String, String> {
    let mut order = name.to_owned();
    for file in files {
        let path = file.to_str().filter(|path| !path.contains('\n'));
        let path = path.ok_or_else(|| format!("{} is no path in UTF-8", file.display()))?;
        order.push('\n');
        order.push_str(path);
    }
    Ok(order)
}

/// Shows how far it has come, until all is booked, or is known and waits for somebody to have it booked.
pub(super) fn look_on(pipeline: &Pipeline, files: &[PathBuf]) -> Result<ExitCode, String> {
    let (mut bar, began, mut first) = (Bar::new("reading"), monotonic(), None);
    loop {
        let told = http::send(pipeline.http, ("GET", "/backfill"), "");
        let told = told.map_err(|error| error.to_string()).and_then(|told| told);
        let told = told.and_then(|told| serde_json::from_str(&told).map_err(|e| e.to_string()));
        let progress: ImportProgress = told.map_err(|why| {
            format!(
                "the pipeline does not answer any more ({why}). What was read is in its journal: once it runs again, \
                 the same command goes on"
            )
        })?;
        let ImportProgress { is_in_ledger, pending, records, .. } = progress;
        if files.iter().any(|file| !progress.files.contains(file)) {
            bar.end();
            return Err(
                "the pipeline was started anew meanwhile: the same command goes on".to_owned()
            );
        }
        if !progress.problems.is_empty() {
            bar.end();
            return Err(progress.problems.join("\n"));
        }
        if is_in_ledger && (pending == 0 || !pipeline.restates_by_itself) {
            bar.end();
            let rest = if pending == 0 {
                "all that they say is booked".to_owned()
            } else {
                format!("{pending} periods below the horizon wait for `plumeline restate`")
            };
            say(&mut std::io::stdout(), &format!("the files are taken in; {rest}"));
            return Ok(ExitCode::SUCCESS);
        }
        show(&progress, records - *first.get_or_insert(records), began, &mut bar);
        sleep(LOOK_EVERY);
    }
}

fn show(progress: &ImportProgress, records: u64, began: Instant, bar: &mut Bar) {
    let ImportProgress { read, bytes, pending, permille: restating, .. } = *progress;
    if read < bytes {
        let millis = began.elapsed().as_millis().max(1);
        let per_second = u128::from(records) * 1000 / millis;
        let left = u128::from(bytes - read) * millis / u128::from(read.max(1));
        let detail = format!("{per_second} readings/s with the live ones, {} s left", left / 1000);
        bar.tell("reading", permille(read, bytes), &detail);
    } else {
        let detail = format!("{pending} periods may change below the horizon");
        bar.tell("booking", restating.unwrap_or(0), &detail);
    }
}
