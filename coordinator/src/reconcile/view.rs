//! The soft state as it stands, for the admin API, the gateway and metrics.

use std::collections::BTreeMap;
use std::time::Duration;

use protocol::admin::NodeState;
use protocol::ids::NodeId;
use protocol::shard::{ReplicaLoad, ShardStatus};

#[derive(Clone, Debug, Default, PartialEq)]
pub struct LiveView {
    pub nodes: BTreeMap<NodeId, NodeLive>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct NodeLive {
    pub state: NodeState,
    /// Why it is so; empty when all is well.
    pub reason: String,
    /// What happens next; empty when all is well.
    pub next: String,
    /// When the state last changed, on the driver's clock.
    pub since: Duration,
    /// A new deployment may be planned on it now.
    pub usable: bool,
    pub memory_used_bytes: u64,
    pub shards: Vec<ShardStatus>,
    pub loads: Vec<ReplicaLoad>,
}

impl LiveView {
    pub fn is_usable(&self, node: NodeId) -> bool {
        self.nodes.get(&node).is_some_and(|n| n.usable)
    }
}
