//! What a store knows of a result besides its files.
use std::fmt;

use crate::step::StepId;

/// A result, as listed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its id.
    pub id: StepId,
    /// When it was made.
    pub created: Time,
    /// When a build last used it.
    pub used: Time,
    /// What it was made from; `None` for base images, and where that is not known any more.
    pub parent: Option<StepId>,
    /// How many results were made from it.
    pub children: usize,
}

/// A point in time, in whole seconds since 1970 (UTC).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Time(pub i64);

/// `2023-01-31 23:59:59`, in UTC.
impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (days, seconds) = (self.0.div_euclid(86_400), self.0.rem_euclid(86_400));
        let (year, month, day) = date(days);
        let (hour, minute, second) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
        write!(f, "{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}")
    }
}

/// Year, month and day of a number of days since 1970, in the Gregorian calendar. Years begin in March here, so
/// that the leap day is the last of its year; 400 of them have 146 097 days.
fn date(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let (era, day) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let (month, next) = if month < 10 { (month + 3, 0) } else { (month - 9, 1) };
    (era * 400 + year + next, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_shown_as_sqlite_shows_them() {
        let database = rusqlite::Connection::open_in_memory().unwrap();
        let seconds =
            [0, -1, 951_782_399, 951_782_400, 951_868_799, 951_868_800, 1_709_164_800, 4_107_542_399];
        for seconds in seconds.into_iter().chain((0..2000).map(|n| n * 5_000_011 - 3_000_000_000)) {
            let select = "SELECT datetime(?1, 'unixepoch')";
            let expected: String = database.query_row(select, [seconds], |row| row.get(0)).unwrap();
            assert_eq!(Time(seconds).to_string(), expected);
        }
    }
}
