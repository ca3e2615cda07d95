//! How a subject's amount came about: the one place that knows.
//!
//! ```text
//! readings that hold at T ─ the meter's rows at T ─▶ spans ─ split over periods ─▶ pieces ─ of the periods asked for ─▶ sum
//! ```
//!
//! 1. Readings and rows are those known at T, walked by the same rules as ever ([`Scan`]). *What waits for a restatement
//!    below the horizon is known and not booked: the difference is told as such, and never hidden.*
//! 2. Each span is laid to the readings it rests on: a register's to both ends, a held power's to where the hold
//!    begins, an interval's to its own.
//! 3. Readings are told as a count, both ends, their sources, and a hash: anybody can take them out of `readings` and
//!    compute it ([`plumeline_pipelines::lineage::readings_hash`]).

use std::collections::{BTreeMap, BTreeSet};

use plumeline_pipelines::lineage::{holding_activity, holding_readings, readings_hash};
use plumeline_pipelines::model::{
    ActivityKey, ActivityRecord, Cause, Id, MeterKind, MeterRow, Names, Period, Reading, Subject,
    Tick, Unit,
};
use plumeline_pipelines::stages::activities::Said;
use plumeline_pipelines::stages::metering::{Scan, Span, Value, book_span};

use super::booked::Booked;
use super::covered::{self, CoveredPart};
use super::known::{Known, Life};
use super::select::Selection;

/// What an amount is of.
#[derive(Clone, Debug)]
pub(crate) struct Wanted<'w> {
    pub(crate) node: Id,
    pub(crate) subject: Subject,
    pub(crate) unit: Unit,
    pub(crate) factor: Id,
    pub(crate) periods: &'w BTreeSet<Period>,
}

impl Wanted<'_> {
    fn takes(&self, key: &ActivityKey) -> bool {
        (key.node, key.subject, key.unit, key.factor)
            == (self.node, self.subject, self.unit, self.factor)
            && self.periods.contains(&key.period)
    }
}

/// See the module's documentation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct AmountStory {
    /// 1e-9 of the unit, as it is booked.
    pub(crate) amount: i128,
    /// Milliseconds of the periods that readings account for, as it is booked.
    pub(crate) covered_ms: i64,
    pub(crate) periods: usize,
    pub(crate) parts: Vec<Part>,
    /// What is booked and does not come from these parts: 1e-9 of the unit.
    pub(crate) unexplained: i128,
}

/// What it comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    /// Readings under one row of `meters`.
    Meter(Box<MeterPart>),
    /// A row of `activity_data`.
    Activity(Box<ActivityPart>),
    /// A row of `contracts`.
    Covered(Box<CoveredPart>),
}

/// See [`Part::Meter`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct MeterPart {
    pub(crate) row: MeterRow,
    pub(crate) life: Life,
    /// 1e-9 of the unit.
    pub(crate) amount: i128,
    /// Stretches with an amount.
    pub(crate) spans: usize,
    /// Those of them that lie in more than one period, and are split.
    pub(crate) split: usize,
    pub(crate) readings: Readings,
}

/// Readings, as evidence.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Readings {
    pub(crate) count: usize,
    /// The first: its instant, ms, number and unit as sent.
    pub(crate) first: (i64, String),
    pub(crate) last: (i64, String),
    pub(crate) hash: String,
    /// By source: how many, and their first and last positions.
    pub(crate) sources: BTreeMap<String, (usize, u64, u64)>,
}

/// See [`Part::Activity`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ActivityPart {
    pub(crate) record: ActivityRecord,
    pub(crate) source: String,
    pub(crate) learned_ms: i64,
    pub(crate) amount: i128,
}

impl AmountStory {
    /// How `amount`, which is booked of what is wanted, came about.
    pub(crate) fn of(
        wanted: &Wanted<'_>,
        (amount, covered_ms): (i128, i64),
        booked: &Booked,
        (selection, known): (&Selection, &Known),
        names: &Names,
    ) -> Self {
        let maker = Maker { wanted, booked, selection, known, names };
        let parts = match wanted.subject {
            Subject::Meter(meter) => maker.meter(meter),
            Subject::Activity(id) => maker.activity(id),
            Subject::Contract(id) => covered::parts(id, wanted, (booked, selection, known)),
            Subject::Uncovered(_) => Vec::new(),
        };
        let told: i128 = parts.iter().map(Part::amount).sum();
        let periods = wanted.periods.len();
        Self { amount, covered_ms, periods, parts, unexplained: amount - told }
    }
}

impl Part {
    pub(crate) fn amount(&self) -> i128 {
        match self {
            Self::Meter(part) => part.amount,
            Self::Activity(part) => part.amount,
            Self::Covered(part) => part.amount,
        }
    }
}

struct Maker<'m> {
    wanted: &'m Wanted<'m>,
    booked: &'m Booked,
    selection: &'m Selection,
    known: &'m Known,
    names: &'m Names,
}

/// What one row of a meter gave.
#[derive(Default)]
struct Given {
    amount: i128,
    spans: usize,
    split: usize,
    readings: BTreeSet<i64>,
}

impl Maker<'_> {
    fn meter(&self, meter: Id) -> Vec<Part> {
        let Some(said) = self.booked.readings.get(&meter) else { return Vec::new() };
        let holding = holding_readings(said);
        let rows = self.known.meter_rows(meter);
        let place = (&self.selection.policy, Period::default());
        let mut given: BTreeMap<&MeterRow, Given> = BTreeMap::new();
        let mut take = |span: &Span<'_>, stamp_ms: i64| {
            let (mut amount, mut pieces, mut wanted) = (0, 0, 0);
            book_span((meter, &rows), span, place, |((key, held_until_ms), measure)| {
                pieces += 1;
                if self.wanted.takes(&key) && is_due(held_until_ms, self.known.until) {
                    amount += measure.amount.get();
                    wanted += 1;
                }
            });
            let row = rows.iter().find(|row| *row == span.row).filter(|_| wanted > 0);
            let Some(row) = row else { return };
            let given = given.entry(row).or_default();
            given.amount += amount;
            given.spans += 1;
            given.split += usize::from(pieces > 1);
            match row.kind {
                MeterKind::Register => given.readings.extend([span.from_ms, span.to_ms]),
                MeterKind::Power => given.readings.extend([span.from_ms]),
                MeterKind::Interval => given.readings.extend([stamp_ms]),
            }
        };
        let mut scan = Scan::new(&rows);
        for (&at_ms, reading) in &holding {
            let Some(number) = reading.value else { continue };
            let value = Value { number, unit: reading.unit, from_ms: reading.from_ms };
            scan.step(at_ms, &value, &mut |span| take(&span, at_ms));
        }
        scan.finish(&mut |span| take(&span, span.from_ms));
        let part = |(row, given): (&MeterRow, Given)| {
            let readings = given.readings.iter().filter_map(|at_ms| holding.get(at_ms).copied());
            Part::Meter(Box::new(MeterPart {
                row: row.clone(),
                life: self.known.life(row),
                amount: given.amount,
                spans: given.spans,
                split: given.split,
                readings: self.readings(&readings.collect::<Vec<_>>()),
            }))
        };
        given.into_iter().map(part).collect()
    }

    fn readings(&self, readings: &[&Reading]) -> Readings {
        let end = |reading: Option<&&Reading>| {
            reading.map_or_else(Default::default, |reading| {
                let number = reading.value.map(|number| number.to_string()).unwrap_or_default();
                let unit = reading.unit.map(|unit| format!(" {unit}")).unwrap_or_default();
                (reading.at_ms, number + &unit)
            })
        };
        let mut sources: BTreeMap<String, (usize, u64, u64)> = BTreeMap::new();
        for reading in readings {
            let position = reading.arrival.position;
            let of = sources
                .entry(self.source(reading.arrival.source))
                .or_insert((0, position, position));
            *of = (of.0 + 1, of.1.min(position), of.2.max(position));
        }
        Readings {
            count: readings.len(),
            first: end(readings.first()),
            last: end(readings.last()),
            hash: readings_hash(self.names, readings.iter().copied()),
            sources,
        }
    }

    fn activity(&self, id: Id) -> Vec<Part> {
        let said = self.booked.activities.get(&id).map_or(&[][..], Vec::as_slice);
        let Some(record) = holding_activity(said) else { return Vec::new() };
        let learned = said.iter().find(|(_, other)| other == record).map(|(tick, _)| tick.ms());
        let mut amount = 0;
        let mut is_part = false;
        let place = (&self.selection.policy, Period::default());
        if let Some(said) = Said::of(record) {
            said.pieces(id, place, &mut |((key, _), measure)| {
                if self.wanted.takes(&key) {
                    amount += measure.amount.get();
                    is_part = true;
                }
            });
        }
        let part = ActivityPart {
            record: record.clone(),
            source: self.source(record.arrival.source),
            learned_ms: learned.unwrap_or_default(),
            amount,
        };
        if is_part { vec![Part::Activity(Box::new(part))] } else { Vec::new() }
    }

    fn source(&self, index: u16) -> String {
        self.booked.sources.get(usize::from(index)).cloned().unwrap_or_default()
    }
}

/// Whether a piece counts: an open hold does once it has ended.
fn is_due(held_until_ms: i64, until: Tick) -> bool {
    Tick::new(held_until_ms, Cause::Time) <= until
}
