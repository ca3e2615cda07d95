//! The facts that hold now, and what a new file or a message of a topic does to them.
//!
//! ```text
//! files  ─► apply_files ─┐  rules within a table, joins between tables
//!                        ├─► the rows that hold ─► changes for the dataflow: insertions, withdrawals
//! topics ─► apply_change ┘  rules within the key
//! ```
//!
//! 1. New rows are laid beside the current ones in a copy. A row of the current file that is no longer in
//!    the new one must have been withdrawn: a row lost by an editor must not restate a year.
//! 2. The rules run on the copy. One error, and nothing is applied: the last good rows stay.
//! 3. The copy takes the place of the rows, and the differences are the changes.
//!
//! Where the timezone has changed, dates mean other instants: the rows as they were read before go, and those as they
//! are read now come.
//!
//! Files that changed together are applied together: a meter and its new node may come in either order.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::tz::TimeZone;
use plumeline_connectors::config::Carries;
use plumeline_pipelines::model::{Calendar, Fact, GwpSet, Id, Names, NodeRow};

use super::aliases::{
    Alias, AliasChange, Aliases, differences as alias_differences, is_taken, of_file,
};
use super::changes::{differences, lost, one, recall, table_rules, takes_back, two_homes};
use super::contracts::{contracts, misplaced, shares, twice};
use super::file::TableFile;
use super::joins::{Books, Setting, joins};
use super::prices::prices;
use super::reach::table_of;
use super::row::{Book, Held, Origin, Place, TableRow};
use super::rules::{Words, tree};
use super::series::{is_locked, numbered, series};
use super::{FactChange, TABLES, Table, table_path};
use crate::config::{Pipeline, Problem, Problems};

/// The facts that hold now.
#[derive(Clone, Debug)]
pub struct FactStore {
    names: Arc<Names>,
    timezone: TimeZone,
    /// Sets of potentials: the one that counts, then those that are shown, too.
    gwp: (GwpSet, Vec<GwpSet>),
    period_ms: i64,
    calendar: Calendar,
    come_later: BTreeSet<Table>,
    /// Tables that have a file.
    files: BTreeSet<Table>,
    /// Sources that carry rows of a table.
    carriers: Vec<(u16, Table)>,
    sources: Vec<Arc<str>>,
    pub(super) books: Books,
    /// Other names of meters.
    aliases: Aliases,
}

/// What applying files did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Applied {
    /// Rows to insert and to take back, withdrawals first.
    pub changes: Vec<FactChange>,
    /// Other names of meters that are new, or are none any more.
    pub aliases: Vec<AliasChange>,
    /// What is probably not meant so.
    pub warnings: Problems,
}

/// What files would do.
#[derive(Clone, Debug)]
pub struct Plan {
    books: Books,
    aliases: Aliases,
    /// The changes and warnings.
    pub applied: Applied,
}

impl FactStore {
    /// No facts yet, for `pipeline`.
    #[must_use]
    pub fn new(pipeline: &Pipeline, names: Arc<Names>) -> Self {
        let carried = pipeline.sources.iter().map(|source| source.config.carries());
        Self {
            names,
            timezone: pipeline.timezone.clone(),
            gwp: (pipeline.policy.gwp, pipeline.also_gwp.clone()),
            period_ms: pipeline.policy.period_ms,
            calendar: pipeline.policy.calendar.clone(),
            files: TABLES
                .into_iter()
                .filter(|table| table_path(&pipeline.tables, *table).is_some())
                .collect(),
            carriers: (0..)
                .zip(carried.clone())
                .filter_map(|(index, carries)| Some((index, carries.table()?)))
                .collect(),
            come_later: carried.filter_map(Carries::table).collect(),
            sources: pipeline.sources.iter().map(|source| Arc::from(&*source.name)).collect(),
            books: Books::default(),
            aliases: Aliases::new(),
        }
    }

    /// The names its rows use.
    #[must_use]
    pub fn names(&self) -> Arc<Names> {
        Arc::clone(&self.names)
    }

    /// The rows that hold now.
    #[must_use]
    pub fn books(&self) -> &Books {
        &self.books
    }

    /// Takes in a row that was learned before a restart, from the source of number `source` or a file, or takes
    /// it back. It passed all rules then.
    pub fn recall(&mut self, source: Option<u16>, change: &FactChange) {
        let FactChange { fact, withdrawn } = change;
        let table = table_of(fact);
        // What came from a file or a source that the pipeline no longer has is at home where the table is now.
        let origin = match source.map_or(Origin::File, Origin::Source) {
            Origin::File if self.files.contains(&table) => Origin::File,
            Origin::Source(index) if usize::from(index) < self.sources.len() => {
                Origin::Source(index)
            }
            origin => self.home(table).unwrap_or(origin),
        };
        let source = match origin {
            Origin::File => None,
            Origin::Source(index) => Some(index),
        };
        let file = source.and_then(|source| self.sources.get(usize::from(source)));
        let file =
            file.map_or_else(|| "the journal".to_owned(), |name| format!("source \"{name}\""));
        let place = Place { file: file.into(), line: None, origin };
        match fact {
            Fact::Meter(row) => recall(&mut self.books.meters, row, *withdrawn, place),
            Fact::Factor(row) => recall(&mut self.books.factors, row, *withdrawn, place),
            Fact::Series(row) => recall(&mut self.books.series, row, *withdrawn, place),
            Fact::Node(row) => recall(&mut self.books.nodes, row, *withdrawn, place),
            Fact::Contract(row) => recall(&mut self.books.contracts, row, *withdrawn, place),
            Fact::Certificate(row) => recall(&mut self.books.certificates, row, *withdrawn, place),
            Fact::Price(row) => recall(&mut self.books.prices, row, *withdrawn, place),
        }
    }

    /// Where rows of `table` come from, if from one place alone.
    fn home(&self, table: Table) -> Option<Origin> {
        if self.files.contains(&table) {
            return Some(Origin::File);
        }
        let mut carriers = self.carriers.iter().filter(|(_, carried)| *carried == table);
        let (index, _) = carriers.next()?;
        carriers.next().is_none().then_some(Origin::Source(*index))
    }

    /// Takes in other names of meters that were known before a restart.
    pub fn recall_aliases(&mut self, meters: &BTreeMap<Id, Id>) {
        let place = || Place { file: "the journal".into(), line: None, origin: Origin::File };
        let alias = |(alias, meter): (&Id, &Id)| (*alias, Alias { meter: *meter, place: place() });
        self.aliases = meters.iter().map(alias).collect();
    }

    /// Other names of meters, each with its meter.
    #[must_use]
    pub fn aliases(&self) -> BTreeMap<Id, Id> {
        self.aliases.iter().map(|(alias, Alias { meter, .. })| (*alias, *meter)).collect()
    }

    /// The meters that have rows.
    pub fn meters(&self) -> impl Iterator<Item = Id> {
        self.books.meters.keys().copied()
    }

    /// Puts the rows of `files` in place of those of the same tables' files.
    ///
    /// # Errors
    /// If the rows contradict each other, one is gone without being withdrawn, or the tables no longer
    /// join up. Nothing is applied then.
    pub fn apply_files(&mut self, files: &[TableFile]) -> Result<Applied, Problems> {
        let plan = self.plan(files)?;
        Ok(self.accept(plan))
    }

    /// What [`Self::apply_files`] would do; nothing is applied yet.
    ///
    /// # Errors
    /// See there.
    pub fn plan(&self, files: &[TableFile]) -> Result<Plan, Problems> {
        let mut problems = Problems::new();
        let mut next = self.books.clone();
        for file in files {
            match file.table {
                Table::Meters => self.replace(&mut next.meters, file, &mut problems),
                Table::Factors => self.replace(&mut next.factors, file, &mut problems),
                Table::Series => self.replace(&mut next.series, file, &mut problems),
                Table::Nodes => self.replace(&mut next.nodes, file, &mut problems),
                Table::Contracts => self.replace(&mut next.contracts, file, &mut problems),
                Table::Certificates => self.replace(&mut next.certificates, file, &mut problems),
                Table::Prices => self.replace(&mut next.prices, file, &mut problems),
            }
        }
        let mut aliases = self.aliases.clone();
        for file in files.iter().filter(|file| file.table == Table::Meters) {
            aliases = of_file(file, &next.meters, self.words(), &mut problems);
        }
        self.rules(&next, &mut problems);
        if problems.errors() > 0 {
            return Err(problems);
        }
        let mut changes = Vec::new();
        for takes_back in [true, false] {
            differences(&self.books.nodes, &next.nodes, takes_back, &mut changes);
            differences(&self.books.meters, &next.meters, takes_back, &mut changes);
            differences(&self.books.series, &next.series, takes_back, &mut changes);
            differences(&self.books.prices, &next.prices, takes_back, &mut changes);
            differences(&self.books.factors, &next.factors, takes_back, &mut changes);
            differences(&self.books.contracts, &next.contracts, takes_back, &mut changes);
            differences(&self.books.certificates, &next.certificates, takes_back, &mut changes);
        }
        let applied = Applied {
            changes,
            aliases: alias_differences(&self.aliases, &aliases),
            warnings: problems,
        };
        Ok(Plan { books: next, aliases, applied })
    }

    /// Does what was planned, if nothing was applied since.
    pub fn accept(&mut self, plan: Plan) -> Applied {
        self.books = plan.books;
        self.aliases = plan.aliases;
        plan.applied
    }

    /// As [`Self::apply_files`], for one file.
    ///
    /// # Errors
    /// See [`Self::apply_files`].
    pub fn apply_file(&mut self, file: &TableFile) -> Result<Applied, Problems> {
        self.apply_files(std::slice::from_ref(file))
    }

    /// Takes in a row that came over the source of number `source`, or takes one back. The changes are
    /// empty if that says nothing new.
    ///
    /// # Errors
    /// If its key belongs to a file or another source or is another name of a meter, it contradicts a row of
    /// equal revision, or it closes a cycle of nodes.
    pub fn apply_change(
        &mut self,
        source: u16,
        change: &FactChange,
    ) -> Result<Vec<FactChange>, Problem> {
        let place = self.place_of(source);
        let (names, timezone) = (Arc::clone(&self.names), self.timezone.clone());
        let words = Words { names: &names, timezone: &timezone };
        let withdrawn = change.withdrawn;
        match &change.fact {
            Fact::Meter(row) => {
                if let Some(alias) = self.aliases.get(&row.meter).filter(|_| !withdrawn) {
                    return Err(is_taken(row, &place, alias, words));
                }
                one(&mut self.books.meters, row, withdrawn, &place, words)
            }
            Fact::Factor(row) => {
                let row = &numbered(row, withdrawn, &self.books);
                let held = Held { row: row.clone(), place: place.clone() };
                if let Some(problem) = is_locked(&held, &self.books, words).filter(|_| !withdrawn) {
                    return Err(problem);
                }
                one(&mut self.books.factors, row, withdrawn, &place, words)
            }
            Fact::Series(row) => one(&mut self.books.series, row, withdrawn, &place, words),
            Fact::Contract(row) => {
                let held = Held { row: row.clone(), place: place.clone() };
                let problem = shares(&held, &self.books, words);
                match problem.filter(|_| !withdrawn) {
                    Some(problem) => Err(problem),
                    None => one(&mut self.books.contracts, row, withdrawn, &place, words),
                }
            }
            Fact::Certificate(row) => {
                let held = Held { row: row.clone(), place: place.clone() };
                let problem = misplaced(&held, &self.books, words);
                match problem.or_else(|| twice(&held, &self.books, words)).filter(|_| !withdrawn) {
                    Some(problem) => Err(problem),
                    None => one(&mut self.books.certificates, row, withdrawn, &place, words),
                }
            }
            Fact::Price(row) => one(&mut self.books.prices, row, withdrawn, &place, words),
            Fact::Node(row) => {
                let before = self.books.nodes.get(&row.node).cloned();
                let changes = one(&mut self.books.nodes, row, withdrawn, &place, words)?;
                if let Some(problem) = self.new_cycle(row, words) {
                    match before {
                        Some(rows) => self.books.nodes.insert(row.node, rows),
                        None => self.books.nodes.remove(&row.node),
                    };
                    return Err(problem);
                }
                Ok(changes)
            }
        }
    }

    /// Where a row of the source of number `source` stands.
    pub(super) fn place_of(&self, source: u16) -> Place {
        let name = self.sources.get(usize::from(source));
        let file =
            name.map_or_else(|| format!("source {source}"), |name| format!("source \"{name}\""));
        Place { file: file.into(), line: None, origin: Origin::Source(source) }
    }

    /// A cycle or too deep a path among the ancestors of `row` and its siblings by revision.
    fn new_cycle(&self, row: &NodeRow, words: Words<'_>) -> Option<Problem> {
        let mut above: Book<NodeRow> = Book::new();
        let mut open = vec![row.node];
        while let Some(node) = open.pop() {
            let Some(rows) = self.books.nodes.get(&node).filter(|_| !above.contains_key(&node))
            else {
                continue;
            };
            open.extend(rows.iter().map(|held| held.row.parent));
            above.insert(node, rows.clone());
        }
        let mut problems = Problems::new();
        tree(&above, words, &mut problems);
        problems.into_iter().next()
    }

    /// Puts the rows of `file` in place of the file's rows in `book`.
    fn replace<R: TableRow>(&self, book: &mut Book<R>, file: &TableFile, problems: &mut Problems) {
        let mut withdrawn: Vec<&R> = Vec::new();
        let mut fresh: BTreeMap<&R, usize> = BTreeMap::new();
        for read in &file.rows {
            let Some(row) = R::of(&read.change.fact) else {
                continue;
            };
            if read.change.withdrawn {
                withdrawn.push(row);
            } else {
                fresh.entry(row).or_insert(read.line);
            }
        }
        withdrawn.sort_unstable();
        fresh.retain(|row, _| withdrawn.binary_search(row).is_err());
        let mut next: Book<R> = Book::new();
        for (row, line) in &fresh {
            let line = Some(*line);
            let place = Place { file: Arc::clone(&file.file), line, origin: Origin::File };
            next.entry(row.key()).or_default().push(Held { row: (*row).clone(), place });
        }
        let before: BTreeSet<&R> =
            file.before.iter().filter_map(|read| R::of(&read.change.fact)).collect();
        let words = self.words();
        for (key, rows) in std::mem::take(book) {
            let (of_file, others): (Vec<_>, Vec<_>) =
                rows.into_iter().partition(|held| held.place.origin == Origin::File);
            let now = next.get(&key).map_or(&[][..], Vec::as_slice);
            for held in of_file {
                let is_there = fresh.contains_key(&held.row) || before.contains(&held.row);
                let is_withdrawn = || withdrawn.iter().any(|row| takes_back(*row, &held.row));
                if !is_there && !is_withdrawn() {
                    problems.push(lost(&held, now, &file.file, words));
                }
            }
            if let (Some(other), Some(first)) = (others.first(), now.first()) {
                problems.push(two_homes(&words.key::<R>(key), &first.place, &other.place));
            }
            if !others.is_empty() {
                next.entry(key).or_default().extend(others);
            }
        }
        *book = next;
    }

    fn rules(&self, books: &Books, problems: &mut Problems) {
        let words = self.words();
        table_rules(&books.meters, false, words, problems);
        table_rules(&books.factors, true, words, problems);
        table_rules(&books.series, false, words, problems);
        let (gwp, also_gwp) = &self.gwp;
        series(books, (words, *gwp, also_gwp), problems);
        table_rules(&books.prices, true, words, problems);
        table_rules(&books.nodes, false, words, problems);
        tree(&books.nodes, words, problems);
        let setting = Setting {
            words,
            gwp: *gwp,
            // A meter may name the output of a plant, which a contract does.
            factors_come_later: self.come_later.contains(&Table::Factors)
                || self.come_later.contains(&Table::Contracts),
            nodes_come_later: self.come_later.contains(&Table::Nodes),
            prices_come_later: self.come_later.contains(&Table::Prices),
        };
        joins(books, setting, problems);
        table_rules(&books.contracts, false, words, problems);
        table_rules(&books.certificates, false, words, problems);
        contracts(books, (words, self.period_ms, &self.calendar), &self.come_later, problems);
        prices(books, setting, problems);
    }

    pub(super) fn words(&self) -> Words<'_> {
        Words { names: &self.names, timezone: &self.timezone }
    }
}

#[cfg(test)]
#[path = "store_tests.rs"]
mod tests;
