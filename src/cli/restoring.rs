//! `plumeline restore`: what it shows while it works, and in the end.

use std::time::Instant;

use plumeline::bar::Bar;
use plumeline::journal::JournalError;
use plumeline::restore::{Progress, RestoreError, restore};
use plumeline::{chain, config, runtime};

/// Restores the journal of `pipeline`; says what came of it.
pub(crate) fn restore_journal(pipeline: &config::Pipeline) -> Result<String, String> {
    let mut bar = Bar::new("reading");
    let (mut stage, mut began) = ("", runtime::monotonic());
    let mut show = |progress: Progress| {
        if stage != progress.what {
            (stage, began) = (progress.what, runtime::monotonic());
        }
        show(&mut bar, &progress, began);
    };
    let restored = restore(pipeline, &mut show);
    bar.end();
    restored.map(|restored| restored.to_string()).map_err(|error| failed(&error))
}

fn show(bar: &mut Bar, progress: &Progress, began: Instant) {
    let Progress { what, done, total, records } = *progress;
    let taken_ms = began.elapsed().as_millis().max(1);
    let per_second = u128::from(records) * 1000 / taken_ms;
    let left = u128::from(total.saturating_sub(done)) * taken_ms / u128::from(done.max(1));
    let permille = u128::from(done) * 1000 / u128::from(total.max(1));
    let detail = format!("{per_second} records/s, {} s left", left / 1000);
    bar.tell(what, usize::try_from(permille).unwrap_or(1000), &detail);
}

/// What a user is told, with what to do about it.
fn failed(error: &RestoreError) -> String {
    let remedy = match error {
        RestoreError::Journal(JournalError::Exists(_)) => {
            ". `plumeline run` goes on with it; to make it anew from the tables all the same, move it away first: what \
             it knows and they do not would be lost"
        }
        RestoreError::Journal(JournalError::Locked(_)) => {
            ". Stop the other one first, or write another state_dir"
        }
        RestoreError::Journal(JournalError::Setting { .. }) => {
            ". The ledger goes on only under the old value: put it back"
        }
        RestoreError::Lake(_) => ". `plumeline check --connect` tries the store",
        _ => "",
    };
    chain(error) + remedy
}
