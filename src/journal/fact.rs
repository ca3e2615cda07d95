//! Facts as text: one JSON object a row, with its names written out, so that `sqlite3` shows what was learned.

use plumeline_pipelines::model::{ContractRow, Fact, Id, Names, Supply};
use serde::{Deserialize, Serialize};

use super::codec::Torn;

/// A row with numbers for names: 0 is no name, `n` the text number `n - 1` of `names`.
#[derive(Serialize, Deserialize)]
struct Text {
    names: Vec<String>,
    row: Fact,
}

/// The row as text.
///
/// # Panics
/// Never: every row can be written as JSON.
#[must_use]
pub(super) fn write(fact: &Fact, names: &Names) -> String {
    let mut fact = fact.clone();
    let mut texts = Vec::new();
    for id in ids(&mut fact) {
        if !id.is_none() {
            texts.push(names.name(*id).to_string());
            *id = Id(u32::try_from(texts.len()).expect("a row has few names"));
        }
    }
    serde_json::to_string(&Text { names: texts, row: fact }).expect("a row is JSON")
}

/// The row that `text` is.
///
/// # Errors
/// If it is not what [`write()`] made.
pub(super) fn read(text: &str, names: &Names) -> Result<Fact, Torn> {
    let Text { names: texts, row: mut fact } =
        serde_json::from_str(text).map_err(|_| Torn("a row of a fact table is not readable"))?;
    for id in ids(&mut fact) {
        if let Some(index) = id.0.checked_sub(1) {
            let text = usize::try_from(index).ok().and_then(|index| texts.get(index));
            *id = names.intern(text.ok_or(Torn("a row of a fact table lacks a name"))?);
        }
    }
    Ok(fact)
}

fn ids(fact: &mut Fact) -> Vec<&mut Id> {
    match fact {
        Fact::Meter(row) => vec![&mut row.meter, &mut row.node, &mut row.factor],
        Fact::Factor(row) => vec![&mut row.factor, &mut row.source],
        Fact::Series(row) => vec![&mut row.factor, &mut row.fallback],
        Fact::Price(row) => vec![&mut row.price, &mut row.source],
        Fact::Node(row) => vec![&mut row.node, &mut row.parent, &mut row.name],
        Fact::Contract(row) => {
            let ContractRow { contract, node, covers, factor, supply, zone, evidence, .. } = row;
            let mut ids = vec![contract, node, covers, factor, zone];
            if let Supply::Metered { factor, .. } = supply {
                ids.push(factor);
            }
            ids.extend(evidence);
            ids
        }
        Fact::Certificate(row) => vec![
            &mut row.certificate,
            &mut row.contract,
            &mut row.zone,
            &mut row.device,
            &mut row.retired,
        ],
    }
}

#[cfg(test)]
mod tests {
    use plumeline_pipelines::model::{
        Decimal, FactorChange, FactorRow, FactorStatus, Gas, MeterKind, MeterRow, Method, NodeRow,
        StampSide, Unit, Validity,
    };

    use super::*;

    fn rows(names: &Names) -> [Fact; 3] {
        let unit = Unit::parse("kWh").unwrap();
        let node = NodeRow {
            node: names.intern("dc-7"),
            parent: Id::NONE,
            name: names.intern("The \"north\" hall"),
            validity: Validity::ALWAYS,
            revision: 3,
        };
        let meter = MeterRow {
            meter: names.intern("m-17"),
            node: node.node,
            kind: MeterKind::Register,
            unit: Some(unit),
            multiplier: Decimal::new(-12_345_678_901_234_567_890_123, 5),
            stamp: StampSide::Start,
            interval_ms: Some(900_000),
            max_hold_ms: 1,
            modulus: Some(Decimal::new(1_000_000, 0)),
            max_power: None,
            expected_every_ms: None,
            factor: names.intern("grid"),
            validity: Validity::ALWAYS,
            revision: -1,
        };
        let factor = FactorRow {
            factor: meter.factor,
            revision: 1,
            scope: 2,
            category: 0,
            method: Method::Location,
            gas: Gas::Ch4,
            kg_per_unit: Decimal::new(177, 6),
            unit,
            published_gwp: None,
            status: FactorStatus::Final,
            change: FactorChange::Revised,
            validity: Validity::ALWAYS,
            source: names.intern("a publication"),
        };
        [Fact::Node(node), Fact::Meter(meter), Fact::Factor(factor)]
    }

    #[test]
    fn a_row_is_the_same_in_another_process() {
        let (here, there) = (Names::new(), Names::new());
        there.intern("something else");
        for (row, same) in rows(&here).iter().zip(rows(&there)) {
            assert_eq!(read(&write(row, &here), &there), Ok(same));
        }
        assert!(write(&rows(&here)[0], &here).contains("dc-7"));
        assert!(read("{}", &there).is_err());
    }
}
