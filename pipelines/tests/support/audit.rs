//! The audit run over a scenario, with cuts wherever a die says.

use plumeline_pipelines::audit::{Auditor, Entries, Learned};
use plumeline_pipelines::model::{Cause, Tick};
use plumeline_pipelines::reference::{Balances, History, Restated};

use super::Scenario;
use super::derive::Shuffle;

/// All entries up to each cut add up to the reference's balances.
pub(crate) fn assert_audit_equals_reference(scenario: &Scenario, shuffle: u64) {
    let auditor = Auditor::new(scenario.policy.clone());
    assert_audit_agrees(auditor, scenario, &scenario.history(), shuffle);
}

/// The same of a history with restatements.
pub(crate) fn assert_audit_agrees(
    mut auditor: Auditor,
    scenario: &Scenario,
    history: &History,
    shuffle: u64,
) {
    let mut random = Shuffle(shuffle);
    let mut sums = Entries::default();
    let instants = scenario.instants();
    let mut last = Tick::ZERO;
    for (index, &ms) in instants.iter().enumerate() {
        let cut = Tick::new(ms, Cause::Cut);
        // What a restatement knows is what was known at a cut.
        let is_cut = |r: &Restated| r.tick == cut || r.known == cut;
        let changes_gwp = |(since, _): &(Tick, _)| *since == cut;
        let must_be_cut = index + 1 == instants.len()
            || history.restated.iter().any(is_cut)
            || history.gwps.iter().any(changes_gwp);
        if !must_be_cut && random.below(3) == 0 {
            continue;
        }
        let entries = auditor.cut(cut, learned(history, last, cut));
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
        restated: history.restated.iter().find(|r| r.tick == until).map(|r| r.known),
        gwp: history.gwps.iter().find(|(since, _)| *since == until).map(|(_, gwp)| *gwp),
        facts: history.facts.iter().filter(|(tick, ..)| is_new(*tick)).cloned().collect(),
        records: history.records.iter().filter(|(tick, _)| is_new(*tick)).cloned().collect(),
    }
}

/// Balances as tables hold them.
fn entries_of(balances: &Balances) -> Entries {
    let mut entries = Entries::default();
    entries.add_balances(balances);
    entries
}
