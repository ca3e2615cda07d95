//! `plumeline facts diff|apply`: an edit of the tables, told before it restates anything, and let through.

use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use plumeline::chain;
use plumeline::facts::AliasChange;
use plumeline::http::There;
use plumeline::review::Edit;
use plumeline::runtime::Until;
use plumeline_pipelines::model::Names;

use super::preview::preview;
use super::upgrade::drive;
use crate::{load, say};

/// Tells what the tables say that is not applied, and what that would restate.
pub(crate) fn diff(path: &Path) -> Result<ExitCode, String> {
    let pipeline = load(path)?;
    let names = Arc::new(Names::new());
    let edit = Edit::of(&pipeline, &names).map_err(|error| chain(&error))?;
    let out = &mut std::io::stdout();
    if edit.is_nothing() {
        say(out, "the tables say what is applied");
        return Ok(ExitCode::SUCCESS);
    }
    for reach in &edit.reach {
        let waits = if reach.is_beyond(pipeline.max_fact_change) {
            ": more than max_fact_change, so it waits for `plumeline facts apply`"
        } else {
            ""
        };
        say(out, &format!("{reach}{waits}"));
    }
    for AliasChange { meter, alias, withdrawn } in &edit.aliases {
        let [meter, alias] = [meter, alias].map(|id| names.name(*id));
        let told = if *withdrawn {
            format!("`{alias}` is no name of meter `{meter}` any more: what came under it stays")
        } else {
            // What it books is known once it is taken in: it is not among the kg below.
            format!(
                "`{alias}` is a name of meter `{meter}`: what came under it within retain is booked as well"
            )
        };
        say(out, &told);
    }
    if !edit.warnings.is_empty() {
        say(out, edit.warnings.to_string().trim_end());
    }
    let (entries, table) = preview(&pipeline, &names, |scratch, may_go_on, give| {
        edit.restates(&pipeline, (&names, scratch), may_go_on, give)
    })?;
    if entries == 0 {
        say(out, "no balance of a settled period would change");
    } else {
        say(out, &table);
        say(out, &format!("{entries} balances would change; nothing was changed"));
    }
    Ok(ExitCode::SUCCESS)
}

/// Lets an edit through that waits: asks the running pipeline, or does it if none runs.
pub(crate) fn apply(path: &Path) -> Result<ExitCode, String> {
    let mut pipeline = load(path)?;
    if let Ok(answer) = There::of(&pipeline).ask("/facts/apply", "") {
        say(&mut std::io::stdout(), answer?.trim_end());
        return Ok(ExitCode::SUCCESS);
    }
    // Nobody is there. If somebody is, the state folder is locked.
    pipeline.max_fact_change = 100;
    pipeline.sources = Vec::new();
    // What it restates below the horizon is worked off by whoever runs next.
    drive(pipeline, Until::Ended)
}
