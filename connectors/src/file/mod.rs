//! Files of JSON lines, of CSV (`*.csv`, whose first line names the fields), or of Parquet (`*.parquet`, whose columns
//! do): for tests, benches and imports.
//!
//! ```text
//! file ─► chunks of 1 MiB ─► lines ─► decode ─► Batch, one a chunk ─► out (waits where it is full)
//! ```
//!
//! 1. A line's number, from 1, is its position; empty lines count, but say nothing.
//! 2. A line over the limit is a reject; it is passed over without being held, so memory stays bounded.
//! 3. The last line counts without its line end where the file ends; while a file is followed, a line
//!    is there once its line end is: half a number is a number, too.
//! 4. A followed file that was cut or replaced is read from its start again. One that is not there yet is
//!    waited for.
//!
//! 5. A restart goes on after the last line that was acknowledged, if it is the same file: device and inode,
//!    and the bytes before that place. Any other is read from its start.

mod lines;
mod reader;
mod rows;
mod table;

use std::fs::File;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::{oneshot, watch};

use self::reader::Reader;
use crate::batch::{FileMark, Mark, Receipt};
use crate::config::FileSource;
use crate::position::Position;
use crate::source::{Context, SourceError, SourceStatus, TASK_STOP_MAX};
use crate::task::stop_sign;

/// A running file source.
#[derive(Debug)]
pub(crate) struct Running {
    stop: watch::Sender<bool>,
    ended: oneshot::Receiver<()>,
    /// Lines that are safe.
    acked_lines: AtomicU64,
}

/// Starts the thread.
pub(crate) fn start(
    config: FileSource,
    context: Context,
    status: Arc<SourceStatus>,
) -> Result<Running, SourceError> {
    let file = if config.follow { None } else { Some(open(&config)?) };
    if let Some(file) = &file
        && is_kind(&config, "parquet")
    {
        check_rows(&config, file)?;
    }
    let (stop, stopped) = stop_sign();
    let (end, ended) = oneshot::channel::<()>();
    let name = format!("file {}", context.name);
    let reader = Reader::new(config, context, status, stopped);
    let work = move || {
        reader.run(file);
        // Whoever waits is told, or is gone.
        drop(end);
    };
    std::thread::Builder::new().name(name).spawn(work).map_err(SourceError::Thread)?;
    Ok(Running { stop, ended, acked_lines: AtomicU64::new(0) })
}

impl Running {
    pub(crate) fn ack(&self, receipt: &Receipt) {
        if let Mark::File(mark) = receipt.0 {
            self.acked_lines.store(mark.line, Ordering::Relaxed);
            tracing::trace!(mark.line, mark.byte, "acknowledged");
        }
    }

    pub(crate) async fn stop(self) {
        self.stop.send_replace(true);
        // A disk that hangs cannot be interrupted; the thread ends when it comes back.
        drop(tokio::time::timeout(TASK_STOP_MAX, self.ended).await);
    }
}

/// Whether `position` is a place in the file that is at `path` now.
pub(crate) fn is_of(path: &Path, position: &Position) -> bool {
    let mark = FileMark::among(std::slice::from_ref(position));
    let data = std::fs::metadata(path);
    let file = data.map(|data| (data.dev(), data.ino())).ok();
    position.stream == FileMark::STREAM && mark.map(|mark| mark.file) == file && file.is_some()
}

/// See [`crate::registry::probe`].
pub(crate) fn probe(config: &FileSource) -> Result<(), SourceError> {
    match open(config) {
        Ok(_) => Ok(()),
        Err(SourceError::Unreadable { cause, .. })
            if config.follow && cause.kind() == std::io::ErrorKind::NotFound =>
        {
            Ok(())
        }
        Err(error) => Err(error),
    }
}

/// Whether the file's name says that it is of this kind.
fn is_kind(config: &FileSource, kind: &str) -> bool {
    config.path.extension().is_some_and(|known| known.eq_ignore_ascii_case(kind))
}

/// A Parquet file is one as a whole.
fn check_rows(config: &FileSource, file: &File) -> Result<(), SourceError> {
    let unreadable = |cause| SourceError::Unreadable { path: config.path.clone(), cause };
    let file = file.try_clone().map_err(unreadable)?;
    let opened = rows::Rows::open(file, 0).map(drop);
    opened.map_err(|error| unreadable(std::io::Error::new(std::io::ErrorKind::InvalidData, error)))
}

fn open(config: &FileSource) -> Result<File, SourceError> {
    let unreadable = |cause| SourceError::Unreadable { path: config.path.clone(), cause };
    let file = File::open(&config.path).map_err(unreadable)?;
    if file.metadata().map_err(unreadable)?.is_dir() {
        return Err(unreadable(std::io::ErrorKind::IsADirectory.into()));
    }
    Ok(file)
}

#[cfg(test)]
mod tests;
