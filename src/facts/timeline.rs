//! What holds when: rows of one key laid out along time.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use jiff::civil::Time;
use jiff::tz::TimeZone;
use plumeline_pipelines::model::Validity;
use plumeline_pipelines::model::time::{EARLIEST_MS, LATEST_MS};

use super::row::{Held, TableRow};

/// A stretch of time and the rows that win in it: all of the highest revision.
pub type Segment<'a, R> = (Validity, Vec<&'a Held<R>>);

/// Lays out `rows`, which are of one key: stretches in order, none overlapping, those without a row left
/// out.
#[must_use]
pub fn timeline<R: TableRow>(rows: &[Held<R>]) -> Vec<Segment<'_, R>> {
    let mut changes: BTreeMap<i64, Vec<(bool, usize)>> = BTreeMap::new();
    for (index, held) in rows.iter().enumerate() {
        let Validity { from_ms, to_ms } = held.row.validity();
        if from_ms < to_ms {
            changes.entry(from_ms).or_default().push((true, index));
            changes.entry(to_ms).or_default().push((false, index));
        }
    }
    let mut active: BTreeSet<(i64, usize)> = BTreeSet::new();
    let mut segments = Vec::new();
    let moments: Vec<i64> = changes.keys().copied().collect();
    for (position, (from_ms, at_once)) in changes.into_iter().enumerate() {
        for (opens, index) in at_once {
            let entry = (rows[index].row.revision(), index);
            if opens {
                active.insert(entry);
            } else {
                active.remove(&entry);
            }
        }
        let Some(&(highest, _)) = active.last() else {
            continue;
        };
        let to_ms = moments.get(position + 1).copied().unwrap_or(LATEST_MS);
        let winners = active.range((highest, 0)..).map(|(_, index)| &rows[*index]).collect();
        segments.push((Validity { from_ms, to_ms }, winners));
    }
    segments
}

/// When any of `rows` holds: stretches in order, neither overlapping nor touching.
#[must_use]
pub fn coverage<'a, R: TableRow + 'a>(
    rows: impl IntoIterator<Item = &'a Held<R>>,
) -> Vec<Validity> {
    let mut stretches: Vec<Validity> = rows.into_iter().map(|held| held.row.validity()).collect();
    stretches.retain(|stretch| stretch.from_ms < stretch.to_ms);
    stretches.sort_unstable();
    let mut merged: Vec<Validity> = Vec::new();
    for stretch in stretches {
        match merged.last_mut() {
            Some(last) if stretch.from_ms <= last.to_ms => {
                last.to_ms = last.to_ms.max(stretch.to_ms);
            }
            _ => merged.push(stretch),
        }
    }
    merged
}

/// What they have in common; `None` if nothing.
#[must_use]
pub(super) fn overlap(a: Validity, b: Validity) -> Option<Validity> {
    let (from_ms, to_ms) = (a.from_ms.max(b.from_ms), a.to_ms.min(b.to_ms));
    (from_ms < to_ms).then_some(Validity { from_ms, to_ms })
}

/// The first stretch of `wanted` that `covered` leaves out.
#[must_use]
pub(super) fn uncovered(wanted: Validity, covered: &[Validity]) -> Option<Validity> {
    let mut from_ms = wanted.from_ms;
    for stretch in covered {
        if stretch.from_ms > from_ms {
            break;
        }
        from_ms = from_ms.max(stretch.to_ms);
    }
    let next = covered.iter().map(|stretch| stretch.from_ms).find(|start| *start > from_ms);
    let to_ms = next.map_or(wanted.to_ms, |next| next.min(wanted.to_ms));
    (from_ms < to_ms).then_some(Validity { from_ms, to_ms })
}

/// An instant as people wrote it: a date where a civil day starts in `timezone`.
#[must_use]
pub(super) fn shown(ms: i64, timezone: &TimeZone) -> String {
    if ms < EARLIEST_MS {
        return "the beginning".into();
    }
    if ms >= LATEST_MS {
        return "the open end".into();
    }
    let Ok(instant) = Timestamp::from_millisecond(ms) else {
        return format!("{ms} ms");
    };
    let civil = instant.to_zoned(timezone.clone());
    if civil.time() == Time::midnight() { civil.date().to_string() } else { instant.to_string() }
}

/// A stretch, as `shown`.
#[must_use]
pub(super) fn shown_span(span: Validity, timezone: &TimeZone) -> String {
    format!("from {} to {}", shown(span.from_ms, timezone), shown(span.to_ms, timezone))
}

#[cfg(test)]
mod tests {
    use plumeline_pipelines::model::{Id, NodeRow};

    use super::super::row::{Origin, Place};
    use super::*;

    fn held(from_ms: i64, to_ms: i64, revision: i64) -> Held<NodeRow> {
        let place = Place { file: "n.csv".into(), line: None, origin: Origin::File };
        let validity = Validity { from_ms, to_ms };
        let row = NodeRow { node: Id(1), parent: Id::NONE, name: Id::NONE, validity, revision };
        Held { row, place }
    }

    #[test]
    fn the_highest_revision_wins_where_rows_overlap() {
        let rows = [held(0, 100, 0), held(20, 40, 1), held(60, 70, 0), held(120, 130, 5)];
        let won: Vec<_> = timeline(&rows)
            .into_iter()
            .map(|(v, winners)| (v.from_ms, v.to_ms, winners[0].row.revision, winners.len()))
            .collect();
        let expected = [
            (0, 20, 0, 1),
            (20, 40, 1, 1),
            (40, 60, 0, 1),
            (60, 70, 0, 2),
            (70, 100, 0, 1),
            (120, 130, 5, 1),
        ];
        assert_eq!(won, expected);
    }

    #[test]
    fn what_is_not_covered_is_found() {
        let rows = [held(0, 100, 0), held(100, 120, 1), held(150, 200, 0)];
        let covered = coverage(&rows);
        let span = |from_ms, to_ms| Validity { from_ms, to_ms };
        assert_eq!(covered, [span(0, 120), span(150, 200)]);
        assert_eq!(uncovered(span(10, 110), &covered), None);
        assert_eq!(uncovered(span(10, 160), &covered), Some(span(120, 150)));
        assert_eq!(uncovered(span(150, 300), &covered), Some(span(200, 300)));
        assert_eq!(uncovered(span(130, 140), &covered), Some(span(130, 140)));
        assert_eq!(uncovered(span(-5, 10), &covered), Some(span(-5, 0)));
    }

    #[test]
    fn instants_are_shown_as_dates_where_days_start() {
        let berlin = TimeZone::get("Europe/Berlin").unwrap();
        assert_eq!(shown(1_767_222_000_000, &berlin), "2026-01-01");
        assert_eq!(shown(1_767_222_000_000, &TimeZone::UTC), "2025-12-31T23:00:00Z");
        assert_eq!(shown(LATEST_MS, &berlin), "the open end");
    }
}
