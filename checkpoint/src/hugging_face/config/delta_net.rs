//! Gated delta net layers beside gated attention, in Qwen3-Next's fields.

use protocol::model_spec::{Architecture, DeltaNetSpec, DeltaProjections, ModelSpec, StateKind};
use serde_json::Value;

use crate::error::CheckpointError;
use crate::hugging_face::json_file::Fields;

pub(super) fn read(fields: &Fields<'_>, spec: &mut ModelSpec) -> Result<(), CheckpointError> {
    let delta = DeltaNetSpec {
        key_heads: fields.need_u32("linear_num_key_heads")?,
        value_heads: fields.need_u32("linear_num_value_heads")?,
        key_dim: fields.need_u32("linear_key_head_dim")?,
        value_dim: fields.need_u32("linear_value_head_dim")?,
        conv_taps: fields.need_u32("linear_conv_kernel_dim")?,
        projections: match spec.architecture {
            Architecture::Qwen3Next => DeltaProjections::Joined,
            _ => DeltaProjections::Separate,
        },
        tiled_values: false,
        log_decay: true,
    };
    if fields.bool("attn_output_gate")? == Some(false) {
        return Err(fields.bad("attn_output_gate", false, "true"));
    }
    spec.delta_net = Some(delta);
    spec.norm_offset = 1.0;
    (spec.attention.qk_norm, spec.attention.output_gate) = (true, true);
    let recurrent = recurrent(fields, spec.layers.len())?;
    let bytes = delta.state_bytes();
    for (layer, recurrent) in spec.layers.iter_mut().zip(recurrent) {
        if recurrent {
            layer.state = StateKind::Recurrent { bytes };
        }
    }
    Ok(())
}

/// Which layers are: as listed in `layer_types`, else all but every fourth.
fn recurrent(fields: &Fields<'_>, count: usize) -> Result<Vec<bool>, CheckpointError> {
    const FIELD: &str = "layer_types";
    const INTERVAL: &str = "full_attention_interval";
    let Some(value) = fields.get(FIELD) else {
        let every = fields.u32(INTERVAL)?.unwrap_or(4) as usize;
        if every == 0 {
            return Err(fields.bad(INTERVAL, every, "at least 1"));
        }
        return Ok((1..=count).map(|layer| !layer.is_multiple_of(every)).collect());
    };
    let kind = |value: &Value| match value.as_str() {
        Some("linear_attention") => Some(true),
        Some("full_attention") => Some(false),
        _ => None,
    };
    let kinds: Option<Vec<bool>> =
        value.as_array().and_then(|kinds| kinds.iter().map(kind).collect());
    let expected = || format!("{count} times `linear_attention` or `full_attention`");
    kinds.filter(|kinds| kinds.len() == count).ok_or_else(|| fields.bad(FIELD, value, expected()))
}
