//! Greenhouse gases and their global warming potentials over 100 years.
//!
//! Sources: IPCC AR4 WG1 table 2.14, AR5 WG1 table 8.A.1 (without climate-carbon feedback), AR6 WG1 table
//! 7.SM.7, as tabulated in the GHG Protocol "Global Warming Potential Values" (2024). CH4 from combustion
//! and biogenic sources is `ch4` (AR6: 27.0), fugitive fossil CH4 is `ch4_fossil` (29.8).

use serde::{Deserialize, Serialize};

/// Which assessment report's potentials apply. One a pipeline: sets are never mixed.
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum GwpSet {
    /// Fourth assessment report, 2007.
    Ar4,
    /// Fifth, 2013.
    Ar5,
    /// Sixth, 2021.
    Ar6,
}

impl GwpSet {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Ar4, Self::Ar5, Self::Ar6];

    /// `ar4`, `ar5`, `ar6`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Ar4 => "ar4",
            Self::Ar5 => "ar5",
            Self::Ar6 => "ar6",
        }
    }

    /// The set of that name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|set| set.name() == name)
    }
}

macro_rules! gases {
    ($( $variant:ident $name:literal [$ar4:literal, $ar5:literal, $ar6:literal] $doc:literal; )*) => {
        /// A greenhouse gas, or what stands for one in a published factor.
        #[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[repr(u8)]
        pub enum Gas { $( #[doc = $doc] $variant, )* }

        impl Gas {
            /// All of them, in their fixed order.
            pub const ALL: &'static [Self] = &[ $( Self::$variant, )* ];

            /// Its name in tables and labels.
            #[must_use]
            pub fn name(self) -> &'static str { match self { $( Self::$variant => $name, )* } }

            /// Its potential in tenths of a kg CO2e per kg, exactly as published.
            #[must_use]
            pub fn gwp_tenths(self, set: GwpSet) -> i64 {
                let all: [i64; 3] = match self { $( Self::$variant => [$ar4, $ar5, $ar6], )* };
                match set { GwpSet::Ar4 => all[0], GwpSet::Ar5 => all[1], GwpSet::Ar6 => all[2] }
            }
        }
    };
}

gases! {
    Co2 "co2" [10, 10, 10] "Carbon dioxide.";
    Ch4 "ch4" [250, 280, 270] "Methane, other than fugitive fossil.";
    Ch4Fossil "ch4_fossil" [250, 300, 298] "Fugitive fossil methane.";
    N2o "n2o" [2980, 2650, 2730] "Nitrous oxide.";
    Sf6 "sf6" [228_000, 235_000, 252_000] "Sulphur hexafluoride.";
    Nf3 "nf3" [172_000, 161_000, 174_000] "Nitrogen trifluoride.";
    Hfc23 "hfc-23" [148_000, 124_000, 146_000] "HFC-23.";
    Hfc32 "hfc-32" [6750, 6770, 7710] "HFC-32.";
    Hfc125 "hfc-125" [35_000, 31_700, 37_400] "HFC-125.";
    Hfc134a "hfc-134a" [14_300, 13_000, 15_300] "HFC-134a.";
    Hfc143a "hfc-143a" [44_700, 48_000, 58_100] "HFC-143a.";
    Hfc152a "hfc-152a" [1240, 1380, 1640] "HFC-152a.";
    Hfc227ea "hfc-227ea" [32_200, 33_500, 36_000] "HFC-227ea.";
    Hfc245fa "hfc-245fa" [10_300, 8580, 9620] "HFC-245fa.";
    Cf4 "cf4" [73_900, 66_300, 73_800] "PFC-14.";
    C2f6 "c2f6" [122_000, 111_000, 124_000] "PFC-116.";
    Co2Biogenic "co2_biogenic" [0, 0, 0] "CO2 of biomass: outside of scopes (scope 0), no CO2e.";
    Co2e "co2e" [10, 10, 10] "CO2 equivalent, where a publisher gives no split; its mass is unknown.";
    CfeKwh "cfe_kwh" [0, 0, 0] "No gas: carbon-free energy, kWh in place of kg, no CO2e. See [`Gas::is_energy`].";
    LoadKwh "load_kwh" [0, 0, 0] "No gas: the energy that `cfe_kwh` is a part of, kWh in place of kg, no CO2e.";
}

impl Gas {
    /// The gas called `name`, if there is one.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|gas| gas.name() == name)
    }

    /// What a published number is multiplied with to be kg of the gas, as a ratio; `published` is the set in which
    /// the publisher told it as CO2e. `None` where CO2e tells nothing of the mass.
    #[must_use]
    pub fn mass_ratio(self, published: Option<GwpSet>) -> Option<(i64, i64)> {
        let tenths = published.map_or(10, |set| self.gwp_tenths(set));
        (tenths > 0).then_some((10, tenths))
    }

    /// What a published number is multiplied with to be kg CO2e in `set`, as a ratio. See [`Self::mass_ratio`].
    #[must_use]
    pub fn co2e_ratio(self, published: Option<GwpSet>, set: GwpSet) -> Option<(i64, i64)> {
        self.mass_ratio(published).map(|(_, tenths)| (self.gwp_tenths(set), tenths))
    }

    /// Whether it is energy, in kWh, and no gas. A factor that tells which part of its energy is carbon-free does so in
    /// a line of `cfe_kwh`, market-based, and [`super::recipe`] adds the whole as `load_kwh`, location-based. Both are
    /// multiplied, rolled up, matched and restated as gases are, and are in no total of CO2e. *So the score of
    /// carbon-free energy, the one over the other, is there for each node, hour and window, and as exact.*
    ///
    /// Source: "24/7 Carbon-Free Energy: Methodologies and Metrics" (Google, 2021): contracted energy up to the load of
    /// the hour, and the rest by the grid's share. [from memory, unverified]
    #[must_use]
    pub fn is_energy(self) -> bool {
        matches!(self, Self::CfeKwh | Self::LoadKwh)
    }

    /// The gas that a window shows it under: all as `co2e` unless windows are told by gas. Energy adds up with none.
    #[must_use]
    pub fn shown(self, by_gas: bool) -> Self {
        if by_gas || self.is_energy() { self } else { Self::Co2e }
    }

    /// Whether masses of it are told: not of `co2e`, which a publisher gives without a split.
    #[must_use]
    pub fn has_mass(self) -> bool {
        self != Self::Co2e
    }
}
