//! Tests of what is told of a period whose activity changed below the horizon.

use plumeline_pipelines::model::time::DAY_MS;
use plumeline_pipelines::model::{
    ActivityRecord, Arrival, Decimal, MeterKind, MeterRow, NodeRow, Quality, Unit, Validity,
};
use plumeline_sinks::delta::FactEntry;

use super::super::reasons::tests as rows;
use super::*;

/// A period of an hour; the horizon passes its day ten days after that.
const START_MS: i64 = 1_767_225_600_000;
const HOUR_MS: i64 = 3_600_000;
const PASSED_MS: i64 = START_MS + 11 * DAY_MS;
/// The meter, and its factor, of the rows of [`rows`].
const METER: Id = Id(1);
const GRID: Id = Id(7);

fn policy() -> Policy {
    Policy { period_ms: HOUR_MS, grace_ms: HOUR_MS, ..rows::policy() }
}

fn meter_row(kind: MeterKind) -> MeterRow {
    let interval_ms = (kind == MeterKind::Interval).then_some(HOUR_MS);
    MeterRow { kind, interval_ms, ..rows::meter_row(0, GRID) }
}

/// A value of hour `hour`, at its end, that came at an instant.
fn said(hour: i64, received_ms: i64) -> Received {
    let reading = Reading {
        meter: METER,
        at_ms: START_MS + (hour + 1) * HOUR_MS,
        from_ms: None,
        value: Some(Decimal::ONE),
        unit: None,
        version: 0,
        quality: Quality::Measured,
        arrival: Arrival::default(),
    };
    (received_ms, Record::Reading(reading))
}

/// What came at an instant says 2, and not 1.
fn differs((received_ms, record): Received, at_ms: i64) -> Received {
    let Record::Reading(mut reading) = record else { panic!("they are of a meter") };
    if received_ms == at_ms {
        reading.value = Some(Decimal::new(2, 0));
    }
    (received_ms, Record::Reading(reading))
}

fn in_time(hour: i64) -> Received {
    said(hour, START_MS + (hour + 1) * HOUR_MS)
}

/// Why hours 0 to 5 change that were booked when the horizon passed them, by amount and by emission.
fn told(kind: MeterKind, records: &[Received], later: Vec<Fact>) -> Vec<[Option<Reason>; 2]> {
    let (policy, mut history) = (policy(), History::default());
    let row = Fact::Meter(meter_row(kind));
    let learned = |learned_ms, fact| FactEntry { fact, withdrawn: false, learned_ms };
    history.learn(&learned(START_MS, row.clone()));
    for fact in later {
        history.learn(&learned(PASSED_MS + 1, fact));
    }
    let heard = Heard::of(records, &BTreeMap::from([(row, 1)]));
    let hour = |hour: i64| policy.period_of(START_MS + hour * HOUR_MS);
    let reasons = |period| {
        [false, true]
            .map(|of| heard.reason((Subject::Meter(METER), period), (&policy, &history), of))
    };
    (0..6).map(|number| reasons(hour(number))).collect()
}

fn both(reason: Reason) -> [Option<Reason>; 2] {
    [Some(reason); 2]
}

#[test]
fn an_interval_says_of_its_own_hour_whether_it_is_new_or_a_correction() {
    let records = [in_time(0), in_time(1), said(1, PASSED_MS + 1), said(3, PASSED_MS + 1)];
    let records = records.map(|received| differs(received, PASSED_MS + 1));
    let told = told(MeterKind::Interval, &records, Vec::new());
    assert_eq!(told[1], both(Reason::ReadingCorrected));
    assert_eq!(told[3], both(Reason::ReadingLate));
}

#[test]
fn a_register_s_hours_change_by_the_next_value_and_by_the_last_where_there_is_none() {
    let records = [in_time(0), in_time(4), said(2, PASSED_MS + 1)];
    let of_register = told(MeterKind::Register, &records, Vec::new());
    assert_eq!(of_register[1..5], [both(Reason::ReadingLate); 4]);
    let records = [in_time(0), in_time(4), said(4, PASSED_MS + 1), said(2, PASSED_MS + 2)];
    let records = records.map(|received| differs(received, PASSED_MS + 1));
    let corrected = told(MeterKind::Register, &records, Vec::new());
    assert_eq!(corrected[2], both(Reason::ReadingLate));
    assert_eq!(corrected[3..5], [both(Reason::ReadingCorrected); 2]);
}

#[test]
fn what_repeats_what_is_known_is_no_reason() {
    // A file that was read is read again, with one value more.
    let again = [0, 2, 4].map(|hour| said(hour, PASSED_MS + 1));
    let records = [vec![in_time(0), in_time(4)], again.to_vec()].concat();
    let told = told(MeterKind::Register, &records, Vec::new());
    assert_eq!(told[1..5], [both(Reason::ReadingLate); 4]);
    assert_eq!(told[0], [None; 2]);
}

#[test]
fn a_value_that_was_on_time_closes_a_gap_that_reaches_below_the_horizon() {
    // The first value in twelve days, of a day that is retained.
    let at_its_hour = in_time(12 * 24);
    let on_time = told(MeterKind::Register, &[in_time(0), at_its_hour.clone()], Vec::new());
    assert_eq!(on_time[1..], [both(Reason::GapClosed); 5]);
    let late = said(12 * 24, at_its_hour.0 + 2 * HOUR_MS);
    let late = told(MeterKind::Register, &[in_time(0), late], Vec::new());
    assert_eq!(late[1..], [both(Reason::ReadingLate); 5]);
    // What another value parts from it is none of its business.
    let parted = [in_time(0), in_time(3), at_its_hour];
    let parted = told(MeterKind::Register, &parted, Vec::new());
    assert_eq!((parted[1], parted[5]), ([None; 2], both(Reason::GapClosed)));
}

#[test]
fn what_came_of_an_activity_that_was_booked_corrects_it() {
    let activity = ActivityRecord {
        activity: Id(3),
        node: Id(2),
        factor: GRID,
        from_ms: START_MS,
        to_ms: START_MS + HOUR_MS,
        value: Some(Decimal::ONE),
        unit: Unit::parse("kWh").unwrap(),
        version: 0,
        quality: Quality::Measured,
        arrival: Arrival::default(),
    };
    let (policy, history) = (policy(), History::default());
    let corrected = ActivityRecord { value: Some(Decimal::new(2, 0)), ..activity.clone() };
    let records = [(START_MS, activity), (PASSED_MS + 1, corrected)]
        .map(|(ms, record)| (ms, Record::Activity(record)));
    let heard = Heard::of(&records, &BTreeMap::new());
    let period = policy.period_of(START_MS);
    let why = |id| heard.reason((Subject::Activity(id), period), (&policy, &history), true);
    assert_eq!((why(Id(3)), why(Id(4))), (Some(Reason::ReadingCorrected), None));
}

#[test]
fn where_rows_of_the_meter_or_rates_changed_too_it_is_not_told() {
    let records = [in_time(0), said(1, PASSED_MS + 1)];
    let exchanged = MeterRow { revision: 1, ..meter_row(MeterKind::Interval) };
    let of_row = told(MeterKind::Interval, &records, vec![Fact::Meter(exchanged)]);
    assert_eq!(of_row[1], [None; 2]);
    let of_rate = told(MeterKind::Interval, &records, vec![Fact::Factor(rows::factor(1, "1"))]);
    assert_eq!(of_rate[1], [Some(Reason::ReadingLate), None]);
    let node = NodeRow {
        node: Id(2),
        parent: Id::NONE,
        name: Id::NONE,
        validity: Validity::ALWAYS,
        revision: 1,
    };
    let of_tree = told(MeterKind::Interval, &records, vec![Fact::Node(node)]);
    assert_eq!(of_tree[1], both(Reason::ReadingLate), "entries of a meter do not hang on the tree");
}
