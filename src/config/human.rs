//! Durations and sizes as people write them: `15m`, `1h30m`, `7d`; `64KiB`, `10MB`.
//!
//! A number without a unit is refused: it was a second in one file and a millisecond in the next.

use thiserror::Error;

/// Units of durations and their milliseconds, largest first.
const SPANS: [(&str, i64); 6] = [
    ("w", 604_800_000),
    ("d", 86_400_000),
    ("h", 3_600_000),
    ("m", 60_000),
    ("s", 1_000),
    ("ms", 1),
];

/// Units of sizes and their bytes.
const SIZES: [(&str, u64); 9] = [
    ("B", 1),
    ("kB", 1_000),
    ("KB", 1_000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
    ("TiB", 1 << 40),
];

/// Why a text is no duration or size.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum HumanError {
    /// Nothing, or something that does not start with a digit.
    #[error("`{0}` does not start with a number")]
    NoNumber(String),
    /// A number alone.
    #[error("`{0}` has no unit")]
    NoUnit(String),
    /// A unit nobody knows.
    #[error("`{unit}` in `{text}` is not a unit")]
    UnknownUnit {
        /// The whole text.
        text: String,
        /// The part that should be a unit.
        unit: String,
    },
    /// `30m1h`, or one unit twice.
    #[error("the units of `{0}` do not go from large to small")]
    Order(String),
    /// A point or comma in the number.
    #[error("`{0}` has a fraction")]
    Fraction(String),
    /// More than an integer holds.
    #[error("`{0}` is too large")]
    TooLarge(String),
}

/// Reads `1h30m` as milliseconds. Units: `w d h m s ms`, each once, from large to small.
///
/// # Errors
/// If the text is no duration; the error names the text.
pub fn parse_duration(text: &str) -> Result<i64, HumanError> {
    let (mut rest, mut total, mut last) = (text.trim(), 0_i64, i64::MAX);
    loop {
        let (number, unit, after) = next_part(text, rest)?;
        let &(_, unit_ms) = SPANS
            .iter()
            .find(|(name, _)| *name == unit)
            .ok_or_else(|| HumanError::UnknownUnit { text: text.into(), unit: unit.into() })?;
        if unit_ms >= last {
            return Err(HumanError::Order(text.into()));
        }
        let too_large = || HumanError::TooLarge(text.into());
        let number: i64 = number.parse().map_err(|_| too_large())?;
        total = number
            .checked_mul(unit_ms)
            .and_then(|part| total.checked_add(part))
            .ok_or_else(too_large)?;
        (rest, last) = (after, unit_ms);
        if rest.is_empty() {
            return Ok(total);
        }
    }
}

/// Writes milliseconds as `1d12h`; 0 as `0s`.
#[must_use]
pub fn format_duration(ms: i64) -> String {
    let mut rest = ms;
    let mut text = String::new();
    for (unit, unit_ms) in SPANS.iter().filter(|(unit, _)| *unit != "w") {
        let count = rest / unit_ms;
        if count > 0 {
            text.extend([count.to_string().as_str(), unit]);
            rest -= count * unit_ms;
        }
    }
    if text.is_empty() { "0s".into() } else { text }
}

/// Reads `64KiB` as bytes. Units: `B kB MB GB` of 1000, `KiB MiB GiB TiB` of 1024.
///
/// # Errors
/// If the text is no size; the error names the text.
pub fn parse_size(text: &str) -> Result<u64, HumanError> {
    let (number, unit, after) = next_part(text, text.trim())?;
    let unknown = || HumanError::UnknownUnit { text: text.into(), unit: format!("{unit}{after}") };
    if !after.is_empty() {
        return Err(unknown());
    }
    let &(_, unit_bytes) = SIZES.iter().find(|(name, _)| *name == unit).ok_or_else(unknown)?;
    let number: Option<u64> = number.parse().ok();
    number
        .and_then(|number| number.checked_mul(unit_bytes))
        .ok_or_else(|| HumanError::TooLarge(text.into()))
}

/// Writes bytes with the largest unit of 1024 that leaves no fraction.
#[must_use]
pub fn format_size(bytes: u64) -> String {
    let whole = |(_, unit): &&(&str, u64)| bytes >= *unit && bytes.is_multiple_of(*unit);
    let largest =
        SIZES.iter().filter(|(name, _)| name.len() != 2).filter(whole).max_by_key(|s| s.1);
    largest.map_or_else(|| format!("{bytes}B"), |(name, unit)| format!("{}{name}", bytes / unit))
}

/// Splits `1h30m` into `1`, `h` and `30m`.
fn next_part<'a>(text: &str, rest: &'a str) -> Result<(&'a str, &'a str, &'a str), HumanError> {
    let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
    let (number, rest) = rest.split_at(digits);
    if number.is_empty() {
        return Err(HumanError::NoNumber(text.into()));
    }
    if rest.starts_with(['.', ',']) {
        return Err(HumanError::Fraction(text.into()));
    }
    let rest = rest.trim_start();
    let letters =
        rest.find(|c: char| c.is_ascii_digit() || c.is_whitespace()).unwrap_or(rest.len());
    let (unit, rest) = rest.split_at(letters);
    if unit.is_empty() {
        return Err(HumanError::NoUnit(text.into()));
    }
    Ok((number, unit, rest.trim_start()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_and_written() {
        for (text, ms, shown) in [
            ("15m", 900_000, "15m"),
            ("1h30m", 5_400_000, "1h30m"),
            ("7d", 604_800_000, "7d"),
            ("1w", 604_800_000, "7d"),
            ("250ms", 250, "250ms"),
            ("90 s", 90_000, "1m30s"),
            ("0s", 0, "0s"),
        ] {
            assert_eq!(parse_duration(text), Ok(ms), "{text}");
            assert_eq!(format_duration(ms), shown);
        }
    }

    #[test]
    fn what_is_no_duration_says_why() {
        for (text, why) in [
            ("", "`` does not start with a number"),
            ("h", "`h` does not start with a number"),
            ("-5m", "`-5m` does not start with a number"),
            ("15", "`15` has no unit"),
            ("1.5h", "`1.5h` has a fraction"),
            ("15min", "`min` in `15min` is not a unit"),
            ("30m1h", "the units of `30m1h` do not go from large to small"),
            ("1h1h", "the units of `1h1h` do not go from large to small"),
            ("99999999999999999d", "`99999999999999999d` is too large"),
        ] {
            assert_eq!(parse_duration(text).expect_err(text).to_string(), why);
        }
    }

    #[test]
    fn sizes_are_read_and_written() {
        for (text, bytes, shown) in [
            ("1MiB", 1 << 20, "1MiB"),
            ("64KiB", 65_536, "64KiB"),
            ("10MB", 10_000_000, "10000000B"),
            ("512 B", 512, "512B"),
            ("0B", 0, "0B"),
        ] {
            assert_eq!(parse_size(text), Ok(bytes), "{text}");
            assert_eq!(format_size(bytes), shown);
        }
        for text in ["", "1", "1.5MiB", "1 mib", "1Mb", "1MiB2KiB", "MiB"] {
            assert!(parse_size(text).is_err(), "{text}");
        }
    }
}
