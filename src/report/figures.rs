//! Exact figures of a report: sums of mass and CO2e, and how they are told.
//!
//! Sums are integers of 1e-21 kg. Kilograms are told with all their digits, tonnes to the kilogram, ratios in
//! thousandths of a per cent, rounded towards zero: a threshold is reached, or not, on the exact numbers.

use std::collections::BTreeMap;

use plumeline_pipelines::model::quantity::MASS_SCALE;
use plumeline_pipelines::model::{Decimal, Gas, Method};

/// 1e-21 kg in a kilogram.
const KILOGRAM: i128 = 1_000_000_000_000_000_000_000;
/// Thousandths of a per cent in all of it.
const WHOLE: u32 = 100_000;
/// Why sums never overflow.
const IN_BOUNDS: &str =
    "a balance of the whole ledger fits its integer, so what is summed of it does";

/// What a total is of.
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Key {
    /// 1, 2, 3, or 0 for outside of scopes.
    pub scope: u8,
    /// Scope 3 category; 0 for none.
    pub category: u8,
    /// How scope 2 is told.
    pub method: Method,
    /// The gas.
    pub gas: Gas,
}

/// A mass and its CO2e, 1e-21 kg.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Sum {
    /// Of the gas; 0 for gas `co2e`, whose mass nobody published.
    pub mass: i128,
    /// CO2e.
    pub co2e: i128,
}

impl Sum {
    /// Adds another one.
    ///
    /// # Panics
    /// Never: balances fit.
    pub fn add(&mut self, other: Self) {
        self.mass = self.mass.checked_add(other.mass).expect(IN_BOUNDS);
        self.co2e = self.co2e.checked_add(other.co2e).expect(IN_BOUNDS);
    }

    /// What takes it back.
    #[must_use]
    pub fn negated(self) -> Self {
        Self { mass: -self.mass, co2e: -self.co2e }
    }

    /// Whether both are 0.
    #[must_use]
    pub fn is_zero(self) -> bool {
        self == Self::default()
    }
}

/// Sums by what they are of. One of 0 with something behind it is there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Totals(pub BTreeMap<Key, Sum>);

impl Totals {
    /// Adds to a total.
    pub fn add(&mut self, key: Key, sum: Sum) {
        self.0.entry(key).or_default().add(sum);
    }

    /// Adds all totals of another.
    pub fn add_all(&mut self, other: &Self) {
        for (key, sum) in &other.0 {
            self.add(*key, *sum);
        }
    }

    /// A total; 0 if there is none.
    #[must_use]
    pub fn of(&self, key: Key) -> Sum {
        self.0.get(&key).copied().unwrap_or_default()
    }

    /// What is to be added to `other` to have this.
    #[must_use]
    pub fn minus(&self, other: &Self) -> Self {
        let mut rest = self.clone();
        for (key, sum) in &other.0 {
            rest.add(*key, sum.negated());
        }
        rest
    }

    /// The first total that is not 0.
    #[must_use]
    pub fn first(&self) -> Option<(Key, Sum)> {
        self.0.iter().find(|(_, sum)| !sum.is_zero()).map(|(key, sum)| (*key, *sum))
    }

    /// The sum of those totals.
    #[must_use]
    pub fn sum(&self, is_wanted: impl Fn(&Key) -> bool) -> Sum {
        let mut sum = Sum::default();
        self.0.iter().filter(|(key, _)| is_wanted(key)).for_each(|(_, of)| sum.add(*of));
        sum
    }
}

/// Kilograms with all their digits.
#[must_use]
pub fn kilograms(mass: i128) -> String {
    Decimal::new(mass, MASS_SCALE).to_string()
}

/// Reads what [`kilograms`] writes; `None` for whatever is not a whole number of 1e-21 kg.
#[must_use]
pub fn parse_kilograms(text: &str) -> Option<i128> {
    let number = Decimal::parse(text).ok()?;
    let shift = MASS_SCALE.checked_sub(number.scale())?;
    number.mantissa().checked_mul(10_i128.checked_pow(u32::from(shift))?)
}

/// Tonnes to the kilogram, half away from zero.
#[must_use]
pub fn tonnes(mass: i128) -> String {
    let half = if mass < 0 { -KILOGRAM / 2 } else { KILOGRAM / 2 };
    let kg = mass.saturating_add(half) / KILOGRAM;
    let sign = if kg < 0 { "-" } else { "" };
    format!("{sign}{}.{:03}", kg.unsigned_abs() / 1000, kg.unsigned_abs() % 1000)
}

/// The same with a sign wherever it is not 0.
#[must_use]
pub fn signed_tonnes(mass: i128) -> String {
    let text = tonnes(mass);
    let is_up = mass > 0 && text != "0.000";
    if is_up { format!("+{text}") } else { text }
}

/// How much of `whole` a change is, whatever their signs, in thousandths of a per cent, rounded down. `None` if the whole
/// is nothing and the change is not.
fn ratio(change: i128, whole: i128) -> Option<u128> {
    let (mut change, mut whole) = (change.unsigned_abs(), whole.unsigned_abs());
    if change == 0 {
        return Some(0);
    }
    // No company emits what the digits below are for.
    while whole > u128::MAX / 10 {
        (change, whole) = (change / 10, whole / 10);
    }
    let mut ratio = change.checked_div(whole)?;
    let mut rest = change % whole;
    for _ in 0..WHOLE.ilog10() {
        ratio = ratio.saturating_mul(10).saturating_add(rest * 10 / whole);
        rest = rest * 10 % whole;
    }
    Some(ratio)
}

/// A change in per cent of what it changes: `+1.234`; `None` of nothing.
#[must_use]
pub fn percent(change: i128, whole: i128) -> Option<String> {
    let ratio = ratio(change, whole)?;
    let sign = match (ratio, (change < 0) == (whole < 0)) {
        (0, _) => "",
        (_, true) => "+",
        (_, false) => "-",
    };
    Some(format!("{sign}{}.{:03}", ratio / 1000, ratio % 1000))
}

/// From which share of a total on changes of it are significant.
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Threshold {
    /// Thousandths of a per cent.
    thousandths: u32,
}

impl Threshold {
    /// 5 per cent: what reporters usually take.
    pub const DEFAULT: Self = Self { thousandths: 5_000 };

    /// Reads `5`, `2.5`; `None` if it is not above 0, above 100, or has more than three places.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let number = Decimal::parse(text).ok()?;
        let shift = 3_u8.checked_sub(number.scale())?;
        let thousandths = number.mantissa().checked_mul(10_i128.pow(u32::from(shift)))?;
        let thousandths = u32::try_from(thousandths).ok()?;
        (1..=WHOLE).contains(&thousandths).then_some(Self { thousandths })
    }

    /// Whether a change of a total reaches it; a change of nothing always does.
    #[must_use]
    pub fn is_reached(self, change: i128, whole: i128) -> bool {
        ratio(change, whole).is_none_or(|ratio| ratio >= u128::from(self.thousandths))
    }
}

impl std::fmt::Display for Threshold {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", Decimal::new(i128::from(self.thousandths), 3))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kilograms_keep_every_digit() {
        for (mass, text) in [
            (0, "0"),
            (1, "0.000000000000000000001"),
            (-12_340_000_000_000_000_000_000, "-12.34"),
            (i128::MAX, "170141183460469231.731687303715884105727"),
        ] {
            assert_eq!(kilograms(mass), text);
        }
        for mass in [0, 1, -1, 5 * KILOGRAM, -12_340_000_000_000_000_000_000] {
            assert_eq!(parse_kilograms(&kilograms(mass)), Some(mass));
        }
        for strange in ["", "x", "0.0000000000000000000001", "1e30"] {
            assert_eq!(parse_kilograms(strange), None, "{strange}");
        }
    }

    #[test]
    fn tonnes_are_told_to_the_kilogram() {
        for (kg2, text, signed) in [
            (0, "0.000", "0.000"),
            (1, "0.001", "+0.001"),
            (2_469_135, "1234.568", "+1234.568"),
            (-3, "-0.002", "-0.002"),
        ] {
            let mass = kg2 * KILOGRAM / 2;
            assert_eq!((tonnes(mass).as_str(), signed_tonnes(mass).as_str()), (text, signed));
        }
        assert_eq!(signed_tonnes(1), "0.000");
        assert_eq!(tonnes(-1), "0.000");
        assert!(tonnes(i128::MAX).starts_with("170141183460469"));
    }

    #[test]
    fn ratios_are_exact() {
        for (change, whole, text) in [
            (5, 100, Some("+5.000")),
            (-5, 100, Some("-5.000")),
            (5, -100, Some("-5.000")),
            (1, 3, Some("+33.333")),
            (300, 100, Some("+300.000")),
            (1, 1_000_000, Some("0.000")),
            (0, 0, Some("0.000")),
            (1, 0, None),
            (i128::MAX, i128::MAX, Some("+100.000")),
            (i128::MAX, 1, Some("+170141183460469231731687303715884105727.000")),
        ] {
            let found = percent(change, whole);
            if change == i128::MAX && whole == 1 {
                assert!(found.is_some(), "it need not be exact, but must not fail");
                continue;
            }
            assert_eq!(found.as_deref(), text, "{change} of {whole}");
        }
    }

    #[test]
    fn a_threshold_is_reached_by_exactly_as_much() {
        let five = Threshold::DEFAULT;
        for (change, whole, is_reached) in [
            (49_999, 1_000_000, false),
            (50_000, 1_000_000, true),
            (-50_000, 1_000_000, true),
            (50_000, 1_000_001, false),
            (0, 0, false),
            (1, 0, true),
        ] {
            assert_eq!(five.is_reached(change, whole), is_reached, "{change} of {whole}");
        }
        for (text, told) in [("5", "5"), ("2.50", "2.5"), ("0.001", "0.001"), ("100", "100")] {
            assert_eq!(Threshold::parse(text).map(|t| t.to_string()).as_deref(), Some(told));
        }
        for text in ["0", "-5", "100.1", "5%", "0.0001", ""] {
            assert_eq!(Threshold::parse(text), None, "{text}");
        }
    }
}
