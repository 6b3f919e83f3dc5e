//! What a stage takes of a device's memory.

use protocol::model_spec::{LayerRange, ModelSpec};

use crate::config::StageConfig;
use crate::kernels::Compute;
use crate::workspace::Workspace;

/// Bytes of each kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StageMemory {
    pub weights: u64,
    /// Of sequences: the whole pool of blocks and all slots, used or not.
    pub kv: u64,
    pub workspace: u64,
}

impl StageMemory {
    /// What a stage will hold, before it is loaded.
    ///
    /// Layers that the model does not have count nothing: `Stage::load` refuses them by name.
    pub fn estimate(spec: &ModelSpec, config: &StageConfig) -> Self {
        let end = config.layers.end.0.min(spec.layer_count());
        let layers = LayerRange::new(config.layers.start.0.min(end), end);
        let config = &StageConfig { layers, ..*config };
        let weights = if config.is_whole() {
            spec.stage_weight_bytes(layers)
        } else {
            // Every rank has the whole embedding, and about its share of the rest.
            let part = f64::from(config.share.units) / f64::from(config.share.of.max(1));
            let embedding = if layers.start.0 == 0 { spec.embedding_bytes } else { 0 };
            let untied = ModelSpec { tied_embeddings: false, ..spec.clone() };
            let rest = untied.stage_weight_bytes(layers).saturating_sub(embedding);
            embedding + (rest as f64 * part) as u64
        };
        Self {
            weights,
            kv: spec.of_slice(&spec.slice(config.share)).state_bytes(config.layers, &config.kv),
            workspace: Workspace::bytes(spec, config, Compute::of_process().threads()),
        }
    }

    pub fn total(&self) -> u64 {
        self.weights.saturating_add(self.kv).saturating_add(self.workspace)
    }
}
