//! A stage without a model: tokens are a function of seed and history, and memory is checked.

use std::collections::BTreeMap;

use protocol::generate::FinishReason;
use protocol::ids::{SequenceId, StateSlot, TokenId};
use protocol::step_batch::{Sample, SampledToken, SequenceRows, StepBatch};

pub(super) const VOCAB_SIZE: u32 = 1000;
/// Ends an answer; about one draw in 40 gives it.
pub(super) const STOP: TokenId = TokenId(2);

/// The paged memory of one stage: each cell holds a hash of the history that ends there.
#[derive(Debug)]
pub(super) struct FakeStage {
    block_size: u32,
    /// Per block, per token of it; 0 was never written.
    cells: Vec<Vec<u64>>,
    /// Whose state each slot holds, and the position that it is ready for.
    slots: BTreeMap<StateSlot, (SequenceId, u32)>,
    runs: BTreeMap<SequenceId, Run>,
}

#[derive(Debug)]
struct Run {
    choice_seed: u64,
    /// What this run wrote, by position.
    history: Vec<u64>,
}

impl FakeStage {
    pub(super) fn new(blocks: u32, block_size: u32) -> Self {
        let cells = vec![vec![0; block_size as usize]; blocks as usize];
        Self { block_size, cells, slots: BTreeMap::new(), runs: BTreeMap::new() }
    }

    /// Runs a batch; says so when a row would read what its sequence did not write.
    pub(super) fn run(&mut self, batch: &StepBatch) -> Result<Vec<SampledToken>, String> {
        for end in &batch.ends {
            self.runs.remove(end).ok_or_else(|| format!("run {end} ended twice"))?;
        }
        for start in &batch.starts {
            let run = Run { choice_seed: start.choice_seed, history: Vec::new() };
            if self.runs.insert(start.sequence, run).is_some() {
                return Err(format!("run {} started twice", start.sequence));
            }
        }
        let mut samples = Vec::new();
        for rows in &batch.rows {
            self.write(rows)?;
            if rows.sample != Sample::No {
                let run = &self.runs[&rows.sequence];
                let history = run.history.last().copied().unwrap_or(0);
                let token = next_token(run.choice_seed, history);
                samples.push(SampledToken { sequence: rows.sequence, token, logprobs: None });
            }
        }
        Ok(samples)
    }

    fn write(&mut self, rows: &SequenceRows) -> Result<(), String> {
        let sequence = rows.sequence;
        let run = self.runs.get_mut(&sequence).ok_or_else(|| format!("{sequence} has no start"))?;
        if run.history.len() != rows.position as usize {
            let (found, at) = (run.history.len(), rows.position);
            return Err(format!("run {sequence} has {found} positions, its row is for {at}"));
        }
        let slot = rows.state_slot.ok_or("a row without a slot")?;
        let end = rows.position + rows.tokens.len() as u32;
        let state = self.slots.insert(slot, (sequence, end));
        if rows.position > 0 && state != Some((sequence, rows.position)) {
            return Err(format!("run {sequence} finds {state:?} in slot {slot}"));
        }
        let table = rows.block_tables.first().ok_or("a row without a block table")?;
        let block_size = self.block_size as usize;
        for (position, written) in run.history.iter().enumerate() {
            let block = table[position / block_size].0 as usize;
            if self.cells[block][position % block_size] != *written {
                return Err(format!("run {sequence} reads position {position} of someone else"));
            }
        }
        for token in &rows.tokens {
            let position = run.history.len();
            let hash = fold(run.history.last().copied().unwrap_or(0), token.0.into());
            run.history.push(hash);
            let block = table.get(position / block_size).ok_or("a table too short")?.0 as usize;
            self.cells[block][position % block_size] = hash;
        }
        Ok(())
    }
}

/// What one undisturbed process would answer.
pub(super) fn undisturbed(
    prompt: &[TokenId],
    choice_seed: u64,
    tokens_max: u32,
    length_max: u32,
) -> (Vec<TokenId>, FinishReason) {
    let mut history = prompt.iter().fold(0, |history, token| fold(history, token.0.into()));
    let mut answer = Vec::new();
    loop {
        let token = next_token(choice_seed, history);
        if token == STOP {
            return (answer, FinishReason::Stop);
        }
        answer.push(token);
        history = fold(history, token.0.into());
        let length = (prompt.len() + answer.len()) as u32;
        if answer.len() as u32 >= tokens_max || length >= length_max {
            return (answer, FinishReason::Length);
        }
    }
}

fn next_token(choice_seed: u64, history: u64) -> TokenId {
    let draw = fold(choice_seed, history) >> 16;
    let ordinary = 3 + (draw / 64 % u64::from(VOCAB_SIZE - 3)) as u32;
    if draw.is_multiple_of(40) { STOP } else { TokenId(ordinary) }
}

fn fold(state: u64, value: u64) -> u64 {
    let mixed =
        (state ^ value.wrapping_add(0x9E37_79B9_7F4A_7C15)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    (mixed ^ (mixed >> 29)) | 1
}
