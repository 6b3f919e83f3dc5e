//! The block of all attention decoders on the CPU: what it adds is a sum over a group's ranks.

use super::attention::{Attention, Tile};
use super::delta_net::DeltaNet;
use super::feed_forward::FeedForward;
use super::latent_attention::LatentAttention;
use super::per_layer_input::PerLayerInput;
use super::rms_norm::RmsNorm;
use crate::error::EngineError;
use crate::kernels::cpu;
use crate::models::{BesideExperts, Made, ResidualBlock};
use crate::state::SequenceState;
use crate::workspace::{TileRows, TileSpace};

/// Layers in host memory.
pub(crate) enum Cpu {}

impl Made for Cpu {
    type Norm = RmsNorm;
    type Attention = AttentionKind;
    type FeedForward = FeedForward;
    type PerLayerInput = PerLayerInput;
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
        self.feed_forward.route(&mut space);
        self.feed_forward.forward(tile.rows.len(), &mut space);
        space.group.all_reduce(space.output)?;
        if let Some(beside) = &self.beside {
            beside.forward(hidden, tile.rows.len(), &mut space)?;
        }
        add(hidden, &self.ffn_post_norm, &mut space);
        if let Some(input) = &self.per_layer_input {
            input.forward(hidden, tile, &mut space);
        }
        if let Some(scale) = self.output_scale {
            cpu::scale(hidden, scale);
        }
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
        let feed_forward: u64 = self.feed_forwards().map(FeedForward::bytes).sum();
        let input = self.per_layer_input.as_ref().map_or(0, PerLayerInput::bytes);
        self.norms().map(RmsNorm::bytes).sum::<u64>() + attention + feed_forward + input
    }
}

impl BesideExperts<Cpu> {
    /// `space.output` holds what the dense feed-forward gives, and then what both give.
    fn forward(
        &self,
        hidden: &[f32],
        rows: usize,
        space: &mut TileRows<'_>,
    ) -> Result<(), EngineError> {
        self.dense_post_norm.normalise(space.output);
        space.projected[..hidden.len()].copy_from_slice(space.output);
        self.router_norm.forward(hidden, space.normed);
        self.experts.route(space);
        self.norm.forward(hidden, space.normed);
        self.experts.forward(rows, space);
        space.group.all_reduce(space.output)?;
        self.post_norm.normalise(space.output);
        cpu::add(space.output, &space.projected[..hidden.len()]);
        Ok(())
    }
}

fn add(hidden: &mut [f32], norm: &Option<RmsNorm>, space: &mut TileRows<'_>) {
    if let Some(norm) = norm {
        norm.normalise(space.output);
    }
    cpu::add(hidden, space.output);
}
