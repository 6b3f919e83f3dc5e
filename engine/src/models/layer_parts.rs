//! The parts that recipes are made of, loaded by what the specification says of the layer.

use protocol::ids::LayerIndex;
use protocol::model_spec::ModelSpec;

use crate::error::EngineError;
use crate::layers::{
    Attention, DeltaNet, Experts, FeedForward, GatedMlp, LatentAttention, RmsNorm,
};
use crate::weights::Tensors;

/// One layer of a model and the place to load it from.
pub(super) struct LayerParts<'a, 't> {
    tensors: &'a mut Tensors<'t>,
    spec: &'a ModelSpec,
    layer: LayerIndex,
    /// What the layer's tensors begin with.
    prefix: String,
}

impl<'a, 't> LayerParts<'a, 't> {
    pub(super) fn new(
        tensors: &'a mut Tensors<'t>,
        spec: &'a ModelSpec,
        layer: LayerIndex,
    ) -> Self {
        Self { tensors, spec, layer, prefix: format!("blk.{layer}.") }
    }

    /// A norm as wide as the model.
    pub(super) fn norm(&mut self, part: &str) -> Result<RmsNorm, EngineError> {
        let name = format!("{}{part}.weight", self.prefix);
        RmsNorm::load(self.tensors, &name, self.spec.hidden_size as usize, self.spec)
    }

    pub(super) fn attention(&mut self) -> Result<Attention, EngineError> {
        Attention::load(self.tensors, &self.prefix, self.spec, self.layer)
    }

    pub(super) fn latent_attention(&mut self) -> Result<LatentAttention, EngineError> {
        let Some(sizes) = self.spec.attention.latent else {
            let (field, expected) = ("latent", "expected the sizes of latent attention");
            return Err(EngineError::BadSpec { field, value: 0, expected });
        };
        LatentAttention::load(self.tensors, &self.prefix, self.spec, sizes)
    }

    /// Whether the layer keeps a state of fixed size.
    pub(super) fn is_recurrent(&self) -> bool {
        self.spec.layers[self.layer.0 as usize].is_recurrent()
    }

    /// Whether what is not shared out among ranks is computed here.
    pub(super) fn is_first_rank(&self) -> bool {
        self.tensors.is_first()
    }

    pub(super) fn delta_net(&mut self) -> Result<DeltaNet, EngineError> {
        let Some(delta) = &self.spec.delta_net else {
            let (field, expected) = ("delta_net", "expected the sizes of delta net layers");
            return Err(EngineError::BadSpec { field, value: 0, expected });
        };
        DeltaNet::load(self.tensors, &self.prefix, self.spec, delta)
    }

    /// Experts, or one block for all rows.
    pub(super) fn feed_forward(&mut self) -> Result<FeedForward, EngineError> {
        let (spec, hidden) = (self.spec, self.spec.hidden_size as usize);
        match spec.experts.filter(|_| spec.has_experts(self.layer)) {
            Some(experts) => {
                Experts::load(self.tensors, &self.prefix, hidden, experts, spec.activation)
                    .map(FeedForward::Experts)
            }
            None => {
                let size = (hidden, spec.ffn_size as usize);
                let name = (self.prefix.as_str(), "");
                GatedMlp::load(self.tensors, name, size, spec.activation, false)
                    .map(FeedForward::Dense)
            }
        }
    }
}
