//! How a number came about, in words that stay: the id of a calculation, and which of the readings hold.
//!
//! ```text
//! semantics version, factor, revision, scope, category, method, gas, unit, rate, GWP set ──▶ calc_id
//! all that was said of a meter, in order ──▶ the readings that hold ──▶ their hash
//! ```
//!
//! 1. **A [`calc_id`] says how a line was calculated**, and not from what amount: two emissions with the same id are
//!    their amounts times the same two numbers, under the same rules. *So a table of ids explains a ledger of any
//!    length.*
//! 2. **Of names, not of their numbers**, and every text after its length. *Ids differ from run to run, and no two
//!    calculations may be the same bytes.*
//! 3. **The hash of readings is of what was said**: meter, instants, number, unit, version. Not of where it came from:
//!    the same reading over another way is the same evidence.
//!
//! Both are XXH3-128 over bytes that are written down here, so that anybody can compute them. They find mistakes
//! and damage, not forgery.

use std::collections::BTreeMap;

use twox_hash::XxHash3_128;

use crate::model::{ActivityRecord, Decimal, GwpSet, Line, Names, Reading, Tick, Unit};
use crate::reference::Told;
use crate::stages::activities::Said;
use crate::stages::metering::Value;

/// What the program means by its rules: to be raised whenever the same input would book something else.
pub const SEMANTICS_VERSION: u32 = 1;
/// The form of the bytes of a calculation: another form is another number.
const CALCULATION: u8 = 1;
/// The form of the bytes of readings.
const READINGS: u8 = 2;

/// How a line is calculated.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct Calculation<'c> {
    /// What the program means by its rules: `semantics_version`.
    pub semantics: u32,
    /// The factor's name.
    pub factor: &'c str,
    /// Its line: revision, scope, category, method, gas, rate.
    pub line: Line,
    /// The unit of the activity.
    pub unit: Unit,
    /// The GWP set that CO2e is in.
    pub gwp: GwpSet,
}

/// The id of a calculation, 32 hexadecimal digits. Its bytes, numbers little-endian, texts UTF-8 after their length in
/// 4 bytes:
///
/// | field | bytes |
/// |---|---|
/// | form | 1: the number 1 |
/// | semantics version | 4 |
/// | factor | text |
/// | revision | 8, signed |
/// | scope, category | 1 each |
/// | method, gas, unit | texts, as in the tables |
/// | rate, 1e-12 kg per unit | 8, signed |
/// | GWP set | text |
#[must_use]
pub fn calc_id(calculation: &Calculation<'_>) -> String {
    let Calculation { semantics, factor, line, unit, gwp } = calculation;
    let mut bytes = Bytes(vec![CALCULATION]);
    bytes.0.extend_from_slice(&semantics.to_le_bytes());
    bytes.text(factor);
    bytes.number(line.revision);
    bytes.0.extend_from_slice(&[line.scope, line.category]);
    bytes.text(line.method.name());
    bytes.text(line.gas.name());
    bytes.text(unit.symbol());
    bytes.number(line.rate);
    bytes.text(gwp.name());
    bytes.hash()
}

/// The hash of readings, 32 hexadecimal digits, in the order of their instants. Their bytes are the number 2, then for
/// each, as in [`calc_id`]: the meter; the instant, ms; the start of its interval, ms, or -1; the number as text, its
/// digits without zeros at their end; the unit as sent, or an empty text; the version.
#[must_use]
pub fn readings_hash<'r>(names: &Names, readings: impl IntoIterator<Item = &'r Reading>) -> String {
    let mut bytes = Bytes(vec![READINGS]);
    for reading in readings {
        bytes.text(&names.name(reading.meter));
        bytes.number(reading.at_ms);
        bytes.number(reading.from_ms.unwrap_or(-1));
        bytes.text(&reading.value.map_or_else(String::new, |value| value.to_string()));
        bytes.text(reading.unit.map_or("", Unit::symbol));
        bytes.number(reading.version.into());
    }
    bytes.hash()
}

/// The readings of one meter that hold, by instant, of all that was said of it and when that was learned.
#[must_use]
pub fn holding_readings(said: &[(Tick, Reading)]) -> BTreeMap<i64, &Reading> {
    let mut ordered: Vec<&(Tick, Reading)> = said.iter().collect();
    ordered.sort_by_key(|(learned, reading)| (*learned, reading.arrival));
    let mut told: BTreeMap<i64, Told<Value>> = BTreeMap::new();
    let mut holding = BTreeMap::new();
    for (_, reading) in ordered {
        let value = reading.value.map(|number| {
            let (unit, from_ms) = (reading.unit, reading.from_ms);
            Value { number, unit, from_ms }
        });
        if told.entry(reading.at_ms).or_default().take(reading.version, value) {
            match value {
                Some(_) => holding.insert(reading.at_ms, reading),
                None => holding.remove(&reading.at_ms),
            };
        }
    }
    holding
}

/// What holds of all that was said of one activity.
#[must_use]
pub fn holding_activity(said: &[(Tick, ActivityRecord)]) -> Option<&ActivityRecord> {
    let mut ordered: Vec<&(Tick, ActivityRecord)> = said.iter().collect();
    ordered.sort_by_key(|(learned, record)| (*learned, record.arrival));
    let mut told: Told<Said> = Told::default();
    let mut holding = None;
    for (_, record) in ordered {
        let fits = record.value.is_none_or(|v| record.unit.amount(v, Decimal::ONE).is_ok());
        if fits && told.take(record.version, Said::of(record)) {
            holding = Some(record).filter(|record| record.value.is_some());
        }
    }
    holding
}

/// Bytes to be hashed.
struct Bytes(Vec<u8>);

impl Bytes {
    fn number(&mut self, number: i64) {
        self.0.extend_from_slice(&number.to_le_bytes());
    }

    fn text(&mut self, text: &str) {
        let length = u32::try_from(text.len()).expect("names are bounded where they enter");
        self.0.extend_from_slice(&length.to_le_bytes());
        self.0.extend_from_slice(text.as_bytes());
    }

    fn hash(&self) -> String {
        format!("{:032x}", XxHash3_128::oneshot(&self.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Arrival, Cause, Gas, Method, Quality};

    fn calculation() -> Calculation<'static> {
        let line = Line {
            scope: 2,
            category: 0,
            method: Method::Location,
            gas: Gas::Co2,
            revision: 1,
            rate: 207_000_000_000,
        };
        let unit = Unit::parse("kWh").unwrap();
        Calculation { semantics: 1, factor: "grid", line, unit, gwp: GwpSet::Ar6 }
    }

    #[test]
    fn every_field_of_a_calculation_counts() {
        let one = calculation();
        // Written down: another version of the program must compute it, too.
        assert_eq!(calc_id(&one), GOLDEN);
        let with = |change: fn(&mut Calculation<'static>)| {
            let mut other = one;
            change(&mut other);
            calc_id(&other)
        };
        let mut ids = vec![
            calc_id(&one),
            with(|c| c.semantics = 2),
            with(|c| c.factor = "grids"),
            with(|c| c.line.revision = 2),
            with(|c| c.line.scope = 3),
            with(|c| c.line.category = 3),
            with(|c| c.line.method = Method::Market),
            with(|c| c.line.gas = Gas::Ch4),
            with(|c| c.line.rate += 1),
            with(|c| c.unit = Unit::parse("kg").unwrap()),
            with(|c| c.gwp = GwpSet::Ar5),
        ];
        let count = ids.len();
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len(), count);
    }

    const GOLDEN: &str = "b6af41c9499b251b87e9bd97eec3b1c1";

    fn reading(names: &Names, at_ms: i64, value: Option<&str>, index: u64) -> (Tick, Reading) {
        let value = value.map(|text| Decimal::parse(text).unwrap());
        let arrival = Arrival { index, ..Arrival::default() };
        let reading = Reading {
            meter: names.intern("m-1"),
            at_ms,
            from_ms: None,
            value,
            unit: None,
            version: 0,
            quality: Quality::Measured,
            arrival,
        };
        (Tick::new(1, Cause::Readings), reading)
    }

    #[test]
    fn what_was_said_last_holds_and_what_was_said_before_is_no_news() {
        let names = Names::new();
        let said = [
            reading(&names, 10, Some("1"), 1),
            reading(&names, 20, Some("2"), 2),
            reading(&names, 10, Some("3"), 3),
            // A duplicate that comes late.
            reading(&names, 10, Some("1"), 4),
            reading(&names, 20, None, 5),
        ];
        let holding = holding_readings(&said);
        assert_eq!(holding.into_iter().collect::<Vec<_>>(), [(10, &said[2].1)]);
    }

    #[test]
    fn a_hash_of_readings_is_of_what_was_said() {
        let names = Names::new();
        let hash = |said: &[(Tick, Reading)]| readings_hash(&names, said.iter().map(|(_, r)| r));
        let one = hash(&[reading(&names, 10, Some("1.50"), 1)]);
        assert_eq!(one, hash(&[reading(&names, 10, Some("1.5"), 9)]));
        assert_ne!(one, hash(&[reading(&names, 10, Some("1.51"), 1)]));
        assert_ne!(one, hash(&[reading(&names, 11, Some("1.5"), 1)]));
        assert_eq!(one, GOLDEN_READINGS);
    }

    const GOLDEN_READINGS: &str = "48b7b700b2bc8bf4dd4c8750b9ca8300";
}
