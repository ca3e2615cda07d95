//! The entries of a cut.

use std::collections::BTreeMap;

use crate::model::{
    ActivityKey, Emission, EmissionKey, FootprintKey, Gas, Id, Measure, Policy, Wide,
};
use crate::reference::{Balances, add};

/// The entries of a cut, summed by the key of their balance, as tables hold them: without what is zero, and
/// without what has no column (`presence`, the mass of `co2e`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Entries {
    /// Of `activity`, under no factor.
    pub activity: BTreeMap<ActivityKey, Measure>,
    /// Of `emissions`.
    pub emissions: BTreeMap<EmissionKey, Emission>,
    /// Of `footprints`.
    pub footprints: BTreeMap<FootprintKey, Emission>,
}

impl Entries {
    /// Adds balances as tables hold them.
    pub fn add_balances(&mut self, balances: &Balances) {
        balances.activity.iter().for_each(|(key, measure)| self.add_activity(*key, measure));
        balances.emissions.iter().for_each(|(key, emission)| self.add_emission(*key, emission));
        balances.footprints.iter().for_each(|(key, emission)| self.add_footprint(*key, emission));
    }

    /// Adds all of `other` under the keys that are `wanted`, by the start of their period, ms.
    pub(super) fn merge(
        &mut self,
        other: &Self,
        wanted: impl Fn(i64) -> bool,
        policy: &Policy,
        sign: i64,
    ) {
        let start_ms = |key: &ActivityKey| key.period.start_ms(policy.period_ms);
        for (key, change) in other.activity.iter().filter(|(key, _)| wanted(start_ms(key))) {
            let change = if sign < 0 { change.negated() } else { *change };
            self.add_activity(*key, &change);
        }
        let emissions = other.emissions.iter().filter(|(key, _)| wanted(start_ms(&key.activity)));
        for (key, change) in emissions {
            let change = if sign < 0 { change.negated() } else { *change };
            self.add_emission(*key, &change);
        }
        for (key, change) in other.footprints.iter().filter(|(key, _)| wanted(key.start_ms)) {
            let change = if sign < 0 { change.negated() } else { *change };
            self.add_footprint(*key, &change);
        }
    }

    /// Adds an entry of `activity`.
    pub fn add_activity(&mut self, key: ActivityKey, change: &Measure) {
        let change = Measure { presence: 0, ..*change };
        add(&mut self.activity, ActivityKey { factor: Id::NONE, ..key }, &change);
    }

    /// Adds an entry of `emissions`.
    pub fn add_emission(&mut self, key: EmissionKey, change: &Emission) {
        add(&mut self.emissions, key, &columns(key.line.gas, change));
    }

    /// Adds an entry of `footprints`.
    pub fn add_footprint(&mut self, key: FootprintKey, change: &Emission) {
        add(&mut self.footprints, key, &columns(key.gas, change));
    }
}

/// What the tables hold of an emission.
fn columns(gas: Gas, change: &Emission) -> Emission {
    let mass = if gas.has_mass() { change.mass } else { Wide::ZERO };
    Emission { mass, presence: 0, ..*change }
}
