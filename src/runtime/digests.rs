//! The digests of the ledger while it grows, and their check after a restart.
//!
//! 1. A restart derives the balances anew that lie above the horizon of the committed cut S. Each worker adds
//!    up the digests of what it derives.
//! 2. When all have, they are compared with those that the commit of S carries. *A difference means that the
//!    ledger is not what the journal leads to: whatever followed would be booked on a wrong base.*
//!    Where another method counts since a later cut ([`crate::upgrade`]), the balances are restored under it: what
//!    that cut takes along is taken off first.
//! 3. From then on each cut adds the digests of its entries, and its commit carries the sums: of all balances,
//!    and of those that its horizon has not passed.

use std::collections::BTreeMap;

use plumeline_pipelines::digest::{Digest, Digests, Table};
use plumeline_pipelines::model::{Policy, Tick};
use plumeline_sinks::delta::{Proof, TableDigest};

use crate::journal::JournalError;

/// See the module's documentation.
#[derive(Debug)]
pub(super) struct Books {
    policy: Policy,
    all: BTreeMap<Table, Digest>,
    live: Digests,
    /// What the newest commit says, until it is compared.
    unproven: Option<Proof>,
    /// Of what a later cut takes along although it is restored: another method counts from that cut on.
    unbooked: Digests,
    /// Workers that have not told yet what they restored.
    missing: usize,
}

impl Books {
    /// Goes on from what the newest commit says, once `workers` have told what they restored: that, and what is
    /// `unbooked`.
    pub(super) fn new(
        policy: Policy,
        committed: Option<Proof>,
        unbooked: Digests,
        workers: usize,
    ) -> Self {
        let all = committed.iter().flat_map(|proof| &proof.digests);
        let all = all.map(|(&table, digest)| (table, digest.all)).collect();
        let missing = if committed.is_some() { workers } else { 0 };
        Self { policy, all, live: Digests::default(), unproven: committed, unbooked, missing }
    }

    /// One worker has restored these.
    ///
    /// # Errors
    /// If all have, and together it is not what the commit says.
    pub(super) fn restored(&mut self, digests: &Digests) -> Result<(), JournalError> {
        self.live.merge(digests);
        self.missing = self.missing.saturating_sub(1);
        let Some(proof) = self.unproven.take_if(|_| self.missing == 0) else { return Ok(()) };
        let from_ms = self.horizon_ms(proof.upper);
        self.live.take_off(&std::mem::take(&mut self.unbooked));
        for table in Table::ALL {
            let restored = self.live.since(table, from_ms);
            let told = proof.digests.get(&table).map(|digest| digest.live);
            if told != Some(restored) {
                let (table, told) = (table.name(), told.unwrap_or_default());
                return Err(JournalError::Ledger(format!(
                    "what the journal leads to is not what the newest commit says of table `{table}` (digest \
                     {restored}, and it says {told}): one of them was changed, or is another one. Nothing was \
                     committed. `plumeline verify` tells whether the tables differ from their readings; put \
                     back the newest copies of the state folder and of the tables"
                )));
            }
        }
        Ok(())
    }

    /// What the commit of a cut with these entries says.
    pub(super) fn at(&mut self, cut: Tick, entries: &Digests) -> BTreeMap<Table, TableDigest> {
        let from_ms = self.horizon_ms(cut);
        self.live.merge(entries);
        let tables = Table::ALL.map(|table| {
            let all = self.all.entry(table).or_default();
            *all += entries.all(table);
            (table, TableDigest { all: *all, live: self.live.since(table, from_ms) })
        });
        self.live.forget_before(from_ms);
        tables.into()
    }

    fn horizon_ms(&self, cut: Tick) -> i64 {
        self.policy.horizon(cut).start_ms(self.policy.period_ms)
    }
}
