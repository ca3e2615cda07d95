//! What lints cannot see: the shape of the tree, the fence around `pipelines`, and words that do not
//! belong.
//!
//! Each test walks the files below the root. A file that is too long today is in [`LONG_FILES`] with its
//! length, and may only get shorter: the list is a ratchet, and the test fails as well when an entry has
//! become unnecessary.

#![allow(clippy::unwrap_used, reason = "a test ends where something is wrong")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Lines a file should have at most.
const LINES: usize = 500;
/// Lines no file may have, listed or not.
const LINES_HARD: usize = 800;
/// Files longer than [`LINES`], with the lines they may have. Split one rather than raise its number.
const LONG_FILES: &[(&str, usize)] = &[];
/// What may lie at the top of the tree besides dot files.
const TOP_LEVEL: [&str; 12] = [
    "Cargo.lock",
    "Cargo.toml",
    "LICENSE",
    "README.md",
    "benches",
    "connectors",
    "deploy",
    "fixtures",
    "pipelines",
    "sinks",
    "src",
    "tests",
];
/// Built or cloned, not ours to judge.
const NOT_OURS: [&str; 2] = ["target", ".git"];
/// Crates with files, sockets, clocks, randomness or formats: `pipelines` is pure.
const BANNED_IN_PIPELINES: [&str; 14] = [
    "arrow",
    "chrono",
    "csv",
    "getrandom",
    "jiff",
    "mio",
    "parquet",
    "rand",
    "rdkafka",
    "reqwest",
    "rumqttc-next",
    "serde_json",
    "time",
    "tokio",
];
/// Words that stand for unfinished work or for places outside of the tree, in two halves so that this
/// file passes.
const BANNED_WORDS: [(&str, &str); 10] = [
    ("FIX", "ME"),
    ("XX", "X"),
    ("HA", "CK:"),
    ("lorem", " ipsum"),
    ("/ro", "ot/"),
    ("/home", "/"),
    ("/work", "/main"),
    ("as an", " AI"),
    ("<<<<", "<<<"),
    (">>>>", ">>>"),
];

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// Every file of the tree, by its path below the root.
fn files() -> Vec<(String, PathBuf)> {
    let mut found = Vec::new();
    let mut folders = vec![root()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            let below = path.strip_prefix(root()).unwrap().to_str().unwrap().to_owned();
            if NOT_OURS.contains(&below.as_str()) {
                continue;
            }
            if path.is_dir() {
                folders.push(path);
            } else {
                found.push((below, path));
            }
        }
    }
    found.sort();
    found
}

fn rust_files() -> impl Iterator<Item = (String, String)> {
    let rust = |(name, _): &(String, PathBuf)| has_ending(name, "rs");
    files().into_iter().filter(rust).map(|(name, path)| (name, fs::read_to_string(path).unwrap()))
}

fn has_ending(name: &str, ending: &str) -> bool {
    Path::new(name).extension().is_some_and(|extension| extension == ending)
}

#[test]
fn no_file_is_too_long() {
    let allowed: BTreeMap<&str, usize> = LONG_FILES.iter().copied().collect();
    let mut problems = Vec::new();
    for (name, text) in rust_files() {
        let lines = text.lines().count();
        let limit = allowed.get(name.as_str()).copied().unwrap_or(LINES);
        if lines > limit.min(LINES_HARD) {
            problems.push(format!("{name} has {lines} lines, {limit} are allowed: split it"));
        }
        if allowed.contains_key(name.as_str()) && lines <= LINES {
            problems.push(format!("{name} is short enough now: take it off LONG_FILES"));
        }
    }
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}

#[test]
fn every_rust_file_begins_with_its_purpose() {
    let silent: Vec<String> = rust_files()
        .filter(|(_, text)| !text.starts_with("//! ") && !text.starts_with("#![doc"))
        .map(|(name, _)| name)
        .collect();
    assert!(silent.is_empty(), "no `//!` on the first line: {silent:#?}");
}

#[test]
fn the_top_level_holds_what_it_should() {
    let strangers: Vec<String> = fs::read_dir(root())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| !name.starts_with('.') && !NOT_OURS.contains(&name.as_str()))
        .filter(|name| !TOP_LEVEL.contains(&name.as_str()))
        .collect();
    assert!(strangers.is_empty(), "not allowed at the top: {strangers:?}");
}

/// Names of all crates that `package` is built from, itself included.
fn dependencies(package: &str) -> BTreeSet<String> {
    let arguments =
        ["tree", "-p", package, "-e", "normal", "--offline", "--prefix", "none", "-f", "{p}"];
    let output = Command::new(env!("CARGO")).args(arguments).current_dir(root()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines().filter_map(|line| line.split(' ').next()).map(str::to_owned).collect()
}

#[test]
fn dependencies_point_inward() {
    let fence: [(&str, &[&str]); 4] = [
        ("plumeline-pipelines", &BANNED_IN_PIPELINES),
        ("plumeline-connectors", &["plumeline-sinks", "plumeline-fixtures", "plumeline"]),
        ("plumeline-sinks", &["plumeline-connectors", "plumeline-fixtures", "plumeline"]),
        ("plumeline-fixtures", &["plumeline-pipelines", "plumeline-sinks", "plumeline-connectors"]),
    ];
    for (package, banned) in fence {
        let tree = dependencies(package);
        assert!(tree.contains(package));
        let crossing: Vec<&&str> = banned.iter().filter(|name| tree.contains(**name)).collect();
        assert!(crossing.is_empty(), "{package} must not depend on {crossing:?}");
    }
}

#[test]
fn words_that_do_not_belong_are_not_there() {
    let banned: Vec<String> = BANNED_WORDS.iter().map(|(a, b)| format!("{a}{b}")).collect();
    let mut problems = Vec::new();
    for (name, path) in files() {
        // Binary files have no words.
        let Ok(text) = fs::read_to_string(&path) else {
            continue;
        };
        for (number, line) in (1..).zip(text.lines()) {
            for word in banned.iter().filter(|word| line.contains(word.as_str())) {
                problems.push(format!("{name}:{number}: {word}"));
            }
        }
    }
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}

/// A sample is served by name from `fixtures/src/files.rs` and named by somebody, or lies in a folder of
/// cases that a test walks as a whole and therefore names: `"fixtures/check"`.
#[test]
fn every_fixture_is_used() {
    let served: BTreeSet<&str> = plumeline_fixtures::files::FILES.iter().map(|(n, _)| *n).collect();
    let others = rust_files().filter(|(name, _)| name != "fixtures/src/files.rs");
    let code: String = others.map(|(_, text)| text).collect();
    let names =
        files().into_iter().filter_map(|(n, _)| Some(n.strip_prefix("fixtures/")?.to_owned()));
    let samples = names.filter(|name| !name.starts_with("src/") && name != "Cargo.toml");
    let unused: Vec<String> = samples
        .filter(|name| {
            let folder = name.split('/').next().unwrap_or_default();
            let is_used = served.contains(name.as_str()) && code.contains(&format!("\"{name}\""));
            !is_used && !code.contains(&format!("\"fixtures/{folder}\""))
        })
        .collect();
    assert!(unused.is_empty(), "nothing uses {unused:#?}");
}
