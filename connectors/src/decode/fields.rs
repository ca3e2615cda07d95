//! The fields of one row of a fact table, each read as what it is: a name, a decimal, a length, a day.

use std::borrow::Cow;

use jiff::civil::Date;
use jiff::tz::TimeZone;
use plumeline_pipelines::model::price::{PRICE_DIGITS_MAX, is_price};
use plumeline_pipelines::model::time::{EARLIEST_MS, LATEST_MS};
use plumeline_pipelines::model::{Decimal, Id, Names, Unit, UnitError, Validity};

use super::fact::{DEFAULT_REVISION, FactError, NAME_BYTES_MAX, STRETCH_MS_MAX};
use super::time::{parse_duration_ms, parse_instant_ms, shown_ms};
use crate::near::nearest;

/// The fields of one row, and what is needed to read them.
#[derive(Copy, Clone)]
pub(super) struct Fields<'r, 'f> {
    pub(super) field: &'r dyn Fn(&str) -> Option<Cow<'f, str>>,
    pub(super) names: &'r Names,
    pub(super) timezone: &'r TimeZone,
    pub(super) period_ms: i64,
}

impl<'f> Fields<'_, 'f> {
    /// The field, if there is something in it.
    pub(super) fn text(&self, column: &str) -> Option<Cow<'f, str>> {
        match (self.field)(column)? {
            Cow::Borrowed(text) => Some(Cow::Borrowed(text.trim())),
            Cow::Owned(text) => Some(Cow::Owned(text.trim().to_owned())),
        }
        .filter(|text| !text.is_empty())
    }

    pub(super) fn id(&self, name: Option<&str>) -> Id {
        name.map_or(Id::NONE, |name| self.names.intern(name))
    }

    pub(super) fn name(&self, column: &str) -> Result<Cow<'f, str>, FactError> {
        self.optional_name(column, NAME_BYTES_MAX)?
            .ok_or_else(|| missing(column, "every row needs one"))
    }

    pub(super) fn optional_name(
        &self,
        column: &str,
        bytes_max: usize,
    ) -> Result<Option<Cow<'f, str>>, FactError> {
        let Some(text) = self.text(column) else {
            return Ok(None);
        };
        if text.len() > bytes_max {
            let message = format!("`{}...` is longer than {bytes_max} bytes", shortened(&text));
            return Err(error(column, &message, "shorten it"));
        }
        if text.chars().any(char::is_control) {
            let message =
                format!("`{}` holds a control character", shortened(&text).escape_debug());
            return Err(error(column, &message, "remove it"));
        }
        Ok(Some(text))
    }

    pub(super) fn one_of<T>(
        &self,
        column: &str,
        known: &[&str],
        parse: impl Fn(&str) -> Option<T>,
    ) -> Result<Option<T>, FactError> {
        let Some(text) = self.text(column) else {
            return Ok(None);
        };
        if let Some(value) = parse(&text) {
            return Ok(Some(value));
        }
        let remedy = match nearest(&text, known.iter().copied()) {
            Some(near) => format!("write `{near}`"),
            None => format!("write one of {}", known.join(", ")),
        };
        Err(error(column, &format!("`{}` is not known", shortened(&text)), remedy))
    }

    pub(super) fn unit(&self, column: &str) -> Result<Option<Unit>, FactError> {
        let Some(text) = self.text(column) else {
            return Ok(None);
        };
        let cause = match Unit::parse(&text) {
            Ok(unit) => return Ok(Some(unit)),
            Err(cause) => cause,
        };
        if let UnitError::PriceYear(_) = cause {
            let remedy = "write the currency and the year of its prices, such as GBP@2021";
            return Err(error(column, &cause.to_string(), remedy));
        }
        let near = nearest(&text, Unit::all().map(Unit::symbol));
        let remedy = near.map_or_else(known_units, |near| format!("write `{near}`"));
        Err(error(column, &format!("`{}` is not known", shortened(&text)), remedy))
    }

    /// A currency, or money of a price year.
    pub(super) fn money(&self, column: &str) -> Result<Unit, FactError> {
        let remedy =
            "write a currency of ISO 4217 such as EUR, or one at a year's prices such as GBP@2021";
        let text = self.text(column).ok_or_else(|| missing(column, remedy))?;
        match Unit::parse(&text) {
            Ok(unit) if unit.is_money() => Ok(unit),
            Ok(unit) => Err(error(column, &format!("`{unit}` is no money"), remedy)),
            Err(cause @ UnitError::PriceYear(_)) => Err(error(column, &cause.to_string(), remedy)),
            Err(_) => Err(error(column, &format!("`{}` is not known", shortened(&text)), remedy)),
        }
    }

    /// A number of a price.
    pub(super) fn price_number(&self, column: &str) -> Result<Option<Decimal>, FactError> {
        let number = self.decimal(column)?;
        match number {
            Some(number) if !is_price(number) => {
                let message =
                    format!("`{number}` is not above 0 with at most {PRICE_DIGITS_MAX} digits");
                let remedy = "round it, or write both as published: `rate` for so many `per`";
                Err(error(column, &message, remedy))
            }
            _ => Ok(number),
        }
    }

    pub(super) fn decimal(&self, column: &str) -> Result<Option<Decimal>, FactError> {
        let Some(text) = self.text(column) else {
            return Ok(None);
        };
        let remedy = "write digits with a point, such as 0.20707";
        Decimal::parse(&text).map(Some).map_err(|cause| error(column, &cause.to_string(), remedy))
    }

    pub(super) fn positive(&self, column: &str) -> Result<Option<Decimal>, FactError> {
        let value = self.decimal(column)?;
        match value {
            Some(value) if value.mantissa() <= 0 => {
                Err(error(column, &format!("`{value}` is not above 0"), "leave it empty for none"))
            }
            _ => Ok(value),
        }
    }

    pub(super) fn small(&self, column: &str, max: u8) -> Result<Option<u8>, FactError> {
        let Some(text) = self.text(column) else {
            return Ok(None);
        };
        let number = text.parse().ok().filter(|number| *number <= max);
        let message = || format!("`{}` is no whole number from 0 to {max}", shortened(&text));
        number.map(Some).ok_or_else(|| error(column, &message(), format!("write 0 to {max}")))
    }

    pub(super) fn revision(&self) -> Result<i64, FactError> {
        let Some(text) = self.text("revision") else {
            return Ok(DEFAULT_REVISION);
        };
        let message = || format!("`{}` is no whole number", shortened(&text));
        text.parse().map_err(|_| error("revision", &message(), "write 1, 2, 3, ..."))
    }

    pub(super) fn withdrawn(&self) -> Result<bool, FactError> {
        let parse = |text: &str| text.parse::<bool>().ok();
        Ok(self.one_of("withdrawn", &["true", "false"], parse)?.unwrap_or(false))
    }

    pub(super) fn stretch(&self, column: &str) -> Result<Option<i64>, FactError> {
        let Some(text) = self.text(column) else {
            return Ok(None);
        };
        let remedy = "write a length such as 15m, 1h or 1d";
        let ms =
            parse_duration_ms(&text).map_err(|cause| error(column, &cause.to_string(), remedy))?;
        if !(1..=STRETCH_MS_MAX).contains(&ms) {
            let message = format!("`{}` is not between 1ms and 366d", shortened(&text));
            return Err(error(column, &message, remedy));
        }
        Ok(Some(ms))
    }

    pub(super) fn validity(&self) -> Result<Validity, FactError> {
        let from_ms = self.boundary("valid_from")?.unwrap_or(Validity::ALWAYS.from_ms);
        let to_ms = self.boundary("valid_to")?.unwrap_or(LATEST_MS);
        if from_ms >= to_ms {
            let message =
                format!("{} is not after valid_from, {}", shown_ms(to_ms), shown_ms(from_ms));
            let remedy =
                "write the first instant at which the row no longer holds, or leave it empty";
            return Err(error("valid_to", &message, remedy));
        }
        Ok(Validity { from_ms, to_ms })
    }

    /// An instant, or the first instant of a civil day, on the grid of periods.
    fn boundary(&self, column: &str) -> Result<Option<i64>, FactError> {
        let Some(text) = self.text(column) else {
            return Ok(None);
        };
        let ms = self.instant(column, &text)?;
        if !(EARLIEST_MS..=LATEST_MS).contains(&ms) {
            let message = format!("`{text}` is not between 2000-01-01 and 2099-12-31");
            return Err(error(column, &message, "leave it empty for always"));
        }
        let off_grid_ms = ms.rem_euclid(self.period_ms);
        if off_grid_ms > 0 && ms != LATEST_MS {
            let near = shown_ms(ms - off_grid_ms);
            let message = format!("`{text}` is in the middle of an accounting period");
            return Err(error(
                column,
                &message,
                format!("write {near}, or choose a shorter `period`"),
            ));
        }
        Ok(Some(ms))
    }

    fn instant(&self, column: &str, text: &str) -> Result<i64, FactError> {
        let remedy = "write a date such as 2026-01-31, or an instant such as 2026-01-31T00:00:00Z";
        // Dates are ten bytes long, and nothing else is.
        if text.len() != 10 {
            let refused = |cause| error(column, &format!("`{}` {cause}", shortened(text)), remedy);
            return parse_instant_ms(text).map_err(refused);
        }
        let message = || format!("`{text}` is not a day of the calendar");
        let date: Date = text.parse().map_err(|_| error(column, &message(), remedy))?;
        let midnight = date.to_zoned(self.timezone.clone());
        let midnight = midnight.map_err(|_| error(column, &message(), remedy))?;
        Ok(midnight.timestamp().as_millisecond())
    }
}

pub(super) fn error(column: &str, message: &str, remedy: impl Into<String>) -> FactError {
    FactError { column: column.into(), message: message.into(), remedy: remedy.into() }
}

pub(super) fn missing(column: &str, remedy: &str) -> FactError {
    error(column, "is empty", remedy)
}

/// What to write for a unit.
fn known_units() -> String {
    let known = Unit::all().filter(|unit| !unit.is_money()).map(Unit::symbol);
    let known: Vec<&str> = known.collect();
    format!("write one of {}, or a currency such as EUR", known.join(", "))
}

/// A text as an error shows it.
pub(super) fn shortened(text: &str) -> String {
    text.chars().take(64).collect()
}
