//! The words of the command line, and what the longer ones do.

mod drive;
pub(super) mod explain;
pub(super) mod factors;
pub(super) mod facts;
mod history;
mod importing;
mod preview;
mod upgrade;

pub(super) mod reporting;
pub(super) mod restoring;

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use plumeline::config;
use plumeline::demo::Story;
use plumeline::report::figures::Threshold;

pub(super) use history::{backfill, restate_ledger};
pub(super) use upgrade::drive;

/// A real-time carbon ledger: readings in over MQTT and Kafka, footprints out to Parquet and Prometheus.
#[derive(Parser)]
#[command(name = "plumeline", version)]
pub(super) struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub(super) command: Command,
}

#[derive(Subcommand)]
pub(super) enum Command {
    /// Show the whole way of a reading, on servers inside this process; needs nothing else. Or tell how the footprint of a
    /// day came about, was reported, and was restated.
    Demo {
        /// `plant`: a simulated fleet, live. `group`: three sites on one day, step by step, with a report that is locked.
        #[arg(long, value_name = "STORY", default_value = "plant", value_parser = story)]
        story: Story,
        /// How long `plant` takes, such as 60s; a simulated day a minute.
        #[arg(long = "for", value_name = "DURATION", value_parser = duration)]
        length: Option<Duration>,
        /// Where everything is written; `plumeline-demo` in the current directory if left out.
        #[arg(long, value_name = "DIR")]
        dir: Option<PathBuf>,
    },
    /// Run a pipeline until SIGINT or SIGTERM.
    Run {
        /// The pipeline file.
        #[arg(value_name = "PIPELINE.toml")]
        pipeline: PathBuf,
    },
    /// Report every problem of a pipeline at once, each with file, line and remedy.
    Check {
        /// The pipeline file.
        #[arg(value_name = "PIPELINE.toml")]
        pipeline: PathBuf,
        /// Also try brokers, topics and the store, with exactly the operations `run` needs.
        #[arg(long)]
        connect: bool,
    },
    /// Print a `DuckDB` script with the ledger's live files and its views.
    Views {
        /// The pipeline file.
        #[arg(value_name = "PIPELINE.toml")]
        pipeline: PathBuf,
        /// The ledger as known at this instant (RFC 3339), not as known now.
        #[arg(long, value_name = "T")]
        as_of: Option<jiff::Timestamp>,
    },
    /// Compute the whole ledger again from its own readings and facts, and compare every balance at every cut;
    /// exits 1 and names the first difference, if there is one. A pipeline may run meanwhile.
    Verify {
        /// The pipeline file.
        #[arg(value_name = "PIPELINE.toml")]
        pipeline: PathBuf,
    },
    /// Print from what a number comes, down to readings and publications, with units at every step, and compute it again
    /// from them alone; exits 1 and says where it is another, if it is.
    Explain(explain::Words),
    /// Take in files of readings and activities that reach back as far as they like, and book them below `retain`,
    /// too: by the pipeline that runs on this machine, behind its live input, or else by this process. Given again,
    /// it goes on where it was.
    Backfill {
        /// The pipeline file.
        #[arg(value_name = "PIPELINE.toml")]
        pipeline: PathBuf,
        /// JSON lines, CSV (`*.csv`: `meter,observed_at,value[,unit]`), or Parquet (`*.parquet`, with such columns).
        #[arg(value_name = "FILES", required = true)]
        files: Vec<PathBuf>,
    },
    /// Restate what reaches below `retain`: asks the running pipeline to do it now, or does it if none runs.
    Restate {
        /// The pipeline file.
        #[arg(value_name = "PIPELINE.toml")]
        pipeline: PathBuf,
        /// Change nothing, ask nobody: tell what it would do, in kg of CO2e by company, scope and month.
        #[arg(long)]
        dry_run: bool,
    },
    /// Edits of the tables: what they would restate, and letting one through that waits.
    Facts {
        #[command(subcommand)]
        edit: FactsEdit,
    },
    /// Published factors that come with the program, with a citation a row: UK DESNZ, US EPA, eGRID, refrigerants.
    Factors {
        #[command(subcommand)]
        look: FactorsLook,
    },
    /// Lock what is reported of a company and a year, and tell what has changed since: when, why, whether it is an
    /// error or a new estimate, and whether it is significant. A pipeline may run meanwhile.
    Report {
        #[command(subcommand)]
        act: ReportAct,
    },
    /// Make the journal anew from the ledger's tables, where the state folder was lost, and prove it. What was acknowledged
    /// over MQTT after the newest commit is lost; Kafka and files go on from where that commit left them.
    Restore {
        /// The pipeline file.
        #[arg(value_name = "PIPELINE.toml")]
        pipeline: PathBuf,
    },
    /// Look into a journal; nothing is written to it, and a pipeline may run meanwhile.
    Journal {
        #[command(subcommand)]
        look: Look,
    },
}

#[derive(Subcommand)]
pub(super) enum FactorsLook {
    /// Tell what there is: a line a factor, and the potentials of gases.
    List {
        /// Only those in which all of it occurs, such as `diesel litre`, `hotel`, `2024` or `gwp`.
        #[arg(value_name = "TEXT")]
        text: Vec<String>,
    },
    /// Tell all that is known of a factor: each line with its citation, and what does not add up.
    Show {
        /// The factor, such as uk-electricity; or a gas, such as ch4.
        #[arg(value_name = "KEY")]
        key: String,
    },
    /// Print a table for `factors` under `[tables]`: `plumeline factors export uk-electricity > factors.csv`.
    Export {
        /// Sets, such as desnz-2025, and factors; everything if left out.
        #[arg(value_name = "SET|KEY")]
        names: Vec<String>,
    },
    /// Print a table for `factors` of product footprints that suppliers exchange (PACT 2.x and 3.x): a document with one,
    /// or many, also under `data`. What is left out or rounded is told on stderr; one mistake, and nothing is printed.
    ImportPact {
        /// JSON documents.
        #[arg(value_name = "FILE.json", required = true)]
        files: Vec<PathBuf>,
        /// The scope 3 category of the products.
        #[arg(long, value_name = "1-15", default_value_t = plumeline::factors::DEFAULT_CATEGORY,
              value_parser = clap::value_parser!(u8).range(1..=15))]
        category: u8,
        /// Import those, too, that their supplier has replaced.
        #[arg(long)]
        deprecated: bool,
    },
}

#[derive(Subcommand)]
pub(super) enum FactsEdit {
    /// Tell what the files of the tables say that is not applied yet, and what it would restate, in kg of CO2e by
    /// company, scope and month; nothing is changed, and a pipeline may run meanwhile.
    Diff {
        /// The pipeline file.
        #[arg(value_name = "PIPELINE.toml")]
        pipeline: PathBuf,
    },
    /// Apply an edit that waits because it touches more than `max_fact_change`: asks the running pipeline, or does it
    /// if none runs.
    Apply {
        /// The pipeline file.
        #[arg(value_name = "PIPELINE.toml")]
        pipeline: PathBuf,
    },
}

#[derive(Subcommand)]
pub(super) enum ReportAct {
    /// Keep the totals of a company and a year as of an instant, beside the tables. The same once more, with
    /// something else in it, is an amended report; the older lock stays.
    Lock(LockArgs),
    /// Show a lock beside what the ledger says now, by scope, and whether the change is significant; of years after
    /// the company's base year also beside that, and whether that is due for recalculation.
    Show {
        #[command(flatten)]
        about: AboutArgs,
        /// Print JSON, with every digit.
        #[arg(long)]
        json: bool,
    },
    /// Tell every change since a lock: when it was recorded, why, of what, whether it is an error, a new estimate,
    /// another structure or another method, and how much all of them are together.
    Diff {
        #[command(flatten)]
        about: AboutArgs,
        /// Print JSON, with every digit and gas.
        #[arg(long)]
        json: bool,
    },
    /// Tell all locks, a line each.
    List {
        /// The pipeline file.
        #[arg(value_name = "PIPELINE.toml")]
        pipeline: PathBuf,
    },
}

/// Which report.
#[derive(Args)]
pub(super) struct AboutArgs {
    /// The pipeline file.
    #[arg(value_name = "PIPELINE.toml")]
    pub(super) pipeline: PathBuf,
    /// The company: any node of the tree, with all below it.
    #[arg(long, value_name = "NODE")]
    pub(super) company: String,
    /// The civil year, in the pipeline's timezone.
    #[arg(long, value_name = "YEAR", required_unless_present = "from", conflicts_with_all = ["from", "to"])]
    pub(super) year: Option<i16>,
    /// For a fiscal year: its first day.
    #[arg(long, value_name = "DATE", requires = "to")]
    pub(super) from: Option<jiff::civil::Date>,
    /// The first day after it.
    #[arg(long, value_name = "DATE", requires = "from")]
    pub(super) to: Option<jiff::civil::Date>,
}

#[derive(Args)]
pub(super) struct LockArgs {
    #[command(flatten)]
    pub(super) about: AboutArgs,
    /// What was recorded until then (RFC 3339) is in it; the newest commit if left out.
    #[arg(long, value_name = "T")]
    pub(super) as_of: Option<jiff::Timestamp>,
    /// When the report was authorised for issue: what was known by then and is not in it is an error. The as-of if
    /// left out.
    #[arg(long, value_name = "T")]
    pub(super) signed_off: Option<jiff::Timestamp>,
    /// From which change on a total is significant, in per cent of it.
    #[arg(long, value_name = "PERCENT", default_value_t = Threshold::DEFAULT, value_parser = threshold)]
    pub(super) threshold: Threshold,
    /// It is the company's base year: there is one at a time, and another one that was it is superseded.
    #[arg(long)]
    pub(super) base_year: bool,
    /// Who locks it.
    #[arg(long, value_name = "WHO", default_value = "")]
    pub(super) by: String,
    /// What else there is to say.
    #[arg(long, value_name = "TEXT", default_value = "")]
    pub(super) note: String,
    /// Lock it although the year is not over, or something of it is not booked.
    #[arg(long)]
    pub(super) unfinished: bool,
    /// Lock nothing: tell what would be.
    #[arg(long)]
    pub(super) dry_run: bool,
}

#[derive(Subcommand)]
pub(super) enum Look {
    /// Tell what is in it.
    Info {
        /// The journal, such as state/journal.db.
        #[arg(value_name = "PATH")]
        path: PathBuf,
    },
    /// Read all of it; exits 1 and says what is wrong, if anything is.
    Verify {
        /// The journal, such as state/journal.db.
        #[arg(value_name = "PATH")]
        path: PathBuf,
    },
    /// Print every reading and activity in it as a JSON line.
    Export {
        /// The journal, such as state/journal.db.
        #[arg(value_name = "PATH")]
        path: PathBuf,
    },
}

fn story(text: &str) -> Result<Story, String> {
    match text {
        "plant" => Ok(Story::Plant),
        "group" => Ok(Story::Group),
        _ => Err("write plant or group".to_owned()),
    }
}

fn duration(text: &str) -> Result<Duration, String> {
    let ms = config::parse_duration(text).map_err(|error| error.to_string())?;
    u64::try_from(ms).map(Duration::from_millis).map_err(|error| error.to_string())
}

fn threshold(text: &str) -> Result<Threshold, String> {
    Threshold::parse(text).ok_or_else(|| {
        "write per cent above 0, up to 100, with three places at most, such as 5".into()
    })
}
