//! Numbers and times as people write them in arguments: `100k`, `5M/month`, `90d`.

/// E.g. `60`, `100k`, `1.5M`.
pub(crate) fn count(text: &str) -> Result<u64, String> {
    let expected = || format!("`{text}` is not a number such as 60, 100k or 1.5M");
    let (number, factor) = match text.char_indices().last() {
        Some((at, 'k' | 'K')) => (&text[..at], 1e3),
        Some((at, 'm' | 'M')) => (&text[..at], 1e6),
        Some((at, 'g' | 'G')) => (&text[..at], 1e9),
        _ => (text, 1.0),
    };
    let value = number.parse::<f64>().map_err(|_| expected())? * factor;
    if (0.0..1e15).contains(&value) { Ok(value.round() as u64) } else { Err(expected()) }
}

/// Tokens of a month, e.g. `5M/month`; the `/month` may be left out.
pub(crate) fn monthly(text: &str) -> Result<u64, String> {
    count(text.strip_suffix("/month").unwrap_or(text))
}

/// Seconds, e.g. `90d`, `12h`, `30m`, `45s`, `3600`.
pub(crate) fn seconds(text: &str) -> Result<u64, String> {
    let expected = || format!("`{text}` is not a time such as 90d, 12h, 30m or 45s");
    let (number, factor) = match text.char_indices().last() {
        Some((at, 'd')) => (&text[..at], 86_400),
        Some((at, 'h')) => (&text[..at], 3600),
        Some((at, 'm')) => (&text[..at], 60),
        Some((at, 's')) => (&text[..at], 1),
        _ => (text, 1),
    };
    let number: u64 = number.parse().map_err(|_| expected())?;
    number.checked_mul(factor).ok_or_else(expected)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_times_are_read_as_people_write_them() {
        assert_eq!(
            (count("60"), count("100k"), count("1.5M")),
            (Ok(60), Ok(100_000), Ok(1_500_000))
        );
        assert_eq!((monthly("5M/month"), monthly("7")), (Ok(5_000_000), Ok(7)));
        assert_eq!((seconds("90d"), seconds("12h")), (Ok(90 * 86_400), Ok(43_200)));
        assert_eq!((seconds("30m"), seconds("45s"), seconds("9")), (Ok(1800), Ok(45), Ok(9)));
        for bad in ["", "k", "-1", "1x", "nan", "1e20", "5M/day"] {
            assert!(monthly(bad).is_err() && seconds(bad).is_err(), "{bad}");
        }
    }
}
