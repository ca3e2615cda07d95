//! What was reported is kept, and what changes afterwards is told: when, why, and how much all of it is.
//!
//! ```text
//!   a day is booked ──▶ lock ──▶ a late reading, a revised factor, a plant that moves ──▶ show, diff
//! ```
//!
//! A day stands for the year: nobody waits for one. Sums are compared as exact decimals.

#![allow(clippy::unwrap_used, reason = "a test ends where something is wrong")]

mod rig;
mod support;

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use plumeline::report::figures::parse_kilograms;
use rig::{FILE_SOURCE, Rig, day_before_yesterday, energy, ledger, now_ms, reading};
use serde_json::Value;

/// Readings that are booked before the lock.
const OLD: i64 = 40;
/// 1e-21 kg in half a kilogram, which a kWh emits.
const HALF: i128 = 500_000_000_000_000_000_000;

fn lines(count: i64) -> String {
    (0..count).map(|number| reading(number) + "\n").collect()
}

/// The day of the readings, or so many after it.
fn day(after: i32) -> Date {
    let at = Timestamp::from_millisecond(day_before_yesterday()).unwrap();
    let day = at.to_zoned(TimeZone::UTC).date();
    (0..after).fold(day, |day, _| day.tomorrow().unwrap())
}

/// `plumeline report` of a company and the day of the readings, or one after it: what it says, and whether it did it.
fn report(rig: &Rig, after: i32, words: &[&str]) -> (bool, String) {
    let (from, to) = (day(after).to_string(), day(after + 1).to_string());
    let mut all = vec!["report", words[0], "--from", &from, "--to", &to];
    all.extend(&words[1..]);
    let output = rig.plumeline(&all);
    let said = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8(said).unwrap())
}

#[track_caller]
fn done(rig: &Rig, after: i32, words: &[&str]) -> String {
    let (is_done, said) = report(rig, after, words);
    assert!(is_done, "{said}");
    said
}

#[track_caller]
fn refused(rig: &Rig, words: &[&str]) -> String {
    let (is_done, said) = report(rig, 0, words);
    assert!(!is_done, "{said}");
    said
}

#[track_caller]
fn json(rig: &Rig, what: &str) -> Value {
    serde_json::from_str(&done(rig, 0, &[what, "--company", "acme", "--json"])).unwrap()
}

fn kg(value: &Value) -> i128 {
    parse_kilograms(value.as_str().unwrap()).unwrap()
}

/// The list: class, reason, and how many times half a kg; it adds up to what is shown.
#[track_caller]
fn changes(rig: &Rig) -> Vec<(String, String, i128)> {
    let (shown, list) = (json(rig, "show"), json(rig, "diff"));
    let list = list["changes"].as_array().unwrap();
    let total = shown["lines"].as_array().unwrap().iter();
    let total = total.clone().find(|line| line["line"] == "Total, location-based").unwrap();
    let (mut sum, mut together) = (0, 0);
    for change in list {
        sum += kg(&change["co2e_kg"]);
        together = kg(&change["cumulative_location_kg"]);
        let by_gas = change["gases"].as_array().unwrap().iter();
        assert_eq!(by_gas.map(|gas| kg(&gas["co2e_kg"])).sum::<i128>(), kg(&change["co2e_kg"]));
    }
    assert_eq!((sum, together), (kg(&total["change_kg"]), sum), "{shown:#}");
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let told = |change: &Value| {
        let halves = kg(&change["co2e_kg"]);
        assert_eq!(halves % HALF, 0);
        (text(&change["class"]), text(&change["reason"]), halves / HALF)
    };
    list.iter().map(told).collect()
}

fn rig() -> Rig {
    let rig = Rig::plain(FILE_SOURCE, "1s");
    rig.write("readings.jsonl", lines(OLD));
    rig
}

#[test]
fn what_changes_after_a_lock_is_told_and_adds_up() {
    let rig = rig();
    rig.run_to_end();
    let who = ["--company", "acme", "--by", "J. Doe", "--note", "as issued"];
    let lock = |more: &[&'static str]| [&["lock"], &who[..], more].concat();
    let dry = done(&rig, 0, &lock(&["--dry-run"]));
    assert!(dry.contains("nothing was locked") && dry.contains("0.410"), "{dry}");
    assert!(!rig.path("lake/reports").exists());
    let locked = done(&rig, 0, &lock(&["--base-year"]));
    assert!(locked.contains("it is the base year of acme"), "{locked}");
    let again = refused(&rig, &lock(&["--base-year"]));
    assert!(again.contains("says just that already: nothing was locked"), "{again}");
    assert_eq!(changes(&rig), []);
    let shown = done(&rig, 0, &["show", "--company", "acme"]);
    assert!(shown.contains("nothing has changed"), "{shown}");

    // A reading that comes later, a factor that is another one, and a plant that goes.
    rig.write("readings.jsonl", lines(OLD + 1));
    rig.run_to_end();
    let revised = "a test,\ngrid,2,2,0,any,co2,1.0,kWh,2020-01-01,,a revision,";
    rig.edit("factors.csv", "a test,", revised);
    rig.run_to_end();
    let moved = "The plant,2020-01-01,,1,\nplant,other,The plant,2020-01-01,,2,\n\
                 other,,Other,2020-01-01,,1,";
    rig.edit("nodes.csv", "The plant,2020-01-01,,1,", moved);
    rig.run_to_end();
    let (late, before) = (i128::from(OLD + 1), i128::from(energy(OLD)));
    let all = before + late;
    let found = changes(&rig);
    let classes: Vec<_> = found.iter().map(|(class, ..)| class.as_str()).collect();
    let halves: Vec<_> = found.iter().map(|(.., halves)| *halves).collect();
    assert_eq!(classes, ["estimate", "estimate", "structural"]);
    assert_eq!(halves, [late, all, -2 * all]);
    assert_eq!(found[2].1, "structural");
    let shown = done(&rig, 0, &["show", "--company", "acme"]);
    for words in ["-100.000", "restate the report", "base year must be recalculated: significant"] {
        assert!(shown.contains(words), "{words}\n{shown}");
    }
    let list = done(&rig, 0, &["diff", "--company", "acme"]);
    assert!(list.contains("at plant of m-0"), "{list}");

    // An amended report is the next one, and the first one stays.
    let amended = done(&rig, 0, &lock(&[]));
    assert!(amended.contains("-1 stays the base year of acme: write --base-year"), "{amended}");
    assert_eq!(changes(&rig), []);
    // A day later, beside the base year, and as the next one.
    done(&rig, 1, &lock(&[]));
    let beside = done(&rig, 1, &["show", "--company", "acme"]);
    assert!(beside.contains("beside base year") && beside.contains("significant"), "{beside}");
    let next = done(&rig, 1, &lock(&["--base-year"]));
    assert!(next.contains("it is the base year of acme from now on, and"), "{next}");
    let list = rig.plumeline(&["report", "list"]);
    let list = String::from_utf8(list.stdout).unwrap();
    assert_eq!(list.lines().count(), 4, "{list}");
    assert_eq!(list.matches(", base year").count(), 1, "{list}");
    assert_eq!(list.matches(", was base year").count(), 1, "{list}");
    rig.verify();
    // Readers of JSON find what readers of tables find.
    let Some(python) = ledger::reader() else {
        return;
    };
    let folder = rig.path("lake/reports");
    let query = format!(
        "SELECT CAST(sum(CAST(total.co2e_kg AS DECIMAL(38, 21)) * 2) AS INTEGER) FROM (SELECT \"number\", \
         unnest(totals) AS total FROM read_json('{}/*/*.json') WHERE base_year AND supersedes IS NULL)",
        folder.display()
    );
    assert_eq!(ledger::one(&rig, &python, &query), before.to_string());
}

#[test]
fn what_was_known_before_sign_off_and_is_not_in_the_report_is_an_error() {
    let rig = rig();
    rig.run_to_end();
    done(&rig, 0, &["lock", "--company", "acme"]);
    let as_of = json(&rig, "show")["lock"]["as_of"].as_str().unwrap().to_owned();
    rig.write("readings.jsonl", lines(OLD + 1));
    rig.run_to_end();
    let signed = Timestamp::from_millisecond(now_ms()).unwrap().to_string();
    rig.write("readings.jsonl", lines(OLD + 2));
    rig.run_to_end();
    assert!(changes(&rig).iter().all(|(class, ..)| class == "estimate"));
    // Signed off in between.
    let words = ["lock", "--company", "acme", "--as-of", &as_of, "--signed-off", &signed];
    done(&rig, 0, &words);
    let found = changes(&rig);
    let told: Vec<_> = found.iter().map(|(class, _, halves)| (class.as_str(), *halves)).collect();
    assert_eq!(told, [("error", i128::from(OLD + 1)), ("estimate", i128::from(OLD + 2))]);
}

#[test]
fn what_cannot_be_locked_is_refused_with_the_reason() {
    let rig = rig();
    let nothing = refused(&rig, &["lock", "--company", "acme"]);
    assert!(nothing.contains("nothing is committed"), "{nothing}");
    rig.run_to_end();
    let unknown = refused(&rig, &["lock", "--company", "acmee"]);
    assert!(unknown.contains("no node is called `acmee`"), "{unknown}");
    let missing = refused(&rig, &["show", "--company", "acme"]);
    assert!(missing.contains("is not locked"), "{missing}");
    let later = refused(&rig, &["lock", "--company", "acme", "--as-of", "2098-01-01T00:00:00Z"]);
    assert!(later.contains("is later than the newest commit"), "{later}");
    let past = "2001-01-01T00:00:00Z";
    let signed = refused(&rig, &["lock", "--company", "acme", "--signed-off", past]);
    assert!(signed.contains("cannot hold what was recorded after it was authorised"), "{signed}");
    let early = refused(&rig, &["lock", "--company", "acme", "--as-of", past]);
    assert!(early.contains("is not over at"), "{early}");
    let percent = refused(&rig, &["lock", "--company", "acme", "--threshold", "5 %"]);
    assert!(percent.contains("write per cent above 0"), "{percent}");
    let year = ["report", "lock", "--company", "acme", "--year", "2090"];
    let output = rig.plumeline(&year);
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(!output.status.success() && said.contains("2090 is not over"), "{said}");
    let output = rig.plumeline(&[&year[..], &["--unfinished"]].concat());
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success() && said.contains("it is unfinished"), "{said}");
    // Somebody improves on what was signed.
    done(&rig, 0, &["lock", "--company", "acme"]);
    let file = format!("lake/reports/acme/{}_{}-1.json", day(0), day(1));
    rig.edit(&file, "\"410\"", "\"400\"");
    for what in ["show", "diff"] {
        let said = refused(&rig, &[what, "--company", "acme"]);
        assert!(said.contains("a broken invariant") && said.contains("400 kg CO2e"), "{said}");
    }
}

#[test]
fn what_is_restated_below_the_horizon_is_told_alike() {
    let rig = rig();
    let shorter = "period = \"1h\"\nretain = \"1d\"\nsamples = \"1d\"\nrestate = \"manual\"";
    rig.edit("pipeline.toml", "period = \"1d\"", shorter);
    rig.edit("pipeline.toml", "windows = [\"7d\"]", "windows = [\"24h\"]");
    rig.run_to_end();
    let waits = refused(&rig, &["lock", "--company", "acme"]);
    assert!(waits.contains("is not settled") && waits.contains("pending_restatements"), "{waits}");
    let restate = || {
        let output = rig.plumeline(&["restate"]);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    };
    restate();
    done(&rig, 0, &["lock", "--company", "acme"]);
    rig.write("readings.jsonl", lines(OLD + 1));
    let moved = "The plant,2020-01-01,,1,\nplant,other,The plant,2020-01-01,,2,\n\
                 other,,Other,2020-01-01,,1,";
    rig.edit("nodes.csv", "The plant,2020-01-01,,1,", moved);
    rig.run_to_end();
    restate();
    // The plant is another's by the time its late reading is booked.
    let gone = ("structural".to_owned(), "structural".to_owned(), -i128::from(energy(OLD)));
    assert_eq!(changes(&rig), [gone]);
    rig.verify();
    // What the folder of locks holds is no table: the journal is made anew from what is beside it.
    std::fs::rename(rig.path("state"), rig.path("lost")).unwrap();
    let output = rig.plumeline(&["restore"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    rig.run_to_end();
    assert_eq!(changes(&rig).len(), 1);
}
