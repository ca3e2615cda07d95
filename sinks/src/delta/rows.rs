//! The rows of each table: their order in a file, and their columns.
//!
//! Each type says how its rows sort (by names, then time) and what its columns hold, in the order of
//! `TableName::columns`. [`Rows`] is what the runtime hands over; facts go to the table of their kind.

use std::cmp::Ordering;
use std::sync::Arc;

use arrow::array::{ArrayRef, BinaryArray, Int64Array, StringArray};
use plumeline_pipelines::model::{
    ActivityDataEntry, ActivityEntry, ActivityKey, Arrival, Decimal, EmissionEntry, Fact,
    FootprintEntry, FootprintKey, Gas, Id, PendingEntry, ReadingEntry, Received, RejectEntry,
    RestatedEntry, Unit,
};

use super::encoder::{
    Encoder, Ranks, constant, decimals, integers, labels, longs, optional_labels, times,
};
use super::error::LakeError;
use super::table::TableName;

/// Rows for one table (facts: for the tables of their kinds), in any order.
#[derive(Clone, Debug)]
pub enum Rows {
    /// For `activity`.
    Activity(Vec<ActivityEntry>),
    /// For `emissions`.
    Emissions(Vec<EmissionEntry>),
    /// For `footprints`.
    Footprints(Vec<FootprintEntry>),
    /// For `readings`; dropped if the lake was opened without them.
    Readings(Vec<ReadingEntry>),
    /// For `activity_data`; dropped likewise.
    ActivityData(Vec<ActivityDataEntry>),
    /// For `pending_restatements`.
    Pending(Vec<PendingEntry>),
    /// For `restatements`.
    Restated(Vec<RestatedEntry>),
    /// For `rejects`.
    Rejects(Vec<RejectEntry>),
    /// For `meters`, `factors` and `nodes`.
    Facts(Vec<FactEntry>),
}

/// A row of `meters`, `factors` or `nodes`: a revision that was learned, or taken back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FactEntry {
    /// The revision.
    pub fact: Fact,
    /// Whether it was taken back.
    pub withdrawn: bool,
    /// The instant at which it was learned, ms.
    pub learned_ms: i64,
}

/// A row of a table.
pub(super) trait Row: Sized {
    /// Its table.
    const TABLE: TableName;

    /// Calls `visit` with every name the row holds.
    fn names(&self, visit: &mut dyn FnMut(Id));

    /// The order of rows in a file.
    fn compare(&self, other: &Self, ranks: &Ranks) -> Ordering;

    /// The columns of sorted rows, in the order of the table's columns, without the partition's.
    fn columns(rows: &[Self], encoder: &mut Encoder) -> Result<Vec<ArrayRef>, LakeError>;
}

/// `quality` exists from the first commit; a later format fills it.
const NOT_YET: &str = "";

impl Row for ActivityEntry {
    const TABLE: TableName = TableName::Activity;

    fn names(&self, visit: &mut dyn FnMut(Id)) {
        activity_names(&self.key, visit);
    }

    fn compare(&self, other: &Self, ranks: &Ranks) -> Ordering {
        compare_activities(&self.key, &other.key, ranks)
            .then_with(|| self.reason.cmp(&other.reason))
    }

    fn columns(rows: &[Self], encoder: &mut Encoder) -> Result<Vec<ArrayRef>, LakeError> {
        let mut columns = activity_columns(rows.iter().map(|row| &row.key), encoder);
        columns.extend([
            decimals(Self::TABLE, "amount", rows.iter().map(|r| Some(r.change.amount.get())))?,
            longs(rows.iter().map(|r| r.change.covered_ms)),
            constant(NOT_YET, rows.len()),
            labels(rows.iter().map(|r| r.reason.name())),
        ]);
        Ok(columns)
    }
}

impl Row for EmissionEntry {
    const TABLE: TableName = TableName::Emissions;

    fn names(&self, visit: &mut dyn FnMut(Id)) {
        activity_names(&self.key.activity, visit);
    }

    fn compare(&self, other: &Self, ranks: &Ranks) -> Ordering {
        compare_activities(&self.key.activity, &other.key.activity, ranks)
            .then_with(|| self.key.line.cmp(&other.key.line))
            .then_with(|| self.reason.cmp(&other.reason))
    }

    fn columns(rows: &[Self], encoder: &mut Encoder) -> Result<Vec<ArrayRef>, LakeError> {
        let lines = || rows.iter().map(|row| row.key.line);
        let masses = rows.iter().map(|r| mass(r.key.line.gas, r.change.mass.get()));
        let mut columns = activity_columns(rows.iter().map(|row| &row.key.activity), encoder);
        columns.extend([
            integers(lines().map(|line| line.scope)),
            integers(lines().map(|line| line.category)),
            labels(lines().map(|line| line.method.name())),
            labels(lines().map(|line| line.gas.name())),
            encoder.names(rows.iter().map(|row| row.key.activity.factor)),
            longs(lines().map(|line| line.revision)),
            decimals(Self::TABLE, "rate_kg_per_unit", lines().map(|line| Some(line.rate.into())))?,
            decimals(Self::TABLE, "mass_kg", masses)?,
            decimals(Self::TABLE, "co2e_kg", rows.iter().map(|r| Some(r.change.co2e.get())))?,
            constant(encoder.policy.gwp.name(), rows.len()),
            constant(NOT_YET, rows.len()),
            labels(rows.iter().map(|row| row.reason.name())),
            encoder.calc_ids(rows.iter().map(|row| &row.key)),
        ]);
        Ok(columns)
    }
}

impl Row for FootprintEntry {
    const TABLE: TableName = TableName::Footprints;

    fn names(&self, visit: &mut dyn FnMut(Id)) {
        visit(self.key.node);
    }

    fn compare(&self, other: &Self, ranks: &Ranks) -> Ordering {
        let (a, b) = (&self.key, &other.key);
        let rest = |key: &FootprintKey| {
            (key.start_ms, key.scope, key.category, key.method, key.gas, key.depth, key.end_ms)
        };
        ranks.compare(a.node, b.node).then_with(|| rest(a).cmp(&rest(b)))
    }

    fn columns(rows: &[Self], encoder: &mut Encoder) -> Result<Vec<ArrayRef>, LakeError> {
        let keys = || rows.iter().map(|row| &row.key);
        let masses = rows.iter().map(|r| mass(r.key.gas, r.change.mass.get()));
        Ok(vec![
            encoder.recorded_at(rows.len()),
            times(keys().map(|key| key.start_ms)),
            times(keys().map(|key| key.end_ms)),
            encoder.days(keys().map(|key| key.start_ms)),
            encoder.names(keys().map(|key| key.node)),
            integers(keys().map(|key| key.depth)),
            integers(keys().map(|key| key.scope)),
            integers(keys().map(|key| key.category)),
            labels(keys().map(|key| key.method.name())),
            labels(keys().map(|key| key.gas.name())),
            decimals(Self::TABLE, "mass_kg", masses)?,
            decimals(Self::TABLE, "co2e_kg", rows.iter().map(|r| Some(r.change.co2e.get())))?,
        ])
    }
}

impl Row for ReadingEntry {
    const TABLE: TableName = TableName::Readings;

    fn names(&self, visit: &mut dyn FnMut(Id)) {
        visit(self.record.meter);
    }

    fn compare(&self, other: &Self, ranks: &Ranks) -> Ordering {
        let (a, b) = (&self.record, &other.record);
        ranks
            .compare(a.meter, b.meter)
            .then_with(|| (a.at_ms, a.version, a.arrival).cmp(&(b.at_ms, b.version, b.arrival)))
    }

    fn columns(rows: &[Self], encoder: &mut Encoder) -> Result<Vec<ArrayRef>, LakeError> {
        let readings = || rows.iter().map(|row| &row.record);
        let mut columns = vec![
            encoder.recorded_at(rows.len()),
            times(readings().map(|r| r.from_ms.unwrap_or(r.at_ms))),
            times(readings().map(|r| r.at_ms)),
            encoder.names(readings().map(|r| r.meter)),
            numbers(readings().map(|r| r.value)),
            optional_labels(readings().map(|r| r.unit.map(Unit::symbol))),
            longs(readings().map(|r| r.version.into())),
            labels(readings().map(|r| r.quality.name())),
        ];
        columns.extend(arrival_columns(rows, |r| &r.arrival, encoder));
        Ok(columns)
    }
}

impl Row for ActivityDataEntry {
    const TABLE: TableName = TableName::ActivityData;

    fn names(&self, visit: &mut dyn FnMut(Id)) {
        [self.record.activity, self.record.node, self.record.factor].into_iter().for_each(visit);
    }

    fn compare(&self, other: &Self, ranks: &Ranks) -> Ordering {
        let (a, b) = (&self.record, &other.record);
        ranks
            .compare(a.activity, b.activity)
            .then_with(|| (a.version, a.arrival).cmp(&(b.version, b.arrival)))
    }

    fn columns(rows: &[Self], encoder: &mut Encoder) -> Result<Vec<ArrayRef>, LakeError> {
        let records = || rows.iter().map(|row| &row.record);
        let factor = |factor: Id| (!factor.is_none()).then_some(factor);
        let mut columns = vec![
            encoder.recorded_at(rows.len()),
            times(records().map(|r| r.from_ms)),
            times(records().map(|r| r.to_ms)),
            encoder.names(records().map(|r| r.activity)),
            encoder.names(records().map(|r| r.node)),
            encoder.optional_names(records().map(|r| factor(r.factor))),
            numbers(records().map(|r| r.value)),
            labels(records().map(|r| r.unit.symbol())),
            longs(records().map(|r| r.version.into())),
            labels(records().map(|r| r.quality.name())),
        ];
        columns.extend(arrival_columns(rows, |r| &r.arrival, encoder));
        Ok(columns)
    }
}

impl Row for PendingEntry {
    const TABLE: TableName = TableName::Pending;

    fn names(&self, visit: &mut dyn FnMut(Id)) {
        visit(self.subject);
    }

    fn compare(&self, other: &Self, ranks: &Ranks) -> Ordering {
        let rest = |row: &Self| (row.cause, row.learned_ms, row.from_ms, row.to_ms, row.count);
        ranks.compare(self.subject, other.subject).then_with(|| rest(self).cmp(&rest(other)))
    }

    fn columns(rows: &[Self], encoder: &mut Encoder) -> Result<Vec<ArrayRef>, LakeError> {
        let count = |row: &Self| i64::try_from(row.count).expect("records are counted in 63 bits");
        Ok(vec![
            encoder.recorded_at(rows.len()),
            labels(rows.iter().map(|row| row.cause.name())),
            encoder.names(rows.iter().map(|row| row.subject)),
            times(rows.iter().map(|row| row.from_ms)),
            times(rows.iter().map(|row| row.to_ms)),
            longs(rows.iter().map(count)),
            times(rows.iter().map(|row| row.learned_ms)),
        ])
    }
}

impl Row for RestatedEntry {
    const TABLE: TableName = TableName::Restatements;

    fn names(&self, _visit: &mut dyn FnMut(Id)) {}

    fn compare(&self, other: &Self, _ranks: &Ranks) -> Ordering {
        self.cmp(other)
    }

    fn columns(rows: &[Self], encoder: &mut Encoder) -> Result<Vec<ArrayRef>, LakeError> {
        let counts = |count: fn(&Self) -> u64| longs(rows.iter().map(|row| position(count(row))));
        Ok(vec![
            encoder.recorded_at(rows.len()),
            times(rows.iter().map(|row| row.known_ms)),
            times(rows.iter().map(|row| row.from_ms)),
            times(rows.iter().map(|row| row.to_ms)),
            counts(|row| row.activity),
            counts(|row| row.emissions),
            counts(|row| row.footprints),
            decimals(Self::TABLE, "co2e_kg_up", rows.iter().map(|row| Some(row.up.get())))?,
            decimals(Self::TABLE, "co2e_kg_down", rows.iter().map(|row| Some(row.down.get())))?,
        ])
    }
}

impl Row for RejectEntry {
    const TABLE: TableName = TableName::Rejects;

    fn names(&self, _visit: &mut dyn FnMut(Id)) {}

    fn compare(&self, other: &Self, _ranks: &Ranks) -> Ordering {
        self.cmp(other)
    }

    fn columns(rows: &[Self], encoder: &mut Encoder) -> Result<Vec<ArrayRef>, LakeError> {
        let sources = encoder.sources.all();
        let ids = rows.iter().map(|row| {
            format!("{}/{}/{}", source(&sources, row.source), row.position, row.element)
        });
        Ok(vec![
            encoder.recorded_at(rows.len()),
            Arc::new(StringArray::from_iter_values(ids)),
            labels(rows.iter().map(|row| row.event.name())),
            labels(rows.iter().map(|row| source(&sources, row.source))),
            longs(rows.iter().map(|row| position(row.position))),
            longs(rows.iter().map(|row| row.element.into())),
            Arc::new(StringArray::from_iter_values(rows.iter().map(|row| &row.reason))),
            Arc::new(BinaryArray::from_iter_values(rows.iter().map(|row| &row.raw))),
        ])
    }
}

fn activity_names(key: &ActivityKey, visit: &mut dyn FnMut(Id)) {
    [key.node, key.subject.id(), key.factor].into_iter().for_each(visit);
}

fn compare_activities(a: &ActivityKey, b: &ActivityKey, ranks: &Ranks) -> Ordering {
    ranks
        .compare(a.node, b.node)
        .then_with(|| ranks.compare(a.subject.id(), b.subject.id()))
        .then_with(|| a.subject.rank().cmp(&b.subject.rank()))
        .then_with(|| (a.period, a.unit).cmp(&(b.period, b.unit)))
        .then_with(|| ranks.compare(a.factor, b.factor))
}

/// The columns from `recorded_at` to `unit`, which `activity` and `emissions` share.
fn activity_columns<'a>(
    keys: impl ExactSizeIterator<Item = &'a ActivityKey> + Clone,
    encoder: &mut Encoder,
) -> Vec<ArrayRef> {
    let period_ms = encoder.policy.period_ms;
    vec![
        encoder.recorded_at(keys.len()),
        times(keys.clone().map(|key| key.period.start_ms(period_ms))),
        times(keys.clone().map(|key| key.period.end_ms(period_ms))),
        encoder.days(keys.clone().map(|key| key.period.start_ms(period_ms))),
        encoder.names(keys.clone().map(|key| key.node)),
        encoder.names(keys.clone().map(|key| key.subject.id())),
        labels(keys.clone().map(|key| key.subject.kind())),
        labels(keys.clone().map(|key| key.unit.dimension().name())),
        labels(keys.map(|key| key.unit.symbol())),
    ]
}

/// Numbers as they were sent; null where something is taken back.
fn numbers(values: impl Iterator<Item = Option<Decimal>>) -> ArrayRef {
    Arc::new(values.map(|value| value.map(|value| value.to_string())).collect::<StringArray>())
}

/// The columns from `source` on, which `readings` and `activity_data` share.
fn arrival_columns<R>(
    rows: &[Received<R>],
    arrival: fn(&R) -> &Arrival,
    encoder: &Encoder,
) -> [ArrayRef; 5] {
    let arrivals = || rows.iter().map(|row| arrival(&row.record));
    let sources = encoder.sources.all();
    [
        labels(arrivals().map(|arrival| source(&sources, arrival.source))),
        longs(arrivals().map(|arrival| position(arrival.position))),
        labels(rows.iter().map(|row| row.outcome.name())),
        times(rows.iter().map(|row| row.received_ms)),
        longs(arrivals().map(|arrival| position(arrival.index))),
    ]
}

/// A publisher that gives `CO2e` without a split leaves the masses unknown, which is not zero.
fn mass(gas: Gas, mass: i128) -> Option<i128> {
    gas.has_mass().then_some(mass)
}

fn source(sources: &[Arc<str>], index: u16) -> &str {
    sources.get(usize::from(index)).map_or("", |name| name)
}

/// Kafka offsets are 63 bits and counts never get there.
fn position(position: u64) -> i64 {
    i64::try_from(position).unwrap_or(i64::MAX)
}

/// A row count as the log wants it.
pub(super) fn count(rows: usize) -> ArrayRef {
    let rows = i64::try_from(rows).expect("a file's rows are counted in 63 bits");
    Arc::new(Int64Array::from(vec![rows]))
}
