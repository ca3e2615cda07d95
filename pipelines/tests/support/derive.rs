//! The dataflow run over a scenario on some workers, and its entries accumulated.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use plumeline_pipelines::engine::{Engine, EngineOptions, Outbox};
use plumeline_pipelines::model::{Cause, Id, Period, Reason, Tick};
use plumeline_pipelines::reference::{Balances, History, add};
use plumeline_pipelines::stages::notice::Notice;
use timely::worker::Worker;

use super::Scenario;

/// A small generator for shuffling: splitmix64.
pub(crate) struct Shuffle(pub(crate) u64);

impl Shuffle {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(crate) fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.next() % u64::try_from(bound).expect("small")).expect("small")
    }

    pub(crate) fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            items.swap(last, self.below(last + 1));
        }
    }
}

/// Everything the dataflow derived, with the ticks.
#[derive(Debug, Default)]
pub(crate) struct Derived {
    pub(crate) out: Outbox,
}

impl Derived {
    /// Adds what was derived since.
    pub(crate) fn take(&mut self, out: Outbox) {
        self.out.activity.extend(out.activity);
        self.out.emissions.extend(out.emissions);
        self.out.footprints.extend(out.footprints);
        self.out.windows.extend(out.windows);
        self.out.notices.extend(out.notices);
    }

    /// Adds entries that did not come from the dataflow.
    pub(crate) fn book(&mut self, tick: Tick, balances: Balances) {
        let Balances { activity, emissions, footprints, .. } = balances;
        let reason = Reason::Restated;
        let out = &mut self.out;
        out.activity.extend(activity.into_iter().map(|(key, m)| ((key, reason), tick, m)));
        out.emissions.extend(emissions.into_iter().map(|(key, e)| ((key, reason), tick, e)));
        out.footprints.extend(footprints.into_iter().map(|(key, e)| (key, tick, e)));
    }

    /// Lets go of what has other ticks.
    pub(crate) fn retain(&mut self, is_wanted: impl Fn(Tick) -> bool) {
        self.out.activity.retain(|(_, tick, _)| is_wanted(*tick));
        self.out.emissions.retain(|(_, tick, _)| is_wanted(*tick));
        self.out.footprints.retain(|(_, tick, _)| is_wanted(*tick));
        self.out.windows.retain(|(_, tick, _)| is_wanted(*tick));
    }

    /// When each meter was last heard of, as told up to `tick`.
    pub(crate) fn heard(&self, tick: Tick) -> BTreeMap<Id, Period> {
        let mut heard = BTreeMap::new();
        let until = self.out.notices.iter().filter(|(at, _)| *at <= tick);
        for (_, notice) in until {
            match notice {
                Notice::Heard { meter, newest: Some(period) } => heard.insert(*meter, *period),
                Notice::Heard { meter, newest: None } => heard.remove(meter),
                _ => None,
            };
        }
        heard
    }

    /// Balances of all entries up to `tick`.
    pub(crate) fn until(&self, tick: Tick) -> Balances {
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
pub(crate) fn derive(scenario: &Scenario, workers: usize, shuffle: u64) -> Derived {
    let all = Arc::new(Mutex::new(Derived::default()));
    let (gathered, scenario) = (Arc::clone(&all), Arc::new(scenario.clone()));
    let config = timely::Config::process(workers);
    timely::execute(config, move |worker| {
        let options = EngineOptions {
            policy: scenario.policy.clone(),
            keep_readings: true,
            window_gases: true,
            restored: Tick::ZERO,
            known_ms: 0,
        };
        let mut engine = Engine::build(worker, &options);
        let (me, peers) = (worker.index(), worker.peers());
        // The same on every worker, so that each thing is fed once.
        let mut random = Shuffle(shuffle);
        for (step, ms) in scenario.steps.iter().zip(scenario.instants()) {
            for (fact, diff) in step.facts_in_order() {
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

fn take(gathered: &Mutex<Derived>, out: Outbox) {
    gathered.lock().expect("no worker panicked").take(out);
}

/// Closes the inputs and gathers whatever still comes: nothing may.
fn drop_inputs(engine: Engine, worker: &mut Worker, gathered: &Mutex<Derived>) {
    let mut closed = engine.close();
    while worker.step() {}
    take(gathered, closed.drain());
}

/// The dataflow equals the reference at every step.
pub(crate) fn assert_equals_reference(scenario: &Scenario, workers: usize, shuffle: u64) {
    assert_agrees(&derive(scenario, workers, shuffle), scenario);
}

/// What was derived equals the reference at every step.
pub(crate) fn assert_agrees(derived: &Derived, scenario: &Scenario) {
    assert_agrees_with(derived, scenario, &scenario.history());
}

/// What was derived equals the reference over `history` at every step of the scenario.
pub(crate) fn assert_agrees_with(derived: &Derived, scenario: &Scenario, history: &History) {
    for ms in scenario.instants() {
        let tick = Tick::new(ms, Cause::Cut);
        let (found, expected) = (derived.until(tick), history.balances(tick, true));
        assert_same("activity", tick, &found.activity, &expected.activity);
        assert_same("emissions", tick, &found.emissions, &expected.emissions);
        assert_same("footprints", tick, &found.footprints, &expected.footprints);
        assert_same("windows", tick, &found.windows, &expected.windows);
        let period = |(meter, at_ms)| (meter, scenario.policy.period_of(at_ms));
        let heard = history.heard(tick).into_iter().map(period).collect();
        assert_same("heard", tick, &derived.heard(tick), &heard);
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
        let known = expected.contains_key(key);
        assert!(known, "{table} at {tick:?}: {key:?} = {value:?} is not expected");
    }
}
