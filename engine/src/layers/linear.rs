//! Matrix product with a weight in any stored type, one order of accumulation for every batch size.
//!
//! Each output is a function of one weight row and one input row, computed by the same code alone
//! and in a batch. candle's own matmul chooses its kernel by the number of rows, which gives a lone
//! row other bits; only its dot products of quantised blocks are used here.

use std::cell::RefCell;
use std::sync::Arc;

use candle_core::quantized::k_quants::{BlockQ8_0, BlockQ8K, GgmlType};
use rayon::prelude::*;

use crate::error::EngineError;
use crate::kernels::cpu;
use crate::weights::{Matrix, Tensors, Values};

/// Below this many multiply-accumulates, waking the thread pool costs more than it gains (some
/// ten microseconds on two cores).
const PARALLEL_MACS: usize = 1 << 20;
/// Outputs that a thread computes at least in one go.
const COLUMNS_MIN: usize = 8;

/// `y = W x + b`
pub(crate) struct Linear {
    weight: Arc<Matrix>,
    bias: Option<Vec<f32>>,
}

impl Linear {
    /// Loads `{name}.weight` of `[outputs, inputs]`, and `{name}.bias` if there is to be one.
    pub(crate) fn load(
        tensors: &mut Tensors<'_>,
        name: &str,
        outputs: usize,
        inputs: usize,
        bias: bool,
    ) -> Result<Self, EngineError> {
        let weight = Arc::new(tensors.matrix(&format!("{name}.weight"), outputs, inputs)?);
        let bias = bias.then(|| tensors.vector(&format!("{name}.bias"), outputs)).transpose()?;
        Ok(Self { weight, bias })
    }

    /// `x` is `[rows, inputs]`, `out` is `[rows, outputs]`.
    pub(crate) fn forward(&self, x: &[f32], out: &mut [f32], scratch: &mut MatmulScratch) {
        let (inputs, outputs) = (self.weight.columns, self.weight.rows);
        let rows = x.len() / inputs;
        if rows == 1 {
            multiply(&self.weight, x, out, &mut scratch.activations);
        } else {
            let by_output = &mut scratch.by_output[..rows * outputs];
            multiply(&self.weight, x, by_output, &mut scratch.activations);
            transpose(by_output, rows, out);
        }
        if let Some(bias) = &self.bias {
            out.chunks_exact_mut(outputs).for_each(|row| cpu::add(row, bias));
        }
    }

    pub(crate) fn bytes(&self) -> u64 {
        let bias = self.bias.as_ref().map_or(0, |bias| size_of_val(&bias[..]));
        self.weight.bytes() + bias as u64
    }
}

/// Space of a stage's matrix products.
pub(crate) struct MatmulScratch {
    // [outputs, rows]
    by_output: Vec<f32>,
    pub(crate) activations: Activations,
}

impl MatmulScratch {
    /// For products of up to `rows` rows with `inputs_max` to `outputs_max` values each.
    pub(crate) fn new(rows: usize, inputs_max: usize, outputs_max: usize) -> Self {
        Self {
            by_output: vec![0.0; rows * outputs_max],
            activations: Activations {
                q8_0: Vec::with_capacity(rows * inputs_max.div_ceil(BlockQ8_0::BLCK_SIZE)),
                q8k: Vec::with_capacity(rows * inputs_max.div_ceil(BlockQ8K::BLCK_SIZE)),
            },
        }
    }

    /// Memory of such a scratch.
    pub(crate) fn bytes(rows: usize, inputs_max: usize, outputs_max: usize) -> u64 {
        let q8_0 = inputs_max.div_ceil(BlockQ8_0::BLCK_SIZE) * size_of::<BlockQ8_0>();
        let q8k = inputs_max.div_ceil(BlockQ8K::BLCK_SIZE) * size_of::<BlockQ8K>();
        (rows * (outputs_max * size_of::<f32>() + q8_0 + q8k)) as u64
    }
}

/// Input rows, rounded to the 8-bit blocks that the dot product of a quantised type takes.
pub(crate) struct Activations {
    q8_0: Vec<BlockQ8_0>,
    q8k: Vec<BlockQ8K>,
}

/// `out[o, r] = weight[o] . x[r]` (`[outputs, rows]`), for `x` of `[rows, inputs]`.
pub(crate) fn multiply(weight: &Matrix, x: &[f32], out: &mut [f32], space: &mut Activations) {
    let width = weight.columns;
    match &weight.values {
        Values::F32(values) => {
            for_each_output(out, x, width, |output, out| {
                cpu::dot_rows(x, &values[output * width..(output + 1) * width], 1.0, out);
            });
        }
        // A lone row needs no widened copy of the weight.
        Values::F16(values) if x.len() == width => {
            for_each_output(out, x, width, |output, out| {
                out[0] = cpu::dot_f16(&values[output * width..(output + 1) * width], x);
            });
        }
        Values::F16(values) => multiply_halves(values, cpu::f16_to_f32, x, width, out),
        Values::BF16(values) => multiply_halves(values, cpu::bf16_to_f32, x, width, out),
        Values::Q8_0(blocks) => multiply_blocks(blocks, x, width, out, &mut space.q8_0),
        Values::Q4_0(blocks) => multiply_blocks(blocks, x, width, out, &mut space.q8_0),
        Values::Q5_0(blocks) => multiply_blocks(blocks, x, width, out, &mut space.q8_0),
        Values::Q4K(blocks) => multiply_blocks(blocks, x, width, out, &mut space.q8k),
        Values::Q6K(blocks) => multiply_blocks(blocks, x, width, out, &mut space.q8k),
        Values::Plain(..) => {
            multiply_widened(&|output, row| weight.row_to_f32(output, row), x, width, out);
        }
    }
}

fn multiply_halves<T: Sync>(
    values: &[T],
    widen: fn(&[T], &mut [f32]),
    x: &[f32],
    width: usize,
    out: &mut [f32],
) {
    let widen = |output: usize, row: &mut [f32]| {
        widen(&values[output * width..(output + 1) * width], row);
    };
    multiply_widened(&widen, x, width, out);
}

/// Widens one weight row at a time: the matrix never exists in f32.
fn multiply_widened(
    widen: &(dyn Fn(usize, &mut [f32]) + Sync),
    x: &[f32],
    width: usize,
    out: &mut [f32],
) {
    thread_local! {
        static WIDE_ROW: RefCell<Vec<f32>> = const { RefCell::new(Vec::new()) };
    }
    for_each_output(out, x, width, |output, out| {
        WIDE_ROW.with_borrow_mut(|row| {
            row.resize(width, 0.0);
            widen(output, row);
            cpu::dot_rows(x, row, 1.0, out);
        });
    });
}

fn multiply_blocks<T: GgmlType>(
    blocks: &[T],
    x: &[f32],
    width: usize,
    out: &mut [f32],
    space: &mut Vec<T::VecDotType>,
) {
    let row_blocks = width / T::BLCK_SIZE;
    space.resize(x.len() / T::BLCK_SIZE, T::VecDotType::zeros());
    for (x, rounded) in x.chunks_exact(width).zip(space.chunks_exact_mut(row_blocks)) {
        T::VecDotType::from_float(x, rounded);
    }
    let rounded = &space[..];
    for_each_output(out, x, width, |output, out| {
        let weight = &blocks[output * row_blocks..(output + 1) * row_blocks];
        for (x, out) in rounded.chunks_exact(row_blocks).zip(out) {
            *out = T::vec_dot(width, weight, x);
        }
    });
}

/// Calls `compute(output, its values for all rows)` for each output, on several threads if it pays.
fn for_each_output(
    out: &mut [f32],
    x: &[f32],
    width: usize,
    compute: impl Fn(usize, &mut [f32]) + Sync,
) {
    let rows = x.len() / width;
    if out.len() * width < PARALLEL_MACS {
        out.chunks_exact_mut(rows).enumerate().for_each(|(output, out)| compute(output, out));
    } else {
        out.par_chunks_exact_mut(rows)
            .with_min_len(COLUMNS_MIN)
            .enumerate()
            .for_each(|(output, out)| compute(output, out));
    }
}

/// `[outputs, rows]` to `[rows, outputs]`
fn transpose(by_output: &[f32], rows: usize, out: &mut [f32]) {
    let outputs = by_output.len() / rows;
    for (output, values) in by_output.chunks_exact(rows).enumerate() {
        for (row, value) in values.iter().enumerate() {
            out[row * outputs + output] = *value;
        }
    }
}
