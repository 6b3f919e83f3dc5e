//! The families that run, one recipe each; nothing outside of this folder names a family.

mod deepseek;
mod gemma;
mod layer_parts;
mod llama;
mod qwen3_next;

use protocol::ids::LayerIndex;
use protocol::model_spec::{Architecture, ModelSpec};

use crate::error::EngineError;
use crate::layers::Tile;
use crate::state::SequenceState;
use crate::weights::Tensors;
use crate::workspace::TileSpace;

use layer_parts::LayerParts;

/// A transformer layer: reads the hidden rows of a tile and adds to them.
pub(crate) trait DecoderLayer: Send {
    /// `hidden` is `[rows, hidden]`; `layer` counts the stage's own layers.
    fn forward(
        &self,
        hidden: &mut [f32],
        tile: &Tile<'_>,
        layer: usize,
        state: &mut SequenceState,
        space: &mut TileSpace,
    ) -> Result<(), EngineError>;

    /// Memory of its weights.
    fn bytes(&self) -> u64;
}

/// Builds one layer.
type Recipe = fn(&mut LayerParts<'_, '_>) -> Result<Box<dyn DecoderLayer>, EngineError>;

const RECIPES: [(Architecture, Recipe); Architecture::ALL.len()] = [
    (Architecture::Llama, llama::load_layer),
    (Architecture::Qwen2, llama::load_layer),
    (Architecture::Qwen3, llama::load_layer),
    (Architecture::Mistral, llama::load_layer),
    (Architecture::Phi3, llama::load_layer),
    (Architecture::Gemma2, gemma::load_layer),
    (Architecture::Gemma3, gemma::load_layer),
    (Architecture::Mixtral, llama::load_layer),
    (Architecture::Qwen3Moe, llama::load_layer),
    (Architecture::GptOss, llama::load_layer),
    (Architecture::Glm4Moe, llama::load_layer),
    (Architecture::DeepseekV3, deepseek::load_layer),
    (Architecture::Qwen3Next, qwen3_next::load_layer),
    (Architecture::Qwen35, qwen3_next::load_layer),
    (Architecture::Qwen35Moe, qwen3_next::load_layer),
];

/// Loads one layer by the recipe of the model's family.
pub(crate) fn load_layer(
    tensors: &mut Tensors<'_>,
    spec: &ModelSpec,
    layer: LayerIndex,
) -> Result<Box<dyn DecoderLayer>, EngineError> {
    let recipe = RECIPES.iter().find(|(architecture, _)| *architecture == spec.architecture);
    match recipe {
        Some((_, recipe)) => recipe(&mut LayerParts::new(tensors, spec, layer)),
        None => Err(EngineError::UnsupportedFamily(spec.architecture)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_architecture_has_one_recipe() {
        for architecture in Architecture::ALL {
            let recipes = RECIPES.iter().filter(|(known, _)| *known == architecture);
            assert_eq!(recipes.count(), 1, "{architecture}");
        }
    }
}
