//! Layers of a synthetic model at a place, stepped as the scheduler would step them.

use std::error::Error;

use engine::collective::Collective;
use engine::{Place, Stage, StageConfig, StageInput, StageOutput};
use protocol::ids::{BlockId, SequenceId, StateSlot, StepId, TokenId};
use protocol::model_spec::{KvType, LayerRange};
use protocol::plan::{ActivationType, KvPlan, Share};
use protocol::step_batch::{Sample, SequenceRows, StepBatch};

use crate::synthetic::Synthetic;

const BLOCK_SIZE: u32 = 16;

/// Rows of a step: as many sequences from `first` on, each with `rows` rows from `position` on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    pub first: u32,
    pub sequences: u32,
    pub position: u32,
    pub rows: u32,
}

/// What a stage is made for.
#[derive(Clone, Copy, Debug)]
pub struct Room {
    pub sequences: u32,
    /// Tokens of each.
    pub context: u32,
    /// Rows of a step.
    pub rows: u32,
}

pub struct ShapeStage {
    stage: Stage,
    is_last: bool,
    vocabulary: u32,
    blocks_per_sequence: u32,
    next_step: u64,
}

impl ShapeStage {
    pub fn load(
        place: &Place,
        model: &Synthetic,
        layers: LayerRange,
        room: Room,
    ) -> Result<Self, Box<dyn Error>> {
        Self::load_share(place, model, (layers, Share::WHOLE), room)
    }

    /// One rank's part; it joins its group before its first step.
    pub fn load_share(
        place: &Place,
        model: &Synthetic,
        (layers, share): (LayerRange, Share),
        room: Room,
    ) -> Result<Self, Box<dyn Error>> {
        let blocks_per_sequence = room.context.div_ceil(BLOCK_SIZE);
        let kv = KvPlan {
            kv_type: KvType::F16,
            block_size: BLOCK_SIZE,
            blocks: blocks_per_sequence * room.sequences,
            context_length: room.context,
            sequences_max: room.sequences,
            step_tokens_max: room.rows,
        };
        let config = StageConfig { layers, kv, activation: ActivationType::F32, share };
        let stage = Stage::load_at(place, &model.manifest, model, &config, &mut |_| {})?;
        Ok(Self {
            stage,
            is_last: layers.end.0 == model.spec().layer_count(),
            vocabulary: model.spec().vocab_size,
            blocks_per_sequence,
            next_step: 0,
        })
    }

    pub fn join(&mut self, group: Box<dyn Collective>) {
        self.stage.join(group);
    }

    /// Computes `step`, of `input` where other layers come before; calls `pass` with what the next
    /// stage needs, which is nothing behind the last.
    pub fn run(
        &mut self,
        step: Step,
        input: Option<&[u8]>,
        pass: impl FnOnce(&[u8]) -> std::io::Result<()>,
    ) -> Result<(), Box<dyn Error>> {
        let batch = self.batch(step);
        let input = input.map_or(StageInput::Tokens, StageInput::Activations);
        if self.is_last {
            self.stage.logits(&batch, input)?;
            pass(&[])?;
        } else if let StageOutput::Activations(bytes) = self.stage.forward(&batch, input)? {
            pass(bytes)?;
        }
        Ok(())
    }

    fn batch(&mut self, step: Step) -> StepBatch {
        let id = StepId(self.next_step);
        self.next_step += 1;
        let sequences = step.first..step.first + step.sequences;
        let rows = sequences.map(|sequence| self.rows(sequence, step)).collect();
        StepBatch { step: id, starts: vec![], ends: vec![], copies: vec![], rows }
    }

    /// A made-up text; the last row asks for logits.
    fn rows(&self, sequence: u32, step: Step) -> SequenceRows {
        let first = sequence * self.blocks_per_sequence;
        let positions = step.position..step.position + step.rows;
        let token = |position: u32| TokenId((7919 * (position + sequence) + 13) % self.vocabulary);
        SequenceRows {
            sequence: SequenceId(u64::from(sequence)),
            position: step.position,
            tokens: positions.map(token).collect(),
            block_tables: vec![(first..first + self.blocks_per_sequence).map(BlockId).collect()],
            state_slot: Some(StateSlot(sequence)),
            sample: Sample::Yes { allowed: None },
        }
    }
}
