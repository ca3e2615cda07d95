//! What is wrong, where, and what to write instead.
//!
//! Everything that reads what people wrote (pipeline file, tables, facts from topics) collects [`Problem`]s
//! instead of stopping at the first, so that one run of `plumeline check` is enough to mend a file:
//!
//! ```text
//! pipeline.toml:4: error: period: `7m` does not divide a day into equal periods
//!     write a divisor of a day, such as 5m, 15m or 1h
//! ```
//!
//! `file:line:` comes first, as compilers write it, so that editors and terminals jump there. Where in the
//! file's own terms (a key, a column) is [`Problem::place`], never part of a message.

use std::collections::BTreeMap;
use std::fmt;

/// Problems printed of one file; a table of 100,000 rows with one wrong column would hide the rest.
pub const SHOWN_PER_FILE: usize = 100;

/// Whether it stops the pipeline.
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// It does.
    Error,
    /// It is probably not meant so.
    Warning,
}

impl Severity {
    /// `error`, `warning`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
        }
    }
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Whether it stops the pipeline.
    pub severity: Severity,
    /// The file, as it was named; or the source, for facts of a topic.
    pub file: String,
    /// The line in it, from 1.
    pub line: Option<usize>,
    /// The key or column it is about.
    pub place: Option<String>,
    /// What is wrong: one fragment, no full stop.
    pub message: String,
    /// What to write instead.
    pub remedy: String,
}

impl Problem {
    /// An error in `file`, without line and place.
    #[must_use]
    pub fn error(file: &str, message: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self {
            severity: Severity::Error,
            file: file.into(),
            line: None,
            place: None,
            message: message.into(),
            remedy: remedy.into(),
        }
    }

    /// A warning about `file`, without line and place.
    #[must_use]
    pub fn warning(file: &str, message: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { severity: Severity::Warning, ..Self::error(file, message, remedy) }
    }

    /// The same, at `line`.
    #[must_use]
    pub fn at(mut self, line: impl Into<Option<usize>>) -> Self {
        self.line = line.into();
        self
    }

    /// The same, about the key or column `place`.
    #[must_use]
    pub fn about(mut self, place: impl Into<String>) -> Self {
        self.place = Some(place.into());
        self
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.file)?;
        if let Some(line) = self.line {
            write!(f, ":{line}")?;
        }
        write!(f, ": {}: ", self.severity.name())?;
        if let Some(place) = &self.place {
            write!(f, "{place}: ")?;
        }
        write!(f, "{}", self.message)?;
        if self.remedy.is_empty() { Ok(()) } else { write!(f, "\n    {}", self.remedy) }
    }
}

/// All that is wrong, in the order it was found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Problems(Vec<Problem>);

impl Problems {
    /// Nothing is wrong yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds `problem`.
    pub fn push(&mut self, problem: Problem) {
        self.0.push(problem);
    }

    /// How many stop the pipeline.
    #[must_use]
    pub fn errors(&self) -> usize {
        self.0.iter().filter(|problem| problem.severity == Severity::Error).count()
    }

    /// How many do not.
    #[must_use]
    pub fn warnings(&self) -> usize {
        self.0.len() - self.errors()
    }

    /// Whether nothing at all is wrong.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Each of them, in the order they were found.
    pub fn iter(&self) -> std::slice::Iter<'_, Problem> {
        self.0.iter()
    }

    /// `2 errors, 1 warning`.
    #[must_use]
    pub fn counts(&self) -> String {
        let count = |n: usize, word: &str| format!("{n} {word}{}", if n == 1 { "" } else { "s" });
        format!("{}, {}", count(self.errors(), "error"), count(self.warnings(), "warning"))
    }
}

impl Extend<Problem> for Problems {
    fn extend<I: IntoIterator<Item = Problem>>(&mut self, problems: I) {
        self.0.extend(problems);
    }
}

impl FromIterator<Problem> for Problems {
    fn from_iter<I: IntoIterator<Item = Problem>>(problems: I) -> Self {
        Self(problems.into_iter().collect())
    }
}

impl IntoIterator for Problems {
    type Item = Problem;
    type IntoIter = std::vec::IntoIter<Problem>;
    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

impl<'a> IntoIterator for &'a Problems {
    type Item = &'a Problem;
    type IntoIter = std::slice::Iter<'a, Problem>;
    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl From<Problem> for Problems {
    fn from(problem: Problem) -> Self {
        Self(vec![problem])
    }
}

impl std::error::Error for Problems {}

/// File by file in the order they first appear, by line within each, counts at the end.
impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut files: Vec<&str> = Vec::new();
        let mut by_file: BTreeMap<&str, Vec<&Problem>> = BTreeMap::new();
        for problem in &self.0 {
            let of_file = by_file.entry(&problem.file).or_default();
            if of_file.is_empty() {
                files.push(&problem.file);
            }
            of_file.push(problem);
        }
        for file in files {
            let mut of_file = by_file.remove(file).unwrap_or_default();
            of_file.sort_by_key(|problem| problem.line);
            for problem in of_file.iter().take(SHOWN_PER_FILE) {
                writeln!(f, "{problem}")?;
            }
            let hidden = of_file.len().saturating_sub(SHOWN_PER_FILE);
            if hidden > 0 {
                writeln!(f, "{file}: and {hidden} more; mend these first")?;
            }
        }
        write!(f, "{}", self.counts())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn problems_are_grouped_by_file_sorted_by_line_and_counted() {
        let problems: Problems = [
            Problem::error("a.toml", "second", "").at(9),
            Problem::warning("b.csv", "a gap", "close it").at(2).about("valid_to"),
            Problem::error("a.toml", "first", "write x").at(1).about("period"),
        ]
        .into_iter()
        .collect();
        let shown = "a.toml:1: error: period: first\n    write x\na.toml:9: error: second\n\
                     b.csv:2: warning: valid_to: a gap\n    close it\n2 errors, 1 warning";
        assert_eq!(problems.to_string(), shown);
    }

    #[test]
    fn a_flood_is_cut_per_file_but_counted_in_full() {
        let flood = (0..150).map(|line| Problem::error("m.csv", "wrong", "").at(line));
        let problems: Problems = flood.chain([Problem::error("n.csv", "odd", "")]).collect();
        let shown = problems.to_string();
        assert!(shown.contains("m.csv: and 50 more") && shown.contains("n.csv: error: odd"));
        assert!(shown.ends_with("151 errors, 0 warnings"));
    }
}
