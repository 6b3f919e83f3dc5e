//! A stage's layers, on the CPU or on a device, and one step through them.

use protocol::plan::ActivationType;
use protocol::step_batch::StepBatch;

#[cfg(feature = "candle")]
use crate::device::{DeviceLayers, HostSide};
use crate::error::EngineError;
use crate::kernels::cpu;
use crate::layers::{Cpu, Rope, Tile};
use crate::models::ResidualBlock;
use crate::state::SequenceState;
use crate::step_lists::StepLists;
use crate::workspace::{TILE_ROWS, Workspace};

pub(super) enum Layers {
    Cpu(Vec<ResidualBlock<Cpu>>),
    #[cfg(feature = "candle")]
    Device(Box<DeviceLayers>),
}

/// What a step works on.
pub(super) struct StepSpace<'a> {
    pub(super) ropes: &'a mut [Rope],
    pub(super) state: &'a mut SequenceState,
    pub(super) workspace: &'a mut Workspace,
    pub(super) lists: &'a mut StepLists,
    pub(super) activation: ActivationType,
}

impl Layers {
    /// Takes the rows of a checked batch, which are in `workspace.hidden`, through the layers.
    pub(super) fn run(&self, batch: &StepBatch, space: StepSpace<'_>) -> Result<(), EngineError> {
        let StepSpace { ropes, state, workspace, lists, activation } = space;
        let Workspace { hidden, embedded, tile: tile_space, .. } = workspace;
        let rows = batch.token_count();
        let width = hidden.len() / workspace.rows;
        let hidden = &mut hidden[..rows * width];
        let places = lists.places(batch);
        for rope in ropes.iter_mut() {
            rope.fill(places.iter().map(|row| row.position));
        }
        match self {
            Self::Cpu(blocks) => {
                batch.copies.iter().for_each(|copy| state.pool.copy(*copy));
                for (layer, block) in blocks.iter().enumerate() {
                    let tiles = places.chunks(TILE_ROWS).zip(hidden.chunks_mut(TILE_ROWS * width));
                    for (tile, (rows, hidden)) in tiles.enumerate() {
                        let first = tile * TILE_ROWS;
                        let own = first * width..(first + rows.len()) * width;
                        let embedded = embedded.get(own).unwrap_or(&[]);
                        let tile = Tile { rows, first, ropes, embedded };
                        block.forward(hidden, &tile, layer, state, tile_space)?;
                        if activation == ActivationType::Bf16 {
                            cpu::round_to_bf16(hidden);
                        }
                    }
                }
            }
            #[cfg(feature = "candle")]
            Self::Device(layers) => {
                let slots = &mut state.slots;
                let shared = layers.shared();
                let host = HostSide { rows: &places, slots, embedded, space: tile_space, shared };
                layers.run(batch, ropes, hidden, host)?;
            }
        }
        lists.keep_places(places);
        Ok(())
    }

    /// Memory of the weights.
    pub(super) fn bytes(&self) -> u64 {
        match self {
            Self::Cpu(blocks) => blocks.iter().map(ResidualBlock::bytes).sum(),
            #[cfg(feature = "candle")]
            Self::Device(layers) => layers.bytes()[0],
        }
    }

    /// Memory of the pages on a device; none on the CPU.
    pub(super) fn page_bytes(&self) -> Option<u64> {
        match self {
            Self::Cpu(_) => None,
            #[cfg(feature = "candle")]
            Self::Device(layers) => Some(layers.bytes()[1]),
        }
    }
}
