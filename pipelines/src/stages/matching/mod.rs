//! Contracts for energy matched with load, hour by hour: what market-based scope 2 takes off the residual mix.
//!
//! ```text
//! load, output of plants ──by covered factor──┐
//! contracts, certificates, nodes ───to all────┼─▶ matching ──▶ (what is allotted, tick, measure)
//! ```
//!
//! 1. Stash by tick; close ticks in order, facts before flows. *As in metering.*
//! 2. Each hour's load is kept by period and node, and what plants put out by the factor of their meters. *Nothing but
//!    sums: a contract covers what was used, not who measured it.*
//! 3. An hour is allotted ([`allot`]) when it has settled, and anew whenever it changes from then on, by the contracts that
//!    hold at its start; the difference is handed out. *Before, each period that comes would divide anew what there is.* A
//!    contract that does not meet the criteria offers nothing.
//! 4. What is allotted is three things. [`Part::Taken`] is negative, under the load's own factor: multiplied with its
//!    market-based lines it takes off what the load was booked at. [`Part::Given`] is as much, under the contract's
//!    factor. [`Part::Left`] is the load no contract covers, and emits nothing: it is shown. *The load itself stays as it
//!    was booked: its location-based lines are never multiplied with anything that is allotted.*
//! 5. Contracts that match by the month or by the year have no part in any of it: they are given what is left once their
//!    window is over and lies below the horizon ([`mod@windows`]).
//! 6. With a difference goes its reason: that of the flow that moved it, or `contract_change`; of several, `restated`.
//!
//! An hour is one of UTC. Periods longer than an hour, or that do not divide it, are matched each by itself: `check` says
//! so. What is allotted is booked when the last period of its hour has settled ([`settles_ms`]). *Else each half-hour
//! would be matched with half of what is there, and restated at once.*
//!
//! State: on the worker of a covered factor, one sum a (period, node) under it inside `retain`, and what is allotted of
//! it; contracts, certificates and the tree, on every worker. Nothing where there are no contracts.
//!
//! Rejected: an allotment a node, each level of the tree for itself. A group's contract would then be booked at the group
//! and not at the sites that used the energy, and a site's own contract would cover the same load again.

pub mod allot;
mod book;
mod known;
mod pieces;
mod windows;

use std::collections::BTreeMap;
use std::sync::Arc;

use differential_dataflow::VecCollection;
use timely::dataflow::Stream;
use timely::dataflow::channels::pact::{Exchange, Pipeline};
use timely::dataflow::operators::generic::OutputBuilder;
use timely::dataflow::operators::generic::builder_rc::OperatorBuilder;
use timely::dataflow::operators::vec::Broadcast;
use timely::dataflow::operators::{Capability, InputCapability};

use self::book::Desk;
pub use self::book::matched_unit;
pub use self::known::share_of;
pub use self::windows::closes_ms;
pub(crate) use self::windows::windows;
use super::causes::Causes;
use crate::model::time::HOUR_MS;
use crate::model::{
    ActivityKey, CertificateRow, ContractRow, Gas, Id, Measure, NodeRow, Period, Policy, Reason,
    Tick,
};

/// What a factor is to contracts.
#[derive(
    Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize,
)]
pub enum Role {
    /// Its load is covered.
    Covered,
    /// It is the output of a plant, for contracts that cover load under this factor.
    Output(Id),
}

/// What flows into an hour: to the desk of a covered factor.
#[derive(
    Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize,
)]
pub enum Flow {
    /// Load of a node.
    Load(Id),
    /// What is metered under this factor.
    Output(Id),
}

/// A change of what flows: covered factor, period, flow, why.
pub type Inflow = (Id, Period, Flow, Reason);

/// What a piece of an allotment is.
#[derive(
    Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize,
)]
pub enum Part {
    /// Load that a contract takes off its own factor's market-based lines: negative.
    Taken(Claim),
    /// The same under the contract's factor.
    Given(Claim),
    /// Load that no contract covers.
    Left,
}

/// Within what energy was matched.
#[derive(
    Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize,
)]
pub enum Claim {
    /// An hour.
    Hour,
    /// A month or a year. *What was generated at another time of it makes no hour carbon-free: of lines of energy
    /// ([`Gas::is_energy`](crate::model::Gas::is_energy)), by which the 24/7 score is told, it moves none.*
    Window,
}

impl Claim {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::Hour, Self::Window];

    /// Whether it moves lines of a gas.
    #[must_use]
    pub fn moves(self, gas: Gas) -> bool {
        self == Self::Hour || !gas.is_energy()
    }
}

impl Part {
    /// Within what it was matched; `None` of what no contract covers.
    #[must_use]
    pub fn claim(self) -> Option<Claim> {
        match self {
            Self::Taken(claim) | Self::Given(claim) => Some(claim),
            Self::Left => None,
        }
    }
}

/// A piece of an allotment.
pub type Allotted = (Part, ActivityKey);

/// Facts that decide what is allotted, as they change.
#[expect(missing_debug_implementations, reason = "streams have nothing to show")]
pub struct Facts<'scope> {
    /// Contracts.
    pub contracts: VecCollection<'scope, Tick, ContractRow, i64>,
    /// Certificates.
    pub certificates: VecCollection<'scope, Tick, CertificateRow, i64>,
    /// The tree.
    pub nodes: VecCollection<'scope, Tick, NodeRow, i64>,
}

/// The start of the hour in which `period` is matched, ms.
#[must_use]
pub fn hour_of(policy: &Policy, period: Period) -> i64 {
    let start_ms = period.start_ms(policy.period_ms);
    if HOUR_MS % policy.period_ms == 0 { start_ms.div_euclid(HOUR_MS) * HOUR_MS } else { start_ms }
}

/// The last period of the hour in which `period` is matched.
#[must_use]
pub fn last_of_hour(policy: &Policy, period: Period) -> Period {
    let is_in_an_hour = HOUR_MS % policy.period_ms == 0;
    if is_in_an_hour { policy.period_of(hour_of(policy, period) + HOUR_MS - 1) } else { period }
}

/// When what is allotted of `period` is booked, ms.
#[must_use]
pub fn settles_ms(policy: &Policy, period: Period) -> i64 {
    policy.settles_ms(last_of_hour(policy, period))
}

/// Matches contracts with load. See the module's documentation.
#[must_use]
pub(crate) fn matching<'scope>(
    flows: Stream<'scope, Tick, Vec<(Inflow, Tick, Measure)>>,
    facts: Facts<'scope>,
    (policy, causes, known_ms): (Arc<Policy>, Causes, i64),
) -> Stream<'scope, Tick, Vec<(Allotted, Tick, Measure)>> {
    let Facts { contracts, certificates, nodes } = facts;
    let mut builder = OperatorBuilder::new("Matching".to_owned(), flows.scope());
    let by_factor =
        Exchange::new(|((covered, ..), _, _): &(Inflow, Tick, Measure)| u64::from(covered.0));
    let mut flows = builder.new_input(flows, by_factor);
    let mut contracts = builder.new_input(contracts.inner.broadcast(), Pipeline);
    let mut certificates = builder.new_input(certificates.inner.broadcast(), Pipeline);
    let mut nodes = builder.new_input(nodes.inner.broadcast(), Pipeline);
    let (output, allotted) = builder.new_output::<Vec<(Allotted, Tick, Measure)>>();
    let mut output = OutputBuilder::from(output);

    builder.build(move |initial| {
        drop(initial);
        let mut desk = Desk::new(Arc::clone(&policy), known_ms);
        let mut stash = Stashes::new();
        move |frontiers| {
            flows.for_each(|capability, batch| {
                for (flow, tick, measure) in batch.drain(..) {
                    stashed(&mut stash, &capability, tick).flows.push((flow, measure));
                }
            });
            contracts.for_each(|capability, batch| {
                for (row, tick, diff) in batch.drain(..) {
                    stashed(&mut stash, &capability, tick).contracts.push((row, diff));
                }
            });
            certificates.for_each(|capability, batch| {
                for (row, tick, diff) in batch.drain(..) {
                    stashed(&mut stash, &capability, tick).certificates.push((row, diff));
                }
            });
            nodes.for_each(|capability, batch| {
                for (row, tick, diff) in batch.drain(..) {
                    stashed(&mut stash, &capability, tick).nodes.push((row, diff));
                }
            });
            let mut output = output.activate();
            let has_ended =
                frontiers.iter().all(timely::progress::frontier::MutableAntichain::is_empty);
            while let Some(entry) = stash
                .first_entry()
                .filter(|entry| !frontiers.iter().any(|frontier| frontier.less_equal(entry.key())))
            {
                let (tick, (capability, closing)) = entry.remove_entry();
                // When inputs close no time passes: what waits for it is not known.
                if has_ended && closing.only_waits() {
                    continue;
                }
                let (changes, later) = desk.close(tick, closing);
                for (due, hour) in later {
                    let waiting = stash.entry(due);
                    let waiting =
                        waiting.or_insert_with(|| (capability.delayed(&due), Stash::default()));
                    waiting.1.due.push(hour);
                }
                let mut session = output.session(&capability);
                for ((part, key, reason), measure) in changes {
                    causes.note(tick, settles_ms(&policy, key.period), key, reason);
                    session.give(((part, key), tick, measure));
                }
            }
        }
    });
    allotted
}

/// What changes at ticks that have not closed yet, with the capability to say what follows.
type Stashes = BTreeMap<Tick, (Capability<Tick>, Stash)>;

fn stashed<'a>(
    stash: &'a mut Stashes,
    capability: &InputCapability<Tick>,
    tick: Tick,
) -> &'a mut Stash {
    let stash = stash.entry(tick);
    &mut stash.or_insert_with(|| (capability.delayed(&tick, 0), Stash::default())).1
}

/// What changes at a tick.
#[derive(Debug, Default)]
struct Stash {
    flows: Vec<(Inflow, Measure)>,
    contracts: Vec<(ContractRow, i64)>,
    certificates: Vec<(CertificateRow, i64)>,
    nodes: Vec<(NodeRow, i64)>,
    /// Hours that settle at it: the factor covered, and their first instants, ms.
    due: Vec<(Id, i64)>,
}

impl Stash {
    /// Whether nothing came, and hours settle by the passing of time alone.
    fn only_waits(&self) -> bool {
        let Self { flows, contracts, certificates, nodes, due: _ } = self;
        flows.is_empty() && contracts.is_empty() && certificates.is_empty() && nodes.is_empty()
    }
}
