//! The whole dataflow on one screen, and the handle by which one worker feeds and reads it.
//!
//! ```text
//! readings ── metering ──┐
//! meters ──────┘         ├─ hold ─ activity ─┬─ settle ──────────────────────────▶ activity entries
//! activities ─ activities┘                   ├─ emissions ─ settle ──────────────▶ emission entries
//!                                            │      │
//!                                  in use ───┼─▶ rates ◀── factors
//!                                            │      │
//! nodes ───────────────────────────────── roll_up ─ node emissions ─┬─ settle ──▶ footprint entries
//!                                                                   └─ windows ─▶ window entries
//! ```
//!
//! Only connects stages; each stage documents itself. What lies below the horizon of a difference's tick is
//! dropped here, in one place: `is_live`.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

pub use differential_dataflow::consolidation::consolidate;
use differential_dataflow::difference::IsZero;
pub use differential_dataflow::difference::Semigroup;
use differential_dataflow::{AsCollection, Data, Hashable, VecCollection};
use timely::dataflow::channels::pact::Pipeline;
use timely::dataflow::operators::generic::Operator;
use timely::dataflow::operators::probe::Handle as Probe;
use timely::dataflow::operators::vec::Input;
use timely::dataflow::operators::{Concatenate, Probe as _};
use timely::container::CapacityContainerBuilder;
use timely::dataflow::{InputHandle, Stream};
use timely::worker::Worker;

use crate::model::entry::Line;
use crate::model::time::HOUR_MS;
use crate::model::{
    ActivityEntry, ActivityKey, ActivityRecord, Cause, Emission, EmissionEntry, EmissionKey, Fact,
    FactorRow, FootprintEntry, FootprintKey, Gas, Id, Measure, MeterRow, NodeRow, Period, Policy,
    Reading, Reason, Record, Subject, Tick, Unit, WindowEntry, WindowKey,
};
use crate::stages::delay_until::delay_until;
use crate::stages::metering::{Metered, Options, Piece1};
use crate::stages::notice::Notice;
use crate::stages::{activities, metering, rates, roll_up};

type Collection<'scope, D, R> = VecCollection<'scope, Tick, D, R>;

/// One hot factor must not be one worker: activity of a factor and period is spread over this many keys.
const BUCKETS: u64 = 16;

/// What changed balances under which tick; `T` is an entry's key with its reason.
pub type Changes<T, R> = Vec<(T, Tick, R)>;

/// What a worker has derived since it was last asked. Not consolidated, in no order.
#[derive(Debug, Default)]
pub struct Outbox {
    /// Of `activity`.
    pub activity: Changes<(ActivityKey, Reason), Measure>,
    /// Of `emissions`.
    pub emissions: Changes<(EmissionKey, Reason), Emission>,
    /// Of `footprints`.
    pub footprints: Changes<FootprintKey, Emission>,
    /// Of the live windows.
    pub windows: Changes<WindowKey, Emission>,
    /// What became of records.
    pub notices: Vec<(Tick, Notice)>,
}

impl Outbox {
    /// How many changes it holds.
    #[must_use]
    pub fn len(&self) -> usize {
        self.activity.len()
            + self.emissions.len()
            + self.footprints.len()
            + self.windows.len()
            + self.notices.len()
    }

    /// Whether it holds none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// A consolidated change as an entry of its table.
pub trait IntoEntry<R> {
    /// The entry.
    type Entry;
    /// Makes it.
    fn entry(self, change: R) -> Self::Entry;
}
impl IntoEntry<Measure> for (ActivityKey, Reason) {
    type Entry = ActivityEntry;
    fn entry(self, change: Measure) -> ActivityEntry {
        ActivityEntry { key: self.0, reason: self.1, change }
    }
}
impl IntoEntry<Emission> for (EmissionKey, Reason) {
    type Entry = EmissionEntry;
    fn entry(self, change: Emission) -> EmissionEntry {
        EmissionEntry { key: self.0, reason: self.1, change }
    }
}
impl IntoEntry<Emission> for FootprintKey {
    type Entry = FootprintEntry;
    fn entry(self, change: Emission) -> FootprintEntry {
        FootprintEntry { key: self, change }
    }
}

/// A window change as the live sink takes it.
#[must_use]
pub fn window_entry((key, tick, change): (WindowKey, Tick, Emission)) -> WindowEntry {
    WindowEntry { key, tick, change }
}

/// Options of a dataflow.
#[derive(Clone, Debug)]
pub struct EngineOptions {
    /// What decides results.
    pub policy: Policy,
    /// Whether accepted readings are handed out for the table `readings`.
    pub keep_readings: bool,
    /// Whether live windows are told by gas; otherwise CO2e alone is meant, under gas `co2e`.
    pub window_gases: bool,
}

/// One worker's handle on the dataflow. Every worker builds the same; any may be fed.
pub struct Engine {
    readings: InputHandle<Tick, CapacityContainerBuilder<Vec<Reading>>>,
    activities: InputHandle<Tick, CapacityContainerBuilder<Vec<ActivityRecord>>>,
    meters: InputHandle<Tick, CapacityContainerBuilder<Vec<(MeterRow, Tick, i64)>>>,
    factors: InputHandle<Tick, CapacityContainerBuilder<Vec<(FactorRow, Tick, i64)>>>,
    nodes: InputHandle<Tick, CapacityContainerBuilder<Vec<(NodeRow, Tick, i64)>>>,
    probe: Probe<Tick>,
    outbox: Rc<RefCell<Outbox>>,
    now: Tick,
}

impl std::fmt::Debug for Engine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Engine").field("now", &self.now).finish_non_exhaustive()
    }
}

impl Engine {
    /// Builds the dataflow on `worker`.
    pub fn build(worker: &mut Worker, options: &EngineOptions) -> Self {
        worker.dataflow_named::<Tick, _, _>("plumeline", |scope| {
            let (readings_in, readings) = scope.new_input();
            let (activities_in, activities) = scope.new_input();
            let (meters_in, meters) = scope.new_input();
            let (factors_in, factors) = scope.new_input();
            let (nodes_in, nodes) = scope.new_input();
            let (probe, outbox) = (Probe::new(), Rc::default());
            let inputs = Inputs {
                readings,
                activities,
                meters,
                factors: factors.as_collection(),
                nodes: nodes.as_collection(),
            };
            footprints(inputs, options).collect(&probe, &outbox);
            Self {
                readings: readings_in,
                activities: activities_in,
                meters: meters_in,
                factors: factors_in,
                nodes: nodes_in,
                probe,
                outbox,
                now: Tick::ZERO,
            }
        })
    }

    /// Every input is now past all that is before `tick`.
    ///
    /// # Panics
    /// If `tick` lies before what was said earlier: the sequencer hands out ticks in order.
    pub fn advance_to(&mut self, tick: Tick) {
        assert!(self.now <= tick, "ticks are strictly increasing");
        if self.now == tick {
            return;
        }
        self.now = tick;
        self.readings.advance_to(tick);
        self.activities.advance_to(tick);
        self.meters.advance_to(tick);
        self.factors.advance_to(tick);
        self.nodes.advance_to(tick);
    }

    /// Feeds a fact (`diff` 1) or takes it back (-1), at its kind's sub-tick of the instant `ms`.
    pub fn fact(&mut self, ms: i64, fact: Fact, diff: i64) {
        match fact {
            Fact::Node(row) => {
                let tick = Tick::new(ms, Cause::Nodes);
                self.advance_to(tick);
                self.nodes.send((row, tick, diff));
            }
            Fact::Meter(row) => {
                let tick = Tick::new(ms, Cause::Meters);
                self.advance_to(tick);
                self.meters.send((row, tick, diff));
            }
            Fact::Factor(row) => {
                let tick = Tick::new(ms, Cause::Factors);
                self.advance_to(tick);
                self.factors.send((row, tick, diff));
            }
        }
    }

    /// Feeds records at the instant `ms`.
    pub fn records(&mut self, ms: i64, records: impl IntoIterator<Item = Record>) {
        self.advance_to(Tick::new(ms, Cause::Readings));
        for record in records {
            match record {
                Record::Reading(reading) => self.readings.send(reading),
                Record::Activity(activity) => self.activities.send(activity),
            }
        }
    }

    /// Feeds readings at the instant `ms`, a whole batch at once; `readings` is left empty.
    pub fn readings(&mut self, ms: i64, readings: &mut Vec<Reading>) {
        self.advance_to(Tick::new(ms, Cause::Readings));
        self.readings.send_batch(readings);
    }

    /// Whether everything before `tick` has been derived.
    #[must_use]
    pub fn is_past(&self, tick: Tick) -> bool {
        !self.probe.less_than(&tick)
    }

    /// Closes the inputs and keeps the outbox readable. What lies ahead of time is discarded.
    #[must_use]
    pub fn close(mut self) -> Closed {
        self.flush();
        Closed { outbox: Rc::clone(&self.outbox) }
    }

    fn flush(&mut self) {
        self.readings.flush();
        self.activities.flush();
        self.meters.flush();
        self.factors.flush();
        self.nodes.flush();
    }

    /// Takes what was derived since the last time.
    pub fn drain(&mut self) -> Outbox {
        std::mem::take(&mut self.outbox.borrow_mut())
    }
}

/// A dataflow without inputs.
#[derive(Debug)]
pub struct Closed {
    outbox: Rc<RefCell<Outbox>>,
}

impl Closed {
    /// Takes what was derived since the last time.
    #[must_use]
    pub fn drain(&mut self) -> Outbox {
        std::mem::take(&mut self.outbox.borrow_mut())
    }
}

/// What the dataflow reads.
pub struct Inputs<'scope> {
    readings: Stream<'scope, Tick, Vec<Reading>>,
    activities: Stream<'scope, Tick, Vec<ActivityRecord>>,
    meters: Stream<'scope, Tick, Vec<(MeterRow, Tick, i64)>>,
    factors: Collection<'scope, FactorRow, i64>,
    nodes: Collection<'scope, NodeRow, i64>,
}

/// What it derives.
pub struct Outputs<'scope> {
    activity: Collection<'scope, (ActivityKey, Reason), Measure>,
    emissions: Collection<'scope, (EmissionKey, Reason), Emission>,
    footprints: Collection<'scope, FootprintKey, Emission>,
    windows: Collection<'scope, WindowKey, Emission>,
    notices: Stream<'scope, Tick, Vec<(Tick, Notice)>>,
}

/// Turns readings into footprints. Only connects stages.
#[must_use]
pub fn footprints<'scope>(inputs: Inputs<'scope>, options: &EngineOptions) -> Outputs<'scope> {
    let Inputs { readings, activities, meters, factors, nodes } = inputs;
    let policy = Arc::new(options.policy.clone());
    let metering_options = Arc::new(Options {
        policy: options.policy.clone(),
        keep_readings: options.keep_readings,
    });
    let metered = metering::metering(readings, meters, Arc::clone(&metering_options));
    let spread = activities::activities(activities, metering_options);
    let (activity, notices) = activity_of([metered, spread]);
    let with_factor = activity.clone().filter(|key| !key.factor.is_none());

    let used = with_factor
        .clone()
        .map(|key| (key.factor, key.unit, key.period))
        .threshold_named("in use", |_use, m: &Measure| i64::from(!m.is_zero()));
    let rates = rates::rates(used, factors, &policy);

    let emissions = emissions(with_factor.clone(), rates.clone());
    let leaves = with_factor.map(|key| (key.node, (key.factor, key.unit, key.period)));
    let rolled = roll_up::roll_up(leaves, nodes, Arc::clone(&policy));
    let node_emissions = node_emissions(rolled, rates);

    Outputs {
        activity: settled(
            activity.map(|key| ActivityKey { factor: Id::NONE, ..key }),
            "settle activity",
            &policy,
            |key| key.period,
            |key, reason| (*key, reason),
        ),
        emissions: settled(
            emissions,
            "settle emissions",
            &policy,
            |key| key.activity.period,
            |key, reason| (*key, reason),
        ),
        footprints: {
            let hourly = Arc::clone(&policy);
            settled(
                node_emissions.clone(),
                "settle footprints",
                &policy,
                |key| key.period,
                move |key, _reason| key.by_the_hour(&hourly),
            )
        },
        windows: windows(node_emissions, policy, options.window_gases),
        notices,
    }
}

/// Activity whose open holds have come true.
fn activity_of<'scope>(
    metered: [Metered<'scope>; 2],
) -> (Collection<'scope, ActivityKey, Measure>, Stream<'scope, Tick, Vec<(Tick, Notice)>>) {
    let [meters, activities] = metered;
    let scope = meters.activity.scope();
    let notices = scope.concatenate([meters.notices, activities.notices]);
    let pieces: Collection<'scope, Piece1, Measure> =
        scope.concatenate([meters.activity, activities.activity]).as_collection();
    let activity = delay_until(pieces, "hold", |&(key, held_until_ms), tick, measure, give| {
        let due = Tick::new(held_until_ms, Cause::Time);
        give(key, tick.max(due), *measure);
    });
    (activity, notices)
}

/// Emissions of each subject, by line.
///
/// In SQL: `SELECT activity.*, line, amount * rate FROM activity JOIN rates USING (factor, unit, period)`.
///
/// Remembers one entry a (factor, unit, period, subject) inside the horizon, and the rates in use.
fn emissions<'scope>(
    activity: Collection<'scope, ActivityKey, Measure>,
    rates: Collection<'scope, (rates::Use, Line), crate::model::Rate>,
) -> Collection<'scope, EmissionKey, Emission> {
    let activity = activity
        .map(|ActivityKey { period, node, subject, unit, factor }| {
            ((factor, unit, period, bucket(subject)), (node, subject))
        })
        .arrange_by_key_named("activity by factor and period");
    let rates = rates
        .flat_map(|((factor, unit, period), line)| {
            (0..BUCKETS).map(move |bucket| ((factor, unit, period, bucket), line))
        })
        .arrange_by_key_named("rates by bucket");
    activity.join_core(rates, |&(factor, unit, period, _), &(node, subject), &line| {
        let activity = ActivityKey { period, node, subject, unit, factor };
        Some(EmissionKey { activity, line })
    })
}

fn bucket(subject: Subject) -> u64 {
    subject.hashed() % BUCKETS
}

/// What a node's emissions are kept under, before hours and windows.
#[derive(
    Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize,
)]
pub struct NodeKey {
    /// The accounting period.
    pub period: Period,
    /// The node, at any level.
    pub node: Id,
    /// Its level: 0 for a root.
    pub depth: u8,
    /// The line, without its revision.
    pub scope: u8,
    /// See [`Line::category`].
    pub category: u8,
    /// See [`Line::method`].
    pub method: crate::model::Method,
    /// See [`Line::gas`].
    pub gas: Gas,
}

impl NodeKey {
    /// The key of `footprints`: by the hour, or by the period where that is longer.
    #[must_use]
    pub fn by_the_hour(&self, policy: &Policy) -> FootprintKey {
        let Self { period, node, depth, scope, category, method, gas } = *self;
        let length = policy.period_ms.max(HOUR_MS);
        let start_ms = period.start_ms(policy.period_ms).div_euclid(length) * length;
        let end_ms = start_ms + length;
        FootprintKey { start_ms, end_ms, node, depth, scope, category, method, gas }
    }
}

/// Emissions of each node of the tree.
///
/// In SQL: `SELECT node, depth, period, line, amount * rate FROM rolled JOIN rates USING (factor, unit,
/// period)`: nodes are rolled up before gases are multiplied out.
///
/// Remembers one entry a (node at any level, factor, unit, period) inside the horizon.
fn node_emissions<'scope>(
    rolled: Collection<'scope, roll_up::Rolled, Measure>,
    rates: Collection<'scope, (rates::Use, Line), crate::model::Rate>,
) -> Collection<'scope, NodeKey, Emission> {
    let rolled = rolled
        .map(|(node, (factor, unit, period)): (_, (Id, Unit, Period))| {
            ((factor, unit, period), node)
        })
        .arrange_by_key_named("node activity by factor and period");
    let rates = rates.arrange_by_key_named("rates");
    rolled.join_core(rates, |&(_, _, period), &(node, depth), line| {
        let &Line { scope, category, method, gas, .. } = line;
        Some(NodeKey { period, node, depth, scope, category, method, gas })
    })
}

/// Whether a difference at `tick` about `period` is booked at all.
fn is_live(policy: &Policy, period: Period, tick: Tick) -> bool {
    period >= policy.horizon(tick)
}

/// Holds differences until their period settles; later ones are restatements.
fn settled<'scope, D: Data, K: Data, R: Semigroup + Clone + 'static>(
    collection: Collection<'scope, D, R>,
    name: &str,
    policy: &Arc<Policy>,
    period_of: impl Fn(&D) -> Period + 'static,
    key: impl Fn(&D, Reason) -> K + 'static,
) -> Collection<'scope, K, R> {
    let policy = Arc::clone(policy);
    delay_until(collection, name, move |data, tick, diff, give| {
        let period = period_of(data);
        if is_live(&policy, period, tick) {
            let settles = Tick::new(policy.settles_ms(period), Cause::Time);
            let reason = if tick < settles { Reason::Booked } else { Reason::Restated };
            give(key(data, reason), settles.max(tick), diff.clone());
        }
    })
}

/// The live windows: `open` holds a period while it runs, each rolling window the closed periods of its span.
///
/// Remembers one entry a (due instant, window key).
fn windows<'scope>(
    node_emissions: Collection<'scope, NodeKey, Emission>,
    policy: Arc<Policy>,
    by_gas: bool,
) -> Collection<'scope, WindowKey, Emission> {
    delay_until(node_emissions, "windows", move |key: &NodeKey, tick, emission, give| {
        if !is_live(&policy, key.period, tick) {
            return;
        }
        let gas = if by_gas { key.gas } else { Gas::Co2e };
        let NodeKey { node, depth, scope, method, .. } = *key;
        for (window, enters_ms, leaves_ms) in stays(&policy, key.period) {
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

/// When a period enters and leaves each window: `(window, enters ms, leaves ms)`.
pub fn stays(policy: &Policy, period: Period) -> impl Iterator<Item = (u8, i64, i64)> {
    let (start_ms, end_ms) = (period.start_ms(policy.period_ms), period.end_ms(policy.period_ms));
    let rolling = policy.windows_ms.iter().zip(1_u8..);
    let rolling = rolling.map(move |(span_ms, window)| (window, end_ms, end_ms + span_ms));
    std::iter::once((0, start_ms, end_ms)).chain(rolling)
}

impl Outputs<'_> {
    /// Gathers what is derived in `outbox`, and lets `probe` say how far it is complete.
    fn collect(self, probe: &Probe<Tick>, outbox: &Rc<RefCell<Outbox>>) {
        gather(self.activity.inner, "activity entries", probe, outbox, |outbox, batch| {
            outbox.activity.append(batch);
        });
        gather(self.emissions.inner, "emission entries", probe, outbox, |outbox, batch| {
            outbox.emissions.append(batch);
        });
        gather(self.footprints.inner, "footprint entries", probe, outbox, |outbox, batch| {
            outbox.footprints.append(batch);
        });
        gather(self.windows.inner, "window entries", probe, outbox, |outbox, batch| {
            outbox.windows.append(batch);
        });
        gather(self.notices, "notices", probe, outbox, |outbox, batch| {
            outbox.notices.append(batch);
        });
    }
}

fn gather<D: Clone + 'static>(
    stream: Stream<'_, Tick, Vec<D>>,
    name: &str,
    probe: &Probe<Tick>,
    outbox: &Rc<RefCell<Outbox>>,
    mut put: impl FnMut(&mut Outbox, &mut Vec<D>) + 'static,
) {
    let outbox = Rc::clone(outbox);
    stream
        .unary::<CapacityContainerBuilder<Vec<()>>, _, _, _>(Pipeline, name, move |_, _info| {
            move |input, _output| {
                input.for_each(|_capability, batch| put(&mut outbox.borrow_mut(), batch));
            }
        })
        .probe_with(probe);
}
