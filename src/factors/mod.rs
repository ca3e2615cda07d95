//! Published factors that come with the program: `plumeline factors list|show|export`; and those of suppliers
//! (`import-pact`, [`pact`]).
//!
//! ```text
//! desnz-2025.csv ─┐                   ┌─► list    what there is, one line a factor
//! egrid-2019.csv ─┼─► sets() ─► rows ─┼─► show    one factor: each line, its citation, what does not add up
//! ...            ─┘   as text         └─► export  the lines as they are: a pipeline's `factors` table
//! ```
//!
//! 1. **A file is a publication of a year**, in the format of a pipeline's own table, so that an export is the
//!    lines as they are and nobody has to trust a conversion.
//! 2. **A number is the printed one.** DESNZ prints "kg CO2e of CH4": the row says so (`published_gwp`), and the
//!    program divides. EPA prints grams and pounds: the point is shifted, and a pound is 0.45359237 kg exactly.
//!    Without this, nobody finds a row in the publication again.
//! 3. **A printed total stands beside its split**, as a row of gas `co2e`: a part of the splits does not add up,
//!    each number being rounded by itself, and which of the two counts is for the pipeline to say.
//! 4. **One key for all years**, the year's set as `revision`, valid from the reporting year it is for until the
//!    next set's: a reading takes the factor of its own year. The newest one goes on until there is another, else a
//!    live pipeline would stop emitting at New Year.
//! 5. **Every row has its citation**: publisher, publication, table and entry, separated by `: `. What a factor is
//!    called in a list is the end of it, and a test finds each row in the publication by it.
//! 6. **A blend is its name.** What it is made of stands in `model::blend` alone, for these and for a pipeline's own rows.
//!
//! What is not there, and why:
//!
//! * Flights "with RF" have their printed total alone. Their "kg CO2e of CO2" holds an uplift of 1.7 for effects at
//!   altitude, so it is no mass of CO2.
//! * A residual mix: none of the publications prints one, so a market-based figure needs a factor of one's own.
//! * Non-baseload rates of eGRID: they are for avoided emissions, never for an inventory.
//! * Miles (a reading in `mi` converts), cars by market segment (there are sizes), well-to-tank of transport, freight
//!   by the kilometre of a whole vehicle on somebody else's account.

mod exact;
mod export;
mod list;
mod pact;
mod row;
mod show;

use std::sync::OnceLock;

use crate::config::nearest;

pub use exact::{Split, add, in_set, splits};
pub use export::export;
pub use list::list;
pub use pact::{DEFAULT_CATEGORY, DOCUMENT_BYTES_MAX, Imported, import_pact};
pub use row::{COLUMNS, Row, RowError};
pub use show::show;

/// Factors of one publication.
#[derive(Debug)]
pub struct Set {
    /// Its name on the command line.
    pub name: &'static str,
    /// What the publication is called.
    pub title: &'static str,
    /// Who published it.
    pub publisher: &'static str,
    /// Under which terms, with the sentence they ask for.
    pub licence: &'static str,
    csv: &'static str,
    rows: OnceLock<Vec<Row>>,
}

const OGL: &str = "Contains public sector information licensed under the Open Government Licence v3.0. \
                   Crown copyright.";
const PUBLIC_DOMAIN: &str = "A work of the US federal government: public domain.";
const DESNZ: &str = "UK Department for Energy Security and Net Zero";
const EPA: &str = "US Environmental Protection Agency";

macro_rules! set {
    ($name:literal, $publisher:ident, $licence:ident, $title:literal) => {
        Set {
            name: $name,
            title: $title,
            publisher: $publisher,
            licence: $licence,
            csv: include_str!(concat!($name, ".csv")),
            rows: OnceLock::new(),
        }
    };
}

static SETS: [Set; 5] = [
    set!("desnz-2024", DESNZ, OGL, "GHG Conversion Factors for Company Reporting 2024, v1.1"),
    set!("desnz-2025", DESNZ, OGL, "GHG Conversion Factors for Company Reporting 2025, v1"),
    set!("epa-hub-2021", EPA, PUBLIC_DOMAIN, "Emission Factors Hub, September 2021: fuels"),
    set!("egrid-2019", EPA, PUBLIC_DOMAIN, "Emission Factors Hub, September 2021: eGRID2019"),
    set!("refrigerants", EPA, PUBLIC_DOMAIN, "Emission Factors Hub, September 2021: refrigerants"),
];

/// All sets, older years of a publication before newer ones.
#[must_use]
pub fn sets() -> &'static [Set] {
    &SETS
}

impl Set {
    /// Its rows, read when they are first asked for.
    ///
    /// # Panics
    /// Never: a test reads every row of every set.
    pub fn rows(&self) -> &[Row] {
        self.rows.get_or_init(|| row::read(self.csv).expect("a test reads every row of every set"))
    }

    /// Its rows of the factor `key`.
    fn rows_of(&self, key: &str) -> impl Iterator<Item = &Row> {
        self.rows().iter().filter(move |row| row.factor == key)
    }
}

/// Names of all factors, each once, in the order of the sets.
fn keys() -> Vec<&'static str> {
    let mut seen = std::collections::BTreeSet::new();
    let all = sets().iter().flat_map(Set::rows).map(|row| row.factor.as_str());
    all.filter(|key| seen.insert(*key)).collect()
}

/// What to write instead of `name`, which is none of `known`.
fn remedy(name: &str, known: impl Iterator<Item = &'static str>) -> String {
    match nearest(name, known) {
        Some(meant) => format!("did you mean `{meant}`?"),
        None => "`plumeline factors list` tells what there is".to_owned(),
    }
}

#[cfg(test)]
#[path = "published_tests.rs"]
mod published;
#[cfg(test)]
mod tests;
