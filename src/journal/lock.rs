//! One process at a time on a state folder: the system lets go of the lock with it, however it ends.

use std::fs::{File, TryLockError};
use std::path::Path;

use super::JournalError;

/// The file that is locked while a process runs.
const LOCK: &str = "lock";

/// Locks the state folder, which is made where it is missing, as long as the file is open.
pub(super) fn lock(folder: &Path) -> Result<File, JournalError> {
    std::fs::create_dir_all(folder).map_err(at(folder))?;
    // The folder itself must survive a power cut, too.
    if let Some(parent) = folder.canonicalize().map_err(at(folder))?.parent() {
        File::open(parent).and_then(|parent| parent.sync_all()).map_err(at(parent))?;
    }
    let path = folder.join(LOCK);
    let lock = File::create(&path).map_err(at(&path))?;
    match lock.try_lock() {
        Ok(()) => Ok(lock),
        Err(TryLockError::WouldBlock) => Err(JournalError::Locked(folder.to_owned())),
        Err(TryLockError::Error(cause)) => Err(at(&path)(cause)),
    }
}

pub(super) fn at(path: &Path) -> impl FnOnce(std::io::Error) -> JournalError {
    let path = path.to_owned();
    move |cause| JournalError::Folder { path, cause }
}
