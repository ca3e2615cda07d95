//! What a restatement books and recalls, as bytes: names written out, since ids are numbers of one process.
//!
//! ```text
//! LZ4 frame (with its checksum) ─ bincode ─┬─ names: texts; number 0 is "no name"
//!                                          └─ entries, with the numbers of these names in place of ids
//! ```

use std::collections::BTreeMap;
use std::io::{Read, Write};

use lz4_flex::frame::{FrameDecoder, FrameEncoder};
use plumeline_pipelines::hindsight::Recall;
use plumeline_pipelines::model::{
    ActivityEntry, EmissionEntry, FootprintEntry, Id, Names, Record, RestatedEntry, Subject,
};
use plumeline_sinks::delta::Rows;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::codec::Torn;

#[derive(Debug, Default, Serialize, Deserialize)]
struct Entries {
    names: Vec<String>,
    activity: Vec<ActivityEntry>,
    emissions: Vec<EmissionEntry>,
    footprints: Vec<FootprintEntry>,
}

#[derive(Debug, Default, Serialize, Deserialize)]
struct Recalled {
    names: Vec<String>,
    recalls: Vec<Recall>,
}

/// Names in the order in which they were first met.
struct Dictionary<'n> {
    names: &'n Names,
    numbers: BTreeMap<Id, u32>,
    texts: Vec<String>,
}

impl<'n> Dictionary<'n> {
    fn new(names: &'n Names) -> Self {
        Self { names, numbers: BTreeMap::new(), texts: Vec::new() }
    }

    fn number(&mut self, id: Id) -> Id {
        if id.is_none() {
            return id;
        }
        let Self { names, numbers, texts } = self;
        let number = numbers.entry(id).or_insert_with(|| {
            texts.push(names.name(id).to_string());
            u32::try_from(texts.len()).expect("a part has fewer names than 2^32")
        });
        Id(*number)
    }
}

/// The ids of the names of a part, by number.
struct Ids(Vec<Id>);

impl Ids {
    fn new(texts: &[String], names: &Names) -> Self {
        Self(texts.iter().map(|text| names.intern(text)).collect())
    }

    fn id(&self, number: Id) -> Result<Id, Torn> {
        let Some(index) = (number.0 as usize).checked_sub(1) else { return Ok(Id::NONE) };
        self.0.get(index).copied().ok_or(Torn("a name is missing"))
    }
}

fn subject(subject: Subject, mut id: impl FnMut(Id) -> Result<Id, Torn>) -> Result<Subject, Torn> {
    Ok(match subject {
        Subject::Meter(meter) => Subject::Meter(id(meter)?),
        Subject::Activity(activity) => Subject::Activity(id(activity)?),
        Subject::Contract(contract) => Subject::Contract(id(contract)?),
        Subject::Uncovered(factor) => Subject::Uncovered(id(factor)?),
    })
}

impl Entries {
    /// Puts other ids in place of all.
    fn rename(&mut self, mut id: impl FnMut(Id) -> Result<Id, Torn>) -> Result<(), Torn> {
        let activity = self.activity.iter_mut().map(|entry| &mut entry.key);
        let emissions = self.emissions.iter_mut().map(|entry| &mut entry.key.activity);
        for key in activity.chain(emissions) {
            key.node = id(key.node)?;
            key.subject = subject(key.subject, &mut id)?;
            key.factor = id(key.factor)?;
        }
        for entry in &mut self.footprints {
            entry.key.node = id(entry.key.node)?;
        }
        Ok(())
    }
}

impl Recalled {
    /// Puts other ids in place of all.
    fn rename(&mut self, mut id: impl FnMut(Id) -> Result<Id, Torn>) -> Result<(), Torn> {
        for Recall { subject: about, records } in &mut self.recalls {
            *about = subject(*about, &mut id)?;
            for record in records {
                match record {
                    Record::Reading(reading) => reading.meter = id(reading.meter)?,
                    Record::Activity(record) => {
                        record.activity = id(record.activity)?;
                        record.node = id(record.node)?;
                        record.factor = id(record.factor)?;
                    }
                }
            }
        }
        Ok(())
    }
}

fn packed(value: &impl Serialize) -> Vec<u8> {
    let mut encoder = FrameEncoder::with_frame_info(
        lz4_flex::frame::FrameInfo::new().content_checksum(true),
        Vec::new(),
    );
    let bytes = bincode::serialize(value).expect("plain values can be written");
    encoder.write_all(&bytes).expect("memory takes any bytes");
    encoder.finish().expect("memory takes any bytes")
}

fn unpacked<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Torn> {
    let mut body = Vec::new();
    let torn = Torn("a part of a restatement does not decompress");
    FrameDecoder::new(bytes).read_to_end(&mut body).map_err(|_| torn)?;
    bincode::deserialize(&body).map_err(|_| Torn("a part of a restatement is not one"))
}

/// Entries of `activity`, `emissions` or `footprints`.
///
/// # Panics
/// If the rows are those of another table.
pub(super) fn encode(rows: &Rows, names: &Names) -> Vec<u8> {
    let mut entries = Entries::default();
    match rows {
        Rows::Activity(rows) => entries.activity.clone_from(rows),
        Rows::Emissions(rows) => entries.emissions.clone_from(rows),
        Rows::Footprints(rows) => entries.footprints.clone_from(rows),
        _ => panic!("a restatement books entries of the ledger alone"),
    }
    let mut dictionary = Dictionary::new(names);
    entries.rename(|id| Ok(dictionary.number(id))).expect("every id has a number");
    entries.names = dictionary.texts;
    packed(&entries)
}

/// The entries that [`encode`] wrote, with what it left empty.
pub(super) fn decode(bytes: &[u8], names: &Names) -> Result<[Rows; 3], Torn> {
    let mut entries: Entries = unpacked(bytes)?;
    let ids = Ids::new(&entries.names, names);
    entries.rename(|number| ids.id(number))?;
    let Entries { activity, emissions, footprints, .. } = entries;
    Ok([Rows::Activity(activity), Rows::Emissions(emissions), Rows::Footprints(footprints)])
}

pub(super) fn encode_entry(entry: &RestatedEntry) -> Vec<u8> {
    packed(entry)
}

pub(super) fn decode_entry(bytes: &[u8]) -> Result<RestatedEntry, Torn> {
    unpacked(bytes)
}

pub(super) fn encode_recalls(recalls: &[Recall], names: &Names) -> Vec<u8> {
    let mut recalled = Recalled { recalls: recalls.to_vec(), ..Recalled::default() };
    let mut dictionary = Dictionary::new(names);
    recalled.rename(|id| Ok(dictionary.number(id))).expect("every id has a number");
    recalled.names = dictionary.texts;
    packed(&recalled)
}

pub(super) fn decode_recalls(bytes: &[u8], names: &Names) -> Result<Vec<Recall>, Torn> {
    let mut recalled: Recalled = unpacked(bytes)?;
    let ids = Ids::new(&recalled.names, names);
    recalled.rename(|number| ids.id(number))?;
    Ok(recalled.recalls)
}
