//! What the live windows hold, plainly: every period is asked whether it is in.

use std::collections::BTreeMap;

use super::{History, View, add};
use crate::engine::stays;
use crate::model::{Cause, Emission, NodeKey, Tick, WindowKey};
use crate::stages::to_date::{booked, stays_to_date};

/// As of when it is asked, and of what.
#[derive(Copy, Clone, Debug)]
pub(super) struct Stay {
    pub(super) tick: Tick,
    /// Whether windows are told by gas.
    pub(super) by_gas: bool,
    /// Whether the period lies above the horizon.
    pub(super) is_retained: bool,
}

impl History {
    /// Adds what the windows `open` and those of a span hold: of what is known now.
    pub(super) fn count_rolling(
        &self,
        tick: Tick,
        by_gas: bool,
        windows: &mut BTreeMap<WindowKey, Emission>,
    ) {
        for (key, emission) in &self.snapshot(tick, View::Live, self.gwp(tick)).nodes {
            for (window, enters_ms, leaves_ms) in stays(&self.policy, key.period) {
                let (enters, leaves) =
                    (Tick::new(enters_ms, Cause::Time), Tick::new(leaves_ms, Cause::Time));
                if enters <= tick && tick < leaves {
                    let NodeKey { node, depth, scope, method, gas, .. } = *key;
                    let gas = gas.shown(by_gas);
                    add(windows, WindowKey { window, node, depth, scope, method, gas }, emission);
                }
            }
        }
    }

    /// Adds an emission to the windows to date that hold its period, as it is booked: above the horizon as known
    /// now, below it as it froze or was restated, and then without what it rests on.
    pub(super) fn count_to_date(
        &self,
        key: &NodeKey,
        emission: &Emission,
        stay: Stay,
        windows: &mut BTreeMap<WindowKey, Emission>,
    ) {
        let Stay { tick, by_gas, is_retained } = stay;
        let period_ms = self.policy.period_ms;
        if Tick::new(key.period.end_ms(period_ms), Cause::Time) > tick {
            return;
        }
        let emission = if is_retained { *emission } else { booked(emission) };
        for (window, leaves_ms) in stays_to_date(&self.policy, key.period.start_ms(period_ms)) {
            if tick < Tick::new(leaves_ms, Cause::Time) {
                let NodeKey { node, depth, scope, method, gas, .. } = *key;
                let gas = gas.shown(by_gas);
                add(windows, WindowKey { window, node, depth, scope, method, gas }, &emission);
            }
        }
    }
}
