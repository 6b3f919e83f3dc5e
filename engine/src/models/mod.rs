//! The families that run, one recipe each; nothing outside of this folder names a family.

mod deepseek;
mod gemma;
mod llama;
mod qwen3_next;
mod residual_block;

use protocol::model_spec::Architecture;

use crate::error::EngineError;
pub(crate) use residual_block::{BesideExperts, Made, ResidualBlock};

/// The parts that recipes are made of, of one layer, loaded by what the specification says of it.
pub(crate) trait LayerParts {
    type Made: Made;

    /// A norm as wide as the model: `{part}.weight` of the layer.
    fn norm(&mut self, part: &str) -> Result<<Self::Made as Made>::Norm, EngineError>;

    fn attention(&mut self) -> Result<<Self::Made as Made>::Attention, EngineError>;

    fn latent_attention(&mut self) -> Result<<Self::Made as Made>::Attention, EngineError>;

    /// Whether the layer keeps a state of fixed size.
    fn is_recurrent(&self) -> bool;

    fn delta_net(&mut self) -> Result<<Self::Made as Made>::Attention, EngineError>;

    /// Experts, or one block for all rows.
    fn feed_forward(&mut self) -> Result<<Self::Made as Made>::FeedForward, EngineError>;

    /// Whether the layer has experts as well as a block for all rows.
    fn has_experts_beside(&self) -> bool;

    fn experts(&mut self) -> Result<<Self::Made as Made>::FeedForward, EngineError>;

    /// Of what a router of its own reads: `router_scale.weight` over the root of its length.
    fn router_norm(&mut self) -> Result<<Self::Made as Made>::Norm, EngineError>;

    /// What the layer makes of the tokens themselves, if it does.
    #[allow(clippy::type_complexity, reason = "an associated type of an associated type")]
    fn per_layer_input(
        &mut self,
    ) -> Result<Option<<Self::Made as Made>::PerLayerInput>, EngineError>;

    /// The one value of `{part}.weight`.
    fn number(&mut self, part: &str) -> Result<f32, EngineError>;

    fn architecture(&self) -> Architecture;
}

type Recipe<P> = fn(&mut P) -> Result<ResidualBlock<<P as LayerParts>::Made>, EngineError>;

/// How a family's layers are built, on any device.
pub(crate) fn recipe<P: LayerParts>(architecture: Architecture) -> Recipe<P> {
    match architecture {
        Architecture::Llama
        | Architecture::Qwen2
        | Architecture::Qwen3
        | Architecture::Mistral
        | Architecture::Phi3
        | Architecture::Mixtral
        | Architecture::Qwen3Moe
        | Architecture::GptOss
        | Architecture::Glm4Moe => llama::load_layer,
        Architecture::Gemma2 | Architecture::Gemma3 | Architecture::Gemma4 => gemma::load_layer,
        Architecture::DeepseekV3 => deepseek::load_layer,
        Architecture::Qwen3Next | Architecture::Qwen35 | Architecture::Qwen35Moe => {
            qwen3_next::load_layer
        }
    }
}
