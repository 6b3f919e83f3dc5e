//! The parts that recipes are made of, on the CPU.

use protocol::ids::LayerIndex;
use protocol::model_spec::{Architecture, ModelSpec};

use super::attention::Attention;
use super::delta_net::DeltaNet;
use super::experts::Experts;
use super::feed_forward::FeedForward;
use super::latent_attention::LatentAttention;
use super::mlp::GatedMlp;
use super::per_layer_input::PerLayerInput;
use super::residual_block::{AttentionKind, Cpu};
use super::rms_norm::RmsNorm;
use crate::error::EngineError;
use crate::models::LayerParts;
use crate::weights::Tensors;

/// One layer of a model and the place to load it from.
pub(crate) struct CpuParts<'a, 't> {
    tensors: &'a mut Tensors<'t>,
    spec: &'a ModelSpec,
    layer: LayerIndex,
    /// What the layer's tensors begin with.
    prefix: String,
}

impl<'a, 't> CpuParts<'a, 't> {
    pub(crate) fn new(
        tensors: &'a mut Tensors<'t>,
        spec: &'a ModelSpec,
        layer: LayerIndex,
    ) -> Self {
        Self { tensors, spec, layer, prefix: format!("blk.{layer}.") }
    }
}

impl LayerParts for CpuParts<'_, '_> {
    type Made = Cpu;

    fn norm(&mut self, part: &str) -> Result<RmsNorm, EngineError> {
        let name = format!("{}{part}.weight", self.prefix);
        RmsNorm::load(self.tensors, &name, self.spec.hidden_size as usize, self.spec)
    }

    fn attention(&mut self) -> Result<AttentionKind, EngineError> {
        Attention::load(self.tensors, &self.prefix, self.spec, self.layer)
            .map(AttentionKind::Grouped)
    }

    fn latent_attention(&mut self) -> Result<AttentionKind, EngineError> {
        let Some(sizes) = self.spec.attention.latent else {
            let (field, expected) = ("latent", "expected the sizes of latent attention");
            return Err(EngineError::BadSpec { field, value: 0, expected });
        };
        LatentAttention::load(self.tensors, &self.prefix, self.spec, sizes)
            .map(AttentionKind::Latent)
    }

    fn is_recurrent(&self) -> bool {
        self.spec.layers[self.layer.0 as usize].is_recurrent()
    }

    fn delta_net(&mut self) -> Result<AttentionKind, EngineError> {
        if !self.tensors.is_first() {
            return Ok(AttentionKind::Elsewhere);
        }
        let Some(delta) = &self.spec.delta_net else {
            let (field, expected) = ("delta_net", "expected the sizes of delta net layers");
            return Err(EngineError::BadSpec { field, value: 0, expected });
        };
        let delta = DeltaNet::load(self.tensors, &self.prefix, self.spec, delta)?;
        Ok(AttentionKind::DeltaNet(Box::new(delta)))
    }

    fn feed_forward(&mut self) -> Result<FeedForward, EngineError> {
        let spec = self.spec;
        if spec.has_experts(self.layer) && !self.has_experts_beside() {
            return self.experts();
        }
        let size = (spec.hidden_size as usize, spec.ffn_size_of(self.layer) as usize);
        let name = (self.prefix.as_str(), "");
        GatedMlp::load(self.tensors, name, size, spec.activation, false).map(FeedForward::Dense)
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
        Experts::load(self.tensors, &self.prefix, hidden, experts, spec.activation)
            .map(FeedForward::Experts)
    }

    fn router_norm(&mut self) -> Result<RmsNorm, EngineError> {
        let norm = self.norm("router_scale")?;
        Ok(norm.times(1.0 / (self.spec.hidden_size as f32).sqrt()))
    }

    fn per_layer_input(&mut self) -> Result<Option<PerLayerInput>, EngineError> {
        let load = || PerLayerInput::load(self.tensors, &self.prefix, self.spec, self.layer);
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
