//! What must hold between the tables: that they join up.
//!
//! | rule | without it |
//! |---|---|
//! | a meter's node, a node's parent is there | its footprint is in no total |
//! | a meter's factor is there, and over its time | its activity emits nothing |
//! | the factor's unit converts into the meter's | every reading is booked and nothing emitted |
//! | rates fit their integers | a factor is refused at run time |
//!
//! A table of which rows also come from a topic may get the missing ones from there: their absence is no
//! problem. Rows of topics are not judged here: they cannot be mended in a file.

use std::collections::{BTreeMap, BTreeSet};

use plumeline_pipelines::model::{
    CertificateRow, ContractRow, FactorRow, GwpSet, Id, MeterKind, MeterRow, NodeRow, PriceRow,
    SeriesRow, Unit, UnitError, Validity,
};

use super::Table;
use super::row::{Book, Held, Origin, TableRow};
use super::rules::{Words, at};
use super::timeline::{coverage, overlap, shown_span, timeline, uncovered};
use crate::config::{Problem, Problems, Severity, nearest};

/// The tables.
#[derive(Clone, Debug, Default)]
pub struct Books {
    /// By meter.
    pub meters: Book<MeterRow>,
    /// By factor.
    pub factors: Book<FactorRow>,
    /// By factor.
    pub series: Book<SeriesRow>,
    /// By node.
    pub nodes: Book<NodeRow>,
    /// By contract.
    pub contracts: Book<ContractRow>,
    /// By certificate.
    pub certificates: Book<CertificateRow>,
    /// By price.
    pub prices: Book<PriceRow>,
}

impl Books {
    /// How many keys of `table` have rows.
    #[must_use]
    pub fn keys(&self, table: Table) -> usize {
        match table {
            Table::Meters => self.meters.len(),
            Table::Factors => self.factors.len(),
            Table::Series => self.series.len(),
            Table::Nodes => self.nodes.len(),
            Table::Contracts => self.contracts.len(),
            Table::Certificates => self.certificates.len(),
            Table::Prices => self.prices.len(),
        }
    }

    /// Whether `table` has rows of the key `id`.
    #[must_use]
    pub fn has_key(&self, table: Table, id: Id) -> bool {
        match table {
            Table::Meters => self.meters.contains_key(&id),
            Table::Factors => self.factors.contains_key(&id),
            Table::Series => self.series.contains_key(&id),
            Table::Nodes => self.nodes.contains_key(&id),
            Table::Contracts => self.contracts.contains_key(&id),
            Table::Certificates => self.certificates.contains_key(&id),
            Table::Prices => self.prices.contains_key(&id),
        }
    }

    /// How many rows `table` has.
    #[must_use]
    pub fn rows(&self, table: Table) -> usize {
        match table {
            Table::Meters => self.meters.values().map(Vec::len).sum(),
            Table::Factors => self.factors.values().map(Vec::len).sum(),
            Table::Series => self.series.values().map(Vec::len).sum(),
            Table::Nodes => self.nodes.values().map(Vec::len).sum(),
            Table::Contracts => self.contracts.values().map(Vec::len).sum(),
            Table::Certificates => self.certificates.values().map(Vec::len).sum(),
            Table::Prices => self.prices.values().map(Vec::len).sum(),
        }
    }
}

/// What the joins need besides rows.
#[derive(Copy, Clone, Debug)]
pub struct Setting<'a> {
    /// Names and dates for messages.
    pub words: Words<'a>,
    /// Which potentials apply.
    pub gwp: GwpSet,
    /// Whether factors may also come from a topic.
    pub factors_come_later: bool,
    /// Whether nodes may also come from a topic.
    pub nodes_come_later: bool,
    /// Whether prices may also come from a topic.
    pub prices_come_later: bool,
}

/// Checks that `books` join up.
pub fn joins(books: &Books, setting: Setting<'_>, problems: &mut Problems) {
    let nodes = Directory::of(&books.nodes, setting.nodes_come_later, setting.words);
    let factors = Directory::of(&books.factors, setting.factors_come_later, setting.words);
    let recipes = Recipes::of(&books.factors);
    let outputs = books.contracts.values().flatten().filter_map(|held| held.row.supply.output());
    let outputs = outputs.map(|(factor, _)| factor).collect();
    let mut uses = Uses { outputs, ..Uses::default() };
    for rows in books.meters.values() {
        meter(rows, (&nodes, &factors), &recipes, &mut uses, problems);
    }
    for rows in books.nodes.values() {
        for held in winners(rows).filter(|(held, _)| !held.row.parent.is_none()) {
            nodes.covers((held.0, held.1), held.0.row.parent, "parent", problems);
        }
    }
    for (factor, rows) in &books.factors {
        let Some(units) = uses.units.get(factor) else {
            continue;
        };
        for held in rows.iter().filter(|held| held.place.origin == Origin::File) {
            rates(held, units, setting, problems);
        }
    }
    for rows in books.contracts.values() {
        contract(rows, (&nodes, &factors), problems);
    }
    uses.unbounded_registers(problems);
}

/// That a contract's node and factors are there.
fn contract(
    rows: &[Held<ContractRow>],
    (nodes, factors): (&Directory<'_, NodeRow>, &Directory<'_, FactorRow>),
    problems: &mut Problems,
) {
    for held in winners(rows) {
        let row = &held.0.row;
        nodes.covers(held, row.node, "node", problems);
        factors.covers(held, row.covers, "covers", problems);
        factors.covers(held, row.factor, "factor", problems);
    }
}

/// Rows of files that win anywhere, each with the hull of where it does.
fn winners<R: TableRow>(rows: &[Held<R>]) -> impl Iterator<Item = (&Held<R>, Validity)> {
    let mut hulls: Vec<(&Held<R>, Validity)> = Vec::new();
    for (span, winners) in timeline(rows) {
        for held in winners.into_iter().filter(|held| held.place.origin == Origin::File) {
            match hulls.iter_mut().rev().find(|(other, _)| std::ptr::eq(*other, held)) {
                Some((_, hull)) => hull.to_ms = span.to_ms,
                None => hulls.push((held, span)),
            }
        }
    }
    hulls.into_iter()
}

/// What meters ask of factors, and what is said once for all meters.
#[derive(Default)]
struct Uses {
    units: BTreeMap<Id, BTreeSet<Unit>>,
    /// What contracts call the output of a plant.
    outputs: BTreeSet<Id>,
    registers_without_bound: Vec<Problem>,
}

impl Uses {
    /// One warning for all registers: a fleet has thousands.
    fn unbounded_registers(self, problems: &mut Problems) {
        let count = self.registers_without_bound.len();
        let first = self.registers_without_bound.into_iter().min_by_key(|problem| problem.line);
        let Some(mut first) = first else { return };
        match count - 1 {
            0 => {}
            1 => first.message.push_str(", nor has 1 other register"),
            others => {
                first.message = format!("{}, nor have {others} other registers", first.message);
            }
        }
        problems.push(first);
    }
}

fn meter(
    rows: &[Held<MeterRow>],
    (nodes, factors): (&Directory<'_, NodeRow>, &Directory<'_, FactorRow>),
    recipes: &Recipes<'_>,
    uses: &mut Uses,
    problems: &mut Problems,
) {
    for (held, hull) in winners(rows) {
        let (row, place) = (&held.row, &held.place);
        nodes.covers((held, hull), row.node, "node", problems);
        if row.kind == MeterKind::Register && row.max_power.is_none() {
            let message = format!("{} has no max_power", nodes.words.key::<MeterRow>(row.meter));
            let remedy =
                "write the most it can advance in an hour: without it a misread position is booked";
            let text = (message, remedy.to_owned());
            uses.registers_without_bound.push(at(place, Severity::Warning, "max_power", text));
        }
        let booked = row.unit.map(|unit| {
            if row.kind == MeterKind::Power { unit.over_an_hour().unwrap_or(unit) } else { unit }
        });
        if row.factor.is_none() {
            continue;
        }
        // The output of a plant emits nothing of itself: it has no line, and contracts name it.
        if factors.book.contains_key(&row.factor) || !uses.outputs.contains(&row.factor) {
            factors.covers((held, hull), row.factor, "factor", problems);
        }
        if let Some(booked) = booked {
            uses.units.entry(row.factor).or_default().insert(booked.base());
            problems.extend(mismatch((held, hull, booked), recipes, nodes.words));
        }
    }
}

/// By factor, each unit of its lines: the first line in it, and when lines in it hold. An hourly factor has
/// tens of thousands of lines and one unit.
struct Recipes<'a>(BTreeMap<Id, Vec<UnitLines<'a>>>);

/// The first line of a unit, and when lines of that unit hold.
type UnitLines<'a> = (&'a Held<FactorRow>, Vec<Validity>);

impl<'a> Recipes<'a> {
    fn of(factors: &'a Book<FactorRow>) -> Self {
        let units = |rows: &'a Vec<Held<FactorRow>>| {
            let mut by_unit: BTreeMap<Unit, Vec<&Held<FactorRow>>> = BTreeMap::new();
            for held in rows {
                by_unit.entry(held.row.unit).or_default().push(held);
            }
            by_unit.into_values().map(|of_unit| (of_unit[0], coverage(of_unit))).collect()
        };
        Self(factors.iter().map(|(factor, rows)| (*factor, units(rows))).collect())
    }
}

/// The first line of the meter's factor whose unit does not convert into what the meter books.
fn mismatch(
    (meter, hull, booked): (&Held<MeterRow>, Validity, Unit),
    recipes: &Recipes<'_>,
    words: Words<'_>,
) -> Option<Problem> {
    let mut units = recipes.0.get(&meter.row.factor)?.iter();
    let (line, _) = units.find(|(line, covered)| {
        // Money is for prices to judge.
        let is_priced = matches!(booked.ratio(line.row.unit), Err(UnitError::Priced { .. }));
        booked.ratio(line.row.unit).is_err()
            && !is_priced
            && covered.iter().any(|stretch| overlap(*stretch, hull).is_some())
    })?;
    let place = match line.place.line {
        Some(number) => format!("{}:{number}", line.place.file),
        None => line.place.file.to_string(),
    };
    let factor = words.key::<FactorRow>(line.row.factor);
    let wanted = line.row.unit;
    let message = format!(
        "{} books `{booked}` ({}), which does not convert into `{wanted}` ({}) of {factor} ({place})",
        words.key::<MeterRow>(meter.row.meter),
        booked.dimension().name(),
        wanted.dimension().name(),
    );
    let remedy =
        "correct the unit of one of them, or name the factor of the other quantity".to_owned();
    // A factor of a topic may be corrected there: the meter table must not wait for it.
    let is_of_file = line.place.origin == Origin::File;
    let severity = if is_of_file { Severity::Error } else { Severity::Warning };
    Some(at(&meter.place, severity, "unit", (message, remedy)))
}

/// Whether the line's rates fit per each unit that meters book under it. (Per its own unit they do, or the
/// row would not have been read.)
fn rates(
    line: &Held<FactorRow>,
    units: &BTreeSet<Unit>,
    setting: Setting<'_>,
    problems: &mut Problems,
) {
    let row = &line.row;
    for of in units.iter().copied() {
        let kg = row.kg_per_unit;
        let published = row.published_gwp;
        let ratios = [row.gas.mass_ratio(published), row.gas.co2e_ratio(published, setting.gwp)];
        let is_too_large = ratios
            .into_iter()
            .flatten()
            .any(|times| row.unit.ratio(of).is_ok() && row.unit.rate(kg, of, times).is_err());
        if is_too_large {
            let factor = setting.words.key::<FactorRow>(row.factor);
            let gas = row.gas.name();
            let message = format!("{factor} emits more than 100,000 kg {gas} or CO2e per {of}");
            let remedy = format!("check `unit` and kg_per_unit: {kg} kg per {}", row.unit);
            problems.push(at(&line.place, Severity::Error, "kg_per_unit", (message, remedy)));
            return;
        }
    }
}

/// A table that others refer to.
struct Directory<'a, R> {
    book: &'a Book<R>,
    covered: BTreeMap<Id, Vec<Validity>>,
    rest_comes_later: bool,
    words: Words<'a>,
}

impl<'a, R: TableRow> Directory<'a, R> {
    fn of(book: &'a Book<R>, rest_comes_later: bool, words: Words<'a>) -> Self {
        let covered = book.iter().map(|(key, rows)| (*key, coverage(rows))).collect();
        Self { book, covered, rest_comes_later, words }
    }

    /// Whether `wanted` is there while `held`, which refers to it by `column`, holds.
    fn covers<Q: TableRow>(
        &self,
        (held, hull): (&Held<Q>, Validity),
        wanted: Id,
        column: &str,
        problems: &mut Problems,
    ) {
        let (subject, words) = (self.words.key::<Q>(held.row.key()), self.words);
        let (name, key) = (words.names.name(wanted), R::KEY);
        let Some(covered) = self.covered.get(&wanted) else {
            if !self.rest_comes_later {
                let message = format!("{subject} names {key} \"{name}\", which is in no table");
                let remedy = self.suggestion(&name);
                problems.push(at(&held.place, Severity::Error, column, (message, remedy)));
            }
            return;
        };
        let Some(missing) = uncovered(hull, covered) else {
            return;
        };
        let is_never = covered.iter().all(|stretch| overlap(*stretch, hull).is_none());
        if is_never {
            let span = shown_span(hull, words.timezone);
            let message = format!("{key} \"{name}\" of {subject} holds at no time {span}");
            let remedy = format!("correct the validity of the {key} or of this row");
            problems.push(at(&held.place, Severity::Error, column, (message, remedy)));
        } else if hull.from_ms != missing.from_ms || missing.from_ms >= EARLIEST_KNOWN_MS {
            let span = shown_span(missing, words.timezone);
            let message = format!("{key} \"{name}\" of {subject} does not hold {span}");
            let remedy =
                format!("extend the {key}, or end this row there: what falls in it is not counted");
            problems.push(at(&held.place, Severity::Warning, column, (message, remedy)));
        }
    }

    fn suggestion(&self, name: &str) -> String {
        let known: Vec<_> = self.book.keys().map(|key| self.words.names.name(*key)).collect();
        match nearest(name, known.iter().map(|known| &**known)) {
            Some(meant) => format!("did you mean \"{meant}\"? Otherwise add a row for it"),
            None if known.is_empty() => {
                format!("name a file of {}s in [tables], and add a row for it", R::KEY)
            }
            None => format!("add a row for it to the table of {}s", R::KEY),
        }
    }
}

/// A row without `valid_from` holds from here; that its partner begins later is no news.
const EARLIEST_KNOWN_MS: i64 = plumeline_pipelines::model::time::EARLIEST_MS;

#[cfg(test)]
#[path = "joins_tests.rs"]
mod tests;
