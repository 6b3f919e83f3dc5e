//! The families that run, one recipe each; nothing outside of this folder names a family.

mod llama;
mod qwen2;

use protocol::ids::LayerIndex;
use protocol::model_spec::{Architecture, ModelSpec};

use crate::error::EngineError;
use crate::layers::Tile;
use crate::state::KvPool;
use crate::weights::Tensors;
use crate::workspace::TileSpace;

/// A transformer layer: reads the hidden rows of a tile and adds to them.
pub(crate) trait DecoderLayer: Send {
    /// `hidden` is `[rows, hidden]`; `layer` counts the stage's own layers.
    fn forward(
        &self,
        hidden: &mut [f32],
        tile: &Tile<'_>,
        layer: usize,
        pool: &mut KvPool,
        space: &mut TileSpace,
    );

    /// Memory of its weights.
    fn bytes(&self) -> u64;
}

/// How a family's layers are built.
struct Family {
    architecture: Architecture,
    load_layer: LoadLayer,
}

type LoadLayer =
    fn(&mut Tensors<'_>, &ModelSpec, LayerIndex) -> Result<Box<dyn DecoderLayer>, EngineError>;

const FAMILIES: [Family; Architecture::ALL.len()] = [llama::FAMILY, qwen2::FAMILY];

/// Loads one layer by the recipe of the model's family.
pub(crate) fn load_layer(
    tensors: &mut Tensors<'_>,
    spec: &ModelSpec,
    layer: LayerIndex,
) -> Result<Box<dyn DecoderLayer>, EngineError> {
    let family = FAMILIES.iter().find(|family| family.architecture == spec.architecture);
    match family {
        Some(family) => (family.load_layer)(tensors, spec, layer),
        None => Err(EngineError::UnsupportedFamily(spec.architecture)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_architecture_has_one_recipe() {
        for architecture in Architecture::ALL {
            let recipes = FAMILIES.iter().filter(|family| family.architecture == architecture);
            assert_eq!(recipes.count(), 1, "{architecture}");
        }
    }
}
