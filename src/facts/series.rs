//! What a factor's series asks of its rows, and what its published numbers ask of the pipeline.
//!
//! | rule | without it |
//! |---|---|
//! | a published value of a locked series changes as an error alone | a report would change with every revision of its source |
//! | what stands in for a factor is there, and the chain ends | hours without a version would emit nothing |
//! | a printed total is that of its gases, but for rounding | one of them was mistyped |
//! | the set a factor was published with is each of the pipeline's, or the difference is told | nobody would see that sums are of one set and sources of another |
//!
//! Sources: DESNZ 2025, "What's new": published factors are not revised, unless an error is found, and then it is
//! sign-posted; domain rules on GWP sets (GHG Protocol "Global Warming Potential Values", 2024).

use std::collections::BTreeSet;

use plumeline_connectors::decode::fact::DEFAULT_REVISION;
use plumeline_pipelines::model::recipe::{is_printed_total, lines};
use plumeline_pipelines::model::{
    Basis, Decimal, FactorChange, FactorRow, Gas, GwpSet, Id, SeriesKind, SeriesRow, Total,
};
use plumeline_pipelines::stages::rates::library::FALLBACKS_MAX;

use super::joins::Books;
use super::row::{Held, Origin, Place};
use super::rules::{Words, at};
use super::timeline::{overlap, shown_span};
use crate::config::{Problem, Problems, Severity};

/// By how much a printed total may differ from its gases before it is questioned, in 1/10,000 of it. Published ones
/// differ by up to 0.30 per cent, by rounding.
const RESIDUAL_MAX: i128 = 100;

/// Checks the rows of files against their series; `gwp` counts, and `also_gwp` are shown, too.
pub(super) fn series(
    books: &Books,
    (words, gwp, also_gwp): (Words<'_>, GwpSet, &[GwpSet]),
    problems: &mut Problems,
) {
    for rows in books.factors.values() {
        for held in rows.iter().filter(|held| held.place.origin == Origin::File) {
            problems.extend(is_locked(held, books, words));
        }
        totals(rows, words, problems);
    }
    for held in books.series.values().flatten() {
        problems.extend(stand_in(held, books, words));
    }
    other_sets(books, gwp, also_gwp, problems);
}

/// The error of a row that changes what a locked series has published, and does not say that it was an error.
pub(super) fn is_locked(
    held: &Held<FactorRow>,
    books: &Books,
    words: Words<'_>,
) -> Option<Problem> {
    let row = &held.row;
    if row.change == FactorChange::Error {
        return None;
    }
    let part = |row: &FactorRow| (row.scope, row.category, row.method, row.gas);
    let value = |row: &FactorRow| (row.kg_per_unit, row.unit, row.published_gwp);
    let locked = books.series.get(&row.factor)?.iter().map(|held| &held.row);
    let locked: Vec<_> = locked.filter(|series| series.kind == SeriesKind::Locked).collect();
    let earlier = books.factors.get(&row.factor)?.iter().find(|other| {
        let is_replaced = other.row.revision < row.revision && part(&other.row) == part(row);
        // A later set takes over from where it begins: it says nothing of the years before.
        let is_same_time = other.row.validity.from_ms == row.validity.from_ms;
        let both = overlap(other.row.validity, row.validity);
        let is_held = both.is_some_and(|both| {
            locked.iter().any(|series| overlap(series.validity, both).is_some())
        });
        is_replaced && is_same_time && is_held && value(&other.row) != value(row)
    })?;
    let span = shown_span(row.validity, words.timezone);
    let (factor, gas) = (words.key::<FactorRow>(row.factor), row.gas.name());
    let message = format!(
        "{factor} is of a locked series, which has published {} kg {gas} per {} {span}",
        earlier.row.kg_per_unit, earlier.row.unit,
    );
    let remedy =
        "write `error` in `change` if that was published in error; otherwise take the row out"
            .to_owned();
    Some(at(&held.place, Severity::Error, "kg_per_unit", (message, remedy)))
}

/// A row of a topic as it counts: one of a rolling series that names no revision follows on the newest that holds at
/// its time. *A publisher who says every half-hour what it knows need not count how often it said so.*
pub(super) fn numbered(row: &FactorRow, withdrawn: bool, books: &Books) -> FactorRow {
    if !is_to_be_numbered(row, books) {
        return row.clone();
    }
    let part = |row: &FactorRow| (row.scope, row.category, row.method, row.gas);
    let rows = books.factors.get(&row.factor).into_iter().flatten().map(|held| &held.row);
    let meets: Vec<&FactorRow> =
        rows.filter(|other| overlap(other.validity, row.validity).is_some()).collect();
    let of_line = meets.iter().filter(|other| part(other) == part(row));
    let of_line = of_line.max_by_key(|other| other.revision);
    let newest = meets.iter().map(|other| other.revision).max();
    let revision = match (of_line, newest) {
        // What is said again, or taken back, is what was said.
        (Some(known), _) if withdrawn || is_same(known, row) => known.revision,
        (Some(known), Some(newest)) if known.revision == newest => newest + 1,
        (_, newest) => newest.unwrap_or(DEFAULT_REVISION),
    };
    FactorRow { revision, ..row.clone() }
}

/// Whether `row` is of a rolling series and names no revision.
pub(super) fn is_to_be_numbered(row: &FactorRow, books: &Books) -> bool {
    let is_rolling = books.series.get(&row.factor).is_some_and(|rows| {
        let mut rows =
            rows.iter().filter(|held| overlap(held.row.validity, row.validity).is_some());
        rows.any(|held| held.row.kind == SeriesKind::Rolling)
    });
    is_rolling && row.revision == DEFAULT_REVISION
}

/// Whether both say the same but for their revision.
pub(super) fn is_same(known: &FactorRow, row: &FactorRow) -> bool {
    *known == FactorRow { revision: known.revision, ..row.clone() }
}

/// What is wrong with the factor that stands in for another.
fn stand_in(held: &Held<SeriesRow>, books: &Books, words: Words<'_>) -> Option<Problem> {
    if held.place.origin != Origin::File || held.row.fallback.is_none() {
        return None;
    }
    let (factor, first) = (held.row.factor, held.row.fallback);
    let name = |id: Id| words.names.name(id);
    if !books.factors.contains_key(&first) && !books.series.contains_key(&first) {
        let message = format!(
            "{} falls back on \"{}\", which is no factor yet",
            words.key::<SeriesRow>(factor),
            name(first)
        );
        let remedy = "add its rows, or correct the name: hours without a version emit nothing";
        return Some(at(&held.place, Severity::Warning, "fallback", (message, remedy.to_owned())));
    }
    let (mut seen, mut open) = (BTreeSet::from([factor]), vec![(first, 1)]);
    while let Some((next, depth)) = open.pop() {
        if !seen.insert(next) || depth > FALLBACKS_MAX {
            let message = format!(
                "what stands in for {} comes back to \"{}\", or is more than {FALLBACKS_MAX} factors long",
                words.key::<SeriesRow>(factor),
                name(next)
            );
            let remedy = "let it end: the coarsest factor has no fallback".to_owned();
            return Some(at(&held.place, Severity::Error, "fallback", (message, remedy)));
        }
        let rows = books.series.get(&next).into_iter().flatten();
        let behind: BTreeSet<Id> = rows.map(|held| held.row.fallback).collect();
        open.extend(behind.into_iter().filter(|id| !id.is_none()).map(|id| (id, depth + 1)));
    }
    None
}

/// Printed totals that are not the sum of their gases.
fn totals(rows: &[Held<FactorRow>], words: Words<'_>, problems: &mut Problems) {
    for held in rows.iter().filter(|held| held.place.origin == Origin::File) {
        let (row, Some(set)) = (&held.row, held.row.published_gwp) else { continue };
        if row.gas != Gas::Co2e {
            continue;
        }
        let version = version_of(row, rows);
        if !is_printed_total(row, &version) {
            continue;
        }
        let section = |row: &FactorRow| (row.scope, row.category, row.method);
        let parts = version.into_iter().filter(|other| section(other) == section(row));
        let parts: Vec<&FactorRow> = parts.collect();
        let sum = lines(&parts, &Basis::of(row.unit), set, Total::Split);
        let sum: i128 = sum.iter().map(|(_, rate)| rate.co2e.get()).sum();
        let Ok(printed) = row.unit.rate(row.kg_per_unit, row.unit, (1, 1)) else { continue };
        let residual = printed - sum;
        if residual.abs() * 10_000 > printed.abs() * RESIDUAL_MAX {
            let message = format!(
                "{} prints a total of {} kg CO2e per {}, and its gases come to {}",
                words.key::<FactorRow>(row.factor),
                row.kg_per_unit,
                row.unit,
                Decimal::new(sum, 12),
            );
            let remedy = "check the gases, and the set they were published with".to_owned();
            problems.push(at(&held.place, Severity::Warning, "kg_per_unit", (message, remedy)));
        }
    }
}

/// Tells once a set by how much what was published with it differs in each of the pipeline's; and which factors have no
/// mass, so that they stay in their own set.
fn other_sets(books: &Books, gwp: GwpSet, also_gwp: &[GwpSet], problems: &mut Problems) {
    for theirs in GwpSet::ALL {
        let published = published_in(books, theirs);
        let Some((place, gases)) = published.first.zip(Some(&published.gases)) else { continue };
        for ours in
            std::iter::once(gwp).chain(also_gwp.iter().copied()).filter(|set| *set != theirs)
        {
            let change = |gas: &Gas| {
                let (here, there) = (gas.gwp_tenths(ours), gas.gwp_tenths(theirs));
                ((here - there) * 10_000 / there.max(1), *gas)
            };
            let widest = gases.iter().map(change).rev().max_by_key(|(change, _)| change.abs());
            let (widest, gas) = widest.unwrap_or((0, Gas::Co2));
            let (counted, remedy) = if ours == gwp {
                let all = std::iter::once(theirs).chain(std::iter::once(gwp));
                let others = also_gwp.iter().copied().filter(|set| *set != theirs);
                let all: Vec<_> =
                    all.chain(others).map(|set| format!("\"{}\"", set.name())).collect();
                let written = if also_gwp.is_empty() {
                    all[0].clone()
                } else {
                    format!("[{}]", all.join(", "))
                };
                ("count", format!("write gwp = {written} to count as they were published"))
            } else {
                let listed = "take it out of `gwp` where nobody reports by it".to_owned();
                ("are also told", listed)
            };
            let (ours, theirs) = (ours.name(), theirs.name());
            let message = format!(
                "{} factors were published in {theirs} and {counted} in {ours}: {} differs most, by {} per cent; {} \
                 have no split, so that their CO2e stays in {theirs}",
                published.factors.len(),
                gas.name(),
                Decimal::new(widest.into(), 2),
                published.without_mass.len(),
            );
            problems.push(at(place, Severity::Warning, "published_gwp", (message, remedy)));
        }
    }
}

/// What rows of files were published with a set.
#[derive(Default)]
struct Published<'a> {
    first: Option<&'a Place>,
    factors: BTreeSet<Id>,
    /// Those of which nobody knows the mass of any gas.
    without_mass: BTreeSet<Id>,
    gases: BTreeSet<Gas>,
}

fn published_in(books: &Books, set: GwpSet) -> Published<'_> {
    let mut published = Published::default();
    for rows in books.factors.values() {
        for held in rows.iter().filter(|held| held.place.origin == Origin::File) {
            let row = &held.row;
            if row.published_gwp != Some(set) {
                continue;
            }
            published.factors.insert(row.factor);
            published.first.get_or_insert(&held.place);
            if row.gas != Gas::Co2e {
                published.gases.insert(row.gas);
            } else if !is_printed_total(row, &version_of(row, rows)) {
                published.without_mass.insert(row.factor);
            }
        }
    }
    published
}

/// The rows of the version that `row` is of.
fn version_of<'a>(row: &FactorRow, rows: &'a [Held<FactorRow>]) -> Vec<&'a FactorRow> {
    let version = (row.revision, row.validity);
    let rows = rows.iter().map(|held| &held.row);
    rows.filter(|other| (other.revision, other.validity) == version).collect()
}

#[cfg(test)]
#[path = "series_tests.rs"]
mod tests;
