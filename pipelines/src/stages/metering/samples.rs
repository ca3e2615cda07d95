//! The values of one meter, kept to recognise duplicates and corrections and to measure spans again.
//!
//! 16 bytes a value in the ordinary case: days of sorted samples. What does not fit (a version, a
//! correction, a withdrawal, an interval of its own, more digits than an `i64`) stands aside in full.

use std::collections::BTreeMap;
use std::ops::Bound;

use super::spans::Value;
use crate::model::time::DAY_MS;
use crate::model::{Decimal, Unit};
use crate::stages::claims::Claims;

const CLEAN: u8 = 1;
const ASIDE: u8 = 2;

#[derive(Copy, Clone, Debug)]
struct Sample {
    mantissa: i64,
    /// ms since the day began.
    offset: u32,
    scale: u8,
    unit: Option<Unit>,
    flags: u8,
}
const _: () = assert!(size_of::<Sample>() == 16, "the state budget counts 16 bytes a sample");

/// The values of one meter by instant.
#[derive(Clone, Debug, Default)]
pub struct Samples {
    days: BTreeMap<i64, Vec<Sample>>,
    aside: BTreeMap<i64, Claims<Value>>,
}

fn split(at_ms: i64) -> (i64, u32) {
    let offset = u32::try_from(at_ms.rem_euclid(DAY_MS)).expect("a day's ms fit 32 bits");
    (at_ms.div_euclid(DAY_MS), offset)
}

fn compact(value: &Value) -> Option<Sample> {
    if value.from_ms.is_some() {
        return None;
    }
    let mantissa = i64::try_from(value.number.mantissa()).ok()?;
    Some(Sample { mantissa, offset: 0, scale: value.number.scale(), unit: value.unit, flags: 0 })
}

/// Grows by a quarter: half of what a vector that doubles leaves empty would be samples.
fn push(samples: &mut Vec<Sample>, sample: Sample) {
    if samples.len() == samples.capacity() {
        samples.reserve_exact((samples.len() / 4).max(4));
    }
    samples.push(sample);
}

impl Sample {
    fn value(self) -> Value {
        let number = Decimal::new(i128::from(self.mantissa), self.scale);
        Value { number, unit: self.unit, from_ms: None }
    }
}

impl Samples {
    /// What is claimed of the instant, if anything.
    #[must_use]
    pub fn claims(&self, at_ms: i64) -> Option<Claims<Value>> {
        let (day, offset) = split(at_ms);
        let samples = self.days.get(&day)?;
        let index = samples.binary_search_by_key(&offset, |sample| sample.offset).ok()?;
        Some(self.expand(at_ms, samples[index]))
    }

    fn expand(&self, at_ms: i64, sample: Sample) -> Claims<Value> {
        if sample.flags & ASIDE == 0 {
            return Claims::first(0, Some(sample.value()));
        }
        self.aside.get(&at_ms).expect("a sample marked aside stands aside").clone()
    }

    fn current(&self, at_ms: i64, sample: Sample) -> Option<Value> {
        if sample.flags & ASIDE == 0 {
            return Some(sample.value());
        }
        self.aside.get(&at_ms).and_then(|claims| claims.current().copied())
    }

    /// Whether the instant is later than every known one: the ordinary case of a meter that reports.
    #[must_use]
    pub fn is_after_all(&self, at_ms: i64) -> bool {
        let (day, offset) = split(at_ms);
        self.days.last_key_value().is_none_or(|(last, samples)| {
            (*last, samples.last().map_or(0, |sample| sample.offset)) < (day, offset)
        })
    }

    /// The latest instant, what holds of it, and whether a walk is clean after it.
    #[must_use]
    pub fn last(&self) -> Option<(i64, Option<Value>, bool)> {
        let (day, samples) = self.days.last_key_value()?;
        let sample = *samples.last()?;
        let at_ms = day * DAY_MS + i64::from(sample.offset);
        Some((at_ms, self.current(at_ms, sample), sample.flags & CLEAN != 0))
    }

    /// [`Self::put`] of a first value without a version, later than every known instant.
    pub fn push(&mut self, at_ms: i64, value: Value, clean: bool) {
        let (day, offset) = split(at_ms);
        let room = self.days.last_entry().filter(|last| *last.key() == day);
        if let (Some(mut room), Some(sample)) = (room, compact(&value)) {
            let flags = if clean { CLEAN } else { 0 };
            push(room.get_mut(), Sample { offset, flags, ..sample });
        } else {
            self.put(at_ms, Claims::first(0, Some(value)), clean);
        }
    }

    /// Puts down what is claimed of the instant from now on, and whether a walk is clean after it.
    pub fn put(&mut self, at_ms: i64, claims: Claims<Value>, clean: bool) {
        let (day, offset) = split(at_ms);
        let plain = claims.current().filter(|_| claims.is_plain()).and_then(compact);
        let mut sample =
            plain.unwrap_or(Sample { mantissa: 0, offset, scale: 0, unit: None, flags: ASIDE });
        sample.offset = offset;
        sample.flags |= if clean { CLEAN } else { 0 };
        if sample.flags & ASIDE == 0 {
            self.aside.remove(&at_ms);
        } else {
            self.aside.insert(at_ms, claims);
        }
        if !self.days.contains_key(&day) {
            // A day that is over is not appended to as a rule: give back the room it grew into.
            if let Some((_, samples)) = self.days.range_mut(..day).next_back() {
                samples.shrink_to_fit();
            }
        }
        let samples = self.days.entry(day).or_default();
        match samples.last() {
            Some(last) if last.offset >= offset => {
                match samples.binary_search_by_key(&offset, |sample| sample.offset) {
                    Ok(index) => samples[index] = sample,
                    Err(index) => samples.insert(index, sample),
                }
            }
            _ => push(samples, sample),
        }
    }

    /// Marks whether a walk is clean after the instant.
    pub fn mark(&mut self, at_ms: i64, clean: bool) {
        let (day, offset) = split(at_ms);
        if let Some(samples) = self.days.get_mut(&day)
            && let Ok(index) = samples.binary_search_by_key(&offset, |sample| sample.offset)
        {
            let flags = samples[index].flags & !CLEAN;
            samples[index].flags = flags | if clean { CLEAN } else { 0 };
        }
    }

    /// The values before `at_ms`, latest first, each with whether a walk is clean after it. Withdrawn
    /// instants are passed over.
    pub fn before(&self, at_ms: i64) -> impl Iterator<Item = (i64, Value, bool)> {
        let (day, offset) = split(at_ms);
        self.days.range(..=day).rev().flat_map(move |(&d, samples)| {
            let end = if d == day {
                samples.partition_point(|sample| sample.offset < offset)
            } else {
                samples.len()
            };
            samples[..end].iter().rev().filter_map(move |&sample| {
                let at_ms = d * DAY_MS + i64::from(sample.offset);
                let value = self.current(at_ms, sample)?;
                Some((at_ms, value, sample.flags & CLEAN != 0))
            })
        })
    }

    /// The values after `at_ms`, in order; with `at_ms` itself where `inclusive`.
    pub fn after(&self, at_ms: i64, inclusive: bool) -> impl Iterator<Item = (i64, Value)> {
        let (day, offset) = split(at_ms);
        self.days.range((Bound::Included(day), Bound::Unbounded)).flat_map(move |(&d, samples)| {
            let start = match (d == day, inclusive) {
                (false, _) => 0,
                (true, true) => samples.partition_point(|sample| sample.offset < offset),
                (true, false) => samples.partition_point(|sample| sample.offset <= offset),
            };
            samples[start..].iter().filter_map(move |&sample| {
                let at_ms = d * DAY_MS + i64::from(sample.offset);
                Some((at_ms, self.current(at_ms, sample)?))
            })
        })
    }

    /// What is claimed of each instant up to `end_ms`, in order.
    pub fn claims_until(&self, end_ms: i64) -> impl Iterator<Item = (i64, Claims<Value>)> {
        let day = split(end_ms).0;
        self.days.range(..=day).flat_map(move |(&day, samples)| {
            let instants = samples.iter().map(move |&s| (day * DAY_MS + i64::from(s.offset), s));
            let until = instants.take_while(move |(at_ms, _)| *at_ms <= end_ms);
            until.map(|(at_ms, sample)| (at_ms, self.expand(at_ms, sample)))
        })
    }

    /// What is claimed of each instant after `start_ms`, in order.
    pub fn claims_after(&self, start_ms: i64) -> impl Iterator<Item = (i64, Claims<Value>)> {
        let day = split(start_ms).0;
        self.days.range(day..).flat_map(move |(&day, samples)| {
            let instants = samples.iter().map(move |&s| (day * DAY_MS + i64::from(s.offset), s));
            let after = instants.filter(move |(at_ms, _)| *at_ms > start_ms);
            after.map(|(at_ms, sample)| (at_ms, self.expand(at_ms, sample)))
        })
    }

    /// Forgets everything before `at_ms`, but for the instant `anchor_ms`.
    pub fn forget_before(&mut self, at_ms: i64, anchor_ms: i64) {
        let day = split(anchor_ms.min(at_ms)).0;
        self.days = self.days.split_off(&day);
        let keeps = |instant: i64| instant >= at_ms || instant == anchor_ms;
        for (day, samples) in self.days.range_mut(..=split(at_ms).0) {
            samples.retain(|sample| keeps(day * DAY_MS + i64::from(sample.offset)));
        }
        self.days.retain(|_, samples| !samples.is_empty());
        self.aside.retain(|instant, _| keeps(*instant));
    }

    /// The first instant kept, ms.
    #[must_use]
    pub fn first_ms(&self) -> Option<i64> {
        let (day, samples) = self.days.first_key_value()?;
        Some(day * DAY_MS + i64::from(samples.first()?.offset))
    }

    /// How many instants are kept.
    #[must_use]
    pub fn len(&self) -> usize {
        self.days.values().map(Vec::len).sum()
    }

    /// Whether none is kept.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.days.is_empty()
    }
}
