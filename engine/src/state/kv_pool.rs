//! Paged keys and values: the head gives out block ids, the pool holds the bytes.

use std::ops::Range;

use half::slice::HalfBitsSliceExt;
use protocol::ids::{BlockId, LayerIndex};
use protocol::model_spec::{KvType, ModelSpec, StateKind};
use protocol::step_batch::BlockCopy;

use super::zeroed;
use crate::config::StageConfig;
use crate::error::EngineError;
use crate::kernels::attention::{
    Elements, KEY_GROUP, PagedHead, plane_bytes, spread_key, store_row,
};
use crate::kernels::cpu;
use crate::layers::RowPlace;

/// `[layer][block][key, value][kv_head]`, then a block of one head's keys or values as
/// `PagedHead` describes it; allocated once. A layer whose heads share one vector per position has
/// that one alone, as key and as value.
pub(crate) struct KvPool {
    values: Stored,
    /// A key rounded to sixteen bits, before its dimensions are spread.
    rounded: Vec<u16>,
    layers: Vec<LayerPages>,
    block_size: usize,
}

/// The shape of a layer's state, and where it begins.
#[derive(Clone, Copy)]
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
    /// Bits of bf16.
    Bf16(Vec<u16>),
    /// Planes of codes and scales, see `eight_bits`.
    Q8_0(Vec<u8>),
}

impl KvPool {
    pub(crate) fn new(spec: &ModelSpec, config: &StageConfig) -> Result<Self, EngineError> {
        let bytes = Self::bytes(spec, config);
        let count = |size: u64| usize::try_from(bytes / size).unwrap_or(usize::MAX);
        let no_memory = EngineError::OutOfMemory { what: "keys and values", bytes };
        let values = match config.kv.kv_type {
            KvType::F16 => zeroed(count(2), 0_u16).map(Stored::F16),
            KvType::F32 => zeroed(count(4), 0.0).map(Stored::F32),
            KvType::Bf16 => zeroed(count(2), 0_u16).map(Stored::Bf16),
            KvType::Q8_0 => zeroed(count(1), 0_u8).map(Stored::Q8_0),
        };
        let block_size = config.kv.block_size as usize;
        let layers = layer_pages(spec, config, config.kv.blocks as usize * block_size);
        let widest = layers.iter().map(|layer| layer.dim).max();
        let rounded = vec![0; widest.unwrap_or(0)];
        Ok(Self { values: values.ok_or(no_memory)?, rounded, layers, block_size })
    }

    pub(crate) fn bytes(spec: &ModelSpec, config: &StageConfig) -> u64 {
        let kv = config.kv;
        let tokens = u64::from(kv.blocks) * u64::from(kv.block_size);
        spec.kv_bytes_per_token(config.layers, kv.kv_type).saturating_mul(tokens)
    }

    /// Copies whole blocks in all layers. Ids are in range.
    pub(crate) fn copy(&mut self, copy: BlockCopy) {
        for layer in &self.layers {
            let count = layer.block_values(self.block_size);
            let from = layer.start + copy.from.0 as usize * count;
            let to = layer.start + copy.to.0 as usize * count;
            match &mut self.values {
                Stored::F16(values) | Stored::Bf16(values) => {
                    values.copy_within(from..from + count, to);
                }
                Stored::Q8_0(bytes) => {
                    let from = plane_bytes(from)..plane_bytes(from + count);
                    bytes.copy_within(from, plane_bytes(to));
                }
                Stored::F32(values) => values.copy_within(from..from + count, to),
            }
        }
    }

    /// Stores one row's `key` and `value` (`[kv_heads, head_dim]`), rounded to the pool's type;
    /// `value` is empty where both are one.
    pub(crate) fn store(&mut self, layer: usize, place: RowPlace<'_>, key: &[f32], value: &[f32]) {
        let position = place.position as usize;
        let block = place.blocks[position / self.block_size];
        let LayerPages { dim, shared, .. } = self.layers[layer];
        let slot = position % self.block_size;
        for (head, key) in key.chunks_exact(dim).enumerate() {
            let start = self.start(layer, block, 0, head);
            if shared {
                self.write(start, slot, key);
            } else {
                self.spread(start, slot, key);
            }
        }
        for (head, value) in value.chunks_exact(dim).enumerate() {
            self.write(self.start(layer, block, 1, head), slot, value);
        }
    }

    /// The keys and values of `head` in `layer`.
    pub(crate) fn head(&self, layer: usize, head: usize) -> PagedHead<'_> {
        let (first, pages) = (BlockId(0), &self.layers[layer]);
        PagedHead {
            elements: match &self.values {
                Stored::F16(values) => Elements::F16(values),
                Stored::F32(values) => Elements::F32(values),
                Stored::Bf16(values) => Elements::Bf16(values),
                Stored::Q8_0(bytes) => Elements::Q8_0(bytes),
            },
            row_keys: pages.shared,
            keys: self.start(layer, first, 0, head),
            values: self.start(layer, first, usize::from(!pages.shared), head),
            stride: pages.block_values(self.block_size),
            block_size: self.block_size,
            key_dim: pages.dim,
            value_dim: pages.dim,
        }
    }

    /// Writes a row to its place in the head that begins at `start`.
    fn write(&mut self, start: usize, slot: usize, row: &[f32]) {
        let place = start + slot * row.len();
        let range = place..place + row.len();
        let plane = self.plane(start, row.len());
        match &mut self.values {
            Stored::F16(stored) => cpu::f32_to_f16(row, stored[range].reinterpret_cast_mut()),
            Stored::Bf16(stored) => cpu::f32_to_bf16(row, stored[range].reinterpret_cast_mut()),
            Stored::F32(stored) => stored[range].copy_from_slice(row),
            Stored::Q8_0(bytes) => store_row(&mut bytes[plane], slot, row),
        }
    }

    /// Writes the dimensions of a key to their places in its group.
    fn spread(&mut self, start: usize, slot: usize, key: &[f32]) {
        let place = start + slot / KEY_GROUP * KEY_GROUP * key.len() + slot % KEY_GROUP;
        let plane = self.plane(start, key.len());
        let rounded = &mut self.rounded[..key.len()];
        match &mut self.values {
            Stored::F16(stored) => {
                cpu::f32_to_f16(key, rounded.reinterpret_cast_mut());
                spread(rounded, &mut stored[place..]);
            }
            Stored::Bf16(stored) => {
                cpu::f32_to_bf16(key, rounded.reinterpret_cast_mut());
                spread(rounded, &mut stored[place..]);
            }
            Stored::F32(stored) => spread(key, &mut stored[place..]),
            Stored::Q8_0(bytes) => spread_key(&mut bytes[plane], slot, key),
        }
    }

    /// The bytes of a head of `dim` that begins at `start`, where it has scales.
    fn plane(&self, start: usize, dim: usize) -> Range<usize> {
        plane_bytes(start)..plane_bytes(start + self.block_size * dim)
    }

    fn start(&self, layer: usize, block: BlockId, which: usize, head: usize) -> usize {
        let layer = &self.layers[layer];
        let block = layer.start + block.0 as usize * layer.block_values(self.block_size);
        block + (which * layer.heads + head) * self.block_size * layer.dim
    }
}

/// The layers of `config`, one behind the other.
fn layer_pages(spec: &ModelSpec, config: &StageConfig, tokens: usize) -> Vec<LayerPages> {
    let (mut start, first) = (0, config.layers.start.0);
    let mut all: Vec<LayerPages> = Vec::with_capacity(config.layers.count() as usize);
    let mut pages = |all: &[LayerPages], layer: u32| {
        let (layer, state) = (LayerIndex(layer), spec.layers[layer as usize].state);
        let attention = spec.attention_of(layer);
        let (heads, dim, shared) = match state {
            // Its own are those of the layer that it reads.
            StateKind::KvOf { layer, .. } => return all[(layer.0 - first) as usize],
            StateKind::PagedLatent { width } => (1, width, true),
            // Nothing in this pool.
            StateKind::Recurrent { .. } => (0, 0, true),
            StateKind::PagedKv { .. } => (attention.kv_heads, attention.head_dim, false),
        };
        let pages = LayerPages { start, heads: heads as usize, dim: dim as usize, shared };
        start += tokens * spec.state_values(state) as usize;
        pages
    };
    for layer in first..config.layers.end.0 {
        all.push(pages(&all, layer));
    }
    all
}

fn spread<T: Copy>(key: &[T], group: &mut [T]) {
    for (value, place) in key.iter().zip(group.iter_mut().step_by(KEY_GROUP)) {
        *place = *value;
    }
}
