//! Rows that are one fact: what one line or one message says of a blend of refrigerants, a row for each of its gases.
//!
//! ```text
//! r-410a, revision 2 ─▶ hfc-32, hfc-125 ─▶ one revision ─▶ all of them, or none and one reject
//! ```
//!
//! 1. All take the same revision, and a composition that differs in any gas differs. *Else a blend that was corrected in
//!    one of its gases would be two versions, and the newer one would lack the others.*
//! 2. All are applied or none is. *Half a blend would emit half.*
//! 3. A blend is there if all of it is. One of which a part is there, at the same revision, contradicts what that part
//!    came with. *Else a mistaken second composition would add its other gases to the first.*
//! 4. What takes a blend back, takes back all of its rows.
//!
//! The rows themselves do not know of it: journal, tables and dataflow hold rows of gases.

use std::collections::{BTreeMap, BTreeSet};

use plumeline_connectors::decode::fact::DEFAULT_REVISION;
use plumeline_pipelines::model::{Fact, FactorRow};

use super::changes::one;
use super::file::ReadRow;
use super::joins::Books;
use super::row::{Held, TableRow, is_same_line};
use super::rules::{Words, at};
use super::series::{is_locked, is_same, is_to_be_numbered};
use super::store::FactStore;
use super::timeline::overlap;
use super::{FactChange, Place};
use crate::config::{Problem, Severity};

impl FactStore {
    /// Takes in, or back, the rows that one message of the source of number `source` told.
    ///
    /// # Errors
    /// As [`Self::apply_change`], and if a blend is there in part. Nothing is applied then.
    pub fn apply_together(
        &mut self,
        source: u16,
        told: &[FactChange],
    ) -> Result<Vec<FactChange>, Problem> {
        if let [only] = told {
            return self.apply_change(source, only);
        }
        let rows: Vec<FactorRow> =
            told.iter().filter_map(|change| FactorRow::of(&change.fact)).cloned().collect();
        let (Some(factor), Some(first)) = (rows.first().map(|row| row.factor), told.first()) else {
            return Ok(Vec::new());
        };
        let before = self.books.factors.get(&factor).cloned();
        let rows = numbered_together(rows, first.withdrawn, &self.books);
        let applied = self.apply_blend(source, &rows, first.withdrawn);
        if applied.is_err() {
            match before {
                Some(before) => self.books.factors.insert(factor, before),
                None => self.books.factors.remove(&factor),
            };
        }
        applied
    }

    /// The rows of a blend, under the revision they have.
    fn apply_blend(
        &mut self,
        source: u16,
        rows: &[FactorRow],
        withdrawn: bool,
    ) -> Result<Vec<FactChange>, Problem> {
        let place = self.place_of(source);
        let (names, timezone) = (self.names(), self.words().timezone.clone());
        let words = Words { names: &names, timezone: &timezone };
        if !withdrawn {
            let held = |row: &FactorRow| Held { row: row.clone(), place: place.clone() };
            let is_refused = |row: &FactorRow| is_locked(&held(row), &self.books, words);
            let mut refused = in_part(rows, &place, &self.books, words).into_iter();
            if let Some(problem) = refused.next().or_else(|| rows.iter().find_map(is_refused)) {
                return Err(problem);
            }
        }
        let mut changes = Vec::new();
        for row in rows {
            changes.extend(one(&mut self.books.factors, row, withdrawn, &place, words)?);
        }
        Ok(changes)
    }
}

/// The rows of a blend as they count: of a rolling series that names no revision, all follow on the newest, as
/// [`numbered`](super::series::numbered) lets one.
fn numbered_together(rows: Vec<FactorRow>, withdrawn: bool, books: &Books) -> Vec<FactorRow> {
    let Some(first) = rows.first().filter(|row| is_to_be_numbered(row, books)) else {
        return rows;
    };
    let held = books.factors.get(&first.factor).into_iter().flatten().map(|held| &held.row);
    let held: Vec<&FactorRow> =
        held.filter(|other| overlap(other.validity, first.validity).is_some()).collect();
    let newest_of = |row: &FactorRow| {
        let of_line = held.iter().filter(|other| other.part() == row.part());
        of_line.max_by_key(|other| other.revision).copied()
    };
    let is_there = |revision: &i64| {
        let of_revision = |row: &FactorRow, other: &&FactorRow| {
            other.revision == *revision && is_same(other, row)
        };
        rows.iter().all(|row| held.iter().any(|other| of_revision(row, other)))
    };
    let revisions: BTreeSet<i64> = held.iter().map(|row| row.revision).collect();
    let newest = revisions.last().copied();
    let known = rows.iter().filter_map(newest_of).map(|row| row.revision).max();
    let revision = match (known, newest) {
        // What is taken back is what was said, and what is said again, too, if nothing was said since.
        (Some(known), _) if withdrawn => {
            revisions.iter().rev().copied().find(is_there).unwrap_or(known)
        }
        (Some(known), _) if is_there(&known) => known,
        (Some(known), Some(newest)) if known == newest => newest + 1,
        (_, newest) => newest.unwrap_or(DEFAULT_REVISION),
    };
    rows.into_iter().map(|row| FactorRow { revision, ..row }).collect()
}

/// The problem of a blend of which a part is there, with other gases than its own.
fn in_part(rows: &[FactorRow], place: &Place, books: &Books, words: Words<'_>) -> Option<Problem> {
    let first = rows.first()?;
    let held = books.factors.get(&first.factor)?;
    let there = |row: &&FactorRow| held.iter().any(|held| held.row == **row);
    let is_met = |row: &&FactorRow| {
        let meets = |held: &Held<FactorRow>| {
            is_same_line(&held.row, row) && overlap(held.row.validity, row.validity).is_some()
        };
        held.iter().any(meets)
    };
    // One that differs in what it says of a gas is told as any row is.
    let (met, all) = (rows.iter().find(is_met)?, rows.iter().all(|row| there(&row)));
    if all || !there(&met) {
        return None;
    }
    let message = format!(
        "{}, revision {}, has the {} of this blend already, beside other gases",
        words.key::<FactorRow>(met.factor),
        met.revision,
        met.gas.name(),
    );
    let remedy = "give the blend a higher revision, or withdraw what is there".to_owned();
    Some(at(place, Severity::Error, "gas", (message, remedy)))
}

/// Blends of `file` that share a row with another line, but not all: that row would count once for both.
pub(super) fn torn(file: &str, rows: &[ReadRow]) -> Vec<Problem> {
    // Most tables have none, and some have a million lines.
    if !rows.windows(2).any(|pair| pair[0].line == pair[1].line) {
        return Vec::new();
    }
    let mut lines: BTreeMap<usize, BTreeSet<&Fact>> = BTreeMap::new();
    for row in rows.iter().filter(|row| matches!(row.change.fact, Fact::Factor(_))) {
        lines.entry(row.line).or_default().insert(&row.change.fact);
    }
    let mut first: BTreeMap<&Fact, usize> = BTreeMap::new();
    let mut problems = Vec::new();
    for (line, facts) in &lines {
        let other = |fact: &&Fact| {
            let other = *first.get(fact)?;
            let is_blend = facts.len() > 1 || lines[&other].len() > 1;
            (is_blend && lines[&other] != *facts).then_some((FactorRow::of(fact)?.gas, other))
        };
        if let Some((gas, other)) = facts.iter().find_map(other) {
            let gas = gas.name();
            let message = format!(
                "the same {gas}, with equal revision, is in line {other}, too, and the rest of the two is not the same"
            );
            let remedy = "keep one of the lines, or give one a higher revision, so that it corrects the other";
            problems.push(Problem::error(file, message, remedy).at(*line).about("gas"));
        }
        for fact in facts {
            first.entry(fact).or_insert(*line);
        }
    }
    problems
}

#[cfg(test)]
#[path = "together_tests.rs"]
mod tests;
