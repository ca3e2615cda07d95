//! The column `gas` of a factor: a gas, or a blend, whose row is one for each gas of it.
//!
//! `kg_per_unit` of such a row is kilograms of the blend, and each gas has its share of them, exactly. What comes of one
//! row stays together: it is said, corrected and taken back together (`src/facts/together.rs` of the program).

use plumeline_pipelines::model::blend::{self, BlendError, Composition};
use plumeline_pipelines::model::{Decimal, Gas, GwpSet, Unit};

use super::fact::{FactError, rate_fits};
use super::fields::{Fields, error, missing};
use crate::near::nearest;

impl Fields<'_, '_> {
    /// The gases of the row, each with its share of the mass.
    pub(super) fn gases(&self) -> Result<Composition, FactError> {
        let text = self.text("gas").ok_or_else(|| {
            missing("gas", "write co2, ch4, n2o, ..., co2e, or a blend such as r-410a")
        })?;
        blend::composition(&text).map_err(|wrong| {
            let meant = match &wrong {
                BlendError::Unknown(name) | BlendError::NoGas(name) => {
                    let gases = Gas::ALL.iter().map(|gas| gas.name());
                    let is_part = matches!(wrong, BlendError::NoGas(_));
                    let blends = blend::names().filter(|_| !is_part);
                    nearest(name, gases.chain(blends)).filter(|near| near != name)
                }
                _ => None,
            };
            let remedy = meant.map_or_else(|| wrong.remedy(), |near| format!("write `{near}`"));
            error("gas", &wrong.to_string(), remedy)
        })
    }
}

/// What each gas has of `kg_per_unit`, each a rate that the ledger's columns hold.
pub(super) fn kg_of_gases(
    gases: &[(Gas, Decimal)],
    (kg_per_unit, unit): (Decimal, Unit),
    published: Option<GwpSet>,
) -> Result<Vec<(Gas, Decimal)>, FactError> {
    if let (Some(set), true) = (published, gases.len() > 1) {
        let message = format!(
            "`{}` cannot stand beside a blend: its CO2e says nothing exact of its gases",
            set.name()
        );
        let remedy = "leave it empty, and write kg of the blend in `kg_per_unit`";
        return Err(error("published_gwp", &message, remedy));
    }
    let kg = |(gas, share): &(Gas, Decimal)| {
        let kg = kg_per_unit.times(*share).ok_or_else(|| {
            let message =
                format!("`{kg_per_unit}` has too many digits for a share of {share} of it");
            error("kg_per_unit", &message, "write fewer decimals")
        })?;
        rate_fits((kg, unit), *gas, published)?;
        Ok((*gas, kg))
    };
    gases.iter().map(kg).collect()
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;

    use jiff::tz::TimeZone;
    use plumeline_pipelines::model::{Fact, Names};

    use super::super::fact::{FactChange, Table, fact_from_fields};
    use super::*;

    fn read(gas: &str, others: &[(&str, &str)]) -> Result<Vec<FactChange>, FactError> {
        let base = [("factor", "leaks"), ("scope", "1"), ("kg_per_unit", "0.9"), ("unit", "kg")];
        let field = |column: &str| {
            let mut all = others.iter().chain(&base).copied().chain([("gas", gas)]);
            all.find(|(name, _)| *name == column).map(|(_, text)| Cow::Owned(text.to_owned()))
        };
        fact_from_fields(Table::Factors, &field, &Names::new(), &TimeZone::UTC, 900_000)
    }

    fn shares(gas: &str) -> Vec<(Gas, String)> {
        let rows = read(gas, &[("revision", "3"), ("withdrawn", "true")]).unwrap();
        let share = |change: FactChange| {
            let Fact::Factor(row) = change.fact else { panic!("a factor") };
            assert_eq!((row.revision, change.withdrawn, row.scope), (3, true, 1));
            (row.gas, row.kg_per_unit.to_string())
        };
        rows.into_iter().map(share).collect()
    }

    #[test]
    fn a_blend_is_a_row_for_each_of_its_gases() {
        let half = [(Gas::Hfc32, "0.45".to_owned()), (Gas::Hfc125, "0.45".to_owned())];
        assert_eq!(shares("R-410A"), half);
        assert_eq!(shares("0.5 hfc-32 + 0.5 hfc-125"), half);
        assert_eq!(shares("hfc-32"), [(Gas::Hfc32, "0.9".to_owned())]);
        assert_eq!(shares("r-442a").len(), 5);
    }

    #[test]
    fn what_makes_no_row_is_told_with_what_to_write() {
        for (gas, told) in [
            ("co3", "gas: `co3` is not known; write `co2`"),
            ("R410A", "gas: `R410A` is not known; write `r-410a`"),
            (
                "freon",
                "gas: `freon` is not known; write a gas, a blend such as r-410a, or its composition",
            ),
            (
                "0.5 hfc-32 + 0.5 hfc-152",
                "gas: `hfc-152` is no gas that a blend could hold; write `hfc-152a`",
            ),
            (
                "0.6 hfc-32 + 0.5 hfc-125",
                "gas: the shares come to 1.1, and not to 1; correct them, or add the gas that is missing",
            ),
            (
                "r-449a",
                "gas: `r-449a` holds hfo-1234yf, which has no potential in every set; write a row for each other gas of it, its share as kg_per_unit",
            ),
        ] {
            assert_eq!(read(gas, &[]).unwrap_err().to_string(), told);
        }
        let published = read("r-410a", &[("kg_per_unit", "1924"), ("published_gwp", "ar5")]);
        assert_eq!(
            published.unwrap_err().to_string(),
            "published_gwp: `ar5` cannot stand beside a blend: its CO2e says nothing exact of its gases; leave it \
             empty, and write kg of the blend in `kg_per_unit`"
        );
        let long = [("kg_per_unit", "0.123456789012345678901234567891")];
        assert_eq!(read("r-407c", &long).unwrap_err().column, "kg_per_unit");
        let large = [("kg_per_unit", "100000"), ("unit", "g")];
        assert_eq!(read("r-407c", &large).unwrap_err().column, "kg_per_unit");
    }
}
