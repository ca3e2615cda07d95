//! The rows of a version as lines: what is published, and what it comes to.

use proptest::prelude::*;

use super::*;
use crate::model::{Decimal, FactorChange, FactorStatus, Id, Unit, Validity};

fn row(gas: Gas, kg: &str, published: Option<GwpSet>) -> FactorRow {
    FactorRow {
        factor: Id(1),
        revision: 1,
        scope: 1,
        category: 0,
        method: Method::Any,
        gas,
        kg_per_unit: Decimal::parse(kg).expect("a number"),
        unit: Unit::parse("kWh").expect("a unit"),
        published_gwp: published,
        status: FactorStatus::Final,
        change: FactorChange::Revised,
        validity: Validity::ALWAYS,
        source: Id::NONE,
    }
}

fn of(rows: &[FactorRow], gwp: GwpSet, total: Total) -> Lines {
    let rows: Vec<&FactorRow> = rows.iter().collect();
    lines(&rows, &Basis::of(Unit::parse("kWh").expect("a unit")), gwp, total)
}

/// The CO2e of all lines, 1e-12 kg.
fn co2e(lines: &Lines) -> i128 {
    lines.iter().map(|(_, rate)| rate.co2e.get()).sum()
}

/// As DESNZ 2025 prints natural gas, kWh (gross CV), with its split, as CO2e of each gas in AR5; but N2O is 0.00009
/// there. With 0.0001 the total is lower than its gases.
fn natural_gas() -> Vec<FactorRow> {
    let ar5 = Some(GwpSet::Ar5);
    vec![
        row(Gas::Co2, "0.18259", None),
        row(Gas::Ch4, "0.00028", ar5),
        row(Gas::N2o, "0.0001", ar5),
        row(Gas::Co2e, "0.18296", ar5),
    ]
}

#[test]
fn gases_told_as_co2e_become_mass_by_the_set_they_were_published_with() {
    let lines = of(&natural_gas(), GwpSet::Ar5, Total::Split);
    let mass = |gas| {
        let (_, rate) = lines.iter().find(|(line, _)| line.gas == gas).expect("a line of the gas");
        (rate.mass.get(), rate.co2e.get())
    };
    assert_eq!(mass(Gas::Co2), (182_590_000_000, 182_590_000_000));
    // 0.00028 / 28 and 0.0001 / 265.
    assert_eq!(mass(Gas::Ch4), (10_000_000, 280_000_000));
    assert_eq!(mass(Gas::N2o), (377_358, 100_000_000));
    // The published CO2e comes back bit for bit in its own set, and is another one in another.
    let ar6 = of(&natural_gas(), GwpSet::Ar6, Total::Split);
    assert_eq!(co2e(&ar6), 182_590_000_000 + 270_000_000 + 103_018_868);
}

#[test]
fn a_printed_total_never_counts_on_top_of_its_gases() {
    let rows = natural_gas();
    let split = of(&rows, GwpSet::Ar5, Total::Split);
    assert_eq!((split.len(), co2e(&split)), (3, 182_970_000_000));
    let printed = of(&rows, GwpSet::Ar5, Total::Printed);
    assert_eq!((printed.len(), co2e(&printed)), (4, 182_960_000_000), "as printed, to the bit");
    let (line, rate) = printed[3];
    assert_eq!((line.gas, line.rate, rate.mass.get()), (Gas::Co2e, -10_000_000, 0));
    // Without a split it is all there is; without a set it is more of something.
    assert_eq!(co2e(&of(&rows[3..], GwpSet::Ar6, Total::Split)), 182_960_000_000);
    let more = [row(Gas::Co2, "1", None), row(Gas::Co2e, "0.5", None)];
    assert_eq!(co2e(&of(&more, GwpSet::Ar5, Total::Printed)), 1_500_000_000_000);
    let apart = FactorRow { method: Method::Market, ..rows[3].clone() };
    assert_eq!(of(&[rows[0].clone(), apart], GwpSet::Ar5, Total::Split).len(), 2);
}

#[test]
fn years_blend_by_their_days() {
    // DESNZ electricity of 2019 and 2020, 220 and 145 days: 0.2466775 kg a kWh.
    let year = |kg| of(&[row(Gas::Co2e, kg, None)], GwpSet::Ar5, Total::Split);
    let blend = blended([(year("0.2556"), 220), (year("0.23314"), 145)]);
    assert_eq!(blend.len(), 1);
    // 90.0373 / 365 = 0.246677534...
    assert_eq!(blend[0].1.co2e.get(), 246_677_534_247);
    let other = of(&[row(Gas::Ch4, "1", None)], GwpSet::Ar5, Total::Split);
    let both = blended([(other, 1), (year("0.5"), 3)]);
    assert_eq!(both.iter().map(|(line, _)| line.gas).collect::<Vec<_>>(), [Gas::Ch4, Gas::Co2e]);
    assert_eq!((both[0].1.mass.get(), both[1].1.co2e.get()), (250_000_000_000, 375_000_000_000));
}

proptest! {
    /// The rates' CO2e is linear in the masses but for the rounding of each rate, whatever the set.
    #[test]
    fn another_set_is_a_linear_map_of_masses(kg in 0_i128..1_000_000_000, gas in 0_usize..16) {
        let gas = Gas::ALL[gas];
        let mut row = row(gas, "0", None);
        row.kg_per_unit = Decimal::new(kg, 9);
        for set in GwpSet::ALL {
            let (_, rate) = line(&row, &Basis::of(row.unit), set).expect("a rate in range");
            prop_assert_eq!(rate.co2e.get() * 10, rate.mass.get() * i128::from(gas.gwp_tenths(set)));
        }
    }
}
