//! Nodes and what they hold.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::control::Role;
use crate::host_facts::HostFacts;
use crate::ids::{Epoch, NodeId, ReplicaId};
use crate::log_ring::LogLine;
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
    /// Why the state is what it is; may be empty when ready.
    pub reason: String,
    /// What happens next, or what would change it; empty when ready.
    #[serde(default)]
    pub next: String,
    pub since: String,
    pub joined_at: String,
    /// Of its `trireme`, as it says; empty of one from before it did, or before its first contact.
    #[serde(default)]
    pub version: String,
    pub profile: Option<NodeProfile>,
    pub memory_used_bytes: u64,
    pub shards: Vec<ShardView>,
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum NodeState {
    /// Not heard of yet by the coordinator that answers.
    Joining,
    Ready,
    /// Keeps what it runs and gets nothing new.
    Cordoned,
    /// What it runs moves elsewhere.
    Draining,
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

/// Empties a worker: what it runs moves to others, running answers go on there.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct DrainNode {
    #[serde(default)]
    pub on_no_fit: OnNoFit,
    /// The drain fails when it takes longer; the cluster's setting `drain_timeout` when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout_seconds: Option<u64>,
}

/// What to do where no plan keeps a model without the drained node.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum OnNoFit {
    /// Leave everything as it is.
    #[default]
    Abort,
    /// Stop serving the models that fit nowhere else, until there is room again.
    Stop,
}

/// What a drain would do now.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct DrainEffect {
    pub node: String,
    /// Each model that has layers on the node; empty where nothing would move.
    pub moves: Vec<DrainMove>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct DrainMove {
    pub model: String,
    pub layers: u32,
    pub fits: bool,
    /// E.g. `in 2 stages on a1, c3: 12.1 tokens/s`, or why nothing else can hold it.
    pub summary: String,
    pub missing_bytes: u64,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct LabelNode {
    pub set: BTreeMap<String, String>,
    pub remove: Vec<String>,
}

/// A part of what a node's process keeps of its log, the oldest line first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct NodeLog {
    pub node: String,
    pub lines: Vec<LogLine>,
    /// Lines between the one asked from and the first of these are not kept any more.
    pub gap: bool,
}

/// What a worker found when it looked at its machine anew.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct NodeCheck {
    pub node: String,
    pub host: HostFacts,
}
