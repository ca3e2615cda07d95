//! Plays the story: publishes what is due, moves the clock, shows how the pipeline does.
//!
//! Each turn of the loop:
//!
//! 1. reads how far simulated time may go ([`Pace`]);
//! 2. publishes everything due until then, and only then moves the clock there;
//! 3. holds simulated time (it creeps on as on the wall) while the pipeline is far behind, and around the
//!    revision of the factors: so the footprints before and after differ by the revision alone, and the
//!    summary can say what it restated.
//!
//! ```text
//!   Playing ── the revision is next ──► Quieting ── all received ──► revise ──► Restating ── quiet ──► Playing
//! ```

use std::collections::BTreeMap;
use std::io::Write;
use std::iter::Peekable;
use std::thread;
use std::time::{Duration, Instant};

use plumeline_fixtures::fleet::{Fleet, Message, Messages, What};
use plumeline_fixtures::text::HOUR_MS;

use super::clock::{Pace, ReplayClock, wall};
use super::error::DemoError;
use super::folder::Folder;
use super::interrupt::Interrupt;
use super::live::Live;
use super::publisher::Publisher;
use super::servers::Servers;
use super::{Engine, Snapshot};

/// Simulated time after the last message, so that its period is over and settled: a period and its grace.
const TAIL_MS: i64 = HOUR_MS + HOUR_MS / 2;
/// Elements published and not received by the pipeline yet before time is held: more, and readings would
/// be late because of the machine and not because of the story.
const BEHIND_MAX: u64 = 1_000;
/// Between two turns of the loop.
const TURN: Duration = Duration::from_millis(4);
/// Between two lines.
const SHOW_EVERY: Duration = Duration::from_secs(1);
/// Between two looks at the pipeline.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// The pipeline is quiet when nothing has changed for so long.
const QUIET: Duration = Duration::from_millis(600);
/// Longest wait for quiet: then the story goes on whatever happens.
const QUIET_LIMIT: Duration = Duration::from_secs(10);

/// What was played.
#[derive(Clone, Debug, Default)]
pub(super) struct Played {
    /// Messages and elements sent, by their part in the story.
    pub(super) sent: BTreeMap<What, Sent>,
    /// The pipeline before and after the factors were revised.
    pub(super) revision: Option<(Snapshot, Snapshot)>,
    /// Whether it was interrupted.
    pub(super) interrupted: bool,
    /// How far simulated time went, ms since the Unix epoch.
    pub(super) until_ms: i64,
}

/// A count of messages and of the elements in them.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Sent {
    pub(super) messages: u64,
    pub(super) elements: u64,
}

#[derive(Debug)]
enum Phase {
    Playing,
    Quieting { since: Instant },
    Restating { since: Instant, before: Snapshot },
}

/// A story being played.
pub(super) struct Play<'demo> {
    clock: &'demo ReplayClock,
    publisher: Publisher,
    messages: Peekable<Messages<'demo>>,
    told: std::vec::IntoIter<(i64, String)>,
    pace: Pace,
    end_ms: i64,
    live: Live,
    phase: Phase,
    snapshot: Snapshot,
    /// When the snapshot was taken, and when it last differed from the one before.
    looked: Instant,
    changed: Instant,
    shown: (Instant, u64),
    published: u64,
    played: Played,
}

impl<'demo> Play<'demo> {
    /// Connects the fleet to the servers; its story will take `length`.
    pub(super) fn new(
        fleet: &'demo Fleet,
        folder: &Folder,
        servers: &Servers,
        clock: &'demo ReplayClock,
        length: Duration,
    ) -> Result<Self, DemoError> {
        let now = wall();
        let wall_ms = i64::try_from(length.as_millis()).unwrap_or(i64::MAX);
        let start_ms = fleet.plan.start_ms;
        let simulated_ms = fleet.plan.length_ms + TAIL_MS;
        Ok(Self {
            clock,
            publisher: Publisher::connect(servers, folder)?,
            messages: fleet.messages().peekable(),
            told: fleet.story().told(fleet).into_iter(),
            pace: Pace::new(start_ms, simulated_ms, wall_ms, now),
            end_ms: start_ms + simulated_ms,
            live: Live::new(start_ms),
            phase: Phase::Playing,
            snapshot: Snapshot::default(),
            looked: now,
            changed: now,
            shown: (now, 0),
            published: 0,
            played: Played::default(),
        })
    }

    /// Plays until the story ends or somebody interrupts it.
    pub(super) fn run(
        &mut self,
        engine: &dyn Engine,
        interrupt: &Interrupt,
        out: &mut dyn Write,
    ) -> Result<Played, DemoError> {
        loop {
            let now = wall();
            self.look(now, engine);
            self.turn_phase(now)?;
            let behind = self.published.saturating_sub(self.snapshot.received());
            let is_over = self.played.until_ms >= self.end_ms;
            let held = behind > BEHIND_MAX || is_over || !matches!(self.phase, Phase::Playing);
            let until_ms = self.pace.at(now, held);
            self.publish_until(until_ms, now)?;
            self.clock.advance_to(until_ms);
            self.tell_until(until_ms, out)?;
            if now.duration_since(self.shown.0) >= SHOW_EVERY {
                self.show(now, until_ms, out)?;
            }
            self.played.until_ms = until_ms;
            self.played.interrupted = interrupt.is_set();
            let is_received = behind == 0 || now.duration_since(self.changed) >= QUIET_LIMIT;
            if (is_over && is_received) || self.played.interrupted {
                return Ok(std::mem::take(&mut self.played));
            }
            thread::sleep(TURN);
        }
    }

    fn look(&mut self, now: Instant, engine: &dyn Engine) {
        if now.duration_since(self.looked) < LOOK_EVERY {
            return;
        }
        self.looked = now;
        let snapshot = engine.progress();
        let same = snapshot.received() == self.snapshot.received()
            && snapshot.restatements == self.snapshot.restatements
            && snapshot.footprints == self.snapshot.footprints;
        if !same {
            self.changed = now;
        }
        self.snapshot = snapshot;
    }

    /// Leaves a phase whose wait is over.
    fn turn_phase(&mut self, now: Instant) -> Result<(), DemoError> {
        let quiet = now.duration_since(self.changed) >= QUIET;
        match &self.phase {
            Phase::Playing => {}
            Phase::Quieting { since } => {
                let waited = now.duration_since(*since);
                let received = self.snapshot.received() >= self.published;
                if (quiet && received && waited >= QUIET) || waited >= QUIET_LIMIT {
                    let before = self.snapshot.clone();
                    while let Some(message) = self.messages.next_if(|m| m.what == What::Revision) {
                        self.send(&message)?;
                    }
                    self.changed = now;
                    self.phase = Phase::Restating { since: now, before };
                }
            }
            Phase::Restating { since, before } => {
                let waited = now.duration_since(*since);
                let restated = self.snapshot.footprints != before.footprints;
                if (quiet && restated) || waited >= QUIET_LIMIT {
                    self.played.revision = Some((before.clone(), self.snapshot.clone()));
                    self.phase = Phase::Playing;
                }
            }
        }
        Ok(())
    }

    fn publish_until(&mut self, until_ms: i64, now: Instant) -> Result<(), DemoError> {
        if !matches!(self.phase, Phase::Playing) {
            return Ok(());
        }
        while let Some(message) =
            self.messages.next_if(|m| m.due_ms <= until_ms && m.what != What::Revision)
        {
            self.send(&message)?;
        }
        let revision_is_due = self.messages.peek().is_some_and(|m| m.due_ms <= until_ms);
        if revision_is_due {
            self.phase = Phase::Quieting { since: now };
        }
        Ok(())
    }

    fn send(&mut self, message: &Message) -> Result<(), DemoError> {
        self.publisher.send(message)?;
        let sent = self.played.sent.entry(message.what).or_default();
        sent.messages += 1;
        sent.elements += u64::from(message.elements);
        self.published += u64::from(message.elements);
        Ok(())
    }

    fn tell_until(&mut self, until_ms: i64, out: &mut dyn Write) -> Result<(), DemoError> {
        while let Some((at_ms, sentence)) = self.told.as_slice().first() {
            if *at_ms > until_ms {
                break;
            }
            self.live.tell(*at_ms, sentence, out)?;
            self.told.next();
        }
        Ok(())
    }

    fn show(&mut self, now: Instant, until_ms: i64, out: &mut dyn Write) -> Result<(), DemoError> {
        let (before, received_before) = self.shown;
        let received = self.snapshot.received();
        let elapsed_ms = now.duration_since(before).as_millis().max(1);
        let rate = u128::from(received - received_before) * 1000 / elapsed_ms;
        self.shown = (now, received);
        let rate = u64::try_from(rate).unwrap_or(u64::MAX);
        self.live.show(until_ms, rate, &self.snapshot, out)?;
        Ok(())
    }
}
