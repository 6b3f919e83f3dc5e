//! Paged keys and values: the head gives out block ids, the pool holds the bytes.
//!
//! Layers with another kind of state (a slot of fixed size) will have a pool of their own beside
//! this one.

use half::slice::HalfBitsSliceExt;
use protocol::ids::BlockId;
use protocol::model_spec::{KvType, LayerSpec, ModelSpec, StateKind};
use protocol::step_batch::BlockCopy;

use crate::config::StageConfig;
use crate::error::EngineError;
use crate::kernels::cpu;
use crate::layers::RowPlace;

/// `[layer][block][key, value][kv_head][slot][head_dim]`, allocated once. A layer whose heads
/// share one vector per position has that one alone, as key and as value.
pub(crate) struct KvPool {
    values: Stored,
    layers: Vec<LayerPages>,
    block_size: usize,
}

/// The shape of a layer's state, and where it begins.
struct LayerPages {
    start: usize,
    heads: usize,
    dim: usize,
    shared: bool,
}

impl LayerPages {
    fn block_values(&self, block_size: usize) -> usize {
        (if self.shared { 1 } else { 2 }) * self.heads * block_size * self.dim
    }
}

enum Stored {
    /// Bits of f16: the allocator gives zeroed integers without touching their pages.
    F16(Vec<u16>),
    F32(Vec<f32>),
}

impl KvPool {
    pub(crate) fn new(spec: &ModelSpec, config: &StageConfig) -> Result<Self, EngineError> {
        let bytes = Self::bytes(spec, config);
        let count = usize::try_from(bytes / config.kv.kv_type.bytes()).unwrap_or(usize::MAX);
        let no_memory = EngineError::OutOfMemory { what: "keys and values", bytes };
        let values = match config.kv.kv_type {
            KvType::F16 => zeroed(count, 0_u16).map(Stored::F16),
            KvType::F32 => zeroed(count, 0.0).map(Stored::F32),
        };
        let block_size = config.kv.block_size as usize;
        let layers = layer_pages(spec, config, config.kv.blocks as usize * block_size);
        Ok(Self { values: values.ok_or(no_memory)?, layers, block_size })
    }

    pub(crate) fn bytes(spec: &ModelSpec, config: &StageConfig) -> u64 {
        let kv = config.kv;
        let tokens = u64::from(kv.blocks) * u64::from(kv.block_size);
        spec.kv_bytes_per_token(config.layers, kv.kv_type).saturating_mul(tokens)
    }

    pub(crate) fn block_size(&self) -> usize {
        self.block_size
    }

    /// Copies whole blocks in all layers. Ids are in range.
    pub(crate) fn copy(&mut self, copy: BlockCopy) {
        for layer in &self.layers {
            let count = layer.block_values(self.block_size);
            let from = layer.start + copy.from.0 as usize * count;
            let to = layer.start + copy.to.0 as usize * count;
            match &mut self.values {
                Stored::F16(values) => values.copy_within(from..from + count, to),
                Stored::F32(values) => values.copy_within(from..from + count, to),
            }
        }
    }

    /// Stores one row's `key` and `value` (`[kv_heads, head_dim]`), rounded to the pool's type;
    /// `value` is empty where both are one.
    pub(crate) fn store(&mut self, layer: usize, place: RowPlace<'_>, key: &[f32], value: &[f32]) {
        let position = place.position as usize;
        let block = place.blocks[position / self.block_size];
        let dim = self.layers[layer].dim;
        let slot = position % self.block_size * dim;
        for (which, rows) in [(0, key), (1, value)] {
            for (head, row) in rows.chunks_exact(dim).enumerate() {
                let start = self.start(layer, block, which, head) + slot;
                let range = start..start + dim;
                match &mut self.values {
                    Stored::F16(values) => {
                        cpu::f32_to_f16(row, values[range].reinterpret_cast_mut());
                    }
                    Stored::F32(values) => values[range].copy_from_slice(row),
                }
            }
        }
    }

    /// The first `count` keys of `head` in `block`, `[count, head_dim]`; widened into `space`.
    pub(crate) fn keys<'a>(
        &'a self,
        layer: usize,
        block: BlockId,
        head: usize,
        count: usize,
        space: &'a mut [f32],
    ) -> &'a [f32] {
        let start = self.start(layer, block, 0, head);
        self.read(start, count * self.layers[layer].dim, space)
    }

    /// As `keys`, of the values.
    pub(crate) fn values<'a>(
        &'a self,
        layer: usize,
        block: BlockId,
        head: usize,
        count: usize,
        space: &'a mut [f32],
    ) -> &'a [f32] {
        let which = usize::from(!self.layers[layer].shared);
        let start = self.start(layer, block, which, head);
        self.read(start, count * self.layers[layer].dim, space)
    }

    fn read<'a>(&'a self, start: usize, count: usize, space: &'a mut [f32]) -> &'a [f32] {
        let range = start..start + count;
        match &self.values {
            Stored::F32(values) => &values[range],
            Stored::F16(values) => {
                let space = &mut space[..range.len()];
                cpu::f16_to_f32(values[range].reinterpret_cast(), space);
                space
            }
        }
    }

    fn start(&self, layer: usize, block: BlockId, which: usize, head: usize) -> usize {
        let layer = &self.layers[layer];
        let block = layer.start + block.0 as usize * layer.block_values(self.block_size);
        block + (which * layer.heads + head) * self.block_size * layer.dim
    }
}

/// The layers of `config`, one behind the other.
fn layer_pages(spec: &ModelSpec, config: &StageConfig, tokens: usize) -> Vec<LayerPages> {
    let mut start = 0;
    let pages = |layer: &LayerSpec| {
        let attention = spec.attention;
        let (heads, dim, shared) = match layer.state {
            StateKind::PagedLatent { width } => (1, width, true),
            _ => (attention.kv_heads, attention.head_dim, false),
        };
        let pages = LayerPages { start, heads: heads as usize, dim: dim as usize, shared };
        start += tokens * spec.state_values(layer.state) as usize;
        pages
    };
    spec.layers[config.layers.indices()].iter().map(pages).collect()
}

/// Pages that are never written stay unbacked, so a large pool costs what is used of it.
fn zeroed<T: Clone>(count: usize, zero: T) -> Option<Vec<T>> {
    let mut probe: Vec<T> = Vec::new();
    probe.try_reserve_exact(count).ok()?;
    drop(probe);
    Some(vec![zero; count])
}
