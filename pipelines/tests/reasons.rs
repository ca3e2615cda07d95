//! Why what is settled changes: each reason for its cause alone, several at once each under its own, and none
//! where nothing has settled.
//!
//! The conventions are those of `cases`: slots of 15 minutes that settle 15 minutes after their end; meter 0 reads
//! 10 kWh of slot 0 under factor 0 of 0.5 kg CO2 a kWh. `moved` is what a minute wrote to `activity`, `restated` what
//! it wrote to `emissions`.

mod support;

use std::collections::BTreeMap;

use plumeline_pipelines::model::{
    ActivityKey, ActivityRecord, Arrival, Cause, Fact, FactorChange, FactorRow, Gas, GwpSet, Id,
    MeterKind, MeterRow, Policy, Quality, Reading, Reason, Record, SeriesRow, StampSide, Tick,
    Total, Validity, Vintage,
};
use plumeline_pipelines::reference::add;
use plumeline_pipelines::stages::matching;
use proptest::prelude::*;
use support::dated::series_row;
use support::dates::{calendar, date};
use support::derive::derive;
use support::random::{cases, scenarios};
use support::story::{Books, Story};
use support::{
    HOUR, MINUTE, PERIOD, START_MS, factor_id, factor_row, interval, meter_id, meter_row, n,
    node_id, node_row, policy, reading, register, unit,
};

/// Shorthand: numbers are told as texts.
fn s(number: &str) -> String {
    number.to_owned()
}

/// Slot 0 has settled with 10 kWh and 5 kg.
fn settled() -> Story {
    Story::with([interval()]).node(node_row(2, Some(0))).at(15).reads(15, "10").at(50)
}

/// Minute 50 changed CO2e of slot 0 of meter 0 by this much, for this reason, and no activity.
fn assert_factors_alone(books: &Books, reason: &'static str, co2e: &str) {
    assert_eq!(books.restated(50), [(0, 0, reason, s(co2e))]);
    assert_eq!(books.moved(50), [], "no activity has changed");
}

fn revised(kg: &str) -> FactorRow {
    FactorRow { revision: 1, ..factor_row(0, Gas::Co2, kg) }
}

/// Activity 300 says `value` of slots 0 and 1.
fn said(value: Option<&str>, version: u32) -> Record {
    Record::Activity(ActivityRecord {
        activity: Id(300),
        node: node_id(1),
        factor: factor_id(0),
        from_ms: START_MS,
        to_ms: START_MS + 2 * PERIOD,
        value: value.map(n),
        unit: unit("kWh"),
        version,
        quality: Quality::Measured,
        arrival: Arrival::default(),
    })
}

fn reads(meter: u32, minute: i64, value: &str) -> Record {
    reading(meter, START_MS + minute * MINUTE, Some(value))
}

#[test]
fn what_comes_after_its_period_has_settled_is_late() {
    let books = Story::with([interval()])
        .at(31)
        .reads(30, "20")
        .at(100)
        .reads(15, "10")
        .record(said(Some("8"), 0))
        .told();
    let four = |slot| (slot, 300, 1, "reading_late", s("4"));
    assert_eq!(books.moved(100), [(0, 0, 1, "reading_late", s("10")), four(0), four(1)]);
    let two = |slot| (slot, 300, "reading_late", s("2"));
    assert_eq!(books.restated(100), [(0, 0, "reading_late", s("5")), two(0), two(1)]);
}

#[test]
fn a_late_position_of_a_register_is_late_on_both_sides_of_it() {
    let books = Story::with([register()])
        .reads(0, "100")
        .at(60)
        .reads(60, "104")
        .at(100)
        .reads(30, "103")
        .told();
    let by = |slot, kwh| (slot, 0, 1, "reading_late", s(kwh));
    assert_eq!(books.moved(100), [by(0, "0.5"), by(1, "0.5"), by(2, "-0.5"), by(3, "-0.5")]);
}

#[test]
fn a_value_told_again_beside_a_late_one_is_no_cause() {
    // The position of minute 120 has not settled and says nothing new; that of minute 30 is late.
    let books = Story::with([register()])
        .reads(0, "100")
        .at(120)
        .reads(120, "108")
        .at(121)
        .reads(30, "103")
        .reads(120, "108")
        .told();
    let reasons: Vec<&str> = books.moved(121).iter().map(|(_, _, _, reason, _)| *reason).collect();
    assert_eq!(reasons, ["reading_late"; 7], "slots 0 to 6: slot 7 is booked later");
}

#[test]
fn another_value_corrects_and_so_does_a_withdrawal() {
    let books = settled().reads(15, "12").at(60).takes_back(15).told();
    assert_eq!(books.moved(50), [(0, 0, 1, "reading_corrected", s("2"))]);
    assert_eq!(books.restated(50), [(0, 0, "reading_corrected", s("1"))]);
    assert_eq!(books.moved(60), [(0, 0, 1, "reading_corrected", s("-12"))]);
    assert_eq!(books.restated(60), [(0, 0, "reading_corrected", s("-6"))]);
}

#[test]
fn a_value_after_a_withdrawal_corrects_it() {
    let Record::Reading(plain) = reads(0, 15, "10") else { unreachable!() };
    let books = settled()
        .takes_back(15)
        .at(60)
        .record(Record::Reading(Reading { version: 1, ..plain }))
        .told();
    assert_eq!(books.moved(60), [(0, 0, 1, "reading_corrected", s("10"))]);
}

#[test]
fn an_activity_is_corrected_and_withdrawn() {
    let books = Story::with([])
        .at(15)
        .record(said(Some("8"), 0))
        .at(50)
        .record(said(Some("10"), 1))
        .at(60)
        .record(said(None, 2))
        .told();
    let by = |kwh| [0, 1].map(|slot| (slot, 300, 1, "reading_corrected", s(kwh)));
    assert_eq!(books.moved(50), by("1"));
    assert_eq!(books.moved(60), by("-5"));
    assert_eq!(books.moved(30), [(0, 300, 1, "booked", s("4"))]);
}

#[test]
fn a_register_that_was_silent_over_settled_periods_closes_the_gap() {
    let books = Story::with([register()]).reads(0, "100").at(60).reads(60, "104").at(80).told();
    let closes = |slot| (slot, 0, 1, "gap_closed", s("1"));
    assert_eq!(books.moved(60), [closes(0), closes(1), closes(2)]);
    assert_eq!(books.restated(60), [0, 1, 2].map(|slot| (slot, 0, "gap_closed", s("0.5"))));
    assert_eq!(books.moved(75), [(3, 0, 1, "booked", s("1"))]);
}

#[test]
fn a_power_held_for_longer_than_grace_closes_its_gap_when_the_hold_is_over() {
    let meter = MeterRow { node: node_id(1), max_hold_ms: HOUR, ..meter_row(0, MeterKind::Power) };
    let books = Story::with([meter]).reads(0, "4").at(100).told();
    // The hold is over at minute 60, just as slot 2 settles.
    let at = |slot, reason| (slot, 0, 1, reason, s("1"));
    assert_eq!(books.moved(60), [at(0, "gap_closed"), at(1, "gap_closed"), at(2, "booked")]);
    assert_eq!(books.moved(75), [at(3, "booked")]);
}

#[test]
fn values_that_waited_for_their_meter_close_a_gap_when_it_is_registered() {
    let books = Story::with([]).at(16).reads(15, "10").at(50).meter(interval()).told();
    assert_eq!(books.moved(50), [(0, 0, 1, "gap_closed", s("10"))]);
    assert_eq!(books.restated(50), [(0, 0, "gap_closed", s("5"))]);
}

#[test]
fn a_row_with_another_multiplier_is_an_exchange() {
    let exchanged = |multiplier| MeterRow { multiplier: n(multiplier), revision: 1, ..interval() };
    for (multiplier, kwh, kg) in [("3", "20", "10"), ("0.5", "-5", "-2.5")] {
        let books = settled().meter(exchanged(multiplier)).told();
        assert_eq!(books.moved(50), [(0, 0, 1, "meter_exchange", s(kwh))]);
        assert_eq!(books.restated(50), [(0, 0, "meter_exchange", s(kg))]);
    }
}

#[test]
fn a_row_in_another_unit_is_an_exchange_on_both_sides() {
    let books = Story::with([interval()])
        .factor(FactorRow { unit: unit("m3"), ..factor_row(1, Gas::Co2, "2") })
        .at(15)
        .reads(15, "10")
        .at(50)
        .meter(MeterRow { unit: Some(unit("m3")), factor: factor_id(1), revision: 1, ..interval() })
        .told();
    // 10 kWh leave, and 10 m3 come.
    assert_eq!(books.moved(50), [(0, 0, 1, "meter_exchange", s("0"))]);
    assert_eq!(books.restated(50), [(0, 0, "meter_exchange", s("15"))]);
}

#[test]
fn a_meter_of_another_node_is_structural_and_nothing_is_lost() {
    let books = settled().meter(MeterRow { node: node_id(2), revision: 1, ..interval() }).told();
    let moved = [(0, 0, 1, "structural", s("-10")), (0, 0, 2, "structural", s("10"))];
    assert_eq!(books.moved(50), moved);
    assert_eq!(books.restated(50), [(0, 0, "structural", s("0"))]);
    assert_eq!(books.places(50), [(0, 2, s("10"))]);
    assert_eq!(books.emissions(50), [(0, "co2", s("5"), s("5"), 1)]);
}

#[test]
fn a_meter_under_another_factor_is_another_method() {
    let books = Story::with([interval()])
        .factor(factor_row(1, Gas::Co2, "0.2"))
        .at(15)
        .reads(15, "10")
        .at(50)
        .meter(MeterRow { factor: factor_id(1), revision: 1, ..interval() })
        .told();
    assert_factors_alone(&books, "method_change", "-3");
}

#[test]
fn another_rule_for_totals_is_another_method() {
    // DESNZ 2025, butane, litres: printed 0.00001 higher than what its gases add up to.
    let ar5 = Some(GwpSet::Ar5);
    let row = |gas, kg, published_gwp| FactorRow { published_gwp, ..factor_row(0, gas, kg) };
    let books = Story::new()
        .under(Policy { gwp: GwpSet::Ar5, ..policy(2) })
        .meter(interval())
        .factor(row(Gas::Co2, "1.74296", None))
        .factor(row(Gas::Ch4, "0.00144", ar5))
        .factor(row(Gas::N2o, "0.00092", ar5))
        .factor(row(Gas::Co2e, "1.74533", ar5))
        .at(15)
        .reads(15, "1000")
        .at(50)
        .series(SeriesRow { total: Total::Printed, ..series_row(0) })
        .told();
    assert_factors_alone(&books, "method_change", "0.01");
}

#[test]
fn another_vintage_is_another_method() {
    let of_2026 = Validity { from_ms: date(2026, 1, 1), ..Validity::ALWAYS };
    let books = Story::with([interval()])
        .under(Policy { calendar: calendar(2024, 2027), ..policy(2) })
        .factor(FactorRow { validity: of_2026, ..revised("0.3") })
        .at(15)
        .reads(15, "10")
        .at(50)
        .series(SeriesRow { vintage: Vintage::Majority, year_begins: 4, ..series_row(0) })
        .told();
    assert_eq!(books.restated(30), [(0, 0, "booked", s("3"))]);
    assert_factors_alone(&books, "method_change", "2");
}

#[test]
fn a_higher_revision_of_the_same_validity_is_a_revised_factor() {
    assert_factors_alone(&settled().factor(revised("0.4")).told(), "factor_revised", "-1");
}

#[test]
fn a_finer_factor_in_place_of_its_stand_in_is_a_revised_factor() {
    let quarter = Validity { from_ms: START_MS, to_ms: START_MS + PERIOD };
    let books = Story::new()
        .meter(interval())
        .series(SeriesRow { fallback: factor_id(1), ..series_row(0) })
        .factor(factor_row(1, Gas::Co2, "0.5"))
        .at(15)
        .reads(15, "10")
        .at(50)
        .factor(FactorRow { validity: quarter, ..factor_row(0, Gas::Co2, "0.6") })
        .told();
    assert_factors_alone(&books, "factor_revised", "1");
}

#[test]
fn a_correction_of_what_was_published_is_an_error_of_the_factor() {
    let erratum = FactorRow { change: FactorChange::Error, ..revised("0.4") };
    assert_factors_alone(&settled().factor(erratum.clone()).told(), "factor_error", "-1");
    let again =
        settled().factor(erratum).at(60).factor(FactorRow { revision: 2, ..revised("0.3") });
    assert_eq!(again.told().restated(60), [(0, 0, "factor_revised", s("-1"))]);
}

#[test]
fn a_version_that_begins_later_is_a_new_vintage() {
    let validity = Validity { from_ms: START_MS, ..Validity::ALWAYS };
    let books = settled().factor(FactorRow { validity, ..revised("0.3") }).told();
    assert_factors_alone(&books, "factor_new_vintage", "-2");
}

/// Meters 0 to 3 at node 1, each under the factor of its number; all but meter 0 have read 10 kWh of slot 0.
fn four_meters() -> Story {
    let row =
        |meter: u32| MeterRow { meter: meter_id(meter), factor: factor_id(meter), ..interval() };
    let story = Story::with([0, 1, 2, 3].map(row)).node(node_row(2, Some(0)));
    let story = [1, 2, 3]
        .into_iter()
        .fold(story, |story, factor| story.factor(factor_row(factor, Gas::Co2, "0.5")));
    [1, 2, 3].into_iter().fold(story.at(15), |story, meter| story.record(reads(meter, 15, "10")))
}

#[test]
fn causes_of_one_commit_each_have_their_own_reason() {
    let moved = MeterRow {
        meter: meter_id(3),
        factor: factor_id(3),
        node: node_id(2),
        revision: 1,
        ..interval()
    };
    let erratum =
        FactorRow { change: FactorChange::Error, revision: 1, ..factor_row(2, Gas::Co2, "0.4") };
    let books = four_meters()
        .at(50)
        .record(reads(0, 15, "10"))
        .record(reads(1, 15, "12"))
        .factor(erratum)
        .meter(moved)
        .told();
    assert_eq!(
        books.moved(50),
        [
            (0, 0, 1, "reading_late", s("10")),
            (0, 1, 1, "reading_corrected", s("2")),
            (0, 3, 1, "structural", s("-10")),
            (0, 3, 2, "structural", s("10")),
        ]
    );
    assert_eq!(
        books.restated(50),
        [
            (0, 0, "reading_late", s("5")),
            (0, 1, "reading_corrected", s("1")),
            (0, 2, "factor_error", s("-1")),
            (0, 3, "structural", s("0")),
        ]
    );
}

#[test]
fn two_causes_of_one_number_are_two_entries_that_add_up() {
    let books = settled().reads(15, "12").factor(revised("0.4")).told();
    // 10 kWh at 0.5 become 10 at 0.4, and then 12 at 0.4: 4.8 - 5 in all.
    let parts = [(0, 0, "reading_corrected", s("0.8")), (0, 0, "factor_revised", s("-1"))];
    assert_eq!(books.restated(50), parts);
    assert_eq!(books.emissions(50), [(0, "co2", s("4.8"), s("4.8"), 1)]);

    let exchanged = MeterRow { multiplier: n("2"), revision: 1, ..interval() };
    let books = settled().reads(15, "12").meter(exchanged).told();
    let parts = [(0, 0, 1, "reading_corrected", s("4")), (0, 0, 1, "meter_exchange", s("10"))];
    assert_eq!(books.moved(50), parts);
    assert_eq!(books.activity(50), [(0, s("24"), 15, 1)]);
}

#[test]
fn a_move_and_a_correction_of_one_meter_are_told_apart() {
    let moved = MeterRow { node: node_id(2), revision: 1, ..interval() };
    let books = settled().meter(moved).reads(15, "12").told();
    assert_eq!(
        books.moved(50),
        [
            (0, 0, 1, "structural", s("-10")),
            (0, 0, 2, "reading_corrected", s("2")),
            (0, 0, 2, "structural", s("10")),
        ]
    );
}

#[test]
fn a_late_value_beside_a_corrected_one_of_the_same_interval_meter_is_late() {
    let books = Story::with([interval()])
        .at(31)
        .reads(15, "10")
        .at(100)
        .reads(15, "12")
        .reads(30, "20")
        .told();
    let each = [(0, 0, 1, "reading_corrected", s("2")), (1, 0, 1, "reading_late", s("20"))];
    assert_eq!(books.moved(100), each);
}

#[test]
fn a_value_that_names_its_start_is_late_or_corrected_where_it_stands() {
    let starts = |minute, value| reads(0, minute, value);
    let meter = MeterRow { stamp: StampSide::Start, ..interval() };
    let books = Story::with([meter])
        .at(31)
        .record(starts(15, "20"))
        .at(100)
        .record(starts(0, "10"))
        .record(starts(15, "22"))
        .told();
    let each = [(0, 0, 1, "reading_late", s("10")), (1, 0, 1, "reading_corrected", s("2"))];
    assert_eq!(books.moved(100), each);
}

#[test]
fn an_hour_that_comes_in_time_closes_the_gap_of_its_settled_quarters() {
    for (stamp, minute) in [(StampSide::Start, 0), (StampSide::End, 60)] {
        let meter = MeterRow { stamp, interval_ms: Some(HOUR), ..interval() };
        let books = Story::with([meter]).at(60).reads(minute, "4").at(100).told();
        let closes = |slot| (slot, 0, 1, "gap_closed", s("1"));
        assert_eq!(books.moved(60), [closes(0), closes(1), closes(2)], "{stamp:?}");
        assert_eq!(books.moved(75), [(3, 0, 1, "booked", s("1"))], "{stamp:?}");
    }
}

#[test]
fn what_has_not_settled_is_booked_whatever_changed() {
    let moved = MeterRow { node: node_id(2), multiplier: n("2"), revision: 1, ..interval() };
    let books = Story::with([])
        .node(node_row(2, Some(0)))
        .at(15)
        .reads(15, "10")
        .at(18)
        .meter(interval())
        .at(20)
        .reads(15, "12")
        .at(22)
        .meter(moved)
        .factor(FactorRow { change: FactorChange::Error, ..revised("0.4") })
        .at(24)
        .series(SeriesRow { total: Total::Printed, ..series_row(0) })
        .withdrawn(Fact::Factor(factor_row(0, Gas::Co2, "0.5")))
        .at(50)
        .told();
    assert_eq!(books.moved(30), [(0, 0, 2, "booked", s("24"))]);
    assert_eq!(books.restated(30), [(0, 0, "booked", s("9.6"))]);
    assert_eq!(books.written(30)[..2], [1, 1]);
    let all: usize = (0..=50).map(|minute| books.written(minute)[0]).sum();
    assert_eq!(all, 1, "one entry in all");
}

proptest! {
    #![proptest_config(cases())]

    /// What is booked is what was known when the period settled, and what is restated is what has changed since: so
    /// are reasons a partition of a key's entries, and each restatement has one.
    #[test]
    fn restatements_of_a_key_add_up_to_what_has_changed_since_it_was_booked(
        scenario in scenarios(),
        pick in any::<prop::sample::Index>(),
    ) {
        // Nothing falls below the horizon.
        let scenario = scenario.retaining(40);
        let (derived, history) = (derive(&scenario, 2, 1), scenario.history());
        let (mut first, mut since) = (BTreeMap::new(), BTreeMap::new());
        // What contracts cover is booked by the hour, and moved by all that happens in it.
        let settles = |key: &ActivityKey| {
            let policy = &scenario.policy;
            let is_told = key.subject.has_records();
            let told_ms = policy.settles_ms(key.period);
            let ms = if is_told { told_ms } else { matching::settles_ms(policy, key.period) };
            Tick::new(ms, Cause::Time)
        };
        let is_vague = |key: &ActivityKey, reason| {
            reason == Reason::Restated && key.subject.has_records()
        };
        let mut settled: Vec<Tick> = Vec::new();
        for ((key, reason), tick, change) in &derived.out.emissions {
            prop_assert_eq!(*reason == Reason::Booked, *tick <= settles(&key.activity));
            prop_assert!(!is_vague(&key.activity, *reason), "{:?} at {:?}", key, tick);
            let sums = if reason.is_restatement() { &mut since } else { &mut first };
            add(sums, *key, change);
            settled.push(settles(&key.activity));
        }
        for ((key, reason), tick, _) in &derived.out.activity {
            prop_assert_eq!(*reason == Reason::Booked, *tick <= settles(key));
            prop_assert!(!is_vague(key, *reason), "{:?} at {:?}", key, tick);
        }
        settled.retain(|tick| *tick <= scenario.end());
        if settled.is_empty() {
            return Ok(());
        }
        let settled = *pick.get(&settled);
        let mut then = history.balances(settled, true).emissions;
        let mut last = history.balances(scenario.end(), true).emissions;
        let is_of = |key: &ActivityKey| settles(key) == settled;
        then.retain(|key, _| is_of(&key.activity));
        last.retain(|key, _| is_of(&key.activity));
        first.retain(|key, _| is_of(&key.activity));
        since.retain(|key, _| is_of(&key.activity));
        prop_assert_eq!(&first, &then, "booked at {:?}", settled);
        for (key, change) in &since {
            add(&mut then, *key, change);
        }
        prop_assert_eq!(then, last, "restated since {:?}", settled);
    }
}
