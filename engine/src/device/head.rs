//! Output norm and vocabulary projection of sampled rows.

use candle_core::Tensor;
use protocol::model_spec::ModelSpec;
use protocol::step_batch::SampledToken;

use super::activation::soft_cap;
use super::candidates;
use super::linear::Linear;
use super::norm::RmsNorm;
use super::target::Target;
use crate::error::EngineError;
use crate::kernels::cpu;
use crate::layers::EachRow;
use crate::sampler::{Needed, Sampler};
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
        for group in asked.chunks(self.together(space)) {
            let logits = self.logits(group, hidden, &mut space.hidden)?;
            let mut logits = logits.flatten_all()?.to_vec1::<f32>()?;
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
            for ((_, at), logits) in group.iter().zip(logits.chunks_exact_mut(self.vocabulary)) {
                each(*at, logits)?;
            }
        }
        Ok(())
    }

    /// Samples every asked row of `hidden`. Logits come to the host as far as the choice needs
    /// them; a rank's part always does.
    pub(crate) fn sample(
        &self,
        asked: &[Asked<'_>],
        hidden: &[f32],
        (space, tile): (&mut LogitSpace, &mut TileSpace),
        (sampler, samples): (&mut Sampler, &mut Vec<SampledToken>),
    ) -> Result<(), EngineError> {
        if self.target.kernels.are_plain() || self.part < self.vocabulary {
            return self.each_row(asked, hidden, (space, tile), &mut |at, logits| {
                samples.push(sampler.sample(at, logits)?);
                Ok(())
            });
        }
        for group in asked.chunks(self.together(space)) {
            let logits = self.logits(group, hidden, &mut space.hidden)?;
            let best = candidates::best(&self.target, &logits)?;
            for (row, ((_, at), best)) in group.iter().zip(best).enumerate() {
                if !best.finite {
                    return Err(at.not_finite());
                }
                let row = logits.narrow(0, row, 1)?;
                let few = match sampler.needed(at) {
                    Needed::Likeliest(1) => vec![best.candidate],
                    Needed::Likeliest(few) => candidates::likeliest(&self.target, &row, few)?,
                    Needed::All => {
                        let mut row = row.flatten_all()?.to_vec1::<f32>()?;
                        samples.push(sampler.sample(*at, &mut row)?);
                        continue;
                    }
                };
                samples.push(sampler.sample_likeliest(*at, best.candidate, few)?);
            }
        }
        Ok(())
    }

    /// Rows of a group.
    fn together(&self, space: &LogitSpace) -> usize {
        (space.hidden.len() / self.width).max(1)
    }

    /// The rank's logits of a group of rows, `[rows, part]`.
    fn logits(
        &self,
        group: &[Asked<'_>],
        hidden: &[f32],
        gathered: &mut [f32],
    ) -> Result<Tensor, EngineError> {
        let width = self.width;
        let gathered = &mut gathered[..group.len() * width];
        for ((row, at), out) in group.iter().zip(gathered.chunks_exact_mut(width)) {
            out.copy_from_slice(&hidden[row * width..(row + 1) * width]);
            if !cpu::sum_of_squares(out).is_finite() {
                return Err(at.not_finite());
            }
        }
        let x = Tensor::from_slice(gathered, (group.len(), width), &self.target.device)?;
        let logits = self.weight.forward(&self.norm.forward(&x)?)?;
        Ok(match self.soft_cap {
            Some(cap) => soft_cap(&logits, cap)?,
            None => logits,
        })
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.norm.bytes() + self.weight.bytes()
    }
}
