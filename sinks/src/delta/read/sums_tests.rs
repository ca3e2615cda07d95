//! Rows are read back for sums, which know no order of cuts.

use std::sync::Arc;

use plumeline_pipelines::model::time::DAY_MS;
use plumeline_pipelines::model::{Cause, Names, Tick};
use tempfile::TempDir;

use super::LakeReader;
use crate::delta::tests::{START_MS, config, footprint};
use crate::delta::{Lake, Rows, TableName};

/// Cuts at noon of these days, each with a footprint.
const CUTS: [(i64, i128); 4] = [(0, 1), (1, 20), (2, 300), (3, 4000)];

fn at(day: i64) -> Tick {
    Tick::new(START_MS + day * DAY_MS + DAY_MS / 2, Cause::Cut)
}

fn lake() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let names = Arc::new(Names::new());
    let mut lake = Lake::open(config(folder.path().to_str().unwrap()), Arc::clone(&names)).unwrap();
    for (day, co2e) in CUTS {
        let mut writer = lake.begin(at(day));
        writer.append(0, Rows::Footprints(vec![footprint(&names, "acme", 0, co2e)])).unwrap();
        writer.commit().unwrap();
    }
    folder
}

fn reader(folder: &TempDir) -> LakeReader {
    let config = config(folder.path().to_str().unwrap());
    let is_read = |table| table == TableName::Footprints;
    LakeReader::of(config, Arc::new(Names::new()), is_read).unwrap()
}

/// What it hands over until it has handed over `most` batches.
fn read(mut reader: LakeReader, most: usize) -> Vec<(Tick, i128)> {
    let mut read = Vec::new();
    let taken = reader.each_batch(|cut, rows| {
        assert!(rows.activity.is_empty() && rows.readings.is_empty());
        read.extend(rows.footprints.iter().map(|(_, change)| (cut, change.co2e.get())));
        read.len() < most
    });
    taken.unwrap();
    read
}

#[test]
fn all_rows_of_a_table_are_handed_over_until_somebody_says_no() {
    let folder = lake();
    let all = CUTS.map(|(day, co2e)| (at(day), co2e));
    assert_eq!(read(reader(&folder), 9), all);
    assert_eq!(read(reader(&folder), 2), all[..2]);
}

#[test]
fn files_of_days_that_were_over_are_not_read() {
    let folder = lake();
    for (from_ms, days) in
        [(0, 4), (DAY_MS - 1, 4), (DAY_MS, 3), (5 * DAY_MS / 2, 2), (9 * DAY_MS, 0)]
    {
        let mut reader = reader(&folder);
        reader.skip_days_before(START_MS + from_ms);
        assert_eq!(reader.progress(), (0, days), "{from_ms}");
        let left = &CUTS[CUTS.len() - days..];
        let left: Vec<_> = left.iter().map(|(day, co2e)| (at(*day), *co2e)).collect();
        assert_eq!(read(reader, 9), left, "{from_ms}");
    }
}
