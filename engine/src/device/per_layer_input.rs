//! What a layer gets of each token beside the residual (Gemma 4's small models). Its table stays in
//! host memory: a row of it is all that a token needs.

use candle_core::Tensor;
use protocol::ids::LayerIndex;
use protocol::model_spec::ModelSpec;

use super::DeviceResult;
use super::linear::Linear;
use super::norm::RmsNorm;
use super::step::Step;
use super::target::Target;
use crate::error::EngineError;
use crate::layers::RowPlace;
use crate::weights::{Matrix, Tensors};

pub(crate) struct PerLayerInput {
    // [vocabulary, width]
    table: Matrix,
    projection: Linear,
    norm: RmsNorm,
    /// From the rows, and back to them.
    gate: Linear,
    output: Linear,
    post_norm: RmsNorm,
    width: usize,
}

impl PerLayerInput {
    pub(super) fn load(
        tensors: &mut Tensors<'_>,
        target: &Target,
        prefix: &str,
        spec: &ModelSpec,
        layer: LayerIndex,
    ) -> Result<Self, EngineError> {
        let (width, hidden) = (spec.per_layer_width as usize, spec.hidden_size as usize);
        let mut linear = |part: &str, size| {
            Linear::load(tensors, target, &format!("{prefix}{part}"), size, false)
        };
        let projection = linear("per_layer_model_proj", [width, hidden])?;
        let (gate, output) =
            (linear("inp_gate", [width, hidden])?, linear("proj", [hidden, width])?);
        let mut norm = |name: &str, width| RmsNorm::load(tensors, target, name, width, spec);
        let post_norm = norm(&format!("{prefix}post_norm.weight"), hidden)?;
        let norm = norm("per_layer_proj_norm.weight", width)?;
        let table = tensors.layer_table(layer)?;
        Ok(Self { table, projection, norm, gate, output, post_norm, width })
    }

    /// `x` and the result are `[rows, hidden]`, the result what is added to `x`.
    pub(super) fn forward(&self, x: &Tensor, step: &Step, rows: &[RowPlace<'_>]) -> DeviceResult {
        let Some(embedded) = &step.embedded else {
            candle_core::bail!("a layer's own input needs the embedded tokens");
        };
        let scale = 1.0 / (x.dim(1)? as f64).sqrt();
        let projected = self.norm.forward(&(self.projection.forward(embedded)? * scale)?)?;
        let mut looked_up = vec![0.0; rows.len() * self.width];
        for (row, out) in rows.iter().zip(looked_up.chunks_exact_mut(self.width)) {
            self.table.row_to_f32(row.token.0 as usize, out);
        }
        let looked_up = Tensor::from_vec(looked_up, (rows.len(), self.width), x.device())?;
        let input = (projected + (looked_up * (self.width as f64).sqrt())?)?;
        let input = (input * std::f64::consts::FRAC_1_SQRT_2)?;
        let gated = (self.gate.forward(x)?.gelu()? * input)?;
        self.post_norm.forward(&self.output.forward(&gated)?)
    }

    /// On the device: the table is not.
    pub(super) fn bytes(&self) -> u64 {
        let linears = [&self.projection, &self.gate, &self.output].map(Linear::bytes);
        let norms = self.norm.bytes() + self.post_norm.bytes();
        linears.iter().sum::<u64>() + norms
    }
}
