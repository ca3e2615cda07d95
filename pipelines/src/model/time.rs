//! The three clocks: instants of the field (ms), accounting periods, and ticks (when we learned it).

use std::fmt;

use differential_dataflow::lattice::Lattice;
use serde::{Deserialize, Serialize};
use timely::PartialOrder;
use timely::order::TotalOrder;
use timely::progress::Timestamp;
use timely::progress::timestamp::PathSummary;

/// Milliseconds of a UTC day (Unix time has no leap seconds).
pub const DAY_MS: i64 = 86_400_000;
/// Milliseconds of an hour.
pub const HOUR_MS: i64 = 3_600_000;
/// The earliest instant a reading or a validity may name: 2000-01-01T00:00:00Z. Anything earlier is a
/// device whose clock was never set.
pub const EARLIEST_MS: i64 = 946_684_800_000;
/// The end of an open validity; also the latest instant anything may name (2099-12-31T00:00:00Z).
pub const LATEST_MS: i64 = 4_102_358_400_000;

/// What moved a tick: the sub-ticks of one instant, in the order they are applied. No number is ever written down but
/// that of `Cut`.
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Cause {
    /// The passing of time: bookings and window moves that fall due.
    Time = 0,
    /// The node tree.
    Nodes = 1,
    /// The meter table.
    Meters = 2,
    /// Emission factors.
    Factors = 3,
    /// Contracts and certificates.
    Contracts = 4,
    /// Readings and activities.
    Readings = 5,
    /// What counts from before the horizon: at a restart, where it moves nothing that is booked, or when it is
    /// recalled.
    Kept = 6,
    /// The end of the instant: where a commit may cut.
    Cut = 7,
}

/// When Plumeline learned something: `ms << 3 | cause`. The timestamp of the dataflow.
#[derive(Copy, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Tick(pub u64);

impl Tick {
    /// The first tick: before anything was known.
    pub const ZERO: Self = Self(0);

    /// The tick of `cause` at the instant `ms`.
    ///
    /// # Panics
    /// If `ms` is negative: nothing is learned before 1970.
    #[must_use]
    pub fn new(ms: i64, cause: Cause) -> Self {
        let ms = u64::try_from(ms).expect("a tick's instant is never before 1970");
        Self(ms << 3 | u64::from(cause as u8))
    }

    /// The instant, ms since the Unix epoch, UTC.
    ///
    /// # Panics
    /// Never: 61 bits fit.
    #[must_use]
    pub fn ms(self) -> i64 {
        i64::try_from(self.0 >> 3).expect("61 bits fit an i64")
    }

    /// Whether it is of this cause.
    #[must_use]
    pub fn is(self, cause: Cause) -> bool {
        self.0 & 7 == u64::from(cause as u8)
    }

    /// The next tick, whatever its cause.
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

impl fmt::Debug for Tick {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.0 >> 3, self.0 & 7)
    }
}

impl PartialOrder for Tick {
    fn less_equal(&self, other: &Self) -> bool {
        self.0 <= other.0
    }
}
impl TotalOrder for Tick {}

/// No dataflow of ours has a loop, so no path advances a tick: the summary is the empty one.
impl PathSummary<Tick> for () {
    fn results_in(&self, src: &Tick) -> Option<Tick> {
        Some(*src)
    }
    fn followed_by(&self, (): &()) -> Option<()> {
        Some(())
    }
}

impl timely::progress::timestamp::Refines<()> for Tick {
    fn to_inner((): ()) -> Self {
        Self::ZERO
    }
    fn to_outer(self) {}
    fn summarize((): ()) {}
}

impl Timestamp for Tick {
    type Summary = ();
    fn minimum() -> Self {
        Self::ZERO
    }
}

impl Lattice for Tick {
    fn join(&self, other: &Self) -> Self {
        (*self).max(*other)
    }
    fn meet(&self, other: &Self) -> Self {
        (*self).min(*other)
    }
}

impl differential_dataflow::lattice::Maximum for Tick {
    fn maximum() -> Self {
        Self(u64::MAX)
    }
}

/// An accounting period: the index of a stretch of `period_ms` since the Unix epoch.
#[derive(
    Copy, Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct Period(pub u32);

impl Period {
    /// The period of length `period_ms` that holds the instant `ms`.
    ///
    /// # Panics
    /// If `ms` is before 1970 or past 2100: such instants are refused where data enters.
    #[must_use]
    pub fn of(ms: i64, period_ms: i64) -> Self {
        Self(u32::try_from(ms.div_euclid(period_ms)).expect("instants are checked at the border"))
    }

    /// Its first instant, ms.
    #[must_use]
    pub fn start_ms(self, period_ms: i64) -> i64 {
        i64::from(self.0) * period_ms
    }

    /// The first instant after it, ms.
    #[must_use]
    pub fn end_ms(self, period_ms: i64) -> i64 {
        (i64::from(self.0) + 1) * period_ms
    }
}

/// The start of the UTC day that holds `ms`.
#[must_use]
pub fn day_start(ms: i64) -> i64 {
    ms.div_euclid(DAY_MS) * DAY_MS
}
