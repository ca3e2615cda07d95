//! What an edit of the tables would restate, before it does.
//!
//! ```text
//! journal: the facts that hold ─┬─▶ changes ─▶ keys touched, by table
//! files as they are now ────────┘      │
//! lake: all that was ever said ────────┴─▶ computed with and without the edit ─▶ kg by company, scope and month
//! ```
//!
//! Nothing is written, and a pipeline may run meanwhile: what it has not applied yet, or what waits for
//! `plumeline facts apply`, is the edit. Another pipeline file may name copies of the tables.

use std::path::Path;
use std::sync::Arc;

use jiff::tz::TimeZone;
use plumeline_connectors::FactChange;
use plumeline_pipelines::model::{Fact, Names, Reason};
use plumeline_sinks::delta::Rows;
use thiserror::Error;

use crate::config::{Pipeline, Problems};
use crate::facts::{AliasChange, Applied, FactStore, Reach, Terms, read_tables};
use crate::journal::{JournalError, Learned, Reader};
use crate::restate::{Base, Periods, Request, RestateError, SHARE_ROWS, restate};

/// Why nothing can be said of an edit.
#[derive(Debug, Error)]
pub enum ReviewError {
    /// The journal cannot be read.
    #[error("the journal cannot be read")]
    Journal(#[from] JournalError),
    /// There is none.
    #[error(
        "there is no journal in `{0}`: the pipeline has not run yet, and its first start takes the tables as they are"
    )]
    NoJournal(String),
    /// The files would not be applied.
    #[error("the tables would not be applied\n{0}")]
    Tables(Problems),
}

/// An edit of the tables that is not applied.
#[derive(Debug)]
pub struct Edit {
    /// What it touches, by table.
    pub reach: Vec<Reach>,
    /// Other names of meters that are new, or are none any more.
    pub aliases: Vec<AliasChange>,
    /// What is probably not meant so.
    pub warnings: Problems,
    /// Facts that are learned (1) and taken back (-1).
    changes: Vec<(Fact, i64)>,
}

impl Edit {
    /// What the files of `pipeline` say now that its journal does not know.
    ///
    /// # Errors
    /// If there is no journal, or the files would not be applied.
    pub fn of(pipeline: &Pipeline, names: &Arc<Names>) -> Result<Self, ReviewError> {
        let sources: Vec<Arc<str>> =
            pipeline.sources.iter().map(|source| source.key().into()).collect();
        let folder = &pipeline.state_dir;
        let reader = Reader::open(folder, &sources, Arc::clone(names))?;
        let reader = reader.ok_or_else(|| ReviewError::NoJournal(folder.display().to_string()))?;
        let mut store = FactStore::new(pipeline, Arc::clone(names));
        for line in reader.facts_until(i64::MAX)? {
            let Learned { source, change } = line.learned;
            store.recall(source, &change);
        }
        store.recall_aliases(&reader.aliases()?.meters);
        let (timezone, period_ms) = (&pipeline.timezone, pipeline.policy.period_ms);
        let before = reader.timezone_before(timezone.iana_name().unwrap_or("UTC"))?;
        let before = before.and_then(|before| TimeZone::get(&before.name).ok());
        let terms = Terms { names, timezone, period_ms };
        let files = read_tables(&pipeline.tables, terms, before.as_ref());
        let files = files.map_err(ReviewError::Tables)?;
        let applied = store.plan(&files).map_err(ReviewError::Tables)?.applied;
        let reach = Reach::of(&store, &applied);
        let Applied { changes, aliases, warnings } = applied;
        let changes = changes.into_iter().map(FactChange::diff).collect();
        Ok(Self { reach, aliases, warnings, changes })
    }

    /// Whether nothing was edited.
    #[must_use]
    pub fn is_nothing(&self) -> bool {
        self.changes.is_empty() && self.aliases.is_empty()
    }

    /// What it would change of all that has settled by the newest commit goes to `give`; says how many entries. Memory
    /// and scratch files as of any restatement.
    ///
    /// # Errors
    /// If it cannot be computed, or `give` ends it.
    pub fn restates(
        &self,
        pipeline: &Pipeline,
        (names, scratch): (&Arc<Names>, &Path),
        may_go_on: &dyn Fn(usize) -> bool,
        give: &mut dyn FnMut(Rows) -> Result<(), RestateError>,
    ) -> Result<u64, RestateError> {
        let Some(lake) = pipeline.lake(false) else { return Ok(0) };
        let request = Request {
            lake,
            policy: &pipeline.policy,
            periods: Periods::All(Reason::Restated),
            base: Base::WithoutEdit(&self.changes),
            names: Arc::clone(names),
            scratch,
            share_rows: SHARE_ROWS,
            may_go_on,
        };
        let entry = restate(&request, give)?.unwrap_or_default().entry;
        Ok(entry.activity + entry.emissions + entry.footprints)
    }
}
