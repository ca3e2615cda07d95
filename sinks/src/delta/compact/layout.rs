//! How merged files are laid out: the order of their rows, and how columns are encoded.
//!
//! | tables | order | why |
//! |---|---|---|
//! | `activity`, `emissions`, `footprints` | node, subject, period, line | a query asks for a node, or a subject; a subject's periods follow each other, so times are steps of the same length |
//! | `readings`, `activity_data` | the number of arrival | what comes in together was observed together: all times and numbers are steps, and what gateways send in the same order each time repeats |
//! | the others | the fact or source, then the cut | they are small |
//!
//! Tried with another writer of Parquet before it was decided, on a day of 4,000 meters every 15 minutes that arrive in
//! another order each time, ZSTD 9 (`benches/compaction.rs` measures what came of it): a reading takes 3.2 bytes by
//! number, 7.9 by time and meter, 8.9 by meter and time; what is left is the value and the order itself.
//! Numbers and times as differences (`DELTA_BINARY_PACKED`) instead of dictionaries save half of the rest. Masses in
//! a dictionary take 4.0 bytes an entry together, 7.0 plain, 6.6 as `DELTA_BYTE_ARRAY`, 14 as `BYTE_STREAM_SPLIT`: an
//! amount, and so the masses it makes, comes again. ZSTD 19 saves another twentieth for ten times the work.

use arrow::compute::SortOptions;
use parquet::basic::{Compression as Codec, Encoding, ZstdLevel};
use parquet::file::metadata::SortingColumn;
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::schema::types::ColumnPath;
use plumeline_pipelines::model::Tick;

use crate::delta::file::{Compression, FileOptions, data_columns, entry};
use crate::delta::table::{Kind, TableName};

/// Rows of a row group: what a reader decodes, or skips, at once.
const ROW_GROUP_ROWS: usize = 256 * 1024;
/// Merged files are written once or twice and read for years.
const ZSTD_LEVEL: i32 = 9;

/// In the order in which records were taken in.
const BY_ARRIVAL: &[&str] = &["number"];

/// The columns by which rows are ordered, smallest first. Those of a file of a cut are in another order: it is sorted
/// anew.
pub(super) fn order(table: TableName) -> &'static [&'static str] {
    match table {
        TableName::Activity => {
            &["node", "subject", "period_start", "unit", "recorded_at", "reason"]
        }
        TableName::Emissions => &[
            "node",
            "subject",
            "period_start",
            "scope",
            "category",
            "method",
            "gas",
            "factor",
            "recorded_at",
            "reason",
        ],
        TableName::Footprints => &[
            "node",
            "period_start",
            "scope",
            "category",
            "method",
            "gas",
            "depth",
            "period_end",
            "recorded_at",
        ],
        TableName::Readings | TableName::ActivityData => BY_ARRIVAL,
        TableName::Rejects => &["source", "position", "element", "recorded_at"],
        TableName::Pending => &["subject", "period_from", "learned_at"],
        TableName::Restatements => &["recorded_at"],
        TableName::Meters => &["meter", "recorded_at", "valid_from", "revision"],
        TableName::Factors => &["factor", "recorded_at", "valid_from", "revision", "gas"],
        TableName::Series => &["factor", "recorded_at", "valid_from", "revision"],
        TableName::Contracts => &["contract", "recorded_at", "valid_from", "revision"],
        TableName::Certificates => {
            &["contract", "valid_from", "certificate", "recorded_at", "revision"]
        }
        TableName::Nodes => &["node", "recorded_at", "valid_from", "revision"],
        TableName::Prices => &["price", "recorded_at", "valid_from", "revision"],
    }
}

/// The places of [`order`] among the columns of a table's files.
pub(super) fn order_columns(table: TableName) -> Vec<usize> {
    let place = |name: &&str| data_columns(table).position(|column| column.name == *name);
    order(table).iter().map(|name| place(name).expect("it is a column of the table")).collect()
}

/// Smallest first; no column of an order is ever null.
pub(super) const ASCENDING: SortOptions = SortOptions { descending: false, nulls_first: false };

/// How a merged file is written.
pub(super) fn properties(
    table: TableName,
    (first, last): (Tick, Tick),
    options: &FileOptions,
) -> WriterProperties {
    let codec = match options.compression {
        Compression::Zstd => {
            Codec::ZSTD(ZstdLevel::try_new(ZSTD_LEVEL).expect("it is one of ZSTD's levels"))
        }
        other => other.codec(),
    };
    let sorting = order_columns(table).into_iter().map(|index| {
        let column_idx = i32::try_from(index).expect("columns are few");
        SortingColumn { column_idx, descending: false, nulls_first: false }
    });
    let mut builder = WriterProperties::builder()
        .set_compression(codec)
        .set_statistics_enabled(EnabledStatistics::Page)
        .set_max_row_group_row_count(Some(ROW_GROUP_ROWS))
        .set_created_by(format!("plumeline {}", env!("CARGO_PKG_VERSION")))
        .set_sorting_columns(Some(sorting.collect()))
        .set_key_value_metadata(Some(vec![
            entry("pipeline", options.pipeline.clone()),
            entry("first_tick", first.0.to_string()),
            entry("last_tick", last.0.to_string()),
        ]));
    let order = order(table);
    if order == BY_ARRIVAL {
        // A round of all meters is found again only within a page: by default one ends after 20,000 rows.
        builder = builder.set_data_page_row_count_limit(ROW_GROUP_ROWS);
    }
    for column in data_columns(table) {
        let path = || ColumnPath::from(column.name);
        if matches!(column.kind, Kind::Time | Kind::Date | Kind::Int | Kind::Long) {
            builder = builder
                .set_column_dictionary_enabled(path(), false)
                .set_column_encoding(path(), Encoding::DELTA_BINARY_PACKED);
        }
        let leads = order.iter().take(2).any(|name| *name == column.name);
        if column.kind == Kind::Name && !leads {
            // Every page has every label: comparing them a row costs more than it lets a reader skip.
            builder = builder.set_column_statistics_enabled(path(), EnabledStatistics::None);
        }
    }
    builder.build()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_table_has_an_order_by_columns_that_are_never_null() {
        for table in TableName::ALL {
            for index in order_columns(table) {
                let column = data_columns(table).nth(index).expect("a column");
                assert!(!column.is_nullable, "{table}.{}", column.name);
            }
        }
    }
}
