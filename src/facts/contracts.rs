//! What contracts and certificates ask of one another.
//!
//! | rule | without it |
//! |---|---|
//! | a certificate is of its contract's zone | energy would be claimed where it cannot be delivered |
//! | contracts for load under one grid's factor name one zone | load would be of two markets at once |
//! | a certificate is told once a revision | it would be used twice |
//! | shares of a plant add up to at most all of it | two contracts would claim the same energy |
//! | a contract proves each quality criterion | it covers nothing, and somebody ought to know |
//! | a certificate lies within an hour, month or year, as its contract is matched | no window can be told of it: it does not count |
//! | the period divides an hour | hours could not be matched |
//!
//! Source: GHG Protocol Scope 2 Guidance (2015), chapter 7, and its revision (consultation of 2025): a claim is made
//! once, within its market, and by the hour; today's rule (2015) is the year.

use std::collections::{BTreeMap, BTreeSet};

use plumeline_connectors::decode::fact::Table;
use plumeline_pipelines::model::time::HOUR_MS;
use plumeline_pipelines::model::{
    Calendar, CertificateRow, ContractRow, Criterion, Decimal, FactorRow, Id, Matching, Method,
};

use super::joins::Books;
use super::row::{Held, Origin};
use super::rules::{Words, at};
use super::timeline::overlap;
use crate::config::{Problem, Problems, Severity};

/// Checks the rows of files.
pub(super) fn contracts(
    books: &Books,
    (words, period_ms, calendar): (Words<'_>, i64, &Calendar),
    come_later: &BTreeSet<Table>,
    problems: &mut Problems,
) {
    let is_of_file = |origin: Origin| origin == Origin::File;
    let rows = books.contracts.values().flatten().filter(|held| is_of_file(held.place.origin));
    let mut is_told = HOUR_MS % period_ms == 0;
    for held in rows {
        if held.row.matching == Matching::Hourly1 && !std::mem::replace(&mut is_told, true) {
            let message = "an hour cannot be cut into periods of this pipeline".to_owned();
            let remedy =
                "write a `period` that divides an hour, such as 15m or 1h, or annual-1".to_owned();
            problems.push(at(&held.place, Severity::Error, "matching", (message, remedy)));
        }
        problems.extend(shares(held, books, words));
        problems.extend(unproven(held, words));
        problems.extend(without_market(held, books, come_later, words));
        problems.extend(of_two_zones(held, books, words));
    }
    let mut long: (usize, Option<&Held<CertificateRow>>) = (0, None);
    let rows = books.certificates.values().flatten();
    for held in rows.filter(|held| is_of_file(held.place.origin)) {
        let unknown = unknown(held, books, words);
        problems.extend(unknown.filter(|_| !come_later.contains(&Table::Contracts)));
        problems.extend(misplaced(held, books, words));
        problems.extend(twice(held, books, words));
        if is_long(&held.row, books, calendar) {
            long = (long.0 + 1, long.1.or(Some(held)));
        }
    }
    if let (count, Some(first)) = long {
        let message = format!(
            "{} and {} others are of more than the hour UTC, month or year in which their contract matches: they cover \
             nothing",
            words.key::<CertificateRow>(first.row.certificate),
            count - 1,
        );
        let remedy = "ask the registry for granular certificates, or write `matching` = annual-1 in the contract";
        problems.push(at(
            &first.place,
            Severity::Warning,
            "valid_to",
            (message, remedy.to_owned()),
        ));
    }
}

/// Whether a certificate lies within no window in which its contract matches, as far as that is known.
fn is_long(row: &CertificateRow, books: &Books, calendar: &Calendar) -> bool {
    let (from_ms, to_ms) = (row.validity.from_ms, row.validity.to_ms);
    let hour_ms = from_ms.div_euclid(HOUR_MS) * HOUR_MS;
    let contracts = books.contracts.get(&row.contract).into_iter().flatten();
    let holding = contracts.map(|held| &held.row).filter(|held| held.validity.holds(from_ms));
    let Some(newest) = holding.max_by_key(|held| held.revision) else { return false };
    let window = newest.matching.window().map(|window| calendar.around(window, from_ms));
    let end_ms = window.map_or(Some(hour_ms + HOUR_MS), |window| Some(window?.1));
    end_ms.is_none_or(|end_ms| end_ms < to_ms)
}

/// The error of a contract whose share of a plant is more than others leave of it.
pub(super) fn shares(held: &Held<ContractRow>, books: &Books, words: Words<'_>) -> Option<Problem> {
    let (output, share) = held.row.supply.output()?;
    // The newest rows of others that hold together with it, each by its largest share.
    let mut taken: BTreeMap<Id, &ContractRow> = BTreeMap::new();
    for other in books.contracts.values().flatten().map(|held| &held.row) {
        let is_other = other.contract != held.row.contract;
        let meets = overlap(other.validity, held.row.validity).is_some();
        if is_other && meets {
            let newest = taken.entry(other.contract).or_insert(other);
            if newest.revision < other.revision {
                *newest = other;
            }
        }
    }
    let of_plant = taken.values().filter_map(|other| other.supply.output());
    let others = of_plant.filter(|(factor, _)| *factor == output).map(|(_, share)| share);
    let scale = |share: Decimal| share.mantissa() * 10_i128.pow(30 - u32::from(share.scale()));
    let others: i128 = others.map(scale).sum();
    if others + scale(share) <= scale(Decimal::ONE) {
        return None;
    }
    let message = format!(
        "{} takes {share} of \"{}\", of which other contracts take {}",
        words.key::<ContractRow>(held.row.contract),
        words.names.name(output),
        Decimal::new(others, 30),
    );
    let remedy = "let the shares add up to at most 1: energy is claimed once".to_owned();
    Some(at(&held.place, Severity::Error, "share", (message, remedy)))
}

/// What a contract fails to prove.
fn unproven(held: &Held<ContractRow>, words: Words<'_>) -> Option<Problem> {
    let evidence = Criterion::ALL.into_iter().zip(held.row.evidence);
    let open: Vec<&str> = evidence
        .filter(|(_, proof)| proof.is_none())
        .map(|(criterion, _)| criterion.name())
        .collect();
    let first = open.first()?;
    let contract = words.key::<ContractRow>(held.row.contract);
    let message = format!("{contract} does not prove {}: it covers nothing", open.join(", "));
    let remedy = "name the evidence of each quality criterion there".to_owned();
    Some(at(&held.place, Severity::Warning, first, (message, remedy)))
}

/// Factors that tell nothing market-based: what is covered would be taken off nothing, or told at nothing.
fn without_market(
    held: &Held<ContractRow>,
    books: &Books,
    come_later: &BTreeSet<Table>,
    words: Words<'_>,
) -> Option<Problem> {
    if come_later.contains(&Table::Factors) {
        return None;
    }
    let is_told = |factor: Id| {
        let rows = books.factors.get(&factor)?;
        Some(rows.iter().any(|held| held.row.method == Method::Market))
    };
    let factors = [("covers", held.row.covers), ("factor", held.row.factor)];
    let (column, factor) =
        factors.into_iter().find(|(_, factor)| is_told(*factor) == Some(false))?;
    let message = format!(
        "{} has no line of method market, so that {} moves nothing of it",
        words.key::<FactorRow>(factor),
        words.key::<ContractRow>(held.row.contract),
    );
    let remedy = "add its market-based lines: of a grid, the residual mix, or else its average";
    Some(at(&held.place, Severity::Error, column, (message, remedy.to_owned())))
}

/// A contract that delivers to another zone than one before it, for load under the same grid's factor. *Load is where its
/// grid is: it can be in one market only.*
fn of_two_zones(held: &Held<ContractRow>, books: &Books, words: Words<'_>) -> Option<Problem> {
    let others = books.contracts.values().flatten().filter(|other| {
        let is_earlier =
            (other.place.origin, other.place.line) < (held.place.origin, held.place.line);
        is_earlier
            && other.row.contract != held.row.contract
            && other.row.covers == held.row.covers
            && overlap(other.row.validity, held.row.validity).is_some()
    });
    let mut others = others.filter(|other| other.row.zone != held.row.zone);
    let other = others.next()?;
    let [zone, other_zone] = [held.row.zone, other.row.zone].map(|zone| words.names.name(zone));
    let message = format!(
        "{} delivers to \"{zone}\" and {} to \"{other_zone}\", both for load under {}",
        words.key::<ContractRow>(held.row.contract),
        words.key::<ContractRow>(other.row.contract),
        words.key::<FactorRow>(held.row.covers),
    );
    let remedy = "give each zone's grid a factor of its own, or write one zone in both".to_owned();
    Some(at(&held.place, Severity::Warning, "zone", (message, remedy)))
}

/// A certificate of a contract that is in no table.
fn unknown(held: &Held<CertificateRow>, books: &Books, words: Words<'_>) -> Option<Problem> {
    if books.contracts.contains_key(&held.row.contract) {
        return None;
    }
    let (certificate, contract) =
        (words.key::<CertificateRow>(held.row.certificate), words.names.name(held.row.contract));
    let message = format!("{certificate} names contract \"{contract}\", which is in no table");
    let remedy = "add a row for it to the table of contracts, or correct the name".to_owned();
    Some(at(&held.place, Severity::Error, "contract", (message, remedy)))
}

/// The error of a certificate that is of another zone than its contract.
pub(super) fn misplaced(
    held: &Held<CertificateRow>,
    books: &Books,
    words: Words<'_>,
) -> Option<Problem> {
    let rows = books.contracts.get(&held.row.contract)?;
    let mut holding =
        rows.iter().filter(|other| overlap(other.row.validity, held.row.validity).is_some());
    let first = holding.clone().next()?;
    if holding.any(|other| other.row.zone == held.row.zone) {
        return None;
    }
    let message = format!(
        "{} is of zone \"{}\", and {} delivers to \"{}\"",
        words.key::<CertificateRow>(held.row.certificate),
        words.names.name(held.row.zone),
        words.key::<ContractRow>(held.row.contract),
        words.names.name(first.row.zone),
    );
    let remedy = "retire it for a contract of its own zone, or correct one of them".to_owned();
    Some(at(&held.place, Severity::Error, "zone", (message, remedy)))
}

/// The error of a certificate that another row of the same revision tells otherwise.
pub(super) fn twice(
    held: &Held<CertificateRow>,
    books: &Books,
    words: Words<'_>,
) -> Option<Problem> {
    let rows = books.certificates.get(&held.row.certificate)?;
    let other = rows
        .iter()
        .find(|other| other.row.revision == held.row.revision && other.row != held.row)?;
    // Of a pair in a file the later line is told.
    let is_later = (other.place.origin, other.place.line) < (held.place.origin, held.place.line);
    let is_of_source = held.place.origin != Origin::File;
    if !is_later && !is_of_source {
        return None;
    }
    let certificate = words.key::<CertificateRow>(held.row.certificate);
    let revision = held.row.revision;
    let message = format!("{certificate} is told twice with revision {revision}: it is used once");
    let remedy = format!("write revision = {} in the one that counts", revision.saturating_add(1));
    Some(at(&held.place, Severity::Error, "certificate", (message, remedy)))
}

#[cfg(test)]
#[path = "contracts_tests.rs"]
mod tests;
