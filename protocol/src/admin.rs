//! Bodies of the admin API (`/admin/v1`, JSON over HTTP): what the CLI and the page exchange with a
//! coordinator. Bytes are integers, times RFC 3339 UTC, durations float seconds.
//!
//! ```text
//! GET    /admin/v1/cluster                          ClusterStatus
//! POST   /admin/v1/join-tokens   NewJoinToken    -> JoinTokenCreated
//! GET    /admin/v1/nodes                            List<NodeView>
//! GET    /admin/v1/nodes/{name or id}               NodeView
//! DELETE /admin/v1/nodes/{name or id}               OperationView
//! GET    /admin/v1/models                           List<ModelView>
//! GET    /admin/v1/models/{name}                    ModelView
//! POST   /admin/v1/models        ImportModel     -> OperationView
//! POST   /admin/v1/plan          PlanRequest     -> PlanView
//! POST   /admin/v1/deployments   DeployModel     -> OperationView
//! DELETE /admin/v1/deployments/{model}              OperationView
//! GET    /admin/v1/keys                             List<KeyView>
//! POST   /admin/v1/keys          NewKey          -> KeyCreated
//! GET    /admin/v1/operations/{id}                  OperationView
//! any of them, failed                               ErrorBody, with a usual HTTP status
//! ```

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::control::{CoordinatorAddress, Role};
use crate::ids::{Digest, Epoch, NodeId, ReplicaId};
use crate::model_spec::{KvType, LayerRange, ModelSpec};
use crate::node_profile::NodeProfile;
use crate::plan::{ActivationType, Share};
use crate::shard::ShardState;

/// Version of the JSON contract; new fields are only added.
pub const API_VERSION: &str = "trireme/v1";

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct List<T> {
    pub api_version: String,
    /// `NodeList`, `ModelList`, `KeyList`.
    pub kind: String,
    pub items: Vec<T>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
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

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NewJoinToken {
    pub role: Role,
    pub ttl_seconds: u64,
    pub uses: u32,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct JoinTokenCreated {
    /// Shown once; only its hash is kept.
    pub token: String,
    pub expires_at: String,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
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

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum NodeState {
    Joining,
    Ready,
    Lost,
    Removed,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ShardView {
    pub model: String,
    pub replica: ReplicaId,
    pub epoch: Epoch,
    pub layers: LayerRange,
    pub state: ShardState,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ModelView {
    pub name: String,
    pub manifest: Digest,
    pub spec: ModelSpec,
    pub weight_bytes: u64,
    pub imported_at: String,
    /// Names of the nodes that hold all of it.
    pub holders: Vec<String>,
    pub deployment: Option<DeploymentView>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DeploymentView {
    pub model: String,
    pub state: DeploymentState,
    /// E.g. `degraded: needs 9.1 GiB more`; when ready, what is not as it was asked for, or empty.
    pub reason: String,
    pub since: String,
    pub options: DeployOptions,
    pub replica: ReplicaId,
    pub epoch: Option<Epoch>,
    pub stages: Vec<StageView>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DeploymentState {
    /// A plan is committed; weights travel or load.
    Starting,
    Ready,
    /// No plan fits what is there now.
    Degraded,
    Failed,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StageView {
    pub node: NodeId,
    pub name: String,
    pub layers: LayerRange,
    pub state: Option<ShardState>,
    pub weight_bytes: u64,
    pub kv_bytes: u64,
    /// All ranks of the stage; the fields above are those of the first.
    pub ranks: Vec<RankView>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RankView {
    pub node: NodeId,
    pub name: String,
    pub device: u32,
    /// E.g. `cuda:0`; `cpu`.
    #[serde(default)]
    pub device_name: String,
    pub share: Share,
    pub state: Option<ShardState>,
    pub weight_bytes: u64,
    pub kv_bytes: u64,
}

/// Reads a model at `path` of `node`'s own machine.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ImportModel {
    /// Name to serve it under; the file's own when absent.
    pub name: Option<String>,
    pub path: String,
    /// Name or id of the worker; the only one, or one on the coordinator's machine when absent.
    pub node: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DeployModel {
    pub model: String,
    #[serde(default)]
    pub options: DeployOptions,
}

/// What a deployment promises; every field has a sensible default.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct DeployOptions {
    /// Longest sequence, prompt and answer together; the model's own, at most 8,192, when absent.
    pub context_length: Option<u32>,
    /// Sequences that run at once; 16 when absent.
    pub sequences_max: Option<u32>,
    /// Tokens of one step over all sequences; longer prompts are prefilled in chunks. 256 when
    /// absent.
    pub step_tokens_max: Option<u32>,
    pub kv_type: Option<KvType>,
    pub activation: Option<ActivationType>,
    /// Exactly this many pipeline stages, instead of what is fastest; each of one rank, unless
    /// `tp` says otherwise. After a node was lost, the nearest count that the others allow.
    pub stages: Option<u32>,
    /// Ranks of each stage, or one number for all of them, instead of what is fastest; one stage,
    /// or as many as there are numbers, unless `stages` says otherwise. After a node was lost, the
    /// same where there are devices for it, else what is fastest.
    pub tp: Vec<u32>,
    /// Bytes that the KV pool of one node may take, at most.
    pub kv_bytes_max: Option<u64>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PlanRequest {
    pub model: String,
    #[serde(default)]
    pub options: DeployOptions,
    /// Plan as if these nodes were not there.
    #[serde(default)]
    pub without: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PlanView {
    pub model: String,
    pub fits: bool,
    /// One sentence; names what is missing when it does not fit.
    pub summary: String,
    pub missing_bytes: u64,
    pub stages: Vec<PlannedStage>,
    pub predicted_tokens_per_second: f64,
    pub predicted_ttft_seconds: f64,
    pub context_length: u32,
    pub sequences_max: u32,
    pub kv_blocks: u32,
    pub block_size: u32,
    /// What else was looked at, a line each with its predicted time.
    pub alternatives: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PlannedStage {
    pub node: NodeId,
    pub name: String,
    pub device: u32,
    pub layers: LayerRange,
    pub weight_bytes: u64,
    pub kv_bytes: u64,
    pub workspace_bytes: u64,
    pub free_bytes: u64,
    pub seconds_per_token: f64,
    /// To the next stage, or back to the head.
    pub hop_seconds: f64,
    /// What the ranks exchange over and why; empty for a stage of one rank.
    pub collective: String,
    /// All ranks of the stage; the fields above are those of the first, the times the stage's.
    pub ranks: Vec<PlannedRank>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PlannedRank {
    pub node: NodeId,
    pub name: String,
    /// Its place among the node's devices.
    pub device: u32,
    /// As people name it, e.g. `cuda:0 NVIDIA GeForce RTX 3090`; `cpu`.
    #[serde(default)]
    pub device_name: String,
    pub share: Share,
    pub weight_bytes: u64,
    pub kv_bytes: u64,
    pub workspace_bytes: u64,
    pub free_bytes: u64,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NewKey {
    pub name: String,
    pub role: KeyRole,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum KeyRole {
    /// The client API only.
    User,
    /// The client API and the admin API.
    Admin,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct KeyView {
    pub name: String,
    pub role: KeyRole,
    /// First characters of the key, to recognise it.
    pub prefix: String,
    pub created_at: String,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct KeyCreated {
    /// Shown once; only its hash is kept.
    pub key: String,
    pub view: KeyView,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct OperationView {
    pub id: String,
    /// `import`, `deploy`, `undeploy`, `node-rm`.
    pub kind: String,
    /// The thing it is about.
    pub subject: String,
    pub state: OperationState,
    pub note: String,
    pub done: u64,
    pub total: u64,
    pub started_at: String,
    /// Further facts for a result, by name.
    #[serde(default)]
    pub result: BTreeMap<String, String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OperationState {
    Running,
    Done,
    Failed,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ErrorBody {
    pub error: ErrorDetail,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ErrorDetail {
    /// Stable, e.g. `not_found`, `does_not_fit`, `no_quorum`, `precondition`, `invalid_value`.
    pub code: String,
    /// What is wrong and why, with the values.
    pub message: String,
    /// The next command or change that helps.
    pub hint: String,
    pub request_id: String,
}
