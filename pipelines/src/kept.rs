//! What a live dataflow has kept from before the horizon, told again from everything that was ever said.
//!
//! ```text
//!  all that was said of one meter or activity ──▶ its stage alone, tick by tick ──▶ Notice::Kept at the last move
//!                     └─ or: the last restatement's hindsight, and tick by tick from there
//! ```
//!
//! A dataflow that runs tells what it keeps whenever its horizon moves, and whoever restarts it has to say it again.
//! Where that was lost, it is found anew:
//!
//! 1. Metering and activities are stages of one subject at a time. So one is given its rows and records at their own
//!    ticks, up to the horizon's last move, without a dataflow around it. *What is kept depends on when something
//!    came and on the rows of that time: what came too late is not among it, and what was let go of does not come
//!    back.*
//! 2. A restatement has put what hindsight says in place of all that ([`Recall`]): what is said after the last one
//!    before the move is all that is left to follow. *So nothing from before a restatement matters but what everybody
//!    knows: values above its horizon, which no horizon has passed yet, whenever they came.*
//! 3. One that was booked since the move has told it for the horizon of now, and what was said of an activity up to
//!    it is in there: it is as [`Kept::heard_ms`] says.
//!
//! `tests/kept.rs` compares it, on random histories, with what the dataflow tells.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::model::{ActivityRecord, Cause, MeterRow, Policy, Reading, Record, Subject, Tick};
use crate::stages::activities::Book;
use crate::stages::causes::Causes;
use crate::stages::metering::{Meters, Options};
use crate::stages::notice::Notice;
use crate::stages::recall::Recall;

/// Everything that was ever said of a meter or an activity.
#[derive(Clone, Debug)]
pub struct Story {
    /// Which one.
    pub subject: Subject,
    /// Rows of a meter that were learned (1) and taken back (-1), and when, ms; in that order.
    pub rows: Vec<(i64, MeterRow, i64)>,
    /// Records, numbered in the order in which they came, and when, ms; in any order.
    pub records: Vec<(i64, Record)>,
}

/// A restatement that was booked.
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Booked {
    /// The cut that took it along, ms.
    pub cut_ms: i64,
    /// Up to when everything was known, ms.
    pub known_ms: i64,
}

/// What is kept of a meter or an activity.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Kept {
    /// In the order in which it has to be said again. Where it came from is not kept.
    pub records: Vec<Record>,
    /// What was said of an activity up to this instant, ms, is among it, too.
    pub heard_ms: i64,
}

/// What a dataflow keeps of a subject from before the horizon of `at`, if `booked` is the last restatement up to then.
#[must_use]
pub fn kept(policy: &Policy, story: &Story, booked: Option<Booked>, at: Tick) -> Kept {
    let moved_ms = policy.horizon_moved_ms(at);
    let recall = booked.map(|booked| (booked.cut_ms, recalled(policy, story, booked)));
    match recall {
        Some((cut_ms, recall)) if cut_ms >= moved_ms => {
            Kept { records: recall.records, heard_ms: cut_ms }
        }
        recall => {
            let records = live(policy, story, recall, moved_ms);
            Kept { records, heard_ms: moved_ms - 1 }
        }
    }
}

/// What a restatement told to keep: as of what it knew, and what was said of an activity up to its cut.
fn recalled(policy: &Policy, story: &Story, Booked { cut_ms, known_ms }: Booked) -> Recall {
    let known = Tick::new(known_ms, Cause::Cut);
    let mut stage = Stage::new(policy, story.subject);
    // As hindsight does: everything at the first tick, then time passes.
    let (rows, records) = (holding(&story.rows, known_ms), since(&story.records, 0, known_ms));
    stage.rows(Tick::new(FIRST_MS, Cause::Meters), rows);
    stage.records(Tick::new(FIRST_MS, Cause::Readings), records);
    let records = stage.moved(policy.horizon_moved_ms(known));
    let mut recall = Recall { subject: story.subject, records };
    if matches!(story.subject, Subject::Activity(_)) {
        let mut later = since(&story.records, known_ms + 1, cut_ms);
        later.sort_by_key(|record| *record.arrival());
        let later = later.iter().filter_map(|record| match record {
            Record::Activity(activity) => Some(activity),
            Record::Reading(_) => None,
        });
        recall.hear(policy, policy.horizon(Tick::new(cut_ms, Cause::Cut)), later);
    }
    recall
}

/// What a stage keeps at the horizon's move at `moved_ms` that was told all of it in turn, or from a recall on that
/// was told at the cut at an instant, ms.
fn live(
    policy: &Policy,
    story: &Story,
    recall: Option<(i64, Recall)>,
    moved_ms: i64,
) -> Vec<Record> {
    let mut stage = Stage::new(policy, story.subject);
    let mut from_ms = i64::MIN;
    if let Some((cut_ms, recall)) = recall {
        let horizon_ms = policy.horizon(Tick::new(cut_ms, Cause::Cut)).start_ms(policy.period_ms);
        stage.rows(Tick::new(cut_ms, Cause::Meters), holding(&story.rows, cut_ms));
        // Of an activity the recall tells everything.
        let mut records = since(&story.records, i64::MIN, cut_ms);
        records.retain(|record| match record {
            Record::Reading(reading) => reading.at_ms > horizon_ms,
            Record::Activity(_) => false,
        });
        stage.records(Tick::new(cut_ms, Cause::Readings), records);
        stage.recall(Tick::new(cut_ms, Cause::Kept), recall);
        from_ms = cut_ms + 1;
    }
    let mut ticks: BTreeMap<Tick, Heard> = BTreeMap::new();
    let is_due = |ms: i64| ms >= from_ms && ms < moved_ms;
    for (ms, row, diff) in story.rows.iter().filter(|(ms, ..)| is_due(*ms)) {
        let tick = ticks.entry(Tick::new(*ms, Cause::Meters)).or_default();
        tick.rows.push((row.clone(), *diff));
    }
    for (ms, record) in story.records.iter().filter(|(ms, _)| is_due(*ms)) {
        ticks.entry(Tick::new(*ms, Cause::Readings)).or_default().records.push(record.clone());
    }
    for (tick, Heard { rows, records }) in ticks {
        if tick.is(Cause::Meters) {
            stage.rows(tick, rows);
        } else {
            stage.records(tick, records);
        }
    }
    stage.moved(moved_ms)
}

/// What is heard at a tick.
#[derive(Default)]
struct Heard {
    rows: Vec<(MeterRow, i64)>,
    records: Vec<Record>,
}

/// Everything that hindsight knows is fed at this instant, ms.
const FIRST_MS: i64 = 1;

/// The rows that hold after `until_ms`.
fn holding(rows: &[(i64, MeterRow, i64)], until_ms: i64) -> Vec<(MeterRow, i64)> {
    let mut holding: BTreeMap<&MeterRow, i64> = BTreeMap::new();
    for (_, row, diff) in rows.iter().filter(|(ms, ..)| *ms <= until_ms) {
        *holding.entry(row).or_default() += diff;
    }
    let holding = holding.into_iter().filter(|(_, count)| *count > 0);
    holding.map(|(row, _)| (row.clone(), 1)).collect()
}

/// The records that came from `from_ms` to `until_ms`.
fn since(records: &[(i64, Record)], from_ms: i64, until_ms: i64) -> Vec<Record> {
    let came = records.iter().filter(|(ms, _)| (from_ms..=until_ms).contains(ms));
    came.map(|(_, record)| record.clone()).collect()
}

/// The stage of a subject, without a dataflow.
enum Stage {
    Metering(Meters),
    Activities(Book),
}

impl Stage {
    fn new(policy: &Policy, subject: Subject) -> Self {
        let options = Arc::new(Options {
            policy: policy.clone(),
            keep_readings: false,
            restored: Tick::ZERO,
            tells_heard: false,
        });
        match subject {
            Subject::Meter(_) => Self::Metering(Meters::new(options)),
            // Of what follows from others nothing is kept, and nothing is asked.
            Subject::Activity(_) | Subject::Contract(_) | Subject::Uncovered(_) => {
                Self::Activities(Book::new(options, Causes::default()))
            }
        }
    }

    fn rows(&mut self, tick: Tick, rows: Vec<(MeterRow, i64)>) {
        if let Self::Metering(meters) = self {
            meters.close(tick, Vec::new(), rows);
        }
    }

    fn records(&mut self, tick: Tick, records: Vec<Record>) {
        match self {
            Self::Metering(meters) => {
                meters.close(tick, readings(records), Vec::new());
            }
            Self::Activities(book) => {
                book.close(tick, activities(records));
            }
        }
    }

    fn recall(&mut self, tick: Tick, recall: Recall) {
        match self {
            Self::Metering(meters) => drop(meters.recall(&[recall])),
            Self::Activities(book) => drop(book.recall(tick, &[recall])),
        }
    }

    /// The horizon moves: what is kept.
    fn moved(&mut self, moved_ms: i64) -> Vec<Record> {
        let tick = Tick::new(moved_ms, Cause::Time);
        let (_, notices) = match self {
            Self::Metering(meters) => meters.close(tick, Vec::new(), Vec::new()),
            Self::Activities(book) => book.close(tick, Vec::new()),
        };
        let kept = notices.into_iter().filter_map(|notice| match notice {
            Notice::Kept(record) => Some(record),
            _ => None,
        });
        kept.collect()
    }
}

fn readings(records: Vec<Record>) -> Vec<Reading> {
    let reading = |record| match record {
        Record::Reading(reading) => Some(reading),
        Record::Activity(_) => None,
    };
    records.into_iter().filter_map(reading).collect()
}

fn activities(records: Vec<Record>) -> Vec<ActivityRecord> {
    let activity = |record| match record {
        Record::Activity(activity) => Some(activity),
        Record::Reading(_) => None,
    };
    records.into_iter().filter_map(activity).collect()
}
