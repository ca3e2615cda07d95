//! What is read of merged files is what was committed, cut by cut, in bounded memory.

use std::sync::Arc;

use plumeline_pipelines::model::Tick;

use super::{CutRows, LakeReader};
use crate::delta::engine::Engine;
use crate::delta::tests::{Memory, config, cut, write_everything};
use crate::delta::{Lake, TableName};

/// Cuts of 40 minutes, two hours later one more, and a day later one.
pub(super) fn lake(memory: &Memory) -> Lake {
    let mut lake = memory.open();
    for index in (1..40).chain([160, 161, 3_000]) {
        let mut writer = lake.begin(cut(index));
        write_everything(&mut writer, &memory.names);
        writer.commit().expect("committed");
    }
    lake
}

pub(super) fn reader(memory: &Memory, rows_held_max: usize) -> LakeReader {
    let engine = Engine::new(memory.place()).expect("an engine");
    let config = config("memory:///lake");
    let mut reader = LakeReader::on(engine, config, Arc::clone(&memory.names), |_| true);
    if let Ok(reader) = &mut reader {
        reader.rows_held_max = rows_held_max;
    }
    reader.expect("a reader")
}

/// All cuts, each with its rows in one order; and the most rows that were held at once.
fn read(mut reader: LakeReader) -> (Vec<(Tick, String)>, usize) {
    let (mut cuts, mut held) = (Vec::new(), 0);
    while let Some((cut, rows)) = reader.next_cut().expect("it can be read") {
        let more: usize = reader.pending.values().map(CutRows::count).sum();
        held = held.max(more + rows.count());
        cuts.push((cut, text(&rows)));
    }
    let (read, all) = reader.progress();
    assert_eq!(read, all);
    (cuts, held)
}

fn text(rows: &CutRows) -> String {
    let CutRows {
        facts,
        readings,
        activity_data,
        activity,
        emissions,
        reasons: _,
        footprints,
        pending,
        restated,
        gwp,
        rejects,
    } = rows;
    let mut lines: Vec<String> = facts.iter().map(|row| format!("{row:?}")).collect();
    lines.extend(readings.iter().map(|row| format!("{row:?}")));
    lines.extend(activity_data.iter().map(|row| format!("{row:?}")));
    lines.extend(activity.iter().map(|row| format!("{row:?}")));
    lines.extend(emissions.iter().map(|row| format!("{row:?}")));
    lines.extend(footprints.iter().map(|row| format!("{row:?}")));
    lines.extend(pending.iter().map(|row| format!("{row:?}")));
    lines.extend(restated.iter().map(|row| format!("{row:?}")));
    lines.extend(rejects.iter().map(|row| format!("{row:?}")));
    lines.push(format!("{gwp:?}"));
    lines.sort_unstable();
    lines.concat()
}

#[test]
fn merged_files_are_read_cut_by_cut_in_bounded_memory() {
    let memory = Memory::new();
    let lake = lake(&memory);
    let (expected, one) = read(reader(&memory, usize::MAX));
    assert_eq!(expected.len(), 42);
    // While the day lasts, and when it is over.
    for after_ms in [30 * 3_600_000, 3_600_000] {
        let mut compactor = lake.compactor(after_ms);
        while compactor.step(&|| true).expect("nothing fails").is_some() {}
        for rows_held_max in [usize::MAX, 100, 1] {
            let (cuts, held) = read(reader(&memory, rows_held_max));
            assert_eq!(cuts, expected, "{rows_held_max}");
            assert!(held <= rows_held_max.max(one), "{held} rows of {rows_held_max}");
        }
    }
    let live = Engine::new(memory.place()).expect("an engine");
    let owner = config("memory:///lake").owner();
    let log = crate::delta::log::TableLog::find(&live, TableName::Activity, &owner);
    let log = log.expect("a log").expect("a table");
    assert_eq!(log.live_files(&live, |_| true).expect("files").len(), 1 + 2);
}
