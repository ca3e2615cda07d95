//! Random histories, small enough to shrink well and mean enough to find what is wrong, and two ways to
//! their balances: the dataflow's entries accumulated, and the batch reference.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use plumeline_pipelines::engine::{Engine, EngineOptions};
use plumeline_pipelines::model::{
    ActivityRecord, Arrival, Cause, Decimal, Fact, FactorRow, Gas, GwpSet, Id, Measure, MeterKind,
    MeterRow, Method, NodeRow, Policy, Quality, Reading, Record, StampSide, Tick, Unit, Validity,
};
use plumeline_pipelines::reference::{Balances, History, add};
use proptest::prelude::*;

/// 2026-01-01T00:00:00Z: where every scenario begins.
pub const START_MS: i64 = 1_767_225_600_000;
const MINUTE: i64 = 60_000;
const HOUR: i64 = 60 * MINUTE;
const PERIOD: i64 = 15 * MINUTE;

/// One tick: facts, then records.
#[derive(Clone, Debug, Default)]
pub struct Step {
    /// Since the step before, ms.
    pub after_ms: i64,
    /// Facts learned (1) or taken back (-1).
    pub facts: Vec<(Fact, i64)>,
    /// Records, in the order they arrived.
    pub records: Vec<Record>,
}

/// A history to be fed.
#[derive(Clone, Debug)]
pub struct Scenario {
    pub policy: Policy,
    pub steps: Vec<Step>,
}

pub fn n(text: &str) -> Decimal {
    Decimal::parse(text).expect(text)
}
pub fn unit(symbol: &str) -> Unit {
    Unit::parse(symbol).expect(symbol)
}

pub const METERS: u32 = 4;
pub const FACTORS: u32 = 3;
pub const NODES: u32 = 5;
fn meter_id(i: u32) -> Id {
    Id(1 + i)
}
fn node_id(i: u32) -> Id {
    Id(100 + i)
}
fn factor_id(i: u32) -> Id {
    Id(200 + i)
}

pub fn policy(retain_days: i64) -> Policy {
    Policy {
        period_ms: PERIOD,
        grace_ms: 15 * MINUTE,
        retain_ms: retain_days * 24 * HOUR,
        samples_ms: retain_days * 24 * HOUR,
        windows_ms: vec![HOUR, 24 * HOUR],
        gwp: GwpSet::Ar6,
    }
}

pub fn meter_row(meter: u32, kind: MeterKind) -> MeterRow {
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

pub fn factor_row(factor: u32, gas: Gas, kg: &str) -> FactorRow {
    FactorRow {
        factor: factor_id(factor),
        revision: 0,
        scope: 2,
        category: 0,
        method: Method::Any,
        gas,
        kg_per_unit: n(kg),
        unit: unit("kWh"),
        validity: Validity::ALWAYS,
        source: Id::NONE,
    }
}

pub fn node_row(node: u32, parent: Option<u32>) -> NodeRow {
    NodeRow {
        node: node_id(node),
        parent: parent.map_or(Id::NONE, node_id),
        name: Id::NONE,
        validity: Validity::ALWAYS,
        revision: 0,
    }
}

pub fn reading(meter: u32, at_ms: i64, value: Option<&str>) -> Record {
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

/// A validity on the period grid, within a few days around the start.
fn validities() -> impl Strategy<Value = Validity> {
    let slots = (-20_i64..300, 1_i64..300);
    let some = slots.prop_map(|(from, length)| Validity {
        from_ms: START_MS + from * PERIOD,
        to_ms: START_MS + (from + length) * PERIOD,
    });
    let open = (-20_i64..200).prop_map(|from| Validity {
        from_ms: START_MS + from * PERIOD,
        ..Validity::ALWAYS
    });
    prop_oneof![3 => Just(Validity::ALWAYS), 2 => open, 2 => some]
}

fn meter_rows() -> impl Strategy<Value = MeterRow> {
    let kind = prop_oneof![
        Just(MeterKind::Interval),
        Just(MeterKind::Register),
        Just(MeterKind::Power)
    ];
    let shape = (kind, 0..METERS, 0..NODES, 0..=FACTORS, validities());
    let more = (0_u8..4, 0_u8..3, 0_u8..3, 0_u8..4, any::<bool>());
    (shape, more).prop_map(|((kind, meter, node, factor, validity), more)| {
        let (units, intervals, moduli, powers, start) = more;
        let is_power = kind == MeterKind::Power;
        let symbol = match (is_power, units) {
            (true, 0) => Some("W"),
            (true, _) => Some("kW"),
            (false, 0) => Some("Wh"),
            (false, 1) => Some("m3"),
            (false, 2) => None,
            (false, _) => Some("kWh"),
        };
        let interval_ms = match intervals {
            0 => None,
            1 => Some(PERIOD),
            _ => Some(HOUR),
        };
        let side = if start && interval_ms.is_some() { StampSide::Start } else { StampSide::End };
        MeterRow {
            node: node_id(node),
            unit: symbol.map(unit),
            multiplier: if units == 3 { n("2.5") } else { Decimal::ONE },
            stamp: side,
            interval_ms: interval_ms.filter(|_| kind == MeterKind::Interval),
            max_hold_ms: if powers == 0 { HOUR } else { 15 * MINUTE },
            modulus: (moduli == 0).then(|| n("1000")),
            max_power: (powers == 1).then(|| n("40")),
            factor: if factor == FACTORS { Id::NONE } else { factor_id(factor) },
            validity,
            ..meter_row(meter, kind)
        }
    })
}

/// A version of a factor: some lines under one revision and validity.
fn factor_versions() -> impl Strategy<Value = Vec<FactorRow>> {
    let kg = prop_oneof![Just("0"), Just("0.5"), Just("0.000000000001"), Just("0.177"), Just("3")];
    let recipe = prop_oneof![
        Just(vec![Gas::Co2e]),
        Just(vec![Gas::Co2, Gas::Ch4, Gas::N2o]),
        Just(vec![Gas::Co2, Gas::Co2Biogenic]),
    ];
    let symbol = prop_oneof![4 => Just("kWh"), 1 => Just("MMBtu"), 1 => Just("m3"), 1 => Just("MWh")];
    (0..FACTORS, recipe, kg, symbol, validities(), 0_u8..3).prop_map(
        |(factor, gases, kg, symbol, validity, method)| {
            let row = |gas| FactorRow {
                scope: if gas == Gas::Co2Biogenic { 0 } else { 2 },
                method: Method::ALL[usize::from(method)],
                unit: unit(symbol),
                validity,
                ..factor_row(factor, gas, kg)
            };
            gases.into_iter().map(row).collect()
        },
    )
}

fn node_rows() -> impl Strategy<Value = NodeRow> {
    (0..NODES, prop::option::of(0..NODES), validities())
        .prop_map(|(node, parent, validity)| NodeRow { validity, ..node_row(node, parent) })
}

/// Instants: mostly on a coarse grid, so that keys are met again.
fn instants() -> impl Strategy<Value = i64> {
    prop_oneof![
        6 => (-40_i64..200).prop_map(|slot| START_MS + slot * 5 * MINUTE),
        2 => (-10_i64..80).prop_map(|slot| START_MS + slot * HOUR),
        1 => (-100_000_i64..HOUR * 30).prop_map(|ms| START_MS + ms),
    ]
}

fn readings() -> impl Strategy<Value = Record> {
    let value = prop_oneof![
        6 => (0_i128..1200).prop_map(|v| Some(Decimal::new(v, 0))),
        2 => (-50_000_i128..50_000).prop_map(|v| Some(Decimal::new(v, 3))),
        1 => Just(Some(n("0.12345678901234567890"))),
        1 => Just(Some(Decimal::ZERO)),
        1 => Just(None),
    ];
    let symbol = prop_oneof![
        6 => Just(None), 2 => Just(Some("kWh")), 1 => Just(Some("Wh")), 1 => Just(Some("kW")),
        1 => Just(Some("m3")),
    ];
    let version = prop_oneof![4 => Just(0_u32), 1 => 1_u32..4];
    let from = prop_oneof![6 => Just(None), 1 => (1_i64..30).prop_map(Some)];
    (0..METERS, instants(), value, symbol, version, from).prop_map(
        |(meter, at_ms, value, symbol, version, from)| {
            let Record::Reading(plain) = reading(meter, at_ms, None) else { unreachable!() };
            Record::Reading(Reading {
                value,
                unit: symbol.map(unit),
                version,
                from_ms: from.map(|slots| at_ms - slots * 7 * MINUTE),
                ..plain
            })
        },
    )
}

fn activity_records() -> impl Strategy<Value = Record> {
    let value = prop_oneof![5 => (0_i128..100_000).prop_map(|v| Some(Decimal::new(v, 2))), 1 => Just(None)];
    (0_u32..3, 0..NODES, 0..=FACTORS, instants(), 1_i64..60, value, 0_u32..3).prop_map(
        |(activity, node, factor, from_ms, length, value, version)| {
            Record::Activity(ActivityRecord {
                activity: Id(300 + activity),
                node: node_id(node),
                factor: if factor == FACTORS { Id::NONE } else { factor_id(factor) },
                from_ms,
                to_ms: from_ms + length * 11 * MINUTE,
                value,
                unit: unit("kWh"),
                version,
                quality: Quality::Measured,
                arrival: Arrival::default(),
            })
        },
    )
}

/// What a step may do. Facts get their revisions when steps are put together.
#[derive(Clone, Debug)]
enum Deed {
    Meter(MeterRow),
    Factor(Vec<FactorRow>),
    Node(NodeRow),
    /// Takes back the n-th fact (or version) learned so far.
    Withdraw(prop::sample::Index),
    Record(Record),
}

fn deeds() -> impl Strategy<Value = Deed> {
    prop_oneof![
        3 => meter_rows().prop_map(Deed::Meter),
        2 => factor_versions().prop_map(Deed::Factor),
        2 => node_rows().prop_map(Deed::Node),
        1 => any::<prop::sample::Index>().prop_map(Deed::Withdraw),
        16 => readings().prop_map(Deed::Record),
        2 => activity_records().prop_map(Deed::Record),
    ]
}

/// Random histories of up to a dozen ticks, over hours or days.
pub fn scenarios() -> impl Strategy<Value = Scenario> {
    let pause = prop_oneof![
        3 => 1_i64..30 * MINUTE, 3 => HOUR..10 * HOUR, 1 => 20 * HOUR..60 * HOUR, 1 => Just(0),
    ];
    let step = (pause, prop::collection::vec(deeds(), 0..14));
    let begin = (any::<bool>(), 1_i64..4);
    (begin, prop::collection::vec(step, 1..12)).prop_map(|((seeded, retain), steps)| {
        let mut scenario =
            if seeded { Scenario::small() } else { Scenario { policy: policy(1), steps: Vec::new() } };
        scenario.policy = policy(retain);
        let mut known: Vec<Vec<Fact>> = Vec::new();
        let mut revision = 0;
        for (after_ms, deeds) in steps {
            let step = assemble(after_ms.max(1), deeds, &mut known, &mut revision);
            scenario.steps.push(step);
        }
        scenario.numbered()
    })
}

fn assemble(after_ms: i64, deeds: Vec<Deed>, known: &mut Vec<Vec<Fact>>, revision: &mut i64) -> Step {
    let mut step = Step { after_ms, ..Step::default() };
    for deed in deeds {
        *revision += 1;
        let learned: Vec<Fact> = match deed {
            Deed::Meter(row) => vec![Fact::Meter(MeterRow { revision: *revision, ..row })],
            Deed::Node(row) => vec![Fact::Node(NodeRow { revision: *revision, ..row })],
            Deed::Factor(rows) => {
                let row = |row| Fact::Factor(FactorRow { revision: *revision, ..row });
                rows.into_iter().map(row).collect()
            }
            Deed::Withdraw(index) if !known.is_empty() => {
                let taken = known.remove(index.index(known.len()));
                step.facts.extend(taken.into_iter().map(|fact| (fact, -1)));
                continue;
            }
            Deed::Withdraw(_) => continue,
            Deed::Record(record) => {
                step.records.push(record);
                continue;
            }
        };
        step.facts.extend(learned.iter().map(|fact| (fact.clone(), 1)));
        known.push(learned);
    }
    step
}

impl Scenario {
    /// Three meters of each kind under a two-level tree, one factor each, and a morning of readings.
    pub fn small() -> Self {
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
    pub fn numbered(mut self) -> Self {
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
    pub fn instants(&self) -> Vec<i64> {
        let mut at_ms = START_MS;
        let instant = |step: &Step| {
            at_ms += step.after_ms;
            at_ms
        };
        self.steps.iter().map(instant).collect()
    }

    /// The last cut.
    pub fn end(&self) -> Tick {
        Tick::new(self.instants().last().copied().unwrap_or(START_MS), Cause::Cut)
    }

    pub fn history(&self) -> History {
        let mut history =
            History { policy: self.policy.clone(), facts: Vec::new(), records: Vec::new() };
        for (step, ms) in self.steps.iter().zip(self.instants()) {
            for (fact, diff) in &step.facts {
                let cause = match fact {
                    Fact::Node(_) => Cause::Nodes,
                    Fact::Meter(_) => Cause::Meters,
                    Fact::Factor(_) => Cause::Factors,
                };
                history.facts.push((Tick::new(ms, cause), fact.clone(), *diff));
            }
            let readings = Tick::new(ms, Cause::Readings);
            history.records.extend(step.records.iter().map(|r| (readings, r.clone())));
        }
        history
    }

    /// With a last step that takes back every record still in reach, and time enough to book it.
    pub fn with_everything_withdrawn(mut self) -> Self {
        self.policy = policy(40);
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
    pub fn reordered(&self, seed: u64) -> Self {
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
                .map(|key| queues.get_mut(&key).and_then(|q| q.pop_front()).expect("one a place"))
                .collect();
        }
        other.numbered()
    }
}

/// A small generator for shuffling: splitmix64.
struct Shuffle(u64);

impl Shuffle {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.next() % u64::try_from(bound).expect("small")).expect("small")
    }

    fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            items.swap(last, self.below(last + 1));
        }
    }
}

/// Everything the dataflow derived, with the ticks.
#[derive(Debug, Default)]
pub struct Derived {
    pub out: plumeline_pipelines::engine::Outbox,
}

impl Derived {
    /// Balances of all entries up to `tick`.
    pub fn until(&self, tick: Tick) -> Balances {
        let mut balances = Balances::default();
        for ((key, _reason), at, change) in &self.out.activity {
            if *at <= tick {
                add(&mut balances.activity, *key, change);
            }
        }
        for ((key, _reason), at, change) in &self.out.emissions {
            if *at <= tick {
                add(&mut balances.emissions, *key, change);
            }
        }
        for (key, at, change) in &self.out.footprints {
            if *at <= tick {
                add(&mut balances.footprints, *key, change);
            }
        }
        for (key, at, change) in &self.out.windows {
            if *at <= tick {
                add(&mut balances.windows, *key, change);
            }
        }
        balances
    }
}

/// Runs the dataflow over the scenario; `shuffle` decides who is fed what, and in which order.
pub fn derive(scenario: &Scenario, workers: usize, shuffle: u64) -> Derived {
    let all = Arc::new(Mutex::new(Derived::default()));
    let (gathered, scenario) = (Arc::clone(&all), Arc::new(scenario.clone()));
    let config = timely::Config::process(workers);
    timely::execute(config, move |worker| {
        let options = EngineOptions {
            policy: scenario.policy.clone(),
            keep_readings: true,
            window_gases: true,
        };
        let mut engine = Engine::build(worker, &options);
        let (me, peers) = (worker.index(), worker.peers());
        // The same on every worker, so that each thing is fed once.
        let mut random = Shuffle(shuffle);
        for (step, ms) in scenario.steps.iter().zip(scenario.instants()) {
            let mut facts = step.facts.clone();
            facts.sort_by_key(|(fact, _)| match fact {
                Fact::Node(_) => 0,
                Fact::Meter(_) => 1,
                Fact::Factor(_) => 2,
            });
            for (fact, diff) in facts {
                if random.below(peers) == me {
                    engine.fact(ms, fact, diff);
                }
            }
            let mut records = step.records.clone();
            if shuffle > 0 {
                random.shuffle(&mut records);
            }
            for record in records {
                let mine = random.below(peers) == me;
                let stepped = random.below(3) == 0;
                if mine {
                    engine.records(ms, [record]);
                }
                if stepped {
                    worker.step();
                }
            }
            let cut = Tick::new(ms, Cause::Cut);
            engine.advance_to(cut.next());
            worker.step_while(|| !engine.is_past(cut.next()));
        }
        take(&gathered, engine.drain());
        drop_inputs(engine, worker, &gathered);
    })
    .expect("timely starts")
    .join()
    .into_iter()
    .for_each(|joined| joined.expect("a worker ran to its end"));
    Arc::into_inner(all).expect("all workers are done").into_inner().expect("no worker panicked")
}

fn take(gathered: &Mutex<Derived>, out: plumeline_pipelines::engine::Outbox) {
    let mut all = gathered.lock().expect("no worker panicked");
    all.out.activity.extend(out.activity);
    all.out.emissions.extend(out.emissions);
    all.out.footprints.extend(out.footprints);
    all.out.windows.extend(out.windows);
    all.out.notices.extend(out.notices);
}

/// Closes the inputs and gathers whatever still comes: nothing may.
fn drop_inputs(engine: Engine, worker: &mut timely::worker::Worker, gathered: &Mutex<Derived>) {
    let mut closed = engine.close();
    while worker.step() {}
    take(gathered, closed.drain());
}

/// The dataflow equals the reference at every tick, and between ticks.
pub fn assert_equals_reference(scenario: &Scenario, workers: usize, shuffle: u64) {
    let derived = derive(scenario, workers, shuffle);
    let history = scenario.history();
    for ms in scenario.instants() {
        let tick = Tick::new(ms, Cause::Cut);
        let (found, expected) = (derived.until(tick), history.balances(tick, true));
        assert_same("activity", tick, &found.activity, &expected.activity);
        assert_same("emissions", tick, &found.emissions, &expected.emissions);
        assert_same("footprints", tick, &found.footprints, &expected.footprints);
        assert_same("windows", tick, &found.windows, &expected.windows);
    }
}

fn assert_same<K: Ord + std::fmt::Debug, V: PartialEq + std::fmt::Debug>(
    table: &str,
    tick: Tick,
    found: &BTreeMap<K, V>,
    expected: &BTreeMap<K, V>,
) {
    for (key, value) in expected {
        assert_eq!(found.get(key), Some(value), "{table} at {tick:?}: {key:?}, found != expected");
    }
    for (key, value) in found {
        assert!(expected.contains_key(key), "{table} at {tick:?}: {key:?} = {value:?} is not expected");
    }
}

/// The sum of a table's amounts in whole units, for named cases.
pub fn total_amount(balances: &Balances) -> Measure {
    let mut sum = Measure::default();
    for measure in balances.activity.values() {
        differential_dataflow::difference::Semigroup::plus_equals(&mut sum, measure);
    }
    sum
}
