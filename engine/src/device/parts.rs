//! The parts that recipes are made of, on a device.

use protocol::ids::LayerIndex;
use protocol::model_spec::{Architecture, ModelSpec};

use super::DeviceLayers;
use super::attention::Attention;
use super::block::{DeviceAttention, OnDevice};
use super::crossing::Crossing;
use super::feed_forward::{Experts, FeedForward, GatedMlp};
use super::latent_attention::LatentAttention;
use super::norm::RmsNorm;
use super::pages::Pages;
use super::per_layer_input::PerLayerInput;
use super::target::Target;
use crate::config::StageConfig;
use crate::error::EngineError;
use crate::layers::DeltaNet;
use crate::models::{self, LayerParts};
use crate::weights::Tensors;

/// The layers of `config`, with pages for their state.
pub(crate) fn load_layers(
    target: &Target,
    tensors: &mut Tensors<'_>,
    spec: &ModelSpec,
    config: &StageConfig,
) -> Result<DeviceLayers, EngineError> {
    let load = |layer| {
        let layer = LayerIndex(layer);
        let prefix = format!("blk.{layer}.");
        let mut parts = DeviceParts { tensors, target, spec, layer, prefix };
        models::recipe(spec.architecture)(&mut parts)
    };
    let layers = config.layers.start.0..config.layers.end.0;
    let floats = config.kv.step_tokens_max as usize * spec.hidden_size as usize;
    Ok(DeviceLayers {
        blocks: layers.map(load).collect::<Result<_, _>>()?,
        pages: Pages::of_stage(spec, config, target)?,
        block_size: config.kv.block_size,
        activation: config.activation,
        shared: !config.is_whole(),
        crossing: Crossing::new(target, floats)?,
        target: target.clone(),
    })
}

struct DeviceParts<'a, 't> {
    tensors: &'a mut Tensors<'t>,
    target: &'a Target,
    spec: &'a ModelSpec,
    layer: LayerIndex,
    prefix: String,
}

impl LayerParts for DeviceParts<'_, '_> {
    type Made = OnDevice;

    fn norm(&mut self, part: &str) -> Result<RmsNorm, EngineError> {
        let (name, width) = (format!("{}{part}.weight", self.prefix), self.spec.hidden_size);
        RmsNorm::load(self.tensors, self.target, &name, width as usize, self.spec)
    }

    fn attention(&mut self) -> Result<DeviceAttention, EngineError> {
        if self.spec.attention_of(self.layer).heads == 0 {
            return Ok(DeviceAttention::Elsewhere);
        }
        Attention::load(self.tensors, self.target, &self.prefix, self.spec, self.layer)
            .map(|attention| DeviceAttention::Grouped(Box::new(attention)))
    }

    fn latent_attention(&mut self) -> Result<DeviceAttention, EngineError> {
        if self.spec.attention.heads == 0 {
            return Ok(DeviceAttention::Elsewhere);
        }
        let Some(sizes) = self.spec.attention.latent else {
            let (field, expected) = ("latent", "expected the sizes of latent attention");
            return Err(EngineError::BadSpec { field, value: 0, expected });
        };
        LatentAttention::load(self.tensors, self.target, &self.prefix, self.spec, sizes)
            .map(|attention| DeviceAttention::Latent(Box::new(attention)))
    }

    fn is_recurrent(&self) -> bool {
        self.spec.layers[self.layer.0 as usize].is_recurrent()
    }

    fn delta_net(&mut self) -> Result<DeviceAttention, EngineError> {
        if !self.tensors.is_first() {
            return Ok(DeviceAttention::Elsewhere);
        }
        let Some(delta) = &self.spec.delta_net else {
            let (field, expected) = ("delta_net", "expected the sizes of delta net layers");
            return Err(EngineError::BadSpec { field, value: 0, expected });
        };
        let delta = DeltaNet::load(self.tensors, &self.prefix, self.spec, delta)?;
        Ok(DeviceAttention::OnHost(Box::new(delta)))
    }

    fn feed_forward(&mut self) -> Result<FeedForward, EngineError> {
        let spec = self.spec;
        if spec.has_experts(self.layer) && !self.has_experts_beside() {
            return self.experts();
        }
        let size = (spec.hidden_size as usize, spec.ffn_size_of(self.layer) as usize);
        let name = (self.prefix.as_str(), "");
        GatedMlp::load(self.tensors, self.target, name, size, spec.activation, false)
            .map(|mlp| FeedForward::Dense(Box::new(mlp)))
    }

    fn has_experts_beside(&self) -> bool {
        self.spec.experts.is_some_and(|experts| experts.beside_dense)
    }

    fn experts(&mut self) -> Result<FeedForward, EngineError> {
        let (spec, hidden) = (self.spec, self.spec.hidden_size as usize);
        let Some(experts) = spec.experts else {
            let (field, expected) = ("experts", "expected the sizes of experts");
            return Err(EngineError::BadSpec { field, value: 0, expected });
        };
        let (tensors, prefix) = (&mut *self.tensors, self.prefix.as_str());
        Experts::load(tensors, self.target, prefix, hidden, experts, spec.activation)
            .map(|experts| FeedForward::Experts(Box::new(experts)))
    }

    fn router_norm(&mut self) -> Result<RmsNorm, EngineError> {
        let norm = self.norm("router_scale")?;
        Ok(norm.times(1.0 / (self.spec.hidden_size as f32).sqrt())?)
    }

    fn per_layer_input(&mut self) -> Result<Option<PerLayerInput>, EngineError> {
        let (tensors, device, prefix) = (&mut *self.tensors, self.target, self.prefix.as_str());
        let load = || PerLayerInput::load(tensors, device, prefix, self.spec, self.layer);
        (self.spec.per_layer_width > 0).then(load).transpose()
    }

    fn number(&mut self, part: &str) -> Result<f32, EngineError> {
        let values = self.tensors.vector(&format!("{}{part}.weight", self.prefix), 1)?;
        Ok(values[0])
    }

    fn architecture(&self) -> Architecture {
        self.spec.architecture
    }
}
