//! Which devices of the machine a worker offers.

use std::fmt;

/// Resolved from `--devices`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum DeviceChoice {
    /// Every GPU that can be used; the CPU where there is none.
    #[default]
    Auto,
    /// Every GPU that can be used, and the CPU.
    All,
    /// These; one that cannot be used ends the worker.
    Listed(Vec<Chosen>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Chosen {
    pub device: DeviceName,
    /// Most bytes that stages may take there.
    pub limit: Option<u64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeviceName {
    Cpu,
    /// By CUDA's number.
    Cuda(u32),
}

impl DeviceChoice {
    /// Reads `auto`, `all`, or a list such as `cuda:0,cuda:1=20GiB,cpu`; `size` reads what stands
    /// behind `=`. The error says what is wrong.
    pub fn parse(text: &str, size: impl Fn(&str) -> Option<u64>) -> Result<Self, String> {
        match text.trim() {
            "auto" => return Ok(Self::Auto),
            "all" => return Ok(Self::All),
            _ => {}
        }
        let mut listed: Vec<Chosen> = Vec::new();
        for entry in text.split(',').map(str::trim) {
            let (name, limit) = match entry.split_once('=') {
                None => (entry, None),
                Some((name, limit)) => {
                    let bytes = size(limit.trim());
                    let wrong = || format!("`{limit}` is no size such as 20GiB");
                    (name.trim(), Some(bytes.ok_or_else(wrong)?))
                }
            };
            let device = DeviceName::parse(name)?;
            if listed.iter().any(|chosen| chosen.device == device) {
                return Err(format!("{device} stands there twice"));
            }
            listed.push(Chosen { device, limit });
        }
        Ok(Self::Listed(listed))
    }

    pub(crate) fn wants(&self, device: DeviceName) -> bool {
        match self {
            Self::Auto | Self::All => true,
            Self::Listed(listed) => listed.iter().any(|chosen| chosen.device == device),
        }
    }

    /// The least of `bytes` and what the operator allows on `device`.
    pub(crate) fn capped(&self, device: DeviceName, bytes: u64) -> u64 {
        let Self::Listed(listed) = self else { return bytes };
        let limit = listed.iter().find(|chosen| chosen.device == device).and_then(|c| c.limit);
        bytes.min(limit.unwrap_or(u64::MAX))
    }
}

impl DeviceName {
    fn parse(name: &str) -> Result<Self, String> {
        let number = name.strip_prefix("cuda:").map(str::parse);
        match number {
            Some(Ok(ordinal)) => Ok(Self::Cuda(ordinal)),
            _ if name == "cpu" => Ok(Self::Cpu),
            _ => Err(format!("`{name}` is no device: expected auto, all, cpu or cuda:N")),
        }
    }
}

impl fmt::Display for DeviceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cpu => f.write_str("cpu"),
            Self::Cuda(ordinal) => write!(f, "cuda:{ordinal}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<DeviceChoice, String> {
        DeviceChoice::parse(text, |size| size.strip_suffix("GiB")?.parse().ok())
    }

    #[test]
    fn devices_are_chosen_by_name_each_with_a_limit_of_its_own() {
        assert_eq!(parse("auto"), Ok(DeviceChoice::Auto));
        assert_eq!(parse("all"), Ok(DeviceChoice::All));
        let choice = parse("cuda:1=20GiB, cpu").expect("a list");
        assert!(choice.wants(DeviceName::Cpu) && !choice.wants(DeviceName::Cuda(0)));
        assert_eq!(choice.capped(DeviceName::Cuda(1), 30), 20);
        assert_eq!(choice.capped(DeviceName::Cuda(1), 10), 10);
        assert_eq!(choice.capped(DeviceName::Cpu, 30), 30);
    }

    #[test]
    fn a_name_or_a_size_that_is_none_is_told() {
        for (text, expected) in [
            ("gpu", "`gpu` is no device"),
            ("", "`` is no device"),
            ("cuda:x", "`cuda:x` is no device"),
            ("cuda:0=much", "`much` is no size"),
            ("cpu,cpu", "cpu stands there twice"),
            ("cuda:0,auto", "`auto` is no device"),
        ] {
            let error = parse(text).expect_err(text);
            assert!(error.contains(expected), "{error}");
        }
    }
}
