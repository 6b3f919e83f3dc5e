//! Time of a step: limited by reading the weights, or by the multiply-accumulates.
//!
//! Roofline model (Williams, Waterman, Patterson 2009): the slower of memory and compute.

use protocol::model_spec::{LayerSpec, ModelSpec};
use protocol::node_profile::DeviceProfile;

/// Seconds that one step of `rows` rows takes in a layer.
pub(crate) fn layer_seconds(layer: &LayerSpec, device: &DeviceProfile, rows: u32) -> f64 {
    roofline(layer.weight_bytes, layer.macs_per_token as f64 * f64::from(rows), device)
}

/// Seconds of the output norm and head: only sampled rows pass them, one in a decode step and in a
/// prefill alike.
pub(crate) fn head_seconds(spec: &ModelSpec, device: &DeviceProfile) -> f64 {
    let macs = u64::from(spec.hidden_size) * u64::from(spec.vocab_size);
    roofline(spec.head_bytes, macs as f64, device)
}

fn roofline(bytes: u64, macs: f64, device: &DeviceProfile) -> f64 {
    (bytes as f64 / device.memory_bandwidth.max(1.0)).max(macs / device.matmul_rate.max(1.0))
}
