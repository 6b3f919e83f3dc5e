//! Settings of the whole cluster, and its end.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// All values are seconds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct SettingView {
    pub name: String,
    /// What is in force.
    pub value: f64,
    pub default: f64,
    /// `value` was set, and is not merely the default.
    pub is_set: bool,
    pub min: f64,
    pub max: f64,
    pub description: String,
}

/// Seconds by name of the setting; `null` takes the default again. What is not named stays.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct UpdateSettings(pub BTreeMap<String, Option<f64>>);

/// Ends the cluster: its deployments, models, keys and members are gone for good.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct DestroyCluster {
    /// Its name, so that no other one is meant.
    pub cluster: String,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ClusterDestroyed {
    pub cluster: String,
    pub at: String,
    /// Names of the coordinators, which stop by themselves.
    pub coordinators: Vec<String>,
}
