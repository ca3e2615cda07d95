//! Time, as an input.

use std::fmt::Debug;
use std::time::{SystemTime, UNIX_EPOCH};

/// Tells the time: ms since the Unix epoch, UTC. It may stand still or step back; ticks never do.
pub trait Clock: Debug + Send + Sync {
    /// Now, ms.
    fn now_ms(&self) -> i64;

    /// Whether it follows the data instead of the wall. Tables written under such a clock are marked, and a
    /// `run` refuses them: `recorded_at` must not lie about when something was known.
    fn is_replay(&self) -> bool {
        false
    }
}

/// The machine's clock.
#[derive(Copy, Clone, Debug, Default)]
pub struct WallClock;

impl Clock for WallClock {
    #[expect(clippy::disallowed_methods, reason = "this is where the time comes in")]
    fn now_ms(&self) -> i64 {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
    }
}

impl Clock for crate::demo::ReplayClock {
    fn now_ms(&self) -> i64 {
        Self::now_ms(self)
    }

    fn is_replay(&self) -> bool {
        true
    }
}

/// The wall's pace, for pauses and measurements; never in results.
#[expect(clippy::disallowed_methods, reason = "pauses and measurements, not results")]
#[must_use]
pub fn monotonic() -> std::time::Instant {
    std::time::Instant::now()
}
