//! Plumeline: a real-time carbon ledger. Readings come in over MQTT, Kafka and files; footprints go out to
//! a Parquet ledger and Prometheus.
//!
//! ```text
//! config/   the pipeline file, checked as a whole
//! factors/  published factors that come along; `plumeline factors`
//! facts/    meters, factors and nodes from CSV files and topics, checked together
//! check     `plumeline check`: every problem at once
//! journal/  what was acknowledged, on disk; `plumeline journal`
//! runtime/  `plumeline run`: ingest, feeder, workers, committer, publisher
//! restate/  `plumeline restate`: what lies below the horizon, computed anew
//! restore/  `plumeline restore`: the journal made anew from the tables
//! report/   `plumeline report`: what was reported of a year, and what has changed since
//! explain/  `plumeline explain`: a number's derivation, and its re-performance
//! verify    `plumeline verify`: the ledger computed again and compared
//! bar       how far something has come, on a terminal
//! http      /metrics, /healthz, /readyz
//! demo/     `plumeline demo`: the main job in one process, on a simulated fleet
//! ```

pub mod bar;
pub mod check;
pub mod config;
pub mod demo;
pub mod explain;
pub mod factors;
pub mod facts;
pub mod http;
pub mod journal;
pub mod report;
pub mod restate;
pub mod restore;
pub mod review;
pub mod runtime;
pub mod upgrade;
pub mod verify;

/// An error and all its causes in one line.
#[must_use]
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut line = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let text = error.to_string();
        if !line.ends_with(&text) {
            line = format!("{line}: {text}");
        }
        cause = error.source();
    }
    line
}
