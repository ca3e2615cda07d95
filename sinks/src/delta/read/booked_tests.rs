//! Of entries, those that are asked for are handed over, however they are filed.

use std::sync::Arc;

use plumeline_pipelines::model::time::{DAY_MS, HOUR_MS};
use plumeline_pipelines::model::{Cause, GwpSet, Names, Tick};
use tempfile::TempDir;

use super::tests::{lake as merged_lake, reader as merged_reader};
use super::{Asked, Booked, LakeReader};
use crate::delta::tests::{Memory, START_MS, config, cut, footprint, write_everything};
use crate::delta::{Lake, Rows, TableName};

/// Cuts at noon of these days; each has a footprint of two nodes, in an hour of its number.
const DAYS: [i64; 3] = [0, 1, 2];

fn at(day: i64) -> Tick {
    Tick::new(START_MS + day * DAY_MS + DAY_MS / 2, Cause::Cut)
}

fn lake() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let names = Arc::new(Names::new());
    let mut lake = Lake::open(config(folder.path().to_str().unwrap()), Arc::clone(&names)).unwrap();
    for day in DAYS {
        let mut writer = lake.begin(at(day));
        let rows = ["acme", "plant"].map(|node| {
            let mut row = footprint(&names, node, 0, i128::from(day) + 1);
            row.key.start_ms += day * HOUR_MS;
            row
        });
        writer.append(0, Rows::Footprints(rows.to_vec())).unwrap();
        writer.commit().unwrap();
    }
    folder
}

fn all() -> Asked {
    Asked { from_ms: 0, to_ms: i64::MAX, after_ms: 0, until_ms: at(9).ms(), node: None }
}

fn read(folder: &TempDir, table: TableName, asked: &Asked) -> Vec<(Arc<str>, Booked)> {
    let names = Arc::new(Names::new());
    let config = config(folder.path().to_str().unwrap());
    let mut reader = LakeReader::of(config, Arc::clone(&names), |read| read == table).unwrap();
    let mut found = Vec::new();
    reader.each_booked(asked, |row| found.push((names.name(row.node), row))).unwrap();
    found
}

#[test]
fn footprints_are_found_by_node_by_when_and_by_when_they_were_recorded() {
    let folder = lake();
    let found = |asked: Asked| {
        let rows = read(&folder, TableName::Footprints, &asked);
        let told = |(node, row): &(Arc<str>, Booked)| {
            assert_eq!((row.subject.is_none(), row.gwp), (true, None));
            format!("{node} {}", row.change.co2e.get())
        };
        rows.iter().map(told).collect::<Vec<_>>()
    };
    assert_eq!(found(all()).len(), 6);
    let acme = Asked { node: Some("acme".into()), ..all() };
    assert_eq!(found(acme.clone()), ["acme 1", "acme 2", "acme 3"]);
    let (after_ms, until_ms) = (at(0).ms(), at(1).ms());
    assert_eq!(found(Asked { after_ms, until_ms, ..acme.clone() }), ["acme 2"]);
    let first = read(&folder, TableName::Footprints, &acme)[0].1.start_ms;
    let hours = |from: i64, to: i64| Asked {
        from_ms: first + from * HOUR_MS,
        to_ms: first + to * HOUR_MS,
        ..acme.clone()
    };
    assert_eq!(found(hours(1, 2)), ["acme 2"]);
    assert_eq!(found(hours(1, 9)), ["acme 2", "acme 3"]);
    assert_eq!(found(Asked { node: Some("acm".into()), ..all() }), [""; 0]);
}

#[test]
fn emissions_say_why_and_in_which_set() {
    let folder = tempfile::tempdir().unwrap();
    let config = config(folder.path().to_str().unwrap());
    let names = Arc::new(Names::new());
    let mut lake = Lake::open(config.clone(), Arc::clone(&names)).unwrap();
    for index in [1, 2] {
        let mut writer = lake.begin(cut(index));
        write_everything(&mut writer, &names);
        writer.commit().unwrap();
    }
    let emissions = |table| table == TableName::Emissions;
    let mut reader = LakeReader::of(config, Arc::clone(&names), emissions).unwrap();
    let newest = |until_ms| reader.newest_gwp(until_ms).unwrap();
    assert_eq!(newest(cut(9).ms()), Some((cut(2), GwpSet::Ar6)));
    assert_eq!(newest(cut(2).ms() - 1), Some((cut(1), GwpSet::Ar6)));
    assert_eq!(newest(cut(1).ms() - 1), None);
    let mut rows = Vec::new();
    reader.each_booked(&Asked { until_ms: cut(1).ms(), ..all() }, |row| rows.push(row)).unwrap();
    assert!(!rows.is_empty());
    for row in rows {
        assert_eq!((row.cut, row.gwp), (cut(1), Some(GwpSet::Ar6)));
        assert_eq!(&*names.name(row.reason), "restated");
        assert!(!row.subject.is_none());
    }
}

#[test]
fn merged_files_give_the_same_entries() {
    let memory = Memory::new();
    let lake = merged_lake(&memory);
    let (after_ms, until_ms) = (cut(7).ms(), cut(160).ms());
    let asked = [
        Asked { until_ms: cut(9_000).ms(), ..all() },
        Asked { after_ms, until_ms, ..all() },
        Asked { after_ms, until_ms, node: Some("acme".into()), ..all() },
        Asked { until_ms, to_ms: START_MS, ..all() },
    ];
    let found = |asked: &Asked| {
        let mut rows = Vec::new();
        let mut reader = merged_reader(&memory, usize::MAX);
        let wanted = [TableName::Emissions, TableName::Footprints];
        reader.files.retain(|file| wanted.contains(&file.table));
        reader.merged.retain(|file| wanted.contains(&file.table));
        let newest = reader.newest_gwp(until_ms).unwrap();
        assert_eq!(newest, Some((cut(160), GwpSet::Ar6)));
        reader.each_booked(asked, |row| rows.push(format!("{row:?}"))).unwrap();
        rows.sort_unstable();
        rows
    };
    let before = asked.each_ref().map(found);
    let counts = before.each_ref().map(Vec::len);
    assert!(counts[0] > counts[1] && counts[1] > counts[2] && counts[2] > 0, "{counts:?}");
    assert_eq!(counts[3], 0);
    for after_ms in [30 * HOUR_MS, HOUR_MS] {
        let mut compactor = lake.compactor(after_ms);
        while compactor.step(&|| true).unwrap().is_some() {}
        assert_eq!(asked.each_ref().map(found), before);
    }
}
