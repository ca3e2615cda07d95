//! `plumeline report lock|show|diff|list`: from words to reports, and back to text.

use std::process::ExitCode;

use plumeline::chain;
use plumeline::config::Pipeline;
use plumeline::report::locking::lock;
use plumeline::report::show::Shown;
use plumeline::report::{Ledger, Locks, Order, ReportError, Review, Span};
use serde_json::Value;

use super::{AboutArgs, LockArgs, ReportAct};
use crate::{load, say};

/// Does what is asked for, and tells what came of it.
pub(crate) fn report(act: &ReportAct) -> Result<ExitCode, String> {
    let said = match act {
        ReportAct::Lock(args) => put(args)?,
        ReportAct::Show { about, json } => {
            let shown = show(about)?;
            if *json { pretty(&shown.json()) } else { shown.text() }
        }
        ReportAct::Diff { about, json } => {
            let review = diff(about)?;
            if *json { pretty(&review.list_json()) } else { review.list() }
        }
        ReportAct::List { pipeline } => Locks::of(&load(pipeline)?).map_err(failed)?.told(),
    };
    say(&mut std::io::stdout(), said.trim_end());
    Ok(ExitCode::SUCCESS)
}

fn put(args: &LockArgs) -> Result<String, String> {
    let LockArgs { about, as_of, signed_off, threshold, base_year, by, note, .. } = args;
    let pipeline = load(&about.pipeline)?;
    let ledger = Ledger::open(&pipeline).map_err(failed)?;
    let order = Order {
        company: about.company.clone(),
        span: span(about, &pipeline).map_err(failed)?,
        timezone: pipeline.timezone_name.clone(),
        as_of_ms: as_of.map(jiff::Timestamp::as_millisecond),
        signed_off_ms: signed_off.map(jiff::Timestamp::as_millisecond),
        threshold: *threshold,
        base_year: *base_year,
        by: by.clone(),
        note: note.clone(),
        may_be_unfinished: args.unfinished,
    };
    let locked = lock(&ledger, &order, args.dry_run).map_err(failed)?;
    let done = if args.dry_run {
        "nothing was locked".to_owned()
    } else {
        format!("locked in {}", locked.lock.name().relative())
    };
    Ok(format!("{locked}\n{done}"))
}

fn show(about: &AboutArgs) -> Result<Shown, String> {
    let pipeline = load(&about.pipeline)?;
    let of = || -> Result<Shown, ReportError> {
        let (locks, span) = (Locks::of(&pipeline)?, span(about, &pipeline)?);
        let lock = locks.find(&about.company, &span)?;
        let base = locks.base_year(&about.company);
        let is_base = base.is_some_and(|base| base.label() == lock.label());
        let base = base.filter(|base| base.span.from < lock.span.from);
        let ledger = Ledger::open(&pipeline)?;
        let review = Review::of(&ledger, lock.clone())?;
        let base = base.map(|base| Review::of(&ledger, base.clone())).transpose()?;
        Ok(Shown { review, base, is_base })
    };
    of().map_err(failed)
}

fn diff(about: &AboutArgs) -> Result<Review, String> {
    let pipeline = load(&about.pipeline)?;
    let of = || -> Result<Review, ReportError> {
        let (locks, span) = (Locks::of(&pipeline)?, span(about, &pipeline)?);
        let lock = locks.find(&about.company, &span)?;
        Review::of(&Ledger::open(&pipeline)?, lock.clone())
    };
    of().map_err(failed)
}

fn span(about: &AboutArgs, pipeline: &Pipeline) -> Result<Span, ReportError> {
    match (about.year, about.from, about.to) {
        (Some(year), _, _) => Span::year(year, &pipeline.timezone),
        (None, Some(from), Some(to)) => Span::days(from, to, &pipeline.timezone),
        // One of both is required.
        _ => unreachable!("the command line asks for a year, or for both days"),
    }
}

fn pretty(value: &Value) -> String {
    format!("{value:#}")
}

/// What a user is told, with what to do about it.
#[expect(clippy::needless_pass_by_value, reason = "it is what `map_err` gives")]
fn failed(error: ReportError) -> String {
    let remedy = match error {
        ReportError::Lake(_) => ". `plumeline check --connect` tries the store",
        _ => "",
    };
    chain(&error) + remedy
}
