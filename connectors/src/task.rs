//! The few things of a running process that sources share: tasks, a sign to stop, pauses between tries.

use std::future::Future;
use std::hash::{BuildHasher, RandomState};
use std::time::{Duration, Instant};

use tokio::sync::watch;
use tokio::task::JoinHandle;

/// Shortest pause before a next try.
const PAUSE_MIN: Duration = Duration::from_millis(100);
/// How often a thread that pauses looks for the sign to stop.
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// Longest pause before a next try.
const PAUSE_MAX: Duration = Duration::from_secs(30);

/// Runs `future` on the runtime of the caller.
#[expect(clippy::disallowed_methods, reason = "handles are kept and awaited by the source's owner")]
pub(crate) fn spawn<F>(future: F) -> JoinHandle<F::Output>
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    tokio::spawn(future)
}

/// A clock that only measures: for pauses and gathering times, never for data.
#[expect(clippy::disallowed_methods, reason = "durations of I/O on a thread without a runtime")]
pub(crate) fn monotonic() -> Instant {
    Instant::now()
}

/// Makes the sign to stop: one who gives it, many who look for it. Dropping the giver gives it, too.
pub(crate) fn stop_sign() -> (watch::Sender<bool>, Stop) {
    let (sender, receiver) = watch::channel(false);
    (sender, Stop(receiver))
}

/// The sign to stop.
#[derive(Clone, Debug)]
pub(crate) struct Stop(watch::Receiver<bool>);

impl Stop {
    /// Whether it was given.
    pub(crate) fn is_given(&self) -> bool {
        *self.0.borrow() || self.0.has_changed().is_err()
    }

    /// Lets `pause` pass on a thread of its own, but not beyond the sign. Without timers of the runtime,
    /// which may be gone before the thread is.
    pub(crate) fn pause(&self, pause: Duration) {
        let begun = monotonic();
        while !self.is_given() && begun.elapsed() < pause {
            std::thread::sleep(LOOK_EVERY.min(pause.saturating_sub(begun.elapsed())));
        }
    }

    /// Waits until it is given. Cancel-safe.
    pub(crate) async fn given(&mut self) {
        // An error says that the giver is gone, which is the sign as well.
        drop(self.0.wait_for(|is_given| *is_given).await);
    }
}

/// Pauses that double, with jitter, so that a thousand clients do not come back at the same instant.
#[derive(Debug, Default)]
pub(crate) struct Backoff {
    tries: u32,
}

impl Backoff {
    /// Starts over: it worked.
    pub(crate) fn reset(&mut self) {
        self.tries = 0;
    }

    /// The pause before the next try.
    pub(crate) fn next(&mut self) -> Duration {
        let full = PAUSE_MIN.saturating_mul(1 << self.tries.min(16)).min(PAUSE_MAX);
        self.tries = self.tries.saturating_add(1);
        full / 2 + spread(full / 2)
    }

    /// A pause of the longest kind, for when coming back soon does harm.
    pub(crate) fn longest(&mut self) -> Duration {
        self.tries = 16;
        PAUSE_MAX / 2 + spread(PAUSE_MAX / 2)
    }
}

/// A random part of `span`.
fn spread(span: Duration) -> Duration {
    // A fresh state hashes with fresh keys, which is randomness enough to spread reconnects.
    let random = RandomState::new().hash_one(0_u8) % 1_024;
    span / 1_024 * u32::try_from(random).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_a_limit_and_start_over() {
        let mut backoff = Backoff::default();
        let first = backoff.next();
        assert!(first >= PAUSE_MIN / 2 && first <= PAUSE_MIN, "{first:?}");
        for _ in 0..40 {
            assert!(backoff.next() <= PAUSE_MAX);
        }
        assert!(backoff.next() >= PAUSE_MAX / 2);
        backoff.reset();
        assert!(backoff.next() <= PAUSE_MIN);
    }

    #[tokio::test]
    async fn a_dropped_giver_stops() {
        let (giver, mut stop) = stop_sign();
        assert!(!stop.is_given());
        drop(giver);
        stop.given().await;
        assert!(stop.is_given());
    }
}
