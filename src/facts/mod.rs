//! Facts: the rows of meters, factors, series, prices, nodes, contracts and certificates, from CSV files and topics.
//!
//! ```text
//! meters.csv ─┐
//! factors.csv ┼─► file ─► store ─► changes for the dataflow
//! series.csv ─┤    rows    rules: within a table
//! prices.csv ─┤            series: what a factor's series asks of its rows
//! nodes.csv ──┤            prices: that money becomes what factors are told per
//! contracts, ─┘            contracts: what contracts ask of certificates, and of one another
//! certificates.csv
//!    watch                 joins: between tables
//!                          aliases: other names of meters
//! topics ─────────────────►
//! ```
//!
//! A table is checked as a whole and with the others, and applied as a whole or not at all: the last good
//! rows stay. What is wrong is told by file and line, all at once.

mod aliases;
mod changes;
mod contracts;
mod file;
mod joins;
mod prices;
mod reach;
mod read;
mod row;
mod rules;
mod series;
mod store;
mod timeline;
mod together;
mod watch;

use std::path::PathBuf;

pub use aliases::AliasChange;
pub use file::{FILE_BYTES_MAX, ReadRow, TableFile, Terms, read_bytes, read_file};
pub use joins::{Books, Setting, joins};
pub use plumeline_connectors::decode::fact::{FactChange, Table};
pub use reach::{Reach, key_of, table_of};
pub use read::{read_table, read_tables};
pub use row::{Book, Held, Origin, Part, Place, TableRow};
pub use rules::{LEVELS_MAX, Words, contradictions, gaps, tree};
pub use store::{Applied, FactStore, Plan};
pub use timeline::{Segment, coverage, timeline};
pub use watch::{Stability, Stamp, TableChanged, Watcher};

use crate::config::Tables;

/// All tables; those that others refer to come first.
pub const TABLES: [Table; 7] = [
    Table::Nodes,
    Table::Prices,
    Table::Factors,
    Table::Series,
    Table::Meters,
    Table::Contracts,
    Table::Certificates,
];

/// The key of `table` in `[tables]`.
#[must_use]
pub fn table_name(table: Table) -> &'static str {
    match table {
        Table::Series => "series",
        Table::Nodes => "nodes",
        Table::Prices => "prices",
        Table::Factors => "factors",
        Table::Meters => "meters",
        Table::Contracts => "contracts",
        Table::Certificates => "certificates",
    }
}

/// The file of `table`, if it has one.
#[must_use]
pub fn table_path(tables: &Tables, table: Table) -> Option<&PathBuf> {
    match table {
        Table::Series => tables.series.as_ref(),
        Table::Nodes => tables.nodes.as_ref(),
        Table::Prices => tables.prices.as_ref(),
        Table::Factors => tables.factors.as_ref(),
        Table::Meters => tables.meters.as_ref(),
        Table::Contracts => tables.contracts.as_ref(),
        Table::Certificates => tables.certificates.as_ref(),
    }
}
