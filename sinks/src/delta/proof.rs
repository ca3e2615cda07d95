//! What `activity` says about a cut in its commit: where it begins and ends, and the digests of all balances.
//!
//! ```json
//! {"lo": 0, "hi": 14134214400000007, "readings": "all",
//!  "digests": {"activity": {"all": "...", "live": "..."}, "emissions": ..., "footprints": ...},
//!  "resume": {"v": 1, "rules": {"period": "900000 ms"}, "positions": {"erp": {"activities/0": "17"}}}}
//! ```
//!
//! `readings` is `all` where every reading that counts is in the tables, and `some` for ever once a cut was written
//! without them: then nothing can be computed from them. `lo` is the cut before it: a chain without gaps. `all` covers every balance, `live` those of periods that
//! the cut's horizon has not passed, which a restart computes anew and compares. `resume` is what no table says and
//! whoever rebuilds a lost journal has to know ([`Resume`]): some tens of bytes a source, or a Kafka partition.

use std::collections::BTreeMap;

use plumeline_pipelines::digest::{Digest, Table};
use plumeline_pipelines::model::Tick;
use serde_json::{Value, json};

/// All readings are in the tables.
const ALL: &str = "all";
/// Not all of them are.
const SOME: &str = "some";
/// Version of what `resume` holds.
const RESUME_VERSION: u64 = 1;

/// Where sources are read on, by source and stream, in the source's own words.
pub type Positions = BTreeMap<String, BTreeMap<String, String>>;

/// What whoever rebuilds a lost journal has to know of a cut, and finds in no table.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Resume {
    /// Where sources are read on: all that lies before is in the cut, or in one before it.
    pub positions: Positions,
    /// What decided results, in the journal's words.
    pub rules: BTreeMap<String, String>,
}

impl Resume {
    fn to_json(&self) -> Value {
        json!({ "v": RESUME_VERSION, "positions": self.positions, "rules": self.rules })
    }

    /// `None` if it is of a later version, or none.
    fn parse(value: &Value) -> Option<Self> {
        let is_known = value.get("v")?.as_u64() == Some(RESUME_VERSION);
        let of = |key: &str| value.get(key).cloned().unwrap_or_default();
        let positions = serde_json::from_value(of("positions")).ok()?;
        let rules = serde_json::from_value(of("rules")).ok()?;
        is_known.then_some(Self { positions, rules })
    }
}

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
    /// What it takes to go on without a journal, where the writer told it.
    pub resume: Option<Resume>,
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
        let mut told =
            json!({ "lo": lower, "hi": self.upper.0, "readings": readings, "digests": digests });
        if let Some(resume) = &self.resume {
            told["resume"] = resume.to_json();
        }
        told.to_string()
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
        let resume = value.get("resume").and_then(Resume::parse);
        Some(Self { lower, upper: tick("hi")?, lacks_readings, digests, resume })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resume() -> Resume {
        let of = |key: &str, value: &str| (key.to_owned(), value.to_owned());
        let positions = [("erp".to_owned(), [of("activities/0", "17")].into())].into();
        Resume { positions, rules: [of("period", "900000 ms")].into() }
    }

    #[test]
    fn what_a_later_version_says_of_going_on_is_not_believed() {
        let mut told = resume().to_json();
        assert_eq!(Resume::parse(&told), Some(resume()));
        told["v"] = json!(2);
        assert_eq!(Resume::parse(&told), None);
    }

    #[test]
    fn it_is_read_as_it_was_written() {
        let digest = |n| Digest::parse(&format!("{n:032x}")).unwrap();
        let table = TableDigest { all: digest(17), live: digest(4) };
        let digests = Table::ALL.map(|name| (name, table)).into();
        for lower in [None, Some(Tick(15))] {
            let digests = BTreeMap::clone(&digests);
            let lacks_readings = lower.is_none();
            let resume = lower.map(|_| resume());
            let proof = Proof { lower, upper: Tick(23), lacks_readings, digests, resume };
            assert_eq!(Proof::parse(&proof.to_json()), Some(proof));
        }
        let none = Proof { upper: Tick(23), ..Proof::default() };
        assert_eq!(Proof::parse(&none.to_json()), Some(none));
        assert_eq!(Proof::parse("{}"), None);
    }
}
