//! Histories told by hand, minute by minute from [`START_MS`], and what the books say at a minute.
//!
//! Every story is told to 1 and to 2 workers and compared with the reference at every step before
//! anything else is asked of it. Amounts and masses are told as exact decimals.

use std::collections::BTreeMap;

use differential_dataflow::consolidation::consolidate_updates;
use plumeline_pipelines::engine::Outbox;
use plumeline_pipelines::model::{
    ActivityKey, Cause, CertificateRow, ContractRow, Decimal, Emission, EmissionKey, Fact,
    FactorRow, FootprintKey, Gas, Id, Measure, MeterRow, NodeRow, Period, Policy, PriceRow, Reason,
    Record, SeriesRow, Subject, Tick,
};
use plumeline_pipelines::reference::Balances;
use plumeline_pipelines::stages::notice::Notice;

use super::derive::{Derived, assert_agrees, derive};
use super::{
    MINUTE, PERIOD, START_MS, Scenario, Step, factor_row, meter_id, node_id, node_row, policy,
    reading,
};

/// A scenario in the making.
pub(crate) struct Story {
    scenario: Scenario,
    minute: i64,
}

impl Story {
    /// Node 1 below node 0, factor 0 of 0.5 kg CO2 a kWh, and the given rows, all known at minute 0.
    pub(crate) fn with(meters: impl IntoIterator<Item = MeterRow>) -> Self {
        let mut story = Self::new();
        story = story.node(node_row(0, None)).node(node_row(1, Some(0)));
        story = story.factor(factor_row(0, Gas::Co2, "0.5"));
        meters.into_iter().fold(story, Self::meter)
    }

    /// Nothing known yet.
    pub(crate) fn new() -> Self {
        let scenario = Scenario { policy: policy(2), steps: vec![Step::default()] };
        Self { scenario, minute: 0 }
    }

    /// The same under another policy.
    pub(crate) fn under(mut self, policy: Policy) -> Self {
        self.scenario.policy = policy;
        self
    }

    /// A tick at this minute; what follows is learned then.
    pub(crate) fn at(mut self, minute: i64) -> Self {
        assert!(minute > self.minute, "a story goes forward");
        let after_ms = (minute - self.minute) * MINUTE;
        self.scenario.steps.push(Step { after_ms, ..Step::default() });
        self.minute = minute;
        self
    }

    fn step(&mut self) -> &mut Step {
        self.scenario.steps.last_mut().expect("a story begins with a step")
    }

    pub(crate) fn meter(mut self, row: MeterRow) -> Self {
        self.step().facts.push((Fact::Meter(row), 1));
        self
    }

    pub(crate) fn factor(mut self, row: FactorRow) -> Self {
        self.step().facts.push((Fact::Factor(row), 1));
        self
    }

    pub(crate) fn node(mut self, row: NodeRow) -> Self {
        self.step().facts.push((Fact::Node(row), 1));
        self
    }

    pub(crate) fn series(mut self, row: SeriesRow) -> Self {
        self.step().facts.push((Fact::Series(row), 1));
        self
    }

    pub(crate) fn contract(mut self, row: ContractRow) -> Self {
        self.step().facts.push((Fact::Contract(row), 1));
        self
    }

    pub(crate) fn certificate(mut self, row: CertificateRow) -> Self {
        self.step().facts.push((Fact::Certificate(row), 1));
        self
    }

    pub(crate) fn price(mut self, row: PriceRow) -> Self {
        self.step().facts.push((Fact::Price(row), 1));
        self
    }

    pub(crate) fn withdrawn(mut self, fact: Fact) -> Self {
        self.step().facts.push((fact, -1));
        self
    }

    pub(crate) fn record(mut self, record: Record) -> Self {
        self.step().records.push(record);
        self
    }

    /// Meter 0 says `value` of this minute.
    pub(crate) fn reads(self, minute: i64, value: &str) -> Self {
        self.record(reading(0, START_MS + minute * MINUTE, Some(value)))
    }

    /// Meter 0 takes back what it said of this minute.
    pub(crate) fn takes_back(self, minute: i64) -> Self {
        self.record(reading(0, START_MS + minute * MINUTE, None))
    }

    /// The scenario itself.
    pub(crate) fn scenario(self) -> Scenario {
        self.scenario.numbered()
    }

    /// Tells it.
    pub(crate) fn told(self) -> Books {
        let scenario = self.scenario();
        let derived = [1_usize, 2].map(|workers| {
            let derived = derive(&scenario, workers, u64::try_from(workers).expect("small"));
            assert_agrees(&derived, &scenario);
            Books::of(derived)
        });
        let [alone, together] = derived;
        assert_eq!(alone.out.activity, together.out.activity);
        assert_eq!(alone.out.emissions, together.out.emissions);
        assert_eq!(alone.out.footprints, together.out.footprints);
        assert_eq!(alone.out.windows, together.out.windows);
        together
    }
}

/// What was derived from a story, consolidated as the sinks do.
pub(crate) struct Books {
    out: Outbox,
    derived: Derived,
}

/// An instant as minutes since the story began.
fn minutes(ms: i64) -> i64 {
    (ms - START_MS) / MINUTE
}

fn slot(period: Period) -> i64 {
    (period.start_ms(PERIOD) - START_MS) / PERIOD
}

fn number_of(node: Id) -> u32 {
    node.0 - node_id(0).0
}

fn number_of_subject(subject: Subject) -> u32 {
    match subject {
        Subject::Meter(id) => id.0 - meter_id(0).0,
        Subject::Activity(id) | Subject::Contract(id) | Subject::Uncovered(id) => id.0,
    }
}

fn exact(scaled: i128, scale: u8) -> String {
    Decimal::new(scaled, scale).to_string()
}

impl Books {
    fn of(derived: Derived) -> Self {
        let Outbox { activity, emissions, footprints, windows, notices } = &derived.out;
        let mut out = Outbox {
            activity: activity.clone(),
            emissions: emissions.clone(),
            footprints: footprints.clone(),
            windows: windows.clone(),
            notices: notices.clone(),
        };
        consolidate_updates(&mut out.activity);
        consolidate_updates(&mut out.emissions);
        consolidate_updates(&mut out.footprints);
        consolidate_updates(&mut out.windows);
        Self { out, derived }
    }

    /// All balances at the end of this minute's tick.
    pub(crate) fn balances(&self, minute: i64) -> Balances {
        self.derived.until(Tick::new(START_MS + minute * MINUTE, Cause::Cut))
    }

    /// `(slot, amount, covered minutes, presence)`.
    pub(crate) fn activity(&self, minute: i64) -> Vec<(i64, String, i64, i64)> {
        let balances = self.balances(minute).activity;
        let line = |(key, m): (ActivityKey, Measure)| {
            let amount = exact(m.amount.get(), 9);
            (slot(key.period), amount, m.covered_ms / MINUTE, m.presence)
        };
        balances.into_iter().map(line).collect()
    }

    /// `(slot, node, amount)`: where it is booked to.
    pub(crate) fn places(&self, minute: i64) -> Vec<(i64, u32, String)> {
        let balances = self.balances(minute).activity;
        let line = |(key, m): (ActivityKey, Measure)| {
            (slot(key.period), number_of(key.node), exact(m.amount.get(), 9))
        };
        balances.into_iter().map(line).collect()
    }

    /// `(slot, gas, mass, CO2e, presence)`.
    pub(crate) fn emissions(&self, minute: i64) -> Vec<(i64, &'static str, String, String, i64)> {
        let balances = self.balances(minute).emissions;
        let line = |(key, e): (EmissionKey, Emission)| {
            let (mass, co2e) = (exact(e.mass.get(), 21), exact(e.co2e.get(), 21));
            (slot(key.activity.period), key.line.gas.name(), mass, co2e, e.presence)
        };
        balances.into_iter().map(line).collect()
    }

    /// `(hour, node, depth, CO2e, presence)`.
    pub(crate) fn footprints(&self, minute: i64) -> Vec<(i64, u32, u8, String, i64)> {
        let balances = self.balances(minute).footprints;
        let line = |(key, e): (FootprintKey, Emission)| {
            let hour = minutes(key.start_ms) / 60;
            (hour, number_of(key.node), key.depth, exact(e.co2e.get(), 21), e.presence)
        };
        balances.into_iter().map(line).collect()
    }

    /// CO2e of the root in the windows `open`, 1 h, 24 h; `-` where there is no balance.
    pub(crate) fn windows(&self, minute: i64) -> [String; 3] {
        let balances = self.balances(minute).windows;
        [0, 1, 2].map(|window| {
            let root = balances.iter().find(|(k, _)| k.window == window && k.node == node_id(0));
            root.map_or_else(|| "-".to_owned(), |(_, e)| exact(e.co2e.get(), 21))
        })
    }

    /// How many entries of `activity`, `emissions` and `footprints` were written at this minute.
    pub(crate) fn written(&self, minute: i64) -> [usize; 3] {
        let here = |tick: &Tick| tick.ms() == START_MS + minute * MINUTE;
        [
            self.out.activity.iter().filter(|(_, tick, _)| here(tick)).count(),
            self.out.emissions.iter().filter(|(_, tick, _)| here(tick)).count(),
            self.out.footprints.iter().filter(|(_, tick, _)| here(tick)).count(),
        ]
    }

    /// How many changes of windows were derived at this minute.
    pub(crate) fn window_moves(&self, minute: i64) -> usize {
        let here = |tick: &Tick| tick.ms() == START_MS + minute * MINUTE;
        self.out.windows.iter().filter(|(_, tick, _)| here(tick)).count()
    }

    /// Every entry of `activity`: `(minute, slot, reason, amount, presence)`.
    pub(crate) fn activity_entries(&self) -> Vec<(i64, i64, &'static str, String, i64)> {
        let mut entries: Vec<_> = self.out.activity.iter().collect();
        entries.sort_by_key(|((key, _), tick, _)| (*tick, *key));
        let line = |((key, reason), tick, m): &((ActivityKey, Reason), Tick, Measure)| {
            let amount = exact(m.amount.get(), 9);
            (minutes(tick.ms()), slot(key.period), reason.name(), amount, m.presence)
        };
        entries.into_iter().map(line).collect()
    }

    /// What this minute wrote to `activity`: `(slot, subject, node, reason, amount)`, with meters by number and
    /// activities by id.
    pub(crate) fn moved(&self, minute: i64) -> Vec<(i64, u32, u32, &'static str, String)> {
        let mut sums: BTreeMap<(i64, u32, u32, Reason), i128> = BTreeMap::new();
        let here = |tick: &Tick| tick.ms() == START_MS + minute * MINUTE;
        for ((key, reason), _, m) in self.out.activity.iter().filter(|(_, tick, _)| here(tick)) {
            let (subject, node) = (number_of_subject(key.subject), number_of(key.node));
            let sum = sums.entry((slot(key.period), subject, node, *reason)).or_default();
            *sum += m.amount.get();
        }
        let line = |((slot, subject, node, reason), sum): ((_, _, _, Reason), _)| {
            (slot, subject, node, reason.name(), exact(sum, 9))
        };
        sums.into_iter().map(line).collect()
    }

    /// What this minute wrote to `emissions`, old lines against new: `(slot, subject, reason, CO2e)`.
    pub(crate) fn restated(&self, minute: i64) -> Vec<(i64, u32, &'static str, String)> {
        let mut sums: BTreeMap<(i64, u32, Reason), i128> = BTreeMap::new();
        let here = |tick: &Tick| tick.ms() == START_MS + minute * MINUTE;
        for ((key, reason), _, e) in self.out.emissions.iter().filter(|(_, tick, _)| here(tick)) {
            let subject = number_of_subject(key.activity.subject);
            let sum = sums.entry((slot(key.activity.period), subject, *reason)).or_default();
            *sum += e.co2e.get();
        }
        let line = |((slot, subject, reason), sum): ((_, _, Reason), _)| {
            (slot, subject, reason.name(), exact(sum, 21))
        };
        sums.into_iter().map(line).collect()
    }

    /// Notices of this minute, tallies apart.
    pub(crate) fn waiting(&self, minute: i64) -> Vec<&Notice> {
        self.notices(minute).filter(|n| matches!(n, Notice::Waiting { .. })).collect()
    }

    /// Records of this minute by outcome: `(outcome, count)`.
    pub(crate) fn outcomes(&self, minute: i64) -> Vec<(&'static str, u64)> {
        let mut counts = BTreeMap::new();
        for notice in self.notices(minute) {
            if let Notice::Tally(tally) = notice {
                for ((_, outcome), count) in &tally.outcomes {
                    *counts.entry(outcome.name()).or_insert(0) += count;
                }
            }
        }
        counts.into_iter().collect()
    }

    fn notices(&self, minute: i64) -> impl Iterator<Item = &Notice> {
        let ms = START_MS + minute * MINUTE;
        self.out.notices.iter().filter(move |(tick, _)| tick.ms() == ms).map(|(_, notice)| notice)
    }
}
