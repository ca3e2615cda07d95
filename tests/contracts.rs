//! Scope 2 twice, from tables and readings to `DuckDB`: a plant's output and certificates cover load by the hour, market-
//! based alone, above the horizon and below it; a certificate that is withdrawn restates what it covered.
//!
//! ```text
//! contracts.csv, certificates.csv ─┐
//! readings of two sites and a farm ┴─▶ run ──▶ restate ──▶ verify, views of DuckDB
//! ```

#![allow(clippy::unwrap_used, reason = "a test ends where something is wrong")]

mod rig;
mod support;

use std::fmt::Write;

use rig::{DAY_MS, FILE_SOURCE, Rig, day_before_yesterday, ledger};

const HOUR_MS: i64 = 3_600_000;

const FACTORS: &str = "factor,scope,method,gas,kg_per_unit,unit,source\n\
    grid,2,location,co2e,0.5,kWh,a grid\n\
    grid,2,market,co2e,0.4,kWh,a residual mix\n\
    grid,2,market,cfe_kwh,0.6,kWh,a grid\n\
    grid,3,any,co2e,0.02,kWh,losses\n\
    solar,2,market,co2e,0.1,kWh,a plant\n\
    solar,2,market,cfe_kwh,1,kWh,a plant\n";
const CONTRACTS: &str = "contract,node,covers,factor,supply,output,share,priority,zone,conveys,sole,retired,vintage,market\n\
    ppa,acme,grid,solar,metered,farm-output,0.5,0,GB,deed 1,deed 2,deed 3,deed 4,deed 5\n\
    greens,york,grid,solar,certificates,,,1,GB,deed 1,deed 2,deed 3,deed 4,deed 5\n";
const CERTIFICATES: &str = "certificate,contract,zone,device,wh,issued_wh,retired,valid_from,valid_to,revision,withdrawn\n";

/// Meters of the sites, without the farm.
const SITES: &str = "meter,node,kind,unit,interval,factor\n\
    york-m,york,interval,kWh,30m,grid\nleeds-m,leeds,interval,kWh,30m,grid\n";

/// A day that is live, and one that lies far below the horizon.
fn days() -> [i64; 2] {
    let day = day_before_yesterday();
    [day, day - 400 * DAY_MS]
}

fn instant(ms: i64) -> String {
    jiff::Timestamp::from_millisecond(ms).unwrap().to_string()
}

/// A kWh certificate of the first hour of each day.
fn certificates(withdrawn: bool) -> String {
    let mut text = CERTIFICATES.to_owned();
    for (number, day) in days().into_iter().enumerate() {
        let (from, to) = (instant(day), instant(day + HOUR_MS));
        writeln!(text, "GC-{number},greens,GB,roof,2000,2000,registry,{from},{to},0,{withdrawn}")
            .unwrap();
    }
    text
}

/// Per half-hour and day: york 6 and 4 kWh, then 10 kWh; leeds 10 kWh, then none; the farm puts out 16, then none.
const READINGS: [(&str, i64, i64); 6] = [
    ("york-m", 1, 6),
    ("york-m", 2, 4),
    ("york-m", 3, 10),
    ("leeds-m", 1, 10),
    ("farm-m", 1, 16),
    ("farm-m", 3, 0),
];

fn set_up() -> Rig {
    let rig = Rig::plain(FILE_SOURCE, "1s");
    rig.edit("pipeline.toml", "period = \"1d\"", "period = \"30m\"");
    let tables = "[tables]\ncontracts = \"contracts.csv\"\ncertificates = \"certificates.csv\"\n";
    rig.edit("pipeline.toml", "[tables]\n", tables);
    rig.write("factors.csv", FACTORS);
    rig.write("nodes.csv", "node,parent\nacme,\nyork,acme\nleeds,acme\nfarm,\n");
    let meters = "meter,node,kind,unit,interval,factor\n\
        york-m,york,interval,kWh,30m,grid\nleeds-m,leeds,interval,kWh,30m,grid\n\
        farm-m,farm,interval,kWh,30m,farm-output\n";
    rig.write("meters.csv", meters);
    rig.write("contracts.csv", CONTRACTS);
    rig.write("certificates.csv", certificates(false));
    rig
}

fn booked() -> Rig {
    let rig = set_up();
    let mut lines = String::new();
    for day in days() {
        for (meter, half_hours, kwh) in READINGS {
            let at_ms = day + half_hours * HOUR_MS / 2;
            let at = format!("\"meter\":\"{meter}\",\"observed_at_ms\":{at_ms}");
            writeln!(lines, "{{{at},\"value\":{kwh},\"unit\":\"kWh\"}}").unwrap();
        }
    }
    rig.write("readings.jsonl", lines);
    rig.run_to_end();
    rig
}

fn restate(rig: &Rig) {
    let restated = rig.plumeline(&["restate"]);
    assert!(restated.status.success(), "{}", String::from_utf8_lossy(&restated.stderr));
    rig.verify();
}

/// Market- and location-based CO2e of acme's scope 2, and its losses, on a day, in tenths of a kg.
fn totals(rig: &Rig, python: &std::path::Path, day: i64) -> Vec<String> {
    let of_day = format!(
        "node = 'acme' AND period_start >= TIMESTAMPTZ '{}' AND period_start < TIMESTAMPTZ '{}'",
        instant(day),
        instant(day + DAY_MS)
    );
    let sums = format!(
        "SELECT (SELECT sum(co2e_kg)::DECIMAL(9,2) FROM footprint_market WHERE scope = 2 AND {of_day}), \
         (SELECT sum(co2e_kg)::DECIMAL(9,2) FROM footprint_location WHERE scope = 2 AND {of_day}), \
         (SELECT sum(co2e_kg)::DECIMAL(9,2) FROM footprint_market WHERE scope = 3 AND {of_day}), \
         (SELECT sum(cfe_kwh)::DECIMAL(9,2) FROM carbon_free WHERE {of_day}), \
         (SELECT sum(load_kwh)::DECIMAL(9,2) FROM carbon_free WHERE {of_day})"
    );
    ledger::query(rig, python, &sums).remove(0)
}

#[test]
fn contracts_cover_load_by_the_hour_and_a_withdrawn_certificate_restates() {
    let rig = booked();
    restate(&rig);
    let Some(python) = ledger::reader() else {
        return;
    };
    // Hour 1: 20 kWh of load; 8 of the farm's 16 go to all alike (0.4 of each), 2 more to york. Hour 2: 10 kWh, none
    // covered. So 10 kWh at 0.1 and 20 at 0.4; 30 at 0.5; 30 at 0.02; carbon-free: 10 and 0.6 of 20.
    for day in days() {
        assert_eq!(totals(&rig, &python, day), ["9.00", "15.00", "0.60", "22.00", "30.00"]);
    }
    let covered = "SELECT node, coalesce(contract, '-'), covered_kwh::DECIMAL(9,3), uncovered_kwh::DECIMAL(9,3) \
                   FROM matching ORDER BY hour, node, contract NULLS LAST";
    let of_day = [
        ["leeds", "ppa", "4.000", ""],
        ["leeds", "-", "", "6.000"],
        ["york", "greens", "2.000", ""],
        ["york", "ppa", "4.000", ""],
        ["york", "-", "", "4.000"],
        ["york", "-", "", "10.000"],
    ];
    assert_eq!(ledger::query(&rig, &python, covered), [of_day, of_day].concat());

    for node in ["york", "acme"] {
        explained(&rig, node);
    }

    // A lost state folder: contracts come back from the tables, as all facts do.
    std::fs::remove_dir_all(rig.path("state")).unwrap();
    let restored = rig.plumeline(&["restore"]);
    assert!(restored.status.success(), "{}", String::from_utf8_lossy(&restored.stderr));

    // The registry takes the certificates back.
    rig.write("certificates.csv", certificates(true));
    rig.run_to_end();
    restate(&rig);
    for day in days() {
        assert_eq!(totals(&rig, &python, day), ["9.60", "15.00", "0.60", "21.20", "30.00"]);
    }
    let reasons = "SELECT reason, count(DISTINCT period_start), sum(co2e_kg)::DECIMAL(9,2) FROM emissions \
                   WHERE subject_kind = 'contract' AND reason NOT IN ('booked', 'backfill') \
                   GROUP BY reason ORDER BY reason";
    let found = ledger::query(&rig, &python, reasons);
    // The readings of that day came late, as all that is read from a file of history.
    let restated = [["contract_change", "4", "1.20"], ["reading_late", "2", "-3.00"]];
    assert_eq!(found, restated);
    let as_it_was = "SELECT count(*) FROM excluded_contracts";
    assert_eq!(ledger::one(&rig, &python, as_it_was), "0");
}

/// The year before the last: all of it lies below the horizon.
fn year() -> i64 {
    i64::from(jiff::Timestamp::now().to_zoned(jiff::tz::TimeZone::UTC).year()) - 2
}

/// `kwh` certificates of whole months of that year, for `greens`.
fn of_months(months: &[(u8, i64)]) -> String {
    let (mut text, year) = (CERTIFICATES.to_owned(), year());
    for (month, kwh) in months {
        let (from, to) = (format!("{year}-{month:02}-01"), format!("{year}-{:02}-01", month + 1));
        let wh = kwh * 1000;
        writeln!(text, "GC-{month},greens,GB,roof,{wh},{wh},registry,{from},{to},0,false").unwrap();
    }
    text
}

/// A report of the year is locked; one of a day of a year that is not over yet waits for the contracts of its company, and
/// not for those of others.
fn locked_once_it_is_matched(rig: &Rig) {
    let lock = |company: &str, from: &str, to: &str| {
        let words = ["report", "lock", "--company", company, "--from", from, "--to", to];
        let output = rig.plumeline(&[&words[..], &["--dry-run"]].concat());
        (output.status.success(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let (is_locked, said) =
        lock("acme", &format!("{}-01-01", year()), &format!("{}-01-01", year() + 1));
    assert!(is_locked, "{said}");
    let day = day_before_yesterday();
    let [from, to] = [day, day + DAY_MS].map(|ms| instant(ms)[..10].to_owned());
    let (is_locked, said) = lock("acme", &from, &to);
    let waits = "contracts that match by the month or the year";
    assert!(!is_locked && said.contains(waits), "{said}");
    let (is_locked, said) = lock("farm", &from, &to);
    assert!(is_locked, "{said}");
}

#[test]
fn what_a_first_contract_would_change_is_told_before_it_does() {
    let rig = set_up();
    // In periods of a minute each meter's 80 days are computed by themselves.
    rig.edit("pipeline.toml", "period = \"30m\"", "period = \"1m\"");
    rig.write("meters.csv", SITES);
    let header = CONTRACTS.lines().next().unwrap();
    rig.write("contracts.csv", format!("{header}\n"));
    rig.write("certificates.csv", CERTIFICATES);
    let mut lines = String::new();
    for day in [days()[0] - 80 * DAY_MS, days()[0]] {
        for meter in ["york-m", "leeds-m"] {
            let at = format!("\"meter\":\"{meter}\",\"observed_at_ms\":{}", day + HOUR_MS / 2);
            writeln!(lines, "{{{at},\"value\":10,\"unit\":\"kWh\"}}").unwrap();
        }
    }
    rig.write("readings.jsonl", lines);
    rig.run_to_end();
    restate(&rig);
    let greens = CONTRACTS.lines().last().unwrap().replace("greens,york,", "greens,acme,");
    rig.write("contracts.csv", format!("{header}\n{greens}\n"));
    rig.write("certificates.csv", certificates(false));
    let told = rig.plumeline(&["facts", "diff"]);
    let told = String::from_utf8(told.stdout).unwrap();
    // The certificate is of 2 kWh, of all that the two sites used in that hour, by the minute: 0.1 kg each and not 0.4, less
    // what is rounded down.
    assert!(told.contains(" -0.599\n"), "{told}");
}

#[test]
fn contracts_of_a_year_cover_it_once_it_is_over() {
    let rig = set_up();
    let contracts = "contract,node,covers,factor,supply,matching,zone,conveys,sole,retired,vintage,market\n\
        greens,acme,grid,solar,certificates,annual-1,GB,deed 1,deed 2,deed 3,deed 4,deed 5\n";
    rig.write("contracts.csv", contracts);
    rig.write("certificates.csv", of_months(&[(9, 5)]));
    rig.write("meters.csv", SITES);
    let mut lines = String::new();
    for (meter, day, kwh) in [("york-m", "03-01", 8), ("leeds-m", "06-01", 12)] {
        let at = format!("\"meter\":\"{meter}\",\"observed_at\":\"{}-{day}T00:30:00Z\"", year());
        writeln!(lines, "{{{at},\"value\":{kwh},\"unit\":\"kWh\"}}").unwrap();
    }
    rig.write("readings.jsonl", lines);
    rig.run_to_end();
    restate(&rig);
    let Some(python) = ledger::reader() else {
        return;
    };
    let (from, to) = (format!("{}-01-01", year()), format!("{}-01-01", year() + 1));
    let of_year =
        format!("period_start >= TIMESTAMPTZ '{from}' AND period_start < TIMESTAMPTZ '{to}'");
    let total = || {
        let market = "SELECT sum(co2e_kg)::DECIMAL(9,2) FROM footprint_market WHERE scope = 2";
        ledger::one(&rig, &python, &format!("{market} AND node = 'acme' AND {of_year}"))
    };
    // A quarter of each of 8 and 12 kWh.
    let covered = "SELECT node, coalesce(contract, '-'), covered_kwh::DECIMAL(9,3), uncovered_kwh::DECIMAL(9,3) \
                   FROM matching ORDER BY hour, node, contract NULLS LAST LIMIT 4";
    let quarters = [
        ["york", "greens", "2.000", ""],
        ["york", "-", "", "6.000"],
        ["leeds", "greens", "3.000", ""],
        ["leeds", "-", "", "9.000"],
    ];
    assert_eq!(ledger::query(&rig, &python, covered), quarters);
    assert_eq!(total(), "6.50", "15 x 0.4 + 5 x 0.1");
    // More is retired for that year, long after.
    rig.write("certificates.csv", of_months(&[(2, 5), (9, 5)]));
    rig.run_to_end();
    restate(&rig);
    assert_eq!(total(), "5.00", "10 x 0.4 + 10 x 0.1");
    let reasons = format!(
        "SELECT subject_kind, reason, count(*), sum(co2e_kg)::DECIMAL(9,2) FROM emissions \
         WHERE subject_kind = 'contract' AND {of_year} GROUP BY ALL ORDER BY reason"
    );
    let told =
        [["contract", "backfill", "4", "-1.50"], ["contract", "contract_change", "4", "-1.50"]];
    assert_eq!(ledger::query(&rig, &python, &reasons), told);
    locked_once_it_is_matched(&rig);
    let words = ["explain", "--node", "acme", "--from", &from, "--to", &to];
    let explained = rig.plumeline(&[&words[..], &["--method", "market", "--scope", "2"]].concat());
    let said = String::from_utf8(explained.stdout).unwrap();
    assert!(explained.status.success(), "{said}{}", String::from_utf8_lossy(&explained.stderr));
    for part in ["annual-1", "2 certificates of 10000 Wh for these years", "equal to the last bit"]
    {
        assert!(said.contains(part), "`{part}` in:\n{said}");
    }
}

/// A market-based number is explained down to its contracts, and performed again with everybody's readings.
fn explained(rig: &Rig, node: &str) {
    let (from, to) = (instant(days()[0]), instant(days()[0] + DAY_MS));
    let words = ["explain", "--node", node, "--from", &from, "--to", &to];
    let told = rig.plumeline(&[&words[..], &["--method", "market", "--scope", "2"]].concat());
    let said = String::from_utf8(told.stdout).unwrap();
    assert!(told.status.success(), "{said}{}", String::from_utf8_lossy(&told.stderr));
    for part in ["contract ppa", "taken off the residual mix", "equal to the last bit"] {
        assert!(said.contains(part), "`{part}` in:\n{said}");
    }
}

#[test]
fn what_is_wrong_with_contracts_and_certificates_is_said_with_file_and_line() {
    let rig = booked();
    let day = days()[0];
    let (from, to) = (instant(day), instant(day + HOUR_MS));
    let mut text = certificates(false);
    writeln!(text, "GC-8,greens,FR,roof,1,1,registry,{from},{to},0,").unwrap();
    writeln!(text, "GC-9,greens,GB,roof,3,2,registry,{from},{to},0,").unwrap();
    rig.write("certificates.csv", &text);
    let said = || {
        let checked = rig.plumeline(&["check"]);
        assert!(!checked.status.success());
        String::from_utf8(checked.stdout).unwrap() + &String::from_utf8(checked.stderr).unwrap()
    };
    let larger = said();
    assert!(larger.contains("certificates.csv:5"), "{larger}");
    assert!(larger.contains("`3` is more than the 2 Wh that were issued"), "{larger}");
    rig.write("certificates.csv", text.replace(",3,2,", ",2,3,"));
    let misplaced = said();
    assert!(misplaced.contains("certificates.csv:4"), "{misplaced}");
    assert!(misplaced.contains("is of zone \"FR\""), "{misplaced}");
    rig.write("certificates.csv", certificates(false));
    rig.write("contracts.csv", CONTRACTS.replace(",0.5,0,", ",1.5,0,"));
    assert!(said().contains("`1.5` is more than all the plant puts out"));
}
