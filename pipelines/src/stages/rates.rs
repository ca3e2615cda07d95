//! Factor lines in use: for every (factor, unit, period) with activity, the lines of the version that holds.
//!
//! In SQL: `SELECT factor, unit, period, line, rate FROM used JOIN versions USING (factor) WHERE the version
//! is the highest revision that holds at the period's start`.
//!
//! A version is chosen once for (factor, period), and all its lines and gases, and only those, apply: a
//! revision that replaces a split by gas with one `co2e` line drops the split. Rates are rounded here, once.
//!
//! Remembers the versions of every factor, and an entry for each (factor, unit, period) in use.

use differential_dataflow::VecCollection;

use crate::model::entry::Line;
use crate::model::{FactorRow, Gas, GwpSet, Id, Period, Policy, Rate, Tick, Unit};

/// A factor in use: what rates are asked for.
pub type Use = (Id, Unit, Period);

/// Rates of the lines that hold for each use.
#[must_use]
pub fn rates<'scope>(
    used: VecCollection<'scope, Tick, Use, i64>,
    rows: VecCollection<'scope, Tick, FactorRow, i64>,
    policy: &Policy,
) -> VecCollection<'scope, Tick, (Use, Line), Rate> {
    let (period_ms, gwp) = (policy.period_ms, policy.gwp);
    let rows_by_factor = rows.map(|row| (row.factor, row)).arrange_by_key_named("factor versions");
    let used_by_factor = used
        .map(|(factor, unit, period)| (factor, (unit, period)))
        .arrange_by_key_named("factors in use");
    used_by_factor
        .join_core(rows_by_factor, move |&factor, &(unit, period), row: &FactorRow| {
            let holds = row.validity.holds(period.start_ms(period_ms));
            holds.then(|| ((factor, unit, period), row.clone()))
        })
        .reduce_named("version that holds", |_use, rows, chosen| {
            let rows: Vec<&FactorRow> = rows.iter().map(|(row, _)| *row).collect();
            chosen.extend(newest_version(&rows).map(|row| (row.clone(), 1_i64)));
        })
        .explode(move |((factor, unit, period), row)| {
            line(&row, unit, gwp).map(|(line, rate)| (((factor, unit, period), line), rate))
        })
}

/// The rows of the highest revision.
pub fn newest_version<'a>(rows: &'a [&'a FactorRow]) -> impl Iterator<Item = &'a FactorRow> {
    let newest = rows.iter().map(|row| row.revision).max();
    rows.iter().copied().filter(move |row| Some(row.revision) == newest)
}

/// A row as a line for activity in `unit`, with its rate; `None` where units do not convert or the rate is
/// out of range (`check` says so).
///
/// # Panics
/// Never: a rate is at most [`RATE_MAX`](crate::model::quantity::RATE_MAX).
#[must_use]
pub fn line(row: &FactorRow, unit: Unit, gwp: GwpSet) -> Option<(Line, Rate)> {
    let kg = row.unit.rate(row.kg_per_unit, unit, 10).ok()?;
    let co2e = row.unit.rate(row.kg_per_unit, unit, row.gas.gwp_tenths(gwp)).ok()?;
    let co2e = if row.scope == 0 { 0 } else { co2e };
    let mass = if row.gas == Gas::Co2e { 0 } else { kg };
    let line = Line {
        scope: row.scope,
        category: row.category,
        method: row.method,
        gas: row.gas,
        revision: row.revision,
        rate: i64::try_from(kg).expect("a rate of 1e5 kg in 1e-12 kg fits 64 bits"),
    };
    Some((line, Rate { mass: mass.into(), co2e: co2e.into(), present: 1 }))
}
