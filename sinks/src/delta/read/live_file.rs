//! A file that is there to be read.

use plumeline_pipelines::model::time::DAY_MS;
use plumeline_pipelines::model::{Cause, Tick};

use crate::delta::place::{FileName, folder_day_ms};
use crate::delta::table::TableName;

/// A live file, in the order in which they are read.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct LiveFile {
    /// No row of it is of an earlier cut.
    pub(super) first: Tick,
    /// No row of it is of a later cut.
    pub(super) last: Tick,
    pub(super) table: TableName,
    /// As the log has it, below the table's root.
    pub(super) path: String,
}

impl LiveFile {
    pub(super) fn new(table: TableName, path: String) -> Self {
        let (first, last) = match FileName::parse(table, &path) {
            Some(name) => (name.first(), name.last()),
            // Somebody else merged files: all of them were of this day.
            None => folder_day_ms(&path).map_or((Tick::ZERO, Tick(u64::MAX - 1)), |ms| {
                (Tick::new(ms, Cause::Time), Tick::new(ms + DAY_MS - 1, Cause::Cut))
            }),
        };
        Self { first, last, table, path }
    }

    /// Whether all its rows are of one cut.
    pub(super) fn is_of_one_cut(&self) -> bool {
        self.first == self.last
    }
}
