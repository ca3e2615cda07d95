//! The handle by which one worker feeds the dataflow and reads it.

use std::cell::RefCell;
use std::rc::Rc;

use differential_dataflow::AsCollection;
use timely::container::CapacityContainerBuilder;
use timely::dataflow::InputHandle;
use timely::dataflow::operators::probe::Handle as Probe;
use timely::dataflow::operators::vec::Input;
use timely::worker::Worker;

use super::{Inputs, Outbox, footprints};
use crate::model::{
    ActivityRecord, Cause, CertificateRow, ContractRow, Emission, Fact, FactorRow, MeterRow,
    NodeRow, Policy, PriceRow, Reading, Record, SeriesRow, Subject, Tick,
};
use crate::stages::causes::Causes;
use crate::stages::recall::Recall;
use crate::stages::to_date::OpeningKey;

/// An input of records, all of its current tick.
type Batches<D> = InputHandle<Tick, CapacityContainerBuilder<Vec<D>>>;
/// An input of differences; facts come (1) and go (-1).
type Updates<D, R = i64> = Batches<(D, Tick, R)>;

/// Options of a dataflow.
#[derive(Clone, Debug)]
pub struct EngineOptions {
    /// What decides results.
    pub policy: Policy,
    /// Whether accepted readings are handed out for the table `readings`.
    pub keep_readings: bool,
    /// Whether live windows are told by gas; otherwise `CO2e` alone is meant, under gas `co2e`.
    pub window_gases: bool,
    /// At a restart: the newest tick of what is restored; else [`Tick::ZERO`].
    pub restored: Tick,
    /// In hindsight: up to which instant everything is known, ms; else 0. What comes true by then counts at once,
    /// and there are no windows.
    pub known_ms: i64,
}

/// One worker's handle on the dataflow. Every worker builds the same; any may be fed.
pub struct Engine {
    readings: Batches<Reading>,
    activities: Batches<ActivityRecord>,
    recalled_meters: Batches<Recall>,
    recalled_activities: Batches<Recall>,
    meters: Updates<MeterRow>,
    factors: Updates<FactorRow>,
    series: Updates<SeriesRow>,
    prices: Updates<PriceRow>,
    nodes: Updates<NodeRow>,
    contracts: Updates<ContractRow>,
    certificates: Updates<CertificateRow>,
    opening: Updates<OpeningKey, Emission>,
    probe: Probe<Tick>,
    outbox: Rc<RefCell<Outbox>>,
    causes: Causes,
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
            let (recalled_meters_in, recalled_meters) = scope.new_input();
            let (recalled_activities_in, recalled_activities) = scope.new_input();
            let (meters_in, meters) = scope.new_input();
            let (factors_in, factors) = scope.new_input();
            let (series_in, series) = scope.new_input();
            let (prices_in, prices) = scope.new_input();
            let (nodes_in, nodes) = scope.new_input();
            let (contracts_in, contracts) = scope.new_input();
            let (certificates_in, certificates) = scope.new_input();
            let (opening_in, opening) = scope.new_input();
            let (probe, outbox, causes) = (Probe::new(), Rc::default(), Causes::default());
            let inputs = Inputs {
                readings,
                activities,
                recalled_meters,
                recalled_activities,
                meters,
                factors: factors.as_collection(),
                series: series.as_collection(),
                prices: prices.as_collection(),
                nodes: nodes.as_collection(),
                contracts: contracts.as_collection(),
                certificates: certificates.as_collection(),
                opening: opening.as_collection(),
            };
            footprints(inputs, options, &causes).collect(&probe, &outbox);
            Self {
                readings: readings_in,
                activities: activities_in,
                recalled_meters: recalled_meters_in,
                recalled_activities: recalled_activities_in,
                meters: meters_in,
                factors: factors_in,
                series: series_in,
                prices: prices_in,
                nodes: nodes_in,
                contracts: contracts_in,
                certificates: certificates_in,
                opening: opening_in,
                probe,
                outbox,
                causes,
                now: Tick::ZERO,
            }
        })
    }

    /// Every input is now past all that is before `tick`.
    ///
    /// # Panics
    /// If `tick` lies before what was said earlier: the feeder hands out ticks in order.
    pub fn advance_to(&mut self, tick: Tick) {
        assert!(self.now <= tick, "ticks are strictly increasing");
        if self.now == tick {
            return;
        }
        self.now = tick;
        self.readings.advance_to(tick);
        self.activities.advance_to(tick);
        self.recalled_meters.advance_to(tick);
        self.recalled_activities.advance_to(tick);
        self.meters.advance_to(tick);
        self.factors.advance_to(tick);
        self.series.advance_to(tick);
        self.prices.advance_to(tick);
        self.nodes.advance_to(tick);
        self.contracts.advance_to(tick);
        self.certificates.advance_to(tick);
        self.opening.advance_to(tick);
    }

    /// Feeds a fact (`diff` 1) or takes it back (-1), at its kind's sub-tick of the instant `ms`.
    pub fn fact(&mut self, ms: i64, fact: Fact, diff: i64) {
        let tick = Tick::new(ms, fact.cause());
        self.advance_to(tick);
        match fact {
            Fact::Node(row) => self.nodes.send((row, tick, diff)),
            Fact::Meter(row) => self.meters.send((row, tick, diff)),
            Fact::Factor(row) => self.factors.send((row, tick, diff)),
            Fact::Series(row) => self.series.send((row, tick, diff)),
            Fact::Contract(row) => self.contracts.send((row, tick, diff)),
            Fact::Certificate(row) => self.certificates.send((row, tick, diff)),
            Fact::Price(row) => self.prices.send((row, tick, diff)),
        }
    }

    /// Feeds records at the instant `ms`.
    pub fn records(&mut self, ms: i64, records: impl IntoIterator<Item = Record>) {
        self.records_at(Tick::new(ms, Cause::Readings), records);
    }

    /// At a restart: feeds what was kept from before the horizon ([`crate::stages::notice::Notice::Kept`]).
    pub fn kept(&mut self, ms: i64, records: impl IntoIterator<Item = Record>) {
        self.records_at(Tick::new(ms, Cause::Kept), records);
    }

    /// Replaces what is known from before the horizon, at the instant `ms`. It has to be that of the horizon of
    /// this instant.
    pub fn recall(&mut self, ms: i64, recalls: impl IntoIterator<Item = Recall>) {
        self.advance_to(Tick::new(ms, Cause::Kept));
        for recall in recalls {
            match recall.subject {
                Subject::Meter(_) => self.recalled_meters.send(recall),
                Subject::Activity(_) => self.recalled_activities.send(recall),
                // Nothing is kept of what contracts cover: each hour is matched by itself.
                Subject::Contract(_) | Subject::Uncovered(_) => {}
            }
        }
    }

    /// Changes the opening balance of windows to date, at the instant `ms`: at a restart, by all that the ledger holds
    /// below the horizon; later, by what a restatement books there.
    pub fn open(&mut self, ms: i64, changes: impl IntoIterator<Item = (OpeningKey, Emission)>) {
        let tick = Tick::new(ms, Cause::Kept);
        self.advance_to(tick);
        for (key, change) in changes {
            self.opening.send((key, tick, change));
        }
    }

    fn records_at(&mut self, tick: Tick, records: impl IntoIterator<Item = Record>) {
        self.advance_to(tick);
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
        self.recalled_meters.flush();
        self.recalled_activities.flush();
        self.meters.flush();
        self.factors.flush();
        self.series.flush();
        self.prices.flush();
        self.nodes.flush();
        self.contracts.flush();
        self.certificates.flush();
        self.opening.flush();
    }

    /// Takes what was derived since the last time.
    pub fn drain(&mut self) -> Outbox {
        self.causes.forget_before(self.probe.with_frontier(|frontier| frontier.first().copied()));
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
