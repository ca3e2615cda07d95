//! The log is rid of what has expired: entries and checkpoints of versions that nobody may ask for any more.
//!
//! ```text
//!  0 1 2 … 100c … 200c … 300c ……… 900c … newest
//!  ◄─────── deleted ─────►│ the newest checkpoint older than `delta.logRetentionDuration`
//! ```
//!
//! 1. Versions younger than the table's `delta.logRetentionDuration` (a week in tables that this program makes, else 30
//!    days, Delta's own default) can all be read: what is deleted lies below a **checkpoint that is itself older**.
//!    *Without the checkpoint, a younger version would lack its beginning.*
//! 2. The snapshot that commits build upon is read anew first, so that it rests on a checkpoint that stays. *It may be
//!    older than a checkpoint that somebody else has written, and would then ask for entries that are gone.*
//! 3. Oldest first. *A crash leaves a log that begins later, and not one with a hole.*
//!
//! Age is what the store says of the object, against the ledger's committed cut.

use std::time::Duration;

use object_store::ObjectStoreExt;
use plumeline_pipelines::model::Tick;
use plumeline_pipelines::model::time::DAY_MS;

use super::{TableLog, load};
use crate::delta::engine::Engine;
use crate::delta::error::LakeError;
use crate::delta::place::{LogFile, log_folder};

/// Delta's default.
const RETENTION_MS_DEFAULT: i64 = 30 * DAY_MS;

impl TableLog {
    /// The same log, read anew from its newest checkpoint; `None` if others have committed since.
    pub(in crate::delta) fn anew(&self, engine: &Engine) -> Result<Option<Self>, LakeError> {
        let snapshot = load(engine, self.table)?;
        let is_same = snapshot.version() == self.version() && !self.is_doubted;
        Ok(is_same.then(|| Self { snapshot, ..self.clone() }))
    }

    /// Deletes what has expired at `ledger`; returns how many objects.
    pub(in crate::delta) fn expire(
        &self,
        engine: &Engine,
        ledger: Tick,
    ) -> Result<usize, LakeError> {
        let before_ms = ledger.ms() - self.retention_ms();
        let folder = engine.place.path(&log_folder(self.table))?;
        let store = &engine.place.store;
        let objects = engine
            .block_on(store.list_with_delimiter(Some(&folder)))
            .map_err(|error| LakeError::store(format!("list `{folder}`"), error))?
            .objects;
        let expired = objects.into_iter().filter_map(|object| {
            let file = LogFile::parse(object.location.filename()?)?;
            let is_expired = object.last_modified.timestamp_millis() < before_ms;
            is_expired.then_some((file, object.location))
        });
        let mut expired: Vec<_> = expired.collect();
        let Some(first) = first_kept(expired.iter().map(|(file, _)| *file)) else { return Ok(0) };
        // The hint is how a log without its first entry is known to be one.
        if self.newest_checkpoint(engine)? < Some(first) || self.version() < first {
            return Ok(0);
        }
        expired.retain(|(file, _)| file.version() < first);
        expired.sort_unstable_by_key(|(file, _)| file.version());
        for (_, location) in &expired {
            fail::fail_point!("log-expire");
            match engine.block_on(store.delete(location)) {
                Ok(()) | Err(object_store::Error::NotFound { .. }) => {}
                Err(error) => return Err(LakeError::store(format!("delete `{location}`"), error)),
            }
        }
        Ok(expired.len())
    }

    fn retention_ms(&self) -> i64 {
        let retention = self.snapshot.table_properties().log_retention_duration;
        let ms = |retention: Duration| i64::try_from(retention.as_millis()).unwrap_or(i64::MAX / 2);
        retention.map_or(RETENTION_MS_DEFAULT, ms)
    }
}

/// The first version that is kept: that of the newest checkpoint among what has expired.
fn first_kept(expired: impl Iterator<Item = LogFile>) -> Option<u64> {
    let checkpoints = expired.filter_map(|file| match file {
        LogFile::Checkpoint(version) => Some(version),
        LogFile::Entry(_) => None,
    });
    checkpoints.max()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_expired_checkpoint_is_where_the_log_begins() {
        use LogFile::{Checkpoint, Entry};
        let files = [Entry(0), Entry(1), Checkpoint(100), Checkpoint(200), Entry(250)];
        assert_eq!(first_kept(files.into_iter()), Some(200));
        assert_eq!(first_kept([Entry(0), Entry(1)].into_iter()), None);
    }
}
