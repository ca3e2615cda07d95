//! Entries of the ledger: what the dataflow hands to the sinks.

use serde::{Deserialize, Serialize};

use super::fact::Method;
use super::gas::Gas;
use super::names::Id;
use super::quantity::{Emission, Measure};
use super::record::{ActivityRecord, Outcome, Reading, Subject};
use super::time::{Period, Tick};
use super::unit::Unit;

/// Why an entry was written.
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[repr(u8)]
pub enum Reason {
    /// The period settled.
    Booked,
    /// Something changed after the period had settled.
    Restated,
    /// Booked for the first time, but below the horizon: what it is about was heard of too late to be on time, as
    /// in an import of history.
    Backfill,
    /// All CO2e is in another GWP set from now on.
    GwpChange,
    /// The program means something else by its rules from now on.
    MethodChange,
}

impl Reason {
    /// Whether an entry corrects others; else it is the first.
    #[must_use]
    pub fn is_restatement(self) -> bool {
        !matches!(self, Self::Booked | Self::Backfill)
    }

    /// `booked`, `restated`, `backfill`, `gwp_change`, `method_change`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Booked => "booked",
            Self::Restated => "restated",
            Self::Backfill => "backfill",
            Self::GwpChange => "gwp_change",
            Self::MethodChange => "method_change",
        }
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
