//! Simulated time.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Instant;

/// A clock that stands wherever the messages are: whoever publishes moves it, everybody else reads it.
#[derive(Debug)]
pub struct ReplayClock {
    now_ms: AtomicI64,
}

impl ReplayClock {
    /// A clock that stands at `start_ms`.
    #[must_use]
    pub fn new(start_ms: i64) -> Self {
        Self { now_ms: AtomicI64::new(start_ms) }
    }

    /// The simulated instant, ms since the Unix epoch. Never goes back.
    #[must_use]
    pub fn now_ms(&self) -> i64 {
        self.now_ms.load(Ordering::Acquire)
    }

    /// Moves it to `now_ms`, or leaves it if it is there already.
    pub fn advance_to(&self, now_ms: i64) {
        self.now_ms.fetch_max(now_ms, Ordering::AcqRel);
    }
}

/// Simulated time as a function of the wall's: so many milliseconds a millisecond, or, while held, one.
#[derive(Debug)]
pub(super) struct Pace {
    now_ms: i64,
    /// Simulated microseconds that are not a whole millisecond yet.
    rest_us: i64,
    /// Simulated microseconds a microsecond of the wall, in thousandths.
    speed_milli: i64,
    last: Instant,
}

/// Most time of the wall that one step takes in: a laptop that slept does not wake into a flood.
const STEP_US_MAX: i64 = 100_000;

impl Pace {
    /// A pace that takes `simulated_ms` in `wall_ms`, from `start_ms` on.
    pub(super) fn new(start_ms: i64, simulated_ms: i64, wall_ms: i64, now: Instant) -> Self {
        let speed_milli = (simulated_ms * 1000 / wall_ms.max(1)).max(1000);
        Self { now_ms: start_ms, rest_us: 0, speed_milli, last: now }
    }

    /// The simulated instant at `now`. While `held`, time creeps on as on the wall, so that nobody who
    /// waits for it to pass waits for ever.
    pub(super) fn at(&mut self, now: Instant, held: bool) -> i64 {
        let wall_us = now.saturating_duration_since(self.last).as_micros();
        let wall_us = i64::try_from(wall_us).unwrap_or(i64::MAX).min(STEP_US_MAX);
        self.last = now;
        let speed_milli = if held { 1000 } else { self.speed_milli };
        self.rest_us += wall_us * speed_milli / 1000;
        self.now_ms += self.rest_us / 1000;
        self.rest_us %= 1000;
        self.now_ms
    }
}

/// The wall's clock, which only paces and measures: nothing that is booked depends on it.
#[expect(clippy::disallowed_methods, reason = "the demo plays a recording in real time")]
pub(super) fn wall() -> Instant {
    Instant::now()
}
