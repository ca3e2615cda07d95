//! Footprints as suppliers send them, and what becomes of them. The documents are made up, after PACT's own examples.

use super::*;

const V2: &str = r#"{
  "id": "91715e5e-fd0b-4d1c-8fab-76290c46e6ed", "specVersion": "2.3.0", "version": 1,
  "created": "2024-03-01T09:32:20Z", "status": "Active",
  "validityPeriodStart": "2024-03-01T09:32:20Z", "validityPeriodEnd": "2026-12-31T23:59:59Z",
  "companyName": "My Corp", "productIds": ["urn:gtin:5695872369587", "urn:other:1"],
  "productNameCompany": "Green Ethanol, \"bulk\"",
  "pcf": {
    "declaredUnit": "liter", "unitaryProductAmount": "12",
    "pCfExcludingBiogenic": "1.63", "pCfIncludingBiogenic": "1.85", "fossilGhgEmissions": "1.5",
    "biogenicCarbonWithdrawal": "-1.5",
    "characterizationFactors": "AR6", "ipccCharacterizationFactorsSources": ["AR5"],
    "referencePeriodStart": "2023-01-01T00:00:00Z", "referencePeriodEnd": "2024-01-01T00:00:00Z",
    "primaryDataShare": 12.9
  }
}"#;

const V3: &str = r#"{
  "id": "12345678-9abc-4ef0-9234-567812345678", "specVersion": "3.0.0",
  "created": "2025-04-30T00:00:00Z", "status": "Active",
  "companyName": "Company 1", "productIds": ["urn:product:door"], "productNameCompany": "Car door",
  "pcf": {
    "declaredUnitOfMeasurement": "kilogram", "declaredUnitAmount": "80",
    "pcfExcludingBiogenicUptake": 200.4, "pcfIncludingBiogenicUptake": "190",
    "landManagementBiogenicCO2Emissions": "0.8", "landManagementBiogenicCO2Removals": "-0.4",
    "biogenicCO2Uptake": "-10.4", "ipccCharacterizationFactors": ["AR6"],
    "referencePeriodEnd": "2024-12-31T00:00:00Z", "primaryDataShare": "56.12"
  }
}"#;

fn import(text: &str) -> Result<Imported, String> {
    import_pact(&[("f.json".to_owned(), text.to_owned())], DEFAULT_CATEGORY, false)
}

fn lines(text: &str) -> Vec<String> {
    import(text).unwrap().table.lines().skip(1).map(str::to_owned).collect()
}

fn problem(text: &str) -> String {
    import(text).unwrap_err()
}

#[test]
fn a_footprint_of_2_x_is_told_per_declared_unit() {
    let source = "\"PACT 2.3.0: My Corp: Green Ethanol, \"\"bulk\"\": footprint \
                  91715e5e-fd0b-4d1c-8fab-76290c46e6ed version 1, primary data 12.9 %\"";
    let row = |rest: &str, gwp: &str| {
        format!(
            "urn:gtin:5695872369587,20240301093220,{rest},L,{gwp},,,2024-03-01,2027-01-01,{source}"
        )
    };
    // Biogenic: 1.85 - 1.63 + 1.5.
    let expected = [row("3,1,any,co2e,1.63", "ar5"), row("0,,any,co2_biogenic,1.72", "")];
    assert_eq!(lines(V2), expected);
    let remarks = import(V2).unwrap().remarks;
    assert_eq!(remarks, ["f.json: $: biogenic uptake of -1.5 kg is no emission: left out"]);
}

#[test]
fn a_footprint_of_3_x_is_divided_by_its_amount() {
    let source = "PACT 3.0.0: Company 1: Car door: footprint 12345678-9abc-4ef0-9234-567812345678";
    let row = |rest: &str, gwp: &str| {
        format!(
            "urn:product:door,20250430000000,{rest},kg,{gwp},,,2024-12-31,2027-12-31,\
             \"{source}, primary data 56.12 %\""
        )
    };
    // (200.4 - 0.8 + 0.4) / 80, and 0.8 / 80; three years from the end of the reference period.
    let expected = [row("3,1,any,co2e,2.5", "ar6"), row("0,,any,co2_biogenic,0.01", "")];
    assert_eq!(lines(V3), expected);
    let remarks = import(V3).unwrap().remarks.join("\n");
    assert!(remarks.contains("biogenic uptake of -10.4 kg"), "{remarks}");
    assert!(remarks.contains("biogenic removals of -0.4 kg"), "{remarks}");
}

#[test]
fn one_or_many_may_stand_under_data_or_alone() {
    for text in [
        V3.to_owned(),
        format!("[{V3}]"),
        format!("{{\"data\":{V3}}}"),
        format!("\u{feff} {{\"data\":[{V3}]}}"),
    ] {
        assert_eq!(lines(&text), lines(V3));
    }
    assert_eq!(lines(&format!("{{\"data\":[{V3},{V2}]}}")), [lines(V3), lines(V2)].concat());
    assert_eq!(lines("[]"), Vec::<String>::new());
}

#[test]
fn what_the_program_prints_it_reads() {
    let table = import(&format!("[{V2},{V3}]")).unwrap().table;
    let names = plumeline_pipelines::model::Names::new();
    let timezone = jiff::tz::TimeZone::UTC;
    let terms = crate::facts::Terms { names: &names, timezone: &timezone, period_ms: 86_400_000 };
    let read =
        crate::facts::read_bytes(crate::facts::Table::Factors, "f.csv", table.as_bytes(), terms);
    assert_eq!(read.unwrap().rows.len(), 4);
}

#[test]
fn a_deprecated_footprint_is_left_out_and_said_to_be() {
    let text = V3.replace("Active", "Deprecated");
    let imported = import(&text).unwrap();
    assert_eq!(imported.table, COLUMNS.join(","));
    let expected = "f.json: $: is deprecated: left out; --deprecated imports it all the same";
    assert_eq!(imported.remarks.last().map(String::as_str), Some(expected));
    let asked = import_pact(&[("f.json".to_owned(), text)], 4, true).unwrap().table;
    assert!(asked.contains("urn:product:door,20250430000000,3,4,any,co2e,2.5,kg"), "{asked}");
}

#[test]
fn a_quotient_that_is_no_decimal_is_remarked() {
    let imported = import(&V3.replace("\"80\"", "\"30\"")).unwrap();
    assert!(imported.table.contains("co2e,6.666666666666666667,kg"), "{}", imported.table);
    let expected = "co2e per 30 kg is no decimal per kg: rounded to 6.666666666666666667 kg";
    assert!(imported.remarks.join("\n").contains(expected), "{:?}", imported.remarks);
}

#[test]
fn each_mistake_is_named_by_its_path_with_its_remedy() {
    for (from, to, said) in [
        (
            "\"3.0.0\"",
            "\"1.0.1\"",
            "$.specVersion: `1.0.1` is not read; ask for the footprint by PACT 2.x or 3.x",
        ),
        (
            "\"kilogram\"",
            "\"megabit second\"",
            "$.pcf.declaredUnitOfMeasurement: `megabit second` is no unit",
        ),
        ("\"80\"", "\"0\"", "$.pcf.declaredUnitAmount: `0` is not above 0; write how many"),
        (
            "200.4",
            "\"1,5\"",
            "$.pcf.pcfExcludingBiogenicUptake: `1,5` is not a decimal number; write digits",
        ),
        ("200.4", "null", "$.pcf.pcfExcludingBiogenicUptake: is missing; write the kg CO2e"),
        (
            "200.4",
            "-3",
            "$.pcf.pcfExcludingBiogenicUptake: leaves -3.4 kg without biogenic CO2; ask",
        ),
        ("200.4", "0.1234567890123456789", "has more than 18 digits or decimals; round it"),
        (
            "\"0.8\"",
            "\"-0.8\"",
            "$.pcf.landManagementBiogenicCO2Emissions: `-0.8` is negative; write what",
        ),
        (
            "[\"urn:product:door\"]",
            "[]",
            "$.productIds: names none; write a non-empty array of URNs",
        ),
        (
            "\"Active\"",
            "\"Retired\"",
            "$.status: `Retired` is not known; write Active or Deprecated",
        ),
        ("2025-04-30T", "2025-04-31T", "$.created: `2025-04-31T00:00:00Z` is no instant; write"),
        ("\"Company 1\"", "\"\"", "$.companyName: is empty; write who told it"),
        ("\"Company 1\"", "7", "$.companyName: `7` is no text; write it in quotes"),
    ] {
        let text = V3.replace(from, to);
        assert_ne!(text, V3, "{from}");
        let told = problem(&text);
        assert!(told.contains(said), "`{said}` in: {told}");
        assert_eq!(told.lines().count(), 1, "{told}");
    }
    assert!(problem("{").starts_with("f.json: $: is no JSON"), "{}", problem("{"));
    assert_eq!(problem("[7]"), "f.json: $[0]: is no object; write { ... }");
    let both = V3.replace("\"80\"", "\"0\"").replace("Active", "Retired");
    assert_eq!(problem(&format!("{{\"data\":[{V2},{both}]}}")).lines().count(), 2);
    assert!(problem(&format!("[{V2},{both}]")).contains("f.json: $[1].status: "));
}

#[test]
fn a_validity_that_ends_before_it_begins_is_refused() {
    let text = V2.replace("2026-12-31T23:59:59Z", "2024-02-01T00:00:00Z");
    let said = "$.validityPeriodEnd: the footprint would hold from 2024-03-01 to 2024-02-01; write";
    assert!(problem(&text).contains(said), "{}", problem(&text));
}

#[test]
fn several_sets_of_potentials_leave_the_column_empty() {
    let imported = import(&V3.replace("[\"AR6\"]", "[\"AR5\", \"AR6\"]")).unwrap();
    assert!(imported.table.contains("co2e,2.5,kg,,,"), "{}", imported.table);
    let said = "f.json: $: its CO2e is of AR5, AR6: published_gwp is left empty";
    assert!(imported.remarks.iter().any(|remark| remark == said), "{:?}", imported.remarks);
}
