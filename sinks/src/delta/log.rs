//! One table's Delta log: what is committed, and how a cut joins it exactly once.
//!
//! ```text
//!            ┌──────────────── conflict, or unknown outcome ───────────────┐
//!            ▼                                                             │
//! snapshot ──► transaction {add files, txn appId = cut} ──► put if absent ─┴─► snapshot', txn = cut
//!            │                                                  every 100 versions: checkpoint
//!            └─► read back, judge every version in between: ours, harmless, or foreign
//! ```
//!
//! 1. The snapshot of the last commit is kept and carried on: no listing, so a commit's latency does not
//!    grow with the log.
//! 2. The entry is created only if absent: two writers cannot both have a version.
//! 3. Whatever else happens, the log itself is asked. Our `txn` at this cut, with our files, means that
//!    an earlier try did reach it. A foreign version without data change (an OPTIMIZE) is tolerated; one
//!    that changes data, columns or our `txn` is an error that must stop the program.
//! 4. What we build upon must still be there, before each cut and after each error: a folder that was deleted
//!    would take our next entry, and then hold a log without a beginning.
//! 5. Without checkpoints every opening reads every version there ever was.
//!
//! Rejected: deleting what an unfinished commit left, when it fails. An orphaned file costs its bytes; a
//! deleted file that a slow commit then names costs the table. Whoever finds it when that has become
//! impossible deletes it (see `vacuum.rs`).

mod columns;
mod expire;
mod live;
mod optimize;

use std::sync::Arc;

use arrow::array::StructArray;
use delta_kernel::committer::FileSystemCommitter;
use delta_kernel::expressions::Scalar;
use delta_kernel::transaction::create_table::create_table;
use delta_kernel::transaction::data_layout::DataLayout;
use delta_kernel::transaction::{CommitResult, Transaction, UpdateTableOperation};
use delta_kernel::{FileMeta, KernelError, KernelResult, Snapshot};
use delta_kernel_default_engine::build_add_file_metadata;
use delta_kernel_default_engine::parquet::DataFileMetadata;
use object_store::{Error as StoreError, ObjectStoreExt};
use plumeline_pipelines::model::Tick;

use super::engine::Engine;
use super::error::LakeError;
use super::judge::{Attempt, Foreign, Version, judge};
use super::place::{DataFileName, last_checkpoint, log_entry, recorded_date};
use super::proof::Proof;
use super::table::{CLOCK, FORMAT, FORMAT_VERSION, PARTITION, PIPELINE, TableName};
pub(super) use optimize::{MergedFile, Optimized, Replacement};

/// A checkpoint is written once so many versions have come since the last one.
const CHECKPOINT_VERSIONS: u64 = 100;
/// How often somebody else may take the version we wanted before we report it.
const CONFLICTS_MAX: usize = 10;
/// How our commits name their writer.
const ENGINE_INFO: &str = concat!("plumeline/", env!("CARGO_PKG_VERSION"));
/// The domain of the metadata that `activity` carries: the cut's bounds and the tables' digests.
pub(super) const CUT_DOMAIN: &str = "plumeline.cut";

/// Who we are in every table's metadata.
#[derive(Clone, Debug)]
pub(super) struct Owner {
    pub(super) pipeline: String,
    pub(super) clock: &'static str,
}

impl Owner {
    /// The id of our `txn` markers in `table`.
    pub(super) fn app_id(&self, table: TableName) -> String {
        format!("{}/{table}", self.pipeline)
    }
}

/// A file that the store has.
#[derive(Debug)]
pub(super) struct StoredFile {
    pub(super) name: DataFileName,
    pub(super) rows: usize,
    pub(super) bytes: u64,
    /// As [`super::file::SealedFile::statistics`].
    pub(super) statistics: StructArray,
}

/// A file as a version names it.
struct Added<'f> {
    path: String,
    written_ms: i64,
    bytes: u64,
    statistics: &'f StructArray,
}

/// A table's log, as of our last look at it.
#[derive(Clone, Debug)]
pub(super) struct TableLog {
    pub(super) table: TableName,
    owner: Owner,
    snapshot: Arc<Snapshot>,
    committed: Option<Tick>,
    /// Something failed since our last look: the store may have lost what we know of.
    is_doubted: bool,
}

impl TableLog {
    /// Opens the table's log, creating the table if there is none.
    pub(super) fn open(
        engine: &Engine,
        table: TableName,
        owner: &Owner,
    ) -> Result<Self, LakeError> {
        if !exists(engine, table)? {
            engine.place.prepare(table)?;
            fail::fail_point!("lake-create");
            create(engine, table, owner).map_err(LakeError::log(table, "create the log"))?;
            fail::fail_point!("lake-created");
        }
        let snapshot = load(engine, table)?;
        let mut log =
            Self { table, owner: owner.clone(), snapshot, committed: None, is_doubted: false };
        log.check_ownership()?;
        log.check_clock()?;
        log.committed = log.read_committed(engine)?;
        log.check_tail(engine)?;
        log.add_columns(engine)?;
        Ok(log)
    }

    /// Opens the table's log to read it, whatever its clock; `None` if there is no such table.
    pub(super) fn find(
        engine: &Engine,
        table: TableName,
        owner: &Owner,
    ) -> Result<Option<Self>, LakeError> {
        if !exists(engine, table)? {
            return Ok(None);
        }
        let snapshot = load(engine, table)?;
        let mut log =
            Self { table, owner: owner.clone(), snapshot, committed: None, is_doubted: false };
        log.check_ownership()?;
        log.committed = log.read_committed(engine)?;
        Ok(Some(log))
    }

    /// The newest cut of ours that the table holds.
    pub(super) fn committed(&self) -> Option<Tick> {
        self.committed
    }

    /// Whether something has failed since our last look.
    pub(super) fn is_doubted(&self) -> bool {
        self.is_doubted
    }

    fn snapshot(&self) -> Arc<Snapshot> {
        Arc::clone(&self.snapshot)
    }

    /// The version of our last look.
    pub(super) fn version(&self) -> u64 {
        self.snapshot.version()
    }

    /// Adds `files` under `txn` = `cut`, once: a cut that the table already holds is left alone.
    ///
    /// After a transient error the call may be repeated.
    pub(super) fn commit(
        &mut self,
        engine: &Engine,
        cut: Tick,
        files: &[StoredFile],
        domain: Option<&str>,
    ) -> Result<(), LakeError> {
        let attempt = attempt(cut, files);
        for _ in 0..CONFLICTS_MAX {
            if self.is_doubted {
                self.reload(engine, &attempt)?;
            }
            if self.committed >= Some(cut) {
                return Ok(());
            }
            let outcome = self
                .transaction(engine, cut, files, domain)
                .map_err(LakeError::log(self.table, "prepare a version"))?
                .commit(&*engine.kernel);
            let failure = match outcome {
                Ok(CommitResult::Committed(committed)) => {
                    self.committed = Some(cut);
                    match committed.post_commit_snapshot() {
                        Some(snapshot) => self.snapshot = Arc::clone(snapshot),
                        None => self.reload(engine, &attempt)?,
                    }
                    let since = committed.post_commit_stats().commits_since_checkpoint;
                    if since >= checkpoint_versions() {
                        self.checkpoint(engine);
                    }
                    return Ok(());
                }
                Ok(CommitResult::Conflicted(_)) => None,
                Ok(CommitResult::Retryable(retryable)) => Some(retryable.error),
                Err(error) => Some(error),
            };
            // The entry may have been written although an error came back: only the log knows.
            self.is_doubted = failure.is_some();
            let looked = self.reload(engine, &attempt);
            match failure {
                None => looked?,
                Some(_) if looked.is_ok() && self.committed >= Some(cut) => {}
                Some(error) => return Err(LakeError::log(self.table, "commit a version")(error)),
            }
        }
        Err(LakeError::Contended { table: self.table })
    }

    fn transaction(
        &self,
        engine: &Engine,
        cut: Tick,
        files: &[StoredFile],
        domain: Option<&str>,
    ) -> KernelResult<Transaction> {
        let version = i64::try_from(cut.0).map_err(KernelError::generic_err)?;
        let mut builder = Arc::clone(&self.snapshot)
            .update_table(UpdateTableOperation::StreamingUpdate, ENGINE_INFO, true)
            .with_transaction_id(self.app_id(), version);
        if let Some(configuration) = domain {
            builder = builder.with_domain_metadata(CUT_DOMAIN, configuration);
        }
        if !files.is_empty() {
            builder = builder.with_blind_append();
        }
        let mut transaction =
            builder.build(&*engine.kernel, Box::new(FileSystemCommitter::new()))?;
        let files = files.iter().map(|file| Added {
            path: file.name.below_table(),
            written_ms: cut.ms(),
            bytes: file.bytes,
            statistics: &file.statistics,
        });
        self.add(&mut transaction, cut, files)?;
        Ok(transaction)
    }

    /// Has the transaction add files of the day of `cut`.
    fn add<'f>(
        &self,
        transaction: &mut Transaction,
        cut: Tick,
        files: impl ExactSizeIterator<Item = Added<'f>>,
    ) -> KernelResult<()> {
        if files.len() == 0 {
            return Ok(());
        }
        let date = Scalar::Date(days(cut));
        let context = transaction
            .write_state()?
            .write_context_builder()
            .with_partition_values([(PARTITION.to_owned(), date)].into())
            .build()?;
        for Added { path, written_ms, bytes, statistics } in files {
            // The kernel's root, which differs from ours where a folder is a symbolic link.
            let mut url = self.snapshot.table_root().clone();
            url.set_path(&format!("{}{path}", url.path()));
            let metadata = FileMeta::new(url, written_ms, bytes);
            let metadata = DataFileMetadata::new(metadata, statistics.clone());
            transaction.add_files(build_add_file_metadata(metadata, &context)?);
        }
        Ok(())
    }

    /// Looks whether the log is what we know, or somebody has committed since; `cut` with `files` is what we
    /// are about to commit, or may have. Two requests, where nobody has.
    pub(super) fn look(
        &mut self,
        engine: &Engine,
        cut: Tick,
        files: &[StoredFile],
    ) -> Result<(), LakeError> {
        self.check_presence(engine)?;
        match self.read_entry(engine, self.version() + 1)? {
            Ok(_) => self.reload(engine, &attempt(cut, files)),
            Err(_) => Ok(()),
        }
    }

    /// Reads the log again and judges what came after our last look; `attempt` may be among it.
    fn reload(&mut self, engine: &Engine, attempt: &Attempt) -> Result<(), LakeError> {
        if self.is_doubted {
            self.check_presence(engine)?;
        }
        let snapshot = Snapshot::builder_from(Arc::clone(&self.snapshot))
            .build(&*engine.kernel)
            .map_err(LakeError::log(self.table, "read the log"))?;
        for version in self.version() + 1..=snapshot.version() {
            self.judge(engine, version, Some(attempt))?;
        }
        self.snapshot = snapshot;
        self.check_ownership()?;
        self.committed = self.read_committed(engine)?;
        self.is_doubted = false;
        Ok(())
    }

    /// That the store still has what we build upon. A folder or bucket that was made anew takes any entry,
    /// and a log that begins in the middle is no table.
    fn check_presence(&self, engine: &Engine) -> Result<(), LakeError> {
        let (table, version) = (self.table, self.version());
        if self.read_entry(engine, version)?.is_ok() || exists(engine, table)? {
            return Ok(());
        }
        // A bucket that is away has nothing either, but cannot say what else it has.
        let root = engine.place.path("")?;
        engine
            .block_on(engine.place.store.list_with_delimiter(Some(&root)))
            .map_err(|error| LakeError::store(format!("list `{root}`"), error))?;
        Err(LakeError::Vanished { table, version })
    }

    /// Judges what others committed after our last commit, while we were away.
    fn check_tail(&self, engine: &Engine) -> Result<(), LakeError> {
        for version in (1..=self.version()).rev() {
            if self.judge(engine, version, None)? == Version::Ours {
                break;
            }
        }
        Ok(())
    }

    fn judge(
        &self,
        engine: &Engine,
        version: u64,
        ours: Option<&Attempt>,
    ) -> Result<Version, LakeError> {
        let table = self.table;
        let judged = match self.read_entry(engine, version)? {
            Ok(entry) => judge(&entry, &self.app_id(), ours),
            // Cleaned up behind a checkpoint: older than anything we could have missed.
            Err(_) if ours.is_none() => Ok(Version::Ours),
            Err(missing) => return Err(missing),
        };
        judged.map_err(|foreign| match foreign {
            Foreign::OtherWriter => LakeError::OtherWriter { table, version },
            Foreign::Changed(what) => LakeError::ForeignCommit { table, version, what },
        })
    }

    /// The text of a version's entry; the inner error says that there is none.
    pub(super) fn read_entry(
        &self,
        engine: &Engine,
        version: u64,
    ) -> Result<Result<Vec<u8>, LakeError>, LakeError> {
        let path = engine.place.path(&log_entry(self.table, version))?;
        let read = engine.block_on(async {
            let found = engine.place.store.get(&path).await?;
            let size = found.meta.size;
            let bytes = found.bytes().await?;
            if u64::try_from(bytes.len()).ok() == Some(size) {
                return Ok(bytes);
            }
            // Half an entry reads like somebody else's.
            Err(StoreError::Generic { store: "lake", source: "it was cut short".into() })
        });
        let is_missing = matches!(read, Err(StoreError::NotFound { .. }));
        let read = read.map(Vec::from);
        let read = read.map_err(|error| LakeError::store(format!("read `{path}`"), error));
        if is_missing { Ok(read) } else { read.map(Ok) }
    }

    /// The id of our `txn` markers.
    pub(super) fn app_id(&self) -> String {
        self.owner.app_id(self.table)
    }

    fn read_committed(&self, engine: &Engine) -> Result<Option<Tick>, LakeError> {
        let version = self
            .snapshot
            .get_app_id_version(&self.app_id(), &*engine.kernel)
            .map_err(LakeError::log(self.table, "read the committed cut"))?;
        Ok(version.and_then(|version| u64::try_from(version).ok()).map(Tick))
    }

    /// What the newest commit says about its cut; `None` before the first.
    pub(super) fn proof(&self, engine: &Engine) -> Result<Option<Proof>, LakeError> {
        if self.committed.is_none() {
            return Ok(None);
        }
        let told = self
            .snapshot
            .get_domain_metadata(CUT_DOMAIN, &*engine.kernel)
            .map_err(LakeError::log(self.table, "read the digests"))?;
        told.as_deref().and_then(Proof::parse).map(Some).ok_or(LakeError::Unproven)
    }

    fn property(&self, key: &str) -> &str {
        let properties = &self.snapshot.table_properties().unknown_properties;
        properties.get(key).map_or("", String::as_str)
    }

    fn check_clock(&self) -> Result<(), LakeError> {
        let (table, expected) = (self.table, self.owner.clock);
        let found = self.property(CLOCK).to_owned();
        if found == expected {
            return Ok(());
        }
        Err(LakeError::OtherClock { table, found, expected })
    }

    fn check_ownership(&self) -> Result<(), LakeError> {
        let (table, owner) = (self.table, &self.owner);
        let (pipeline, format) = (self.property(PIPELINE), self.property(FORMAT));
        if pipeline != owner.pipeline {
            let (found, expected) = (pipeline.to_owned(), owner.pipeline.clone());
            return Err(LakeError::OtherPipeline { table, found, expected });
        }
        if format != FORMAT_VERSION || self.missing()?.is_none() {
            return Err(LakeError::OtherFormat { table, format: format.to_owned() });
        }
        Ok(())
    }

    /// Writes a checkpoint. A failure is only reported: the commit stands, and the next one tries again.
    fn checkpoint(&mut self, engine: &Engine) {
        fail::fail_point!("lake-checkpoint");
        let outcome = self.snapshot.checkpoint(&*engine.kernel, None);
        fail::fail_point!("lake-checkpoint-done");
        match outcome {
            Ok((_, snapshot)) => self.snapshot = snapshot,
            Err(error) => {
                tracing::warn!(table = %self.table, %error, "the log's checkpoint failed");
            }
        }
    }
}

fn attempt(cut: Tick, files: &[StoredFile]) -> Attempt {
    Attempt { cut, files: files.iter().map(|file| file.name.file()).collect() }
}

/// How many versions since the last checkpoint ask for the next one; a test need not wait for so many.
fn checkpoint_versions() -> u64 {
    fail::fail_point!("lake-checkpoint-at-once", |_| 1);
    CHECKPOINT_VERSIONS
}

/// Days since 1970-01-01, UTC.
fn days(cut: Tick) -> i32 {
    let days = cut.ms().div_euclid(plumeline_pipelines::model::time::DAY_MS);
    debug_assert_eq!(
        recorded_date(cut).to_string(),
        jiff::civil::date(1970, 1, 1)
            .checked_add(jiff::Span::new().days(days))
            .map(|date| date.to_string())
            .unwrap_or_default()
    );
    i32::try_from(days).expect("days since 1970 are few")
}

fn create(engine: &Engine, table: TableName, owner: &Owner) -> KernelResult<()> {
    let outcome = create_table(engine.place.table(table), table.delta_schema()?, ENGINE_INFO, true)
        .with_table_properties(table.properties(&owner.pipeline, owner.clock))
        .with_data_layout(DataLayout::partitioned([PARTITION]))
        .build(&*engine.kernel, Box::new(FileSystemCommitter::new()))
        .and_then(|transaction| transaction.commit(&*engine.kernel));
    match outcome {
        // Created by an earlier try or by a twin at the same moment: whoever it was, it is read next.
        Ok(CommitResult::Committed(_) | CommitResult::Conflicted(_))
        | Err(KernelError::TableAlreadyExistsAtPath(_)) => Ok(()),
        Ok(CommitResult::Retryable(retryable)) => Err(retryable.error),
        Err(error) => Err(error),
    }
}

fn load(engine: &Engine, table: TableName) -> Result<Arc<Snapshot>, LakeError> {
    Snapshot::builder_for(engine.place.table(table))
        .build(&*engine.kernel)
        .map_err(LakeError::log(table, "read the log"))
}

/// Whether the table has a log: its first entry, or a checkpoint behind which that was cleaned up.
fn exists(engine: &Engine, table: TableName) -> Result<bool, LakeError> {
    for relative in [log_entry(table, 0), last_checkpoint(table)] {
        let path = engine.place.path(&relative)?;
        match engine.block_on(engine.place.store.head(&path)) {
            Ok(_) => return Ok(true),
            Err(StoreError::NotFound { .. }) => {}
            Err(error) => return Err(LakeError::store(format!("look for `{path}`"), error)),
        }
    }
    Ok(false)
}
