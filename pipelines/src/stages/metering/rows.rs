//! The revisions of one meter: which row holds when.

use crate::model::{Decimal, Id, MeterKind, MeterRow, Unit};

/// The rows of one meter, as known at a tick.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rows(Vec<MeterRow>);

impl Rows {
    /// Adds (`diff > 0`) or takes back a row.
    pub fn update(&mut self, row: &MeterRow, diff: i64) {
        if diff > 0 {
            self.0.push(row.clone());
            self.0.sort();
        } else if let Some(index) = self.0.iter().position(|known| known == row) {
            self.0.remove(index);
        }
    }

    /// The row that holds at `ms`: the highest revision whose validity covers it.
    #[must_use]
    pub fn at(&self, ms: i64) -> Option<&MeterRow> {
        match self.0.as_slice() {
            [row] => row.validity.holds(ms).then_some(row),
            rows => rows.iter().filter(|r| r.validity.holds(ms)).max_by_key(|r| r.revision),
        }
    }

    /// Whether nothing is known of the meter.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// All rows.
    pub fn iter(&self) -> impl Iterator<Item = &MeterRow> {
        self.0.iter()
    }

    /// Whether there is one row alone, so that no boundary lies inside a span.
    #[must_use]
    pub fn is_single(&self) -> bool {
        self.0.len() == 1
    }
}

/// Whether a meter that reads under `a` goes on reading under `b`: only its place in the books changed.
#[must_use]
pub fn same_lineage(a: &MeterRow, b: &MeterRow) -> bool {
    let of = |row: &MeterRow| -> (MeterKind, Option<Unit>, Decimal, Option<Decimal>) {
        (row.kind, row.unit, row.multiplier, row.modulus)
    };
    of(a) == of(b)
}

/// Where a piece of a span is booked: by the row that holds when its period starts, if the meter read on
/// under it, else by the row the span was measured under.
#[must_use]
pub fn booked_to(rows: &Rows, owner: &MeterRow, period_start_ms: i64) -> (Id, Id) {
    if rows.is_single() {
        return (owner.node, owner.factor);
    }
    match rows.at(period_start_ms) {
        Some(row) if same_lineage(row, owner) => (row.node, row.factor),
        _ => (owner.node, owner.factor),
    }
}
