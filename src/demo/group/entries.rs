//! What a step has entered: location-based sums of `emissions` by reason and site, and both totals.

use std::collections::BTreeMap;
use std::sync::Arc;

use plumeline_pipelines::model::{Method, Names};
use plumeline_sinks::delta::{Asked, LakeReader, TableName};

use super::super::error::DemoError;
use crate::config::Pipeline;

/// 1e-21 kg CO2e, location-based, by reason, by site.
pub(super) type ByReason = BTreeMap<String, BTreeMap<String, i128>>;

/// How far entries were told.
#[derive(Copy, Clone, Debug)]
pub(super) struct Entries {
    told_ms: i64,
    /// Location-based, then market-based.
    totals: [i128; 2],
}

impl Default for Entries {
    /// None were.
    fn default() -> Self {
        Self { told_ms: -1, totals: [0; 2] }
    }
}

impl Entries {
    /// What was recorded since the last look.
    pub(super) fn since(&mut self, pipeline: &Pipeline) -> Result<ByReason, DemoError> {
        let mut by_reason = ByReason::new();
        let Some(lake) = pipeline.lake(false) else { return Ok(by_reason) };
        let names = Arc::new(Names::new());
        let mut reader =
            LakeReader::of(lake, Arc::clone(&names), |table| table == TableName::Emissions)?;
        let Some(committed) = reader.committed() else { return Ok(by_reason) };
        let until_ms = committed.ms();
        let asked =
            Asked { from_ms: 0, to_ms: i64::MAX, after_ms: self.told_ms, until_ms, node: None };
        let mut totals = self.totals;
        reader.each_booked(&asked, |row| {
            let co2e = row.change.co2e.get();
            let [reason, node] = [row.reason, row.node].map(|id| names.name(id).to_string());
            if row.method != Method::Location {
                totals[1] += co2e;
            }
            if row.method != Method::Market {
                *by_reason.entry(reason).or_default().entry(node).or_default() += co2e;
                totals[0] += co2e;
            }
        })?;
        (self.told_ms, self.totals) = (until_ms, totals);
        Ok(by_reason)
    }

    /// All that is booked, as told so far, 1e-21 kg CO2e: location-based, then market-based.
    pub(super) fn totals(&self) -> [i128; 2] {
        self.totals
    }
}
