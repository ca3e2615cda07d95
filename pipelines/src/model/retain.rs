//! How far back results move by themselves, and since when: `retain`, as it was and as it is.
//!
//! ```text
//! horizon  ▲                              ╱
//!          │                       ╱    ╱     old: 7 d
//!      H ──│─ ─ ─ ─ ─ ─ ╱─────────╱            new: 35 d
//!          │          ╱ ¦       ╱
//!          │        ╱   ¦     ╱
//!          └───────────since──────────────▶ known
//! ```
//!
//! 1. The horizon is `retain` before what is known, in whole UTC days.
//! 2. A longer one counts from an instant on. From there the horizon stands still until the longer one has caught up
//!    with it. *What lies below is forgotten: it cannot come back.*
//! 3. So the horizon never moves back, and where it was at an instant never changes. *A restart, a restatement and
//!    `verify` all ask where it was.*
//!
//! A shorter one is refused: see `config::live`.

use std::cmp::Ordering;
use std::fmt;

use serde::{Deserialize, Serialize};

use super::time::day_start;

/// `retain` over time. See the module's documentation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Retain {
    /// The first one, ms.
    first_ms: i64,
    /// Longer ones, ms, each with the last instant, ms, at which the one before it counts; in order.
    later: Vec<(i64, i64)>,
}

impl Retain {
    /// The same at all times.
    #[must_use]
    pub fn of(ms: i64) -> Self {
        Self { first_ms: ms, later: Vec::new() }
    }

    /// As it is now, ms.
    #[must_use]
    pub fn ms(&self) -> i64 {
        self.later.last().map_or(self.first_ms, |(_, ms)| *ms)
    }

    /// The first one, ms.
    #[must_use]
    pub fn first_ms(&self) -> i64 {
        self.first_ms
    }

    /// Longer ones, ms, each with the last instant, ms, at which the one before it counts.
    #[must_use]
    pub fn later(&self) -> &[(i64, i64)] {
        &self.later
    }

    /// Whether it was a shorter one before.
    #[must_use]
    pub fn has_grown(&self) -> bool {
        !self.later.is_empty()
    }

    /// The same up to `until_ms`, the newest instant of all, and `ms` after; `None` if that is shorter. One that was to
    /// count from then on has never counted, and goes: a start that was refused decides nothing.
    #[must_use]
    pub fn grown(&self, until_ms: i64, ms: i64) -> Option<Self> {
        let mut grown = self.clone();
        grown.later.retain(|(last_ms, _)| *last_ms < until_ms);
        match ms.cmp(&grown.ms()) {
            Ordering::Less => return None,
            Ordering::Equal => {}
            Ordering::Greater => grown.later.push((until_ms, ms)),
        }
        Some(grown)
    }

    /// Where the horizon is when everything up to `known_ms` is known, ms: the start of a UTC day, before 1970 where
    /// that is nowhere.
    #[must_use]
    pub fn horizon_ms(&self, known_ms: i64) -> i64 {
        let counts = self.steps().take_while(|step| step.after_ms < known_ms);
        let horizons = counts.map(|step| day_start(known_ms.min(step.until_ms) - step.ms));
        // The first one counts from the beginning.
        horizons.fold(i64::MIN, i64::max)
    }

    /// When the horizon comes to `horizon_ms`, the start of a UTC day, or passes it, ms.
    #[must_use]
    pub fn reaches_ms(&self, horizon_ms: i64) -> i64 {
        let mut reaches = self.steps().map(|step| (horizon_ms + step.ms, step.until_ms));
        // The last one counts for ever.
        reaches.find(|(ms, until_ms)| ms <= until_ms).map_or(i64::MAX, |(ms, _)| ms)
    }

    fn steps(&self) -> impl Iterator<Item = Step> {
        let ends = self.later.iter().map(|(until_ms, _)| *until_ms).chain([i64::MAX]);
        let begins = [(i64::MIN, self.first_ms)].into_iter().chain(self.later.iter().copied());
        begins.zip(ends).map(|((after_ms, ms), until_ms)| Step { after_ms, until_ms, ms })
    }

    /// What [`Self`]'s `Display` has written.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let span = |text: &str| text.strip_suffix(" ms")?.parse().ok();
        let mut parts = text.split("; after ");
        let first_ms = span(parts.next()?)?;
        let later = parts.map(|part| {
            let (until_ms, ms) = part.split_once(": ")?;
            Some((until_ms.parse().ok()?, span(ms)?))
        });
        Some(Self { first_ms, later: later.collect::<Option<_>>()? })
    }
}

/// One `retain`, and when it counts: after an instant, up to and with another, ms.
struct Step {
    after_ms: i64,
    until_ms: i64,
    ms: i64,
}

impl fmt::Display for Retain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ms", self.first_ms)?;
        self.later.iter().try_for_each(|(until_ms, ms)| write!(f, "; after {until_ms}: {ms} ms"))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::time::DAY_MS;
    use super::*;

    fn days(days: i64) -> i64 {
        days * DAY_MS
    }

    #[test]
    fn the_horizon_stands_still_until_the_longer_one_has_caught_up() {
        let grown = Retain::of(days(7)).grown(days(100) + 5, days(35)).expect("it is longer");
        assert_eq!(grown.ms(), days(35));
        assert_eq!(grown.horizon_ms(days(100) + 5), days(93));
        assert_eq!(grown.horizon_ms(days(127)), days(93));
        assert_eq!(grown.horizon_ms(days(129)), days(94));
        assert_eq!(grown.reaches_ms(days(93)), days(100));
        assert_eq!(grown.reaches_ms(days(94)), days(129));
    }

    #[test]
    fn only_a_longer_one_follows() {
        let seven = Retain::of(days(7));
        assert_eq!(seven.grown(5, days(6)), None);
        assert_eq!(seven.grown(5, days(7)), Some(seven.clone()));
        let eight = seven.grown(5, days(8)).expect("it is longer");
        assert_eq!(eight.grown(6, days(7)), None, "it has counted");
        // Nothing came since: it has not.
        assert_eq!(eight.grown(5, days(8)), Some(eight.clone()));
        assert_eq!(eight.grown(5, days(9)), seven.grown(5, days(9)));
        assert_eq!(eight.grown(5, days(7)), Some(seven.clone()));
        assert_eq!(eight.grown(4, days(8)), seven.grown(4, days(8)));
        assert_eq!(eight.grown(5, days(6)), None);
    }

    #[test]
    fn what_is_no_retain_is_refused() {
        for text in ["", "7", "7 ms; after 5", "7 ms; after x: 8 ms", "7 ms; after 5: 8"] {
            assert_eq!(Retain::parse(text), None, "{text:?}");
        }
    }

    prop_compose! {
        fn retains()(
            first in 0_i64..20,
            later in prop::collection::vec((1_i64..30, 1_i64..20), 0..3),
        ) -> Retain {
            let mut at_ms = 0;
            later.into_iter().fold(Retain::of(first * DAY_MS / 2), |retain, (wait, more)| {
                at_ms += wait * DAY_MS / 3;
                retain.grown(at_ms, retain.ms() + more * DAY_MS / 2).expect("longer, and later")
            })
        }
    }

    proptest! {
        #[test]
        fn the_horizon_never_moves_back_and_is_reached_when_it_says(retain in retains()) {
            let known = (0..400).map(|step| step * DAY_MS / 6);
            let mut last = i64::MIN;
            for ms in known {
                let horizon_ms = retain.horizon_ms(ms);
                prop_assert!(horizon_ms >= last, "{horizon_ms} at {ms}");
                last = horizon_ms;
                let reached_ms = retain.reaches_ms(horizon_ms);
                prop_assert!(reached_ms <= ms);
                prop_assert!(retain.horizon_ms(reached_ms) == horizon_ms);
                prop_assert!(retain.horizon_ms(reached_ms - 1) < horizon_ms);
            }
        }

        #[test]
        fn its_text_is_read_back(retain in retains()) {
            prop_assert_eq!(Retain::parse(&retain.to_string()), Some(retain));
        }
    }
}
