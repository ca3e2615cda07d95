//! `plumeline check`: every problem of a pipeline at once, before it runs.
//!
//! 1. The pipeline file is read and checked as a whole. If anything in it is wrong, its tables are not
//!    looked at: they may be the wrong ones.
//! 2. Files it names are looked for: tables, certificates, sources.
//! 3. Tables are read, each row by itself; if all rows are good, the rules within and between tables run,
//!    the same as when a running pipeline re-reads them.
//! 4. With `--connect`, each source and the store is tried with exactly the operations it needs.
//!
//! What comes out is for a person in a hurry: `file:line: what is wrong`, what to write instead, counts;
//! and when nothing is wrong, what would run.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use plumeline_connectors::SourceConfig;
use plumeline_connectors::config::Carries;
use plumeline_pipelines::model::Names;
use plumeline_sinks::delta::Lake;

use crate::config::{self, Pipeline, Problem, Problems, SourceEntry, format_duration};
use crate::facts::{FactStore, Table, Terms, read_tables, table_name, table_path};

/// What a check found.
#[derive(Clone, Debug)]
pub struct Report {
    /// All that is wrong.
    pub problems: Problems,
    /// What would run, if the pipeline file is good.
    pub summary: Option<Summary>,
}

impl Report {
    /// 1 if anything stops the pipeline, else 0.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        u8::from(self.problems.errors() > 0)
    }
}

/// Problems and counts; and what would run, if nothing stops it.
impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(summary) = self.summary.as_ref().filter(|_| self.problems.errors() == 0) {
            writeln!(f, "{summary}")?;
        }
        write!(f, "{}", self.problems)
    }
}

/// What would run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Summary {
    lines: Vec<(&'static str, String)>,
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (what, text)) in self.lines.iter().enumerate() {
            let end = if index + 1 == self.lines.len() { "" } else { "\n" };
            write!(f, "{what:<9}{text}{end}")?;
        }
        Ok(())
    }
}

/// Checks the pipeline file at `path` and what it names; with `connect`, also that brokers, topics and the
/// store answer. `env` looks up environment variables.
pub async fn check(path: &Path, connect: bool, env: &dyn Fn(&str) -> Option<String>) -> Report {
    let (pipeline, mut report) = check_files(path, env);
    if connect && let Some(pipeline) = pipeline {
        report.problems.extend(try_connections(&pipeline).await);
    }
    report
}

/// Checks the pipeline file at `path` and the files it names, without any network. The pipeline is there
/// if its own file is good.
pub fn check_files(
    path: &Path,
    env: &dyn Fn(&str) -> Option<String>,
) -> (Option<Pipeline>, Report) {
    let pipeline = match config::load(path, env) {
        Ok(pipeline) => pipeline,
        Err(problems) => {
            return (None, Report { problems, summary: None });
        }
    };
    let mut problems: Problems = pipeline.warnings.iter().cloned().collect();
    problems.extend(missing_files(&pipeline));
    problems.extend(missing_tables(&pipeline));
    let mut store = FactStore::new(&pipeline, Arc::new(Names::new()));
    match load_facts(&pipeline, &mut store) {
        Ok(warnings) => problems.extend(warnings),
        Err(found) => problems.extend(found),
    }
    let summary = Some(summary(&pipeline, &store));
    (Some(pipeline), Report { problems, summary })
}

/// Reads all tables of `pipeline` into `store`, which has no rows yet; what is probably not meant so is
/// returned.
///
/// # Errors
/// If a table cannot be read, a row is wrong, or the tables do not join up. Nothing is applied then.
pub fn load_facts(pipeline: &Pipeline, store: &mut FactStore) -> Result<Problems, Problems> {
    let names = store.names();
    let terms =
        Terms { names: &names, timezone: &pipeline.timezone, period_ms: pipeline.policy.period_ms };
    let files = read_tables(&pipeline.tables, terms, None)?;
    store.apply_files(&files).map(|applied| applied.warnings)
}

/// Files that sources name and that are not there.
fn missing_files(pipeline: &Pipeline) -> Vec<Problem> {
    let file = pipeline.file.display().to_string();
    let mut problems = Vec::new();
    for source in &pipeline.sources {
        let place = |key: &str| format!("source \"{}\".{key}", source.name);
        match &source.config {
            SourceConfig::File(from) if !from.path.is_file() && !from.follow => {
                let message = format!("there is no file {}", from.path.display());
                let remedy = "correct the path, or write follow = true to wait for it";
                problems.push(
                    Problem::error(&file, message, remedy).at(source.line).about(place("path")),
                );
            }
            SourceConfig::Mqtt(mqtt) => {
                let certificate = mqtt.client_certificate.as_ref();
                let named = [
                    ("ca", mqtt.ca.as_ref()),
                    ("cert", certificate.map(|(cert, _)| cert)),
                    ("key", certificate.map(|(_, key)| key)),
                ];
                for (key, path) in named {
                    let Some(path) = path.filter(|path| !path.is_file()) else {
                        continue;
                    };
                    let message = format!("there is no file {}", path.display());
                    let remedy = "correct the path to the PEM file";
                    problems.push(
                        Problem::error(&file, message, remedy).at(source.line).about(place(key)),
                    );
                }
            }
            SourceConfig::File(_) | SourceConfig::Kafka(_) => {}
        }
    }
    problems
}

/// Tables without which a pipeline runs and says nothing.
fn missing_tables(pipeline: &Pipeline) -> Vec<Problem> {
    let carried =
        |carries| pipeline.sources.iter().any(|source| source.config.carries() == carries);
    let file = pipeline.file.display().to_string();
    let mut problems = Vec::new();
    for (table, carries, consequence) in [
        (Table::Meters, Carries::Meters, "every reading would wait for its meter"),
        (Table::Factors, Carries::Factors, "nothing would emit anything"),
        (Table::Nodes, Carries::Nodes, "there would be no footprints"),
    ] {
        if table_path(&pipeline.tables, table).is_none() && !carried(carries) {
            let name = table_name(table);
            let message = format!("no table and no source of {name}: {consequence}");
            let remedy = format!("write {name} = \"{name}.csv\" under [tables]");
            problems.push(Problem::warning(&file, message, remedy).about("tables"));
        }
    }
    problems
}

/// Tries each source and the store, as a pipeline would use it.
async fn try_connections(pipeline: &Pipeline) -> Vec<Problem> {
    let file = pipeline.file.display().to_string();
    let mut problems = Vec::new();
    for source in &pipeline.sources {
        // A file that is not there was reported without connecting.
        if matches!(&source.config, SourceConfig::File(file) if !file.path.is_file()) {
            continue;
        }
        if let Err(error) = plumeline_connectors::probe(&source.config).await {
            let remedy =
                "check that it runs, that its address and topics are right, and our credentials";
            let problem = Problem::error(&file, crate::chain(&error), remedy).at(source.line);
            problems.push(problem.about(format!("source \"{}\"", source.name)));
        }
    }
    if let (Some(delta), Some(lake)) = (&pipeline.delta, pipeline.lake(false)) {
        let tried = tokio::task::spawn_blocking(move || Lake::check(&lake)).await;
        let failed = match tried {
            Ok(Ok(())) => None,
            Ok(Err(error)) => Some(crate::chain(&error)),
            Err(panicked) => Some(panicked.to_string()),
        };
        let problem = failed.map(|failed| {
            let remedy = "check the url, and that it may be listed, written and deleted in";
            Problem::error(&file, failed, remedy).at(delta.line).about("sink \"delta\".url")
        });
        problems.extend(problem);
    }
    problems
}

fn summary(pipeline: &Pipeline, store: &FactStore) -> Summary {
    let policy = &pipeline.policy;
    let keys = |table| store.books().keys(table);
    let (meters, nodes) = (keys(Table::Meters), keys(Table::Nodes));
    let (factors, lines) = (keys(Table::Factors), store.books().rows(Table::Factors));
    let mut shown = vec![
        ("pipeline", format!("{} ({})", pipeline.name, pipeline.file.display())),
        (
            "periods",
            format!(
                "{}, booked {} after their end, restated for {}",
                format_duration(policy.period_ms),
                format_duration(policy.grace_ms),
                format_duration(policy.retain.ms()),
            ),
        ),
        ("windows", pipeline.window_labels.join(", ")),
        ("tables", format!("{meters} meters, {factors} factors of {lines} lines, {nodes} nodes")),
    ];
    shown.extend(pipeline.sources.iter().map(|source| ("source", described(source))));
    if let Some(delta) = &pipeline.delta {
        let every = format_duration(delta.commit_every_ms);
        let compacted = delta.compact_after_ms.map_or_else(
            || "never compacted".to_owned(),
            |after_ms| format!("compacted after {}", format_duration(after_ms)),
        );
        shown.push(("sink", format!("delta: {}, a commit every {every}, {compacted}", delta.url)));
    }
    if pipeline.prometheus.is_some() {
        shown.push(("sink", format!("prometheus: http://{}/metrics", pipeline.http)));
    }
    Summary { lines: shown }
}

/// `plant: mqtt 127.0.0.1:1883, meters/{meter}`.
fn described(source: &SourceEntry) -> String {
    let (name, carries) = (&source.name, source.config.carries().name());
    match &source.config {
        SourceConfig::Mqtt(mqtt) => format!("{name}: mqtt {}, {}", mqtt.url, mqtt.topics.join(" ")),
        SourceConfig::Kafka(kafka) => {
            let (brokers, topics) = (kafka.brokers.join(","), kafka.topics.join(" "));
            format!("{name}: kafka {brokers}, {carries} of {topics}")
        }
        SourceConfig::File(file) => format!("{name}: {carries} of {}", file.path.display()),
    }
}
