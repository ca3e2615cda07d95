//! A lock: what a report says, and as of when. It is one JSON document, written once.
//!
//! ```json
//! {"format": 1, "pipeline": "acme", "company": "acme", "period": "2025", "number": 1,
//!  "from": "2025-01-01", "to": "2026-01-01", "timezone": "Europe/Berlin",
//!  "begins_at": "2024-12-31T23:00:00Z", "ends_at": "2025-12-31T23:00:00Z",
//!  "as_of": "2026-02-01T00:00:00.123Z", "signed_off": "2026-03-01T00:00:00Z",
//!  "threshold_percent": "5", "base_year": true, "supersedes": "2019-1", "unfinished": false,
//!  "by": "J. Doe", "note": "", "gwp": "ar6",
//!  "totals": [{"scope": 2, "category": 0, "method": "location", "gas": "co2",
//!              "mass_kg": "1234.5", "co2e_kg": "1234.5"}]}
//! ```
//!
//! Instants are what decides: a pipeline may get another timezone, a lock keeps the one it was made in. Masses are texts
//! with all their digits, `null` for gas `co2e`, whose mass nobody published.

use std::str::FromStr;

use jiff::Timestamp;
use jiff::civil::Date;
use plumeline_pipelines::model::{Gas, GwpSet, Method};
use plumeline_sinks::delta::ReportName;
use serde::{Deserialize, Serialize};

use super::ReportError;
use super::figures::{Key, Sum, Threshold, Totals, kilograms, parse_kilograms};
use super::span::Span;

/// Version of what a document holds.
const FORMAT: u32 = 1;

/// A locked report.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lock {
    /// The pipeline.
    pub pipeline: String,
    /// The node it is about.
    pub company: String,
    /// Counts the locks of this company and period, from 1.
    pub number: u32,
    /// The days it is about.
    pub span: Span,
    /// The zone they were told in.
    pub timezone: String,
    /// What was recorded until then (ms) is in it.
    pub as_of_ms: i64,
    /// When it was authorised for issue, ms.
    pub signed_off_ms: i64,
    /// From which change on it is restated.
    pub threshold: Threshold,
    /// Whether it is the company's base year.
    pub base_year: bool,
    /// The lock that was the base year until then, by its file's name.
    pub supersedes: Option<String>,
    /// Whether it was locked before everything of it was booked.
    pub unfinished: bool,
    /// Who locked it.
    pub by: String,
    /// What else there is to say.
    pub note: String,
    /// The set its CO2e is in.
    pub gwp: GwpSet,
    /// What it says.
    pub totals: Totals,
}

impl Lock {
    /// Its period and number: what its file is called.
    #[must_use]
    pub fn label(&self) -> String {
        format!("{}-{}", self.span.name(), self.number)
    }

    /// Where it is.
    #[must_use]
    pub fn name(&self) -> ReportName {
        let (company, period) = (self.company.clone(), self.span.name());
        ReportName { company, period, number: self.number }
    }

    /// Whether another one says the same, but for its number.
    #[must_use]
    pub fn says_the_same(&self, other: &Self) -> bool {
        let of = |lock: &Self| Self { number: 0, supersedes: None, ..lock.clone() };
        of(self) == of(other)
    }

    /// As it is written.
    ///
    /// # Panics
    /// Never: all of it is text and numbers.
    #[must_use]
    pub fn to_json(&self) -> Vec<u8> {
        let total = |(key, sum): (&Key, &Sum)| Total {
            scope: key.scope,
            category: key.category,
            method: key.method.name().to_owned(),
            gas: key.gas.name().to_owned(),
            mass_kg: key.gas.has_mass().then(|| kilograms(sum.mass)),
            co2e_kg: kilograms(sum.co2e),
        };
        let written = Written {
            format: FORMAT,
            pipeline: self.pipeline.clone(),
            company: self.company.clone(),
            period: self.span.name(),
            number: self.number,
            from: self.span.from.to_string(),
            to: self.span.to.to_string(),
            timezone: self.timezone.clone(),
            begins_at: instant(self.span.from_ms),
            ends_at: instant(self.span.to_ms),
            as_of: instant(self.as_of_ms),
            signed_off: instant(self.signed_off_ms),
            threshold_percent: self.threshold.to_string(),
            base_year: self.base_year,
            supersedes: self.supersedes.clone(),
            unfinished: self.unfinished,
            by: self.by.clone(),
            note: self.note.clone(),
            gwp: self.gwp.name().to_owned(),
            totals: self.totals.0.iter().map(total).collect(),
        };
        let mut bytes = serde_json::to_vec_pretty(&written).expect("all of it is text and numbers");
        bytes.push(b'\n');
        bytes
    }

    /// Reads what [`Self::to_json`] writes, from the document called `name`.
    ///
    /// # Errors
    /// If it is none, or another one's.
    pub fn parse(name: &ReportName, bytes: &[u8]) -> Result<Self, ReportError> {
        let damaged = |what: String| ReportError::Damaged { file: name.relative(), what };
        let written: Written =
            serde_json::from_slice(bytes).map_err(|error| damaged(error.to_string()))?;
        if written.format != FORMAT {
            return Err(damaged(format!("its format is {}, and not {FORMAT}", written.format)));
        }
        let lock = written.resolve().map_err(&damaged)?;
        let (found, file) = (lock.name(), name);
        if found != *file {
            let of = found.relative();
            return Err(damaged(format!("it says of itself that it is `{of}`")));
        }
        Ok(lock)
    }
}

/// An instant as documents tell it.
#[must_use]
pub fn instant(ms: i64) -> String {
    Timestamp::from_millisecond(ms).map_or_else(|_| ms.to_string(), |at| at.to_string())
}

#[derive(Debug, Serialize, Deserialize)]
struct Written {
    format: u32,
    pipeline: String,
    company: String,
    period: String,
    number: u32,
    from: String,
    to: String,
    timezone: String,
    begins_at: String,
    ends_at: String,
    as_of: String,
    signed_off: String,
    threshold_percent: String,
    base_year: bool,
    supersedes: Option<String>,
    unfinished: bool,
    by: String,
    note: String,
    gwp: String,
    totals: Vec<Total>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Total {
    scope: u8,
    category: u8,
    method: String,
    gas: String,
    mass_kg: Option<String>,
    co2e_kg: String,
}

/// A text that is none of what it must be.
fn strange(what: &str, text: &str) -> String {
    format!("its `{what}` says `{text}`")
}

fn parsed<T: FromStr>(what: &str, text: &str) -> Result<T, String> {
    text.parse().map_err(|_| strange(what, text))
}

fn ms(what: &str, text: &str) -> Result<i64, String> {
    parsed::<Timestamp>(what, text).map(Timestamp::as_millisecond)
}

impl Written {
    fn resolve(self) -> Result<Lock, String> {
        let mut totals = Totals::default();
        for total in &self.totals {
            let (key, sum) = total.resolve()?;
            totals.add(key, sum);
        }
        let span = Span {
            from: parsed::<Date>("from", &self.from)?,
            to: parsed::<Date>("to", &self.to)?,
            from_ms: ms("begins_at", &self.begins_at)?,
            to_ms: ms("ends_at", &self.ends_at)?,
        };
        Ok(Lock {
            number: self.number,
            span,
            as_of_ms: ms("as_of", &self.as_of)?,
            signed_off_ms: ms("signed_off", &self.signed_off)?,
            threshold: Threshold::parse(&self.threshold_percent)
                .ok_or_else(|| strange("threshold_percent", &self.threshold_percent))?,
            gwp: GwpSet::parse(&self.gwp).ok_or_else(|| strange("gwp", &self.gwp))?,
            pipeline: self.pipeline,
            company: self.company,
            timezone: self.timezone,
            base_year: self.base_year,
            supersedes: self.supersedes,
            unfinished: self.unfinished,
            by: self.by,
            note: self.note,
            totals,
        })
    }
}

impl Total {
    fn resolve(&self) -> Result<(Key, Sum), String> {
        let Self { scope, category, method, gas, mass_kg, co2e_kg } = self;
        let mass = mass_kg.as_deref().unwrap_or("0");
        let key = Key {
            scope: *scope,
            category: *category,
            method: Method::parse(method).ok_or_else(|| strange("method", method))?,
            gas: Gas::parse(gas).ok_or_else(|| strange("gas", gas))?,
        };
        let sum = Sum {
            mass: parse_kilograms(mass).ok_or_else(|| strange("mass_kg", mass))?,
            co2e: parse_kilograms(co2e_kg).ok_or_else(|| strange("co2e_kg", co2e_kg))?,
        };
        Ok((key, sum))
    }
}

#[cfg(test)]
pub(super) mod tests {
    use jiff::tz::TimeZone;

    use super::*;

    /// A lock of 2025, of 1 t of scope 1.
    pub(in crate::report) fn lock(company: &str) -> Lock {
        let mut totals = Totals::default();
        let key = Key { scope: 1, category: 0, method: Method::Any, gas: Gas::Co2 };
        let kg = parse_kilograms("1000").unwrap();
        totals.add(key, Sum { mass: kg, co2e: kg });
        totals.add(Key { scope: 3, category: 6, gas: Gas::Co2e, ..key }, Sum { mass: 0, co2e: 7 });
        let span = Span::year(2025, &TimeZone::UTC).unwrap();
        Lock {
            pipeline: "acme".into(),
            company: company.into(),
            number: 1,
            as_of_ms: span.to_ms + 1,
            signed_off_ms: span.to_ms + 2,
            span,
            timezone: "UTC".into(),
            threshold: Threshold::DEFAULT,
            base_year: false,
            supersedes: None,
            unfinished: false,
            by: "J. Doe".into(),
            note: "\"as issued\"".into(),
            gwp: GwpSet::Ar6,
            totals,
        }
    }

    #[test]
    fn a_lock_is_read_back_as_it_was_written() {
        let of_base = Lock { base_year: true, supersedes: Some("2019-1".into()), ..lock("a/b") };
        for lock in [lock("acme"), of_base] {
            let bytes = lock.to_json();
            let text = String::from_utf8(bytes.clone()).unwrap();
            assert!(text.contains("\"co2e_kg\": \"0.000000000000000000007\""), "{text}");
            assert!(text.contains("\"mass_kg\": null"), "{text}");
            assert_eq!(Lock::parse(&lock.name(), &bytes).unwrap(), lock);
        }
    }

    #[test]
    fn a_document_that_is_none_is_named() {
        let (lock, name) = (lock("acme"), lock("acme").name());
        let text = String::from_utf8(lock.to_json()).unwrap();
        for (from, to, what) in [
            ("\"format\": 1", "\"format\": 2", "its format is 2"),
            ("\"gwp\": \"ar6\"", "\"gwp\": \"ar9\"", "its `gwp` says `ar9`"),
            ("\"1000\"", "\"1e9e\"", "its `mass_kg` says `1e9e`"),
            ("\"number\": 1", "\"number\": 2", "reports/acme/2025-2.json"),
            ("\"company\": \"acme\"", "\"company\": \"Acme\"", "reports/Acme/2025-1.json"),
            ("{", "", "expected"),
        ] {
            assert!(text.contains(from), "{from}");
            let error = Lock::parse(&name, text.replacen(from, to, 1).as_bytes()).unwrap_err();
            let said = error.to_string();
            assert!(said.contains("reports/acme/2025-1.json") && said.contains(what), "{said}");
        }
    }

    #[test]
    fn what_is_locked_twice_is_found() {
        let one = lock("acme");
        assert!(one.says_the_same(&Lock {
            number: 2,
            supersedes: Some("x".into()),
            ..one.clone()
        }));
        assert!(!one.says_the_same(&Lock { note: "amended".into(), ..one.clone() }));
    }
}
