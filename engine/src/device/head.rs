//! Output norm and vocabulary projection of sampled rows.

use candle_core::Tensor;
use protocol::model_spec::ModelSpec;

use super::activation::soft_cap;
use super::linear::Linear;
use super::norm::RmsNorm;
use super::target::Target;
use crate::error::EngineError;
use crate::kernels::cpu;
use crate::layers::EachRow;
use crate::step_lists::Asked;
use crate::weights::Tensors;
use crate::workspace::{LogitSpace, TileSpace};

pub(crate) struct DeviceHead {
    target: Target,
    norm: RmsNorm,
    weight: Linear,
    soft_cap: Option<f32>,
    width: usize,
    vocabulary: usize,
    /// The rank's rows of the matrix.
    part: usize,
    /// Rows come together on the first rank.
    pub(crate) is_first: bool,
}

impl DeviceHead {
    pub(crate) fn load(
        tensors: &mut Tensors<'_>,
        target: &Target,
        spec: &ModelSpec,
    ) -> Result<Self, EngineError> {
        let width = spec.hidden_size as usize;
        let norm = RmsNorm::load(tensors, target, "output_norm.weight", width, spec)?;
        let blocks = tensors.head_blocks()?;
        let part = blocks.shape[0];
        let weight = Linear::of(blocks, target)?;
        let (soft_cap, vocabulary) = (spec.logit_soft_cap, spec.vocab_size as usize);
        let (target, is_first) = (target.clone(), tensors.is_first());
        Ok(Self { target, norm, weight, soft_cap, width, vocabulary, part, is_first })
    }

    /// Calls `each` with the logits (`[vocabulary]`) of every asked row of `hidden`
    /// (`[rows, width]`), a group of rows at a time; on the first rank only.
    pub(crate) fn each_row(
        &self,
        asked: &[Asked<'_>],
        hidden: &[f32],
        (space, tile): (&mut LogitSpace, &mut TileSpace),
        each: &mut EachRow<'_>,
    ) -> Result<(), EngineError> {
        let width = self.width;
        for group in asked.chunks((space.hidden.len() / width).max(1)) {
            let gathered = &mut space.hidden[..group.len() * width];
            for ((row, at), out) in group.iter().zip(gathered.chunks_exact_mut(width)) {
                out.copy_from_slice(&hidden[row * width..(row + 1) * width]);
                if !cpu::sum_of_squares(out).is_finite() {
                    return Err(at.not_finite());
                }
            }
            let mut logits = self.logits(gathered, group.len())?;
            if self.part < self.vocabulary {
                let whole = &mut space.logits[..group.len() * self.vocabulary];
                let rows = whole.chunks_exact_mut(self.vocabulary);
                for (own, all) in logits.chunks_exact(self.part).zip(rows) {
                    tile.group.gather(own, all)?;
                }
                logits = whole.to_vec();
            }
            if !self.is_first {
                continue;
            }
            let rows = logits.chunks_exact_mut(self.vocabulary);
            for ((_, at), logits) in group.iter().zip(rows) {
                each(*at, logits)?;
            }
        }
        Ok(())
    }

    fn logits(&self, hidden: &[f32], rows: usize) -> Result<Vec<f32>, EngineError> {
        let x = Tensor::from_slice(hidden, (rows, self.width), &self.target.device)?;
        let mut logits = self.weight.forward(&self.norm.forward(&x)?)?;
        if let Some(cap) = self.soft_cap {
            logits = soft_cap(&logits, cap)?;
        }
        Ok(logits.flatten_all()?.to_vec1::<f32>()?)
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.norm.bytes() + self.weight.bytes()
    }
}
