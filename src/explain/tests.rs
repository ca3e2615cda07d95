//! That sums are exact and add up, and that words become instants; the whole is tested by `tests/explain.rs`.

#![allow(clippy::unwrap_used, reason = "a test ends where something is wrong")]

use jiff::tz::TimeZone;
use plumeline_pipelines::model::time::DAY_MS;
use plumeline_pipelines::model::{Calendar, Emission, Gas, GwpSet, Method, Policy, Retain};

use super::select::{Wanted, on_grid};
use super::sum::{Sum, exact, rounded, shown};
use super::tree::{Branch, What, limited};

#[test]
fn decimals_are_exact_and_for_people_rounded_half_even() {
    for (number, scale, text) in [(0, 3, "0"), (-5, 3, "-0.005"), (1500, 3, "1.5"), (7, 0, "7")] {
        assert_eq!(exact(number, scale), text);
    }
    for (number, text) in [(12_345, "1.234"), (12_355, "1.236"), (-12_345, "-1.234"), (4, "0.000")]
    {
        assert_eq!(rounded(number, 4), text);
    }
    assert_eq!(rounded(15, 1), "1.500");
    assert_eq!(shown(12_000, 4, "kg"), "1.2 kg");
    assert_eq!(shown(12_345, 4, "kg"), "1.234 kg (exactly 1.2345)");
}

fn sum(gas: Gas, mass: i128, co2e: i128) -> Sum {
    Sum::of(gas, &Emission { mass: mass.into(), co2e: co2e.into(), presence: 0 })
}

fn leaf(sum: Sum) -> Branch {
    Branch { what: What::Unexplained, sum, children: Vec::new(), rest: None }
}

fn total(sums: &[Sum]) -> Sum {
    let mut total = Sum::default();
    for sum in sums {
        total.add(sum);
    }
    total
}

#[test]
fn what_is_left_out_is_part_of_the_sum() {
    let sums =
        [sum(Gas::Co2, 3, 3), sum(Gas::Ch4, -1, -27), sum(Gas::Co2e, 0, 5), sum(Gas::Co2, 1, 1)];
    for most in 0..=5 {
        let buds = sums.iter().enumerate().map(|(at, sum)| (at.to_string(), sum.clone(), ()));
        let (children, rest) = limited(buds.collect(), most, |sum, ()| leaf(sum));
        assert_eq!(children.len(), most.min(4));
        assert_eq!(rest.as_ref().map_or(0, |(count, _)| *count), 4 - children.len());
        if most > 0 {
            assert_eq!(children[0].sum, sums[1], "the largest comes first, whatever its sign");
        }
        Branch { what: What::Number, sum: total(&sums), children, rest }.assert_adds_up();
    }
}

#[test]
#[should_panic(expected = "children add up to their parent")]
fn a_parent_that_is_not_the_sum_of_its_children_is_a_broken_invariant() {
    let children = vec![leaf(sum(Gas::Co2, 1, 1))];
    Branch { what: What::Number, sum: sum(Gas::Co2, 2, 2), children, rest: None }.assert_adds_up();
}

fn policy() -> Policy {
    Policy {
        period_ms: 900_000,
        grace_ms: 0,
        retain: Retain::of(DAY_MS),
        samples_ms: DAY_MS,
        windows_ms: Vec::new(),
        calendar: Calendar::default(),
        gwp: GwpSet::Ar6,
    }
}

#[test]
fn instants_are_those_of_the_zone_and_lie_where_a_row_begins() {
    let zone = TimeZone::get("Europe/Berlin").unwrap();
    let at = |text: &str| on_grid("--from", text, &zone, &policy()).map_err(|e| e.to_string());
    let ms = |text: &str| text.parse::<jiff::Timestamp>().unwrap().as_millisecond();
    assert_eq!(at("2026-01-31"), Ok(ms("2026-01-30T23:00Z")));
    assert_eq!(at("2026-07-01T06:00"), Ok(ms("2026-07-01T04:00Z")));
    assert_eq!(at("2026-07-01T06:00Z"), Ok(ms("2026-07-01T06:00Z")));
    let refused = |text: &str, what: &str| {
        let said = at(text).unwrap_err();
        assert!(said.starts_with(&format!("--from {text}: ")) && said.contains(what), "{said}");
    };
    refused("2026-01-31T06:15", "from 2026-01-31T06:00:00+01:00 to 2026-01-31T07:00:00+01:00");
    refused("2026-03-29T02:00", "a clock change skips or repeats it");
    refused("2026-10-25T02:00", "such as +02:00");
    refused("last week", "write a date (2026-01-31)");
    refused("1999-01-01", "between 2000 and 2099");
}

#[test]
fn each_of_the_two_answers_has_what_belongs_to_both() {
    let takes = |wanted: Wanted| Method::ALL.map(|method| wanted.takes(method));
    assert_eq!(takes(Wanted::Location), [true, true, false]);
    assert_eq!(takes(Wanted::Market), [true, false, true]);
    assert_eq!(takes(Wanted::Any), [true, false, false]);
    assert_eq!(Wanted::parse("market"), Some(Wanted::Market));
    assert_eq!(Wanted::parse("both"), None);
}
