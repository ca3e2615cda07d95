//! Why what was heard of a meter or an activity changes what is booked below the horizon: by the rules of the live
//! dataflow, of everything that came since a period was booked as of one tick.
//!
//! | what came since | reason |
//! |---|---|
//! | a value, or a withdrawal, for an instant or an activity that had one | `reading_corrected` |
//! | a value of a period that had settled when it came | `reading_late` |
//! | a value that was on time itself, of a register or power that was silent before | `gap_closed` |
//!
//! A value of an interval that says how long it is stands for its own periods; any other bounds the spans before and
//! after it. So the values that count are those in a period and the two around it, known or new: the next one goes before
//! the last, a correction before what is late, and that before a gap.
//!
//! What repeats what holds, or is of an older version, says nothing new.
//!
//! Not told: where none of those is new; where a row of the meter was learned since, too; and of emissions, where rates were. *Where several causes
//! meet, a single entry has them all, and says `restated`.*

use std::collections::BTreeMap;

use plumeline_pipelines::model::{Fact, Id, Period, Policy, Reading, Reason, Record, Subject};
use plumeline_pipelines::reference::Told;
use plumeline_pipelines::stages::activities::Said;
use plumeline_pipelines::stages::metering::{Rows, Value, stretch};

use super::reasons::History;

/// A record, and the instant at which it came, ms.
pub(super) type Received = (i64, Record);

/// What was said.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
enum What {
    Value(Value),
    Activity(Said),
}

/// Something that was said of a meter or an activity.
#[derive(Copy, Clone, Debug)]
struct Saying {
    /// Of a meter, the instant it is about; all that is said of an activity is about one thing.
    at_ms: i64,
    received_ms: i64,
    version: u32,
    /// `None` takes back.
    what: Option<What>,
}

impl Saying {
    fn of((received_ms, record): &Received) -> Self {
        let (at_ms, version, what) = match record {
            Record::Reading(reading) => {
                let Reading { at_ms, unit, from_ms, version, .. } = *reading;
                let value = reading.value.map(|number| Value { number, unit, from_ms });
                (at_ms, version, value.map(What::Value))
            }
            Record::Activity(record) => (0, record.version, Said::of(record).map(What::Activity)),
        };
        Self { at_ms, received_ms: *received_ms, version, what }
    }

    fn begins_ms(&self) -> Option<i64> {
        match self.what {
            Some(What::Value(value)) => value.from_ms,
            _ => None,
        }
    }
}

/// See the module's documentation.
#[derive(Debug)]
pub(super) struct Heard {
    /// In the order of their instants, and then as they came.
    sayings: BTreeMap<Subject, Vec<Saying>>,
    rows: BTreeMap<Id, Rows>,
}

impl Heard {
    /// Of these records, all that there are of their subjects, and the `facts` that hold.
    pub(super) fn of(records: &[Received], facts: &BTreeMap<Fact, i64>) -> Self {
        let mut sayings: BTreeMap<Subject, Vec<Saying>> = BTreeMap::new();
        for received in records {
            sayings.entry(received.1.subject()).or_default().push(Saying::of(received));
        }
        for of_subject in sayings.values_mut() {
            of_subject.sort_by_key(|saying| (saying.at_ms, saying.received_ms));
        }
        let mut rows: BTreeMap<Id, Rows> = BTreeMap::new();
        for (fact, count) in facts {
            if let Fact::Meter(row) = fact
                && *count > 0
                && sayings.contains_key(&Subject::Meter(row.meter))
            {
                rows.entry(row.meter).or_default().update(row, 1);
            }
        }
        Self { sayings, rows }
    }

    /// What was said of activities of business systems: when it came, and from when to when they are, ms.
    pub(super) fn activities(&self) -> impl Iterator<Item = (i64, (i64, i64))> {
        self.sayings.values().flatten().filter_map(|saying| match saying.what? {
            What::Activity(said) => Some((saying.received_ms, (said.from_ms, said.to_ms))),
            What::Value(_) => None,
        })
    }

    /// Why what is booked of `subject` changes in `period`; of its emissions, if also `rates` may have. `None` where that is
    /// not known.
    pub(super) fn reason(
        &self,
        (subject, period): (Subject, Period),
        (policy, history): (&Policy, &History),
        rates: bool,
    ) -> Option<Reason> {
        let sayings = self.sayings.get(&subject)?;
        if rates && history.has_learned_of_rates(policy, period) {
            return None;
        }
        let then_ms = history.booked_by_ms(policy, period);
        match subject {
            Subject::Meter(meter) if history.has_learned_of_meter(meter, policy, period) => None,
            Subject::Meter(meter) => {
                self.reason_of_meter((meter, sayings), (period, then_ms), policy)
            }
            Subject::Activity(_) => why(sayings, then_ms, policy),
            Subject::Contract(_) | Subject::Uncovered(_) => None,
        }
    }

    /// The reason of a period by the values in it and next to it.
    fn reason_of_meter(
        &self,
        (meter, sayings): (Id, &[Saying]),
        (period, then_ms): (Period, i64),
        policy: &Policy,
    ) -> Option<Reason> {
        let none = Rows::default();
        let rows = self.rows.get(&meter).unwrap_or(&none);
        let (start_ms, end_ms) =
            (period.start_ms(policy.period_ms), period.end_ms(policy.period_ms));
        let next = sayings.partition_point(|saying| saying.at_ms <= start_ms);
        let (before, after) = sayings.split_at(next);
        let is_of = |saying: &Saying| {
            let stretch = stretch(rows, saying.at_ms, saying.begins_ms());
            stretch.is_none_or(|(from_ms, to_ms)| from_ms < end_ms && start_ms < to_ms)
        };
        let last = before
            .last()
            .map_or(0, |last| before.partition_point(|saying| saying.at_ms < last.at_ms));
        // Those within the period, and the first one at its end or after it.
        let inside = after.partition_point(|saying| saying.at_ms < end_ms);
        let first_ms = after.get(inside).map_or(end_ms, |saying| saying.at_ms);
        let after = after.chunk_by(|a, b| a.at_ms == b.at_ms);
        let after = after.take_while(|of| of[0].at_ms <= first_ms);
        let why = |of: &[Saying]| why(of, then_ms, policy).filter(|_| of.iter().any(is_of));
        let (before, after) = (why(&before[last..]), after.filter_map(why).reduce(first_of));
        if before == Some(Reason::ReadingCorrected) { before } else { after.or(before) }
    }
}

/// What came of one instant, or one activity, after it was known what is booked; `None` if that says nothing else.
fn why(of_one: &[Saying], then_ms: i64, policy: &Policy) -> Option<Reason> {
    let mut told = Told::default();
    let known = of_one.iter().take_while(|saying| saying.received_ms <= then_ms).count();
    for saying in &of_one[..known] {
        told.take(saying.version, saying.what);
    }
    let before = told.holds();
    for saying in &of_one[known..] {
        told.take(saying.version, saying.what);
    }
    if told.holds() == before {
        return None;
    }
    if known > 0 {
        return Some(Reason::ReadingCorrected);
    }
    let news = of_one.first()?;
    let end_ms = match told.holds() {
        Some(What::Activity(said)) => said.to_ms,
        _ => news.at_ms,
    };
    let settles_ms = policy.settles_ms(policy.period_of(end_ms - 1));
    Some(if news.received_ms >= settles_ms { Reason::ReadingLate } else { Reason::GapClosed })
}

/// Which of two reasons a period has: a correction goes before what is late, and that before a gap.
fn first_of(a: Reason, b: Reason) -> Reason {
    let order = [Reason::ReadingCorrected, Reason::ReadingLate];
    order.into_iter().find(|reason| [a, b].contains(reason)).unwrap_or(a)
}

#[cfg(test)]
#[path = "heard_tests.rs"]
mod tests;
