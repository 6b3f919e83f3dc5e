//! The shape of attention, and what some families add to it.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use wincode::{SchemaRead, SchemaWrite};

#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Serialize,
    Deserialize,
    SchemaWrite,
    SchemaRead,
    ToSchema,
)]
pub struct AttentionSpec {
    pub heads: u32,
    pub kv_heads: u32,
    pub head_dim: u32,
    /// Bias on the q, k and v projections (Qwen2).
    pub qkv_bias: bool,
    /// Bias on the output projection (gpt-oss).
    pub output_bias: bool,
    /// Each head of q and k is normalised before it rotates (Qwen3, Gemma 3).
    pub qk_norm: bool,
    /// Each head of v is normalised, without weights (Gemma 4).
    pub value_norm: bool,
    /// Values are the projected keys, before their norm and rotation (Gemma 4's full layers).
    pub values_are_keys: bool,
    /// The projection of q has a gate behind each head, whose sigmoid the head's result is
    /// multiplied by (Qwen3-Next).
    pub output_gate: bool,
    /// A logit per head that takes its share of the softmax and adds nothing (gpt-oss).
    pub sinks: bool,
    /// Factor of the scores; `None` stands for 1 / sqrt(head_dim).
    pub scale: Option<f32>,
    /// Queries grow with their position (Ministral 3).
    pub temperature: Option<TemperatureSpec>,
    /// `cap * tanh(score / cap)` before the softmax (Gemma 2).
    pub soft_cap: Option<f32>,
    /// Keys and values are made from a shared vector (MLA); `head_dim` is then the one of q.
    pub latent: Option<LatentSpec>,
}

/// Queries are multiplied by `1 + slope * ln(1 + floor(position / length))`, as in Llama 4.
#[derive(
    Clone, Copy, Debug, PartialEq, Serialize, Deserialize, SchemaWrite, SchemaRead, ToSchema,
)]
pub struct TemperatureSpec {
    pub slope: f32,
    pub length: u32,
}

impl TemperatureSpec {
    pub fn factor(&self, position: u32) -> f32 {
        let turns = f64::from(position / self.length.max(1));
        // Computed wider and rounded once, to be the same on every machine.
        (1.0 + f64::from(self.slope) * (1.0 + turns).ln()) as f32
    }
}

/// Sizes of multi-head latent attention (DeepSeek-V2, arXiv 2405.04434).
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, SchemaWrite, SchemaRead, ToSchema,
)]
pub struct LatentSpec {
    /// Width that the input is squeezed to before q; 0 where q comes from the input itself.
    pub query_rank: u32,
    /// Width of the vector that keys and values are made from.
    pub rank: u32,
    /// Elements of a head that do not rotate, beside the `rope_dim` that do.
    pub plain_dim: u32,
    pub rope_dim: u32,
    pub value_dim: u32,
    /// The matrices to keys and values are stored apart, the former transposed (newer GGUFs).
    pub split_keys: bool,
}

impl AttentionSpec {
    /// Heads in groups, as most families have them.
    pub fn grouped(heads: u32, kv_heads: u32, head_dim: u32) -> Self {
        Self { heads, kv_heads, head_dim, ..Self::default() }
    }

    /// Query heads that read the same keys.
    pub fn heads_per_kv_head(&self) -> u32 {
        self.heads.checked_div(self.kv_heads).unwrap_or(0)
    }

    /// Length of a head's value.
    pub fn value_dim(&self) -> u32 {
        self.latent.map_or(self.head_dim, |latent| latent.value_dim)
    }

    /// Values of all q heads of a token.
    pub fn query_width(&self) -> u64 {
        u64::from(self.heads) * u64::from(self.head_dim)
    }

    /// Rows of a head in the projection of q.
    pub fn query_rows_per_head(&self) -> u32 {
        self.head_dim.saturating_mul(if self.output_gate { 2 } else { 1 })
    }

    /// Rows of the projection of q.
    pub fn query_rows(&self) -> u64 {
        u64::from(self.heads) * u64::from(self.query_rows_per_head())
    }

    /// Values of all k heads of a token, and as many of v.
    pub fn key_width(&self) -> u64 {
        u64::from(self.kv_heads) * u64::from(self.head_dim)
    }

    /// Values of all q heads as they meet the shared vector; 0 without one.
    pub fn latent_query_width(&self) -> u64 {
        self.latent
            .map_or(0, |l| u64::from(self.heads) * (u64::from(l.rank) + u64::from(l.rope_dim)))
    }

    /// What scores are multiplied by.
    pub fn score_scale(&self) -> f32 {
        self.scale.unwrap_or_else(|| 1.0 / (self.head_dim as f32).sqrt())
    }
}
