//! Scope 3 from what business systems send to the ledger: spend by prices, and products by their suppliers' footprints,
//! with the real program.
//!
//! ```text
//! PACT documents ──▶ plumeline factors import-pact ──▶ factors.csv ─┐
//!                                                    prices.csv ────┼─▶ plumeline run ──▶ ledger ──▶ DuckDB
//! activities in kg, pieces, EUR ────────────────────────────────────┘
//! ```

#![allow(clippy::unwrap_used, reason = "a test ends where something is wrong")]

mod rig;
mod support;

use std::fmt::Write;
use std::process::{Command, Output};

use rig::{FILE_SOURCE, Rig, ledger};

/// A footprint of 3.x: 2 kg CO2e per 12.5 kg, of which 0.25 kg are biogenic CO2.
const FOOTPRINT: &str = r#"{
  "id": "12345678-9abc-4ef0-9234-567812345678", "specVersion": "3.0.0",
  "created": "2025-04-30T00:00:00Z", "status": "Active",
  "validityPeriodStart": "2020-01-01T00:00:00Z", "validityPeriodEnd": "2090-01-01T00:00:00Z",
  "companyName": "Company 1", "productIds": ["urn:gtin:5695872369587"],
  "productNameCompany": "Ethanol",
  "pcf": {
    "declaredUnitOfMeasurement": "kilogram", "declaredUnitAmount": "12.5",
    "pcfExcludingBiogenicUptake": "2.25", "landManagementBiogenicCO2Emissions": "0.25",
    "ipccCharacterizationFactors": ["AR6"], "referencePeriodEnd": "2019-12-31T00:00:00Z"
  }
}"#;

fn import(rig: &Rig, text: &str, words: &[&str]) -> Output {
    rig.write("footprint.json", text);
    Command::new(env!("CARGO_BIN_EXE_plumeline"))
        .args(["factors", "import-pact"])
        .arg(rig.path("footprint.json"))
        .args(words)
        .output()
        .unwrap()
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&[&output.stdout[..], &output.stderr[..]].concat()).into_owned()
}

/// Activity, factor, amount, unit; kg CO2e in scope 3.
const ACTIVITIES: [(&str, &str, &str, &str, &str); 4] = [
    // 1000 x 2 / 12.5.
    ("ethanol", "urn:gtin:5695872369587", "1000", "kg", "160"),
    ("ethanol-by-the-tonne", "urn:gtin:5695872369587", "0.5", "t", "80"),
    // 10,000 x 0.41 x 111.6 / 120.
    ("audit", "it-services", "10000", "GBP", "3813"),
    // The same of 0.8 x 10,000.
    ("cloud", "it-services", "10000", "EUR", "3050.4"),
];
const PRICES: &str = "unit,to,rate,per,revision,source\n\
                      GBP,GBP@2021,111.6,120,,an index\n\
                      EUR,GBP,0.8,,,a rate\n";

fn pipeline() -> Rig {
    let rig = Rig::plain(FILE_SOURCE, "1s");
    let imported = import(&rig, FOOTPRINT, &[]);
    assert!(imported.status.success(), "{}", said(&imported));
    let mut factors = String::from_utf8(imported.stdout).unwrap();
    factors.push_str("it-services,1,3,1,any,co2e,0.41,GBP@2021,,,,,,a model\n");
    rig.write("factors.csv", factors);
    rig.write("prices.csv", PRICES);
    rig.write("readings.jsonl", "");
    rig.write("meters.csv", "meter,node,kind,unit,factor\n");
    rig.edit("pipeline.toml", "[tables]\n", "[tables]\nprices = \"prices.csv\"\n");
    rig
}

fn book(rig: &Rig) {
    let mut lines = String::new();
    let from_ms = rig::day_before_yesterday();
    let to_ms = from_ms + 12 * 3_600_000;
    for (activity, factor, amount, unit, _) in ACTIVITIES {
        let about =
            format!("\"activity\":\"{activity}\",\"node\":\"plant\",\"factor\":\"{factor}\"");
        let when = format!("\"from_ms\":{from_ms},\"to_ms\":{to_ms}");
        writeln!(lines, "{{{about},{when},\"value\":{amount},\"unit\":\"{unit}\"}}").unwrap();
    }
    rig.write("readings.jsonl", lines);
    rig.run_to_end();
}

#[test]
fn what_is_booked_is_what_suppliers_and_prices_say() {
    let rig = pipeline();
    let check = rig.plumeline(&["check"]);
    assert!(check.status.success(), "{}", said(&check));
    book(&rig);
    rig.verify();
    let before = jiff::Timestamp::now().to_string();
    let revised = format!("{PRICES}GBP,GBP@2021,111.6,125,1,the index revised\n");
    rig.write("prices.csv", revised);
    rig.run_to_end();
    rig.verify();
    explained(&rig, &[], "125");
    explained(&rig, &["--as-of", &before], "120");
    let Some(python) = ledger::reader() else {
        return;
    };
    for (activity, .., kg) in ACTIVITIES {
        let sum = format!(
            "SELECT sum(co2e_kg) = {kg} FROM emissions WHERE subject = '{activity}' AND scope = 3 AND reason <> 'price_revised'"
        );
        assert_eq!(ledger::one(&rig, &python, &sum), "True", "{activity}");
    }
    // 0.25 / 12.5 kg a kg, outside of scopes.
    let biogenic = "SELECT sum(mass_kg) = 30, sum(co2e_kg) = 0 FROM emissions WHERE scope = 0";
    assert_eq!(ledger::query(&rig, &python, biogenic), [["True", "True"]]);
    // 10,000 x 0.41 x 111.6 x (1 / 125 - 1 / 120), and 0.8 of it.
    let restated = "SELECT subject, reason, sum(co2e_kg) FROM emissions WHERE reason = 'price_revised' \
                    GROUP BY ALL ORDER BY ALL";
    let rows = ledger::query(&rig, &python, restated);
    let found: Vec<(&str, &str, &str)> = rows
        .iter()
        .map(|row| (row[0].as_str(), row[1].as_str(), row[2].trim_end_matches('0')))
        .collect();
    let expected = [("audit", "price_revised", "-152.52"), ("cloud", "price_revised", "-122.016")];
    assert_eq!(found, expected);
    let formula = "SELECT count(*) > 0 AND bool_and(formula LIKE '0.41% kg per GBP@2021, by prices, = %') FROM lineage \
                   WHERE factor = 'it-services'";
    assert_eq!(ledger::one(&rig, &python, formula), "True");
    let said = "SELECT DISTINCT source FROM factors WHERE factor LIKE 'urn:%'";
    let source = ledger::one(&rig, &python, said);
    assert_eq!(
        source,
        "PACT 3.0.0: Company 1: Ethanol: footprint 12345678-9abc-4ef0-9234-567812345678"
    );
    let said = "SELECT count(*) FROM prices WHERE price = 'GBP/GBP@2021' AND \"to\" = 'GBP@2021'";
    assert_eq!(ledger::one(&rig, &python, said), "2");
}

/// A rate that prices led to is explained by them: by those that were known then.
fn explained(rig: &Rig, as_of: &[&str], level: &str) {
    let from_ms = rig::day_before_yesterday();
    let [from, to] = [from_ms, from_ms + rig::DAY_MS]
        .map(|ms| jiff::Timestamp::from_millisecond(ms).unwrap().to_string());
    let words = ["explain", "--node", "plant", "--from", &from, "--to", &to, "--scope", "3"];
    let told = rig.plumeline(&[&words[..], as_of].concat());
    let said = said(&told);
    assert!(told.status.success(), "{said}");
    for part in [
        format!("0.41 kg/GBP@2021 x 0.8 GBP/EUR x 111.6/{level} GBP@2021/GBP, rounded half-even"),
        format!("{level} GBP are 111.6 GBP@2021; "),
        "price EUR/GBP revision 0: 1 EUR are 0.8 GBP; a rate; valid from ever on".to_owned(),
        "equal to the last bit".to_owned(),
    ] {
        assert!(said.contains(&part), "`{part}` in:\n{said}");
    }
    assert!(!said.contains("PROBLEM"), "{said}");
}

#[test]
fn check_says_what_cannot_convert() {
    let rig = pipeline();
    let checked = |prices: &str| {
        rig.write("prices.csv", prices);
        let check = rig.plumeline(&["check"]);
        (check.status.success(), said(&check))
    };
    let header = "unit,to,rate,per,valid_from,valid_to\n";
    for (row, success, expected) in [
        ("", true, "is told per `GBP@2021`, and no price leads there"),
        ("GBP,GBP@1807,1,,,\n", false, "`GBP@1807`: a price year is 1990 to 2099"),
        (
            "GPB,GBP@2021,1,,,\n",
            false,
            "unit: `GPB` is not known\n    write a currency of ISO 4217 such as EUR",
        ),
        (
            "GBP,GBP@2021,1,,2023-01-01,2024-01-01\nGBP,GBP@2021,1,,2025-01-01,\n",
            true,
            "price \"GBP/GBP@2021\" holds nowhere from 2024-01-01 to 2025-01-01",
        ),
    ] {
        let (is_success, told) = checked(&format!("{header}{row}"));
        assert_eq!(is_success, success, "{told}");
        assert!(told.contains(expected), "`{expected}` in: {told}");
    }
}

#[test]
fn an_import_tells_what_it_leaves_out_and_what_is_wrong() {
    let rig = Rig::new();
    let deprecated = import(&rig, &FOOTPRINT.replace("Active", "Deprecated"), &[]);
    assert!(deprecated.status.success());
    assert!(String::from_utf8_lossy(&deprecated.stderr).contains("is deprecated: left out"));
    assert_eq!(String::from_utf8_lossy(&deprecated.stdout).lines().count(), 1);
    let fourth = import(&rig, FOOTPRINT, &["--category", "4"]);
    assert!(String::from_utf8_lossy(&fourth.stdout).contains(",3,4,any,co2e,0.16,kg,ar6,"));
    let wrong = import(&rig, &FOOTPRINT.replace("kilogram", "stone"), &[]);
    assert!(!wrong.status.success() && wrong.stdout.is_empty());
    assert!(
        said(&wrong).contains("$.pcf.declaredUnitOfMeasurement: `stone` is no unit of activity")
    );
    assert!(!import(&rig, FOOTPRINT, &["--category", "16"]).status.success());
}
