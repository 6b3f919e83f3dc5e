//! Given a state and one event, the expected actions: one file per event, and random histories.

mod batching;
mod cancel;
mod drain;
mod histories;
mod pipeline_lost;
mod preemption;
mod state_slots;
mod step_done;
mod submit;
mod tick;

use std::time::Duration;

use protocol::generate::{EmittedToken, GenerateRequest};
use protocol::ids::{Epoch, ReplicaId, TokenId};
use protocol::model_spec::KvType;
use protocol::plan::KvPlan;
use protocol::sampling_params::SamplingParams;
use protocol::step_batch::{Sample, SampledToken, StepBatch, StepResult};

use super::{Action, Event, STEP_TARGET, Scheduler, SchedulerConfig, StreamKey};

const NOW: Duration = Duration::from_secs(1);
/// The fake model's stop token; its other tokens are ordinary.
const STOP: TokenId = TokenId(2);

fn config() -> SchedulerConfig {
    SchedulerConfig {
        replica: ReplicaId(1),
        epoch: Epoch(5),
        kv: KvPlan {
            kv_type: KvType::F16,
            block_size: 4,
            blocks: 32,
            context_length: 64,
            sequences_max: 8,
            step_tokens_max: 16,
        },
        stages: 1,
        vocab_size: 1000,
        recurrent: false,
        waiting_max: 4,
        step_target: STEP_TARGET,
        step_timeout: Duration::from_secs(10),
    }
}

fn with(change: impl FnOnce(&mut SchedulerConfig)) -> Scheduler {
    let mut config = config();
    change(&mut config);
    Scheduler::new(config)
}

fn key(number: u64) -> StreamKey {
    StreamKey(number)
}

/// A prompt of `tokens` tokens, answered with at most `tokens_max`.
fn request(tokens: u32, tokens_max: u32) -> GenerateRequest {
    GenerateRequest {
        request_id: "r".to_owned(),
        prompt: (0..tokens).map(|at| TokenId(100 + at % 800)).collect(),
        emitted: Vec::new(),
        sampling: SamplingParams { stop_tokens: vec![STOP], ..Default::default() },
        choice_seed: 7,
        tokens_max,
        resumed: false,
    }
}

fn resumed(tokens: u32, emitted: u32, tokens_max: u32) -> GenerateRequest {
    let emitted = (500..500 + emitted).map(TokenId).collect();
    GenerateRequest { emitted, resumed: true, ..request(tokens, tokens_max) }
}

fn submit(scheduler: &mut Scheduler, number: u64, request: GenerateRequest) -> Vec<Action> {
    scheduler.step(Event::Submit { key: key(number), request }, NOW)
}

fn cancel(scheduler: &mut Scheduler, number: u64) -> Vec<Action> {
    scheduler.step(Event::Cancel { key: key(number) }, NOW)
}

/// Answers `batch` with `token` for every row that asks for one.
fn answer(scheduler: &mut Scheduler, batch: &StepBatch, token: u32) -> Vec<Action> {
    scheduler.step(Event::StepDone(result(batch, TokenId(token))), NOW)
}

fn result(batch: &StepBatch, token: TokenId) -> StepResult {
    let sampled = batch.rows.iter().filter(|rows| rows.sample != Sample::No);
    let sample = |sequence| SampledToken { sequence, token, logprobs: None };
    let samples = sampled.map(|rows| sample(rows.sequence)).collect();
    StepResult { step: batch.step, samples, stage_micros: vec![1000] }
}

fn emit(number: u64, token: u32) -> Action {
    let token = EmittedToken { token: TokenId(token), logprobs: None };
    Action::Emit { key: key(number), token }
}

fn batches(actions: &[Action]) -> Vec<StepBatch> {
    let batch = |action: &Action| match action {
        Action::Dispatch(batch) => Some(batch.clone()),
        _ => None,
    };
    actions.iter().filter_map(batch).collect()
}

/// The only batch among `actions`.
fn batch(actions: &[Action]) -> StepBatch {
    let mut batches = batches(actions);
    assert_eq!(batches.len(), 1, "one batch expected in {actions:?}");
    batches.remove(0)
}

/// Everything but the batches.
fn told(actions: &[Action]) -> Vec<Action> {
    actions.iter().filter(|a| !matches!(a, Action::Dispatch(_))).cloned().collect()
}

/// Who has rows in the batch, from which position and how many.
fn layout(batch: &StepBatch) -> Vec<(u64, u32, usize)> {
    batch.rows.iter().map(|r| (r.sequence.0, r.position, r.tokens.len())).collect()
}
