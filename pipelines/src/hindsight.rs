//! What the ledger would say had everything that is known now been known from the beginning.
//!
//! ```text
//! facts, records, as known at K ──all at the first tick──▶ the dataflow ──time passes, up to K──▶ balances
//!                                                                        └─▶ what is kept at K's horizon
//! ```
//!
//! The horizon bounds what is restated by itself; what reaches below it is booked from here. The same dataflow
//! is given everything before anything has happened, so that nothing is late, and then time passes:
//!
//! 1. All facts that hold at K and all records that were ever said up to K are fed at the first tick of all. *Its
//!    horizon lies before them: nothing is parked.*
//! 2. What has settled by K is booked at once; then time passes up to K in one step. When the horizon passes a
//!    period, what is taken back to free the state is dropped on its way out, as ever. *So what is booked is the
//!    balance of each period as known at K.*
//! 3. At the horizon's last move the dataflow tells what still counts from before it. *A live dataflow that was fed
//!    in the order of arrival may have kept less, or another baseline: it is told ([`Recall`]), and both agree.*
//!
//! Memory: all of it at once, about 2.8 kB a meter-period with three gases (317 MB for 115,200 of them,
//! `benches/history.rs`): what goes through the dataflow in one tick is there several times. Whoever has more than fits gives
//! it in shares of whole meters and activities: `footprints` of shares add up, and the rest is by subject anyway. Unless
//! there are contracts: they cover what all subjects used in an hour.

use std::collections::BTreeMap;

use crate::engine::{Engine, EngineOptions};
use crate::model::{
    ActivityKey, Cause, Emission, EmissionKey, Fact, FootprintKey, Measure, Policy, Record,
    Subject, Tick,
};
use crate::reference::add;
use crate::stages::notice::Notice;

pub use crate::stages::recall::Recall;

/// See the module's documentation.
#[derive(Clone, Debug, Default)]
pub struct Hindsight {
    /// Balances of `activity`, of every period that has settled at K.
    pub activity: BTreeMap<ActivityKey, Measure>,
    /// Of `emissions`.
    pub emissions: BTreeMap<EmissionKey, Emission>,
    /// Of `footprints`: the share of these subjects.
    pub footprints: BTreeMap<FootprintKey, Emission>,
    /// What is kept from before the horizon of K.
    pub kept: BTreeMap<Subject, Vec<Record>>,
}

/// Everything is fed at this instant, ms: before anything a record or a fact may be about.
const FIRST_MS: i64 = 1;

/// The balances at `known` of all that `facts` and `records` lead to, all of them learned up to then, the records
/// numbered in the order in which they came.
#[must_use]
pub fn hindsight(
    policy: &Policy,
    facts: Vec<Fact>,
    records: Vec<Record>,
    known: Tick,
) -> Hindsight {
    let policy = policy.clone();
    let moved_ms = policy.horizon_moved_ms(known);
    let options = EngineOptions {
        policy,
        keep_readings: false,
        window_gases: false,
        restored: Tick::ZERO,
        known_ms: known.ms(),
    };
    timely::execute_directly(move |worker| {
        let mut engine = Engine::build(worker, &options);
        let mut facts = facts;
        facts.sort_by_key(Fact::cause);
        for fact in facts {
            engine.fact(FIRST_MS, fact, 1);
        }
        engine.records(FIRST_MS, records);
        engine.advance_to(known.next());
        let mut found = Hindsight::default();
        while !engine.is_past(known.next()) {
            worker.step();
            let derived = engine.drain();
            for ((key, _reason), _, change) in derived.activity {
                add(&mut found.activity, key, &change);
            }
            for ((key, _reason), _, change) in derived.emissions {
                add(&mut found.emissions, key, &change);
            }
            for (key, _, change) in derived.footprints {
                add(&mut found.footprints, key, &change);
            }
            for (tick, notice) in derived.notices {
                if let Notice::Kept(record) = notice
                    && tick == Tick::new(moved_ms, Cause::Time)
                {
                    found.kept.entry(record.subject()).or_default().push(record);
                }
            }
        }
        found
    })
}
