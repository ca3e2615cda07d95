//! A product footprint: which field is which number.
//!
//! | | 2.x | 3.x |
//! |---|---|---|
//! | unit | `declaredUnit` | `declaredUnitOfMeasurement` |
//! | emissions are per | one of it | `declaredUnitAmount` of it |
//! | scope 3 | `pCfExcludingBiogenic` | `pcfExcludingBiogenicUptake` less the two below |
//! | biogenic CO2 | `pCfIncludingBiogenic` less `pCfExcludingBiogenic` and `biogenicCarbonWithdrawal` | `landManagementBiogenicCO2Emissions` |
//! | removals in the total | none | `landManagementBiogenicCO2Removals`, below 0 |
//! | uptake, never imported | `biogenicCarbonWithdrawal` | `biogenicCO2Uptake` |
//! | potentials | `ipccCharacterizationFactorsSources`, or else `characterizationFactors` | `ipccCharacterizationFactors` |
//!
//! `unitaryProductAmount` of 2.x says how many units a product has, and changes no number. What 2.x counts as biogenic is
//! kg CO2e of all gases; where it is told, it stands outside of scopes, and the source says so. Removals by technology stay
//! in the number that the supplier tells.

use jiff::civil::Date;
use jiff::{Timestamp, ToSpan, tz::TimeZone};
use plumeline_connectors::decode::fact::{NAME_BYTES_MAX, TEXT_BYTES_MAX};
use plumeline_pipelines::model::{Decimal, GwpSet};

use super::super::exact::subtract;
use super::super::row::COLUMNS;
use super::fields::{Fields, Json};

/// Decimals of a quotient that is no decimal.
const PLACES: u8 = 18;
/// How long a footprint is valid that does not say so, years from the end of its reference period.
const VALID_YEARS: i32 = 3;
/// Bytes of each name in a source, so that it is short enough.
const NAME_IN_SOURCE_MAX: usize = 200;
const _: () = assert!(4 * NAME_IN_SOURCE_MAX < TEXT_BYTES_MAX, "a source has room for its names");

/// PACT's units, and ours.
const UNITS: [(&str, &str); 9] = [
    ("liter", "L"),
    ("kilogram", "kg"),
    ("cubic meter", "m3"),
    ("kilowatt hour", "kWh"),
    ("megajoule", "MJ"),
    ("ton kilometer", "t.km"),
    ("square meter", "m2"),
    ("piece", "piece"),
    ("hour", "hour"),
];

/// What an import asks and tells.
#[derive(Debug)]
pub(super) struct Terms {
    pub(super) category: u8,
    pub(super) problems: Vec<String>,
    pub(super) remarks: Vec<String>,
}

impl Terms {
    /// What was read; a problem is kept.
    fn keep<T>(&mut self, read: Result<T, String>) -> Option<T> {
        read.map_err(|problem| self.problems.push(problem)).ok()
    }
}

/// A footprint, as far as a factor says it.
#[derive(Clone, Debug)]
pub(super) struct Footprint {
    factor: String,
    revision: String,
    pub(super) is_deprecated: bool,
    unit: &'static str,
    /// Emissions are per so many units.
    amount: Decimal,
    /// kg CO2e in scope 3.
    emitted: Decimal,
    /// kg of biogenic CO2.
    biogenic: Option<Decimal>,
    gwp: Option<GwpSet>,
    valid: [Date; 2],
    source: String,
}

impl Footprint {
    /// Reads it; `None` if something is wrong, which `terms` know then.
    pub(super) fn read(json: &Json<'_>, terms: &mut Terms) -> Option<Self> {
        let before = terms.problems.len();
        let fields = terms.keep(json.fields())?;
        let spec =
            terms.keep(fields.text("specVersion", "write the version of PACT, such as 2.3.0"));
        let pcf =
            terms.keep(fields.needed("pcf", "write the CarbonFootprint").and_then(|p| p.fields()));
        let (spec, pcf) = spec.zip(pcf)?;
        let is_3 =
            match spec.split('.').next() {
                Some("2") => false,
                Some("3") => true,
                _ => {
                    let message = format!("`{spec}` is not read");
                    terms.problems.extend(fields.get("specVersion").map(|json| {
                        json.wrong(&message, "ask for the footprint by PACT 2.x or 3.x")
                    }));
                    return None;
                }
            };
        let factor = terms.keep(product(&fields));
        let revision = terms.keep(revision(&fields));
        let is_deprecated = terms.keep(is_deprecated(&fields));
        let unit = terms.keep(unit(&pcf, is_3));
        let amount = terms.keep(amount(&pcf, is_3));
        let remarks = (&json.path, &mut terms.remarks);
        let numbers = if is_3 { numbers_3(&pcf, remarks) } else { numbers_2(&pcf, remarks) };
        let numbers = terms.keep(numbers);
        let gwp = potentials(&pcf, &json.path, &mut terms.remarks);
        let gwp = terms.keep(gwp);
        let valid = terms.keep(validity(&fields, &pcf));
        let source = terms.keep(source(&fields, &pcf, &spec));
        let (emitted, biogenic) = numbers?;
        if terms.problems.len() > before {
            return None;
        }
        Some(Self {
            factor: factor?,
            revision: revision?,
            is_deprecated: is_deprecated?,
            unit: unit?,
            amount: amount?,
            emitted,
            biogenic,
            gwp: gwp?,
            valid: valid?,
            source: source?,
        })
    }

    /// Its rows.
    pub(super) fn lines(&self, path: &str, terms: &mut Terms) -> Vec<[String; COLUMNS.len()]> {
        let scope = ("3", terms.category.to_string(), "co2e", self.emitted);
        let outside = |kg| ("0", String::new(), "co2_biogenic", kg);
        let mut lines = Vec::new();
        for (scope, category, gas, kg) in [scope].into_iter().chain(self.biogenic.map(outside)) {
            let Some((kg, is_exact)) = quotient(kg, self.amount) else {
                let message =
                    format!("{kg} kg per {} {} has too many digits", self.amount, self.unit);
                terms.problems.push(format!("{path}.pcf: {message}; round them"));
                continue;
            };
            if !is_exact {
                let per = format!("per {} {}", self.amount, self.unit);
                terms.remarks.push(format!(
                    "{path}: {gas} {per} is no decimal per {}: rounded to {kg} kg",
                    self.unit
                ));
            }
            let gwp = self.gwp.filter(|_| gas == "co2e").map(GwpSet::name).unwrap_or_default();
            let [from, to] = self.valid.map(|date| date.to_string());
            lines.push([
                self.factor.clone(),
                self.revision.clone(),
                scope.to_owned(),
                category,
                "any".to_owned(),
                gas.to_owned(),
                kg.to_string(),
                self.unit.to_owned(),
                gwp.to_owned(),
                String::new(),
                String::new(),
                from,
                to,
                self.source.clone(),
            ]);
        }
        lines
    }
}

/// The first id of the product.
fn product(fields: &Fields<'_>) -> Result<String, String> {
    let remedy = "write a non-empty array of URNs that name the product";
    let ids = fields.needed("productIds", remedy)?;
    let first = ids.items().into_iter().next().ok_or_else(|| ids.wrong("names none", remedy))?;
    let id = first.text()?;
    if id.is_empty() || id.len() > NAME_BYTES_MAX || id.chars().any(char::is_control) {
        let message = format!("is no name of 1 to {NAME_BYTES_MAX} bytes");
        return Err(first.wrong(&message, remedy));
    }
    Ok(id)
}

/// When it was last updated, as `YYYYMMDDhhmmss`.
fn revision(fields: &Fields<'_>) -> Result<String, String> {
    let name = if fields.get("updated").is_some() { "updated" } else { "created" };
    let updated = instant(fields, name)?;
    Ok(updated.to_zoned(TimeZone::UTC).strftime("%Y%m%d%H%M%S").to_string())
}

fn instant(fields: &Fields<'_>, name: &str) -> Result<Timestamp, String> {
    let remedy = "write an instant such as 2025-04-30T00:00:00Z";
    let text = fields.text(name, remedy)?;
    let json = fields.needed(name, remedy)?;
    text.parse().map_err(|_| json.wrong(&format!("`{text}` is no instant"), remedy))
}

fn is_deprecated(fields: &Fields<'_>) -> Result<bool, String> {
    let remedy = "write Active or Deprecated";
    let text = fields.text("status", remedy)?;
    match text.as_str() {
        "Active" => Ok(false),
        "Deprecated" => Ok(true),
        _ => Err(fields.needed("status", remedy)?.wrong(&format!("`{text}` is not known"), remedy)),
    }
}

fn unit(pcf: &Fields<'_>, is_3: bool) -> Result<&'static str, String> {
    let name = if is_3 { "declaredUnitOfMeasurement" } else { "declaredUnit" };
    let known: Vec<&str> = UNITS.iter().map(|(theirs, _)| *theirs).collect();
    let remedy = format!("write one of {}", known.join(", "));
    let text = pcf.text(name, &remedy)?;
    let unit = UNITS.iter().find(|(theirs, _)| *theirs == text).map(|(_, ours)| *ours);
    let json = pcf.needed(name, &remedy)?;
    unit.ok_or_else(|| json.wrong(&format!("`{text}` is no unit of activity"), &remedy))
}

/// Of how many units emissions are told.
fn amount(pcf: &Fields<'_>, is_3: bool) -> Result<Decimal, String> {
    let remedy = "write how many of the unit the product has, above 0";
    if is_3 {
        return pcf.positive("declaredUnitAmount", remedy);
    }
    pcf.positive("unitaryProductAmount", remedy).map(|_| Decimal::ONE)
}

/// kg in scope 3, and of biogenic CO2.
type Numbers = (Decimal, Option<Decimal>);

fn missing(path: &str) -> String {
    format!("write the kg CO2e per declared unit: without `{path}` there is no factor")
}

fn numbers_2(
    pcf: &Fields<'_>,
    (path, remarks): (&String, &mut Vec<String>),
) -> Result<Numbers, String> {
    let name = "pCfExcludingBiogenic";
    pcf.needed(name, &missing(name))?;
    let emitted = pcf.emitted(name)?.unwrap_or_default();
    let uptake = pcf.number("biogenicCarbonWithdrawal")?.unwrap_or_default();
    let including = pcf.number("pCfIncludingBiogenic")?;
    let biogenic = including.map(|including| subtract(subtract(including, emitted), uptake));
    if uptake.is_negative() {
        remarks.push(format!("{path}: biogenic uptake of {uptake} kg is no emission: left out"));
    }
    if biogenic.is_some_and(Decimal::is_negative) {
        let what = "pCfIncludingBiogenic is lower than pCfExcludingBiogenic and uptake";
        remarks.push(format!("{path}: {what}: no biogenic emissions are imported"));
    }
    Ok((emitted, biogenic.filter(|kg| kg.mantissa() > 0)))
}

fn numbers_3(
    pcf: &Fields<'_>,
    (path, remarks): (&String, &mut Vec<String>),
) -> Result<Numbers, String> {
    let name = "pcfExcludingBiogenicUptake";
    let json = pcf.needed(name, &missing(name))?;
    let total = pcf.number(name)?.unwrap_or_default();
    let biogenic = pcf.emitted("landManagementBiogenicCO2Emissions")?;
    let removed = pcf.number("landManagementBiogenicCO2Removals")?.unwrap_or_default();
    let uptake = pcf.number("biogenicCO2Uptake")?.unwrap_or_default();
    let emitted = subtract(subtract(total, biogenic.unwrap_or_default()), removed);
    if emitted.is_negative() {
        let message = format!("leaves {emitted} kg without biogenic CO2");
        let remedy = "ask the supplier for the emissions: removals are no emission of a factor";
        return Err(json.wrong(&message, remedy));
    }
    for (what, kg) in [("biogenic uptake", uptake), ("biogenic removals", removed)] {
        if kg.is_negative() {
            remarks.push(format!("{path}: {what} of {kg} kg is no emission: left out"));
        }
    }
    Ok((emitted, biogenic.filter(|kg| kg.mantissa() > 0)))
}

/// The set in which CO2e is told; `None` if there are several, or it is not known here.
fn potentials(
    pcf: &Fields<'_>,
    path: &str,
    remarks: &mut Vec<String>,
) -> Result<Option<GwpSet>, String> {
    let columns = ["ipccCharacterizationFactors", "ipccCharacterizationFactorsSources"];
    let named = columns.into_iter().find_map(|name| pcf.get(name));
    let sets: Vec<String> = match (named, pcf.get("characterizationFactors")) {
        (Some(sets), _) => sets.items().iter().map(Json::text).collect::<Result<_, _>>()?,
        (None, Some(set)) => vec![set.text()?],
        (None, None) => Vec::new(),
    };
    let known = sets.first().and_then(|set| GwpSet::parse(&set.to_lowercase()));
    let set = known.filter(|_| sets.len() == 1);
    if set.is_none() {
        let sets = if sets.is_empty() { "no set".to_owned() } else { sets.join(", ") };
        remarks.push(format!("{path}: its CO2e is of {sets}: published_gwp is left empty"));
    }
    Ok(set)
}

/// The first day of its validity, and the first after.
fn validity(fields: &Fields<'_>, pcf: &Fields<'_>) -> Result<[Date; 2], String> {
    let (start, end) = ("validityPeriodStart", "validityPeriodEnd");
    let day = |instant: Timestamp| instant.to_zoned(TimeZone::UTC).date();
    let reference = || instant(pcf, "referencePeriodEnd");
    let from = match fields.get(start) {
        Some(_) => instant(fields, start)?,
        None => reference()?,
    };
    let to = match fields.get(end) {
        Some(_) => {
            let end = instant(fields, end)?;
            let is_midnight = end.as_millisecond().rem_euclid(86_400_000) == 0;
            if is_midnight { Ok(day(end)) } else { day(end).tomorrow() }
        }
        None => day(reference()?).checked_add(VALID_YEARS.years()),
    };
    let late = |json: Json<'_>| json.wrong("is not in the calendar", "write an earlier one");
    let to = to.map_err(|_| fields.get(end).map_or_else(String::new, late))?;
    let valid = [day(from), to];
    if valid[0] < valid[1] {
        return Ok(valid);
    }
    let json = fields.get(end).or_else(|| fields.get(start));
    let message = format!("the footprint would hold from {} to {}", valid[0], valid[1]);
    let wrong = |json: Json<'_>| json.wrong(&message, "write an end after its start");
    Err(json.map_or_else(|| message.clone(), wrong))
}

/// Who told it, of what, in which document.
fn source(fields: &Fields<'_>, pcf: &Fields<'_>, spec: &str) -> Result<String, String> {
    let company = fields.text("companyName", "write who told it")?;
    let product = fields.text("productNameCompany", "write what the supplier calls the product")?;
    let id = fields.text("id", "write the footprint's id, a UUID")?;
    let short = |text: &str| {
        let mut short = String::new();
        for letter in text.chars().filter(|letter| !letter.is_control()) {
            if short.len() + letter.len_utf8() > NAME_IN_SOURCE_MAX {
                break;
            }
            short.push(letter);
        }
        short
    };
    let [company, product, id, spec] = [&company, &product, &id, spec].map(short);
    let version = fields.number("version")?;
    let version = version.map_or_else(String::new, |version| format!(" version {version}"));
    let share = pcf.number("primaryDataShare")?;
    let share = share.map_or_else(String::new, |share| format!(", primary data {share} %"));
    Ok(format!("PACT {spec}: {company}: {product}: footprint {id}{version}{share}"))
}

/// `kg / amount`, and whether it is exact; `None` where it has too many digits.
fn quotient(kg: Decimal, amount: Decimal) -> Option<(Decimal, bool)> {
    let ten = |scale: u8| 10_i128.checked_pow(u32::from(scale));
    let numerator = kg.mantissa().checked_mul(ten(amount.scale())?)?;
    let denominator = amount.mantissa().checked_mul(ten(kg.scale())?)?;
    let (mut quotient, mut rest) = (numerator / denominator, numerator % denominator);
    let mut scale = 0;
    while rest > 0 && scale < PLACES {
        rest = rest.checked_mul(10)?;
        quotient = quotient.checked_mul(10)?.checked_add(rest / denominator)?;
        rest %= denominator;
        scale += 1;
    }
    let is_up = match rest.cmp(&(denominator - rest)) {
        std::cmp::Ordering::Less => false,
        std::cmp::Ordering::Equal => quotient % 2 == 1,
        std::cmp::Ordering::Greater => true,
    };
    Some((Decimal::new(quotient + i128::from(is_up), scale), rest == 0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quotient_is_exact_where_there_is_one() {
        let n = |text| Decimal::parse(text).unwrap();
        for (kg, amount, expected, exact) in [
            ("2.0", "12.5", "0.16", true),
            ("0.384", "1", "0.384", true),
            ("1", "3", "0.333333333333333333", false),
            ("2", "3", "0.666666666666666667", false),
            ("0", "7", "0", true),
            ("1", "0.0005", "2000", true),
        ] {
            assert_eq!(quotient(n(kg), n(amount)), Some((n(expected), exact)), "{kg} / {amount}");
        }
    }
}
