//! Gated delta net in the place of attention: a state of fixed size instead of keys and values.

use protocol::model_spec::{DeltaNetSpec, ModelSpec};

use super::delta_heads::DeltaHeads;
use super::delta_projections::Projections;
use super::linear::Linear;
use super::paged_attention::RowPlace;
use crate::error::EngineError;
use crate::state::SlotPool;
use crate::weights::Tensors;
use crate::workspace::TileRows;

pub(crate) struct DeltaNet {
    projections: Projections,
    heads: DeltaHeads,
    output: Linear,
    key_heads: usize,
    value_dim: usize,
    /// Values of all heads of a row.
    width: usize,
}

impl DeltaNet {
    /// Loads `{prefix}ssm_out` and what its parts need.
    pub(crate) fn load(
        tensors: &mut Tensors<'_>,
        prefix: &str,
        spec: &ModelSpec,
        delta: &DeltaNetSpec,
    ) -> Result<Self, EngineError> {
        let (hidden, width) = (spec.hidden_size as usize, delta.value_width() as usize);
        Ok(Self {
            projections: Projections::load(tensors, prefix, hidden, delta)?,
            heads: DeltaHeads::load(tensors, prefix, spec, delta)?,
            output: Linear::load(tensors, &format!("{prefix}ssm_out"), hidden, width, false)?,
            key_heads: delta.key_heads as usize,
            value_dim: delta.value_dim as usize,
            width,
        })
    }

    /// Reads `space.normed`, leaves the result in `space.output`; `layer` counts the stage's own.
    pub(crate) fn forward(
        &self,
        rows: &[RowPlace<'_>],
        layer: usize,
        slots: &mut SlotPool,
        space: &mut TileRows<'_>,
    ) {
        let count = rows.len();
        let (projected, rest) = space.projected.split_at_mut(count * self.projections.width);
        let (produced, rest) = rest.split_at_mut(count * self.width);
        let gathered = &mut rest[..count * self.width];
        self.projections.forward(count, space.normed, projected, space.matmul);
        let projected = (&*projected, &self.projections.places);
        self.heads.forward(space.matmul.compute(), rows, projected, (slots, layer), produced);
        self.gather(produced, gathered);
        self.output.forward(gathered, space.output, space.matmul);
    }

    /// From `[key heads][rows, value heads of it]` to `[rows][value heads in the model's order]`.
    fn gather(&self, produced: &[f32], gathered: &mut [f32]) {
        let group = self.width / self.key_heads;
        for (row, out) in gathered.chunks_exact_mut(self.width).enumerate() {
            let rows = produced.len() / self.width;
            for head in 0..self.key_heads {
                let own = &produced[(head * rows + row) * group..][..group];
                for (value, own) in own.chunks_exact(self.value_dim).enumerate() {
                    let first = self.heads.number(head, value) * self.value_dim;
                    out[first..first + self.value_dim].copy_from_slice(own);
                }
            }
        }
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.projections.bytes() + self.heads.bytes() + self.output.bytes()
    }
}
