//! A meter fed tick by tick: the order in which its values arrive must not show in what they come to.

use std::collections::BTreeMap;

use differential_dataflow::difference::{IsZero, Semigroup};
use proptest::prelude::*;

use super::{HOUR, MINUTE, T0, n, register, row, u, value};
use crate::model::{
    Arrival, Calendar, Decimal, GwpSet, Id, Measure, MeterKind, MeterRow, Period, Policy, Retain,
};
use crate::stages::metering::{Booking, Changes, Meter, Offered, Piece1, Value};

fn policy() -> Policy {
    Policy {
        period_ms: 15 * MINUTE,
        grace_ms: 0,
        retain: Retain::of(40 * 24 * HOUR),
        samples_ms: 40 * 24 * HOUR,
        windows_ms: Vec::new(),
        calendar: Calendar::default(),
        gwp: GwpSet::Ar6,
    }
}

/// A meter fed tick by tick, and the activity its changes add up to.
struct Fed {
    meter: Meter,
    policy: Policy,
    activity: BTreeMap<Piece1, Measure>,
}

impl Fed {
    fn under(row: MeterRow) -> Self {
        let mut fed = Self { meter: Meter::default(), policy: policy(), activity: BTreeMap::new() };
        let mut pieces = Vec::new();
        let booking = Booking { meter: Id(1), policy: &fed.policy, first: Period::default() };
        let cured = fed.meter.change_rows(&[(row, 1)], booking, &mut |piece| pieces.push(piece));
        assert!(cured.is_empty() && pieces.is_empty());
        fed
    }

    /// One tick of claims; says what became of them.
    fn tick(&mut self, mut claims: Vec<(i64, Option<Value>)>) -> Vec<Offered> {
        claims.sort_by_key(|(at_ms, _)| *at_ms);
        let booking = Booking { meter: Id(1), policy: &self.policy, first: Period::default() };
        let mut changes = Changes::default();
        let meter = &mut self.meter;
        let offer =
            |(at_ms, value)| meter.offer(&mut changes, (at_ms, 0, value), Arrival::default());
        let offered = claims.into_iter().map(offer).collect();
        let activity = &mut self.activity;
        meter.apply(&mut changes, booking, &mut |(key, measure)| {
            let balance = activity.entry(key).or_default();
            balance.plus_equals(&measure);
            if balance.is_zero() {
                activity.remove(&key);
            }
        });
        offered
    }

    fn total(&self) -> i128 {
        self.activity.values().map(|measure| measure.amount.get()).sum()
    }
}

#[test]
fn a_meter_knows_a_duplicate_and_a_correction() {
    let mut fed = Fed::under(register());
    let at = |minute| T0 + minute * MINUTE;
    fed.tick(vec![(at(0), Some(value("100"))), (at(15), Some(value("101")))]);
    assert_eq!(fed.tick(vec![(at(15), Some(value("101.0")))]), [Offered::Duplicate]);
    assert_eq!(fed.tick(vec![(at(15), Some(value("103")))]), [Offered::Booked]);
    assert_eq!(fed.total(), 3_000_000_000);
    assert_eq!(fed.tick(vec![(at(15), Some(value("101")))]), [Offered::Duplicate]);
    assert_eq!(fed.total(), 3_000_000_000);
    fed.tick(vec![(at(15), None)]);
    assert_eq!(fed.activity, BTreeMap::new());
}

/// Values at distinct instants, in order; the same in an order of arrival; and how they fall into ticks.
type Arrivals = (Vec<(i64, Value)>, Vec<(i64, Value)>, Vec<usize>);

fn arrivals(numbers: impl Strategy<Value = i128>) -> impl Strategy<Value = Arrivals> {
    let value = numbers.prop_map(|number| Value { number: Decimal::new(number, 1), ..value("0") });
    let values = prop::collection::btree_map(0_i64..3000, value, 1..40);
    values.prop_flat_map(|values| {
        let values: Vec<_> = values.into_iter().map(|(m, v)| (T0 + m * MINUTE, v)).collect();
        let ticks = prop::collection::vec(1_usize..6, values.len());
        (Just(values.clone()), Just(values).prop_shuffle(), ticks)
    })
}

fn in_ticks(fed: &mut Fed, values: &[(i64, Value)], ticks: &[usize]) {
    let mut rest = values;
    for tick in ticks.iter().copied() {
        let (now, later) = rest.split_at(tick.min(rest.len()));
        fed.tick(now.iter().map(|(at_ms, value)| (*at_ms, Some(*value))).collect());
        rest = later;
    }
    assert!(rest.is_empty(), "a tick for each value");
}

fn kinds() -> impl Strategy<Value = MeterRow> {
    let plain =
        prop_oneof![Just(register()), Just(row(MeterKind::Power)), Just(row(MeterKind::Interval)),];
    (plain, any::<bool>(), any::<bool>()).prop_map(|(row, around, limited)| MeterRow {
        modulus: around.then(|| n("100")),
        max_power: limited.then(|| n("3")),
        ..row
    })
}

proptest! {
    #[test]
    fn a_register_adds_up_to_last_minus_first_in_any_order(
        (values, arrived, ticks) in arrivals(0_i128..500),
    ) {
        // The position of each instant: the sum of the advances before it.
        let mut position = 1000;
        let mut positions = BTreeMap::new();
        for (at_ms, advance) in &values {
            position += advance.number.mantissa() * if advance.number.scale() == 0 { 10 } else { 1 };
            positions.insert(*at_ms, Value { number: Decimal::new(position, 1), ..value("0") });
        }
        let arrived: Vec<_> = arrived.iter().map(|(at_ms, _)| (*at_ms, positions[at_ms])).collect();
        let mut fed = Fed::under(register());
        in_ticks(&mut fed, &arrived, &ticks);
        let scaled = |v: &Value| u("kWh").amount(v.number, Decimal::ONE).expect("in range");
        let (first, last) = (positions.values().next(), positions.values().next_back());
        prop_assert_eq!(fed.total(), scaled(last.unwrap()) - scaled(first.unwrap()));
    }

    #[test]
    fn any_values_in_any_order_come_to_what_they_come_to_in_order(
        row in kinds(),
        (values, arrived, ticks) in arrivals(0_i128..1000),
    ) {
        let (mut ordered, mut shuffled) = (Fed::under(row.clone()), Fed::under(row));
        ordered.tick(values.iter().map(|(at_ms, value)| (*at_ms, Some(*value))).collect());
        in_ticks(&mut shuffled, &arrived, &ticks);
        prop_assert_eq!(&ordered.activity, &shuffled.activity);
        shuffled.tick(values.iter().map(|(at_ms, _)| (*at_ms, None)).collect());
        prop_assert_eq!(shuffled.activity, BTreeMap::new());
    }
}
