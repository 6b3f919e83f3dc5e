//! Mixtures of experts, in the fields of each family.

use protocol::model_spec::{Architecture, ExpertScores, ExpertSpec, ModelSpec, Routing};
use serde_json::Value;

use crate::error::CheckpointError;
use crate::hugging_face::json_file::Fields;

type Found = Result<ExpertSpec, CheckpointError>;

pub(super) fn mixtral(fields: &Fields<'_>, spec: &ModelSpec) -> Found {
    Ok(ExpertSpec { ffn_size: spec.ffn_size, ..softmax(fields)? })
}

pub(super) fn gpt_oss(fields: &Fields<'_>, spec: &ModelSpec) -> Found {
    Ok(ExpertSpec { ffn_size: spec.ffn_size, bias: true, ..softmax(fields)? })
}

pub(super) fn qwen3(fields: &Fields<'_>) -> Found {
    if let Some(step) = fields.u32("decoder_sparse_step")?.filter(|step| *step != 1) {
        return Err(fields.bad("decoder_sparse_step", step, "1"));
    }
    match fields.get("mlp_only_layers") {
        None => {}
        Some(Value::Array(layers)) if layers.is_empty() => {}
        Some(other) => return Err(fields.bad("mlp_only_layers", other, "an empty list")),
    }
    let normalise = fields.bool("norm_topk_prob")?.unwrap_or(false);
    let routing = Routing { normalise, ..Routing::SOFTMAX };
    Ok(ExpertSpec {
        ffn_size: fields.need_u32("moe_intermediate_size")?,
        routing,
        ..softmax(fields)?
    })
}

/// Qwen3-Next and Qwen3.5: one more expert for all rows, with a gate. Qwen3.5 always normalises.
pub(super) fn qwen3_next(fields: &Fields<'_>, architecture: Architecture) -> Found {
    let mut experts = qwen3(fields)?;
    experts.routing.normalise |= architecture == Architecture::Qwen35Moe;
    experts.shared_ffn_size = fields.need_u32("shared_expert_intermediate_size")?;
    experts.shared_gate = true;
    Ok(experts)
}

/// Gemma 4: beside a dense feed-forward in every layer.
pub(super) fn gemma4(fields: &Fields<'_>) -> Found {
    let ffn_size = fields.need_u32("moe_intermediate_size")?;
    Ok(ExpertSpec { ffn_size, beside_dense: true, ..softmax(fields)? })
}

/// GLM-4.5 and DeepSeek-V3: sigmoid scores with a bias for the choice, groups, a shared expert.
pub(super) fn grouped(fields: &Fields<'_>) -> Found {
    if let Some(name) = fields.string("scoring_func")?.filter(|name| *name != "sigmoid") {
        return Err(fields.bad("scoring_func", name, "sigmoid"));
    }
    if let Some(step) = fields.u32("moe_layer_freq")?.filter(|step| *step != 1) {
        return Err(fields.bad("moe_layer_freq", step, "1"));
    }
    let ffn_size = fields.need_u32("moe_intermediate_size")?;
    let shared = fields.u32("n_shared_experts")?.unwrap_or(0);
    let routing = Routing {
        scores: ExpertScores::Sigmoid,
        selection_bias: true,
        groups: fields.u32("n_group")?.unwrap_or(1),
        groups_used: fields.u32("topk_group")?.unwrap_or(1),
        normalise: fields.bool("norm_topk_prob")?.unwrap_or(true),
        scale: fields.f32("routed_scaling_factor")?.unwrap_or(1.0),
    };
    Ok(ExpertSpec {
        ffn_size,
        shared_ffn_size: ffn_size.saturating_mul(shared),
        dense_layers: fields.u32("first_k_dense_replace")?.unwrap_or(0),
        routing,
        ..softmax(fields)?
    })
}

/// The numbers that every mixture has, under the names that they go by.
fn softmax(fields: &Fields<'_>) -> Found {
    let first = |names: &[&str]| -> Result<u32, CheckpointError> {
        for name in names {
            if let Some(value) = fields.u32(name)? {
                return Ok(value);
            }
        }
        Err(fields.missing(names[0]))
    };
    Ok(ExpertSpec {
        count: first(&["num_local_experts", "num_experts", "n_routed_experts"])?,
        used: first(&["num_experts_per_tok", "top_k_experts"])?,
        ffn_size: 0,
        shared_ffn_size: 0,
        shared_gate: false,
        beside_dense: false,
        dense_layers: 0,
        bias: false,
        routing: Routing::SOFTMAX,
    })
}
