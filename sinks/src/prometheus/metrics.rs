//! The program's own metrics, each behind a typed method, registered once from the catalogue.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::{Arc, Mutex, PoisonError};

use ::prometheus::core::Collector;
use ::prometheus::{
    Gauge, GaugeVec, Histogram, HistogramOpts, IntCounter, IntCounterVec, IntGauge, IntGaugeVec,
    Opts, Registry, TextEncoder,
};
use plumeline_pipelines::model::Outcome;

use super::catalogue::{
    BUILD_INFO, COMMIT_DURATION, COMMIT_TIMESTAMP, COMPACTED_BYTES, COMPACTED_FILES,
    COMPACTION_FAILURES, COMPACTION_TIMESTAMP, Definition, EVENT_LAG, FACTS_HELD, FACTS_RELOAD,
    KAFKA_LAG, Kind, LABEL_OVERFLOW, PARKED, PENDING, READINGS, RESTATED, RESTATEMENTS,
    SOURCE_CONNECTED, SOURCE_LAST_MESSAGE, TICK_LAG,
};
use super::text::{grams, series, write_head};

/// The program's counters and gauges. A clone is another handle to the same ones.
///
/// Handles of labelled metrics are looked up by label: a hot loop keeps them.
#[derive(Clone, Debug)]
pub struct Metrics {
    registry: Registry,
    readings: IntCounterVec,
    source_connected: IntGaugeVec,
    source_last_message: GaugeVec,
    kafka_lag: IntGaugeVec,
    event_lag: Histogram,
    tick_lag: Gauge,
    commit_timestamp: GaugeVec,
    commit_duration: Histogram,
    compacted_files: IntCounterVec,
    compacted_bytes: IntCounterVec,
    compaction_timestamp: GaugeVec,
    compaction_failures: IntCounter,
    parked: IntGauge,
    pending: IntGauge,
    facts_reload: IntGaugeVec,
    facts_held: IntGaugeVec,
    label_overflow: IntCounterVec,
    restatements: IntCounterVec,
    /// By reason and direction, 1e-21 kg: a counter of floats would round what it adds.
    restated: Arc<Mutex<BTreeMap<(String, &'static str), i128>>>,
}

impl Metrics {
    /// All metrics, none observed yet; `version` is the program's.
    ///
    /// # Panics
    /// Never: names and labels are constants, and a test makes them all.
    #[must_use]
    pub fn new(version: &str) -> Self {
        let registry = Registry::new();
        let build_info = register(&registry, int_gauges(&BUILD_INFO));
        build_info.with_label_values(&[version]).set(1);
        Self {
            readings: register(&registry, int_counters(&READINGS)),
            source_connected: register(&registry, int_gauges(&SOURCE_CONNECTED)),
            source_last_message: register(&registry, gauges(&SOURCE_LAST_MESSAGE)),
            kafka_lag: register(&registry, int_gauges(&KAFKA_LAG)),
            event_lag: register(&registry, histogram(&EVENT_LAG)),
            tick_lag: register(&registry, Gauge::with_opts(options(&TICK_LAG))),
            commit_timestamp: register(&registry, gauges(&COMMIT_TIMESTAMP)),
            commit_duration: register(&registry, histogram(&COMMIT_DURATION)),
            compacted_files: register(&registry, int_counters(&COMPACTED_FILES)),
            compacted_bytes: register(&registry, int_counters(&COMPACTED_BYTES)),
            compaction_timestamp: register(&registry, gauges(&COMPACTION_TIMESTAMP)),
            compaction_failures: register(
                &registry,
                IntCounter::with_opts(options(&COMPACTION_FAILURES)),
            ),
            parked: register(&registry, IntGauge::with_opts(options(&PARKED))),
            pending: register(&registry, IntGauge::with_opts(options(&PENDING))),
            facts_reload: register(&registry, int_gauges(&FACTS_RELOAD)),
            facts_held: register(&registry, int_gauges(&FACTS_HELD)),
            label_overflow: register(&registry, int_counters(&LABEL_OVERFLOW)),
            restatements: register(&registry, int_counters(&RESTATEMENTS)),
            restated: Arc::default(),
            registry,
        }
    }

    /// Elements of `source` that had `outcome`.
    #[must_use]
    pub fn readings_total(&self, source: &str, outcome: Outcome) -> IntCounter {
        self.readings.with_label_values(&[source, outcome.name()])
    }

    /// 1 while `source` is connected, else 0.
    #[must_use]
    pub fn source_connected(&self, source: &str) -> IntGauge {
        self.source_connected.with_label_values(&[source])
    }

    /// When `source` delivered last: Unix time, seconds.
    #[must_use]
    pub fn source_last_message_timestamp(&self, source: &str) -> Gauge {
        self.source_last_message.with_label_values(&[source])
    }

    /// Records of a partition that were not read yet.
    #[must_use]
    pub fn kafka_lag(&self, source: &str, partition: &str) -> IntGauge {
        self.kafka_lag.with_label_values(&[source, partition])
    }

    /// From a reading's stamp to its tick, seconds.
    #[must_use]
    pub fn event_lag(&self) -> &Histogram {
        &self.event_lag
    }

    /// From what is published to the clock, seconds.
    #[must_use]
    pub fn tick_lag(&self) -> &Gauge {
        &self.tick_lag
    }

    /// The newest cut in `table`: Unix time, seconds.
    #[must_use]
    pub fn commit_timestamp(&self, table: &str) -> Gauge {
        self.commit_timestamp.with_label_values(&[table])
    }

    /// How long commits take, seconds.
    #[must_use]
    pub fn commit_duration(&self) -> &Histogram {
        &self.commit_duration
    }

    /// Files of `table` that were merged.
    #[must_use]
    pub fn compacted_files_total(&self, table: &str) -> IntCounter {
        self.compacted_files.with_label_values(&[table])
    }

    /// Bytes of files of `table` that were merged (`in`), or took their place (`out`).
    #[must_use]
    pub fn compacted_bytes_total(&self, table: &str, direction: &str) -> IntCounter {
        self.compacted_bytes.with_label_values(&[table, direction])
    }

    /// The ledger's cut when files of `table` were last merged: Unix time, seconds.
    #[must_use]
    pub fn compaction_timestamp(&self, table: &str) -> Gauge {
        self.compaction_timestamp.with_label_values(&[table])
    }

    /// Merges that failed.
    #[must_use]
    pub fn compaction_failures_total(&self) -> &IntCounter {
        &self.compaction_failures
    }

    /// Readings that wait for a fact.
    #[must_use]
    pub fn parked_readings(&self) -> &IntGauge {
        &self.parked
    }

    /// Periods that await restatement by the cold path.
    #[must_use]
    pub fn pending_restatement_periods(&self) -> &IntGauge {
        &self.pending
    }

    /// 1 if the last reload of the fact table was applied, else 0.
    #[must_use]
    pub fn facts_reload_success(&self, table: &str) -> IntGauge {
        self.facts_reload.with_label_values(&[table])
    }

    /// Keys of the fact table that an edit would touch which waits.
    #[must_use]
    pub fn facts_held_keys(&self, table: &str) -> IntGauge {
        self.facts_held.with_label_values(&[table])
    }

    /// Series of `metric` that were dropped.
    #[must_use]
    pub fn label_overflow_total(&self, metric: &str) -> IntCounter {
        self.label_overflow.with_label_values(&[metric])
    }

    /// Entries that changed a settled balance.
    #[must_use]
    pub fn restatements_total(&self, reason: &str) -> IntCounter {
        self.restatements.with_label_values(&[reason])
    }

    /// Counts a change of a settled balance, 1e-21 kg of `CO2e`, under its direction: `up` or `down`.
    pub fn add_restated_co2e(&self, reason: &str, change: i128) {
        let direction = if change < 0 { "down" } else { "up" };
        let mut restated = self.restated.lock().unwrap_or_else(PoisonError::into_inner);
        let total = restated.entry((reason.to_owned(), direction)).or_default();
        *total = total.saturating_add(change.saturating_abs());
    }

    /// Brings the overflow counters up to totals that were counted elsewhere.
    pub(super) fn count_overflow(&self, totals: &[(&'static str, u64)]) {
        for &(metric, total) in totals {
            let counter = self.label_overflow_total(metric);
            counter.inc_by(total.saturating_sub(counter.get()));
        }
    }

    pub(super) fn write(&self, text: &mut String) {
        if let Err(error) = TextEncoder::new().encode_utf8(&self.registry.gather(), text) {
            tracing::error!(%error, "metrics could not be written");
        }
        let restated = self.restated.lock().unwrap_or_else(PoisonError::into_inner);
        if restated.is_empty() {
            return;
        }
        write_head(text, &RESTATED);
        for ((reason, direction), &total) in restated.iter() {
            let series = series(&RESTATED, [reason.as_str(), direction]);
            // Writing to a `String` cannot fail.
            writeln!(text, "{series} {}", grams(total)).unwrap_or_default();
        }
    }
}

const CONSTANT: &str = "names and labels are constants that a test has made";

fn register<C: Collector + Clone + 'static>(
    registry: &Registry,
    collector: ::prometheus::Result<C>,
) -> C {
    let collector = collector.expect(CONSTANT);
    registry.register(Box::new(collector.clone())).expect(CONSTANT);
    collector
}

fn options(definition: &Definition) -> Opts {
    Opts::new(definition.name, definition.help)
}

fn int_counters(definition: &Definition) -> ::prometheus::Result<IntCounterVec> {
    IntCounterVec::new(options(definition), definition.labels)
}

fn int_gauges(definition: &Definition) -> ::prometheus::Result<IntGaugeVec> {
    IntGaugeVec::new(options(definition), definition.labels)
}

fn gauges(definition: &Definition) -> ::prometheus::Result<GaugeVec> {
    GaugeVec::new(options(definition), definition.labels)
}

fn histogram(definition: &Definition) -> ::prometheus::Result<Histogram> {
    let Kind::Histogram(buckets) = definition.kind else {
        unreachable!("`{}` is a histogram", definition.name)
    };
    let options = HistogramOpts::new(definition.name, definition.help);
    Histogram::with_opts(options.buckets(buckets.to_vec()))
}
