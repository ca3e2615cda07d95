//! A journal is what was appended to it, for whoever opens it next, and for nobody else.

use plumeline_connectors::FactChange;
use plumeline_pipelines::model::{
    Arrival, Calendar, Decimal, Fact, GwpSet, Id, NodeRow, Quality, Reading, Retain, Validity,
};

use super::*;

fn policy() -> Policy {
    Policy {
        period_ms: 900_000,
        grace_ms: 0,
        retain: Retain::of(86_400_000),
        samples_ms: 86_400_000,
        windows_ms: Vec::new(),
        calendar: Calendar::default(),
        gwp: GwpSet::Ar6,
    }
}

fn open(folder: &Path, names: &Arc<Names>) -> Result<(Journal, Found), JournalError> {
    Journal::open(folder, "acme", &mut policy(), &["plant".into(), "erp".into()], Arc::clone(names))
}

fn reading(names: &Names, index: u64) -> Record {
    Record::Reading(Reading {
        meter: names.intern("m-1"),
        at_ms: 1_000,
        from_ms: None,
        value: Some(Decimal::new(12, 1)),
        unit: None,
        version: 0,
        quality: Quality::Measured,
        arrival: Arrival { index, source: 1, element: 0, position: index },
    })
}

fn node(names: &Names) -> Learned {
    let row = NodeRow {
        node: names.intern("dc-7"),
        parent: Id::NONE,
        name: Id::NONE,
        validity: Validity::ALWAYS,
        revision: 1,
    };
    Learned { source: Some(1), change: FactChange { fact: Fact::Node(row), withdrawn: false } }
}

fn append(journal: &Journal, ms: i64, records: &[Record]) {
    let (rejects, facts, positions) = (&[], &[], &[]);
    journal.append(&Part { ms, records, rejects, facts, positions, aliases: None }).unwrap();
}

#[test]
fn what_is_not_in_its_place_is_no_journal_yet() {
    let folder = tempfile::tempdir().unwrap();
    let read = || {
        let reader = Reader::open(folder.path(), &[], Arc::new(Names::new())).unwrap();
        (Method::written(folder.path()).unwrap(), reader.is_some())
    };
    assert_eq!(read(), (None, false));
    drop(place::begin(folder.path()).unwrap());
    assert_eq!(read(), (None, false));
    // As a process leaves it that is killed while it says how the file is to be written.
    std::fs::write(folder.path().join("journal.db.part-journal"), "what was there").unwrap();
    drop(open(folder.path(), &Arc::new(Names::new())).unwrap());
    let left = std::fs::read_dir(folder.path()).unwrap();
    let mut left: Vec<_> = left.map(|file| file.unwrap().file_name()).collect();
    left.sort_unstable();
    assert_eq!(left, ["journal.db", "lock"]);
    assert!(read().0.is_some() && read().1);
}

#[test]
fn what_was_appended_is_there_for_the_next_process() {
    let folder = tempfile::tempdir().unwrap();
    let names = Arc::new(Names::new());
    let (journal, found) = open(folder.path(), &names).unwrap();
    assert_eq!(found, Found::default());
    append(&journal, 5, &[reading(&names, 1)]);
    let position = |at: &str| Position { stream: "0 readings".to_owned(), at: at.to_owned() };
    for at in ["7", "9"] {
        let part = Part {
            ms: 5,
            records: &[reading(&names, 2)],
            rejects: &[],
            facts: &[node(&names)],
            positions: &[(1, position(at))],
            aliases: None,
        };
        journal.append(&part).unwrap();
    }
    journal.cut(6).unwrap();
    drop(journal);

    let names = Arc::new(Names::new());
    names.intern("something else");
    let (journal, found) = open(folder.path(), &names).unwrap();
    assert_eq!(
        found,
        Found {
            newest_ms: Some(6),
            last_index: 2,
            committed_ms: None,
            newest_cut_ms: Some(6),
            method_ms: None
        }
    );
    assert_eq!(journal.positions("erp").unwrap(), [position("9")]);
    assert_eq!(journal.positions("plant").unwrap(), []);
    assert_eq!(journal.reader().unwrap().facts_until(9).unwrap().len(), 2);
    let reader = journal.reader().unwrap();
    assert_eq!(reader.next_ms(i64::MIN, 9).unwrap(), Some(5));
    let stored = reader.tick(5).unwrap();
    assert_eq!(stored.frame.records, [1, 2, 2].map(|index| reading(&names, index)));
    assert_eq!((stored.facts[0].source, stored.is_cut), (Some(1), false));
    assert_eq!(reader.next_ms(5, 9).unwrap(), Some(6));
    assert!(reader.tick(6).unwrap().is_cut && journal.is_cut(6).unwrap());
    assert_eq!(reader.next_ms(6, 9).unwrap(), None);
    assert!(info(&folder.path().join(FILE)).unwrap().contains("records            3"));
    assert_eq!(verify(&folder.path().join(FILE)).unwrap(), Vec::<String>::new());
    let mut lines = Vec::new();
    export(&folder.path().join(FILE), &mut lines).unwrap();
    assert_eq!(String::from_utf8(lines).unwrap().matches("\"value\":\"1.2\"").count(), 3);
}

#[test]
fn a_second_process_is_refused_and_a_dead_one_leaves_no_lock() {
    let folder = tempfile::tempdir().unwrap();
    let names = Arc::new(Names::new());
    let (journal, _) = open(folder.path(), &names).unwrap();
    assert!(matches!(open(folder.path(), &names), Err(JournalError::Locked(_))));
    drop(journal);
    assert!(open(folder.path(), &names).is_ok());
}

#[test]
fn what_decides_results_cannot_change() {
    let folder = tempfile::tempdir().unwrap();
    let names = Arc::new(Names::new());
    drop(open(folder.path(), &names).unwrap());
    let under = |policy: &mut Policy| {
        Journal::open(folder.path(), "acme", policy, &[], Arc::clone(&names)).map(drop)
    };
    let error = under(&mut Policy { gwp: GwpSet::Ar5, ..policy() }).unwrap_err().to_string();
    assert_eq!(error, "the journal was written with gwp = ar6, and now it is ar5");
    assert!(under(&mut Policy { retain: Retain::of(1), ..policy() }).is_err());
    // What only the live windows hold may.
    assert!(under(&mut Policy { windows_ms: vec![3_600_000], ..policy() }).is_ok());
}

#[test]
fn a_longer_retain_counts_from_what_is_journaled_on() {
    let folder = tempfile::tempdir().unwrap();
    let names = Arc::new(Names::new());
    let under = |days: i64| {
        let mut policy = Policy { retain: Retain::of(days * 86_400_000), ..policy() };
        let opened = Journal::open(folder.path(), "acme", &mut policy, &[], Arc::clone(&names));
        opened.map(|(journal, _)| (journal, policy.retain))
    };
    let (journal, retain) = under(1).unwrap();
    assert_eq!(retain, Retain::of(86_400_000));
    append(&journal, 7_000, &[]);
    journal.cut(8_000).unwrap();
    drop(journal);
    let grown = retain.grown(8_000, 3 * 86_400_000).unwrap();
    // As long as nothing came since, it has not counted.
    assert_eq!(under(3).unwrap().1, grown);
    assert_eq!(under(1).unwrap().1, Retain::of(86_400_000));
    for ms in [9_000, 9_001] {
        let (journal, retain) = under(3).unwrap();
        assert_eq!(retain, grown);
        journal.cut(ms).unwrap();
    }
    // Whoever is refused for something else has changed nothing.
    let mut other = Policy { retain: Retain::of(9 * 86_400_000), gwp: GwpSet::Ar5, ..policy() };
    assert!(Journal::open(folder.path(), "acme", &mut other, &[], Arc::clone(&names)).is_err());
    assert_eq!(under(3).unwrap().1, grown);
    let error = under(1).unwrap_err().to_string();
    let was = "the journal was written with retain = 86400000 ms; after 8000: 259200000 ms";
    assert_eq!(error, format!("{was}, and now it is 86400000 ms"));
}

#[test]
fn hours_of_footprints_stay_whole_or_split() {
    let in_zone = |folder: &tempfile::TempDir, name: &str, minute: i64| {
        let calendar = Calendar::new(name, vec![0, 60_000 * minute], vec![]);
        let mut policy = Policy { calendar, ..policy() };
        let names = Arc::new(Names::new());
        Journal::open(folder.path(), "acme", &mut policy, &[], names).map(|(journal, _)| journal)
    };
    let folder = tempfile::tempdir().unwrap();
    let zone = |name, minute| in_zone(&folder, name, minute);
    zone("Europe/Berlin", 60).unwrap().cut(5).unwrap();
    assert!(zone("America/New_York", 120).is_ok(), "no month begins within an hour there either");
    let error = zone("Asia/Kolkata", 90).unwrap_err().to_string();
    let was = "the journal was written with footprints = by whole hours";
    let is = "by hours that are split where months of Asia/Kolkata begin";
    assert_eq!(error, format!("{was}, and now it is {is}"));
    assert!(zone("Europe/Berlin", 60).is_ok());
    // The other way round, too.
    let folder = tempfile::tempdir().unwrap();
    let zone = |name, minute| in_zone(&folder, name, minute);
    zone("Asia/Kolkata", 90).unwrap().cut(5).unwrap();
    assert!(zone("Asia/Kolkata", 90).is_ok());
    assert!(zone("Europe/Berlin", 60).is_err() && zone("Asia/Kathmandu", 75).is_err());
}

#[test]
fn a_newer_format_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let names = Arc::new(Names::new());
    let (journal, _) = open(folder.path(), &names).unwrap();
    journal.db().set_meta("format", "99").unwrap();
    drop(journal);
    let error = open(folder.path(), &names).unwrap_err().to_string();
    assert!(error.ends_with("has format \"99\", and this program knows 3"), "{error}");
}

#[test]
fn a_source_that_is_gone_keeps_its_name() {
    let folder = tempfile::tempdir().unwrap();
    let names = Arc::new(Names::new());
    let (journal, _) = open(folder.path(), &names).unwrap();
    append(&journal, 5, &[reading(&names, 1)]);
    drop(journal);
    let only = ["new".into()];
    let opened = Journal::open(folder.path(), "acme", &mut policy(), &only, Arc::clone(&names));
    let (journal, _) = opened.unwrap();
    let known = journal.sources().all();
    let known: Vec<&str> = known.iter().map(|name| &**name).collect();
    assert_eq!(known, ["new", "plant", "erp"]);
    let stored = journal.reader().unwrap().tick(5).unwrap();
    assert_eq!(stored.frame.records[0].arrival().source, 2);
    // One that is added meanwhile is known to whoever reads already.
    let reader = journal.reader().unwrap();
    assert_eq!([journal.add_source("late").unwrap(), journal.add_source("erp").unwrap()], [3, 2]);
    let Record::Reading(mut late) = reading(&names, 2) else { panic!("it is a reading") };
    late.arrival.source = 3;
    append(&journal, 6, &[Record::Reading(late)]);
    assert_eq!(reader.tick(6).unwrap().frame.records[0].arrival().source, 3);
}

#[test]
fn what_no_restart_needs_is_forgotten() {
    let folder = tempfile::tempdir().unwrap();
    let names = Arc::new(Names::new());
    let (journal, _) = open(folder.path(), &names).unwrap();
    for ms in 1..=80 {
        append(&journal, ms, &[reading(&names, ms.unsigned_abs())]);
    }
    journal.cut(3).unwrap();
    journal.keep(10, &[vec![reading(&names, 1)], Vec::new()]).unwrap();
    journal.keep(20, &[Vec::new(), vec![reading(&names, 2)]]).unwrap();
    let reader = journal.reader().unwrap();
    assert_eq!(reader.kept(9, 40).unwrap(), None);
    assert_eq!(reader.kept(10, 40).unwrap().unwrap().records, [reading(&names, 1)]);
    journal.committed(32).unwrap();
    // One of the frames from before the horizon holds a reading of after it.
    let at = |at_ms| match reading(&names, 81) {
        Record::Reading(reading) => Record::Reading(Reading { at_ms, ..reading }),
        other @ Record::Activity(_) => other,
    };
    append(&journal, 20, &[at(1_025), at(1_026)]);
    while journal.forget(20, 1_025).unwrap() {}
    assert_eq!(journal.reader().unwrap().count_until(i64::MAX).unwrap(), (1, 2));
    assert_eq!(reader.kept(10, 40).unwrap(), None, "it is superseded");
    assert!(reader.kept(20, 40).unwrap().is_some());
    assert!(!journal.is_cut(3).unwrap());
    drop(journal);
    let (_, found) = open(folder.path(), &names).unwrap();
    assert_eq!(found.committed_ms, Some(32));
}

#[test]
fn a_torn_frame_is_found() {
    let folder = tempfile::tempdir().unwrap();
    let names = Arc::new(Names::new());
    let (journal, _) = open(folder.path(), &names).unwrap();
    append(&journal, 5, &[reading(&names, 1)]);
    drop(journal);
    let path = folder.path().join(FILE);
    let db = rusqlite::Connection::open(&path).unwrap();
    db.execute("UPDATE frames SET body = substr(body, 1, length(body) - 2)", []).unwrap();
    drop(db);
    let problems = verify(&path).unwrap();
    assert_eq!(problems.len(), 1, "{problems:?}");
    assert!(problems[0].starts_with("frame 1 of tick 1970-01-01T00:00:00.005Z"), "{problems:?}");
}
