//! The table of units: what there is, what it measures, and how much of its reference it is, exactly.

use std::sync::LazyLock;

use super::currency::CURRENCIES;
use super::{Unit, reduced, reduced_product};

/// What a unit measures: only units of one dimension convert into each other.
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Dimension {
    /// Electricity, heat, steam: energy without a calorific basis.
    Energy,
    /// Fuel energy, gross (higher) calorific value.
    EnergyGross,
    /// Fuel energy, net (lower) calorific value.
    EnergyNet,
    /// Volume as metered.
    Volume,
    /// Gas volume at a reference state.
    GasVolume,
    /// Mass.
    Mass,
    /// Distance.
    Distance,
    /// Freight work.
    Freight,
    /// Passenger transport.
    Passengers,
    /// Vehicle transport.
    Vehicles,
    /// Pieces.
    Count,
    /// Hotel room nights.
    RoomNights,
    /// Area.
    Area,
    /// Time that something runs or is done.
    Time,
    /// Working time of staff, by full-time equivalents.
    Work,
    /// Staff, by full-time equivalents.
    Staff,
    /// Money: each currency at each price year converts into itself alone.
    Money,
    /// Energy per time, for `power` meters.
    Power,
    /// Volume per time, for `power` meters.
    VolumeFlow,
    /// Mass per time, for `power` meters.
    MassFlow,
}

impl Dimension {
    /// Its name: the column `quantity`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Energy => "energy",
            Self::EnergyGross => "energy_gross",
            Self::EnergyNet => "energy_net",
            Self::Volume => "volume",
            Self::GasVolume => "gas_volume",
            Self::Mass => "mass",
            Self::Distance => "distance",
            Self::Freight => "freight",
            Self::Passengers => "passengers",
            Self::Vehicles => "vehicles",
            Self::Count => "count",
            Self::RoomNights => "room_nights",
            Self::Area => "area",
            Self::Time => "time",
            Self::Work => "work",
            Self::Staff => "staff",
            Self::Money => "money",
            Self::Power => "power",
            Self::VolumeFlow => "volume_flow",
            Self::MassFlow => "mass_flow",
        }
    }
}

/// One row of the table of units.
#[derive(Copy, Clone)]
pub(super) struct Definition {
    pub(super) symbol: &'static str,
    pub(super) dimension: Dimension,
    /// Symbol of its family's base.
    pub(super) base: &'static str,
    /// It is `numerator / denominator` of its dimension's reference, exactly.
    pub(super) numerator: i128,
    pub(super) denominator: i128,
}

const fn unit(
    symbol: &'static str,
    dimension: Dimension,
    base: &'static str,
    numerator: i128,
    denominator: i128,
) -> Definition {
    Definition { symbol, dimension, base, numerator, denominator }
}

#[rustfmt::skip]
macro_rules! energy {
    ($dimension:ident, $basis:literal) => {
        [
            unit(concat!("J", $basis), Dimension::$dimension, concat!("MJ", $basis), 1, 1),
            unit(concat!("kJ", $basis), Dimension::$dimension, concat!("MJ", $basis), 1_000, 1),
            unit(concat!("MJ", $basis), Dimension::$dimension, concat!("MJ", $basis), 1_000_000, 1),
            unit(concat!("GJ", $basis), Dimension::$dimension, concat!("MJ", $basis), 1_000_000_000, 1),
            unit(concat!("TJ", $basis), Dimension::$dimension, concat!("MJ", $basis), 1_000_000_000_000, 1),
            unit(concat!("Wh", $basis), Dimension::$dimension, concat!("kWh", $basis), 3_600, 1),
            unit(concat!("kWh", $basis), Dimension::$dimension, concat!("kWh", $basis), 3_600_000, 1),
            unit(concat!("MWh", $basis), Dimension::$dimension, concat!("kWh", $basis), 3_600_000_000, 1),
            unit(concat!("GWh", $basis), Dimension::$dimension, concat!("kWh", $basis), 3_600_000_000_000, 1),
            unit(concat!("TWh", $basis), Dimension::$dimension, concat!("kWh", $basis), 3_600_000_000_000_000, 1),
            unit(concat!("Btu", $basis), Dimension::$dimension, concat!("MMBtu", $basis), 105_505_585_262, 100_000_000),
            unit(concat!("kBtu", $basis), Dimension::$dimension, concat!("MMBtu", $basis), 105_505_585_262, 100_000),
            unit(concat!("MMBtu", $basis), Dimension::$dimension, concat!("MMBtu", $basis), 105_505_585_262, 100),
            unit(concat!("therm", $basis), Dimension::$dimension, concat!("therm", $basis), 105_505_585_257, 1_000),
            unit(concat!("therm (US)", $basis), Dimension::$dimension, concat!("therm (US)", $basis), 105_480_400, 1),
        ]
    };
}

const ENERGY: [Definition; 15] = energy!(Energy, "");
const ENERGY_GROSS: [Definition; 15] = energy!(EnergyGross, " gross");
const ENERGY_NET: [Definition; 15] = energy!(EnergyNet, " net");
#[rustfmt::skip]
const OTHERS: [Definition; 46] = {
    use Dimension as D;
    [
        unit("m3", D::Volume, "m3", 1, 1),
        unit("L", D::Volume, "m3", 1, 1_000),
        unit("mL", D::Volume, "m3", 1, 1_000_000),
        unit("gal", D::Volume, "gal", 3_785_411_784, 1_000_000_000_000),
        unit("gal (imp)", D::Volume, "gal (imp)", 454_609, 100_000_000),
        unit("ft3", D::Volume, "ft3", 28_316_846_592, 1_000_000_000_000),
        unit("bbl", D::Volume, "bbl", 158_987_294_928, 1_000_000_000_000),
        unit("Nm3", D::GasVolume, "Nm3", 1, 1),
        unit("Sm3", D::GasVolume, "Sm3", 27_315, 28_815),
        unit("scf", D::GasVolume, "scf", 28_316_846_592 * 27_315, 1_000_000_000_000 * 29_315),
        unit("mg", D::Mass, "kg", 1, 1_000_000),
        unit("g", D::Mass, "kg", 1, 1_000),
        unit("kg", D::Mass, "kg", 1, 1),
        unit("t", D::Mass, "kg", 1_000, 1),
        unit("kt", D::Mass, "kg", 1_000_000, 1),
        unit("lb", D::Mass, "lb", 45_359_237, 100_000_000),
        unit("short ton", D::Mass, "lb", 45_359_237 * 2_000, 100_000_000),
        unit("long ton", D::Mass, "lb", 45_359_237 * 2_240, 100_000_000),
        unit("m", D::Distance, "km", 1, 1_000),
        unit("km", D::Distance, "km", 1, 1),
        unit("mi", D::Distance, "mi", 1_609_344, 1_000_000),
        unit("kg.km", D::Freight, "t.km", 1, 1_000),
        unit("t.km", D::Freight, "t.km", 1, 1),
        unit("short ton.mi", D::Freight, "short ton.mi", 90_718_474 * 1_609_344, 100_000_000_000_000),
        unit("p.km", D::Passengers, "p.km", 1, 1),
        unit("p.mi", D::Passengers, "p.mi", 1_609_344, 1_000_000),
        unit("v.km", D::Vehicles, "v.km", 1, 1),
        unit("v.mi", D::Vehicles, "v.mi", 1_609_344, 1_000_000),
        unit("piece", D::Count, "piece", 1, 1),
        unit("dozen", D::Count, "piece", 12, 1),
        unit("room.night", D::RoomNights, "room.night", 1, 1),
        unit("m2", D::Area, "m2", 1, 1),
        unit("ha", D::Area, "m2", 10_000, 1),
        unit("ft2", D::Area, "ft2", 9_290_304, 100_000_000),
        unit("hour", D::Time, "hour", 1, 1),
        unit("FTE.hour", D::Work, "FTE.hour", 1, 1),
        unit("FTE", D::Staff, "FTE", 1, 1),
        unit("W", D::Power, "kW", 1, 1),
        unit("kW", D::Power, "kW", 1_000, 1),
        unit("MW", D::Power, "kW", 1_000_000, 1),
        unit("GW", D::Power, "kW", 1_000_000_000, 1),
        unit("m3/h", D::VolumeFlow, "m3/h", 1, 1),
        unit("L/h", D::VolumeFlow, "m3/h", 1, 1_000),
        unit("g/h", D::MassFlow, "kg/h", 1, 1_000),
        unit("kg/h", D::MassFlow, "kg/h", 1, 1),
        unit("t/h", D::MassFlow, "kg/h", 1_000, 1),
    ]
};
const MONEY: [Definition; CURRENCIES.len()] = {
    let mut money = [unit("", Dimension::Money, "", 1, 1); CURRENCIES.len()];
    let mut index = 0;
    while index < money.len() {
        money[index] = unit(CURRENCIES[index], Dimension::Money, CURRENCIES[index], 1, 1);
        index += 1;
    }
    money
};
const GROUPS: [&[Definition]; 5] = [&ENERGY, &ENERGY_GROSS, &ENERGY_NET, &OTHERS, &MONEY];

/// Currencies stand last.
pub(super) const FIRST_CURRENCY: usize =
    ENERGY.len() + ENERGY_GROSS.len() + ENERGY_NET.len() + OTHERS.len();

/// What is worked out once of a definition.
pub(super) struct Entry {
    pub(super) definition: &'static Definition,
    pub(super) base: Unit,
    /// How many of its base one of it is.
    pub(super) to_base: (i128, i128),
    pub(super) over_an_hour: Option<Unit>,
}

pub(super) static TABLE: LazyLock<Vec<Entry>> = LazyLock::new(|| {
    let definitions = || GROUPS.into_iter().flatten();
    let find = |symbol: &str| {
        definitions().position(|definition| definition.symbol == symbol).map(Unit::numbered)
    };
    let entry = |definition: &'static Definition| {
        let base = definitions().find(|other| other.symbol == definition.base);
        let base = base.expect("every base is in the table");
        let to_base = reduced_product(
            definition.numerator,
            base.denominator,
            definition.denominator,
            base.numerator,
        );
        Entry {
            definition,
            base: find(base.symbol).expect("just found"),
            to_base: reduced(to_base),
            over_an_hour: over_an_hour(definition.symbol).and_then(find),
        }
    };
    definitions().map(entry).collect()
});

/// What a power amounts to over an hour.
fn over_an_hour(power: &str) -> Option<&'static str> {
    Some(match power {
        "W" => "Wh",
        "kW" => "kWh",
        "MW" => "MWh",
        "GW" => "GWh",
        "m3/h" => "m3",
        "L/h" => "L",
        "g/h" => "g",
        "kg/h" => "kg",
        "t/h" => "t",
        _ => return None,
    })
}

/// Other spellings gateways and people use.
pub(super) const ALIASES: [(&str, &str); 30] = [
    ("kwh", "kWh"),
    ("KWH", "kWh"),
    ("wh", "Wh"),
    ("mmBtu", "MMBtu"),
    ("l", "L"),
    ("litre", "L"),
    ("liter", "L"),
    ("m\u{b3}", "m3"),
    ("gal (US)", "gal"),
    ("tonne", "t"),
    ("tkm", "t.km"),
    ("pkm", "p.km"),
    ("count", "piece"),
    ("unit", "piece"),
    ("1", "piece"),
    ("mile", "mi"),
    ("tonnes", "t"),
    ("kilogram", "kg"),
    ("litres", "L"),
    ("tonne.km", "t.km"),
    ("passenger.km", "p.km"),
    ("vehicle.km", "v.km"),
    ("vkm", "v.km"),
    ("room night", "room.night"),
    ("m\u{b2}", "m2"),
    ("sqm", "m2"),
    ("h", "hour"),
    ("hours", "hour"),
    ("FTE.h", "FTE.hour"),
    ("pieces", "piece"),
];
