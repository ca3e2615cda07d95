//! What a node's emissions are kept under: by the period in the dataflow, by the hour in the ledger.

use super::entry::FootprintKey;
use super::fact::Method;
use super::gas::Gas;
use super::names::Id;
use super::policy::Policy;
use super::time::{HOUR_MS, Period};

/// What a node's emissions are kept under, before hours and windows.
#[derive(
    Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize,
)]
pub struct NodeKey {
    /// The accounting period.
    pub period: Period,
    /// The node, at any level.
    pub node: Id,
    /// Its level: 0 for a root.
    pub depth: u8,
    /// The line, without its revision.
    pub scope: u8,
    /// See [`super::Line::category`].
    pub category: u8,
    /// See [`super::Line::method`].
    pub method: Method,
    /// See [`super::Line::gas`].
    pub gas: Gas,
}

impl NodeKey {
    /// The key of `footprints`: by the hour, or by the period where that is longer. An hour in which a civil month
    /// begins is split there.
    #[must_use]
    pub fn by_the_hour(&self, policy: &Policy) -> FootprintKey {
        let Self { period, node, depth, scope, category, method, gas } = *self;
        let length = policy.period_ms.max(HOUR_MS);
        let at_ms = period.start_ms(policy.period_ms);
        let hour_ms = at_ms.div_euclid(length) * length;
        let hour = (hour_ms, hour_ms + length);
        let (start_ms, end_ms) = policy.calendar.part(hour, at_ms, policy.period_ms);
        FootprintKey { start_ms, end_ms, node, depth, scope, category, method, gas }
    }
}
