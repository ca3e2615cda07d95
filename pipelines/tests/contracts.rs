//! Contracts and certificates: who covers whose load, hour by hour, worked by hand; and what holds of it for every
//! history.
//!
//! The conventions are those of `cases`: slots of 15 minutes that settle 15 minutes after their end, and so hours that
//! are matched at minute 75 of them. Load is under factor 0 (0.5 kg location-based, 0.4 kg residual mix), what is
//! covered is told under factor 1 (0.1 kg), and what a plant puts out is metered under factor 2.

mod support;

use std::collections::BTreeMap;

use plumeline_pipelines::model::{
    ActivityKey, CertificateRow, ContractRow, Decimal, Fact, FactorRow, Gas, Id, MeterKind,
    MeterRow, Method, NodeRow, Reason, Subject, Supply, Validity,
};
use plumeline_pipelines::reference::Balances;
use proptest::prelude::*;
use support::contracts::{certificate_row, contract_row};
use support::derive::derive;
use support::random::{cases, scenarios};
use support::story::{Books, Story};
use support::{
    HOUR, PERIOD, START_MS, factor_id, factor_row, meter_row, n, node_id, node_row, reading,
};

/// Meter `i` at node `i + 1` under factor 0; meter 2 is the plant's.
fn meter(i: u32) -> MeterRow {
    let factor = if i == 2 { 2 } else { 0 };
    MeterRow {
        node: node_id(i + 1),
        interval_ms: Some(PERIOD),
        factor: factor_id(factor),
        ..meter_row(i, MeterKind::Interval)
    }
}

fn line(factor: u32, method: Method, kg: &str) -> FactorRow {
    FactorRow { method, ..factor_row(factor, Gas::Co2, kg) }
}

/// Nodes 1, 2 and 3 below node 0, each with its meter, and what factors say.
fn group() -> Story {
    let mut story = Story::new().node(node_row(0, None));
    for node in 1..4 {
        story = story.node(node_row(node, Some(0))).meter(meter(node - 1));
    }
    let lines =
        [(0, Method::Location, "0.5"), (0, Method::Market, "0.4"), (1, Method::Market, "0.1")];
    lines
        .into_iter()
        .fold(story, |story, (factor, method, kg)| story.factor(line(factor, method, kg)))
}

/// Meter `i` says `value` of the slot that ends at `minute`.
fn says(story: Story, i: u32, minute: i64, value: &str) -> Story {
    story.record(reading(i, START_MS + minute * 60_000, Some(value)))
}

/// What is said of the first two slots of the first hour: 10 and 20 kWh at node 1, 10 kWh in the first at node 2.
fn loads(story: Story) -> Story {
    let story = says(says(story.at(16), 0, 15, "10"), 1, 15, "10");
    says(story.at(31), 0, 30, "20")
}

/// What is booked of contracts at `minute`: `(node, slot, subject, kWh)`.
fn covered(books: &Books, minute: i64) -> Vec<(u32, i64, Subject, String)> {
    let activity = books.balances(minute).activity;
    let rows = activity.into_iter().filter(|(key, _)| !key.subject.has_records());
    let mut rows: Vec<_> = rows
        .map(|(key, measure)| {
            let slot = (key.period.start_ms(PERIOD) - START_MS) / PERIOD;
            let kwh = Decimal::new(measure.amount.get(), 9).to_string();
            (key.node.0 - node_id(0).0, slot, key.subject, kwh)
        })
        .collect();
    rows.sort();
    rows
}

/// CO2e of the root by method at `minute`, kg.
fn totals(books: &Books, minute: i64) -> BTreeMap<&'static str, String> {
    let mut sums: BTreeMap<&'static str, i128> = BTreeMap::new();
    for (key, emission) in books.balances(minute).footprints {
        if key.node == node_id(0) {
            *sums.entry(key.method.name()).or_default() += emission.co2e.get();
        }
    }
    sums.into_iter().map(|(method, sum)| (method, Decimal::new(sum, 21).to_string())).collect()
}

fn contract() -> Subject {
    Subject::Contract(Id(400))
}

fn uncovered() -> Subject {
    Subject::Uncovered(factor_id(0))
}

fn at(node: u32, slot: i64, subject: Subject, kwh: &str) -> (u32, i64, Subject, String) {
    (node, slot, subject, kwh.to_owned())
}

#[test]
fn a_certificate_covers_each_load_of_its_hour_to_the_same_part_and_no_other_hour() {
    let story = loads(group().contract(contract_row(0)).certificate(certificate_row(0, 0, 10_000)));
    let books = says(story.at(76), 0, 75, "7").at(140).told();
    // Of 40 kWh in the hour 10 are covered: a quarter of each.
    let first_hour = [
        at(1, 0, contract(), "2.5"),
        at(1, 0, uncovered(), "7.5"),
        at(1, 1, contract(), "5"),
        at(1, 1, uncovered(), "15"),
        at(2, 0, contract(), "2.5"),
        at(2, 0, uncovered(), "7.5"),
    ];
    assert_eq!(covered(&books, 76), first_hour);
    // 40 kWh x 0.5; 30 x 0.4 + 10 x 0.1.
    assert_eq!(
        totals(&books, 76),
        BTreeMap::from([("location", "20".into()), ("market", "13".into())])
    );
    let later: Vec<_> =
        covered(&books, 140).into_iter().filter(|(_, slot, ..)| *slot > 3).collect();
    assert_eq!(later, [at(1, 4, uncovered(), "7")]);
}

#[test]
fn what_is_covered_is_booked_when_its_hour_has_settled_and_not_before() {
    let story = loads(group().contract(contract_row(0)).certificate(certificate_row(0, 0, 10_000)));
    let books = story.at(74).at(75).told();
    assert_eq!(covered(&books, 74), []);
    assert_eq!(totals(&books, 74)["market"], "16", "all of it at the residual mix");
    assert_eq!(totals(&books, 75)["market"], "13");
    let entries = books.activity_entries();
    assert!(entries.iter().all(|(_, _, reason, ..)| *reason == "booked"), "{entries:?}");
}

#[test]
fn energy_that_is_not_used_in_its_hour_is_lost() {
    let story = loads(group().contract(contract_row(0)).certificate(certificate_row(0, 0, 90_000)));
    let books = says(story.at(76), 0, 75, "7").at(140).told();
    // 40 kWh of the first hour at 0.1; of the second, 7 kWh at 0.4: the other 50 kWh do not help.
    assert_eq!(totals(&books, 140)["market"], "6.8");
}

#[test]
fn a_plant_covers_what_it_puts_out_in_the_same_hour_by_the_contract_s_share() {
    let supply = Supply::Metered { factor: factor_id(2), share: n("0.5") };
    let story = group().contract(ContractRow { supply, ..contract_row(0) });
    let story = says(loads(story), 2, 15, "16");
    let books = story.at(76).told();
    let of_contract: Vec<_> =
        covered(&books, 76).into_iter().filter(|row| row.2 == contract()).collect();
    assert_eq!(
        of_contract,
        [at(1, 0, contract(), "2"), at(1, 1, contract(), "4"), at(2, 0, contract(), "2")]
    );
}

#[test]
fn contracts_give_by_priority_and_then_by_name_each_below_its_own_node() {
    let of_site = ContractRow { node: node_id(1), ..contract_row(0) };
    let of_group = ContractRow { supply: Supply::Any, priority: 1, ..contract_row(1) };
    let story = group().contract(of_group).contract(of_site);
    let story = loads(story.certificate(certificate_row(0, 0, 15_000)));
    let books = story.at(76).told();
    let rest = Subject::Contract(Id(401));
    let expected = [
        at(1, 0, contract(), "5"),
        at(1, 0, rest, "5"),
        at(1, 1, contract(), "10"),
        at(1, 1, rest, "10"),
        at(2, 0, rest, "10"),
    ];
    assert_eq!(covered(&books, 76), expected);
}

#[test]
fn a_certificate_counts_once_in_its_zone_with_evidence_and_within_an_hour() {
    let covers = |row| {
        let books = loads(group().contract(contract_row(0)).certificate(row)).at(76).told();
        covered(&books, 76).iter().any(|(_, _, subject, _)| *subject == contract())
    };
    let row = certificate_row(0, 0, 10_000);
    assert!(covers(row.clone()));
    assert!(!covers(CertificateRow { zone: Id(501), ..row.clone() }));
    assert!(!covers(CertificateRow { retired: Id::NONE, ..row.clone() }));
    assert!(!covers(CertificateRow { issued_wh: 9, ..row.clone() }));
    let validity = Validity { from_ms: START_MS, to_ms: START_MS + 2 * HOUR };
    assert!(!covers(CertificateRow { validity, ..row.clone() }));
    // A later revision takes the place of the first, although it is of another hour.
    let validity = Validity { from_ms: START_MS + HOUR, to_ms: START_MS + 2 * HOUR };
    let moved = CertificateRow { validity, revision: 1, ..row.clone() };
    let story = group().contract(contract_row(0)).certificate(row).certificate(moved);
    let books = loads(story).at(76).told();
    assert!(covered(&books, 76).iter().all(|(_, _, subject, _)| *subject == uncovered()));
}

#[test]
fn a_contract_without_evidence_of_every_criterion_covers_nothing() {
    let mut row = contract_row(0);
    row.evidence[4] = Id::NONE;
    let story = group().contract(row).certificate(certificate_row(0, 0, 10_000));
    let books = loads(story).at(76).told();
    assert_eq!(totals(&books, 76)["market"], "16");
}

/// Subject, reason and CO2e of what minute 90 wrote to `emissions` of slot 0.
fn restated(books: &Books) -> Vec<(u32, &'static str, String)> {
    let rows = books.restated(90).into_iter().filter(|(slot, ..)| *slot == 0);
    rows.map(|(_, subject, reason, co2e)| (subject, reason, co2e)).collect()
}

#[test]
fn a_certificate_that_is_withdrawn_restates_what_it_covered() {
    let row = certificate_row(0, 0, 10_000);
    let story = loads(group().contract(contract_row(0)).certificate(row.clone()));
    let books = story.at(90).withdrawn(Fact::Certificate(row)).told();
    assert_eq!(totals(&books, 90)["market"], "16");
    // 5 kWh of slot 0 at both nodes: 0.4 and no longer 0.1.
    assert_eq!(restated(&books), [(400, "contract_change", "1.5".to_owned())]);
}

#[test]
fn what_comes_late_restates_what_is_covered_for_its_own_reason() {
    let story = loads(group().contract(contract_row(0)).certificate(certificate_row(0, 0, 10_000)));
    // Slot 0 of node 2 grows from 10 to 50: 80 kWh in the hour, an eighth is covered.
    let books = says(story.at(90), 1, 15, "50").told();
    assert_eq!(
        totals(&books, 90),
        BTreeMap::from([("location", "40".into()), ("market", "29".into())])
    );
    let reasons: Vec<_> = restated(&books).into_iter().map(|(who, why, _)| (who, why)).collect();
    assert_eq!(reasons, [(1, "reading_corrected"), (400, "reading_corrected")]);
}

#[test]
fn a_revised_factor_restates_the_covered_and_the_uncovered_for_its_own_reason() {
    let story = loads(group().contract(contract_row(0)).certificate(certificate_row(0, 0, 10_000)));
    let revised = FactorRow { revision: 1, ..line(0, Method::Market, "0.8") };
    let location = FactorRow { revision: 1, ..line(0, Method::Location, "0.5") };
    let books = story.at(90).factor(revised).factor(location).told();
    // 30 x 0.8 + 10 x 0.1.
    assert_eq!(totals(&books, 90)["market"], "25");
    assert!(restated(&books).iter().all(|(_, reason, _)| *reason == "factor_revised"));
}

#[test]
fn a_site_that_leaves_the_group_is_covered_no_longer() {
    let story = loads(group().contract(contract_row(0)).certificate(certificate_row(0, 0, 15_000)));
    let left = NodeRow { revision: 1, ..node_row(2, None) };
    let books = story.at(90).node(left).told();
    // 30 kWh are left in the group, of which half is covered; 10 kWh elsewhere are not.
    assert_eq!(totals(&books, 90)["market"], "7.5");
    assert!(restated(&books).iter().all(|(_, reason, _)| *reason == "structural"));
}

#[test]
fn the_score_of_carbon_free_energy_is_what_contracts_cover_and_the_grid_s_part_of_the_rest() {
    let cfe = |factor, part| FactorRow { gas: Gas::CfeKwh, ..line(factor, Method::Market, part) };
    let story = group().factor(cfe(0, "0.6")).factor(cfe(1, "1"));
    let story = loads(story.contract(contract_row(0)).certificate(certificate_row(0, 0, 10_000)));
    let revised = FactorRow { revision: 1, ..cfe(0, "0.5") };
    let rest = FactorRow { revision: 1, ..line(0, Method::Market, "0.4") };
    let books = story.at(90).factor(revised).factor(rest).told();
    let energy = |minute, gas, node| {
        let rows = books.balances(minute).footprints.into_iter();
        let rows = rows.filter(|(key, _)| key.gas == gas && key.node == node_id(node));
        let sum: i128 = rows.map(|(_, emission)| emission.mass.get()).sum();
        Decimal::new(sum, 21).to_string()
    };
    // 10 kWh covered and 0.6 of 30; of node 2, 2.5 and 0.6 of 7.5.
    assert_eq!(
        (energy(76, Gas::CfeKwh, 0), energy(76, Gas::LoadKwh, 0)),
        ("28".into(), "40".into())
    );
    assert_eq!(
        (energy(76, Gas::CfeKwh, 2), energy(76, Gas::LoadKwh, 2)),
        ("7".into(), "10".into())
    );
    assert_eq!(
        (energy(90, Gas::CfeKwh, 0), energy(90, Gas::LoadKwh, 0)),
        ("25".into(), "40".into())
    );
    let in_a_day = books.balances(90).windows;
    let in_a_day = in_a_day.iter().filter(|(key, _)| key.window == 2 && key.node == node_id(0));
    let gases: Vec<Gas> = in_a_day.map(|(key, _)| key.gas).filter(|gas| gas.is_energy()).collect();
    assert_eq!(gases.len(), 2, "live windows have both");
    assert_eq!(totals(&books, 76)["market"], "13", "energy is in no total");
}

/// Energy of an hour that was used, that certificates give, and that is covered, 1e-9 kWh.
type OfHour = BTreeMap<i64, [i128; 3]>;

fn by_hour(balances: &Balances) -> OfHour {
    let mut hours = OfHour::new();
    for (ActivityKey { period, subject, .. }, measure) in &balances.activity {
        let hour = hours.entry(period.start_ms(PERIOD).div_euclid(HOUR)).or_default();
        match subject {
            Subject::Contract(_) => hour[2] += measure.amount.get(),
            Subject::Uncovered(_) => hour[0] += measure.amount.get(),
            Subject::Meter(_) | Subject::Activity(_) => {}
        }
    }
    for [load, _, covered] in hours.values_mut() {
        *load += *covered;
    }
    hours
}

proptest! {
    #![proptest_config(cases())]

    #[test]
    fn location_based_scope_2_knows_nothing_of_contracts(scenario in scenarios(), workers in 1_usize..=2) {
        let mut without = scenario.clone();
        for step in &mut without.steps {
            step.facts.retain(|(fact, _)| !matches!(fact, Fact::Contract(_) | Fact::Certificate(_)));
        }
        let end = scenario.end();
        let other_methods = |mut balances: Balances| {
            balances.activity.retain(|key, _| key.subject.has_records());
            balances.emissions.retain(|key, _| key.line.method != Method::Market);
            balances.footprints.retain(|key, _| key.method != Method::Market);
            balances.windows.retain(|key, _| key.method != Method::Market);
            balances
        };
        let with = other_methods(derive(&scenario, workers, 1).until(end));
        prop_assert_eq!(with, other_methods(derive(&without, workers, 1).until(end)));
    }

    #[test]
    fn what_is_covered_is_never_more_than_certificates_nor_than_the_load(scenario in scenarios()) {
        let mut scenario = scenario;
        for step in &mut scenario.steps {
            for (fact, _) in &mut step.facts {
                if let Fact::Contract(row) = fact {
                    row.supply = Supply::Certificates;
                }
            }
        }
        let end = scenario.end();
        let mut given: BTreeMap<i64, i128> = BTreeMap::new();
        // Rows that were withdrawn or revised since only make it more.
        for (fact, _) in scenario.steps.iter().flat_map(|step| &step.facts) {
            if let Fact::Certificate(row) = fact {
                let hour = row.validity.from_ms.div_euclid(HOUR);
                *given.entry(hour).or_default() += i128::from(row.wh) * 1_000_000;
            }
        }
        for (hour, [load, _, covered]) in by_hour(&derive(&scenario, 1, 0).until(end)) {
            prop_assert!(covered <= load);
            prop_assert!(covered <= given.get(&hour).copied().unwrap_or_default());
        }
    }

    #[test]
    fn entries_of_contracts_are_booked_once_or_say_why_they_changed(scenario in scenarios()) {
        let derived = derive(&scenario, 1, 0);
        for ((key, reason), _, _) in &derived.out.emissions {
            if !key.activity.subject.has_records() {
                prop_assert!(*reason != Reason::Backfill && *reason != Reason::GwpChange);
                prop_assert_eq!(key.line.method, Method::Market);
            }
        }
    }
}
