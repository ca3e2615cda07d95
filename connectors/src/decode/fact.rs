//! Rows of the three fact tables from named text fields: the same for a line of a CSV file and an object
//! on a topic, so that a row means the same wherever it comes from.
//!
//! ```text
//! a CSV line ──┐
//!              ├─► field(column) ─► fact_from_fields ─► FactChange
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

use jiff::civil::Date;
use jiff::tz::TimeZone;
use plumeline_pipelines::model::time::{DAY_MS, EARLIEST_MS, LATEST_MS};
use plumeline_pipelines::model::{
    Decimal, Fact, FactorRow, Gas, GwpSet, Id, MeterKind, MeterRow, Method, Names, NodeRow,
    StampSide, Unit, Validity,
};
use thiserror::Error;

use super::time::{parse_duration_ms, parse_instant_ms, shown_ms};
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
const FACTOR_COLUMNS: [&str; 12] = [
    "factor",
    "revision",
    "scope",
    "category",
    "method",
    "gas",
    "kg_per_unit",
    "unit",
    "valid_from",
    "valid_to",
    "source",
    "withdrawn",
];
const NODE_COLUMNS: [&str; 7] =
    ["node", "parent", "name", "valid_from", "valid_to", "revision", "withdrawn"];

/// A table of facts.
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Table {
    /// Which meter counts what.
    Meters,
    /// What a unit of activity emits.
    Factors,
    /// The organisation's tree.
    Nodes,
}

/// A row that holds from now on, or one that is taken back.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct FactChange {
    /// The row.
    pub fact: Fact,
    /// Whether it is taken back.
    pub withdrawn: bool,
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
        Table::Nodes => &NODE_COLUMNS,
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
/// out. `timezone` says what a date without a time means, `period_ms` is the grid of validity.
///
/// Defaults: `multiplier` 1, `stamp` end, `max_hold` [`DEFAULT_MAX_HOLD_MS`], `method` any, `category` 0,
/// `name` the node itself, `valid_from` always, `valid_to` open, `revision` [`DEFAULT_REVISION`],
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
) -> Result<FactChange, FactError> {
    let row = Fields { field, names, timezone, period_ms };
    let fact = match table {
        Table::Meters => Fact::Meter(row.meter()?),
        Table::Factors => Fact::Factor(row.factor()?),
        Table::Nodes => Fact::Node(row.node()?),
    };
    Ok(FactChange { fact, withdrawn: row.withdrawn()? })
}

/// The fields of one row, and what is needed to read them.
struct Fields<'r, 'f> {
    field: &'r dyn Fn(&str) -> Option<Cow<'f, str>>,
    names: &'r Names,
    timezone: &'r TimeZone,
    period_ms: i64,
}

impl<'f> Fields<'_, 'f> {
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

    fn factor(&self) -> Result<FactorRow, FactError> {
        let factor = self.name("factor")?;
        let revision = self.revision()?;
        let scope = self.small("scope", 3)?;
        let scope = scope.ok_or_else(|| missing("scope", "write 1, 2, 3, or 0 for outside of scopes"))?;
        let category = self.small("category", 15)?.unwrap_or(0);
        if category > 0 && scope != 3 {
            let message = format!("`{category}` is a category of scope 3, and the scope is {scope}");
            return Err(error("category", &message, "leave it empty, or correct the scope"));
        }
        let methods = Method::ALL.map(Method::name);
        let method = self.one_of("method", &methods, Method::parse)?.unwrap_or(Method::Any);
        let gases: Vec<&str> = Gas::ALL.iter().map(|gas| gas.name()).collect();
        let gas = self.one_of("gas", &gases, Gas::parse)?;
        let gas = gas.ok_or_else(|| missing("gas", "write co2, ch4, n2o, ..., or co2e"))?;
        if gas == Gas::Co2Biogenic && scope != 0 {
            let message = format!("`{scope}` cannot be: co2_biogenic is told outside of scopes");
            return Err(error("scope", &message, "write 0"));
        }
        let kg_per_unit = self.decimal("kg_per_unit")?;
        let kg_per_unit =
            kg_per_unit.ok_or_else(|| missing("kg_per_unit", "write the kilograms of the gas per unit"))?;
        let unit = self.unit("unit")?;
        let unit = unit.ok_or_else(|| missing("unit", "write the unit it is per, such as kWh"))?;
        rate_fits(kg_per_unit, unit, gas)?;
        let validity = self.validity()?;
        let source = self.optional_name("source", TEXT_BYTES_MAX)?;
        self.withdrawn()?;
        Ok(FactorRow {
            factor: self.names.intern(&factor),
            revision,
            scope,
            category,
            method,
            gas,
            kg_per_unit,
            unit,
            validity,
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

    /// The field, if there is something in it.
    fn text(&self, column: &str) -> Option<Cow<'f, str>> {
        match (self.field)(column)? {
            Cow::Borrowed(text) => Some(Cow::Borrowed(text.trim())),
            Cow::Owned(text) => Some(Cow::Owned(text.trim().to_owned())),
        }
        .filter(|text| !text.is_empty())
    }

    fn id(&self, name: Option<&str>) -> Id {
        name.map_or(Id::NONE, |name| self.names.intern(name))
    }

    fn name(&self, column: &str) -> Result<Cow<'f, str>, FactError> {
        self.optional_name(column, NAME_BYTES_MAX)?
            .ok_or_else(|| missing(column, "every row needs one"))
    }

    fn optional_name(&self, column: &str, bytes_max: usize) -> Result<Option<Cow<'f, str>>, FactError> {
        let Some(text) = self.text(column) else { return Ok(None) };
        if text.len() > bytes_max {
            let message = format!("`{}...` is longer than {bytes_max} bytes", shortened(&text));
            return Err(error(column, &message, "shorten it"));
        }
        if text.chars().any(char::is_control) {
            let message = format!("`{}` holds a control character", shortened(&text).escape_debug());
            return Err(error(column, &message, "remove it"));
        }
        Ok(Some(text))
    }

    fn one_of<T>(
        &self,
        column: &str,
        known: &[&str],
        parse: impl Fn(&str) -> Option<T>,
    ) -> Result<Option<T>, FactError> {
        let Some(text) = self.text(column) else { return Ok(None) };
        if let Some(value) = parse(&text) {
            return Ok(Some(value));
        }
        let remedy = match nearest(&text, known.iter().copied()) {
            Some(near) => format!("write `{near}`"),
            None => format!("write one of {}", known.join(", ")),
        };
        Err(error(column, &format!("`{}` is not known", shortened(&text)), remedy))
    }

    fn unit(&self, column: &str) -> Result<Option<Unit>, FactError> {
        let symbols: Vec<&str> = Unit::all().map(Unit::symbol).collect();
        self.one_of(column, &symbols, |text| Unit::parse(text).ok())
    }

    fn decimal(&self, column: &str) -> Result<Option<Decimal>, FactError> {
        let Some(text) = self.text(column) else { return Ok(None) };
        let remedy = "write digits with a point, such as 0.20707";
        Decimal::parse(&text).map(Some).map_err(|cause| error(column, &cause.to_string(), remedy))
    }

    fn positive(&self, column: &str) -> Result<Option<Decimal>, FactError> {
        let value = self.decimal(column)?;
        match value {
            Some(value) if value.mantissa() <= 0 => {
                Err(error(column, &format!("`{value}` is not above 0"), "leave it empty for none"))
            }
            _ => Ok(value),
        }
    }

    fn small(&self, column: &str, max: u8) -> Result<Option<u8>, FactError> {
        let Some(text) = self.text(column) else { return Ok(None) };
        let number = text.parse().ok().filter(|number| *number <= max);
        let message = || format!("`{}` is no whole number from 0 to {max}", shortened(&text));
        number.map(Some).ok_or_else(|| error(column, &message(), format!("write 0 to {max}")))
    }

    fn revision(&self) -> Result<i64, FactError> {
        let Some(text) = self.text("revision") else { return Ok(DEFAULT_REVISION) };
        let message = || format!("`{}` is no whole number", shortened(&text));
        text.parse().map_err(|_| error("revision", &message(), "write 1, 2, 3, ..."))
    }

    fn withdrawn(&self) -> Result<bool, FactError> {
        let parse = |text: &str| text.parse::<bool>().ok();
        Ok(self.one_of("withdrawn", &["true", "false"], parse)?.unwrap_or(false))
    }

    fn stretch(&self, column: &str) -> Result<Option<i64>, FactError> {
        let Some(text) = self.text(column) else { return Ok(None) };
        let remedy = "write a length such as 15m, 1h or 1d";
        let ms = parse_duration_ms(&text).map_err(|cause| error(column, &cause.to_string(), remedy))?;
        if !(1..=STRETCH_MS_MAX).contains(&ms) {
            let message = format!("`{}` is not between 1ms and 366d", shortened(&text));
            return Err(error(column, &message, remedy));
        }
        Ok(Some(ms))
    }

    fn validity(&self) -> Result<Validity, FactError> {
        let from_ms = self.boundary("valid_from")?.unwrap_or(Validity::ALWAYS.from_ms);
        let to_ms = self.boundary("valid_to")?.unwrap_or(LATEST_MS);
        if from_ms >= to_ms {
            let message = format!("{} is not after valid_from, {}", shown_ms(to_ms), shown_ms(from_ms));
            let remedy = "write the first instant at which the row no longer holds, or leave it empty";
            return Err(error("valid_to", &message, remedy));
        }
        Ok(Validity { from_ms, to_ms })
    }

    /// An instant, or the first instant of a civil day, on the grid of periods.
    fn boundary(&self, column: &str) -> Result<Option<i64>, FactError> {
        let Some(text) = self.text(column) else { return Ok(None) };
        let ms = self.instant(column, &text)?;
        if !(EARLIEST_MS..=LATEST_MS).contains(&ms) {
            let message = format!("`{text}` is not between 2000-01-01 and 2099-12-31");
            return Err(error(column, &message, "leave it empty for always"));
        }
        let off_grid_ms = ms.rem_euclid(self.period_ms);
        if off_grid_ms > 0 && ms != LATEST_MS {
            let near = shown_ms(ms - off_grid_ms);
            let message = format!("`{text}` is in the middle of an accounting period");
            return Err(error(column, &message, format!("write {near}, or choose a shorter `period`")));
        }
        Ok(Some(ms))
    }

    fn instant(&self, column: &str, text: &str) -> Result<i64, FactError> {
        let remedy = "write a date such as 2026-01-31, or an instant such as 2026-01-31T00:00:00Z";
        // Dates are ten bytes long, and nothing else is.
        if text.len() != 10 {
            let refused = |cause| error(column, &format!("`{}` {cause}", shortened(text)), remedy);
            return parse_instant_ms(text).map_err(refused);
        }
        let message = || format!("`{text}` is not a day of the calendar");
        let date: Date = text.parse().map_err(|_| error(column, &message(), remedy))?;
        let midnight = date.to_zoned(self.timezone.clone());
        let midnight = midnight.map_err(|_| error(column, &message(), remedy))?;
        Ok(midnight.timestamp().as_millisecond())
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

/// A rate in the range the ledger's columns hold, whichever set of potentials applies.
fn rate_fits(kg_per_unit: Decimal, unit: Unit, gas: Gas) -> Result<(), FactError> {
    if let Some(amount) = unit.over_an_hour() {
        let message = format!("`{unit}` is a power: activity is told in amounts");
        return Err(error("unit", &message, format!("write `{amount}`")));
    }
    for set in [GwpSet::Ar4, GwpSet::Ar5, GwpSet::Ar6] {
        if unit.rate(kg_per_unit, unit.base(), gas.gwp_tenths(set).max(10)).is_err() {
            let message =
                format!("`{kg_per_unit}` kg {} per {unit} is more than a rate can be", gas.name());
            return Err(error("kg_per_unit", &message, "check the unit: kilograms, per one unit"));
        }
    }
    Ok(())
}

fn error(column: &str, message: &str, remedy: impl Into<String>) -> FactError {
    FactError { column: column.into(), message: message.into(), remedy: remedy.into() }
}

fn missing(column: &str, remedy: &str) -> FactError {
    error(column, "is empty", remedy)
}

/// A text as an error shows it.
fn shortened(text: &str) -> String {
    text.chars().take(64).collect()
}

#[cfg(test)]
#[path = "fact_tests.rs"]
mod tests;
