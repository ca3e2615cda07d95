//! Readings and meter rows in, activity by (meter, period) out. The one stage with rich state.
//!
//! ```text
//! readings ──by meter──┐
//! meters ───by meter───┼─▶ metering ─┬─▶ activity: ((key, held until), tick, measure)
//! recalls ──by meter───┘             └─▶ notices: what became of each reading
//! ```
//!
//! 1. Stash what arrives by its tick. *Otherwise the order in which workers happen to deliver would show.*
//! 2. When both frontiers have passed a tick, take its changes, ticks in order: rows first, then readings
//!    sorted by (meter, instant, arrival). *So batching and the number of workers cannot matter.*
//! 3. For each meter walk old and new values side by side and hand out the difference alone (`meter`).
//!    *So downstream sees one small update an active meter-period and tick.* Tell when it was last heard of, where
//!    that has changed by a period ([`newest`]).
//! 4. When the horizon has moved, take back what lies below it and forget it; tell what is kept of it. *So
//!    that memory is bounded, and a restart need not know what was forgotten.*
//! 5. A recall replaces what is known from before the horizon, once somebody has computed it from everything that
//!    was ever said ([`crate::hindsight`]). *A late reading from below the horizon may be the baseline of one
//!    above it.*
//!
//! State: 16 bytes a value inside `retain`, more for corrected ones; the last value of every meter for ever,
//! so that a quarterly register still has its baseline.
//!
//! Rejected: a differential `reduce` over the values of a meter. It would hold each value in an arrangement
//! (over 80 bytes) and re-read a whole day of them for each new one.

pub mod changes;
pub mod meter;
pub mod newest;
pub mod pieces;
pub mod rows;
pub mod samples;
pub mod spans;
mod told;
mod why;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;

use differential_dataflow::consolidation::{consolidate, consolidate_slice};
use differential_dataflow::difference::{IsZero, Semigroup};
use timely::dataflow::Stream;
use timely::dataflow::channels::pact::Exchange;
use timely::dataflow::operators::generic::builder_rc::OperatorBuilder;
use timely::dataflow::operators::{Capability, InputCapability};

pub use changes::Changes;
pub use meter::{Booking, Meter, Offered};
pub use newest::Newest;
pub use pieces::{Piece, Stretch, book_span};
pub use rows::Rows;
pub use spans::{Scan, Span, Unusable, Value, stretch, usable};

use self::told::Told;
use super::causes::Causes;
use super::horizon::Moves;
use super::notice::Notice;
use crate::model::{
    ActivityKey, Cause, Id, Measure, MeterRow, Outcome, Period, Policy, Reading, Record,
    RejectEvent, Tick,
};
use crate::stages::recall::Recall;

/// What metering hands out.
#[derive(Clone, Debug)]
pub struct Metered<'scope> {
    /// `((key, held until ms), tick, measure)`.
    pub activity: Stream<'scope, Tick, Vec<(Piece1, Tick, Measure)>>,
    /// What became of the readings, and rows for `readings` and `rejects`.
    pub notices: Stream<'scope, Tick, Vec<(Tick, Notice)>>,
}

/// A key and the instant an open hold counts from.
pub type Piece1 = (ActivityKey, i64);

/// How the stage behaves.
#[derive(Clone, Debug)]
pub struct Options {
    /// Periods, grace, horizon.
    pub policy: Policy,
    /// Whether accepted readings are handed out for the table `readings`.
    pub keep_readings: bool,
    /// At a restart: the newest tick of what is restored. The horizon is that of no earlier tick.
    pub restored: Tick,
    /// Whether it is told when meters were last heard of: what is computed in hindsight has no live series.
    pub tells_heard: bool,
}

impl Options {
    /// The first period that is restated at `tick`.
    #[must_use]
    pub fn horizon(&self, tick: Tick) -> Period {
        self.policy.horizon(tick.max(self.restored))
    }
}

/// Measures activity. See the module's documentation.
#[must_use]
pub(crate) fn metering<'scope>(
    readings: Stream<'scope, Tick, Vec<Reading>>,
    rows: Stream<'scope, Tick, Vec<(MeterRow, Tick, i64)>>,
    recalls: Stream<'scope, Tick, Vec<Recall>>,
    (options, causes): (Arc<Options>, Causes),
) -> Metered<'scope> {
    let mut builder = OperatorBuilder::new("Metering".to_owned(), readings.scope());
    let mut readings = builder.new_input(readings, Exchange::new(|r: &Reading| by_meter(r.meter)));
    let mut rows =
        builder.new_input(rows, Exchange::new(|(r, _, _): &(MeterRow, _, _)| by_meter(r.meter)));
    let mut recalls =
        builder.new_input(recalls, Exchange::new(|recall: &Recall| by_meter(recall.subject.id())));
    let (output, activity) = builder.new_output::<Vec<(Piece1, Tick, Measure)>>();
    let mut activity_out = timely::dataflow::operators::generic::OutputBuilder::from(output);
    let (output, notices) = builder.new_output::<Vec<(Tick, Notice)>>();
    let mut notices_out = timely::dataflow::operators::generic::OutputBuilder::from(output);

    builder.build(move |initial| {
        let mut moves = Moves::new(&options.policy, options.restored, &initial);
        drop(initial);
        let mut meters = Meters::noting(options, causes);
        let mut stash: BTreeMap<Tick, Stash> = BTreeMap::new();
        move |frontiers| {
            // STEP 1: stash by tick.
            readings.for_each(|capability, batch| {
                let stashed = stashed(&mut stash, &capability);
                stashed.readings.append(batch);
            });
            rows.for_each(|capability, batch| {
                for (row, tick, diff) in batch.drain(..) {
                    stashed_at(&mut stash, &capability, tick).rows.push((row, diff));
                }
            });
            recalls.for_each(|capability, batch| {
                stashed(&mut stash, &capability).recalls.append(batch);
            });
            // STEP 2: ticks that all inputs have passed, and STEP 4 between them.
            let (mut activity_out, mut notices_out) =
                (activity_out.activate(), notices_out.activate());
            let closed = |tick: &Tick| !frontiers.iter().any(|input| input.less_equal(tick));
            let mut give = |[activity, notices]: &[Capability<Tick>; 2], tick, (pieces, told)| {
                let (pieces, told): (Vec<Piece>, Vec<Notice>) = (pieces, told);
                let mut session = activity_out.session(activity);
                session
                    .give_iterator(pieces.into_iter().map(|(key, measure)| (key, tick, measure)));
                let mut session = notices_out.session(notices);
                session.give_iterator(told.into_iter().map(|notice| (tick, notice)));
            };
            loop {
                let stashed = stash.first_entry().filter(|entry| closed(entry.key()));
                let first = stashed.as_ref().map(|entry| *entry.key());
                let due = moves.due(frontiers, first);
                match (stashed, due) {
                    (_, Some(tick)) => {
                        give(moves.held(), tick, meters.close(tick, Vec::new(), Vec::new()));
                        moves.passed();
                    }
                    (Some(stashed), None) => {
                        let (tick, stash) = stashed.remove_entry();
                        let Stash { capabilities, readings, rows, recalls } = stash;
                        give(&capabilities, tick, meters.close(tick, readings, rows));
                        // STEP 5.
                        give(&capabilities, tick, meters.recall(&recalls));
                    }
                    (None, None) => break,
                }
            }
        }
    });
    Metered { activity, notices }
}

/// Exchange key of a meter. Ids are dense, so they spread by themselves.
fn by_meter(meter: Id) -> u64 {
    u64::from(meter.0)
}

/// The changes of a tick that has not closed yet.
struct Stash {
    capabilities: [Capability<Tick>; 2],
    readings: Vec<Reading>,
    rows: Vec<(MeterRow, i64)>,
    recalls: Vec<Recall>,
}

fn stashed<'a>(
    stash: &'a mut BTreeMap<Tick, Stash>,
    capability: &InputCapability<Tick>,
) -> &'a mut Stash {
    let tick = *capability.time();
    stashed_at(stash, capability, tick)
}

fn stashed_at<'a>(
    stash: &'a mut BTreeMap<Tick, Stash>,
    capability: &InputCapability<Tick>,
    tick: Tick,
) -> &'a mut Stash {
    stash.entry(tick).or_insert_with(|| Stash {
        capabilities: [capability.delayed(&tick, 0), capability.delayed(&tick, 1)],
        readings: Vec::new(),
        rows: Vec::new(),
        recalls: Vec::new(),
    })
}

/// All meters of one worker.
#[derive(Debug)]
#[expect(
    clippy::disallowed_types,
    clippy::struct_field_names,
    reason = "looked up by id; a tick's meters are sorted first. There is no better word for them"
)]
pub struct Meters {
    options: Arc<Options>,
    meters: std::collections::HashMap<Id, Meter>,
    first: Period,
    changes: Changes,
    causes: Causes,
}

impl Meters {
    /// None yet.
    #[must_use]
    pub fn new(options: Arc<Options>) -> Self {
        Self::noting(options, Causes::default())
    }

    /// None yet; why settled periods change is noted in `causes`.
    pub(crate) fn noting(options: Arc<Options>, causes: Causes) -> Self {
        Self {
            options,
            causes,
            meters: <_>::default(),
            first: Period::default(),
            changes: Changes::default(),
        }
    }

    /// Closes a tick: the activity it changes, consolidated, and what became of its readings.
    pub fn close(
        &mut self,
        tick: Tick,
        mut readings: Vec<Reading>,
        mut rows: Vec<(MeterRow, i64)>,
    ) -> (Vec<Piece>, Vec<Notice>) {
        let mut pieces = Vec::new();
        let mut told = Told::at(tick.ms());
        self.move_horizon(tick, &mut pieces, &mut told);
        // A row that came and went within the tick was never there.
        consolidate(&mut rows);
        rows.sort_by(|a, b| (a.0.meter, a.1, &a.0).cmp(&(b.0.meter, b.1, &b.0)));
        for group in rows.chunk_by(|a, b| a.0.meter == b.0.meter) {
            let known = pieces.len();
            self.change_rows(group, &mut pieces, &mut told);
            consolidate_from(&mut pieces, known);
            why::note_rows(&self.causes, &self.options.policy, tick, &pieces[known..]);
        }
        // What rows and the horizon moved may meet what readings move: then all is summed together.
        let is_mixed = !pieces.is_empty();
        readings.sort_unstable_by_key(|r| (r.meter, r.at_ms, r.arrival));
        let is_kept = tick.is(Cause::Kept);
        for group in readings.chunk_by(|a, b| a.meter == b.meter) {
            let known = pieces.len();
            self.changes.begin();
            self.take_readings(group, is_kept, &mut pieces, &mut told);
            consolidate_from(&mut pieces, known);
            let Some(meter) = self.meters.get(&group[0].meter) else { continue };
            let told = why::Told { readings: group, changes: &self.changes, rows: meter.rows() };
            why::note_readings(&self.causes, &self.options.policy, tick, told, &pieces[known..]);
        }
        if is_mixed {
            consolidate(&mut pieces);
        }
        (pieces, told.into_notices())
    }

    /// Replaces what is known of meters from before the horizon; hands out the activity that changes by it, and which
    /// of them were heard of in another period.
    pub fn recall(&mut self, recalls: &[Recall]) -> (Vec<Piece>, Vec<Notice>) {
        let (mut pieces, mut told) = (Vec::new(), Told::default());
        let horizon_ms = self.first.start_ms(self.options.policy.period_ms);
        for Recall { subject, records } in recalls {
            let readings: Vec<Reading> = records
                .iter()
                .filter_map(|record| match record {
                    Record::Reading(reading) => Some(reading.clone()),
                    Record::Activity(_) => None,
                })
                .collect();
            let id = subject.id();
            let mut meter = self.meters.remove(&id).unwrap_or_default();
            let (give, newest) = (&mut |piece| add(&mut pieces, piece), meter.newest());
            meter.recall(&readings, horizon_ms, self.booking(id), give);
            told.hear(id, (newest, meter.newest()), &self.options);
            if !meter.is_empty() {
                self.meters.insert(id, meter);
            }
        }
        consolidate(&mut pieces);
        (pieces, told.into_notices())
    }

    /// Values that wait for a row that fits.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.meters.values().map(Meter::waiting).sum()
    }

    fn booking(&self, meter: Id) -> Booking<'_> {
        Booking { meter, policy: &self.options.policy, first: self.first }
    }

    fn move_horizon(&mut self, tick: Tick, pieces: &mut Vec<Piece>, told: &mut Told) {
        let (old_first, first) = (self.first, self.options.horizon(tick));
        if first <= old_first {
            return;
        }
        self.first = first;
        for (&meter, state) in &mut self.meters {
            let booking = Booking { meter, policy: &self.options.policy, first };
            state.forget(old_first, booking, &mut |piece| pieces.push(piece));
        }
        self.meters.retain(|_, meter| !meter.is_empty());
        let horizon_ms = first.start_ms(self.options.policy.period_ms);
        let mut meters: Vec<_> = self.meters.iter().collect();
        meters.sort_unstable_by_key(|(id, _)| **id);
        for (&meter, state) in meters {
            let kept = &mut |reading| told.notices.push(Notice::Kept(Record::Reading(reading)));
            state.kept_until(meter, horizon_ms, kept);
        }
    }

    fn change_rows(
        &mut self,
        changed: &[(MeterRow, i64)],
        pieces: &mut Vec<Piece>,
        told: &mut Told,
    ) {
        let id = changed[0].0.meter;
        let mut meter = self.meters.remove(&id).unwrap_or_default();
        let newest = meter.newest();
        let cured = meter.change_rows(changed, self.booking(id), &mut |piece| pieces.push(piece));
        for (at_ms, arrival) in cured {
            told.notices.push(Notice::Waiting {
                event: RejectEvent::Resolved,
                meter: id,
                at_ms,
                arrival,
                why: None,
            });
        }
        told.hear(id, (newest, meter.newest()), &self.options);
        if !meter.is_empty() {
            self.meters.insert(id, meter);
        }
    }

    fn take_readings(
        &mut self,
        group: &[Reading],
        is_kept: bool,
        pieces: &mut Vec<Piece>,
        told: &mut Told,
    ) {
        let meter = group[0].meter;
        let Self { options, meters, first, changes, .. } = self;
        let (policy, keep) = (&options.policy, options.keep_readings);
        if !is_kept {
            told.reach(group, policy, first.start_ms(policy.period_ms));
        }
        let booking = Booking { meter, policy, first: *first };
        let state = meters.entry(meter).or_default();
        let newest = state.newest();
        let is_live = |reading: &Reading| is_kept || policy.period_of(reading.at_ms - 1) >= *first;
        if is_live(&group[0]) && state.is_news(group) {
            let tell = &mut |reading: &Reading, offered| told.take(reading, said(offered), keep);
            let since_ms = state.append(group, booking, tell, &mut |piece| add(pieces, piece));
            if !is_kept {
                told.reach_back(meter, since_ms, policy, first.start_ms(policy.period_ms));
            }
            if is_kept {
                state.stop_waiting_until(first.start_ms(policy.period_ms));
            }
            told.hear(meter, (newest, state.newest()), options);
            return;
        }
        for reading in group {
            let said = if is_live(reading) {
                let Reading { at_ms, from_ms, version, arrival, unit, .. } = *reading;
                let value = reading.value.map(|number| Value { number, unit, from_ms });
                said(state.offer(changes, (at_ms, version, value), arrival))
            } else {
                let why = "older than retain: kept in readings, not booked".to_owned();
                (Outcome::Parked, Some((RejectEvent::Parked, why)))
            };
            told.take(reading, said, keep);
        }
        state.apply(changes, booking, &mut |piece| add(pieces, piece));
        if is_kept {
            state.stop_waiting_until(first.start_ms(policy.period_ms));
        }
        told.hear(meter, (newest, state.newest()), options);
    }
}

/// Adds a piece to the last one where both are about the same key, as those of one meter mostly are.
fn add(pieces: &mut Vec<Piece>, (key, measure): Piece) {
    match pieces.last_mut() {
        Some((last, sum)) if *last == key => sum.plus_equals(&measure),
        _ => pieces.push((key, measure)),
    }
}

/// Consolidates the pieces from `first` on: those of one meter, which meet no other's.
fn consolidate_from(pieces: &mut Vec<Piece>, first: usize) {
    if let [.., (_, measure)] = &pieces[first..]
        && (pieces.len() > first + 1 || measure.is_zero())
    {
        let kept = consolidate_slice(&mut pieces[first..]);
        pieces.truncate(first + kept);
    }
}

/// A reading's outcome and, where it waits or is refused, the row that says why.
type Said = (Outcome, Option<(RejectEvent, String)>);

fn said(offered: Offered) -> Said {
    match offered {
        Offered::Booked => (Outcome::Booked, None),
        Offered::Duplicate => (Outcome::Duplicate, None),
        Offered::Waits(why @ Unusable::Unregistered) => {
            (Outcome::Parked, Some((RejectEvent::Parked, why.to_string())))
        }
        Offered::Waits(why) => (Outcome::Rejected, Some((RejectEvent::Rejected, why.to_string()))),
    }
}
