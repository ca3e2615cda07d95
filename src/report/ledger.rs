//! What a report reads of the ledger.
//!
//! `activity` is read first: it commits last, so its newest cut T is one that all tables have, and nothing recorded after
//! T is looked at. Entries are summed while they are read, and files and row groups of other times and nodes are
//! skipped.

use std::collections::BTreeMap;
use std::sync::Arc;

use plumeline_pipelines::model::{
    Cause, ContractRow, Fact, GwpSet, Names, NodeKey, Policy, Tick, ToDate,
};
use plumeline_pipelines::stages::matching::closes_ms;
use plumeline_sinks::delta::{Asked, Booked, LakeConfig, LakeReader, TableName};

use super::ReportError;
use super::figures::{Key, Sum, Totals};
use super::span::Span;
use super::tree::Forest;
use crate::config::Pipeline;

/// Milliseconds of the longest stretch that `footprints` are kept by: a period of a day.
const STRETCH_MS: i64 = plumeline_pipelines::model::time::DAY_MS;

/// See the module's documentation.
#[derive(Debug)]
pub struct Ledger {
    lake: LakeConfig,
    pub(super) policy: Policy,
    pub(super) names: Arc<Names>,
    pub(super) committed: Tick,
}

impl Ledger {
    /// That of `pipeline`, as of its newest commit.
    ///
    /// # Errors
    /// If there is none, or it cannot be read.
    pub fn open(pipeline: &Pipeline) -> Result<Self, ReportError> {
        // Whether a clock followed the data does not matter to a reader.
        let lake = pipeline.lake(false).ok_or(ReportError::NoLake)?;
        let names = Arc::new(Names::new());
        let reader = LakeReader::of(lake.clone(), Arc::clone(&names), |_| false)?;
        let committed = reader.committed().ok_or(ReportError::Nothing)?;
        Ok(Self { lake, policy: pipeline.policy.clone(), names, committed })
    }

    pub(super) fn url(&self) -> &str {
        &self.lake.url
    }

    pub(super) fn pipeline(&self) -> &str {
        &self.lake.pipeline
    }

    fn reader(&self, is_read: impl Fn(TableName) -> bool) -> Result<LakeReader, ReportError> {
        Ok(LakeReader::of(self.lake.clone(), Arc::clone(&self.names), is_read)?
            .until(Some(self.committed)))
    }

    /// The tree at every cut.
    pub(super) fn forest(&self) -> Result<Forest, ReportError> {
        let mut forest = Forest::default();
        let mut reader = self.reader(|table| table == TableName::Nodes)?;
        while let Some((cut, rows)) = reader.next_cut()? {
            rows.facts.into_iter().for_each(|entry| forest.add(cut, entry));
        }
        Ok(forest)
    }

    /// Every entry of `footprints` of a company and its days that was recorded until then.
    pub(super) fn footprints(
        &self,
        (company, span): (&str, &Span),
        until_ms: i64,
        mut take: impl FnMut(Booked),
    ) -> Result<(), ReportError> {
        let node = Some(company.to_owned());
        let (from_ms, to_ms) = (span.from_ms, span.to_ms);
        let asked = Asked { from_ms, to_ms, after_ms: -1, until_ms, node };
        let mut reader = self.reader(|table| table == TableName::Footprints)?;
        Ok(reader.each_booked(&asked, |row| {
            // Energy is told in the ledger, and is no emission.
            if !row.gas.is_energy() {
                take(row);
            }
        })?)
    }

    /// Every entry of `emissions`, of any node, recorded after an instant, that is in the footprints of these days.
    pub(super) fn emissions_after(
        &self,
        span: &Span,
        after_ms: i64,
        mut take: impl FnMut(Booked),
    ) -> Result<(), ReportError> {
        let (from_ms, until_ms) = (span.from_ms, self.committed.ms());
        // A period belongs to the days that hold the first instant of its hour.
        let to_ms = span.to_ms.saturating_add(STRETCH_MS);
        let asked = Asked { from_ms, to_ms, after_ms, until_ms, node: None };
        let mut reader = self.reader(|table| table == TableName::Emissions)?;
        let in_footprints = |row: &Booked| {
            let hour_ms = hour_ms(&self.policy, row);
            (span.from_ms..span.to_ms).contains(&hour_ms)
        };
        Ok(reader.each_booked(&asked, |row| {
            if in_footprints(&row) && !row.gas.is_energy() {
                take(row);
            }
        })?)
    }

    /// What the ledger says of a company and its days, as known at an instant.
    pub(super) fn totals(
        &self,
        about: (&str, &Span),
        until_ms: i64,
    ) -> Result<Totals, ReportError> {
        let mut totals = Totals::default();
        self.footprints(about, until_ms, |row| totals.add(key(&row), sum(&row)))?;
        Ok(totals)
    }

    /// The newest cut until an instant that has emissions, and the set they are in.
    pub(super) fn newest_gwp(&self, until_ms: i64) -> Result<Option<(Tick, GwpSet)>, ReportError> {
        Ok(self.reader(|table| table == TableName::Emissions)?.newest_gwp(until_ms)?)
    }

    /// Rows of `pending_restatements` that reached into this time, and had not been worked off at an instant.
    pub(super) fn pending(
        &self,
        (from_ms, to_ms): (i64, i64),
        at_ms: i64,
    ) -> Result<usize, ReportError> {
        let is_read = |table| matches!(table, TableName::Pending | TableName::Restatements);
        let mut reader = self.reader(is_read)?;
        let (mut waiting, mut known_ms) = (Vec::new(), i64::MIN);
        while let Some((cut, rows)) = reader.next_cut()? {
            if cut.ms() > at_ms {
                break;
            }
            let rows_in =
                rows.pending.iter().filter(|row| row.from_ms < to_ms && row.to_ms > from_ms);
            waiting.extend(rows_in.map(|row| row.learned_ms));
            known_ms = rows.restated.iter().map(|row| row.known_ms).fold(known_ms, i64::max);
        }
        Ok(waiting.into_iter().filter(|learned_ms| *learned_ms > known_ms).count())
    }
}

/// What contracts that match by the month or the year have to do with a report.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(super) struct Matched {
    /// When the last month or year is matched that holds some of its days, ms; `None` where there are no such contracts.
    pub(super) at_ms: Option<i64>,
    /// What is said of this time may change them, ms.
    pub(super) reach: (i64, i64),
}

impl Ledger {
    /// What contracts of months and years, as known at an instant, have to do with a company and its days.
    pub(super) fn matched(
        &self,
        (company, span): (&str, &Span),
        at_ms: i64,
    ) -> Result<Matched, ReportError> {
        let mut reader = self.reader(|table| table == TableName::Contracts)?;
        let mut rows: BTreeMap<ContractRow, i64> = BTreeMap::new();
        while let Some((cut, found)) = reader.next_cut()? {
            for entry in found.facts.into_iter().filter(|_| cut.ms() <= at_ms) {
                if let Fact::Contract(row) = entry.fact {
                    *rows.entry(row).or_default() += if entry.withdrawn { -1 } else { 1 };
                }
            }
        }
        rows.retain(|_, count| *count > 0);
        let mut matched = Matched { at_ms: None, reach: (span.from_ms, span.to_ms) };
        if !rows.keys().any(|row| row.matching.window().is_some()) {
            return Ok(matched);
        }
        let (forest, company) = (self.forest()?, self.names.intern(company));
        let known = Tick::new(at_ms.max(0), Cause::Cut);
        let is_theirs = |row: &ContractRow| {
            let place = (span.from_ms, known);
            forest.is_within(row.node, company, place) || forest.is_within(company, row.node, place)
        };
        let around = |window, ms| self.policy.calendar.around(window, ms);
        for row in rows.keys().filter(|row| row.counts() && is_theirs(row)) {
            let (from_ms, to_ms) =
                (row.validity.from_ms.max(span.from_ms), row.validity.to_ms.min(span.to_ms));
            let holds = |other: &ContractRow| {
                other.validity.from_ms <= from_ms && to_ms <= other.validity.to_ms
            };
            let is_later = |other: &ContractRow| {
                other.contract == row.contract && other.revision > row.revision
            };
            let is_replaced = rows.keys().any(|other| is_later(other) && holds(other));
            let Some(window) = row.matching.window() else { continue };
            if to_ms <= from_ms || is_replaced {
                continue;
            }
            let last = around(window, to_ms - 1).map(|window| closes_ms(&self.policy, window));
            matched.at_ms = matched.at_ms.max(last);
            // Those of months leave less to those of years.
            let years = [around(ToDate::Year, span.from_ms), around(ToDate::Year, span.to_ms - 1)];
            for (from_ms, to_ms) in years.into_iter().flatten() {
                let reach = matched.reach;
                matched.reach = (reach.0.min(from_ms), reach.1.max(to_ms));
            }
        }
        Ok(matched)
    }
}

/// Start of the row of `footprints` that an entry of `emissions` is in.
fn hour_ms(policy: &Policy, row: &Booked) -> i64 {
    let Booked { node, scope, category, method, gas, .. } = *row;
    let period = policy.period_of(row.start_ms);
    NodeKey { period, node, depth: 0, scope, category, method, gas }.by_the_hour(policy).start_ms
}

/// What an entry is summed under.
pub(super) fn key(row: &Booked) -> Key {
    let Booked { scope, category, method, gas, .. } = *row;
    Key { scope, category, method, gas }
}

/// How it changes that.
pub(super) fn sum(row: &Booked) -> Sum {
    Sum { mass: row.change.mass.get(), co2e: row.change.co2e.get() }
}
