//! When a meter was last heard of: the newest instant of which a usable value is known.
//!
//! ```text
//! values   ──●──●──●──────●───✕───?──▶     ● usable   ✕ withdrawn   ? its unit does not fit
//!                         └ newest
//! ```
//!
//! | what came last | is it heard of? |
//! |---|---|
//! | a reading, on time or late, in whatever order | its own instant counts, never when it came |
//! | a correction | the instant it corrects: it is known as well as before |
//! | a withdrawal | no: nothing is known of that instant any more, and the one before it counts again |
//! | a value that waits (for a row, or a unit that fits) | no: it is in no total. The row that cures it counts it |
//! | a stamp ahead of the tick | yes: what lies too far ahead is refused where it comes in |
//! | what comes from below the horizon | once a restatement has brought it in |
//!
//! 1. It is a function of what is kept of the meter, not of how that came about. *So a restart, which is fed in other
//!    ticks, finds the same.*
//! 2. The last value of every meter is kept for ever. *So a meter that fell silent a year ago is told apart from one
//!    that never reported.*
//! 3. It is told ([`Notice::Heard`](crate::stages::notice::Notice::Heard)) as the period that holds it, and only when
//!    that is another one. *So it costs one notice a meter and period at most, as long as nothing is taken back.*
//! 4. Values are looked through, latest first, only where the newest one itself is taken back, or where rows have
//!    changed. *Else a meter whose values all wait would be walked over with each reading.*

use std::ops::Range;

use super::rows::Rows;
use super::samples::Samples;
use super::spans::{Value, usable};
use crate::model::{Period, Policy};

/// The newest instant of which a usable value is known, ms; `None` where there is none.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub struct Newest(Option<i64>);

impl Newest {
    /// Of these values under these rows.
    #[must_use]
    pub fn of(rows: &Rows, samples: &Samples) -> Self {
        if rows.is_empty() {
            return Self(None);
        }
        let is_usable =
            |(at_ms, value, _): &(i64, Value, bool)| usable(rows, *at_ms, value).is_ok();
        Self(samples.before(i64::MAX).find(is_usable).map(|(at_ms, ..)| at_ms))
    }

    /// A usable value of `at_ms` is known from now on.
    pub fn hear(&mut self, at_ms: i64) {
        self.0 = self.0.max(Some(at_ms));
    }

    /// `value` is what is known of `at_ms` from now on. Says whether the newest value is gone by it: then only
    /// [`Self::of`] tells which one is the newest now.
    #[must_use]
    pub fn change(&mut self, at_ms: i64, value: Option<&Value>, rows: &Rows) -> bool {
        if Some(at_ms) < self.0 {
            return false;
        }
        let is_usable = value.is_some_and(|value| usable(rows, at_ms, value).is_ok());
        if is_usable {
            self.0 = Some(at_ms);
        }
        !is_usable && self.0 == Some(at_ms)
    }

    /// Whether it lies in this stretch, ms.
    #[must_use]
    pub fn is_in(self, stretch: &Range<i64>) -> bool {
        self.0.is_some_and(|at_ms| stretch.contains(&at_ms))
    }

    /// The period that holds it: it begins at or before it.
    #[must_use]
    pub fn period(self, policy: &Policy) -> Option<Period> {
        self.0.map(|at_ms| policy.period_of(at_ms))
    }
}
