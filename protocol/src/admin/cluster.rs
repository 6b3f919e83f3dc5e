//! The cluster as a whole, and join tokens.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::DeploymentView;
use crate::control::{CoordinatorAddress, Role};
use crate::ids::NodeId;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ClusterStatus {
    pub name: String,
    pub this_node: NodeId,
    pub leader: Option<NodeId>,
    pub term: u64,
    pub commit_index: u64,
    pub has_quorum: bool,
    pub coordinators: Vec<CoordinatorAddress>,
    pub nodes: u32,
    pub nodes_ready: u32,
    pub deployments: Vec<DeploymentView>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct NewJoinToken {
    pub role: Role,
    pub ttl_seconds: u64,
    pub uses: u32,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct JoinTokenCreated {
    /// Shown once; only its hash is kept.
    pub token: String,
    pub expires_at: String,
}
