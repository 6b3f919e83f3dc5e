//! Matrix product with a weight in any stored type, one order of accumulation for every batch size.

use std::sync::Arc;

use crate::error::EngineError;
use crate::kernels::panels::{self, InputSpace, Product};
use crate::kernels::{Compute, cpu};
use crate::weights::{Matrix, Tensors};

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
        forward_all([(self, out)], x, scratch);
    }

    /// Values of a row of its result.
    pub(crate) fn outputs(&self) -> usize {
        self.weight.rows
    }

    pub(crate) fn bytes(&self) -> u64 {
        let bias = self.bias.as_ref().map_or(0, |bias| size_of_val(&bias[..]));
        self.weight.bytes() + bias as u64
    }
}

/// The layers of one input, which is rounded once; the threads meet once for all of them.
pub(crate) fn forward_all<const N: usize>(
    mut layers: [(&Linear, &mut [f32]); N],
    x: &[f32],
    scratch: &mut MatmulScratch,
) {
    let mut products =
        layers.each_mut().map(|(layer, out)| Product::new(&layer.weight.packed, out));
    panels::multiply(&scratch.compute, &mut products, x, &mut scratch.input);
    for (layer, out) in layers {
        if let Some(bias) = &layer.bias {
            out.chunks_exact_mut(bias.len()).for_each(|row| cpu::add(row, bias));
        }
    }
}

/// `out[r, o] = weight[o] . x[r]` (`[rows, outputs]`), for `x` of `[rows, inputs]`.
pub(crate) fn multiply(weight: &Matrix, x: &[f32], out: &mut [f32], scratch: &mut MatmulScratch) {
    let product = Product::new(&weight.packed, out);
    panels::multiply(&scratch.compute, &mut [product], x, &mut scratch.input);
}

/// Space of a stage's matrix products, and the threads that compute them.
pub(crate) struct MatmulScratch {
    compute: Arc<Compute>,
    input: InputSpace,
}

impl MatmulScratch {
    /// For products of up to `rows` rows with up to `inputs_max` values each.
    pub(crate) fn new(compute: Arc<Compute>, rows: usize, inputs_max: usize) -> Self {
        Self { compute, input: InputSpace::with_capacity(rows, inputs_max) }
    }

    /// Memory of such a scratch.
    pub(crate) fn bytes(rows: usize, inputs_max: usize) -> u64 {
        InputSpace::bytes(rows, inputs_max) as u64
    }

    pub(crate) fn compute(&self) -> &Arc<Compute> {
        &self.compute
    }
}
