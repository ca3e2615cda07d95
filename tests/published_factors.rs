//! Published factors, from the program's own set to the ledger and back to their publication: what a company books of
//! two years is what DESNZ's and the IPCC's numbers come to, to the last digit.
//!
//! ```text
//! plumeline factors export ──▶ factors.csv ─┐
//!                             series.csv ───┼─▶ plumeline run, restate ──▶ ledger ──▶ DuckDB
//! activities of 2024 and 2025 ──────────────┘                              └──▶ explain ──▶ publications
//! ```

#![allow(clippy::unwrap_used, reason = "a test ends where something is wrong")]

mod rig;
mod support;

use std::fmt::Write;
use std::process::Command;

use rig::{FILE_SOURCE, Rig, ledger};

/// Activity, factor, day, amount, unit; what it comes to in AR5, kg CO2e. Sources: DESNZ 2024 v1.1 and 2025 v1, UK
/// electricity, T&D, fuels, hotel stay; R-410A: IPCC AR5, half HFC-32 (677) and half HFC-125 (3170).
const ACTIVITIES: [(&str, &str, &str, &str, &str, &str); 7] = [
    ("electricity-2024", "uk-electricity", "2024-06-01", "100000", "kWh", "20705"),
    ("losses-2024", "uk-electricity-td", "2024-06-01", "100000", "kWh", "1830"),
    ("electricity-2025", "uk-electricity", "2025-06-01", "100000", "kWh", "17700"),
    ("losses-2025", "uk-electricity-td", "2025-06-01", "100000", "kWh", "1853"),
    ("gas-2025", "uk-natural-gas-gross-cv", "2025-06-01", "1000", "kWh gross", "182.96"),
    ("hotel-2025", "hotel-uk", "2025-06-01", "3", "room.night", "31.2"),
    ("leak-2025", "refrigerant-r-410a", "2025-06-01", "2", "kg", "3847"),
];

fn plumeline(words: &[&str]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_plumeline")).args(words).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// A ledger of those activities.
fn booked() -> Rig {
    let rig = Rig::plain(FILE_SOURCE, "1s");
    let factors = ACTIVITIES.map(|(_, factor, ..)| factor);
    rig.write("factors.csv", plumeline(&[&["factors", "export"], &factors[..]].concat()));
    // The sum of its gases is 0.17701 kg a kWh in 2025, and 0.177 is printed.
    let series = "factor,series,total\nuk-electricity,locked,printed\n";
    rig.write("series.csv", series);
    rig.edit("pipeline.toml", "[tables]\n", "[tables]\nseries = \"series.csv\"\n");
    rig.edit("pipeline.toml", "grace = \"0s\"\n", "grace = \"0s\"\ngwp = [\"ar5\", \"ar6\"]\n");
    rig.write("meters.csv", "meter,node,kind,unit,factor\n");
    let mut lines = String::new();
    for (activity, factor, day, amount, unit, _) in ACTIVITIES {
        let about =
            format!("\"activity\":\"{activity}\",\"node\":\"plant\",\"factor\":\"{factor}\"");
        let when = format!("\"from\":\"{day}T00:00:00Z\",\"to\":\"{day}T12:00:00Z\"");
        writeln!(lines, "{{{about},{when},\"value\":{amount},\"unit\":\"{unit}\"}}").unwrap();
    }
    rig.write("readings.jsonl", lines);
    rig.run_to_end();
    // All of it is older than `retain`.
    let restated = rig.plumeline(&["restate"]);
    assert!(restated.status.success(), "{}", String::from_utf8_lossy(&restated.stderr));
    rig
}

#[test]
fn what_is_booked_is_what_is_published() {
    let rig = booked();
    rig.verify();
    explained(&rig);
    let Some(python) = ledger::reader() else {
        return;
    };
    for (activity, .., kg) in ACTIVITIES {
        let sum = format!(
            "SELECT sum(co2e_kg) = {kg} FROM emissions WHERE subject = '{activity}' AND scope > 0"
        );
        assert_eq!(ledger::one(&rig, &python, &sum), "True", "{activity}");
    }
    let biogenic = "SELECT sum(mass_kg) = 11507, sum(co2e_kg) = 0 FROM emissions \
                    WHERE subject = 'electricity-2025' AND scope = 0";
    assert_eq!(ledger::query(&rig, &python, biogenic), [["True", "True"]]);
    // The same masses in another set, without another booking: half 771 and half 3740.
    let ar6 = "SELECT sum(co2e_kg) = 2 * 2255.5 FROM footprints_by_gwp \
               WHERE node = 'plant' AND gas LIKE 'hfc%' AND gwp_set = 'ar6'";
    assert_eq!(ledger::one(&rig, &python, ar6), "True");
    let lineage = "SELECT bool_and(source LIKE '%DESNZ%' OR source LIKE '%EPA%') FROM lineage";
    assert_eq!(ledger::one(&rig, &python, lineage), "True");
    let formula = "SELECT count(*) > 0 AND bool_and(formula LIKE '% kg CO2e / 28.0 per % = kg CO2e' \
                   AND published_potential = 28) FROM lineage \
                   WHERE gas = 'ch4' AND published_gwp = 'ar5' AND scope > 0";
    assert_eq!(ledger::one(&rig, &python, formula), "True");
    // Of a printed total that counts, what it has more than its gases: so the formula, and not an equation that is none.
    let printed = "SELECT count(*) > 0 AND bool_and(formula LIKE '% kg per kWh less its gases = %') FROM lineage \
                   WHERE factor = 'uk-electricity' AND gas = 'co2e'";
    assert_eq!(ledger::one(&rig, &python, printed), "True");
}

/// Any number ends in its publications, and is performed again.
fn explained(rig: &Rig) {
    let explain = Command::new(env!("CARGO_BIN_EXE_plumeline"))
        .arg("explain")
        .arg(rig.path("pipeline.toml"))
        .args(["--node", "acme", "--from", "2025-01-01", "--to", "2026-01-01", "--all"])
        .output()
        .unwrap();
    let said = String::from_utf8(explain.stdout).unwrap();
    assert!(explain.status.success(), "{}{said}", String::from_utf8_lossy(&explain.stderr));
    for part in ["equal to the last bit", "CO2e of ch4 / 28", "CO2e as printed, in ar5", "DESNZ"] {
        assert!(said.contains(part), "`{part}` in:\n{said}");
    }
}

#[test]
fn a_locked_series_is_not_changed_by_an_edit() {
    let rig = booked();
    let factors = std::fs::read_to_string(rig.path("factors.csv")).unwrap();
    let line = |change: &str| {
        format!(
            "uk-electricity,2026,2,0,location,co2,0.1,kWh,,,{change},2025-01-01,,A correction\n"
        )
    };
    rig.write("factors.csv", factors.clone() + &line(""));
    let check = rig.plumeline(&["check"]);
    let said = String::from_utf8_lossy(&check.stdout).into_owned();
    assert!(!check.status.success(), "{said}");
    assert!(
        said.contains("is of a locked series, which has published 0.17489 kg co2 per kWh"),
        "{said}"
    );
    rig.write("factors.csv", factors + &line("error"));
    let check = rig.plumeline(&["check"]);
    assert!(check.status.success(), "{}", String::from_utf8_lossy(&check.stdout));
}
