//! Wall time as the log sees it: milliseconds since 1970, stamped by a proposer, shown as RFC 3339.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Milliseconds since the Unix epoch, UTC.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Timestamp(pub u64);

impl Timestamp {
    /// A number for each month of the calendar, UTC.
    pub fn month(self) -> u32 {
        let (year, month, _) = civil_from_days(self.0 / 86_400_000);
        (year * 12 + month - 1) as u32
    }

    /// Until the next month begins.
    pub fn month_seconds_left(self) -> u64 {
        let day = self.0 / 86_400_000;
        let days = (1..=31).find(|&d| Self((day + d) * 86_400_000).month() != self.month());
        days.unwrap_or(31) * 86_400 - self.0 / 1000 % 86_400
    }

    pub fn plus_seconds(self, seconds: u64) -> Self {
        Self(self.0.saturating_add(seconds.saturating_mul(1000)))
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (days, second) = (self.0 / 86_400_000, self.0 / 1000 % 86_400);
        let (year, month, day) = civil_from_days(days);
        let (h, m, s, ms) = (second / 3600, second / 60 % 60, second % 60, self.0 % 1000);
        write!(f, "{year:04}-{month:02}-{day:02}T{h:02}:{m:02}:{s:02}.{ms:03}Z")
    }
}

/// Howard Hinnant's `civil_from_days`, for days from 1970-01-01 on.
fn civil_from_days(days: u64) -> (u64, u64, u64) {
    let z = days + 719_468;
    let era = z / 146_097;
    let day_of_era = z % 146_097;
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    (year_of_era + era * 400 + u64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_month_ends_when_the_calendar_says() {
        let last = Timestamp(1_709_251_199_000);
        assert_eq!(last.to_string(), "2024-02-29T23:59:59.000Z");
        assert_eq!((last.month_seconds_left(), last.plus_seconds(1).month()), (1, 2024 * 12 + 2));
        assert_eq!(last.plus_seconds(1).month_seconds_left(), 31 * 86_400);
    }

    #[test]
    fn known_instants_read_as_people_write_them() {
        let check = |ms, text: &str| assert_eq!(Timestamp(ms).to_string(), text);
        check(0, "1970-01-01T00:00:00.000Z");
        check(951_782_400_000, "2000-02-29T00:00:00.000Z");
        check(1_709_210_096_789, "2024-02-29T12:34:56.789Z");
        check(1_798_761_599_999, "2026-12-31T23:59:59.999Z");
    }
}
