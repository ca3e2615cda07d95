//! Months and years that are over, each matched as a whole.
//!
//! ```text
//!  hour  │ hour  │ hour  │ hour        what contracts that match by the hour leave of each load
//!  █░░░    ░░░░    ██░░    █░░░        ░ open
//!  └──────── window ──────────┘        all of it at once: contracts of a month, then those of the year
//! ```
//!
//! 1. A window is matched once all of it lies below the horizon, in hindsight; the live dataflow leaves it alone. *What a
//!    December's certificates cover of January is known when the year is over; and no entry of a day hangs on what the
//!    rest of the year brings.*
//! 2. Contracts that match by the hour have given first, whatever their priority. Then each month that is over is given
//!    by contracts that match by the month, then the year by those that match by the year ([`super::allot`]).
//! 3. A row of a contract gives to load of the time in which it holds what was certified, or put out, in that time.
//!
//! What is matched so is a claim on emissions, and none on hours: no part of the 24/7 score ([`Claim::Window`]).
//!
//! Months and years are those of the pipeline's calendar; an hour belongs to the one in which it begins.

use std::collections::{BTreeMap, BTreeSet};

use super::allot::{Loads, Offer, allot};
use super::book::Hour;
use super::known::{Contracts, share_of};
use super::pieces::{self, key, measure};
use super::{Allotted, Claim, Part, hour_of, last_of_hour, matched_unit};
use crate::model::contract::Supply;
use crate::model::{ContractRow, Id, Matching, Measure, Period, Policy, Subject, ToDate};
use crate::stages::roll_up::Tree;

/// What contracts of months and years are given, and by how much less is left of what the hours left.
pub(super) type Covered = BTreeMap<Allotted, Measure>;

/// The windows of `year`, by how they are matched, in the order in which they are, as far as they are `over`.
pub(crate) fn windows(
    policy: &Policy,
    year: (i64, i64),
    over: Period,
) -> Vec<(Matching, (i64, i64))> {
    let month = |at_ms: i64| {
        let month = policy.calendar.around(ToDate::Month, at_ms)?;
        (month.0 < year.1).then_some(month)
    };
    let months = std::iter::successors(month(year.0), |(_, end_ms)| month(*end_ms));
    let months = months.map(|month| (Matching::Monthly1, month));
    let is_over = |(_, window): &(Matching, (i64, i64))| last_of(policy, *window) < over;
    months.chain([(Matching::Annual1, year)]).filter(is_over).collect()
}

/// The last period of a window's last hour.
fn last_of(policy: &Policy, (_, end_ms): (i64, i64)) -> Period {
    last_of_hour(policy, policy.period_of(end_ms - 1))
}

/// When a month or year, from its first instant to the first one after it, lies below the horizon, ms: from then on it
/// can be matched.
#[must_use]
pub fn closes_ms(policy: &Policy, window: (i64, i64)) -> i64 {
    policy.passed_ms(last_of(policy, window))
}

/// What contracts are given of a year of load under one factor.
pub(super) fn match_year(
    (covered, year): (Id, (i64, i64)),
    hours: &BTreeMap<i64, Hour>,
    contracts: &Contracts,
    (policy, tree, over): (&Policy, &Tree, Period),
) -> Covered {
    let mut given = Covered::new();
    let hours_left: Loads = hours.range(year.0..year.1).flat_map(|(_, hour)| hour.left()).collect();
    let mut left = hours_left.clone();
    let place = (covered, matched_unit());
    for (matching, window) in windows(policy, year, over) {
        let offers = offers(covered, (matching, window), hours, contracts);
        let is_in = |period: Period| (window.0..window.1).contains(&hour_of(policy, period));
        let loads: Loads =
            left.iter().filter(|((period, _), _)| is_in(*period)).map(|(l, a)| (*l, *a)).collect();
        let reaches = |index: usize, period: Period, node: Id| {
            let (offer, holding): &(Offer, BTreeSet<i64>) = &offers[index];
            let path = || tree.path(node, period.start_ms(policy.period_ms));
            holding.contains(&hour_of(policy, period))
                && path().iter().any(|(above, _)| *above == offer.node)
        };
        let offered: Vec<Offer> = offers.iter().map(|(offer, _)| *offer).collect();
        let (of_offers, rest) = allot(&loads, &offered, reaches);
        left.extend(rest);
        for (offer, loads) in offered.iter().zip(&of_offers) {
            let pieces = pieces::given((offer, Claim::Window), place, loads);
            given.extend(pieces.map(|(piece, amount)| (piece, measure(amount))));
        }
    }
    for (load, open) in &hours_left {
        let rest = left[load];
        if rest != *open {
            // Of what is covered whole nothing is shown as open any more.
            let presence = if rest == 0 { -1 } else { 0 };
            let less = Measure { presence, ..measure(rest - open) };
            given.insert((Part::Left, key(*load, Subject::Uncovered(covered), place)), less);
        }
    }
    given
}

/// What each row has to give in a window, and the hours of it in which it holds.
fn offers(
    covered: Id,
    (matching, window): (Matching, (i64, i64)),
    hours: &BTreeMap<i64, Hour>,
    contracts: &Contracts,
) -> Vec<(Offer, BTreeSet<i64>)> {
    let offer = |row: &ContractRow| {
        let holding = hours.range(window.0..window.1);
        let holding = holding.filter(|(ms, _)| contracts.row(row.contract, **ms) == Some(row));
        let has = match row.supply {
            Supply::Any => None,
            Supply::Certificates => Some(contracts.certified(row, window)),
            Supply::Metered { factor, share } => {
                let outputs = holding.clone().filter_map(|(_, hour)| hour.outputs.get(&factor));
                Some(share_of(outputs.sum(), share))
            }
        };
        let offer = Offer { contract: row.contract, factor: row.factor, node: row.node, has };
        (offer, holding.map(|(ms, _)| *ms).collect())
    };
    contracts.giving(covered, matching).into_iter().map(offer).collect()
}
