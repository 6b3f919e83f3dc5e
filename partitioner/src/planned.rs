//! The planner's answer: a valid plan, what it predicts, and what else was looked at.

use protocol::admin::{PlannedRank, PlannedStage};
use protocol::ids::Digest;
use protocol::model_spec::LayerRange;
use protocol::plan::{CollectiveKind, KvPlan, Plan, PlanParts, RankPlan, StagePlan};

use crate::cell::{Cell, Member};
use crate::chain::{Chain, ChainStage};
use crate::cost::exchange::Exchange;
use crate::cost::memory::StageBytes;
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
    let blocks = chain.stages.iter().flat_map(|stage| {
        problem.cells[stage.cell].members.iter().map(|member| {
            let usable = problem.devices[member.device].profile.memory_usable_bytes;
            bytes_of(problem, stage, member).blocks(usable, objective)
        })
    });
    let kv = KvPlan {
        kv_type: objective.kv_type,
        block_size: objective.block_size,
        blocks: blocks.min().unwrap_or(0),
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

fn cell<'a>(problem: &'a Problem<'_>, stage: &ChainStage) -> &'a Cell {
    &problem.cells[stage.cell]
}

fn bytes_of(problem: &Problem<'_>, stage: &ChainStage, member: &Member) -> StageBytes {
    StageBytes::of(problem.spec, member.share, layers(stage), problem.objective)
}

fn stage_plan(problem: &Problem<'_>, stage: &ChainStage) -> StagePlan {
    let cell = cell(problem, stage);
    let rank = |member: &Member| {
        let device = &problem.devices[member.device];
        RankPlan { node: device.candidate.node, device: device.index, share: member.share }
    };
    let ranks = cell.members.iter().map(rank).collect();
    StagePlan { layers: layers(stage), ranks, collective: cell.collective() }
}

fn planned_stage(problem: &Problem<'_>, chain: &Chain, index: usize, kv: KvPlan) -> PlannedStage {
    let stage = &chain.stages[index];
    let cell = cell(problem, stage);
    let ranks: Vec<_> =
        cell.members.iter().map(|member| planned_rank(problem, stage, member, kv)).collect();
    let first = &ranks[0];
    PlannedStage {
        node: first.node,
        name: first.name.clone(),
        device: first.device,
        layers: layers(stage),
        weight_bytes: first.weight_bytes,
        kv_bytes: first.kv_bytes,
        workspace_bytes: first.workspace_bytes,
        free_bytes: first.free_bytes,
        seconds_per_token: cell.seconds(stage.start, stage.end),
        hop_seconds: hop_after(problem, chain, index),
        collective: cell.exchange.map(|e| why(problem, &e)).unwrap_or_default(),
        ranks,
    }
}

fn planned_rank(
    problem: &Problem<'_>,
    stage: &ChainStage,
    member: &Member,
    kv: KvPlan,
) -> PlannedRank {
    let device = &problem.devices[member.device];
    let bytes = bytes_of(problem, stage, member);
    let kv_bytes = bytes.kv_per_block * u64::from(kv.blocks) + bytes.slots;
    let taken = bytes.weights + bytes.workspace + kv_bytes;
    PlannedRank {
        node: device.candidate.node,
        name: device.candidate.name.clone(),
        device: device.index,
        device_name: device.described(),
        share: member.share,
        weight_bytes: bytes.weights,
        kv_bytes,
        workspace_bytes: bytes.workspace,
        free_bytes: device.profile.memory_usable_bytes.saturating_sub(taken),
    }
}

/// The transport of a group, and what it was chosen by.
fn why(problem: &Problem<'_>, exchange: &Exchange) -> String {
    let micros = |seconds: Option<f64>| match seconds {
        Some(seconds) => format!("{:.0} us", seconds * 1e6),
        None => "not measured".to_owned(),
    };
    let (direct, quic) = (micros(exchange.direct_seconds), micros(exchange.quic_seconds));
    let row = 4 * u64::from(problem.spec.hidden_size);
    let token = exchange.all_reduce_seconds(row) * 1e6;
    let chosen = match exchange.kind {
        CollectiveKind::Direct => format!("direct sockets ({direct} per exchange, QUIC {quic})"),
        CollectiveKind::Quic => format!("QUIC ({quic} per exchange, direct sockets {direct})"),
        CollectiveKind::Nccl => format!(
            "NCCL {} (not measured, direct sockets {direct}, QUIC {quic})",
            nccl_name(exchange.nccl.unwrap_or(0))
        ),
    };
    format!("{chosen}; two of {token:.0} us per layer and token")
}

/// NCCL writes 2.27.3 as 22703.
fn nccl_name(version: u32) -> String {
    format!("{}.{}.{}", version / 10_000, version / 100 % 100, version % 100)
}

fn hop_after(problem: &Problem<'_>, chain: &Chain, index: usize) -> f64 {
    let here = cell(problem, &chain.stages[index]).leader();
    let hop = match chain.stages.get(index + 1) {
        Some(next) => problem.hop_to(here, cell(problem, next)),
        None if index > 0 => problem.back[here][cell(problem, &chain.stages[0]).leader()],
        None => None,
    };
    hop.unwrap_or(0.0)
}

fn predict(problem: &Problem<'_>, chain: &Chain) -> Prediction {
    let objective = problem.objective;
    let chunk = objective.prompt_tokens.clamp(1, objective.step_tokens_max);
    let chunks = f64::from(objective.prompt_tokens.max(1).div_ceil(chunk));
    let seconds = |s: &ChainStage| {
        let layers = (s.start, s.end);
        cell(problem, s).step_seconds(problem.spec, &problem.devices, layers, chunk)
    };
    let times: Vec<f64> = chain.stages.iter().map(seconds).collect();
    // Chunks follow each other through the pipeline: all stages once, then the slowest per chunk.
    let slowest = times.iter().copied().fold(0.0, f64::max);
    let hops: f64 = (0..chain.stages.len()).map(|i| hop_after(problem, chain, i)).sum();
    let ttft_seconds = times.iter().sum::<f64>() + (chunks - 1.0) * slowest + hops;
    let seconds_per_token = chain.seconds_per_token;
    Prediction { seconds_per_token, tokens_per_second: 1.0 / seconds_per_token, ttft_seconds }
}
