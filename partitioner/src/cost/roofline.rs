//! Time of a stage's step: limited by reading its weights, or by its multiply-accumulates.
//!
//! Roofline model (Williams, Waterman, Patterson 2009): the slower of memory and compute.

use protocol::model_spec::{LayerRange, ModelSpec};
use protocol::node_profile::DeviceProfile;

/// Seconds that one step of `rows` rows takes in the layers of `range`.
pub(crate) fn stage_seconds(
    spec: &ModelSpec,
    range: LayerRange,
    device: &DeviceProfile,
    rows: u32,
) -> f64 {
    let bandwidth = device.memory_bandwidth.max(1.0);
    let rate = device.matmul_rate.max(1.0);
    let step = |bytes: u64, macs: u64| {
        (bytes as f64 / bandwidth).max(macs as f64 * f64::from(rows) / rate)
    };
    let mut seconds: f64 =
        spec.layers[range.indices()].iter().map(|l| step(l.weight_bytes, l.macs_per_token)).sum();
    if range.end.0 == spec.layer_count() {
        // Only sampled rows pass the head: one in a decode step and in a prefill alike.
        let macs = u64::from(spec.hidden_size) * u64::from(spec.vocab_size);
        seconds += (spec.head_bytes as f64 / bandwidth).max(macs as f64 / rate);
    }
    seconds
}
