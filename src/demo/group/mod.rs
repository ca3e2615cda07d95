//! `plumeline demo --story group`: how the footprint of three sites on one day came about, was reported, and changed.
//!
//! ```text
//!   steps ──lines──▶ readings.jsonl, intensity.jsonl, factors.csv ──▶ pipeline, to its end ──▶ lake
//!     │                                                                                        │
//!     └─instant─▶ ReplayClock                told: why, where, how much ◀── entries since ─────┤
//!                                            report lock, show, diff; explain; verify ◀────────┘
//! ```
//!
//! 1. Each step appends to the pipeline's files, sets the clock to the step's instant, and runs the pipeline until its
//!    sources have ended: it drains, commits and ends, as `plumeline run` does. *So what came with a step is in its
//!    commits, on any machine, and the next step finds a ledger that goes on.*
//! 2. Then it tells what the step has entered ([`entries`]), by reason and site, and what the group's total is, exactly.
//! 3. At one step the report of the day is locked, by what `plumeline report lock` does. In the end it is shown beside
//!    what the ledger says now, with each change since; a number is explained; and all of it is computed again.
//!
//! What is told is what the commands say that it names in the end.

mod entries;

use std::io::Write;
use std::sync::Arc;

use jiff::civil::Date;
use plumeline_fixtures::files;
use plumeline_fixtures::group::{DAY_START_MS, FACTORS, SITES, Step, steps};
use plumeline_fixtures::text::{DAY_MS, HOUR_MS, civil, date};

use super::clock::ReplayClock;
use super::error::DemoError;
use super::folder::Folder;
use super::interrupt::{self, Interrupt};
use super::{DemoArgs, Launch, load, unusable};
use crate::explain::{Again, Ask, DEFAULT_CHILDREN, Wanted, explain, show};
use crate::report::figures::{Threshold, kilograms as kg};
use crate::report::locking::lock;
use crate::report::show::Shown;
use crate::report::{Ledger, Locks, Order, Review, Span};
use entries::Entries;

/// The node whose report it is.
const GROUP: &str = "northmoor";
/// The hour that is explained: its grid was forecast, came out, and was revised.
const EXPLAINED_HOUR: i64 = 16;
/// Tables that are as they lie in the fixtures.
const TABLES: [&str; 4] = ["meters.csv", "nodes.csv", "series.csv", "contracts.csv"];

/// Tells the story; it ends by itself, or between two steps when somebody interrupts it.
pub(super) fn run(
    args: &DemoArgs,
    launch: &mut Launch<'_>,
    out: &mut dyn Write,
) -> Result<(), DemoError> {
    let interrupt = interrupt::listen()?;
    let folder = prepared(args)?;
    introduce(&folder, out)?;
    if !played(&folder, launch, &interrupt, out)? {
        writeln!(out, "\ninterrupted: the ledger is complete up to here")?;
        return Ok(());
    }
    reported(&folder, out)?;
    explained(&folder, out)?;
    let verdict = super::verify(&folder)?;
    writeln!(out, "\nPROOF\n  {verdict}.")?;
    further(&args.program, &folder, out)?;
    verdict.difference.map_or(Ok(()), |difference| Err(DemoError::Unproven(difference)))
}

/// The folder with the pipeline and its tables, before anything was said.
fn prepared(args: &DemoArgs) -> Result<Folder, DemoError> {
    let folder = Folder::cleared(&args.dir())?;
    let pipeline = files::text("group/pipeline.toml").replace("{http}", &folder.http().to_string());
    folder.write("pipeline.toml", &pipeline)?;
    for table in TABLES {
        folder.write(table, files::text(&format!("group/{table}")))?;
    }
    let factors =
        crate::factors::export(&FACTORS.map(str::to_owned)).map_err(DemoError::Factors)?;
    let solar = files::text("group/solar.csv").split_once('\n').map_or("", |(_, rows)| rows);
    folder.write("factors.csv", &(factors + "\n" + solar))?;
    for empty in ["readings.jsonl", "intensity.jsonl"] {
        folder.write(empty, "")?;
    }
    Ok(folder)
}

fn introduce(folder: &Folder, out: &mut dyn Write) -> Result<(), DemoError> {
    writeln!(
        out,
        "Plumeline demo: a group of three sites on one day, {}: gas boilers under published UK factors, electricity \
         under\nthe grid's intensity by the half-hour, half of a solar farm by contract. Loads and intensities are made \
         up.\nFiles are in {}.",
        date(DAY_START_MS),
        folder.path().display(),
    )?;
    Ok(())
}

/// Takes every step; whether none was left out.
fn played(
    folder: &Folder,
    launch: &mut Launch<'_>,
    interrupt: &Interrupt,
    out: &mut dyn Write,
) -> Result<bool, DemoError> {
    let mut told = Entries::default();
    for (number, step) in (1..).zip(steps()) {
        if interrupt.is_set() {
            return Ok(false);
        }
        writeln!(out, "\n{number}. {}  {}", &civil(step.at_ms)[..16].replace('T', " "), step.told)?;
        take(folder, launch, &step)?;
        if step.is_lock {
            locked(folder, &step, out)?;
        }
        let since = told.since(&load(folder)?)?;
        for (reason, by_node) in &since {
            let sum: i128 = by_node.values().sum();
            let nodes = by_node.iter().map(|(node, co2e)| format!("{node} {}", kg(*co2e)));
            let nodes = nodes.collect::<Vec<_>>().join(", ");
            writeln!(out, "     {reason:16}{:>12} kg CO2e   {nodes}", kg(sum))?;
        }
        let [location, market] = told.totals().map(kg);
        writeln!(out, "     {GROUP} is now{location:>14} kg CO2e, market-based {market}")?;
    }
    Ok(true)
}

/// Brings what the step brings, and runs the pipeline to its end at the step's instant.
fn take(folder: &Folder, launch: &mut Launch<'_>, step: &Step) -> Result<(), DemoError> {
    for (file, lines) in &step.appended {
        folder.append(file, lines)?;
    }
    let engine = launch(&folder.pipeline(), Arc::new(ReplayClock::new(step.at_ms)));
    engine.and_then(super::Engine::join).map_err(DemoError::Pipeline)?;
    Ok(())
}

/// The days of the report.
fn span(timezone: &jiff::tz::TimeZone) -> Result<Span, DemoError> {
    let day = |ms: i64| date(ms).parse::<Date>().map_err(|error| unusable(&error));
    Ok(Span::days(day(DAY_START_MS)?, day(DAY_START_MS + DAY_MS)?, timezone)?)
}

fn locked(folder: &Folder, step: &Step, out: &mut dyn Write) -> Result<(), DemoError> {
    let pipeline = load(folder)?;
    let order = Order {
        company: GROUP.to_owned(),
        span: span(&pipeline.timezone)?,
        timezone: pipeline.timezone_name.clone(),
        as_of_ms: None,
        signed_off_ms: Some(step.at_ms + HOUR_MS),
        threshold: Threshold::DEFAULT,
        base_year: false,
        by: "the demo".to_owned(),
        note: "a day stands for the year".to_owned(),
        may_be_unfinished: false,
    };
    let locked = lock(&Ledger::open(&pipeline)?, &order, false)?;
    for line in locked.to_string().lines() {
        writeln!(out, "     {line}")?;
    }
    Ok(())
}

/// What was locked beside what is known now, and every change in between.
fn reported(folder: &Folder, out: &mut dyn Write) -> Result<(), DemoError> {
    let pipeline = load(folder)?;
    let locks = Locks::of(&pipeline)?;
    let lock = locks.find(GROUP, &span(&pipeline.timezone)?)?;
    let review = Review::of(&Ledger::open(&pipeline)?, lock.clone())?;
    let list = review.list();
    let shown = Shown { review, base: None, is_base: false };
    writeln!(out, "\nTHE REPORT, as it was locked and as it is now\n{}", shown.text().trim_end())?;
    writeln!(out, "\nWHAT HAS CHANGED SINCE\n{}", list.trim_end())?;
    Ok(())
}

/// An hour of a site, down to its readings and the versions of its factor.
fn explained(folder: &Folder, out: &mut dyn Write) -> Result<(), DemoError> {
    let [from, to] = explained_hour();
    let ask = Ask {
        node: SITES[1].to_owned(),
        from,
        to,
        scope: Some(2),
        category: None,
        method: Wanted::Location,
        gas: None,
        as_of: None,
        children: DEFAULT_CHILDREN,
        all: false,
    };
    let explanation = explain(&load(folder)?, &ask, |_, _| ())?;
    writeln!(out, "\nA NUMBER, EXPLAINED\n{}", show(&explanation).trim_end())?;
    match &explanation.again {
        Again::Same { .. } => Ok(()),
        again => Err(DemoError::Unproven(again.to_string())),
    }
}

fn explained_hour() -> [String; 2] {
    [EXPLAINED_HOUR, EXPLAINED_HOUR + 1].map(|hour| {
        let at = civil(DAY_START_MS + hour * HOUR_MS);
        at[..16].to_owned()
    })
}

fn further(program: &str, folder: &Folder, out: &mut dyn Write) -> Result<(), DemoError> {
    let pipeline = folder.pipeline();
    let pipeline = pipeline.display();
    let [from, to] = [DAY_START_MS, DAY_START_MS + DAY_MS].map(date);
    let [hour, next] = explained_hour();
    let days = format!("--company {GROUP} --from {from} --to {to}");
    let explain = format!("{program} explain {pipeline} --node");
    let rows = [
        (
            format!("{explain} {GROUP} --from {from} --to {to} --all"),
            "from what the day's number comes",
        ),
        (
            format!("{explain} {} --from {hour} --to {next} --as-of 2026-01-14T12:30Z", SITES[1]),
            "an hour, as it was known before the grid's half-hours came out",
        ),
        (
            format!("{explain} {} --from {from} --to {to} --method market --scope 2", SITES[0]),
            "what the solar farm covered, hour by hour, and what is left to the residual mix",
        ),
        (
            format!("{program} report diff {pipeline} {days}"),
            "every change since the report, and why",
        ),
        (
            format!("{program} views {pipeline} > views.sql && duckdb -init views.sql"),
            "query the ledger: SELECT reason, sum(co2e_kg) FROM emissions GROUP BY ALL",
        ),
        (format!("{program} verify {pipeline}"), "compute the ledger again and compare"),
        (format!("less {pipeline}"), "the pipeline that ran"),
    ];
    writeln!(out, "\nLOOK FURTHER")?;
    for (command, what) in rows {
        writeln!(out, "  {command}\n      {what}")?;
    }
    out.flush()?;
    Ok(())
}
