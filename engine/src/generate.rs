//! One sequence through a chain of stages in this process: no cluster, no scheduler.

use std::ops::ControlFlow;
use std::sync::Arc;

use protocol::generate::FinishReason;
use protocol::ids::{BlockId, SequenceId, StateSlot, StepId, TokenId};
use protocol::sampling_params::SamplingParams;
use protocol::step_batch::{Sample, SampledToken, SequenceRows, SequenceStart, StepBatch};

use crate::error::EngineError;
use crate::stage::{Stage, StageInput, StageOutput};

const SEQUENCE: SequenceId = SequenceId(0);

/// What to generate after a prompt.
#[derive(Clone, Debug)]
pub struct GenerateOptions {
    pub sampling: SamplingParams,
    pub choice_seed: u64,
    /// Tokens of the answer at most; the planned context bounds it too.
    pub tokens_max: u32,
    /// Prompt tokens per step.
    pub prefill_chunk: u32,
}

impl Default for GenerateOptions {
    fn default() -> Self {
        Self {
            sampling: SamplingParams::default(),
            choice_seed: 0,
            tokens_max: u32::MAX,
            prefill_chunk: 256,
        }
    }
}

/// Generates until a stop token, a limit, or `on_token` breaks off; a stop token is not reported.
///
/// `stages` are a whole model in order, each planned for at least one sequence.
pub fn generate(
    stages: &mut [Stage],
    prompt: &[TokenId],
    options: &GenerateOptions,
    on_token: &mut dyn FnMut(&SampledToken) -> ControlFlow<()>,
) -> Result<FinishReason, EngineError> {
    let mut chain = Chain::begin(stages, prompt, options);
    let finish = chain.run(prompt, options, on_token);
    chain.end();
    finish
}

/// Runs one batch through all of `stages`, in order.
pub fn step(stages: &mut [Stage], batch: &StepBatch) -> Result<Vec<SampledToken>, EngineError> {
    let mut input = StageInput::Tokens;
    for stage in stages {
        match stage.forward(batch, input)? {
            StageOutput::Activations(bytes) => input = StageInput::Activations(bytes),
            StageOutput::Samples(samples) => return Ok(samples.to_vec()),
        }
    }
    Ok(Vec::new())
}

/// The stages and what their next step begins with.
struct Chain<'a> {
    stages: &'a mut [Stage],
    /// The whole pool belongs to the one sequence.
    table: Vec<BlockId>,
    context_length: u32,
    chunk: usize,
    next_step: u64,
    starts: Vec<SequenceStart>,
}

impl<'a> Chain<'a> {
    fn begin(stages: &'a mut [Stage], prompt: &[TokenId], options: &GenerateOptions) -> Self {
        let kv = stages.first().map(Stage::kv);
        let chunk = kv.map_or(1, |kv| kv.step_tokens_max.min(options.prefill_chunk).max(1));
        Self {
            stages,
            table: (0..kv.map_or(0, |kv| kv.blocks)).map(BlockId).collect(),
            context_length: kv
                .map_or(0, |kv| kv.context_length.min(kv.blocks.saturating_mul(kv.block_size))),
            chunk: chunk as usize,
            next_step: 0,
            starts: vec![SequenceStart {
                sequence: SEQUENCE,
                sampling: options.sampling.clone(),
                choice_seed: options.choice_seed,
                prompt: Arc::from(prompt),
                emitted: Arc::from([]),
            }],
        }
    }

    fn run(
        &mut self,
        prompt: &[TokenId],
        options: &GenerateOptions,
        on_token: &mut dyn FnMut(&SampledToken) -> ControlFlow<()>,
    ) -> Result<FinishReason, EngineError> {
        let (tokens, limit) = (prompt.len() as u64, u64::from(self.context_length));
        if tokens > limit {
            return Err(EngineError::TooLong { tokens, limit });
        }
        let mut position = 0;
        let mut sampled = None;
        for chunk in prompt.chunks(self.chunk) {
            let last = position + chunk.len() == prompt.len();
            sampled = self.forward(position, chunk, last)?;
            position += chunk.len();
        }
        let mut answered = 0;
        while let Some(token) = sampled {
            if options.sampling.stop_tokens.contains(&token.token) {
                return Ok(FinishReason::Stop);
            }
            if answered >= options.tokens_max {
                return Ok(FinishReason::Length);
            }
            answered += 1;
            if on_token(&token).is_break() {
                return Ok(FinishReason::Cancelled);
            }
            if answered >= options.tokens_max || position as u64 >= limit {
                return Ok(FinishReason::Length);
            }
            sampled = self.forward(position, &[token.token], true)?;
            position += 1;
        }
        Ok(FinishReason::Length)
    }

    fn forward(
        &mut self,
        position: usize,
        tokens: &[TokenId],
        sample: bool,
    ) -> Result<Option<SampledToken>, EngineError> {
        let rows = SequenceRows {
            sequence: SEQUENCE,
            position: position as u32,
            tokens: tokens.to_vec(),
            block_tables: vec![self.table.clone()],
            state_slot: Some(StateSlot(0)),
            sample: if sample { Sample::Yes { allowed: None } } else { Sample::No },
        };
        let batch = self.batch(vec![rows], Vec::new());
        Ok(step(self.stages, &batch)?.pop())
    }

    fn batch(&mut self, rows: Vec<SequenceRows>, ends: Vec<SequenceId>) -> StepBatch {
        let step = StepId(self.next_step);
        self.next_step += 1;
        StepBatch { step, starts: std::mem::take(&mut self.starts), ends, copies: vec![], rows }
    }

    /// Lets the stages forget the sequence; what failed has been reported already.
    fn end(&mut self) {
        self.starts.clear();
        let batch = self.batch(Vec::new(), vec![SEQUENCE]);
        if let Err(error) = step(self.stages, &batch) {
            tracing::debug!(%error, "a stage did not end its sequence");
        }
    }
}
