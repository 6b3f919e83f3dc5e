//! Reads the times that the admin API writes (RFC 3339, UTC).

/// Seconds since 1970 of `2026-11-22T08:45:53.120Z`; none of anything else.
pub(super) fn unix_seconds(text: &str) -> Option<f64> {
    let (date, time) = text.strip_suffix('Z')?.split_once('T')?;
    let mut date = date.split('-').map(|part| part.parse::<i64>().ok());
    let (year, month, day) = (date.next()??, date.next()??, date.next()??);
    let mut time = time.split(':');
    let (hour, minute) = (time.next()?.parse::<f64>().ok()?, time.next()?.parse::<f64>().ok()?);
    let second: f64 = time.next()?.parse().ok()?;
    Some(days(year, month, day)? as f64 * 86_400.0 + hour * 3600.0 + minute * 60.0 + second)
}

/// Howard Hinnant's `days_from_civil`.
fn days(year: i64, month: i64, day: i64) -> Option<i64> {
    if !(1..=12).contains(&month) || !(1..=31).contains(&day) || !(1970..=9999).contains(&year) {
        return None;
    }
    let year = if month <= 2 { year - 1 } else { year };
    let (era, of_era) = (year / 400, year % 400);
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    Some(era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468)
}

#[cfg(test)]
mod tests {
    use super::unix_seconds;

    #[test]
    fn a_moment_of_the_api_is_read_and_nonsense_is_not() {
        assert_eq!(unix_seconds("1970-01-01T00:00:00.000Z"), Some(0.0));
        assert_eq!(unix_seconds("2024-02-29T12:00:01.500Z"), Some(1_709_208_001.5));
        for text in ["", "2024-02-29", "2024-13-01T00:00:00Z", "2024-02-29T12:00:01+01:00"] {
            assert_eq!(unix_seconds(text), None, "{text}");
        }
    }
}
