//! Instants and lengths of time as messages and tables write them.
//!
//! An instant is RFC 3339 with its offset, read without allocation: the date's days are counted by
//! arithmetic, never looked up. What real gateways write besides is taken too: `+0300` and `+03` for an
//! offset, a space for the `T`, lower-case letters. An instant without an offset is refused: it would be
//! an hour off twice a year. Digits below a millisecond are cut off, towards the earlier instant.

use thiserror::Error;

/// Days of 400 years, after which the calendar repeats.
const DAYS_OF_AN_ERA: i64 = 146_097;
/// Days from 0000-03-01 to 1970-01-01.
const DAYS_BEFORE_THE_EPOCH: i64 = 719_468;
/// Seconds of a day.
const DAY_S: i64 = 86_400;
/// Digits a fraction of a second may have.
const DECIMALS_MAX: usize = 9;
/// Units of lengths of time and their milliseconds, largest first.
const SPANS: [(&str, i64); 6] = [
    ("w", 604_800_000),
    ("d", 86_400_000),
    ("h", 3_600_000),
    ("m", 60_000),
    ("s", 1_000),
    ("ms", 1),
];

/// Why a text is no instant.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Error)]
pub enum InstantError {
    /// It says no offset, so it says no instant.
    #[error("has no offset: write `Z` or `+02:00` after it")]
    NoOffset,
    /// It is not written `2026-01-31T23:59:59Z`.
    #[error("is not an RFC 3339 instant such as 2026-01-31T23:59:59.123Z")]
    Malformed,
    /// The 30th of February, hour 24, offset 25:00.
    #[error("is an instant that does not exist")]
    NotInTheCalendar,
}

/// Why a text is no length of time.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum DurationError {
    /// Nothing, or something that does not start with a digit.
    #[error("`{0}` does not start with a number")]
    NoNumber(String),
    /// A number alone: it was a second in one file and a millisecond in the next.
    #[error("`{0}` has no unit")]
    NoUnit(String),
    /// A unit nobody knows.
    #[error("`{unit}` in `{text}` is not a unit of time")]
    UnknownUnit {
        /// The whole text.
        text: String,
        /// The part that should be a unit.
        unit: String,
    },
    /// `30m1h`, or one unit twice.
    #[error("the units of `{0}` do not go from large to small")]
    Order(String),
    /// More than an integer of milliseconds holds.
    #[error("`{0}` is too long")]
    TooLong(String),
}

/// The instant an RFC 3339 text names, in ms since the Unix epoch, UTC.
///
/// ```
/// use plumeline_connectors::decode::time::parse_instant_ms;
/// assert_eq!(parse_instant_ms("1970-01-01T01:00:00.5+01:00"), Ok(500));
/// ```
///
/// # Errors
/// If it is written otherwise, says no offset, or is not in the calendar.
pub fn parse_instant_ms(text: &str) -> Result<i64, InstantError> {
    let bytes = text.as_bytes();
    // `YYYY-MM-DDTHH:MM:SS` and nothing else has an offset in none of its readings.
    let (head, mut rest) = bytes.split_at_checked(19).ok_or(InstantError::Malformed)?;
    let is_shaped = head[4] == b'-'
        && head[7] == b'-'
        && matches!(head[10], b'T' | b't' | b' ')
        && head[13] == b':'
        && head[16] == b':';
    let (year, month, day) = date_of(head).ok_or(InstantError::Malformed)?;
    let two = |at: usize| digits(&head[at..at + 2]).ok_or(InstantError::Malformed);
    let (hour, minute, second) = (two(11)?, two(14)?, two(17)?);
    if !is_shaped {
        return Err(InstantError::Malformed);
    }
    let mut ms = 0;
    if let Some((b'.' | b',', after)) = rest.split_first() {
        let count = after.iter().take_while(|byte| byte.is_ascii_digit()).count();
        if !(1..=DECIMALS_MAX).contains(&count) {
            return Err(InstantError::Malformed);
        }
        let kept = count.min(3);
        ms = digits(&after[..kept]).ok_or(InstantError::Malformed)? * [1_000, 100, 10, 1][kept];
        rest = &after[count..];
    }
    let offset_s = offset_s(rest)?;
    let days = days_since_epoch(year, month, day).ok_or(InstantError::NotInTheCalendar)?;
    if hour > 23 || minute > 59 || second > 60 {
        return Err(InstantError::NotInTheCalendar);
    }
    let utc_s = days * DAY_S + hour * 3_600 + minute * 60 + second - offset_s;
    // A leap second is the last of a UTC day; Unix time gives it the number of the next day's first.
    if second == 60 && utc_s.rem_euclid(DAY_S) != 0 {
        return Err(InstantError::NotInTheCalendar);
    }
    Ok(utc_s * 1_000 + ms)
}

/// The length a text such as `15m`, `1h30m` or `7d` names, in ms. Units: `w d h m s ms`, each once, from
/// large to small.
///
/// # Errors
/// If the text is no length of time; the error names the text.
pub fn parse_duration_ms(text: &str) -> Result<i64, DurationError> {
    let shown = || text.chars().take(64).collect::<String>();
    let (mut rest, mut total, mut last) = (text.trim(), 0_i64, i64::MAX);
    loop {
        let number_length = rest.bytes().take_while(u8::is_ascii_digit).count();
        let (number, after) = rest.split_at(number_length);
        if number.is_empty() {
            return Err(DurationError::NoNumber(shown()));
        }
        let is_unit = |byte: &u8| !byte.is_ascii_digit();
        let (unit, after) = after.split_at(after.bytes().take_while(is_unit).count());
        if unit.is_empty() {
            return Err(DurationError::NoUnit(shown()));
        }
        let &(_, unit_ms) = SPANS.iter().find(|(name, _)| *name == unit).ok_or_else(|| {
            DurationError::UnknownUnit { text: shown(), unit: unit.chars().take(16).collect() }
        })?;
        if unit_ms >= last {
            return Err(DurationError::Order(shown()));
        }
        let number: i64 = number.parse().map_err(|_| DurationError::TooLong(shown()))?;
        total = number
            .checked_mul(unit_ms)
            .and_then(|part| total.checked_add(part))
            .ok_or_else(|| DurationError::TooLong(shown()))?;
        (rest, last) = (after, unit_ms);
        if rest.is_empty() {
            return Ok(total);
        }
    }
}

/// `ms` as RFC 3339 in UTC, for messages.
#[must_use]
pub fn shown_ms(ms: i64) -> String {
    match jiff::Timestamp::from_millisecond(ms) {
        Ok(instant) => instant.to_string(),
        Err(_) => format!("{ms} ms"),
    }
}

/// Year, month and day of `YYYY-MM-DD...`, if these are digits.
fn date_of(head: &[u8]) -> Option<(i64, i64, i64)> {
    Some((digits(&head[..4])?, digits(&head[5..7])?, digits(&head[8..10])?))
}

/// Seconds east of UTC: `Z`, `+03:00`, `+0300`, `+03`.
fn offset_s(rest: &[u8]) -> Result<i64, InstantError> {
    let (sign, digits_of) = match rest {
        [] => return Err(InstantError::NoOffset),
        [b'Z' | b'z'] => return Ok(0),
        [b'+', after @ ..] => (1, after),
        [b'-', after @ ..] => (-1, after),
        _ => return Err(InstantError::Malformed),
    };
    let (hours, minutes): (&[u8], &[u8]) = match digits_of.len() {
        2 => (digits_of, b"00"),
        4 => digits_of.split_at(2),
        5 if digits_of[2] == b':' => (&digits_of[..2], &digits_of[3..]),
        _ => return Err(InstantError::Malformed),
    };
    let hours = digits(hours).ok_or(InstantError::Malformed)?;
    let minutes = digits(minutes).ok_or(InstantError::Malformed)?;
    if hours > 23 || minutes > 59 {
        return Err(InstantError::NotInTheCalendar);
    }
    Ok(sign * (hours * 3_600 + minutes * 60))
}

/// The number a few digits write.
fn digits(bytes: &[u8]) -> Option<i64> {
    let mut number = 0;
    for byte in bytes {
        number = number * 10 + i64::from(byte.checked_sub(b'0').filter(|digit| *digit < 10)?);
    }
    Some(number)
}

/// Days since 1970-01-01 in the Gregorian calendar, by counting years from March, so that the leap day is
/// a year's last; `None` for a day that does not exist.
fn days_since_epoch(year: i64, month: i64, day: i64) -> Option<i64> {
    let is_leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let length = match month {
        1 | 3 | 5 | 7 | 8 | 10 | 12 => 31,
        4 | 6 | 9 | 11 => 30,
        2 => 28 + i64::from(is_leap),
        _ => return None,
    };
    if !(1..=length).contains(&day) {
        return None;
    }
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    Some(era * DAYS_OF_AN_ERA + day_of_era - DAYS_BEFORE_THE_EPOCH)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instants_are_what_the_library_says() {
        for text in [
            "2026-01-01T00:00:00Z",
            "2000-02-29T23:59:59.999Z",
            "1999-12-31T23:59:59.9999Z",
            "2024-12-31T12:00:00+05:45",
            "2100-03-01T00:00:00-11:30",
            "0001-01-01T00:00:00Z",
            "2026-06-30T12:34:56.123456789+02:00",
        ] {
            let instant: jiff::Timestamp = text.parse().unwrap();
            let floor = instant.as_nanosecond().div_euclid(1_000_000);
            assert_eq!(i128::from(parse_instant_ms(text).unwrap()), floor, "{text}");
        }
    }

    #[test]
    fn every_day_of_four_centuries_follows_the_one_before() {
        let mut last = days_since_epoch(1999, 12, 31).unwrap();
        for year in 2000..2400 {
            for month in 1..=12 {
                for day in (1..=31).filter_map(|day| days_since_epoch(year, month, day)) {
                    assert_eq!(day, last + 1);
                    last = day;
                }
            }
        }
        assert_eq!(last, days_since_epoch(1999, 12, 31).unwrap() + DAYS_OF_AN_ERA);
    }

    #[test]
    fn spellings_of_gateways_are_taken() {
        let instant = parse_instant_ms("2026-01-01T00:00:00Z");
        for text in [
            "2026-01-01t00:00:00z",
            "2026-01-01 00:00:00Z",
            "2026-01-01T03:00:00+0300",
            "2026-01-01T03:00:00+03",
            "2025-12-31T23:59:60Z",
            "2026-01-01T00:00:00.000000001Z",
            "2025-12-31T20:30:00-03:30",
        ] {
            assert_eq!(parse_instant_ms(text), instant, "{text}");
        }
    }

    #[test]
    fn what_is_no_instant_says_why() {
        for (text, error) in [
            ("2026-01-01T00:00:00", InstantError::NoOffset),
            ("2026-01-01T00:00:00.123", InstantError::NoOffset),
            ("2026-02-29T00:00:00Z", InstantError::NotInTheCalendar),
            ("2026-13-01T00:00:00Z", InstantError::NotInTheCalendar),
            ("2026-01-01T24:00:00Z", InstantError::NotInTheCalendar),
            ("2026-01-01T12:30:60Z", InstantError::NotInTheCalendar),
            ("2026-01-01T00:00:00+24:00", InstantError::NotInTheCalendar),
            ("2026-01-01", InstantError::Malformed),
            ("2026-01-01T00:00:00.Z", InstantError::Malformed),
            ("2026-01-01T00:00:00.0123456789Z", InstantError::Malformed),
            ("2026/01/01T00:00:00Z", InstantError::Malformed),
            ("2026-01-01T00:00:00 UTC", InstantError::Malformed),
            ("20x6-01-01T00:00:00Z", InstantError::Malformed),
            ("", InstantError::Malformed),
            ("1767225600", InstantError::Malformed),
            ("2026-01-01T00:00:0\u{e4}Z", InstantError::Malformed),
        ] {
            assert_eq!(parse_instant_ms(text), Err(error), "{text}");
        }
    }

    #[test]
    fn lengths_of_time_need_a_unit() {
        for (text, ms) in
            [("15m", 900_000), ("1h30m", 5_400_000), ("7d", 604_800_000), ("250ms", 250), ("0s", 0)]
        {
            assert_eq!(parse_duration_ms(text), Ok(ms), "{text}");
        }
        assert_eq!(parse_duration_ms("15"), Err(DurationError::NoUnit("15".into())));
        assert_eq!(parse_duration_ms("m"), Err(DurationError::NoNumber("m".into())));
        assert_eq!(parse_duration_ms(""), Err(DurationError::NoNumber(String::new())));
        assert_eq!(parse_duration_ms("1m1h"), Err(DurationError::Order("1m1h".into())));
        assert_eq!(
            parse_duration_ms("1.5h"),
            Err(DurationError::UnknownUnit { text: "1.5h".into(), unit: ".".into() })
        );
        assert!(matches!(parse_duration_ms("99999999999999w"), Err(DurationError::TooLong(_))));
    }
}
