//! A table's CSV file: header and cells, each mistake with its line and column.
//!
//! Comma-separated, UTF-8, with a header line; quotes as in RFC 4180. Columns may stand in any order,
//! optional ones may be left out, and an empty cell is an absent one. What a cell means is told by the same
//! function that reads facts from topics; the column `aliases` is a file's alone ([`super::aliases`]).

use std::borrow::Cow;
use std::path::Path;
use std::sync::Arc;

use csv::{ErrorKind, Reader, ReaderBuilder, StringRecord, Trim};
use jiff::tz::TimeZone;
use plumeline_connectors::decode::fact::{columns, fact_from_fields};
use plumeline_pipelines::model::{Id, Names};

use super::{FactChange, Table, aliases, key_of, table_name, together};
use crate::config::{Problem, Problems, nearest};

/// Bytes of a table's file; a larger one belongs on a topic.
pub const FILE_BYTES_MAX: u64 = 1 << 30;

/// A row as it was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReadRow {
    /// What it says.
    pub change: FactChange,
    /// The line it starts on.
    pub line: usize,
    /// Other names of its meter.
    pub aliases: Vec<Id>,
}

/// A table's file, each row good by itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableFile {
    /// The table.
    pub table: Table,
    /// The file as it is named in messages.
    pub file: Arc<str>,
    /// Its rows, in order.
    pub rows: Vec<ReadRow>,
    /// The same rows with the dates they had in another timezone, where that has changed: those may go.
    pub before: Vec<ReadRow>,
}

/// What the reader needs besides the file.
#[derive(Copy, Clone, Debug)]
pub struct Terms<'a> {
    /// Where names become ids.
    pub names: &'a Names,
    /// For dates without an offset.
    pub timezone: &'a TimeZone,
    /// The grid of validities.
    pub period_ms: i64,
}

/// Reads the file of `table` at `path`.
///
/// # Errors
/// If it cannot be read or a row is wrong by itself; all of it is reported.
pub fn read_file(table: Table, path: &Path, terms: Terms<'_>) -> Result<TableFile, Problems> {
    let file = path.display().to_string();
    let unreadable = |reason: String| {
        let remedy = format!("create it, or correct `{}` under [tables]", table_name(table));
        Problems::from(Problem::error(&file, format!("cannot be read: {reason}"), remedy))
    };
    let size = std::fs::metadata(path).map_err(|error| unreadable(error.to_string()))?.len();
    if size > FILE_BYTES_MAX {
        return Err(unreadable(format!("{size} bytes are more than {FILE_BYTES_MAX}")));
    }
    let bytes = std::fs::read(path).map_err(|error| unreadable(error.to_string()))?;
    read_bytes(table, &file, &bytes, terms)
}

/// Reads `bytes` as the contents of `file`. See [`read_file`].
///
/// # Errors
/// See [`read_file`].
pub fn read_bytes(
    table: Table,
    file: &str,
    bytes: &[u8],
    terms: Terms<'_>,
) -> Result<TableFile, Problems> {
    let mut problems = Problems::new();
    let mut reader = ReaderBuilder::new().flexible(true).trim(Trim::All).from_reader(bytes);
    let mut rows = Vec::new();
    if let Some(header) = header(table, file, &mut reader, &mut problems) {
        for record in reader.into_records() {
            match record {
                Ok(record) => {
                    let line = first_line(bytes, &record);
                    rows.extend(row(&header, (&record, line), terms, &mut problems));
                }
                Err(error) => problems.push(not_csv(file, &error)),
            }
        }
    }
    problems.extend(together::torn(file, &rows));
    if problems.errors() > 0 {
        return Err(problems);
    }
    Ok(TableFile { table, file: file.into(), rows, before: Vec::new() })
}

/// The header line, understood.
struct Header<'a> {
    table: Table,
    file: &'a str,
    columns: Vec<String>,
}

fn header<'a>(
    table: Table,
    file: &'a str,
    reader: &mut Reader<&[u8]>,
    problems: &mut Problems,
) -> Option<Header<'a>> {
    let found: Vec<String> = match reader.headers() {
        Ok(record) => record.iter().map(str::to_owned).collect(),
        Err(error) => {
            problems.push(not_csv(file, &error));
            return None;
        }
    };
    let mut known = columns(table).to_vec();
    if table == Table::Meters {
        known.push(aliases::COLUMN);
    }
    let mut wrong = |message: String, remedy: String| {
        problems.push(Problem::error(file, message, remedy).at(1).about("header"));
    };
    if found.iter().all(String::is_empty) {
        wrong("is missing".into(), format!("start with the line {}", known.join(",")));
        return None;
    }
    if found.len() == 1 && found[0].contains([';', '\t']) {
        let remedy = "separate columns by commas, and write decimals with a point";
        wrong("has one column with semicolons or tabs in it".into(), remedy.into());
        return None;
    }
    for (index, column) in found.iter().enumerate() {
        if !known.contains(&column.as_str()) {
            let remedy = match nearest(column, known.iter().copied()) {
                Some(meant) => format!("did you mean `{meant}`?"),
                None => format!("remove it; known are {}", known.join(", ")),
            };
            wrong(format!("unknown column `{column}`"), remedy);
        } else if found[..index].contains(column) {
            wrong(format!("column `{column}` is there twice"), "keep one of them".into());
        }
    }
    for name in required(table) {
        if !found.iter().any(|column| column == name) {
            wrong(
                format!("column `{name}` is missing"),
                "add it, with a value in every row".into(),
            );
        }
    }
    Some(Header { table, file, columns: found })
}

/// The columns without which no row of `table` says anything.
fn required(table: Table) -> &'static [&'static str] {
    match table {
        Table::Meters => &["meter", "node", "kind", "unit", "factor"],
        Table::Factors => &["factor", "scope", "gas", "kg_per_unit", "unit"],
        Table::Series => &["factor"],
        Table::Nodes => &["node", "parent"],
        Table::Contracts => &["contract", "node", "covers", "factor", "supply", "zone"],
        Table::Certificates => &["certificate", "contract", "zone", "wh", "valid_from", "valid_to"],
        Table::Prices => &["unit", "to", "rate"],
    }
}

fn row(
    header: &Header<'_>,
    (record, line): (&StringRecord, usize),
    terms: Terms<'_>,
    problems: &mut Problems,
) -> Vec<ReadRow> {
    let (found, wanted) = (record.len(), header.columns.len());
    if found != wanted {
        let message = format!("has {found} cells where the header has {wanted}");
        let remedy = "write a comma for every empty cell, and quote cells that hold a comma";
        problems.push(Problem::error(header.file, message, remedy).at(line));
        return Vec::new();
    }
    let cell = |name: &str| -> Option<Cow<'_, str>> {
        let index = header.columns.iter().position(|column| column == name)?;
        record.get(index).filter(|cell| !cell.is_empty()).map(Cow::Borrowed)
    };
    let mut wrong = |column: String, message: String, remedy: String| {
        problems.push(Problem::error(header.file, message, remedy).at(line).about(column));
    };
    let read = fact_from_fields(header.table, &cell, terms.names, terms.timezone, terms.period_ms);
    let changes = match read {
        Ok(changes) => changes,
        Err(error) => {
            wrong(error.column, error.message, error.remedy);
            return Vec::new();
        }
    };
    let mut rows = Vec::new();
    for change in changes {
        let aliases = cell(aliases::COLUMN).map_or_else(
            || Ok(Vec::new()),
            |text| aliases::names_in(&text, key_of(&change.fact), terms.names),
        );
        match aliases {
            Ok(aliases) => rows.push(ReadRow { change, line, aliases }),
            Err((message, remedy)) => wrong(aliases::COLUMN.to_owned(), message, remedy),
        }
    }
    rows
}

/// The line on which `record` starts: its position is where the one before ended, empty lines between them
/// included.
fn first_line(bytes: &[u8], record: &StringRecord) -> usize {
    let Some(position) = record.position() else {
        return 0;
    };
    let start = usize::try_from(position.byte()).unwrap_or(usize::MAX);
    let empty = bytes.get(start..).unwrap_or_default().iter();
    let skipped =
        empty.take_while(|byte| matches!(byte, b'\r' | b'\n')).filter(|byte| **byte == b'\n');
    usize::try_from(position.line()).unwrap_or(usize::MAX).saturating_add(skipped.count())
}

fn not_csv(file: &str, error: &csv::Error) -> Problem {
    let line = match error.kind() {
        ErrorKind::Utf8 { pos, .. } => pos.as_ref().map(csv::Position::line),
        _ => error.position().map(csv::Position::line),
    };
    let line = line.and_then(|line| usize::try_from(line).ok());
    let (message, remedy) = match error.kind() {
        ErrorKind::Utf8 { .. } => ("is not UTF-8".to_owned(), "save the file as UTF-8"),
        _ => (format!("is not CSV: {error}"), "write comma-separated lines under a header line"),
    };
    Problem::error(file, message, remedy).at(line)
}

#[cfg(test)]
#[path = "file_tests.rs"]
mod tests;
