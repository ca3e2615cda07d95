//! Files of history on their way into a ledger, for somebody at a terminal; and looking on while a running pipeline
//! takes them in.

use std::path::PathBuf;
use std::process::ExitCode;
use std::thread::sleep;
use std::time::{Duration, Instant};

use plumeline::bar::Bar;
use plumeline::config::Pipeline;
use plumeline::http::There;
use plumeline::runtime::{ImportProgress, monotonic};

use crate::say;

/// Time between looks.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// What is asked of a pipeline that is to take in these files.
pub(super) fn order(files: &[PathBuf]) -> Result<String, String> {
    let line = |file: &PathBuf| {
        let path = file.to_str().filter(|path| !path.contains('\n'));
        let path = path.ok_or_else(|| format!("{} is no path in UTF-8", file.display()))?;
        Ok(format!("{path}\n"))
    };
    files.iter().map(line).collect()
}

/// Shows how far it has come, until all is booked, or is known and waits for somebody to have it booked.
pub(super) fn look_on(pipeline: &Pipeline, files: &[PathBuf]) -> Result<ExitCode, String> {
    let (mut bar, began, mut first) = (Bar::new("reading"), monotonic(), None);
    loop {
        let told = There::of(pipeline).look("/backfill").map_err(|error| error.to_string());
        let told = told.and_then(|told| serde_json::from_str(&told).map_err(|e| e.to_string()));
        let progress: ImportProgress = told.map_err(|why| {
            format!(
                "the pipeline does not answer any more ({why}). What was read is in its journal: once it runs again, \
                 the same command goes on"
            )
        })?;
        let ImportProgress { is_in_ledger, pending, records, .. } = progress;
        let before = *first.get_or_insert(records);
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
        show(&ImportProgress { records: records - before, ..progress }, began, &mut bar);
        sleep(LOOK_EVERY);
    }
}

/// Shows how far files have come since `began`: by bytes that were read, and the rate and time left that follow.
pub(super) fn show(progress: &ImportProgress, began: Instant, bar: &mut Bar) {
    let ImportProgress { read, bytes, records, pending, permille, .. } = *progress;
    if read < bytes {
        let millis = began.elapsed().as_millis().max(1);
        let per_second = u128::from(records) * 1000 / millis;
        let left = u128::from(bytes - read) * millis / u128::from(read.max(1));
        let detail = format!("{per_second} readings/s, {} s left", left / 1000);
        let done = u128::from(read) * 1000 / u128::from(bytes);
        bar.tell("reading", usize::try_from(done).unwrap_or(1000), &detail);
    } else {
        let detail = format!("{pending} periods may change below the horizon");
        bar.tell("booking", permille.unwrap_or(0), &detail);
    }
}
