//! Spend under factors that are told per money of a price year: what prices say, and what their revisions restate.
//!
//! The numbers are made up; the arithmetic is by hand. 0.41 kg CO2e per GBP of 2021; the index of prices stands at 111.6
//! in 2021, 120 in 2022 and 128.6 in 2023; a euro is 0.86 pounds, from July 2023 on 0.85.

mod support;

use plumeline_pipelines::model::time::DAY_MS;
use plumeline_pipelines::model::{
    Fact, FactorRow, Gas, GwpSet, Id, Policy, PriceRow, Unit, Validity,
};
use support::dated::{Dated, activity, price_row};
use support::dates::{calendar, date};
use support::{factor_row, n, node_row, policy, unit};

fn s(number: &str) -> String {
    number.to_owned()
}

/// Periods of a day, all of which are in reach.
fn daily() -> Policy {
    let policy = policy(1500);
    Policy {
        period_ms: DAY_MS,
        windows_ms: vec![DAY_MS],
        calendar: calendar(2020, 2026),
        gwp: GwpSet::Ar5,
        ..policy
    }
}

/// What a pound of a year was worth in 2021.
fn index(year: i64, level: &str) -> PriceRow {
    let validity = Validity { from_ms: date(year, 1, 1), to_ms: date(year + 1, 1, 1) };
    let per = n(level);
    PriceRow { per, validity, ..price_row(unit("GBP"), unit("GBP@2021"), "111.6") }
}

fn euro(rate: &str, from: (i64, usize), to: (i64, usize)) -> PriceRow {
    let validity = Validity { from_ms: date(from.0, from.1, 1), to_ms: date(to.0, to.1, 1) };
    PriceRow { price: Id(501), validity, ..price_row(unit("EUR"), unit("GBP"), rate) }
}

fn facts() -> Vec<Fact> {
    let per_pound = FactorRow { unit: unit("GBP@2021"), ..factor_row(0, Gas::Co2e, "0.41") };
    let prices = [
        index(2022, "120"),
        index(2023, "128.6"),
        euro("0.86", (2023, 1), (2023, 7)),
        euro("0.85", (2023, 7), (2024, 1)),
    ];
    let facts = [Fact::Node(node_row(0, None)), Fact::Factor(per_pound)];
    facts.into_iter().chain(prices.map(Fact::Price)).collect()
}

/// A spend of one day in each year or half-year, all of 1000.
fn spent(currency: Unit) -> Dated {
    let days = [date(2022, 5, 2), date(2023, 3, 1), date(2023, 9, 1)].map(|ms| (ms, ms + DAY_MS));
    let records = (0..).zip(days).map(|(id, day)| activity(id, "1000", currency, day));
    Dated::under(daily())
        .learns(date(2022, 1, 1), facts())
        .hears(date(2024, 1, 2), records)
        .learns(booked_ms(), [])
}

fn booked_ms() -> i64 {
    date(2024, 1, 4)
}

#[test]
fn spend_is_deflated_by_the_index_of_its_own_year() {
    let booked = spent(unit("GBP")).told();
    let by_period = booked.co2e_by_period(booked_ms());
    let kg: Vec<i128> = by_period.values().map(|kg| kg / 1_000_000_000).collect();
    // 0.41 x 111.6 / 120 = 0.3813, exactly; 0.41 x 111.6 / 128.6 = 0.355801... rounded once to 1e-12 kg.
    assert_eq!(kg, [381_300_000_000_000, 355_800_933_126_000, 355_800_933_126_000]);
}

#[test]
fn spend_in_another_currency_is_exchanged_first() {
    let booked = spent(unit("EUR")).told();
    let by_period = booked.co2e_by_period(booked_ms());
    let kg: Vec<i128> = by_period.values().map(|kg| kg / 1_000_000_000).collect();
    // Nothing of 2022: no price leads from EUR. 0.41 x 0.86 x 111.6 / 128.6, and with 0.85.
    assert_eq!(kg, [305_988_802_488_000, 302_430_793_157_000]);
}

#[test]
fn money_of_a_price_year_is_that_whenever_it_is_booked() {
    let at_2023 = unit("GBP@2023");
    let deflator = PriceRow { per: n("128.6"), ..price_row(at_2023, unit("GBP@2021"), "111.6") };
    let deflator = Fact::Price(PriceRow { price: Id(502), ..deflator });
    let booked = spent(at_2023).learns(date(2022, 1, 1), [deflator]).told();
    let by_period = booked.co2e_by_period(booked_ms());
    let kg: Vec<i128> = by_period.values().map(|kg| kg / 1_000_000_000).collect();
    assert_eq!(kg, [355_800_933_126_000; 3]);
    // What is told at the factor's own prices needs none.
    assert_eq!(spent(unit("GBP@2021")).told().co2e(booked_ms()), "1230");
}

#[test]
fn an_activity_over_new_year_is_of_both_years() {
    let new_year = date(2023, 1, 1);
    let days = (new_year - DAY_MS, new_year + DAY_MS);
    let booked = Dated::under(daily())
        .learns(date(2022, 1, 1), facts())
        .hears(new_year + 2 * DAY_MS, [activity(0, "2000", unit("GBP"), days)])
        .told();
    let by_period = booked.co2e_by_period(new_year + 5 * DAY_MS);
    let kg: Vec<i128> = by_period.values().map(|kg| kg / 1_000_000_000).collect();
    assert_eq!(kg, [381_300_000_000_000, 355_800_933_126_000]);
}

#[test]
fn a_revised_index_restates_its_own_year_and_says_so() {
    let revised = PriceRow { revision: 1, ..index(2023, "125") };
    let comes_ms = date(2024, 3, 1);
    let ledger = spent(unit("GBP")).learns(comes_ms, [Fact::Price(revised)]).told();
    // 0.41 x 111.6 / 125 = 0.366048: twice 1000 x (0.366048 - 0.355800933126).
    assert_eq!(ledger.written(comes_ms), [("price_revised", s("20.494133748"))]);
    let (before, after) = (ledger.co2e_by_period(booked_ms()), ledger.co2e_by_period(comes_ms));
    let moved: Vec<i64> =
        after.iter().filter(|(ms, kg)| before.get(ms) != Some(kg)).map(|(ms, _)| *ms).collect();
    assert_eq!(moved, [date(2023, 3, 1), date(2023, 9, 1)]);
}

#[test]
fn a_revised_exchange_rate_restates_the_months_it_holds_for() {
    let revised = PriceRow { revision: 1, ..euro("0.87", (2023, 7), (2024, 1)) };
    let comes_ms = date(2024, 3, 1);
    let ledger = spent(unit("EUR")).learns(comes_ms, [Fact::Price(revised)]).told();
    // 0.41 x 0.87 x 111.6 / 128.6 = 0.309546811820: 1000 x (that - 0.302430793157).
    assert_eq!(ledger.written(comes_ms), [("price_revised", s("7.116018663"))]);
}

#[test]
fn a_price_that_comes_late_is_booked_when_it_comes() {
    let comes_ms = date(2024, 3, 1);
    let late = euro("0.8", (2022, 1), (2023, 1));
    let ledger = spent(unit("EUR")).learns(comes_ms, [Fact::Price(late)]).told();
    // 0.41 x 0.8 x 111.6 / 120 = 0.30504.
    assert_eq!(ledger.written(comes_ms), [("price_revised", s("305.04"))]);
}

#[test]
fn a_straight_row_takes_over_from_two_steps_and_gives_way_again() {
    let straight = price_row(unit("EUR"), unit("GBP@2021"), "0.75");
    let straight = Fact::Price(PriceRow { price: Id(502), ..straight });
    let (comes_ms, goes_ms) = (date(2024, 3, 1), date(2024, 4, 1));
    let ledger = spent(unit("EUR"))
        .learns(comes_ms, [straight.clone()])
        .unlearns(goes_ms, [straight])
        .told();
    // 0.41 x 0.75 = 0.3075 a euro, also of 2022.
    assert_eq!(ledger.co2e(comes_ms), "922.5");
    assert_eq!(ledger.co2e(goes_ms), ledger.co2e(booked_ms()));
    let [(reason, _)] = &ledger.written(goes_ms)[..] else { panic!("one reason") };
    assert_eq!(*reason, "price_revised");
}

#[test]
fn a_revised_factor_stays_a_revised_factor() {
    let row = FactorRow { unit: unit("GBP@2021"), ..factor_row(0, Gas::Co2e, "0.42") };
    let comes_ms = date(2024, 3, 1);
    let revised = Fact::Factor(FactorRow { revision: 1, ..row });
    let ledger = spent(unit("GBP")).learns(comes_ms, [revised]).told();
    let [(reason, _)] = &ledger.written(comes_ms)[..] else { panic!("one reason") };
    assert_eq!(*reason, "factor_revised");
}
