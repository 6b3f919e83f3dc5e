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
    /// Loads the vector `name`, as wide as the model.
    pub(crate) fn load(
        tensors: &mut Tensors<'_>,
        name: &str,
        spec: &ModelSpec,
    ) -> Result<Self, EngineError> {
        let weight = tensors.vector(name, spec.hidden_size as usize)?;
        Ok(Self { weight, epsilon: spec.norm_epsilon })
    }

    /// `out = x / rms(x) * weight`, row by row; both are `[rows, width]`.
    pub(crate) fn forward(&self, x: &[f32], out: &mut [f32]) {
        let width = self.weight.len();
        for (x, out) in x.chunks_exact(width).zip(out.chunks_exact_mut(width)) {
            let mean = cpu::sum_of_squares(x) / width as f32;
            cpu::scale_into(x, 1.0 / (mean + self.epsilon).sqrt(), &self.weight, out);
        }
    }

    pub(crate) fn bytes(&self) -> u64 {
        size_of_val(&self.weight[..]) as u64
    }
}
