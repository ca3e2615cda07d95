//! Payload bytes into records, facts and rejects. Pure: no I/O, no clock.
//!
//! ```text
//! payload ─► UTF-8 ─► elements: one object, an array, JSON lines
//!    │         │         │
//!    │         │         ├─ nothing in it (null, "nan", Online) ─► ignored
//!    │         │         ├─ object ─► reading | activity | fact ─► record, fact
//!    │         │         └─ anything else ─────────────────────┐
//!    └─ larger than the limit, not UTF-8 ──────────────────────┴─► reject, with the reason
//! ```
//!
//! 1. Each element stands for itself: a broken line loses itself alone.
//! 2. Numbers are read from their text; a float would change the twentieth digit of a register.
//! 3. Nothing is guessed: an instant without an offset, a unit nobody knows, a meter named twice, are
//!    rejects that name the field and the text.
//! 4. A name enters the table of names only with an element that is taken in: refused payloads cannot
//!    fill the memory.

mod activity;
mod blend;
mod cache;
mod contract;
pub mod fact;
mod fields;
mod json;
mod reading;
pub mod time;

use std::borrow::Cow;
use std::sync::Arc;

use jiff::tz::TimeZone;
use plumeline_pipelines::model::{Arrival, Names, Record, RejectEntry, RejectEvent};

use self::cache::{Ids, Units};
use self::fact::{FactChange, Table, check_column, fact_from_fields};
use self::json::{Wire, carries_nothing, field_text, fields, refusal_of, too_deep};
use crate::batch::{Batch, Receipt};
use crate::config::Carries;

/// Bytes of a rejected payload that are kept.
pub const RAW_BYTES_MAX: usize = 64 * 1024;
/// Levels an element may be nested.
pub const DEPTH_MAX: usize = 32;

/// What a decoder holds payloads to.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Largest payload, bytes.
    pub payload_bytes_max: usize,
    /// How far after the clock a stamp may lie, ms.
    pub max_ahead_ms: i64,
    /// What dates in facts mean.
    pub timezone: TimeZone,
    /// The grid of validity in facts, ms.
    pub period_ms: i64,
}

/// A message, and where it stands.
#[derive(Copy, Clone, Debug)]
pub struct Payload<'p> {
    /// Its bytes, or as many of them as were kept.
    pub bytes: &'p [u8],
    /// How many bytes it has: more than `bytes` where it was cut because it is too large.
    pub size: usize,
    /// The meter its topic names.
    pub topic_meter: Option<&'p str>,
    /// See [`Arrival::position`].
    pub position: u64,
}

/// What came out of payloads so far.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Decoded {
    /// Elements seen.
    pub received: u64,
    /// Elements that carried nothing.
    pub ignored: u64,
    /// Readings and activities.
    pub records: Vec<Record>,
    /// Rows of fact tables, those of one message together: a blend is a row for each of its gases.
    pub facts: Vec<Vec<FactChange>>,
    /// Elements that can never be taken in.
    pub rejects: Vec<RejectEntry>,
}

impl Decoded {
    /// It, as a batch of source number `source`.
    pub(crate) fn into_batch(self, source: u16, receipt: Receipt) -> Batch {
        let Self { received, ignored, records, facts, rejects } = self;
        Batch { source, received, ignored, records, facts, rejects, receipt }
    }
}

/// Decodes the payloads of one source.
#[derive(Debug)]
pub struct Decoder {
    source: u16,
    table: Option<Table>,
    names: Arc<Names>,
    limits: Limits,
    ids: Ids,
    units: Units,
}

/// What an element turned out to be.
enum Element {
    Record(Record),
    Fact(Vec<FactChange>),
    Nothing,
}

/// Why an element is refused: a fragment that names the field and the text.
type Refusal = String;

/// Where an element stands, and what its stamps are judged against.
#[derive(Copy, Clone)]
struct Place<'p> {
    topic_meter: Option<&'p str>,
    arrival: Arrival,
    /// The latest instant a stamp may name, ms.
    latest_ms: i64,
}

impl Decoder {
    /// A decoder of what source number `source` carries.
    #[must_use]
    pub fn new(carries: Carries, source: u16, names: Arc<Names>, limits: Limits) -> Self {
        let ids = Ids::new(Arc::clone(&names));
        Self { source, table: carries.table(), names, limits, ids, units: Units::default() }
    }

    /// Adds the elements of `payload` to `out`; stamps are judged against `now_ms`.
    pub fn decode(&mut self, payload: Payload<'_>, now_ms: i64, out: &mut Decoded) {
        let mut place = Place {
            topic_meter: payload.topic_meter,
            arrival: Arrival {
                index: 0,
                source: self.source,
                element: 0,
                position: payload.position,
            },
            latest_ms: now_ms.saturating_add(self.limits.max_ahead_ms),
        };
        if payload.size > self.limits.payload_bytes_max {
            let max = self.limits.payload_bytes_max;
            let reason = format!("too large: {} bytes, at most {max} are taken", payload.size);
            return refuse(payload.bytes, reason, &mut place, out);
        }
        let text = match std::str::from_utf8(payload.bytes) {
            Ok(text) => text.trim_start_matches('\u{feff}').trim(),
            Err(error) => {
                let reason =
                    format!("not UTF-8: the byte at {} begins no letter", error.valid_up_to());
                return refuse(payload.bytes, reason, &mut place, out);
            }
        };
        if text.is_empty() {
            out.received += 1;
            out.ignored += 1;
            return;
        }
        // One object may be spread over lines, so lines count only where the whole is not one value.
        let is_lines = text.contains('\n')
            && serde_json::from_str::<&serde_json::value::RawValue>(text).is_err();
        if is_lines {
            for line in text.lines().map(str::trim).filter(|line| !line.is_empty()) {
                self.value(line, &mut place, out);
            }
        } else {
            self.value(text, &mut place, out);
        }
    }

    /// One value: an element, or an array of them.
    fn value(&mut self, text: &str, place: &mut Place<'_>, out: &mut Decoded) {
        if !text.starts_with('[') {
            return self.element(text, place, out);
        }
        match serde_json::from_str::<Vec<&serde_json::value::RawValue>>(text) {
            Ok(elements) => {
                for element in elements {
                    self.element(element.get(), place, out);
                }
            }
            Err(error) => refuse(text.as_bytes(), refusal_of(&error, text), place, out),
        }
    }

    fn element(&mut self, text: &str, place: &mut Place<'_>, out: &mut Decoded) {
        match self.understood(text, *place) {
            Ok(element) => {
                out.received += 1;
                place.arrival.element = place.arrival.element.saturating_add(1);
                match element {
                    Element::Record(record) => out.records.push(record),
                    Element::Fact(changes) => out.facts.push(changes),
                    Element::Nothing => out.ignored += 1,
                }
            }
            Err(reason) => refuse(text.as_bytes(), reason, place, out),
        }
    }

    fn understood(&mut self, text: &str, place: Place<'_>) -> Result<Element, Refusal> {
        if carries_nothing(text) {
            return Ok(Element::Nothing);
        }
        if too_deep(text, DEPTH_MAX) {
            return Err(format!("too deep: nested more than {DEPTH_MAX} levels"));
        }
        if let Some(table) = self.table {
            return self.fact(table, text);
        }
        let wire: Wire<'_> =
            serde_json::from_str(text).map_err(|error| refusal_of(&error, text))?;
        if wire.activity.is_some() {
            self.activity(&wire, place)
        } else {
            self.reading(&wire, place)
        }
    }

    fn fact(&self, table: Table, text: &str) -> Result<Element, Refusal> {
        let fields = fields(text)?;
        for column in fields.keys() {
            check_column(table, column).map_err(|error| error.to_string())?;
        }
        let mut texts = std::collections::BTreeMap::new();
        for (column, raw) in &fields {
            if let Some(text) = field_text(column, raw)? {
                texts.insert(&**column, text);
            }
        }
        let field = |column: &str| texts.get(column).map(|text| Cow::Borrowed(&**text));
        let Limits { timezone, period_ms, .. } = &self.limits;
        fact_from_fields(table, &field, &self.names, timezone, *period_ms)
            .map(Element::Fact)
            .map_err(|error| error.to_string())
    }
}

/// Adds a reject, and goes on to the next element.
fn refuse(bytes: &[u8], reason: Refusal, place: &mut Place<'_>, out: &mut Decoded) {
    out.received += 1;
    out.rejects.push(RejectEntry {
        source: place.arrival.source,
        position: place.arrival.position,
        element: place.arrival.element,
        event: RejectEvent::Rejected,
        reason,
        raw: bytes[..bytes.len().min(RAW_BYTES_MAX)].to_vec(),
    });
    place.arrival.element = place.arrival.element.saturating_add(1);
}

#[cfg(test)]
mod tests;
