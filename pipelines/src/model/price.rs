//! What money is worth in other money: how spend meets a factor that is told per money of a price year.
//!
//! ```text
//! activity      1,000 EUR, in March 2023
//!                  | EUR ──▶ GBP         what a euro of that month is in pounds         (exchange)
//!                  | GBP ──▶ GBP@2021    what a pound of that year was worth in 2021    (deflation)
//! factor        0.41 kg per GBP@2021
//! ```
//!
//! 1. A row says that `per` of one unit are `rate` of another, while it holds. *Both numbers are written as they were
//!    published: two levels of an index make a ratio exactly, which no decimal is.*
//! 2. From the activity's unit to the factor's there is one way: the row that leads straight there; else two rows, first
//!    into the factor's currency at the prices of the activity, then to the factor's price year. *Exchanged first and
//!    deflated then is another number than the other way round: whoever wants that one writes the row that leads
//!    straight there.*
//! 3. Rows are those that hold at the start of the period that the activity is booked in: `GBP` is money at the prices
//!    of the time, and of an activity that spans New Year each part is of its own year. *No rule on calendars is needed:
//!    a row of an annual index holds for a year, one of a monthly rate for a month.* `GBP@2023` is of that year
//!    whenever it is booked.
//! 4. The fractions are multiplied exactly, and rounded once, with the factor, where a rate is formed. *Activity stays as
//!    it was sent.*
//! 5. Without a row there is no rate, and nothing is emitted: never 1, and never the last year's.
//!
//! Source: GHG Protocol, Technical Guidance for Calculating Scope 3 Emissions (2013), on the spend-based method: the
//! year of the factor's prices and of the spend have to be the same, for which inflation and exchange rates are applied.
//! The wording is not verified here; the order of rule 2 is this program's.

use super::decimal::Decimal;
use super::fact::PriceRow;
use super::unit::{Unit, UnitError, power_of_ten, reduced, try_reduced_product};

/// Digits that `rate` and `per` have at most, and decimals: so that two rows and a factor multiply exactly.
pub const PRICE_DIGITS_MAX: u32 = 9;

/// A positive fraction, reduced.
pub type Ratio = (i128, i128);

/// Whether `number` is short enough for a price.
#[must_use]
pub fn is_price(number: Decimal) -> bool {
    let limit = power_of_ten(PRICE_DIGITS_MAX).unwrap_or_default();
    (1..limit).contains(&number.mantissa()) && u32::from(number.scale()) <= PRICE_DIGITS_MAX
}

impl PriceRow {
    /// How many `to` one `unit` is.
    ///
    /// # Panics
    /// Never: both numbers were found short enough where they came in.
    #[must_use]
    pub fn ratio(&self) -> Ratio {
        let ten = |scale: u8| power_of_ten(u32::from(scale)).expect("a price has few decimals");
        let numerator = self.rate.mantissa() * ten(self.per.scale());
        reduced((numerator, self.per.mantissa() * ten(self.rate.scale())))
    }
}

/// The ways from money to money: straight, and in two steps where there is something in between.
#[must_use]
pub fn ways(from: Unit, to: Unit) -> Vec<Vec<(Unit, Unit)>> {
    if !from.is_money() || !to.is_money() || from == to {
        return Vec::new();
    }
    let currency = to.at_prices_of_the_time();
    let between = from.price_year().map_or(Some(currency), |year| currency.at_prices_of(year));
    let between = between.filter(|unit| *unit != from && *unit != to);
    let two_steps = between.map(|between| vec![(from, between), (between, to)]);
    std::iter::once(vec![(from, to)]).chain(two_steps).collect()
}

/// The product of the steps of a way; `None` where it has more digits than can be held.
#[must_use]
pub fn along(steps: &[Ratio]) -> Option<Ratio> {
    steps.iter().try_fold((1, 1), |(n, d), step| try_reduced_product(n, step.0, d, step.1))
}

/// The unit that activity is in, and what one of it is worth in other money.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Basis {
    unit: Unit,
    worth: Vec<(Unit, Ratio)>,
}

impl Basis {
    /// Activity in `unit`, without prices.
    #[must_use]
    pub fn of(unit: Unit) -> Self {
        Self { unit, worth: Vec::new() }
    }

    /// One of it is worth so many of `to`, too.
    #[must_use]
    pub fn worth(mut self, to: Unit, ratio: Ratio) -> Self {
        self.worth.push((to, ratio));
        self
    }

    /// How many of `unit` one of it is.
    ///
    /// # Errors
    /// If they measure different things, or no price leads there.
    pub fn ratio(&self, unit: Unit) -> Result<Ratio, UnitError> {
        let priced = self.worth.iter().find(|(to, _)| *to == unit);
        priced.map_or_else(|| self.unit.ratio(unit), |(_, ratio)| Ok(*ratio))
    }

    /// `kg` per `unit`, as 1e-12 kg per unit of the activity: [`Unit::rate`].
    ///
    /// # Errors
    /// See there; or if no price leads from one to the other.
    pub fn rate(&self, kg: Decimal, unit: Unit, times: (i64, i64)) -> Result<i128, UnitError> {
        unit.rate_of(kg, self.ratio(unit)?, times)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Id, Validity};

    fn u(symbol: &str) -> Unit {
        Unit::parse(symbol).expect(symbol)
    }
    fn n(text: &str) -> Decimal {
        Decimal::parse(text).expect(text)
    }
    fn row(unit: &str, to: &str, rate: &str, per: &str) -> PriceRow {
        PriceRow {
            price: Id(1),
            unit: u(unit),
            to: u(to),
            rate: n(rate),
            per: n(per),
            validity: Validity::ALWAYS,
            revision: 0,
            source: Id::NONE,
        }
    }
    fn shown(from: &str, to: &str) -> Vec<String> {
        let step = |(from, to): &(Unit, Unit)| format!("{from}>{to}");
        let way = |way: &Vec<_>| way.iter().map(step).collect::<Vec<_>>().join(" ");
        ways(u(from), u(to)).iter().map(way).collect()
    }

    #[test]
    fn exchange_comes_before_deflation_and_a_straight_row_before_both() {
        for (from, to, expected) in [
            ("GBP", "GBP@2021", vec!["GBP>GBP@2021"]),
            ("EUR", "GBP@2021", vec!["EUR>GBP@2021", "EUR>GBP GBP>GBP@2021"]),
            (
                "EUR@2023",
                "GBP@2021",
                vec!["EUR@2023>GBP@2021", "EUR@2023>GBP@2023 GBP@2023>GBP@2021"],
            ),
            ("EUR@2021", "GBP@2021", vec!["EUR@2021>GBP@2021"]),
            ("GBP@2023", "GBP@2021", vec!["GBP@2023>GBP@2021"]),
            ("EUR", "GBP", vec!["EUR>GBP"]),
            ("GBP", "GBP", vec![]),
            ("GBP", "kg", vec![]),
        ] {
            assert_eq!(shown(from, to), expected, "{from} to {to}");
        }
    }

    #[test]
    fn two_levels_of_an_index_make_an_exact_ratio() {
        assert_eq!(row("GBP", "GBP@2021", "111.6", "128.6").ratio(), (558, 643));
        assert_eq!(row("IDR", "GBP", "0.0489", "1000").ratio(), (489, 10_000_000));
        let steps = [("EUR", "GBP", "0.86", "1"), ("GBP", "GBP@2021", "111.6", "128.6")];
        let steps = steps.map(|(unit, to, rate, per)| row(unit, to, rate, per).ratio());
        assert_eq!(along(&steps), Some((43 * 558 / 2, 25 * 643)));
    }

    #[test]
    fn a_rate_is_rounded_once() {
        // 0.41 x 0.86 x 111.6 / 128.6 = 0.305988802... kg per EUR.
        let ratio = along(&[(43, 50), (558, 643)]).expect("short");
        let basis = Basis::of(u("EUR")).worth(u("GBP@2021"), ratio);
        assert_eq!(basis.rate(n("0.41"), u("GBP@2021"), (1, 1)), Ok(305_988_802_488));
        assert!(basis.rate(n("0.41"), u("GBP@2022"), (1, 1)).is_err(), "no price leads there");
        assert_eq!(basis.rate(n("0.41"), u("EUR"), (1, 1)), Ok(410_000_000_000));
    }

    #[test]
    fn the_longest_prices_and_a_long_factor_multiply_exactly() {
        let longest = row("EUR", "GBP", "999999999", "0.000000001").ratio();
        assert!(along(&[longest, longest]).is_some());
        let plain = row("EUR", "GBP", "0.861234567", "1.23456789").ratio();
        let ratio = along(&[plain, plain]).expect("short");
        let basis = Basis::of(u("EUR")).worth(u("GBP@2021"), ratio);
        let kg = n("0.12345678901234567890");
        assert!(basis.rate(kg, u("GBP@2021"), (253_000, 280)).is_ok());
        assert!(is_price(n("999999999")) && !is_price(n("1000000000")));
        assert!(is_price(n("0.000000001")) && !is_price(n("0.0000000001")));
        assert!(!is_price(n("0")) && !is_price(n("-1")));
    }
}
