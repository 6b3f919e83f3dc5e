//! One step of a pipeline: which rows run, where their state lives, which of them are sampled.

use std::sync::Arc;

use wincode::{SchemaRead, SchemaWrite};

use crate::ids::{BlockId, SequenceId, StateSlot, StepId, TokenId};
use crate::sampling_params::SamplingParams;

/// Built by the head, executed by every stage in the head's order.
#[derive(Clone, Debug, PartialEq, SchemaWrite, SchemaRead)]
pub struct StepBatch {
    pub step: StepId,
    /// Sequences that begin with this step; told before any of their rows.
    pub starts: Vec<SequenceStart>,
    /// Sequences that are over; their state may be dropped before this step runs.
    pub ends: Vec<SequenceId>,
    /// Block copies (copy-on-write), performed in order before any row.
    pub copies: Vec<BlockCopy>,
    /// Rows in order; activations of the step have one row per token, in this order.
    pub rows: Vec<SequenceRows>,
}

/// Consecutive tokens of one sequence: a prefill chunk, or the single row of a decode step.
#[derive(Clone, Debug, PartialEq, SchemaWrite, SchemaRead)]
pub struct SequenceRows {
    pub sequence: SequenceId,
    /// Position of the first token, counted from 0 at the start of the prompt.
    pub position: u32,
    pub tokens: Vec<TokenId>,
    /// One table per KV group; entry i holds positions i * block_size and on.
    pub block_tables: Vec<Vec<BlockId>>,
    pub state_slot: Option<StateSlot>,
    pub sample: Sample,
}

/// Whether the last of the rows yields a token.
#[derive(Clone, Debug, PartialEq, SchemaWrite, SchemaRead)]
pub enum Sample {
    /// An inner prefill chunk.
    No,
    /// Sample at position `position + tokens.len()`, restricted to the mask if there is one.
    Yes { allowed: Option<TokenMask> },
}

/// A bit per vocabulary entry, entry 0 in the lowest bit of word 0.
#[derive(Clone, Debug, PartialEq, SchemaWrite, SchemaRead)]
pub struct TokenMask {
    pub words: Vec<u32>,
}

/// What the last stage must know of a sequence for penalties, limits and draws.
#[derive(Clone, Debug, PartialEq, SchemaWrite, SchemaRead)]
pub struct SequenceStart {
    pub sequence: SequenceId,
    pub sampling: SamplingParams,
    /// The draw at a position is a function of this and the position alone.
    pub choice_seed: u64,
    pub prompt: Arc<[TokenId]>,
    /// Already emitted before a resume; they count as answer, not as prompt.
    pub emitted: Arc<[TokenId]>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, SchemaWrite, SchemaRead)]
pub struct BlockCopy {
    pub from: BlockId,
    pub to: BlockId,
}

/// What the last stage returns to the head.
#[derive(Clone, Debug, PartialEq, SchemaWrite, SchemaRead)]
pub struct StepResult {
    pub step: StepId,
    /// One per row set that asked for a sample, in batch order.
    pub samples: Vec<SampledToken>,
    /// Compute time of each stage so far, microseconds, for the head's step-time estimate.
    pub stage_micros: Vec<u32>,
}

#[derive(Clone, Debug, PartialEq, SchemaWrite, SchemaRead)]
pub struct SampledToken {
    pub sequence: SequenceId,
    pub token: TokenId,
    /// Present when the sequence asked for log probabilities.
    pub logprobs: Option<TokenLogprobs>,
}

/// Natural logarithms over the distribution before truncation, after penalties and bias.
#[derive(Clone, Debug, PartialEq, SchemaWrite, SchemaRead)]
pub struct TokenLogprobs {
    pub chosen: f32,
    pub top: Vec<(TokenId, f32)>,
}

impl StepBatch {
    /// Rows of the step's activation matrix.
    pub fn token_count(&self) -> usize {
        self.rows.iter().map(|r| r.tokens.len()).sum()
    }
}
