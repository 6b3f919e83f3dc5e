//! The families that run, one recipe each; nothing outside of this folder names a family.

mod deepseek;
mod gemma;
mod llama;
mod qwen3_next;
mod residual_block;

use protocol::model_spec::Architecture;

use crate::error::EngineError;
pub(crate) use residual_block::{Made, ResidualBlock};

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
        Architecture::Gemma2 | Architecture::Gemma3 => gemma::load_layer,
        Architecture::DeepseekV3 => deepseek::load_layer,
        Architecture::Qwen3Next | Architecture::Qwen35 | Architecture::Qwen35Moe => {
            qwen3_next::load_layer
        }
    }
}
