//! Programs that measure; each prints its figures beside a peer's or a physical limit's.
#![forbid(unsafe_code)]

pub mod coordinator_group;
pub mod heartbeats;
pub mod kernel_set;
pub mod llama_cpp;
pub mod machine;
pub mod process_chain;
pub mod read_bandwidth;
pub mod shape_stage;
pub mod synthetic;
pub mod two_nodes;
pub mod whole_model;

use std::time::Duration;

/// The value below which `percent` of the samples lie.
pub fn percentile(samples: &mut [Duration], percent: usize) -> Duration {
    samples.sort_unstable();
    let last = samples.len().saturating_sub(1);
    samples.get(last * percent / 100).copied().unwrap_or_default()
}

/// The middle value; of an even number of values, the upper of the two.
pub fn median(values: &mut [f64]) -> f64 {
    values.sort_unstable_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}
