//! The cluster's CA, and its change to the next.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct CaStatus {
    /// SHA-256 of the CA that signs, hexadecimal.
    pub current: String,
    /// The one before it, while what it signed is still good.
    pub previous: Option<String>,
    /// When the change to the current one began, while it is under way.
    pub changing_since: Option<String>,
    /// All that are trusted, PEM; the current one first.
    pub ca_pem: String,
    pub members: Vec<MemberCertificate>,
}

/// The certificate that a member says it uses.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct MemberCertificate {
    pub node: String,
    /// `current`, `previous` or `unknown`.
    pub ca: String,
    pub expires_at: Option<String>,
}

/// Nothing is to be chosen yet.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct RotateCa {}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct FinishCaRotation {
    /// Also while a member has no certificate of the current CA: it then has to join anew.
    #[serde(default)]
    pub force: bool,
}
