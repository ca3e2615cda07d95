//! What a change of a locked report is: an error, a new estimate, another structure or another method.
//!
//! ESRS 1, 96 to 98: a prior-period *error* is the failure to use reliable information that was available when the report
//! was authorised for issue; information that was not is a *change in estimate*. A ledger that says of each entry when it
//! was recorded can tell which. The rule, first match first:
//!
//! | if | it is |
//! |---|---|
//! | it comes of the tree, whoever moved: `structural` | structural |
//! | its reason is another rule: `gwp_change`, `method_change`, `allocation_change` | method |
//! | it was recorded at or before sign-off: it was known, and is not in the report | error |
//! | its reason is `factor_error`: a publisher took back what was wrong all along | error |
//! | anything else | estimate |
//!
//! Knowledge decides, and not when something happened: a reading of the year that came in after sign-off was not
//! available, however long before it the meter was read, and is an estimate; so is the correction of one. What may be a
//! failure all the same (a file that lay on somebody's desk) no ledger knows: `recorded_at` is when it was told.
//!
//! A **base year** is recalculated for errors, other structures, and other methods and factors, if they are significant
//! together; not for what it is that grew or shrank (UK Environmental Reporting Guidelines, pages 17 to 19). So of
//! estimates those of factors and of prices count, and not those of readings. What an earlier program recorded as `restated`, without
//! saying why, counts: it may be a factor.

/// Of what kind a change is.
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Class {
    /// What was available and not used.
    Error,
    /// What was not available.
    Estimate,
    /// Another tree.
    Structural,
    /// Another rule.
    Method,
}

/// What a move in the tree is recorded as.
pub const STRUCTURAL: &str = "structural";
/// Other rules.
const METHODS: [&str; 3] = ["gwp_change", "method_change", "allocation_change"];
/// Corrects what was wrong all along.
const FACTOR_ERROR: &str = "factor_error";
/// Begins the reasons that are about factors.
const FACTOR: &str = "factor_";
/// What money is worth was revised: it is a part of a factor.
const PRICE: &str = "price_revised";
/// What was not told apart.
const RESTATED: &str = "restated";

impl Class {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Error, Self::Estimate, Self::Structural, Self::Method];

    /// That of a change that was recorded for this reason, of a report that was signed off at an instant. Both ms.
    #[must_use]
    pub fn of(reason: &str, recorded_ms: i64, signed_off_ms: i64) -> Self {
        if reason == STRUCTURAL {
            Self::Structural
        } else if METHODS.contains(&reason) {
            Self::Method
        } else if recorded_ms <= signed_off_ms || reason == FACTOR_ERROR {
            Self::Error
        } else {
            Self::Estimate
        }
    }

    /// Whether a change of it, for this reason, counts towards a recalculation of a base year.
    #[must_use]
    pub fn moves_base_year(self, reason: &str) -> bool {
        let is_of_factors = reason.starts_with(FACTOR) || reason == PRICE;
        self != Self::Estimate || is_of_factors || reason == RESTATED
    }

    /// `error`, `estimate`, `structural`, `method`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Estimate => "estimate",
            Self::Structural => "structural",
            Self::Method => "method",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_knowledge_clock_decides() {
        for (reason, recorded_ms, class) in [
            ("restated", 99, Class::Error),
            ("restated", 100, Class::Error),
            ("restated", 101, Class::Estimate),
            ("booked", 100, Class::Error),
            ("backfill", 101, Class::Estimate),
            ("reading_late", 101, Class::Estimate),
            ("reading_corrected", 100, Class::Error),
            ("factor_revised", 101, Class::Estimate),
            ("factor_error", 101, Class::Error),
            ("price_revised", 101, Class::Estimate),
            ("structural", 99, Class::Structural),
            ("structural", 101, Class::Structural),
            ("gwp_change", 99, Class::Method),
            ("method_change", 101, Class::Method),
            ("something new", 101, Class::Estimate),
        ] {
            assert_eq!(Class::of(reason, recorded_ms, 100), class, "{reason} at {recorded_ms}");
        }
    }

    #[test]
    fn a_base_year_follows_what_is_not_growth() {
        for (reason, counts) in [
            ("factor_revised", true),
            ("price_revised", true),
            ("factor_error", true),
            ("restated", true),
            ("structural", true),
            ("gwp_change", true),
            ("booked", false),
            ("backfill", false),
            ("reading_late", false),
        ] {
            assert_eq!(Class::of(reason, 101, 100).moves_base_year(reason), counts, "{reason}");
        }
        assert!(Class::Error.moves_base_year("reading_late"), "it was known");
    }
}
