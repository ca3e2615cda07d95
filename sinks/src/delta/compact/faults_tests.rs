//! Whatever fails while files are merged, the tables hold what they held, and the next try goes on.

use plumeline_pipelines::model::time::DAY_MS;

use super::tests::{HOUR_MS, MINUTE_MS, at, compact, instants, run};
use crate::delta::TableName;
use crate::delta::faulty::{Fault, Operation};
use crate::delta::tests::write_everything;

/// A step of a compaction of `emissions`.
struct Step {
    name: &'static str,
    operation: Operation,
    matching: &'static str,
    before: Option<(&'static str, Fault)>,
}

const fn step(name: &'static str, operation: Operation, matching: &'static str) -> Step {
    Step { name, operation, matching, before: None }
}

const STEPS: [Step; 5] = [
    step("a footer or row group is read", Operation::Get, "emissions/recorded_date"),
    step("a merged file is put", Operation::Put, "emissions/recorded_date"),
    step("the entry is put", Operation::Put, "emissions/_delta_log/0"),
    Step {
        before: Some(("emissions/_delta_log/0", Fault::AnswerLost)),
        ..step("the log is listed after it", Operation::List, "emissions/_delta_log")
    },
    Step {
        before: Some(("emissions/_delta_log/0", Fault::AnswerLost)),
        ..step("the entry is read after it", Operation::Get, "emissions/_delta_log/0")
    },
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
    fn can_have(&self, fault: Fault) -> bool {
        match fault {
            Fault::BreaksOff => self.operation != Operation::Put,
            Fault::Short => self.operation == Operation::Get,
            _ => true,
        }
    }
}

#[test]
fn a_fault_at_any_step_changes_no_row_and_the_next_try_goes_on() {
    let instants = [1, 10, 20 * MINUTE_MS, DAY_MS, DAY_MS + 1_000, 2 * DAY_MS + 2 * HOUR_MS];
    let bench = run(&instants, |_, _, _| ());
    let expected = bench.held();
    let lake = bench.memory.open();
    compact(&mut lake.compactor(HOUR_MS));
    let live = bench.live(TableName::Emissions).len();
    for (step, is_another) in STEPS.iter().flat_map(|step| [(step, false), (step, true)]) {
        for fault in FAULTS.into_iter().filter(|fault| step.can_have(*fault)) {
            let what = format!("{}, {fault:?}, another process: {is_another}", step.name);
            let bench = run(&instants, |_, _, _| ());
            let mut lake = bench.memory.open();
            let mut compactor = lake.compactor(HOUR_MS);
            if let Some((matching, fault)) = step.before {
                bench.store.trap(Operation::Put, matching, 1, fault);
            }
            bench.store.trap(step.operation, step.matching, 1, fault);
            let expected_faults = 1 + usize::from(step.before.is_some());
            let mut errors = 0;
            while bench.store.sprung() < expected_faults || errors == 0 && is_another {
                match compactor.step(&|| true) {
                    Ok(Some(_)) => {}
                    Ok(None) => break,
                    Err(error) => {
                        // The kernel does not see that what it reads is short, and cannot say why it is no log.
                        let is_known = error.transient() || fault == Fault::Short;
                        assert!(is_known, "{what}: {error}");
                        errors += 1;
                        assert!(errors < 4, "{what}");
                    }
                }
            }
            assert_eq!(bench.store.sprung(), expected_faults, "{what}: it was never met");
            bench.store.heal();
            assert_eq!(bench.held(), expected, "{what}");
            if is_another {
                lake = bench.memory.open();
                compactor = lake.compactor(HOUR_MS);
            }
            // A log that was left in doubt is taken up again after the next commit.
            bench.commit(&mut lake, at(2 * DAY_MS + 23 * HOUR_MS));
            compact(&mut compactor);
            // The files of two more cuts, of one or two parts.
            assert!(bench.live(TableName::Emissions).len() <= live + 2, "{what}");
            let held = bench.held();
            let rows = expected.iter().all(|(table, rows)| {
                rows.iter().all(|row| held[table].binary_search(row).is_ok())
                    && held[table].len() * instants.len() == rows.len() * (instants.len() + 1)
            });
            assert!(rows, "{what}");
        }
    }
}

#[test]
fn commits_go_on_while_files_are_merged() {
    let instants = instants();
    let mut expected = instants.clone();
    expected.push(3 * DAY_MS);
    expected.push(3 * DAY_MS + MINUTE_MS);
    let expected = run(&expected, |_, _, _| ()).held();
    for matching in ["emissions/recorded_date", "emissions/_delta_log/0"] {
        let bench = run(&instants, |_, _, _| ());
        let mut lake = bench.memory.open();
        let mut compactor = lake.compactor(HOUR_MS);
        bench.store.trap(Operation::Put, matching, 1, Fault::Held);
        std::thread::scope(|scope| {
            let merging = scope.spawn(|| compact(&mut compactor));
            while bench.store.sprung() < 1 {
                std::thread::yield_now();
            }
            if matching.contains("recorded_date") {
                bench.commit(&mut lake, at(3 * DAY_MS));
                assert!(!merging.is_finished());
            }
            bench.store.open_gate();
            if !matching.contains("recorded_date") {
                bench.commit(&mut lake, at(3 * DAY_MS));
            }
            bench.commit(&mut lake, at(3 * DAY_MS + MINUTE_MS));
            assert!(!merging.join().expect("it ends").is_empty());
        });
        assert_eq!(bench.held(), expected, "{matching}");
        assert_eq!(bench.memory.open().committed(), lake.committed());
    }
}

#[test]
fn what_somebody_else_has_merged_meanwhile_is_not_merged_again() {
    let instants = instants();
    let bench = run(&instants, |_, _, _| ());
    let expected = bench.held();
    let lake = bench.memory.open();
    bench.store.trap(Operation::Put, "activity/recorded_date", 1, Fault::Held);
    let mut compactor = lake.compactor(HOUR_MS);
    std::thread::scope(|scope| {
        let merging = scope.spawn(|| {
            let mut steps = Vec::new();
            loop {
                match compactor.step(&|| true).expect("nothing fails") {
                    Some(step) => steps.push(step),
                    None => return steps,
                }
            }
        });
        while bench.store.sprung() < 1 {
            std::thread::yield_now();
        }
        let other = bench.memory.open();
        assert!(!compact(&mut other.compactor(HOUR_MS)).is_empty());
        bench.store.open_gate();
        let steps = merging.join().expect("it ends");
        assert!(steps.iter().all(|step| step.table != TableName::Activity), "{steps:?}");
    });
    assert_eq!(bench.held(), expected);
    assert!(compact(&mut compactor).is_empty());
}

#[test]
fn a_log_that_a_commit_has_left_in_doubt_is_not_touched() {
    let bench = run(&instants(), |_, _, _| ());
    let mut lake = bench.memory.open();
    let mut writer = lake.begin(at(3 * DAY_MS));
    write_everything(&mut writer, &bench.memory.names);
    // The entry is there, and nobody knows.
    bench.store.trap(Operation::Put, "activity/_delta_log/0", 1, Fault::AnswerLost);
    bench.store.trap(Operation::List, "activity/_delta_log", usize::MAX, Fault::Away);
    assert!(writer.commit().expect_err("unknown").transient());
    bench.store.heal();
    let version = lake.versions()[&TableName::Activity];
    let steps = compact(&mut lake.compactor(HOUR_MS));
    assert!(steps.iter().all(|step| step.table != TableName::Activity));
    assert_eq!(lake.versions()[&TableName::Activity], version);
    writer.commit().expect("it was there");
    assert_eq!(lake.committed(), Some(at(3 * DAY_MS)));
    let steps = compact(&mut lake.compactor(HOUR_MS));
    assert!(steps.iter().any(|step| step.table == TableName::Activity));
}
