//! What `activity` says about a cut in its commit: where it begins and ends, and the digests of all balances.
//!
//! ```json
//! {"lo": 0, "hi": 14134214400000007, "readings": "all",
//!  "digests": {"activity": {"all": "...", "live": "..."}, "emissions": ..., "footprints": ...}}
//! ```
//!
//! `readings` is `all` where every reading that counts is in the tables, and `some` for ever once a cut was written
//! without them: then nothing can be computed from them. `lo` is the cut before it: a chain without gaps. `all` covers every balance, `live` those of periods that
//! the cut's horizon has not passed, which a restart computes anew and compares.

use std::collections::BTreeMap;

use plumeline_pipelines::digest::{Digest, Table};
use plumeline_pipelines::model::Tick;
use serde_json::{Value, json};

/// All readings are in the tables.
const ALL: &str = "all";
/// Not all of them are.
const SOME: &str = "some";

/// The digests of one table's balances at a cut.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub struct TableDigest {
    /// Of all of them.
    pub all: Digest,
    /// Of those that the horizon has not passed.
    pub live: Digest,
}

/// The bounds of a cut and the digests at its end.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Proof {
    /// The cut before it; `None` for the first.
    pub lower: Option<Tick>,
    /// The cut.
    pub upper: Tick,
    /// Whether some cut was written without its readings.
    pub lacks_readings: bool,
    /// The digests, where the writer told any.
    pub digests: BTreeMap<Table, TableDigest>,
}

impl Proof {
    /// As the commit carries it.
    pub(super) fn to_json(&self) -> String {
        let digests: BTreeMap<_, _> = self
            .digests
            .iter()
            .map(|(table, TableDigest { all, live })| {
                (table.name(), json!({ "all": all.to_string(), "live": live.to_string() }))
            })
            .collect();
        let lower = self.lower.map_or(0, |tick| tick.0);
        let readings = if self.lacks_readings { SOME } else { ALL };
        json!({ "lo": lower, "hi": self.upper.0, "readings": readings, "digests": digests })
            .to_string()
    }

    /// What a commit carries; `None` if it cannot be read.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let value: Value = serde_json::from_str(text).ok()?;
        let tick = |key: &str| value.get(key)?.as_u64().map(Tick);
        let mut digests = BTreeMap::new();
        for table in Table::ALL {
            if let Some(told) = value.get("digests")?.get(table.name()) {
                let digest = |key: &str| told.get(key)?.as_str().and_then(Digest::parse);
                digests.insert(table, TableDigest { all: digest("all")?, live: digest("live")? });
            }
        }
        let lower = tick("lo")?;
        let lower = (lower != Tick::ZERO).then_some(lower);
        let lacks_readings = value.get("readings").and_then(Value::as_str) == Some(SOME);
        Some(Self { lower, upper: tick("hi")?, lacks_readings, digests })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_read_as_it_was_written() {
        let digest = |n| Digest::parse(&format!("{n:032x}")).unwrap();
        let table = TableDigest { all: digest(17), live: digest(4) };
        let digests = Table::ALL.map(|name| (name, table)).into();
        for lower in [None, Some(Tick(15))] {
            let digests = BTreeMap::clone(&digests);
            let proof = Proof { lower, upper: Tick(23), lacks_readings: lower.is_none(), digests };
            assert_eq!(Proof::parse(&proof.to_json()), Some(proof));
        }
        let none = Proof { upper: Tick(23), ..Proof::default() };
        assert_eq!(Proof::parse(&none.to_json()), Some(none));
        assert_eq!(Proof::parse("{}"), None);
    }
}
