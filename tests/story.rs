//! `plumeline demo --story group` as a newcomer runs it: what it books, why, what its report says of it, and how it
//! explains it, is what the day's table comes to by hand.
//!
//! ```text
//!                           ┌─▶ demo ─▶ lake ─┬─▶ DuckDB ────────┐
//!   fixtures/group/day.csv ─┤                 ├─▶ report diff ───┤
//!                           │                 └─▶ explain --json ┤
//!                           └─▶ kWh x g, m3 x kg, as integers ───┴─ equal
//! ```

#![allow(clippy::unwrap_used, reason = "a test ends where something is wrong")]

mod rig;
mod support;

use std::collections::BTreeMap;
use std::process::{Command, Stdio};
use std::sync::LazyLock;

use plumeline::report::figures::parse_kilograms;
use plumeline_fixtures::group::{BAKERY_BOILER_M3, HalfHour, RESIDUAL_G, SITES, day};
use rig::{Rig, ledger};
use serde_json::Value;

/// 1e-21 kg in a gram, and in 10 mg.
const GRAM: i128 = 1_000_000_000_000_000_000;
const CENTIGRAM: i128 = GRAM / 100;
/// kg CO2e of natural gas, DESNZ 2025: a cubic metre, 2.06672, and a kWh of gross calorific value, 0.18296; in 10 mg.
const CUBIC_METRE: i128 = 206_672 * CENTIGRAM;
const KWH_GROSS: i128 = 18_296 * CENTIGRAM;
/// What the demo's erratum adds to a cubic metre: 0.009 kg.
const ERRATUM: i128 = 9 * GRAM;

/// A demo that has been told, with what it said.
struct Told {
    rig: Rig,
    said: String,
}

static TOLD: LazyLock<Told> = LazyLock::new(|| {
    let rig = Rig::new();
    let demo = Command::new(env!("CARGO_BIN_EXE_plumeline"))
        .args(["demo", "--story", "group", "--dir"])
        .arg(rig.path(""))
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let said = String::from_utf8(demo.stdout).unwrap();
    let problems = String::from_utf8_lossy(&demo.stderr);
    assert!(demo.status.success(), "{}:\n{said}\n{problems}", demo.status);
    Told { rig, said }
});

/// What the grid meter of a site comes to under one of the three numbers of each half-hour.
fn grid(site: usize, grams: impl Fn(&HalfHour) -> i64) -> i128 {
    day().iter().map(|row| i128::from(row.grid_kwh[site] * grams(row)) * GRAM).sum()
}

fn forecast(site: usize) -> i128 {
    grid(site, |row| row.forecast_g)
}

fn actual(site: usize) -> i128 {
    grid(site, |row| row.actual_g)
}

fn revised(site: usize) -> i128 {
    grid(site, |row| row.revised_g.unwrap_or(row.actual_g))
}

/// m3 of the mill's and the bakery's boiler, and kWh of the depot's heater.
fn gas() -> [i128; 3] {
    let sum = |of: fn(&HalfHour) -> i64| i128::from(day().iter().map(of).sum::<i64>());
    let bakery = i128::from(BAKERY_BOILER_M3[1] - BAKERY_BOILER_M3[0]);
    [sum(|row| row.mill_boiler_m3), bakery, sum(|row| row.depot_heater_kwh)]
}

/// Changes by reason and site, in the order in which they are entered.
fn by_hand() -> Vec<(&'static str, [i128; 3])> {
    let [mill, bakery, depot] = gas();
    let booked = [mill * CUBIC_METRE, 0, depot * KWH_GROSS];
    let each = |of: fn(usize) -> i128| [0, 1, 2].map(of);
    vec![
        ("booked", each(forecast)),
        ("booked", booked),
        ("factor_revised", each(|site| actual(site) - forecast(site))),
        ("reading_late", [0, bakery * CUBIC_METRE, 0]),
        ("factor_revised", each(|site| revised(site) - actual(site))),
        ("factor_error", [mill * ERRATUM, bakery * ERRATUM, 0]),
    ]
}

/// What is known of each site in the end.
fn now() -> [i128; 3] {
    by_hand().iter().fold([0; 3], |sum, (_, of)| [0, 1, 2].map(|site| sum[site] + of[site]))
}

#[test]
fn each_event_enters_what_it_comes_to_by_hand_with_its_reason() {
    let Some(python) = ledger::reader() else {
        return;
    };
    let rig = &TOLD.rig;
    let sums =
        "SELECT reason, node, sum(co2e_kg) FROM emissions WHERE method <> 'market' GROUP BY ALL";
    let found: BTreeMap<(String, String), i128> = ledger::query(rig, &python, sums)
        .into_iter()
        .map(|row| ((row[0].clone(), row[1].clone()), parse_kilograms(&row[2]).unwrap()))
        .collect();
    let mut expected = BTreeMap::new();
    for (reason, of) in by_hand() {
        for (site, co2e) in SITES.iter().zip(of).filter(|(_, co2e)| *co2e != 0) {
            *expected.entry((reason.to_owned(), (*site).to_owned())).or_insert(0) += co2e;
        }
    }
    assert_eq!(found, expected);
    let order = "SELECT reason FROM (SELECT reason, min(recorded_at) AS first FROM emissions \
                 GROUP BY reason, CAST(recorded_at AS DATE)) ORDER BY first, reason";
    let order = ledger::query(rig, &python, order).concat();
    let reasons = ["booked", "factor_revised", "reading_late", "factor_revised", "factor_error"];
    assert_eq!(order, reasons);
    let farm = "SELECT CAST(sum(amount) AS INTEGER) FROM activity WHERE subject = 'solar-farm'";
    let made: i64 = day().iter().map(|row| row.solar_kwh).sum();
    assert_eq!(ledger::one(rig, &python, farm), made.to_string());
}

/// What each site's electricity comes to at the residual mix, less what half of the solar farm covers of it: in each
/// hour of each half-hour and site the same part, rounded down to 1e-9 kWh.
fn market_by_hand() -> [i128; 3] {
    const KWH: i128 = 1_000_000_000;
    let mut sums = [0; 3];
    for hour in day().chunks(2) {
        let loads = hour.iter().flat_map(|row| row.grid_kwh);
        let load = loads.map(i128::from).sum::<i128>() * KWH;
        let made = hour.iter().map(|row| i128::from(row.solar_kwh)).sum::<i128>() * KWH / 2;
        for row in hour {
            for (sum, kwh) in sums.iter_mut().zip(row.grid_kwh) {
                let kwh = i128::from(kwh) * KWH;
                *sum += kwh - kwh * made.min(load) / load;
            }
        }
    }
    sums.map(|sum| sum * i128::from(RESIDUAL_G) * (GRAM / KWH))
}

#[test]
fn half_of_the_solar_farm_lowers_the_market_based_number_by_the_hour_and_nothing_else() {
    let Some(python) = ledger::reader() else {
        return;
    };
    let sums = "SELECT node, sum(co2e_kg) FROM emissions WHERE method = 'market' GROUP BY node";
    let found: BTreeMap<String, i128> = ledger::query(&TOLD.rig, &python, sums)
        .into_iter()
        .map(|row| (row[0].clone(), parse_kilograms(&row[1]).unwrap()))
        .collect();
    let sites = SITES.map(str::to_owned);
    assert_eq!(found, sites.into_iter().zip(market_by_hand()).collect());
    let lost = "SELECT count(*) FROM matching WHERE covered_kwh > 0 AND contract <> 'solar-ppa'";
    assert_eq!(ledger::one(&TOLD.rig, &python, lost), "0");
    for node in ["mill", "northmoor"] {
        let words = ["explain", "--node", node, "--from", "2026-01-13", "--to", "2026-01-14"];
        let output = TOLD.rig.plumeline(&[&words[..], &["--method", "market"]].concat());
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{said}");
        assert!(said.contains("contract solar-ppa"), "{said}");
    }
}

#[test]
fn the_reports_list_tells_what_came_after_it_was_locked() {
    let about = ["--company", "northmoor", "--from", "2026-01-13", "--to", "2026-01-14"];
    let report = |what: &str| -> Value {
        let output = TOLD.rig.plumeline(&[&["report", what, "--json"], &about[..]].concat());
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice(&output.stdout).unwrap()
    };
    let events = by_hand();
    let sum = |of: &[(&str, [i128; 3])]| of.iter().flat_map(|(_, of)| of).sum::<i128>();
    let (before, after) = events.split_at(3);
    let kg = |value: &Value| parse_kilograms(value.as_str().unwrap()).unwrap();
    let shown = report("show");
    let lines = shown["lines"].as_array().unwrap();
    let total = lines.iter().find(|line| line["line"] == "Total, location-based").unwrap();
    assert_eq!((kg(&total["locked_kg"]), kg(&total["now_kg"])), (sum(before), sum(&events)));
    let diff = report("diff");
    let found: Vec<_> = diff["changes"]
        .as_array()
        .unwrap()
        .iter()
        .map(|change| {
            let text = |key: &str| change[key].as_str().unwrap();
            (text("class"), text("reason"), kg(&change["co2e_kg"]))
        })
        // The residual mix beside a revised half-hour has another revision, and the same value.
        .filter(|(_, _, co2e)| *co2e != 0)
        .collect();
    let classes = ["estimate", "estimate", "error"];
    let expected: Vec<_> = classes
        .into_iter()
        .zip(after)
        .map(|(class, (reason, of))| (class, *reason, of.iter().sum::<i128>()))
        .collect();
    assert_eq!(found, expected);
}

#[test]
fn every_nodes_number_is_explained_and_performed_again() {
    let all = now();
    let mut nodes: Vec<(&str, i128)> = SITES.into_iter().zip(all).collect();
    nodes.push(("northmoor", all.iter().sum()));
    for (node, co2e) in nodes {
        let words =
            ["explain", "--json", "--node", node, "--from", "2026-01-13", "--to", "2026-01-14"];
        let output = TOLD.rig.plumeline(&words);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let document: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(document["again"]["outcome"], "same", "{node}");
        let number = document["tree"]["sum"]["co2e_kg"].as_str().unwrap();
        assert_eq!(parse_kilograms(number).unwrap(), co2e, "{node}");
    }
}

#[test]
fn it_is_told_in_order_with_the_commands_to_try() {
    let said = &TOLD.said;
    let mut rest = said.as_str();
    for part in [
        "1. 2026-01-12 18:00",
        "northmoor is now             0 kg CO2e",
        "booked",
        "factor_revised",
        "signed off 2026-01-14T16:00:00Z",
        "reading_late",
        "factor_error",
        "THE REPORT",
        "WHAT HAS CHANGED SINCE",
        "A NUMBER, EXPLAINED",
        "re-performed: equal to the last bit",
        "PROOF",
        "LOOK FURTHER",
        " explain ",
        " report diff ",
        "duckdb",
    ] {
        let at = rest.find(part).unwrap_or_else(|| panic!("`{part}` in its place:\n{said}"));
        rest = &rest[at..];
    }
    TOLD.rig.verify();
}
