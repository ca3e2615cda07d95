//! Contracts that match by the month or by the year, worked by hand in hindsight: what is over is matched as a whole,
//! after the hours.
//!
//! Load is under factor 0, what is covered is told under factor 1, and a plant is metered under factor 2. The horizon
//! lies a day back, and the months are those of UTC.

mod support;

use plumeline_pipelines::hindsight::hindsight;
use plumeline_pipelines::model::{
    Cause, CertificateRow, ContractRow, Decimal, Fact, FactorRow, Gas, Id, Matching, MeterKind,
    MeterRow, Method, Policy, Record, Subject, Supply, Tick, Validity,
};
use support::contracts::{certificate_row, contract_row};
use support::dates::{calendar, date};
use support::{
    HOUR, PERIOD, factor_id, factor_row, meter_row, n, node_id, node_row, policy, reading,
};

/// Nodes 1 to 3 below node 0, each with a meter; that of node 3 is the plant's.
fn group() -> Vec<Fact> {
    let mut facts = vec![Fact::Node(node_row(0, None))];
    for i in 0..3 {
        let factor = if i == 2 { 2 } else { 0 };
        facts.push(Fact::Node(node_row(i + 1, Some(0))));
        facts.push(Fact::Meter(MeterRow {
            node: node_id(i + 1),
            interval_ms: Some(PERIOD),
            factor: factor_id(factor),
            ..meter_row(i, MeterKind::Interval)
        }));
    }
    let lines =
        [(0, Method::Location, "0.5"), (0, Method::Market, "0.4"), (1, Method::Market, "0.1")];
    for (factor, method, kg) in lines {
        let row = FactorRow { method, ..factor_row(factor, Gas::Co2, kg) };
        facts.push(Fact::Factor(row));
    }
    facts
}

/// Meter `i` says `kwh` of the first slot of a day of 2026.
fn says(i: u32, (month, day): (usize, i64), kwh: &str) -> Record {
    reading(i, date(2026, month, day) + PERIOD, Some(kwh))
}

fn contract(number: u32, matching: Matching) -> ContractRow {
    ContractRow { matching, ..contract_row(number) }
}

/// `kwh` of a day of 2026 for contract 0.
fn certified(number: u32, (month, day): (usize, i64), kwh: i64) -> Fact {
    let from_ms = date(2026, month, day);
    let validity = Validity { from_ms, to_ms: from_ms + 24 * HOUR };
    Fact::Certificate(CertificateRow { validity, ..certificate_row(number, 0, kwh * 1000) })
}

/// What is booked of contracts and of what none covers, as known at an instant: node, month, day, subject, kWh. And
/// CO2e of the root, kg, by the grid's average and market-based.
type Matched = (Vec<(u32, (usize, i64), Subject, String)>, [String; 2]);

fn matched(facts: &[Fact], records: &[Record], known_ms: i64) -> Matched {
    let policy = Policy { calendar: calendar(2025, 2028), ..policy(1) };
    let known = Tick::new(known_ms, Cause::Cut);
    let found = hindsight(&policy, facts.to_vec(), records.to_vec(), known);
    let day = |ms: i64| {
        let days = (1..=12).flat_map(|month| (1..=31).map(move |day| (month, day)));
        let mut days = days.filter(|(month, day)| date(2026, *month, *day) == ms);
        days.next().expect("readings are of the first slot of a day")
    };
    let rows = found.activity.into_iter().filter(|(key, _)| !key.subject.has_records());
    let mut rows: Vec<_> = rows
        .map(|(key, measure)| {
            assert_eq!(measure.presence, 1, "each rests on one allotment");
            let kwh = Decimal::new(measure.amount.get(), 9).to_string();
            (key.node.0 - node_id(0).0, day(key.period.start_ms(PERIOD)), key.subject, kwh)
        })
        .collect();
    rows.sort();
    let co2e = [Method::Location, Method::Market].map(|method| {
        let of_root = found.footprints.iter().filter(|(key, _)| key.node == node_id(0));
        let sum = of_root.filter(|(key, _)| key.method == method).map(|(_, e)| e.co2e.get()).sum();
        Decimal::new(sum, 21).to_string()
    });
    (rows, co2e)
}

fn covered(number: u32) -> Subject {
    Subject::Contract(Id(400 + number))
}

fn open() -> Subject {
    Subject::Uncovered(factor_id(0))
}

fn row(
    node: u32,
    day: (usize, i64),
    subject: Subject,
    kwh: &str,
) -> (u32, (usize, i64), Subject, String) {
    (node, day, subject, kwh.to_owned())
}

/// 30 and 10 kWh in January, 20 in February.
fn loads() -> Vec<Record> {
    vec![says(0, (1, 3), "30"), says(1, (1, 9), "10"), says(0, (2, 5), "20")]
}

#[test]
fn a_month_is_covered_as_a_whole_once_it_lies_below_the_horizon() {
    let mut facts = group();
    facts.push(Fact::Contract(contract(0, Matching::Monthly1)));
    // Generated after it was used; and some of February.
    facts.extend([certified(0, (1, 20), 10), certified(1, (2, 20), 50)]);
    let all_open =
        [row(1, (1, 3), open(), "30"), row(1, (2, 5), open(), "20"), row(2, (1, 9), open(), "10")];
    let before = matched(&facts, &loads(), date(2026, 2, 10) - 9 * 24 * HOUR);
    assert_eq!(before.0, [all_open[0].clone(), all_open[2].clone()], "its last day is retained");
    // A quarter of January.
    let of_january = [
        row(1, (1, 3), covered(0), "7.5"),
        row(1, (1, 3), open(), "22.5"),
        row(2, (1, 9), covered(0), "2.5"),
        row(2, (1, 9), open(), "7.5"),
    ];
    let january = matched(&facts, &loads(), date(2026, 2, 3));
    assert_eq!(january.0, of_january);
    // 40 x 0.5; 30 x 0.4 + 10 x 0.1.
    assert_eq!(january.1, ["20", "13"]);
    // All of February: what it has more than that is lost.
    let february = matched(&facts, &loads(), date(2026, 3, 3));
    assert!(february.0.contains(&row(1, (2, 5), covered(0), "20")), "{february:?}");
    assert!(!february.0.contains(&all_open[1]));
    assert_eq!(february.1, ["30", "15"]);
}

#[test]
fn a_year_is_given_what_hours_and_months_leave() {
    let mut facts = group();
    // The year comes first by its priority, and yet takes what is left.
    facts.push(Fact::Contract(contract(0, Matching::Annual1)));
    let monthly =
        ContractRow { supply: Supply::Any, priority: 1, ..contract(1, Matching::Monthly1) };
    facts.push(Fact::Contract(ContractRow { node: node_id(2), ..monthly }));
    let hourly = ContractRow { priority: 2, ..contract(2, Matching::Hourly1) };
    facts.push(Fact::Contract(hourly));
    let from_ms = date(2026, 1, 3);
    facts.push(Fact::Certificate(CertificateRow {
        contract: Id(402),
        validity: Validity { from_ms, to_ms: from_ms + HOUR },
        ..certificate_row(1, 0, 6_000)
    }));
    facts.push(certified(0, (12, 1), 11));
    let of_months = [
        row(1, (1, 3), covered(2), "6"),
        row(1, (1, 3), open(), "24"),
        row(1, (2, 5), open(), "20"),
        row(2, (1, 9), covered(1), "10"),
    ];
    assert_eq!(matched(&facts, &loads(), date(2026, 12, 31)).0, of_months);
    // A quarter of the 44 kWh that are left.
    let of_year = [
        row(1, (1, 3), covered(0), "6"),
        row(1, (1, 3), covered(2), "6"),
        row(1, (1, 3), open(), "18"),
        row(1, (2, 5), covered(0), "5"),
        row(1, (2, 5), open(), "15"),
        row(2, (1, 9), covered(1), "10"),
    ];
    let year = matched(&facts, &loads(), date(2027, 1, 3));
    assert_eq!(year.0, of_year);
    // 33 x 0.4 + 27 x 0.1.
    assert_eq!(year.1, ["30", "15.9"]);
}

#[test]
fn a_plant_covers_a_share_of_the_year_and_what_is_covered_whole_is_open_no_longer() {
    let mut facts = group();
    let supply = Supply::Metered { factor: factor_id(2), share: n("0.5") };
    facts.push(Fact::Contract(ContractRow { supply, ..contract(0, Matching::Annual1) }));
    let mut records = loads();
    records.extend([says(2, (6, 1), "100"), says(2, (7, 1), "40")]);
    let found = matched(&facts, &records, date(2027, 1, 3));
    let whole = [
        row(1, (1, 3), covered(0), "30"),
        row(1, (2, 5), covered(0), "20"),
        row(2, (1, 9), covered(0), "10"),
    ];
    assert_eq!(found, (whole.to_vec(), ["30".to_owned(), "6".to_owned()]));
}

#[test]
fn a_row_of_a_contract_gives_to_the_time_in_which_it_holds_what_is_of_that_time() {
    let mut facts = group();
    let before = Validity { to_ms: date(2026, 2, 1), ..Validity::ALWAYS };
    let row_of_january = ContractRow { validity: before, ..contract(0, Matching::Annual1) };
    let after = Validity { from_ms: date(2026, 2, 1), ..Validity::ALWAYS };
    let later = ContractRow { validity: after, factor: factor_id(2), ..row_of_january.clone() };
    facts.extend([Fact::Contract(row_of_january), Fact::Contract(later)]);
    facts.extend([certified(0, (1, 20), 4), certified(1, (5, 20), 5)]);
    let found = matched(&facts, &loads(), date(2027, 1, 3)).0;
    let of_contract: Vec<_> = found.into_iter().filter(|row| row.2 == covered(0)).collect();
    assert_eq!(
        of_contract,
        [
            row(1, (1, 3), covered(0), "3"),
            row(1, (2, 5), covered(0), "5"),
            row(2, (1, 9), covered(0), "1"),
        ]
    );
}

#[test]
fn what_a_year_covers_makes_no_hour_carbon_free() {
    let cfe = |factor, part| FactorRow {
        method: Method::Market,
        ..factor_row(factor, Gas::CfeKwh, part)
    };
    let mut facts = group();
    facts.extend([Fact::Factor(cfe(0, "0.6")), Fact::Factor(cfe(1, "1"))]);
    facts.push(Fact::Contract(contract(0, Matching::Annual1)));
    facts.push(Fact::Contract(ContractRow { priority: 1, ..contract(1, Matching::Hourly1) }));
    facts.push(certified(0, (12, 1), 10));
    let from_ms = date(2026, 1, 3);
    facts.push(Fact::Certificate(CertificateRow {
        contract: Id(401),
        validity: Validity { from_ms, to_ms: from_ms + HOUR },
        ..certificate_row(1, 0, 10_000)
    }));
    let policy = Policy { calendar: calendar(2025, 2028), ..policy(1) };
    let known = Tick::new(date(2027, 1, 3), Cause::Cut);
    let found = hindsight(&policy, facts.clone(), loads(), known);
    let of_root = |gas| {
        let rows = found.footprints.iter().filter(|(key, _)| key.node == node_id(0));
        let sum: i128 = rows.filter(|(key, _)| key.gas == gas).map(|(_, e)| e.mass.get()).sum();
        Decimal::new(sum, 21).to_string()
    };
    // 10 kWh by the hour, and 0.6 of the other 50, of which the year covers 10.
    assert_eq!((of_root(Gas::CfeKwh), of_root(Gas::LoadKwh)), ("40".into(), "60".into()));
    assert_eq!(matched(&facts, &loads(), date(2027, 1, 3)).1, ["30", "18"]);
}

#[test]
fn a_certificate_that_spans_two_years_counts_in_neither() {
    let mut facts = group();
    facts.push(Fact::Contract(contract(0, Matching::Annual1)));
    let validity = Validity { from_ms: date(2026, 12, 1), to_ms: date(2027, 1, 1) + HOUR };
    facts.push(Fact::Certificate(CertificateRow { validity, ..certificate_row(0, 0, 9_000) }));
    let found = matched(&facts, &loads(), date(2027, 2, 3));
    assert!(found.0.iter().all(|(_, _, subject, _)| *subject == open()), "{found:?}");
}
