//! Real servers for tests: each starts on a free port of the loopback, in a folder of its own, and ends
//! with the value that stands for it.
//!
//! ```text
//!   test ── start() ──► require() ──┬─ found ──► Process ──► wait until it answers ──► the server
//!                                   └─ missing ──► a line on stderr, and None (or a failure in CI)
//! ```
//!
//! 1. [`require`] finds what a server needs, or says in one line what is missing. With
//!    `PLUMELINE_REQUIRE_SERVERS=1` a missing server fails the test: otherwise a machine without them
//!    would report tests as passed that never ran.
//! 2. [`process::Process`] runs it behind a pipe that ends with us: also a test that is killed leaves
//!    nothing behind.
//! 3. Starting waits for a condition, never for a time.
//!
//! `.ci/setup` installs all of it; the paths below are where it puts things.

#![allow(
    dead_code,
    unused_imports,
    reason = "each test binary and bench uses its own share of the servers"
)]

pub(crate) mod kafka;
pub(crate) mod mosquitto;
pub(crate) mod process;
pub(crate) mod proxy;
pub(crate) mod s3;

use std::env;
use std::ffi::OsStr;
use std::io::Write;
use std::path::{Path, PathBuf};

pub(crate) use kafka::Kafka;
pub(crate) use mosquitto::Mosquitto;

/// `1` makes a missing server a failure.
const REQUIRE_SERVERS: &str = "PLUMELINE_REQUIRE_SERVERS";

/// `found`, or `None` after saying that the test is skipped for want of `what`.
///
/// # Panics
/// If it is missing and servers are required.
#[track_caller]
pub(crate) fn require(what: &str, found: Option<PathBuf>) -> Option<PathBuf> {
    if found.is_none() {
        let required = env::var_os(REQUIRE_SERVERS).is_some_and(|value| value == "1");
        assert!(!required, "{what} is missing, and {REQUIRE_SERVERS}=1: run .ci/setup");
        let test = std::thread::current().name().unwrap_or("a test").to_owned();
        // Past the harness, which swallows what a passing test prints.
        writeln!(std::io::stderr(), "skipped: {test}: no {what} here; .ci/setup installs it")
            .expect("stderr can be written");
    }
    found
}

/// The program called `name` on the path, or where Debian puts servers.
pub(crate) fn program(name: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path)
        .chain([PathBuf::from("/usr/sbin"), PathBuf::from("/usr/local/sbin")])
        .map(|folder| folder.join(name))
        .find(|file| file.is_file())
}

/// The Python with duckdb, deltalake, pyarrow and moto: `$PLUMELINE_PYTHON`, or the one of `.ci/setup`.
pub(crate) fn python() -> Option<PathBuf> {
    let found = from_environment_or_cache("PLUMELINE_PYTHON", "venv/bin/python");
    require("Python with duckdb, deltalake and moto", found.filter(|file| file.is_file()))
}

/// `promtool` of Prometheus.
pub(crate) fn promtool() -> Option<PathBuf> {
    require("promtool (Debian package prometheus)", program("promtool"))
}

/// The path in the variable `name`, or `below` the cache of `.ci/setup`.
fn from_environment_or_cache(name: &str, below: &str) -> Option<PathBuf> {
    if let Some(path) = env::var_os(name) {
        return Some(PathBuf::from(path));
    }
    let home = env::var_os("HOME")?;
    Some(Path::new(&home).join(".cache/plumeline").join(below))
}

/// Whether a folder holds a file whose name begins with `prefix`.
fn holds(folder: &Path, prefix: &str) -> bool {
    let begins = |name: &OsStr| name.to_string_lossy().starts_with(prefix);
    folder.read_dir().is_ok_and(|mut files| files.any(|f| f.is_ok_and(|f| begins(&f.file_name()))))
}
