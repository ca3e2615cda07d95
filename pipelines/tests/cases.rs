//! Named cases, each of which broke a sketch of this dataflow, with numbers worked out by hand.
//!
//! Periods last 15 minutes and settle 15 minutes after their end; slot `n` begins at minute `15 n`. Factor
//! 0 is 0.5 kg CO2 a kWh unless a case says otherwise; meter 0 stands at node 1, which lies below node 0.

mod support;

use plumeline_pipelines::model::{Cause, Fact, FactorRow, Gas, NodeRow, Tick, Validity};
use plumeline_pipelines::reference::Balances;
use support::derive::derive;
use support::story::Story;
use support::{MINUTE, PERIOD, START_MS, factor_row, interval, node_row, reading, register};

/// Shorthand: numbers are told as texts.
fn s(number: &str) -> String {
    number.to_owned()
}

#[test]
fn a_factor_revised_and_then_all_readings_withdrawn_leaves_nothing() {
    let books = Story::with([interval()])
        .at(15)
        .reads(15, "10")
        .at(31)
        .reads(30, "20")
        .at(70)
        .factor(FactorRow { revision: 1, ..factor_row(0, Gas::Co2, "0.4") })
        .at(80)
        .takes_back(15)
        .takes_back(30)
        .told();
    assert_eq!(
        books.emissions(69),
        [(0, "co2", s("5"), s("5"), 1), (1, "co2", s("10"), s("10"), 1)]
    );
    assert_eq!(
        books.emissions(70),
        [(0, "co2", s("4"), s("4"), 1), (1, "co2", s("8"), s("8"), 1)],
        "presence is that of two readings under one line each, not of both revisions"
    );
    assert_eq!(books.footprints(70), [(0, 0, 0, s("12"), 2), (0, 1, 1, s("12"), 2)]);
    // Two lines leave and two come; the hour changes at each of two nodes; amounts stay.
    assert_eq!(books.written(70), [0, 4, 2]);
    assert_eq!(books.written(80), [2, 2, 2]);
    assert_eq!(books.balances(80), Balances::default(), "presence has returned to zero");
}

#[test]
fn a_factor_of_zero_is_booked() {
    let books = Story::new()
        .node(node_row(0, None))
        .node(node_row(1, Some(0)))
        .factor(factor_row(0, Gas::Co2, "0"))
        .meter(interval())
        .at(15)
        .reads(15, "10")
        .at(40)
        .at(50)
        .takes_back(15)
        .told();
    assert_eq!(books.emissions(40), [(0, "co2", s("0"), s("0"), 1)]);
    assert_eq!(books.footprints(40), [(0, 0, 0, s("0"), 1), (0, 1, 1, s("0"), 1)]);
    assert_eq!(books.windows(40), [s("-"), s("0"), s("0")], "known to be nothing, not unknown");
    assert_eq!(books.balances(50), Balances::default());
}

#[test]
fn one_line_of_co2e_replaces_a_split_by_gas() {
    let gases = [(Gas::Co2, "0.4"), (Gas::Ch4, "0.001"), (Gas::N2o, "0.0001")];
    let story = Story::new().node(node_row(0, None)).node(node_row(1, Some(0))).meter(interval());
    let books = gases
        .into_iter()
        .fold(story, |story, (gas, kg)| story.factor(factor_row(0, gas, kg)))
        .at(15)
        .reads(15, "10")
        .at(40)
        .at(50)
        .factor(FactorRow { revision: 1, ..factor_row(0, Gas::Co2e, "0.45") })
        .told();
    // AR6: 27 for methane that is not fossil, 273 for nitrous oxide.
    let split = [
        (0, "co2", s("4"), s("4"), 1),
        (0, "ch4", s("0.01"), s("0.27"), 1),
        (0, "n2o", s("0.001"), s("0.273"), 1),
    ];
    assert_eq!(books.emissions(40), split);
    assert_eq!(books.emissions(50), [(0, "co2e", s("0"), s("4.5"), 1)], "no gas is left over");
    let footprints = books.footprints(50);
    assert_eq!(footprints, [(0, 0, 0, s("4.5"), 1), (0, 1, 1, s("4.5"), 1)]);
}

#[test]
fn a_daily_register_fills_every_period_of_its_day() {
    let books =
        Story::with([register()]).reads(0, "1000").at(1440).reads(1440, "1096").at(1460).told();
    let quarter = |slot| (slot, s("1"), 15, 2);
    assert_eq!(books.activity(1460), (0..96).map(quarter).collect::<Vec<_>>());
    let hour = |node, depth| move |hour| (hour, node, depth, s("2"), 8);
    let day: Vec<_> = (0..24).flat_map(|h| [hour(0, 0)(h), hour(1, 1)(h)]).collect();
    assert_eq!(books.footprints(1460), day);
    // All but the last period were settled when the second reading came.
    assert_eq!(books.written(1440)[0], 95);
    assert_eq!(books.windows(1440), [s("-"), s("2"), s("48")]);
    assert_eq!(books.windows(1460), [s("-"), s("1.5"), s("47.5")], "one quarter has passed");
}

#[test]
fn two_values_of_one_key_in_one_tick_are_one_value() {
    let story = Story::with([interval()]).at(15).reads(15, "10").reads(15, "12").at(40);
    let books = story.told();
    assert_eq!(books.activity_entries(), [(30, 0, "booked", s("12"), 1)]);
    assert_eq!(books.outcomes(15), [("booked", 2)]);
    // Whoever is fed which of the two, and in whatever order.
    let scenario = Story::with([interval()]).at(15).reads(15, "10").reads(15, "12").at(40);
    let scenario = scenario.scenario();
    let end = scenario.end();
    let expected = derive(&scenario, 1, 0).until(end);
    for shuffle in 1..20 {
        assert_eq!(derive(&scenario, 2, shuffle).until(end), expected, "{shuffle}");
    }
}

#[test]
fn a_duplicate_in_a_later_tick_changes_nothing() {
    let books = Story::with([interval()])
        .at(15)
        .reads(15, "10")
        .at(20)
        .reads(15, "10.0")
        .at(50)
        .reads(15, "10")
        .told();
    assert_eq!(books.activity_entries(), [(30, 0, "booked", s("10"), 1)]);
    assert_eq!(books.written(50), [0, 0, 0]);
    assert_eq!(books.outcomes(20), [("duplicate", 1)]);
    assert_eq!(books.outcomes(50), [("duplicate", 1)]);
}

#[test]
fn a_redelivery_does_not_undo_a_correction() {
    let books = Story::with([interval()])
        .at(15)
        .reads(15, "10")
        .at(50)
        .reads(15, "12")
        .at(55)
        .reads(15, "10")
        .told();
    assert_eq!(books.activity(55), [(0, s("12"), 15, 1)]);
    assert_eq!(books.outcomes(55), [("duplicate", 1)]);
}

#[test]
fn a_node_end_dated_in_the_future_moves_nothing_now() {
    let ends = Validity { to_ms: START_MS + 8 * PERIOD, ..Validity::ALWAYS };
    let books = Story::with([interval()])
        .at(15)
        .reads(15, "10")
        .at(50)
        .withdrawn(Fact::Node(node_row(1, Some(0))))
        .node(NodeRow { validity: ends, revision: 1, ..node_row(1, Some(0)) })
        .at(137)
        .reads(135, "4")
        .at(160)
        .told();
    assert_eq!(books.written(50), [0, 0, 0]);
    assert_eq!(books.window_moves(50), 0);
    assert_eq!(
        books.footprints(160),
        [
            (0, 0, 0, s("5"), 1),
            (0, 1, 1, s("5"), 1),
            // From its end date on the node is unknown: it stands for itself and no company has it.
            (2, 1, 0, s("2"), 1),
        ]
    );
}

#[test]
fn a_cycle_in_the_tree_loses_nothing_and_heals() {
    let looped = NodeRow { revision: 1, ..node_row(0, Some(1)) };
    let books = Story::with([interval()])
        .at(15)
        .reads(15, "10")
        .at(50)
        .node(looped.clone())
        .at(60)
        .withdrawn(Fact::Node(looped))
        .told();
    let whole = [(0, 0, 0, s("5"), 1), (0, 1, 1, s("5"), 1)];
    assert_eq!(books.footprints(49), whole);
    assert_eq!(books.footprints(50), [(0, 1, 0, s("5"), 1)], "it stands for itself, as a root");
    assert_eq!(books.footprints(60), whole);
}

#[test]
fn closing_the_inputs_empties_no_window() {
    let story = Story::with([register()]).reads(0, "100").at(5).reads(5, "101").at(6);
    let books = story.told();
    // 1 kWh in the running period. Every later move is still ahead when the inputs close.
    assert_eq!(books.windows(6), [s("0.5"), s("-"), s("-")]);
    assert_eq!(books.windows(1_000_000), [s("0.5"), s("-"), s("-")]);
    assert_eq!(books.written(30), [0, 0, 0], "nor is anything booked");
    assert_eq!(books.balances(1_000_000).activity, Balances::default().activity);
}

#[test]
fn a_reading_of_twenty_digits_is_rounded_once_and_never_a_float() {
    let books = Story::with([interval()])
        .at(15)
        .reads(15, "12345.678901234500001")
        .reads(30, "12345678.901234567891")
        .reads(45, "0.00000000012345678901")
        .at(70)
        .told();
    assert_eq!(
        books.activity(70),
        [(0, s("12345.678901235"), 15, 1), (1, s("12345678.901234568"), 15, 1), (2, s("0"), 15, 1),],
        "rounded to 1e-9 kWh, half-even, and present where nothing is left"
    );
    assert_eq!(
        books.emissions(70),
        [
            (0, "co2", s("6172.8394506175"), s("6172.8394506175"), 1),
            (1, "co2", s("6172839.450617284"), s("6172839.450617284"), 1),
            (2, "co2", s("0"), s("0"), 1),
        ]
    );
}

#[test]
fn an_unknown_meter_waits_and_is_booked_when_it_is_registered() {
    use plumeline_pipelines::model::RejectEvent;
    use plumeline_pipelines::stages::notice::Notice;
    let books = Story::with([]).at(16).reads(15, "10").at(50).meter(interval()).told();
    assert_eq!(books.outcomes(16), [("parked", 1)]);
    let [Notice::Waiting { event, at_ms, arrival, why, .. }] = books.waiting(16)[..] else {
        panic!("one notice")
    };
    assert_eq!((*event, *at_ms), (RejectEvent::Parked, START_MS + 15 * MINUTE));
    assert_eq!(why.as_deref(), Some("meter not registered at that instant"));
    assert!(books.activity(49).is_empty());
    let [Notice::Waiting { event, arrival: resolved, why, .. }] = books.waiting(50)[..] else {
        panic!("one notice")
    };
    assert_eq!((*event, resolved, why), (RejectEvent::Resolved, arrival, &None));
    assert_eq!(books.activity_entries(), [(50, 0, "gap_closed", s("10"), 1)]);
    assert_eq!(books.written(50), [1, 1, 2]);
}

#[test]
fn an_unknown_factor_holds_up_emissions_but_no_activity() {
    let books = Story::new()
        .node(node_row(0, None))
        .node(node_row(1, Some(0)))
        .meter(interval())
        .at(15)
        .reads(15, "10")
        .at(50)
        .at(60)
        .factor(factor_row(0, Gas::Co2, "0.5"))
        .told();
    assert_eq!(books.activity(50), [(0, s("10"), 15, 1)]);
    assert_eq!(books.emissions(59), []);
    assert_eq!(books.windows(59), [s("-"), s("-"), s("-")]);
    assert_eq!(books.emissions(60), [(0, "co2", s("5"), s("5"), 1)]);
    assert_eq!(books.written(60), [0, 1, 2]);
    assert_eq!(books.windows(60), [s("-"), s("5"), s("5")]);
}

#[test]
fn what_is_older_than_retain_is_parked_and_moves_nothing() {
    // Two days are retained, in whole UTC days: on the fourth day the first is out of reach.
    let books = Story::with([interval()])
        .at(15)
        .reads(15, "10")
        .at(3 * 1440 + 5)
        .reads(15, "99")
        .reads(30, "7")
        .told();
    let now = 3 * 1440 + 5;
    assert_eq!(books.outcomes(now), [("parked", 2)]);
    assert_eq!(books.written(now), [0, 0, 0]);
    assert_eq!(books.activity(now), [(0, s("10"), 15, 1)]);
}

#[test]
fn the_order_of_feeding_within_a_tick_does_not_matter() {
    let mut story = Story::with([interval(), register_of_meter_1()]).at(31);
    for minute in [15, 30] {
        story = story.reads(minute, "10");
        story = story.record(reading(1, START_MS + minute * MINUTE, Some(&minute.to_string())));
    }
    let scenario = story.at(70).scenario();
    let end = Tick::new(START_MS + 70 * MINUTE, Cause::Cut);
    let expected = derive(&scenario, 1, 0).until(end);
    assert_eq!(expected.activity.len(), 3);
    for shuffle in 1..10 {
        assert_eq!(derive(&scenario, 3, shuffle).until(end), expected);
    }
}

fn register_of_meter_1() -> plumeline_pipelines::model::MeterRow {
    let meter = support::meter_id(1);
    plumeline_pipelines::model::MeterRow { meter, ..register() }
}
