//! A commit that took a restatement along and did not come to its end: what it books is computed again.
//!
//! What a restatement finds follows from what was known at its K alone ([`crate::restate`]), and K is in its row of
//! `restatements`, which is committed before any entry. So it is proposed again under the cut that took it along, and
//! the next run makes the same commit to its end. *Its entries follow from nothing that was said after K: without them
//! some tables would have them, and `activity` would not.*

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use plumeline_pipelines::hindsight::Recall;
use plumeline_pipelines::model::{
    ActivityRecord, Cause, Names, Policy, RestatedEntry, Subject, Tick,
};
use plumeline_sinks::delta::{LakeConfig, Rows};

use super::RestoreError;
use crate::journal::{JournalError, Rebuild, Restating};
use crate::restate::{Base, Periods, Request, SHARE_ROWS, proposing, restate_as_of};

/// The number of its entries in a journal that has no others.
const ID: i64 = 1;

/// Computes again what the cut took along whose row of `restatements` is `entry`, and puts it down. `later` is what was
/// said of activities after K, up to the cut.
pub(super) fn propose(
    (lake, names): (&LakeConfig, &Arc<Names>),
    (policy, scratch): (&Policy, &Path),
    (cut, entry): (Tick, RestatedEntry),
    later: &[ActivityRecord],
    draft: &mut Rebuild,
) -> Result<(), RestoreError> {
    let request = Request {
        lake: lake.clone(),
        policy,
        periods: Periods::Cold,
        base: Base::Ledger,
        names: Arc::clone(names),
        scratch,
        share_rows: SHARE_ROWS,
        may_go_on: &|_| true,
    };
    let known = Tick::new(entry.known_ms, Cause::Cut);
    let write =
        |part, rows: &Rows| -> Result<(), RestoreError> { Ok(draft.propose_part(ID, part, rows)?) };
    let found = proposing(write, |give| restate_as_of(&request, known, give))?;
    if found.entry != entry {
        let text = "what the last restatement found cannot be found again: the tables were changed";
        return Err(JournalError::Ledger(text.to_owned()).into());
    }
    let mut said: BTreeMap<Subject, Vec<&ActivityRecord>> = BTreeMap::new();
    for record in later {
        said.entry(Subject::Activity(record.activity)).or_default().push(record);
    }
    let horizon = policy.horizon(cut);
    let recall = |(subject, records)| {
        let mut recall = Recall { subject, records };
        recall.hear(policy, horizon, said.get(&subject).into_iter().flatten().copied());
        recall
    };
    let recalls = found.kept.into_iter().map(recall).collect();
    draft.cut_restating(cut.ms(), &Restating { id: ID, entry, recalls })?;
    Ok(())
}
