//! What happened in the cluster, and what a coordinator sees of it.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct EventView {
    /// Log index of the change, the same at every coordinator: go on behind it with `?from=` or
    /// `Last-Event-ID`. Absent where it is not from the log.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub index: Option<u64>,
    pub at: String,
    /// `member`, `node`, `model`, `deployment`, `operation`, `key`, `cluster`, `leadership`, or
    /// `gap`: events are missing here.
    #[serde(rename = "topic")]
    pub kind: String,
    /// The thing it is about.
    pub subject: String,
    /// What happened, with its reason.
    pub text: String,
    /// What happens next; empty where nothing does.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub next: String,
    /// Not from the log but what one coordinator sees: lost, ready, progress.
    #[serde(default)]
    pub soft: bool,
    /// The coordinator whose view it is.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub seen_by: String,
    /// That one leads: what it sees, it acts upon.
    #[serde(default)]
    pub leads: bool,
}
