//! Gated delta net layers in a GGUF file's fields (`qwen3next`, `qwen35`, `qwen35moe`).

use protocol::model_spec::{Architecture, DeltaNetSpec, DeltaProjections, ModelSpec, StateKind};

use super::shapes::Shapes;
use crate::error::CheckpointError;

/// The fields are those of Mamba: `state_size` is a key's length, `group_count` the key heads,
/// `time_step_rank` the value heads, `inner_size` the width of all values.
pub(super) fn read(shapes: &Shapes<'_>, spec: &mut ModelSpec) -> Result<(), CheckpointError> {
    const INNER: &str = "ssm.inner_size";
    let (inner, heads) = (shapes.need_u32(INNER)?, shapes.need_u32("ssm.time_step_rank")?);
    if heads == 0 || !inner.is_multiple_of(heads) {
        let expected = format!("a multiple of the {heads} value heads (ssm.time_step_rank)");
        return Err(shapes.fields.bad(&shapes.key(INNER), inner, expected));
    }
    let delta = DeltaNetSpec {
        key_heads: shapes.need_u32("ssm.group_count")?,
        value_heads: heads,
        key_dim: shapes.need_u32("ssm.state_size")?,
        value_dim: inner / heads,
        conv_taps: shapes.need_u32("ssm.conv_kernel")?,
        projections: match (shapes.has("ssm_in.weight"), shapes.has("ssm_ba.weight")) {
            // Files of the first converters.
            (true, _) => DeltaProjections::Joined,
            (false, true) => DeltaProjections::JoinedGates,
            (false, false) => DeltaProjections::Separate,
        },
        // The converter of Qwen3.5 lays the value heads of a key head apart.
        tiled_values: spec.architecture != Architecture::Qwen3Next,
        log_decay: false,
    };
    spec.delta_net = Some(delta);
    spec.attention.output_gate = true;
    let bytes = delta.state_bytes();
    // Which layers these are stands in one field or another, or nowhere; their tensors say it.
    for layer in shapes.layers_with("ssm_conv1d.weight") {
        if let Some(layer) = spec.layers.get_mut(layer) {
            layer.state = StateKind::Recurrent { bytes };
        }
    }
    Ok(())
}
