//! `[[sink]]`: at least one, at most one of each type.

use std::path::Path;

use plumeline_sinks::delta::Compression;

use super::problem::Severity;
use super::raw::{Raw, Section};
use super::resolve::Resolver;
use super::resolved::{DeltaSink, PrometheusSink};

impl Resolver<'_> {
    /// The ledger and the gauges.
    pub(super) fn sinks(&mut self, raw: &Raw) -> (Option<DeltaSink>, Option<PrometheusSink>) {
        if raw.sinks_written == 0 {
            let message = "there is none: results would go nowhere".to_owned();
            let remedy = "add one: [[sink]], type = \"delta\", url = \"lake\"".to_owned();
            self.report(Severity::Error, "[[sink]]".into(), 1, (message, remedy));
        }
        let delta = self.only(raw, "delta").and_then(|section| self.delta(section));
        let prometheus = self.only(raw, "prometheus").and_then(prometheus);
        (delta, prometheus)
    }

    fn only<'r>(&mut self, raw: &'r Raw, kind: &str) -> Option<&'r Section> {
        let mut of_kind = raw.sinks.iter().filter(|section| section.keys.kind == Some(kind));
        let first = of_kind.next()?;
        for further in of_kind {
            let message = format!("is a second {kind} sink; the first is in line {}", first.line);
            self.error(further, "type", message, "keep one of them");
        }
        Some(first)
    }

    fn delta(&mut self, section: &Section) -> Option<DeltaSink> {
        let url = section.text("url").and_then(|url| self.location(section, &url));
        let compression = match section.text("compression")?.as_str() {
            "snappy" => Compression::Snappy,
            "lz4_raw" => Compression::Lz4Raw,
            "none" => Compression::None,
            _ => Compression::Zstd,
        };
        Some(DeltaSink {
            url: url?,
            compression,
            commit_every_ms: section.millis("commit_every")?,
            compact_after_ms: section.millis("compact_after"),
            readings: section.text("readings")? == "all",
            line: section.line,
        })
    }

    /// An absolute path, or a URL as it is.
    fn location(&mut self, section: &Section, url: &str) -> Option<String> {
        let remedy = "write a path, file:///path or s3://bucket/prefix";
        let Some((scheme, rest)) = url.split_once("://") else {
            return match std::path::absolute(self.dir.join(Path::new(url))) {
                Ok(path) => Some(path.display().to_string()),
                Err(error) => {
                    self.error(section, "url", format!("`{url}` is no path: {error}"), remedy);
                    None
                }
            };
        };
        let message = match scheme {
            "file" if rest.starts_with('/') && rest.len() > 1 => return Some(url.into()),
            "file" => "has no absolute path after file://".to_owned(),
            "s3" if rest.contains('@') => {
                "holds credentials; they come from the environment".into()
            }
            "s3" if !rest.is_empty() && !rest.starts_with('/') => return Some(url.into()),
            "s3" => "has no bucket".into(),
            other => format!("`{other}://` is no store that is known"),
        };
        self.error(section, "url", message, remedy);
        None
    }
}

fn prometheus(section: &Section) -> Option<PrometheusSink> {
    Some(PrometheusSink {
        depth: u8::try_from(section.whole("depth")?).ok()?,
        gases: section.flag("gases")?,
        max_series: usize::try_from(section.whole("max_series")?).ok()?,
    })
}
