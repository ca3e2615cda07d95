//! Which load contracts cover: the rules of [`crate::stages::matching`], from plain loops over all there is.

use std::collections::{BTreeMap, BTreeSet};

use crate::model::time::HOUR_MS;
use crate::model::{
    ActivityKey, CertificateRow, ContractRow, Fact, Id, Matching, Measure, Period, Policy, Subject,
    Supply, ToDate,
};
use crate::stages::matching::allot::part;
use crate::stages::matching::{
    Allotted, Claim, Part, hour_of, last_of_hour, matched_unit, share_of, windows,
};
use crate::stages::roll_up::Tree;

/// All contracts and certificates that are known.
#[derive(Clone, Debug, Default)]
pub(crate) struct Covering {
    contracts: Vec<ContractRow>,
    /// By the certificate.
    certificates: BTreeMap<Id, Vec<CertificateRow>>,
}

/// What is metered under a factor in the hours that are meant, by their first instants, 1e-9 kWh.
type Output<'a> = dyn Fn(Id, &dyn Fn(i64) -> bool) -> i128 + 'a;

/// The certificates that count, by contract and beginning, ms.
type Given<'a> = BTreeMap<(Id, i64), Vec<&'a CertificateRow>>;

/// Load that is not covered yet, 1e-9 kWh.
type Open = BTreeMap<(Period, Id), i128>;

/// What is allotted.
pub(crate) type Allotments = BTreeMap<Allotted, Measure>;

impl Covering {
    /// A row that holds from now on, or no longer; others are not its business. Says whether it was.
    pub(crate) fn learn(&mut self, fact: &Fact, holds: bool) -> bool {
        match fact {
            Fact::Contract(row) => {
                self.contracts.retain(|known| known != row);
                self.contracts.extend(holds.then(|| row.clone()));
            }
            Fact::Certificate(row) => {
                let rows = self.certificates.entry(row.certificate).or_default();
                rows.retain(|known| known != row);
                rows.extend(holds.then(|| row.clone()));
            }
            _ => return false,
        }
        true
    }

    /// Whether load or output under `factor` is of any matter.
    pub(crate) fn names(&self, factor: Id) -> bool {
        self.contracts.iter().any(|row| {
            row.covers == factor || row.supply.output().is_some_and(|(output, _)| output == factor)
        })
    }

    /// What contracts cover of `activity`, in hours that are `settled`, by the start of their last period; and in months
    /// and years that are `over`.
    pub(crate) fn allotted<'a>(
        &self,
        activity: impl Iterator<Item = (&'a ActivityKey, &'a Measure)> + Clone,
        (policy, tree, over): (&Policy, &Tree, Period),
        settled: impl Fn(Period) -> bool,
    ) -> Allotments {
        let mut allotments = Allotments::new();
        let given = self.given();
        let energy = activity.filter(|(key, _)| key.unit == matched_unit());
        let covered: BTreeSet<Id> = self.contracts.iter().map(|row| row.covers).collect();
        for covered in covered {
            let mut hours: BTreeMap<i64, BTreeMap<(Period, Id), i128>> = BTreeMap::new();
            for (key, measure) in energy.clone().filter(|(key, _)| key.factor == covered) {
                if settled(last_of_hour(policy, key.period)) {
                    let loads = hours.entry(hour_of(policy, key.period)).or_default();
                    *loads.entry((key.period, key.node)).or_default() += measure.amount.get();
                }
            }
            let output = |factor: Id, is_meant: &dyn Fn(i64) -> bool| -> i128 {
                let of_hours = energy.clone().filter(|(key, _)| {
                    key.factor == factor && is_meant(hour_of(policy, key.period))
                });
                of_hours.map(|(_, measure)| measure.amount.get()).sum()
            };
            let mut left: Open = BTreeMap::new();
            for (hour_ms, mut open) in hours {
                open.retain(|_, load| *load > 0);
                let output = |factor| output(factor, &|ms| ms == hour_ms);
                let by_the_hour =
                    |row: &&ContractRow| row.covers == covered && row.matching == Matching::Hourly1;
                for row in self.holding(hour_ms).into_iter().filter(by_the_hour) {
                    let has = match row.supply {
                        Supply::Any => None,
                        Supply::Metered { factor, share } => Some(share_of(output(factor), share)),
                        Supply::Certificates => {
                            Some(self.certified(row, (hour_ms, hour_ms + HOUR_MS), &given))
                        }
                    };
                    let reaches = |(period, node): &(Period, Id)| {
                        let path = tree.path(*node, period.start_ms(policy.period_ms));
                        path.iter().any(|(above, _)| *above == row.node)
                    };
                    give(row, has, (&mut open, reaches), &mut allotments);
                }
                left.extend(open);
            }
            let place = (policy, tree, over);
            let supply = (covered, &given, &output as &Output<'_>);
            self.match_windows(supply, &mut left, place, &mut allotments);
            for ((period, node), amount) in left.into_iter().filter(|(_, amount)| *amount > 0) {
                let (unit, factor, subject) =
                    (matched_unit(), covered, Subject::Uncovered(covered));
                let key = ActivityKey { period, node, subject, unit, factor };
                allotments.insert((Part::Left, key), measure(amount));
            }
        }
        allotments
    }

    /// What contracts that match by the month or the year are given of what is left, where those are over.
    fn match_windows(
        &self,
        (covered, given, output): (Id, &Given<'_>, &Output<'_>),
        left: &mut Open,
        (policy, tree, over): (&Policy, &Tree, Period),
        allotments: &mut Allotments,
    ) {
        let year = |period| policy.calendar.around(ToDate::Year, hour_of(policy, period));
        let years: BTreeSet<(i64, i64)> = left.keys().filter_map(|(p, _)| year(*p)).collect();
        // The rows that hold, by hour: they are asked for each load.
        let mut holding: BTreeMap<i64, Vec<&ContractRow>> = BTreeMap::new();
        for (period, _) in left.keys() {
            let hour_ms = hour_of(policy, *period);
            holding.entry(hour_ms).or_insert_with(|| self.holding(hour_ms));
        }
        for (matching, window) in years.into_iter().flat_map(|year| windows(policy, year, over)) {
            let mut rows: Vec<&ContractRow> = self.contracts.iter().collect();
            rows.retain(|row| row.covers == covered && row.matching == matching && row.counts());
            rows.sort_by_key(|row| (row.priority, row.name.clone(), (*row).clone()));
            for row in rows {
                let is_meant = |hour_ms: i64| {
                    let is_in = window.0 <= hour_ms && hour_ms < window.1;
                    let holding = || match holding.get(&hour_ms) {
                        Some(rows) => rows.contains(&row),
                        None => self.holding(hour_ms).contains(&row),
                    };
                    is_in && holding()
                };
                let has = match row.supply {
                    Supply::Any => None,
                    Supply::Metered { factor, share } => {
                        Some(share_of(output(factor, &is_meant), share))
                    }
                    Supply::Certificates => Some(self.certified(row, window, given)),
                };
                let reaches = |(period, node): &(Period, Id)| {
                    let path = tree.path(*node, period.start_ms(policy.period_ms));
                    is_meant(hour_of(policy, *period))
                        && path.iter().any(|(above, _)| *above == row.node)
                };
                give(row, has, (left, reaches), allotments);
            }
        }
    }

    /// The contracts that hold in an hour and count, in the order in which they give.
    fn holding(&self, hour_ms: i64) -> Vec<&ContractRow> {
        let ids: BTreeSet<Id> = self.contracts.iter().map(|row| row.contract).collect();
        let newest = |id: Id| {
            let rows = self.contracts.iter().filter(|row| row.contract == id);
            rows.filter(|row| row.validity.holds(hour_ms)).max_by_key(|row| (row.revision, *row))
        };
        let mut rows: Vec<&ContractRow> = ids.into_iter().filter_map(newest).collect();
        rows.retain(|row| row.counts());
        rows.sort_by_key(|row| (row.priority, row.name.clone()));
        rows
    }

    /// The certificates that count: of each its newest row.
    fn given(&self) -> Given<'_> {
        let mut given = Given::new();
        for rows in self.certificates.values() {
            if let Some(newest) = rows.iter().max_by_key(|row| (row.revision, *row)) {
                let place = (newest.contract, newest.validity.from_ms);
                given.entry(place).or_default().push(newest);
            }
        }
        given
    }

    /// What certificates give to a row of a contract in a stretch of time, 1e-9 kWh: of when it holds.
    fn certified(
        &self,
        row: &ContractRow,
        (from_ms, to_ms): (i64, i64),
        given: &Given<'_>,
    ) -> i128 {
        let mine = given.range((row.contract, from_ms)..(row.contract, to_ms));
        let mine = mine.flat_map(|(_, given)| given.iter()).filter(|one| {
            // Within an hour the row that holds at its start does.
            let holds = || self.holding(one.validity.from_ms).contains(&row);
            row.matching == Matching::Hourly1 || holds()
        });
        mine.map(|one| one.gives(row.zone, (from_ms, to_ms))).sum()
    }
}

fn measure(amount: i128) -> Measure {
    Measure { amount: amount.into(), covered_ms: 0, presence: 1 }
}

/// What one contract gives to what is still open.
fn give(
    row: &ContractRow,
    has: Option<i128>,
    (open, reaches): (&mut Open, impl Fn(&(Period, Id)) -> bool),
    allotments: &mut Allotments,
) {
    let here: Vec<(Period, Id)> = open.keys().copied().filter(reaches).collect();
    let wanted: i128 = here.iter().map(|load| open[load]).sum();
    let gift = has.unwrap_or(wanted).min(wanted);
    if gift <= 0 {
        return;
    }
    for (period, node) in here {
        let amount = part(open[&(period, node)], gift, wanted);
        if amount > 0 {
            *open.entry((period, node)).or_default() -= amount;
            let (subject, unit) = (Subject::Contract(row.contract), matched_unit());
            let key = |factor| ActivityKey { period, node, subject, unit, factor };
            let is_hourly = row.matching == Matching::Hourly1;
            let claim = if is_hourly { Claim::Hour } else { Claim::Window };
            allotments.insert((Part::Taken(claim), key(row.covers)), measure(-amount));
            allotments.insert((Part::Given(claim), key(row.factor)), measure(amount));
        }
    }
}
