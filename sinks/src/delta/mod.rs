//! The ledger: Delta tables of Parquet files, each cut committed exactly once.
//!
//! ```text
//!            append(part, rows)                       commit()
//! entries ─────────────────────► row groups ─► files ──────────► meters, factors, nodes, readings,
//!  of a cut   sort, encode        in memory     │                 rejects, footprints, emissions: txn = cut
//!                                               └─► store         then activity: txn = cut, always
//!                                                                 then _latest.json
//! ```
//!
//! 1. **Rows of a cut become files** that no reader sees yet: a file is part of a table when a version of
//!    its log names it. Without this, a crash would leave half a cut.
//! 2. **Each table's version carries `txn {pipeline/table, cut}`**, and is created only if absent. Without
//!    the marker, a commit whose answer was lost would be made twice.
//! 3. **`activity` commits last, and always**, also without rows: its marker says that every table has the
//!    cut. Without it, nobody could tell a table without rows from one that is behind.
//! 4. **What is unclear is read back**, never deleted, never blindly repeated (see `log.rs`).
//! 5. **`_latest.json`** names the cut and each table's version, for readers without a Delta library. It
//!    follows the commit and is no part of it.
//!
//! 6. **Small files of closed hours are merged** beside the commits, to files sorted for those who ask, without changing
//!    data (see `compact.rs`).
//! 7. **Files that no version holds**, since they were merged or a commit crashed, are deleted a week later, when
//!    nobody can need them any more (see `vacuum.rs`); the log forgets versions after a week (see `log/expire.rs`).
//! 8. **Locks of reports** lie beside the tables, each written once (see `reports.rs`).
//!
//! Every call that failed with a transient error may be made again. `recorded_at` of every row is the cut.

mod column;
mod compact;
mod contracts;
mod cut;
mod encoder;
mod engine;
mod error;
mod evidence;
mod fact_columns;
mod facts;
#[cfg(test)]
mod faults_tests;
#[cfg(test)]
mod faulty;
mod file;
mod judge;
mod lake;
mod log;
mod place;
mod probe;
mod proof;
mod read;
mod removed;
mod reports;
mod rows;
mod table;
#[cfg(test)]
mod tests;
mod vacuum;
#[cfg(test)]
mod vacuum_tests;
mod views;

pub use compact::{Compacted, Compactor};
pub use cut::{CommitStats, CutWriter, TableStats};
pub use error::LakeError;
pub use file::Compression;
pub use lake::{Lake, LakeConfig};
pub use proof::{Positions, Proof, Resume, TableDigest};
pub use read::{Asked, Booked, CutRows, LakeReader};
pub use reports::{ReportName, Reports};
pub use rows::{FactEntry, Rows};
pub use table::TableName;
pub use views::views_script;
