//! What crashed commits left, and what a version has taken out, goes after the grace; whatever else looks like it stays.

use std::collections::BTreeSet;
use std::sync::Arc;

use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt, PutPayload};
use plumeline_pipelines::model::time::DAY_MS;
use plumeline_pipelines::model::{Cause, Names, Tick};

use super::TableName;
use super::engine::Engine;
use super::faulty::{Fault, Faulty, Operation};
use super::lake::Lake;
use super::log::TableLog;
use super::place::DataFileName;
use super::tests::{Memory, config, write_everything};
use super::vacuum::{GRACE_MS, Vacuum};

/// 2100-01-01T00:00:00Z: cuts of then are newer, by more than the grace, than anything a store has today.
const LATER_MS: i64 = 4_102_444_800_000;

fn at(ms: i64) -> Tick {
    Tick::new(ms, Cause::Cut)
}

/// A lake in memory whose store fails on demand.
struct Bench {
    store: Arc<Faulty>,
    memory: Memory,
    vacuum: Vacuum,
}

impl Bench {
    fn new() -> Self {
        let store = Faulty::new();
        let names = Arc::new(Names::new());
        let memory = Memory { store: Arc::clone(&store) as Arc<dyn ObjectStore>, names };
        Self { store, memory, vacuum: Vacuum::default() }
    }

    /// Writes a commit's files, and ends before `activity` has its entry.
    fn crash(&self, cut: Tick) {
        let mut lake = self.memory.open();
        let mut writer = lake.begin(cut);
        write_everything(&mut writer, &self.memory.names);
        self.store.trap(Operation::Put, "activity/_delta_log", usize::MAX, Fault::Away);
        assert!(writer.commit().expect_err("it crashes").transient());
        self.store.heal();
    }

    fn commit(&self, lake: &mut Lake, cut: Tick) {
        let mut writer = lake.begin(cut);
        write_everything(&mut writer, &self.memory.names);
        writer.commit().expect("committed");
    }

    /// Cleans up all tables as of `ledger`, as one process does; returns how many files went.
    fn clean_up(&mut self, ledger: Tick) -> usize {
        let engine = Engine::new(self.memory.place()).expect("an engine");
        let owner = config("memory:///lake").owner();
        let mut deleted = 0;
        while let Some(table) = self.vacuum.due(ledger) {
            let log = TableLog::find(&engine, table, &owner).expect("a log").expect("a table");
            deleted += self.vacuum.step(&engine, &log, ledger).expect("cleaned up");
        }
        deleted
    }

    fn exists(&self, path: &str) -> bool {
        let engine = Engine::new(self.memory.place()).expect("an engine");
        let path = engine.place.path(path).expect("a path");
        engine.block_on(engine.place.store.head(&path)).is_ok()
    }

    fn put(&self, path: &str) {
        let engine = Engine::new(self.memory.place()).expect("an engine");
        let path: Path = engine.place.path(path).expect("a path");
        let payload = PutPayload::from_static(b"PAR1");
        engine.block_on(engine.place.store.put(&path, payload)).expect("written");
    }

    /// That every live file is there, and how many there are.
    #[track_caller]
    fn assert_whole(&self) -> usize {
        let engine = Engine::new(self.memory.place()).expect("an engine");
        let owner = config("memory:///lake").owner();
        let mut count = 0;
        for table in TableName::ALL {
            let log = TableLog::find(&engine, table, &owner).expect("a log").expect("a table");
            for path in log.live_files(&engine, |_| true).expect("files") {
                let path = engine.place.path(&format!("{table}/{path}")).expect("a path");
                engine.block_on(engine.place.store.head(&path)).expect("a live file is there");
                count += 1;
            }
        }
        count
    }
}

fn file(table: TableName, cut: Tick, part: usize, sequence: usize) -> String {
    DataFileName { table, cut, part, sequence }.relative()
}

#[test]
fn what_a_crashed_commit_left_goes_after_the_grace_and_not_before() {
    let mut bench = Bench::new();
    let crashed = at(LATER_MS + 3_600_000);
    bench.crash(crashed);
    let mut lake = bench.memory.open();
    // The same cut again, by the next process.
    bench.commit(&mut lake, crashed);
    let orphan = file(TableName::Activity, crashed, 0, 0);
    let second = file(TableName::Activity, crashed, 1, 0);
    let committed = file(TableName::Activity, crashed, 0, 1);
    let live = bench.assert_whole();
    // The day has to be over for as long as the grace.
    for ms in [crashed.ms() + GRACE_MS, LATER_MS + DAY_MS + GRACE_MS - 1] {
        bench.commit(&mut lake, at(ms));
        assert_eq!(bench.clean_up(at(ms)), 0);
        assert!(bench.exists(&orphan));
    }
    let ms = LATER_MS + DAY_MS + GRACE_MS;
    bench.commit(&mut lake, at(ms));
    assert_eq!(bench.clean_up(at(ms)), 2);
    assert!(!bench.exists(&orphan) && !bench.exists(&second) && bench.exists(&committed));
    assert_eq!(bench.assert_whole(), 4 * live);
    // Nothing is looked at twice by the same process, and the next one finds nothing.
    assert_eq!(bench.vacuum.due(at(ms)), None);
    bench.vacuum = Vacuum::default();
    assert_eq!(bench.clean_up(at(ms)), 0);
}

#[test]
fn an_unfinished_commit_that_the_next_process_takes_up_is_unharmed() {
    let mut bench = Bench::new();
    let mut lake = bench.memory.open();
    bench.commit(&mut lake, at(LATER_MS));
    let unfinished = at(LATER_MS + 60_000);
    bench.crash(unfinished);
    // However long ago it began: all tables but `activity` have it, and a slow writer might still go on.
    let much_later = at(LATER_MS + 30 * DAY_MS);
    assert_eq!(bench.clean_up(much_later), 0);
    let mut lake = bench.memory.open();
    bench.commit(&mut lake, unfinished);
    assert_eq!(lake.committed(), Some(unfinished));
    bench.assert_whole();
}

#[test]
fn foreign_newer_compacted_and_young_files_stay() {
    let mut bench = Bench::new();
    let cut = at(LATER_MS);
    let mut lake = bench.memory.open();
    bench.commit(&mut lake, cut);
    let day = "activity/recorded_date=2100-01-01";
    let newer = at(LATER_MS + 60_000);
    let kept: BTreeSet<String> = [
        // Not named by us.
        format!("{day}/part-00000-4f8c.snappy.parquet"),
        format!("{day}/activity-1-0-0.parquet"),
        // Named like ours, by somebody else, in another place.
        file(TableName::Activity, cut, 7, 0).replace("2100-01-01", "2099-12-31"),
        // A cut that nobody has committed.
        file(TableName::Activity, newer, 0, 0),
        // Another table's.
        file(TableName::Emissions, cut, 0, 9).replace("emissions/", "activity/"),
    ]
    .into();
    for path in &kept {
        bench.put(path);
    }
    let orphan = file(TableName::Activity, cut, 9, 0);
    bench.put(&orphan);
    let much_later = at(LATER_MS + 60 * DAY_MS);
    assert_eq!(bench.clean_up(much_later), 1);
    assert!(!bench.exists(&orphan));
    assert!(kept.iter().all(|path| bench.exists(path)), "{kept:?}");
    bench.assert_whole();
}

/// Takes a file out as version `version` of `activity`, at an instant, ms.
fn take_out(bench: &Bench, version: u64, path: &str, ms: i64) {
    let below = path.strip_prefix("activity/").expect("its table").to_owned();
    let remove =
        format!(r#"{{"remove":{{"path":"{below}","deletionTimestamp":{ms},"dataChange":false}}}}"#);
    super::tests::commit_foreign(&bench.memory, version, &remove);
}

#[test]
fn a_file_that_a_version_has_taken_out_goes_a_week_later_and_not_before() {
    let mut bench = Bench::new();
    let mut lake = bench.memory.open();
    for index in 0..5 {
        bench.commit(&mut lake, at(LATER_MS + index * 60_000));
    }
    let compacted = file(TableName::Activity, at(LATER_MS + 60_000), 0, 0);
    let orphan = file(TableName::Activity, at(LATER_MS + 60_000), 0, 1);
    bench.put(&orphan);
    let removed_ms = LATER_MS + 10 * DAY_MS;
    take_out(&bench, 6, &compacted, removed_ms);
    // Its day is due for long; the orphan beside it was in no version.
    let now = at(removed_ms + GRACE_MS);
    assert_eq!(bench.clean_up(now), 1);
    assert!(bench.exists(&compacted) && !bench.exists(&orphan));
    assert_eq!(bench.vacuum.due(now), None);
    // What was spared is looked at again by the same process, and by another one.
    let later = at(removed_ms + GRACE_MS + 1);
    assert_eq!(bench.vacuum.due(later), Some(TableName::Activity));
    assert_eq!(bench.clean_up(later), 1);
    assert!(!bench.exists(&compacted));
    bench.vacuum = Vacuum::default();
    assert_eq!(bench.clean_up(later), 0);
    bench.assert_whole();
}

#[test]
fn what_was_taken_out_before_a_checkpoint_is_known_from_it() {
    let mut bench = Bench::new();
    let mut lake = bench.memory.open();
    for index in 0..5 {
        bench.commit(&mut lake, at(LATER_MS + index * 60_000));
    }
    let compacted = file(TableName::Activity, at(LATER_MS + 60_000), 0, 0);
    take_out(&bench, 6, &compacted, LATER_MS + 5 * DAY_MS);
    for index in 5..110 {
        lake.begin(at(LATER_MS + index * 60_000)).commit().expect("committed");
    }
    // The entry itself is gone behind the checkpoint.
    let engine = Engine::new(bench.memory.place()).expect("an engine");
    engine.block_on(bench.store.forget("activity/_delta_log/00000000000000000006.json"));
    assert_eq!(bench.clean_up(at(LATER_MS + 8 * DAY_MS)), 0);
    assert!(bench.exists(&compacted));
    assert_eq!(bench.clean_up(at(LATER_MS + 12 * DAY_MS + 1)), 1);
    assert!(!bench.exists(&compacted));
    bench.assert_whole();
}

#[test]
fn nothing_goes_where_the_log_does_not_tell_what_was_taken_out() {
    let mut bench = Bench::new();
    let mut lake = bench.memory.open();
    for index in 0..5 {
        bench.commit(&mut lake, at(LATER_MS + index * 60_000));
    }
    let orphan = file(TableName::Activity, at(LATER_MS + 60_000), 0, 1);
    bench.put(&orphan);
    let engine = Engine::new(bench.memory.place()).expect("an engine");
    let owner = config("memory:///lake").owner();
    let log = TableLog::find(&engine, TableName::Activity, &owner).expect("a log").expect("one");
    engine.block_on(bench.store.forget("activity/_delta_log/00000000000000000003.json"));
    let ledger = at(LATER_MS + 60 * DAY_MS);
    bench.vacuum.step(&engine, &log, ledger).expect_err("an entry is gone");
    assert!(bench.exists(&orphan));
}

#[test]
fn a_file_that_the_store_has_had_for_less_than_the_grace_stays() {
    let mut bench = Bench::new();
    let mut lake = bench.memory.open();
    // Cuts of long ago in a store of today: as if the ledger's clock had been set back.
    let cut = at(super::tests::START_MS);
    bench.commit(&mut lake, cut);
    let orphan = file(TableName::Activity, cut, 9, 0);
    bench.put(&orphan);
    assert_eq!(bench.clean_up(at(super::tests::START_MS + 20 * DAY_MS)), 0);
    assert!(bench.exists(&orphan));
}

#[test]
fn a_table_of_many_days_is_cleaned_up_newest_first_and_to_the_end() {
    let mut bench = Bench::new();
    let mut lake = bench.memory.open();
    let days = 70;
    for day in 0..days {
        let cut = at(LATER_MS + day * DAY_MS);
        lake.begin(cut).commit().expect("committed");
        let mut writer = lake.begin(at(LATER_MS + day * DAY_MS + 1_000));
        write_everything(&mut writer, &bench.memory.names);
        writer.commit().expect("committed");
        bench.put(&file(TableName::Activity, at(LATER_MS + day * DAY_MS + 1_000), 9, 0));
    }
    let ledger = at(LATER_MS + 400 * DAY_MS);
    let newest = file(TableName::Activity, at(LATER_MS + (days - 1) * DAY_MS + 1_000), 9, 0);
    let engine = Engine::new(bench.memory.place()).expect("an engine");
    let owner = config("memory:///lake").owner();
    let log = TableLog::find(&engine, TableName::Activity, &owner).expect("a log").expect("one");
    assert_eq!(bench.vacuum.step(&engine, &log, ledger).expect("a step"), 32);
    assert!(!bench.exists(&newest));
    assert_eq!(bench.clean_up(ledger), usize::try_from(days).expect("some") - 32);
    bench.assert_whole();
}

#[test]
fn the_lake_cleans_up_beside_its_commits() {
    let bench = Bench::new();
    let crashed = at(LATER_MS);
    bench.crash(crashed);
    let mut lake = bench.memory.open();
    bench.commit(&mut lake, crashed);
    bench.commit(&mut lake, at(LATER_MS + 9 * DAY_MS));
    let orphan = file(TableName::Activity, crashed, 0, 0);
    // Each call looks at one table at most, and none while the one before is at it.
    while bench.exists(&orphan) {
        lake.clean_up();
        std::thread::yield_now();
    }
    bench.assert_whole();
}

#[test]
fn locks_of_reports_and_whatever_else_lies_beside_tables_stay() {
    let mut bench = Bench::new();
    let mut lake = bench.memory.open();
    bench.commit(&mut lake, at(LATER_MS));
    let beside = ["reports/acme/2025-1.json", "reports/acme/recorded_date=2025-01-01/x.parquet"];
    for path in beside {
        bench.put(path);
    }
    bench.commit(&mut lake, at(LATER_MS + 30 * DAY_MS));
    assert_eq!(bench.clean_up(at(LATER_MS + 30 * DAY_MS)), 0);
    assert!(beside.iter().all(|path| bench.exists(path)));
}
