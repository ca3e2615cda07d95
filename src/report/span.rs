//! The stretch of time a report is about: a civil year of the pipeline's timezone, or any civil days for a fiscal year.

use jiff::civil::Date;
use jiff::tz::TimeZone;

use super::ReportError;

/// Years a report may be about: instants of a ledger lie in them.
const YEARS: std::ops::RangeInclusive<i16> = 2000..=2100;

/// Days from one on, and before another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Span {
    /// The first day.
    pub from: Date,
    /// The first day after it.
    pub to: Date,
    /// Its first instant, ms.
    pub from_ms: i64,
    /// The first instant after it, ms.
    pub to_ms: i64,
}

impl Span {
    /// A civil year.
    ///
    /// # Errors
    /// If it is none of a ledger.
    pub fn year(year: i16, timezone: &TimeZone) -> Result<Self, ReportError> {
        let first = |year| Date::new(year, 1, 1).map_err(|_| ReportError::Year(year.into()));
        if !YEARS.contains(&year) || !YEARS.contains(&(year + 1)) {
            return Err(ReportError::Year(year.into()));
        }
        Self::days(first(year)?, first(year + 1)?, timezone)
    }

    /// Any days.
    ///
    /// # Errors
    /// If they are none of a ledger, or not in order.
    pub fn days(from: Date, to: Date, timezone: &TimeZone) -> Result<Self, ReportError> {
        let begin_ms = |day: Date| {
            let at = day.to_zoned(timezone.clone()).ok().filter(|_| YEARS.contains(&day.year()));
            at.map(|at| at.timestamp().as_millisecond())
                .ok_or_else(|| ReportError::Year(day.year().into()))
        };
        let (from_ms, to_ms) = (begin_ms(from)?, begin_ms(to)?);
        if from_ms >= to_ms {
            return Err(ReportError::Backwards { from, to });
        }
        Ok(Self { from, to, from_ms, to_ms })
    }

    /// What files call it: `2025`, or `2025-04-01_2026-04-01`.
    #[must_use]
    pub fn name(&self) -> String {
        let Self { from, to, .. } = self;
        let is_new_year = |day: &Date| day.day_of_year() == 1;
        if is_new_year(from) && is_new_year(to) && from.year() + 1 == to.year() {
            return from.year().to_string();
        }
        format!("{from}_{to}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn day(text: &str) -> Date {
        text.parse().unwrap()
    }

    #[test]
    fn a_year_is_told_in_the_zone_of_the_pipeline() {
        let berlin = TimeZone::get("Europe/Berlin").unwrap();
        let year = Span::year(2025, &berlin).unwrap();
        let ms = |text: &str| text.parse::<jiff::Timestamp>().unwrap().as_millisecond();
        assert_eq!(year.from_ms, ms("2024-12-31T23:00:00Z"));
        assert_eq!(year.to_ms, ms("2025-12-31T23:00:00Z"));
        assert_eq!(year.name(), "2025");
        assert_eq!(Span::days(day("2025-01-01"), day("2026-01-01"), &berlin).unwrap(), year);
    }

    #[test]
    fn other_days_are_called_by_both() {
        let fiscal = Span::days(day("2025-04-01"), day("2026-04-01"), &TimeZone::UTC).unwrap();
        assert_eq!(fiscal.name(), "2025-04-01_2026-04-01");
        let two = Span::days(day("2025-01-01"), day("2027-01-01"), &TimeZone::UTC).unwrap();
        assert_eq!(two.name(), "2025-01-01_2027-01-01");
    }

    #[test]
    fn days_that_nobody_reports_on_are_refused() {
        for year in [1999, 2100, -5, i16::MAX] {
            assert!(Span::year(year, &TimeZone::UTC).is_err(), "{year}");
        }
        for (from, to) in [("2025-04-01", "2025-04-01"), ("2026-01-01", "2025-01-01")] {
            let error = Span::days(day(from), day(to), &TimeZone::UTC).unwrap_err();
            assert!(matches!(error, ReportError::Backwards { .. }), "{error}");
        }
    }
}
