//! A pipeline under test: its folder, the real binary on it, and what it shows while it runs.
//!
//! ```text
//!   Rig (folder: pipeline.toml, tables, lake) ──┬─ run()        ──► Running ──► /metrics, signals
//!                                               ├─ run_to_end() ──► Ended: exit code, what it printed
//!                                               └─ [`ledger`]: the lake, as readers outside see it
//! ```
//!
//! 1. The pipeline listens on port 0 and says which one it got: no test can take another's port.
//! 2. Everything waits for a condition that is visible from outside, never for a time.
//! 3. The program runs behind [`Process`]: a test that fails leaves none behind.

#![allow(dead_code, reason = "each test binary uses its own share")]

pub(crate) mod expected;
pub(crate) mod fleet;
pub(crate) mod kill;
pub(crate) mod ledger;
pub(crate) mod points;
pub(crate) mod publish;
pub(crate) mod stream;
pub(crate) mod to_mqtt;
pub(crate) mod traffic;
pub(crate) mod verdict;

use std::fs;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tempfile::TempDir;

use crate::support::process::{Process, wait_until};
use crate::support::s3::{Bucket, S3};

/// How long a condition may take to come true. Generous: machines that test are busy.
pub(crate) const LIMIT: Duration = Duration::from_secs(90);
/// Milliseconds of a day.
pub(crate) const DAY_MS: i64 = 86_400_000;
/// Follows the name in the line that says where metrics are.
const METRICS_AT: &str = "metrics=http://127.0.0.1:";

/// A folder with a pipeline file, and what it names.
#[derive(Debug)]
pub(crate) struct Rig {
    folder: TempDir,
    /// Where the ledger is, if not in the folder.
    bucket: Option<Bucket>,
}

/// As every pipeline file here writes it.
const LAKE_URL: &str = "url = \"lake\"";

/// The same for a ledger in a bucket.
fn lake_in_bucket() -> String {
    format!("url = \"s3://{}/lake\"", S3::BUCKET)
}

impl Rig {
    /// An empty folder.
    pub(crate) fn new() -> Self {
        Self { folder: tempfile::tempdir().expect("a temporary folder"), bucket: None }
    }

    /// A pipeline of periods that are booked at once, with `sources` and a ledger in `lake`; its tables are
    /// those of [`Self::write_plain_tables`].
    pub(crate) fn plain(sources: &str, commit_every: &str) -> Self {
        let rig = Self::new();
        rig.write_plain_tables();
        rig.write(
            "pipeline.toml",
            format!(
                "name = \"acme\"\nperiod = \"1d\"\ngrace = \"0s\"\nwindows = [\"7d\"]\n\
                 [http]\nlisten = \"127.0.0.1:0\"\n\
                 [tables]\nmeters = \"meters.csv\"\nfactors = \"factors.csv\"\nnodes = \"nodes.csv\"\n\
                 {sources}\n\
                 [[sink]]\ntype = \"delta\"\nurl = \"lake\"\ncommit_every = \"{commit_every}\"\n\
                 [[sink]]\ntype = \"prometheus\"\n"
            ),
        );
        rig
    }

    /// Four meters `m-0` to `m-3` of minutes of electricity, below `acme/plant`; a kWh emits 0.5 kg.
    pub(crate) fn write_plain_tables(&self) {
        let mut meters = String::from(
            "meter,node,kind,unit,interval,factor,valid_from,valid_to,revision,withdrawn\n",
        );
        for meter in 0..4 {
            meters.extend([
                "m-",
                &meter.to_string(),
                ",plant,interval,kWh,1m,grid,2020-01-01,,1,\n",
            ]);
        }
        self.write("meters.csv", &meters);
        self.write(
            "factors.csv",
            "factor,revision,scope,category,method,gas,kg_per_unit,unit,valid_from,valid_to,source,withdrawn\n\
             grid,1,2,0,any,co2,0.5,kWh,2020-01-01,,a test,\n",
        );
        self.write(
            "nodes.csv",
            "node,parent,name,valid_from,valid_to,revision,withdrawn\n\
             acme,,Acme,2020-01-01,,1,\nplant,acme,The plant,2020-01-01,,1,\n",
        );
    }

    /// Moves the ledger, which is not written yet, to a bucket.
    pub(crate) fn put_lake_in(&mut self, bucket: Bucket) {
        self.edit("pipeline.toml", LAKE_URL, &lake_in_bucket());
        self.bucket = Some(bucket);
    }

    /// Copies what is below a folder of the ledger from its bucket, if it is in one.
    pub(crate) fn fetch(&self, folder: &str) {
        if let Some(bucket) = self.bucket {
            bucket.fetch(folder, self.folder.path());
        }
    }

    /// Copies the ledger, which is written no more, from its bucket, and points the pipeline file to the copy: so
    /// that readers need not know. Paths in a table are below its root, wherever that is.
    pub(crate) fn bring_lake_home(&self) {
        if self.bucket.is_some() {
            self.fetch("lake/");
            self.edit("pipeline.toml", &lake_in_bucket(), LAKE_URL);
        }
    }

    /// What a folder of the rig, or of its ledger, holds: files, and bytes in them.
    pub(crate) fn held(&self, folder: &str) -> (usize, u64) {
        match self.bucket {
            Some(bucket) if folder.starts_with("lake/") => (bucket.list(folder).len(), 0),
            _ => held(&self.path(folder)),
        }
    }

    /// A file in it.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Writes a file.
    pub(crate) fn write(&self, name: &str, content: impl AsRef<[u8]>) {
        fs::write(self.path(name), content).expect("the folder is ours");
    }

    /// Replaces text of a file.
    pub(crate) fn edit(&self, name: &str, from: &str, to: &str) {
        let text = fs::read_to_string(self.path(name)).expect("it was written");
        assert!(text.contains(from), "{name} holds `{from}`");
        self.write(name, text.replace(from, to));
    }

    /// Runs `plumeline` with `words` in front of the pipeline file, to its end.
    pub(crate) fn plumeline(&self, words: &[&str]) -> Output {
        self.plumeline_in(words, &[])
    }

    /// The same with further variables in its environment.
    pub(crate) fn plumeline_in(&self, words: &[&str], env: &[(&str, String)]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_plumeline"))
            .args(words)
            .arg(self.path("pipeline.toml"))
            .envs(env.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .output()
            .expect("the program was built")
    }

    /// Expects that the ledger is what its readings and facts lead to, at every cut.
    #[track_caller]
    pub(crate) fn verify(&self) {
        let output = self.plumeline(&["verify"]);
        let said = [output.stdout, output.stderr].concat();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&said));
    }

    /// Starts `plumeline run` and waits until it says that it runs.
    pub(crate) fn run(&self) -> Running {
        self.run_in(&[])
    }

    /// The same with further variables in its environment.
    pub(crate) fn run_in(&self, env: &[(&str, String)]) -> Running {
        Running::of(self.launch(env, runs))
    }

    /// Starts `plumeline run` behind a program that is given its command line, and runs it in its place; waits until
    /// it says that it runs.
    pub(crate) fn run_behind(&self, words: &[String]) -> Running {
        Running::of(self.launch_behind(words, &[], runs))
    }

    /// Starts `plumeline run` and waits until `ready`, which is given its log and what an earlier run of the
    /// same rig has said there, in bytes.
    fn launch(&self, env: &[(&str, String)], ready: impl Fn(&Path, usize) -> bool) -> Launched {
        self.launch_behind(&[], env, ready)
    }

    fn launch_behind(
        &self,
        words: &[String],
        env: &[(&str, String)],
        ready: impl Fn(&Path, usize) -> bool,
    ) -> Launched {
        let log = self.path("run.log");
        let said = fs::read(&log).map_or(0, |text| text.len());
        let mut command = words.to_vec();
        command.push("env".to_owned());
        let store = self.bucket.map(Bucket::environment).into_iter().flatten();
        command.extend(store.map(|(name, value)| format!("{name}={value}")));
        command.extend(env.iter().map(|(name, value)| format!("{name}={value}")));
        command.extend([env!("CARGO_BIN_EXE_plumeline").to_owned(), "run".to_owned()]);
        command.push(self.path("pipeline.toml").display().to_string());
        let process = Process::start(&command, &log, || ready(&log, said));
        Launched { process, log, said }
    }

    /// Runs `plumeline run` until it ends by itself.
    ///
    /// # Panics
    /// If it does not end, or not well.
    pub(crate) fn run_to_end(&self) -> String {
        let mut child = Command::new("timeout")
            .args(["-k", "1", &LIMIT.as_secs().to_string(), env!("CARGO_BIN_EXE_plumeline"), "run"])
            .arg(self.path("pipeline.toml"))
            .stdin(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the program was built");
        let mut said = String::new();
        let mut stderr = child.stderr.take().expect("piped");
        stderr.read_to_string(&mut said).expect("it says text");
        let status = child.wait().expect("a child can be waited for");
        assert!(status.success(), "{status}:\n{said}");
        said
    }
}

/// Files come and go while they are counted: one that is gone counts nothing.
fn held(folder: &Path) -> (usize, u64) {
    let Ok(entries) = fs::read_dir(folder) else { return (0, 0) };
    entries.flatten().fold((0, 0), |(files, bytes), entry| {
        let (more_files, more_bytes) = match entry.metadata() {
            Ok(metadata) if metadata.is_dir() => held(&entry.path()),
            Ok(metadata) => (1, metadata.len()),
            Err(_) => (0, 0),
        };
        (files + more_files, bytes + more_bytes)
    })
}

/// Whether it has said that it runs.
fn runs(log: &Path, from: usize) -> bool {
    port_in(log, from).is_some()
}

fn port_in(log: &Path, from: usize) -> Option<u16> {
    let text = fs::read_to_string(log).ok()?;
    let (_, after) = text.get(from..)?.split_once(METRICS_AT)?;
    after.split_once('/')?.0.parse().ok()
}

/// A process that may not have said yet that it runs.
#[derive(Debug)]
struct Launched {
    process: Process,
    log: PathBuf,
    said: usize,
}

/// A pipeline while it runs.
#[derive(Debug)]
pub(crate) struct Running {
    process: Process,
    port: u16,
    log: PathBuf,
    said: usize,
}

impl Running {
    /// What was launched, once it runs.
    fn of(Launched { process, log, said }: Launched) -> Self {
        let port = port_in(&log, said).expect("waited for");
        Self { process, port, log, said }
    }

    /// The port of `/metrics`.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// The process, to signal it.
    pub(crate) fn process(&mut self) -> &mut Process {
        &mut self.process
    }

    /// What this run has printed.
    pub(crate) fn said(&self) -> String {
        let text = fs::read_to_string(&self.log).unwrap_or_default();
        text.get(self.said..).unwrap_or_default().to_owned()
    }

    /// Status and body of a page.
    pub(crate) fn page(&self, path: &str) -> Option<(u16, String)> {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).ok()?;
        stream.set_read_timeout(Some(LIMIT)).expect("not zero");
        write!(stream, "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            .ok()?;
        let mut response = String::new();
        stream.read_to_string(&mut response).ok()?;
        let (head, body) = response.split_once("\r\n\r\n")?;
        let status = head.split(' ').nth(1)?.parse().ok()?;
        Some((status, body.to_owned()))
    }

    /// The sample called `name` with these labels.
    pub(crate) fn metric(&self, name: &str, labels: &[(&str, &str)]) -> Option<String> {
        let (_, page) = self.page("/metrics")?;
        sample(&page, name, labels)
    }

    /// How many elements of `source` had this outcome.
    pub(crate) fn outcome(&self, source: &str, outcome: &str) -> u64 {
        let labels = [("source", source), ("outcome", outcome)];
        let count = self.metric("plumeline_readings_total", &labels);
        count.and_then(|count| count.parse().ok()).unwrap_or(0)
    }

    /// Waits until so many elements of `source` had this outcome.
    #[track_caller]
    pub(crate) fn wait_for(&self, source: &str, outcome: &str, count: u64) {
        let what = format!("{count} of {source} to be {outcome}");
        wait_until(&what, LIMIT, || self.outcome(source, outcome) >= count);
    }

    /// Asks it to end, and expects that it drains and ends well.
    ///
    /// # Panics
    /// If it ends otherwise.
    pub(crate) fn stop(mut self) -> String {
        let status = self.process.stop();
        assert!(status.success(), "{status}:\n{}", self.said());
        self.said()
    }

    /// Ends it as a power cut would.
    pub(crate) fn kill(mut self) {
        self.process.kill();
    }
}

/// The sample called `name` with at least these labels on a page of metrics.
pub(crate) fn sample(page: &str, name: &str, labels: &[(&str, &str)]) -> Option<String> {
    let matches = |line: &&str| {
        let rest = line.strip_prefix(name).unwrap_or_default();
        (rest.starts_with('{') || rest.starts_with(' '))
            && labels.iter().all(|(label, value)| rest.contains(&format!("{label}=\"{value}\"")))
    };
    page.lines().find(matches)?.rsplit(' ').next().map(str::to_owned)
}

/// A source of JSON lines in `readings.jsonl`.
pub(crate) const FILE_SOURCE: &str =
    "[[source]]\nname = \"history\"\ntype = \"file\"\npath = \"readings.jsonl\"\n";

/// The reading number `number` of meter `m-0` to `m-3`: `number + 1` kWh, in a minute of its own on the day
/// before yesterday.
pub(crate) fn reading(number: i64) -> String {
    let (meter, at_ms) = (number % 4, day_before_yesterday() + 60_000 * (1 + number / 4));
    let value = number + 1;
    format!(r#"{{"meter":"m-{meter}","observed_at_ms":{at_ms},"value":{value},"unit":"kWh"}}"#)
}

/// kWh of the readings `0..count` of [`reading`].
pub(crate) fn energy(count: i64) -> i64 {
    count * (count + 1) / 2
}

/// The start of the day before yesterday, UTC, ms.
pub(crate) fn day_before_yesterday() -> i64 {
    now_ms() / DAY_MS * DAY_MS - 2 * DAY_MS
}

/// Now, ms since the Unix epoch.
#[expect(clippy::disallowed_methods, reason = "the program under test lives in real time")]
pub(crate) fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
    i64::try_from(since.as_millis()).expect("before the end of time")
}
