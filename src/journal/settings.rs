//! What a journal was written under.

use std::collections::BTreeMap;
use std::path::Path;

pub use plumeline_pipelines::lineage::SEMANTICS_VERSION;
use plumeline_pipelines::model::time::HOUR_MS;
use plumeline_pipelines::model::{Policy, Retain};
use plumeline_sinks::delta::Proof;

use super::db::Db;
use super::{FILE, JournalError};

pub(super) const SEMANTICS: &str = "semantics_version";
pub(super) const GWP: &str = "gwp";
/// The setting that says how far back results move, and since when.
pub(super) const RETAIN: &str = "retain";
/// The setting that says what footprints are kept by.
pub(super) const FOOTPRINTS: &str = "footprints";
/// Its value wherever no month begins within an hour.
pub(super) const WHOLE_HOURS: &str = "by whole hours";

/// What decides results and may change, once all that was booked is restated: see [`crate::upgrade`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Method {
    /// `semantics_version`.
    pub semantics: String,
    /// `gwp`.
    pub gwp: String,
}

impl Method {
    /// That of this program under `policy`.
    #[must_use]
    pub fn of(policy: &Policy) -> Self {
        Self { semantics: SEMANTICS_VERSION.to_string(), gwp: policy.gwp.name().to_owned() }
    }

    /// That of the journal in `folder`; `None` if there is none yet.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn written(folder: &Path) -> Result<Option<Self>, JournalError> {
        let Some(db) = Db::open_if_there(&folder.join(FILE))? else { return Ok(None) };
        Ok(db.meta(SEMANTICS)?.zip(db.meta(GWP)?).map(|(semantics, gwp)| Self { semantics, gwp }))
    }
}

/// Has `policy` go on from what a journal was written under: a longer `retain` counts from what is journaled on, and
/// the one before it until then. Says whether it can.
pub(super) fn go_on(db: &Db, policy: &mut Policy) -> Result<bool, JournalError> {
    let Some(was) = db.meta(RETAIN)?.and_then(|text| Retain::parse(&text)) else {
        return Ok(false);
    };
    let until_ms = db.newest_ms()?.max(db.newest_cut_ms()?).unwrap_or(0);
    let grown = was.grown(until_ms, policy.retain.ms());
    if let Some(grown) = &grown {
        policy.retain = grown.clone();
    }
    Ok(grown.is_some())
}

/// `policy` as it was over time up to a commit that says so: what it means for whatever looks at nothing later.
#[must_use]
pub fn as_committed(policy: &Policy, proof: Option<&Proof>) -> Policy {
    let resume = proof.and_then(|proof| proof.resume.as_ref());
    let was = resume.and_then(|resume| written(&resume.rules));
    Policy { retain: was.unwrap_or_else(|| policy.retain.clone()), ..policy.clone() }
}

/// [`settings()`], as commits tell them.
#[must_use]
pub fn rules(name: &str, policy: &Policy) -> BTreeMap<String, String> {
    settings(name, policy).into_iter().map(|(key, value)| (key.to_owned(), value)).collect()
}

/// Has `policy` go on from what was written under `rules`; what they do not say is as it may be.
///
/// # Errors
/// The first that is another.
pub fn go_on_under(
    name: &str,
    policy: &mut Policy,
    rules: &BTreeMap<String, String>,
) -> Result<(), JournalError> {
    // A longer one counts once the pipeline runs.
    if let Some(was) = written(rules).filter(|was| was.ms() <= policy.retain.ms()) {
        policy.retain = was;
    }
    for (key, is) in settings(name, policy) {
        if let Some(was) = rules.get(key).filter(|was| **was != is).cloned() {
            return Err(JournalError::Setting { key, was, is });
        }
    }
    Ok(())
}

fn written(rules: &BTreeMap<String, String>) -> Option<Retain> {
    rules.get(RETAIN).and_then(|text| Retain::parse(text))
}

/// What decides results: a journal goes on only under the same.
pub(super) fn settings(name: &str, policy: &Policy) -> [(&'static str, String); 7] {
    let calendar = &policy.calendar;
    let footprints = if calendar.splits_hours() && policy.period_ms < HOUR_MS {
        format!("by hours that are split where months of {} begin", calendar.zone())
    } else {
        WHOLE_HOURS.to_owned()
    };
    [
        ("name", name.to_owned()),
        (SEMANTICS, SEMANTICS_VERSION.to_string()),
        ("period", format!("{} ms", policy.period_ms)),
        ("grace", format!("{} ms", policy.grace_ms)),
        (RETAIN, policy.retain.to_string()),
        (GWP, policy.gwp.name().to_owned()),
        (FOOTPRINTS, footprints),
    ]
}
