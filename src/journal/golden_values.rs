//! The values of the golden journals.

use super::*;

/// A part with values of its own.
#[derive(Debug, Default)]
pub(super) struct Owned {
    pub(super) ms: i64,
    pub(super) records: Vec<Record>,
    pub(super) rejects: Vec<RejectEntry>,
    pub(super) facts: Vec<Learned>,
    pub(super) positions: Vec<(u16, Position)>,
}

pub(super) fn arrival(index: u64, source: u16) -> Arrival {
    Arrival { index, source, element: 0, position: 700 + index }
}

pub(super) fn reading(names: &Names, meter: &str, index: u64) -> Reading {
    Reading {
        meter: names.intern(meter),
        at_ms: START_MS,
        from_ms: None,
        value: Some(Decimal::new(125, 1)),
        unit: Some(Unit::parse("kWh").unwrap()),
        version: 0,
        quality: Quality::Measured,
        arrival: arrival(index, 0),
    }
}

/// Readings with all that a reading may have, and without.
pub(super) fn readings(names: &Names) -> Vec<Record> {
    let digits = -123_456_789_012_345_678_901_234_567_890;
    let readings = [
        reading(names, "m-1", 2),
        Reading {
            at_ms: START_MS + 60_000,
            from_ms: Some(START_MS - 60_000),
            unit: None,
            quality: Quality::Estimated,
            ..reading(names, "m-1", 3)
        },
        Reading { value: None, version: 7, ..reading(names, "m-1", 4) },
        Reading {
            value: Some(Decimal::new(digits, 30)),
            quality: Quality::Substituted,
            arrival: Arrival { element: 300, ..arrival(5, 1) },
            ..reading(names, "site \u{e9}/\u{1f30d}", 5)
        },
        Reading { value: Some(Decimal::ZERO), unit: None, ..reading(names, "m-1", 6) },
    ];
    readings.map(Record::Reading).into()
}

pub(super) fn activities(names: &Names) -> Vec<Record> {
    let plain = ActivityRecord {
        activity: names.intern("trip-1"),
        node: names.intern("dc-7"),
        factor: names.intern("grid"),
        from_ms: START_MS - 86_400_000,
        to_ms: START_MS,
        value: Some(Decimal::new(40, 0)),
        unit: Unit::parse("MWh").unwrap(),
        version: 0,
        quality: Quality::Measured,
        arrival: arrival(7, 1),
    };
    let bare = ActivityRecord {
        factor: Id::NONE,
        value: None,
        version: 2,
        quality: Quality::Estimated,
        arrival: arrival(8, 1),
        ..plain
    };
    vec![Record::Activity(plain), Record::Activity(bare)]
}

pub(super) fn rejects() -> Vec<RejectEntry> {
    let reject = |source, event, reason: &str, raw: &[u8]| RejectEntry {
        source,
        position: 42,
        element: 1,
        event,
        reason: reason.to_owned(),
        raw: raw.to_owned(),
    };
    vec![
        reject(0, RejectEvent::Rejected, "not JSON", b"\xff\x00 neither"),
        reject(1, RejectEvent::Parked, "the meter is not registered", b"{\"meter\":\"m-9\"}"),
        reject(1, RejectEvent::Resolved, "", b""),
    ]
}

pub(super) fn node(names: &Names) -> NodeRow {
    NodeRow {
        node: names.intern("dc-7"),
        parent: Id::NONE,
        name: names.intern("The \"north\" hall"),
        validity: Validity::ALWAYS,
        revision: 3,
    }
}

pub(super) fn meters(names: &Names) -> [MeterRow; 3] {
    let whole = MeterRow {
        meter: names.intern("m-1"),
        node: names.intern("dc-7"),
        kind: MeterKind::Interval,
        unit: Some(Unit::parse("kWh").unwrap()),
        multiplier: Decimal::new(25, 1),
        stamp: StampSide::Start,
        interval_ms: Some(900_000),
        max_hold_ms: 3_600_000,
        modulus: Some(Decimal::new(1_000_000, 0)),
        max_power: Some(Decimal::new(40, 0)),
        expected_every_ms: Some(1_800_000),
        factor: names.intern("grid"),
        validity: Validity { from_ms: START_MS, to_ms: START_MS + 86_400_000 },
        revision: 1,
    };
    let bare = MeterRow {
        kind: MeterKind::Register,
        unit: None,
        stamp: StampSide::End,
        interval_ms: None,
        modulus: None,
        max_power: None,
        expected_every_ms: None,
        factor: Id::NONE,
        validity: Validity::ALWAYS,
        revision: -2,
        ..whole.clone()
    };
    let power = MeterRow { kind: MeterKind::Power, ..bare.clone() };
    [whole, bare, power]
}

pub(super) fn factors(names: &Names) -> [FactorRow; 3] {
    let row = |method, gas, scope| FactorRow {
        factor: names.intern("grid"),
        revision: 2,
        scope,
        category: 3,
        method,
        gas,
        kg_per_unit: Decimal::new(177, 6),
        unit: Unit::parse("kWh").unwrap(),
        published_gwp: None,
        status: plumeline_pipelines::model::FactorStatus::Final,
        change: plumeline_pipelines::model::FactorChange::Revised,
        validity: Validity::ALWAYS,
        source: names.intern("a publication"),
    };
    [
        row(Method::Any, Gas::Co2, 1),
        row(Method::Location, Gas::Hfc134a, 2),
        row(Method::Market, Gas::Co2Biogenic, 0),
    ]
}

/// What a source said, or a table's file.
pub(super) fn learned(source: Option<u16>, fact: Fact, withdrawn: bool) -> Learned {
    Learned { source, change: FactChange { fact, withdrawn } }
}

/// All that is appended. The first part is forgotten again.
pub(super) fn parts(names: &Names) -> [Owned; 4] {
    let position =
        |stream: &str, at: &str| Position { stream: stream.to_owned(), at: at.to_owned() };
    let old = Reading { arrival: arrival(1, 2), ..reading(names, "m-0", 1) };
    let old = Record::Reading(Reading { at_ms: START_MS - 259_200_000, ..old });
    let mut facts = vec![learned(None, Fact::Node(node(names)), false)];
    facts.extend(meters(names).map(|row| learned(Some(1), Fact::Meter(row), false)));
    facts.extend(factors(names).map(|row| learned(None, Fact::Factor(row), false)));
    let withdrawn = learned(Some(1), Fact::Node(node(names)), true);
    [
        Owned { ms: START_MS, records: vec![old], ..Owned::default() },
        Owned {
            ms: START_MS + 2_000,
            facts,
            positions: vec![(0, position("", "17")), (1, position("0 readings", "7"))],
            ..Owned::default()
        },
        Owned {
            ms: START_MS + 2_500,
            records: readings(names),
            rejects: rejects(),
            positions: vec![(1, position("0 readings", "9")), (1, position("1 it's", "{\"a\":1}"))],
            ..Owned::default()
        },
        Owned {
            ms: START_MS + 3_500,
            records: activities(names),
            facts: vec![withdrawn],
            ..Owned::default()
        },
    ]
}

/// What each of two workers keeps.
pub(super) fn kept(names: &Names) -> [Vec<Record>; 2] {
    [readings(names), activities(names)]
}

/// What the second cut takes along, and books.
pub(super) fn restating(names: &Names) -> (Restating, [Rows; 3]) {
    let id = |name: &str| names.intern(name);
    let (up, down) = (Wide::from(1_i128 << 100), Wide::from(3));
    let entry = RestatedEntry {
        known_ms: CUTS_MS[0],
        from_ms: START_MS - 86_400_000,
        to_ms: START_MS,
        activity: 1,
        emissions: 1,
        footprints: 1,
        up,
        down,
    };
    let mut recall = reading(names, "m-0", 7);
    recall.arrival = Arrival::default();
    let recalls = vec![
        Recall { subject: Subject::Meter(recall.meter), records: vec![Record::Reading(recall)] },
        Recall { subject: Subject::Activity(id("gone")), records: Vec::new() },
    ];
    let (subject, unit) = (Subject::Meter(id("m-0")), Unit::parse("kWh").unwrap());
    let (period, reason) = (Period(1_963_000), Reason::Restated);
    let key = ActivityKey { period, node: id("dc-7"), subject, unit, factor: Id::NONE };
    let change = Measure { amount: Wide::from(-5), covered_ms: 900_000, presence: 0 };
    let activity = ActivityEntry { key, reason, change };
    let (scope, category, method, gas) = (2, 0, Method::Market, Gas::Co2);
    let line = Line { scope, category, method, gas, revision: 3, rate: 177 };
    let key = EmissionKey { activity: ActivityKey { factor: id("grid"), ..key }, line };
    let change = Emission { mass: down, co2e: up, presence: 0 };
    let emission = EmissionEntry { key, reason, change };
    let (start_ms, end_ms) = (START_MS - 3_600_000, START_MS);
    let node = id("dc-7");
    let key = FootprintKey { start_ms, end_ms, node, depth: 1, scope, category, method, gas };
    let footprint = FootprintEntry { key, change };
    let entries = [
        Rows::Activity(vec![activity]),
        Rows::Emissions(vec![emission]),
        Rows::Footprints(vec![footprint]),
    ];
    (Restating { id: 1, entry, recalls }, entries)
}
