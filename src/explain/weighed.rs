//! A rate that two years' versions make together, weighed by their days.
//!
//! ```text
//! reporting year   ├──── 275 days: version of the first year ────┼── 90 days: of the second ──┤
//! line's rates          rounded, x 275                    +         rounded, x 90
//!                                  ───────────────────────────────────────── rounded half-even to 1e-12 kg ──▶ rate
//!                                                   365
//! ```
//!
//! Which versions they are is found as for any line: two of which the program's own rule makes the rate that is booked. A
//! gas that one of them does not have counts as none there. Where both are one version there is nothing to weigh.

use std::collections::BTreeSet;

use plumeline_pipelines::model::quantity::{RATE_SCALE, divide_half_even};
use plumeline_pipelines::model::recipe::{blended, is_printed_total, lines};
use plumeline_pipelines::model::{
    Basis, FactorRow, Gas, GwpSet, Line, Period, Policy, SeriesRow, Total, Unit, Vintage,
};
use plumeline_pipelines::stages::rates::library::Rule;

use super::sum::exact;

/// One of the two versions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Share {
    /// Days of the reporting year that it counts for.
    pub(crate) days: i64,
    /// Of the line, 1e-12 kg per unit; 0 where it has no such line.
    pub(crate) rate: i128,
    /// The same as CO2e.
    pub(crate) co2e_rate: i128,
}

/// See the module's documentation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Weighed {
    pub(crate) shares: [Share; 2],
}

impl Weighed {
    /// Days of the reporting year.
    pub(crate) fn days(&self) -> i64 {
        self.shares.iter().map(|share| share.days).sum()
    }

    /// What is divided by the days: the rate's, and the CO2e rate's, 1e-12 kg per unit.
    pub(crate) fn sums(&self) -> [i128; 2] {
        let of = |rate: fn(&Share) -> i128| {
            self.shares.iter().map(|share| rate(share) * i128::from(share.days)).sum()
        };
        [of(|share| share.rate), of(|share| share.co2e_rate)]
    }

    /// The rate and the CO2e rate, rounded.
    pub(crate) fn means(&self) -> [i128; 2] {
        self.sums().map(|sum| divide_half_even(sum, self.days().into()))
    }

    /// `(0.2 x 275 + 0.1 x 90) / 365 days = 64/365, rounded half-even to 1e-12 kg: 0.175342465753`, of the rate and of the
    /// CO2e rate.
    pub(crate) fn formulas(&self) -> [String; 2] {
        let [first, second] = &self.shares;
        let days = self.days();
        let told = |at: usize, rate: fn(&Share) -> i128| {
            let of = |share: &Share| format!("{} x {}", exact(rate(share), RATE_SCALE), share.days);
            let [sum, mean] = [self.sums()[at], self.means()[at]].map(|of| exact(of, RATE_SCALE));
            format!(
                "({} + {}) / {days} days = {sum}/{days}, rounded half-even to 1e-12 kg: {mean}",
                of(first),
                of(second)
            )
        };
        [told(0, |share| share.rate), told(1, |share| share.co2e_rate)]
    }
}

/// How the booked line is weighed, and the rows that either version has for it; `None` if it is not.
pub(super) fn weighed<'rows>(
    (booked, unit, periods): (Line, Unit, &BTreeSet<Period>),
    (policy, gwp): (&Policy, GwpSet),
    rows: &[&'rows FactorRow],
    series: &[&SeriesRow],
) -> Option<(Weighed, [Vec<&'rows FactorRow>; 2])> {
    let mut tried = BTreeSet::new();
    for period in periods {
        let start_ms = period.start_ms(policy.period_ms);
        let holding = series.iter().copied().filter(|row| row.validity.holds(start_ms));
        for row in holding.filter(|row| row.vintage == Vintage::Blended) {
            let rule = Rule::of(std::iter::once(row), start_ms);
            let instants = rule.instants(policy, start_ms);
            let [first, second] = instants.as_slice() else { continue };
            if !tried.insert((*first, *second, rule.total)) {
                continue;
            }
            let found = of_instants((booked, unit, gwp, rule.total), [*first, *second], rows);
            if found.is_some() {
                return found;
            }
        }
    }
    None
}

/// The pair of versions, the newest first, that leads to the line.
fn of_instants<'rows>(
    (booked, unit, gwp, total): (Line, Unit, GwpSet, Total),
    [first, second]: [(i64, i64); 2],
    rows: &[&'rows FactorRow],
) -> Option<(Weighed, [Vec<&'rows FactorRow>; 2])> {
    for one in versions(rows, first.0) {
        for other in versions(rows, second.0).into_iter().filter(|other| *other != one) {
            let of = |version: &[&FactorRow]| lines(version, &Basis::of(unit), gwp, total);
            let mean = blended([(of(&one), first.1), (of(&other), second.1)]);
            if !mean.iter().any(|(line, _)| *line == booked) {
                continue;
            }
            let share = |version: &[&FactorRow], days: i64| {
                let mut lines = of(version).into_iter();
                let line = lines.find(|(line, _)| part(line) == part(&booked));
                let rates = line.map(|(line, rate)| (line.rate.into(), rate.co2e.get()));
                let (rate, co2e_rate) = rates.unwrap_or_default();
                Share { days, rate, co2e_rate }
            };
            let shares = [share(&one, first.1), share(&other, second.1)];
            let leading = [one, other].map(|version| leading(version, &booked, total));
            return Some((Weighed { shares }, leading));
        }
    }
    None
}

/// Versions that hold at an instant, the newest first.
fn versions<'rows>(rows: &[&'rows FactorRow], ms: i64) -> Vec<Vec<&'rows FactorRow>> {
    let holding = || rows.iter().copied().filter(|row| row.validity.holds(ms));
    let revisions: BTreeSet<i64> = holding().map(|row| row.revision).collect();
    let of = |revision: i64| holding().filter(|row| row.revision == revision).collect();
    revisions.into_iter().rev().map(of).collect()
}

/// The rows of a version that its line rests on: its own, or those that a printed total is more than.
fn leading<'rows>(
    version: Vec<&'rows FactorRow>,
    booked: &Line,
    total: Total,
) -> Vec<&'rows FactorRow> {
    let all = version.clone();
    let of_section = |row: &&FactorRow| {
        (row.scope, row.category, row.method) == (booked.scope, booked.category, booked.method)
    };
    let has_total = all.iter().any(|row| of_section(row) && is_printed_total(row, &all))
        && total == Total::Printed;
    let leads = |row: &&FactorRow| {
        let is_own = row.gas == booked.gas && !is_printed_total(row, &all);
        of_section(row) && (is_own || (booked.gas == Gas::Co2e && has_total))
    };
    version.into_iter().filter(leads).collect()
}

fn part(line: &Line) -> (u8, u8, plumeline_pipelines::model::Method, Gas) {
    (line.scope, line.category, line.method, line.gas)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mean_is_told_exactly_and_rounded() {
        let share = |days, rate, co2e_rate| Share { days, rate, co2e_rate };
        let weighed = Weighed {
            shares: [share(275, 200_000_000_000, 200_000_000_000), share(90, 0, 100_000_000_000)],
        };
        assert_eq!(weighed.days(), 365);
        assert_eq!(weighed.means(), [150_684_931_507, 175_342_465_753]);
        let [rate, co2e] = weighed.formulas();
        assert_eq!(
            rate,
            "(0.2 x 275 + 0 x 90) / 365 days = 55/365, rounded half-even to 1e-12 kg: 0.150684931507"
        );
        assert_eq!(
            co2e,
            "(0.2 x 275 + 0.1 x 90) / 365 days = 64/365, rounded half-even to 1e-12 kg: 0.175342465753"
        );
    }
}
