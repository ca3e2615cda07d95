//! Tests of metering: what the values of registers, powers and intervals are worth.

mod orders;

use super::{Rows, Scan, Unusable, Value, usable};
use crate::model::{Decimal, Id, MeterKind, MeterRow, StampSide, Unit, UnitError, Validity};

/// 2026-01-01T00:00:00Z.
const T0: i64 = 1_767_225_600_000;
const MINUTE: i64 = 60_000;
const HOUR: i64 = 60 * MINUTE;

fn n(text: &str) -> Decimal {
    Decimal::parse(text).expect(text)
}

fn u(symbol: &str) -> Unit {
    Unit::parse(symbol).expect(symbol)
}

fn row(kind: MeterKind) -> MeterRow {
    MeterRow {
        meter: Id(1),
        node: Id(10),
        kind,
        unit: Some(u(if kind == MeterKind::Power { "kW" } else { "kWh" })),
        multiplier: Decimal::ONE,
        stamp: StampSide::End,
        interval_ms: None,
        max_hold_ms: 15 * MINUTE,
        modulus: None,
        max_power: None,
        expected_every_ms: None,
        factor: Id::NONE,
        validity: Validity::ALWAYS,
        revision: 0,
    }
}

fn register() -> MeterRow {
    row(MeterKind::Register)
}

fn rows(all: impl IntoIterator<Item = MeterRow>) -> Rows {
    let mut rows = Rows::default();
    for row in all {
        rows.update(&row, 1);
    }
    rows
}

fn value(number: &str) -> Value {
    Value { number: n(number), unit: None, from_ms: None }
}

/// A span as `(from, to, amount)`: minutes since [`T0`], and an exact decimal.
type Told = (i64, i64, String);

/// The spans of values that are whole texts, `"12.5"` or `"12.5 Wh"`, at minutes since [`T0`].
fn spans(rows: &Rows, values: &[(i64, &str)]) -> Vec<Told> {
    let (mut told, mut scan) = (Vec::new(), Scan::new(rows));
    let mut tell = |span: super::Span<'_>| {
        let amount = Decimal::new(span.amount, 9).to_string();
        told.push(((span.from_ms - T0) / MINUTE, (span.to_ms - T0) / MINUTE, amount));
    };
    for (minute, text) in values {
        let (number, unit) = text.split_once(' ').map_or((*text, None), |(a, b)| (a, Some(u(b))));
        let value = Value { unit, ..value(number) };
        scan.step(T0 + minute * MINUTE, &value, &mut tell);
    }
    scan.finish(&mut tell);
    told
}

fn told(from: i64, to: i64, amount: &str) -> Told {
    (from, to, amount.to_owned())
}

#[test]
fn a_zero_between_two_positions_is_passed_over() {
    let rows = rows([register()]);
    // Published: the naive answer to the first is 3.746 kWh, to the second 13.4 MWh.
    let refoss = spans(&rows, &[(170, "3.737"), (209, "0.000"), (210, "3.746")]);
    assert_eq!(refoss, [told(170, 210, "0.009")]);
    let evcc = spans(&rows, &[(0, "13423.7"), (15, "0"), (30, "13423.8")]);
    assert_eq!(evcc, [told(0, 30, "0.1")]);
    let twice = spans(&rows, &[(0, "100"), (1, "0"), (2, "0"), (3, "100"), (4, "101.5")]);
    assert_eq!(twice, [told(0, 3, "0"), told(3, 4, "1.5")]);
}

#[test]
fn a_reset_that_goes_on_is_a_new_baseline() {
    let rows = rows([register()]);
    let reset = spans(&rows, &[(0, "100"), (10, "0"), (20, "2"), (30, "5")]);
    assert_eq!(reset, [told(10, 20, "2"), told(20, 30, "3")]);
    let late = spans(&rows, &[(0, "100"), (10, "0"), (20, "0"), (30, "5")]);
    assert_eq!(late, [told(10, 30, "5")], "the zeros stand for the position it began at");
    let fresh = spans(&rows, &[(0, "0"), (10, "0"), (20, "0.25")]);
    assert_eq!(fresh, [told(0, 10, "0"), told(10, 20, "0.25")], "a new meter's zero is genuine");
}

#[test]
fn a_second_fall_replaces_the_first_as_what_may_be_a_reset() {
    let rows = rows([register()]);
    let falls = spans(&rows, &[(0, "100"), (10, "50"), (20, "3"), (30, "4"), (40, "6")]);
    assert_eq!(falls, [told(20, 30, "1"), told(30, 40, "2")]);
}

#[test]
fn a_rollover_without_a_limit_is_believed_near_the_end_alone() {
    let rows = rows([MeterRow { modulus: Some(n("1000")), ..register() }]);
    assert_eq!(spans(&rows, &[(0, "990"), (15, "5")]), [told(0, 15, "15")]);
    assert_eq!(spans(&rows, &[(0, "900"), (15, "100")]), [told(0, 15, "200")]);
    assert_eq!(spans(&rows, &[(0, "899"), (15, "5")]), []);
    assert_eq!(spans(&rows, &[(0, "990"), (15, "101")]), []);
}

#[test]
fn a_rollover_under_a_limit_is_whatever_is_possible() {
    let limited =
        |kw| rows([MeterRow { modulus: Some(n("1000")), max_power: Some(n(kw)), ..register() }]);
    assert_eq!(spans(&limited("600"), &[(0, "500"), (60, "5")]), [told(0, 60, "505")]);
    assert_eq!(spans(&limited("500"), &[(0, "500"), (60, "5")]), []);
    assert_eq!(spans(&limited("40"), &[(0, "990"), (30, "9")]), [told(0, 30, "19")]);
    assert_eq!(spans(&limited("40"), &[(0, "990"), (15, "9")]), []);
}

#[test]
fn bounds_are_told_in_the_unit_of_the_meter() {
    let limited =
        rows([MeterRow { modulus: Some(n("1000")), max_power: Some(n("40")), ..register() }]);
    let around = spans(&limited, &[(0, "990000 Wh"), (30, "9000 Wh")]);
    assert_eq!(around, [told(0, 30, "19")]);
    let jump = spans(&limited, &[(0, "100000 Wh"), (60, "150000 Wh"), (120, "110000 Wh")]);
    assert_eq!(jump, [told(0, 120, "10")]);
    let scaled = rows([MeterRow {
        modulus: Some(n("1000")),
        max_power: Some(n("40")),
        multiplier: n("20"),
        ..register()
    }]);
    assert_eq!(spans(&scaled, &[(0, "990"), (30, "9")]), [told(0, 30, "380")], "as read, x 20");
}

#[test]
fn a_jump_is_bounded_by_the_time_since_the_position_last_changed() {
    let rows = rows([MeterRow { max_power: Some(n("5")), ..register() }]);
    // 100 since minute 0: by minute 180 the supply can have delivered 15.
    let slept = spans(&rows, &[(0, "100"), (60, "100"), (180, "112")]);
    assert_eq!(slept, [told(0, 60, "0"), told(60, 180, "12")]);
    // 104 since minute 60: by minute 120 it can have delivered 5.
    let jump = spans(&rows, &[(0, "100"), (60, "104"), (120, "115"), (180, "108")]);
    assert_eq!(jump, [told(0, 60, "4"), told(60, 180, "4")]);
    // It stays up and goes on from there: the register was replaced and nobody said so.
    let stays = spans(&rows, &[(0, "100"), (60, "9000"), (120, "9003")]);
    assert_eq!(stays, [told(60, 120, "3")]);
    // Published: 15508.51 kWh booked in one 10 s cycle when a counter fell and recovered.
    let sem =
        spans(&rows, &[(0, "15508.51"), (1, "0"), (2, "0.02"), (3, "15508.6"), (4, "15508.65")]);
    assert_eq!(sem, [told(1, 2, "0.02"), told(3, 4, "0.05")]);
    let limit = spans(&rows, &[(0, "100"), (60, "105")]);
    assert_eq!(limit, [told(0, 60, "5")], "a register may run at its limit");
}

#[test]
fn a_new_row_from_a_date_is_an_exchange_or_a_move() {
    let until = Validity { to_ms: T0 + 2 * HOUR, ..Validity::ALWAYS };
    let from = Validity { from_ms: T0 + 2 * HOUR, ..Validity::ALWAYS };
    let with = |new: MeterRow| {
        rows([
            MeterRow { validity: until, ..register() },
            MeterRow { validity: from, revision: 1, ..new },
        ])
    };
    let fall = [(0, "1000"), (60, "1001"), (150, "0.5"), (180, "1.5")];
    let exchanged = [told(0, 60, "1"), told(150, 180, "1")];
    assert_eq!(spans(&with(register()), &fall), exchanged, "no glitch to be waited for");
    let goes_on = [(0, "1000"), (60, "1001"), (150, "1004"), (180, "1005")];
    let moved = MeterRow { node: Id(11), ..register() };
    assert_eq!(
        spans(&with(moved), &goes_on),
        [told(0, 60, "1"), told(60, 150, "3"), told(150, 180, "1")]
    );
    let other = MeterRow { multiplier: n("10"), ..register() };
    assert_eq!(spans(&with(other), &goes_on), [told(0, 60, "1"), told(150, 180, "10")]);
}

#[test]
fn a_register_reads_on_whatever_unit_its_values_are_sent_in() {
    let rows = rows([register()]);
    let mixed = spans(&rows, &[(0, "100"), (15, "101000 Wh"), (30, "0.103 MWh"), (45, "374.4 MJ")]);
    assert_eq!(mixed, [told(0, 15, "1"), told(15, 30, "2"), told(30, 45, "1")]);
}

#[test]
fn a_power_is_held_until_the_next_value_but_not_for_ever() {
    let rows = rows([row(MeterKind::Power)]);
    assert_eq!(spans(&rows, &[(0, "4"), (6, "0")]), [told(0, 6, "0.4"), told(6, 21, "0")]);
    // Published: a heater that reports on change. A trapezoid would spread 3 kW over the idle weeks.
    let weeks = 14 * 24 * 60;
    let heater = spans(&rows, &[(0, "0"), (weeks, "6"), (weeks + 10, "6"), (weeks + 20, "0")]);
    assert_eq!(
        heater,
        [
            told(0, 15, "0"),
            told(weeks, weeks + 10, "1"),
            told(weeks + 10, weeks + 20, "1"),
            told(weeks + 20, weeks + 35, "0"),
        ]
    );
    assert_eq!(spans(&rows, &[(0, "4"), (60, "4")]), [told(0, 15, "1"), told(60, 75, "1")]);
    assert_eq!(spans(&rows, &[(0, "4000 W")]), [told(0, 15, "1")]);
}

#[test]
fn a_hold_that_is_open_says_until_when() {
    let rows = rows([row(MeterKind::Power)]);
    let (mut held, mut scan) = (Vec::new(), Scan::new(&rows));
    scan.step(T0, &value("4"), &mut |span| held.push(span.held_until_ms));
    scan.step(T0 + MINUTE, &value("8"), &mut |span| {
        held.push(span.held_until_ms);
    });
    scan.finish(&mut |span| held.push(span.held_until_ms));
    assert_eq!(held, [0, T0 + 16 * MINUTE]);
}

#[test]
fn a_hold_ends_with_the_row_it_was_measured_under() {
    let ends = Validity { to_ms: T0 + 9 * MINUTE, ..Validity::ALWAYS };
    let rows = rows([MeterRow { validity: ends, ..row(MeterKind::Power) }]);
    assert_eq!(spans(&rows, &[(0, "4")]), [told(0, 9, "0.6")]);
}

#[test]
fn an_interval_stands_on_the_side_of_its_stamp_that_it_says() {
    let quarter = MeterRow { interval_ms: Some(15 * MINUTE), ..row(MeterKind::Interval) };
    let end = rows([quarter.clone()]);
    assert_eq!(spans(&end, &[(15, "2"), (60, "3")]), [told(0, 15, "2"), told(45, 60, "3")]);
    let start = rows([MeterRow { stamp: StampSide::Start, ..quarter }]);
    assert_eq!(spans(&start, &[(15, "2"), (60, "3")]), [told(15, 30, "2"), told(60, 75, "3")]);
    let since = rows([row(MeterKind::Interval)]);
    assert_eq!(
        spans(&since, &[(15, "2"), (60, "3")]),
        [told(15, 15, "2"), told(15, 60, "3")],
        "nobody can say since when the first one counts"
    );
}

#[test]
fn a_sender_that_says_from_and_to_is_believed() {
    let quarter = MeterRow { interval_ms: Some(15 * MINUTE), ..row(MeterKind::Interval) };
    let rows = rows([quarter]);
    let sent = Value { from_ms: Some(T0 + 10 * MINUTE), ..value("6") };
    let (mut found, mut scan) = (Vec::new(), Scan::new(&rows));
    scan.step(T0 + 70 * MINUTE, &sent, &mut |span| {
        found.push((span.from_ms, span.to_ms));
    });
    assert_eq!(found, [(T0 + 10 * MINUTE, T0 + 70 * MINUTE)]);
}

#[test]
fn an_end_stamp_reads_under_the_row_before_it() {
    let quarter = MeterRow { interval_ms: Some(15 * MINUTE), ..row(MeterKind::Interval) };
    let boundary = T0 + HOUR;
    let rows = rows([
        MeterRow { validity: Validity { to_ms: boundary, ..Validity::ALWAYS }, ..quarter.clone() },
        MeterRow {
            validity: Validity { from_ms: boundary, ..Validity::ALWAYS },
            multiplier: n("10"),
            revision: 1,
            ..quarter
        },
    ]);
    assert_eq!(spans(&rows, &[(60, "2"), (75, "2")]), [told(45, 60, "2"), told(60, 75, "20")]);
}

#[test]
fn what_cannot_be_booked_says_why_and_is_passed_over() {
    let later = Validity { from_ms: T0 + HOUR, ..Validity::ALWAYS };
    let rows = rows([MeterRow { validity: later, ..register() }]);
    assert_eq!(usable(&rows, T0, &value("1")), Err(Unusable::Unregistered));
    let wrong = Value { unit: Some(u("m3")), ..value("1") };
    let mismatch = UnitError::Mismatch { from: u("m3"), to: u("kWh") };
    assert_eq!(usable(&rows, T0 + HOUR, &wrong), Err(Unusable::Unit(mismatch)));
    let huge = usable(&rows, T0 + HOUR, &value("10000000000"));
    assert!(matches!(huge, Err(Unusable::Unit(UnitError::OutOfRange { .. }))));
    let unit_less = self::rows([MeterRow { unit: None, ..register() }]);
    assert_eq!(usable(&unit_less, T0, &value("1")), Err(Unusable::NoUnit));
    let skipped = spans(&rows, &[(0, "1"), (60, "100"), (75, "7 m3"), (90, "102")]);
    assert_eq!(skipped, [told(60, 90, "2")]);
}
