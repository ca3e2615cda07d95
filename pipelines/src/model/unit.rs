//! Units of measure, with exact rational conversions.
//!
//! A unit has a *dimension* (what can be converted) and belongs to a *decimal family* whose base it is
//! booked in: `Wh` is booked in kWh, `Btu` in MMBtu. Between families the ratio is exact and is merged
//! into a factor's rate. The calorific basis of fuel energy (gross, net) and the state of a gas volume
//! (Nm3, Sm3, scf) are part of the dimension: a mismatch is an error, never a guess.
//!
//! Sources: SI Brochure 9 (2019); Btu(IT), gal, ft3, lb: NIST SP 811 appendix B; therm: UK Units of
//! Measurement Regulations 1995; Nm3 at 0 C, Sm3 at 15 C (ISO 13443), scf at 68 F (40 CFR 72.2), all at
//! 101.325 kPa, so that their ratios are ratios of absolute temperatures.

use std::fmt;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::decimal::Decimal;
use super::quantity::{AMOUNT_MAX, RATE_MAX};

/// What a unit measures: only units of one dimension convert into each other.
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Dimension {
    /// Electricity, heat, steam: energy without a calorific basis.
    Energy,
    /// Fuel energy, gross (higher) calorific value.
    EnergyGross,
    /// Fuel energy, net (lower) calorific value.
    EnergyNet,
    /// Volume as metered.
    Volume,
    /// Gas volume at a reference state.
    GasVolume,
    /// Mass.
    Mass,
    /// Distance.
    Distance,
    /// Freight work.
    Freight,
    /// Passenger transport.
    Passengers,
    /// Vehicle transport.
    Vehicles,
    /// Pieces.
    Count,
    /// Hotel room nights.
    RoomNights,
    /// Euro.
    Euro,
    /// Pound sterling.
    Sterling,
    /// US dollar.
    Dollar,
    /// Energy per time, for `power` meters.
    Power,
    /// Volume per time, for `power` meters.
    VolumeFlow,
    /// Mass per time, for `power` meters.
    MassFlow,
}

impl Dimension {
    /// Its name: the column `quantity`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Energy => "energy",
            Self::EnergyGross => "energy_gross",
            Self::EnergyNet => "energy_net",
            Self::Volume => "volume",
            Self::GasVolume => "gas_volume",
            Self::Mass => "mass",
            Self::Distance => "distance",
            Self::Freight => "freight",
            Self::Passengers => "passengers",
            Self::Vehicles => "vehicles",
            Self::Count => "count",
            Self::RoomNights => "room_nights",
            Self::Euro => "euro",
            Self::Sterling => "sterling",
            Self::Dollar => "dollar",
            Self::Power => "power",
            Self::VolumeFlow => "volume_flow",
            Self::MassFlow => "mass_flow",
        }
    }
}

/// One row of the table of units.
struct Definition {
    symbol: &'static str,
    dimension: Dimension,
    /// Symbol of its family's base.
    base: &'static str,
    /// It is `numerator / denominator` of its dimension's reference, exactly.
    numerator: i128,
    denominator: i128,
}

const fn unit(
    symbol: &'static str,
    dimension: Dimension,
    base: &'static str,
    numerator: i128,
    denominator: i128,
) -> Definition {
    Definition { symbol, dimension, base, numerator, denominator }
}

macro_rules! energy {
    ($dimension:ident, $basis:literal) => {
        [
            unit(concat!("J", $basis), Dimension::$dimension, concat!("MJ", $basis), 1, 1),
            unit(concat!("kJ", $basis), Dimension::$dimension, concat!("MJ", $basis), 1_000, 1),
            unit(concat!("MJ", $basis), Dimension::$dimension, concat!("MJ", $basis), 1_000_000, 1),
            unit(concat!("GJ", $basis), Dimension::$dimension, concat!("MJ", $basis), 1_000_000_000, 1),
            unit(concat!("TJ", $basis), Dimension::$dimension, concat!("MJ", $basis), 1_000_000_000_000, 1),
            unit(concat!("Wh", $basis), Dimension::$dimension, concat!("kWh", $basis), 3_600, 1),
            unit(concat!("kWh", $basis), Dimension::$dimension, concat!("kWh", $basis), 3_600_000, 1),
            unit(concat!("MWh", $basis), Dimension::$dimension, concat!("kWh", $basis), 3_600_000_000, 1),
            unit(concat!("GWh", $basis), Dimension::$dimension, concat!("kWh", $basis), 3_600_000_000_000, 1),
            unit(concat!("TWh", $basis), Dimension::$dimension, concat!("kWh", $basis), 3_600_000_000_000_000, 1),
            unit(concat!("Btu", $basis), Dimension::$dimension, concat!("MMBtu", $basis), 105_505_585_262, 100_000_000),
            unit(concat!("kBtu", $basis), Dimension::$dimension, concat!("MMBtu", $basis), 105_505_585_262, 100_000),
            unit(concat!("MMBtu", $basis), Dimension::$dimension, concat!("MMBtu", $basis), 105_505_585_262, 100),
            unit(concat!("therm", $basis), Dimension::$dimension, concat!("therm", $basis), 105_505_585_257, 1_000),
            unit(concat!("therm (US)", $basis), Dimension::$dimension, concat!("therm (US)", $basis), 105_480_400, 1),
        ]
    };
}

const ENERGY: [Definition; 15] = energy!(Energy, "");
const ENERGY_GROSS: [Definition; 15] = energy!(EnergyGross, " gross");
const ENERGY_NET: [Definition; 15] = energy!(EnergyNet, " net");
const OTHERS: [Definition; 43] = {
    use Dimension as D;
    [
        unit("m3", D::Volume, "m3", 1, 1),
        unit("L", D::Volume, "m3", 1, 1_000),
        unit("mL", D::Volume, "m3", 1, 1_000_000),
        unit("gal", D::Volume, "gal", 3_785_411_784, 1_000_000_000_000),
        unit("gal (imp)", D::Volume, "gal (imp)", 454_609, 100_000_000),
        unit("ft3", D::Volume, "ft3", 28_316_846_592, 1_000_000_000_000),
        unit("bbl", D::Volume, "bbl", 158_987_294_928, 1_000_000_000_000),
        unit("Nm3", D::GasVolume, "Nm3", 1, 1),
        unit("Sm3", D::GasVolume, "Sm3", 27_315, 28_815),
        unit("scf", D::GasVolume, "scf", 28_316_846_592 * 27_315, 1_000_000_000_000 * 29_315),
        unit("mg", D::Mass, "kg", 1, 1_000_000),
        unit("g", D::Mass, "kg", 1, 1_000),
        unit("kg", D::Mass, "kg", 1, 1),
        unit("t", D::Mass, "kg", 1_000, 1),
        unit("kt", D::Mass, "kg", 1_000_000, 1),
        unit("lb", D::Mass, "lb", 45_359_237, 100_000_000),
        unit("short ton", D::Mass, "lb", 45_359_237 * 2_000, 100_000_000),
        unit("long ton", D::Mass, "lb", 45_359_237 * 2_240, 100_000_000),
        unit("m", D::Distance, "km", 1, 1_000),
        unit("km", D::Distance, "km", 1, 1),
        unit("mi", D::Distance, "mi", 1_609_344, 1_000_000),
        unit("kg.km", D::Freight, "t.km", 1, 1_000),
        unit("t.km", D::Freight, "t.km", 1, 1),
        unit("short ton.mi", D::Freight, "short ton.mi", 90_718_474 * 1_609_344, 100_000_000_000_000),
        unit("p.km", D::Passengers, "p.km", 1, 1),
        unit("p.mi", D::Passengers, "p.mi", 1_609_344, 1_000_000),
        unit("v.km", D::Vehicles, "v.km", 1, 1),
        unit("v.mi", D::Vehicles, "v.mi", 1_609_344, 1_000_000),
        unit("piece", D::Count, "piece", 1, 1),
        unit("dozen", D::Count, "piece", 12, 1),
        unit("room.night", D::RoomNights, "room.night", 1, 1),
        unit("EUR", D::Euro, "EUR", 1, 1),
        unit("GBP", D::Sterling, "GBP", 1, 1),
        unit("USD", D::Dollar, "USD", 1, 1),
        unit("W", D::Power, "kW", 1, 1),
        unit("kW", D::Power, "kW", 1_000, 1),
        unit("MW", D::Power, "kW", 1_000_000, 1),
        unit("GW", D::Power, "kW", 1_000_000_000, 1),
        unit("m3/h", D::VolumeFlow, "m3/h", 1, 1),
        unit("L/h", D::VolumeFlow, "m3/h", 1, 1_000),
        unit("g/h", D::MassFlow, "kg/h", 1, 1_000),
        unit("kg/h", D::MassFlow, "kg/h", 1, 1),
        unit("t/h", D::MassFlow, "kg/h", 1_000, 1),
    ]
};
const GROUPS: [&[Definition]; 4] = [&ENERGY, &ENERGY_GROSS, &ENERGY_NET, &OTHERS];

/// Other spellings gateways and people use.
const ALIASES: [(&str, &str); 16] = [
    ("kwh", "kWh"),
    ("KWH", "kWh"),
    ("wh", "Wh"),
    ("mmBtu", "MMBtu"),
    ("l", "L"),
    ("litre", "L"),
    ("liter", "L"),
    ("m\u{b3}", "m3"),
    ("gal (US)", "gal"),
    ("tonne", "t"),
    ("tkm", "t.km"),
    ("pkm", "p.km"),
    ("count", "piece"),
    ("unit", "piece"),
    ("1", "piece"),
    ("mile", "mi"),
];

/// A unit of the table.
#[derive(Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Unit(u8);

/// Why a value has no amount, or a rate no conversion.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum UnitError {
    /// The text names no unit of the table.
    #[error("unknown unit `{0}`")]
    Unknown(String),
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
    /// Every unit there is.
    pub fn all() -> impl Iterator<Item = Self> {
        let count: usize = GROUPS.iter().map(|group| group.len()).sum();
        (0..count).map(|index| Self(u8::try_from(index).expect("fewer than 256 units")))
    }

    fn definition(self) -> &'static Definition {
        let mut index = usize::from(self.0);
        for group in GROUPS {
            if let Some(definition) = group.get(index) {
                return definition;
            }
            index -= group.len();
        }
        unreachable!("units are made from the table alone")
    }

    /// The unit written as `symbol`.
    ///
    /// # Errors
    /// If no unit is written so; the error carries the text.
    pub fn parse(symbol: &str) -> Result<Self, UnitError> {
        let symbol = ALIASES.iter().find(|(alias, _)| *alias == symbol).map_or(symbol, |(_, s)| *s);
        Self::all()
            .find(|unit| unit.symbol() == symbol)
            .ok_or_else(|| UnitError::Unknown(symbol.chars().take(64).collect()))
    }

    /// How it is written.
    #[must_use]
    pub fn symbol(self) -> &'static str {
        self.definition().symbol
    }

    /// What it measures.
    #[must_use]
    pub fn dimension(self) -> Dimension {
        self.definition().dimension
    }

    /// The unit its amounts are booked in.
    ///
    /// # Panics
    /// Never: the table names the base of every unit (a test holds it).
    #[must_use]
    pub fn base(self) -> Self {
        Self::parse(self.definition().base).expect("every base is in the table")
    }

    /// What a power in this unit amounts to over an hour: kWh for kW; `None` if it is no power.
    #[must_use]
    pub fn over_an_hour(self) -> Option<Self> {
        let amount = match self.symbol() {
            "W" => "Wh",
            "kW" => "kWh",
            "MW" => "MWh",
            "GW" => "GWh",
            "m3/h" => "m3",
            "L/h" => "L",
            "g/h" => "g",
            "kg/h" => "kg",
            "t/h" => "t",
            _ => return None,
        };
        Self::parse(amount).ok()
    }

    /// How many `to` one of it is, exactly, as a reduced fraction.
    ///
    /// # Errors
    /// If they measure different things.
    pub fn ratio(self, to: Self) -> Result<(i128, i128), UnitError> {
        let (a, b) = (self.definition(), to.definition());
        if a.dimension != b.dimension {
            return Err(UnitError::Mismatch { from: self, to });
        }
        Ok(reduced(reduced_product(a.numerator, b.denominator, a.denominator, b.numerator)))
    }

    /// `value x multiplier` of this unit as an amount of its base, in 1e-9, rounded half-even once.
    ///
    /// # Errors
    /// If it is larger than [`AMOUNT_MAX`].
    pub fn amount(self, value: Decimal, multiplier: Decimal) -> Result<i128, UnitError> {
        let ratio = self.ratio(self.base())?;
        scaled(value, multiplier, ratio, 9)
            .filter(|amount| amount.abs() <= AMOUNT_MAX)
            .ok_or(UnitError::OutOfRange { value, unit: self })
    }

    /// The amount of a power of `value x multiplier`, held for `ms`: see [`Self::amount`].
    ///
    /// # Errors
    /// If this is no power, or the amount is larger than [`AMOUNT_MAX`].
    pub fn amount_held(self, value: Decimal, multiplier: Decimal, ms: i64) -> Result<i128, UnitError> {
        let out_of_range = || UnitError::OutOfRange { value, unit: self };
        let hourly = self
            .over_an_hour()
            .ok_or(UnitError::Mismatch { from: self, to: Self::parse("kW").expect("in the table") })?;
        let (n, d) = hourly.ratio(hourly.base())?;
        let ratio = reduced((n * i128::from(ms), d * 3_600_000));
        scaled(value, multiplier, ratio, 9)
            .filter(|amount| amount.abs() <= AMOUNT_MAX)
            .ok_or_else(out_of_range)
    }

    /// `kg` per this unit, as 1e-12 kg per `of`, times `gwp_tenths / 10`, rounded half-even once.
    ///
    /// # Errors
    /// If the units measure different things, or the rate is larger than [`RATE_MAX`].
    pub fn rate(self, kg: Decimal, of: Self, gwp_tenths: i64) -> Result<i128, UnitError> {
        let (n, d) = of.ratio(self)?;
        let gwp = Decimal::new(i128::from(gwp_tenths), 1);
        scaled(kg, gwp, (n, d), 12)
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
        denominator = denominator.checked_mul(10_i128.checked_pow(decimals - scale)?)?;
    } else {
        numerator = numerator.checked_mul(10_i128.checked_pow(scale - decimals)?)?;
    }
    let (numerator, denominator) = reduced((numerator, denominator));
    multiply_divide_half_even(a.mantissa(), numerator, denominator)
}

/// `a * n / d`, rounded half-even, with the product held in 256 bits; `None` where the result overflows.
fn multiply_divide_half_even(a: i128, n: i128, d: i128) -> Option<i128> {
    if let Some(product) = a.checked_mul(n) {
        return Some(super::quantity::divide_half_even(product, d));
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

fn reduced((n, d): (i128, i128)) -> (i128, i128) {
    let common = gcd(n, d);
    (n / common, d / common)
}

/// `(a * b) / (c * d)`, reduced crosswise first so that no product is larger than it must be.
fn reduced_product(a: i128, b: i128, c: i128, d: i128) -> (i128, i128) {
    let ((a, c), (b, d)) = (reduced((a, c)), reduced((b, d)));
    let ((a, d), (b, c)) = (reduced((a, d)), reduced((b, c)));
    (a * b, c * d)
}

#[cfg(test)]
mod tests {
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
        assert_eq!(u("kWh").rate(n("1"), u("MMBtu"), 10), Ok(293_071_070_172_222));
        // 1 scf (68 F) = 0.0263848... Nm3.
        let rate = u("Nm3").rate(n("1"), u("scf"), 10).expect("same dimension");
        assert_eq!(rate / 100_000, 263_848);
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
}
