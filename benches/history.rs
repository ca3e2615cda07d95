//! Years of history: how fast files of it are taken in below the horizon, and what a revised factor costs afterwards,
//! while readings come.
//!
//! `cargo bench --bench history`; METERS (30), DAYS (365), `EVERY_S` (900), LIVE (1,000 readings a second), BESIDE (0;
//! 1 takes the history in by a pipeline that runs) from the environment. `TMPDIR` says on which disk.
//!
//! 1. A file of JSON lines is taken in as `plumeline backfill` does, into a ledger whose horizon lies a week back:
//!    read, journaled, parked, committed, then booked by a restatement.
//! 2. The pipeline runs on readings of now; then the one factor of all meters is revised for all time. The time is
//!    taken until nothing is pending, and how long the newest tick takes to show meanwhile, once a second.
//! 3. The ledger is verified.

use std::io::{BufWriter, Write};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use plumeline::config::Pipeline;
use plumeline::runtime::{Clock, Running, Telemetry, Until, WallClock, start, start_until};
use plumeline_fixtures::load::Load;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const DAY_MS: i64 = 86_400_000;
/// Between two looks at whether it is done.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// Longest that anything may take.
const LIMIT: Duration = Duration::from_hours(2);

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

/// Resident memory, MB: now, and at most since the last call.
fn memory() -> String {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mb = |field: &str| {
        let line = status.lines().find(|line| line.starts_with(field)).unwrap_or_default();
        let kb = line.split_whitespace().nth(1).and_then(|kb| kb.parse::<u64>().ok());
        kb.unwrap_or(0) / 1024
    };
    let text = format!("{} MB resident, {} MB at most", mb("VmRSS"), mb("VmHWM"));
    // 5 resets the high-water mark.
    std::fs::write("/proc/self/clear_refs", "5").unwrap_or_default();
    text
}

fn size(path: &Path) -> u64 {
    let Ok(entries) = std::fs::read_dir(path) else { return 0 };
    let sizes = entries.flatten().map(|entry| match entry.metadata() {
        Ok(data) if data.is_dir() => size(&entry.path()),
        Ok(data) => data.len(),
        Err(_) => 0,
    });
    sizes.sum()
}

fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    let begun = now();
    while !condition() {
        assert!(begun.elapsed() < LIMIT, "waited {LIMIT:?} for {what}");
        std::thread::sleep(LOOK_EVERY);
    }
}

fn write(path: &Path, text: &str) {
    std::fs::write(path, text).expect("the bench's folder can be written");
}

fn pipeline(folder: &Path, source: &str) -> Pipeline {
    let file = folder.join("pipeline.toml");
    write(
        &file,
        &format!(
            "name = \"bench\"\nworkers = 2\nretain = \"7d\"\nwindows = [\"24h\"]\n\
             [http]\nlisten = \"127.0.0.1:0\"\n[tables]\n\
             meters = \"meters.csv\"\nfactors = \"factors.csv\"\nnodes = \"nodes.csv\"\n\
             [[source]]\ntype = \"file\"\n{source}\n\
             [[sink]]\ntype = \"delta\"\nurl = \"lake\"\ncommit_every = \"5s\"\n\
             [[sink]]\ntype = \"prometheus\"\n"
        ),
    );
    plumeline::config::load(&file, &|_| None).unwrap_or_else(|problems| panic!("{problems}"))
}

/// Appends readings of now to `path`, so many a second, until it is told to end.
fn publish(path: &Path, meters: i64, rate: i64, ended: &AtomicBool) {
    let file = std::fs::File::options().append(true).create(true).open(path).expect("a file");
    let mut file = BufWriter::new(file);
    let mut count = 0_i64;
    while !ended.load(Ordering::Relaxed) {
        for _ in 0..rate / 10 {
            let (meter, at_ms) = (count % meters, WallClock.now_ms());
            writeln!(file, "{{\"meter\":\"m{meter}\",\"observed_at_ms\":{at_ms},\"value\":1}}")
                .expect("the disk has room");
            count += 1;
        }
        file.flush().expect("the disk has room");
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// A pipeline that runs on readings of now.
struct Live {
    running: Running,
    publisher: JoinHandle<()>,
    ended: Arc<AtomicBool>,
}

impl Live {
    fn end(self) {
        self.ended.store(true, Ordering::Relaxed);
        self.publisher.join().expect("it ends");
        self.running.stop();
        self.running.join().expect("it ends well");
    }
}

/// How long it takes until it is done, and how long the newest tick takes to show meanwhile, once a second.
fn lags_until(telemetry: &Telemetry, is_done: impl Fn() -> bool) -> (Duration, String) {
    let (begun, mut lags) = (now(), Vec::new());
    while !is_done() {
        std::thread::sleep(Duration::from_secs(1));
        lags.push(telemetry.tick_lag_ms());
        assert!(begun.elapsed() < LIMIT, "it is never done");
    }
    let taken = begun.elapsed();
    lags.sort_unstable();
    let at = |percent: usize| lags[(lags.len() - 1) * percent / 100];
    let (p50, p99, most) = (at(50), at(99), at(100));
    (taken, format!("meanwhile a tick showed after p50 {p50} ms, p99 {p99} ms, at most {most} ms"))
}

/// What is measured.
struct Bench {
    folder: tempfile::TempDir,
    load: Load,
    meters: i64,
    days: i64,
    /// Readings of the history.
    count: u64,
    tokio: tokio::runtime::Runtime,
}

impl Bench {
    /// Writes the tables and the file of history.
    fn prepare() -> Self {
        let (meters, days) = (setting("METERS", 30), setting("DAYS", 365));
        let every_ms = setting("EVERY_S", 900) * 1000;
        let folder = tempfile::tempdir().expect("a folder");
        let today_ms = WallClock.now_ms() / DAY_MS * DAY_MS;
        let load = Load {
            seed: 3,
            start_ms: today_ms - 8 * DAY_MS - days * DAY_MS,
            meters: usize::try_from(meters).expect("a count"),
            sites: 25,
            factors: 1,
            every_ms,
        };
        let count = meters * (days * DAY_MS / every_ms);
        let dir = folder.path();
        write(&dir.join("meters.csv"), &load.meters_csv());
        write(&dir.join("factors.csv"), &load.factors_csv(None));
        write(&dir.join("nodes.csv"), &load.nodes_csv());
        let file = std::fs::File::create(dir.join("history.jsonl")).expect("a file");
        let mut file = BufWriter::new(file);
        load.write_readings(usize::try_from(count).expect("a count"), &mut file)
            .and_then(|()| file.flush())
            .expect("the disk has room");
        let mut builder = tokio::runtime::Builder::new_multi_thread();
        let tokio = builder.worker_threads(2).enable_all().build().expect("threads");
        let count = u64::try_from(count).expect("a count");
        Self { folder, load, meters, days, count, tokio }
    }

    fn dir(&self) -> &Path {
        self.folder.path()
    }

    fn backfill(&self) {
        let config = pipeline(self.dir(), "name = \"history\"\npath = \"history.jsonl\"");
        let begun = now();
        let started = start_until(config, Arc::new(WallClock), Until::Restated);
        let running = self.tokio.block_on(started).expect("the pipeline starts");
        let telemetry = running.telemetry();
        wait_until("the file to be read", || {
            telemetry.progress().outcomes.values().sum::<u64>() >= self.count
        });
        let read = begun.elapsed();
        wait_until("the history to be booked", || running.is_finished());
        running.join().expect("it ends well");
        let taken = begun.elapsed();
        #[expect(clippy::cast_precision_loss, reason = "a figure for people")]
        let rate = self.count as f64 / taken.as_secs_f64() / 1e3;
        say(&format!(
            "backfill: {} readings read in {read:.1?}, booked after {taken:.1?}: {rate:.0} k/s, {}",
            self.count,
            memory()
        ));
        let bytes = ["lake", "state"].map(|folder| size(&self.dir().join(folder)) >> 20);
        say(&format!("lake {} MB, journal {} MB", bytes[0], bytes[1]));
    }

    /// The same by a pipeline that runs, behind its live readings.
    fn backfill_beside(&self) {
        let live = self.go_live();
        let telemetry = live.running.telemetry();
        assert!(telemetry.imports().ask([self.dir().join("history.jsonl")]));
        let is_done = || {
            let progress = telemetry.import_progress();
            assert_eq!(progress.problems, Vec::<String>::new());
            progress.is_in_ledger && progress.pending == 0
        };
        let (taken, lags) = lags_until(&telemetry, is_done);
        #[expect(clippy::cast_precision_loss, reason = "a figure for people")]
        let rate = self.count as f64 / taken.as_secs_f64() / 1e3;
        say(&format!(
            "backfill behind live readings: {} booked after {taken:.1?}: {rate:.0} k/s, {}",
            self.count,
            memory()
        ));
        say(&lags);
        live.end();
    }

    fn revise(&self) {
        let live = self.go_live();
        let telemetry = live.running.telemetry();
        say(&format!("live: {}", memory()));
        write(&self.dir().join("factors.csv"), &self.load.factors_csv(Some(0)));
        wait_until("the revision to be pending", || telemetry.pending() > 0);
        let (taken, lags) = lags_until(&telemetry, || telemetry.pending() == 0);
        say(&format!(
            "a factor of {} days revised: {} entries of emissions restated in {taken:.1?}, {}",
            self.days,
            telemetry.progress().restatements,
            memory()
        ));
        say(&lags);
        live.end();
    }

    /// A pipeline that takes in readings of now.
    fn go_live(&self) -> Live {
        let live = self.dir().join("live.jsonl");
        write(&live, "");
        let config = pipeline(self.dir(), "name = \"live\"\npath = \"live.jsonl\"\nfollow = true");
        let ended = Arc::new(AtomicBool::new(false));
        let publisher = {
            let (meters, rate, ended) = (self.meters, setting("LIVE", 1_000), Arc::clone(&ended));
            std::thread::spawn(move || publish(&live, meters, rate, &ended))
        };
        let started = start(config, Arc::new(WallClock));
        let running = self.tokio.block_on(started).expect("the pipeline starts");
        let telemetry = running.telemetry();
        wait_until("live readings", || {
            telemetry.recovery().is_none() && telemetry.tick_lag_ms() > 0
        });
        Live { running, publisher, ended }
    }

    fn verify(&self) {
        let config = pipeline(self.dir(), "name = \"live\"\npath = \"live.jsonl\"");
        let begun = now();
        let verdict =
            plumeline::verify::verify(&config, |_, _| ()).expect("the tables can be read");
        say(&format!("verify, {:.1?}, {}: {verdict}", begun.elapsed(), memory()));
        assert_eq!(verdict.difference, None);
    }
}

fn main() {
    let bench = Bench::prepare();
    say(&format!("before: {}", memory()));
    if setting("BESIDE", 0) == 0 {
        bench.backfill();
    } else {
        bench.backfill_beside();
    }
    bench.revise();
    bench.verify();
}
