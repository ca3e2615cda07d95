//! What reaches below `retain`: restating it, and taking in files of it.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use plumeline::config::{Pipeline, SourceEntry};
use plumeline::http::There;
use plumeline::runtime::{Until, history};
use plumeline::upgrade::Change;
use plumeline::{chain, restate};
use plumeline_pipelines::model::Names;

use super::importing;
use super::preview::preview;
use super::upgrade::drive;
use crate::{load, say};

/// Time between commits of an import, at most, ms: it ends with one.
const IMPORT_COMMITS_MS: i64 = 5_000;

/// Restates what is missing, or tells what would be.
pub(crate) fn restate_ledger(path: &Path, is_dry_run: bool) -> Result<ExitCode, String> {
    let pipeline = load(path)?;
    let change = Change::of(&pipeline).map_err(|error| chain(&error))?;
    if is_dry_run {
        return dry_run(&pipeline, change.as_ref());
    }
    let asked = match change {
        None => There::of(&pipeline).ask("/restate", "").ok(),
        // Whoever runs it runs it under the old method.
        Some(_) => None,
    };
    match asked {
        Some(answer) => {
            say(&mut std::io::stdout(), answer?.trim_end());
            Ok(ExitCode::SUCCESS)
        }
        // Nobody is there: then it is done here. If somebody is, the state folder is locked.
        None => import(pipeline, Vec::new()),
    }
}

/// Tells what would be restated, in kg of `CO2e` by company, scope and month.
fn dry_run(pipeline: &Pipeline, change: Option<&Change>) -> Result<ExitCode, String> {
    let lake = pipeline.lake(false).ok_or("the pipeline has no sink of type \"delta\"")?;
    if !lake.readings {
        return Err(
            "its sink says `readings = \"none\"`: there is nothing to compute it from".into()
        );
    }
    let names = Arc::new(Names::new());
    let (found, table) = preview(pipeline, &names, |scratch, may_go_on, give| match change {
        Some(change) => change.compute(pipeline, (&names, scratch), may_go_on, give),
        None => restate::restate(
            &restate::Request {
                lake,
                policy: &pipeline.policy,
                periods: restate::Periods::Cold,
                base: restate::Base::Ledger,
                names: Arc::clone(&names),
                scratch,
                share_rows: restate::SHARE_ROWS,
                may_go_on,
            },
            give,
        ),
    })?;
    let entry = found.unwrap_or_default().entry;
    let entries = entry.activity + entry.emissions + entry.footprints;
    let out = &mut std::io::stdout();
    if let Some(change) = change {
        say(out, &format!("the pipeline file says {}:", change.told()));
    }
    if entries > 0 {
        say(out, &table);
        say(out, &format!("{entries} entries; nothing was changed"));
    } else if change.is_some() {
        say(out, "nothing that was booked is another amount under it");
    } else {
        say(out, "nothing is missing below the horizon");
    }
    Ok(ExitCode::SUCCESS)
}

/// Takes in files that reach back as far as they like.
pub(crate) fn backfill(path: &Path, files: &[PathBuf]) -> Result<ExitCode, String> {
    let pipeline = load(path)?;
    let failed = |file: &Path, error| format!("{} cannot be read: {error}", file.display());
    let files = files.iter().map(|file| file.canonicalize().map_err(|error| failed(file, error)));
    let files = files.collect::<Result<Vec<_>, _>>()?;
    if let Some(other) = files.iter().find(|file| !file.is_file()) {
        return Err(format!("{} is no file", other.display()));
    }
    match There::of(&pipeline).ask("/backfill", &importing::order(&files)?) {
        Ok(Ok(answer)) => {
            say(&mut std::io::stdout(), answer.trim_end());
            importing::look_on(&pipeline, &files)
        }
        Ok(Err(why)) => Err(why),
        // Nobody is there: then it is done here. If somebody is, the state folder is locked.
        Err(_) => import(pipeline, files.iter().map(|file| history(file)).collect()),
    }
}

/// Runs the pipeline with these sources alone, until nothing is left to restate.
fn import(mut pipeline: Pipeline, sources: Vec<SourceEntry>) -> Result<ExitCode, String> {
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
