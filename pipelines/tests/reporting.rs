//! Which share of the meters was heard of, kept up from what the dataflow tells, equals the batch reference at every
//! tick: on random histories with late, corrected and withdrawn readings, values that wait, meters that move, come and
//! go, and trees that change, on 1, 2 and 3 workers.
//!
//! That what is told is right by itself, also after restatements and restarts, is held in `support/derive` and
//! `restart`.

mod support;

use std::collections::BTreeMap;

use plumeline_pipelines::model::{Cause, Fact, Id, MeterRow, Record, Tick, Validity};
use plumeline_pipelines::reporting::{Reporting, Share, ShareKey};
use plumeline_pipelines::stages::notice::Notice;
use proptest::prelude::*;
use support::derive::derive;
use support::random::{cases, long_scenarios, scenarios};
use support::{HOUR, PERIOD, START_MS, Scenario, Step, meter_id, node_id, reading, register};

/// The dataflow's shares equal those of the reference at every step. `is_shown` says at which steps they are asked for.
fn assert_shares(scenario: &Scenario, (workers, shuffle): (usize, u64), is_shown: u64) {
    let (derived, history) = (derive(scenario, workers, shuffle), scenario.history());
    let mut reporting = Reporting::new(scenario.policy.clone());
    let mut shown: BTreeMap<ShareKey, Share> = BTreeMap::new();
    let mut told: Option<Tick> = None;
    for (index, (step, ms)) in scenario.steps.iter().zip(scenario.instants()).enumerate() {
        let tick = Tick::new(ms, Cause::Cut);
        reporting.learn(step.facts.clone());
        let is_new = |at: Tick| told.is_none_or(|told| told < at) && at <= tick;
        for (_, notice) in derived.out.notices.iter().filter(|(at, _)| is_new(*at)) {
            if let Notice::Heard { meter, newest } = notice {
                reporting.hear(*meter, *newest);
            }
        }
        told = Some(tick);
        if is_shown >> (index % 64) & 1 == 0 {
            continue;
        }
        for (key, share) in reporting.changes(tick) {
            match share {
                Some(share) => shown.insert(key, share),
                None => shown.remove(&key),
            };
        }
        assert_eq!(shown, history.shares(tick), "at step {index}, {tick:?}");
    }
}

proptest! {
    #![proptest_config(cases())]

    #[test]
    fn shares_equal_the_reference_at_every_tick(
        scenario in scenarios(),
        workers in 1_usize..=3,
        shuffle in any::<u64>(),
    ) {
        assert_shares(&scenario, (workers, shuffle), u64::MAX);
    }

    #[test]
    fn shares_equal_the_reference_whenever_they_are_asked_for(
        scenario in long_scenarios(),
        retain_days in 1_i64..4,
        is_shown in any::<u64>(),
    ) {
        assert_shares(&scenario.retaining(retain_days), (1, 0), is_shown);
    }
}

/// Readings by their hour from the start; `None` takes back.
type Said<'s> = &'s [(i64, Option<&'s str>)];

/// A meter, and what is said of it at which hours from the start.
fn told(row: MeterRow, steps: &[(i64, Said<'_>)]) -> Scenario {
    let learned = Step { facts: vec![(Fact::Meter(row), 1)], ..Step::default() };
    let mut scenario = Scenario { policy: support::policy(2), steps: vec![learned] };
    let mut last = 0;
    for (hour, said) in steps {
        let records = said.iter().map(|(at, value)| reading(0, START_MS + at * HOUR, *value));
        let after_ms = (hour - last) * HOUR;
        scenario.steps.push(Step { after_ms, records: records.collect(), ..Step::default() });
        last = *hour;
    }
    scenario.numbered()
}

/// The hour at which meter 0 was last heard of, after each step but the first.
fn hours(scenario: &Scenario) -> Vec<Option<i64>> {
    let derived = derive(scenario, 2, 1);
    let ticks = scenario.instants().into_iter().skip(1).map(|ms| Tick::new(ms, Cause::Cut));
    let hour = |tick| {
        let period = *derived.heard(tick).get(&meter_id(0))?;
        Some((period.start_ms(PERIOD) - START_MS) / HOUR)
    };
    ticks.map(hour).collect()
}

#[test]
fn what_was_read_last_counts_and_not_what_came_last() {
    let steps: [(i64, &[_]); 5] = [
        (5, &[(5, Some("10"))]),
        (6, &[(3, Some("9"))]),
        (7, &[(7, Some("11"))]),
        (8, &[(7, Some("12"))]),
        (9, &[(7, None)]),
    ];
    let scenario = told(register(), &steps);
    assert_eq!(hours(&scenario), [Some(5), Some(5), Some(7), Some(7), Some(5)]);
}

#[test]
fn a_value_that_waits_is_not_heard_until_a_row_cures_it() {
    let steps: [(i64, &[_]); 2] = [(5, &[(4, Some("10")), (5, Some("10"))]), (6, &[])];
    let until = Validity { from_ms: 0, to_ms: START_MS + 5 * HOUR };
    let mut scenario = told(MeterRow { validity: until, ..register() }, &steps);
    let row = MeterRow { revision: 1, ..register() };
    scenario.steps[2].facts.push((Fact::Meter(row), 1));
    assert_eq!(hours(&scenario), [Some(4), Some(5)]);
}

#[test]
fn a_meter_that_fell_silent_long_ago_is_remembered() {
    let steps: [(i64, &[_]); 3] = [(5, &[(5, Some("10"))]), (500, &[]), (5000, &[])];
    let scenario = told(register(), &steps);
    assert_eq!(hours(&scenario), [Some(5), Some(5), Some(5)]);
}

#[test]
fn readings_of_one_period_are_told_once() {
    let quarters: Vec<Record> = (0..60)
        .map(|minute| reading(0, START_MS + minute * 60_000, Some(&minute.to_string())))
        .collect();
    let mut scenario = told(register(), &[]);
    for record in quarters {
        let records = vec![record];
        scenario.steps.push(Step { after_ms: 60_000, records, ..Step::default() });
    }
    let derived = derive(&scenario.numbered(), 1, 0);
    let told = derived.out.notices.iter();
    let told = told.filter(|(_, notice)| matches!(notice, Notice::Heard { .. })).count();
    assert_eq!(told, 4, "once a quarter of an hour");
}

#[test]
fn a_move_takes_the_meter_along() {
    let steps: [(i64, &[_]); 2] = [(5, &[(5, Some("10"))]), (7, &[])];
    let mut scenario = told(register(), &steps);
    let row = MeterRow { revision: 1, node: node_id(2), ..register() };
    scenario.steps[2].facts.push((Fact::Meter(row), 1));
    assert_shares(&scenario, (2, 1), u64::MAX);
    let tick = scenario.end();
    let shares = scenario.history().shares(tick);
    let nodes: Vec<(Id, u64, u64)> =
        shares.iter().map(|(key, share)| (key.node, share.heard, share.expected)).collect();
    assert_eq!(nodes, [(node_id(2), 0, 1), (node_id(2), 1, 1)], "by the hour, by the day");
}
