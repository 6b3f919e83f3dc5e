//! Models, and how they become known.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::DeploymentView;
use crate::ids::Digest;
use crate::model_spec::ModelSpec;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
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

/// Reads a model at `path` of `node`'s own machine.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ImportModel {
    /// Name to serve it under; the file's own when absent.
    pub name: Option<String>,
    pub path: String,
    /// Name or id of the worker; the only one, or one on the coordinator's machine when absent.
    pub node: Option<String>,
}
