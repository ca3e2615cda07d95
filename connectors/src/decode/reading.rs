//! A reading: `{"meter":"m-17","observed_at":"2026-01-01T00:00:00Z","value":12.34,"unit":"kWh"}`.

use std::borrow::Cow;

use plumeline_pipelines::model::time::EARLIEST_MS;
use plumeline_pipelines::model::{Decimal, Quality, Reading, Record, Unit};
use serde_json::value::RawValue;

use super::fact::{NAME_BYTES_MAX, STRETCH_MS_MAX};
use super::json::{Said, Wire, shown, text};
use super::time::{parse_instant_ms, shown_ms};
use super::{Decoder, Element, Place, Refusal};

/// What a record is about in time.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(super) enum When {
    /// An instant, ms.
    At(i64),
    /// `[from_ms, to_ms)`.
    Between(i64, i64),
}

impl Decoder {
    pub(super) fn reading(
        &mut self,
        wire: &Wire<'_>,
        place: Place<'_>,
    ) -> Result<Element, Refusal> {
        let is_withdrawn = wire.is_withdrawn()?;
        let value = match wire.value() {
            _ if is_withdrawn => None,
            Err(refusal) => return Err(refusal),
            Ok(Some(Said::Nothing)) => return Ok(Element::Nothing),
            Ok(Some(Said::Number(number))) => Some(number),
            Ok(None) => return Err("value is missing".to_owned()),
        };
        let meter = meter(wire.meter, place.topic_meter)?;
        let when = wire.when(place.latest_ms)?;
        let (from_ms, at_ms) = match when.ok_or("observed_at is missing")? {
            When::At(at_ms) => (None, at_ms),
            When::Between(from_ms, to_ms) => (Some(from_ms), to_ms),
        };
        let unit = wire.unit.map(|raw| self.unit(raw)).transpose()?;
        let (quality, version) = (wire.quality()?, wire.version()?);
        Ok(Element::Record(Record::Reading(Reading {
            meter: self.ids.of(&meter),
            at_ms,
            from_ms,
            value,
            unit,
            version,
            quality,
            arrival: place.arrival,
        })))
    }

    pub(super) fn unit(&mut self, raw: &RawValue) -> Result<Unit, Refusal> {
        let symbol = text("unit", raw)?;
        self.units.parse(symbol.trim()).map_err(|error| format!("unit: {error}"))
    }
}

impl Wire<'_> {
    /// The instant or stretch it names, in bounds; `None` where it names none.
    pub(super) fn when(&self, latest_ms: i64) -> Result<Option<When>, Refusal> {
        let at = either("observed_at", self.observed_at, self.observed_at_ms)?;
        let from = either("from", self.from, self.from_ms)?;
        let to = either("to", self.to, self.to_ms)?;
        match (at, from, to) {
            (None, None, None) => Ok(None),
            (Some(at), None, None) => at.bounded(latest_ms).map(|ms| Some(When::At(ms))),
            (None, Some(from), Some(to)) => {
                let (from_ms, to_ms) = (from.bounded(latest_ms)?, to.bounded(latest_ms)?);
                if from_ms >= to_ms {
                    return Err(format!(
                        "to: {} is not after from, {}",
                        shown_ms(to_ms),
                        shown_ms(from_ms)
                    ));
                }
                if to_ms - from_ms > STRETCH_MS_MAX {
                    return Err(format!(
                        "to: {} is more than 366 days after from, {}",
                        shown_ms(to_ms),
                        shown_ms(from_ms)
                    ));
                }
                Ok(Some(When::Between(from_ms, to_ms)))
            }
            (None, Some(_), None) => Err("to is missing".to_owned()),
            (None, None, Some(_)) => Err("from is missing".to_owned()),
            (Some(_), ..) => Err("observed_at and from, to exclude each other".to_owned()),
        }
    }

    /// How the value came about.
    pub(super) fn quality(&self) -> Result<Quality, Refusal> {
        let Some(raw) = self.quality else {
            return Ok(Quality::default());
        };
        let name = text("quality", raw)?;
        let refusal =
            || format!("quality: `{}` is none of measured, estimated, substituted", shown(&name));
        Quality::parse(name.trim()).ok_or_else(refusal)
    }
}

/// An instant, and where it was said.
#[derive(Copy, Clone)]
struct Stamp<'w> {
    field: &'static str,
    raw: &'w RawValue,
    ms: i64,
}

impl Stamp<'_> {
    /// Refuses what a device whose clock is wrong says.
    fn bounded(self, latest_ms: i64) -> Result<i64, Refusal> {
        let Self { field, raw, ms } = self;
        let text = || shown(raw.get().trim_matches('"'));
        if ms < EARLIEST_MS {
            return Err(format!("{field}: `{}` is before 2000: device clock not set?", text()));
        }
        if ms > latest_ms {
            let latest = shown_ms(latest_ms);
            return Err(format!("{field}: `{}` is in the future, after {latest}", text()));
        }
        Ok(ms)
    }
}

/// An instant in words or in ms, but not in both.
fn either<'w>(
    field: &'static str,
    words: Option<&'w RawValue>,
    ms: Option<&'w RawValue>,
) -> Result<Option<Stamp<'w>>, Refusal> {
    match (words, ms) {
        (None, None) => Ok(None),
        (Some(raw), None) => {
            let text = text(field, raw)?;
            let refusal = |error| format!("{field}: `{}` {error}", shown(&text));
            let ms = parse_instant_ms(text.trim()).map_err(refusal)?;
            Ok(Some(Stamp { field, raw, ms }))
        }
        (None, Some(raw)) => {
            let refusal =
                || format!("{field}_ms: `{}` is no number of milliseconds", shown(raw.get()));
            let ms = whole_ms(raw).ok_or_else(refusal)?;
            Ok(Some(Stamp { field, raw, ms }))
        }
        (Some(_), Some(_)) => Err(format!("{field} and {field}_ms exclude each other")),
    }
}

/// Milliseconds; digits below are cut off, towards the earlier instant.
fn whole_ms(raw: &RawValue) -> Option<i64> {
    let text = raw.get().trim_matches('"');
    if let Ok(ms) = text.parse() {
        return Some(ms);
    }
    let number = Decimal::parse(text).ok()?;
    let unit = 10_i128.pow(u32::from(number.scale()));
    i64::try_from(number.mantissa().div_euclid(unit)).ok()
}

/// The meter, from the payload or the topic; if both name it, they must agree.
fn meter<'w>(raw: Option<&'w RawValue>, topic: Option<&'w str>) -> Result<Cow<'w, str>, Refusal> {
    let said = raw.map(|raw| name("meter", raw)).transpose()?;
    match (said, topic) {
        (Some(said), Some(topic)) if *said != *topic => {
            Err(format!("meter: the payload says `{}`, its topic `{}`", shown(&said), shown(topic)))
        }
        (Some(said), _) => Ok(said),
        (None, Some(topic)) => checked_name("meter", Cow::Borrowed(topic)),
        (None, None) => Err("meter is missing".to_owned()),
    }
}

/// A name in a field; a number is taken as its digits.
pub(super) fn name<'w>(field: &str, raw: &'w RawValue) -> Result<Cow<'w, str>, Refusal> {
    let is_number = raw.get().bytes().all(|byte| byte.is_ascii_digit());
    let said = if is_number { Cow::Borrowed(raw.get()) } else { text(field, raw)? };
    checked_name(field, said)
}

fn checked_name<'w>(field: &str, name: Cow<'w, str>) -> Result<Cow<'w, str>, Refusal> {
    if name.trim().is_empty() {
        return Err(format!("{field} is empty"));
    }
    if name.len() > NAME_BYTES_MAX {
        return Err(format!("{field}: `{}` is longer than {NAME_BYTES_MAX} bytes", shown(&name)));
    }
    if name.chars().any(char::is_control) {
        let name = shown(&name).escape_debug().to_string();
        return Err(format!("{field}: `{name}` holds a control character"));
    }
    Ok(name)
}
