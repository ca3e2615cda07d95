//! What arrives: readings of meters, activities of business systems.

use serde::{Deserialize, Serialize};

use super::decimal::Decimal;
use super::names::Id;
use super::unit::Unit;

/// Where a record came from: the order of arrivals decides where nothing else does.
#[derive(
    Copy, Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct Arrival {
    /// Counts records in the order the ingest took them in.
    pub index: u64,
    /// Its source: index in the pipeline file.
    pub source: u16,
    /// Its element in the payload, from 0.
    pub element: u32,
    /// The payload's position in its source: a line of a file; a Kafka offset, plus partition times 2^44, plus
    /// the topic's place among the source's times 2^56; for MQTT, which has none, a count of publishes from
    /// the start of the run, in ms times 2^20.
    pub position: u64,
}

/// How a value came about, as the sender says.
#[derive(
    Copy, Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[repr(u8)]
pub enum Quality {
    /// By an instrument; the default.
    #[default]
    Measured,
    /// Estimated by the sender.
    Estimated,
    /// Put in place of a missing value by a rule.
    Substituted,
}

impl Quality {
    /// `measured`, `estimated`, `substituted`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Measured => "measured",
            Self::Estimated => "estimated",
            Self::Substituted => "substituted",
        }
    }

    /// The quality called `name`.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        [Self::Measured, Self::Estimated, Self::Substituted].into_iter().find(|q| q.name() == name)
    }
}

/// One reading of a meter.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Reading {
    /// The meter.
    pub meter: Id,
    /// The instant it stands for, ms; the end of its interval where `from_ms` is given.
    pub at_ms: i64,
    /// The start of an interval given by the sender.
    pub from_ms: Option<i64>,
    /// The value; `None` takes the reading back (`"withdraw": true`).
    pub value: Option<Decimal>,
    /// The unit as sent; `None` leaves it to the meter table.
    pub unit: Option<Unit>,
    /// 0 for none: the highest version of an instant wins.
    pub version: u32,
    /// How the value came about.
    pub quality: Quality,
    /// Where it came from.
    pub arrival: Arrival,
}

/// One activity of a business system: a quantity over a stretch of time, without a meter.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ActivityRecord {
    /// Its id.
    pub activity: Id,
    /// The node it is booked to.
    pub node: Id,
    /// The factor it is multiplied with; `Id::NONE` books activity alone.
    pub factor: Id,
    /// The stretch `[from_ms, to_ms)` it spreads over.
    pub from_ms: i64,
    /// See `from_ms`.
    pub to_ms: i64,
    /// The quantity; `None` takes the activity back.
    pub value: Option<Decimal>,
    /// Its unit.
    pub unit: Unit,
    /// 0 for none: the highest version of an activity wins.
    pub version: u32,
    /// How the value came about.
    pub quality: Quality,
    /// Where it came from.
    pub arrival: Arrival,
}

/// What an activity is of: a meter, or an activity of a business system; or what contracts cover of these.
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Subject {
    /// A meter.
    Meter(Id),
    /// An activity id.
    Activity(Id),
    /// Load that this contract covers. The load itself is of its meters.
    Contract(Id),
    /// Load under this factor that no contract covers, where there are contracts for it.
    Uncovered(Id),
}

impl Subject {
    /// Its name's id.
    #[must_use]
    pub fn id(self) -> Id {
        match self {
            Self::Meter(id) | Self::Activity(id) | Self::Contract(id) | Self::Uncovered(id) => id,
        }
    }

    /// `meter`, `activity`, `contract`, `uncovered`: the column `subject_kind`.
    #[must_use]
    pub fn kind(self) -> &'static str {
        match self {
            Self::Meter(_) => "meter",
            Self::Activity(_) => "activity",
            Self::Contract(_) => "contract",
            Self::Uncovered(_) => "uncovered",
        }
    }

    /// The subject of that kind and name.
    #[must_use]
    pub fn parse(kind: &str, id: Id) -> Option<Self> {
        let all = [Self::Meter(id), Self::Activity(id), Self::Contract(id), Self::Uncovered(id)];
        all.into_iter().find(|subject| subject.kind() == kind)
    }

    /// Its kind's place among all kinds: what digests and the order of rows go by.
    #[must_use]
    pub fn rank(self) -> u8 {
        match self {
            Self::Meter(_) => 0,
            Self::Activity(_) => 1,
            Self::Contract(_) => 2,
            Self::Uncovered(_) => 3,
        }
    }

    /// Whether records are about it; else it follows from others.
    #[must_use]
    pub fn has_records(self) -> bool {
        matches!(self, Self::Meter(_) | Self::Activity(_))
    }
}

/// A decoded element.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Record {
    /// Of a meter.
    Reading(Reading),
    /// Of a business system.
    Activity(ActivityRecord),
}

impl Record {
    /// What it is about.
    #[must_use]
    pub fn subject(&self) -> Subject {
        match self {
            Self::Reading(reading) => Subject::Meter(reading.meter),
            Self::Activity(activity) => Subject::Activity(activity.activity),
        }
    }

    /// Where it came from.
    #[must_use]
    pub fn arrival(&self) -> &Arrival {
        match self {
            Self::Reading(reading) => &reading.arrival,
            Self::Activity(activity) => &activity.arrival,
        }
    }

    /// See [`Self::arrival`].
    pub fn arrival_mut(&mut self) -> &mut Arrival {
        match self {
            Self::Reading(reading) => &mut reading.arrival,
            Self::Activity(activity) => &mut activity.arrival,
        }
    }
}

/// What became of an element; outcomes add up to what was received.
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[repr(u8)]
pub enum Outcome {
    /// It is in the balances (or will be at the next commit).
    Booked,
    /// It said what was already known, or less.
    Duplicate,
    /// It waits for a fact.
    Parked,
    /// It carried nothing: null, "nan", "Online", empty.
    Ignored,
    /// It was refused, with a row that says why.
    Rejected,
}

impl Outcome {
    /// All of them.
    pub const ALL: [Self; 5] =
        [Self::Booked, Self::Duplicate, Self::Parked, Self::Ignored, Self::Rejected];

    /// Its name in tables and labels.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Booked => "booked",
            Self::Duplicate => "duplicate",
            Self::Parked => "parked",
            Self::Ignored => "ignored",
            Self::Rejected => "rejected",
        }
    }
}
