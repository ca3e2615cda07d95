//! Rows of a batch as the values they were written from: the inverse of `rows.rs` and `facts.rs`.

use std::cell::RefCell;

use plumeline_pipelines::model::{
    ActivityDataEntry, ActivityKey, ActivityRecord, Arrival, Decimal, Emission, EmissionKey, Fact,
    FactorChange, FactorRow, FactorStatus, FootprintKey, Gas, GwpSet, Id, Line, Measure, MeterKind,
    MeterRow, Method, Names, NodeRow, Outcome, PendingCause, PendingEntry, Period, PriceRow,
    Quality, Reading, ReadingEntry, RejectEntry, RejectEvent, RestatedEntry, SeriesKind, SeriesRow,
    StampSide, Subject, Total, Unit, Validity, Vintage,
};

use super::columns::{Columns, Texts};
use crate::delta::facts::parse_span;
use crate::delta::rows::FactEntry;
use crate::delta::table::{AMOUNT, Kind, MASS, RATE};

/// See the module's documentation.
pub(super) struct Decoder<'d> {
    pub(super) names: &'d Names,
    pub(super) sources: &'d RefCell<Vec<String>>,
    pub(super) period_ms: i64,
}

pub(super) type Decoded<R> = Result<Vec<R>, String>;

/// Every row of a batch, made by `row`.
pub(super) fn each<R>(
    columns: &Columns<'_>,
    row: impl FnMut(usize) -> Result<R, String>,
) -> Decoded<R> {
    (0..columns.rows()).map(row).collect()
}

fn digits(kind: Kind) -> (u8, i8) {
    let Kind::Decimal(precision, scale) = kind else { unreachable!("asked of decimals alone") };
    (precision, scale.try_into().expect("scales are small"))
}

fn unit(symbol: &str) -> Option<Unit> {
    Unit::parse(symbol).ok()
}

pub(super) fn number(text: &str) -> Option<Decimal> {
    Decimal::parse(text).ok()
}

impl Decoder<'_> {
    pub(super) fn name(&self, texts: &Texts, row: usize) -> Result<Id, String> {
        Ok(self.names.intern(texts.at(row)?))
    }

    pub(super) fn optional_name(&self, texts: &Texts, row: usize) -> Id {
        texts.get(row).map_or(Id::NONE, |text| self.names.intern(text))
    }

    /// The number of the source called `name`: the next one, if it is new.
    fn source(&self, name: &str) -> Result<u16, String> {
        let mut sources = self.sources.borrow_mut();
        let index = sources.iter().position(|known| known == name).unwrap_or_else(|| {
            sources.push(name.to_owned());
            sources.len() - 1
        });
        u16::try_from(index).map_err(|_| "there are too many sources".to_owned())
    }

    /// Keys of `activity` and `emissions`, without the factor.
    fn keys(&self, columns: &Columns<'_>) -> Decoded<ActivityKey> {
        let (starts, ends) = (columns.times("period_start")?, columns.times("period_end")?);
        let (nodes, units) = (columns.texts("node")?, columns.texts("unit")?);
        let (subjects, kinds) = (columns.texts("subject")?, columns.texts("subject_kind")?);
        each(columns, |row| {
            let subject = self.name(&subjects, row)?;
            let subject = kinds.parsed(row, |kind| Subject::parse(kind, subject))?;
            let period = Period::of(starts.at(row)?, self.period_ms);
            let bounds = (period.start_ms(self.period_ms), period.end_ms(self.period_ms));
            if bounds != (starts.at(row)?, ends.at(row)?) {
                return Err("`period_start` and `period_end` are no period of ours".to_owned());
            }
            let (node, unit) = (self.name(&nodes, row)?, units.parsed(row, unit)?);
            Ok(ActivityKey { period, node, subject, unit, factor: Id::NONE })
        })
    }

    pub(super) fn activity(&self, columns: &Columns<'_>) -> Decoded<(ActivityKey, Measure)> {
        let keys = self.keys(columns)?;
        let amounts = columns.decimals("amount", digits(AMOUNT))?;
        let covered = columns.numbers("covered_ms")?;
        each(columns, |row| {
            let (amount, covered_ms) = (amounts.at(row)?.into(), covered.at(row)?);
            Ok((keys[row], Measure { amount, covered_ms, presence: 0 }))
        })
    }

    pub(super) fn emissions(&self, columns: &Columns<'_>) -> Decoded<(EmissionKey, Emission)> {
        let keys = self.keys(columns)?;
        let (factors, revisions) = (columns.texts("factor")?, columns.numbers("factor_revision")?);
        let rates = columns.decimals("rate_kg_per_unit", digits(RATE))?;
        let (lines, changes) = (Lines::of(columns)?, changes(columns)?);
        each(columns, |row| {
            let LineKey { scope, category, method, gas } = lines.at(row)?;
            let rate = i64::try_from(rates.at(row)?).map_err(|_| "a rate is absurd".to_owned())?;
            let line = Line { scope, category, method, gas, revision: revisions.at(row)?, rate };
            let activity = ActivityKey { factor: self.name(&factors, row)?, ..keys[row] };
            Ok((EmissionKey { activity, line }, changes[row]))
        })
    }

    pub(super) fn reasons(&self, columns: &Columns<'_>) -> Decoded<Id> {
        let reasons = columns.texts("reason")?;
        each(columns, |row| self.name(&reasons, row))
    }

    pub(super) fn footprints(&self, columns: &Columns<'_>) -> Decoded<(FootprintKey, Emission)> {
        let (starts, ends) = (columns.times("period_start")?, columns.times("period_end")?);
        let (nodes, depths) = (columns.texts("node")?, columns.numbers("depth")?);
        let (lines, changes) = (Lines::of(columns)?, changes(columns)?);
        each(columns, |row| {
            let LineKey { scope, category, method, gas } = lines.at(row)?;
            let (start_ms, end_ms) = (starts.at(row)?, ends.at(row)?);
            let (node, depth) = (self.name(&nodes, row)?, depths.at(row)?);
            let key = FootprintKey { start_ms, end_ms, node, depth, scope, category, method, gas };
            Ok((key, changes[row]))
        })
    }

    pub(super) fn readings(&self, columns: &Columns<'_>) -> Decoded<ReadingEntry> {
        let (from, to) = (columns.times("observed_at")?, columns.times("observed_to")?);
        let meters = columns.texts("meter")?;
        let (said, arrived) = (SaidColumns::of(columns)?, Arrived::of(columns)?);
        each(columns, |row| {
            let (from_ms, at_ms) = (from.at(row)?, to.at(row)?);
            if from_ms > at_ms || at_ms == 0 {
                return Err("`observed_to` is before `observed_at`".to_owned());
            }
            let record = Reading {
                meter: self.name(&meters, row)?,
                at_ms,
                from_ms: (from_ms != at_ms).then_some(from_ms),
                value: said.values.optional(row, number)?,
                unit: said.units.optional(row, unit)?,
                version: said.versions.at(row)?,
                quality: said.qualities.parsed(row, Quality::parse)?,
                arrival: arrived.at(row, self)?,
            };
            let (received_ms, outcome) = (arrived.received.at(row)?, arrived.outcome(row)?);
            Ok(ReadingEntry { record, received_ms, outcome })
        })
    }

    pub(super) fn activity_data(&self, columns: &Columns<'_>) -> Decoded<ActivityDataEntry> {
        let (from, to) = (columns.times("observed_at")?, columns.times("observed_to")?);
        let (activities, nodes) = (columns.texts("activity")?, columns.texts("node")?);
        let factors = columns.texts("factor")?;
        let (said, arrived) = (SaidColumns::of(columns)?, Arrived::of(columns)?);
        each(columns, |row| {
            let value = said.values.optional(row, number)?;
            // A withdrawal need not say which stretch it takes back.
            if value.is_some() && from.at(row)? >= to.at(row)? {
                return Err("`observed_to` is not after `observed_at`".to_owned());
            }
            let record = ActivityRecord {
                activity: self.name(&activities, row)?,
                node: self.name(&nodes, row)?,
                factor: self.optional_name(&factors, row),
                from_ms: from.at(row)?,
                to_ms: to.at(row)?,
                value,
                unit: said.units.parsed(row, unit)?,
                version: said.versions.at(row)?,
                quality: said.qualities.parsed(row, Quality::parse)?,
                arrival: arrived.at(row, self)?,
            };
            let (received_ms, outcome) = (arrived.received.at(row)?, arrived.outcome(row)?);
            Ok(ActivityDataEntry { record, received_ms, outcome })
        })
    }

    pub(super) fn meters(&self, columns: &Columns<'_>) -> Decoded<FactEntry> {
        let (meters, nodes) = (columns.texts("meter")?, columns.texts("node")?);
        let (kinds, units) = (columns.texts("kind")?, columns.texts("unit")?);
        let (multipliers, stamps) = (columns.texts("multiplier")?, columns.texts("stamp")?);
        let (intervals, holds) = (columns.texts("interval")?, columns.texts("max_hold")?);
        let (moduli, powers) = (columns.texts("modulus")?, columns.texts("max_power")?);
        let (expected, factors) = (columns.texts("expected_every")?, columns.texts("factor")?);
        let (held, revisions) = (HeldColumns::of(columns)?, columns.numbers("revision")?);
        let stamp = |side: &str| match side {
            "start" => Some(StampSide::Start),
            "end" => Some(StampSide::End),
            _ => None,
        };
        each(columns, |row| {
            let fact = MeterRow {
                meter: self.name(&meters, row)?,
                node: self.name(&nodes, row)?,
                kind: kinds.parsed(row, MeterKind::parse)?,
                unit: units.optional(row, unit)?,
                multiplier: multipliers.parsed(row, number)?,
                stamp: stamps.parsed(row, stamp)?,
                interval_ms: intervals.optional(row, parse_span)?,
                max_hold_ms: holds.parsed(row, parse_span)?,
                modulus: moduli.optional(row, number)?,
                max_power: powers.optional(row, number)?,
                expected_every_ms: expected.optional(row, parse_span)?,
                factor: self.optional_name(&factors, row),
                validity: held.validity(row)?,
                revision: revisions.at(row)?,
            };
            held.entry(row, Fact::Meter(fact))
        })
    }

    pub(super) fn factors(&self, columns: &Columns<'_>) -> Decoded<FactEntry> {
        let (factors, revisions) = (columns.texts("factor")?, columns.numbers("revision")?);
        let (rates, units) = (columns.texts("kg_per_unit")?, columns.texts("unit")?);
        let sources = columns.texts("source")?;
        let published = columns.later_texts("published_gwp")?;
        let statuses = columns.later_texts("status")?;
        let changes = columns.later_texts("change")?;
        let (lines, held) = (Lines::of(columns)?, HeldColumns::of(columns)?);
        each(columns, |row| {
            let LineKey { scope, category, method, gas } = lines.at(row)?;
            let fact = FactorRow {
                factor: self.name(&factors, row)?,
                revision: revisions.at(row)?,
                scope,
                category,
                method,
                gas,
                kg_per_unit: rates.parsed(row, number)?,
                unit: units.parsed(row, unit)?,
                published_gwp: published.optional(row, GwpSet::parse)?,
                status: statuses.optional(row, FactorStatus::parse)?.unwrap_or_default(),
                change: changes.optional(row, FactorChange::parse)?.unwrap_or_default(),
                validity: held.validity(row)?,
                source: self.optional_name(&sources, row),
            };
            held.entry(row, Fact::Factor(fact))
        })
    }

    pub(super) fn pending(&self, columns: &Columns<'_>) -> Decoded<PendingEntry> {
        let (causes, subjects) = (columns.texts("cause")?, columns.texts("subject")?);
        let (from, to) = (columns.times("period_from")?, columns.times("period_to")?);
        let (counts, learned) = (columns.numbers("count")?, columns.times("learned_at")?);
        each(columns, |row| {
            Ok(PendingEntry {
                cause: causes.parsed(row, PendingCause::parse)?,
                subject: self.name(&subjects, row)?,
                from_ms: from.at(row)?,
                to_ms: to.at(row)?,
                count: counts.at(row)?,
                learned_ms: learned.at(row)?,
            })
        })
    }

    /// Without the payloads.
    pub(super) fn rejects(&self, columns: &Columns<'_>) -> Decoded<RejectEntry> {
        let (events, sources) = (columns.texts("event")?, columns.texts("source")?);
        let (positions, elements) = (columns.numbers("position")?, columns.numbers("element")?);
        let reasons = columns.texts("reason")?;
        let all = [RejectEvent::Rejected, RejectEvent::Parked, RejectEvent::Resolved];
        let named = |name: &str| all.into_iter().find(|event| event.name() == name);
        each(columns, |row| {
            Ok(RejectEntry {
                source: self.source(sources.at(row)?)?,
                position: positions.at(row)?,
                element: elements.at(row)?,
                event: events.parsed(row, named)?,
                reason: reasons.at(row)?.to_owned(),
                raw: Vec::new(),
            })
        })
    }

    pub(super) fn restated(columns: &Columns<'_>) -> Decoded<RestatedEntry> {
        let known = columns.times("known_at")?;
        let (from, to) = (columns.times("period_from")?, columns.times("period_to")?);
        let [activity, emissions, footprints] =
            ["activity", "emissions", "footprints"].map(|name| columns.numbers(name));
        let (activity, emissions, footprints) = (activity?, emissions?, footprints?);
        let up = columns.decimals("co2e_kg_up", digits(MASS))?;
        let down = columns.decimals("co2e_kg_down", digits(MASS))?;
        each(columns, |row| {
            Ok(RestatedEntry {
                known_ms: known.at(row)?,
                from_ms: from.at(row)?,
                to_ms: to.at(row)?,
                activity: activity.at(row)?,
                emissions: emissions.at(row)?,
                footprints: footprints.at(row)?,
                up: up.at(row)?.into(),
                down: down.at(row)?.into(),
            })
        })
    }

    pub(super) fn series(&self, columns: &Columns<'_>) -> Decoded<FactEntry> {
        let (factors, kinds) = (columns.texts("factor")?, columns.texts("series")?);
        let (vintages, totals) = (columns.texts("vintage")?, columns.texts("total")?);
        let (months, revisions) = (columns.numbers("year_begins")?, columns.numbers("revision")?);
        let (fallbacks, held) = (columns.texts("fallback")?, HeldColumns::of(columns)?);
        each(columns, |row| {
            let fact = SeriesRow {
                factor: self.name(&factors, row)?,
                kind: kinds.parsed(row, SeriesKind::parse)?,
                vintage: vintages.parsed(row, Vintage::parse)?,
                year_begins: months.at(row)?,
                total: totals.parsed(row, Total::parse)?,
                fallback: self.optional_name(&fallbacks, row),
                validity: held.validity(row)?,
                revision: revisions.at(row)?,
            };
            held.entry(row, Fact::Series(fact))
        })
    }

    pub(super) fn prices(&self, columns: &Columns<'_>) -> Decoded<FactEntry> {
        let (prices, sources) = (columns.texts("price")?, columns.texts("source")?);
        let (units, into) = (columns.texts("unit")?, columns.texts("to")?);
        let (rates, pers) = (columns.texts("rate")?, columns.texts("per")?);
        let (revisions, held) = (columns.numbers("revision")?, HeldColumns::of(columns)?);
        each(columns, |row| {
            let fact = PriceRow {
                price: self.name(&prices, row)?,
                unit: units.parsed(row, unit)?,
                to: into.parsed(row, unit)?,
                rate: rates.parsed(row, number)?,
                per: pers.parsed(row, number)?,
                validity: held.validity(row)?,
                revision: revisions.at(row)?,
                source: self.optional_name(&sources, row),
            };
            held.entry(row, Fact::Price(fact))
        })
    }

    pub(super) fn nodes(&self, columns: &Columns<'_>) -> Decoded<FactEntry> {
        let (nodes, parents) = (columns.texts("node")?, columns.texts("parent")?);
        let (names, revisions) = (columns.texts("name")?, columns.numbers("revision")?);
        let held = HeldColumns::of(columns)?;
        each(columns, |row| {
            let fact = NodeRow {
                node: self.name(&nodes, row)?,
                parent: self.optional_name(&parents, row),
                name: self.optional_name(&names, row),
                validity: held.validity(row)?,
                revision: revisions.at(row)?,
            };
            held.entry(row, Fact::Node(fact))
        })
    }
}

/// `mass_kg` and `co2e_kg`.
pub(super) fn changes(columns: &Columns<'_>) -> Decoded<Emission> {
    let masses = columns.decimals("mass_kg", digits(MASS))?;
    let co2e = columns.decimals("co2e_kg", digits(MASS))?;
    each(columns, |row| {
        let mass = masses.get(row).unwrap_or_default().into();
        Ok(Emission { mass, co2e: co2e.at(row)?.into(), presence: 0 })
    })
}

/// The columns that say what a line is of.
pub(super) struct Lines {
    scopes: super::columns::Numbers,
    categories: super::columns::Numbers,
    methods: Texts,
    gases: Texts,
}

pub(super) struct LineKey {
    pub(super) scope: u8,
    pub(super) category: u8,
    pub(super) method: Method,
    pub(super) gas: Gas,
}

impl Lines {
    pub(super) fn of(columns: &Columns<'_>) -> Result<Self, String> {
        Ok(Self {
            scopes: columns.numbers("scope")?,
            categories: columns.numbers("category")?,
            methods: columns.texts("method")?,
            gases: columns.texts("gas")?,
        })
    }

    pub(super) fn at(&self, row: usize) -> Result<LineKey, String> {
        Ok(LineKey {
            scope: self.scopes.at(row)?,
            category: self.categories.at(row)?,
            method: self.methods.parsed(row, Method::parse)?,
            gas: self.gases.parsed(row, Gas::parse)?,
        })
    }
}

/// The columns of what a record says.
struct SaidColumns {
    values: Texts,
    units: Texts,
    versions: super::columns::Numbers,
    qualities: Texts,
}

impl SaidColumns {
    fn of(columns: &Columns<'_>) -> Result<Self, String> {
        Ok(Self {
            values: columns.texts("value")?,
            units: columns.texts("unit")?,
            versions: columns.numbers("version")?,
            qualities: columns.texts("quality")?,
        })
    }
}

/// The columns of how a record came.
struct Arrived {
    sources: Texts,
    positions: super::columns::Numbers,
    numbers: super::columns::Numbers,
    outcomes: Texts,
    received: super::columns::Times,
}

impl Arrived {
    fn of(columns: &Columns<'_>) -> Result<Self, String> {
        Ok(Self {
            sources: columns.texts("source")?,
            positions: columns.numbers("position")?,
            numbers: columns.numbers("number")?,
            outcomes: columns.texts("outcome")?,
            received: columns.times("received_at")?,
        })
    }

    /// Which element of a payload it was is in no table.
    fn at(&self, row: usize, decoder: &Decoder<'_>) -> Result<Arrival, String> {
        let (index, position) = (self.numbers.at(row)?, self.positions.at(row)?);
        let source = decoder.source(self.sources.at(row)?)?;
        Ok(Arrival { index, source, element: 0, position })
    }

    fn outcome(&self, row: usize) -> Result<Outcome, String> {
        let named = |name: &str| Outcome::ALL.into_iter().find(|outcome| outcome.name() == name);
        self.outcomes.parsed(row, named)
    }
}

/// The columns that all facts have.
pub(super) struct HeldColumns {
    from: super::columns::Times,
    to: super::columns::Times,
    withdrawn: arrow::array::BooleanArray,
    learned: super::columns::Times,
}

impl HeldColumns {
    pub(super) fn of(columns: &Columns<'_>) -> Result<Self, String> {
        Ok(Self {
            from: columns.times("valid_from")?,
            to: columns.times("valid_to")?,
            withdrawn: columns.flags("withdrawn")?,
            learned: columns.times("learned_at")?,
        })
    }

    pub(super) fn validity(&self, row: usize) -> Result<Validity, String> {
        Ok(Validity { from_ms: self.from.at(row)?, to_ms: self.to.at(row)? })
    }

    pub(super) fn entry(&self, row: usize, fact: Fact) -> Result<FactEntry, String> {
        let (withdrawn, learned_ms) = (self.withdrawn.value(row), self.learned.at(row)?);
        Ok(FactEntry { fact, withdrawn, learned_ms })
    }
}
