//! Scope 3 as accountants send it: every category, in each unit that its methods use, is booked to the last digit.
//!
//! Sources of the units: GHG Protocol Scope 3 categories 1 to 15, by average data (a quantity), by spend, by distance and
//! by supplier; DESNZ GHG Conversion Factors 2025 prints `tonne.km`, `passenger.km`, `km`, `tonnes`, `litres`, `Room per
//! night` and `per FTE Working Hour`. Factors are made up, so that each sum is known by hand.

mod support;

use plumeline_pipelines::model::time::DAY_MS;
use plumeline_pipelines::model::{
    ActivityRecord, Fact, FactorRow, Gas, GwpSet, Policy, Record, Unit,
};
use support::dated::{Dated, activity, price_row};
use support::dates::{calendar, date};
use support::{factor_id, factor_row, node_row, policy, unit};

/// What is sent, under a factor of so many kg per unit, and the kg it comes to.
const SENT: [(&str, &str, &str, &str, &str); 21] = [
    // Average data: what was bought, used, thrown away.
    ("1500.5", "kg", "2.1", "kg", "3151.05"),
    ("1.5005", "t", "2.1", "kg", "3151.05"),
    ("12", "L", "1.63", "L", "19.56"),
    ("0.012", "m3", "1.63", "L", "19.56"),
    ("1000", "kWh", "0.018", "kWh", "18"),
    ("3.6", "GJ", "0.018", "kWh", "18"),
    ("12", "piece", "7.25", "piece", "87"),
    ("100", "m2", "0.5", "m2", "50"),
    ("7.5", "hour", "0.2", "hour", "1.5"),
    // Waste, by the tonne.
    ("2.5", "t", "520.3342", "t", "1300.8355"),
    // Transport: mass by distance, distance of vehicles and of passengers.
    ("1234.5", "tonne.km", "0.1", "t.km", "123.45"),
    ("1000", "kg.km", "0.1", "t.km", "0.1"),
    ("800", "v.km", "0.25", "v.km", "200"),
    ("800", "km", "0.25", "km", "200"),
    ("5500", "passenger.km", "0.2", "p.km", "1100"),
    // Nights, and people who work at home.
    ("3", "room.night", "10.4", "room.night", "31.2"),
    ("160", "FTE.hour", "0.33378", "FTE.hour", "53.4048"),
    ("40", "FTE", "1000", "FTE", "40000"),
    // Spend: in the factor's money, deflated, and exchanged and deflated.
    ("1000", "USD", "0.31", "USD", "310"),
    ("1000", "GBP", "0.5", "GBP@2021", "400"),
    ("1000", "EUR", "0.5", "GBP@2021", "320"),
];
/// Scope 3 has so many.
const CATEGORIES: u8 = 15;

fn number(category: u8, sent: usize) -> u32 {
    u32::from(category) * 100 + u32::try_from(sent).expect("few")
}

/// Each of [`SENT`] in each category, each under a factor of its own.
fn facts() -> Vec<Fact> {
    let mut facts = vec![
        Fact::Node(node_row(0, None)),
        Fact::Price(price_row(unit("GBP"), unit("GBP@2021"), "0.8")),
        Fact::Price(price_row(unit("EUR"), unit("GBP"), "0.8")),
    ];
    for category in 1..=CATEGORIES {
        for (index, (_, _, kg, per, _)) in SENT.into_iter().enumerate() {
            let plain = factor_row(number(category, index), Gas::Co2e, kg);
            facts.push(Fact::Factor(FactorRow { scope: 3, category, unit: unit(per), ..plain }));
        }
    }
    facts
}

#[test]
fn every_category_takes_every_unit() {
    let day = (date(2023, 3, 1), date(2023, 3, 2));
    let mut records = Vec::new();
    for category in 1..=CATEGORIES {
        for (index, (value, symbol, ..)) in SENT.into_iter().enumerate() {
            let number = number(category, index);
            let Record::Activity(plain) = activity(number, value, unit(symbol), day) else {
                unreachable!()
            };
            let factor = factor_id(number);
            records.push(Record::Activity(ActivityRecord { factor, ..plain }));
        }
    }
    let policy = Policy {
        period_ms: DAY_MS,
        windows_ms: vec![DAY_MS],
        calendar: calendar(2022, 2025),
        gwp: GwpSet::Ar6,
        ..policy(100)
    };
    let ledger = Dated::under(policy)
        .learns(date(2023, 1, 1), facts())
        .hears(day.1 + DAY_MS, records)
        .told();
    let booked = ledger.by_subject(day.1 + 2 * DAY_MS);
    for category in 1..=CATEGORIES {
        for (index, (value, symbol, kg, per, expected)) in SENT.into_iter().enumerate() {
            let sum = booked.get(&(category, number(category, index))).map(String::as_str);
            let told = format!("{value} {symbol} at {kg} kg per {per}, category {category}");
            assert_eq!(sum, Some(expected), "{told}");
        }
    }
    assert_eq!(booked.len(), usize::from(CATEGORIES) * SENT.len());
}

#[test]
fn what_accountants_write_is_a_unit() {
    for (written, symbol) in [
        ("tonne.km", "t.km"),
        ("tkm", "t.km"),
        ("passenger.km", "p.km"),
        ("pkm", "p.km"),
        ("vehicle.km", "v.km"),
        ("room night", "room.night"),
        ("tonnes", "t"),
        ("tonne", "t"),
        ("litres", "L"),
        ("hours", "hour"),
        ("FTE.h", "FTE.hour"),
        ("m\u{b2}", "m2"),
        ("pieces", "piece"),
    ] {
        assert_eq!(Unit::parse(written).map(Unit::symbol), Ok(symbol));
    }
    // Not the same: an hour of a machine, an hour of a full-time equivalent, and one of them.
    for (one, other) in [("hour", "FTE.hour"), ("FTE.hour", "FTE"), ("km", "v.km"), ("m2", "m3")] {
        assert!(unit(one).ratio(unit(other)).is_err(), "{one} {other}");
    }
}
