//! A pipeline that is killed again and again, at moments that a seeded die chooses.
//!
//! ```text
//!   round: maybe revise a factor ─► launch, 1 or 2 workers ─► wait for a moment ─► SIGKILL
//!             starting   so long after the launch: it loads, or recovers what an earlier kill left
//!             running    so long after it said that it runs
//!             writing    as soon as the journal or a table's log has changed: in the middle of a commit
//!             draining   so long after it was asked to end
//! ```
//!
//! 1. The signal goes to the process that was started, through its keeper; nothing else is touched.
//! 2. A process that ended by itself, before it was killed or asked to end, has failed the test: nothing a
//!    kill leaves behind may keep the next start from working.
//! 3. After each kill the ledger's chain of commits is whole.
//!
//! `PLUMELINE_KILLS` raises the number of rounds, `PLUMELINE_SEED` repeats a run's choices (not the
//! machine's timing).

use std::env;
use std::process::ExitStatus;
use std::thread;
use std::time::{Duration, Instant};

use plumeline_fixtures::random::SplitMix64;

use super::traffic::Facts;
use super::verdict::assert_chain;
use super::{LIMIT, Launched, Rig, now_ms, port_in};
use crate::support::process::wait_until;

/// How many rounds the test with the most of them has; the others have their share.
const KILLS: &str = "PLUMELINE_KILLS";
/// What all choices follow from.
const SEED: &str = "PLUMELINE_SEED";
/// What a shell makes of an end by SIGKILL.
const KILLED: i32 = 128 + 9;
/// Where a commit shows: the journal, and the logs of the first table, of two in the middle and of the last.
const WRITTEN: [&str; 5] = [
    "state",
    "lake/readings/_delta_log",
    "lake/footprints/_delta_log",
    "lake/emissions/_delta_log",
    "lake/activity/_delta_log",
];
/// Longest wait for something to be written; then it is killed all the same.
const WRITE_LIMIT: Duration = Duration::from_secs(3);
/// Between two looks at what is written: a commit of one table takes milliseconds.
const WRITE_LOOK_EVERY: Duration = Duration::from_micros(200);

/// When a process is killed.
#[derive(Copy, Clone, Debug)]
enum Moment {
    Starting(Duration),
    Running(Duration),
    Writing(&'static str, Duration),
    Draining(Duration),
}

impl Moment {
    fn roll(dice: &mut SplitMix64) -> Self {
        let ms = |ms: i64| Duration::from_millis(ms.unsigned_abs());
        match dice.between(0, 10) {
            0 => Self::Starting(ms(dice.between(0, 60))),
            1 => Self::Starting(ms(dice.between(60, 1_500))),
            2..6 => Self::Running(ms(dice.between(0, 1_500))),
            6..9 => {
                let folder = usize::try_from(dice.between(0, 5)).expect("it is positive");
                Self::Writing(WRITTEN[folder], ms(dice.between(0, 8)))
            }
            _ => Self::Draining(ms(dice.between(0, 300))),
        }
    }
}

/// The seed of this run, said so that a failure tells it.
pub(crate) fn seed() -> u64 {
    let seed = number(SEED).unwrap_or_else(|| now_ms().unsigned_abs());
    eprintln!("{SEED}={seed} chooses the same again");
    seed
}

/// How many kills a test makes: `ordinarily`, or one `share`-th of what the environment says.
pub(crate) fn kills(ordinarily: u64, share: u64) -> u64 {
    number(KILLS).map_or(ordinarily, |kills| kills.div_ceil(share))
}

fn number(variable: &str) -> Option<u64> {
    let text = env::var(variable).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{variable}={text} is no number")))
}

/// Kills the pipeline of a rig.
#[derive(Debug)]
pub(crate) struct Killer<'r> {
    rig: &'r Rig,
    dice: SplitMix64,
    facts: Facts,
    workers: u8,
    rounds: u64,
}

impl<'r> Killer<'r> {
    /// A killer of the pipeline of `rig`, whose tables are `facts`.
    pub(crate) fn new(rig: &'r Rig, facts: Facts, dice: SplitMix64) -> Self {
        Self { rig, dice, facts, workers: 2, rounds: 0 }
    }

    /// Starts it, with one worker and two in turn, and kills it.
    #[track_caller]
    pub(crate) fn round(&mut self) {
        self.round_with(|| ());
    }

    /// The same; something is done `meanwhile`, after the launch and before the kill.
    #[track_caller]
    pub(crate) fn round_with(&mut self, meanwhile: impl FnOnce()) {
        self.rounds += 1;
        self.turn_workers();
        let moment = Moment::roll(&mut self.dice);
        let revision = self.dice.between(0, 6);
        eprintln!("round {}: {} workers, {moment:?}", self.rounds, self.workers);
        if revision == 0 {
            self.revise();
        }
        let before = written(self.rig, moment);
        let mut launched = self.rig.launch(&[], |_, _| true);
        if revision == 1 {
            self.revise();
        }
        meanwhile();
        let is_asked_to_end = self.wait_for(moment, before, &mut launched);
        let status = launched.process.kill();
        let is_as_it_should =
            status.code() == Some(KILLED) || (is_asked_to_end && status.success());
        assert!(is_as_it_should, "it ended by itself: {}", said(&launched, status));
        assert_chain(self.rig);
    }

    /// The facts as they are in the end; all meters are registered.
    pub(crate) fn finish(mut self) -> Facts {
        self.facts.register_late(self.rig);
        self.facts
    }

    fn turn_workers(&mut self) {
        let workers = 3 - self.workers;
        let line = |workers| format!("workers = {workers}\n");
        self.rig.edit("pipeline.toml", &line(self.workers), &line(workers));
        self.workers = workers;
    }

    fn revise(&mut self) {
        eprintln!("round {}: a factor is revised", self.rounds);
        self.facts.revise(self.rig, &mut self.dice);
    }

    /// Waits for `moment`; says whether the process was asked to end.
    #[track_caller]
    fn wait_for(&self, moment: Moment, before: Written, launched: &mut Launched) -> bool {
        match moment {
            Moment::Starting(after) => thread::sleep(after),
            Moment::Running(after) => {
                wait_until_it_runs(launched);
                thread::sleep(after);
            }
            Moment::Writing(_, after) => {
                let began = now();
                while began.elapsed() < WRITE_LIMIT && written(self.rig, moment) == before {
                    thread::sleep(WRITE_LOOK_EVERY);
                }
                thread::sleep(after);
            }
            Moment::Draining(after) => {
                wait_until_it_runs(launched);
                launched.process.signal("TERM");
                thread::sleep(after);
                return true;
            }
        }
        false
    }
}

#[track_caller]
fn wait_until_it_runs(launched: &mut Launched) {
    wait_until("the pipeline to run", LIMIT, || {
        if let Some(status) = launched.process.ended() {
            panic!("it ended by itself: {}", said(launched, status));
        }
        port_in(&launched.log, launched.said).is_some()
    });
}

/// How it ended, and its last words.
fn said(launched: &Launched, status: ExitStatus) -> String {
    format!("{status}\n{}", launched.process.last_lines())
}

/// What a folder holds: files, and bytes in them.
type Written = Option<(usize, u64)>;

/// What the folder of `moment` holds, where there is one.
fn written(rig: &Rig, moment: Moment) -> Written {
    match moment {
        Moment::Writing(folder, _) => Some(rig.held(folder)),
        _ => None,
    }
}

#[expect(clippy::disallowed_methods, reason = "tests kill real processes in real time")]
fn now() -> Instant {
    Instant::now()
}
