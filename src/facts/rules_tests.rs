//! Tests of the rules within a table.

use plumeline_pipelines::model::time::DAY_MS;
use plumeline_pipelines::model::{
    Decimal, FactorChange, FactorRow, FactorStatus, Gas, Method, Unit,
};

use super::super::row::{Origin, held_in};
use super::*;

const START_MS: i64 = 1_767_225_600_000; // 2026-01-01

fn days(from: i64, to: i64) -> Validity {
    Validity { from_ms: START_MS + from * DAY_MS, to_ms: START_MS + to * DAY_MS }
}

struct Table {
    names: Names,
    nodes: Book<NodeRow>,
    line: usize,
}

impl Table {
    fn new() -> Self {
        Self { names: Names::new(), nodes: Book::new(), line: 1 }
    }

    fn node(mut self, node: &str, parent: &str, validity: Validity, revision: i64) -> Self {
        self.line += 1;
        let [node, parent] = [node, parent].map(|name| self.names.intern(name));
        let row = NodeRow { node, parent, name: Id::NONE, validity, revision };
        let held = held_in("n.csv", self.line, Origin::File, row);
        self.nodes.entry(node).or_default().push(held);
        self
    }

    fn check(&self, rule: impl Fn(&Self, Words<'_>, &mut Problems)) -> Vec<String> {
        let mut problems = Problems::new();
        let words = Words { names: &self.names, timezone: &TimeZone::UTC };
        rule(self, words, &mut problems);
        problems.iter().map(ToString::to_string).collect()
    }

    fn contradictions(&self) -> Vec<String> {
        self.check(|table, words, problems| {
            table.nodes.values().for_each(|rows| contradictions(rows, words, problems));
        })
    }

    fn gaps(&self, every_gap: bool) -> Vec<String> {
        self.check(|table, words, problems| {
            table.nodes.values().for_each(|rows| gaps(rows, every_gap, words, problems));
        })
    }

    fn tree(&self) -> Vec<String> {
        self.check(|table, words, problems| tree(&table.nodes, words, problems))
    }
}

#[test]
fn equal_revisions_that_overlap_and_differ_are_told_at_the_later_line() {
    let table = Table::new().node("a", "x", days(0, 31), 0).node("b", "x", days(0, 31), 0).node(
        "a",
        "y",
        days(30, 60),
        0,
    );
    assert_eq!(
        table.contradictions(),
        [
            "n.csv:4: error: revision: node \"a\" differs from line 2 in parent, valid_from, valid_to, with \
          equal revision 0 from 2026-01-31 to 2026-02-01\n    give the one that is right revision = 1, \
          or end the earlier one where the later begins"
        ]
    );
}

#[test]
fn a_long_row_is_compared_with_all_it_covers() {
    let table = Table::new().node("a", "x", days(0, 100), 0).node("a", "y", days(10, 20), 0).node(
        "a",
        "z",
        days(30, 40),
        0,
    );
    assert_eq!(table.contradictions().len(), 2);
}

#[test]
fn revisions_and_neighbours_do_not_contradict() {
    let table = Table::new().node("a", "x", days(0, 31), 0).node("a", "y", days(31, 60), 0).node(
        "a",
        "z",
        days(0, 60),
        1,
    );
    assert_eq!(table.contradictions(), [""; 0]);
}

#[test]
fn lines_of_one_version_of_a_factor_do_not_contradict() {
    let names = Names::new();
    let line = |number, gas, kg: &str| {
        let row = FactorRow {
            factor: names.intern("grid"),
            revision: 0,
            scope: 2,
            category: 0,
            method: Method::Any,
            gas,
            kg_per_unit: Decimal::parse(kg).unwrap(),
            unit: Unit::parse("kWh").unwrap(),
            published_gwp: None,
            status: FactorStatus::Final,
            change: FactorChange::Revised,
            validity: Validity::ALWAYS,
            source: Id::NONE,
        };
        held_in("f.csv", number, Origin::File, row)
    };
    let mut rows = vec![line(2, Gas::Co2, "0.4"), line(3, Gas::Ch4, "0.001")];
    let words = Words { names: &names, timezone: &TimeZone::UTC };
    let mut problems = Problems::new();
    contradictions(&rows, words, &mut problems);
    assert!(problems.is_empty());
    rows.push(line(4, Gas::Co2, "0.5"));
    contradictions(&rows, words, &mut problems);
    let shown = problems.to_string();
    assert!(
        shown.contains(
            "f.csv:4: error: revision: factor \"grid\" differs from line 2 in kg_per_unit"
        )
    );
}

#[test]
fn a_day_between_rows_is_questioned_and_a_month_only_for_factors() {
    let one_day = Table::new().node("a", "", days(0, 30), 0).node("a", "x", days(31, 60), 0);
    let shown = one_day.gaps(false).join("\n");
    assert!(shown.starts_with(
        "n.csv:2: warning: valid_to: node \"a\" holds nowhere from 2026-01-31 to 2026-02-01"
    ));
    assert!(
        shown.contains("2026-01-31 is probably meant as its last day: write valid_to = 2026-02-01")
    );
    let month = Table::new().node("a", "", days(0, 30), 0).node("a", "x", days(60, 90), 0);
    assert_eq!((month.gaps(false).len(), month.gaps(true).len()), (0, 1));
}

#[test]
fn a_cycle_is_told_once_and_only_while_it_holds() {
    let cycle = Table::new()
        .node("a", "b", days(0, 20), 0)
        .node("b", "c", days(0, 31), 0)
        .node("c", "a", days(10, 31), 0)
        .node("d", "a", days(0, 31), 0);
    let shown = cycle.tree();
    assert_eq!(shown.len(), 1, "{shown:?}");
    assert!(
        shown[0].starts_with(
            "n.csv:2: error: parent: the tree has a cycle from 2026-01-11 to 2026-01-21: a > b > c > a"
        ),
        "{shown:?}"
    );
    let apart = Table::new().node("a", "b", days(0, 10), 0).node("b", "a", days(10, 20), 0);
    assert_eq!(apart.tree(), [""; 0]);
    let corrected = Table::new()
        .node("a", "b", days(0, 10), 0)
        .node("b", "a", days(0, 10), 0)
        .node("b", "", days(0, 10), 1);
    assert_eq!(corrected.tree(), [""; 0]);
    assert_eq!(Table::new().node("a", "a", Validity::ALWAYS, 0).tree().len(), 1);
}

#[test]
fn sixteen_levels_are_enough() {
    let deep = |levels: usize| {
        (1..=levels).fold(Table::new(), |table, level| {
            let parent = if level == 1 { String::new() } else { format!("n{}", level - 1) };
            table.node(&format!("n{level}"), &parent, Validity::ALWAYS, 0)
        })
    };
    assert_eq!(deep(16).tree(), [""; 0]);
    let shown = deep(20).tree();
    assert_eq!(shown.len(), 1, "{shown:?}");
    assert!(shown[0].contains("node \"n17\" stands deeper than 16 levels"), "{shown:?}");
}
