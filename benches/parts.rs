//! Parts by themselves: decoding, measuring, rounding. `cargo bench --bench parts`.

use std::hint::black_box;
use std::sync::Arc;

use criterion::{Criterion, Throughput};
use plumeline_connectors::config::Carries;
use plumeline_connectors::decode::{Decoded, Decoder, Limits, Payload};
use plumeline_fixtures::load::Load;
use plumeline_pipelines::model::{Decimal, Names, Unit};

const START_MS: i64 = 1_767_225_600_000;
const LINES: u64 = 10_000;

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

// By hand, because the group that criterion's macro declares cannot be documented.
fn main() {
    let mut bench = Criterion::default().configure_from_args();
    decoding(&mut bench);
    quantities(&mut bench);
    bench.final_summary();
}
