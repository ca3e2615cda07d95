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

/// A commit that may have reached the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Attempt {
    pub(super) cut: Tick,
    /// Their names.
    pub(super) files: BTreeSet<String>,
}

/// Why a version is not to be built upon.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(super) enum Foreign {
    /// Somebody changed the table, and how.
    Changed(&'static str),
    /// It carries our marker, and is not ours: another process of the same pipeline.
    OtherWriter,
}

/// How this program calls itself in a log.
const OURS: &str = "plumeline/";
/// What a version does that changes more than rows.
const COLUMNS: &str = "changes the table's columns or properties";

/// Judges one entry of the log.
///
/// With `ours`, a version under our `txn` must be of exactly that cut and those files: all others of ours
/// were known before it was tried. Files alone do not tell, for a cut without rows has none. Without `ours`,
/// any version under our `txn` is ours. A version of this program, of whatever version, that says nothing but which
/// columns there are gave the table those that came later; that they are the right ones is for whoever reads it next.
pub(super) fn judge(
    entry: &[u8],
    app_id: &str,
    ours: Option<&Attempt>,
) -> Result<Version, Foreign> {
    let (mut mark, mut changes, mut added) = (None, None, BTreeSet::new());
    let (mut is_by_us, mut has_columns) = (false, false);
    for line in entry.split(|&byte| byte == b'\n').filter(|line| !line.is_empty()) {
        let action: Value =
            serde_json::from_slice(line).map_err(|_| Foreign::Changed("is not readable"))?;
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
        if action.get("protocol").is_some() {
            changes = changes.or(Some(COLUMNS));
        }
        has_columns |= action.get("metaData").is_some();
        let by = action["commitInfo"]["engineInfo"].as_str();
        is_by_us |= by.is_some_and(|engine| engine.starts_with(OURS));
        let txn = action.get("txn").filter(|txn| txn["appId"] == app_id);
        mark = mark.or_else(|| Some(Tick(txn?["version"].as_u64().unwrap_or_default())));
    }
    let adds_columns = is_by_us && added.is_empty();
    let changes = changes.or_else(|| (has_columns && !adds_columns).then_some(COLUMNS));
    match (mark, changes) {
        (Some(cut), _) => {
            let found = Attempt { cut, files: added };
            let is_ours = ours.is_none_or(|ours| *ours == found);
            if is_ours { Ok(Version::Ours) } else { Err(Foreign::OtherWriter) }
        }
        (None, Some(what)) => Err(Foreign::Changed(what)),
        (None, None) => Ok(Version::Harmless),
    }
}

/// The name of the file at a path of the log.
pub(super) fn file_name(path: &str) -> String {
    path.rsplit('/').next().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(entry: &str, ours: Option<(u64, &[&str])>) -> Result<Version, Foreign> {
        let ours = ours.map(|(cut, files)| Attempt {
            cut: Tick(cut),
            files: files.iter().map(|&name| name.to_owned()).collect(),
        });
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
        assert_eq!(judged(ADD, None), Err(Foreign::Changed("adds data")));
        let delete = r#"{"remove":{"path":"a.parquet","dataChange":true}}"#;
        assert_eq!(judged(delete, None), Err(Foreign::Changed("removes data")));
        assert!(judged(r#"{"metaData":{}}"#, None).is_err());
        let by = |engine| {
            let info = format!(r#"{{"commitInfo":{{"engineInfo":"{engine}"}}}}"#);
            move |rest: &str| judged(&format!("{info}\n{rest}"), None)
        };
        let columns = r#"{"metaData":{}}"#;
        assert_eq!(by("plumeline/0.1.0")(columns), Ok(Version::Harmless));
        assert!(by("another engine")(columns).is_err());
        assert!(by("plumeline/0.1.0")(&format!("{columns}\n{ADD}")).is_err());
        assert!(by("plumeline/0.1.0")(&format!("{columns}\n{{\"protocol\":{{}}}}")).is_err());
        assert!(judged("no json", None).is_err());
    }

    #[test]
    fn our_marker_counts_only_with_our_cut_and_our_files() {
        let entry = format!("{MARK}\n{ADD}\n");
        assert_eq!(judged(&entry, Some((7, &["a.parquet"]))), Ok(Version::Ours));
        assert_eq!(judged(&entry, Some((7, &["b.parquet"]))), Err(Foreign::OtherWriter));
        assert_eq!(judged(&entry, Some((8, &["a.parquet"]))), Err(Foreign::OtherWriter));
        assert_eq!(judged(&entry, None), Ok(Version::Ours));
        // Two processes that have nothing to write are two all the same.
        assert_eq!(judged(MARK, Some((7, &[]))), Ok(Version::Ours));
        assert_eq!(judged(MARK, Some((6, &[]))), Err(Foreign::OtherWriter));
    }
}
