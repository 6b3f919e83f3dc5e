//! Each worker's full set of shards, derived from the committed plans and sent when it changed.

use std::collections::{BTreeMap, BTreeSet};

use protocol::ids::NodeId;
use protocol::shard::{DesiredShard, DesiredShards};

use crate::state::State;

#[derive(Clone, Debug, Default)]
pub(super) struct DesiredSets {
    sent: BTreeMap<NodeId, DesiredShards>,
}

impl DesiredSets {
    /// The next message to each attached node sends the set again, changed or not.
    pub(super) fn forget(&mut self, node: NodeId) {
        self.sent.remove(&node);
    }

    pub(super) fn forget_all(&mut self) {
        self.sent.clear();
    }

    /// The sets of `nodes` that differ from what was last sent.
    pub(super) fn changed(
        &mut self,
        state: &State,
        nodes: impl Iterator<Item = NodeId>,
    ) -> Vec<(NodeId, DesiredShards)> {
        let mut changed = Vec::new();
        for node in nodes {
            let set = desired_of(state, node);
            let same =
                |sent: &DesiredShards| sent.shards == set.shards && sent.addresses == set.addresses;
            if !self.sent.get(&node).is_some_and(same) {
                self.sent.insert(node, set.clone());
                changed.push((node, set));
            }
        }
        changed
    }
}

fn desired_of(state: &State, node: NodeId) -> DesiredShards {
    let mut shards = Vec::new();
    let mut named = BTreeSet::new();
    for deployment in state.deployments.values() {
        let Some(placement) = &deployment.placement else { continue };
        let nodes = placement.plan.nodes();
        if !nodes.contains(&node) {
            continue;
        }
        let model = state.models.values().find(|m| m.manifest == deployment.manifest);
        let holders: Vec<_> =
            model.map(|m| m.holders.iter().copied().collect()).unwrap_or_default();
        named.extend(nodes);
        named.extend(holders.iter().copied());
        shards.push(DesiredShard {
            replica: deployment.replica,
            epoch: placement.epoch,
            plan: placement.plan.clone(),
            holders,
        });
    }
    let address =
        |node: NodeId| state.members.get(&node).map(|member| (node, member.data_addresses.clone()));
    let addresses = named.into_iter().filter_map(address).collect();
    DesiredShards { index: state.applied, shards, addresses }
}
