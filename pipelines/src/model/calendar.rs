//! Civil months, quarters and years: where the windows `mtd`, `qtd` and `ytd` begin anew.
//!
//! ```text
//!  UTC      ├──────── hour ────────┼──────── hour ────────┼──────── hour ────────┤
//!  periods  ├─────┬─────┬─────┬────┼─────┬─────┬─────┬────┼─────┬─────┬─────┬────┤
//!  Kolkata  ── March ─────────────────────────│─ April ───────────────────────────
//!  footprints                      ├─ 30 min ─┤─ 30 min ─┤
//! ```
//!
//! Time zones are no matter of this crate: a pipeline's calendar is the list of instants at which its civil months
//! begin, and whoever reads the pipeline file makes it. Clock changes and leap years are in that list.
//!
//! A period belongs to the month that holds its first instant. So a month is made of whole periods whatever the
//! period is; and so is what `footprints` are kept by, because an hour in which a month begins is split there
//! ([`Calendar::part`]). *Else half an hour of March would be in April, wherever a zone lies half an hour off.* It is
//! split once: no month is shorter than an hour.

use serde::{Deserialize, Serialize};

use super::time::{DAY_MS, HOUR_MS};

/// A window that begins anew with each civil month, quarter or year.
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum ToDate {
    /// Month to date.
    Month,
    /// Quarter to date: from the start of January, April, July, October.
    Quarter,
    /// Year to date.
    Year,
}

impl ToDate {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Month, Self::Quarter, Self::Year];

    /// As pipeline files and labels name it: `mtd`, `qtd`, `ytd`.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::Month => "mtd",
            Self::Quarter => "qtd",
            Self::Year => "ytd",
        }
    }

    /// The window called `label`.
    #[must_use]
    pub fn parse(label: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|window| window.label() == label)
    }

    /// Months of it.
    #[must_use]
    pub fn months(self) -> usize {
        match self {
            Self::Month => 1,
            Self::Quarter => 3,
            Self::Year => 12,
        }
    }

    /// More than it ever lasts, ms: whole days, with one for clocks that are set.
    #[must_use]
    pub fn longest_ms(self) -> i64 {
        let days = match self {
            Self::Month => 31,
            Self::Quarter => 92,
            Self::Year => 366,
        };
        (days + 1) * DAY_MS
    }
}

/// The civil months of a pipeline, and its windows that go by them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Calendar {
    /// The zone's name, for messages.
    zone: String,
    /// Where months begin, ms, ascending; the first is a January.
    months_ms: Vec<i64>,
    /// In the order of their numbers, which follow those of the rolling windows.
    windows: Vec<ToDate>,
}

impl Calendar {
    /// The months that begin at `months_ms`, the first of them a January, and windows.
    ///
    /// # Panics
    /// If one is shorter than an hour.
    #[must_use]
    pub fn new(zone: &str, months_ms: Vec<i64>, windows: Vec<ToDate>) -> Self {
        let long_enough = |a: &i64, b: &i64| b - a >= HOUR_MS;
        assert!(
            months_ms.is_sorted_by(long_enough),
            "months follow each other, an hour apart at least"
        );
        Self { zone: zone.to_owned(), months_ms, windows }
    }

    /// The zone's name.
    #[must_use]
    pub fn zone(&self) -> &str {
        &self.zone
    }

    /// The windows, in the order of their numbers.
    #[must_use]
    pub fn windows(&self) -> &[ToDate] {
        &self.windows
    }

    /// The longest of them.
    #[must_use]
    pub fn longest(&self) -> Option<ToDate> {
        self.windows.iter().copied().max()
    }

    /// The month, quarter or year that holds the instant `ms`: its first instant and the first after it, ms. `None`
    /// outside of the calendar.
    #[must_use]
    pub fn around(&self, window: ToDate, ms: i64) -> Option<(i64, i64)> {
        let month = self.months_ms.partition_point(|&month_ms| month_ms <= ms).checked_sub(1)?;
        let first = month - month % window.months();
        Some((self.months_ms[first], *self.months_ms.get(first + window.months())?))
    }

    /// The twelve months that begin with the month `begins` (1 to 12) and hold the instant `ms`: their first instant,
    /// that of the January in them, and the first instant after them, ms. Where they begin with a January, that is
    /// both. `None` outside of the calendar.
    #[must_use]
    pub fn reporting_year(&self, begins: u8, ms: i64) -> Option<[i64; 3]> {
        let month = self.months_ms.partition_point(|&month_ms| month_ms <= ms).checked_sub(1)?;
        let begins = usize::from(begins).checked_sub(1)?;
        let first = month.checked_sub((month + 12 - begins) % 12)?;
        let january = first + (12 - begins) % 12;
        Some([
            self.months_ms[first],
            *self.months_ms.get(january)?,
            *self.months_ms.get(first + 12)?,
        ])
    }

    /// Whether some month begins within an hour.
    #[must_use]
    pub fn splits_hours(&self) -> bool {
        self.months_ms.iter().any(|month_ms| month_ms % HOUR_MS != 0)
    }

    /// The part of `stretch` (an hour, or a period where that is longer) whose periods are of the same month as the
    /// one of length `period_ms` that begins at `at_ms`. All ms.
    #[must_use]
    pub fn part(&self, stretch: (i64, i64), at_ms: i64, period_ms: i64) -> (i64, i64) {
        let (start_ms, end_ms) = stretch;
        let next = self.months_ms.partition_point(|&month_ms| month_ms <= start_ms);
        let Some(month_ms) = self.months_ms.get(next).filter(|month_ms| **month_ms < end_ms) else {
            return stretch;
        };
        // The first period of the month.
        let month_ms = (month_ms + period_ms - 1).div_euclid(period_ms) * period_ms;
        if month_ms >= end_ms {
            stretch
        } else if at_ms < month_ms {
            (start_ms, month_ms)
        } else {
            (month_ms, end_ms)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE_MS: i64 = 60_000;

    /// Months of 30 days, and of 45 minutes past the hour from the second on.
    fn calendar() -> Calendar {
        let month = |month: i64| 30 * DAY_MS * month + if month > 0 { 45 * MINUTE_MS } else { 0 };
        Calendar::new("Test/Quarters", (0..=24).map(month).collect(), ToDate::ALL.to_vec())
    }

    #[test]
    fn an_instant_is_of_the_month_quarter_and_year_around_it() {
        let (calendar, second_ms) = (calendar(), 30 * DAY_MS + 45 * MINUTE_MS);
        let month = |month: i64| 30 * DAY_MS * month + 45 * MINUTE_MS;
        assert_eq!(calendar.around(ToDate::Month, 0), Some((0, second_ms)));
        assert_eq!(calendar.around(ToDate::Month, second_ms - 1), Some((0, second_ms)));
        assert_eq!(calendar.around(ToDate::Month, second_ms), Some((second_ms, month(2))));
        assert_eq!(calendar.around(ToDate::Quarter, second_ms), Some((0, month(3))));
        assert_eq!(calendar.around(ToDate::Quarter, month(3)), Some((month(3), month(6))));
        assert_eq!(calendar.around(ToDate::Year, month(12) - 1), Some((0, month(12))));
        assert_eq!(calendar.around(ToDate::Year, month(12)), Some((month(12), month(24))));
        assert_eq!(calendar.around(ToDate::Month, -1), None, "before all months");
        assert_eq!(calendar.around(ToDate::Month, month(24)), None, "after all months");
        assert_eq!(Calendar::default().around(ToDate::Year, 0), None);
        assert_eq!(calendar.longest(), Some(ToDate::Year));
    }

    #[test]
    fn a_reporting_year_holds_one_january() {
        let (calendar, month) = (calendar(), |month: i64| 30 * DAY_MS * month + 45 * MINUTE_MS);
        let year = |begins, ms| calendar.reporting_year(begins, ms);
        assert_eq!(year(1, month(3)), Some([0, 0, month(12)]));
        assert_eq!(year(4, month(3)), Some([month(3), month(12), month(15)]));
        assert_eq!(year(4, month(15) - 1), Some([month(3), month(12), month(15)]));
        assert_eq!(year(12, month(11)), Some([month(11), month(12), month(23)]));
        assert_eq!(year(4, month(2)), None, "its beginning lies before the calendar");
        assert_eq!(year(4, month(15)), None, "its end lies behind it");
    }

    #[test]
    fn an_hour_in_which_a_month_begins_is_split_there() {
        let calendar = calendar();
        let hour = (30 * DAY_MS, 30 * DAY_MS + HOUR_MS);
        let at = |minute: i64| hour.0 + minute * MINUTE_MS;
        let quarter = 15 * MINUTE_MS;
        for minute in [0, 15, 30] {
            assert_eq!(calendar.part(hour, at(minute), quarter), (hour.0, at(45)));
        }
        assert_eq!(calendar.part(hour, at(45), quarter), (at(45), hour.1));
        // Periods of 20 minutes: the one around the month's beginning is of the month before.
        assert_eq!(calendar.part(hour, at(40), 20 * MINUTE_MS), hour);
        // Of 10: the last of them is the first that begins in the month.
        assert_eq!(calendar.part(hour, at(40), 10 * MINUTE_MS), (hour.0, at(50)));
        assert_eq!(calendar.part(hour, at(50), 10 * MINUTE_MS), (at(50), hour.1));
        let day = (30 * DAY_MS, 31 * DAY_MS);
        assert_eq!(calendar.part(day, day.0, DAY_MS), day, "a period is never split");
        let other = (hour.1, hour.1 + HOUR_MS);
        assert_eq!(calendar.part(other, other.0, quarter), other);
        assert!(calendar.splits_hours() && !Calendar::default().splits_hours());
    }

    #[test]
    #[should_panic(expected = "an hour apart at least")]
    fn no_hour_holds_the_beginnings_of_two_months() {
        let _calendar = Calendar::new("Test/Short", vec![0, HOUR_MS - 1], Vec::new());
    }

    #[test]
    fn a_window_is_found_by_its_label() {
        for window in ToDate::ALL {
            assert_eq!(ToDate::parse(window.label()), Some(window));
        }
        assert_eq!(ToDate::parse("wtd"), None);
    }
}
