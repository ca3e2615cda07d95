//! Exact quantities, which ride in the differences of the dataflow.
//!
//! | what | unit | type |
//! |---|---|---|
//! | amount | 1e-9 of its unit | [`Measure::amount`] |
//! | rate of a factor line | 1e-12 kg per unit | [`Rate::mass`], [`Rate::co2e`] |
//! | mass, CO2e | their product, 1e-21 kg | [`Emission::mass`], [`Emission::co2e`] |
//!
//! Every product is bilinear in every field, presence included, and nothing that has something behind it
//! is zero: a difference carries how many readings (or lines) it rests on.

use std::fmt;

use differential_dataflow::difference::{Abelian, IsZero, Monoid, Multiply, Semigroup};
use serde::{Deserialize, Serialize};

/// Amounts are held in 1e-9 of their unit.
pub const AMOUNT_SCALE: u8 = 9;
/// Rates are held in 1e-12 kg per unit.
pub const RATE_SCALE: u8 = 12;
/// Masses are held in 1e-21 kg.
pub const MASS_SCALE: u8 = AMOUNT_SCALE + RATE_SCALE;
/// The largest amount one reading may book: 1e9 units.
pub const AMOUNT_MAX: i128 = 1_000_000_000 * 1_000_000_000;
/// The largest rate, of mass and of CO2e: just below 1e5 kg per unit, what `DECIMAL(17,12)` holds.
pub const RATE_MAX: i128 = 100_000 * 1_000_000_000_000 - 1;
/// How many readings of the largest amount, under the largest rate, one balance can hold.
pub const LARGEST_SUM: i128 = i128::MAX / (AMOUNT_MAX * RATE_MAX);
const _: () = assert!(LARGEST_SUM > 1000, "a balance must hold a thousand of the largest readings");

/// An `i128` that needs only 8-byte alignment: half the padding in every arrangement.
#[derive(Copy, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[repr(C, packed(8))]
pub struct Wide(i128);

impl Wide {
    /// Zero.
    pub const ZERO: Self = Self(0);

    /// Wraps `value`.
    #[must_use]
    pub const fn new(value: i128) -> Self {
        Self(value)
    }

    /// The number.
    #[must_use]
    pub const fn get(self) -> i128 {
        self.0
    }
}

impl From<i128> for Wide {
    fn from(value: i128) -> Self {
        Self(value)
    }
}

impl fmt::Debug for Wide {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.get())
    }
}

macro_rules! group {
    ($name:ident { $($field:ident),* }) => {
        impl IsZero for $name {
            fn is_zero(&self) -> bool { *self == Self::default() }
        }
        impl Semigroup for $name {
            fn plus_equals(&mut self, other: &Self) { $( self.$field = sum(self.$field, other.$field); )* }
        }
        impl Monoid for $name {
            fn zero() -> Self { Self::default() }
        }
        impl Abelian for $name {
            fn negate(&mut self) { $( self.$field = negative(self.$field); )* }
        }
        impl Multiply<i64> for $name {
            type Output = Self;
            fn multiply(self, times: &i64) -> Self {
                Self { $( $field: product(self.$field, *times), )* }
            }
        }
        impl $name {
            /// Its opposite: what takes it back.
            #[must_use]
            pub fn negated(mut self) -> Self { self.negate(); self }
        }
    };
}

trait Field: Copy {
    fn sum(self, other: Self) -> Self;
    fn negative(self) -> Self;
    fn product(self, times: i64) -> Self;
}
impl Field for Wide {
    fn sum(self, other: Self) -> Self {
        Self(self.get().checked_add(other.get()).expect(OVERFLOW))
    }
    fn negative(self) -> Self {
        Self(self.get().checked_neg().expect(OVERFLOW))
    }
    fn product(self, times: i64) -> Self {
        Self(self.get().checked_mul(i128::from(times)).expect(OVERFLOW))
    }
}
impl Field for i64 {
    fn sum(self, other: Self) -> Self {
        self.checked_add(other).expect(OVERFLOW)
    }
    fn negative(self) -> Self {
        self.checked_neg().expect(OVERFLOW)
    }
    fn product(self, times: i64) -> Self {
        self.checked_mul(times).expect(OVERFLOW)
    }
}
const OVERFLOW: &str = "bounds checked at the border keep every balance inside its integer";
fn sum<F: Field>(a: F, b: F) -> F {
    a.sum(b)
}
fn negative<F: Field>(a: F) -> F {
    a.negative()
}
fn product<F: Field>(a: F, times: i64) -> F {
    a.product(times)
}

/// Activity: how much of a unit, over how long, resting on how many readings.
#[derive(
    Copy, Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct Measure {
    /// In 1e-9 of the unit.
    pub amount: Wide,
    /// Milliseconds of the period the readings account for.
    pub covered_ms: i64,
    /// Readings it rests on; both ends of a register span count.
    pub presence: i64,
}
group!(Measure { amount, covered_ms, presence });

/// A factor line's rate. `present` is 1 for a line that holds, so that 0 kg does not vanish.
#[derive(
    Copy, Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct Rate {
    /// Mass of the gas, 1e-12 kg per unit; 0 for gas `co2e`, whose mass is unknown.
    pub mass: Wide,
    /// CO2e of it, 1e-12 kg per unit; 0 outside of scopes.
    pub co2e: Wide,
    /// Lines it stands for.
    pub present: i64,
}
group!(Rate { mass, co2e, present });

/// What an activity emitted under a rate.
#[derive(
    Copy, Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct Emission {
    /// Mass of the gas, 1e-21 kg.
    pub mass: Wide,
    /// CO2e, 1e-21 kg.
    pub co2e: Wide,
    /// Readings x lines it rests on.
    pub presence: i64,
}
group!(Emission { mass, co2e, presence });

impl Multiply<Rate> for Measure {
    type Output = Emission;
    /// Bilinear in every field: `m * (-r) == -(m * r)`, and so for presence.
    fn multiply(self, rate: &Rate) -> Emission {
        let times = |rate: Wide| Wide(self.amount.get().checked_mul(rate.get()).expect(OVERFLOW));
        Emission {
            mass: times(rate.mass),
            co2e: times(rate.co2e),
            presence: self.presence.checked_mul(rate.present).expect(OVERFLOW),
        }
    }
}

/// `numerator / denominator`, rounded to the nearest integer, ties to the even one.
///
/// # Panics
/// If `denominator` is not positive.
#[must_use]
pub fn divide_half_even(numerator: i128, denominator: i128) -> i128 {
    assert!(denominator > 0, "a ratio's denominator is positive");
    let (quotient, remainder) =
        (numerator.div_euclid(denominator), numerator.rem_euclid(denominator));
    match (remainder).cmp(&(denominator - remainder)) {
        std::cmp::Ordering::Less => quotient,
        std::cmp::Ordering::Greater => quotient + 1,
        std::cmp::Ordering::Equal => quotient + (quotient & 1),
    }
}

/// The part of `total` that falls in `[0, elapsed)` of a stretch of `length`: the floor of the exact
/// share, so that pieces are differences of cumulative parts and always add up to the total.
///
/// # Panics
/// If `length` is not positive.
#[must_use]
pub fn share(total: i128, elapsed: i64, length: i64) -> i128 {
    assert!(length > 0, "a stretch has a length");
    let (length, elapsed) = (i128::from(length), i128::from(elapsed));
    // Two steps keep the product small: total = q * length + r.
    let (quotient, remainder) = (total.div_euclid(length), total.rem_euclid(length));
    quotient * elapsed + (remainder * elapsed).div_euclid(length)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_wide_needs_eight_bytes_of_alignment() {
        assert_eq!((size_of::<Measure>(), align_of::<Measure>()), (32, 8));
        assert_eq!((size_of::<Emission>(), align_of::<Emission>()), (40, 8));
    }

    #[test]
    fn halves_go_to_the_even_side() {
        let cases =
            [(5, 2, 2), (7, 2, 4), (-5, 2, -2), (-7, 2, -4), (2, 3, 1), (-2, 3, -1), (1, 3, 0)];
        for (n, d, expected) in cases {
            assert_eq!(divide_half_even(n, d), expected, "{n}/{d}");
        }
    }

    fn measures() -> impl Strategy<Value = Measure> {
        (-1_000_000_i64..1_000_000, -1000_i64..1000, -50_i64..50).prop_map(|(a, c, p)| Measure {
            amount: i128::from(a).into(),
            covered_ms: c,
            presence: p,
        })
    }
    fn rates() -> impl Strategy<Value = Rate> {
        (-1_000_000_i64..1_000_000, -1_000_000_i64..1_000_000, -3_i64..3).prop_map(|(m, c, p)| {
            Rate { mass: i128::from(m).into(), co2e: i128::from(c).into(), present: p }
        })
    }
    fn plus<S: Semigroup + Copy>(a: S, b: S) -> S {
        let mut sum = a;
        sum.plus_equals(&b);
        sum
    }

    proptest! {
        #[test]
        fn the_product_is_bilinear(a in measures(), b in measures(), r in rates(), s in rates()) {
            let expanded = plus(
                plus(a.multiply(&r), a.multiply(&s)),
                plus(b.multiply(&r), b.multiply(&s)),
            );
            prop_assert_eq!(plus(a, b).multiply(&plus(r, s)), expanded);
            prop_assert_eq!(a.negated().multiply(&r), a.multiply(&r).negated());
            prop_assert_eq!(a.multiply(&r.negated()), a.multiply(&r).negated());
        }

        #[test]
        fn multiples_are_bilinear(a in measures(), b in measures(), m in -9_i64..9, n in -9_i64..9) {
            let expanded = plus(
                plus(a.multiply(&m), a.multiply(&n)),
                plus(b.multiply(&m), b.multiply(&n)),
            );
            prop_assert_eq!(plus(a, b).multiply(&(m + n)), expanded);
            let (r, s) = (a.multiply(&m), a.multiply(&-m));
            prop_assert_eq!(r.negated(), s);
        }

        #[test]
        fn pieces_add_up(total in any::<i64>(), cuts in prop::collection::vec(0_i64..=1000, 0..8)) {
            let mut cuts = cuts;
            cuts.extend([0, 1000]);
            cuts.sort_unstable();
            let pieces: i128 = cuts
                .windows(2)
                .map(|c| share(total.into(), c[1], 1000) - share(total.into(), c[0], 1000))
                .sum();
            prop_assert_eq!(pieces, i128::from(total));
        }
    }
}
