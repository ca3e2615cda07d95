//! Frames come back as they were written, in a process with other numbers; whatever else is refused.

use plumeline_pipelines::model::time::LATEST_MS;
use proptest::prelude::*;

use super::*;

const NAMES: [&str; 4] = ["m-1", "dc-7", "grid \u{1f30d}", ""];
const SOURCES: [&str; 2] = ["plant", "erp"];

fn sources() -> Vec<Arc<str>> {
    SOURCES.into_iter().map(Arc::from).collect()
}

/// Names in an order of their own, and the ids of [`NAMES`] among them.
fn names(before: u32) -> Names {
    let names = Names::new();
    for number in 0..before {
        names.intern(&format!("other {number}"));
    }
    for name in NAMES {
        names.intern(name);
    }
    names
}

fn decimals() -> impl Strategy<Value = Option<Decimal>> {
    let digits = prop_oneof![any::<i64>().prop_map(i128::from), any::<i128>()];
    prop::option::of((digits, 0..=30_u8).prop_map(|(digits, scale)| Decimal::new(digits, scale)))
}

fn units() -> impl Strategy<Value = Unit> {
    prop::sample::select(Unit::all().collect::<Vec<_>>())
}

fn arrivals() -> impl Strategy<Value = Arrival> {
    (any::<u64>(), 0..2_u16, any::<u32>(), any::<u64>())
        .prop_map(|(index, source, element, position)| Arrival { index, source, element, position })
}

fn qualities() -> impl Strategy<Value = Quality> {
    prop_oneof![Just(Quality::Measured), Just(Quality::Estimated), Just(Quality::Substituted)]
}

/// Records by index into [`NAMES`].
fn records() -> impl Strategy<Value = Record> {
    let at = 0..LATEST_MS;
    let more = (decimals(), units(), any::<u32>(), qualities(), arrivals());
    (0..4_u32, at, prop::option::of(1..1_000_000_i64), any::<bool>(), any::<bool>(), more).prop_map(
        |(name, at_ms, length, is_reading, has_unit, (value, unit, version, quality, arrival))| {
            if is_reading {
                Record::Reading(Reading {
                    meter: Id(name),
                    at_ms,
                    from_ms: length.map(|length| at_ms - length),
                    value,
                    unit: has_unit.then_some(unit),
                    version,
                    quality,
                    arrival,
                })
            } else {
                Record::Activity(ActivityRecord {
                    activity: Id(name),
                    node: Id((name + 1) % 4),
                    factor: Id((name + 2) % 4),
                    from_ms: at_ms,
                    to_ms: at_ms + length.unwrap_or(0),
                    value,
                    unit,
                    version,
                    quality,
                    arrival,
                })
            }
        },
    )
}

/// The records with the ids of `names`, numbered in order.
fn named(records: &[Record], names: &Names) -> Vec<Record> {
    let id = |id: Id| names.find(NAMES[id.0 as usize]).expect("it was interned");
    let mut records = records.to_vec();
    for (index, record) in (1..).zip(&mut records) {
        record.arrival_mut().index = index;
        match record {
            Record::Reading(reading) => reading.meter = id(reading.meter),
            Record::Activity(activity) => {
                activity.activity = id(activity.activity);
                activity.node = id(activity.node);
                activity.factor = id(activity.factor);
            }
        }
    }
    records
}

fn rejects() -> impl Strategy<Value = RejectEntry> {
    let raw = prop::collection::vec(any::<u8>(), 0..20);
    (0..2_u16, any::<u64>(), any::<u32>(), ".{0,12}", raw).prop_map(
        |(source, position, element, reason, raw)| {
            let event = RejectEvent::Rejected;
            RejectEntry { source, position, element, event, reason, raw }
        },
    )
}

proptest! {
    #[test]
    fn a_frame_is_the_same_in_another_process(
        records in prop::collection::vec(records(), 0..20),
        rejects in prop::collection::vec(rejects(), 0..4),
    ) {
        let (here, there, sources) = (names(0), names(9), sources());
        let records_here = named(&records, &here);
        let bytes =
            Frame::encode(&records_here, &rejects, Naming { names: &here, sources: &sources });
        let frame = Frame::decode(&bytes, Naming { names: &there, sources: &sources }).unwrap();
        prop_assert_eq!(frame.records, named(&records, &there));
        prop_assert_eq!(frame.rejects, rejects);
    }

    #[test]
    fn a_torn_frame_is_an_error_and_never_a_panic(
        records in prop::collection::vec(records(), 1..20),
        at in any::<prop::sample::Index>(),
        flip in 1..=255_u8,
        cut in any::<bool>(),
    ) {
        let (names, sources) = (names(0), sources());
        let naming = Naming { names: &names, sources: &sources };
        let records = named(&records, &names);
        let whole = Frame::encode(&records, &[], naming);
        let mut bytes = whole.clone();
        let at = at.index(bytes.len());
        if cut { bytes.truncate(at) } else { bytes[at] ^= flip }
        if let Ok(frame) = Frame::decode(&bytes, naming) {
            // A bit of the frame's header that says nothing about its content.
            prop_assert_eq!(frame.records, records);
        }
    }
}

#[test]
fn an_ordinary_reading_takes_a_few_bytes() {
    let (names, sources) = (Names::new(), sources());
    let meters: Vec<Id> =
        (0..500).map(|m| names.intern(&format!("site-{}/meter-{m}", m / 10))).collect();
    let reading = |index: u64| {
        Record::Reading(Reading {
            meter: meters[usize::try_from(index % 500).unwrap()],
            at_ms: 1_767_225_600_000 + i64::try_from(index / 500).unwrap() * 1000,
            from_ms: None,
            value: Some(Decimal::new(i128::from(index * 7_919 % 5_000), 2)),
            unit: Some(Unit::parse("kWh").unwrap()),
            version: 0,
            quality: Quality::Measured,
            arrival: Arrival { index, source: 0, element: 0, position: 1_000 + index },
        })
    };
    let records: Vec<Record> = (1..=20_000).map(reading).collect();
    let bytes = Frame::encode(&records, &[], Naming { names: &names, sources: &sources });
    assert!(bytes.len() < 20_000 * 8, "{} bytes a reading", bytes.len() / 20_000);
}
