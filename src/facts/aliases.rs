//! Other names under which readings of a meter arrive: the column `aliases` of `meters.csv`.
//!
//! ```text
//! meter,...,aliases
//! m-1,...,m-100;m-101     a device that was renamed in the field, twice: the ledger goes on under m-1
//! ```
//!
//! A name says whose reading something is, whenever it was: so the names of all rows of a meter count, whatever their
//! validity and revision. They are no part of the rows: two rows that differ in them alone are one.
//!
//! | rule | without it |
//! |---|---|
//! | a name is no meter of the table, nor of a topic | whose reading it is would be open |
//! | a name is that of one meter | the same |
//!
//! Only the table's file has the column: a message of a topic says nothing about other meters, and the rules are about
//! all of them.

use std::borrow::Cow;
use std::collections::BTreeMap;

use plumeline_connectors::decode::fact::NAME_BYTES_MAX;
use plumeline_pipelines::model::{Id, MeterRow, Names};

use super::file::TableFile;
use super::row::{Book, Origin, Place, TableRow};
use super::rules::{Words, at};
use crate::config::{Problem, Problems, Severity};

/// The column's name.
pub(super) const COLUMN: &str = "aliases";
/// Stands between two names in a cell.
const SEPARATOR: char = ';';

/// Other names of meters, by name.
pub(super) type Aliases = BTreeMap<Id, Alias>;

/// Another name of a meter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Alias {
    /// The meter.
    pub(super) meter: Id,
    /// Where it says so.
    pub(super) place: Place,
}

/// A name that is one of a meter from now on, or is one no more.
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct AliasChange {
    /// The meter.
    pub meter: Id,
    /// The name.
    pub alias: Id,
    /// Whether it is one no more.
    pub withdrawn: bool,
}

/// The names in a cell of the row of `meter`.
///
/// # Errors
/// What is wrong with it, and what to write instead.
pub(super) fn names_in(cell: &str, meter: Id, names: &Names) -> Result<Vec<Id>, (String, String)> {
    let mut found = Vec::new();
    for name in cell.split(SEPARATOR).map(str::trim) {
        let wrong = |what: &str, remedy: &str| (format!("`{cell}` {what}"), remedy.to_owned());
        if name.is_empty() {
            let remedy = "write names with one ; between them, such as m-100;m-101";
            return Err(wrong("has an empty name in it", remedy));
        }
        if name.len() > NAME_BYTES_MAX || name.chars().any(char::is_control) {
            let what =
                format!("has a name in it of more than {NAME_BYTES_MAX} bytes, or that is no text");
            return Err(wrong(&what, "write the name as the readings have it"));
        }
        found.push(names.intern(name));
    }
    if found.contains(&meter) {
        let (message, name) = ("is the meter itself", names.name(meter));
        let remedy = "remove it: aliases are the other names its readings come under".to_owned();
        return Err((format!("`{name}` {message}"), remedy));
    }
    Ok(found)
}

/// The names that `file` gives the meters of `meters`, which holds its rows; those that cannot be are problems.
pub(super) fn of_file(
    file: &TableFile,
    meters: &Book<MeterRow>,
    words: Words<'_>,
    problems: &mut Problems,
) -> Aliases {
    let mut aliases = Aliases::new();
    for read in file.rows.iter().filter(|read| !read.aliases.is_empty()) {
        let Some(row) = MeterRow::of(&read.change.fact) else { continue };
        // A row that is taken back takes its names along.
        let holds = |held: &[_]| held.iter().any(|held: &super::Held<MeterRow>| held.row == *row);
        if read.change.withdrawn || !meters.get(&row.meter).is_some_and(|held| holds(held)) {
            continue;
        }
        let file = std::sync::Arc::clone(&file.file);
        let place = Place { file, line: Some(read.line), origin: Origin::File };
        for &alias in &read.aliases {
            let new = Alias { meter: row.meter, place: place.clone() };
            match aliases.get(&alias) {
                Some(other) if other.meter != row.meter => {
                    problems.push(two_meters(alias, &new, other, words));
                }
                Some(_) => {}
                None => {
                    if let Some(other) = meters.get(&alias).and_then(|rows| rows.first()) {
                        problems.push(is_a_meter(alias, &new, &other.place, words));
                    }
                    aliases.insert(alias, new);
                }
            }
        }
    }
    aliases
}

fn two_meters(alias: Id, new: &Alias, other: &Alias, words: Words<'_>) -> Problem {
    let [meter, first] = [new, other].map(|alias| words.key::<MeterRow>(alias.meter));
    let (name, stands) = (words.names.name(alias), stands(&other.place, &new.place));
    let message = format!("{meter} names \"{name}\", which is an alias of {first} ({stands})");
    let remedy = "leave it with the one whose readings come under that name".to_owned();
    at(&new.place, Severity::Error, COLUMN, (message, remedy))
}

fn is_a_meter(alias: Id, new: &Alias, row: &Place, words: Words<'_>) -> Problem {
    let (meter, name) = (words.key::<MeterRow>(new.meter), words.names.name(alias));
    let stands = stands(row, &new.place);
    let message = format!("{meter} names \"{name}\", which is a meter of its own ({stands})");
    let remedy = format!(
        "remove it here; or take \"{name}\" back, with withdrawn = true in its rows: its readings are those of {meter} \
         then"
    );
    at(&new.place, Severity::Error, COLUMN, (message, remedy))
}

/// Where something stands, for whoever looks at `from`.
fn stands<'p>(place: &'p Place, from: &Place) -> Cow<'p, str> {
    match place.line {
        Some(line) if place.file == from.file => format!("line {line}").into(),
        Some(line) => format!("{}:{line}", place.file).into(),
        None => (&*place.file).into(),
    }
}

/// The problem of a row that comes over a topic for a name that is another's.
pub(super) fn is_taken(row: &MeterRow, place: &Place, alias: &Alias, words: Words<'_>) -> Problem {
    let [name, meter] = [row.meter, alias.meter].map(|id| words.key::<MeterRow>(id));
    let message = format!("{name} is an alias of {meter} ({})", stands(&alias.place, place));
    let remedy = "remove the alias there, or send rows of that meter".to_owned();
    at(place, Severity::Error, MeterRow::KEY, (message, remedy))
}

/// Names that are in `old` and not in `new`, and the other way round.
pub(super) fn differences(old: &Aliases, new: &Aliases) -> Vec<AliasChange> {
    let missing = |from: &Aliases, other: &Aliases, withdrawn| {
        let is_there =
            |alias: &Id, meter| other.get(alias).is_some_and(|other| other.meter == meter);
        let missing = from.iter().filter(|(alias, at)| !is_there(alias, at.meter));
        let change =
            |(alias, at): (&Id, &Alias)| AliasChange { meter: at.meter, alias: *alias, withdrawn };
        missing.map(change).collect::<Vec<_>>()
    };
    let mut changes = missing(old, new, true);
    changes.extend(missing(new, old, false));
    changes
}

#[cfg(test)]
#[path = "aliases_tests.rs"]
mod tests;
