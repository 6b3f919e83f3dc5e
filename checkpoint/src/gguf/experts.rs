//! Mixtures of experts in a GGUF file's fields.

use protocol::model_spec::{Architecture, ExpertScores, ExpertSpec, Routing};

use super::shapes::Shapes;
use crate::error::CheckpointError;

/// `expert_gating_func` of sigmoid scores (`LLAMA_EXPERT_GATING_FUNC_TYPE_SIGMOID`).
const SIGMOID: u32 = 2;

pub(super) fn read(
    shapes: &Shapes<'_>,
    architecture: Architecture,
) -> Result<Option<ExpertSpec>, CheckpointError> {
    let Some(count) = shapes.u32("expert_count")?.filter(|count| *count > 0) else {
        return Ok(None);
    };
    let ffn_size = match shapes.u32("expert_feed_forward_length")? {
        Some(width) => width,
        None => shapes.need_u32("feed_forward_length")?,
    };
    let grouped = matches!(architecture, Architecture::Glm4Moe | Architecture::DeepseekV3);
    let shared = if grouped { shapes.u32("expert_shared_count")?.unwrap_or(0) } else { 0 };
    let gated_shared_size = match architecture.is_hybrid() {
        true => shapes.u32("expert_shared_feed_forward_length")?.unwrap_or(ffn_size),
        false => 0,
    };
    Ok(Some(ExpertSpec {
        count,
        used: shapes.need_u32("expert_used_count")?,
        ffn_size,
        shared_ffn_size: ffn_size.saturating_mul(shared).max(gated_shared_size),
        shared_gate: gated_shared_size > 0,
        beside_dense: architecture == Architecture::Gemma4,
        dense_layers: shapes.u32("leading_dense_block_count")?.unwrap_or(0),
        bias: architecture == Architecture::GptOss,
        routing: if grouped { grouped_routing(shapes)? } else { Routing::SOFTMAX },
    }))
}

fn grouped_routing(shapes: &Shapes<'_>) -> Result<Routing, CheckpointError> {
    const FUNCTION: &str = "expert_gating_func";
    if let Some(number) = shapes.u32(FUNCTION)?.filter(|number| *number != SIGMOID) {
        return Err(shapes.fields.bad(&shapes.key(FUNCTION), number, "2 (sigmoid)"));
    }
    Ok(Routing {
        scores: ExpertScores::Sigmoid,
        selection_bias: shapes.has("exp_probs_b.bias"),
        groups: shapes.u32("expert_group_count")?.unwrap_or(1),
        groups_used: shapes.u32("expert_group_used_count")?.unwrap_or(1),
        normalise: shapes.fields.bool(&shapes.key("expert_weights_norm"))?.unwrap_or(true),
        scale: shapes.f32("expert_weights_scale")?.unwrap_or(1.0),
    })
}
