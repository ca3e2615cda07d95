//! Tests of reading a table's file.

use plumeline_pipelines::model::Fact;

use super::*;

const HOUR_MS: i64 = 3_600_000;

fn read(table: Table, text: &[u8]) -> Result<TableFile, Problems> {
    let names = Names::new();
    let terms = Terms { names: &names, timezone: &TimeZone::UTC, period_ms: HOUR_MS };
    read_bytes(table, "t.csv", text, terms)
}

fn shown(table: Table, text: &str) -> String {
    read(table, text.as_bytes()).expect_err(text).to_string()
}

#[test]
fn columns_may_stand_in_any_order_and_optional_ones_may_be_left_out() {
    let text = "\u{feff}factor,meter,node,kind,unit,revision\n\
        grid, m-1 ,site,register,kWh,2\n\n,\"m,2\",site,interval,,\n";
    let file = read(Table::Meters, text.as_bytes()).unwrap();
    let lines: Vec<usize> = file.rows.iter().map(|row| row.line).collect();
    assert_eq!(lines, [2, 4]);
    let Fact::Meter(meter) = &file.rows[0].change.fact else { panic!("a meter") };
    assert_eq!((meter.revision, meter.validity), (2, plumeline_pipelines::model::Validity::ALWAYS));
    let Fact::Meter(meter) = &file.rows[1].change.fact else { panic!("a meter") };
    assert!(meter.unit.is_none() && meter.factor.is_none());
}

#[test]
fn a_bad_header_is_told() {
    for (text, expected) in [
        ("", "t.csv:1: error: header: is missing\n    start with the line node,parent,"),
        ("node;parent\na;b\n", "has one column with semicolons or tabs in it"),
        ("node,parnet\na,b\n", "unknown column `parnet`\n    did you mean `parent`?"),
        ("node,parent,node\na,b,c\n", "column `node` is there twice"),
        ("parent\na\n", "column `node` is missing"),
    ] {
        let shown = shown(Table::Nodes, text);
        assert!(shown.contains(expected), "{text}: {shown}");
    }
}

#[test]
fn every_bad_row_is_told_with_line_and_column() {
    let text = "meter,node,kind,unit,factor\n\
        m-1,site,registr,kWh,grid\n\
        m-2,site,interval\n\
        m-3,site,interval,kWhh,grid\n\
        ,site,interval,kWh,grid\n";
    let shown = shown(Table::Meters, text);
    for expected in [
        "t.csv:2: error: kind: ",
        "t.csv:3: error: has 3 cells where the header has 5",
        "t.csv:4: error: unit: ",
        "t.csv:5: error: meter: ",
        "4 errors",
    ] {
        assert!(shown.contains(expected), "{expected} is not in\n{shown}");
    }
}

#[test]
fn what_is_no_text_is_told() {
    let problems = read(Table::Nodes, b"node,parent\na,\xff\nb,\n").unwrap_err();
    assert!(problems.to_string().contains("t.csv:2: error: is not UTF-8"), "{problems}");
}
