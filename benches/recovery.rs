//! How long a restart takes: from the start until footprints show, with so many retained readings in the
//! journal.
//!
//! `cargo bench --bench recovery`; READINGS (10,000,000), METERS (10,000), RATE (10,000 a second), FRAME (500
//! readings a frame), WORKERS (2) from the environment. `TMPDIR` says on which disk; making the journal flushes
//! it once a frame.
//!
//! 1. A pipeline runs on a clock at the beginning of the history, so that the journal has its tables.
//! 2. The history is appended to the journal as the ingest would have done, in ticks of 250 ms, at RATE, up
//!    to now. All of it lies inside `retain`.
//! 3. The pipeline is started, and the time taken until the state is restored and footprints of it are on
//!    `/metrics`. There is no ledger: the newest cut that the journal notes is the one that is restored.

use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use plumeline::config::Pipeline;
use plumeline::journal::{Journal, Part};
use plumeline::runtime::{Clock, Running, WallClock};
use plumeline_fixtures::load::Load;
use plumeline_fixtures::random::SplitMix64;
use plumeline_pipelines::model::{
    Arrival, Cause, Decimal, Id, Names, Quality, Reading, Record, Tick, Unit,
};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Time between seals, as the ingest has it.
const TICK_MS: i64 = 250;
/// Time between cuts.
const CUT_MS: i64 = 60_000;
/// Between two looks at whether it is done.
const LOOK_EVERY: Duration = Duration::from_millis(1);
/// Longest that anything may take.
const LIMIT: Duration = Duration::from_mins(30);

fn setting(name: &str, default: i64) -> i64 {
    std::env::var(name).ok().and_then(|value| value.parse().ok()).unwrap_or(default)
}

#[expect(clippy::disallowed_methods, reason = "a bench measures")]
fn now() -> Instant {
    Instant::now()
}

fn say(line: &str) {
    writeln!(std::io::stdout(), "{line}").expect("standard output is open");
}

fn status(field: &str) -> String {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    status.lines().find(|line| line.starts_with(field)).unwrap_or_default().to_owned()
}

/// Seconds of all cores that this process has used so far: a figure that a busy machine does not spoil.
fn cpu_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let after_name = stat.rsplit(')').next().unwrap_or_default();
    // User and system, in hundredths.
    let ticks = after_name.split_whitespace().skip(11).take(2);
    ticks.filter_map(|ticks| ticks.parse::<f64>().ok()).sum::<f64>() / 100.0
}

fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    let begun = now();
    while !condition() {
        assert!(begun.elapsed() < LIMIT, "waited {LIMIT:?} for {what}");
        thread::sleep(LOOK_EVERY);
    }
}

/// Stands still.
#[derive(Debug)]
struct StillClock(i64);

impl Clock for StillClock {
    fn now_ms(&self) -> i64 {
        self.0
    }
}

fn pipeline(folder: &Path, load: &Load) -> Pipeline {
    let write = |name: &str, text: String| {
        std::fs::write(folder.join(name), text).expect("the bench's folder can be written");
    };
    write("meters.csv", load.meters_csv());
    write("factors.csv", load.factors_csv(None));
    write("nodes.csv", load.nodes_csv());
    write("readings.jsonl", String::new());
    let workers = setting("WORKERS", 2);
    write(
        "pipeline.toml",
        format!(
            "name = \"bench\"\nworkers = {workers}\nwindows = [\"1h\", \"24h\"]\n\
             [http]\nlisten = \"127.0.0.1:0\"\n[tables]\n\
             meters = \"meters.csv\"\nfactors = \"factors.csv\"\nnodes = \"nodes.csv\"\n\
             [[source]]\nname = \"history\"\ntype = \"file\"\npath = \"readings.jsonl\"\nfollow = true\n\
             [[sink]]\ntype = \"prometheus\"\n"
        ),
    );
    plumeline::config::load(&folder.join("pipeline.toml"), &|_| None)
        .unwrap_or_else(|problems| panic!("{problems}"))
}

fn start(tokio: &tokio::runtime::Runtime, pipeline: &Pipeline, clock: Arc<dyn Clock>) -> Running {
    let running = tokio.block_on(plumeline::runtime::start(pipeline.clone(), clock));
    running.expect("the pipeline starts")
}

/// The history on its way into the journal.
struct History {
    journal: Journal,
    meters: Vec<Id>,
    every_ms: i64,
    dice: SplitMix64,
    /// Readings so far.
    count: i64,
}

impl History {
    /// Opens the journal; readings get their numbers after those it has.
    fn open(pipeline: &Pipeline, load: &Load) -> Self {
        let names = Arc::new(Names::new());
        let sources: Vec<Arc<str>> = vec!["history".into()];
        let (name, policy) = (&pipeline.name, &mut pipeline.policy.clone());
        let opened = Journal::open(&pipeline.state_dir, name, policy, &sources, Arc::clone(&names));
        let (journal, _) = opened.expect("the journal can be opened");
        let meters = (0..load.meters).map(|meter| names.intern(&format!("m{meter}"))).collect();
        let (every_ms, dice) = (load.every_ms, SplitMix64::new(load.seed));
        Self { journal, meters, every_ms, dice, count: 0 }
    }

    /// The next reading: meters in turn, each every so often.
    fn next(&mut self, start_ms: i64) -> Record {
        let meters = i64::try_from(self.meters.len()).expect("a count");
        let (turn, meter) = (self.count / meters, self.count % meters);
        self.count += 1;
        let number = self.count.unsigned_abs();
        Record::Reading(Reading {
            meter: self.meters[usize::try_from(meter).expect("positive")],
            at_ms: start_ms + turn * self.every_ms + meter * self.every_ms / meters,
            from_ms: None,
            value: Some(Decimal::new(self.dice.between(1_000, 99_999).into(), 3)),
            unit: Some(Unit::parse("kWh").expect("a unit")),
            version: 0,
            quality: Quality::Measured,
            arrival: Arrival { index: number, source: 0, element: 0, position: number },
        })
    }

    /// Appends `readings` from `start_ms` on, and ends with a cut that is noted to be in the ledger.
    fn write(mut self, readings: i64, start_ms: i64, pipeline: &Pipeline) -> i64 {
        let (a_tick, frame) = (setting("RATE", 10_000) * TICK_MS / 1000, setting("FRAME", 500));
        let (mut ms, mut left) = (start_ms, readings);
        while left > 0 {
            ms += TICK_MS;
            let mut due = a_tick.min(left);
            left -= due;
            while due > 0 {
                let size = due.min(frame);
                due -= size;
                let records: Vec<_> = (0..size).map(|_| self.next(start_ms)).collect();
                let (rejects, facts, positions) = (&[], &[], &[]);
                let part = Part { ms, records: &records, rejects, facts, positions, aliases: None };
                self.journal.append(&part).expect("the disk has room");
            }
            if left == 0 || (ms - start_ms) % CUT_MS == 0 {
                self.journal.cut(ms).expect("the disk has room");
            }
        }
        // Nothing lies before the horizon, wherever it has moved to meanwhile.
        let moved_ms = pipeline.policy.horizon_moved_ms(Tick::new(ms, Cause::Cut));
        self.journal.keep(moved_ms, &[Vec::new()]).expect("the disk has room");
        self.journal.committed(ms).expect("the disk has room");
        ms
    }
}

/// Puts the tables and the history into the journal; says how many bytes it has.
fn prepare(
    tokio: &tokio::runtime::Runtime,
    pipeline: &Pipeline,
    load: &Load,
    readings: i64,
) -> u64 {
    let running = start(tokio, pipeline, Arc::new(StillClock(load.start_ms)));
    wait_until("the tables to be applied", || running.progress().committed_ms.is_some());
    running.stop();
    running.join().expect("it ends well");
    // Past the ticks of that run, which its clock could not tell apart by more than 1 ms.
    let start_ms = load.start_ms + 60_000;
    History::open(pipeline, load).write(readings, start_ms, pipeline);
    let file = pipeline.state_dir.join(plumeline::journal::FILE);
    std::fs::metadata(file).expect("it was written").len()
}

fn main() {
    let (readings, rate) = (setting("READINGS", 10_000_000), setting("RATE", 10_000));
    let meters = setting("METERS", 10_000);
    let load = Load {
        seed: 5,
        start_ms: WallClock.now_ms() - readings * 1000 / rate - 120_000,
        meters: usize::try_from(meters).expect("a count"),
        sites: 250,
        factors: 100,
        every_ms: (meters * 1000 / rate).max(1),
    };
    let folder = tempfile::tempdir().expect("a folder for the bench");
    let pipeline = pipeline(folder.path(), &load);
    let tokio = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("threads");
    let begun = now();
    let bytes = prepare(&tokio, &pipeline, &load, readings);
    say(&format!("{readings} readings, journal {bytes} bytes, made in {:?}", begun.elapsed()));
    say(&format!("before: {}", status("VmHWM")));

    let (begun, cpu) = (now(), cpu_seconds());
    let running = start(&tokio, &pipeline, Arc::new(WallClock));
    let telemetry = running.telemetry();
    wait_until("the state to be restored", || telemetry.recovery().is_none());
    let restored = begun.elapsed();
    wait_until("footprints to show", || !running.progress().footprints.is_empty());
    let (shown, cpu) = (begun.elapsed().as_secs_f64(), cpu_seconds() - cpu);
    #[expect(clippy::cast_precision_loss, reason = "a figure for people")]
    let rate = readings as f64 / shown / 1e6;
    say(&format!("fed after {restored:.2?}, shown after {shown:.2} s: {rate:.2} M readings/s"));
    say(&format!("{cpu:.2} s of a core, {}", status("VmHWM")));
    running.stop();
    running.join().expect("it ends well");
}
