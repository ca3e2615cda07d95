//! Reading the files of a pipeline's tables.

use jiff::tz::TimeZone;

use super::file::{TableFile, Terms, read_file};
use super::{TABLES, Table, table_path};
use crate::config::{Problems, Tables};

/// Reads the file of `table`, if it has one. Where dates were of another timezone `before`, it also holds what its rows
/// meant then. *So that other dates are told from other rows.*
#[must_use]
pub fn read_table(
    tables: &Tables,
    table: Table,
    terms: Terms<'_>,
    before: Option<&TimeZone>,
) -> Option<Result<TableFile, Problems>> {
    let path = table_path(tables, table)?;
    let file = read_file(table, path, terms);
    Some(file.map(|file| {
        let Some(timezone) = before else { return file };
        // In the other timezone a date may lie off the grid: then no row was ever read so.
        let before = read_file(table, path, Terms { timezone, ..terms });
        TableFile { before: before.map_or_else(|_| Vec::new(), |file| file.rows), ..file }
    }))
}

/// Reads the files of all tables.
///
/// # Errors
/// All that is wrong with them.
pub fn read_tables(
    tables: &Tables,
    terms: Terms<'_>,
    before: Option<&TimeZone>,
) -> Result<Vec<TableFile>, Problems> {
    let (mut files, mut problems) = (Vec::new(), Problems::new());
    for file in TABLES.into_iter().filter_map(|table| read_table(tables, table, terms, before)) {
        match file {
            Ok(file) => files.push(file),
            Err(wrong) => problems.extend(wrong),
        }
    }
    // A missing row would make others look wrong: the joins wait until each row is good.
    if problems.errors() > 0 { Err(problems) } else { Ok(files) }
}
