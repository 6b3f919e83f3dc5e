//! The block of all attention decoders on the CPU: what it adds is a sum over a group's ranks.

use super::attention::{Attention, Tile};
use super::delta_net::DeltaNet;
use super::feed_forward::FeedForward;
use super::latent_attention::LatentAttention;
use super::rms_norm::RmsNorm;
use crate::error::EngineError;
use crate::kernels::cpu;
use crate::models::{Made, ResidualBlock};
use crate::state::SequenceState;
use crate::workspace::{TileRows, TileSpace};

/// Layers in host memory.
pub(crate) enum Cpu {}

impl Made for Cpu {
    type Norm = RmsNorm;
    type Attention = AttentionKind;
    type FeedForward = FeedForward;
}

pub(crate) enum AttentionKind {
    Grouped(Attention),
    Latent(LatentAttention),
    DeltaNet(Box<DeltaNet>),
    /// The first rank of the group has it.
    Elsewhere,
}

impl ResidualBlock<Cpu> {
    /// `hidden` is `[rows, hidden]`; `layer` counts the stage's own layers.
    pub(crate) fn forward(
        &self,
        hidden: &mut [f32],
        tile: &Tile<'_>,
        layer: usize,
        state: &mut SequenceState,
        space: &mut TileSpace,
    ) -> Result<(), EngineError> {
        let mut space = space.of_rows(tile.rows.len());
        self.attention_norm.forward(hidden, space.normed);
        match &self.attention {
            AttentionKind::Grouped(attention) => {
                attention.forward(tile, layer, &mut state.pool, &mut space);
            }
            AttentionKind::Latent(attention) => {
                attention.forward(tile, layer, &mut state.pool, &mut space);
            }
            AttentionKind::Elsewhere => space.output.fill(0.0),
            AttentionKind::DeltaNet(delta) => {
                delta.forward(tile.rows, layer, &mut state.slots, &mut space);
            }
        }
        space.group.all_reduce(space.output)?;
        add(hidden, &self.attention_post_norm, &mut space);
        self.ffn_norm.forward(hidden, space.normed);
        self.feed_forward.forward(tile.rows.len(), &mut space);
        space.group.all_reduce(space.output)?;
        add(hidden, &self.ffn_post_norm, &mut space);
        Ok(())
    }

    /// Memory of its weights.
    pub(crate) fn bytes(&self) -> u64 {
        let attention = match &self.attention {
            AttentionKind::Grouped(attention) => attention.bytes(),
            AttentionKind::Latent(attention) => attention.bytes(),
            AttentionKind::DeltaNet(delta) => delta.bytes(),
            AttentionKind::Elsewhere => 0,
        };
        self.norms().map(RmsNorm::bytes).sum::<u64>() + attention + self.feed_forward.bytes()
    }
}

fn add(hidden: &mut [f32], norm: &Option<RmsNorm>, space: &mut TileRows<'_>) {
    if let Some(norm) = norm {
        norm.normalise(space.output);
    }
    cpu::add(hidden, space.output);
}
