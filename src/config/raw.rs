//! The pipeline file as it was written: every key read by the table of keys, every mistake collected.
//!
//! 1. The text is parsed with the place of every key and value. Syntax errors end it here: what follows a
//!    torn string is not what its author wrote.
//! 2. Sections are found; a `[[source]]` or `[[sink]]` is read by the keys of its `type`.
//! 3. Each key is looked up: unknown ones name the nearest known one, or the section they belong to; each
//!    value must be of its key's kind.
//! 4. A bad value is reported once and remembered as bad, so that what depends on it stays silent.
//!
//! Nothing here knows what values mean together: that is `resolve`.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::catalogue;
use super::keys::{self, Absent, Key, nearest};
use super::problem::{Problem, Problems};
use super::value::{self, Item, Value, Window};

/// A value with the line it stands on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Located<T> {
    /// The value.
    pub(super) value: T,
    /// Line, from 1.
    pub(super) line: usize,
}

/// A section as written.
#[derive(Clone, Debug)]
pub(super) struct Section {
    /// Its keys.
    pub(super) keys: &'static keys::Section,
    /// How messages call it: empty for the top of the file, `http`, `source "plant"`.
    pub(super) path: String,
    /// The line of its header; 1 for the top of the file.
    pub(super) line: usize,
    values: BTreeMap<&'static str, Located<Value>>,
    bad: BTreeSet<&'static str>,
}

/// The file as written.
#[derive(Clone, Debug)]
pub(super) struct Raw {
    /// The top of the file.
    pub(super) pipeline: Section,
    /// `[http]`.
    pub(super) http: Section,
    /// `[tables]`.
    pub(super) tables: Section,
    /// Each `[[source]]` whose type is known.
    pub(super) sources: Vec<Section>,
    /// How many were written, of whatever type.
    pub(super) sources_written: usize,
    /// Each `[[sink]]` whose type is known.
    pub(super) sinks: Vec<Section>,
    /// How many were written, of whatever type.
    pub(super) sinks_written: usize,
}

impl Section {
    /// The value of `name`: as written, else its default; `None` if it is absent without a default, or bad
    /// (and then already reported).
    #[must_use]
    pub(super) fn get(&self, name: &'static str) -> Option<Located<Value>> {
        if let Some(written) = self.values.get(name) {
            return Some(written.clone());
        }
        if self.bad.contains(name) {
            return None;
        }
        match self.keys.key(name)?.absent {
            Absent::Default(literal) => {
                let value = value::of_literal(self.keys.key(name)?.kind, literal);
                Some(Located { value, line: self.line })
            }
            Absent::Required | Absent::Means(_) => None,
        }
    }

    /// Whether `name` was written, well or badly.
    #[must_use]
    pub(super) fn has(&self, name: &str) -> bool {
        self.values.contains_key(name) || self.bad.contains(name)
    }

    /// The line of `name`, or of the section where it is absent.
    #[must_use]
    pub(super) fn line_of(&self, name: &str) -> usize {
        self.values.get(name).map_or(self.line, |written| written.line)
    }

    /// How messages call the key `name` of this section.
    #[must_use]
    pub(super) fn place(&self, name: &str) -> String {
        if self.path.is_empty() { name.into() } else { format!("{}.{name}", self.path) }
    }
}

/// Reads `text`, the contents of `file`. `None` if it is not TOML; every mistake is in `problems`.
pub(super) fn read(file: &str, text: &str, problems: &mut Problems) -> Option<Raw> {
    let (root, errors) = DeTable::parse_recoverable(text);
    let mut reader = Reader { file, lines: Lines::of(text), problems };
    if !errors.is_empty() {
        reader.syntax_errors(&errors);
        return None;
    }
    Some(reader.document(root.into_inner()))
}

/// Lines that are reported to be no TOML.
const SYNTAX_ERRORS_MAX: usize = 5;

/// Starts of lines, to turn offsets into line numbers.
struct Lines(Vec<usize>);

impl Lines {
    fn of(text: &str) -> Self {
        let ends =
            text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n').map(|(at, _)| at + 1);
        Self(std::iter::once(0).chain(ends).collect())
    }

    fn at(&self, span: &Range<usize>) -> usize {
        self.0.partition_point(|start| *start <= span.start)
    }
}

struct Reader<'a> {
    file: &'a str,
    lines: Lines,
    problems: &'a mut Problems,
}

impl Reader<'_> {
    /// Reports syntax errors, one a line. The parser goes on after an error, which finds further ones;
    /// after a list that is not closed it reads the rest of the file as its elements, which is noise. So is
    /// every line of a file that is none of ours.
    fn syntax_errors(&mut self, errors: &[toml::de::Error]) {
        let has_open_list = errors.iter().any(|error| error.message().contains("unclosed array"));
        // The parser finds torn structure first and bad values after, wherever they stand.
        let mut in_order: Vec<&toml::de::Error> = errors.iter().collect();
        in_order.sort_by_key(|error| error.span().map(|span| span.start));
        let (mut last_line, mut shown) = (None, 0);
        for error in in_order {
            let line = error.span().map(|span| self.lines.at(&span));
            let text = error.message();
            let is_noise = has_open_list && ["comma", "unclosed"].iter().any(|w| text.contains(w));
            let remedy = if is_noise {
                "a list above is not closed: add the missing ]"
            } else if text.contains("duplicate key") {
                "keep one of them; [section] may stand once, [[source]] and [[sink]] often"
            } else {
                "write it as TOML: key = \"text\", key = 5, key = [\"a\", \"b\"], [section], [[source]]"
            };
            if line.is_none() || line != last_line {
                if shown == SYNTAX_ERRORS_MAX {
                    let remedy = "mend these first, or give the path of a pipeline file, such as pipeline.toml";
                    let problem =
                        Problem::error(self.file, "not TOML: nor is much after it", remedy);
                    self.problems.push(problem.at(line));
                    break;
                }
                shown += 1;
                let problem = Problem::error(self.file, format!("not TOML: {text}"), remedy);
                self.problems.push(problem.at(line));
            }
            if is_noise {
                break;
            }
            last_line = line;
        }
    }

    fn document(&mut self, mut root: DeTable<'_>) -> Raw {
        let http = self.single(&mut root, &catalogue::HTTP);
        let tables = self.single(&mut root, &catalogue::TABLES);
        let kinds = [&catalogue::MQTT, &catalogue::KAFKA, &catalogue::FILE];
        let (sources, sources_written) = self.several(&mut root, &kinds);
        let kinds = [&catalogue::DELTA, &catalogue::PROMETHEUS];
        let (sinks, sinks_written) = self.several(&mut root, &kinds);
        let pipeline = self.section(root, &catalogue::PIPELINE, String::new(), 1);
        Raw { pipeline, http, tables, sources, sources_written, sinks, sinks_written }
    }

    /// Reads a section that may be there once, such as `[http]`.
    fn single(&mut self, root: &mut DeTable<'_>, keys: &'static keys::Section) -> Section {
        let name = keys.header.trim_matches(['[', ']']);
        let Some((key, value)) = root.remove_entry(name) else {
            return self.section(DeTable::new(), keys, name.into(), 1);
        };
        let line = self.lines.at(&key.span());
        let DeValue::Table(table) = value.into_inner() else {
            let remedy = format!("write a section headed {}", keys.header);
            let message = "is not a section";
            self.problems.push(Problem::error(self.file, message, remedy).at(line).about(name));
            return self.section(DeTable::new(), keys, name.into(), line);
        };
        self.section(table, keys, name.into(), line)
    }

    /// Reads sections that may be there often and differ by `type`.
    fn several(
        &mut self,
        root: &mut DeTable<'_>,
        kinds: &[&'static keys::Section],
    ) -> (Vec<Section>, usize) {
        let header = kinds[0].header;
        let name = header.trim_matches(['[', ']']);
        let Some((key, value)) = root.remove_entry(name) else {
            return (Vec::new(), 0);
        };
        let remedy = || format!("open each with {header}, in double brackets");
        let mut found = Vec::new();
        let items: Vec<_> = match value.into_inner() {
            DeValue::Array(items) => items.into_iter().collect(),
            other => vec![Spanned::new(key.span(), other)],
        };
        let written = items.len();
        for (index, item) in items.into_iter().enumerate() {
            let line = self.lines.at(&item.span());
            let single_brackets = line == self.lines.at(&key.span()) && item.span() == key.span();
            let DeValue::Table(table) = item.into_inner() else {
                let problem = Problem::error(self.file, format!("is not a {header}"), remedy());
                self.problems.push(problem.at(line).about(name));
                continue;
            };
            if single_brackets {
                let problem = Problem::error(self.file, "stands in single brackets", remedy());
                self.problems.push(problem.at(line).about(format!("[{name}]")));
            }
            found.extend(self.one_of_several(table, kinds, (name, index + 1), line));
        }
        (found, written)
    }

    fn one_of_several(
        &mut self,
        table: DeTable<'_>,
        kinds: &[&'static keys::Section],
        (name, number): (&str, usize),
        line: usize,
    ) -> Option<Section> {
        let text = |key: &str| match table.get(key).map(Spanned::get_ref) {
            Some(DeValue::String(text)) => Some(text.to_string()),
            _ => None,
        };
        let kind = text("type");
        let label = match (&kind, text("name")) {
            (_, Some(own_name)) => format!("{name} \"{own_name}\""),
            (Some(kind), None) if name == "sink" => format!("{name} \"{kind}\""),
            _ => format!("{name} {number}"),
        };
        if let Some(keys) = kinds.iter().find(|keys| keys.kind == kind.as_deref()) {
            return Some(self.section(table, keys, label, line));
        }
        let known: Vec<&str> = kinds.iter().filter_map(|keys| keys.kind).collect();
        let line = table.get("type").map_or(line, |value| self.lines.at(&value.span()));
        let message = match &kind {
            Some(kind) => format!("`{kind}` is no type of {name}"),
            None if table.contains_key("type") => "is not a text".into(),
            None => "is missing".into(),
        };
        let remedy = match kind.and_then(|kind| nearest(&kind, known.iter().copied())) {
            Some(meant) => format!("write type = \"{meant}\""),
            None => format!("write type = {}", value::quoted(&known)),
        };
        let problem = Problem::error(self.file, message, remedy).at(line);
        self.problems.push(problem.about(format!("{label}.type")));
        None
    }

    fn section(
        &mut self,
        table: DeTable<'_>,
        keys: &'static keys::Section,
        path: String,
        line: usize,
    ) -> Section {
        let (values, bad) = (BTreeMap::new(), BTreeSet::new());
        let mut section = Section { keys, path, line, values, bad };
        for (name, item) in table {
            let line = self.lines.at(&name.span());
            let name = name.into_inner();
            match keys.key(&name) {
                None => {
                    // A misspelt key is neither missing nor left to its default: one mistake, one problem.
                    let meant = self.unknown(&section, &name, line);
                    section.bad.extend(meant.and_then(|meant| keys.key(meant)).map(|key| key.name));
                }
                Some(key) => self.value(&mut section, key, &item, line),
            }
        }
        for key in keys.keys.iter().filter(|key| key.absent == Absent::Required) {
            if !section.has(key.name) {
                let remedy = format!("write {} = {}", key.name, key.example);
                let problem = Problem::error(self.file, "is missing", remedy).at(section.line);
                self.problems.push(problem.about(section.place(key.name)));
                section.bad.insert(key.name);
            }
        }
        section
    }

    fn value(
        &mut self,
        section: &mut Section,
        key: &'static Key,
        item: &Spanned<DeValue<'_>>,
        line: usize,
    ) {
        match value::of(key.kind, item.get_ref(), &|span| self.lines.at(span)) {
            Ok(value) => {
                section.values.insert(key.name, Located { value, line });
            }
            Err(fault) => {
                section.bad.insert(key.name);
                let remedy = fault.remedy.unwrap_or_else(|| {
                    format!(
                        "write {}, such as {} = {}",
                        value::described(key.kind),
                        key.name,
                        key.example
                    )
                });
                let line = fault.line.unwrap_or(line);
                let problem = Problem::error(self.file, fault.message, remedy).at(line);
                self.problems.push(problem.about(section.place(key.name)));
            }
        }
    }

    /// Reports an unknown key; the known one that was probably meant is returned.
    fn unknown(&mut self, section: &Section, name: &str, line: usize) -> Option<&'static str> {
        let is_top = section.keys.header.is_empty();
        let known = section.keys.keys.iter().map(|key| key.name);
        let sections = ["http", "tables", "source", "sink"].into_iter().filter(|_| is_top);
        let other = keys::other_homes(section.keys, name).next();
        let meant = nearest(name, known.clone().chain(sections));
        let remedy = match (meant, other) {
            (_, Some(home)) if home.header.is_empty() => {
                format!(
                    "`{name}` belongs to the top of the file: move it above the first [section]"
                )
            }
            (_, Some(home)) => format!("`{name}` belongs to {}: move it there", home.title()),
            (Some(meant @ ("source" | "sink")), None) => format!("did you mean [[{meant}]]?"),
            (Some(meant @ ("http" | "tables")), None) => format!("did you mean [{meant}]?"),
            (Some(meant), None) => format!("did you mean `{meant}`?"),
            (None, None) => {
                format!("remove it; known are {}", known.collect::<Vec<_>>().join(", "))
            }
        };
        let message = format!("unknown key in {}", section.keys.title());
        let problem = Problem::error(self.file, message, remedy).at(line);
        self.problems.push(problem.about(section.place(name)));
        meant.filter(|_| other.is_none())
    }
}

/// The typed values of a section; `None` as in [`Section::get`].
impl Section {
    /// Under a key of kind `Text`, `Path`, `Name` or `Choice`.
    #[must_use]
    pub(super) fn text(&self, name: &'static str) -> Option<String> {
        self.get(name).and_then(|found| match found.value {
            Value::Text(text) => Some(text),
            _ => None,
        })
    }

    /// Under a key of kind `Texts` or `Choices`.
    #[must_use]
    pub(super) fn texts(&self, name: &'static str) -> Option<Vec<Item>> {
        self.get(name).and_then(|found| match found.value {
            Value::Texts(texts) => Some(texts),
            _ => None,
        })
    }

    /// Under a key of kind `Whole` or `Size`.
    #[must_use]
    pub(super) fn whole(&self, name: &'static str) -> Option<u64> {
        self.get(name).and_then(|found| match found.value {
            Value::Whole(whole) => Some(whole),
            _ => None,
        })
    }

    /// Under a key of kind `Flag`.
    #[must_use]
    pub(super) fn flag(&self, name: &'static str) -> Option<bool> {
        self.get(name).and_then(|found| match found.value {
            Value::Flag(flag) => Some(flag),
            _ => None,
        })
    }

    /// Under a key of kind `Duration`.
    #[must_use]
    pub(super) fn millis(&self, name: &'static str) -> Option<i64> {
        self.get(name).and_then(|found| match found.value {
            Value::Millis(ms) => Some(ms),
            _ => None,
        })
    }

    /// Under a key of kind `Windows`.
    #[must_use]
    pub(super) fn windows(&self, name: &'static str) -> Option<Vec<(Item, Window)>> {
        self.get(name).and_then(|found| match found.value {
            Value::Windows(windows) => Some(windows),
            _ => None,
        })
    }

    /// Under a key of kind `Properties`.
    #[must_use]
    pub(super) fn properties(&self, name: &'static str) -> Option<BTreeMap<String, Item>> {
        self.get(name).and_then(|found| match found.value {
            Value::Properties(properties) => Some(properties),
            _ => None,
        })
    }
}
