//! Multi-head latent attention in DeepSeek's fields.

use protocol::model_spec::{LatentSpec, ModelSpec, RopeLayout, RopeScaling, StateKind};

use crate::error::CheckpointError;
use crate::hugging_face::json_file::Fields;
use crate::hugging_face::rope_config;

pub(super) fn read(fields: &Fields<'_>, spec: &mut ModelSpec) -> Result<(), CheckpointError> {
    let latent = LatentSpec {
        query_rank: fields.u32("q_lora_rank")?.unwrap_or(0),
        rank: fields.need_u32("kv_lora_rank")?,
        plain_dim: fields.need_u32("qk_nope_head_dim")?,
        rope_dim: fields.need_u32("qk_rope_head_dim")?,
        value_dim: fields.need_u32("v_head_dim")?,
        split_keys: false,
    };
    let attention = &mut spec.attention;
    attention.head_dim = latent.plain_dim.saturating_add(latent.rope_dim);
    attention.kv_heads = attention.heads;
    attention.latent = Some(latent);
    let mut scale = 1.0 / f64::from(attention.head_dim).sqrt();
    if let RopeScaling::Yarn { factor, .. } = &spec.rope.scaling {
        // Scores grow with the factor instead of the sines and cosines.
        let all = rope_config::yarn_all_dims(fields)?;
        let magnitude = if all == 0.0 { 1.0 } else { rope_config::yarn_magnitude(*factor, all) };
        scale *= magnitude * magnitude;
    }
    attention.scale = Some(scale as f32);
    spec.rope.dims = latent.rope_dim;
    if fields.bool("rope_interleave")?.unwrap_or(true) {
        spec.rope.layout = RopeLayout::Interleaved;
    }
    let width = latent.rank.saturating_add(latent.rope_dim);
    spec.layers.iter_mut().for_each(|layer| layer.state = StateKind::PagedLatent { width });
    Ok(())
}
