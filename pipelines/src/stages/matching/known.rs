//! Which contracts and certificates are known, and what they have to give.

use std::collections::{BTreeMap, BTreeSet};

use super::allot::{Offer, part};
use crate::model::contract::Supply;
use crate::model::time::HOUR_MS;
use crate::model::{CertificateRow, ContractRow, Decimal, Id, Matching};

/// What is metered in an hour, 1e-9 kWh, by the factor its meters name.
pub(super) type Outputs = BTreeMap<Id, i128>;

/// All contracts and certificates.
#[derive(Debug, Default)]
pub(super) struct Contracts {
    rows: BTreeMap<Id, Vec<ContractRow>>,
    certificates: BTreeMap<Id, Vec<CertificateRow>>,
    /// The certificates that count, by contract and hour of their beginning.
    by_hour: BTreeMap<(Id, i64), BTreeMap<Id, CertificateRow>>,
}

fn update<R: Ord + Clone>(rows: &mut Vec<R>, row: &R, diff: i64) {
    if diff > 0 {
        rows.push(row.clone());
        rows.sort();
    } else if let Some(index) = rows.iter().position(|known| known == row) {
        rows.remove(index);
    }
}

impl Contracts {
    /// Adds (`diff > 0`) or takes back a contract's row; says which factors' load it may change.
    pub(super) fn update(&mut self, row: &ContractRow, diff: i64) -> BTreeSet<Id> {
        let rows = self.rows.entry(row.contract).or_default();
        let mut covered: BTreeSet<Id> = rows.iter().map(|known| known.covers).collect();
        covered.insert(row.covers);
        update(rows, row, diff);
        if rows.is_empty() {
            self.rows.remove(&row.contract);
        }
        covered
    }

    /// The same of a certificate; says which contracts and hours it may change.
    pub(super) fn update_certificate(&mut self, row: &CertificateRow, diff: i64) -> Vec<(Id, i64)> {
        let rows = self.certificates.entry(row.certificate).or_default();
        let place = |row: &CertificateRow| {
            (row.contract, row.validity.from_ms.div_euclid(HOUR_MS) * HOUR_MS)
        };
        let newest =
            |rows: &[CertificateRow]| rows.iter().max_by_key(|row| (row.revision, *row)).cloned();
        let old = newest(rows);
        update(rows, row, diff);
        let new = newest(rows);
        if rows.is_empty() {
            self.certificates.remove(&row.certificate);
        }
        if old == new {
            return Vec::new();
        }
        let mut touched = Vec::new();
        if let Some(old) = old {
            let here = self.by_hour.entry(place(&old)).or_default();
            here.remove(&old.certificate);
            if here.is_empty() {
                self.by_hour.remove(&place(&old));
            }
            touched.push(place(&old));
        }
        if let Some(new) = new {
            touched.push(place(&new));
            self.by_hour.entry(place(&new)).or_default().insert(new.certificate, new);
        }
        touched
    }

    /// The factors whose load a contract covers, by any of its rows.
    pub(super) fn covered_by(&self, contract: Id) -> impl Iterator<Item = Id> {
        self.rows.get(&contract).into_iter().flatten().map(|row| row.covers)
    }

    /// The row of a contract that holds in an hour.
    pub(super) fn row(&self, contract: Id, hour_ms: i64) -> Option<&ContractRow> {
        let holding = self.rows.get(&contract)?.iter().filter(|row| row.validity.holds(hour_ms));
        holding.max_by_key(|row| (row.revision, *row))
    }

    /// Rows that give to load under `covered` by `matching` at any time, in their order.
    pub(super) fn giving(&self, covered: Id, matching: Matching) -> Vec<&ContractRow> {
        let gives =
            |row: &&ContractRow| row.covers == covered && row.matching == matching && row.counts();
        let mut rows: Vec<&ContractRow> = self.rows.values().flatten().filter(gives).collect();
        rows.sort_by(|a, b| (a.priority, &a.name, a).cmp(&(b.priority, &b.name, b)));
        rows
    }

    /// What certificates give to a row of a contract in a window, 1e-9 kWh: those of the time in which it holds.
    pub(super) fn certified(&self, row: &ContractRow, (from_ms, to_ms): (i64, i64)) -> i128 {
        let hour = from_ms.div_euclid(HOUR_MS) * HOUR_MS;
        let within = self.by_hour.range((row.contract, hour)..(row.contract, to_ms));
        let certificates = within.flat_map(|(_, certificates)| certificates.values());
        let holds = |from_ms| self.row(row.contract, from_ms) == Some(row);
        let mine = certificates.filter(|given| holds(given.validity.from_ms));
        mine.map(|given| given.gives(row.zone, (from_ms, to_ms))).sum()
    }

    /// What contracts that match by the hour have to give to load under `covered` in one, in their order.
    pub(super) fn offers(&self, covered: Id, hour_ms: i64, outputs: &Outputs) -> Vec<Offer> {
        let newest = self.rows.keys().filter_map(|contract| self.row(*contract, hour_ms));
        let gives = |row: &&ContractRow| {
            row.covers == covered && row.matching == Matching::Hourly1 && row.counts()
        };
        let mut rows: Vec<&ContractRow> = newest.filter(gives).collect();
        rows.sort_by(|a, b| (a.priority, &a.name).cmp(&(b.priority, &b.name)));
        let offer = |row: &&ContractRow| Offer {
            contract: row.contract,
            factor: row.factor,
            node: row.node,
            has: self.has(row, hour_ms, outputs),
        };
        rows.iter().map(offer).collect()
    }

    fn has(&self, row: &ContractRow, hour_ms: i64, outputs: &Outputs) -> Option<i128> {
        match row.supply {
            Supply::Any => None,
            Supply::Certificates => {
                let hour = (hour_ms, hour_ms + HOUR_MS);
                let certificates = self.by_hour.get(&(row.contract, hour_ms));
                let certificates = certificates.into_iter().flat_map(BTreeMap::values);
                Some(certificates.map(|given| given.gives(row.zone, hour)).sum())
            }
            Supply::Metered { factor, share } => {
                Some(share_of(outputs.get(&factor).copied().unwrap_or_default(), share))
            }
        }
    }
}

/// The floor of a share of what is put out; nothing of what is drawn.
#[must_use]
pub fn share_of(output: i128, share: Decimal) -> i128 {
    let whole = 10_i128.pow(u32::from(share.scale()));
    part(output.max(0), share.mantissa().clamp(0, whole), whole)
}
