//! Long operations.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct OperationView {
    pub id: String,
    /// `import`, `deploy`, `undeploy`, `node-rm`, `node-drain`.
    #[serde(rename = "operation")]
    pub kind: String,
    /// The thing it is about.
    pub subject: String,
    pub state: OperationState,
    pub note: String,
    pub done: u64,
    pub total: u64,
    pub started_at: String,
    /// It has failed if it is not done by then.
    #[serde(default)]
    pub deadline: String,
    /// Further facts for a result, by name.
    #[serde(default)]
    pub result: BTreeMap<String, String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum OperationState {
    Running,
    Done,
    Failed,
}
