//! How a line's rate came about: the one place that knows.
//!
//! ```text
//! kg_per_unit of a row of `factors` x (its unit in the activity's) ──rounded half-even to 1e-12 kg──▶ rate
//!                                   x the same x GWP / 1 ──────────rounded half-even to 1e-12 kg──▶ CO2e rate
//! ```
//!
//! A row that tells a gas as CO2e is divided by the potential it was published with; a printed total that counts is a line
//! of what it is more than its gases, which rests on all of their rows.
//!
//! Where both units are money, prices lead from one to the other ([`priced`]).
//!
//! A row leads to a line if the program's own rule ([`lines()`]) says so today: the rate that is booked has to come out.
//! Where none does, that is told and nothing is made up. Of two years that blend, both lead to it ([`Weighed`]).

use std::collections::BTreeSet;

use plumeline_pipelines::lineage::{Calculation, calc_id};
use plumeline_pipelines::model::quantity::RATE_SCALE;
use plumeline_pipelines::model::recipe::{is_printed_total, line, lines};
use plumeline_pipelines::model::{
    Basis, Decimal, FactorRow, Gas, GwpSet, Id, Line, Names, Period, PriceRow, SeriesRow, Total,
    Unit, Validity,
};

use super::known::{Known, Life};
use super::priced::{self, Step, Way};
use super::select::gwp_text;
use super::sum::exact;
use super::weighed::{Weighed, weighed};
use crate::journal::SEMANTICS_VERSION;

/// A row of `factors` that a line rests on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Version {
    pub(crate) kg_per_unit: Decimal,
    pub(crate) unit: Unit,
    pub(crate) gas: Gas,
    /// The set in which `kg_per_unit` is CO2e of the gas.
    pub(crate) published_gwp: Option<GwpSet>,
    pub(crate) validity: Validity,
    /// The publication; empty if the table names none.
    pub(crate) source: String,
    pub(crate) life: Life,
    /// A later revision took its place: its number, and when it was learned, ms.
    pub(crate) superseded: Option<(i64, i64)>,
    /// How many of the activity's unit its unit is: numerator, denominator.
    pub(crate) ratio: (i128, i128),
    /// The prices that make this ratio, where both are money.
    pub(crate) prices: Vec<Step>,
    /// Of two that are weighed, which one it is of.
    pub(crate) share: usize,
}

impl Version {
    /// What `row` says, for activity in a unit.
    fn of(
        (row, share): (&FactorRow, usize),
        (factor, unit): (Id, Unit),
        known: &Known,
        names: &Names,
    ) -> Self {
        let later = known.factor_rows(factor).filter(|(other, _)| {
            let meets = other.validity.from_ms < row.validity.to_ms
                && row.validity.from_ms < other.validity.to_ms;
            other.revision > row.revision && meets
        });
        let superseded = later.map(|(other, life)| (life.learned_ms, other.revision)).min();
        Self {
            kg_per_unit: row.kg_per_unit,
            unit: row.unit,
            gas: row.gas,
            published_gwp: row.published_gwp,
            validity: row.validity,
            source: names.name(row.source).to_string(),
            life: known.life_of_factor(row),
            superseded: superseded.map(|(ms, revision)| (revision, ms)),
            ratio: unit.ratio(row.unit).unwrap_or((1, 1)),
            prices: Vec::new(),
            share,
        }
    }

    /// The same, by these prices.
    fn priced(mut self, way: &Way<'_>, names: &Names) -> Self {
        (self.ratio, self.prices) = (way.ratio, way.steps(names));
        self
    }
}

/// See the module's documentation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RateStory {
    pub(crate) line: Line,
    /// Of the activity.
    pub(crate) unit: Unit,
    pub(crate) gwp: GwpSet,
    pub(crate) calc_id: String,
    /// 1e-12 kg CO2e per unit; `None` where no row leads to the line.
    pub(crate) co2e_rate: Option<i128>,
    /// Rows it rests on: one, but for what was said twice, printed totals, and two years that blend.
    pub(crate) versions: Vec<Version>,
    /// How two years' versions are weighed, if they are.
    pub(crate) weighed: Option<Weighed>,
}

impl RateStory {
    /// How `booked` of `factor` came about in `periods`.
    pub(crate) fn of(
        (factor, booked, unit): (Id, Line, Unit),
        periods: &BTreeSet<Period>,
        gwp: GwpSet,
        known: &Known,
        names: &Names,
    ) -> Self {
        let rows: Vec<&FactorRow> = known.factor_rows(factor).map(|(row, _)| row).collect();
        let series: Vec<&SeriesRow> = known.series_rows(factor).collect();
        let (mut co2e_rate, mut versions) = (None, Vec::new());
        let version = |row, share| Version::of((row, share), (factor, unit), known, names);
        let weighed = weighed((booked, unit, periods), (&known.policy, gwp), &rows, &series);
        let weighed = weighed.map(|(weighed, leading)| {
            let [_, co2e] = weighed.means();
            co2e_rate = Some(co2e);
            for (share, rows) in leading.into_iter().enumerate() {
                versions.extend(rows.into_iter().map(|row| version(row, share)));
            }
            weighed
        });
        if weighed.is_none() {
            let prices: Vec<(&PriceRow, Life)> =
                if unit.is_money() { known.price_rows().collect() } else { Vec::new() };
            for row in &rows {
                if let Some(rate) = leads_to(row, &rows, (booked, &Basis::of(unit)), gwp) {
                    co2e_rate = Some(rate);
                    versions.push(version(row, 0));
                    continue;
                }
                let ways = priced::found((unit, row.unit), periods, (known, &prices)).into_iter();
                let mut leading = ways.filter_map(|way| {
                    Some((leads_to(row, &rows, (booked, &way.basis), gwp)?, way))
                });
                if let Some((rate, way)) = leading.next() {
                    co2e_rate = Some(rate);
                    versions.push(version(row, 0).priced(&way, names));
                }
            }
        }
        let name = names.name(factor);
        let calculation =
            Calculation { semantics: SEMANTICS_VERSION, factor: &name, line: booked, unit, gwp };
        let calc_id = calc_id(&calculation);
        Self { line: booked, unit, gwp, calc_id, co2e_rate, versions, weighed }
    }

    /// `0.207 kg/kWh`, exactly.
    pub(crate) fn rate_text(&self) -> String {
        format!("{} kg/{}", exact(self.line.rate.into(), RATE_SCALE), self.unit)
    }

    /// `27.9`: the gas's potential in this set.
    pub(crate) fn gwp_value(&self) -> String {
        gwp_text(self.line.gas, self.gwp)
    }

    /// Where the rate of a version comes from, with its constants.
    pub(crate) fn formula(&self, version: &Version) -> String {
        let (numerator, denominator) = version.ratio;
        let conversion = if !version.prices.is_empty() {
            version.prices.iter().map(Step::factor).collect()
        } else if (numerator, denominator) == (1, 1) {
            String::new()
        } else if denominator == 1 {
            format!(" x {numerator} {}/{}", version.unit, self.unit)
        } else {
            format!(" x {numerator}/{denominator} {}/{}", version.unit, self.unit)
        };
        let published = match version.published_gwp {
            Some(set) if version.gas != Gas::Co2e => {
                format!(" CO2e of {} / {}", version.gas.name(), gwp_text(version.gas, set))
            }
            Some(set) => format!(" CO2e as printed, in {}", set.name()),
            None => String::new(),
        };
        format!(
            "{} kg{published}/{}{conversion}, rounded half-even to 1e-12 kg",
            version.kg_per_unit, version.unit
        )
    }
}

/// The CO2e rate of the booked line, 1e-12 kg per unit, if `row` is one of those it rests on.
fn leads_to(
    row: &FactorRow,
    rows: &[&FactorRow],
    (booked, basis): (Line, &Basis),
    gwp: GwpSet,
) -> Option<i128> {
    let of_version =
        |other: &&FactorRow| (other.revision, other.validity) == (row.revision, row.validity);
    let version: Vec<&FactorRow> = rows.iter().copied().filter(of_version).collect();
    let section = |row: &FactorRow| (row.scope, row.category, row.method);
    let is_total = is_printed_total(row, &version);
    if !is_total && let Some((_, rate)) = line(row, basis, gwp).filter(|(line, _)| *line == booked)
    {
        return Some(rate.co2e.get());
    }
    // A printed total less its gases rests on each of them.
    let has_total = version
        .iter()
        .any(|other| section(other) == section(row) && is_printed_total(other, &version));
    if booked.gas != Gas::Co2e
        || section(row) != (booked.scope, booked.category, booked.method)
        || !has_total
    {
        return None;
    }
    let residual = lines(&version, basis, gwp, Total::Printed);
    residual.into_iter().find(|(line, _)| *line == booked).map(|(_, rate)| rate.co2e.get())
}
