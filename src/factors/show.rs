//! `plumeline factors show`: all that is known of one factor.

use std::fmt::Write;

use plumeline_pipelines::model::{Decimal, Gas, GwpSet};

use super::exact::{Split, per_cent, splits};
use super::list::potentials;
use super::row::Row;
use super::{Set, keys, remedy, sets};

/// Every line of the factor `key` in each set, with its citation, and what does not add up; or the potentials of
/// the gas of that name.
///
/// # Errors
/// If there is neither.
pub fn show(key: &str) -> Result<String, String> {
    if Gas::parse(key).is_some() {
        return Ok(potentials(|gas| gas.name() == key));
    }
    let having: Vec<&Set> = sets().iter().filter(|set| set.rows_of(key).next().is_some()).collect();
    let Some(newest) = having.last() else {
        let known = keys().into_iter().chain(Gas::ALL.iter().map(|gas| gas.name()));
        return Err(format!("there is no factor `{key}`: {}", remedy(key, known)));
    };
    let first = newest.rows_of(key).next();
    let (what, unit) = first.map_or(("", ""), |row| (row.what(), row.unit.symbol()));
    let mut text = format!("{key}: kg per {unit}\n{what}\n");
    for set in &having {
        text.push('\n');
        text.push_str(&version(set, key));
    }
    let is_in = |gas: Gas| having.iter().flat_map(|set| set.rows_of(key)).any(|row| row.gas == gas);
    text.push('\n');
    text.push_str(&potentials(is_in));
    Ok(text.trim_end().to_owned())
}

/// The factor in one set.
fn version(set: &Set, key: &str) -> String {
    let mut text = String::new();
    if let Some(row) = set.rows_of(key).next() {
        let from = Some(&row.valid_from).filter(|day| !day.is_empty());
        let to = Some(&row.valid_to).filter(|day| !day.is_empty());
        let valid = match (from, to) {
            (None, None) => "always".to_owned(),
            (Some(from), None) => format!("from {from}"),
            (Some(from), Some(to)) => format!("from {from} to {to}"),
            (None, Some(to)) => format!("until {to}"),
        };
        // Writing to a `String` cannot fail.
        writeln!(text, "{}: {valid}, revision {}", set.name, row.revision).unwrap_or_default();
    }
    for split in splits(set.rows_of(key)) {
        text.push_str(&part(&split));
    }
    text
}

fn part(split: &Split<'_>) -> String {
    let (scope, category, method) = split.part;
    let mut text = match scope {
        0 => "  outside of scopes".to_owned(),
        scope => format!("  scope {scope}"),
    };
    if category > 0 {
        write!(text, " category {category}").unwrap_or_default();
    }
    writeln!(text, ", method {}", method.name()).unwrap_or_default();
    let rows = || split.gases.iter().copied().chain(split.total);
    let told = split.total.and_then(|row| row.published_gwp).unwrap_or(GwpSet::Ar5);
    let mut lines: Vec<(&str, String, String)> = rows()
        .map(|row| (row.gas.name(), row.kg_per_unit.to_string(), kilograms_of(row)))
        .collect();
    if let (Some(sum), true) = (split.sum(told), scope > 0) {
        let by = format!("kg CO2e by {}: what the gases add up to", told.name());
        lines.push(("sum", sum.to_string(), by));
    }
    if let (Some(residual), Some(total)) = (split.residual(), split.total) {
        let share = per_cent(residual, total.kg_per_unit).unwrap_or(Decimal::ZERO);
        let of = format!("kg CO2e, {share} %: the total less the sum");
        lines.push(("residual", residual.to_string(), of));
    }
    let width = lines.iter().map(|(_, kg, _)| kg.len()).max().unwrap_or(0);
    for (name, kg, of) in lines {
        writeln!(text, "    {name:<12}  {kg:>width$}  {of}").unwrap_or_default();
    }
    let mut sources: Vec<&str> = rows().map(|row| row.source.as_str()).collect();
    sources.dedup();
    for source in sources {
        writeln!(text, "    {source}").unwrap_or_default();
    }
    text
}

/// Of what a row's kilograms are.
fn kilograms_of(row: &Row) -> String {
    match row.published_gwp {
        None => format!("kg {}", row.gas.name()),
        Some(set) if row.gas == Gas::Co2e => {
            format!("kg CO2e by {}: the printed total", set.name())
        }
        Some(set) => format!("kg CO2e of {} by {}", row.gas.name(), set.name()),
    }
}
