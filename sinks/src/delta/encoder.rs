//! From values to Arrow columns: names by rank, dictionaries from the start, civil days by cache.
//!
//! ```text
//! Id ──► Ranks ──► order of rows ──► dictionary keys (one look-up a row) ──► Parquet
//! ```
//!
//! Names are compared once, when they are first seen, and then stand for their rank: sorting 250,000 rows
//! compares integers. Ids are in order of first sight, so no file may depend on *their* order.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, Date32Array, Decimal128Array, DictionaryArray, Int32Array, Int64Array, StringArray,
    TimestampMicrosecondArray,
};
use arrow::datatypes::Int32Type;
use jiff::tz::TimeZone;
use plumeline_pipelines::lineage::{Calculation, SEMANTICS_VERSION, calc_id};
use plumeline_pipelines::model::time::DAY_MS;
use plumeline_pipelines::model::{EmissionKey, Id, Line, Names, Policy, Sources, Tick, Unit};

use super::error::LakeError;
use super::table::{Kind, TableName};

/// Every name and its place in the order of names.
#[derive(Debug, Default)]
pub(super) struct Ranks {
    names: Vec<Arc<str>>,
    /// Ids in order of their names.
    order: Vec<u32>,
    /// By id: its place in `order`.
    by_id: Vec<u32>,
}

impl Ranks {
    /// Takes in the names that are new.
    ///
    /// # Panics
    /// If there are 2^32 names: `Names` refuses that one.
    pub(super) fn refresh(&mut self, names: &Names) {
        let known = self.names.len();
        self.names = names.snapshot();
        let index = |place: usize| u32::try_from(place).expect("ids are 32 bits");
        self.order.extend((known..self.names.len()).map(index));
        // The old ids are one sorted run, which the stable sort finds and merges.
        self.order.sort_by(|&a, &b| self.names[slot(a)].cmp(&self.names[slot(b)]));
        self.by_id.resize(self.names.len(), 0);
        for (rank, &id) in self.order.iter().enumerate() {
            self.by_id[slot(id)] = index(rank);
        }
    }

    /// Whether `id` was there at the last [`Self::refresh`].
    pub(super) fn knows(&self, id: Id) -> bool {
        slot(id.0) < self.names.len()
    }

    /// The place of its name among all names.
    pub(super) fn rank(&self, id: Id) -> u32 {
        self.by_id[slot(id.0)]
    }

    /// The name.
    pub(super) fn name(&self, id: Id) -> &str {
        &self.names[slot(id.0)]
    }

    /// Compares two names.
    pub(super) fn compare(&self, a: Id, b: Id) -> Ordering {
        self.rank(a).cmp(&self.rank(b))
    }
}

fn slot(id: u32) -> usize {
    usize::try_from(id).expect("an id fits a usize")
}

/// What every row of a cut is encoded with.
#[derive(Debug)]
pub(super) struct Encoder {
    pub(super) ranks: Ranks,
    pub(super) policy: Policy,
    pub(super) sources: Sources,
    pub(super) cut: Tick,
    days: Days,
    /// By id: its dictionary key in the column at hand, or [`UNSEEN`].
    keys: Vec<i32>,
}

const UNSEEN: i32 = -1;

impl Encoder {
    pub(super) fn new(policy: Policy, timezone: TimeZone, sources: Sources) -> Self {
        Self {
            ranks: Ranks::default(),
            policy,
            sources,
            cut: Tick::ZERO,
            days: Days::new(timezone),
            keys: Vec::new(),
        }
    }

    /// The cut's instant, once a row.
    pub(super) fn recorded_at(&self, rows: usize) -> ArrayRef {
        times(std::iter::repeat_n(self.cut.ms(), rows))
    }

    /// The civil days that hold the instants, in the pipeline's time zone.
    pub(super) fn days(&mut self, instants_ms: impl Iterator<Item = i64>) -> ArrayRef {
        Arc::new(Date32Array::from_iter_values(instants_ms.map(|ms| self.days.of(ms))))
    }

    /// Names, dictionary-coded.
    pub(super) fn names(&mut self, ids: impl Iterator<Item = Id>) -> ArrayRef {
        self.optional_names(ids.map(Some))
    }

    /// How each emission was calculated, dictionary-coded: a batch has few calculations.
    pub(super) fn calc_ids<'k>(&self, keys: impl Iterator<Item = &'k EmissionKey>) -> ArrayRef {
        let (mut ids, mut known) = (Vec::new(), BTreeMap::new());
        let mut last: Option<((Id, Unit, Line), i32)> = None;
        let keys = keys.map(|key| {
            let of = (key.activity.factor, key.activity.unit, key.line);
            if let Some((_, index)) = last.filter(|(before, _)| *before == of) {
                return index;
            }
            let index = *known.entry(of).or_insert_with(|| {
                let (factor, unit, line) = of;
                let factor = self.ranks.name(factor);
                let (semantics, gwp) = (SEMANTICS_VERSION, self.policy.gwp);
                ids.push(calc_id(&Calculation { semantics, factor, line, unit, gwp }));
                i32::try_from(ids.len() - 1).expect("a batch holds fewer than 2^31 rows")
            });
            last = Some((of, index));
            index
        });
        let keys = Int32Array::from_iter_values(keys);
        dictionary(keys, StringArray::from(ids))
    }

    /// Names, dictionary-coded, with nulls.
    pub(super) fn optional_names(&mut self, ids: impl Iterator<Item = Option<Id>>) -> ArrayRef {
        self.keys.resize(self.ranks.names.len(), UNSEEN);
        let mut seen = Vec::new();
        let mut key_of = |id: Id| {
            let key = &mut self.keys[slot(id.0)];
            if *key == UNSEEN {
                *key = i32::try_from(seen.len()).expect("a batch holds fewer than 2^31 names");
                seen.push(id);
            }
            *key
        };
        let keys: Int32Array = ids.map(|id| id.map(&mut key_of)).collect();
        let values = StringArray::from_iter_values(seen.iter().map(|&id| self.ranks.name(id)));
        for id in seen {
            self.keys[slot(id.0)] = UNSEEN;
        }
        dictionary(keys, values)
    }
}

/// Instants (ms) as UTC microseconds.
pub(super) fn times(instants_ms: impl Iterator<Item = i64>) -> ArrayRef {
    let micros = TimestampMicrosecondArray::from_iter_values(instants_ms.map(|ms| ms * 1000));
    Arc::new(micros.with_timezone("UTC"))
}

/// One of few texts a row.
pub(super) fn labels<'a>(texts: impl Iterator<Item = &'a str>) -> ArrayRef {
    optional_labels(texts.map(Some))
}

/// One of few texts a row, or null.
pub(super) fn optional_labels<'a>(texts: impl Iterator<Item = Option<&'a str>>) -> ArrayRef {
    let (mut seen, mut keys) = (Vec::<&str>::new(), BTreeMap::<&str, usize>::new());
    let mut last = 0;
    let mut key_of = |text: &'a str| {
        // Most labels are constants: the same one is at the same address, and need not be read.
        let is_same = |other: &str| std::ptr::eq(other, text);
        if !seen.get(last).is_some_and(|other| is_same(other)) {
            let mut near = seen.iter().take(SEARCHED);
            let near = near
                .clone()
                .position(|other| is_same(other))
                .or_else(|| near.position(|&other| other == text));
            last = near.unwrap_or_else(|| {
                *keys.entry(text).or_insert_with(|| {
                    seen.push(text);
                    seen.len() - 1
                })
            });
        }
        i32::try_from(last).expect("a batch holds fewer than 2^31 texts")
    };
    let keys: Int32Array = texts.map(|text| text.map(&mut key_of)).collect();
    dictionary(keys, StringArray::from(seen))
}

/// So many texts are compared before a tree is asked: most columns of labels have fewer.
const SEARCHED: usize = 8;

/// The same text in every row.
pub(super) fn constant(text: &str, rows: usize) -> ArrayRef {
    dictionary(Int32Array::from(vec![0; rows]), StringArray::from(vec![text]))
}

fn dictionary(keys: Int32Array, values: StringArray) -> ArrayRef {
    Arc::new(
        DictionaryArray::<Int32Type>::try_new(keys, Arc::new(values))
            .expect("every key was handed out for a value"),
    )
}

/// Small numbers.
pub(super) fn integers(values: impl Iterator<Item = u8>) -> ArrayRef {
    Arc::new(Int32Array::from_iter_values(values.map(i32::from)))
}

/// Large numbers.
pub(super) fn longs(values: impl Iterator<Item = i64>) -> ArrayRef {
    Arc::new(Int64Array::from_iter_values(values))
}

/// Decimals, given in units of their last place.
///
/// # Errors
/// If one has more digits than the column: Parquet would store it, and every reader would lie.
pub(super) fn decimals(
    table: TableName,
    column: &'static str,
    values: impl Iterator<Item = Option<i128>>,
) -> Result<ArrayRef, LakeError> {
    let kind = table.columns().iter().find(|c| c.name == column).map(|c| c.kind);
    let Some(Kind::Decimal(precision, scale)) = kind else {
        unreachable!("`{column}` is a decimal column of `{table}`")
    };
    let limit = 10_i128.pow(u32::from(precision));
    let mut largest = 0_i128;
    let values: Decimal128Array = values
        .inspect(|value| {
            if let Some(value) = value
                && value.unsigned_abs() > largest.unsigned_abs()
            {
                largest = *value;
            }
        })
        .collect();
    if largest.unsigned_abs() >= limit.unsigned_abs() {
        return Err(LakeError::TooLarge { table, column, value: largest });
    }
    let scale = i8::try_from(scale).expect("scales are small");
    let values = values
        .with_precision_and_scale(precision, scale)
        .expect("precision and scale are the column's");
    Ok(Arc::new(values))
}

/// Civil days of a time zone. Rows are sorted by subject and then by time, so the day at hand is nearly
/// always the day before's neighbour or itself.
#[derive(Debug)]
struct Days {
    timezone: TimeZone,
    /// The instants `[start, end)` of the day found last, ms, and its number since 1970-01-01.
    start_ms: i64,
    end_ms: i64,
    day: i32,
}

impl Days {
    fn new(timezone: TimeZone) -> Self {
        Self { timezone, start_ms: 0, end_ms: 0, day: 0 }
    }

    fn of(&mut self, ms: i64) -> i32 {
        if !(self.start_ms..self.end_ms).contains(&ms) {
            self.find(ms);
        }
        self.day
    }

    fn find(&mut self, ms: i64) {
        let zoned = jiff::Timestamp::from_millisecond(ms)
            .expect("instants are checked at the border")
            .to_zoned(self.timezone.clone());
        let date = zoned.date();
        let midnight = date
            .to_zoned(TimeZone::UTC)
            .expect("UTC has every midnight")
            .timestamp()
            .as_millisecond();
        self.day = i32::try_from(midnight.div_euclid(DAY_MS)).expect("days since 1970 are few");
        let starts = zoned.start_of_day().map(|day| day.timestamp().as_millisecond());
        let next = date.tomorrow().and_then(|date| date.to_zoned(self.timezone.clone()));
        // At the ends of the calendar there is no next day: then this instant alone is known.
        self.start_ms = starts.unwrap_or(ms);
        self.end_ms = next.map_or(ms + 1, |day| day.timestamp().as_millisecond());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{Array, AsArray};

    fn day_of(date: &str) -> i32 {
        let date: jiff::civil::Date = date.parse().expect("a date");
        let seconds = date.to_zoned(TimeZone::UTC).expect("UTC").timestamp().as_second();
        i32::try_from(seconds / 86_400).expect("few days")
    }

    #[test]
    fn ranks_follow_names_not_first_sight() {
        let names = Names::new();
        let [zebra, ant] = ["zebra", "ant"].map(|name| names.intern(name));
        let mut ranks = Ranks::default();
        ranks.refresh(&names);
        assert_eq!(ranks.compare(zebra, ant), Ordering::Greater);
        let mole = names.intern("mole");
        assert!(!ranks.knows(mole));
        ranks.refresh(&names);
        assert_eq!(ranks.compare(ant, mole), Ordering::Less);
        assert_eq!(ranks.compare(mole, zebra), Ordering::Less);
        assert_eq!(ranks.rank(Id::NONE), 0);
    }

    #[test]
    fn days_are_civil_days_also_where_clocks_change() {
        let berlin = TimeZone::get("Europe/Berlin").expect("bundled");
        let mut days = Days::new(berlin);
        for (instant, date) in [
            ("2026-03-28T22:59:59Z", "2026-03-28"),
            ("2026-03-28T23:00:00Z", "2026-03-29"),
            ("2026-03-29T21:59:59Z", "2026-03-29"),
            ("2026-03-29T22:00:00Z", "2026-03-30"),
            ("2026-10-25T22:59:59Z", "2026-10-25"),
            ("2026-10-25T23:00:00Z", "2026-10-26"),
            ("2026-01-01T00:00:00Z", "2026-01-01"),
        ] {
            let at: jiff::Timestamp = instant.parse().expect("an instant");
            assert_eq!(days.of(at.as_millisecond()), day_of(date), "{instant}");
        }
    }

    #[test]
    fn dictionaries_hold_only_what_is_used() {
        let names = Names::new();
        let [a, b, c] = ["a", "b", "c"].map(|name| names.intern(name));
        let policy = super::super::tests::policy();
        let mut encoder = Encoder::new(policy, TimeZone::UTC, Sources::default());
        encoder.ranks.refresh(&names);
        for ids in [vec![c, a, c], vec![b], vec![]] {
            let array = encoder.names(ids.iter().copied());
            let dictionary = array.as_dictionary::<Int32Type>();
            let values = dictionary.values().as_string::<i32>();
            let texts: Vec<_> = dictionary
                .keys()
                .values()
                .iter()
                .map(|&key| values.value(usize::try_from(key).expect("a key")).to_owned())
                .collect();
            let expected: Vec<_> = ids.iter().map(|&id| names.name(id).to_string()).collect();
            assert_eq!(texts, expected);
            assert!(values.len() <= ids.len());
        }
    }

    #[test]
    fn a_decimal_that_does_not_fit_is_an_error_with_the_value() {
        let fits = 10_i128.pow(17) - 1;
        let at =
            |value| decimals(TableName::Emissions, "rate_kg_per_unit", [Some(value)].into_iter());
        assert!(at(fits).is_ok());
        assert!(at(-fits).is_ok());
        let error = at(fits + 1).expect_err("18 digits");
        assert!(matches!(error, LakeError::TooLarge { value, .. } if value == fits + 1));
    }
}
