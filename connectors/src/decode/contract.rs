//! Rows of `contracts` and `certificates` from their fields.

use plumeline_pipelines::model::{
    CertificateRow, ContractRow, Criterion, Decimal, Id, Matching, Supply,
};

use super::fact::{FactError, NAME_BYTES_MAX, TEXT_BYTES_MAX};
use super::fields::{Fields, error, missing, shortened};

pub(super) const CONTRACT_COLUMNS: [&str; 19] = [
    "contract",
    "node",
    "covers",
    "factor",
    "supply",
    "output",
    "share",
    "priority",
    "zone",
    "matching",
    "conveys",
    "sole",
    "retired",
    "vintage",
    "market",
    "valid_from",
    "valid_to",
    "revision",
    "withdrawn",
];
pub(super) const CERTIFICATE_COLUMNS: [&str; 11] = [
    "certificate",
    "contract",
    "zone",
    "device",
    "wh",
    "issued_wh",
    "retired",
    "valid_from",
    "valid_to",
    "revision",
    "withdrawn",
];

/// The most a certificate can be of: `1 TWh`, in Wh.
const WH_MAX: i64 = 1_000_000_000_000;

impl Fields<'_, '_> {
    pub(super) fn contract(&self) -> Result<ContractRow, FactError> {
        let (contract, node) = (self.name("contract")?, self.name("node")?);
        let (covers, factor) = (self.name("covers")?, self.name("factor")?);
        if covers == factor {
            let message = format!("`{factor}` is the factor of the load itself");
            let remedy = "name the factor whose market-based lines tell what the contract delivers";
            return Err(error("factor", &message, remedy));
        }
        let supply = self.supply(&covers)?;
        let priority = self.whole("priority", i64::from(u32::MAX))?.unwrap_or(0);
        let zone = self.name("zone")?;
        let policies = Matching::ALL.map(Matching::name);
        let matching = self.one_of("matching", &policies, Matching::parse)?;
        let matching = matching.unwrap_or(Matching::Hourly1);
        let mut evidence = [None, None, None, None, None];
        for (criterion, proof) in Criterion::ALL.into_iter().zip(&mut evidence) {
            *proof = self.optional_name(criterion.name(), TEXT_BYTES_MAX)?;
        }
        let (validity, revision) = (self.validity()?, self.revision()?);
        self.withdrawn()?;
        let supply = match supply {
            (Supply::Metered { share, .. }, Some(output)) => {
                Supply::Metered { factor: self.names.intern(&output), share }
            }
            (supply, _) => supply,
        };
        Ok(ContractRow {
            contract: self.names.intern(&contract),
            name: contract.into_owned(),
            node: self.names.intern(&node),
            covers: self.names.intern(&covers),
            factor: self.names.intern(&factor),
            supply,
            priority: u32::try_from(priority).expect("it was read in this range"),
            zone: self.names.intern(&zone),
            matching,
            evidence: evidence.map(|proof| self.id(proof.as_deref())),
            validity,
            revision,
        })
    }

    /// What the contract has to give, and the factor under which that is metered.
    fn supply(&self, covers: &str) -> Result<(Supply, Option<String>), FactError> {
        let metered = Supply::Metered { factor: Id::NONE, share: Decimal::ONE };
        let kinds = [Supply::Certificates, metered, Supply::Any];
        let parse = |name: &str| kinds.into_iter().find(|kind| kind.name() == name);
        let supply = self.one_of("supply", &kinds.map(Supply::name), parse)?;
        let supply =
            supply.ok_or_else(|| missing("supply", "write certificates, metered or any"))?;
        let output = self.optional_name("output", NAME_BYTES_MAX)?;
        let share = self.positive("share")?.unwrap_or(Decimal::ONE);
        let Supply::Metered { factor, .. } = supply else { return Ok((supply, None)) };
        let remedy = "write the factor that the meters of the plant name";
        let output = output.ok_or_else(|| missing("output", remedy))?;
        if output == covers {
            let message = format!("`{output}` is the factor of the load itself");
            return Err(error("output", &message, remedy));
        }
        // At most 30 digits after the point: their power of ten fits.
        if share.mantissa() > 10_i128.pow(u32::from(share.scale())) {
            let message = format!("`{share}` is more than all the plant puts out");
            return Err(error("share", &message, "write a share above 0 and at most 1"));
        }
        Ok((Supply::Metered { factor, share }, Some(output.into_owned())))
    }

    pub(super) fn certificate(&self) -> Result<CertificateRow, FactError> {
        // A registry's intervals know nothing of our periods.
        let row = Fields { period_ms: 1, ..*self };
        let (certificate, contract) = (row.name("certificate")?, row.name("contract")?);
        let zone = row.name("zone")?;
        let device = row.optional_name("device", NAME_BYTES_MAX)?;
        let remedy = "write whole Wh, rounded down";
        let wh = row.whole("wh", WH_MAX)?.ok_or_else(|| missing("wh", remedy))?;
        let issued_wh = row.whole("issued_wh", WH_MAX)?.unwrap_or(wh);
        if wh > issued_wh {
            let message = format!("`{wh}` is more than the {issued_wh} Wh that were issued");
            return Err(error("wh", &message, "correct one of them: a part cannot be larger"));
        }
        let retired = row.optional_name("retired", TEXT_BYTES_MAX)?;
        for (column, bound) in [("valid_from", "begins"), ("valid_to", "ends")] {
            if row.text(column).is_none() {
                let remedy = format!("write when the generation it is of {bound}");
                return Err(missing(column, &remedy));
            }
        }
        let (validity, revision) = (row.validity()?, row.revision()?);
        row.withdrawn()?;
        Ok(CertificateRow {
            certificate: row.names.intern(&certificate),
            contract: row.names.intern(&contract),
            zone: row.names.intern(&zone),
            device: row.id(device.as_deref()),
            wh,
            issued_wh,
            retired: row.id(retired.as_deref()),
            validity,
            revision,
        })
    }

    /// A whole number from 0 to `max`.
    fn whole(&self, column: &str, max: i64) -> Result<Option<i64>, FactError> {
        let Some(text) = self.text(column) else { return Ok(None) };
        let number = text.parse().ok().filter(|number| (0..=max).contains(number));
        let message = format!("`{}` is no whole number from 0 to {max}", shortened(&text));
        number.map(Some).ok_or_else(|| error(column, &message, "write digits alone"))
    }
}

#[cfg(test)]
#[path = "contract_tests.rs"]
mod tests;
