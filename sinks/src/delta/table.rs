//! The tables of the lake: their names and columns, in one place.
//!
//! ```text
//! Column { name, kind, .. } ──► Delta schema (log)  ──► Arrow schema (encoder)  ──► Parquet types
//! ```
//!
//! * No key column is nullable; the log says so (`NOT NULL`), so a reader may rely on it.
//! * Numbers of the ledger are decimals, numbers *as sent* (`readings.value`, the facts' decimals) are
//!   texts: no decimal type holds 38 digits and 30 places at once, and a rounded witness is no witness.
//! * Small numbers (`scope`, `depth`, ...) are `INT`, the narrowest type that every reader maps alike.
//! * Statistics go to the log for keys and times alone: readers parse decimals there as floats and would
//!   prune wrongly.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use arrow::datatypes::{Field, Schema};
use delta_kernel::KernelResult;
use delta_kernel::schema::{StructField, StructType};
use serde::Serialize;

pub(super) use super::column::{AMOUNT, Column, Kind, MASS, RATE};
use super::column::{key, optional, plain};
use super::fact_columns::{CERTIFICATES, CONTRACTS, FACTORS, METERS, NODES, PRICES, SERIES};

/// The column every table is partitioned by: the UTC date of `recorded_at`.
pub(super) const PARTITION: &str = "recorded_date";

/// A table of the lake.
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum TableName {
    /// Amounts: what was consumed, driven, bought.
    Activity,
    /// What that emitted, a row a line and gas.
    Emissions,
    /// `emissions` rolled up the node tree.
    Footprints,
    /// Activities of business systems, as sent.
    #[serde(rename = "activity_data")]
    ActivityData,
    /// Readings, as sent.
    Readings,
    /// Refused and waiting payloads.
    Rejects,
    /// What reaches below the horizon.
    #[serde(rename = "pending_restatements")]
    Pending,
    /// When periods below the horizon were computed anew.
    Restatements,
    /// Revisions of meters.
    Meters,
    /// Revisions of factors.
    Factors,
    /// Revisions of how factors' versions are chosen.
    Series,
    /// Revisions of nodes.
    Nodes,
    /// Revisions of contracts for energy.
    Contracts,
    /// Revisions of certificates of where energy came from.
    Certificates,
    /// Revisions of what money is worth.
    Prices,
}

impl TableName {
    /// All of them, in the order they are committed: `activity` last, for its `txn` is the ledger's
    /// committed cut.
    pub const ALL: [Self; 15] = [
        Self::Meters,
        Self::Factors,
        Self::Series,
        Self::Prices,
        Self::Nodes,
        Self::Contracts,
        Self::Certificates,
        Self::Pending,
        Self::Restatements,
        Self::ActivityData,
        Self::Readings,
        Self::Rejects,
        Self::Footprints,
        Self::Emissions,
        Self::Activity,
    ];

    /// Its folder below the lake's root.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Activity => "activity",
            Self::Emissions => "emissions",
            Self::Footprints => "footprints",
            Self::ActivityData => "activity_data",
            Self::Readings => "readings",
            Self::Rejects => "rejects",
            Self::Pending => "pending_restatements",
            Self::Restatements => "restatements",
            Self::Meters => "meters",
            Self::Factors => "factors",
            Self::Series => "series",
            Self::Nodes => "nodes",
            Self::Contracts => "contracts",
            Self::Certificates => "certificates",
            Self::Prices => "prices",
        }
    }

    /// Whether it belongs to the ledger: entries that are never removed (`delta.appendOnly`).
    #[must_use]
    pub fn is_ledger(self) -> bool {
        matches!(self, Self::Activity | Self::Emissions | Self::Footprints)
    }

    /// Whether it holds revisions of facts.
    #[must_use]
    pub fn is_of_facts(self) -> bool {
        let tables = matches!(self, Self::Meters | Self::Factors | Self::Series | Self::Nodes);
        tables || matches!(self, Self::Prices | Self::Contracts | Self::Certificates)
    }

    /// Its columns, the partition column second.
    pub(super) fn columns(self) -> &'static [Column] {
        match self {
            Self::Activity => ACTIVITY,
            Self::Emissions => EMISSIONS,
            Self::Footprints => FOOTPRINTS,
            Self::ActivityData => ACTIVITY_DATA,
            Self::Readings => READINGS,
            Self::Rejects => REJECTS,
            Self::Pending => PENDING,
            Self::Restatements => RESTATEMENTS,
            Self::Meters => METERS,
            Self::Factors => FACTORS,
            Self::Series => SERIES,
            Self::Nodes => NODES,
            Self::Contracts => CONTRACTS,
            Self::Certificates => CERTIFICATES,
            Self::Prices => PRICES,
        }
    }

    /// The schema of its Delta log.
    pub(super) fn delta_schema(self) -> KernelResult<Arc<StructType>> {
        let fields = self.columns().iter().map(Column::delta_field);
        Ok(Arc::new(StructType::try_new(fields.collect::<KernelResult<Vec<_>>>()?)?))
    }

    /// The columns that a table of an earlier program lacks, whose log has `found`; `None` where the table is another
    /// one altogether.
    pub(super) fn missing(self, found: &StructType) -> KernelResult<Option<Vec<StructField>>> {
        let (mut had, mut missing) = (Vec::new(), Vec::new());
        for column in self.columns() {
            let field = column.delta_field()?;
            let is_missing = column.came_later && found.field(column.name).is_none();
            if is_missing { missing.push(field) } else { had.push(field) }
        }
        Ok((StructType::try_new(had)? == *found).then_some(missing))
    }

    /// The schema of the batches its files are written from: all columns but the partition's.
    pub(super) fn arrow_schema(self) -> Arc<Schema> {
        let columns = self.columns().iter().filter(|column| column.name != PARTITION);
        Arc::new(Schema::new(
            columns
                .map(|column| Field::new(column.name, column.kind.arrow(), column.is_nullable))
                .collect::<Vec<_>>(),
        ))
    }

    /// What its metadata says beside the schema.
    pub(super) fn properties(self, pipeline: &str, clock: &str) -> BTreeMap<String, String> {
        let statistics: Vec<_> =
            self.columns().iter().filter(|c| c.has_statistics).map(|c| c.name).collect();
        let mut properties: BTreeMap<String, String> = [
            ("delta.dataSkippingStatsColumns", statistics.join(",").as_str()),
            // Old versions can be read for so long, and no longer: with the files they need, or not at all.
            ("delta.logRetentionDuration", "interval 7 days"),
            ("delta.deletedFileRetentionDuration", "interval 7 days"),
            (PIPELINE, pipeline),
            (CLOCK, clock),
            (FORMAT, FORMAT_VERSION),
        ]
        .into_iter()
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .collect();
        if self.is_ledger() {
            properties.insert("delta.appendOnly".into(), "true".into());
        }
        if self == Self::Activity {
            properties.insert("delta.feature.domainMetadata".into(), "supported".into());
        }
        properties
    }
}

impl fmt::Display for TableName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Table property: the pipeline that writes the table.
pub(super) const PIPELINE: &str = "plumeline.pipeline";
/// Table property: `wall`, or `replay` for tables of the demo and of benches.
pub(super) const CLOCK: &str = "plumeline.clock";
/// Table property: the version of the lake's layout.
pub(super) const FORMAT: &str = "plumeline.format";
/// What [`FORMAT`] says in tables that this program writes and reads.
pub(super) const FORMAT_VERSION: &str = "2";

pub(super) const RECORDED_AT: Column = key("recorded_at", Kind::Time);
// Partition values are in the log anyway: statistics of them would say it twice.
pub(super) const RECORDED_DATE: Column = plain(PARTITION, Kind::Date);

/// The instant under which a record came in: between two cuts, where `recorded_at` is the second.
const RECEIVED_AT: Column = plain("received_at", Kind::Time);
/// The place of a record in the order in which all were taken in, which decides between two corrections.
const NUMBER: Column = plain("number", Kind::Long);
/// The instant at which a revision was learned: at or before the cut.
pub(super) const LEARNED_AT: Column = plain("learned_at", Kind::Time);

const ACTIVITY: &[Column] = &[
    RECORDED_AT,
    RECORDED_DATE,
    key("period_start", Kind::Time),
    key("period_end", Kind::Time),
    key("period_date", Kind::Date),
    key("node", Kind::Name),
    key("subject", Kind::Name),
    plain("subject_kind", Kind::Name),
    plain("quantity", Kind::Name),
    plain("unit", Kind::Name),
    plain("amount", AMOUNT),
    plain("covered_ms", Kind::Long),
    plain("quality", Kind::Name),
    plain("reason", Kind::Name),
];

const EMISSIONS: &[Column] = &[
    RECORDED_AT,
    RECORDED_DATE,
    key("period_start", Kind::Time),
    key("period_end", Kind::Time),
    key("period_date", Kind::Date),
    key("node", Kind::Name),
    key("subject", Kind::Name),
    plain("subject_kind", Kind::Name),
    plain("quantity", Kind::Name),
    plain("unit", Kind::Name),
    key("scope", Kind::Int),
    key("category", Kind::Int),
    key("method", Kind::Name),
    key("gas", Kind::Name),
    key("factor", Kind::Name),
    key("factor_revision", Kind::Long),
    plain("rate_kg_per_unit", RATE),
    optional("mass_kg", MASS),
    plain("co2e_kg", MASS),
    plain("gwp", Kind::Name),
    plain("quality", Kind::Name),
    plain("reason", Kind::Name),
    plain("calc_id", Kind::Name),
];

const FOOTPRINTS: &[Column] = &[
    RECORDED_AT,
    RECORDED_DATE,
    key("period_start", Kind::Time),
    key("period_end", Kind::Time),
    key("period_date", Kind::Date),
    key("node", Kind::Name),
    key("depth", Kind::Int),
    key("scope", Kind::Int),
    key("category", Kind::Int),
    key("method", Kind::Name),
    key("gas", Kind::Name),
    optional("mass_kg", MASS),
    plain("co2e_kg", MASS),
];

const READINGS: &[Column] = &[
    RECORDED_AT,
    RECORDED_DATE,
    key("observed_at", Kind::Time),
    key("observed_to", Kind::Time),
    key("meter", Kind::Name),
    optional("value", Kind::Text),
    optional("unit", Kind::Name),
    plain("version", Kind::Long),
    plain("quality", Kind::Name),
    key("source", Kind::Name),
    key("position", Kind::Long),
    plain("outcome", Kind::Name),
    RECEIVED_AT,
    NUMBER,
];

const ACTIVITY_DATA: &[Column] = &[
    RECORDED_AT,
    RECORDED_DATE,
    key("observed_at", Kind::Time),
    key("observed_to", Kind::Time),
    key("activity", Kind::Name),
    key("node", Kind::Name),
    optional("factor", Kind::Name),
    optional("value", Kind::Text),
    plain("unit", Kind::Name),
    plain("version", Kind::Long),
    plain("quality", Kind::Name),
    key("source", Kind::Name),
    key("position", Kind::Long),
    plain("outcome", Kind::Name),
    RECEIVED_AT,
    NUMBER,
];

const REJECTS: &[Column] = &[
    RECORDED_AT,
    RECORDED_DATE,
    plain("reject_id", Kind::Text),
    key("event", Kind::Name),
    key("source", Kind::Name),
    key("position", Kind::Long),
    plain("element", Kind::Long),
    plain("reason", Kind::Text),
    plain("raw", Kind::Bytes),
];

const PENDING: &[Column] = &[
    RECORDED_AT,
    RECORDED_DATE,
    plain("cause", Kind::Name),
    key("subject", Kind::Name),
    key("period_from", Kind::Time),
    key("period_to", Kind::Time),
    plain("count", Kind::Long),
    LEARNED_AT,
];

const RESTATEMENTS: &[Column] = &[
    RECORDED_AT,
    RECORDED_DATE,
    plain("known_at", Kind::Time),
    key("period_from", Kind::Time),
    key("period_to", Kind::Time),
    plain("activity", Kind::Long),
    plain("emissions", Kind::Long),
    plain("footprints", Kind::Long),
    plain("co2e_kg_up", MASS),
    plain("co2e_kg_down", MASS),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimals_have_no_statistics_and_keys_are_never_null() {
        for table in TableName::ALL {
            for column in table.columns() {
                let is_decimal = matches!(column.kind, Kind::Decimal(..));
                assert!(!(column.has_statistics && is_decimal), "{table}.{}", column.name);
                assert!(!(column.has_statistics && column.is_nullable), "{table}.{}", column.name);
            }
            assert_eq!(table.columns()[1].name, PARTITION);
            table.delta_schema().expect("a valid schema");
        }
    }

    #[test]
    fn a_product_of_amount_and_rate_is_exact_in_sql() {
        // DECIMAL(20,9) * DECIMAL(17,12) is DECIMAL(37,21) in DuckDB and Spark: it fits 38 digits.
        let (Kind::Decimal(ap, a_scale), Kind::Decimal(rp, r_scale), Kind::Decimal(mp, m_scale)) =
            (AMOUNT, RATE, MASS)
        else {
            unreachable!("all three are decimals");
        };
        assert!(ap + rp <= mp);
        assert_eq!(a_scale + r_scale, m_scale);
    }

    #[test]
    fn activity_commits_last() {
        assert_eq!(TableName::ALL.last(), Some(&TableName::Activity));
    }
}
