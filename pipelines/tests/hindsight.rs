//! Restating what lies below the horizon: whatever was learned too late, and whenever that is made good, the
//! balances are those of the batch reference over everything, as known then; and what follows is booked on the
//! right base.
//!
//! 1. A history is run through with a horizon of a day or two, so that much of it comes too late.
//! 2. At some steps what is known at an earlier one is computed anew ([`hindsight`]); what the balances below the
//!    horizon lack is booked, and the live dataflow is told what to keep of it.
//! 3. At every tick all balances equal the reference, which knows of the restatements, bit for bit.
//! 4. One restatement after another finds nothing to book.

mod support;

use std::collections::{BTreeMap, BTreeSet};

use plumeline_pipelines::audit::Auditor;
use plumeline_pipelines::engine::{Engine, EngineOptions, Semigroup};
use plumeline_pipelines::hindsight::{Hindsight, Recall, hindsight};
use plumeline_pipelines::model::{Cause, Emission, Fact, Measure, Record, Subject, Tick};
use plumeline_pipelines::reference::{Balances, Restated, add};
use proptest::prelude::*;
use support::Scenario;
use support::audit::assert_audit_agrees;
use support::derive::{Derived, assert_agrees_with};
use support::random::{cases, scenarios};
use timely::worker::Worker;

/// At step `at` what was known after step `known` is booked.
type Restatements = BTreeMap<usize, usize>;

/// What is known after `count` steps: facts that hold, and records.
fn known(scenario: &Scenario, count: usize) -> (Vec<Fact>, Vec<Record>) {
    let mut facts: BTreeMap<Fact, i64> = BTreeMap::new();
    let steps = &scenario.steps[..count];
    for (fact, diff) in steps.iter().flat_map(|step| &step.facts) {
        *facts.entry(fact.clone()).or_default() += diff;
    }
    let facts = facts.into_iter().filter(|(_, count)| *count > 0).map(|(fact, _)| fact);
    (facts.collect(), steps.iter().flat_map(|step| step.records.clone()).collect())
}

/// What it takes to bring the balances of periods below the horizon of `known` to what hindsight says.
struct Missing {
    balances: Balances,
    recalls: Vec<Recall>,
}

fn missing(scenario: &Scenario, found: &Balances, (at, count): (usize, usize)) -> Missing {
    let policy = &scenario.policy;
    let instants = scenario.instants();
    let tick = Tick::new(instants[count - 1], Cause::Cut);
    let horizon = policy.horizon(tick);
    let horizon_ms = horizon.start_ms(policy.period_ms);
    let (facts, records) = known(scenario, count);
    let subjects: BTreeSet<Subject> = records.iter().map(Record::subject).collect();
    let Hindsight { activity, emissions, footprints, mut kept } =
        hindsight(policy, facts, records, tick);
    let mut balances = Balances::default();
    let negated = |m: &Measure| m.negated();
    balances.activity = difference(activity, &found.activity, |k| k.period < horizon, negated);
    let negated = |e: &Emission| e.negated();
    balances.emissions =
        difference(emissions, &found.emissions, |k| k.activity.period < horizon, negated);
    balances.footprints =
        difference(footprints, &found.footprints, |k| k.start_ms < horizon_ms, negated);
    let meanwhile = scenario.steps[count..=at].iter().flat_map(|step| &step.records);
    let meanwhile: BTreeSet<Subject> = meanwhile.map(Record::subject).collect();
    let is_recalled =
        |subject: &Subject| matches!(subject, Subject::Meter(_)) || !meanwhile.contains(subject);
    let recalls = subjects
        .into_iter()
        .filter(is_recalled)
        .map(|subject| Recall { subject, records: kept.remove(&subject).unwrap_or_default() });
    Missing { recalls: recalls.collect(), balances }
}

fn difference<K: Ord + Copy, R: Semigroup + Default + plumeline_pipelines::engine::IsZero>(
    wanted: BTreeMap<K, R>,
    found: &BTreeMap<K, R>,
    is_below: impl Fn(&K) -> bool,
    negated: impl Fn(&R) -> R,
) -> BTreeMap<K, R> {
    let mut difference: BTreeMap<K, R> =
        wanted.into_iter().filter(|(key, _)| is_below(key)).collect();
    for (key, balance) in found.iter().filter(|(key, _)| is_below(key)) {
        add(&mut difference, *key, &negated(balance));
    }
    difference
}

fn is_nothing(balances: &Balances) -> bool {
    *balances == Balances::default()
}

/// Runs over the scenario and restates on the way.
fn derive(scenario: &Scenario, restatements: &Restatements) -> Derived {
    let (scenario, restatements) = (scenario.clone(), restatements.clone());
    timely::execute_directly(move |worker| {
        let options = EngineOptions {
            policy: scenario.policy.clone(),
            keep_readings: true,
            window_gases: true,
            restored: Tick::ZERO,
        };
        let mut engine = Engine::build(worker, &options);
        let mut derived = Derived::default();
        let instants = scenario.instants();
        for (at, (step, ms)) in scenario.steps.iter().zip(&instants).enumerate() {
            for (fact, diff) in step.facts_in_order() {
                engine.fact(*ms, fact, diff);
            }
            engine.records(*ms, step.records.clone());
            let cut = Tick::new(*ms, Cause::Cut);
            if let Some(&count) = restatements.get(&at) {
                let kept = Tick::new(*ms, Cause::Kept);
                engine.advance_to(kept);
                worker.step_while(|| !engine.is_past(kept));
                derived.take(engine.drain());
                let before = derived.until(cut);
                let Missing { balances, recalls } = missing(&scenario, &before, (at, count));
                engine.recall(*ms, recalls);
                pass(&mut engine, worker, cut);
                derived.take(engine.drain());
                derived.book(cut, balances);
                let again = missing(&scenario, &derived.until(cut), (at, count));
                assert!(is_nothing(&again.balances), "a second run finds nothing");
            }
            pass(&mut engine, worker, cut);
            derived.take(engine.drain());
        }
        derived
    })
}

fn pass(engine: &mut Engine, worker: &mut Worker, cut: Tick) {
    engine.advance_to(cut.next());
    worker.step_while(|| !engine.is_past(cut.next()));
}

/// Picks steps to restate at, and what is known then: only steps with the same horizon.
fn restatements(scenario: &Scenario, picks: &[(prop::sample::Index, usize)]) -> Restatements {
    let instants = scenario.instants();
    let horizon = |step: usize| scenario.policy.horizon(Tick::new(instants[step], Cause::Cut));
    let mut all = Restatements::new();
    for (at, back) in picks {
        let at = at.index(scenario.steps.len());
        let known = at.saturating_sub(*back).max(all.values().copied().max().unwrap_or(0));
        let is_later = all.keys().all(|earlier| *earlier < at);
        if known >= 1 && known <= at && is_later && horizon(known - 1) == horizon(at) {
            all.insert(at, known);
        }
    }
    all
}

proptest! {
    #![proptest_config(cases())]

    #[test]
    fn what_is_restated_from_below_the_horizon_equals_the_reference_over_everything(
        scenario in scenarios(),
        retain_days in 1_i64..3,
        picks in prop::collection::vec((any::<prop::sample::Index>(), 0_usize..3), 1..4),
        shuffle in any::<u64>(),
    ) {
        let scenario = Scenario { policy: support::policy(retain_days), ..scenario };
        let mut picks = picks;
        picks.sort_by_key(|(at, _)| at.index(scenario.steps.len()));
        let restatements = restatements(&scenario, &picks);
        let mut history = scenario.history();
        let instants = scenario.instants();
        let cut = |step: usize| Tick::new(instants[step], Cause::Cut);
        history.restated = restatements
            .iter()
            .map(|(at, known)| Restated { tick: cut(*at), known: cut(*known - 1) })
            .collect();
        assert_agrees_with(&derive(&scenario, &restatements), &scenario, &history);
        let auditor = Auditor::with_history(scenario.policy.clone());
        assert_audit_agrees(auditor, &scenario, &history, shuffle);
    }
}
