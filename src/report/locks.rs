//! All locks of a ledger, and which of them hold.

use plumeline_sinks::delta::Reports;

use super::document::Lock;
use super::ledger::Ledger;
use super::span::Span;
use super::{ReportError, lines};
use crate::config::Pipeline;

/// Those of a ledger, by company, period and number.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Locks(pub Vec<Lock>);

impl Locks {
    /// Those of `pipeline`.
    ///
    /// # Errors
    /// If they cannot be read, or one is another pipeline's.
    pub fn of(pipeline: &Pipeline) -> Result<Self, ReportError> {
        let lake = pipeline.lake(false).ok_or(ReportError::NoLake)?;
        Self::read(&Reports::open(&lake.url)?, &lake.pipeline)
    }

    pub(super) fn of_ledger(ledger: &Ledger) -> Result<Self, ReportError> {
        Self::read(&Reports::open(ledger.url())?, ledger.pipeline())
    }

    fn read(reports: &Reports, pipeline: &str) -> Result<Self, ReportError> {
        let mut locks = Vec::new();
        for name in reports.list()? {
            let lock = Lock::parse(&name, &reports.read(&name)?)?;
            if lock.pipeline != pipeline {
                let (file, pipeline) = (name.relative(), lock.pipeline);
                return Err(ReportError::OtherPipeline { file, pipeline });
            }
            locks.push(lock);
        }
        Ok(Self(locks))
    }

    /// The newest of a company and its days.
    #[must_use]
    pub fn newest(&self, company: &str, span: &Span) -> Option<&Lock> {
        let period = span.name();
        let is_of = |lock: &&Lock| lock.company == company && lock.span.name() == period;
        self.0.iter().filter(is_of).max_by_key(|lock| lock.number)
    }

    /// The same.
    ///
    /// # Errors
    /// If there is none.
    pub fn find(&self, company: &str, span: &Span) -> Result<&Lock, ReportError> {
        self.newest(company, span).ok_or_else(|| ReportError::NotLocked {
            company: company.to_owned(),
            period: span.name(),
        })
    }

    /// The base year of a company: the lock with the flag that no other one supersedes. Were there two, since both
    /// were locked at once, it is the one as of later.
    #[must_use]
    pub fn base_year(&self, company: &str) -> Option<&Lock> {
        let flagged = || self.0.iter().filter(|lock| lock.company == company && lock.base_year);
        let is_last = |lock: &&Lock| {
            let label = lock.label();
            flagged().all(|other| other.supersedes.as_deref() != Some(label.as_str()))
        };
        flagged().filter(is_last).max_by_key(|lock| (lock.as_of_ms, lock.label()))
    }

    /// A line a lock.
    #[must_use]
    pub fn told(&self) -> String {
        if self.0.is_empty() {
            return "nothing is locked".to_owned();
        }
        let told = self.0.iter().map(|lock| self.line(lock));
        told.collect::<Vec<_>>().join("\n")
    }

    fn line(&self, lock: &Lock) -> String {
        let Lock { company, threshold, by, note, .. } = lock;
        let [as_of, signed_off] = [lock.as_of_ms, lock.signed_off_ms].map(super::instant);
        let [location, market] =
            lines::View::ALL.map(|view| super::figures::tonnes(lines::total(&lock.totals, view)));
        let mut line = format!(
            "{company} {}: as of {as_of}, signed off {signed_off}, threshold {threshold} %, {location} t CO2e \
             location-based, {market} t market-based",
            lock.label()
        );
        if lock.unfinished {
            line += ", unfinished";
        }
        if lock.base_year {
            let is_base = self.base_year(company).is_some_and(|base| base.label() == lock.label());
            line += if is_base { ", base year" } else { ", was base year" };
        }
        if !by.is_empty() {
            line = format!("{line}, by {by}");
        }
        if !note.is_empty() {
            line = format!("{line}: {note}");
        }
        line
    }
}
