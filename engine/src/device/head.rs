//! Output norm and vocabulary projection of sampled rows.

use candle_core::{Device, Tensor};
use protocol::model_spec::ModelSpec;

use super::feed_forward::soft_cap;
use super::linear::Linear;
use super::norm::RmsNorm;
use crate::error::EngineError;
use crate::kernels::cpu;
use crate::layers::EachRow;
use crate::step_lists::Asked;
use crate::weights::Tensors;
use crate::workspace::LogitSpace;

pub(crate) struct DeviceHead {
    device: Device,
    norm: RmsNorm,
    weight: Linear,
    soft_cap: Option<f32>,
    width: usize,
    vocabulary: usize,
}

impl DeviceHead {
    pub(crate) fn load(
        tensors: &mut Tensors<'_>,
        device: &Device,
        spec: &ModelSpec,
    ) -> Result<Self, EngineError> {
        let width = spec.hidden_size as usize;
        let norm = RmsNorm::load(tensors, device, "output_norm.weight", width, spec)?;
        let name = if spec.tied_embeddings { "token_embd.weight" } else { "output.weight" };
        let blocks = tensors.blocks(name, spec.vocab_size as usize, width)?;
        let weight = Linear::of(&blocks, device)?;
        let (soft_cap, vocabulary) = (spec.logit_soft_cap, spec.vocab_size as usize);
        Ok(Self { device: device.clone(), norm, weight, soft_cap, width, vocabulary })
    }

    /// Calls `each` with the logits (`[vocabulary]`) of every asked row of `hidden`
    /// (`[rows, width]`), a group of rows at a time.
    pub(crate) fn each_row(
        &self,
        asked: &[Asked<'_>],
        hidden: &[f32],
        space: &mut LogitSpace,
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
            let rows = logits.chunks_exact_mut(self.vocabulary);
            for ((_, at), logits) in group.iter().zip(rows) {
                each(*at, logits)?;
            }
        }
        Ok(())
    }

    fn logits(&self, hidden: &[f32], rows: usize) -> Result<Vec<f32>, EngineError> {
        let x = Tensor::from_slice(hidden, (rows, self.width), &self.device)?;
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
