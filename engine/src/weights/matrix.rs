//! A weight matrix in its stored type: quantised or not is its own property, not the model's.

use candle_core::quantized::k_quants::{BlockQ4_0, BlockQ4K, BlockQ5_0, BlockQ6K, BlockQ8_0};
use checkpoint::{TensorEntry, WeightType};
use half::{bf16, f16};

use super::blocks::{bytes, read_blocks};
use super::dequantise::dequantise;
use super::source::WeightSource;
use crate::error::EngineError;
use crate::kernels::cpu;

/// `[rows, columns]`, row after row.
pub(crate) struct Matrix {
    pub(crate) rows: usize,
    pub(crate) columns: usize,
    pub(crate) values: Values,
}

/// Values, or blocks of values, exactly as the file holds them.
pub(crate) enum Values {
    F32(Vec<f32>),
    F16(Vec<f16>),
    BF16(Vec<bf16>),
    Q8_0(Vec<BlockQ8_0>),
    Q4_0(Vec<BlockQ4_0>),
    Q5_0(Vec<BlockQ5_0>),
    Q4K(Vec<BlockQ4K>),
    Q6K(Vec<BlockQ6K>),
    /// Types without a product of their own: raw blocks, widened a row at a time.
    Plain(WeightType, Vec<u8>),
}

impl Matrix {
    /// Reads `entry`, whose shape the caller has checked to be `[rows, columns]`.
    pub(super) fn read(
        entry: &TensorEntry,
        rows: usize,
        columns: usize,
        source: &dyn WeightSource,
        progress: &mut dyn FnMut(u64),
    ) -> Result<Self, EngineError> {
        let values = match entry.weight_type {
            WeightType::F32 => Values::F32(read_blocks(entry, source, progress)?),
            WeightType::F16 => Values::F16(read_blocks(entry, source, progress)?),
            WeightType::BF16 => Values::BF16(read_blocks(entry, source, progress)?),
            WeightType::Q8_0 => Values::Q8_0(read_blocks(entry, source, progress)?),
            WeightType::Q4_0 => Values::Q4_0(read_blocks(entry, source, progress)?),
            WeightType::Q5_0 => Values::Q5_0(read_blocks(entry, source, progress)?),
            WeightType::Q4K => Values::Q4K(read_blocks(entry, source, progress)?),
            WeightType::Q6K => Values::Q6K(read_blocks(entry, source, progress)?),
            plain => Values::Plain(plain, read_blocks(entry, source, progress)?),
        };
        Ok(Self { rows, columns, values })
    }

    /// Memory that the values take.
    pub(crate) fn bytes(&self) -> u64 {
        let bytes = match &self.values {
            Values::F32(values) => size_of_val(&values[..]),
            Values::F16(values) => size_of_val(&values[..]),
            Values::BF16(values) => size_of_val(&values[..]),
            Values::Q8_0(blocks) => size_of_val(&blocks[..]),
            Values::Q4_0(blocks) => size_of_val(&blocks[..]),
            Values::Q5_0(blocks) => size_of_val(&blocks[..]),
            Values::Q4K(blocks) => size_of_val(&blocks[..]),
            Values::Q6K(blocks) => size_of_val(&blocks[..]),
            Values::Plain(_, blocks) => blocks.len(),
        };
        bytes as u64
    }

    /// Writes row `row` to `out` (`[columns]`), dequantised.
    pub(crate) fn row_to_f32(&self, row: usize, out: &mut [f32]) {
        let values = row * self.columns..(row + 1) * self.columns;
        match &self.values {
            Values::F32(stored) => out.copy_from_slice(&stored[values]),
            Values::F16(stored) => cpu::f16_to_f32(&stored[values], out),
            Values::BF16(stored) => cpu::bf16_to_f32(&stored[values], out),
            Values::Q8_0(blocks) => widen(WeightType::Q8_0, bytes(blocks), row, out),
            Values::Q4_0(blocks) => widen(WeightType::Q4_0, bytes(blocks), row, out),
            Values::Q5_0(blocks) => widen(WeightType::Q5_0, bytes(blocks), row, out),
            Values::Q4K(blocks) => widen(WeightType::Q4K, bytes(blocks), row, out),
            Values::Q6K(blocks) => widen(WeightType::Q6K, bytes(blocks), row, out),
            Values::Plain(weight, blocks) => widen(*weight, blocks, row, out),
        }
    }
}

fn widen(weight: WeightType, blocks: &[u8], row: usize, out: &mut [f32]) {
    let row_bytes = out.len() / weight.block_elements() as usize * weight.block_bytes() as usize;
    dequantise(weight, &blocks[row * row_bytes..(row + 1) * row_bytes], out);
}
