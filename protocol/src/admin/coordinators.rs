//! The coordinators: who votes, who is behind, who is silent.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::ids::NodeId;

/// A coordinator's part in the Raft group.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum CoordinatorPart {
    Leader,
    Voter,
    /// Holds the log and takes changes, but does not vote.
    Learner,
    /// A member that is not in the group yet.
    Joining,
}

impl CoordinatorPart {
    pub fn name(self) -> &'static str {
        match self {
            Self::Leader => "leader",
            Self::Voter => "voter",
            Self::Learner => "learner",
            Self::Joining => "joining",
        }
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct CoordinatorView {
    pub id: NodeId,
    pub name: String,
    /// `host:port` of node traffic.
    pub address: String,
    /// `host:port` of the API.
    pub api_address: String,
    pub part: CoordinatorPart,
    /// Why it has this part, or what comes next.
    pub reason: String,
    /// Log entries that it is behind the leader; absent where this coordinator does not lead, as
    /// only the leader knows.
    pub entries_behind: Option<u64>,
    /// Since it last answered the leader, if that is too long; absent as above.
    pub silent_seconds: Option<f64>,
}
