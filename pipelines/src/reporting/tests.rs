//! Shares by hand: what counts at which node, when.

use super::*;
use crate::model::time::{DAY_MS, HOUR_MS};
use crate::model::{Calendar, Cause, Decimal, GwpSet, MeterKind, Retain, StampSide, ToDate};

const START_MS: i64 = 30 * DAY_MS;
const PERIOD_MS: i64 = 900_000;
const COMPANY: Id = Id(1);
const NORTH: Id = Id(2);
const SOUTH: Id = Id(3);

fn policy() -> Policy {
    Policy {
        period_ms: PERIOD_MS,
        grace_ms: 0,
        retain: Retain::of(DAY_MS),
        samples_ms: DAY_MS,
        windows_ms: vec![HOUR_MS, DAY_MS],
        calendar: Calendar::default(),
        gwp: GwpSet::Ar6,
    }
}

fn node(node: Id, parent: Id) -> Fact {
    Fact::Node(NodeRow { node, parent, name: Id::NONE, validity: Validity::ALWAYS, revision: 0 })
}

fn meter(meter: u32, node: Id, expected_every_ms: Option<i64>) -> Fact {
    Fact::Meter(MeterRow {
        meter: Id(100 + meter),
        node,
        kind: MeterKind::Register,
        unit: None,
        multiplier: Decimal::ONE,
        stamp: StampSide::End,
        interval_ms: None,
        max_hold_ms: 0,
        modulus: None,
        max_power: None,
        expected_every_ms,
        factor: Id::NONE,
        validity: Validity::ALWAYS,
        revision: 0,
    })
}

/// A company of two sites with two meters each.
fn company() -> Reporting {
    let mut reporting = Reporting::new(policy());
    let tree = [node(COMPANY, Id::NONE), node(NORTH, COMPANY), node(SOUTH, COMPANY)];
    let meters = [0, 1, 2, 3].map(|n| meter(n, if n < 2 { NORTH } else { SOUTH }, None));
    reporting.learn(tree.into_iter().chain(meters).map(|fact| (fact, 1)));
    reporting
}

fn at(ms: i64) -> Tick {
    Tick::new(START_MS + ms, Cause::Cut)
}

fn hear(reporting: &mut Reporting, meter: u32, ms: i64) {
    reporting.hear(Id(100 + meter), Some(policy().period_of(START_MS + ms)));
}

/// All that was handed out, kept up.
#[derive(Default)]
struct Shown(BTreeMap<ShareKey, Share>);

impl Shown {
    fn take(&mut self, reporting: &mut Reporting, tick: Tick) -> usize {
        let changes = reporting.changes(tick);
        let count = changes.len();
        for (key, share) in changes {
            match share {
                Some(share) => self.0.insert(key, share),
                None => self.0.remove(&key),
            };
        }
        count
    }

    /// Of the company, the north and the south: heard of, expected.
    fn of(&self, window: u8) -> [(u64, u64); 3] {
        [COMPANY, NORTH, SOUTH].map(|node| {
            let share = self.0.get(&ShareKey { window, node });
            share.map_or((0, 0), |share| (share.heard, share.expected))
        })
    }
}

#[test]
fn a_site_that_falls_silent_shows_in_its_node_and_above() {
    let (mut reporting, mut shown) = (company(), Shown::default());
    shown.take(&mut reporting, at(0));
    assert_eq!(shown.of(1), [(0, 4), (0, 2), (0, 2)], "who never reported is expected");
    assert_eq!(shown.0[&ShareKey { window: 1, node: SOUTH }].depth, 1);
    for meter in 0..4 {
        hear(&mut reporting, meter, 0);
    }
    assert_eq!(shown.take(&mut reporting, at(1)), 6, "three nodes in two windows");
    assert_eq!(shown.of(1), [(4, 4), (2, 2), (2, 2)]);
    hear(&mut reporting, 0, HOUR_MS);
    hear(&mut reporting, 1, HOUR_MS);
    assert_eq!(shown.take(&mut reporting, at(HOUR_MS)), 0, "nothing differs yet");
    shown.take(&mut reporting, at(HOUR_MS + PERIOD_MS - 1));
    assert_eq!(shown.of(1), [(4, 4), (2, 2), (2, 2)], "it was heard of at the window's begin");
    shown.take(&mut reporting, at(HOUR_MS + PERIOD_MS));
    assert_eq!(shown.of(1), [(2, 4), (2, 2), (0, 2)]);
    assert_eq!(shown.of(2), [(4, 4), (2, 2), (2, 2)], "a day is longer");
    reporting.hear(Id(100), None);
    shown.take(&mut reporting, at(HOUR_MS + PERIOD_MS));
    assert_eq!(shown.of(1), [(1, 4), (1, 2), (0, 2)], "what it said was withdrawn");
}

#[test]
fn a_meter_is_not_silent_before_its_next_reading_is_due() {
    let (mut reporting, mut shown) = (Reporting::new(policy()), Shown::default());
    reporting.learn([(meter(0, NORTH, Some(7 * DAY_MS)), 1), (meter(1, SOUTH, None), 1)]);
    hear(&mut reporting, 0, 0);
    hear(&mut reporting, 1, 0);
    shown.take(&mut reporting, at(7 * DAY_MS + PERIOD_MS - 1));
    assert_eq!(shown.of(1), [(0, 0), (1, 1), (0, 1)]);
    shown.take(&mut reporting, at(7 * DAY_MS + PERIOD_MS));
    assert_eq!(shown.of(1), [(0, 0), (0, 1), (0, 1)]);
}

#[test]
fn what_is_not_expected_any_more_is_not_shown() {
    let (mut reporting, mut shown) = (company(), Shown::default());
    shown.take(&mut reporting, at(0));
    reporting.learn([(meter(2, SOUTH, None), -1), (meter(3, SOUTH, None), -1)]);
    shown.take(&mut reporting, at(1));
    assert_eq!(shown.of(1), [(0, 2), (0, 2), (0, 0)]);
    assert!(!shown.0.contains_key(&ShareKey { window: 1, node: SOUTH }));
    // A row that comes and goes within a tick, in either order, was never there.
    reporting.learn([(meter(2, SOUTH, None), -1), (meter(2, SOUTH, None), 1)]);
    assert_eq!(shown.take(&mut reporting, at(2)), 0);
    reporting.learn([(node(SOUTH, COMPANY), -1), (node(NORTH, COMPANY), -1)]);
    shown.take(&mut reporting, at(3));
    assert_eq!(shown.of(1), [(0, 0), (0, 2), (0, 0)]);
    assert_eq!(shown.0[&ShareKey { window: 1, node: NORTH }].depth, 0, "a root of its own");
}

#[test]
fn what_is_heard_before_all_is_counted_anew_is_not_forgotten() {
    let (mut reporting, mut shown) = (company(), Shown::default());
    shown.take(&mut reporting, at(0));
    hear(&mut reporting, 0, 0);
    shown.take(&mut reporting, at(PERIOD_MS));
    assert_eq!(shown.of(1), [(1, 4), (1, 2), (0, 2)]);
}

#[test]
fn windows_to_date_begin_with_their_month() {
    // It begins within a period, which is of the month before.
    let month_ms = START_MS + HOUR_MS + PERIOD_MS / 3;
    let months = (0..=12).map(|month| if month == 0 { 0 } else { month_ms + (month - 1) * DAY_MS });
    let calendar = Calendar::new("Test/Thirds", months.collect(), vec![ToDate::Month]);
    let policy = Policy { calendar, windows_ms: vec![DAY_MS], ..policy() };
    let first = |ms: i64| first_periods(&policy, policy.period_of(START_MS + ms));
    let period = |ms: i64| policy.period_of(START_MS + ms);
    let earliest = policy.period_of(0);
    assert_eq!(first(HOUR_MS), [(1, period(HOUR_MS - DAY_MS)), (2, earliest)]);
    let next = HOUR_MS + PERIOD_MS;
    assert_eq!(first(next), [(1, period(next - DAY_MS)), (2, period(next))]);
    assert_eq!(first(next + HOUR_MS)[1], (2, period(next)));
    assert_eq!(first(40 * DAY_MS), [(1, period(39 * DAY_MS))], "outside of the calendar");
}
