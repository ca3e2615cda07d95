//! The prices that led from the money an activity was told in to the money a factor is told in.
//!
//! ```text
//! 0.41 kg/GBP@2021  x 0.86 GBP/EUR  x 111.6/128.6 GBP@2021/GBP      = kg per EUR, rounded half-even to 1e-12 kg
//!                     └ rows of `prices` that held at the start of a period ┘
//! ```
//!
//! Which rows they are is found as for any line: the newest of which the program's own rule makes the rate that is booked.

use std::collections::BTreeSet;

use plumeline_pipelines::model::price::{Basis, along, ways};
use plumeline_pipelines::model::{Decimal, Id, Names, Period, PriceRow, Unit};

use super::known::{Known, Life};

/// A step from money to money.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Step {
    pub(crate) row: PriceRow,
    /// What the row calls itself, and its publication; empty if the table names none.
    pub(crate) name: String,
    pub(crate) source: String,
    pub(crate) life: Life,
}

impl Step {
    /// ` x 0.86 GBP/EUR`, as published.
    pub(crate) fn factor(&self) -> String {
        let PriceRow { unit, to, rate, per, .. } = &self.row;
        let per = if *per == Decimal::ONE { String::new() } else { format!("/{per}") };
        format!(" x {rate}{per} {to}/{unit}")
    }
}

/// A way from money to money, as it may have been at the start of some period.
#[derive(Clone, Debug)]
pub(super) struct Way<'known> {
    rows: Vec<(&'known PriceRow, Life)>,
    /// Activity that is worth so much.
    pub(super) basis: Basis,
    /// How many of the factor's unit one of the activity's is.
    pub(super) ratio: (i128, i128),
}

impl Way<'_> {
    /// Its steps, named.
    pub(super) fn steps(&self, names: &Names) -> Vec<Step> {
        let name = |id: Id| names.name(id).to_string();
        let step = |(row, life): &(&PriceRow, Life)| Step {
            row: (*row).clone(),
            name: name(row.price),
            source: name(row.source),
            life: *life,
        };
        self.rows.iter().map(step).collect()
    }
}

/// All ways from `unit` to `to` by any of `prices` that hold at the start of one of `periods`: for each period the
/// shortest first, of each step the newest revision first.
pub(super) fn found<'known>(
    (unit, to): (Unit, Unit),
    periods: &BTreeSet<Period>,
    (known, prices): (&Known, &[(&'known PriceRow, Life)]),
) -> Vec<Way<'known>> {
    let mut found: Vec<Way<'known>> = Vec::new();
    for period in periods {
        let start_ms = period.start_ms(known.policy.period_ms);
        for way in ways(unit, to) {
            let mut chains: Vec<Vec<(&PriceRow, Life)>> = vec![Vec::new()];
            for step in way {
                let rows = holding(step, start_ms, prices);
                let longer = chains.iter().flat_map(|chain| {
                    rows.iter().map(move |row| [chain.as_slice(), &[*row]].concat())
                });
                chains = longer.collect();
            }
            for rows in chains {
                let ratios: Vec<_> = rows.iter().map(|(row, _)| row.ratio()).collect();
                let is_new = |way: &Way<'_>| way.rows != rows;
                if let Some(ratio) = along(&ratios)
                    && found.iter().all(is_new)
                {
                    found.push(Way { rows, basis: Basis::of(unit).worth(to, ratio), ratio });
                }
            }
        }
    }
    found
}

/// The rows of a step that hold at an instant, the newest first.
fn holding<'known>(
    step: (Unit, Unit),
    ms: i64,
    prices: &[(&'known PriceRow, Life)],
) -> Vec<(&'known PriceRow, Life)> {
    let of_step = prices.iter().filter(|(row, _)| (row.unit, row.to) == step);
    let mut rows: Vec<_> = of_step.filter(|(row, _)| row.validity.holds(ms)).copied().collect();
    rows.sort_by_key(|(row, _)| std::cmp::Reverse((row.revision, *row)));
    rows
}
