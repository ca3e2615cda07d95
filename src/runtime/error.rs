//! Why a pipeline ends that should not.

use plumeline_connectors::SourceError;
use plumeline_sinks::delta::LakeError;
use thiserror::Error;

use crate::config::Problems;
use crate::journal::JournalError;
use crate::restate::RestateError;

/// Why a pipeline cannot run, or ended.
#[derive(Debug, Error)]
pub enum RunError {
    /// Its tables are not in order.
    #[error("the tables are not in order\n{0}")]
    Facts(#[from] Problems),
    /// A source cannot start.
    #[error("source \"{name}\" cannot start")]
    Source {
        /// The source.
        name: String,
        /// Why.
        #[source]
        cause: SourceError,
    },
    /// The lake cannot be opened, or refused a commit for good.
    #[error("the ledger cannot be written")]
    Lake(#[from] LakeError),
    /// The journal.
    #[error("the journal cannot be used")]
    Journal(#[from] JournalError),
    /// Nothing can be restated, and somebody waits for it.
    #[error(transparent)]
    Restate(#[from] RestateError),
    /// The health and metrics listener.
    #[error("cannot listen on {address}")]
    Http {
        /// As configured.
        address: std::net::SocketAddr,
        /// What the system says.
        #[source]
        cause: std::io::Error,
    },
    /// The system gives us no thread.
    #[error("cannot start a thread")]
    Thread(#[source] std::io::Error),
    /// A part ended that should not have.
    #[error("{0} ended unexpectedly; its message is above")]
    Ended(&'static str),
}
