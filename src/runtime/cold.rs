//! What the feeder keeps in mind for restatements from below the horizon: which activities were heard of lately, and
//! the digests of entries that do not come from the workers.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use plumeline_pipelines::digest::{Digester, Digests};
use plumeline_pipelines::model::{
    Cause, Id, Names, PendingCause, PendingEntry, Policy, Record, RestatedEntry, Subject, Tick,
};
use plumeline_sinks::delta::Rows;

use super::restater::Desk;
use crate::journal::Restating;

/// See the module's documentation.
#[derive(Debug)]
pub(super) struct Cold {
    /// Activities of which something was said since the last commit, or since what a restatement knows: by
    /// instant, ms.
    said: BTreeMap<i64, BTreeSet<Id>>,
    digester: Digester,
}

impl Cold {
    pub(super) fn new(names: Arc<Names>, policy: &Policy) -> Self {
        Self { said: BTreeMap::new(), digester: Digester::new(names, policy) }
    }

    /// These records are fed at `ms`.
    pub(super) fn hear(&mut self, ms: i64, records: &[Record]) {
        let activities = records.iter().filter_map(|record| match record {
            Record::Activity(activity) => Some(activity.activity),
            Record::Reading(_) => None,
        });
        let activities: BTreeSet<Id> = activities.collect();
        if !activities.is_empty() {
            self.said.insert(ms, activities);
        }
    }

    /// No restatement knows less than what was learned up to `known_ms`.
    pub(super) fn forget_until(&mut self, known_ms: i64) {
        self.said = self.said.split_off(&(known_ms + 1));
    }

    /// What the cut at `ms` takes along, and what has to wait for the next: activities of which more was said
    /// meanwhile, since what was computed of them would take that back.
    pub(super) fn proposal(
        &self,
        ms: i64,
        policy: &Policy,
        desk: &Desk,
    ) -> Option<(Restating, Vec<PendingEntry>)> {
        let horizon_ms = policy.horizon(Tick::new(ms, Cause::Cut)).start_ms(policy.period_ms);
        let mut restating = desk.take(ms, horizon_ms)?;
        let RestatedEntry { known_ms, from_ms, to_ms, .. } = restating.entry;
        let later = self.said.range(known_ms + 1..).flat_map(|(_, ids)| ids);
        let later: BTreeSet<Id> = later.copied().collect();
        let mut waiting = Vec::new();
        restating.recalls.retain(|recall| {
            let Subject::Activity(subject) = recall.subject else { return true };
            let is_recalled = !later.contains(&subject);
            if !is_recalled {
                let cause = PendingCause::Activities;
                let to_ms = to_ms.max(from_ms + policy.period_ms);
                let entry = PendingEntry { cause, subject, from_ms, to_ms, count: 1, learned_ms: ms };
                desk.note(&entry);
                waiting.push(entry);
            }
            is_recalled
        });
        Some((restating, waiting))
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
