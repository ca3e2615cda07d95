//! What a restatement would do, in kg of CO2e by company, scope and month.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::Arc;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use plumeline_pipelines::model::{FootprintEntry, Method, Names};
use plumeline_sinks::delta::Rows;

/// 1e-21 kg in a gram.
const GRAM: i128 = 1_000_000_000_000_000_000;

/// Sums of `footprints` at the roots of the tree.
#[derive(Debug)]
pub struct Effect {
    names: Arc<Names>,
    timezone: TimeZone,
    /// By company, scope, method and month: CO2e, 1e-21 kg.
    sums: BTreeMap<(Arc<str>, u8, Method, String), i128>,
}

impl Effect {
    /// None yet; months are told in `timezone`.
    #[must_use]
    pub fn new(names: Arc<Names>, timezone: TimeZone) -> Self {
        Self { names, timezone, sums: BTreeMap::new() }
    }

    /// Adds what is found.
    pub fn add(&mut self, rows: &Rows) {
        let Rows::Footprints(rows) = rows else { return };
        for FootprintEntry { key, change } in rows.iter().filter(|row| row.key.depth == 0) {
            let at = Timestamp::from_millisecond(key.start_ms).unwrap_or_default();
            let month = at.to_zoned(self.timezone.clone()).strftime("%Y-%m").to_string();
            let of = (self.names.name(key.node), key.scope, key.method, month);
            *self.sums.entry(of).or_default() += change.co2e.get();
        }
    }

    /// A line a company, scope and month.
    #[must_use]
    pub fn table(&self) -> String {
        let mut text = format!(
            "{:<24} {:>5} {:<8} {:<7} {:>18}\n",
            "company", "scope", "method", "month", "kg CO2e"
        );
        for ((company, scope, method, month), co2e) in &self.sums {
            let kg = kilograms(*co2e);
            // Writing to a `String` cannot fail.
            writeln!(text, "{company:<24} {scope:>5} {:<8} {month:<7} {kg:>18}", method.name())
                .unwrap_or_default();
        }
        text
    }
}

/// Kilograms with a sign and three places, rounded towards zero.
fn kilograms(co2e: i128) -> String {
    let grams = co2e / GRAM;
    let sign = if grams < 0 { '-' } else { '+' };
    format!("{sign}{}.{:03}", grams.unsigned_abs() / 1000, grams.unsigned_abs() % 1000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kilograms_have_a_sign_and_three_places() {
        assert_eq!(kilograms(1_234_567 * GRAM), "+1234.567");
        assert_eq!(kilograms(-5 * GRAM), "-0.005");
        assert_eq!(kilograms(0), "+0.000");
    }
}
