//! Histories to be fed, and two ways to their balances: the dataflow's entries accumulated, and the batch
//! reference.
//!
//! ```text
//! random ──┐
//!          ├─▶ Scenario ─┬─ derive ────▶ entries, accumulated ─┐
//! story ───┘             └─ history ───▶ the batch reference ──┴─ equal at every tick
//! ```

#![allow(dead_code, reason = "each test file uses its part of it")]

pub(crate) mod audit;
pub(crate) mod contracts;
pub(crate) mod dated;
pub(crate) mod dates;
pub(crate) mod derive;
pub(crate) mod random;
pub(crate) mod restatements;
pub(crate) mod story;

use std::collections::BTreeMap;

use derive::Shuffle;
use plumeline_pipelines::model::{
    ActivityRecord, Arrival, Calendar, Cause, Decimal, Fact, FactorChange, FactorRow, FactorStatus,
    Gas, GwpSet, Id, MeterKind, MeterRow, Method, NodeRow, Policy, Quality, Reading, Record,
    Retain, StampSide, Tick, Unit, Validity,
};
use plumeline_pipelines::reference::History;

/// 2026-01-01T00:00:00Z: where every scenario begins.
pub(crate) const START_MS: i64 = 1_767_225_600_000;
pub(crate) const MINUTE: i64 = 60_000;
pub(crate) const HOUR: i64 = 60 * MINUTE;
pub(crate) const PERIOD: i64 = 15 * MINUTE;

/// One tick: facts, then records.
#[derive(Clone, Debug, Default)]
pub(crate) struct Step {
    /// Since the step before, ms.
    pub(crate) after_ms: i64,
    /// Facts learned (1) or taken back (-1).
    pub(crate) facts: Vec<(Fact, i64)>,
    /// Records, in the order they arrived.
    pub(crate) records: Vec<Record>,
}

impl Step {
    /// The facts in the order of their sub-ticks.
    pub(crate) fn facts_in_order(&self) -> Vec<(Fact, i64)> {
        let mut facts = self.facts.clone();
        facts.sort_by_key(|(fact, _)| fact.cause());
        facts
    }
}

/// A history to be fed.
#[derive(Clone, Debug)]
pub(crate) struct Scenario {
    pub(crate) policy: Policy,
    pub(crate) steps: Vec<Step>,
}

pub(crate) fn n(text: &str) -> Decimal {
    Decimal::parse(text).expect(text)
}
pub(crate) fn unit(symbol: &str) -> Unit {
    Unit::parse(symbol).expect(symbol)
}

pub(crate) const METERS: u32 = 4;
pub(crate) const FACTORS: u32 = 3;
pub(crate) const NODES: u32 = 5;
pub(crate) fn meter_id(i: u32) -> Id {
    Id(1 + i)
}
pub(crate) fn node_id(i: u32) -> Id {
    Id(100 + i)
}
pub(crate) fn factor_id(i: u32) -> Id {
    Id(200 + i)
}

pub(crate) fn policy(retain_days: i64) -> Policy {
    Policy {
        period_ms: PERIOD,
        grace_ms: 15 * MINUTE,
        retain: Retain::of(retain_days * 24 * HOUR),
        samples_ms: retain_days * 24 * HOUR,
        windows_ms: vec![HOUR, 24 * HOUR],
        calendar: Calendar::default(),
        gwp: GwpSet::Ar6,
    }
}

pub(crate) fn meter_row(meter: u32, kind: MeterKind) -> MeterRow {
    MeterRow {
        meter: meter_id(meter),
        node: node_id(meter % NODES),
        kind,
        unit: Some(unit(if kind == MeterKind::Power { "kW" } else { "kWh" })),
        multiplier: Decimal::ONE,
        stamp: StampSide::End,
        interval_ms: None,
        max_hold_ms: 15 * MINUTE,
        modulus: None,
        max_power: None,
        expected_every_ms: None,
        factor: factor_id(meter % FACTORS),
        validity: Validity::ALWAYS,
        revision: 0,
    }
}

pub(crate) fn factor_row(factor: u32, gas: Gas, kg: &str) -> FactorRow {
    FactorRow {
        factor: factor_id(factor),
        revision: 0,
        scope: 2,
        category: 0,
        method: Method::Any,
        gas,
        kg_per_unit: n(kg),
        unit: unit("kWh"),
        published_gwp: None,
        status: FactorStatus::Final,
        change: FactorChange::Revised,
        validity: Validity::ALWAYS,
        source: Id::NONE,
    }
}

pub(crate) fn node_row(node: u32, parent: Option<u32>) -> NodeRow {
    NodeRow {
        node: node_id(node),
        parent: parent.map_or(Id::NONE, node_id),
        name: Id::NONE,
        validity: Validity::ALWAYS,
        revision: 0,
    }
}

pub(crate) fn reading(meter: u32, at_ms: i64, value: Option<&str>) -> Record {
    Record::Reading(Reading {
        meter: meter_id(meter),
        at_ms,
        from_ms: None,
        value: value.map(n),
        unit: None,
        version: 0,
        quality: Quality::Measured,
        arrival: Arrival::default(),
    })
}

impl Scenario {
    /// The same under another `retain`, which becomes longer when the one before it did, and by as much.
    pub(crate) fn retaining(self, days: i64) -> Self {
        let Self { policy: Policy { calendar, retain, .. }, steps } = self;
        let mut policy = Policy { calendar, ..policy(days) };
        let mut last_ms = retain.first_ms();
        for (until_ms, ms) in retain.later() {
            let longer_ms = policy.retain.ms() + ms - last_ms;
            policy.retain = policy.retain.grown(*until_ms, longer_ms).expect("longer, and later");
            last_ms = *ms;
        }
        Self { policy, steps }
    }

    /// Three meters of each kind under a two-level tree, one factor each, and a morning of readings.
    pub(crate) fn small() -> Self {
        let mut first = Step { after_ms: 0, ..Step::default() };
        let nodes = [(0, None), (1, Some(0)), (2, Some(0)), (3, Some(1)), (4, Some(1))];
        first.facts.extend(nodes.map(|(node, parent)| (Fact::Node(node_row(node, parent)), 1)));
        for (i, kind) in (0..).zip([MeterKind::Interval, MeterKind::Register, MeterKind::Power]) {
            first.facts.push((Fact::Meter(meter_row(i, kind)), 1));
            first.facts.push((Fact::Factor(factor_row(i, Gas::Co2, "0.5")), 1));
        }
        let mut steps = vec![first];
        for quarter in 1..8_i64 {
            let at_ms = START_MS + quarter * PERIOD;
            let value = (100 + quarter).to_string();
            let records = (0..3).map(|meter| reading(meter, at_ms, Some(&value))).collect();
            steps.push(Step { after_ms: PERIOD, records, ..Step::default() });
        }
        Self { policy: policy(2), steps }.numbered()
    }

    /// Numbers records in the order they arrive.
    pub(crate) fn numbered(mut self) -> Self {
        let records = self.steps.iter_mut().flat_map(|step| &mut step.records);
        for (index, record) in (1_u64..).zip(records) {
            match record {
                Record::Reading(reading) => reading.arrival.index = index,
                Record::Activity(activity) => activity.arrival.index = index,
            }
        }
        self
    }

    /// The instant of each step, ms.
    pub(crate) fn instants(&self) -> Vec<i64> {
        let mut at_ms = START_MS;
        let instant = |step: &Step| {
            at_ms += step.after_ms;
            at_ms
        };
        self.steps.iter().map(instant).collect()
    }

    /// The last cut.
    pub(crate) fn end(&self) -> Tick {
        Tick::new(self.instants().last().copied().unwrap_or(START_MS), Cause::Cut)
    }

    pub(crate) fn history(&self) -> History {
        let mut history = History {
            policy: self.policy.clone(),
            facts: Vec::new(),
            records: Vec::new(),
            restated: Vec::new(),
            gwps: Vec::new(),
        };
        for (step, ms) in self.steps.iter().zip(self.instants()) {
            for (fact, diff) in &step.facts {
                history.facts.push((Tick::new(ms, fact.cause()), fact.clone(), *diff));
            }
            let readings = Tick::new(ms, Cause::Readings);
            history.records.extend(step.records.iter().map(|r| (readings, r.clone())));
        }
        history
    }

    /// With a last step that takes back every record still in reach, and time enough to book it.
    pub(crate) fn with_everything_withdrawn(mut self) -> Self {
        self = self.retaining(40);
        let mut withdrawals: BTreeMap<(Id, i64), Record> = BTreeMap::new();
        for record in self.steps.iter().flat_map(|step| &step.records) {
            match record {
                Record::Reading(r) => {
                    let r = Reading { value: None, version: 9, ..r.clone() };
                    withdrawals.insert((r.meter, r.at_ms), Record::Reading(r));
                }
                Record::Activity(a) => {
                    let a = ActivityRecord { value: None, version: 9, ..a.clone() };
                    withdrawals.insert((a.activity, 0), Record::Activity(a));
                }
            }
        }
        let records = withdrawals.into_values().collect();
        self.steps.push(Step { after_ms: HOUR, records, ..Step::default() });
        self.steps.push(Step { after_ms: 60 * 24 * HOUR, ..Step::default() });
        self.numbered()
    }

    /// The same records in another order that keeps the order of those of one key.
    pub(crate) fn reordered(&self, seed: u64) -> Self {
        let mut other = self.clone();
        other.policy = self.policy.clone();
        let mut random = Shuffle(seed);
        let places: Vec<usize> = self.steps.iter().map(|step| step.records.len()).collect();
        let mut queues: BTreeMap<(Id, i64), std::collections::VecDeque<Record>> = BTreeMap::new();
        let mut keys = Vec::new();
        for record in self.steps.iter().flat_map(|step| &step.records) {
            let key = match record {
                Record::Reading(r) => (r.meter, r.at_ms),
                Record::Activity(a) => (a.activity, 0),
            };
            queues.entry(key).or_default().push_back(record.clone());
            keys.push(key);
        }
        random.shuffle(&mut keys);
        let mut keys = keys.into_iter();
        for (step, place) in other.steps.iter_mut().zip(places) {
            let next = keys.by_ref().take(place);
            step.records = next
                .map(|key| {
                    queues
                        .get_mut(&key)
                        .and_then(std::collections::VecDeque::pop_front)
                        .expect("one a place")
                })
                .collect();
        }
        other.numbered()
    }
}

/// Meter 0 at node 1, under factor 0: amounts of a quarter of an hour, stamped at its end.
pub(crate) fn interval() -> MeterRow {
    MeterRow { node: node_id(1), interval_ms: Some(PERIOD), ..meter_row(0, MeterKind::Interval) }
}

/// Meter 0 at node 1, under factor 0: a register.
pub(crate) fn register() -> MeterRow {
    MeterRow { node: node_id(1), ..meter_row(0, MeterKind::Register) }
}
