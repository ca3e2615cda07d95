//! Parts by themselves: decoding, rounding, counting which meters report. `cargo bench --bench parts`.

use std::hint::black_box;
use std::sync::Arc;

use criterion::{Criterion, Throughput};
use plumeline_connectors::config::Carries;
use plumeline_connectors::decode::{Decoded, Decoder, Limits, Payload};
use plumeline_fixtures::load::Load;
use plumeline_pipelines::model::{
    Calendar, Cause, Decimal, Fact, GwpSet, Id, MeterKind, MeterRow, Names, NodeRow, Policy,
    Retain, StampSide, Tick, Unit, Validity,
};
use plumeline_pipelines::reporting::Reporting;

const START_MS: i64 = 1_767_225_600_000;
const LINES: u64 = 10_000;
const PERIOD_MS: i64 = 900_000;
const METERS: u32 = 100_000;
const SITES: u32 = 1_000;
const FIRST_SITE: u32 = 100;
const FIRST_METER: u32 = 10_000;

fn decoding(bench: &mut Criterion) {
    let load = Load {
        seed: 1,
        start_ms: START_MS,
        meters: 1_000,
        sites: 100,
        factors: 10,
        every_ms: 60_000,
    };
    let mut lines = Vec::new();
    let count = usize::try_from(LINES).expect("a count");
    load.write_readings(count, &mut lines).expect("memory takes any text");
    let lines: Vec<&[u8]> = lines.split(|byte| *byte == b'\n').filter(|l| !l.is_empty()).collect();
    let limits = Limits {
        payload_bytes_max: 1 << 20,
        max_ahead_ms: 300_000,
        timezone: jiff::tz::TimeZone::UTC,
        period_ms: 900_000,
    };
    let mut decoder = Decoder::new(Carries::Readings, 0, Arc::new(Names::new()), limits);
    let mut group = bench.benchmark_group("decode");
    group.throughput(Throughput::Elements(LINES));
    group.bench_function("json readings of about 100 bytes", |bencher| {
        bencher.iter(|| {
            let mut told = Decoded::default();
            for (position, bytes) in (0..).zip(&lines) {
                let payload = Payload { bytes, size: bytes.len(), topic_meter: None, position };
                decoder.decode(payload, START_MS + 86_400_000, &mut told);
            }
            assert_eq!(told.received, LINES);
            told
        });
    });
    group.finish();
}

fn quantities(bench: &mut Criterion) {
    let value = Decimal::parse("12345.678").expect("a number");
    let long = Decimal::parse("12345.678901234567890123").expect("a number");
    let [kwh, wh] = ["kWh", "Wh"].map(|symbol| Unit::parse(symbol).expect("a unit"));
    let mut group = bench.benchmark_group("amount");
    group.bench_function("kWh", |b| b.iter(|| kwh.amount(black_box(value), Decimal::ONE)));
    group.bench_function("Wh, rounded", |b| b.iter(|| wh.amount(black_box(value), Decimal::ONE)));
    group.bench_function("23 digits", |b| b.iter(|| wh.amount(black_box(long), Decimal::ONE)));
    group.finish();
}

/// Periods of a quarter of an hour, three windows.
fn policy() -> Policy {
    Policy {
        period_ms: PERIOD_MS,
        grace_ms: 0,
        retain: Retain::of(35 * 86_400_000),
        samples_ms: 86_400_000,
        windows_ms: vec![3_600_000, 86_400_000, 30 * 86_400_000],
        calendar: Calendar::default(),
        gwp: GwpSet::Ar6,
    }
}

/// Meters on sites of ten companies.
fn meters_of_sites() -> Reporting {
    let node = |node: u32, parent: Id| {
        let validity = Validity::ALWAYS;
        Fact::Node(NodeRow { node: Id(node), parent, name: Id::NONE, validity, revision: 0 })
    };
    let companies = (1..=10).map(|company| node(company, Id::NONE));
    let sites = (0..SITES).map(|site| node(FIRST_SITE + site, Id(1 + site % 10)));
    let meters = (0..METERS).map(|meter| {
        Fact::Meter(MeterRow {
            meter: Id(FIRST_METER + meter),
            node: Id(FIRST_SITE + meter % SITES),
            kind: MeterKind::Register,
            unit: None,
            multiplier: Decimal::ONE,
            stamp: StampSide::End,
            interval_ms: None,
            max_hold_ms: 0,
            modulus: None,
            max_power: None,
            expected_every_ms: None,
            factor: Id::NONE,
            validity: Validity::ALWAYS,
            revision: 0,
        })
    });
    let mut reporting = Reporting::new(policy());
    reporting.learn(companies.chain(sites).chain(meters).map(|fact| (fact, 1)));
    reporting
}

fn reporting(bench: &mut Criterion) {
    let mut reporting = meters_of_sites();
    let mut now_ms = START_MS;
    let mut group = bench.benchmark_group("100,000 meters");
    group.bench_function("counted anew, once a period", |bencher| {
        bencher.iter(|| {
            now_ms += PERIOD_MS;
            reporting.changes(Tick::new(now_ms, Cause::Cut))
        });
    });
    group.bench_function("all heard of anew within a period", |bencher| {
        bencher.iter(|| {
            for meter in (0..METERS).map(|meter| Id(FIRST_METER + meter)) {
                reporting.hear(meter, None);
                reporting.hear(meter, Some(policy().period_of(now_ms)));
            }
            reporting.changes(Tick::new(now_ms, Cause::Cut))
        });
    });
    group.finish();
}

// By hand, because the group that criterion's macro declares cannot be documented.
fn main() {
    let mut bench = Criterion::default().configure_from_args();
    decoding(&mut bench);
    quantities(&mut bench);
    reporting(&mut bench);
    bench.final_summary();
}
