//! Which part of a model a stage holds, and how much state it keeps.

use protocol::ids::LayerIndex;
use protocol::limits::STEP_TOKENS_MAX;
use protocol::model_spec::{
    AttentionSpec, DeltaNetSpec, KvType, LayerRange, ModelSpec, RopeSpec, StateKind,
};
use protocol::plan::{ActivationType, KvPlan, Share};

use crate::error::EngineError;
use crate::kernels::attention::KEY_GROUP;
use crate::kernels::delta_rule::VALUE_GROUP;

/// Tokens per block of a stage that nobody planned.
const BLOCK_SIZE: u32 = 16;
/// Rows per step of a stage that nobody planned.
const STEP_TOKENS: u32 = 256;

/// Far above any model's; bounds what is allocated before a tensor's shape is seen.
const HEAD_DIM_MAX: u32 = 1024;
const EXPERTS_MAX: u32 = 4096;
/// Of a row in any buffer.
pub(crate) const WIDTH_MAX: u64 = 1 << 24;

/// The stage's part of a plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StageConfig {
    pub layers: LayerRange,
    pub kv: KvPlan,
    /// Every layer's result is rounded to this, whether or not it crosses a wire.
    pub activation: ActivationType,
    pub share: Share,
}

impl StageConfig {
    /// All layers in one process, for one sequence of up to `context_length` tokens.
    pub fn whole_model(spec: &ModelSpec, context_length: u32, kv_type: KvType) -> Self {
        let context_length = context_length.clamp(1, spec.context_length.max(1));
        Self {
            layers: spec.all_layers(),
            kv: KvPlan {
                kv_type,
                block_size: BLOCK_SIZE,
                blocks: context_length.div_ceil(BLOCK_SIZE),
                context_length,
                sequences_max: 1,
                step_tokens_max: context_length.min(STEP_TOKENS),
            },
            activation: ActivationType::F32,
            share: Share::WHOLE,
        }
    }

    /// The stage has no other rank.
    pub(crate) fn is_whole(&self) -> bool {
        self.share.units == self.share.of
    }

    /// Everything that loading and running rely on.
    pub fn check(&self, spec: &ModelSpec) -> Result<(), EngineError> {
        let (range, layers) = (self.layers, spec.layer_count());
        if range.start >= range.end || range.end.0 > layers {
            return Err(EngineError::BadLayerRange { range, layers });
        }
        let Share { start, units, of } = self.share;
        if units == 0 || start.checked_add(units).is_none_or(|end| end > of) {
            return Err(EngineError::BadShare(self.share));
        }
        for index in range.indices() {
            let state = spec.layers[index].state;
            let latent = spec.attention.latent.map(|l| l.rank.saturating_add(l.rope_dim));
            if let StateKind::KvOf { layer: source_layer, .. } = state
                && source_layer < range.start
            {
                let layer = LayerIndex(index as u32);
                return Err(EngineError::CutFromKeys { layer, source_layer, range });
            }
            let runs = match state {
                StateKind::KvOf { layer, window } => {
                    let kept = spec.layers[..index].get(layer.0 as usize).map(|layer| layer.state);
                    kept == Some(StateKind::PagedKv { window })
                }
                StateKind::PagedKv { window } => latent.is_none() && window != Some(0),
                StateKind::PagedLatent { width } => latent == Some(width),
                StateKind::Recurrent { bytes } => {
                    spec.delta_net.is_some_and(|delta| delta.state_bytes() == bytes)
                }
            };
            if !runs {
                let layer = LayerIndex(index as u32);
                return Err(EngineError::UnsupportedState { layer, state });
            }
        }
        self.check_sizes(spec)
    }

    fn check_sizes(&self, spec: &ModelSpec) -> Result<(), EngineError> {
        let positive = [
            ("hidden_size", spec.hidden_size),
            ("ffn_size", spec.ffn_size),
            ("vocab_size", spec.vocab_size),
            ("block_size", self.kv.block_size),
            ("blocks", self.kv.blocks),
            ("context_length", self.kv.context_length),
            ("sequences_max", self.kv.sequences_max),
            ("step_tokens_max", self.kv.step_tokens_max),
        ];
        let bad = |field, value: u32, expected| {
            Err(EngineError::BadSpec { field, value: u64::from(value), expected })
        };
        if let Some((field, value)) = positive.into_iter().find(|(_, value)| *value == 0) {
            return bad(field, value, "expected at least 1");
        }
        let windowed = spec.window_attention.as_ref().unwrap_or(&spec.attention);
        check_heads(&spec.attention, &spec.rope)?;
        check_heads(windowed, spec.window_rope.as_ref().unwrap_or(&spec.rope))?;
        if let Some(delta) = spec.delta_net {
            check_delta_net(&delta)?;
        }
        if let Some(experts) = spec.experts {
            let fits = experts.count <= EXPERTS_MAX && experts.used <= experts.count;
            if !fits || experts.routing.groups == 0 {
                return bad("experts", experts.count, "expected at most 4096, in groups");
            }
        }
        if !(self.kv.block_size as usize).is_multiple_of(KEY_GROUP) {
            return bad("block_size", self.kv.block_size, "expected a multiple of 16");
        }
        if !spec.can_keep(self.kv.kv_type) {
            let expected = "expected a multiple of 32 for q8_0 KV";
            return bad("head_dim", spec.attention.head_dim, expected);
        }
        if self.kv.step_tokens_max as usize > STEP_TOKENS_MAX {
            return bad("step_tokens_max", self.kv.step_tokens_max, "expected at most 4096");
        }
        Ok(())
    }
}

/// Of the layers of one kind.
fn check_heads(attention: &AttentionSpec, rope: &RopeSpec) -> Result<(), EngineError> {
    let bad = |field, value: u32, expected| {
        Err(EngineError::BadSpec { field, value: u64::from(value), expected })
    };
    let (heads, dim) = (attention.heads, attention.head_dim);
    if attention.kv_heads == 0 || !heads.is_multiple_of(attention.kv_heads) || heads == 0 {
        return bad("heads", heads, "expected a multiple of kv_heads, at least 1");
    }
    let whole = attention.latent.map_or(dim, |latent| latent.rope_dim);
    if !rope.dims.is_multiple_of(2) || rope.dims == 0 || rope.dims > whole {
        return bad("rotated elements", rope.dims, "expected an even part of a head");
    }
    if dim == 0 || dim > HEAD_DIM_MAX {
        return bad("head_dim", dim, "expected 1 to 1024");
    }
    let widths = [attention.query_width(), attention.latent_query_width()];
    if widths.into_iter().any(|width| width > WIDTH_MAX) {
        return bad("heads", heads, "expected at most 16777216 values of all heads");
    }
    Ok(())
}

fn check_delta_net(delta: &DeltaNetSpec) -> Result<(), EngineError> {
    let bad = |field, value: u32, expected| {
        Err(EngineError::BadSpec { field, value: u64::from(value), expected })
    };
    if delta.key_dim == 0 || delta.conv_taps == 0 {
        return bad("linear key length", delta.key_dim, "expected at least 1, as of the taps");
    }
    if delta.key_heads == 0 || !delta.value_heads.is_multiple_of(delta.key_heads) {
        return bad("linear value heads", delta.value_heads, "expected a multiple of key heads");
    }
    if delta.value_dim == 0 || !(delta.value_dim as usize).is_multiple_of(VALUE_GROUP) {
        return bad("linear value length", delta.value_dim, "expected a multiple of 16");
    }
    if delta.workspace_width() > WIDTH_MAX {
        return bad("linear value heads", delta.value_heads, "expected at most 16777216 values");
    }
    Ok(())
}
