//! The series of one metric: a value each, and its line.
//!
//! ```text
//! change ──► value, levels ──► refresh: lines of what changed ──► lines of the levels that fit, shared
//! ```
//!
//! 1. A series is rewritten only when its value changed; all other lines are shared with what was published before.
//! 2. It belongs to the highest level its node has: a node that moved is at two for a while.
//! 3. What `max_series` leaves out is counted when it is dropped, and not again while it stays out.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;
use std::sync::Arc;

use plumeline_pipelines::model::Names;

use super::catalogue::Definition;
use super::config::LiveConfig;
use super::text::line;

/// What tells the series of a metric apart.
pub(super) trait Key: Copy + Debug + Ord {
    /// The series as a line begins with it.
    fn series(self, definition: &Definition, config: &LiveConfig, names: &Names) -> String;
}

/// What a series shows.
pub(super) trait Value: Debug + Default {
    /// As a line ends with it.
    fn text(&self) -> String;
}

/// See the module's documentation.
#[derive(Debug)]
pub(super) struct Family<K, V> {
    definition: &'static Definition,
    series: BTreeMap<K, Series<V>>,
    changed: BTreeSet<K>,
    /// How many series each level of the tree has.
    levels: BTreeMap<u8, usize>,
    lines: Arc<[Arc<str>]>,
    dropped: usize,
    dropped_total: u64,
}

#[derive(Debug, Default)]
struct Series<V> {
    value: V,
    /// How much lies behind it at each depth: a node that moved is at two for a while.
    keys_by_depth: BTreeMap<u8, i64>,
    labels: String,
    line: Option<Arc<str>>,
}

impl<V> Series<V> {
    /// The level it is shown or dropped with: the highest its node has.
    fn level(&self) -> Option<u8> {
        self.keys_by_depth.keys().next().copied()
    }
}

impl<K: Key, V: Value> Family<K, V> {
    /// No series yet.
    pub(super) fn new(definition: &'static Definition) -> Self {
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

    /// Changes a series behind which, at `depth`, lie `keys` more things than before. One with nothing behind it
    /// is gone.
    pub(super) fn change(&mut self, key: K, (depth, keys): (u8, i64), change: impl FnOnce(&mut V)) {
        let series = self.series.entry(key).or_default();
        let before = series.level();
        change(&mut series.value);
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

    /// The value of a series.
    pub(super) fn value(&self, key: &K) -> Option<&V> {
        self.series.get(key).map(|series| &series.value)
    }

    /// How many series there are at a level.
    pub(super) fn at(&self, level: u8) -> usize {
        self.levels.get(&level).copied().unwrap_or(0)
    }

    /// The lines, as of the last refresh.
    pub(super) fn lines(&self) -> Arc<[Arc<str>]> {
        Arc::clone(&self.lines)
    }

    /// The metric, and how many of its series were dropped since the start.
    pub(super) fn dropped(&self) -> (&'static str, u64) {
        (self.definition.name, self.dropped_total)
    }

    /// Rewrites the lines of what changed, and the list of lines if it did.
    pub(super) fn refresh(
        &mut self,
        shown: Option<u8>,
        relevel: bool,
        config: &LiveConfig,
        names: &Names,
    ) {
        let changed = std::mem::take(&mut self.changed);
        if changed.is_empty() && !relevel {
            return;
        }
        for key in changed {
            let Some(series) = self.series.get_mut(&key) else {
                continue;
            };
            if series.labels.is_empty() {
                series.labels = key.series(self.definition, config, names);
            }
            series.line = Some(line(&series.labels, &series.value.text()).into());
        }
        let is_shown = |series: &Series<V>| series.level() <= shown && series.level().is_some();
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
