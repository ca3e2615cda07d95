//! A fleet's ledger before and after compaction: bytes a row, the time of a month's sum, write amplification.
//!
//! `cargo bench --bench compaction`; METERS (10,000), DAYS (30), ORDER (`fixed`: meters report in the same order each
//! time, as gateways poll them; or `shuffled`) from the environment. Each meter reports every 15 minutes; a commit a
//! minute, two parts; factors of three gases; sites of 20 meters, companies of 50 sites. The same ledger is written
//! twice: once left as it is committed, once compacted at the end of each hour, as the program does with
//! `compact_after = "1h"`. Sums are `DuckDB`'s, where Python has it, and the lake's own reader's.

use std::collections::BTreeMap;
use std::io::Write;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Instant;

use plumeline_fixtures::random::SplitMix64;
use plumeline_pipelines::model::{
    ActivityEntry, ActivityKey, Arrival, Calendar, Cause, Decimal, Emission, EmissionEntry,
    EmissionKey, FootprintEntry, FootprintKey, Gas, GwpSet, Id, Line, Measure, Method, Names,
    Outcome, Period, Policy, Quality, Reading, ReadingEntry, Reason, Retain, Sources, Subject,
    Tick, Unit,
};
use plumeline_sinks::delta::{
    Compression, Lake, LakeConfig, LakeReader, Rows, TableName, views_script,
};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// 2026-01-01T00:00:00Z.
const START_MS: i64 = 1_767_225_600_000;
const MINUTE_MS: i64 = 60_000;
const PERIOD_MS: i64 = 900_000;
const HOUR_MS: i64 = 3_600_000;
const DAY_MS: i64 = 86_400_000;
/// Ticks of the program: what arrives within one has one `received_at`.
const TICK_MS: i64 = 250;
const METERS_A_SITE: usize = 20;
const SITES_A_COMPANY: usize = 50;
/// 1e-12 kg a kWh, and the factor by which each gas counts.
const GASES: [(Gas, i64, i128); 3] =
    [(Gas::Co2, 400_123_456_789, 1), (Gas::Ch4, 12_345_678, 27), (Gas::N2o, 2_345_678, 273)];

/// Adds up all of `emissions`, and those of a site, twice, and prints the seconds of the second time.
const SUM: &str = r#"
import sys, time, duckdb
lake = duckdb.connect()
lake.execute("SET enable_progress_bar = false")
lake.execute(sys.stdin.read())
for _ in range(2):
    start = time.perf_counter()
    lake.execute("SELECT scope, gas, sum(co2e_kg) FROM emissions GROUP BY ALL").fetchall()
    whole = time.perf_counter() - start
    start = time.perf_counter()
    lake.execute("SELECT sum(co2e_kg) FROM emissions WHERE node = 'site-3'").fetchall()
    site = time.perf_counter() - start
print(f"{whole:.2f} {site:.3f}")
"#;

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
            retain: Retain::of(35 * DAY_MS),
            samples_ms: 7 * DAY_MS,
            windows_ms: vec![HOUR_MS],
            calendar: Calendar::default(),
            gwp: GwpSet::Ar6,
        },
        also_gwp: Vec::new(),
        sources: Sources::new(["plant"]),
        readings: true,
        replay_clock: false,
        workers: 2,
    }
}

/// A fleet, and what it has said so far.
struct Fleet {
    names: Arc<Names>,
    meters: Vec<Id>,
    dice: SplitMix64,
    is_shuffled: bool,
    number: u64,
    /// 1e-3 kWh of the period at hand, by meter.
    amounts: Vec<i64>,
    /// Meters in the order in which they report in the period at hand.
    order: Vec<usize>,
}

impl Fleet {
    fn new(names: &Arc<Names>, meters: usize, is_shuffled: bool) -> Self {
        Self {
            names: Arc::clone(names),
            meters: (0..meters).map(|meter| names.intern(&format!("meter-{meter:05}"))).collect(),
            dice: SplitMix64::new(1),
            is_shuffled,
            number: 0,
            amounts: vec![0; meters],
            order: (0..meters).collect(),
        }
    }

    fn site(&self, meter: usize) -> Id {
        self.names.intern(&format!("site-{}", meter / METERS_A_SITE))
    }

    /// The next period: a day's shape, a size for each meter, and some chance.
    fn turn(&mut self, period: i64) {
        let shape =
            [6, 5, 5, 5, 5, 6, 8, 11, 13, 14, 14, 14, 13, 13, 13, 12, 12, 12, 11, 10, 9, 8, 7, 6];
        let hour = usize::try_from(period / 4 % 24).expect("an hour");
        for (meter, amount) in self.amounts.iter_mut().enumerate() {
            let size = 20 + i64::try_from(meter % 97).expect("small");
            *amount = size * shape[hour] * self.dice.between(70, 131) / 100;
        }
        if self.is_shuffled {
            for last in (1..self.order.len()).rev() {
                let last_plus = i64::try_from(last).expect("few") + 1;
                let other = usize::try_from(self.dice.between(0, last_plus)).expect("few");
                self.order.swap(last, other);
            }
        }
    }

    /// Readings that arrive in a minute of a period about the one before, by part.
    fn readings(&mut self, start_ms: i64, minute: usize) -> [Vec<ReadingEntry>; 2] {
        let mut parts = [Vec::new(), Vec::new()];
        let share = self.order.len().div_ceil(15);
        let arriving = self.order.chunks(share).nth(minute).unwrap_or_default();
        let minute_ms = MINUTE_MS * i64::try_from(minute).expect("small");
        for (index, &meter) in (0..).zip(arriving) {
            let offset_ms = MINUTE_MS * index / i64::try_from(share).expect("few");
            let record = Reading {
                meter: self.meters[meter],
                at_ms: start_ms,
                from_ms: Some(start_ms - PERIOD_MS),
                value: Decimal::parse(&format!(
                    "{}.{:03}",
                    self.amounts[meter] / 1000,
                    self.amounts[meter] % 1000
                ))
                .ok(),
                unit: Unit::parse("kWh").ok(),
                version: 0,
                quality: Quality::Measured,
                arrival: Arrival {
                    index: self.number,
                    position: self.number,
                    ..Arrival::default()
                },
            };
            self.number += 1;
            let received_ms = start_ms + minute_ms + offset_ms / TICK_MS * TICK_MS;
            parts[meter % 2].push(ReadingEntry { record, received_ms, outcome: Outcome::Booked });
        }
        parts
    }

    /// Entries of a period, by part.
    fn entries(&self, start_ms: i64) -> Vec<(usize, Rows)> {
        let (unit, factor) = (Unit::parse("kWh").expect("a unit"), self.names.intern("grid"));
        let mut activity = [Vec::new(), Vec::new()];
        let mut emissions = [Vec::new(), Vec::new()];
        let mut sums: BTreeMap<(Id, u8, Gas), i128> = BTreeMap::new();
        let root = self.names.intern("group");
        for (meter, &subject) in self.meters.iter().enumerate() {
            let part = meter % 2;
            let node = self.site(meter);
            let period = Period::of(start_ms, PERIOD_MS);
            let subject = Subject::Meter(subject);
            let key = ActivityKey { period, node, subject, unit, factor };
            let amount = i128::from(self.amounts[meter]) * 1_000_000;
            let change = Measure { amount: amount.into(), covered_ms: PERIOD_MS, presence: 1 };
            activity[part].push(ActivityEntry { key, reason: Reason::Booked, change });
            let company = meter / METERS_A_SITE / SITES_A_COMPANY;
            let company = self.names.intern(&format!("company-{company}"));
            for (gas, rate, counts) in GASES {
                let line = Line {
                    scope: 2,
                    category: 0,
                    method: Method::Location,
                    gas,
                    revision: 1,
                    rate,
                };
                let mass = amount * i128::from(rate);
                let change =
                    Emission { mass: mass.into(), co2e: (mass * counts).into(), presence: 1 };
                let key = EmissionKey { activity: key, line };
                emissions[part].push(EmissionEntry { key, reason: Reason::Booked, change });
                for (depth, node) in [(0, root), (1, company), (2, node)] {
                    *sums.entry((node, depth, gas)).or_default() += mass;
                }
            }
        }
        let hour_ms = start_ms.div_euclid(HOUR_MS) * HOUR_MS;
        let footprints = sums.into_iter().map(|((node, depth, gas), mass)| FootprintEntry {
            key: FootprintKey {
                start_ms: hour_ms,
                end_ms: hour_ms + HOUR_MS,
                node,
                depth,
                scope: 2,
                category: 0,
                method: Method::Location,
                gas,
            },
            change: Emission { mass: mass.into(), co2e: mass.into(), presence: 1 },
        });
        let mut rows = vec![(0, Rows::Footprints(footprints.collect()))];
        for (part, entries) in activity.into_iter().enumerate() {
            rows.push((part, Rows::Activity(entries)));
        }
        for (part, entries) in emissions.into_iter().enumerate() {
            rows.push((part, Rows::Emissions(entries)));
        }
        rows
    }
}

/// Files, bytes and rows of a table.
#[derive(Copy, Clone, Debug, Default)]
struct Size {
    files: usize,
    bytes: u64,
    rows: usize,
}

/// What was written in all.
#[derive(Debug, Default)]
struct Written {
    committed: BTreeMap<TableName, Size>,
    merged: BTreeMap<TableName, Size>,
    /// Bytes of merged files that were merged again.
    taken_out: BTreeMap<TableName, u64>,
    commits_s: f64,
    merging_s: f64,
}

impl Written {
    /// What is live in a table.
    fn live(&self, table: TableName) -> Size {
        let (committed, merged) = (self.committed[&table], self.merged.get(&table));
        let Some(merged) = merged else { return committed };
        let bytes = committed.bytes + merged.bytes - self.taken_out[&table];
        Size { bytes, files: committed.files + merged.files, ..committed }
    }
}

fn write(config: &LakeConfig, (meters, days): (usize, i64), is_compacted: bool) -> Written {
    let names = Arc::new(Names::new());
    let mut lake = Lake::open(config.clone(), Arc::clone(&names)).expect("a lake");
    let is_shuffled = std::env::var("ORDER").is_ok_and(|order| order == "shuffled");
    let mut fleet = Fleet::new(&names, meters, is_shuffled);
    let mut compactor = lake.compactor(HOUR_MS);
    let mut written = Written::default();
    let mut merge = |written: &mut Written| {
        let began = now();
        while let Some(step) = compactor.step(&|| true).expect("a local lake is merged") {
            let merged = written.merged.entry(step.table).or_default();
            (merged.bytes, merged.rows) = (merged.bytes + step.bytes_out, merged.rows + step.rows);
            *written.taken_out.entry(step.table).or_default() += step.bytes_in;
        }
        written.merging_s += began.elapsed().as_secs_f64();
    };
    for period in 0..days * 96 {
        let start_ms = START_MS + period * PERIOD_MS;
        // What was measured in the period before settles now.
        let settled = (period > 0).then(|| fleet.entries(start_ms - PERIOD_MS));
        fleet.turn(period);
        let mut settled = settled.into_iter().flatten().collect::<Vec<_>>();
        for minute in 0..15 {
            let cut_ms = start_ms + MINUTE_MS * (i64::try_from(minute).expect("small") + 1);
            let mut rows = std::mem::take(&mut settled);
            for (part, readings) in fleet.readings(start_ms, minute).into_iter().enumerate() {
                rows.push((part, Rows::Readings(readings)));
            }
            let began = now();
            let mut writer = lake.begin(Tick::new(cut_ms, Cause::Cut));
            for (part, rows) in rows {
                writer.append(part, rows).expect("a local lake takes rows");
            }
            let stats = writer.commit().expect("a local lake commits");
            written.commits_s += began.elapsed().as_secs_f64();
            for (table, stats) in stats.tables {
                let size = written.committed.entry(table).or_default();
                size.bytes += stats.bytes;
                size.rows += stats.rows;
                size.files += stats.files;
            }
            if is_compacted && cut_ms % HOUR_MS == 0 {
                merge(&mut written);
            }
        }
    }
    // The last day is over, too.
    let end_ms = START_MS + days * DAY_MS + 2 * HOUR_MS;
    lake.begin(Tick::new(end_ms, Cause::Cut)).commit().expect("a local lake commits");
    if is_compacted {
        merge(&mut written);
    }
    written
}

/// Seconds of `DuckDB` for the month's sum and for a site's, as text.
fn sum_in_duckdb(config: &LakeConfig) -> String {
    let views = views_script(config, None).expect("views");
    let child = Command::new("python3")
        .args(["-c", SUM])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn();
    let Ok(mut child) = child else { return "no Python".to_owned() };
    let input = child.stdin.take().expect("piped");
    let sent = { input }.write_all(views.as_bytes());
    let output = child.wait_with_output().expect("it ends");
    let text = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    if sent.is_ok() && output.status.success() { text } else { "no DuckDB".to_owned() }
}

/// Seconds in which the lake's own reader adds up `activity`, cut by cut.
fn sum_of_activity(config: &LakeConfig) -> (f64, i128) {
    let began = now();
    let is_read = |table| table == TableName::Activity;
    let mut reader =
        LakeReader::of(config.clone(), Arc::new(Names::new()), is_read).expect("a reader");
    let mut sum = 0;
    while let Some((_, rows)) = reader.next_cut().expect("it is read") {
        sum += rows.activity.iter().map(|(_, change)| change.amount.get()).sum::<i128>();
    }
    (began.elapsed().as_secs_f64(), sum)
}

#[expect(clippy::cast_precision_loss, reason = "figures are for people")]
fn ratio(bytes: u64, rows: usize) -> f64 {
    bytes as f64 / rows as f64
}

fn main() {
    let (meters, days) = (setting("METERS", 10_000), setting("DAYS", 30));
    let days = i64::try_from(days).expect("few");
    let folder = tempfile::tempdir().expect("a folder for the bench");
    let url = |name: &str| folder.path().join(name).to_str().expect("UTF-8").to_owned();
    let mut sums = Vec::new();
    for is_compacted in [false, true] {
        let config = config(&url(if is_compacted { "after" } else { "before" }));
        let written = write(&config, (meters, days), is_compacted);
        say(if is_compacted { "compacted" } else { "as committed" });
        say("table | rows | files committed | bytes a row | write amplification");
        for (&table, committed) in &written.committed {
            if committed.rows == 0 {
                continue;
            }
            let live = written.live(table);
            let merged = written.merged.get(&table).copied().unwrap_or_default();
            say(&format!(
                "{table} | {} | {} | {:.2} | {:.2}",
                committed.rows,
                committed.files,
                ratio(live.bytes, live.rows),
                1.0 + ratio(merged.bytes, 1) / ratio(committed.bytes, 1),
            ));
        }
        let (seconds, sum) = sum_of_activity(&config);
        sums.push(sum);
        say(&format!(
            "commits {:.1} s, merging {:.1} s; DuckDB, all and one site: {} s; own reader, activity: \
             {seconds:.1} s",
            written.commits_s,
            written.merging_s,
            sum_in_duckdb(&config),
        ));
    }
    assert_eq!(sums[0], sums[1], "a compaction changes nothing");
}
