//! What a journal was written under.

use std::path::Path;

use plumeline_pipelines::model::Policy;
use plumeline_pipelines::model::time::HOUR_MS;

use super::db::Db;
use super::{FILE, JournalError};

/// What the program means by its rules: to be raised whenever the same input would book something else.
pub const SEMANTICS_VERSION: u32 = 1;

pub(super) const SEMANTICS: &str = "semantics_version";
pub(super) const GWP: &str = "gwp";
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
        let Some(db) = Db::open_begun(&folder.join(FILE))? else { return Ok(None) };
        Ok(db.meta(SEMANTICS)?.zip(db.meta(GWP)?).map(|(semantics, gwp)| Self { semantics, gwp }))
    }
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
        ("retain", format!("{} ms", policy.retain_ms)),
        (GWP, policy.gwp.name().to_owned()),
        (FOOTPRINTS, footprints),
    ]
}
