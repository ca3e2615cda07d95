//! How much of a table an edit touches: an accident with a spreadsheet must not restate a year by itself.

use std::collections::BTreeSet;
use std::fmt;

use plumeline_pipelines::model::{Fact, Id};

use super::{Applied, FactStore, TABLES, Table, table_name};

/// Keys that any edit may touch, whatever their share: small tables are edited by hand.
const KEYS_FREE: usize = 10;

/// What an edit does to a table.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct Reach {
    /// The table.
    pub table: Table,
    /// Keys that it knew before: meters, factors, nodes.
    pub keys: usize,
    /// Of these, keys of which it says something else, or nothing more.
    pub touched: usize,
    /// Keys that are new.
    pub new: usize,
    /// Rows that are new.
    pub rows: usize,
    /// Rows that are taken back.
    pub taken_back: usize,
}

impl Reach {
    /// What `applied` does to each table of `store`, which does not know it yet; tables it leaves alone are left out.
    /// *Another name of a meter moves readings to it, which nothing takes back: it touches its key.*
    #[must_use]
    pub fn of(store: &FactStore, applied: &Applied) -> Vec<Self> {
        let Applied { changes, aliases, .. } = applied;
        let reach = |table: Table| {
            let of_table = || changes.iter().filter(move |change| table_of(&change.fact) == table);
            let mut ids: BTreeSet<_> = of_table().map(|change| key_of(&change.fact)).collect();
            if table == Table::Meters {
                ids.extend(aliases.iter().map(|change| change.meter));
            }
            let touched = ids.iter().filter(|id| store.books().has_key(table, **id)).count();
            let keys = store.books().keys(table);
            let taken_back = of_table().filter(|change| change.withdrawn).count();
            let rows = of_table().count() - taken_back;
            let new = ids.len() - touched;
            (!ids.is_empty()).then_some(Self { table, keys, touched, new, rows, taken_back })
        };
        TABLES.into_iter().filter_map(reach).collect()
    }

    /// Whether it touches more than `max_percent` of the keys there were, and more than a few.
    #[must_use]
    pub fn is_beyond(&self, max_percent: u64) -> bool {
        let (touched, keys) = (self.touched as u128, self.keys as u128);
        self.touched > KEYS_FREE && touched * 100 > u128::from(max_percent) * keys
    }
}

impl fmt::Display for Reach {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { table, keys, touched, new, rows, taken_back } = self;
        let table = table_name(*table);
        write!(
            f,
            "{table}: {touched} of {keys} keys touched, {new} new; {rows} rows added, {taken_back} taken back"
        )
    }
}

/// The table of a fact.
#[must_use]
pub fn table_of(fact: &Fact) -> Table {
    match fact {
        Fact::Meter(_) => Table::Meters,
        Fact::Factor(_) => Table::Factors,
        Fact::Series(_) => Table::Series,
        Fact::Node(_) => Table::Nodes,
        Fact::Contract(_) => Table::Contracts,
        Fact::Certificate(_) => Table::Certificates,
        Fact::Price(_) => Table::Prices,
    }
}

/// The key of a fact.
#[must_use]
pub fn key_of(fact: &Fact) -> Id {
    match fact {
        Fact::Meter(row) => row.meter,
        Fact::Factor(row) => row.factor,
        Fact::Series(row) => row.factor,
        Fact::Node(row) => row.node,
        Fact::Contract(row) => row.contract,
        Fact::Certificate(row) => row.certificate,
        Fact::Price(row) => row.price,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_few_keys_are_free_and_a_share_of_many_is() {
        let reach = |touched, keys| Reach {
            table: Table::Meters,
            keys,
            touched,
            new: 1000,
            rows: 0,
            taken_back: 0,
        };
        assert!(!reach(10, 10).is_beyond(10), "all of ten");
        assert!(reach(11, 11).is_beyond(10));
        assert!(!reach(100, 1000).is_beyond(10), "just a tenth");
        assert!(reach(101, 1000).is_beyond(10));
        assert!(!reach(1000, 1000).is_beyond(100));
        assert!(reach(11, 1_000_000).is_beyond(0));
    }
}
