//! Civil dates of UTC, and calendars made of them.

use plumeline_pipelines::model::Calendar;
use plumeline_pipelines::model::time::DAY_MS;

/// Days before each month of a year that is not a leap year.
const DAYS_BEFORE: [i64; 12] = [0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334];

/// Midnight of a day, ms. Months and days count from 1.
pub(crate) fn date(year: i64, month: usize, day: i64) -> i64 {
    let leap_days = |years: i64| years / 4 - years / 100 + years / 400;
    let is_leap = leap_days(year) > leap_days(year - 1);
    let leap_day = i64::from(is_leap && month > 2);
    let days_before_year = 365 * (year - 1) + leap_days(year - 1);
    // 719,162 days lie before 1970.
    (days_before_year - 719_162 + DAYS_BEFORE[month - 1] + leap_day + day - 1) * DAY_MS
}

/// The months of the years from `first` to `last`.
pub(crate) fn calendar(first: i64, last: i64) -> Calendar {
    let months = (first..=last).flat_map(|year| (1..=12).map(move |month| date(year, month, 1)));
    Calendar::new("Etc/UTC", months.chain([date(last + 1, 1, 1)]).collect(), Vec::new())
}

#[test]
fn dates_are_those_of_the_calendar() {
    assert_eq!(date(1970, 1, 1), 0);
    assert_eq!(date(2026, 1, 1), super::START_MS);
    assert_eq!(date(2020, 3, 1) - date(2020, 2, 1), 29 * DAY_MS);
    assert_eq!(date(2021, 1, 1) - date(2020, 1, 1), 366 * DAY_MS);
}
