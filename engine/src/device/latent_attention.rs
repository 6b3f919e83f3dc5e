//! Multi-head latent attention (DeepSeek-V2, arXiv 2405.04434), in the form that the CPU computes:
//! queries are carried over to the shared vectors, results carried back.

use candle_core::{D, Tensor};
use protocol::model_spec::{LatentSpec, ModelSpec};

use super::linear::Linear;
use super::norm::RmsNorm;
use super::pages::Pages;
use super::placed::place;
use super::scores::PagedAttention;
use super::step::Step;
use super::target::Target;
use super::{DeviceResult, bytes_of};
use crate::error::EngineError;
use crate::weights::Tensors;

pub(crate) struct LatentAttention {
    query: Vec<Linear>,
    query_norm: Option<RmsNorm>,
    squeeze: Linear,
    squeeze_norm: RmsNorm,
    // [heads, plain, rank]
    to_latent: Tensor,
    // [heads, rank, value]
    to_value: Tensor,
    output: Linear,
    heads: PagedAttention,
    sizes: LatentSpec,
}

impl LatentAttention {
    pub(super) fn load(
        tensors: &mut Tensors<'_>,
        target: &Target,
        prefix: &str,
        spec: &ModelSpec,
        sizes: LatentSpec,
    ) -> Result<Self, EngineError> {
        let (hidden, heads) = (spec.hidden_size as usize, spec.attention.heads as usize);
        let first = tensors.first_head();
        let (rank, value) = (sizes.rank as usize, sizes.value_dim as usize);
        let (rest, rotated) = (sizes.plain_dim as usize, sizes.rope_dim as usize);
        let name = |part: &str| format!("{prefix}attn_{part}");
        let width = heads * (rest + rotated);
        let mut linear = |part: &str, size| Linear::load(tensors, target, &name(part), size, false);
        let query = match sizes.query_rank as usize {
            0 => vec![linear("q", [width, hidden])?],
            narrow => vec![linear("q_a", [narrow, hidden])?, linear("q_b", [width, narrow])?],
        };
        let squeeze = linear("kv_a_mqa", [rank + rotated, hidden])?;
        let output = linear("output", [hidden, heads * value])?;
        let mut norm = |part: &str, width| {
            RmsNorm::load(tensors, target, &name(&format!("{part}.weight")), width, spec)
        };
        let narrow = sizes.query_rank as usize;
        let query_norm = (narrow > 0).then(|| norm("q_a_norm", narrow)).transpose()?;
        let squeeze_norm = norm("kv_a_norm", rank)?;
        let mut matrix = |part: &str, size: [usize; 2]| -> Result<Tensor, EngineError> {
            let blocks = tensors.blocks(&format!("{}.weight", name(part)), size[0], size[1])?;
            if blocks.order.is_some() {
                let what = "heads of latent attention with columns in an order of their own";
                return Err(EngineError::NotOnDevice { what });
            }
            Ok(place(&blocks, &target.device)?)
        };
        let (mut to_latent, mut to_value) = (Vec::new(), Vec::new());
        for head in first..first + heads {
            let keys = format!("k_b.{head}");
            to_latent.push(match sizes.split_keys {
                true => matrix(&keys, [rank, rest])?.t()?.contiguous()?,
                false => matrix(&keys, [rest, rank])?,
            });
            to_value.push(matrix(&format!("v_b.{head}"), [value, rank])?.t()?.contiguous()?);
        }
        let heads = PagedAttention {
            heads,
            kv_heads: 1,
            value_dim: rank,
            scale: spec.attention.score_scale(),
            soft_cap: None,
            window: None,
            sinks: None,
            target: target.clone(),
        };
        let (to_latent, to_value) = (Tensor::stack(&to_latent, 0)?, Tensor::stack(&to_value, 0)?);
        Ok(Self {
            query,
            query_norm,
            squeeze,
            squeeze_norm,
            to_latent,
            to_value,
            output,
            heads,
            sizes,
        })
    }

    /// `x` and the result are `[rows, hidden]`.
    pub(super) fn forward(&self, x: &Tensor, step: &Step, pages: &Pages) -> DeviceResult {
        let (rank, rest) = (self.sizes.rank as usize, self.sizes.plain_dim as usize);
        let (rotated, rotation) = (self.sizes.rope_dim as usize, &step.rotations[0]);
        let mut query = x.clone();
        for (i, linear) in self.query.iter().enumerate() {
            query = linear.forward(&query)?;
            if let Some(norm) = self.query_norm.as_ref().filter(|_| i == 0) {
                query = norm.forward(&query)?;
            }
        }
        let query = query.reshape((step.rows, self.heads.heads, rest + rotated))?;
        let turned = rotation.rotate(&query.narrow(2, rest, rotated)?)?;
        let squeezed = self.squeeze.forward(x)?;
        let shared = self.squeeze_norm.forward(&squeezed.narrow(1, 0, rank)?)?;
        let key = squeezed.narrow(1, rank, rotated)?.unsqueeze(1)?;
        let key = rotation.rotate(&key)?.squeeze(1)?;
        pages.store(&step.slots, &Tensor::cat(&[shared, key], 1)?, None)?;
        let target = &self.heads.target;
        let over = |x: &Tensor| target.rows(x, |x| per_head(x, &self.to_latent));
        let back = |x: &Tensor| target.rows(x, |x| per_head(x, &self.to_value));
        let carried = over(&query.narrow(2, 0, rest)?)?;
        let query = Tensor::cat(&[carried, turned], D::Minus1)?;
        let attended = self.heads.forward(step, pages, &query)?;
        self.output.forward(&back(&attended)?.flatten_from(1)?)
    }

    pub(super) fn bytes(&self) -> u64 {
        let norms = self.query_norm.as_ref().map_or(0, RmsNorm::bytes) + self.squeeze_norm.bytes();
        let linears = self.query.iter().chain([&self.squeeze, &self.output]);
        let matrices = bytes_of(&self.to_latent) + bytes_of(&self.to_value);
        linears.map(Linear::bytes).sum::<u64>() + norms + matrices
    }
}

/// `[rows, heads, inputs]` times a matrix of each head (`[heads, inputs, outputs]`).
fn per_head(x: &Tensor, matrices: &Tensor) -> DeviceResult {
    let x = x.transpose(0, 1)?.contiguous()?.to_dtype(matrices.dtype())?;
    x.matmul(matrices)?.to_dtype(candle_core::DType::F32)?.transpose(0, 1)?.contiguous()
}
