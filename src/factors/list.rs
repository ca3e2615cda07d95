//! `plumeline factors list`: one line a factor.

use std::fmt::Write;

use plumeline_pipelines::model::{Decimal, Gas, GwpSet};

use super::exact::{add, splits};
use super::row::Row;
use super::{Set, keys, remedy, sets};

/// A table of the factors and potentials in which each of `words` occurs, in upper or lower case, and of the sets
/// they are from.
///
/// # Errors
/// If there is none.
pub fn list(words: &[String]) -> Result<String, String> {
    let words: Vec<String> = words.iter().map(|word| word.to_lowercase()).collect();
    let lines: Vec<Line> = keys().into_iter().map(Line::of).collect();
    let lines: Vec<Line> = lines.into_iter().filter(|line| line.has(&words)).collect();
    let potentials = potentials(|gas| has(&format!("gwp {}", gas.name()), &words));
    if lines.is_empty() && potentials.is_empty() {
        let wanted = words.join(" ");
        return Err(format!(
            "no factor has `{wanted}` in it: {}",
            remedy(&wanted, keys().into_iter())
        ));
    }
    let mut told = Vec::new();
    if !lines.is_empty() {
        told.push(table(&lines));
        told.push(sets_of(&lines));
    }
    if !potentials.is_empty() {
        told.push(potentials);
    }
    Ok(told.join("\n"))
}

/// What is told of a factor.
struct Line {
    key: &'static str,
    unit: &'static str,
    co2e: Decimal,
    years: String,
    sets: Vec<&'static Set>,
    what: &'static str,
}

impl Line {
    /// Of the factor `key`, by the newest set that has it.
    fn of(key: &'static str) -> Self {
        let having: Vec<&'static Set> =
            sets().iter().filter(|set| set.rows_of(key).next().is_some()).collect();
        let newest: Vec<&'static Row> =
            having.last().into_iter().flat_map(|set| set.rows_of(key)).collect();
        let first = newest.first().copied();
        let mut years: Vec<&str> =
            having.iter().flat_map(|set| set.rows_of(key)).map(Row::year).collect();
        years.dedup();
        let inside = splits(newest).into_iter().filter(|split| split.part.0 != 0);
        Self {
            key,
            unit: first.map_or("", |row| row.unit.symbol()),
            co2e: inside.map(|split| split.co2e(GwpSet::Ar5)).fold(Decimal::ZERO, add),
            years: years.join(" "),
            sets: having,
            what: first.map_or("", Row::what),
        }
    }

    fn has(&self, words: &[String]) -> bool {
        let sets: Vec<&str> = self.sets.iter().map(|set| set.name).collect();
        has(&[self.key, self.unit, self.what, &self.years, &sets.join(" ")].join(" "), words)
    }
}

fn has(text: &str, words: &[String]) -> bool {
    let text = text.to_lowercase();
    words.iter().all(|word| text.contains(word))
}

fn table(lines: &[Line]) -> String {
    const HEADER: [&str; 5] = ["factor", "kg CO2e", "per", "years", "set"];
    let cells = |line: &Line| {
        let newest = line.sets.last().map_or("", |set| set.name);
        let (key, unit, years) = (line.key.to_owned(), line.unit.to_owned(), line.years.clone());
        [key, line.co2e.to_string(), unit, years, newest.to_owned()]
    };
    let cells: Vec<[String; 5]> = lines.iter().map(cells).collect();
    let mut widths = HEADER.map(str::len);
    for line in &cells {
        for (width, cell) in widths.iter_mut().zip(line) {
            *width = cell.len().max(*width);
        }
    }
    let mut text = String::new();
    let mut put = |cells: [&str; 5], what: &str| {
        for (index, (cell, width)) in cells.into_iter().zip(widths).enumerate() {
            // Numbers stand to the right. Writing to a `String` cannot fail.
            match index {
                1 => write!(text, "{cell:>width$}  "),
                _ => write!(text, "{cell:<width$}  "),
            }
            .unwrap_or_default();
        }
        text.push_str(what);
        text.push('\n');
    };
    put(HEADER, "what it is");
    for (line, cells) in lines.iter().zip(&cells) {
        put(cells.each_ref().map(String::as_str), line.what);
    }
    text
}

/// How many there are, and the terms of the sets they are from.
fn sets_of(lines: &[Line]) -> String {
    let count = lines.len();
    let mut text = format!(
        "{count} factor{}; kg CO2e by AR5, of the newest year, biogenic CO2 aside\n",
        if count == 1 { "" } else { "s" }
    );
    let is_used = |set: &&Set| lines.iter().any(|l| l.sets.iter().any(|s| s.name == set.name));
    for set in sets().iter().filter(is_used) {
        let Set { name, title, publisher, licence, .. } = set;
        writeln!(text, "  {name}: {publisher}, {title}. {licence}").unwrap_or_default();
    }
    text
}

/// A table of the potentials of the gases that are `wanted`; empty without any.
pub(super) fn potentials(wanted: impl Fn(Gas) -> bool) -> String {
    const SETS: [GwpSet; 3] = [GwpSet::Ar4, GwpSet::Ar5, GwpSet::Ar6];
    let is_gas = |gas: &Gas| gas.has_mass() && !gas.is_energy() && *gas != Gas::Co2Biogenic;
    let gases: Vec<Gas> =
        Gas::ALL.iter().copied().filter(is_gas).filter(|gas| wanted(*gas)).collect();
    if gases.is_empty() {
        return String::new();
    }
    let [ar4, ar5, ar6] = SETS.map(GwpSet::name);
    let mut text = format!("{:<12}  {ar4:>7}  {ar5:>7}  {ar6:>7}\n", "GWP-100");
    for gas in gases {
        let [ar4, ar5, ar6] =
            SETS.map(|set| Decimal::new(gas.gwp_tenths(set).into(), 1).to_string());
        writeln!(text, "{:<12}  {ar4:>7}  {ar5:>7}  {ar6:>7}", gas.name()).unwrap_or_default();
    }
    text.push_str(
        "  kg CO2e per kg, IPCC AR4, AR5 (without feedback) and AR6: `gwp` in a pipeline file\n",
    );
    text
}
