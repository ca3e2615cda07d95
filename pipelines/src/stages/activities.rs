//! Activities of business systems in, activity by period out: a quantity spread over a stretch of time.
//!
//! The same protocol as metering, without a meter's rules: stash by tick, close ticks in order, resolve each
//! activity id by `claims`, hand out the difference alone, forget what has left the horizon.
//!
//! A recall may take what came as a duplicate: what said more lies below the horizon, and hindsight lets go of it. Then
//! it is told as booked. *Else a ledger would hold what `activity_data` does not, and nobody could compute it again.*
//!
//! State: one entry an activity id whose stretch reaches into `retain`, and one a record that was told since the
//! horizon moved last.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use differential_dataflow::consolidation::consolidate;
use timely::dataflow::Stream;
use timely::dataflow::channels::pact::Exchange;
use timely::dataflow::operators::generic::OutputBuilder;
use timely::dataflow::operators::generic::builder_rc::OperatorBuilder;
use timely::dataflow::operators::{Capability, InputCapability};

use super::causes::Causes;
use super::claims::{Claims, Verdict};
use super::horizon::Moves;
use super::metering::{Metered, Options, Piece, Piece1, Stretch};
use super::notice::{Notice, Tally};
use crate::model::{
    ActivityDataEntry, ActivityKey, ActivityRecord, Arrival, Cause, Decimal, Id, Measure, Outcome,
    PendingCause, PendingEntry, Period, Policy, Quality, Reason, Record, RejectEvent, Subject,
    Tick, Unit,
};
use crate::stages::recall::Recall;

/// What an activity says of itself.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct Said {
    /// The node it is booked to.
    pub node: Id,
    /// Its factor.
    pub factor: Id,
    /// `[from_ms, to_ms)`.
    pub from_ms: i64,
    /// See `from_ms`.
    pub to_ms: i64,
    /// The number as sent.
    pub number: Decimal,
    /// Its unit.
    pub unit: Unit,
}

impl Said {
    /// What the record says; `None` where it withdraws.
    #[must_use]
    pub fn of(record: &ActivityRecord) -> Option<Self> {
        let ActivityRecord { node, factor, from_ms, to_ms, unit, .. } = *record;
        record.value.map(|number| Self { node, factor, from_ms, to_ms, number, unit })
    }

    /// Its pieces, from the period `first` on. An amount out of range books nothing: it was refused.
    pub fn pieces(
        &self,
        activity: Id,
        (policy, first): (&Policy, Period),
        give: &mut impl FnMut(Piece),
    ) {
        let Ok(amount) = self.unit.amount(self.number, Decimal::ONE) else { return };
        let Self { node, factor, from_ms, to_ms, .. } = *self;
        let (subject, unit) = (Subject::Activity(activity), self.unit.base());
        Stretch { from_ms, to_ms, amount, readings: 1 }.split(policy, first, |period, measure| {
            give(((ActivityKey { period, node, subject, unit, factor }, 0), measure));
        });
    }
}

/// What has arrived at a tick that has not closed yet, and the capabilities of both outputs.
struct Stash {
    capabilities: [Capability<Tick>; 2],
    records: Vec<ActivityRecord>,
    recalls: Vec<Recall>,
}

fn stashed<'a>(
    stash: &'a mut BTreeMap<Tick, Stash>,
    capability: &InputCapability<Tick>,
) -> &'a mut Stash {
    let tick = *capability.time();
    stash.entry(tick).or_insert_with(|| Stash {
        capabilities: [capability.delayed(&tick, 0), capability.delayed(&tick, 1)],
        records: Vec::new(),
        recalls: Vec::new(),
    })
}

/// Books activities. See the module's documentation.
#[must_use]
pub(crate) fn activities<'scope>(
    records: Stream<'scope, Tick, Vec<ActivityRecord>>,
    recalls: Stream<'scope, Tick, Vec<Recall>>,
    (options, causes): (Arc<Options>, Causes),
) -> Metered<'scope> {
    let mut builder = OperatorBuilder::new("Activities".to_owned(), records.scope());
    let pact = Exchange::new(|record: &ActivityRecord| u64::from(record.activity.0));
    let mut records = builder.new_input(records, pact);
    let pact = Exchange::new(|recall: &Recall| u64::from(recall.subject.id().0));
    let mut recalls = builder.new_input(recalls, pact);
    let (output, activity) = builder.new_output::<Vec<(Piece1, Tick, Measure)>>();
    let mut activity_out = OutputBuilder::from(output);
    let (output, notices) = builder.new_output::<Vec<(Tick, Notice)>>();
    let mut notices_out = OutputBuilder::from(output);

    builder.build(move |initial| {
        let mut moves = Moves::new(&options.policy, options.restored, &initial);
        drop(initial);
        let mut book = Book::new(options, causes);
        let mut stash: BTreeMap<Tick, Stash> = BTreeMap::new();
        move |frontiers| {
            records.for_each(|capability, batch| {
                stashed(&mut stash, &capability).records.append(batch);
            });
            recalls.for_each(|capability, batch| {
                stashed(&mut stash, &capability).recalls.append(batch);
            });
            let (mut activity_out, mut notices_out) =
                (activity_out.activate(), notices_out.activate());
            let mut give = |[activity, notices]: &[Capability<Tick>; 2], tick, (pieces, told)| {
                let (pieces, told): (Vec<Piece>, Vec<Notice>) = (pieces, told);
                let mut session = activity_out.session(activity);
                session.give_iterator(pieces.into_iter().map(|(key, m)| (key, tick, m)));
                let mut session = notices_out.session(notices);
                session.give_iterator(told.into_iter().map(|notice| (tick, notice)));
            };
            loop {
                let is_open = |tick: &Tick| frontiers.iter().any(|input| input.less_equal(tick));
                let stashed = stash.first_entry().filter(|entry| !is_open(entry.key()));
                let first = stashed.as_ref().map(|entry| *entry.key());
                let due = moves.due(frontiers, first);
                match (stashed, due) {
                    (_, Some(tick)) => {
                        give(moves.held(), tick, book.close(tick, Vec::new()));
                        moves.passed();
                    }
                    (Some(stashed), None) => {
                        let (tick, stash) = stashed.remove_entry();
                        let Stash { capabilities, records, recalls } = stash;
                        give(&capabilities, tick, book.close(tick, records));
                        give(&capabilities, tick, book.recall(tick, &recalls));
                    }
                    (None, None) => break,
                }
            }
        }
    });
    Metered { activity, notices }
}

/// A claim about an activity as a record. Of a withdrawal nothing is read but its version.
fn kept(activity: Id, version: u32, said: Option<&Said>) -> ActivityRecord {
    let nothing = Said {
        node: Id::NONE,
        factor: Id::NONE,
        from_ms: 0,
        to_ms: 0,
        number: Decimal::ZERO,
        unit: Unit::all().next().expect("the table has units"),
    };
    let Said { node, factor, from_ms, to_ms, number, unit } = *said.unwrap_or(&nothing);
    ActivityRecord {
        activity,
        node,
        factor,
        from_ms,
        to_ms,
        value: said.map(|_| number),
        unit,
        version,
        quality: Quality::default(),
        arrival: Arrival::default(),
    }
}

/// All activities of one worker.
#[derive(Debug)]
pub(crate) struct Book {
    options: Arc<Options>,
    claims: BTreeMap<Id, Claims<Said>>,
    /// Records of which `activity_data` was told since the horizon moved last. A restatement knows all that came before.
    told: BTreeSet<Arrival>,
    first: Period,
    causes: Causes,
}

impl Book {
    /// None yet.
    pub(crate) fn new(options: Arc<Options>, causes: Causes) -> Self {
        let (claims, told, first) = (BTreeMap::new(), BTreeSet::new(), Period::default());
        Self { options, claims, told, first, causes }
    }

    /// Closes a tick: the activity it changes, and what became of its records.
    pub(crate) fn close(
        &mut self,
        tick: Tick,
        mut records: Vec<ActivityRecord>,
    ) -> (Vec<Piece>, Vec<Notice>) {
        let (mut pieces, mut notices, mut tally) = (Vec::new(), Vec::new(), Tally::default());
        self.move_horizon(tick, &mut pieces, &mut notices);
        let is_kept = tick.is(Cause::Kept);
        records.sort_by_key(|record| (record.activity, record.arrival));
        for record in &records {
            let old =
                self.claims.get(&record.activity).and_then(|claims| claims.current().copied());
            let is_known = self.claims.contains_key(&record.activity);
            let known = pieces.len();
            let outcome = match self.refusal(record).filter(|_| !is_kept) {
                None => self.take(record, &mut pieces),
                Some((event, why)) => {
                    let ActivityRecord { activity: meter, from_ms: at_ms, arrival, .. } = *record;
                    let why = Some(why);
                    notices.push(Notice::Waiting { event, meter, at_ms, arrival, why });
                    match event {
                        RejectEvent::Parked => Outcome::Parked,
                        RejectEvent::Rejected | RejectEvent::Resolved => Outcome::Rejected,
                    }
                }
            };
            let reason = if is_known { Reason::ReadingCorrected } else { Reason::ReadingLate };
            for ((key, _), _) in &pieces[known..] {
                let settles_ms = self.options.policy.settles_ms(key.period);
                self.causes.note(tick, settles_ms, *key, reason);
            }
            tally.count(record.arrival.source, outcome);
            let is_accepted = matches!(outcome, Outcome::Booked | Outcome::Parked);
            // Of one that is forgotten nobody here knows whether it is taken back for the first time.
            let is_told = is_accepted || record.value.is_none();
            if is_told && !is_kept {
                // What it takes back, or corrects, changes too: also what is forgotten.
                let about = (PendingCause::Activities, record.activity);
                let is_correction = record.value.is_none() || record.version > 0;
                let horizon_ms = self.first.start_ms(self.options.policy.period_ms);
                let forgotten =
                    (old.is_none() && is_correction).then_some((horizon_ms - 1, horizon_ms));
                let said = old.into_iter().chain(Said::of(record));
                let stretches = said.map(|Said { from_ms, to_ms, .. }| (from_ms, to_ms));
                for stretch in stretches.chain(forgotten) {
                    let pending = PendingEntry::of(&self.options.policy, about, stretch, tick.ms());
                    notices.extend(pending.map(Notice::Pending));
                }
            }
            // A refused one is refused for good: nothing cures what it says of itself.
            if is_told && !is_kept && self.options.keep_readings {
                self.told.insert(record.arrival);
                let (record, received_ms) = (record.clone(), tick.ms());
                let entry = ActivityDataEntry { record, received_ms, outcome };
                notices.push(Notice::ActivityData(entry));
            }
        }
        if !tally.is_empty() {
            notices.push(Notice::Tally(tally));
        }
        consolidate(&mut pieces);
        (pieces, notices)
    }

    /// Replaces what is known of activities; hands out what that changes, and what is booked now that was not.
    pub(crate) fn recall(&mut self, tick: Tick, recalls: &[Recall]) -> (Vec<Piece>, Vec<Notice>) {
        let (mut pieces, mut notices) = (Vec::new(), Vec::new());
        let place = (&self.options.policy, self.first);
        for Recall { subject, records } in recalls {
            let id = subject.id();
            let old = self.claims.remove(&id);
            if let Some(old) = old.as_ref().and_then(Claims::current) {
                old.pieces(id, place, &mut |(key, m)| pieces.push((key, m.negated())));
            }
            let mut claims: Option<Claims<Said>> = None;
            for record in records {
                let Record::Activity(record) = record else { continue };
                let said = Said::of(record);
                let verdict = match &mut claims {
                    None => {
                        claims = Some(Claims::first(record.version, said));
                        Verdict::Accepted
                    }
                    Some(claims) => claims.offer(record.version, said),
                };
                if verdict == Verdict::Accepted && self.is_untold(record) {
                    self.told.insert(record.arrival);
                    let (record, received_ms) = (record.clone(), tick.ms());
                    let outcome = Outcome::Booked;
                    let entry = ActivityDataEntry { record, received_ms, outcome };
                    notices.push(Notice::ActivityData(entry));
                }
            }
            if let Some(new) = claims.as_ref().and_then(Claims::current) {
                new.pieces(id, place, &mut |piece| pieces.push(piece));
            }
            self.claims.extend(claims.map(|claims| (id, claims)));
        }
        consolidate(&mut pieces);
        (pieces, notices)
    }

    /// Whether a recalled record was said since what is recalled was known (what was kept says no more where it came
    /// from), and has not been told: it came as a duplicate.
    fn is_untold(&self, record: &ActivityRecord) -> bool {
        let is_kept = record.arrival == Arrival::default();
        self.options.keep_readings && !is_kept && !self.told.contains(&record.arrival)
    }

    fn refusal(&self, record: &ActivityRecord) -> Option<(RejectEvent, String)> {
        // A withdrawal need not say what it takes back.
        let value = record.value?;
        if self.options.policy.period_of(record.to_ms - 1) < self.first {
            let why = "older than retain: not booked".to_owned();
            return Some((RejectEvent::Parked, why));
        }
        let error = record.unit.amount(value, Decimal::ONE).err()?;
        Some((RejectEvent::Rejected, error.to_string()))
    }

    fn take(&mut self, record: &ActivityRecord, pieces: &mut Vec<Piece>) -> Outcome {
        let said = Said::of(record);
        let (old, new) = match self.claims.get_mut(&record.activity) {
            None => {
                self.claims.insert(record.activity, Claims::first(record.version, said));
                (None, said)
            }
            Some(claims) => {
                let old = claims.current().copied();
                if claims.offer(record.version, said) == Verdict::Duplicate {
                    return Outcome::Duplicate;
                }
                (old, said)
            }
        };
        let place = (&self.options.policy, self.first);
        if let Some(old) = old {
            old.pieces(record.activity, place, &mut |(key, m)| pieces.push((key, m.negated())));
        }
        if let Some(new) = new {
            new.pieces(record.activity, place, &mut |piece| pieces.push(piece));
        }
        Outcome::Booked
    }

    /// Takes back what has fallen below the horizon, to free the state downstream, and forgets activities
    /// that lie below it altogether.
    fn move_horizon(&mut self, tick: Tick, pieces: &mut Vec<Piece>, notices: &mut Vec<Notice>) {
        let policy = &self.options.policy;
        let (old_first, first) = (self.first, self.options.horizon(tick));
        if first <= old_first {
            return;
        }
        self.first = first;
        self.told.clear();
        self.claims.retain(|activity, claims| {
            let Some(said) = claims.current() else { return true };
            said.pieces(*activity, (policy, old_first), &mut |((key, hold), measure)| {
                if key.period < first {
                    pieces.push(((key, hold), measure.negated()));
                }
            });
            policy.period_of(said.to_ms - 1) >= first
        });
        for (&activity, claims) in &self.claims {
            let records =
                claims.offers().into_iter().map(|(version, said)| kept(activity, version, said));
            notices.extend(records.map(|record| Notice::Kept(Record::Activity(record))));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Calendar, GwpSet, Retain};
    use crate::stages::notice::Notice;

    const HOUR_MS: i64 = 3_600_000;

    fn book() -> Book {
        let policy = Policy {
            period_ms: HOUR_MS,
            grace_ms: HOUR_MS,
            retain: Retain::of(48 * HOUR_MS),
            samples_ms: 48 * HOUR_MS,
            windows_ms: Vec::new(),
            calendar: Calendar::default(),
            gwp: GwpSet::Ar6,
        };
        let options =
            Options { policy, keep_readings: true, restored: Tick::ZERO, tells_heard: false };
        Book::new(Arc::new(options), Causes::default())
    }

    fn said(version: u32, value: Option<i128>, index: u64) -> ActivityRecord {
        let said = Said {
            node: Id(1),
            factor: Id(2),
            from_ms: 1000 * HOUR_MS,
            to_ms: 1001 * HOUR_MS,
            number: Decimal::new(value.unwrap_or(0), 0),
            unit: Unit::all().next().expect("the table has units"),
        };
        let arrival = Arrival { index, ..Arrival::default() };
        ActivityRecord { arrival, ..kept(Id(7), version, value.is_some().then_some(&said)) }
    }

    fn told(notices: &[Notice]) -> Vec<(u32, Outcome, i64)> {
        let row = |notice: &Notice| match notice {
            Notice::ActivityData(row) => Some((row.record.version, row.outcome, row.received_ms)),
            _ => None,
        };
        notices.iter().filter_map(row).collect()
    }

    #[test]
    fn what_is_recalled_though_it_came_as_a_duplicate_is_told_once() {
        let (mut book, at) = (book(), |hour| Tick::new(hour * HOUR_MS, Cause::Readings));
        let (_, notices) = book.close(at(1002), vec![said(1, None, 1)]);
        assert_eq!(told(&notices), [(1, Outcome::Booked, 1002 * HOUR_MS)]);
        let older = said(0, Some(5), 2);
        let (pieces, notices) = book.close(at(1003), vec![older.clone()]);
        assert!(pieces.is_empty() && told(&notices).is_empty(), "a newer version is withdrawn");
        let recall = |record: &ActivityRecord| {
            let records = vec![Record::Activity(record.clone())];
            [Recall { subject: Subject::Activity(Id(7)), records }]
        };
        // Hindsight has let go of what lies below the horizon by now.
        let (pieces, notices) = book.recall(at(1004), &recall(&older));
        assert_eq!((pieces.len(), told(&notices)), (1, vec![(0, Outcome::Booked, 1004 * HOUR_MS)]));
        let (pieces, notices) = book.recall(at(1005), &recall(&older));
        assert!(pieces.is_empty() && notices.is_empty(), "nothing changes, and it is told");
        // What was kept from before says no more where it came from.
        let plain = ActivityRecord { arrival: Arrival::default(), ..said(0, Some(6), 3) };
        let (pieces, notices) = book.recall(at(1006), &recall(&plain));
        assert_eq!((pieces.len(), told(&notices)), (1, Vec::new()));
    }
}
