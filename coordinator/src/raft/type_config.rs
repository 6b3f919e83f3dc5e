//! The types that openraft works with here: commands, outcomes, voters and their addresses.

use std::fmt;

use protocol::ids::NodeId;
use serde::{Deserialize, Serialize};

use super::state_machine::StateMachine;
use crate::host;
use crate::state::{Command, Outcome};

openraft::declare_raft_types!(
    pub(crate) TypeConfig:
        D = Command,
        R = Outcome,
        NodeId = VoterId,
        Node = Voter,
        AsyncRuntime = host::Runtime,
);

pub(crate) type Raft = openraft::Raft<TypeConfig, StateMachine>;
pub(crate) type LogId = openraft::alias::LogIdOf<TypeConfig>;
pub(crate) type Vote = openraft::alias::VoteOf<TypeConfig>;
pub(crate) type Entry = openraft::alias::EntryOf<TypeConfig>;
pub(crate) type StoredMembership = openraft::alias::StoredMembershipOf<TypeConfig>;
pub(crate) type SnapshotMeta = openraft::alias::SnapshotMetaOf<TypeConfig>;

/// A coordinator's node id, as a member of the Raft group.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct VoterId(pub(crate) NodeId);

/// Small numbers stand for voters in openraft's own tests of a store.
impl From<u64> for VoterId {
    fn from(number: u64) -> Self {
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&number.to_be_bytes());
        Self(NodeId(bytes))
    }
}

impl Default for VoterId {
    fn default() -> Self {
        Self::from(0)
    }
}

impl fmt::Display for VoterId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.short())
    }
}

/// Where the other coordinators reach this one.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Voter {
    /// `host:port` of node traffic.
    pub(crate) address: String,
}
