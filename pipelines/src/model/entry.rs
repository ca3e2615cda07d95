//! Entries of the ledger: what the dataflow hands to the sinks.

use serde::{Deserialize, Serialize};

use super::fact::Method;
use super::gas::Gas;
use super::names::Id;
use super::quantity::{Emission, Measure};
use super::record::{ActivityRecord, Outcome, Reading, Subject};
use super::time::{Period, Tick};
use super::unit::Unit;

/// Why an entry was written: the first time, or what it corrects for. Sources: UK Environmental Reporting Guidelines,
/// pp. 17-19 (recalculation); ESRS 1, 96-98 (errors and estimates).
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[repr(u8)]
pub enum Reason {
    /// The period settled.
    Booked,
    /// Something changed after the period had settled, in more than one way, or below the horizon.
    Restated,
    /// Booked for the first time, but below the horizon: what it is about was heard of too late to be on time, as
    /// in an import of history.
    Backfill,
    /// All CO2e is in another GWP set from now on.
    GwpChange,
    /// The program means something else by its rules from now on; or a meter is under another factor, or a factor's
    /// versions are chosen by another rule.
    MethodChange,
    /// A reading or an activity came after its period had settled.
    ReadingLate,
    /// A reading or an activity that was known was corrected or taken back.
    ReadingCorrected,
    /// A value that came in time tells of settled periods for which there was none; or an open power's hold ran out
    /// after its period had settled.
    GapClosed,
    /// A meter's row changed in what it says of the meter: exchanged, or described wrongly before.
    MeterExchange,
    /// A meter or activity belongs to another node.
    Structural,
    /// A factor was revised, or a finer or coarser one holds.
    FactorRevised,
    /// A factor was published in error, and corrected.
    FactorError,
    /// A factor's version that begins later than the one before it took a settled period over, or the first of all did.
    FactorNewVintage,
    /// A contract or a certificate came, went or changed.
    ContractChange,
    /// A price index or an exchange rate came, went or was revised.
    PriceRevised,
}

/// Reasons by name.
const REASONS: [(Reason, &str); 15] = [
    (Reason::Booked, "booked"),
    (Reason::Restated, "restated"),
    (Reason::Backfill, "backfill"),
    (Reason::GwpChange, "gwp_change"),
    (Reason::MethodChange, "method_change"),
    (Reason::ReadingLate, "reading_late"),
    (Reason::ReadingCorrected, "reading_corrected"),
    (Reason::GapClosed, "gap_closed"),
    (Reason::MeterExchange, "meter_exchange"),
    (Reason::Structural, "structural"),
    (Reason::FactorRevised, "factor_revised"),
    (Reason::FactorError, "factor_error"),
    (Reason::FactorNewVintage, "factor_new_vintage"),
    (Reason::ContractChange, "contract_change"),
    (Reason::PriceRevised, "price_revised"),
];

impl Reason {
    /// All of them.
    pub fn all() -> impl Iterator<Item = Self> {
        REASONS.into_iter().map(|(reason, _)| reason)
    }

    /// Whether an entry corrects others; else it is the first.
    #[must_use]
    pub fn is_restatement(self) -> bool {
        !matches!(self, Self::Booked | Self::Backfill)
    }

    /// Its name in tables and labels: `booked`, `reading_late`, ...
    ///
    /// # Panics
    /// Never: all have one.
    #[must_use]
    pub fn name(self) -> &'static str {
        let named = REASONS.iter().find(|(reason, _)| *reason == self);
        named.expect("every reason has a name").1
    }

    /// The reason called `name`.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        REASONS.iter().find(|(_, called)| *called == name).map(|(reason, _)| *reason)
    }
}

/// What an amount is booked under. The balance of a key is the sum of its entries.
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ActivityKey {
    /// The accounting period.
    pub period: Period,
    /// The node.
    pub node: Id,
    /// The meter or activity.
    pub subject: Subject,
    /// The unit, a family's base: `kWh`, `kg`, `lb`, ...; the table's columns `quantity` (its
    /// dimension) and `unit` follow from it.
    pub unit: Unit,
    /// The factor it is multiplied with; not a column of `activity`.
    pub factor: Id,
}

/// An entry of `activity`.
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ActivityEntry {
    /// What it is about.
    pub key: ActivityKey,
    /// Why it was written.
    pub reason: Reason,
    /// How the balance changes.
    pub change: Measure,
}

/// What an emission is booked under.
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct EmissionKey {
    /// The activity it comes from.
    pub activity: ActivityKey,
    /// The line of the factor.
    pub line: Line,
}

/// A line of a factor version, its rate rounded to 1e-12 kg per unit of the activity.
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Line {
    /// 1, 2, 3, or 0 for outside of scopes.
    pub scope: u8,
    /// Scope 3 category; 0 for none.
    pub category: u8,
    /// Scope 2's method.
    pub method: Method,
    /// The gas.
    pub gas: Gas,
    /// The factor's revision.
    pub revision: i64,
    /// 1e-12 kg of the gas per unit of the activity: the column `rate_kg_per_unit`.
    pub rate: i64,
}

/// An entry of `emissions`. `mass_kg` is null for gas `co2e`.
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct EmissionEntry {
    /// What it is about.
    pub key: EmissionKey,
    /// Why it was written.
    pub reason: Reason,
    /// How the balance changes.
    pub change: Emission,
}

/// What a node's footprint is booked under.
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct FootprintKey {
    /// Start of the hour (of the period, where that is longer), ms.
    pub start_ms: i64,
    /// The first instant after it, ms.
    pub end_ms: i64,
    /// The node, at any level of the tree.
    pub node: Id,
    /// Its level: 0 for a root.
    pub depth: u8,
    /// See [`Line::scope`].
    pub scope: u8,
    /// See [`Line::category`].
    pub category: u8,
    /// See [`Line::method`].
    pub method: Method,
    /// See [`Line::gas`].
    pub gas: Gas,
}

/// An entry of `footprints`.
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct FootprintEntry {
    /// What it is about.
    pub key: FootprintKey,
    /// How the balance changes.
    pub change: Emission,
}

/// A live balance: a node's footprint in a window.
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct WindowKey {
    /// 0 is `open`, the running period; n is the n-th of the policy's windows.
    pub window: u8,
    /// The node.
    pub node: Id,
    /// Its level: 0 for a root.
    pub depth: u8,
    /// See [`Line::scope`].
    pub scope: u8,
    /// See [`Line::method`].
    pub method: Method,
    /// See [`Line::gas`].
    pub gas: Gas,
}

/// A change of a live balance.
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct WindowEntry {
    /// What it is about.
    pub key: WindowKey,
    /// When.
    pub tick: Tick,
    /// How the balance changes.
    pub change: Emission,
}

/// A row of `readings` or `activity_data`: a record that said something new, and what became of it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Received<R> {
    /// As decoded; a withdrawal has no value.
    pub record: R,
    /// The instant it came under, ms.
    pub received_ms: i64,
    /// `Booked`; `Parked` where it waits for a fact, or for a restatement below the horizon; `Rejected` where it
    /// does not fit the meter's rows as they are, but may fit later ones.
    pub outcome: Outcome,
}

/// A row of `readings`.
pub type ReadingEntry = Received<Reading>;
/// A row of `activity_data`.
pub type ActivityDataEntry = Received<ActivityRecord>;

/// What happened to a refused or waiting payload.
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[repr(u8)]
pub enum RejectEvent {
    /// It was refused.
    Rejected,
    /// It waits for a fact.
    Parked,
    /// What it waited for has come.
    Resolved,
}

impl RejectEvent {
    /// `rejected`, `parked`, `resolved`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Rejected => "rejected",
            Self::Parked => "parked",
            Self::Resolved => "resolved",
        }
    }
}

/// A row of `rejects`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct RejectEntry {
    /// Its source: index in the pipeline file.
    pub source: u16,
    /// See [`super::Arrival::position`].
    pub position: u64,
    /// Its element in the payload, from 0.
    pub element: u32,
    /// What happened.
    pub event: RejectEvent,
    /// Why, in a sentence fragment: what was wrong, with the text that was.
    pub reason: String,
    /// The payload's bytes, cut at 64 KiB; empty where only a decoded reading is at hand.
    pub raw: Vec<u8>,
}
