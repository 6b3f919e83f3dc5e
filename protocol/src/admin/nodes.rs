//! Nodes and what they hold.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::control::Role;
use crate::ids::{Epoch, NodeId, ReplicaId};
use crate::model_spec::LayerRange;
use crate::node_profile::NodeProfile;
use crate::shard::ShardState;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct NodeView {
    pub id: NodeId,
    pub name: String,
    pub roles: Vec<Role>,
    pub state: NodeState,
    /// Why the state is what it is, and what happens next; empty when ready.
    pub reason: String,
    pub since: String,
    pub joined_at: String,
    pub profile: Option<NodeProfile>,
    pub memory_used_bytes: u64,
    pub shards: Vec<ShardView>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum NodeState {
    Joining,
    Ready,
    Lost,
    Removed,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ShardView {
    pub model: String,
    pub replica: ReplicaId,
    pub epoch: Epoch,
    pub layers: LayerRange,
    pub state: ShardState,
}
