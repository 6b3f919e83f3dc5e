//! The block of all attention decoders on a device.

use candle_core::{DType, Tensor};

use super::attention::Attention;
use super::feed_forward::FeedForward;
use super::latent_attention::LatentAttention;
use super::norm::RmsNorm;
use super::pages::Pages;
use super::per_layer_input::PerLayerInput;
use super::step::Step;
use super::{DeviceResult, HostSide};
use crate::error::EngineError;
use crate::layers::DeltaNet;
use crate::models::{BesideExperts, Made, ResidualBlock};
use crate::workspace::TILE_ROWS;

/// Layers in a device's memory.
pub(crate) enum OnDevice {}

impl Made for OnDevice {
    type Norm = RmsNorm;
    type Attention = DeviceAttention;
    type FeedForward = FeedForward;
    type PerLayerInput = PerLayerInput;
}

pub(crate) enum DeviceAttention {
    Grouped(Box<Attention>),
    Latent(Box<LatentAttention>),
    /// Computed by the CPU's layer: rows go there and come back.
    OnHost(Box<DeltaNet>),
    /// The rank has none of its heads.
    Elsewhere,
}

impl ResidualBlock<OnDevice> {
    /// `x` and the result are `[rows, hidden]`; `layer` counts the stage's own layers.
    pub(super) fn forward(
        &self,
        x: &Tensor,
        step: &Step,
        (layer, pages): (usize, &Pages),
        host: &mut HostSide<'_>,
    ) -> Result<Tensor, EngineError> {
        let normed = self.attention_norm.forward(x)?;
        let attended = match &self.attention {
            DeviceAttention::Grouped(attention) => attention.forward(&normed, step, pages)?,
            DeviceAttention::Latent(attention) => attention.forward(&normed, step, pages)?,
            DeviceAttention::OnHost(delta) => on_host(delta, &normed, layer, host)?,
            DeviceAttention::Elsewhere => normed.zeros_like()?,
        };
        let attended = host.all_reduce(attended)?;
        let (x, normed) = match &self.attention_post_norm {
            Some(norm) => {
                let x = norm.add_to(x, &attended)?;
                let normed = self.ffn_norm.forward(&x)?;
                (x, normed)
            }
            None => self.ffn_norm.forward_sum(x, &attended)?,
        };
        let produced = self.feed_forward.forward(&normed, &normed)?;
        let mut produced = host.all_reduce(produced)?;
        if let Some(beside) = &self.beside {
            produced = beside.forward(&x, &produced, host)?;
        }
        let mut x = match &self.ffn_post_norm {
            Some(norm) => norm.add_to(&x, &produced)?,
            None => (&x + produced)?,
        };
        if let Some(input) = &self.per_layer_input {
            x = (&x + input.forward(&x, step, host.rows)?)?;
        }
        match self.output_scale {
            Some(scale) => Ok((x * f64::from(scale))?),
            None => Ok(x),
        }
    }

    /// On the device.
    pub(super) fn bytes(&self) -> u64 {
        let attention = match &self.attention {
            DeviceAttention::Grouped(attention) => attention.bytes(),
            DeviceAttention::Latent(attention) => attention.bytes(),
            DeviceAttention::OnHost(_) | DeviceAttention::Elsewhere => 0,
        };
        let feed_forward: u64 = self.feed_forwards().map(FeedForward::bytes).sum();
        let input = self.per_layer_input.as_ref().map_or(0, PerLayerInput::bytes);
        self.norms().map(RmsNorm::bytes).sum::<u64>() + attention + feed_forward + input
    }
}

impl BesideExperts<OnDevice> {
    /// `dense` is what the feed-forward for all rows gives; the result is what both give.
    fn forward(
        &self,
        x: &Tensor,
        dense: &Tensor,
        host: &mut HostSide<'_>,
    ) -> Result<Tensor, EngineError> {
        let (normed, routed) = (self.norm.forward(x)?, self.router_norm.forward(x)?);
        let produced = host.all_reduce(self.experts.forward(&normed, &routed)?)?;
        Ok(self.post_norm.add_to(&self.dense_post_norm.forward(dense)?, &produced)?)
    }
}

fn on_host(delta: &DeltaNet, x: &Tensor, layer: usize, host: &mut HostSide<'_>) -> DeviceResult {
    let mut values = x.to_dtype(DType::F32)?.flatten_all()?.to_vec1::<f32>()?;
    let width = x.dim(1)?;
    let tiles = host.rows.chunks(TILE_ROWS).zip(values.chunks_mut(TILE_ROWS * width));
    for (rows, values) in tiles {
        let mut space = host.space.of_rows(rows.len());
        space.normed.copy_from_slice(values);
        delta.forward(rows, layer, host.slots, &mut space);
        values.copy_from_slice(space.output);
    }
    Tensor::from_vec(values, x.shape(), x.device())
}
