//! Histories told by instants of the calendar, and what the ledger says of them.
//!
//! As with stories, all of it is compared with the reference at every step before anything else is asked.

use std::collections::BTreeMap;

use plumeline_pipelines::model::{
    ActivityRecord, Arrival, Cause, Decimal, EmissionKey, Fact, Gas, Id, Policy, PriceRow, Quality,
    Reason, Record, SeriesKind, SeriesRow, Tick, Total, Unit, Validity, Vintage,
};

use super::derive::{Derived, assert_agrees, derive};
use super::{START_MS, Scenario, Step, factor_id, n, node_id};

/// A history in the making: what is learned, by the instant it is.
#[derive(Clone, Debug)]
pub(crate) struct Dated {
    policy: Policy,
    steps: BTreeMap<i64, Step>,
}

impl Dated {
    pub(crate) fn under(policy: Policy) -> Self {
        Self { policy, steps: BTreeMap::new() }
    }

    /// What is learned at an instant, ms; nothing makes a step, too.
    pub(crate) fn learns(mut self, ms: i64, facts: impl IntoIterator<Item = Fact>) -> Self {
        let step = self.steps.entry(ms).or_default();
        step.facts.extend(facts.into_iter().map(|fact| (fact, 1)));
        self
    }

    /// What is no longer known.
    pub(crate) fn unlearns(mut self, ms: i64, facts: impl IntoIterator<Item = Fact>) -> Self {
        let step = self.steps.entry(ms).or_default();
        step.facts.extend(facts.into_iter().map(|fact| (fact, -1)));
        self
    }

    pub(crate) fn hears(mut self, ms: i64, records: impl IntoIterator<Item = Record>) -> Self {
        self.steps.entry(ms).or_default().records.extend(records);
        self
    }

    /// Tells it to two workers.
    pub(crate) fn told(self) -> Ledger {
        let mut last_ms = START_MS;
        let after = |(ms, step): (i64, Step)| {
            let after_ms = ms - std::mem::replace(&mut last_ms, ms);
            Step { after_ms, ..step }
        };
        let steps = self.steps.into_iter().map(after).collect();
        let scenario = Scenario { policy: self.policy, steps }.numbered();
        let derived = derive(&scenario, 2, 1);
        assert_agrees(&derived, &scenario);
        Ledger { policy: scenario.policy, derived }
    }
}

/// What was derived of a history.
pub(crate) struct Ledger {
    policy: Policy,
    pub(crate) derived: Derived,
}

/// 1e-21 kg as a decimal.
pub(crate) fn kg(scaled: i128) -> String {
    Decimal::new(scaled, 21).to_string()
}

impl Ledger {
    /// CO2e of each period, by its first instant, as all entries up to the instant `ms` have it.
    pub(crate) fn co2e_by_period(&self, ms: i64) -> BTreeMap<i64, i128> {
        let mut sums = BTreeMap::new();
        for (key, e) in self.derived.until(Tick::new(ms, Cause::Cut)).emissions {
            let start_ms = key.activity.period.start_ms(self.policy.period_ms);
            *sums.entry(start_ms).or_default() += e.co2e.get();
        }
        sums
    }

    /// All CO2e at the instant `ms`, kg.
    pub(crate) fn co2e(&self, ms: i64) -> String {
        kg(self.co2e_by_period(ms).values().sum())
    }

    /// Mass and CO2e by gas at the instant `ms`, kg.
    pub(crate) fn by_gas(&self, ms: i64) -> BTreeMap<Gas, [String; 2]> {
        let mut sums: BTreeMap<Gas, [i128; 2]> = BTreeMap::new();
        for (key, e) in self.derived.until(Tick::new(ms, Cause::Cut)).emissions {
            let [mass, co2e] = sums.entry(key.line.gas).or_default();
            *mass += e.mass.get();
            *co2e += e.co2e.get();
        }
        sums.into_iter().map(|(gas, sums)| (gas, sums.map(kg))).collect()
    }

    /// CO2e by scope and category at the instant `ms`, kg.
    pub(crate) fn by_scope(&self, ms: i64) -> BTreeMap<(u8, u8), String> {
        let mut sums: BTreeMap<(u8, u8), i128> = BTreeMap::new();
        for (key, e) in self.derived.until(Tick::new(ms, Cause::Cut)).emissions {
            *sums.entry((key.line.scope, key.line.category)).or_default() += e.co2e.get();
        }
        sums.into_iter().map(|(scope, sum)| (scope, kg(sum))).collect()
    }

    /// CO2e by scope 3 category and number of the activity at the instant `ms`, kg.
    pub(crate) fn by_subject(&self, ms: i64) -> BTreeMap<(u8, u32), String> {
        let mut sums: BTreeMap<(u8, u32), i128> = BTreeMap::new();
        for (key, e) in self.derived.until(Tick::new(ms, Cause::Cut)).emissions {
            let number = key.activity.subject.id().0 - 300;
            *sums.entry((key.line.category, number)).or_default() += e.co2e.get();
        }
        sums.into_iter().map(|(key, sum)| (key, kg(sum))).collect()
    }

    /// The lines that are booked at the instant `ms`.
    pub(crate) fn lines(&self, ms: i64) -> Vec<EmissionKey> {
        self.derived.until(Tick::new(ms, Cause::Cut)).emissions.into_keys().collect()
    }

    /// The change of CO2e that was written at the instant `ms`, kg, by reason.
    pub(crate) fn written(&self, ms: i64) -> Vec<(&'static str, String)> {
        let mut sums: BTreeMap<Reason, i128> = BTreeMap::new();
        for ((_, reason), tick, e) in &self.derived.out.emissions {
            if tick.ms() == ms {
                *sums.entry(*reason).or_default() += e.co2e.get();
            }
        }
        sums.into_iter().map(|(reason, sum)| (reason.name(), kg(sum))).collect()
    }
}

/// An activity at node 0 under factor 0.
pub(crate) fn activity(id: u32, value: &str, unit: Unit, stretch: (i64, i64)) -> Record {
    Record::Activity(ActivityRecord {
        activity: Id(300 + id),
        node: node_id(0),
        factor: factor_id(0),
        from_ms: stretch.0,
        to_ms: stretch.1,
        value: Some(n(value)),
        unit,
        version: 0,
        quality: Quality::Measured,
        arrival: Arrival::default(),
    })
}

/// The plain rule of a factor: what holds without a series.
pub(crate) fn series_row(factor: u32) -> SeriesRow {
    SeriesRow {
        factor: factor_id(factor),
        kind: SeriesKind::Rolling,
        vintage: Vintage::Calendar,
        year_begins: 1,
        total: Total::Split,
        fallback: Id::NONE,
        validity: Validity::ALWAYS,
        revision: 1,
    }
}

/// So many `to` are one `unit`, always.
pub(crate) fn price_row(unit: Unit, to: Unit, rate: &str) -> PriceRow {
    PriceRow {
        price: Id(500),
        unit,
        to,
        rate: n(rate),
        per: Decimal::ONE,
        validity: Validity::ALWAYS,
        revision: 0,
        source: Id::NONE,
    }
}

/// The text of a file of the shared data, if it is there.
pub(crate) fn shared(name: &str) -> Option<String> {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    std::fs::read_to_string(root.join("../../shared/data").join(name)).ok()
}
