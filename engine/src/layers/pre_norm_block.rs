//! The block of most decoders: each half normalises its input and adds its output.

use super::attention::{Attention, AttentionSpace, Tile};
use super::mlp::SwigluMlp;
use super::rms_norm::RmsNorm;
use crate::kernels::cpu;
use crate::models::DecoderLayer;
use crate::state::KvPool;
use crate::workspace::TileSpace;

/// `h += attention(norm(h)); h += mlp(norm(h))`
pub(crate) struct PreNormBlock {
    pub(crate) attention_norm: RmsNorm,
    pub(crate) attention: Attention,
    pub(crate) mlp_norm: RmsNorm,
    pub(crate) mlp: SwigluMlp,
}

impl DecoderLayer for PreNormBlock {
    fn forward(
        &self,
        hidden: &mut [f32],
        tile: &Tile<'_>,
        layer: usize,
        pool: &mut KvPool,
        space: &mut TileSpace,
    ) {
        let space = space.of_rows(tile.rows.len());
        self.attention_norm.forward(hidden, space.normed);
        let heads = AttentionSpace {
            query: space.query,
            attended: space.attended,
            key: space.key,
            value: space.value,
        };
        let place = (tile, layer);
        self.attention.forward(space.normed, space.output, place, pool, heads, space.matmul);
        cpu::add(hidden, space.output);
        self.mlp_norm.forward(hidden, space.normed);
        self.mlp.forward(space.normed, space.gate, space.up, space.output, space.matmul);
        cpu::add(hidden, space.output);
    }

    fn bytes(&self) -> u64 {
        let norms = self.attention_norm.bytes() + self.mlp_norm.bytes();
        norms + self.attention.bytes() + self.mlp.bytes()
    }
}
