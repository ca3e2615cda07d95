//! The ledger as others read it: `DuckDB` through `plumeline views`, and Python's `deltalake`.
//!
//! Decimals come as text and are compared as integers of their last digit: a float would hide exactly the
//! mistakes that these tests look for.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::Rig;

/// Balances: names of a key, then its sums in units of their last digit.
pub(crate) type Balances = BTreeMap<Vec<String>, Vec<i128>>;

/// Runs the script on standard input, then prints the rows of each query of the arguments. Without the progress
/// bar that `DuckDB` draws among the rows of a slow query.
const DUCKDB: &str = r#"
import sys, duckdb
lake = duckdb.connect()
lake.execute("SET enable_progress_bar = false")
lake.execute("SET TimeZone = 'UTC'")
lake.execute(sys.stdin.read())
for query in sys.argv[1:]:
    for row in lake.execute(query).fetchall():
        print("\t".join("" if field is None else str(field) for field in row))
"#;

/// Registers the Delta table of each argument `name=url`, then prints the rows of the query on standard
/// input.
const DELTALAKE: &str = r#"
import os, sys, duckdb, deltalake
options = {k: v for k, v in os.environ.items() if k.startswith("AWS_")}
lake = duckdb.connect()
lake.execute("SET enable_progress_bar = false")
lake.execute("SET TimeZone = 'UTC'")
for argument in sys.argv[1:]:
    name, url = argument.split("=", 1)
    table = deltalake.DeltaTable(url, storage_options=options)
    lake.register(name, table.to_pyarrow_table())
for row in lake.execute(sys.stdin.read()).fetchall():
    print("\t".join("" if field is None else str(field) for field in row))
"#;

/// Balances of `activity`.
pub(crate) const ACTIVITY: (&str, usize) = (
    "SELECT epoch_ms(period_start), node, subject, subject_kind, unit, \
     CAST(sum(amount) AS VARCHAR), CAST(sum(covered_ms) AS VARCHAR) \
     FROM activity GROUP BY period_start, node, subject, subject_kind, unit",
    5,
);
/// Balances of `emissions`.
pub(crate) const EMISSIONS: (&str, usize) = (
    "SELECT epoch_ms(period_start), node, subject, subject_kind, unit, scope, category, method, gas, \
     factor, factor_revision, CAST(rate_kg_per_unit AS VARCHAR), \
     CAST(sum(mass_kg) AS VARCHAR), CAST(sum(co2e_kg) AS VARCHAR) \
     FROM emissions GROUP BY period_start, node, subject, subject_kind, unit, scope, category, method, \
     gas, factor, factor_revision, rate_kg_per_unit",
    12,
);
/// Balances of `footprints`.
pub(crate) const FOOTPRINTS: (&str, usize) = (
    "SELECT epoch_ms(period_start), epoch_ms(period_end), node, depth, scope, category, method, gas, \
     CAST(sum(mass_kg) AS VARCHAR), CAST(sum(co2e_kg) AS VARCHAR) \
     FROM footprints GROUP BY period_start, period_end, node, depth, scope, category, method, gas",
    8,
);

/// Rows of fields, as text; a null is an empty text.
pub(crate) type Rows = Vec<Vec<String>>;

/// The rows of a query on the views of the rig's pipeline.
pub(crate) fn query(rig: &Rig, python: &Path, query: &str) -> Rows {
    let views = rig.plumeline(&["views"]);
    let problems = String::from_utf8_lossy(&views.stderr);
    assert!(views.status.success(), "{problems}");
    python_rows(python, &["-c", DUCKDB, query], &views.stdout, &[])
}

/// The only field of a query's only row.
pub(crate) fn one(rig: &Rig, python: &Path, text: &str) -> String {
    let rows = query(rig, python, text);
    assert_eq!((rows.len(), rows[0].len()), (1, 1), "{text}: {rows:?}");
    rows[0][0].clone()
}

/// The rows of a query on Delta tables at `root`, read by `deltalake`.
pub(crate) fn query_delta(
    python: &Path,
    root: &str,
    tables: &[&str],
    query: &str,
    env: &[(&str, String)],
) -> Rows {
    let mut words = vec!["-c".to_owned(), DELTALAKE.to_owned()];
    words.extend(tables.iter().map(|table| format!("{table}={root}/{table}")));
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    python_rows(python, &words, query.as_bytes(), env)
}

fn python_rows(python: &Path, words: &[&str], input: &[u8], env: &[(&str, String)]) -> Rows {
    let mut child = Command::new(python)
        .args(words)
        .envs(env.iter().map(|(name, value)| (name, value)))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("python starts");
    child.stdin.take().expect("piped").write_all(input).expect("it reads its input");
    let output = child.wait_with_output().expect("it ends");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).expect("text");
    text.lines().map(|line| line.split('\t').map(str::to_owned).collect()).collect()
}

/// Rows as balances, the first `key_columns` of each being its key; balances of nothing are left out.
pub(crate) fn balances(rows: Rows, key_columns: usize) -> Balances {
    let balance = |mut row: Vec<String>| {
        let sums = row.split_off(key_columns);
        (row, sums.iter().map(|sum| last_digits(sum)).collect::<Vec<_>>())
    };
    let is_something = |(_, sums): &(_, Vec<i128>)| sums.iter().any(|sum| *sum != 0);
    rows.into_iter().map(balance).filter(is_something).collect()
}

/// `-1.250` as -1250; a null, the mass nobody published, as 0.
fn last_digits(decimal: &str) -> i128 {
    if decimal.is_empty() {
        return 0;
    }
    decimal.replace('.', "").parse().unwrap_or_else(|_| panic!("`{decimal}` is a decimal"))
}

/// The Python that reads ledgers, or a line that says what is missing.
pub(crate) fn reader() -> Option<PathBuf> {
    crate::support::python()
}

/// Compares balances and shows the first few that differ.
#[track_caller]
pub(crate) fn assert_same(what: &str, found: &Balances, expected: &Balances) {
    let differs = |(key, sums): &(&Vec<String>, &Vec<i128>)| expected.get(*key) != Some(*sums);
    let wrong: Vec<_> = found.iter().filter(differs).take(5).collect();
    let missing: Vec<_> = expected.keys().filter(|key| !found.contains_key(*key)).take(5).collect();
    assert!(
        wrong.is_empty() && missing.is_empty(),
        "{what}: {} balances, {} expected\nwrong: {:#?}\nexpected: {:#?}\nmissing: {missing:#?}",
        found.len(),
        expected.len(),
        wrong,
        wrong.iter().map(|(key, _)| expected.get(*key)).collect::<Vec<_>>(),
    );
}
