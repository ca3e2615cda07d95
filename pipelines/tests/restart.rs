//! A dataflow that is built anew in the middle of a history goes on as if nothing had happened.
//!
//! 1. A history is run through; what it tells to keep ([`Notice::Kept`]) is noted with its tick.
//! 2. A second dataflow is given what a journal would hold at some tick S: facts, what was kept at the last
//!    move of the horizon, and the records since; all at ticks before S, whatever their own. And what its tables
//!    hold below the horizon, as the opening balance of windows to date.
//! 3. The digests of what the second has derived up to S are those of the first, for periods that the horizon
//!    of S has not passed: a process that restarts can prove that its tables are what its journal leads to.
//! 4. Both go on from S. Everything derived after S is the same: entries, their reasons and ticks, notices
//!    (so that no `resolved` is told twice or never), and the windows. When each meter was last heard of is known at
//!    S already.
//!
//! Without `Kept` a register would lose its baseline, and an activity of long ago its first version.

mod support;

use std::collections::BTreeMap;
use std::sync::Arc;

use differential_dataflow::consolidation::consolidate_updates;
use plumeline_pipelines::digest::{Digest, Digester, Table};
use plumeline_pipelines::engine::{Engine, EngineOptions, Outbox};
use plumeline_pipelines::model::{Cause, Emission, Fact, Names, Policy, Record, Tick};
use plumeline_pipelines::reference::add;
use plumeline_pipelines::stages::notice::Notice;
use plumeline_pipelines::stages::to_date::{OpeningKey, booked};
use proptest::prelude::*;
use support::derive::Derived;
use support::random::{cases, long_scenarios, scenarios};
use support::{HOUR, Scenario, Step};
use timely::worker::Worker;

/// Instants of the scenarios lie at most this far ahead of their ticks.
const AHEAD_MS: i64 = 120 * HOUR;
/// Ticks before S that a restart may use.
const SLICES: i64 = 10_000;

/// What a journal holds of a history up to some tick.
struct Journal<'s> {
    /// The newest tick in it, ms.
    newest_ms: i64,
    steps: Vec<(i64, &'s Step)>,
    kept: Vec<Record>,
    /// What the tables hold below the horizon.
    opening: BTreeMap<OpeningKey, Emission>,
    /// When the horizon moved last, ms.
    moved_ms: i64,
    /// Records before it are gone, ms.
    first_ms: i64,
}

impl<'s> Journal<'s> {
    /// After `count` steps, told by a dataflow that has run over them.
    fn after(count: usize, scenario: &'s Scenario, told: &Outbox) -> Self {
        let instants: Vec<i64> = scenario.instants();
        let newest_ms = instants[count - 1];
        let newest = Tick::new(newest_ms, Cause::Cut);
        let moved_ms = scenario.policy.horizon_moved_ms(newest);
        let mut kept = Vec::new();
        for (tick, notice) in &told.notices {
            if let Notice::Kept(record) = notice
                && tick.ms() == moved_ms
            {
                kept.push(record.clone());
            }
        }
        for (index, record) in (1..).zip(&mut kept) {
            record.arrival_mut().index = index;
        }
        let horizon_ms = scenario.policy.horizon(newest).start_ms(scenario.policy.period_ms);
        let mut opening = BTreeMap::new();
        for (key, tick, change) in &told.footprints {
            if *tick <= newest
                && key.start_ms < horizon_ms
                && let Some(key) = OpeningKey::of(key, &scenario.policy.calendar)
            {
                add(&mut opening, key, &booked(change));
            }
        }
        let steps = instants.into_iter().zip(&scenario.steps).take(count).collect();
        Self { newest_ms, steps, kept, opening, moved_ms, first_ms: horizon_ms - AHEAD_MS }
    }

    /// Whether an activity of step `ms` is in `kept`: they all are, as of the horizon's last move.
    fn holds(&self, ms: i64, record: &Record) -> bool {
        ms >= self.first_ms && (matches!(record, Record::Reading(_)) || ms >= self.moved_ms)
    }
}

fn options(scenario: &Scenario, restored: Tick) -> EngineOptions {
    let policy = scenario.policy.clone();
    EngineOptions { policy, keep_readings: true, window_gases: true, restored, known_ms: 0 }
}

fn feed(engine: &mut Engine, worker: &mut Worker, ms: i64, step: &Step, kept: &[Record]) {
    for (fact, diff) in step.facts_in_order() {
        engine.fact(ms, fact, diff);
    }
    engine.records(ms, step.records.clone());
    engine.kept(ms, kept.iter().cloned());
    pass(engine, worker, ms);
}

fn pass(engine: &mut Engine, worker: &mut Worker, ms: i64) {
    let end = Tick::new(ms, Cause::Cut).next();
    engine.advance_to(end);
    worker.step_while(|| !engine.is_past(end));
}

/// What a dataflow derives that runs over all of the scenario.
fn uninterrupted(scenario: &Scenario) -> Outbox {
    let scenario = scenario.clone();
    timely::execute_directly(move |worker| {
        let mut engine = Engine::build(worker, &options(&scenario, Tick::ZERO));
        for (ms, step) in scenario.instants().into_iter().zip(&scenario.steps) {
            feed(&mut engine, worker, ms, step, &[]);
        }
        engine.drain()
    })
}

/// What a dataflow derives that is restored from a journal of `count` steps and runs over the rest.
fn restarted(scenario: &Scenario, count: usize, told: &Outbox) -> Outbox {
    let scenario = scenario.clone();
    let journal = Journal::after(count, &scenario, told);
    let (newest_ms, kept) = (journal.newest_ms, journal.kept.clone());
    let opening = journal.opening.clone();
    // In the order of a restart: what holds for all, what was kept, then step by step.
    let mut slices = vec![Step::default()];
    for (ms, step) in &journal.steps {
        let (meters, others): (Vec<_>, Vec<_>) =
            step.facts.iter().cloned().partition(|(fact, _)| matches!(fact, Fact::Meter(_)));
        slices[0].facts.extend(others);
        let records = step.records.iter().filter(|record| journal.holds(*ms, record));
        let records = records.cloned().collect();
        slices.push(Step { facts: meters, records, ..Step::default() });
    }
    timely::execute_directly(move |worker| {
        let restored = Tick::new(newest_ms, Cause::Cut);
        let mut engine = Engine::build(worker, &options(&scenario, restored));
        for (ms, slice) in (newest_ms - SLICES..).zip(&slices) {
            let kept = if ms == newest_ms - SLICES { &*kept } else { &[] };
            feed(&mut engine, worker, ms, slice, kept);
        }
        engine.open(newest_ms, opening);
        pass(&mut engine, worker, newest_ms);
        for (ms, step) in scenario.instants().into_iter().zip(&scenario.steps).skip(count) {
            feed(&mut engine, worker, ms, step, &[]);
        }
        engine.drain()
    })
}

/// Digests of all balances at `tick` of periods that its horizon has not passed.
fn digests(out: &Outbox, policy: &Policy, tick: Tick) -> [Digest; 3] {
    // Ids are the scenario's own: any names will do.
    let names = Arc::new(Names::new());
    for id in 0..1000 {
        names.intern(&id.to_string());
    }
    let mut digester = Digester::new(names, policy);
    for ((key, _), _, change) in out.activity.iter().filter(|(_, at, _)| *at <= tick) {
        digester.activity(key, change);
    }
    for ((key, _), _, change) in out.emissions.iter().filter(|(_, at, _)| *at <= tick) {
        digester.emission(key, change);
    }
    for (key, _, change) in out.footprints.iter().filter(|(_, at, _)| *at <= tick) {
        digester.footprint(key, change);
    }
    let digests = digester.take();
    Table::ALL.map(|table| digests.since(table, policy.horizon(tick).start_ms(policy.period_ms)))
}

/// What was derived after `tick`, consolidated and in order.
fn after(mut out: Outbox, tick: Tick) -> Outbox {
    out.activity.retain(|(_, at, _)| *at > tick);
    out.emissions.retain(|(_, at, _)| *at > tick);
    out.footprints.retain(|(_, at, _)| *at > tick);
    out.notices.retain(|(at, _)| *at > tick);
    consolidate_updates(&mut out.activity);
    consolidate_updates(&mut out.emissions);
    consolidate_updates(&mut out.footprints);
    out.notices.sort();
    out
}

fn assert_goes_on(scenario: &Scenario, count: usize) {
    let whole = uninterrupted(scenario);
    let second = restarted(scenario, count, &whole);
    let instants: Vec<i64> = scenario.instants();
    let tick = Tick::new(instants[count - 1], Cause::Cut);
    let windows = |out: &Outbox| {
        let mut derived = Derived::default();
        derived.out.windows.clone_from(&out.windows);
        let at = |ms: &i64| (*ms, derived.until(Tick::new(*ms, Cause::Cut)).windows);
        instants[count - 1..].iter().map(at).collect::<BTreeMap<_, _>>()
    };
    assert_eq!(windows(&whole), windows(&second), "windows");
    let heard = |out: &Outbox| {
        let mut derived = Derived::default();
        derived.out.notices.clone_from(&out.notices);
        derived.heard(tick)
    };
    assert_eq!(heard(&whole), heard(&second), "when meters were last heard of");
    let policy = &scenario.policy;
    assert_eq!(digests(&whole, policy, tick), digests(&second, policy, tick), "digests");
    let (whole, second) = (after(whole, tick), after(second, tick));
    assert_eq!(whole.activity, second.activity, "activity");
    assert_eq!(whole.emissions, second.emissions, "emissions");
    assert_eq!(whole.footprints, second.footprints, "footprints");
    assert_eq!(whole.notices, second.notices, "notices");
}

/// A number of steps, from 1 on.
fn count(at: prop::sample::Index, scenario: &Scenario) -> usize {
    1 + at.index(scenario.steps.len())
}

proptest! {
    #![proptest_config(cases())]

    #[test]
    fn a_restarted_dataflow_derives_what_an_uninterrupted_one_does(
        scenario in scenarios(),
        at in any::<prop::sample::Index>(),
        retain_days in 1_i64..4,
    ) {
        let scenario = scenario.retaining(retain_days);
        assert_goes_on(&scenario, count(at, &scenario));
    }

    #[test]
    fn windows_to_date_go_on_with_what_the_ledger_holds_below_the_horizon(
        scenario in long_scenarios(),
        at in any::<prop::sample::Index>(),
        retain_days in 1_i64..4,
    ) {
        let scenario = scenario.retaining(retain_days);
        assert_goes_on(&scenario, count(at, &scenario));
    }
}
