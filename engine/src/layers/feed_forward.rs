//! The half of a layer behind attention: one block for all rows, or experts.

use super::experts::{ExpertSpace, Experts};
use super::mlp::GatedMlp;
use crate::workspace::TileRows;

pub(crate) enum FeedForward {
    Dense(GatedMlp),
    Experts(Experts),
}

impl FeedForward {
    /// Chooses each row's experts by `space.normed`; one block for all has nothing to choose.
    pub(crate) fn route(&self, space: &mut TileRows<'_>) {
        if let Self::Experts(experts) = self {
            experts.route(space.normed, space.routed, space.matmul);
        }
    }

    /// Reads `space.normed`, leaves the result in `space.output`; both are `[rows, hidden]`. The
    /// rows' experts are chosen.
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
