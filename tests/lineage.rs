//! From an entry of the ledger to what it rests on, by SQL alone: the view `evidence`, and by `calc_id` the view `lineage`.
//!
//! ```text
//!   m-0  interval, stamp at its end     one reading a period
//!   s-0  interval, stamp at its start   one reading a period; the grid's factor by the hour has no version: a stand-in
//!   r-0  register                       100 kWh at 0:00, 107.5 at 3:00: both, for each period between them
//!   fuel activity of two hours          itself
//!   later: m-0's reading is corrected, and taken back
//! ```

#![allow(clippy::unwrap_used, reason = "a test ends where something is wrong")]

mod rig;
mod support;

use std::fmt::Write;
use std::path::Path;

use rig::{FILE_SOURCE, Rig, day_before_yesterday, ledger};

const MINUTE_MS: i64 = 60_000;
const HOUR_MS: i64 = 60 * MINUTE_MS;

fn rig(day_ms: i64) -> Rig {
    let rig = Rig::plain(FILE_SOURCE, "1s");
    rig.edit("pipeline.toml", "period = \"1d\"", "period = \"15m\"");
    rig.edit("pipeline.toml", "[tables]\n", "[tables]\nseries = \"series.csv\"\n");
    rig.write("series.csv", "factor,series,fallback\nhourly,rolling,grid\n");
    rig.write(
        "meters.csv",
        "meter,node,kind,unit,stamp,interval,factor\nm-0,plant,interval,kWh,end,15m,grid\n\
         s-0,plant,interval,kWh,start,15m,hourly\nr-0,plant,register,kWh,,,grid\n",
    );
    rig.write(
        "factors.csv",
        "factor,revision,scope,method,gas,kg_per_unit,unit,valid_from,valid_to,source\n\
         grid,1,2,any,co2,0.5,kWh,2020-01-01,,a test\ndiesel,1,1,any,co2,2.5,L,2020-01-01,,another test\n\
         hourly,1,2,any,co2,0.1,kWh,2020-01-01,2020-01-02,long ago\n",
    );
    let mut lines = String::new();
    for quarter in 0..4 {
        let start_ms = day_ms + quarter * 15 * MINUTE_MS;
        lines += &reading("s-0", start_ms, "2", 0);
        lines += &reading("m-0", start_ms + 15 * MINUTE_MS, "3", 0);
    }
    lines += &reading("r-0", day_ms, "100", 0);
    lines += &reading("r-0", day_ms + 3 * HOUR_MS, "107.5", 0);
    let span = format!("\"from_ms\":{day_ms},\"to_ms\":{}", day_ms + 2 * HOUR_MS);
    let fuel = "\"activity\":\"fuel\",\"node\":\"plant\",\"factor\":\"diesel\"";
    writeln!(lines, "{{{fuel},{span},\"value\":20,\"unit\":\"L\"}}").unwrap();
    rig.write("readings.jsonl", lines);
    rig.run_to_end();
    rig
}

fn reading(meter: &str, at_ms: i64, value: &str, version: i64) -> String {
    let version = if version == 0 { String::new() } else { format!(",\"version\":{version}") };
    let rest = format!("\"observed_at_ms\":{at_ms},\"value\":{value},\"unit\":\"kWh\"");
    format!("{{\"meter\":\"{meter}\",{rest}{version}}}\n")
}

fn say(rig: &Rig, line: &str) {
    let said = std::fs::read_to_string(rig.path("readings.jsonl")).unwrap();
    rig.write("readings.jsonl", said + line);
    rig.run_to_end();
}

/// Entries of a subject's second quarter of an hour, in order: reason, the factor asked for, whether another one
/// stood in, readings, their ends in ms since the day's start, and whether they hash as `lines` do.
fn evidence(rig: &Rig, python: &Path, subject: &str, lines: &[&[String]]) -> Vec<String> {
    let day_ms = day_before_yesterday();
    let hashes: Vec<String> =
        lines.iter().map(|lines| format!("md5('{}')", lines.join("' || chr(10) || '"))).collect();
    let query = format!(
        "SELECT reason, asked_factor, is_fallback, readings, epoch_ms(first_at) - {day_ms}, \
         epoch_ms(last_at) - {day_ms}, list_position([{}], readings_md5) FROM evidence \
         WHERE subject = '{subject}' AND period_start = to_timestamp({}) ORDER BY recorded_at, co2e_kg",
        hashes.join(", "),
        (day_ms + 15 * MINUTE_MS) / 1_000
    );
    ledger::query(rig, python, &query).into_iter().map(|row| row.join(" ")).collect()
}

#[test]
fn an_entry_leads_to_its_readings_and_publications_as_of_then() {
    let Some(python) = ledger::reader() else {
        return;
    };
    let day_ms = day_before_yesterday();
    let rig = rig(day_ms);
    let line = |subject: &str, at_ms: i64, value: &str, version: i64| {
        format!("{subject} {at_ms} {at_ms} {value} kWh {version}")
    };
    let quarter_ms = day_ms + 15 * MINUTE_MS;
    let started = [line("s-0", quarter_ms, "2", 0)];
    let of_start = evidence(&rig, &python, "s-0", &[&started]);
    assert_eq!(of_start, ["reading_late hourly True 1 900000 900000 1"]);
    let positions = [line("r-0", day_ms, "100", 0), line("r-0", day_ms + 3 * HOUR_MS, "107.5", 0)];
    let of_register = evidence(&rig, &python, "r-0", &[&positions]);
    assert_eq!(of_register, ["reading_late grid False 2 0 10800000 1"]);
    let fuel = [format!("fuel {day_ms} {} 20 L 0", day_ms + 2 * HOUR_MS)];
    let of_fuel = evidence(&rig, &python, "fuel", &[&fuel]);
    assert_eq!(of_fuel, ["reading_late diesel False 1 0 7200000 1"]);

    // A correction, and what it corrects, each with its own.
    let end_ms = quarter_ms + 15 * MINUTE_MS;
    let [first, second] = [[line("m-0", end_ms, "3", 0)], [line("m-0", end_ms, "5", 2)]];
    say(&rig, &reading("m-0", end_ms, "5", 2));
    let booked = "reading_late grid False 1 1800000 1800000 1".to_owned();
    let corrected = "reading_corrected grid False 1 1800000 1800000 2".to_owned();
    let both = [first.as_slice(), second.as_slice()];
    let of_end = evidence(&rig, &python, "m-0", &both);
    assert_eq!(of_end, [booked.clone(), corrected.clone()]);
    // An older version is no news. What is taken back leaves an entry that rests on nothing.
    say(&rig, &reading("m-0", end_ms, "4", 1));
    assert_eq!(evidence(&rig, &python, "m-0", &both), of_end);
    let back = format!("{{\"meter\":\"m-0\",\"observed_at_ms\":{end_ms},\"withdraw\":true}}\n");
    say(&rig, &back);
    let left = evidence(&rig, &python, "m-0", &both);
    assert_eq!(left.len(), 3, "{left:?}");
    assert_eq!(left[..2], of_end);
    assert_eq!(left[2].trim_end(), "reading_corrected   0", "{left:?}");

    // And on by its calc_id.
    let sources = "SELECT DISTINCT e.subject, l.factor, l.published_kg, l.source \
                   FROM evidence e JOIN lineage l USING (calc_id) ORDER BY 1";
    let sources = ledger::query(&rig, &python, sources);
    let sources: Vec<_> = sources.iter().map(|row| [&*row[0], &row[1], &row[3]]).collect();
    assert_eq!(
        sources,
        [
            ["fuel", "diesel", "another test"],
            ["m-0", "grid", "a test"],
            ["r-0", "grid", "a test"],
            ["s-0", "grid", "a test"]
        ]
    );
    let formula = "SELECT bool_and(formula LIKE '0.5% kg per kWh = 0.5% kg per kWh, x 1.0 = kg CO2e') \
                   FROM lineage WHERE factor = 'grid'";
    assert_eq!(ledger::one(&rig, &python, formula), "True");
    rig.verify();
}
