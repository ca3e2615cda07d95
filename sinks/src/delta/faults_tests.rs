//! Whatever a store does wrong at whatever step of a commit, the tables come to hold what they hold without.
//!
//! ```text
//!   for each step of a commit, for each fault: cuts 1..=n, each tried until it is committed
//!                                               │ an error that may not pass: the next process goes on
//!                                               ▼
//!                    rows of each table, cuts of each log, bounds of each cut == those of a run without faults
//! ```
//!
//! Nothing here waits for a time: a slow store waits for a gate, and a step that never met its fault fails.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::util::display::{ArrayFormatter, FormatOptions};
use object_store::{ObjectStore, ObjectStoreExt};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use plumeline_pipelines::model::{Names, Tick};
use serde_json::Value;

use super::cut::CutWriter;
use super::engine::Engine;
use super::faulty::{Fault, Faulty, Operation};
use super::lake::Lake;
use super::log::TableLog;
use super::tests::{Memory, config, cut, write_everything};
use super::{LakeError, TableName};

/// Cuts of a run; one in the middle meets the fault.
const CUTS: i64 = 3;
/// Tries of a commit whose fault strikes once.
const TRIES_MAX: usize = 5;

/// A step of a commit, and what has to go wrong before it for the step to be taken at all.
struct Step {
    name: &'static str,
    operation: Operation,
    matching: &'static str,
    before: Option<(&'static str, Fault)>,
}

const fn put(name: &'static str, matching: &'static str) -> Step {
    Step { name, operation: Operation::Put, matching, before: None }
}

/// A look at the log of `emissions` after an entry whose answer was lost.
const fn look(name: &'static str, operation: Operation, matching: &'static str) -> Step {
    let before = Some(("emissions/_delta_log/0000000000000000000", Fault::AnswerLost));
    Step { name, operation, matching, before }
}

const STEPS: [Step; 13] = [
    put("a data file of the first table", "meters/recorded_date"),
    put("a data file in between", "readings/recorded_date"),
    put("a data file of the last table", "activity/recorded_date"),
    put("an entry of the first table's log", "meters/_delta_log/0"),
    put("an entry in between", "footprints/_delta_log/0"),
    put("an entry of the last table's log", "activity/_delta_log/0"),
    put("the newest versions", "_latest.json"),
    look("the log is listed", Operation::List, "emissions/_delta_log"),
    look("an entry is read", Operation::Get, "emissions/_delta_log/0"),
    Step {
        name: "the look before a commit",
        operation: Operation::Get,
        matching: "activity/_delta_log/0",
        before: None,
    },
    Step {
        name: "the last entry after an error",
        operation: Operation::Get,
        matching: "meters/_delta_log/0",
        before: Some(("meters/_delta_log/0", Fault::Away)),
    },
    put("a checkpoint", "checkpoint.parquet"),
    put("the hint of a checkpoint", "_last_checkpoint"),
];

const FAULTS: [Fault; 7] = [
    Fault::Away,
    Fault::AnswerLost,
    Fault::Denied,
    Fault::Unknown,
    Fault::Gone,
    Fault::BreaksOff,
    Fault::Short,
];

impl Step {
    fn is_checkpoint(&self) -> bool {
        self.matching.contains("checkpoint")
    }

    /// Faults of reading mean nothing to a write, nor to a list that has one page.
    fn can_have(&self, fault: Fault) -> bool {
        match fault {
            Fault::BreaksOff => self.operation != Operation::Put,
            Fault::Short => self.operation == Operation::Get,
            _ => true,
        }
    }
}

/// A lake whose store has traps.
struct Bench {
    store: Arc<Faulty>,
    memory: Memory,
}

impl Bench {
    fn new() -> Self {
        let store = Faulty::new();
        let names = Arc::new(Names::new());
        let memory = Memory { store: Arc::clone(&store) as Arc<dyn ObjectStore>, names };
        Self { store, memory }
    }

    fn begin(&self, lake: &mut Lake, cut: Tick) -> CutWriter {
        let mut writer = lake.begin(cut);
        write_everything(&mut writer, &self.memory.names);
        writer
    }

    /// Commits the cut as the committer does; after an error that may not pass the next process takes over.
    fn insist(&self, lake: &mut Lake, cut: Tick, what: &str) {
        let mut writer = self.begin(lake, cut);
        let mut tries = 0;
        while let Err(error) = writer.commit() {
            tries += 1;
            assert!(tries < TRIES_MAX, "{what}: {error}");
            assert!(error.transient(), "{what}: {error}: {:?}", std::error::Error::source(&error));
        }
    }

    /// The store as it is without traps, and a kernel on it.
    fn engine(&self) -> Engine {
        self.store.heal();
        Engine::new(self.memory.place()).expect("an engine")
    }

    fn held(&self) -> BTreeMap<TableName, Held> {
        let engine = self.engine();
        let owner = config("memory:///lake").owner();
        let held = TableName::ALL.into_iter().map(|table| {
            let log = TableLog::find(&engine, table, &owner).expect("a log").expect("a table");
            (table, Held { rows: rows(&engine, table, &log), cuts: cuts(&engine, &log) })
        });
        held.collect()
    }
}

/// What a table holds.
#[derive(Debug, PartialEq, Eq)]
struct Held {
    /// As text, sorted: names of files may differ, for a name that is taken is counted past.
    rows: Vec<String>,
    /// The cut and, in `activity`, the bounds of each version.
    cuts: Vec<(Tick, Option<Value>)>,
}

fn rows(engine: &Engine, table: TableName, log: &TableLog) -> Vec<String> {
    let mut rows = rows_of(engine, table, &log.live_files(engine, |_| true).expect("files"));
    rows.sort_unstable();
    rows
}

/// The rows of these files, as text, in their order.
pub(super) fn rows_of(engine: &Engine, table: TableName, paths: &[String]) -> Vec<String> {
    let mut rows = Vec::new();
    for path in paths {
        let path = engine.place.path(&format!("{table}/{path}")).expect("a path");
        let store = &engine.place.store;
        let bytes = engine.block_on(async { store.get(&path).await?.bytes().await });
        let reader = ParquetRecordBatchReaderBuilder::try_new(bytes.expect("a live file is there"));
        for batch in reader.expect("a Parquet file").build().expect("a reader") {
            let batch = batch.expect("a batch");
            let options = FormatOptions::default();
            let columns: Vec<_> = batch
                .columns()
                .iter()
                .map(|column| ArrayFormatter::try_new(column, &options).expect("it can be shown"))
                .collect();
            rows.extend((0..batch.num_rows()).map(|row| {
                columns.iter().map(|column| column.value(row).to_string() + "|").collect::<String>()
            }));
        }
    }
    rows
}

fn cuts(engine: &Engine, log: &TableLog) -> Vec<(Tick, Option<Value>)> {
    let versions = 1..=log.version();
    let cuts = versions.map(|version| {
        let entry = log.read_entry(engine, version).expect("the store answers").expect("an entry");
        let text = String::from_utf8(entry).expect("text");
        let actions =
            || text.lines().map(|line| serde_json::from_str::<Value>(line).expect("JSON"));
        let mut marks = actions().filter(|action| action["txn"]["appId"] == log.app_id());
        let mark = marks.next().expect("it is ours");
        let cut = Tick(mark["txn"]["version"].as_u64().expect("a cut"));
        let mut bounds = actions().filter_map(|action| action.get("domainMetadata").cloned());
        (cut, bounds.next())
    });
    cuts.collect()
}

/// What tables hold after cuts `1..=CUTS`, the first one being committed after `quiet` without rows.
fn run(quiet: i64, meanwhile: impl Fn(&Bench, i64)) -> (Bench, BTreeMap<TableName, Held>) {
    let bench = Bench::new();
    let mut lake = bench.memory.open();
    for index in 1..=quiet {
        lake.begin(cut(index)).commit().expect("committed");
    }
    for index in 1..=CUTS {
        meanwhile(&bench, index);
        bench.insist(&mut lake, cut(quiet + index), &format!("cut {index}"));
        assert_eq!(lake.committed(), Some(cut(quiet + index)));
    }
    drop(lake);
    bench.store.heal();
    let lake = bench.memory.open();
    assert!(lake.committed_tables().values().all(|&tick| tick == Some(cut(quiet + CUTS))));
    let held = bench.held();
    (bench, held)
}

fn assert_harmless(steps: impl Iterator<Item = &'static Step>, quiet: i64) {
    let (_, expected) = run(quiet, |_, _| ());
    assert_eq!(expected[&TableName::Activity].rows.len(), 3 * usize::try_from(CUTS).expect("few"));
    for step in steps {
        for fault in FAULTS.into_iter().filter(|fault| step.can_have(*fault)) {
            let what = format!("{}, {fault:?}", step.name);
            let (bench, held) = run(quiet, |bench, index| {
                if index == 2 {
                    if let Some((matching, fault)) = step.before {
                        bench.store.trap(Operation::Put, matching, 1, fault);
                    }
                    bench.store.trap(step.operation, step.matching, 1, fault);
                }
            });
            let expected_faults = 1 + usize::from(step.before.is_some());
            assert_eq!(bench.store.sprung(), expected_faults, "{what}: it was never met");
            assert_eq!(held, expected, "{what}");
        }
    }
}

#[test]
fn a_fault_at_any_step_of_a_commit_changes_nothing() {
    assert_harmless(STEPS.iter().filter(|step| !step.is_checkpoint()), 0);
}

#[test]
fn a_fault_at_a_checkpoint_changes_nothing() {
    // The second of the cuts with rows is the hundredth version of `activity`.
    assert_harmless(STEPS.iter().filter(|step| step.is_checkpoint()), 98);
}

#[test]
fn a_store_that_takes_its_time_is_waited_for() {
    let (_, expected) = run(0, |_, _| ());
    for step in STEPS.iter().filter(|step| !step.is_checkpoint()) {
        let bench = Bench::new();
        let mut lake = bench.memory.open();
        bench.insist(&mut lake, cut(1), step.name);
        if let Some((matching, fault)) = step.before {
            bench.store.trap(Operation::Put, matching, 1, fault);
        }
        bench.store.trap(step.operation, step.matching, 1, Fault::Held);
        let held = 1 + usize::from(step.before.is_some());
        std::thread::scope(|scope| {
            let committing = scope.spawn(|| {
                bench.insist(&mut lake, cut(2), step.name);
                lake
            });
            while bench.store.sprung() < held {
                std::thread::yield_now();
            }
            // As long as it is held, the ledger is at the cut before, whoever asks (unless all is done but
            // the hint for readers without a Delta library).
            let seen = bench.memory.open().committed();
            let is_done = step.matching == "_latest.json";
            assert_eq!(seen, Some(cut(if is_done { 2 } else { 1 })), "{}", step.name);
            assert!(!committing.is_finished(), "{}", step.name);
            bench.store.open_gate();
            let mut lake = committing.join().expect("it commits");
            bench.insist(&mut lake, cut(3), step.name);
        });
        assert_eq!(bench.held(), expected, "{}", step.name);
    }
}

#[test]
fn a_bucket_that_is_gone_or_closed_is_waited_for_and_gone_on_with() {
    let (_, expected) = run(0, |_, _| ());
    for fault in [Fault::Gone, Fault::Denied, Fault::Unknown, Fault::Away] {
        let bench = Bench::new();
        let mut lake = bench.memory.open();
        bench.insist(&mut lake, cut(1), "the first cut");
        let mut writer = bench.begin(&mut lake, cut(2));
        bench.store.trap_everything(fault);
        for _ in 0..10 {
            let error = writer.commit().expect_err("nothing answers");
            assert!(error.transient(), "{fault:?}: {error}");
        }
        // A cut without rows has no file that would fail first.
        let error = lake.begin(cut(2)).commit().expect_err("nothing answers");
        assert!(error.transient(), "{fault:?}: {error}");
        bench.store.heal();
        writer.commit().expect("it is back");
        bench.insist(&mut lake, cut(3), "after it");
        assert_eq!(bench.held(), expected, "{fault:?}");
    }
}

/// The error that ends the program, `lost` being what was deleted while it ran.
fn ends_without(lost: &str, is_noticed: bool) -> LakeError {
    let bench = Bench::new();
    let mut lake = bench.memory.open();
    bench.insist(&mut lake, cut(1), "the first cut");
    let mut writer = bench.begin(&mut lake, cut(2));
    if is_noticed {
        for operation in [Operation::Put, Operation::List] {
            bench.store.trap(operation, "meters/_delta_log", 1, Fault::Gone);
        }
        assert!(writer.commit().expect_err("the bucket is gone").transient());
    }
    bench.engine().block_on(bench.store.forget(lost));
    let error = writer.commit().expect_err("a version on top of nothing would be no table");
    assert!(!error.transient(), "{error}");
    error
}

#[test]
fn tables_that_were_deleted_meanwhile_end_the_program() {
    for (lost, is_noticed, table) in
        [("lake", false, TableName::Activity), ("meters/_delta_log", true, TableName::Meters)]
    {
        let error = ends_without(lost, is_noticed);
        let is_it = matches!(&error, LakeError::Vanished { table: found, .. } if *found == table);
        assert!(is_it, "{error}");
    }
}

#[test]
fn a_write_whose_outcome_nobody_knows_is_read_back_and_nothing_of_it_is_deleted() {
    // The entry is there, each look at it fails for a while, and the next try meets its own version.
    let (_, expected) = run(0, |_, _| ());
    let bench = Bench::new();
    let mut lake = bench.memory.open();
    bench.insist(&mut lake, cut(1), "the first cut");
    let mut writer = bench.begin(&mut lake, cut(2));
    bench.store.trap(Operation::Put, "activity/_delta_log/0", 1, Fault::AnswerLost);
    bench.store.trap(Operation::List, "activity/_delta_log", 3, Fault::Away);
    bench.store.trap(Operation::Delete, "", usize::MAX, Fault::Away);
    let mut tries = 0;
    while let Err(error) = writer.commit() {
        assert!(error.transient(), "{error}");
        tries += 1;
        assert!(tries < TRIES_MAX);
    }
    assert!(tries > 1, "the first look failed");
    // Neither a fault of deleting was met, since nothing was deleted, nor is a cut there twice.
    assert_eq!(bench.store.sprung(), 4);
    assert_eq!(lake.committed(), Some(cut(2)));
    bench.insist(&mut lake, cut(3), "the cut after it");
    assert_eq!(bench.held(), expected);
}
