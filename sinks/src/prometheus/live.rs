//! Live balances of windows, and the series they are published as.
//!
//! ```text
//! WindowEntry ──► balances by WindowKey ──► series {node, scope, method, window (, gas)} ──► lines
//!                 vanish at zero             sum over what no label tells: gases, depths
//! ```
//!
//! A series is rewritten only when a balance behind it changed; publishing shares the other lines with
//! what was published before, so that a tick costs what it changed.
//!
//! Remembers one balance a (window, node, depth, scope, method, gas) that is not empty: the size of the
//! tree times the windows, whatever the readings.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use differential_dataflow::difference::{IsZero, Semigroup};
use plumeline_pipelines::model::{Emission, Gas, Id, Method, Names, Tick, WindowEntry, WindowKey};

use super::catalogue::{AS_OF, CO2E, Definition, GASES, WINDOW_END};
use super::text::{grams, seconds, series, write_head};

/// What is shown of the live balances.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LiveConfig {
    /// Levels of the node tree, from the root: 3 shows depths 0, 1 and 2.
    pub depth: u8,
    /// Whether masses of single gases are shown.
    pub gases: bool,
    /// How many series there may be at most.
    pub max_series: usize,
    /// By window index: its label. Index 0 is `open`.
    pub windows: Vec<String>,
}

/// The live balances.
#[derive(Debug)]
pub struct Live {
    config: LiveConfig,
    names: Arc<Names>,
    balances: BTreeMap<WindowKey, Emission>,
    co2e: Family,
    gases: Family,
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
            self.co2e.change(series_of(key, None), key.depth, change.co2e.get(), keys);
            // The mass behind `co2e` is unknown: it has no series that could only show a zero.
            if self.config.gases && key.gas != Gas::Co2e {
                let mass = change.mass.get();
                self.gases.change(series_of(key, Some(key.gas)), key.depth, mass, keys);
            }
        }
    }

    /// Publishes the balances as they are, as of a tick. `window_ends_ms` is, by window index, the end of
    /// the last period that each window holds.
    pub fn publish(&mut self, as_of: Tick, window_ends_ms: &[(u8, i64)]) -> Arc<Published> {
        let shown = self.deepest_level_that_fits();
        let relevel = shown != self.shown;
        self.shown = shown;
        for family in [&mut self.co2e, &mut self.gases] {
            family.refresh(shown, relevel, &self.config, &self.names);
        }
        let ends = window_ends_ms.iter();
        Arc::new(Published {
            as_of,
            window_ends: ends.map(|&(window, ms)| (self.config.label(window), ms)).collect(),
            co2e: Arc::clone(&self.co2e.lines),
            gases: Arc::clone(&self.gases.lines),
            dropped: [&self.co2e, &self.gases]
                .into_iter()
                .filter(|family| family.dropped_total > 0)
                .map(|family| (family.definition.name, family.dropped_total))
                .collect(),
        })
    }

    fn deepest_level_that_fits(&self) -> Option<u8> {
        let mut series = 0;
        let mut deepest = None;
        for level in 0..self.config.depth {
            let count = |family: &Family| family.levels.get(&level).copied().unwrap_or(0);
            series += count(&self.co2e) + count(&self.gases);
            if series > self.config.max_series {
                break;
            }
            deepest = Some(level);
        }
        deepest
    }
}

impl LiveConfig {
    fn label(&self, window: u8) -> String {
        let label = self.windows.get(usize::from(window));
        label.map_or_else(|| window.to_string(), Clone::clone)
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
        self.co2e.len() + self.gases.len()
    }

    /// Series dropped since the start, by metric.
    pub(super) fn dropped(&self) -> &[(&'static str, u64)] {
        &self.dropped
    }

    pub(super) fn write(&self, text: &mut String) {
        for (definition, lines) in [(&CO2E, &self.co2e), (&GASES, &self.gases)] {
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

fn line(series: &str, value: &str) -> String {
    format!("{series} {value}\n")
}

#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct SeriesKey {
    window: u8,
    node: Id,
    scope: u8,
    method: Method,
    gas: Option<Gas>,
}

fn series_of(key: &WindowKey, gas: Option<Gas>) -> SeriesKey {
    let &WindowKey { window, node, scope, method, .. } = key;
    SeriesKey { window, node, scope, method, gas }
}

/// The series of one metric.
#[derive(Debug)]
struct Family {
    definition: &'static Definition,
    series: BTreeMap<SeriesKey, Series>,
    changed: BTreeSet<SeriesKey>,
    /// How many series each level of the tree has.
    levels: BTreeMap<u8, usize>,
    lines: Arc<[Arc<str>]>,
    dropped: usize,
    dropped_total: u64,
}

#[derive(Debug, Default)]
struct Series {
    /// 1e-21 kg.
    balance: i128,
    /// How many balances lie behind it at each depth: a node that moved is at two for a while.
    keys_by_depth: BTreeMap<u8, i64>,
    labels: String,
    line: Option<Arc<str>>,
}

impl Series {
    /// The level it is shown or dropped with: the highest its node has.
    fn level(&self) -> Option<u8> {
        self.keys_by_depth.keys().next().copied()
    }
}

impl Family {
    fn new(definition: &'static Definition) -> Self {
        Self {
            definition,
            series: BTreeMap::new(),
            changed: BTreeSet::new(),
            levels: BTreeMap::new(),
            lines: Arc::from([]),
            dropped: 0,
            dropped_total: 0,
        }
    }

    /// Adds `change` to a series behind which `keys` more balances lie than before.
    fn change(&mut self, key: SeriesKey, depth: u8, change: i128, keys: i64) {
        let series = self.series.entry(key).or_default();
        let before = series.level();
        series.balance = series
            .balance
            .checked_add(change)
            .expect("bounds checked at the border keep every balance inside its integer");
        if keys != 0 {
            let count = series.keys_by_depth.entry(depth).or_default();
            *count += keys;
            if *count == 0 {
                series.keys_by_depth.remove(&depth);
            }
        }
        let after = series.level();
        if after.is_none() {
            self.series.remove(&key);
        }
        if before != after {
            self.count(before, after);
        }
        self.changed.insert(key);
    }

    fn count(&mut self, before: Option<u8>, after: Option<u8>) {
        if let Some(level) = before
            && let Some(count) = self.levels.get_mut(&level)
        {
            *count -= 1;
        }
        if let Some(level) = after {
            *self.levels.entry(level).or_default() += 1;
        }
    }

    /// Rewrites the lines of what changed, and the list of lines if it did.
    fn refresh(&mut self, shown: Option<u8>, relevel: bool, config: &LiveConfig, names: &Names) {
        let changed = std::mem::take(&mut self.changed);
        if changed.is_empty() && !relevel {
            return;
        }
        for key in changed {
            let Some(series) = self.series.get_mut(&key) else {
                continue;
            };
            if series.labels.is_empty() {
                series.labels = labels(self.definition, key, config, names);
            }
            series.line = Some(line(&series.labels, &grams(series.balance)).into());
        }
        let is_shown = |series: &Series| series.level() <= shown && series.level().is_some();
        let lines = self.series.values().filter(|series| is_shown(series));
        self.lines = lines.filter_map(|series| series.line.as_ref().map(Arc::clone)).collect();
        // What `depth` leaves out was not asked for; what `max_series` leaves out is counted.
        let wanted: usize = self.levels.range(..config.depth).map(|(_, count)| count).sum();
        let dropped = wanted - self.lines.len();
        let newly = u64::try_from(dropped.saturating_sub(self.dropped)).unwrap_or(u64::MAX);
        self.dropped_total = self.dropped_total.saturating_add(newly);
        self.dropped = dropped;
    }
}

fn labels(
    definition: &'static Definition,
    key: SeriesKey,
    config: &LiveConfig,
    names: &Names,
) -> String {
    let (node, scope, window) =
        (names.name(key.node), key.scope.to_string(), config.label(key.window));
    let values = [&*node, scope.as_str(), key.method.name(), window.as_str()];
    series(definition, values.into_iter().chain(key.gas.map(Gas::name)))
}

#[cfg(test)]
mod tests;
