//! Byte counts for people, and back.

const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];

/// E.g. `560.0 MiB`.
pub(crate) fn human(bytes: u64) -> String {
    let mut value = bytes as f64;
    let mut unit = 0;
    while value >= 1024.0 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    if unit == 0 { format!("{bytes} B") } else { format!("{value:.1} {}", UNITS[unit]) }
}

/// Reads `560MB`, `2GiB`, `1.5G`, `1000`: decimal units without an i, binary ones with it.
pub(crate) fn size(text: &str) -> Result<u64, String> {
    let split = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(split);
    let factor: f64 = match unit.trim().to_ascii_lowercase().as_str() {
        "" | "b" => 1.0,
        "k" | "kb" => 1e3,
        "m" | "mb" => 1e6,
        "g" | "gb" => 1e9,
        "t" | "tb" => 1e12,
        "kib" => 1024.0,
        "mib" => f64::from(1 << 20),
        "gib" => f64::from(1 << 30),
        "tib" => 1024.0 * f64::from(1 << 30),
        _ => f64::NAN,
    };
    match number.parse::<f64>() {
        Ok(value) if factor.is_finite() && value > 0.0 => Ok((value * factor) as u64),
        _ => Err("expected a size such as 560MB, 2GiB or 1.5G".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_as_people_write_them() {
        let read = |text| size(text).ok();
        assert_eq!(read("560MB"), Some(560_000_000));
        assert_eq!(read("2GiB"), Some(2 << 30));
        assert_eq!(read("1.5G"), Some(1_500_000_000));
        assert_eq!(read("1000"), Some(1000));
        for bad in ["", "MB", "-1", "1XB", "1..2", "0"] {
            assert_eq!(read(bad), None, "{bad}");
        }
    }

    #[test]
    fn sizes_are_printed_in_binary_units() {
        assert_eq!(human(999), "999 B");
        assert_eq!(human(560 << 20), "560.0 MiB");
    }
}
