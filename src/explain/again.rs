//! The selection computed again, and compared with what is booked, to the last bit.
//!
//! What is compared is every balance of the selection: of `footprints` at the node, and of `activity` and `emissions` of
//! all that can be below it. The reference is the one of `plumeline verify`, and is given readings, activities, facts
//! and restatements of these alone; see [`super::booked`].
//!
//! A number that agrees may still have been wrong in between: that, `plumeline verify` tells.

use std::fmt;

use plumeline_pipelines::audit::Entries;
use plumeline_pipelines::model::Names;

use super::booked::Booked;
use super::known::Known;
use super::select::Selection;
use crate::verify::{Books, shown};

/// How it went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Again {
    /// Every balance is what was computed.
    Same {
        /// Balances that are not nothing.
        balances: usize,
        /// Readings and activities that they were computed from.
        records: usize,
    },
    /// The first that is not, and what both say.
    Differs(String),
    /// It cannot be computed, and why.
    Impossible(String),
}

impl Again {
    /// Whether the ledger says something else.
    #[must_use]
    pub fn is_different(&self) -> bool {
        matches!(self, Self::Differs(_))
    }

    /// Whether all of it is proven.
    #[must_use]
    pub fn is_same(&self) -> bool {
        matches!(self, Self::Same { .. })
    }

    /// `same`, `differs`, `impossible`.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Same { .. } => "same",
            Self::Differs(_) => "differs",
            Self::Impossible(_) => "impossible",
        }
    }
}

impl fmt::Display for Again {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Same { balances, records } => write!(
                f,
                "re-performed: equal to the last bit: {balances} balances, computed again from {records} readings and \
                 activities and the facts of the lake alone"
            ),
            Self::Differs(what) => {
                write!(f, "re-performed: it is not what its readings lead to: {what}")
            }
            Self::Impossible(why) => write!(
                f,
                "not re-performed: {why}: what its readings were is not known, and the number cannot be computed again"
            ),
        }
    }
}

pub(super) fn compare(
    booked: &Booked,
    selection: &Selection,
    known: &Known,
    names: &Names,
) -> Again {
    let Some(expected) = &booked.expected else {
        return Again::Impossible(known.lacks_readings.unwrap_or_default().to_owned());
    };
    let mut found = Entries::default();
    booked.activity.iter().for_each(|(key, sum)| found.add_activity(*key, sum));
    booked.emissions.iter().for_each(|(key, sum)| found.add_emission(*key, sum));
    booked.footprints.iter().for_each(|(key, sum)| found.add_footprint(*key, sum));
    let books = Books { names, period_ms: selection.policy.period_ms };
    let what = format!("as known at {}", shown(known.until.ms()));
    match books.difference(&what, &found, expected) {
        Some(difference) => Again::Differs(difference),
        None => Again::Same {
            balances: found.activity.len() + found.emissions.len() + found.footprints.len(),
            records: booked.records,
        },
    }
}
