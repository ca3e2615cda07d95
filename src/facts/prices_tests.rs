//! What is said where money does not become what a factor is told per, in small tables.

use jiff::tz::TimeZone;
use plumeline_pipelines::model::{
    Decimal, FactorChange, FactorStatus, Gas, GwpSet, MeterKind, MeterRow, Method, Names, StampSide,
};

use super::super::row::held_in;
use super::*;

/// 2023 to 2025 begin, and 2026.
const NEW_YEARS_MS: [i64; 4] =
    [1_672_531_200_000, 1_704_067_200_000, 1_735_689_600_000, 1_767_225_600_000];

fn u(symbol: &str) -> Unit {
    Unit::parse(symbol).unwrap()
}

struct World {
    names: Names,
    books: Books,
    prices_come_later: bool,
}

impl World {
    /// A factor per `unit`.
    fn new(unit: &str) -> Self {
        let names = Names::new();
        let row = FactorRow {
            factor: names.intern("it services"),
            revision: 0,
            scope: 3,
            category: 1,
            method: Method::Any,
            gas: Gas::Co2e,
            kg_per_unit: Decimal::parse("0.41").unwrap(),
            unit: u(unit),
            published_gwp: None,
            status: FactorStatus::Final,
            change: FactorChange::Revised,
            validity: Validity::ALWAYS,
            source: Id::NONE,
        };
        let mut books = Books::default();
        let held = held_in("factors.csv", 2, Origin::File, row);
        books.factors.insert(held.row.factor, vec![held]);
        Self { names, books, prices_come_later: false }
    }

    /// `of` of one are `rate` of the other, in the years from the first to before the last of [`NEW_YEARS_MS`].
    fn price(
        mut self,
        (unit, to): (&str, &str),
        (rate, of): (&str, &str),
        years: [usize; 2],
    ) -> Self {
        let price = self.names.intern(&format!("{unit}/{to}"));
        let [from_ms, to_ms] = years.map(|year| NEW_YEARS_MS[year]);
        let row = PriceRow {
            price,
            unit: u(unit),
            to: u(to),
            rate: Decimal::parse(rate).unwrap(),
            per: Decimal::parse(of).unwrap(),
            validity: Validity { from_ms, to_ms },
            revision: 0,
            source: Id::NONE,
        };
        let held = held_in("prices.csv", 2, Origin::File, row);
        self.books.prices.entry(price).or_default().push(held);
        self
    }

    /// A meter in `unit`, over the same years.
    fn meter(mut self, unit: &str, years: [usize; 2]) -> Self {
        let [from_ms, to_ms] = years.map(|year| NEW_YEARS_MS[year]);
        let row = MeterRow {
            meter: self.names.intern("spend"),
            node: self.names.intern("office"),
            kind: MeterKind::Interval,
            unit: Some(u(unit)),
            multiplier: Decimal::ONE,
            stamp: StampSide::End,
            interval_ms: None,
            max_hold_ms: 1,
            modulus: None,
            max_power: None,
            expected_every_ms: None,
            factor: self.names.intern("it services"),
            validity: Validity { from_ms, to_ms },
            revision: 0,
        };
        let held = held_in("meters.csv", 2, Origin::File, row);
        self.books.meters.insert(held.row.meter, vec![held]);
        self
    }

    fn told(&self) -> Vec<String> {
        let setting = Setting {
            words: Words { names: &self.names, timezone: &TimeZone::UTC },
            gwp: GwpSet::Ar5,
            factors_come_later: false,
            nodes_come_later: false,
            prices_come_later: self.prices_come_later,
        };
        let mut problems = Problems::new();
        prices(&self.books, setting, &mut problems);
        problems.iter().map(ToString::to_string).collect()
    }
}

const DEFLATED: (&str, &str) = ("GBP", "GBP@2021");
const EXCHANGED: (&str, &str) = ("EUR", "GBP");

#[test]
fn a_factor_of_a_price_year_needs_a_price_that_leads_there() {
    let mut world = World::new("GBP@2021");
    let [said] = &world.told()[..] else { panic!("one problem") };
    assert!(said.contains("is told per `GBP@2021`, and no price leads there"), "{said}");
    assert!(said.contains("unit = GBP, to = GBP@2021, for each year of spend"), "{said}");
    world.prices_come_later = true;
    assert_eq!(world.told(), Vec::<String>::new());
    assert_eq!(World::new("GBP").told(), Vec::<String>::new());
    let priced = World::new("GBP@2021").price(DEFLATED, ("111.6", "128.6"), [0, 1]);
    assert_eq!(priced.told(), Vec::<String>::new());
}

#[test]
fn a_year_without_an_index_is_named_where_a_meter_books_money() {
    let world = World::new("GBP@2021").price(DEFLATED, ("111.6", "128.6"), [0, 1]);
    assert_eq!(world.meter("GBP", [0, 1]).told(), Vec::<String>::new());
    let world = World::new("GBP@2021").price(DEFLATED, ("111.6", "128.6"), [0, 1]).price(
        DEFLATED,
        ("111.6", "133"),
        [2, 3],
    );
    let [said] = &world.meter("GBP", [0, 3]).told()[..] else { panic!("one problem") };
    let expected = "meter \"spend\" books `GBP`, and no price leads to `GBP@2021` of its factor from \
                    2024-01-01 to 2025-01-01";
    assert!(said.contains(expected), "{said}");
}

#[test]
fn two_steps_lead_there_while_both_hold() {
    let world = || {
        World::new("GBP@2021").price(EXCHANGED, ("0.86", "1"), [0, 2]).price(
            DEFLATED,
            ("111.6", "128.6"),
            [1, 3],
        )
    };
    assert_eq!(world().meter("EUR", [1, 2]).told(), Vec::<String>::new());
    let [said] = &world().meter("EUR", [0, 2]).told()[..] else { panic!("one problem") };
    assert!(said.contains("from 2023-01-01 to 2024-01-01"), "{said}");
    let [said] = &world().meter("USD", [1, 2]).told()[..] else { panic!("one problem") };
    assert!(said.contains("unit = USD, to = GBP@2021"), "{said}");
    let straight = world().price(("EUR", "GBP@2021"), ("0.75", "1"), [0, 1]);
    assert_eq!(straight.meter("EUR", [0, 2]).told(), Vec::<String>::new());
}

#[test]
fn a_price_that_makes_a_rate_too_large_is_questioned() {
    let world = World::new("GBP@2021").price(DEFLATED, ("999999", "1"), [0, 1]);
    let [said] = &world.told()[..] else { panic!("one problem") };
    assert!(said.contains("emits more than 100,000 kg by price \"GBP/GBP@2021\""), "{said}");
}
