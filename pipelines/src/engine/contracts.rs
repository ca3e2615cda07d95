//! What contracts cover, connected: from activity under factors to the entries of market-based scope 2.
//!
//! ```text
//! contracts ─ roles of factors ─┐
//! in use ───────────────────────┴─ covered, to all ─┐
//! activity by factor and period ────────────────────┴─ flows ─ matching ─ settle ─▶ allotted
//! ```
//!
//! Where there are no contracts nothing flows: activity is looked up by what is covered, not the other way round.

use std::sync::Arc;

use differential_dataflow::AsCollection;
use timely::dataflow::channels::pact::Pipeline;
use timely::dataflow::operators::vec::{Broadcast, Map};

use super::join::{Local, arrange, join};
use super::{Collection, Rates, settled};
use crate::model::{
    ActivityKey, Cause, ContractRow, Emission, Id, Measure, Method, NodeKey, NodeRow, Policy,
    Reason, Subject, Tick, Unit,
};
use crate::stages::causes::Causes;
use crate::stages::matching::{
    self, Allotted, Claim, Facts, Flow, Inflow, Part, Role, last_of_hour, matched_unit,
};
use crate::stages::rates::{Chosen, Use};
use crate::stages::roll_up;

/// Activity of each subject by what it is multiplied with, on the worker that measured it.
pub(super) type ByFactor<'scope> = Local<'scope, Use, (Id, Subject), Measure>;

/// What decides how contracts are booked.
#[derive(Clone)]
pub(super) struct Terms {
    pub(super) policy: Arc<Policy>,
    pub(super) causes: Causes,
    pub(super) known_ms: i64,
}

/// What contracts cover of `activity`, booked when its hour has settled.
pub(super) fn allotted<'scope>(
    activity: ByFactor<'scope>,
    used: Collection<'scope, Use, i64>,
    facts: Facts<'scope>,
    terms: Terms,
) -> Collection<'scope, Allotted, Measure> {
    let Terms { policy, causes, known_ms } = terms;
    let covered = covered(used, facts.contracts.clone());
    let named = join(activity, covered, |&(factor, unit, period), &(node, subject), &role| {
        (ActivityKey { period, node, subject, unit, factor }, role)
    });
    let (asked, by) = (causes.clone(), Arc::clone(&policy));
    let flows = named.inner.map(move |((key, role), tick, measure)| {
        (inflow(&key, role, why(&by, &asked, &key, tick)), tick, measure)
    });
    let changes = matching::matching(flows, facts, (Arc::clone(&policy), causes, known_ms));
    let by = Arc::clone(&policy);
    settled(changes.as_collection(), "settle matching", (&policy, known_ms), move |(_, key)| {
        last_of_hour(&by, key.period)
    })
}

/// Uses of factors that contracts name, on every worker, with what the factor is to them.
fn covered<'scope>(
    used: Collection<'scope, Use, i64>,
    contracts: Collection<'scope, ContractRow, i64>,
) -> Local<'scope, Use, Role, i64> {
    let roles = contracts.flat_map(|row| {
        let output = row.supply.output().map(|(factor, _)| (factor, Role::Output(row.covers)));
        std::iter::once((row.covers, Role::Covered)).chain(output)
    });
    let roles = roles.threshold_named("roles", |_role, count| i64::from(*count > 0));
    let energy = matched_unit();
    let of_energy = used.filter(move |(_, unit, _)| *unit == energy);
    let of_energy = of_energy.map(|(factor, unit, period)| (factor, (unit, period)));
    let covered = of_energy
        .join_map(roles, |factor, (unit, period), role| ((*factor, *unit, *period), *role));
    arrange(covered.inner.broadcast().as_collection(), Pipeline, "covered")
}

fn inflow(key: &ActivityKey, role: Role, why: Reason) -> Inflow {
    match role {
        Role::Covered => (key.factor, key.period, Flow::Load(key.node), why),
        Role::Output(covered) => (covered, key.period, Flow::Output(key.factor), why),
    }
}

/// Why activity that was booked before flows otherwise.
fn why(policy: &Policy, causes: &Causes, key: &ActivityKey, tick: Tick) -> Reason {
    let settles = Tick::new(policy.settles_ms(key.period), Cause::Time);
    // Of what was on time by itself it is a part of the hour that has come.
    if tick <= settles { Reason::GapClosed } else { causes.reason(tick, key) }
}

/// Under which factors energy is allotted: for what rates are asked.
pub(super) fn uses(allotted: Collection<'_, Allotted, Measure>) -> Collection<'_, Use, i64> {
    let counted = allotted.filter(|(part, _)| part.claim().is_some());
    counted
        .map(|(_, key)| (key.factor, key.unit, key.period))
        .consolidate_stream()
        .threshold_named("in use by contracts", |_use, m: &Measure| i64::from(m.presence != 0))
}

/// The claims that are made: months and years are matched in hindsight.
fn claims(known_ms: i64) -> impl Iterator<Item = Claim> {
    Claim::ALL.into_iter().filter(move |claim| *claim == Claim::Hour || known_ms > 0)
}

/// Emissions of what is allotted: of market-based lines alone.
pub(super) fn emissions<'scope>(
    allotted: &Collection<'scope, Allotted, Measure>,
    rates: &Rates<'scope>,
    known_ms: i64,
) -> Collection<'scope, (ActivityKey, Chosen), Emission> {
    let of = claims(known_ms).map(|claim| {
        let claimed = allotted.clone().filter(move |(part, _)| part.claim() == Some(claim));
        let activity = claimed.map(|(_, ActivityKey { period, node, subject, unit, factor })| {
            ((factor, unit, period), (node, subject))
        });
        let activity = arrange(activity, Pipeline, "allotted by factor and period");
        let emissions =
            join(activity, rates.clone(), |&(factor, unit, period), &(node, subject), &chosen| {
                (ActivityKey { period, node, subject, unit, factor }, chosen)
            });
        emissions.filter(move |(_, Chosen { line, .. })| {
            line.method == Method::Market && claim.moves(line.gas)
        })
    });
    of.reduce(Collection::concat).expect("hours are claimed")
}

/// The same of each node of the tree.
pub(super) fn node_emissions<'scope>(
    allotted: &Collection<'scope, Allotted, Measure>,
    (nodes, rates): (Collection<'scope, NodeRow, i64>, Rates<'scope>),
    (policy, known_ms): (&Arc<Policy>, i64),
) -> Collection<'scope, NodeKey, Emission> {
    let of = claims(known_ms).map(|claim| {
        let leaves = allotted.clone().filter(move |(part, _)| part.claim() == Some(claim));
        let leaves = leaves.map(|(_, key): Allotted| {
            let used: (Id, Unit, _) = (key.factor, key.unit, key.period);
            (key.node, used)
        });
        let rolled = roll_up::roll_up(leaves, nodes.clone(), Arc::clone(policy));
        super::node_emissions(rolled, rates.clone())
            .filter(move |key| key.method == Method::Market && claim.moves(key.gas))
    });
    of.reduce(Collection::concat).expect("hours are claimed")
}

/// What of it is shown as activity: load by whether and by which contract it is covered.
pub(super) fn activity(
    allotted: Collection<'_, Allotted, Measure>,
) -> Collection<'_, ActivityKey, Measure> {
    allotted.filter(|(part, _)| !matches!(part, Part::Taken(_))).map(|(_, key)| key)
}
