//! From spans to periods: a span's amount is split exactly, and each piece is booked where it belongs.

use super::rows::{Rows, booked_to};
use super::spans::Span;
use crate::model::quantity::share;
use crate::model::{ActivityKey, Id, Measure, Period, Policy, Subject, Unit};

/// A piece of activity: its key, and the instant an open hold counts from (0: at once).
pub type Piece = ((ActivityKey, i64), Measure);

/// A stretch with an amount, without a meter's rules: also what an activity of a business system is.
#[derive(Copy, Clone, Debug)]
pub struct Stretch {
    /// First instant, ms.
    pub from_ms: i64,
    /// First instant after it, ms; may equal `from_ms`.
    pub to_ms: i64,
    /// 1e-9 of the unit.
    pub amount: i128,
    /// Readings it rests on; counted in every period it touches.
    pub readings: i64,
}

impl Stretch {
    /// Splits it over the periods it touches, from `first` on: `(period, measure)`.
    pub fn split(self, policy: &Policy, first: Period, mut give: impl FnMut(Period, Measure)) {
        let Self { from_ms, to_ms, amount, readings } = self;
        if from_ms >= to_ms {
            // No length: the amount stands in the period that ends with its instant.
            let period = policy.period_of(to_ms - 1);
            if period >= first {
                give(period, Measure { amount: amount.into(), covered_ms: 0, presence: readings });
            }
            return;
        }
        let (begin, end) = (policy.period_of(from_ms).max(first), policy.period_of(to_ms - 1));
        let length = to_ms - from_ms;
        if begin == end && begin >= first && policy.period_of(from_ms) == begin {
            // The ordinary case: the whole stretch lies in one period.
            let amount = amount.into();
            give(begin, Measure { amount, covered_ms: length, presence: readings });
            return;
        }
        for index in begin.0..=end.0 {
            let period = Period(index);
            let left = period.start_ms(policy.period_ms).max(from_ms);
            let right = period.end_ms(policy.period_ms).min(to_ms);
            let part =
                share(amount, right - from_ms, length) - share(amount, left - from_ms, length);
            let covered_ms = right - left;
            give(period, Measure { amount: part.into(), covered_ms, presence: readings });
        }
    }
}

/// Splits a meter's span and books its pieces, from the period `first` on.
pub fn book_span(
    (meter, rows): (Id, &Rows),
    span: &Span<'_>,
    (policy, first): (&Policy, Period),
    mut give: impl FnMut(Piece),
) {
    let Span { from_ms, to_ms, amount, readings, .. } = *span;
    let unit: Unit = span.unit;
    Stretch { from_ms, to_ms, amount, readings }.split(policy, first, |period, measure| {
        let (node, factor) = booked_to(rows, span.row, period.start_ms(policy.period_ms));
        let key = ActivityKey { period, node, subject: Subject::Meter(meter), unit, factor };
        give(((key, span.held_until_ms), measure));
    });
}
