//! Tests of the door: names become known and unknown, and each thing they bring is taken in again once.

use std::path::Path;
use std::sync::Arc;

use plumeline_pipelines::model::{Arrival, Calendar, GwpSet, Names, Quality, Record, Retain};

use super::*;
use crate::journal::{Journal, Part};

const DAY_MS: i64 = 86_400_000;
const NOW_MS: i64 = 20_000 * DAY_MS;

fn policy() -> Policy {
    Policy {
        period_ms: 3_600_000,
        grace_ms: 0,
        retain: Retain::of(2 * DAY_MS),
        samples_ms: DAY_MS,
        windows_ms: Vec::new(),
        calendar: Calendar::default(),
        gwp: GwpSet::Ar6,
    }
}

fn open(folder: &Path, names: &Arc<Names>) -> Journal {
    let names = Arc::clone(names);
    Journal::open(folder, "acme", &mut policy(), &["plant".into()], names).unwrap().0
}

fn append(journal: &Journal, records: &[Record], aliases: Option<&Aliases>) {
    let (rejects, facts, positions) = (&[], &[], &[]);
    journal.append(&Part { ms: NOW_MS, records, rejects, facts, positions, aliases }).unwrap();
}

fn reading(meter: Id, at_ms: i64, index: u64) -> Record {
    Record::Reading(Reading {
        meter,
        at_ms,
        from_ms: None,
        value: None,
        unit: None,
        version: 0,
        quality: Quality::Measured,
        arrival: Arrival { index, ..Arrival::default() },
    })
}

/// Everything that is left to be taken in again, by the numbers it came under.
fn left(door: &mut Door) -> Vec<u64> {
    let mut found = Vec::new();
    while door.is_taking_again() {
        found.extend(door.next(NOW_MS).unwrap().iter().map(|reading| reading.arrival.index));
    }
    found
}

#[test]
fn a_name_leads_to_its_meter_and_what_came_under_it_is_found_once() {
    let folder = tempfile::tempdir().unwrap();
    let names = Arc::new(Names::new());
    let journal = open(folder.path(), &names);
    let [one, two, hundred, other] = ["m-1", "m-2", "m-100", "m-200"].map(|n| names.intern(n));
    let mut door = Door::open(journal.reader().unwrap(), &policy()).unwrap();
    assert_eq!([one, hundred].map(|name| door.meter_of(name)), [one, hundred]);
    // Nothing came yet: nothing is left.
    assert_eq!(door.learn([(other, two)].into()).unwrap(), 1);
    assert!(!door.is_taking_again());
    let old = reading(hundred, NOW_MS - 3 * DAY_MS, 2);
    append(&journal, &[reading(hundred, NOW_MS, 1), old, reading(one, NOW_MS, 3)], None);
    append(&journal, &[reading(other, NOW_MS, 4)], None);
    assert_eq!(door.learn([(other, two), (hundred, one)].into()).unwrap(), 1);
    assert_eq!([one, two, hundred, other].map(|name| door.meter_of(name)), [one, two, one, two]);
    assert_eq!(left(&mut door), [1], "what lies below the horizon is passed over");
    assert_eq!(door.learn([(other, two), (hundred, one)].into()).unwrap(), 0);
    assert!(!door.is_taking_again());
    // One that is another's now is new to that one; one that is none any more is itself again.
    assert_eq!(door.learn([(hundred, two)].into()).unwrap(), 1);
    assert_eq!([hundred, other].map(|name| door.meter_of(name)), [two, other]);
    assert_eq!(left(&mut door), [1]);
    assert_eq!(door.learn(BTreeMap::new()).unwrap(), 0);
    assert_eq!(door.meter_of(hundred), hundred);
}

#[test]
fn another_process_goes_on_with_what_is_left() {
    let folder = tempfile::tempdir().unwrap();
    let names = Arc::new(Names::new());
    let journal = open(folder.path(), &names);
    let [meter, alias, later] = ["m-1", "m-100", "m-101"].map(|name| names.intern(name));
    append(&journal, &[reading(alias, NOW_MS, 1), reading(later, NOW_MS, 2)], None);
    let mut door = Door::open(journal.reader().unwrap(), &policy()).unwrap();
    door.learn([(alias, meter)].into()).unwrap();
    // A kill before it was put down: the name is new again.
    let mut killed = Door::open(journal.reader().unwrap(), &policy()).unwrap();
    assert!(!killed.is_taking_again());
    assert_eq!(killed.learn([(alias, meter)].into()).unwrap(), 1);
    append(&journal, &[], Some(door.aliases()));
    let mut next = Door::open(journal.reader().unwrap(), &policy()).unwrap();
    assert_eq!(next.meter_of(alias), meter);
    // A name that becomes known before that is done is done with it.
    assert_eq!(next.learn([(alias, meter), (later, meter)].into()).unwrap(), 1);
    assert_eq!(left(&mut next), [1, 2]);
    append(&journal, &[], Some(next.aliases()));
    let done = Door::open(journal.reader().unwrap(), &policy()).unwrap();
    assert!(!done.is_taking_again());
    assert_eq!(done.meter_of(later), meter);
}
