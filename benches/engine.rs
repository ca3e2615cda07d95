//! The dataflow in memory, without sources and sinks: readings a second, bytes a value, time of a revision.
//!
//! `cargo bench --bench engine -- [rate|fleet|both|full]`; ROUNDS, WORKERS, SECONDS,
//! DAYS, FACTORS and `METERS_A_FACTOR` from the environment. What is
//! derived is counted and dropped, as a sink that costs nothing would.

use std::io::Write as _;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Barrier};
use std::time::Instant;

use plumeline_pipelines::engine::{Engine, EngineOptions};
use plumeline_pipelines::model::{
    Arrival, Calendar, Cause, CertificateRow, ContractRow, Decimal, Fact, FactorChange, FactorRow,
    FactorStatus, Gas, GwpSet, Id, Matching, MeterKind, MeterRow, Method, NodeRow, Policy, Quality,
    Reading, Retain, StampSide, Supply, Tick, Unit, Validity,
};
use timely::worker::Worker;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const START_MS: i64 = 1_767_225_600_000;
const MINUTE: i64 = 60_000;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;

/// A fleet: `meters` under a four-level tree of `sites`, sharing `factors`.
#[derive(Copy, Clone)]
struct Shape {
    meters: u32,
    meters_a_site: u32,
    factors: u32,
    /// Neighbours that share one: a site's, as on one grid; 1 is the worst case.
    meters_a_factor: u32,
    every_ms: i64,
    tick_ms: i64,
    length_ms: i64,
    period_ms: i64,
    /// Both methods of scope 2, factors by the hour, and contracts that are matched by the hour.
    is_full: bool,
}

#[expect(clippy::disallowed_methods, reason = "a bench measures")]
fn now() -> Instant {
    Instant::now()
}

fn id(kind: u32, index: u32) -> Id {
    Id(1 + kind * 10_000_000 + index)
}

fn decimal(mantissa: i128, scale: u8) -> Decimal {
    Decimal::new(mantissa, scale)
}

impl Shape {
    fn policy(self) -> Policy {
        Policy {
            period_ms: self.period_ms,
            grace_ms: self.period_ms,
            retain: Retain::of(35 * DAY),
            samples_ms: 35 * DAY,
            windows_ms: vec![HOUR, DAY],
            calendar: Calendar::default(),
            gwp: GwpSet::Ar6,
        }
    }

    /// The readings of an instant, of every `peers`-th meter from `me` on.
    fn readings(self, at_ms: i64, (me, peers): (usize, usize), batch: &mut Vec<Reading>) {
        let first = u32::try_from(me).expect("few workers");
        for meter in (first..self.meters).step_by(peers) {
            batch.push(Reading {
                meter: id(0, meter),
                at_ms,
                from_ms: None,
                value: Some(decimal(1_000 + i128::from(meter % 977), 3)),
                unit: None,
                version: 0,
                quality: Quality::Measured,
                arrival: Arrival::default(),
            });
        }
    }

    fn facts(self) -> Vec<Fact> {
        let kwh = Unit::parse("kWh").expect("a unit of the table");
        let mut facts = Vec::new();
        let mut node = |node: Id, parent: Id| {
            let validity = Validity::ALWAYS;
            facts.push(Fact::Node(NodeRow { node, parent, name: Id::NONE, validity, revision: 0 }));
        };
        node(id(3, 0), Id::NONE);
        let sites = self.meters.div_ceil(self.meters_a_site);
        for site in 0..sites {
            if site % 100 == 0 {
                node(id(2, site / 100), id(3, 0));
            }
            if site % 10 == 0 {
                node(id(4, site / 10), id(2, site / 100));
            }
            node(id(1, site), id(4, site / 10));
        }
        for meter in 0..self.meters {
            facts.push(Fact::Meter(MeterRow {
                meter: id(0, meter),
                node: id(1, meter / self.meters_a_site),
                kind: MeterKind::Interval,
                unit: Some(kwh),
                multiplier: Decimal::ONE,
                stamp: StampSide::End,
                interval_ms: Some(self.every_ms),
                max_hold_ms: 15 * MINUTE,
                modulus: None,
                max_power: None,
                expected_every_ms: None,
                factor: id(5, (meter / self.meters_a_factor) % self.factors),
                validity: Validity::ALWAYS,
                revision: 0,
            }));
        }
        facts.extend((0..self.factors).flat_map(|factor| factor_rows(factor, 0)));
        if self.is_full {
            facts.extend((0..self.factors).flat_map(|factor| self.accounting(factor)));
        }
        facts
    }
}

impl Shape {
    /// Each hour's own version of a factor, with lines of both methods; and a contract that covers its load by
    /// certificates of about half of it.
    fn accounting(self, factor: u32) -> Vec<Fact> {
        let mut facts = Vec::new();
        let meters = i64::from(self.meters / self.factors);
        let wh = meters * (HOUR / self.every_ms) * 700;
        for hour in 0..=self.length_ms / HOUR + 2 {
            let from_ms = START_MS + hour * HOUR;
            let validity = Validity { from_ms, to_ms: from_ms + HOUR };
            for fact in factor_rows(factor, 1) {
                let Fact::Factor(row) = fact else { unreachable!("rows of factors") };
                for method in [Method::Location, Method::Market] {
                    facts.push(Fact::Factor(FactorRow { method, validity, ..row.clone() }));
                }
            }
            let hours = u32::try_from(hour).expect("hours of a bench");
            facts.push(Fact::Certificate(CertificateRow {
                certificate: id(7, factor * 100_000 + hours),
                contract: id(6, factor),
                zone: id(8, 0),
                device: Id::NONE,
                wh,
                issued_wh: wh,
                retired: id(8, 1),
                validity,
                revision: 0,
            }));
        }
        facts.push(Fact::Contract(ContractRow {
            contract: id(6, factor),
            name: format!("contract-{factor}"),
            node: id(3, 0),
            covers: id(5, factor),
            factor: id(5, self.factors),
            supply: Supply::Certificates,
            priority: 0,
            zone: id(8, 0),
            matching: Matching::Hourly1,
            evidence: [id(8, 1); 5],
            validity: Validity::ALWAYS,
            revision: 0,
        }));
        if factor == 0 {
            for fact in factor_rows(self.factors, 0) {
                let Fact::Factor(row) = fact else { unreachable!("rows of factors") };
                facts.push(Fact::Factor(FactorRow { method: Method::Market, ..row }));
            }
        }
        facts
    }
}

fn factor_rows(factor: u32, revision: i64) -> Vec<Fact> {
    let row = |(gas, kg): (Gas, i128)| {
        Fact::Factor(FactorRow {
            factor: id(5, factor),
            revision,
            scope: 2,
            category: 0,
            method: Method::Location,
            gas,
            kg_per_unit: decimal(kg + i128::from(revision), 9),
            unit: Unit::parse("kWh").expect("a unit of the table"),
            published_gwp: None,
            status: FactorStatus::Final,
            change: FactorChange::Revised,
            validity: Validity::ALWAYS,
            source: Id::NONE,
        })
    };
    [(Gas::Co2, 174_890_000), (Gas::Ch4, 32_000), (Gas::N2o, 4_600)].map(row).to_vec()
}

/// Counts what is derived.
#[derive(Default)]
struct Counts {
    entries: AtomicU64,
}

fn drain(engine: &mut Engine, counts: &Counts) -> u64 {
    let outbox = engine.drain();
    let entries = outbox.activity.len() + outbox.emissions.len() + outbox.footprints.len();
    let entries = u64::try_from(entries).expect("a count");
    counts.entries.fetch_add(entries, Ordering::Relaxed);
    entries
}

fn step_past(worker: &mut Worker, engine: &mut Engine, ms: i64, counts: &Counts) {
    let end = Tick::new(ms, Cause::Cut).next();
    engine.advance_to(end);
    while !engine.is_past(end) {
        worker.step();
        drain(engine, counts);
    }
}

fn status_mb(field: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with(field)).unwrap_or_default();
    line.split_whitespace().nth(1).and_then(|kb| kb.parse::<u64>().ok()).unwrap_or(0) / 1024
}

fn say(line: &str) {
    writeln!(std::io::stdout(), "{line}").expect("standard output is open");
}

fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|value| value.parse().ok()).unwrap_or(default)
}

#[expect(clippy::cast_precision_loss, reason = "figures for people")]
fn per_second(count: u64, since: Instant) -> f64 {
    count as f64 / since.elapsed().as_secs_f64()
}

/// Feeds the whole shape, tick by tick; then revises one factor and tells what that took.
fn run(name: &'static str, shape: Shape) {
    let workers = usize::try_from(setting("WORKERS", 2)).expect("a count");
    let counts = Arc::new(Counts::default());
    let barrier = Arc::new(Barrier::new(workers));
    let guards = timely::execute(timely::Config::process(workers), move |worker| {
        let options = EngineOptions {
            policy: shape.policy(),
            keep_readings: false,
            window_gases: false,
            restored: Tick::ZERO,
            known_ms: 0,
        };
        let mut engine = Engine::build(worker, &options);
        let (me, peers) = (worker.index(), worker.peers());
        let mut now_ms = START_MS;
        if me == 0 {
            let mut facts = shape.facts();
            facts.sort_by_key(Fact::cause);
            for fact in facts {
                engine.fact(now_ms, fact, 1);
            }
        }
        step_past(worker, &mut engine, now_ms, &counts);
        barrier.wait();
        let base_mb = status_mb("VmRSS");
        let start = now();
        let mut worst_ms = 0;
        let mut at_ms = START_MS;
        while now_ms < START_MS + shape.length_ms {
            let tick_start = now();
            now_ms += shape.tick_ms;
            let mut batch = Vec::new();
            while at_ms + shape.every_ms <= now_ms {
                at_ms += shape.every_ms;
                shape.readings(at_ms, (me, peers), &mut batch);
            }
            engine.readings(now_ms, &mut batch);
            step_past(worker, &mut engine, now_ms, &counts);
            worst_ms = worst_ms.max(tick_start.elapsed().as_millis());
        }
        barrier.wait();
        if me == 0 {
            let elapsed = start.elapsed().as_secs_f64();
            tell(name, shape, (elapsed, worst_ms, base_mb), &counts);
        }
        barrier.wait();
        // Let every period settle, so that a revision is all entries.
        now_ms += 2 * HOUR;
        step_past(worker, &mut engine, now_ms, &counts);
        barrier.wait();
        revise(worker, &mut engine, (now_ms, name), &counts, &barrier);
    });
    for joined in guards.expect("threads").join() {
        joined.expect("a worker ran to its end");
    }
}

fn tell(name: &str, shape: Shape, (elapsed, worst_ms, base_mb): (f64, u128, u64), counts: &Counts) {
    let rounds = u64::try_from(shape.length_ms / shape.every_ms).expect("a count");
    let readings = u64::from(shape.meters) * rounds;
    let rss_mb = status_mb("VmRSS");
    #[expect(clippy::cast_precision_loss, reason = "figures for people")]
    let rate = readings as f64 / elapsed / 1e6;
    say(&format!(
        "{name}: {readings} readings, {rate:.2} M/s, worst tick {worst_ms} ms, base {base_mb} MB, \
         resident {rss_mb} MB, {} bytes a reading, peak {} MB, {} entries",
        rss_mb.saturating_sub(base_mb) * 1_048_576 / readings.max(1),
        status_mb("VmHWM"),
        counts.entries.load(Ordering::Relaxed),
    ));
}

fn revise(
    worker: &mut Worker,
    engine: &mut Engine,
    (now_ms, name): (i64, &str),
    counts: &Counts,
    barrier: &Barrier,
) {
    let before_mb = status_mb("VmRSS");
    let before = counts.entries.load(Ordering::Relaxed);
    barrier.wait();
    let start = now();
    let ms = now_ms + 1000;
    if worker.index() == 0 {
        for fact in factor_rows(0, 1) {
            engine.fact(ms, fact, 1);
        }
    }
    let end = Tick::new(ms, Cause::Cut).next();
    engine.advance_to(end);
    let mut first = None;
    while !engine.is_past(end) {
        worker.step();
        if drain(engine, counts) > 0 {
            first.get_or_insert_with(|| start.elapsed());
        }
    }
    barrier.wait();
    if worker.index() == 0 {
        let entries = counts.entries.load(Ordering::Relaxed) - before;
        say(&format!(
            "{name}: one factor revised: first entry after {first:?}, {entries} entries in {:?}, {:.2} M/s, \
             resident {before_mb} -> {} MB, peak {} MB",
            start.elapsed(),
            per_second(entries, start) / 1e6,
            status_mb("VmRSS"),
            status_mb("VmHWM"),
        ));
    }
}

fn main() {
    let which =
        std::env::args().find(|arg| ["rate", "fleet", "both", "full"].contains(&arg.as_str()));
    let which = which.unwrap_or_else(|| "both".to_owned());
    let seconds = i64::try_from(setting("SECONDS", 30)).expect("a count");
    let days = i64::try_from(setting("DAYS", 35)).expect("a count");
    let meters_a_factor = u32::try_from(setting("METERS_A_FACTOR", 10)).expect("a count");
    let rate = Shape {
        meters: 100_000,
        meters_a_site: 10,
        factors: 100,
        meters_a_factor,
        every_ms: 100,
        tick_ms: 250,
        length_ms: seconds * 1000,
        period_ms: MINUTE,
        is_full: false,
    };
    if ["rate", "both"].contains(&which.as_str()) {
        run("rate", rate);
    }
    let fleet = Shape {
        meters: 10_000,
        meters_a_site: 10,
        factors: u32::try_from(setting("FACTORS", 1)).expect("a count"),
        meters_a_factor,
        every_ms: 15 * MINUTE,
        tick_ms: 15 * MINUTE,
        length_ms: days * DAY,
        period_ms: 15 * MINUTE,
        is_full: false,
    };
    if ["fleet", "both"].contains(&which.as_str()) {
        run("fleet", fleet);
    }
    if which == "full" {
        // By turns, so that what else the machine does falls on both.
        for _ in 0..setting("ROUNDS", 3) {
            run("plain", fleet);
            run("full", Shape { is_full: true, ..fleet });
            // Six readings a period, and not one, until two hours have settled.
            let often = Shape {
                every_ms: 10_000,
                tick_ms: 10_000,
                length_ms: 125 * MINUTE,
                period_ms: MINUTE,
                ..fleet
            };
            run("plain, every 10 s", often);
            run("full, every 10 s", Shape { is_full: true, ..often });
            // Ten readings a second, as in `rate`, of so few meters that two hours of them fit into memory.
            let fast = Shape { meters: 1000, length_ms: 125 * MINUTE, ..rate };
            run("plain, 10 Hz", fast);
            run("full, 10 Hz", Shape { is_full: true, ..fast });
        }
    }
}
