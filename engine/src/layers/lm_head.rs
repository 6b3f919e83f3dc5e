//! Output norm and vocabulary projection of the rows that are sampled.

use std::sync::Arc;

use super::linear::multiply;
use super::rms_norm::RmsNorm;
use crate::error::EngineError;
use crate::kernels::cpu;
use crate::sampler::SampleAt;
use crate::weights::Matrix;
use crate::workspace::{LogitSpace, TileSpace};

/// Sampled rows that share one pass over the matrix; bounds the memory of logits.
pub(crate) const LOGIT_ROWS: usize = 16;

/// What is done with the logits (`[vocabulary]`) of an asked row.
pub(crate) type EachRow<'a> = dyn FnMut(SampleAt<'_>, &mut [f32]) -> Result<(), EngineError> + 'a;

pub(crate) struct LmHead {
    pub(crate) norm: RmsNorm,
    /// The rank's rows of `[vocabulary, hidden]`.
    pub(crate) weight: Arc<Matrix>,
    pub(crate) vocabulary: usize,
    /// Rows come together on the first rank.
    pub(crate) is_first: bool,
    pub(crate) soft_cap: Option<f32>,
}

impl LmHead {
    /// Calls `each` with the logits (`[vocabulary]`) of every asked row of `hidden`
    /// (`[rows, width]`), a group of rows at a time; on the first rank only.
    pub(crate) fn each_row(
        &self,
        asked: &[(usize, SampleAt<'_>)],
        hidden: &[f32],
        (space, tile): (&mut LogitSpace, &mut TileSpace),
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
            let logits = &mut space.logits[..rows * self.vocabulary];
            if self.weight.rows == self.vocabulary {
                multiply(&self.weight, normed, logits, &mut tile.matmul);
            } else {
                let part = &mut space.part[..rows * self.weight.rows];
                multiply(&self.weight, normed, part, &mut tile.matmul);
                let parts =
                    (0..rows).map(|row| &part[row * self.weight.rows..][..self.weight.rows]);
                for (part, row) in parts.zip(logits.chunks_exact_mut(self.vocabulary)) {
                    tile.group.gather(part, row)?;
                }
                if !self.is_first {
                    continue;
                }
            }
            if let Some(cap) = self.soft_cap {
                cpu::soft_cap(logits, cap);
            }
            for ((_, at), logits) in group.iter().zip(logits.chunks_exact_mut(self.vocabulary)) {
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
