//! What must be true of a ledger, whatever its pipeline went through.
//!
//! 1. *Windows*: the live series are those of the batch reference, to the last digit.
//! 2. *Chain*: the commits of `activity` follow each other without a gap (each begins at the cut where the
//!    one before it ended), and no other table holds a cut that `activity` does not.
//! 3. *Conservation*: `readings` holds every accepted (meter, instant, version, value) once and nothing
//!    else; nothing was refused, and what was parked was resolved once; each revision of a fact is there
//!    once.
//! 4. *Every cut*: `plumeline verify` computes the entries of each cut from the ledger's own readings and facts.
//! 5. *Balances* of `activity`, `emissions` and `footprints` are those of the batch reference.
//!
//! The first two, the fourth and the number of rows of `readings` need no reader but this program: they are
//! proven on a machine without Python, too.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::Duration;

use serde_json::Value;

use super::expected::Expected;
use super::ledger::{self, ACTIVITY, EMISSIONS, FOOTPRINTS, assert_same, balances};
use super::traffic::{Facts, Row, Traffic, end_of};
use super::{Rig, Running, now_ms};
use crate::support::process::wait_until;

/// The gauge of footprints.
const CO2E: &str = "ghg_emissions_co2e_grams";
/// The window that holds all traffic.
const WINDOW: (&str, &str) = ("window", "7d");
/// Digits behind the point of a gram in 1e-21 kg.
const GRAM_DIGITS: usize = 18;
/// How long what the broker holds after many kills may take to be received.
const DRAIN_LIMIT: Duration = Duration::from_mins(5);
/// Tables that a cut with rows for them commits, besides `activity`.
const OTHERS: [&str; 10] = [
    "meters",
    "factors",
    "nodes",
    "pending_restatements",
    "restatements",
    "activity_data",
    "readings",
    "rejects",
    "footprints",
    "emissions",
];
/// The domain of the bounds of a cut.
const CUT_DOMAIN: &str = "plumeline.cut";

/// A version of a table's log.
#[derive(Debug, Default)]
struct Version {
    /// The cut, where it is one of ours.
    cut: Option<u64>,
    /// The cut before it and its own, as `activity` tells.
    bounds: Option<(u64, u64)>,
    /// Rows added.
    rows: u64,
    /// Rows of files that were put in and taken out without changing data; `None` where nothing was moved so.
    moved: Option<(u64, u64)>,
}

/// Waits until `running` has received the last message of each lane, stops it, and judges its ledger.
#[track_caller]
pub(crate) fn judge(rig: &Rig, running: Running, sent: (&Traffic, i32), facts: &Facts) {
    let (traffic, lanes) = sent;
    for lane in 0..lanes {
        let labels = [("org_node", end_of(lane)), (WINDOW.0, WINDOW.1.to_owned())];
        let labels = labels.each_ref().map(|(label, value)| (*label, value.as_str()));
        wait_until("the last message to show", DRAIN_LIMIT, || {
            running.metric(CO2E, &labels).is_some()
        });
    }
    let expected = expected(rig, traffic);
    assert_windows(&running, &expected);
    running.stop();
    rig.bring_lake_home();
    assert_drained(rig, traffic);
    let Some(python) = ledger::reader() else {
        return;
    };
    assert_told(rig, &python, traffic, facts);
    assert_balances(rig, &python, &expected);
    // Counted by `tests/soak/run`.
    eprintln!("{} acknowledged readings are in the ledger once", traffic.accepted().len());
}

/// Judges a ledger half of whose traffic lies below the horizon, once its pipeline has ended and all of that is
/// restated. (Below the horizon nobody knows what was said before, so there is no saying which readings are rows.)
#[track_caller]
pub(crate) fn judge_restated(rig: &Rig, traffic: &Traffic) {
    assert_chain(rig);
    assert_together(rig);
    rig.verify();
    let mut expected = expected(rig, traffic);
    expected.restate();
    let Some(python) = ledger::reader() else {
        return;
    };
    assert_balances(rig, &python, &expected);
    eprintln!("{} acknowledged readings are in the ledger once", traffic.accepted().len());
}

/// The sums of the ledger's entries are the reference's balances.
#[track_caller]
fn assert_balances(rig: &Rig, python: &Path, expected: &Expected) {
    let wanted = expected.balances(now_ms());
    let tables = [("activity", ACTIVITY), ("emissions", EMISSIONS), ("footprints", FOOTPRINTS)];
    for ((table, (query, keys)), wanted) in tables.into_iter().zip(&wanted) {
        assert!(!wanted.is_empty(), "{table}: the traffic says something");
        assert_same(table, &balances(ledger::query(rig, python, query), keys), wanted);
    }
}

/// What the reference makes of all that was said, under the tables of `rig` as they are.
pub(crate) fn expected(rig: &Rig, traffic: &Traffic) -> Expected {
    rig.write("sent.jsonl", traffic.lines());
    let mut expected = Expected::new(rig, now_ms());
    expected.read_sources(rig, &["sent.jsonl"]);
    expected
}

/// What can be said of a ledger without a reader, after a clean end of its pipeline.
#[track_caller]
pub(crate) fn assert_drained(rig: &Rig, traffic: &Traffic) {
    assert_chain(rig);
    assert_together(rig);
    let rows: u64 = versions(rig, "readings").iter().map(|version| version.rows).sum();
    let accepted = u64::try_from(traffic.accepted().len()).expect("a length fits 64 bits");
    assert_eq!(rows, accepted, "rows of `readings`, and accepted readings");
    rig.verify();
}

/// Every accepted reading, every reject and every fact is there once, once all meters are registered.
#[track_caller]
pub(crate) fn assert_told(rig: &Rig, python: &Path, traffic: &Traffic, facts: &Facts) {
    assert_conserved(rig, python, traffic);
    assert_noted(rig, python, facts);
}

/// The live series are the reference's, once they are.
#[track_caller]
fn assert_windows(running: &Running, expected: &Expected) {
    let wanted = expected.window(now_ms());
    let shown = || running.page("/metrics").map(|(_, page)| series(&page)).unwrap_or_default();
    let mut found = shown();
    // What changes facts may come a moment after the last message.
    let began = now_ms();
    while found != wanted && now_ms() - began < 10_000 {
        std::thread::sleep(Duration::from_millis(100));
        found = shown();
    }
    let wrong: Vec<_> = wanted
        .iter()
        .filter(|(name, grams)| found.get(*name) != Some(*grams))
        .map(|(name, grams)| (name, found.get(name), grams))
        .collect();
    assert!(wrong.is_empty() && found.len() == wanted.len(), "series, found, expected: {wrong:#?}");
}

/// The series of the window on a page, in 1e-21 kg, by node, scope and method.
fn series(page: &str) -> BTreeMap<Vec<String>, i128> {
    let in_window = format!("{}=\"{}\"", WINDOW.0, WINDOW.1);
    let ours = |line: &&str| line.starts_with(&format!("{CO2E}{{")) && line.contains(&in_window);
    let parse = |line: &str| -> (Vec<String>, i128) {
        let fields: Vec<&str> = line.split('"').collect();
        let name = [1, 3, 5].map(|index| fields[index].to_owned()).into();
        let (_, value) = line.rsplit_once(' ').expect("a sample has a value");
        let (whole, fraction) = value.split_once('.').unwrap_or((value, ""));
        let digits = format!("{whole}{fraction:0<GRAM_DIGITS$}");
        (name, digits.parse().expect("grams are a decimal"))
    };
    page.lines().filter(ours).map(parse).collect()
}

/// The commits of `activity` follow each other without a gap.
#[track_caller]
pub(crate) fn assert_chain(rig: &Rig) {
    let mut last = 0;
    for (number, version) in versions(rig, "activity").into_iter().enumerate() {
        let Some(cut) = version.cut else {
            let is_creation_or_compaction = number == 0 || version.moved.is_some();
            assert!(is_creation_or_compaction, "version {number} of activity is no cut");
            continue;
        };
        assert_eq!(version.moved, None, "version {number} of activity");
        assert_eq!(version.bounds, Some((last, cut)), "version {number} of activity");
        assert!(cut > last, "version {number} of activity: {cut} after {last}");
        last = cut;
    }
}

/// After a clean end no table holds a cut that `activity` does not, and none twice.
#[track_caller]
fn assert_together(rig: &Rig) {
    let cuts = |table| versions(rig, table).into_iter().filter_map(|version| version.cut);
    let ledger: Vec<u64> = cuts("activity").collect();
    for table in OTHERS {
        let cuts: Vec<u64> = cuts(table).collect();
        assert!(cuts.is_sorted_by(|a, b| a < b), "{table}: {cuts:?}");
        let strange: Vec<_> = cuts.iter().filter(|cut| !ledger.contains(cut)).collect();
        assert!(strange.is_empty(), "{table} holds cuts that activity does not: {strange:?}");
    }
}

/// `readings` holds what was accepted, each once.
#[track_caller]
fn assert_conserved(rig: &Rig, python: &Path, traffic: &Traffic) {
    let query = "SELECT meter, epoch_ms(observed_at), version, value FROM readings";
    let mut times: BTreeMap<Row, i64> = BTreeMap::new();
    for row in ledger::query(rig, python, query) {
        let [meter, at, version, value]: [String; 4] = row.try_into().expect("four columns");
        let row = (meter, whole(&at), u32::try_from(whole(&version)).expect("it is small"), value);
        *times.entry(row).or_default() += 1;
    }
    let accepted = traffic.accepted();
    let missing: Vec<_> = accepted.iter().filter(|row| !times.contains_key(*row)).collect();
    let twice: Vec<_> = times.iter().filter(|(_, times)| **times > 1).collect();
    let strange: Vec<_> = times.keys().filter(|row| !accepted.contains(*row)).collect();
    let first = |rows: &[&Row]| format!("{:?}", rows.iter().take(5).collect::<Vec<_>>());
    assert!(
        missing.is_empty() && twice.is_empty() && strange.is_empty(),
        "{} readings; missing: {} {}\nmore than once: {} {:?}\nnever accepted: {} {}",
        accepted.len(),
        missing.len(),
        first(&missing),
        twice.len(),
        twice.iter().take(5).collect::<Vec<_>>(),
        strange.len(),
        first(&strange),
    );
}

/// Rejects and facts are noted once each.
#[track_caller]
fn assert_noted(rig: &Rig, python: &Path, facts: &Facts) {
    let twice = "SELECT reject_id, event, count(*) FROM rejects GROUP BY ALL HAVING count(*) > 1";
    let events = "SELECT count(*) FILTER (event = 'rejected'), \
         count(*) FILTER (event = 'parked') - count(*) FILTER (event = 'resolved') FROM rejects";
    let nothing: [[&str; 3]; 0] = [];
    assert_eq!(ledger::query(rig, python, twice), nothing, "a reject is noted once");
    assert_eq!(
        ledger::query(rig, python, events),
        [["0", "0"]],
        "nothing is refused, and nothing waits in the end"
    );
    let factors = "SELECT count(*) FROM factors";
    assert_eq!(ledger::one(rig, python, factors), facts.factor_rows().to_string());
    let twice = "SELECT meter, revision, count(*) FROM meters GROUP BY ALL HAVING count(*) > 1";
    assert_eq!(ledger::query(rig, python, twice), nothing, "a row of meters is noted once");
}

/// The versions of a table's log, in order; none if there is no table yet.
#[track_caller]
fn versions(rig: &Rig, table: &str) -> Vec<Version> {
    let log = format!("lake/{table}/_delta_log");
    rig.fetch(&format!("{log}/"));
    let folder = rig.path(&log);
    let Ok(entries) = fs::read_dir(&folder) else { return Vec::new() };
    let names = entries.map(|entry| entry.expect("a readable folder").file_name());
    // A kill may leave the file a version was to be written from, under another name.
    let is_version = |name: &String| {
        let digits = name.strip_suffix(".json").unwrap_or_default();
        digits.len() == 20 && digits.bytes().all(|byte| byte.is_ascii_digit())
    };
    let mut names: Vec<String> =
        names.filter_map(|name| name.into_string().ok()).filter(is_version).collect();
    names.sort_unstable();
    for (number, name) in names.iter().enumerate() {
        assert_eq!(*name, format!("{number:020}.json"), "{table} has every version");
    }
    names
        .iter()
        .map(|name| {
            let text = fs::read_to_string(folder.join(name)).expect("it is there");
            version(&text).unwrap_or_else(|| panic!("{table}, {name}:\n{text}"))
        })
        .collect()
}

/// What the lines of a log entry say; `None` if one cannot be read.
fn version(text: &str) -> Option<Version> {
    let mut version = Version::default();
    for line in text.lines().filter(|line| !line.is_empty()) {
        let action: Value = serde_json::from_str(line).ok()?;
        if let Some(txn) = action.get("txn") {
            version.cut = Some(txn["version"].as_u64()?);
        }
        if let Some(domain) = action.get("domainMetadata").filter(|d| d["domain"] == CUT_DOMAIN) {
            let bounds: Value = serde_json::from_str(domain["configuration"].as_str()?).ok()?;
            version.bounds = Some((bounds["lo"].as_u64()?, bounds["hi"].as_u64()?));
        }
        for (kind, file) in
            ["add", "remove"].iter().filter_map(|kind| Some((kind, action.get(kind)?)))
        {
            let statistics: Value = serde_json::from_str(file["stats"].as_str()?).ok()?;
            let rows = statistics["numRecords"].as_u64()?;
            if *kind == "add" && file["dataChange"] == true {
                version.rows += rows;
                continue;
            }
            assert_eq!(file["dataChange"], false, "nothing is ever removed: {line}");
            let moved = version.moved.get_or_insert_default();
            *(if *kind == "add" { &mut moved.0 } else { &mut moved.1 }) += rows;
        }
    }
    if let Some((put_in, taken_out)) = version.moved {
        assert_eq!(put_in, taken_out, "a compaction moves as many rows in as out: {text}");
    }
    Some(version)
}

fn whole(text: &str) -> i64 {
    text.parse().unwrap_or_else(|_| panic!("`{text}` is a whole number"))
}
