//! `plumeline verify`: the whole ledger computed again from the readings, activities and facts in its own
//! tables, and compared entry by entry.
//!
//! 1. The tables are read cut by cut, up to the newest commit of `activity`.
//! 2. The batch reference computes what the entries of each cut must be ([`plumeline_pipelines::audit`]). *So
//!    every balance is compared at every cut: not only what is true today, but all that ever was.*
//!    What is not part of a balance is not compared: `reason`, `period_date`, and where a reading came from.
//! 3. The digests of all balances are compared with those of the newest commit. *They are what a restart
//!    relies on.*
//!
//! Nothing is written, nothing but the lake is read, and a running pipeline need not be stopped.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::{self, Debug};
use std::sync::Arc;

use jiff::Timestamp;
use plumeline_pipelines::audit::{Auditor, Entries, Learned};
use plumeline_pipelines::digest::{Digester, Digests, Table};
use plumeline_pipelines::model::{
    ActivityKey, Cause, Emission, EmissionKey, FootprintKey, GwpSet, Id, Line, Measure, Names,
    Record, Tick,
};
use plumeline_sinks::delta::{CutRows, LakeError, LakeReader, Proof, TableName};
use thiserror::Error;

use crate::config::Pipeline;
use crate::journal::as_committed;

/// Why a ledger cannot be verified.
#[derive(Debug, Error)]
pub enum VerifyError {
    /// There is none.
    #[error("the pipeline has no sink of type \"delta\"")]
    NoLake,
    /// It cannot be computed again.
    #[error(
        "its sink says `readings = \"none\"`: without readings there is nothing to compute the ledger from"
    )]
    NoReadings,
    /// It was without for a while.
    #[error(
        "some of the ledger was written with `readings = \"none\"`: what its readings were is not known, and it \
         cannot be computed again"
    )]
    Incomplete,
    /// It cannot be read.
    #[error("the tables cannot be read")]
    Lake(#[from] LakeError),
}

/// What was found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verdict {
    /// The newest cut, if there is one.
    pub until: Option<Tick>,
    /// Cuts that were compared.
    pub cuts: usize,
    /// Readings and activities they rest on.
    pub records: usize,
    /// Rows of facts they rest on.
    pub facts: usize,
    /// Entries of `activity`, `emissions` and `footprints`.
    pub entries: usize,
    /// The first difference; `None` if all is as it must be.
    pub difference: Option<String>,
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { until, cuts, records, facts, entries, difference } = self;
        let Some(until) = until else {
            return f
                .write_str("there is nothing to verify: nothing is committed at the sink's url");
        };
        match difference {
            None => write!(
                f,
                "every balance at every cut is what the batch reference computes: {entries} entries of \
                 {cuts} cuts, from {records} records and {facts} rows of facts, up to {}",
                shown(until.ms())
            ),
            Some(difference) => write!(
                f,
                "the ledger is not what its readings lead to under the pipeline file's period, grace, retain and \
                 gwp: {difference}"
            ),
        }
    }
}

/// Computes the ledger of `pipeline` again. `told` hears how many files of how many were read.
///
/// # Errors
/// If there is nothing to compute it from, or the tables cannot be read.
pub fn verify(
    pipeline: &Pipeline,
    mut told: impl FnMut(usize, usize),
) -> Result<Verdict, VerifyError> {
    // Whether a clock followed the data does not matter to a reader.
    let config = pipeline.lake(false).ok_or(VerifyError::NoLake)?;
    if !config.readings {
        return Err(VerifyError::NoReadings);
    }
    let names = Arc::new(Names::new());
    let mut reader = LakeReader::open(config, Arc::clone(&names))?;
    if reader.proof().is_some_and(|proof| proof.lacks_readings) {
        return Err(VerifyError::Incomplete);
    }
    let mut verdict = Verdict { until: reader.committed(), ..Verdict::default() };
    let policy = as_committed(&pipeline.policy, reader.proof());
    let mut digester = Digester::new(Arc::clone(&names), &policy);
    // One that follows restatements keeps everything in memory.
    let mut auditor = if is_restated(pipeline, &names)? {
        Auditor::with_history(policy)
    } else {
        Auditor::new(policy)
    };
    let books = Books { names: &names, period_ms: pipeline.policy.period_ms };
    while let Some((cut, rows)) = reader.next_cut()? {
        verdict.count(&rows);
        let found = entries(&rows, &mut digester);
        let twice = books.twice(&rows);
        let expected = auditor.cut(cut, learned(rows, auditor.gwp()));
        verdict.difference = twice.or_else(|| books.compare(cut, &found, &expected));
        if verdict.difference.is_some() {
            return Ok(verdict);
        }
        let (read, total) = reader.progress();
        told(read, total);
    }
    if let Some(committed) = reader.committed() {
        // Nothing more may have fallen due.
        let expected = auditor.cut(committed, Learned::default());
        verdict.difference = books
            .compare(committed, &Entries::default(), &expected)
            .or_else(|| reader.proof().and_then(|proof| undigested(proof, &digester.take())));
    }
    Ok(verdict)
}

impl Verdict {
    fn count(&mut self, rows: &CutRows) {
        self.cuts += 1;
        self.records += rows.readings.len() + rows.activity_data.len();
        self.facts += rows.facts.len();
        self.entries += rows.activity.len() + rows.emissions.len() + rows.footprints.len();
    }
}

/// The entries that the tables hold, by key of their balance.
fn entries(rows: &CutRows, digester: &mut Digester) -> Entries {
    let mut entries = Entries::default();
    for (key, change) in &rows.activity {
        digester.activity(key, change);
        entries.add_activity(*key, change);
    }
    for (key, change) in &rows.emissions {
        digester.emission(key, change);
        entries.add_emission(*key, change);
    }
    for (key, change) in &rows.footprints {
        digester.footprint(key, change);
        entries.add_footprint(*key, change);
    }
    entries
}

/// Whether anything was ever restated from below the horizon.
fn is_restated(pipeline: &Pipeline, names: &Arc<Names>) -> Result<bool, VerifyError> {
    let config = pipeline.lake(false).ok_or(VerifyError::NoLake)?;
    let is_read = |table| table == TableName::Restatements;
    let mut reader = LakeReader::of(config, Arc::clone(names), is_read)?;
    Ok(reader.next_cut()?.is_some())
}

/// What was learned with these rows; before them all CO2e was that of the set `gwp`.
pub(crate) fn learned(rows: CutRows, gwp: GwpSet) -> Learned {
    let readings =
        rows.readings.into_iter().map(|row| (row.received_ms, Record::Reading(row.record)));
    let activities =
        rows.activity_data.into_iter().map(|row| (row.received_ms, Record::Activity(row.record)));
    let records = readings.chain(activities);
    let facts = rows.facts.into_iter().map(|row| {
        let tick = Tick::new(row.learned_ms, row.fact.cause());
        (tick, row.fact, if row.withdrawn { -1 } else { 1 })
    });
    let restated = rows.restated.first().map(|row| Tick::new(row.known_ms, Cause::Cut));
    Learned {
        restated,
        gwp: rows.gwp.filter(|set| *set != gwp),
        facts: facts.collect(),
        records: records.map(|(ms, record)| (Tick::new(ms, Cause::Readings), record)).collect(),
    }
}

/// Where the digests of all balances are not those of the commit.
fn undigested(proof: &Proof, digests: &Digests) -> Option<String> {
    Table::ALL.into_iter().find_map(|table| {
        let computed = digests.all(table);
        let told = proof.digests.get(&table).map(|digest| digest.all);
        (told != Some(computed)).then(|| {
            let (table, told) = (table.name(), told.unwrap_or_default());
            format!(
                "the entries of table `{table}` have digest {computed}, and its commit says {told}"
            )
        })
    })
}

/// Compares, and names what differs.
pub(crate) struct Books<'n> {
    /// The names of keys.
    pub(crate) names: &'n Names,
    /// The length of a period.
    pub(crate) period_ms: i64,
}

impl Books<'_> {
    fn compare(&self, cut: Tick, found: &Entries, expected: &Entries) -> Option<String> {
        self.difference(&format!("recorded at {}", shown(cut.ms())), found, expected)
    }

    /// The first difference, of sums that are of `what`.
    pub(crate) fn difference(
        &self,
        what: &str,
        found: &Entries,
        expected: &Entries,
    ) -> Option<String> {
        let told = |table: &str, key: String, found: String, expected: String| {
            format!("table `{table}`, {what}: {key}: it says {found}, and it must be {expected}")
        };
        let activity = first_difference(&found.activity, &expected.activity)
            .map(|(key, a, b)| told("activity", self.activity(&key), amount(&a), amount(&b)));
        let emissions = || {
            first_difference(&found.emissions, &expected.emissions)
                .map(|(key, a, b)| told("emissions", self.emission(&key), masses(&a), masses(&b)))
        };
        let footprints = || {
            first_difference(&found.footprints, &expected.footprints)
                .map(|(key, a, b)| told("footprints", self.footprint(&key), masses(&a), masses(&b)))
        };
        activity.or_else(emissions).or_else(footprints)
    }

    /// A record that is there more than once.
    fn twice(&self, rows: &CutRows) -> Option<String> {
        let mut seen = BTreeSet::new();
        let readings = rows.readings.iter().map(|row| (row.record.arrival.index, row.record.meter));
        let activities =
            rows.activity_data.iter().map(|row| (row.record.arrival.index, row.record.activity));
        let mut all = readings.chain(activities);
        let (number, subject) = all.find(|(number, _)| !seen.insert(*number))?;
        Some(format!("record number {number}, of {}, is there twice", self.name(subject)))
    }

    fn name(&self, id: Id) -> String {
        format!("`{}`", self.names.name(id))
    }

    fn activity(&self, key: &ActivityKey) -> String {
        format!(
            "{} {} at node {}, period {}, in {}",
            key.subject.kind(),
            self.name(key.subject.id()),
            self.name(key.node),
            shown(key.period.start_ms(self.period_ms)),
            key.unit.symbol()
        )
    }

    fn emission(&self, key: &EmissionKey) -> String {
        let Line { scope, method, gas, revision, .. } = key.line;
        format!(
            "{}, scope {scope}, {}, {}, factor {} revision {revision}",
            self.activity(&key.activity),
            method.name(),
            gas.name(),
            self.name(key.activity.factor)
        )
    }

    fn footprint(&self, key: &FootprintKey) -> String {
        format!(
            "node {} at depth {}, hour {}, scope {}, {}, {}",
            self.name(key.node),
            key.depth,
            shown(key.start_ms),
            key.scope,
            key.method.name(),
            key.gas.name()
        )
    }
}

/// The first key under which two sums differ, and both; what is missing is nothing.
fn first_difference<K: Copy + Ord + Debug, R: Copy + PartialEq + Default>(
    found: &BTreeMap<K, R>,
    expected: &BTreeMap<K, R>,
) -> Option<(K, R, R)> {
    let of = |sums: &BTreeMap<K, R>, key: &K| sums.get(key).copied().unwrap_or_default();
    found
        .keys()
        .chain(expected.keys())
        .find(|key| of(found, key) != of(expected, key))
        .map(|key| (*key, of(found, key), of(expected, key)))
}

fn amount(measure: &Measure) -> String {
    format!("{}e-9 over {} ms", measure.amount.get(), measure.covered_ms)
}

fn masses(emission: &Emission) -> String {
    format!("{}e-21 kg, {}e-21 kg CO2e", emission.mass.get(), emission.co2e.get())
}

/// An instant, UTC.
pub(crate) fn shown(ms: i64) -> String {
    Timestamp::from_millisecond(ms).map_or_else(|_| ms.to_string(), |at| at.to_string())
}
