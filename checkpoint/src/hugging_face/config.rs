//! What a `config.json` says about a model's shape.

use std::path::Path;

use protocol::model_spec::{Architecture, AttentionSpec};
use serde_json::{Map, Value};

use super::json_file::Fields;
use super::rope_config;
use crate::error::CheckpointError;
use crate::layout::{self, Layout};

pub(super) fn layout(path: &Path, config: &Map<String, Value>) -> Result<Layout, CheckpointError> {
    let fields = Fields { path, map: config };
    let name = fields.string("model_type")?.ok_or_else(|| fields.missing("model_type"))?;
    let architecture = layout::architecture(path, name)?;
    refuse_unknown_parts(&fields)?;
    let hidden_size = fields.need_u32("hidden_size")?;
    let heads = fields.need_u32("num_attention_heads")?;
    let head_dim = match fields.u32("head_dim")? {
        Some(length) => length,
        None => layout::head_dim(path, hidden_size, heads)?,
    };
    Ok(Layout {
        architecture,
        hidden_size,
        ffn_size: fields.need_u32("intermediate_size")?,
        vocab_size: fields.need_u32("vocab_size")?,
        context_length: fields.need_u32("max_position_embeddings")?,
        layer_count: fields.need_u32("num_hidden_layers")?,
        attention: AttentionSpec {
            heads,
            kv_heads: fields.u32("num_key_value_heads")?.unwrap_or(heads),
            head_dim,
            qkv_bias: architecture == Architecture::Qwen2,
        },
        rope: rope_config::read(&fields)?,
        norm_epsilon: fields.f32("rms_norm_eps")?.unwrap_or(1e-6),
        tied_embeddings: fields.bool("tie_word_embeddings")?.unwrap_or(false),
    })
}

/// Settings that change the computation in a way that no recipe of ours knows.
fn refuse_unknown_parts(fields: &Fields<'_>) -> Result<(), CheckpointError> {
    if let Some(value) = fields.get("quantization_config") {
        let method = value.get("quant_method").and_then(Value::as_str).unwrap_or("unknown");
        let expected = "none: take the unquantised folder, or a GGUF file";
        return Err(fields.bad("quantization_config", method, expected));
    }
    if let Some(name) = fields.string("hidden_act")?.filter(|name| *name != "silu") {
        return Err(fields.bad("hidden_act", name, "silu"));
    }
    if fields.bool("mlp_bias")? == Some(true) {
        return Err(fields.bad("mlp_bias", true, "false"));
    }
    if fields.bool("attention_bias")? == Some(true) {
        let expected = "false: a bias on the attention's output is not supported";
        return Err(fields.bad("attention_bias", true, expected));
    }
    if fields.bool("use_sliding_window")? == Some(true) {
        let expected = "false: sliding windows are not supported";
        return Err(fields.bad("use_sliding_window", true, expected));
    }
    if let Some(part) = fields.f32("partial_rotary_factor")?.filter(|part| *part != 1.0) {
        return Err(fields.bad("partial_rotary_factor", part, "1"));
    }
    Ok(())
}
