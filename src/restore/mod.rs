//! `plumeline restore`: the journal made anew from the tables, where the state folder was lost.
//!
//! ```text
//!  lake, up to its newest cut S                                         journal.db.part
//!  readings, activity_data ─┬─ above the horizon of S ────────────────▶ frames, at their own ticks ─┐
//!                           └─ by subject ─▶ what a dataflow keeps ───▶ kept, at the horizon's move ┤
//!  meters, factors, nodes ────── as they were learned ────────────────▶ facts                       ├─▶ proven ─▶ journal.db
//!  the commit of S ─────── positions of sources, rules, digests ──────▶ positions, settings         ┤      ▲
//!  a cut after S that some tables hold ───────────────────────────────▶ ticks and a cut to replay ──┘      │
//!                                                                       digests of S ──────────────────────┘
//! ```
//!
//! 1. The state folder is locked; a journal that holds anything is left alone ([`crate::journal::Rebuild`]).
//! 2. The rules that S was committed under must be those of the pipeline file. *Else the journal would go on from
//!    where the ledger never was.*
//! 3. The tables that say what was said are read once, cut by cut: what a restart feeds goes into frames at once, what
//!    was said of each meter and activity into shares on the disk. *Memory holds one cut, then one share.*
//! 4. Of each subject it is found what the dataflow had kept of it when the horizon moved last
//!    ([`plumeline_pipelines::kept`]).
//! 5. Facts come back at their ticks, and at the source or file where their keys are at home now.
//! 6. A commit that did not come to its end has left rows after S in some tables. They come back as ticks after S, and
//!    their cut: the next run makes the same commit to its end. *Otherwise these rows would be in the tables twice, or
//!    without entries.* What a restatement found that it took along is computed again. Where it was the first of all, there is nothing else.
//! 7. The state at S is derived from the new journal as a restart does, and its digests are those of S, or nothing is
//!    restored. *So a journal that is put in its place is one that a restart accepts.*
//!
//! What was acknowledged after S and is in no table is lost with the disk that held it, unless its source can be read
//! again from where it stood at S: Kafka and files can.

mod elements;
mod facts;
mod readings;
mod restating;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use jiff::Timestamp;
use plumeline_connectors::{Position, SourceConfig};
use plumeline_pipelines::kept::Booked;
use plumeline_pipelines::model::{Names, RestatedEntry, Tick};
use plumeline_sinks::delta::{LakeConfig, LakeError, LakeReader, Proof, Resume, TableName};
use thiserror::Error;

use crate::config::{Pipeline, Problems};
use crate::journal::{JournalError, Part, Rebuild, Rebuilt, TIMEZONE, Whole, go_on_under, rules};
use crate::restate::RestateError;
use crate::runtime::{RunError, prove};

/// Why nothing was restored.
#[derive(Debug, Error)]
pub enum RestoreError {
    /// There are no tables.
    #[error("the pipeline has no sink of type \"delta\": there is nothing to restore from")]
    NoLake,
    /// Nothing is committed.
    #[error("nothing is committed at the sink's url: `plumeline run` begins the ledger")]
    Nothing,
    /// Not all readings are in them.
    #[error(
        "some of the ledger was written with `readings = \"none\"`: what its readings were is not known, and nothing \
         can be made anew from the others. To begin anew, give the pipeline another name, state_dir and url"
    )]
    Incomplete,
    /// Somebody commits meanwhile.
    #[error("another process writes these tables: stop it first, or let it run and leave this one")]
    Written,
    /// What a commit took along cannot be computed again.
    #[error("what a commit took along that did not come to its end cannot be computed again")]
    Restate(#[from] RestateError),
    /// The tables say something else.
    #[error(
        "what the tables lead to is not what their newest commit says; nothing was restored. `plumeline verify` tells \
         what differs"
    )]
    Unproven(#[source] RunError),
    /// A file of facts.
    #[error("the tables of facts are not in order\n{0}")]
    Facts(Problems),
    /// The tables cannot be read.
    #[error("the tables cannot be read")]
    Lake(#[from] LakeError),
    /// The journal cannot be written.
    #[error("the journal cannot be written")]
    Journal(#[from] JournalError),
    /// The files that hold shares.
    #[error("the scratch files in the state folder cannot be used")]
    Scratch(#[from] std::io::Error),
}

/// How far it has come.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct Progress {
    /// What is done: `reading`, `sorting`, `proving`.
    pub what: &'static str,
    /// So much of it.
    pub done: u64,
    /// All of it.
    pub total: u64,
    /// Records that were read, sorted or fed.
    pub records: u64,
}

/// How a source goes on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GoesOn {
    /// Where the newest commit says, in so many streams: nothing of it is lost.
    At(usize),
    /// From its configured beginning, since no commit says where.
    FromStart,
    /// With what its broker has not been acknowledged: what was, and is not committed, is lost.
    WithTheRest,
}

/// What was restored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Restored {
    /// The journal.
    pub path: PathBuf,
    /// The cut up to which everything is there; `None` where the first of all did not come to its end.
    pub until: Option<Tick>,
    /// A cut after it that the next run commits to its end.
    pub unfinished: Option<Tick>,
    /// Whether it takes a restatement along.
    pub restates: bool,
    /// Readings and activities from which a restart derives its state.
    pub records: u64,
    /// What was kept from before the horizon.
    pub kept: u64,
    /// Rows of facts, as they were learned.
    pub facts: u64,
    /// How the pipeline's sources go on.
    pub sources: Vec<(String, GoesOn)>,
    /// What may not be as it was.
    pub warnings: Vec<String>,
}

impl fmt::Display for Restored {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { path, until, unfinished, restates, records, kept, facts, sources, warnings } =
            self;
        let until = until.map_or_else(|| "any".to_owned(), |until| shown(until.ms()));
        writeln!(f, "{} is made anew from the tables", path.display())?;
        writeln!(f, "  up to their commit of     {until}")?;
        writeln!(f, "  readings and activities   {records}")?;
        writeln!(f, "  kept from before retain   {kept}")?;
        writeln!(f, "  rows of facts             {facts}")?;
        writeln!(f, "  proven                    it leads to the digests of that commit")?;
        if let Some(cut) = unfinished {
            let (cut, along) =
                (shown(cut.ms()), if *restates { " and its restatement" } else { "" });
            writeln!(f, "  to be finished            the commit of {cut}{along}, by the next run")?;
        }
        for (name, goes_on) in sources {
            let how = match goes_on {
                GoesOn::At(1) => "goes on where that commit left it: nothing is lost".to_owned(),
                GoesOn::At(streams) => {
                    format!("goes on where that commit left its {streams} streams: nothing is lost")
                }
                GoesOn::FromStart => {
                    "no commit says where it stood: it is read from its beginning, as configured"
                        .to_owned()
                }
                GoesOn::WithTheRest => {
                    "what it had acknowledged to its broker after that commit is lost".to_owned()
                }
            };
            writeln!(f, "  source {name:<18} {how}")?;
        }
        for warning in warnings {
            writeln!(f, "warning: {warning}")?;
        }
        f.write_str("`plumeline run` goes on from here")
    }
}

/// Makes the journal of `pipeline` anew. `told` hears how far it has come.
///
/// # Errors
/// If a journal is there, the tables do not hold what it takes, or it is not proven: nothing is in its place then.
pub fn restore(
    pipeline: &Pipeline,
    told: &mut dyn FnMut(Progress),
) -> Result<Restored, RestoreError> {
    // Whether a clock followed the data does not matter to a reader.
    let config = pipeline.lake(false).ok_or(RestoreError::NoLake)?;
    if !config.readings {
        return Err(RestoreError::Incomplete);
    }
    let names = Arc::new(Names::new());
    // STEP 1.
    let mut draft = Rebuild::begin(&pipeline.state_dir, Arc::clone(&names))?;
    let (basis, reader) = Basis::find(&config, &names)?;
    // STEP 2.
    let mut pipeline = pipeline.clone();
    go_on_under(&pipeline.name, &mut pipeline.policy, &basis.resume.rules)?;
    let pipeline = &pipeline;
    let scratch = &pipeline.state_dir;
    // STEPS 3 and 4.
    let read = readings::read(reader, &basis, (pipeline, scratch), &mut draft, told)?;
    let readings::Read { mut sources, facts, records, last_index, shares, later } = read;
    add_positioned(&mut sources, &basis.resume);
    let told_facts = facts::in_order(facts);
    let homes = facts::Homes::find(pipeline, &names)?;
    let kept = readings::kept(shares, &told_facts, &basis, pipeline, told)?;
    let kept_records = kept.iter().map(|part| part.len() as u64).sum();
    if let Some(until) = basis.until() {
        draft.keep(pipeline.policy.horizon_moved_ms(until), &kept, &sources)?;
    }
    drop(kept);
    // STEP 5.
    let mut warnings = BTreeSet::new();
    for (ms, changes) in &told_facts {
        let learned = homes.learned(changes, &mut warnings);
        let part = Part { ms: *ms, facts: &learned, ..Part::default() };
        draft.append(&part, &sources)?;
    }
    let positions = positions(&basis.resume, &sources);
    let part = Part { positions: &positions, ..Part::default() };
    draft.append(&part, &sources)?;
    // STEP 6.
    for cut in [basis.until(), basis.unfinished].into_iter().flatten() {
        match basis.restating.filter(|(taken, _)| *taken == cut) {
            None => draft.cut(cut.ms())?,
            Some(restated) => {
                let rules = (&pipeline.policy, &**scratch);
                restating::propose((&config, &names), rules, restated, &later, &mut draft)?;
            }
        }
    }
    let mut rules = rules(&pipeline.name, &pipeline.policy);
    // Dates of tables were read in it: the next run finds out where it is another.
    let timezone = basis.resume.rules.get_key_value(TIMEZONE);
    rules.extend(timezone.map(|(key, value)| (key.clone(), value.clone())));
    let committed_ms = basis.until().map(Tick::ms);
    let whole = Whole { rules, committed_ms, last_index };
    let rebuilt = draft.finish(&whole, &sources)?;
    // STEP 7.
    if let Some(proof) = &basis.proof {
        prove_it(pipeline, &rebuilt, &names, proof, told)?;
    }
    let path = rebuilt.put_in_place()?;
    let facts = told_facts.iter().map(|(_, changes)| changes.len() as u64).sum();
    Ok(Restored {
        path,
        until: basis.until(),
        unfinished: basis.unfinished,
        restates: basis.restating.is_some(),
        records,
        kept: kept_records,
        facts,
        sources: goes_on(pipeline, &basis.resume),
        warnings: warnings.into_iter().collect(),
    })
}

/// What the tables are found with.
#[derive(Debug)]
struct Basis {
    /// What their newest commit says; `None` where the first did not come to its end.
    proof: Option<Proof>,
    /// What it takes to go on, as far as it says.
    resume: Resume,
    /// The last restatement that was booked.
    booked: Option<Booked>,
    /// A cut after the newest commit that some tables hold.
    unfinished: Option<Tick>,
    /// The restatement that it takes along.
    restating: Option<(Tick, RestatedEntry)>,
}

impl Basis {
    /// Finds it, and a reader of everything that was said.
    fn find(config: &LakeConfig, names: &Arc<Names>) -> Result<(Self, LakeReader), RestoreError> {
        let open = |is_read: fn(TableName) -> bool| {
            LakeReader::of(config.clone(), Arc::clone(names), is_read)
        };
        let mut restated = open(|table| table == TableName::Restatements)?;
        let proof = restated.proof().cloned();
        if proof.as_ref().is_some_and(|proof| proof.lacks_readings) {
            return Err(RestoreError::Incomplete);
        }
        let until = proof.as_ref().map(|proof| proof.upper);
        let newest = |reader: &LakeReader| reader.tables().values().copied().flatten().max();
        let restated_until = newest(&restated).max(until);
        restated = restated.until(restated_until);
        let (mut booked, mut restating) = (None, None);
        while let Some((cut, rows)) = restated.next_cut()? {
            let Some(row) = rows.restated.into_iter().max_by_key(|row| row.known_ms) else {
                continue;
            };
            if Some(cut) > until {
                restating = Some((cut, row));
            } else {
                booked = Some(Booked { cut_ms: cut.ms(), known_ms: row.known_ms });
            }
        }
        let derived = open(|table| {
            use TableName::{Emissions, Footprints, Pending};
            matches!(table, Footprints | Emissions | Pending)
        })?;
        let said = open(|table| {
            use TableName::{ActivityData, Readings, Rejects};
            table.is_of_facts() || matches!(table, ActivityData | Readings | Rejects)
        })?;
        if [&restated, &derived, &said].into_iter().any(|reader| reader.committed() != until) {
            return Err(RestoreError::Written);
        }
        let newest = newest(&derived).max(newest(&said)).max(newest(&restated));
        let unfinished = newest.filter(|cut| Some(*cut) > until);
        if until.max(unfinished).is_none() {
            return Err(RestoreError::Nothing);
        }
        let said = said.until(until.max(unfinished));
        let resume = proof.as_ref().and_then(|proof| proof.resume.clone()).unwrap_or_default();
        Ok((Self { proof, resume, booked, unfinished, restating }, said))
    }

    /// The newest cut that all tables have.
    fn until(&self) -> Option<Tick> {
        self.proof.as_ref().map(|proof| proof.upper)
    }
}

/// Sources that a commit tells positions of, and nothing else.
fn add_positioned(sources: &mut Vec<Arc<str>>, resume: &Resume) {
    for name in resume.positions.keys() {
        if !sources.iter().any(|known| **known == **name) {
            sources.push(name.as_str().into());
        }
    }
}

fn positions(resume: &Resume, sources: &[Arc<str>]) -> Vec<(u16, Position)> {
    let mut all = Vec::new();
    for (index, name) in (0..).zip(sources) {
        for (stream, at) in resume.positions.get(&**name).into_iter().flatten() {
            all.push((index, Position { stream: stream.clone(), at: at.clone() }));
        }
    }
    all
}

fn goes_on(pipeline: &Pipeline, resume: &Resume) -> Vec<(String, GoesOn)> {
    let how = |source: &crate::config::SourceEntry| {
        let streams = resume.positions.get(source.key()).map_or(0, BTreeMap::len);
        match source.config {
            SourceConfig::Mqtt(_) => GoesOn::WithTheRest,
            SourceConfig::Kafka(_) | SourceConfig::File(_) if streams > 0 => GoesOn::At(streams),
            SourceConfig::Kafka(_) | SourceConfig::File(_) => GoesOn::FromStart,
        }
    };
    pipeline.sources.iter().map(|source| (source.name.clone(), how(source))).collect()
}

fn prove_it(
    pipeline: &Pipeline,
    rebuilt: &Rebuilt,
    names: &Arc<Names>,
    proof: &Proof,
    told: &mut dyn FnMut(Progress),
) -> Result<(), RestoreError> {
    fail::fail_point!("rebuild-prove");
    let reader = rebuilt.reader()?;
    let mut tell = |done: usize, total: usize| {
        let (done, total) = (done as u64, total as u64);
        told(Progress { what: "proving", done, total, records: done });
    };
    prove(pipeline, (&reader, names), proof, &mut tell).map_err(RestoreError::Unproven)?;
    Ok(())
}

fn shown(ms: i64) -> String {
    Timestamp::from_millisecond(ms).map_or_else(|_| ms.to_string(), |at| at.to_string())
}
