//! The words of the command line, and what the longer ones do.

mod drive;
pub(super) mod explain;
pub(super) mod facts;
mod history;
mod importing;
mod preview;
mod upgrade;

pub(super) mod restoring;

use std::path::PathBuf;
use std::time::Duration;

use clap::{Parser, Subcommand};
use plumeline::config;

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
    /// Show the whole way of a reading, on servers inside this process; needs nothing else.
    Demo {
        /// How long it takes, such as 60s; a simulated day a minute.
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

fn duration(text: &str) -> Result<Duration, String> {
    let ms = config::parse_duration(text).map_err(|error| error.to_string())?;
    u64::try_from(ms).map(Duration::from_millis).map_err(|error| error.to_string())
}
