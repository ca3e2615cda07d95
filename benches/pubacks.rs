//! How long a reading waits for its PUBACK: from its arrival at our connection until our acknowledgement is on it.
//!
//! `cargo bench --bench pubacks -- [quiet|forgetting|both]`; SECONDS (30), FRAMES (60,000) and FRAME (100 readings)
//! from the environment. Needs Mosquitto (`.ci/setup`). Broker, publisher, pipeline and the tap share the machine.
//!
//! 1. The pipeline is connected to Mosquitto through a [`broker::tap::Tap`], which passes bytes on and takes the time
//!    of each packet: the broker's own time is not in it, nor a reconnect. A lake is written meanwhile.
//! 2. 10,000 readings/s are published with `QoS` 1. Each waits for others (at most 5 ms), for the decoder, and
//!    for a flush of the journal.
//! 3. `forgetting`: the journal holds FRAMES frames of nine days ago. They are replayed; then the horizon has
//!    moved past them, and the journal deletes them while readings come. What is left of them is told, so
//!    that a run which was over too soon is seen.

mod broker;
#[path = "../tests/support/mod.rs"]
mod support;

use std::sync::Arc;

use broker::tap::Tap;
use broker::{Fleet, METERS, Pipeline, end, now, percentile, received, say, wait_until};
use plumeline::journal::{self, Journal, Part};
use plumeline::runtime::{Clock, WallClock};
use plumeline_pipelines::model::{Arrival, Decimal, Id, Names, Quality, Reading, Record, Unit};
use support::Mosquitto;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Readings a second.
const RATE: u64 = 10_000;
/// How far the horizon lies back.
const RETAIN: &str = "retain = \"7d\"";
/// How far frames lie back that are to be forgotten, ms.
const OLD_MS: i64 = 9 * 86_400_000;
/// Time between ticks, as the ingest has it.
const TICK_MS: i64 = 250;

fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|value| value.parse().ok()).unwrap_or(default)
}

/// So long ago.
#[derive(Debug)]
struct Earlier(i64);

impl Clock for Earlier {
    fn now_ms(&self) -> i64 {
        WallClock.now_ms() - self.0
    }
}

/// Lets a first run apply the tables, and appends frames after it as if it had been killed then.
fn append_old(pipeline: &Pipeline) {
    let first = pipeline.start_on(Arc::new(Earlier(OLD_MS)));
    wait_until("the tables to be applied", || first.progress().committed_ms.is_some());
    end(first);
    let config = pipeline.config();
    let names = Arc::new(Names::new());
    let opened = Journal::open(
        &config.state_dir,
        &config.name,
        &mut config.policy.clone(),
        &["source".into()],
        Arc::clone(&names),
    );
    let (journal, found) = opened.expect("the journal can be opened");
    let meters: Vec<Id> = (0..METERS).map(|meter| names.intern(&format!("m{meter}"))).collect();
    let start_ms = found.newest_ms.expect("it has run");
    let (frames, a_frame) = (setting("FRAMES", 60_000), setting("FRAME", 100));
    let frames_a_tick = (RATE * TICK_MS.unsigned_abs() / 1000 / a_frame).max(1);
    let mut index = found.last_index;
    for frame in 0..frames {
        let ms = start_ms + TICK_MS * (1 + (frame / frames_a_tick).cast_signed());
        let reading = |_| {
            index += 1;
            let meter = usize::try_from(index).expect("a count") % METERS;
            let arrival = Arrival { index, source: 0, element: 0, position: index };
            Record::Reading(Reading {
                meter: meters[meter],
                at_ms: ms,
                from_ms: None,
                value: Some(Decimal::new(125, 2)),
                unit: Some(Unit::parse("kWh").expect("a unit")),
                version: 0,
                quality: Quality::Measured,
                arrival,
            })
        };
        let records: Vec<_> = (0..a_frame).map(reading).collect();
        let (rejects, facts, positions) = (&[], &[], &[]);
        let part = Part { ms, records: &records, rejects, facts, positions, aliases: None };
        journal.append(&part).expect("the disk has room");
    }
}

/// How many frames the journal holds.
fn frames(pipeline: &Pipeline) -> u64 {
    let file = pipeline.config().state_dir.join(journal::FILE);
    let info = journal::info(&file).expect("it can be read");
    let line = info.lines().find(|line| line.starts_with("frames")).expect("it says so");
    line.rsplit(' ').next().and_then(|count| count.parse().ok()).expect("a count")
}

fn measure(name: &str, is_forgetting: bool) {
    let Some(mosquitto) = Mosquitto::start() else { return };
    let tap = Tap::to(mosquitto.port());
    let source = format!(
        "type = \"mqtt\"\nurl = \"mqtt://127.0.0.1:{}\"\ntopics = [\"meters/{{meter}}\"]",
        tap.port()
    );
    let pipeline = Pipeline::new(&broker::load(), RETAIN, &source);
    if is_forgetting {
        append_old(&pipeline);
    }
    let running = pipeline.start();
    wait_until("it to be ready", || running.telemetry().readiness().0);
    let fleet = Fleet::start(&mosquitto, RATE);
    let each_once = u64::try_from(METERS).expect("a count");
    wait_until("each meter to have sent", || received(&running) >= each_once);
    let (before, begun) = (frames(&pipeline), now());
    tap.take();
    // A figure of how many frames the journal held in the middle of it would cost a walk over them.
    wait_until("the time to be over", || begun.elapsed().as_secs() >= setting("SECONDS", 30));
    let mut took = tap.take();
    let after = frames(&pipeline);
    let sent = fleet.end();
    took.sort();
    let at = |percent| percentile(&took, percent);
    say(&format!(
        "{name}: PUBACK after p50 {:.1} ms, p90 {:.1} ms, p99 {:.1} ms, p99.9 {:.1} ms, at most {:.1} ms, of {} \
         messages; frames in the journal before {before}, after {after}; {sent} sent",
        at(50.0),
        at(90.0),
        at(99.0),
        at(99.9),
        at(100.0),
        took.len(),
    ));
    end(running);
}

fn main() {
    let names = ["quiet", "forgetting", "both"];
    let which = std::env::args().find(|arg| names.contains(&arg.as_str()));
    let which = which.unwrap_or_else(|| "both".to_owned());
    for (name, is_forgetting) in [("quiet", false), ("forgetting", true)] {
        if which == name || which == "both" {
            measure(name, is_forgetting);
        }
    }
}
