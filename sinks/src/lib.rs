//! Where results go: the ledger in Parquet under a Delta log, and live values for Prometheus.
//!
//! ```text
//! entries up to a cut ──► delta::Lake       Parquet files, one atomic version a table, exactly once
//! changes of windows  ──► prometheus::Live  one consistent tick of gauges
//! program's counters  ──► prometheus::Metrics
//! ```
//!
//! Both take what the dataflow derived and know nothing of sources. See `DESIGN.md` for the decisions.

pub mod delta;
pub mod prometheus;
