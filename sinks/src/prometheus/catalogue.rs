//! Every metric there is, in one table: name, kind, labels, help. The golden file `catalogue.md` beside
//! this one is what operators read; a test holds the two together (`REWRITE=1` writes it).

/// How a metric behaves.
#[derive(Copy, Clone, Debug, PartialEq)]
pub enum Kind {
    /// Never goes back.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Counts observations in buckets with these upper bounds.
    Histogram(&'static [f64]),
}

impl Kind {
    /// `counter`, `gauge`, `histogram`: as in a `# TYPE` line.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram(_) => "histogram",
        }
    }
}

/// One metric.
#[derive(Copy, Clone, Debug, PartialEq)]
pub struct Definition {
    /// Its name; the unit last, but for `_total`.
    pub name: &'static str,
    /// How it behaves.
    pub kind: Kind,
    /// Its labels, in order.
    pub labels: &'static [&'static str],
    /// What it tells, in one sentence.
    pub help: &'static str,
}

const fn define(
    name: &'static str,
    kind: Kind,
    labels: &'static [&'static str],
    help: &'static str,
) -> Definition {
    Definition { name, kind, labels, help }
}

const LAG_SECONDS: &[f64] = &[
    0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0, 3600.0, 21_600.0,
    86_400.0, 604_800.0,
];
const COMMIT_SECONDS: &[f64] =
    &[0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0];

pub(super) const READINGS: Definition = define(
    "plumeline_readings_total",
    Kind::Counter,
    &["source", "outcome"],
    "Elements received, by what became of them; outcomes add up to what was received.",
);
pub(super) const SOURCE_CONNECTED: Definition = define(
    "plumeline_source_connected",
    Kind::Gauge,
    &["source"],
    "1 while the source is connected, else 0.",
);
pub(super) const SOURCE_LAST_MESSAGE: Definition = define(
    "plumeline_source_last_message_timestamp_seconds",
    Kind::Gauge,
    &["source"],
    "When the source delivered its newest message, Unix time.",
);
pub(super) const KAFKA_LAG: Definition = define(
    "plumeline_kafka_lag_records",
    Kind::Gauge,
    &["source", "partition"],
    "Records of the partition that were not read yet.",
);
pub(super) const EVENT_LAG: Definition = define(
    "plumeline_event_lag_seconds",
    Kind::Histogram(LAG_SECONDS),
    &[],
    "How long after the stamp of a reading it was sealed into a tick.",
);
pub(super) const TICK_LAG: Definition = define(
    "plumeline_tick_lag_seconds",
    Kind::Gauge,
    &[],
    "How far what is published lies behind the clock.",
);
pub(super) const COMMIT_TIMESTAMP: Definition = define(
    "plumeline_commit_timestamp_seconds",
    Kind::Gauge,
    &["table"],
    "The newest cut that the table holds, Unix time.",
);
pub(super) const COMMIT_DURATION: Definition = define(
    "plumeline_commit_duration_seconds",
    Kind::Histogram(COMMIT_SECONDS),
    &[],
    "How long a commit of a cut to all tables took.",
);
pub(super) const COMPACTED_FILES: Definition = define(
    "plumeline_compacted_files_total",
    Kind::Counter,
    &["table"],
    "Files of the table that were merged into larger ones.",
);
pub(super) const COMPACTED_BYTES: Definition = define(
    "plumeline_compacted_bytes_total",
    Kind::Counter,
    &["table", "direction"],
    "Bytes of files that were merged (`in`), and of those that took their place (`out`).",
);
pub(super) const COMPACTION_TIMESTAMP: Definition = define(
    "plumeline_compaction_timestamp_seconds",
    Kind::Gauge,
    &["table"],
    "The ledger's newest cut when files of the table were last merged, Unix time.",
);
pub(super) const COMPACTION_FAILURES: Definition = define(
    "plumeline_compaction_failures_total",
    Kind::Counter,
    &[],
    "Merges that failed: each is tried again, unless a file can never be read; the log tells.",
);
pub(super) const PARKED: Definition = define(
    "plumeline_parked_readings",
    Kind::Gauge,
    &[],
    "Readings that wait for a meter or factor that is not registered yet.",
);
pub(super) const PENDING: Definition = define(
    "plumeline_pending_restatement_periods",
    Kind::Gauge,
    &[],
    "Periods below the horizon that may await restatement: those of the rows of `pending_restatements` that no row of `restatements` covers yet.",
);
pub(super) const FACTS_RELOAD: Definition = define(
    "plumeline_facts_reload_success",
    Kind::Gauge,
    &["table"],
    "1 if the table's last reload was applied, 0 if it failed and the last good one stays.",
);
pub(super) const FACTS_HELD: Definition = define(
    "plumeline_facts_held_keys",
    Kind::Gauge,
    &["table"],
    "Keys of the table that an edit would touch which waits for `plumeline facts apply`; 0 if none waits.",
);
pub(super) const LABEL_OVERFLOW: Definition = define(
    "plumeline_label_overflow_total",
    Kind::Counter,
    &["metric"],
    "Series of the metric that were dropped because they do not fit max_series.",
);
pub(super) const BUILD_INFO: Definition = define(
    "plumeline_build_info",
    Kind::Gauge,
    &["version"],
    "Always 1; the label tells the version that runs.",
);
pub(super) const RESTATEMENTS: Definition = define(
    "ghg_restatements_total",
    Kind::Counter,
    &["reason"],
    "Entries that changed a balance after it had settled.",
);
pub(super) const RESTATED: Definition = define(
    "ghg_restated_co2e_grams_total",
    Kind::Counter,
    &["reason", "direction"],
    "CO2e by which settled balances changed, up and down apart.",
);
pub(super) const CO2E: Definition = define(
    "ghg_emissions_co2e_grams",
    Kind::Gauge,
    &["org_node", "scope", "method", "window"],
    "CO2e of the node and all below it in the window.",
);
pub(super) const GASES: Definition = define(
    "ghg_emissions_grams",
    Kind::Gauge,
    &["org_node", "scope", "method", "window", "gas"],
    "Mass of the gas that the node and all below it emitted in the window.",
);
pub(super) const ENERGY: Definition = define(
    "ghg_scope2_energy_joules",
    Kind::Gauge,
    &["org_node", "scope", "method", "window", "gas"],
    "Energy that the node and all below it used in the window, under factors that tell their carbon-free part: `load_kwh` (method location) all of it, `cfe_kwh` (method market) what contracts and the grid had carbon-free. One over the other is the 24/7 score.",
);
pub(super) const REPORTING: Definition = define(
    "ghg_reporting_ratio",
    Kind::Gauge,
    &["org_node", "window"],
    "Meters of the node and all below it that were heard of in the window, or as lately as their `expected_every` asks for, over those expected: 1 if all were.",
);
pub(super) const WINDOW_END: Definition = define(
    "ghg_window_end_timestamp_seconds",
    Kind::Gauge,
    &["window"],
    "The end of the window's last period, Unix time.",
);
pub(super) const AS_OF: Definition = define(
    "plumeline_as_of_timestamp_seconds",
    Kind::Gauge,
    &[],
    "The one tick that all business series of this scrape are as of, Unix time.",
);

/// All metrics.
pub const CATALOGUE: &[Definition] = &[
    READINGS,
    SOURCE_CONNECTED,
    SOURCE_LAST_MESSAGE,
    KAFKA_LAG,
    EVENT_LAG,
    TICK_LAG,
    COMMIT_TIMESTAMP,
    COMMIT_DURATION,
    COMPACTED_FILES,
    COMPACTED_BYTES,
    COMPACTION_TIMESTAMP,
    COMPACTION_FAILURES,
    PARKED,
    PENDING,
    FACTS_RELOAD,
    FACTS_HELD,
    LABEL_OVERFLOW,
    BUILD_INFO,
    RESTATEMENTS,
    RESTATED,
    CO2E,
    GASES,
    ENERGY,
    REPORTING,
    WINDOW_END,
    AS_OF,
];

#[cfg(test)]
mod tests {
    use std::fmt::Write;

    use super::*;

    fn as_markdown() -> String {
        let mut text = String::from(
            "# Metrics\n\n| name | kind | labels | what it tells |\n|---|---|---|---|\n",
        );
        for Definition { name, kind, labels, help } in CATALOGUE {
            let labels = labels.iter().map(|label| format!("`{label}`"));
            let labels = labels.collect::<Vec<_>>().join(", ");
            let kind = kind.name();
            writeln!(text, "| `{name}` | {kind} | {labels} | {help} |").expect("a `String` grows");
        }
        text
    }

    #[test]
    fn the_golden_file_is_up_to_date() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/src/prometheus/catalogue.md");
        let actual = as_markdown();
        if std::env::var_os("REWRITE").is_some() {
            std::fs::write(path, &actual).expect("the golden file can be written");
        }
        let golden = std::fs::read_to_string(path).unwrap_or_default();
        assert_eq!(golden, actual, "rewrite {path} with REWRITE=1");
    }

    #[test]
    fn names_say_their_kind_and_unit() {
        for Definition { name, kind, help, .. } in CATALOGUE {
            assert_eq!(name.ends_with("_total"), *kind == Kind::Counter, "{name}");
            assert!(help.ends_with('.'), "{name}");
            assert!(name.starts_with("plumeline_") || name.starts_with("ghg_"), "{name}");
        }
    }
}
