//! Tensors whose dimensions are grouped otherwise than ours, though their values are in our order.

use protocol::model_spec::ModelSpec;

use crate::tensor::TensorEntry;

/// Gives `tensor` the shape that its name stands for; a shape that cannot be meant stays as it is,
/// for the check to name.
pub(super) fn flatten(spec: &ModelSpec, tensor: &mut TensorEntry) {
    let part = tensor.name.splitn(3, '.').nth(2).unwrap_or_default();
    match (part, &tensor.shape[..]) {
        // [channels, 1, taps] or [channels, taps]: a convolution within each channel.
        ("ssm_conv1d.weight", &[channels, 1, taps] | &[channels, taps])
            if spec.delta_net.is_some_and(|delta| u64::from(delta.conv_taps) == taps) =>
        {
            tensor.shape = vec![channels.saturating_mul(taps)];
        }
        ("ffn_gate_inp_shexp.weight", &[1, width]) => tensor.shape = vec![width],
        // [experts, gate and up, inputs]
        ("ffn_gate_up_exps.weight", &[experts, rows, columns]) => {
            tensor.shape = vec![experts.saturating_mul(rows), columns];
        }
        _ => {}
    }
}
