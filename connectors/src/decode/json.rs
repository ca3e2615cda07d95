//! JSON as messages use it: fields kept as their text, so that a number is read once, as what it is.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

use plumeline_pipelines::model::Decimal;
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use super::Refusal;

/// Words of gateways for "no value".
const NOTHING: [&str; 7] = ["null", "nan", "none", "online", "offline", "unavailable", "unknown"];
/// Letters of a text that a reason shows.
const SHOWN_MAX: usize = 64;

/// The fields of readings and activities, each as written. Fields of other names are passed over.
#[derive(Debug, Deserialize)]
pub(super) struct Wire<'w> {
    #[serde(borrow, default)]
    pub(super) meter: Option<&'w RawValue>,
    #[serde(borrow, default)]
    pub(super) activity: Option<&'w RawValue>,
    #[serde(borrow, default)]
    pub(super) node: Option<&'w RawValue>,
    #[serde(borrow, default)]
    pub(super) factor: Option<&'w RawValue>,
    #[serde(borrow, default)]
    pub(super) observed_at: Option<&'w RawValue>,
    #[serde(borrow, default)]
    pub(super) observed_at_ms: Option<&'w RawValue>,
    #[serde(borrow, default)]
    pub(super) from: Option<&'w RawValue>,
    #[serde(borrow, default)]
    pub(super) from_ms: Option<&'w RawValue>,
    #[serde(borrow, default)]
    pub(super) to: Option<&'w RawValue>,
    #[serde(borrow, default)]
    pub(super) to_ms: Option<&'w RawValue>,
    /// `null` is a value here: it says that there is none.
    #[serde(borrow, default, deserialize_with = "with_null")]
    pub(super) value: Option<&'w RawValue>,
    #[serde(borrow, default)]
    pub(super) unit: Option<&'w RawValue>,
    #[serde(borrow, default)]
    pub(super) quality: Option<&'w RawValue>,
    #[serde(borrow, default)]
    pub(super) version: Option<&'w RawValue>,
    #[serde(borrow, default)]
    pub(super) withdraw: Option<&'w RawValue>,
}

fn with_null<'de, D: Deserializer<'de>>(json: D) -> Result<Option<&'de RawValue>, D::Error> {
    <&RawValue>::deserialize(json).map(Some)
}

/// A value as a message says it.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Said {
    /// A number.
    Number(Decimal),
    /// That there is none: null, "nan", "unavailable".
    Nothing,
}

impl Wire<'_> {
    /// The value; `None` where the field is not there.
    pub(super) fn value(&self) -> Result<Option<Said>, Refusal> {
        let Some(raw) = self.value else {
            return Ok(None);
        };
        if carries_nothing(raw.get()) {
            return Ok(Some(Said::Nothing));
        }
        let text = match raw.get().as_bytes()[0] {
            b'"' => text("value", raw)?,
            b'-' | b'0'..=b'9' => Cow::Borrowed(raw.get()),
            _ => return Err(format!("value: `{}` is not a number", shown(raw.get()))),
        };
        let number = Decimal::parse(text.trim()).map_err(|error| format!("value: {error}"))?;
        Ok(Some(Said::Number(number)))
    }

    /// Whether it takes back what was said before.
    pub(super) fn is_withdrawn(&self) -> Result<bool, Refusal> {
        match self.withdraw.map(RawValue::get) {
            None | Some("false") => Ok(false),
            Some("true") => Ok(true),
            Some(other) => Err(format!("withdraw: `{}` is neither true nor false", shown(other))),
        }
    }

    /// The version; 0 for none.
    pub(super) fn version(&self) -> Result<u32, Refusal> {
        let Some(raw) = self.version else {
            return Ok(0);
        };
        let number = raw.get().parse().ok().filter(|version| *version >= 1);
        let refusal =
            || format!("version: `{}` is no whole number from 1 to {}", shown(raw.get()), u32::MAX);
        number.ok_or_else(refusal)
    }
}

/// The text in a string field.
pub(super) fn text<'w>(field: &str, raw: &'w RawValue) -> Result<Cow<'w, str>, Refusal> {
    let refusal = || format!("{field}: `{}` is not a text", shown(raw.get()));
    let quoted = raw.get().strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
    let inside = quoted.ok_or_else(refusal)?;
    if inside.contains('\\') {
        return serde_json::from_str(raw.get()).map(Cow::Owned).map_err(|_| refusal());
    }
    Ok(Cow::Borrowed(inside))
}

/// A field of a fact as a cell of a table holds it; `None` for null.
pub(super) fn field_text<'w>(
    field: &str,
    raw: &'w RawValue,
) -> Result<Option<Cow<'w, str>>, Refusal> {
    match raw.get().as_bytes()[0] {
        b'n' => Ok(None),
        b'"' => text(field, raw).map(Some),
        b'{' | b'[' => {
            Err(format!("{field}: `{}` is neither a text nor a number", shown(raw.get())))
        }
        _ => Ok(Some(Cow::Borrowed(raw.get()))),
    }
}

/// The fields of an object, each once.
pub(super) fn fields(text: &str) -> Result<BTreeMap<Cow<'_, str>, &RawValue>, Refusal> {
    struct Fields;
    impl<'de> Visitor<'de> for Fields {
        type Value = BTreeMap<Cow<'de, str>, &'de RawValue>;
        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an object")
        }
        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
            let mut fields = BTreeMap::new();
            while let Some((Key(key), value)) = map.next_entry::<Key<'de>, &RawValue>()? {
                if fields.insert(key.clone(), value).is_some() {
                    return Err(serde::de::Error::custom(format!("duplicate field `{key}`")));
                }
            }
            Ok(fields)
        }
    }
    let mut json = serde_json::Deserializer::from_str(text);
    let found = json.deserialize_map(Fields).and_then(|fields| json.end().map(|()| fields));
    found.map_err(|error| refusal_of(&error, text))
}

/// A key, borrowed where nothing in it is escaped.
#[derive(Deserialize)]
struct Key<'k>(#[serde(borrow)] Cow<'k, str>);

/// Whether an element or a value says that there is nothing: `null`, `"nan"`, `Online`, `""`.
pub(super) fn carries_nothing(text: &str) -> bool {
    let first = text.as_bytes().first();
    if matches!(first, Some(b'{' | b'[' | b'-' | b'0'..=b'9')) {
        return false;
    }
    let quoted = text.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
    let word = quoted.unwrap_or(text).trim();
    word.is_empty() || NOTHING.iter().any(|nothing| word.eq_ignore_ascii_case(nothing))
}

/// Whether brackets outside of strings are nested more than `levels` deep.
pub(super) fn too_deep(text: &str, levels: usize) -> bool {
    let is_opening = |byte: &u8| matches!(byte, b'{' | b'[');
    // Almost no element has that many brackets at all; counting them is much cheaper than following them.
    if text.as_bytes().iter().filter(|byte| is_opening(byte)).count() <= levels {
        return false;
    }
    let (mut depth, mut in_string, mut escaped) = (0_usize, false, false);
    for byte in text.bytes() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            b'{' | b'[' if !in_string => {
                depth += 1;
                if depth > levels {
                    return true;
                }
            }
            b'}' | b']' if !in_string => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    false
}

/// Why a text was not understood, with the part of it at which that showed.
pub(super) fn refusal_of(error: &serde_json::Error, text: &str) -> Refusal {
    if error.is_data() {
        let says = error.to_string();
        let says = says.split(" at line ").next().unwrap_or(&says);
        return if says.starts_with("invalid type") {
            format!("not an object: `{}`", shown(text))
        } else {
            says.to_owned()
        };
    }
    let line = text.lines().nth(error.line().saturating_sub(1)).unwrap_or(text);
    let mut start = error.column().saturating_sub(1).min(line.len());
    while !line.is_char_boundary(start) {
        start -= 1;
    }
    let near = if line[start..].trim().is_empty() { line } else { &line[start..] };
    let what = if error.is_eof() { "it ends too early" } else { "unexpected text" };
    format!("not JSON: {what} at column {}, near `{}`", error.column(), shown(near))
}

/// A text as a reason shows it.
pub(super) fn shown(text: &str) -> String {
    let mut shown: String = text.chars().take(SHOWN_MAX).collect();
    if shown.len() < text.len() {
        shown.push_str("...");
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn depth_counts_brackets_outside_of_strings() {
        let nested = |levels: usize| format!("{}1{}", "[".repeat(levels), "]".repeat(levels));
        assert!(!too_deep(&nested(32), 32));
        assert!(too_deep(&nested(33), 32));
        let text = format!(r#"{{"a":"{}\"{{"}}"#, "[".repeat(40));
        assert!(!too_deep(&text, 32));
        assert!(!too_deep(&"[],".repeat(40), 32));
    }

    #[test]
    fn words_for_nothing_are_known_and_numbers_are_not() {
        for text in ["null", "\"nan\"", "NaN", "\"None\"", "Online", "\"OFFLINE\"", "\"\"", "\" \""]
        {
            assert!(carries_nothing(text), "{text}");
        }
        for text in ["0", "-1", "{}", "[]", "\"inf\"", "Infinity", "\"0\"", "true"] {
            assert!(!carries_nothing(text), "{text}");
        }
    }

    #[test]
    fn refusals_show_the_place() {
        let error = serde_json::from_str::<Wire<'_>>(r#"{"value":NaN,"unit":"kWh"}"#).unwrap_err();
        let refusal = refusal_of(&error, r#"{"value":NaN,"unit":"kWh"}"#);
        assert!(refusal.contains("NaN"), "{refusal}");
        let error = serde_json::from_str::<Wire<'_>>(r#"{"value":1,"value":2}"#).unwrap_err();
        assert_eq!(refusal_of(&error, r#"{"value":1,"value":2}"#), "duplicate field `value`");
        assert_eq!(fields(r#"{"a":1,"a":2}"#).unwrap_err(), "duplicate field `a`");
    }
}
