//! `plumeline demo`: the main job in one process, on a simulated fleet, at accelerated time.
//!
//! 1. [`folder`] lays out DIR: a copy of the sample pipeline with addresses filled in, and its tables.
//!    Everything that is written lies below it.
//! 2. [`servers`] starts an MQTT broker and a Kafka cluster inside the process, on free ports of the
//!    loopback.
//! 3. The pipeline is started on that file, the same way `plumeline run` does, but with a [`ReplayClock`].
//! 4. [`play`] publishes the fleet's messages over real sockets when they are due, and moves the clock.
//!    It tells the story in passing, and one line a second says how the pipeline does ([`live`]).
//! 5. At the end, or when interrupted, the pipeline drains and commits, and [`summary`] says what came in
//!    and what became of it.
//!
//! ```text
//!   fixtures: Fleet ─► messages ─► play ──┬─► publisher ─► MQTT broker ─┬─► pipeline ─► DIR/lake, /metrics
//!                                         │            └─► Kafka ───────┘      │
//!                                         └─► ReplayClock ──────────────────►──┤
//!                         live line, summary ◄── Snapshot ◄────────────────────┘
//! ```
//!
//! That is the story `plant`. The other one, `group` ([`group`]), needs no servers: it feeds files, step by step.
//!
//! The clock follows the data: it never passes a message that has not been published. Were it free to run,
//! a slow machine would turn every reading into a late one, and the story would depend on the machine.

mod clock;
mod error;
mod folder;
mod group;
mod interrupt;
mod live;
mod play;
mod publisher;
mod servers;
mod summary;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use plumeline_fixtures::fleet::{Fleet, Plan};

use crate::config::Pipeline;
use crate::verify::Verdict;
pub use clock::ReplayClock;
pub use error::DemoError;
use folder::Folder;
use play::Play;
use servers::Servers;
use summary::Summary;

/// How long a demo takes by default: one simulated day.
pub const DEFAULT_LENGTH: Duration = Duration::from_mins(1);
/// The shortest demo: below, the simulated fleet sends more than a laptop's broker passes on.
pub const LENGTH_MIN: Duration = Duration::from_secs(10);
/// Where a demo keeps its files by default, in the current directory.
pub const DEFAULT_DIR: &str = "plumeline-demo";
/// Log targets that a subscriber should silence during a demo: the embedded broker tells of every
/// connection, and of ours ending.
pub const QUIET_TARGETS: [&str; 1] = ["rumqttd"];

/// What is told.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub enum Story {
    /// A simulated fleet on servers inside the process.
    #[default]
    Plant,
    /// A group of three sites on one day, and what became known of it later.
    Group,
}

/// What the user asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DemoArgs {
    /// What is told.
    pub story: Story,
    /// How long [`Story::Plant`] takes on the wall; [`DEFAULT_LENGTH`] if left out.
    pub length: Option<Duration>,
    /// Where everything is written; [`DEFAULT_DIR`] if left out.
    pub dir: Option<PathBuf>,
    /// How the program was called, for the commands that the summary shows.
    pub program: String,
}

impl DemoArgs {
    fn dir(&self) -> PathBuf {
        self.dir.clone().unwrap_or_else(|| PathBuf::from(DEFAULT_DIR))
    }
}

/// A pipeline while it runs.
pub trait Engine {
    /// How it does at the moment. Called several times a second: it should cost little.
    fn progress(&self) -> Snapshot;
    /// Asks it to drain and commit.
    fn stop(&self);
    /// Waits until it has.
    ///
    /// # Errors
    /// If it failed, in words for a person.
    fn join(self: Box<Self>) -> Result<Snapshot, String>;
}

/// How a pipeline does.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Snapshot {
    /// Elements received so far, by the name of their outcome.
    pub outcomes: BTreeMap<&'static str, u64>,
    /// How far the newest finished tick is behind the clock, ms on the wall.
    pub tick_lag_ms: i64,
    /// Footprints, location-based: one entry a node, scope and window.
    pub footprints: Vec<Footprint>,
    /// Entries that restated something booked before.
    pub restatements: u64,
    /// Grams of CO2 equivalents that restatements added.
    pub restated_up_grams: i128,
    /// Grams of CO2 equivalents that restatements took off.
    pub restated_down_grams: i128,
    /// The newest committed cut, ms since the Unix epoch.
    pub committed_ms: Option<i64>,
}

impl Snapshot {
    /// Elements received so far.
    #[must_use]
    pub fn received(&self) -> u64 {
        self.outcomes.values().sum()
    }

    /// Grams of CO2 equivalents of `node` in the longest window that is shown, all scopes; `None` before the first.
    fn total_grams(&self, node: &str) -> Option<i128> {
        let of_node: Vec<i128> = self
            .footprints
            .iter()
            .filter(|footprint| footprint.node == node && footprint.window == WINDOW)
            .map(|footprint| footprint.grams)
            .collect();
        (!of_node.is_empty()).then(|| of_node.iter().sum())
    }
}

/// The window whose footprints are shown: longer than the story.
const WINDOW: &str = "30d";

/// A footprint of a window.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Footprint {
    /// The node.
    pub node: String,
    /// 1, 2 or 3.
    pub scope: u8,
    /// The window as the pipeline file names it.
    pub window: String,
    /// Grams of CO2 equivalents.
    pub grams: i128,
}

/// Starts the pipeline of a file on a clock.
pub type Launch<'launch> =
    dyn FnMut(&Path, Arc<ReplayClock>) -> Result<Box<dyn Engine>, String> + 'launch;

/// Runs the demo until its story ends or somebody interrupts it; `out` gets what a person reads.
///
/// # Errors
/// If the folder, a server or the pipeline cannot be had.
pub fn run(
    args: &DemoArgs,
    mut launch: Box<Launch<'_>>,
    out: &mut dyn Write,
) -> Result<(), DemoError> {
    match args.story {
        Story::Plant => run_plant(args, &mut launch, out),
        Story::Group if args.length.is_some() => Err(DemoError::NoLength),
        Story::Group => group::run(args, &mut launch, out),
    }
}

fn run_plant(
    args: &DemoArgs,
    launch: &mut Launch<'_>,
    out: &mut dyn Write,
) -> Result<(), DemoError> {
    let length = args.length.unwrap_or(DEFAULT_LENGTH);
    if length < LENGTH_MIN {
        return Err(DemoError::TooShort { asked: length });
    }
    let interrupt = interrupt::listen()?;
    let fleet = Fleet::new(plan(length));
    let dir = args.dir();
    let servers = Servers::start()?;
    let folder = Folder::create(&dir, &fleet, &servers)?;
    introduce(&fleet, &folder, length, out)?;

    let clock = Arc::new(ReplayClock::new(fleet.plan.start_ms));
    let engine = launch(&folder.pipeline(), Arc::clone(&clock)).map_err(DemoError::Pipeline)?;
    let mut play = Play::new(&fleet, &folder, &servers, &clock, length)?;
    let played = play.run(&*engine, &interrupt, out)?;

    writeln!(out, "\ndraining and committing ...")?;
    let last = engine.progress();
    engine.stop();
    let end = engine.join().map_err(DemoError::Pipeline)?;
    writeln!(out, "computing the ledger again from its readings ...")?;
    let verdict = verify(&folder)?;
    let summary = Summary {
        fleet: &fleet,
        folder: &folder,
        played: &played,
        last: &last,
        end: &end,
        verdict: &verdict,
    };
    summary.write(&args.program, out)?;
    match verdict.difference {
        None => Ok(()),
        Some(difference) => Err(DemoError::Unproven(difference)),
    }
}

/// The ledger against the batch reference.
fn verify(folder: &Folder) -> Result<Verdict, DemoError> {
    crate::verify::verify(&load(folder)?, |_, _| ()).map_err(|error| unusable(&error))
}

fn load(folder: &Folder) -> Result<Pipeline, DemoError> {
    let pipeline = crate::config::load(&folder.pipeline(), &|_| None);
    pipeline.map_err(|problems| unusable(&problems))
}

fn unusable(error: &dyn std::error::Error) -> DemoError {
    DemoError::Pipeline(crate::chain(error))
}

/// One simulated day a minute; shorter demos pack the same day into less.
fn plan(length: Duration) -> Plan {
    let days = (length.as_secs() / DEFAULT_LENGTH.as_secs()).max(1);
    let demo = Plan::demo();
    let length_ms = demo.length_ms * i64::try_from(days).expect("a demo is shorter than an age");
    Plan { length_ms, ..demo }
}

fn introduce(
    fleet: &Fleet,
    folder: &Folder,
    length: Duration,
    out: &mut dyn Write,
) -> Result<(), DemoError> {
    let (meters, sites) = (fleet.meters.len(), fleet.sites.len());
    let companies = plumeline_fixtures::fleet::COMPANIES.len();
    let days = fleet.plan.length_ms / plumeline_fixtures::text::DAY_MS;
    let days = if days == 1 { "a day".to_owned() } else { format!("{days} days") };
    writeln!(
        out,
        "Plumeline demo: {meters} meters on {sites} sites of {companies} companies, {days} in {} s.\n\
         Files are in {}, live metrics at http://{}/metrics. Ctrl-C ends it.\n",
        length.as_secs(),
        folder.path().display(),
        folder.http(),
    )?;
    Ok(())
}
