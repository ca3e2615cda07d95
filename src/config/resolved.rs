//! A pipeline as it runs: typed, defaulted, cross-checked. All lengths in ms unless their name says else.

use std::net::SocketAddr;
use std::path::PathBuf;

use jiff::tz::TimeZone;
use plumeline_connectors::SourceConfig;
use plumeline_pipelines::model::{GwpSet, Policy, Sources};
use plumeline_sinks::delta::{Compression, LakeConfig};

use super::problem::Problem;

/// A pipeline, ready to run.
#[derive(Clone, Debug)]
pub struct Pipeline {
    /// The pipeline file.
    pub file: PathBuf,
    /// Its name.
    pub name: String,
    /// Where civil days are told.
    pub timezone: TimeZone,
    /// Its IANA name.
    pub timezone_name: String,
    /// What changes results.
    pub policy: Policy,
    /// Sets of potentials that are listed after the policy's: what is told in them is told beside the ledger.
    pub also_gwp: Vec<GwpSet>,
    /// The windows as they were written, in the order of their numbers from 1 on: rolling ones, then those to date.
    pub window_labels: Vec<String>,
    /// Dataflow threads.
    pub workers: usize,
    /// Directory of what is remembered across restarts.
    pub state_dir: PathBuf,
    /// Readings kept while they wait for a fact.
    pub max_parked: u64,
    /// How far in the future a stamp may lie.
    pub max_ahead_ms: i64,
    /// Per cent of a table's keys that an edit of its file may touch without waiting.
    pub max_fact_change: u64,
    /// Whether what reaches below the horizon is restated without being asked.
    pub restates_by_itself: bool,
    /// Where `/metrics`, `/healthz` and `/readyz` listen.
    pub http: SocketAddr,
    /// The CSV files of facts.
    pub tables: Tables,
    /// Where readings and facts come from; a source's index here is its number everywhere.
    pub sources: Vec<SourceEntry>,
    /// The ledger.
    pub delta: Option<DeltaSink>,
    /// The gauges.
    pub prometheus: Option<PrometheusSink>,
    /// What is probably not meant so.
    pub warnings: Vec<Problem>,
}

impl Pipeline {
    /// How the ledger is opened, if there is one; `replay_clock` says whether ticks follow the data.
    #[must_use]
    pub fn lake(&self, replay_clock: bool) -> Option<LakeConfig> {
        let delta = self.delta.as_ref()?;
        Some(LakeConfig {
            url: delta.url.clone(),
            compression: delta.compression,
            pipeline: self.name.clone(),
            timezone: self.timezone.clone(),
            policy: self.policy.clone(),
            also_gwp: self.also_gwp.clone(),
            sources: Sources::new(self.sources.iter().map(SourceEntry::key)),
            readings: delta.readings,
            replay_clock,
            workers: self.workers,
        })
    }
}

/// The CSV files of facts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tables {
    /// The meter table.
    pub meters: Option<PathBuf>,
    /// The factor table.
    pub factors: Option<PathBuf>,
    /// The series table.
    pub series: Option<PathBuf>,
    /// The node table.
    pub nodes: Option<PathBuf>,
    /// The contract table.
    pub contracts: Option<PathBuf>,
    /// The certificate table.
    pub certificates: Option<PathBuf>,
    /// The price table.
    pub prices: Option<PathBuf>,
}

/// A source of the pipeline file.
#[derive(Clone, Debug)]
pub struct SourceEntry {
    /// Its name.
    pub name: String,
    /// What it is known by, where that is written.
    pub id: Option<String>,
    /// The line of its header.
    pub line: usize,
    /// What it connects to.
    pub config: SourceConfig,
}

impl SourceEntry {
    /// What the journal, the tables and brokers know it by: its id, or its name.
    #[must_use]
    pub fn key(&self) -> &str {
        self.id.as_deref().unwrap_or(&self.name)
    }
}

/// The ledger: Delta tables.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeltaSink {
    /// An absolute path, or a `file://` or `s3://` URL.
    pub url: String,
    /// Of Parquet pages.
    pub compression: Compression,
    /// Time between commits.
    pub commit_every_ms: i64,
    /// How long after their slot or day files are merged; `None`: never.
    pub compact_after_ms: Option<i64>,
    /// Whether accepted readings are written, too.
    pub readings: bool,
    /// The line of its header.
    pub line: usize,
}

/// Footprints as gauges.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct PrometheusSink {
    /// Levels of the node tree, from the roots.
    pub depth: u8,
    /// Whether each gas has a series.
    pub gases: bool,
    /// Most business series at a time.
    pub max_series: usize,
}
