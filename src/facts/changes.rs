//! What a new file, or a message, does to the rows of one table.

use std::collections::BTreeSet;

use super::FactChange;
use super::row::{Book, Held, Origin, Place, TableRow, is_same_line};
use super::rules::{Words, at, contradicted, contradictions, gaps};
use super::timeline::shown_span;
use crate::config::{Problem, Problems, Severity};

/// The rules within each key of `book` that a file can be mended for.
pub(super) fn table_rules<R: TableRow>(
    book: &Book<R>,
    every_gap: bool,
    words: Words<'_>,
    problems: &mut Problems,
) {
    let is_of_file =
        |rows: &&Vec<Held<R>>| rows.iter().any(|held| held.place.origin == Origin::File);
    for rows in book.values().filter(is_of_file) {
        contradictions(rows, words, problems);
        gaps(rows, every_gap, words, problems);
    }
}

/// Whether withdrawing `row` takes `held` back: it is the same line over the same time.
pub(super) fn takes_back<R: TableRow>(row: &R, held: &R) -> bool {
    is_same_line(row, held) && row.validity() == held.validity()
}

/// The problem of a row that is gone from its file.
pub(super) fn lost<R: TableRow>(
    held: &Held<R>,
    now: &[Held<R>],
    file: &str,
    words: Words<'_>,
) -> Problem {
    let (row, key) = (&held.row, words.key::<R>(held.row.key()));
    let is_edited = |new: &&Held<R>| {
        let (old, other) = (row.validity(), new.row.validity());
        is_same_line(row, &new.row) && (old.from_ms == other.from_ms || old.to_ms == other.to_ms)
    };
    if let Some(new) = now.iter().find(is_edited) {
        let columns = row.differences(&new.row).join(", ");
        let message =
            format!("{key}, revision {}, was changed in place: {columns}", row.revision());
        let remedy = format!(
            "restore the row and add the corrected one with revision = {}, so that both stay known",
            row.revision().saturating_add(1)
        );
        return at(&new.place, Severity::Error, "revision", (message, remedy));
    }
    let line =
        held.place.line.map_or_else(String::new, |line| format!(" (it stood in line {line})"));
    let span = shown_span(row.validity(), words.timezone);
    let message = format!("{key}, revision {}, {span}, has disappeared{line}", row.revision());
    let remedy = "put it back; to take it back for all of its time, write withdrawn = true in it";
    Problem::error(file, message, remedy)
}

pub(super) fn two_homes(subject: &str, place: &Place, other: &Place) -> Problem {
    let message = format!("{subject} also comes from {}", other.file);
    let remedy = "keep it in one place: a file or one topic".to_owned();
    at(place, Severity::Error, "key", (message, remedy))
}

/// Puts a row down, or takes exactly it away.
pub(super) fn recall<R: TableRow>(book: &mut Book<R>, row: &R, withdrawn: bool, place: Place) {
    if !withdrawn {
        book.entry(row.key()).or_default().push(Held { row: row.clone(), place });
        return;
    }
    if let Some(rows) = book.get_mut(&row.key()) {
        rows.retain(|held| held.row != *row);
        if rows.is_empty() {
            book.remove(&row.key());
        }
    }
}

/// Takes one row of a source in, or back.
pub(super) fn one<R: TableRow>(
    book: &mut Book<R>,
    row: &R,
    withdrawn: bool,
    place: &Place,
    words: Words<'_>,
) -> Result<Vec<FactChange>, Problem> {
    let rows = book.entry(row.key()).or_default();
    if let Some(other) = rows.iter().find(|held| held.place.origin != place.origin) {
        return Err(two_homes(&words.key::<R>(row.key()), place, &other.place));
    }
    if withdrawn {
        let is_exactly_there = rows.iter().any(|held| held.row == *row);
        let goes = |held: &Held<R>| {
            if is_exactly_there { held.row == *row } else { takes_back(row, &held.row) }
        };
        let gone = rows.iter().filter(|held| goes(held));
        let changes =
            gone.map(|held| FactChange { fact: held.row.fact(), withdrawn: true }).collect();
        rows.retain(|held| !goes(held));
        if rows.is_empty() {
            book.remove(&row.key());
        }
        return Ok(changes);
    }
    if rows.iter().any(|held| held.row == *row) {
        return Ok(Vec::new());
    }
    let held = Held { row: row.clone(), place: place.clone() };
    if let Some(problem) = contradicted(rows, &held, words) {
        return Err(problem);
    }
    rows.push(held);
    Ok(vec![FactChange { fact: row.fact(), withdrawn: false }])
}

/// What is in `old` and not in `new` (`takes_back`), or the other way round.
pub(super) fn differences<R: TableRow>(
    old: &Book<R>,
    new: &Book<R>,
    takes_back: bool,
    changes: &mut Vec<FactChange>,
) {
    let (left, right) = if takes_back { (old, new) } else { (new, old) };
    for (key, rows) in left {
        let others: BTreeSet<&R> =
            right.get(key).into_iter().flatten().map(|held| &held.row).collect();
        let missing = rows.iter().filter(|held| !others.contains(&held.row));
        let change = |held: &Held<R>| FactChange { fact: held.row.fact(), withdrawn: takes_back };
        changes.extend(missing.map(change));
    }
}
