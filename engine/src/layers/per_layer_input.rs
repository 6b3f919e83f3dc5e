//! What a layer gets of each token beside the residual (Gemma 4's small models): a row of a table
//! of its own, and a projection of the embedded token.

use protocol::ids::LayerIndex;
use protocol::model_spec::{Activation, ModelSpec};

use super::activation::activate;
use super::attention::Tile;
use super::linear::Linear;
use super::rms_norm::RmsNorm;
use crate::error::EngineError;
use crate::kernels::cpu;
use crate::weights::{Matrix, Tensors};
use crate::workspace::TileRows;

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
    pub(crate) fn load(
        tensors: &mut Tensors<'_>,
        prefix: &str,
        spec: &ModelSpec,
        layer: LayerIndex,
    ) -> Result<Self, EngineError> {
        let (width, hidden) = (spec.per_layer_width as usize, spec.hidden_size as usize);
        let norm = |tensors: &mut Tensors<'_>, name: &str, width| {
            RmsNorm::load(tensors, name, width, spec)
        };
        let mut linear = |part: &str, outputs, inputs| {
            Linear::load(tensors, &format!("{prefix}{part}"), outputs, inputs, false)
        };
        Ok(Self {
            projection: linear("per_layer_model_proj", width, hidden)?,
            gate: linear("inp_gate", width, hidden)?,
            output: linear("proj", hidden, width)?,
            table: tensors.layer_table(layer)?,
            norm: norm(tensors, "per_layer_proj_norm.weight", width)?,
            post_norm: norm(tensors, &format!("{prefix}post_norm.weight"), hidden)?,
            width,
        })
    }

    /// `hidden += norm(output(gelu(gate(hidden)) * input))`, where the input is half of each by
    /// variance; `hidden` is `[rows, hidden]`.
    pub(crate) fn forward(&self, hidden: &mut [f32], tile: &Tile<'_>, space: &mut TileRows<'_>) {
        let values = tile.rows.len() * self.width;
        let (gate, input) = (&mut space.gate[..values], &mut space.up[..values]);
        self.projection.forward(tile.embedded, gate, space.matmul);
        let model_width = hidden.len() / tile.rows.len().max(1);
        cpu::scale(gate, 1.0 / (model_width as f32).sqrt());
        self.norm.normalise(gate);
        let scale = (self.width as f32).sqrt();
        let rows = input.chunks_exact_mut(self.width).zip(gate.chunks_exact(self.width));
        for ((input, projected), place) in rows.zip(tile.rows) {
            self.table.row_to_f32(place.token.0 as usize, input);
            for (x, projected) in input.iter_mut().zip(projected) {
                *x = (projected + *x * scale) * std::f32::consts::FRAC_1_SQRT_2;
            }
        }
        self.gate.forward(hidden, gate, space.matmul);
        activate(Activation::GeluTanh, gate, input);
        self.output.forward(gate, space.output, space.matmul);
        self.post_norm.normalise(space.output);
        cpu::add(hidden, space.output);
    }

    pub(crate) fn bytes(&self) -> u64 {
        let linears = [&self.projection, &self.gate, &self.output].map(Linear::bytes);
        let norms = self.norm.bytes() + self.post_norm.bytes();
        self.table.bytes() + linears.iter().sum::<u64>() + norms
    }
}
