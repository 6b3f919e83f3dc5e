//! Paged keys and values on the device: a row per slot of each block.

use candle_core::{DType, Device, Tensor};
use protocol::ids::LayerIndex;
use protocol::model_spec::{KvType, ModelSpec, StateKind};
use protocol::step_batch::BlockCopy;

use super::DeviceResult;
use crate::config::StageConfig;
use crate::error::EngineError;

/// The pages of one layer; where heads share one vector per position, `values` is none.
#[derive(Clone)]
pub(super) struct Pages {
    // [blocks * block_size, width]
    keys: Tensor,
    values: Option<Tensor>,
    block_size: u32,
}

impl Pages {
    /// Of the layers of `config`, zeroed.
    pub(super) fn of_stage(
        spec: &ModelSpec,
        config: &StageConfig,
        device: &Device,
    ) -> Result<Vec<Self>, EngineError> {
        let dtype = match config.kv.kv_type {
            KvType::F32 => DType::F32,
            KvType::F16 => DType::F16,
            KvType::Bf16 => DType::BF16,
            KvType::Q8_0 => {
                return Err(EngineError::NotOnDevice { what: "keys and values in q8_0" });
            }
        };
        let slots = config.kv.blocks as usize * config.kv.block_size as usize;
        let first = config.layers.start.0;
        let pages = |all: &[Self], layer: u32| -> Result<Self, EngineError> {
            let layer = LayerIndex(layer);
            if let StateKind::KvOf { layer, .. } = spec.layers[layer.0 as usize].state {
                // The same memory.
                return Ok(all[(layer.0 - first) as usize].clone());
            }
            let zeros = |width: u64| Tensor::zeros((slots, width as usize), dtype, device);
            let width = spec.attention_of(layer).key_width();
            let (key, value) = match spec.layers[layer.0 as usize].state {
                StateKind::PagedLatent { width } => (u64::from(width), None),
                _ => (width, Some(width)),
            };
            let values = value.map(zeros).transpose()?;
            Ok(Self { keys: zeros(key)?, values, block_size: config.kv.block_size })
        };
        let mut all = Vec::with_capacity(config.layers.count() as usize);
        for layer in first..config.layers.end.0 {
            all.push(pages(&all, layer)?);
        }
        Ok(all)
    }

    /// Rounds the rows of a step to the pages' type and puts them in their slots (`[rows]`).
    pub(super) fn store(
        &self,
        slots: &Tensor,
        keys: &Tensor,
        values: Option<&Tensor>,
    ) -> candle_core::Result<()> {
        let pairs =
            [(&self.keys, Some(keys)), (self.values.as_ref().unwrap_or(&self.keys), values)];
        for (pages, rows) in pairs {
            let Some(rows) = rows else { continue };
            let rows = rows.to_dtype(pages.dtype())?.contiguous()?;
            let index = slots.unsqueeze(1)?.broadcast_as(rows.shape())?.contiguous()?;
            pages.scatter_set(&index, &rows, 0)?;
        }
        Ok(())
    }

    /// What `slots` (`[positions]`) hold, f32 `[heads, positions, dim]`: keys, and values.
    pub(super) fn read(
        &self,
        slots: &Tensor,
        heads: usize,
    ) -> candle_core::Result<(Tensor, Tensor)> {
        let positions = slots.dim(0)?;
        let of = |pages: &Tensor| -> DeviceResult {
            let dim = pages.dim(1)? / heads;
            let rows = pages.index_select(slots, 0)?.to_dtype(DType::F32)?;
            rows.reshape((positions, heads, dim))?.transpose(0, 1)?.contiguous()
        };
        let keys = of(&self.keys)?;
        let values = self.values.as_ref().map_or_else(|| Ok(keys.clone()), of)?;
        Ok((keys, values))
    }

    /// Copies a whole block.
    pub(super) fn copy(&self, copy: BlockCopy) -> candle_core::Result<()> {
        let size = self.block_size as usize;
        for pages in std::iter::once(&self.keys).chain(&self.values) {
            let from = pages.narrow(0, copy.from.0 as usize * size, size)?.copy()?;
            pages.slice_set(&from, 0, copy.to.0 as usize * size)?;
        }
        Ok(())
    }
}
