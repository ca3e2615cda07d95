//! Names of meters are remembered, and what came under one is found again: all of it, once, in its order.

use std::path::Path;
use std::sync::Arc;

use plumeline_pipelines::model::{Arrival, Calendar, GwpSet, Policy, Quality, Retain};

use super::super::{Found, Part};
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

fn open(folder: &Path, names: &Arc<Names>) -> (Journal, Found) {
    Journal::open(folder, "acme", &mut policy(), &["plant".into()], Arc::clone(names)).unwrap()
}

fn reading(names: &Names, meter: &str, at_ms: i64, index: u64) -> Record {
    Record::Reading(Reading {
        meter: names.intern(meter),
        at_ms,
        from_ms: None,
        value: None,
        unit: None,
        version: 0,
        quality: Quality::Measured,
        arrival: Arrival { index, source: 0, element: 3, position: 7 * index },
    })
}

fn append(journal: &Journal, records: &[Record], aliases: Option<&Aliases>) {
    let (rejects, facts, positions) = (&[], &[], &[]);
    journal.append(&Part { ms: 5, records, rejects, facts, positions, aliases }).unwrap();
}

#[test]
fn what_is_known_is_known_to_the_next_process() {
    let folder = tempfile::tempdir().unwrap();
    let names = Arc::new(Names::new());
    let (journal, _) = open(folder.path(), &names);
    assert_eq!(journal.aliases().unwrap(), Aliases::default());
    let known = |names: &Names| {
        let [meter, one, two] = ["m-1", "m \"100\"", "m-101"].map(|name| names.intern(name));
        let again = Again { names: [one].into(), after: i64::MIN, until: 90 };
        Aliases { meters: [(one, meter), (two, meter)].into(), again: Some(again) }
    };
    append(&journal, &[], Some(&known(&names)));
    append(&journal, &[reading(&names, "m-1", 1, 1)], None);
    drop(journal);

    let names = Arc::new(Names::new());
    names.intern("something else");
    let (journal, _) = open(folder.path(), &names);
    let again = known(&names);
    assert_eq!(
        (journal.aliases().unwrap(), journal.reader().unwrap().aliases().unwrap()),
        (again.clone(), again)
    );
    append(&journal, &[], Some(&Aliases::default()));
    assert_eq!(journal.aliases().unwrap(), Aliases::default());
}

#[test]
fn what_came_under_a_name_is_found_in_its_order_above_the_horizon() {
    let folder = tempfile::tempdir().unwrap();
    let names = Arc::new(Names::new());
    let (journal, _) = open(folder.path(), &names);
    let reader = journal.reader().unwrap();
    assert_eq!(reader.newest_frame().unwrap(), None);
    let of = |meter, at_ms, index| reading(&names, meter, at_ms, index);
    // The later arrival is of the earlier instant; 1,000 is the horizon.
    append(&journal, &[of("m-100", 1_003, 1), of("m-1", 1_003, 2), of("m-100", 1_000, 3)], None);
    append(&journal, &[of("m-2", 2_000, 4)], None);
    append(&journal, &[of("m-100", 900, 5)], None);
    append(&journal, &[of("m-101", 1_001, 6), of("m-100", 1_001, 7)], None);
    let until = reader.newest_frame().unwrap().unwrap();
    append(&journal, &[of("m-100", 1_009, 8)], None);
    let wanted = ["m-100", "m-101"].map(|name| names.intern(name));
    let all = Again { names: wanted.into(), after: i64::MIN, until };
    let expected = [of("m-100", 1_003, 1), of("m-101", 1_001, 6), of("m-100", 1_001, 7)];
    for readings_max in [1, 2, 100] {
        // Each step by another process.
        let (mut left, mut found, mut steps) = (all.clone(), Vec::new(), 0);
        loop {
            let reader = journal.reader().unwrap();
            let (readings, is_last) = reader.again(&mut left, 1_000, readings_max).unwrap();
            found.extend(readings.into_iter().map(Record::Reading));
            steps += 1;
            if is_last {
                break;
            }
        }
        assert_eq!(found, expected, "{readings_max} at a time");
        assert_eq!(steps > 1, readings_max < 100, "{steps} steps");
    }
    let mut nobody = Again { names: [names.intern("m-9")].into(), ..all };
    assert_eq!(reader.again(&mut nobody, 0, 100).unwrap(), (Vec::new(), true));
}
