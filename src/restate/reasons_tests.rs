//! Tests of what is told of an emission whose activity did not change.

use plumeline_pipelines::model::time::DAY_MS;
use plumeline_pipelines::model::{
    ActivityRecord, Arrival, Calendar, Decimal, FactorChange, FactorRow, FactorStatus, Gas, GwpSet,
    MeterKind, Method, Quality, Retain, SeriesKind, SeriesRow, StampSide, Total, Validity, Vintage,
};
use plumeline_pipelines::stages::rates::library::Choice;

use super::*;

/// The day on which something was emitted, in ms; the horizon passes it ten days later.
const START_MS: i64 = 1_767_225_600_000;
const GRID: Id = Id(7);
const METER: Id = Id(1);
const PASSED_MS: i64 = START_MS + 11 * DAY_MS;

pub(in crate::restate) fn policy() -> Policy {
    Policy {
        period_ms: DAY_MS,
        grace_ms: 0,
        retain: Retain::of(10 * DAY_MS),
        samples_ms: DAY_MS,
        windows_ms: Vec::new(),
        calendar: Calendar::default(),
        gwp: GwpSet::Ar6,
    }
}

fn unit() -> Unit {
    Unit::parse("kWh").unwrap()
}

pub(in crate::restate) fn factor(revision: i64, kg: &str) -> FactorRow {
    FactorRow {
        factor: GRID,
        revision,
        scope: 2,
        category: 0,
        method: Method::Any,
        gas: Gas::Co2,
        kg_per_unit: Decimal::parse(kg).unwrap(),
        unit: unit(),
        published_gwp: None,
        status: FactorStatus::Final,
        change: FactorChange::Revised,
        validity: Validity { from_ms: 0, to_ms: i64::MAX },
        source: Id::NONE,
    }
}

pub(in crate::restate) fn meter_row(revision: i64, factor: Id) -> MeterRow {
    MeterRow {
        meter: METER,
        node: Id(2),
        kind: MeterKind::Interval,
        unit: Some(unit()),
        multiplier: Decimal::ONE,
        stamp: StampSide::End,
        interval_ms: None,
        max_hold_ms: DAY_MS,
        modulus: None,
        max_power: None,
        expected_every_ms: None,
        factor,
        validity: Validity { from_ms: 0, to_ms: i64::MAX },
        revision,
    }
}

fn learned(at_ms: i64, fact: Fact) -> FactEntry {
    FactEntry { fact, withdrawn: false, learned_ms: at_ms }
}

/// Why the emission changes that was booked by `then`, once `later` was learned after the horizon passed it.
fn told(then: &[FactorRow], later: Vec<Fact>) -> Option<Reason> {
    told_of(then, |history| {
        for fact in later {
            history.learn(&learned(PASSED_MS + 1, fact));
        }
    })
}

fn told_of(then: &[FactorRow], later: impl FnOnce(&mut History)) -> Option<Reason> {
    let (policy, mut history, mut library) = (policy(), History::default(), Library::default());
    let period = policy.period_of(START_MS);
    assert_eq!(policy.passed_ms(period), PASSED_MS);
    for row in then {
        history.learn(&learned(START_MS, Fact::Factor(row.clone())));
        library.update(&Fact::Factor(row.clone()), 1);
    }
    let choice: Choice = library.choose((GRID, unit(), period), (&policy, policy.gwp));
    let lines: Booked = choice.lines.iter().map(|(line, _)| (choice.factor, *line)).collect();
    later(&mut history);
    let [meter, activity] = [Subject::Meter(METER), Subject::Activity(Id(1))]
        .map(|subject| (subject, period, Id(2), unit()));
    history.learn(&learned(START_MS, Fact::Meter(meter_row(1, GRID))));
    let groups: BTreeMap<Group, Booked> = [(meter, lines.clone()), (activity, lines)].into();
    let mut reasons = history.reasons(&policy, groups, &BTreeMap::from([(Id(1), GRID)]));
    let is_moved = history.meters[&METER].len() > 1;
    assert!(is_moved || reasons.get(&activity) == reasons.get(&meter));
    reasons.remove(&meter)
}

#[test]
fn a_factor_says_of_itself_why_it_changed() {
    let first = || [factor(1, "0.5")];
    let later = |row: FactorRow| told(&first(), vec![Fact::Factor(row)]);
    assert_eq!(later(factor(2, "0.4")), Some(Reason::FactorRevised));
    let error = FactorRow { change: FactorChange::Error, ..factor(2, "0.4") };
    assert_eq!(later(error), Some(Reason::FactorError));
    let mut vintage = factor(2, "0.4");
    vintage.validity.from_ms = START_MS - DAY_MS;
    assert_eq!(later(vintage), Some(Reason::FactorNewVintage));
    assert_eq!(told(&[], vec![Fact::Factor(factor(1, "0.5"))]), Some(Reason::FactorNewVintage));
}

#[test]
fn another_rule_of_its_series_is_another_method() {
    let first = FactorRow { published_gwp: Some(GwpSet::Ar6), ..factor(1, "0.5") };
    let total = FactorRow { gas: Gas::Co2e, kg_per_unit: Decimal::ONE, ..first.clone() };
    let series = SeriesRow {
        factor: GRID,
        kind: SeriesKind::Locked,
        vintage: Vintage::Calendar,
        year_begins: 1,
        total: Total::Printed,
        fallback: Id::NONE,
        validity: Validity::ALWAYS,
        revision: 1,
    };
    let printed = told(&[first, total], vec![Fact::Series(series)]);
    assert_eq!(printed, Some(Reason::MethodChange));
}

#[test]
fn a_meter_under_another_factor_is_another_method() {
    let other = Id(8);
    let finer = FactorRow { factor: other, ..factor(1, "0.3") };
    let later = vec![Fact::Factor(finer), Fact::Meter(meter_row(2, other))];
    assert_eq!(told(&[factor(1, "0.5")], later), Some(Reason::MethodChange));
}

#[test]
fn an_activity_that_was_said_under_two_factors_has_none() {
    let said = |activity, factor| {
        Record::Activity(ActivityRecord {
            activity: Id(activity),
            node: Id(2),
            factor: Id(factor),
            from_ms: START_MS,
            to_ms: START_MS + DAY_MS,
            value: Some(Decimal::ONE),
            unit: unit(),
            version: 0,
            quality: Quality::Measured,
            arrival: Arrival::default(),
        })
    };
    let factors = factors_of(&[said(1, 7), said(1, 7), said(2, 7), said(2, 8)]);
    assert_eq!(factors, BTreeMap::from([(Id(1), Id(7))]));
}

#[test]
fn a_revision_that_was_taken_back_is_a_revision() {
    let reason = told_of(&[factor(1, "0.5"), factor(2, "0.4")], |history| {
        let fact = Fact::Factor(factor(2, "0.4"));
        history.learn(&FactEntry { fact, withdrawn: true, learned_ms: PASSED_MS + 1 });
    });
    assert_eq!(reason, Some(Reason::FactorRevised));
}

#[test]
fn what_was_known_then_follows_from_the_newest_restatement_that_covered_it() {
    let error = || FactorRow { change: FactorChange::Error, ..factor(2, "0.4") };
    let known =
        |to_ms| RestatedEntry { known_ms: PASSED_MS + 5, to_ms, ..RestatedEntry::default() };
    let then = |to_ms| {
        // The error was corrected and booked by a restatement; then there was another revision.
        told_of(&[factor(1, "0.5"), error()], |history| {
            history.learned[1].0 = PASSED_MS + 1;
            history.restated(&known(to_ms));
            history.learn(&learned(PASSED_MS + 9, Fact::Factor(factor(3, "0.3"))));
        })
    };
    assert_eq!(then(START_MS + DAY_MS), Some(Reason::FactorRevised));
    // One that ended before it says nothing of it, and what was known when it passed does not lead to what is booked.
    assert_eq!(then(START_MS), None);
}

#[test]
fn lines_that_nothing_leads_to_are_not_told() {
    let reason = told_of(&[factor(1, "0.5")], |history| {
        history.learned.clear();
        history.learn(&learned(START_MS, Fact::Factor(factor(1, "0.6"))));
        history.learn(&learned(PASSED_MS + 1, Fact::Factor(factor(2, "0.7"))));
    });
    assert_eq!(reason, None);
}
