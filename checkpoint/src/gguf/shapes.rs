//! What the `<architecture>.*` fields of a GGUF file say about a model's shape.

use protocol::model_spec::{
    Activation, Architecture, AttentionSpec, ModelSpec, RopeSpec, StateKind, TemperatureSpec,
};

use super::metadata::Metadata;
use super::{delta_net, experts, gemma4, latent, rope};
use crate::error::CheckpointError;
use crate::tensor::TensorEntry;
use crate::{families, layout};

/// The fields of one architecture, and the file's tensors.
pub(super) struct Shapes<'a> {
    pub(super) fields: &'a Metadata,
    /// What the fields begin with.
    prefix: &'a str,
    tensors: &'a [TensorEntry],
}

impl<'a> Shapes<'a> {
    pub(super) fn new(
        fields: &'a Metadata,
        tensors: &'a [TensorEntry],
    ) -> Result<Self, CheckpointError> {
        const FIELD: &str = "general.architecture";
        let prefix = fields.string(FIELD)?.ok_or_else(|| fields.missing(FIELD))?;
        Ok(Self { fields, prefix, tensors })
    }

    pub(super) fn key(&self, suffix: &str) -> String {
        format!("{}.{suffix}", self.prefix)
    }

    pub(super) fn u32(&self, suffix: &str) -> Result<Option<u32>, CheckpointError> {
        self.fields.u32(&self.key(suffix))
    }

    pub(super) fn need_u32(&self, suffix: &str) -> Result<u32, CheckpointError> {
        self.fields.need_u32(&self.key(suffix))
    }

    pub(super) fn f32(&self, suffix: &str) -> Result<Option<f32>, CheckpointError> {
        self.fields.f32(&self.key(suffix))
    }

    pub(super) fn tensor(&self, name: &str) -> Option<&'a TensorEntry> {
        self.tensors.iter().find(|tensor| tensor.name == name)
    }

    /// Whether the layers have a tensor called that.
    pub(super) fn has(&self, part: &str) -> bool {
        self.layers_with(part).next().is_some()
    }

    /// The layers that have a tensor called that.
    pub(super) fn layers_with(&self, part: &str) -> impl Iterator<Item = usize> {
        self.tensors.iter().filter_map(move |tensor| {
            let (layer, found) = tensor.name.strip_prefix("blk.")?.split_once('.')?;
            layer.parse().ok().filter(|_| found == part)
        })
    }

    fn architecture(&self) -> Result<Architecture, CheckpointError> {
        let found = families::of_gguf(self.fields.path(), self.prefix)?;
        let experts = self.u32("expert_count")?.unwrap_or(0);
        Ok(match found {
            Architecture::Llama if experts > 0 => Architecture::Mixtral,
            _ => found,
        })
    }
}

pub(super) fn spec(shapes: &Shapes<'_>, tokens: usize) -> Result<ModelSpec, CheckpointError> {
    let architecture = shapes.architecture()?;
    let (fields, path) = (shapes.fields, shapes.fields.path());
    let hidden_size = shapes.need_u32("embedding_length")?;
    let heads = shapes.need_u32("attention.head_count")?;
    let head_dim = match shapes.u32("attention.key_length")? {
        Some(length) => length,
        None => layout::head_dim(path, hidden_size, heads)?,
    };
    let kv_heads = match architecture {
        // A list, read with the layers' kinds.
        Architecture::Gemma4 => heads,
        _ => shapes.u32(gemma4::KV_HEADS)?.unwrap_or(heads),
    };
    // Layers behind the last that guess the token after the next are not run.
    let draft = shapes.u32("nextn_predict_layers")?.unwrap_or(0);
    let count = shapes.need_u32("block_count")?.saturating_sub(draft);
    let epsilon = shapes.key("attention.layer_norm_rms_epsilon");
    let mut spec = ModelSpec {
        hidden_size,
        // A list may be a width for each layer, read with their kinds.
        ffn_size: if architecture == Architecture::Gemma4 { 0 } else { ffn_size(shapes)? },
        vocab_size: vocab_size(shapes, tokens)?,
        context_length: shapes.need_u32("context_length")?,
        attention: AttentionSpec {
            qkv_bias: shapes.has("attn_q.bias"),
            qk_norm: shapes.has("attn_q_norm.weight"),
            ..AttentionSpec::grouped(heads, kv_heads, head_dim)
        },
        norm_epsilon: fields.f32(&epsilon)?.ok_or_else(|| fields.missing(&epsilon))?,
        tied_embeddings: shapes.tensor("output.weight").is_none(),
        layers: layout::layers(path, count, |_| StateKind::PagedKv { window: None })?,
        ..ModelSpec::plain(architecture)
    };
    if architecture == Architecture::DeepseekV3 {
        latent::read(shapes, &mut spec)?;
    } else {
        same_value_length(shapes, head_dim)?;
    }
    if architecture.is_hybrid() {
        delta_net::read(shapes, &mut spec)?;
    }
    if architecture == Architecture::Gemma4 {
        gemma4::read(shapes, &mut spec)?;
    }
    spec.rope = rope::read(shapes, &spec)?;
    details(shapes, &mut spec)?;
    windows(shapes, &mut spec)?;
    Ok(spec)
}

/// Models of experts alone may say only these experts' width.
fn ffn_size(shapes: &Shapes<'_>) -> Result<u32, CheckpointError> {
    match shapes.u32("feed_forward_length")? {
        Some(size) => Ok(size),
        None => match shapes.u32("expert_feed_forward_length")? {
            Some(size) => Ok(size),
            None => shapes.need_u32("feed_forward_length"),
        },
    }
}

fn same_value_length(shapes: &Shapes<'_>, head_dim: u32) -> Result<(), CheckpointError> {
    const FIELD: &str = "attention.value_length";
    if let Some(length) = shapes.u32(FIELD)?.filter(|length| *length != head_dim) {
        let expected = format!("the key length, {head_dim}");
        return Err(shapes.fields.bad(&shapes.key(FIELD), length, expected));
    }
    Ok(())
}

/// What a family has beside the common parts, most of it known by the family's name alone.
fn details(shapes: &Shapes<'_>, spec: &mut ModelSpec) -> Result<(), CheckpointError> {
    spec.experts = experts::read(shapes, spec.architecture)?;
    let known = matches!(
        spec.architecture,
        Architecture::Mixtral
            | Architecture::Qwen3Moe
            | Architecture::GptOss
            | Architecture::Glm4Moe
            | Architecture::DeepseekV3
            | Architecture::Qwen3Next
            | Architecture::Qwen35Moe
            | Architecture::Gemma4
    );
    if let (Some(experts), false) = (&spec.experts, known) {
        let expected = format!("0: {} has no experts", spec.architecture);
        return Err(shapes.fields.bad(&shapes.key("expert_count"), experts.count, expected));
    }
    match spec.architecture {
        Architecture::Gemma2 | Architecture::Gemma3 => gemma(shapes, spec)?,
        Architecture::Gemma4 => {
            spec.activation = Activation::GeluTanh;
            spec.embedding_scale = (spec.hidden_size as f32).sqrt();
            spec.logit_soft_cap = shapes.f32("final_logit_softcapping")?;
        }
        Architecture::Mistral => spec.attention.temperature = temperature(shapes)?,
        Architecture::GptOss => {
            spec.attention.output_bias = true;
            spec.attention.sinks = true;
            // Nowhere in the file; the numbers of the published model.
            spec.activation = Activation::ClampedSwiglu { alpha: 1.702, limit: 7.0 };
        }
        _ => {}
    }
    Ok(())
}

/// Ministral 3: its files give the slope, and the length where it is not YaRN's.
fn temperature(shapes: &Shapes<'_>) -> Result<Option<TemperatureSpec>, CheckpointError> {
    let slope = shapes.f32("attention.temperature_scale")?.filter(|slope| *slope != 0.0);
    let Some(slope) = slope else { return Ok(None) };
    let length = match shapes.u32("attention.temperature_length")?.filter(|length| *length > 0) {
        Some(length) => length,
        None => match shapes.u32("rope.scaling.original_context_length")? {
            Some(length) => length,
            None => shapes.need_u32("context_length")?,
        },
    };
    Ok(Some(TemperatureSpec { slope, length }))
}

fn gemma(shapes: &Shapes<'_>, spec: &mut ModelSpec) -> Result<(), CheckpointError> {
    spec.activation = Activation::GeluTanh;
    spec.embedding_scale = (spec.hidden_size as f32).sqrt();
    spec.logit_soft_cap = shapes.f32("final_logit_softcapping")?;
    spec.attention.soft_cap = shapes.f32("attn_logit_softcapping")?;
    // The file does not say the scale; the 27B models alone have another one.
    let wide = match spec.architecture {
        Architecture::Gemma2 => spec.layer_count() == 46,
        _ => spec.layer_count() == 62,
    };
    if wide {
        let length = spec.hidden_size as f32 / spec.attention.heads.max(1) as f32;
        spec.attention.scale = Some(1.0 / length.sqrt());
    }
    if spec.architecture == Architecture::Gemma3 {
        let theta = shapes.f32("rope.freq_base_swa")?.unwrap_or(10_000.0);
        spec.window_rope = Some(RopeSpec::plain(theta, spec.rope.dims));
    }
    Ok(())
}

fn windows(shapes: &Shapes<'_>, spec: &mut ModelSpec) -> Result<(), CheckpointError> {
    const FIELD: &str = "attention.sliding_window";
    const PATTERN: &str = "attention.sliding_window_pattern";
    let Some(length) = shapes.u32(FIELD)?.filter(|length| *length > 0) else {
        return Ok(());
    };
    // Every how many layers one attends to everything; 0 is never.
    let every = match spec.architecture {
        Architecture::Phi3 => 0_u32,
        Architecture::Gemma2 | Architecture::GptOss => 2,
        Architecture::Gemma3 => shapes.u32(PATTERN)?.unwrap_or(6),
        // Listed, and read with their heads.
        Architecture::Gemma4 => return Ok(()),
        _ => {
            let expected = format!("0: {} has no sliding window", spec.architecture);
            return Err(shapes.fields.bad(&shapes.key(FIELD), length, expected));
        }
    };
    for (i, layer) in (1..).zip(&mut spec.layers) {
        let full = every > 0 && i % every == 0;
        if !full {
            layer.state = StateKind::PagedKv { window: Some(length) };
        }
    }
    Ok(())
}

fn vocab_size(shapes: &Shapes<'_>, tokens: usize) -> Result<u32, CheckpointError> {
    if let Some(size) = shapes.u32("vocab_size")? {
        return Ok(size);
    }
    let rows = shapes.tensor("token_embd.weight").and_then(|t| t.shape.first().copied());
    let size = rows.unwrap_or(tokens as u64);
    let bad = |_| shapes.fields.bad(&shapes.key("vocab_size"), size, "a 32-bit number");
    u32::try_from(size).map_err(bad)
}
