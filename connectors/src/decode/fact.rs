//! Rows of the fact tables from named text fields: the same for a line of a CSV file and an object
//! on a topic, so that a row means the same wherever it comes from.
//!
//! ```text
//! a CSV line ──┐
//!              ├─► field(column) ─► fact_from_fields ─► FactChange; of a blend, one for each of its gases
//! a JSON object┘        text                       └──► FactError: column, what is wrong, what to write
//! ```
//!
//! 1. An empty field is an absent one: CSV knows no other way to leave something out.
//! 2. Every number is read as a decimal, never as a float; every text against the list of what it may be.
//! 3. Validity is put on the accounting grid or refused: a fact that changed in the middle of a period
//!    would leave no way to say which of its two values a quarter of an hour was booked with.
//! 4. Names are interned last, when nothing can fail any more: refused rows leave nothing behind.
//!
//! Columns that another `kind` of meter uses are read and checked, and then rest: a table may be filled
//! from one template.

use std::borrow::Cow;

use jiff::tz::TimeZone;
use plumeline_pipelines::model::quantity::RATE_SCALE;
use plumeline_pipelines::model::time::DAY_MS;
use plumeline_pipelines::model::{
    Decimal, Fact, FactorChange, FactorRow, FactorStatus, Gas, GwpSet, MeterKind, MeterRow, Method,
    Names, NodeRow, PriceRow, SeriesKind, SeriesRow, StampSide, Total, Unit, Vintage,
};
use thiserror::Error;

use super::blend::kg_of_gases;
use super::contract::{CERTIFICATE_COLUMNS, CONTRACT_COLUMNS};
use super::fields::{Fields, error, missing, shortened};
use crate::near::nearest;

/// How long a power is held at most where `max_hold` is left out, ms.
pub const DEFAULT_MAX_HOLD_MS: i64 = 15 * 60_000;
/// The revision of a row that states none.
pub const DEFAULT_REVISION: i64 = 0;
/// Longest stretch of time a row or a reading may name, ms.
pub const STRETCH_MS_MAX: i64 = 366 * DAY_MS;
/// Longest name of a meter, node, factor or activity, bytes.
pub const NAME_BYTES_MAX: usize = 256;
/// Longest text for people (`name`, `source`), bytes.
pub const TEXT_BYTES_MAX: usize = 1024;

const METER_COLUMNS: [&str; 16] = [
    "meter",
    "node",
    "kind",
    "unit",
    "multiplier",
    "stamp",
    "interval",
    "max_hold",
    "modulus",
    "max_power",
    "expected_every",
    "factor",
    "valid_from",
    "valid_to",
    "revision",
    "withdrawn",
];
const FACTOR_COLUMNS: [&str; 15] = [
    "factor",
    "revision",
    "scope",
    "category",
    "method",
    "gas",
    "kg_per_unit",
    "unit",
    "published_gwp",
    "status",
    "change",
    "valid_from",
    "valid_to",
    "source",
    "withdrawn",
];
const SERIES_COLUMNS: [&str; 10] = [
    "factor",
    "series",
    "vintage",
    "year_begins",
    "total",
    "fallback",
    "valid_from",
    "valid_to",
    "revision",
    "withdrawn",
];
const PRICE_COLUMNS: [&str; 9] =
    ["unit", "to", "rate", "per", "valid_from", "valid_to", "revision", "source", "withdrawn"];
const NODE_COLUMNS: [&str; 7] =
    ["node", "parent", "name", "valid_from", "valid_to", "revision", "withdrawn"];

/// A table of facts.
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Table {
    /// Which meter counts what.
    Meters,
    /// What a unit of activity emits.
    Factors,
    /// How factors' versions are chosen.
    Series,
    /// The organisation's tree.
    Nodes,
    /// Which contracts cover whose load.
    Contracts,
    /// What was generated for them.
    Certificates,
    /// What money is worth.
    Prices,
}

/// A row that holds from now on, or one that is taken back.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct FactChange {
    /// The row.
    pub fact: Fact,
    /// Whether it is taken back.
    pub withdrawn: bool,
}

impl FactChange {
    /// As the dataflow takes it: with 1, or -1 where it is taken back.
    #[must_use]
    pub fn diff(self) -> (Fact, i64) {
        (self.fact, if self.withdrawn { -1 } else { 1 })
    }
}

/// Why fields make no row.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{column}: {message}; {remedy}")]
pub struct FactError {
    /// The column.
    pub column: String,
    /// What is wrong with it, with the text.
    pub message: String,
    /// What to write instead.
    pub remedy: String,
}

/// The columns of `table`, in their usual order.
#[must_use]
pub fn columns(table: Table) -> &'static [&'static str] {
    match table {
        Table::Meters => &METER_COLUMNS,
        Table::Factors => &FACTOR_COLUMNS,
        Table::Series => &SERIES_COLUMNS,
        Table::Nodes => &NODE_COLUMNS,
        Table::Contracts => &CONTRACT_COLUMNS,
        Table::Certificates => &CERTIFICATE_COLUMNS,
        Table::Prices => &PRICE_COLUMNS,
    }
}

/// Refuses a column that `table` does not have, naming the nearest one it has.
///
/// # Errors
/// If there is no such column.
pub fn check_column(table: Table, column: &str) -> Result<(), FactError> {
    let known = columns(table);
    if known.contains(&column) {
        return Ok(());
    }
    let remedy = match nearest(column, known.iter().copied()) {
        Some(near) => format!("write `{near}`, or remove it"),
        None => format!("the columns are {}", known.join(", ")),
    };
    Err(error(&shortened(column), "is no column of this table", remedy))
}

/// A row of `table` from its fields, each a text as a CSV cell holds it; an empty or absent field is left
/// out. A factor of a blend is a row for each of its gases. `timezone` says what a date without a time means, `period_ms` is the grid of validity.
///
/// Defaults: `multiplier` 1, `stamp` end, `max_hold` [`DEFAULT_MAX_HOLD_MS`], `method` any, `category` 0,
/// `per` 1, `name` the node itself, `share` 1, `priority` 0, `matching` hourly-1, `issued_wh` as `wh`, `valid_from`
/// always, `valid_to` open, `revision` [`DEFAULT_REVISION`],
/// `withdrawn` false.
///
/// # Errors
/// The first field that is missing or cannot be meant, in the order of [`columns`].
pub fn fact_from_fields<'f>(
    table: Table,
    field: &dyn Fn(&str) -> Option<Cow<'f, str>>,
    names: &Names,
    timezone: &TimeZone,
    period_ms: i64,
) -> Result<Vec<FactChange>, FactError> {
    let row = Fields { field, names, timezone, period_ms };
    let fact = match table {
        Table::Meters => Fact::Meter(row.meter()?),
        Table::Factors => return row.factor(),
        Table::Series => Fact::Series(row.series()?),
        Table::Nodes => Fact::Node(row.node()?),
        Table::Contracts => Fact::Contract(row.contract()?),
        Table::Certificates => Fact::Certificate(row.certificate()?),
        Table::Prices => Fact::Price(row.price()?),
    };
    Ok(vec![FactChange { fact, withdrawn: row.withdrawn()? }])
}

impl Fields<'_, '_> {
    fn meter(&self) -> Result<MeterRow, FactError> {
        let (meter, node) = (self.name("meter")?, self.name("node")?);
        let kind = self.one_of("kind", &["interval", "register", "power"], MeterKind::parse)?;
        let kind = kind.ok_or_else(|| missing("kind", "write interval, register or power"))?;
        let unit = self.unit("unit")?;
        if let Some(unit) = unit {
            kind_fits(kind, unit)?;
        }
        let multiplier = self.decimal("multiplier")?.unwrap_or(Decimal::ONE);
        if multiplier == Decimal::ZERO {
            let remedy = "write the factor values are multiplied with, or leave it empty for 1";
            return Err(error("multiplier", "`0` would lose every value", remedy));
        }
        let start = |text: &str| match text {
            "start" => Some(StampSide::Start),
            "end" => Some(StampSide::End),
            _ => None,
        };
        let stamp = self.one_of("stamp", &["start", "end"], start)?.unwrap_or(StampSide::End);
        let interval_ms = self.stretch("interval")?;
        if stamp == StampSide::Start && interval_ms.is_none() && kind == MeterKind::Interval {
            let remedy = "write the length of the interval in `interval`, such as 15m";
            return Err(error("stamp", "`start` needs to know where the interval ends", remedy));
        }
        let max_hold_ms = self.stretch("max_hold")?.unwrap_or(DEFAULT_MAX_HOLD_MS);
        let (modulus, max_power) = (self.positive("modulus")?, self.positive("max_power")?);
        let expected_every_ms = self.stretch("expected_every")?;
        let factor = self.optional_name("factor", NAME_BYTES_MAX)?;
        let (validity, revision) = (self.validity()?, self.revision()?);
        self.withdrawn()?;
        Ok(MeterRow {
            meter: self.names.intern(&meter),
            node: self.names.intern(&node),
            kind,
            unit,
            multiplier,
            stamp,
            interval_ms,
            max_hold_ms,
            modulus,
            max_power,
            expected_every_ms,
            factor: self.id(factor.as_deref()),
            validity,
            revision,
        })
    }

    fn factor(&self) -> Result<Vec<FactChange>, FactError> {
        let factor = self.name("factor")?;
        let revision = self.revision()?;
        let scope = self.small("scope", 3)?;
        let scope =
            scope.ok_or_else(|| missing("scope", "write 1, 2, 3, or 0 for outside of scopes"))?;
        let category = self.small("category", 15)?.unwrap_or(0);
        if category > 0 && scope != 3 {
            let message =
                format!("`{category}` is a category of scope 3, and the scope is {scope}");
            return Err(error("category", &message, "leave it empty, or correct the scope"));
        }
        let methods = Method::ALL.map(Method::name);
        let method = self.one_of("method", &methods, Method::parse)?.unwrap_or(Method::Any);
        let gases = self.gases()?;
        if gases.iter().any(|(gas, _)| *gas == Gas::Co2Biogenic) && scope != 0 {
            let message = format!("`{scope}` cannot be: co2_biogenic is told outside of scopes");
            return Err(error("scope", &message, "write 0"));
        }
        let kg_per_unit = self.decimal("kg_per_unit")?;
        let kg_per_unit = kg_per_unit
            .ok_or_else(|| missing("kg_per_unit", "write the kilograms of the gas per unit"))?;
        let unit = self.unit("unit")?;
        let unit = unit.ok_or_else(|| missing("unit", "write the unit it is per, such as kWh"))?;
        if kg_per_unit.is_negative() {
            let remedy = "write what is emitted; what is avoided is no emission of a factor";
            return Err(error("kg_per_unit", &format!("`{kg_per_unit}` is negative"), remedy));
        }
        let sets = GwpSet::ALL.map(GwpSet::name);
        let published_gwp = self.one_of("published_gwp", &sets, GwpSet::parse)?;
        if gases.iter().any(|(gas, _)| *gas == Gas::CfeKwh) {
            carbon_free((kg_per_unit, unit), (scope, method))?;
        }
        let kg_of_gases = kg_of_gases(&gases, (kg_per_unit, unit), published_gwp)?;
        let statuses = FactorStatus::ALL.map(FactorStatus::name);
        let status = self.one_of("status", &statuses, FactorStatus::parse)?.unwrap_or_default();
        let changes = FactorChange::ALL.map(FactorChange::name);
        let change = self.one_of("change", &changes, FactorChange::parse)?.unwrap_or_default();
        let validity = self.validity()?;
        let source = self.optional_name("source", TEXT_BYTES_MAX)?;
        let withdrawn = self.withdrawn()?;
        let (factor, source) = (self.names.intern(&factor), self.id(source.as_deref()));
        let row = |(gas, kg_per_unit)| FactorRow {
            factor,
            revision,
            scope,
            category,
            method,
            gas,
            kg_per_unit,
            unit,
            published_gwp,
            status,
            change,
            validity,
            source,
        };
        let changes = kg_of_gases.into_iter().map(|gas| Fact::Factor(row(gas)));
        Ok(changes.map(|fact| FactChange { fact, withdrawn }).collect())
    }

    fn series(&self) -> Result<SeriesRow, FactError> {
        let factor = self.name("factor")?;
        let kinds = SeriesKind::ALL.map(SeriesKind::name);
        let kind = self.one_of("series", &kinds, SeriesKind::parse)?.unwrap_or_default();
        let vintages = Vintage::ALL.map(Vintage::name);
        let vintage = self.one_of("vintage", &vintages, Vintage::parse)?.unwrap_or_default();
        let year_begins = self.small("year_begins", 12)?.unwrap_or(1);
        if year_begins == 0 {
            let remedy = "write the month in which the reporting year begins, 1 to 12";
            return Err(error("year_begins", "`0` is no month", remedy));
        }
        let totals = Total::ALL.map(Total::name);
        let total = self.one_of("total", &totals, Total::parse)?.unwrap_or_default();
        let fallback = self.optional_name("fallback", NAME_BYTES_MAX)?;
        if fallback.as_deref() == Some(&*factor) {
            let message = format!("`{factor}` is the factor itself");
            return Err(error("fallback", &message, "leave it empty if nothing stands in"));
        }
        let (validity, revision) = (self.validity()?, self.revision()?);
        self.withdrawn()?;
        Ok(SeriesRow {
            factor: self.names.intern(&factor),
            kind,
            vintage,
            year_begins,
            total,
            fallback: self.id(fallback.as_deref()),
            validity,
            revision,
        })
    }

    fn price(&self) -> Result<PriceRow, FactError> {
        let (unit, to) = (self.money("unit")?, self.money("to")?);
        if unit == to {
            let remedy = "write the money that it becomes, such as GBP@2021";
            return Err(error("to", &format!("`{to}` is the unit itself"), remedy));
        }
        let rate = self.price_number("rate")?;
        let rate = rate.ok_or_else(|| missing("rate", "write how many `to` one `unit` is"))?;
        let per = self.price_number("per")?.unwrap_or(Decimal::ONE);
        let (validity, revision) = (self.validity()?, self.revision()?);
        let source = self.optional_name("source", TEXT_BYTES_MAX)?;
        self.withdrawn()?;
        Ok(PriceRow {
            price: self.names.intern(&format!("{unit}/{to}")),
            unit,
            to,
            rate,
            per,
            validity,
            revision,
            source: self.id(source.as_deref()),
        })
    }

    fn node(&self) -> Result<NodeRow, FactError> {
        let node = self.name("node")?;
        let parent = self.optional_name("parent", NAME_BYTES_MAX)?;
        if parent.as_deref() == Some(&*node) {
            let message = format!("`{node}` is the node itself");
            return Err(error("parent", &message, "leave it empty for a root"));
        }
        let name = self.optional_name("name", TEXT_BYTES_MAX)?;
        let (validity, revision) = (self.validity()?, self.revision()?);
        self.withdrawn()?;
        let id = self.names.intern(&node);
        Ok(NodeRow {
            node: id,
            parent: self.id(parent.as_deref()),
            name: name.map_or(id, |name| self.names.intern(&name)),
            validity,
            revision,
        })
    }
}

/// A power is told in a unit of power, and nothing else is.
fn kind_fits(kind: MeterKind, unit: Unit) -> Result<(), FactError> {
    match (kind, unit.over_an_hour()) {
        (MeterKind::Power, None) => {
            let message = format!("`{unit}` is no unit of power or flow, and the kind is power");
            Err(error("unit", &message, "write kW, m3/h, ..., or correct the kind"))
        }
        (MeterKind::Interval | MeterKind::Register, Some(amount)) => {
            let message = format!("`{unit}` is a power, and the kind is {}", kind.name());
            Err(error("unit", &message, format!("write `{amount}`, or kind = power")))
        }
        _ => Ok(()),
    }
}

/// A part of energy, told beside what is market-based of scope 2.
fn carbon_free(
    (kwh_per_unit, unit): (Decimal, Unit),
    (scope, method): (u8, Method),
) -> Result<(), FactError> {
    if (scope, method) != (2, Method::Market) {
        let message = format!("`cfe_kwh` is told of scope {scope}, method {}", method.name());
        return Err(error("method", &message, "write scope = 2 and method = market"));
    }
    let kwh = Unit::parse("kWh").expect("the table has kWh");
    let Ok(part) = unit.rate(kwh_per_unit, kwh, (1, 1)) else {
        let message = format!("`{unit}` is no unit of energy");
        return Err(error("unit", &message, "write kWh, and the carbon-free part of one"));
    };
    if part > 10_i128.pow(RATE_SCALE.into()) {
        let message = format!("`{kwh_per_unit}` kWh of a {unit} is more than all of it");
        return Err(error("kg_per_unit", &message, "write the carbon-free part of a kWh: 0 to 1"));
    }
    Ok(())
}

/// A rate in the range the ledger's columns hold, whichever set of potentials applies.
pub(super) fn rate_fits(
    (kg_per_unit, unit): (Decimal, Unit),
    gas: Gas,
    published: Option<GwpSet>,
) -> Result<(), FactError> {
    if let Some(amount) = unit.over_an_hour() {
        let message = format!("`{unit}` is a power: activity is told in amounts");
        return Err(error("unit", &message, format!("write `{amount}`")));
    }
    let Some(mass) = gas.mass_ratio(published) else {
        let message = format!("{} has no CO2e in any set", gas.name());
        return Err(error("published_gwp", &message, "leave it empty, and write kg of the gas"));
    };
    let co2e = GwpSet::ALL.into_iter().filter_map(|set| gas.co2e_ratio(published, set));
    for times in co2e.chain([mass]) {
        if unit.rate(kg_per_unit, unit.base(), times).is_err() {
            let message =
                format!("`{kg_per_unit}` kg {} per {unit} is more than a rate can be", gas.name());
            return Err(error("kg_per_unit", &message, "check the unit: kilograms, per one unit"));
        }
    }
    Ok(())
}

#[cfg(test)]
#[path = "fact_tests.rs"]
mod tests;
