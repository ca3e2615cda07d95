//! Who covers whose load in an hour, or in a month or year that is over.
//!
//! ```text
//!            load of an hour, by (period, node)
//! contract 1 ███████████░░░░░░   each of the loads it reaches is covered to the same part
//! contract 2 ░░░░░░░░░░░██████   what is left of those it reaches, the same way
//! left over  ░░░░░░░░░░░░░░░░█   the grid's residual mix
//! ```
//!
//! 1. Contracts give one after another: by priority, then by name.
//! 2. Each gives to the loads that it reaches and that are not covered yet: all of them whole, or, where it has less, to
//!    each the same part of it, rounded down to 1e-9 kWh. *So it is never more than the contract has, nor than the load
//!    is, and no order of nodes or periods decides. What rounding loses, less than 1e-9 kWh a load, nobody is given.*
//! 3. What a contract has left after that is lost: it is not carried over, nor given to whom it does not reach.
//!
//! Source: GHG Protocol, "Overview of Revisions" of the Scope 2 Guidance (2025): claims are matched by the hour and only
//! within a market; today's rule (2015) is the year. How energy is divided among a reporter's own sites is the reporter's
//! choice; this one is symmetric.

use std::collections::BTreeMap;

use crate::model::{Id, Period};

/// A load: the energy a node used in a period, 1e-9 kWh.
pub type Loads = BTreeMap<(Period, Id), i128>;

/// What a contract has to give in an hour, or in another stretch of time.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct Offer {
    /// The contract.
    pub contract: Id,
    /// The factor of what it covers.
    pub factor: Id,
    /// The node whose load it covers, and that of all below it.
    pub node: Id,
    /// 1e-9 kWh; `None` for as much as is used.
    pub has: Option<i128>,
}

/// Covers loads, all positive: what each offer gives to each, and what is left of each (0 where nothing is). `reaches`
/// says whether the offer of an index is one to a node's load in a period.
///
/// # Panics
/// Where a sum is beyond 128 bits: the largest readings are far from it.
pub fn allot(
    loads: &Loads,
    offers: &[Offer],
    mut reaches: impl FnMut(usize, Period, Id) -> bool,
) -> (Vec<Loads>, Loads) {
    let mut left = loads.clone();
    let mut given = Vec::new();
    for (index, offer) in offers.iter().enumerate() {
        let mut covered = Loads::new();
        let here: Vec<(Period, Id)> = left
            .iter()
            .filter(|((period, node), open)| **open > 0 && reaches(index, *period, *node))
            .map(|(load, _)| *load)
            .collect();
        let wanted: i128 = here.iter().map(|load| left[load]).sum();
        let gift = offer.has.map_or(wanted, |has| has.clamp(0, wanted));
        for load in here {
            let open = left.get_mut(&load).expect("it was found there");
            let part = part(*open, gift, wanted);
            if part > 0 {
                *open -= part;
                covered.insert(load, part);
            }
        }
        given.push(covered);
    }
    (given, left)
}

/// The floor of `amount * share / whole`, exact also where the product does not fit.
///
/// # Panics
/// If not `0 <= share <= whole`, `0 < whole` and `0 <= amount`, or `whole` is 2^125 or more.
#[must_use]
pub fn part(amount: i128, share: i128, whole: i128) -> i128 {
    assert!(0 <= amount && 0 <= share && share <= whole && 0 < whole && whole < 1 << 125);
    if let Some(product) = amount.checked_mul(share) {
        return product / whole;
    }
    // Long division, a bit of the amount at a time: the remainder stays below the whole.
    let (mut quotient, mut remainder) = (0_i128, 0_i128);
    for bit in (0..127).rev() {
        remainder = 2 * remainder + if amount >> bit & 1 == 1 { share } else { 0 };
        quotient = 2 * quotient + remainder / whole;
        remainder %= whole;
    }
    quotient
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SITE: Id = Id(1);
    const OTHER: Id = Id(2);

    fn offer(node: Id, has: Option<i128>) -> Offer {
        Offer { contract: Id(9), factor: Id(8), node, has }
    }

    fn loads(of: &[(u32, Id, i128)]) -> Loads {
        of.iter().map(|(period, node, amount)| ((Period(*period), *node), *amount)).collect()
    }

    fn own(offers: &[Offer]) -> impl Fn(usize, Period, Id) -> bool {
        |index, _, node| offers[index].node.is_none() || offers[index].node == node
    }

    fn with(loads: &Loads, offers: &[Offer]) -> (Vec<Loads>, Loads) {
        allot(loads, offers, own(offers))
    }

    #[test]
    fn what_is_enough_covers_all_and_the_rest_is_lost() {
        let used = loads(&[(0, SITE, 30), (1, OTHER, 10)]);
        let (given, left) = with(&used, &[offer(Id::NONE, Some(100))]);
        assert_eq!(given, std::slice::from_ref(&used));
        assert!(left.values().all(|open| *open == 0));
    }

    #[test]
    fn what_is_not_enough_covers_each_to_the_same_part_rounded_down() {
        let used = loads(&[(0, SITE, 30), (1, OTHER, 10)]);
        let (given, left) = with(&used, &[offer(Id::NONE, Some(11))]);
        assert_eq!(given, [loads(&[(0, SITE, 8), (1, OTHER, 2)])]);
        assert_eq!(left, loads(&[(0, SITE, 22), (1, OTHER, 8)]));
    }

    #[test]
    fn a_contract_of_a_site_gives_to_it_alone_and_the_next_one_takes_up_what_is_left() {
        let used = loads(&[(0, SITE, 30), (0, OTHER, 10)]);
        let offers = [offer(SITE, Some(20)), offer(Id::NONE, None)];
        let (given, left) = with(&used, &offers);
        assert_eq!(given[0], loads(&[(0, SITE, 20)]));
        assert_eq!(given[1], loads(&[(0, SITE, 10), (0, OTHER, 10)]));
        assert!(left.values().all(|open| *open == 0));
    }

    #[test]
    fn a_part_is_exact_where_the_product_does_not_fit() {
        let large = i128::MAX / 4;
        assert_eq!(part(large, large / 2, large / 2), large);
        assert_eq!(part(1 << 100, 1 << 60, 1 << 61), 1 << 99);
        assert_eq!(part((1 << 100) + 1, (1 << 60) - 1, 1 << 60), (1 << 100) - (1 << 40));
        assert_eq!(part(7, 2, 3), 4);
    }

    proptest! {
        #[test]
        fn nobody_is_given_more_than_there_is_nor_than_is_used(
            used in prop::collection::btree_map((0_u32..3, 1_u32..4), 0_i128..1000, 0..8),
            offers in prop::collection::vec((0_u32..4, prop::option::of(-5_i128..1500)), 0..5),
        ) {
            let used: Loads =
                used.into_iter().map(|((p, n), amount)| ((Period(p), Id(n)), amount)).collect();
            let offers: Vec<Offer> =
                offers.into_iter().map(|(node, has)| offer(Id(node), has)).collect();
            let (given, left) = with(&used, &offers);
            for (offer, of_offer) in offers.iter().zip(&given) {
                let sum: i128 = of_offer.values().sum();
                prop_assert!(offer.has.is_none_or(|has| sum <= has.max(0)));
                let reaches = |node: Id| offer.node.is_none() || offer.node == node;
                prop_assert!(of_offer.keys().all(|(_, node)| reaches(*node)));
            }
            for (load, amount) in &used {
                let covered: i128 = given.iter().filter_map(|of_offer| of_offer.get(load)).sum();
                prop_assert!(left[load] >= 0);
                prop_assert_eq!(covered + left[load], *amount);
            }
        }
    }
}
