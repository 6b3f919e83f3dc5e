//! Layers on a device of candle's: a CUDA GPU, or its plain CPU device, on which the same code is
//! tested.
//!
//! What a row yields may depend here on the rows beside it, since candle's products choose their
//! kernel by shape; a device that is `deterministic` takes rows one at a time. The residual stream
//! is f32; it crosses to the host at the ends of a stage, and at the sums over a group's ranks.

mod activation;
mod attention;
mod block;
mod candidates;
mod crossing;
#[cfg(feature = "cuda")]
pub(crate) mod cuda;
mod feed_forward;
mod head;
mod kept_heads;
mod latent_attention;
mod linear;
mod norm;
mod pages;
mod parts;
mod per_layer_input;
mod placed;
mod plane;
mod rotation;
mod scores;
mod spans;
mod step;
mod target;
mod tiles;
mod told;

use candle_core::{DType, Tensor};
use protocol::plan::ActivationType;
use protocol::step_batch::StepBatch;

use crate::error::EngineError;
use crate::layers::{Rope, RowPlace};
use crate::models::ResidualBlock;
use crate::state::SlotPool;
use crate::workspace::TileSpace;
use block::OnDevice;
use crossing::Crossing;
pub(crate) use head::DeviceHead;
use pages::Pages;
pub(crate) use parts::load_layers;
use step::Step;
pub(crate) use target::Target;
pub(crate) use told::memory;

type DeviceResult = candle_core::Result<Tensor>;

/// The layers of a stage and their pages.
pub(crate) struct DeviceLayers {
    target: Target,
    crossing: Crossing,
    blocks: Vec<ResidualBlock<OnDevice>>,
    pages: Vec<Pages>,
    block_size: u32,
    activation: ActivationType,
    /// The layers are a rank's share.
    shared: bool,
}

/// What layers need that are computed by the CPU.
pub(crate) struct HostSide<'a> {
    pub(crate) rows: &'a [RowPlace<'a>],
    pub(crate) slots: &'a mut SlotPool,
    /// Embedded tokens, where layers make something of them themselves; else empty.
    // [rows, hidden]
    pub(crate) embedded: &'a [f32],
    pub(crate) space: &'a mut TileSpace,
    /// Whether there are other ranks to add up with.
    pub(crate) shared: bool,
}

impl HostSide<'_> {
    /// The sum of what all ranks of the stage have there.
    fn all_reduce(&mut self, own: Tensor) -> Result<Tensor, EngineError> {
        if !self.shared {
            return Ok(own);
        }
        self.space.group.all_reduce_tensor(&own)
    }
}

impl DeviceLayers {
    /// Computes the rows of a checked batch: `hidden` (`[rows, hidden]`) before and after. `ropes`
    /// are filled with the rows' positions.
    pub(crate) fn run(
        &self,
        batch: &StepBatch,
        ropes: &[Rope],
        hidden: &mut [f32],
        mut host: HostSide<'_>,
    ) -> Result<(), EngineError> {
        for copy in &batch.copies {
            self.pages.iter().try_for_each(|pages| pages.copy(*copy))?;
        }
        let rows = batch.token_count();
        if rows == 0 {
            return Ok(());
        }
        let mut step = Step::of(batch, ropes, self.block_size, &self.target)?;
        let shape = (rows, hidden.len() / rows);
        let embedded = host.embedded.get(..hidden.len());
        let embedded = embedded.map(|rows| self.crossing.upload(rows, shape));
        step.embedded = embedded.transpose()?;
        let mut x = self.crossing.upload(hidden, shape)?;
        for (layer, (block, pages)) in self.blocks.iter().zip(&self.pages).enumerate() {
            x = block.forward(&x, &step, (layer, pages), &mut host)?;
            if self.activation == ActivationType::Bf16 {
                x = x.to_dtype(DType::BF16)?.to_dtype(DType::F32)?;
            }
        }
        Ok(self.crossing.download(&x, hidden)?)
    }

    /// Whether the layers are a rank's share.
    pub(crate) fn shared(&self) -> bool {
        self.shared
    }

    /// Memory of the weights, and of the pages.
    pub(crate) fn bytes(&self) -> [u64; 2] {
        let weights = self.blocks.iter().map(ResidualBlock::<OnDevice>::bytes).sum();
        [weights, pages::bytes(&self.pages)]
    }
}

fn bytes_of(tensor: &Tensor) -> u64 {
    (tensor.elem_count() * tensor.dtype().size_in_bytes()) as u64
}

impl From<candle_core::Error> for EngineError {
    fn from(error: candle_core::Error) -> Self {
        Self::Device(error.to_string())
    }
}

#[cfg(test)]
mod tests;
