//! The shape of gated delta net layers (Yang et al., "Gated Delta Networks", arXiv 2412.06464).

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use wincode::{SchemaRead, SchemaWrite};

/// Sizes of a layer whose state is a matrix per value head, and how its weights are stored.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, SchemaWrite, SchemaRead, ToSchema,
)]
pub struct DeltaNetSpec {
    /// Heads of queries and of keys; several value heads share one.
    pub key_heads: u32,
    pub value_heads: u32,
    pub key_dim: u32,
    pub value_dim: u32,
    /// Positions that the causal convolution before the heads sees, its own included.
    pub conv_taps: u32,
    pub projections: DeltaProjections,
    /// Value head i belongs to key head `i % key_heads`; else those of a key head are neighbours.
    pub tiled_values: bool,
    /// Decay rates are stored as the logarithms of their sizes, `ssm_a_log`; else as negative
    /// numbers, `ssm_a`.
    pub log_decay: bool,
}

/// Which matrices make a layer's q, k, v, output gates z, write rates b and decays a of its input.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, SchemaWrite, SchemaRead, ToSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum DeltaProjections {
    /// `ssm_in` and `ssm_ba`: rows q, k, v, z and rows b, a of each key head together.
    Joined,
    /// `attn_qkv` (all q, all k, all v), `attn_gate` (z), and `ssm_ba` as above.
    JoinedGates,
    /// `attn_qkv`, `attn_gate`, `ssm_beta` and `ssm_alpha`.
    Separate,
}

impl DeltaNetSpec {
    /// Values of all q heads of a token, and as many of k.
    pub fn key_width(&self) -> u64 {
        u64::from(self.key_heads) * u64::from(self.key_dim)
    }

    /// Values of all v heads of a token.
    pub fn value_width(&self) -> u64 {
        u64::from(self.value_heads) * u64::from(self.value_dim)
    }

    /// Values of a token that go through the convolution: q, k and v.
    pub fn conv_width(&self) -> u64 {
        self.key_width().saturating_mul(2).saturating_add(self.value_width())
    }

    /// Bytes of a sequence's state, in f32: what the convolution still needs, and a matrix of
    /// `key_dim` x `value_dim` per value head.
    pub fn state_bytes(&self) -> u64 {
        let past = self.conv_width().saturating_mul(self.conv_taps.saturating_sub(1).into());
        let matrices = self.value_width().saturating_mul(self.key_dim.into());
        past.saturating_add(matrices).saturating_mul(4)
    }

    /// Values of a row in all projections.
    pub fn projected_width(&self) -> u64 {
        let gates = 2 * u64::from(self.value_heads);
        self.conv_width().saturating_add(self.value_width()).saturating_add(gates)
    }

    /// Values of a row in a stage's buffers: projections, and the heads' results twice.
    pub fn workspace_width(&self) -> u64 {
        self.projected_width().saturating_add(self.value_width().saturating_mul(2))
    }
}
