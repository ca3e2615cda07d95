//! From the values of one meter to amounts over stretches of time: the three kinds of meters.
//!
//! A [`Scan`] walks the values of a meter in the order of their instants and hands out [`Span`]s. It is a
//! pure state machine over (rows, values): metering runs it from the last clean value before a change until
//! old and new agree again; the batch reference runs it from the first value to the last.
//!
//! * `interval`: the value is the amount of the stretch its stamp closes (or opens), or since the last stamp.
//! * `power`: the value holds until the next stamp, at most `max_hold`. Rule: last value held.
//! * `register`: the value is a position, rounded once; spans are differences of positions. A difference that
//!   cannot be is not booked and the position is not re-based on it:
//!   1. *rollover*, if the row has a modulus and the difference with it is possible;
//!   2. *exchange*, if another row begins between the two values: a new baseline;
//!   3. otherwise the value is *pending*. If the next value goes on from the last good one, the pending one
//!      was a glitch. If it moves on from the pending one, the register was reset: a new baseline there.
//!
//!   "Possible" is not below zero and at most `max_power` times the time since the position last *changed*.
//!
//! Sources: domain rules collected from published meter incidents (`3.737, 0.000, 3.746` is 0.009 kWh, not
//! 3.746); IEC 62053-61 for registers; last-value hold for report-on-change sensors.

use thiserror::Error;

use super::rows::{Rows, same_lineage};
use crate::model::quantity::divide_half_even;
use crate::model::time::HOUR_MS;
use crate::model::{Decimal, MeterKind, MeterRow, StampSide, Unit, UnitError};

/// A value of a meter, as accepted.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct Value {
    /// The number as sent.
    pub number: Decimal,
    /// The unit as sent.
    pub unit: Option<Unit>,
    /// The start of its interval, if sent, ms.
    pub from_ms: Option<i64>,
}

/// A stretch of time with an amount.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct Span<'r> {
    /// First instant, ms.
    pub from_ms: i64,
    /// First instant after it, ms; may equal `from_ms` where the stretch is unknown.
    pub to_ms: i64,
    /// 1e-9 of `unit`.
    pub amount: i128,
    /// The base unit it is booked in.
    pub unit: Unit,
    /// How many readings it rests on.
    pub readings: i64,
    /// The row it was measured under.
    pub row: &'r MeterRow,
    /// An open hold counts only once this instant has come, ms; 0 for every other span.
    pub held_until_ms: i64,
}

/// Why a value cannot be booked under the rows known now. Later rows may cure it.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Unusable {
    /// The meter is not registered, or not at that instant.
    #[error("meter not registered at that instant")]
    Unregistered,
    /// Neither the reading nor the meter table names a unit.
    #[error("no unit: neither the reading nor the meter table names one")]
    NoUnit,
    /// The unit does not fit, or the amount is out of range.
    #[error(transparent)]
    Unit(#[from] UnitError),
}

/// A value under its row, ready to be compared.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
struct Placed<'r> {
    at_ms: i64,
    from_ms: Option<i64>,
    /// Interval: the amount. Register: the position. Power: unused, since the amount depends on the hold.
    amount: i128,
    number: Decimal,
    /// The unit of the value.
    unit: Unit,
    /// The unit of `amount`: the base of the meter's own unit, whatever a reading was sent in.
    base: Unit,
    row: &'r MeterRow,
}

/// The row under which a value at `at_ms` is read.
fn row_of(rows: &Rows, at_ms: i64, from_ms: Option<i64>) -> Option<&MeterRow> {
    // An end stamp belongs to the stretch before it: it reads under the row that held then.
    let before = rows.at(at_ms - 1).filter(|row| {
        row.kind == MeterKind::Interval && (row.stamp == StampSide::End || from_ms.is_some())
    });
    before.or_else(|| rows.at(at_ms))
}

fn place<'r>(rows: &'r Rows, at_ms: i64, value: &Value) -> Result<Placed<'r>, Unusable> {
    let row = row_of(rows, at_ms, value.from_ms).ok_or(Unusable::Unregistered)?;
    let unit = match (value.unit, row.unit) {
        (Some(sent), Some(expected)) => {
            sent.converts(expected)?;
            sent
        }
        (Some(unit), None) | (None, Some(unit)) => unit,
        (None, None) => return Err(Unusable::NoUnit),
    };
    let base = row.unit.unwrap_or(unit).base();
    let amount = if row.kind == MeterKind::Power {
        // The longest hold shows that every shorter one fits.
        unit.amount_held(value.number, row.multiplier, row.max_hold_ms)?
    } else {
        unit.amount_in(base, value.number, row.multiplier)?
    };
    let (from_ms, number) = (value.from_ms, value.number);
    Ok(Placed { at_ms, from_ms, amount, number, unit, base, row })
}

/// Whether `value` at `at_ms` can be booked under `rows`.
///
/// # Errors
/// Why it cannot.
pub fn usable(rows: &Rows, at_ms: i64, value: &Value) -> Result<(), Unusable> {
    place(rows, at_ms, value).map(|_| ())
}

/// The stretch that a value of an interval meter stands for, ms; `None` where no value says that by itself.
#[must_use]
pub fn stretch(rows: &Rows, at_ms: i64, from_ms: Option<i64>) -> Option<(i64, i64)> {
    let row = row_of(rows, at_ms, from_ms).filter(|row| row.kind == MeterKind::Interval)?;
    stated(row, at_ms, from_ms)
}

fn stated(row: &MeterRow, at_ms: i64, from_ms: Option<i64>) -> Option<(i64, i64)> {
    match (from_ms, row.interval_ms) {
        (Some(from_ms), _) => Some((from_ms, at_ms)),
        (None, Some(length)) if row.stamp == StampSide::Start => Some((at_ms, at_ms + length)),
        (None, Some(length)) => Some((at_ms - length, at_ms)),
        (None, None) => None,
    }
}

/// Whether a register read the same position at both instants, without an exchange between them.
#[must_use]
pub fn same_position(rows: &Rows, a: (i64, &Value), b: (i64, &Value)) -> bool {
    match (place(rows, a.0, a.1), place(rows, b.0, b.1)) {
        (Ok(a), Ok(b)) => {
            a.row.kind == MeterKind::Register
                && a.amount == b.amount
                && a.base == b.base
                && same_lineage(a.row, b.row)
        }
        _ => false,
    }
}

/// The walk over one meter's values; see the module's documentation.
#[derive(Clone, Debug)]
pub struct Scan<'r> {
    rows: &'r Rows,
    last: Option<Placed<'r>>,
    /// When a register's position last changed, ms.
    changed_ms: i64,
    pending: Option<Placed<'r>>,
}

/// Two walks are in the same state when they will treat whatever comes next alike.
impl PartialEq for Scan<'_> {
    fn eq(&self, other: &Self) -> bool {
        (&self.last, self.changed_ms, &self.pending)
            == (&other.last, other.changed_ms, &other.pending)
    }
}

impl<'r> Scan<'r> {
    /// Before the first value.
    #[must_use]
    pub fn new(rows: &'r Rows) -> Self {
        Self { rows, last: None, changed_ms: 0, pending: None }
    }

    /// Just after a value that left the walk clean, whose position last changed at `changed_ms`.
    #[must_use]
    pub fn resume(rows: &'r Rows, at_ms: i64, value: &Value, changed_ms: i64) -> Self {
        let last = place(rows, at_ms, value).ok();
        let changed_ms = if last.is_some() { changed_ms } else { 0 };
        Self { rows, last, changed_ms, pending: None }
    }

    /// Takes in the next value; values that cannot be booked are passed over. Says whether the walk is
    /// clean after it: that it could be resumed from this value alone.
    pub fn step(&mut self, at_ms: i64, value: &Value, emit: &mut impl FnMut(Span<'r>)) -> bool {
        self.take(at_ms, value, emit).unwrap_or(false)
    }

    /// [`Self::step`], which says why a value is passed over.
    ///
    /// # Errors
    /// Why the value cannot be booked.
    pub fn take(
        &mut self,
        at_ms: i64,
        value: &Value,
        emit: &mut impl FnMut(Span<'r>),
    ) -> Result<bool, Unusable> {
        let next = place(self.rows, at_ms, value)?;
        // A power that was held ends at the next value, of whatever kind.
        if let Some(last) = self.last.filter(|last| last.row.kind == MeterKind::Power) {
            emit_hold(&last, next.at_ms, 0, emit);
        }
        match next.row.kind {
            MeterKind::Power => self.rebase(next),
            MeterKind::Interval => {
                emit(interval_span(&next, self.last.as_ref()));
                self.rebase(next);
            }
            MeterKind::Register => self.step_register(next, emit),
        }
        Ok(self.pending.is_none())
    }

    /// Whether the walk could be resumed from its last value alone.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.pending.is_none()
    }

    /// No further value: the last power is held as long as it may be.
    pub fn finish(self, emit: &mut impl FnMut(Span<'r>)) {
        if let Some(last) = self.last.filter(|last| last.row.kind == MeterKind::Power) {
            let until = last.at_ms + last.row.max_hold_ms;
            emit_hold(&last, i64::MAX, until, emit);
        }
    }

    fn rebase(&mut self, next: Placed<'r>) {
        self.changed_ms = next.at_ms;
        self.last = Some(next);
        self.pending = None;
    }

    fn step_register(&mut self, next: Placed<'r>, emit: &mut impl FnMut(Span<'r>)) {
        let Some(last) = self.last.filter(|last| last.row.kind == MeterKind::Register) else {
            return self.rebase(next);
        };
        if next.base != last.base || !same_lineage(last.row, next.row) {
            return self.rebase(next);
        }
        if let Some(amount) = advance(&last, &next, self.changed_ms) {
            emit(register_span(&last, &next, amount));
            if amount != 0 {
                self.changed_ms = next.at_ms;
            }
            self.last = Some(next);
            self.pending = None;
        } else if last.row != next.row {
            self.rebase(next);
        } else if let Some(amount) = self.pending.and_then(|pending| {
            advance(&pending, &next, pending.at_ms).filter(|amount| *amount > 0)
        }) {
            let pending = self.pending.expect("just looked at");
            emit(register_span(&pending, &next, amount));
            self.rebase(next);
        } else if self.pending.is_none_or(|pending| pending.amount != next.amount) {
            self.pending = Some(next);
        }
    }
}

/// How far a register advanced from `last` to `next`; `None` if it cannot have.
fn advance(last: &Placed<'_>, next: &Placed<'_>, changed_ms: i64) -> Option<i128> {
    let row = next.row;
    // Bounds are told in the meter's unit, not in that of the reading.
    let unit = row.unit.unwrap_or(next.unit);
    let limit = row.max_power.map(|power| {
        let hourly = unit.amount(power, row.multiplier).unwrap_or(i128::MAX / (1 << 50));
        // Rounded up to the next position: a register that runs at its limit is not a fault.
        divide_half_even(hourly * i128::from(next.at_ms - changed_ms), i128::from(HOUR_MS)) + 1
    });
    let possible = |amount: &i128| *amount >= 0 && limit.is_none_or(|limit| *amount <= limit);
    let straight = next.amount - last.amount;
    if possible(&straight) {
        return Some(straight);
    }
    let modulus = row.modulus.and_then(|modulus| unit.amount(modulus, row.multiplier).ok())?;
    let around = straight + modulus;
    // Without a limit on power, only a turn from the last tenth into the first is believed.
    let near_the_end =
        limit.is_some() || (last.amount >= modulus / 10 * 9 && next.amount <= modulus / 10);
    (straight < 0 && near_the_end && possible(&around)).then_some(around)
}

fn register_span<'r>(last: &Placed<'_>, next: &Placed<'r>, amount: i128) -> Span<'r> {
    Span {
        from_ms: last.at_ms,
        to_ms: next.at_ms,
        amount,
        unit: next.base,
        readings: 2,
        row: next.row,
        held_until_ms: 0,
    }
}

fn interval_span<'r>(next: &Placed<'r>, last: Option<&Placed<'_>>) -> Span<'r> {
    let (from_ms, to_ms) = stated(next.row, next.at_ms, next.from_ms).unwrap_or_else(|| {
        // Without a stamp before it nobody can say since when: the amount stands at its instant.
        let since = last.filter(|last| last.row.kind == MeterKind::Interval);
        (since.map_or(next.at_ms, |last| last.at_ms), next.at_ms)
    });
    Span {
        from_ms,
        to_ms,
        amount: next.amount,
        unit: next.base,
        readings: 1,
        row: next.row,
        held_until_ms: 0,
    }
}

fn emit_hold<'r>(
    last: &Placed<'r>,
    next_ms: i64,
    held_until_ms: i64,
    emit: &mut impl FnMut(Span<'r>),
) {
    let row = last.row;
    let to_ms = next_ms.min(last.at_ms + row.max_hold_ms).min(row.validity.to_ms);
    let amount = last
        .unit
        .amount_held(last.number, row.multiplier, to_ms - last.at_ms)
        .expect("placing it has shown that the longest hold fits");
    let unit = last.unit.over_an_hour().expect("placing it has shown that it is a power").base();
    let from_ms = last.at_ms;
    emit(Span { from_ms, to_ms, amount, unit, readings: 1, row, held_until_ms });
}
