//! Rows of the tables, and what the rules ask of any of them.

use std::collections::BTreeMap;
use std::sync::Arc;

use plumeline_pipelines::model::{
    CertificateRow, ContractRow, Fact, FactorRow, Gas, Id, MeterRow, Method, NodeRow, PriceRow,
    SeriesRow, Validity,
};

/// Where a row stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// Its file as it was named; or the name of its source.
    pub file: Arc<str>,
    /// The line in it.
    pub line: Option<usize>,
    /// What it belongs to.
    pub origin: Origin,
}

/// Who may say something about a key.
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Origin {
    /// The table's CSV file.
    File,
    /// The source of this number.
    Source(u16),
}

/// A row, and where it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Held<R> {
    /// The row.
    pub row: R,
    /// Where it stands.
    pub place: Place,
}

/// All rows of a table, by key, each once.
pub type Book<R> = BTreeMap<Id, Vec<Held<R>>>;

/// What distinguishes the lines of one version of a factor: scope, category, method, gas.
pub type Part = Option<(u8, u8, Method, Gas)>;

/// A row of any table.
pub trait TableRow: Ord + Clone {
    /// What its key is called: `meter`.
    const KEY: &'static str;

    /// What it is about.
    fn key(&self) -> Id;
    /// When it holds.
    fn validity(&self) -> Validity;
    /// The highest one wins where rows overlap.
    fn revision(&self) -> i64;
    /// Which line of its version it is.
    fn part(&self) -> Part;
    /// It, as a row of any table.
    fn fact(&self) -> Fact;
    /// It, out of a row of any table.
    fn of(fact: &Fact) -> Option<&Self>;
    /// Names of the columns in which `other` differs, but for key, revision and part.
    fn differences(&self, other: &Self) -> Vec<&'static str>;
}

macro_rules! table_row {
    ($row:ident, $fact:ident, $key:ident, $part:expr, [$($column:literal $field:ident),*]) => {
        impl TableRow for $row {
            const KEY: &'static str = stringify!($key);
            fn key(&self) -> Id {
                self.$key
            }
            fn validity(&self) -> Validity {
                self.validity
            }
            fn revision(&self) -> i64 {
                self.revision
            }
            fn part(&self) -> Part {
                let part: fn(&Self) -> Part = $part;
                part(self)
            }
            fn fact(&self) -> Fact {
                Fact::$fact(self.clone())
            }
            fn of(fact: &Fact) -> Option<&Self> {
                if let Fact::$fact(row) = fact { Some(row) } else { None }
            }
            fn differences(&self, other: &Self) -> Vec<&'static str> {
                let mut columns = Vec::new();
                $( if self.$field != other.$field { columns.push($column); } )*
                if self.validity.from_ms != other.validity.from_ms { columns.push("valid_from"); }
                if self.validity.to_ms != other.validity.to_ms { columns.push("valid_to"); }
                columns
            }
        }
    };
}

table_row!(MeterRow, Meter, meter, |_| None, [
    "node" node, "kind" kind, "unit" unit, "multiplier" multiplier, "stamp" stamp,
    "interval" interval_ms, "max_hold" max_hold_ms, "modulus" modulus, "max_power" max_power,
    "expected_every" expected_every_ms, "factor" factor
]);
table_row!(FactorRow, Factor, factor, |row| Some((row.scope, row.category, row.method, row.gas)), [
    "kg_per_unit" kg_per_unit, "unit" unit, "published_gwp" published_gwp, "status" status,
    "change" change, "source" source
]);
table_row!(SeriesRow, Series, factor, |_| None, [
    "series" kind, "vintage" vintage, "year_begins" year_begins, "total" total,
    "fallback" fallback
]);
table_row!(PriceRow, Price, price, |_| None, ["rate" rate, "per" per, "source" source]);
table_row!(NodeRow, Node, node, |_| None, ["parent" parent, "name" name]);

table_row!(ContractRow, Contract, contract, |_| None, [
    "node" node, "covers" covers, "factor" factor, "supply" supply, "priority" priority,
    "zone" zone, "matching" matching, "evidence" evidence
]);
table_row!(CertificateRow, Certificate, certificate, |_| None, [
    "contract" contract, "zone" zone, "device" device, "wh" wh, "issued_wh" issued_wh,
    "retired" retired
]);

/// Whether `a` and `b` are the same line of the same version, whatever they say.
#[must_use]
pub(super) fn is_same_line<R: TableRow>(a: &R, b: &R) -> bool {
    (a.key(), a.revision(), a.part()) == (b.key(), b.revision(), b.part())
}

/// A row that stands in `file`, for tests.
#[cfg(test)]
pub(super) fn held_in<R>(file: &str, line: usize, origin: Origin, row: R) -> Held<R> {
    Held { row, place: Place { file: file.into(), line: Some(line), origin } }
}
