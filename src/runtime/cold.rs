//! What the feeder keeps in mind for restatements from below the horizon: what was said of activities lately, and the
//! digests of entries that do not come from the workers.

use std::collections::BTreeMap;
use std::sync::Arc;

use plumeline_pipelines::digest::{Digester, Digests};
use plumeline_pipelines::model::{ActivityRecord, Cause, Id, Names, Policy, Record, Subject, Tick};
use plumeline_sinks::delta::Rows;

use super::desk::Desk;
use crate::journal::{JournalError, Reader, Restating};

/// See the module's documentation.
#[derive(Debug)]
pub(super) struct Cold {
    /// What was said of activities since the last commit, or since what a restatement knows: by instant, ms.
    said: BTreeMap<i64, Vec<ActivityRecord>>,
    digester: Digester,
}

impl Cold {
    pub(super) fn new(names: Arc<Names>, policy: &Policy) -> Self {
        Self { said: BTreeMap::new(), digester: Digester::new(names, policy) }
    }

    /// These records are fed at `ms`.
    pub(super) fn hear(&mut self, ms: i64, records: &[Record]) {
        let activities = records.iter().filter_map(|record| match record {
            Record::Activity(activity) => Some(activity.clone()),
            Record::Reading(_) => None,
        });
        let activities: Vec<ActivityRecord> = activities.collect();
        if !activities.is_empty() {
            self.said.insert(ms, activities);
        }
    }

    /// No restatement knows less than what was learned up to `known_ms`.
    pub(super) fn forget_until(&mut self, known_ms: i64) {
        self.said = self.said.split_off(&(known_ms + 1));
    }

    /// What the cut at `ms` takes along. What it recalls of activities is as of what it knows: what was said of them
    /// since is said again.
    pub(super) fn proposal(&self, ms: i64, policy: &Policy, desk: &Desk) -> Option<Restating> {
        let horizon = policy.horizon(Tick::new(ms, Cause::Cut));
        let mut restating = desk.take(ms, horizon.start_ms(policy.period_ms))?;
        let mut later: BTreeMap<Id, Vec<&ActivityRecord>> = BTreeMap::new();
        for record in self.said.range(restating.entry.known_ms + 1..).flat_map(|(_, all)| all) {
            later.entry(record.activity).or_default().push(record);
        }
        for recall in &mut restating.recalls {
            if let Subject::Activity(id) = recall.subject {
                recall.hear(policy, horizon, later.remove(&id).unwrap_or_default());
            }
        }
        Some(restating)
    }

    /// Of what the cut at `method_ms` takes along, if it is not in the ledger yet: another method counts from it on.
    pub(super) fn unbooked(
        reader: &Reader,
        names: Arc<Names>,
        policy: &Policy,
        (committed_ms, method_ms): (Option<i64>, Option<i64>),
    ) -> Result<Digests, JournalError> {
        let mut cold = Self::new(names, policy);
        if let Some(method_ms) = method_ms.filter(|ms| Some(*ms) > committed_ms)
            && let Some(Restating { id, .. }) = reader.restating(method_ms)?
        {
            for part in 0.. {
                let Some(found) = reader.restated(id, part)? else { break };
                for rows in &found {
                    cold.digest(rows);
                }
            }
        }
        Ok(cold.digests())
    }

    /// Adds entries to the digests.
    pub(super) fn digest(&mut self, rows: &Rows) {
        let digester = &mut self.digester;
        match rows {
            Rows::Activity(rows) => {
                for row in rows {
                    digester.activity(&row.key, &row.change);
                }
            }
            Rows::Emissions(rows) => {
                for row in rows {
                    digester.emission(&row.key, &row.change);
                }
            }
            Rows::Footprints(rows) => {
                for row in rows {
                    digester.footprint(&row.key, &row.change);
                }
            }
            _ => {}
        }
    }

    /// Those of what was added since the last time.
    pub(super) fn digests(&mut self) -> Digests {
        self.digester.take()
    }
}
