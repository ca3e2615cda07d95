//! How what a contract covers came about: the contract's row, its evidence, and the load it was given to.
//!
//! How much each load of an hour is given hangs on all loads and contracts of that hour. It is not told again here, line
//! by line: the reference does it again, with everybody's readings, and the last line of an explanation says how that went.

use std::collections::BTreeMap;

use plumeline_pipelines::model::time::HOUR_MS;
use plumeline_pipelines::model::{
    ActivityKey, CertificateRow, ContractRow, Fact, Id, Period, Subject,
};
use plumeline_pipelines::stages::matching::hour_of;

use super::amount::{Part, Wanted};
use super::booked::Booked;
use super::known::{Known, Life};
use super::select::Selection;

/// What a contract gives to a load, or, negative, takes off what the load was booked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct CoveredPart {
    pub(crate) row: ContractRow,
    pub(crate) life: Life,
    /// 1e-9 kWh.
    pub(crate) amount: i128,
    /// The whole load of the node in the same periods, 1e-9 kWh.
    pub(crate) load: i128,
    /// Certificates that give to the contract in these hours, or months or years, and how much, Wh.
    pub(crate) certificates: (usize, i64),
}

/// The parts of what is wanted of a contract, one a row of it.
pub(super) fn parts(
    contract: Id,
    wanted: &Wanted<'_>,
    (booked, selection, known): (&Booked, &Selection, &Known),
) -> Vec<Part> {
    let mut parts: BTreeMap<&ContractRow, CoveredPart> = BTreeMap::new();
    let (rows, given) = (rows(contract, known), certificates(contract, known));
    let mut beside: BTreeMap<Id, Vec<Subject>> = BTreeMap::new();
    let mut windows: BTreeMap<&ContractRow, Vec<(i64, i64)>> = BTreeMap::new();
    for &period in wanted.periods {
        let hour_ms = hour_of(&selection.policy, period);
        let Some((row, life)) = row_of(&rows, hour_ms) else { continue };
        let amount = covered(wanted, Subject::Contract(contract), period, booked);
        let part = parts.entry(row).or_insert_with(|| CoveredPart {
            row: row.clone(),
            life,
            amount: 0,
            load: 0,
            certificates: (0, 0),
        });
        part.amount += if wanted.factor == row.covers { -amount } else { amount };
        let subjects = beside.entry(row.covers).or_insert_with(|| covering(row.covers, known));
        part.load += subjects.iter().map(|of| covered(wanted, *of, period, booked)).sum::<i128>();
        let window = window(row, hour_ms, selection);
        let windows = windows.entry(row).or_default();
        if !windows.contains(&window) {
            windows.push(window);
            for one in given.iter().filter(|one| is_given(one, (row, window), &rows)) {
                part.certificates.0 += 1;
                part.certificates.1 += one.wh;
            }
        }
    }
    parts.into_values().map(|part| Part::Covered(Box::new(part))).collect()
}

/// The stretch of time within which a row is matched that holds an hour.
fn window(row: &ContractRow, hour_ms: i64, selection: &Selection) -> (i64, i64) {
    let calendar = &selection.policy.calendar;
    let window = row.matching.window().and_then(|window| calendar.around(window, hour_ms));
    window.unwrap_or((hour_ms, hour_ms + HOUR_MS))
}

/// The rows of a contract, as known at T.
fn rows(contract: Id, known: &Known) -> Vec<(&ContractRow, Life)> {
    let rows = known.facts.iter().filter_map(|(fact, life)| match fact {
        Fact::Contract(row) if row.contract == contract && life.withdrawn_ms.is_none() => {
            Some((row, *life))
        }
        _ => None,
    });
    rows.collect()
}

/// The one that holds in an hour.
fn row_of<'known>(
    rows: &[(&'known ContractRow, Life)],
    hour_ms: i64,
) -> Option<(&'known ContractRow, Life)> {
    let holding = rows.iter().filter(|(row, _)| row.validity.holds(hour_ms));
    holding.max_by_key(|(row, _)| (row.revision, *row)).copied()
}

/// What is booked of a subject beside what is wanted, 1e-9 kWh.
fn covered(wanted: &Wanted<'_>, subject: Subject, period: Period, booked: &Booked) -> i128 {
    let Wanted { node, unit, .. } = *wanted;
    let key = ActivityKey { period, node, subject, unit, factor: Id::NONE };
    booked.activity.get(&key).map_or(0, |measure| measure.amount.get())
}

/// Who shares the load under a factor: contracts, and what none covers.
fn covering(covers: Id, known: &Known) -> Vec<Subject> {
    let contracts = known.facts.keys().filter_map(|fact| match fact {
        Fact::Contract(row) if row.covers == covers => Some(Subject::Contract(row.contract)),
        _ => None,
    });
    let mut subjects: Vec<Subject> = contracts.chain([Subject::Uncovered(covers)]).collect();
    subjects.sort_unstable();
    subjects.dedup();
    subjects
}

/// The newest rows of certificates that are a contract's.
fn certificates(contract: Id, known: &Known) -> Vec<&CertificateRow> {
    let mut newest: BTreeMap<Id, &CertificateRow> = BTreeMap::new();
    for (fact, life) in &known.facts {
        if let Fact::Certificate(row) = fact
            && life.withdrawn_ms.is_none()
        {
            let known = newest.entry(row.certificate).or_insert(row);
            if (known.revision, *known) < (row.revision, row) {
                *known = row;
            }
        }
    }
    newest.into_values().filter(|one| one.contract == contract).collect()
}

/// Whether a certificate gives to a row of its contract in a window.
fn is_given(
    one: &CertificateRow,
    (row, window): (&ContractRow, (i64, i64)),
    rows: &[(&ContractRow, Life)],
) -> bool {
    let holds = || row_of(rows, one.validity.from_ms).is_some_and(|(held, _)| held == row);
    one.gives(row.zone, window) > 0 && (row.matching.window().is_none() || holds())
}
