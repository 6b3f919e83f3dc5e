//! The cluster as a whole.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::DeploymentView;
use crate::control::CoordinatorAddress;
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
    /// Log index of the last entry in this coordinator's state.
    #[serde(default)]
    pub applied_index: u64,
    /// What is wrong with this coordinator's own part in the group.
    #[serde(default)]
    pub problems: Vec<String>,
    pub coordinators: Vec<CoordinatorAddress>,
    pub nodes: u32,
    pub nodes_ready: u32,
    pub deployments: Vec<DeploymentView>,
}
