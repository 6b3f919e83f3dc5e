//! What a `config.json` says about a model's shape.

use std::path::Path;

use protocol::model_spec::{Architecture, AttentionSpec, ModelSpec, StateKind};
use serde_json::{Map, Value};

use super::json_file::Fields;
use super::rope_config;
use crate::error::CheckpointError;
use crate::{families, layout};

mod delta_net;
mod details;
mod experts;
mod gemma4;
mod latent;
#[cfg(test)]
mod published;
mod windows;

pub(super) fn spec(path: &Path, config: &Map<String, Value>) -> Result<ModelSpec, CheckpointError> {
    let fields = Fields { path, map: config };
    let name = fields.string("model_type")?.ok_or_else(|| fields.missing("model_type"))?;
    let architecture = families::of_config(path, name)?;
    let hidden_size = fields.need_u32("hidden_size")?;
    let heads = fields.need_u32("num_attention_heads")?;
    let head_dim = match fields.u32("head_dim")? {
        Some(length) => length,
        None => layout::head_dim(path, hidden_size, heads)?,
    };
    let count = fields.need_u32("num_hidden_layers")?;
    let mut spec = ModelSpec {
        hidden_size,
        ffn_size: ffn_size(&fields)?,
        vocab_size: fields.need_u32("vocab_size")?,
        context_length: fields.need_u32("max_position_embeddings")?,
        attention: AttentionSpec::grouped(
            heads,
            fields.u32("num_key_value_heads")?.unwrap_or(heads),
            head_dim,
        ),
        norm_epsilon: fields.f32("rms_norm_eps")?.unwrap_or(1e-6),
        tied_embeddings: fields.bool("tie_word_embeddings")?.unwrap_or(false),
        layers: layout::layers(path, count, |_| StateKind::PagedKv { window: None })?,
        ..ModelSpec::plain(architecture)
    };
    if architecture == Architecture::Gemma4 {
        gemma4::heads(&fields, &mut spec)?;
    }
    rope_config::read(&fields, &mut spec)?;
    windows::read(&fields, &mut spec)?;
    if architecture.is_hybrid() {
        delta_net::read(&fields, &mut spec)?;
    }
    details::read(&fields, &mut spec)?;
    Ok(spec)
}

/// The text model's settings, where they stand beside those of other parts; what these leave out,
/// the whole says.
pub(super) fn text_part(mut config: Map<String, Value>) -> Map<String, Value> {
    if let Some(Value::Object(text)) = config.remove("text_config") {
        config.extend(text);
    }
    // Of the larger Gemma 3 only what differs from its class was published.
    if config.get("model_type").and_then(Value::as_str) == Some("gemma3_text") {
        for (field, usual) in GEMMA3_USUAL {
            config.entry(field).or_insert_with(|| usual.into());
        }
    }
    config
}

const GEMMA3_USUAL: [(&str, u32); 7] = [
    ("num_attention_heads", 8),
    ("num_key_value_heads", 4),
    ("head_dim", 256),
    ("vocab_size", 262_208),
    ("max_position_embeddings", 131_072),
    ("rope_theta", 1_000_000),
    ("sliding_window", 4096),
];

/// Models of experts alone may say only these experts' width.
fn ffn_size(fields: &Fields<'_>) -> Result<u32, CheckpointError> {
    const FIELD: &str = "intermediate_size";
    match fields.u32(FIELD)? {
        Some(size) => Ok(size),
        None => fields.u32("moe_intermediate_size")?.ok_or_else(|| fields.missing(FIELD)),
    }
}
