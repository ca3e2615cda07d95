//! An edit of the tables is told before it restates anything, and one that touches much waits.
//!
//! ```text
//!   40 meters of factor `grid` ── edited: 20 of them have factor `coal`, which emits twice as much
//!     └─▶ more than a tenth: it waits ── `facts diff` tells kg ── `facts apply` ─▶ restated
//! ```

#![allow(clippy::unwrap_used, reason = "a test ends where something is wrong")]

mod rig;
mod support;

use std::fmt::Write as _;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;

use rig::verdict::assert_chain;
use rig::{FILE_SOURCE, LIMIT, Rig, Running, day_before_yesterday, ledger};
use support::process::wait_until;

const METERS: i64 = 40;
/// Meters that the edit touches.
const EDITED: i64 = 20;

/// Rows of the meters: the first `edited` also have a revision that gives them another factor.
fn meters(edited: i64) -> String {
    let mut text = String::from(
        "meter,node,kind,unit,interval,factor,valid_from,valid_to,revision,withdrawn\n",
    );
    for meter in 0..METERS {
        writeln!(text, "m-{meter},plant,interval,kWh,1m,grid,2020-01-01,,1,").unwrap();
        if meter < edited {
            writeln!(text, "m-{meter},plant,interval,kWh,1m,coal,2020-01-01,,2,").unwrap();
        }
    }
    text
}

/// A pipeline of forty meters, with a reading of 10 kWh of each in its ledger.
fn rig(rest: &str) -> Rig {
    let rig = Rig::plain(&format!("{FILE_SOURCE}{rest}"), "1s");
    rig.write("meters.csv", meters(0));
    let factor = "a test,\ncoal,1,2,0,any,co2,1.0,kWh,2020-01-01,,a test,\n";
    rig.edit("factors.csv", "a test,\n", factor);
    let at_ms = day_before_yesterday() + 60_000;
    let line = |meter| {
        format!(
            "{{\"meter\":\"m-{meter}\",\"observed_at_ms\":{at_ms},\"value\":10,\"unit\":\"kWh\"}}\n"
        )
    };
    rig.write("readings.jsonl", (0..METERS).map(line).collect::<String>());
    rig
}

fn held(running: &Running) -> Option<String> {
    running.metric("plumeline_facts_held_keys", &[("table", "meters")])
}

fn said(rig: &Rig, words: &[&str]) -> String {
    let output = rig.plumeline(words);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// What a page of another site gets that asks for the edit in somebody's browser.
fn posted_by_a_page(port: u16) -> String {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    let request = "POST /facts/apply HTTP/1.1\r\nHost: here\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

/// The ledger's emissions, kg.
fn emitted(rig: &Rig, python: &Path) -> String {
    ledger::one(rig, python, "SELECT CAST(sum(co2e_kg) AS INTEGER) FROM emissions")
}

#[test]
fn an_edit_that_touches_much_waits_until_it_is_let_through() {
    let rig = rig("follow = true\n");
    let running = rig.run();
    running.wait_for("history", "booked", 40);
    rig.write("meters.csv", meters(EDITED));
    wait_until("the edit to wait", LIMIT, || held(&running).as_deref() == Some("20"));
    let (status, page) = running.page("/readyz").unwrap();
    assert_eq!(status, 200, "all else goes on: {page}");
    assert!(page.contains("20 of 40 keys touched") && page.contains("facts apply"), "{page}");
    // Whoever asks at another address asks nobody, and finds the state folder locked.
    let refused = rig.plumeline(&["facts", "apply"]);
    assert!(!refused.status.success(), "nobody listens at port 0");
    rig.edit("pipeline.toml", "127.0.0.1:0", &format!("127.0.0.1:{}", running.port()));
    let told = said(&rig, &["facts", "diff"]);
    assert!(
        told.contains(
            "meters: 20 of 40 keys touched, 0 new; 20 rows added, 0 taken back: more than"
        ),
        "{told}"
    );
    // 20 meters, 10 kWh, 0.5 kg more for each.
    assert!(told.contains("acme") && told.contains("+100.000"), "{told}");
    assert_eq!(held(&running).as_deref(), Some("20"), "nothing was changed");
    assert!(posted_by_a_page(running.port()).starts_with("HTTP/1.1 403"), "nor by a browser");
    let told = said(&rig, &["facts", "apply"]);
    assert_eq!(told, "the edit of the tables that waited is applied\n");
    wait_until("the edit to be applied", LIMIT, || held(&running).as_deref() == Some("0"));
    assert_eq!(said(&rig, &["facts", "apply"]), "no edit of the tables waits\n");
    running.stop();
    assert_eq!(said(&rig, &["facts", "diff"]), "the tables say what is applied\n");
    rig.verify();
    assert_chain(&rig);
    let Some(python) = ledger::reader() else {
        return;
    };
    assert_eq!(emitted(&rig, &python), "300");
}

#[test]
fn an_edit_that_is_taken_back_waits_no_more() {
    let rig = rig("follow = true\n");
    let running = rig.run();
    running.wait_for("history", "booked", 40);
    rig.write("meters.csv", meters(EDITED));
    wait_until("the edit to wait", LIMIT, || held(&running).as_deref() == Some("20"));
    // Two of forty are no more than a tenth, and few.
    rig.write("meters.csv", meters(2));
    wait_until("a smaller edit to be applied", LIMIT, || held(&running).as_deref() == Some("0"));
    running.stop();
    rig.verify();
    let Some(python) = ledger::reader() else {
        return;
    };
    assert_eq!(emitted(&rig, &python), "210");
}

#[test]
fn an_edit_made_while_nothing_runs_waits_at_the_next_start_too() {
    let rig = rig("");
    let untouched = rig.plumeline(&["facts", "diff"]);
    let told = String::from_utf8(untouched.stderr).unwrap();
    assert!(told.contains("has not run yet"), "{told}");
    rig.run_to_end();
    rig.write("meters.csv", meters(EDITED));
    let told = rig.run_to_end();
    assert!(told.contains("more than max_fact_change = 10 per cent"), "{told}");
    assert!(said(&rig, &["facts", "diff"]).contains("+100.000"), "it still waits");
    said(&rig, &["facts", "apply"]);
    assert_eq!(said(&rig, &["facts", "diff"]), "the tables say what is applied\n");
    rig.verify();
    let Some(python) = ledger::reader() else {
        return;
    };
    assert_eq!(emitted(&rig, &python), "300");
}

#[test]
fn a_timezone_moves_all_dates_at_once_and_a_later_edit_waits_as_ever() {
    let rig = rig("");
    rig.edit("pipeline.toml", "period = \"1d\"", "period = \"1h\"");
    rig.run_to_end();
    let zoned = "name = \"acme\"\ntimezone = \"America/New_York\"";
    rig.edit("pipeline.toml", "name = \"acme\"", zoned);
    let told = said(&rig, &["facts", "diff"]);
    assert!(told.contains("meters: 40 of 40 keys touched"), "all of them begin later: {told}");
    let told = rig.run_to_end();
    assert!(!told.contains("max_fact_change"), "whoever changes it means them: {told}");
    assert_eq!(said(&rig, &["facts", "diff"]), "the tables say what is applied\n");
    rig.write("meters.csv", meters(EDITED));
    let told = rig.run_to_end();
    assert!(told.contains("more than max_fact_change = 10 per cent"), "{told}");
    said(&rig, &["facts", "apply"]);
    rig.verify();
}

#[test]
fn rows_of_a_source_with_an_id_are_told_from_those_of_files() {
    let rig = rig("");
    // Its name comes first in the pipeline file, its id is another.
    let source = "[[source]]\nname = \"erp\"\nid = \"feed\"\ntype = \"file\"\npath = \"rows.jsonl\"\n\
                  carries = \"nodes\"\n[[source]]\nname = \"history\"";
    rig.edit("pipeline.toml", "[[source]]\nname = \"history\"", source);
    rig.write(
        "rows.jsonl",
        "{\"node\":\"annex\",\"parent\":\"acme\",\"revision\":1,\"valid_from\":\"2020-01-01\"}\n",
    );
    rig.run_to_end();
    let told = said(&rig, &["facts", "diff"]);
    assert_eq!(told, "the tables say what is applied\n");
}
