//! What a series asks of its rows, in small tables.

use std::collections::BTreeMap;

use jiff::tz::TimeZone;
use plumeline_pipelines::model::{FactorStatus, Method, Names, Unit, Validity, Vintage};

use super::super::row::held_in;
use super::*;

fn factor(names: &Names, revision: i64, gas: Gas, kg: &str) -> FactorRow {
    FactorRow {
        factor: names.intern("grid"),
        revision,
        scope: 2,
        category: 0,
        method: Method::Location,
        gas,
        kg_per_unit: Decimal::parse(kg).unwrap(),
        unit: Unit::parse("kWh").unwrap(),
        published_gwp: None,
        status: FactorStatus::Final,
        change: FactorChange::Revised,
        validity: Validity::ALWAYS,
        source: Id::NONE,
    }
}

fn of_series(names: &Names, factor: &str, kind: SeriesKind, fallback: &str) -> SeriesRow {
    SeriesRow {
        factor: names.intern(factor),
        kind,
        vintage: Vintage::Calendar,
        year_begins: 1,
        total: Total::Split,
        fallback: if fallback.is_empty() { Id::NONE } else { names.intern(fallback) },
        validity: Validity::ALWAYS,
        revision: 1,
    }
}

/// What the rules say of these rows, in a pipeline of AR5.
fn told(names: &Names, factors: Vec<FactorRow>, of_factors: Vec<SeriesRow>) -> Vec<String> {
    told_in(names, (GwpSet::Ar5, &[]), factors, of_factors)
}

/// What they say in a pipeline of these sets.
fn told_in(
    names: &Names,
    (gwp, also_gwp): (GwpSet, &[GwpSet]),
    factors: Vec<FactorRow>,
    of_factors: Vec<SeriesRow>,
) -> Vec<String> {
    let mut books = Books { factors: BTreeMap::new(), ..Books::default() };
    for (line, row) in (2..).zip(factors) {
        let held = held_in("factors.csv", line, Origin::File, row);
        books.factors.entry(held.row.factor).or_default().push(held);
    }
    for (line, row) in (2..).zip(of_factors) {
        let held = held_in("series.csv", line, Origin::File, row);
        books.series.entry(held.row.factor).or_default().push(held);
    }
    let words = Words { names, timezone: &TimeZone::UTC };
    let mut problems = Problems::new();
    series(&books, (words, gwp, also_gwp), &mut problems);
    problems.iter().map(ToString::to_string).collect()
}

#[test]
fn a_locked_series_changes_for_errors_alone() {
    let names = Names::new();
    let rows = |change| {
        let new = FactorRow { change, ..factor(&names, 2, Gas::Co2, "0.3") };
        vec![factor(&names, 1, Gas::Co2, "0.2"), new]
    };
    let locked = || vec![of_series(&names, "grid", SeriesKind::Locked, "")];
    let rolling = vec![of_series(&names, "grid", SeriesKind::Rolling, "")];
    let refused = told(&names, rows(FactorChange::Revised), locked());
    assert_eq!(refused.len(), 1, "{refused:?}");
    assert!(refused[0].contains("factors.csv:3"), "{refused:?}");
    assert!(refused[0].contains("has published 0.2 kg co2 per kWh"), "{refused:?}");
    assert_eq!(told(&names, rows(FactorChange::Error), locked()), [""; 0]);
    assert_eq!(told(&names, rows(FactorChange::Revised), rolling), [""; 0]);
    // The next year's set begins later; saying the same again is no change.
    let mut next = rows(FactorChange::Revised);
    next[1].validity.from_ms = 1_735_689_600_000;
    assert_eq!(told(&names, next, locked()), [""; 0]);
    let mut same = rows(FactorChange::Revised);
    same[1].kg_per_unit = same[0].kg_per_unit;
    assert_eq!(told(&names, same, locked()), [""; 0]);
}

#[test]
fn what_stands_in_is_there_and_comes_to_an_end() {
    let names = Names::new();
    let grid = || vec![factor(&names, 1, Gas::Co2, "0.2")];
    let unknown = vec![of_series(&names, "hourly", SeriesKind::Rolling, "gird")];
    let unknown = told(&names, grid(), unknown);
    assert!(unknown[0].contains("falls back on \"gird\", which is no factor"), "{unknown:?}");
    let good = vec![of_series(&names, "hourly", SeriesKind::Rolling, "grid")];
    assert_eq!(told(&names, grid(), good), [""; 0]);
    let circle = vec![
        of_series(&names, "hourly", SeriesKind::Rolling, "grid"),
        of_series(&names, "grid", SeriesKind::Rolling, "hourly"),
    ];
    let circle = told(&names, grid(), circle);
    assert_eq!(circle.len(), 2);
    assert!(circle[0].contains("comes back to \"grid\"") || circle[0].contains("comes back to"));
}

#[test]
fn a_total_that_is_not_that_of_its_gases_is_questioned() {
    let names = Names::new();
    let of =
        |gas, kg, published| FactorRow { published_gwp: published, ..factor(&names, 1, gas, kg) };
    let ar5 = Some(GwpSet::Ar5);
    let rows = |total| {
        vec![of(Gas::Co2, "0.2", None), of(Gas::Ch4, "0.001", ar5), of(Gas::Co2e, total, ar5)]
    };
    assert_eq!(told(&names, rows("0.2012"), Vec::new()), [""; 0]);
    let wrong = told(&names, rows("0.21"), Vec::new());
    assert!(
        wrong[0].contains("prints a total of 0.21 kg CO2e per kWh, and its gases come to 0.201"),
        "{wrong:?}"
    );
}

#[test]
fn another_set_is_told_once_with_what_it_makes() {
    let names = Names::new();
    let of = |gas, kg| FactorRow { published_gwp: Some(GwpSet::Ar4), ..factor(&names, 1, gas, kg) };
    let told = told(&names, vec![of(Gas::Ch4, "0.001"), of(Gas::N2o, "0.001")], Vec::new());
    assert_eq!(told.len(), 1);
    // 28 for 25, and 265 for 298.
    assert!(told[0].contains("ch4 differs most, by 12 per cent"), "{told:?}");
    assert!(told[0].contains("write gwp = \"ar4\" to count"), "{told:?}");
}

#[test]
fn each_set_that_is_listed_is_told() {
    let names = Names::new();
    let of = |gas, kg| FactorRow { published_gwp: Some(GwpSet::Ar4), ..factor(&names, 1, gas, kg) };
    let sets = (GwpSet::Ar5, &[GwpSet::Ar6, GwpSet::Ar4][..]);
    let rows = || vec![of(Gas::Ch4, "0.001"), of(Gas::N2o, "0.001")];
    let told = told_in(&names, sets, rows(), Vec::new());
    assert_eq!(told.len(), 2, "{told:?}");
    assert!(told[0].contains("count in ar5: ch4 differs most, by 12 per cent"), "{told:?}");
    assert!(told[0].contains("write gwp = [\"ar4\", \"ar5\", \"ar6\"] to count"), "{told:?}");
    // 273 for 298; 27 for 25 is less.
    let ar6 = "are also told in ar6: n2o differs most, by -8.38 per cent";
    assert!(told[1].contains(ar6) && told[1].contains("take it out of `gwp`"), "{told:?}");
    let own = told_in(&names, (GwpSet::Ar4, &[]), rows(), Vec::new());
    assert_eq!(own, [""; 0]);
}

#[test]
fn a_row_of_a_rolling_series_follows_on_what_was_said() {
    let names = Names::new();
    let mut books = Books::default();
    let grid = names.intern("grid");
    let series = of_series(&names, "grid", SeriesKind::Rolling, "");
    let say = |books: &mut Books, row: FactorRow, withdrawn| {
        let row = numbered(&row, withdrawn, books);
        let held = held_in("a topic", 1, Origin::Source(0), row.clone());
        books.factors.entry(grid).or_default().push(held);
        row.revision
    };
    let row = |gas, kg| FactorRow { revision: 0, ..factor(&names, 0, gas, kg) };
    assert_eq!(say(&mut books, row(Gas::Co2, "0.1"), false), 0);
    assert_eq!(say(&mut books, row(Gas::Co2, "0.2"), false), 0, "no series says that it rolls");
    books.factors.clear();
    books.series.entry(grid).or_default().push(held_in("series.csv", 2, Origin::File, series));
    assert_eq!(say(&mut books, row(Gas::Co2, "0.1"), false), 0);
    assert_eq!(say(&mut books, row(Gas::Ch4, "0.1"), false), 0, "another line of the same version");
    assert_eq!(say(&mut books, row(Gas::Co2, "0.2"), false), 1);
    assert_eq!(say(&mut books, row(Gas::Ch4, "0.2"), false), 1);
    assert_eq!(say(&mut books, row(Gas::Ch4, "0.2"), false), 1, "said again");
    assert_eq!(say(&mut books, row(Gas::Co2, "0.2"), true), 1, "taken back");
    let mut elsewhere = row(Gas::Co2, "0.3");
    elsewhere.revision = 7;
    assert_eq!(say(&mut books, elsewhere, false), 7, "it names one");
}
