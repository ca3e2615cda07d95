//! The audit run over a scenario, with cuts wherever a die says.

use plumeline_pipelines::audit::{Auditor, Entries, Learned};
use plumeline_pipelines::model::{Cause, Tick};
use plumeline_pipelines::reference::{Balances, History};

use super::Scenario;
use super::derive::Shuffle;

/// All entries up to each cut add up to the reference's balances.
pub(crate) fn assert_audit_equals_reference(scenario: &Scenario, shuffle: u64) {
    let mut random = Shuffle(shuffle);
    let history = scenario.history();
    let mut auditor = Auditor::new(scenario.policy.clone());
    let mut sums = Entries::default();
    let instants = scenario.instants();
    let mut last = Tick::ZERO;
    for (index, &ms) in instants.iter().enumerate() {
        if index + 1 < instants.len() && random.below(3) == 0 {
            continue;
        }
        let cut = Tick::new(ms, Cause::Cut);
        let entries = auditor.cut(cut, learned(&history, last, cut));
        entries.activity.iter().for_each(|(key, change)| sums.add_activity(*key, change));
        entries.emissions.iter().for_each(|(key, change)| sums.add_emission(*key, change));
        entries.footprints.iter().for_each(|(key, change)| sums.add_footprint(*key, change));
        let expected = entries_of(&history.balances(cut, true));
        assert_eq!(sums.activity, expected.activity, "activity at {cut:?}");
        assert_eq!(sums.emissions, expected.emissions, "emissions at {cut:?}");
        assert_eq!(sums.footprints, expected.footprints, "footprints at {cut:?}");
        last = cut;
    }
}

fn learned(history: &History, after: Tick, until: Tick) -> Learned {
    let is_new = |tick: Tick| after < tick && tick <= until;
    Learned {
        facts: history.facts.iter().filter(|(tick, ..)| is_new(*tick)).cloned().collect(),
        records: history.records.iter().filter(|(tick, _)| is_new(*tick)).cloned().collect(),
    }
}

/// Balances as tables hold them.
fn entries_of(balances: &Balances) -> Entries {
    let mut entries = Entries::default();
    balances.activity.iter().for_each(|(key, measure)| entries.add_activity(*key, measure));
    balances.emissions.iter().for_each(|(key, emission)| entries.add_emission(*key, emission));
    balances.footprints.iter().for_each(|(key, emission)| entries.add_footprint(*key, emission));
    entries
}
