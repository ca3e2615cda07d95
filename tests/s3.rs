//! The ledger on S3: written by the real binary, read by `deltalake`, and back after the store was away.

#![allow(clippy::unwrap_used, reason = "a test ends where something is wrong")]

mod rig;
mod support;

use rig::{FILE_SOURCE, LIMIT, Rig, energy, ledger, reading};
use support::process::wait_until;
use support::s3::S3;

const SUM: &str = "SELECT CAST(sum(amount) AS INTEGER) FROM activity";
const FOLLOW: &str = "follow = true\n";

fn rig(sources: &str, root: &str) -> Rig {
    let rig = Rig::plain(sources, "1s");
    rig.edit("pipeline.toml", "url = \"lake\"", &format!("url = \"{root}\""));
    rig
}

fn lines(numbers: std::ops::Range<i64>) -> String {
    numbers.map(|number| reading(number) + "\n").collect::<Vec<String>>().concat()
}

#[test]
fn the_ledger_is_on_s3() {
    let Some(s3) = S3::start() else { return };
    let root = format!("s3://{}/a lake/acme", S3::BUCKET).replace(' ', "-");
    let rig = rig(&format!("{FILE_SOURCE}{FOLLOW}"), &root);
    let env = s3.environment();
    let check = rig.plumeline_in(&["check", "--connect"], &env);
    assert!(check.status.success(), "{}", String::from_utf8_lossy(&check.stdout));
    rig.write("readings.jsonl", lines(0..40));
    let other = "The plant,2020-01-01,,1,\nMüller & Co,,,2020-01-01,,1,";
    rig.edit("nodes.csv", "The plant,2020-01-01,,1,", other);
    let running = rig.run_in(&env);
    running.wait_for("history", "booked", 40);
    running.stop();
    // A lock lies beside the tables, once, whatever its company is called.
    let lock = ["report", "lock", "--year", "2090", "--unfinished", "--company", "Müller & Co"];
    let locked = rig.plumeline_in(&lock, &env);
    assert!(locked.status.success(), "{}", String::from_utf8_lossy(&locked.stderr));
    let again = rig.plumeline_in(&lock, &env);
    let said = String::from_utf8(again.stderr).unwrap();
    assert!(said.contains("lock 2090-1 says just that already"), "{said}");
    let list = rig.plumeline_in(&["report", "list"], &env);
    assert!(list.stdout.starts_with("Müller & Co 2090-1: as of".as_bytes()), "{list:?}");
    let Some(python) = ledger::reader() else {
        return;
    };
    let sum = || ledger::query_delta(&python, &root, &["activity"], SUM, &env);
    assert_eq!(sum(), [[energy(40).to_string()]]);
    let views = rig.plumeline_in(&["views"], &env);
    let script = String::from_utf8(views.stdout).unwrap();
    assert!(script.contains(&format!("'{root}/activity/recorded_date=")), "{script}");
    assert!(script.contains("TYPE s3"), "{script}");
}

#[test]
fn a_store_that_is_away_shows_and_is_waited_for() {
    let Some(mut s3) = S3::start() else { return };
    let root = format!("s3://{}/lake", S3::BUCKET);
    let rig = rig(&format!("{FILE_SOURCE}{FOLLOW}"), &root);
    let env = s3.environment();
    rig.write("readings.jsonl", lines(0..10));
    let running = rig.run_in(&env);
    let committed =
        || running.metric("plumeline_commit_timestamp_seconds", &[("table", "activity")]);
    wait_until("a commit", LIMIT, || committed().is_some());
    s3.process().signal("STOP");
    rig.write("readings.jsonl", lines(0..30));
    running.wait_for("history", "booked", 30);
    s3.process().signal("CONT");
    let before = committed();
    wait_until("a commit after the pause", LIMIT, || committed() > before);
    running.stop();
    let Some(python) = ledger::reader() else {
        return;
    };
    let rows = ledger::query_delta(&python, &root, &["activity"], SUM, &env);
    assert_eq!(rows, [[energy(30).to_string()]]);
}
