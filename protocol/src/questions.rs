//! What a node is asked about itself, and what it answers.

use serde::{Deserialize, Serialize};

use crate::host_facts::HostFacts;
use crate::log_ring::LogPage;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Question {
    /// Lines of its log, as `LogRing::after` gives them.
    Log { after: Option<u64>, last: u32 },
    /// What its machine is like now; disk and memory are measured, for about a second.
    Check,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Answer {
    Log(LogPage),
    Check(Box<HostFacts>),
    Failed { reason: String },
}
