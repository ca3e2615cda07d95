//! The semantic part of a pipeline's configuration: what changes results.

use serde::{Deserialize, Serialize};

use super::calendar::Calendar;
use super::gas::GwpSet;
use super::retain::Retain;
use super::time::{DAY_MS, Period, Tick, day_start};

/// How time is cut and how far back results move. All lengths in ms.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Policy {
    /// Length of an accounting period: 1 s to 1 day, a divisor of a day.
    pub period_ms: i64,
    /// How long after its end a period's entries are booked.
    pub grace_ms: i64,
    /// How far back a late reading or a revised fact restates by itself.
    pub retain: Retain,
    /// How long single readings are kept to recognise duplicates and corrections.
    pub samples_ms: i64,
    /// Spans of the rolling windows, each a multiple of the period, none longer than `retain`.
    pub windows_ms: Vec<i64>,
    /// Civil months, and the windows that go by them.
    pub calendar: Calendar,
    /// Which potentials apply.
    pub gwp: GwpSet,
}

impl Policy {
    /// The period that holds the instant `ms`.
    #[must_use]
    pub fn period_of(&self, ms: i64) -> Period {
        Period::of(ms, self.period_ms)
    }

    /// When a period's entries are booked: its end and the grace after it.
    #[must_use]
    pub fn settles_ms(&self, period: Period) -> i64 {
        period.end_ms(self.period_ms) + self.grace_ms
    }

    /// The first period that is still restated by itself at `tick`. It moves in whole UTC days.
    #[must_use]
    pub fn horizon(&self, tick: Tick) -> Period {
        self.period_of(self.retain.horizon_ms(tick.ms()).max(0))
    }

    /// When the horizon passes `period`, ms: from then on it is restated from below alone.
    #[must_use]
    pub fn passed_ms(&self, period: Period) -> i64 {
        self.retain.reaches_ms(day_start(period.start_ms(self.period_ms)) + DAY_MS)
    }

    /// When the horizon last moved before or at `tick`, ms.
    #[must_use]
    pub fn horizon_moved_ms(&self, tick: Tick) -> i64 {
        self.retain.reaches_ms(self.retain.horizon_ms(tick.ms())).max(0)
    }

    /// When the horizon moves next after `tick`, ms.
    #[must_use]
    pub fn horizon_moves_ms(&self, tick: Tick) -> i64 {
        self.retain.reaches_ms(self.retain.horizon_ms(tick.ms()) + DAY_MS).max(0)
    }
}
