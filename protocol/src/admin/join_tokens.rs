//! Join tokens: made, listed, taken back.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::control::Role;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct NewJoinToken {
    pub role: Role,
    /// The cluster's setting `join_token_ttl` when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ttl_seconds: Option<u64>,
    pub uses: u32,
    /// Takes back every other token of this role.
    #[serde(default)]
    pub rotate: bool,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct JoinTokenCreated {
    /// Shown once; only its hash is kept.
    pub token: String,
    pub expires_at: String,
}

/// A token that was made; itself it is known only to whoever has it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct JoinTokenView {
    /// Beginning of the hash of its secret.
    pub id: String,
    pub role: Role,
    /// `valid`, `expired`, `used up` or `taken back`.
    pub state: String,
    pub uses_left: u32,
    pub expires_at: String,
}
