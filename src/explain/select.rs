//! What is asked for: from words to a node, periods and lines.
//!
//! 1. A date is its midnight in the pipeline's time zone, an instant without an offset is a civil one there, and one
//!    with an offset is what it is. *A civil hour that a clock change skips or repeats is refused: which of two is
//!    meant, only an offset says.*
//! 2. Both ends lie where a row of `footprints` begins. *Else the number would be in no table.*
//! 3. T is no later than the newest commit. *What is known later, nobody knows yet.*
//! 4. The node is one that some table names. *A number of nothing is a typing error.*

use std::sync::Arc;

use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;
use jiff::{Timestamp, civil};
use plumeline_pipelines::model::time::{EARLIEST_MS, LATEST_MS};
use plumeline_pipelines::model::{
    Emission, FootprintKey, Gas, GwpSet, Id, Line, Method, Names, NodeKey, Period, Policy,
};

use super::ExplainError;
use super::known::Known;
use crate::config::{Pipeline, nearest};
use crate::verify::shown;

/// What is asked for, in words.
#[derive(Clone, Debug)]
pub struct Ask {
    /// The node.
    pub node: String,
    /// First instant: a date or an instant.
    pub from: String,
    /// The first instant after.
    pub to: String,
    /// One scope alone.
    pub scope: Option<u8>,
    /// One category alone.
    pub category: Option<u8>,
    /// Which of scope 2's two answers.
    pub method: Wanted,
    /// One gas alone.
    pub gas: Option<String>,
    /// As known at this instant; now, if left out.
    pub as_of: Option<String>,
    /// Children of a parent that are shown.
    pub children: usize,
    /// All of them.
    pub all: bool,
}

/// Which of scope 2's two answers is summed: each has what belongs to both, too.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// What the grid emitted.
    Location,
    /// What was bought.
    Market,
    /// Only what belongs to both.
    Any,
}

impl Wanted {
    /// `location`, `market`, `any`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Location => "location",
            Self::Market => "market",
            Self::Any => "any",
        }
    }

    /// The one called `name`.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        [Self::Location, Self::Market, Self::Any].into_iter().find(|wanted| wanted.name() == name)
    }

    pub(super) fn takes(self, method: Method) -> bool {
        match method {
            Method::Any => true,
            Method::Location => self == Self::Location,
            Method::Market => self == Self::Market,
        }
    }
}

/// The instants of an [`Ask`], ms.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
#[expect(clippy::struct_field_names, reason = "names carry their unit")]
pub(crate) struct Times {
    pub(crate) from_ms: i64,
    pub(crate) to_ms: i64,
    pub(crate) as_of_ms: Option<i64>,
}

impl Times {
    pub(crate) fn of(ask: &Ask, pipeline: &Pipeline) -> Result<Self, ExplainError> {
        let (zone, policy) = (&pipeline.timezone, &pipeline.policy);
        let from_ms = on_grid("--from", &ask.from, zone, policy)?;
        let to_ms = on_grid("--to", &ask.to, zone, policy)?;
        if from_ms >= to_ms {
            let what = format!(
                "it has to be after --from {}, since it is the first instant after",
                ask.from
            );
            return Err(word("--to", &ask.to, what));
        }
        let as_of_ms = ask.as_of.as_ref().map(|text| {
            if text.parse::<Date>().is_ok() && !text.contains('T') {
                let what = format!("write an instant of that day, such as {text}T18:00");
                return Err(word("--as-of", text, what));
            }
            instant("--as-of", text, zone)
        });
        Ok(Self { from_ms, to_ms, as_of_ms: as_of_ms.transpose()? })
    }
}

/// See the module's documentation.
#[derive(Clone, Debug)]
pub(crate) struct Selection {
    pub(crate) node: Id,
    pub(crate) from_ms: i64,
    pub(crate) to_ms: i64,
    pub(crate) scope: Option<u8>,
    pub(crate) category: Option<u8>,
    pub(crate) wanted: Wanted,
    pub(crate) gas: Option<Gas>,
    /// The pipeline's, as it was over time.
    pub(crate) policy: Policy,
}

impl Selection {
    pub(crate) fn of(
        ask: &Ask,
        times: &Times,
        known: &Known,
        names: &Names,
    ) -> Result<Self, ExplainError> {
        let node = names.find(&ask.node).filter(|node| known.nodes.contains(node));
        let Some(node) = node else {
            let nodes: Vec<Arc<str>> = known.nodes.iter().map(|node| names.name(*node)).collect();
            let meant = nearest(&ask.node, nodes.iter().map(AsRef::as_ref));
            let what = meant.map_or_else(
                || "no table of the ledger names such a node".to_owned(),
                |meant| {
                    format!("no table of the ledger names such a node: did you mean `{meant}`?")
                },
            );
            return Err(word("--node", &ask.node, what));
        };
        let gas = ask.gas.as_ref().map(|text| {
            Gas::parse(text).ok_or_else(|| {
                let all = Gas::ALL.iter().map(|gas| gas.name()).collect::<Vec<_>>();
                let meant = nearest(text, all.iter().copied());
                let meant =
                    meant.map_or_else(|| all.join(", "), |gas| format!("did you mean `{gas}`?"));
                word("--gas", text, format!("no such gas: {meant}"))
            })
        });
        Ok(Self {
            node,
            from_ms: times.from_ms,
            to_ms: times.to_ms,
            scope: ask.scope,
            category: ask.category,
            wanted: ask.method,
            gas: gas.transpose()?,
            policy: known.policy.clone(),
        })
    }

    /// Whether a period is asked for.
    pub(crate) fn holds(&self, period: Period) -> bool {
        self.holds_ms(period.start_ms(self.policy.period_ms))
    }

    fn holds_ms(&self, start_ms: i64) -> bool {
        (self.from_ms..self.to_ms).contains(&start_ms)
    }

    /// Whether a line is asked for.
    pub(crate) fn takes(&self, line: &Line) -> bool {
        self.takes_part((line.scope, line.category), line.method, line.gas)
    }

    /// Whether a row of `footprints` is.
    pub(crate) fn takes_footprint(&self, key: &FootprintKey) -> bool {
        key.node == self.node
            && self.holds_ms(key.start_ms)
            && self.takes_part((key.scope, key.category), key.method, key.gas)
    }

    fn takes_part(&self, (scope, category): (u8, u8), method: Method, gas: Gas) -> bool {
        // Energy is told beside what is emitted, and is none of it.
        !gas.is_energy()
            && self.scope.is_none_or(|wanted| wanted == scope)
            && self.category.is_none_or(|wanted| wanted == category)
            && self.wanted.takes(method)
            && self.gas.is_none_or(|wanted| wanted == gas)
    }

    /// What it is, in words.
    pub(crate) fn told(&self, names: &Names) -> String {
        let scope = self.scope.map(|scope| format!(", scope {scope}"));
        let category = self.category.map(|category| format!(", category {category}"));
        let gas = self.gas.map(|gas| format!(", {}", gas.name()));
        let told = format!(
            "node {}, from {} to {}{}{}{}",
            names.name(self.node),
            shown(self.from_ms),
            shown(self.to_ms),
            scope.unwrap_or_default(),
            category.unwrap_or_default(),
            gas.unwrap_or_default()
        );
        told + match self.wanted {
            Wanted::Location => ", location-based",
            Wanted::Market => ", market-based",
            Wanted::Any => ", of what is both location- and market-based",
        }
    }
}

pub(super) fn word(option: &'static str, text: &str, what: String) -> ExplainError {
    ExplainError::Word { option, text: text.to_owned(), what }
}

/// An instant at which a row of `footprints` begins.
pub(super) fn on_grid(
    option: &'static str,
    text: &str,
    zone: &TimeZone,
    policy: &Policy,
) -> Result<i64, ExplainError> {
    let ms = instant(option, text, zone)?;
    let row = row_of(ms, policy);
    if row.start_ms == ms {
        return Ok(ms);
    }
    let [before, after] = [row.start_ms, row.end_ms].map(|ms| civil_text(ms, zone));
    let what = format!("footprints are kept from {before} to {after}: write one of them");
    Err(word(option, text, what))
}

/// The row of `footprints` that holds an instant; of what, does not matter.
fn row_of(ms: i64, policy: &Policy) -> FootprintKey {
    let (period, node) = (policy.period_of(ms), Id::NONE);
    let (method, gas) = (Method::Any, Gas::Co2);
    NodeKey { period, node, depth: 0, scope: 0, category: 0, method, gas }.by_the_hour(policy)
}

fn civil_text(ms: i64, zone: &TimeZone) -> String {
    let at = Timestamp::from_millisecond(ms).unwrap_or_default().to_zoned(zone.clone());
    at.strftime("%Y-%m-%dT%H:%M:%S%:z").to_string()
}

/// See step 1.
fn instant(option: &'static str, text: &str, zone: &TimeZone) -> Result<i64, ExplainError> {
    let at = if let Ok(at) = text.parse::<Timestamp>() {
        at
    } else {
        let civil: DateTime = text.parse().map_err(|_| {
            let what = "write a date (2026-01-31), a civil time (2026-01-31T06:00), or one with its offset \
                        (2026-01-31T06:00Z)";
            word(option, text, what.to_owned())
        })?;
        let is_date = civil.time() == civil::Time::midnight() && !text.contains(['T', 't', ' ']);
        let ambiguous = zone.to_ambiguous_zoned(civil);
        // A day begins when it begins, also where its midnight is skipped.
        let zoned = if is_date { ambiguous.compatible() } else { ambiguous.unambiguous() };
        let zoned = zoned.map_err(|_| {
            let what =
                "a clock change skips or repeats it: write it with its offset, such as +02:00";
            word(option, text, what.to_owned())
        })?;
        zoned.timestamp()
    };
    let ms = at.as_millisecond();
    if !(EARLIEST_MS..=LATEST_MS).contains(&ms) {
        return Err(word(option, text, "write an instant between 2000 and 2099".to_owned()));
    }
    Ok(ms)
}

/// What an emission is worth in words of the ledger: nothing, where both its columns are zero.
pub(super) fn is_nothing(emission: &Emission) -> bool {
    emission.mass.get() == 0 && emission.co2e.get() == 0
}

/// The potential of a gas as it is published.
pub(super) fn gwp_text(gas: Gas, set: GwpSet) -> String {
    super::sum::exact(gas.gwp_tenths(set).into(), 1)
}
