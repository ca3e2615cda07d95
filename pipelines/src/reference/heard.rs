//! Which meters were heard of, plainly: every meter is asked in every window, by instants.

use std::collections::BTreeMap;

use super::{History, View};
use crate::model::{Id, MeterRow, Tick};
use crate::reporting::{Share, ShareKey};
use crate::stages::metering::{Rows, usable};

impl History {
    /// The newest instant of each meter of which a usable value is known at `tick`, ms.
    #[must_use]
    pub fn heard(&self, tick: Tick) -> BTreeMap<Id, i64> {
        let (rows, none) = (self.meter_rows(tick), Rows::default());
        let values = self.values(tick, View::Live).into_iter();
        let newest = values.filter_map(|(meter, values)| {
            let rows = rows.get(&meter).unwrap_or(&none);
            let mut usable_values =
                values.iter().filter(|(at_ms, value)| usable(rows, **at_ms, value).is_ok());
            Some((meter, *usable_values.next_back()?.0))
        });
        newest.collect()
    }

    /// The share of its meters that each node heard of, by window, at `tick` ([`crate::reporting`]).
    #[must_use]
    pub fn shares(&self, tick: Tick) -> BTreeMap<ShareKey, Share> {
        let (heard, tree) = (self.heard(tick), self.tree(tick));
        let mut shares: BTreeMap<ShareKey, Share> = BTreeMap::new();
        for (meter, rows) in self.meter_rows(tick) {
            let Some(row) = rows.at(tick.ms()) else { continue };
            let running_ms = self.running_ms(tick);
            let rolling = self.policy.windows_ms.iter().map(|span_ms| Some(running_ms - span_ms));
            let to_date = self.policy.calendar.windows().iter();
            let to_date =
                to_date.map(|window| Some(self.policy.calendar.around(*window, running_ms)?.0));
            for (window, begins_ms) in (1_u8..).zip(rolling.chain(to_date)) {
                let Some(begins_ms) = begins_ms else { continue };
                let is_heard = heard.get(&meter).is_some_and(|at_ms| {
                    self.is_in(*at_ms, begins_ms) || self.is_due(*at_ms, row, tick)
                });
                for (node, depth) in tree.path(row.node, running_ms) {
                    let share = shares.entry(ShareKey { window, node }).or_default();
                    share.depth = depth;
                    share.expected += 1;
                    share.heard += u64::from(is_heard);
                }
            }
        }
        shares
    }

    /// The start of the period that runs at `tick`, ms.
    fn running_ms(&self, tick: Tick) -> i64 {
        self.policy.period_of(tick.ms()).start_ms(self.policy.period_ms)
    }

    /// Whether an instant is in a period that begins at `begins_ms` or later.
    fn is_in(&self, at_ms: i64, begins_ms: i64) -> bool {
        self.policy.period_of(at_ms).start_ms(self.policy.period_ms) >= begins_ms
    }

    /// Whether an instant is in a period that was under way, or later, when the row's next reading was last due.
    fn is_due(&self, at_ms: i64, row: &MeterRow, tick: Tick) -> bool {
        let end_ms = self.policy.period_of(at_ms).end_ms(self.policy.period_ms);
        row.expected_every_ms.is_some_and(|every_ms| end_ms > self.running_ms(tick) - every_ms)
    }
}
