//! From sections as written to a [`Pipeline`]: what must hold between keys.
//!
//! Each check runs when the values it needs are good by themselves, so that one mistake is one problem.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use jiff::tz::TimeZone;
use plumeline_connectors::config::Secret;
use plumeline_pipelines::model::time::DAY_MS;
use plumeline_pipelines::model::{Calendar, GwpSet, Policy, Retain, ToDate};

use super::calendar::calendar;
use super::human::format_duration;
use super::keys::nearest;
use super::problem::{Problem, Problems, Severity};
use super::raw::{self, Raw, Section};
use super::resolved::{Pipeline, Tables};
use super::secret;
use super::value::Window;

/// Windows a pipeline may have: each multiplies the roll-up's work.
const WINDOWS_MAX: usize = 16;

/// The windows of a pipeline.
struct Windows {
    /// In the order of their numbers.
    labels: Vec<String>,
    spans_ms: Vec<i64>,
    to_date: Vec<ToDate>,
}

/// What changes results, but for the calendar, and the windows.
struct Windowed {
    policy: Policy,
    also_gwp: Vec<GwpSet>,
    labels: Vec<String>,
    to_date: Vec<ToDate>,
}

/// Reads and checks the pipeline file at `path`; `env` looks up environment variables.
///
/// # Errors
/// If the file cannot be read or anything in it is wrong; all of it is reported.
pub fn load(path: &Path, env: &dyn Fn(&str) -> Option<String>) -> Result<Pipeline, Problems> {
    match std::fs::read_to_string(path) {
        Ok(text) => parse(path, &text, env),
        Err(error) => {
            let remedy = "give the path of a pipeline file, such as pipeline.toml";
            let message = format!("cannot be read: {error}");
            Err(Problem::error(&path.display().to_string(), message, remedy).into())
        }
    }
}

/// Checks `text` as if it stood in the file `path`. See [`load`].
///
/// # Errors
/// If anything in it is wrong; all of it is reported.
///
/// # Panics
/// Never: a value is missing only where a problem was reported.
pub fn parse(
    path: &Path,
    text: &str,
    env: &dyn Fn(&str) -> Option<String>,
) -> Result<Pipeline, Problems> {
    let mut problems = Problems::new();
    let file = path.display().to_string();
    let Some(raw) = raw::read(&file, text, &mut problems) else {
        return Err(problems);
    };
    let dir = path.parent().map(Path::to_path_buf).unwrap_or_default();
    let mut resolver = Resolver { file, dir, env, problems };
    let pipeline = resolver.pipeline(path, &raw);
    let problems = resolver.problems;
    if problems.errors() > 0 {
        return Err(problems);
    }
    let mut pipeline = pipeline.expect("a value is missing only where a problem was reported");
    pipeline.warnings = problems.into_iter().collect();
    Ok(pipeline)
}

/// What every check needs.
pub(super) struct Resolver<'a> {
    file: String,
    pub(super) dir: PathBuf,
    env: &'a dyn Fn(&str) -> Option<String>,
    problems: Problems,
}

impl Resolver<'_> {
    /// Reports what is wrong with `key`, at its line.
    pub(super) fn error(
        &mut self,
        section: &Section,
        key: &str,
        message: impl Into<String>,
        remedy: impl Into<String>,
    ) {
        let line = section.line_of(key);
        self.report(Severity::Error, section.place(key), line, (message.into(), remedy.into()));
    }

    /// Reports what is probably not meant so with `key`.
    pub(super) fn warn(
        &mut self,
        section: &Section,
        key: &str,
        message: impl Into<String>,
        remedy: impl Into<String>,
    ) {
        let line = section.line_of(key);
        self.report(Severity::Warning, section.place(key), line, (message.into(), remedy.into()));
    }

    /// Reports anything.
    pub(super) fn report(
        &mut self,
        severity: Severity,
        place: String,
        line: usize,
        (message, remedy): (String, String),
    ) {
        let problem = Problem::error(&self.file, message, remedy).at(line);
        self.problems.push(Problem { severity, ..problem.about(place) });
    }

    /// The path under `key`, made relative to the pipeline file's directory.
    pub(super) fn path(&self, section: &Section, key: &'static str) -> Option<PathBuf> {
        section.text(key).map(|path| self.dir.join(path))
    }

    /// The secret in `text`, which stands under `key`; a problem if a reference in it has no value.
    pub(super) fn secret(
        &mut self,
        section: &Section,
        key: &str,
        (text, line): (&str, usize),
        is_sensitive: bool,
    ) -> Option<Secret> {
        let place = section.place(key);
        match secret::resolve(text, &self.dir, self.env) {
            Ok(resolved) => {
                if is_sensitive && !resolved.is_reference {
                    let message = "a secret stands in the file itself".to_owned();
                    let remedy =
                        "write a reference: \"${env:NAME}\" or \"${file:/run/secrets/name}\"";
                    self.report(Severity::Warning, place, line, (message, remedy.into()));
                }
                Some(resolved.value)
            }
            Err(error) => {
                let remedy = match &error {
                    secret::SecretError::NotSet(name) => format!("set it: export {name}=..."),
                    secret::SecretError::Unreadable { .. } => {
                        "create the file, readable by the user who runs plumeline".into()
                    }
                    _ => "write \"${env:NAME}\" or \"${file:/run/secrets/name}\"".into(),
                };
                self.report(Severity::Error, place, line, (error.to_string(), remedy));
                None
            }
        }
    }

    fn pipeline(&mut self, path: &Path, raw: &Raw) -> Option<Pipeline> {
        let top = &raw.pipeline;
        let name = top.text("name");
        let timezone = self.timezone(top);
        let policy = self.policy(raw);
        let http = self.listen(&raw.http);
        let sources = self.sources(raw, name.as_deref());
        let (delta, prometheus) = self.sinks(raw);
        let Windowed { policy, also_gwp, labels: window_labels, to_date } = policy?;
        let (timezone, timezone_name) = timezone?;
        let calendar = calendar(&timezone, &timezone_name, to_date);
        let policy = Policy { calendar, ..policy };
        Some(Pipeline {
            file: path.to_path_buf(),
            name: name?,
            timezone,
            timezone_name,
            policy,
            also_gwp,
            window_labels,
            workers: usize::try_from(top.whole("workers")?).ok()?,
            state_dir: self.path(top, "state_dir")?,
            max_parked: top.whole("max_parked")?,
            max_ahead_ms: top.millis("max_ahead")?,
            restates_by_itself: top.text("restate")? == "auto",
            max_fact_change: raw.tables.whole("max_fact_change")?,
            http: http?,
            tables: Tables {
                meters: self.path(&raw.tables, "meters"),
                factors: self.path(&raw.tables, "factors"),
                series: self.path(&raw.tables, "series"),
                nodes: self.path(&raw.tables, "nodes"),
                contracts: self.path(&raw.tables, "contracts"),
                certificates: self.path(&raw.tables, "certificates"),
                prices: self.path(&raw.tables, "prices"),
            },
            sources,
            delta,
            prometheus,
            warnings: Vec::new(),
        })
    }

    fn timezone(&mut self, top: &Section) -> Option<(TimeZone, String)> {
        let name = top.text("timezone")?;
        if let Ok(timezone) = TimeZone::get(&name) {
            return Some((timezone, name));
        }
        let known: Vec<String> = jiff::tz::db().available().map(|name| name.to_string()).collect();
        let remedy = match nearest(&name, known.iter().map(String::as_str)) {
            Some(meant) => format!("did you mean \"{meant}\"?"),
            None => "write an IANA name, such as \"UTC\" or \"Europe/Berlin\"".into(),
        };
        self.error(top, "timezone", format!("`{name}` is no time zone"), remedy);
        None
    }

    /// What changes results, but for the calendar, and the windows.
    fn policy(&mut self, raw: &Raw) -> Option<Windowed> {
        let top = &raw.pipeline;
        let period_ms = top.millis("period");
        let (grace_ms, retain_ms) = (top.millis("grace"), top.millis("retain"));
        let samples_ms = top.millis("samples");
        let period_ms = period_ms.filter(|ms| self.is_divisor_of_a_day(top, *ms));
        if let (Some(grace), Some(retain)) = (grace_ms, retain_ms)
            && grace >= retain
        {
            let retain = format_duration(retain);
            let message = format!("is not shorter than retain = \"{retain}\"");
            self.error(
                top,
                "grace",
                message,
                format!("write less than {retain}, or a longer retain"),
            );
        }
        if let (Some(samples), Some(retain)) = (samples_ms, retain_ms)
            && samples > retain
        {
            let retain = format_duration(retain);
            let message = format!("is longer than retain = \"{retain}\"");
            self.error(
                top,
                "samples",
                message,
                format!("write at most {retain}, or a longer retain"),
            );
        }
        if let (Some(samples), Some(period)) = (samples_ms, period_ms)
            && samples < period
        {
            let period = format_duration(period);
            let message = format!("is shorter than period = \"{period}\"");
            self.error(top, "samples", message, format!("write at least {period}"));
        }
        let windows = self.windows(top, period_ms, retain_ms);
        if raw.sinks.iter().all(|sink| sink.keys.kind != Some("delta")) {
            self.forgotten_windows(top, retain_ms);
        }
        let sets = top.texts("gwp")?;
        let mut sets = sets.iter().filter_map(|(name, _)| GwpSet::parse(name));
        let (gwp, also_gwp) = (sets.next()?, sets.collect());
        let Windows { labels, spans_ms, to_date } = windows?;
        let policy = Policy {
            period_ms: period_ms?,
            grace_ms: grace_ms?,
            retain: Retain::of(retain_ms?),
            samples_ms: samples_ms?,
            windows_ms: spans_ms,
            calendar: Calendar::default(),
            gwp,
        };
        Some(Windowed { policy, also_gwp, labels, to_date })
    }

    fn is_divisor_of_a_day(&mut self, top: &Section, period_ms: i64) -> bool {
        if DAY_MS % period_ms == 0 {
            return true;
        }
        // Whole minutes read better than 6m40s, where they do.
        let step_ms = if period_ms >= 120_000 { 60_000 } else { 1_000 };
        let divides = |steps: &i64| DAY_MS % (steps * step_ms) == 0;
        let steps = period_ms / step_ms;
        let shorter = (1..=steps).rev().find(divides).unwrap_or(1);
        let longer = (steps + 1..=DAY_MS / step_ms).find(divides).unwrap_or(DAY_MS / step_ms);
        let [shorter, longer] = [shorter, longer].map(|steps| format_duration(steps * step_ms));
        let message =
            format!("{} does not divide a day into equal periods", format_duration(period_ms));
        self.error(
            top,
            "period",
            message,
            format!("the nearest that do are {shorter} and {longer}"),
        );
        false
    }

    fn windows(
        &mut self,
        top: &Section,
        period_ms: Option<i64>,
        retain_ms: Option<i64>,
    ) -> Option<Windows> {
        let written = top.windows("windows")?;
        let place = || top.place("windows");
        if written.len() > WINDOWS_MAX {
            let message = format!("has {} windows", written.len());
            self.error(top, "windows", message, format!("write at most {WINDOWS_MAX}"));
        }
        let mut windows: Vec<(String, i64)> = Vec::new();
        let mut to_date: Vec<ToDate> = Vec::new();
        for ((label, line), window) in written {
            let line = if line == 0 { top.line_of("windows") } else { line };
            let mut wrong = |message: String, remedy: String| {
                self.report(Severity::Error, place(), line, (message, remedy));
            };
            let span_ms = match window {
                Window::Rolling(span_ms) => span_ms,
                Window::ToDate(window) if to_date.contains(&window) => {
                    wrong(format!("\"{label}\" is there twice"), "keep one of them".to_owned());
                    continue;
                }
                Window::ToDate(window) => {
                    to_date.push(window);
                    continue;
                }
            };
            if let Some((other, _)) = windows.iter().find(|(_, ms)| *ms == span_ms) {
                wrong(format!("\"{label}\" is there twice"), format!("keep \"{other}\" alone"));
            }
            if let Some(retain) = retain_ms.filter(|retain| span_ms > *retain) {
                let remedy =
                    format!("write at most {}, or a longer retain", format_duration(retain));
                wrong(format!("\"{label}\" is longer than retain"), remedy);
            }
            if let Some(period) = period_ms.filter(|period| span_ms % period != 0 || span_ms == 0) {
                let period = format_duration(period);
                let message = format!("\"{label}\" is not a multiple of period = \"{period}\"");
                wrong(message, format!("write a multiple of {period}"));
            }
            windows.push((label, span_ms));
        }
        let (mut labels, spans_ms): (Vec<String>, Vec<i64>) = windows.into_iter().unzip();
        labels.extend(to_date.iter().map(|window| window.label().to_owned()));
        Some(Windows { labels, spans_ms, to_date })
    }

    /// Without a ledger nothing is known below the horizon after a restart.
    fn forgotten_windows(&mut self, top: &Section, retain_ms: Option<i64>) {
        let (Some(windows), Some(retain_ms)) = (top.windows("windows"), retain_ms) else { return };
        for ((label, line), window) in windows {
            let Window::ToDate(window) = window else { continue };
            let least_ms = window.longest_ms();
            if retain_ms < least_ms {
                let line = if line == 0 { top.line_of("windows") } else { line };
                let message =
                    format!("\"{label}\" reaches below retain, and there is no delta sink");
                let remedy = format!(
                    "add one, which says after a restart what was before, or write retain = \"{}\"",
                    format_duration(least_ms)
                );
                self.report(Severity::Error, top.place("windows"), line, (message, remedy));
            }
        }
    }

    fn listen(&mut self, http: &Section) -> Option<SocketAddr> {
        let text = http.text("listen")?;
        if let Ok(address) = text.parse() {
            return Some(address);
        }
        let port = text.rsplit_once(':').and_then(|(_, port)| port.parse::<u16>().ok());
        let remedy = match (text.parse::<std::net::IpAddr>(), port) {
            (Ok(_), _) => format!("add a port: \"{text}:9926\""),
            (Err(_), Some(port)) => format!("write a number for the host: \"127.0.0.1:{port}\""),
            (Err(_), None) => "write an address and a port: \"127.0.0.1:9926\"".into(),
        };
        self.error(http, "listen", format!("`{text}` is no address with a port"), remedy);
        None
    }
}

#[cfg(test)]
#[path = "resolve_tests.rs"]
mod tests;
