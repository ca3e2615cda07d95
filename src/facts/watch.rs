//! Notices that a table's file has changed, once it has stopped changing.
//!
//! 1. Every poll observes size and time of modification of each file.
//! 2. A state that differs from the one last reported, and was the same in two polls running, is reported.
//!    Without the second look a file would be read while it is being copied.
//! 3. A file that is gone is a state like others: the reader says so, and the last good rows stay.

use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::{TABLES, Table, table_path};
use crate::config::Tables;

/// What distinguishes two states of a file; `None` if it is not there.
pub type Stamp = Option<(u64, SystemTime)>;

/// A table whose file has changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableChanged {
    /// The table.
    pub table: Table,
    /// Its file.
    pub path: PathBuf,
}

/// One file's states.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stability {
    reported: Stamp,
    last: Stamp,
}

impl Stability {
    /// Starts from `stamp`, which counts as reported.
    #[must_use]
    pub fn new(stamp: Stamp) -> Self {
        Self { reported: stamp, last: stamp }
    }

    /// Takes in the file's state; whether it is new and has settled.
    pub fn observe(&mut self, stamp: Stamp) -> bool {
        let has_settled = stamp == self.last && stamp != self.reported;
        self.last = stamp;
        if has_settled {
            self.reported = stamp;
        }
        has_settled
    }
}

/// The files of a pipeline's tables. Poll it every second.
#[derive(Clone, Debug)]
pub struct Watcher(Vec<(TableChanged, Stability)>);

impl Watcher {
    /// Watches `tables`. Where `is_known`, what they are now counts as reported: make it before they are read
    /// for the first time, so that a change in between is noticed. Else they are reported once they have
    /// settled, like any change.
    #[must_use]
    pub fn new(tables: &Tables, is_known: bool) -> Self {
        let watched = TABLES.into_iter().filter_map(|table| {
            let path = table_path(tables, table)?.clone();
            let stability = Stability::new(if is_known { stamp(&path) } else { None });
            Some((TableChanged { table, path }, stability))
        });
        Self(watched.collect())
    }

    /// Whether what was last seen of every file has been reported.
    #[must_use]
    pub fn has_settled(&self) -> bool {
        self.0.iter().all(|(changed, stability)| stability.reported == stamp(&changed.path))
    }

    /// The tables whose files have changed and settled since they were last reported.
    pub fn poll(&mut self) -> Vec<TableChanged> {
        let settled = self.0.iter_mut().filter_map(|(changed, stability)| {
            stability.observe(stamp(&changed.path)).then(|| changed.clone())
        });
        settled.collect()
    }
}

/// The state of the file at `path`.
fn stamp(path: &Path) -> Stamp {
    let metadata = std::fs::metadata(path).ok()?;
    Some((metadata.len(), metadata.modified().unwrap_or(SystemTime::UNIX_EPOCH)))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[expect(clippy::unnecessary_wraps, reason = "a stamp is that of a file that may be absent")]
    fn at(size: u64, second: u64) -> Stamp {
        Some((size, SystemTime::UNIX_EPOCH + Duration::from_secs(second)))
    }

    #[test]
    fn a_change_is_reported_once_it_has_settled_and_once() {
        let mut file = Stability::new(at(10, 1));
        let seen = [
            at(10, 1),
            at(20, 2),
            at(30, 2),
            at(30, 2),
            at(30, 2),
            None,
            None,
            None,
            at(30, 2),
            at(30, 2),
        ];
        let reported: Vec<bool> = seen.into_iter().map(|stamp| file.observe(stamp)).collect();
        assert_eq!(reported, [false, false, false, true, false, false, true, false, false, true]);
    }

    #[test]
    fn a_glimpse_of_nothing_while_a_file_is_replaced_is_no_change() {
        let mut file = Stability::new(at(10, 1));
        assert!(!file.observe(None) && !file.observe(at(10, 1)) && !file.observe(at(10, 1)));
    }

    #[test]
    fn files_are_looked_at() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("nodes.csv");
        std::fs::write(&path, "node,parent\n").unwrap();
        let tables = Tables { nodes: Some(path.clone()), ..Tables::default() };
        let mut watcher = Watcher::new(&tables, true);
        assert_eq!(watcher.poll(), []);
        std::fs::write(&path, "node,parent\na,\n").unwrap();
        assert_eq!(watcher.poll(), []);
        assert_eq!(watcher.poll(), [TableChanged { table: Table::Nodes, path }]);
        assert_eq!(watcher.poll(), []);
    }
}
