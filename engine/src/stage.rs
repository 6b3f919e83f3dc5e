//! A contiguous range of layers, and the forward pass of one step batch through it.

mod layers;
mod loading;
mod output;
mod place;
#[cfg(feature = "candle")]
mod rates;

use protocol::ids::StateSlot;
use protocol::model_spec::LayerRange;
use protocol::plan::{ActivationType, KvPlan};
use protocol::step_batch::{SampledToken, StepBatch};

use crate::activations;
use crate::batch::BatchLimits;
use crate::collective::{Collective, Missing};
use crate::error::EngineError;
use crate::layers::{Embedding, Rope};
use crate::memory::StageMemory;
use crate::state::{SequenceState, StateSnapshot};
use crate::step_lists::StepLists;
use crate::workspace::Workspace;
use layers::{Layers, StepSpace};
use output::Output;
#[cfg(feature = "candle")]
pub use place::Device;
pub use place::Place;

/// The layers of one rank, their sequence state and their buffers.
pub struct Stage {
    range: LayerRange,
    hidden: usize,
    activation: ActivationType,
    limits: BatchLimits,
    ropes: Vec<Rope>,
    /// On the first stage, and where layers make something of embedded tokens themselves.
    embedding: Option<Embedding>,
    layers: Layers,
    /// On the last stage.
    output: Option<Output>,
    state: SequenceState,
    workspace: Workspace,
    lists: StepLists,
    memory: StageMemory,
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
    /// Computes from now on with the other ranks of its stage; a stage that is whole has none.
    pub fn join(&mut self, group: Box<dyn Collective>) {
        self.workspace.tile.group = group;
    }

    /// Lets a stage that joined go of the other ranks: the ways to them are closed, and it computes
    /// nothing until it joins again.
    pub fn leave(&mut self) {
        self.workspace.tile.group = Box::new(Missing);
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
        self.range
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
        if let Some(output) = self.output.as_ref().filter(|output| output.head.is_first()) {
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
        if output.head.is_first() {
            batch.ends.iter().for_each(|sequence| sampler.end(*sequence));
            let tokens_max = self.limits.kv.context_length as usize;
            batch.starts.iter().for_each(|start| sampler.start(start, tokens_max));
        }
        let samples = &mut self.lists.samples;
        samples.clear();
        let space = (&mut self.workspace.logits, &mut self.workspace.tile);
        output.head.sample(&asked, hidden, space, (sampler, samples))?;
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
        self.workspace.tile.matmul.compute().bind_caller();
        self.read_input(batch, input)?;
        self.state.slots.begin();
        let space = StepSpace {
            ropes: &mut self.ropes,
            state: &mut self.state,
            workspace: &mut self.workspace,
            lists: &mut self.lists,
            activation: self.activation,
        };
        self.layers.run(batch, space)
    }

    fn read_input(&mut self, batch: &StepBatch, input: StageInput<'_>) -> Result<(), EngineError> {
        let values = batch.token_count() * self.hidden;
        let hidden = &mut self.workspace.hidden[..values];
        let first = self.range.start.0 == 0;
        match (&self.embedding, input) {
            (Some(embedding), StageInput::Tokens) if first => embedding.forward(batch, hidden),
            (_, StageInput::Activations(bytes)) if !first => {
                activations::decode(bytes, self.activation, hidden)?;
            }
            _ => {
                let expected = if first { "token ids" } else { "activations" };
                return Err(EngineError::WrongInput { range: self.range, expected });
            }
        }
        if let (Some(embedding), Some(embedded)) =
            (&self.embedding, self.workspace.embedded.get_mut(..values))
        {
            embedding.forward(batch, embedded);
        }
        Ok(())
    }
}
