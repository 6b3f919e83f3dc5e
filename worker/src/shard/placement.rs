//! What a plan means for one node: its own ranks, and the nodes it must talk to.

use protocol::ids::{NodeId, RankIndex, StageIndex};
use protocol::plan::{Plan, RankPlan};

/// A rank of a plan that lives on this node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LocalRank {
    pub index: RankIndex,
    pub stage: StageIndex,
    pub plan: RankPlan,
}

/// The ranks of `plan` on `node`, in plan order.
pub fn local_ranks(plan: &Plan, node: NodeId) -> Vec<LocalRank> {
    plan.ranks()
        .filter(|(_, _, rank)| rank.node == node)
        .map(|(index, stage, rank)| LocalRank { index, stage, plan: *rank })
        .collect()
}

/// The node of a rank; `None` when the plan has no such rank.
pub fn node_of(plan: &Plan, rank: RankIndex) -> Option<NodeId> {
    plan.rank(rank).map(|(_, rank)| rank.node)
}

/// Other nodes at the far end of an edge, or of a link inside a group, of one of this node's ranks,
/// each once.
pub fn neighbours(plan: &Plan, node: NodeId) -> Vec<NodeId> {
    let mut found = Vec::new();
    for edge in plan.edges().into_iter().chain(plan.group_links()) {
        let ends = (node_of(plan, edge.from), node_of(plan, edge.to));
        match ends {
            (Some(from), Some(to)) if from == node && to != node => found.push(to),
            (Some(from), Some(to)) if to == node && from != node => found.push(from),
            _ => {}
        }
    }
    found.sort_unstable();
    found.dedup();
    found
}

/// Whether stages loaded for `old` serve `new` as they are: same weights, shares, devices and
/// state layout. Where the stage stands in the pipeline does not matter.
pub fn same_stages(old: &Plan, new: &Plan, node: NodeId) -> bool {
    let held = |plan: &Plan| -> Vec<_> {
        let layers = |stage: StageIndex| plan.stages()[stage.0 as usize].layers;
        let ranks = local_ranks(plan, node);
        ranks.iter().map(|r| (layers(r.stage), r.plan.device, r.plan.share)).collect()
    };
    old.manifest() == new.manifest()
        && old.kv() == new.kv()
        && old.activation() == new.activation()
        && held(old) == held(new)
}
