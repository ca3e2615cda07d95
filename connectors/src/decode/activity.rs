//! An activity: `{"activity":"a-991","node":"dc-7","factor":"hgv-artic","from":"...","to":"...","value":1234.5,
//! "unit":"t.km"}`.
//!
//! Its id alone takes it back: `{"activity":"a-991","withdraw":true}`. What else such an element says is
//! checked and then means nothing.

use plumeline_pipelines::model::time::EARLIEST_MS;
use plumeline_pipelines::model::{ActivityRecord, Decimal, Id, Record, Unit};

use super::json::{Said, Wire};
use super::reading::{When, name};
use super::{Decoder, Element, Place, Refusal};

/// The unit of an element that takes an activity back without naming one.
const UNIT_OF_NOTHING: &str = "piece";

impl Decoder {
    pub(super) fn activity(
        &mut self,
        wire: &Wire<'_>,
        place: Place<'_>,
    ) -> Result<Element, Refusal> {
        if place.topic_meter.is_some() || wire.meter.is_some() {
            return Err("activity and meter exclude each other".to_owned());
        }
        let is_withdrawn = wire.is_withdrawn()?;
        let value = match wire.value() {
            _ if is_withdrawn => None,
            Err(refusal) => return Err(refusal),
            Ok(Some(Said::Nothing)) => return Ok(Element::Nothing),
            Ok(Some(Said::Number(number))) => Some(number),
            Ok(None) => return Err("value is missing".to_owned()),
        };
        let needed = |field: &str, is_there: bool| {
            if is_there || is_withdrawn { Ok(()) } else { Err(format!("{field} is missing")) }
        };
        let raw_activity = wire.activity.ok_or("activity is missing")?;
        let activity = name("activity", raw_activity)?;
        let node = wire.node.map(|raw| name("node", raw)).transpose()?;
        needed("node", node.is_some())?;
        let factor = wire.factor.map(|raw| name("factor", raw)).transpose()?;
        let (from_ms, to_ms) = match wire.when(place.latest_ms)? {
            Some(When::Between(from_ms, to_ms)) => (from_ms, to_ms),
            Some(When::At(_)) if !is_withdrawn => {
                return Err("observed_at: an activity has from and to".to_owned());
            }
            Some(When::At(_)) | None => {
                needed("from", false)?;
                (EARLIEST_MS, EARLIEST_MS)
            }
        };
        needed("unit", wire.unit.is_some())?;
        let unit = match wire.unit {
            Some(raw) => self.unit(raw)?,
            None => Unit::parse(UNIT_OF_NOTHING).expect("it is in the table of units"),
        };
        check_amount(value, unit)?;
        let (quality, version) = (wire.quality()?, wire.version()?);
        Ok(Element::Record(Record::Activity(ActivityRecord {
            activity: self.ids.of(&activity),
            node: node.map_or(Id::NONE, |node| self.ids.of(&node)),
            factor: factor.map_or(Id::NONE, |factor| self.ids.of(&factor)),
            from_ms,
            to_ms,
            value,
            unit,
            version,
            quality,
            arrival: place.arrival,
        })))
    }
}

/// Refuses a quantity that is no amount: there is no meter row that could make one of it.
fn check_amount(value: Option<Decimal>, unit: Unit) -> Result<(), Refusal> {
    if let Some(amount) = unit.over_an_hour() {
        return Err(format!(
            "unit: `{unit}` is a power; an activity is told in amounts, such as `{amount}`"
        ));
    }
    match value.map(|value| unit.amount(value, Decimal::ONE)) {
        Some(Err(error)) => Err(format!("value: {error}")),
        _ => Ok(()),
    }
}
