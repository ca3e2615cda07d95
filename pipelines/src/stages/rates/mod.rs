//! Factor lines in use: for every (factor, unit, period) with activity, the lines of the version that holds.
//!
//! In SQL: `SELECT factor, unit, period, chosen, line, rate FROM used JOIN versions ON the version is the highest
//! revision of the factor, or of the first behind it that has one, at the period's start`.
//!
//! ```text
//! uses ────────────by factor──┐
//! factors, series, prices     ├─▶ rates ──▶ ((use, chosen line, reason), tick, rate)
//!  └───────────────to all─────┘
//! ```
//!
//! 1. Stash by tick; close ticks in order, facts before uses. *As in metering.*
//! 2. What is chosen, and by which rule, is told by [`library`]; what a version emits by [`crate::model::recipe`].
//! 3. A changed fact looks again at the uses of the factors that stand before it, in the periods it holds for, and
//!    hands out the difference. *A half-hour that is revised looks at the periods of that half-hour.* A changed price
//!    looks at the uses in money, in the periods it holds for.
//! 4. With the difference goes the reason: what the new choice says of itself beside the old one. It is of its tick;
//!    whoever books by it reads it there.
//!
//! State: the versions of all factors, and all prices, on every worker, and what is chosen for each use.
//!
//! Rejected: differential joins of uses and versions. A factor by the half-hour has as many versions as uses, and
//! each of either meets all of the others before most are filtered out; and a fallback would be a join each.

pub mod library;

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::Arc;

use differential_dataflow::VecCollection;
use differential_dataflow::consolidation::consolidate;
use timely::dataflow::Stream;
use timely::dataflow::channels::pact::{Exchange, Pipeline};
use timely::dataflow::operators::Capability;
use timely::dataflow::operators::generic::OutputBuilder;
use timely::dataflow::operators::generic::builder_rc::OperatorBuilder;
use timely::dataflow::operators::vec::Broadcast;

use self::library::{Choice, Library};
use crate::model::entry::Line;
use crate::model::{
    Fact, FactorRow, Id, Period, Policy, PriceRow, Rate, Reason, SeriesRow, Tick, Unit, Validity,
};

/// A factor in use: what rates are asked for.
pub type Use = (Id, Unit, Period);

/// A line, and the factor whose version it is of.
#[derive(
    Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize,
)]
pub struct Chosen {
    /// The factor that was asked for, or one that stands in for it.
    pub factor: Id,
    /// The line.
    pub line: Line,
}

/// A change of what is chosen for a use.
pub type Change = ((Use, Chosen, Reason), Tick, Rate);

/// What decides about rates.
#[expect(missing_debug_implementations, reason = "collections have none")]
pub struct Facts<'scope> {
    /// Versions of factors.
    pub factors: VecCollection<'scope, Tick, FactorRow, i64>,
    /// How they are chosen.
    pub series: VecCollection<'scope, Tick, SeriesRow, i64>,
    /// What money is worth.
    pub prices: VecCollection<'scope, Tick, PriceRow, i64>,
}

/// Rates of the lines that hold for each use. See the module's documentation.
#[must_use]
pub fn rates<'scope>(
    used: VecCollection<'scope, Tick, Use, i64>,
    facts: Facts<'scope>,
    policy: Arc<Policy>,
) -> Stream<'scope, Tick, Vec<Change>> {
    let mut builder = OperatorBuilder::new("Rates".to_owned(), used.scope());
    let by_factor = Exchange::new(|((factor, ..), _, _): &(Use, Tick, i64)| u64::from(factor.0));
    let mut used = builder.new_input(used.inner, by_factor);
    let Facts { factors, series, prices } = facts;
    let (series, prices) = (series.map(Fact::Series), prices.map(Fact::Price));
    let facts = factors.map(Fact::Factor).concat(series).concat(prices);
    let mut facts = builder.new_input(facts.inner.broadcast(), Pipeline);
    let (output, changes) = builder.new_output::<Vec<Change>>();
    let mut output = OutputBuilder::from(output);

    builder.build(move |initial| {
        drop(initial);
        let mut desk = Desk::new(policy);
        let mut stash: BTreeMap<Tick, Stash> = BTreeMap::new();
        move |frontiers| {
            used.for_each(|capability, batch| {
                for (used, tick, diff) in batch.drain(..) {
                    let stash = stash.entry(tick);
                    let stash = stash.or_insert_with(|| Stash::new(capability.delayed(&tick, 0)));
                    stash.used.push((used, diff));
                }
            });
            facts.for_each(|capability, batch| {
                for (fact, tick, diff) in batch.drain(..) {
                    let stash = stash.entry(tick);
                    let stash = stash.or_insert_with(|| Stash::new(capability.delayed(&tick, 0)));
                    stash.facts.push((fact, diff));
                }
            });
            let mut output = output.activate();
            while let Some(entry) = stash
                .first_entry()
                .filter(|entry| !frontiers.iter().any(|frontier| frontier.less_equal(entry.key())))
            {
                let (tick, Stash { capability, facts, used }) = entry.remove_entry();
                let changes = desk.close(facts, used);
                let mut session = output.session(&capability);
                session.give_iterator(changes.into_iter().map(|(data, rate)| (data, tick, rate)));
            }
        }
    });
    changes
}

/// The changes of a tick that has not closed yet.
struct Stash {
    capability: Capability<Tick>,
    facts: Vec<(Fact, i64)>,
    used: Vec<(Use, i64)>,
}

impl Stash {
    fn new(capability: Capability<Tick>) -> Self {
        Self { capability, facts: Vec::new(), used: Vec::new() }
    }
}

/// What a tick changes of the rates.
type Told = Vec<((Use, Chosen, Reason), Rate)>;

/// When facts that changed hold: by factor, and of prices.
#[derive(Debug, Default)]
struct Touched {
    factors: BTreeMap<Id, Validity>,
    prices: Option<Validity>,
}

/// By period and unit: how many ask, and what is chosen for them.
type Asked = BTreeMap<(Period, Unit), (i64, Choice)>;

/// All uses of one worker, and what is chosen for them.
#[derive(Debug)]
struct Desk {
    policy: Arc<Policy>,
    library: Library,
    chosen: BTreeMap<Id, Asked>,
}

impl Desk {
    fn new(policy: Arc<Policy>) -> Self {
        Self { policy, library: Library::default(), chosen: BTreeMap::new() }
    }

    fn close(&mut self, facts: Vec<(Fact, i64)>, mut used: Vec<(Use, i64)>) -> Told {
        let mut told = Told::new();
        if !facts.is_empty() {
            self.learn(facts, &mut told);
        }
        consolidate(&mut used);
        for ((factor, unit, period), diff) in used {
            let of_factor = self.chosen.entry(factor).or_default();
            let rules = (&*self.policy, self.policy.gwp);
            match of_factor.entry((period, unit)) {
                Entry::Vacant(vacant) if diff > 0 => {
                    let choice = self.library.choose((factor, unit, period), rules);
                    give(&mut told, (factor, unit, period), &choice, 1, Reason::Booked);
                    vacant.insert((diff, choice));
                }
                Entry::Occupied(mut occupied) => {
                    occupied.get_mut().0 += diff;
                    if occupied.get().0 <= 0 {
                        let (_, choice) = occupied.remove();
                        give(&mut told, (factor, unit, period), &choice, -1, Reason::Booked);
                    }
                }
                Entry::Vacant(_) => {}
            }
            if of_factor.is_empty() {
                self.chosen.remove(&factor);
            }
        }
        told
    }

    /// Takes in facts, and looks again at the uses they may change.
    fn learn(&mut self, mut facts: Vec<(Fact, i64)>, told: &mut Told) {
        // A row that came and went within the tick was never there.
        consolidate(&mut facts);
        let has_series = facts.iter().any(|(fact, _)| matches!(fact, Fact::Series(_)));
        let ids = self.chosen.keys().filter(|_| has_series);
        let before: BTreeMap<Id, (Vec<Id>, bool)> =
            ids.map(|id| (*id, self.library.behind(*id))).collect();
        let mut touched = Touched::default();
        for (fact, diff) in &facts {
            self.library.update(fact, *diff);
            touched.by(fact);
        }
        let Self { policy, library, chosen } = self;
        for (&factor, of_factor) in chosen {
            let (mut chain, mut looks_elsewhere) = library.behind(factor);
            if let Some((old_chain, old)) = before.get(&factor) {
                chain.extend(old_chain);
                looks_elsewhere |= old;
            }
            let hulls = chain.iter().filter_map(|id| touched.factors.get(id)).copied();
            let holds = hulls.reduce(hull);
            let holds = holds.map(|holds| if looks_elsewhere { EVER } else { holds });
            if holds.or(touched.prices).is_none() {
                continue;
            }
            for (&(period, unit), (_, choice)) in of_factor.iter_mut() {
                let start_ms = period.start_ms(policy.period_ms);
                let priced = touched.prices.filter(|_| unit.is_money());
                if ![holds, priced].into_iter().flatten().any(|holds| holds.holds(start_ms)) {
                    continue;
                }
                let used = (factor, unit, period);
                let new = library.choose(used, (policy, policy.gwp));
                if new.factor != choice.factor || new.lines != choice.lines {
                    let reason = reason(choice, &new);
                    give(told, used, choice, -1, reason);
                    give(told, used, &new, 1, reason);
                }
                *choice = new;
            }
        }
        consolidate(told);
    }
}

/// At any time.
const EVER: Validity = Validity { from_ms: i64::MIN, to_ms: i64::MAX };

/// From where the first of both begins to where the last ends.
fn hull(one: Validity, other: Validity) -> Validity {
    Validity { from_ms: one.from_ms.min(other.from_ms), to_ms: one.to_ms.max(other.to_ms) }
}

impl Touched {
    fn by(&mut self, fact: &Fact) {
        let (factor, validity) = match fact {
            Fact::Factor(row) => (row.factor, row.validity),
            Fact::Series(row) => (row.factor, EVER),
            Fact::Price(row) => {
                self.prices = Some(self.prices.map_or(row.validity, |old| hull(old, row.validity)));
                return;
            }
            _ => return,
        };
        let known = self.factors.entry(factor).or_insert(validity);
        *known = hull(*known, validity);
    }
}

fn give(told: &mut Told, used: Use, choice: &Choice, sign: i64, reason: Reason) {
    let factor = choice.factor;
    told.extend(choice.lines.iter().map(|&(line, rate)| {
        let rate = if sign < 0 { rate.negated() } else { rate };
        ((used, Chosen { factor, line }, reason), rate)
    }));
}

/// Why `new` is chosen instead of `old`: what an entry says that follows from it.
#[must_use]
pub fn reason(old: &Choice, new: &Choice) -> Reason {
    let is_same_factor = old.factor == new.factor;
    if is_same_factor && old.rule != new.rule {
        Reason::MethodChange
    } else if is_same_factor && old.versions == new.versions && old.prices != new.prices {
        Reason::PriceRevised
    } else if new.lines.is_empty() {
        Reason::FactorRevised
    } else if new.corrects(old) {
        Reason::FactorError
    } else if old.lines.is_empty() || (is_same_factor && new.from_ms() > old.from_ms()) {
        Reason::FactorNewVintage
    } else {
        Reason::FactorRevised
    }
}
