//! The planner's answer: a valid plan, what it predicts, and what else was looked at.

use protocol::admin::PlannedStage;
use protocol::ids::Digest;
use protocol::model_spec::LayerRange;
use protocol::plan::{KvPlan, Plan, PlanParts, RankPlan, Share, StagePlan};

use crate::chain::{Chain, ChainStage};
use crate::cost::memory::StageBytes;
use crate::cost::roofline::stage_seconds;
use crate::error::PlanError;
use crate::explain;
use crate::problem::Problem;

#[derive(Clone, Debug, PartialEq)]
pub struct Planned {
    pub plan: Plan,
    pub prediction: Prediction,
    pub stages: Vec<PlannedStage>,
    pub alternatives: Vec<Alternative>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Prediction {
    /// Time per output token of one stream (TPOT).
    pub seconds_per_token: f64,
    pub tokens_per_second: f64,
    /// Time to first token of a prompt of `Objective::prompt_tokens`.
    pub ttft_seconds: f64,
}

/// Another placement and its predicted time per token.
#[derive(Clone, Debug, PartialEq)]
pub struct Alternative {
    pub description: String,
    pub seconds_per_token: f64,
}

pub(crate) fn complete(
    problem: &Problem<'_>,
    manifest: Digest,
    chain: &Chain,
    chains: &[Chain],
) -> Result<Planned, PlanError> {
    let objective = problem.objective;
    let bytes = |s: &ChainStage| StageBytes::of(problem.spec, layers(s), objective);
    let usable = |s: &ChainStage| problem.devices[s.device].profile.memory_usable_bytes;
    let blocks = chain.stages.iter().map(|s| bytes(s).blocks(usable(s), objective)).min();
    let kv = KvPlan {
        kv_type: objective.kv_type,
        block_size: objective.block_size,
        blocks: blocks.unwrap_or(0),
        context_length: objective.context_length,
        sequences_max: objective.sequences_max,
        step_tokens_max: objective.step_tokens_max,
    };
    let plan = Plan::new(PlanParts {
        manifest,
        layer_count: problem.spec.layer_count(),
        stages: chain.stages.iter().map(|s| stage_plan(problem, s)).collect(),
        kv,
        activation: objective.activation,
    })?;
    let stages = (0..chain.stages.len()).map(|i| planned_stage(problem, chain, i, kv)).collect();
    let prediction = predict(problem, chain);
    let alternatives = explain::alternatives(problem, chain, chains);
    Ok(Planned { plan, prediction, stages, alternatives })
}

pub(crate) fn layers(stage: &ChainStage) -> LayerRange {
    LayerRange::new(stage.start as u32, stage.end as u32)
}

fn stage_plan(problem: &Problem<'_>, stage: &ChainStage) -> StagePlan {
    let device = &problem.devices[stage.device];
    let rank = RankPlan { node: device.candidate.node, device: device.index, share: Share::WHOLE };
    StagePlan { layers: layers(stage), ranks: vec![rank] }
}

fn planned_stage(problem: &Problem<'_>, chain: &Chain, index: usize, kv: KvPlan) -> PlannedStage {
    let stage = &chain.stages[index];
    let device = &problem.devices[stage.device];
    let bytes = StageBytes::of(problem.spec, layers(stage), problem.objective);
    let kv_bytes = bytes.kv_per_block * u64::from(kv.blocks) + bytes.slots;
    let taken = bytes.weights + bytes.workspace + kv_bytes;
    PlannedStage {
        node: device.candidate.node,
        name: device.candidate.name.clone(),
        device: device.index,
        layers: layers(stage),
        weight_bytes: bytes.weights,
        kv_bytes,
        workspace_bytes: bytes.workspace,
        free_bytes: device.profile.memory_usable_bytes.saturating_sub(taken),
        seconds_per_token: device.seconds(stage.start, stage.end),
        hop_seconds: hop_after(problem, chain, index),
    }
}

fn hop_after(problem: &Problem<'_>, chain: &Chain, index: usize) -> f64 {
    let here = chain.stages[index].device;
    let hop = match chain.stages.get(index + 1) {
        Some(next) => problem.hop[here][next.device],
        None if index > 0 => problem.back[here][chain.stages[0].device],
        None => None,
    };
    hop.unwrap_or(0.0)
}

fn predict(problem: &Problem<'_>, chain: &Chain) -> Prediction {
    let objective = problem.objective;
    let chunk = objective.prompt_tokens.clamp(1, objective.step_tokens_max);
    let chunks = f64::from(objective.prompt_tokens.max(1).div_ceil(chunk));
    let times: Vec<f64> = chain
        .stages
        .iter()
        .map(|s| stage_seconds(problem.spec, layers(s), problem.devices[s.device].profile, chunk))
        .collect();
    // Chunks follow each other through the pipeline: all stages once, then the slowest per chunk.
    let slowest = times.iter().copied().fold(0.0, f64::max);
    let hops: f64 = (0..chain.stages.len()).map(|i| hop_after(problem, chain, i)).sum();
    let ttft_seconds = times.iter().sum::<f64>() + (chunks - 1.0) * slowest + hops;
    let seconds_per_token = chain.seconds_per_token;
    Prediction { seconds_per_token, tokens_per_second: 1.0 / seconds_per_token, ttft_seconds }
}
