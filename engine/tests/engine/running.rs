//! Runs batches through chains of stages, and watches what comes out by its bits.

use std::sync::Arc;

use engine::{Compute, KernelSet, Stage, StageConfig, StageInput, StageOutput};
use protocol::ids::{BlockId, SequenceId, StateSlot, StepId, TokenId};
use protocol::model_spec::{KvType, LayerRange};
use protocol::plan::{ActivationType, KvPlan, Share};
use protocol::sampling_params::SamplingParams;
use protocol::step_batch::{Sample, SampledToken, SequenceRows, SequenceStart, StepBatch};

use crate::random_model::{Random, RandomModel};

pub(crate) const BLOCK_SIZE: u32 = 16;

pub(crate) fn config(
    layers: LayerRange,
    kv_type: KvType,
    activation: ActivationType,
) -> StageConfig {
    let kv = KvPlan {
        kv_type,
        block_size: BLOCK_SIZE,
        blocks: 160,
        context_length: 128,
        sequences_max: 64,
        step_tokens_max: 256,
    };
    StageConfig { layers, kv, activation, share: Share::WHOLE }
}

/// Stages that end at each of `cuts` and at the last layer.
pub(crate) fn chain(
    model: &RandomModel,
    cuts: &[u32],
    kv_type: KvType,
    activation: ActivationType,
) -> Vec<Stage> {
    chain_on(Compute::of_process(), model, cuts, kv_type, activation)
}

/// As `chain`, computed by `compute`.
pub(crate) fn chain_on(
    compute: &Arc<Compute>,
    model: &RandomModel,
    cuts: &[u32],
    kv_type: KvType,
    activation: ActivationType,
) -> Vec<Stage> {
    let mut start = 0;
    let ends = cuts.iter().copied().chain([model.manifest.spec.layer_count()]);
    let stage = |end| {
        let range = LayerRange::new(start, end);
        start = end;
        let config = config(range, kv_type, activation);
        let stage = Stage::load_on(compute, &model.manifest, model, &config, &mut |_| {});
        stage.expect("the stage loads")
    };
    ends.map(stage).collect()
}

/// What computes in each kernel set that this machine has, on a number of threads of its own.
pub(crate) fn computes() -> impl Iterator<Item = Arc<Compute>> {
    let threads = |set| if set == KernelSet::Portable { 1 } else { 2 };
    KernelSet::available().map(move |set| Arc::new(Compute::new(set, threads(set), || {})))
}

/// A batch of `rows` and nothing else.
pub(crate) fn batch(rows: Vec<SequenceRows>) -> StepBatch {
    StepBatch { step: StepId(0), starts: vec![], ends: vec![], copies: vec![], rows }
}

/// Rows of sequence `id`, whose blocks are its own, that ask for a token.
pub(crate) fn rows(id: u32, position: usize, tokens: &[TokenId]) -> SequenceRows {
    rows_in(id, position, tokens, (0..16).map(|i| BlockId(id * 16 + i)).collect())
}

/// As `rows`, with the blocks given.
pub(crate) fn rows_in(
    id: u32,
    position: usize,
    tokens: &[TokenId],
    table: Vec<BlockId>,
) -> SequenceRows {
    SequenceRows {
        sequence: SequenceId(u64::from(id)),
        position: position as u32,
        tokens: tokens.to_vec(),
        block_tables: vec![table],
        state_slot: Some(StateSlot(id)),
        sample: Sample::Yes { allowed: None },
    }
}

pub(crate) fn start(id: u32, prompt: &[TokenId], sampling: SamplingParams) -> SequenceStart {
    SequenceStart {
        sequence: SequenceId(u64::from(id)),
        sampling,
        choice_seed: 17,
        prompt: Arc::from(prompt),
        emitted: Arc::from([]),
    }
}

pub(crate) fn prompt(seed: u64, length: usize, vocabulary: u32) -> Vec<TokenId> {
    let mut random = Random(seed);
    (0..length).map(|_| TokenId(random.below(vocabulary))).collect()
}

/// Runs `batch` and returns what the first stage hands on, row by row.
pub(crate) fn hidden_rows(stage: &mut Stage, batch: &StepBatch, width: usize) -> Vec<Vec<u8>> {
    match stage.forward(batch, StageInput::Tokens).expect("the step runs") {
        StageOutput::Activations(bytes) => bytes.chunks(width).map(<[u8]>::to_vec).collect(),
        StageOutput::Samples(_) => panic!("an inner stage does not sample"),
    }
}

pub(crate) fn run(stages: &mut [Stage], batch: &StepBatch) -> Vec<SampledToken> {
    engine::generate::step(stages, batch).expect("the step runs")
}

/// Log probabilities of the 20 likeliest tokens: as close to the logits as samples come.
pub(crate) fn watched() -> SamplingParams {
    SamplingParams { logprobs: Some(20), ..SamplingParams::default() }
}
