//! However and whenever files are merged, the tables hold what they held. (What may fail meanwhile: `faults_tests.rs`.)

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use delta_kernel::Snapshot;
use delta_kernel::scan::state::ScanFile;
use object_store::ObjectStore;
use plumeline_pipelines::digest::{Digest, Table};
use plumeline_pipelines::model::time::DAY_MS;
use plumeline_pipelines::model::{Cause, Names, ReadingEntry, Tick};

use super::{Compacted, Compactor};
use crate::delta::engine::Engine;
use crate::delta::faults_tests::rows_of;
use crate::delta::faulty::Faulty;
use crate::delta::judge::file_name;
use crate::delta::lake::Lake;
use crate::delta::log::TableLog;
use crate::delta::place::{FileName, LogFile};
use crate::delta::tests::{Memory, config, reading, write_everything};
use crate::delta::{LakeError, Rows, TableDigest, TableName};

pub(super) const HOUR_MS: i64 = 3_600_000;
pub(super) const MINUTE_MS: i64 = 60_000;
/// 2100-01-01T00:00:00Z: a week of then is past for whatever a store or a clock of today has seen.
const START_MS: i64 = 4_102_444_800_000;

pub(super) fn at(ms: i64) -> Tick {
    Tick::new(START_MS + ms, Cause::Cut)
}

/// A lake in memory whose store fails on demand.
pub(super) struct Bench {
    pub(super) store: Arc<Faulty>,
    pub(super) memory: Memory,
}

impl Bench {
    fn new() -> Self {
        let store = Faulty::new();
        let names = Arc::new(Names::new());
        let memory = Memory { store: Arc::clone(&store) as Arc<dyn ObjectStore>, names };
        Self { store, memory }
    }

    fn engine(&self) -> Engine {
        Engine::new(self.memory.place()).expect("an engine")
    }

    /// Commits a cut with rows for every table, and digests that name it.
    pub(super) fn commit(&self, lake: &mut Lake, cut: Tick) {
        self.try_commit(lake, cut).expect("committed");
    }

    fn try_commit(&self, lake: &mut Lake, cut: Tick) -> Result<(), LakeError> {
        let mut writer = lake.begin(cut);
        write_everything(&mut writer, &self.memory.names);
        writer.prove(lake.committed(), digests(cut))?;
        writer.commit().map(drop)
    }

    /// What every table holds, as text, sorted.
    pub(super) fn held(&self) -> BTreeMap<TableName, Vec<String>> {
        let engine = self.engine();
        let held = TableName::ALL.map(|table| {
            let live = log_of(&engine, table).live_files(&engine, |_| true).expect("files");
            let mut rows = rows_of(&engine, table, &live);
            rows.sort_unstable();
            (table, rows)
        });
        held.into()
    }

    pub(super) fn live(&self, table: TableName) -> Vec<String> {
        let engine = self.engine();
        log_of(&engine, table).live_files(&engine, |_| true).expect("files")
    }

    fn live_everywhere(&self) -> BTreeMap<TableName, Vec<String>> {
        TableName::ALL.map(|table| (table, self.live(table))).into()
    }

    /// What a table held at a version.
    fn held_at(&self, table: TableName, version: u64) -> Vec<String> {
        let engine = self.engine();
        let snapshot = Snapshot::builder_for(engine.place.table(table)).at_version(version);
        let snapshot = snapshot.build(&*engine.kernel).expect("the version can be read");
        let scan = snapshot.scan_builder().build().expect("a scan");
        let mut paths = Vec::new();
        for files in scan.scan_metadata(&*engine.kernel).expect("files") {
            let collect = |paths: &mut Vec<String>, file: ScanFile| paths.push(file.path);
            paths = files.and_then(|f| f.visit_scan_files(paths, collect)).expect("files");
        }
        let mut rows = rows_of(&engine, table, &paths);
        rows.sort_unstable();
        rows
    }
}

fn log_of(engine: &Engine, table: TableName) -> TableLog {
    let owner = config("memory:///lake").owner();
    TableLog::find(engine, table, &owner).expect("a log").expect("a table")
}

fn digests(cut: Tick) -> BTreeMap<Table, TableDigest> {
    let digest = Digest::parse(&format!("{:032x}", cut.0)).expect("a digest");
    [(Table::Activity, TableDigest { all: digest, live: digest })].into()
}

/// Merges until there is nothing left to do.
pub(super) fn compact(compactor: &mut Compactor) -> Vec<Compacted> {
    let mut steps = Vec::new();
    while let Some(step) = compactor.step(&|| true).expect("nothing fails") {
        assert!(step.files_out <= step.files_in && step.files_in > 0, "{step:?}");
        steps.push(step);
    }
    steps
}

/// Commits at these instants, ms; `meanwhile` hears of each.
pub(super) fn run(instants: &[i64], mut meanwhile: impl FnMut(&Bench, &mut Lake, usize)) -> Bench {
    let bench = Bench::new();
    let mut lake = bench.memory.open();
    for (index, &ms) in instants.iter().enumerate() {
        bench.commit(&mut lake, at(ms));
        meanwhile(&bench, &mut lake, index);
    }
    bench
}

/// A cut every ten minutes of six hours, and some of the next two days.
pub(super) fn instants() -> Vec<i64> {
    let first = (1..36).map(|index| index * 10 * MINUTE_MS);
    first.chain([DAY_MS + HOUR_MS, DAY_MS + HOUR_MS + 1_000, 2 * DAY_MS + 2 * HOUR_MS]).collect()
}

#[test]
fn compacting_at_any_moment_changes_no_row() {
    let instants = instants();
    let expected = run(&instants, |_, _, _| ()).held();
    for every in [1, 7, instants.len()] {
        let mut compactor = None;
        let mut merged = 0;
        let bench = run(&instants, |_, lake, index| {
            if (index + 1) % every == 0 {
                let compactor = compactor.get_or_insert_with(|| lake.compactor(HOUR_MS));
                merged += compact(compactor).len();
            }
        });
        assert!(merged > TableName::ALL.len(), "{every}");
        assert_eq!(bench.held(), expected, "every {every}");
        let lake = bench.memory.open();
        let newest = at(*instants.last().expect("some"));
        assert!(lake.committed_tables().values().all(|cut| *cut == Some(newest)));
        let proof = lake.proof().expect("it is read").expect("there is one");
        assert_eq!((proof.upper, proof.digests), (newest, digests(newest)));
        assert_eq!(proof.lower, Some(at(instants[instants.len() - 2])));
    }
}

#[test]
fn a_second_pass_does_nothing_also_in_another_process() {
    let bench = run(&instants(), |_, _, _| ());
    let lake = bench.memory.open();
    let mut compactor = lake.compactor(HOUR_MS);
    assert!(!compact(&mut compactor).is_empty());
    let (live, versions) = (bench.live_everywhere(), lake.versions());
    // One file a day that is over, and the files of the last cut.
    assert_eq!(live[&TableName::Activity].len(), 2 + 2);
    assert_eq!(live[&TableName::Readings].len(), 2 + 1);
    assert_eq!(compactor.step(&|| true).expect("nothing fails"), None);
    let lake = bench.memory.open();
    assert!(compact(&mut lake.compactor(HOUR_MS)).is_empty());
    assert_eq!(lake.versions(), versions);
    assert_eq!(bench.live_everywhere(), live);
}

#[test]
fn no_partition_is_crossed_and_what_is_young_is_left_alone() {
    let bench = run(&instants(), |_, _, _| ());
    let lake = bench.memory.open();
    compact(&mut lake.compactor(3 * HOUR_MS));
    for path in bench.live(TableName::Activity) {
        let name = FileName::parse(TableName::Activity, &path).expect("one of ours");
        assert_eq!(name.relative(), format!("activity/{path}"));
        assert_eq!(name.first().ms() / DAY_MS, name.last().ms() / DAY_MS);
        // The last cut is younger than three hours, and so is its slot.
        let is_merged = matches!(name, FileName::Merged(_));
        assert_eq!(is_merged, name.first() < at(2 * DAY_MS), "{path}");
    }
}

#[test]
fn versions_carry_no_mark_and_change_no_data() {
    let bench = run(&instants(), |_, _, _| ());
    let lake = bench.memory.open();
    let before = lake.versions();
    let steps = compact(&mut lake.compactor(HOUR_MS));
    let engine = bench.engine();
    let mut optimized = 0;
    for (table, version) in lake.versions() {
        let log = log_of(&engine, table);
        for version in before[&table] + 1..=version {
            let entry = log.read_entry(&engine, version).expect("read").expect("there");
            let entry = String::from_utf8(entry).expect("text");
            let actions: Vec<serde_json::Value> =
                entry.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
            for action in &actions {
                assert!(action.get("txn").is_none() && action.get("domainMetadata").is_none());
                assert!(action.get("metaData").is_none() && action.get("protocol").is_none());
                for moved in ["add", "remove"].iter().filter_map(|kind| action.get(kind)) {
                    assert_eq!(moved["dataChange"], false);
                }
            }
            let operation = |a: &&serde_json::Value| a["commitInfo"]["operation"] == "OPTIMIZE";
            optimized += actions.iter().filter(operation).count();
        }
    }
    assert_eq!(optimized, steps.len());
}

#[test]
fn old_versions_can_be_read_until_the_vacuum_and_the_ledger_after_it() {
    let mut before = BTreeMap::new();
    let bench = run(&instants(), |bench, lake, index| {
        if index % 12 == 0 {
            let version = lake.versions()[&TableName::Activity];
            before.insert(version, bench.held_at(TableName::Activity, version));
        }
    });
    let held = bench.held();
    let mut lake = bench.memory.open();
    compact(&mut lake.compactor(HOUR_MS));
    for (version, rows) in &before {
        assert_eq!(&bench.held_at(TableName::Activity, *version), rows);
    }
    // The files were taken out today, as the kernel's clock says, and the ledger is in 2100.
    bench.commit(&mut lake, at(20 * DAY_MS));
    let old = bench.live_everywhere();
    let held_now = bench.held();
    let objects = |bench: &Bench| -> BTreeSet<String> {
        let engine = bench.engine();
        let root = engine.place.path("").expect("a root");
        let listed = engine.block_on(async {
            use futures::stream::TryStreamExt;
            engine.place.store.list(Some(&root)).try_collect::<Vec<_>>().await.expect("a list")
        });
        let data = listed.into_iter().map(|object| object.location.to_string());
        data.filter(|path| path.contains("recorded_date=")).collect()
    };
    let all = objects(&bench);
    let live = old.values().map(Vec::len).sum::<usize>();
    assert!(all.len() > 5 * live);
    while objects(&bench).len() > live {
        lake.clean_up();
        std::thread::yield_now();
    }
    let left: BTreeSet<String> = objects(&bench).iter().map(|path| file_name(path)).collect();
    let live: BTreeSet<String> = old.values().flatten().map(|path| file_name(path)).collect();
    assert_eq!(left, live);
    assert_eq!(bench.held(), held_now);
    for (table, rows) in held {
        assert!(rows.iter().all(|row| held_now[&table].binary_search(row).is_ok()), "{table}");
    }
}

#[test]
fn an_end_leaves_no_trace_in_the_log() {
    let bench = run(&instants(), |_, _, _| ());
    let lake = bench.memory.open();
    let (expected, versions) = (bench.live_everywhere(), lake.versions());
    let mut compactor = lake.compactor(HOUR_MS);
    for asked in 0..2 {
        let left = Cell::new(asked);
        let go_on = || {
            left.set(left.get() - 1);
            left.get() >= 0
        };
        assert_eq!(compactor.step(&go_on).expect("nothing fails"), None);
    }
    assert_eq!((bench.live_everywhere(), lake.versions()), (expected, versions));
}

fn readings(bench: &Bench, count: u64) -> Vec<ReadingEntry> {
    let entry = |number: u64| {
        let mut entry = reading(&bench.memory.names, "m-1", Some("1.5"));
        // In a file of a cut they are in the order of their instants.
        entry.record.at_ms += i64::try_from(count - number).expect("small");
        entry.record.arrival.index = number;
        entry
    };
    (0..count).map(entry).collect()
}

#[test]
fn more_rows_than_are_sorted_at_once_are_sorted_in_pieces_and_then_merged() {
    let bench = Bench::new();
    let mut lake = bench.memory.open();
    let count = 300_000;
    for hour in 0..2 {
        let mut writer = lake.begin(at((hour + 1) * HOUR_MS));
        let rows = readings(&bench, count).into_iter().map(|mut entry| {
            entry.record.arrival.index = 2 * entry.record.arrival.index + u64::from(hour == 1);
            entry
        });
        writer.append(0, Rows::Readings(rows.collect())).expect("taken");
        writer.commit().expect("committed");
    }
    lake.begin(at(2 * DAY_MS)).commit().expect("committed");
    let steps = compact(&mut lake.compactor(HOUR_MS));
    let shape: Vec<_> =
        steps.iter().map(|step| (step.rows, step.files_in, step.files_out)).collect();
    assert_eq!(shape, [(600_000, 2, 2), (600_000, 2, 1)]);
    let engine = bench.engine();
    let rows = rows_of(&engine, TableName::Readings, &bench.live(TableName::Readings));
    let numbers = rows.iter().map(|row| {
        let number = row.trim_end_matches('|').rsplit('|').next().expect("the last column");
        number.parse::<u64>().expect("a number")
    });
    assert!(numbers.eq(0..600_000));
}

#[test]
fn the_log_begins_at_a_checkpoint_once_what_is_older_has_expired() {
    let bench = Bench::new();
    let mut lake = bench.memory.open();
    for index in 0..250 {
        let cut = at(index * MINUTE_MS);
        if index % 25 == 0 {
            bench.commit(&mut lake, cut);
        } else {
            lake.begin(cut).commit().expect("committed");
        }
    }
    let expected = bench.held();
    let at_200 = bench.held_at(TableName::Activity, 200);
    let oldest = |bench: &Bench| {
        let engine = bench.engine();
        let path = engine.place.path("activity/_delta_log").expect("a path");
        let listed = engine.block_on(engine.place.store.list_with_delimiter(Some(&path)));
        let files = listed.expect("a list").objects.into_iter();
        let files = files.filter_map(|object| LogFile::parse(object.location.filename()?));
        files.map(LogFile::version).min()
    };
    assert_eq!(oldest(&bench), Some(0));
    // By then all of it has expired, and the log is still whole from its newest checkpoint on.
    lake.begin(at(20 * DAY_MS)).commit().expect("committed");
    while oldest(&bench) != Some(200) {
        lake.clean_up();
        std::thread::yield_now();
    }
    assert_eq!(bench.held_at(TableName::Activity, 200), at_200);
    bench.commit(&mut lake, at(20 * DAY_MS + MINUTE_MS));
    compact(&mut lake.compactor(HOUR_MS));
    let lake = bench.memory.open();
    assert_eq!(lake.committed(), Some(at(20 * DAY_MS + MINUTE_MS)));
    let held = bench.held();
    for (table, rows) in expected {
        assert!(rows.iter().all(|row| held[&table].binary_search(row).is_ok()), "{table}");
    }
}
