//! The whole dataflow on one screen, and the handle by which one worker feeds and reads it.
//!
//! ```text
//! readings ── metering ──┐
//! meters ──────┘         ├─ hold ─ activity ─┬─ in use ─▶ rates ◀── factors, series, prices
//! activities ─ activities┘                   │              │
//!                                            ├─ open ◀──────┤ ◀── nodes
//!                                            │    └─────────┼───────────────────▶ window entries
//!                                          close            │
//!                                            ├─ roll_up ─ node emissions ◀── nodes
//!                                            │              ├─ windows ─────────▶ window entries
//! opening balance ───────────────────────────┼──────────────┼─ to date ─────────▶ window entries
//!                                            │              └─ settle ──────────▶ footprint entries
//!                                          settle ──────────┼───────────────────▶ activity entries
//!                                            ├────────── emissions ─────────────▶ emission entries
//!                                         covered
//! contracts, certificates, nodes ──▶ matching ── market ────┴──▶ the same four, of contracts
//! ```
//!
//! Only connects stages; each stage documents itself. An arrangement sees a period when it has closed, and
//! not each reading of one that runs; only `open` does. What lies below the horizon of a difference's tick
//! is dropped here, in one place: `is_live`.

mod contracts;
mod handle;
mod join;
mod outbox;

use std::sync::Arc;

pub use differential_dataflow::consolidation::consolidate;
pub use differential_dataflow::difference::{IsZero, Semigroup};

use differential_dataflow::{AsCollection, Data, VecCollection};
use timely::dataflow::Stream;
use timely::dataflow::channels::pact::{Exchange, Pipeline};
use timely::dataflow::operators::Concatenate;
use timely::dataflow::operators::generic::operator::empty;
use timely::dataflow::operators::vec::{Broadcast, Map};

use self::contracts::{ByFactor, Terms};
pub use self::handle::{Closed, Engine, EngineOptions};
use self::join::{Local, arrange, join};
pub use self::outbox::{Changes, IntoEntry, Outbox, window_entry};
use crate::model::entry::Line;
use crate::model::{
    ActivityKey, ActivityRecord, Cause, CertificateRow, ContractRow, Emission, EmissionKey,
    FactorRow, FootprintKey, Id, Measure, MeterRow, NodeKey, NodeRow, Period, Policy, PriceRow,
    Reading, Reason, SeriesRow, Tick, WindowKey,
};
use crate::stages::causes::Causes;
use crate::stages::delay_until::delay_until;
use crate::stages::matching::Facts;
use crate::stages::metering::{Metered, Options, Piece1};
use crate::stages::notice::Notice;
use crate::stages::open::{Kind, LiveKey};
use crate::stages::rates::Chosen;
use crate::stages::recall::Recall;
use crate::stages::to_date::{OpeningKey, to_date};
use crate::stages::{activities, matching, metering, open, rates, roll_up};

type Collection<'scope, D, R> = VecCollection<'scope, Tick, D, R>;
type Notices<'scope> = Stream<'scope, Tick, Vec<(Tick, Notice)>>;
type Rates<'scope> = Local<'scope, rates::Use, Chosen, crate::model::Rate>;

/// What the dataflow reads.
pub(crate) struct Inputs<'scope> {
    readings: Stream<'scope, Tick, Vec<Reading>>,
    activities: Stream<'scope, Tick, Vec<ActivityRecord>>,
    recalled_meters: Stream<'scope, Tick, Vec<Recall>>,
    recalled_activities: Stream<'scope, Tick, Vec<Recall>>,
    meters: Stream<'scope, Tick, Vec<(MeterRow, Tick, i64)>>,
    factors: Collection<'scope, FactorRow, i64>,
    series: Collection<'scope, SeriesRow, i64>,
    prices: Collection<'scope, PriceRow, i64>,
    nodes: Collection<'scope, NodeRow, i64>,
    contracts: Collection<'scope, ContractRow, i64>,
    certificates: Collection<'scope, CertificateRow, i64>,
    opening: Collection<'scope, OpeningKey, Emission>,
}

/// What it derives.
pub(crate) struct Outputs<'scope> {
    activity: Collection<'scope, (ActivityKey, Reason), Measure>,
    emissions: Collection<'scope, (EmissionKey, Reason), Emission>,
    footprints: Collection<'scope, FootprintKey, Emission>,
    windows: Collection<'scope, WindowKey, Emission>,
    notices: Notices<'scope>,
}

/// Turns readings into footprints. Only connects stages.
#[must_use]
pub(crate) fn footprints<'scope>(
    inputs: Inputs<'scope>,
    options: &EngineOptions,
    causes: &Causes,
) -> Outputs<'scope> {
    let Inputs {
        readings,
        activities,
        recalled_meters,
        recalled_activities,
        meters,
        factors,
        series,
        prices,
        nodes,
        contracts,
        certificates,
        opening,
    } = inputs;
    let policy = Arc::new(options.policy.clone());
    let metering_options = Arc::new(metering_options(options));
    let terms = || (Arc::clone(&metering_options), causes.clone());
    let metered = metering::metering(readings, meters, recalled_meters, terms());
    let spread = activities::activities(activities, recalled_activities, terms());
    let (activity, notices) = activity_of([metered, spread], options.known_ms);
    let with_factor = activity.clone().filter(|key| !key.factor.is_none());

    let used = in_use(with_factor.clone());
    let known_ms = options.known_ms;
    let closed = closed(activity, &policy, known_ms);
    let settled_activity =
        settled(closed.clone(), "settle activity", (&policy, known_ms), |key| key.period);
    let by_factor = by_factor(settled_activity.clone().filter(|key| !key.factor.is_none()));
    let terms = Terms { policy: Arc::clone(&policy), causes: causes.clone(), known_ms };
    let facts = Facts { contracts, certificates, nodes: nodes.clone() };
    let allotted = contracts::allotted(by_factor.clone(), used.clone(), facts, terms);
    let used = used.concat(contracts::uses(allotted.clone()));
    let rates = rates::rates(used, rates::Facts { factors, series, prices }, Arc::clone(&policy));

    // What is computed in hindsight is of no live window.
    let by_gas = options.window_gases;
    let running = (known_ms == 0).then(|| {
        let live = (with_factor, nodes.clone());
        running(live, rates.clone(), by_gas, Arc::clone(&policy))
    });

    let leaves = closed.filter(|key| !key.factor.is_none());
    let leaves = leaves.map(|key| (key.node, (key.factor, key.unit, key.period)));
    let rolled = roll_up::roll_up(leaves, nodes.clone(), Arc::clone(&policy));
    let rates = everywhere(rates, causes.clone());
    let of_contracts =
        contracts::node_emissions(&allotted, (nodes, rates.clone()), (&policy, known_ms));
    let node_emissions = node_emissions(rolled, rates.clone()).concat(of_contracts);
    let emissions = emissions(by_factor, rates.clone());
    let emissions = emissions.concat(contracts::emissions(&allotted, &rates, known_ms));
    let settled_activity = settled_activity.concat(contracts::activity(allotted));

    let windows = running.map(|running| {
        let rolling = rolling_windows(node_emissions.clone(), Arc::clone(&policy), by_gas);
        let windows = running.concat(rolling);
        if policy.calendar.windows().is_empty() {
            return windows;
        }
        windows.concat(to_date(node_emissions.clone(), opening, &policy, by_gas))
    });
    let nothing = || empty(node_emissions.inner.scope()).as_collection();
    let windows = windows.unwrap_or_else(nothing);
    let footprints =
        settled(node_emissions, "settle footprints", (&policy, known_ms), |key| key.period);

    let reasons = || (Arc::clone(&policy), causes.clone());
    Outputs {
        activity: entries(settled_activity, reasons()).map(|(key, reason)| {
            // A subject's amount is the same under whatever factor.
            (ActivityKey { factor: Id::NONE, ..key }, reason)
        }),
        emissions: emission_entries(emissions, reasons()),
        footprints: footprint_entries(footprints, &policy),
        windows,
        notices,
    }
}

/// Factors in use, each once a unit and period.
fn in_use(activity: Collection<'_, ActivityKey, Measure>) -> Collection<'_, rates::Use, i64> {
    activity
        .map(|key| (key.factor, key.unit, key.period))
        .consolidate_stream()
        .threshold_named("in use", |_use, m: &Measure| i64::from(!m.is_zero()))
}

/// The window `open`, of activity as it is measured and by the tree.
fn running<'scope>(
    (activity, nodes): (Collection<'scope, ActivityKey, Measure>, Collection<'scope, NodeRow, i64>),
    rates: Stream<'scope, Tick, Vec<rates::Change>>,
    by_gas: bool,
    policy: Arc<Policy>,
) -> Collection<'scope, WindowKey, Emission> {
    let kinds = rates.map(move |((used, Chosen { line, .. }, _reason), tick, rate)| {
        ((used, Kind::of(&line, by_gas)), tick, rate)
    });
    let live = open::open(activity, nodes, kinds.as_collection(), Arc::clone(&policy));
    open_window(live, policy)
}

/// How meters and activities are measured.
fn metering_options(options: &EngineOptions) -> Options {
    Options {
        policy: options.policy.clone(),
        keep_readings: options.keep_readings,
        restored: options.restored,
        tells_heard: options.known_ms == 0,
    }
}

/// Activity whose open holds have come true; those that have by `known_ms` count at once.
fn activity_of(
    metered: [Metered<'_>; 2],
    known_ms: i64,
) -> (Collection<'_, ActivityKey, Measure>, Notices<'_>) {
    let [meters, activities] = metered;
    let scope = meters.activity.scope();
    let notices = scope.concatenate([meters.notices, activities.notices]);
    let pieces: Collection<'_, Piece1, Measure> =
        scope.concatenate([meters.activity, activities.activity]).as_collection();
    let activity =
        delay_until(pieces, "hold", move |&(key, held_until_ms), tick, measure, give| {
            let due = if held_until_ms <= known_ms {
                tick
            } else {
                tick.max(Tick::new(held_until_ms, Cause::Time))
            };
            give(key, due, *measure);
        });
    (activity, notices)
}

/// The rates in use, on every worker: what they are joined with stays where it is.
///
/// Remembers one entry a line, factor, unit and period in use, once a worker. Rejected: spreading activity
/// over a number of keys for each factor, so that one hot factor is not one worker. It needs that many
/// copies of each rate whatever the number of workers, and moves all activity between them.
fn everywhere(rates: Stream<'_, Tick, Vec<rates::Change>>, causes: Causes) -> Rates<'_> {
    let noted = rates.broadcast().map(move |((used, chosen, reason), tick, rate)| {
        causes.note_rates(tick, used, reason);
        ((used, chosen), tick, rate)
    });
    arrange(noted.as_collection(), Pipeline, "rates")
}

/// Activity where rates and contracts meet it.
///
/// Remembers one entry a (factor, unit, period, subject) inside the horizon.
fn by_factor(activity: Collection<'_, ActivityKey, Measure>) -> ByFactor<'_> {
    let activity = activity.map(|ActivityKey { period, node, subject, unit, factor }| {
        ((factor, unit, period), (node, subject))
    });
    arrange(activity, Pipeline, "activity by factor and period")
}

/// Emissions of each subject, by line.
///
/// In SQL: `SELECT activity.*, line, amount * rate FROM activity JOIN rates USING (factor, unit, period)`.
fn emissions<'scope>(
    activity: ByFactor<'scope>,
    rates: Rates<'scope>,
) -> Collection<'scope, (ActivityKey, Chosen), Emission> {
    join(activity, rates, |&(factor, unit, period), &(node, subject), &chosen| {
        (ActivityKey { period, node, subject, unit, factor }, chosen)
    })
}

/// Emissions of each node of the tree.
///
/// In SQL: `SELECT node, depth, period, line, amount * rate FROM rolled JOIN rates USING (factor, unit,
/// period)`: nodes are rolled up before gases are multiplied out.
///
/// Remembers one entry a (node at any level, factor, unit, period) inside the horizon.
fn node_emissions<'scope>(
    rolled: Collection<'scope, roll_up::Rolled, Measure>,
    rates: Rates<'scope>,
) -> Collection<'scope, NodeKey, Emission> {
    let rolled = rolled
        .map(|(node, (factor, unit, period)): roll_up::Rolled| ((factor, unit, period), node));
    // The parts of a node that workers have rolled up meet here.
    let by_node =
        Exchange::new(|((_, (node, _)), _, _): &((_, (Id, u8)), Tick, Measure)| u64::from(node.0));
    let rolled = arrange(rolled, by_node, "node activity by factor and period");
    join(rolled, rates, |&(_, _, period), &(node, depth), chosen| {
        let Line { scope, category, method, gas, .. } = chosen.line;
        NodeKey { period, node, depth, scope, category, method, gas }
    })
}

/// Whether a difference at `tick` about `period` is booked at all.
fn is_live(policy: &Policy, period: Period, tick: Tick) -> bool {
    period >= policy.horizon(tick)
}

/// The tick at which something learned at `tick` comes true that waits for an instant; in hindsight, what waits for
/// none after `known_ms` comes true at once. *As many ticks as there are periods would take far longer than what is
/// computed at them.*
fn due(waits_ms: i64, tick: Tick, known_ms: i64) -> Tick {
    if waits_ms <= known_ms { tick } else { tick.max(Tick::new(waits_ms, Cause::Time)) }
}

/// Holds activity until its period has closed: from then on a period changes rarely.
fn closed<'scope>(
    activity: Collection<'scope, ActivityKey, Measure>,
    policy: &Arc<Policy>,
    known_ms: i64,
) -> Collection<'scope, ActivityKey, Measure> {
    let period_ms = policy.period_ms;
    delay_until(activity, "close", move |&key, tick, &measure, give| {
        give(key, due(key.period.end_ms(period_ms), tick, known_ms), measure);
    })
}

/// Holds differences until their period settles.
fn settled<'scope, D: Data + Copy, R: Semigroup + Clone + 'static>(
    collection: Collection<'scope, D, R>,
    name: &str,
    (policy, known_ms): (&Arc<Policy>, i64),
    period_of: impl Fn(&D) -> Period + 'static,
) -> Collection<'scope, D, R> {
    let policy = Arc::clone(policy);
    delay_until(collection, name, move |&data, tick, diff, give| {
        let settles_ms = policy.settles_ms(period_of(&data));
        give(data, due(settles_ms, tick, known_ms), diff.clone());
    })
}

/// Differences of settled activity as entries: booked at the moment the period settles, restated later.
fn entries(
    settled: Collection<'_, ActivityKey, Measure>,
    (policy, causes): (Arc<Policy>, Causes),
) -> Collection<'_, (ActivityKey, Reason), Measure> {
    let entries = settled.inner.flat_map(move |(key, tick, diff)| {
        let reason = reason(&policy, &causes, &key, tick);
        is_live(&policy, key.period, tick).then_some(((key, reason), tick, diff))
    });
    entries.as_collection()
}

/// Differences of emissions as entries, under the factor whose version was chosen.
fn emission_entries(
    settled: Collection<'_, (ActivityKey, Chosen), Emission>,
    (policy, causes): (Arc<Policy>, Causes),
) -> Collection<'_, (EmissionKey, Reason), Emission> {
    let entries = settled.inner.flat_map(move |((key, Chosen { factor, line }), tick, diff)| {
        let reason = reason(&policy, &causes, &key, tick);
        let key = EmissionKey { activity: ActivityKey { factor, ..key }, line };
        is_live(&policy, key.activity.period, tick).then_some(((key, reason), tick, diff))
    });
    entries.as_collection()
}

/// Differences of nodes' emissions as entries, by the hour.
fn footprint_entries<'scope>(
    settled: Collection<'scope, NodeKey, Emission>,
    policy: &Arc<Policy>,
) -> Collection<'scope, FootprintKey, Emission> {
    let policy = Arc::clone(policy);
    let entries = settled.inner.flat_map(move |(key, tick, diff)| {
        is_live(&policy, key.period, tick).then(|| (key.by_the_hour(&policy), tick, diff))
    });
    entries.as_collection()
}

/// Why an entry about `key` is booked at `tick`.
fn reason(policy: &Policy, causes: &Causes, key: &ActivityKey, tick: Tick) -> Reason {
    let settles_ms = if key.subject.has_records() {
        policy.settles_ms(key.period)
    } else {
        matching::settles_ms(policy, key.period)
    };
    let settles = Tick::new(settles_ms, Cause::Time);
    if tick <= settles { Reason::Booked } else { causes.reason(tick, key) }
}

/// The live window `open`: a period from its start to its end.
///
/// Remembers one entry a key of a running period.
fn open_window(
    live: Collection<'_, LiveKey, Emission>,
    policy: Arc<Policy>,
) -> Collection<'_, WindowKey, Emission> {
    delay_until(live, "open window", move |key: &LiveKey, tick, emission, give| {
        let (starts_ms, ends_ms) =
            (key.period.start_ms(policy.period_ms), key.period.end_ms(policy.period_ms));
        let LiveKey { node, depth, kind: Kind { scope, method, gas }, .. } = *key;
        let key = WindowKey { window: 0, node, depth, scope, method, gas };
        give(key, Tick::new(starts_ms, Cause::Time).max(tick), *emission);
        give(key, Tick::new(ends_ms, Cause::Time), emission.negated());
    })
}

/// The rolling windows: each holds the closed periods of its span.
///
/// Remembers one entry a (due instant, window key).
fn rolling_windows(
    node_emissions: Collection<'_, NodeKey, Emission>,
    policy: Arc<Policy>,
    by_gas: bool,
) -> Collection<'_, WindowKey, Emission> {
    delay_until(node_emissions, "windows", move |key: &NodeKey, tick, emission, give| {
        if !is_live(&policy, key.period, tick) {
            return;
        }
        let gas = key.gas.shown(by_gas);
        let NodeKey { node, depth, scope, method, .. } = *key;
        for (window, enters_ms, leaves_ms) in stays(&policy, key.period).skip(1) {
            let (enters, leaves) =
                (Tick::new(enters_ms, Cause::Time), Tick::new(leaves_ms, Cause::Time));
            if leaves > tick {
                let key = WindowKey { window, node, depth, scope, method, gas };
                give(key, enters.max(tick), *emission);
                give(key, leaves, emission.negated());
            }
        }
    })
}

/// When a period enters and leaves each window, `open` first: `(window, enters ms, leaves ms)`.
pub fn stays(policy: &Policy, period: Period) -> impl Iterator<Item = (u8, i64, i64)> {
    let (start_ms, end_ms) = (period.start_ms(policy.period_ms), period.end_ms(policy.period_ms));
    let rolling = policy.windows_ms.iter().zip(1_u8..);
    let rolling = rolling.map(move |(span_ms, window)| (window, end_ms, end_ms + span_ms));
    std::iter::once((0, start_ms, end_ms)).chain(rolling)
}
