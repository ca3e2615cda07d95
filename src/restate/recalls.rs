//! What a live dataflow has to be told of what counts from before the horizon.

use std::collections::BTreeMap;

use plumeline_pipelines::hindsight::Recall;
use plumeline_pipelines::model::{Arrival, Cause, Policy, Record, Subject, Tick};

use super::Found;
use crate::journal::{JournalError, Reader};

/// What is to be kept where something else is, or may be: what was said of activities since the horizon moved is
/// not among what was kept then.
///
/// # Errors
/// If the journal cannot be read.
pub fn recalls(
    found: Found,
    reader: &Reader,
    policy: &Policy,
) -> Result<Vec<Recall>, JournalError> {
    let Found { entry, kept: wanted, recent } = found;
    let known_ms = entry.known_ms;
    let moved_ms = policy.horizon_moved_ms(Tick::new(known_ms, Cause::Cut));
    let mut kept: BTreeMap<Subject, Vec<Record>> = BTreeMap::new();
    for record in reader.kept(moved_ms, known_ms)?.unwrap_or_default().records {
        kept.entry(record.subject()).or_default().push(plain(record));
    }
    let recall = |(subject, records): (Subject, Vec<Record>)| {
        let records: Vec<Record> = records.into_iter().map(plain).collect();
        let is_kept = kept.remove(&subject).unwrap_or_default() == records;
        (!is_kept || recent.contains(&subject)).then_some(Recall { subject, records })
    };
    Ok(wanted.into_iter().filter_map(recall).collect())
}

/// A record without what says where it came from.
fn plain(mut record: Record) -> Record {
    *record.arrival_mut() = Arrival::default();
    record
}
