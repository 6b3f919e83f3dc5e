//! What a model is, as far as planning and running it needs: shapes, state kinds and byte sizes.

use std::fmt;
use std::ops::Range;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use wincode::{SchemaRead, SchemaWrite};

use crate::ids::LayerIndex;
use crate::plan::KvPlan;

mod architecture;
mod attention;
mod delta_net;
mod experts;
mod rope;
mod share;

pub use architecture::Architecture;
pub use attention::{AttentionSpec, LatentSpec, TemperatureSpec};
pub use delta_net::{DeltaNetSpec, DeltaProjections};
pub use experts::{ExpertScores, ExpertSpec, Routing};
pub use rope::{RopeLayout, RopeScaling, RopeSpec};
pub use share::{ShareSlice, ShareUnits};

/// Shapes and sizes read from a checkpoint's header; the weights themselves stay where they are.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, SchemaWrite, SchemaRead, ToSchema)]
pub struct ModelSpec {
    pub architecture: Architecture,
    pub hidden_size: u32,
    /// Of the dense feed-forward layers.
    pub ffn_size: u32,
    /// Of those that read another layer's keys, where it is another (Gemma 4's E2B).
    pub reusing_ffn_size: Option<u32>,
    /// Width of what each layer gets of a token beside the residual, from a table and a projection
    /// of its own; 0 without one (Gemma 4's small models).
    pub per_layer_width: u32,
    pub vocab_size: u32,
    pub context_length: u32,
    pub attention: AttentionSpec,
    /// Of the layers with a window, where it is another (Gemma 4).
    pub window_attention: Option<AttentionSpec>,
    /// Of the layers with a recurrent state.
    pub delta_net: Option<DeltaNetSpec>,
    pub rope: RopeSpec,
    /// Of the layers with a window, where it is another (Gemma 3).
    pub window_rope: Option<RopeSpec>,
    pub norm_epsilon: f32,
    /// What is added to a norm's stored weights: 1 in Gemma's own files, whose GGUFs have it added.
    pub norm_offset: f32,
    pub activation: Activation,
    pub experts: Option<ExpertSpec>,
    /// Factor of the embedded rows.
    pub embedding_scale: f32,
    /// `cap * tanh(logit / cap)`
    pub logit_soft_cap: Option<f32>,
    pub share_units: ShareUnits,
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

/// What the gate of a feed-forward block goes through before it meets the other half.
#[derive(
    Clone, Copy, Debug, PartialEq, Serialize, Deserialize, SchemaWrite, SchemaRead, ToSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Activation {
    Silu,
    /// GELU by its tanh formula (Gemma).
    GeluTanh,
    /// `min(g, limit) * sigmoid(alpha * g) * (clamp(up, -limit, limit) + 1)` (gpt-oss).
    ClampedSwiglu {
        alpha: f32,
        limit: f32,
    },
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, SchemaWrite, SchemaRead, ToSchema)]
pub struct LayerSpec {
    pub state: StateKind,
    /// What all tensors of the layer take in memory, packed for products: a little more than in
    /// their file.
    pub weight_bytes: u64,
    /// Multiply-accumulates per token in the layer's matrices (attention scores not counted).
    pub macs_per_token: u64,
}

impl LayerSpec {
    /// Whether its state has a size of its own, however long a sequence is.
    pub fn is_recurrent(&self) -> bool {
        matches!(self.state, StateKind::Recurrent { .. })
    }
}

/// What a layer remembers of a sequence.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, SchemaWrite, SchemaRead, ToSchema,
)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum StateKind {
    /// Keys and values of every position, or of the last `window` ones.
    PagedKv { window: Option<u32> },
    /// Nothing of its own: it reads the keys and values of an earlier layer (Gemma 4's small
    /// models). No cut may come between the two.
    KvOf { layer: LayerIndex, window: Option<u32> },
    /// One vector per position that all heads read their keys and values from (MLA).
    PagedLatent { width: u32 },
    /// A fixed-size state in a slot of its own (gated delta net, Mamba-2, short convolutions).
    Recurrent { bytes: u64 },
}

/// How keys and values are stored.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    Serialize,
    Deserialize,
    SchemaWrite,
    SchemaRead,
    ToSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum KvType {
    #[default]
    F16,
    F32,
    Bf16,
    /// Codes of eight bits, an f16 scale for each 32.
    Q8_0,
}

impl KvType {
    /// Values that share a scale: a head is made of whole ones.
    pub fn block(self) -> u32 {
        if self == Self::Q8_0 { 32 } else { 1 }
    }

    /// Bytes that `values` take, which are whole blocks.
    pub fn bytes_of(self, values: u64) -> u64 {
        match self {
            Self::F16 | Self::Bf16 => values.saturating_mul(2),
            Self::F32 => values.saturating_mul(4),
            Self::Q8_0 => (values / 32).saturating_mul(34),
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
    ToSchema,
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

    /// Weight bytes that a stage of `range` holds, with the embedding and the head at the ends. A
    /// tied matrix that serves both ends of one stage counts once.
    pub fn stage_weight_bytes(&self, range: LayerRange) -> u64 {
        let layers: u64 = self.layers[range.indices()].iter().map(|l| l.weight_bytes).sum();
        let embedding = if self.embeds(range) { self.embedding_bytes } else { 0 };
        let head = if range.end.0 == self.layer_count() { self.head_bytes } else { 0 };
        let shared = if self.tied_embeddings { embedding.min(head) } else { 0 };
        layers + embedding + head - shared
    }

    /// Whether a stage of `range` needs the token embedding: the first, and all whose layers make
    /// something of the embedded token themselves.
    pub fn embeds(&self, range: LayerRange) -> bool {
        range.start.0 == 0 || self.per_layer_width > 0
    }

    /// Whether a stage may begin with `layer`: no layer from there on reads keys from before.
    pub fn can_cut(&self, layer: LayerIndex) -> bool {
        self.layers.iter().skip(layer.0 as usize).all(|later| match later.state {
            StateKind::KvOf { layer: source, .. } => source >= layer,
            _ => true,
        })
    }

    /// Bytes of state that one token takes in the pages of the layers of `range`.
    pub fn kv_bytes_per_token(&self, range: LayerRange, kv: KvType) -> u64 {
        let layers = &self.layers[range.indices()];
        kv.bytes_of(layers.iter().map(|layer| self.state_values(layer.state)).sum())
    }

    /// Whether the heads of all layers are made of whole blocks of `kv`.
    pub fn can_keep(&self, kv: KvType) -> bool {
        self.layers.iter().all(|layer| match layer.state {
            StateKind::PagedKv { window } => {
                self.attention_with(window).head_dim.is_multiple_of(kv.block())
            }
            StateKind::PagedLatent { width } => width.is_multiple_of(kv.block()),
            StateKind::KvOf { .. } | StateKind::Recurrent { .. } => true,
        })
    }

    /// Bytes of the slots that one sequence takes in the layers of `range`, however long it is.
    pub fn slot_bytes(&self, range: LayerRange) -> u64 {
        let bytes = |layer: &LayerSpec| match layer.state {
            StateKind::Recurrent { bytes } => bytes,
            _ => 0,
        };
        self.layers[range.indices()].iter().map(bytes).fold(0, u64::saturating_add)
    }

    /// Bytes of state on a stage of `range`: a pool of blocks for all sequences, a slot for each.
    pub fn state_bytes(&self, range: LayerRange, kv: &KvPlan) -> u64 {
        let tokens = u64::from(kv.blocks) * u64::from(kv.block_size);
        let pool = self.kv_bytes_per_token(range, kv.kv_type).saturating_mul(tokens);
        pool.saturating_add(self.slot_bytes(range).saturating_mul(kv.sequences_max.into()))
    }

    /// Whether some layer keeps a state in a slot.
    pub fn is_recurrent(&self) -> bool {
        self.layers.iter().any(LayerSpec::is_recurrent)
    }

    /// Values of a row that projections leave for more than attention: the gates of its output,
    /// all that a delta net makes of it, or what a feed-forward beside experts does.
    pub fn projected_width(&self) -> u64 {
        let gated = if self.attention.output_gate { self.attention.query_rows() } else { 0 };
        let both = self.experts.is_some_and(|experts| experts.beside_dense);
        let dense = if both { u64::from(self.hidden_size) } else { 0 };
        gated.max(dense).max(self.delta_net.map_or(0, |delta| delta.workspace_width()))
    }

    /// Values that one token adds to the pages of a layer.
    pub fn state_values(&self, state: StateKind) -> u64 {
        match state {
            StateKind::PagedKv { window } => 2 * self.attention_with(window).key_width(),
            StateKind::PagedLatent { width } => u64::from(width),
            StateKind::KvOf { .. } | StateKind::Recurrent { .. } => 0,
        }
    }

    /// Whether a layer's feed-forward is a mixture of experts.
    pub fn has_experts(&self, layer: LayerIndex) -> bool {
        self.experts.is_some_and(|experts| layer.0 >= experts.dense_layers)
    }

    /// The rotation of a layer's heads.
    pub fn rope_of(&self, layer: LayerIndex) -> &RopeSpec {
        let windowed = self.window_of(layer).is_some();
        self.window_rope.as_ref().filter(|_| windowed).unwrap_or(&self.rope)
    }

    /// The heads of a layer.
    pub fn attention_of(&self, layer: LayerIndex) -> &AttentionSpec {
        self.attention_with(self.window_of(layer))
    }

    /// The kinds of attention that its layers have.
    pub fn attentions(&self) -> impl Iterator<Item = &AttentionSpec> {
        std::iter::once(&self.attention).chain(&self.window_attention)
    }

    /// Positions that a row of a layer sees, if these are not all.
    pub fn window_of(&self, layer: LayerIndex) -> Option<u32> {
        match self.layers.get(layer.0 as usize)?.state {
            StateKind::PagedKv { window } | StateKind::KvOf { window, .. } => window,
            StateKind::PagedLatent { .. } | StateKind::Recurrent { .. } => None,
        }
    }

    fn attention_with(&self, window: Option<u32>) -> &AttentionSpec {
        self.window_attention.as_ref().filter(|_| window.is_some()).unwrap_or(&self.attention)
    }

    /// The layer whose keys and values a layer reads: its own, most often.
    pub fn kv_layer(&self, layer: LayerIndex) -> LayerIndex {
        match self.layers.get(layer.0 as usize).map(|layer| layer.state) {
            Some(StateKind::KvOf { layer, .. }) => layer,
            _ => layer,
        }
    }

    /// Width of a layer's dense feed-forward.
    pub fn ffn_size_of(&self, layer: LayerIndex) -> u32 {
        let reuses = self.kv_layer(layer) != layer;
        self.reusing_ffn_size.filter(|_| reuses).unwrap_or(self.ffn_size)
    }

    /// The widest feed-forward: dense, of one expert, or of the shared ones; or what passes for
    /// one, the layers' own input of a token.
    pub fn ffn_width_max(&self) -> u32 {
        let experts = self.experts.map_or(0, |e| e.ffn_size.max(e.shared_ffn_size));
        let dense = self.ffn_size.max(self.reusing_ffn_size.unwrap_or(0));
        dense.max(experts).max(self.per_layer_width)
    }

    /// Peak activation memory of a step of `tokens` rows on one stage, f32.
    ///
    /// Residual, normed input, q/k/v/attention output, gate/up/down of the MLP, and what routing
    /// to experts takes; on the last stage also `sampled` rows of logits.
    pub fn workspace_bytes(&self, tokens: u64, sampled: u64) -> u64 {
        let widest = |width: fn(&AttentionSpec) -> u64| self.attentions().map(width).max();
        let query = |a: &AttentionSpec| a.query_width().max(a.latent_query_width());
        let mut row = 4 * u64::from(self.hidden_size) + 3 * u64::from(self.ffn_width_max());
        row += 2 * widest(query).unwrap_or(0);
        row += 2 * widest(AttentionSpec::key_width).unwrap_or(0) + self.projected_width();
        if self.per_layer_width > 0 {
            row += u64::from(self.hidden_size);
        }
        if let Some(experts) = self.experts {
            row += 2 * u64::from(self.hidden_size) + u64::from(experts.count);
        }
        4 * (tokens * row + sampled * u64::from(self.vocab_size))
    }

    /// A model of no size, with what most families have in common: a base to fill in.
    pub fn plain(architecture: Architecture) -> Self {
        Self {
            architecture,
            hidden_size: 0,
            ffn_size: 0,
            reusing_ffn_size: None,
            per_layer_width: 0,
            vocab_size: 0,
            context_length: 0,
            attention: AttentionSpec::default(),
            window_attention: None,
            delta_net: None,
            rope: RopeSpec::plain(10_000.0, 0),
            window_rope: None,
            norm_epsilon: 1e-6,
            norm_offset: 0.0,
            activation: Activation::Silu,
            experts: None,
            embedding_scale: 1.0,
            logit_soft_cap: None,
            share_units: ShareUnits::default(),
            tied_embeddings: false,
            layers: Vec::new(),
            embedding_bytes: 0,
            head_bytes: 0,
            weight_label: String::new(),
        }
    }
}
