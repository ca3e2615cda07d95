//! JSON by path: what stands at each, as text, and what is wrong with it.

use std::collections::BTreeMap;

use plumeline_pipelines::model::Decimal;
use serde_json::value::RawValue;

/// Digits of a number, so that sums and quotients are exact.
const DIGITS_MAX: i128 = 10_i128.pow(18);
/// Letters of a text that a problem shows.
const SHOWN_MAX: usize = 64;

/// A value, where it stands.
#[derive(Clone, Debug)]
pub(super) struct Json<'a> {
    /// As in `$.data[0].pcf`.
    pub(super) path: String,
    pub(super) raw: &'a RawValue,
}

/// The fields of an object.
#[derive(Clone, Debug)]
pub(super) struct Fields<'a> {
    path: String,
    fields: BTreeMap<String, &'a RawValue>,
}

impl<'a> Json<'a> {
    pub(super) fn is_array(&self) -> bool {
        self.raw.get().starts_with('[')
    }

    /// The items of an array; none of anything else.
    pub(super) fn items(&self) -> Vec<Self> {
        let items: Vec<&'a RawValue> = serde_json::from_str(self.raw.get()).unwrap_or_default();
        let item = |(index, raw)| Self { path: format!("{}[{index}]", self.path), raw };
        items.into_iter().enumerate().map(item).collect()
    }

    /// The fields of an object; those that are null are not there.
    pub(super) fn fields(&self) -> Result<Fields<'a>, String> {
        let fields: Result<BTreeMap<String, &'a RawValue>, _> =
            serde_json::from_str(self.raw.get());
        let mut fields = fields.map_err(|_| self.wrong("is no object", "write { ... }"))?;
        fields.retain(|_, raw| raw.get() != "null");
        Ok(Fields { path: self.path.clone(), fields })
    }

    /// A text.
    pub(super) fn text(&self) -> Result<String, String> {
        let text: Result<String, _> = serde_json::from_str(self.raw.get());
        text.map(|text| text.trim().to_owned()).map_err(|_| {
            self.wrong(&format!("`{}` is no text", self.shown()), "write it in quotes")
        })
    }

    /// A decimal number, in quotes or without.
    fn number(&self) -> Result<Decimal, String> {
        let text = self.text().unwrap_or_else(|_| self.raw.get().to_owned());
        let remedy = "write digits with a point, such as \"1.63\"";
        let number = Decimal::parse(text.trim_start_matches('+'));
        let number = number.map_err(|error| self.wrong(&error.to_string(), remedy))?;
        if number.mantissa().abs() >= DIGITS_MAX || number.scale() > 18 {
            let message = format!("`{number}` has more than 18 digits or decimals");
            return Err(self.wrong(&message, "round it"));
        }
        Ok(number)
    }

    /// What it says, as a problem shows it.
    fn shown(&self) -> String {
        self.raw.get().chars().take(SHOWN_MAX).collect()
    }

    pub(super) fn wrong(&self, message: &str, remedy: &str) -> String {
        wrong(&self.path, message, remedy)
    }
}

fn wrong(path: &str, message: &str, remedy: &str) -> String {
    format!("{path}: {message}; {remedy}")
}

impl<'a> Fields<'a> {
    pub(super) fn get(&self, name: &str) -> Option<Json<'a>> {
        let raw = self.fields.get(name)?;
        Some(Json { path: format!("{}.{name}", self.path), raw })
    }

    pub(super) fn needed(&self, name: &str, remedy: &str) -> Result<Json<'a>, String> {
        let path = format!("{}.{name}", self.path);
        self.get(name).ok_or_else(|| wrong(&path, "is missing", remedy))
    }

    /// A text that is not empty.
    pub(super) fn text(&self, name: &str, remedy: &str) -> Result<String, String> {
        let json = self.needed(name, remedy)?;
        let text = json.text()?;
        if text.is_empty() { Err(json.wrong("is empty", remedy)) } else { Ok(text) }
    }

    /// A number, if it is there.
    pub(super) fn number(&self, name: &str) -> Result<Option<Decimal>, String> {
        self.get(name).map(|json| json.number()).transpose()
    }

    /// A number of 0 or more, if it is there.
    pub(super) fn emitted(&self, name: &str) -> Result<Option<Decimal>, String> {
        match (self.get(name), self.number(name)?) {
            (Some(json), Some(number)) if number.is_negative() => {
                let message = format!("`{number}` is negative");
                let remedy = "write what is emitted; what is taken up has a field of its own";
                Err(json.wrong(&message, remedy))
            }
            (_, number) => Ok(number),
        }
    }

    /// A number above 0.
    pub(super) fn positive(&self, name: &str, remedy: &str) -> Result<Decimal, String> {
        let json = self.needed(name, remedy)?;
        let number = json.number()?;
        if number.mantissa() > 0 {
            return Ok(number);
        }
        Err(json.wrong(&format!("`{number}` is not above 0"), remedy))
    }
}
