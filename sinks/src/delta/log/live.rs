//! What a table is made of: its live files, as its log has them.

use delta_kernel::scan::state::ScanFile;

use super::TableLog;
use crate::delta::engine::Engine;
use crate::delta::error::LakeError;

/// A live file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::delta) struct LiveFile {
    /// Below the table's root, URL-escaped.
    pub(in crate::delta) path: String,
    pub(in crate::delta) bytes: u64,
    /// `None` where the log does not say.
    pub(in crate::delta) rows: Option<u64>,
}

impl TableLog {
    /// Calls `visit` with each live file, in no order: a table may have a million, so they are not gathered.
    pub(in crate::delta) fn each_file(
        &self,
        engine: &Engine,
        visit: impl FnMut(LiveFile),
    ) -> Result<(), LakeError> {
        let failed = |error| LakeError::log(self.table, "list the files")(error);
        let scan = self.snapshot().scan_builder().build().map_err(failed)?;
        let mut visit = visit;
        for files in scan.scan_metadata(&*engine.kernel).map_err(failed)? {
            let found = files.and_then(|files| files.visit_scan_files(Vec::new(), collect));
            found.map_err(failed)?.into_iter().for_each(&mut visit);
        }
        Ok(())
    }

    /// Paths (URL-escaped, below the table's root) of those files that make up the table which are
    /// `wanted`: a table may have a million.
    pub(in crate::delta) fn live_files<F: Fn(&str) -> bool>(
        &self,
        engine: &Engine,
        wanted: F,
    ) -> Result<Vec<String>, LakeError> {
        let mut paths = Vec::new();
        self.each_file(engine, |file| {
            if wanted(&file.path) {
                paths.push(file.path);
            }
        })?;
        paths.sort_unstable();
        Ok(paths)
    }
}

/// Gathers the files of one batch of the log.
fn collect(files: &mut Vec<LiveFile>, file: ScanFile) {
    files.push(LiveFile {
        path: file.path,
        bytes: u64::try_from(file.size).unwrap_or_default(),
        rows: file.stats.map(|stats| stats.num_records),
    });
}
