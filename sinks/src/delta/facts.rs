//! The rows of `meters`, `factors`, `series`, `prices` and `nodes`: revisions as they were learned.
//!
//! They read like the CSV files: lengths as `15m`, decimals as they were written, empty cells null.

use std::cmp::Ordering;
use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray};
use plumeline_pipelines::model::time::LATEST_MS;
use plumeline_pipelines::model::{
    Decimal, FactorRow, GwpSet, Id, MeterRow, NodeRow, PriceRow, SeriesRow, StampSide, Unit,
    Validity,
};

use super::encoder::{Encoder, Ranks, integers, labels, longs, optional_labels, times};
use super::error::LakeError;
use super::rows::Row;
use super::table::TableName;

/// A revision of one kind of fact.
#[derive(Clone, Debug)]
pub(super) struct Revision<F> {
    pub(super) fact: F,
    pub(super) withdrawn: bool,
    pub(super) learned_ms: i64,
}

impl Row for Revision<MeterRow> {
    const TABLE: TableName = TableName::Meters;

    fn names(&self, visit: &mut dyn FnMut(Id)) {
        let MeterRow { meter, node, factor, .. } = self.fact;
        [meter, node, factor].into_iter().for_each(visit);
    }

    fn compare(&self, other: &Self, ranks: &Ranks) -> Ordering {
        let (a, b) = (&self.fact, &other.fact);
        let rest = |row: &MeterRow| (row.validity, row.revision);
        ranks
            .compare(a.meter, b.meter)
            .then_with(|| rest(a).cmp(&rest(b)))
            .then_with(|| other.withdrawn.cmp(&self.withdrawn))
    }

    fn columns(rows: &[Self], encoder: &mut Encoder) -> Result<Vec<ArrayRef>, LakeError> {
        let facts = || rows.iter().map(|row| &row.fact);
        let stamp = |side: StampSide| match side {
            StampSide::Start => "start",
            StampSide::End => "end",
        };
        let mut columns = vec![
            encoder.recorded_at(rows.len()),
            encoder.names(facts().map(|fact| fact.meter)),
            encoder.names(facts().map(|fact| fact.node)),
            labels(facts().map(|fact| fact.kind.name())),
            optional_labels(facts().map(|fact| fact.unit.map(Unit::symbol))),
            texts(facts().map(|fact| Some(fact.multiplier.to_string()))),
            labels(facts().map(|fact| stamp(fact.stamp))),
            texts(facts().map(|fact| fact.interval_ms.map(span))),
            texts(facts().map(|fact| Some(span(fact.max_hold_ms)))),
            texts(facts().map(|fact| fact.modulus.as_ref().map(Decimal::to_string))),
            texts(facts().map(|fact| fact.max_power.as_ref().map(Decimal::to_string))),
            texts(facts().map(|fact| fact.expected_every_ms.map(span))),
            encoder.optional_names(facts().map(|fact| some(fact.factor))),
        ];
        columns.extend(validity_columns(facts().map(|fact| fact.validity)));
        columns.push(longs(facts().map(|fact| fact.revision)));
        columns.push(flags(rows.iter().map(|row| row.withdrawn)));
        columns.push(times(rows.iter().map(|row| row.learned_ms)));
        Ok(columns)
    }
}

impl Row for Revision<FactorRow> {
    const TABLE: TableName = TableName::Factors;

    fn names(&self, visit: &mut dyn FnMut(Id)) {
        [self.fact.factor, self.fact.source].into_iter().for_each(visit);
    }

    fn compare(&self, other: &Self, ranks: &Ranks) -> Ordering {
        let (a, b) = (&self.fact, &other.fact);
        let rest = |row: &FactorRow| {
            (row.validity, row.revision, row.scope, row.category, row.method, row.gas)
        };
        ranks
            .compare(a.factor, b.factor)
            .then_with(|| rest(a).cmp(&rest(b)))
            .then_with(|| other.withdrawn.cmp(&self.withdrawn))
    }

    fn columns(rows: &[Self], encoder: &mut Encoder) -> Result<Vec<ArrayRef>, LakeError> {
        let facts = || rows.iter().map(|row| &row.fact);
        let mut columns = vec![
            encoder.recorded_at(rows.len()),
            encoder.names(facts().map(|fact| fact.factor)),
            longs(facts().map(|fact| fact.revision)),
            integers(facts().map(|fact| fact.scope)),
            integers(facts().map(|fact| fact.category)),
            labels(facts().map(|fact| fact.method.name())),
            labels(facts().map(|fact| fact.gas.name())),
            texts(facts().map(|fact| Some(fact.kg_per_unit.to_string()))),
            labels(facts().map(|fact| fact.unit.symbol())),
        ];
        columns.extend(validity_columns(facts().map(|fact| fact.validity)));
        columns.push(encoder.optional_names(facts().map(|fact| some(fact.source))));
        columns.push(flags(rows.iter().map(|row| row.withdrawn)));
        columns.push(times(rows.iter().map(|row| row.learned_ms)));
        columns.push(optional_labels(facts().map(|fact| fact.published_gwp.map(GwpSet::name))));
        columns.push(labels(facts().map(|fact| fact.status.name())));
        columns.push(labels(facts().map(|fact| fact.change.name())));
        Ok(columns)
    }
}

impl Row for Revision<SeriesRow> {
    const TABLE: TableName = TableName::Series;

    fn names(&self, visit: &mut dyn FnMut(Id)) {
        [self.fact.factor, self.fact.fallback].into_iter().for_each(visit);
    }

    fn compare(&self, other: &Self, ranks: &Ranks) -> Ordering {
        let (a, b) = (&self.fact, &other.fact);
        let rest = |row: &SeriesRow| (row.validity, row.revision);
        ranks
            .compare(a.factor, b.factor)
            .then_with(|| rest(a).cmp(&rest(b)))
            .then_with(|| other.withdrawn.cmp(&self.withdrawn))
    }

    fn columns(rows: &[Self], encoder: &mut Encoder) -> Result<Vec<ArrayRef>, LakeError> {
        let facts = || rows.iter().map(|row| &row.fact);
        let mut columns = vec![
            encoder.recorded_at(rows.len()),
            encoder.names(facts().map(|fact| fact.factor)),
            labels(facts().map(|fact| fact.kind.name())),
            labels(facts().map(|fact| fact.vintage.name())),
            integers(facts().map(|fact| fact.year_begins)),
            labels(facts().map(|fact| fact.total.name())),
            encoder.optional_names(facts().map(|fact| some(fact.fallback))),
        ];
        columns.extend(validity_columns(facts().map(|fact| fact.validity)));
        columns.push(longs(facts().map(|fact| fact.revision)));
        columns.push(flags(rows.iter().map(|row| row.withdrawn)));
        columns.push(times(rows.iter().map(|row| row.learned_ms)));
        Ok(columns)
    }
}

impl Row for Revision<PriceRow> {
    const TABLE: TableName = TableName::Prices;

    fn names(&self, visit: &mut dyn FnMut(Id)) {
        [self.fact.price, self.fact.source].into_iter().for_each(visit);
    }

    fn compare(&self, other: &Self, ranks: &Ranks) -> Ordering {
        let (a, b) = (&self.fact, &other.fact);
        let rest = |row: &PriceRow| (row.validity, row.revision);
        ranks
            .compare(a.price, b.price)
            .then_with(|| rest(a).cmp(&rest(b)))
            .then_with(|| other.withdrawn.cmp(&self.withdrawn))
    }

    fn columns(rows: &[Self], encoder: &mut Encoder) -> Result<Vec<ArrayRef>, LakeError> {
        let facts = || rows.iter().map(|row| &row.fact);
        let mut columns = vec![
            encoder.recorded_at(rows.len()),
            encoder.names(facts().map(|fact| fact.price)),
            labels(facts().map(|fact| fact.unit.symbol())),
            labels(facts().map(|fact| fact.to.symbol())),
            texts(facts().map(|fact| Some(fact.rate.to_string()))),
            texts(facts().map(|fact| Some(fact.per.to_string()))),
        ];
        columns.extend(validity_columns(facts().map(|fact| fact.validity)));
        columns.push(longs(facts().map(|fact| fact.revision)));
        columns.push(encoder.optional_names(facts().map(|fact| some(fact.source))));
        columns.push(flags(rows.iter().map(|row| row.withdrawn)));
        columns.push(times(rows.iter().map(|row| row.learned_ms)));
        Ok(columns)
    }
}

impl Row for Revision<NodeRow> {
    const TABLE: TableName = TableName::Nodes;

    fn names(&self, visit: &mut dyn FnMut(Id)) {
        let NodeRow { node, parent, name, .. } = self.fact;
        [node, parent, name].into_iter().for_each(visit);
    }

    fn compare(&self, other: &Self, ranks: &Ranks) -> Ordering {
        let (a, b) = (&self.fact, &other.fact);
        let rest = |row: &NodeRow| (row.validity, row.revision);
        ranks
            .compare(a.node, b.node)
            .then_with(|| rest(a).cmp(&rest(b)))
            .then_with(|| other.withdrawn.cmp(&self.withdrawn))
    }

    fn columns(rows: &[Self], encoder: &mut Encoder) -> Result<Vec<ArrayRef>, LakeError> {
        let facts = || rows.iter().map(|row| &row.fact);
        let mut columns = vec![
            encoder.recorded_at(rows.len()),
            encoder.names(facts().map(|fact| fact.node)),
            encoder.optional_names(facts().map(|fact| some(fact.parent))),
            encoder.optional_names(facts().map(|fact| some(fact.name))),
        ];
        columns.extend(validity_columns(facts().map(|fact| fact.validity)));
        columns.push(longs(facts().map(|fact| fact.revision)));
        columns.push(flags(rows.iter().map(|row| row.withdrawn)));
        columns.push(times(rows.iter().map(|row| row.learned_ms)));
        Ok(columns)
    }
}

/// Both ends; an open validity ends at the end of all validities, so that a comparison needs no `NULL`.
pub(super) fn validity_columns(
    validities: impl Iterator<Item = Validity> + Clone,
) -> [ArrayRef; 2] {
    [
        times(validities.clone().map(|validity| validity.from_ms)),
        times(validities.map(|validity| validity.to_ms.min(LATEST_MS))),
    ]
}

pub(super) fn texts(texts: impl Iterator<Item = Option<String>>) -> ArrayRef {
    let texts: Vec<Option<String>> = texts.collect();
    optional_labels(texts.iter().map(Option::as_deref))
}

pub(super) fn flags(values: impl Iterator<Item = bool>) -> ArrayRef {
    Arc::new(values.map(Some).collect::<BooleanArray>())
}

pub(super) fn some(id: Id) -> Option<Id> {
    (!id.is_none()).then_some(id)
}

/// A length of time as it is written in a table: the largest unit that divides it.
fn span(ms: i64) -> String {
    let units = [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000)];
    let (unit, size) =
        units.into_iter().find(|(_, size)| ms != 0 && ms % size == 0).unwrap_or(("ms", 1));
    format!("{}{unit}", ms / size)
}

/// The length of time that [`span`] wrote, ms.
pub(super) fn parse_span(text: &str) -> Option<i64> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let size = match unit {
        "d" => 86_400_000,
        "h" => 3_600_000,
        "m" => 60_000,
        "s" => 1000,
        "ms" => 1,
        _ => return None,
    };
    number.parse::<i64>().ok()?.checked_mul(size)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_written_as_in_the_tables() {
        let cases = [(900_000, "15m"), (86_400_000, "1d"), (90_000, "90s"), (1, "1ms"), (0, "0ms")];
        for (ms, text) in cases {
            assert_eq!(span(ms), text);
            assert_eq!(parse_span(text), Some(ms));
        }
    }
}
