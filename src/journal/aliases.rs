//! Other names of meters, as the journal remembers them, and what it holds under such a name.
//!
//! ```text
//! meta:   aliases = {"meters": {"m-100": "m-1"}, "again": {"names": ["m-100"], "after": 7, "until": 90}}
//! frames: 1 ... 7 │ 8 ... 90 │ 91 ...
//!         taken   │ to be    │ came later, and as the meter's
//!         in again│ looked at│
//! ```
//!
//! 1. Which names are known is in the same transaction as what is learned with them. *After a crash a name is known
//!    with all that follows from it, or is new again.*
//! 2. How far the frames were looked at is in the same transaction as the readings that were found there. *So a restart
//!    goes on behind them: none is lost, and none is found twice.*
//! 3. A frame that names none of these meters is not decoded further than its dictionary. *Most are from before a
//!    meter was renamed.*

use std::collections::{BTreeMap, BTreeSet};

use plumeline_pipelines::model::{Id, Names, Reading, Record};
use serde::{Deserialize, Serialize};

use super::codec::Torn;
use super::db::Db;
use super::{Frame, Journal, JournalError, Naming, Reader};

/// Other names of meters, in `meta`.
pub(super) const ALIASES: &str = "aliases";
/// Frames that are looked at in one step: with those of an import, about a million readings.
const STEP_FRAMES: usize = 64;

/// Other names of meters.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Aliases {
    /// By such a name, the meter.
    pub meters: BTreeMap<Id, Id>,
    /// What is being taken in again since some of them became known.
    pub again: Option<Again>,
}

/// Readings that came before their name was known to be a meter's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Again {
    /// The names they came under.
    pub names: BTreeSet<Id>,
    /// The number of the last frame that was looked at.
    pub after: i64,
    /// The number of the last frame in which there may be any.
    pub until: i64,
}

/// As it is stored, names written out.
#[derive(Serialize, Deserialize)]
struct Text {
    meters: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    again: Option<AgainText>,
}

#[derive(Serialize, Deserialize)]
struct AgainText {
    names: BTreeSet<String>,
    after: i64,
    until: i64,
}

impl Aliases {
    /// As it is stored.
    ///
    /// # Panics
    /// Never: all of it can be written as JSON.
    pub(super) fn write(&self, names: &Names) -> String {
        let name = |id: &Id| names.name(*id).to_string();
        let meters = self.meters.iter().map(|(alias, meter)| (name(alias), name(meter)));
        let again = self.again.as_ref().map(|again| AgainText {
            names: again.names.iter().map(name).collect(),
            after: again.after,
            until: again.until,
        });
        let text = Text { meters: meters.collect(), again };
        serde_json::to_string(&text).expect("names and numbers are JSON")
    }

    fn read(text: &str, names: &Names) -> Result<Self, Torn> {
        let Text { meters, again } = serde_json::from_str(text)
            .map_err(|_| Torn("the other names of meters are not readable"))?;
        let id = |name: &String| names.intern(name);
        let again = again.map(|AgainText { names, after, until }| Again {
            names: names.iter().map(id).collect(),
            after,
            until,
        });
        let meters = meters.iter().map(|(alias, meter)| (id(alias), id(meter)));
        Ok(Self { meters: meters.collect(), again })
    }

    fn of(db: &Db, names: &Names) -> Result<Self, JournalError> {
        let Some(text) = db.meta(ALIASES)? else { return Ok(Self::default()) };
        Ok(Self::read(&text, names)?)
    }
}

impl Journal {
    /// The other names of meters that are known.
    ///
    /// # Errors
    /// If the journal cannot be read.
    pub fn aliases(&self) -> Result<Aliases, JournalError> {
        Aliases::of(&self.db(), &self.names)
    }
}

impl Reader {
    /// The other names of meters that are known.
    ///
    /// # Errors
    /// If the journal cannot be read.
    pub fn aliases(&self) -> Result<Aliases, JournalError> {
        Aliases::of(&self.db, &self.names)
    }

    /// The number of the newest frame; `None` if there is none.
    ///
    /// # Errors
    /// If the journal cannot be read.
    pub fn newest_frame(&self) -> Result<Option<i64>, JournalError> {
        self.db.newest_frame()
    }

    /// A step of `again`: readings of instants after `horizon_ms`, in the order in which they came; whether that was
    /// the last. It ends early once it has found `readings_max` of them.
    ///
    /// # Errors
    /// If the journal cannot be read.
    pub fn again(
        &self,
        again: &mut Again,
        horizon_ms: i64,
        readings_max: usize,
    ) -> Result<(Vec<Reading>, bool), JournalError> {
        let Again { names, after, until } = again;
        let texts: BTreeSet<_> = names.iter().map(|id| self.names.name(*id)).collect();
        let is_wanted = |text: &[u8]| std::str::from_utf8(text).is_ok_and(|t| texts.contains(t));
        let of_names = |record: Record| match record {
            Record::Reading(reading) if names.contains(&reading.meter) => Some(reading),
            Record::Reading(_) | Record::Activity(_) => None,
        };
        let (mut found, mut frames, sources) = (Vec::new(), 0, self.sources.all());
        let naming = Naming { names: &self.names, sources: &sources };
        let left = (*after, *until);
        let mut look = |number, body: &[u8]| {
            (*after, frames) = (number, frames + 1);
            if let Some(frame) = Frame::decode_if(body, naming, &is_wanted)? {
                let readings = frame.records.into_iter().filter_map(of_names);
                found.extend(readings.filter(|reading| reading.at_ms > horizon_ms));
            }
            Ok(frames < STEP_FRAMES && found.len() < readings_max)
        };
        let is_last = self.db.each_frame(left, horizon_ms, &mut look)?;
        Ok((found, is_last))
    }
}

#[cfg(test)]
#[path = "aliases_tests.rs"]
mod tests;
