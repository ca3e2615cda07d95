//! The facts that hold, and the files they come from.
//!
//! 1. A file that has changed and settled is read, and applied as a whole; files that changed together are applied
//!    together. One with a mistake is not applied: the last good one stays.
//! 2. An edit that touches more of a table than [`Pipeline::max_fact_change`] waits until somebody says so, or until
//!    the files are edited again. *An accident with a spreadsheet must not restate a year by itself.* What holds
//!    goes on to hold; a restart finds the files edited, and waits again.
//! 3. A restart that finds other names of meters in the file than it knows applies the file before anything is taken
//!    in ([`super::door`]). *What comes from below the horizon under such a name would stay parked.*

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{BufRead as _, BufReader, Read as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use jiff::tz::TimeZone;
use plumeline_connectors::FactChange;
use plumeline_pipelines::model::{Id, Names};

use super::telemetry::Telemetry;
use crate::config::{Pipeline, Problem, Problems, Tables};
use crate::facts::{
    FactStore, Reach, TABLES, Table, TableFile, Terms, Watcher, read_table, read_tables,
    table_name, table_path,
};
use crate::journal::{FactLine, Learned, TimezoneBefore};

/// See the module's documentation.
#[derive(Debug)]
pub(super) struct Facts {
    store: FactStore,
    tables: Tables,
    timezone: TimeZone,
    /// The timezone in which dates were read before, if it was another.
    before: Option<TimeZone>,
    /// Tables whose dates nobody has read yet in the timezone of now: who changed it means all of them.
    moved: BTreeSet<Table>,
    period_ms: i64,
    max_change: u64,
    watcher: Watcher,
    first: Vec<FactChange>,
    /// Tables whose edited files wait.
    held: BTreeSet<Table>,
    /// Other names of meters have changed since somebody asked.
    are_aliases_new: bool,
    /// Polls after which nothing waits any more for files that were edited while nothing ran.
    polls_left: u32,
}

/// Polls that a start waits at most for a file to settle: each is a second.
const POLLS_MAX: u32 = 5;

/// What came of files that were read.
enum Outcome {
    /// They are applied, and these are the changes.
    Applied(Vec<FactChange>),
    /// They touch this much, and wait.
    Held(Vec<Reach>),
}

impl Facts {
    /// Reads the tables; after a restart, goes on from what was `journaled`, in a timezone that may have been another
    /// (`before`), and reads those files again that have settled, as if they had just changed.
    ///
    /// # Errors
    /// At the first start, all that is wrong with them.
    pub(super) fn load(
        pipeline: &Pipeline,
        names: &Arc<Names>,
        (journaled, before): (&[FactLine], Option<TimezoneBefore>),
        aliases: &BTreeMap<Id, Id>,
    ) -> Result<Self, Problems> {
        let is_first = journaled.is_empty();
        let mut facts = Self {
            store: FactStore::new(pipeline, Arc::clone(names)),
            tables: pipeline.tables.clone(),
            timezone: pipeline.timezone.clone(),
            moved: if before.as_ref().is_some_and(|before| before.is_new) {
                TABLES.into_iter().collect()
            } else {
                BTreeSet::new()
            },
            before: before.and_then(|before| TimeZone::get(&before.name).ok()),
            period_ms: pipeline.policy.period_ms,
            max_change: pipeline.max_fact_change,
            watcher: Watcher::new(&pipeline.tables, is_first),
            first: Vec::new(),
            held: BTreeSet::new(),
            are_aliases_new: false,
            polls_left: 0,
        };
        facts.store.recall_aliases(aliases);
        for FactLine { learned: Learned { source, change }, .. } in journaled {
            facts.store.recall(*source, change);
        }
        if !is_first {
            if facts.has_other_aliases() {
                facts.polls_left = POLLS_MAX;
            }
            return Ok(facts);
        }
        let files = read_tables(&facts.tables, facts.terms(names), facts.before.as_ref())?;
        fail::fail_point!("facts-read");
        let applied = facts.store.apply_files(&files)?;
        facts.first = applied.changes;
        facts.are_aliases_new = !applied.aliases.is_empty();
        Ok(facts)
    }

    /// Whether the file of meters, as it is now, gives them other names than those that are known.
    fn has_other_aliases(&self) -> bool {
        let path = table_path(&self.tables, Table::Meters);
        // A large table is not read for nothing.
        let may_have =
            |path: &PathBuf| first_line(path).is_some_and(|line| line.contains("aliases"));
        if self.store.aliases().is_empty() && !path.is_some_and(may_have) {
            return false;
        }
        let (mut files, _) = self.read([Table::Meters]);
        let plan = files.pop().and_then(|file| self.store.plan(&[file]).ok());
        plan.is_some_and(|plan| !plan.applied.aliases.is_empty())
    }

    /// Whether nothing may be taken in yet.
    pub(super) fn are_awaited(&self) -> bool {
        self.polls_left > 0
    }

    /// The other names of meters, each with its meter, if they have changed since somebody asked.
    pub(super) fn take_aliases(&mut self) -> Option<BTreeMap<Id, Id>> {
        std::mem::take(&mut self.are_aliases_new).then(|| self.store.aliases())
    }

    /// The facts that hold.
    pub(super) fn store(&self) -> &FactStore {
        &self.store
    }

    /// What the files of a first start said.
    pub(super) fn take_first(&mut self) -> Vec<FactChange> {
        std::mem::take(&mut self.first)
    }

    /// Whether every file that has changed was looked at.
    pub(super) fn have_settled(&self) -> bool {
        self.watcher.has_settled()
    }

    /// Takes in the rows of a message that came over the source of number `source`.
    ///
    /// # Errors
    /// As [`FactStore::apply_together`].
    pub(super) fn learn(
        &mut self,
        source: u16,
        told: &[FactChange],
    ) -> Result<Vec<FactChange>, Problem> {
        self.store.apply_together(source, told)
    }

    /// Tells that all files are applied.
    pub(super) fn tell(&self, telemetry: &Telemetry) {
        for table in TABLES.into_iter().filter(|t| table_path(&self.tables, *t).is_some()) {
            telemetry.metrics.facts_reload_success(table_name(table)).set(1);
            telemetry.metrics.facts_held_keys(table_name(table)).set(0);
        }
    }

    /// Changes of files that have changed, or waited and need not any more.
    pub(super) fn poll(&mut self, telemetry: &Telemetry) -> Vec<FactChange> {
        let is_asked = telemetry.take_facts_asked();
        let mut tables: BTreeSet<Table> = self.watcher.poll().iter().map(|c| c.table).collect();
        self.polls_left = self.polls_left.saturating_sub(1);
        if tables.contains(&Table::Meters) {
            self.polls_left = 0;
        }
        if is_asked || !tables.is_empty() {
            tables.append(&mut self.held);
        }
        if tables.is_empty() {
            return Vec::new();
        }
        let (files, problems) = self.read(tables);
        for (table, problems) in &problems {
            not_applied(*table, problems, telemetry);
        }
        fail::fail_point!("facts-changed");
        let changes = match self.apply(&files, is_asked) {
            Ok(Outcome::Applied(changes)) => {
                for file in &files {
                    telemetry.metrics.facts_reload_success(table_name(file.table)).set(1);
                }
                if !changes.is_empty() {
                    let tables: Vec<_> = files.iter().map(|f| table_name(f.table)).collect();
                    let rows = changes.len();
                    tracing::info!(
                        tables = tables.join(", "),
                        rows,
                        "tables changed and were applied"
                    );
                }
                changes
            }
            Ok(Outcome::Held(reach)) => {
                self.hold(&files, &reach, telemetry);
                return Vec::new();
            }
            // One of them is at fault: the others are applied all the same, where they can do without it.
            Err(_) => {
                files.iter().flat_map(|file| self.apply_one(file, is_asked, telemetry)).collect()
            }
        };
        if self.held.is_empty() {
            telemetry.set_facts_held(None);
            for table in TABLES {
                telemetry.metrics.facts_held_keys(table_name(table)).set(0);
            }
        }
        changes
    }

    fn apply_one(
        &mut self,
        file: &TableFile,
        is_asked: bool,
        telemetry: &Telemetry,
    ) -> Vec<FactChange> {
        match self.apply(std::slice::from_ref(file), is_asked) {
            Ok(Outcome::Applied(changes)) => {
                let (table, rows) = (table_name(file.table), changes.len());
                telemetry.metrics.facts_reload_success(table).set(1);
                tracing::info!(table, rows, "the table changed and was applied");
                changes
            }
            Ok(Outcome::Held(reach)) => {
                self.hold(std::slice::from_ref(file), &reach, telemetry);
                Vec::new()
            }
            Err(problems) => {
                not_applied(file.table, &problems, telemetry);
                Vec::new()
            }
        }
    }

    /// Applies files, unless they touch too much and nobody `is_asked` to apply them all the same.
    fn apply(&mut self, files: &[TableFile], is_asked: bool) -> Result<Outcome, Problems> {
        let plan = self.store.plan(files)?;
        let reach = Reach::of(&self.store, &plan.applied);
        let is_moved = |file: &TableFile| self.moved.contains(&file.table);
        let may_be_held = !is_asked && !files.iter().all(is_moved);
        if may_be_held && reach.iter().any(|reach| reach.is_beyond(self.max_change)) {
            return Ok(Outcome::Held(reach));
        }
        let applied = self.store.accept(plan);
        self.are_aliases_new |= !applied.aliases.is_empty();
        self.moved.retain(|table| files.iter().all(|file| file.table != *table));
        Ok(Outcome::Applied(applied.changes))
    }

    fn hold(&mut self, files: &[TableFile], reach: &[Reach], telemetry: &Telemetry) {
        self.held.extend(files.iter().map(|file| file.table));
        for reach in reach {
            let keys = i64::try_from(reach.touched).unwrap_or(i64::MAX);
            telemetry.metrics.facts_held_keys(table_name(reach.table)).set(keys);
        }
        let told: Vec<String> = reach.iter().map(ToString::to_string).collect();
        let told = told.join("; ");
        tracing::warn!(
            "an edit of the tables touches more than max_fact_change = {} per cent ({told}): it waits. `plumeline \
             facts diff` tells what it restates, `plumeline facts apply` applies it",
            self.max_change
        );
        telemetry.set_facts_held(Some(told));
    }

    fn terms<'a>(&'a self, names: &'a Names) -> Terms<'a> {
        Terms { names, timezone: &self.timezone, period_ms: self.period_ms }
    }

    /// Reads the files of `tables`; and what is wrong with those that cannot be.
    fn read(
        &self,
        tables: impl IntoIterator<Item = Table>,
    ) -> (Vec<TableFile>, Vec<(Table, Problems)>) {
        let names = self.store.names();
        let (mut files, mut problems) = (Vec::new(), Vec::new());
        for table in tables {
            match read_table(&self.tables, table, self.terms(&names), self.before.as_ref()) {
                Some(Ok(file)) => files.push(file),
                Some(Err(wrong)) => problems.push((table, wrong)),
                None => {}
            }
        }
        (files, problems)
    }
}

fn first_line(path: &Path) -> Option<String> {
    let mut line = String::new();
    // A header has a few hundred bytes.
    let mut start = BufReader::new(File::open(path).ok()?.take(4096));
    start.read_line(&mut line).ok()?;
    Some(line)
}

fn not_applied(table: Table, problems: &Problems, telemetry: &Telemetry) {
    let table = table_name(table);
    telemetry.metrics.facts_reload_success(table).set(0);
    tracing::error!(table, "the table is not applied, the last good one stays\n{problems}");
}
