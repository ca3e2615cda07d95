//! What must hold between the rows of one table.
//!
//! | rule | without it |
//! |---|---|
//! | equal revisions that overlap are equal | which one wins would depend on the order of lines |
//! | a one-day gap is questioned | an inclusive end date silently loses a day of emissions a year |
//! | the node tree has no cycle and at most 16 levels | a roll-up would never end, or lose its roots |
//!
//! Pure functions over rows and where they stand; used for files and for facts of topics alike.

use std::collections::BTreeMap;

use jiff::tz::TimeZone;
use plumeline_pipelines::model::time::HOUR_MS;
use plumeline_pipelines::model::{Id, Names, NodeRow, Validity};

use super::row::{Book, Held, Place, TableRow, is_same_line};
use super::timeline::{coverage, overlap, shown, shown_span, timeline};
use crate::config::{Problem, Problems, Severity};

/// Levels the node tree may have, root included.
pub const LEVELS_MAX: usize = 16;

/// Steps a walk to the root takes before it gives up: the nodes on the way are reported by walks of their
/// own, only longer cycles are not.
const STEPS_MAX: usize = 64;

/// What the rules need besides rows.
#[derive(Copy, Clone, Debug)]
pub struct Words<'a> {
    /// Names behind ids.
    pub names: &'a Names,
    /// For dates in messages.
    pub timezone: &'a TimeZone,
}

impl Words<'_> {
    /// `meter "m-17"`.
    #[must_use]
    pub fn key<R: TableRow>(&self, id: Id) -> String {
        format!("{} \"{}\"", R::KEY, self.names.name(id))
    }
}

/// A problem of `severity` where a row stands.
#[must_use]
pub(super) fn at(
    place: &Place,
    severity: Severity,
    column: &str,
    text: (String, String),
) -> Problem {
    let problem = Problem::error(&place.file, text.0, text.1).at(place.line).about(column);
    Problem { severity, ..problem }
}

/// Rows of one key that contradict each other: equal revisions that overlap and differ.
pub fn contradictions<R: TableRow>(rows: &[Held<R>], words: Words<'_>, problems: &mut Problems) {
    let mut sorted: Vec<&Held<R>> = rows.iter().collect();
    let order = |held: &&Held<R>| {
        let validity = held.row.validity();
        (held.row.revision(), held.row.part(), validity.from_ms, validity.to_ms)
    };
    sorted.sort_by_key(order);
    let mut furthest: Option<&Held<R>> = None;
    for held in sorted {
        let (row, validity) = (&held.row, held.row.validity());
        let same_line = furthest.filter(|other| {
            other.row.revision() == row.revision() && other.row.part() == row.part()
        });
        if let Some(other) = same_line
            && other.row != *row
            && overlap(other.row.validity(), validity).is_some()
        {
            problems.push(contradiction(other, held, words));
        }
        let is_further = |other: &Held<R>| other.row.validity().to_ms < validity.to_ms;
        if same_line.is_none_or(is_further) {
            furthest = Some(held);
        }
    }
}

/// The contradiction of `new` with one of `rows`, which are of the same key.
pub(super) fn contradicted<R: TableRow>(
    rows: &[Held<R>],
    new: &Held<R>,
    words: Words<'_>,
) -> Option<Problem> {
    let differs = |held: &&Held<R>| {
        is_same_line(&held.row, &new.row)
            && held.row != new.row
            && overlap(held.row.validity(), new.row.validity()).is_some()
    };
    rows.iter().find(differs).map(|held| contradiction(held, new, words))
}

fn contradiction<R: TableRow>(one: &Held<R>, other: &Held<R>, words: Words<'_>) -> Problem {
    // Point at the later line: people append.
    let (first, second) =
        if one.place.line <= other.place.line { (one, other) } else { (other, one) };
    let place = match first.place.line {
        Some(line) if first.place.file == second.place.file => format!("line {line}"),
        Some(line) => format!("{}:{line}", first.place.file),
        None => first.place.file.to_string(),
    };
    let span = overlap(one.row.validity(), other.row.validity()).unwrap_or(Validity::ALWAYS);
    let message = format!(
        "{} differs from {place} in {}, with equal revision {} {}",
        words.key::<R>(second.row.key()),
        first.row.differences(&second.row).join(", "),
        second.row.revision(),
        shown_span(span, words.timezone),
    );
    let remedy = format!(
        "give the one that is right revision = {}, or end the earlier one where the later begins",
        second.row.revision().saturating_add(1)
    );
    at(&second.place, Severity::Error, "revision", (message, remedy))
}

/// Stretches between the rows of one key in which nothing holds: a warning where it is a day, and always
/// for factors (`every_gap`).
pub fn gaps<R: TableRow>(
    rows: &[Held<R>],
    every_gap: bool,
    words: Words<'_>,
    problems: &mut Problems,
) {
    let covered = coverage(rows);
    for pair in covered.windows(2) {
        let gap = Validity { from_ms: pair[0].to_ms, to_ms: pair[1].from_ms };
        // A civil day is 23 to 25 hours long.
        let is_a_day = (23 * HOUR_MS..=25 * HOUR_MS).contains(&(gap.to_ms - gap.from_ms));
        let ends = rows.iter().find(|held| held.row.validity().to_ms == gap.from_ms);
        let Some(ends) = ends.filter(|_| is_a_day || every_gap) else {
            continue;
        };
        let (from, to) = (shown(gap.from_ms, words.timezone), shown(gap.to_ms, words.timezone));
        let message =
            format!("{} holds nowhere from {from} to {to}", words.key::<R>(ends.row.key()));
        let remedy = if is_a_day {
            format!(
                "valid_to is the first instant after the row, and {from} is probably meant as its last \
                 day: write valid_to = {to}"
            )
        } else {
            format!(
                "write valid_to = {to}, or add a row for the gap; without one nothing is emitted in it"
            )
        };
        problems.push(at(&ends.place, Severity::Warning, "valid_to", (message, remedy)));
    }
}

/// Cycles, and paths longer than [`LEVELS_MAX`], at any time.
pub fn tree(nodes: &Book<NodeRow>, words: Words<'_>, problems: &mut Problems) {
    let parents: Parents<'_> = nodes
        .iter()
        .map(|(node, rows)| {
            let segments = timeline(rows).into_iter();
            (
                *node,
                segments.filter_map(|(span, winners)| Some((span, *winners.first()?))).collect(),
            )
        })
        .collect();
    for &node in nodes.keys() {
        let mut walk = Walk { parents: &parents, path: vec![node], found: None };
        walk.up(Validity::ALWAYS);
        let Some((place, fault)) = walk.found else {
            continue;
        };
        problems.push(fault.problem(place, words));
    }
}

/// What holds of each node when: the row that names its parent.
type Parents<'a> = BTreeMap<Id, Vec<(Validity, &'a Held<NodeRow>)>>;

/// A walk from a node to its root, through all of time.
struct Walk<'p, 'a> {
    parents: &'p Parents<'a>,
    path: Vec<Id>,
    found: Option<(&'a Place, Fault)>,
}

enum Fault {
    Cycle(Vec<Id>, Validity),
    TooDeep(Id, Validity),
}

impl Fault {
    fn problem(&self, place: &Place, words: Words<'_>) -> Problem {
        let text = match self {
            Self::Cycle(path, span) => {
                let path: Vec<_> = path.iter().map(|id| words.names.name(*id)).collect();
                let span = shown_span(*span, words.timezone);
                let message =
                    format!("the tree has a cycle {span}: {} > {}", path.join(" > "), path[0]);
                (message, "give one of them another parent, or none for a root".to_owned())
            }
            Self::TooDeep(node, span) => {
                let (node, span) = (words.key::<NodeRow>(*node), shown_span(*span, words.timezone));
                let message = format!("{node} stands deeper than {LEVELS_MAX} levels {span}");
                (message, "leave out levels that nobody reports on".to_owned())
            }
        };
        at(place, Severity::Error, "parent", text)
    }
}

impl Walk<'_, '_> {
    fn up(&mut self, span: Validity) {
        let (start, here) = (self.path[0], self.path[self.path.len() - 1]);
        let parents = self.parents;
        for (holds, held) in parents.get(&here).into_iter().flatten() {
            let Some(common) = overlap(span, *holds) else {
                continue;
            };
            if self.found.is_some() {
                return;
            }
            let parent = held.row.parent;
            let place = parents
                .get(&start)
                .and_then(|rows| rows.iter().find(|(holds, _)| overlap(*holds, common).is_some()));
            let place = place.map_or(&held.place, |(_, first)| &first.place);
            if parent == start {
                // Every node of a cycle meets itself: the one that was named first reports it.
                if self.path.iter().all(|id| start <= *id) {
                    self.found = Some((place, Fault::Cycle(self.path.clone(), common)));
                }
                return;
            }
            if parent.is_none() {
                // Those below it are as deep because of it.
                if self.path.len() == LEVELS_MAX + 1 {
                    self.found = Some((place, Fault::TooDeep(start, common)));
                }
                continue;
            }
            if self.path.contains(&parent) {
                continue;
            }
            if self.path.len() >= STEPS_MAX {
                self.found = Some((place, Fault::TooDeep(start, common)));
                return;
            }
            self.path.push(parent);
            self.up(common);
            self.path.pop();
        }
    }
}

#[cfg(test)]
#[path = "rules_tests.rs"]
mod tests;
