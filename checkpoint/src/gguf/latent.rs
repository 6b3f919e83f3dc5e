//! Multi-head latent attention in a GGUF file's fields (`deepseek2`).

use protocol::model_spec::{LatentSpec, ModelSpec, StateKind};

use super::shapes::Shapes;
use crate::error::CheckpointError;

/// Newer files give the lengths of a head in `*_mla` fields, and those of the shared vector in
/// the plain ones; in older files the plain ones are a head's.
pub(super) fn read(shapes: &Shapes<'_>, spec: &mut ModelSpec) -> Result<(), CheckpointError> {
    let rope_dim = shapes.need_u32("rope.dimension_count")?;
    let length = |newer: &str, older: &str| match shapes.u32(newer)? {
        Some(length) => Ok(length),
        None => shapes.need_u32(older),
    };
    let key = length("attention.key_length_mla", "attention.key_length")?;
    if key <= rope_dim {
        let expected = format!("more than the {rope_dim} elements that rotate");
        return Err(shapes.fields.bad(&shapes.key("attention.key_length_mla"), key, expected));
    }
    let latent = LatentSpec {
        query_rank: shapes.u32("attention.q_lora_rank")?.unwrap_or(0),
        rank: shapes.need_u32("attention.kv_lora_rank")?,
        plain_dim: key - rope_dim,
        rope_dim,
        value_dim: length("attention.value_length_mla", "attention.value_length")?,
        split_keys: !shapes.has("attn_kv_b.weight"),
    };
    let attention = &mut spec.attention;
    (attention.head_dim, attention.kv_heads) = (key, attention.heads);
    attention.latent = Some(latent);
    // The converter writes a tenth of DeepSeek's `mscale_all_dim`.
    let factor = shapes.f32("rope.scaling.factor")?.unwrap_or(1.0).max(1.0);
    let slope = shapes.f32("rope.scaling.yarn_log_multiplier")?.unwrap_or(0.0);
    let magnitude = 1.0 + f64::from(slope) * f64::from(factor).ln();
    attention.scale = Some((magnitude * magnitude / f64::from(key).sqrt()) as f32);
    let width = latent.rank.saturating_add(rope_dim);
    spec.layers.iter_mut().for_each(|layer| layer.state = StateKind::PagedLatent { width });
    Ok(())
}
