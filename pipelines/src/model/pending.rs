//! What reaches below the horizon: it is in no balance yet, and waits for a restatement of what is settled.

use serde::{Deserialize, Serialize};

use super::fact::Fact;
use super::names::Id;
use super::policy::Policy;
use super::quantity::Wide;
use super::time::{Cause, Tick};

/// What kind of thing reaches below the horizon.
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[repr(u8)]
pub enum PendingCause {
    /// Readings of a meter.
    Readings,
    /// An activity of a business system.
    Activities,
    /// A row of `meters`.
    Meters,
    /// A row of `factors`.
    Factors,
    /// A row of `nodes`.
    Nodes,
    /// A row of `series`.
    Series,
    /// A row of `contracts`.
    Contracts,
    /// A row of `certificates`.
    Certificates,
    /// A row of `prices`.
    Prices,
}

impl PendingCause {
    /// `readings`, `activities`, `meters`, `factors`, `nodes`, `series`, `prices`, `contracts`, `certificates`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Readings => "readings",
            Self::Activities => "activities",
            Self::Meters => "meters",
            Self::Factors => "factors",
            Self::Nodes => "nodes",
            Self::Series => "series",
            Self::Contracts => "contracts",
            Self::Certificates => "certificates",
            Self::Prices => "prices",
        }
    }

    /// The cause called `name`.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        let records = [Self::Readings, Self::Activities];
        let facts = [Self::Meters, Self::Factors, Self::Series, Self::Nodes, Self::Prices];
        let contracts = [Self::Contracts, Self::Certificates];
        let mut all = records.into_iter().chain(facts).chain(contracts);
        all.find(|cause| cause.name() == name)
    }
}

/// A row of `restatements`: settled periods below the horizon were computed anew from all that was known.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct RestatedEntry {
    /// The cut up to which everything was known, ms: what is pending since then waits for the next.
    pub known_ms: i64,
    /// Start of the first period that was looked at, ms.
    pub from_ms: i64,
    /// The first instant after the last one, ms: the horizon.
    pub to_ms: i64,
    /// Entries of `activity` it made.
    pub activity: u64,
    /// Of `emissions`.
    pub emissions: u64,
    /// Of `footprints`.
    pub footprints: u64,
    /// CO2e that entries of `emissions` added, 1e-21 kg.
    pub up: Wide,
    /// CO2e that they took off, 1e-21 kg, not negative.
    pub down: Wide,
}

/// A row of `pending_restatements`: whole periods `[from_ms, to_ms)` below the horizon that may change by it.
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct PendingEntry {
    /// What kind of thing it is.
    pub cause: PendingCause,
    /// The meter, activity, factor, node or price.
    pub subject: Id,
    /// Start of the first period, ms.
    pub from_ms: i64,
    /// The first instant after the last period, ms; at most the horizon.
    pub to_ms: i64,
    /// How many records or rows say so.
    pub count: u64,
    /// The instant at which they came in, ms.
    pub learned_ms: i64,
}

impl PendingEntry {
    /// One record or row that is about `[from_ms, to_ms)` and came at `learned_ms`; `None` if all of it lies above
    /// the horizon of that instant.
    #[must_use]
    pub fn of(
        policy: &Policy,
        (cause, subject): (PendingCause, Id),
        (from_ms, to_ms): (i64, i64),
        learned_ms: i64,
    ) -> Option<Self> {
        let horizon_ms = horizon_ms(policy, learned_ms);
        let from_ms = policy.period_of(from_ms.max(0)).start_ms(policy.period_ms);
        let last = policy.period_of((to_ms - 1).max(0));
        let to_ms = last.end_ms(policy.period_ms).min(horizon_ms);
        let entry = Self { cause, subject, from_ms, to_ms, count: 1, learned_ms };
        (from_ms < to_ms).then_some(entry)
    }

    /// A row of a fact table that was learned, or taken back, at `learned_ms`, in a ledger in which nothing was
    /// ever said of the time before `earliest_ms`; `None` if no period below the horizon can change by it.
    #[must_use]
    pub fn of_fact(
        policy: &Policy,
        fact: &Fact,
        earliest_ms: i64,
        learned_ms: i64,
    ) -> Option<Self> {
        let (about, validity) = match fact {
            Fact::Meter(row) => ((PendingCause::Meters, row.meter), row.validity),
            Fact::Factor(row) => ((PendingCause::Factors, row.factor), row.validity),
            Fact::Series(row) => ((PendingCause::Series, row.factor), row.validity),
            Fact::Price(row) => ((PendingCause::Prices, row.price), row.validity),
            Fact::Node(row) => ((PendingCause::Nodes, row.node), row.validity),
            Fact::Contract(row) => ((PendingCause::Contracts, row.contract), row.validity),
            Fact::Certificate(row) => ((PendingCause::Certificates, row.certificate), row.validity),
        };
        let from_ms = validity.from_ms.max(earliest_ms);
        Self::of(policy, about, (from_ms, validity.to_ms), learned_ms)
    }

    /// Takes in another one about the same thing.
    pub fn merge(&mut self, other: &Self) {
        self.from_ms = self.from_ms.min(other.from_ms);
        self.to_ms = self.to_ms.max(other.to_ms);
        self.count += other.count;
    }

    /// How many periods it spans.
    ///
    /// # Panics
    /// Never: it ends after it begins.
    #[must_use]
    pub fn periods(&self, policy: &Policy) -> u64 {
        let periods = (self.to_ms - self.from_ms) / policy.period_ms;
        u64::try_from(periods).expect("it ends after it begins")
    }
}

fn horizon_ms(policy: &Policy, ms: i64) -> i64 {
    policy.horizon(Tick::new(ms, Cause::Cut)).start_ms(policy.period_ms)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::time::DAY_MS;
    use crate::model::{Calendar, GwpSet, NodeRow, Retain, Validity};

    const HOUR_MS: i64 = 3_600_000;
    /// The horizon lies two days before it.
    const NOW_MS: i64 = 20_000 * DAY_MS;

    fn policy() -> Policy {
        Policy {
            period_ms: HOUR_MS,
            grace_ms: 0,
            retain: Retain::of(2 * DAY_MS),
            samples_ms: DAY_MS,
            windows_ms: Vec::new(),
            calendar: Calendar::default(),
            gwp: GwpSet::Ar6,
        }
    }

    #[test]
    fn only_whole_periods_below_the_horizon_are_pending() {
        let about = (PendingCause::Readings, Id(1));
        let of = |from_ms, to_ms| {
            PendingEntry::of(&policy(), about, (from_ms, to_ms), NOW_MS)
                .map(|p| (p.from_ms, p.to_ms))
        };
        let horizon_ms = NOW_MS - 2 * DAY_MS;
        assert_eq!(of(horizon_ms, horizon_ms + 1), None);
        let last_hour = horizon_ms - HOUR_MS;
        assert_eq!(of(horizon_ms - 1, horizon_ms), Some((last_hour, horizon_ms)));
        assert_eq!(of(last_hour + 5, horizon_ms + DAY_MS), Some((last_hour, horizon_ms)));
        let both = (last_hour - HOUR_MS, horizon_ms);
        assert_eq!(of(last_hour - 1, last_hour + 1), Some(both));
        let mut sum =
            PendingEntry::of(&policy(), about, (last_hour, last_hour + 1), NOW_MS).unwrap();
        let other = PendingEntry::of(&policy(), about, (both.0, both.0 + 1), NOW_MS).unwrap();
        sum.merge(&other);
        assert_eq!((sum.from_ms, sum.to_ms, sum.count), (both.0, both.1, 2));
        assert_eq!(sum.periods(&policy()), 2);
    }

    #[test]
    fn a_row_is_pending_only_where_something_may_have_been_booked() {
        let fact = |validity| {
            let (node, parent, name) = (Id(1), Id::NONE, Id::NONE);
            Fact::Node(NodeRow { node, parent, name, validity, revision: 1 })
        };
        let always = fact(Validity::ALWAYS);
        let horizon_ms = NOW_MS - 2 * DAY_MS;
        assert_eq!(PendingEntry::of_fact(&policy(), &always, horizon_ms, NOW_MS), None);
        let began_ms = NOW_MS - 10 * DAY_MS;
        let pending = PendingEntry::of_fact(&policy(), &always, began_ms, NOW_MS).unwrap();
        assert_eq!(pending.from_ms, began_ms);
        assert_eq!(pending.to_ms, NOW_MS - 2 * DAY_MS);
        let recent = Validity { from_ms: NOW_MS - DAY_MS, ..Validity::ALWAYS };
        assert_eq!(PendingEntry::of_fact(&policy(), &fact(recent), began_ms, NOW_MS), None);
    }
}
