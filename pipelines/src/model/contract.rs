//! What a market-based number of scope 2 rests on: contracts for energy, and certificates of where it came from.
//!
//! A contract covers load of a node and all below it that is booked under one factor (the grid's), as far as it has
//! energy to give in the same hour. What is covered is told, market-based, under the contract's own factor instead of
//! the grid's residual mix; how much that is, [`crate::stages::matching`] says.
//!
//! Sources: GHG Protocol Scope 2 Guidance (2015), chapter 7 (quality criteria; their numbers here are from memory,
//! \[unverified\]; claims by the year), and the hourly matching of its revision (consulted Oct to Dec 2025); the Granular
//! Certificate Scheme Standard of `EnergyTag` (interval of at most an hour, whole Wh). By the month: Commission Delegated
//! Regulation (EU) 2023/1184, article 6 (renewable hydrogen, until the end of 2029).

use serde::{Deserialize, Serialize};

use super::calendar::ToDate;
use super::decimal::Decimal;
use super::fact::Validity;
use super::names::Id;

/// How much energy a contract has to give.
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Supply {
    /// That of the certificates retired for it.
    Certificates,
    /// A share of what is metered under a factor: a power purchase agreement for the output of a plant.
    Metered {
        /// The factor that the plant's meters name.
        factor: Id,
        /// The share of it, above 0 and at most 1.
        share: Decimal,
    },
    /// As much as is used: a supplier's rate.
    Any,
}

/// Criteria that an instrument has to meet to count at all, each met where there is evidence of it.
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Criterion {
    /// It conveys the emission rate of what was generated.
    Rate,
    /// Nothing else conveys it: the claim is made once.
    Sole,
    /// It is tracked, and redeemed, retired or cancelled by or for the reporter.
    Retired,
    /// It is of about the time of the use.
    Vintage,
    /// It is of the same market.
    Market,
}

impl Criterion {
    /// All of them, in the order in which evidence stands in a row.
    pub const ALL: [Self; 5] = [Self::Rate, Self::Sole, Self::Retired, Self::Vintage, Self::Market];

    /// Its column: `conveys`, `sole`, `retired`, `vintage`, `market`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Rate => "conveys",
            Self::Sole => "sole",
            Self::Retired => "retired",
            Self::Vintage => "vintage",
            Self::Market => "market",
        }
    }
}

impl Supply {
    /// `certificates`, `metered`, `any`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Certificates => "certificates",
            Self::Metered { .. } => "metered",
            Self::Any => "any",
        }
    }

    /// The supply called `name`, by what is metered under `factor`, and which share of it.
    #[must_use]
    pub fn parse(name: &str, factor: Id, share: Decimal) -> Option<Self> {
        let all = [Self::Certificates, Self::Metered { factor, share }, Self::Any];
        all.into_iter().find(|supply| supply.name() == name)
    }

    /// The factor that a plant's meters name, and the share of what it puts out.
    #[must_use]
    pub fn output(self) -> Option<(Id, Decimal)> {
        match self {
            Self::Metered { factor, share } => Some((factor, share)),
            Self::Certificates | Self::Any => None,
        }
    }
}

/// By which rules energy is matched with load. A rule that changes gets another name.
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Matching {
    /// Within each hour UTC: what is not used in its hour is lost.
    Hourly1,
    /// Within each civil month, once it is over: what it leaves of the load that no contract of an hour covers.
    Monthly1,
    /// Within each civil year, once it is over: what is left then.
    Annual1,
}

impl Matching {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Hourly1, Self::Monthly1, Self::Annual1];

    /// `hourly-1`, `monthly-1`, `annual-1`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Hourly1 => "hourly-1",
            Self::Monthly1 => "monthly-1",
            Self::Annual1 => "annual-1",
        }
    }

    /// The window within which it matches, where that is longer than an hour.
    #[must_use]
    pub fn window(self) -> Option<ToDate> {
        match self {
            Self::Hourly1 => None,
            Self::Monthly1 => Some(ToDate::Month),
            Self::Annual1 => Some(ToDate::Year),
        }
    }

    /// The one called `name`.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|matching| matching.name() == name)
    }
}

/// A revision of a contract.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ContractRow {
    /// The contract.
    pub contract: Id,
    /// Its name: of contracts of one priority, the first one by name gives first. *Ids know no order that lasts.*
    pub name: String,
    /// The node whose load it covers, and that of all below it.
    pub node: Id,
    /// The factor of the load it covers.
    pub covers: Id,
    /// The factor of what is covered: its lines of method `market`.
    pub factor: Id,
    /// How much it has to give.
    pub supply: Supply,
    /// Contracts give in the order of their priorities, the lowest first.
    pub priority: u32,
    /// The zone it delivers to: its certificates have to be of it.
    pub zone: Id,
    /// By which rules it is matched.
    pub matching: Matching,
    /// What proves each [`Criterion`]; `Id::NONE` where nothing does.
    pub evidence: [Id; 5],
    /// When the row holds.
    pub validity: Validity,
    /// The highest one wins where rows overlap.
    pub revision: i64,
}

impl ContractRow {
    /// Whether it meets all criteria. *One that does not is kept and shown, and covers nothing.*
    #[must_use]
    pub fn counts(&self) -> bool {
        self.evidence.iter().all(|evidence| !evidence.is_none())
    }
}

/// A revision of a certificate: energy of one device in one stretch of time.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct CertificateRow {
    /// The certificate. Of several rows the highest revision counts, and no other: it cannot be used twice.
    pub certificate: Id,
    /// The contract it was retired for.
    pub contract: Id,
    /// The zone it was issued in.
    pub zone: Id,
    /// What generated it: the device's registered name.
    pub device: Id,
    /// How much was retired, whole Wh.
    pub wh: i64,
    /// How much was issued under it, whole Wh: never less.
    pub issued_wh: i64,
    /// What proves that it was retired; `Id::NONE` where nothing does: then it does not count.
    pub retired: Id,
    /// The stretch of generation.
    pub validity: Validity,
    /// The highest one wins.
    pub revision: i64,
}

/// Amounts of kWh are held in 1e-9 of it: a Wh is a million of these.
pub const WH: i128 = 1_000_000;

impl CertificateRow {
    /// What it gives to a contract of `zone` within a stretch of time, from its first instant to the first one after it,
    /// 1e-9 kWh: all of it, if all of it was generated there. *An hour cannot be told of what was generated some time in
    /// a month.*
    #[must_use]
    pub fn gives(&self, zone: Id, (begin_ms, end_ms): (i64, i64)) -> i128 {
        let Validity { from_ms, to_ms } = self.validity;
        let is_within = begin_ms <= from_ms && to_ms <= end_ms;
        let counts = self.zone == zone && !self.retired.is_none() && self.wh <= self.issued_wh;
        if is_within && counts { i128::from(self.wh.max(0)) * WH } else { 0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::time::HOUR_MS;

    const FIRST: (i64, i64) = (0, HOUR_MS);
    const SECOND: (i64, i64) = (HOUR_MS, 2 * HOUR_MS);

    fn certificate() -> CertificateRow {
        CertificateRow {
            certificate: Id(1),
            contract: Id(2),
            zone: Id(3),
            device: Id(4),
            wh: 1500,
            issued_wh: 2000,
            retired: Id(5),
            validity: Validity { from_ms: HOUR_MS, to_ms: HOUR_MS + HOUR_MS / 2 },
            revision: 0,
        }
    }

    #[test]
    fn a_certificate_gives_to_its_own_time_and_zone_once_it_is_retired() {
        let row = certificate();
        assert_eq!(row.gives(Id(3), SECOND), 1_500_000_000);
        assert_eq!(row.gives(Id(3), FIRST), 0);
        assert_eq!(row.gives(Id(9), SECOND), 0);
        assert_eq!(CertificateRow { retired: Id::NONE, ..row.clone() }.gives(Id(3), SECOND), 0);
        assert_eq!(CertificateRow { issued_wh: 1499, ..row.clone() }.gives(Id(3), SECOND), 0);
        let validity = Validity { from_ms: HOUR_MS, to_ms: 3 * HOUR_MS };
        let longer = CertificateRow { validity, ..row };
        assert_eq!(longer.gives(Id(3), SECOND), 0);
        assert_eq!(longer.gives(Id(3), (0, 3 * HOUR_MS)), 1_500_000_000);
    }

    #[test]
    fn policies_are_found_by_their_names() {
        assert!(Matching::ALL.iter().all(|m| Matching::parse(m.name()) == Some(*m)));
        assert_eq!(Matching::parse("hourly"), None);
        assert_eq!(Matching::Hourly1.window(), None);
    }
}
