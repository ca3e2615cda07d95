//! `plumeline factors export`: the lines as they are.

use std::collections::BTreeSet;

use super::row::COLUMNS;
use super::{Set, keys, remedy, sets};

/// A `factors` table of what `names` name, which are sets and factors; of everything without any.
///
/// # Errors
/// If something is neither: all such names, each with what may be meant.
pub fn export(names: &[String]) -> Result<String, String> {
    let factors: BTreeSet<&str> = keys().into_iter().collect();
    let is_set = |name: &str| sets().iter().any(|set| set.name == name);
    let unknown = names.iter().filter(|name| !is_set(name) && !factors.contains(name.as_str()));
    let unknown: Vec<String> = unknown
        .map(|name| {
            let known = sets().iter().map(|set| set.name).chain(factors.iter().copied());
            format!("there is no set or factor `{name}`: {}", remedy(name, known))
        })
        .collect();
    if !unknown.is_empty() {
        return Err(unknown.join("\n"));
    }
    let wanted: BTreeSet<&str> = names.iter().map(String::as_str).collect();
    let mut table = COLUMNS.join(",");
    for set in sets() {
        // A blend is a line, and a row for each of its gases.
        let mut lines: Vec<&str> = lines(set, &wanted).collect();
        lines.dedup();
        for line in lines {
            table.push('\n');
            table.push_str(line);
        }
    }
    Ok(table)
}

fn lines(set: &Set, wanted: &BTreeSet<&str>) -> impl Iterator<Item = &'static str> {
    let all = wanted.is_empty() || wanted.contains(set.name);
    let rows = set.rows().iter().filter(move |row| all || wanted.contains(row.factor.as_str()));
    rows.map(|row| row.line)
}
