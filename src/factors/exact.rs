//! Sums of printed numbers, exactly, and what does not add up.

use std::collections::BTreeMap;

use plumeline_pipelines::model::quantity::divide_half_even;
use plumeline_pipelines::model::{Decimal, Gas, GwpSet, Method};

use super::row::Row;

/// Places of a number that had to be divided: what a rate is kept with.
const PLACES: u8 = 12;
/// Why sums and products fit.
const SHORT: &str = "a test keeps printed factors below 20 digits";

/// `a + b`.
///
/// # Panics
/// If it has more than 38 digits; a test keeps factors far below.
#[must_use]
pub fn add(a: Decimal, b: Decimal) -> Decimal {
    let scale = a.scale().max(b.scale());
    let sum = at_scale(a, scale).checked_add(at_scale(b, scale)).expect(SHORT);
    Decimal::new(sum, scale)
}

/// `a - b`.
pub(super) fn subtract(a: Decimal, b: Decimal) -> Decimal {
    add(a, Decimal::new(-b.mantissa(), b.scale()))
}

/// `part` as per cent of `whole`, with two places; `None` of nothing.
pub(super) fn per_cent(part: Decimal, whole: Decimal) -> Option<Decimal> {
    let scale = part.scale().max(whole.scale());
    let (part, whole) = (at_scale(part, scale), at_scale(whole, scale));
    (whole > 0).then(|| Decimal::new(divide_half_even(part * 10_000, whole), 2))
}

fn at_scale(number: Decimal, scale: u8) -> i128 {
    let power = 10_i128.checked_pow(u32::from(scale - number.scale()));
    power.and_then(|power| number.mantissa().checked_mul(power)).expect(SHORT)
}

/// What `row` says, in kg CO2e by `set`; told in another set, it is divided and rounded to 1e-12 kg.
///
/// # Panics
/// See [`add`].
#[must_use]
pub fn in_set(row: &Row, set: GwpSet) -> Decimal {
    let kg = row.kg_per_unit;
    let tenths = |set| i128::from(row.gas.gwp_tenths(set));
    match row.published_gwp {
        Some(published) if published == set || tenths(published) == tenths(set) => kg,
        Some(published) => {
            let product = at_scale(kg, PLACES.max(kg.scale())).checked_mul(tenths(set));
            let kg_co2e = divide_half_even(product.expect(SHORT), tenths(published));
            Decimal::new(kg_co2e, PLACES.max(kg.scale()))
        }
        None => {
            let product = kg.mantissa().checked_mul(tenths(set)).expect(SHORT);
            Decimal::new(product, kg.scale() + 1)
        }
    }
}

/// A part of a factor: the gases, and the total that is printed beside them.
#[derive(Clone, Debug)]
pub struct Split<'a> {
    /// Scope, category, method.
    pub part: (u8, u8, Method),
    /// A row a gas.
    pub gases: Vec<&'a Row>,
    /// The row of gas `co2e`.
    pub total: Option<&'a Row>,
}

impl Split<'_> {
    /// The sum of the gases by `set`; `None` without gases.
    #[must_use]
    pub fn sum(&self, set: GwpSet) -> Option<Decimal> {
        self.gases.iter().map(|row| in_set(row, set)).reduce(add)
    }

    /// What the total has more than the gases, in the set it was published in; `None` where one is missing.
    #[must_use]
    pub fn residual(&self) -> Option<Decimal> {
        let total = self.total?;
        Some(subtract(total.kg_per_unit, self.sum(total.published_gwp?)?))
    }

    /// kg CO2e by `set`: the printed total if there is one, else the sum.
    #[must_use]
    pub fn co2e(&self, set: GwpSet) -> Decimal {
        let total = self.total.map(|total| total.kg_per_unit);
        total.or_else(|| self.sum(set)).unwrap_or_default()
    }
}

/// The parts of `rows`, which are all lines of one version of a factor.
#[must_use]
pub fn splits<'a>(rows: impl IntoIterator<Item = &'a Row>) -> Vec<Split<'a>> {
    let mut parts: BTreeMap<(u8, u8, Method), Split<'a>> = BTreeMap::new();
    for row in rows {
        let part = (row.scope, row.category, row.method);
        let split =
            parts.entry(part).or_insert_with(|| Split { part, gases: Vec::new(), total: None });
        if row.gas == Gas::Co2e {
            split.total = Some(row);
        } else {
            split.gases.push(row);
        }
    }
    // Outside of scopes comes last, as in the publications.
    let (outside, inside): (Vec<_>, Vec<_>) =
        parts.into_values().partition(|split| split.part.0 == 0);
    inside.into_iter().chain(outside).collect()
}

#[cfg(test)]
mod tests {
    use super::super::sets;
    use super::*;

    fn n(text: &str) -> Decimal {
        Decimal::parse(text).unwrap()
    }

    #[test]
    fn sums_are_exact_and_per_cents_rounded_once() {
        assert_eq!(add(n("0.20493"), n("0.0009")), n("0.20583"));
        assert_eq!(subtract(n("0.1"), n("0.30")), n("-0.2"));
        assert_eq!(per_cent(n("0.00002"), n("0.177")), Some(n("0.01")));
        assert_eq!(per_cent(n("1"), n("0")), None);
    }

    #[test]
    fn co2e_of_one_set_is_told_in_another() {
        let row = |gas: Gas| {
            let rows = sets()[0].rows().iter().filter(|row| row.factor == "uk-electricity");
            rows.clone().find(|row| row.gas == gas).unwrap()
        };
        // 0.0009 kg CO2e of CH4 by AR5 (28): by AR4 (25) and AR6 (27.0).
        assert_eq!(in_set(row(Gas::Ch4), GwpSet::Ar5), n("0.0009"));
        assert_eq!(in_set(row(Gas::Ch4), GwpSet::Ar4), n("0.000803571429"));
        assert_eq!(in_set(row(Gas::Ch4), GwpSet::Ar6), n("0.000867857143"));
        assert_eq!(in_set(row(Gas::Co2), GwpSet::Ar6), n("0.20493"));
        assert_eq!(in_set(row(Gas::Co2e), GwpSet::Ar4), n("0.20705"));
        assert_eq!(in_set(row(Gas::Co2Biogenic), GwpSet::Ar5), n("0"));
    }
}
