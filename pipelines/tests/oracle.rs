//! The heart of the tests: for random facts, readings, corrections, late data, revisions, withdrawals and
//! moves, on 1, 2 and 3 workers and in any batching, the dataflow's entries accumulated up to each tick
//! equal the batch reference bit for bit.

mod support;

use plumeline_pipelines::model::{Cause, Tick};
use proptest::prelude::*;
use support::audit::assert_audit_equals_reference;
use support::derive::{assert_equals_reference, derive};
use support::random::{cases, long_scenarios, scenarios};
use support::{Scenario, Step};

proptest! {
    #![proptest_config(cases())]

    #[test]
    fn the_dataflow_equals_the_reference_at_every_tick(
        scenario in scenarios(),
        workers in 1_usize..=3,
        shuffle in any::<u64>(),
    ) {
        assert_equals_reference(&scenario, workers, shuffle);
    }

    #[test]
    fn the_dataflow_equals_the_reference_as_the_horizon_moves_on(
        scenario in long_scenarios(),
        retain_days in 1_i64..4,
        shuffle in any::<u64>(),
    ) {
        assert_equals_reference(&scenario.retaining(retain_days), 1, shuffle);
    }

    #[test]
    fn the_audit_equals_the_reference_at_every_cut(
        scenario in scenarios(),
        retain_days in 1_i64..8,
        shuffle in any::<u64>(),
    ) {
        let scenario = scenario.retaining(retain_days);
        assert_audit_equals_reference(&scenario, shuffle);
    }

    #[test]
    fn any_number_of_workers_and_any_batching_derive_the_same(
        scenario in scenarios(),
        shuffle in any::<u64>(),
    ) {
        let one = derive(&scenario, 1, 0);
        let three = derive(&scenario, 3, shuffle);
        let end = scenario.end();
        prop_assert_eq!(one.until(end), three.until(end));
    }

    #[test]
    fn with_everything_withdrawn_nothing_is_left(scenario in scenarios(), workers in 1_usize..=2) {
        let scenario = scenario.with_everything_withdrawn();
        let derived = derive(&scenario, workers, 1);
        let left = derived.until(scenario.end());
        prop_assert_eq!(left, plumeline_pipelines::reference::Balances::default());
    }

    #[test]
    fn the_order_of_different_keys_does_not_matter(scenario in scenarios(), shuffle in any::<u64>()) {
        // Nothing may fall below the horizon: when that happens is a matter of order.
        let scenario = scenario.retaining(40);
        let other = scenario.reordered(shuffle);
        let (a, b) = (derive(&scenario, 1, 0), derive(&other, 2, shuffle));
        prop_assert_eq!(a.until(scenario.end()), b.until(other.end()));
    }
}

#[test]
fn closing_the_inputs_is_not_the_passing_of_time() {
    let mut scenario = Scenario::small();
    scenario.steps.push(Step { after_ms: 60_000, ..Step::default() });
    let derived = derive(&scenario, 2, 0);
    let end = scenario.end();
    assert!(!derived.until(end).windows.is_empty(), "a window holds something at the end");
    assert_eq!(derived.until(end), derived.until(Tick::new(end.ms() + (1 << 40), Cause::Cut)));
}
