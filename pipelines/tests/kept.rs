//! What is kept from before the horizon is found again from what the tables hold: records that said something new,
//! rows, and when they came.
//!
//! 1. A history is run through with a horizon of a day or more, restated on the way or not.
//! 2. What `readings` and `activity_data` would hold of it is all that is left, and when something was restated.
//! 3. What is kept of each meter ([`kept`]) is what the dataflow told when its horizon moved last, or was recalled to
//!    it since. Of an activity it leads to the same claims once what came later is said again.

mod support;

use std::collections::{BTreeMap, BTreeSet};

use plumeline_pipelines::engine::{Engine, EngineOptions};
use plumeline_pipelines::hindsight::{Recall, hindsight};
use plumeline_pipelines::kept::{Booked, Kept, Story, kept};
use plumeline_pipelines::model::{Arrival, Cause, Decimal, Fact, Policy, Record, Subject, Tick};
use plumeline_pipelines::stages::activities::Said;
use plumeline_pipelines::stages::claims::Claims;
use plumeline_pipelines::stages::notice::Notice;
use proptest::prelude::*;
use support::Scenario;
use support::derive::Derived;
use support::random::{cases, scenarios};
use support::restatements::{Restatements, restatements};

/// What a dataflow has told, and what was recalled to it: when, ms, and what.
struct Run {
    derived: Derived,
    recalled: Vec<(i64, Recall)>,
}

/// Runs over the scenario; everything is recalled at each restatement, whether it differs or not.
fn run(scenario: &Scenario, restatements: &Restatements) -> Run {
    let (scenario, restatements) = (scenario.clone(), restatements.clone());
    timely::execute_directly(move |worker| {
        let options = EngineOptions {
            policy: scenario.policy.clone(),
            keep_readings: true,
            window_gases: false,
            restored: Tick::ZERO,
            known_ms: 0,
        };
        let mut engine = Engine::build(worker, &options);
        let (mut derived, mut recalled) = (Derived::default(), Vec::new());
        for (at, (step, ms)) in scenario.steps.iter().zip(scenario.instants()).enumerate() {
            for (fact, diff) in step.facts_in_order() {
                engine.fact(ms, fact, diff);
            }
            engine.records(ms, step.records.clone());
            if let Some(&count) = restatements.get(&at) {
                let recalls = recalls(&scenario, at, count);
                recalled.extend(recalls.iter().map(|recall| (ms, recall.clone())));
                engine.recall(ms, recalls);
            }
            let end = Tick::new(ms, Cause::Cut).next();
            engine.advance_to(end);
            worker.step_while(|| !engine.is_past(end));
            derived.take(engine.drain());
        }
        Run { derived, recalled }
    })
}

/// What is to be kept at step `at` by what was known after `count` steps.
fn recalls(scenario: &Scenario, at: usize, count: usize) -> Vec<Recall> {
    let Scenario { policy, steps } = scenario;
    let known = Tick::new(scenario.instants()[count - 1], Cause::Cut);
    let mut facts: BTreeMap<Fact, i64> = BTreeMap::new();
    for (fact, diff) in steps[..count].iter().flat_map(|step| &step.facts) {
        *facts.entry(fact.clone()).or_default() += diff;
    }
    let facts = facts.into_iter().filter(|(_, count)| *count > 0).map(|(fact, _)| fact);
    let records: Vec<Record> =
        steps[..count].iter().flat_map(|step| step.records.clone()).collect();
    let subjects: BTreeSet<Subject> = records.iter().map(Record::subject).collect();
    let mut kept = hindsight(policy, facts.collect(), records, known).kept;
    let recall = |subject| {
        let mut recall = Recall { subject, records: kept.remove(&subject).unwrap_or_default() };
        let later = steps[count..=at].iter().flat_map(|step| &step.records);
        let later = later.filter(|record| record.subject() == subject);
        let later = later.filter_map(|record| match record {
            Record::Activity(activity) => Some(activity),
            Record::Reading(_) => None,
        });
        recall.hear(policy, policy.horizon(known), later);
        recall
    };
    subjects.into_iter().map(recall).collect()
}

impl Run {
    /// What the tables hold of each subject, as in no order.
    fn stories(&self, scenario: &Scenario) -> Vec<Story> {
        let mut stories: BTreeMap<Subject, Vec<(i64, Record)>> = BTreeMap::new();
        for (_, notice) in self.derived.out.notices.iter().rev() {
            let (ms, record) = match notice {
                Notice::Reading(row) => (row.received_ms, Record::Reading(row.record.clone())),
                Notice::ActivityData(row) => {
                    (row.received_ms, Record::Activity(row.record.clone()))
                }
                _ => continue,
            };
            stories.entry(record.subject()).or_default().push((ms, record));
        }
        let story = |(subject, records): (Subject, _)| {
            let steps = scenario.steps.iter().zip(scenario.instants());
            let rows = steps.flat_map(|(step, ms)| {
                let row = move |(fact, diff): &(Fact, i64)| match fact {
                    Fact::Meter(row) if Subject::Meter(row.meter) == subject => {
                        Some((ms, row.clone(), *diff))
                    }
                    _ => None,
                };
                step.facts.iter().filter_map(row)
            });
            Story { subject, rows: rows.collect(), records }
        };
        stories.into_iter().map(story).collect()
    }

    /// What the dataflow keeps of a subject, and since when, ms, an activity has to be heard.
    fn kept(&self, subject: Subject, moved_ms: i64) -> (Vec<Record>, i64) {
        let is_of = |(ms, recall): &&(i64, Recall)| *ms >= moved_ms && recall.subject == subject;
        if let Some((ms, recall)) = self.recalled.iter().rfind(is_of) {
            return (recall.records.clone(), ms + 1);
        }
        let told = self.derived.out.notices.iter().filter_map(|(tick, notice)| match notice {
            Notice::Kept(record) if tick.ms() == moved_ms && record.subject() == subject => {
                Some(record.clone())
            }
            _ => None,
        });
        (told.collect(), moved_ms)
    }
}

/// A record without what says where it came from.
fn plain(mut record: Record) -> Record {
    *record.arrival_mut() = Arrival::default();
    record
}

/// What is claimed of an activity by what was kept and what came since.
fn claims(policy: &Policy, kept: &[Record], story: &Story, from_ms: i64) -> Option<Claims<Said>> {
    let mut later: Vec<&(i64, Record)> =
        story.records.iter().filter(|(ms, _)| *ms >= from_ms).collect();
    later.sort_by_key(|(ms, record)| (*ms, record.arrival().index));
    let is_taken = |(ms, record): &&(i64, Record)| {
        let Record::Activity(said) = record else { return false };
        let horizon = policy.horizon(Tick::new(*ms, Cause::Cut));
        said.value.is_none_or(|value| {
            policy.period_of(said.to_ms - 1) >= horizon
                && said.unit.amount(value, Decimal::ONE).is_ok()
        })
    };
    let later = later.into_iter().filter(is_taken).map(|(_, record)| record);
    let mut claims: Option<Claims<Said>> = None;
    for record in kept.iter().chain(later) {
        let Record::Activity(record) = record else { continue };
        match &mut claims {
            None => claims = Some(Claims::first(record.version, Said::of(record))),
            Some(claims) => {
                claims.offer(record.version, Said::of(record));
            }
        }
    }
    claims
}

fn assert_found_again(scenario: &Scenario, restatements: &Restatements) {
    let policy = &scenario.policy;
    let (instants, end) = (scenario.instants(), scenario.end());
    let run = run(scenario, restatements);
    let moved_ms = policy.horizon_moved_ms(end);
    let booked = restatements
        .iter()
        .last()
        .map(|(at, count)| Booked { cut_ms: instants[*at], known_ms: instants[*count - 1] });
    for story in run.stories(scenario) {
        let (told, since_ms) = run.kept(story.subject, moved_ms);
        let Kept { records: found, heard_ms } = kept(policy, &story, booked, end);
        if matches!(story.subject, Subject::Meter(_)) {
            let told: Vec<Record> = told.into_iter().map(plain).collect();
            let found: Vec<Record> = found.into_iter().map(plain).collect();
            assert_eq!(found, told, "{:?}", story.subject);
        } else {
            let told = claims(policy, &told, &story, since_ms);
            let found = claims(policy, &found, &story, heard_ms + 1);
            assert_eq!(found, told, "{:?}", story.subject);
        }
    }
}

proptest! {
    #![proptest_config(cases())]

    #[test]
    fn what_is_kept_is_found_again_from_what_was_said(
        scenario in scenarios(),
        picks in prop::collection::vec((any::<prop::sample::Index>(), 0_usize..3), 0..4),
    ) {
        let retain = scenario.policy.retain.clone();
        let policy = Policy { retain, ..support::policy(1) };
        let scenario = Scenario { policy, ..scenario };
        let mut picks = picks;
        picks.sort_by_key(|(at, _)| at.index(scenario.steps.len()));
        assert_found_again(&scenario, &restatements(&scenario, &picks));
    }
}
