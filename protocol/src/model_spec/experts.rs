//! Feed-forward layers that are mixtures of experts.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use wincode::{SchemaRead, SchemaWrite};

#[derive(
    Clone, Copy, Debug, PartialEq, Serialize, Deserialize, SchemaWrite, SchemaRead, ToSchema,
)]
pub struct ExpertSpec {
    pub count: u32,
    /// Experts that a token goes through.
    pub used: u32,
    /// Width of one of them.
    pub ffn_size: u32,
    /// Width of the one that every token goes through; 0 if there is none.
    pub shared_ffn_size: u32,
    /// The shared one's result is multiplied by a sigmoid of its own (Qwen3-Next).
    pub shared_gate: bool,
    /// Every layer has a dense feed-forward as well, with norms of its own for each (Gemma 4).
    pub beside_dense: bool,
    /// Leading layers with a dense feed-forward.
    pub dense_layers: u32,
    /// Bias on the router and the experts' projections (gpt-oss).
    pub bias: bool,
    pub routing: Routing,
}

/// How a token's experts and their weights follow from the router's logits.
#[derive(
    Clone, Copy, Debug, PartialEq, Serialize, Deserialize, SchemaWrite, SchemaRead, ToSchema,
)]
pub struct Routing {
    pub scores: ExpertScores,
    /// A bias per expert counts for the choice, not for the weight (DeepSeek-V3).
    pub selection_bias: bool,
    /// Experts stand in this many groups of equal size, of which the best `groups_used` compete.
    pub groups: u32,
    pub groups_used: u32,
    /// The weights of the chosen are divided by their sum.
    pub normalise: bool,
    /// Factor of the weights.
    pub scale: f32,
}

/// What a logit becomes before experts are compared.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, SchemaWrite, SchemaRead, ToSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum ExpertScores {
    /// Over all experts.
    Softmax,
    Sigmoid,
}

impl Routing {
    /// Softmax, and the weights of the chosen add up to one (Mixtral).
    pub const SOFTMAX: Self = Self {
        scores: ExpertScores::Softmax,
        selection_bias: false,
        groups: 1,
        groups_used: 1,
        normalise: true,
        scale: 1.0,
    };
}
