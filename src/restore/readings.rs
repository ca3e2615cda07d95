//! What was said, out of the tables: into frames what a restart feeds, and by subject what something may be kept of.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::Path;
use std::sync::Arc;

use plumeline_pipelines::kept::{Booked, Story, kept as kept_of};
use plumeline_pipelines::model::{
    ActivityRecord, Fact, Id, MeterRow, Policy, Record, Subject, Tick,
};
use plumeline_sinks::delta::{CutRows, FactEntry, LakeReader};

use super::elements::Elements;
use super::facts::Told;
use super::{Basis, Progress, RestoreError};
use crate::config::Pipeline;
use crate::journal::{Part, Rebuild};
use crate::restate::SHARE_ROWS;
use crate::restate::shares::Shares;

/// Shares, at most: each is an open file.
const SHARES_MAX: usize = 128;
/// Records of a frame, about.
const FRAME_RECORDS: usize = 20_000;
/// Records of a part of what is kept, about.
const KEPT_RECORDS: usize = 100_000;

/// What was found.
#[derive(Debug)]
pub(super) struct Read {
    /// Names of sources: those of the pipeline file, then others.
    pub(super) sources: Vec<Arc<str>>,
    /// Rows of facts, in the order of their cuts.
    pub(super) facts: Vec<FactEntry>,
    /// Records that were put into frames.
    pub(super) records: u64,
    /// The number of the newest record.
    pub(super) last_index: u64,
    /// When each record came, ms, and what it says.
    pub(super) shares: Shares<(i64, Record)>,
    /// What was said of activities after what a restatement knew that has yet to be committed.
    pub(super) later: Vec<ActivityRecord>,
}

/// Which records a restart feeds from frames.
#[derive(Debug)]
struct Fed {
    /// Readings of instants up to this one, ms, are among what is kept, or nothing to a restart.
    horizon: i64,
    /// What was said of activities up to this instant, ms, is among what is kept.
    heard: i64,
    /// What came after this instant, ms, has yet to be committed.
    until: i64,
    /// What was said of activities after this instant, ms, is not known to a restatement that has yet to be committed.
    known: i64,
}

impl Fed {
    fn of(policy: &Policy, basis: &Basis) -> Self {
        let known = basis.restating.map_or(i64::MAX, |(_, entry)| entry.known_ms);
        Self { known, ..Self::new(policy, basis.until(), basis.booked) }
    }

    fn new(policy: &Policy, until: Option<Tick>, booked: Option<Booked>) -> Self {
        // Where nothing is committed, all of it is fed as it came.
        let Some(until) = until else {
            return Self { horizon: i64::MIN, heard: i64::MIN, until: i64::MIN, known: i64::MAX };
        };
        let moved_ms = policy.horizon_moved_ms(until);
        let booked = booked.filter(|booked| booked.cut_ms >= moved_ms);
        Self {
            horizon: policy.horizon(until).start_ms(policy.period_ms),
            heard: booked.map_or(moved_ms - 1, |booked| booked.cut_ms),
            until: until.ms(),
            known: i64::MAX,
        }
    }

    fn takes(&self, ms: i64, record: &Record) -> bool {
        ms > self.until
            || match record {
                Record::Reading(reading) => reading.at_ms > self.horizon,
                Record::Activity(_) => ms > self.heard,
            }
    }
}

/// Reads everything that was said; what a restart feeds is in the draft then.
pub(super) fn read(
    mut reader: LakeReader,
    basis: &Basis,
    (pipeline, scratch): (&Pipeline, &Path),
    draft: &mut Rebuild,
    told: &mut dyn FnMut(Progress),
) -> Result<Read, RestoreError> {
    let fed = Fed::of(&pipeline.policy, basis);
    let shares = usize::try_from(reader.rows().div_ceil(SHARE_ROWS).max(1)).unwrap_or(SHARES_MAX);
    let mut read = Read {
        sources: Vec::new(),
        facts: Vec::new(),
        records: 0,
        last_index: 0,
        shares: Shares::create(scratch, shares.min(SHARES_MAX))?,
        later: Vec::new(),
    };
    let mut seen = 0;
    while let Some((_, rows)) = reader.next_cut()? {
        read.sources = reader.sources().iter().map(|name| Arc::from(name.as_str())).collect();
        seen += read.take(rows, &fed, draft)?;
        let (done, total) = reader.progress();
        let (done, total) = (done as u64, total as u64);
        told(Progress { what: "reading", done, total, records: seen });
    }
    read.sources = reader.sources().iter().map(|name| Arc::from(name.as_str())).collect();
    Ok(read)
}

impl Read {
    /// Takes in a cut; says how many records it has.
    fn take(&mut self, rows: CutRows, fed: &Fed, draft: &mut Rebuild) -> Result<u64, RestoreError> {
        self.facts.extend(rows.facts);
        let mut elements = Elements::of(rows.rejects);
        let readings = rows.readings.into_iter();
        let readings =
            readings.map(|row| (row.received_ms, row.outcome, Record::Reading(row.record)));
        let activities = rows.activity_data.into_iter();
        let activities =
            activities.map(|row| (row.received_ms, row.outcome, Record::Activity(row.record)));
        let mut all: Vec<_> = readings.chain(activities).collect();
        all.sort_by_key(|(ms, _, record)| (*ms, record.arrival().index));
        let count = all.len() as u64;
        let mut ticks: BTreeMap<i64, Vec<Record>> = BTreeMap::new();
        for (ms, outcome, mut record) in all {
            elements.find(&mut record, outcome, draft.names());
            self.last_index = self.last_index.max(record.arrival().index);
            if ms <= fed.until {
                let share = share(record.subject(), self.shares.len());
                self.shares.put(share, &(ms, record.clone()))?;
            }
            if ms > fed.known
                && let Record::Activity(activity) = &record
            {
                self.later.push(activity.clone());
            }
            if fed.takes(ms, &record) {
                ticks.entry(ms).or_default().push(record);
            }
        }
        for (ms, records) in ticks {
            self.records += records.len() as u64;
            for records in records.chunks(FRAME_RECORDS) {
                let part = Part { ms, records, ..Part::default() };
                draft.append(&part, &self.sources)?;
            }
        }
        Ok(count)
    }
}

/// The share of a subject. Asked twice in one process it is the same, which is all that matters.
fn share(subject: Subject, count: usize) -> usize {
    let mut hasher = DefaultHasher::new();
    subject.hash(&mut hasher);
    usize::try_from(hasher.finish() % (count as u64)).expect("it is less than a count")
}

/// What is kept from before the horizon, in parts, subjects in order.
pub(super) fn kept(
    mut shares: Shares<(i64, Record)>,
    facts: &[Told],
    basis: &Basis,
    pipeline: &Pipeline,
    told: &mut dyn FnMut(Progress),
) -> Result<Vec<Vec<Record>>, RestoreError> {
    let Some(until) = basis.until() else { return Ok(Vec::new()) };
    let policy = &pipeline.policy;
    let mut rows = rows_by_meter(facts, until.ms());
    let mut parts = vec![Vec::new()];
    let (total, mut seen) = (shares.len(), 0);
    for share in 0..total {
        let mut stories: BTreeMap<Subject, Vec<(i64, Record)>> = BTreeMap::new();
        shares.take(share, |(ms, record): (i64, Record)| {
            seen += 1;
            stories.entry(record.subject()).or_default().push((ms, record));
        })?;
        for (subject, records) in stories {
            let rows = match subject {
                Subject::Meter(id) => rows.remove(&id).unwrap_or_default(),
                Subject::Activity(_) | Subject::Contract(_) | Subject::Uncovered(_) => Vec::new(),
            };
            let story = Story { subject, rows, records };
            let found = kept_of(policy, &story, basis.booked, until);
            if parts.last().is_none_or(|part: &Vec<Record>| part.len() >= KEPT_RECORDS) {
                parts.push(Vec::new());
            }
            if let Some(part) = parts.last_mut() {
                for mut record in found.records {
                    record.arrival_mut().index = 1 + part.len() as u64;
                    part.push(record);
                }
            }
        }
        let (done, total) = (share as u64 + 1, total as u64);
        told(Progress { what: "sorting", done, total, records: seen });
    }
    Ok(parts)
}

/// Rows of meters by meter, learned up to `until_ms`.
fn rows_by_meter(facts: &[Told], until_ms: i64) -> BTreeMap<Id, Vec<(i64, MeterRow, i64)>> {
    let mut rows: BTreeMap<Id, Vec<(i64, MeterRow, i64)>> = BTreeMap::new();
    for (ms, changes) in facts.iter().filter(|(ms, _)| *ms <= until_ms) {
        for change in changes {
            if let (Fact::Meter(row), diff) = change.clone().diff() {
                rows.entry(row.meter).or_default().push((*ms, row, diff));
            }
        }
    }
    rows
}

#[cfg(test)]
mod tests {
    use plumeline_pipelines::model::{Arrival, Calendar, Cause, GwpSet, Quality, Reading, Retain};

    use super::*;

    const DAY_MS: i64 = 86_400_000;
    const NOW_MS: i64 = 20_000 * DAY_MS + DAY_MS / 2;

    fn reading(at_ms: i64) -> Record {
        Record::Reading(Reading {
            meter: Id(1),
            at_ms,
            from_ms: None,
            value: None,
            unit: None,
            version: 0,
            quality: Quality::default(),
            arrival: Arrival::default(),
        })
    }

    #[test]
    fn a_restart_feeds_what_lies_above_the_horizon_and_what_is_to_be_committed() {
        let policy = Policy {
            period_ms: 3_600_000,
            grace_ms: 0,
            retain: Retain::of(DAY_MS),
            samples_ms: DAY_MS,
            windows_ms: Vec::new(),
            calendar: Calendar::default(),
            gwp: GwpSet::Ar6,
        };
        let until = Some(Tick::new(NOW_MS, Cause::Cut));
        let horizon_ms = 19_999 * DAY_MS;
        let fed = Fed::new(&policy, until, None);
        assert!(!fed.takes(NOW_MS, &reading(horizon_ms)));
        assert!(fed.takes(NOW_MS - 5 * DAY_MS, &reading(horizon_ms + 1)));
        assert!(fed.takes(NOW_MS + 1, &reading(horizon_ms)), "it is not committed yet");
        let moved_ms = policy.horizon_moved_ms(Tick::new(NOW_MS, Cause::Cut));
        assert_eq!(fed.heard, moved_ms - 1);
        let booked = |cut_ms| Some(Booked { cut_ms, known_ms: cut_ms - 1 });
        assert_eq!(Fed::new(&policy, until, booked(moved_ms - 1)).heard, moved_ms - 1);
        assert_eq!(Fed::new(&policy, until, booked(moved_ms + 9)).heard, moved_ms + 9);
        assert!(Fed::new(&policy, None, None).takes(0, &reading(1)));
    }
}
