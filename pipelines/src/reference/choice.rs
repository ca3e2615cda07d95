//! Which lines hold for an activity: the rules of [`crate::stages::rates::library`], from plain loops over all rows.

use std::collections::{BTreeMap, BTreeSet};

use crate::model::price::{along, ways};
use crate::model::recipe::{blended, lines};
use crate::model::time::DAY_MS;
use crate::model::{
    Basis, Fact, FactorRow, GwpSet, Id, Line, Policy, PriceRow, Rate, SeriesRow, Total, Unit,
    Vintage,
};
use crate::stages::rates::Chosen;
use crate::stages::rates::library::FALLBACKS_MAX;

/// All factors, series and prices that are known.
#[derive(Clone, Debug, Default)]
pub(crate) struct Factors {
    rows: BTreeMap<Id, Vec<FactorRow>>,
    series: BTreeMap<Id, Vec<SeriesRow>>,
    prices: Vec<PriceRow>,
}

impl Factors {
    /// A row that holds from now on, or no longer; others are not its business. Says whether it was.
    pub(crate) fn learn(&mut self, fact: &Fact, holds: bool) -> bool {
        match fact {
            Fact::Factor(row) => {
                let rows = self.rows.entry(row.factor).or_default();
                rows.retain(|known| known != row);
                rows.extend(holds.then(|| row.clone()));
            }
            Fact::Series(row) => {
                let rows = self.series.entry(row.factor).or_default();
                rows.retain(|known| known != row);
                rows.extend(holds.then(|| row.clone()));
            }
            Fact::Price(row) => {
                self.prices.retain(|known| known != row);
                self.prices.extend(holds.then(|| row.clone()));
            }
            Fact::Meter(_) | Fact::Node(_) | Fact::Contract(_) | Fact::Certificate(_) => {
                return false;
            }
        }
        true
    }

    /// The factors for which `factor` may stand in, it among them.
    pub(crate) fn before(&self, factor: Id) -> BTreeSet<Id> {
        let mut all = BTreeSet::from([factor]);
        loop {
            let count = all.len();
            let rows = self.series.values().flatten();
            let more: Vec<Id> =
                rows.filter(|row| all.contains(&row.fallback)).map(|row| row.factor).collect();
            all.extend(more);
            if all.len() == count {
                return all;
            }
        }
    }

    /// The lines that hold for activity in `unit`, in the period that starts at `start_ms`.
    pub(crate) fn holding(
        &self,
        (factor, unit): (Id, Unit),
        start_ms: i64,
        (policy, gwp): (&Policy, GwpSet),
    ) -> Vec<(Chosen, Rate)> {
        let mut factor = factor;
        for _ in 0..=FALLBACKS_MAX {
            let series = self.series.get(&factor).into_iter().flatten();
            let series = series.filter(|row| row.validity.holds(start_ms));
            let series = series.max_by_key(|row| row.revision);
            let total = series.map_or(Total::Split, |row| row.total);
            let looked_at =
                series.map_or_else(|| vec![(start_ms, 1)], |row| years(row, policy, start_ms));
            let is_one = series.is_some_and(|row| row.vintage == Vintage::Majority);
            let versions = looked_at.into_iter().map(|(ms, days)| (self.version(factor, ms), days));
            let versions = versions.filter(|(rows, _)| !rows.is_empty());
            let versions = versions.take(if is_one { 1 } else { 2 });
            let found: Vec<(Vec<(Line, Rate)>, i64)> = versions
                .map(|(rows, days)| {
                    (lines(&rows, &self.basis(unit, &rows, start_ms), gwp, total), days)
                })
                .collect();
            let lines = match <[_; 2]>::try_from(found) {
                Ok(both) => blended(both),
                Err(mut one) => match one.pop() {
                    Some((lines, _)) => lines,
                    None => match series.map(|row| row.fallback).filter(|next| !next.is_none()) {
                        Some(next) => {
                            factor = next;
                            continue;
                        }
                        None => return Vec::new(),
                    },
                },
            };
            return lines.into_iter().map(|(line, rate)| (Chosen { factor, line }, rate)).collect();
        }
        Vec::new()
    }

    /// What activity in `unit` is worth in the money of each of `rows`, at `ms`.
    fn basis(&self, unit: Unit, rows: &[&FactorRow], ms: i64) -> Basis {
        let mut basis = Basis::of(unit);
        for row in rows {
            for way in ways(unit, row.unit) {
                let mut steps = Vec::new();
                for (from, to) in &way {
                    let held = self.prices.iter().filter(|price| {
                        (price.unit, price.to) == (*from, *to) && price.validity.holds(ms)
                    });
                    let newest = held.max_by_key(|price| price.revision);
                    steps.extend(newest.map(PriceRow::ratio));
                }
                let worth = along(&steps).filter(|_| steps.len() == way.len());
                if let Some(worth) = worth.filter(|_| basis.ratio(row.unit).is_err()) {
                    basis = basis.worth(row.unit, worth);
                }
            }
        }
        basis
    }

    /// The rows of the highest revision of `factor` that holds at `ms`.
    fn version(&self, factor: Id, ms: i64) -> Vec<&FactorRow> {
        let rows = self.rows.get(&factor).into_iter().flatten();
        let holding: Vec<&FactorRow> = rows.filter(|row| row.validity.holds(ms)).collect();
        let newest = holding.iter().map(|row| row.revision).max();
        holding.into_iter().filter(|row| Some(row.revision) == newest).collect()
    }
}

/// The instants at which versions are looked for by the row's vintage, ms, and the days that each counts.
fn years(row: &SeriesRow, policy: &Policy, start_ms: i64) -> Vec<(i64, i64)> {
    let year = policy.calendar.reporting_year(row.year_begins, start_ms);
    let (Some([begins_ms, january_ms, ends_ms]), true) = (year, row.vintage != Vintage::Calendar)
    else {
        return vec![(start_ms, 1)];
    };
    let first_period_ms = |ms: i64| {
        let period = policy.period_of(ms);
        let start_ms = period.start_ms(policy.period_ms);
        if start_ms == ms { ms } else { start_ms + policy.period_ms }
    };
    let days = |length_ms: i64| (length_ms + DAY_MS / 2) / DAY_MS;
    let before = (first_period_ms(begins_ms), days(january_ms - begins_ms));
    let after = (first_period_ms(january_ms), days(ends_ms - january_ms));
    match row.vintage {
        Vintage::Majority if before.1 < after.1 => vec![after, before],
        Vintage::Blended if before.1 == 0 => vec![after],
        Vintage::Blended if after.1 == 0 => vec![before],
        _ => vec![before, after],
    }
}
