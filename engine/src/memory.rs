//! What a stage takes of a device's memory.

use checkpoint::{Manifest, held_bytes};
use protocol::model_spec::LayerRange;

use crate::config::StageConfig;
use crate::error::EngineError;
use crate::kernels::Compute;
use crate::stage::Place;
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
    /// Layers that the model does not have count nothing: `Stage::load` refuses them by name. A
    /// tensor that is not there is an error.
    pub fn estimate(manifest: &Manifest, config: &StageConfig) -> Result<Self, EngineError> {
        let spec = &manifest.spec;
        let end = config.layers.end.0.min(spec.layer_count());
        let layers = LayerRange::new(config.layers.start.0.min(end), end);
        let config = &StageConfig { layers, ..*config };
        Ok(Self {
            weights: held_bytes(manifest, layers, config.share)?,
            kv: spec.of_slice(&spec.slice(config.share)).state_bytes(config.layers, &config.kv),
            workspace: Workspace::bytes(spec, config, Compute::of_process().threads()),
        })
    }

    /// As `estimate`, of the memory that is `place`'s own: of a device's what lies there, not what
    /// the stage keeps on the host beside it.
    pub fn estimate_at(
        place: &Place,
        manifest: &Manifest,
        config: &StageConfig,
    ) -> Result<Self, EngineError> {
        match place {
            Place::Cpu(compute) => {
                let told = Self::estimate(manifest, config)?;
                let workspace = Workspace::bytes(&manifest.spec, config, compute.threads());
                Ok(Self { workspace, ..told })
            }
            #[cfg(feature = "candle")]
            Place::Device(device) => Ok(crate::device::memory(&device.0, manifest, config)?),
        }
    }

    pub fn total(&self) -> u64 {
        self.weights.saturating_add(self.kv).saturating_add(self.workspace)
    }
}
