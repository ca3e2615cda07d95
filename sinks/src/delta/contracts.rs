//! The rows of `contracts` and `certificates`: revisions as they were learned. They read like the CSV files.

use std::cmp::Ordering;

use arrow::array::ArrayRef;
use plumeline_pipelines::model::{CertificateRow, ContractRow, Criterion, Id};

use super::encoder::{Encoder, Ranks, labels, longs, times};
use super::error::LakeError;
use super::facts::{Revision, flags, some, texts, validity_columns};
use super::rows::Row;
use super::table::TableName;

impl Row for Revision<ContractRow> {
    const TABLE: TableName = TableName::Contracts;

    fn names(&self, visit: &mut dyn FnMut(Id)) {
        let ContractRow { contract, node, covers, factor, zone, supply, evidence, .. } = &self.fact;
        [*contract, *node, *covers, *factor, *zone].into_iter().for_each(&mut *visit);
        supply.output().into_iter().for_each(|(output, _)| visit(output));
        evidence.iter().copied().for_each(visit);
    }

    fn compare(&self, other: &Self, ranks: &Ranks) -> Ordering {
        let (a, b) = (&self.fact, &other.fact);
        let rest = |row: &ContractRow| (row.validity, row.revision);
        ranks
            .compare(a.contract, b.contract)
            .then_with(|| rest(a).cmp(&rest(b)))
            .then_with(|| other.withdrawn.cmp(&self.withdrawn))
    }

    fn columns(rows: &[Self], encoder: &mut Encoder) -> Result<Vec<ArrayRef>, LakeError> {
        let facts = || rows.iter().map(|row| &row.fact);
        let output = || facts().map(|fact| fact.supply.output());
        let mut columns = vec![
            encoder.recorded_at(rows.len()),
            encoder.names(facts().map(|fact| fact.contract)),
            encoder.names(facts().map(|fact| fact.node)),
            encoder.names(facts().map(|fact| fact.covers)),
            encoder.names(facts().map(|fact| fact.factor)),
            labels(facts().map(|fact| fact.supply.name())),
            encoder.optional_names(output().map(|output| output.map(|(factor, _)| factor))),
            texts(output().map(|output| output.map(|(_, share)| share.to_string()))),
            longs(facts().map(|fact| i64::from(fact.priority))),
            encoder.names(facts().map(|fact| fact.zone)),
            labels(facts().map(|fact| fact.matching.name())),
        ];
        for place in 0..Criterion::ALL.len() {
            let evidence = facts().map(|fact| some(fact.evidence[place]));
            columns.push(encoder.optional_names(evidence));
        }
        columns.extend(validity_columns(facts().map(|fact| fact.validity)));
        columns.push(longs(facts().map(|fact| fact.revision)));
        columns.push(flags(rows.iter().map(|row| row.withdrawn)));
        columns.push(times(rows.iter().map(|row| row.learned_ms)));
        Ok(columns)
    }
}

impl Row for Revision<CertificateRow> {
    const TABLE: TableName = TableName::Certificates;

    fn names(&self, visit: &mut dyn FnMut(Id)) {
        let CertificateRow { certificate, contract, zone, device, retired, .. } = self.fact;
        [certificate, contract, zone, device, retired].into_iter().for_each(visit);
    }

    fn compare(&self, other: &Self, ranks: &Ranks) -> Ordering {
        let (a, b) = (&self.fact, &other.fact);
        let rest = |row: &CertificateRow| (row.validity, row.revision);
        ranks
            .compare(a.certificate, b.certificate)
            .then_with(|| rest(a).cmp(&rest(b)))
            .then_with(|| other.withdrawn.cmp(&self.withdrawn))
    }

    fn columns(rows: &[Self], encoder: &mut Encoder) -> Result<Vec<ArrayRef>, LakeError> {
        let facts = || rows.iter().map(|row| &row.fact);
        let mut columns = vec![
            encoder.recorded_at(rows.len()),
            encoder.names(facts().map(|fact| fact.certificate)),
            encoder.names(facts().map(|fact| fact.contract)),
            encoder.names(facts().map(|fact| fact.zone)),
            encoder.optional_names(facts().map(|fact| some(fact.device))),
            longs(facts().map(|fact| fact.wh)),
            longs(facts().map(|fact| fact.issued_wh)),
            encoder.optional_names(facts().map(|fact| some(fact.retired))),
        ];
        columns.extend(validity_columns(facts().map(|fact| fact.validity)));
        columns.push(longs(facts().map(|fact| fact.revision)));
        columns.push(flags(rows.iter().map(|row| row.withdrawn)));
        columns.push(times(rows.iter().map(|row| row.learned_ms)));
        Ok(columns)
    }
}

#[cfg(test)]
pub(super) mod tests {
    use plumeline_pipelines::model::{Decimal, Fact, Matching, Names, Supply, Validity};

    use super::super::tests::START_MS;
    use super::*;

    /// A contract and a certificate.
    pub(in super::super) fn facts(names: &Names) -> [Fact; 2] {
        let evidence = |text: &str| names.intern(text);
        let contract = ContractRow {
            contract: names.intern("ppa"),
            name: "ppa".to_owned(),
            node: names.intern("site"),
            covers: names.intern("grid"),
            factor: names.intern("solar"),
            supply: Supply::Metered {
                factor: names.intern("farm"),
                share: Decimal::parse("0.4").expect("a number"),
            },
            priority: 3,
            zone: names.intern("GB"),
            matching: Matching::Hourly1,
            evidence: [evidence("a"), evidence("b"), Id::NONE, evidence("d"), evidence("e")],
            validity: Validity { from_ms: START_MS, to_ms: START_MS + 86_400_000 },
            revision: 2,
        };
        let certificate = CertificateRow {
            certificate: names.intern("GC-1"),
            contract: contract.contract,
            zone: contract.zone,
            device: Id::NONE,
            wh: 1500,
            issued_wh: 2000,
            retired: evidence("cancelled on 2026-02-01"),
            validity: Validity { from_ms: START_MS, to_ms: START_MS + 3_600_000 },
            revision: 1,
        };
        [Fact::Contract(contract), Fact::Certificate(certificate)]
    }
}
