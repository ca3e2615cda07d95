//! That money becomes what factors are told per, and rates stay in range.
//!
//! | rule | without it |
//! |---|---|
//! | what a meter books in money becomes its factor's money, over its time | every reading is booked and nothing emitted |
//! | some price leads to the money that a factor is told per | spend in its currency emits nothing, and nobody sees why |
//! | a rate per the money that a price is of fits its integer | the line is left out at run time |
//!
//! Which way leads there, and why there is one alone: [`plumeline_pipelines::model::price`]. What activities are in is
//! not known here: they come over topics, and wait for a price as for a factor.

use std::collections::{BTreeMap, BTreeSet};

use plumeline_pipelines::model::price::{Ratio, along, ways};
use plumeline_pipelines::model::{FactorRow, Id, PriceRow, Unit, Validity};

use super::joins::{Books, Setting};
use super::row::{Held, Origin};
use super::rules::{Words, at};
use super::timeline::{coverage, overlap, shown_span, uncovered};
use crate::config::{Problem, Problems, Severity};

/// Checks that `books` join up where they speak of money.
pub(super) fn prices(books: &Books, setting: Setting<'_>, problems: &mut Problems) {
    let steps = Steps::of(books);
    // What may come over a topic is missed by nobody yet.
    if !setting.prices_come_later {
        for held in books.meters.values().flatten() {
            if let Some(unit) = held.row.unit.filter(|unit| unit.is_money()) {
                let factor = books.factors.get(&held.row.factor);
                let wanted: BTreeSet<Unit> =
                    factor.into_iter().flatten().map(|factor| factor.row.unit).collect();
                let lacks = |to: &Unit| steps.lacks((unit, *to), held.row.validity);
                let lack = wanted.iter().find_map(|to| Some((*to, lacks(to)?)));
                problems.extend(lack.map(|(to, span)| no_price(held, (unit, to), span, setting)));
            }
        }
        let mut told = BTreeSet::new();
        for held in books.factors.values().flatten() {
            let is_first = held.row.unit.price_year().is_some()
                && held.place.origin == Origin::File
                && told.insert((held.row.factor, held.row.unit));
            if is_first && !steps.lead_to(held.row.unit) {
                problems.push(nothing_leads(held, setting.words));
            }
        }
    }
    for held in books.factors.values().flatten().filter(|held| held.row.unit.is_money()) {
        problems.extend(too_large(held, &steps, setting));
    }
}

/// The prices, by what they lead from and to.
struct Steps<'a>(BTreeMap<(Unit, Unit), &'a Vec<Held<PriceRow>>>);

impl<'a> Steps<'a> {
    fn of(books: &'a Books) -> Self {
        let by_step = |rows: &'a Vec<Held<PriceRow>>| {
            rows.first().map(|held| ((held.row.unit, held.row.to), rows))
        };
        Self(books.prices.values().filter_map(by_step).collect())
    }

    /// Whether some price leads to `to`.
    fn lead_to(&self, to: Unit) -> bool {
        self.0.keys().any(|(_, unit)| *unit == to)
    }

    /// The first stretch of `wanted` in which no way leads from one to the other; `None` too where none is needed.
    fn lacks(&self, (from, to): (Unit, Unit), wanted: Validity) -> Option<Validity> {
        let ways = ways(from, to);
        if ways.is_empty() {
            return None;
        }
        let mut covered: Vec<Validity> = ways.iter().flat_map(|way| self.held(way)).collect();
        covered.sort_unstable();
        uncovered(wanted, &merged(covered))
    }

    /// When all steps of a way hold.
    fn held(&self, way: &[(Unit, Unit)]) -> Vec<Validity> {
        let of_step = |step: &(Unit, Unit)| {
            self.0.get(step).map_or_else(Vec::new, |rows| coverage(rows.iter()))
        };
        let both = |held: Vec<Validity>, step: Vec<Validity>| {
            let of_one = |a: &Validity| step.iter().filter_map(|b| overlap(*a, *b)).collect();
            held.iter().flat_map(|a: &Validity| -> Vec<Validity> { of_one(a) }).collect()
        };
        way.iter().map(of_step).reduce(both).unwrap_or_default()
    }
}

/// Stretches in order, those that meet put together.
fn merged(stretches: Vec<Validity>) -> Vec<Validity> {
    let mut merged: Vec<Validity> = Vec::new();
    for stretch in stretches {
        match merged.last_mut() {
            Some(last) if stretch.from_ms <= last.to_ms => {
                last.to_ms = last.to_ms.max(stretch.to_ms);
            }
            _ => merged.push(stretch),
        }
    }
    merged
}

/// A meter in money for which there is no price.
fn no_price<R: super::TableRow>(
    held: &Held<R>,
    (unit, to): (Unit, Unit),
    span: Validity,
    setting: Setting<'_>,
) -> Problem {
    let words = setting.words;
    let message = format!(
        "{} books `{unit}`, and no price leads to `{to}` of its factor {}",
        words.key::<R>(held.row.key()),
        shown_span(span, words.timezone),
    );
    let remedy = format!("add rows to the table of prices: unit = {unit}, to = {to}");
    at(&held.place, Severity::Error, "unit", (message, remedy))
}

/// A factor per money of a price year that nothing becomes.
fn nothing_leads(held: &Held<FactorRow>, words: Words<'_>) -> Problem {
    let unit = held.row.unit;
    let message = format!(
        "{} is told per `{unit}`, and no price leads there: spend in any other money emits nothing",
        words.key::<FactorRow>(held.row.factor),
    );
    let currency = unit.at_prices_of_the_time();
    let remedy = format!(
        "add rows to the table of prices: unit = {currency}, to = {unit}, for each year of spend"
    );
    at(&held.place, Severity::Warning, "unit", (message, remedy))
}

/// A line whose rate is out of range per the money that a price is of, at the highest price there is.
fn too_large(held: &Held<FactorRow>, steps: &Steps<'_>, setting: Setting<'_>) -> Option<Problem> {
    let row = &held.row;
    let published = row.published_gwp;
    let times = [row.gas.mass_ratio(published), row.gas.co2e_ratio(published, setting.gwp)];
    let sources: BTreeSet<Unit> = steps.0.keys().map(|(unit, _)| *unit).collect();
    let ways = sources.into_iter().flat_map(|unit| ways(unit, row.unit));
    let price = ways.filter_map(|way| steps.highest(&way)).find_map(|(price, worth)| {
        let rate = |times: &(i64, i64)| row.unit.rate_of(row.kg_per_unit, worth, *times);
        times.iter().flatten().any(|times| rate(times).is_err()).then_some(price)
    })?;
    let message = format!(
        "{} emits more than 100,000 kg by {}",
        setting.words.key::<FactorRow>(row.factor),
        setting.words.key::<PriceRow>(price),
    );
    let remedy = "check `rate` and `per` of the price, and kg_per_unit of the factor".to_owned();
    Some(at(&held.place, Severity::Error, "kg_per_unit", (message, remedy)))
}

impl Steps<'_> {
    /// The most that a way ever comes to, and the price of its first step; `None` where a step has no price.
    fn highest(&self, way: &[(Unit, Unit)]) -> Option<(Id, Ratio)> {
        let order = |a: &PriceRow, b: &PriceRow| {
            let (a, b) = (a.ratio(), b.ratio());
            (a.0 * b.1).cmp(&(b.0 * a.1))
        };
        let of_step = |step: &(Unit, Unit)| {
            self.0.get(step)?.iter().map(|held| &held.row).max_by(|a, b| order(a, b))
        };
        let rows: Vec<&PriceRow> = way.iter().map(of_step).collect::<Option<_>>()?;
        let ratios: Vec<Ratio> = rows.iter().map(|row| row.ratio()).collect();
        Some((rows.first()?.price, along(&ratios)?))
    }
}

#[cfg(test)]
#[path = "prices_tests.rs"]
mod tests;
