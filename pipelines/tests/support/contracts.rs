//! Contracts and certificates: plain ones to start from, and random ones.

use plumeline_pipelines::model::{CertificateRow, ContractRow, Id, Matching, Supply, Validity};
use proptest::prelude::*;

use super::random::validities;
use super::{FACTORS, HOUR, MINUTE, NODES, START_MS, factor_id, n, node_id};

/// The zone of plain contracts and certificates.
pub(crate) const ZONE: Id = Id(500);

pub(crate) fn contract_id(i: u32) -> Id {
    Id(400 + i)
}

pub(crate) fn certificate_id(i: u32) -> Id {
    Id(600 + i)
}

/// Covers load under factor 0 at node 0 and below, told under factor 1, as far as there are certificates for it.
pub(crate) fn contract_row(contract: u32) -> ContractRow {
    ContractRow {
        contract: contract_id(contract),
        name: format!("contract-{contract}"),
        node: node_id(0),
        covers: factor_id(0),
        factor: factor_id(1),
        supply: Supply::Certificates,
        priority: 0,
        zone: ZONE,
        matching: Matching::Hourly1,
        evidence: [Id(900); 5],
        validity: Validity::ALWAYS,
        revision: 0,
    }
}

/// `wh` of the hour that begins `hour` hours after the start, for contract 0.
pub(crate) fn certificate_row(certificate: u32, hour: i64, wh: i64) -> CertificateRow {
    let from_ms = START_MS + hour * HOUR;
    CertificateRow {
        certificate: certificate_id(certificate),
        contract: contract_id(0),
        zone: ZONE,
        device: Id(901),
        wh,
        issued_wh: wh,
        retired: Id(902),
        validity: Validity { from_ms, to_ms: from_ms + HOUR },
        revision: 0,
    }
}

pub(crate) fn contract_rows() -> impl Strategy<Value = ContractRow> {
    let share = prop::sample::select(vec!["1", "0.5", "0.333"]);
    let supply = prop_oneof![
        3 => Just(Supply::Certificates),
        2 => (0..FACTORS, share)
            .prop_map(|(factor, share)| Supply::Metered { factor: factor_id(factor), share: n(share) }),
        1 => Just(Supply::Any),
    ];
    let matching = prop::sample::select(Matching::ALL.to_vec());
    let terms = (0..NODES, 0..FACTORS, 0..FACTORS, 0_u32..3, 0_u32..2, matching);
    (0_u32..3, terms, supply, validities(), prop::bool::weighted(0.9)).prop_map(
        |(contract, (node, covers, factor, priority, zone, matching), supply, validity, counts)| {
            let plain = contract_row(contract);
            let mut evidence = plain.evidence;
            if !counts {
                evidence[2] = Id::NONE;
            }
            ContractRow {
                node: node_id(node),
                covers: factor_id(covers),
                factor: factor_id(factor),
                supply,
                priority,
                zone: Id(ZONE.0 + zone),
                matching,
                evidence,
                validity,
                ..plain
            }
        },
    )
}

pub(crate) fn certificate_rows() -> impl Strategy<Value = CertificateRow> {
    let length = prop_oneof![4 => 1_i64..6, 1 => 1_i64..200];
    let stretch = (-4_i64..80, 0_i64..4, length);
    let what = (0_u32..4, 0_u32..3, 0_u32..2);
    (what, stretch, 0_i64..400_000, prop::bool::weighted(0.9)).prop_map(
        |((certificate, contract, zone), (hour, quarter, quarters), wh, is_retired)| {
            let plain = certificate_row(certificate, hour, wh);
            let from_ms = START_MS + hour * HOUR + quarter * 15 * MINUTE;
            let to_ms = from_ms + quarters * 15 * MINUTE;
            CertificateRow {
                contract: contract_id(contract),
                zone: Id(ZONE.0 + zone),
                retired: if is_retired { plain.retired } else { Id::NONE },
                validity: Validity { from_ms, to_ms },
                ..plain
            }
        },
    )
}
