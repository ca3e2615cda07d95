//! The lake, written and read back.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::tz::TimeZone;
use object_store::memory::InMemory;
use object_store::{ObjectStore, ObjectStoreExt, PutPayload};
use plumeline_pipelines::digest::{Digest, Table};
use plumeline_pipelines::model::{
    ActivityDataEntry, ActivityEntry, ActivityKey, ActivityRecord, Calendar, Cause, Decimal,
    Emission, EmissionEntry, EmissionKey, Fact, FactorChange, FactorRow, FactorStatus,
    FootprintEntry, FootprintKey, Gas, GwpSet, Id, Line, Measure, MeterKind, MeterRow, Method,
    Names, NodeRow, Outcome, PendingCause, PendingEntry, Policy, PriceRow, Quality, Reading,
    ReadingEntry, Reason, RejectEntry, RejectEvent, RestatedEntry, Retain, SeriesKind, SeriesRow,
    Sources, StampSide, Subject, Tick, Total, Unit, Validity, Vintage,
};
use url::Url;

use super::cut::CutWriter;
use super::engine::Engine;
use super::faulty::{Fault, Faulty, Operation};
use super::lake::{Lake, LakeConfig};
use super::place::{Place, log_entry};
use super::{Compression, FactEntry, LakeError, Resume, Rows, TableDigest, TableName};

/// 2026-01-01T00:00:00Z.
pub(super) const START_MS: i64 = 1_767_225_600_000;

pub(super) fn policy() -> Policy {
    Policy {
        period_ms: 900_000,
        grace_ms: 900_000,
        retain: Retain::of(35 * 86_400_000),
        samples_ms: 7 * 86_400_000,
        windows_ms: vec![3_600_000],
        calendar: Calendar::default(),
        gwp: GwpSet::Ar6,
    }
}

pub(super) fn config(url: &str) -> LakeConfig {
    LakeConfig {
        url: url.into(),
        compression: Compression::Zstd,
        pipeline: "acme".into(),
        timezone: TimeZone::UTC,
        policy: policy(),
        also_gwp: Vec::new(),
        sources: Sources::new(["plant", "erp"]),
        readings: true,
        replay_clock: false,
        workers: 2,
    }
}

/// A lake in memory, so that tests can look at, and break, its objects.
pub(super) struct Memory {
    pub(super) store: Arc<dyn ObjectStore>,
    pub(super) names: Arc<Names>,
}

impl Memory {
    pub(super) fn new() -> Self {
        Self { store: Arc::new(InMemory::new()), names: Arc::new(Names::new()) }
    }

    pub(super) fn place(&self) -> Place {
        let root = Url::parse("memory:///lake/").expect("a URL");
        Place { store: Arc::clone(&self.store), root }
    }

    pub(super) fn try_open(&self, config: LakeConfig) -> Result<Lake, LakeError> {
        Lake::open_at(self.place(), config, Arc::clone(&self.names))
    }

    pub(super) fn open(&self) -> Lake {
        self.try_open(config("memory:///lake")).expect("a lake")
    }
}

pub(super) fn cut(index: i64) -> Tick {
    Tick::new(START_MS + index * 60_000, Cause::Cut)
}

pub(super) fn activity_key(names: &Names, meter: &str, period: i64) -> ActivityKey {
    ActivityKey {
        period: policy().period_of(START_MS + period * 900_000),
        node: names.intern("site"),
        subject: Subject::Meter(names.intern(meter)),
        unit: Unit::parse("kWh").expect("a unit"),
        factor: names.intern("grid"),
    }
}

pub(super) fn activity(names: &Names, meter: &str, period: i64, amount: i128) -> ActivityEntry {
    ActivityEntry {
        key: activity_key(names, meter, period),
        reason: Reason::Booked,
        change: Measure { amount: amount.into(), covered_ms: 900_000, presence: 1 },
    }
}

pub(super) fn emission(names: &Names, meter: &str, gas: Gas, mass: i128) -> EmissionEntry {
    let line = Line {
        scope: 2,
        category: 0,
        method: Method::Location,
        gas,
        revision: 1,
        rate: 400_000_000_000,
    };
    EmissionEntry {
        key: EmissionKey { activity: activity_key(names, meter, 0), line },
        reason: Reason::Restated,
        change: Emission { mass: mass.into(), co2e: mass.into(), presence: 1 },
    }
}

pub(super) fn footprint(names: &Names, node: &str, depth: u8, co2e: i128) -> FootprintEntry {
    FootprintEntry {
        key: FootprintKey {
            start_ms: START_MS,
            end_ms: START_MS + 3_600_000,
            node: names.intern(node),
            depth,
            scope: 2,
            category: 0,
            method: Method::Any,
            gas: Gas::Co2,
        },
        change: Emission { mass: co2e.into(), co2e: co2e.into(), presence: 1 },
    }
}

pub(super) fn reading(names: &Names, meter: &str, value: Option<&str>) -> ReadingEntry {
    ReadingEntry {
        record: Reading {
            meter: names.intern(meter),
            at_ms: START_MS + 123,
            from_ms: None,
            value: value.map(|text| Decimal::parse(text).expect("a number")),
            unit: None,
            version: 3,
            quality: Quality::Measured,
            arrival: plumeline_pipelines::model::Arrival { source: 1, ..Default::default() },
        },
        received_ms: START_MS + 200,
        outcome: Outcome::Booked,
    }
}

pub(super) fn pending(names: &Names) -> PendingEntry {
    PendingEntry {
        cause: PendingCause::Readings,
        subject: names.intern("m-1"),
        from_ms: START_MS - 900_000,
        to_ms: START_MS,
        count: 3,
        learned_ms: START_MS + 200,
    }
}

pub(super) fn activity_data(names: &Names) -> ActivityDataEntry {
    ActivityDataEntry {
        record: ActivityRecord {
            activity: names.intern("inv-7"),
            node: names.intern("site"),
            factor: Id::NONE,
            from_ms: START_MS,
            to_ms: START_MS + 86_400_000,
            value: Some(Decimal::parse("12.5").expect("a number")),
            unit: Unit::parse("kg").expect("a unit"),
            version: 0,
            quality: Quality::Estimated,
            arrival: plumeline_pipelines::model::Arrival { index: 7, ..Default::default() },
        },
        received_ms: START_MS + 200,
        outcome: Outcome::Booked,
    }
}

pub(super) fn facts(names: &Names) -> Vec<FactEntry> {
    let meter = MeterRow {
        meter: names.intern("m-1"),
        node: names.intern("site"),
        kind: MeterKind::Register,
        unit: None,
        multiplier: Decimal::ONE,
        stamp: StampSide::End,
        interval_ms: None,
        max_hold_ms: 900_000,
        modulus: Some(Decimal::parse("999999.5").expect("a number")),
        max_power: None,
        expected_every_ms: Some(86_400_000),
        factor: Id::NONE,
        validity: Validity::ALWAYS,
        revision: 1,
    };
    let factor = FactorRow {
        factor: names.intern("grid"),
        revision: 2,
        scope: 2,
        category: 0,
        method: Method::Location,
        gas: Gas::Co2,
        kg_per_unit: Decimal::parse("0.4001234567890123456789").expect("a number"),
        unit: Unit::parse("kWh").expect("a unit"),
        published_gwp: Some(GwpSet::Ar5),
        status: FactorStatus::Estimated,
        change: FactorChange::Error,
        validity: Validity { from_ms: START_MS, to_ms: START_MS + 86_400_000 },
        source: names.intern("it's published"),
    };
    let node = NodeRow {
        node: names.intern("site"),
        parent: Id::NONE,
        name: names.intern("The Site"),
        validity: Validity::ALWAYS,
        revision: 1,
    };
    let series = SeriesRow {
        factor: factor.factor,
        kind: SeriesKind::Locked,
        vintage: Vintage::Blended,
        year_begins: 4,
        total: Total::Printed,
        fallback: names.intern("grid of the country"),
        validity: Validity::ALWAYS,
        revision: 1,
    };
    let price = PriceRow {
        price: names.intern("EUR/GBP@2021"),
        unit: Unit::parse("EUR").expect("a unit"),
        to: Unit::parse("GBP@2021").expect("a unit"),
        rate: Decimal::parse("0.75").expect("a number"),
        per: Decimal::parse("128.6").expect("a number"),
        validity: Validity { from_ms: START_MS, to_ms: START_MS + 86_400_000 },
        revision: 3,
        source: Id::NONE,
    };
    let (series, price) = (Fact::Series(series), Fact::Price(price));
    [Fact::Meter(meter), Fact::Factor(factor), series, price, Fact::Node(node)]
        .into_iter()
        .chain(super::contracts::tests::facts(names))
        .map(|fact| FactEntry { fact, withdrawn: false, learned_ms: 0 })
        .collect()
}

/// Rows for all tables.
pub(super) fn write_everything(writer: &mut CutWriter, names: &Names) {
    let tonne = 10_i128.pow(24);
    let reject = RejectEntry {
        source: 0,
        position: 7,
        element: 2,
        event: RejectEvent::Rejected,
        reason: "no `unit`".into(),
        raw: b"{\xff".to_vec(),
    };
    for (part, rows) in [
        (0, Rows::Activity(vec![activity(names, "m-2", 0, 5), activity(names, "m-1", 1, -7)])),
        (1, Rows::Activity(vec![activity(names, "m-10", 0, 10_i128.pow(19))])),
        (
            0,
            Rows::Emissions(vec![
                emission(names, "m-1", Gas::Co2, tonne),
                emission(names, "m-1", Gas::Co2e, 1),
            ]),
        ),
        (1, Rows::Footprints(vec![footprint(names, "acme", 0, -tonne)])),
        (0, Rows::Readings(vec![reading(names, "m-1", Some("12345678901234567890.5"))])),
        (0, Rows::Readings(vec![reading(names, "m-1", None)])),
        (1, Rows::ActivityData(vec![activity_data(names)])),
        (0, Rows::Pending(vec![pending(names)])),
        (0, Rows::Restated(vec![RestatedEntry { known_ms: START_MS, ..RestatedEntry::default() }])),
        (0, Rows::Rejects(vec![reject])),
        (1, Rows::Facts(facts(names))),
    ] {
        writer.append(part, rows).expect("rows are taken");
    }
}

#[test]
fn a_cut_reaches_every_table_and_is_found_again() {
    let memory = Memory::new();
    let mut lake = memory.open();
    assert_eq!(lake.committed(), None);
    let mut writer = lake.begin(cut(1));
    write_everything(&mut writer, &memory.names);
    let stats = writer.commit().expect("committed");
    assert_eq!(stats.tables.len(), TableName::ALL.len());
    assert_eq!(stats.tables[&TableName::Activity].rows, 3);
    assert_eq!(stats.tables[&TableName::Activity].files, 2);
    assert_eq!(lake.committed(), Some(cut(1)));
    drop(lake);
    let lake = memory.open();
    assert!(lake.committed_tables().values().all(|&tick| tick == Some(cut(1))));
    assert!(lake.versions().values().all(|&version| version == 1));
}

#[test]
fn an_empty_cut_moves_activity_alone() {
    let memory = Memory::new();
    let mut lake = memory.open();
    lake.begin(cut(1)).commit().expect("committed");
    let stats = lake.begin(cut(2)).commit().expect("committed");
    assert_eq!(stats.tables.keys().collect::<Vec<_>>(), [&TableName::Activity]);
    let tables = lake.committed_tables();
    assert_eq!(tables[&TableName::Activity], Some(cut(2)));
    assert_eq!(tables[&TableName::Emissions], None);
}

#[test]
fn a_cut_that_is_not_newer_is_refused() {
    let memory = Memory::new();
    let mut lake = memory.open();
    lake.begin(cut(2)).commit().expect("committed");
    for index in [1, 2] {
        let error = lake.begin(cut(index)).commit().expect_err("not newer");
        assert!(matches!(error, LakeError::CutNotNewer { .. }), "{error}");
        assert!(!error.transient());
    }
}

#[test]
fn other_pipelines_and_other_clocks_are_refused() {
    let memory = Memory::new();
    drop(memory.open());
    let other = LakeConfig { pipeline: "other".into(), ..config("memory:///lake") };
    let error = memory.try_open(other).expect_err("another's tables");
    assert!(matches!(error, LakeError::OtherPipeline { .. }), "{error}");
    let replay = LakeConfig { replay_clock: true, ..config("memory:///lake") };
    let error = memory.try_open(replay).expect_err("another clock");
    assert!(matches!(error, LakeError::OtherClock { .. }), "{error}");
}

#[test]
fn a_store_that_is_away_while_rows_come_loses_none() {
    let store = Faulty::new();
    let memory =
        Memory { store: Arc::clone(&store) as Arc<dyn ObjectStore>, names: Arc::new(Names::new()) };
    let mut lake = memory.open();
    let mut writer = lake.begin(cut(1));
    store.trap(Operation::Put, ".parquet", usize::MAX, Fault::Away);
    write_everything(&mut writer, &memory.names);
    for _ in 0..3 {
        assert!(writer.commit().expect_err("away").transient());
    }
    assert_eq!(lake.committed(), None);
    store.heal();
    let stats = writer.commit().expect("back");
    assert_eq!(stats.tables[&TableName::Activity].rows, 3);
}

/// Puts an entry by somebody else at the next version of `activity`.
pub(super) fn commit_foreign(memory: &Memory, version: u64, actions: &str) {
    let engine = Engine::new(memory.place()).expect("an engine");
    let path = engine.place.path(&log_entry(TableName::Activity, version)).expect("a path");
    let payload = PutPayload::from(actions.as_bytes().to_vec());
    engine.block_on(engine.place.store.put(&path, payload)).expect("written");
}

const OPTIMIZE: &str = r#"{"commitInfo":{"timestamp":1,"operation":"OPTIMIZE"}}"#;
const APPEND: &str = r#"{"add":{"path":"x.parquet","partitionValues":{"recorded_date":"2026-01-01"},"size":1,"modificationTime":1,"dataChange":true}}"#;

#[test]
fn somebodys_optimize_is_tolerated() {
    let memory = Memory::new();
    let mut lake = memory.open();
    lake.begin(cut(1)).commit().expect("committed");
    commit_foreign(&memory, 2, OPTIMIZE);
    lake.begin(cut(2)).commit().expect("on top of it");
    assert_eq!(lake.versions()[&TableName::Activity], 3);
    commit_foreign(&memory, 4, OPTIMIZE);
    drop(lake);
    assert_eq!(memory.open().committed(), Some(cut(2)));
}

#[test]
fn a_foreign_change_of_data_halts_a_running_and_a_starting_program() {
    let memory = Memory::new();
    let mut lake = memory.open();
    lake.begin(cut(1)).commit().expect("committed");
    commit_foreign(&memory, 2, APPEND);
    let error = lake.begin(cut(2)).commit().expect_err("foreign data");
    assert!(matches!(error, LakeError::ForeignCommit { version: 2, .. }), "{error}");
    assert!(!error.transient());
    let error = memory.try_open(config("memory:///lake")).expect_err("foreign data");
    assert!(matches!(error, LakeError::ForeignCommit { version: 2, .. }), "{error}");
}

#[test]
fn two_writers_of_one_pipeline_do_not_both_commit() {
    let memory = Memory::new();
    let (mut first, mut second) = (memory.open(), memory.open());
    let mut writers = [first.begin(cut(1)), second.begin(cut(1))];
    for writer in &mut writers {
        write_everything(writer, &memory.names);
    }
    let [one, other] = &mut writers;
    one.commit().expect("the first one");
    let error = other.commit().expect_err("the second one");
    assert!(matches!(error, LakeError::OtherWriter { .. }), "{error}");
    assert!(!error.transient());
}

#[test]
fn a_second_writer_is_refused_before_it_writes_anything_and_the_first_goes_on() {
    let memory = Memory::new();
    let (mut first, mut second) = (memory.open(), memory.open());
    // Neither has rows that the other has, or none at all.
    first.begin(cut(1)).commit().expect("committed");
    for has_rows in [true, false] {
        let mut writer = second.begin(cut(2));
        if has_rows {
            write_everything(&mut writer, &memory.names);
        }
        let error = writer.commit().expect_err("the first one was there first");
        assert!(matches!(error, LakeError::OtherWriter { .. }), "{error}");
        let refused = second.begin(cut(2)).commit().expect_err("and ever again");
        assert!(matches!(refused, LakeError::OtherWriter { .. }), "{refused}");
    }
    let mut writer = first.begin(cut(3));
    write_everything(&mut writer, &memory.names);
    writer.commit().expect("nobody has touched a table");
    assert!(
        first.versions().iter().all(|(table, version)| {
            *version == if *table == TableName::Activity { 2 } else { 1 }
        })
    );
}

#[test]
fn an_amount_that_does_not_fit_is_refused_before_it_is_written() {
    let memory = Memory::new();
    let mut lake = memory.open();
    let mut writer = lake.begin(cut(1));
    let rows = Rows::Activity(vec![activity(&memory.names, "m", 0, 10_i128.pow(20))]);
    writer.append(0, rows).expect("rows wait");
    let error = writer.commit().expect_err("21 digits");
    assert!(matches!(error, LakeError::TooLarge { column: "amount", .. }), "{error}");
}

#[test]
fn a_cut_that_does_not_follow_on_the_last_one_is_refused() {
    let memory = Memory::new();
    let mut lake = memory.open();
    let mut first = lake.begin(cut(1));
    first.prove(None, BTreeMap::new()).expect("the first follows on nothing");
    first.commit().expect("committed");
    for lower in [None, Some(cut(0)), Some(cut(2))] {
        let error = lake.begin(cut(3)).prove(lower, BTreeMap::new()).expect_err("a gap");
        assert!(matches!(error, LakeError::Gap { .. }) && !error.transient(), "{error}");
    }
    let table = TableDigest { all: Digest::default(), live: Digest::default() };
    let digests: BTreeMap<_, _> = [(Table::Activity, table)].into();
    let mut second = lake.begin(cut(3));
    second.prove(Some(cut(1)), digests.clone()).expect("it follows");
    let positions = [("erp".to_owned(), [("file".to_owned(), "9".to_owned())].into())].into();
    let resume = Resume { positions, ..Resume::default() };
    second.resume(resume.clone());
    second.commit().expect("committed");
    let proof = memory.open().proof().expect("it can be read").expect("it was told");
    assert_eq!((proof.lower, proof.upper, proof.lacks_readings), (Some(cut(1)), cut(3), false));
    assert_eq!((proof.digests, proof.resume), (digests, Some(resume)));
}
