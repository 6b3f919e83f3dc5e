//! Output norm and vocabulary projection of the rows that are sampled.

use std::sync::Arc;

use super::linear::{MatmulScratch, multiply};
use super::rms_norm::RmsNorm;
use crate::error::EngineError;
use crate::kernels::cpu;
use crate::sampler::SampleAt;
use crate::weights::Matrix;
use crate::workspace::LogitSpace;

/// Sampled rows that share one pass over the matrix; bounds the memory of logits.
pub(crate) const LOGIT_ROWS: usize = 16;

/// What is done with the logits (`[vocabulary]`) of an asked row.
type EachRow<'a> = dyn FnMut(SampleAt<'_>, &mut [f32]) -> Result<(), EngineError> + 'a;

pub(crate) struct LmHead {
    norm: RmsNorm,
    // [vocabulary, hidden]
    weight: Arc<Matrix>,
    soft_cap: Option<f32>,
}

impl LmHead {
    pub(crate) fn new(norm: RmsNorm, weight: Arc<Matrix>, soft_cap: Option<f32>) -> Self {
        Self { norm, weight, soft_cap }
    }

    /// Calls `each` with the logits (`[vocabulary]`) of every asked row of `hidden`
    /// (`[rows, width]`), a group of rows at a time.
    pub(crate) fn each_row(
        &self,
        asked: &[(usize, SampleAt<'_>)],
        hidden: &[f32],
        (space, matmul): (&mut LogitSpace, &mut MatmulScratch),
        each: &mut EachRow<'_>,
    ) -> Result<(), EngineError> {
        let width = self.weight.columns;
        let group_rows = (space.hidden.len() / width).max(1);
        for group in asked.chunks(group_rows) {
            let rows = group.len();
            let gathered = &mut space.hidden[..rows * width];
            for ((row, at), out) in group.iter().zip(gathered.chunks_exact_mut(width)) {
                out.copy_from_slice(&hidden[row * width..(row + 1) * width]);
                // Quantising rounds NaN to a number, so it must be seen before the product.
                if !cpu::sum_of_squares(out).is_finite() {
                    return Err(at.not_finite());
                }
            }
            let normed = &mut space.normed[..rows * width];
            self.norm.forward(gathered, normed);
            let logits = &mut space.logits[..rows * self.weight.rows];
            multiply(&self.weight, normed, logits, matmul);
            if let Some(cap) = self.soft_cap {
                cpu::soft_cap(logits, cap);
            }
            for ((_, at), logits) in group.iter().zip(logits.chunks_exact_mut(self.weight.rows)) {
                each(*at, logits)?;
            }
        }
        Ok(())
    }

    /// A tied matrix is counted here too.
    pub(crate) fn bytes(&self) -> u64 {
        self.norm.bytes() + self.weight.bytes()
    }
}
