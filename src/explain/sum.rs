//! Sums of a tree, exact, and as text.
//!
//! A sum is CO2e and the mass of each gas, in 1e-21 kg. As text a quantity is its exact decimal without zeros at its
//! end; for people it is rounded to grams first, and the exact one follows only where that is another.

use std::collections::BTreeMap;

use plumeline_pipelines::model::quantity::{MASS_SCALE, divide_half_even};
use plumeline_pipelines::model::{Emission, Gas};

/// Places that people are shown.
const SHOWN_PLACES: u8 = 3;

/// See the module's documentation.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Sum {
    /// 1e-21 kg.
    pub(crate) co2e: i128,
    /// 1e-21 kg; without gas `co2e`, whose mass is unknown, and without what is zero.
    pub(crate) masses: BTreeMap<Gas, i128>,
}

impl Sum {
    /// What was emitted of `gas`.
    pub(crate) fn of(gas: Gas, emission: &Emission) -> Self {
        let mut sum = Self::default();
        sum.add_emission(gas, emission);
        sum
    }

    pub(crate) fn add_emission(&mut self, gas: Gas, emission: &Emission) {
        self.co2e += emission.co2e.get();
        // Energy is no emission.
        if gas.has_mass() && !gas.is_energy() {
            self.add_mass(gas, emission.mass.get());
        }
    }

    pub(crate) fn add(&mut self, other: &Self) {
        self.co2e += other.co2e;
        for (gas, mass) in &other.masses {
            self.add_mass(*gas, *mass);
        }
    }

    pub(crate) fn take_off(&mut self, other: &Self) {
        self.co2e -= other.co2e;
        for (gas, mass) in &other.masses {
            self.add_mass(*gas, -mass);
        }
    }

    fn add_mass(&mut self, gas: Gas, mass: i128) {
        let sum = self.masses.entry(gas).or_default();
        *sum += mass;
        if *sum == 0 {
            self.masses.remove(&gas);
        }
    }

    pub(crate) fn is_zero(&self) -> bool {
        self.co2e == 0 && self.masses.is_empty()
    }

    /// How much of it there is, to put the largest first.
    pub(crate) fn weight(&self) -> (u128, u128) {
        let masses = self.masses.values().map(|mass| mass.unsigned_abs());
        (self.co2e.unsigned_abs(), masses.fold(0, u128::saturating_add))
    }
}

/// `number` times 10^-`scale`, exactly, without zeros at its end.
pub(crate) fn exact(number: i128, scale: u8) -> String {
    let sign = if number < 0 { "-" } else { "" };
    let digits = format!("{:0>width$}", number.unsigned_abs(), width = usize::from(scale) + 1);
    let (whole, places) = digits.split_at(digits.len() - usize::from(scale));
    match places.trim_end_matches('0') {
        "" => format!("{sign}{whole}"),
        places => format!("{sign}{whole}.{places}"),
    }
}

/// A mass, exactly, kg.
pub(crate) fn kg(mass: i128) -> String {
    exact(mass, MASS_SCALE)
}

/// `number` times 10^-`scale` rounded half-even to three places, always with all three.
pub(crate) fn rounded(number: i128, scale: u8) -> String {
    let grams = match scale.checked_sub(SHOWN_PLACES) {
        Some(places) => divide_half_even(number, 10_i128.pow(u32::from(places))),
        None => number * 10_i128.pow(u32::from(SHOWN_PLACES - scale)),
    };
    let sign = if grams < 0 { "-" } else { "" };
    format!("{sign}{}.{:03}", grams.unsigned_abs() / 1000, grams.unsigned_abs() % 1000)
}

/// A number of some unit for people: rounded, and what it is exactly, where that is another.
pub(crate) fn shown(number: i128, scale: u8, unit: &str) -> String {
    let (about, exactly) = (rounded(number, scale), exact(number, scale));
    let is_exact = places(&exactly) <= usize::from(SHOWN_PLACES);
    if is_exact {
        format!("{exactly} {unit}")
    } else {
        format!("{about} {unit} (exactly {exactly})")
    }
}

fn places(decimal: &str) -> usize {
    decimal.split_once('.').map_or(0, |(_, places)| places.len())
}

/// CO2e for people.
pub(crate) fn co2e(number: i128) -> String {
    shown(number, MASS_SCALE, "kg CO2e")
}
