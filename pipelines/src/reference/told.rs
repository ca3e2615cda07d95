//! What was said of meters and activities, plainly: all of it, in order.

use std::collections::BTreeMap;

use crate::model::{Id, Period, Policy, Reading};
use crate::stages::metering::spans::same_position;
use crate::stages::metering::{Rows, Scan, Value};

/// All that was said under one key, in order; `None` takes back.
#[derive(Debug)]
pub struct Told<V>(Vec<(u32, Option<V>)>);

impl<V> Default for Told<V> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<V: Copy + Eq> Told<V> {
    /// What holds; `None` if nothing was said, or the last of it took it back.
    #[must_use]
    pub fn holds(&self) -> Option<V> {
        self.0.last().and_then(|(_, value)| *value)
    }

    /// Keeps what is new: not of an older version, and in its version not said before. Says whether it was.
    pub fn take(&mut self, version: u32, value: Option<V>) -> bool {
        let Some(&(newest, current)) = self.0.last() else {
            self.0.push((version, value));
            return true;
        };
        let version = if value.is_none() && version == 0 { newest } else { version };
        let said_before = value.is_some() && self.0.contains(&(version, value));
        let is_new = version > newest || (version == newest && value != current && !said_before);
        if is_new {
            self.0.push((version, value));
        }
        is_new
    }
}

/// What was said of each instant, by meter.
pub(crate) type ToldValues = BTreeMap<Id, BTreeMap<i64, Told<Value>>>;

pub(super) fn tell(told: &mut ToldValues, reading: &Reading) {
    let Reading { meter, at_ms, unit, from_ms, version, .. } = *reading;
    let value = reading.value.map(|number| Value { number, unit, from_ms });
    told.entry(meter).or_default().entry(at_ms).or_default().take(version, value);
}

/// Lets go of a meter's values below the horizon, but for the last value that a walk can resume from (and, for a register
/// with a limit on power, since when it had that position).
pub(crate) fn forget_values(
    policy: &Policy,
    rows: &Rows,
    told: &mut BTreeMap<i64, Told<Value>>,
    horizon: Period,
) {
    let longest_ms = rows.iter().filter_map(|row| row.interval_ms).max().unwrap_or(0);
    let baseline_ms = horizon.start_ms(policy.period_ms) - longest_ms;
    let mut scan = Scan::new(rows);
    let mut clean: Vec<(i64, Value)> = Vec::new();
    for (&at_ms, told) in told.range(..baseline_ms) {
        let Some(value) = told.holds() else { continue };
        if scan.step(at_ms, &value, &mut |_| ()) {
            clean.push((at_ms, value));
        }
    }
    let anchor = clean.last().copied();
    // Only a limit on power asks since when.
    let is_limited = |at_ms: i64| rows.at(at_ms).is_some_and(|row| row.max_power.is_some());
    let since_ms = anchor.filter(|(at_ms, _)| is_limited(*at_ms)).and_then(|(at_ms, value)| {
        let same = |(earlier_ms, earlier): &&(i64, Value)| {
            same_position(rows, (*earlier_ms, earlier), (at_ms, &value))
        };
        clean.iter().rev().take_while(same).last().map(|(earlier_ms, _)| *earlier_ms)
    });
    let first_kept = anchor.map_or(baseline_ms, |(at_ms, _)| at_ms);
    told.retain(|at_ms, _| *at_ms >= first_kept || Some(*at_ms) == since_ms);
}
