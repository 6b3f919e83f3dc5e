//! API keys: what they may do, how much of it, and what they have used.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct NewKey {
    pub name: String,
    pub role: KeyRole,
    #[serde(default)]
    pub limits: KeyLimits,
    /// Never when absent.
    #[serde(default)]
    pub expires_in_seconds: Option<u64>,
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

/// What is absent is not limited.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct KeyLimits {
    /// Names of the models that it may ask; all when empty.
    pub models: Vec<String>,
    /// Of the whole cluster, as all limits are.
    pub requests_per_minute: Option<u64>,
    /// Prompt and answer together.
    pub tokens_per_minute: Option<u64>,
    /// Prompt and answer together, from the first of the month, UTC.
    pub tokens_per_month: Option<u64>,
}

/// Changes what is named; a limit of 0 means none, an expiry of 0 means never.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct UpdateKey {
    pub role: Option<KeyRole>,
    pub models: Option<Vec<String>>,
    pub requests_per_minute: Option<u64>,
    pub tokens_per_minute: Option<u64>,
    pub tokens_per_month: Option<u64>,
    pub expires_in_seconds: Option<u64>,
}

/// Makes a new text for the key.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct RotateKey {
    /// The old text stays good this long; not at all when 0.
    pub overlap_seconds: u64,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct KeyView {
    pub name: String,
    pub role: KeyRole,
    /// First characters of the key, to recognise it.
    pub prefix: String,
    pub created_at: String,
    #[serde(default)]
    pub limits: KeyLimits,
    #[serde(default)]
    pub expires_at: Option<String>,
    /// Until when the text from before the last rotation is good.
    #[serde(default)]
    pub old_text_until: Option<String>,
    #[serde(default)]
    pub usage: KeyUsage,
}

/// As far as the coordinators have told the log: up to ten seconds ago.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct KeyUsage {
    pub requests: u64,
    pub prompt_tokens: u64,
    pub completion_tokens: u64,
    /// Prompt and answer together, since the first of this month.
    pub tokens_this_month: u64,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct KeyCreated {
    /// Shown once; only its hash is kept. Absent where an earlier try of the same request made the
    /// key and its answer was lost.
    pub key: Option<String>,
    pub view: KeyView,
}
