//! What the ledger must say: the batch reference, fed with the files of a rig.
//!
//! Decoding and the rules of facts are the product's own, tested by themselves; everything after them is
//! computed a second time, by plain loops.

use std::collections::BTreeMap;
use std::fs;
use std::sync::Arc;

use plumeline::config::{self, Pipeline};
use plumeline::facts::{FactStore, TABLES, Terms, read_file, table_path};
use plumeline_connectors::FactChange;
use plumeline_connectors::config::Carries;
use plumeline_connectors::decode::{Decoded, Decoder, Limits, Payload};
use plumeline_pipelines::model::{ActivityKey, Cause, Names, Tick};
use plumeline_pipelines::reference::{History, Restated};

use super::Rig;
use super::ledger::Balances;

/// Digits behind the point of amounts, and of rates.
const RATE_DIGITS: usize = 12;

/// Everything a rig's pipeline will learn.
#[derive(Debug)]
pub(crate) struct Expected {
    names: Arc<Names>,
    pipeline: Pipeline,
    store: FactStore,
    history: History,
    learned_ms: i64,
    records: u64,
    /// What was refused by decoding.
    pub(crate) rejects: usize,
    /// What carried nothing.
    pub(crate) ignored: u64,
}

impl Expected {
    /// Learns the tables of `rig` at the instant `learned_ms`.
    pub(crate) fn new(rig: &Rig, learned_ms: i64) -> Self {
        let pipeline = config::load(&rig.path("pipeline.toml"), &|_| None).expect("it is in order");
        let names = Arc::new(Names::new());
        let mut store = FactStore::new(&pipeline, Arc::clone(&names));
        let terms = Terms {
            names: &names,
            timezone: &pipeline.timezone,
            period_ms: pipeline.policy.period_ms,
        };
        let tables = TABLES.into_iter();
        let paths = tables.filter_map(|table| Some((table, table_path(&pipeline.tables, table)?)));
        let files: Vec<_> = paths
            .map(|(table, path)| read_file(table, path, terms).expect("it is in order"))
            .collect();
        let applied = store.apply_files(&files).expect("they join up");
        let policy = pipeline.policy.clone();
        let history = History {
            policy,
            facts: Vec::new(),
            records: Vec::new(),
            restated: Vec::new(),
            gwps: Vec::new(),
        };
        let mut expected = Self {
            names,
            pipeline,
            store,
            history,
            learned_ms,
            records: 0,
            rejects: 0,
            ignored: 0,
        };
        expected.learn(applied.changes);
        expected
    }

    /// What lies below the horizon is restated, from all that was learned.
    pub(crate) fn restate(&mut self) {
        let known = Tick::new(self.learned_ms, Cause::Cut);
        self.history.restated.push(Restated { tick: known, known });
    }

    fn learn(&mut self, changes: Vec<FactChange>) {
        for (fact, diff) in changes.into_iter().map(FactChange::diff) {
            self.history.facts.push((Tick::new(self.learned_ms, fact.cause()), fact, diff));
        }
    }

    /// Learns the file of each source, in the order of the pipeline file.
    pub(crate) fn read_sources(&mut self, rig: &Rig, files: &[&str]) {
        for (index, file) in (0..).zip(files) {
            let carries = self.pipeline.sources[usize::from(index)].config.carries();
            let bytes = fs::read(rig.path(file)).expect("it was written");
            self.read(carries, index, &bytes);
        }
    }

    fn read(&mut self, carries: Carries, source: u16, bytes: &[u8]) {
        let limits = Limits {
            payload_bytes_max: 1 << 20,
            max_ahead_ms: self.pipeline.max_ahead_ms,
            timezone: self.pipeline.timezone.clone(),
            period_ms: self.pipeline.policy.period_ms,
        };
        let mut decoder = Decoder::new(carries, source, Arc::clone(&self.names), limits);
        let mut told = Decoded::default();
        for (position, line) in (1..).zip(bytes.split(|byte| *byte == b'\n')) {
            if line.iter().all(u8::is_ascii_whitespace) {
                continue;
            }
            let payload = Payload { bytes: line, size: line.len(), topic_meter: None, position };
            decoder.decode(payload, self.learned_ms, &mut told);
        }
        for told in &told.facts {
            let changes = self.store.apply_together(source, told);
            let changes = changes.expect("the facts are in order");
            self.learn(changes);
        }
        let tick = Tick::new(self.learned_ms, Cause::Readings);
        for mut record in told.records {
            self.records += 1;
            record.arrival_mut().index = self.records;
            self.history.records.push((tick, record));
        }
        self.rejects += told.rejects.len();
        self.ignored += told.ignored;
    }

    /// Balances of `activity`, `emissions` and `footprints` at the instant `ms`, named and scaled as
    /// [`super::ledger`] reads them.
    pub(crate) fn balances(&self, ms: i64) -> [Balances; 3] {
        let balances = self.history.balances(Tick::new(ms, Cause::Cut), false);
        let activity = balances.activity.iter().map(|(key, measure)| {
            (self.subject(key), vec![measure.amount.get(), measure.covered_ms.into()])
        });
        let emissions = balances.emissions.iter().map(|(key, emission)| {
            let line = key.line;
            let mut names = self.subject(&key.activity);
            names.extend([
                line.scope.to_string(),
                line.category.to_string(),
                line.method.name().to_owned(),
                line.gas.name().to_owned(),
                self.names.name(key.activity.factor).to_string(),
                line.revision.to_string(),
                decimal(line.rate, RATE_DIGITS),
            ]);
            (names, vec![emission.mass.get(), emission.co2e.get()])
        });
        let footprints = balances.footprints.iter().map(|(key, emission)| {
            let names = vec![
                key.start_ms.to_string(),
                key.end_ms.to_string(),
                self.names.name(key.node).to_string(),
                key.depth.to_string(),
                key.scope.to_string(),
                key.category.to_string(),
                key.method.name().to_owned(),
                key.gas.name().to_owned(),
            ];
            (names, vec![emission.mass.get(), emission.co2e.get()])
        });
        [something(activity), something(emissions), something(footprints)]
    }

    /// CO2e of the first window's series at the instant `ms`, in 1e-21 kg, by node, scope and method.
    pub(crate) fn window(&self, ms: i64) -> BTreeMap<Vec<String>, i128> {
        let balances = self.history.balances(Tick::new(ms, Cause::Cut), false);
        let mut series: BTreeMap<Vec<String>, i128> = BTreeMap::new();
        // 0 is the running period.
        for (key, emission) in balances.windows.iter().filter(|(key, _)| key.window == 1) {
            let name = vec![
                self.names.name(key.node).to_string(),
                key.scope.to_string(),
                key.method.name().to_owned(),
            ];
            *series.entry(name).or_default() += emission.co2e.get();
        }
        series
    }

    fn subject(&self, key: &ActivityKey) -> Vec<String> {
        vec![
            key.period.start_ms(self.history.policy.period_ms).to_string(),
            self.names.name(key.node).to_string(),
            self.names.name(key.subject.id()).to_string(),
            key.subject.kind().to_owned(),
            key.unit.symbol().to_owned(),
        ]
    }
}

/// Balances of nothing are no rows of a ledger's sums that anyone would miss.
fn something(balances: impl Iterator<Item = (Vec<String>, Vec<i128>)>) -> Balances {
    balances.filter(|(_, sums)| sums.iter().any(|sum| *sum != 0)).collect()
}

/// `1250` with three digits as `1.250`.
fn decimal(units: i64, digits: usize) -> String {
    let text = format!("{:0>width$}", units, width = digits + 1);
    let (whole, fraction) = text.split_at(text.len() - digits);
    format!("{whole}.{fraction}")
}
