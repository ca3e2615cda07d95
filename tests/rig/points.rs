//! Where tests end the program: its fail points.
//!
//! Points stand before and after everything that reaches a disk, a store or a source, and on the way of a recovery.
//! The tables name all of them; `journal-full` (`tests/full.rs`) and `lake-checkpoint-at-once` end nothing, and
//! `vacuum-delete` and `log-expire` come by in a ledger of more than a week alone.

use std::process::{Command, Stdio};
use std::time::Duration;

use super::{LIMIT, Rig};

/// Every point that a first run comes by, in about the order in which it does, and after how many passes it
/// ends the process.
pub(crate) const FIRST: [(&str, &[u32]); 36] = [
    ("journal-open", &[0]),
    ("journal-created", &[0]),
    ("journal-place", &[0]),
    ("journal-placed", &[0]),
    ("journal-settings", &[0]),
    ("facts-read", &[0]),
    ("lake-open", &[0]),
    ("lake-create", &[0, 3]),
    ("lake-created", &[0, 7]),
    ("lake-opened", &[0]),
    ("journal-append", &[0]),
    ("journal-append-open", &[0]),
    ("journal-appended", &[0]),
    ("before-ack", &[0]),
    ("after-ack", &[0]),
    ("seal", &[0]),
    ("sealed", &[0]),
    ("last-cut", &[0]),
    ("journal-cut", &[0, 1]),
    ("journal-cut-done", &[0]),
    ("journal-keep", &[0]),
    ("journal-keep-open", &[0]),
    ("journal-kept", &[0]),
    ("before-commit", &[0, 1]),
    ("lake-put", &[0, 3]),
    ("lake-put-done", &[0, 2]),
    ("lake-commit", &[0, 1, 2, 3, 4]),
    ("lake-commit-done", &[0, 1, 2, 3, 4]),
    ("lake-checkpoint", &[0]),
    ("lake-checkpoint-done", &[1]),
    ("lake-latest", &[0]),
    ("lake-latest-done", &[1]),
    ("after-commit", &[0, 1]),
    ("journal-committed", &[0, 1]),
    ("journal-committed-done", &[0]),
    ("all-committed", &[0]),
];
/// Points that only a run comes by that lasts: after a commit it forgets, and goes on.
pub(crate) const LASTING: [&str; 3] =
    ["journal-forget", "journal-forget-open", "journal-forgotten"];
/// Points that only a run comes by that finds what an earlier one has left.
pub(crate) const RECOVERY: [&str; 6] =
    ["restore-begin", "restore-slice", "restore-done", "replay-tick", "caught-up", "facts-changed"];
/// Points that only a run comes by that restates what lies below the horizon.
pub(crate) const RESTATING: [&str; 5] = [
    "journal-propose",
    "proposed",
    "journal-restate",
    "journal-restate-open",
    "journal-restate-done",
];
/// Points that only a run comes by that restates everything under another method.
pub(crate) const UPGRADING: [&str; 5] = [
    "journal-propose",
    "method-computed",
    "journal-method",
    "journal-method-open",
    "journal-method-done",
];
/// Points that only a run comes by to which other names of a meter become known, after it has run without them, and
/// after how many passes they end it.
pub(crate) const ALIASING: [End; 6] = [
    ("aliases-known", 0),
    ("journal-append-open", 0),
    ("again", 0),
    ("again-read", 0),
    ("again", 1),
    ("again-read", 1),
];
/// Points that only a restore comes by, in the order in which it does.
pub(crate) const REBUILDING: [&str; 6] = [
    "rebuild-begun",
    "rebuild-append",
    "rebuild-finished",
    "rebuild-prove",
    "journal-place",
    "journal-placed",
];
/// Points that only a run comes by that merges files of the ledger.
pub(crate) const COMPACTING: [&str; 5] =
    ["compact-begin", "compact-put", "compact-put-done", "compact-commit", "compact-commit-done"];
/// Makes a checkpoint of a table's log due at once: else it would take a hundred commits.
const CHECKPOINTS: &str = "lake-checkpoint-at-once=return";

/// Where a run ends: a point, after it was passed so many times.
pub(crate) type End = (&'static str, u32);

/// Runs until the process ends by itself, or is asked to after `limit`; says whether it ended at the point.
#[track_caller]
pub(crate) fn run_into(rig: &Rig, (point, passes): End, limit: Duration) -> bool {
    let output = Command::new("timeout")
        .args([
            // Else it signals the whole process group besides, and a run that is asked twice ends at once.
            "--foreground",
            "--preserve-status",
            "-k",
            &LIMIT.as_secs().to_string(),
            &limit.as_secs().to_string(),
        ])
        .args([env!("CARGO_BIN_EXE_plumeline"), "run"])
        .arg(rig.path("pipeline.toml"))
        .env("FAILPOINTS", format!("{CHECKPOINTS};{point}={passes}*off->panic"))
        .stdin(Stdio::null())
        .output()
        .expect("the program was built");
    let said = String::from_utf8_lossy(&output.stderr);
    let has_ended_there = said.contains(&format!("failpoint {point} panic"));
    // A run that is over before it comes to the point has drained: that is as good a state as any.
    assert_ne!(has_ended_there, output.status.success(), "{point}, {passes} passes: {said}");
    has_ended_there
}
