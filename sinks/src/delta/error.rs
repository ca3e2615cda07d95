//! What can go wrong with the lake, and whether trying again can help.

use delta_kernel::KernelError;
use object_store::Error as StoreError;
use plumeline_pipelines::model::Tick;
use thiserror::Error;

use super::table::TableName;

/// Why the lake could not be opened, written or read.
///
/// After an error whose [`transient`](Self::transient) is true, the same call may be made again: nothing
/// was lost and nothing is written twice.
#[derive(Debug, Error)]
pub enum LakeError {
    /// The configured location is none we can write to.
    #[error("`{url}` is no place for tables: {reason}")]
    Location {
        /// As configured.
        url: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The object store refused or failed.
    #[error("cannot {doing}")]
    Store {
        /// What was attempted, on what.
        doing: String,
        /// What the store said.
        source: StoreError,
    },
    /// A table's log could not be read or written.
    #[error("cannot {doing} of table `{table}`")]
    Log {
        /// The table.
        table: TableName,
        /// What was attempted.
        doing: &'static str,
        /// What failed.
        source: Box<KernelError>,
    },
    /// Rows could not be encoded.
    #[error("cannot encode rows of table `{table}`")]
    Encode {
        /// The table.
        table: TableName,
        /// What failed.
        source: parquet::errors::ParquetError,
    },
    /// A value is larger than its column holds: a bound was not checked where data enters.
    #[error("{value} does not fit column `{column}` of table `{table}`")]
    TooLarge {
        /// The table.
        table: TableName,
        /// The column.
        column: &'static str,
        /// The value, in units of the column's last decimal.
        value: i128,
    },
    /// The tables belong to another pipeline: its name would mark our commits, and its would mark ours.
    #[error("table `{table}` belongs to pipeline `{found}`, not to `{expected}`")]
    OtherPipeline {
        /// The table.
        table: TableName,
        /// Whose it is; empty if it does not say.
        found: String,
        /// Who we are.
        expected: String,
    },
    /// The tables were recorded by the other kind of clock.
    #[error("table `{table}` was recorded by a {found} clock, and this is a {expected} clock")]
    OtherClock {
        /// The table.
        table: TableName,
        /// `wall` or `replay`.
        found: String,
        /// `wall` or `replay`.
        expected: &'static str,
    },
    /// The table's columns are not ours: another version's, or somebody changed them.
    #[error("table `{table}` has other columns than this program writes (format `{format}`)")]
    OtherFormat {
        /// The table.
        table: TableName,
        /// The format the table names.
        format: String,
    },
    /// Somebody else changed data in our tables: balances can no longer be vouched for.
    #[error("version {version} of table `{table}` was committed by somebody else and {what}")]
    ForeignCommit {
        /// The table.
        table: TableName,
        /// The version of the table.
        version: u64,
        /// What it changes.
        what: &'static str,
    },
    /// Another process of the same pipeline has committed since this one looked last. It went first: this one
    /// must not go on from what it believes the tables hold.
    #[error(
        "version {version} of table `{table}` was committed by another process of this pipeline"
    )]
    OtherWriter {
        /// The table.
        table: TableName,
        /// The version of the table.
        version: u64,
    },
    /// A store that was away came back without what a table's log held: a version on top would be no table.
    #[error(
        "version {version} of table `{table}` is no longer there: the table was deleted, or is another one"
    )]
    Vanished {
        /// The table.
        table: TableName,
        /// The version that was its newest one.
        version: u64,
    },
    /// A cut that is not newer than what is committed.
    #[error("cut {cut:?} is not newer than the committed {committed:?}")]
    CutNotNewer {
        /// The cut at hand.
        cut: Tick,
        /// What `activity` has committed.
        committed: Tick,
    },
    /// A cut that does not follow on the lake's last one.
    #[error("cut {cut:?} follows on {lower:?}, and the tables hold {committed:?}")]
    Gap {
        /// The cut at hand.
        cut: Tick,
        /// The one it follows on.
        lower: Option<Tick>,
        /// What `activity` has committed.
        committed: Option<Tick>,
    },
    /// What the newest commit says of itself cannot be read.
    #[error("the newest commit of table `activity` says nothing that can be read about its cut")]
    Unproven,
    /// A file of a table holds what was not written so.
    #[error("file `{file}` of table `{table}` cannot be read: {what}")]
    Unreadable {
        /// The table.
        table: TableName,
        /// Its path below the table's root.
        file: String,
        /// What is wrong with it.
        what: String,
    },
    /// Others kept committing to the table while we tried.
    #[error("others kept committing to table `{table}`")]
    Contended {
        /// The table.
        table: TableName,
    },
    /// The store accepts what it must refuse, so it cannot keep two writers apart.
    #[error("the store at `{url}` {reason}")]
    Unsuitable {
        /// As configured.
        url: String,
        /// What is missing.
        reason: &'static str,
    },
    /// The threads that talk to the store could not be started.
    #[error("cannot start the store's threads")]
    Threads(#[source] std::io::Error),
}

impl LakeError {
    /// Whether trying the same again can help: the store was away, slow, full, closed to us or contended.
    ///
    /// Denied permissions and a bucket that is not there are transient, too. Whoever can cure them needs no
    /// restart of ours, and while we wait readings go on into the journal; a process that ended would leave
    /// them to brokers, which hold little.
    #[must_use]
    pub fn transient(&self) -> bool {
        match self {
            Self::Store { source, .. } => store_is_transient(source),
            Self::Log { source, .. } => kernel_is_transient(source),
            Self::Contended { .. } => true,
            _ => false,
        }
    }

    pub(super) fn store(doing: impl Into<String>, source: StoreError) -> Self {
        Self::Store { doing: doing.into(), source }
    }

    pub(super) fn log(table: TableName, doing: &'static str) -> impl FnOnce(KernelError) -> Self {
        move |source| Self::Log { table, doing, source: Box::new(source) }
    }
}

fn store_is_transient(error: &StoreError) -> bool {
    matches!(
        error,
        StoreError::Generic { .. }
            | StoreError::JoinError { .. }
            | StoreError::PermissionDenied { .. }
            | StoreError::Unauthenticated { .. }
            | StoreError::NotFound { .. }
    )
}

fn kernel_is_transient(error: &KernelError) -> bool {
    match error {
        KernelError::Backtraced { source, .. } => kernel_is_transient(source),
        KernelError::ObjectStore(source) => store_is_transient(source),
        KernelError::IOError(_)
        | KernelError::Reqwest(_)
        | KernelError::JoinFailure(_)
        | KernelError::FileNotFound(_) => true,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_store_that_is_away_closed_or_gone_is_waited_for() {
        let (path, source) = (|| "activity".to_owned(), "it says so");
        for error in [
            StoreError::Generic { store: "S3", source: source.into() },
            StoreError::PermissionDenied { path: path(), source: source.into() },
            StoreError::Unauthenticated { path: path(), source: source.into() },
            StoreError::NotFound { path: path(), source: source.into() },
        ] {
            let kernel = |error| LakeError::log(TableName::Activity, "commit a version")(error);
            let text = error.to_string();
            assert!(LakeError::store("write", error).transient(), "{text}");
            let missing = KernelError::file_not_found("activity");
            assert!(kernel(missing).transient());
        }
        let denied = StoreError::PermissionDenied { path: path(), source: source.into() };
        assert!(LakeError::log(TableName::Activity, "commit a version")(denied.into()).transient());
    }

    #[test]
    fn what_this_program_cannot_do_is_not_tried_again() {
        let refused =
            StoreError::NotImplemented { operation: "put".into(), implementer: "x".into() };
        assert!(!LakeError::store("write", refused).transient());
        let (table, version) = (TableName::Activity, 7);
        assert!(!LakeError::OtherWriter { table, version }.transient());
        assert!(!LakeError::Vanished { table, version }.transient());
    }

    #[test]
    fn the_kernel_passes_on_what_the_store_said() {
        let away = StoreError::Generic { store: "S3", source: "timeout".into() };
        let error = LakeError::log(TableName::Activity, "commit a version")(away.into());
        assert!(error.transient(), "{error}");
        let broken = KernelError::MissingMetadata;
        assert!(!LakeError::log(TableName::Activity, "read the log")(broken).transient());
    }
}
