//! The workers: timely threads that take seals in step with each other.
//!
//! 1. Take the next seal; feed facts at their sub-ticks, then records; advance past the seal.
//! 2. Step until the whole dataflow has passed the seal, handing on what was derived. *All workers have the
//!    same seals, so none waits for one that has stopped stepping.*
//! 3. At the end of a cut hand its rows to the committer; at the end of every seal its window changes to the
//!    publisher, with the meters heard of and the facts that say which are expected.
//! 4. When the feeder has let go, close the inputs: what lies ahead of time is discarded.

use std::sync::mpsc::{Receiver, SyncSender};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use plumeline_pipelines::digest::Digester;
use plumeline_pipelines::engine::{Engine, EngineOptions, Outbox, window_entry};
use plumeline_pipelines::model::{
    ActivityDataEntry, Cause, Fact, Names, PendingEntry, Policy, ReadingEntry, Record, RejectEntry,
    RejectEvent, Tick,
};
use plumeline_pipelines::stages::notice::Notice;
use plumeline_sinks::delta::Rows;
use timely::worker::Worker;

use super::committer::ToCommitter;
use super::desk::Desk;
use super::opening::Opening;
use super::publisher::{Changed, News};
use super::restore::Slice;
use super::seal::{Phase, Seal};
use super::stash::Stash;
use super::telemetry::Telemetry;
use crate::config::Pipeline;

/// How long a worker without work sleeps before it looks again.
const PARK: Duration = Duration::from_millis(5);

/// Rows of `readings` and `activity_data` that a worker gathers before it asks for a cut: some tens of MB.
const READINGS_MAX: usize = 400_000;

/// What the workers are connected to.
#[derive(Debug)]
pub(super) struct Wiring {
    /// What decides results.
    pub options: EngineOptions,
    /// One a worker: where its seals come from.
    pub inboxes: Vec<Receiver<Seal>>,
    /// To the committer.
    pub rows: SyncSender<ToCommitter>,
    /// To the publisher.
    pub windows: SyncSender<Changed>,
    /// The newest tick that is restored.
    pub restored: Tick,
    /// The opening balance as of what is restored, where there is to be one.
    pub opening: Option<Receiver<Opening>>,
    /// For messages.
    pub names: Arc<Names>,
    /// Where what is pending is noted.
    pub desk: Arc<Desk>,
    /// For metrics.
    pub telemetry: Arc<Telemetry>,
}

/// What their dataflow is built with, if it goes on from `restored`.
#[must_use]
pub(super) fn engine_options(pipeline: &Pipeline, restored: Tick) -> EngineOptions {
    EngineOptions {
        policy: pipeline.policy.clone(),
        keep_readings: pipeline.delta.as_ref().is_some_and(|delta| delta.readings),
        window_gases: pipeline.prometheus.is_some_and(|prometheus| prometheus.gases),
        restored,
        known_ms: 0,
    }
}

/// Runs all workers until their inboxes are closed.
///
/// # Panics
/// If a worker panics: the pipeline cannot go on without it.
pub(super) fn run(wiring: Wiring) {
    let Wiring { options, inboxes, rows, windows, restored, opening, names, desk, telemetry } =
        wiring;
    let workers = inboxes.len();
    let config =
        if workers == 1 { timely::Config::thread() } else { timely::Config::process(workers) };
    let inboxes: Vec<_> = inboxes.into_iter().map(|inbox| Mutex::new(Some(inbox))).collect();
    // The senders are handed to the workers and go with them.
    let senders = Mutex::new(Some((rows, windows)));
    // One worker takes it, whichever comes first: sums have no order.
    let opening = Mutex::new(opening);
    let workers_left = Mutex::new(workers);
    let guards = timely::execute(config, move |worker| {
        let inbox = lock(&inboxes[worker.index()]).take().expect("one inbox a worker");
        let (rows, windows) = take_senders(&senders, &workers_left);
        let mut hand = Hand {
            index: worker.index(),
            engine: Engine::build(worker, &options),
            stash: Stash::default(),
            digester: Digester::new(Arc::clone(&names), &options.policy),
            restored,
            opening: lock(&opening).take(),
            news: News::default(),
            readings: Vec::new(),
            activity_data: Vec::new(),
            rejects: Vec::new(),
            pending: Vec::new(),
            policy: options.policy.clone(),
            last: restored,
            phase: Phase::Restoring,
            kept: None,
            rows,
            windows,
            names: Arc::clone(&names),
            desk: Arc::clone(&desk),
            telemetry: Arc::clone(&telemetry),
        };
        while let Some(seal) = next(&inbox, worker) {
            if hand.work(worker, seal).is_err() {
                break;
            }
        }
    })
    .expect("threads can be started");
    for joined in guards.join() {
        joined.expect("a worker of the dataflow panicked; its message is above");
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

type Senders = (SyncSender<ToCommitter>, SyncSender<Changed>);

/// A copy for each worker; the last one takes the originals, so that nobody else keeps the channels open.
fn take_senders(senders: &Mutex<Option<Senders>>, workers_left: &Mutex<usize>) -> Senders {
    let (mut senders, mut left) = (lock(senders), lock(workers_left));
    *left -= 1;
    if *left == 0 {
        return senders.take().expect("taken once, by the last");
    }
    senders.clone().expect("there until the last takes them")
}

/// The next seal; while there is none, the dataflow keeps stepping, since others may need this worker.
fn next(inbox: &Receiver<Seal>, worker: &mut Worker) -> Option<Seal> {
    use std::sync::mpsc::RecvTimeoutError::{Disconnected, Timeout};
    loop {
        match inbox.recv_timeout(PARK) {
            Ok(seal) => return Some(seal),
            Err(Timeout) => {
                worker.step();
            }
            Err(Disconnected) => return None,
        }
    }
}

/// How the reason begins of a row of `rejects` that is about a reading of an instant, ms.
pub(crate) fn about(subject: &str, at_ms: i64) -> String {
    let at = Timestamp::from_millisecond(at_ms).unwrap_or_default();
    format!("`{subject}` at {at}: ")
}

/// One worker.
struct Hand {
    index: usize,
    engine: Engine,
    stash: Stash,
    /// Of what is restored, then of the open cut.
    digester: Digester,
    /// The newest tick that is restored.
    restored: Tick,
    /// Where the opening balance comes from, on one worker.
    opening: Option<Receiver<Opening>>,
    news: News,
    readings: Vec<ReadingEntry>,
    activity_data: Vec<ActivityDataEntry>,
    rejects: Vec<RejectEntry>,
    pending: Vec<PendingEntry>,
    policy: Policy,
    /// The tick that was worked on last.
    last: Tick,
    phase: Phase,
    /// What is kept at the horizon's last move, if it has moved since the last cut: when, ms, and what.
    kept: Option<(i64, Vec<Record>)>,
    rows: SyncSender<ToCommitter>,
    windows: SyncSender<Changed>,
    names: Arc<Names>,
    desk: Arc<Desk>,
    telemetry: Arc<Telemetry>,
}

/// The committer or the publisher has ended.
struct Ended;

impl Hand {
    fn work(&mut self, worker: &mut Worker, seal: Seal) -> Result<(), Ended> {
        let Seal { slice, cut, phase } = seal;
        let Slice { ms, mut facts, records, kept, recalls, mut opening } = slice;
        self.phase = phase;
        let moved_ms = self.policy.horizon_moved_ms(Tick::new(ms, Cause::Cut));
        if phase != Phase::Restoring && moved_ms != self.policy.horizon_moved_ms(self.last) {
            // Told below, by the dataflow; it may be nothing.
            self.kept = Some((moved_ms, Vec::new()));
        }
        facts.sort_by_key(|(fact, diff)| (fact.cause(), *diff));
        for (fact, diff) in facts {
            if !matches!(fact, Fact::Factor(_)) {
                self.news.facts.push((fact.clone(), diff));
            }
            self.engine.fact(ms, fact, diff);
        }
        self.engine.records(ms, records);
        if !kept.is_empty() {
            self.engine.kept(ms, kept);
        }
        if !recalls.is_empty() {
            self.engine.recall(ms, recalls);
        }
        if phase == Phase::Restoring
            && ms == self.restored.ms()
            && let Some(read) = &self.opening
        {
            // Whoever reads it has been asked to end, or has failed and has said why.
            opening = read.recv().map_err(|_| Ended)?;
        }
        if !opening.is_empty() {
            self.engine.open(ms, opening);
        }
        let end = Tick::new(ms, Cause::Cut).next();
        self.engine.advance_to(end);
        while !self.engine.is_past(end) {
            worker.step_or_park(Some(PARK));
            let derived = self.engine.drain();
            self.take(derived);
            if let Some(cut) = cut {
                self.hand_over(cut, true)?;
            }
        }
        let derived = self.engine.drain();
        self.take(derived);
        if let Some(cut) = cut {
            self.hand_over(cut, false)?;
            if let Some((moved_ms, records)) = self.kept.take() {
                let part = self.index;
                let message = ToCommitter::Kept { cut, part, moved_ms, records };
                self.rows.send(message).map_err(|_| Ended)?;
            }
            let digests = self.digester.take();
            self.rows.send(ToCommitter::End { cut, digests }).map_err(|_| Ended)?;
        }
        if phase != Phase::Restoring {
            self.last = Tick::new(ms, Cause::Cut);
        } else if ms == self.restored.ms() {
            let digests = self.digester.take();
            self.rows.send(ToCommitter::Restored { digests }).map_err(|_| Ended)?;
        }
        let is_full = self.stash.is_full()
            || self.readings.len() + self.activity_data.len() + self.pending.len() > READINGS_MAX
            || self.rejects.len() > READINGS_MAX;
        self.telemetry.set_rows_wait(self.index, is_full);
        let news = std::mem::take(&mut self.news);
        let is_shown = phase == Phase::Live;
        self.windows.send(Changed { ms, news, is_shown }).map_err(|_| Ended)
    }

    fn take(&mut self, mut derived: Outbox) {
        let windows = std::mem::take(&mut derived.windows);
        self.news.windows.extend(windows.into_iter().map(window_entry));
        if self.phase == Phase::Restoring {
            // All of it is in the tables, which is proven by its digests.
            self.digest(&derived);
            for (_, notice) in derived.notices {
                if let Notice::Heard { meter, newest } = notice {
                    self.news.heard.push((meter, newest));
                }
            }
            return;
        }
        let is_counted = self.phase != Phase::Replaying;
        self.stash.take(&mut derived);
        for (tick, notice) in derived.notices {
            match notice {
                Notice::Tally(_) if !is_counted => {}
                Notice::Tally(tally) => {
                    for ((source, outcome), count) in tally.outcomes {
                        self.telemetry.count(source, outcome, count);
                    }
                }
                Notice::Pending(entry) => {
                    self.desk.note(&entry);
                    self.pending.push(entry);
                }
                Notice::Heard { meter, newest } => self.news.heard.push((meter, newest)),
                Notice::Reading(entry) => self.readings.push(entry),
                Notice::ActivityData(entry) => self.activity_data.push(entry),
                Notice::Kept(mut record) => {
                    if let Some((moved_ms, kept)) = &mut self.kept
                        && tick.ms() == *moved_ms
                    {
                        record.arrival_mut().index = 1 + u64::try_from(kept.len()).unwrap_or(0);
                        kept.push(record);
                    }
                }
                Notice::Waiting { event, meter, at_ms, arrival, why } => {
                    let about = about(&self.names.name(meter), at_ms);
                    let why = match (event, why) {
                        (RejectEvent::Resolved, _) => "booked by a later fact".to_owned(),
                        (_, why) => why.unwrap_or_default(),
                    };
                    self.rejects.push(RejectEntry {
                        source: arrival.source,
                        position: arrival.position,
                        element: arrival.element,
                        event,
                        reason: format!("{about}{why}"),
                        raw: Vec::new(),
                    });
                }
            }
        }
    }

    fn digest(&mut self, derived: &Outbox) {
        for ((key, _reason), _tick, change) in &derived.activity {
            self.digester.activity(key, change);
        }
        for ((key, _reason), _tick, change) in &derived.emissions {
            self.digester.emission(key, change);
        }
        for (key, _tick, change) in &derived.footprints {
            self.digester.footprint(key, change);
        }
    }

    /// Hands rows of the cut to the committer; while its dataflow is under way, whole chunks alone.
    fn hand_over(&mut self, cut: Tick, is_open: bool) -> Result<(), Ended> {
        let mut rows = self.stash.drain(is_open, &mut self.digester);
        self.telemetry.count_restated(&self.stash.restated());
        if !is_open {
            rows.push(Rows::Readings(std::mem::take(&mut self.readings)));
            rows.push(Rows::ActivityData(std::mem::take(&mut self.activity_data)));
            rows.push(Rows::Rejects(std::mem::take(&mut self.rejects)));
            rows.push(Rows::Pending(std::mem::take(&mut self.pending)));
        }
        for rows in rows {
            let message = ToCommitter::Rows { cut, part: self.index, rows };
            self.rows.send(message).map_err(|_| Ended)?;
        }
        Ok(())
    }
}
