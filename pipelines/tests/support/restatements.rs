//! When a scenario is restated below its horizon, and what is known then.

use std::collections::BTreeMap;

use plumeline_pipelines::model::{Cause, Tick};
use proptest::prelude::*;

use super::Scenario;

/// At a step what was known after so many steps is booked.
pub(crate) type Restatements = BTreeMap<usize, usize>;

/// Picks steps to restate at, and what is known then: only steps with the same horizon.
pub(crate) fn restatements(
    scenario: &Scenario,
    picks: &[(prop::sample::Index, usize)],
) -> Restatements {
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
