//! What a plan shall promise.

use protocol::model_spec::{KvType, ModelSpec};
use protocol::plan::ActivationType;

use crate::error::PlanError;

/// How many pipeline stages a plan may have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum StageCount {
    /// As many as are fastest.
    #[default]
    Fastest,
    Exactly(u32),
    /// The possible count that is closest to this one, of two the lower: what keeps a service up.
    Near(u32),
}

/// Resolved wishes of a deployment; the plan's KV pool holds at least one sequence of
/// `context_length` tokens and at most `sequences_max` of them.
#[derive(Clone, Debug, PartialEq)]
pub struct Objective {
    pub context_length: u32,
    pub sequences_max: u32,
    pub step_tokens_max: u32,
    pub block_size: u32,
    pub kv_type: KvType,
    pub activation: ActivationType,
    pub stages: StageCount,
    /// Upper bound of the KV pool's bytes on one device.
    pub kv_bytes_max: Option<u64>,
    /// Prompt length that the predicted time to first token is for.
    pub prompt_tokens: u32,
}

impl Objective {
    /// Longest context that is promised unless asked for more: KV memory grows with it.
    pub const CONTEXT_DEFAULT: u32 = 8192;

    /// Defaults for `spec`: its own context up to 8,192 tokens, 16 sequences, f16 KV.
    pub fn for_model(spec: &ModelSpec) -> Self {
        Self {
            context_length: spec.context_length.min(Self::CONTEXT_DEFAULT),
            sequences_max: 16,
            step_tokens_max: 256,
            block_size: 16,
            kv_type: KvType::F16,
            activation: ActivationType::F32,
            stages: StageCount::Fastest,
            kv_bytes_max: None,
            prompt_tokens: 512,
        }
    }

    pub(crate) fn check(&self, spec: &ModelSpec) -> Result<(), PlanError> {
        let check = |name: &'static str, value: u32, most: u32| {
            let ok = (1..=most).contains(&value);
            if ok { Ok(()) } else { Err(PlanError::BadOption { name, value, most }) }
        };
        if !spec.can_keep(self.kv_type) {
            return Err(PlanError::KvType { block: self.kv_type.block() });
        }
        check("context_length", self.context_length, spec.context_length)?;
        check("sequences_max", self.sequences_max, 1024)?;
        check("step_tokens_max", self.step_tokens_max, 4096)?;
        check("block_size", self.block_size, 256)?;
        match self.stages {
            StageCount::Fastest => Ok(()),
            StageCount::Exactly(stages) | StageCount::Near(stages) => {
                check("stages", stages, spec.layer_count())
            }
        }
    }

    pub(crate) fn blocks_per_sequence(&self) -> u32 {
        self.context_length.div_ceil(self.block_size)
    }
}
