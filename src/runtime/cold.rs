//! What the feeder keeps in mind for restatements from below the horizon: what was said of activities lately, and the
//! digests of entries that do not come from the workers.

use std::collections::BTreeMap;
use std::sync::Arc;

use plumeline_pipelines::digest::{Digester, Digests};
use plumeline_pipelines::model::{ActivityRecord, Cause, Names, Policy, Record, Subject, Tick};
use plumeline_sinks::delta::Rows;

use super::restater::Desk;
use crate::journal::Restating;

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
        let known_ms = restating.entry.known_ms;
        for recall in &mut restating.recalls {
            let Subject::Activity(id) = recall.subject else { continue };
            let later = self.said.range(known_ms + 1..).flat_map(|(_, records)| records);
            recall.hear(policy, horizon, later.filter(|record| record.activity == id));
        }
        Some(restating)
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
