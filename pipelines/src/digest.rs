//! Digests of balances: two ledgers that agree in 128 bits agree in every balance.
//!
//! ```text
//! entry (key, change) ──▶ hash(key) x change, mod 2^128 ──▶ summed by table and day of the period
//! ```
//!
//! 1. **Additive.** The digest of a set of entries is the sum of theirs, so it is the digest of the balances
//!    they add up to: whatever the order, the cuts, the batching, the workers, and whether a balance came
//!    about by one entry or by ten. *So a restart can compute it anew from what it has restored.*
//! 2. **Of names, not of their numbers**: ids differ from run to run.
//! 3. **By day of the period (UTC)**, since the horizon moves in whole days: what lies behind it is not
//!    restored, and its digest has to be told apart. *Otherwise no restart could check anything.*
//!
//! It covers the columns that balances are: `amount` and `covered_ms`; `mass_kg` (but for gas `co2e`, where it
//! is null) and `co2e_kg`. Not `recorded_at`, nor `reason`: they say how a balance came about.
//!
//! The hash is XXH3-128 over the key's fields: it finds mistakes and damage, not forgery by somebody who may
//! write both ledger and log.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::{Add, AddAssign, Sub};
use std::sync::Arc;

use twox_hash::XxHash3_128;

use crate::model::time::day_start;
use crate::model::{
    ActivityKey, Emission, EmissionKey, FootprintKey, Gas, Id, Measure, Names, Policy,
};

/// A table of the ledger.
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Table {
    /// `activity`.
    Activity,
    /// `emissions`.
    Emissions,
    /// `footprints`.
    Footprints,
}

impl Table {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Activity, Self::Emissions, Self::Footprints];

    /// Its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Activity => "activity",
            Self::Emissions => "emissions",
            Self::Footprints => "footprints",
        }
    }
}

/// The digest of some balances: a number mod 2^128; 0 is that of none. Written as 32 hexadecimal digits.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest(u128);

impl Digest {
    /// The digest written as `text`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let is_whole = text.len() == 32 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        u128::from_str_radix(text, 16).ok().filter(|_| is_whole).map(Self)
    }

    fn of(hash: u128, changes: [i128; 2]) -> Self {
        // The two columns of a key have hashes of their own: an odd factor apart.
        let second = hash.wrapping_mul(SECOND);
        let [a, b] = changes.map(i128::cast_unsigned);
        Self(hash.wrapping_mul(a).wrapping_add(second.wrapping_mul(b)))
    }
}

/// 2^128 divided by the golden ratio, odd.
const SECOND: u128 = 0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835;

impl Add for Digest {
    type Output = Self;
    fn add(self, other: Self) -> Self {
        Self(self.0.wrapping_add(other.0))
    }
}

impl Sub for Digest {
    type Output = Self;
    fn sub(self, other: Self) -> Self {
        Self(self.0.wrapping_sub(other.0))
    }
}

impl AddAssign for Digest {
    fn add_assign(&mut self, other: Self) {
        *self = *self + other;
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

/// Digests by table and day.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Digests(BTreeMap<(Table, i64), Digest>);

impl Digests {
    /// Adds to the digest of the day that starts at `day_ms`.
    pub fn add(&mut self, table: Table, day_ms: i64, digest: Digest) {
        *self.0.entry((table, day_ms)).or_default() += digest;
    }

    /// Adds all of `other`.
    pub fn merge(&mut self, other: &Self) {
        for (&(table, day_ms), &digest) in &other.0 {
            self.add(table, day_ms, digest);
        }
    }

    /// Takes all of `other` off.
    pub fn take_off(&mut self, other: &Self) {
        for (&(table, day_ms), &digest) in &other.0 {
            self.add(table, day_ms, Digest::default() - digest);
        }
    }

    /// The digest of a table over all days from `from_ms` on.
    #[must_use]
    pub fn since(&self, table: Table, from_ms: i64) -> Digest {
        let days = self.0.range((table, from_ms)..=(table, i64::MAX));
        days.fold(Digest::default(), |sum, (_, &digest)| sum + digest)
    }

    /// The digest of a table over all days.
    #[must_use]
    pub fn all(&self, table: Table) -> Digest {
        self.since(table, i64::MIN)
    }

    /// Lets go of days before `from_ms`.
    pub fn forget_before(&mut self, from_ms: i64) {
        self.0.retain(|(_, day_ms), _| *day_ms >= from_ms);
    }
}

/// Computes digests of entries. Keeps a hash a name.
#[derive(Debug)]
pub struct Digester {
    names: Arc<Names>,
    period_ms: i64,
    /// By id.
    hashes: Vec<Option<u128>>,
    key: Vec<u8>,
    digests: Digests,
}

impl Digester {
    /// For entries whose ids are those of `names`, and whose periods are those of `policy`.
    #[must_use]
    pub fn new(names: Arc<Names>, policy: &Policy) -> Self {
        let (period_ms, digests) = (policy.period_ms, Digests::default());
        Self { names, period_ms, hashes: Vec::new(), key: Vec::new(), digests }
    }

    /// What was added since the last call.
    pub fn take(&mut self) -> Digests {
        std::mem::take(&mut self.digests)
    }

    /// Adds an entry of `activity`.
    pub fn activity(&mut self, key: &ActivityKey, change: &Measure) {
        let day_ms = self.begin(Table::Activity, key);
        self.add(Table::Activity, day_ms, [change.amount.get(), change.covered_ms.into()]);
    }

    /// Adds an entry of `emissions`.
    pub fn emission(&mut self, key: &EmissionKey, change: &Emission) {
        let day_ms = self.begin(Table::Emissions, &key.activity);
        let line = key.line;
        self.name(key.activity.factor);
        self.key.extend_from_slice(&[line.scope, line.category]);
        self.text(line.method.name());
        self.text(line.gas.name());
        self.number(line.revision);
        self.number(line.rate);
        self.add(Table::Emissions, day_ms, masses(line.gas, change));
    }

    /// Adds an entry of `footprints`.
    pub fn footprint(&mut self, key: &FootprintKey, change: &Emission) {
        self.key.clear();
        self.key.push(tag(Table::Footprints));
        self.number(key.start_ms);
        self.number(key.end_ms);
        self.name(key.node);
        self.key.extend_from_slice(&[key.depth, key.scope, key.category]);
        self.text(key.method.name());
        self.text(key.gas.name());
        self.add(Table::Footprints, day_start(key.start_ms), masses(key.gas, change));
    }

    /// Begins a key with what `activity` and `emissions` share; says its day.
    fn begin(&mut self, table: Table, key: &ActivityKey) -> i64 {
        let start_ms = key.period.start_ms(self.period_ms);
        self.key.clear();
        self.key.push(tag(table));
        self.number(start_ms);
        self.number(key.period.end_ms(self.period_ms));
        self.name(key.node);
        self.key.push(key.subject.rank());
        self.name(key.subject.id());
        self.text(key.unit.symbol());
        day_start(start_ms)
    }

    fn add(&mut self, table: Table, day_ms: i64, changes: [i128; 2]) {
        let digest = Digest::of(XxHash3_128::oneshot(&self.key), changes);
        self.digests.add(table, day_ms, digest);
    }

    fn number(&mut self, number: i64) {
        self.key.extend_from_slice(&number.to_le_bytes());
    }

    /// A short text after its length, so that no two keys are the same bytes.
    fn text(&mut self, text: &str) {
        self.key.push(u8::try_from(text.len()).expect("names of units and gases are short"));
        self.key.extend_from_slice(text.as_bytes());
    }

    fn name(&mut self, id: Id) {
        let slot = usize::try_from(id.0).expect("an id fits a usize");
        if slot >= self.hashes.len() {
            self.hashes.resize(slot + 1, None);
        }
        let names = &self.names;
        let hash = *self.hashes[slot]
            .get_or_insert_with(|| XxHash3_128::oneshot(names.name(id).as_bytes()));
        self.key.extend_from_slice(&hash.to_le_bytes());
    }
}

fn tag(table: Table) -> u8 {
    match table {
        Table::Activity => 1,
        Table::Emissions => 2,
        Table::Footprints => 3,
    }
}

/// The columns of an emission. A publisher that gives `CO2e` without a split leaves the mass unknown.
fn masses(gas: Gas, change: &Emission) -> [i128; 2] {
    let mass = if gas.has_mass() { change.mass.get() } else { 0 };
    [mass, change.co2e.get()]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Subject;
    use crate::model::time::DAY_MS;
    use crate::model::{Calendar, GwpSet, Line, Method, Period, Retain, Unit, Wide};

    fn policy() -> Policy {
        Policy {
            period_ms: 900_000,
            grace_ms: 0,
            retain: Retain::of(DAY_MS),
            samples_ms: DAY_MS,
            windows_ms: Vec::new(),
            calendar: Calendar::default(),
            gwp: GwpSet::Ar6,
        }
    }

    fn key(names: &Names, node: &str) -> EmissionKey {
        let activity = ActivityKey {
            period: Period::default(),
            node: names.intern(node),
            subject: Subject::Meter(names.intern("m-1")),
            unit: Unit::parse("kWh").expect("a unit"),
            factor: names.intern("grid"),
        };
        let line = Line {
            scope: 2,
            category: 0,
            method: Method::Location,
            gas: Gas::Co2,
            revision: 1,
            rate: 207_000_000_000,
        };
        EmissionKey { activity, line }
    }

    fn emission(mass: i128, co2e: i128) -> Emission {
        Emission { mass: Wide::new(mass), co2e: Wide::new(co2e), presence: 1 }
    }

    fn digest(names: &Arc<Names>, entries: &[(EmissionKey, Emission)]) -> Digest {
        let mut digester = Digester::new(Arc::clone(names), &policy());
        for (key, change) in entries {
            digester.emission(key, change);
        }
        digester.take().all(Table::Emissions)
    }

    #[test]
    fn only_balances_count_and_not_how_they_came_about() {
        let names = Arc::new(Names::new());
        let (a, b) = (key(&names, "a"), key(&names, "b"));
        let whole = digest(&names, &[(a, emission(7, 9)), (b, emission(1, 1))]);
        let parts =
            [(b, emission(3, 1)), (a, emission(5, 9)), (b, emission(-2, 0)), (a, emission(2, 0))];
        assert_eq!(whole, digest(&names, &parts));
        assert_eq!(
            digest(&names, &[(a, emission(4, 4)), (a, emission(-4, -4))]),
            Digest::default()
        );
    }

    #[test]
    fn every_field_and_column_counts() {
        let names = Arc::new(Names::new());
        let one = key(&names, "a");
        let mut seen = vec![digest(&names, &[(one, emission(7, 9))])];
        seen.push(digest(&names, &[(one, emission(9, 7))]));
        seen.push(digest(&names, &[(one, emission(7, 8))]));
        seen.push(digest(&names, &[(key(&names, "b"), emission(7, 9))]));
        let with = |change: fn(&mut EmissionKey)| {
            let mut other = one;
            change(&mut other);
            digest(&names, &[(other, emission(7, 9))])
        };
        seen.push(with(|key| key.line.scope = 3));
        seen.push(with(|key| key.line.category = 1));
        seen.push(with(|key| key.line.method = Method::Market));
        seen.push(with(|key| key.line.gas = Gas::Ch4));
        seen.push(with(|key| key.line.revision = 2));
        seen.push(with(|key| key.line.rate += 1));
        seen.push(with(|key| key.activity.period = Period(1)));
        seen.push(with(|key| key.activity.subject = Subject::Activity(key.activity.subject.id())));
        seen.push(with(|key| key.activity.unit = Unit::parse("kg").expect("a unit")));
        seen.push(with(|key| key.activity.factor = Id::NONE));
        let count = seen.len();
        seen.sort_unstable();
        seen.dedup();
        assert_eq!(seen.len(), count);
    }

    #[test]
    fn another_run_with_other_ids_computes_the_same() {
        let (here, there) = (Arc::new(Names::new()), Arc::new(Names::new()));
        there.intern("something else");
        let here = digest(&here, &[(key(&here, "a"), emission(7, 9))]);
        assert_eq!(here, digest(&there, &[(key(&there, "a"), emission(7, 9))]));
        // Written down: another version of the program must compute it, too.
        assert_eq!(here.to_string(), "c3f1ea52f4d6f4f019d4491ce207f570");
        assert_eq!(Digest::parse(&here.to_string()), Some(here));
        assert_eq!(Digest::parse("12"), None);
    }

    #[test]
    fn days_are_told_apart() {
        let mut digests = Digests::default();
        digests.add(Table::Activity, 0, Digest(1));
        digests.add(Table::Activity, DAY_MS, Digest(2));
        digests.add(Table::Emissions, DAY_MS, Digest(4));
        assert_eq!(digests.all(Table::Activity), Digest(3));
        assert_eq!(digests.since(Table::Activity, DAY_MS), Digest(2));
        digests.forget_before(DAY_MS);
        assert_eq!(digests.all(Table::Activity), Digest(2));
        assert_eq!(digests.all(Table::Emissions), Digest(4));
    }
}
