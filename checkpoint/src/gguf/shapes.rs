//! What the `<architecture>.*` fields of a GGUF file say about a model's shape.

use protocol::model_spec::{Architecture, AttentionSpec, RopeLayout, RopeScaling, RopeSpec};

use super::metadata::Metadata;
use crate::error::CheckpointError;
use crate::layout::{self, Layout};
use crate::tensor::TensorEntry;

pub(super) fn layout(
    fields: &Metadata,
    tensors: &[TensorEntry],
    tokens: usize,
) -> Result<Layout, CheckpointError> {
    let architecture = architecture(fields)?;
    let key = |suffix: &str| format!("{architecture}.{suffix}");
    refuse_unknown_parts(fields, architecture)?;
    let find = |name: &str| tensors.iter().find(|tensor| tensor.name == name);
    let hidden_size = fields.need_u32(&key("embedding_length"))?;
    let heads = fields.need_u32(&key("attention.head_count"))?;
    let head_dim = match fields.u32(&key("attention.key_length"))? {
        Some(length) => length,
        None => layout::head_dim(fields.path(), hidden_size, heads)?,
    };
    let values = key("attention.value_length");
    if let Some(length) = fields.u32(&values)?.filter(|length| *length != head_dim) {
        return Err(fields.bad(&values, length, format!("the key length, {head_dim}")));
    }
    let epsilon = key("attention.layer_norm_rms_epsilon");
    Ok(Layout {
        architecture,
        hidden_size,
        ffn_size: fields.need_u32(&key("feed_forward_length"))?,
        vocab_size: vocab_size(fields, architecture, find("token_embd.weight"), tokens)?,
        context_length: fields.need_u32(&key("context_length"))?,
        layer_count: fields.need_u32(&key("block_count"))?,
        attention: AttentionSpec {
            heads,
            kv_heads: fields.u32(&key("attention.head_count_kv"))?.unwrap_or(heads),
            head_dim,
            qkv_bias: find("blk.0.attn_q.bias").is_some(),
        },
        rope: rope(fields, architecture, head_dim)?,
        norm_epsilon: fields.f32(&epsilon)?.ok_or_else(|| fields.missing(&epsilon))?,
        tied_embeddings: find("output.weight").is_none(),
    })
}

fn architecture(fields: &Metadata) -> Result<Architecture, CheckpointError> {
    const FIELD: &str = "general.architecture";
    let found = fields.string(FIELD)?.ok_or_else(|| fields.missing(FIELD))?;
    layout::architecture(fields.path(), found)
}

/// Fields that change the computation in a way that no recipe of ours knows.
fn refuse_unknown_parts(
    fields: &Metadata,
    architecture: Architecture,
) -> Result<(), CheckpointError> {
    let experts = format!("{architecture}.expert_count");
    if let Some(count) = fields.u32(&experts)?.filter(|count| *count > 0) {
        return Err(fields.bad(&experts, count, "0: mixtures of experts are not supported"));
    }
    let window = format!("{architecture}.attention.sliding_window");
    if let Some(length) = fields.u32(&window)?.filter(|length| *length > 0) {
        return Err(fields.bad(&window, length, "0: sliding windows are not supported"));
    }
    const SPLIT: &str = "split.count";
    if let Some(count) = fields.u32(SPLIT)?.filter(|count| *count > 1) {
        let expected = "1: join the parts first (llama-gguf-split --merge)";
        return Err(fields.bad(SPLIT, count, expected));
    }
    Ok(())
}

fn vocab_size(
    fields: &Metadata,
    architecture: Architecture,
    embedding: Option<&TensorEntry>,
    tokens: usize,
) -> Result<u32, CheckpointError> {
    let field = format!("{architecture}.vocab_size");
    if let Some(size) = fields.u32(&field)? {
        return Ok(size);
    }
    let rows = embedding.and_then(|tensor| tensor.shape.first().copied());
    let size = rows.unwrap_or(tokens as u64);
    u32::try_from(size).map_err(|_| fields.bad(&field, size, "a 32-bit number"))
}

fn rope(
    fields: &Metadata,
    architecture: Architecture,
    head_dim: u32,
) -> Result<RopeSpec, CheckpointError> {
    let key = |suffix: &str| format!("{architecture}.rope.{suffix}");
    let dimensions = key("dimension_count");
    if let Some(count) = fields.u32(&dimensions)?.filter(|count| *count != head_dim) {
        let expected = format!("the head length, {head_dim}: partial rotation is not supported");
        return Err(fields.bad(&dimensions, count, expected));
    }
    let kind = key("scaling.type");
    let factor = key("scaling.factor");
    let scaling = match fields.string(&kind)? {
        None => match fields.f32(&key("scale_linear"))? {
            Some(factor) if factor != 1.0 => RopeScaling::Linear { factor },
            _ => RopeScaling::None,
        },
        Some("none") => RopeScaling::None,
        Some("linear") => RopeScaling::Linear {
            factor: fields.f32(&factor)?.ok_or_else(|| fields.missing(&factor))?,
        },
        Some(other) => return Err(fields.bad(&kind, other, "`none` or `linear`")),
    };
    Ok(RopeSpec {
        theta: fields.f32(&key("freq_base"))?.unwrap_or(10_000.0),
        scaling,
        layout: match architecture {
            // The converter permutes the rows of q and k of Llama, and of no other family.
            Architecture::Llama => RopeLayout::Interleaved,
            Architecture::Qwen2 => RopeLayout::HalfSplit,
        },
    })
}
