//! Whatever a file holds, each element has its outcome, an error has its row with a reason, and everything
//! else is booked.
//!
//! ```text
//!   good line, bad line, good line, ... ──► outcomes add up ──► rejects: one row each, with its reason
//!                                                          └──► activity: the sum of the good ones
//! ```

#![allow(clippy::unwrap_used, reason = "a test ends where something is wrong")]

mod rig;
mod support;

use rig::ledger::{self};
use rig::{FILE_SOURCE, LIMIT, Rig, day_before_yesterday, energy, now_ms, reading};
use support::process::wait_until;

/// A file source that waits for more.
const FOLLOWED: &str =
    "[[source]]\nname = \"history\"\ntype = \"file\"\npath = \"readings.jsonl\"\nfollow = true\n";

/// What can be refused at once: a line, and a part of the reason its row gives.
fn definite() -> Vec<(Vec<u8>, &'static str)> {
    let at_ms = day_before_yesterday() + 1_000;
    let with =
        |rest: &str| format!(r#"{{"meter":"m-0","observed_at_ms":{at_ms},{rest}}}"#).into_bytes();
    let tomorrow = now_ms() + 86_400_000;
    let deep = format!("{}1{}", "[".repeat(200), "]".repeat(200));
    let (forty, large) = ("1".repeat(40), " ".repeat(2 << 20));
    vec![
        (b"<reading/>".to_vec(), "JSON"),
        (with(r#""value":1"#)[..30].to_vec(), "JSON"),
        (b"{\"meter\":\"m-\xff\xfe\"}".to_vec(), "not UTF-8"),
        (with(&format!(r#""value":1{large}"#)), "too large"),
        (with(&format!(r#""value":1,"nested":{deep}"#)), "too deep"),
        (with(r#""unit":"kWh""#), "value is missing"),
        (br#"{"meter":"m-0","value":1}"#.to_vec(), "observed_at is missing"),
        (format!(r#"{{"observed_at_ms":{at_ms},"value":1}}"#).into_bytes(), "meter is missing"),
        (with(r#""value":"inf""#), "inf"),
        (with(r#""value":NaN"#), "JSON"),
        (with(r#""value":1e400"#), "1e400"),
        (with(&format!(r#""value":{forty}"#)), "1111111111"),
        (with(r#""value":1,"unit":"furlong""#), "furlong"),
        (br#"{"meter":"m-0","observed_at":"2026-01-01T00:00:00","value":1}"#.to_vec(), "offset"),
        (
            br#"{"meter":"m-0","observed_at":"1970-01-01T00:00:12Z","value":1}"#.to_vec(),
            "before 2000",
        ),
        (
            format!(r#"{{"meter":"m-0","observed_at_ms":{tomorrow},"value":1}}"#).into_bytes(),
            "in the future",
        ),
    ]
}

/// Normal traffic that says nothing.
fn nothing() -> Vec<String> {
    let at_ms = day_before_yesterday() + 2_000;
    let valued =
        |value: &str| format!(r#"{{"meter":"m-0","observed_at_ms":{at_ms},"value":{value}}}"#);
    let mut lines: Vec<String> =
        ["null", "nan", "\"nan\"", "Online", "\"\""].map(str::to_owned).into();
    lines.extend(["null", "\"nan\"", "\"NaN\""].map(valued));
    lines
}

#[test]
fn every_bad_line_has_its_row_and_loses_nothing_else() {
    let rig = Rig::plain(FOLLOWED, "1h");
    let (mut file, mut good) = (Vec::new(), 0);
    let mut add = |line: &[u8]| {
        file.extend_from_slice(line);
        file.push(b'\n');
    };
    let (bad, nothing) = (definite(), nothing());
    for line in
        bad.iter().map(|(line, _)| line.as_slice()).chain(nothing.iter().map(String::as_bytes))
    {
        add(line);
        add(reading(good).as_bytes());
        good += 1;
    }
    rig.write("readings.jsonl", &file);
    let running = rig.run();
    running.wait_for("history", "booked", u64::try_from(good).unwrap());
    assert_eq!(running.outcome("history", "ignored"), u64::try_from(nothing.len()).unwrap());
    assert_eq!(running.outcome("history", "rejected"), u64::try_from(bad.len()).unwrap());
    assert_eq!(running.outcome("history", "booked"), u64::try_from(good).unwrap());
    assert_eq!(running.outcome("history", "duplicate") + running.outcome("history", "parked"), 0);
    running.stop();

    let Some(python) = ledger::reader() else {
        return;
    };
    let rows =
        "SELECT position, reason, octet_length(raw), source, event FROM rejects ORDER BY position";
    let rows = ledger::query(&rig, &python, rows);
    assert_eq!(rows.len(), bad.len(), "{rows:?}");
    for (index, (row, (line, reason))) in rows.iter().zip(&bad).enumerate() {
        assert_eq!(row[0], (2 * index + 1).to_string(), "its line: {row:?}");
        assert!(row[1].contains(reason), "`{reason}`: {row:?}");
        assert_eq!(row[2], line.len().min(64 * 1024).to_string(), "its bytes: {row:?}");
        assert_eq!(row[3..], ["history", "rejected"]);
    }
    let sum = "SELECT CAST(sum(amount) AS INTEGER) FROM activity";
    assert_eq!(ledger::one(&rig, &python, sum), energy(good).to_string());
}

#[test]
fn outcomes_add_up_when_values_come_again() {
    let rig = Rig::plain(FOLLOWED, "1h");
    let first = reading(0);
    let better = first.replace("\"value\":1", "\"value\":7");
    let lines = [&first, &first, &better, &first, &reading(1)];
    rig.write("readings.jsonl", lines.map(|line| format!("{line}\n")).concat());
    let running = rig.run();
    running.wait_for("history", "booked", 3);
    running.wait_for("history", "duplicate", 2);
    running.stop();
    let Some(python) = ledger::reader() else {
        return;
    };
    let sum = "SELECT CAST(sum(amount) AS INTEGER) FROM activity";
    assert_eq!(ledger::one(&rig, &python, sum), "9");
}

#[test]
fn a_unit_that_does_not_fit_waits_for_a_corrected_row() {
    let rig = Rig::plain(FOLLOWED, "1h");
    let wrong = reading(0).replace("kWh", "L");
    rig.write("readings.jsonl", format!("{wrong}\n{}\n", reading(1)));
    let running = rig.run();
    running.wait_for("history", "booked", 1);
    wait_until("the wrong unit to have an outcome", LIMIT, || {
        running.outcome("history", "rejected") + running.outcome("history", "parked") == 1
    });
    running.stop();
    let Some(python) = ledger::reader() else {
        return;
    };
    let rows = ledger::query(&rig, &python, "SELECT reason FROM rejects");
    assert_eq!(rows.len(), 1, "{rows:?}");
    assert!(rows[0][0].contains("m-0"), "{rows:?}");
    let sum = "SELECT CAST(sum(amount) AS INTEGER) FROM activity";
    assert_eq!(ledger::one(&rig, &python, sum), "2");
}

#[test]
fn an_unknown_meter_is_booked_when_it_is_registered() {
    let rig = Rig::plain(FOLLOWED, "1h");
    let unknown = reading(0).replace("m-0", "m-new");
    rig.write("readings.jsonl", format!("{unknown}\n{}\n", reading(1)));
    let running = rig.run();
    running.wait_for("history", "parked", 1);
    running.wait_for("history", "booked", 1);
    assert_eq!(running.metric("plumeline_parked_readings", &[]).as_deref(), Some("1"));
    let meters = std::fs::read_to_string(rig.path("meters.csv")).unwrap();
    rig.write("meters.csv", format!("{meters}m-new,plant,interval,kWh,1m,grid,2020-01-01,,1,\n"));
    wait_until("the reading not to wait any more", LIMIT, || {
        running.metric("plumeline_parked_readings", &[]).as_deref() == Some("0")
    });
    running.stop();
    let Some(python) = ledger::reader() else {
        return;
    };
    let sum = "SELECT CAST(sum(amount) AS INTEGER) FROM activity WHERE subject = 'm-new'";
    assert_eq!(ledger::one(&rig, &python, sum), "1");
    let events = ledger::query(&rig, &python, "SELECT event FROM rejects ORDER BY recorded_at");
    assert_eq!(events, [["parked"], ["resolved"]]);
}

#[test]
fn an_unknown_factor_keeps_the_amount_and_books_emissions_later() {
    let rig = Rig::plain(FOLLOWED, "1s");
    let (from, to) = (day_before_yesterday(), day_before_yesterday() + 3_600_000);
    let activity = format!(
        r#"{{"activity":"a-1","node":"plant","factor":"later","from_ms":{from},"to_ms":{to},"value":5,"unit":"t.km"}}"#
    );
    rig.write("readings.jsonl", format!("{activity}\n"));
    let running = rig.run();
    running.wait_for("history", "booked", 1);
    let committed = || {
        let labels = [("table", "activity")];
        running.metric("plumeline_commit_timestamp_seconds", &labels)
    };
    wait_until("a commit", LIMIT, || committed().is_some_and(|at| at != "0"));
    let factors = std::fs::read_to_string(rig.path("factors.csv")).unwrap();
    rig.write(
        "factors.csv",
        format!("{factors}later,1,3,4,any,co2e,0.1,t.km,2020-01-01,,a test,\n"),
    );
    let restated = || running.metric("ghg_restatements_total", &[("reason", "factor_new_vintage")]);
    wait_until("the factor to restate", LIMIT, || restated().is_some_and(|count| count == "1"));
    running.stop();
    let Some(python) = ledger::reader() else {
        return;
    };
    let amounts = "SELECT CAST(sum(amount) AS VARCHAR), count(DISTINCT recorded_at) FROM activity";
    assert_eq!(ledger::query(&rig, &python, amounts), [["5.000000000", "1"]]);
    let emissions = "SELECT CAST(co2e_kg AS VARCHAR), mass_kg, reason FROM emissions";
    assert_eq!(
        ledger::query(&rig, &python, emissions),
        [["0.500000000000000000000", "", "factor_new_vintage"]]
    );
    let order =
        "SELECT (SELECT min(recorded_at) FROM activity) < (SELECT min(recorded_at) FROM emissions)";
    assert_eq!(ledger::one(&rig, &python, order), "True");
}

#[test]
fn a_line_without_its_end_is_a_line_where_the_file_ends() {
    let rig = Rig::plain(FILE_SOURCE, "1h");
    rig.write("readings.jsonl", format!("{}\n\n{}", reading(0), reading(1)));
    rig.run_to_end();
    let Some(python) = ledger::reader() else {
        return;
    };
    let sum = "SELECT CAST(sum(amount) AS INTEGER) FROM activity";
    assert_eq!(ledger::one(&rig, &python, sum), "3");
}

#[test]
fn readings_that_wait_are_bounded() {
    let rig = Rig::plain(FOLLOWED, "1h");
    rig.edit("pipeline.toml", "period = ", "max_parked = 2\nperiod = ");
    let unknown = |number| format!("{}\n", reading(number).replace("m-", "x-"));
    let lines: String = (0..5).map(unknown).collect();
    rig.write("readings.jsonl", format!("{lines}{}\n", reading(0)));
    let running = rig.run();
    running.wait_for("history", "booked", 1);
    running.wait_for("history", "parked", 2);
    running.wait_for("history", "rejected", 3);
    running.stop();
    let Some(python) = ledger::reader() else {
        return;
    };
    let full =
        "SELECT count(*) FROM rejects WHERE event = 'rejected' AND reason LIKE '%max_parked%'";
    assert_eq!(ledger::one(&rig, &python, full), "3");
}

#[test]
fn a_table_with_a_mistake_is_not_applied_and_the_last_good_one_stays() {
    let rig = Rig::plain(FOLLOWED, "1h");
    rig.write("readings.jsonl", "");
    let running = rig.run();
    let applied = || running.metric("plumeline_facts_reload_success", &[("table", "meters")]);
    assert_eq!(applied().as_deref(), Some("1"));
    rig.edit("meters.csv", "m-0,plant,interval,kWh", "m-0,plant,interval,bananas");
    wait_until("the mistake to be seen", LIMIT, || applied().as_deref() == Some("0"));
    let said = running.said();
    assert!(said.contains("meters.csv:2") && said.contains("bananas"), "{said}");
    rig.write("readings.jsonl", format!("{}\n", reading(0)));
    running.wait_for("history", "booked", 1);
    rig.edit("meters.csv", "bananas", "kWh");
    wait_until("the table to be applied", LIMIT, || applied().as_deref() == Some("1"));
    running.stop();
}
