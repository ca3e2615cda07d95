//! The keys of a pipeline file: one table from which it is read, checked, defaulted and documented.
//!
//! A key is written once, here. `raw` reads by it, `reference.md` and `example.toml` are printed from it,
//! and the defaults stand in it as they would stand in the file. The doc of a key is its manual: meaning,
//! unit, what larger and smaller do, the pitfall.

use super::catalogue::SECTIONS;

/// What a key's value must be.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A text.
    Text,
    /// A text, or a reference to one: `${env:NAME}`, `${file:PATH}`.
    Secret,
    /// A path, relative to the pipeline file.
    Path,
    /// Texts.
    Texts,
    /// A name: `a-z`, `0-9`, `-`, `_`, at most 64.
    Name,
    /// One of these words.
    Choice(&'static [&'static str]),
    /// One of these words, or some of them in a list.
    Choices(&'static [&'static str]),
    /// A whole number.
    Whole {
        /// The smallest.
        least: u64,
        /// The largest.
        most: u64,
    },
    /// `true` or `false`.
    Flag,
    /// A duration.
    Duration {
        /// The shortest, ms.
        least_ms: i64,
        /// The longest, ms.
        most_ms: i64,
    },
    /// A duration, or this word.
    DurationOr {
        /// The word.
        word: &'static str,
        /// The shortest, ms.
        least_ms: i64,
        /// The longest, ms.
        most_ms: i64,
    },
    /// Windows: durations, and names of windows to date.
    Windows,
    /// A size.
    Size {
        /// The smallest, bytes.
        least: u64,
        /// The largest, bytes.
        most: u64,
    },
    /// A table of texts.
    Properties,
}

/// What holds when a key is absent.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(super) enum Absent {
    /// It must not be.
    Required,
    /// What that means, in words.
    Means(&'static str),
    /// Its default, as it would be written.
    Default(&'static str),
}

/// A key.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(super) struct Key {
    /// Its name.
    pub(super) name: &'static str,
    /// What its value must be.
    pub(super) kind: Kind,
    /// What holds without it.
    pub(super) absent: Absent,
    /// A value as it could be written, for `example.toml`.
    pub(super) example: &'static str,
    /// Its manual.
    pub(super) doc: &'static str,
}

/// A table of the pipeline file.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(super) struct Section {
    /// How it is opened; empty for the top of the file.
    pub(super) header: &'static str,
    /// The value of `type` that selects it, among those of its header.
    pub(super) kind: Option<&'static str>,
    /// What it is for.
    pub(super) doc: &'static str,
    /// Its keys, in the order of the manual.
    pub(super) keys: &'static [Key],
}

/// A key, in one expression.
pub(super) const fn key(
    name: &'static str,
    kind: Kind,
    absent: Absent,
    example: &'static str,
    doc: &'static str,
) -> Key {
    Key { name, kind, absent, example, doc }
}

impl Section {
    /// The key called `name`.
    #[must_use]
    pub(super) fn key(&self, name: &str) -> Option<&'static Key> {
        self.keys.iter().find(|key| key.name == name)
    }

    /// How people call it: `[http]`, `[[source]] of type "mqtt"`.
    #[must_use]
    pub(super) fn title(&self) -> String {
        match (self.header, self.kind) {
            ("", _) => "the top of the file".into(),
            (header, Some(kind)) => format!("{header} of type \"{kind}\""),
            (header, None) => header.into(),
        }
    }
}

/// Where a key may also stand: sections other than `section` that have a key called `name`.
pub(super) fn other_homes(section: &Section, name: &str) -> impl Iterator<Item = &'static Section> {
    SECTIONS.into_iter().filter(move |other| *other != section && other.key(name).is_some())
}

/// The nearest of `words` to `word`, if it is near enough to be meant.
#[must_use]
pub fn nearest<'a>(word: &str, words: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let word = word.to_lowercase();
    let distance = |other: &str| strsim::damerau_levenshtein(&word, &other.to_lowercase());
    let near_enough = (word.chars().count() / 3).max(1);
    words
        .into_iter()
        .map(|other| (distance(other), other))
        .filter(|(distance, other)| *distance <= near_enough || other.to_lowercase() == word)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, other)| other)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_word_is_found_and_a_far_one_is_not() {
        let words = ["retain", "samples", "state_dir"];
        assert_eq!(nearest("retian", words), Some("retain"));
        assert_eq!(nearest("statedir", words), Some("state_dir"));
        assert_eq!(nearest("Samples", words), Some("samples"));
        assert_eq!(nearest("colour", words), None);
    }
}
