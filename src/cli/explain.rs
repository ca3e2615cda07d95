//! `plumeline explain`: a number's derivation, printed, and whether it holds.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use plumeline::bar::Bar;
use plumeline::chain;
use plumeline::explain::{Again, Ask, DEFAULT_CHILDREN, Wanted, explain, show};

use crate::{load, say};

/// Which number, and how it is told.
#[derive(Args)]
pub(crate) struct Words {
    /// The pipeline file.
    #[arg(value_name = "PIPELINE.toml")]
    pipeline: PathBuf,
    /// The node, at any level of the tree; its number is that of all below it.
    #[arg(long, value_name = "N")]
    node: String,
    /// The first instant: a date (its midnight in the pipeline's timezone), a civil time, or one with an offset.
    #[arg(long, value_name = "T")]
    from: String,
    /// The first instant after, written likewise.
    #[arg(long, value_name = "T")]
    to: String,
    /// One scope alone: 1, 2, 3, or 0 for outside of scopes.
    #[arg(long, value_name = "S", value_parser = clap::value_parser!(u8).range(0..=3))]
    scope: Option<u8>,
    /// One category of scope 3 alone; 0 for none.
    #[arg(long, value_name = "C", value_parser = clap::value_parser!(u8).range(0..=15))]
    category: Option<u8>,
    /// Which of scope 2's two answers: `location` or `market`, each with what belongs to both, or `any`: that alone.
    #[arg(long, value_name = "METHOD", default_value = "location", value_parser = wanted)]
    method: Wanted,
    /// One gas alone, such as ch4.
    #[arg(long, value_name = "G")]
    gas: Option<String>,
    /// The number as known at this instant, not as known now.
    #[arg(long, value_name = "T")]
    as_of: Option<String>,
    /// Children of a parent that are shown; the others are one line with their sum.
    #[arg(long, value_name = "K", default_value_t = DEFAULT_CHILDREN)]
    children: usize,
    /// Show all of them.
    #[arg(long)]
    all: bool,
    /// Print one JSON document.
    #[arg(long)]
    json: bool,
}

fn wanted(text: &str) -> Result<Wanted, String> {
    Wanted::parse(text).ok_or_else(|| "write location, market or any".to_owned())
}

/// Prints the derivation; 0 if the number is what its readings lead to.
pub(crate) fn explain_number(words: Words) -> Result<ExitCode, String> {
    let Words { pipeline, node, from, to, scope, category, method, .. } = words;
    let Words { gas, as_of, children, all, json, .. } = words;
    let pipeline = load(&pipeline)?;
    let ask = Ask { node, from, to, scope, category, method, gas, as_of, children, all };
    let mut bar = Bar::new("explaining");
    let explanation = explain(&pipeline, &ask, |done, total| bar.show(done, total));
    bar.end();
    let explanation = explanation.map_err(|error| chain(&error))?;
    let told = if json { explanation.json() } else { show(&explanation) };
    say(&mut std::io::stdout(), told.trim_end());
    match &explanation.again {
        Again::Same { .. } => Ok(ExitCode::SUCCESS),
        Again::Differs(_) => Ok(ExitCode::FAILURE),
        again @ Again::Impossible(_) => Err(again.to_string()),
    }
}
