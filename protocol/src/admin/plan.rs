//! Plans as answers: where a model would run and how fast.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::DeployOptions;
use crate::ids::NodeId;
use crate::model_spec::LayerRange;
use crate::plan::Share;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct PlanRequest {
    pub model: String,
    #[serde(default)]
    pub options: DeployOptions,
    /// Plan as if these nodes were not there.
    #[serde(default)]
    pub without: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
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

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
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

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
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
