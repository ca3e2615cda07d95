//! What a factor's publisher says of a revision besides its numbers.

use serde::{Deserialize, Serialize};

macro_rules! words {
    ($type:ident, $all:literal, [$($variant:ident $name:literal),*]) => {
        impl $type {
            /// All of them.
            pub const ALL: [Self; $all] = [$(Self::$variant),*];

            /// Its name in tables.
            #[must_use]
            pub fn name(self) -> &'static str {
                match self { $(Self::$variant => $name),* }
            }

            /// The one called `name`.
            #[must_use]
            pub fn parse(name: &str) -> Option<Self> {
                Self::ALL.into_iter().find(|one| one.name() == name)
            }
        }
    };
}

/// How sure a publisher is of a number. It is shown, and decides nothing: the highest revision holds whatever its
/// status. (A number that is withdrawn is a row that is taken back.)
#[derive(
    Copy, Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub enum FactorStatus {
    /// Said before it happened.
    Forecast,
    /// Computed from what was at hand.
    Estimated,
    /// Measured, and not yet settled.
    Provisional,
    /// As it will stay, but for errors.
    #[default]
    Final,
}

words!(FactorStatus, 4, [
    Forecast "forecast", Estimated "estimated", Provisional "provisional", Final "final"
]);

/// Why a revision of a factor was made: the reason of what it restates, beside what its validity tells.
#[derive(
    Copy, Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub enum FactorChange {
    /// More is known, or a new set was published.
    #[default]
    Revised,
    /// What was published before was wrong. The only change that a locked series takes.
    Error,
}

words!(FactorChange, 2, [Revised "revised", Error "error"]);

/// Whether a factor's published values may change.
#[derive(
    Copy, Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub enum SeriesKind {
    /// The newest knowledge wins.
    #[default]
    Rolling,
    /// For reporting: a value that is published stays, but for errors.
    Locked,
}

words!(SeriesKind, 2, [Rolling "rolling", Locked "locked"]);

/// Which year's factor a period of a reporting year takes, where factors are published by calendar year. DESNZ allows
/// the last two and asks that the choice be stated and kept (2025 conversion factors, "Introduction").
#[derive(
    Copy, Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub enum Vintage {
    /// That of the period itself.
    #[default]
    Calendar,
    /// That of the calendar year which holds most of the reporting year; of two halves, the first.
    Majority,
    /// Both, weighted by their days in the reporting year.
    Blended,
}

words!(Vintage, 3, [Calendar "calendar", Majority "majority", Blended "blended"]);

/// What counts where a publisher prints a total of CO2e beside its split by gas, and both differ by rounding.
#[derive(
    Copy, Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub enum Total {
    /// The sum of the gases; the printed total is kept and compared.
    #[default]
    Split,
    /// The printed total: what it is more or less than its gases is a line of its own, of gas `co2e`.
    Printed,
}

words!(Total, 2, [Split "split", Printed "printed"]);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_is_found_by_its_name() {
        assert!(FactorStatus::ALL.iter().all(|s| FactorStatus::parse(s.name()) == Some(*s)));
        assert!(FactorChange::ALL.iter().all(|c| FactorChange::parse(c.name()) == Some(*c)));
        assert!(SeriesKind::ALL.iter().all(|k| SeriesKind::parse(k.name()) == Some(*k)));
        assert!(Vintage::ALL.iter().all(|v| Vintage::parse(v.name()) == Some(*v)));
        assert!(Total::ALL.iter().all(|t| Total::parse(t.name()) == Some(*t)));
        assert_eq!(FactorStatus::parse("withdrawn"), None);
    }
}
