//! Tests of rows of facts.

use std::collections::BTreeMap;

use plumeline_pipelines::model::{Id, Validity};

use super::*;
use crate::decode::time::parse_instant_ms;

const QUARTER_MS: i64 = 15 * 60_000;

struct Bench {
    names: Names,
    timezone: TimeZone,
}

impl Bench {
    fn new(zone: &str) -> Self {
        Self { names: Names::new(), timezone: TimeZone::get(zone).unwrap() }
    }

    fn read(&self, table: Table, fields: &[(&str, &str)]) -> Result<FactChange, FactError> {
        let fields: BTreeMap<String, String> =
            fields.iter().map(|(key, value)| ((*key).into(), (*value).into())).collect();
        let field = |column: &str| fields.get(column).map(|text| Cow::Owned(text.clone()));
        let rows = fact_from_fields(table, &field, &self.names, &self.timezone, QUARTER_MS)?;
        Ok(rows.into_iter().next().expect("a row"))
    }

    fn meter(&self, fields: &[(&str, &str)]) -> Result<MeterRow, FactError> {
        let base = [("meter", "m-17"), ("node", "york"), ("kind", "register"), ("unit", "kWh")];
        let all: Vec<_> = base.into_iter().chain(fields.iter().copied()).collect();
        let Fact::Meter(row) = self.read(Table::Meters, &all)?.fact else { panic!("a meter") };
        Ok(row)
    }

    fn factor(&self, fields: &[(&str, &str)]) -> Result<FactorRow, FactError> {
        let base = [
            ("factor", "grid"),
            ("scope", "2"),
            ("gas", "co2"),
            ("kg_per_unit", "0.20707"),
            ("unit", "kWh"),
        ];
        let all: Vec<_> = base.into_iter().chain(fields.iter().copied()).collect();
        let Fact::Factor(row) = self.read(Table::Factors, &all)?.fact else { panic!("a factor") };
        Ok(row)
    }
}

#[test]
fn a_short_meter_row_has_the_documented_defaults() {
    let bench = Bench::new("UTC");
    let row = bench.meter(&[("factor", " "), ("revision", "")]).unwrap();
    let expected = MeterRow {
        meter: bench.names.find("m-17").unwrap(),
        node: bench.names.find("york").unwrap(),
        kind: MeterKind::Register,
        unit: Unit::parse("kWh").ok(),
        multiplier: Decimal::ONE,
        stamp: StampSide::End,
        interval_ms: None,
        max_hold_ms: 900_000,
        modulus: None,
        max_power: None,
        expected_every_ms: None,
        factor: Id::NONE,
        validity: Validity::ALWAYS,
        revision: 0,
    };
    assert_eq!(row, expected);
}

#[test]
fn a_full_meter_row_is_read_exactly() {
    let bench = Bench::new("Europe/Berlin");
    let row = bench
        .meter(&[
            ("multiplier", "200"),
            ("stamp", "start"),
            ("interval", "15m"),
            ("max_hold", "1h"),
            ("modulus", "1000000"),
            ("max_power", "12345.678901234500001"),
            ("expected_every", "30s"),
            ("factor", "grid"),
            ("valid_from", "2026-01-01"),
            ("valid_to", "2026-07-01T00:00:00+02:00"),
            ("revision", "7"),
        ])
        .unwrap();
    assert_eq!((row.stamp, row.interval_ms), (StampSide::Start, Some(900_000)));
    assert_eq!((row.max_hold_ms, row.expected_every_ms), (3_600_000, Some(30_000)));
    assert_eq!(row.max_power.unwrap().to_string(), "12345.678901234500001");
    // Midnight in Berlin: one hour before UTC's in winter, two in summer.
    let hours = |text: &str| parse_instant_ms(text).unwrap();
    assert_eq!(row.validity.from_ms, hours("2025-12-31T23:00:00Z"));
    assert_eq!(row.validity.to_ms, hours("2026-06-30T22:00:00Z"));
    assert_eq!(row.revision, 7);
}

#[test]
fn a_factor_line_is_read_exactly() {
    let bench = Bench::new("UTC");
    let row = bench.factor(&[("revision", "2"), ("source", "DESNZ 2024")]).unwrap();
    assert_eq!((row.scope, row.category, row.method), (2, 0, Method::Any));
    assert_eq!(row.kg_per_unit.to_string(), "0.20707");
    assert_eq!(&*bench.names.name(row.source), "DESNZ 2024");
    let change = bench.read(
        Table::Nodes,
        &[
            ("node", "york"),
            ("parent", "acme"),
            ("withdrawn", "true"),
            ("valid_from", "2026-01-01"),
        ],
    );
    let change = change.unwrap();
    assert!(change.withdrawn);
    let Fact::Node(node) = change.fact else { panic!("a node") };
    assert_eq!(node.name, node.node);
}

#[test]
fn a_price_is_read_exactly() {
    let bench = Bench::new("Europe/London");
    let row = [
        ("unit", "EUR"),
        ("to", "GBP@2021"),
        ("rate", "111.60"),
        ("per", "128.6"),
        ("valid_from", "2023-01-01"),
        ("valid_to", "2024-01-01"),
        ("source", "an index"),
    ];
    let Fact::Price(row) = bench.read(Table::Prices, &row).unwrap().fact else { panic!("a price") };
    assert_eq!(&*bench.names.name(row.price), "EUR/GBP@2021");
    assert_eq!((row.unit.symbol(), row.to.symbol()), ("EUR", "GBP@2021"));
    assert_eq!((row.rate.to_string(), row.per.to_string()), ("111.6".into(), "128.6".into()));
    assert_eq!(row.ratio(), (558, 643));
}

#[test]
fn a_wrong_price_is_named_with_its_remedy() {
    let bench = Bench::new("UTC");
    for (column, text, shown) in [
        ("unit", "EURO", "unit: `EURO` is not known; write a currency of ISO 4217 such as EUR"),
        ("unit", "kg", "unit: `kg` is no money; write a currency of ISO 4217 such as EUR, or one"),
        ("unit", "", "unit: is empty; write a currency"),
        ("to", "GBP@1066", "to: `GBP@1066`: a price year is 1990 to 2099, of a currency"),
        ("to", "EUR", "to: `EUR` is the unit itself; write the money that it becomes"),
        ("rate", "", "rate: is empty; write how many `to` one `unit` is"),
        ("rate", "0", "rate: `0` is not above 0 with at most 9 digits; round it"),
        ("rate", "-0.5", "rate: `-0.5` is not above 0"),
        ("per", "1.2345678901", "per: `1.2345678901` is not above 0 with at most 9 digits"),
        ("per", "1,2", "per: `1,2` is not a decimal number; write digits with a point"),
    ] {
        let mut row = vec![("unit", "EUR"), ("to", "GBP@2021"), ("rate", "0.75")];
        row.retain(|(name, _)| *name != column);
        row.push((column, text));
        let said = bench.read(Table::Prices, &row).unwrap_err().to_string();
        assert!(said.starts_with(shown), "{said}");
    }
}

#[test]
fn a_wrong_meter_field_is_named_with_its_remedy() {
    let bench = Bench::new("UTC");
    for (column, text, shown) in [
        ("kind", "registr", "kind: `registr` is not known; write `register`"),
        (
            "unit",
            "kW",
            "unit: `kW` is a power, and the kind is register; write `kWh`, or kind = power",
        ),
        ("unit", "kw/h", "unit: `kw/h` is not known; write `kWh`"),
        (
            "multiplier",
            "0.0",
            "multiplier: `0` would lose every value; write the factor values are multiplied with, or leave it empty for 1",
        ),
        ("modulus", "-1", "modulus: `-1` is not above 0; leave it empty for none"),
        (
            "max_power",
            "1e400",
            "max_power: `1e400` has more than 38 significant digits or 30 decimals; write digits with a point, such as 0.20707",
        ),
        ("interval", "15", "interval: `15` has no unit; write a length such as 15m, 1h or 1d"),
        (
            "max_hold",
            "2000d",
            "max_hold: `2000d` is not between 1ms and 366d; write a length such as 15m, 1h or 1d",
        ),
        (
            "valid_from",
            "2026-02-30",
            "valid_from: `2026-02-30` is not a day of the calendar; write a date such as 2026-01-31, or an instant such as 2026-01-31T00:00:00Z",
        ),
        (
            "valid_from",
            "1970-01-01",
            "valid_from: `1970-01-01` is not between 2000-01-01 and 2099-12-31; leave it empty for always",
        ),
        (
            "valid_to",
            "2026-01-01T00:20:00Z",
            "valid_to: `2026-01-01T00:20:00Z` is in the middle of an accounting period; write 2026-01-01T00:15:00Z, or choose a shorter `period`",
        ),
        ("revision", "1.5", "revision: `1.5` is no whole number; write 1, 2, 3, ..."),
        ("withdrawn", "yes", "withdrawn: `yes` is not known; write one of true, false"),
    ] {
        let error = bench.meter(&[(column, text)]).expect_err(text);
        assert_eq!(error.to_string(), shown);
    }
    let error = bench.meter(&[("kind", "interval"), ("stamp", "start")]).unwrap_err();
    assert_eq!(error.column, "stamp");
    let error = bench.meter(&[("kind", "power")]).unwrap_err();
    assert_eq!(error.column, "unit");
    let dates = [("valid_from", "2026-02-01"), ("valid_to", "2026-02-01")];
    assert_eq!(bench.meter(&dates).unwrap_err().column, "valid_to");
}

#[test]
fn a_wrong_factor_or_node_field_is_named() {
    let bench = Bench::new("UTC");
    for (column, text) in [
        ("scope", "4"),
        ("category", "16"),
        ("category", "3"),
        ("method", "residual"),
        ("gas", "co3"),
        ("kg_per_unit", "nan"),
        ("kg_per_unit", "1e9"),
        ("unit", "kW"),
        ("factor", ""),
        ("scope", ""),
        ("gas", ""),
        ("unit", ""),
    ] {
        assert_eq!(bench.factor(&[(column, text)]).expect_err(text).column, column, "{text}");
    }
    assert_eq!(bench.factor(&[("gas", "co2_biogenic")]).unwrap_err().column, "scope");
    let itself = [("node", "york"), ("parent", "york")];
    assert_eq!(bench.read(Table::Nodes, &itself).unwrap_err().column, "parent");
    let long = "x".repeat(257);
    assert_eq!(bench.read(Table::Nodes, &[("node", &long)]).unwrap_err().column, "node");
    assert_eq!(bench.read(Table::Nodes, &[("node", "a\u{7}b")]).unwrap_err().column, "node");
}

#[test]
fn the_carbon_free_part_of_energy_is_at_most_all_of_it_and_market_based() {
    let bench = Bench::new("UTC");
    let told = |fields: &[(&'static str, &'static str)]| {
        let mut all = vec![("gas", "cfe_kwh"), ("method", "market"), ("kg_per_unit", "0.62")];
        all.extend(fields);
        bench.factor(&all)
    };
    assert_eq!(told(&[]).unwrap().gas, Gas::CfeKwh);
    assert!(told(&[("kg_per_unit", "620"), ("unit", "MWh")]).is_ok());
    let refused = |fields: &[(&'static str, &'static str)]| told(fields).unwrap_err().to_string();
    assert!(refused(&[("kg_per_unit", "1.01")]).contains("is more than all of it"));
    assert!(refused(&[("unit", "kg")]).contains("`kg` is no unit of energy"));
    assert!(refused(&[("method", "any")]).contains("write scope = 2 and method = market"));
    assert!(refused(&[("gas", "load_kwh")]).contains("`load_kwh` is not known"));
}

#[test]
fn a_refused_row_leaves_no_name_behind() {
    let bench = Bench::new("UTC");
    assert!(bench.meter(&[("factor", "new"), ("withdrawn", "perhaps")]).is_err());
    assert_eq!(bench.names.find("m-17"), None);
    assert_eq!(bench.names.find("new"), None);
}

#[test]
fn unknown_columns_are_refused_with_the_nearest() {
    assert_eq!(check_column(Table::Meters, "max_hold"), Ok(()));
    let error = check_column(Table::Meters, "max_hould").unwrap_err();
    assert_eq!(error.remedy, "write `max_hold`, or remove it");
    assert!(
        check_column(Table::Nodes, "colour").unwrap_err().remedy.starts_with("the columns are")
    );
}
