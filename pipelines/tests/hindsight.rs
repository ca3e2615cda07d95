//! Restating what lies below the horizon: whatever was learned too late, and whenever that is made good, the
//! balances are those of the batch reference over everything, as known then; and what follows is booked on the
//! right base.
//!
//! 1. A history is run through with a horizon of a day or two, so that much of it comes too late.
//! 2. At some steps what is known at an earlier one is computed anew ([`hindsight`]); what the balances below the
//!    horizon lack is booked, and added to the opening balance of windows to date; and the live dataflow is told
//!    what to keep of it, where it may keep something else.
//! 3. At every tick all balances equal the reference, which knows of the restatements, bit for bit.
//! 4. One restatement after another finds nothing to book.
//! 5. Once nothing is pending, another GWP set restates everything at once: what hindsight says under it of all that
//!    has settled, less what is booked, brings the ledger to where a dataflow that runs under it already is.

mod support;

use std::collections::{BTreeMap, BTreeSet};

use plumeline_pipelines::audit::Auditor;
use plumeline_pipelines::engine::{Engine, EngineOptions, Semigroup};
use plumeline_pipelines::hindsight::{Hindsight, Recall, hindsight};
use plumeline_pipelines::model::{
    Cause, Emission, Fact, GwpSet, Measure, Policy, Record, Subject, Tick,
};
use plumeline_pipelines::reference::{Balances, Restated, add};
use plumeline_pipelines::stages::notice::Notice;
use plumeline_pipelines::stages::to_date::OpeningKey;
use proptest::prelude::*;
use support::Scenario;
use support::audit::assert_audit_agrees;
use support::derive::{Derived, assert_agrees_with};
use support::random::{cases, long_scenarios, scenarios};
use support::restatements::{Restatements, restatements};
use timely::worker::Worker;

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

/// What the live dataflow has told to keep at the horizon's last move, at `moved_ms`, and what was recalled since.
#[derive(Default)]
struct Kept {
    recalled: Vec<(i64, Recall)>,
}

impl Kept {
    fn of(&self, subject: Subject, derived: &Derived, moved_ms: i64) -> Vec<Record> {
        let is_of = |(ms, recall): &&(i64, Recall)| *ms >= moved_ms && recall.subject == subject;
        if let Some((_, recall)) = self.recalled.iter().rfind(is_of) {
            return recall.records.clone();
        }
        let told = derived.out.notices.iter().filter_map(|(tick, notice)| match notice {
            Notice::Kept(record) if tick.ms() == moved_ms && record.subject() == subject => {
                Some(record.clone())
            }
            _ => None,
        });
        told.collect()
    }
}

/// What it takes to bring the balances of periods below the horizon of `known` to what hindsight says.
struct Missing {
    balances: Balances,
    recalls: Vec<Recall>,
}

fn missing(
    scenario: &Scenario,
    derived: &Derived,
    (at, count): (usize, usize),
    kept_live: &Kept,
) -> Missing {
    let policy = &scenario.policy;
    let instants = scenario.instants();
    let found = &derived.until(Tick::new(instants[at], Cause::Cut));
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
    let moved_ms = policy.horizon_moved_ms(tick);
    // Of what was said since the horizon moved nothing is among what was kept then.
    let recent = scenario.steps[..count].iter().zip(&instants).filter(|(_, ms)| **ms >= moved_ms);
    let recent: BTreeSet<Subject> =
        recent.flat_map(|(step, _)| &step.records).map(Record::subject).collect();
    let is_recent = |subject| matches!(subject, Subject::Activity(_)) && recent.contains(&subject);
    let meanwhile = scenario.steps[count..=at].iter().flat_map(|step| &step.records);
    let recalls = subjects.into_iter().filter_map(|subject| {
        let records = kept.remove(&subject).unwrap_or_default();
        let is_kept = kept_live.of(subject, derived, moved_ms) == records;
        if is_kept && !is_recent(subject) {
            return None;
        }
        let mut recall = Recall { subject, records };
        let said = meanwhile.clone().filter_map(|record| match record {
            Record::Activity(activity) if record.subject() == subject => Some(activity),
            _ => None,
        });
        recall.hear(policy, horizon, said);
        Some(recall)
    });
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
            known_ms: 0,
        };
        let mut engine = Engine::build(worker, &options);
        let (mut derived, mut kept) = (Derived::default(), Kept::default());
        let instants = scenario.instants();
        for (at, (step, ms)) in scenario.steps.iter().zip(&instants).enumerate() {
            for (fact, diff) in step.facts_in_order() {
                engine.fact(*ms, fact, diff);
            }
            engine.records(*ms, step.records.clone());
            let cut = Tick::new(*ms, Cause::Cut);
            if let Some(&count) = restatements.get(&at) {
                let recalled = Tick::new(*ms, Cause::Kept);
                engine.advance_to(recalled);
                worker.step_while(|| !engine.is_past(recalled));
                derived.take(engine.drain());
                let Missing { balances, recalls } =
                    missing(&scenario, &derived, (at, count), &kept);
                kept.recalled.extend(recalls.iter().map(|recall| (*ms, recall.clone())));
                engine.recall(*ms, recalls);
                let footprints = balances.footprints.iter();
                let opening = footprints.filter_map(|(key, change)| {
                    Some((OpeningKey::of(key, &scenario.policy.calendar)?, *change))
                });
                engine.open(*ms, opening);
                pass(&mut engine, worker, cut);
                derived.take(engine.drain());
                derived.book(cut, balances);
                let again = missing(&scenario, &derived, (at, count), &kept);
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

/// Up to and with step `at` under the policy of `old`, later under that of `new`, which knows all that came before:
/// what a change of the GWP set lacks is booked with the step after.
fn change(old: (&Scenario, Derived), new: (&Scenario, Derived), at: usize) -> Derived {
    let (scenario, derived) = old;
    let instants = scenario.instants();
    let (last, first) =
        (Tick::new(instants[at], Cause::Cut), Tick::new(instants[at + 1], Cause::Cut));
    let (booked, wanted) = (derived.until(last), new.1.until(last));
    let (facts, records) = known(scenario, at + 1);
    let Hindsight { activity, emissions, footprints, .. } =
        hindsight(&new.0.policy, facts, records, last);
    let negated = |e: &Emission| e.negated();
    let balances = Balances {
        activity: difference(activity, &booked.activity, |_| true, |m| m.negated()),
        emissions: difference(emissions, &booked.emissions, |_| true, negated),
        footprints: difference(footprints, &booked.footprints, |_| true, negated),
        windows: BTreeMap::new(),
    };
    assert_eq!(balances.activity, BTreeMap::new(), "amounts know no gas");
    let windows = difference(wanted.windows, &booked.windows, |_| true, negated);
    let (mut both, mut later) = (derived, new.1);
    both.retain(|tick| tick <= last);
    later.retain(|tick| tick > last);
    both.take(later.out);
    both.book(first, balances);
    // A restart builds the windows anew: it shows them as they are.
    both.out.windows.extend(windows.into_iter().map(|(key, change)| (key, first, change)));
    both
}

/// All balances are the reference's at every tick, with restatements at some of them.
fn assert_restated(scenario: &Scenario, picks: Vec<(prop::sample::Index, usize)>, shuffle: u64) {
    let mut picks = picks;
    picks.sort_by_key(|(at, _)| at.index(scenario.steps.len()));
    let restatements = restatements(scenario, &picks);
    let mut history = scenario.history();
    let instants = scenario.instants();
    let cut = |step: usize| Tick::new(instants[step], Cause::Cut);
    history.restated = restatements
        .iter()
        .map(|(at, known)| Restated { tick: cut(*at), known: cut(*known - 1) })
        .collect();
    assert_agrees_with(&derive(scenario, &restatements), scenario, &history);
    let auditor = Auditor::with_history(scenario.policy.clone());
    assert_audit_agrees(auditor, scenario, &history, shuffle);
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
        assert_restated(&scenario.retaining(retain_days), picks, shuffle);
    }

    #[test]
    fn windows_to_date_hold_what_is_restated_below_the_horizon(
        scenario in long_scenarios(),
        retain_days in 1_i64..3,
        picks in prop::collection::vec((any::<prop::sample::Index>(), 0_usize..3), 1..4),
        shuffle in any::<u64>(),
    ) {
        assert_restated(&scenario.retaining(retain_days), picks, shuffle);
    }

    #[test]
    fn another_gwp_set_restates_all_that_was_ever_booked(
        scenario in long_scenarios(),
        retain_days in 1_i64..3,
        pick in any::<prop::sample::Index>(),
        shuffle in any::<u64>(),
    ) {
        prop_assume!(scenario.steps.len() > 1);
        let old = scenario.retaining(retain_days);
        let policy = Policy { gwp: GwpSet::Ar4, ..old.policy.clone() };
        let new = Scenario { policy, ..old.clone() };
        let at = pick.index(old.steps.len() - 1);
        let restatements = Restatements::from([(at, at + 1)]);
        let instants = old.instants();
        let cut = |step: usize| Tick::new(instants[step], Cause::Cut);
        let mut history = old.history();
        history.restated = vec![Restated { tick: cut(at), known: cut(at) }];
        history.gwps = vec![(cut(at + 1), GwpSet::Ar4)];
        let derived = (derive(&old, &restatements), derive(&new, &restatements));
        let derived = change((&old, derived.0), (&new, derived.1), at);
        assert_agrees_with(&derived, &old, &history);
        let auditor = Auditor::with_history(old.policy.clone());
        assert_audit_agrees(auditor, &old, &history, shuffle);
    }
}
