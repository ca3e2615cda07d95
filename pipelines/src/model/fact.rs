//! Facts: versioned rows of the meter, factor, series, price and node tables (those of contracts: [`super::contract`]).
//!
//! Validity is half-open `[from, to)` in ms, on the period grid. Within a key the highest `revision` wins
//! where intervals overlap. A withdrawn row is one that is no longer among the facts: whoever feeds the
//! engine retracts it.

use serde::{Deserialize, Serialize};

use super::contract::{CertificateRow, ContractRow};
use super::decimal::Decimal;
use super::factor::{FactorChange, FactorStatus, SeriesKind, Total, Vintage};
use super::gas::{Gas, GwpSet};
use super::names::Id;
use super::time::{Cause, LATEST_MS};
use super::unit::Unit;

/// When a row holds: `[from_ms, to_ms)`.
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Validity {
    /// First instant, ms UTC.
    pub from_ms: i64,
    /// First instant after, ms UTC; [`LATEST_MS`] when open.
    pub to_ms: i64,
}

impl Validity {
    /// Always.
    pub const ALWAYS: Self = Self { from_ms: 0, to_ms: LATEST_MS };

    /// Whether it holds at `ms`.
    #[must_use]
    pub fn holds(self, ms: i64) -> bool {
        self.from_ms <= ms && ms < self.to_ms
    }
}

/// How a meter counts.
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum MeterKind {
    /// The value is the amount of a stretch of time.
    Interval,
    /// The value is a position; amounts are differences of positions.
    Register,
    /// The value is a power, held until the next stamp.
    Power,
}

impl MeterKind {
    /// `interval`, `register`, `power`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Interval => "interval",
            Self::Register => "register",
            Self::Power => "power",
        }
    }

    /// The kind called `name`.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        [Self::Interval, Self::Register, Self::Power].into_iter().find(|kind| kind.name() == name)
    }
}

/// Which side of its interval a stamp stands on.
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum StampSide {
    /// The stamp opens the interval.
    Start,
    /// The stamp closes it.
    End,
}

/// A revision of a meter.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct MeterRow {
    /// The meter.
    pub meter: Id,
    /// The node its activity is booked to.
    pub node: Id,
    /// How it counts.
    pub kind: MeterKind,
    /// The unit of its values; `None` leaves it to each reading.
    pub unit: Option<Unit>,
    /// Values are multiplied by it (a current transformer's ratio). 1 by default.
    pub multiplier: Decimal,
    /// For `interval` meters with `interval_ms`.
    pub stamp: StampSide,
    /// Length of the stretch a value stands for, ms.
    pub interval_ms: Option<i64>,
    /// How long a power is held at most, ms.
    pub max_hold_ms: i64,
    /// A register's positions run from 0 to just below it, in `unit` before the multiplier.
    pub modulus: Option<Decimal>,
    /// The most a register can advance in an hour, in `unit` before the multiplier (kW for kWh).
    pub max_power: Option<Decimal>,
    /// How often a reading is due, ms; informs operators, books nothing.
    pub expected_every_ms: Option<i64>,
    /// The factor its activity is multiplied with; `Id::NONE` books activity alone.
    pub factor: Id,
    /// When the row holds.
    pub validity: Validity,
    /// The highest one wins where rows overlap.
    pub revision: i64,
}

/// One line of a factor's recipe.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct FactorRow {
    /// The factor.
    pub factor: Id,
    /// The highest one wins where versions overlap; all lines of a version share it.
    pub revision: i64,
    /// 1, 2, 3, or 0 for outside of scopes.
    pub scope: u8,
    /// Scope 3 category 1 to 15; 0 for none.
    pub category: u8,
    /// How scope 2 is told: `any`, `location`, `market`.
    pub method: Method,
    /// The gas emitted.
    pub gas: Gas,
    /// Kilograms per `unit`: of that gas, or of its CO2e where `published_gwp` says in which set.
    pub kg_per_unit: Decimal,
    /// The unit of the activity it applies to.
    pub unit: Unit,
    /// The set in which the publisher told the gas as CO2e. On a line of gas `co2e` beside lines of other gases it
    /// makes the line their printed total (see [`super::recipe`]).
    #[serde(default)]
    pub published_gwp: Option<GwpSet>,
    /// How sure the publisher is of it.
    #[serde(default)]
    pub status: FactorStatus,
    /// Why this revision was made, as its publisher says.
    #[serde(default)]
    pub change: FactorChange,
    /// When the line holds.
    pub validity: Validity,
    /// The publication it was taken from.
    pub source: Id,
}

/// How a factor's versions are chosen from and what its totals are.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct SeriesRow {
    /// The factor.
    pub factor: Id,
    /// Whether its published values may change.
    pub kind: SeriesKind,
    /// Which year's version a period takes.
    pub vintage: Vintage,
    /// The month in which the reporting year begins, 1 to 12: what `vintage` goes by.
    pub year_begins: u8,
    /// What counts where its publisher prints a total beside the gases.
    pub total: Total,
    /// The factor that stands in where this one has no version: a month's for an hour's, a country's for a zone's;
    /// `Id::NONE` if none does.
    pub fallback: Id,
    /// When the row holds.
    pub validity: Validity,
    /// The highest one wins where rows overlap.
    pub revision: i64,
}

/// What money is worth in other money: `per` of `unit` are `rate` of `to` (see [`super::price`]).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct PriceRow {
    /// Its name: `EUR/GBP@2021`, from `unit` and `to`.
    pub price: Id,
    /// The money that activity is in.
    pub unit: Unit,
    /// The money that it becomes.
    pub to: Unit,
    /// How many `to`; above 0, of at most [`super::price::PRICE_DIGITS_MAX`] digits and decimals.
    pub rate: Decimal,
    /// For how many `unit`; as `rate`.
    pub per: Decimal,
    /// When the row holds.
    pub validity: Validity,
    /// The highest one wins where rows overlap.
    pub revision: i64,
    /// The publication it was taken from.
    pub source: Id,
}

/// A revision of a node of the organisation's tree.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct NodeRow {
    /// The node.
    pub node: Id,
    /// Its parent; `Id::NONE` for a root.
    pub parent: Id,
    /// Its name for people.
    pub name: Id,
    /// When the row holds.
    pub validity: Validity,
    /// The highest one wins where rows overlap.
    pub revision: i64,
}

/// Which of scope 2's two answers a line belongs to.
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[repr(u8)]
pub enum Method {
    /// Both.
    Any,
    /// Location-based.
    Location,
    /// Market-based.
    Market,
}

impl Method {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Any, Self::Location, Self::Market];

    /// `any`, `location`, `market`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Any => "any",
            Self::Location => "location",
            Self::Market => "market",
        }
    }

    /// The method called `name`.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|method| method.name() == name)
    }
}

/// A row of any of the fact tables.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Fact {
    /// Of `meters`.
    Meter(MeterRow),
    /// Of `factors`.
    Factor(FactorRow),
    /// Of `nodes`.
    Node(NodeRow),
    /// Of `series`.
    Series(SeriesRow),
    /// Of `contracts`.
    Contract(ContractRow),
    /// Of `certificates`.
    Certificate(CertificateRow),
    /// Of `prices`.
    Price(PriceRow),
}

impl Fact {
    /// The sub-tick at which it is applied.
    #[must_use]
    pub fn cause(&self) -> Cause {
        match self {
            Self::Node(_) => Cause::Nodes,
            Self::Meter(_) => Cause::Meters,
            Self::Factor(_) | Self::Series(_) | Self::Price(_) => Cause::Factors,
            Self::Contract(_) | Self::Certificate(_) => Cause::Contracts,
        }
    }
}
