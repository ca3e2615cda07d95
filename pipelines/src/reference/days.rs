//! Which days of periods show whose knowledge.

use std::collections::BTreeMap;

use super::{History, View};
use crate::model::time::{DAY_MS, day_start};
use crate::model::{Cause, Record, Tick};

impl History {
    /// Days of periods by the tick whose knowledge they show at `tick`: now, or when they froze, or when they
    /// were restated after that.
    pub(super) fn days_by_freezing(&self, tick: Tick) -> BTreeMap<(Tick, View), Vec<i64>> {
        let mut days: Vec<i64> = Vec::new();
        let mut last = Tick::ZERO;
        for (learned, record) in self.records.iter().filter(|(learned, _)| *learned <= tick) {
            last = last.max(*learned);
            let (from, to) = match record {
                // A hold, an interval or the span since the last value may reach a day and more around.
                Record::Reading(reading) => {
                    (reading.from_ms.unwrap_or(reading.at_ms - DAY_MS), reading.at_ms + DAY_MS)
                }
                Record::Activity(activity) => (activity.from_ms, activity.to_ms),
            };
            let (first, end) = (day_start(from), day_start(to));
            days.extend(every_day(first, end));
        }
        // Spans between two readings: every day between the first and the last.
        if let (Some(&first), Some(&end)) = (days.iter().min(), days.iter().max()) {
            days = every_day(first, end).collect();
        }
        let mut by_freezing: BTreeMap<(Tick, View), Vec<i64>> = BTreeMap::new();
        for day in days {
            let passed_ms = self.policy.retain.reaches_ms(day + DAY_MS);
            let last_live = Tick::new(passed_ms - 1, Cause::Cut);
            let restated = self.restated.iter().rfind(|restated| restated.tick <= tick);
            let shown = match restated {
                Some(restated) if restated.tick > last_live => (restated.known, View::Whole),
                _ => (last_live.min(tick), View::Live),
            };
            by_freezing.entry(shown).or_default().push(day);
        }
        by_freezing
    }
}

/// The starts of days from `first` to `end`, both included.
fn every_day(first: i64, end: i64) -> impl Iterator<Item = i64> {
    (first / DAY_MS..=end / DAY_MS).map(|day| day * DAY_MS)
}
