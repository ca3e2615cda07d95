//! All versions of all factors, and the one that is chosen for a use.
//!
//! 1. The factor's versions that hold at the period's start: the highest revision. By a vintage other than `calendar`
//!    the instants looked at are those of years ([`Vintage`]), and two years' versions blend.
//! 2. Where it has none, the factor that its series declares as fallback, by that one's own series; and so on.
//!    *An hour's intensity that is not there yet is the month's, and shows as that in the ledger.*
//! 3. A version is chosen once for all its lines and gases: never gas by gas.
//! 4. Where activity is money and the version is told in other money, prices lead from one to the other, as they hold at
//!    the period's start ([`crate::model::price`]).
//!
//! Versions are kept by the length of their validity: what holds at an instant is at most one step away in each
//! length, and a factor that is published by the half-hour has one length and tens of thousands of versions.

use std::collections::BTreeMap;

use crate::model::price::{Ratio, along, ways};
use crate::model::recipe::{Lines, blended, lines};
use crate::model::time::DAY_MS;
use crate::model::{
    Basis, Fact, FactorChange, FactorRow, GwpSet, Id, Period, Policy, PriceRow, SeriesRow, Total,
    Unit, Validity, Vintage,
};

/// How many factors stand behind one another at most.
pub const FALLBACKS_MAX: usize = 8;

/// What is chosen for a use.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Choice {
    /// The factor whose version it is: the one that was asked for, or one that stands in for it.
    pub factor: Id,
    /// Its lines.
    pub lines: Lines,
    /// Its version, or the two that blend.
    pub versions: Vec<Version>,
    /// The rule it was chosen by.
    pub rule: Rule,
    /// The prices that lead from the activity's money to that of its lines, in the order of the rows.
    pub prices: Vec<Price>,
}

/// A price, by what tells it from others of its units.
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Price {
    /// See [`PriceRow::price`].
    pub price: Id,
    /// See [`PriceRow::revision`].
    pub revision: i64,
    /// When it begins to hold, ms.
    pub from_ms: i64,
}

/// A version of a factor, by what its rows have in common.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct Version {
    /// When it begins to hold, ms.
    pub from_ms: i64,
    /// Its revision.
    pub revision: i64,
    /// Why that revision was made.
    pub change: FactorChange,
}

impl Choice {
    /// When its version begins to hold, ms; of two that blend, the later one.
    #[must_use]
    pub fn from_ms(&self) -> Option<i64> {
        self.versions.iter().map(|version| version.from_ms).max()
    }

    /// Whether it differs from `old` by a version that corrects what was published in error.
    #[must_use]
    pub fn corrects(&self, old: &Self) -> bool {
        let is_error = |version: &Version| version.change == FactorChange::Error;
        if self.versions == old.versions {
            return self.versions.iter().any(is_error);
        }
        let mut new = self.versions.iter().filter(|version| !old.versions.contains(version));
        new.any(is_error)
    }
}

/// What a series says of how to choose.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub struct Rule {
    /// See [`SeriesRow::vintage`].
    pub vintage: Vintage,
    /// See [`SeriesRow::year_begins`].
    pub year_begins: u8,
    /// See [`SeriesRow::total`].
    pub total: Total,
    /// See [`SeriesRow::fallback`].
    pub fallback: Id,
}

impl Rule {
    /// That of the newest of `rows` which holds at `ms`.
    pub fn of<'a>(rows: impl Iterator<Item = &'a SeriesRow>, ms: i64) -> Self {
        let newest = rows.filter(|row| row.validity.holds(ms)).max_by_key(|row| row.revision);
        newest.map_or_else(Self::default, |row| {
            let &SeriesRow { vintage, year_begins, total, fallback, .. } = row;
            Self { vintage, year_begins, total, fallback }
        })
    }

    /// The instants at which versions are looked for, ms, each with the days it counts. Of `majority` the first at which
    /// there is one counts alone: *a set that is not published yet must not leave a year without any.*
    #[must_use]
    pub fn instants(self, policy: &Policy, start_ms: i64) -> Vec<(i64, i64)> {
        let year = match self.vintage {
            Vintage::Calendar => None,
            _ => policy.calendar.reporting_year(self.year_begins, start_ms),
        };
        let Some([begins_ms, january_ms, ends_ms]) = year else { return vec![(start_ms, 1)] };
        // A civil year may begin within a period: the facts' grid begins with the next.
        let on_grid =
            |ms: i64| (ms + policy.period_ms - 1).div_euclid(policy.period_ms) * policy.period_ms;
        let days = |from_ms: i64, to_ms: i64| (to_ms - from_ms + DAY_MS / 2).div_euclid(DAY_MS);
        let (before, after) = (days(begins_ms, january_ms), days(january_ms, ends_ms));
        let years = [(on_grid(begins_ms), before), (on_grid(january_ms), after)];
        match self.vintage {
            Vintage::Calendar => vec![(start_ms, 1)],
            Vintage::Majority if before >= after => years.to_vec(),
            Vintage::Majority => vec![years[1], years[0]],
            Vintage::Blended => years.into_iter().filter(|(_, days)| *days > 0).collect(),
        }
    }
}

/// A row that holds for a while, of one revision.
trait Versioned: Ord + Clone {
    fn validity(&self) -> Validity;
    fn revision(&self) -> i64;
}

macro_rules! versioned {
    ($($row:ident),*) => {$(
        impl Versioned for $row {
            fn validity(&self) -> Validity {
                self.validity
            }
            fn revision(&self) -> i64 {
                self.revision
            }
        }
    )*};
}
versioned!(FactorRow, PriceRow);

/// Versions of one factor, or of one price: by length of validity, by its beginning.
#[derive(Debug)]
struct Versions<R>(BTreeMap<i64, BTreeMap<i64, Vec<R>>>);

impl<R> Default for Versions<R> {
    fn default() -> Self {
        Self(BTreeMap::new())
    }
}

impl<R: Versioned> Versions<R> {
    fn update(&mut self, row: &R, diff: i64) {
        let validity = row.validity();
        let length_ms = validity.to_ms - validity.from_ms;
        let of_length = self.0.entry(length_ms).or_default();
        let rows = of_length.entry(validity.from_ms).or_default();
        if diff > 0 {
            rows.push(row.clone());
            rows.sort();
        } else if let Some(index) = rows.iter().position(|known| known == row) {
            rows.remove(index);
        }
        if rows.is_empty() {
            of_length.remove(&validity.from_ms);
        }
        self.0.retain(|_, of_length| !of_length.is_empty());
    }

    /// The rows of the highest revision that holds at `ms`.
    fn newest(&self, ms: i64) -> Vec<&R> {
        let mut newest: Vec<&R> = Vec::new();
        for (length_ms, of_length) in &self.0 {
            let begun = of_length.range(ms - (length_ms - 1).max(0)..=ms);
            for row in begun.flat_map(|(_, rows)| rows) {
                match newest.first().map(|known| known.revision().cmp(&row.revision())) {
                    Some(std::cmp::Ordering::Greater) => {}
                    Some(std::cmp::Ordering::Equal) => newest.push(row),
                    Some(std::cmp::Ordering::Less) | None => newest = vec![row],
                }
            }
        }
        newest
    }
}

/// See the module's documentation.
#[derive(Debug, Default)]
pub struct Library {
    versions: BTreeMap<Id, Versions<FactorRow>>,
    series: BTreeMap<Id, Vec<SeriesRow>>,
    prices: BTreeMap<(Unit, Unit), Versions<PriceRow>>,
}

impl Library {
    /// Adds (`diff > 0`) or takes back a row; of meters and nodes it has none.
    pub fn update(&mut self, fact: &Fact, diff: i64) {
        match fact {
            Fact::Factor(row) => update(&mut self.versions, row.factor, row, diff),
            Fact::Price(row) => update(&mut self.prices, (row.unit, row.to), row, diff),
            Fact::Series(row) => self.update_series(row, diff),
            Fact::Meter(_) | Fact::Node(_) | Fact::Contract(_) | Fact::Certificate(_) => {}
        }
    }

    fn update_series(&mut self, row: &SeriesRow, diff: i64) {
        let rows = self.series.entry(row.factor).or_default();
        if diff > 0 {
            rows.push(row.clone());
            rows.sort();
        } else if let Some(index) = rows.iter().position(|known| known == row) {
            rows.remove(index);
        }
        if rows.is_empty() {
            self.series.remove(&row.factor);
        }
    }

    /// The factors that may be asked for `factor`, it first, and whether any of them looks at other instants than a
    /// period's start.
    #[must_use]
    pub fn behind(&self, factor: Id) -> (Vec<Id>, bool) {
        let (mut chain, mut looks_elsewhere) = (vec![factor], false);
        let mut next = 0;
        while let Some(rows) = chain.get(next).map(|id| self.series.get(id)) {
            for row in rows.into_iter().flatten() {
                looks_elsewhere |= row.vintage != Vintage::Calendar;
                if !row.fallback.is_none() && !chain.contains(&row.fallback) {
                    chain.push(row.fallback);
                }
            }
            next += 1;
        }
        (chain, looks_elsewhere)
    }

    /// What holds for activity in `unit` and `period` under `factor`; no lines if nothing does.
    #[must_use]
    pub fn choose(
        &self,
        (factor, unit, period): (Id, Unit, Period),
        (policy, gwp): (&Policy, GwpSet),
    ) -> Choice {
        let start_ms = period.start_ms(policy.period_ms);
        let mut factor = factor;
        for _ in 0..=FALLBACKS_MAX {
            let rule = Rule::of(self.series.get(&factor).into_iter().flatten(), start_ms);
            if let Some(choice) = self.version((factor, unit), rule, start_ms, (policy, gwp)) {
                return choice;
            }
            if rule.fallback.is_none() {
                break;
            }
            factor = rule.fallback;
        }
        Choice::default()
    }

    /// The version of `factor` itself, by `rule`.
    fn version(
        &self,
        (factor, unit): (Id, Unit),
        rule: Rule,
        start_ms: i64,
        (policy, gwp): (&Policy, GwpSet),
    ) -> Option<Choice> {
        let versions = self.versions.get(&factor)?;
        let (mut found, mut chosen, mut prices) = (Vec::new(), Vec::new(), Vec::new());
        for (ms, days) in rule.instants(policy, start_ms) {
            let rows = versions.newest(ms);
            if let Some(&&FactorRow { validity, revision, change, .. }) = rows.first() {
                chosen.push(Version { from_ms: validity.from_ms, revision, change });
                let basis = self.basis(unit, &rows, start_ms, &mut prices);
                found.push((lines(&rows, &basis, gwp, rule.total), days));
                if rule.vintage == Vintage::Majority {
                    break;
                }
            }
        }
        let mut found = found.into_iter();
        let lines = match (found.next(), found.next()) {
            (Some(first), Some(second)) => blended([first, second]),
            (Some((lines, _)), None) => lines,
            (None, _) => return None,
        };
        prices.sort_unstable();
        prices.dedup();
        Some(Choice { factor, lines, versions: chosen, rule, prices })
    }

    /// Activity in `unit` for a version's rows: with the prices that lead to the money they are told in, which are put
    /// down in `used`.
    fn basis(
        &self,
        unit: Unit,
        rows: &[&FactorRow],
        start_ms: i64,
        used: &mut Vec<Price>,
    ) -> Basis {
        let mut basis = Basis::of(unit);
        for row in rows {
            if basis.ratio(row.unit).is_ok() {
                continue;
            }
            let mut held = ways(unit, row.unit).into_iter().filter_map(|way| {
                let held = way.iter().map(|step| self.price(*step, start_ms));
                held.collect::<Option<Vec<&PriceRow>>>()
            });
            let Some(held) = held.next() else { continue };
            let ratios: Vec<Ratio> = held.iter().map(|price| price.ratio()).collect();
            let Some(worth) = along(&ratios) else { continue };
            basis = basis.worth(row.unit, worth);
            used.extend(held.into_iter().map(|price| {
                let &PriceRow { price, revision, validity, .. } = price;
                Price { price, revision, from_ms: validity.from_ms }
            }));
        }
        basis
    }

    /// The price of a step that holds at `ms`.
    fn price(&self, step: (Unit, Unit), ms: i64) -> Option<&PriceRow> {
        self.prices.get(&step)?.newest(ms).into_iter().next()
    }
}

/// Adds or takes back a row of `key`.
fn update<K: Ord + Copy, R: Versioned>(
    books: &mut BTreeMap<K, Versions<R>>,
    key: K,
    row: &R,
    diff: i64,
) {
    let versions = books.entry(key).or_default();
    versions.update(row, diff);
    if versions.0.is_empty() {
        books.remove(&key);
    }
}
