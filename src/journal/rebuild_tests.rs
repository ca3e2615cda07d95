//! Tests of journals that are made anew.

use plumeline_connectors::Position;
use plumeline_pipelines::model::{
    Arrival, Calendar, GwpSet, Id, Policy, Quality, Reading, Record, RejectEntry, Retain,
};
use tempfile::TempDir;

use super::super::{Found, Journal, Stored, rules};
use super::*;

fn policy() -> Policy {
    Policy {
        period_ms: 900_000,
        grace_ms: 900_000,
        retain: Retain::of(86_400_000),
        samples_ms: 86_400_000,
        windows_ms: Vec::new(),
        calendar: Calendar::default(),
        gwp: GwpSet::Ar6,
    }
}

fn folder() -> TempDir {
    tempfile::tempdir().expect("a folder")
}

fn sources() -> Vec<Arc<str>> {
    vec![Arc::from("plant")]
}

fn open(folder: &TempDir, names: &Arc<Names>) -> Result<(Journal, Found), JournalError> {
    Journal::open(folder.path(), "acme", &mut policy(), &sources(), Arc::clone(names))
}

fn reading(names: &Names, index: u64) -> Record {
    Record::Reading(Reading {
        meter: names.intern("m-1"),
        at_ms: 7_000,
        from_ms: None,
        value: None,
        unit: None,
        version: 0,
        quality: Quality::default(),
        arrival: Arrival { index, ..Arrival::default() },
    })
}

fn part<'p>(ms: i64, records: &'p [Record], positions: &'p [(u16, Position)]) -> Part<'p> {
    Part { ms, records, rejects: &[], facts: &[], positions, aliases: None }
}

fn whole() -> Whole {
    Whole { rules: rules("acme", &policy()), committed_ms: Some(9_000), last_index: 50 }
}

fn rebuilt(folder: &TempDir, names: &Arc<Names>) -> Rebuilt {
    let mut rebuild = Rebuild::begin(folder.path(), Arc::clone(names)).expect("begun");
    let position = Position { stream: "file".to_owned(), at: "17".to_owned() };
    // Not in the order of their ticks.
    for (ms, index) in [(8_000, 12), (7_500, 11)] {
        let (records, positions) = ([reading(names, index)], [(0, position.clone())]);
        rebuild.append(&part(ms, &records, &positions), &sources()).expect("appended");
    }
    rebuild.keep(5_000, &[vec![reading(names, 1)]], &sources()).expect("kept");
    rebuild.cut(9_000).expect("a cut");
    rebuild.finish(&whole(), &sources()).expect("finished")
}

#[test]
fn a_pipeline_goes_on_with_what_was_made_anew() {
    let (folder, names) = (folder(), Arc::new(Names::new()));
    let path = rebuilt(&folder, &names).put_in_place().expect("it is in its place");
    assert_eq!(path, folder.path().join(FILE));
    let (journal, found) = open(&folder, &names).expect("a journal");
    assert_eq!(found.newest_ms, Some(9_000));
    assert_eq!(found.committed_ms, Some(9_000));
    assert_eq!(found.newest_cut_ms, Some(9_000));
    assert_eq!(found.last_index, 50, "numbers of what is not in it are used, too");
    assert!(journal.is_cut(9_000).expect("it can be read"));
    let positions = journal.positions("plant").expect("it can be read");
    assert_eq!(positions, [Position { stream: "file".to_owned(), at: "17".to_owned() }]);
    let reader = journal.reader().expect("a reader");
    assert_eq!(reader.next_ms(0, 9_000).expect("read"), Some(7_500));
    let Stored { frame, .. } = reader.tick(8_000).expect("read");
    assert_eq!(frame.records, [reading(&names, 12)]);
    assert_eq!(frame.rejects, Vec::<RejectEntry>::new());
    let kept = reader.kept(5_000, 9_000).expect("read").expect("something was told");
    assert_eq!(kept.records, [reading(&names, 1)]);
    assert_ne!(reading(&names, 1).subject().id(), Id::NONE);
}

#[test]
fn a_journal_that_holds_anything_is_left_alone() {
    let (folder, names) = (folder(), Arc::new(Names::new()));
    let begin = || Rebuild::begin(folder.path(), Arc::clone(&names));
    let (journal, _) = open(&folder, &names).expect("a journal");
    assert!(matches!(begin(), Err(JournalError::Locked(_))));
    drop(journal);
    // One that was begun and refused.
    drop(rebuilt(&folder, &names));
    let path = rebuilt(&folder, &names).put_in_place().expect("it is in its place");
    assert!(matches!(begin(), Err(JournalError::Exists(_))));
    std::fs::write(path, "no journal").expect("the folder is ours");
    assert!(matches!(begin(), Err(JournalError::Exists(_))));
}

#[test]
fn what_was_not_finished_is_no_journal() {
    let (folder, names) = (folder(), Arc::new(Names::new()));
    let mut rebuild = Rebuild::begin(folder.path(), Arc::clone(&names)).expect("begun");
    let records = [reading(&names, 99)];
    rebuild.append(&part(6_000, &records, &[]), &sources()).expect("appended");
    drop(rebuild);
    drop(rebuilt(&folder, &names));
    assert!(!folder.path().join(FILE).exists());
    let whole = rebuilt(&folder, &names);
    let reader = whole.reader().expect("a reader");
    assert_eq!(reader.next_ms(0, 9_000).expect("read"), Some(7_500), "it begins anew");
}
