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
//! A value bounds the spans before and after it: a period's reason is that of the next changed instant in or after it,
//! or else of the last before it. Where both are there, a correction goes before what is late.
//!
//! Sources: domain rules on restatement (UK Environmental Reporting Guidelines pp. 17-19; ESRS 1, 96-98).

use std::collections::{BTreeMap, BTreeSet};

use differential_dataflow::difference::{IsZero, Semigroup};

use super::Piece;
use crate::model::{ActivityKey, Cause, Id, Measure, Period, Policy, Reading, Reason, Tick, Unit};
use crate::stages::causes::Causes;

/// Whether what is booked of `period` at `tick` changes what has settled.
fn is_settled(policy: &Policy, tick: Tick, period: Period) -> bool {
    tick > Tick::new(policy.settles_ms(period), Cause::Time)
}

/// Notes why `pieces`, all of one meter and consolidated, change settled periods: its rows changed.
pub(super) fn note_rows(causes: &Causes, policy: &Policy, tick: Tick, pieces: &[Piece]) {
    let mut moved: BTreeMap<(Period, Unit), (Measure, bool, BTreeSet<Id>)> = BTreeMap::new();
    let settled = || pieces.iter().filter(|((key, _), _)| is_settled(policy, tick, key.period));
    for ((key, _), measure) in settled() {
        let (sum, takes_back, nodes) = moved.entry((key.period, key.unit)).or_default();
        sum.plus_equals(measure);
        *takes_back |= measure.presence < 0;
        nodes.insert(key.node);
    }
    for ((key, _), _) in settled() {
        let (sum, takes_back, nodes) = &moved[&(key.period, key.unit)];
        let reason = if !takes_back {
            Reason::GapClosed
        } else if !sum.is_zero() {
            Reason::MeterExchange
        } else if nodes.len() > 1 {
            Reason::Structural
        } else {
            Reason::MethodChange
        };
        causes.note(policy, tick, *key, reason);
    }
}

/// Notes why `pieces`, all of one meter, change settled periods: `readings` came, in the order of their instants, of
/// which those at `corrected` (ms) said something else before.
pub(super) fn note_readings(
    causes: &Causes,
    policy: &Policy,
    tick: Tick,
    (readings, corrected): (&[Reading], &BTreeSet<i64>),
    pieces: &[Piece],
) {
    let mut last: Option<(ActivityKey, Reason)> = None;
    for ((key, _), _) in pieces {
        if !is_settled(policy, tick, key.period) {
            continue;
        }
        let reason = match last {
            Some((known, reason)) if known.period == key.period => reason,
            _ => of_period(policy, tick, (readings, corrected), key.period),
        };
        last = Some((*key, reason));
        causes.note(policy, tick, *key, reason);
    }
}

fn of_period(
    policy: &Policy,
    tick: Tick,
    (readings, corrected): (&[Reading], &BTreeSet<i64>),
    period: Period,
) -> Reason {
    let next = readings.partition_point(|reading| policy.period_of(reading.at_ms - 1) < period);
    let neighbours = [readings.get(next), next.checked_sub(1).map(|before| &readings[before])];
    if neighbours.iter().flatten().any(|reading| corrected.contains(&reading.at_ms)) {
        return Reason::ReadingCorrected;
    }
    let bounds = neighbours.into_iter().flatten().next();
    let is_late = |reading: &Reading| is_settled(policy, tick, policy.period_of(reading.at_ms - 1));
    if bounds.is_some_and(is_late) { Reason::ReadingLate } else { Reason::GapClosed }
}
