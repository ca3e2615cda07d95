//! `plumeline journal info|verify|export`: what people may want to know of a journal, without writing to it.

use std::fmt::Write as _;
use std::io::Write;
use std::path::Path;
use std::sync::Arc;

use jiff::Timestamp;
use plumeline_pipelines::model::{Decimal, Names, Record, Unit};
use serde_json::json;

use super::db::Db;
use super::{Frame, JournalError, Naming};

/// What is in the journal at `path`, in a few lines.
///
/// # Errors
/// If it cannot be read.
pub fn info(path: &Path) -> Result<String, JournalError> {
    let db = Db::open_to_read(path)?;
    let mut text = String::new();
    for key in ["name", "format", "semantics_version", "period", "grace", "retain", "gwp"] {
        let value = db.meta(key)?.unwrap_or_default();
        // Writing to a `String` cannot fail.
        writeln!(text, "{key:<18} {value}").unwrap_or_default();
    }
    let (frames, records) = db.count_until(i64::MAX)?;
    let committed = db.meta("committed_ms")?.and_then(|ms| ms.parse().ok()).map(shown);
    let newest = db.newest_ms()?.map(shown);
    let bytes = std::fs::metadata(path).map_or(0, |data| data.len());
    let sources = db.sources(&[])?;
    for (key, value) in [
        ("sources", sources.join(", ")),
        ("frames", frames.to_string()),
        ("records", records.to_string()),
        ("bytes", bytes.to_string()),
        ("newest tick", newest.unwrap_or_else(|| "none".to_owned())),
        ("committed cut", committed.unwrap_or_else(|| "none".to_owned())),
    ] {
        writeln!(text, "{key:<18} {value}").unwrap_or_default();
    }
    Ok(text)
}

/// What is wrong with the journal at `path`; nothing, if all of it can be read.
///
/// # Errors
/// If it cannot be opened at all.
pub fn verify(path: &Path) -> Result<Vec<String>, JournalError> {
    let db = Db::open_to_read(path)?;
    let mut problems = db.integrity()?;
    let (names, sources) = (Names::new(), db.sources(&[])?);
    let naming = Naming { names: &names, sources: &sources };
    let mut last_ms = i64::MIN;
    while let Some(ms) = db.next_ms(last_ms, i64::MAX)? {
        for (number, body) in (1..).zip(db.frames(ms)?) {
            if let Err(torn) = Frame::decode(&body, naming) {
                problems.push(format!("frame {number} of tick {}: {torn}", shown(ms)));
            }
        }
        if let Err(error) = db.facts(ms - 1, ms, naming) {
            problems.push(format!("facts of tick {}: {}", shown(ms), crate::chain(&error)));
        }
        last_ms = ms;
    }
    Ok(problems)
}

/// Writes every record of the journal at `path` as a JSON line.
///
/// # Errors
/// If it cannot be read; what `out` refuses ends the export quietly, as a reader that has gone.
pub fn export(path: &Path, out: &mut dyn Write) -> Result<(), JournalError> {
    let db = Db::open_to_read(path)?;
    let (names, sources) = (Names::new(), db.sources(&[])?);
    let naming = Naming { names: &names, sources: &sources };
    let mut last_ms = i64::MIN;
    while let Some(ms) = db.next_ms(last_ms, i64::MAX)? {
        for body in db.frames(ms)? {
            let frame = Frame::decode(&body, naming)?;
            for record in &frame.records {
                if writeln!(out, "{}", line(ms, record, &names, &sources)).is_err() {
                    return Ok(());
                }
            }
        }
        last_ms = ms;
    }
    Ok(())
}

fn line(ms: i64, record: &Record, names: &Names, sources: &[Arc<str>]) -> serde_json::Value {
    let name = |id| names.name(id).to_string();
    let number = |value: Option<Decimal>| value.map(|v| v.to_string());
    let source = &*sources[usize::from(record.arrival().source)];
    match record {
        Record::Reading(r) => json!({
            "tick": shown(ms), "source": source, "meter": name(r.meter),
            "observed_at": shown(r.at_ms), "from": r.from_ms.map(shown), "value": number(r.value),
            "unit": r.unit.map(Unit::symbol), "version": r.version,
            "quality": r.quality.name(), "position": r.arrival.position,
        }),
        Record::Activity(a) => json!({
            "tick": shown(ms), "source": source, "activity": name(a.activity), "node": name(a.node),
            "factor": name(a.factor), "from": shown(a.from_ms), "to": shown(a.to_ms),
            "value": number(a.value), "unit": a.unit.symbol(), "version": a.version,
            "quality": a.quality.name(), "position": a.arrival.position,
        }),
    }
}

fn shown(ms: i64) -> String {
    Timestamp::from_millisecond(ms).map_or_else(|_| ms.to_string(), |at| at.to_string())
}
