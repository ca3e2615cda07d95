//! What is wrong between contracts and certificates, one by one.

use jiff::tz::TimeZone;
use plumeline_pipelines::model::{
    FactorChange, FactorStatus, Gas, Matching, Names, Supply, Unit, Validity,
};

use super::super::row::held_in;
use super::*;

const HOUR: i64 = 1_800_000_000_000;

fn contract(names: &Names, name: &str, supply: Supply) -> ContractRow {
    ContractRow {
        contract: names.intern(name),
        name: name.to_owned(),
        node: names.intern("group"),
        covers: names.intern("grid"),
        factor: names.intern("solar"),
        supply,
        priority: 0,
        zone: names.intern("GB"),
        matching: Matching::Hourly1,
        evidence: [names.intern("a document"); 5],
        validity: Validity::ALWAYS,
        revision: 0,
    }
}

fn half(names: &Names) -> Supply {
    Supply::Metered { factor: names.intern("farm"), share: Decimal::new(51, 2) }
}

fn certificate(names: &Names, name: &str) -> CertificateRow {
    CertificateRow {
        certificate: names.intern(name),
        contract: names.intern("ppa"),
        zone: names.intern("GB"),
        device: Id::NONE,
        wh: 1,
        issued_wh: 1,
        retired: names.intern("a document"),
        validity: Validity { from_ms: HOUR, to_ms: HOUR + HOUR_MS },
        revision: 0,
    }
}

fn line(names: &Names, factor: &str, method: Method) -> FactorRow {
    FactorRow {
        factor: names.intern(factor),
        revision: 0,
        scope: 2,
        category: 0,
        method,
        gas: Gas::Co2,
        kg_per_unit: Decimal::ONE,
        unit: Unit::parse("kWh").unwrap(),
        published_gwp: None,
        status: FactorStatus::Final,
        change: FactorChange::Revised,
        validity: Validity::ALWAYS,
        source: Id::NONE,
    }
}

/// What the rules say, in a pipeline of quarters of an hour.
fn told(names: &Names, rows: Vec<ContractRow>, certificates: Vec<CertificateRow>) -> Vec<String> {
    told_of(names, rows, certificates, 900_000)
}

fn told_of(
    names: &Names,
    rows: Vec<ContractRow>,
    certificates: Vec<CertificateRow>,
    period_ms: i64,
) -> Vec<String> {
    let mut books = Books::default();
    for (line, row) in (2..).zip(rows) {
        let held = held_in("contracts.csv", line, Origin::File, row);
        books.contracts.entry(held.row.contract).or_default().push(held);
    }
    for (line, row) in (2..).zip(certificates) {
        let held = held_in("certificates.csv", line, Origin::File, row);
        books.certificates.entry(held.row.certificate).or_default().push(held);
    }
    for (number, factor) in (2..).zip(["grid", "solar", "brown"]) {
        let method = if factor == "brown" { Method::Any } else { Method::Market };
        let held = held_in("factors.csv", number, Origin::File, line(names, factor, method));
        books.factors.entry(held.row.factor).or_default().push(held);
    }
    let words = Words { names, timezone: &TimeZone::UTC };
    let mut problems = Problems::new();
    let months = (0..=24).map(|month| HOUR + (30 * month - 15) * 24 * HOUR_MS).collect();
    let calendar = Calendar::new("Etc/UTC", months, Vec::new());
    contracts(&books, (words, period_ms, &calendar), &BTreeSet::new(), &mut problems);
    problems.iter().map(ToString::to_string).collect()
}

#[test]
fn what_is_in_order_is_passed_over_in_silence() {
    let names = Names::new();
    let rows = vec![contract(&names, "ppa", Supply::Certificates)];
    assert_eq!(told(&names, rows, vec![certificate(&names, "GC-1")]), [""; 0]);
}

#[test]
fn shares_of_a_plant_that_add_up_to_more_than_all_of_it_are_an_error() {
    let names = Names::new();
    let (a, b) = (contract(&names, "ppa", half(&names)), contract(&names, "other", half(&names)));
    let told = told(&names, vec![a, b], Vec::new());
    assert_eq!(told.len(), 2, "{told:?}");
    assert!(told[0].contains("takes 0.51 of \"farm\", of which other contracts take 0.51"));
}

#[test]
fn a_contract_that_proves_too_little_is_told_to_cover_nothing() {
    let names = Names::new();
    let mut row = contract(&names, "ppa", Supply::Any);
    row.evidence[1] = Id::NONE;
    row.evidence[3] = Id::NONE;
    let told = told(&names, vec![row], Vec::new());
    assert!(told[0].contains("does not prove sole, vintage: it covers nothing"), "{told:?}");
}

#[test]
fn a_factor_without_market_based_lines_cannot_be_moved() {
    let names = Names::new();
    let row = ContractRow { covers: names.intern("brown"), ..contract(&names, "ppa", Supply::Any) };
    let told = told(&names, vec![row], Vec::new());
    assert!(told[0].contains("has no line of method market"), "{told:?}");
}

#[test]
fn load_under_one_grid_is_of_one_zone() {
    let names = Names::new();
    let one = contract(&names, "ppa", Supply::Certificates);
    let other = contract(&names, "greens", Supply::Any);
    assert_eq!(told(&names, vec![one.clone(), other.clone()], Vec::new()), [""; 0]);
    let abroad = ContractRow { zone: names.intern("FR"), ..other.clone() };
    let told_abroad = told(&names, vec![one.clone(), abroad.clone()], Vec::new());
    assert_eq!(told_abroad.len(), 1, "{told_abroad:?}");
    assert!(told_abroad[0].contains("delivers to \"FR\""), "{told_abroad:?}");
    let corrected = ContractRow { zone: names.intern("FR"), revision: 1, ..one.clone() };
    assert_eq!(told(&names, vec![one.clone(), corrected], Vec::new()), [""; 0]);
    let later = Validity { from_ms: HOUR, ..Validity::ALWAYS };
    let before = Validity { to_ms: HOUR, ..Validity::ALWAYS };
    let moved =
        vec![ContractRow { validity: before, ..one }, ContractRow { validity: later, ..abroad }];
    assert_eq!(told(&names, moved, Vec::new()), [""; 0]);
}

#[test]
fn a_certificate_out_of_place_is_an_error() {
    let names = Names::new();
    let rows = || vec![contract(&names, "ppa", Supply::Certificates)];
    let elsewhere = CertificateRow { zone: names.intern("FR"), ..certificate(&names, "GC-1") };
    let told_elsewhere = told(&names, rows(), vec![elsewhere]);
    assert!(told_elsewhere[0].contains("is of zone \"FR\""), "{told_elsewhere:?}");
    let unknown = CertificateRow { contract: names.intern("pap"), ..certificate(&names, "GC-1") };
    let told_unknown = told(&names, rows(), vec![unknown]);
    assert!(told_unknown[0].contains("names contract \"pap\", which is in no table"));
    let validity = Validity { from_ms: HOUR, to_ms: HOUR + 2 * HOUR_MS };
    let long = CertificateRow { validity, ..certificate(&names, "GC-1") };
    let told_long = told(&names, rows(), vec![long.clone()]);
    assert!(told_long[0].contains("they cover nothing"), "{told_long:?}");
    let of_a_month = vec![ContractRow { matching: Matching::Monthly1, ..rows()[0].clone() }];
    assert_eq!(told(&names, of_a_month.clone(), vec![long.clone()]), [""; 0]);
    let validity = Validity { to_ms: HOUR + 16 * 24 * HOUR_MS, ..long.validity };
    let longer = CertificateRow { validity, ..long };
    let told_longer = told(&names, of_a_month, vec![longer.clone()]);
    assert!(told_longer[0].contains("they cover nothing"), "{told_longer:?}");
    let of_a_year = vec![ContractRow { matching: Matching::Annual1, ..rows()[0].clone() }];
    assert_eq!(told(&names, of_a_year, vec![longer]), [""; 0]);
}

#[test]
fn a_certificate_that_is_told_twice_is_an_error() {
    let names = Names::new();
    let validity = Validity { from_ms: HOUR + HOUR_MS, to_ms: HOUR + 2 * HOUR_MS };
    let again = CertificateRow { validity, ..certificate(&names, "GC-1") };
    let rows = vec![contract(&names, "ppa", Supply::Certificates)];
    let wrong = told(&names, rows.clone(), vec![certificate(&names, "GC-1"), again.clone()]);
    assert_eq!(wrong.len(), 1, "{wrong:?}");
    assert!(wrong[0].contains("told twice with revision 0: it is used once"), "{wrong:?}");
    let revised = CertificateRow { revision: 1, ..again };
    assert_eq!(told(&names, rows, vec![certificate(&names, "GC-1"), revised]), [""; 0]);
}

#[test]
fn hours_need_periods_that_divide_them() {
    let names = Names::new();
    let rows = vec![contract(&names, "ppa", Supply::Certificates)];
    let told = told_of(&names, rows, Vec::new(), 2_700_000);
    assert!(told[0].contains("an hour cannot be cut into periods"), "{told:?}");
    let rows =
        vec![ContractRow { matching: Matching::Annual1, ..contract(&names, "ppa", Supply::Any) }];
    assert_eq!(told_of(&names, rows, Vec::new(), 2_700_000), [""; 0]);
}
