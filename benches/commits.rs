//! Commits of small cuts into a local lake: whether the ten-thousandth takes as long as the first.
//!
//! `cargo bench --bench commits`; COMMITS (10,000), ROWS of `activity` a cut (20) from the environment. A cut
//! a minute, with rows for `activity`, `emissions`, `footprints` and `readings`, one part. Then the lake is
//! opened again, as a restart does. Every file is flushed, so the disk of TMPDIR is measured, too.

use std::io::Write;
use std::sync::Arc;
use std::time::{Duration, Instant};

use plumeline_pipelines::model::{
    ActivityEntry, ActivityKey, Arrival, Calendar, Cause, Decimal, Emission, EmissionEntry,
    EmissionKey, FootprintEntry, FootprintKey, Gas, GwpSet, Line, Measure, Method, Names, Outcome,
    Period, Policy, Quality, Reading, ReadingEntry, Reason, Retain, Sources, Subject, Tick, Unit,
};
use plumeline_sinks::delta::{Compression, Lake, LakeConfig, Rows};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// 2026-01-01T00:00:00Z.
const START_MS: i64 = 1_767_225_600_000;
const MINUTE_MS: i64 = 60_000;
const PERIOD_MS: i64 = 900_000;
/// Commits a line of the report stands for.
const A_LINE: usize = 1_000;
const LINE: Line = Line {
    scope: 2,
    category: 0,
    method: Method::Location,
    gas: Gas::Co2,
    revision: 1,
    rate: 400_000_000_000,
};

fn setting(name: &str, default: usize) -> usize {
    std::env::var(name).ok().and_then(|value| value.parse().ok()).unwrap_or(default)
}

fn say(line: &str) {
    writeln!(std::io::stdout(), "{line}").expect("standard output is open");
}

#[expect(clippy::disallowed_methods, reason = "a bench measures")]
fn now() -> Instant {
    Instant::now()
}

fn config(url: &str) -> LakeConfig {
    LakeConfig {
        url: url.into(),
        compression: Compression::Zstd,
        pipeline: "bench".into(),
        timezone: jiff::tz::TimeZone::UTC,
        policy: Policy {
            period_ms: PERIOD_MS,
            grace_ms: PERIOD_MS,
            retain: Retain::of(35 * 86_400_000),
            samples_ms: 7 * 86_400_000,
            windows_ms: vec![3_600_000],
            calendar: Calendar::default(),
            gwp: GwpSet::Ar6,
        },
        also_gwp: Vec::new(),
        sources: Sources::new(["plant"]),
        readings: true,
        replay_clock: false,
        workers: 1,
    }
}

/// The rows of a cut: so many of `activity`, as many of `emissions` and `readings`, one of `footprints`.
fn rows(names: &Names, cut_ms: i64, count: usize) -> [Rows; 4] {
    let meters = || (0..count).map(|meter| names.intern(&format!("m-{meter}")));
    let key = |meter| ActivityKey {
        period: Period::of(cut_ms - PERIOD_MS, PERIOD_MS),
        node: names.intern("site"),
        subject: Subject::Meter(meter),
        unit: Unit::parse("kWh").expect("a unit"),
        factor: names.intern("grid"),
    };
    let reason = Reason::Booked;
    let change = Measure { amount: 1_500_000_000.into(), covered_ms: MINUTE_MS, presence: 1 };
    let activity = meters().map(|meter| ActivityEntry { key: key(meter), reason, change });
    let emitted = Emission { mass: 6.into(), co2e: 6.into(), presence: 1 };
    let emissions = meters().map(|meter| EmissionEntry {
        key: EmissionKey { activity: key(meter), line: LINE },
        reason,
        change: emitted,
    });
    let readings = meters().map(|meter| ReadingEntry {
        record: Reading {
            meter,
            at_ms: cut_ms - 1_000,
            from_ms: None,
            value: Some(Decimal::parse("1.5").expect("a number")),
            unit: None,
            version: 1,
            quality: Quality::Measured,
            arrival: Arrival::default(),
        },
        received_ms: cut_ms - 500,
        outcome: Outcome::Booked,
    });
    let footprint = FootprintKey {
        start_ms: cut_ms / 3_600_000 * 3_600_000,
        end_ms: cut_ms / 3_600_000 * 3_600_000 + 3_600_000,
        node: names.intern("site"),
        depth: 0,
        scope: LINE.scope,
        category: LINE.category,
        method: LINE.method,
        gas: LINE.gas,
    };
    [
        Rows::Activity(activity.collect()),
        Rows::Emissions(emissions.collect()),
        Rows::Readings(readings.collect()),
        Rows::Footprints(vec![FootprintEntry { key: footprint, change: emitted }]),
    ]
}

/// Median, 99th percentile and longest, ms.
fn spread(mut durations: Vec<Duration>) -> [f64; 3] {
    durations.sort_unstable();
    let last = durations.len() - 1;
    [last / 2, last * 99 / 100, last].map(|index| durations[index].as_secs_f64() * 1e3)
}

fn main() {
    let (commits, count) = (setting("COMMITS", 10_000), setting("ROWS", 20));
    let folder = tempfile::tempdir().expect("a folder for the bench");
    let config = config(folder.path().join("lake").to_str().expect("UTF-8"));
    let names = Arc::new(Names::new());
    let mut lake = Lake::open(config.clone(), Arc::clone(&names)).expect("a lake");
    let cuts: Vec<i64> = (1..).map(|index| START_MS + index * MINUTE_MS).take(commits).collect();
    say("commits | median, ms | p99, ms | longest, ms | without append, median, ms");
    for (number, chunk) in (1..).zip(cuts.chunks(A_LINE)) {
        let (mut whole, mut at_the_end) = (Vec::new(), Vec::new());
        for &cut_ms in chunk {
            let rows = rows(&names, cut_ms, count);
            let start = now();
            let mut writer = lake.begin(Tick::new(cut_ms, Cause::Cut));
            for rows in rows {
                writer.append(0, rows).expect("a local lake takes rows");
            }
            let stats = writer.commit().expect("a local lake commits");
            whole.push(start.elapsed());
            at_the_end.push(stats.duration);
            lake.clean_up();
        }
        let [median, p99, longest] = spread(whole);
        let [commit, ..] = spread(at_the_end);
        say(&format!(
            "{} | {median:.1} | {p99:.1} | {longest:.1} | {commit:.1}",
            (number - 1) * A_LINE + chunk.len()
        ));
    }
    drop(lake);
    let start = now();
    let lake = Lake::open(config, names).expect("the same lake");
    say(&format!(
        "opened again in {:.0} ms, {:?}",
        start.elapsed().as_secs_f64() * 1e3,
        lake.versions()
    ));
}
