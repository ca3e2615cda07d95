//! Live balances of windows, and the series they are published as.
//!
//! ```text
//! WindowEntry ──► balances by WindowKey ──► series {node, scope, method, window (, gas)} ──► lines
//!                 vanish at zero             sum over what no label tells: gases, depths
//! shares of meters heard of ──────────────► series {node, window} ─────────────────────────► lines
//! ```
//!
//! A series is rewritten only when a balance behind it changed; publishing shares the other lines with
//! what was published before, so that a tick costs what it changed.
//!
//! Remembers one balance a (window, node, depth, scope, method, gas) that is not empty: the size of the
//! tree times the windows, whatever the readings.
//!
//! Of meters heard of, the ratio alone is shown. Each level of the tree has its own, so there is nothing for `PromQL` to
//! add up; two counts would be three times the series for what can be asked of the ledger.

use std::collections::BTreeMap;
use std::sync::Arc;

use differential_dataflow::difference::{IsZero, Semigroup};
use plumeline_pipelines::model::{Emission, Gas, Id, Method, Names, Tick, WindowEntry, WindowKey};
use plumeline_pipelines::reporting::{Share, ShareKey};

use super::catalogue::{AS_OF, CO2E, Definition, ENERGY, GASES, REPORTING, WINDOW_END};
use super::config::LiveConfig;
use super::family::{Family, Key, Value};
use super::text::{grams, joules, line, ratio, seconds, series, write_head};

/// The live balances.
#[derive(Debug)]
pub struct Live {
    config: LiveConfig,
    names: Arc<Names>,
    balances: BTreeMap<WindowKey, Emission>,
    co2e: Family<MassKey, Mass>,
    gases: Family<MassKey, Mass>,
    energy: Family<MassKey, Energy>,
    reporting: Family<ShareKey, Share>,
    /// The deepest level that fits; `None` if not even the roots do.
    shown: Option<u8>,
}

/// One consistent tick of the business series, to be rendered as often as it is scraped.
#[derive(Debug)]
pub struct Published {
    as_of: Tick,
    window_ends: Vec<(String, i64)>,
    co2e: Arc<[Arc<str>]>,
    gases: Arc<[Arc<str>]>,
    energy: Arc<[Arc<str>]>,
    reporting: Arc<[Arc<str>]>,
    /// Series dropped since the start, by metric.
    dropped: Vec<(&'static str, u64)>,
}

impl Live {
    /// No balances yet.
    #[must_use]
    pub fn new(config: LiveConfig, names: Arc<Names>) -> Self {
        Self {
            config,
            names,
            balances: BTreeMap::new(),
            co2e: Family::new(&CO2E),
            gases: Family::new(&GASES),
            energy: Family::new(&ENERGY),
            reporting: Family::new(&REPORTING),
            shown: None,
        }
    }

    /// Adds changes to the balances. Nothing of it is seen before [`Self::publish`].
    pub fn apply(&mut self, entries: &[WindowEntry]) {
        for WindowEntry { key, change, .. } in entries {
            let balance = self.balances.entry(*key).or_default();
            let was_empty = balance.is_zero();
            balance.plus_equals(change);
            let is_empty = balance.is_zero();
            if is_empty {
                self.balances.remove(key);
            }
            let keys = i64::from(was_empty) - i64::from(is_empty);
            let (level, co2e) = ((key.depth, keys), change.co2e.get());
            if key.gas.is_energy() {
                let change = change.mass.get();
                let key = MassKey::of(key, Some(key.gas));
                self.energy.change(key, level, |energy| energy.0.add(change));
                continue;
            }
            self.co2e.change(MassKey::of(key, None), level, |mass| mass.add(co2e));
            // The mass behind `co2e` is unknown: it has no series that could only show a zero.
            if self.config.gases && key.gas != Gas::Co2e {
                let change = change.mass.get();
                let key = MassKey::of(key, Some(key.gas));
                self.gases.change(key, level, |mass| mass.add(change));
            }
        }
    }

    /// Replaces shares of meters that were heard of; `None` where none is expected any more.
    pub fn report(&mut self, changes: impl IntoIterator<Item = (ShareKey, Option<Share>)>) {
        for (key, share) in changes {
            let known = self.reporting.value(&key).map(|share| share.depth);
            let depth = share.map(|share| share.depth);
            if let Some(known) = known.filter(|known| Some(*known) != depth) {
                self.reporting.change(key, (known, -1), |_| ());
            }
            if let Some(share) = share {
                let keys = i64::from(known != depth);
                self.reporting.change(key, (share.depth, keys), |shown| *shown = share);
            }
        }
    }

    /// Publishes the balances as they are, as of a tick. `window_ends_ms` is, by window index, the end of
    /// the last period that each window holds.
    pub fn publish(&mut self, as_of: Tick, window_ends_ms: &[(u8, i64)]) -> Arc<Published> {
        let shown = self.deepest_level_that_fits();
        let relevel = shown != self.shown;
        self.shown = shown;
        self.co2e.refresh(shown, relevel, &self.config, &self.names);
        self.gases.refresh(shown, relevel, &self.config, &self.names);
        self.energy.refresh(shown, relevel, &self.config, &self.names);
        self.reporting.refresh(shown, relevel, &self.config, &self.names);
        let ends = window_ends_ms.iter();
        Arc::new(Published {
            as_of,
            window_ends: ends.map(|&(window, ms)| (self.config.label(window), ms)).collect(),
            co2e: self.co2e.lines(),
            gases: self.gases.lines(),
            energy: self.energy.lines(),
            reporting: self.reporting.lines(),
            dropped: self.dropped(),
        })
    }

    fn dropped(&self) -> Vec<(&'static str, u64)> {
        let masses = [self.co2e.dropped(), self.gases.dropped()];
        let others = [self.energy.dropped(), self.reporting.dropped()];
        masses.into_iter().chain(others).filter(|(_, dropped)| *dropped > 0).collect()
    }

    fn deepest_level_that_fits(&self) -> Option<u8> {
        let mut series = 0;
        let mut deepest = None;
        for level in 0..self.config.depth {
            series += self.co2e.at(level) + self.gases.at(level);
            series += self.energy.at(level) + self.reporting.at(level);
            if series > self.config.max_series {
                break;
            }
            deepest = Some(level);
        }
        deepest
    }
}

impl Published {
    /// The tick that all series are as of.
    #[must_use]
    pub fn as_of(&self) -> Tick {
        self.as_of
    }

    /// How many series there are.
    #[must_use]
    pub fn series(&self) -> usize {
        self.co2e.len() + self.gases.len() + self.energy.len() + self.reporting.len()
    }

    /// Series dropped since the start, by metric.
    pub(super) fn dropped(&self) -> &[(&'static str, u64)] {
        &self.dropped
    }

    pub(super) fn write(&self, text: &mut String) {
        let masses = [(&CO2E, &self.co2e), (&GASES, &self.gases)];
        let families = [(&ENERGY, &self.energy), (&REPORTING, &self.reporting)];
        let families = masses.into_iter().chain(families);
        for (definition, lines) in families {
            if lines.is_empty() {
                continue;
            }
            write_head(text, definition);
            lines.iter().for_each(|line| text.push_str(line));
        }
        if !self.window_ends.is_empty() {
            write_head(text, &WINDOW_END);
            for (window, ms) in &self.window_ends {
                text.push_str(&line(&series(&WINDOW_END, [window.as_str()]), &seconds(*ms)));
            }
        }
        write_head(text, &AS_OF);
        text.push_str(&line(AS_OF.name, &seconds(self.as_of.ms())));
    }
}

#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct MassKey {
    window: u8,
    node: Id,
    scope: u8,
    method: Method,
    gas: Option<Gas>,
}

impl MassKey {
    fn of(key: &WindowKey, gas: Option<Gas>) -> Self {
        let &WindowKey { window, node, scope, method, .. } = key;
        Self { window, node, scope, method, gas }
    }
}

impl Key for MassKey {
    fn series(self, definition: &Definition, config: &LiveConfig, names: &Names) -> String {
        let Self { window, node, scope, method, gas } = self;
        let (node, scope, window) = (names.name(node), scope.to_string(), config.label(window));
        let values = [&*node, scope.as_str(), method.name(), window.as_str()];
        series(definition, values.into_iter().chain(gas.map(Gas::name)))
    }
}

/// 1e-21 kg.
#[derive(Debug, Default)]
struct Mass(i128);

impl Mass {
    fn add(&mut self, change: i128) {
        let sum = self.0.checked_add(change);
        self.0 = sum.expect("bounds checked at the border keep every balance inside its integer");
    }
}

impl Value for Mass {
    fn text(&self) -> String {
        grams(self.0)
    }
}

/// 1e-21 kWh.
#[derive(Debug, Default)]
struct Energy(Mass);

impl Value for Energy {
    fn text(&self) -> String {
        joules(self.0.0)
    }
}

impl Key for ShareKey {
    fn series(self, definition: &Definition, config: &LiveConfig, names: &Names) -> String {
        let Self { window, node } = self;
        series(definition, [&*names.name(node), config.label(window).as_str()])
    }
}

impl Value for Share {
    fn text(&self) -> String {
        ratio(self.heard, self.expected)
    }
}

#[cfg(test)]
mod tests;
