//! One meter: its rows, its values, and the difference that a change of either makes.
//!
//! A change is measured by walking the old and the new values side by side, from the last value before the
//! change that left the walk clean, until both walks agree again behind it:
//!
//! ```text
//! values   ──●──●──●──────●──●──●──●──▶     ● kept   ○ changed
//!                └ clean  ○
//! old walk       ────────────────▶ │
//! new walk       ─────────●──────▶ │ equal: stop
//! ```

use std::collections::BTreeMap;

use super::changes::{Change, Changes};
use super::newest::Newest;
use super::pieces::{Piece, book_span};
use super::rows::Rows;
use super::samples::Samples;
use super::spans::{Scan, Unusable, Value, same_position, usable};
use crate::model::{Arrival, Id, MeterRow, Period, Policy, Quality, Reading};
use crate::stages::claims::{Claims, Verdict};

/// A meter's state: about 16 bytes a value inside `retain`, and its rows.
#[derive(Debug, Default)]
pub struct Meter {
    rows: Rows,
    samples: Samples,
    /// Values that cannot be booked under the rows known now, and where each came from.
    waiting: BTreeMap<i64, Arrival>,
    newest: Newest,
}

/// What became of a reading offered to a meter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Offered {
    /// It holds and is booked.
    Booked,
    /// It was known, or outdated.
    Duplicate,
    /// It holds, but cannot be booked under the rows known now.
    Waits(Unusable),
}

/// Where and from when pieces are booked.
#[derive(Copy, Clone, Debug)]
pub struct Booking<'a> {
    /// The meter.
    pub meter: Id,
    /// Periods and grace.
    pub policy: &'a Policy,
    /// The first period that is still restated.
    pub first: Period,
}

impl Meter {
    /// Whether the meter is registered at all.
    #[must_use]
    pub fn is_registered(&self) -> bool {
        !self.rows.is_empty()
    }

    /// Its rows.
    #[must_use]
    pub fn rows(&self) -> &Rows {
        &self.rows
    }

    /// Values that wait for a row that fits.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// When it was last heard of.
    #[must_use]
    pub fn newest(&self) -> Newest {
        self.newest
    }

    /// Values kept.
    #[must_use]
    pub fn len(&self) -> usize {
        self.samples.len()
    }

    /// Whether nothing is kept.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.samples.is_empty() && self.rows.is_empty()
    }

    /// Whether the readings of a tick are all news: values without a version, later than all that is known,
    /// after a value that a walk can be resumed from. The ordinary case, which [`Self::append`] takes.
    #[must_use]
    pub fn is_news(&self, readings: &[Reading]) -> bool {
        let is_plain = |reading: &Reading| reading.version == 0 && reading.value.is_some();
        let in_order = readings.windows(2).all(|pair| pair[0].at_ms < pair[1].at_ms);
        let after_all = match (self.samples.last(), readings.first()) {
            (Some((at_ms, Some(_), clean)), Some(first)) => clean && at_ms < first.at_ms,
            (Some((_, None, _)), _) => false,
            (None, _) | (_, None) => true,
        };
        after_all && in_order && readings.iter().all(is_plain)
    }

    /// Takes in readings that are news, and books them: one walk, from the last value on. Says since when they tell
    /// what happened, ms: a register's first value after a long gap tells of all of it.
    pub fn append(
        &mut self,
        readings: &[Reading],
        booking: Booking<'_>,
        told: &mut impl FnMut(&Reading, Offered),
        give: &mut impl FnMut(Piece),
    ) -> i64 {
        let Self { rows, samples, waiting, newest } = self;
        let mut since_ms = i64::MAX;
        let mut scan = Scan::new(rows);
        if let Some((at_ms, Some(value), _)) = samples.last() {
            let changed_ms = changed_since(samples, rows, at_ms, &value);
            scan = Scan::resume(rows, at_ms, &value, changed_ms);
        }
        scan.clone().finish(&mut |span| give_span(-1, booking, rows, &span, give));
        for reading in readings {
            let Reading { at_ms, from_ms, unit, value: Some(number), .. } = *reading else {
                continue;
            };
            let value = Value { number, unit, from_ms };
            let taken = scan.take(at_ms, &value, &mut |span| {
                since_ms = since_ms.min(span.from_ms);
                give_span(1, booking, rows, &span, give);
            });
            samples.push(at_ms, value, matches!(taken, Ok(true)));
            let offered = match taken {
                Ok(_) => {
                    newest.hear(at_ms);
                    Offered::Booked
                }
                Err(why) => {
                    waiting.insert(at_ms, reading.arrival);
                    Offered::Waits(why)
                }
            };
            told(reading, offered);
        }
        scan.finish(&mut |span| give_span(1, booking, rows, &span, give));
        since_ms
    }

    /// Takes in a claim about an instant: readings of a tick are offered in the order of their instants.
    pub fn offer(
        &mut self,
        changes: &mut Changes,
        (at_ms, version, value): (i64, u32, Option<Value>),
        arrival: Arrival,
    ) -> Offered {
        if let Some(change) = changes.all.last_mut().filter(|change| change.at_ms == at_ms) {
            if change.claims.offer(version, value) == Verdict::Duplicate {
                return Offered::Duplicate;
            }
        } else {
            let known =
                if self.samples.is_after_all(at_ms) { None } else { self.samples.claims(at_ms) };
            let old = known.as_ref().and_then(|claims| claims.current().copied());
            let was_known = known.is_some();
            let claims = match known {
                None => Claims::first(version, value),
                Some(mut claims) => {
                    if claims.offer(version, value) == Verdict::Duplicate {
                        changes.repeated.insert(at_ms);
                        return Offered::Duplicate;
                    }
                    claims
                }
            };
            if was_known {
                changes.corrected.insert(at_ms);
                changes.repeated.remove(&at_ms);
            }
            changes.all.push(Change { at_ms, old, claims });
        }
        self.waiting.remove(&at_ms);
        match value.map(|value| usable(&self.rows, at_ms, &value)) {
            Some(Err(why)) => {
                self.waiting.insert(at_ms, arrival);
                Offered::Waits(why)
            }
            Some(Ok(())) | None => Offered::Booked,
        }
    }

    /// Puts the changes down and hands out what they change.
    pub fn apply(
        &mut self,
        changes: &mut Changes,
        booking: Booking<'_>,
        give: &mut impl FnMut(Piece),
    ) {
        let Some(first) = changes.all.first().map(|change| change.at_ms) else { return };
        let marks = {
            let mut walk = Walk::before(first, &self.samples, (&self.rows, &self.rows), booking);
            walk.run(&self.samples, &changes.all, give);
            walk.marks
        };
        let mut is_gone = false;
        for Change { at_ms, claims, .. } in changes.all.drain(..) {
            is_gone |= self.newest.change(at_ms, claims.current(), &self.rows);
            self.samples.put(at_ms, claims, false);
        }
        for (at_ms, clean) in marks {
            self.samples.mark(at_ms, clean);
        }
        if is_gone {
            self.newest = Newest::of(&self.rows, &self.samples);
        }
    }

    /// Replaces the rows and hands out what that changes, and which waiting values it cured.
    pub fn change_rows(
        &mut self,
        changed: &[(MeterRow, i64)],
        booking: Booking<'_>,
        give: &mut impl FnMut(Piece),
    ) -> Vec<(i64, Arrival)> {
        let old_rows = self.rows.clone();
        for (row, diff) in changed {
            self.rows.update(row, *diff);
        }
        if old_rows == self.rows {
            return Vec::new();
        }
        // Rows change rarely and may move pieces anywhere in a span: every value is walked again.
        let marks = {
            let mut walk = Walk::new((&old_rows, &self.rows), booking);
            walk.run(&self.samples, &[], give);
            walk.marks
        };
        for (at_ms, clean) in marks {
            self.samples.mark(at_ms, clean);
        }
        self.newest = Newest::of(&self.rows, &self.samples);
        self.settle_waiting()
    }

    /// Which values wait under the rows known now; hands out those that no longer do.
    fn settle_waiting(&mut self) -> Vec<(i64, Arrival)> {
        let cured: Vec<(i64, Arrival)> = self
            .waiting
            .iter()
            .filter(|(at_ms, _)| {
                let claims = self.samples.claims(**at_ms);
                let value = claims.as_ref().and_then(Claims::current);
                value.is_none_or(|value| usable(&self.rows, **at_ms, value).is_ok())
            })
            .map(|(at_ms, arrival)| (*at_ms, *arrival))
            .collect();
        for (at_ms, _) in &cured {
            self.waiting.remove(at_ms);
        }
        cured
    }

    /// Takes back the pieces of the periods before the new `booking.first`, and forgets the values that
    /// nothing later rests on. Downstream drops what is below the horizon: it only frees their state.
    pub fn forget(
        &mut self,
        old_first: Period,
        booking: Booking<'_>,
        give: &mut impl FnMut(Piece),
    ) {
        let Booking { meter, policy, first } = booking;
        let horizon_ms = first.start_ms(policy.period_ms);
        let longest_ms = self.rows.iter().filter_map(|row| row.interval_ms).max().unwrap_or(0);
        let mut scan = Scan::new(&self.rows);
        let mut take_back = |span: &super::spans::Span<'_>| {
            book_span((meter, &self.rows), span, (policy, old_first), |((key, hold), measure)| {
                if key.period < first {
                    give(((key, hold), measure.negated()));
                }
            });
        };
        let mut ended = true;
        for (at_ms, value) in self.samples.after(0, true) {
            scan.step(at_ms, &value, &mut |span| take_back(&span));
            // One value behind the horizon closes the last span that reaches below it; a register that is
            // unsure there needs the values that decide it.
            if at_ms >= horizon_ms + policy.period_ms && scan.is_clean() {
                ended = false;
                break;
            }
        }
        if ended {
            scan.finish(&mut |span| take_back(&span));
        }
        let baseline_ms = horizon_ms - longest_ms;
        let anchor = self.samples.before(baseline_ms).find(|(_, _, clean)| *clean);
        let first_kept = anchor.map_or(baseline_ms, |(at_ms, _, _)| at_ms);
        let changed_ms = anchor.map_or(first_kept, |(at_ms, value, _)| {
            changed_since(&self.samples, &self.rows, at_ms, &value)
        });
        self.samples.forget_before(first_kept, changed_ms);
        self.stop_waiting_until(horizon_ms);
    }

    /// Values up to `end_ms` wait for nothing any more: no fact can book them.
    pub fn stop_waiting_until(&mut self, end_ms: i64) {
        self.waiting = self.waiting.split_off(&(end_ms + 1));
    }

    /// Replaces what is known of the instants up to `end_ms` by `readings`, in the order in which
    /// [`Self::kept_until`] tells them, and hands out what that changes.
    pub fn recall(
        &mut self,
        readings: &[Reading],
        end_ms: i64,
        booking: Booking<'_>,
        give: &mut impl FnMut(Piece),
    ) {
        let Self { rows, samples, newest, .. } = self;
        let mut scan = Scan::new(rows);
        for (at_ms, value) in samples.after(0, true) {
            scan.step(at_ms, &value, &mut |span| give_span(-1, booking, rows, &span, give));
        }
        scan.finish(&mut |span| give_span(-1, booking, rows, &span, give));

        let mut recalled = Samples::default();
        for told in readings.chunk_by(|a, b| a.at_ms == b.at_ms) {
            let mut all: Option<Claims<Value>> = None;
            for Reading { value, unit, from_ms, version, .. } in told {
                let (unit, from_ms) = (*unit, *from_ms);
                let value = value.map(|number| Value { number, unit, from_ms });
                match &mut all {
                    None => all = Some(Claims::first(*version, value)),
                    Some(claims) => {
                        claims.offer(*version, value);
                    }
                }
            }
            if let Some(claims) = all {
                recalled.put(told[0].at_ms, claims, false);
            }
        }
        for (at_ms, claims) in samples.claims_after(end_ms) {
            recalled.put(at_ms, claims, false);
        }
        let mut scan = Scan::new(rows);
        let mut marks = Vec::new();
        for (at_ms, value) in recalled.after(0, true) {
            let clean =
                scan.step(at_ms, &value, &mut |span| give_span(1, booking, rows, &span, give));
            marks.push((at_ms, clean));
        }
        scan.finish(&mut |span| give_span(1, booking, rows, &span, give));
        for (at_ms, clean) in marks {
            recalled.mark(at_ms, clean);
        }
        *newest = Newest::of(rows, &recalled);
        *samples = recalled;
    }

    /// What is known of the instants up to `end_ms`, as readings that lead to it again when they are taken
    /// in turn. How they came about and where from is not kept.
    pub fn kept_until(&self, meter: Id, end_ms: i64, give: &mut impl FnMut(Reading)) {
        for (at_ms, claims) in self.samples.claims_until(end_ms) {
            for (version, value) in claims.offers() {
                give(Reading {
                    meter,
                    at_ms,
                    from_ms: value.and_then(|value| value.from_ms),
                    value: value.map(|value| value.number),
                    unit: value.and_then(|value| value.unit),
                    version,
                    quality: Quality::default(),
                    arrival: Arrival::default(),
                });
            }
        }
    }
}

/// Two walks side by side.
struct Walk<'r> {
    old: Scan<'r>,
    new: Scan<'r>,
    rows: (&'r Rows, &'r Rows),
    start: Option<i64>,
    booking: Booking<'r>,
    marks: Vec<(i64, bool)>,
}

impl<'r> Walk<'r> {
    /// Both before the first value.
    fn new(rows: (&'r Rows, &'r Rows), booking: Booking<'r>) -> Self {
        let (old, new) = (Scan::new(rows.0), Scan::new(rows.1));
        Self { old, new, rows, start: None, booking, marks: Vec::new() }
    }

    /// Both at the last clean value before `first`.
    fn before(
        first: i64,
        samples: &Samples,
        rows: (&'r Rows, &'r Rows),
        booking: Booking<'r>,
    ) -> Self {
        let mut walk = Self::new(rows, booking);
        if let Some((at_ms, value, _)) = samples.before(first).find(|(_, _, clean)| *clean) {
            let changed_ms = changed_since(samples, rows.0, at_ms, &value);
            walk.start = Some(at_ms);
            walk.old = Scan::resume(rows.0, at_ms, &value, changed_ms);
            walk.new = Scan::resume(rows.1, at_ms, &value, changed_ms);
        }
        walk
    }

    /// Walks over `samples` with `changes` laid over them, until both agree behind the last change; over
    /// all of them where the rows differ.
    fn run(&mut self, samples: &Samples, changes: &[Change], give: &mut impl FnMut(Piece)) {
        let same_rows = std::ptr::eq(self.rows.0, self.rows.1);
        let mut kept = samples.after(self.start.unwrap_or(0), self.start.is_none()).peekable();
        let mut changes = changes.iter().peekable();
        loop {
            let kept_at = kept.peek().map(|(at_ms, _)| *at_ms);
            let change = changes.next_if(|c| kept_at.is_none_or(|at_ms| c.at_ms <= at_ms));
            let (at_ms, old, new) = if let Some(change) = change {
                if kept_at == Some(change.at_ms) {
                    kept.next();
                }
                (change.at_ms, change.old, change.claims.current().copied())
            } else if let Some((at_ms, value)) = kept.next() {
                (at_ms, Some(value), Some(value))
            } else {
                break;
            };
            if same_rows && change.is_none() && changes.peek().is_none() && self.old == self.new {
                return;
            }
            self.step(at_ms, old, new, give);
        }
        let Self { old, new, rows, booking, .. } = self;
        old.clone().finish(&mut |span| give_span(-1, *booking, rows.0, &span, give));
        new.clone().finish(&mut |span| give_span(1, *booking, rows.1, &span, give));
    }

    fn step(
        &mut self,
        at_ms: i64,
        old: Option<Value>,
        new: Option<Value>,
        give: &mut impl FnMut(Piece),
    ) {
        let Self { booking, rows, .. } = *self;
        if let Some(value) = old {
            self.old.step(at_ms, &value, &mut |span| give_span(-1, booking, rows.0, &span, give));
        }
        let clean = new.is_some_and(|value| {
            self.new.step(at_ms, &value, &mut |span| give_span(1, booking, rows.1, &span, give))
        });
        self.marks.push((at_ms, clean));
    }
}

fn give_span(
    sign: i64,
    booking: Booking<'_>,
    rows: &Rows,
    span: &super::spans::Span<'_>,
    give: &mut impl FnMut(Piece),
) {
    let Booking { meter, policy, first } = booking;
    book_span((meter, rows), span, (policy, first), |(key, measure)| {
        give((key, if sign < 0 { measure.negated() } else { measure }));
    });
}

/// When the register came to the position it has at `at_ms`: only one with a limit on power asks.
fn changed_since(samples: &Samples, rows: &Rows, at_ms: i64, value: &Value) -> i64 {
    if rows.at(at_ms).is_none_or(|row| row.max_power.is_none()) {
        return at_ms;
    }
    samples
        .before(at_ms)
        .filter(|(_, _, clean)| *clean)
        .take_while(|(earlier_ms, earlier, _)| {
            same_position(rows, (*earlier_ms, earlier), (at_ms, value))
        })
        .last()
        .map_or(at_ms, |(earlier_ms, _, _)| earlier_ms)
}
