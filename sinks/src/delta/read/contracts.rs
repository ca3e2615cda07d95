//! Rows of `contracts` and `certificates` as the values they were written from.

use plumeline_pipelines::model::{
    CertificateRow, ContractRow, Criterion, Decimal, Fact, Id, Matching, Supply,
};

use super::columns::Columns;
use super::decode::{Decoded, Decoder, HeldColumns, each, number};
use crate::delta::rows::FactEntry;

impl Decoder<'_> {
    pub(super) fn contracts(&self, columns: &Columns<'_>) -> Decoded<FactEntry> {
        let contracts = columns.texts("contract")?;
        let [nodes, covers] = ["node", "covers"].map(|name| columns.texts(name));
        let [factors, zones] = ["factor", "zone"].map(|name| columns.texts(name));
        let [supplies, outputs] = ["supply", "output"].map(|name| columns.texts(name));
        let (nodes, covers, factors, zones) = (nodes?, covers?, factors?, zones?);
        let (supplies, outputs, shares) = (supplies?, outputs?, columns.texts("share")?);
        let (priorities, policies) = (columns.numbers("priority")?, columns.texts("matching")?);
        let evidence = Criterion::ALL.map(|criterion| columns.texts(criterion.name()));
        let evidence = evidence.into_iter().collect::<Result<Vec<_>, _>>()?;
        let (held, revisions) = (HeldColumns::of(columns)?, columns.numbers("revision")?);
        each(columns, |row| {
            let output = self.optional_name(&outputs, row);
            let share = shares.optional(row, number)?.unwrap_or(Decimal::ONE);
            let mut found = [Id::NONE; Criterion::ALL.len()];
            for (found, texts) in found.iter_mut().zip(&evidence) {
                *found = self.optional_name(texts, row);
            }
            let fact = ContractRow {
                contract: self.name(&contracts, row)?,
                name: contracts.at(row)?.to_owned(),
                node: self.name(&nodes, row)?,
                covers: self.name(&covers, row)?,
                factor: self.name(&factors, row)?,
                supply: supplies.parsed(row, |name| Supply::parse(name, output, share))?,
                priority: priorities.at(row)?,
                zone: self.name(&zones, row)?,
                matching: policies.parsed(row, Matching::parse)?,
                evidence: found,
                validity: held.validity(row)?,
                revision: revisions.at(row)?,
            };
            held.entry(row, Fact::Contract(fact))
        })
    }

    pub(super) fn certificates(&self, columns: &Columns<'_>) -> Decoded<FactEntry> {
        let (certificates, contracts) = (columns.texts("certificate")?, columns.texts("contract")?);
        let (zones, devices) = (columns.texts("zone")?, columns.texts("device")?);
        let (retired, issued) = (columns.numbers("wh")?, columns.numbers("issued_wh")?);
        let (evidence, revisions) = (columns.texts("retired")?, columns.numbers("revision")?);
        let held = HeldColumns::of(columns)?;
        each(columns, |row| {
            let fact = CertificateRow {
                certificate: self.name(&certificates, row)?,
                contract: self.name(&contracts, row)?,
                zone: self.name(&zones, row)?,
                device: self.optional_name(&devices, row),
                wh: retired.at(row)?,
                issued_wh: issued.at(row)?,
                retired: self.optional_name(&evidence, row),
                validity: held.validity(row)?,
                revision: revisions.at(row)?,
            };
            held.entry(row, Fact::Certificate(fact))
        })
    }
}
