//! Units of measure, with exact rational conversions.
//!
//! A unit has a *dimension* (what can be converted) and belongs to a *decimal family* whose base it is
//! booked in: `Wh` is booked in kWh, `Btu` in MMBtu. Between families the ratio is exact and is merged
//! into a factor's rate. The calorific basis of fuel energy (gross, net) and the state of a gas volume
//! (Nm3, Sm3, scf) are part of the dimension: a mismatch is an error, never a guess.
//!
//! Money is a unit, too: `GBP`, and `GBP@2021` for pounds at the prices of 2021. Between any two of them no constant
//! leads: prices do, which are facts ([`super::price`]).
//!
//! Sources: SI Brochure 9 (2019); Btu(IT), gal, ft3, lb: NIST SP 811 appendix B; therm: UK Units of
//! Measurement Regulations 1995; Nm3 at 0 C, Sm3 at 15 C (ISO 13443), scf at 68 F (40 CFR 72.2), all at
//! 101.325 kPa, so that their ratios are ratios of absolute temperatures. What transport, nights and working hours are told
//! in: DESNZ GHG Conversion Factors 2025 (`tonne.km`, `passenger.km`, `Room per night`, `per FTE Working Hour`); area and
//! hours: PACT Technical Specifications 3.0. ft2: NIST SP 811.

mod currency;
mod table;

use std::fmt;
use std::num::NonZeroU16;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::decimal::Decimal;
use super::quantity::{AMOUNT_MAX, RATE_MAX, divide_half_even};
use currency::PRICE_YEARS;
use table::{ALIASES, Definition, Entry, FIRST_CURRENCY, TABLE};

pub use currency::{PRICE_YEAR_MAX, PRICE_YEAR_MIN};
pub use table::Dimension;

/// A unit of the table, or money of a price year. Written out, it is its symbol: the table may grow.
///
/// It holds 1 + its row in the table; after the last row, currency by currency, each of its price years.
#[derive(Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Unit(NonZeroU16);

const _: () = assert!(size_of::<Option<Unit>>() == 2, "a sample has two bytes for its unit");

impl From<Unit> for String {
    fn from(unit: Unit) -> Self {
        unit.symbol().to_owned()
    }
}
impl TryFrom<String> for Unit {
    type Error = UnitError;
    fn try_from(symbol: String) -> Result<Self, UnitError> {
        Self::parse(&symbol)
    }
}

/// Why a value has no amount, or a rate no conversion.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum UnitError {
    /// The text names no unit of the table.
    #[error("unknown unit `{0}`")]
    Unknown(String),
    /// The text names money of a price year that there is not, or a price year of something else.
    #[error(
        "`{0}`: a price year is {PRICE_YEAR_MIN} to {PRICE_YEAR_MAX}, of a currency of ISO 4217, such as `GBP@2021`"
    )]
    PriceYear(String),
    /// The units are money of different currencies or price years.
    #[error("`{from}` becomes `{to}` by prices alone")]
    Priced {
        /// The unit at hand.
        from: Unit,
        /// The unit wanted.
        to: Unit,
    },
    /// The units measure different things.
    #[error("`{from}` ({}) does not convert into `{to}` ({})", .from.dimension().name(), .to.dimension().name())]
    Mismatch {
        /// The unit at hand.
        from: Unit,
        /// The unit wanted.
        to: Unit,
    },
    /// Larger than a single reading or rate may be.
    #[error("{value} {unit} is out of range")]
    OutOfRange {
        /// The value as written.
        value: Decimal,
        /// Its unit.
        unit: Unit,
    },
}

impl Unit {
    /// Every unit there is; of money, that of no price year.
    ///
    /// # Panics
    /// Never: all of them have a number.
    pub fn all() -> impl Iterator<Item = Self> {
        (0..TABLE.len()).map(Self::numbered)
    }

    /// The unit behind so many others.
    fn numbered(index: usize) -> Self {
        let number = u16::try_from(index + 1).ok().and_then(NonZeroU16::new);
        Self(number.expect("fewer than 65,535 units"))
    }

    /// How many units stand before it.
    fn index(self) -> usize {
        usize::from(self.0.get()) - 1
    }

    /// Its currency and price year, each from 0, where it is money of one.
    fn priced(self) -> Option<(usize, usize)> {
        let behind = self.index().checked_sub(TABLE.len())?;
        Some((behind / PRICE_YEARS, behind % PRICE_YEARS))
    }

    /// Its row of the table; of money of a price year, its currency's.
    fn entry(self) -> &'static Entry {
        match self.priced() {
            None => &TABLE[self.index()],
            Some((currency, _)) => &TABLE[FIRST_CURRENCY + currency],
        }
    }

    fn definition(self) -> &'static Definition {
        self.entry().definition
    }

    /// The unit written as `symbol`.
    ///
    /// # Errors
    /// If no unit is written so; the error carries the text.
    pub fn parse(symbol: &str) -> Result<Self, UnitError> {
        let short = || symbol.chars().take(64).collect();
        if let Some((code, year)) = symbol.split_once('@') {
            let currency = Self::all().skip(FIRST_CURRENCY).find(|unit| unit.symbol() == code);
            let year = Some(year)
                .filter(|year| year.len() == 4 && !year.starts_with('+'))
                .and_then(|year| year.parse().ok());
            let unit = currency.zip(year).and_then(|(currency, year)| currency.at_prices_of(year));
            return unit.ok_or_else(|| UnitError::PriceYear(short()));
        }
        let symbol = ALIASES.iter().find(|(alias, _)| *alias == symbol).map_or(symbol, |(_, s)| *s);
        Self::all().find(|unit| unit.symbol() == symbol).ok_or_else(|| UnitError::Unknown(short()))
    }

    /// How it is written.
    #[must_use]
    pub fn symbol(self) -> &'static str {
        match self.priced() {
            None => self.definition().symbol,
            Some((currency, year)) => currency::symbol(currency, year),
        }
    }

    /// Whether it is money: what prices lead to and from.
    #[must_use]
    pub fn is_money(self) -> bool {
        self.dimension() == Dimension::Money
    }

    /// The year whose prices it is told at; `None` for those of the time.
    #[must_use]
    pub fn price_year(self) -> Option<u16> {
        let (_, year) = self.priced()?;
        u16::try_from(year).ok().map(|year| PRICE_YEAR_MIN + year)
    }

    /// The same currency at the prices of `year`; `None` where it is no money, or there is no such price year.
    #[must_use]
    pub fn at_prices_of(self, year: u16) -> Option<Self> {
        if !self.is_money() || !(PRICE_YEAR_MIN..=PRICE_YEAR_MAX).contains(&year) {
            return None;
        }
        let year = usize::from(year - PRICE_YEAR_MIN);
        Some(Self::numbered(TABLE.len() + self.currency() * PRICE_YEARS + year))
    }

    /// The same currency, at the prices of the time.
    #[must_use]
    pub fn at_prices_of_the_time(self) -> Self {
        if self.price_year().is_none() {
            return self;
        }
        Self::numbered(FIRST_CURRENCY + self.currency())
    }

    /// The number of its currency, from 0.
    fn currency(self) -> usize {
        self.priced().map_or_else(|| self.index() - FIRST_CURRENCY, |(currency, _)| currency)
    }

    /// What it measures.
    #[must_use]
    pub fn dimension(self) -> Dimension {
        self.definition().dimension
    }

    /// The unit its amounts are booked in.
    #[must_use]
    pub fn base(self) -> Self {
        if self.priced().is_some() { self } else { self.entry().base }
    }

    /// What a power in this unit amounts to over an hour: kWh for kW; `None` if it is no power.
    #[must_use]
    pub fn over_an_hour(self) -> Option<Self> {
        self.entry().over_an_hour
    }

    /// Whether it can be converted to `to`: every reading asks.
    ///
    /// # Errors
    /// If they measure different things.
    pub fn converts(self, to: Self) -> Result<(), UnitError> {
        let both = (self.is_money(), to.is_money());
        match both {
            (true, true) if self != to => Err(UnitError::Priced { from: self, to }),
            _ if self.dimension() == to.dimension() => Ok(()),
            _ => Err(UnitError::Mismatch { from: self, to }),
        }
    }

    /// How many `to` one of it is, exactly, as a reduced fraction.
    ///
    /// # Errors
    /// If they measure different things.
    pub fn ratio(self, to: Self) -> Result<(i128, i128), UnitError> {
        self.converts(to)?;
        let (a, b) = (self.definition(), to.definition());
        Ok(reduced(reduced_product(a.numerator, b.denominator, a.denominator, b.numerator)))
    }

    /// `value x multiplier` of this unit as an amount of its base, in 1e-9, rounded half-even once.
    ///
    /// # Errors
    /// If it is larger than [`AMOUNT_MAX`].
    pub fn amount(self, value: Decimal, multiplier: Decimal) -> Result<i128, UnitError> {
        scaled(value, multiplier, self.entry().to_base, 9)
            .filter(|amount| amount.abs() <= AMOUNT_MAX)
            .ok_or(UnitError::OutOfRange { value, unit: self })
    }

    /// `value x multiplier` of this unit as an amount of `base`, of its own family or another: see
    /// [`Self::amount`].
    ///
    /// # Errors
    /// If the units measure different things, or the amount is larger than [`AMOUNT_MAX`].
    pub fn amount_in(
        self,
        base: Self,
        value: Decimal,
        multiplier: Decimal,
    ) -> Result<i128, UnitError> {
        if base == self.base() {
            return self.amount(value, multiplier);
        }
        scaled(value, multiplier, self.ratio(base)?, 9)
            .filter(|amount| amount.abs() <= AMOUNT_MAX)
            .ok_or(UnitError::OutOfRange { value, unit: self })
    }

    /// The amount of a power of `value x multiplier`, held for `ms`: see [`Self::amount`].
    ///
    /// # Errors
    /// If this is no power, or the amount is larger than [`AMOUNT_MAX`].
    ///
    /// # Panics
    /// Never: kW is in the table.
    pub fn amount_held(
        self,
        value: Decimal,
        multiplier: Decimal,
        ms: i64,
    ) -> Result<i128, UnitError> {
        let out_of_range = || UnitError::OutOfRange { value, unit: self };
        let hourly = self.over_an_hour().ok_or_else(|| UnitError::Mismatch {
            from: self,
            to: Self::parse("kW").expect("in the table"),
        })?;
        let (n, d) = hourly.entry().to_base;
        let ratio = reduced((n * i128::from(ms), d * 3_600_000));
        scaled(value, multiplier, ratio, 9)
            .filter(|amount| amount.abs() <= AMOUNT_MAX)
            .ok_or_else(out_of_range)
    }

    /// `kg` per this unit, as 1e-12 kg per `of`, times the ratio `times` of whole numbers, rounded half-even once.
    ///
    /// # Errors
    /// If the units measure different things, or the rate is larger than [`RATE_MAX`].
    pub fn rate(self, kg: Decimal, of: Self, times: (i64, i64)) -> Result<i128, UnitError> {
        self.rate_of(kg, of.ratio(self)?, times)
    }

    /// [`Self::rate`] per something of which one is `worth` of this unit, a reduced fraction.
    ///
    /// # Errors
    /// If the rate is larger than [`RATE_MAX`], or the fraction has more digits than can be held.
    pub fn rate_of(
        self,
        kg: Decimal,
        (n, d): (i128, i128),
        times: (i64, i64),
    ) -> Result<i128, UnitError> {
        let (times, over) = (Decimal::new(i128::from(times.0), 0), i128::from(times.1));
        d.checked_mul(over)
            .and_then(|d| scaled(kg, times, (n, d), 12))
            .filter(|rate| rate.abs() <= RATE_MAX)
            .ok_or(UnitError::OutOfRange { value: kg, unit: self })
    }
}

impl fmt::Display for Unit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.symbol())
    }
}

impl fmt::Debug for Unit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.symbol())
    }
}

/// `a x b x ratio`, in units of `10^-scale`, rounded half-even; `None` where it does not fit.
fn scaled(a: Decimal, b: Decimal, ratio: (i128, i128), scale: u32) -> Option<i128> {
    let (mut numerator, mut denominator) = ratio;
    numerator = numerator.checked_mul(b.mantissa())?;
    let decimals = u32::from(a.scale()) + u32::from(b.scale());
    if decimals > scale {
        denominator = denominator.checked_mul(power_of_ten(decimals - scale)?)?;
    } else {
        numerator = numerator.checked_mul(power_of_ten(scale - decimals)?)?;
    }
    if let Some(product) = a.mantissa().checked_mul(numerator) {
        let is_whole = denominator == 1;
        return Some(if is_whole { product } else { divide_half_even(product, denominator) });
    }
    let (numerator, denominator) = reduced((numerator, denominator));
    multiply_divide_half_even(a.mantissa(), numerator, denominator)
}

/// `10^exponent`, from a table: every reading asks for one.
pub(super) fn power_of_ten(exponent: u32) -> Option<i128> {
    const POWERS: [i128; 39] = {
        let mut powers = [1; 39];
        let mut exponent = 1;
        while exponent < powers.len() {
            powers[exponent] = powers[exponent - 1] * 10;
            exponent += 1;
        }
        powers
    };
    POWERS.get(usize::try_from(exponent).ok()?).copied()
}

/// `a * n / d`, rounded half-even, with the product held in 256 bits; `None` where the result overflows.
fn multiply_divide_half_even(a: i128, n: i128, d: i128) -> Option<i128> {
    if let Some(product) = a.checked_mul(n) {
        return Some(divide_half_even(product, d));
    }
    let negative = (a < 0) != (n < 0);
    let (high, low) = wide_product(a.unsigned_abs(), n.unsigned_abs());
    let d = d.unsigned_abs();
    if high >= d {
        return None;
    }
    // Long division, a bit at a time: the remainder stays below d < 2^127, so doubling it fits.
    let (mut quotient, mut remainder) = (0_u128, high);
    for bit in (0..128).rev() {
        remainder = remainder << 1 | (low >> bit & 1);
        quotient = quotient.checked_mul(2)?;
        if remainder >= d {
            remainder -= d;
            quotient += 1;
        }
    }
    let up = match remainder.cmp(&(d - remainder)) {
        std::cmp::Ordering::Less => 0,
        std::cmp::Ordering::Greater => 1,
        std::cmp::Ordering::Equal => quotient & 1,
    };
    let magnitude = i128::try_from(quotient.checked_add(up)?).ok()?;
    Some(if negative { -magnitude } else { magnitude })
}

/// The 256-bit product, as high and low halves.
fn wide_product(a: u128, b: u128) -> (u128, u128) {
    const HALF: u32 = 64;
    const MASK: u128 = (1 << HALF) - 1;
    let (a1, a0, b1, b0) = (a >> HALF, a & MASK, b >> HALF, b & MASK);
    let (low, mid_1, mid_2, high) = (a0 * b0, a1 * b0, a0 * b1, a1 * b1);
    let mid = (low >> HALF) + (mid_1 & MASK) + (mid_2 & MASK);
    (high + (mid_1 >> HALF) + (mid_2 >> HALF) + (mid >> HALF), low & MASK | mid << HALF)
}

fn gcd(mut a: i128, mut b: i128) -> i128 {
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a.abs().max(1)
}

pub(super) fn reduced((n, d): (i128, i128)) -> (i128, i128) {
    let common = gcd(n, d);
    (n / common, d / common)
}

/// `(a * b) / (c * d)`, reduced crosswise first so that no product is larger than it must be.
fn reduced_product(a: i128, b: i128, c: i128, d: i128) -> (i128, i128) {
    try_reduced_product(a, b, c, d).expect("units' definitions are short")
}

/// [`reduced_product`]; `None` where it does not fit.
pub(super) fn try_reduced_product(a: i128, b: i128, c: i128, d: i128) -> Option<(i128, i128)> {
    let ((a, c), (b, d)) = (reduced((a, c)), reduced((b, d)));
    let ((a, d), (b, c)) = (reduced((a, d)), reduced((b, c)));
    Some((a.checked_mul(b)?, c.checked_mul(d)?))
}

#[cfg(test)]
mod tests;
