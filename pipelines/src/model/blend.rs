//! Blends of refrigerants: which gases they are made of, in which shares by mass.
//!
//! ```text
//! r-410a ─────────────────────┐
//!                             ├─▶ [(hfc-32, 0.5), (hfc-125, 0.5)] ─▶ a line of a factor each
//! 0.5 hfc-32 + 0.5 hfc-125 ───┘
//! ```
//!
//! 1. What leaks is booked gas by gas. *So any set of potentials applies, and nobody looks up what a blend's own is in it.*
//! 2. The table below is the one place where compositions stand: tables of factors and the factors that come along name
//!    a blend. *Else two places would drift apart.*
//! 3. Shares are exact, and come to exactly 1. *A slip of a digit would lose gas, or make some.*
//!
//! Sources: designations and compositions of ANSI/ASHRAE 34. Twelve of them are tabulated in US EPA "Emission Factors Hub"
//! (2021), Table 12; of R-407F, R-421A, R-421B, R-425A, R-427A and R-442A only the potential is printed (DESNZ 2025,
//! "Refrigerant & other"). A test of the factors that come along holds what every one comes to against what is printed.
//!
//! Not there are blends of which a gas is none of [`Gas`]: with hydrocarbons, with HCFCs, which the protocol leaves out,
//! and with HFOs, for which AR4 has no potential and AR5 "less than 1".

use thiserror::Error;

use super::decimal::Decimal;
use super::gas::Gas;

/// Gases, each with its share of the mass.
pub type Composition = Vec<(Gas, Decimal)>;

/// A blend: its names, and thousandths of its mass.
type Blend = (&'static [&'static str], &'static [(Gas, u16)]);

const BLENDS: [Blend; 18] = {
    use Gas::{
        C2f6, Hfc23, Hfc32, Hfc125, Hfc134a as Hfc134, Hfc143a as Hfc143, Hfc152a, Hfc227ea,
    };
    [
        (&["r-404a"], &[(Hfc125, 440), (Hfc134, 40), (Hfc143, 520)]),
        (&["r-407a"], &[(Hfc32, 200), (Hfc125, 400), (Hfc134, 400)]),
        (&["r-407b"], &[(Hfc32, 100), (Hfc125, 700), (Hfc134, 200)]),
        (&["r-407c"], &[(Hfc32, 230), (Hfc125, 250), (Hfc134, 520)]),
        (&["r-407d"], &[(Hfc32, 150), (Hfc125, 150), (Hfc134, 700)]),
        (&["r-407e"], &[(Hfc32, 250), (Hfc125, 150), (Hfc134, 600)]),
        (&["r-407f"], &[(Hfc32, 300), (Hfc125, 300), (Hfc134, 400)]),
        (&["r-410a"], &[(Hfc32, 500), (Hfc125, 500)]),
        (&["r-410b"], &[(Hfc32, 450), (Hfc125, 550)]),
        (&["r-421a"], &[(Hfc125, 580), (Hfc134, 420)]),
        (&["r-421b"], &[(Hfc125, 850), (Hfc134, 150)]),
        (&["r-423a"], &[(Hfc134, 525), (Hfc227ea, 475)]),
        (&["r-425a"], &[(Hfc32, 185), (Hfc134, 695), (Hfc227ea, 120)]),
        (&["r-427a"], &[(Hfc32, 150), (Hfc125, 250), (Hfc134, 500), (Hfc143, 100)]),
        (&["r-442a"], &[(Hfc32, 310), (Hfc125, 310), (Hfc134, 300), (Hfc152a, 30), (Hfc227ea, 50)]),
        (&["r-507a", "r-507"], &[(Hfc125, 500), (Hfc143, 500)]),
        (&["r-508a"], &[(Hfc23, 390), (C2f6, 610)]),
        (&["r-508b"], &[(Hfc23, 460), (C2f6, 540)]),
    ]
};

/// Blends that people have, and that hold a gas without a potential in every set.
const WITH_HFO: [(&str, &str); 6] = [
    ("r-448a", "hfo-1234yf"),
    ("r-449a", "hfo-1234yf"),
    ("r-450a", "hfo-1234ze"),
    ("r-452a", "hfo-1234yf"),
    ("r-454b", "hfo-1234yf"),
    ("r-513a", "hfo-1234yf"),
];

/// Why a text is no composition.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum BlendError {
    /// No gas, and no blend.
    #[error("`{0}` is not known")]
    Unknown(String),
    /// A blend with a gas that has no potential in every set.
    #[error("`{blend}` holds {gas}, which has no potential in every set")]
    WithoutPotential {
        /// The blend.
        blend: &'static str,
        /// The gas.
        gas: &'static str,
    },
    /// A part that is no share and gas.
    #[error("`{0}` is no share of a gas")]
    Part(String),
    /// A share that is none.
    #[error("`{0}` is no share of a mass: it is more than 0 and at most 1")]
    Share(String),
    /// A part of nothing that could be one.
    #[error("`{0}` is no gas that a blend could hold")]
    NoGas(String),
    /// A gas with two shares.
    #[error("{} is in the blend twice", .0.name())]
    Twice(Gas),
    /// Shares that leave something out, or have too much.
    #[error("the shares come to {0}, and not to 1")]
    Sum(Decimal),
}

impl BlendError {
    /// What to write instead.
    #[must_use]
    pub fn remedy(&self) -> String {
        match self {
            Self::Unknown(_) => {
                "write a gas, a blend such as r-410a, or its composition".to_owned()
            }
            Self::WithoutPotential { .. } => {
                "write a row for each other gas of it, its share as kg_per_unit".to_owned()
            }
            Self::Part(_) => "write shares and gases, such as 0.5 hfc-32 + 0.5 hfc-125".to_owned(),
            Self::Share(_) => "write 0.5 for half of it".to_owned(),
            Self::NoGas(_) => {
                let gases = Gas::ALL.iter().filter(|gas| may_blend(**gas)).map(|gas| gas.name());
                format!("a blend is of {}", gases.collect::<Vec<_>>().join(", "))
            }
            Self::Twice(_) => "write one share, their sum".to_owned(),
            Self::Sum(_) => "correct them, or add the gas that is missing".to_owned(),
        }
    }
}

/// Names of all blends.
pub fn names() -> impl Iterator<Item = &'static str> {
    BLENDS.into_iter().flat_map(|(names, _)| names).copied()
}

/// What `text` is made of: a gas is one of itself, a blend has its composition, and one may be written out, such as
/// `0.5 hfc-32 + 0.5 hfc-125`. Names of blends may be in capitals.
///
/// # Errors
/// If it is neither, or its shares are not those of a whole.
pub fn composition(text: &str) -> Result<Composition, BlendError> {
    if let Some(gas) = Gas::parse(text).filter(|gas| *gas != Gas::LoadKwh) {
        return Ok(vec![(gas, Decimal::ONE)]);
    }
    let is = |name: &&str| name.eq_ignore_ascii_case(text);
    if let Some((_, shares)) = BLENDS.iter().find(|(names, _)| names.iter().any(is)) {
        let share =
            |(gas, thousandths): &(Gas, u16)| (*gas, Decimal::new((*thousandths).into(), 3));
        return Ok(shares.iter().map(share).collect());
    }
    if let Some((blend, gas)) = WITH_HFO.into_iter().find(|(name, _)| is(name)) {
        return Err(BlendError::WithoutPotential { blend, gas });
    }
    if !text.contains(|c: char| c == '+' || c.is_whitespace()) {
        return Err(BlendError::Unknown(short(text)));
    }
    let mut found = Composition::new();
    for part in text.split('+').map(str::trim) {
        let (gas, share) = constituent(part)?;
        if found.iter().any(|(other, _)| *other == gas) {
            return Err(BlendError::Twice(gas));
        }
        found.push((gas, share));
    }
    // Shares have at most 30 decimals and are at most 1, and there are fewer gases than 1e7: the sum fits.
    let scale = found.iter().map(|(_, share)| share.scale()).max().unwrap_or(0);
    let at_scale =
        |share: &Decimal| share.mantissa() * 10_i128.pow(u32::from(scale - share.scale()));
    let sum = Decimal::new(found.iter().map(|(_, share)| at_scale(share)).sum(), scale);
    if sum == Decimal::ONE { Ok(found) } else { Err(BlendError::Sum(sum)) }
}

/// `0.5 hfc-32`.
fn constituent(part: &str) -> Result<(Gas, Decimal), BlendError> {
    let mut words = part.split_whitespace();
    let (Some(share), Some(name), None) = (words.next(), words.next(), words.next()) else {
        return Err(BlendError::Part(short(part)));
    };
    let is_share = |share: &Decimal| {
        let whole = 10_i128.pow(u32::from(share.scale()));
        share.mantissa() > 0 && share.mantissa() <= whole
    };
    let parsed = Decimal::parse(share).ok().filter(is_share);
    let parsed = parsed.ok_or_else(|| BlendError::Share(short(share)))?;
    let gas = Gas::parse(name).filter(|gas| may_blend(*gas));
    gas.map(|gas| (gas, parsed)).ok_or_else(|| BlendError::NoGas(short(name)))
}

/// Whether it may be a part of a mass: of `co2e` nobody knows one, energy has none, and biogenic CO2 is told outside of
/// scopes.
fn may_blend(gas: Gas) -> bool {
    gas.has_mass() && !gas.is_energy() && gas != Gas::Co2Biogenic
}

fn short(text: &str) -> String {
    text.chars().take(64).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::GwpSet;

    fn share(gas: Gas, text: &str) -> (Gas, Decimal) {
        (gas, Decimal::parse(text).unwrap())
    }

    /// What a kg comes to, in kg CO2e.
    fn potential(text: &str, set: GwpSet) -> String {
        let shares = composition(text).unwrap();
        let of = |(gas, share): (Gas, Decimal)| {
            let scale = 10_i128.pow(3 - u32::from(share.scale()));
            share.mantissa() * scale * i128::from(gas.gwp_tenths(set))
        };
        Decimal::new(shares.into_iter().map(of).sum(), 4).to_string()
    }

    #[test]
    fn a_blend_is_its_gases_by_mass() {
        let half = vec![share(Gas::Hfc32, "0.5"), share(Gas::Hfc125, "0.5")];
        for text in ["r-410a", "R-410A", "0.5 hfc-32 + 0.5 hfc-125", "0.50 hfc-32+5e-1  hfc-125"] {
            assert_eq!(composition(text).unwrap(), half, "{text}");
        }
        assert_eq!(composition("R-507"), composition("r-507a"));
        assert_eq!(composition("ch4").unwrap(), [share(Gas::Ch4, "1")]);
        assert_eq!(composition("1 hfc-32").unwrap(), [share(Gas::Hfc32, "1")]);
    }

    #[test]
    fn published_blends_come_to_what_is_published() {
        // EPA Emission Factors Hub 2021, Table 12; DESNZ 2025, Refrigerant & other.
        assert_eq!(potential("r-410a", GwpSet::Ar4), "2087.5");
        assert_eq!(potential("r-410a", GwpSet::Ar5), "1923.5");
        assert_eq!(potential("r-404a", GwpSet::Ar4), "3921.6");
        assert_eq!(potential("r-404a", GwpSet::Ar5), "3942.8");
        assert_eq!(potential("r-404a", GwpSet::Ar6), "4728");
        assert_eq!(potential("r-407c", GwpSet::Ar4), "1773.85");
        assert_eq!(potential("r-407c", GwpSet::Ar6), "1907.93");
    }

    #[test]
    fn every_name_is_there_once_and_its_shares_are_a_whole() {
        let mut seen: Vec<&str> = names().collect();
        let count = seen.len();
        seen.sort_unstable();
        seen.dedup();
        assert_eq!(seen.len(), count);
        for (names, shares) in BLENDS {
            let sum: u16 = shares.iter().map(|(_, thousandths)| thousandths).sum();
            assert_eq!(sum, 1000, "{names:?}");
            let written = shares.iter().map(|(gas, t)| format!("0.{t:03} {}", gas.name()));
            let written = written.collect::<Vec<_>>().join(" + ");
            assert_eq!(composition(&written), composition(names[0]), "{names:?}");
        }
    }

    #[test]
    fn what_is_no_blend_is_told() {
        for (text, told) in [
            ("co3", "`co3` is not known"),
            ("R-513A", "`r-513a` holds hfo-1234yf, which has no potential in every set"),
            ("0.5 hfc-32 + hfc-125", "`hfc-125` is no share of a gas"),
            ("0.5 hfc-32 + 0.5 hfc-125 +", "`` is no share of a gas"),
            (
                "50% hfc-32 + 50% hfc-125",
                "`50%` is no share of a mass: it is more than 0 and at most 1",
            ),
            ("0 hfc-32 + 1 hfc-125", "`0` is no share of a mass: it is more than 0 and at most 1"),
            (
                "1.5 hfc-32 + -0.5 hfc-125",
                "`1.5` is no share of a mass: it is more than 0 and at most 1",
            ),
            ("0.5 hfc-32 + 0.5 r-410a", "`r-410a` is no gas that a blend could hold"),
            ("0.5 hfc-32 + 0.5 co2e", "`co2e` is no gas that a blend could hold"),
            ("0.5 ch4 + 0.5 co2_biogenic", "`co2_biogenic` is no gas that a blend could hold"),
            ("0.5 hfc-32 + 0.5 hfc-32", "hfc-32 is in the blend twice"),
            ("0.5 hfc-32 + 0.49 hfc-125", "the shares come to 0.99, and not to 1"),
            (
                "0.5 hfc-32 + 0.500000000000000000000000000001 hfc-125",
                "the shares come to 1.000000000000000000000000000001, and not to 1",
            ),
        ] {
            let error = composition(text).expect_err(text);
            assert_eq!(error.to_string(), told, "{text}");
            assert!(!error.remedy().is_empty());
        }
    }
}
