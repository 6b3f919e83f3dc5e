//! What a family's attention and feed-forward have beside the common parts.

use protocol::model_spec::{Activation, Architecture, ModelSpec};

use super::{experts, gemma4, latent};
use crate::error::CheckpointError;
use crate::hugging_face::json_file::Fields;
use crate::hugging_face::rope_config;

pub(super) fn read(fields: &Fields<'_>, spec: &mut ModelSpec) -> Result<(), CheckpointError> {
    match spec.architecture {
        Architecture::Llama | Architecture::Phi3 => {}
        Architecture::Mistral => spec.attention.temperature = rope_config::temperature(fields)?,
        Architecture::Qwen2 => spec.attention.qkv_bias = true,
        Architecture::Qwen3 => spec.attention.qk_norm = true,
        Architecture::Gemma2 | Architecture::Gemma3 => gemma(fields, spec)?,
        Architecture::Gemma4 => gemma4::read(fields, spec)?,
        Architecture::Mixtral => spec.experts = Some(experts::mixtral(fields, spec)?),
        Architecture::Qwen3Moe => {
            spec.attention.qk_norm = true;
            spec.experts = Some(experts::qwen3(fields)?);
        }
        Architecture::GptOss => gpt_oss(fields, spec)?,
        Architecture::Qwen35 => {}
        Architecture::Qwen3Next | Architecture::Qwen35Moe => {
            spec.experts = Some(experts::qwen3_next(fields, spec.architecture)?);
        }
        Architecture::Glm4Moe => {
            spec.attention.qkv_bias = fields.bool("attention_bias")?.unwrap_or(false);
            spec.attention.qk_norm = fields.bool("use_qk_norm")?.unwrap_or(false);
            spec.experts = Some(experts::grouped(fields)?);
        }
        Architecture::DeepseekV3 => {
            latent::read(fields, spec)?;
            spec.experts = Some(experts::grouped(fields)?);
        }
    }
    refuse_unknown(fields, spec)
}

fn gemma(fields: &Fields<'_>, spec: &mut ModelSpec) -> Result<(), CheckpointError> {
    if fields.bool("use_bidirectional_attention")? == Some(true) {
        return Err(fields.bad("use_bidirectional_attention", true, "false"));
    }
    spec.activation = Activation::GeluTanh;
    spec.norm_offset = 1.0;
    spec.embedding_scale = (spec.hidden_size as f32).sqrt();
    // Published configurations may leave it out: the classes tie it then.
    spec.tied_embeddings = fields.bool("tie_word_embeddings")?.unwrap_or(true);
    spec.logit_soft_cap = fields.f32("final_logit_softcapping")?;
    let attention = &mut spec.attention;
    attention.soft_cap = fields.f32("attn_logit_softcapping")?;
    attention.qk_norm = spec.architecture == Architecture::Gemma3;
    let divisor = fields.f32("query_pre_attn_scalar")?.unwrap_or(256.0);
    attention.scale = Some(1.0 / divisor.sqrt());
    Ok(())
}

fn gpt_oss(fields: &Fields<'_>, spec: &mut ModelSpec) -> Result<(), CheckpointError> {
    let bias = fields.bool("attention_bias")?.unwrap_or(true);
    let attention = &mut spec.attention;
    (attention.qkv_bias, attention.output_bias, attention.sinks) = (bias, bias, true);
    // The published code's numbers, which older configurations leave out.
    let alpha = fields.f32("swiglu_alpha")?.unwrap_or(1.702);
    let limit = fields.f32("swiglu_limit")?.unwrap_or(7.0);
    spec.activation = Activation::ClampedSwiglu { alpha, limit };
    spec.experts = Some(experts::gpt_oss(fields, spec)?);
    Ok(())
}

/// Settings that change the computation in a way that no recipe of ours knows.
fn refuse_unknown(fields: &Fields<'_>, spec: &ModelSpec) -> Result<(), CheckpointError> {
    let wanted = match spec.activation {
        Activation::GeluTanh => "gelu_pytorch_tanh",
        _ => "silu",
    };
    // Gemma's older files say `gelu` in one field and mean the other.
    let field =
        if fields.get("hidden_activation").is_some() { "hidden_activation" } else { "hidden_act" };
    if let Some(name) = fields.string(field)?.filter(|name| *name != wanted) {
        return Err(fields.bad(field, name, wanted));
    }
    if fields.bool("mlp_bias")? == Some(true) {
        return Err(fields.bad("mlp_bias", true, "false"));
    }
    let knows_bias = matches!(spec.architecture, Architecture::Glm4Moe | Architecture::GptOss);
    if fields.bool("attention_bias")? == Some(true) && !knows_bias {
        let expected = "false: a bias on the attention's output is not supported";
        return Err(fields.bad("attention_bias", true, expected));
    }
    Ok(())
}
