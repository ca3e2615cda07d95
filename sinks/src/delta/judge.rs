//! Whose a version of a table's log is, and whether the ledger survives it: a pure decision about one
//! entry's text.

use std::collections::BTreeSet;

use plumeline_pipelines::model::Tick;
use serde_json::Value;

/// Whose a version of the log is.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(super) enum Version {
    /// It carries our marker, and our files.
    Ours,
    /// It moves data without changing it.
    Harmless,
}

/// Judges one entry of the log; the error says what a foreign one changes.
///
/// With `ours`, a version under our `txn` must add exactly those files; without, any is ours.
pub(super) fn judge(
    entry: &[u8],
    app_id: &str,
    ours: Option<&BTreeSet<String>>,
) -> Result<Version, &'static str> {
    let (mut is_marked, mut changes, mut added) = (false, None, BTreeSet::new());
    for line in entry.split(|&byte| byte == b'\n').filter(|line| !line.is_empty()) {
        let action: Value = serde_json::from_slice(line).map_err(|_| "is not readable")?;
        let changes_data = |action: &Value| action["dataChange"].as_bool().unwrap_or(true);
        if let Some(add) = action.get("add") {
            added.insert(file_name(add["path"].as_str().unwrap_or_default()));
            if changes_data(add) {
                changes = Some("adds data");
            }
        }
        if action.get("remove").is_some_and(changes_data) {
            changes = Some("removes data");
        }
        if action.get("metaData").is_some() || action.get("protocol").is_some() {
            changes = changes.or(Some("changes the table's columns or properties"));
        }
        is_marked |= action.get("txn").is_some_and(|txn| txn["appId"] == app_id);
    }
    match (is_marked, changes) {
        (true, _) if ours.is_none_or(|ours| *ours == added) => Ok(Version::Ours),
        (true, _) => Err("carries our marker"),
        (false, Some(what)) => Err(what),
        (false, None) => Ok(Version::Harmless),
    }
}

/// The cut of an entry that carries our marker, and the names of the files it adds.
pub(super) fn marked(entry: &[u8], app_id: &str) -> Option<(Tick, BTreeSet<String>)> {
    let lines = entry.split(|&byte| byte == b'\n').filter(|line| !line.is_empty());
    let (mut cut, mut added) = (None, BTreeSet::new());
    for action in lines.map(serde_json::from_slice::<Value>) {
        let action = action.ok()?;
        let txn = action.get("txn").filter(|txn| txn["appId"] == app_id);
        cut = cut.or_else(|| txn?["version"].as_u64().map(Tick));
        added.extend(action["add"]["path"].as_str().map(file_name));
    }
    cut.map(|cut| (cut, added))
}

/// The name of the file at a path of the log.
pub(super) fn file_name(path: &str) -> String {
    path.rsplit('/').next().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(entry: &str, ours: Option<&[&str]>) -> Result<Version, &'static str> {
        let ours = ours.map(|ours| ours.iter().map(|&name| name.to_owned()).collect());
        judge(entry.as_bytes(), "acme/activity", ours.as_ref())
    }

    const MARK: &str = r#"{"txn":{"appId":"acme/activity","version":7}}"#;
    const ADD: &str = r#"{"add":{"path":"recorded_date=2026-01-01/a.parquet","dataChange":true}}"#;

    #[test]
    fn an_optimize_is_harmless_and_data_is_not() {
        let optimize = concat!(
            r#"{"commitInfo":{"operation":"OPTIMIZE"}}"#,
            "\n",
            r#"{"remove":{"path":"a.parquet","dataChange":false}}"#,
            "\n",
            r#"{"add":{"path":"b.parquet","dataChange":false}}"#,
        );
        assert_eq!(judged(optimize, None), Ok(Version::Harmless));
        assert_eq!(judged(ADD, None), Err("adds data"));
        let delete = r#"{"remove":{"path":"a.parquet","dataChange":true}}"#;
        assert_eq!(judged(delete, None), Err("removes data"));
        assert!(judged(r#"{"metaData":{}}"#, None).is_err());
        assert!(judged("no json", None).is_err());
    }

    #[test]
    fn our_marker_counts_only_with_our_files() {
        let entry = format!("{MARK}\n{ADD}\n");
        assert_eq!(judged(&entry, Some(&["a.parquet"])), Ok(Version::Ours));
        assert_eq!(judged(&entry, Some(&["b.parquet"])), Err("carries our marker"));
        assert_eq!(judged(&entry, None), Ok(Version::Ours));
    }
    #[test]
    fn an_entry_tells_its_cut_and_its_files_to_its_owner() {
        let entry = format!("{MARK}\n{ADD}\n");
        let files = BTreeSet::from(["a.parquet".to_owned()]);
        assert_eq!(marked(entry.as_bytes(), "acme/activity"), Some((Tick(7), files)));
        assert_eq!(marked(entry.as_bytes(), "other/activity"), None);
        assert_eq!(marked(ADD.as_bytes(), "acme/activity"), None);
    }
}
