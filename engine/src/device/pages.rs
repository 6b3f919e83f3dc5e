//! Paged keys and values on the device: a row per slot of each block.

use candle_core::Tensor;
use protocol::ids::LayerIndex;
use protocol::model_spec::{ModelSpec, StateKind};
use protocol::step_batch::BlockCopy;

use super::DeviceResult;
use super::plane::Plane;
use super::target::Target;
use crate::config::StageConfig;
use crate::error::EngineError;

/// The pages of one layer: keys and values, or the vectors that are both, or nothing where a layer
/// keeps another kind of state or the rank has none of its heads.
#[derive(Clone)]
pub(super) struct Pages {
    planes: Vec<Plane>,
    pub(super) block_size: u32,
}

impl Pages {
    /// Of the layers of `config`, zeroed.
    pub(super) fn of_stage(
        spec: &ModelSpec,
        config: &StageConfig,
        target: &Target,
    ) -> Result<Vec<Self>, EngineError> {
        let (kv, first) = (config.kv, config.layers.start.0);
        let slots = kv.blocks as usize * kv.block_size as usize;
        let pages = |all: &[Self], layer: u32| -> Result<Self, EngineError> {
            let layer = LayerIndex(layer);
            let key_width = spec.attention_of(layer).key_width();
            let widths = match spec.layers[layer.0 as usize].state {
                // The same memory.
                StateKind::KvOf { layer, .. } => {
                    return Ok(all[(layer.0 - first) as usize].clone());
                }
                StateKind::Recurrent { .. } => vec![],
                StateKind::PagedLatent { width } => vec![u64::from(width)],
                StateKind::PagedKv { .. } if key_width == 0 => vec![],
                StateKind::PagedKv { .. } => vec![key_width; 2],
            };
            let plane = |width: u64| Plane::new(slots, width as usize, kv.kv_type, target);
            let planes = widths.into_iter().map(plane).collect::<Result<_, _>>()?;
            Ok(Self { planes, block_size: kv.block_size })
        };
        let mut all = Vec::with_capacity(config.layers.count() as usize);
        for layer in first..config.layers.end.0 {
            all.push(pages(&all, layer)?);
        }
        Ok(all)
    }

    /// Keys, or what is both keys and values.
    pub(super) fn keys(&self) -> candle_core::Result<&Plane> {
        match self.planes.first() {
            Some(plane) => Ok(plane),
            None => candle_core::bail!("a layer without pages attends"),
        }
    }

    /// Where they are not the keys.
    pub(super) fn values(&self) -> Option<&Plane> {
        self.planes.get(1)
    }

    /// Rounds the rows of a step to the pages' type and puts them in their slots (`[rows]`).
    pub(super) fn store(
        &self,
        slots: &Tensor,
        keys: &Tensor,
        values: Option<&Tensor>,
    ) -> candle_core::Result<()> {
        let rows = std::iter::once(keys).chain(values);
        self.planes.iter().zip(rows).try_for_each(|(plane, rows)| plane.store(slots, rows))
    }

    /// What `slots` (`[positions]`) hold, f32 `[heads, positions, dim]`: keys, and values.
    pub(super) fn read(
        &self,
        slots: &Tensor,
        heads: usize,
    ) -> candle_core::Result<(Tensor, Tensor)> {
        let positions = slots.dim(0)?;
        let of = |plane: &Plane| -> DeviceResult {
            let rows = plane.read(slots)?.reshape((positions, heads, plane.width / heads))?;
            rows.transpose(0, 1)?.contiguous()
        };
        let keys = of(self.keys()?)?;
        let values = self.values().map_or_else(|| Ok(keys.clone()), of)?;
        Ok((keys, values))
    }

    /// Copies a whole block.
    pub(super) fn copy(&self, copy: BlockCopy) -> candle_core::Result<()> {
        let size = self.block_size as usize;
        let [from, to] = [copy.from, copy.to].map(|block| block.0 as usize * size);
        self.planes.iter().try_for_each(|plane| plane.copy(from, to, size))
    }
}

/// Memory of layers' pages, those that several read counted once.
pub(super) fn bytes(all: &[Pages]) -> u64 {
    let planes = || all.iter().flat_map(|pages| &pages.planes);
    let own = |(i, plane): (usize, &Plane)| {
        let known = planes().take(i).any(|other| other.rows.id() == plane.rows.id());
        if known { 0 } else { super::bytes_of(&plane.rows) }
    };
    planes().enumerate().map(own).sum()
}
