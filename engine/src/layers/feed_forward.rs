//! The half of a layer behind attention: one block for all rows, or experts.

use super::experts::{ExpertSpace, Experts};
use super::mlp::GatedMlp;
use crate::workspace::TileRows;

pub(crate) enum FeedForward {
    Dense(GatedMlp),
    Experts(Experts),
}

impl FeedForward {
    /// Reads `space.normed`, leaves the result in `space.output`; both are `[rows, hidden]`.
    pub(crate) fn forward(&self, rows: usize, space: &mut TileRows<'_>) {
        let x = &*space.normed;
        match self {
            Self::Dense(mlp) => {
                mlp.forward(x, rows, (space.gate, space.up), space.output, space.matmul);
            }
            Self::Experts(experts) => {
                let own = ExpertSpace {
                    weights: space.routed,
                    gathered: space.gathered,
                    produced: &mut space.produced[..x.len()],
                    gate: space.gate,
                    up: space.up,
                };
                experts.forward(x, space.output, own, space.matmul);
            }
        }
    }

    pub(crate) fn bytes(&self) -> u64 {
        match self {
            Self::Dense(mlp) => mlp.bytes(),
            Self::Experts(experts) => experts.bytes(),
        }
    }
}
