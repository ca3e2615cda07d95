//! The lake as a whole: opening it, and what it holds.

use std::collections::BTreeMap;
use std::error::Error;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::tz::TimeZone;
use plumeline_pipelines::model::{GwpSet, Names, Policy, Sources, Tick};

use super::cut::CutWriter;
use super::encoder::Encoder;
use super::engine::Engine;
use super::error::LakeError;
use super::file::{Compression, FileOptions};
use super::log::{Owner, TableLog};
use super::place::Place;
use super::probe::probe;
use super::proof::Proof;
use super::table::TableName;
use super::vacuum::Vacuum;

/// Where and how the ledger is written.
#[derive(Clone, Debug)]
pub struct LakeConfig {
    /// An absolute path, `file://` or `s3://bucket/prefix`.
    pub url: String,
    /// How Parquet pages are compressed.
    pub compression: Compression,
    /// The pipeline's name: tables are marked with it, and another pipeline's are refused.
    pub pipeline: String,
    /// Whose civil days `period_date` counts.
    pub timezone: TimeZone,
    /// Length of a period, and the GWP set.
    pub policy: Policy,
    /// Other GWP sets that the view `footprints_by_gwp` shows; no table holds anything of them.
    pub also_gwp: Vec<GwpSet>,
    /// By source index: the column `source`.
    pub sources: Sources,
    /// Whether rows for `readings` are written; the table exists in any case.
    pub readings: bool,
    /// Whether ticks come from a replay clock. Tables are marked with it, and the other kind's are
    /// refused, so that `recorded_at` of a real ledger cannot lie.
    pub replay_clock: bool,
    /// How many parts a cut has.
    pub workers: usize,
}

impl LakeConfig {
    pub(super) fn owner(&self) -> Owner {
        let clock = if self.replay_clock { "replay" } else { "wall" };
        Owner { pipeline: self.pipeline.clone(), clock }
    }
}

/// The tables of a pipeline, open for its one writer.
///
/// Calls block; the committer thread is their place, never an async task.
#[derive(Debug)]
pub struct Lake {
    shared: Arc<Shared>,
}

/// What the lake and the writer of a cut have in common.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) engine: Engine,
    pub(super) names: Arc<Names>,
    pub(super) options: FileOptions,
    pub(super) has_readings: bool,
    /// Some cut was written without its readings, or will be.
    pub(super) lacks_readings: bool,
    state: Mutex<State>,
    /// `None` while somebody looks for them.
    vacuum: Mutex<Option<Vacuum>>,
}

#[derive(Debug)]
pub(super) struct State {
    pub(super) logs: BTreeMap<TableName, TableLog>,
    pub(super) encoder: Encoder,
}

impl Shared {
    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        // A panic while committing ends the process; in a test, the next reader sees the log's truth.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn vacuum(&self) -> MutexGuard<'_, Option<Vacuum>> {
        self.vacuum.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Deletes what nobody needs of one table. A failure is only reported: it costs its bytes, no more.
    fn clean_up(&self, vacuum: &mut Vacuum, table: TableName, ledger: Tick) {
        if vacuum.is_log_due(table, ledger) {
            tell(table, "entries of its log", self.expire(table, ledger));
        }
        let log = self.state().logs[&table].clone();
        tell(table, "files", vacuum.step(&self.engine, &log, ledger));
    }

    /// Deletes what has expired of a table's log, unless it is being written.
    fn expire(&self, table: TableName, ledger: Tick) -> Result<usize, LakeError> {
        let known = self.state().logs[&table].clone();
        let Some(anew) = known.anew(&self.engine)? else { return Ok(0) };
        {
            let mut state = self.state();
            let current = state.logs.get_mut(&table).expect("every table is open");
            if current.version() != anew.version() || current.is_doubted() {
                return Ok(0);
            }
            *current = anew.clone();
        }
        anew.expire(&self.engine, ledger)
    }
}

/// Tells how many objects of a table were deleted, or why not.
fn tell(table: TableName, what: &str, outcome: Result<usize, LakeError>) {
    match outcome {
        Ok(0) => {}
        Ok(count) => tracing::info!(%table, count, "deleted {what} that nobody needs any more"),
        Err(error) => {
            let cause = error.source().map(ToString::to_string);
            tracing::warn!(%table, %error, cause, "cannot delete {what} that nobody needs");
        }
    }
}

impl Lake {
    /// Opens the lake, creating the tables that are missing, and reads what is committed.
    ///
    /// # Errors
    /// If the store cannot be used, or the tables are another pipeline's, another clock's or another
    /// format's, or somebody else changed their data.
    pub fn open(config: LakeConfig, names: Arc<Names>) -> Result<Self, LakeError> {
        let place = Place::open(&config.url)?;
        Self::open_at(place, config, names)
    }

    pub(super) fn open_at(
        place: Place,
        config: LakeConfig,
        names: Arc<Names>,
    ) -> Result<Self, LakeError> {
        fail::fail_point!("lake-open");
        let engine = Engine::new(place)?;
        let owner = config.owner();
        let logs = TableName::ALL
            .into_iter()
            .map(|table| Ok((table, TableLog::open(&engine, table, &owner)?)))
            .collect::<Result<BTreeMap<_, _>, LakeError>>()?;
        fail::fail_point!("lake-opened");
        let proof = logs[&TableName::Activity].proof(&engine)?;
        let lacks_readings = !config.readings || proof.is_some_and(|proof| proof.lacks_readings);
        let LakeConfig { compression, pipeline, timezone, policy, sources, readings, .. } = config;
        Ok(Self {
            shared: Arc::new(Shared {
                engine,
                names,
                options: FileOptions { compression, pipeline },
                has_readings: readings,
                lacks_readings,
                state: Mutex::new(State { logs, encoder: Encoder::new(policy, timezone, sources) }),
                vacuum: Mutex::new(Some(Vacuum::default())),
            }),
        })
    }

    pub(super) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// The ledger's committed cut: that of `activity`. Every table has all rows up to it.
    #[must_use]
    pub fn committed(&self) -> Option<Tick> {
        self.shared.state().logs[&TableName::Activity].committed()
    }

    /// What the newest commit of `activity` says about the ledger; `None` before the first.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn proof(&self) -> Result<Option<Proof>, LakeError> {
        self.shared.state().logs[&TableName::Activity].proof(&self.shared.engine)
    }

    /// Whether some cut was written without its readings, or will be: then nothing can be computed from them.
    #[must_use]
    pub fn lacks_readings(&self) -> bool {
        self.shared.lacks_readings
    }

    /// The newest cut that each table holds. One ahead of [`Self::committed`] was reached by a commit that
    /// did not come to its end.
    #[must_use]
    pub fn committed_tables(&self) -> BTreeMap<TableName, Option<Tick>> {
        self.shared.state().logs.iter().map(|(&table, log)| (table, log.committed())).collect()
    }

    /// The version of each table's log.
    #[must_use]
    pub fn versions(&self) -> BTreeMap<TableName, u64> {
        self.shared.state().logs.iter().map(|(&table, log)| (table, log.version())).collect()
    }

    /// Begins to write `cut`. One writer at a time: a second one's commit of an older cut is refused.
    pub fn begin(&mut self, cut: Tick) -> CutWriter {
        CutWriter::new(Arc::clone(&self.shared), cut)
    }

    /// Deletes files and versions that nobody needs any more, of one table and some of its days: call it after each
    /// commit. Nothing waits for it; what it deletes, and why no commit and no reader can want it, is told in
    /// `vacuum.rs` and `log/expire.rs`.
    pub fn clean_up(&self) {
        let Some(ledger) = self.committed() else { return };
        let mut waiting = self.shared.vacuum();
        let Some(table) = waiting.as_ref().and_then(|vacuum| vacuum.due(ledger)) else { return };
        let Some(mut vacuum) = waiting.take() else { return };
        let shared = Arc::clone(&self.shared);
        self.shared.engine.run_beside(move || {
            shared.clean_up(&mut vacuum, table, ledger);
            *shared.vacuum() = Some(vacuum);
        });
    }

    /// Tries what a lake at `config.url` needs: list, write, create only if absent, read and delete.
    ///
    /// # Errors
    /// The first operation that does not do what it must.
    pub fn check(config: &LakeConfig) -> Result<(), LakeError> {
        probe(&config.url)
    }
}
