//! API keys.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct NewKey {
    pub name: String,
    pub role: KeyRole,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum KeyRole {
    /// The client API only.
    User,
    /// Everything.
    Admin,
    /// Runs the cluster: nodes, models, deployments; no keys, no secrets of the cluster.
    Operator,
    /// Sees how the cluster is; changes nothing, asks no model.
    Viewer,
    /// Sees what a viewer sees, the keys (never their text) and the audit chain.
    Auditor,
}

impl KeyRole {
    pub const ALL: [Self; 5] =
        [Self::Admin, Self::Operator, Self::User, Self::Viewer, Self::Auditor];

    pub fn name(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Admin => "admin",
            Self::Operator => "operator",
            Self::Viewer => "viewer",
            Self::Auditor => "auditor",
        }
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct KeyView {
    pub name: String,
    pub role: KeyRole,
    /// First characters of the key, to recognise it.
    pub prefix: String,
    pub created_at: String,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct KeyCreated {
    /// Shown once; only its hash is kept. Absent where an earlier try of the same request made the
    /// key and its answer was lost.
    pub key: Option<String>,
    pub view: KeyView,
}
