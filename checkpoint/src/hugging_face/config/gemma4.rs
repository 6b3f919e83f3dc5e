//! Gemma 4: layers of two kinds of heads, and what its feed-forward has beside the common parts.

use protocol::model_spec::{Activation, AttentionSpec, ModelSpec, StateKind};
use serde_json::Value;

use super::experts;
use crate::error::CheckpointError;
use crate::hugging_face::json_file::Fields;
use crate::layout;

/// The lengths that the common fields give are those of the layers with a window. The others' stand
/// in fields of their own, or layer by layer in `per_layer_config`.
pub(super) fn heads(fields: &Fields<'_>, spec: &mut ModelSpec) -> Result<(), CheckpointError> {
    let mut windowed = spec.attention;
    (windowed.qk_norm, windowed.value_norm, windowed.scale) = (true, true, Some(1.0));
    let keys_only = fields.bool("attention_k_eq_v")?.unwrap_or(false);
    let mut full = AttentionSpec { values_are_keys: keys_only, ..windowed };
    if let Some(length) = of_full_layers(fields, "global_head_dim", "head_dim")? {
        full.head_dim = length;
    }
    let kv_heads = of_full_layers(fields, "num_global_key_value_heads", "num_key_value_heads")?;
    if let Some(kv_heads) = kv_heads.filter(|_| keys_only) {
        full.kv_heads = kv_heads;
    }
    (spec.attention, spec.window_attention) = (full, Some(windowed));
    Ok(())
}

/// `field`, or what `per_layer_config` says for all layers that it lists: the full ones.
fn of_full_layers(
    fields: &Fields<'_>,
    field: &str,
    listed: &str,
) -> Result<Option<u32>, CheckpointError> {
    const LAYERS: &str = "per_layer_config";
    if let Some(value) = fields.u32(field)? {
        return Ok(Some(value));
    }
    let Some(value) = fields.get(LAYERS) else { return Ok(None) };
    let expected = format!("an object for each full layer, of equal `{listed}`");
    let bad = || fields.bad(LAYERS, value, expected.as_str());
    let mut found = None;
    for layer in value.as_object().ok_or_else(bad)?.values() {
        let map = layer.as_object().ok_or_else(bad)?;
        let one = Fields { path: fields.path, map }.u32(listed)?;
        if *found.get_or_insert(one) != one {
            return Err(bad());
        }
    }
    Ok(found.flatten())
}

pub(super) fn read(fields: &Fields<'_>, spec: &mut ModelSpec) -> Result<(), CheckpointError> {
    const BOTH_WAYS: &str = "use_bidirectional_attention";
    // `vision` is about pictures, which are not read.
    if let Some(value) = fields.get(BOTH_WAYS).filter(|value| {
        !matches!(value, Value::Bool(false)) && value.as_str().is_none_or(|kind| kind != "vision")
    }) {
        return Err(fields.bad(BOTH_WAYS, value, "`vision` or false"));
    }
    spec.activation = Activation::GeluTanh;
    spec.embedding_scale = (spec.hidden_size as f32).sqrt();
    spec.tied_embeddings = fields.bool("tie_word_embeddings")?.unwrap_or(true);
    spec.logit_soft_cap = fields.f32("final_logit_softcapping")?;
    if fields.bool("enable_moe_block")?.unwrap_or(false) {
        spec.experts = Some(experts::gemma4(fields)?);
    }
    // The reference makes the last layer a full one, whatever is listed.
    if let Some(last) = spec.layers.last_mut() {
        last.state = StateKind::PagedKv { window: None };
    }
    small_kinds(fields, spec)
}

/// What the small models have: layers with an input of their own, and layers without keys.
fn small_kinds(fields: &Fields<'_>, spec: &mut ModelSpec) -> Result<(), CheckpointError> {
    const VOCABULARY: &str = "vocab_size_per_layer_input";
    const SHARED: &str = "num_kv_shared_layers";
    spec.per_layer_width = fields.u32("hidden_size_per_layer_input")?.unwrap_or(0);
    let rows = fields.u32(VOCABULARY)?.filter(|_| spec.per_layer_width > 0);
    if let Some(rows) = rows.filter(|rows| *rows != spec.vocab_size) {
        return Err(fields.bad(VOCABULARY, rows, format!("vocab_size, {}", spec.vocab_size)));
    }
    let shared = fields.u32(SHARED)?.unwrap_or(0);
    if !layout::share_keys(spec, shared) {
        let expected = "fewer than the layers of each kind";
        return Err(fields.bad(SHARED, shared, expected));
    }
    if shared > 0 && fields.bool("use_double_wide_mlp")?.unwrap_or(false) {
        spec.reusing_ffn_size = Some(spec.ffn_size.saturating_mul(2));
    }
    Ok(())
}
