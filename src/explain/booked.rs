//! What is booked of the selection as of T, what was said of those below the node, and what must be booked: all in one
//! pass through the tables, cut by cut.
//!
//! Of each cut, rows about others are let go of before the next is read; the reference is given the rest.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use plumeline_pipelines::audit::{Auditor, Entries, Learned};
use plumeline_pipelines::model::{
    ActivityKey, ActivityRecord, Cause, Emission, EmissionKey, Fact, FootprintKey, GwpSet, Id,
    Measure, Names, Reading, Subject, Tick,
};
use plumeline_sinks::delta::{CutRows, LakeConfig, LakeReader};

use super::ExplainError;
use super::known::Known;
use super::select::Selection;
use crate::verify::learned;

/// Entries of one cut and reason.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Written {
    pub(crate) entries: usize,
    /// 1e-21 kg.
    pub(crate) co2e: i128,
}

/// See the module's documentation.
#[derive(Debug, Default)]
pub(crate) struct Booked {
    /// Of the node, summed: also what adds up to nothing.
    pub(crate) footprints: BTreeMap<FootprintKey, Emission>,
    pub(crate) emissions: BTreeMap<EmissionKey, Emission>,
    pub(crate) activity: BTreeMap<ActivityKey, Measure>,
    /// Entries of `emissions` below the node, by when they were recorded and why.
    pub(crate) written: BTreeMap<(Tick, Arc<str>), Written>,
    /// Entries of `footprints` of the node, by when they were recorded.
    pub(crate) footprint_cuts: BTreeMap<Tick, Written>,
    /// The set that CO2e is in at T.
    pub(crate) gwp: Option<GwpSet>,
    pub(crate) readings: BTreeMap<Id, Vec<(Tick, Reading)>>,
    pub(crate) activities: BTreeMap<Id, Vec<(Tick, ActivityRecord)>>,
    pub(crate) sources: Vec<String>,
    /// What must be booked of the same; `None` where nobody can tell.
    pub(crate) expected: Option<Entries>,
    /// Records that the reference was given.
    pub(crate) records: usize,
}

impl Booked {
    pub(crate) fn read(
        lake: LakeConfig,
        names: &Arc<Names>,
        selection: &Selection,
        known: &Known,
        told: &mut dyn FnMut(usize, usize),
    ) -> Result<Self, ExplainError> {
        let nodes = known.ever_below(selection.node);
        let subjects = known.subjects(&nodes);
        let behind = known.behind(&subjects);
        let reader = LakeReader::open(lake, Arc::clone(names))?;
        let mut reader = reader.until(Some(known.until));
        let mut taker =
            Taker { names, selection, known, nodes, subjects, behind, booked: Self::default() };
        let mut auditor = known.lacks_readings.is_none().then(|| auditor(known));
        let mut expected = Entries::default();
        while let Some((cut, rows)) = reader.next_cut()? {
            let rows = taker.take(cut, rows);
            if let Some(auditor) = &mut auditor {
                let gwp = auditor.gwp();
                let learned = learned(rows, gwp);
                taker.keep(&learned);
                taker.expect(auditor.cut(cut, learned), &mut expected);
            }
            let (read, total) = reader.progress();
            told(read, total);
        }
        // Nothing more may have fallen due. Cuts between the newest that has rows and an earlier T are in no table.
        if let Some(auditor) = auditor.as_mut().filter(|_| known.is_newest) {
            taker.expect(auditor.cut(known.until, Learned::default()), &mut expected);
        }
        let mut booked = taker.booked;
        booked.sources = reader.sources();
        booked.expected = auditor.map(|_| expected);
        Ok(booked)
    }

    /// The set that CO2e is in.
    pub(crate) fn gwp(&self, selection: &Selection) -> GwpSet {
        self.gwp.unwrap_or(selection.policy.gwp)
    }
}

/// One that follows restatements keeps everything in memory.
fn auditor(known: &Known) -> Auditor {
    let policy = known.policy.clone();
    if known.is_restated { Auditor::with_history(policy) } else { Auditor::new(policy) }
}

struct Taker<'t> {
    names: &'t Names,
    selection: &'t Selection,
    known: &'t Known,
    nodes: BTreeSet<Id>,
    subjects: BTreeSet<Subject>,
    /// Those the reference has to be told of, too.
    behind: BTreeSet<Subject>,
    booked: Booked,
}

impl Taker<'_> {
    /// Adds what is booked, and gives back what the reference has to be told.
    fn take(&mut self, cut: Tick, mut rows: CutRows) -> CutRows {
        self.booked.gwp = rows.gwp.or(self.booked.gwp);
        for (key, change) in rows.footprints.drain(..) {
            if self.selection.takes_footprint(&key) {
                let written = self.booked.footprint_cuts.entry(cut).or_default();
                written.entries += 1;
                written.co2e += change.co2e.get();
                add(&mut self.booked.footprints, key, &change);
            }
        }
        let reasons = std::mem::take(&mut rows.reasons);
        for ((key, change), reason) in rows.emissions.drain(..).zip(reasons) {
            if self.concerns(&key.activity) && self.selection.takes(&key.line) {
                add(&mut self.booked.emissions, key, &change);
                if is_below(&key.activity, self.selection, self.known) {
                    let reason = self.names.name(reason);
                    let written = self.booked.written.entry((cut, reason)).or_default();
                    written.entries += 1;
                    written.co2e += change.co2e.get();
                }
            }
        }
        for (key, change) in rows.activity.drain(..) {
            if self.concerns(&key) {
                let sum = self.booked.activity.entry(key).or_default();
                sum.amount = (sum.amount.get() + change.amount.get()).into();
                sum.covered_ms += change.covered_ms;
            }
        }
        let subjects = &self.behind;
        rows.facts.retain(|entry| match &entry.fact {
            Fact::Meter(row) => subjects.contains(&Subject::Meter(row.meter)),
            Fact::Factor(_)
            | Fact::Series(_)
            | Fact::Node(_)
            | Fact::Contract(_)
            | Fact::Certificate(_)
            | Fact::Price(_) => true,
        });
        rows.readings.retain(|row| subjects.contains(&Subject::Meter(row.record.meter)));
        rows.activity_data.retain(|row| subjects.contains(&Subject::Activity(row.record.activity)));
        for row in &rows.readings {
            let learned = Tick::new(row.received_ms, Cause::Readings);
            let said = self.booked.readings.entry(row.record.meter).or_default();
            said.push((learned, row.record.clone()));
        }
        for row in &rows.activity_data {
            let learned = Tick::new(row.received_ms, Cause::Readings);
            let said = self.booked.activities.entry(row.record.activity).or_default();
            said.push((learned, row.record.clone()));
        }
        rows
    }

    fn keep(&mut self, learned: &Learned) {
        self.booked.records += learned.records.len();
    }

    /// Whether an amount belongs to the selection, or may.
    fn concerns(&self, key: &ActivityKey) -> bool {
        self.selection.holds(key.period)
            && (self.subjects.contains(&key.subject) || self.nodes.contains(&key.node))
    }

    /// Adds what must be booked of the selection.
    fn expect(&self, entries: Entries, expected: &mut Entries) {
        let Entries { activity, emissions, footprints } = entries;
        for (key, change) in activity.iter().filter(|(key, _)| self.concerns(key)) {
            expected.add_activity(*key, change);
        }
        let is_asked =
            |key: &EmissionKey| self.concerns(&key.activity) && self.selection.takes(&key.line);
        for (key, change) in emissions.iter().filter(|(key, _)| is_asked(key)) {
            expected.add_emission(*key, change);
        }
        for (key, change) in
            footprints.iter().filter(|(key, _)| self.selection.takes_footprint(key))
        {
            expected.add_footprint(*key, change);
        }
    }
}

/// Whether an amount is of a node below the selection's, by the tree known at T.
pub(super) fn is_below(key: &ActivityKey, selection: &Selection, known: &Known) -> bool {
    let start_ms = key.period.start_ms(selection.policy.period_ms);
    known.tree.path(key.node, start_ms).iter().any(|(node, _)| *node == selection.node)
}

fn add<K: Ord>(sums: &mut BTreeMap<K, Emission>, key: K, change: &Emission) {
    let sum = sums.entry(key).or_default();
    sum.mass = (sum.mass.get() + change.mass.get()).into();
    sum.co2e = (sum.co2e.get() + change.co2e.get()).into();
}
