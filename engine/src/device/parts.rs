//! The parts that recipes are made of, on a device.

use candle_core::Device;
use protocol::ids::LayerIndex;
use protocol::model_spec::ModelSpec;

use super::DeviceLayers;
use super::attention::Attention;
use super::block::{DeviceAttention, OnDevice};
use super::feed_forward::{Experts, FeedForward, GatedMlp};
use super::latent_attention::LatentAttention;
use super::norm::RmsNorm;
use super::pages::Pages;
use crate::config::StageConfig;
use crate::error::EngineError;
use crate::layers::DeltaNet;
use crate::models::{self, LayerParts};
use crate::weights::Tensors;

/// The layers of `config`, with pages for their state.
pub(crate) fn load_layers(
    device: &Device,
    tensors: &mut Tensors<'_>,
    spec: &ModelSpec,
    config: &StageConfig,
) -> Result<DeviceLayers, EngineError> {
    let load = |layer| {
        let layer = LayerIndex(layer);
        let prefix = format!("blk.{layer}.");
        let mut parts = DeviceParts { tensors, device, spec, layer, prefix };
        models::recipe(spec.architecture)(&mut parts)
    };
    let layers = config.layers.start.0..config.layers.end.0;
    Ok(DeviceLayers {
        blocks: layers.map(load).collect::<Result<_, _>>()?,
        pages: Pages::of_stage(spec, config, device)?,
        block_size: config.kv.block_size,
        activation: config.activation,
        device: device.clone(),
    })
}

struct DeviceParts<'a, 't> {
    tensors: &'a mut Tensors<'t>,
    device: &'a Device,
    spec: &'a ModelSpec,
    layer: LayerIndex,
    prefix: String,
}

impl LayerParts for DeviceParts<'_, '_> {
    type Made = OnDevice;

    fn norm(&mut self, part: &str) -> Result<RmsNorm, EngineError> {
        let (name, width) = (format!("{}{part}.weight", self.prefix), self.spec.hidden_size);
        RmsNorm::load(self.tensors, self.device, &name, width as usize, self.spec)
    }

    fn attention(&mut self) -> Result<DeviceAttention, EngineError> {
        Attention::load(self.tensors, self.device, &self.prefix, self.spec, self.layer)
            .map(|attention| DeviceAttention::Grouped(Box::new(attention)))
    }

    fn latent_attention(&mut self) -> Result<DeviceAttention, EngineError> {
        let Some(sizes) = self.spec.attention.latent else {
            let (field, expected) = ("latent", "expected the sizes of latent attention");
            return Err(EngineError::BadSpec { field, value: 0, expected });
        };
        LatentAttention::load(self.tensors, self.device, &self.prefix, self.spec, sizes)
            .map(|attention| DeviceAttention::Latent(Box::new(attention)))
    }

    fn is_recurrent(&self) -> bool {
        self.spec.layers[self.layer.0 as usize].is_recurrent()
    }

    fn delta_net(&mut self) -> Result<DeviceAttention, EngineError> {
        let Some(delta) = &self.spec.delta_net else {
            let (field, expected) = ("delta_net", "expected the sizes of delta net layers");
            return Err(EngineError::BadSpec { field, value: 0, expected });
        };
        let delta = DeltaNet::load(self.tensors, &self.prefix, self.spec, delta)?;
        Ok(DeviceAttention::OnHost(Box::new(delta)))
    }

    fn feed_forward(&mut self) -> Result<FeedForward, EngineError> {
        let (spec, hidden) = (self.spec, self.spec.hidden_size as usize);
        let (tensors, device, prefix) = (&mut *self.tensors, self.device, self.prefix.as_str());
        match spec.experts.filter(|_| spec.has_experts(self.layer)) {
            Some(experts) => {
                Experts::load(tensors, device, prefix, hidden, experts, spec.activation)
                    .map(|experts| FeedForward::Experts(Box::new(experts)))
            }
            None => {
                let size = (hidden, spec.ffn_size as usize);
                GatedMlp::load(tensors, device, (prefix, ""), size, spec.activation, false)
                    .map(|mlp| FeedForward::Dense(Box::new(mlp)))
            }
        }
    }
}
