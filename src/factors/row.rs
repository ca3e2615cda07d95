//! A row of a set, as the file has it.

use plumeline_pipelines::model::blend::composition;
use plumeline_pipelines::model::{Decimal, Gas, GwpSet, Method, Unit};
use thiserror::Error;

/// The columns of every set, in their order.
pub const COLUMNS: [&str; 14] = [
    "factor",
    "revision",
    "scope",
    "category",
    "method",
    "gas",
    "kg_per_unit",
    "unit",
    "published_gwp",
    "status",
    "change",
    "valid_from",
    "valid_to",
    "source",
];

/// One line of a factor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// The factor.
    pub factor: String,
    /// The year of the set.
    pub revision: i64,
    /// 1, 2, 3, or 0 for outside of scopes.
    pub scope: u8,
    /// Scope 3 category; 0 for none.
    pub category: u8,
    /// How scope 2 is told.
    pub method: Method,
    /// The gas; a line of a blend is a row for each of its gases.
    pub gas: Gas,
    /// Kilograms per `unit`: of the gas, or of its CO2e by `published_gwp`.
    pub kg_per_unit: Decimal,
    /// The unit of the activity.
    pub unit: Unit,
    /// The set of potentials it is told in; `None` where it is a mass.
    pub published_gwp: Option<GwpSet>,
    /// The first day it holds; empty for always.
    pub valid_from: String,
    /// The first day it no longer holds; empty for open.
    pub valid_to: String,
    /// Publisher, publication, table, entry.
    pub source: String,
    /// The line as it stands.
    pub line: &'static str,
}

/// Why a set cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum RowError {
    /// The header is not [`COLUMNS`].
    #[error("the header is not that of a set of factors")]
    Header,
    /// A line is no CSV, or not all of it.
    #[error("line {line} is not a line of {} cells", COLUMNS.len())]
    Cells {
        /// From 1.
        line: usize,
    },
    /// A cell cannot be meant.
    #[error("line {line}: {column}: `{text}` cannot be meant")]
    Cell {
        /// From 1.
        line: usize,
        /// The column.
        column: &'static str,
        /// The cell.
        text: String,
    },
}

impl Row {
    /// Table and entry of its publication: what a list calls it, without the unit.
    #[must_use]
    pub fn what(&self) -> &str {
        let what = self.source.splitn(3, ": ").nth(2).unwrap_or(&self.source);
        what.split_once(" per ").map_or(what, |(what, _)| what)
    }

    /// The year of its first day; `any` where it always holds.
    #[must_use]
    pub fn year(&self) -> &str {
        self.valid_from.get(..4).unwrap_or("any")
    }
}

/// Reads a set.
///
/// # Errors
/// If it is not what a set is; the first thing that is wrong.
pub(super) fn read(csv: &'static str) -> Result<Vec<Row>, RowError> {
    let mut lines = (1..).zip(csv.lines());
    let header = lines.next().map(|(_, header)| header);
    if header.is_none_or(|header| !header.split(',').eq(COLUMNS)) {
        return Err(RowError::Header);
    }
    let mut rows = Vec::new();
    for (number, line) in lines {
        rows.extend(line_rows(number, line)?);
    }
    Ok(rows)
}

/// The row of a line; of a blend, one for each of its gases.
fn line_rows(number: usize, line: &'static str) -> Result<Vec<Row>, RowError> {
    let mut reader = csv::ReaderBuilder::new().has_headers(false).from_reader(line.as_bytes());
    let record = reader.records().next().and_then(Result::ok);
    let record = record.filter(|record| record.len() == COLUMNS.len());
    let record = record.ok_or(RowError::Cells { line: number })?;
    let cells = Cells { number, record };
    let small = |text: &str| text.parse().ok();
    let gwp = |text: &str| match text {
        "" => Some(None),
        text => GwpSet::parse(text).map(Some),
    };
    let empty = |text: &str| text.is_empty().then_some(());
    cells.read("status", empty)?;
    cells.read("change", empty)?;
    let text = |text: &str| Some(text.to_owned());
    let full = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    let gases = cells.read("gas", |text| composition(text).ok())?;
    let kg_per_unit = cells.read("kg_per_unit", |text| Decimal::parse(text).ok())?;
    let row = Row {
        factor: cells.read("factor", full)?,
        revision: cells.read("revision", |text| text.parse().ok())?,
        scope: cells.read("scope", small)?,
        category: cells.read("category", small)?,
        method: cells.read("method", Method::parse)?,
        gas: Gas::Co2e,
        kg_per_unit,
        unit: cells.read("unit", |text| Unit::parse(text).ok())?,
        published_gwp: cells.read("published_gwp", gwp)?,
        valid_from: cells.read("valid_from", text)?,
        valid_to: cells.read("valid_to", text)?,
        source: cells.read("source", full)?,
        line,
    };
    let of = |(gas, share): (Gas, Decimal)| {
        let kg_per_unit = kg_per_unit.times(share);
        let kg_per_unit = kg_per_unit.ok_or_else(|| cells.wrong("kg_per_unit"))?;
        Ok(Row { gas, kg_per_unit, ..row.clone() })
    };
    gases.into_iter().map(of).collect()
}

struct Cells {
    number: usize,
    record: csv::StringRecord,
}

impl Cells {
    fn read<T>(
        &self,
        column: &'static str,
        meant: impl FnOnce(&str) -> Option<T>,
    ) -> Result<T, RowError> {
        meant(self.text(column)).ok_or_else(|| self.wrong(column))
    }

    fn text(&self, column: &'static str) -> &str {
        let index = COLUMNS.iter().position(|name| *name == column);
        index.and_then(|index| self.record.get(index)).unwrap_or_default()
    }

    fn wrong(&self, column: &'static str) -> RowError {
        RowError::Cell { line: self.number, column, text: self.text(column).to_owned() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADER: &str = "factor,revision,scope,category,method,gas,kg_per_unit,unit,published_gwp,status,change,\
                          valid_from,valid_to,source";

    fn read_line(line: &str) -> Result<Vec<Row>, RowError> {
        read(Box::leak(format!("{HEADER}\n{line}\n").into_boxed_str()))
    }

    #[test]
    fn a_row_is_called_what_its_publication_calls_it() {
        let line = "a,2025,1,0,any,ch4,0.1,kWh,ar5,,,2025-01-01,,\"P: T: Sheet: E: x, y per kWh (Net CV)\"";
        let rows = read_line(line).unwrap();
        assert_eq!((rows[0].what(), rows[0].year()), ("Sheet: E: x, y", "2025"));
        assert_eq!(rows[0].line, line);
    }

    #[test]
    fn a_blend_is_a_row_a_gas_of_one_line() {
        let line = "a,2021,1,0,any,r-407c,1,kg,,,,,,P: T: R-407C per kg lost";
        let rows = read_line(line).unwrap();
        let told: Vec<_> = rows.iter().map(|r| (r.gas.name(), r.kg_per_unit.to_string())).collect();
        let gases = [("hfc-32", "0.23"), ("hfc-125", "0.25"), ("hfc-134a", "0.52")];
        assert_eq!(told, gases.map(|(gas, kg)| (gas, kg.to_owned())));
        assert!(rows.iter().all(|row| row.line == line));
    }

    #[test]
    fn what_is_wrong_is_named() {
        let error = |line| read_line(line).unwrap_err().to_string();
        let told = error("a,2025,1,0,any,methane,0.1,kWh,,,,,,s");
        assert_eq!(told, "line 2: gas: `methane` cannot be meant");
        assert_eq!(error("a,2025"), "line 2 is not a line of 14 cells");
        assert_eq!(read("a,b\n"), Err(RowError::Header));
    }
}
