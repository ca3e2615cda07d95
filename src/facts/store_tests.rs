//! Tests of the facts that hold.

use std::path::Path;

use plumeline_pipelines::model::time::DAY_MS;
use plumeline_pipelines::model::{Id, Validity};

use super::super::file::ReadRow;
use super::*;

const START_MS: i64 = 1_767_225_600_000; // 2026-01-01

const PIPELINE: &str = "name = \"a\"\n\
    [[source]]\nname = \"s\"\ntype = \"file\"\npath = \"in.jsonl\"\n\
    [[source]]\nname = \"k\"\ntype = \"file\"\npath = \"nodes.jsonl\"\ncarries = \"nodes\"\n\
    [[sink]]\ntype = \"prometheus\"\n";

fn store() -> FactStore {
    let pipeline = crate::config::parse(Path::new("p.toml"), PIPELINE, &|_| None).unwrap();
    FactStore::new(&pipeline, Arc::new(Names::new()))
}

fn days(from: i64, to: i64) -> Validity {
    Validity { from_ms: START_MS + from * DAY_MS, to_ms: START_MS + to * DAY_MS }
}

fn node(
    store: &FactStore,
    node: &str,
    parent: &str,
    validity: Validity,
    revision: i64,
) -> FactChange {
    let [node, parent] = [node, parent].map(|name| store.names.intern(name));
    let fact = Fact::Node(NodeRow { node, parent, name: Id::NONE, validity, revision });
    FactChange { fact, withdrawn: false }
}

fn withdrawn(change: &FactChange) -> FactChange {
    FactChange { withdrawn: true, ..change.clone() }
}

fn file(changes: &[&FactChange]) -> TableFile {
    let row = |(index, change): (usize, &&FactChange)| ReadRow {
        change: (*change).clone(),
        line: index + 2,
        aliases: Vec::new(),
    };
    let rows = changes.iter().enumerate().map(row).collect();
    TableFile { table: Table::Nodes, file: "n.csv".into(), rows, before: Vec::new() }
}

fn first_line(problems: &Problems) -> String {
    problems.to_string().lines().next().unwrap_or_default().to_owned()
}

fn counts(store: &FactStore) -> [usize; 3] {
    [Table::Meters, Table::Factors, Table::Nodes].map(|table| store.books().keys(table))
}

#[test]
fn a_file_is_applied_as_its_differences() {
    let mut store = store();
    let a = node(&store, "a", "", days(0, 30), 0);
    let b = node(&store, "b", "a", days(0, 30), 0);
    let corrected = node(&store, "b", "", days(10, 30), 1);
    assert_eq!(store.apply_file(&file(&[&a, &b])).unwrap().changes, [a.clone(), b.clone()]);
    assert_eq!(store.apply_file(&file(&[&b, &a, &a])).unwrap().changes, []);
    assert_eq!(
        store.apply_file(&file(&[&a, &b, &corrected])).unwrap().changes,
        std::slice::from_ref(&corrected)
    );
    let back = file(&[&a, &b, &withdrawn(&corrected)]);
    assert_eq!(store.apply_file(&back).unwrap().changes, [withdrawn(&corrected)]);
    // Once it is withdrawn, nothing is lost when it goes.
    assert_eq!(store.apply_file(&file(&[&a, &b])).unwrap().changes, []);
    assert_eq!((counts(&store), store.books().rows(Table::Nodes)), ([0, 0, 2], 2));
}

#[test]
fn a_row_that_disappears_is_an_error_and_nothing_is_applied() {
    let mut store = store();
    let a = node(&store, "a", "", days(0, 30), 0);
    let b = node(&store, "b", "a", days(0, 30), 0);
    let c = node(&store, "c", "a", days(0, 30), 0);
    store.apply_file(&file(&[&a, &b])).unwrap();
    let problems = store.apply_file(&file(&[&a, &c])).unwrap_err();
    assert_eq!(
        first_line(&problems),
        "n.csv: error: node \"b\", revision 0, from 2026-01-01 to 2026-01-31, has disappeared (it stood in line 3)"
    );
    assert_eq!(counts(&store), [0, 0, 2]);
    assert_eq!(store.apply_file(&file(&[&a, &b, &c])).unwrap().changes, [c]);
}

#[test]
fn a_row_changed_in_place_is_told_how_to_correct() {
    let mut store = store();
    let a = node(&store, "a", "", days(0, 30), 0);
    store.apply_file(&file(&[&a])).unwrap();
    let ended = node(&store, "a", "", days(0, 20), 0);
    let problems = store.apply_file(&file(&[&ended])).unwrap_err();
    let shown = problems.to_string();
    assert!(shown.starts_with(
        "n.csv:2: error: revision: node \"a\", revision 0, was changed in place: valid_to"
    ));
    assert!(shown.contains("add the corrected one with revision = 1"));
    // With the old row withdrawn it is a correction like any other.
    let changes = store.apply_file(&file(&[&withdrawn(&a), &ended])).unwrap().changes;
    assert_eq!(changes, [withdrawn(&a), ended]);
}

#[test]
fn a_key_comes_from_one_place() {
    let mut store = store();
    let a = node(&store, "a", "", days(0, 30), 0);
    store.apply_change(1, &a).unwrap();
    let problems = store.apply_file(&file(&[&a])).unwrap_err();
    assert_eq!(
        first_line(&problems),
        "n.csv:2: error: key: node \"a\" also comes from source \"k\""
    );
    let problem = store.apply_change(0, &node(&store, "a", "", days(30, 40), 0)).unwrap_err();
    assert!(
        problem
            .to_string()
            .starts_with("source \"s\": error: key: node \"a\" also comes from source \"k\"")
    );
    let b = node(&store, "b", "", days(0, 30), 0);
    store.apply_file(&file(&[&b])).unwrap();
    assert!(store.apply_change(1, &b).unwrap_err().message.contains("also comes from n.csv"));
}

#[test]
fn messages_insert_repeat_contradict_and_withdraw() {
    let mut store = store();
    let a = node(&store, "a", "", days(0, 30), 0);
    assert_eq!(store.apply_change(1, &a).unwrap(), std::slice::from_ref(&a));
    assert_eq!(store.apply_change(1, &a).unwrap(), []);
    let other = node(&store, "a", "b", days(0, 30), 0);
    let problem = store.apply_change(1, &other).unwrap_err();
    assert!(problem.message.contains("differs from source \"k\" in parent"), "{problem}");
    assert_eq!(store.apply_change(1, &withdrawn(&other)).unwrap(), [withdrawn(&a)]);
    assert_eq!(store.apply_change(1, &withdrawn(&a)).unwrap(), []);
    assert_eq!(store.apply_change(1, &other).unwrap(), [other]);
}

#[test]
fn a_message_that_closes_a_cycle_is_refused() {
    let mut store = store();
    let a = node(&store, "a", "b", days(0, 30), 0);
    let b = node(&store, "b", "c", days(0, 30), 0);
    let c = node(&store, "c", "a", days(20, 30), 0);
    store.apply_change(1, &a).unwrap();
    store.apply_change(1, &b).unwrap();
    let problem = store.apply_change(1, &c).unwrap_err();
    assert!(
        problem.message.contains("the tree has a cycle from 2026-01-21 to 2026-01-31"),
        "{problem}"
    );
    let root = node(&store, "c", "", days(20, 30), 0);
    assert_eq!(store.apply_change(1, &root).unwrap(), [root]);
}
