//! A journal of each format there ever was, as a text in `fixtures/journal`: every later version has to read it.
//!
//! ```text
//!   fixtures/journal/N.sql ──► a database ──► Journal::open ──► what is in it ══ the values below
//!   the values below ──► Journal (today's code) ──► a database ──► its dump ══ the newest of them
//! ```
//!
//! 1. A file is never changed: there are journals out there that look like it.
//! 2. Whoever changes what is written raises `FORMAT`, teaches the program to read both, and adds a file.
//! 3. Frames are compared as they are decompressed: another release of the compressor is no other format.
//! 4. Which rules hold (`semantics_version`) is a setting like others, and no part of the format: today's are put in.

#[path = "golden_values.rs"]
mod values;

use std::fmt::Write as _;
use std::io::Read;
use std::path::PathBuf;

use lz4_flex::frame::FrameDecoder;
use plumeline_connectors::FactChange;
use plumeline_pipelines::model::{
    ActivityEntry, ActivityKey, ActivityRecord, Arrival, Calendar, Decimal, Emission,
    EmissionEntry, EmissionKey, Fact, FactorRow, FootprintEntry, FootprintKey, Gas, GwpSet, Id,
    Line, Measure, MeterKind, MeterRow, Method, NodeRow, Period, Quality, Reading, Reason,
    RejectEvent, Retain, StampSide, Subject, Unit, Validity, Wide,
};
use rusqlite::Connection;
use tempfile::TempDir;

use super::db::FORMAT;
use super::*;
use values::{Owned, kept, parts, restating};

/// Where the files are, below the root.
const FOLDER: &str = "fixtures/journal";
/// The first instant of 2026, ms.
const START_MS: i64 = 1_767_225_600_000;
/// Sources by their numbers in [`parts`]; the pipeline file no longer has the last one.
const SOURCES: [&str; 3] = ["plant", "erp", "old"];
/// What was kept, it moved then; the horizon is a second behind.
const MOVED_MS: i64 = START_MS + 2_000;
const CUTS_MS: [i64; 2] = [START_MS + 3_000, START_MS + 4_000];

fn policy() -> Policy {
    Policy {
        period_ms: 900_000,
        grace_ms: 300_000,
        retain: Retain::of(3_456_000_000),
        samples_ms: 86_400_000,
        windows_ms: vec![3_600_000],
        calendar: Calendar::default(),
        gwp: GwpSet::Ar5,
    }
}

fn open(folder: &Path, names: &Arc<Names>) -> (Journal, Found) {
    let sources: Vec<Arc<str>> = SOURCES[..2].iter().copied().map(Arc::from).collect();
    Journal::open(folder, "acme", &mut policy(), &sources, Arc::clone(names)).unwrap()
}

/// The values as a journal of today's code.
fn write(folder: &Path) {
    let names = Arc::new(Names::new());
    let old = [SOURCES[2].into()];
    drop(Journal::open(folder, "acme", &mut policy(), &old, Arc::clone(&names)).unwrap());
    let (journal, _) = open(folder, &names);
    for Owned { ms, records, rejects, facts, positions } in &parts(&names) {
        journal
            .append(&Part { ms: *ms, records, rejects, facts, positions, aliases: None })
            .unwrap();
    }
    // One that a later one supersedes.
    journal.keep(MOVED_MS - 1, &[Vec::new()]).unwrap();
    journal.keep(MOVED_MS, &kept(&names)).unwrap();
    journal.cut(CUTS_MS[0]).unwrap();
    let (restating, entries) = restating(&names);
    assert_eq!(journal.propose().unwrap(), restating.id);
    for (part, rows) in (0..).zip(&entries) {
        journal.propose_part(restating.id, part, rows).unwrap();
    }
    journal.cut_restating(CUTS_MS[1], &restating).unwrap();
    journal.committed(CUTS_MS[0]).unwrap();
    while journal.forget(MOVED_MS, MOVED_MS - 1_000).unwrap() {}
}

/// The path of the file of a format.
fn file(format: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(FOLDER).join(format!("{format}.sql"))
}

/// The text of a format, as a journal in a folder.
fn built(format: &str) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let db = Connection::open(folder.path().join(FILE)).unwrap();
    // A format without a file is one whose file is still to be added.
    db.execute_batch(&std::fs::read_to_string(file(format)).unwrap_or_default()).unwrap();
    let sql = "UPDATE meta SET value = ?1 WHERE key = 'semantics_version'";
    if db.table_exists(None, "meta").unwrap() {
        db.execute(sql, [SEMANTICS_VERSION.to_string()]).unwrap();
    }
    folder
}

/// The database in a folder as the statements that make it; `is_plain` decompresses frames.
fn dump(folder: &Path, is_plain: bool) -> String {
    let db = Connection::open(folder.join(FILE)).unwrap();
    if is_plain {
        decompress(&db);
    }
    let texts = |sql: &str| -> Vec<String> {
        let mut statement = db.prepare(sql).unwrap();
        let rows = statement.query_map([], |row| row.get(0)).unwrap();
        rows.map(Result::unwrap).collect()
    };
    let mut dump = String::new();
    for sql in texts("SELECT sql FROM sqlite_master WHERE sql IS NOT NULL ORDER BY rowid") {
        writeln!(dump, "{sql};").unwrap();
    }
    for table in texts("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY rowid") {
        let columns = texts(&format!("SELECT name FROM pragma_table_info('{table}')"));
        let quoted: Vec<_> = columns.iter().map(|column| format!("quote({column})")).collect();
        let quoted = quoted.join(" || ', ' || ");
        let order = &columns[..columns.len().min(2)].join(", ");
        for row in texts(&format!("SELECT {quoted} FROM {table} ORDER BY {order}")) {
            writeln!(dump, "INSERT INTO {table} VALUES ({row});").unwrap();
        }
    }
    dump
}

fn decompress(db: &Connection) {
    let packed = [
        ("frames", "body"),
        ("kept", "body"),
        ("restated", "body"),
        ("restatements", "entry"),
        ("restatements", "recalls"),
    ];
    for (table, column) in packed {
        let Ok(mut statement) = db.prepare(&format!("SELECT rowid, {column} FROM {table}")) else {
            continue;
        };
        let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
        let rows: Vec<(i64, Vec<u8>)> = rows.map(Result::unwrap).collect();
        for (id, body) in rows {
            let mut plain = Vec::new();
            FrameDecoder::new(&*body).read_to_end(&mut plain).unwrap();
            let sql = format!("UPDATE {table} SET {column} = ?1 WHERE rowid = ?2");
            db.execute(&sql, rusqlite::params![plain, id]).unwrap();
        }
    }
}

/// All formats that there are files of.
fn formats() -> Vec<String> {
    let folder = std::fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join(FOLDER)).unwrap();
    let names = folder.map(|entry| entry.unwrap().path());
    names.map(|path| path.file_stem().unwrap().to_str().unwrap().to_owned()).collect()
}

#[test]
fn journals_of_all_formats_can_be_read() {
    let formats = formats();
    assert!(formats.contains(&"1".to_owned()), "{formats:?}");
    for format in formats {
        let folder = built(&format);
        let names = Arc::new(Names::new());
        names.intern("something else");
        let (journal, found) = open(folder.path(), &names);
        let expected = Found {
            newest_ms: Some(CUTS_MS[1]),
            last_index: 8,
            committed_ms: Some(CUTS_MS[0]),
            newest_cut_ms: Some(CUTS_MS[1]),
            method_ms: None,
        };
        assert_eq!(found, expected, "format {format}");
        let sources = journal.sources().all();
        let sources: Vec<&str> = sources.iter().map(|name| &**name).collect();
        assert_eq!(sources, SOURCES, "format {format}");
        assert_ticks(&journal, &names, &format);
        assert_positions(&journal);
    }
}

/// Frames, facts, cuts and what was kept are what they were.
#[track_caller]
fn assert_ticks(journal: &Journal, names: &Names, format: &str) {
    let reader = journal.reader().unwrap();
    let mut stored = Vec::new();
    let mut last_ms = i64::MIN;
    while let Some(ms) = reader.next_ms(last_ms, i64::MAX).unwrap() {
        stored.push(reader.tick(ms).unwrap());
        last_ms = ms;
    }
    let [_, appended @ ..] = parts(names);
    let mut expected: Vec<Stored> = appended
        .into_iter()
        .map(|Owned { ms, records, rejects, facts, .. }| {
            let frame = Frame { records, rejects };
            Stored { ms, frame, facts, is_cut: false }
        })
        .collect();
    expected.extend(CUTS_MS.map(|ms| Stored { ms, is_cut: true, ..Stored::default() }));
    expected.sort_by_key(|stored| stored.ms);
    assert_eq!(stored, expected);
    let mut records = kept(names).concat();
    let mut recalled = BTreeMap::new();
    if format == "1" {
        assert_eq!(reader.restating(CUTS_MS[1]).unwrap(), None);
    } else {
        let (restating, entries) = restating(names);
        let id = restating.id;
        assert_eq!(reader.restating(CUTS_MS[0]).unwrap(), None);
        records.extend(restating.recalls.iter().flat_map(|recall| recall.records.clone()));
        recalled.insert(names.intern("gone"), CUTS_MS[1]);
        assert_eq!(reader.restating(CUTS_MS[1]).unwrap(), Some(restating));
        let shown = |rows: &dyn std::fmt::Debug| format!("{rows:?}");
        for (part, rows) in (0..).zip(&entries) {
            let found = reader.restated(id, part).unwrap().unwrap();
            assert!(found.iter().any(|found| shown(found) == shown(rows)), "{found:?}");
        }
        assert!(reader.restated(id, 3).unwrap().is_none());
    }
    for (index, record) in (1..).zip(&mut records) {
        record.arrival_mut().index = index;
    }
    let expected = Kept { records, recalled };
    assert_eq!(reader.kept(MOVED_MS, i64::MAX).unwrap(), Some(expected));
    assert_eq!(reader.kept(MOVED_MS - 1, MOVED_MS).unwrap(), None);
    assert_eq!(reader.count_until(i64::MAX).unwrap(), (2, 7));
}

#[track_caller]
fn assert_positions(journal: &Journal) {
    let positions = |source: &str| {
        let positions = journal.positions(source).unwrap().into_iter();
        positions.map(|position| (position.stream, position.at)).collect::<Vec<_>>()
    };
    let expected = |positions: &[(&str, &str)]| {
        let texts = positions.iter().map(|(stream, at)| ((*stream).to_owned(), (*at).to_owned()));
        texts.collect::<Vec<_>>()
    };
    assert_eq!(positions("plant"), expected(&[("", "17")]));
    assert_eq!(positions("erp"), expected(&[("0 readings", "9"), ("1 it's", "{\"a\":1}")]));
    assert_eq!(positions("old"), []);
}

#[test]
fn journals_of_all_formats_can_be_looked_into() {
    for format in formats() {
        let folder = built(&format);
        let path = folder.path().join(FILE);
        let text = info(&path).unwrap();
        for line in [
            "name               acme",
            &format!("format             {format}"),
            "period             900000 ms",
            "grace              300000 ms",
            "retain             3456000000 ms",
            "gwp                ar5",
            "sources            old, plant, erp",
            "frames             2",
            "records            7",
            "newest tick        2026-01-01T00:00:04Z",
            "committed cut      2026-01-01T00:00:03Z",
        ] {
            assert!(text.lines().any(|known| known == line), "`{line}` in:\n{text}");
        }
        assert_eq!(verify(&path).unwrap(), Vec::<String>::new());
        let mut lines = Vec::new();
        export(&path, &mut lines).unwrap();
        assert_eq!(String::from_utf8(lines).unwrap().lines().count(), 7);
    }
}

#[test]
fn nobody_changes_the_format_without_its_number() {
    let (golden, today) = (built(FORMAT), tempfile::tempdir().unwrap());
    write(today.path());
    let text = dump(today.path(), false);
    let (expected, found) = (dump(golden.path(), true), dump(today.path(), true));
    if found == expected {
        return;
    }
    let (_, path) = tempfile::NamedTempFile::with_suffix(".sql").unwrap().keep().unwrap();
    std::fs::write(&path, text).unwrap();
    let differs = found.lines().filter(|line| !expected.lines().any(|known| known == *line));
    panic!(
        "today's code writes another journal than {FOLDER}/{FORMAT}.sql. If that is meant: keep the file, raise \
         FORMAT in src/journal/db.rs, go on reading what was written under the old number, and add what is \
         written today, {}, as the new number's file. If it is not: these lines differ (with frames \
         decompressed):\n{}",
        path.display(),
        differs.collect::<Vec<_>>().join("\n")
    );
}
