//! The tree of a number: what adds up to it, level by level.
//!
//! ```text
//! number ─▶ scope, category, method ─▶ leaf node ─▶ meter or activity ─▶ factor version, amount ─▶ gas: amount x rate
//! ```
//!
//! 1. Every parent's sum is that of `footprints` (the number) or of `emissions` (all else). *Both are booked: neither is
//!    computed from what is shown below it.*
//! 2. Children come largest first; those beyond the number asked for are one line with their sum.
//! 3. What `footprints` say and `emissions` below the node do not is a child of the number. Then all add up, exactly.
//! 4. An amount is that of `activity`; where a meter's period is shared by two factors, it is what the line was
//!    multiplied from.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use plumeline_pipelines::model::quantity::AMOUNT_SCALE;
use plumeline_pipelines::model::{
    ActivityKey, Emission, Fact, Gas, GwpSet, Id, Line, Method, Names, Period, Reason, Subject,
    Unit,
};

use super::amount::{AmountStory, Wanted};
use super::booked::{Booked, Written, is_below};
use super::known::Known;
use super::rate::RateStory;
use super::select::{Selection, is_nothing};
use super::sum::{Sum, exact, kg};

/// A sum and what it is made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Branch {
    pub(crate) what: What,
    pub(crate) sum: Sum,
    pub(crate) children: Vec<Branch>,
    /// Children that are not shown: how many, and their sum.
    pub(crate) rest: Option<(usize, Sum)>,
}

/// What a sum is of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum What {
    Number,
    Part {
        scope: u8,
        category: u8,
        method: Method,
    },
    Leaf {
        node: Arc<str>,
        name: Arc<str>,
    },
    Subject {
        kind: &'static str,
        name: Arc<str>,
    },
    Use(Box<UseStory>),
    Line(Box<LineStory>),
    /// What `footprints` say and `emissions` do not.
    Unexplained,
}

/// An amount under a version of a factor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct UseStory {
    pub(crate) factor: Arc<str>,
    pub(crate) revision: i64,
    pub(crate) unit: Unit,
    pub(crate) amount: AmountStory,
}

/// A line of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct LineStory {
    pub(crate) rate: RateStory,
    /// 1e-9 of the unit.
    pub(crate) amount: i128,
    /// Where amount x rate is not what is booked.
    pub(crate) problem: Option<String>,
}

impl Branch {
    /// # Panics
    /// If children do not add up to their parent, at any level: a broken invariant.
    pub(super) fn assert_adds_up(&self) {
        if self.children.is_empty() && self.rest.is_none() {
            return;
        }
        let mut left = self.sum.clone();
        self.children.iter().for_each(|child| left.take_off(&child.sum));
        if let Some((_, rest)) = &self.rest {
            left.take_off(rest);
        }
        assert!(left.is_zero(), "children add up to their parent: {left:?} of {:?}", self.what);
        self.children.iter().for_each(Self::assert_adds_up);
    }
}

/// What there is to say of the number as a whole.
#[derive(Clone, Debug)]
pub(crate) struct Frame {
    pub(crate) until_ms: i64,
    pub(crate) gwp: GwpSet,
    /// Entries of `footprints`, by when they were recorded, ms: a change of the tree moves these alone.
    pub(crate) footprints: Vec<(i64, Written)>,
    /// First bookings: entries, and when the first and last were recorded, ms.
    pub(crate) booked: (Written, Option<(i64, i64)>),
    /// By when, ms, and why.
    pub(crate) restated: Vec<(i64, Arc<str>, Written)>,
    /// Amounts below the node that emitted nothing.
    pub(crate) without: Vec<Without>,
}

/// An amount that emitted nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Without {
    /// Of the subject.
    pub(crate) kind: &'static str,
    pub(crate) subject: Arc<str>,
    pub(crate) node: Arc<str>,
    /// 1e-9 of the unit.
    pub(crate) amount: i128,
    pub(crate) unit: Unit,
}

impl Frame {
    pub(super) fn of(booked: &Booked, selection: &Selection, known: &Known, names: &Names) -> Self {
        let (mut first, mut bounds) = (Written::default(), None);
        let mut restated = Vec::new();
        for ((cut, reason), written) in &booked.written {
            let is_first = [Reason::Booked, Reason::Backfill].iter().any(|r| r.name() == &**reason);
            if is_first {
                first.entries += written.entries;
                first.co2e += written.co2e;
                bounds = Some((bounds.map_or_else(|| cut.ms(), |(from, _)| from), cut.ms()));
            } else {
                restated.push((cut.ms(), Arc::clone(reason), *written));
            }
        }
        let emitting: BTreeSet<(Period, Id, Subject, Unit)> = booked
            .emissions
            .iter()
            .filter(|(_, emission)| !is_nothing(emission))
            .map(|(key, _)| of_activity(&key.activity))
            .collect();
        let mut amounts: BTreeMap<_, i128> = BTreeMap::new();
        for (key, measure) in &booked.activity {
            let is_load = matches!(key.subject, Subject::Uncovered(_));
            if is_below(key, selection, known) && !is_load && !emitting.contains(&of_activity(key))
            {
                let (subject, node) = (names.name(key.subject.id()), names.name(key.node));
                let of = (subject, node, key.subject.kind(), key.unit);
                *amounts.entry(of).or_default() += measure.amount.get();
            }
        }
        let without = amounts.into_iter().filter(|(_, amount)| *amount != 0);
        let without = without.map(|((subject, node, kind, unit), amount)| Without {
            kind,
            subject,
            node,
            amount,
            unit,
        });
        Self {
            until_ms: known.until.ms(),
            gwp: booked.gwp(selection),
            footprints: booked.footprint_cuts.iter().map(|(cut, w)| (cut.ms(), *w)).collect(),
            booked: (first, bounds),
            restated,
            without: without.collect(),
        }
    }
}

fn of_activity(key: &ActivityKey) -> (Period, Id, Subject, Unit) {
    (key.period, key.node, key.subject, key.unit)
}

type Lines = BTreeMap<Line, BTreeMap<Period, Emission>>;
type Uses = BTreeMap<(Id, Unit, i64), Lines>;
/// Lines of a version that are of the same periods.
type Apart = (Id, Unit, i64, BTreeSet<Period>, Lines);
type Subjects = BTreeMap<Subject, Uses>;
type Leaves = BTreeMap<Id, Subjects>;

/// Something that is to become a branch: its name, its sum, and what it is made from.
pub(super) type Bud<T> = (String, Sum, T);

/// Makes the tree.
#[derive(Debug)]
pub(crate) struct Grower<'g> {
    booked: &'g Booked,
    selection: &'g Selection,
    known: &'g Known,
    names: &'g Names,
    gwp: GwpSet,
}

impl<'g> Grower<'g> {
    pub(super) fn new(
        booked: &'g Booked,
        selection: &'g Selection,
        known: &'g Known,
        names: &'g Names,
    ) -> Self {
        Self { booked, selection, known, names, gwp: booked.gwp(selection) }
    }

    /// The tree, at most `most` children a parent, and what is not as it should be.
    pub(super) fn grow(&self, most: usize) -> (Branch, Vec<String>) {
        let mut notes = Vec::new();
        let mut sum = Sum::default();
        for (key, emission) in &self.booked.footprints {
            sum.add_emission(key.gas, emission);
        }
        let mut parts: BTreeMap<(u8, u8, Method), Leaves> = BTreeMap::new();
        for (key, emission) in &self.booked.emissions {
            let ActivityKey { period, node, subject, unit, factor } = key.activity;
            if is_nothing(emission) || !is_below(&key.activity, self.selection, self.known) {
                continue;
            }
            let Line { scope, category, method, revision, .. } = key.line;
            let leaves = parts.entry((scope, category, method)).or_default();
            let uses = leaves.entry(node).or_default().entry(subject).or_default();
            let lines = uses.entry((factor, unit, revision)).or_default();
            lines.entry(key.line).or_default().insert(period, *emission);
        }
        let buds = parts.into_iter().map(|(part, leaves)| {
            let subjects = leaves.values().flat_map(BTreeMap::values);
            (format!("{part:?}"), sum_of(subjects.map(sum_of_uses)), (part, leaves))
        });
        let buds: Vec<Bud<_>> = buds.collect();
        let mut left = sum.clone();
        for (_, part, _) in &buds {
            left.take_off(part);
        }
        let (mut children, rest) =
            limited(buds, usize::MAX, |sum, ((scope, category, method), leaves)| {
                let what = What::Part { scope, category, method };
                grown_as(self.leaves(leaves, most, &mut notes), what, sum)
            });
        if !left.is_zero() {
            notes.push(format!(
                "`footprints` say {} kg CO2e more than `emissions` below the node do, as the tree is known at T: a \
                 change of the tree may wait for a restatement below the horizon (`pending_restatements` tells)",
                kg(left.co2e)
            ));
            let (what, none) = (What::Unexplained, Vec::new());
            children.push(Branch { what, sum: left, children: none, rest: None });
        }
        (Branch { what: What::Number, sum, children, rest }, notes)
    }

    fn leaves(&self, leaves: Leaves, most: usize, notes: &mut Vec<String>) -> Grown {
        let buds = leaves.into_iter().map(|(node, subjects)| {
            let sum = sum_of(subjects.values().map(sum_of_uses));
            (self.names.name(node).to_string(), sum, (node, subjects))
        });
        limited(buds.collect(), most, |sum, (node, subjects)| {
            let what = What::Leaf { node: self.names.name(node), name: self.called(node) };
            let buds = subjects.into_iter().map(|(subject, uses)| {
                let name = self.names.name(subject.id()).to_string();
                (name, sum_of_uses(&uses), (subject, uses))
            });
            let grown = limited(buds.collect(), most, |sum, (subject, uses)| {
                let (kind, name) = (subject.kind(), self.names.name(subject.id()));
                let what = What::Subject { kind, name };
                grown_as(self.uses((node, subject), uses, most, notes), what, sum)
            });
            grown_as(grown, what, sum)
        })
    }

    /// The name of a node for people, as it is known at T.
    fn called(&self, node: Id) -> Arc<str> {
        let names = self.known.facts.iter().filter_map(|(fact, life)| match fact {
            Fact::Node(row) if row.node == node && life.withdrawn_ms.is_none() => {
                Some((row.revision, row.validity, row.name))
            }
            _ => None,
        });
        self.names.name(names.max().map_or(Id::NONE, |(.., name)| name))
    }

    /// A version's lines, apart where they are of other periods: their amounts are others.
    fn uses(&self, of: (Id, Subject), uses: Uses, most: usize, notes: &mut Vec<String>) -> Grown {
        let mut buds: Vec<Bud<Apart>> = Vec::new();
        for ((factor, unit, revision), lines) in uses {
            let mut apart: BTreeMap<BTreeSet<Period>, Lines> = BTreeMap::new();
            for (line, periods) in lines {
                let of: BTreeSet<Period> = periods.keys().copied().collect();
                apart.entry(of).or_default().insert(line, periods);
            }
            for (periods, lines) in apart {
                let name = format!("{} {revision:020}", self.names.name(factor));
                let sum = sum_of_lines(&lines);
                buds.push((name, sum, (factor, unit, revision, periods, lines)));
            }
        }
        limited(buds, most, |sum, (factor, unit, revision, periods, lines)| {
            let wanted = Wanted { node: of.0, subject: of.1, unit, factor, periods: &periods };
            let amount = self.amount(&wanted, &lines);
            let buds = lines.into_iter().map(|(line, periods)| {
                let sum = sum_of_line(&line, &periods);
                (line.gas.name().to_owned(), sum, line)
            });
            let grown = limited(buds.collect(), usize::MAX, |sum, line| {
                let story = self.line((factor, line, unit), &periods, amount.amount, &sum);
                if let Some(problem) = &story.problem {
                    let (factor, subject) = (self.names.name(factor), self.names.name(of.1.id()));
                    notes.push(format!("`{subject}` under factor `{factor}`: {problem}"));
                }
                let (what, children) = (What::Line(Box::new(story)), Vec::new());
                Branch { what, sum, children, rest: None }
            });
            if amount.unexplained != 0 {
                let subject = self.names.name(of.1.id());
                let missing = exact(amount.unexplained, AMOUNT_SCALE);
                notes.push(format!(
                    "`{subject}`: {missing} {unit} of what is booked do not come from the readings and rows known at T: \
                     they may wait for a restatement below the horizon (`pending_restatements` tells)"
                ));
            }
            let factor = self.names.name(factor);
            let story = UseStory { factor, revision, unit, amount };
            grown_as(grown, What::Use(Box::new(story)), sum)
        })
    }

    fn amount(&self, wanted: &Wanted<'_>, lines: &Lines) -> AmountStory {
        let (mut amount, mut covered_ms) = (0, 0);
        for period in wanted.periods {
            let Wanted { node, subject, unit, .. } = *wanted;
            let key = ActivityKey { period: *period, node, subject, unit, factor: Id::NONE };
            let measure = self.booked.activity.get(&key).copied().unwrap_or_default();
            covered_ms += measure.covered_ms;
            let booked =
                if self.is_taken(wanted) { -measure.amount.get() } else { measure.amount.get() };
            let first = lines.first_key_value();
            let multiplied =
                first.and_then(|(line, periods)| multiplied(line, periods.get(period)?, booked));
            amount += multiplied.unwrap_or(booked);
        }
        let context = (self.selection, self.known);
        AmountStory::of(wanted, (amount, covered_ms), self.booked, context, self.names)
    }

    /// Whether it is what a contract takes off the load's own factor.
    fn is_taken(&self, wanted: &Wanted<'_>) -> bool {
        let covers = |fact: &Fact| match fact {
            Fact::Contract(row) => {
                Subject::Contract(row.contract) == wanted.subject && row.covers == wanted.factor
            }
            _ => false,
        };
        self.known.facts.keys().any(covers)
    }

    fn line(
        &self,
        of: (Id, Line, Unit),
        periods: &BTreeSet<Period>,
        amount: i128,
        sum: &Sum,
    ) -> LineStory {
        let rate = RateStory::of(of, periods, self.gwp, self.known, self.names);
        let line = of.1;
        let mass = amount * i128::from(line.rate);
        let is_mass =
            !line.gas.has_mass() || sum.masses.get(&line.gas).copied().unwrap_or(0) == mass;
        let problem = match rate.co2e_rate {
            None => Some("no row of `factors` that was known leads to its rate".to_owned()),
            Some(_) if !is_mass => Some("amount x rate is not the mass that is booked".to_owned()),
            Some(co2e) if amount * co2e != sum.co2e => {
                Some("amount x CO2e rate is not the CO2e that is booked".to_owned())
            }
            Some(_) => None,
        };
        LineStory { rate, amount, problem }
    }
}

/// The amount that a line was multiplied from, where that is not the whole of what is booked.
fn multiplied(line: &Line, emission: &Emission, amount: i128) -> Option<i128> {
    let rate = i128::from(line.rate);
    let product = if line.gas == Gas::Co2e { emission.co2e } else { emission.mass };
    let is_other = rate != 0 && amount * rate != product.get() && product.get() % rate == 0;
    is_other.then(|| product.get() / rate)
}

pub(super) type Grown = (Vec<Branch>, Option<(usize, Sum)>);

fn grown_as((children, rest): Grown, what: What, sum: Sum) -> Branch {
    Branch { what, sum, children, rest }
}

/// The largest `most` as branches, and the others' sum.
pub(super) fn limited<T>(
    mut buds: Vec<Bud<T>>,
    most: usize,
    mut branch: impl FnMut(Sum, T) -> Branch,
) -> Grown {
    buds.sort_by(|a, b| b.1.weight().cmp(&a.1.weight()).then_with(|| a.0.cmp(&b.0)));
    let others = buds.split_off(most.min(buds.len()));
    let rest = (!others.is_empty())
        .then(|| (others.len(), sum_of(others.into_iter().map(|(_, sum, _)| sum))));
    (buds.into_iter().map(|(_, sum, from)| branch(sum, from)).collect(), rest)
}

fn sum_of(sums: impl Iterator<Item = Sum>) -> Sum {
    sums.fold(Sum::default(), |mut all, sum| {
        all.add(&sum);
        all
    })
}

fn sum_of_line(line: &Line, periods: &BTreeMap<Period, Emission>) -> Sum {
    sum_of(periods.values().map(|emission| Sum::of(line.gas, emission)))
}

fn sum_of_lines(lines: &Lines) -> Sum {
    sum_of(lines.iter().map(|(line, periods)| sum_of_line(line, periods)))
}

fn sum_of_uses(uses: &Uses) -> Sum {
    sum_of(uses.values().map(sum_of_lines))
}
