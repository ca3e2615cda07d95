//! `plumeline explain`: from what a number comes, as it is known now and as it was known then; and what it says of a
//! number that does not come from there.
//!
//! ```text
//!   acme ─┬─ plant   four meters of minutes: 36 kWh                     grid: 0.5 kg/kWh, later 1.0
//!         └─ office  a register: 7.5 kWh; diesel: 20 L over two hours   diesel: 2.5 kg CO2 and 1 g CH4/L
//!   run 1: all of it ── run 2: a reading of 1 kWh was 101 kWh ── run 3: another revision of `grid`
//! ```

#![allow(clippy::unwrap_used, reason = "a test ends where something is wrong")]

mod rig;
mod support;

use std::fmt::Write;
use std::fs;
use std::path::PathBuf;
use std::process::{Command, Output};

use rig::{DAY_MS, FILE_SOURCE, Rig, day_before_yesterday, energy, ledger, reading};
use serde_json::Value;

/// Readings of the four meters.
const READINGS: i64 = 8;
/// Places of a mass.
const PLACES: usize = 21;

/// What a day's start is, as text.
fn date(ms: i64) -> String {
    let at = jiff::Timestamp::from_millisecond(ms).unwrap();
    at.strftime("%Y-%m-%d").to_string()
}

/// A ledger of one run.
fn booked() -> Rig {
    let rig = prepared();
    rig.run_to_end();
    rig
}

/// The same before it runs.
fn prepared() -> Rig {
    let rig = Rig::plain(FILE_SOURCE, "1s");
    rig.edit("pipeline.toml", "period = \"1d\"", "period = \"15m\"");
    rig.edit("meters.csv", "m-0,plant", "r-0,office,register,kWh,,grid,2020-01-01,,1,\nm-0,plant");
    rig.edit("nodes.csv", "plant,acme", "office,acme,The office,2020-01-01,,1,\nplant,acme");
    let diesel = "a test,\ndiesel,1,1,0,any,co2,2.5,L,2020-01-01,,another test,\n\
                  diesel,1,1,0,any,ch4,0.001,L,2020-01-01,,another test,\n";
    rig.edit("factors.csv", "a test,\n", diesel);
    let day_ms = day_before_yesterday();
    let mut lines: String = (0..READINGS).map(|number| reading(number) + "\n").collect();
    for (hour, position) in [(0, "100"), (3, "107.5")] {
        let at_ms = day_ms + 3_600_000 * hour;
        let rest = format!("\"observed_at_ms\":{at_ms},\"value\":{position},\"unit\":\"kWh\"");
        writeln!(lines, "{{\"meter\":\"r-0\",{rest}}}").unwrap();
    }
    let to_ms = day_ms + 2 * 3_600_000;
    let rest = format!("\"from_ms\":{day_ms},\"to_ms\":{to_ms},\"value\":20,\"unit\":\"L\"");
    let place = "\"node\":\"office\",\"factor\":\"diesel\"";
    writeln!(lines, "{{\"activity\":\"fuel\",{place},{rest}}}").unwrap();
    rig.write("readings.jsonl", lines);
    rig
}

/// What a gateway says later: a reading of 1 kWh was one of 101.
fn correct(rig: &Rig) {
    let said = fs::read_to_string(rig.path("readings.jsonl")).unwrap();
    let corrected = reading(0).replace("\"value\":1,", "\"value\":101,");
    rig.write("readings.jsonl", said + &corrected + "\n");
    rig.run_to_end();
}

fn revise(rig: &Rig) {
    let revised = "a test,\ngrid,2,2,0,any,co2,1.0,kWh,2020-01-01,,a revision,\n";
    rig.edit("factors.csv", "a test,\n", revised);
    rig.run_to_end();
}

/// Runs it on the day of the readings.
fn explain(rig: &Rig, words: &[&str]) -> Output {
    let (from, to) = (date(day_before_yesterday()), date(day_before_yesterday() + DAY_MS));
    Command::new(env!("CARGO_BIN_EXE_plumeline"))
        .arg("explain")
        .arg(rig.path("pipeline.toml"))
        .args(["--from", &from, "--to", &to])
        .args(words)
        .output()
        .unwrap()
}

/// What it prints, where the number is what its readings lead to.
#[track_caller]
fn said(rig: &Rig, words: &[&str]) -> String {
    let output = explain(rig, words);
    let problems = String::from_utf8_lossy(&output.stderr).into_owned();
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{problems}{said}");
    said
}

/// The JSON document.
#[track_caller]
fn told(rig: &Rig, words: &[&str]) -> Value {
    let document: Value = serde_json::from_str(&said(rig, &[words, &["--json"]].concat())).unwrap();
    assert_eq!(document["again"]["outcome"], "same");
    assert_eq!(document["notes"].as_array().unwrap().len(), 0, "{}", document["notes"]);
    assert_adds_up(&document["tree"]);
    document
}

/// A decimal in units of its last place of so many.
fn parse(decimal: &str, places: usize) -> i128 {
    let (whole, part) = decimal.split_once('.').unwrap_or((decimal, ""));
    format!("{whole}{part:0<places$}").parse().unwrap()
}

fn co2e(branch: &Value) -> i128 {
    parse(branch["sum"]["co2e_kg"].as_str().unwrap(), PLACES)
}

#[track_caller]
fn assert_adds_up(branch: &Value) {
    let children = branch["children"].as_array().unwrap();
    if branch["what"] == "use" {
        let amount = &branch["amount"];
        let parts = amount["parts"].as_array().unwrap().iter().map(|part| &part["amount"]);
        let parts = parts.chain([&amount["unexplained"]]);
        let sum: i128 = parts.map(|part| parse(part.as_str().unwrap(), 9)).sum();
        assert_eq!(sum, parse(amount["amount"].as_str().unwrap(), 9), "{amount}");
    }
    if branch["what"] == "line" {
        let of = |key: &str, places| parse(branch[key].as_str().unwrap(), places);
        assert_eq!(of("amount", 9) * of("co2e_rate_kg_per_unit", 12), co2e(branch), "{branch}");
        return;
    }
    let rest = if branch["rest"].is_null() { 0 } else { co2e(&branch["rest"]) };
    assert_eq!(children.iter().map(co2e).sum::<i128>() + rest, co2e(branch), "{branch}");
    children.iter().for_each(assert_adds_up);
}

/// kg, as the document's number.
fn number(document: &Value) -> &str {
    document["tree"]["sum"]["co2e_kg"].as_str().unwrap()
}

fn files(rig: &Rig, table: &str) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for day in fs::read_dir(rig.path("lake").join(table)).unwrap() {
        let day = day.unwrap();
        if day.file_name().to_str().unwrap().starts_with("recorded_date=") {
            files.extend(fs::read_dir(day.path()).unwrap().map(|file| file.unwrap().path()));
        }
    }
    files.sort_unstable();
    files
}

#[test]
fn a_number_comes_from_readings_and_publications_at_every_level_of_the_tree() {
    let rig = booked();
    assert_eq!(energy(READINGS), 36);
    // 18 kg of the plant; 3.75 of the register, 50 of diesel's CO2 and 20 g of methane of the office.
    for (node, kg) in [("acme", "72.29"), ("plant", "18"), ("office", "54.29")] {
        let document = told(&rig, &["--node", node]);
        assert_eq!(number(&document), kg, "{node}");
    }
    let scope_1 = told(&rig, &["--node", "acme", "--scope", "1"]);
    assert_eq!(number(&scope_1), "50.54");
    let methane = told(&rig, &["--node", "acme", "--gas", "ch4"]);
    assert_eq!((number(&methane), &*methane["gwp"].to_string()), ("0.54", "\"ar6\""));
    let text = said(&rig, &["--node", "office"]);
    for part in [
        "54.29 kg CO2e of node office",
        "meter r-0: 3.75 kg CO2e",
        "7.5 kWh under factor grid revision 1",
        "2 readings: 100 kWh at ",
        "positions ",
        "co2: 7.5 kWh x 0.5 kg/kWh = 3.75 kg; 7.5 kWh x 0.5 kg CO2e/kWh = 3.75 kg CO2e",
        "activity fuel: 50.54 kg CO2e",
        "GWP 27 (ar6)",
        "published: another test; valid from 2020-01-01T00:00:00Z on; learned ",
        "calc_id ",
        "re-performed: equal to the last bit",
    ] {
        assert!(text.contains(part), "{part} is missing:\n{text}");
    }
}

#[test]
fn it_is_the_number_that_was_known_then() {
    let rig = booked();
    let first = told(&rig, &["--node", "plant"]);
    correct(&rig);
    let second = told(&rig, &["--node", "plant"]);
    revise(&rig);
    let third = told(&rig, &["--node", "plant"]);
    assert_eq!([&first, &second, &third].map(number), ["18", "68", "136"]);
    let restated = |document: &Value| document["entries"]["restated"].as_array().unwrap().len();
    // The periods had settled long before their readings came.
    assert_eq!([&first, &second, &third].map(restated), [1, 2, 3]);
    let sum: i128 = third["entries"]["footprints"]
        .as_array()
        .unwrap()
        .iter()
        .map(|cut| parse(cut["co2e_kg"].as_str().unwrap(), PLACES))
        .sum();
    assert_eq!(sum, co2e(&third["tree"]));
    for then in [&first, &second] {
        let as_of = then["as_of"].as_str().unwrap();
        assert_eq!(told(&rig, &["--node", "plant", "--as-of", as_of])["tree"], then["tree"]);
    }
    // The evidence is another since the correction, and not since the revision.
    let use_of = |document: &Value| {
        let subject = &document["tree"]["children"][0]["children"][0]["children"];
        let of = subject.as_array().unwrap().iter().find(|meter| meter["subject"] == "m-0");
        of.unwrap()["children"][0].clone()
    };
    let hash = |document| use_of(document)["amount"]["parts"][0]["readings"]["hash"].clone();
    assert_ne!(hash(&first), hash(&second));
    assert_eq!(hash(&second), hash(&third));
    let id = |document| use_of(document)["children"][0]["calc_id"].clone();
    assert_eq!(id(&first), id(&second));
    assert_ne!(id(&second), id(&third));
    rig.verify();
}

/// The number of `acme`, kg, what it notes, and whether it was computed again.
fn acme(rig: &Rig) -> (String, usize, String) {
    let document = explain(rig, &["--node", "acme", "--json"]).stdout;
    let document: Value = serde_json::from_slice(&document).unwrap();
    assert_adds_up(&document["tree"]);
    let notes = document["notes"].as_array().unwrap().len();
    (number(&document).to_owned(), notes, document["again"]["outcome"].as_str().unwrap().to_owned())
}

#[test]
fn restatements_from_below_the_horizon_and_other_gwp_sets_are_followed() {
    let rig = Rig::plain(FILE_SOURCE, "1s");
    let shorter =
        "period = \"1h\"\nretain = \"1d\"\nsamples = \"1d\"\nrestate = \"manual\"\ngwp = \"ar6\"";
    rig.edit("pipeline.toml", "period = \"1d\"", shorter);
    rig.edit("pipeline.toml", "windows = [\"7d\"]", "windows = [\"24h\"]");
    let methane = "a test,\ngrid,1,2,0,any,ch4,1.0,kWh,2020-01-01,,a test,\n";
    rig.edit("factors.csv", "a test,\n", methane);
    let lines: String = (0..READINGS).map(|number| reading(number) + "\n").collect();
    rig.write("readings.jsonl", &lines);
    rig.run_to_end();
    let output = explain(&rig, &["--node", "acme"]);
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("nothing is booked of node acme"), "they wait below the horizon: {said}");
    let restate = || {
        let done = rig.plumeline(&["restate"]);
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    };
    let same = |kg: &str, notes: usize| (kg.to_owned(), notes, "same".to_owned());
    restate();
    // 36 kWh of 0.5 kg CO2 and 1 kg CH4.
    assert_eq!(acme(&rig), same("990", 0));
    let corrected = reading(0).replace("\"value\":1,", "\"value\":101,");
    rig.write("readings.jsonl", lines + &corrected + "\n");
    rig.run_to_end();
    // The correction is known, and waits: what is booked of its meter does not come from what is known, and says so.
    assert_eq!(acme(&rig), same("990", 1));
    restate();
    assert_eq!(acme(&rig), same("3740", 0));
    rig.edit("pipeline.toml", "gwp = \"ar6\"", "gwp = \"ar5\"");
    restate();
    assert_eq!(acme(&rig), same("3876", 0));
    rig.verify();
}

#[test]
fn what_is_left_out_is_in_a_line_with_its_sum() {
    let rig = booked();
    let document = told(&rig, &["--node", "plant", "--children", "1"]);
    let leaf = &document["tree"]["children"][0]["children"][0];
    assert_eq!(leaf["rest"]["count"], 3);
    let text = said(&rig, &["--node", "plant", "--children", "1"]);
    assert!(text.contains("3 others: "), "{text}");
    let all = told(&rig, &["--node", "plant", "--children", "1", "--all"]);
    assert_eq!(all["tree"]["children"][0]["children"][0]["children"].as_array().unwrap().len(), 4);
}

#[test]
fn a_node_that_moves_takes_its_number_along_from_then_on() {
    let rig = booked();
    let at = jiff::Timestamp::from_millisecond(day_before_yesterday() + 3_600_000).unwrap();
    let moved = format!("The office,2020-01-01,,1,\noffice,plant,Moved,{at},,2,");
    rig.edit("nodes.csv", "The office,2020-01-01,,1,", &moved);
    rig.run_to_end();
    // An hour of the register is 1.25 kg, and of diesel 25.27 kg.
    for (node, kg) in [("acme", "72.29"), ("office", "54.29"), ("plant", "45.77")] {
        assert_eq!(number(&told(&rig, &["--node", node])), kg, "{node}");
    }
    let plant = told(&rig, &["--node", "plant"]);
    assert_eq!(plant["entries"]["footprints"].as_array().unwrap().len(), 2);
}

/// April's reporting year that holds the day of the readings: the years of its versions, and the days of either.
fn reporting_year() -> ([i16; 2], [i128; 2]) {
    let at = jiff::Timestamp::from_millisecond(day_before_yesterday()).unwrap();
    let day = at.to_zoned(jiff::tz::TimeZone::UTC).date();
    let year = if day.month() >= 4 { day.year() } else { day.year() - 1 };
    let next = jiff::civil::date(year + 1, 1, 1);
    // From April to December, and from January to March.
    ([year, year + 1], [275, if next.in_leap_year() { 91 } else { 90 }])
}

#[test]
fn two_years_that_blend_are_shown_with_their_days_and_their_mean() {
    let rig = prepared();
    let ([year, next], [days, more_days]) = reporting_year();
    let head = "factor,revision,scope,method,gas,kg_per_unit,unit,valid_from,valid_to,source\n";
    let of = |year: i16, gas: &str, rate: &str| {
        let span = format!("{year}-01-01,{}-01-01", year + 1);
        format!("grid,{year},2,any,{gas},{rate},kWh,{span},set of {year}\n")
    };
    // Methane is in the second year alone.
    let rows = [of(year, "co2", "0.3"), of(next, "co2", "0.7"), of(next, "ch4", "0.001")].concat();
    let diesel = "diesel,1,1,any,co2,2.5,L,2020-01-01,,another test\n\
                  diesel,1,1,any,ch4,0.001,L,2020-01-01,,another test\n";
    rig.write("factors.csv", [head, &rows, diesel].concat());
    rig.write("series.csv", "factor,vintage,year_begins\ngrid,blended,4\n");
    rig.edit("pipeline.toml", "[tables]\n", "[tables]\nseries = \"series.csv\"\n");
    rig.run_to_end();
    let all = days + more_days;
    let mean = |sum: i128| {
        let (whole, rest) = (sum / all, sum % all * 2);
        whole + i128::from(rest > all || (rest == all && whole % 2 == 1))
    };
    // 1e-12 kg a kWh; methane's potential is 27.
    let co2 = mean(300_000_000_000 * days + 700_000_000_000 * more_days);
    let [ch4, ch4_co2e] = [1_000_000_000, 27_000_000_000].map(|rate| mean(rate * more_days));
    let document = told(&rig, &["--node", "plant", "--all"]);
    let kwh = i128::from(energy(READINGS));
    assert_eq!(co2e(&document["tree"]), kwh * (co2 + ch4_co2e) * 1_000_000_000);
    let meter = &document["tree"]["children"][0]["children"][0]["children"][0];
    let lines = meter["children"][0]["children"].as_array().unwrap();
    let line = |gas: &str| lines.iter().find(|line| line["gas"] == gas).unwrap();
    let number = |value: &Value| parse(value.as_str().unwrap(), 12);
    for (gas, rates, sources) in
        [("co2", [co2, co2], vec![year, next]), ("ch4", [ch4, ch4_co2e], vec![next])]
    {
        let (line, weighed) = (line(gas), &line(gas)["weighed"]);
        assert!(line["problem"].is_null(), "{line:#}");
        assert_eq!(number(&line["rate_kg_per_unit"]), rates[0]);
        assert_eq!(
            weighed["means"].as_array().unwrap().iter().map(number).collect::<Vec<_>>(),
            rates
        );
        for (at, key) in ["rate_kg_per_unit", "co2e_rate_kg_per_unit"].into_iter().enumerate() {
            let shares = weighed["shares"].as_array().unwrap().iter();
            let sum: i128 = shares
                .map(|share| number(&share[key]) * i128::from(share["days"].as_i64().unwrap()))
                .sum();
            assert_eq!((sum, mean(sum)), (number(&weighed["sums"][at]), rates[at]), "{gas} {key}");
        }
        let versions = line["versions"].as_array().unwrap().iter();
        let found: Vec<_> = versions.map(|version| version["source"].clone()).collect();
        let expected: Vec<_> = sources.into_iter().map(|year| format!("set of {year}")).collect();
        assert_eq!(found, expected);
    }
    let text = said(&rig, &["--node", "plant"]);
    for part in [
        format!("{days} of {all} days: 0.3 kg/kWh, 0.3 kg CO2e/kWh"),
        format!("{more_days} of {all} days: 0.7 kg/kWh"),
        format!("{days} of {all} days: no such line, which counts as 0"),
        format!("mean rate: (0.3 x {days} + 0.7 x {more_days}) / {all} days = "),
        "rounded half-even to 1e-12 kg: 0.".to_owned(),
        format!("published: set of {next}"),
    ] {
        assert!(text.contains(&part), "{part} is missing:\n{text}");
    }
    rig.verify();
    let Some(python) = ledger::reader() else {
        return;
    };
    let by_days = "SELECT count(*) > 0 AND bool_and(formula LIKE '% per kWh, by days with the year beside it, = %') \
                   FROM lineage WHERE factor = 'grid'";
    assert_eq!(ledger::one(&rig, &python, by_days), "True");
}

#[test]
fn what_somebody_has_changed_is_named() {
    for table in ["emissions", "footprints", "activity", "readings"] {
        let rig = booked();
        correct(&rig);
        let files = files(&rig, table);
        assert!(files.len() > 1, "{table}");
        // The rows of the last cut in place of those of the first, or the other way round.
        if table == "readings" {
            fs::copy(files.last().unwrap(), &files[0]).unwrap();
        } else {
            fs::copy(&files[0], files.last().unwrap()).unwrap();
        }
        let output = explain(&rig, &["--node", "acme"]);
        let said = String::from_utf8(output.stdout).unwrap();
        assert_eq!(output.status.code(), Some(1), "{table}: {said}");
        assert!(said.contains("it is not what its readings lead to: table `"), "{table}: {said}");
        assert!(said.contains("it says ") && said.contains("it must be "), "{table}: {said}");
    }
}

#[test]
fn without_readings_it_is_shown_and_not_proven() {
    let rig = booked();
    rig.edit("pipeline.toml", "url = \"lake\"", "url = \"lake\"\nreadings = \"none\"");
    let output = explain(&rig, &["--node", "acme"]);
    let (shown, why) = (output.stdout, output.stderr);
    let (shown, why) = (String::from_utf8(shown).unwrap(), String::from_utf8(why).unwrap());
    assert_eq!(output.status.code(), Some(1));
    assert!(shown.starts_with("72.29 kg CO2e of node acme"), "{shown}");
    assert!(why.contains("not re-performed: its sink says `readings = \"none\"`"), "{why}");
}

#[test]
fn what_is_no_number_is_refused_with_what_to_write() {
    let rig = booked();
    let from = date(day_before_yesterday());
    let refused = |words: &[&str], what: &str| {
        let output = explain(&rig, words);
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{words:?}: {said}");
        assert!(said.contains(what) && output.stdout.is_empty(), "{words:?}: {said}");
    };
    refused(
        &["--node", "ofice"],
        "--node ofice: no table of the ledger names such a node: did you mean `office`?",
    );
    refused(&["--node", "acme", "--gas", "ch5"], "did you mean `ch4`?");
    refused(&["--node", "acme", "--as-of", "2099-01-01T00:00Z"], "the newest commit is of ");
    refused(&["--node", "acme", "--as-of", "2026-01-01"], "write an instant of that day");
    refused(&["--node", "acme", "--scope", "3"], "nothing is booked of node acme, from ");
    let command = |from: &str, to: &str| {
        let output = Command::new(env!("CARGO_BIN_EXE_plumeline"))
            .arg("explain")
            .arg(rig.path("pipeline.toml"))
            .args(["--node", "acme", "--from", from, "--to", to])
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(1));
        String::from_utf8(output.stderr).unwrap()
    };
    let off = command(&format!("{from}T00:15"), &format!("{from}T02:00"));
    let (before, after) = (format!("{from}T00:00:00+00:00"), format!("{from}T01:00:00+00:00"));
    assert!(off.contains(&format!("from {before} to {after}: write one of them")), "{off}");
    assert!(command(&from, &from).contains("it has to be after --from"));
    assert!(command("yesterday", &from).contains("write a date (2026-01-31)"));
    let empty = Rig::plain(FILE_SOURCE, "1s");
    let output = explain(&empty, &["--node", "acme"]);
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("there is nothing to explain: nothing is committed"), "{said}");
}
