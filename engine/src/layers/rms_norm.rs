//! Root-mean-square normalisation.

use protocol::model_spec::ModelSpec;

use crate::error::EngineError;
use crate::kernels::cpu;
use crate::weights::Tensors;

pub(crate) struct RmsNorm {
    // [width]
    weight: Vec<f32>,
    epsilon: f32,
}

impl RmsNorm {
    /// Loads the vector `name` of `width` values.
    pub(crate) fn load(
        tensors: &mut Tensors<'_>,
        name: &str,
        width: usize,
        spec: &ModelSpec,
    ) -> Result<Self, EngineError> {
        let mut weight = tensors.vector(name, width)?;
        weight.iter_mut().for_each(|x| *x += spec.norm_offset);
        Ok(Self { weight, epsilon: spec.norm_epsilon })
    }

    /// Without weights.
    pub(crate) fn plain(width: usize, spec: &ModelSpec) -> Self {
        Self { weight: vec![1.0; width], epsilon: spec.norm_epsilon }
    }

    /// Multiplies what it gives by `factor`.
    pub(crate) fn times(mut self, factor: f32) -> Self {
        self.weight.iter_mut().for_each(|x| *x *= factor);
        self
    }

    /// `out = x / rms(x) * weight`, row by row; both are `[rows, width]`.
    pub(crate) fn forward(&self, x: &[f32], out: &mut [f32]) {
        let width = self.weight.len();
        for (x, out) in x.chunks_exact(width).zip(out.chunks_exact_mut(width)) {
            cpu::scale_into(x, self.factor(x), &self.weight, out);
        }
    }

    /// The same in place, e.g. of the heads of a row: `x` is `[rows, width]`.
    pub(crate) fn normalise(&self, x: &mut [f32]) {
        for x in x.chunks_exact_mut(self.weight.len()) {
            let factor = self.factor(x);
            x.iter_mut().zip(&self.weight).for_each(|(x, weight)| *x = *x * factor * weight);
        }
    }

    fn factor(&self, x: &[f32]) -> f32 {
        let mean = cpu::sum_of_squares(x) / x.len() as f32;
        1.0 / (mean + self.epsilon).sqrt()
    }

    pub(crate) fn bytes(&self) -> u64 {
        size_of_val(&self.weight[..]) as u64
    }
}
