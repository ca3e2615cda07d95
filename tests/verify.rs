//! `plumeline verify` finds what was changed in a ledger, a restart what was changed in its journal.
//!
//! That a good ledger passes is also asked after every kill test and ledger test.

#![allow(clippy::unwrap_used, reason = "a test ends where something is wrong")]

mod rig;
mod support;

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use rig::{FILE_SOURCE, Rig, reading};

fn lines(numbers: std::ops::Range<i64>) -> String {
    numbers.map(|number| reading(number) + "\n").collect()
}

/// A ledger of two runs, and so of several cuts.
fn ledger_of_two_runs() -> Rig {
    let rig = Rig::plain(&format!("{FILE_SOURCE}follow = false\n"), "1s");
    rig.write("readings.jsonl", lines(0..40));
    rig.run_to_end();
    rig.write("readings.jsonl", lines(40..60));
    rig.run_to_end();
    rig
}

/// What `plumeline verify` prints, and how it ends.
fn verified(rig: &Rig) -> (Option<i32>, String) {
    let output = rig.plumeline(&["verify"]);
    let said = [output.stdout, output.stderr].map(|text| String::from_utf8(text).unwrap());
    (output.status.code(), said.concat())
}

/// The data files of a table, in the order of their cuts.
fn files(rig: &Rig, table: &str) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for day in fs::read_dir(rig.path("lake").join(table)).unwrap() {
        let day = day.unwrap();
        if day.file_name().to_str().unwrap().starts_with("recorded_date=") {
            files.extend(fs::read_dir(day.path()).unwrap().map(|file| file.unwrap().path()));
        }
    }
    files.sort_unstable();
    files
}

#[test]
fn a_ledger_is_what_its_readings_lead_to() {
    let rig = ledger_of_two_runs();
    let (code, said) = verified(&rig);
    assert_eq!(code, Some(0), "{said}");
    assert!(said.starts_with("every balance at every cut is what the batch reference computes"));
    assert!(said.contains("from 60 records and 7 rows of facts"), "{said}");
}

#[test]
fn an_entry_that_is_there_twice_is_named() {
    for table in ["activity", "emissions", "footprints"] {
        let rig = ledger_of_two_runs();
        let files = files(&rig, table);
        // The rows of an early cut in place of those of the last.
        fs::copy(&files[0], files.last().unwrap()).unwrap();
        let (code, said) = verified(&rig);
        assert_eq!(code, Some(1), "{table}: {said}");
        assert!(said.contains(&format!("table `{table}`, recorded at ")), "{said}");
        assert!(said.contains("it says ") && said.contains("it must be "), "{said}");
    }
}

#[test]
fn a_reading_that_is_gone_is_missed() {
    let rig = ledger_of_two_runs();
    let files = files(&rig, "readings");
    fs::copy(files.last().unwrap(), &files[0]).unwrap();
    let (code, said) = verified(&rig);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("table `activity`") || said.contains("is there twice"), "{said}");
}

#[test]
fn what_cannot_be_verified_says_why() {
    let rig = ledger_of_two_runs();
    fs::write(&files(&rig, "emissions")[0], "no Parquet").unwrap();
    let (code, said) = verified(&rig);
    assert_eq!(code, Some(1));
    assert!(said.contains("of table `emissions` cannot be read"), "{said}");

    let rig = Rig::plain(FILE_SOURCE, "1s");
    let (code, said) = verified(&rig);
    assert_eq!(code, Some(1));
    assert!(said.starts_with("there is nothing to verify"), "{said}");
    rig.edit("pipeline.toml", "url = \"lake\"", "url = \"lake\"\nreadings = \"none\"");
    let (code, said) = verified(&rig);
    assert_eq!(code, Some(1));
    assert!(said.contains("`readings = \"none\"`"), "{said}");
}

#[test]
fn a_journal_that_does_not_lead_to_its_tables_is_refused() {
    let rig = ledger_of_two_runs();
    let journal = rusqlite::Connection::open(rig.path("state/journal.db")).unwrap();
    let sql = "DELETE FROM frames WHERE seq = (SELECT min(seq) FROM frames)";
    assert_eq!(journal.execute(sql, []).unwrap(), 1);
    drop(journal);
    let before = files(&rig, "activity");
    rig.write("readings.jsonl", lines(60..70));
    let output = rig.plumeline(&["run"]);
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(
        said.contains("what the journal leads to is not what the newest commit says of table"),
        "{said}"
    );
    assert_eq!(files(&rig, "activity"), before, "nothing was written");
}

#[test]
fn a_journal_can_be_looked_into() {
    let rig = ledger_of_two_runs();
    let path = rig.path("state/journal.db");
    let look = |how: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_plumeline"));
        let output = command.args(["journal", how]).arg(&path).output().unwrap();
        (output.status.code(), String::from_utf8(output.stdout).unwrap())
    };
    let (code, info) = look("info");
    assert_eq!(code, Some(0));
    assert!(info.contains("name               acme") && info.contains("records            60"));
    assert_eq!(look("verify"), (Some(0), "all of it can be read\n".to_owned()));
    let (code, exported) = look("export");
    assert_eq!((code, exported.lines().count()), (Some(0), 60));
    // Half of a frame.
    let journal = rusqlite::Connection::open(&path).unwrap();
    journal.execute("UPDATE frames SET body = substr(body, 1, length(body) / 2)", []).unwrap();
    drop(journal);
    let (code, said) = look("verify");
    assert_eq!(code, Some(1));
    assert!(said.contains("frame 1 of tick "), "{said}");
}

#[test]
fn a_journal_of_a_newer_format_is_refused_by_whatever_opens_it() {
    let rig = Rig::plain(FILE_SOURCE, "1s");
    rig.write("readings.jsonl", lines(0..4));
    rig.run_to_end();
    let path = rig.path("state/journal.db");
    let journal = rusqlite::Connection::open(&path).unwrap();
    journal.execute("UPDATE meta SET value = '99' WHERE key = 'format'", []).unwrap();
    drop(journal);
    let refused = |words: &[&str], what: PathBuf| {
        let output = Command::new(env!("CARGO_BIN_EXE_plumeline")).args(words).arg(what).output();
        let output = output.unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{words:?}: {said}");
        assert!(said.contains("has format \"99\", and this program knows 3"), "{words:?}: {said}");
        assert!(!said.contains("panicked") && output.stdout.is_empty(), "{words:?}: {said}");
    };
    for look in ["info", "verify", "export"] {
        refused(&["journal", look], path.clone());
    }
    refused(&["run"], rig.path("pipeline.toml"));
}
