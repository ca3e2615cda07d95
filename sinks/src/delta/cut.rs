//! A cut on its way into the lake: rows become files, files become versions of tables.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use object_store::{Error as StoreError, ObjectStoreExt, PutMode, PutOptions, PutPayload};
use plumeline_pipelines::digest::Table;
use plumeline_pipelines::model::{
    ActivityDataEntry, ActivityEntry, CertificateRow, ContractRow, EmissionEntry, Fact, FactorRow,
    FootprintEntry, Id, MeterRow, NodeRow, PendingEntry, PriceRow, ReadingEntry, RejectEntry,
    RestatedEntry, SeriesRow, Tick,
};
use serde_json::json;

use super::encoder::Encoder;
use super::engine::Engine;
use super::error::LakeError;
use super::facts::Revision;
use super::file::{FileOptions, Part, SealedFile};
use super::lake::Shared;
use super::log::StoredFile;
use super::place::{DataFileName, LATEST};
use super::proof::{Proof, Resume, TableDigest};
use super::rows::{FactEntry, Row, Rows};
use super::table::TableName;

/// Sealed files may wait for a store that is away up to so many bytes; then [`CutWriter::append`] fails.
const UNSENT_BYTES_MAX: usize = 256 * 1024 * 1024;

/// What a commit wrote.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommitStats {
    /// The cut.
    pub cut: Tick,
    /// How long [`CutWriter::commit`] took, all tries together.
    pub duration: Duration,
    /// The tables that got a version.
    pub tables: BTreeMap<TableName, TableStats>,
}

/// What a commit wrote into one table.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub struct TableStats {
    /// Rows.
    pub rows: usize,
    /// Bytes of Parquet.
    pub bytes: u64,
    /// Files.
    pub files: usize,
    /// The version of the table's log.
    pub version: u64,
    /// How long its upload and commit took at the end (not the encoding before).
    pub duration: Duration,
}

/// A cut on its way into the lake.
#[derive(Debug)]
pub struct CutWriter {
    shared: Arc<Shared>,
    cut: Tick,
    parts: Parts,
    tables: BTreeMap<TableName, Files>,
    /// How many names of files were used, by table and part.
    sequences: BTreeMap<(TableName, usize), usize>,
    is_finished: bool,
    /// The cut that `activity` held when this one's commit was first tried.
    previous: Option<Previous>,
    digests: BTreeMap<Table, TableDigest>,
    resume: Option<Resume>,
    stats: CommitStats,
}

/// What the lake had committed; `None` before its first cut.
#[derive(Copy, Clone, Debug)]
struct Previous(Option<Tick>);

/// A table's files of a cut.
#[derive(Debug, Default)]
struct Files {
    unsent: VecDeque<(usize, SealedFile)>,
    stored: Vec<StoredFile>,
}

#[derive(Debug, Default)]
struct Parts {
    activity: BTreeMap<usize, Part<ActivityEntry>>,
    emissions: BTreeMap<usize, Part<EmissionEntry>>,
    footprints: BTreeMap<usize, Part<FootprintEntry>>,
    readings: BTreeMap<usize, Part<ReadingEntry>>,
    activity_data: BTreeMap<usize, Part<ActivityDataEntry>>,
    pending: BTreeMap<usize, Part<PendingEntry>>,
    restated: BTreeMap<usize, Part<RestatedEntry>>,
    rejects: BTreeMap<usize, Part<RejectEntry>>,
    meters: BTreeMap<usize, Part<Revision<MeterRow>>>,
    factors: BTreeMap<usize, Part<Revision<FactorRow>>>,
    series: BTreeMap<usize, Part<Revision<SeriesRow>>>,
    nodes: BTreeMap<usize, Part<Revision<NodeRow>>>,
    contracts: BTreeMap<usize, Part<Revision<ContractRow>>>,
    certificates: BTreeMap<usize, Part<Revision<CertificateRow>>>,
    prices: BTreeMap<usize, Part<Revision<PriceRow>>>,
}

impl CutWriter {
    pub(super) fn new(shared: Arc<Shared>, cut: Tick) -> Self {
        Self {
            shared,
            cut,
            parts: Parts::default(),
            tables: BTreeMap::new(),
            sequences: BTreeMap::new(),
            is_finished: false,
            previous: None,
            digests: BTreeMap::new(),
            resume: None,
            stats: CommitStats { cut, duration: Duration::ZERO, tables: BTreeMap::new() },
        }
    }

    /// Takes in rows of worker `part`, in any order. Rows of a table that already holds the cut are
    /// dropped: they are there.
    ///
    /// # Errors
    /// A value that does not fit its column; or, transient, the store is behind by 256 MiB. **The rows are
    /// taken in either case**: do not append them again, but call [`Self::flush`] until it succeeds.
    pub fn append(&mut self, part: usize, rows: Rows) -> Result<(), LakeError> {
        match rows {
            Rows::Activity(rows) => self.take(part, rows, |parts| &mut parts.activity)?,
            Rows::Emissions(rows) => self.take(part, rows, |parts| &mut parts.emissions)?,
            Rows::Footprints(rows) => self.take(part, rows, |parts| &mut parts.footprints)?,
            Rows::Readings(rows) => {
                if self.shared.has_readings {
                    self.take(part, rows, |parts| &mut parts.readings)?;
                }
            }
            Rows::ActivityData(rows) => {
                if self.shared.has_readings {
                    self.take(part, rows, |parts| &mut parts.activity_data)?;
                }
            }
            Rows::Pending(rows) => self.take(part, rows, |parts| &mut parts.pending)?,
            Rows::Restated(rows) => self.take(part, rows, |parts| &mut parts.restated)?,
            Rows::Rejects(rows) => self.take(part, rows, |parts| &mut parts.rejects)?,
            Rows::Facts(facts) => self.take_facts(part, facts)?,
        }
        let flushed = self.flush();
        if self.unsent_bytes() > UNSENT_BYTES_MAX { flushed } else { Ok(()) }
    }

    /// Sends the full files that wait to the store.
    ///
    /// # Errors
    /// If the store does not take one; the call may be repeated.
    ///
    /// # Panics
    /// Never: no file has 2^64 bytes.
    pub fn flush(&mut self) -> Result<(), LakeError> {
        for (&table, files) in &mut self.tables {
            while let Some((part, sealed)) = files.unsent.front() {
                let sequence = self.sequences.entry((table, *part)).or_default();
                let place = (table, *part);
                let name = store(&self.shared.engine, self.cut, place, sequence, sealed)?;
                let bytes = u64::try_from(sealed.payload.content_length());
                let bytes = bytes.expect("a file's bytes fit 64 bits");
                if let Some((_, sealed)) = files.unsent.pop_front() {
                    let SealedFile { rows, statistics, .. } = sealed;
                    files.stored.push(StoredFile { name, rows, bytes, statistics });
                }
            }
        }
        Ok(())
    }

    /// Says what the ledger is at the end of this cut: the commit of `activity` tells it. The cut must follow
    /// on `lower`.
    ///
    /// # Errors
    /// If the lake's last cut is another one: there is a gap, or somebody else has written.
    pub fn prove(
        &mut self,
        lower: Option<Tick>,
        digests: BTreeMap<Table, TableDigest>,
    ) -> Result<(), LakeError> {
        let committed = self.shared.state().logs[&TableName::Activity].committed();
        if committed != lower {
            return Err(LakeError::Gap { cut: self.cut, lower, committed });
        }
        self.digests = digests;
        Ok(())
    }

    /// Says what it takes to go on from this cut without a journal: the commit of `activity` tells it.
    pub fn resume(&mut self, resume: Resume) {
        self.resume = Some(resume);
    }

    /// Commits every table that has rows, then `activity`, then names the versions in `_latest.json`.
    ///
    /// # Errors
    /// After a transient error call it again: what is committed stays, what is not follows. After any
    /// other error the process must end; the next one reads from the lake how far it came.
    pub fn commit(&mut self) -> Result<CommitStats, LakeError> {
        let start = now();
        let outcome = self.commit_tables();
        self.stats.duration += start.elapsed();
        outcome.map(|()| self.stats.clone())
    }

    fn commit_tables(&mut self) -> Result<(), LakeError> {
        let shared = Arc::clone(&self.shared);
        let committed = shared.state().logs[&TableName::Activity].committed();
        // Only at the first try: a later one may find that an earlier one did reach the log.
        let Previous(previous) = *self.previous.get_or_insert(Previous(committed));
        if let Some(committed) = previous.filter(|&committed| committed >= self.cut) {
            return Err(LakeError::CutNotNewer { cut: self.cut, committed });
        }
        if !self.is_finished {
            self.finish()?;
            self.is_finished = true;
        }
        self.flush()?;
        self.look()?;
        for table in TableName::ALL {
            let files = self.tables.entry(table).or_default();
            let is_done = self.stats.tables.contains_key(&table);
            if is_done || (files.stored.is_empty() && table != TableName::Activity) {
                continue;
            }
            let start = now();
            let domain = (table == TableName::Activity).then(|| {
                let digests = self.digests.clone();
                let lacks_readings = shared.lacks_readings;
                let resume = self.resume.clone();
                let (lower, upper) = (previous, self.cut);
                Proof { lower, upper, lacks_readings, digests, resume }.to_json()
            });
            let mut state = shared.state();
            let log = state.logs.get_mut(&table).expect("every table is open");
            fail::fail_point!("lake-commit");
            log.commit(&shared.engine, self.cut, &files.stored, domain.as_deref())?;
            fail::fail_point!("lake-commit-done");
            let written = TableStats {
                rows: files.stored.iter().map(|file| file.rows).sum(),
                bytes: files.stored.iter().map(|file| file.bytes).sum(),
                files: files.stored.len(),
                version: log.version(),
                duration: start.elapsed(),
            };
            self.stats.tables.insert(table, written);
        }
        self.write_latest()
    }

    /// Looks whether the lake is gone or another process has committed, before a table gets a version: `activity` would tell at
    /// its own commit, but by then the other tables would hold rows that the other process does not know of,
    /// and it would end as well.
    fn look(&self) -> Result<(), LakeError> {
        let activity = TableName::Activity;
        let files = self.tables.get(&activity).map_or(&[][..], |files| &files.stored);
        let mut state = self.shared.state();
        let log = state.logs.get_mut(&activity).expect("every table is open");
        log.look(&self.shared.engine, self.cut, files)
    }

    /// Encodes what waits and closes all files.
    fn finish(&mut self) -> Result<(), LakeError> {
        let Self { shared, parts, tables, cut, .. } = self;
        let mut state = shared.state();
        let encoder = &mut state.encoder;
        encoder.cut = *cut;
        encoder.ranks.refresh(&shared.names);
        let mut closing = Closing { encoder, options: &shared.options, tables };
        closing.close(&mut parts.activity)?;
        closing.close(&mut parts.emissions)?;
        closing.close(&mut parts.footprints)?;
        closing.close(&mut parts.readings)?;
        closing.close(&mut parts.activity_data)?;
        closing.close(&mut parts.pending)?;
        closing.close(&mut parts.restated)?;
        closing.close(&mut parts.rejects)?;
        closing.close(&mut parts.meters)?;
        closing.close(&mut parts.factors)?;
        closing.close(&mut parts.series)?;
        closing.close(&mut parts.nodes)?;
        closing.close(&mut parts.contracts)?;
        closing.close(&mut parts.certificates)?;
        closing.close(&mut parts.prices)
    }

    fn take<R: Row>(
        &mut self,
        part: usize,
        rows: Vec<R>,
        parts: impl FnOnce(&mut Parts) -> &mut BTreeMap<usize, Part<R>>,
    ) -> Result<(), LakeError> {
        let mut state = self.shared.state();
        if rows.is_empty() || state.logs[&R::TABLE].committed() >= Some(self.cut) {
            return Ok(());
        }
        let encoder = &mut state.encoder;
        encoder.cut = self.cut;
        let mut newest = Id::NONE;
        for row in &rows {
            row.names(&mut |id| newest = newest.max(id));
        }
        if !encoder.ranks.knows(newest) {
            encoder.ranks.refresh(&self.shared.names);
        }
        let part_rows = parts(&mut self.parts).entry(part).or_default();
        let sealed = part_rows.append(rows, encoder, &self.shared.options)?;
        let files = self.tables.entry(R::TABLE).or_default();
        files.unsent.extend(sealed.into_iter().map(|file| (part, file)));
        Ok(())
    }

    fn take_facts(&mut self, part: usize, facts: Vec<FactEntry>) -> Result<(), LakeError> {
        let (mut meters, mut factors) = (Vec::new(), Vec::new());
        let (mut series, mut nodes) = (Vec::new(), Vec::new());
        let (mut contracts, mut certificates) = (Vec::new(), Vec::new());
        let mut prices = Vec::new();
        for FactEntry { fact, withdrawn, learned_ms } in facts {
            match fact {
                Fact::Meter(fact) => meters.push(Revision { fact, withdrawn, learned_ms }),
                Fact::Factor(fact) => factors.push(Revision { fact, withdrawn, learned_ms }),
                Fact::Series(fact) => series.push(Revision { fact, withdrawn, learned_ms }),
                Fact::Node(fact) => nodes.push(Revision { fact, withdrawn, learned_ms }),
                Fact::Contract(fact) => contracts.push(Revision { fact, withdrawn, learned_ms }),
                Fact::Certificate(fact) => {
                    certificates.push(Revision { fact, withdrawn, learned_ms });
                }
                Fact::Price(fact) => prices.push(Revision { fact, withdrawn, learned_ms }),
            }
        }
        self.take(part, meters, |parts| &mut parts.meters)?;
        self.take(part, factors, |parts| &mut parts.factors)?;
        self.take(part, series, |parts| &mut parts.series)?;
        self.take(part, nodes, |parts| &mut parts.nodes)?;
        self.take(part, contracts, |parts| &mut parts.contracts)?;
        self.take(part, certificates, |parts| &mut parts.certificates)?;
        self.take(part, prices, |parts| &mut parts.prices)
    }

    fn unsent_bytes(&self) -> usize {
        let unsent = self.tables.values().flat_map(|files| &files.unsent);
        unsent.map(|(_, sealed)| sealed.payload.content_length()).sum()
    }

    fn write_latest(&self) -> Result<(), LakeError> {
        let engine = &self.shared.engine;
        let state = self.shared.state();
        let versions: BTreeMap<_, _> =
            state.logs.iter().map(|(table, log)| (table.name(), log.version())).collect();
        let recorded_at = jiff::Timestamp::from_millisecond(self.cut.ms())
            .expect("a tick is an instant a calendar knows");
        let latest = json!({
            "pipeline": self.shared.options.pipeline,
            "tick": self.cut.0,
            "recorded_at": recorded_at.to_string(),
            "versions": versions,
        });
        let path = engine.place.path(LATEST)?;
        let payload = PutPayload::from(format!("{latest:#}\n").into_bytes());
        fail::fail_point!("lake-latest");
        engine
            .block_on(engine.place.store.put(&path, payload))
            .map_err(|error| LakeError::store(format!("write `{path}`"), error))?;
        fail::fail_point!("lake-latest-done");
        Ok(())
    }
}

struct Closing<'a> {
    encoder: &'a mut Encoder,
    options: &'a FileOptions,
    tables: &'a mut BTreeMap<TableName, Files>,
}

impl Closing<'_> {
    fn close<R: Row>(&mut self, parts: &mut BTreeMap<usize, Part<R>>) -> Result<(), LakeError> {
        for (&part, rows) in parts {
            let sealed = rows.finish(self.encoder, self.options)?;
            let files = self.tables.entry(R::TABLE).or_default();
            files.unsent.extend(sealed.into_iter().map(|file| (part, file)));
        }
        Ok(())
    }
}

/// Puts a file under the first name that is free.
fn store(
    engine: &Engine,
    cut: Tick,
    (table, part): (TableName, usize),
    sequence: &mut usize,
    sealed: &SealedFile,
) -> Result<DataFileName, LakeError> {
    loop {
        let name = DataFileName { table, cut, part, sequence: *sequence };
        *sequence += 1;
        let path = engine.place.path(&name.relative())?;
        let options = PutOptions::from(PutMode::Create);
        let put = engine.place.store.put_opts(&path, sealed.payload.clone(), options);
        fail::fail_point!("lake-put");
        match engine.block_on(put) {
            Ok(_) => {
                fail::fail_point!("lake-put-done");
                return Ok(name);
            }
            Err(StoreError::AlreadyExists { .. }) => {}
            Err(error) => return Err(LakeError::store(format!("write `{path}`"), error)),
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "measures how long the store takes; decides nothing")]
fn now() -> Instant {
    Instant::now()
}
