//! A pipeline's civil months, as instants: what `mtd`, `qtd` and `ytd` go by.

use jiff::civil::Date;
use jiff::tz::TimeZone;
use plumeline_pipelines::model::{Calendar, ToDate};

/// The first year of a calendar: instants of 2000, UTC, may lie in the year before.
const FIRST_YEAR: i16 = 1999;
/// The last: instants of 2099 may lie in the year after, which has to have an end.
const LAST_YEAR: i16 = 2101;

/// The calendar of a zone, and windows that go by it.
#[must_use]
pub(super) fn calendar(timezone: &TimeZone, name: &str, windows: Vec<ToDate>) -> Calendar {
    let years = FIRST_YEAR..=LAST_YEAR;
    let months = years.flat_map(|year| (1..=12).map(move |month| (year, month)));
    // The first instant of the first day: where clocks skip midnight, the one after.
    let begin = |(year, month)| {
        let first = Date::new(year, month, 1).and_then(|day| day.to_zoned(timezone.clone()));
        first.map(|at| at.timestamp().as_millisecond())
    };
    let months = months.map(begin).collect::<Result<Vec<i64>, _>>();
    Calendar::new(name, months.expect("the years of a calendar are dates in every zone"), windows)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(instant: &str) -> i64 {
        instant.parse::<jiff::Timestamp>().unwrap().as_millisecond()
    }

    fn around(zone: &str, window: ToDate, instant: &str) -> (i64, i64) {
        let timezone = TimeZone::get(zone).unwrap();
        calendar(&timezone, zone, Vec::new()).around(window, ms(instant)).unwrap()
    }

    /// The zone, the window, an instant, and where the window around it begins and ends.
    const CASES: [(&str, ToDate, &str, &str, &str); 14] = [
        // Clocks go forward in March and back in October: the month is an hour shorter, or longer.
        (
            "Europe/Berlin",
            ToDate::Month,
            "2026-03-29T12:00Z",
            "2026-02-28T23:00Z",
            "2026-03-31T22:00Z",
        ),
        (
            "Europe/Berlin",
            ToDate::Month,
            "2026-10-25T01:30Z",
            "2026-09-30T22:00Z",
            "2026-10-31T23:00Z",
        ),
        (
            "Europe/Berlin",
            ToDate::Month,
            "2026-03-31T21:59:59.999Z",
            "2026-02-28T23:00Z",
            "2026-03-31T22:00Z",
        ),
        (
            "Europe/Berlin",
            ToDate::Month,
            "2026-03-31T22:00Z",
            "2026-03-31T22:00Z",
            "2026-04-30T22:00Z",
        ),
        (
            "Europe/Berlin",
            ToDate::Quarter,
            "2026-05-05T00:00Z",
            "2026-03-31T22:00Z",
            "2026-06-30T22:00Z",
        ),
        (
            "Europe/Berlin",
            ToDate::Year,
            "2026-07-01T00:00Z",
            "2025-12-31T23:00Z",
            "2026-12-31T23:00Z",
        ),
        // Behind UTC, and set in other weeks.
        (
            "America/New_York",
            ToDate::Month,
            "2026-03-08T07:00Z",
            "2026-03-01T05:00Z",
            "2026-04-01T04:00Z",
        ),
        (
            "America/New_York",
            ToDate::Month,
            "2026-11-01T05:30Z",
            "2026-11-01T04:00Z",
            "2026-12-01T05:00Z",
        ),
        (
            "America/New_York",
            ToDate::Quarter,
            "2026-04-01T03:59Z",
            "2026-01-01T05:00Z",
            "2026-04-01T04:00Z",
        ),
        (
            "America/New_York",
            ToDate::Year,
            "2026-01-01T04:59Z",
            "2025-01-01T05:00Z",
            "2026-01-01T05:00Z",
        ),
        // 5 h 45 min ahead; a leap year's February.
        (
            "Asia/Kathmandu",
            ToDate::Month,
            "2028-02-29T18:00Z",
            "2028-01-31T18:15Z",
            "2028-02-29T18:15Z",
        ),
        (
            "Asia/Kathmandu",
            ToDate::Year,
            "2028-02-29T18:00Z",
            "2027-12-31T18:15Z",
            "2028-12-31T18:15Z",
        ),
        // Clocks that are set by half an hour, and a day that there was not.
        (
            "Australia/Lord_Howe",
            ToDate::Quarter,
            "2026-04-15T00:00Z",
            "2026-03-31T13:00Z",
            "2026-06-30T13:30Z",
        ),
        (
            "Pacific/Apia",
            ToDate::Year,
            "2011-12-30T12:00Z",
            "2011-01-01T10:00Z",
            "2011-12-31T10:00Z",
        ),
    ];

    #[test]
    fn civil_months_quarters_and_years_begin_where_clocks_say_so() {
        for (zone, window, instant, starts, ends) in CASES {
            let found = around(zone, window, instant);
            assert_eq!(found, (ms(starts), ms(ends)), "{zone} {window:?} {instant}");
        }
    }

    #[test]
    fn a_leap_year_has_a_day_more() {
        for (instant, days) in [("2027-02-01T00:00Z", 28), ("2028-02-01T00:00Z", 29)] {
            let (starts, ends) = around("UTC", ToDate::Month, instant);
            assert_eq!(ends - starts, days * 86_400_000);
        }
        let (starts, ends) = around("UTC", ToDate::Year, "2028-02-01T00:00Z");
        assert_eq!(ends - starts, 366 * 86_400_000);
    }

    #[test]
    fn every_window_is_shorter_than_it_is_said_to_be() {
        let last = Date::new(LAST_YEAR - 1, 1, 15).unwrap();
        for zone in ["UTC", "Europe/Berlin", "Asia/Kathmandu", "America/New_York", "Pacific/Apia"] {
            let timezone = TimeZone::get(zone).unwrap();
            let calendar = calendar(&timezone, zone, Vec::new());
            let mut day = Date::new(2000, 1, 15).unwrap();
            while day < last {
                let at_ms = day.to_zoned(timezone.clone()).unwrap().timestamp().as_millisecond();
                for window in ToDate::ALL {
                    let (starts, ends) = calendar.around(window, at_ms).unwrap();
                    assert!((starts..ends).contains(&at_ms), "{zone} {day}");
                    assert!(ends - starts < window.longest_ms(), "{zone} {day} {window:?}");
                }
                day = day.checked_add(jiff::Span::new().months(1)).unwrap();
            }
            assert_eq!(calendar.splits_hours(), zone == "Asia/Kathmandu", "{zone}");
        }
    }
}
