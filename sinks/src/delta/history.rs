//! What a cut was committed with, as its entry of the log tells it.
//!
//! Cuts ascend with versions, so a search by halves reads some twenty entries of a million. Versions of
//! others (an OPTIMIZE) carry no cut: the next one below that does is looked at instead. Entries that
//! somebody cleaned up behind a checkpoint are the oldest: the search goes on above them.

use std::collections::BTreeSet;

use plumeline_pipelines::model::Tick;

use super::engine::Engine;
use super::error::LakeError;
use super::judge::marked;
use super::log::TableLog;

/// A version of ours.
struct Committed {
    version: u64,
    cut: Tick,
    files: BTreeSet<String>,
}

impl TableLog {
    /// Names of the files that `cut` was committed with; `None` if no entry that is left has that cut.
    pub(super) fn files_of(
        &self,
        engine: &Engine,
        cut: Tick,
    ) -> Result<Option<BTreeSet<String>>, LakeError> {
        // The first version made the table.
        let (mut lowest, mut highest) = (1, self.version());
        while lowest <= highest {
            let middle = lowest + (highest - lowest) / 2;
            match self.committed_at(engine, lowest, middle)? {
                Some(found) if found.cut == cut => return Ok(Some(found.files)),
                Some(found) if found.cut > cut => highest = found.version - 1,
                _ => lowest = middle + 1,
            }
        }
        Ok(None)
    }

    /// Our newest version from `lowest` to `highest`.
    fn committed_at(
        &self,
        engine: &Engine,
        lowest: u64,
        highest: u64,
    ) -> Result<Option<Committed>, LakeError> {
        for version in (lowest..=highest).rev() {
            let Ok(entry) = self.read_entry(engine, version)? else { return Ok(None) };
            if let Some((cut, files)) = marked(&entry, &self.app_id()) {
                return Ok(Some(Committed { version, cut, files }));
            }
        }
        Ok(None)
    }
}
