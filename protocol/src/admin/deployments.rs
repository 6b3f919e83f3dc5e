//! Deployments: what was promised, how far it is, where it runs.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::ids::{Epoch, NodeId, ReplicaId};
use crate::model_spec::{KvType, LayerRange};
use crate::plan::{ActivationType, Share};
use crate::shard::ShardState;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
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

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum DeploymentState {
    /// A plan is committed; weights travel or load.
    Starting,
    Ready,
    /// No plan fits what is there now.
    Degraded,
    Failed,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
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

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
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

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct DeployModel {
    pub model: String,
    #[serde(default)]
    pub options: DeployOptions,
}

/// What a deployment promises; every field has a sensible default.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
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
