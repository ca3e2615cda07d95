//! Frames: records and rejects as bytes. Columns one after the other, names in a dictionary, LZ4 around all.
//!
//! ```text
//! LZ4 frame (with its checksum) ─┬─ dictionary: texts; number 0 is "no name"
//!                                ├─ readings: count, then a column each: meters, instants, ...
//!                                ├─ activities: the same
//!                                └─ rejects
//! ```
//!
//! 1. Names are written out in each frame. *Ids are numbers of one process; a frame outlives it.*
//! 2. Instants, indexes and positions are differences to the one before: mostly a byte or two.
//! 3. Units and sources are told by name, too. *A table that grows may renumber them.*

use std::io::{Read, Write};
use std::sync::Arc;

use lz4_flex::frame::{FrameDecoder, FrameEncoder, FrameInfo};
use plumeline_pipelines::model::{
    ActivityRecord, Arrival, Decimal, Id, Names, Quality, Reading, Record, RejectEntry,
    RejectEvent, Unit,
};

use super::codec::{In, Out, Torn};

/// Largest frame that is read back, decompressed: far above what is ever written.
const FRAME_BYTES_MAX: u64 = 1 << 30;

/// Records and rejects of a source, or what was kept of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Frame {
    /// In the order they were taken in.
    pub records: Vec<Record>,
    /// Payloads that were refused.
    pub rejects: Vec<RejectEntry>,
}

/// What numbers of a process mean.
#[derive(Copy, Clone, Debug)]
pub struct Naming<'a> {
    /// Of meters, activities, nodes, factors.
    pub names: &'a Names,
    /// Of sources: those of the pipeline file first, then those that it no longer has.
    pub sources: &'a [Arc<str>],
}

impl Frame {
    /// The frame as bytes.
    ///
    /// # Panics
    /// Never: memory takes any bytes.
    #[must_use]
    pub fn encode(records: &[Record], rejects: &[RejectEntry], naming: Naming<'_>) -> Vec<u8> {
        let mut dictionary = Dictionary::new(naming);
        let mut body = Out::default();
        let readings = records.iter().filter_map(|record| match record {
            Record::Reading(reading) => Some(reading),
            Record::Activity(_) => None,
        });
        write_readings(&readings.collect::<Vec<_>>(), &mut dictionary, &mut body);
        let activities = records.iter().filter_map(|record| match record {
            Record::Activity(activity) => Some(activity),
            Record::Reading(_) => None,
        });
        write_activities(&activities.collect::<Vec<_>>(), &mut dictionary, &mut body);
        write_rejects(rejects, &mut dictionary, &mut body);
        let mut head = Out::default();
        head.unsigned(dictionary.texts.len() as u64);
        for text in &dictionary.texts {
            head.text(text.as_bytes());
        }
        let info = FrameInfo::new().content_checksum(true);
        let mut encoder = FrameEncoder::with_frame_info(info, Vec::new());
        encoder.write_all(&head.0).expect("memory takes any bytes");
        encoder.write_all(&body.0).expect("memory takes any bytes");
        encoder.finish().expect("memory takes any bytes")
    }

    /// The frame that `bytes` are.
    ///
    /// # Errors
    /// If they are not what [`Self::encode`] made.
    pub fn decode(bytes: &[u8], naming: Naming<'_>) -> Result<Self, Torn> {
        let plain = decompressed(bytes)?;
        let mut bytes = In(&plain);
        let texts = texts(&mut bytes)?;
        Self::read(bytes, texts, naming)
    }

    /// [`Self::decode`], if any of its names `is_wanted`.
    ///
    /// # Errors
    /// As [`Self::decode`].
    pub fn decode_if(
        bytes: &[u8],
        naming: Naming<'_>,
        is_wanted: &dyn Fn(&[u8]) -> bool,
    ) -> Result<Option<Self>, Torn> {
        let plain = decompressed(bytes)?;
        let mut bytes = In(&plain);
        let texts = texts(&mut bytes)?;
        let is_wanted = texts.iter().any(|text| is_wanted(text));
        is_wanted.then(|| Self::read(bytes, texts, naming)).transpose()
    }

    /// What follows the dictionary.
    fn read(mut bytes: In<'_>, texts: Vec<&[u8]>, naming: Naming<'_>) -> Result<Self, Torn> {
        let meanings = Meanings::new(texts, naming)?;
        let mut records = read_readings(&mut bytes, &meanings)?;
        let activities = read_activities(&mut bytes, &meanings)?;
        if !activities.is_empty() {
            records.extend(activities);
            records.sort_by_key(|record| record.arrival().index);
        }
        let rejects = read_rejects(&mut bytes, &meanings)?;
        if !bytes.0.is_empty() {
            return Err(Torn("something follows the last column"));
        }
        Ok(Self { records, rejects })
    }
}

fn decompressed(bytes: &[u8]) -> Result<Vec<u8>, Torn> {
    let mut plain = Vec::new();
    let read = FrameDecoder::new(bytes).take(FRAME_BYTES_MAX).read_to_end(&mut plain);
    read.map_err(|_| Torn("they do not decompress, or not to what was compressed"))?;
    Ok(plain)
}

/// The dictionary.
fn texts<'b>(bytes: &mut In<'b>) -> Result<Vec<&'b [u8]>, Torn> {
    (0..bytes.length()?).map(|_| bytes.text()).collect()
}

/// Numbers texts in the order of first use.
struct Dictionary<'a> {
    naming: Naming<'a>,
    texts: Vec<Arc<str>>,
    /// By id, its number and 1; 0 is none yet.
    ids: Vec<u64>,
    units: Vec<(Unit, u64)>,
    sources: Vec<u64>,
}

impl<'a> Dictionary<'a> {
    fn new(naming: Naming<'a>) -> Self {
        let sources = vec![0; naming.sources.len()];
        Self { naming, texts: Vec::new(), ids: Vec::new(), units: Vec::new(), sources }
    }

    /// The number of a new text, from 1.
    fn add(&mut self, text: Arc<str>) -> u64 {
        self.texts.push(text);
        self.texts.len() as u64
    }

    fn id(&mut self, id: Id) -> u64 {
        if id.is_none() {
            return 0;
        }
        let index = id.0 as usize;
        if index >= self.ids.len() {
            self.ids.resize(index + 1, 0);
        }
        if self.ids[index] == 0 {
            self.ids[index] = self.add(self.naming.names.name(id));
        }
        self.ids[index]
    }

    fn unit(&mut self, unit: Unit) -> u64 {
        if let Some((_, number)) = self.units.iter().find(|(known, _)| *known == unit) {
            return *number;
        }
        let number = self.add(Arc::from(unit.symbol()));
        self.units.push((unit, number));
        number
    }

    fn source(&mut self, source: u16) -> u64 {
        let index = usize::from(source);
        if self.sources[index] == 0 {
            self.sources[index] = self.add(Arc::clone(&self.naming.sources[index]));
        }
        self.sources[index]
    }
}

/// What the numbers of a frame mean in this process. Each text is looked up as what it is first used for.
struct Meanings<'a> {
    naming: Naming<'a>,
    texts: Vec<&'a str>,
    ids: Vec<std::cell::Cell<Option<Id>>>,
}

impl<'a> Meanings<'a> {
    fn new(texts: Vec<&'a [u8]>, naming: Naming<'a>) -> Result<Self, Torn> {
        let texts = texts.into_iter().map(std::str::from_utf8).collect::<Result<Vec<_>, _>>();
        let texts = texts.map_err(|_| Torn("a name is not UTF-8"))?;
        let ids = vec![std::cell::Cell::new(None); texts.len()];
        Ok(Self { naming, texts, ids })
    }

    fn index(number: u64) -> Result<usize, Torn> {
        usize::try_from(number).map_err(|_| Torn("a name has no text"))
    }

    fn text(&self, number: u64) -> Result<&'a str, Torn> {
        let index = Self::index(number)?.checked_sub(1);
        index.and_then(|index| self.texts.get(index)).copied().ok_or(Torn("a name has no text"))
    }

    fn id(&self, number: u64) -> Result<Id, Torn> {
        if number == 0 {
            return Ok(Id::NONE);
        }
        let text = self.text(number)?;
        let known = &self.ids[Self::index(number)? - 1];
        if let Some(id) = known.get() {
            return Ok(id);
        }
        let id = self.naming.names.intern(text);
        known.set(Some(id));
        Ok(id)
    }

    fn unit(&self, number: u64) -> Result<Unit, Torn> {
        Unit::parse(self.text(number)?).map_err(|_| Torn("it names a unit that is unknown"))
    }

    fn source(&self, number: u64) -> Result<u16, Torn> {
        let name = self.text(number)?;
        let index = self.naming.sources.iter().position(|known| **known == *name);
        let index = index.and_then(|index| u16::try_from(index).ok());
        index.ok_or(Torn("it names a source that is unknown"))
    }
}

/// A column of differences.
fn differences(values: impl Iterator<Item = u64>, out: &mut Out) {
    let mut last = 0_u64;
    for value in values {
        out.signed(value.wrapping_sub(last).cast_signed());
        last = value;
    }
}

/// The next value of a column of differences.
fn difference(last: &mut u64, bytes: &mut In<'_>) -> Result<u64, Torn> {
    *last = last.wrapping_add(bytes.signed()?.cast_unsigned());
    Ok(*last)
}

fn write_arrivals<'r>(
    arrivals: impl Iterator<Item = &'r Arrival> + Clone,
    dictionary: &mut Dictionary<'_>,
    out: &mut Out,
) {
    differences(arrivals.clone().map(|arrival| arrival.index), out);
    differences(arrivals.clone().map(|arrival| arrival.position), out);
    arrivals.clone().for_each(|arrival| out.unsigned(dictionary.source(arrival.source)));
    arrivals.for_each(|arrival| out.unsigned(arrival.element.into()));
}

fn read_arrivals(
    count: usize,
    bytes: &mut In<'_>,
    meanings: &Meanings<'_>,
) -> Result<Vec<Arrival>, Torn> {
    let mut arrivals = vec![Arrival::default(); count];
    let mut last = 0;
    for arrival in &mut arrivals {
        arrival.index = difference(&mut last, bytes)?;
    }
    last = 0;
    for arrival in &mut arrivals {
        arrival.position = difference(&mut last, bytes)?;
    }
    let mut source = (0, 0);
    for arrival in &mut arrivals {
        let number = bytes.unsigned()?;
        if number != source.0 {
            source = (number, meanings.source(number)?);
        }
        arrival.source = source.1;
    }
    for arrival in &mut arrivals {
        arrival.element = bytes.small()?;
    }
    Ok(arrivals)
}

/// 0 for no value, else its scale and 1, then its digits.
fn write_values(values: impl Iterator<Item = Option<Decimal>> + Clone, out: &mut Out) {
    for value in values.clone() {
        out.unsigned(value.map_or(0, |value| u64::from(value.scale()) + 1));
    }
    for value in values.flatten() {
        out.wide(value.mantissa());
    }
}

fn read_values(count: usize, bytes: &mut In<'_>) -> Result<Vec<Option<Decimal>>, Torn> {
    let scales = (0..count).map(|_| bytes.small::<u8>()).collect::<Result<Vec<_>, _>>()?;
    let value = |scale: u8| match scale.checked_sub(1) {
        None => Ok(None),
        Some(scale) => Ok(Some(Decimal::new(bytes.wide()?, scale))),
    };
    scales.into_iter().map(value).collect()
}

fn quality(number: u64) -> Result<Quality, Torn> {
    match number {
        0 => Ok(Quality::Measured),
        1 => Ok(Quality::Estimated),
        2 => Ok(Quality::Substituted),
        _ => Err(Torn("a quality is unknown")),
    }
}

fn write_readings(readings: &[&Reading], dictionary: &mut Dictionary<'_>, out: &mut Out) {
    out.unsigned(readings.len() as u64);
    for reading in readings {
        out.unsigned(dictionary.id(reading.meter));
    }
    differences(readings.iter().map(|r| r.at_ms.cast_unsigned()), out);
    for reading in readings {
        // 0 for none: an interval is never empty.
        out.signed(reading.from_ms.map_or(0, |from_ms| reading.at_ms.wrapping_sub(from_ms)));
    }
    write_values(readings.iter().map(|r| r.value), out);
    for reading in readings {
        out.unsigned(reading.unit.map_or(0, |unit| dictionary.unit(unit)));
    }
    for reading in readings {
        out.unsigned(reading.version.into());
    }
    for reading in readings {
        out.unsigned(reading.quality as u64);
    }
    write_arrivals(readings.iter().map(|r| &r.arrival), dictionary, out);
}

fn read_readings(bytes: &mut In<'_>, meanings: &Meanings<'_>) -> Result<Vec<Record>, Torn> {
    let count = bytes.length()?;
    let meters =
        (0..count).map(|_| meanings.id(bytes.unsigned()?)).collect::<Result<Vec<_>, _>>()?;
    let mut last = 0;
    let instants = (0..count)
        .map(|_| difference(&mut last, bytes).map(u64::cast_signed))
        .collect::<Result<Vec<_>, _>>()?;
    let lengths = (0..count).map(|_| bytes.signed()).collect::<Result<Vec<_>, _>>()?;
    let values = read_values(count, bytes)?;
    let mut known = (0, None);
    let mut units = Vec::with_capacity(count);
    for _ in 0..count {
        let number = bytes.unsigned()?;
        if number != known.0 {
            known = (number, if number == 0 { None } else { Some(meanings.unit(number)?) });
        }
        units.push(known.1);
    }
    let versions = (0..count).map(|_| bytes.small()).collect::<Result<Vec<u32>, _>>()?;
    let qualities =
        (0..count).map(|_| quality(bytes.unsigned()?)).collect::<Result<Vec<_>, _>>()?;
    let arrivals = read_arrivals(count, bytes, meanings)?;
    let mut readings = Vec::with_capacity(count);
    for (index, arrival) in arrivals.into_iter().enumerate() {
        let at_ms = instants[index];
        readings.push(Record::Reading(Reading {
            meter: meters[index],
            at_ms,
            from_ms: (lengths[index] != 0).then(|| at_ms.wrapping_sub(lengths[index])),
            value: values[index],
            unit: units[index],
            version: versions[index],
            quality: qualities[index],
            arrival,
        }));
    }
    Ok(readings)
}

fn write_activities(
    activities: &[&ActivityRecord],
    dictionary: &mut Dictionary<'_>,
    out: &mut Out,
) {
    out.unsigned(activities.len() as u64);
    for activity in activities {
        out.unsigned(dictionary.id(activity.activity));
        out.unsigned(dictionary.id(activity.node));
        out.unsigned(dictionary.id(activity.factor));
        out.unsigned(dictionary.unit(activity.unit));
        out.unsigned(activity.version.into());
        out.unsigned(activity.quality as u64);
    }
    differences(activities.iter().map(|a| a.from_ms.cast_unsigned()), out);
    for activity in activities {
        out.signed(activity.to_ms.wrapping_sub(activity.from_ms));
    }
    write_values(activities.iter().map(|a| a.value), out);
    write_arrivals(activities.iter().map(|a| &a.arrival), dictionary, out);
}

fn read_activities(bytes: &mut In<'_>, meanings: &Meanings<'_>) -> Result<Vec<Record>, Torn> {
    let count = bytes.length()?;
    let mut activities = Vec::with_capacity(count);
    for _ in 0..count {
        activities.push(ActivityRecord {
            activity: meanings.id(bytes.unsigned()?)?,
            node: meanings.id(bytes.unsigned()?)?,
            factor: meanings.id(bytes.unsigned()?)?,
            unit: meanings.unit(bytes.unsigned()?)?,
            version: bytes.small()?,
            quality: quality(bytes.unsigned()?)?,
            from_ms: 0,
            to_ms: 0,
            value: None,
            arrival: Arrival::default(),
        });
    }
    let mut last = 0;
    for activity in &mut activities {
        activity.from_ms = difference(&mut last, bytes)?.cast_signed();
    }
    for activity in &mut activities {
        activity.to_ms = activity.from_ms.wrapping_add(bytes.signed()?);
    }
    for (activity, value) in activities.iter_mut().zip(read_values(count, bytes)?) {
        activity.value = value;
    }
    for (activity, arrival) in activities.iter_mut().zip(read_arrivals(count, bytes, meanings)?) {
        activity.arrival = arrival;
    }
    Ok(activities.into_iter().map(Record::Activity).collect())
}

fn write_rejects(rejects: &[RejectEntry], dictionary: &mut Dictionary<'_>, out: &mut Out) {
    out.unsigned(rejects.len() as u64);
    for RejectEntry { source, position, element, event, reason, raw } in rejects {
        out.unsigned(dictionary.source(*source));
        out.unsigned(*position);
        out.unsigned((*element).into());
        out.unsigned(*event as u64);
        out.text(reason.as_bytes());
        out.text(raw);
    }
}

fn read_rejects(bytes: &mut In<'_>, meanings: &Meanings<'_>) -> Result<Vec<RejectEntry>, Torn> {
    let count = bytes.length()?;
    let reject = |_| {
        Ok(RejectEntry {
            source: meanings.source(bytes.unsigned()?)?,
            position: bytes.unsigned()?,
            element: bytes.small()?,
            event: match bytes.unsigned()? {
                0 => RejectEvent::Rejected,
                1 => RejectEvent::Parked,
                2 => RejectEvent::Resolved,
                _ => return Err(Torn("an event is unknown")),
            },
            reason: String::from_utf8_lossy(bytes.text()?).into_owned(),
            raw: bytes.text()?.to_vec(),
        })
    };
    (0..count).map(reject).collect()
}

#[cfg(test)]
#[path = "frame_tests.rs"]
mod tests;
