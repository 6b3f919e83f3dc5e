//! Paged keys and values: the head gives out block ids, the pool holds the bytes.
//!
//! Layers with another kind of state (a slot of fixed size) will have a pool of their own beside
//! this one.

use half::slice::HalfBitsSliceExt;
use protocol::ids::BlockId;
use protocol::model_spec::{KvType, ModelSpec};
use protocol::step_batch::BlockCopy;

use crate::config::StageConfig;
use crate::error::EngineError;
use crate::kernels::cpu;
use crate::layers::RowPlace;

/// `[layer][block][key, value][kv_head][slot][head_dim]`, allocated once.
pub(crate) struct KvPool {
    values: Stored,
    blocks: usize,
    block_size: usize,
    kv_heads: usize,
    head_dim: usize,
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
        Ok(Self {
            values: values.ok_or(no_memory)?,
            blocks: config.kv.blocks as usize,
            block_size: config.kv.block_size as usize,
            kv_heads: spec.attention.kv_heads as usize,
            head_dim: spec.attention.head_dim as usize,
        })
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
        let floats = self.block_floats();
        let layers = self.len() / (self.blocks * floats).max(1);
        for layer in 0..layers {
            let from = (layer * self.blocks + copy.from.0 as usize) * floats;
            let to = (layer * self.blocks + copy.to.0 as usize) * floats;
            match &mut self.values {
                Stored::F16(values) => values.copy_within(from..from + floats, to),
                Stored::F32(values) => values.copy_within(from..from + floats, to),
            }
        }
    }

    /// Stores one row's `key` and `value` (`[kv_heads, head_dim]`), rounded to the pool's type.
    pub(crate) fn store(&mut self, layer: usize, place: RowPlace<'_>, key: &[f32], value: &[f32]) {
        let position = place.position as usize;
        let block = place.blocks[position / self.block_size];
        let slot = position % self.block_size * self.head_dim;
        for (which, rows) in [(0, key), (1, value)] {
            for (head, row) in rows.chunks_exact(self.head_dim).enumerate() {
                let start = self.start(layer, block, which, head) + slot;
                let range = start..start + self.head_dim;
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
        self.read(self.start(layer, block, 0, head), count, space)
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
        self.read(self.start(layer, block, 1, head), count, space)
    }

    fn read<'a>(&'a self, start: usize, count: usize, space: &'a mut [f32]) -> &'a [f32] {
        let range = start..start + count * self.head_dim;
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
        let block = layer * self.blocks + block.0 as usize;
        ((block * 2 + which) * self.kv_heads + head) * self.block_size * self.head_dim
    }

    fn block_floats(&self) -> usize {
        2 * self.kv_heads * self.block_size * self.head_dim
    }

    fn len(&self) -> usize {
        match &self.values {
            Stored::F16(values) => values.len(),
            Stored::F32(values) => values.len(),
        }
    }
}

/// Pages that are never written stay unbacked, so a large pool costs what is used of it.
fn zeroed<T: Clone>(count: usize, zero: T) -> Option<Vec<T>> {
    let mut probe: Vec<T> = Vec::new();
    probe.try_reserve_exact(count).ok()?;
    drop(probe);
    Some(vec![zero; count])
}
