//! Programs that measure; each prints its figures beside a peer's or a physical limit's.
#![forbid(unsafe_code)]

use std::time::Duration;

/// The value below which `percent` of the samples lie.
pub fn percentile(samples: &mut [Duration], percent: usize) -> Duration {
    samples.sort_unstable();
    let last = samples.len().saturating_sub(1);
    samples.get(last * percent / 100).copied().unwrap_or_default()
}
