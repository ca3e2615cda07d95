//! What a version of a factor emits per unit: its rows as lines with rates.
//!
//! ```text
//! published       kg CO2e of CH4 per kWh (AR5)     kg CH4 per kWh        kg CO2e per kWh, printed total
//!                        / 28                           x 1                       |
//! mass            kg CH4 ◀──────────────────────────────┘                         |
//! x GWP           kg CO2e, summed over the gases ◀─── which one counts: Total ────┘
//! ```
//!
//! 1. A row told as CO2e of a gas becomes mass by the set it was published with, and CO2e by the pipeline's set, each
//!    rounded once. *A factor told in AR5 is the published number bit for bit where the pipeline has AR5, and not
//!    what is left of it after two roundings.*
//! 2. A row of gas `co2e` that names the set it was published with, beside rows of other gases of the same scope,
//!    category and method, is their printed total, and never counts on top of them. *DESNZ prints both: of 427
//!    factors of its 2025 set with a split and a total, 133 do not add up to the last digit (a test of the starter
//!    set counts them).*
//! 3. [`Total`] says which one counts. With `split` the total is left out. With `printed` the gases count and a line
//!    `co2e` holds the residual: what the total is more than its gases, all in the set it was published with. *So
//!    masses are told either way, the printed number is met bit for bit in its own set, and another set stays a linear
//!    map of the masses beside a constant.*
//! 4. A line of `cfe_kwh`, the part of the energy that is carbon-free, adds one of `load_kwh`, the whole of it, which is
//!    location-based. *The score is one over the other, and contracts move only the first.*
//! 5. Versions of two years blend by days: each line's rates, rounded, weighted and rounded once more (DESNZ 2025,
//!    "Introduction": 220 days of one year and 145 of the next).
//!
//! Sources: DESNZ "UK Government GHG Conversion Factors for Company Reporting" 2024 v1.1 and 2025 v1; IPCC sets as in
//! [`super::gas`].

use std::collections::BTreeMap;

use super::decimal::Decimal;
use super::entry::Line;
use super::fact::{FactorRow, Method};
use super::factor::Total;
use super::gas::{Gas, GwpSet};
use super::price::Basis;
use super::quantity::{Rate, divide_half_even};
use super::unit::Unit;

/// The lines of a version, for activity in one unit.
pub type Lines = Vec<(Line, Rate)>;

/// The part of a version in which gases add up to a total.
type Section = (u8, u8, Method);

/// The lines that `version`, all rows of one revision, comes to for activity of `basis`. Rows whose unit does not
/// convert, or whose rate is out of range, are left out: `check` tells them.
#[must_use]
pub fn lines(version: &[&FactorRow], basis: &Basis, gwp: GwpSet, total: Total) -> Lines {
    let mut lines = Lines::new();
    for row in version {
        if !is_printed_total(row, version) {
            lines.extend(line(row, basis, gwp));
            lines.extend(load(row, basis));
        } else if total == Total::Printed {
            lines.extend(residual(row, version, basis));
        }
    }
    lines
}

/// Whether `row` is the printed total of other rows of its version.
#[must_use]
pub fn is_printed_total(row: &FactorRow, version: &[&FactorRow]) -> bool {
    let is_gas = |gas: Gas| gas != Gas::Co2e && !gas.is_energy();
    let is_part = |other: &&FactorRow| section(other) == section(row) && is_gas(other.gas);
    row.gas == Gas::Co2e && row.published_gwp.is_some() && version.iter().any(is_part)
}

fn section(row: &FactorRow) -> Section {
    (row.scope, row.category, row.method)
}

/// A row as a line for activity of `basis`; `None` where units do not convert or a rate is out of range.
///
/// # Panics
/// Never: a rate is at most [`RATE_MAX`](super::quantity::RATE_MAX).
#[must_use]
pub fn line(row: &FactorRow, basis: &Basis, gwp: GwpSet) -> Option<(Line, Rate)> {
    let published = row.published_gwp.filter(|_| row.gas != Gas::Co2e);
    let rate = |times| basis.rate(row.kg_per_unit, row.unit, times).ok();
    let kg = rate(row.gas.mass_ratio(published)?)?;
    let co2e = rate(row.gas.co2e_ratio(published, gwp)?)?;
    let co2e = if row.scope == 0 { 0 } else { co2e };
    Some(told(row, row.gas, kg, co2e))
}

/// The energy that a line of `cfe_kwh` is a part of: location-based, so that no contract moves it.
fn load(row: &FactorRow, basis: &Basis) -> Option<(Line, Rate)> {
    let kwh = Unit::parse("kWh").ok().filter(|_| row.gas == Gas::CfeKwh)?;
    let each = basis.rate(Decimal::ONE, kwh, (1, 1)).ok()?;
    let row = FactorRow { method: Method::Location, ..row.clone() };
    Some(told(&row, Gas::LoadKwh, each, 0))
}

/// What a printed total is more than its gases, in the set it was published with.
fn residual(row: &FactorRow, version: &[&FactorRow], basis: &Basis) -> Option<(Line, Rate)> {
    let set = row.published_gwp.filter(|_| row.scope != 0)?;
    let printed = basis.rate(row.kg_per_unit, row.unit, (1, 1)).ok()?;
    let parts = version.iter().filter(|other| section(other) == section(row));
    let parts = parts.filter(|other| !is_printed_total(other, version));
    let sum: i128 =
        parts.filter_map(|part| line(part, basis, set)).map(|(_, r)| r.co2e.get()).sum();
    Some(told(row, Gas::Co2e, printed - sum, printed - sum))
}

fn told(row: &FactorRow, gas: Gas, kg: i128, co2e: i128) -> (Line, Rate) {
    let &FactorRow { scope, category, method, revision, .. } = row;
    let rate = i64::try_from(kg).expect("a rate of 1e5 kg in 1e-12 kg fits 64 bits");
    let line = Line { scope, category, method, gas, revision, rate };
    let mass = if gas.has_mass() { kg } else { 0 };
    (line, Rate { mass: mass.into(), co2e: co2e.into(), present: 1 })
}

/// Lines of two versions, weighted by `days` of each. What one of them does not have counts as none there.
///
/// # Panics
/// If no days are given: there is nothing to weigh.
#[must_use]
pub fn blended([(first, days), (second, more_days)]: [(Lines, i64); 2]) -> Lines {
    let mut sums: BTreeMap<(Section, Gas), (Line, [i128; 3])> = BTreeMap::new();
    for (lines, days) in [(first, days), (second, more_days)] {
        for (line, rate) in lines {
            let section = (line.scope, line.category, line.method);
            let (sum, parts) = sums.entry((section, line.gas)).or_insert((line, [0; 3]));
            sum.revision = sum.revision.max(line.revision);
            let of_line = [i128::from(line.rate), rate.mass.get(), rate.co2e.get()];
            for (part, of_line) in parts.iter_mut().zip(of_line) {
                *part += of_line * i128::from(days);
            }
        }
    }
    let all = i128::from(days + more_days);
    let blend = |(line, parts): (Line, [i128; 3])| {
        let [rate, mass, co2e] = parts.map(|part| divide_half_even(part, all));
        let rate = i64::try_from(rate).expect("a mean of rates is in their range");
        (Line { rate, ..line }, Rate { mass: mass.into(), co2e: co2e.into(), present: 1 })
    };
    sums.into_values().map(blend).collect()
}

#[cfg(test)]
#[path = "recipe_tests.rs"]
mod tests;
