//! The ledger as other programs read it: `DuckDB` through the views, and Python's `deltalake`.
//!
//! Skipped with a line where Python or one of the two is missing; with `PLUMELINE_REQUIRE_SERVERS=1` that
//! is a failure.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use plumeline_pipelines::model::{
    ActivityEntry, ActivityKey, Calendar, Cause, Emission, EmissionEntry, EmissionKey,
    FootprintEntry, FootprintKey, Gas, GwpSet, Line, Measure, Method, Names, Period, Policy,
    Reason, RejectEntry, RejectEvent, Retain, Sources, Subject, Tick, Unit,
};
use plumeline_sinks::delta::{Compression, Lake, LakeConfig, Rows, views_script};

/// 2026-01-01T00:00:00Z.
const START_MS: i64 = 1_767_225_600_000;
const DAY_MS: i64 = 86_400_000;
const RATE: i64 = 400_123_456_789;
const LINE: Line = Line {
    scope: 2,
    category: 0,
    method: Method::Location,
    gas: Gas::Co2e,
    revision: 1,
    rate: RATE,
};

fn config(folder: &Path, compression: Compression) -> LakeConfig {
    LakeConfig {
        url: folder.to_str().expect("UTF-8").into(),
        compression,
        pipeline: "acme".into(),
        timezone: jiff::tz::TimeZone::get("America/New_York").expect("bundled"),
        policy: Policy {
            period_ms: 900_000,
            grace_ms: 900_000,
            retain: Retain::of(35 * DAY_MS),
            samples_ms: 7 * DAY_MS,
            windows_ms: vec![3_600_000],
            calendar: Calendar::default(),
            gwp: GwpSet::Ar6,
        },
        also_gwp: vec![GwpSet::Ar4],
        sources: Sources::new(["plant"]),
        readings: true,
        replay_clock: false,
        workers: 2,
    }
}

fn cut(index: i64) -> Tick {
    Tick::new(START_MS + index * DAY_MS / 2, Cause::Cut)
}

/// Runs a Python script with arguments and returns what it prints, or `None` where it cannot run.
fn python(script: &str, arguments: &[&str]) -> Option<String> {
    let probe = Command::new("python3").args(["-c", "import duckdb, deltalake"]).output();
    let can_run = probe.as_ref().is_ok_and(|output| output.status.success());
    if !can_run {
        let is_required = std::env::var("PLUMELINE_REQUIRE_SERVERS").is_ok_and(|v| v == "1");
        assert!(!is_required, "Python with duckdb and deltalake is required: {probe:?}");
        eprintln!("skipped: Python with duckdb and deltalake is not installed");
        return None;
    }
    // Ends without waiting for threads of the libraries: some do not survive the end of the interpreter.
    let script = format!("{script}\nimport os\nsys.stdout.flush()\nos._exit(0)\n");
    let output = Command::new("python3")
        .arg("-c")
        .arg(&script)
        .args(arguments)
        .output()
        .expect("Python starts");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    Some(String::from_utf8(output.stdout).expect("UTF-8"))
}

const QUERIES: &str = r"
import sys, duckdb
script = open(sys.argv[1]).read()
for zone in ('UTC', 'Asia/Tokyo'):
    connection = duckdb.connect()
    connection.execute('SET enable_progress_bar = false')
    connection.execute(f'SET TimeZone = \'{zone}\'')
    connection.execute(script)
    for query in open(sys.argv[2]).read().split(';'):
        for row in connection.execute(query).fetchall():
            print('|'.join('' if value is None else str(value) for value in row))
";

/// The rows that `DuckDB` gives for the queries, which must not depend on the session's time zone.
fn duckdb(folder: &Path, views: &str, queries: &[&str]) -> Option<Vec<String>> {
    let [views_path, queries_path] = ["views.sql", "queries.sql"].map(|name| folder.join(name));
    std::fs::write(&views_path, views).expect("written");
    std::fs::write(&queries_path, queries.join(";")).expect("written");
    let paths = [&views_path, &queries_path].map(|path| path.to_str().expect("UTF-8"));
    let printed = python(QUERIES, &paths)?;
    let lines: Vec<_> = printed.lines().map(str::to_owned).collect();
    let (utc, tokyo) = lines.split_at(lines.len() / 2);
    assert_eq!(utc, tokyo);
    Some(utc.to_vec())
}

struct Ledger {
    names: Arc<Names>,
    amounts: i128,
    co2e: i128,
}

impl Ledger {
    /// Entries of one cut: meters that were booked, or restated to other amounts.
    fn write(&mut self, lake: &mut Lake, index: i64, reason: Reason) {
        let mut writer = lake.begin(cut(index));
        for part in 0..2 {
            let (mut activities, mut emissions, mut co2e) = (Vec::new(), Vec::new(), 0);
            for meter in 0..50_i128 {
                let key = self.activity_key(&format!("m-{part}-{meter}"));
                let amount = (meter - 20) * 1_234_567_890_123 + i128::from(index);
                let change = Measure { amount: amount.into(), covered_ms: 900_000, presence: 1 };
                activities.push(ActivityEntry { key, reason, change });
                let mass = amount * i128::from(RATE);
                let change = Emission { mass: 0.into(), co2e: mass.into(), presence: 1 };
                let key = EmissionKey { activity: key, line: LINE };
                emissions.push(EmissionEntry { key, reason, change });
                self.amounts += amount;
                co2e += mass;
            }
            self.co2e += co2e;
            let key = self.footprint_key();
            let change = Emission { mass: 0.into(), co2e: co2e.into(), presence: 50 };
            for rows in [
                Rows::Activity(activities),
                Rows::Emissions(emissions),
                Rows::Footprints(vec![FootprintEntry { key, change }]),
            ] {
                writer.append(part, rows).expect("taken");
            }
        }
        writer.commit().expect("committed");
    }

    fn activity_key(&self, meter: &str) -> ActivityKey {
        ActivityKey {
            // 04:45 UTC is still the day before in New York.
            period: Period::of(START_MS + 17_100_000, 900_000),
            node: self.names.intern("site"),
            subject: Subject::Meter(self.names.intern(meter)),
            unit: Unit::parse("kWh").expect("a unit"),
            factor: self.names.intern("grid"),
        }
    }

    fn footprint_key(&self) -> FootprintKey {
        FootprintKey {
            start_ms: START_MS + 4 * 3_600_000,
            end_ms: START_MS + 5 * 3_600_000,
            node: self.names.intern("site"),
            depth: 1,
            scope: LINE.scope,
            category: LINE.category,
            method: LINE.method,
            gas: LINE.gas,
        }
    }
}

fn decimal(value: i128, scale: usize) -> String {
    let digits = format!("{:0>width$}", value.unsigned_abs(), width = scale + 1);
    let (whole, fraction) = digits.split_at(digits.len() - scale);
    format!("{}{whole}.{fraction}", if value < 0 { "-" } else { "" })
}

#[test]
fn duckdb_adds_up_exactly_what_was_written() {
    let folder = tempfile::tempdir().expect("a folder");
    for compression in
        [Compression::Zstd, Compression::Snappy, Compression::Lz4Raw, Compression::None]
    {
        let root = folder.path().join(format!("it's a [{compression:?}] lake"));
        let config = config(&root, compression);
        let names = Arc::new(Names::new());
        let mut lake = Lake::open(config.clone(), Arc::clone(&names)).expect("a lake");
        let mut ledger = Ledger { names, amounts: 0, co2e: 0 };
        ledger.write(&mut lake, 0, Reason::Booked);
        let known_first = ledger.co2e;
        ledger.write(&mut lake, 2, Reason::Restated);
        let views = views_script(&config, None).expect("views");
        let queries = [
            "SELECT count(*), sum(amount), min(period_date), max(recorded_date) FROM activity",
            "SELECT sum(a.amount * e.rate_kg_per_unit) - sum(e.co2e_kg), sum(e.co2e_kg), count(mass_kg) \
             FROM activity a JOIN emissions e USING (recorded_at, node, subject, period_start, unit)",
            "SELECT co2e_kg, mass_kg FROM footprint_location WHERE node = 'site'",
            "SELECT count(*) FROM footprint_market",
            "SELECT co2e_kg FROM as_known_on(DATE '2026-01-01')",
            "SELECT co2e_kg FROM as_known_at(TIMESTAMPTZ '2026-01-01 23:59:59+00')",
            "SELECT co2e_kg FROM changes_since(DATE '2026-01-01')",
            "SELECT count(*), min(reason) FROM restated_since(DATE '2025-01-01')",
            "SELECT count(*), count(corrects_recorded_at), max(corrects_reason), sum(change_kg), \
             max(before_kg + change_kg - after_kg) FROM corrections",
            "SELECT gwp_set, sum(g.co2e_kg) = sum(l.co2e_kg) FROM footprints_by_gwp g JOIN footprint_location l \
             USING (node, period_start) WHERE node = 'site' GROUP BY 1 ORDER BY 1",
            "SELECT count(*), count(DISTINCT calc_id), min(length(calc_id)), min(rate_kg_per_unit) FROM lineage",
            "SELECT potential FROM gwp100 WHERE gas = 'ch4_fossil' ORDER BY gwp_set",
            "SELECT count(*) FROM readings",
            "SELECT typeof(amount), typeof(recorded_at) FROM activity LIMIT 1",
        ];
        let (amounts, co2e) = (decimal(ledger.amounts, 9), decimal(ledger.co2e, 21));
        let change = decimal(ledger.co2e - known_first, 21);
        let known_first = decimal(known_first, 21);
        let expected = vec![
            format!("200|{amounts}|2025-12-31|2026-01-02"),
            format!("0E-21|{co2e}|0"),
            format!("{co2e}|"),
            "0".into(),
            known_first.clone(),
            known_first,
            change,
            "100|restated".into(),
            format!("200|100|booked|{co2e}|0E-21"),
            "ar4|True".into(),
            "ar6|True".into(),
            format!("1|1|32|{}", decimal(RATE.into(), 12)),
            "25.0".into(),
            "30.0".into(),
            "29.8".into(),
            "0".into(),
            "DECIMAL(20,9)|TIMESTAMP WITH TIME ZONE".into(),
        ];
        let Some(rows) = duckdb(folder.path(), &views, &queries) else {
            return;
        };
        assert_eq!(rows, expected, "{compression:?}");
        let before = views_script(&config, Some(cut(2).ms() - 1)).expect("views");
        let rows = duckdb(folder.path(), &before, &["SELECT count(*) FROM activity"]);
        assert_eq!(rows.as_deref(), Some(["100".to_owned()].as_slice()));
    }
}

#[test]
fn duckdb_runs_the_views_of_a_lake_without_rows() {
    let folder = tempfile::tempdir().expect("a folder");
    let config = config(&folder.path().join("lake"), Compression::Zstd);
    let missing = views_script(&config, None).expect("views of nothing");
    drop(Lake::open(config.clone(), Arc::new(Names::new())).expect("a lake"));
    let empty = views_script(&config, None).expect("views of empty tables");
    for views in [missing, empty] {
        let queries = [
            "SELECT count(*), sum(amount) FROM activity",
            "SELECT count(*) FROM footprint_location",
            "SELECT count(*) FROM as_known_on(DATE '2026-01-01')",
            "SELECT count(*) FROM changes_since(DATE '2026-01-01')",
        ];
        let Some(rows) = duckdb(folder.path(), &views, &queries) else {
            return;
        };
        assert_eq!(rows, ["0|", "0", "0", "0"]);
    }
}

const DELTALAKE: &str = r"
import os, sys
from deltalake import DeltaTable
for table in ('activity', 'emissions', 'footprints', 'readings', 'rejects', 'meters', 'factors', 'nodes'):
    log = DeltaTable(os.path.join(sys.argv[1], table))
    marker = log.transaction_version(f'acme/{table}')
    print(table, log.version(), log.count(), marker, sep='|')
log = DeltaTable(os.path.join(sys.argv[1], 'rejects'))
log = DeltaTable(os.path.join(sys.argv[1], 'activity'))
print(log.metadata().partition_columns, log.metadata().configuration['delta.appendOnly'])
checkpoints = [name for name in os.listdir(os.path.join(sys.argv[1], 'activity', '_delta_log')) if 'checkpoint' in name]
print(sorted(checkpoints))
";

#[test]
fn deltalake_reads_the_tables_also_behind_a_checkpoint() {
    let folder = tempfile::tempdir().expect("a folder");
    let config = config(folder.path(), Compression::Zstd);
    let names = Arc::new(Names::new());
    let mut lake = Lake::open(config.clone(), Arc::clone(&names)).expect("a lake");
    let mut ledger = Ledger { names: Arc::clone(&names), amounts: 0, co2e: 0 };
    ledger.write(&mut lake, 0, Reason::Booked);
    for index in 1..=205 {
        let mut writer = lake.begin(cut(index));
        let reject = RejectEntry {
            source: 0,
            position: u64::try_from(index).expect("positive"),
            element: 0,
            event: RejectEvent::Rejected,
            reason: format!("`{index}` is not a unit"),
            raw: vec![0xff, 0],
        };
        writer.append(0, Rows::Rejects(vec![reject])).expect("taken");
        writer.commit().expect("committed");
    }
    drop(lake);
    let lake = Lake::open(config, names).expect("the same lake");
    assert_eq!(lake.committed(), Some(cut(205)));
    let Some(printed) = python(DELTALAKE, &[folder.path().to_str().expect("UTF-8")]) else {
        return;
    };
    let (first, last) = (cut(0).0, cut(205).0);
    let expected = [
        format!("activity|206|100|{last}"),
        format!("emissions|1|100|{first}"),
        format!("footprints|1|2|{first}"),
        "readings|0|0|None".into(),
        format!("rejects|205|205|{last}"),
        "meters|0|0|None".into(),
        "factors|0|0|None".into(),
        "nodes|0|0|None".into(),
        "['recorded_date'] true".into(),
        "['00000000000000000100.checkpoint.parquet', '00000000000000000200.checkpoint.parquet', \
         '_last_checkpoint']"
            .into(),
    ];
    assert_eq!(printed.lines().collect::<Vec<_>>(), expected);
}

/// Compacts tables, and deletes the files that were compacted. `activity` carries domain metadata, which not
/// every version of `deltalake` can write: it may refuse to touch it.
const OPTIMIZE: &str = r"
import os, sys
from deltalake import DeltaTable
from deltalake.exceptions import CommitFailedError
for table in ('activity', 'emissions', 'footprints'):
    log = DeltaTable(os.path.join(sys.argv[1], table))
    try:
        compacted = log.optimize.compact()['numFilesRemoved'] > 0
        log.vacuum(retention_hours=0, enforce_retention_duration=False, dry_run=False)
    except CommitFailedError as error:
        compacted = table == 'activity' and 'DomainMetadata' in str(error)
    print(table, compacted, sep='|')
";

#[test]
fn somebodys_optimize_and_vacuum_in_between_change_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let config = config(&folder.path().join("lake"), Compression::Zstd);
    let names = Arc::new(Names::new());
    let mut lake = Lake::open(config.clone(), Arc::clone(&names)).expect("a lake");
    let mut ledger = Ledger { names: Arc::clone(&names), amounts: 0, co2e: 0 };
    let compacted = ["activity|True", "emissions|True", "footprints|True"];
    // Under a process that is running, and between two.
    for index in 0..4 {
        ledger.write(&mut lake, 2 * index, Reason::Booked);
        ledger.write(&mut lake, 2 * index + 1, Reason::Restated);
        let Some(printed) = python(OPTIMIZE, &[&config.url]) else {
            return;
        };
        assert_eq!(printed.lines().collect::<Vec<_>>(), compacted);
        if index % 2 == 1 {
            drop(lake);
            lake = Lake::open(config.clone(), Arc::clone(&names)).expect("the same lake");
        }
    }
    ledger.write(&mut lake, 8, Reason::Booked);
    assert_eq!(lake.committed(), Some(cut(8)));
    let views = views_script(&config, None).expect("views");
    let queries = [
        "SELECT count(*), sum(amount) FROM activity",
        "SELECT count(*), sum(co2e_kg) FROM emissions",
        "SELECT co2e_kg FROM footprint_location WHERE node = 'site'",
    ];
    let Some(rows) = duckdb(folder.path(), &views, &queries) else {
        return;
    };
    let (amounts, co2e) = (decimal(ledger.amounts, 9), decimal(ledger.co2e, 21));
    assert_eq!(rows, [format!("900|{amounts}"), format!("900|{co2e}"), co2e]);
}

/// Counts and adds up tables as they are, and `activity` at each version there ever was.
const COMPACTED: &str = r"
import os, sys, duckdb
from deltalake import DeltaTable
for table in ('activity', 'emissions', 'footprints'):
    log = DeltaTable(os.path.join(sys.argv[1], table))
    rows = log.to_pyarrow_table()
    column = 'amount' if table == 'activity' else 'co2e_kg'
    total = duckdb.sql(f'SELECT count(*), sum({column}) FROM rows').fetchall()[0]
    print(table, *total, len(log.file_uris()), sep='|')
path = os.path.join(sys.argv[1], 'activity')
versions = DeltaTable(path).version()
print(*(DeltaTable(path, version=version).to_pyarrow_table().num_rows for version in range(versions + 1)))
";

#[test]
fn others_read_what_was_compacted_as_it_is_and_as_it_was() {
    let folder = tempfile::tempdir().expect("a folder");
    for compression in [Compression::Zstd, Compression::Snappy] {
        let config = config(&folder.path().join(format!("{compression:?}")), compression);
        let names = Arc::new(Names::new());
        let mut lake = Lake::open(config.clone(), Arc::clone(&names)).expect("a lake");
        let mut ledger = Ledger { names, amounts: 0, co2e: 0 };
        let mut known = Vec::new();
        for index in 0..6 {
            ledger.write(&mut lake, index, Reason::Booked);
            known.push((ledger.amounts, ledger.co2e));
        }
        let views_before = views_script(&config, None).expect("views");
        let mut compactor = lake.compactor(3_600_000);
        while compactor.step(&|| true).expect("a local lake is merged").is_some() {}
        let views = views_script(&config, None).expect("views");
        let earlier = views_script(&config, Some(cut(3).ms() - 1)).expect("views");
        let queries = [
            "SELECT count(*), sum(amount), max(recorded_date) FROM activity",
            "SELECT count(*), sum(co2e_kg), typeof(min(co2e_kg)) FROM emissions",
            "SELECT sum(a.amount * e.rate_kg_per_unit) - sum(e.co2e_kg) \
             FROM activity a JOIN emissions e USING (recorded_at, node, subject, period_start, unit)",
            "SELECT co2e_kg FROM footprint_location WHERE node = 'site'",
            "SELECT co2e_kg FROM as_known_on(DATE '2026-01-01')",
        ];
        let Some(before) = duckdb(folder.path(), &views_before, &queries) else {
            return;
        };
        // What was merged is still there, so the script of a while ago still runs.
        for views in [&views, &views_before] {
            assert_eq!(duckdb(folder.path(), views, &queries), Some(before.clone()));
        }
        let (amounts, co2e) = (decimal(known[5].0, 9), decimal(known[5].1, 21));
        assert_eq!(before[0], format!("600|{amounts}|2026-01-03"));
        assert_eq!(before[1], format!("600|{co2e}|DECIMAL(38,21)"));
        // Two days are merged, and the first hour of the third; its last cut has two parts.
        assert_eq!(views.matches("/activity-0").count(), 2 + 1 + 2);
        let rows = duckdb(folder.path(), &earlier, &queries[..1]).expect("it ran before");
        assert_eq!(rows, [format!("300|{}|2026-01-02", decimal(known[2].0, 9))]);
        assert_eq!(earlier.matches("/activity-0").count(), 2);

        let printed = python(COMPACTED, &[&config.url]).expect("it ran before");
        let expected = [
            format!("activity|600|{amounts}|5"),
            format!("emissions|600|{co2e}|5"),
            format!("footprints|12|{co2e}|5"),
            // One version made the table, six are cuts, three merged a day or an hour each.
            "0 100 200 300 400 500 600 600 600 600".into(),
        ];
        assert_eq!(printed.lines().collect::<Vec<_>>(), expected);
    }
}
