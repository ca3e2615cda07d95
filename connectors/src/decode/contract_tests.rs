//! What a contract and a certificate are read as, and what of them is refused.

use std::borrow::Cow;
use std::collections::BTreeMap;

use jiff::tz::TimeZone;
use plumeline_pipelines::model::{Decimal, Fact, Names, Supply};

use crate::decode::fact::{FactChange, FactError, Table, fact_from_fields};

const CONTRACT: &str = "contract=ppa node=group covers=grid factor=solar supply=metered \
    output=farm share=0.4 priority=2 zone=GB conveys=a sole=b retired=c vintage=d market=e";
const CERTIFICATE: &str = "certificate=GC-1 contract=ppa zone=GB wh=1500 issued_wh=2000 retired=r \
    valid_from=2026-06-01T10:07:00Z valid_to=2026-06-01T11:07:00Z";

/// The row of fields written `column=text`, of which `changes` replace some; an empty text leaves one out.
fn read(table: Table, row: &str, changes: &str, names: &Names) -> Result<FactChange, FactError> {
    let fields: BTreeMap<&str, &str> = row
        .split_whitespace()
        .chain(changes.split_whitespace())
        .map(|field| field.split_once('=').expect("column=text"))
        .collect();
    let field = |column: &str| fields.get(column).map(|text| Cow::Borrowed(*text));
    let rows = fact_from_fields(table, &field, names, &TimeZone::UTC, 900_000);
    rows.map(|mut rows| rows.remove(0))
}

fn refused(table: Table, row: &str, changes: &str) -> String {
    read(table, row, changes, &Names::new()).expect_err(changes).to_string()
}

#[test]
fn a_contract_names_what_it_covers_and_what_it_has_to_give() {
    let names = Names::new();
    let fact = read(Table::Contracts, CONTRACT, "", &names).expect("a contract").fact;
    let Fact::Contract(row) = fact else { panic!("{fact:?}") };
    assert_eq!((&*names.name(row.covers), &*row.name, row.priority), ("grid", "ppa", 2));
    let farm = names.find("farm").expect("interned");
    assert_eq!(row.supply, Supply::Metered { factor: farm, share: Decimal::new(4, 1) });
    assert!(row.counts());
    let fact = read(Table::Contracts, CONTRACT, "supply=any market=", &names).expect("one").fact;
    let Fact::Contract(row) = fact else { panic!("{fact:?}") };
    assert_eq!((row.supply, row.counts()), (Supply::Any, false));
}

#[test]
fn a_contract_that_cannot_be_meant_is_refused() {
    let refused = |changes| refused(Table::Contracts, CONTRACT, changes);
    assert!(refused("factor=grid").contains("`grid` is the factor of the load itself"));
    assert!(refused("output=grid").contains("`grid` is the factor of the load itself"));
    assert!(refused("output=").contains("write the factor that the meters of the plant name"));
    assert!(refused("share=1.01").contains("`1.01` is more than all the plant puts out"));
    assert!(refused("share=0").contains("`0` is not above 0"));
    assert!(refused("supply=some").contains("certificates, metered, any"));
    assert!(refused("matching=hourly").contains("hourly-1"));
    assert!(refused("priority=-1").contains("no whole number"));
}

#[test]
fn a_certificate_has_its_own_times_and_is_not_larger_than_its_issue() {
    let names = Names::new();
    let fact = read(Table::Certificates, CERTIFICATE, "issued_wh=", &names).expect("one").fact;
    let Fact::Certificate(row) = fact else { panic!("{fact:?}") };
    assert_eq!((row.wh, row.issued_wh), (1500, 1500));
    assert_eq!(row.validity.to_ms - row.validity.from_ms, 3_600_000);
    let refused = |changes| refused(Table::Certificates, CERTIFICATE, changes);
    assert!(refused("wh=2001").contains("`2001` is more than the 2000 Wh that were issued"));
    assert!(refused("wh=1.5").contains("write digits alone"));
    assert!(refused("wh=").contains("write whole Wh"));
    assert!(refused("valid_to=").contains("write when the generation it is of ends"));
}
