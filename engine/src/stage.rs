//! A contiguous range of layers, and the forward pass of one step batch through it.

use std::sync::Arc;

use checkpoint::Manifest;
use protocol::ids::{LayerIndex, StateSlot};
use protocol::model_spec::{LayerRange, ModelSpec};
use protocol::plan::{ActivationType, KvPlan};
use protocol::step_batch::{SampledToken, StepBatch};

use crate::activations;
use crate::batch::BatchLimits;
use crate::collective::Collective;
use crate::config::StageConfig;
use crate::error::EngineError;
use crate::kernels::{Compute, cpu};
use crate::layers::{Embedding, LmHead, RmsNorm, Rope, RowPlace, Tile};
use crate::memory::StageMemory;
use crate::models::{self, DecoderLayer};
use crate::sampler::Sampler;
use crate::state::{KvPool, SequenceState, SlotPool, StateSnapshot};
use crate::step_lists::StepLists;
use crate::weights::{Matrix, Tensors, WeightSource, give_back_free_memory};
use crate::workspace::{TILE_ROWS, Workspace};

/// The layers of one rank, their sequence state and their buffers.
pub struct Stage {
    layers: LayerRange,
    hidden: usize,
    activation: ActivationType,
    limits: BatchLimits,
    ropes: Vec<Rope>,
    /// On the first stage.
    embedding: Option<Embedding>,
    blocks: Vec<Box<dyn DecoderLayer>>,
    /// On the last stage.
    output: Option<Output>,
    state: SequenceState,
    workspace: Workspace,
    lists: StepLists,
    memory: StageMemory,
}

/// What only the last stage has.
struct Output {
    head: LmHead,
    sampler: Sampler,
}

/// What a stage computes a step from.
#[derive(Clone, Copy, Debug)]
pub enum StageInput<'a> {
    /// The batch's own token ids: the first stage.
    Tokens,
    /// Raw little-endian values of the activation type, `[rows, hidden]`: every other stage.
    Activations(&'a [u8]),
}

/// What a stage makes of a step.
#[derive(Debug)]
pub enum StageOutput<'a> {
    /// For the next stage; raw little-endian values of the activation type, `[rows, hidden]`.
    Activations(&'a [u8]),
    /// From the last stage: one token per row set that asked for it, in batch order. Its first
    /// rank has them, the others none.
    Samples(&'a [SampledToken]),
}

impl Stage {
    /// Reads the stage's own tensors, and no byte more. `progress` is told the bytes read so far.
    pub fn load(
        manifest: &Manifest,
        source: &dyn WeightSource,
        config: &StageConfig,
        progress: &mut dyn FnMut(u64),
    ) -> Result<Self, EngineError> {
        Self::load_on(Compute::of_process(), manifest, source, config, progress)
    }

    /// As `load`, to compute on other threads or in another kernel set than the process's own.
    pub fn load_on(
        compute: &Arc<Compute>,
        manifest: &Manifest,
        source: &dyn WeightSource,
        config: &StageConfig,
        progress: &mut dyn FnMut(u64),
    ) -> Result<Self, EngineError> {
        let spec = &manifest.spec;
        config.check(spec)?;
        let step_rows = config.kv.step_tokens_max as usize;
        let ropes = Rope::all_of(spec, config.kv.context_length, step_rows)?;
        let slice = spec.slice(config.share);
        let local = spec.of_slice(&slice);
        let state = SequenceState {
            pool: KvPool::new(&local, config)?,
            slots: SlotPool::new(&local, config)?,
        };
        let mut tensors = Tensors::new(manifest, slice, source, compute, progress);
        let first = config.layers.start.0 == 0;
        let table = first.then(|| token_table(&mut tensors, spec)).transpose()?;
        let blocks = (config.layers.start.0..config.layers.end.0)
            .map(|layer| models::load_layer(&mut tensors, &local, LayerIndex(layer)))
            .collect::<Result<Vec<_>, _>>()?;
        let last = config.layers.end.0 == spec.layer_count();
        let shared = table.clone().filter(|_| spec.tied_embeddings && config.is_whole());
        let table_shared = last && shared.is_some();
        let head = last.then(|| load_head(&mut tensors, spec, shared)).transpose()?;
        let table_bytes = table.as_ref().map_or(0, |table| table.bytes());
        // A tied matrix that serves both ends is held once.
        let weights = if table_shared { 0 } else { table_bytes }
            + blocks.iter().map(|block| block.bytes()).sum::<u64>()
            + head.as_ref().map_or(0, |head| head.bytes());
        give_back_free_memory();
        let kv = local.state_bytes(config.layers, &config.kv);
        let workspace = Workspace::bytes(spec, config, compute.threads());
        Ok(Self {
            layers: config.layers,
            hidden: spec.hidden_size as usize,
            activation: config.activation,
            limits: BatchLimits { kv: config.kv, vocabulary: spec.vocab_size },
            ropes,
            embedding: table.map(|table| Embedding::new(table, spec.embedding_scale)),
            blocks,
            output: head.map(|head| Output { head, sampler: Sampler::default() }),
            state,
            workspace: Workspace::new(spec, config, Arc::clone(compute)),
            lists: StepLists::default(),
            memory: StageMemory { weights, kv, workspace },
        })
    }

    /// Computes from now on with the other ranks of its stage; a stage that is whole has none.
    pub fn join(&mut self, group: Box<dyn Collective>) {
        self.workspace.tile.group = group;
    }

    /// Bytes held.
    pub fn memory(&self) -> StageMemory {
        self.memory
    }

    /// The plan of the pool.
    pub fn kv(&self) -> KvPlan {
        self.limits.kv
    }

    pub fn layers(&self) -> LayerRange {
        self.layers
    }

    /// Runs one step: forgets and begins sequences, copies blocks, computes the rows, samples.
    ///
    /// A batch that does not fit the plan is refused before any state has changed.
    pub fn forward(
        &mut self,
        batch: &StepBatch,
        input: StageInput<'_>,
    ) -> Result<StageOutput<'_>, EngineError> {
        self.limits.check(batch)?;
        self.state.slots.check(batch)?;
        let asked = self.lists.asked(batch);
        if let Some(output) = &self.output {
            output.sampler.check(batch, asked.iter().map(|(_, at)| at))?;
        }
        self.compute(batch, input)?;
        let hidden = &self.workspace.hidden[..batch.token_count() * self.hidden];
        let Some(output) = &mut self.output else {
            self.lists.keep_asked(asked);
            let wire = &mut self.workspace.wire;
            let bytes = activations::encode(hidden, self.activation, wire);
            return Ok(StageOutput::Activations(bytes));
        };
        let sampler = &mut output.sampler;
        batch.ends.iter().for_each(|sequence| sampler.end(*sequence));
        let tokens_max = self.limits.kv.context_length as usize;
        batch.starts.iter().for_each(|start| sampler.start(start, tokens_max));
        let samples = &mut self.lists.samples;
        samples.clear();
        let space = (&mut self.workspace.logits, &mut self.workspace.tile);
        output.head.each_row(&asked, hidden, space, &mut |at, logits| {
            samples.push(sampler.sample(at, logits)?);
            Ok(())
        })?;
        self.lists.keep_asked(asked);
        Ok(StageOutput::Samples(&self.lists.samples))
    }

    /// The logits of each row set that asks for a sample, instead of a sample: for evaluation.
    /// Empty on all stages but the last.
    pub fn logits(
        &mut self,
        batch: &StepBatch,
        input: StageInput<'_>,
    ) -> Result<Vec<Vec<f32>>, EngineError> {
        self.limits.check(batch)?;
        self.state.slots.check(batch)?;
        self.compute(batch, input)?;
        let mut rows = Vec::new();
        if let Some(output) = &self.output {
            let hidden = &self.workspace.hidden[..batch.token_count() * self.hidden];
            let space = (&mut self.workspace.logits, &mut self.workspace.tile);
            let asked = self.lists.asked(batch);
            output.head.each_row(&asked, hidden, space, &mut |_, logits| {
                rows.push(logits.to_vec());
                Ok(())
            })?;
            self.lists.keep_asked(asked);
        }
        Ok(rows)
    }

    /// Copies the state out that the stage's recurrent layers keep in `slot`.
    pub fn snapshot(&self, slot: StateSlot) -> Result<StateSnapshot, EngineError> {
        self.state.slots.snapshot(slot)
    }

    /// Lets a sequence go on in `slot` from a snapshot of a stage of the same layers.
    pub fn restore(
        &mut self,
        slot: StateSlot,
        snapshot: &StateSnapshot,
    ) -> Result<(), EngineError> {
        self.state.slots.restore(slot, snapshot)
    }

    /// Leaves the rows of a checked batch, as they are after the stage's layers, in `hidden`.
    fn compute(&mut self, batch: &StepBatch, input: StageInput<'_>) -> Result<(), EngineError> {
        self.read_input(batch, input)?;
        self.state.slots.begin();
        batch.copies.iter().for_each(|copy| self.state.pool.copy(*copy));
        let places = self.lists.places(batch);
        self.run_layers(&places)?;
        self.lists.keep_places(places);
        Ok(())
    }

    fn read_input(&mut self, batch: &StepBatch, input: StageInput<'_>) -> Result<(), EngineError> {
        let hidden = &mut self.workspace.hidden[..batch.token_count() * self.hidden];
        match (&self.embedding, input) {
            (Some(embedding), StageInput::Tokens) => embedding.forward(batch, hidden),
            (None, StageInput::Activations(bytes)) => {
                activations::decode(bytes, self.activation, hidden)?;
            }
            (first, _) => {
                let expected = if first.is_some() { "token ids" } else { "activations" };
                return Err(EngineError::WrongInput { range: self.layers, expected });
            }
        }
        Ok(())
    }

    fn run_layers(&mut self, rows: &[RowPlace<'_>]) -> Result<(), EngineError> {
        let workspace = &mut self.workspace;
        for rope in &mut self.ropes {
            rope.fill(rows.iter().map(|row| row.position));
        }
        for (layer, block) in self.blocks.iter().enumerate() {
            let hidden = &mut workspace.hidden[..rows.len() * self.hidden];
            let tiles = rows.chunks(TILE_ROWS).zip(hidden.chunks_mut(TILE_ROWS * self.hidden));
            for (tile, (rows, hidden)) in tiles.enumerate() {
                let tile = Tile { rows, first: tile * TILE_ROWS, ropes: &self.ropes };
                block.forward(hidden, &tile, layer, &mut self.state, &mut workspace.tile)?;
                if self.activation == ActivationType::Bf16 {
                    cpu::round_to_bf16(hidden);
                }
            }
        }
        Ok(())
    }
}

fn token_table(tensors: &mut Tensors<'_>, spec: &ModelSpec) -> Result<Arc<Matrix>, EngineError> {
    let (rows, columns) = (spec.vocab_size as usize, spec.hidden_size as usize);
    tensors.matrix("token_embd.weight", rows, columns).map(Arc::new)
}

/// A tied head shares the embedding where it is there as a whole.
fn load_head(
    tensors: &mut Tensors<'_>,
    spec: &ModelSpec,
    shared: Option<Arc<Matrix>>,
) -> Result<LmHead, EngineError> {
    let norm = RmsNorm::load(tensors, "output_norm.weight", spec.hidden_size as usize, spec)?;
    let weight = match shared {
        Some(table) => table,
        None => Arc::new(tensors.head()?),
    };
    let (vocabulary, soft_cap) = (spec.vocab_size as usize, spec.logit_soft_cap);
    Ok(LmHead { norm, weight, vocabulary, is_first: tensors.is_first(), soft_cap })
}
