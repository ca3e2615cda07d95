//! Every row compared with the publication it cites, where that lies beside the project.
//!
//! A row is found by its citation, so that this tests both. Where the publications are not there, each test says so
//! and passes.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;

use super::*;
use plumeline_pipelines::model::quantity::divide_half_even;
use plumeline_pipelines::model::{Decimal, Gas, GwpSet, blend};

/// What is printed of a citation, by column.
type Printed = BTreeMap<(String, String), Decimal>;

/// The records of a shared file, ragged as they are.
fn shared(name: &str) -> Option<Vec<Vec<String>>> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data").join(name);
    let Ok(bytes) = std::fs::read(&path) else {
        // Not by `eprintln`, which a test that passes swallows.
        let mut out = std::io::stderr();
        writeln!(out, "NOT compared with the publication: {} is not there", path.display())
            .unwrap();
        return None;
    };
    let mut builder = csv::ReaderBuilder::new();
    let mut reader = builder.flexible(true).has_headers(false).from_reader(bytes.as_slice());
    let record = |record: Result<csv::StringRecord, csv::Error>| {
        record.unwrap().iter().map(|cell| cell.trim().to_owned()).collect()
    };
    Some(reader.records().map(record).collect())
}

/// A printed number, to the 1e-12 kg a rate is kept with: spreadsheets hold some to 17 digits.
fn printed(text: &str) -> Option<Decimal> {
    let number = Decimal::parse(text).ok()?;
    let beyond = number.scale().saturating_sub(12);
    let divisor = 10_i128.pow(u32::from(beyond));
    Some(Decimal::new(divide_half_even(number.mantissa(), divisor), number.scale() - beyond))
}

fn joined(parts: &[&str], unit: &str) -> String {
    let parts: Vec<&str> =
        parts.iter().copied().filter(|part| !part.is_empty() && *part != unit).collect();
    format!("{} per {unit}", parts.join(", "))
}

/// The flat file of 2025, by citation and column.
fn flat() -> Option<Printed> {
    let records = shared("desnz-ghg-conversion-factors/desnz_2025_flat.csv")?;
    let mut all = Printed::new();
    for record in &records[1..] {
        let [_, _, sheet, b, c, d, text, unit, column, number] = record.as_slice() else {
            panic!("{record:?}");
        };
        if let Some(number) = printed(number) {
            let citation = format!("{sheet}: {}", joined(&[b, c, d, text], unit));
            all.insert((citation, column.clone()), number);
        }
    }
    Some(all)
}

const SHEETS_2024: [(&str, &str); 5] = [
    ("Fuels", "fuels"),
    ("Bioenergy", "bioenergy"),
    ("UK electricity", "uk_electricity"),
    ("Transmission and distribution", "transmission_and_distribution"),
    ("Outside of scopes", "outside_of_scopes"),
];

/// Sheets of 2024: names stand once, above the rows they are of.
fn sheets() -> Option<Printed> {
    let mut all = Printed::new();
    for (sheet, file) in SHEETS_2024 {
        let name = format!("desnz-ghg-conversion-factors/desnz_2024_sheet_{file}.csv");
        let mut columns: Vec<String> = Vec::new();
        let (mut activity, mut entry) = (String::new(), String::new());
        for record in shared(&name)? {
            if record.first().is_some_and(|cell| cell == "Activity") {
                columns = record;
                continue;
            }
            let unit = columns.iter().position(|column| column == "Unit");
            let Some(unit) = unit.and_then(|index| record.get(index)) else { continue };
            for (above, cell) in [(&mut activity, &record[0]), (&mut entry, &record[1])] {
                if !cell.is_empty() {
                    above.clone_from(cell);
                }
            }
            let citation = format!("{sheet}: {}", joined(&[&activity, &entry], unit));
            for (column, cell) in columns.iter().zip(&record) {
                if let Some(number) = printed(cell).filter(|_| column.starts_with("kg CO2e")) {
                    all.insert((citation.clone(), column.clone()), number);
                }
            }
        }
    }
    Some(all)
}

fn column(gas: Gas) -> String {
    match gas {
        Gas::Co2e => "kg CO2e".into(),
        Gas::Co2 | Gas::Co2Biogenic => "kg CO2e of CO2 per unit".into(),
        gas => format!("kg CO2e of {} per unit", gas.name().to_uppercase()),
    }
}

fn cited(row: &Row) -> String {
    row.source.splitn(3, ": ").nth(2).unwrap().to_owned()
}

/// Each row of `set` is printed so, and of `sheets` nothing is left out but zeros and what `left_out` says.
fn compare(set: &Set, printed: &Printed, sheets: &[&str], left_out: impl Fn(&str, &str) -> bool) {
    let mut left: Printed = printed.clone();
    for row in set.rows() {
        let place = (cited(row), column(row.gas));
        assert_eq!(printed.get(&place), Some(&row.kg_per_unit), "{}", row.line);
        left.remove(&place);
    }
    let is_whole = |citation: &str| sheets.iter().any(|s| citation.starts_with(&format!("{s}: ")));
    left.retain(|(citation, column), number| {
        is_whole(citation) && *number != Decimal::ZERO && !left_out(citation, column)
    });
    assert!(left.is_empty(), "not in {}: {left:#?}", set.name);
}

#[test]
fn desnz_2024_is_as_published() {
    let Some(printed) = sheets() else { return };
    assert!(printed.len() > 500);
    compare(&sets()[0], &printed, &SHEETS_2024.map(|(sheet, _)| sheet), |_, _| false);
}

#[test]
fn desnz_2025_is_as_published() {
    let Some(printed) = flat() else { return };
    let whole = [
        "Fuels",
        "Bioenergy",
        "UK electricity",
        "Transmission and distribution",
        "Outside of scopes",
        "WTT- fuels",
        "WTT- bioenergy",
        "WTT- UK electricity",
        "Business travel- air",
        "Business travel- sea",
        "Hotel stay",
    ];
    // "kg CO2e of CO2" with radiative forcing is no mass: see the module's documentation.
    let left_out =
        |citation: &str, column: &str| citation.contains("With RF") && column != "kg CO2e";
    compare(&sets()[1], &printed, &whole, left_out);
}

#[test]
fn flights_with_rf_tell_no_mass_of_co2() {
    let Some(printed) = flat() else { return };
    let column = column(Gas::Co2);
    let with = |number: &Decimal| number.mantissa() * 10_i128.pow(u32::from(12 - number.scale()));
    let mut flights = 0;
    for ((citation, of), number) in &printed {
        let is_flight = citation.contains("With RF") && *of == column;
        if !is_flight {
            continue;
        }
        let without = printed[&(citation.replace("With RF", "Without RF"), column.clone())];
        let difference = with(number) * 10 - with(&without) * 17;
        assert!(difference.abs() <= 200_000_000, "{citation}");
        flights += 1;
    }
    assert_eq!(flights, 18);
}

#[test]
fn the_hub_is_as_published() {
    let Some(records) = shared("epa-ghg-emission-factors-hub-2021/table_1.csv") else { return };
    let mut all: BTreeMap<(String, Gas), Decimal> = BTreeMap::new();
    let (mut unit, mut group) = (String::new(), String::new());
    for record in &records[2..] {
        let number = |index: usize, shift: u8| {
            let number = printed(&record[index]).unwrap();
            Decimal::new(number.mantissa(), number.scale() + shift)
        };
        let name = &record[0];
        if let Some(per) = name.strip_prefix("mmBtu per ") {
            per.clone_into(&mut unit);
        } else if name == "Source:" {
            break;
        } else if record.len() == 1 {
            group.clone_from(name);
        } else {
            let co2 = if group.starts_with("Biomass") { Gas::Co2Biogenic } else { Gas::Co2 };
            let (name, from) = match record.len() {
                4 => (format!("Kraft Pulping Liquor by Wood Furnish, {name}"), [1, 0]),
                _ => (name.clone(), [2, 5]),
            };
            for (from, unit) in from.into_iter().zip(["mmBtu", unit.as_str()]).filter(|f| f.0 > 0) {
                let citation = format!("Table 1 Stationary Combustion: {name} per {unit}");
                all.insert((citation.clone(), co2), number(from, 0));
                all.insert((citation.clone(), Gas::Ch4), number(from + 1, 3));
                all.insert((citation, Gas::N2o), number(from + 2, 3));
            }
        }
    }
    let rows = sets()[2].rows();
    assert_eq!(rows.len(), all.len());
    for row in rows {
        assert_eq!(all.get(&(cited(row), row.gas)), Some(&row.kg_per_unit), "{}", row.line);
    }
}

#[test]
fn egrid_is_as_published() {
    let Some(records) = shared("epa-ghg-emission-factors-hub-2021/table_6.csv") else { return };
    let mut found = 0;
    for record in &records {
        // Gases of total output come before those of the non-baseload rates. One line has a remark before its name.
        let from = usize::from(record.first().is_some_and(|cell| cell == "New Region"));
        let Some(co2) = record.get(from + 1).filter(|_| record.len() == from + 7) else { continue };
        if printed(co2).is_none() {
            continue;
        }
        for (index, gas) in [(1, Gas::Co2), (2, Gas::Ch4), (3, Gas::N2o)] {
            let text = &record[from + index];
            let citation = format!(
                "Table 6 Electricity (eGRID2019 total output): {} per MWh, printed as {text} lb",
                record[from]
            );
            let row = sets()[3].rows().iter().find(|r| cited(r) == citation && r.gas == gas);
            let row = row.unwrap_or_else(|| panic!("{citation}"));
            let pounds = printed(text).unwrap();
            let kg = Decimal::new(pounds.mantissa() * 45_359_237, pounds.scale() + 8);
            assert_eq!(row.kg_per_unit, kg, "{}", row.line);
            found += 1;
        }
    }
    assert_eq!(found, sets()[3].rows().len());
}

/// What a blend of `rows` comes to, in whole kg CO2e, half up as printed.
fn potential(rows: &[&Row], set: GwpSet) -> i128 {
    let sum = rows.iter().map(|row| in_set(row, set)).reduce(add).unwrap();
    let half = Decimal::new(5, 1);
    let up = add(sum, half);
    up.mantissa().div_euclid(10_i128.pow(u32::from(up.scale())))
}

#[test]
fn blends_come_to_their_printed_potentials() {
    let printed = shared("epa-ghg-emission-factors-hub-2021/table_12.csv");
    let (Some(records), Some(flat)) = (printed, flat()) else { return };
    let mut blends = 0;
    for record in records.iter().filter(|record| record.len() == 3) {
        let key = format!("refrigerant-{}", record[0].to_lowercase());
        let rows: Vec<&Row> = sets()[4].rows_of(&key).collect();
        if rows.is_empty() {
            continue;
        }
        assert_eq!(potential(&rows, GwpSet::Ar4).to_string(), record[1], "{key}");
        let name = match record[0].as_str() {
            "R-507" => "R507A".to_owned(),
            name => name.replace('-', ""),
        };
        let column = "Emissions including only Kyoto products per kg";
        let citation = format!("Refrigerant & other: Blends, {name}, {column}");
        let ar5 = flat[&(citation, "kg CO2e".to_owned())];
        assert_eq!(potential(&rows, GwpSet::Ar5).to_string(), ar5.to_string(), "{key}");
        blends += 1;
    }
    assert_eq!(blends, 12);
}

/// All blends that may be written, also those that do not come along.
#[test]
fn every_blend_comes_to_its_printed_potential() {
    let Some(flat) = flat() else { return };
    for name in blend::names().filter(|name| *name != "r-507") {
        let tenths = blend::composition(name).unwrap().into_iter().map(|(gas, share)| {
            let potential = Decimal::new(gas.gwp_tenths(GwpSet::Ar5).into(), 1);
            share.times(potential).unwrap()
        });
        let sum = tenths.reduce(add).unwrap();
        let up = add(sum, Decimal::new(5, 1));
        let whole = up.mantissa().div_euclid(10_i128.pow(u32::from(up.scale())));
        let printed = name.to_uppercase().replace('-', "");
        let column = "Emissions including only Kyoto products per kg";
        let citation = format!("Refrigerant & other: Blends, {printed}, {column}");
        let ar5 = flat[&(citation, "kg CO2e".to_owned())];
        assert_eq!(whole.to_string(), ar5.to_string(), "{name}");
    }
}

#[test]
fn potentials_are_as_published() {
    let Some(records) = shared("epa-ghg-emission-factors-hub-2021/table_11.csv") else { return };
    let mut found = 0;
    for record in records.iter().filter(|record| record.len() == 2) {
        let Some(gas) = Gas::parse(&record[0].to_lowercase()) else { continue };
        let ar4 = Decimal::new(gas.gwp_tenths(GwpSet::Ar4).into(), 1);
        assert_eq!(ar4.to_string(), record[1], "{}", record[0]);
        found += 1;
    }
    // All gases but the fossil methane, which has the same there.
    assert_eq!(found, 15);
}
