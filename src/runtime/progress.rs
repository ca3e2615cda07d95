//! How a pipeline does, for people and summaries.

use std::collections::BTreeMap;

/// A footprint of an upper node in a window.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Footprint {
    /// The node.
    pub node: String,
    /// 1, 2, 3, or 0 for outside of scopes.
    pub scope: u8,
    /// `any`, `location`, `market`.
    pub method: &'static str,
    /// `open`, or as the pipeline file names it.
    pub window: String,
    /// Grams of CO2 equivalents.
    pub grams: i128,
}

/// How a pipeline does at the moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Elements received so far, by the name of their outcome.
    pub outcomes: BTreeMap<&'static str, u64>,
    /// From sealing to publishing, of the newest seal, ms on the wall.
    pub tick_lag_ms: i64,
    /// Live footprints of the upper levels of the tree.
    pub footprints: Vec<Footprint>,
    /// Entries of `emissions` that restated something booked before.
    pub restatements: u64,
    /// CO2e that restatements added, grams.
    pub restated_up_grams: i128,
    /// CO2e that restatements took off, grams.
    pub restated_down_grams: i128,
    /// The newest committed cut, ms since the Unix epoch.
    pub committed_ms: Option<i64>,
}
