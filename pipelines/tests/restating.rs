//! What a late, corrected or withdrawn reading, a revised fact or a move restates: that, and nothing else.
//! And the windows, which move by themselves.
//!
//! The conventions are those of `cases`: slots of 15 minutes that settle 15 minutes after their end.

mod support;

use plumeline_pipelines::model::{
    ActivityRecord, Arrival, Fact, FactorRow, Gas, Id, MeterKind, MeterRow, NodeRow, Quality,
    Reading, Record, Validity,
};
use plumeline_pipelines::reference::Balances;
use support::story::Story;
use support::{
    MINUTE, PERIOD, START_MS, factor_id, factor_row, interval, n, node_id, node_row, reading,
    register, unit,
};

/// Shorthand: numbers are told as texts.
fn s(number: &str) -> String {
    number.to_owned()
}

fn from_slot(slot: i64) -> Validity {
    Validity { from_ms: START_MS + slot * PERIOD, ..Validity::ALWAYS }
}

#[test]
fn a_late_reading_of_an_interval_is_one_entry_a_table_and_level() {
    let books = Story::with([interval()]).at(31).reads(30, "20").at(100).reads(15, "10").told();
    assert_eq!(books.activity(99), [(1, s("20"), 15, 1)]);
    assert_eq!(books.activity(100), [(0, s("10"), 15, 1), (1, s("20"), 15, 1)]);
    assert_eq!(books.written(100), [1, 1, 2]);
}

#[test]
fn a_late_reading_of_a_register_moves_energy_between_its_neighbours() {
    let books = Story::with([register()])
        .reads(0, "100")
        .at(60)
        .reads(60, "104")
        .at(100)
        .reads(30, "103")
        .told();
    let flat: Vec<_> = (0..4).map(|slot| (slot, s("1"), 15, 2)).collect();
    assert_eq!(books.activity(99), flat);
    let halves =
        [(0, s("1.5"), 15, 2), (1, s("1.5"), 15, 2), (2, s("0.5"), 15, 2), (3, s("0.5"), 15, 2)];
    assert_eq!(books.activity(100), halves);
    assert_eq!(books.footprints(100), books.footprints(99), "the hour stays what it was");
    assert_eq!(books.written(100), [4, 4, 0]);
}

#[test]
fn a_corrected_reading_is_the_difference_alone() {
    let Record::Reading(plain) = reading(0, START_MS + 15 * MINUTE, Some("12")) else {
        unreachable!()
    };
    let books = Story::with([interval()])
        .at(15)
        .reads(15, "10")
        .at(50)
        .record(Record::Reading(Reading { version: 2, ..plain.clone() }))
        .at(55)
        .record(Record::Reading(Reading { version: 1, value: Some(n("11")), ..plain }))
        .told();
    assert_eq!(
        books.activity_entries(),
        [(30, 0, "booked", s("10"), 1), (50, 0, "reading_corrected", s("2"), 0)]
    );
    assert_eq!(books.written(50), [1, 1, 2]);
    assert_eq!(books.emissions(50), [(0, "co2", s("6"), s("6"), 1)]);
    assert_eq!(books.outcomes(55), [("duplicate", 1)], "an older version says less than is known");
    assert_eq!(books.written(55), [0, 0, 0]);
}

#[test]
fn a_withdrawn_reading_takes_back_what_it_booked() {
    let books = Story::with([interval()])
        .at(31)
        .reads(15, "10")
        .reads(30, "20")
        .at(70)
        .takes_back(15)
        .told();
    assert_eq!(books.activity(70), [(1, s("20"), 15, 1)]);
    assert_eq!(books.written(70), [1, 1, 2]);
    let (last, _) = books.activity_entries().split_last().map(|(l, r)| (l.clone(), r)).unwrap();
    assert_eq!(last, (70, 0, "reading_corrected", s("-10"), -1));
}

#[test]
fn a_period_is_booked_once_and_restated_after() {
    let books = Story::with([interval()])
        .at(15)
        .reads(15, "10")
        .at(18)
        .reads(15, "12")
        .at(22)
        .reads(15, "11")
        .at(50)
        .reads(15, "13")
        .told();
    assert_eq!(
        books.activity_entries(),
        [(30, 0, "booked", s("11"), 1), (50, 0, "reading_corrected", s("2"), 0)]
    );
}

#[test]
fn a_revised_factor_restates_emissions_and_no_activity() {
    let from = from_slot(1);
    let books = Story::with([interval()])
        .at(46)
        .reads(15, "10")
        .reads(30, "20")
        .reads(45, "30")
        .at(80)
        .factor(FactorRow { revision: 1, validity: from, ..factor_row(0, Gas::Co2, "0.2") })
        .told();
    assert_eq!(
        books.emissions(80),
        [
            (0, "co2", s("5"), s("5"), 1),
            (1, "co2", s("4"), s("4"), 1),
            (2, "co2", s("6"), s("6"), 1),
        ],
        "the slot before the revision begins keeps its rate"
    );
    assert_eq!(books.written(80), [0, 4, 2]);
    assert_eq!(books.footprints(80), [(0, 0, 0, s("15"), 3), (0, 1, 1, s("15"), 3)]);
}

#[test]
fn a_corrected_unit_restates_amounts() {
    let tonnes = MeterRow { unit: Some(unit("MWh")), revision: 1, ..interval() };
    let books = Story::with([interval()]).at(15).reads(15, "10").at(50).meter(tonnes).told();
    assert_eq!(books.activity(50), [(0, s("10000"), 15, 1)]);
    assert_eq!(books.emissions(50), [(0, "co2", s("5000"), s("5000"), 1)]);
    assert_eq!(books.written(50), [1, 1, 2]);
}

#[test]
fn a_corrected_kind_reads_the_same_values_otherwise() {
    let books = Story::with([interval()])
        .at(46)
        .reads(15, "10")
        .reads(30, "20")
        .reads(45, "50")
        .at(80)
        .withdrawn(Fact::Meter(interval()))
        .meter(MeterRow { revision: 1, ..register() })
        .told();
    let amounts = [(0, s("10"), 15, 1), (1, s("20"), 15, 1), (2, s("50"), 15, 1)];
    assert_eq!(books.activity(79), amounts);
    assert_eq!(books.activity(80), [(1, s("10"), 15, 2), (2, s("30"), 15, 2)]);
    assert_eq!(books.written(80)[0], 3);
}

#[test]
fn a_corrected_factor_of_a_meter_moves_its_emissions() {
    let books = Story::with([interval()])
        .factor(factor_row(1, Gas::Co2, "0.1"))
        .at(15)
        .reads(15, "10")
        .at(50)
        .meter(MeterRow { factor: factor_id(1), revision: 1, ..interval() })
        .told();
    assert_eq!(books.emissions(50), [(0, "co2", s("1"), s("1"), 1)]);
    assert_eq!(books.written(50), [0, 2, 2]);
}

#[test]
fn a_meter_moved_from_a_date_takes_only_later_periods_along() {
    let moved = MeterRow { node: node_id(2), validity: from_slot(2), revision: 1, ..register() };
    let books = Story::with([register()])
        .node(node_row(2, Some(0)))
        .reads(0, "100")
        .at(60)
        .reads(60, "104")
        .at(100)
        .meter(moved)
        .told();
    assert_eq!(
        books.places(100),
        [(0, 1, s("1")), (1, 1, s("1")), (2, 2, s("1")), (3, 2, s("1"))],
        "one span of the register, split where the meter moved"
    );
    // Two slots leave node 1 and come to node 2; the root does not notice.
    assert_eq!(books.written(100), [4, 4, 2]);
    assert_eq!(
        books.footprints(100),
        [(0, 0, 0, s("2"), 8), (0, 1, 1, s("1"), 4), (0, 2, 1, s("1"), 4)]
    );
}

#[test]
fn a_node_moved_from_a_date_takes_its_later_periods_to_the_new_parent() {
    let moved = NodeRow { validity: from_slot(2), revision: 1, ..node_row(1, Some(2)) };
    let books = Story::with([register()])
        .node(node_row(2, Some(0)))
        .reads(0, "100")
        .at(60)
        .reads(60, "104")
        .at(100)
        .node(moved)
        .told();
    assert_eq!(books.footprints(99), [(0, 0, 0, s("2"), 8), (0, 1, 1, s("2"), 8)]);
    assert_eq!(
        books.footprints(100),
        [(0, 0, 0, s("2"), 8), (0, 1, 1, s("1"), 4), (0, 1, 2, s("1"), 4), (0, 2, 1, s("1"), 4),]
    );
    assert_eq!(books.written(100), [0, 0, 3]);
}

#[test]
fn an_activity_is_spread_corrected_and_withdrawn() {
    let said = |value: Option<&str>, version| {
        Record::Activity(ActivityRecord {
            activity: Id(300),
            node: node_id(1),
            factor: factor_id(0),
            from_ms: START_MS + 5 * MINUTE,
            to_ms: START_MS + 45 * MINUTE,
            value: value.map(n),
            unit: unit("kWh"),
            version,
            quality: Quality::Measured,
            arrival: Arrival::default(),
        })
    };
    let books = Story::with([])
        .at(61)
        .record(said(Some("10"), 0))
        .at(70)
        .record(said(Some("40"), 1))
        .at(80)
        .record(said(None, 0))
        .told();
    let thirds = [(0, s("2.5"), 10, 1), (1, s("3.75"), 15, 1), (2, s("3.75"), 15, 1)];
    assert_eq!(books.activity(61), thirds);
    assert_eq!(books.activity(70), [(0, s("10"), 10, 1), (1, s("15"), 15, 1), (2, s("15"), 15, 1)]);
    assert_eq!(books.footprints(70), [(0, 0, 0, s("20"), 3), (0, 1, 1, s("20"), 3)]);
    assert_eq!(books.balances(80), Balances::default());
}

#[test]
fn a_held_power_counts_when_its_hold_is_over_or_the_next_value_comes() {
    let meter = MeterRow { node: node_id(1), ..support::meter_row(0, MeterKind::Power) };
    let books =
        Story::with([meter]).reads(0, "4").at(3).at(6).reads(6, "8").at(20).at(22).at(60).told();
    // 4 kW for 6 minutes once the next value has come: 0.4 kWh, 0.2 kg.
    assert_eq!(books.windows(3), [s("-"), s("-"), s("-")]);
    assert_eq!(books.windows(6), [s("0.2"), s("-"), s("-")]);
    // 8 kW held for 15 minutes, to minute 21, and only then known: 9 minutes of them in slot 0.
    assert_eq!(books.windows(20), [s("-"), s("0.2"), s("0.2")]);
    assert_eq!(books.windows(22), [s("0.4"), s("0.8"), s("0.8")]);
    assert_eq!(books.activity(60), [(0, s("1.6"), 15, 2), (1, s("0.8"), 6, 1)]);
}

/// A register at 3 kW: a quarter of a kWh every 5 minutes up to minute 90, then silence.
fn windows_of_a_register() -> support::story::Books {
    let mut story = Story::with([register()]).reads(0, "100");
    for step in 1..=18_i64 {
        let position = (400 + step).to_string();
        let position = plumeline_pipelines::model::Decimal::new(
            position.parse::<i128>().expect("digits") * 25,
            2,
        );
        story = story.at(5 * step).reads(5 * step, &position.to_string());
    }
    for minute in [104, 105, 119, 120, 149, 150, 1440 + 75, 1440 + 89, 1440 + 90] {
        story = story.at(minute);
    }
    story.told()
}

#[test]
fn windows_hold_the_last_closed_periods_and_empty_by_themselves() {
    let books = windows_of_a_register();
    // A slot is 0.75 kWh, 0.375 kg; the running one fills by 0.125 kg every 5 minutes.
    assert_eq!(books.windows(10), [s("0.25"), s("-"), s("-")]);
    assert_eq!(books.windows(15), [s("-"), s("0.375"), s("0.375")]);
    assert_eq!(books.windows(70), [s("0.25"), s("1.5"), s("1.5")]);
    assert_eq!(books.windows(75), [s("-"), s("1.5"), s("1.875")], "four slots, five slots");
    assert_eq!(books.windows(90), [s("-"), s("1.5"), s("2.25")]);
    assert_eq!(books.windows(104), [s("-"), s("1.5"), s("2.25")], "slots 2 to 5");
    // From here on nothing arrives.
    assert_eq!(books.windows(105), [s("-"), s("1.125"), s("2.25")]);
    assert_eq!(books.windows(119), [s("-"), s("1.125"), s("2.25")]);
    assert_eq!(books.windows(120), [s("-"), s("0.75"), s("2.25")]);
    assert_eq!(books.windows(149), [s("-"), s("0.375"), s("2.25")]);
    assert_eq!(books.windows(150), [s("-"), s("-"), s("2.25")]);
    assert_eq!(books.windows(1440 + 75), [s("-"), s("-"), s("0.375")]);
    assert_eq!(books.windows(1440 + 89), [s("-"), s("-"), s("0.375")]);
    assert_eq!(books.windows(1440 + 90), [s("-"), s("-"), s("-")]);
}

#[test]
fn a_restatement_moves_the_windows_that_still_hold_its_period() {
    let books = Story::with([interval()])
        .at(15)
        .reads(15, "10")
        .at(50)
        .reads(15, "12")
        .at(100)
        .reads(15, "14")
        .told();
    assert_eq!(books.windows(49), [s("-"), s("5"), s("5")]);
    assert_eq!(books.windows(50), [s("-"), s("6"), s("6")]);
    assert_eq!(books.windows(75), [s("-"), s("-"), s("6")], "the hour has left it at minute 75");
    assert_eq!(books.windows(100), [s("-"), s("-"), s("7")]);
}
