//! What a decoder has looked up before: the tables of names and units are shared and behind a lock, or
//! searched from the start; a source says the same few words millions of times.

use std::sync::Arc;

use plumeline_pipelines::model::{Id, Names, Unit, UnitError};

/// Names kept; when there are more, it starts over. They are shared with the table: 40 bytes each here.
const NAMES_MAX: usize = 1 << 20;
/// Spellings of units kept.
const UNITS_MAX: usize = 64;

/// Ids of names.
#[derive(Debug)]
#[expect(clippy::disallowed_types, reason = "looked up by name only, never iterated")]
pub(super) struct Ids {
    names: Arc<Names>,
    seen: std::collections::HashMap<Arc<str>, Id>,
}

impl Ids {
    pub(super) fn new(names: Arc<Names>) -> Self {
        Self { names, seen: std::iter::empty().collect() }
    }

    /// The id of `name`, which is a name from now on.
    pub(super) fn of(&mut self, name: &str) -> Id {
        if let Some(&id) = self.seen.get(name) {
            return id;
        }
        let id = self.names.intern(name);
        if self.seen.len() >= NAMES_MAX {
            self.seen.clear();
        }
        self.seen.insert(self.names.name(id), id);
        id
    }
}

/// Units by their spelling, the last found first.
#[derive(Debug, Default)]
pub(super) struct Units(Vec<(Box<str>, Unit)>);

impl Units {
    /// The unit written as `symbol`.
    pub(super) fn parse(&mut self, symbol: &str) -> Result<Unit, UnitError> {
        if let Some(at) = self.0.iter().position(|(known, _)| **known == *symbol) {
            if at > 0 {
                self.0.swap(at, at - 1);
            }
            return Ok(self.0[at.saturating_sub(1)].1);
        }
        let unit = Unit::parse(symbol)?;
        if self.0.len() < UNITS_MAX {
            self.0.push((symbol.into(), unit));
        }
        Ok(unit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_is_what_was_found() {
        let names = Arc::new(Names::new());
        let mut ids = Ids::new(Arc::clone(&names));
        assert_eq!((ids.of("m-1"), ids.of("m-2"), ids.of("m-1")), (Id(1), Id(2), Id(1)));
        let mut units = Units::default();
        for symbol in ["kWh", "kwh", "m3", "kWh", "m3", "m3", "kwh", "kW"] {
            assert_eq!(units.parse(symbol), Unit::parse(symbol), "{symbol}");
        }
        assert!(units.parse("kw/h").is_err());
    }
}
