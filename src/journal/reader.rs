//! Reading the journal beside its writer.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use plumeline_pipelines::hindsight::Recall;
use plumeline_pipelines::model::{Names, Subject};
use plumeline_sinks::delta::Rows;

use super::db::Db;
use super::frame::{Frame, Naming};
use super::{FILE, FactLine, JournalError, Kept, Restating, Stored, restated};

/// Reads the journal beside its writer.
#[derive(Debug)]
pub struct Reader {
    pub(super) db: Db,
    pub(super) names: Arc<Names>,
    pub(super) sources: Arc<[Arc<str>]>,
}

impl Reader {
    /// Reads the journal in `folder`, of a pipeline with these sources, whether it runs or not; `None` if there is
    /// none.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn open(
        folder: &Path,
        sources: &[Arc<str>],
        names: Arc<Names>,
    ) -> Result<Option<Self>, JournalError> {
        let Some(db) = Db::open_begun(&folder.join(FILE))? else { return Ok(None) };
        let mut all = sources.to_vec();
        all.extend(db.sources(&[])?.into_iter().filter(|known| !sources.contains(known)));
        Ok(Some(Self { db, names, sources: all.into() }))
    }

    pub(super) fn naming(&self) -> Naming<'_> {
        Naming { names: &self.names, sources: &self.sources }
    }

    /// The next tick after `after_ms`, up to `until_ms`, without what it holds.
    ///
    /// # Errors
    /// If the journal cannot be read.
    pub fn next_ms(&self, after_ms: i64, until_ms: i64) -> Result<Option<i64>, JournalError> {
        self.db.next_ms(after_ms, until_ms)
    }

    /// Everything of the tick `ms`.
    ///
    /// # Errors
    /// If the journal cannot be read.
    pub fn tick(&self, ms: i64) -> Result<Stored, JournalError> {
        let naming = self.naming();
        let mut frame = Frame::default();
        for body in self.db.frames(ms)? {
            let Frame { records, rejects } = Frame::decode(&body, naming)?;
            frame.records.extend(records);
            frame.rejects.extend(rejects);
        }
        let facts = self.db.facts(ms - 1, ms, naming)?.into_iter().map(|line| line.learned);
        let facts = facts.collect();
        Ok(Stored { ms, frame, facts, is_cut: self.db.is_cut(ms)? })
    }

    /// The facts learned up to `ms`, in the order they were.
    ///
    /// # Errors
    /// If the journal cannot be read.
    pub fn facts_until(&self, ms: i64) -> Result<Vec<FactLine>, JournalError> {
        self.db.facts(i64::MIN, ms, self.naming())
    }

    /// When the first fact was learned, ms.
    ///
    /// # Errors
    /// If the journal cannot be read.
    pub fn first_fact_ms(&self) -> Result<Option<i64>, JournalError> {
        self.db.first_fact_ms()
    }

    /// How many frames, and records in them, up to `ms`.
    ///
    /// # Errors
    /// If the journal cannot be read.
    pub fn count_until(&self, ms: i64) -> Result<(i64, i64), JournalError> {
        self.db.count_until(ms)
    }

    /// What counts at the cut `cut_ms` from before the horizon, which moved at `moved_ms`; `None` if nothing was
    /// told.
    ///
    /// # Errors
    /// If the journal cannot be read.
    pub fn kept(&self, moved_ms: i64, cut_ms: i64) -> Result<Option<Kept>, JournalError> {
        let naming = self.naming();
        let (bodies, recalls) = (self.db.kept(moved_ms)?, self.db.recalls(moved_ms, cut_ms)?);
        if bodies.is_none() && recalls.is_empty() {
            return Ok(None);
        }
        let mut kept = Kept::default();
        for body in bodies.into_iter().flatten() {
            kept.records.extend(Frame::decode(&body, naming)?.records);
        }
        for (ms, body) in recalls {
            let recalls = restated::decode_recalls(&body, &self.names)?;
            let subjects: BTreeSet<Subject> = recalls.iter().map(|recall| recall.subject).collect();
            kept.records.retain(|record| !subjects.contains(&record.subject()));
            for Recall { subject, records } in recalls {
                kept.records.extend(records);
                if let Subject::Activity(id) = subject {
                    kept.recalled.insert(id, ms);
                }
            }
        }
        for (index, record) in (1..).zip(&mut kept.records) {
            record.arrival_mut().index = index;
        }
        Ok(Some(kept))
    }

    /// The restatement that the cut at `ms` takes along.
    ///
    /// # Errors
    /// If the journal cannot be read.
    pub fn restating(&self, ms: i64) -> Result<Option<Restating>, JournalError> {
        let Some((id, entry, recalls)) = self.db.restatement(ms)? else { return Ok(None) };
        let entry = restated::decode_entry(&entry)?;
        Ok(Some(Restating { id, entry, recalls: restated::decode_recalls(&recalls, &self.names)? }))
    }

    /// The `part`-th part of what the restatement of the number `id` books; `None` after the last.
    ///
    /// # Errors
    /// If the journal cannot be read.
    pub fn restated(&self, id: i64, part: i64) -> Result<Option<[Rows; 3]>, JournalError> {
        let body = self.db.restated(id, part)?;
        Ok(body.map(|body| restated::decode(&body, &self.names)).transpose()?)
    }
}
