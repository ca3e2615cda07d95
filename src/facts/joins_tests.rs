//! Tests of the rules between tables.

use jiff::tz::TimeZone;
use plumeline_pipelines::model::time::{DAY_MS, LATEST_MS};
use plumeline_pipelines::model::{Decimal, Gas, Method, Names, StampSide};

use super::super::row::held_in;
use super::*;

const START_MS: i64 = 1_767_225_600_000; // 2026-01-01
const ALWAYS: Validity = Validity::ALWAYS;

fn from_day(day: i64) -> Validity {
    Validity { from_ms: START_MS + day * DAY_MS, to_ms: LATEST_MS }
}

struct World {
    names: Names,
    books: Books,
    line: usize,
    origin: Origin,
    come_later: bool,
}

impl World {
    /// Node `site`, factor `grid` of co2 per kWh.
    fn new() -> Self {
        let world = Self {
            names: Names::new(),
            books: Books::default(),
            line: 1,
            origin: Origin::File,
            come_later: false,
        };
        world.node("site", "", ALWAYS).factor("grid", "kWh", "0.4", ALWAYS)
    }

    fn place<R>(&mut self, file: &str, row: R) -> Held<R> {
        self.line += 1;
        held_in(file, self.line, self.origin, row)
    }

    fn node(mut self, node: &str, parent: &str, validity: Validity) -> Self {
        let [node, parent] = [node, parent].map(|name| self.names.intern(name));
        let row = NodeRow { node, parent, name: Id::NONE, validity, revision: 0 };
        let held = self.place("n.csv", row);
        self.books.nodes.entry(node).or_default().push(held);
        self
    }

    fn factor(mut self, factor: &str, unit: &str, kg: &str, validity: Validity) -> Self {
        let factor = self.names.intern(factor);
        let row = FactorRow {
            factor,
            revision: 0,
            scope: 2,
            category: 0,
            method: Method::Any,
            gas: Gas::Co2,
            kg_per_unit: Decimal::parse(kg).unwrap(),
            unit: Unit::parse(unit).unwrap(),
            published_gwp: None,
            status: plumeline_pipelines::model::FactorStatus::Final,
            change: plumeline_pipelines::model::FactorChange::Revised,
            validity,
            source: Id::NONE,
        };
        let held = self.place("f.csv", row);
        self.books.factors.entry(factor).or_default().push(held);
        self
    }

    fn meter(self, meter: &str, [node, unit, factor]: [&str; 3], validity: Validity) -> Self {
        self.counting(MeterKind::Interval, meter, [node, unit, factor], validity)
    }

    fn counting(
        mut self,
        kind: MeterKind,
        meter: &str,
        [node, unit, factor]: [&str; 3],
        validity: Validity,
    ) -> Self {
        let [meter, node, factor] = [meter, node, factor].map(|name| self.names.intern(name));
        let row = MeterRow {
            meter,
            node,
            kind,
            unit: Unit::parse(unit).ok(),
            multiplier: Decimal::ONE,
            stamp: StampSide::End,
            interval_ms: None,
            max_hold_ms: 900_000,
            modulus: None,
            max_power: None,
            expected_every_ms: None,
            factor,
            validity,
            revision: 0,
        };
        let held = self.place("m.csv", row);
        self.books.meters.entry(meter).or_default().push(held);
        self
    }

    fn problems(&self) -> Vec<String> {
        let mut problems = Problems::new();
        let words = Words { names: &self.names, timezone: &TimeZone::UTC };
        let (gwp, later) = (GwpSet::Ar6, self.come_later);
        let setting = Setting {
            words,
            gwp,
            factors_come_later: later,
            nodes_come_later: later,
            prices_come_later: later,
        };
        joins(&self.books, setting, &mut problems);
        problems.iter().map(ToString::to_string).collect()
    }

    /// Asserts that there is one problem, and that it starts so.
    fn only(&self, expected: &str) {
        let problems = self.problems();
        assert_eq!(problems.len(), 1, "{problems:?}");
        assert!(problems[0].starts_with(expected), "{}", problems[0]);
    }
}

#[test]
fn tables_that_join_up_are_silent() {
    let world = World::new()
        .meter("m", ["site", "MWh", "grid"], from_day(0))
        .meter("bare", ["site", "m3", ""], from_day(0))
        .counting(MeterKind::Power, "p", ["site", "kW", "grid"], from_day(0));
    assert_eq!(world.problems(), [""; 0]);
}

#[test]
fn what_is_missing_is_named_with_what_was_probably_meant() {
    let world = World::new().meter("m", ["sitte", "kWh", "grid"], ALWAYS);
    world.only(
        "m.csv:4: error: node: meter \"m\" names node \"sitte\", which is in no table\n    did you mean \"site\"?",
    );
    World::new()
        .meter("m", ["site", "kWh", "gird"], ALWAYS)
        .only("m.csv:4: error: factor: meter \"m\" names factor \"gird\", which is in no table");
    World::new()
        .node("child", "nobody", ALWAYS)
        .only("n.csv:4: error: parent: node \"child\" names node \"nobody\", which is in no table");
}

#[test]
fn what_may_come_from_a_topic_is_not_missed() {
    let mut world = World::new().meter("m", ["later", "kWh", "later"], ALWAYS);
    world.come_later = true;
    assert_eq!(world.problems(), [""; 0]);
}

#[test]
fn rows_of_topics_are_not_judged() {
    let mut world = World::new();
    world.origin = Origin::Source(0);
    assert_eq!(world.meter("m", ["nowhere", "kg", "grid"], ALWAYS).problems(), [""; 0]);
}

#[test]
fn a_unit_must_convert_into_that_of_the_factor() {
    World::new().meter("m", ["site", "m3", "grid"], ALWAYS).only(
        "m.csv:4: error: unit: meter \"m\" books `m3` (volume), which does not convert into `kWh` (energy) \
         of factor \"grid\" (f.csv:3)",
    );
    World::new()
        .counting(MeterKind::Power, "m", ["site", "m3/h", "grid"], ALWAYS)
        .only("m.csv:4: error: unit: meter \"m\" books `m3` (volume), which does not convert");
    let mut world = World::new();
    world.origin = Origin::Source(3);
    world = world.factor("gas", "kg", "1", ALWAYS);
    world.origin = Origin::File;
    world.meter("m", ["site", "m3", "gas"], ALWAYS).only("m.csv:5: warning: unit: ");
}

#[test]
fn validities_must_meet_and_should_cover() {
    World::new().factor("new", "kWh", "1", from_day(31)).meter("m", ["site", "kWh", "new"], from_day(0)).only(
        "m.csv:5: warning: factor: factor \"new\" of meter \"m\" does not hold from 2026-01-01 to 2026-02-01",
    );
    // Without valid_from a row holds from the beginning: that a factor does not is no news.
    let world = World::new().factor("new", "kWh", "1", from_day(0));
    assert_eq!(world.meter("m", ["site", "kWh", "new"], ALWAYS).problems(), [""; 0]);
    let past = Validity { from_ms: 0, to_ms: START_MS };
    World::new()
        .node("old", "", past)
        .meter("m", ["old", "kWh", "grid"], from_day(0))
        .only("m.csv:5: error: node: node \"old\" of meter \"m\" holds at no time from 2026-01-01 to the open end");
}

#[test]
fn rates_must_fit_their_integers() {
    // 50,000 kg per MJ fit, and are 180,000 kg per kWh, in which the meter books.
    let world = World::new().factor("hot", "MJ", "50000", ALWAYS);
    world.meter("m", ["site", "kWh", "hot"], ALWAYS).only(
        "f.csv:4: error: kg_per_unit: factor \"hot\" emits more than 100,000 kg co2 or CO2e per kWh",
    );
}

#[test]
fn registers_without_a_bound_are_told_once() {
    let world = World::new()
        .counting(MeterKind::Register, "r1", ["site", "kWh", "grid"], ALWAYS)
        .counting(MeterKind::Register, "r2", ["site", "kWh", "grid"], ALWAYS);
    world.only(
        "m.csv:4: warning: max_power: meter \"r1\" has no max_power, nor has 1 other register",
    );
}
