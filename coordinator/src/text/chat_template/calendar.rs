//! `strftime` for the dates that templates put into system prompts.

use std::time::{SystemTime, UNIX_EPOCH};

const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
const DAYS: [&str; 7] =
    ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];

/// `now` (UTC) in a `strftime` format; a code that is not known stays as it is.
pub(super) fn format(now: SystemTime, format: &str) -> String {
    let seconds = now.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let date = Date::of(seconds);
    let mut text = String::new();
    let mut signs = format.chars();
    while let Some(sign) = signs.next() {
        if sign != '%' {
            text.push(sign);
            continue;
        }
        let mut code = signs.next();
        // glibc's `%-d`: without a leading zero.
        let bare = code == Some('-');
        if bare {
            code = signs.next();
        }
        let field = code.and_then(|code| date.field(code));
        match field {
            Some(field) if bare => text.push_str(without_zeros(&field)),
            Some(field) => text.push_str(&field),
            None => text.extend(['%'].into_iter().chain(bare.then_some('-')).chain(code)),
        }
    }
    text
}

fn without_zeros(field: &str) -> &str {
    let rest = field.trim_start_matches(['0', ' ']);
    if rest.is_empty() { "0" } else { rest }
}

struct Date {
    year: u64,
    /// From 1.
    month: u64,
    day: u64,
    /// From 1.
    day_of_year: u64,
    /// From Sunday, 0.
    weekday: usize,
    second_of_day: u64,
}

impl Date {
    /// The civil date of seconds since 1970, by eras of 400 years that begin in March.
    fn of(seconds: u64) -> Self {
        let days = seconds / 86_400;
        let shifted = days + 719_468;
        let (era, day_of_era) = (shifted / 146_097, shifted % 146_097);
        let year_of_era =
            (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_from_march = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let month_from_march = (5 * day_from_march + 2) / 153;
        let day = day_from_march - (153 * month_from_march + 2) / 5 + 1;
        let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
        let year = year_of_era + era * 400 + u64::from(month <= 2);
        let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
        let before_month = [0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334];
        let leap_day = u64::from(leap && month > 2);
        Self {
            year,
            month,
            day,
            day_of_year: before_month[month as usize - 1] + day + leap_day,
            weekday: ((days + 4) % 7) as usize,
            second_of_day: seconds % 86_400,
        }
    }

    fn field(&self, code: char) -> Option<String> {
        let hour = self.second_of_day / 3600;
        let minute = self.second_of_day / 60 % 60;
        let second = self.second_of_day % 60;
        let hour_of_twelve = if hour.is_multiple_of(12) { 12 } else { hour % 12 };
        let month = MONTHS[self.month as usize - 1];
        let weekday = DAYS[self.weekday];
        Some(match code {
            'Y' => self.year.to_string(),
            'y' => format!("{:02}", self.year % 100),
            'm' => format!("{:02}", self.month),
            'd' => format!("{:02}", self.day),
            'e' => format!("{:2}", self.day),
            'j' => format!("{:03}", self.day_of_year),
            'H' => format!("{hour:02}"),
            'I' => format!("{hour_of_twelve:02}"),
            'M' => format!("{minute:02}"),
            'S' => format!("{second:02}"),
            'f' => "000000".to_owned(),
            'p' => if hour < 12 { "AM" } else { "PM" }.to_owned(),
            'B' => month.to_owned(),
            'b' | 'h' => month[..3].to_owned(),
            'A' => weekday.to_owned(),
            'a' => weekday[..3].to_owned(),
            'w' => self.weekday.to_string(),
            'u' => (if self.weekday == 0 { 7 } else { self.weekday }).to_string(),
            'F' => format!("{}-{:02}-{:02}", self.year, self.month, self.day),
            'T' => format!("{hour:02}:{minute:02}:{second:02}"),
            'R' => format!("{hour:02}:{minute:02}"),
            'D' => format!("{:02}/{:02}/{:02}", self.month, self.day, self.year % 100),
            // Python's naive datetime has no zone to name.
            'Z' | 'z' => String::new(),
            '%' => "%".to_owned(),
            'n' => "\n".to_owned(),
            't' => "\t".to_owned(),
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn check(seconds: u64, code: &str, expected: &str) {
        assert_eq!(format(UNIX_EPOCH + Duration::from_secs(seconds), code), expected, "{code}");
    }

    #[test]
    fn dates_of_prompts_read_as_python_writes_them() {
        let noon = 1_768_478_400; // 2026-01-15 12:00
        check(noon, "%d %b %Y", "15 Jan 2026");
        check(noon, "%Y-%m-%d %H:%M:%S %p", "2026-01-15 12:00:00 PM");
        check(noon, "%A, %B %-d (%j) %I%%", "Thursday, January 15 (015) 12%");
        check(noon, "%Q %", "%Q %");
        check(1_709_164_799, "%F %T %a", "2024-02-28 23:59:59 Wed");
        check(1_709_164_800, "%F %j", "2024-02-29 060");
        check(1_709_251_200, "%F %-d %e", "2024-03-01 1  1");
        check(0, "%F %A %y", "1970-01-01 Thursday 70");
        check(4_107_542_400, "%F", "2100-03-01");
    }
}
