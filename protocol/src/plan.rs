//! Where every layer of a replica runs. A `Plan` value that exists is valid: it covers the model.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use wincode::{SchemaRead, SchemaWrite};

use crate::ids::{Digest, NodeId, RankIndex, StageIndex};
use crate::model_spec::{KvType, LayerRange};

/// Placement of one replica: stages in order, the ranks of each, the edges between ranks.
///
/// Fields are private so that a plan with a gap, an overlap or an edge to nowhere cannot be made,
/// neither by code nor by decoding.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "PlanParts", into = "PlanParts")]
pub struct Plan {
    parts: PlanParts,
}

/// The open form of a plan, before it is checked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlanParts {
    /// Manifest of the model version.
    pub manifest: Digest,
    pub layer_count: u32,
    pub stages: Vec<StagePlan>,
    pub kv: KvPlan,
    pub activation: ActivationType,
}

/// A contiguous layer range, held by one tensor-parallel group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StagePlan {
    pub layers: LayerRange,
    /// At least one; rank 0 sends to every rank of the next stage.
    pub ranks: Vec<RankPlan>,
    /// How its ranks on different nodes exchange what they sum up.
    #[serde(default)]
    pub collective: CollectiveKind,
}

/// A transport between the ranks of a group; ranks of one node meet in its memory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CollectiveKind {
    /// A TLS socket that the rank's thread polls; a pair that cannot open one uses QUIC.
    #[default]
    Direct,
    /// A stream of the nodes' QUIC connection.
    Quic,
    /// NCCL between GPUs; ranks that cannot all set it up use direct sockets.
    Nccl,
}

/// One device of one node, and its share of the stage.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RankPlan {
    pub node: NodeId,
    pub device: u32,
    pub share: Share,
}

/// A part of a stage's units, in ranks' order: `units` of `of`, from `start`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Share {
    pub start: u32,
    pub units: u32,
    pub of: u32,
}

impl Share {
    /// The whole stage on one rank.
    pub const WHOLE: Self = Self { start: 0, units: 1, of: 1 };
}

/// What of a plan decides the bits of an answer beside the model and its types: sums over other
/// shares round in another way.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sharing {
    /// Layers up to an end, and the shares of their ranks in order.
    stages: Vec<(u32, Vec<Share>)>,
}

/// The paged KV pool, the same on every rank.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KvPlan {
    pub kv_type: KvType,
    /// Tokens per block.
    pub block_size: u32,
    /// The minimum over ranks of budget / bytes per block.
    pub blocks: u32,
    /// Longest sequence, prompt and answer together.
    pub context_length: u32,
    /// Sequences that run at once.
    pub sequences_max: u32,
    /// Token rows of one step.
    pub step_tokens_max: u32,
}

/// What crosses a cut; every layer rounds to it, so that moving a cut changes no bit.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    Serialize,
    Deserialize,
    SchemaWrite,
    SchemaRead,
    ToSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum ActivationType {
    #[default]
    F32,
    Bf16,
}

impl ActivationType {
    pub fn bytes(self) -> usize {
        match self {
            Self::F32 => 4,
            Self::Bf16 => 2,
        }
    }
}

/// A directed connection between two ranks of a plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Edge {
    pub from: RankIndex,
    pub to: RankIndex,
}

#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum PlanInvalid {
    #[error("a plan needs at least one stage")]
    NoStage,
    #[error("stage {stage} starts at layer {found}, expected {expected}: gap or overlap")]
    NotContiguous { stage: StageIndex, found: u32, expected: u32 },
    #[error("stage {stage} holds no layer")]
    EmptyStage { stage: StageIndex },
    #[error("stages end at layer {found}, the model has {expected}")]
    NotCovering { found: u32, expected: u32 },
    #[error("stage {stage} has no rank")]
    NoRank { stage: StageIndex },
    #[error("the shares of stage {stage} do not add up to the whole, in order and without a gap")]
    BadShares { stage: StageIndex },
    #[error("a plan needs at least one KV block of at least one token")]
    NoBlocks,
}

impl Plan {
    pub fn new(parts: PlanParts) -> Result<Self, PlanInvalid> {
        let mut next_layer = 0;
        for (index, stage) in parts.stages.iter().enumerate() {
            let index = StageIndex(index as u32);
            check_stage(stage, index, next_layer)?;
            next_layer = stage.layers.end.0;
        }
        if parts.stages.is_empty() {
            return Err(PlanInvalid::NoStage);
        }
        if next_layer != parts.layer_count {
            return Err(PlanInvalid::NotCovering {
                found: next_layer,
                expected: parts.layer_count,
            });
        }
        if parts.kv.blocks == 0 || parts.kv.block_size == 0 {
            return Err(PlanInvalid::NoBlocks);
        }
        Ok(Self { parts })
    }

    pub fn manifest(&self) -> Digest {
        self.parts.manifest
    }

    pub fn layer_count(&self) -> u32 {
        self.parts.layer_count
    }

    pub fn stages(&self) -> &[StagePlan] {
        &self.parts.stages
    }

    pub fn kv(&self) -> KvPlan {
        self.parts.kv
    }

    pub fn activation(&self) -> ActivationType {
        self.parts.activation
    }

    /// The ranks of all stages in order; the position is the `RankIndex`.
    pub fn ranks(&self) -> impl Iterator<Item = (RankIndex, StageIndex, &RankPlan)> {
        self.parts
            .stages
            .iter()
            .enumerate()
            .flat_map(|(s, stage)| stage.ranks.iter().map(move |rank| (StageIndex(s as u32), rank)))
            .enumerate()
            .map(|(r, (stage, rank))| (RankIndex(r as u32), stage, rank))
    }

    pub fn rank(&self, index: RankIndex) -> Option<(StageIndex, &RankPlan)> {
        self.ranks().find(|(i, ..)| *i == index).map(|(_, stage, rank)| (stage, rank))
    }

    /// Rank 0 of stage 0: runs the scheduler and talks to the gateway.
    pub fn head(&self) -> &RankPlan {
        &self.parts.stages[0].ranks[0]
    }

    /// Index of rank 0 of `stage`.
    pub fn leader_of(&self, stage: StageIndex) -> RankIndex {
        let before: usize =
            self.parts.stages[..stage.0 as usize].iter().map(|s| s.ranks.len()).sum();
        RankIndex(before as u32)
    }

    pub fn last_stage(&self) -> StageIndex {
        StageIndex(self.parts.stages.len() as u32 - 1)
    }

    /// The ranks of `stage`, its rank 0 first.
    pub fn ranks_of(&self, stage: StageIndex) -> impl DoubleEndedIterator<Item = RankIndex> {
        let first = self.leader_of(stage).0;
        let count = self.parts.stages[stage.0 as usize].ranks.len() as u32;
        (first..first + count).map(RankIndex)
    }

    /// The edges that steps take, in the order in which a rank opens its own: the head to the
    /// other ranks of its stage, rank 0 of each stage to every rank of the next, its rank 0 last,
    /// and the last stage's rank 0 back to the head (token ids) when there is more than one stage.
    pub fn edges(&self) -> Vec<Edge> {
        let head = RankIndex(0);
        let others = self.ranks_of(StageIndex(0)).skip(1);
        let mut edges: Vec<_> = others.map(|to| Edge { from: head, to }).collect();
        let last = self.last_stage();
        for stage in 0..last.0 {
            let from = self.leader_of(StageIndex(stage));
            let next = self.ranks_of(StageIndex(stage + 1)).rev();
            edges.extend(next.map(|to| Edge { from, to }));
        }
        if last.0 > 0 {
            edges.push(Edge { from: self.leader_of(last), to: head });
        }
        edges
    }

    /// The pairs of ranks that share a stage, from the lower to the higher, which also dials.
    pub fn group_links(&self) -> Vec<Edge> {
        let mut links = Vec::new();
        for stage in 0..self.parts.stages.len() as u32 {
            let ranks: Vec<_> = self.ranks_of(StageIndex(stage)).collect();
            for (i, from) in ranks.iter().enumerate() {
                links.extend(ranks[i + 1..].iter().map(|to| Edge { from: *from, to: *to }));
            }
        }
        links
    }

    /// How each layer's sums are shared out. Moving a cut between stages of the same shares does
    /// not change it, nor does another node.
    pub fn sharing(&self) -> Sharing {
        let mut stages: Vec<(u32, Vec<Share>)> = Vec::new();
        for stage in &self.parts.stages {
            let shares = stage.ranks.iter().map(|rank| rank.share).collect();
            let end = stage.layers.end.0;
            match stages.last_mut() {
                Some((last, same)) if *same == shares => *last = end,
                _ => stages.push((end, shares)),
            }
        }
        Sharing { stages }
    }

    pub fn nodes(&self) -> Vec<NodeId> {
        let mut nodes: Vec<_> = self.ranks().map(|(_, _, rank)| rank.node).collect();
        nodes.sort_unstable();
        nodes.dedup();
        nodes
    }
}

fn check_stage(stage: &StagePlan, index: StageIndex, next_layer: u32) -> Result<(), PlanInvalid> {
    if stage.layers.start.0 != next_layer {
        return Err(PlanInvalid::NotContiguous {
            stage: index,
            found: stage.layers.start.0,
            expected: next_layer,
        });
    }
    if stage.layers.end.0 <= stage.layers.start.0 {
        return Err(PlanInvalid::EmptyStage { stage: index });
    }
    let Some(first) = stage.ranks.first() else {
        return Err(PlanInvalid::NoRank { stage: index });
    };
    let mut next_unit = 0;
    for rank in &stage.ranks {
        let share = rank.share;
        if share.start != next_unit || share.units == 0 || share.of != first.share.of {
            return Err(PlanInvalid::BadShares { stage: index });
        }
        next_unit = share.start.saturating_add(share.units);
    }
    if next_unit != first.share.of {
        return Err(PlanInvalid::BadShares { stage: index });
    }
    Ok(())
}

impl TryFrom<PlanParts> for Plan {
    type Error = PlanInvalid;

    fn try_from(parts: PlanParts) -> Result<Self, PlanInvalid> {
        Self::new(parts)
    }
}

impl From<Plan> for PlanParts {
    fn from(plan: Plan) -> Self {
        plan.parts
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stage(start: u32, end: u32, node: u8) -> StagePlan {
        let rank = RankPlan { node: NodeId([node; 32]), device: 0, share: Share::WHOLE };
        let (layers, collective) = (LayerRange::new(start, end), CollectiveKind::Direct);
        StagePlan { layers, ranks: vec![rank], collective }
    }

    fn parts(stages: Vec<StagePlan>) -> PlanParts {
        let kv = KvPlan {
            kv_type: KvType::F16,
            block_size: 16,
            blocks: 8,
            context_length: 128,
            sequences_max: 4,
            step_tokens_max: 64,
        };
        PlanParts {
            manifest: Digest::of(b"m"),
            layer_count: 8,
            stages,
            kv,
            activation: ActivationType::F32,
        }
    }

    #[test]
    fn a_plan_with_a_gap_an_overlap_or_a_missing_end_cannot_be_made() {
        let gap = Plan::new(parts(vec![stage(0, 3, 1), stage(4, 8, 2)]));
        assert!(matches!(gap, Err(PlanInvalid::NotContiguous { found: 4, expected: 3, .. })));
        let overlap = Plan::new(parts(vec![stage(0, 5, 1), stage(4, 8, 2)]));
        assert!(matches!(overlap, Err(PlanInvalid::NotContiguous { .. })));
        let short = Plan::new(parts(vec![stage(0, 7, 1)]));
        assert_eq!(short, Err(PlanInvalid::NotCovering { found: 7, expected: 8 }));
        assert_eq!(Plan::new(parts(vec![])), Err(PlanInvalid::NoStage));
    }

    #[test]
    fn a_bad_plan_cannot_be_decoded_either() {
        let json = serde_json::to_string(&parts(vec![stage(0, 7, 1)])).expect("parts serialise");
        let error = serde_json::from_str::<Plan>(&json).expect_err("not covering");
        assert!(error.to_string().contains("the model has 8"));
    }

    #[test]
    fn edges_form_a_ring_over_the_stage_leaders() {
        let plan = Plan::new(parts(vec![stage(0, 3, 1), stage(3, 6, 2), stage(6, 8, 3)]));
        let edges = plan.expect("valid").edges();
        let edge = |from, to| Edge { from: RankIndex(from), to: RankIndex(to) };
        assert_eq!(edges, [edge(0, 1), edge(1, 2), edge(2, 0)]);
    }

    #[test]
    fn every_rank_of_a_group_gets_each_step_from_the_leader_before_it() {
        let grouped = |start, end, nodes: &[u8]| {
            let share = |i| Share { start: i, units: 1, of: nodes.len() as u32 };
            let rank = |(i, node): (usize, &u8)| RankPlan {
                node: NodeId([*node; 32]),
                device: 0,
                share: share(i as u32),
            };
            let ranks = nodes.iter().enumerate().map(rank).collect();
            StagePlan { ranks, ..stage(start, end, 0) }
        };
        let plan = Plan::new(parts(vec![grouped(0, 3, &[1, 2]), grouped(3, 8, &[3, 4, 5])]));
        let plan = plan.expect("valid");
        let edge = |(from, to)| Edge { from: RankIndex(from), to: RankIndex(to) };
        assert_eq!(plan.edges(), [(0, 1), (0, 4), (0, 3), (0, 2), (2, 0)].map(edge));
        assert_eq!(plan.group_links(), [(0, 1), (2, 3), (2, 4), (3, 4)].map(edge));
    }
}
