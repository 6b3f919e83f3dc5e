//! Makes a stage of a model's files.

use std::sync::Arc;

use checkpoint::Manifest;
use protocol::ids::LayerIndex;
use protocol::model_spec::ModelSpec;
use protocol::plan::KvPlan;

use super::layers::Layers;
use super::output::{Head, Output};
use super::{Place, Stage};
use crate::batch::BatchLimits;
use crate::config::StageConfig;
#[cfg(feature = "candle")]
use crate::device::{DeviceHead, load_layers};
use crate::error::EngineError;
use crate::kernels::Compute;
use crate::layers::{CpuParts, Embedding, LmHead, RmsNorm, Rope};
use crate::memory::StageMemory;
use crate::models;
use crate::sampler::Sampler;
use crate::state::{KvPool, SequenceState, SlotPool};
use crate::step_lists::StepLists;
use crate::weights::{Matrix, Tensors, WeightSource, give_back_free_memory};
use crate::workspace::Workspace;

impl Stage {
    /// Reads the stage's own tensors, and no byte more. `progress` is told the bytes read so far.
    pub fn load(
        manifest: &Manifest,
        source: &dyn WeightSource,
        config: &StageConfig,
        progress: &mut dyn FnMut(u64),
    ) -> Result<Self, EngineError> {
        config.check(&manifest.spec)?;
        let bytes = StageMemory::estimate(manifest, config)?.total();
        Self::load_on(&Compute::for_stage(bytes), manifest, source, config, progress)
    }

    /// As `load`, to compute on other threads or in another kernel set than the process's own.
    pub fn load_on(
        compute: &Arc<Compute>,
        manifest: &Manifest,
        source: &dyn WeightSource,
        config: &StageConfig,
        progress: &mut dyn FnMut(u64),
    ) -> Result<Self, EngineError> {
        Self::load_at(&Place::Cpu(Arc::clone(compute)), manifest, source, config, progress)
    }

    /// As `load`, with layers and state where `place` says.
    pub fn load_at(
        place: &Place,
        manifest: &Manifest,
        source: &dyn WeightSource,
        config: &StageConfig,
        progress: &mut dyn FnMut(u64),
    ) -> Result<Self, EngineError> {
        let spec = &manifest.spec;
        config.check(spec)?;
        place.check_memory(manifest, config)?;
        let compute = place.compute();
        compute.bind_caller();
        let step_rows = config.kv.step_tokens_max as usize;
        let ropes = Rope::all_of(spec, config.kv.context_length, step_rows)?;
        let slice = spec.slice(config.share);
        let local = spec.of_slice(&slice);
        let state = SequenceState {
            pool: KvPool::new(&local, &place.host_config(config))?,
            slots: SlotPool::new(&local, config)?,
        };
        let mut tensors = Tensors::new(manifest, slice, source, compute, progress);
        let embeds = spec.embeds(config.layers);
        let table = embeds.then(|| token_table(&mut tensors, spec)).transpose()?;
        let layers = load_blocks(place, &mut tensors, &local, config)?;
        let last = config.layers.end.0 == spec.layer_count();
        // A tied matrix that serves both ends is held once.
        let tied = spec.tied_embeddings && config.is_whole() && place.is_cpu();
        let shared = table.clone().filter(|_| tied);
        let table_bytes = table.as_ref().map_or(0, |table| table.bytes());
        // A device looks rows up in host memory.
        let once = if last && shared.is_some() || !place.is_cpu() { 0 } else { table_bytes };
        let head = last.then(|| load_head(place, &mut tensors, spec, shared)).transpose()?;
        let weights = once + layers.bytes() + head.as_ref().map_or(0, Head::bytes);
        give_back_free_memory();
        let kv = layers.page_bytes();
        let kv = kv.unwrap_or_else(|| local.state_bytes(config.layers, &config.kv));
        let workspace = StageMemory::estimate_at(place, manifest, config)?.workspace;
        Ok(Self {
            range: config.layers,
            hidden: spec.hidden_size as usize,
            activation: config.activation,
            limits: BatchLimits { kv: config.kv, vocabulary: spec.vocab_size },
            ropes,
            embedding: table.map(|table| Embedding::new(table, spec.embedding_scale)),
            layers,
            output: head.map(|head| Output { head, sampler: Sampler::default() }),
            state,
            workspace: Workspace::new(spec, config, Arc::clone(compute)),
            lists: StepLists::default(),
            memory: StageMemory { weights, kv, workspace },
        })
    }
}

impl Place {
    /// Refuses what does not fit before any of it is taken, where the device tells what is free.
    fn check_memory(&self, manifest: &Manifest, config: &StageConfig) -> Result<(), EngineError> {
        let Some(free) = self.free_bytes() else { return Ok(()) };
        let needed = StageMemory::estimate_at(self, manifest, config)?.total();
        if needed > free {
            return Err(EngineError::DeviceFull { device: self.to_string(), needed, free });
        }
        Ok(())
    }

    fn compute(&self) -> &Arc<Compute> {
        match self {
            Self::Cpu(compute) => compute,
            #[cfg(feature = "candle")]
            Self::Device(_) => Compute::of_process(),
        }
    }

    fn is_cpu(&self) -> bool {
        matches!(self, Self::Cpu(_))
    }

    /// The pages of a device's layers are not in host memory.
    fn host_config(&self, config: &StageConfig) -> StageConfig {
        let blocks = if self.is_cpu() { config.kv.blocks } else { 0 };
        StageConfig { kv: KvPlan { blocks, ..config.kv }, ..*config }
    }
}

fn load_blocks(
    place: &Place,
    tensors: &mut Tensors<'_>,
    spec: &ModelSpec,
    config: &StageConfig,
) -> Result<Layers, EngineError> {
    match place {
        Place::Cpu(_) => {
            let layers = config.layers.start.0..config.layers.end.0;
            let load = |layer| {
                let mut parts = CpuParts::new(tensors, spec, LayerIndex(layer));
                models::recipe(spec.architecture)(&mut parts)
            };
            Ok(Layers::Cpu(layers.map(load).collect::<Result<_, _>>()?))
        }
        #[cfg(feature = "candle")]
        Place::Device(device) => {
            let layers = load_layers(&device.0, tensors, spec, config)?;
            Ok(Layers::Device(Box::new(layers)))
        }
    }
}

fn token_table(tensors: &mut Tensors<'_>, spec: &ModelSpec) -> Result<Arc<Matrix>, EngineError> {
    let (rows, columns) = (spec.vocab_size as usize, spec.hidden_size as usize);
    tensors.matrix("token_embd.weight", rows, columns).map(Arc::new)
}

/// A tied head shares the embedding where it is there as a whole.
fn load_head(
    place: &Place,
    tensors: &mut Tensors<'_>,
    spec: &ModelSpec,
    shared: Option<Arc<Matrix>>,
) -> Result<Head, EngineError> {
    #[cfg(feature = "candle")]
    if let Place::Device(device) = place {
        return Ok(Head::Device(Box::new(DeviceHead::load(tensors, &device.0, spec)?)));
    }
    debug_assert!(place.is_cpu());
    let norm = RmsNorm::load(tensors, "output_norm.weight", spec.hidden_size as usize, spec)?;
    let weight = match shared {
        Some(table) => table,
        None => Arc::new(tensors.head()?),
    };
    let (vocabulary, soft_cap) = (spec.vocab_size as usize, spec.logit_soft_cap);
    Ok(Head::Cpu(LmHead { norm, weight, vocabulary, is_first: tensors.is_first(), soft_cap }))
}
