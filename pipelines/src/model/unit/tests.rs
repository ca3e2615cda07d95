//! Tests of the table of units and of exact conversion.

use super::*;
use proptest::prelude::*;

fn u(symbol: &str) -> Unit {
    Unit::parse(symbol).expect(symbol)
}
fn n(text: &str) -> Decimal {
    Decimal::parse(text).expect(text)
}

#[test]
fn every_base_is_its_own_base_and_every_ratio_goes_both_ways() {
    for a in Unit::all() {
        assert_eq!(a.base().base(), a.base(), "{a}");
        for b in Unit::all().filter(|b| a.converts(*b).is_ok()) {
            let ((p, q), (r, s)) = (a.ratio(b).expect("same"), b.ratio(a).expect("same"));
            assert_eq!((p, q), (s, r), "{a} {b}");
        }
    }
}

#[test]
fn published_conversions_hold() {
    let cases = [
        ("MWh", "1.5", "1500"),
        ("Wh", "1", "0.001"),
        ("short ton", "1", "2000"),
        ("L", "2.5", "0.0025"),
        ("TJ", "1", "1000000"),
        ("kBtu", "1000", "1"),
    ];
    for (unit, value, base) in cases {
        let expected = u(unit).base().amount(n(base), Decimal::ONE).expect("in range");
        assert_eq!(u(unit).amount(n(value), Decimal::ONE), Ok(expected), "{value} {unit}");
    }
    // 1 MMBtu = 293.071070172... kWh: a rate per kWh, told per MMBtu.
    assert_eq!(u("kWh").rate(n("1"), u("MMBtu"), (1, 1)), Ok(293_071_070_172_222));
    // 1 scf (68 F) = 0.0263849... Nm3.
    let rate = u("Nm3").rate(n("1"), u("scf"), (1, 1)).expect("same dimension");
    assert_eq!(rate / 100_000, 263_849);
}

#[test]
fn a_twenty_digit_reading_is_rounded_once() {
    let amount = u("kWh").amount(n("12345.678901234500001"), Decimal::ONE);
    assert_eq!(amount, Ok(12_345_678_901_235));
    let tie = u("kWh").amount(n("0.0000000025"), Decimal::ONE);
    assert_eq!(tie, Ok(2));
    let wide = u("TWh").amount(n("0.00000000012345678901234567890"), n("1.000000000001"));
    assert_eq!(wide, Ok(123_456_789));
}

#[test]
fn what_does_not_fit_is_an_error_that_names_it() {
    let error = u("GWh").amount(n("1000000"), Decimal::ONE).expect_err("1e12 kWh");
    assert_eq!(error.to_string(), "1000000 GWh is out of range");
    let error = u("kWh").ratio(u("m3")).expect_err("no conversion");
    assert_eq!(error.to_string(), "`kWh` (energy) does not convert into `m3` (volume)");
    assert!(u("kWh").ratio(u("kWh gross")).is_err());
    assert_eq!(Unit::parse("kw/h"), Err(UnitError::Unknown("kw/h".into())));
}

#[test]
fn money_is_of_its_currency_and_price_year_alone() {
    let (gbp, then) = (u("GBP"), u("GBP@2021"));
    assert_eq!((then.symbol(), then.price_year()), ("GBP@2021", Some(2021)));
    assert_eq!(gbp.at_prices_of(2021), Some(then));
    assert_eq!((then.base(), then.at_prices_of_the_time()), (then, gbp));
    assert_eq!(then.amount(n("12.34"), Decimal::ONE), Ok(12_340_000_000));
    assert_eq!(then.dimension().name(), "money");
    for (from, to) in [(gbp, then), (then, gbp), (gbp, u("EUR")), (then, u("GBP@2022"))] {
        let error = from.ratio(to).expect_err("no constant");
        assert_eq!(error.to_string(), format!("`{from}` becomes `{to}` by prices alone"));
    }
    assert!(then.ratio(then).is_ok());
    let error = gbp.ratio(u("kg")).expect_err("another thing");
    assert_eq!(error.to_string(), "`GBP` (money) does not convert into `kg` (mass)");
}

#[test]
fn a_price_year_that_is_none_says_which_there_are() {
    for text in ["GBP@1989", "GBP@2100", "GBP@21", "GBP@", "GBP@+021", "kWh@2021", "ABC@2021"] {
        let error = Unit::parse(text).expect_err(text);
        let expected =
            "a price year is 1990 to 2099, of a currency of ISO 4217, such as `GBP@2021`";
        assert_eq!(error.to_string(), format!("`{text}`: {expected}"));
    }
    assert!(matches!(Unit::parse("ABC"), Err(UnitError::Unknown(_))));
}

#[test]
fn every_price_year_of_every_currency_is_read_as_it_is_written() {
    for currency in Unit::all().filter(|unit| unit.is_money()) {
        for year in PRICE_YEAR_MIN..=PRICE_YEAR_MAX {
            let unit = currency.at_prices_of(year).expect("a price year");
            assert_eq!(unit.to_string(), format!("{currency}@{year}"));
        }
        let unit = currency.at_prices_of(PRICE_YEAR_MAX).expect("a price year");
        assert_eq!(Unit::parse(unit.symbol()), Ok(unit));
    }
}

proptest! {
    #[test]
    fn the_long_way_round_equals_the_short_one(a in any::<i64>(), n in 1..i64::MAX, d in 1..i64::MAX) {
        let (a, n, d) = (i128::from(a), i128::from(n), i128::from(d));
        let short = super::super::quantity::divide_half_even(a * n, d);
        // Scaled by 2^60 on both sides, the product no longer fits in 128 bits.
        let long = multiply_divide_half_even(a, n << 60, d << 60);
        prop_assert_eq!(long, Some(short));
    }
}
