//! One value of a pipeline file: of the kind its key asks for, or what is wrong with it.

use std::collections::BTreeMap;
use std::ops::{Range, RangeInclusive};

use plumeline_pipelines::model::ToDate;
use toml::Spanned;
use toml::de::DeValue;

use super::human::{format_duration, format_size, parse_duration, parse_size};
use super::keys::{Kind, nearest};

/// Characters of a name.
pub(super) const NAME_LENGTH_MAX: usize = 64;

/// A text in a list, with the line it stands on; 0 for a default's.
pub(super) type Item = (String, usize);

/// A value of its key's kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Value {
    /// Of `Text`, `Secret`, `Path`, `Name`, `Choice`.
    Text(String),
    /// Of `Texts` and `Choices`.
    Texts(Vec<Item>),
    /// Of `Whole`, and bytes of `Size`.
    Whole(u64),
    /// Of `Flag`.
    Flag(bool),
    /// Of `Duration`.
    Millis(i64),
    /// Of `Windows`: as written, and what it means.
    Windows(Vec<(Item, Window)>),
    /// Of `Properties`.
    Properties(BTreeMap<String, Item>),
}

/// A window of live balances.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(super) enum Window {
    /// The closed periods of the last so many ms.
    Rolling(i64),
    /// Those of the month, quarter or year that is under way.
    ToDate(ToDate),
}

/// What is wrong with a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Fault {
    /// What.
    pub(super) message: String,
    /// What to write instead, where more can be said than the kind's description.
    pub(super) remedy: Option<String>,
    /// Where in it, if it is a part of a list.
    pub(super) line: Option<usize>,
}

impl Fault {
    fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), remedy: None, line: None }
    }

    fn with(message: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { message: message.into(), remedy: Some(remedy.into()), line: None }
    }

    fn at(self, line: usize) -> Self {
        Self { line: Some(line), ..self }
    }
}

/// The value of a default, written as `literal`.
///
/// # Panics
/// If the table of keys holds a default that is not of its key's kind (a test reads them all).
#[must_use]
pub(super) fn of_literal(kind: Kind, literal: &str) -> Value {
    let value = DeValue::parse(literal).expect("defaults are TOML");
    of(kind, value.get_ref(), &|_| 0).expect("defaults are of their key's kind")
}

/// Reads `item` as `kind`; `line` tells where a part of it stands.
///
/// # Errors
/// If it is of another kind or out of range.
pub(super) fn of(
    kind: Kind,
    item: &DeValue<'_>,
    line: &dyn Fn(&Range<usize>) -> usize,
) -> Result<Value, Fault> {
    match kind {
        Kind::Text | Kind::Path => text(item).and_then(|text| plain(text, item)),
        Kind::Secret => text(item).map(Value::Text),
        Kind::Name => name(text(item)?),
        Kind::Choice(words) => choice(text(item)?, words).map(Value::Text),
        Kind::Choices(words) => choices(item, words, line),
        Kind::Texts => {
            let items = texts(item, line)?;
            items.iter().try_for_each(|(text, _)| plain(text.clone(), item).map(|_| ()))?;
            Ok(Value::Texts(items))
        }
        Kind::Whole { least, most } => whole(item, least, most),
        Kind::Flag => match item {
            DeValue::Boolean(flag) => Ok(Value::Flag(*flag)),
            other => Err(Fault::new(wrong_type(other))),
        },
        Kind::Duration { least_ms, most_ms } => duration(&text(item)?, least_ms..=most_ms),
        Kind::DurationOr { word, least_ms, most_ms } => match text(item)? {
            text if text == word => Ok(Value::Text(text)),
            text => duration(&text, least_ms..=most_ms),
        },
        Kind::Windows => {
            let windows = texts(item, line)?.into_iter().map(|(text, line)| {
                let window = window(&text)?;
                Ok(((text, line), window))
            });
            Ok(Value::Windows(windows.collect::<Result<_, _>>()?))
        }
        Kind::Size { least, most } => {
            let text = text(item)?;
            let bytes = parse_size(&text).map_err(|error| Fault::new(error.to_string()))?;
            if (least..=most).contains(&bytes) {
                return Ok(Value::Whole(bytes));
            }
            Err(Fault::new(format!("{text} is out of range")))
        }
        Kind::Properties => properties(item, line),
    }
}

/// What a value of `kind` looks like, in words.
#[must_use]
pub(super) fn described(kind: Kind) -> String {
    match kind {
        Kind::Text => "a text in quotes".into(),
        Kind::Secret => "a text in quotes, or a reference `${env:NAME}` or `${file:/path}`".into(),
        Kind::Path => "a path in quotes".into(),
        Kind::Texts => "a list of texts".into(),
        Kind::Name => format!("a name of a-z, 0-9, - and _, at most {NAME_LENGTH_MAX} long"),
        Kind::Choice(words) => quoted(words),
        Kind::Choices(words) => {
            format!("{}, or a list of them, the first of which counts", quoted(words))
        }
        Kind::Whole { least, most } => format!("a whole number from {least} to {most}"),
        Kind::Flag => "true or false".into(),
        Kind::Duration { least_ms, most_ms } => {
            let (least, most) = (format_duration(least_ms), format_duration(most_ms));
            format!("a duration from {least} to {most} with units d, h, m, s, ms")
        }
        Kind::DurationOr { word, least_ms, most_ms } => {
            format!("{}, or \"{word}\"", described(Kind::Duration { least_ms, most_ms }))
        }
        Kind::Windows => {
            let to_date = ToDate::ALL.map(ToDate::label);
            format!("a list of durations with units d, h, m, s, ms, and of {}", quoted(&to_date))
        }
        Kind::Size { least, most } => {
            format!("a size from {} to {}", format_size(least), format_size(most))
        }
        Kind::Properties => "a table of texts".into(),
    }
}

/// `"a", "b" or "c"`.
#[must_use]
pub(super) fn quoted(words: &[&str]) -> String {
    let words: Vec<String> = words.iter().map(|word| format!("\"{word}\"")).collect();
    match words.as_slice() {
        [] => String::new(),
        [only] => only.clone(),
        [first @ .., last] => format!("{} or {last}", first.join(", ")),
    }
}

fn wrong_type(item: &DeValue<'_>) -> String {
    let (article, found) = match item {
        DeValue::String(_) => ("a", "text"),
        DeValue::Integer(_) => ("a", "whole number"),
        DeValue::Float(_) => ("a", "number with a fraction"),
        DeValue::Boolean(_) => ("a", "true or false"),
        DeValue::Datetime(_) => ("a", "date"),
        DeValue::Array(_) => ("a", "list"),
        DeValue::Table(_) => ("a", "table"),
    };
    format!("is written as {article} {found}")
}

fn duration(text: &str, range: RangeInclusive<i64>) -> Result<Value, Fault> {
    let ms = parse_duration(text).map_err(|error| Fault::new(error.to_string()))?;
    if range.contains(&ms) {
        return Ok(Value::Millis(ms));
    }
    Err(Fault::new(format!("{text} is out of range")))
}

fn text(item: &DeValue<'_>) -> Result<String, Fault> {
    match item {
        DeValue::String(text) => Ok(text.to_string()),
        other => Err(Fault::new(wrong_type(other))),
    }
}

/// A text that must not be empty and holds no reference: those are read where secrets belong, alone.
fn plain(text: String, item: &DeValue<'_>) -> Result<Value, Fault> {
    if text.contains("${") {
        let remedy =
            "references are read in username, password and properties alone; write the value";
        return Err(Fault::with("holds a reference", remedy));
    }
    if text.trim().is_empty() {
        let is_list = matches!(item, DeValue::Array(_));
        return Err(Fault::new(if is_list { "holds an empty text" } else { "is empty" }));
    }
    Ok(Value::Text(text))
}

fn name(text: String) -> Result<Value, Fault> {
    let is_good = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '_';
    if !text.is_empty() && text.len() <= NAME_LENGTH_MAX && text.chars().all(is_good) {
        return Ok(Value::Text(text));
    }
    Err(Fault::new(format!("`{text}` is no name")))
}

/// One of `words` alone, or each at most once in a list.
fn choices(
    item: &DeValue<'_>,
    words: &'static [&'static str],
    line: &dyn Fn(&Range<usize>) -> usize,
) -> Result<Value, Fault> {
    if let DeValue::String(text) = item {
        return Ok(Value::Texts(vec![(choice(text.to_string(), words)?, 0)]));
    }
    let items = texts(item, line)?;
    if items.is_empty() {
        let remedy = format!("name at least one of {}", quoted(words));
        return Err(Fault::with("is an empty list", remedy));
    }
    for (index, (text, line)) in items.iter().enumerate() {
        choice(text.clone(), words).map_err(|fault| fault.at(*line))?;
        if items[..index].iter().any(|(other, _)| other == text) {
            let fault = Fault::with(format!("\"{text}\" is there twice"), "keep one of them");
            return Err(fault.at(*line));
        }
    }
    Ok(Value::Texts(items))
}

fn choice(text: String, words: &'static [&'static str]) -> Result<String, Fault> {
    if words.contains(&text.as_str()) {
        return Ok(text);
    }
    let message = format!("`{text}` is not one of its values");
    Err(match nearest(&text, words.iter().copied()) {
        Some(meant) => {
            Fault::with(message, format!("did you mean \"{meant}\"? It is {}", quoted(words)))
        }
        None => Fault::with(message, format!("write {}", quoted(words))),
    })
}

fn texts(item: &DeValue<'_>, line: &dyn Fn(&Range<usize>) -> usize) -> Result<Vec<Item>, Fault> {
    let DeValue::Array(items) = item else {
        return Err(Fault::new(wrong_type(item)));
    };
    items
        .iter()
        .map(|item: &Spanned<DeValue<'_>>| match item.get_ref() {
            DeValue::String(text) => Ok((text.to_string(), line(&item.span()))),
            other => Err(Fault::new(format!("an element {}", wrong_type(other)))),
        })
        .collect()
}

fn window(text: &str) -> Result<Window, Fault> {
    if let Some(to_date) = ToDate::parse(text) {
        return Ok(Window::ToDate(to_date));
    }
    let is_a_word = text.starts_with(|c: char| c.is_ascii_alphabetic());
    if is_a_word && let Some(meant) = nearest(text, ToDate::ALL.map(ToDate::label)) {
        let message = format!("`{text}` is no window");
        return Err(Fault::with(message, format!("did you mean \"{meant}\"?")));
    }
    let span = parse_duration(text).map_err(|error| Fault::new(error.to_string()))?;
    Ok(Window::Rolling(span))
}

fn whole(item: &DeValue<'_>, least: u64, most: u64) -> Result<Value, Fault> {
    let DeValue::Integer(number) = item else {
        return Err(Fault::new(wrong_type(item)));
    };
    let value = u64::from_str_radix(number.as_str(), number.radix()).ok();
    match value.filter(|value| (least..=most).contains(value)) {
        Some(value) => Ok(Value::Whole(value)),
        None => Err(Fault::new(format!("{number} is out of range"))),
    }
}

fn properties(item: &DeValue<'_>, line: &dyn Fn(&Range<usize>) -> usize) -> Result<Value, Fault> {
    let DeValue::Table(table) = item else {
        return Err(Fault::new(wrong_type(item)));
    };
    let mut properties = BTreeMap::new();
    for (name, item) in table {
        let remedy = || format!("write \"{}\" = \"...\", name and value in quotes", name.get_ref());
        let text = match item.get_ref() {
            DeValue::String(text) => text.to_string(),
            DeValue::Integer(number) => number.to_string(),
            DeValue::Boolean(flag) => flag.to_string(),
            DeValue::Table(_) => {
                return Err(Fault::with(
                    format!("`{}` is a table: its name has a point and no quotes", name.get_ref()),
                    format!(
                        "write \"{}.<the rest>\" = \"...\", name and value in quotes",
                        name.get_ref()
                    ),
                ));
            }
            other => {
                let message = format!("`{}` {}", name.get_ref(), wrong_type(other));
                return Err(Fault::with(message, remedy()));
            }
        };
        properties.insert(name.get_ref().to_string(), (text, line(&item.span())));
    }
    Ok(Value::Properties(properties))
}

#[cfg(test)]
mod tests {
    use super::super::catalogue::SECTIONS;
    use super::super::keys::Absent;
    use super::*;

    #[test]
    fn every_default_and_example_is_of_its_keys_kind() {
        for key in SECTIONS.iter().flat_map(|section| section.keys) {
            drop(of_literal(key.kind, key.example));
            if let Absent::Default(literal) = key.absent {
                drop(of_literal(key.kind, literal));
            }
        }
    }
}
