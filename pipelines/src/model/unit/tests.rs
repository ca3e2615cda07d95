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
        for b in Unit::all().filter(|b| b.dimension() == a.dimension()) {
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
