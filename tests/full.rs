//! Full disks: what comes waits, nothing is lost, and all goes on by itself once there is room.
//!
//! ```text
//!   small ──┬─ ballast ──► deleted once `room` is there
//!           └─ state, or lake: what is tested to the full
//! ```
//!
//! 1. The program runs in a mount namespace of its own, where the folder `small` is a file system of a few MB:
//!    a real one, that no other process sees, and that ends with the process.
//! 2. Readings come until `/readyz` says that a disk is full, then some more: they wait at the broker, or in the
//!    journal. Then the ballast goes.
//! 3. Every reading that the broker has taken is in the ledger once.
//!
//! Not every machine lets a process make a namespace: there a fail point says that the journal's disk is full.

#![allow(clippy::unwrap_used, reason = "a test ends where something is wrong")]

mod rig;
mod support;

use std::process::{Command, Stdio};

use rig::{LIMIT, Rig, Running, energy, ledger, publish, reading};
use support::Mosquitto;
use support::process::wait_until;

/// What the small file system holds.
const SMALL_BYTES: u32 = 16 << 20;
/// What of it is free at first: enough for a start, and for some seconds of a journal or a ledger.
const FREE_FOR_JOURNAL_BYTES: u32 = 1 << 20;
const FREE_FOR_LAKE_BYTES: u32 = 400 << 10;
/// Readings that are published at a time.
const BURST: i64 = 50;
/// Bursts after which a disk is full if it ever is. Their readings are of days that have ended, and are booked.
const BURSTS_MAX: i64 = 4 * 2 * 24 * 60 / BURST;
/// Puts a program on a small disk, and saves what it has written to a `lake` there after its end. `$0` is the rig's
/// folder, `$1` and `$2` are the bytes of the disk and of its ballast.
const ON_A_SMALL_DISK: &str = r#"
mount -t tmpfs -o size="$1" tmpfs "$0/small"
head -c "$2" /dev/zero > "$0/small/ballast"
{
    while [ ! -e "$0/room" ] && kill -0 $$; do sleep 0.05; done
    rm "$0/small/ballast"
    while kill -0 $$; do sleep 0.05; done
    if [ -e "$0/small/lake" ]; then cp -a "$0/small/lake" "$0/lake"; fi
    touch "$0/saved"
} >/dev/null 2>&1 &
shift 2
exec "$@"
"#;

/// Whether this machine lets us mount something in a namespace of our own, or a line that says it does not.
fn has_small_disks() -> bool {
    let folder = tempfile::tempdir().unwrap();
    let mount = format!("mount -t tmpfs -o size=1m tmpfs {}", folder.path().display());
    let words = ["--user", "--map-root-user", "--mount", "sh", "-c", &mount];
    let tried = Command::new("unshare").args(words).stdin(Stdio::null()).output();
    let has = tried.is_ok_and(|output| output.status.success());
    if !has {
        eprintln!("skipped: this machine lets nobody mount a small file system");
    }
    has
}

/// A pipeline at `broker` with `state` and `lake` at these places.
fn rig(broker: &Mosquitto, state: &str, lake: &str) -> Rig {
    let source = format!(
        "[[source]]\nname = \"plant\"\ntype = \"mqtt\"\nurl = \"{}\"\ntopics = [\"meters/{{meter}}\"]\n",
        broker.url()
    );
    let rig = Rig::plain(&source, "1s");
    rig.edit(
        "pipeline.toml",
        "name = \"acme\"",
        &format!("name = \"acme\"\nstate_dir = \"{state}\""),
    );
    rig.edit("pipeline.toml", "url = \"lake\"", &format!("url = \"{lake}\""));
    std::fs::create_dir(rig.path("small")).unwrap();
    rig
}

/// Starts it with the rig's folder `small` on a small disk with so many bytes free.
fn run_on_a_small_disk(rig: &Rig, free_bytes: u32) -> Running {
    let words = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", ON_A_SMALL_DISK];
    let mut words: Vec<String> = words.map(str::to_owned).into();
    words.push(rig.path("").display().to_string());
    words.extend([SMALL_BYTES, SMALL_BYTES - free_bytes].map(|bytes| bytes.to_string()));
    rig.run_behind(&words)
}

/// Publishes the readings `from..from + BURST`: the broker has them.
fn burst(broker: &Mosquitto, from: i64) {
    let message = |number: i64| (format!("meters/m-{}", number % 4), reading(number).into_bytes());
    publish::mqtt(broker, &(from..from + BURST).map(message).collect::<Vec<_>>());
}

fn readyz(running: &Running) -> (u16, String) {
    running.page("/readyz").unwrap()
}

/// Readings of which it has been decided what becomes of them.
fn received(running: &Running) -> u64 {
    ["booked", "duplicate", "parked"].iter().map(|outcome| running.outcome("plant", outcome)).sum()
}

/// Publishes until `/readyz` begins a line with `problem`; says how many readings that took.
fn fill(broker: &Mosquitto, running: &Running, problem: &str) -> i64 {
    for bursts in 1..BURSTS_MAX {
        burst(broker, (bursts - 1) * BURST);
        let (status, body) = readyz(running);
        if body.lines().any(|line| line.starts_with(problem)) {
            assert_eq!(status, 503, "{body}");
            return bursts * BURST;
        }
    }
    panic!("no disk is full: {:?}\n{}", readyz(running), running.said());
}

/// All `count` readings are received, committed, and in the ledger once.
fn all_is_there(rig: &Rig, running: Running, count: i64) {
    wait_until("it to be ready again", LIMIT, || readyz(&running).0 == 200);
    running.wait_for("plant", "booked", count.unsigned_abs());
    let said = running.stop();
    assert!(said.contains("drained, committed and ended"), "{said}");
    if rig.path("room").exists() {
        wait_until("what is on the small disk to be saved", LIMIT, || rig.path("saved").exists());
        rig.edit("pipeline.toml", "url = \"small/lake\"", "url = \"lake\"");
    }
    rig.verify();
    let Some(python) = ledger::reader() else {
        return;
    };
    let all = "SELECT (SELECT CAST(sum(amount) AS INTEGER) FROM activity), \
         (SELECT count(*) FROM readings), \
         (SELECT count(DISTINCT (meter, observed_at)) FROM readings)";
    let (sum, count) = (energy(count).to_string(), count.to_string());
    assert_eq!(ledger::query(rig, &python, all), [[sum, count.clone(), count]]);
}

#[test]
fn readings_wait_at_the_broker_while_the_journals_disk_is_full() {
    let Some(broker) = Mosquitto::start() else {
        return;
    };
    if !has_small_disks() {
        return;
    }
    // The lake is there, too: it does not know why its disk is full.
    let rig = rig(&broker, "small/state", "small/lake");
    let running = run_on_a_small_disk(&rig, FREE_FOR_JOURNAL_BYTES);
    wait_until("it to be ready", LIMIT, || readyz(&running).0 == 200);
    let filled = fill(&broker, &running, "journal: ");
    // The broker takes them, and we do not.
    let before = received(&running);
    burst(&broker, filled);
    let (_, body) = readyz(&running);
    assert!(body.contains("journal: ") && body.contains("full"), "{body}");
    assert_eq!(received(&running), before);
    rig.write("room", "");
    all_is_there(&rig, running, filled + BURST);
}

#[test]
fn readings_wait_in_the_journal_while_the_ledgers_disk_is_full() {
    let Some(broker) = Mosquitto::start() else {
        return;
    };
    if !has_small_disks() {
        return;
    }
    let rig = rig(&broker, "state", "small/lake");
    let running = run_on_a_small_disk(&rig, FREE_FOR_LAKE_BYTES);
    wait_until("it to be ready", LIMIT, || readyz(&running).0 == 200);
    let filled = fill(&broker, &running, "ledger: ");
    burst(&broker, filled);
    running.wait_for("plant", "booked", (filled + BURST).unsigned_abs());
    assert_eq!(readyz(&running).0, 503, "they are in the journal alone");
    rig.write("room", "");
    all_is_there(&rig, running, filled + BURST);
}

#[test]
fn a_journal_without_room_is_tried_again() {
    let Some(broker) = Mosquitto::start() else {
        return;
    };
    let rig = rig(&broker, "state", "lake");
    let points = [("FAILPOINTS", "journal-full=30*off->6*return->off".to_owned())];
    let running = rig.run_in(&points);
    wait_until("it to be ready", LIMIT, || readyz(&running).0 == 200);
    let filled = fill(&broker, &running, "journal: ");
    burst(&broker, filled);
    all_is_there(&rig, running, filled + BURST);
}
