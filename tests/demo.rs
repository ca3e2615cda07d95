//! `plumeline demo` as a newcomer runs it: over its own broker and cluster, at accelerated time. What its
//! ledger sums up to is what the batch reference makes of the same messages, to the last digit.
//!
//! ```text
//!            ┌─► MQTT, Kafka, an edited table ─► pipeline ─► lake ─► plumeline views ─► DuckDB ─┐
//!   fleet ───┤                                                                                  │
//!            └─► files ─► batch reference ──────────────────────────────────────────── equals ──┘
//! ```

#![allow(clippy::unwrap_used, reason = "a test ends where something is wrong")]

mod rig;
mod support;

use std::process::{Command, Stdio};

use plumeline_fixtures::fleet::{Fleet, Plan};
use rig::Rig;
use rig::expected::Expected;
use rig::fleet;
use rig::ledger::{self, ACTIVITY, EMISSIONS, FOOTPRINTS, assert_same, balances};

/// From the last message of the story to the end of its clock: the last period is over and settled.
const TAIL_MS: i64 = 90 * 60_000;

#[test]
fn the_demos_ledger_is_what_the_batch_reference_makes_of_its_messages() {
    let rig = Rig::new();
    let demo = Command::new(env!("CARGO_BIN_EXE_plumeline"))
        .args(["demo", "--for", "10s", "--dir"])
        .arg(rig.path(""))
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let (said, problems) =
        (String::from_utf8_lossy(&demo.stdout), String::from_utf8_lossy(&demo.stderr));
    assert!(demo.status.success(), "{}:\n{said}\n{problems}", demo.status);
    let Some(python) = ledger::reader() else {
        return;
    };
    let fleet = Fleet::new(Plan::demo());
    let sent = fleet::sent(&fleet);
    let end_ms = fleet.plan.start_ms + fleet.plan.length_ms + TAIL_MS;
    rig.write("gateways.jsonl", &sent.gateways);
    rig.write("activities.jsonl", &sent.activities);
    rig.write("factors.jsonl", &sent.factors);
    // The demo has registered the meter that was missing at the start.
    let meters = std::fs::read_to_string(rig.path("meters.csv")).unwrap();
    assert_eq!(meters, sent.meters);
    let mut expected = Expected::new(&rig, end_ms);
    // In the order of the sources in the demo's pipeline file.
    expected.read_sources(&rig, &["gateways.jsonl", "activities.jsonl", "factors.jsonl"]);
    let wanted = expected.balances(end_ms);
    let tables = [("activity", ACTIVITY), ("emissions", EMISSIONS), ("footprints", FOOTPRINTS)];
    for ((table, (query, keys)), wanted) in tables.into_iter().zip(&wanted) {
        assert!(!wanted.is_empty(), "{table}: the story books something");
        assert_same(table, &balances(ledger::query(&rig, &python, query), keys), wanted);
    }
    let restated = "SELECT count(*) FROM emissions WHERE reason LIKE 'factor_%'";
    assert_ne!(ledger::one(&rig, &python, restated), "0", "the revision restates");
}
