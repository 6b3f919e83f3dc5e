//! The block of all attention decoders: each half normalises its input and adds its output, which
//! is a sum over the ranks of its group.

use super::attention::{Attention, Tile};
use super::delta_net::DeltaNet;
use super::feed_forward::FeedForward;
use super::latent_attention::LatentAttention;
use super::rms_norm::RmsNorm;
use crate::error::EngineError;
use crate::kernels::cpu;
use crate::models::DecoderLayer;
use crate::state::SequenceState;
use crate::workspace::{TileRows, TileSpace};

/// `h += norm?(attention(norm(h))); h += norm?(feed_forward(norm(h)))`
pub(crate) struct ResidualBlock {
    pub(crate) attention_norm: RmsNorm,
    pub(crate) attention: AttentionKind,
    /// Of what attention adds (Gemma).
    pub(crate) attention_post_norm: Option<RmsNorm>,
    pub(crate) ffn_norm: RmsNorm,
    pub(crate) feed_forward: FeedForward,
    pub(crate) ffn_post_norm: Option<RmsNorm>,
}

pub(crate) enum AttentionKind {
    Grouped(Attention),
    Latent(LatentAttention),
    DeltaNet(Box<DeltaNet>),
    /// The first rank of the group has it.
    Elsewhere,
}

impl DecoderLayer for ResidualBlock {
    fn forward(
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

    fn bytes(&self) -> u64 {
        let attention = match &self.attention {
            AttentionKind::Grouped(attention) => attention.bytes(),
            AttentionKind::Latent(attention) => attention.bytes(),
            AttentionKind::DeltaNet(delta) => delta.bytes(),
            AttentionKind::Elsewhere => 0,
        };
        let norms = [&self.attention_post_norm, &self.ffn_post_norm].into_iter().flatten();
        let norms = norms.chain([&self.attention_norm, &self.ffn_norm]);
        norms.map(RmsNorm::bytes).sum::<u64>() + attention + self.feed_forward.bytes()
    }
}

fn add(hidden: &mut [f32], norm: &Option<RmsNorm>, space: &mut TileRows<'_>) {
    if let Some(norm) = norm {
        norm.normalise(space.output);
    }
    cpu::add(hidden, space.output);
}
