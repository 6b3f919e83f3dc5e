//! What a model is, as far as planning and running it needs: shapes, state kinds and byte sizes.

use std::fmt;
use std::ops::Range;

use serde::{Deserialize, Serialize};
use wincode::{SchemaRead, SchemaWrite};

use crate::ids::LayerIndex;

/// Shapes and sizes read from a checkpoint's header; the weights themselves stay where they are.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, SchemaWrite, SchemaRead)]
pub struct ModelSpec {
    pub architecture: Architecture,
    pub hidden_size: u32,
    pub ffn_size: u32,
    pub vocab_size: u32,
    pub context_length: u32,
    pub attention: AttentionSpec,
    pub rope: RopeSpec,
    pub norm_epsilon: f32,
    /// The head reuses the embedding matrix: both ends of a pipeline hold it.
    pub tied_embeddings: bool,
    pub layers: Vec<LayerSpec>,
    /// Token embedding as stored, held by the first stage.
    pub embedding_bytes: u64,
    /// Output norm and head as held by the last stage (a tied head counts again there).
    pub head_bytes: u64,
    /// How the weights are stored, for people, e.g. `Q4_K_M` or `BF16`.
    pub weight_label: String,
}

/// Model families that have a recipe in `engine/src/models`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, SchemaWrite, SchemaRead)]
#[serde(rename_all = "snake_case")]
pub enum Architecture {
    Llama,
    Qwen2,
}

impl Architecture {
    pub const ALL: [Self; 2] = [Self::Llama, Self::Qwen2];

    pub fn name(self) -> &'static str {
        match self {
            Self::Llama => "llama",
            Self::Qwen2 => "qwen2",
        }
    }
}

impl fmt::Display for Architecture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, SchemaWrite, SchemaRead)]
pub struct AttentionSpec {
    pub heads: u32,
    pub kv_heads: u32,
    pub head_dim: u32,
    /// Bias on the q, k and v projections (Qwen2).
    pub qkv_bias: bool,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, SchemaWrite, SchemaRead)]
pub struct RopeSpec {
    pub theta: f32,
    pub scaling: RopeScaling,
    pub layout: RopeLayout,
}

/// Which two elements of a head rotate together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, SchemaWrite, SchemaRead)]
#[serde(rename_all = "snake_case")]
pub enum RopeLayout {
    /// Element i with i + dim/2: Hugging Face weights, and Qwen2 in GGUF.
    HalfSplit,
    /// Element 2i with 2i + 1: Llama in GGUF, whose q and k rows are permuted for it.
    Interleaved,
}

/// How rotation frequencies are stretched beyond the trained context.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, SchemaWrite, SchemaRead)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum RopeScaling {
    None,
    Linear {
        factor: f32,
    },
    /// Llama 3.1's frequency-dependent scaling (`rope_type: llama3` in `config.json`).
    Llama3 {
        factor: f32,
        low_freq_factor: f32,
        high_freq_factor: f32,
        original_context_length: u32,
    },
    /// A divisor per frequency, read from a GGUF's `rope_freqs.weight`; head_dim / 2 values.
    FrequencyFactors {
        factors: Vec<f32>,
    },
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, SchemaWrite, SchemaRead)]
pub struct LayerSpec {
    pub state: StateKind,
    /// All tensors of the layer, as stored.
    pub weight_bytes: u64,
    /// Multiply-accumulates per token in the layer's matrices (attention scores not counted).
    pub macs_per_token: u64,
}

/// What a layer remembers of a sequence.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, SchemaWrite, SchemaRead)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum StateKind {
    /// Keys and values of every position, or of the last `window` ones.
    PagedKv { window: Option<u32> },
    /// A fixed-size state in a slot of its own (gated delta net, Mamba-2, short convolutions).
    Recurrent { bytes: u64 },
}

/// How keys and values are stored.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, SchemaWrite, SchemaRead,
)]
#[serde(rename_all = "lowercase")]
pub enum KvType {
    #[default]
    F16,
    F32,
}

impl KvType {
    pub fn bytes(self) -> u64 {
        match self {
            Self::F16 => 2,
            Self::F32 => 4,
        }
    }
}

/// A contiguous run of layers, half open.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    SchemaWrite,
    SchemaRead,
)]
pub struct LayerRange {
    pub start: LayerIndex,
    pub end: LayerIndex,
}

impl LayerRange {
    pub fn new(start: u32, end: u32) -> Self {
        Self { start: LayerIndex(start), end: LayerIndex(end) }
    }

    pub fn indices(self) -> Range<usize> {
        self.start.0 as usize..self.end.0 as usize
    }

    pub fn count(self) -> u32 {
        self.end.0.saturating_sub(self.start.0)
    }
}

impl fmt::Display for LayerRange {
    /// `L0-7`, both ends included, as people count layers.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "L{}-{}", self.start, self.end.0.saturating_sub(1))
    }
}

impl ModelSpec {
    pub fn layer_count(&self) -> u32 {
        self.layers.len() as u32
    }

    pub fn all_layers(&self) -> LayerRange {
        LayerRange::new(0, self.layer_count())
    }

    /// Weight bytes that a stage of `range` holds, with the embedding and the head at the ends.
    pub fn stage_weight_bytes(&self, range: LayerRange) -> u64 {
        let layers: u64 = self.layers[range.indices()].iter().map(|l| l.weight_bytes).sum();
        let embedding = if range.start.0 == 0 { self.embedding_bytes } else { 0 };
        let head = if range.end.0 == self.layer_count() { self.head_bytes } else { 0 };
        layers + embedding + head
    }

    /// Bytes of keys and values that one token takes in the layers of `range`.
    pub fn kv_bytes_per_token(&self, range: LayerRange, kv: KvType) -> u64 {
        let row = 2 * u64::from(self.attention.kv_heads) * u64::from(self.attention.head_dim);
        let paged = self.layers[range.indices()]
            .iter()
            .filter(|l| matches!(l.state, StateKind::PagedKv { .. }))
            .count() as u64;
        paged * row * kv.bytes()
    }

    /// Peak activation memory of a step of `tokens` rows on one stage, f32.
    ///
    /// Residual, normed input, q/k/v/attention output, gate/up/down of the MLP; on the last stage
    /// also `sampled` rows of logits.
    pub fn workspace_bytes(&self, tokens: u64, sampled: u64) -> u64 {
        let attention = self.attention;
        let q = u64::from(attention.heads) * u64::from(attention.head_dim);
        let kv = u64::from(attention.kv_heads) * u64::from(attention.head_dim);
        let row = 4 * u64::from(self.hidden_size) + 2 * q + 2 * kv + 3 * u64::from(self.ffn_size);
        4 * (tokens * row + sampled * u64::from(self.vocab_size))
    }
}
