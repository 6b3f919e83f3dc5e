//! Bodies of the admin API (`/admin/v1`, JSON over HTTP): what the CLI and the page exchange with a
//! coordinator. Bytes are integers, times RFC 3339 UTC, durations float seconds.
//!
//! Which route takes and answers which is in the document that every coordinator makes of its
//! handlers and serves at `/admin/v1/openapi.json`.
//!
//! A coordinator answers from its own copy of the state. Headers of every answer say how fresh that
//! is: `trireme-applied-index` (log index it rests on), `trireme-led` (whether it leads or hears
//! the leader), `trireme-age-ms` (for how long it may have missed something) and
//! `trireme-consistent`. With `?consistent=true` the answer holds everything that any coordinator
//! acknowledged before the request, or is `503 no_quorum`. Changes are decided in the log, in one
//! order for all, whichever coordinator takes them.

mod audit;
mod ca;
mod cluster;
mod coordinators;
mod deployments;
mod events;
mod join_tokens;
mod keys;
mod models;
mod nodes;
mod operations;
mod plan;
mod settings;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

pub use self::audit::{AuditBroken, AuditList, AuditRecord, verify_audit};
pub use self::ca::{CaStatus, FinishCaRotation, MemberCertificate, RotateCa};
pub use self::cluster::ClusterStatus;
pub use self::coordinators::{CoordinatorPart, CoordinatorView};
pub use self::deployments::{
    DeployModel, DeployOptions, DeploymentState, DeploymentView, RankView, StageView,
};
pub use self::events::EventView;
pub use self::join_tokens::{JoinTokenCreated, JoinTokenView, NewJoinToken};
pub use self::keys::{
    KeyCreated, KeyLimits, KeyRole, KeyUsage, KeyView, NewKey, RotateKey, UpdateKey,
};
pub use self::models::{ImportModel, ModelView};
pub use self::nodes::{
    DrainEffect, DrainMove, DrainNode, LabelNode, NodeCheck, NodeLog, NodeState, NodeView, OnNoFit,
    ShardView,
};
pub use self::operations::{OperationState, OperationView};
pub use self::plan::{PlanRequest, PlanView, PlannedRank, PlannedStage};
pub use self::settings::{ClusterDestroyed, DestroyCluster, SettingView, UpdateSettings};

/// Version of the JSON contract; new fields are only added.
pub const API_VERSION: &str = "trireme/v1";

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct List<T> {
    pub api_version: String,
    /// `NodeList`, `ModelList`, `KeyList`.
    pub kind: String,
    pub items: Vec<T>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ErrorBody {
    pub error: ErrorDetail,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
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
