//! Why a meter's settled periods change: what metering itself knows of it.
//!
//! | what a tick brings | a settled period of the meter changes because of |
//! |---|---|
//! | a value for an instant that had one, or one that takes it back | `reading_corrected` |
//! | a value for an instant in a settled period | `reading_late` |
//! | a value that came in time, of a register or power that was silent before | `gap_closed` |
//! | a row under which as much is booked elsewhere: to another node, or factor | `structural`, `method_change` |
//! | a row under which more is booked, and nothing else than before | `gap_closed`: the values waited for it |
//! | any other row | `meter_exchange` |
//!
//! A value of an interval that says how long it is stands for its own periods: there a correction goes before what is
//! late, and that before a gap. Any other value bounds the spans before and after it: a period's reason is that of the
//! next changed instant in or after it, or else of the last before it. Where both are there, a correction goes before
//! what is late. A value that repeats what is known changes nothing, and is no reason.
//!
//! Sources: domain rules on restatement (UK Environmental Reporting Guidelines pp. 17-19; ESRS 1, 96-98).

use std::collections::{BTreeMap, BTreeSet};

use differential_dataflow::difference::{IsZero, Semigroup};

use super::spans::stretch;
use super::{Changes, Piece, Rows};
use crate::model::{ActivityKey, Cause, Id, Measure, Period, Policy, Reading, Reason, Tick, Unit};
use crate::stages::causes::Causes;

/// Whether what is booked of `period` at `tick` changes what has settled.
fn is_settled(policy: &Policy, tick: Tick, period: Period) -> bool {
    tick > Tick::new(policy.settles_ms(period), Cause::Time)
}

/// What a meter's rows change of a period.
#[derive(Debug, Default)]
struct Moved {
    sums: BTreeMap<Unit, Measure>,
    takes_back: bool,
    nodes: BTreeSet<Id>,
}

impl Moved {
    fn reason(&self) -> Reason {
        if !self.takes_back {
            Reason::GapClosed
        } else if !self.sums.values().all(Measure::is_zero) {
            Reason::MeterExchange
        } else if self.nodes.len() > 1 {
            Reason::Structural
        } else {
            Reason::MethodChange
        }
    }
}

/// Notes why `pieces`, all of one meter and consolidated, change settled periods: its rows changed.
pub(super) fn note_rows(causes: &Causes, policy: &Policy, tick: Tick, pieces: &[Piece]) {
    let mut moved: BTreeMap<Period, Moved> = BTreeMap::new();
    let settled = || pieces.iter().filter(|((key, _), _)| is_settled(policy, tick, key.period));
    for ((key, _), measure) in settled() {
        let Moved { sums, takes_back, nodes } = moved.entry(key.period).or_default();
        sums.entry(key.unit).or_default().plus_equals(measure);
        // The same values under the same key leave their number as it was: they count otherwise.
        *takes_back |= measure.presence <= 0;
        nodes.insert(key.node);
    }
    for ((key, _), _) in settled() {
        causes.note(tick, policy.settles_ms(key.period), *key, moved[&key.period].reason());
    }
}

/// What a tick says of one meter.
#[derive(Copy, Clone, Debug)]
pub(super) struct Told<'a> {
    /// In the order of their instants.
    pub(super) readings: &'a [Reading],
    /// Which of them say something else than before, and which nothing new.
    pub(super) changes: &'a Changes,
    /// The meter's rows.
    pub(super) rows: &'a Rows,
}

/// Notes why `pieces`, all of one meter, change settled periods by what was `told`.
pub(super) fn note_readings(
    causes: &Causes,
    policy: &Policy,
    tick: Tick,
    told: Told<'_>,
    pieces: &[Piece],
) {
    let mut stated: Option<BTreeMap<Period, Reason>> = None;
    let mut last: Option<(ActivityKey, Reason)> = None;
    for ((key, _), _) in pieces {
        if !is_settled(policy, tick, key.period) {
            continue;
        }
        let stated = stated.get_or_insert_with(|| {
            let all = pieces.iter().map(|((key, _), _)| key.period);
            told.stated(policy, tick, (all.clone().min(), all.max()))
        });
        let reason = match (last, stated.get(&key.period)) {
            (_, Some(reason)) => *reason,
            (Some((known, reason)), None) if known.period == key.period => reason,
            (_, None) => told.reason(policy, tick, key.period),
        };
        last = Some((*key, reason));
        causes.note(tick, policy.settles_ms(key.period), *key, reason);
    }
}

impl<'a> Told<'a> {
    /// The readings that say something new.
    fn news(self) -> impl DoubleEndedIterator<Item = &'a Reading> {
        self.readings.iter().filter(move |reading| !self.changes.repeated.contains(&reading.at_ms))
    }

    fn is_corrected(self, reading: &Reading) -> bool {
        self.changes.corrected.contains(&reading.at_ms)
    }

    /// The reasons of the settled periods, from the first to the last asked for, that values stand for by themselves.
    fn stated(
        self,
        policy: &Policy,
        tick: Tick,
        asked: (Option<Period>, Option<Period>),
    ) -> BTreeMap<Period, Reason> {
        let mut reasons: BTreeMap<Period, Reason> = BTreeMap::new();
        for reading in self.news() {
            let Some((from_ms, to_ms)) = stretch(self.rows, reading.at_ms, reading.from_ms) else {
                continue;
            };
            let (first, last) = (policy.period_of(from_ms), policy.period_of(to_ms - 1));
            let reason = if self.is_corrected(reading) {
                Reason::ReadingCorrected
            } else if is_settled(policy, tick, last) {
                Reason::ReadingLate
            } else {
                Reason::GapClosed
            };
            let mut period = asked.0.map_or(first, |asked| asked.max(first));
            let last = asked.1.map_or(last, |asked| asked.min(last));
            while period <= last && is_settled(policy, tick, period) {
                let known = reasons.entry(period).or_insert(reason);
                *known = first_of(*known, reason);
                period = policy.period_of(period.end_ms(policy.period_ms));
            }
        }
        reasons
    }

    /// The reason of a period by the values around it.
    fn reason(self, policy: &Policy, tick: Tick, period: Period) -> Reason {
        let period_of = |reading: &Reading| policy.period_of(reading.at_ms - 1);
        let next = self.readings.partition_point(|reading| period_of(reading) < period);
        let (before, after) = self.readings.split_at(next);
        let [before, after] = [before, after].map(|readings| Told { readings, ..self });
        let (before, after) = (before.news().next_back(), after.news().next());
        if before.into_iter().chain(after).any(|reading| self.is_corrected(reading)) {
            return Reason::ReadingCorrected;
        }
        let is_late = |reading: &Reading| is_settled(policy, tick, period_of(reading));
        if after.or(before).is_some_and(is_late) { Reason::ReadingLate } else { Reason::GapClosed }
    }
}

/// Which of two reasons a period has: a correction goes before what is late, and that before a gap.
fn first_of(a: Reason, b: Reason) -> Reason {
    let order = [Reason::ReadingCorrected, Reason::ReadingLate];
    order.into_iter().find(|reason| [a, b].contains(reason)).unwrap_or(a)
}
