//! Where the rows of a batch go.

use std::collections::BTreeMap;

use plumeline_pipelines::model::{GwpSet, Tick};

use super::CutRows;
use super::columns::Texts;
use super::window::Window;

/// See the module's documentation.
pub(super) struct Put<'p> {
    pub(super) until: Option<Tick>,
    pub(super) window: Window,
    pub(super) cuts: Vec<Tick>,
    pub(super) pending: &'p mut BTreeMap<Tick, CutRows>,
}

impl Put<'_> {
    /// Tables may be ahead of `activity`: what no commit of it covers is not there yet.
    fn takes(&self, cut: Tick) -> bool {
        Some(cut) <= self.until && self.window.holds(cut)
    }

    /// All CO2e of a cut is in one GWP set.
    pub(super) fn gwp(&mut self, sets: &Texts) -> Result<(), String> {
        let mut last = None;
        for row in 0..self.cuts.len() {
            let cut = self.cuts[row];
            if !self.takes(cut) || last == Some((cut, sets.at(row)?)) {
                continue;
            }
            last = Some((cut, sets.at(row)?));
            let set = sets.parsed(row, GwpSet::parse)?;
            let of_cut = *self.pending.entry(cut).or_default().gwp.get_or_insert(set);
            if of_cut != set {
                let (one, other) = (of_cut.name(), set.name());
                return Err(format!("column `gwp` says {one} and {other} in one cut"));
            }
        }
        Ok(())
    }

    /// Adds rows to the lists of their cuts.
    pub(super) fn all<R>(&mut self, rows: Vec<R>, list: fn(&mut CutRows) -> &mut Vec<R>) {
        for (index, row) in rows.into_iter().enumerate() {
            let cut = self.cuts[index];
            if self.takes(cut) {
                list(self.pending.entry(cut).or_default()).push(row);
            }
        }
    }
}
