//! Tests of what the horizon passes that contracts match as a whole.

use super::*;
use plumeline_pipelines::model::time::DAY_MS;
use plumeline_pipelines::model::{
    Calendar, CertificateRow, GwpSet, Id, Matching, Retain, Supply, Validity,
};

/// Months of 30 days since 1970, so years of 360; the horizon lies two days back.
fn policy() -> Policy {
    let months = (0..=48).map(|month| month * 30 * DAY_MS).collect();
    Policy {
        period_ms: 3_600_000,
        grace_ms: 0,
        retain: Retain::of(2 * DAY_MS),
        samples_ms: DAY_MS,
        windows_ms: Vec::new(),
        calendar: Calendar::new("Etc/UTC", months, Vec::new()),
        gwp: GwpSet::Ar6,
    }
}

fn contract(id: u32, matching: Matching) -> ContractRow {
    ContractRow {
        contract: Id(id),
        name: id.to_string(),
        node: Id(1),
        covers: Id(2),
        factor: Id(3),
        supply: Supply::Any,
        priority: 0,
        zone: Id(4),
        matching,
        evidence: [Id(5); 5],
        validity: Validity::ALWAYS,
        revision: 0,
    }
}

fn learned(rows: &[ContractRow]) -> Vec<(Fact, i64)> {
    rows.iter().map(|row| (Fact::Contract(row.clone()), 1)).collect()
}

/// What is told at a day: contract, from and to, and when it was learned, days.
fn told(closing: &mut Closing, day: i64) -> Vec<(u32, i64, i64, i64)> {
    let policy = policy();
    if !closing.has_moved(&policy, day * DAY_MS) {
        return Vec::new();
    }
    let over = closing.pass(&policy, day * DAY_MS, 10 * DAY_MS);
    let days = |ms: i64| ms / DAY_MS;
    let row = |entry: PendingEntry| {
        let PendingEntry { subject, from_ms, to_ms, learned_ms, .. } = entry;
        (subject.0, days(from_ms), days(to_ms), days(learned_ms))
    };
    over.into_iter().map(row).collect()
}

#[test]
fn a_month_and_a_year_wait_once_the_horizon_has_passed_them_and_once_only() {
    let mut closing = Closing::new(None);
    let half_hourly = contract(1, Matching::Hourly1);
    let rows = [half_hourly, contract(2, Matching::Monthly1), contract(3, Matching::Annual1)];
    closing.learn(&learned(&rows));
    assert_eq!(told(&mut closing, 20), []);
    assert_eq!(told(&mut closing, 31), [], "its last day is retained");
    // Of the first month what lies before the ledger's beginning is no matter; it was learned when the horizon moved.
    assert_eq!(told(&mut closing, 33), [(2, 10, 30, 32)]);
    assert_eq!(told(&mut closing, 34), []);
    let of_the_year = told(&mut closing, 400);
    assert_eq!(of_the_year.first(), Some(&(2, 30, 60, 62)));
    assert_eq!(of_the_year.len(), 13, "twelve months and the year: {of_the_year:?}");
    assert_eq!(of_the_year.last(), Some(&(3, 10, 360, 362)));
}

#[test]
fn a_certificate_reaches_all_of_a_window_that_is_over() {
    let (policy, mut closing) = (policy(), Closing::new(None));
    closing.learn(&learned(&[contract(2, Matching::Annual1), contract(3, Matching::Hourly1)]));
    let of = |contract: u32, day: i64, now: i64| {
        let given = CertificateRow {
            certificate: Id(9),
            contract: Id(contract),
            zone: Id(4),
            device: Id::NONE,
            wh: 1,
            issued_wh: 1,
            retired: Id(5),
            validity: Validity { from_ms: day * DAY_MS, to_ms: (day + 1) * DAY_MS },
            revision: 0,
        };
        let place = (10 * DAY_MS, now * DAY_MS);
        let entry = closing.of_certificate(&policy, &Fact::Certificate(given), place)?;
        Some((entry.from_ms / DAY_MS, entry.to_ms / DAY_MS, entry.learned_ms / DAY_MS))
    };
    assert_eq!(of(2, 5, 400), Some((10, 360, 400)));
    assert_eq!(of(2, 5, 361), None, "the year is told when it is over");
    assert_eq!(of(3, 5, 400), None, "an hour reaches no further than itself");
}

#[test]
fn after_a_restart_it_goes_on_where_the_ledger_is() {
    let mut closing = Closing::new(Some(361 * DAY_MS));
    closing.learn(&learned(&[contract(3, Matching::Annual1)]));
    assert_eq!(told(&mut closing, 362), [(3, 10, 360, 362)]);
    let mut closing = Closing::new(Some(362 * DAY_MS));
    closing.learn(&learned(&[contract(3, Matching::Annual1)]));
    assert_eq!(told(&mut closing, 500), [], "the cut of that day has told");
}

#[test]
fn contracts_that_are_withdrawn_or_prove_nothing_or_do_not_hold_then_wait_for_nothing() {
    let mut closing = Closing::new(Some(300 * DAY_MS));
    let mut unproven = contract(2, Matching::Annual1);
    unproven.evidence[0] = Id::NONE;
    let validity = Validity { from_ms: 370 * DAY_MS, ..Validity::ALWAYS };
    let later = ContractRow { validity, ..contract(3, Matching::Annual1) };
    let withdrawn = contract(4, Matching::Annual1);
    closing.learn(&learned(&[unproven, later, withdrawn.clone()]));
    closing.learn(&[(Fact::Contract(withdrawn), -1)]);
    assert_eq!(told(&mut closing, 365), []);
    assert_eq!(told(&mut closing, 722), [(3, 370, 720, 722)]);
}
