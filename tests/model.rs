//! Random programs of sending, revising, ending and going on, against a model that never ends.
//!
//! ```text
//!   deeds ──┬─ send, revise, register, workers ──► the file, the tables ──┬─► the model: all that was said
//!           ├─ crash at a point, and again at another ──► plumeline run   └─► batch reference ─┐
//!           └─ drain ──► plumeline run ──► lake ─────────────────────────────────────── ══ ────┘
//! ```
//!
//! 1. A file acknowledges by position: what was written to it is accepted, however its readers end. So the model is
//!    what was sent and which facts hold; there is nothing else to keep in step.
//! 2. A deed may end the process at any of the points of [`rig::points`], after any small number of passes, and the
//!    next process right after: on the way of the recovery.
//!    Or its state folder is lost, and `plumeline restore` makes it anew from the tables.
//! 3. After each drained run the chain of commits is whole, `readings` has as many rows as were accepted,
//!    `plumeline verify` agrees at every cut, and activity and emissions sum up to the model's.
//! 4. In the end the meter that is late is registered, the rest is sent, and each row is looked at.
//!
//! Cases run a few at a time, since a run mostly waits. Seeds of those that failed are kept in `model.seeds`;
//! `PLUMELINE_CASES` raises the number of cases.

#![allow(clippy::unwrap_used, reason = "a test ends where something is wrong")]

mod rig;
mod support;

use std::any::Any;
use std::fs::{self, OpenOptions};
use std::io::{ErrorKind, Write};
use std::time::Duration;

use plumeline_fixtures::random::SplitMix64;
use proptest::prelude::*;
use proptest::test_runner::{
    FailurePersistence, FileFailurePersistence, PersistedSeed, TestRunner,
};
use rig::points::{End, FIRST, LASTING, RECOVERY, run_into};
use rig::traffic::{Facts, Traffic};
use rig::verdict::{assert_drained, assert_told, expected};
use rig::{FILE_SOURCE, LIMIT, Rig, ledger, now_ms};

/// Cases of an ordinary run.
const CASES: u32 = 12;
/// Cases at a time.
const LANES: u32 = 4;
/// Runs of a case while a failure is made smaller, and how long that may take, ms.
const SHRINKS_MAX: u32 = 24;
const SHRINK_MS_MAX: u32 = 240_000;
/// Deeds of a case.
const DEEDS_MAX: usize = 7;
/// Messages that are sent in one go.
const SENT_MAX: usize = 60;
/// Messages within which what is late, or corrects, follows.
const LATE_BY_MAX: i64 = 50;
/// Times that a point is passed before it ends the process: commits write five tables and more.
const PASSES_MAX: u32 = 6;
/// How long a run may last that does not end by itself, and did not come by the point it should end at.
const LASTS_MAX: Duration = Duration::from_secs(6);
/// Sums of the ledger.
const SUMS: &str = "SELECT (SELECT CAST(sum(amount) AS VARCHAR) FROM activity), \
     (SELECT CAST(sum(co2e_kg) AS VARCHAR) FROM emissions)";

/// What happens next.
#[derive(Clone, Debug)]
enum Deed {
    /// So many messages, with all that [`Traffic`] does to them.
    Send(usize),
    /// A factor has a further revision.
    Revise,
    /// The meter that is late is registered.
    Register,
    /// The pipeline has so many workers from now on.
    Workers(usize),
    /// The pipeline runs to its end.
    Drain,
    /// It runs until a point ends it.
    Crash(End),
    /// And so does the run after it.
    CrashTwice(End, End),
    /// The state folder is lost, and restored from the tables.
    Lose,
}

fn points() -> impl Strategy<Value = &'static str> {
    let all = FIRST.iter().map(|(point, _)| *point).chain(LASTING).chain(RECOVERY);
    prop::sample::select(all.collect::<Vec<_>>())
}

/// Mostly the first times: few points are passed often.
fn passes() -> impl Strategy<Value = u32> {
    prop_oneof![3 => Just(0), 2 => 1..3_u32, 1 => 3..=PASSES_MAX]
}

fn deeds() -> impl Strategy<Value = Deed> {
    // A point of a recovery is passed a few times at most.
    let recovery = (prop::sample::select(RECOVERY.as_slice()), 0..2_u32);
    let second = prop_oneof![recovery, (points(), passes())];
    prop_oneof![
        6 => (1..=SENT_MAX).prop_map(Deed::Send),
        1 => Just(Deed::Revise),
        1 => Just(Deed::Register),
        1 => (1..=3_usize).prop_map(Deed::Workers),
        1 => Just(Deed::Drain),
        4 => (points(), passes()).prop_map(Deed::Crash),
        3 => ((points(), passes()), second).prop_map(|(a, b)| Deed::CrashTwice(a, b)),
        2 => Just(Deed::Lose),
    ]
}

fn programs() -> impl Strategy<Value = (u64, Vec<Deed>)> {
    (any::<u64>(), prop::collection::vec(deeds(), 1..=DEEDS_MAX))
}

/// The pipeline, and all that it was told.
struct World {
    rig: Rig,
    workers: usize,
    dice: SplitMix64,
    traffic: Traffic,
    facts: Facts,
}

impl World {
    fn new(seed: u64) -> Self {
        let [sent, dice] = [0, 1].map(|part| SplitMix64::part(seed, part));
        let facts = Facts::new();
        let rig = facts.rig(FILE_SOURCE);
        rig.write("readings.jsonl", "");
        let traffic = Traffic::new(sent).within(LATE_BY_MAX);
        Self { rig, workers: 2, dice, traffic, facts }
    }

    fn perform(&mut self, deed: &Deed) {
        match deed {
            Deed::Send(count) => {
                let lines: Vec<_> = (0..*count).map(|_| self.traffic.next(1).line).collect();
                self.append(&lines);
            }
            Deed::Revise => self.facts.revise(&self.rig, &mut self.dice),
            Deed::Register => self.facts.register_late(&self.rig),
            Deed::Workers(workers) => {
                let line = |workers| format!("workers = {workers}\n");
                self.rig.edit("pipeline.toml", &line(self.workers), &line(*workers));
                self.workers = *workers;
            }
            Deed::Drain => self.drain(),
            Deed::Crash(end) => self.crash(*end),
            Deed::CrashTwice(first, second) => {
                self.crash(*first);
                self.crash(*second);
            }
            Deed::Lose => self.lose(),
        }
    }

    fn append(&self, lines: &[String]) {
        let path = self.rig.path("readings.jsonl");
        let mut file = OpenOptions::new().append(true).open(path).unwrap();
        file.write_all((lines.join("\n") + "\n").as_bytes()).unwrap();
    }

    fn crash(&self, end: End) {
        let is_reached = if LASTING.contains(&end.0) {
            self.last_into(end)
        } else {
            run_into(&self.rig, end, LIMIT)
        };
        let how = if is_reached { "ended" } else { "drained" };
        eprintln!("{}, passed {} times: {how}", end.0, end.1);
        if !is_reached {
            self.assert_ledger();
        }
    }

    /// The same for a run that does not end by itself.
    fn last_into(&self, end: End) -> bool {
        let followed = format!("{FILE_SOURCE}follow = true\n");
        self.rig.edit("pipeline.toml", FILE_SOURCE, &followed);
        // Without anything new it may never commit, and so never forget: then it is asked to end.
        let is_reached = run_into(&self.rig, end, LASTS_MAX);
        self.rig.edit("pipeline.toml", &followed, FILE_SOURCE);
        is_reached
    }

    fn lose(&self) {
        match fs::remove_dir_all(self.rig.path("state")) {
            Err(error) if error.kind() != ErrorKind::NotFound => panic!("{error}"),
            Ok(()) | Err(_) => {}
        }
        let restored = self.rig.plumeline(&["restore"]);
        let said = String::from_utf8(restored.stderr).unwrap();
        let is_begun = !said.contains("nothing is committed");
        eprintln!("lost, and {}", if is_begun { "restored" } else { "begun anew" });
        assert_eq!(restored.status.success(), is_begun, "{said}");
    }

    fn drain(&self) {
        self.rig.run_to_end();
        self.assert_ledger();
    }

    /// After a drained run the ledger is what was said.
    #[track_caller]
    fn assert_ledger(&self) {
        assert_drained(&self.rig, &self.traffic);
        let Some(python) = ledger::reader() else {
            return;
        };
        let [activity, emissions, _] = expected(&self.rig, &self.traffic).balances(now_ms());
        let sums = [
            activity.values().map(|sums| sums[0]).sum::<i128>(),
            emissions.values().map(|sums| sums[1]).sum::<i128>(),
        ];
        let found = ledger::query(&self.rig, &python, SUMS).concat();
        let digits = |sum: &String| sum.replace('.', "").parse::<i128>().unwrap_or(0);
        assert_eq!(found.iter().map(digits).collect::<Vec<_>>(), sums, "activity and emissions");
    }

    /// All that waits is said, and all that was said is in the ledger.
    fn end(&mut self) {
        self.facts.register_late(&self.rig);
        let rest: Vec<_> = self.traffic.rest(1).into_iter().map(|message| message.line).collect();
        self.append(&rest);
        self.drain();
        if let Some(python) = ledger::reader() {
            assert_told(&self.rig, &python, &self.traffic, &self.facts);
        }
    }
}

/// Saves seeds where another runner loads them.
#[derive(Clone, Debug, PartialEq)]
struct SaveOnly(FileFailurePersistence);

impl FailurePersistence for SaveOnly {
    fn load_persisted_failures2(&self, _: Option<&'static str>) -> Vec<PersistedSeed> {
        Vec::new()
    }

    fn save_persisted_failure2(
        &mut self,
        source: Option<&'static str>,
        seed: PersistedSeed,
        shrunken: &dyn std::fmt::Debug,
    ) {
        self.0.save_persisted_failure2(source, seed, shrunken);
    }

    fn box_clone(&self) -> Box<dyn FailurePersistence> {
        Box::new(self.clone())
    }

    fn eq(&self, other: &dyn FailurePersistence) -> bool {
        other.as_any().downcast_ref::<Self>().is_some_and(|other| self == other)
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

/// The share of a lane, and where seeds are: the first lane also runs those that failed before.
fn share(lane: u32) -> ProptestConfig {
    let all = std::env::var("PLUMELINE_CASES").ok().and_then(|n| n.parse().ok()).unwrap_or(CASES);
    let seeds = FileFailurePersistence::WithSource("seeds");
    ProptestConfig {
        cases: all / LANES + u32::from(lane < all % LANES),
        failure_persistence: Some(if lane == 0 {
            Box::new(seeds)
        } else {
            Box::new(SaveOnly(seeds))
        }),
        source_file: Some(file!()),
        max_shrink_iters: SHRINKS_MAX,
        max_shrink_time: SHRINK_MS_MAX,
        ..ProptestConfig::default()
    }
}

#[test]
fn whatever_happens_the_ledger_is_what_was_said() {
    let run = |lane| {
        let result = TestRunner::new(share(lane)).run(&programs(), |(seed, deeds)| {
            let mut world = World::new(seed);
            for deed in &deeds {
                world.perform(deed);
            }
            world.end();
            Ok(())
        });
        result.map_err(|failure| failure.to_string())
    };
    let failures: Vec<String> = std::thread::scope(|scope| {
        let lanes: Vec<_> = (0..LANES).map(|lane| scope.spawn(move || run(lane))).collect();
        lanes.into_iter().filter_map(|lane| lane.join().unwrap().err()).collect()
    });
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}
